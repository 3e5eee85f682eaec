"""Loops of `center_tangent`: how what `blocks` computes changes along a displacement.

Each is for a strip of triplets or neighbours. A name with _t is the tangent (derivative along the displacement) of
the name without.
"""

from mdnnp.base.compiled.jit import njit_strip, vectorize_freely
from mdnnp.potentials.hdnnp.functions.blocks import BLOCK


@njit_strip
def geometry(third, j, k, c, inverse_jk, x, y, z, x_t, y_t, z_t, r, r_t, inverse, c_t, far_t, squares_t, sides_t):
    """Tangents of cos(theta), of r_jk, of half the sum of the squares of the sides, and of the sum of the sides.

    third: 1 if the third side counts in the sums, 0 if the function is wide
    """
    vectorize_freely()
    for t in range(BLOCK):
        a, b = j[t], k[t]
        far = (x[b] - x[a]) * (x_t[b] - x_t[a]) + (y[b] - y[a]) * (y_t[b] - y_t[a]) + (z[b] - z[a]) * (z_t[b] - z_t[a])
        near = r[a] * r_t[a] + r[b] * r_t[b]
        far_t[t] = far * inverse_jk[t]
        c_t[t] = (near - far) * (inverse[a] * inverse[b]) - c[t] * (r_t[a] * inverse[a] + r_t[b] * inverse[b])
        squares_t[t] = near + third * far
        sides_t[t] = r_t[a] + r_t[b] + third * far_t[t]


@njit_strip
def envelope_product(narrow, j, k, slope, r_t, slope_jk, far_t, log_t):
    """Tangent of the logarithm of the product of envelopes."""
    vectorize_freely()
    if narrow:
        for t in range(BLOCK):
            log_t[t] = slope[j[t]] * r_t[j[t]] + slope[k[t]] * r_t[k[t]] + slope_jk[t] * far_t[t]
    else:
        for t in range(BLOCK):
            log_t[t] = slope[j[t]] * r_t[j[t]] + slope[k[t]] * r_t[k[t]]


@njit_strip
def channel(h, log_t, squares_t, sides_t, c_t, eta, rs, h_t, turned):
    """Tangent of a channel's h, and h c_t."""
    vectorize_freely()
    two_eta = 2.0 * eta
    for t in range(BLOCK):
        h_t[t] = h[t] * (log_t[t] - two_eta * (squares_t[t] - rs * sides_t[t]))
        turned[t] = h[t] * c_t[t]


@njit_strip
def two_dots(a, b, c, d):
    """Sum of a_t b_t + c_t d_t."""
    vectorize_freely()
    total = 0.0
    for t in range(BLOCK):
        total += a[t] * b[t] + c[t] * d[t]
    return total


@njit_strip
def add_term(first, weight, weight_t, value, derivative, second, p0, p1, p2, q0, q1):
    """Add a function's W P, W dP/dc, W d2P/dc2, W_t P and W_t dP/dc; the first of a channel sets them."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            p0[t] = weight * value[t]
            p1[t] = weight * derivative[t]
            p2[t] = weight * second[t]
            q0[t] = weight_t * value[t]
            q1[t] = weight_t * derivative[t]
    else:
        for t in range(BLOCK):
            p0[t] += weight * value[t]
            p1[t] += weight * derivative[t]
            p2[t] += weight * second[t]
            q0[t] += weight_t * value[t]
            q1[t] += weight_t * derivative[t]


@njit_strip
def add_channel(first, h, h_t, c_t, p0, p1, q0, eta, eta_rs, s1, s2, s3, s1_t, s2_t, s3_t):
    """Add a channel's X = h sum W P, eta X, eta rs X and their tangents; the first of an envelope sets them."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            x = h[t] * p0[t]
            x_t = h_t[t] * p0[t] + h[t] * (q0[t] + p1[t] * c_t[t])
            s1[t] = x
            s2[t] = eta * x
            s3[t] = eta_rs * x
            s1_t[t] = x_t
            s2_t[t] = eta * x_t
            s3_t[t] = eta_rs * x_t
    else:
        for t in range(BLOCK):
            x = h[t] * p0[t]
            x_t = h_t[t] * p0[t] + h[t] * (q0[t] + p1[t] * c_t[t])
            s1[t] += x
            s2[t] += eta * x
            s3[t] += eta_rs * x
            s1_t[t] += x_t
            s2_t[t] += eta * x_t
            s3_t[t] += eta_rs * x_t


@njit_strip
def add_bend(first, h, h_t, c_t, p1, p2, q1, bend, bend_t):
    """Add a channel's B = h sum W dP/dc and its tangent; the first of a part sets them."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            bend[t] = h[t] * p1[t]
            bend_t[t] = h_t[t] * p1[t] + h[t] * (q1[t] + p2[t] * c_t[t])
    else:
        for t in range(BLOCK):
            bend[t] += h[t] * p1[t]
            bend_t[t] += h_t[t] * p1[t] + h[t] * (q1[t] + p2[t] * c_t[t])


@njit_strip
def add_side(first, j, r, r_t, slope, curvature, s1, s2, s3, s1_t, s2_t, s3_t, along, along_t):
    """Add an envelope's dE/dr_ij = s1 L - 2 (s2 r - s3) and its tangent; the first of a part sets them."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            a = j[t]
            along[t] = s1[t] * slope[a] - 2.0 * (s2[t] * r[a] - s3[t])
            along_t[t] = (
                s1_t[t] * slope[a] - 2.0 * (s2_t[t] * r[a] - s3_t[t]) + (s1[t] * curvature[a] - 2.0 * s2[t]) * r_t[a]
            )
    else:
        for t in range(BLOCK):
            a = j[t]
            along[t] += s1[t] * slope[a] - 2.0 * (s2[t] * r[a] - s3[t])
            along_t[t] += (
                s1_t[t] * slope[a] - 2.0 * (s2_t[t] * r[a] - s3_t[t]) + (s1[t] * curvature[a] - 2.0 * s2[t]) * r_t[a]
            )


@njit_strip
def add_far_side(first, slope_jk, curvature_jk, far_t, inverse_jk, s1, s2, s3, s1_t, s2_t, s3_t, along, along_t):
    """Add an envelope's (dE/dr_jk) / r_jk and its tangent; the first of a part sets them."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            u = inverse_jk[t]
            side = (s1[t] * slope_jk[t] + 2.0 * s3[t]) * u
            side_t = (s1_t[t] * slope_jk[t] + 2.0 * s3_t[t]) * u
            along[t] = side - 2.0 * s2[t]
            along_t[t] = side_t - 2.0 * s2_t[t] + (s1[t] * curvature_jk[t] - side) * (u * far_t[t])
    else:
        for t in range(BLOCK):
            u = inverse_jk[t]
            side = (s1[t] * slope_jk[t] + 2.0 * s3[t]) * u
            side_t = (s1_t[t] * slope_jk[t] + 2.0 * s3_t[t]) * u
            along[t] += side - 2.0 * s2[t]
            along_t[t] += side_t - 2.0 * s2_t[t] + (s1[t] * curvature_jk[t] - side) * (u * far_t[t])


@njit_strip
def finish_sides(
    j, k, inverse, r_t, c, c_t, bend, bend_t, along_j, along_k, along_jk, along_j_t, along_k_t, along_jk_t
):
    """Turn derivatives at fixed c into the coefficients of `blocks.finish_sides`, and their tangents (in place)."""
    vectorize_freely()
    for t in range(BLOCK):
        uj, uk = inverse[j[t]], inverse[k[t]]
        uj_t, uk_t = -uj * uj * r_t[j[t]], -uk * uk * r_t[k[t]]
        m = along_jk[t] - bend[t] * (uj * uk)
        m_t = along_jk_t[t] - bend_t[t] * (uj * uk) - bend[t] * (uj_t * uk + uj * uk_t)
        aj = along_j[t] + bend[t] * (uk - c[t] * uj)
        ak = along_k[t] + bend[t] * (uj - c[t] * uk)
        aj_t = along_j_t[t] + bend_t[t] * (uk - c[t] * uj) + bend[t] * (uk_t - c_t[t] * uj - c[t] * uj_t)
        ak_t = along_k_t[t] + bend_t[t] * (uj - c[t] * uk) + bend[t] * (uj_t - c_t[t] * uk - c[t] * uk_t)
        along_jk[t] = m
        along_jk_t[t] = m_t
        along_j[t] = aj * uj + m
        along_k[t] = ak * uk + m
        along_j_t[t] = aj_t * uj + aj * uj_t + m_t
        along_k_t[t] = ak_t * uk + ak * uk_t + m_t


# ---------------------------------------------------------------------------------------------------------------------
# Strips of the neighbours of one element


@njit_strip
def neighbor_channel(r, r_t, slope, eta, rs, g, g_t):
    """Tangent of g = f exp(-eta (r - rs)^2)."""
    vectorize_freely()
    two_eta = 2.0 * eta
    for t in range(g.size):
        g_t[t] = g[t] * (slope[t] - two_eta * (r[t] - rs)) * r_t[t]


@njit_strip
def add_radial(weight, weight_t, r, r_t, inverse, g, g_t, slope, curvature, eta, rs, alpha, alpha_t):
    """Add weight dg/dr / r and its tangent."""
    vectorize_freely()
    two_eta = 2.0 * eta
    for t in range(g.size):
        log = slope[t] - two_eta * (r[t] - rs)
        log_t = (curvature[t] - two_eta) * r_t[t]
        along = weight * g[t] * log
        along_t = weight_t * g[t] * log + weight * (g_t[t] * log + g[t] * log_t)
        alpha[t] += along * inverse[t]
        alpha_t[t] += (along_t - along * r_t[t] * inverse[t]) * inverse[t]
