"""Tangents of the symmetry functions of one centre, and of their gradient along its edges.

Let the neighbours move by r_ij -> r_ij + s r_ij_t. `center_tangents` gives G_t = dG/ds, and `center_gradient_tangent`,
from W = dE/dG and W_t = dW/ds, the change of the edge gradients D_ij = dE/dr_ij that `center.center_gradient` gives:
forward differentiation of that pass, line by line (R. E. Wengert, Commun. ACM 7, 463 (1964)). One such pass is a
product of the Hessian of E_i with a displacement. Names that end in _t are tangents; the formulas differentiated are
those in `center`, and the loops, strips and scratch are the same.
"""

from typing import NamedTuple

import numpy as np

from mdnnp.base.compiled.jit import njit_inline
from mdnnp.base.compiled.vectors import LANES
from mdnnp.potentials.hdnnp.functions import blocks, blocks_tangent
from mdnnp.potentials.hdnnp.functions.blocks import BLOCK
from mdnnp.potentials.hdnnp.functions.center import (
    KEPT,
    Gradients,
    Scratch,
    evaluate_angles,
    make_scratch,
)
from mdnnp.potentials.hdnnp.functions.shapes_second import evaluate_angle_curvature, evaluate_envelope_curvature
from mdnnp.potentials.hdnnp.functions.tables import Tables
from mdnnp.potentials.hdnnp.functions.wide import Moments
from mdnnp.potentials.hdnnp.functions.wide_tangent import wide_gradient_tangent, wide_tangents


class NearTangent(NamedTuple):
    """Tangents of the strips in `center.Near`, and the curvatures that they need."""

    x: np.ndarray  # (n,) r_ij_t, Å
    y: np.ndarray
    z: np.ndarray
    r: np.ndarray
    inverse: np.ndarray
    curvature: np.ndarray  # (envelopes, n) L', 1/Å^2
    channel: np.ndarray  # (channels, n) g_t


class TangentScratch(NamedTuple):
    """Working memory beside `center.Scratch`, of which `gradients` takes the tangents of D_ij."""

    near: NearTangent
    gradients: Gradients  # alpha: the coefficient of r_ij in D_ij itself; position: r_ij_t; edge: what goes with it
    moments: Moments
    kept: (
        np.ndarray
    )  # (blocks, rows, BLOCK) tangents of c and r_jk; from row KEPT on L' at r_jk of envelopes and h_t of channels
    second: np.ndarray  # (angles, BLOCK) d2P/dc2
    bottom: np.ndarray  # (20, BLOCK) accumulators


def make_tangent_scratch(n: int, tables: Tables) -> tuple[Scratch, TangentScratch]:
    """Scratch of both passes for centres with at most `n` neighbours."""
    work, other = make_scratch(n, tables), make_scratch(n, tables)
    near, triplets = other.near, other.triplets
    kept = np.zeros_like(triplets.kept)
    n_angles = triplets.angle.shape[0] // 2
    tangent = TangentScratch(
        NearTangent(near.x, near.y, near.z, near.r, near.inverse, near.slope, near.channel),
        other.gradients,
        other.moments,
        kept,
        np.zeros((n_angles, BLOCK)),
        np.zeros((20, BLOCK)),
    )
    return work, tangent


@njit_inline
def displace_edges(i, n, displacements, strain, near, tangent):
    """r_ij_t = v_j - v_i + r_ij strain at the `n` places and the dummies; displacements v (N, 3), strain (3, 3)."""
    x, y, z, inverse, who = near.x, near.y, near.z, near.inverse, near.who
    x_t, y_t, z_t, r_t, inverse_t = tangent.x, tangent.y, tangent.z, tangent.r, tangent.inverse
    for t in range(n + LANES):
        j = who[t]
        a, b, c = x[t], y[t], z[t]
        x_t[t] = displacements[j, 0] - displacements[i, 0] + a * strain[0, 0] + b * strain[1, 0] + c * strain[2, 0]
        y_t[t] = displacements[j, 1] - displacements[i, 1] + a * strain[0, 1] + b * strain[1, 1] + c * strain[2, 1]
        z_t[t] = displacements[j, 2] - displacements[i, 2] + a * strain[0, 2] + b * strain[1, 2] + c * strain[2, 2]
        r_t[t] = (a * x_t[t] + b * y_t[t] + c * z_t[t]) * inverse[t]
        inverse_t[t] = -inverse[t] * inverse[t] * r_t[t]


@njit_inline
def channel_tangents(n, envelopes, channels, pairs, used, near, tangent, line):
    """Curvatures of the envelopes and tangents of the channels of a centre at its `n` places."""
    for v in range(envelopes.size):
        row = envelopes[v]
        evaluate_envelope_curvature(
            row.kind, row.low, row.high, near.r, n + LANES, tangent.curvature[v], line[0], line[1], line[2]
        )
    for b in range(pairs.size):
        own = slice(near.segment[b], near.segment[b + 1])
        for k in range(pairs[b].used_first, pairs[b].used_end):
            channel = channels[used[k]]
            blocks_tangent.neighbor_channel(
                near.r[own], tangent.r[own], near.slope[channel.envelope][own], channel.eta, channel.rs,
                near.channel[used[k]][own], tangent.channel[used[k]][own],
            )  # fmt: skip


@njit_inline
def radial_tangents(pairs, terms, near, tangent, values_t):
    """Add the tangents of the radial functions of a centre to `values_t`."""
    for b in range(pairs.size):
        for row in range(pairs[b].term_first, pairs[b].term_end):
            term = terms[row]
            g_t = tangent.channel[term.channel]
            values_t[term.function] += term.weight * blocks.total(g_t[near.segment[b] : near.segment[b + 1]])


@njit_inline
def radial_gradient_tangent(channels, pairs, terms, near, tangent, alpha, alpha_t, gradient, gradient_t):
    """Add the coefficients of r_ij in D_ij of the radial functions, and their tangents."""
    for b in range(pairs.size):
        own = slice(near.segment[b], near.segment[b + 1])
        for row in range(pairs[b].term_first, pairs[b].term_end):
            term, channel = terms[row], channels[terms[row].channel]
            blocks_tangent.add_radial(
                gradient[term.function] * term.weight, gradient_t[term.function] * term.weight,
                near.r[own], tangent.r[own], near.inverse[own],
                near.channel[term.channel][own], tangent.channel[term.channel][own],
                near.slope[channel.envelope][own], tangent.curvature[channel.envelope][own],
                channel.eta, channel.rs, alpha[own], alpha_t[own],
            )  # fmt: skip


@njit_inline
def block_tangents(part, start, envelopes, channels, tables, near, triplets, tangent, values_t):
    """Tangents of what `center.block_values` does for a block, after it was called; keeps what the rest needs."""
    near_t, bottom, block = tangent.near, tangent.bottom, start // BLOCK
    kept, kept_t, angle = triplets.kept[block], tangent.kept[block], triplets.angle
    j, k, d = triplets.j[start : start + BLOCK], triplets.k[start : start + BLOCK], triplets.d[start : start + BLOCK]
    c, inverse_jk, c_t, far_t, work = kept[0], kept[5], kept_t[0], kept_t[1], triplets.work
    squares_t, sides_t, log_t, turned, r_jk = bottom[0], bottom[1], bottom[2], bottom[3], bottom[4]
    third = 1.0 if part.narrow else 0.0
    blocks_tangent.geometry(
        third, j, k, c, inverse_jk, near.x, near.y, near.z, near_t.x, near_t.y, near_t.z,
        near.r, near_t.r, near.inverse, c_t, far_t, squares_t, sides_t,
    )  # fmt: skip
    evaluate_angles(part, tables.angle, c, angle, work)
    for t in range(BLOCK):
        r_jk[t] = d[t] * inverse_jk[t]
    channel_row = KEPT + part.window_end - part.window_first
    for v in range(part.window_first, part.window_end):
        envelope, own_row = tables.window[v].envelope, KEPT + v - part.window_first
        if part.narrow:
            row = envelopes[envelope]
            evaluate_envelope_curvature(
                row.kind, row.low, row.high, r_jk, r_jk.size, kept_t[own_row], work[0], work[1], work[2]
            )
        blocks_tangent.envelope_product(part.narrow, j, k, near.slope[envelope], near_t.r, kept[own_row], far_t, log_t)
        for u in range(tables.window[v].channel_first, tables.window[v].channel_end):
            own, row_h = tables.channel[u], channel_row + u - part.channel_first
            h_t, channel = kept_t[row_h], channels[own.channel]
            blocks_tangent.channel(kept[row_h], log_t, squares_t, sides_t, c_t, channel.eta, channel.rs, h_t, turned)
            for m in range(own.term_first, own.term_end):
                term = tables.term[m]
                values_t[term.function] += term.weight * blocks_tangent.two_dots(
                    h_t, angle[2 * term.angle], turned, angle[2 * term.angle + 1]
                )


@njit_inline
def block_gradient_tangent(part, start, channels, tables, near, triplets, tangent, gradients, gradient, gradient_t):
    """Tangent of what `center.block_gradient` does for a block."""
    near_t, bottom, block = tangent.near, tangent.bottom, start // BLOCK
    kept, kept_t, angle, second = triplets.kept[block], tangent.kept[block], triplets.angle, tangent.second
    j, k = triplets.j[start : start + BLOCK], triplets.k[start : start + BLOCK]
    c, inverse_jk, c_t, far_t, work = kept[0], kept[5], kept_t[0], kept_t[1], triplets.work
    evaluate_angles(part, tables.angle, c, angle, work)
    for row in range(part.angle_first, part.angle_end):
        own = tables.angle[row]
        evaluate_angle_curvature(
            own.kind, own.a, own.b, BLOCK, c, second[row - part.angle_first], work[0], work[1], work[2], work[3],
            bottom[0],
        )  # fmt: skip
    p0, p1, p2, q0, q1 = bottom[0], bottom[1], bottom[2], bottom[3], bottom[4]
    s1, s2, s3, s1_t, s2_t, s3_t = bottom[5], bottom[6], bottom[7], bottom[8], bottom[9], bottom[10]
    bend, bend_t, along_j, along_k, along_jk = bottom[11], bottom[12], bottom[13], bottom[14], bottom[15]
    along_j_t, along_k_t, along_jk_t = bottom[16], bottom[17], bottom[18]
    if not part.narrow:
        blocks.clear(along_jk.size, along_jk)
        blocks.clear(along_jk_t.size, along_jk_t)
    channel_row = KEPT + part.window_end - part.window_first
    for v in range(part.window_first, part.window_end):
        window = tables.window[v]
        for u in range(window.channel_first, window.channel_end):
            row_h, own = channel_row + u - part.channel_first, tables.channel[u]
            h, h_t, channel = kept[row_h], kept_t[row_h], channels[own.channel]
            for row in range(own.term_first, own.term_end):
                term = tables.term[row]
                blocks_tangent.add_term(
                    row == own.term_first, gradient[term.function] * term.weight,
                    gradient_t[term.function] * term.weight,
                    angle[2 * term.angle], angle[2 * term.angle + 1], second[term.angle], p0, p1, p2, q0, q1,
                )  # fmt: skip
            blocks_tangent.add_channel(
                u == window.channel_first, h, h_t, c_t, p0, p1, q0, channel.eta, channel.eta * channel.rs,
                s1, s2, s3, s1_t, s2_t, s3_t,
            )  # fmt: skip
            blocks_tangent.add_bend(u == part.channel_first, h, h_t, c_t, p1, p2, q1, bend, bend_t)
        first, own_row = v == part.window_first, KEPT + v - part.window_first
        slope, curvature = near.slope[window.envelope], near_t.curvature[window.envelope]
        blocks_tangent.add_side(
            first, j, near.r, near_t.r, slope, curvature, s1, s2, s3, s1_t, s2_t, s3_t, along_j, along_j_t
        )
        blocks_tangent.add_side(
            first, k, near.r, near_t.r, slope, curvature, s1, s2, s3, s1_t, s2_t, s3_t, along_k, along_k_t
        )
        if part.narrow:
            blocks_tangent.add_far_side(
                first, kept[own_row], kept_t[own_row], far_t, inverse_jk, s1, s2, s3, s1_t, s2_t, s3_t,
                along_jk, along_jk_t,
            )  # fmt: skip
    blocks_tangent.finish_sides(
        j, k, near.inverse, near_t.r, c, c_t, bend, bend_t, along_j, along_k, along_jk,
        along_j_t, along_k_t, along_jk_t,
    )  # fmt: skip
    out = tangent.gradients
    blocks.add_edges(j, k, along_j_t, along_k_t, along_jk_t, gradients.position, gradients.edge, gradients.own)
    blocks.add_edges(j, k, along_j, along_k, along_jk, out.position, out.edge, out.own)


@njit_inline
def center_tangents(i, e, n, tables, angular, wide, work, tangent, displacements, strain, values_t):
    """Add the tangents of all functions of the centre that `center.center_values` has just seen to `values_t`."""
    near, triplets, moments, line = work.near, work.triplets, work.moments, work.line
    center, radial = tables.center[e], tables.radial
    envelopes = tables.envelope[center.envelope_first : center.envelope_end]
    channels = tables.channel[center.channel_first : center.channel_end]
    pairs = radial.pair[e]
    displace_edges(i, n, displacements, strain, near, tangent.near)
    channel_tangents(n, envelopes, channels, pairs, radial.used, near, tangent.near, line)
    radial_tangents(pairs, radial.term, near, tangent.near, values_t)
    if wide is not None:
        wide_tangents(e, n, center, wide, near, tangent.near, moments, tangent.moments, values_t)
    if angular is not None:
        for p in range(center.part_first, center.part_end):
            own = p - center.part_first
            for start in range(triplets.part_start[own], triplets.part_start[own + 1], BLOCK):
                block_tangents(angular.part[p], start, envelopes, channels, angular, near, triplets, tangent, values_t)


@njit_inline
def center_gradient_tangent(e, n, tables, angular, wide, work, tangent, gradient, gradient_t):
    """Tangents of D_ij = dE/dr_ij into work.gradients, given gradient = dE/dG and its tangent."""
    near, triplets, moments, out = work.near, work.triplets, work.moments, work.gradients
    near_t, other = tangent.near, tangent.gradients
    center, radial = tables.center[e], tables.radial
    channels = tables.channel[center.channel_first : center.channel_end]
    dx, dy, dz, alpha_t, alpha = out.x, out.y, out.z, out.alpha, other.alpha
    position, edge, velocity, edge_of_velocity = out.position, out.edge, other.position, other.edge
    for t in range(n + 1):
        alpha[t] = alpha_t[t] = dx[t] = dy[t] = dz[t] = 0.0
        position[t, 0], position[t, 1], position[t, 2], position[t, 3] = near.x[t], near.y[t], near.z[t], 0.0
        velocity[t, 0], velocity[t, 1], velocity[t, 2], velocity[t, 3] = near_t.x[t], near_t.y[t], near_t.z[t], 0.0
        for a in range(4):
            edge[t, a] = edge_of_velocity[t, a] = 0.0
    radial_gradient_tangent(channels, radial.pair[e], radial.term, near, near_t, alpha, alpha_t, gradient, gradient_t)
    if wide is not None:
        wide_gradient_tangent(e, center, channels, wide, near, moments, tangent, out, alpha, gradient, gradient_t)
    if angular is not None:
        for p in range(center.part_first, center.part_end):
            own = p - center.part_first
            for start in range(triplets.part_start[own], triplets.part_start[own + 1], BLOCK):
                block_gradient_tangent(
                    angular.part[p], start, channels, angular, near, triplets, tangent, out, gradient, gradient_t
                )
    for t in range(n):
        along_t, along = alpha_t[t] + edge[t, 3], alpha[t] + edge_of_velocity[t, 3]
        dx[t] += edge[t, 0] + edge_of_velocity[t, 0] + along_t * near.x[t] + along * near_t.x[t]
        dy[t] += edge[t, 1] + edge_of_velocity[t, 1] + along_t * near.y[t] + along * near_t.y[t]
        dz[t] += edge[t, 2] + edge_of_velocity[t, 2] + along_t * near.z[t] + along * near_t.z[t]
