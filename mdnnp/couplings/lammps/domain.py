"""Evaluation of a domain: the atoms of one process as centres, with ghost atoms of other processes around them.

The neighbour list has the centres only, in the first places. Ghosts get forces and per-atom virials, which their
owners must add to their own; neighbours of ghosts are not needed.
"""

import numpy as np

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.potentials.interface import Potential, Results


def check_local(potential: Potential) -> None:
    """Raise InputError, naming the term, unless each atomic energy depends on the atoms within one cutoff alone."""
    if potential.computes_domains:
        return
    for part in potential.parts:
        check_local(part)
    raise InputError(
        f"{potential.source}: {potential.kind} cannot be computed in domains: its energies depend on atoms beyond "
        "one cutoff, or it does not say that they do not (`computes_domains`); use mdnnp run"
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
    give to each atom. So do the deviations of a committee's members; the rest of `disagreement` has no meaning.
    Raises InputError as `potential.compute` does. The potential must pass `check_local`, positions must be finite.
    """
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
    return results._replace(energy=float(energies.sum()), atomic_energies=energies, terms=())
