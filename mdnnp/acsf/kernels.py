"""Kernels for the symmetry functions of one centre: values, then the gradient along the centre's edges.

For a triplet (i; j, k) and channel q with value g_q(r), logarithmic derivative l_q(r) = g_q'/g_q and angle P_a(c),
c = cos(theta), a function is G_s = sum_triplets w_s h_q P_a with h_q = g_q(r_ij) g_q(r_ik) [g_q(r_jk)]. Given the
weights W_s = dE/dG_s w_s, per triplet

    X_q = h_q sum_{s in q} W_s P_a        B = sum_s W_s h_q dP_a/dc
    dE/dr_ij at fixed c, r_ik, r_jk = sum_q X_q l_q(r_ij)        (likewise for r_ik and r_jk)
    l_q(r) = L(r) - 2 eta (r - rs)        L = f'/f of the envelope, shared by all its channels

so that one pass over the triplets gives the gradient of the energy whatever the number of functions; dG/dr is never
formed. Wide functions with integer zeta are products of moments instead (see `tables`). Using
c = (r_ij^2 + r_ik^2 - r_jk^2)/(2 r_ij r_ik), everything is a derivative by the three sides:

    a_j = dE/dr_ij + B (1/r_ik - c/r_ij)     a_k likewise     m = (dE/dr_jk)/r_jk - B/(r_ij r_ik)
    D_ij = (a_j/r_ij + m) r_ij - m r_ik       D_ik = (a_k/r_ik + m) r_ik - m r_ij

Loops run over strips of neighbours or triplets in contiguous arrays, with the tables outside: they vectorise.
"""

from typing import NamedTuple

import numpy as np

from mdnnp.acsf import strips
from mdnnp.acsf.shapes import evaluate_angle, evaluate_envelope
from mdnnp.acsf.strips import BLOCK
from mdnnp.jit import njit, njit_fast, njit_inline, vectorize_freely
from mdnnp.simd import LANES, keep_near


class Scratch(NamedTuple):
    """Working memory of one chunk of centres; blocks of BLOCK triplets.

    Strips of n neighbours are in order of element. Those of an element begin at a whole vector, and are filled up with
    dummies beyond the cutoff, so that no loop has a remainder. One more dummy stands behind them all: triplets of it
    fill up blocks.
    """

    x: np.ndarray  # (n,) r_ij, Å
    y: np.ndarray
    z: np.ndarray
    r: np.ndarray  # (n,) and its inverse
    inverse: np.ndarray
    who: np.ndarray  # (n,) index of the neighbour
    segment: np.ndarray  # (n_elements + 1,) places of element b: segment[b] .. segment[b + 1] - 1, dummies included
    count: np.ndarray  # (n_elements,) how many are neighbours
    envelope: np.ndarray  # (envelopes, n) f
    slope: np.ndarray  # (envelopes, n) f'/f
    channel: np.ndarray  # (channels, n) g
    line1: np.ndarray  # (max(n, BLOCK),) each: short-lived strips
    line2: np.ndarray
    line3: np.ndarray
    line4: np.ndarray
    position: np.ndarray  # (n, 4) r_ij and 0
    edge: np.ndarray  # (n, 4) D_ij = edge[:3] + edge[3] r_ij of the triplets
    own: np.ndarray  # (1, 4) a row of `edge` in the making
    sum_alpha: np.ndarray  # (n,) coefficient of r_ij in D_ij
    dx: np.ndarray  # (n,) D_ij
    dy: np.ndarray
    dz: np.ndarray
    part_start: np.ndarray  # (parts + 1,) triplets of a part are part_start[p] .. part_start[p + 1] - 1
    tri_j: np.ndarray  # places of j and k of a triplet in the strip of neighbours, and r_jk^2
    tri_k: np.ndarray
    tri_d: np.ndarray
    kept: np.ndarray  # (blocks, rows, BLOCK) what the forward pass keeps for the backward pass
    angle: np.ndarray  # (2 angles, BLOCK) P and dP/dc, computed again in the backward pass: cheaper than keeping them
    bottom: np.ndarray  # (10, BLOCK) accumulators of the backward pass
    monomial: np.ndarray  # (monomials, n) u^a, u = r_ij/r_ij
    moment: np.ndarray  # (sets, monomials) M_a
    square: np.ndarray  # (sets,) sum_j g^2
    moment_gradient: np.ndarray  # (sets, monomials) dE/dM_a
    square_gradient: np.ndarray
    polynomial: np.ndarray  # (3, monomials) the gradient by u of sum_a dE/dM_a u^a, in monomials


@njit_inline
def rows_per_block(tables):
    """Strips that a block of triplets keeps for the backward pass: c, 1/r_jk, then L and h."""
    rows = np.int64(0)
    for p in range(tables.part_element1.size):
        first, end = tables.part_envelope_first[p], tables.part_envelope_first[p + 1]
        rows = max(rows, end - first + tables.part_channel_first[end] - tables.part_channel_first[first])
    return 2 + rows


@njit
def make_scratch(n, tables):
    """Scratch for centres with at most `n` neighbours."""
    n_envelopes = n_channels = n_parts = n_angles = n_sets = np.int64(1)
    for e in range(tables.n_elements):
        n_envelopes = max(n_envelopes, tables.envelope_first[e + 1] - tables.envelope_first[e])
        n_channels = max(n_channels, tables.channel_first[e + 1] - tables.channel_first[e])
        n_parts = max(n_parts, tables.part_first[e + 1] - tables.part_first[e])
        n_sets = max(n_sets, tables.moment_first[e + 1] - tables.moment_first[e])
    for p in range(tables.part_element1.size):
        n_angles = max(n_angles, tables.angle_first[p + 1] - tables.angle_first[p])
    n_monomials = tables.monomial_raised.shape[1]
    # Every pair of neighbours may count twice, narrow and wide; memory that is never touched costs nothing.
    triplets = n * n + n_parts * BLOCK
    blocks, rows = triplets // BLOCK + n_parts, rows_per_block(tables)
    n += (tables.n_elements + 1) * LANES
    m = max(n, BLOCK)
    return Scratch(
        aligned(n),
        aligned(n),
        aligned(n),
        aligned(n),
        aligned(n),
        np.empty(n, np.uint32),
        np.empty(tables.n_elements + 1, np.int64),
        np.empty(tables.n_elements, np.int64),
        aligned_rows(n_envelopes, n),
        aligned_rows(n_envelopes, n),
        aligned_rows(n_channels, n),
        aligned(m),
        aligned(m),
        aligned(m),
        aligned(m),
        aligned(4 * n).reshape(n, 4),
        aligned(4 * n).reshape(n, 4),
        aligned(4).reshape(1, 4),
        aligned(n),
        aligned(n),
        aligned(n),
        aligned(n),
        np.zeros(n_parts + 1, np.int64),
        np.empty(triplets + LANES, np.uint32),
        np.empty(triplets + LANES, np.uint32),
        aligned(triplets + LANES),
        aligned(blocks * rows * BLOCK).reshape(blocks, rows, BLOCK),
        aligned_rows(2 * n_angles, BLOCK),
        aligned_rows(10, BLOCK),
        aligned_rows(n_monomials, n),
        aligned_rows(n_sets, n_monomials),
        aligned(n_sets),
        aligned_rows(n_sets, n_monomials),
        aligned(n_sets),
        aligned_rows(3, n_monomials),
    )


@njit
def aligned(n):
    """(n,) array that begins at a cache line: vectors that straddle lines take twice the time."""
    base = np.empty(n + 8)
    skip = -(base.ctypes.data // 8) % 8
    return base[skip : skip + n]


@njit
def aligned_rows(rows, n):
    """(rows, n or a little more) zeros, in which each row begins at a cache line.

    Zeros, as loops go over whole vectors: what fills up a row must be finite.
    """
    n = (n + 7) // 8 * 8
    array = aligned(rows * n).reshape(rows, n)
    array[:] = 0.0
    return array


@njit_inline
def arrange(i, n, species, tables, w):
    """Lay out the `n` neighbours of centre `i`, in order of element already, as `Scratch` says; returns the places."""
    total = place = np.int64(0)
    for b in range(tables.n_elements):
        begin = total
        while total < n and species[w.who[total]] == b:
            total += 1
        w.count[b], w.segment[b] = total - begin, place
        place += (total - begin + LANES - 1) // LANES * LANES
    w.segment[tables.n_elements] = place
    beyond = 2.0 * tables.cutoff[species[i]]
    fill_up(place, place + LANES, i, beyond, w)
    for b in range(tables.n_elements - 1, -1, -1):  # from the last, as they move up
        begin, total = w.segment[b], total - w.count[b]
        for t in range(w.count[b] - 1, -1, -1):
            w.x[begin + t], w.y[begin + t], w.z[begin + t] = w.x[total + t], w.y[total + t], w.z[total + t]
            w.r[begin + t], w.who[begin + t] = w.r[total + t], w.who[total + t]
        fill_up(begin + w.count[b], w.segment[b + 1], i, beyond, w)
    return place


@njit_inline
def fill_up(begin, end, i, beyond, w):
    """Put dummies at places begin .. end - 1."""
    for t in range(begin, end):
        w.x[t] = w.y[t] = w.z[t] = 0.0
        w.r[t], w.who[t] = beyond, i


@njit_inline
def evaluate_channels(e, n, tables, w):
    """Envelopes and channels of a centre of element `e` at its `n` places, into the scratch `w`."""
    vectorize_freely()
    for t in range(n + LANES):
        w.inverse[t] = 1.0 / w.r[t]
    first = tables.envelope_first[e]
    for v in range(first, tables.envelope_first[e + 1]):
        evaluate_envelope(
            tables.envelope_kind[v], tables.envelope_low[v], tables.envelope_high[v],
            w.r, n + LANES, w.envelope[v - first], w.slope[v - first], w.line1, w.line2,
        )  # fmt: skip
    for b in range(tables.n_elements):
        owner = e * tables.n_elements + b
        for row in range(tables.used_first[owner], tables.used_first[owner + 1]):
            q = tables.used_channel[row]
            eta, rs = tables.channel_eta[tables.channel_first[e] + q], tables.channel_rs[tables.channel_first[e] + q]
            f = w.envelope[tables.channel_envelope[tables.channel_first[e] + q]]
            own = slice(w.segment[b], w.segment[b + 1])
            strips.neighbor_channel(w.r[own], f[own], eta, rs, w.channel[q][own])


@njit_inline
def radial_values(e, tables, w, values):
    """Add the radial functions of a centre of element `e` to `values`."""
    for b in range(tables.n_elements):
        owner = e * tables.n_elements + b
        for row in range(tables.radial_first[owner], tables.radial_first[owner + 1]):
            g = w.channel[tables.radial_channel[row]]
            total = strips.total(g[w.segment[b] : w.segment[b + 1]])
            values[tables.radial_function[row]] += tables.radial_weight[row] * total


@njit_inline
def radial_gradient(e, tables, w, gradient):
    """Add dE/dr_ij / r_ij of the radial functions, given gradient = dE/dG, to the coefficients of r_ij."""
    first = tables.channel_first[e]
    for b in range(tables.n_elements):
        owner, own = e * tables.n_elements + b, slice(w.segment[b], w.segment[b + 1])
        for row in range(tables.radial_first[owner], tables.radial_first[owner + 1]):
            q = tables.radial_channel[row]
            weight = gradient[tables.radial_function[row]] * tables.radial_weight[row]
            slope = w.slope[tables.channel_envelope[first + q]]
            strips.add_radial(
                weight, w.r[own], w.inverse[own], w.channel[q][own], slope[own],
                tables.channel_eta[first + q], tables.channel_rs[first + q], w.sum_alpha[own],
            )  # fmt: skip


@njit_inline
def evaluate_monomials(n, tables, w):
    """All monomials u^a at the `n` places."""
    x, y, z, inverse, m = w.x[:n], w.y[:n], w.z[:n], w.inverse[:n], w.monomial
    one = w.monomial[0]
    for t in range(n):
        one[t] = 1.0
    begin = 0
    for p in range(1, tables.monomial_count.size):
        # Those of degree p are x times all of degree p - 1, then y and z times those of them without x.
        end = tables.monomial_count[p - 1]
        count = end - begin
        for k in range(count):
            strips.direction_product(x, inverse, m[begin + k], m[end + k])
        for k in range(p):
            strips.direction_product(y, inverse, m[end - p + k], m[end + count + k])
        strips.direction_product(z, inverse, m[end - 1], m[end + count + p])
        begin = end


@njit_inline
def evaluate_moments(e, n, tables, w):
    """Moments of all sets of a centre of element `e` with `n` places."""
    evaluate_monomials(n, tables, w)
    first, m = tables.moment_first[e], w.monomial
    for v in range(first, tables.moment_first[e + 1]):
        b, moment = tables.moment_element[v], w.moment[v - first]
        own = slice(w.segment[b], w.segment[b + 1])
        g = w.channel[tables.moment_channel[v]][own]
        for a in range(0, tables.monomial_count[tables.moment_degree[v]], 4):
            strips.four_moments(g, m[a][own], m[a + 1][own], m[a + 2][own], m[a + 3][own], moment, a)
        w.square[v - first] = strips.triple_product(g.size, g, g, m[0][own])


@njit_inline
def wide_values(e, tables, w, values):
    """Add the wide functions that are products of moments to `values`."""
    for row in range(tables.wide_first[e], tables.wide_first[e + 1]):
        m, k = tables.wide_set1[row], tables.wide_set2[row]
        count = tables.monomial_count[tables.wide_zeta[row]]
        total = strips.triple_product(count, tables.wide_coefficient[row], w.moment[m], w.moment[k])
        if m == k:  # every pair came twice, and each neighbour with itself
            total = 0.5 * (total - tables.wide_same[row] * w.square[m])
        values[tables.wide_function[row]] += tables.wide_weight[row] * total


@njit_inline
def moment_gradients(e, tables, w, gradient):
    """dE/dM_a of all sets, given gradient = dE/dG."""
    for v in range(tables.moment_first[e + 1] - tables.moment_first[e]):
        w.square_gradient[v] = 0.0
        strips.clear(w.moment_gradient.shape[1], w.moment_gradient[v])
    for row in range(tables.wide_first[e], tables.wide_first[e + 1]):
        weight = gradient[tables.wide_function[row]] * tables.wide_weight[row]
        m, k, c = tables.wide_set1[row], tables.wide_set2[row], tables.wide_coefficient[row]
        count = tables.monomial_count[tables.wide_zeta[row]]
        strips.add_scaled_product(count, weight, c, w.moment[k], w.moment_gradient[m])
        if m == k:
            w.square_gradient[m] -= 0.5 * weight * tables.wide_same[row]
        else:
            strips.add_scaled_product(count, weight, c, w.moment[m], w.moment_gradient[k])


@njit_inline
def wide_gradient(e, tables, w, gradient):
    """Add the edge gradients of the wide functions, given gradient = dE/dG."""
    moment_gradients(e, tables, w, gradient)
    first = tables.moment_first[e]
    for v in range(first, tables.moment_first[e + 1]):
        degree, b = tables.moment_degree[v], tables.moment_element[v]
        own, by_u = slice(w.segment[b], w.segment[b + 1]), w.moment_gradient[v - first]
        lower = tables.monomial_count[degree - 1]
        for axis in range(3):  # the gradient of the polynomial, in monomials of one degree less
            raised, factor, coefficient = tables.monomial_raised[axis], tables.monomial_factor[axis], w.polynomial[axis]
            for a in range(lower):
                coefficient[a] = factor[a] * by_u[raised[a]]
            for a in range(lower, (lower + 3) // 4 * 4):
                coefficient[a] = 0.0
        p, px, py, pz = w.line1[own], w.line2[own], w.line3[own], w.line4[own]
        evaluate_polynomial(tables.monomial_count[degree], by_u, w.monomial, own, p)
        evaluate_polynomial(lower, w.polynomial[0], w.monomial, own, px)
        evaluate_polynomial(lower, w.polynomial[1], w.monomial, own, py)
        evaluate_polynomial(lower, w.polynomial[2], w.monomial, own, pz)
        q = tables.channel_first[e] + tables.moment_channel[v]
        g, slope = w.channel[tables.moment_channel[v]], w.slope[tables.channel_envelope[q]]
        strips.add_moment_edges(
            w.x[own], w.y[own], w.z[own], w.r[own], w.inverse[own], g[own], slope[own],
            tables.channel_eta[q], tables.channel_rs[q], 2.0 * w.square_gradient[v - first],
            p, px, py, pz, w.sum_alpha[own], w.dx[own], w.dy[own], w.dz[own],
        )  # fmt: skip


@njit_fast
def evaluate_polynomial(count, c, monomial, own, value):
    """Sum of the first `count` monomials with coefficients `c`, which are zero up to the next multiple of four."""
    for a in range(0, count, 4):
        m0, m1, m2, m3 = monomial[a][own], monomial[a + 1][own], monomial[a + 2][own], monomial[a + 3][own]
        strips.add_four(a == 0, c[a], c[a + 1], c[a + 2], c[a + 3], m0, m1, m2, m3, value)


@njit_inline
def find_triplets(p, n, total, tables, w):
    """Append the triplets of part `p`: neighbours j < k within the part's cutoff and, if narrow, of each other.

    Writes the places of j and k in the strip of `n` neighbours and r_jk^2 from `total` on, a multiple of BLOCK.
    Returns the new total.
    """
    b1, b2, narrow, cutoff = (
        tables.part_element1[p],
        tables.part_element2[p],
        tables.part_narrow[p],
        tables.part_cutoff[p],
    )
    limit = cutoff * cutoff if narrow else 1e299
    far = w.line1
    for t in range(n):
        far[t] = 0.0 if w.r[t] < cutoff else 1e300
    end = w.segment[b2 + 1]
    for j in range(w.segment[b1], w.segment[b1 + 1]):
        if far[j] > 0.0:
            continue
        start = j + 1 if b1 == b2 else w.segment[b2]
        while start < end:
            total += keep_near(
                w.x, w.y, w.z, far, start, end, w.x[j], w.y[j], w.z[j], limit, j, w.tri_d, w.tri_j, w.tri_k, total
            )  # fmt: skip
            start = (start // LANES + 1) * LANES
    full = (total + BLOCK - 1) // BLOCK * BLOCK
    while total < full:
        w.tri_j[total], w.tri_k[total], w.tri_d[total] = n, n, 1.0
        total += 1
    return total


@njit_inline
def evaluate_angles(p, tables, c, w):
    """All angles of part `p` at the cosines `c` of a block, into w.angle."""
    first = tables.angle_first[p]
    for row in range(first, tables.angle_first[p + 1]):
        value, derivative = w.angle[2 * (row - first)], w.angle[2 * (row - first) + 1]
        kind, a, b = tables.angle_kind[row], tables.angle_a[row], tables.angle_b[row]
        evaluate_angle(kind, a, b, BLOCK, c, value, derivative, w.line1, w.line2, w.line3)


@njit_inline
def block_values(e, p, j, k, d, tables, w, kept, values):
    """Forward pass over a block of triplets of part `p`; keeps in `kept` what the backward pass needs."""
    narrow = tables.part_narrow[p]
    c, inverse_jk = kept[0], kept[1]
    r_ij, r_ik, r_jk, squares, f = w.bottom[0], w.bottom[1], w.bottom[2], w.bottom[3], w.bottom[4]
    strips.geometry(narrow, j, k, d, w.r, w.inverse, c, r_ij, r_ik, r_jk, inverse_jk, squares)
    evaluate_angles(p, tables, c, w)
    first_envelope, end_envelope = tables.part_envelope_first[p], tables.part_envelope_first[p + 1]
    first_channel = tables.part_channel_first[first_envelope]
    channel_row = 2 + end_envelope - first_envelope
    for v in range(first_envelope, end_envelope):
        if narrow:
            own = tables.envelope_first[e] + tables.part_envelope[v]
            evaluate_envelope(
                tables.envelope_kind[own], tables.envelope_low[own], tables.envelope_high[own],
                r_jk, BLOCK, w.line3, kept[2 + v - first_envelope], w.line1, w.line2,
            )  # fmt: skip
        strips.envelope_product(narrow, j, k, w.envelope[tables.part_envelope[v]], w.line3, f)
        for u in range(tables.part_channel_first[v], tables.part_channel_first[v + 1]):
            h, own = kept[channel_row + u - first_channel], tables.channel_first[e] + tables.part_channel[u]
            eta, rs = tables.channel_eta[own], tables.channel_rs[own]
            strips.channel(narrow, r_ij, r_ik, r_jk, squares, f, eta, rs, h)
            for term in range(tables.term_first[u], tables.term_first[u + 1]):
                total = strips.dot(h, w.angle[2 * tables.term_angle[term]])
                values[tables.term_function[term]] += tables.term_weight[term] * total


@njit_inline
def block_gradient(e, p, j, k, tables, w, kept, gradient):
    """Backward pass over a block of triplets, given gradient = dE/dG: adds to the edge gradients in `w`."""
    narrow = tables.part_narrow[p]
    c, inverse_jk = kept[0], kept[1]
    evaluate_angles(p, tables, c, w)
    bend, along_j, along_k, along_jk = w.bottom[0], w.bottom[1], w.bottom[2], w.bottom[3]
    s1, s2, s3, angular, turn = w.bottom[4], w.bottom[5], w.bottom[6], w.bottom[7], w.bottom[8]
    if not narrow:
        strips.clear(BLOCK, along_jk)
    first_envelope, end_envelope = tables.part_envelope_first[p], tables.part_envelope_first[p + 1]
    first_channel = tables.part_channel_first[first_envelope]
    channel_row = 2 + end_envelope - first_envelope
    for v in range(first_envelope, end_envelope):
        for u in range(tables.part_channel_first[v], tables.part_channel_first[v + 1]):
            h, own = kept[channel_row + u - first_channel], tables.channel_first[e] + tables.part_channel[u]
            eta, eta_rs = tables.channel_eta[own], tables.channel_eta[own] * tables.channel_rs[own]
            for term in range(tables.term_first[u], tables.term_first[u + 1]):
                weight, row = gradient[tables.term_function[term]] * tables.term_weight[term], tables.term_angle[term]
                first = term == tables.term_first[u]
                strips.add_term(first, weight, w.angle[2 * row], w.angle[2 * row + 1], angular, turn)
            strips.add_channel(u == tables.part_channel_first[v], h, angular, turn, eta, eta_rs, s1, s2, s3)
            strips.add_bend(u == first_channel, h, turn, bend)
        first = v == first_envelope
        strips.add_sides(first, j, k, w.r, w.slope[tables.part_envelope[v]], s1, s2, s3, along_j, along_k)
        if narrow:
            strips.add_far_side(first, kept[2 + v - first_envelope], inverse_jk, s1, s2, s3, along_jk)
    strips.finish_sides(j, k, w.inverse, c, bend, along_j, along_k, along_jk)
    strips.add_edges(j, k, along_j, along_k, along_jk, w.position, w.edge, w.own)


@njit_inline
def center_values(e, n, tables, w, values):
    """All functions of a centre of element `e` with the `n` neighbours in `w`, added to `values`."""
    evaluate_channels(e, n, tables, w)
    radial_values(e, tables, w, values)
    if tables.wide_first[e + 1] > tables.wide_first[e]:
        evaluate_moments(e, n, tables, w)
        wide_values(e, tables, w, values)
    total = block = np.int64(0)  # int64 from the start: a literal 0 would compile everything below twice
    for p in range(tables.part_first[e], tables.part_first[e + 1]):
        own, begin = p - tables.part_first[e], total
        total = find_triplets(p, n, begin, tables, w)
        w.part_start[own], w.part_start[own + 1] = begin, total
        for start in range(begin, total, BLOCK):
            end = start + BLOCK
            block_values(
                e, p, w.tri_j[start:end], w.tri_k[start:end], w.tri_d[start:end], tables, w, w.kept[block], values
            )  # fmt: skip
            block += 1


@njit_inline
def center_gradient(e, n, tables, w, gradient):
    """D_ij = dE/dr_ij of the centre that `center_values` has just seen, given gradient = dE/dG, into w.dx, dy, dz."""
    vectorize_freely()
    for t in range(n + 1):
        w.sum_alpha[t] = w.dx[t] = w.dy[t] = w.dz[t] = 0.0
        w.position[t, 0], w.position[t, 1], w.position[t, 2], w.position[t, 3] = w.x[t], w.y[t], w.z[t], 0.0
        w.edge[t, 0] = w.edge[t, 1] = w.edge[t, 2] = w.edge[t, 3] = 0.0
    radial_gradient(e, tables, w, gradient)
    if tables.wide_first[e + 1] > tables.wide_first[e]:
        wide_gradient(e, tables, w, gradient)
    block = np.int64(0)
    for p in range(tables.part_first[e], tables.part_first[e + 1]):
        own = p - tables.part_first[e]
        for start in range(w.part_start[own], w.part_start[own + 1], BLOCK):
            end = start + BLOCK
            block_gradient(e, p, w.tri_j[start:end], w.tri_k[start:end], tables, w, w.kept[block], gradient)
            block += 1
    for t in range(n):
        alpha = w.sum_alpha[t] + w.edge[t, 3]
        w.dx[t] += w.edge[t, 0] + alpha * w.x[t]
        w.dy[t] += w.edge[t, 1] + alpha * w.y[t]
        w.dz[t] += w.edge[t, 2] + alpha * w.z[t]
