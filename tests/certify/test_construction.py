"""Smoothness classes against the derivatives of the polynomials themselves."""

import math

import pytest
from numpy.polynomial import Polynomial

from mdnnp.potentials.hdnnp.description import CORE_CENTER, CORE_EDGE, function_ingredients
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.smoothness import order_name

X = Polynomial([0, 1])
POLYNOMIALS = {
    "p1": (2 * X - 3) * X**2 + 1,
    "p2": ((15 - 6 * X) * X - 10) * X**3 + 1,
    "p3": (X * (X * (20 * X - 70) + 84) - 35) * X**4 + 1,
    "p4": (X * (X * ((315 - 70 * X) * X - 540) + 420) - 126) * X**5 + 1,
}


def continuous_derivatives(left: Polynomial, right: Polynomial, at: float) -> int:
    """How many derivatives two polynomials share at a point, the value not counted."""
    k = 0
    while abs(left.deriv(k)(at) - right.deriv(k)(at)) < 1e-6 if k else abs(left(at) - right(at)) < 1e-12:
        k += 1
    return k - 1


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_core_classes(name, asymmetric):
    core = POLYNOMIALS[name](2 * X - X**2) if asymmetric else POLYNOMIALS[name]
    key = name + "a" * asymmetric
    assert continuous_derivatives(core, Polynomial([0]), 1.0) == CORE_EDGE[key]
    assert continuous_derivatives(core(-X), core, 0.0) == CORE_CENTER[key]


def order(f: SymmetryFunction, cutoff_type: int = 7, alpha: float = 0.0) -> float:
    return min(cause.order for cause in function_ingredients(f, cutoff_type, alpha))


@pytest.mark.parametrize(("cutoff_type", "alpha", "expected"), [
    (0, 0.0, -1), (1, 0.0, 1), (2, 0.0, 2), (3, 0.5, 2), (4, 0.0, math.inf),
    (4, 0.2, 1), (5, 0.3, 1), (8, 0.0, 4),
])  # fmt: skip
def test_cutoff_functions(cutoff_type, alpha, expected):
    assert order(SymmetryFunction("H", 2, ("H",), 6.0, eta=0.1), cutoff_type, alpha) == expected


@pytest.mark.parametrize(("lam", "zeta", "expected"), [
    (1.0, 4.0, 3), (-1.0, 1.0, 3), (1.0, 1.5, 2), (-1.0, 0.5, 0), (1.0, 1.25, 2),
    (0.5, 0.5, 3), (1.5, 2.0, 1),
])  # fmt: skip
def test_angular_factor(lam, zeta, expected):
    """With cutoff poly3 (C^3) beside it."""
    assert order(SymmetryFunction("H", 9, ("H", "H"), 6.0, eta=0.1, lam=lam, zeta=zeta), 7) == expected


@pytest.mark.parametrize(("type_", "core", "rl", "expected"), [
    (20, "p2", 0.5, 2), (20, "p2a", 0.5, 2), (20, "p2a", -6.0, 5), (20, "e", 0.5, math.inf),
    (22, "p2a", -6.0, 2), (21, "p4a", 1.0, 4), (25, "p1a", 1.0, 1), (23, "p3a", 1.0, 4),
])  # fmt: skip
def test_compact_functions(type_, core, rl, expected):
    f = SymmetryFunction("H", type_, (), 6.0, rl=rl, theta_l=20, theta_r=160, subtype=core)
    assert order(f, cutoff_type=0) == expected  # the cutoff function does not concern them


def test_names():
    assert [order_name(k) for k in (-1, 0, 3, math.inf)] == ["discontinuous", "C^0", "C^3", "C^inf"]
