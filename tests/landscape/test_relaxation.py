"""Relaxations whose end is known: perfect crystals, a dimer, a pressure; symmetry, fixed atoms, bad input."""

import numpy as np
import pytest
from systems import argon

from mdnnp.atoms.system import make_system, volume
from mdnnp.base.errors import InputError
from mdnnp.landscape.relaxation import METHODS, Goal, Landscape, relax
from mdnnp.potentials.lennard_jones import LennardJones

ARGON = LennardJones({"Ar": (0.0104, 3.4)}, 8.5, "poly3")


@pytest.mark.parametrize("method", METHODS)
def test_a_rattled_crystal_goes_back_to_its_sites(method):
    perfect = argon(2, 0.0)
    found = relax(ARGON, argon(2, 0.15), Goal(force_tolerance=1e-5), method)
    assert found.converged and found.point.max_force <= 1e-5
    shift = found.point.system.positions - perfect.positions
    assert np.abs(shift - shift.mean(axis=0)).max() < 2e-3
    assert found.point.results.energy == pytest.approx(ARGON.compute(perfect).energy, abs=1e-7)
    energies = [p.enthalpy for p in found.history]
    if method != "fire":
        assert (np.diff(energies) < 1e-10).all()


@pytest.mark.parametrize("method", METHODS)
def test_cell_under_pressure(method):
    start = argon(2, 0.05)
    shear = np.array([[1.02, 0.01, 0.0], [0.0, 0.99, 0.0], [0.015, 0.0, 1.01]])
    start = start._replace(positions=start.positions @ shear, cell=start.cell @ shear)
    goal = Goal(cell=True, pressure_GPa=0.5, force_tolerance=1e-4, stress_tolerance_GPa=1e-4)
    found = relax(ARGON, start, goal, method)
    assert found.converged
    end = found.point
    stress = -end.results.virial / volume(end.system.cell) * 160.21766208
    assert np.abs(stress + 0.5 * np.eye(3)).max() < 2e-4
    lengths = np.linalg.norm(end.system.cell, axis=1)
    assert np.ptp(lengths) < 1e-3 * lengths[0]  # cubic again


def test_dimer_relaxes_to_its_bond():
    pair = LennardJones({"Ar": (0.0104, 3.4)}, 12.0, "truncated")
    for method in METHODS:
        found = relax(pair, make_system([[0, 0, 0], [4.3, 0.3, 0]], [18, 18]), Goal(force_tolerance=1e-7), method)
        bond = np.linalg.norm(np.diff(found.point.system.positions, axis=0))
        assert bond == pytest.approx(2 ** (1 / 6) * 3.4, abs=1e-4), method


def test_gradient_and_product_of_the_enthalpy():
    whole = argon(2, 0.05)
    vacancy = whole._replace(positions=whole.positions[1:], numbers=whole.numbers[1:])
    goal = Goal(cell=True, pressure_GPa=0.2, force_tolerance=1e-9, stress_tolerance_GPa=1e-9, most_evaluations=10**6)
    system = relax(ARGON, vacancy, goal).point.system  # where the gradient is zero, no term with it is left
    landscape = Landscape(ARGON, system, goal)
    rng = np.random.default_rng(2)
    n, h = len(system), 1e-4
    step = rng.normal(size=(n + 3, 3))
    step[n:] += step[n:].T.copy()
    point = landscape.evaluate(system)
    up, down = (landscape.evaluate(landscape.moved(system, s * h * step)) for s in (1, -1))
    product = landscape.product(point, step)
    bend = (up.gradient - down.gradient) / (2 * h)
    assert np.abs(product - bend).max() < 1e-5 * np.abs(bend).max()
    assert np.vdot(step, product) == pytest.approx((up.enthalpy + down.enthalpy - 2 * point.enthalpy) / h**2, rel=1e-4)
    other = rng.normal(size=step.shape)
    other[n:] += other[n:].T.copy()
    away = landscape.evaluate(landscape.moved(system, 0.05 * other))
    far, up, down, back = (
        landscape.evaluate(landscape.moved(away.system, s * h * step)).enthalpy for s in (2, 1, -1, -2)
    )
    slope = (8 * (up - down) - (far - back)) / (12 * h)
    assert np.vdot(away.gradient, step) == pytest.approx(slope, rel=1e-7)


def test_fixed_atoms_stay():
    start = argon(2, 0.15)
    found = relax(ARGON, start, Goal(fixed=(0, 7), force_tolerance=1e-4))
    assert found.converged
    assert np.array_equal(found.point.system.positions[[0, 7]], start.positions[[0, 7]])
    assert np.linalg.norm(found.point.results.forces[0]) > 1e-3  # which is not the force that counts


def test_symmetry_is_kept():
    pytest.importorskip("spglib")
    from mdnnp.atoms.spacegroup import Symmetry

    start = argon(1, 0.0)
    stretched = start._replace(positions=start.positions * [1, 1, 1.05], cell=start.cell * np.array([1, 1, 1.05]))
    found = relax(
        ARGON, stretched, Goal(cell=True, keep_symmetry=True, force_tolerance=1e-4, stress_tolerance_GPa=1e-3)
    )
    end = found.point.system
    assert found.converged
    assert abs(end.cell - np.diag(np.diag(end.cell))).max() < 1e-12
    assert end.cell[0, 0] == pytest.approx(end.cell[1, 1], abs=1e-12)
    assert Symmetry.find(stretched).name == "I4/mmm"
    vectors = np.random.default_rng(1).normal(size=(4, 3))
    assert np.abs(Symmetry.find(start).of_vectors(vectors)).max() < 1e-12  # every atom is a centre of inversion


def test_bad_input_and_giving_up():
    with pytest.raises(InputError, match="periodic in three"):
        relax(ARGON, make_system([[0, 0, 0], [4, 0, 0]], [18, 18]), Goal(cell=True))
    with pytest.raises(InputError, match="atom 99"):
        relax(ARGON, argon(2), Goal(fixed=(99,)))
    with pytest.raises(InputError, match="known: lbfgs"):
        relax(ARGON, argon(2), method="bfgs")
    found = relax(ARGON, argon(2, 0.3), Goal(force_tolerance=1e-9, most_evaluations=4))
    assert not found.converged and "4 evaluations" in found.reason and found.cost <= 4


@pytest.mark.parametrize("method", METHODS)
def test_a_crystal_that_is_torn_apart_is_given_up(method):
    """5 GPa of tension is beyond what argon bears: the enthalpy has no minimum."""
    torn = relax(ARGON, argon(2), Goal(cell=True, pressure_GPa=-5.0), method)
    assert not torn.converged
    assert "flies apart" in torn.reason
    assert torn.evaluations < 500
