"""Compiled sums of the Coulomb energy: pairs of a neighbour list, all pairs of a cluster, waves of a crystal.

Each sums a bilinear form: sum_ij left_i V_ij right_j. Its parts are the potential sum_j V_ij right_j at each atom and,
where `left` is not empty, the derivatives by positions and strain. All arrays are in the order of the neighbour list.
"""

import math

import numpy as np

from mdnnp.base.compiled.elementary import erfc_exp, inverse_sqrt
from mdnnp.base.compiled.jit import njit, njit_fast, njit_kernel, vectorize_freely
from mdnnp.potentials.edges import gather_edges, scatter_edges
from mdnnp.potentials.hdnnp.functions.shapes import evaluate_envelope

EWALD = -1  # `shape` of the real-space part of an Ewald sum; others are those of `evaluate_envelope`
_TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)
_LEAST_SQUARE = 2.5e-17  # Å^2: a point charge is this wide, so that its inverse width is finite


@njit_fast
def _bare(n, square, who, squares, r, alpha, v, slope):
    """(erfc(alpha r) - erfc(r / sqrt2 gamma)) / r, 1/Å, and its derivative by r (Å), 1/Å^2, of n pairs with one atom.

    alpha = 0: erf(r / sqrt2 gamma) / r; square, squares (N,) : squared widths of the atom and of all, Å^2
    """
    vectorize_freely()
    for t in range(n):
        b = inverse_sqrt(2.0 * (square + squares[who[t]]) + 4.0 * _LEAST_SQUARE)
        far, decay = erfc_exp(alpha * r[t])
        near, steep = erfc_exp(b * r[t])
        inverse = 1.0 / r[t]
        v[t] = (far - near) * inverse
        slope[t] = -(v[t] + _TWO_OVER_ROOT_PI * (alpha * decay - b * steep)) * inverse


@njit_fast
def _weighted(n, who, v, right):
    """sum_t v_t right_(who_t)."""
    vectorize_freely()
    total = 0.0
    for t in range(n):
        total += v[t] * right[who[t]]
    return total


@njit_fast
def _pulls(n, who, weight, right, slope, r, x, y, z, dx, dy, dz):
    """Gradients of the edges: weight right_(who_t) slope_t along each."""
    vectorize_freely()
    for t in range(n):
        along = weight * right[who[t]] * slope[t] / r[t]
        dx[t], dy[t], dz[t] = along * x[t], along * y[t], along * z[t]


@njit
def near(
    begin, end, positions, images, first, neighbor, image, squares, alpha, shape, inner, cutoff,
    left, right, potential, matrix, forces, strain, no_virials, clashes,
):  # fmt: skip
    """Listed pairs of centres begin .. end - 1, nearer than `cutoff` (Å).

    shape EWALD: V = (erfc(alpha r) - erfc(r / sqrt2 gamma)) / r; otherwise V = -erf(r / sqrt2 gamma) / r f(r) with
    the envelope f of that kind, 1 up to `inner` and 0 from `cutoff` on.
    """
    most = np.int64(1)
    for i in range(begin, end):
        most = max(most, first[i + 1] - first[i])
    x, y, z, r, who = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.uint32)
    dx, dy, dz = np.empty(most), np.empty(most), np.empty(most)
    f, slope = np.empty(most), np.empty(most)
    v, v1 = np.empty(most), np.empty(most)
    for i in range(begin, end):
        n = gather_edges(i, cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        if n < 0:
            clashes[0] += 1
            continue
        _bare(n, squares[i], who, squares, r, alpha, v, v1)
        if shape != EWALD:
            evaluate_envelope(shape, inner, cutoff, r, n, f, slope, dx, dy)
            for t in range(n):
                v[t], v1[t] = -v[t] * f[t], -f[t] * (v1[t] + v[t] * slope[t])
        potential[i] = _weighted(n, who, v, right)
        if matrix.shape[0] > 0:
            for t in range(n):
                matrix[i, who[t]] += v[t]
        if left.shape[0] > 0:
            _pulls(n, who, left[i], right, v1, r, x, y, z, dx, dy, dz)
            scatter_edges(i, n, who, x, y, z, dx, dy, dz, forces, strain, no_virials)


@njit_kernel
def fill_pairs(
    begin, end, positions, images, first, neighbor, image, squares, alpha, cutoff, pairs
):  # fmt: skip
    """V of `near`, shape EWALD, of all listed pairs of centres begin .. end - 1, in the order of the list."""
    vectorize_freely()
    for i in range(begin, end):
        listed, shift, own = neighbor[first[i] : first[i + 1]], image[first[i] : first[i + 1]], pairs[first[i] :]
        xi, yi, zi, square = positions[i, 0], positions[i, 1], positions[i, 2], squares[i]
        for t in range(listed.size):
            j, s = np.uint32(listed[t]), shift[t]
            x = positions[j, 0] - xi + images[s, 0]
            y = positions[j, 1] - yi + images[s, 1]
            z = positions[j, 2] - zi + images[s, 2]
            d = max(x * x + y * y + z * z, 1e-12)
            inverse = inverse_sqrt(d)
            far, _ = erfc_exp(alpha * d * inverse)
            near, _ = erfc_exp(d * inverse * inverse_sqrt(2.0 * (square + squares[j]) + 4.0 * _LEAST_SQUARE))
            own[t] = (far - near) * inverse if d < cutoff * cutoff else 0.0


@njit_kernel
def times_pairs(begin, end, first, neighbor, pairs, right, potential):
    """The potential of `right` by the pairs of centres begin .. end - 1."""
    vectorize_freely()
    for i in range(begin, end):
        listed, own = neighbor[first[i] : first[i + 1]], pairs[first[i] : first[i + 1]]
        total = 0.0
        for t in range(listed.size):
            total += own[t] * right[np.uint32(listed[t])]
        potential[i] = total


@njit
def everyone(begin, end, positions, squares, left, right, potential, matrix, forces, strain):
    """All pairs of a cluster with one atom of begin .. end - 1: V = erf(r / sqrt2 gamma) / r."""
    n = positions.shape[0]
    x, y, z, r, who = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.arange(n).astype(np.uint32)
    v, v1 = np.empty(n), np.empty(n)
    for i in range(begin, end):
        for j in range(n):
            x[j], y[j], z[j] = (
                positions[j, 0] - positions[i, 0],
                positions[j, 1] - positions[i, 1],
                positions[j, 2] - positions[i, 2],
            )
            r[j] = math.sqrt(x[j] * x[j] + y[j] * y[j] + z[j] * z[j])
        r[i] = 1.0
        _bare(n, squares[i], who, squares, r, 0.0, v, v1)
        v[i] = v1[i] = 0.0
        potential[i] = _weighted(n, who, v, right)
        if matrix.shape[0] > 0:
            for j in range(n):
                matrix[i, j] += v[j]
        if left.shape[0] > 0:
            for j in range(n):
                along = (left[i] * right[j] + left[j] * right[i]) * v1[j] / r[j]
                d = (x[j], y[j], z[j])
                for a in range(3):
                    forces[i, a] += along * d[a]
                    for b in range(3):
                        strain[a, b] += 0.5 * along * d[a] * d[b]


@njit_fast
def _times(re, im, other_re, other_im, sign, out_re, out_im):
    """out = (re + i im) (other_re + i sign other_im), elementwise."""
    for j in range(re.size):
        a, b, c, d = re[j], im[j], other_re[j], sign * other_im[j]
        out_re[j] = a * c - b * d
        out_im[j] = a * d + b * c


@njit_fast
def _amplitude(re, im, charges):
    """sum_j charges_j (re_j + i im_j)."""
    a = b = 0.0
    for j in range(charges.size):
        a += charges[j] * re[j]
        b += charges[j] * im[j]
    return a, b


@njit_fast
def _spread(re, im, s_re, s_im, weight, potential):
    """Add weight Re(conj(wave) S) to the potential."""
    for j in range(re.size):
        potential[j] += weight * (re[j] * s_re + im[j] * s_im)


@njit_fast
def _push(re, im, s_re, s_im, l_re, l_im, left, right, kx, ky, kz, weight, forces):
    """Add -weight k (left_j Im(conj(wave_j) S) + right_j Im(conj(wave_j) L)) to the forces (3, N)."""
    for j in range(re.size):
        along = -weight * (left[j] * (re[j] * s_im - im[j] * s_re) + right[j] * (re[j] * l_im - im[j] * l_re))
        forces[0, j] += along * kx
        forces[1, j] += along * ky
        forces[2, j] += along * kz


@njit
def waves(
    begin, end, columns, start, third, k, weight, square, cosines, sines, left, right, potential, forces, strain
):  # fmt: skip
    """Waves of the columns begin .. end - 1 of the reciprocal lattice, which share their first two indices.

    columns (C, 2) first indices, of which the first is not negative; start (C + 1,) the columns' places in third (K,),
    the last index, k (K, 3), 1/Å, and weight (K,) = 8 pi / V exp(-square k^2 / 2) / k^2, that of k and -k together.
    cosines, sines : three tables (M, N) of exp(2 pi i m x), x the fractional coordinates.
    potential (N,), forces (3, N), strain (3, 3) : added to
    """
    n = right.size
    row_re, row_im, re, im = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for c in range(begin, end):
        a, b = columns[c, 0], columns[c, 1]
        sign = 1.0 if b >= 0 else -1.0
        _times(cosines[0][a], sines[0][a], cosines[1][abs(b)], sines[1][abs(b)], sign, row_re, row_im)
        for w in range(start[c], start[c + 1]):
            m = third[w]
            sign = 1.0 if m >= 0 else -1.0
            _times(row_re, row_im, cosines[2][abs(m)], sines[2][abs(m)], sign, re, im)
            s_re, s_im = _amplitude(re, im, right)
            _spread(re, im, s_re, s_im, weight[w], potential)
            if left.shape[0] == 0:
                continue
            l_re, l_im = _amplitude(re, im, left)
            kx, ky, kz = k[w, 0], k[w, 1], k[w, 2]
            _push(re, im, s_re, s_im, l_re, l_im, left, right, kx, ky, kz, weight[w], forces)
            value = weight[w] * (s_re * l_re + s_im * l_im)
            factor = square + 2.0 / (kx * kx + ky * ky + kz * kz)
            own = (kx, ky, kz)
            for p in range(3):
                strain[p, p] -= value
                for q in range(3):
                    strain[p, q] += value * factor * own[p] * own[q]
