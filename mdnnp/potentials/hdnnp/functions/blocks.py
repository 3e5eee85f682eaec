"""Loops over a full block of triplets: the arithmetic of `center`, one stage a function.

A block always holds BLOCK triplets, so that the length of every loop is known when it is compiled, and every strip is
an argument of its own, which `vectorize_freely` promises not to overlap: no checks, no remainders. With lengths and
strips known only at run time the same loops took 1.5 to 2 times as long. j and k are places in the strips of the
centre's neighbours.

A function computes in the precision of its arrays (`jit.njit_fast`).
"""

import numpy as np

from mdnnp.base.compiled.elementary import exp, inverse_sqrt
from mdnnp.base.compiled.jit import njit_strip, vectorize_freely
from mdnnp.base.compiled.vectors import subtract_scaled

BLOCK = 128


@njit_strip
def geometry(narrow, j, k, d, r, inverse, c, r_ij, r_ik, r_jk, inverse_ij, inverse_ik, inverse_jk, squares):
    """cos(theta), the sides, their inverses and the sum of their squares (of two if wide), from d = r_jk^2."""
    vectorize_freely()
    third = 1.0 if narrow else 0.0
    for t in range(BLOCK):
        a, b, uj, uk = r[j[t]], r[k[t]], inverse[j[t]], inverse[k[t]]
        square = a * a + b * b
        c[t] = 0.5 * (square - d[t]) * (uj * uk)
        r_ij[t], r_ik[t], inverse_ij[t], inverse_ik[t] = a, b, uj, uk
        inverse_jk[t] = inverse_sqrt(d[t])
        r_jk[t] = d[t] * inverse_jk[t]
        squares[t] = square + third * d[t]


@njit_strip
def envelope_product(narrow, j, k, f, f_jk, product):
    """f(r_ij) f(r_ik) and, if narrow, f(r_jk)."""
    vectorize_freely()
    if narrow:
        for t in range(BLOCK):
            product[t] = f[j[t]] * f[k[t]] * f_jk[t]
    else:
        for t in range(BLOCK):
            product[t] = f[j[t]] * f[k[t]]


@njit_strip
def channel(narrow, r_ij, r_ik, r_jk, squares, f, eta, rs, h):
    """h = f exp(-eta [(r_ij - rs)^2 + (r_ik - rs)^2 + (r_jk - rs)^2]), without the third term if wide."""
    vectorize_freely()
    if eta == 0.0:
        for t in range(BLOCK):
            h[t] = f[t]
    elif rs == 0.0:
        for t in range(BLOCK):
            h[t] = f[t] * exp(-eta * squares[t])
    else:
        third = 1.0 if narrow else 0.0
        for t in range(BLOCK):
            a, b, far = r_ij[t] - rs, r_ik[t] - rs, r_jk[t] - rs
            h[t] = f[t] * exp(-eta * (a * a + b * b + third * (far * far)))


@njit_strip
def dot(a, b):
    """Sum of a_t b_t."""
    vectorize_freely()
    total = 0.0
    for t in range(BLOCK):
        total += a[t] * b[t]
    return total


@njit_strip
def clear(n, a):
    """a <- 0."""
    for t in range(n):
        a[t] = 0.0


@njit_strip
def add_term(first, weight, value, derivative, angular, turn):
    """Add a function's share of sum W P and sum W dP/dc; the first of a channel sets them."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            angular[t] = weight * value[t]
            turn[t] = weight * derivative[t]
    else:
        for t in range(BLOCK):
            angular[t] += weight * value[t]
            turn[t] += weight * derivative[t]


@njit_strip
def add_channel(first, h, angular, turn, eta, eta_rs, s1, s2, s3):
    """Add a channel's X = h sum W P, eta X and eta rs X to s1, s2, s3; the first of an envelope sets them."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            x = h[t] * angular[t]
            s1[t] = x
            s2[t] = eta * x
            s3[t] = eta_rs * x
    else:
        for t in range(BLOCK):
            x = h[t] * angular[t]
            s1[t] += x
            s2[t] += eta * x
            s3[t] += eta_rs * x


@njit_strip
def add_bend(first, h, turn, bend):
    """Add a channel's B = h sum W dP/dc; the first of a part sets it."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            bend[t] = h[t] * turn[t]
    else:
        for t in range(BLOCK):
            bend[t] += h[t] * turn[t]


@njit_strip
def add_sides(first, j, k, r_ij, r_ik, slope, s1, s2, s3, along_j, along_k):
    """Add an envelope's dE/dr_ij and dE/dr_ik: s1 L(r) - 2 (s2 r - s3); the first of a part sets them."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            along_j[t] = s1[t] * slope[j[t]] - 2.0 * (s2[t] * r_ij[t] - s3[t])
            along_k[t] = s1[t] * slope[k[t]] - 2.0 * (s2[t] * r_ik[t] - s3[t])
    else:
        for t in range(BLOCK):
            along_j[t] += s1[t] * slope[j[t]] - 2.0 * (s2[t] * r_ij[t] - s3[t])
            along_k[t] += s1[t] * slope[k[t]] - 2.0 * (s2[t] * r_ik[t] - s3[t])


@njit_strip
def add_far_side(first, slope_jk, inverse_jk, s1, s2, s3, along_jk):
    """Add an envelope's (dE/dr_jk) / r_jk; the first of a part sets it."""
    vectorize_freely()
    if first:
        for t in range(BLOCK):
            along_jk[t] = (s1[t] * slope_jk[t] + 2.0 * s3[t]) * inverse_jk[t] - 2.0 * s2[t]
    else:
        for t in range(BLOCK):
            along_jk[t] += (s1[t] * slope_jk[t] + 2.0 * s3[t]) * inverse_jk[t] - 2.0 * s2[t]


@njit_strip
def finish_sides(inverse_ij, inverse_ik, c, bend, along_j, along_k, along_jk, on_j, on_k, on_jk):
    """From derivatives at fixed c, the coefficients a_j/r_ij + m, a_k/r_ik + m and m."""
    vectorize_freely()
    for t in range(BLOCK):
        uj, uk = inverse_ij[t], inverse_ik[t]
        m = along_jk[t] - bend[t] * (uj * uk)
        on_jk[t] = m
        on_j[t] = (along_j[t] + bend[t] * (uk - c[t] * uj)) * uj + m
        on_k[t] = (along_k[t] + bend[t] * (uj - c[t] * uk)) * uk + m


@njit_strip
def add_edges(j, k, along_j, along_k, along_jk, position, edge, own):
    """Add D_ij = along_j r_ij - m r_ik and D_ik = along_k r_ik - m r_ij, m = along_jk, to the rows of `edge`.

    position (n, 4) holds r_ij and 0; edge (n, 4) what is not along r_ij, and the coefficient of what is; own (1, 4).
    """
    vectorize_freely()
    t, one = np.uint64(0), np.uint64(1)  # without sign: no check for places counted from the end
    while t < BLOCK:  # triplets of one j follow each other: its sums stay in a register
        place = j[t]
        own[0, 0] = own[0, 1] = own[0, 2] = own[0, 3] = 0.0
        while t < BLOCK and j[t] == place:
            subtract_scaled(own, 0, along_jk[t], position, k[t], along_j[t])
            subtract_scaled(edge, k[t], along_jk[t], position, place, along_k[t])
            t += one
        edge[place, 0] += own[0, 0]
        edge[place, 1] += own[0, 1]
        edge[place, 2] += own[0, 2]
        edge[place, 3] += own[0, 3]


# ---------------------------------------------------------------------------------------------------------------------
# Strips of the neighbours of one element: whole vectors, dummies included. They are passed as slices, so that places
# count from 0: with a first place that might be negative, Numba checks each, and nothing is vectorised.


@njit_strip
def copy(n, a, b):
    """b <- a, in the precision of b."""
    vectorize_freely()
    for t in range(n):
        b[t] = a[t]


@njit_strip
def neighbor_channel(r, f, eta, rs, g):
    """g = f exp(-eta (r - rs)^2)."""
    vectorize_freely()
    if eta == 0.0:
        for t in range(g.size):
            g[t] = f[t]
    else:
        for t in range(g.size):
            d = r[t] - rs
            g[t] = f[t] * exp(-eta * (d * d))


@njit_strip
def add_radial(weight, r, inverse, g, slope, eta, rs, sum_alpha):
    """Add weight dg/dr / r."""
    vectorize_freely()
    two_eta = 2.0 * eta
    for t in range(g.size):
        sum_alpha[t] += weight * g[t] * (slope[t] - two_eta * (r[t] - rs)) * inverse[t]


@njit_strip
def total(g):
    """Sum of g."""
    vectorize_freely()
    value = 0.0
    for t in range(g.size):
        value += g[t]
    return value


@njit_strip
def sum_of_products(a, b):
    """Sum of a_t b_t."""
    vectorize_freely()
    value = 0.0
    for t in range(a.size):
        value += a[t] * b[t]
    return value
