"""Point defects in a supercell: vacancies, and self-interstitials of elements in the diamond, fcc and bcc structures.

Formation energies refer to the perfect crystal: E_f = E(N -+ 1) - (N -+ 1)/N E(N) of an element. Of a compound, only
whole formula units can be taken out without a further chemical potential: the Schottky energy, sum over the atoms i of
a formula unit of E_i(N - 1) - E(N), plus the energy of a formula unit.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from math import gcd
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.spacegroup import Symmetry
from mdnnp.atoms.system import System, repeats_for, replicate
from mdnnp.base.errors import InputError
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.materials.crystal import Coverage, coverage, equivalent_atoms, nearest_distance, worst
from mdnnp.potentials.interface import Potential

WIDTH_A = 10.0  # of the supercell, at least
MOST_ATOMS = 1000  # of the second, larger one
_FORCE_TOLERANCE = 1e-3  # eV/Å
_MOST_EVALUATIONS = 600
_SHAKE_A = 0.05
_DRAWN_IN = 0.2  # of their distance, neighbours of a vacancy
_MOST_SITES = 12
_LOWER_EV = 0.005  # what must be won to be said

# Shells around an atom: (neighbours, distance by that of the nearest); and volume of an atom by that distance cubed.
_SHELLS = {
    "diamond": (((4, 1.0), (12, np.sqrt(8 / 3)), (12, np.sqrt(11 / 3))), 8 / (3 * np.sqrt(3))),
    "fcc": (((12, 1.0), (6, np.sqrt(2)), (24, np.sqrt(3))), 1 / np.sqrt(2)),
    "bcc": (((8, 1.0), (6, np.sqrt(4 / 3)), (12, np.sqrt(8 / 3))), 4 / (3 * np.sqrt(3))),
}
ATOMS_PER_CUBE = {"diamond": 8, "fcc": 4, "bcc": 2}


class Formation(NamedTuple):
    """A formation energy, eV, and where the potential extrapolates in the configuration behind it."""

    energy: float
    coverage: Coverage


class Defect(NamedTuple):
    """A point defect, energies in eV.

    key, name : "vacancy" or "tetrahedral", and in words
    unrelaxed, relaxed : before and after the atoms have relaxed at fixed cell; of a dumbbell, whose ideal place is
        nowhere defined, `unrelaxed` is None
    lowest : of this and of what is reached after a shake, and from a vacancy with its neighbours drawn in
    larger : `relaxed` in the larger supercell, None if there is none
    n_atoms, n_larger : of the perfect supercells; converged : whether all came to rest
    """

    key: str
    name: str
    unrelaxed: "Formation | None"
    relaxed: "Formation"
    lowest: "Formation"
    larger: "Formation | None"
    n_atoms: int
    n_larger: int
    converged: bool


def cubic_structure(system: System) -> str | None:
    """ "diamond", "fcc" or "bcc", if an element's atoms all are surrounded so, in whatever cell; else None."""
    if len(np.unique(system.numbers)) > 1:
        return None
    size = abs(np.linalg.det(system.cell)) / len(system)
    for name, (shells, packing) in _SHELLS.items():
        nearest = (size / packing) ** (1 / 3)
        expected = np.concatenate([np.full(count, distance) for count, distance in shells])
        reach = shells[-1][1] + 0.05
        i, _, _, r = neighbor_list(system, reach * nearest)
        distance = np.sqrt(np.square(r).sum(axis=1)) / nearest
        counts = np.bincount(i, minlength=len(system))
        if (counts == len(expected)).all() and all(
            np.abs(np.sort(distance[i == k]) - expected).max() < 0.02 for k in range(len(system))
        ):
            return name
    return None


def interstitial_sites(system: System, structure: str) -> dict[str, tuple[str, np.ndarray, np.ndarray | None]]:
    """Sites around the first atom: key -> (name, place of the new atom, new place of the first atom or None), Å."""
    shells, _ = _SHELLS[structure]
    here = system.positions[0]
    size = (abs(np.linalg.det(system.cell)) / len(system) / _SHELLS[structure][1]) ** (1 / 3)
    i, _, _, r = neighbor_list(system, (shells[1][1] + 0.05) * size)
    around = r[i == 0]
    around = around[np.argsort(np.round(np.square(around).sum(axis=1) / size**2, 3), kind="stable")]
    bonds, second = around[: shells[0][0]], around[shells[0][0] :]
    bond = bonds[0]

    def split(axis, length):
        half = 0.5 * length * axis / np.linalg.norm(axis)
        return here + half, here - half

    if structure == "diamond":
        two = bonds[0] + bonds[1]  # the atoms of the dumbbell lie in a plane with two neighbours, from which they turn
        away = -0.3 * size * two / np.linalg.norm(two)
        first, second = split(bonds[0] - bonds[1], size)
        return {
            "dumbbell": ("⟨110⟩ dumbbell", first + away, second + away),
            "hexagonal": ("hexagonal", here - 1.5 * bond, None),
            "tetrahedral": ("tetrahedral", here - bond, None),
        }
    if structure == "fcc":
        near = [b for b in bonds[1:] if abs(b @ bond - 0.5 * bond @ bond) < 0.05 * size**2]
        pair = next((a, b) for a in near for b in near if abs(a @ b - 0.5 * bond @ bond) < 0.05 * size**2)
        return {
            "dumbbell": ("⟨100⟩ dumbbell", *split(second[0], 0.8 * size)),
            "octahedral": ("octahedral", here + 0.5 * second[0], None),
            "tetrahedral": ("tetrahedral", here + 0.25 * (bond + pair[0] + pair[1]), None),
        }
    across = next(v for v in second if abs(v @ second[0]) < 0.05 * size**2)
    return {
        "dumbbell": ("⟨110⟩ dumbbell", *split(second[0] + across, 0.8 * size)),
        "dumbbell_111": ("⟨111⟩ dumbbell", *split(bond, 0.8 * size)),
        "octahedral": ("octahedral", here + 0.5 * second[0], None),
        "tetrahedral": ("tetrahedral", here + 0.5 * second[0] + 0.25 * across, None),
    }


class _Change(NamedTuple):
    """A defect, and the function that makes it from a supercell whose first cell is that of the crystal."""

    key: str
    name: str
    make: Callable[[System], System]


def supercells(system: System, repeats: tuple[int, int, int] | None) -> list[tuple[int, int, int]]:
    """Repeats of the supercell (given, or at least WIDTH_A wide) and, if small enough, of one a cell larger."""
    first = repeats or repeats_for(system.cell, WIDTH_A)
    second = tuple(n + 1 for n in first)
    return [first, second] if len(system) * int(np.prod(second)) <= MOST_ATOMS else [first]


def vacancy_sites(system: System, symmetry: Symmetry | None, energies: np.ndarray) -> list[int]:
    """One atom of each kind of site: by symmetry, or without spglib by element and atomic energy (N,) eV."""
    if symmetry is not None:
        return np.unique(equivalent_atoms(system, symmetry)).tolist()
    kinds = np.column_stack([system.numbers, np.round(energies, 5)])
    return sorted(np.unique(kinds, axis=0, return_index=True)[1].tolist())


def without(system: System, atom: int) -> System:
    """The system without one atom."""
    return system._replace(positions=np.delete(system.positions, atom, 0), numbers=np.delete(system.numbers, atom))


def with_interstitial(system: System, place: np.ndarray, moved: np.ndarray | None) -> System:
    """The system and an atom of the kind of the first one at `place`; the first one moves to `moved` unless None."""
    positions = np.vstack([system.positions, place])
    if moved is not None:
        positions[0] = moved
    return system._replace(positions=positions, numbers=np.append(system.numbers, system.numbers[0]))


def formula_unit(numbers: np.ndarray) -> dict[int, int]:
    """Atomic number -> atoms in a formula unit."""
    elements, counts = np.unique(numbers, return_counts=True)
    divisor = reduce(gcd, counts.tolist())
    return {int(z): int(n) // divisor for z, n in zip(elements, counts, strict=True)}


def point_defects(
    potential: Potential,
    system: System,
    symmetry: Symmetry | None,
    repeats: tuple[int, int, int] | None = None,
    each: Callable[[str], None] = lambda text: None,
) -> list[Defect]:
    """Vacancies of all kinds of sites, the Schottky defect of a compound, interstitials of diamond, fcc and bcc.

    repeats : of the supercell, by default those that make it WIDTH_A wide
    Of a compound, `Defect`s of vacancies hold E(N - 1) - E(N), without any chemical potential.
    Raises InputError if there are too many kinds of sites.
    """
    sizes = supercells(system, repeats)
    perfect = [replicate(system, r) for r in sizes]
    energies = [potential.compute(s).energy for s in perfect]
    unit = formula_unit(system.numbers)
    element = len(unit) == 1
    sites = vacancy_sites(system, symmetry, potential.compute(system).atomic_energies)
    if len(sites) > _MOST_SITES:
        raise InputError(
            f"{len(sites)} kinds of sites, more than {_MOST_SITES}: no vacancies. Of a crystal, give the unit cell "
            "(symmetry is found by spglib: pip install spglib)"
        )
    changes = []
    for atom in sites:
        symbol, ending = chemical_symbols[system.numbers[atom]], "" if element and len(sites) == 1 else f"_{atom}"
        changes.append(_Change(f"vacancy{ending}", f"vacancy, {symbol} (atom {atom})", lambda s, a=atom: without(s, a)))
    structure = cubic_structure(system)
    if structure is not None:
        for key, (name, place, moved) in interstitial_sites(system, structure).items():
            changes.append(
                _Change(key, f"interstitial, {name}", lambda s, p=place, m=moved: with_interstitial(s, p, m))
            )
    found = []
    for change in changes:
        each(change.name)
        found.append(_measure(potential, change, perfect, energies, element))
    return found if element else [*found, *_schottky(found, sites, system, energies, unit, perfect)]


def _measure(potential, change: _Change, perfect: Sequence[System], energies: Sequence[float], element: bool) -> Defect:
    goal = Goal(force_tolerance=_FORCE_TOLERANCE, most_evaluations=_MOST_EVALUATIONS)
    found, converged = [], True
    for whole, energy in zip(perfect, energies, strict=True):
        start = change.make(whole)
        reference = energy * (len(start) / len(whole) if element else 1.0)
        outcome = relax(potential, start, goal)
        converged &= outcome.converged
        found.append([_formation(p, reference) for p in (outcome.history[0], outcome.point)])
        if whole is perfect[0]:
            others = [relax(potential, s, goal) for s in _other_starts(outcome.point.system, whole, start)]
            lowest = [_formation(o.point, reference) for o in others if o.converged]
    unrelaxed, relaxed = found[0]
    return Defect(
        change.key, change.name, None if "dumbbell" in change.key else unrelaxed, relaxed,
        min([relaxed, *lowest], key=lambda f: f.energy),
        found[1][1] if len(found) > 1 else None, len(perfect[0]), len(perfect[-1]), converged,
    )  # fmt: skip


def _other_starts(relaxed: System, whole: System, start: System) -> list[System]:
    """The relaxed defect with random displacements; and a vacancy whose neighbours have moved towards it."""
    shake = np.random.default_rng(0).normal(0.0, _SHAKE_A, relaxed.positions.shape)
    starts = [relaxed._replace(positions=relaxed.positions + shake)]
    if len(start) < len(whole):
        gone = int(np.argmin(np.append((whole.positions[: len(start)] == start.positions).all(axis=1), False)))
        i, j, _, r = neighbor_list(whole, 1.3 * nearest_distance(whole))
        drawn = whole.positions.copy()
        drawn[j[i == gone]] -= _DRAWN_IN * r[i == gone]
        starts.append(without(whole._replace(positions=drawn), gone))
        starts[-1] = starts[-1]._replace(positions=starts[-1].positions + shake)
    return starts


def _formation(point, reference: float) -> Formation:
    return Formation(point.results.energy - reference, coverage(point.system, point.results))


def _schottky(found: Sequence[Defect], sites, system: System, energies, unit: dict[int, int], perfect) -> list[Defect]:
    """The Schottky defect, from the lowest vacancy of each element."""
    lowest: dict[int, Defect] = {}
    for atom, defect in zip(sites, found, strict=False):
        z = int(system.numbers[atom])
        if z not in lowest or defect.relaxed.energy < lowest[z].relaxed.energy:
            lowest[z] = defect
    per_unit = [e / len(s) * sum(unit.values()) for e, s in zip(energies, perfect, strict=True)]

    def together(name, k):
        parts = [getattr(lowest[z], name) for z in unit]
        if None in parts:
            return None
        energy = sum(n * p.energy for n, p in zip(unit.values(), parts, strict=True)) + per_unit[k]
        return Formation(energy, worst(p.coverage for p in parts))

    formula = "".join(chemical_symbols[z] + (str(n) if n > 1 else "") for z, n in unit.items())
    return [
        Defect(
            "schottky", f"Schottky defect (vacancies of a formula unit {formula}, apart)", together("unrelaxed", 0),
            together("relaxed", 0), together("lowest", 0), together("larger", -1), len(perfect[0]), len(perfect[-1]),
            all(d.converged for d in lowest.values()),
        )
    ]  # fmt: skip


def notes_on(defect: Defect) -> list[str]:
    """Notes on a defect."""
    lines = []
    if not defect.converged:
        lines.append(f"{defect.name}: did NOT relax within {_MOST_EVALUATIONS} evaluations of the forces")
    fall = defect.relaxed.energy - defect.lowest.energy
    if fall > _LOWER_EV:
        lines.append(
            f"{defect.name}: not the lowest; after random displacements of {_SHAKE_A} Å"
            + (", or with the neighbours moved inwards," if "vacancy" in defect.key else "")
            + f" the atoms relax to an energy {fall:.3f} eV lower, at {defect.lowest.energy:.3f} eV"
        )
    return lines
