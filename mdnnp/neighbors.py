"""Neighbour lists: a cell list for any cell and boundaries, and a Verlet skin that spares most searches.

Conventions: a full list (each pair twice), r_ij = r_j - r_i + S @ cell with integer shifts S; an atom's own periodic
images are neighbours, the atom itself is not. The cell may be thinner than the cutoff, by any factor.

Method: atoms are wrapped and sorted into bins along the three cell vectors; bins across a periodic boundary are the
same bins with a shift, so that small cells need no special case. Bins along the last direction are contiguous in
memory, so that distances are computed in vectorisable runs. M. P. Allen, D. J. Tildesley, Computer Simulation of
Liquids, 2nd ed., ch. 5.3 (Verlet list and cell list).
"""

from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.errors import InputError
from mdnnp.jit import njit, njit_fast, run_chunks, vectorize_freely
from mdnnp.system import System, complete_cell, heights, validate, wrap_counts

_MAX_CHUNKS = 32
_ATOMS_PER_CHUNK = 128
_OVERLAP_A = 1e-3  # atoms nearer than this stand on one spot


class NeighborList(NamedTuple):
    """A full neighbour list for kernels, over atoms in *sorted* order (atoms near in space are near in memory).

    order : (N,) int32, sorted place -> atom
    first : (N + 1,) int64; neighbours of the centre at place i are entries first[i] .. first[i + 1] - 1
    j : (E,) int32, sorted place of the neighbour; per centre in ascending order of atomic number
    image : (E,) uint16, row of `images`
    images : (M, 3) int64, shifts in units of the cell vectors
    wrap : (N, 3) int64 in the order of atoms; the wrapped position is ``position - wrap @ cell``
    """

    order: np.ndarray
    first: np.ndarray
    j: np.ndarray
    image: np.ndarray
    images: np.ndarray
    wrap: np.ndarray


def coordinates(positions: np.ndarray, cell: np.ndarray, neighbors: NeighborList) -> np.ndarray:
    """(N, 3) positions in sorted order, wrapped as when the list was built, Å."""
    if neighbors.wrap.any():
        positions = positions - neighbors.wrap @ cell
    return np.ascontiguousarray(positions[neighbors.order])


def image_vectors(neighbors: NeighborList, cell: np.ndarray) -> np.ndarray:
    """(M, 3) shift vectors of the list's images, Å."""
    return neighbors.images @ cell


def neighbor_list(system: System, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All pairs nearer than `cutoff` (Å): i, j (E,), shifts S (E, 3) and vectors r_ij (E, 3) in Å, sorted by i.

    r_ij = positions[j] - positions[i] + S @ cell, for the positions as given. Raises InputError as `VerletList`.
    """
    full = build(system, cutoff)
    counts = np.diff(full.first)
    i = np.repeat(full.order, counts).astype(np.int64)
    j = full.order[full.j].astype(np.int64)
    shifts = full.images[full.image] - full.wrap[j] + full.wrap[i]
    wrapped = coordinates(system.positions, system.cell, full)
    vectors = wrapped[full.j] - np.repeat(wrapped, counts, axis=0) + image_vectors(full, system.cell)[full.image]
    by_center = np.argsort(i, kind="stable")
    return i[by_center], j[by_center], shifts[by_center], vectors[by_center]


class VerletList:
    """A neighbour list that is rebuilt only when it must be.

    cutoff : Å; skin : margin in Å. The list holds all pairs within cutoff + skin, and is safe until an atom has moved
    by skin/2 since it was built.
    """

    def __init__(self, cutoff: float, skin: float = 1.0):
        if not (np.isfinite(cutoff) and cutoff > 0 and np.isfinite(skin) and skin >= 0):
            raise InputError(f"neighbour list: need cutoff > 0 and skin >= 0, got {cutoff} Å and {skin} Å")
        self.cutoff, self.skin = float(cutoff), float(skin)
        self.n_builds = 0
        self.reference: System | None = None  # the system for which the list was built
        self._list: NeighborList | None = None

    def update(self, system: System) -> NeighborList:
        """The list for `system`; kept from the last call if it is still safe.

        Raises InputError for positions that are not finite, and for two atoms on one spot.
        """
        if not self._is_safe(system):
            self.restore(system)
        return self._list

    def restore(self, system: System) -> None:
        """Build the list for `system` whatever was before: a run that resumes gives its last `reference` here."""
        validate(system)
        self._list = None  # frees its memory before the new list takes as much
        self._list = build(system, self.cutoff + self.skin)
        self.reference = System(*(np.array(a) for a in system))
        self.n_builds += 1

    def _is_safe(self, system: System) -> bool:
        old = self.reference
        if (
            self._list is None
            or len(old) != len(system)
            or not np.array_equal(old.cell, system.cell)
            or not np.array_equal(old.pbc, system.pbc)
            or not np.array_equal(old.numbers, system.numbers)
        ):
            return False
        moved = system.positions - old.positions
        # Written so that NaN counts as unsafe: it is then found by `validate`.
        return bool(4.0 * np.einsum("ij,ij->i", moved, moved).max() <= self.skin**2)


class _Grid(NamedTuple):
    """Bins along the cell vectors."""

    inverse: np.ndarray  # (3, 3) Cartesian -> fractional coordinates
    origin: np.ndarray  # (3,) fractional coordinate at which the bins begin
    scale: np.ndarray  # (3,) bins per unit of fractional coordinate
    bins: np.ndarray  # (3,) int64 number of bins
    reach: np.ndarray  # (3,) int64 bins to look at on either side
    copies: np.ndarray  # (3,) int64 largest shift that can occur
    pbc: np.ndarray


def _make_grid(system: System, wrapped: np.ndarray, cutoff: float) -> _Grid:
    frame = complete_cell(system.cell, system.pbc)
    inverse = np.linalg.inv(frame)
    fractional = wrapped @ inverse
    low, high = fractional.min(axis=0), fractional.max(axis=0)
    origin = np.where(system.pbc, 0.0, low)
    # Rows of open directions are unit vectors, so that their extent is in Å already.
    extent = np.where(system.pbc, 1.0, high - low + 1e-9 * (1.0 + np.abs(high)))
    size = np.where(system.pbc, heights(frame), extent)
    bins = np.maximum(1, np.minimum(size / (cutoff * np.array([0.5, 0.5, 0.25])), 1e6)).astype(np.int64)
    # Far fewer atoms than bins (a gas, or two distant clusters): widen them.
    while bins.prod(dtype=float) > 4 * len(system) + 64:
        bins = np.maximum(1, bins - np.maximum(1, bins // 8) * (bins == bins.max()))
    reach = np.ceil(cutoff * bins / size * (1 + 1e-12)).astype(np.int64)
    copies = np.where(system.pbc, (reach + bins - 1) // bins, 0)
    reach = np.where(system.pbc, reach, np.minimum(reach, bins))
    return _Grid(inverse, origin, bins / extent, bins, reach, copies, system.pbc)


def build(system: System, cutoff: float) -> NeighborList:
    """The full list of all pairs nearer than `cutoff` (Å).

    Raises InputError if two atoms stand on one spot, or if the cell is too thin for the shifts to be numbered.
    """
    positions, numbers, cell, pbc = system
    n = len(system)
    wrap = wrap_counts(positions, cell, pbc)
    wrapped = positions - wrap @ cell
    grid = _make_grid(system, wrapped, cutoff)
    spans = 2 * grid.copies + 1
    if spans.prod(dtype=float) > 65535:
        raise InputError(
            f"the cell is {heights(complete_cell(cell, pbc)).min():.3g} Å thin, so that a cutoff of {cutoff:g} Å needs "
            f"{spans.prod(dtype=float):.3g} periodic images; replicate the cell"
        )
    images = np.stack(np.meshgrid(*(np.arange(-c, c + 1) for c in grid.copies), indexing="ij"), axis=-1).reshape(-1, 3)
    kinds, kind_of_atom = np.unique(numbers, return_inverse=True)
    order, bin_of, start = _sort_into_bins(wrapped, *grid[:4])
    x, y, z = np.ascontiguousarray(wrapped[order].T)
    kind = kind_of_atom[order].astype(np.int32)
    n_chunks = max(1, min(_MAX_CHUNKS, n // _ATOMS_PER_CHUNK))
    bounds = np.linspace(0, n, n_chunks + 1).astype(np.int64)
    count = np.zeros(n + 1, np.int64)
    found = [None] * n_chunks
    vectors = images @ cell

    def work(c):
        found[c] = _search(
            bounds[c], bounds[c + 1], cutoff, x, y, z, kind, len(kinds), bin_of, start, grid.bins, grid.reach,
            grid.copies, grid.pbc, vectors, count,
        )  # fmt: skip

    run_chunks(work, n_chunks)
    for _, _, _, nearest in found:
        if nearest[0] < _OVERLAP_A**2:
            a, b = sorted(int(order[int(k)]) for k in nearest[1:])
            if a == b:
                raise InputError(
                    f"atom {a} stands on its own periodic image: {np.sqrt(nearest[0]):.2g} Å; check the cell"
                )
            raise InputError(
                f"atoms {a} ({chemical_symbols[numbers[a]]}) and {b} ({chemical_symbols[numbers[b]]}) stand on one "
                f"spot: {np.sqrt(nearest[0]):.2g} Å apart (counted from 0); remove one, or check cell and units"
            )
    first = np.cumsum(count)
    j, image = np.empty(first[-1], np.int32), np.empty(first[-1], np.uint16)
    for c in range(n_chunks):
        begin, end = first[bounds[c]], first[bounds[c + 1]]
        j[begin:end], image[begin:end] = found[c][0][: found[c][2]], found[c][1][: found[c][2]]
        found[c] = None
    return NeighborList(order, first, j, image, images, wrap)


@njit
def _sort_into_bins(wrapped, inverse, origin, scale, bins):
    """Counting sort of atoms by bin: order (N,) int32, bin of each sorted atom (N, 3), first atom of each bin."""
    n = wrapped.shape[0]
    place = np.empty((n, 3), np.int32)
    start = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    for i in range(n):
        for k in range(3):
            s = wrapped[i, 0] * inverse[0, k] + wrapped[i, 1] * inverse[1, k] + wrapped[i, 2] * inverse[2, k]
            b = int(np.floor((s - origin[k]) * scale[k]))
            place[i, k] = min(max(b, 0), bins[k] - 1)  # a fraction of -1e-17 wraps to 1.0: still the last bin
        start[(place[i, 0] * bins[1] + place[i, 1]) * bins[2] + place[i, 2] + 1] += 1
    for b in range(start.size - 1):
        start[b + 1] += start[b]
    fill = start.copy()
    order, bin_of = np.empty(n, np.int32), np.empty((n, 3), np.int32)
    for i in range(n):
        b = (place[i, 0] * bins[1] + place[i, 1]) * bins[2] + place[i, 2]
        order[fill[b]] = i
        for k in range(3):
            bin_of[fill[b], k] = place[i, k]
        fill[b] += 1
    return order, bin_of, start


@njit_fast
def _append_run(i, begin, end, image, is_home, limit, px, py, pz, x, y, z, d, who, where, total, nearest):
    """Append the sorted atoms begin .. end - 1 nearer to (px, py, pz) than sqrt(limit), less `i` at home.

    Keeps track of the smallest squared distance, and between which two, in `nearest`.
    """
    vectorize_freely()
    n = end - begin
    xs, ys, zs = x[begin:end], y[begin:end], z[begin:end]
    for t in range(n):
        ux, uy, uz = xs[t] - px, ys[t] - py, zs[t] - pz
        d[t] = ux * ux + uy * uy + uz * uz
    if is_home and begin <= i < end:
        d[i - begin] = 2.0 * limit
    least = 2.0 * limit
    for t in range(n):
        least = min(least, d[t])
    if least < nearest[0]:
        nearest[0], nearest[1] = least, i
        for t in range(n):
            if d[t] == least:
                nearest[2] = begin + t
    found = np.uint64(total)
    for t in range(n):  # branch-free: an entry is overwritten unless it counts
        who[found] = begin + t
        where[found] = image
        found += np.uint64(d[t] < limit)
    return np.int64(found)


@njit
def _search(
    begin, end, cutoff, x, y, z, kind, n_kinds, bin_of, start, bins, reach, copies, pbc, vectors, count
):  # fmt: skip
    """Neighbours of the sorted atoms begin .. end - 1, grouped by kind; fills count[i + 1].

    Returns (neighbours, images, how many) and (smallest squared distance, and between which two).
    """
    limit = cutoff * cutoff
    longest = np.int64(1)
    for b in range(start.size - 1):
        longest = max(longest, start[b + 1] - start[b])
    run = longest * min(bins[2], 2 * reach[2] + 1)
    d = np.empty(run)
    who, where = np.empty(512 + run, np.int32), np.empty(512 + run, np.uint16)
    out_j, out_image = np.empty((end - begin) * 64, np.int32), np.empty((end - begin) * 64, np.uint16)
    total = np.int64(0)
    nearest = np.array([1e300, 0.0, 0.0])
    offset = np.empty(n_kinds + 1, np.int64)
    for i in range(begin, end):
        n = np.int64(0)
        for a in range(bin_of[i, 0] - reach[0], bin_of[i, 0] + reach[0] + 1):
            sa = a // bins[0]
            if sa != 0 and not pbc[0]:
                continue
            for b in range(bin_of[i, 1] - reach[1], bin_of[i, 1] + reach[1] + 1):
                sb = b // bins[1]
                if sb != 0 and not pbc[1]:
                    continue
                row = ((a - sa * bins[0]) * bins[1] + b - sb * bins[1]) * bins[2]
                low, high = bin_of[i, 2] - reach[2], bin_of[i, 2] + reach[2]
                for sc in range(low // bins[2], high // bins[2] + 1):
                    if sc != 0 and not pbc[2]:
                        continue
                    first = start[row + max(low - sc * bins[2], 0)]
                    last = start[row + min(high - sc * bins[2], bins[2] - 1) + 1]
                    if first == last:
                        continue
                    code = (
                        ((sa + copies[0]) * (2 * copies[1] + 1) + sb + copies[1]) * (2 * copies[2] + 1) + sc + copies[2]
                    )
                    if n + last - first > who.size:
                        who, where = (
                            _longer(who, 2 * who.size + last - first),
                            _longer(where, 2 * where.size + last - first),
                        )
                    px, py, pz = x[i] - vectors[code, 0], y[i] - vectors[code, 1], z[i] - vectors[code, 2]
                    home = sa == 0 and sb == 0 and sc == 0
                    n = _append_run(i, first, last, code, home, limit, px, py, pz, x, y, z, d, who, where, n, nearest)
        if total + n > out_j.size:
            size = out_j.size + out_j.size // 2 + n
            out_j, out_image = _longer(out_j, size), _longer(out_image, size)
        for k in range(n_kinds + 1):
            offset[k] = 0
        for t in range(n):
            offset[kind[who[t]] + 1] += 1
        for k in range(n_kinds):
            offset[k + 1] += offset[k]
        for t in range(n):
            k = kind[who[t]]
            out_j[total + offset[k]], out_image[total + offset[k]] = who[t], where[t]
            offset[k] += 1
        count[i + 1] = n
        total += n
    return out_j, out_image, total, nearest


@njit
def _longer(array, size):
    longer = np.empty(size, array.dtype)
    for v in range(array.size):
        longer[v] = array[v]
    return longer
