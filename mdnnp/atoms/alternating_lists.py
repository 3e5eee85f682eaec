"""Neighbour lists of several systems that come by turns."""

from collections.abc import Callable

from mdnnp.atoms.neighbors import NeighborList, VerletList, VerletLists
from mdnnp.atoms.system import System

MOST_LISTED_ATOMS = 200_000  # of all lists that are kept together


class AlternatingLists:
    """Lists for systems that come by turns, such as the beads of a ring polymer or replicas: several are kept.

    make : gives new lists, such as `potential.make_lists`; most : how many are kept at once. Those used last stay. Of
    large systems fewer are kept, so that their atoms together are at most MOST_LISTED_ATOMS; one is kept in any case.
    Which list serves decides the order of the sums: results agree to rounding, not to the last bit.
    """

    def __init__(self, make: Callable[[], VerletList | VerletLists], most: int = 8):
        self._make, self._most = make, most
        self._kept: list[VerletList | VerletLists] = []  # the one used last comes first
        self.n_builds = 0

    def __len__(self) -> int:
        return len(self._kept)

    def update(self, system: System) -> NeighborList | tuple[NeighborList, ...]:
        """The first lists kept that are still safe for `system`, or new ones. Raises InputError as `VerletList`."""
        for k, one in enumerate(self._kept):
            if one.is_safe(system):
                self._kept.insert(0, self._kept.pop(k))
                return one.update(system)
        most = max(1, min(self._most, MOST_LISTED_ATOMS // max(1, len(system))))
        del self._kept[most - 1 :]  # frees their memory before the new list takes as much
        new = self._make()
        lists = new.update(system)
        self._kept.insert(0, new)
        self.n_builds += 1
        return lists
