"""Radial envelopes and angles of symmetry functions, a strip at a time.

Polynomials are written in powers of y = 1 - x, x the reduced distance, so that they keep their relative accuracy where
they go to zero. Formulas: A. Singraber, J. Behler, C. Dellago, J. Chem. Theory Comput. 15, 1827 (2019); compact cores:
M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021).
"""

import math

from mdnnp.base.compiled.elementary import cos_eighth, exp, sin_eighth, tanh_unit
from mdnnp.base.compiled.jit import njit_fast, vectorize_freely

_PI = math.pi
_TINY = 1e-16  # keeps y off zero, where f'/f diverges (f itself is masked there)


@njit_fast
def evaluate_envelope(kind, low, high, r, n, f, slope, y, dx):
    """f and f'/f (1/Å) of an envelope at r[0..n-1] (Å); y and dx are working strips.

    x in [0, 1] is the reduced distance, y = 1 - x, and dx = dx/dr; polynomials are written in powers of y, so that f
    keeps its relative accuracy at the cutoff. kind 0-8: cutoff functions with inner radius `low`; from 9 on: compact
    cores on (low, high). Formulas: Singraber, Behler, Dellago, J. Chem. Theory Comput. 15, 1827 (2019).
    """
    vectorize_freely()
    if 2 <= kind <= 3:
        norm = 1.0 if kind == 2 else 1.0 / math.tanh(1.0) ** 3
        inverse = 1.0 / high
        for t in range(n):
            p, q = tanh_unit(min(max((high - r[t]) * inverse, _TINY), 1.0))
            once = 1.0 / (p * q)
            th, coth = p * p * once, q * q * once
            f[t] = norm * th * th * th if r[t] < high else 0.0
            slope[t] = 3.0 * inverse * (th - coth)
        return
    if kind == 0:
        for t in range(n):
            f[t] = 1.0 if r[t] < high else 0.0
            slope[t] = 0.0
        return
    if kind <= 8:
        inverse = 1.0 / (high - low)
        for t in range(n):
            y[t] = min(max((high - r[t]) * inverse, _TINY), 1.0)
            dx[t] = inverse if r[t] > low else 0.0
        shape = kind
    else:
        middle, inverse = 0.5 * (low + high), 2.0 / (high - low)
        for t in range(n):
            y[t] = min(max(1.0 - abs(r[t] - middle) * inverse, _TINY), 1.0)
            dx[t] = math.copysign(inverse, r[t] - middle)
        shape = 4 if kind == 13 else kind - 4
        if kind >= 14:  # asymmetric: x -> (2 - x) x
            shape = kind - 9
            for t in range(n):
                dx[t] *= 2.0 * y[t]
                y[t] = max(y[t] * y[t], _TINY)
    evaluate_shape(shape, n, y, dx, f, slope)
    if kind <= 8:
        for t in range(n):
            f[t] = f[t] if r[t] < high else 0.0
    else:
        for t in range(n):
            f[t] = f[t] if r[t] < high and r[t] > low else 0.0


@njit_fast
def evaluate_shape(shape, n, y, dx, f, slope):
    """f(x) and (df/dx)/f * dx/dr for shapes 1 cos, 4 exp, 5-8 poly1-poly4, at y = 1 - x in (0, 1]."""
    vectorize_freely()
    if shape == 1:
        for t in range(n):
            u = 0.25 * _PI * y[t]  # f = (cos(pi x) + 1)/2 = sin^2(2 u)
            s, c = sin_eighth(u), cos_eighth(u)
            sin2, cos2 = 2.0 * s * c, 1.0 - 2.0 * s * s
            f[t] = sin2 * sin2
            slope[t] = -_PI * cos2 / sin2 * dx[t]
    elif shape == 4:
        for t in range(n):
            x = 1.0 - y[t]
            w = 1.0 / (y[t] * (1.0 + x))  # 1/(1 - x^2)
            f[t] = exp(1.0 - w)
            slope[t] = -2.0 * x * w * w * dx[t]
    elif shape == 5:
        for t in range(n):
            x = 1.0 - y[t]
            p = 1.0 + 2.0 * x
            f[t] = y[t] * y[t] * p
            slope[t] = -6.0 * x / (y[t] * p) * dx[t]
    elif shape == 6:
        for t in range(n):
            x = 1.0 - y[t]
            p = 1.0 + x * (3.0 + 6.0 * x)
            f[t] = y[t] * y[t] * y[t] * p
            slope[t] = -30.0 * x * x / (y[t] * p) * dx[t]
    elif shape == 7:
        for t in range(n):
            x = 1.0 - y[t]
            p = 1.0 + x * (4.0 + x * (10.0 + 20.0 * x))
            y2 = y[t] * y[t]
            f[t] = y2 * y2 * p
            slope[t] = -140.0 * x * x * x / (y[t] * p) * dx[t]
    else:
        for t in range(n):
            x = 1.0 - y[t]
            p = 1.0 + x * (5.0 + x * (15.0 + x * (35.0 + 70.0 * x)))
            y2 = y[t] * y[t]
            f[t] = y2 * y2 * y[t] * p
            slope[t] = -630.0 * (x * x) * (x * x) / (y[t] * p) * dx[t]


@njit_fast
def evaluate_angle(kind, a, b, n, c, value, derivative, y, dx, core):
    """P(c) and dP/dc at c[0..n-1]; y, dx and core are working strips.

    kind -1: (1 + a c)^b, zero where the base is not positive. Otherwise the compact core of theta = arccos(c) centred
    at a (radians) with inverse half-width b, zero for collinear triplets.
    """
    vectorize_freely()
    if kind >= 0:
        for t in range(n):
            inside = abs(c[t]) < 1.0
            theta = math.acos(c[t]) if inside else 0.0
            u = (theta - a) * b
            inside = inside and abs(u) < 1.0
            y[t] = max(1.0 - abs(u), _TINY) if inside else 1.0
            dx[t] = -math.copysign(b, u) / math.sqrt(1.0 - c[t] * c[t]) if inside else 0.0
            value[t] = 1.0 if inside else 0.0
        evaluate_shape(4 if kind == 13 else kind - 4, n, y, dx, core, derivative)
        for t in range(n):
            value[t] *= core[t]
            derivative[t] *= value[t]
        return
    power = int(b)
    if power != b or power < 1:
        for t in range(n):
            p = 1.0 + a * c[t]
            q = p ** (b - 1.0) if p > 0.0 else 0.0
            value[t] = q * p
            derivative[t] = b * a * q
        return
    if power == 1:
        for t in range(n):
            p = 1.0 + a * c[t]
            value[t] = max(p, 0.0)
            derivative[t] = a if p > 0.0 else 0.0
        return
    if power == 2:
        for t in range(n):
            p = max(1.0 + a * c[t], 0.0)
            value[t] = p * p
            derivative[t] = 2.0 * a * p
        return
    if power == 4:
        for t in range(n):
            p = max(1.0 + a * c[t], 0.0)
            square = p * p
            value[t] = square * square
            derivative[t] = 4.0 * a * p * square
        return
    # Any other integer power by repeated squaring, a strip at a time: q = p^(power - 1).
    for t in range(n):
        y[t] = max(1.0 + a * c[t], 0.0)
        dx[t] = y[t]
        derivative[t] = 1.0 if y[t] > 0.0 else 0.0
    power -= 1
    while power > 0:
        if power & 1:
            for t in range(n):
                derivative[t] *= dx[t]
        power >>= 1
        if power > 0:
            for t in range(n):
                dx[t] *= dx[t]
    for t in range(n):
        value[t] = derivative[t] * y[t]
        derivative[t] *= a * b
