"""The waves of an Ewald sum by a particle mesh: charges are spread by B-splines, and waves found by Fourier transforms.

U. Essmann et al., J. Chem. Phys. 103, 8577 (1995), with the influence function of least error for given splines, R. W.
Hockney, J. W. Eastwood, Computer Simulation Using Particles (1988), ch. 8. Forces and virial are exact derivatives of
the energy of the mesh, which is a smooth function; it depends on where atoms lie between the points of the mesh, within
the precision asked for.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy.fft

from mdnnp.base.compiled.jit import njit, njit_fast, run_chunks

_ORDERS = range(6, 17, 2)
_MOST_CHUNKS = 32
_ATOMS_PER_CHUNK = 64


class Plan(NamedTuple):
    """Order of the splines, points along the cell vectors, and operations of a product, as a measure of cost."""

    order: int
    points: tuple[int, int, int]
    operations: float


def plan(cell: np.ndarray, n_atoms: int, eta: float, precision: float) -> Plan:
    """The cheapest mesh for a precision: cell (3, 3) Å; eta, Å, the width of the Ewald sum."""
    lengths, plans = np.linalg.norm(cell, axis=1), []
    for order in _ORDERS:
        spacing = _spacing(order, precision) * eta
        points = tuple(scipy.fft.next_fast_len(max(4, math.ceil(a / spacing)), real=True) for a in lengths)
        size = math.prod(points)
        plans.append(Plan(order, points, 8.0 * n_atoms * order**3 + 30.0 * size * math.log2(size)))
    return min(plans, key=lambda one: one.operations)


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
        self._n, self._order, self._square = len(positions), chosen.order, eta * eta
        self._points = chosen.points
        scaled = np.stack([k * (positions * row).sum(axis=1) for k, row in zip(chosen.points, inverse.T, strict=True)])
        self._base = np.ascontiguousarray(np.floor(scaled).T.astype(np.int64))
        self._within = np.ascontiguousarray(scaled.T - self._base)
        self._slope = np.ascontiguousarray(inverse * chosen.points)  # d(scaled coordinate b)/d(position a)
        self._weight(inverse, abs(float(np.linalg.det(cell))))
        self._splines = np.empty((2, self._n, 3, self._order))
        self._bounds = np.linspace(0, self._n, self._chunks(self._n // _ATOMS_PER_CHUNK) + 1).astype(np.int64)
        self._slabs = np.linspace(0, chosen.points[0], self._chunks(chosen.points[0] // 4) + 1).astype(np.int64)
        self._over(self._bounds, lambda c, a, b: fill_splines(a, b, self._within, *self._splines))

    @staticmethod
    def _chunks(wanted: int) -> int:
        return max(1, min(_MOST_CHUNKS, wanted))

    @staticmethod
    def _over(bounds, work) -> None:
        run_chunks(lambda c: work(c, bounds[c], bounds[c + 1]), len(bounds) - 1)

    def _weight(self, inverse: np.ndarray, volume: float) -> None:
        """Influence function, and what the virial needs of each wave."""
        k, ratio, twice = [], [], []
        for d, n_points in enumerate(self._points):
            n = np.arange(n_points // 2 + 1) if d == 2 else np.rint(np.fft.fftfreq(n_points) * n_points)
            own = np.sinc(n / n_points) ** (2 * self._order)
            total = sum(np.sinc(n / n_points + m) ** (2 * self._order) for m in range(-2, 3))
            ratio.append(np.where(2 * n == -n_points if d < 2 else 2 * n == n_points, 0.0, own / total**2))
            k.append(2.0 * math.pi * n)
            twice.append(np.where(n == 0, 1.0, 2.0) if d == 2 else np.ones(n_points))
        shape = [a.reshape([-1 if d == axis else 1 for axis in range(3)]) for d, a in enumerate(k)]
        self._k = [sum(n * inverse[a, d] for d, n in enumerate(shape)) for a in range(3)]  # 1/Å
        squares = sum(np.square(a) for a in self._k)
        squares[0, 0, 0] = 1.0
        self._squares = squares
        self._influence = 4.0 * math.pi / volume * np.exp(-0.5 * self._square * squares) / squares
        for d, own in enumerate(ratio):
            self._influence *= own.reshape([-1 if d == axis else 1 for axis in range(3)])
        self._influence[0, 0, 0] = 0.0
        self._twice = twice[2]  # the transform of real numbers holds one of each pair of waves

    def product(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Potential (N,) of `right`, forces (N, 3) and strain derivative (3, 3) of left E right; without k_e."""
        potential, forces, strain = np.zeros(self._n), np.zeros((self._n, 3)), np.zeros((3, 3))
        wave = self._waves(right)
        field = self._field(wave)
        other = np.empty((0, 0, 0))
        if len(left):
            wave_left = self._waves(left)
            other = self._field(wave_left)
            each = self._influence * self._twice * (wave.real * wave_left.real + wave.imag * wave_left.imag)
            along = each * (self._square + 2.0 / self._squares)
            for a in range(3):
                for b in range(a, 3):
                    strain[a, b] = strain[b, a] = np.sum(along * self._k[a] * self._k[b])
            strain[np.diag_indices(3)] -= each.sum()

        def work(_, begin, end):
            gather(begin, end, self._base, *self._splines, self._slope, field, other, left, right, potential, forces)

        self._over(self._bounds, work)
        return potential, forces, strain

    def _waves(self, charges: np.ndarray) -> np.ndarray:
        mesh = np.zeros(self._points)
        self._over(self._slabs, lambda _, a, b: spread(a, b, self._base, self._splines[0], charges, mesh))
        return scipy.fft.rfftn(mesh, overwrite_x=True)

    def _field(self, wave: np.ndarray) -> np.ndarray:
        return scipy.fft.irfftn(self._influence * wave, s=self._points, norm="forward", overwrite_x=True)


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


@njit
def spread(begin, end, base, values, charges, mesh):
    """Add all charges to the planes begin .. end - 1 of the mesh, atom by atom."""
    order, (p, q, r) = values.shape[2], mesh.shape
    for i in range(charges.size):
        for a in range(order):
            x = (base[i, 0] + a) % p
            if x < begin or x >= end:
                continue
            for b in range(order):
                row, weight = mesh[x, (base[i, 1] + b) % q], charges[i] * values[i, 0, a] * values[i, 1, b]
                z = base[i, 2] % r
                for c in range(order):
                    row[z] += weight * values[i, 2, c]
                    z = z + 1 if z + 1 < r else 0


@njit
def gather(begin, end, base, values, slopes, slope, field, other, left, right, potential, forces):
    """Potential of atoms begin .. end - 1 in `field`, and forces of `left` in it and of `right` in `other`."""
    order, (p, q, r) = values.shape[2], field.shape
    for i in range(begin, end):
        total = gx = gy = gz = hx = hy = hz = 0.0
        for a in range(order):
            x = (base[i, 0] + a) % p
            for b in range(order):
                y, z = (base[i, 1] + b) % q, base[i, 2] % r
                ab = values[i, 0, a] * values[i, 1, b]
                xb, ay = slopes[i, 0, a] * values[i, 1, b], values[i, 0, a] * slopes[i, 1, b]
                along = across = along_other = across_other = 0.0
                for c in range(order):
                    along += values[i, 2, c] * field[x, y, z]
                    across += slopes[i, 2, c] * field[x, y, z]
                    if left.size > 0:
                        along_other += values[i, 2, c] * other[x, y, z]
                        across_other += slopes[i, 2, c] * other[x, y, z]
                    z = z + 1 if z + 1 < r else 0
                total += ab * along
                gx, gy, gz = gx + xb * along, gy + ay * along, gz + ab * across
                hx, hy, hz = hx + xb * along_other, hy + ay * along_other, hz + ab * across_other
        potential[i] = total
        if left.size > 0:
            sx = left[i] * gx + right[i] * hx
            sy = left[i] * gy + right[i] * hy
            sz = left[i] * gz + right[i] * hz
            for d in range(3):
                forces[i, d] -= slope[d, 0] * sx + slope[d, 1] * sy + slope[d, 2] * sz
