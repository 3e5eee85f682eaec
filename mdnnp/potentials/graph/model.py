"""What a graph potential is: its sizes, constants and weights.

    A_i^{lm,c} = s sum_j h_j^c R_c(r_ij) Y_lm(r_ij / r_ij)      R_c(r) = f(r) sum_b W_bc sin(b pi r / r_c) / r
    p_i^{l,c} = sum_m A_i^{lm,c} (A_i^{lm} U_l)^c               x_i = (h_i, A_i^{00}, p_i)
    (h_i', e_i) = network(x_i)                                  E_i = offset + sum over layers of e_i

In the first layer h_j is a vector that belongs to the element of j; in the next, the features that the layer before
gave it. So an atom knows what is within (number of layers) x cutoff. The messages h are invariant, Y_lm are real
spherical harmonics with sum_m Y_lm(u) Y_lm(v) = P_l(u.v), and f(r) = (1 - x)^3 (1 + 3 x + 6 x^2), x = r / r_c, has two
continuous derivatives. Such sums are the A-basis of the atomic cluster expansion with learned radial functions (R.
Drautz, Phys. Rev. B 99, 014104 (2019)); features in place of elements make it message passing (I. Batatia et al.,
NeurIPS 2022).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    """Weights of one layer, C channels, D inputs, H hidden nodes, O = C + 1 outputs, 1 in the last layer.

    radial (B, C) : W; mixing (degree + 1, C, C) : U
    direct (D, O) : the linear part of the network; first (D, H), second (H, H), last (H, O) and biases : the rest, with
        two hidden layers of tanh
    shift, factor (D,) : constants, the network sees (x - shift) * factor
    """

    radial: np.ndarray
    mixing: np.ndarray
    direct: np.ndarray
    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray
    shift: np.ndarray
    factor: np.ndarray


_EARLY = 0.1
CONSTANTS = ("shift", "factor")  # of a layer: set from data, not fitted


class GraphModel(NamedTuple):
    """A graph potential.

    numbers : atomic numbers, ascending; offsets (S,) eV, of an atom of each
    cutoff : Å, of each layer; degree : largest l
    scale : s, one over the root of a typical number of neighbours
    embedding (S, C) : the first layer's features of each element
    """

    numbers: tuple[int, ...]
    offsets: np.ndarray
    cutoff: float
    degree: int
    scale: float
    embedding: np.ndarray
    layers: tuple[Layer, ...]

    @property
    def channels(self) -> int:
        """C."""
        return self.embedding.shape[1]

    def weights(self) -> Iterator[np.ndarray]:
        """What is fitted, in the order of `vector`."""
        yield self.embedding
        for layer in self.layers:
            yield from (own for name, own in layer._asdict().items() if name not in CONSTANTS)

    def vector(self) -> np.ndarray:
        """(P,) all fitted weights."""
        return np.concatenate([own.ravel() for own in self.weights()])

    def step_sizes(self) -> np.ndarray:
        """(P,) by how much a weight may change where a weight of size one may change by one.

        Networks' weights go with one over the root of the number of inputs. What makes their inputs must change less,
        as all inputs change with it.
        """
        sizes = [np.full(self.embedding.size, _EARLY)]
        for layer in self.layers:
            own = {
                "radial": _EARLY * math.sqrt(self.cutoff / len(layer.radial)),
                "mixing": _EARLY / math.sqrt(self.channels),
            }
            for name, values in layer._asdict().items():
                if name not in CONSTANTS:
                    usual = _EARLY if values.ndim == 1 else 1.0 / math.sqrt(values.shape[0])
                    sizes.append(np.full(values.size, own.get(name, usual)))
        return np.concatenate(sizes)

    def with_vector(self, theta: np.ndarray) -> "GraphModel":
        """The same model with the weights `theta` (P,)."""
        parts, at = [], 0
        for own in self.weights():
            parts.append(theta[at : at + own.size].reshape(own.shape))
            at += own.size
        taken = iter(parts)
        embedding = next(taken)
        layers = tuple(
            layer._replace(**{name: next(taken) for name in layer._fields if name not in CONSTANTS})
            for layer in self.layers
        )
        return self._replace(embedding=embedding, layers=layers)

    def zeros(self) -> "GraphModel":
        """A model whose fitted weights are zero: a gradient to add to."""
        return self.with_vector(np.zeros(sum(own.size for own in self.weights())))


def n_inputs(channels: int, degree: int) -> int:
    """D of `Layer`."""
    return channels * (degree + 3)


def layer_shapes(
    layers: int, channels: int, radial: int, degree: int, hidden: int
) -> tuple[dict[str, tuple[int, ...]], ...]:
    """Shapes of the arrays of each layer, in the order of `Layer`."""
    d, found = n_inputs(channels, degree), []
    for k in range(layers):
        outputs = 1 if k == layers - 1 else channels + 1
        found.append(
            {
                "radial": (radial, channels),
                "mixing": (degree + 1, channels, channels),
                "direct": (d, outputs),
                "first": (d, hidden),
                "first_bias": (hidden,),
                "second": (hidden, hidden),
                "second_bias": (hidden,),
                "last": (hidden, outputs),
                "last_bias": (outputs,),
                "shift": (d,),
                "factor": (d,),
            }
        )
    return tuple(found)


def draw_model(
    numbers: tuple[int, ...],
    cutoff: float,
    *,
    layers: int,
    channels: int,
    radial: int,
    degree: int,
    hidden: int,
    neighbors: float,
    rng: np.random.Generator,
) -> GraphModel:
    """A model with random weights and zero offsets; its energies are zero, as its last weights are.

    radial : number of radial functions B; neighbors : typical number of neighbours within the cutoff
    """
    layer_sizes = layer_shapes(layers, channels, radial, degree, hidden)
    spread = {
        "radial": math.sqrt(cutoff / radial), "mixing": 1.0 / math.sqrt(channels),
        "first": 1.0 / math.sqrt(n_inputs(channels, degree)), "second": 1.0 / math.sqrt(hidden),
        "last": 1.0 / math.sqrt(hidden), "factor": 0.0,
    }  # fmt: skip
    made = []
    for shapes in layer_sizes:
        own = {name: spread.get(name, 0.0) * rng.standard_normal(shape) for name, shape in shapes.items()}
        layer = Layer(**own)
        layer.last[:, -1] = 0.0  # energies begin with zero, and features with about one
        layer.last_bias[:-1] = 1.0
        layer.factor[:] = 1.0
        made.append(layer)
    return GraphModel(
        numbers, np.zeros(len(numbers)), cutoff, degree, 1.0 / math.sqrt(max(neighbors, 1.0)),
        1.0 + 0.5 * rng.standard_normal((len(numbers), channels)), tuple(made),
    )  # fmt: skip


def shared_out(model: GraphModel, n: int) -> GraphModel:
    """The model with energies divided by `n`: one of `n` whose energies add up to their mean."""
    layers = []
    for layer in model.layers:
        own = {name: getattr(layer, name).copy() for name in ("direct", "last", "last_bias")}
        for values in own.values():
            values[..., -1] /= n
        layers.append(layer._replace(**own))
    return model._replace(layers=tuple(layers))
