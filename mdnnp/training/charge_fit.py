"""The charges of a fourth-generation potential, fitted to charges.

In charge equilibration, (E + J) q + lambda = -chi with sum q = Q, the charges are linear in the electronegativities
chi: dq/dchi = -S and dq/dJ_i = -S_i q_i, where S is the inverse on changes that keep the sum. So the errors of the
charges have exact derivatives, and the fit is one of least squares, by the optimiser of all fits.

The short-range networks see the charge as one more function of the positions, on which it depends through all atoms:
`ChargedDescriptors` are stored symmetry functions with this one added, so that the fit of energies and forces knows
nothing of charges. T. W. Ko et al., Nat. Commun. 12, 398 (2021) fit in these two stages.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.linalg
from ase.data import atomic_numbers, covalent_radii

from mdnnp.atoms.quantities import VOIGT
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.hdnnp.model import ChargeModel, HDNNPModel, scaling_coefficients
from mdnnp.potentials.zbl import COULOMB_EV_A
from mdnnp.training.dataset import LabelledStructure
from mdnnp.training.derivatives import Layout, center_pass
from mdnnp.training.descriptor_store import Part, StoredDescriptors
from mdnnp.training.loss import Loss, Score, Tolerances
from mdnnp.training.network_inputs import Inputs, fold

HARDNESS_EV = 5.0  # eV/e^2, of elements without a value
_ROWS = 2000  # charges that are worked on at a time
ROOT = 1.0 / 3.0  # a factor of e in the hardness costs as much as nine times the square of a weight of one


def check_charges(structures: Sequence[LabelledStructure], labels: bool) -> None:
    """Raise InputError for structures that cannot be fitted with charges; labels : if charges are fitted to charges."""
    for s in structures:
        if s.system.pbc.any() and not s.system.pbc.all():
            raise InputError(
                f"{s.name}: is periodic in {int(s.system.pbc.sum())} directions; charges need three or none"
            )
        if not labels:
            continue
        if s.charges is None:
            raise InputError(
                f'{s.name}: has no charges, which charges.learned_from = "labels" needs; give them as a column '
                "`charges` of extended XYZ or in input.data, or leave the structure out by data.exclude"
            )
        total = float(s.charges.sum())
        if abs(total - s.system.charge) > 0.05:
            raise InputError(
                f"{s.name}: the charges of its atoms add up to {total:.4f} e, but its total charge is "
                f"{s.system.charge:g} e; state the total charge as `charge`"
            )


def starting_values(
    symbols: Sequence[str],
    widths: Mapping[str, float],
    hardness: Mapping[str, float],
    electronegativities: Mapping[str, float],
    source: str,
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Å, eV/e^2 and eV/e of each element; by default covalent radii, HARDNESS_EV and 0.

    Raises InputError for other elements.
    """
    for name, given in (
        ("widths_A", widths), ("hardness_eV", hardness), ("electronegativities_eV", electronegativities),
    ):  # fmt: skip
        if extra := sorted(set(given) - set(symbols)):
            raise InputError(
                f"{source}: charges.{name} has {extra[0]}, which no structure has; the elements are "
                f"{', '.join(symbols)}"
            )
    return (
        {e: float(widths.get(e, round(float(covalent_radii[atomic_numbers[e]]), 2))) for e in symbols},
        {e: float(hardness.get(e, HARDNESS_EV)) for e in symbols},
        {e: float(electronegativities.get(e, 0.0)) for e in symbols},
    )


class Solved(NamedTuple):
    """Charges (N,) of a structure, S (N, N), and what the networks leave, element by element."""

    charges: np.ndarray
    inverse: np.ndarray
    passes: list


class ChargeLoss(Loss):
    """sum over atoms of ((q - label) / t)^2 over structures begin .. end - 1, for `fit.fit`; as `loss.Loss`.

    matrices : E of every structure, eV/e^2; labels : charges, e; totals : e
    hardness (elements,) eV/e^2, with which the fit starts; levels (elements,) eV/e are added to the networks' outputs
    The parameters are the weights of the networks, then log(J / start) / ROOT of each element.
    """

    def __init__(
        self,
        stored: StoredDescriptors,
        numbers: Sequence[np.ndarray],
        layout: Layout,
        inputs: Sequence[Inputs],
        matrices: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        totals: np.ndarray,
        hardness: np.ndarray,
        tolerance: float,
        prior: float,
        begin: int,
        end: int,
        levels: np.ndarray | None = None,
    ):
        self.levels = np.zeros(len(hardness)) if levels is None else levels
        self.stored, self.layout, self.inputs, self.matrices = stored, layout, inputs, matrices
        self.references, self.totals, self.start, self.prior = labels, totals, hardness, prior
        self.tolerances, self.begin, self.end = Tolerances(tolerance, tolerance, tolerance), begin, end
        self.want_forces = self.want_strain = False
        z = [atomic_numbers[e] for e in stored.elements]
        self.atoms = [[np.flatnonzero(own == k) for k in z] for own in numbers]
        self._element = [np.searchsorted(z, own) for own in numbers]
        parts = {e: stored.values(e) @ x.matrix + x.shift for e, x in zip(stored.elements, inputs, strict=True)}
        first = {e: np.cumsum([0] + [len(a[k]) for a in self.atoms]) for k, e in enumerate(stored.elements)}
        self._values = [[parts[e][first[e][s] : first[e][s + 1]] for e in stored.elements] for s in range(len(numbers))]

    @property
    def n_parameters(self) -> int:
        """Weights and hardness."""
        return self.layout.n_parameters + len(self.start)

    def hardness(self, theta: np.ndarray) -> np.ndarray:
        """(elements,) eV/e^2."""
        return self.start * np.exp(ROOT * theta[self.layout.n_parameters :])

    def solve(self, theta: np.ndarray, s: int) -> Solved:
        """Charges of structure s."""
        n = len(self.references[s])
        chi, passes = np.zeros(n), []
        for e, (atoms, values) in enumerate(zip(self.atoms[s], self._values[s], strict=True)):
            passed = center_pass(values, *self.layout.matrices(e, theta), self.layout.activations)
            chi[atoms] = passed.energies + self.levels[e]
            passes.append(passed)
        charges, inverse = equilibrated(
            self.matrices[s], self.hardness(theta)[self._element[s]], chi, float(self.totals[s])
        )
        return Solved(charges, inverse, passes)

    def frozen(self, theta: np.ndarray) -> tuple[list[Solved], list[list[np.ndarray]]]:
        """All structures, solved; derivatives of electronegativities by the raw functions (n, f), of each element."""
        solved = [self.solve(theta, s) for s in range(len(self.references))]
        slopes = [[p.gradient @ x.matrix.T for p, x in zip(one.passes, self.inputs, strict=True)] for one in solved]
        return solved, slopes

    def _rows(self, theta: np.ndarray, s: int) -> tuple[np.ndarray, np.ndarray]:
        """Weighted errors (N,) of structure s, and their derivatives by the parameters (N, P)."""
        solved, t = self.solve(theta, s), self.tolerances.energy
        return (solved.charges - self.references[s]) / t, -(solved.inverse @ self.driving(theta, s, solved)) / t

    def driving(self, theta: np.ndarray, s: int, solved: Solved) -> np.ndarray:
        """(N, P): derivatives of chi + J q at fixed charges by the parameters; those of the charges are -S times it."""
        rows = np.zeros((len(solved.charges), self.n_parameters))
        for e, (atoms, p) in enumerate(zip(self.atoms[s], solved.passes, strict=True)):
            for (w, b), z, d in zip(self.layout.start[e], p.z[:-1], p.d, strict=True):
                rows[atoms, w:b] = (z[:, :, None] * d[:, None, :]).reshape(len(z), -1)
                rows[atoms, b : b + d.shape[1]] = d
            hardness = self.hardness(theta)[e]
            rows[atoms, self.layout.n_parameters + e] = ROOT * hardness * solved.charges[atoms]
        return rows

    def score(self, *thetas: np.ndarray) -> Score:
        """The root mean square error of the charges, e, in the place of energies."""
        (theta,) = thetas
        squares = np.array(
            [np.square(self.solve(theta, s).charges - self.references[s]).sum() for s in range(self.begin, self.end)]
        )
        by_structure = squares / self.tolerances.energy**2
        n = sum(len(self.references[s]) for s in range(self.begin, self.end))
        typical = math.exp(np.log1p(by_structure).mean()) if np.isfinite(by_structure).all() else math.nan
        rms = math.sqrt(squares.sum() / n)
        return Score(
            float(by_structure.sum()), rms, math.nan, math.nan, typical, int(np.argmax(by_structure)) + self.begin
        )

    def normal_equations(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Loss.normal_equations`."""
        matrix, half_gradient = np.zeros((len(theta), len(theta)), order="F"), np.zeros(len(theta))
        for block in self._blocks():
            errors, rows = (np.concatenate(a) for a in zip(*(self._rows(theta, s) for s in block), strict=True))
            matrix += scipy.linalg.blas.dsyrk(1.0, rows.T)
            half_gradient += errors @ rows
        matrix[np.diag_indices(len(theta))] += self.prior
        return matrix, half_gradient + self.prior * theta

    def bend(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        """As `Loss.bend`."""
        h, out = 0.1, np.zeros(len(theta))
        for s in range(self.begin, self.end):
            up, here, down = (self.solve(theta + k * v, s).charges for k in (h, 0.0, -h))
            second = (up - 2.0 * here + down) / (h * h * self.tolerances.energy)
            out += second @ self._rows(theta, s)[1]
        return out

    def _blocks(self):
        sizes = np.cumsum([len(self.references[s]) for s in range(self.begin, self.end)]) // _ROWS
        bounds = [0, *(np.flatnonzero(np.diff(sizes)) + 1), self.end - self.begin]
        return [range(self.begin + a, self.begin + b) for a, b in pairwise(bounds)]


def equilibrated(
    matrix: np.ndarray, hardness: np.ndarray, chi: np.ndarray, total: float
) -> tuple[np.ndarray, np.ndarray]:
    """Charges (N,) and S (N, N) of E (N, N), hardness and electronegativities (N,).

    Raises PhysicsError if the energy has no minimum.
    """
    try:
        factor = scipy.linalg.cho_factor(matrix + np.diag(hardness))
    except np.linalg.LinAlgError:
        raise PhysicsError("charge equilibration has no minimum: hardness and widths must be positive") from None
    inverse = scipy.linalg.cho_solve(factor, np.eye(len(chi)))
    level = inverse.sum(axis=1)
    projected = inverse - np.outer(level, level) / level.sum()
    return level * (total / level.sum()) - projected @ chi, projected


def charge_model(
    layout: Layout,
    theta: np.ndarray,
    inputs: Sequence[Inputs],
    hardness: Sequence[float],
    widths: Mapping[str, float],
    skeleton: HDNNPModel,
    levels: Sequence[float],
) -> ChargeModel:
    """The charges with these weights, of a potential in Å and eV; levels are added to the networks' outputs."""
    networks = {
        e: fold(network, x, *scaling_coefficients(part, skeleton))
        for (e, part), network, x in zip(
            skeleton.elements.items(), layout.networks(theta[: layout.n_parameters]), inputs, strict=True
        )
    }
    for network, level in zip(networks.values(), levels, strict=True):
        network.biases[-1][:] += level
    hard = {e: float(j) for e, j in zip(networks, hardness, strict=True)}
    return ChargeModel(networks, hard, dict(widths), four_pi_epsilon=1.0 / COULOMB_EV_A)


class ChargedDescriptors(StoredDescriptors):
    """Stored symmetry functions with the charge of the centre as one more, the last; as `StoredDescriptors`.

    potential : has the charges; systems : of all structures
    """

    def __init__(
        self,
        stored: StoredDescriptors,
        structures: Sequence[LabelledStructure],
        potential: FourthGeneration,
        solved: Sequence[Solved],
        slopes: Sequence[Sequence[np.ndarray]],
    ):
        self.stored, self.elements, self.atom_first, self.dtype = (
            stored, stored.elements, stored.atom_first, stored.dtype,
        )  # fmt: skip
        self.directory, self.key = stored.directory, stored.key
        z = [atomic_numbers[e] for e in stored.elements]
        self._atoms = [[np.flatnonzero(s.system.numbers == k) for k in z] for s in structures]
        self._charges = [one.charges for one in solved]
        self._by_position, self._by_strain = [], []
        for k, (structure, one, slope) in enumerate(zip(structures, solved, slopes, strict=True)):
            by_position, by_strain = potential.responses(structure.system, one.inverse, one.charges)
            chi_position, chi_strain = of_chi(stored, k, self._atoms[k], slope)
            by_position = by_position - np.tensordot(one.inverse, chi_position, 1)
            strain = np.stack([0.5 * (by_strain[:, a, b] + by_strain[:, b, a]) for a, b in VOIGT], axis=1)
            self._by_position.append(by_position.astype(self.dtype))
            self._by_strain.append((strain - one.inverse @ chi_strain).astype(self.dtype))

    def __len__(self) -> int:
        return len(self._charges)

    def values(self, element: str) -> np.ndarray:
        """(n_e, f + 1) values of all centres of an element."""
        e = self.elements.index(element)
        own = [charges[atoms[e]] for charges, atoms in zip(self._charges, self._atoms, strict=True)]
        return np.concatenate([self.stored.values(element), np.concatenate(own)[:, None]], axis=1)

    def part(self, element: str, begin: int, end: int) -> Part:
        """The centres of an element in structures begin .. end - 1, each with all atoms of its structure as pairs."""
        e = self.elements.index(element)
        return charged_part(
            self.stored.part(element, begin, end),
            np.diff(self.atom_first[begin : end + 1]),
            [self._atoms[s][e] for s in range(begin, end)],
            self._charges[begin:end],
            self._by_position[begin:end],
            self._by_strain[begin:end],
        )


def charged_part(
    part: Part,
    n_atoms: np.ndarray,
    atoms: Sequence[np.ndarray],
    charges: Sequence[np.ndarray],
    by_position: Sequence[np.ndarray],
    by_strain: Sequence[np.ndarray],
) -> Part:
    """The part with the charge of the centre as one more function; each centre has all atoms of its structure as pairs.

    Of each structure: n_atoms, atoms : that are centres, charges (N,), derivatives of these (N, N, 3) and (N, 6)
    """
    per_atom = np.repeat(np.diff(part.structure_first), n_atoms)  # centres that depend on each atom
    first = np.concatenate([[0], np.cumsum(per_atom)])
    offset = np.repeat(part.structure_first[:-1], n_atoms)  # of the centres of the atom's structure
    f, dtype = part.values.shape[1], part.pair_gradient.dtype
    gradient = np.zeros((first[-1], 3, f + 1), dtype)
    moved = np.repeat(np.arange(len(offset)), np.diff(part.pair_first))
    gradient[first[moved] + part.pair_center - offset[moved], :, :f] = part.pair_gradient
    center = np.arange(first[-1]) - np.repeat(first[:-1] - offset, per_atom)
    strain = np.zeros((len(part.values), 6, f + 1), dtype)
    strain[:, :, :f] = part.strain
    own = [b[a].transpose(1, 0, 2).reshape(-1, 3) for b, a in zip(by_position, atoms, strict=True)]
    gradient[:, :, f] = np.concatenate(own)
    strain[:, :, f] = np.concatenate([b[a] for b, a in zip(by_strain, atoms, strict=True)])
    values = np.concatenate([q[a] for q, a in zip(charges, atoms, strict=True)])
    values = np.concatenate([part.values, values[:, None]], axis=1)
    return Part(part.structure_first, values, first, center, gradient, strain)


def of_chi(
    stored: StoredDescriptors, s: int, atoms: Sequence[np.ndarray], slopes: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of electronegativities (N,) of structure s by positions (N, N, 3) and strain (N, 6).

    atoms : of each element; slopes : derivatives by the raw functions, of each element
    """
    n = sum(map(len, atoms))
    by_position, by_strain = np.zeros((n, n, 3)), np.zeros((n, 6))
    for symbol, own, slope in zip(stored.elements, atoms, slopes, strict=True):
        part = stored.part(symbol, s, s + 1)
        moved = np.repeat(np.arange(n), np.diff(part.pair_first))
        along = np.einsum("mcf,mf->mc", part.pair_gradient, slope[part.pair_center])
        by_position[own[part.pair_center], moved] = along
        by_strain[own] = np.einsum("ncf,nf->nc", part.strain, slope)
    return by_position, by_strain
