"""Wide angular functions of one centre as products of moments in solid harmonics: values, then edge gradients.

With u_j = r_ij/r_ij, (1 + lambda c)^zeta = sum_p a_p P_p(c), and the addition theorem of Legendre's polynomials

    P_p(u.u') = sum_m w_pm [C_pm(u) C_pm(u') + S_pm(u) S_pm(u')]        w_pm = (2 - delta_m0) (p - m)! (p + m)!

a function is a sum of power spectra s_p of moments, whose cost grows with the number of neighbours alone:

    M_pm = sum_j g(r_ij) Y_pm(u_j)        s_p = sum_m w_pm M_pm M'_pm
    G = 2^(1-zeta) sum_p a_p s_p        like elements: G = 2^(-zeta) [sum_p a_p s_p - (1 + lambda)^zeta sum_j g^2]

Y_pm are C_pm and S_pm, the real and imaginary parts of regular solid harmonics R_pm, scaled such that their derivatives
are harmonics of one degree less (E. O. Steinborn, K. Ruedenberg, Adv. Quantum Chem. 7, 1 (1973)):

    R_mm = (x + i y)^m/(2^m m!)        (p^2 - m^2) R_pm = (2p - 1) z R_p-1,m - r^2 R_p-2,m
    d/dz R_pm = R_p-1,m        (d/dx - i d/dy) R_pm = R_p-1,m-1        (d/dx + i d/dy) R_pm = -R_p-1,m+1

Backward, dE/dM_pm of all channels are first summed at each neighbour, Q_pm = sum_v g_v dE/dM_pm,v, so that the gradient
of the harmonics is taken once. Row of C_pm: p^2 + m; of S_pm, which is for m > 0: p^2 + p + m.
"""

from typing import NamedTuple

import numpy as np

from mdnnp.base.compiled.jit import njit_fast, njit_inline
from mdnnp.base.compiled.vectors import LANES, accumulate, load, load_all, spread, store, total
from mdnnp.potentials.hdnnp.functions import blocks


class Moments(NamedTuple):
    """Moments of a centre, and what is made of them. Columns are the channels of its wide functions, v of them.

    LANES neighbours have their harmonics together, one row after the other.
    """

    harmonic: np.ndarray  # (n/LANES, rows, LANES) Y_pm(u)
    across: np.ndarray  # (n, v) g of all channels, neighbour by neighbour
    value: np.ndarray  # (elements, rows, v) M_pm
    gradient: np.ndarray  # (elements, rows, v) dE/dM_pm
    square: np.ndarray  # (elements, v) sum_j g^2
    square_gradient: np.ndarray
    spectrum: np.ndarray  # (pairs of elements, degree + 1, v) s_p
    spectrum_gradient: np.ndarray
    by_column: np.ndarray  # (pairs of elements, v, whole vectors of degrees) the same, or dE/ds_p, column by column
    radial: np.ndarray  # (v, 2, LANES) g and g' of LANES neighbours
    pulled: np.ndarray  # (rows, LANES) Q_pm


@njit_fast
def clear(numbers):
    """Make an array of whole vectors zero."""
    for place in range(0, numbers.size, LANES):
        store(numbers, place, spread(0.0))


@njit_inline
def evaluate_harmonics(n, degree, constants, near, harmonic):
    """Y_pm(u) at the `n` places."""
    climb, fall, rows = constants.climb, constants.fall, constants.weight.size
    for t in range(0, n, LANES):
        inverse, start = load(near.inverse, t), t * rows
        x, y, z = load(near.x, t) * inverse, load(near.y, t) * inverse, load(near.z, t) * inverse
        real, imaginary = spread(1.0), spread(0.0)
        for m in range(degree + 1):
            if m > 0:
                half = spread(fall[m, m])
                real, imaginary = half * (x * real - y * imaginary), half * (x * imaginary + y * real)
            c, s, c_before, s_before = real, imaginary, spread(0.0), spread(0.0)
            store(harmonic, start + (m * m + m) * LANES, c)
            if m > 0:
                store(harmonic, start + (m * m + m + m) * LANES, s)
            for p in range(m + 1, degree + 1):
                up, down = spread(climb[p, m]) * z, spread(fall[p, m])
                c, c_before = up * c - down * c_before, c
                store(harmonic, start + (p * p + m) * LANES, c)
                if m > 0:
                    s, s_before = up * s - down * s_before, s
                    store(harmonic, start + (p * p + p + m) * LANES, s)


@njit_inline
def evaluate_moments(e, n, center, wide, near, moments):
    """Moments of all sets of a centre of element `e` with `n` places."""
    evaluate_harmonics(n, center.degree, wide.harmonics, near, moments.harmonic)
    lay_across(e, wide, near, near.channel, moments.across)
    for b in range(near.count.size):
        for k in range(wide.set_of[e, b], wide.set_of[e, b + 1]):
            own = near.channel[wide.set[k].channel][near.segment[b] : near.segment[b + 1]]
            moments.square[b, wide.set[k].column] = blocks.sum_of_products(own, own)
    add_moments(e, center, wide, near, moments.harmonic, moments.across, False, moments.value)


@njit_inline
def lay_across(e, wide, near, channel, across):
    """The numbers of `channel` (channels, n) of all sets of a centre, neighbour by neighbour."""
    columns = across.shape[1]
    for b in range(near.count.size):
        begin, stop = near.segment[b], near.segment[b] + near.count[b]
        for t in range(begin * columns, stop * columns, LANES):
            store(across, t, spread(0.0))
        for k in range(wide.set_of[e, b], wide.set_of[e, b + 1]):
            own, column = channel[wide.set[k].channel], wide.set[k].column
            for t in range(begin, stop):
                across[t, column] = own[t]


@njit_inline
def add_moments(e, center, wide, near, harmonic, across, add, value):
    """Sums of `across` times `harmonic` over the neighbours of each element, instead of `value` or added to it."""
    rows, columns = value.shape[1], value.shape[2]
    for b in range(near.count.size):
        if wide.set_of[e, b] == wide.set_of[e, b + 1]:
            continue
        begin, stop = near.segment[b], near.segment[b] + near.count[b]
        for v in range(0, columns, LANES):
            for row in range(0, (center.degree + 1) * (center.degree + 1), LANES):
                to = (b * rows + row) * columns + v
                m0 = m1 = m2 = m3 = m4 = m5 = m6 = m7 = spread(0.0)
                if add:
                    m0, m1, m2, m3, m4, m5, m6, m7 = (
                        load(value, to), load(value, to + columns), load(value, to + 2 * columns),
                        load(value, to + 3 * columns), load(value, to + 4 * columns), load(value, to + 5 * columns),
                        load(value, to + 6 * columns), load(value, to + 7 * columns),
                    )  # fmt: skip
                for t in range(begin, stop):  # eight sums at a time: one for itself waits for its own additions
                    own, place = load(across, t * columns + v), ((t // LANES) * rows + row) * LANES + t % LANES
                    m0 = m0 + load_all(harmonic, place) * own
                    m1 = m1 + load_all(harmonic, place + LANES) * own
                    m2 = m2 + load_all(harmonic, place + 2 * LANES) * own
                    m3 = m3 + load_all(harmonic, place + 3 * LANES) * own
                    m4 = m4 + load_all(harmonic, place + 4 * LANES) * own
                    m5 = m5 + load_all(harmonic, place + 5 * LANES) * own
                    m6 = m6 + load_all(harmonic, place + 6 * LANES) * own
                    m7 = m7 + load_all(harmonic, place + 7 * LANES) * own
                store(value, to, m0)
                store(value, to + columns, m1)
                store(value, to + 2 * columns, m2)
                store(value, to + 3 * columns, m3)
                store(value, to + 4 * columns, m4)
                store(value, to + 5 * columns, m5)
                store(value, to + 6 * columns, m6)
                store(value, to + 7 * columns, m7)


@njit_inline
def add_spectra(center, wide, first, second, add, spectrum):
    """s_p of moments `first` of the one element and `second` of the other, instead of `spectrum` or added to it."""
    weight, rows, columns = wide.harmonics.weight, first.shape[1], first.shape[2]
    for k in range(center.block_end - center.block_first):
        block = wide.block[center.block_first + k]
        one, other = block.element1 * rows * columns, block.element2 * rows * columns
        for v in range(0, columns, LANES):
            for p in range(center.degree + 1):
                to = (k * spectrum.shape[1] + p) * columns + v
                sums = spread(0.0)
                if add:
                    sums = load(spectrum, to)
                for row in range(p * p, (p + 1) * (p + 1)):
                    place = row * columns + v
                    sums = sums + load_all(weight, row) * load(first, one + place) * load(second, other + place)
                store(spectrum, to, sums)


@njit_inline
def add_products(center, wide, spectrum, square, by_column, values):
    """Add the wide functions, which are linear in the spectra and in the sums of squares, to `values`."""
    series, degrees = wide.series, wide.series.shape[1]
    for k in range(center.block_end - center.block_first):
        for v in range(center.columns):
            for p in range(center.degree + 1):
                by_column[k, v, p] = spectrum[k, p, v]
    for row in range(center.wide_first, center.wide_end):
        own, sums = wide.function[row], spread(0.0)
        place = (own.block * by_column.shape[1] + own.column) * degrees
        for p in range(0, degrees, LANES):
            sums = sums + load(series, row * degrees + p) * load(by_column, place + p)
        # Of like elements every pair came twice, and each neighbour with itself: `same` is 0 for unlike ones.
        values[own.function] += own.weight * (total(sums) - own.same * square[own.element, own.column])


@njit_inline
def wide_values(center, wide, moments, values):
    """Add the wide functions that are products of moments to `values`."""
    add_spectra(center, wide, moments.value, moments.value, False, moments.spectrum)
    add_products(center, wide, moments.spectrum, moments.square, moments.by_column, values)


@njit_inline
def spectrum_gradients(center, wide, moments, gradient):
    """dE/ds_p and dE/d(sum g^2), given gradient = dE/dG."""
    by_spectrum, by_square, by_column = moments.spectrum_gradient, moments.square_gradient, moments.by_column
    series, degrees = wide.series, wide.series.shape[1]
    clear(by_square)
    for k in range(center.block_end - center.block_first):
        clear(by_column[k])
    for row in range(center.wide_first, center.wide_end):
        own = wide.function[row]
        weight = gradient[own.function] * own.weight
        by_square[own.element, own.column] -= weight * own.same
        place, scale = (own.block * by_column.shape[1] + own.column) * degrees, spread(weight)
        for p in range(0, degrees, LANES):
            accumulate(by_column, place + p, scale * load(series, row * degrees + p))
    for k in range(center.block_end - center.block_first):
        for v in range(center.columns):
            for p in range(center.degree + 1):
                by_spectrum[k, p, v] = by_column[k, v, p]


@njit_inline
def add_moment_gradients(center, wide, value, by_spectrum, by_value):
    """Add dE/dM_pm from moments `value` and dE/ds_p."""
    weight, rows, columns = wide.harmonics.weight, wide.harmonics.weight.size, value.shape[2]
    for k in range(center.block_end - center.block_first):
        block = wide.block[center.block_first + k]
        one, other = block.element1 * rows * columns, block.element2 * rows * columns
        twice = spread(2.0 if block.element1 == block.element2 else 1.0)
        for v in range(0, columns, LANES):
            for p in range(center.degree + 1):
                scale = twice * load(by_spectrum, (k * by_spectrum.shape[1] + p) * columns + v)
                for row in range(p * p, (p + 1) * (p + 1)):
                    place, own = row * columns + v, load_all(weight, row) * scale
                    to, of = one + place, other + place
                    accumulate(by_value, to, own * load(value, of))
                    if block.element1 != block.element2:
                        accumulate(by_value, of, own * load(value, to))


@njit_inline
def radial_strip(t, first, end, sets, channels, near, radial):
    """g and g' at the LANES places from `t` on, of the columns that the sets first .. end - 1 span."""
    n, r, column = near.channel.shape[1], load(near.r, t), sets[first].column
    for k in range(first, end):
        channel = channels[sets[k].channel]
        while column <= sets[k].column:  # 0 for columns between, which are of other elements
            store(radial, 2 * column * LANES, spread(0.0))
            store(radial, (2 * column + 1) * LANES, spread(0.0))
            column += 1
        g, slope = load(near.channel, sets[k].channel * n + t), load(near.slope, channel.envelope * n + t)
        to = 2 * sets[k].column * LANES
        store(radial, to, g)
        store(radial, to + LANES, g * (slope - spread(2.0 * channel.eta) * (r - spread(channel.rs))))


@njit_inline
def pull(b, low, high, used, by_value, radial, start, harmonic, pulled):
    """Q_pm at LANES neighbours of element `b` from columns low .. high - 1, into `pulled`.

    Returns sum_pm Q'_pm Y_pm, where Q' has g' in place of g.
    """
    columns, along, more = by_value.shape[2], spread(0.0), spread(0.0)
    place = b * by_value.shape[1] * columns
    for row in range(0, used, 4):
        q0 = q1 = q2 = q3 = s0 = s1 = s2 = s3 = spread(0.0)
        for v in range(low, high):
            g, slope, by = load(radial, 2 * v * LANES), load(radial, (2 * v + 1) * LANES), place + v
            d0, d1 = load_all(by_value, by), load_all(by_value, by + columns)
            d2, d3 = load_all(by_value, by + 2 * columns), load_all(by_value, by + 3 * columns)
            q0, q1, q2, q3 = q0 + d0 * g, q1 + d1 * g, q2 + d2 * g, q3 + d3 * g
            s0, s1, s2, s3 = s0 + d0 * slope, s1 + d1 * slope, s2 + d2 * slope, s3 + d3 * slope
        to, of = row * LANES, start + row * LANES
        store(pulled, to, q0)
        store(pulled, to + LANES, q1)
        store(pulled, to + 2 * LANES, q2)
        store(pulled, to + 3 * LANES, q3)
        along = along + s0 * load(harmonic, of) + s1 * load(harmonic, of + LANES)
        more = more + s2 * load(harmonic, of + 2 * LANES) + s3 * load(harmonic, of + 3 * LANES)
        place += 4 * columns
    return along + more


@njit_inline
def turn(degree, q, start, harmonic):
    """The components of sum_pm Q_pm dY_pm/du at LANES neighbours, in twice their size for x and y."""
    x = y = z = spread(0.0)
    for p in range(1, degree + 1):
        up, low = p * p * LANES, start + (p - 1) * (p - 1) * LANES
        s_up, s_low = up + p * LANES, low + (p - 1) * LANES
        c = load(harmonic, low)
        z = z + load(q, up) * c
        x = x + load(q, up + LANES) * c
        y = y + load(q, s_up + LANES) * c
        for m in range(LANES, p * LANES, LANES):
            c, s = load(harmonic, low + m), load(harmonic, s_low + m)
            c_after, s_after, c_before, s_before = (
                load(q, up + m + LANES), load(q, s_up + m + LANES), load(q, up + m - LANES), spread(0.0),
            )  # fmt: skip
            if m > LANES:
                s_before = load(q, s_up + m - LANES)
            else:
                c_before = c_before + c_before
            z = z + load(q, up + m) * c + load(q, s_up + m) * s
            x = x + (c_after - c_before) * c + (s_after - s_before) * s
            y = y + (s_before + s_after) * c - (c_before + c_after) * s
    return x, y, z


@njit_inline
def wide_gradient(e, center, channels, wide, near, moments, gradients, gradient):
    """Add the edge gradients of the wide functions, given gradient = dE/dG."""
    by_value, harmonic, rows = moments.gradient, moments.harmonic, wide.harmonics.weight.size
    used = (center.degree + 1) * (center.degree + 1)
    spectrum_gradients(center, wide, moments, gradient)
    clear(by_value)
    add_moment_gradients(center, wide, moments.value, moments.spectrum_gradient, by_value)
    for b in range(near.count.size):
        first, end = wide.set_of[e, b], wide.set_of[e, b + 1]
        if first == end:
            continue
        low, high = wide.set[first].column, wide.set[end - 1].column + 1
        for t in range(near.segment[b], near.segment[b + 1], LANES):
            radial_strip(t, first, end, wide.set, channels, near, moments.radial)
            along = pull(b, low, high, used, by_value, moments.radial, t * rows, harmonic, moments.pulled)
            for v in range(low, high):
                square = spread(2.0 * moments.square_gradient[b, v])
                along = along + square * load(moments.radial, 2 * v * LANES) * load(moments.radial, (2 * v + 1) * LANES)
            x, y, z = turn(center.degree, moments.pulled, t * rows, harmonic)
            inverse, half = load(near.inverse, t), spread(0.5)
            x, y, z = half * x * inverse, half * y * inverse, z * inverse
            around = (x * load(near.x, t) + y * load(near.y, t) + z * load(near.z, t)) * inverse
            accumulate(gradients.alpha, t, (along - around) * inverse)
            accumulate(gradients.x, t, x)
            accumulate(gradients.y, t, y)
            accumulate(gradients.z, t, z)
