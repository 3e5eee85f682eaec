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

import math
from typing import NamedTuple

import numpy as np

from mdnnp.acsf import strips
from mdnnp.acsf.shapes import evaluate_angle, evaluate_envelope
from mdnnp.acsf.strips import BLOCK
from mdnnp.acsf.tables import Tables
from mdnnp.jit import njit_fast, njit_inline
from mdnnp.simd import LANES, append, append_all, count_bits, keep_near


class Near(NamedTuple):
    """Strips of the n neighbours of a centre, in order of element.

    Those of an element begin at a whole vector, and are filled up with dummies beyond the cutoff, so that no loop has a
    remainder. One more dummy stands behind them all: triplets of it fill up blocks.
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


class Gradients(NamedTuple):
    """D_ij = dE/dr_ij at the neighbours; in the making, what is to be added to alpha r_ij."""

    x: np.ndarray  # (n,) D_ij
    y: np.ndarray
    z: np.ndarray
    alpha: np.ndarray  # (n,)
    own: np.ndarray  # (4, LANES) partial sums of the four at the neighbour j of triplets


class Triplets(NamedTuple):
    """Triplets of a centre in blocks of BLOCK, part by part; its real numbers may be of single precision.

    They come in bundles: those of one j with the neighbours k in one vector. What belongs to the ends of a triplet is
    laid out with the bundle: gathered by index in each loop that needs it, it took a third of the time.
    """

    part_start: np.ndarray  # (parts + 1,) triplets of a part are part_start[p] .. part_start[p + 1] - 1
    bundle_start: np.ndarray  # (parts + 1,) and its bundles
    bundle: np.ndarray  # (bundles, 4) j, first place of the vector, its lanes as bits, first triplet
    d: np.ndarray  # r_jk^2
    end: np.ndarray  # (ENDS, triplets) r_ij, r_ik, and their inverses
    window: np.ndarray  # (3 windows, triplets) f(r_ij) f(r_ik), L(r_ij), L(r_ik) of each envelope of the part
    along: np.ndarray  # (3, triplets) coefficients in the edge gradients, see `strips.finish_sides`
    kept: np.ndarray  # (blocks, rows, BLOCK) what the forward pass keeps for the backward pass
    angle: np.ndarray  # (2 angles, BLOCK) P and dP/dc, computed again in the backward pass: cheaper than keeping them
    work: np.ndarray  # (9, BLOCK) short-lived strips


class Moments(NamedTuple):
    """Moments of a centre."""

    monomial: np.ndarray  # (monomials, n) u^a, u = r_ij/r_ij
    value: np.ndarray  # (sets, monomials) M_a
    square: np.ndarray  # (sets,) sum_j g^2
    gradient: np.ndarray  # (sets, monomials) dE/dM_a
    square_gradient: np.ndarray
    polynomial: np.ndarray  # (3, monomials) the gradient by u of sum_a dE/dM_a u^a, in monomials


ENDS = 4


class Scratch(NamedTuple):
    """Working memory for one centre after the other."""

    near: Near
    gradients: Gradients
    triplets: Triplets
    moments: Moments
    line: np.ndarray  # (4, n) short-lived strips


def make_scratch(n: int, tables: Tables, real: type = np.float64) -> Scratch:
    """Scratch for centres with at most `n` neighbours; sums over triplets are taken in the precision of `real`."""
    center, part = tables.center, tables.triplets.part
    n_elements = len(center)
    n_envelopes, n_channels, n_parts, n_sets = (
        _most(center, name) for name in ("envelope", "channel", "part", "set")
    )  # fmt: skip
    n_monomials = tables.wide.raised.shape[1]
    # Every pair of neighbours may count twice, narrow and wide; memory that is never touched costs nothing.
    blocks = n * n // BLOCK + 1 + n_parts
    triplets = blocks * BLOCK + LANES
    # What a block keeps: c, 1/r_jk, then L of its envelopes and h of its channels.
    rows = 2 + _most(part, "window") + _most(part, "channel")
    n += (n_elements + 1) * LANES
    return Scratch(
        Near(
            *(_aligned(n) for _ in range(5)),
            np.zeros(n, np.uint32),
            np.zeros(n_elements + 1, np.int64),
            np.zeros(n_elements, np.int64),
            _aligned(n_envelopes, n),
            _aligned(n_envelopes, n),
            _aligned(n_channels, n),
        ),
        Gradients(*(_aligned(n) for _ in range(4)), _aligned(4, LANES)),
        Triplets(
            np.zeros(n_parts + 1, np.int64),
            np.zeros(n_parts + 1, np.int64),
            np.zeros((2 * n * (n // LANES + 1), 4), np.uint32),
            _aligned(triplets, dtype=real),
            _aligned(ENDS, triplets, dtype=real),
            _aligned(3 * _most(part, "window"), triplets, dtype=real),
            _aligned(3, triplets, dtype=real),
            _aligned(blocks, rows, BLOCK, dtype=real),
            _aligned(2 * _most(part, "angle"), BLOCK, dtype=real),
            _aligned(9, BLOCK, dtype=real),
        ),
        Moments(
            _aligned(n_monomials, n),
            _aligned(n_sets, n_monomials),
            _aligned(n_sets),
            _aligned(n_sets, n_monomials),
            _aligned(n_sets),
            _aligned(3, n_monomials),
        ),
        _aligned(4, n),
    )


def _most(owners: np.ndarray, name: str) -> int:
    """The largest number of rows called `name` that belong to one of the owners, at least 1."""
    return int(max((owners[f"{name}_end"] - owners[f"{name}_first"]).max(initial=1), 1))


def _aligned(*shape: int, dtype: type = np.float64) -> np.ndarray:
    """Zeros that begin at a cache line, as does each row, made longer for it if need be.

    Vectors that straddle lines take twice the time. Zeros, as loops go over whole vectors: what fills up a row must be
    finite.
    """
    *rows, columns = shape
    size = np.dtype(dtype).itemsize
    line = 64 // size
    columns = -(-columns // line) * line
    count = math.prod(rows) * columns
    memory = np.zeros(count + line, dtype)
    skip = -(memory.ctypes.data // size) % line
    return memory[skip : skip + count].reshape(*rows, columns)


@njit_inline
def arrange(i, n, cutoff, species, near):
    """Lay out the `n` neighbours of centre `i`, in order of element already, as `Near` says; returns the places."""
    x, y, z, r, who, segment, count = near.x, near.y, near.z, near.r, near.who, near.segment, near.count
    total = place = np.int64(0)
    for b in range(count.size):
        begin = total
        while total < n and species[who[total]] == b:
            total += 1
        count[b], segment[b] = total - begin, place
        place += (total - begin + LANES - 1) // LANES * LANES
    segment[count.size] = place
    end = place + LANES
    for b in range(count.size, -1, -1):  # from the last, as they move up; behind the last there are dummies only
        begin = segment[b]
        own = count[b] if b < count.size else np.int64(0)
        total -= own
        for t in range(own - 1, -1, -1):
            to, of = begin + t, total + t
            x[to], y[to], z[to], r[to], who[to] = x[of], y[of], z[of], r[of], who[of]
        for t in range(begin + own, end):
            x[t], y[t], z[t], r[t], who[t] = 0.0, 0.0, 0.0, 2.0 * cutoff, i
        end = begin
    return place


@njit_inline
def evaluate_channels(n, envelopes, channels, pairs, used, near, line):
    """Envelopes and channels of a centre at its `n` places."""
    r, inverse, segment, envelope, slope, g = (
        near.r, near.inverse, near.segment, near.envelope, near.slope, near.channel,
    )  # fmt: skip
    for t in range(n + LANES):
        inverse[t] = 1.0 / r[t]
    for v in range(envelopes.size):
        row = envelopes[v]
        evaluate_envelope(row.kind, row.low, row.high, r, n + LANES, envelope[v], slope[v], line[0], line[1])
    for b in range(pairs.size):
        own = slice(segment[b], segment[b + 1])
        for k in range(pairs[b].used_first, pairs[b].used_end):
            channel = channels[used[k]]
            strips.neighbor_channel(r[own], envelope[channel.envelope][own], channel.eta, channel.rs, g[used[k]][own])


@njit_inline
def radial_values(pairs, terms, near, values):
    """Add the radial functions of a centre to `values`."""
    for b in range(pairs.size):
        for row in range(pairs[b].term_first, pairs[b].term_end):
            term = terms[row]
            g = near.channel[term.channel]
            values[term.function] += term.weight * strips.total(g[near.segment[b] : near.segment[b + 1]])


@njit_inline
def radial_gradient(channels, pairs, terms, near, alpha, gradient):
    """Add dE/dr_ij / r_ij of the radial functions, given gradient = dE/dG, to the coefficients of r_ij."""
    for b in range(pairs.size):
        own = slice(near.segment[b], near.segment[b + 1])
        for row in range(pairs[b].term_first, pairs[b].term_end):
            term, channel = terms[row], channels[terms[row].channel]
            g, slope = near.channel[term.channel], near.slope[channel.envelope]
            strips.add_radial(
                gradient[term.function] * term.weight, near.r[own], near.inverse[own], g[own], slope[own],
                channel.eta, channel.rs, alpha[own],
            )  # fmt: skip


@njit_inline
def evaluate_monomials(n, count, near, m):
    """All monomials u^a at the `n` places, into the rows of `m`."""
    x, y, z, inverse = near.x[:n], near.y[:n], near.z[:n], near.inverse[:n]
    one = m[0]
    for t in range(n):
        one[t] = 1.0
    begin = 0
    for p in range(1, count.size):
        # Those of degree p are x times all of degree p - 1, then y and z times those of them without x.
        end = count[p - 1]
        size = end - begin
        for k in range(size):
            strips.direction_product(x, inverse, m[begin + k], m[end + k])
        for k in range(p):
            strips.direction_product(y, inverse, m[end - p + k], m[end + size + k])
        strips.direction_product(z, inverse, m[end - 1], m[end + size + p])
        begin = end


@njit_inline
def evaluate_moments(n, sets, count, near, moments):
    """Moments of all sets of a centre with `n` places."""
    m = moments.monomial
    evaluate_monomials(n, count, near, m)
    for v in range(sets.size):
        own = slice(near.segment[sets[v].element], near.segment[sets[v].element + 1])
        g, value = near.channel[sets[v].channel][own], moments.value[v]
        for a in range(0, count[sets[v].degree], 4):
            strips.four_moments(g, m[a][own], m[a + 1][own], m[a + 2][own], m[a + 3][own], value, a)
        moments.square[v] = strips.triple_product(g.size, g, g, m[0][own])


@njit_inline
def wide_values(center, wide, moments, values):
    """Add the wide functions that are products of moments to `values`."""
    for row in range(center.wide_first, center.wide_end):
        own = wide.function[row]
        first, second = moments.value[own.set1], moments.value[own.set2]
        total = strips.triple_product(wide.count[own.zeta], wide.coefficient[row], first, second)
        if own.set1 == own.set2:  # every pair came twice, and each neighbour with itself
            total = 0.5 * (total - own.same * moments.square[own.set1])
        values[own.function] += own.weight * total


@njit_inline
def moment_gradients(center, wide, moments, gradient):
    """dE/dM_a of all sets, given gradient = dE/dG."""
    for v in range(center.set_end - center.set_first):
        moments.square_gradient[v] = 0.0
        strips.clear(moments.gradient.shape[1], moments.gradient[v])
    for row in range(center.wide_first, center.wide_end):
        own, c = wide.function[row], wide.coefficient[row]
        weight, count = gradient[own.function] * own.weight, wide.count[own.zeta]
        strips.add_scaled_product(count, weight, c, moments.value[own.set2], moments.gradient[own.set1])
        if own.set1 == own.set2:
            moments.square_gradient[own.set1] -= 0.5 * weight * own.same
        else:
            strips.add_scaled_product(count, weight, c, moments.value[own.set1], moments.gradient[own.set2])


@njit_inline
def wide_gradient(center, channels, wide, near, moments, line, gradients, gradient):
    """Add the edge gradients of the wide functions, given gradient = dE/dG."""
    moment_gradients(center, wide, moments, gradient)
    for v in range(center.set_end - center.set_first):
        row = wide.set[center.set_first + v]
        own, by_u = slice(near.segment[row.element], near.segment[row.element + 1]), moments.gradient[v]
        lower = wide.count[row.degree - 1]
        for axis in range(3):  # the gradient of the polynomial, in monomials of one degree less
            raised, factor, coefficient = wide.raised[axis], wide.factor[axis], moments.polynomial[axis]
            for a in range(lower):
                coefficient[a] = factor[a] * by_u[raised[a]]
            for a in range(lower, (lower + 3) // 4 * 4):
                coefficient[a] = 0.0
        p, px, py, pz = line[0][own], line[1][own], line[2][own], line[3][own]
        evaluate_polynomial(wide.count[row.degree], by_u, moments.monomial, own, p)
        evaluate_polynomial(lower, moments.polynomial[0], moments.monomial, own, px)
        evaluate_polynomial(lower, moments.polynomial[1], moments.monomial, own, py)
        evaluate_polynomial(lower, moments.polynomial[2], moments.monomial, own, pz)
        channel = channels[row.channel]
        g, slope = near.channel[row.channel], near.slope[channel.envelope]
        strips.add_moment_edges(
            near.x[own], near.y[own], near.z[own], near.r[own], near.inverse[own], g[own], slope[own],
            channel.eta, channel.rs, 2.0 * moments.square_gradient[v],
            p, px, py, pz, gradients.alpha[own], gradients.x[own], gradients.y[own], gradients.z[own],
        )  # fmt: skip


@njit_fast
def evaluate_polynomial(count, c, monomial, own, value):
    """Sum of the first `count` monomials with coefficients `c`, which are zero up to the next multiple of four."""
    for a in range(0, count, 4):
        m0, m1, m2, m3 = monomial[a][own], monomial[a + 1][own], monomial[a + 2][own], monomial[a + 3][own]
        strips.add_four(a == 0, c[a], c[a + 1], c[a + 2], c[a + 3], m0, m1, m2, m3, value)


@njit_inline
def find_triplets(part, p, windows, near, triplets, far):
    """List the triplets of a part, the `p`th: neighbours j < k within its cutoff and, if narrow, of each other.

    The last block is filled up with triplets whose envelope is zero. `far` is a working strip.
    """
    x, y, z, r, inverse, segment = near.x, near.y, near.z, near.r, near.inverse, near.segment
    d, end, window, bundle = triplets.d, triplets.end, triplets.window, triplets.bundle
    cutoff, b1, b2, last = part.cutoff, part.element1, part.element2, segment[part.element2 + 1]
    limit = cutoff * cutoff if part.narrow else 1e29
    for t in range(segment[segment.size - 1]):
        far[t] = 0.0 if r[t] < cutoff else 1e30
    total, bundles = triplets.part_start[p], triplets.bundle_start[p]
    for j in range(segment[b1], segment[b1 + 1]):
        if far[j] > 0.0:
            continue
        start = j + 1 if b1 == b2 else segment[b2]
        while start < last:
            first = start // LANES * LANES
            lanes = keep_near(x, y, z, far, start, last, x[j], y[j], z[j], limit, d, total)
            bundle[bundles, 0], bundle[bundles, 1], bundle[bundles, 2], bundle[bundles, 3] = j, first, lanes, total
            append_all(r[j], end[0], total)
            append_all(inverse[j], end[2], total)
            append(lanes, 1.0, r, first, end[1], total)
            append(lanes, 1.0, inverse, first, end[3], total)
            for v in range(part.window_end - part.window_first):
                envelope = windows[part.window_first + v].envelope
                f, slope = near.envelope[envelope], near.slope[envelope]
                append(lanes, f[j], f, first, window[3 * v], total)
                append_all(slope[j], window[3 * v + 1], total)
                append(lanes, 1.0, slope, first, window[3 * v + 2], total)
            total += count_bits(lanes)
            bundles += lanes != 0
            start = first + LANES
    while total % BLOCK != 0:
        d[total], end[2, total], end[3, total] = 1.0, 0.0, 0.0
        for v in range(part.window_end - part.window_first):
            window[3 * v, total] = 0.0
        total += 1
    triplets.part_start[p + 1], triplets.bundle_start[p + 1] = total, bundles


@njit_inline
def evaluate_angles(part, angles, c, values, work):
    """All angles of a part and their derivatives, in turn, at the cosines `c` of a block."""
    for row in range(part.angle_first, part.angle_end):
        angle, own = angles[row], 2 * (row - part.angle_first)
        evaluate_angle(
            angle.kind, angle.a, angle.b, BLOCK, c, values[own], values[own + 1], work[0], work[1], work[2]
        )  # fmt: skip


@njit_inline
def block_values(part, start, envelopes, channels, tables, triplets, values):
    """Forward pass over the block of triplets of a part that begins at `start`; keeps what the backward pass needs."""
    kept, angle, work, own = triplets.kept[start // BLOCK], triplets.angle, triplets.work, slice(start, start + BLOCK)
    end, r_ij, r_ik = triplets.end, triplets.end[0][own], triplets.end[1][own]
    c, inverse_jk, r_jk, squares, f, f_jk = kept[0], kept[1], work[3], work[4], work[5], work[6]
    strips.geometry(part.narrow, r_ij, r_ik, end[2][own], end[3][own], triplets.d[own], c, r_jk, inverse_jk, squares)
    evaluate_angles(part, tables.angle, c, angle, work)
    channel_row = 2 + part.window_end - part.window_first
    for v in range(part.window_end - part.window_first):
        window = tables.window[part.window_first + v]
        if part.narrow:
            row = envelopes[window.envelope]
            # The size rather than BLOCK: a constant would compile the function a second time.
            evaluate_envelope(row.kind, row.low, row.high, r_jk, r_jk.size, f_jk, kept[2 + v], work[0], work[1])
        strips.envelope_product(part.narrow, triplets.window[3 * v][own], f_jk, f)
        for u in range(window.channel_first, window.channel_end):
            h, row = kept[channel_row + u - part.channel_first], tables.channel[u]
            channel = channels[row.channel]
            strips.channel(part.narrow, r_ij, r_ik, r_jk, squares, f, channel.eta, channel.rs, h)
            for m in range(row.term_first, row.term_end):
                term = tables.term[m]
                values[term.function] += term.weight * strips.dot(h, angle[2 * term.angle])


@njit_inline
def block_gradient(part, start, channels, tables, triplets, gradient):
    """Backward pass over a block of triplets, given gradient = dE/dG: the coefficients in the edge gradients."""
    kept, angle, work, own = triplets.kept[start // BLOCK], triplets.angle, triplets.work, slice(start, start + BLOCK)
    end, along = triplets.end, triplets.along
    c, inverse_jk, along_j, along_k, along_jk = kept[0], kept[1], along[0][own], along[1][own], along[2][own]
    evaluate_angles(part, tables.angle, c, angle, work)
    bend, s1, s2, s3, angular, turn = work[0], work[1], work[2], work[3], work[4], work[5]
    if not part.narrow:
        strips.clear(along_jk.size, along_jk)
    channel_row = 2 + part.window_end - part.window_first
    for v in range(part.window_end - part.window_first):
        window = tables.window[part.window_first + v]
        for u in range(window.channel_first, window.channel_end):
            h, row = kept[channel_row + u - part.channel_first], tables.channel[u]
            channel = channels[row.channel]
            for m in range(row.term_first, row.term_end):
                term = tables.term[m]
                weight, value, derivative = gradient[term.function] * term.weight, 2 * term.angle, 2 * term.angle + 1
                strips.add_term(m == row.term_first, weight, angle[value], angle[derivative], angular, turn)
            first = u == window.channel_first
            strips.add_channel(first, h, angular, turn, channel.eta, channel.eta * channel.rs, s1, s2, s3)
            strips.add_bend(u == part.channel_first, h, turn, bend)
        slope_ij, slope_ik = triplets.window[3 * v + 1][own], triplets.window[3 * v + 2][own]
        strips.add_side(v == 0, end[0][own], slope_ij, s1, s2, s3, along_j)
        strips.add_side(v == 0, end[1][own], slope_ik, s1, s2, s3, along_k)
        if part.narrow:
            strips.add_far_side(v == 0, kept[2 + v], inverse_jk, s1, s2, s3, along_jk)
    strips.finish_sides(end[2][own], end[3][own], c, bend, along_j, along_k, along_jk)


@njit_inline
def add_triplets(begin, end, near, triplets, gradients):
    """Add the edge gradients of the bundles begin .. end - 1 of triplets, whose coefficients are known.

    D_ij = along_j r_ij - m r_ik and D_ik = along_k r_ik - m r_ij with m = along_jk.
    """
    x, y, z, bundle, along, own = near.x, near.y, near.z, triplets.bundle, triplets.along, gradients.own
    b = np.uint64(begin)
    while b < end:
        j = bundle[b, 0]
        strips.clear(LANES, own[0])
        strips.clear(LANES, own[1])
        strips.clear(LANES, own[2])
        strips.clear(LANES, own[3])
        b = strips.add_bundles(
            b, end, j, bundle, along[0], along[1], along[2], x, y, z,
            gradients.x, gradients.y, gradients.z, gradients.alpha, own,
        )  # fmt: skip
        gradients.x[j] += strips.lane_total(own[0])
        gradients.y[j] += strips.lane_total(own[1])
        gradients.z[j] += strips.lane_total(own[2])
        gradients.alpha[j] += strips.lane_total(own[3])


@njit_inline
def center_values(e, n, tables, work, values):
    """All functions of a centre of element `e` with the `n` neighbours in `work`, added to `values`."""
    near, triplets, moments, line = work.near, work.triplets, work.moments, work.line
    center, radial, angular, wide = tables.center[e], tables.radial, tables.triplets, tables.wide
    envelopes = tables.envelope[center.envelope_first : center.envelope_end]
    channels = tables.channel[center.channel_first : center.channel_end]
    pairs = radial.pair[e]
    evaluate_channels(n, envelopes, channels, pairs, radial.used, near, line)
    radial_values(pairs, radial.term, near, values)
    if center.wide_end > center.wide_first:
        evaluate_moments(n, wide.set[center.set_first : center.set_end], wide.count, near, moments)
        wide_values(center, wide, moments, values)
    for p in range(center.part_end - center.part_first):
        part = angular.part[center.part_first + p]
        find_triplets(part, p, angular.window, near, triplets, line[0])
        for start in range(triplets.part_start[p], triplets.part_start[p + 1], BLOCK):
            block_values(part, start, envelopes, channels, angular, triplets, values)


@njit_inline
def center_gradient(e, n, tables, work, gradient):
    """D_ij = dE/dr_ij of the centre that `center_values` has just seen, given gradient = dE/dG, into work.gradients."""
    near, triplets, moments, line, out = work.near, work.triplets, work.moments, work.line, work.gradients
    center, radial, angular, wide = tables.center[e], tables.radial, tables.triplets, tables.wide
    channels = tables.channel[center.channel_first : center.channel_end]
    x, y, z, dx, dy, dz, alpha = near.x, near.y, near.z, out.x, out.y, out.z, out.alpha
    for t in range(n):
        alpha[t] = dx[t] = dy[t] = dz[t] = 0.0
    radial_gradient(channels, radial.pair[e], radial.term, near, alpha, gradient)
    if center.wide_end > center.wide_first:
        wide_gradient(center, channels, wide, near, moments, line, out, gradient)
    for p in range(center.part_end - center.part_first):
        for start in range(triplets.part_start[p], triplets.part_start[p + 1], BLOCK):
            block_gradient(angular.part[center.part_first + p], start, channels, angular, triplets, gradient)
        add_triplets(triplets.bundle_start[p], triplets.bundle_start[p + 1], near, triplets, out)
    for t in range(n):
        dx[t] += alpha[t] * x[t]
        dy[t] += alpha[t] * y[t]
        dz[t] += alpha[t] * z[t]
