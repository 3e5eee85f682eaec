"""The loss of a graph potential, with its exact gradient by the weights.

The loss is that of `loss`. With u = dL/dE, v_i = dL/dF_i and T = dL/d(strain derivative),

    dL/d(weights) = [ u + d/ds ] dE/d(weights)   at s = 0, as r_i -> r_i + s (r_i T - v_i)

so that one sweep over complex edges gives the gradient of all three kinds of errors.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.quantities import VOIGT
from mdnnp.atoms.system import System
from mdnnp.base.compiled.jit import run_chunks
from mdnnp.potentials.assembly import Assembly
from mdnnp.potentials.graph.kernels import STEP
from mdnnp.potentials.graph.model import GraphModel
from mdnnp.potentials.graph.potential import GraphPotential
from mdnnp.potentials.graph.sweep import Directions, input_moments, sweep
from mdnnp.training.derivatives import Predictions
from mdnnp.training.loss import PARTIAL_SUMS, Labels, Loss, Score, Tolerances


class Structures:
    """Systems of a fit with their neighbour lists."""

    def __init__(self, systems: Sequence[System], model: GraphModel):
        potential = GraphPotential([model])
        self.systems = list(systems)
        self.neighbors: list[NeighborList] = [potential.neighbors_of(s) for s in systems]
        self.species = [potential.element_of[s.numbers[n.order]] for s, n in zip(systems, self.neighbors, strict=True)]
        self.atom_first = np.concatenate([[0], np.cumsum([len(s) for s in systems])])

    def assembly(self, k: int) -> Assembly:
        """An empty assembly of one chunk: structures, not atoms, are shared between threads."""
        return Assembly(self.systems[k], self.neighbors[k], most_chunks=1)


_NOISE = 1e-8  # added to all variances, as in `network_inputs`


class Start(NamedTuple):
    """A model to start from, and for each layer the matrix (D, D) that its first weights are fitted behind.

    The constants of its layers give inputs of mean zero and variance one. These depend on each other; the matrix half
    whitens them, as `network_inputs` tells: M = C^(-1/4) sqrt(D / trace C^(1/2)), C their covariance.
    """

    model: GraphModel
    matrices: tuple[np.ndarray, ...]


def started(model: GraphModel, structures: Structures, chosen: Sequence[int]) -> Start:
    """From a model with random weights, layer by layer."""
    matrices = []
    for k in range(len(model.layers)):
        sums = [input_moments(model, structures.assembly(s), structures.species[s], k) for s in chosen]
        n, total, products = (np.sum(own, axis=0) for own in zip(*sums, strict=True))
        mean = total / n
        covariance = products / n - np.outer(mean, mean)
        spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        constant = spread < 1e-8 * np.maximum(np.abs(mean), 1.0)
        factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, spread + 0.1 * np.abs(mean)))
        with threadpool_limits(1, user_api="blas"):  # the same bits whatever the number of threads
            variances, vectors = np.linalg.eigh(factor[:, None] * covariance * factor)
            root = np.sqrt(np.maximum(variances, 0.0) + _NOISE)
            matrix = (vectors / np.sqrt(root)) @ vectors.T * np.sqrt(len(root) / root.sum())
        layer = model.layers[k]
        layer = layer._replace(shift=mean, factor=factor, first=matrix @ layer.first, direct=matrix @ layer.direct)
        model = model._replace(layers=(*model.layers[:k], layer, *model.layers[k + 1 :]))
        matrices.append(matrix)
    return Start(model, tuple(matrices))


class GraphLoss(Loss):
    """The loss over structures begin .. end - 1 of the mean of some models.

    theta of a model: its weights, the first ones of each layer in the coordinates of `Start`, over
    `GraphModel.step_sizes`.
    """

    def __init__(
        self,
        structures: Structures,
        starts: Sequence[Start],
        labels: Labels,
        tolerances: Tolerances,
        prior: float,
        begin: int,
        end: int,
    ):
        self.structures, self.starts, self.atom_first = structures, list(starts), structures.atom_first
        self._sizes = starts[0].model.step_sizes()
        self.labels, self.tolerances, self.prior = labels, tolerances, prior
        self.begin, self.end = begin, end
        self.want_forces = bool(labels.weights.force[begin:end].any())
        self.want_strain = bool(labels.weights.stress[begin:end].any())

    def of_network(self, k: int) -> "GraphLoss":
        """As `Loss.of_network`."""
        other = copy.copy(self)
        other.starts = [self.starts[k]]
        return other

    def with_weights(self, thetas: Iterable[np.ndarray]) -> list[GraphModel]:
        """The models with thetas (P,), one for each."""
        return [
            _behind(start.model.with_vector(theta * self._sizes), start.matrices)
            for start, theta in zip(self.starts, thetas, strict=True)
        ]

    def start(self) -> np.ndarray:
        """(n, P) thetas of the models that were given."""
        inverses = [[np.linalg.inv(matrix) for matrix in start.matrices] for start in self.starts]
        models = [_behind(start.model, own) for start, own in zip(self.starts, inverses, strict=True)]
        return np.array([model.vector() / self._sizes for model in models])

    def score(self, *thetas: np.ndarray) -> Score:
        """As `Loss.score`."""
        models = self.with_weights(thetas)
        squares = np.zeros((self.end - self.begin, 3))

        def work(lane: int) -> None:
            for s in range(self.begin + lane, self.end, PARTIAL_SUMS):
                each = [self._predict(model, s) for model in models]
                mean = Predictions._make(sum(own) / len(each) for own in zip(*each, strict=True))
                squares[s - self.begin] = self._squares(self.residuals(mean, s, s + 1), s, s + 1)[0]

        run_chunks(work, PARTIAL_SUMS)
        return self._score(squares)

    def _predict(self, model: GraphModel, s: int) -> Predictions:
        assembly = self.structures.assembly(s)
        energies, _ = sweep(model, assembly, self.structures.species[s])
        strain = assembly.strain[0]
        own = np.array([[0.5 * (strain[a, b] + strain[b, a]) for a, b in VOIGT]])
        return Predictions(np.array([energies.sum()]), assembly.unsorted(assembly.forces[0]), own)

    def gradient(self, theta: np.ndarray, structures: Sequence[int] | np.ndarray) -> tuple[float, np.ndarray]:
        """As `Loss.gradient`, of one model."""
        (model,) = self.with_weights([theta])
        losses = [0.0] * PARTIAL_SUMS
        slopes = [np.zeros(len(theta)) for _ in range(PARTIAL_SUMS)]

        def work(lane: int) -> None:
            for s in structures[lane::PARTIAL_SUMS]:
                loss, slope = self._gradient(model, int(s))
                losses[lane] += loss
                slopes[lane] += slope

        run_chunks(work, PARTIAL_SUMS)
        share = len(structures) / (self.end - self.begin)
        loss = sum(losses) + share * self.prior * float(theta @ theta)
        matrices = [matrix.T for matrix in self.starts[0].matrices]
        slope = _behind(model.with_vector(sum(slopes[1:], slopes[0])), matrices).vector()
        return loss, slope * self._sizes + 2.0 * share * self.prior * theta

    def _gradient(self, model: GraphModel, s: int) -> tuple[float, np.ndarray]:
        factors, n = self._factors(s, s + 1), self.labels.n_atoms[s]
        errors = self.residuals(self._predict(model, s), s, s + 1)
        energy = 2.0 * float(factors.energies[0]) ** 2 * float(errors.energies[0]) / n
        forces = 2.0 * factors.forces[:, None] ** 2 * errors.forces
        six = 2.0 * float(factors.strain[0]) ** 2 * errors.strain[0] / n
        strain = np.zeros((3, 3))
        for (a, b), value in zip(VOIGT, six, strict=True):
            strain[a, b] += 0.5 * value
            strain[b, a] += 0.5 * value
        assembly = self.structures.assembly(s)
        directions = Directions(np.ascontiguousarray(-forces[assembly.order]), strain)
        _, gradient = sweep(model, assembly, self.structures.species[s], directions, gradient=True)
        assert gradient is not None
        slope = gradient.vector()
        weights = np.array([w[s] for w in self.labels.weights])
        squares = self._squares(errors, s, s + 1)[0]
        return float((squares * weights / np.square(self.tolerances)).sum()), energy * slope.real + slope.imag / STEP


def _behind(model: GraphModel, matrices: Sequence[np.ndarray]) -> GraphModel:
    """The model whose layers' first weights, and those of the linear part, are multiplied by these matrices."""
    layers = zip(model.layers, matrices, strict=True)
    return model._replace(
        layers=tuple(layer._replace(first=m @ layer.first, direct=m @ layer.direct) for layer, m in layers)
    )
