"""Energy, forces, their derivatives, and gradients by the weights of a graph model: layer by layer, there and back.

Each layer sums along the edges of all atoms, then its network works on each atom. The way back begins with dE/de_i = 1
and gives every layer's dE/dA, from which the kernels make forces and what flows to the features of the neighbours.
Atoms are worked on in the chunks of the assembly, whose sums are added in order: results do not depend on threads.
"""

from typing import Any, NamedTuple

import numpy as np

from mdnnp.potentials.assembly import Assembly
from mdnnp.potentials.graph.kernels import STEP, gather_features, norms, pull_back
from mdnnp.potentials.graph.model import GraphModel, Layer


class Directions(NamedTuple):
    """Where derivatives are taken: r_i -> r_i + s (displacements_i + r_i strain); (N, 3) Å in list's order, (3, 3)."""

    displacements: np.ndarray
    strain: np.ndarray


class _Kept(NamedTuple):
    """What the way back needs of a layer, of all atoms: h (N, C), A (N, M, C), inputs (N, D), both hidden (N, H)."""

    features: np.ndarray
    sums: np.ndarray
    inputs: np.ndarray
    first: np.ndarray
    second: np.ndarray


def sweep(
    model: GraphModel,
    assembly: Assembly,
    species: np.ndarray,
    directions: Directions | None = None,
    gradient: bool = False,
) -> tuple[np.ndarray, GraphModel | None]:
    """Add forces and strain derivative to the assembly; returns energies (N,) eV without offsets, in the list's order.

    species (N,) : row of each atom in the model's embedding
    directions : if there, what is added is the derivatives along them, see `LocalPotential.add_tangent`
    gradient : whether dE/d(weights) is returned, in the shape of the model; complex with directions, with the
        derivative along them times STEP as its imaginary part
    """
    walk = _Walk(model, assembly, directions)
    energies, kept = walk.there(species)
    return energies.real, walk.back(species, kept, gradient)


def input_moments(
    model: GraphModel, assembly: Assembly, species: np.ndarray, layer: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of atoms, and sums of a layer's inputs (D,) and of their products (D, D), before standardising."""
    own = model.layers[layer]
    plain = own._replace(shift=np.zeros_like(own.shift), factor=np.ones_like(own.factor))
    part = model._replace(layers=(*model.layers[:layer], plain))
    inputs = _Walk(part, assembly, None).there(species)[1][layer].inputs
    return len(inputs), inputs.sum(axis=0), inputs.T @ inputs


class _Walk:
    """Through the layers and back, for one configuration."""

    def __init__(self, model: GraphModel, assembly: Assembly, directions: Directions | None):
        self._model, self._assembly, self._norm = model, assembly, norms(model.degree)
        self._kind: Any = float if directions is None else complex
        self._moves: np.ndarray = np.zeros((0, 3))
        self._strain: np.ndarray = self._moves
        if directions is not None:
            self._moves, self._strain = 1j * STEP * directions.displacements, 1j * STEP * directions.strain

    def there(self, species: np.ndarray) -> tuple[np.ndarray, list[_Kept]]:
        """Energies (N,), and what is kept of each layer."""
        energies, features = np.zeros(len(species), self._kind), self._model.embedding[species].astype(self._kind)
        kept = []
        for layer in self._model.layers:
            own, outputs = self._layer(layer, features)
            kept.append(own)
            energies += outputs[:, -1]
            features = outputs[:, :-1]
        return energies, kept

    def _layer(self, layer: Layer, features: np.ndarray) -> tuple[_Kept, np.ndarray]:
        """What is kept, and the outputs (N, O)."""
        model, assembly, n = self._model, self._assembly, len(features)
        own = _Kept(
            np.ascontiguousarray(features),
            np.empty((n, self._norm.size, model.channels), self._kind),
            np.empty((n, len(layer.shift)), self._kind),
            np.empty((n, layer.first.shape[1]), self._kind),
            np.empty((n, layer.second.shape[1]), self._kind),
        )
        outputs = np.empty((n, layer.last.shape[1]), self._kind)

        def work(c: int) -> None:
            begin, end = assembly.bounds[c], assembly.bounds[c + 1]
            gather_features(
                begin, end, *assembly.geometry, model.cutoff, self._moves, self._strain, own.features, layer.radial,
                model.degree, self._norm, model.scale, own.sums, assembly.clashes[c:],
            )  # fmt: skip
            outputs[begin:end] = _network(model, layer, own, slice(begin, end))

        assembly.run(work)
        return own, outputs

    def back(self, species: np.ndarray, kept: list[_Kept], gradient: bool) -> GraphModel | None:
        """Add to the assembly; returns dE/d(weights) if wanted."""
        bars = np.ones((len(species), 1), self._kind)
        each = [self._zeros() for _ in range(self._assembly.n_chunks)] if gradient else None
        for k in reversed(range(len(kept))):
            to = None if each is None else [own.layers[k] for own in each]
            features = self._layer_back(self._model.layers[k], kept[k], bars, to, gradient or k > 0)
            bars = np.concatenate([features, np.ones((len(species), 1), self._kind)], axis=1)
        if each is None:
            return None
        total = each[0].with_vector(np.sum([own.vector() for own in each], axis=0))
        np.add.at(total.embedding, species, bars[:, :-1])
        return total

    def _zeros(self) -> GraphModel:
        return self._model.with_vector(np.zeros(self._model.vector().size, self._kind))

    def _layer_back(
        self, layer: Layer, own: _Kept, bars: np.ndarray, to: list[Layer] | None, want_features: bool
    ) -> np.ndarray:
        """dE/dh (N, C) of the features that a layer was given, from dE/d(outputs), `bars`; gradients added `to`."""
        model, assembly = self._model, self._assembly
        sums_bars, direct, gathered = np.empty_like(own.sums), np.empty_like(own.features), np.zeros_like(own.features)
        nothing = np.zeros((0, model.channels), self._kind)

        def networks(c: int) -> None:
            part = slice(assembly.bounds[c], assembly.bounds[c + 1])
            direct[part], sums_bars[part] = _network_back(
                model, layer, own, part, bars[part], None if to is None else to[c]
            )

        def edges(c: int) -> None:
            pull_back(
                assembly.bounds[c], assembly.bounds[c + 1], *assembly.geometry, model.cutoff, self._moves,
                self._strain, own.features, layer.radial, model.degree, self._norm, model.scale, sums_bars,
                want_features, to is not None, gathered, nothing if to is None else to[c].radial,
                assembly.forces[c], assembly.strain[c], assembly.atomic_virials[c],
            )  # fmt: skip

        assembly.run(networks)
        assembly.run(edges)
        return direct + gathered


def _tanh(x: np.ndarray) -> np.ndarray:
    """tanh; of complex numbers with a tiny imaginary part, exact in that part too."""
    if x.dtype.kind != "c":
        return np.tanh(x)
    value = np.tanh(x.real)
    return value + 1j * ((1.0 - value * value) * x.imag)


def _blocks(degree: int) -> list[slice]:
    """The rows of each l."""
    return [slice(order * order, (order + 1) ** 2) for order in range(degree + 1)]


def _network(model: GraphModel, layer: Layer, own: _Kept, part: slice) -> np.ndarray:
    """(n, O) outputs of some atoms, and what is kept of the way there."""
    sums, channels = own.sums[part], model.channels
    inputs = own.inputs[part]
    inputs[:, :channels] = own.features[part]
    inputs[:, channels : 2 * channels] = sums[:, 0]
    for order, rows in enumerate(_blocks(model.degree)):
        block = sums[:, rows]
        at = slice((2 + order) * channels, (3 + order) * channels)
        inputs[:, at] = (block * (block @ layer.mixing[order])).sum(axis=1)
    inputs -= layer.shift
    inputs *= layer.factor
    first = own.first[part] = _tanh(inputs @ layer.first + layer.first_bias)
    second = own.second[part] = _tanh(first @ layer.second + layer.second_bias)
    return inputs @ layer.direct + second @ layer.last + layer.last_bias


def _network_back(
    model: GraphModel, layer: Layer, own: _Kept, part: slice, bars: np.ndarray, to: Layer | None
) -> tuple[np.ndarray, np.ndarray]:
    """dE/dh (n, C) and dE/dA (n, M, C) of some atoms from dE/d(outputs), and their dE/d(weights) added `to`."""
    channels = model.channels
    inputs, first, second, sums = own.inputs[part], own.first[part], own.second[part], own.sums[part]
    second_bars = (bars @ layer.last.T) * (1.0 - second * second)
    first_bars = (second_bars @ layer.second.T) * (1.0 - first * first)
    input_bars = bars @ layer.direct.T + first_bars @ layer.first.T
    if to is not None:
        for target, left, right in (
            (to.direct, inputs, bars), (to.first, inputs, first_bars), (to.second, first, second_bars),
            (to.last, second, bars),
        ):  # fmt: skip
            target[...] += left.T @ right
        for bias, own_bars in ((to.first_bias, first_bars), (to.second_bias, second_bars), (to.last_bias, bars)):
            bias[...] += own_bars.sum(axis=0)
    input_bars *= layer.factor
    out = np.empty_like(sums)
    for order, rows in enumerate(_blocks(model.degree)):
        block = sums[:, rows]
        at = slice((2 + order) * channels, (3 + order) * channels)
        weighted = block * input_bars[:, None, at]
        out[:, rows] = input_bars[:, None, at] * (block @ layer.mixing[order]) + weighted @ layer.mixing[order].T
        if to is not None:
            to.mixing[order] += np.tensordot(block, weighted, ((0, 1), (0, 1)))
    out[:, 0] += input_bars[:, channels : 2 * channels]
    return input_bars[:, :channels], out
