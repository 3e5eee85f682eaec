"""Kernels for the symmetry functions of one centre: values, then the gradient along the centre's edges.

For a triplet (i; j, k) and channel q with value g_q(r), logarithmic derivative l_q(r) = g_q'/g_q and angle P_a(c),
c = cos(theta), a function is G_s = sum_triplets w_s h_q P_a with h_q = g_q(r_ij) g_q(r_ik) [g_q(r_jk)]. Given the
weights W_s = dE/dG_s w_s, per triplet

    X_q = h_q sum_{s in q} W_s P_a        B = sum_s W_s h_q dP_a/dc
    dE/dr_ij at fixed c, r_ik, r_jk = sum_q X_q l_q(r_ij)        (likewise for r_ik and r_jk)
    l_q(r) = L(r) - 2 eta (r - rs)        L = f'/f of the envelope, shared by all its channels

so that one pass over the triplets gives the gradient of the energy whatever the number of functions; dG/dr is never
formed. Wide functions with integer zeta are products of moments instead (see `wide`). Using
c = (r_ij^2 + r_ik^2 - r_jk^2)/(2 r_ij r_ik), everything is a derivative by the three sides:

    a_j = dE/dr_ij + B (1/r_ik - c/r_ij)     a_k likewise     m = (dE/dr_jk)/r_jk - B/(r_ij r_ik)
    D_ij = (a_j/r_ij + m) r_ij - m r_ik       D_ik = (a_k/r_ik + m) r_ik - m r_ij

Loops run over strips of neighbours or triplets in contiguous arrays, with the tables outside: they vectorise.
"""

import math
from typing import NamedTuple

import numpy as np

from mdnnp.base.compiled.jit import njit_inline
from mdnnp.base.compiled.vectors import LANES, keep_near
from mdnnp.potentials.hdnnp.functions import blocks
from mdnnp.potentials.hdnnp.functions.blocks import BLOCK
from mdnnp.potentials.hdnnp.functions.shapes import evaluate_angle, evaluate_envelope
from mdnnp.potentials.hdnnp.functions.tables import Tables
from mdnnp.potentials.hdnnp.functions.wide import Moments, evaluate_moments, wide_gradient, wide_values


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
    # (n_elements,) how many are neighbours
    count: np.ndarray  # type: ignore[assignment]  # it hides tuple.count, which nothing here uses
    envelope: np.ndarray  # (envelopes, n) f
    slope: np.ndarray  # (envelopes, n) f'/f
    channel: np.ndarray  # (channels, n) g


class Gradients(NamedTuple):
    """D_ij = dE/dr_ij at the neighbours; in the making, also what triplets add to it and the coefficient of r_ij."""

    x: np.ndarray  # (n,) D_ij
    y: np.ndarray
    z: np.ndarray
    alpha: np.ndarray  # (n,) coefficient of r_ij in D_ij
    position: np.ndarray  # (n, 4) r_ij and 0
    edge: np.ndarray  # (n, 4) D_ij = edge[:3] + edge[3] r_ij of the triplets
    own: np.ndarray  # (1, 4) a row of `edge` in the making


class Triplets(NamedTuple):
    """Triplets of a centre in blocks of BLOCK, part by part; real numbers may be of single precision but in `along`."""

    part_start: np.ndarray  # (parts + 1,) triplets of a part are part_start[p] .. part_start[p + 1] - 1
    j: np.ndarray  # places of j and k of a triplet in the strip of neighbours, and r_jk^2
    k: np.ndarray
    d: np.ndarray
    end: np.ndarray  # (2 + 2 envelopes, n) of each neighbour r, 1/r, then f and f'/f of each envelope
    kept: np.ndarray  # (blocks, rows, BLOCK) what the forward pass keeps for the backward pass
    angle: np.ndarray  # (2 angles, BLOCK) P and dP/dc, computed again in the backward pass: cheaper than keeping them
    work: np.ndarray  # (9, BLOCK) short-lived strips
    along: np.ndarray  # (3, BLOCK) coefficients in the edge gradients, see `blocks.finish_sides`


# What a block keeps: c, the sides r_ij and r_ik, the inverses of all three; then L(r_jk) of its envelopes and h of its
# channels.
KEPT = 6


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
    n_envelopes, n_channels, n_parts, n_blocks = (
        _most(center, name) for name in ("envelope", "channel", "part", "block")
    )  # fmt: skip
    n_rows, n_degrees, n_columns = (
        tables.wide.harmonics.weight.size, len(tables.wide.harmonics.climb), tables.wide.columns,
    )  # fmt: skip
    # Every pair of neighbours may count twice, narrow and wide; memory that is never touched costs nothing.
    triplets = n * n + n_parts * BLOCK
    rows = KEPT + _most(part, "window") + _most(part, "channel")
    n += (n_elements + 1) * LANES
    return Scratch(
        Near(
            _aligned(n),
            _aligned(n),
            _aligned(n),
            _aligned(n),
            _aligned(n),
            np.zeros(n, np.uint32),
            np.zeros(n_elements + 1, np.int64),
            np.zeros(n_elements, np.int64),
            _aligned(n_envelopes, n),
            _aligned(n_envelopes, n),
            _aligned(n_channels, n),
        ),
        Gradients(_aligned(n), _aligned(n), _aligned(n), _aligned(n), _aligned(n, 4), _aligned(n, 4), _aligned(1, 4)),
        Triplets(
            np.zeros(n_parts + 1, np.int64),
            np.zeros(triplets + LANES, np.uint32),
            np.zeros(triplets + LANES, np.uint32),
            _aligned(triplets + LANES, dtype=real),
            _aligned(2 + 2 * n_envelopes, n, dtype=real),
            _aligned(triplets // BLOCK + n_parts, rows, BLOCK, dtype=real),
            _aligned(2 * _most(part, "angle"), BLOCK, dtype=real),
            _aligned(9, BLOCK, dtype=real),
            _aligned(3, BLOCK),
        ),
        Moments(
            _aligned(n // LANES + 1, n_rows, LANES),
            _aligned(n, n_columns),
            _aligned(n_elements, n_rows, n_columns),
            _aligned(n_elements, n_rows, n_columns),
            _aligned(n_elements, n_columns),
            _aligned(n_elements, n_columns),
            _aligned(n_blocks, n_degrees, n_columns),
            _aligned(n_blocks, n_degrees, n_columns),
            _aligned(n_blocks, n_columns, tables.wide.series.shape[1]),
            _aligned(n_columns, 2, LANES),
            _aligned(n_rows, LANES),
        ),
        _aligned(4, n),
    )


def _most(owners: np.ndarray, name: str) -> int:
    """The largest number of rows called `name` that belong to one of the owners, at least 1."""
    return int(max((owners[f"{name}_end"] - owners[f"{name}_first"]).max(initial=1), 1))


def _aligned(*shape: int, dtype: type = np.float64) -> np.ndarray:
    """Zeros that begin at a cache line, as does each row of more than four columns, made longer for it if need be.

    Vectors that straddle lines take twice the time. Zeros, as loops go over whole vectors: what fills up a row must be
    finite.
    """
    *rows, columns = shape
    size = np.dtype(dtype).itemsize
    line = 64 // size
    columns = columns if rows and columns <= 4 else -(-columns // line) * line
    count = math.prod(rows) * columns
    memory: np.ndarray = np.zeros(count + line, dtype)
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
            blocks.neighbor_channel(r[own], envelope[channel.envelope][own], channel.eta, channel.rs, g[used[k]][own])


@njit_inline
def radial_values(pairs, terms, near, values):
    """Add the radial functions of a centre to `values`."""
    for b in range(pairs.size):
        for row in range(pairs[b].term_first, pairs[b].term_end):
            term = terms[row]
            g = near.channel[term.channel]
            values[term.function] += term.weight * blocks.total(g[near.segment[b] : near.segment[b + 1]])


@njit_inline
def radial_gradient(channels, pairs, terms, near, alpha, gradient):
    """Add dE/dr_ij / r_ij of the radial functions, given gradient = dE/dG, to the coefficients of r_ij."""
    for b in range(pairs.size):
        own = slice(near.segment[b], near.segment[b + 1])
        for row in range(pairs[b].term_first, pairs[b].term_end):
            term, channel = terms[row], channels[terms[row].channel]
            g, slope = near.channel[term.channel], near.slope[channel.envelope]
            blocks.add_radial(
                gradient[term.function] * term.weight, near.r[own], near.inverse[own], g[own], slope[own],
                channel.eta, channel.rs, alpha[own],
            )  # fmt: skip


@njit_inline
def find_triplets(part, n, total, near, triplets, far):
    """Append the triplets of a part: neighbours j < k within the part's cutoff and, if narrow, of each other.

    Writes the places of j and k in the strip of `n` neighbours and r_jk^2 from `total` on, a multiple of BLOCK.
    Returns the new total. `far` is a working strip.
    """
    x, y, z, r, segment = near.x, near.y, near.z, near.r, near.segment
    tri_j, tri_k, tri_d = triplets.j, triplets.k, triplets.d
    cutoff, b1, b2, end = part.cutoff, part.element1, part.element2, segment[part.element2 + 1]
    limit = cutoff * cutoff if part.narrow else 1e29
    for t in range(n):
        far[t] = 0.0 if r[t] < cutoff else 1e30
    for j in range(segment[b1], segment[b1 + 1]):
        if far[j] > 0.0:
            continue
        start = j + 1 if b1 == b2 else segment[b2]
        while start < end:
            total += keep_near(x, y, z, far, start, end, x[j], y[j], z[j], limit, j, tri_d, tri_j, tri_k, total)
            start = (start // LANES + 1) * LANES
    full = (total + BLOCK - 1) // BLOCK * BLOCK
    while total < full:
        tri_j[total], tri_k[total], tri_d[total] = n, n, 1.0
        total += 1
    return total


@njit_inline
def copy_ends(n, n_envelopes, near, end):
    """Copy what triplets need of the `n` neighbours and the dummies behind them, in the precision of triplets."""
    n += LANES
    blocks.copy(n, near.r, end[0])
    blocks.copy(n, near.inverse, end[1])
    for v in range(n_envelopes):
        blocks.copy(n, near.envelope[v], end[2 + 2 * v])
        blocks.copy(n, near.slope[v], end[3 + 2 * v])


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
    kept, angle, work, end = triplets.kept[start // BLOCK], triplets.angle, triplets.work, triplets.end
    j, k, d = triplets.j[start : start + BLOCK], triplets.k[start : start + BLOCK], triplets.d[start : start + BLOCK]
    c, r_ij, r_ik, inverse_ij, inverse_ik, inverse_jk = kept[0], kept[1], kept[2], kept[3], kept[4], kept[5]
    r_jk, squares, f, f_jk = work[3], work[4], work[5], work[6]
    blocks.geometry(
        part.narrow, j, k, d, end[0], end[1], c, r_ij, r_ik, r_jk, inverse_ij, inverse_ik, inverse_jk, squares
    )  # fmt: skip
    evaluate_angles(part, tables.angle, c, angle, work)
    channel_row = KEPT + part.window_end - part.window_first
    for v in range(part.window_first, part.window_end):
        window = tables.window[v]
        if part.narrow:
            row, slope_jk = envelopes[window.envelope], kept[KEPT + v - part.window_first]
            # The size rather than BLOCK: a constant would compile the function a second time.
            evaluate_envelope(row.kind, row.low, row.high, r_jk, r_jk.size, f_jk, slope_jk, work[0], work[1])
        blocks.envelope_product(part.narrow, j, k, end[2 + 2 * window.envelope], f_jk, f)
        for u in range(window.channel_first, window.channel_end):
            h, row = kept[channel_row + u - part.channel_first], tables.channel[u]
            channel = channels[row.channel]
            blocks.channel(part.narrow, r_ij, r_ik, r_jk, squares, f, channel.eta, channel.rs, h)
            for m in range(row.term_first, row.term_end):
                term = tables.term[m]
                values[term.function] += term.weight * blocks.dot(h, angle[2 * term.angle])


@njit_inline
def block_gradient(part, start, channels, tables, triplets, gradients, gradient):
    """Backward pass over a block of triplets, given gradient = dE/dG: adds to the edge gradients."""
    kept, angle, work, along = triplets.kept[start // BLOCK], triplets.angle, triplets.work, triplets.along
    j, k = triplets.j[start : start + BLOCK], triplets.k[start : start + BLOCK]
    end, c, r_ij, r_ik, inverse_ij, inverse_ik, inverse_jk = (
        triplets.end,
        kept[0],
        kept[1],
        kept[2],
        kept[3],
        kept[4],
        kept[5],
    )
    evaluate_angles(part, tables.angle, c, angle, work)
    bend, along_j, along_k, along_jk = work[0], work[1], work[2], work[3]
    s1, s2, s3, angular, turn = work[4], work[5], work[6], work[7], work[8]
    if not part.narrow:
        blocks.clear(along_jk.size, along_jk)
    channel_row = KEPT + part.window_end - part.window_first
    for v in range(part.window_first, part.window_end):
        window = tables.window[v]
        for u in range(window.channel_first, window.channel_end):
            h, row = kept[channel_row + u - part.channel_first], tables.channel[u]
            channel = channels[row.channel]
            for m in range(row.term_first, row.term_end):
                term = tables.term[m]
                weight, value, derivative = gradient[term.function] * term.weight, 2 * term.angle, 2 * term.angle + 1
                blocks.add_term(m == row.term_first, weight, angle[value], angle[derivative], angular, turn)
            first = u == window.channel_first
            blocks.add_channel(first, h, angular, turn, channel.eta, channel.eta * channel.rs, s1, s2, s3)
            blocks.add_bend(u == part.channel_first, h, turn, bend)
        first = v == part.window_first
        blocks.add_sides(first, j, k, r_ij, r_ik, end[3 + 2 * window.envelope], s1, s2, s3, along_j, along_k)
        if part.narrow:
            slope_jk = kept[KEPT + v - part.window_first]
            blocks.add_far_side(first, slope_jk, inverse_jk, s1, s2, s3, along_jk)
    blocks.finish_sides(inverse_ij, inverse_ik, c, bend, along_j, along_k, along_jk, along[0], along[1], along[2])
    blocks.add_edges(j, k, along[0], along[1], along[2], gradients.position, gradients.edge, gradients.own)


@njit_inline
def center_values(e, n, tables, angular, wide, work, values):
    """All functions of a centre of element `e` with the `n` neighbours in `work`, added to `values`.

    angular, wide : tables.triplets and tables.wide, None if they are empty (`tables.needed`): what is for them is then
        not compiled
    """
    near, triplets, moments, line = work.near, work.triplets, work.moments, work.line
    center, radial = tables.center[e], tables.radial
    envelopes = tables.envelope[center.envelope_first : center.envelope_end]
    channels = tables.channel[center.channel_first : center.channel_end]
    pairs = radial.pair[e]
    evaluate_channels(n, envelopes, channels, pairs, radial.used, near, line)
    radial_values(pairs, radial.term, near, values)
    if wide is not None:
        evaluate_moments(e, n, center, wide, near, moments)
        wide_values(center, wide, moments, values)
    if angular is not None:
        copy_ends(n, envelopes.size, near, triplets.end)
        total = np.int64(0)  # int64 from the start: a literal 0 would compile everything below twice
        for p in range(center.part_first, center.part_end):
            part, begin = angular.part[p], total
            total = find_triplets(part, n, begin, near, triplets, line[0])
            triplets.part_start[p - center.part_first], triplets.part_start[p - center.part_first + 1] = begin, total
            for start in range(begin, total, BLOCK):
                block_values(part, start, envelopes, channels, angular, triplets, values)


@njit_inline
def center_gradient(e, n, tables, angular, wide, work, gradient):
    """D_ij = dE/dr_ij of the centre that `center_values` has just seen, given gradient = dE/dG, into work.gradients."""
    near, triplets, moments, out = work.near, work.triplets, work.moments, work.gradients
    center, radial = tables.center[e], tables.radial
    channels = tables.channel[center.channel_first : center.channel_end]
    x, y, z, dx, dy, dz, alpha, position, edge = (
        near.x, near.y, near.z, out.x, out.y, out.z, out.alpha, out.position, out.edge,
    )  # fmt: skip
    for t in range(n + 1):
        alpha[t] = dx[t] = dy[t] = dz[t] = 0.0
        position[t, 0], position[t, 1], position[t, 2], position[t, 3] = x[t], y[t], z[t], 0.0
        edge[t, 0] = edge[t, 1] = edge[t, 2] = edge[t, 3] = 0.0
    radial_gradient(channels, radial.pair[e], radial.term, near, alpha, gradient)
    if wide is not None:
        wide_gradient(e, center, channels, wide, near, moments, out, gradient)
    if angular is not None:
        for p in range(center.part_first, center.part_end):
            own = p - center.part_first
            for start in range(triplets.part_start[own], triplets.part_start[own + 1], BLOCK):
                block_gradient(angular.part[p], start, channels, angular, triplets, out, gradient)
    for t in range(n):
        along = alpha[t] + edge[t, 3]
        dx[t] += edge[t, 0] + along * x[t]
        dy[t] += edge[t, 1] + along * y[t]
        dz[t] += edge[t, 2] + along * z[t]
