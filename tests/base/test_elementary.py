"""Inline elementary functions against the C library, and against what fast-math flags might do to them."""

import numpy as np
import pytest
import scipy.special

from mdnnp.base.compiled import elementary
from mdnnp.base.compiled.jit import njit, njit_fast


@njit_fast
def tanh_unit(u):
    p, q = elementary.tanh_unit(u)
    return p / q


@njit_fast
def erfc(x):
    return elementary.erfc_exp(x)[0]


@njit_fast
def gauss(x):
    return elementary.erfc_exp(x)[1]


def applied(function):
    @njit_fast
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    @njit
    def call(x, out):
        loop(x, out)

    def vectorised(x):
        out = np.empty_like(x)
        call(x, out)
        return out

    return vectorised


@pytest.mark.parametrize(
    ("function", "reference", "domain", "ulp"),
    [
        (elementary.exp, np.exp, (-700.0, 0.0), 2),
        (elementary.exp, np.exp, (-1.0, 1.0), 2),
        (elementary.exp, np.exp, (0.0, 700.0), 2),
        (elementary.inverse_sqrt, lambda x: 1.0 / np.sqrt(x), (1e-6, 1e4), 4),
        (tanh_unit, np.tanh, (0.0, 1.0), 4),
        (elementary.sin_eighth, np.sin, (-np.pi / 4, np.pi / 4), 2),
        (elementary.cos_eighth, np.cos, (-np.pi / 4, np.pi / 4), 2),
    ],
)
def test_against_c_library(function, reference, domain, ulp):
    x = np.concatenate([np.linspace(*domain, 100_001), domain[0] + (domain[1] - domain[0]) * np.logspace(-18, 0, 1000)])
    exact = reference(x)
    assert np.all(np.abs(applied(function)(x) - exact) <= ulp * np.spacing(np.abs(exact)))


@pytest.mark.parametrize(
    ("function", "reference", "domain", "ulp"),
    [
        (elementary.exp, np.exp, (-1.0, 1.0), 2),
        (elementary.exp, np.exp, (-60.0, 80.0), 4),
        (elementary.inverse_sqrt, lambda x: 1.0 / np.sqrt(x), (1e-6, 1e4), 4),
        (tanh_unit, np.tanh, (0.0, 1.0), 4),
        (elementary.sin_eighth, np.sin, (-np.pi / 4, np.pi / 4), 2),
        (elementary.cos_eighth, np.cos, (-np.pi / 4, np.pi / 4), 2),
    ],
)
def test_single_precision(function, reference, domain, ulp):
    x = np.linspace(*domain, 100_001, dtype=np.float32)
    exact = reference(x.astype(float))
    found = applied(function)(x)
    assert found.dtype == np.float32
    assert np.all(np.abs(found - exact) <= ulp * np.spacing(np.abs(exact).astype(np.float32)))


def test_exp_underflows_to_zero():
    assert np.array_equal(applied(elementary.exp)(np.array([-61.0, -1e30], np.float32)), np.zeros(2))
    assert np.array_equal(applied(elementary.exp)(np.array([-709.0, -1e5, -1e300])), np.zeros(3))
    assert applied(elementary.exp)(np.array([0.0]))[0] == 1.0


def test_error_function_and_its_gaussian():
    """Of numbers beyond any pair of atoms, too: the widths of points are nearly zero."""
    x = np.concatenate([np.linspace(0.0, 8.0, 100_001), [1e3, 1e9]])
    assert np.abs(applied(erfc)(x) - scipy.special.erfc(x)).max() < 3e-15
    near = x < 6.0
    assert np.abs(applied(erfc)(x)[near] / scipy.special.erfc(x[near]) - 1.0).max() < 1e-14
    assert np.abs(applied(gauss)(x) - np.exp(-x * x)).max() < 1e-15
