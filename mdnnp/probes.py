"""Figures that tell whether a potential behaves: invariances, derivatives, locality, continuity.

Each is a function of a potential and a system and gives a number, or a record of a few, that ought to be zero
but for rounding. `check` makes the table with gates.

Energies are meant less the constants in them (`offset_energy`), which would hide errors: deviations of the
energy are relative to sum_i |E_i|, those of forces and virial to the largest component. Where that is zero by
symmetry each of the two lends its scale to the other, through the cutoff radius.
"""

import math
from collections.abc import Iterable
from itertools import combinations_with_replacement, product
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.potentials.interface import Potential, Results
from mdnnp.system import System, complete_cell, heights, replicate

FORCE_STEPS_A = (2e-5, 1e-4, 5e-4, 2e-3)
STRAIN_STEPS = (3e-5, 2e-4, 1e-3)
JUMP_STEP_A, SLOPE_STEP_A = 1e-6, 1e-4
_RADIUS_MIN_A = 1.0  # windows of compact functions that end closer to the atom are never crossed in practice


class Evaluation(NamedTuple):
    """Results of a potential without the constants in its energies.

    energies : (N,) eV, less offsets; forces : (N, 3) eV/Å; virial : (3, 3) eV
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
        return max(_largest(self.forces), _largest(self.virial) / (n * self.cutoff))

    @property
    def virial_scale(self) -> float:
        """Largest component of the virial, or the largest force times the cutoff, eV."""
        return max(_largest(self.virial), _largest(self.forces) * self.cutoff)


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
    """Energies less offsets, forces and virial of a system."""
    return _without_offsets(potential, system, potential.compute(system))


def _without_offsets(potential: Potential, system: System, results: Results) -> Evaluation:
    offsets = potential.offsets(system.numbers)
    rounding = float(np.finfo(np.float64).eps * np.max(np.abs(offsets)))
    return Evaluation(results.atomic_energies - offsets, results.forces, results.virial, rounding, potential.cutoff)


def compare(reference: Evaluation, other: Evaluation) -> Deviation:
    """Deviations of `other` from `reference`; the atoms of both must be in the same order."""
    difference = other.energies - reference.energies
    n = len(difference)
    total, single = reference.energy_scale, _largest(reference.energies)
    rounding = reference.rounding
    return Deviation(
        max(_ratio(abs(math.fsum(difference)), total), _ratio(_largest(difference), single)),
        _ratio(_largest(other.forces - reference.forces), reference.force_scale),
        _ratio(_largest(other.virial - reference.virial), reference.virial_scale),
        max(_ratio(4 * math.sqrt(n) * rounding, total), _ratio(2 * rounding, single)),
    )


def _worst(deviations: Iterable[Deviation]) -> Deviation:
    return Deviation(*np.max(np.array(list(deviations)), axis=0).tolist())


def _largest(values: np.ndarray) -> float:
    return float(np.max(np.abs(values))) if values.size else 0.0


def _ratio(value: float, scale: float) -> float:
    """value / scale, where nothing relative to nothing is nothing."""
    return 0.0 if value == 0.0 else value / scale if scale > 0 else math.inf


# --- Invariances -------------------------------------------------------------------------------------------


def energy_sum(potential: Potential, system: System) -> float:
    """|E - sum_i E_i| / sum_i |E_i|, offsets included."""
    results = potential.compute(system)
    energies = results.atomic_energies
    return _ratio(abs(results.energy - math.fsum(energies)), float(np.sum(np.abs(energies))))


def translation(potential: Potential, system: System, *, seed: int = 1, n_shifts: int = 3) -> Deviation:
    """Largest deviations when all atoms are shifted by random vectors of about 3 Å."""
    shifts = np.random.default_rng(seed).normal(0, 3, (n_shifts, 3))
    moved = (system._replace(positions=system.positions + shift) for shift in shifts)
    reference = evaluate(potential, system)
    return _worst(compare(reference, evaluate(potential, other)) for other in moved)


def rotation(potential: Potential, system: System, *, seed: int = 1, n_rotations: int = 3) -> Deviation:
    """Largest deviations when atoms and cell are rotated at random; forces and virial are rotated back."""
    rng = np.random.default_rng(seed)
    reference = evaluate(potential, system)
    found = []
    for _ in range(n_rotations):
        q = random_rotation(rng)
        turned = evaluate(potential, system._replace(positions=system.positions @ q.T, cell=system.cell @ q.T))
        back = turned._replace(forces=turned.forces @ q, virial=q.T @ turned.virial @ q)
        found.append(compare(reference, back))
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


# --- Sums --------------------------------------------------------------------------------------------------


def net_force(potential: Potential, system: System) -> float:
    """Largest component of the sum of all forces, over the largest force."""
    found = evaluate(potential, system)
    return _ratio(_largest(np.sum(found.forces, axis=0)), found.force_scale)


def net_torque(potential: Potential, system: System) -> float:
    """Antisymmetric part of the virial, over its largest component: what rotation invariance forbids."""
    found = evaluate(potential, system)
    return _ratio(_largest(found.virial - found.virial.T), found.virial_scale)


def atomic_virial_sum(potential: Potential, system: System) -> float | None:
    """Deviation of the sum of the per-atom virials from the virial, over its largest component; None without them."""
    results = potential.compute(system, atomic_virials=True)
    if len(results.atomic_virials) == 0:
        return None
    found = _without_offsets(potential, system, results)
    return _ratio(_largest(results.atomic_virials.sum(axis=0) - results.virial), found.virial_scale)


# --- Derivatives -------------------------------------------------------------------------------------------


def forces_by_differences(
    potential: Potential, system: System, *, seed: int = 1, n_directions: int = 2, n_atoms: int = 12
) -> float:
    """Largest deviation of the forces from differences of the energy.

    Atoms are displaced along random directions: all at once (`n_directions` times), and `n_atoms` of them one
    at a time, every element among them. Fourth-order central differences with several steps about 1e-4 Å; the
    step with the smallest error counts, since the error of a wrong force is there at any step. A deviation is
    relative to the norm of the forces of the displaced atoms, or to the largest force of all.
    """
    rng = np.random.default_rng(seed)
    found = evaluate(potential, system)
    moves = [_unit_vectors(rng, len(system)) for _ in range(n_directions)]
    for atom in _atoms_of_every_element(system, n_atoms, rng):
        moves.append(np.zeros((len(system), 3)))
        moves[-1][atom] = _unit_vectors(rng, 1)[0]
    errors = np.empty((len(FORCE_STEPS_A), len(moves)))
    for k, move in enumerate(moves):
        moved = np.any(move != 0, axis=1)
        scale = max(float(np.linalg.norm(found.forces[moved])), found.force_scale)
        for s, step in enumerate(FORCE_STEPS_A):
            slope = _derivative(
                lambda h, move=move: (
                    evaluate(potential, system._replace(positions=system.positions + h * move)).energies
                ),
                step,
            )
            errors[s, k] = _ratio(abs(slope + float(np.sum(found.forces * move))), scale)
    return float(np.min(np.max(errors, axis=1)))


def virial_by_differences(potential: Potential, system: System) -> float:
    """Largest deviation of the nine components of the virial from strain derivatives, over the largest.

    Positions and cell are strained together, which is defined whatever the boundaries: every distance between
    atoms and images changes by the strain, and an open direction has no image.
    """
    found = evaluate(potential, system)
    errors = np.empty((len(STRAIN_STEPS), 3, 3))
    for (s, step), a, b in product(enumerate(STRAIN_STEPS), range(3), range(3)):
        pattern = np.zeros((3, 3))
        pattern[a, b] = 1.0  # x_b changes by strain * x_a
        slope = _derivative(
            lambda h, pattern=pattern: evaluate(potential, _strained(system, h * pattern)).energies, step
        )
        errors[s, a, b] = _ratio(abs(slope + found.virial[a, b]), found.virial_scale)
    return float(np.min(np.max(errors, axis=(1, 2))))


def _strained(system: System, strain: np.ndarray) -> System:
    """Positions and cell (rows) times 1 + strain."""
    change = np.eye(3) + strain
    return system._replace(positions=system.positions @ change, cell=system.cell @ change)


def _derivative(energies, step: float) -> float:
    """Fourth-order central difference of sum_i E_i; atomic energies are subtracted first."""
    near = energies(step) - energies(-step)
    far = energies(2 * step) - energies(-2 * step)
    return math.fsum((8 * near - far) / (12 * step))


def _unit_vectors(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = rng.standard_normal((n, 3))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def _atoms_of_every_element(system: System, n_atoms: int, rng: np.random.Generator) -> np.ndarray:
    """At least one random atom of each element, `n_atoms` in all where there are as many."""
    firsts = [int(rng.choice(np.flatnonzero(system.numbers == z))) for z in np.unique(system.numbers)]
    others = np.setdiff1d(np.arange(len(system)), firsts)
    more = max(0, min(n_atoms - len(firsts), len(others)))
    return np.array([*firsts, *rng.choice(others, more, replace=False)], dtype=np.int64)


# --- Locality ----------------------------------------------------------------------------------------------


class Locality(NamedTuple):
    """What moving one atom changes out of its reach.

    energies : largest change of E_i of atoms beyond the cutoff, over the largest |E_i|; NaN if there are none
    forces : largest change of the forces on atoms beyond twice the cutoff, over the largest; NaN if none
    """

    energies: float
    forces: float


def locality(potential: Potential, system: System, atom: int = 0, *, seed: int = 1) -> Locality:
    """Move one atom by 0.2 Å and see what changes beyond one cutoff (energies) and two (forces)."""
    moved = system.positions.copy()
    moved[atom] += 0.2 * _unit_vectors(np.random.default_rng(seed), 1)[0]
    before, after = evaluate(potential, system), evaluate(potential, system._replace(positions=moved))

    def beyond(reach):
        near = [within(system, place, reach)[0] for place in (system.positions[atom], moved[atom])]
        return np.setdiff1d(np.arange(len(system)), [*near[0], *near[1], atom])

    # An atom on the sphere itself belongs to neither side.
    far, very_far = beyond(potential.reach * (1 + 1e-9)), beyond(2 * potential.reach * (1 + 1e-9))
    energies = _largest(after.energies[far] - before.energies[far])
    forces = _largest(after.forces[very_far] - before.forces[very_far])
    return Locality(
        _ratio(energies, _largest(before.energies)) if len(far) else math.nan,
        _ratio(forces, before.force_scale) if len(very_far) else math.nan,
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


# --- Continuity --------------------------------------------------------------------------------------------


class Continuity(NamedTuple):
    """Jumps when an atom crosses a cutoff sphere.

    energy : jump of the energy over sum_i |E_i|, in the cluster or in as many atoms of the system
    force : largest jump of a force component, over the largest force in cluster or system
    slope : largest jump of the derivative of a force by the distance, over the largest force, 1/Å
    slope_coarse : the same with a scan of twice the step; a jump that is none shrinks with the step
    rounding : what the constants in the energies, which swallow digits, may contribute to `energy`
    """

    energy: float
    force: float
    slope: float
    slope_coarse: float
    rounding: float

    @property
    def slope_jumps(self) -> bool:
        """Whether the jump of the slope is real: above rounding (over the step), not shrinking with it."""
        return self.slope > max(1e-7, 0.6 * self.slope_coarse)


def cutoff_radii(potential: Potential) -> list[float]:
    """All radii in Å where an interaction of the potential begins, ends or changes its form, at least 1 Å."""
    return sorted({r for r in potential.radii() if r >= _RADIUS_MIN_A})


def continuity(
    potential: Potential, system: System, centre: int, number: int, radius: float, *, seed: int = 1
) -> Continuity:
    """Jumps when an atom of element `number` leaves the sphere of `radius` Å about the atom `centre`.

    The other atoms are those of the system about the centre, images included, cut out as an open cluster, in
    which the extra atom is given room. Energy and forces at four points on either side are extrapolated to
    the sphere as cubic polynomials; what differs there is a jump, while the smooth rest contributes to the
    fourth order in the step.
    """
    cluster, direction = _cluster_with_room(potential, system, centre, number, radius, seed)
    # The cluster may be a mere pair at its cutoff: the whole system says what is large.
    whole, part = evaluate(potential, system), evaluate(potential, cluster)
    energy_scale = max(whole.energy_scale * len(cluster) / len(system), part.energy_scale)
    force_scale = max(whole.force_scale, part.force_scale)
    # Rounding of energy and force is the same at any step, but that of a slope is divided by it.
    energy, force, _ = _jumps(potential, cluster, direction, radius, JUMP_STEP_A)
    _, _, slope = _jumps(potential, cluster, direction, radius, SLOPE_STEP_A)
    _, _, slope_coarse = _jumps(potential, cluster, direction, radius, 2 * SLOPE_STEP_A)
    return Continuity(
        _ratio(energy, energy_scale),
        _ratio(force, force_scale),
        _ratio(slope, force_scale),
        _ratio(slope_coarse, force_scale),
        # 8: root of the sum of the squared weights in _VALUE_AT_EDGE; 4: sides, and errors in twice the ulp
        _ratio(4 * 8 * math.sqrt(len(cluster)) * part.rounding, energy_scale),
    )


def crossings(potential: Potential, system: System, *, seed: int = 1) -> dict[str, dict[float, Continuity]]:
    """`continuity` for every pair of elements ("H-O") and every radius in Å of the potential."""
    found = {}
    for first, second in combinations_with_replacement(np.unique(system.numbers), 2):
        centre = int(np.flatnonzero(system.numbers == first)[0])
        found[f"{chemical_symbols[first]}-{chemical_symbols[second]}"] = {
            radius: continuity(potential, system, centre, int(second), radius, seed=seed)
            for radius in cutoff_radii(potential)
        }
    return found


def _cluster_with_room(potential, system, centre, number, radius, seed) -> tuple[System, np.ndarray]:
    """An open cluster, centre first and the extra atom last, and the direction in which that one is to leave.

    The direction is the emptiest of some, away from places where the extra atom crosses another sphere at the
    same moment; atoms that are still too close to it are left out.
    """
    atoms, vectors = within(system, system.positions[centre], 0.9 * potential.cutoff)
    others = np.linalg.norm(vectors, axis=1) > 1e-3
    atoms, vectors = atoms[others], vectors[others]
    radii = np.array(cutoff_radii(potential))
    best, direction = -1.0, np.array([1.0, 0, 0])
    for u in _unit_vectors(np.random.default_rng(seed), 100):
        distances = np.linalg.norm(vectors - radius * u, axis=1)
        coincident = np.any(np.abs(distances[:, None] - radii[None, :]) < 50 * SLOPE_STEP_A)
        room = 0.0 if coincident else float(np.min(distances, initial=1e9))
        if room > best:
            best, direction = room, u
    kept = np.linalg.norm(vectors - radius * direction, axis=1) > min(2.0, 0.4 * potential.cutoff)
    positions = np.vstack([np.zeros(3), vectors[kept], (radius - SLOPE_STEP_A) * direction])
    numbers = np.array([system.numbers[centre], *system.numbers[atoms[kept]], number])
    return System(positions, numbers, np.zeros((3, 3)), np.zeros(3, dtype=bool)), direction


# Value and derivative at 0 of the cubic polynomial through f(1) .. f(4).
_VALUE_AT_EDGE = np.array([4.0, -6.0, 4.0, -1.0])
_SLOPE_AT_EDGE = np.array([-13 / 3, 19 / 2, -7.0, 11 / 6])


def _jumps(potential, cluster, direction, radius, step) -> tuple[float, float, float]:
    """Jumps in eV, eV/Å and eV/Å^2 of energy, forces and their slopes as the last atom crosses the radius."""

    def side(sign):
        found = []
        for r in radius + sign * step * np.arange(1, 5):
            positions = cluster.positions.copy()
            positions[-1] = r * direction
            found.append(evaluate(potential, cluster._replace(positions=positions)))
        return found

    inner, outer = side(-1), side(1)
    energies = np.array([o.energies - i.energies for i, o in zip(inner, outer, strict=True)])
    forces = np.array([o.forces - i.forces for i, o in zip(inner, outer, strict=True)])
    slopes = np.array([o.forces + i.forces for i, o in zip(inner, outer, strict=True)])
    return (
        abs(math.fsum(_VALUE_AT_EDGE @ energies)),
        _largest(np.tensordot(_VALUE_AT_EDGE, forces, 1)),
        # Both sides are parametrised away from the sphere: the slopes of a smooth force cancel in the sum.
        _largest(np.tensordot(_SLOPE_AT_EDGE, slopes, 1)) / step,
    )
