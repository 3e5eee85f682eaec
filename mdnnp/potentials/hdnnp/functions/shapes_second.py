"""Second derivatives of the envelopes and angles of `shapes`, a strip at a time, for Hessian-vector products.

With lambda(x) = (df/dx)/f, the logarithmic slope of an envelope is L(r) = lambda dx/dr, and

    L'(r) = lambda' (dx/dr)^2 + lambda d2x/dr2        f''/f = L^2 + L'
"""

import math

from mdnnp.base.compiled.elementary import cos_eighth, sin_eighth, tanh_unit
from mdnnp.base.compiled.jit import njit_fast, vectorize_freely
from mdnnp.potentials.hdnnp.functions.shapes import _TINY, evaluate_shape


@njit_fast
def evaluate_envelope_curvature(kind, low, high, r, n, curvature, y, dx, ddx):
    """L' = d(f'/f)/dr (1/Å^2) of an envelope of `shapes.evaluate_envelope` at r[0..n-1] (Å).

    y, dx, ddx are working strips. Where f is zero, L' is finite and means nothing.
    """
    vectorize_freely()
    if kind == 0:
        for t in range(n):
            curvature[t] = 0.0
        return
    if 2 <= kind <= 3:
        inverse = 1.0 / high
        for t in range(n):
            p, q = tanh_unit(min(max((high - r[t]) * inverse, _TINY), 1.0))
            once = 1.0 / (p * q)
            th, coth = p * p * once, q * q * once
            curvature[t] = -3.0 * inverse * inverse * (coth - th) * (coth + th)
        return
    if kind <= 8:
        inverse = 1.0 / (high - low)
        for t in range(n):
            y[t] = min(max((high - r[t]) * inverse, _TINY), 1.0)
            dx[t] = inverse if r[t] > low else 0.0
            ddx[t] = 0.0
        shape = kind
    else:
        middle, inverse = 0.5 * (low + high), 2.0 / (high - low)
        for t in range(n):
            y[t] = min(max(1.0 - abs(r[t] - middle) * inverse, _TINY), 1.0)
            dx[t] = math.copysign(inverse, r[t] - middle)
            ddx[t] = 0.0
        shape = 4 if kind == 13 else kind - 4
        if kind >= 14:  # asymmetric: x -> (2 - x) x
            shape = kind - 9
            for t in range(n):
                dx[t] *= 2.0 * y[t]
                ddx[t] = -2.0 * inverse * inverse
                y[t] = max(y[t] * y[t], _TINY)
    evaluate_shape_curvature(shape, n, y, dx, ddx, curvature)


@njit_fast
def evaluate_shape_curvature(shape, n, y, dx, ddx, curvature):
    """lambda' dx^2 + lambda ddx for the shapes of `shapes.evaluate_shape`, at y = 1 - x in (0, 1]."""
    vectorize_freely()
    if shape == 1:
        for t in range(n):
            u = 0.25 * math.pi * y[t]
            s, c = sin_eighth(u), cos_eighth(u)
            inverse, cos2 = 1.0 / (2.0 * s * c), 1.0 - 2.0 * s * s
            turn = math.pi * inverse * dx[t]
            curvature[t] = -0.5 * turn * turn - math.pi * cos2 * inverse * ddx[t]
    elif shape == 4:
        for t in range(n):
            x = 1.0 - y[t]
            w = 1.0 / (y[t] * (1.0 + x))
            curvature[t] = -2.0 * w * w * ((1.0 + 4.0 * x * x * w) * dx[t] * dx[t] + x * ddx[t])
    elif shape == 5:  # lambda = -K x^m / (y p), lambda' = -K x^(m-1) [m y p - x (y p' - p)] / (y p)^2
        for t in range(n):
            x = 1.0 - y[t]
            q = 1.0 / (y[t] * (1.0 + 2.0 * x))
            curvature[t] = -6.0 * q * ((1.0 + 2.0 * x * x) * q * dx[t] * dx[t] + x * ddx[t])
    elif shape == 6:
        for t in range(n):
            x = 1.0 - y[t]
            p, dp = 1.0 + x * (3.0 + 6.0 * x), 3.0 + 12.0 * x
            q = 1.0 / (y[t] * p)
            bend = (2.0 * y[t] * p - x * (y[t] * dp - p)) * q
            curvature[t] = -30.0 * x * q * (bend * dx[t] * dx[t] + x * ddx[t])
    elif shape == 7:
        for t in range(n):
            x = 1.0 - y[t]
            p, dp = 1.0 + x * (4.0 + x * (10.0 + 20.0 * x)), 4.0 + x * (20.0 + 60.0 * x)
            q = 1.0 / (y[t] * p)
            bend = (3.0 * y[t] * p - x * (y[t] * dp - p)) * q
            curvature[t] = -140.0 * x * x * q * (bend * dx[t] * dx[t] + x * ddx[t])
    else:
        for t in range(n):
            x = 1.0 - y[t]
            p = 1.0 + x * (5.0 + x * (15.0 + x * (35.0 + 70.0 * x)))
            dp = 5.0 + x * (30.0 + x * (105.0 + 280.0 * x))
            q = 1.0 / (y[t] * p)
            bend = (4.0 * y[t] * p - x * (y[t] * dp - p)) * q
            curvature[t] = -630.0 * x * x * x * q * (bend * dx[t] * dx[t] + x * ddx[t])


@njit_fast
def evaluate_angle_curvature(kind, a, b, n, c, second, y, dx, ddx, core, slope):
    """d2P/dc2 of an angle of `shapes.evaluate_angle` at c[0..n-1]; the other strips are for work."""
    vectorize_freely()
    if kind >= 0:
        shape = 4 if kind == 13 else kind - 4
        for t in range(n):
            inside = abs(c[t]) < 1.0
            theta = math.acos(c[t]) if inside else 0.0
            u = (theta - a) * b
            inside = inside and abs(u) < 1.0
            y[t] = max(1.0 - abs(u), _TINY) if inside else 1.0
            dx[t] = -math.copysign(b, u) / math.sqrt(1.0 - c[t] * c[t]) if inside else 0.0
            ddx[t] = dx[t] * c[t] / (1.0 - c[t] * c[t]) if inside else 0.0
        evaluate_shape_curvature(shape, n, y, dx, ddx, second)
        evaluate_shape(shape, n, y, dx, core, slope)
        for t in range(n):
            second[t] = core[t] * (slope[t] * slope[t] + second[t]) if dx[t] != 0.0 else 0.0
        return
    power, factor = int(b), b * (b - 1.0) * a * a
    if power != b or power < 1:
        for t in range(n):
            p = 1.0 + a * c[t]
            second[t] = factor * p ** (b - 2.0) if p > 0.0 else 0.0
        return
    if power == 1:
        for t in range(n):
            second[t] = 0.0
        return
    # p^(power - 2) by repeated squaring, a strip at a time
    for t in range(n):
        dx[t] = max(1.0 + a * c[t], 0.0)
        second[t] = factor if dx[t] > 0.0 else 0.0
    power -= 2
    while power > 0:
        if power & 1:
            for t in range(n):
                second[t] *= dx[t]
        power >>= 1
        if power > 0:
            for t in range(n):
                dx[t] *= dx[t]
