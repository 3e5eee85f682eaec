"""Neighbour lists: a cell list for any cell and boundaries, and a Verlet skin that avoids most searches.

Conventions: a full list (each pair twice), r_ij = r_j - r_i + S @ cell with integer shifts S; an atom's own periodic
images are neighbours, the atom itself is not. The cell may be thinner than the cutoff by any factor, and as skewed as
`system.validate` lets pass.

Method: the lattice is reduced, so that skew costs nothing; atoms are wrapped into the reduced cell and sorted into bins
along its vectors. Bins across a periodic boundary are the same bins with a shift, so that small cells need no special
case. Bins along the last direction are contiguous in memory: the surroundings of a bin are a few contiguous ranges of
atoms, which are collected once for all its atoms, in order of element. A first pass counts, a second one fills. M. P.
Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed., ch. 5.3 (Verlet list and cell list).
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.system import OVERLAP_A, System, complete_cell, copied, heights, transformed, validate
from mdnnp.base.compiled.jit import njit, njit_fast, run_chunks, vectorize_freely
from mdnnp.base.errors import InputError

_BINS_PER_CUTOFF = np.array([1, 1, 2])  # along the cell vectors; the fastest of those tried
_MAX_CHUNKS = 64
_ATOMS_PER_CHUNK = 128


class NeighborList(NamedTuple):
    """A full neighbour list for kernels, over atoms in *sorted* order (atoms near in space are near in memory).

    order : (N,) int32, sorted place -> atom
    first : (N + 1,) int64; neighbours of the centre at place i are entries first[i] .. first[i + 1] - 1
    j : (E,) int32, sorted place of the neighbour; per centre in ascending order of atomic number
    image : (E,) uint16, row of `images`
    images : (M, 3) int64, shifts in units of the cell vectors
    wrap : (N, 3) int64 in the order of atoms; the wrapped position is ``position - wrap @ cell``. It lies in the
        cell of the reduced lattice, which is the given cell unless that is very skewed.
    cutoff : distance up to which pairs were listed when it was built (skin included), Å
    """

    order: np.ndarray
    first: np.ndarray
    j: np.ndarray
    image: np.ndarray
    images: np.ndarray
    wrap: np.ndarray
    cutoff: np.float64


def coordinates(positions: np.ndarray, cell: np.ndarray, neighbors: NeighborList) -> np.ndarray:
    """(N, 3) positions in sorted order, wrapped as when the list was built, Å."""
    out = np.empty((len(positions), 3))
    _gather(positions, cell, neighbors.order, neighbors.wrap, out)
    return out


def image_vectors(neighbors: NeighborList, cell: np.ndarray) -> np.ndarray:
    """(M, 3) shift vectors of the list's images, Å."""
    return neighbors.images @ cell


def neighbor_list(system: System, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All pairs nearer than `cutoff` (Å): i, j (E,), shifts S (E, 3), int64, and vectors r_ij (E, 3) in Å.

    r_ij = positions[j] - positions[i] + S @ cell, for the positions as given. Sorted by i; per i in ascending order of
    the neighbours' atomic numbers. Raises InputError as `VerletList.update`.
    """
    _check_cutoff(cutoff, 0.0)
    validate(system)
    full = build(system, cutoff)
    count = np.empty(len(system), np.int64)
    count[full.order] = np.diff(full.first)
    target = (np.cumsum(count) - count)[full.order]
    n_pairs = len(full.j)
    i, j = np.empty(n_pairs, np.int64), np.empty(n_pairs, np.int64)
    shifts, vectors = np.empty((n_pairs, 3), np.int64), np.empty((n_pairs, 3))
    n_chunks = _number_of_chunks(len(system))
    bounds = np.linspace(0, len(system), n_chunks + 1).astype(np.int64)

    def work(c):
        _unsort(bounds[c], bounds[c + 1], system.positions, system.cell, *full[:6], target, i, j, shifts, vectors)

    run_chunks(work, n_chunks)
    return i, j, shifts, vectors


class VerletList:
    """A neighbour list that is rebuilt only when it must be.

    cutoff : Å; skin : margin in Å. The list holds all pairs within cutoff + skin, and is safe until an atom has moved
    by skin/2 since it was built. If the cell has changed, by ``cell = old cell @ F``, atoms are taken back by F first:
    a pair r0 that was not listed is now r = (r0 + u_j - u_i) @ F with displacements u, so that it is no shorter than
    s (cutoff + skin - 2 max |u|), where s is the smallest singular value of F. The list is safe as long as that is no
    less than the cutoff. Raises InputError for values that make no sense.
    """

    def __init__(self, cutoff: float, skin: float = 1.0):
        _check_cutoff(cutoff, skin)
        self.cutoff, self.skin = float(cutoff), float(skin)
        self.n_builds = 0
        self.reference: System | None = None  # the system for which the list was built
        self._list: NeighborList | None = None

    def update(self, system: System) -> NeighborList:
        """The list for `system`; that of the last call if it is still safe.

        Raises InputError if positions are not finite (`validate`) or two atoms are at the same position.
        """
        if not self.is_safe(system):
            self.restore(system)
        return self._list

    def restore(self, system: System) -> None:
        """Build the list for `system` whatever was before: a run that resumes gives its last `reference` here."""
        validate(system)
        self._list = None  # frees its memory before the new list takes as much
        self._list = build(system, self.cutoff + self.skin)
        self.reference = copied(system)
        self.n_builds += 1

    def is_safe(self, system: System) -> bool:
        """Whether the list that is kept holds all pairs of `system`."""
        old = self.reference
        return (
            self._list is not None
            and np.array_equal(old.numbers, system.numbers)
            and np.array_equal(old.pbc, system.pbc)
            and system.positions.shape == old.positions.shape
            and not self._has_moved(system)
        )

    def _has_moved(self, system: System) -> bool:
        """Whether cell and atoms have moved so far that a pair may be missing."""
        old = self.reference
        if np.array_equal(old.cell, system.cell):
            return _moved(system.positions, old.positions, 0.5 * self.skin)
        if not (np.all(system.pbc) and np.isfinite(system.cell).all()):
            return True
        deformation = np.linalg.solve(old.cell, system.cell)
        shortest = np.linalg.svd(deformation, compute_uv=False)[-1]
        allowed = 0.5 * (self.cutoff + self.skin - self.cutoff / shortest) if shortest > 0 else 0.0
        allowed -= 1e-12 * np.max(np.abs(system.positions))  # rounding of the way back
        if not allowed > 0.0:
            return True
        return _moved(transformed(system.positions, np.linalg.inv(deformation)), old.positions, allowed)


class VerletLists:
    """Several neighbour lists of one system, each with a cutoff (Å) of its own, rebuilt together when one must be.

    cutoffs may be empty. Everything else is as in `VerletList`; `update` returns a tuple, one list for each cutoff.
    """

    def __init__(self, cutoffs: Sequence[float], skin: float = 1.0):
        self._each = [VerletList(cutoff, skin) for cutoff in cutoffs]
        self.skin = float(skin)
        self.n_builds = 0
        self.reference: System | None = None

    def update(self, system: System) -> tuple[NeighborList, ...]:
        """The lists for `system`; kept from the last call if all are still safe."""
        if not self.is_safe(system):
            self.restore(system)
        return tuple(one.update(system) for one in self._each)

    def is_safe(self, system: System) -> bool:
        """Whether the lists that are kept hold all pairs of `system`."""
        return self.reference is not None and all(one.is_safe(system) for one in self._each)

    def restore(self, system: System) -> None:
        """Build all lists for `system`, whatever was before."""
        validate(system)
        for one in self._each:
            one.restore(system)
        self.reference = copied(system)
        self.n_builds += 1


def build(system: System, cutoff: float) -> NeighborList:
    """The full list of all pairs nearer than `cutoff` (Å), for a system that `validate` has passed.

    Raises InputError if two atoms are at the same position, or if the list is too large for its integers or memory.
    """
    n = len(system)
    if n >= 2**31:
        raise InputError(f"{n} atoms: the neighbour list can count at most {2**31 - 1}")
    grid, wrap, images, fractional = _make_grid(system, cutoff)
    order = np.empty(n, np.int32)
    _sort_into_bins(fractional, grid, order)
    del fractional
    first = np.zeros(n + 1, np.int64)
    full = NeighborList(order, first, np.empty(0, np.int32), np.empty(0, np.uint16), images, wrap, np.float64(cutoff))
    x, y, z = np.ascontiguousarray(coordinates(system.positions, system.cell, full).T)
    kinds, kind = _kinds(system.numbers, order)
    shifts = image_vectors(full, system.cell)
    n_chunks = _number_of_chunks(n)
    bounds = np.searchsorted(grid.start, np.linspace(0, n, n_chunks + 1).astype(np.int64))
    bounds[0], bounds[-1] = 0, len(grid.start) - 1
    clashes = np.full((n_chunks, 4), -1.0)

    def work(c):
        _search(
            fill, bounds[c], bounds[c + 1], cutoff**2, OVERLAP_A**2, grid, x, y, z, kind, kinds, shifts,
            first, full.j, full.image, clashes[c],
        )  # fmt: skip

    fill = False
    run_chunks(work, n_chunks)
    for clash in clashes[clashes[:, 0] >= 0]:
        raise InputError(_at_same_position(clash, system, full))
    np.cumsum(first, out=first)
    try:
        j, image = np.empty(first[-1], np.int32), np.empty(first[-1], np.uint16)
    except MemoryError:
        raise InputError(
            f"the {first[-1]} pairs nearer than {cutoff:g} Å do not fit into memory; check the cell, the unit of "
            "length and the cutoff"
        ) from None
    full = full._replace(j=j, image=image)
    fill = True
    run_chunks(work, n_chunks)
    return full


def _check_cutoff(cutoff, skin):
    if not (np.isfinite(cutoff) and cutoff > 0 and np.isfinite(skin) and skin >= 0):
        raise InputError(f"neighbour list: need cutoff > 0 and skin >= 0, got {cutoff} Å and {skin} Å")


def _number_of_chunks(n_atoms):
    return max(1, min(_MAX_CHUNKS, n_atoms // _ATOMS_PER_CHUNK))


def _kinds(numbers, order):
    """(number of elements, (N,) int32 rank of each sorted atom's element in ascending order of atomic number)."""
    present = np.unique(numbers)
    return len(present), np.searchsorted(present, numbers).astype(np.int32)[order]


def _at_same_position(clash, system, neighbors):
    """The message on two atoms at the same position; clash: squared distance, sorted indices, row of `images`."""
    a, b = sorted(int(neighbors.order[int(k)]) for k in clash[1:3])
    distance = f"{np.sqrt(clash[0]):.2g} Å"
    if a == b:
        return f"atom {a} (counted from 0) is {distance} from its own periodic image; check the cell and its unit"
    names = (f"{k} ({chemical_symbols[system.numbers[k]]})" for k in (a, b))
    across = " across a periodic boundary" if neighbors.images[int(clash[3])].any() else ""
    return (
        f"atoms {' and '.join(names)} (counted from 0) are at the same position: their distance is {distance}{across}; "
        "remove one of them, or check the cell and the unit of length"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Bins


class _Grid(NamedTuple):
    """Bins along the vectors of the reduced cell."""

    origin: np.ndarray  # (3,) fractional coordinate at which the bins begin
    scale: np.ndarray  # (3,) bins per unit of fractional coordinate
    bins: np.ndarray  # (3,) int64 number of bins
    reach: np.ndarray  # (3,) int64 bins within the cutoff on either side
    copies: np.ndarray  # (3,) int64 largest shift that can occur; 0 along open directions
    start: np.ndarray  # (bins + 1,) int64 first atom of each bin in sorted order


def _make_grid(system, cutoff):
    """The grid (`start` still zero), wrap (N, 3), images (M, 3) and the wrapped fractional coordinates (N, 3)."""
    positions, _, cell, pbc, _ = system
    transform = _reduction(cell, pbc)
    frame = complete_cell(transform @ cell, pbc)
    wrap = np.empty((len(system), 3), np.int64)
    fractional = np.empty((len(system), 3))
    _wrap(positions, np.linalg.inv(frame), transform, pbc, wrap, fractional)
    # Rows of open directions are orthogonal unit vectors, so that their extent is in Å.
    low, high = fractional.min(axis=0), fractional.max(axis=0)
    most = 4.0 * len(system) + 64
    bins = _bins_along(low, high, frame, pbc, cutoff)
    if bins.prod() > most and not pbc.all():
        # A few atoms far away from the rest may go into the outermost bins: that only brings bins nearer to each
        # other, so that no pair is lost.
        low, high = np.quantile(fractional, [0.02, 0.98], axis=0)
        bins = _bins_along(low, high, frame, pbc, cutoff)
    while bins.prod() > most:
        bins = np.where(bins == bins.max(), np.floor(0.8 * bins), bins)
    low, size = np.where(pbc, 0.0, low), np.where(pbc, 1.0, np.maximum(high - low, cutoff))
    width = np.where(pbc, heights(frame), size) / bins
    # Rounding of coordinates must not hide a pair: atoms are in their bins to within this margin.
    margin = 1e-9 * cutoff + 1e-13 * np.abs(positions).max()
    reach = np.floor((cutoff + margin) / width) + 1
    copies = np.where(pbc, (reach + bins - 1) // bins, 0)
    reach = np.where(pbc, reach, np.minimum(reach, bins - 1))
    if (2 * copies + 1).prod() > 65536:
        raise InputError(
            f"the cell is so small that {(2 * copies + 1).prod():.3g} periodic images are needed for a cutoff of "
            f"{cutoff:g} Å, more than 65536; check the cell and the unit of length, or replicate the cell"
        )
    images = _offsets(copies) @ transform
    start = np.zeros(int(bins.prod()) + 1, np.int64)
    grid = _Grid(
        low, bins / size, bins.astype(np.int64), reach.astype(np.int64), copies.astype(np.int64), start
    )  # fmt: skip
    return grid, wrap, images, fractional


def _bins_along(low, high, frame, pbc, cutoff):
    """Numbers of bins (3,), as floats since they may be huge."""
    size = np.where(pbc, heights(frame), high - low)
    return np.maximum(1.0, np.floor(size / (cutoff * (1.0 + 1e-6)) * _BINS_PER_CUTOFF))


def _offsets(reach):
    """All integer triples from -reach to reach, the last index fastest."""
    ranges = (np.arange(-int(r), int(r) + 1) for r in reach)
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)


def _reduction(cell, pbc):
    """Integer (3, 3) T such that the periodic rows of T @ cell span the same lattice with short vectors.

    Each vector in turn is shortened by whole multiples of the others as long as it helps. I. Semaev, LNCS 2146, 181
    (2001).
    """
    transform = np.eye(3, dtype=np.int64)
    periodic = np.flatnonzero(pbc)
    shortened = len(periodic) > 1
    while shortened:
        shortened = False
        for k in periodic:
            others = periodic[periodic != k]
            reduced = transform @ cell
            best = np.rint(np.linalg.lstsq(reduced[others].T, reduced[k], rcond=None)[0]).astype(np.int64)
            shifts = [best + step for step in product((0, -1, 1), repeat=len(others))]
            lengths = [np.linalg.norm(reduced[k] - s @ reduced[others]) for s in shifts]
            least = int(np.argmin(lengths))
            if lengths[least] < np.linalg.norm(reduced[k]) * (1.0 - 1e-9):
                transform[k] -= shifts[least] @ transform[others]
                shortened = True
    return transform


@njit
def _wrap(positions, inverse, transform, pbc, wrap, fractional):
    """Fill wrap (N, 3), cell vectors to take away, and the fractional coordinates (N, 3) in the reduced cell then."""
    for i in range(positions.shape[0]):
        for k in range(3):
            wrap[i, k] = 0
        for k in range(3):
            s = positions[i, 0] * inverse[0, k] + positions[i, 1] * inverse[1, k] + positions[i, 2] * inverse[2, k]
            if pbc[k]:
                whole = math.floor(s)
                s -= whole
                for l in range(3):
                    wrap[i, l] += whole * transform[k, l]
            fractional[i, k] = s


@njit
def _sort_into_bins(fractional, grid, order):
    """Counting sort of the atoms by bin: fills order (N,) and grid.start."""
    n = fractional.shape[0]
    start, bins = grid.start, grid.bins
    where = np.empty(n, np.int64)
    for i in range(n):
        b = np.int64(0)
        for k in range(3):
            # A fraction of -1e-17 wraps to 1.0, and atoms may lie beyond the bins of an open direction.
            s = min(max((fractional[i, k] - grid.origin[k]) * grid.scale[k], 0.0), bins[k] - 1.0)
            b = b * bins[k] + np.int64(s)
        where[i] = b
        start[b + 1] += 1
    for k in range(start.size - 1):
        start[k + 1] += start[k]
    for i in range(n - 1, -1, -1):  # `start` runs back to the first atom of each bin
        b = where[i]
        start[b + 1] -= 1
        order[start[b + 1]] = i
    for k in range(start.size - 1):
        start[k] = start[k + 1]
    start[start.size - 1] = n


# ---------------------------------------------------------------------------------------------------------------------
# Search


@njit
def _search(
    fill, begin, end, limit, overlap, grid, x, y, z, kind, n_kinds, shifts, first, j, image, clash
):  # fmt: skip
    """Neighbours of the atoms in bins begin .. end - 1: fills `j` and `image`, or counts them in first[i + 1].

    limit, overlap : squares of the cutoff and of the distance that is too short, Å^2
    x, y, z, kind : (N,) coordinates, Å, and rank of the element, sorted; shifts (M, 3) of the images, Å
    The first pair that is too near stops the count: `clash` is its squared distance, both atoms and the image.
    """
    most = (2 * grid.reach[0] + 1) * (2 * grid.reach[1] + 1) * (2 * grid.copies[2] + 1)
    ranges = np.empty((3, most), np.int64)
    room = np.int64(512)
    who, c, d = np.empty((5, room), np.int32), np.empty((6, room)), np.empty(room)
    slot = np.empty(n_kinds + 1, np.int64)
    home = (shifts.shape[0] - 1) // 2
    for b in range(begin, end):
        i_first, i_end = grid.start[b], grid.start[b + 1]
        if i_first == i_end:
            continue
        n_ranges, n = _surroundings(b, grid, ranges)
        if n > room:
            room = 2 * n
            who, c, d = np.empty((5, room), np.int32), np.empty((6, room)), np.empty(room)
        n = _collect(i_first, i_end, limit, n_ranges, ranges, fill, kind, slot, x, y, z, shifts, who, c)
        for i in range(i_first, i_end):
            _distances(x[i], y[i], z[i], n, c, d)
            if fill:
                _append(n, limit, d, who, first[i], j, image)
            else:
                hits, near = _count(n, limit, overlap, d)
                first[i + 1] = hits - 1
                if near > 1:
                    for t in range(n):
                        if d[t] < overlap and not (who[0, t] == i and who[1, t] == home):
                            clash[0], clash[1], clash[2], clash[3] = d[t], i, who[0, t], who[1, t]
                            return


@njit
def _distances(px, py, pz, n, c, d):
    """Fill d with the squared distances of the first `n` candidates `c` from a point, Å^2.

    Exact arithmetic in this order makes the distances i-j and j-i equal to the bit.
    """
    vectorize_freely()
    for t in range(n):
        ux = c[0, t] - px + c[3, t]
        uy = c[1, t] - py + c[4, t]
        uz = c[2, t] - pz + c[5, t]
        d[t] = ux * ux + uy * uy + uz * uz


@njit_fast
def _count(n, limit, overlap, d):
    """How many of the first `n` squared distances are below each of two limits."""
    vectorize_freely()
    hits, near = np.int64(0), np.int64(0)
    for t in range(n):
        hits += np.int64(d[t] < limit)
        near += np.int64(d[t] < overlap)
    return hits, near


@njit_fast
def _append(n, limit, d, who, place, j, image):
    """Write the candidates nearer than the limit to j and image from `place` on; not the atom itself, at distance 0."""
    vectorize_freely()
    found = np.uint64(0)
    for t in range(n):  # branch-free: an entry is overwritten unless it counts
        who[4, found] = t
        found += np.uint64((d[t] < limit) & (d[t] > 0.0))
    for t in range(np.int64(found)):
        j[place + t], image[place + t] = who[0, who[4, t]], who[1, who[4, t]]


@njit_fast
def _surroundings(b, grid, ranges):
    """Ranges of sorted atoms around bin `b`: first atom, end, number of the image.

    Returns how many ranges and how many atoms.
    """
    bins, reach, copies = grid.bins, grid.reach, grid.copies
    a0, b0, c0 = b // (bins[1] * bins[2]), b // bins[2] % bins[1], b % bins[2]
    c_first, s_first = _image_of(c0 - reach[2], bins[2])
    c_last, s_last = _image_of(c0 + reach[2], bins[2])
    n_ranges, n = np.int64(0), np.int64(0)
    for offset_a in range(-reach[0], reach[0] + 1):
        a1, sa = _image_of(a0 + offset_a, bins[0])
        if not -copies[0] <= sa <= copies[0]:
            continue  # beyond an open boundary
        for offset_b in range(-reach[1], reach[1] + 1):
            b1, sb = _image_of(b0 + offset_b, bins[1])
            if not -copies[1] <= sb <= copies[1]:
                continue
            row = (a1 * bins[1] + b1) * bins[2]
            for sc in range(max(s_first, -copies[2]), min(s_last, copies[2]) + 1):
                begin = grid.start[row + (c_first if sc == s_first else 0)]
                end = grid.start[row + (c_last + 1 if sc == s_last else bins[2])]
                if begin < end:
                    image = (sa + copies[0]) * (2 * copies[1] + 1) + sb + copies[1]
                    image = image * (2 * copies[2] + 1) + sc + copies[2]
                    ranges[0, n_ranges], ranges[1, n_ranges], ranges[2, n_ranges] = begin, end, image
                    n_ranges += 1
                    n += end - begin
    return n_ranges, n


@njit_fast
def _image_of(place, bins):
    """(bin in the cell, shift) of the bin at `place`."""
    if 0 <= place < bins:
        return place, np.int64(0)
    shift = place // bins
    return place - shift * bins, shift


@njit_fast
def _collect(i_first, i_end, limit, n_ranges, ranges, by_kind, kind, slot, x, y, z, shifts, who, c):
    """Candidates: the atoms of the ranges that are within the cutoff of the box around atoms i_first .. i_end - 1.

    Fills who (atom, image) and c (coordinates, shift; Å), in order of their kind if `by_kind`; returns how many.
    """
    vectorize_freely()
    x_low = x_high = x[i_first]
    y_low = y_high = y[i_first]
    z_low = z_high = z[i_first]
    for i in range(i_first + 1, i_end):
        x_low, x_high = min(x_low, x[i]), max(x_high, x[i])
        y_low, y_high = min(y_low, y[i]), max(y_high, y[i])
        z_low, z_high = min(z_low, z[i]), max(z_high, z[i])
    limit = (limit**0.5 * (1.0 + 1e-6) + 1e-6) ** 2  # rounding must not lose an atom
    atom, image = (2, 3) if by_kind and slot.size > 2 else (0, 1)
    found = np.uint64(0)
    for r in range(n_ranges):
        s = ranges[2, r]
        sx, sy, sz = shifts[s, 0], shifts[s, 1], shifts[s, 2]
        for a in range(ranges[0, r], ranges[1, r]):
            ux = max(x_low - (x[a] + sx), (x[a] + sx) - x_high, 0.0)
            uy = max(y_low - (y[a] + sy), (y[a] + sy) - y_high, 0.0)
            uz = max(z_low - (z[a] + sz), (z[a] + sz) - z_high, 0.0)
            who[atom, found], who[image, found] = a, s
            found += np.uint64(ux * ux + uy * uy + uz * uz < limit)
    n = np.int64(found)
    if by_kind and slot.size > 2:
        for k in range(slot.size):
            slot[k] = 0
        for t in range(n):
            slot[kind[who[2, t]] + 1] += 1
        for k in range(1, slot.size):
            slot[k] += slot[k - 1]
        for t in range(n):
            k = kind[who[2, t]]
            who[0, slot[k]], who[1, slot[k]] = who[2, t], who[3, t]
            slot[k] += 1
    for t in range(n):
        a, s = who[0, t], who[1, t]
        c[0, t], c[1, t], c[2, t] = x[a], y[a], z[a]
        c[3, t], c[4, t], c[5, t] = shifts[s, 0], shifts[s, 1], shifts[s, 2]
    return n


# ---------------------------------------------------------------------------------------------------------------------
# Coordinates


@njit
def _gather(positions, cell, order, wrap, out):
    """Fill out (N, 3) with the wrapped positions in sorted order."""
    for k in range(order.size):
        i = order[k]
        a, b, c = wrap[i, 0], wrap[i, 1], wrap[i, 2]
        for l in range(3):
            out[k, l] = positions[i, l] - (a * cell[0, l] + b * cell[1, l] + c * cell[2, l])


@njit
def _moved(positions, reference, distance):
    """Whether an atom is `distance` or more from where it was; an atom that is not a number has moved."""
    safe = distance * distance
    for i in range(positions.shape[0]):
        ux = positions[i, 0] - reference[i, 0]
        uy = positions[i, 1] - reference[i, 1]
        uz = positions[i, 2] - reference[i, 2]
        d = ux * ux + uy * uy + uz * uz
        if not (d < safe or d == 0.0):
            return True
    return False


@njit
def _unsort(
    begin, end, positions, cell, order, first, j, image, images, wrap, target, out_i, out_j, out_shifts, out_vectors
):  # fmt: skip
    """Write the pairs of sorted atoms begin .. end - 1 in terms of the atoms and positions as given."""
    for k in range(begin, end):
        a, t = order[k], target[k]
        for edge in range(first[k], first[k + 1]):
            b, s = order[j[edge]], image[edge]
            out_i[t], out_j[t] = a, b
            for l in range(3):
                out_shifts[t, l] = images[s, l] + wrap[a, l] - wrap[b, l]
            for l in range(3):
                out_vectors[t, l] = (positions[b, l] - positions[a, l]) + (
                    out_shifts[t, 0] * cell[0, l] + out_shifts[t, 1] * cell[1, l] + out_shifts[t, 2] * cell[2, l]
                )
            t += 1
