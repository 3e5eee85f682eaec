"""Numbers that test a potential: invariances, derivatives, locality, continuity.

Each is a function of a potential and a system and gives a number, or a record of a few, that ought to be zero
but for rounding. `check` makes the table with gates.

Energies are taken minus the constants in them (`offset_energy`), which would hide errors: deviations of the
energy are relative to sum_i |E_i|, those of forces and virial to the largest component. Where that is zero by
symmetry each of the two lends its scale to the other, through the cutoff radius.
"""

import math
from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.system import System, complete_cell, heights, replicate
from mdnnp.potentials.hdnnp.potential import neural_networks_of
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Neighbors, Potential, Results

# Steps of differences, the best for most potentials first; after an error below _ENOUGH no other is tried.
FORCE_STEPS_A = (5e-4, 1e-4, 2e-3, 2e-5)
STRAIN_STEPS = (2e-4, 1e-3, 3e-5)
_ENOUGH = 1e-9
JUMP_STEP_A, SLOPE_STEP_A = 1e-6, 1e-4


class Evaluation(NamedTuple):
    """Results of a potential without the constants in its energies.

    energies : (N,) eV, minus offsets; forces : (N, 3) eV/Å; virial : (3, 3) eV
    rounding : eV, what the offsets' rounding leaves uncertain in each of the energies
    cutoff : Å, of the potential
    """

    energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray
    rounding: float
    cutoff: float

    @property
    def energy_scale(self) -> float:
        """sum_i |E_i|, eV."""
        return float(np.sum(np.abs(self.energies)))

    @property
    def force_scale(self) -> float:
        """Largest force component, or the largest virial component over N times the cutoff, eV/Å."""
        n = len(self.energies)
        return max(largest(self.forces), largest(self.virial) / (n * self.cutoff))

    @property
    def virial_scale(self) -> float:
        """Largest component of the virial, or the largest force times the cutoff, eV."""
        return max(largest(self.virial), largest(self.forces) * self.cutoff)


class Conditioning(NamedTuple):
    """By how much energy, forces and virial magnify relative errors of the symmetry functions, on the scales above.

    Sums in another order change each function by some ulp, and so the results by about these numbers times that.
    energy : k, the largest sum_s |G_s dE_i/dG_s| over the largest |E_i|, or the same of the sums over all atoms
    forces, virial : largest change for random relative errors of G_s and dE/dG_s, over the errors
    """

    energy: float = 0.0
    forces: float = 0.0
    virial: float = 0.0


class Deviation(NamedTuple):
    """By how much two evaluations that ought to agree differ, relative to the scales of the first.

    energy : the worse of the total and of the energy of a single atom
    rounding : what the constants in the energies, which swallow digits, may contribute to `energy`
    """

    energy: float
    forces: float
    virial: float
    rounding: float = 0.0


def evaluate(potential: Potential, system: System) -> Evaluation:
    """Energies minus offsets, forces and virial of a system."""
    return _without_offsets(potential, system, potential.compute(system))


def _without_offsets(potential: Potential, system: System, results: Results) -> Evaluation:
    offsets = potential.offsets(system.numbers)
    rounding = float(np.finfo(np.float64).eps * np.max(np.abs(offsets)))
    return Evaluation(results.atomic_energies - offsets, results.forces, results.virial, rounding, potential.cutoff)


def compare(reference: Evaluation, other: Evaluation, usual: Evaluation | None = None) -> Deviation:
    """Deviations of `other` from `reference`; the atoms of both must be in the same order.

    usual : the same atoms with forces of ordinary size, whose scales count too: those of `reference` may be rounding
    """
    difference = other.energies - reference.energies
    n = len(difference)
    total, single, force, virial = _scales(reference, usual)
    rounding = reference.rounding
    return Deviation(
        max(ratio(abs(math.fsum(difference)), total), ratio(largest(difference), single)),
        ratio(largest(other.forces - reference.forces), force),
        ratio(largest(other.virial - reference.virial), virial),
        max(ratio(4 * math.sqrt(n) * rounding, total), ratio(2 * rounding, single)),
    )


def _scales(reference: Evaluation, usual: Evaluation | None) -> tuple[float, float, float, float]:
    """What sums of energies, energies of atoms, forces and virials are relative to; see `compare`."""
    each = [
        (e.energy_scale, largest(e.energies), e.force_scale, e.virial_scale)
        for e in (reference, usual)
        if e is not None
    ]
    return tuple(map(max, zip(*each, strict=True)))


class Watched(Potential):
    """A potential that passes the number of atoms of each evaluation to `advance`, and is otherwise unchanged."""

    def __init__(self, potential: Potential, advance: Callable[[int], object]):
        self._potential, self._advance = potential, advance
        self.numbers, self.cutoff, self.source = potential.numbers, potential.cutoff, potential.source
        self.parts = (potential,)

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """As the potential."""
        results = self._potential.compute(system, neighbors, atomic_virials=atomic_virials)
        self._advance(len(system))
        return results

    def offsets(self, numbers: np.ndarray) -> np.ndarray:
        """As the potential."""
        return self._potential.offsets(numbers)

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """As the potential."""
        return self._potential.cutoffs

    @property
    def reach(self) -> float:
        """As the potential."""
        return self._potential.reach

    def radii(self) -> list[float]:
        """As the potential."""
        return self._potential.radii()


class Rehearsal(Watched):
    """A potential of the same range whose results are all zero, to count the evaluations without their cost."""

    def __init__(self, potential: Potential, advance: Callable[[int], object]):
        super().__init__(potential, advance)
        self.parts = ()

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Zeros."""
        n = len(system)
        self._advance(n)
        virials = np.zeros((n if atomic_virials else 0, 3, 3))
        return Results(0.0, np.zeros(n), np.zeros((n, 3)), np.zeros((3, 3)), virials, NO_EXTRAPOLATION)


def conditioning(
    potential: Potential, system: System, *, seed: int = 1, n_draws: int = 4, usual: Evaluation | None = None
) -> Conditioning:
    """How much rounding of symmetry functions is magnified; zeros for a potential that has none.

    usual : see `compare`
    """
    total, single, force, virial = _scales(evaluate(potential, system), usual)
    n, error = len(system), 1e-8
    terms, forces, virials = np.zeros(n), np.zeros((n_draws, n, 3)), np.zeros((n_draws, 3, 3))
    for network, factor in neural_networks_of(potential):
        rng = np.random.default_rng(seed)  # members that share functions share their errors
        neighbors = network.make_lists().update(system)
        raw = network.descriptors(system, neighbors)
        exact = network.networks(system.numbers, raw)[1]
        terms += factor * np.sum(np.abs(raw * exact), axis=1)
        for draw in range(n_draws):
            signs = rng.choice([-error, error], (2, *raw.shape))
            changed = network.networks(system.numbers, raw * (1 + signs[0]))[1] * (1 + signs[1])
            change = network.pull_back(system, neighbors, (changed - exact) / error, np.zeros(n))
            forces[draw] += factor * change.forces
            virials[draw] += factor * change.virial
    return Conditioning(
        max(ratio(largest(terms), single), ratio(float(np.sum(terms)), total)),
        ratio(largest(forces), force),
        ratio(largest(virials), virial),
    )


def _worst(deviations: Iterable[Deviation]) -> Deviation:
    return Deviation(*np.max(np.array(list(deviations)), axis=0).tolist())


def largest(values: np.ndarray) -> float:
    """The largest absolute value; 0 if there are none."""
    return float(np.max(np.abs(values))) if values.size else 0.0


def ratio(value: float, scale: float) -> float:
    """value / scale; 0 / 0 is 0."""
    return 0.0 if value == 0.0 else value / scale if scale > 0 else math.inf


def energy_sum(potential: Potential, system: System) -> float:
    """|E - sum_i E_i| / sum_i |E_i|, offsets included."""
    results = potential.compute(system)
    energies = results.atomic_energies
    return ratio(abs(results.energy - math.fsum(energies)), float(np.sum(np.abs(energies))))


def translation(potential: Potential, system: System, *, seed: int = 1, n_shifts: int = 3) -> Deviation:
    """Largest deviations when all atoms are shifted by random vectors of about 3 Å."""
    shifts = np.random.default_rng(seed).normal(0, 3, (n_shifts, 3))
    moved = (system._replace(positions=system.positions + shift) for shift in shifts)
    reference = evaluate(potential, system)
    return _worst(compare(reference, evaluate(potential, other)) for other in moved)


def rotation(
    potential: Potential, system: System, *, seed: int = 1, n_rotations: int = 3, usual: Evaluation | None = None
) -> Deviation:
    """Largest deviations when atoms and cell are rotated at random; forces and virial are rotated back.

    usual : see `compare`
    """
    rng = np.random.default_rng(seed)
    reference = evaluate(potential, system)
    found = []
    for _ in range(n_rotations):
        q = random_rotation(rng)
        turned = evaluate(potential, system._replace(positions=system.positions @ q.T, cell=system.cell @ q.T))
        back = turned._replace(forces=turned.forces @ q, virial=q.T @ turned.virial @ q)
        found.append(compare(reference, back, usual))
    return _worst(found)


def inversion(potential: Potential, system: System) -> Deviation:
    """Deviations when all positions change sign (a cell is its own image): forces change sign too."""
    mirrored = evaluate(potential, system._replace(positions=-system.positions))
    return compare(evaluate(potential, system), mirrored._replace(forces=-mirrored.forces))


def permutation(potential: Potential, system: System, *, seed: int = 1, like_atoms: bool = False) -> Deviation:
    """Deviations when the atoms are listed in random order; `like_atoms`: only atoms of one element swap."""
    rng = np.random.default_rng(seed)
    order = np.arange(len(system))
    for atoms in [np.flatnonzero(system.numbers == z) for z in np.unique(system.numbers)] if like_atoms else [order]:
        order[atoms] = rng.permutation(atoms)
    shuffled = system._replace(positions=system.positions[order], numbers=system.numbers[order])
    other = evaluate(potential, shuffled)
    back = np.argsort(order)
    restored = other._replace(energies=other.energies[back], forces=other.forces[back])
    return compare(evaluate(potential, system), restored)


def wrapping(potential: Potential, system: System, *, seed: int = 1, cells: int = 2) -> Deviation:
    """Deviations when each atom is moved by its own random lattice vector of up to `cells` cells each way."""
    shifted = _in_other_cells(system, seed, cells)
    return compare(evaluate(potential, system), evaluate(potential, shifted))


def _in_other_cells(system: System, seed: int, cells: int) -> System:
    n = np.random.default_rng(seed).integers(-cells, cells, (len(system), 3), endpoint=True) * system.pbc
    return system._replace(positions=system.positions + n @ system.cell)


def extensivity(potential: Potential, system: System, repeats: tuple[int, int, int]) -> Deviation:
    """Deviations of the copies of a replicated cell from the cell itself; the virial per copy."""
    large = evaluate(potential, replicate(system, repeats))
    reference = evaluate(potential, system)
    copies = int(np.prod(repeats))
    n = len(system)
    virial = large.virial / copies
    return _worst(
        compare(
            reference,
            large._replace(energies=large.energies[k : k + n], forces=large.forces[k : k + n], virial=virial),
        )
        for k in range(0, copies * n, n)
    )


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A proper rotation matrix, uniform over all rotations (F. Mezzadri, Notices AMS 54, 592 (2007))."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def net_force(potential: Potential, system: System) -> float:
    """Largest component of the sum of all forces, over the largest force."""
    found = evaluate(potential, system)
    return ratio(largest(np.sum(found.forces, axis=0)), found.force_scale)


def net_torque(potential: Potential, system: System) -> float:
    """Antisymmetric part of the virial, over its largest component: what rotation invariance forbids."""
    found = evaluate(potential, system)
    return ratio(largest(found.virial - found.virial.T), found.virial_scale)


def atomic_virial_sum(potential: Potential, system: System) -> float:
    """Deviation of the sum of the per-atom virials from the virial, over its largest component; nan without any."""
    results = potential.compute(system, atomic_virials=True)
    if len(results.atomic_virials) == 0:
        return math.nan
    found = _without_offsets(potential, system, results)
    return ratio(largest(results.atomic_virials.sum(axis=0) - results.virial), found.virial_scale)


class ByDifferences(NamedTuple):
    """Deviation of derivatives from differences of the energy, relative, by the step that gives the smallest.

    rounding : what the constants in the energies, which swallow digits, may contribute to it with that step
    """

    value: float
    rounding: float


def forces_by_differences(
    potential: Potential, system: System, *, seed: int = 1, n_directions: int = 2, n_atoms: int = 12
) -> ByDifferences:
    """Largest deviation of the forces from differences of the energy.

    Atoms are displaced along random directions: all at once (`n_directions` times), and `n_atoms` of them one
    at a time, every element among them. Fourth-order central differences with steps about 1e-4 Å, until one is
    good enough; the smallest error of each counts, since that of a wrong force is there at any step. A deviation is
    relative to the norm of the forces of the displaced atoms, or to the largest force of all.
    """
    rng = np.random.default_rng(seed)
    found = evaluate(potential, system)
    moves = [unit_vectors(rng, len(system)) for _ in range(n_directions)]
    for atom in _atoms_of_every_element(system, n_atoms, rng):
        moves.append(np.zeros((len(system), 3)))
        moves[-1][atom] = unit_vectors(rng, 1)[0]
    scales = [max(float(np.linalg.norm(found.forces[np.any(move != 0, axis=1)])), found.force_scale) for move in moves]

    def along(move: np.ndarray, scale: float) -> ByDifferences:
        def energies(h):
            return evaluate(potential, system._replace(positions=system.positions + h * move)).energies

        exact = -float(np.sum(found.forces * move))
        return _by_differences(energies, exact, scale, FORCE_STEPS_A, potential.offsets(system.numbers))

    return _worst_of(along(move, scale) for move, scale in zip(moves, scales, strict=True))


def virial_by_differences(potential: Potential, system: System) -> ByDifferences:
    """Largest deviation of the nine components of the virial from strain derivatives, over the largest.

    Positions and cell are strained together, which is defined whatever the boundaries: every distance between
    atoms and images changes by the strain, and an open direction has no image.
    """
    found = evaluate(potential, system)

    def along(a: int, b: int) -> ByDifferences:
        pattern = np.zeros((3, 3))
        pattern[a, b] = 1.0  # x_b changes by strain * x_a

        def energies(h):
            return evaluate(potential, _strained(system, h * pattern)).energies

        offsets = potential.offsets(system.numbers)
        return _by_differences(energies, -found.virial[a, b], found.virial_scale, STRAIN_STEPS, offsets)

    return _worst_of(along(a, b) for a, b in product(range(3), range(3)))


def _by_differences(
    energies: Callable[[float], np.ndarray], exact: float, scale: float, steps: Iterable[float], offsets: np.ndarray
) -> ByDifferences:
    """Deviation of a derivative of the sum of energies, by the step that shows most sharply how small it is."""
    sharpest = ByDifferences(math.inf, math.inf)
    for step in steps:
        slope, uncertain = _derivative(energies, step, offsets)
        found = ByDifferences(ratio(abs(slope - exact), scale), ratio(uncertain, scale))
        sharpest = min(sharpest, found, key=sum)
        if sharpest.value <= _ENOUGH:
            break
    return sharpest


def _worst_of(each: Iterable[ByDifferences]) -> ByDifferences:
    """The one that is furthest above what rounding explains."""
    return max(each, key=lambda found: found.value - found.rounding)


def _strained(system: System, strain: np.ndarray) -> System:
    """Positions and cell (rows) times 1 + strain."""
    change = np.eye(3) + strain
    return system._replace(positions=system.positions @ change, cell=system.cell @ change)


def _derivative(energies: Callable[[float], np.ndarray], step: float, offsets: np.ndarray) -> tuple[float, float]:
    """Fourth-order central difference of sum_i E_i, and what the offsets' last digits leave uncertain in it.

    Atomic energies are subtracted first: those that do not change are exact.
    """
    near = energies(step) - energies(-step)
    far = energies(2 * step) - energies(-2 * step)
    change = (8 * near - far) / (12 * step)
    last_digits = np.spacing(np.abs(offsets[(change != 0.0) & (offsets != 0.0)]))
    # More than three standard deviations: that of an energy is 0.29 last digits, and of the weighted sum 0.95 times it.
    return math.fsum(change), float(np.linalg.norm(last_digits)) / step


def unit_vectors(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 3) random directions."""
    vectors = rng.standard_normal((n, 3))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def _atoms_of_every_element(system: System, n_atoms: int, rng: np.random.Generator) -> np.ndarray:
    """At least one random atom of each element, `n_atoms` in all where there are as many."""
    firsts = [int(rng.choice(np.flatnonzero(system.numbers == z))) for z in np.unique(system.numbers)]
    others = np.setdiff1d(np.arange(len(system)), firsts)
    more = max(0, min(n_atoms - len(firsts), len(others)))
    return np.array([*firsts, *rng.choice(others, more, replace=False)], dtype=np.int64)


class Locality(NamedTuple):
    """Changes beyond the range of an atom that was moved.

    energies : largest change of E_i of atoms beyond the cutoff, over the largest |E_i|; NaN if there are none
    forces : largest change of the forces on atoms beyond twice the cutoff, over the largest; NaN if none
    """

    energies: float
    forces: float


def locality(potential: Potential, system: System, atom: int = 0, *, seed: int = 1) -> Locality:
    """Move one atom by 0.2 Å and see what changes beyond one cutoff (energies) and two (forces)."""
    moved = system.positions.copy()
    moved[atom] += 0.2 * unit_vectors(np.random.default_rng(seed), 1)[0]
    before, after = evaluate(potential, system), evaluate(potential, system._replace(positions=moved))

    def beyond(reach):
        near = [within(system, place, reach)[0] for place in (system.positions[atom], moved[atom])]
        return np.setdiff1d(np.arange(len(system)), [*near[0], *near[1], atom])

    # An atom on the sphere itself belongs to neither side.
    far, very_far = beyond(potential.reach * (1 + 1e-9)), beyond(2 * potential.reach * (1 + 1e-9))
    energies = largest(after.energies[far] - before.energies[far])
    forces = largest(after.forces[very_far] - before.forces[very_far])
    return Locality(
        ratio(energies, largest(before.energies)) if len(far) else math.nan,
        ratio(forces, before.force_scale) if len(very_far) else math.nan,
    )


def within(system: System, point: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """All atoms and images within `reach` Å of a point: (n,) atom, (n, 3) vector from the point.

    Brute force, deliberately independent of the neighbour search that potentials use.
    """
    cell = complete_cell(system.cell, system.pbc)
    fractional = (system.positions - point) @ np.linalg.inv(cell)
    fractional -= np.where(system.pbc, np.round(fractional), 0.0)
    vectors = fractional @ cell
    most = np.where(system.pbc, np.ceil(reach / heights(cell) + 0.5), 0).astype(int)
    atoms, found = [], []
    for shift in product(*(range(-m, m + 1) for m in most)):
        image = vectors + np.array(shift) @ cell
        inside = np.flatnonzero(np.sum(np.square(image), axis=1) <= reach * reach)
        atoms.append(inside)
        found.append(image[inside])
    return np.concatenate(atoms), np.concatenate(found)
