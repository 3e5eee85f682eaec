"""Potentials that are not local: local values, a global map, pull-back.

1. Each atom's values (N, n) are functions of its edges: symmetry functions, charges' arguments, features.
2. A map of all values at once gives the energy and its derivative by each value. It may look at the positions, too,
   as electrostatics does, and then gives the forces and the virial at constant values.
3. The derivatives by the values are pulled back along the edges to forces and virials.

Local potentials do all three for one centre after the other, which is faster; the result is the same.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from mdnnp.atoms.system import System
from mdnnp.potentials.interface import Neighbors, Potential, Results


class LocalValues(Protocol):
    """Values of each atom as functions of its edges, and their pull-back. `HDNNP` is one, with symmetry functions."""

    numbers: tuple[int, ...]
    cutoff: float
    source: str

    def descriptors(self, system: System, neighbors: Neighbors | None = None) -> np.ndarray:
        """(N, n) values of each atom."""

    def pull_back(
        self,
        system: System,
        neighbors: Neighbors | None,
        gradients: np.ndarray,
        energies: np.ndarray,
        *,
        atomic_virials: bool = False,
    ) -> Results:
        """Results with the energies (N,) eV and the forces and virials of dE/d(values) = gradients (N, n)."""


class Mapped(NamedTuple):
    """What a global map gives.

    energies : (N,) eV, they sum to the energy; gradients : (N, n) eV, derivatives of the energy by the values
    forces : (N, 3) eV/Å and virial : (3, 3) eV, at constant values, of a map that looks at positions; else None
    charges : (N,) e, (0,) without
    """

    energies: np.ndarray
    gradients: np.ndarray
    forces: np.ndarray | None = None
    virial: np.ndarray | None = None
    charges: np.ndarray = np.empty(0)


class LayeredPotential(Potential):
    """The energy that `mapping(system, values)` makes of the values of all atoms.

    Per-atom virials are those of the edges; a map with forces of its own has none, so that they are empty then.
    Derivatives of forces are differences.
    """

    def __init__(self, local: LocalValues, mapping: Callable[[System, np.ndarray], Mapped], source: str = "layered"):
        self.local, self.mapping, self.source = local, mapping, source
        self.numbers, self.cutoff = local.numbers, local.cutoff

    @property
    def reach(self) -> float:
        """Infinite: an energy depends on all atoms."""
        return np.inf

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Values, map, pull-back."""
        neighbors = self.neighbors_of(system, neighbors)
        mapped = self.mapping(system, self.local.descriptors(system, neighbors))
        wanted = atomic_virials and mapped.forces is None
        results = self.local.pull_back(
            system, neighbors, mapped.gradients, mapped.energies, atomic_virials=wanted
        )._replace(charges=mapped.charges)
        if mapped.forces is None:
            return results
        return results._replace(forces=results.forces + mapped.forces, virial=results.virial + mapped.virial)
