"""Modes: a dimer and a chain that are known, the iterative search against full diagonalisation, thermal limits."""

import numpy as np
import pytest
from systems import argon

from mdnnp.atoms.system import make_system
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.units import BOLTZMANN_EV_PER_K
from mdnnp.landscape.modes import PLANCK_EV_PER_THZ, all_modes, animate, lowest_modes, thermal
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.potentials.lennard_jones import LennardJones

ARGON = LennardJones({"Ar": (0.0104, 3.4)}, 8.5, "poly3")


def test_a_diatomic_molecule_has_one_mode_of_known_frequency():
    epsilon, sigma, mass = 0.0104, 3.4, 39.948
    pair = LennardJones({"Ar": (epsilon, sigma)}, 12.0, "truncated")
    axis = np.array([1.0, 2.0, -0.5]) / np.sqrt(5.25)
    system = make_system([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0] + 2 ** (1 / 6) * sigma * axis], [18, 18])
    modes = all_modes(pair, system, np.full(2, mass))
    stiffness = 72 * epsilon / (2 ** (1 / 3) * sigma**2) * 1.602176634e-19 / 1e-20  # N/m
    expected = np.sqrt(stiffness / (mass / 2 * 1.66053906660e-27)) / (2 * np.pi) * 1e-12
    assert modes.frequencies_THz == pytest.approx([expected], rel=1e-9)
    assert np.abs(modes.vectors[0, 0] + modes.vectors[0, 1]).max() < 1e-10
    frames = animate(system, np.full(2, mass), modes.vectors[0], 0.3, 20)
    moves = [np.linalg.norm(f.positions - system.positions, axis=1).max() for f in frames]
    assert max(moves) == pytest.approx(0.3) and moves[0] == 0.0


@pytest.mark.parametrize("vacancy", [False, True])
def test_lowest_modes_are_those_of_the_full_matrix(vacancy):
    whole = argon(3, 0.02)
    system = whole._replace(positions=whole.positions[1:], numbers=whole.numbers[1:]) if vacancy else whole
    system = relax(ARGON, system, Goal(force_tolerance=1e-6)).point.system
    masses = np.where(np.arange(len(system)) % 2, 39.948, 20.0)
    full = all_modes(ARGON, system, masses)
    assert len(full.frequencies_THz) == 3 * len(system) - 3 and full.frequencies_THz[0] > 0.1
    found = lowest_modes(ARGON, system, masses, 8)
    assert np.abs(found.frequencies_THz - full.frequencies_THz[:8]).max() < 1e-3
    assert np.abs(found.frequencies_THz - full.frequencies_THz[:8]).max() <= found.residual_THz.max()
    # the last group may be cut, but what is found lies among the modes up to it
    below = full.frequencies_THz < full.frequencies_THz[7] + 1e-2
    space = full.vectors[below].reshape(below.sum(), -1)
    overlap = np.linalg.norm(found.vectors.reshape(8, -1) @ space.T, axis=1)
    assert overlap.min() > 0.999
    drift = np.einsum("kia,i->ka", found.vectors, np.sqrt(masses))
    assert np.abs(drift).max() < 1e-8


def test_an_unstable_crystal_has_imaginary_modes():
    stretched = argon(2, 0.0)
    stretched = stretched._replace(positions=stretched.positions * 1.25, cell=stretched.cell * 1.25)
    modes = all_modes(ARGON, stretched, np.full(32, 39.948))
    assert modes.frequencies_THz[0] < -0.1
    with pytest.raises(PhysicsError, match="imaginary"):
        thermal(modes.frequencies_THz, np.array([100.0]))


def test_thermal_limits():
    modes = np.array([1.0, 2.0, 5.0])
    hot = thermal(modes, np.array([0.0, 1.0, 1e4]))
    zero_point = 0.5 * PLANCK_EV_PER_THZ * modes.sum()
    assert hot.energy_eV[0] == pytest.approx(zero_point) and hot.free_energy_eV[0] == pytest.approx(zero_point)
    assert hot.heat_capacity_eV_per_K[0] == 0.0 and hot.entropy_eV_per_K[0] == 0.0
    assert hot.heat_capacity_eV_per_K[2] == pytest.approx(3 * BOLTZMANN_EV_PER_K, rel=1e-4)  # Dulong and Petit
    t = np.linspace(50.0, 50.2, 3)
    near = thermal(modes, t)
    slope = (near.free_energy_eV[2] - near.free_energy_eV[0]) / (t[2] - t[0])
    assert near.entropy_eV_per_K[1] == pytest.approx(-slope, rel=1e-6)
    rise = (near.energy_eV[2] - near.energy_eV[0]) / (t[2] - t[0])
    assert near.heat_capacity_eV_per_K[1] == pytest.approx(rise, rel=1e-6)


def test_too_many_modes():
    with pytest.raises(InputError, match="ask for all modes"):
        lowest_modes(ARGON, argon(1), np.full(4, 40.0), 5)
