"""What the engine asks of a potential, and what it gets.

A potential of your own is a subclass of `Potential` with `numbers`, `cutoff` and `compute`; everything else has a
default. docs/guide/potentials.md shows one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.neighbors import NeighborList, VerletList, VerletLists
from mdnnp.atoms.system import System, volume
from mdnnp.base.errors import InputError
from mdnnp.potentials.smoothness import Ingredient

Neighbors = NeighborList | tuple[NeighborList, ...]
DIFFERENCE_STEP_A = 1e-4  # longest move of an atom in a central difference
MOST_REACH_A = 15.0  # of `near_reach`
MAX_Z = len(chemical_symbols) - 1


class Extrapolation(NamedTuple):
    """Symmetry functions that left the range of `scaling.data` in one evaluation.

    count : how many (atom, function) pairs did, exact
    atom, function : (n,) atom (from 0, order of the system) and function (from 1, the potential's order)
    value, lower, upper : (n,) raw value of the function and its bounds
    The arrays are in order of atom and function and may list the first events only; all are counted.
    """

    count: int  # type: ignore[assignment]  # it hides tuple.count, which nothing here uses
    atom: np.ndarray
    function: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


NO_EXTRAPOLATION = Extrapolation(0, *(np.empty(0, t) for t in (np.int64, np.int64, float, float, float)))


class Disagreement(NamedTuple):
    """How far the members of a committee are apart: root of the mean squared deviation from their mean.

    forces : (N,) of each atom's force vector, eV/Å
    energy : of the energy per atom, eV
    deviations : (M, N, 3) of each member's forces from their mean, eV/Å
    """

    forces: np.ndarray
    energy: float
    deviations: np.ndarray = np.empty((0, 0, 3))


class Results(NamedTuple):
    """What one evaluation gives.

    energy : eV, offsets included
    atomic_energies : (N,) eV, offsets included; they sum to the energy
    forces : (N, 3) eV/Å
    virial : (3, 3) eV, minus the strain derivative dE/d(strain); see `stress`
    atomic_virials : (N, 3, 3) eV, W_i = sum_j r_ij (x) dE_j/dr_ji, not symmetric; (0, 3, 3) unless asked for
    extrapolation : see `Extrapolation`
    disagreement : of a committee's members, see `Disagreement`; None for a single potential
    charges : (N,) e; (0,) for a potential without charges
    terms : name and energy (eV, offsets included) of each term of a sum; () for a single potential
    """

    energy: float
    atomic_energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray
    atomic_virials: np.ndarray
    extrapolation: Extrapolation = NO_EXTRAPOLATION
    disagreement: Disagreement | None = None
    charges: np.ndarray = np.empty(0)
    terms: tuple[tuple[str, float], ...] = ()

    def stress(self, system: System) -> np.ndarray | None:
        """(3, 3) stress of the potential, eV/Å^3, symmetric, positive under tension: -sym(virial) / volume.

        None unless the cell is periodic in three directions.
        """
        if not system.pbc.all():
            return None
        stress = -self.virial / volume(system.cell)
        return 0.5 * (stress + stress.T)

    @property
    def largest_force(self) -> float:
        """Length of the largest force on an atom, eV/Å."""
        return float(np.sqrt(np.square(self.forces).sum(axis=1).max()))


class Potential(ABC):
    """A potential energy of the atoms: what the engine asks of it.

    A subclass must have `numbers`, `cutoff` and `compute`. The rest describes the potential to users or makes it
    faster, and has a default.

    numbers : atomic numbers that it knows
    cutoff : Å, of the neighbour list that `compute` takes; pairs further apart do not interact directly
    source : where it comes from, for messages
    files : all files that define it, so that a restart knows the potential again
    parts, share : the potentials that it is made of, and the factor of each: terms of a sum, members of a committee
    unswitched : in words, which of its sums end at a distance without a switch, so that its energy jumps; "" if none
    """

    numbers: tuple[int, ...]
    cutoff: float
    source: str = "potential"
    files: tuple[Path, ...] = ()
    parts: tuple["Potential", ...] = ()
    share: float = 1.0
    unswitched: str = ""
    has_disagreement: bool = False  # whether `Results.disagreement` is there: committees
    has_charges: bool = False  # whether `Results.charges` is there
    exact_derivatives: bool = False  # whether `results_derivative` is exact
    computes_domains: bool = False  # whether lists of some centres only will do, as each energy is of its own edges

    # --- computing -----------------------------------------------------------------------------------------

    @abstractmethod
    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Energy, forces and virial. `neighbors`, from `make_lists(...).update(system)`, spares a search.

        Raises InputError for an element that the potential lacks.
        """

    def offsets(self, numbers: np.ndarray) -> np.ndarray:
        """(N,) eV: the constants in the energies of atoms with these atomic numbers (N,). Default: zero."""
        return np.zeros(len(numbers))

    def offset_energy(self, numbers: np.ndarray) -> float:
        """Sum of `offsets`, eV."""
        return float(self.offsets(numbers).sum())

    def results_derivative(
        self,
        system: System,
        displacements: np.ndarray,
        strain: np.ndarray,
        neighbors: Neighbors | None = None,
        results: Results | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of forces (N, 3), eV/Å, and virial (3, 3), eV, as r_i -> r_i + s (displacements_i + r_i strain).

        They are taken by s at s = 0. displacements (N, 3), Å; strain (3, 3), with which the cell moves, too, and which
        need not be symmetric. `results` of the system, where known, spare their computing. Default: central
        differences of fourth order, with a longest move of DIFFERENCE_STEP_A (relative error of some 1e-7, more if
        the potential is rough).
        """
        return differences(self, system, np.asarray(displacements, float), np.asarray(strain, float))

    def hessian_vector_product(
        self, system: System, displacements: np.ndarray, neighbors: Neighbors | None = None
    ) -> np.ndarray:
        """(N, 3) eV/Å: the Hessian of the energy times `displacements` (N, 3) Å. Default: as `results_derivative`."""
        return -differences(self, system, np.asarray(displacements, float), None)[0]

    # --- memory --------------------------------------------------------------------------------------------

    @property
    def remembers(self) -> bool:
        """Whether evaluations of a run start from those before, so that `memory` belongs to its state."""
        return any(part.remembers for part in self.parts)

    def begin(self, memory: Mapping[str, np.ndarray] | None = None) -> None:
        """A run begins: evaluations that solve equations may start from the last ones.

        memory : what `memory` gave, to go on from there: the next evaluation is the last one again, to the bit
        """
        for k, part in enumerate(self.parts):
            own = {name.split(".", 1)[1]: value for name, value in (memory or {}).items() if name.startswith(f"{k}.")}
            part.begin(own)

    def memory(self) -> dict[str, np.ndarray]:
        """What the last evaluation started from, by name: part of the state of a run. Default: that of the parts."""
        return {f"{k}.{name}": value for k, part in enumerate(self.parts) for name, value in part.memory().items()}

    def converged(self) -> "Potential":
        """The same potential, its equations solved to rounding, as comparisons ask for. Default: itself."""
        return self

    # --- geometry ------------------------------------------------------------------------------------------

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """Å, of the neighbour lists that `compute` takes. Default: one, `cutoff`."""
        return (self.cutoff,)

    @property
    def reach(self) -> float:
        """Å: how far the energy of an atom depends on others; infinite if on all of them. Default: `cutoff`.

        Forces on two atoms depend on each other up to twice as far.
        """
        return self.cutoff

    @property
    def near_reach(self) -> float:
        """Å: `reach`, at most MOST_REACH_A: what supercells and slabs are made for; what is beyond is weak there."""
        return min(self.reach, MOST_REACH_A)

    def radii(self) -> list[float]:
        """Distances in Å where an interaction begins, ends, or changes its form. Default: `cutoff`."""
        return [self.cutoff]

    def make_lists(self, skin_A: float = 0.0) -> VerletList | VerletLists:
        """The neighbour lists that `compute` wants, kept until an atom has moved by half of the skin (Å)."""
        cutoffs = self.cutoffs
        return VerletList(cutoffs[0], skin_A) if len(cutoffs) == 1 else VerletLists(cutoffs, skin_A)

    # --- description ---------------------------------------------------------------------------------------

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols of `numbers`."""
        return tuple(chemical_symbols[z] for z in self.numbers)

    @property
    def kind(self) -> str:
        """What it is, in a few words. Default: the name of its class."""
        return type(self).__name__

    def describe(self) -> list[str]:
        """Lines of `mdnnp info`. Default: source, kind, elements, cutoff."""
        return [
            f"{'Potential':<13} {self.source} ({self.kind})",
            f"{'Elements':<13} {known_elements(self)}",
            f"{'Cutoff':<13} {self.cutoff:g} Å",
        ]

    def ingredients(self) -> list[Ingredient]:
        """What limits the smoothness of the energy, the roughest first. Default: nothing is known, an empty list."""
        return []

    def function_ingredients(self) -> dict[str, tuple[Ingredient, ...]]:
        """For each element, what limits the smoothness of each of its symmetry functions. Default: none."""
        return {}

    def split_unswitched(self) -> tuple["Potential | None", "Potential | None"]:
        """Its part without, and its part with sums that end without a switch; None where there is none."""
        return (None, self) if self.unswitched else (self, None)

    def remarks(self, system: System, results: Results) -> list[str]:
        """Sentences on what looks wrong with these results. Default: none."""
        return []

    def all_extrapolations(self, system: System, results: Results) -> Extrapolation:
        """The extrapolations of `results`, with all events listed."""
        return results.extrapolation

    # --- checks --------------------------------------------------------------------------------------------

    def neighbors_of(self, system: System, neighbors: Neighbors | None = None) -> Neighbors:
        """The lists to compute with: those given, if they can be of this system, else new ones. Raises InputError."""
        check_elements(self, system.numbers)
        if neighbors is None:
            return self.make_lists().update(system)
        given = (neighbors,) if isinstance(neighbors, NeighborList) else neighbors
        if len(given) != len(self.cutoffs):
            raise InputError(
                f"{len(given)} neighbour lists, but the potential takes {len(self.cutoffs)}: make them with "
                "potential.make_lists()"
            )
        for one, cutoff in zip(given, self.cutoffs, strict=True):
            _check_list(one, system, cutoff)
        return neighbors


def _check_list(neighbors: NeighborList, system: System, cutoff: float) -> None:
    if len(neighbors.order) != len(system):
        raise InputError(f"the neighbour list is of {len(neighbors.order)} atoms, the system has {len(system)}")
    if neighbors.cutoff < cutoff * (1 - 1e-12):
        raise InputError(
            f"the neighbour list reaches {neighbors.cutoff:g} Å, less than the potential's cutoff of "
            f"{cutoff:g} Å; make it with potential.make_lists()"
        )


def known_elements(potential: Potential) -> str:
    """The elements that a potential knows, in words."""
    return "any" if len(potential.numbers) >= MAX_Z else " ".join(chemical_symbols[z] for z in potential.numbers)


def check_elements(potential: Potential, numbers: np.ndarray) -> None:
    """Raise InputError for an atomic number (N,) that the potential does not have."""
    missing = np.flatnonzero(~np.isin(numbers, potential.numbers))
    if len(missing):
        raise InputError(
            f"atom {missing[0]} is {chemical_symbols[numbers[missing[0]]]}, but the potential is for "
            f"{known_elements(potential)} (atoms are counted from 0)"
        )


def differences(
    potential: Potential, system: System, displacements: np.ndarray, strain: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """`Potential.results_derivative` by central differences of fourth order; no strain where it is None."""
    longest = np.sqrt(np.square(displacements).sum(axis=1).max())
    far = 0.0 if strain is None else np.abs(strain).max() * potential.near_reach
    if longest + far == 0.0:
        return np.zeros_like(displacements), np.zeros((3, 3))
    h = DIFFERENCE_STEP_A / (longest + far)
    potential = potential.converged()

    def at(s):
        moved = system.positions + s * displacements
        if strain is None:
            results = potential.compute(system._replace(positions=moved))
        else:
            moved = moved + s * (system.positions @ strain)
            results = potential.compute(system._replace(positions=moved, cell=system.cell + s * (system.cell @ strain)))
        return results.forces, results.virial

    near, far = [[np.subtract(a, b) for a, b in zip(at(s), at(-s), strict=True)] for s in (h, 2.0 * h)]
    forces, virial = ((8.0 * a - b) / (12.0 * h) for a, b in zip(near, far, strict=True))
    return forces, virial


def roughest(causes: Sequence[Ingredient]) -> list[Ingredient]:
    """Distinct ingredients, the roughest first."""
    return sorted(set(causes))
