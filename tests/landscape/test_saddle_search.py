"""Saddle points: the migration of a vacancy, whose saddle is known by symmetry; the same by ASE's elastic band."""

import numpy as np
import pytest
from systems import argon

from mdnnp.base.errors import InputError
from mdnnp.couplings.ase import HDNNPCalculator
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.landscape.saddle_search import find_saddle, lowest_mode
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.second_derivatives import hessian

ARGON = LennardJones({"Ar": (0.0104, 3.4)}, 7.0, "poly3")


@pytest.fixture(scope="module")
def migration():
    """Vacancy, the atom that jumps, the jump, and the saddle: the atom midway, held there while the others relax."""
    perfect = argon(2, 0.0)
    vacancy = perfect._replace(positions=perfect.positions[1:], numbers=perfect.numbers[1:])
    jump = perfect.positions[0] - perfect.positions[1]
    minimum = relax(ARGON, vacancy, Goal(force_tolerance=1e-5)).point
    middle = vacancy._replace(positions=vacancy.positions.copy())
    middle.positions[0] += 0.5 * jump
    saddle = relax(ARGON, middle, Goal(force_tolerance=1e-5, fixed=(0,))).point
    assert np.abs(saddle.results.forces).max() < 1e-4  # by symmetry, on the fixed atom too
    return minimum, jump, saddle


def test_saddle_of_a_vacancy(migration):
    minimum, jump, saddle = migration
    start = minimum.system._replace(positions=minimum.system.positions.copy())
    start.positions[0] += 0.3 * jump
    direction = np.zeros_like(start.positions)
    direction[0] = jump
    found = find_saddle(ARGON, start, direction, force_tolerance=1e-5)
    assert found.converged and found.curvature < 0
    assert found.energy == pytest.approx(saddle.results.energy, abs=1e-7)
    barrier = found.energy - minimum.results.energy
    assert 0.01 < barrier < 0.2
    values = np.linalg.eigvalsh(hessian(ARGON, found.system))
    assert (values < -1e-5).sum() == 1  # of first order
    assert found.curvature == pytest.approx(values[0], rel=0.02)


def test_elastic_band_of_ase_finds_the_same_barrier(migration):
    from ase import Atoms
    from ase.mep import NEB
    from ase.optimize import FIRE

    minimum, jump, saddle = migration
    s = minimum.system
    first = Atoms(s.numbers, s.positions, cell=s.cell, pbc=s.pbc)
    moved = s._replace(positions=s.positions.copy())
    moved.positions[0] += jump
    last = first.copy()
    last.positions = relax(ARGON, moved, Goal(force_tolerance=1e-5)).point.system.positions
    images = [first, *(first.copy() for _ in range(5)), last]
    for image in images:
        image.calc = HDNNPCalculator(ARGON)
    band = NEB(images, climb=True, k=0.05)
    band.interpolate(mic=True)
    assert FIRE(band, logfile=None).run(fmax=0.0005, steps=2000)
    top = max(image.get_potential_energy() for image in images)
    assert top == pytest.approx(saddle.results.energy, abs=1e-4)


def test_lowest_mode_of_a_matrix():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(30, 30)))
    matrix = q @ np.diag([-2.0, *np.linspace(0.5, 9, 29)]) @ q.T
    value, _ = lowest_mode(lambda v: (matrix @ v.ravel()).reshape(10, 3), rng.normal(size=(10, 3)))
    assert value == pytest.approx(-2.0, rel=1e-2)


def test_bad_direction():
    with pytest.raises(InputError, match="direction"):
        find_saddle(ARGON, argon(2), np.zeros((32, 3)))
