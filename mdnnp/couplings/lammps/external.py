"""A potential in LAMMPS without the plugin: `fix external` in place of the pair style.

LAMMPS gives the atoms of each rank with its ghosts and a full list of neighbours, as it does to the plugin.
`fix external` comes after LAMMPS has sent forces on ghosts home, so that these are sent here, by MPI.
"""

import time
from typing import Any

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from scipy.spatial import cKDTree

from mdnnp.base.errors import InputError
from mdnnp.couplings.lammps.domain import evaluate
from mdnnp.potentials.interface import Potential

EV_PER_UNIT = {"metal": 1.0, "real": 1.0 / 23.060549}  # LAMMPS' own
_FIX = "mdnnp"


def abort(comm: Any) -> None:
    """End all ranks, a moment after a message: mpiexec drops what it has not passed on by then."""
    time.sleep(0.5)
    comm.Abort(2)


class External:
    """The potential of a LAMMPS instance; `numbers` are the atomic numbers of its types. Attach it after the box."""

    def __init__(self, lammps: Any, comm: Any, potential: Potential, numbers: list[int]):
        self.lammps, self.comm, self.potential = lammps, comm, potential
        self.numbers = np.array([0, *numbers])
        units = lammps.extract_global("units")
        if units not in EV_PER_UNIT:
            raise InputError(f"units {units}: mdnnp works with units {' and '.join(EV_PER_UNIT)}")
        self.unit = 1.0 / EV_PER_UNIT[units]
        self.extrapolations = 0
        self._check_masses()
        for line in (
            f"pair_style zero {potential.cutoff!r} full",
            "pair_coeff * *",
            f"fix {_FIX} all external pf/callback 1 1",
            f"fix_modify {_FIX} energy yes virial yes",
        ):
            lammps.command(line)
        lammps.set_fix_external_callback(_FIX, self._guarded)
        self._lists: tuple[np.ndarray, ...] | None = None

    def _check_masses(self) -> None:
        masses, own = self._array("mass", len(self.numbers)), atomic_masses[self.numbers]
        for kind in range(1, len(own)):
            near = np.flatnonzero(np.abs(masses[kind] / own[1:] - 1.0) < 0.01) + 1
            if abs(masses[kind] / own[kind] - 1.0) > 0.1 and len(near):
                given, found = (chemical_symbols[self.numbers[k]] for k in (kind, near[0]))
                raise InputError(
                    f"atom type {kind} is {given} by pair_coeff, but its mass is that of {found}: give the elements in "
                    "the order of the types"
                )

    def _guarded(self, _, step, n_own, tags, positions, force) -> None:
        try:
            self._compute(step, n_own, force)
        except BaseException as error:  # it cannot leave LAMMPS, and other ranks would wait
            print(f"error: step {step}: {error}", flush=True)
            abort(self.comm)

    def _array(self, name: str, n: int) -> np.ndarray:
        return self.lammps.numpy.extract_atom(name, nelem=n)

    def _compute(self, step: int, n_own: int, force: np.ndarray) -> None:
        n_all = n_own + self.lammps.extract_setting("nghost")
        if self._lists is None or self.lammps.extract_setting("neigh_ago") == 0:
            self._lists = self._new_lists(n_own, n_all)
            self._find_owners(n_own, n_all)
        if n_own:
            results = evaluate(self.potential, self._array("x", n_all).copy(), *self._lists)
            forces, virial = results.forces, 0.5 * (results.virial + results.virial.T)
            sums = np.array([results.energy, *virial[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]])
            found = results.extrapolation.count
        else:
            forces, sums, found = np.zeros((n_all, 3)), np.zeros(7), 0
        force[:] = self.unit * (forces[:n_own] + self._sent_home(forces[n_own:], n_own))
        totals = self.comm.allreduce(np.array([*sums, found]))
        # all ranks give the sums, which LAMMPS does not add up
        self.lammps.fix_external_set_energy_global(_FIX, self.unit * totals[0])
        self.lammps.fix_external_set_virial_global(_FIX, list(self.unit * totals[1:7]))
        if totals[7] and not self.extrapolations and self.comm.rank == 0:
            print(f"warning: step {step}: {int(totals[7])} symmetry functions are outside of their range", flush=True)
        self.extrapolations += int(totals[7])

    def _new_lists(self, n_own: int, n_all: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Atomic numbers (n_all,), and the neighbours of own atoms in ascending order of these: first, neighbor."""
        numbers = self.numbers[self._array("type", n_all)] if n_all else np.empty(0, np.int64)
        index = self.lammps.find_pair_neighlist("zero")
        each: list[np.ndarray] = [np.empty(0, np.int32)] * n_own
        for k in range(self.lammps.get_neighlist_size(index)):
            atom, near = self.lammps.numpy.get_neighlist_element_neighbors(index, k)
            each[atom] = near & 0x1FFFFFFF  # without the bits of bonds
        counts = np.array([len(near) for near in each], np.int64)
        neighbor = np.concatenate(each) if n_own else np.empty(0, np.int32)
        if n_own:
            self._check_complete(self._array("x", n_all), counts, neighbor)
        order = np.lexsort((numbers[neighbor], np.repeat(np.arange(n_own), counts)))
        return numbers, np.concatenate([[0], np.cumsum(counts)]), neighbor[order].astype(np.int32)

    def _check_complete(self, positions: np.ndarray, counts: np.ndarray, neighbor: np.ndarray) -> None:
        """LAMMPS takes pairs out of its lists on demand, which an environment must not lack."""
        own = positions[: len(counts)]
        distances = np.linalg.norm(positions[neighbor] - np.repeat(own, counts, axis=0), axis=1)
        listed = np.count_nonzero(distances < self.potential.cutoff)
        near = cKDTree(positions).query_ball_point(own, self.potential.cutoff * (1.0 - 1e-9), return_length=True)
        if (lacking := int(near.sum()) - len(own) - listed) > 0:
            raise InputError(
                f"{lacking} neighbours are not in LAMMPS' list; remove neigh_modify exclude, or write "
                "special_bonds lj/coul 1 1 1"
            )

    def _find_owners(self, n_own: int, n_all: int) -> None:
        """Which ghosts go to which rank, and which own atoms the forces that come are for."""
        tags = self._array("id", n_all).astype(np.int64) if n_all else np.empty(0, np.int64)
        owned = self.comm.allgather(tags[:n_own].copy())
        begins = np.concatenate([[0], np.cumsum([len(one) for one in owned])])
        every = np.concatenate(owned)
        order = np.argsort(every)
        place = order[np.searchsorted(every[order], tags[n_own:])]
        rank = np.searchsorted(begins, place, side="right") - 1
        self._by_rank = np.argsort(rank, kind="stable")
        self._ends = np.searchsorted(rank[self._by_rank], np.arange(self.comm.size + 1))
        mine = (place - begins[rank])[self._by_rank]
        self._targets = np.concatenate(self.comm.alltoall(self._parts(mine)))

    def _parts(self, values: np.ndarray) -> list[np.ndarray]:
        return [values[a:b] for a, b in zip(self._ends[:-1], self._ends[1:], strict=True)]

    def _sent_home(self, ghosts: np.ndarray, n_own: int) -> np.ndarray:
        """(n_own, 3): what the forces on ghosts of all ranks give to own atoms."""
        came = np.concatenate(self.comm.alltoall(self._parts(ghosts[self._by_rank])))
        return np.stack([np.bincount(self._targets, came[:, k], n_own) for k in range(3)], axis=1)
