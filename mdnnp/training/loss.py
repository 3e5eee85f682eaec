"""The loss that a fit minimises, over structures whose descriptors are stored, and its derivatives.

    L = sum_s w_s [ (dE_s / N_s / t_E)^2 + sum_k |dF_k|^2 / t_F^2 + sum_v (dS_sv / N_s / t_S)^2 ] + p |weights|^2

dE is the error of the energy, dF of a force, dS that of the strain derivative (volume times stress: xx, yy, zz, yz, xz,
xy); t_E, t_F, t_S are the errors that count as much as each other, and w_s the weights of the structure, one for each
of the three.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.quantities import VOIGT
from mdnnp.atoms.system import volume
from mdnnp.base.compiled.jit import run_chunks
from mdnnp.training.dataset import LabelledStructure, Weights
from mdnnp.training.derivatives import Layout, Predictions, gradient, jacobian, mapped, predict
from mdnnp.training.descriptor_store import StoredDescriptors
from mdnnp.training.input import FitConfig
from mdnnp.training.network_inputs import Inputs

PARTIAL_SUMS = (
    4  # partial sums, each of its own structures: bounds memory and threads, and fixes the order of summation
)
_ROWS = 1500  # force components that are worked on at a time


class Tolerances(NamedTuple):
    """t_E (eV/atom), t_F (eV/Å), t_S (eV/atom) of the loss."""

    energy: float
    force: float
    stress: float


class Labels(NamedTuple):
    """Labels of S structures with A atoms: energies (S,) without offsets, eV; forces (A, 3); strain (S, 6), eV.

    Missing labels are 0 and have weight 0. n_atoms (S,); weights: of each structure.
    """

    n_atoms: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    strain: np.ndarray
    weights: Weights


def make_labels(structures: Sequence[LabelledStructure], offsets: Mapping[str, float], weights: Weights) -> Labels:
    """The labels of `structures`; `offsets` (eV, by symbol) are taken off the energies."""
    n_atoms = np.array([len(s.system) for s in structures])
    present = [np.array([getattr(s, name) is not None for s in structures]) for name in ("energy_eV", "forces")]
    stressed = np.array([s.stress is not None and bool(s.system.pbc.all()) for s in structures])
    energies = [0.0 if s.energy_eV is None else s.energy_eV - _offset(s, offsets) for s in structures]
    forces = [np.zeros((len(s.system), 3)) if s.forces is None else s.forces for s in structures]
    strain = np.zeros((len(structures), 6))
    for k in np.flatnonzero(stressed).tolist():
        cell, stress = structures[k].system.cell, structures[k].stress
        strain[k] = [volume(cell) * 0.5 * (stress[a, b] + stress[b, a]) for a, b in VOIGT]
    kept = Weights(*(w * has for w, has in zip(weights, (*present, stressed), strict=True)))
    return Labels(n_atoms, np.array(energies), np.concatenate(forces), strain, kept)


def resampled(labels: Labels, n: int, seed: int) -> Labels:
    """The first n structures weighted with how often each is drawn, of n draws with replacement."""
    times = np.ones(len(labels.n_atoms))
    times[:n] = np.random.default_rng([seed, 1]).multinomial(n, np.full(n, 1.0 / n))
    return labels._replace(weights=Weights(*(w * times for w in labels.weights)))


def tolerances_of(fit: FitConfig) -> Tolerances:
    """The tolerances of an input."""
    return Tolerances(
        1e-3 * fit.energy_tolerance_meV, 1e-3 * fit.force_tolerance_meV_A, 1e-3 * fit.stress_tolerance_meV
    )


def _offset(s: LabelledStructure, offsets: Mapping[str, float]) -> float:
    return sum(offsets[chemical_symbols[z]] for z in s.system.numbers)


@dataclass(frozen=True)
class Score:
    """Errors over structures: loss without the prior, and root mean squares, eV/atom, eV/Å, eV/atom (NaN: no labels).

    typical : geometric mean of 1 + the loss of a structure: judges epochs, as no single structure decides it
    worst : index of the structure that adds most to the loss
    """

    loss: float
    energy: float
    force: float
    stress: float
    typical: float
    worst: int


class Loss:
    """The loss over structures begin .. end - 1 of stored descriptors.

    inputs : of the networks, per element
    labels : of all stored structures
    prior : p of the loss
    """

    def __init__(
        self,
        stored: StoredDescriptors,
        layout: Layout,
        inputs: Sequence[Inputs],
        labels: Labels,
        tolerances: Tolerances,
        prior: float,
        begin: int,
        end: int,
    ):
        self.stored, self.layout, self.inputs = stored, layout, inputs
        self.labels, self.tolerances, self.prior = labels, tolerances, prior
        self.begin, self.end = begin, end
        self.atom_first = stored.atom_first
        self.want_forces = bool(labels.weights.force[begin:end].any())
        self.want_strain = bool(labels.weights.stress[begin:end].any())
        self._chunks = _chunks(labels.n_atoms, begin, end)

    def loosened(self, factor: float, prior_factor: float = 1.0) -> "Loss":
        """The same loss, in which energies weigh less: t_E times `factor`; p times `prior_factor`."""
        other = copy.copy(self)
        other.tolerances = self.tolerances._replace(energy=factor * self.tolerances.energy)
        other.prior = prior_factor * self.prior
        return other

    def of_network(self, k: int) -> "Loss":
        """The loss of network `k` of a mean alone; here that of any."""
        return self

    @property
    def n_parameters(self) -> int:
        """The length of theta."""
        return self.layout.n_parameters

    def parts(self, begin: int, end: int) -> Any:
        """What predictions for structures begin .. end - 1 need: inputs of the networks, per element."""
        return [
            mapped(self.stored.part(symbol, begin, end), own)
            for symbol, own in zip(self.stored.elements, self.inputs, strict=True)
        ]

    def predict(self, parts: Any, theta: np.ndarray) -> Predictions:
        """As `derivatives.predict`."""
        return predict(parts, self.layout, theta, self.want_strain)

    def jacobian(self, parts: Any, theta: np.ndarray) -> tuple[Predictions, np.ndarray]:
        """As `derivatives.jacobian`."""
        return jacobian(parts, self.layout, theta, self.want_forces, self.want_strain)

    def pulled_back(self, parts: Any, theta: np.ndarray, upstream: Predictions) -> np.ndarray:
        """As `derivatives.gradient`."""
        return gradient(parts, self.layout, theta, upstream, self.want_strain)

    def predictions(self, theta: np.ndarray, begin: int, end: int) -> Predictions:
        """Energies without offsets, forces and strain derivatives of structures begin .. end - 1."""
        return self.predict(self.parts(begin, end), theta)

    def residuals(self, predictions: Predictions, begin: int, end: int) -> Predictions:
        """Errors of predictions for structures begin .. end - 1: eV/atom, eV/Å, eV/atom."""
        labels, n = self.labels, self.labels.n_atoms[begin:end]
        atoms = slice(self.atom_first[begin], self.atom_first[end])
        return Predictions(
            (predictions.energies - labels.energies[begin:end]) / n,
            predictions.forces - labels.forces[atoms],
            (predictions.strain - labels.strain[begin:end]) / n[:, None],
        )

    def score(self, *thetas: np.ndarray) -> Score:
        """Errors with these weights; of several, the errors of the mean of their predictions."""
        sums = np.zeros((self.end - self.begin, 3))

        def work(lane):
            for begin, end in self._chunks[lane::PARTIAL_SUMS]:
                parts = self.parts(begin, end)
                each = [self.predict(parts, theta) for theta in thetas]
                predictions = Predictions._make(sum(own) / len(thetas) for own in zip(*each, strict=True))
                residuals = self.residuals(predictions, begin, end)
                sums[begin - self.begin : end - self.begin] = self._squares(residuals, begin, end)

        run_chunks(work, PARTIAL_SUMS)
        return self._score(sums)

    def _squares(self, residuals: Predictions, begin: int, end: int) -> np.ndarray:
        """(S, 3) sums of squares of each structure; those without label count nothing."""
        first = self.atom_first[begin : end + 1] - self.atom_first[begin]
        force = np.add.reduceat((residuals.forces**2).sum(axis=1), first[:-1])
        return np.stack([residuals.energies**2, force, (residuals.strain**2).sum(axis=1)], axis=1)

    def _score(self, squares: np.ndarray) -> Score:
        own = slice(self.begin, self.end)
        weights = np.stack([w[own] for w in self.labels.weights], axis=1)
        by_structure = (squares * weights / np.square(self.tolerances)).sum(axis=1)
        n = self.labels.n_atoms[own]
        counts = (weights > 0) * np.stack([np.ones_like(n), 3 * n, np.full_like(n, 6)], axis=1)
        total = counts.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            rms = np.sqrt((squares * (weights > 0)).sum(axis=0) / total)
        typical = math.exp(np.log1p(by_structure).mean()) if np.isfinite(by_structure).all() else math.nan
        energy, force, strain = map(float, rms)
        worst = int(np.argmax(by_structure)) + self.begin
        return Score(float(by_structure.sum()), energy, force, strain, typical, worst)

    def normal_equations(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Half of the Gauss-Newton matrix (P, P) of the loss, upper triangle, and half of its gradient (P,).

        Products of force rows are taken in single precision, block by block; all sums are double.
        """
        n = self.n_parameters
        matrices = [np.zeros((n, n), order="F") for _ in range(PARTIAL_SUMS)]
        gradients = [np.zeros(n) for _ in range(PARTIAL_SUMS)]

        def work(lane):
            for begin, end in self._chunks[lane::PARTIAL_SUMS]:
                self._add_normal_equations(theta, begin, end, matrices[lane], gradients[lane])

        run_chunks(work, PARTIAL_SUMS)
        matrix, half_gradient = sum(matrices[1:], matrices[0]), sum(gradients[1:], gradients[0])
        matrix[np.diag_indices(n)] += self.prior
        return matrix, half_gradient + self.prior * theta

    def _add_normal_equations(self, theta, begin, end, matrix, half_gradient):
        from scipy.linalg import blas

        predictions, rows = self.jacobian(self.parts(begin, end), theta)
        scale, weighted = self._weighted(predictions, begin, end)
        rows *= scale.astype(rows.dtype)[:, None]
        n = end - begin
        n_force = predictions.forces.size if self.want_forces else 0
        # Rows of energy and stress weigh most: their products would lose the digits of the others in single precision.
        few = np.concatenate([rows[:n], rows[n + n_force :]]).astype(np.float64)
        if n_force:
            many = rows[n : n + n_force]
            product = blas.ssyrk(1.0, many.T) if rows.dtype == np.float32 else blas.dsyrk(1.0, many.T)
            matrix += product
        matrix += blas.dsyrk(1.0, few.T)
        half_gradient += weighted.astype(rows.dtype) @ rows

    def weighted_residuals(self, theta: np.ndarray) -> np.ndarray:
        """The residuals whose squares the loss sums up, chunk by chunk."""
        return np.concatenate([self._weighted(self.predictions(theta, *c), *c)[1] for c in self._chunks])

    def _weighted(self, predictions: Predictions, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """What the rows of `jacobian` are multiplied by, and the residuals multiplied likewise."""
        factors, n = self._factors(begin, end), self.labels.n_atoms[begin:end]
        residuals = self.residuals(predictions, begin, end)
        scale, weighted = [factors.energies / n], [factors.energies * residuals.energies]
        if self.want_forces:
            scale.append(np.repeat(factors.forces, 3))
            weighted.append((factors.forces[:, None] * residuals.forces).ravel())
        if self.want_strain:
            scale.append(np.repeat(factors.strain / n, 6))
            weighted.append((factors.strain[:, None] * residuals.strain).ravel())
        return np.concatenate(scale), np.concatenate(weighted)

    def _factors(self, begin, end) -> Predictions:
        """Square roots of what the squared residuals are multiplied by; forces (A,), strain (S,)."""
        w, t = self.labels.weights, self.tolerances
        own = slice(begin, end)
        return Predictions(
            np.sqrt(w.energy[own]) / t.energy,
            np.repeat(np.sqrt(w.force[own]), self.labels.n_atoms[own]) / t.force,
            np.sqrt(w.stress[own]) / t.stress,
        )

    def bend(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(P,) J^T r'': the second derivative r'' of the weighted residuals along `v`, by differences, pulled back.

        J is their derivative by the weights at `theta`.
        """
        h = 0.1
        lanes = [np.zeros(self.n_parameters) for _ in range(PARTIAL_SUMS)]

        def work(lane):
            for begin, end in self._chunks[lane::PARTIAL_SUMS]:
                parts = self.parts(begin, end)
                up, here, down = (self.predict(parts, theta + k * v) for k in (h, 0.0, -h))
                f, n = self._factors(begin, end), self.labels.n_atoms[begin:end]
                second = [(a - 2.0 * b + c) / h**2 for a, b, c in zip(up, here, down, strict=True)]
                upstream = Predictions(
                    (f.energies / n) ** 2 * second[0],
                    f.forces[:, None] ** 2 * second[1],
                    (f.strain / n)[:, None] ** 2 * second[2],
                )
                lanes[lane] += self.pulled_back(parts, theta, upstream)

        run_chunks(work, PARTIAL_SUMS)
        return sum(lanes[1:], lanes[0])

    def gradient(self, theta: np.ndarray, structures: Sequence[int] | np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and its gradient over some of the structures, the prior in proportion."""
        losses = [0.0] * PARTIAL_SUMS
        slopes = [np.zeros(self.n_parameters) for _ in range(PARTIAL_SUMS)]

        def work(lane):
            for s in structures[lane::PARTIAL_SUMS]:
                parts = self.parts(s, s + 1)
                predictions = self.predict(parts, theta)
                f, r = self._factors(s, s + 1), self.residuals(predictions, s, s + 1)
                n = self.labels.n_atoms[s]
                upstream = Predictions(
                    2.0 * f.energies**2 * r.energies / n,
                    2.0 * f.forces[:, None] ** 2 * r.forces,
                    2.0 * f.strain[:, None] ** 2 * r.strain / n,
                )
                squares = self._squares(r, s, s + 1)[0]
                weights = np.array([w[s] for w in self.labels.weights])
                losses[lane] += float((squares * weights / np.square(self.tolerances)).sum())
                slopes[lane] += self.pulled_back(parts, theta, upstream)

        run_chunks(work, PARTIAL_SUMS)
        share = len(structures) / (self.end - self.begin)
        loss = sum(losses) + share * self.prior * float(theta @ theta)
        return loss, sum(slopes[1:], slopes[0]) + 2.0 * share * self.prior * theta


def _chunks(n_atoms: np.ndarray, begin: int, end: int) -> list[tuple[int, int]]:
    """Consecutive structures with at most about _ROWS force components together."""
    chunks, start, rows = [], begin, 0
    for s in range(begin, end):
        if s > start and rows + 3 * n_atoms[s] > _ROWS:
            chunks.append((start, s))
            start, rows = s, 0
        rows += 3 * n_atoms[s]
    return [*chunks, (start, end)] if end > begin else []
