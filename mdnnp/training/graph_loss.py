"""The loss of a graph potential, with its exact gradient by the weights.

The loss is that of `loss`. With u = dL/dE, v_i = dL/dF_i and T = dL/d(strain derivative),

    dL/d(weights) = [ u + d/ds ] dE/d(weights)   at s = 0, as r_i -> r_i + s (r_i T - v_i)

so that one sweep over complex edges gives the gradient of all three kinds of errors.
"""

import copy
from collections.abc import Iterable, Sequence

import numpy as np

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.quantities import VOIGT
from mdnnp.atoms.system import System
from mdnnp.base.compiled.jit import run_chunks
from mdnnp.potentials.assembly import Assembly
from mdnnp.potentials.graph.kernels import STEP
from mdnnp.potentials.graph.model import GraphModel
from mdnnp.potentials.graph.potential import GraphPotential
from mdnnp.potentials.graph.sweep import Directions, input_statistics, sweep
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


def standardised(model: GraphModel, structures: Structures, chosen: Sequence[int]) -> GraphModel:
    """The model with constants that give the inputs of its networks mean zero and variance one, layer by layer."""
    for k in range(len(model.layers)):
        sums = [input_statistics(model, structures.assembly(s), structures.species[s], k) for s in chosen]
        n, total, squares = (np.sum(own, axis=0) for own in zip(*sums, strict=True))
        mean = total / n
        spread = np.sqrt(np.maximum(squares / n - mean**2, 0.0))
        constant = spread < 1e-8 * np.maximum(np.abs(mean), 1.0)
        factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, spread + 0.1 * np.abs(mean)))
        layers = list(model.layers)
        layers[k] = layers[k]._replace(shift=mean, factor=factor)
        model = model._replace(layers=tuple(layers))
    return model


class GraphLoss(Loss):
    """The loss over structures begin .. end - 1 of the mean of some models.

    theta of a model is its `GraphModel.vector` over `GraphModel.step_sizes`.
    """

    def __init__(
        self,
        structures: Structures,
        models: Sequence[GraphModel],
        labels: Labels,
        tolerances: Tolerances,
        prior: float,
        begin: int,
        end: int,
    ):
        self.structures, self.models, self.atom_first = structures, list(models), structures.atom_first
        self._sizes = models[0].step_sizes()
        self.labels, self.tolerances, self.prior = labels, tolerances, prior
        self.begin, self.end = begin, end
        self.want_forces = bool(labels.weights.force[begin:end].any())
        self.want_strain = bool(labels.weights.stress[begin:end].any())

    def of_network(self, k: int) -> "GraphLoss":
        """As `Loss.of_network`."""
        other = copy.copy(self)
        other.models = [self.models[k]]
        return other

    def with_weights(self, thetas: Iterable[np.ndarray]) -> list[GraphModel]:
        """The models with thetas (P,), one for each."""
        return [model.with_vector(t * self._sizes) for model, t in zip(self.models, thetas, strict=True)]

    def start(self) -> np.ndarray:
        """(n, P) thetas of the models that were given."""
        return np.array([model.vector() / self._sizes for model in self.models])

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
        return loss, sum(slopes[1:], slopes[0]) * self._sizes + 2.0 * share * self.prior * theta

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
