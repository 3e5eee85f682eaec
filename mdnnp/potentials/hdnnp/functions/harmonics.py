"""Constants of solid harmonics, and series in Legendre polynomials, for products of moments (see `wide`)."""

from fractions import Fraction
from math import factorial
from typing import NamedTuple

import numpy as np

from mdnnp.base.compiled.vectors import LANES


class Harmonics(NamedTuple):
    """Constants of the harmonics; the number of rows is a multiple of LANES."""

    weight: np.ndarray  # (rows,) w_pm; 0 behind the last harmonic
    climb: np.ndarray  # (degree + 1, degree + 1) (2p - 1)/(p^2 - m^2) for p > m
    fall: np.ndarray  # (degree + 1, degree + 1) 1/(p^2 - m^2) for p > m; 1/(2m) for p = m


def make_harmonics(degree: int) -> Harmonics:
    """Constants of the harmonics up to a degree."""
    weight = np.zeros(-(-((degree + 1) ** 2) // LANES) * LANES)
    climb, fall = np.zeros((degree + 1, degree + 1)), np.zeros((degree + 1, degree + 1))
    for p in range(degree + 1):
        for m in range(p + 1):
            own = (2.0 if m else 1.0) * factorial(p - m) * factorial(p + m)
            for row in {p * p + m, p * p + p + m if m else p * p}:
                weight[row] = own
            if p > m:
                climb[p, m], fall[p, m] = (2 * p - 1) / (p * p - m * m), 1 / (p * p - m * m)
            elif m:
                fall[p, m] = 1 / (2 * m)
    return Harmonics(weight, climb, fall)


def legendre_series(lam: float, zeta: int) -> list[float]:
    """a_0 .. a_zeta of (1 + lam c)^zeta = sum_p a_p P_p(c)."""
    series = [Fraction(1)]
    for _ in range(zeta):  # c P_p = [(p + 1) P_p+1 + p P_p-1]/(2p + 1)
        raised = [*series, Fraction(0)]
        for p, a in enumerate(series):
            share = Fraction(lam) * a / (2 * p + 1)
            raised[p + 1] += (p + 1) * share
            if p:
                raised[p - 1] += p * share
        series = raised
    return [float(a) for a in series]
