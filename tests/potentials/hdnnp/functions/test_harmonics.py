"""Solid harmonics: the addition theorem, series in Legendre polynomials, both against NumPy's."""

import numpy as np
import pytest
from numpy.polynomial import legendre

from mdnnp.base.compiled.jit import njit
from mdnnp.base.compiled.vectors import LANES
from mdnnp.potentials.hdnnp.functions.harmonics import legendre_series, make_harmonics
from mdnnp.potentials.hdnnp.functions.tables import MAX_MOMENT_ZETA
from mdnnp.potentials.hdnnp.functions.wide import evaluate_harmonics


@njit
def harmonics_of(n, degree, constants, near, harmonic):
    evaluate_harmonics(n, degree, constants, near, harmonic)


@pytest.mark.parametrize("degree", [0, 1, 2, 5, MAX_MOMENT_ZETA])
def test_addition_theorem(degree):
    from mdnnp.potentials.hdnnp.functions.center import Near

    constants, rng = make_harmonics(degree), np.random.default_rng(degree)
    r = rng.normal(size=(3, 2 * LANES)) + np.array([[0.0], [0.0], [1e-3]])
    r[:, 0] = 0.0, 0.0, 1.7  # the pole
    length, none = np.linalg.norm(r, axis=0), np.zeros(1)
    integers, rows = np.zeros(1, np.int64), np.zeros((1, 1))
    near = Near(*r, length, 1.0 / length, none.astype(np.uint32), integers, integers, rows, rows, rows)
    y = np.zeros((2, constants.weight.size, LANES))
    harmonics_of(2 * LANES, degree, constants, near, y)
    y = y.transpose(1, 0, 2).reshape(constants.weight.size, -1)
    cosine = (r / length).T @ (r / length)
    for p in range(degree + 1):
        own = slice(p * p, (p + 1) ** 2)
        sums = (y[own] * constants.weight[own, None]).T @ y[own]
        assert np.abs(sums - legendre.legval(cosine, np.eye(degree + 1)[p])).max() < 2e-15 * (p + 1) ** 2


@pytest.mark.parametrize("lam", [1.0, -1.0, 0.3])
def test_series_of_the_angular_factor(lam):
    c = np.linspace(-1.0, 1.0, 41)
    for zeta in range(1, MAX_MOMENT_ZETA + 1):
        assert np.abs(legendre.legval(c, legendre_series(lam, zeta)) - (1 + lam * c) ** zeta).max() < 1e-15 * 2.0**zeta
