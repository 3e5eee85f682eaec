"""The crystal whose properties are computed: relaxed, with its symmetry; and where the potential extrapolates."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.spacegroup import Symmetry
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, heights, volume
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.potentials.interface import Potential, Results

FORCE_TOLERANCE = 1e-5  # eV/Å, of perfect crystals
STRESS_TOLERANCE_GPA = 1e-4
_FARTHEST_MOVE = 0.4  # nearest-neighbour distances: a crystal's atoms stay on their sites
_VOLUME_CHANGE = 0.25
_MOST_EVALUATIONS = 3000


class Coverage(NamedTuple):
    """How much of a configuration lies outside what the potential was fitted to.

    atoms : with a symmetry function out of range, of `of` atoms (of those that the evaluation lists)
    functions : (atom, function) pairs out of range; worst : the one that is farthest out, in words
    disagreement : of a committee, the largest force disagreement of an atom, eV/Å; None for a single potential
    """

    atoms: int
    of: int
    functions: int
    worst: str
    disagreement: float | None = None

    def __bool__(self) -> bool:
        return self.functions > 0

    def __str__(self) -> str:
        text = f"extrapolates: {self.atoms} of {self.of} atoms, worst {self.worst}" if self else "in range"
        return text if self.disagreement is None else f"{text}; members disagree by {self.disagreement:.2g} eV/Å"


def coverage(system: System, results: Results) -> Coverage:
    """Summary of the extrapolation events of an evaluation of `system`."""
    x = results.extrapolation
    disagreement = None if results.disagreement is None else float(results.disagreement.forces.max())
    if not x.count:
        return Coverage(0, len(system), 0, "", disagreement)
    beyond = np.maximum(x.lower - x.value, x.value - x.upper)
    spread = x.upper - x.lower
    relative = np.divide(beyond, spread, out=np.full_like(beyond, np.inf), where=spread > 0)
    k = int(np.argmax(relative))
    symbol = chemical_symbols[system.numbers[x.atom[k]]]
    side = "below" if x.value[k] < x.lower[k] else "above"
    worst = f"function {x.function[k]} of {symbol} {side} its range by {100 * relative[k]:.2g} % of it"
    return Coverage(len(np.unique(x.atom)), len(system), x.count, worst, disagreement)


def worst(coverages: Iterable[Coverage]) -> Coverage:
    """The one with the largest share of atoms out of range, or where a committee disagrees most."""
    return max(coverages, key=lambda c: (c.atoms / c.of, c.functions, c.disagreement or 0.0))


class Crystal(NamedTuple):
    """A crystal to be examined.

    system : relaxed, unless the request says otherwise; results : of it; masses (N,) u
    symmetry : its space group, None without spglib; relaxed : whether cell and positions were relaxed
    """

    potential: Potential
    system: System
    masses: np.ndarray
    results: Results
    symmetry: Symmetry | None
    relaxed: bool

    @property
    def energy_per_atom(self) -> float:
        """eV."""
        return self.results.energy / len(self.system)

    @property
    def volume_per_atom(self) -> float:
        """Å^3."""
        return volume(self.system.cell) / len(self.system)

    @property
    def coverage(self) -> Coverage:
        """Extrapolations of the potential in the relaxed crystal."""
        return coverage(self.system, self.results)


def make_crystal(potential: Potential, structure: Structure, relaxed: bool = True) -> Crystal:
    """The crystal of a structure, its cell and positions relaxed (its symmetry kept if spglib is there).

    Raises InputError for what is not periodic in three directions or a slab, wire or molecule in a periodic box,
    PhysicsError for what does not come to rest, or only far from where it stood: a liquid, another phase, a structure
    in other units.
    """
    system = structure.system
    if not system.pbc.all():
        raise InputError(
            f"{structure.label}: not periodic in three directions; properties are those of a crystal, so give its cell"
        )
    gap, axis = widest_gap(system)
    if gap > potential.cutoff:
        raise InputError(
            f"{structure.label}: no atoms in a layer of {gap:.1f} Å across lattice vector {'abc'[axis]}, farther than "
            f"the potential reaches ({potential.cutoff:.1f} Å): a slab or a molecule; properties are those of a "
            "crystal, so give the cell of the bulk"
        )
    if relaxed:
        system = _relaxed(potential, structure)
    return Crystal(
        potential, system, structure.masses, potential.compute(system), find_symmetry(system), relaxed
    )  # fmt: skip


def find_symmetry(system: System) -> Symmetry | None:
    """The space group; None without spglib."""
    try:
        return Symmetry.find(system)
    except InputError:
        return None


def _relaxed(potential: Potential, structure: Structure) -> System:
    start = structure.system
    nearest = nearest_distance(start)
    goal = Goal(
        cell=True, force_tolerance=FORCE_TOLERANCE, stress_tolerance_GPa=STRESS_TOLERANCE_GPA,
        keep_symmetry=find_symmetry(start) is not None, most_evaluations=_MOST_EVALUATIONS,
    )  # fmt: skip
    outcome = relax(potential, start, goal)
    end = outcome.point.system
    if not outcome.converged:
        raise PhysicsError(
            f"{structure.label}: cannot be relaxed: {outcome.reason}; largest force "
            f"{outcome.point.max_force:.2g} eV/Å, stress {outcome.point.max_stress_GPa:.2g} GPa. Relax it first "
            "(mdnnp relax --cell), or use it without relaxation with --no-relax"
        )
    moved = (end.positions @ np.linalg.inv(end.cell) - start.positions @ np.linalg.inv(start.cell)) @ start.cell
    moved -= moved.mean(axis=0)
    farthest = np.sqrt(np.square(moved).sum(axis=1).max())
    change = volume(end.cell) / volume(start.cell) - 1.0
    if farthest > _FARTHEST_MOVE * nearest or abs(change) > _VOLUME_CHANGE:
        raise PhysicsError(
            f"{structure.label}: far from a minimum: relaxing moves an atom by {farthest:.2f} Å (nearest neighbours "
            f"are {nearest:.2f} Å apart) and changes the volume by {100 * change:+.1f} %. A liquid has none of these "
            "properties; of a crystal, give a structure nearer to its minimum (mdnnp relax), or check the units"
        )
    return end


def widest_gap(system: System) -> tuple[float, int]:
    """Thickness in Å of the widest layer without atoms parallel to two lattice vectors, and the number of the third."""
    places = np.sort((system.positions @ np.linalg.inv(system.cell)) % 1.0, axis=0)
    gaps = np.diff(places, axis=0, append=places[:1] + 1.0).max(axis=0) * heights(system.cell)
    return float(gaps.max()), int(np.argmax(gaps))


def nearest_distance(system: System) -> float:
    """Smallest distance between two atoms, images included, Å."""
    reach = 1.2 * (volume(system.cell) / len(system)) ** (1 / 3) * 2.0
    r = neighbor_list(system, reach)[3]
    return float(np.sqrt(np.square(r).sum(axis=1).min())) if len(r) else reach


def equivalent_atoms(system: System, symmetry: Symmetry | None) -> np.ndarray:
    """(N,) integers: equal for atoms that the space group maps onto each other; all different without one."""
    kind = np.arange(len(system))
    if symmetry is not None:
        for permutation in symmetry.permutations:
            kind = np.minimum(kind, kind[permutation])
    return kind
