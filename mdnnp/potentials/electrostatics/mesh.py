"""The waves of an Ewald sum by a particle mesh: charges are spread by B-splines, and waves found by Fourier transforms.

U. Essmann et al., J. Chem. Phys. 103, 8577 (1995), with the influence function of least error for given splines, R. W.
Hockney, J. W. Eastwood, Computer Simulation Using Particles (1988), ch. 8. Forces and virial are exact derivatives of
the energy of the mesh, which is a smooth function; it depends on where atoms lie between the points of the mesh, within
the precision asked for.
"""

import math
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import scipy  # its module `fft`, a quarter of a second, is loaded where it is used

from mdnnp.base.compiled.jit import njit, njit_fast, njit_kernel, run_chunks, vectorize_freely

_ORDERS = range(4, 17)
_SPLINE_NS, _POINT_NS = 1.0, 12.0  # of a point of a spline, there and back; of a point of the mesh
_MOST_CHUNKS = 32
_ATOMS_PER_CHUNK, _PLANES = 64, 6  # the fewest in a chunk


class Plan(NamedTuple):
    """Order of the splines, points along the cell vectors, and about how long a product takes on one thread."""

    order: int
    points: tuple[int, int, int]
    cost_ns: float


def plan(cell: np.ndarray, n_atoms: int, eta: float, precision: float) -> Plan:
    """The cheapest mesh for a precision: cell (3, 3) Å; eta, Å, the width of the Ewald sum."""
    lengths, plans = np.linalg.norm(cell, axis=1), []
    for order in _ORDERS:
        spacing = _spacing(order, precision) * eta
        points = tuple(scipy.fft.next_fast_len(max(4, math.ceil(a / spacing)), real=True) for a in lengths)
        size = math.prod(points)
        plans.append(Plan(order, points, _SPLINE_NS * n_atoms * order**3 + _POINT_NS * size))
    return min(plans, key=lambda one: one.cost_ns)


@cache
def _spacing(order: int, precision: float) -> float:
    """Distance of the points in units of eta.

    A wave of n periods along K points is mixed with one of K - n periods, whose weight is smaller by
    ((n / K) / (1 - n / K))^order; the waves themselves have weights of exp(-eta^2 k^2 / 2).
    """
    x = np.linspace(0.002, 0.5, 250)
    mixed = order * np.log(x / (1.0 - x)) + math.log(2.0)
    fine, coarse = 0.01, 3.0
    while coarse / fine > 1.01:
        middle = math.sqrt(fine * coarse)
        error = (mixed - 0.5 * (2.0 * math.pi * x / middle) ** 2).max()
        fine, coarse = (middle, coarse) if error <= math.log(precision) else (fine, middle)
    return fine


class Mesh:
    """Waves of a crystal by a particle mesh.

    cell (3, 3), best reduced, and positions (N, 3), Å, in the order of the neighbour list, as are all charges.
    """

    def __init__(self, cell: np.ndarray, positions: np.ndarray, eta: float, chosen: Plan):
        inverse = np.linalg.inv(cell)
        self._n, self._order, self._square, self._inverse = len(positions), chosen.order, eta * eta, inverse
        self._points = chosen.points
        scaled = np.stack([k * (positions * row).sum(axis=1) for k, row in zip(chosen.points, inverse.T, strict=True)])
        floor = np.floor(scaled)
        self._base = np.ascontiguousarray((floor % np.array(chosen.points, float)[:, None]).T.astype(np.int32))
        within = np.ascontiguousarray((scaled - floor).T)
        self._slope = np.ascontiguousarray(inverse * chosen.points)  # d(scaled coordinate b)/d(position a)
        self._influence = _influence(cell.tobytes(), chosen.points, chosen.order, eta)
        self._memory: list[tuple[np.ndarray, np.ndarray]] = []
        self._values, self._slopes = np.empty((2, self._n, 3, self._order))
        self._bounds = _chunks(self._n, _ATOMS_PER_CHUNK)
        self._planes, self._rows = _chunks(chosen.points[0], chosen.order), _chunks(chosen.points[1], _PLANES)
        _over(self._bounds, lambda c, i, j: fill_splines(i, j, within, self._values, self._slopes))
        by_plane = np.argsort(self._base[:, 0], kind="stable")
        self._by_plane = by_plane.astype(np.int32)
        self._first = np.searchsorted(self._base[by_plane, 0], np.arange(chosen.points[0] + 1))

    def potential(self, charges: np.ndarray) -> np.ndarray:
        """(N,) of charges (N,); without k_e."""
        (field,), _ = self._fields((charges,))
        potential, order = np.empty(self._n), (0,) * self._order

        def work(_, begin, end):
            gather(begin, end, self._base, self._values, field, order, np.empty(self._order), potential)

        _over(self._bounds, work)
        return potential

    def product(
        self, left: np.ndarray, right: np.ndarray, alike: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Potential (N,) of `right`, forces (N, 3) and strain derivative (3, 3) of left E right; without k_e.

        alike : left is half of right, so that one field does for both
        """
        fields, strain = self._fields((right,), strained=True) if alike else self._fields((left, right))
        acting = (right,) if alike else (right, left)
        potential, forces, order = np.empty(self._n), np.zeros((self._n, 3)), (0,) * self._order

        def work(_, begin, end):
            memory = np.empty((5, self._order))
            for field, charges in zip(fields, acting, strict=True):  # the last potential is that of `right`
                gather_forces(
                    begin, end, self._base, self._values, self._slopes, self._slope, field, charges, order, memory,
                    potential, forces,
                )  # fmt: skip

        _over(self._bounds, work)
        return potential, forces, strain

    def _fields(self, each: tuple[np.ndarray, ...], strained: bool = False) -> tuple[list[np.ndarray], np.ndarray]:
        """The potential of each set of charges on the mesh, and a strain derivative (3, 3).

        It is that of the product of two sets, or of 1/2 q E q for a single one, if `strained`.
        Transforms go axis by axis through chunks of the mesh, on the threads of the kernels: the chunks, and so the
        bits, do not depend on how many threads there are.
        """
        p, q, r = self._points
        order = (0,) * self._order
        while len(self._memory) < len(each):  # kept: new pages would cost as much as a transform
            # columns beyond the last, where those at the beginning are again, so that no spline is cut
            self._memory.append((np.empty((p, q, r + self._order)), np.empty((p, q, r // 2 + 1), complex)))
        mesh, waves = ([pair[k] for pair in self._memory[: len(each)]] for k in range(2))
        strains = np.zeros((len(self._rows) - 1, 3, 3))

        def forward(_, begin, end):
            for charges, own, wave in zip(each, mesh, waves, strict=True):
                slab = own[begin:end]
                spread(begin, end, self._by_plane, self._first, self._base, self._values, charges, p, r, order, slab)
                wave[begin:end] = scipy.fft.rfft2(slab[:, :, :r])

        def filtered(c, begin, end):
            columns = [scipy.fft.fft(wave[:, begin:end], axis=0) for wave in waves]
            if strained or len(columns) == 2:
                pair = columns[-1], columns[0]
                add_strain(begin, self._influence, *pair, self._inverse, self._square, self._points, strains[c])
            for column, wave in zip(columns, waves, strict=True):
                product = column * self._influence[:, begin:end]
                wave[:, begin:end] = scipy.fft.ifft(product, axis=0, norm="forward", overwrite_x=True)

        def back(_, begin, end):
            for own, wave in zip(mesh, waves, strict=True):
                slab = own[begin:end]
                slab[:, :, :r] = scipy.fft.irfft2(wave[begin:end], s=(q, r), norm="forward")
                wrap_columns(r, slab)

        _over(self._planes, forward)
        _over(self._rows, filtered)
        _over(self._planes, back)
        return mesh, (0.5 if strained else 1.0) * strains.sum(axis=0)


def _chunks(n: int, least: int) -> np.ndarray:
    """Bounds of at most _MOST_CHUNKS chunks of at least `least` of n things."""
    return np.linspace(0, n, max(1, min(_MOST_CHUNKS, n // least)) + 1).astype(np.int64)


def _over(bounds: np.ndarray, work) -> None:
    run_chunks(lambda c: work(c, bounds[c], bounds[c + 1]), len(bounds) - 1)


@lru_cache(maxsize=4)  # the cell of a run stays, unless it has a barostat
def _influence(cell: bytes, points: tuple[int, int, int], order: int, eta: float) -> np.ndarray:
    """What the waves (p, q, r // 2 + 1) of the charges on the mesh are multiplied by, for a cell (3, 3) as bytes."""
    vectors = np.frombuffer(cell).reshape(3, 3)
    ratio = []
    for d, n_points in enumerate(points):
        n = np.arange(n_points // 2 + 1) if d == 2 else np.rint(np.fft.fftfreq(n_points) * n_points)
        own = np.sinc(n / n_points) ** (2 * order)
        total = sum(np.sinc(n / n_points + m) ** (2 * order) for m in range(-2, 3))
        ratio.append(np.where(2 * n == -n_points if d < 2 else 2 * n == n_points, 0.0, own / total**2))
    out = np.empty((points[0], points[1], points[2] // 2 + 1))
    inverse, front = np.linalg.inv(vectors), 4.0 * math.pi / abs(float(np.linalg.det(vectors)))
    _over(_chunks(points[0], _PLANES), lambda _, i, j: fill_influence(i, j, *ratio, inverse, eta * eta, front, out))
    return out


@njit_fast
def _raise_order(k, w, m):
    """The B-splines of order k at w, w + 1, ... in place of those of order k - 1."""
    division = 1.0 / (k - 1)
    m[k - 1] = division * w * m[k - 2]
    for j in range(1, k - 1):
        m[k - 1 - j] = division * ((w + j) * m[k - 2 - j] + (k - j - w) * m[k - 1 - j])
    m[0] *= division * (1.0 - w)


@njit
def fill_splines(begin, end, within, values, slopes):
    """Weights (N, 3, order) of the points floor(u), floor(u) + 1, ... and their slopes, for within = u - floor(u)."""
    order = values.shape[2]
    for i in range(begin, end):
        for d in range(3):
            w, m = within[i, d], values[i, d]
            m[0], m[1] = 1.0 - w, w
            for k in range(3, order):
                _raise_order(k, w, m)
            slopes[i, d, 0] = -m[0]
            for j in range(1, order - 1):
                slopes[i, d, j] = m[j - 1] - m[j]
            slopes[i, d, order - 1] = m[order - 2]
            _raise_order(order, w, m)


@njit_fast
def _wave(i, j, l, inverse, points):
    """Wave vector (1/Å) of indices of a transform of real numbers."""
    a = 2.0 * math.pi * (i - points[0] if 2 * i > points[0] else i)
    b = 2.0 * math.pi * (j - points[1] if 2 * j > points[1] else j)
    c = 2.0 * math.pi * l
    x = inverse[0, 0] * a + inverse[0, 1] * b + inverse[0, 2] * c
    y = inverse[1, 0] * a + inverse[1, 1] * b + inverse[1, 2] * c
    z = inverse[2, 0] * a + inverse[2, 1] * b + inverse[2, 2] * c
    return x, y, z


@njit
def fill_influence(begin, end, first, second, third, inverse, square, front, out):
    """front exp(-square k^2 / 2) / k^2 times the splines' ratios of each axis, for planes begin .. end - 1."""
    points = (first.size, second.size, 0)
    for i in range(begin, end):
        for j in range(second.size):
            for l in range(third.size):
                x, y, z = _wave(i, j, l, inverse, points)
                k2 = x * x + y * y + z * z
                if k2 > 0.0:
                    out[i, j, l] = first[i] * second[j] * third[l] * front * math.exp(-0.5 * square * k2) / k2
                else:
                    out[i, j, l] = 0.0


@njit
def add_strain(begin, influence, right, left, inverse, square, points, strain):
    """Add the strain derivative of the product of two sets of waves (p, b, r), of rows from `begin` on."""
    p, b, r = right.shape
    for i in range(p):
        for j in range(b):
            for l in range(r):
                twice = 1.0 if l == 0 else 2.0  # the transform of real numbers holds one of each pair of waves
                u, v = right[i, j, l], left[i, j, l]
                each = twice * influence[i, begin + j, l] * (u.real * v.real + u.imag * v.imag)
                if each == 0.0:
                    continue
                k = _wave(i, begin + j, l, inverse, points)
                along = each * (square + 2.0 / (k[0] * k[0] + k[1] * k[1] + k[2] * k[2]))
                for c in range(3):
                    strain[c, c] -= each
                    for d in range(3):
                        strain[c, d] += along * k[c] * k[d]


@njit_fast
def _folded(i, n):
    """i modulo n, for an i that is not far above n: a division would take longer than a row of a spline."""
    while i >= n:
        i -= n
    return i


@njit_kernel
def spread(begin, end, by_plane, first, base, values, charges, p, r, constant, slab):
    """Charges on the planes begin .. end - 1 of the mesh, slab (end - begin, q, r + order), of which r columns count.

    p : number of all planes; constant : a tuple of as many members as the order, which makes it known when compiled
    Atoms are taken plane by plane, so that the sum at a point does not depend on the threads.
    """
    vectorize_freely()
    order, q = len(constant), slab.shape[1]
    for x in range(slab.shape[0]):
        for y in range(q):
            for z in range(slab.shape[2]):
                slab[x, y, z] = 0.0
    for plane in range(begin - order + 1, begin - order + 1 + min(p, end - begin + order - 1)):
        own = plane % p
        for k in range(first[own], first[own + 1]):
            i = by_plane[k]
            y0, z0 = base[i, 1], base[i, 2]
            for a in range(order):
                x = _folded(own + a, p)
                if x < begin or x >= end:
                    continue
                for b in range(order):
                    y, weight = _folded(y0 + b, q), charges[i] * values[i, 0, a] * values[i, 1, b]
                    for c in range(order):
                        slab[x - begin, y, z0 + c] += weight * values[i, 2, c]
    for x in range(slab.shape[0]):
        for y in range(q):
            for z in range(r + order - 1, r - 1, -1):
                slab[x, y, z - r] += slab[x, y, z]


@njit_kernel
def wrap_columns(r, field):
    """Fill the columns of a field (p, q, r + order) behind the first r, which are those at the beginning."""
    for x in range(field.shape[0]):
        for y in range(field.shape[1]):
            for z in range(r, field.shape[2]):
                field[x, y, z] = field[x, y, z - r]


@njit_kernel
def gather(begin, end, base, values, field, constant, along, potential):
    """Potential of atoms begin .. end - 1 in `field`; along (order,) is memory to work with."""
    vectorize_freely()
    order, p, q = len(constant), field.shape[0], field.shape[1]
    for i in range(begin, end):
        x0, y0, z0 = base[i, 0], base[i, 1], base[i, 2]
        for c in range(order):
            along[c] = 0.0
        for a in range(order):
            x = _folded(x0 + a, p)
            for b in range(order):
                y, weight = _folded(y0 + b, q), values[i, 0, a] * values[i, 1, b]
                for c in range(order):
                    along[c] += weight * field[x, y, z0 + c]
        total = 0.0
        for c in range(order):
            total += values[i, 2, c] * along[c]
        potential[i] = total


@njit_kernel
def gather_forces(begin, end, base, values, slopes, slope, field, charges, constant, work, potential, forces):
    """Potential of atoms begin .. end - 1 in `field`, and forces of `charges` there, which are added.

    work (5, order) is memory to work with.
    """
    vectorize_freely()
    order, p, q = len(constant), field.shape[0], field.shape[1]
    for i in range(begin, end):
        x0, y0, z0 = base[i, 0], base[i, 1], base[i, 2]
        for c in range(order):
            work[0, c] = work[1, c] = work[2, c] = 0.0
        for a in range(order):
            x = _folded(x0 + a, p)
            for c in range(order):
                work[3, c] = work[4, c] = 0.0
            for b in range(order):
                y, v, s = _folded(y0 + b, q), values[i, 1, b], slopes[i, 1, b]
                for c in range(order):
                    work[3, c] += v * field[x, y, z0 + c]
                    work[4, c] += s * field[x, y, z0 + c]
            v, s = values[i, 0, a], slopes[i, 0, a]
            for c in range(order):
                work[0, c] += v * work[3, c]
                work[1, c] += s * work[3, c]
                work[2, c] += v * work[4, c]
        total = sx = sy = sz = 0.0
        for c in range(order):
            total += values[i, 2, c] * work[0, c]
            sx += values[i, 2, c] * work[1, c]
            sy += values[i, 2, c] * work[2, c]
            sz += slopes[i, 2, c] * work[0, c]
        potential[i] = total
        for d in range(3):
            forces[i, d] -= charges[i] * (slope[d, 0] * sx + slope[d, 1] * sy + slope[d, 2] * sz)
