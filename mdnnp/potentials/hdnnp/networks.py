"""Feed-forward networks, one per element: value and gradient, for whole batches of atoms or inside a kernel.

A layer is y = f(b + y_prev W), or f((b + y_prev W)/n_in) with `normalize_nodes`. Activations are one letter each, as
n2p2 names them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mdnnp.base.compiled.elementary import exp
from mdnnp.base.compiled.jit import njit_fast, vectorize_freely

ACTIVATION_NAMES = {  # by n2p2's letters; the place is the code in kernels
    "l": "identity",
    "t": "tanh",
    "s": "logistic",
    "p": "softplus",
    "r": "ReLU",
    "g": "Gaussian",
    "c": "cosine",
    "S": "1 - logistic",
    "e": "exp(-x)",
    "h": "x^2",
}
ACTIVATIONS = "".join(ACTIVATION_NAMES)
TRAINABLE = "tspg"  # those of hidden nodes in a fit: smooth, and not growing faster than their argument
_TANH, _LOGISTIC, _SOFTPLUS, _RELU, _GAUSSIAN, _COSINE, _REVERSED, _EXPONENTIAL, _SQUARE = range(1, len(ACTIVATIONS))


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron.

    weights : one (n_in, n_out) float64 array per layer, the output layer included
    biases : one (n_out,) float64 array per layer
    activations : one letter of ACTIVATION_NAMES per layer
    normalize_nodes : divide each pre-activation (bias included) by the layer's number of inputs
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    activations: str
    normalize_nodes: bool = False

    def forward(self, inputs: np.ndarray) -> np.ndarray:
        """(n,) outputs of the single output node for (n, n_inputs) inputs."""
        y = inputs
        for m in range(len(self.weights)):
            y, _ = _activate(self.activations[m], self._preactivation(m, y))
        return y[:, 0]

    def gradient(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs (n,) and their gradients (n, n_inputs) by the inputs (n, n_inputs)."""
        y, slopes = inputs, []
        for m in range(len(self.weights)):
            y, slope = _activate(self.activations[m], self._preactivation(m, y))
            slopes.append(slope)
        back = np.ones_like(y)
        for m in reversed(range(len(self.weights))):
            back = (back * slopes[m]) @ (self.weights[m].T / self._divisor(m))
        return y[:, 0], back

    def _divisor(self, m: int) -> float:
        return float(self.weights[m].shape[0]) if self.normalize_nodes else 1.0

    def _preactivation(self, m: int, y: np.ndarray) -> np.ndarray:
        return (y @ self.weights[m] + self.biases[m]) / self._divisor(m)


def mean_network(networks: Sequence[Network]) -> Network:
    """One network that gives the mean of several of one shape: their hidden nodes side by side, not connected."""
    from scipy.linalg import block_diag

    if len(networks) == 1:
        return networks[0]
    n, last = len(networks), len(networks[0].weights) - 1
    weights, biases = [], []
    for m in range(last + 1):
        own, shifts = [k.weights[m] for k in networks], [k.biases[m] for k in networks]
        if last == 0:
            weights.append(np.mean(own, axis=0))
        elif m == 0:
            weights.append(np.concatenate(own, axis=1))
        elif m == last:
            weights.append(np.concatenate(own) / n)
        else:
            weights.append(block_diag(*own))
        biases.append(np.mean(shifts, axis=0) if m == last else np.concatenate(shifts))
    return Network(tuple(weights), tuple(biases), networks[0].activations)


def _activate(letter: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f(x) and f'(x)."""
    if letter == "l":
        return x, np.ones_like(x)
    if letter == "t":
        q = np.exp(-2.0 * np.abs(x))
        return np.tanh(x), 4.0 * q / (1.0 + q) ** 2  # 1 - tanh^2 loses all digits where the node is saturated
    if letter in "sS":
        y = 0.5 * (1.0 + np.tanh(0.5 * x))
        return (y, y * (1.0 - y)) if letter == "s" else (1.0 - y, -y * (1.0 - y))
    if letter == "p":
        return np.logaddexp(0.0, x), 0.5 * (1.0 + np.tanh(0.5 * x))
    if letter == "r":
        return np.maximum(x, 0.0), np.where(x > 0.0, 1.0, 0.0)
    if letter == "g":
        y = np.exp(-0.5 * x * x)
        return y, -x * y
    if letter == "c":
        return np.cos(x), -np.sin(x)
    if letter == "e":
        y = np.exp(-x)
        return y, -y
    if letter == "h":
        return x * x, 2.0 * x
    raise ValueError(f"unknown activation {letter!r}")


class Layers(NamedTuple):
    """The networks of all elements as flat arrays, for kernels. Layers of element e: first[e] .. first[e + 1] - 1."""

    first: np.ndarray
    n_in: np.ndarray
    n_out: np.ndarray
    weight_start: np.ndarray  # of the row-major (n_in, n_out) matrix in `weights`
    bias_start: np.ndarray
    activation: np.ndarray  # place in ACTIVATIONS
    weights: np.ndarray
    biases: np.ndarray
    widest: int


def build_layers(networks: Sequence[Network]) -> Layers:
    """Flat arrays of the networks; `normalize_nodes` is folded into weights and biases."""
    first, n_in, n_out, w_start, b_start, activation, weights, biases = [0], [], [], [0], [0], [], [], []
    for network in networks:
        for m, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
            divisor = network._divisor(m)
            n_in.append(w.shape[0])
            n_out.append(w.shape[1])
            weights.append((w / divisor).ravel())
            biases.append(b / divisor)
            w_start.append(w_start[-1] + w.size)
            b_start.append(b_start[-1] + b.size)
            activation.append(ACTIVATIONS.index(network.activations[m]))
        first.append(len(n_in))
    ints = (np.array(a, dtype=np.int64) for a in (first, n_in, n_out, w_start[:-1], b_start[:-1], activation))
    return Layers._make([*ints, np.concatenate(weights), np.concatenate(biases), max(n_in + n_out)])


def make_network_scratch(layers: Layers) -> np.ndarray:
    """Working memory of `network_gradient`: value and slope of every node of a network, and two strips."""
    return np.empty((2 * int(np.diff(layers.first).max()) + 2, layers.widest))


@njit_fast
def network_gradient(e, layers, inputs, scratch, gradient):
    """Output of element `e`'s network for one atom's `inputs`; fills `gradient` with d(output)/d(inputs)."""
    vectorize_freely()
    begin, end = layers.first[e], layers.first[e + 1]
    back, forth = scratch[2 * (end - begin)], scratch[2 * (end - begin) + 1]
    for m in range(begin, end):
        source = inputs if m == begin else scratch[2 * (m - begin - 1)]
        y, slope = scratch[2 * (m - begin)], scratch[2 * (m - begin) + 1]
        n_out, start = layers.n_out[m], layers.weight_start[m]
        bias = layers.biases[layers.bias_start[m] : layers.bias_start[m] + n_out]
        for k in range(n_out):
            y[k] = bias[k]
        for j in range(layers.n_in[m]):
            add_row(source[j], layers.weights[start + j * n_out : start + (j + 1) * n_out], y)
        activate(layers.activation[m], n_out, y, slope)
    output = scratch[2 * (end - begin - 1), 0]
    back[0] = 1.0
    for m in range(end - 1, begin - 1, -1):
        slope = scratch[2 * (m - begin) + 1]
        n_out, start = layers.n_out[m], layers.weight_start[m]
        target = gradient if m == begin else forth
        for k in range(n_out):
            back[k] *= slope[k]
        for j in range(layers.n_in[m]):
            row = layers.weights[start + j * n_out : start + (j + 1) * n_out]
            total = 0.0
            for k in range(n_out):
                total += row[k] * back[k]
            target[j] = total
        back, forth = target, back
    return output


@njit_fast
def add_row(value, row, total):
    """total += value * row."""
    vectorize_freely()
    for k in range(row.size):
        total[k] += value * row[k]


@njit_fast
def activate(code, n, y, slope):
    """In place: y <- f(y), slope <- f'(y); `code` is the place of the activation in ACTIVATIONS."""
    vectorize_freely()
    for k in range(n):
        slope[k] = 1.0
    if code == _TANH:  # tanh x = (1 - q)/(1 + q), q = exp(-2 |x|)
        for k in range(n):
            q = exp(-2.0 * abs(y[k]))
            t = (1.0 - q) / (1.0 + q)
            slope[k] = 4.0 * q / ((1.0 + q) * (1.0 + q))
            y[k] = t if y[k] > 0.0 else -t
    elif code in (_LOGISTIC, _REVERSED):
        for k in range(n):
            q = exp(-abs(y[k]))
            s = 1.0 / (1.0 + q)
            up = (y[k] > 0.0) == (code == _LOGISTIC)
            slope[k] = q * s * s if code == _LOGISTIC else -q * s * s
            y[k] = s if up else q * s
    elif code == _SOFTPLUS:
        for k in range(n):
            q = exp(-abs(y[k]))
            s = 1.0 / (1.0 + q)
            slope[k] = s if y[k] > 0.0 else q * s
            y[k] = max(y[k], 0.0) + np.log1p(q)
    elif code == _RELU:
        for k in range(n):
            slope[k] = 1.0 if y[k] > 0.0 else 0.0
            y[k] = max(y[k], 0.0)
    elif code == _GAUSSIAN:
        for k in range(n):
            g = exp(-0.5 * y[k] * y[k])
            slope[k] = -y[k] * g
            y[k] = g
    elif code == _COSINE:
        for k in range(n):
            slope[k] = -np.sin(y[k])
            y[k] = np.cos(y[k])
    elif code == _EXPONENTIAL:
        for k in range(n):
            y[k] = np.exp(-y[k])
            slope[k] = -y[k]
    elif code == _SQUARE:
        for k in range(n):
            slope[k] = 2.0 * y[k]
            y[k] = y[k] * y[k]


@njit_fast
def curvature(code, n, y, slope, bend):
    """bend <- f'' from y = f and slope = f', as `activate` leaves them."""
    vectorize_freely()
    for k in range(n):
        bend[k] = 0.0
    if code == _TANH:
        for k in range(n):
            bend[k] = -2.0 * y[k] * slope[k]
    elif code == _LOGISTIC:
        for k in range(n):
            bend[k] = slope[k] * (1.0 - 2.0 * y[k])
    elif code == _SOFTPLUS:  # the slope of softplus is the logistic function
        for k in range(n):
            bend[k] = slope[k] * (1.0 - slope[k])
    elif code == _GAUSSIAN:
        for k in range(n):
            bend[k] = slope[k] * slope[k] / max(y[k], 1e-300) - y[k]
    elif code in (_COSINE, _EXPONENTIAL):
        sign = -1.0 if code == _COSINE else 1.0
        for k in range(n):
            bend[k] = sign * y[k]
    elif code == _REVERSED:
        for k in range(n):
            bend[k] = slope[k] * (2.0 * y[k] - 1.0)
    elif code == _SQUARE:
        for k in range(n):
            bend[k] = 2.0


@njit_fast
def network_tangent(e, layers, inputs, inputs_t, scratch, gradient, gradient_t):
    """As `network_gradient`, and `gradient_t`: how the gradient changes along `inputs_t`, the Hessian times inputs_t.

    Forward over reverse: B. A. Pearlmutter, Neural Comput. 6, 147 (1994). scratch: (4 layers + 4, widest).
    """
    vectorize_freely()
    begin, end = layers.first[e], layers.first[e + 1]
    last = 4 * (end - begin)
    back, forth, back_t, forth_t = scratch[last], scratch[last + 1], scratch[last + 2], scratch[last + 3]
    for m in range(begin, end):
        own = 4 * (m - begin)
        source, source_t = (inputs, inputs_t) if m == begin else (scratch[own - 4], scratch[own - 2])
        y, slope, y_t, slope_t = scratch[own], scratch[own + 1], scratch[own + 2], scratch[own + 3]
        n_out, start = layers.n_out[m], layers.weight_start[m]
        bias = layers.biases[layers.bias_start[m] : layers.bias_start[m] + n_out]
        for k in range(n_out):
            y[k], y_t[k] = bias[k], 0.0
        for j in range(layers.n_in[m]):
            row = layers.weights[start + j * n_out : start + (j + 1) * n_out]
            add_row(source[j], row, y)
            add_row(source_t[j], row, y_t)
        activate(layers.activation[m], n_out, y, slope)
        curvature(layers.activation[m], n_out, y, slope, slope_t)
        for k in range(n_out):
            slope_t[k] *= y_t[k]
            y_t[k] *= slope[k]
    output = scratch[last - 4, 0]
    back[0], back_t[0] = 1.0, 0.0
    for m in range(end - 1, begin - 1, -1):
        slope, slope_t = scratch[4 * (m - begin) + 1], scratch[4 * (m - begin) + 3]
        n_out, start = layers.n_out[m], layers.weight_start[m]
        target, target_t = (gradient, gradient_t) if m == begin else (forth, forth_t)
        for k in range(n_out):
            back_t[k] = back_t[k] * slope[k] + back[k] * slope_t[k]
            back[k] *= slope[k]
        for j in range(layers.n_in[m]):
            row = layers.weights[start + j * n_out : start + (j + 1) * n_out]
            total = total_t = 0.0
            for k in range(n_out):
                total += row[k] * back[k]
                total_t += row[k] * back_t[k]
            target[j], target_t[j] = total, total_t
        back, forth = target, back
        back_t, forth_t = target_t, back_t
    return output
