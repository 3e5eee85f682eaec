"""Feed-forward networks, one per element: value and gradient, for whole batches of atoms or inside a kernel.

A layer is y = f(b + y_prev W), or f((b + y_prev W)/n_in) with `normalize_nodes`. Activations are one letter each, as
n2p2 names them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mdnnp.base.compiled.elementary import exp
from mdnnp.base.compiled.jit import njit_fast, njit_inline, vectorize_freely
from mdnnp.base.compiled.vectors import LANES, load, load_all, spread, store

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


_LAYER = np.dtype([(n, np.int64) for n in ("n_in", "n_out", "bias", "activation", "block_first", "block_end")])
_BLOCK = np.dtype([(n, np.int64) for n in ("in_first", "n_in", "out_first", "n_out", "forth", "back")])


class Layers(NamedTuple):
    """The networks of all elements, for kernels. Layers of element e: first[e] .. first[e + 1] - 1.

    A layer has one dense block of weights, or several along the diagonal, as the mean of several networks has. Each is
    stored twice, so that both sweeps go along rows: its (n_in, n_out) matrix begins at `forth` in `weights`, the
    transposed one at `back`. All rows are filled up to whole vectors.
    """

    first: np.ndarray
    layer: np.ndarray  # _LAYER; bias: where its (n_out,) biases begin in `biases`
    block: np.ndarray  # _BLOCK
    weights: np.ndarray
    biases: np.ndarray  # zeros at the end, `widest` of them
    widest: int  # a multiple of LANES, with a vector to spare


def build_layers(networks: Sequence[Network]) -> Layers:
    """What kernels need of the networks; `normalize_nodes` is folded into weights and biases."""
    first, weights, biases = [0], [np.zeros(0)], [np.zeros(0)]
    layers: list[tuple[int, ...]] = []
    blocks: list[tuple[int, ...]] = []
    size = n_biases = 0
    for network in networks:
        for m, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
            begin, divisor = len(blocks), network._divisor(m)
            for rows, columns in _diagonal_blocks(w):
                own = w[rows, columns] / divisor
                places = []
                for matrix in (own, own.T):
                    padded = np.zeros((matrix.shape[0], _whole(matrix.shape[1])))
                    padded[:, : matrix.shape[1]] = matrix
                    places.append(size)
                    weights.append(padded.ravel())
                    size += padded.size
                blocks.append((rows.start, own.shape[0], columns.start, own.shape[1], *places))
            code = ACTIVATIONS.index(network.activations[m])
            layers.append((*w.shape, n_biases, code, begin, len(blocks)))
            biases.append(np.append(b / divisor, np.zeros(_whole(len(b)) - len(b))))
            n_biases += _whole(len(b))
        first.append(len(layers))
    widest = _whole(max(n for w in networks for m in w.weights for n in m.shape)) + LANES
    return Layers(
        np.array(first, np.int64), np.array(layers, _LAYER), np.array(blocks, _BLOCK),
        _aligned(np.concatenate(weights)), np.concatenate([*biases, np.zeros(widest)]), widest,
    )  # fmt: skip


def _whole(n: int) -> int:
    """The next multiple of LANES."""
    return -(-n // LANES) * LANES


def _aligned(values: np.ndarray) -> np.ndarray:
    """A copy that begins at a cache line."""
    memory = np.zeros(values.size + LANES)
    skip = -(memory.ctypes.data // memory.itemsize) % LANES
    memory[skip : skip + values.size] = values
    return memory[skip : skip + values.size]


def _diagonal_blocks(w: np.ndarray) -> list[tuple[slice, slice]]:
    """Rows and columns of the smallest blocks along the diagonal outside of which a matrix is zero, in order."""
    row, column = np.nonzero(w)
    blocks: list[tuple[slice, slice]] = []
    r = c = 0
    while r < w.shape[0] and c < w.shape[1]:
        r_end, c_end = r + 1, c + 1
        while True:  # until no row of the block has an entry beyond its columns, or the other way round
            grown = (
                max(r_end, row[column < c_end].max(initial=0) + 1), max(c_end, column[row < r_end].max(initial=0) + 1),
            )  # fmt: skip
            if grown == (r_end, c_end):
                break
            r_end, c_end = grown
        blocks.append((slice(r, r_end), slice(c, c_end)))
        r, c = r_end, c_end
    if not blocks or len(blocks) == 1:
        return [(slice(0, w.shape[0]), slice(0, w.shape[1]))]
    rows, columns = blocks[-1]  # what is left over has no entries
    blocks[-1] = slice(rows.start, w.shape[0]), slice(columns.start, w.shape[1])
    return blocks


def make_network_scratch(layers: Layers) -> np.ndarray:
    """Working memory of `network_gradient`: value and slope of every node of a network, and two strips."""
    return np.zeros((2 * int(np.diff(layers.first).max()) + 2, layers.widest))


def make_network_tangent_scratch(layers: Layers) -> np.ndarray:
    """Working memory of `network_tangent`: that of `network_gradient` and its tangents."""
    return np.zeros((4 * int(np.diff(layers.first).max()) + 4, layers.widest))


@njit_fast
def network_gradient(e, layers, inputs, scratch, gradient):
    """Output of element `e`'s network for one atom's `inputs`; fills `gradient` with d(output)/d(inputs)."""
    vectorize_freely()
    begin, end = layers.first[e], layers.first[e + 1]
    back, forth = scratch[2 * (end - begin)], scratch[2 * (end - begin) + 1]
    for m in range(begin, end):
        source = inputs if m == begin else scratch[2 * (m - begin - 1)]
        y, slope = scratch[2 * (m - begin)], scratch[2 * (m - begin) + 1]
        go_forth(layers.layer[m], layers, layers.layer[m].bias, source, y)
        activate(layers.layer[m].activation, layers.layer[m].n_out, y, slope)
    output = scratch[2 * (end - begin - 1), 0]
    back[0] = 1.0
    for m in range(end - 1, begin - 1, -1):
        slope = scratch[2 * (m - begin) + 1]
        for k in range(layers.layer[m].n_out):
            back[k] *= slope[k]
        go_back(layers.layer[m], layers, back, forth)
        back, forth = forth, back
    for k in range(layers.layer[begin].n_in):
        gradient[k] = back[k]
    return output


@njit_inline
def go_forth(layer, layers, bias, source, target):
    """target = biases + source W; `bias`: where the biases begin, or the zeros."""
    for k in range(layer.block_first, layer.block_end):
        block = layers.block[k]
        combine(
            block.n_in, source, block.in_first, layers.weights, block.forth, layers.biases, bias + block.out_first,
            block.n_out, target, block.out_first,
        )  # fmt: skip


@njit_inline
def go_back(layer, layers, source, target):
    """target = W source."""
    zeros = layers.biases.size - layers.widest
    for k in range(layer.block_first, layer.block_end):
        block = layers.block[k]
        combine(
            block.n_out, source, block.out_first, layers.weights, block.back, layers.biases, zeros, block.n_in, target,
            block.in_first,
        )  # fmt: skip


@njit_fast
def combine(n, source, first, weights, start, biases, bias, n_out, target, to):
    """target[to:] = biases[bias:] + the sum of the `n` rows of weights from `start` on, times source[first:].

    Whole vectors are written, so that up to LANES - 1 numbers behind the `n_out` ones are replaced.
    """
    vectorize_freely()
    stride = (n_out + LANES - 1) // LANES * LANES
    if n_out == 1:  # a single sum for itself waits for its own additions
        total = biases[bias]
        for j in range(n):
            total += source[first + j] * weights[start + j * LANES]
        target[to] = total
        return
    v = 0
    while v + 5 * LANES <= stride:  # five sums at a time: one for itself waits for its own additions
        a0, a1, a2, a3, a4 = (
            load(biases, bias + v), load(biases, bias + v + LANES), load(biases, bias + v + 2 * LANES),
            load(biases, bias + v + 3 * LANES), load(biases, bias + v + 4 * LANES),
        )  # fmt: skip
        place = start + v
        for j in range(first, first + n):
            x = load_all(source, j)
            a0 = a0 + x * load(weights, place)
            a1 = a1 + x * load(weights, place + LANES)
            a2 = a2 + x * load(weights, place + 2 * LANES)
            a3 = a3 + x * load(weights, place + 3 * LANES)
            a4 = a4 + x * load(weights, place + 4 * LANES)
            place += stride
        store(target, to + v, a0)
        store(target, to + v + LANES, a1)
        store(target, to + v + 2 * LANES, a2)
        store(target, to + v + 3 * LANES, a3)
        store(target, to + v + 4 * LANES, a4)
        v += 5 * LANES
    while v < stride:
        even, odd, place = load(biases, bias + v), spread(0.0), start + v
        for j in range(first, first + n - 1, 2):
            even = even + load_all(source, j) * load(weights, place)
            odd = odd + load_all(source, j + 1) * load(weights, place + stride)
            place += 2 * stride
        if n % 2 == 1:
            even = even + load_all(source, first + n - 1) * load(weights, place)
        store(target, to + v, even + odd)
        v += LANES


@njit_fast
def activate(code, n, y, slope):
    """In place: y <- f(y), slope <- f'(y); `code` is the place of the activation in ACTIVATIONS."""
    vectorize_freely()
    for k in range(n):
        slope[k] = 1.0
    if code == _TANH:  # tanh x = (1 - q)/(1 + q), q = exp(-2 |x|)
        for k in range(n):
            q = exp(-2.0 * abs(y[k]))
            s = 1.0 / (1.0 + q)
            slope[k] = 4.0 * q * s * s
            t = (1.0 - q) * s
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

    Forward over reverse: B. A. Pearlmutter, Neural Comput. 6, 147 (1994).
    """
    vectorize_freely()
    begin, end = layers.first[e], layers.first[e + 1]
    last, zeros = 4 * (end - begin), layers.biases.size - layers.widest
    back, forth, back_t, forth_t = scratch[last], scratch[last + 1], scratch[last + 2], scratch[last + 3]
    for m in range(begin, end):
        own, layer = 4 * (m - begin), layers.layer[m]
        source, source_t = (inputs, inputs_t) if m == begin else (scratch[own - 4], scratch[own - 2])
        y, slope, y_t, slope_t = scratch[own], scratch[own + 1], scratch[own + 2], scratch[own + 3]
        go_forth(layer, layers, layer.bias, source, y)
        go_forth(layer, layers, zeros, source_t, y_t)
        activate(layer.activation, layer.n_out, y, slope)
        curvature(layer.activation, layer.n_out, y, slope, slope_t)
        for k in range(layer.n_out):
            slope_t[k] *= y_t[k]
            y_t[k] *= slope[k]
    output = scratch[last - 4, 0]
    back[0], back_t[0] = 1.0, 0.0
    for m in range(end - 1, begin - 1, -1):
        slope, slope_t = scratch[4 * (m - begin) + 1], scratch[4 * (m - begin) + 3]
        for k in range(layers.layer[m].n_out):
            back_t[k] = back_t[k] * slope[k] + back[k] * slope_t[k]
            back[k] *= slope[k]
        go_back(layers.layer[m], layers, back, forth)
        go_back(layers.layer[m], layers, back_t, forth_t)
        back, forth, back_t, forth_t = forth, back, forth_t, back_t
    for k in range(layers.layer[begin].n_in):
        gradient[k], gradient_t[k] = back[k], back_t[k]
    return output
