"""Evaluation of a domain: the atoms of one process as centres, with ghost atoms of other processes around them.

The neighbour list has the centres only, in the first places. Ghosts get forces and per-atom virials, which their
owners must add to their own; neighbours of ghosts are not needed.
"""

import numpy as np

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.potentials.assembly import LocalPotential
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.interface import Potential, Results
from mdnnp.potentials.total import TotalPotential


def check_local(potential: Potential) -> None:
    """Raise InputError, naming the term, unless each atomic energy depends on atoms within one cutoff alone."""
    if isinstance(potential, Committee | TotalPotential):
        for part in potential.parts:
            check_local(part)
    elif not isinstance(potential, LocalPotential):
        raise InputError(
            f"{potential.source}: a {potential.kind} cannot be computed in domains: its energies depend on atoms "
            "beyond one cutoff; use mdnnp run"
        )


def evaluate(
    potential: Potential,
    positions: np.ndarray,
    numbers: np.ndarray,
    first: np.ndarray,
    neighbor: np.ndarray,
    *,
    atomic_virials: bool = False,
) -> Results:
    """Results of the centres, which are the first C atoms; arrays are of all N atoms, ghosts included.

    positions (N, 3), Å, without periodicity; numbers (N,); first (C + 1,) int64 and neighbor (E,) int32: all atoms
    nearer to a centre than `potential.cutoff`, at least, in ascending order of atomic number.
    The energy is that of the centres; atomic energies (C,); forces (N, 3) and virials (N, 3, 3) have what the centres
    give to each atom. There is no disagreement: forces on ghosts are incomplete.
    Raises InputError for a potential that is not local, positions that are not finite, or atoms at one position.
    """
    check_local(potential)
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(bad):
        raise InputError(f"atom {bad[0]} of the domain has position {positions[bad[0]]}: not a finite number")
    n, centres = len(numbers), len(first) - 1
    one = NeighborList(
        np.arange(n, dtype=np.int32),
        first,
        neighbor,
        np.zeros(len(neighbor), np.uint16),
        np.zeros((1, 3), np.int64),
        np.zeros((n, 3), np.int64),
        np.float64(potential.cutoff),
    )
    system = System(positions, numbers, np.zeros((3, 3)), np.zeros(3, bool))
    lists = one if len(potential.cutoffs) == 1 else (one,) * len(potential.cutoffs)
    results = potential.compute(system, lists, atomic_virials=atomic_virials)
    energies = results.atomic_energies[:centres]  # those of ghosts are constants, which their owners count
    return results._replace(energy=float(energies.sum()), atomic_energies=energies, disagreement=None, terms=())
