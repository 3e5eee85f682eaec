"""Sums along the edges and their pull-back, for real and for complex edges.

With complex edges r + i t dr, t tiny, everything comes out with its exact derivative along dr as the imaginary part
over t (complex step: W. Squire, G. Trapp, SIAM Rev. 40, 110 (1998)). So one piece of code gives energies and forces,
Hessian-vector products, and the gradient of a loss of forces by the weights.

Harmonics: with c + i s = solid harmonics in the normalisation r^l P_l^m e^{i m phi} / (l + m)!, without the phase
(-1)^m, derivatives are solid harmonics of one degree less:
(d/dx - i d/dy) R_l^m = R_{l-1}^{m-1}, (d/dx + i d/dy) R_l^m = -R_{l-1}^{m+1}, d/dz R_l^m = R_{l-1}^m.
Order: l^2 is (l, 0); l^2 + 2 m - 1 and l^2 + 2 m are the parts c and s of (l, m).
"""

import math

import numpy as np

from mdnnp.base.compiled.jit import njit, njit_fast
from mdnnp.potentials.edges import gather_edges, scatter_edges

STEP = 1e-100  # of the complex step: its square is nothing


def norms(degree: int) -> np.ndarray:
    """((degree + 1)^2,) factors that make sum_m Y_lm(u) Y_lm(v) = P_l(u.v)."""
    out = np.empty((degree + 1) ** 2)
    for l in range(degree + 1):
        out[l * l] = math.factorial(l)
        for m in range(1, l + 1):
            own = math.sqrt(2.0 * math.factorial(l - m) * math.factorial(l + m))
            out[l * l + 2 * m - 1] = out[l * l + 2 * m] = own
    return out


@njit_fast
def _harmonics(x, y, z, degree, norm, solid, out):
    """Solid harmonics of a unit vector, and, times `norm`, Y_lm; both ((degree + 1)^2,)."""
    solid[0] = 1.0
    for l in range(1, degree + 1):
        below, here = (l - 1) * (l - 1), l * l
        inverse = 0.5 / l
        if l == 1:
            solid[2] = x * inverse
            solid[3] = y * inverse
        else:
            c, s = solid[below + 2 * l - 3], solid[below + 2 * l - 2]
            solid[here + 2 * l - 1] = (x * c - y * s) * inverse
            solid[here + 2 * l] = (x * s + y * c) * inverse
        for m in range(l):
            share = 1.0 / ((l + m) * (l - m))
            for part in range(1 if m == 0 else 2):
                k = 0 if m == 0 else 2 * m - 1 + part
                value = (2 * l - 1) * z * solid[below + k]
                if m <= l - 2:
                    value -= solid[(l - 2) * (l - 2) + k]
                solid[here + k] = value * share
    for k in range(out.size):
        out[k] = norm[k] * solid[k]


@njit_fast
def _slope(degree, norm, solid, weights, out):
    """Gradient (3,) of sum_k weights_k Y_k by the vector, of which `solid` are the harmonics, before projection."""
    gx = gy = gz = weights[0] * 0.0
    for l in range(1, degree + 1):
        below, here = (l - 1) * (l - 1), l * l
        w = weights[here] * norm[here]
        if l > 1:
            gx -= w * solid[below + 1]
            gy -= w * solid[below + 2]
        gz += w * solid[below]
        for m in range(1, l + 1):
            wc = weights[here + 2 * m - 1] * norm[here + 2 * m - 1]
            ws = weights[here + 2 * m] * norm[here + 2 * m]
            if m == 1:
                gx += 0.5 * wc * solid[below]
                gy += 0.5 * ws * solid[below]
            else:
                c, s = solid[below + 2 * m - 3], solid[below + 2 * m - 2]
                gx += 0.5 * (wc * c + ws * s)
                gy += 0.5 * (ws * c - wc * s)
            if m < l:
                gz += wc * solid[below + 2 * m - 1] + ws * solid[below + 2 * m]
            if m + 1 < l:
                c, s = solid[below + 2 * m + 1], solid[below + 2 * m + 2]
                gx -= 0.5 * (wc * c + ws * s)
                gy += 0.5 * (ws * c - wc * s)
    out[0], out[1], out[2] = gx, gy, gz


@njit_fast
def _basis(r, cutoff, values, slopes):
    """Radial functions f(r) sin(b pi r / cutoff) / r and their derivatives; (B,)."""
    inverse = 1.0 / cutoff
    x = r * inverse
    y = 1.0 - x
    f = y * y * y * (1.0 + 3.0 * x + 6.0 * x * x)
    f1 = -30.0 * x * x * y * y * inverse
    angle = math.pi * inverse
    s, c = np.sin(angle * r), np.cos(angle * r)
    over = 1.0 / r
    sb, cb = s, c
    for b in range(values.size):
        g = sb * over
        values[b] = f * g
        slopes[b] = f1 * g + f * ((b + 1) * angle * cb - g) * over
        sb, cb = sb * c + cb * s, cb * c - sb * s


@njit_fast
def _radial(weights, values, slopes, out, out_slopes):
    """R_c and R_c' (C,) of the radial functions."""
    out[:] = 0.0
    out_slopes[:] = 0.0
    for b in range(values.size):
        v, d = values[b], slopes[b]
        for c in range(out.size):
            out[c] += weights[b, c] * v
            out_slopes[c] += weights[b, c] * d


@njit_fast
def _lift(i, n, x, y, z, who, moves, strain, vectors):
    """Edges (n, 3) of centre `i`; `moves` (N, 3) and `strain` (3, 3), if there, are imaginary and times STEP."""
    for t in range(n):
        vectors[t, 0], vectors[t, 1], vectors[t, 2] = x[t], y[t], z[t]
    if moves.shape[0] > 0:
        for t in range(n):
            for a in range(3):
                change = moves[who[t], a] - moves[i, a]
                change += x[t] * strain[0, a] + y[t] * strain[1, a] + z[t] * strain[2, a]
                vectors[t, a] += change


@njit
def gather_features(
    begin, end, positions, images, first, neighbor, image, cutoff, moves, strain, features, weights, degree, norm,
    scale, sums, clashes,
):  # fmt: skip
    """Fill A (N, (degree + 1)^2, C) of the centres begin .. end - 1 from the features h (N, C)."""
    most = np.int64(1)
    for i in range(begin, end):
        most = max(most, first[i + 1] - first[i])
    x, y, z, r, who = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.uint32)
    n_radial, channels = weights.shape
    kind = features.dtype
    vectors = np.empty((most, 3), kind)
    solid, harmonics = np.empty(norm.size, kind), np.empty(norm.size, kind)
    values, slopes = np.empty(n_radial, kind), np.empty(n_radial, kind)
    out, out_slopes = np.empty(channels, kind), np.empty(channels, kind)
    for i in range(begin, end):
        n = gather_edges(i, cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        if n < 0:
            clashes[0] += 1
            continue
        _lift(i, n, x, y, z, who, moves, strain, vectors)
        _gather_one(
            n, who, vectors, cutoff, features, weights, degree, norm, scale, solid, harmonics, values, slopes, out,
            out_slopes, sums[i],
        )  # fmt: skip


@njit_fast
def _gather_one(
    n, who, vectors, cutoff, features, weights, degree, norm, scale, solid, harmonics, values, slopes, out, out_slopes,
    sums,
):  # fmt: skip
    sums[:] = 0.0
    for t in range(n):
        x, y, z = vectors[t, 0], vectors[t, 1], vectors[t, 2]
        r = np.sqrt(x * x + y * y + z * z)
        over = 1.0 / r
        _harmonics(x * over, y * over, z * over, degree, norm, solid, harmonics)
        _basis(r, cutoff, values, slopes)
        _radial(weights, values, slopes, out, out_slopes)
        own = features[who[t]]
        for c in range(out.size):
            out[c] *= own[c] * scale
        for k in range(harmonics.size):
            h = harmonics[k]
            for c in range(out.size):
                sums[k, c] += h * out[c]


@njit
def pull_back(
    begin, end, positions, images, first, neighbor, image, cutoff, moves, strain, features, weights, degree, norm,
    scale, bars, want_features, want_weights, feature_bars, weight_bars, forces, strain_sums, atomic_virials,
):  # fmt: skip
    """From dE/dA, `bars` (N, (degree + 1)^2, C), of all atoms to forces, and to dE/dh and dE/dW if wanted.

    Complex edges add the derivatives of forces and strain sums in place of these. feature_bars (N, C) is filled for
    the centres begin .. end - 1, from the edges that end there; to weight_bars (B, C) is added.
    """
    most = np.int64(1)
    for i in range(begin, end):
        most = max(most, first[i + 1] - first[i])
    x, y, z, r, who = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.uint32)
    dx, dy, dz = np.empty(most), np.empty(most), np.empty(most)
    n_radial, channels = weights.shape
    kind = features.dtype
    vectors, gradients = np.empty((most, 3), kind), np.empty((most, 3), kind)
    solid, harmonics = np.empty(norm.size, kind), np.empty(norm.size, kind)
    angular = np.empty(norm.size, kind)
    values, slopes = np.empty(n_radial, kind), np.empty(n_radial, kind)
    out, out_slopes = np.empty(channels, kind), np.empty(channels, kind)
    along, against, slope = np.empty(channels, kind), np.empty(channels, kind), np.empty(3, kind)
    for i in range(begin, end):
        n = gather_edges(i, cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        _lift(i, n, x, y, z, who, moves, strain, vectors)
        feature_bars[i] = 0.0
        for t in range(n):
            _pull_one(
                vectors[t], cutoff, features[who[t]], weights, degree, norm, scale, bars[i], bars[who[t]],
                want_features, want_weights, feature_bars[i], weight_bars,
                solid, harmonics, angular, values, slopes, out, out_slopes, along, against, slope, gradients[t],
            )  # fmt: skip
        for t in range(n):
            if moves.shape[0] == 0:
                dx[t], dy[t], dz[t] = gradients[t, 0].real, gradients[t, 1].real, gradients[t, 2].real
            else:
                dx[t] = gradients[t, 0].imag / STEP
                dy[t] = gradients[t, 1].imag / STEP
                dz[t] = gradients[t, 2].imag / STEP
        scatter_edges(i, n, who, x, y, z, dx, dy, dz, forces, strain_sums, atomic_virials)


@njit_fast
def _pull_one(
    vector, cutoff, features, weights, degree, norm, scale, bars, bars_there, want_features, want_weights, feature_bars,
    weight_bars, solid, harmonics, angular, values, slopes, out, out_slopes, along, against, slope, gradient,
):  # fmt: skip
    x, y, z = vector[0], vector[1], vector[2]
    r = np.sqrt(x * x + y * y + z * z)
    over = 1.0 / r
    ux, uy, uz = x * over, y * over, z * over
    _harmonics(ux, uy, uz, degree, norm, solid, harmonics)
    _basis(r, cutoff, values, slopes)
    _radial(weights, values, slopes, out, out_slopes)
    channels = out.size
    along[:] = 0.0
    for k in range(harmonics.size):
        h = harmonics[k]
        for c in range(channels):
            along[c] += h * bars[k, c]
    if want_features:
        against[:] = 0.0
        for l in range(degree + 1):
            sign = 1.0 - 2.0 * (l % 2)  # Y_lm(-u)
            for k in range(l * l, (l + 1) * (l + 1)):
                h = sign * harmonics[k]
                for c in range(channels):
                    against[c] += h * bars_there[k, c]
        for c in range(channels):
            feature_bars[c] += scale * out[c] * against[c]
    radial = along[0] * 0.0
    for c in range(channels):
        along[c] *= scale * features[c]
        radial += along[c] * out_slopes[c]
        out[c] *= scale * features[c]
    if want_weights:
        for b in range(values.size):
            v = values[b]
            for c in range(channels):
                weight_bars[b, c] += v * along[c]
    for k in range(harmonics.size):
        total = along[0] * 0.0
        for c in range(channels):
            total += bars[k, c] * out[c]
        angular[k] = total
    _slope(degree, norm, solid, angular, slope)
    gx, gy, gz = slope[0], slope[1], slope[2]
    radial -= (gx * ux + gy * uy + gz * uz) * over
    gradient[0] = radial * ux + gx * over
    gradient[1] = radial * uy + gy * over
    gradient[2] = radial * uz + gz * over
