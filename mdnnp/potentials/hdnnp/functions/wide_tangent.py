"""Tangents of the moments of `wide`, of their products and of the edge gradients; see `center_tangent`.

Most steps of `wide` are linear in each of their arguments: their tangents are the same functions of other arguments.
"""

from mdnnp.base.compiled.jit import njit_inline
from mdnnp.base.compiled.vectors import LANES, accumulate, load, load_all, spread, store
from mdnnp.potentials.hdnnp.functions import blocks
from mdnnp.potentials.hdnnp.functions.wide import (
    add_moment_gradients,
    add_moments,
    add_products,
    add_spectra,
    clear,
    lay_across,
    radial_strip,
    spectrum_gradients,
    turn,
)


@njit_inline
def harmonic_tangents(n, degree, constants, near, tangent, harmonic_t):
    """Tangents of Y_pm(u) at the `n` places, by the recurrences of `wide.evaluate_harmonics`."""
    climb, fall, rows = constants.climb, constants.fall, constants.weight.size
    for t in range(0, n, LANES):
        inverse, inverse_t, start = load(near.inverse, t), load(tangent.inverse, t), t * rows
        x, y, z = load(near.x, t), load(near.y, t), load(near.z, t)
        x_t, y_t, z_t = (
            load(tangent.x, t) * inverse + x * inverse_t, load(tangent.y, t) * inverse + y * inverse_t,
            load(tangent.z, t) * inverse + z * inverse_t,
        )  # fmt: skip
        x, y, z = x * inverse, y * inverse, z * inverse
        real, imaginary, real_t, imaginary_t = spread(1.0), spread(0.0), spread(0.0), spread(0.0)
        for m in range(degree + 1):
            if m > 0:
                half = spread(fall[m, m])
                real_t, imaginary_t = (
                    half * (x_t * real + x * real_t - y_t * imaginary - y * imaginary_t),
                    half * (x_t * imaginary + x * imaginary_t + y_t * real + y * real_t),
                )  # fmt: skip
                real, imaginary = half * (x * real - y * imaginary), half * (x * imaginary + y * real)
            c, s, c_before, s_before = real, imaginary, spread(0.0), spread(0.0)
            c_t, s_t, c_before_t, s_before_t = real_t, imaginary_t, spread(0.0), spread(0.0)
            store(harmonic_t, start + (m * m + m) * LANES, c_t)
            if m > 0:
                store(harmonic_t, start + (m * m + m + m) * LANES, s_t)
            for p in range(m + 1, degree + 1):
                factor, down = spread(climb[p, m]), spread(fall[p, m])
                up, up_t = factor * z, factor * z_t
                c_t, c_before_t = up_t * c + up * c_t - down * c_before_t, c_t
                c, c_before = up * c - down * c_before, c
                store(harmonic_t, start + (p * p + m) * LANES, c_t)
                if m > 0:
                    s_t, s_before_t = up_t * s + up * s_t - down * s_before_t, s_t
                    s, s_before = up * s - down * s_before, s
                    store(harmonic_t, start + (p * p + p + m) * LANES, s_t)


@njit_inline
def wide_tangents(e, n, center, wide, near, near_t, moments, moments_t, values_t):
    """Add the tangents of the wide functions that are products of moments to `values_t`."""
    value, value_t, spectrum_t = moments.value, moments_t.value, moments_t.spectrum
    harmonic_tangents(n, center.degree, wide.harmonics, near, near_t, moments_t.harmonic)
    lay_across(e, wide, near, near_t.channel, moments_t.across)
    for b in range(near.count.size):
        for k in range(wide.set_of[e, b], wide.set_of[e, b + 1]):
            own, channel = slice(near.segment[b], near.segment[b + 1]), wide.set[k].channel
            squares_t = blocks.sum_of_products(near.channel[channel][own], near_t.channel[channel][own])
            moments_t.square[b, wide.set[k].column] = 2.0 * squares_t
    add_moments(e, center, wide, near, moments.harmonic, moments_t.across, False, value_t)
    add_moments(e, center, wide, near, moments_t.harmonic, moments.across, True, value_t)
    add_spectra(center, wide, value_t, value, False, spectrum_t)
    add_spectra(center, wide, value, value_t, True, spectrum_t)
    add_products(center, wide, spectrum_t, moments_t.square, moments_t.by_column, values_t)


@njit_inline
def radial_strip_tangent(t, first, end, sets, channels, near, tangent, radial_t):
    """Tangents of `wide.radial_strip`."""
    n, r, r_t = near.channel.shape[1], load(near.r, t), load(tangent.r, t)
    column = sets[first].column
    for k in range(first, end):
        channel, place = channels[sets[k].channel], sets[k].channel * n + t
        while column <= sets[k].column:
            store(radial_t, 2 * column * LANES, spread(0.0))
            store(radial_t, (2 * column + 1) * LANES, spread(0.0))
            column += 1
        two_eta, envelope = spread(2.0 * channel.eta), channel.envelope * n + t
        slope = load(near.slope, envelope) - two_eta * (r - spread(channel.rs))
        slope_t = (load(tangent.curvature, envelope) - two_eta) * r_t
        g_t, to = load(tangent.channel, place), 2 * sets[k].column * LANES
        store(radial_t, to, g_t)
        store(radial_t, to + LANES, g_t * slope + load(near.channel, place) * slope_t)


@njit_inline
def pull_tangent(b, low, high, used, moments, moments_t, start):
    """As `wide.pull`, and its tangents into `moments_t.pulled`; returns the sum and its tangent."""
    by, by_t, radial, radial_t, harmonic, harmonic_t, pulled, pulled_t = (
        moments.gradient, moments_t.gradient, moments.radial, moments_t.radial, moments.harmonic, moments_t.harmonic,
        moments.pulled, moments_t.pulled,
    )  # fmt: skip
    columns, along, along_t = by.shape[2], spread(0.0), spread(0.0)
    place = b * by.shape[1] * columns
    for row in range(0, used, 2):
        q0 = q1 = s0 = s1 = q0_t = q1_t = s0_t = s1_t = spread(0.0)
        for v in range(low, high):
            of = 2 * v * LANES
            g, slope, g_t, slope_t = (
                load(radial, of), load(radial, of + LANES), load(radial_t, of), load(radial_t, of + LANES),
            )  # fmt: skip
            d0, d1 = load_all(by, place + v), load_all(by, place + v + columns)
            d0_t, d1_t = load_all(by_t, place + v), load_all(by_t, place + v + columns)
            q0, q1, s0, s1 = q0 + d0 * g, q1 + d1 * g, s0 + d0 * slope, s1 + d1 * slope
            q0_t, q1_t = q0_t + d0_t * g + d0 * g_t, q1_t + d1_t * g + d1 * g_t
            s0_t, s1_t = s0_t + d0_t * slope + d0 * slope_t, s1_t + d1_t * slope + d1 * slope_t
        to, of = row * LANES, start + row * LANES
        store(pulled, to, q0)
        store(pulled, to + LANES, q1)
        store(pulled_t, to, q0_t)
        store(pulled_t, to + LANES, q1_t)
        y0, y1 = load(harmonic, of), load(harmonic, of + LANES)
        along = along + s0 * y0 + s1 * y1
        along_t = along_t + s0_t * y0 + s1_t * y1
        along_t = along_t + s0 * load(harmonic_t, of) + s1 * load(harmonic_t, of + LANES)
        place += 2 * columns
    return along, along_t


@njit_inline
def wide_gradient_tangent(e, center, channels, wide, near, moments, tangent, out, alpha, gradient, gradient_t):
    """Add the tangents of the edge gradients of the wide functions; to `alpha` the coefficient of r_ij itself."""
    near_t, moments_t, rows = tangent.near, tangent.moments, wide.harmonics.weight.size
    used = (center.degree + 1) * (center.degree + 1)
    spectrum_gradients(center, wide, moments, gradient)
    spectrum_gradients(center, wide, moments_t, gradient_t)
    clear(moments.gradient)
    clear(moments_t.gradient)
    add_moment_gradients(center, wide, moments.value, moments.spectrum_gradient, moments.gradient)
    add_moment_gradients(center, wide, moments_t.value, moments.spectrum_gradient, moments_t.gradient)
    add_moment_gradients(center, wide, moments.value, moments_t.spectrum_gradient, moments_t.gradient)
    for b in range(near.count.size):
        first, end = wide.set_of[e, b], wide.set_of[e, b + 1]
        if first == end:
            continue
        low, high = wide.set[first].column, wide.set[end - 1].column + 1
        for t in range(near.segment[b], near.segment[b + 1], LANES):
            start, half = t * rows, spread(0.5)
            radial_strip(t, first, end, wide.set, channels, near, moments.radial)
            radial_strip_tangent(t, first, end, wide.set, channels, near, near_t, moments_t.radial)
            along, along_t = pull_tangent(b, low, high, used, moments, moments_t, start)
            for v in range(low, high):
                of = 2 * v * LANES
                square = spread(2.0 * moments.square_gradient[b, v])
                square_t = spread(2.0 * moments_t.square_gradient[b, v])
                g, slope, g_t, slope_t = (
                    load(moments.radial, of), load(moments.radial, of + LANES),
                    load(moments_t.radial, of), load(moments_t.radial, of + LANES),
                )  # fmt: skip
                along = along + square * g * slope
                along_t = along_t + square_t * g * slope + square * (g_t * slope + g * slope_t)
            px, py, pz = turn(center.degree, moments.pulled, start, moments.harmonic)
            ax, ay, az = turn(center.degree, moments_t.pulled, start, moments.harmonic)
            bx, by, bz = turn(center.degree, moments.pulled, start, moments_t.harmonic)
            px, py, px_t, py_t, pz_t = half * px, half * py, half * (ax + bx), half * (ay + by), az + bz
            inverse, inverse_t = load(near.inverse, t), load(near_t.inverse, t)
            px_t, py_t, pz_t = (
                px_t * inverse + px * inverse_t, py_t * inverse + py * inverse_t, pz_t * inverse + pz * inverse_t,
            )  # fmt: skip
            px, py, pz = px * inverse, py * inverse, pz * inverse
            x, y, z = load(near.x, t), load(near.y, t), load(near.z, t)
            product = px * x + py * y + pz * z
            product_t = px_t * x + py_t * y + pz_t * z
            product_t = product_t + px * load(near_t.x, t) + py * load(near_t.y, t) + pz * load(near_t.z, t)
            rest, rest_t = along - product * inverse, along_t - product_t * inverse - product * inverse_t
            accumulate(alpha, t, rest * inverse)
            accumulate(out.alpha, t, rest_t * inverse + rest * inverse_t)
            accumulate(out.x, t, px_t)
            accumulate(out.y, t, py_t)
            accumulate(out.z, t, pz_t)
