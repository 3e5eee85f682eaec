"""Velocity Verlet: exact map, reversibility, order, symplecticity. Starting velocities: distribution."""

from itertools import pairwise

import numpy as np
import pytest

from mdnnp.atoms.quantities import degrees_of_freedom, kinetic_energy, momentum, temperature
from mdnnp.atoms.system import make_system
from mdnnp.base.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K
from mdnnp.dynamics.integrators import (
    MDState,
    accelerations,
    fastest_period,
    maxwell_boltzmann,
    scaled_to_temperature,
    total_energy,
    verlet_step,
    without_momentum,
)
from mdnnp.potentials.interface import Extrapolation, Results

NONE = Extrapolation(0, *(np.empty(0),) * 5)


def results(energy, forces):
    n = len(forces)
    return Results(energy, np.full(n, energy / n), forces, np.zeros((3, 3)), np.empty((0, 3, 3)), NONE)


def harmonic(stiffness):
    """Every coordinate in its own well: U = sum k x^2 / 2, with k (N, 3) in eV/Å^2."""

    def compute(system):
        x = system.positions
        return results(0.5 * float(np.sum(stiffness * x**2)), -stiffness * x)

    return compute


def anharmonic(system):
    """A chain bound by Morse potentials in a quartic well: smooth, not separable."""
    x = system.positions
    forces = -4e-2 * x**3
    energy = 1e-2 * np.sum(x**4)
    for i in range(len(x) - 1):
        d = x[i + 1] - x[i]
        r = np.linalg.norm(d)
        e = np.exp(-1.5 * (r - 1.2))
        energy += 2.0 * (1 - e) ** 2
        pull = 2.0 * 2 * (1 - e) * 1.5 * e * d / r
        forces[i] += pull
        forces[i + 1] -= pull
    return results(float(energy), forces)


def start(compute, positions, velocities, masses):
    system = make_system(positions, [1] * len(positions))
    return MDState(system, np.array(velocities, float), np.array(masses, float), compute(system), 0)


def chain(seed=3, n=5):
    rng = np.random.default_rng(seed)
    positions = np.cumsum(rng.normal(0, 0.1, (n, 3)) + np.array([1.15, 0, 0]), axis=0)
    positions -= positions.mean(axis=0)
    masses = rng.uniform(1, 20, n)
    return start(anharmonic, positions, maxwell_boltzmann(masses, 300.0, 1), masses)


def advance(state, dt, n, compute):
    for _ in range(n):
        state = verlet_step(state, dt, compute)
    return state


def test_acceleration_unit():
    """1 eV/Å on 1 u is 9.6485e-3 Å/fs^2 (e/u in SI units)."""
    a = accelerations(results(0.0, np.ones((1, 3))), np.array([2.0]))
    si = 1.602176634e-19 / 1e-10 / (2 * 1.66053906660e-27)  # m/s^2
    np.testing.assert_allclose(a, np.full((1, 3), si * 1e10 / 1e30), rtol=1e-14)


def test_harmonic_oscillator_follows_the_exact_map_of_velocity_verlet():
    """x_n = A cos(n theta) + ..., with cos(theta) = 1 - (omega h)^2/2, solves the recursion."""
    stiffness = np.array([[3.0, 10.0, 40.0]])
    masses, h, n = [2.0], 0.7, 200
    x0, v0 = np.array([[0.1, -0.05, 0.02]]), np.array([[0.01, 0.003, -0.02]])
    end = advance(start(harmonic(stiffness), x0, v0, masses), h, n, harmonic(stiffness))
    w2 = stiffness * ACCELERATION_A_PER_FS2 / 2.0
    theta = np.arccos(1 - w2 * h**2 / 2)
    x = x0 * np.cos(n * theta) + v0 * h / np.sin(theta) * np.sin(n * theta)
    v = v0 * np.cos(n * theta) - x0 * np.sin(theta) / h * np.sin(n * theta)
    np.testing.assert_allclose(end.system.positions, x, rtol=0, atol=1e-13)
    np.testing.assert_allclose(end.velocities, v, rtol=0, atol=1e-13)
    assert end.step == n


def test_free_atom_moves_uniformly():
    state = start(harmonic(np.zeros((1, 3))), [[1.0, 2.0, 3.0]], [[0.1, 0.0, -0.2]], [1.0])
    end = advance(state, 0.5, 64, harmonic(np.zeros((1, 3))))
    np.testing.assert_allclose(end.system.positions, [[4.2, 2.0, -3.4]], rtol=0, atol=1e-14)
    assert np.array_equal(end.velocities, state.velocities)


def test_reversible():
    state = chain()
    forth = advance(state, 0.5, 500, anharmonic)
    back = advance(forth._replace(velocities=-forth.velocities), 0.5, 500, anharmonic)
    assert np.abs(forth.system.positions - state.system.positions).max() > 0.1
    assert np.abs(back.system.positions - state.system.positions).max() < 1e-11
    assert np.abs(back.velocities + state.velocities).max() < 1e-12


def test_second_order():
    """The error of the trajectory at a fixed time falls by 4 when the time step is halved."""
    ends = [advance(chain(), 20.0 / n, n, anharmonic).system.positions for n in (80, 160, 320, 640, 1280)]
    errors = [np.abs(a - b).max() for a, b in pairwise(ends)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - 2) < 0.05), orders


def test_energy_error_is_second_order_and_bounded():
    rms = []
    for dt in (0.8, 0.4, 0.2, 0.1):
        state, energies = chain(), []
        for _ in range(int(400 / dt)):
            state = verlet_step(state, dt, anharmonic)
            energies.append(total_energy(state))
        rms.append(np.std(energies))
    orders = np.log2(np.array(rms[:-1]) / rms[1:])
    assert np.all(np.abs(orders - 2) < 0.1), orders


def test_symplectic():
    """The Jacobian M of one step, by finite differences, satisfies M^T J M = J in positions and momenta."""
    state = chain(n=3)
    n, masses = state.system.positions.size, np.repeat(state.masses, 3)

    def step(z):
        at = make_system(z[:n].reshape(-1, 3), state.system.numbers)
        moved = MDState(at, (z[n:] / masses).reshape(-1, 3), state.masses, anharmonic(at), 0)
        moved = verlet_step(moved, 0.5, anharmonic)
        return np.concatenate([moved.system.positions.ravel(), moved.velocities.ravel() * masses])

    z, h = np.concatenate([state.system.positions.ravel(), state.velocities.ravel() * masses]), 1e-4
    unit = np.eye(2 * n) * h
    jacobian = np.array(
        [(8 * (step(z + e) - step(z - e)) - (step(z + 2 * e) - step(z - 2 * e))) / (12 * h) for e in unit]
    ).T
    j = np.block([[np.zeros((n, n)), np.eye(n)], [-np.eye(n), np.zeros((n, n))]])
    assert np.abs(jacobian.T @ j @ jacobian - j).max() < 1e-8


def test_old_state_is_left_as_it_was():
    state = chain()
    before = state.system.positions.copy(), state.velocities.copy(), state.results.forces.copy()
    verlet_step(state, 0.5, anharmonic)
    for kept, now in zip(before, (state.system.positions, state.velocities, state.results.forces), strict=True):
        assert np.array_equal(kept, now)


def test_maxwell_boltzmann_moments():
    """Each component is Gaussian with variance kT/m: mean, variance, kurtosis within 5 standard errors."""
    n, kT = 200_000, BOLTZMANN_EV_PER_K * 350.0
    masses = np.where(np.arange(n) % 2, 1.008, 15.999)
    v = maxwell_boltzmann(masses, 350.0, 7, remove_momentum=False)
    for mass in (1.008, 15.999):
        x = v[masses == mass].ravel() / np.sqrt(kT / mass * ACCELERATION_A_PER_FS2)
        error = 1 / np.sqrt(len(x))
        assert abs(x.mean()) < 5 * error
        assert abs(x.var() - 1) < 5 * np.sqrt(2) * error
        assert abs((x**4).mean() - 3) < 5 * np.sqrt(96) * error


def test_temperature_fluctuates_unless_it_is_asked_to_be_exact():
    masses = np.full(1000, 12.0)
    n_degrees = degrees_of_freedom(1000)
    drawn = [
        temperature(kinetic_energy(maxwell_boltzmann(masses, 300.0, seed), masses), n_degrees) for seed in range(200)
    ]
    expected = 300 * np.sqrt(2 / n_degrees)  # the chi-square distribution of the kinetic energy
    assert abs(np.std(drawn) / expected - 1) < 0.25
    assert abs(np.mean(drawn) - 300) < 5 * expected / np.sqrt(200)
    exact = maxwell_boltzmann(masses, 300.0, 1, exact_temperature=True)
    assert temperature(kinetic_energy(exact, masses), n_degrees) == pytest.approx(300.0, rel=1e-13)


@pytest.mark.parametrize("remove", [True, False])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_atoms_have_the_asked_temperature(n, remove):
    masses = np.linspace(1.0, 40.0, n)
    v = maxwell_boltzmann(masses, 120.0, 5, exact_temperature=True, remove_momentum=remove)
    n_degrees = degrees_of_freedom(n, momentum_removed=remove)
    assert temperature(kinetic_energy(v, masses), n_degrees) == pytest.approx(120.0, rel=1e-13)
    removed = remove and n > 1
    assert (np.abs(momentum(v, masses)).max() < 1e-14) == removed


def test_velocities_repeat_with_the_seed():
    masses = np.ones(10)
    assert np.array_equal(maxwell_boltzmann(masses, 300.0, 3), maxwell_boltzmann(masses, 300.0, 3))
    assert not np.array_equal(maxwell_boltzmann(masses, 300.0, 3), maxwell_boltzmann(masses, 300.0, 4))


def test_zero_temperature():
    assert not maxwell_boltzmann(np.ones(4), 0.0, 1, exact_temperature=True).any()
    assert not scaled_to_temperature(np.zeros((4, 3)), np.ones(4), 300.0, 9).any()


def test_momentum_removal_keeps_relative_velocities():
    rng = np.random.default_rng(0)
    v, masses = rng.normal(size=(6, 3)), rng.uniform(1, 5, 6)
    w = without_momentum(v, masses)
    assert np.abs(momentum(w, masses)).max() < 1e-14
    np.testing.assert_allclose(w - w[0], v - v[0], atol=1e-14)


def test_fastest_period_of_known_oscillators():
    stiffness = np.linspace(0.5, 30.0, 12).reshape(4, 3)
    masses = np.array([1.0, 2.0, 8.0, 16.0])
    state = start(harmonic(stiffness), np.random.default_rng(1).normal(0, 0.1, (4, 3)), np.zeros((4, 3)), masses)
    omega = np.sqrt(np.max(stiffness / masses[:, None]) * ACCELERATION_A_PER_FS2)
    assert fastest_period(state, harmonic(stiffness)) == pytest.approx(2 * np.pi / omega, rel=1e-6)


def test_fastest_period_of_a_diatomic():
    """A spring between two atoms: omega^2 = k (1/m1 + 1/m2)."""

    def spring(system):
        d = system.positions[1] - system.positions[0]
        r = np.linalg.norm(d)
        pull = 30.0 * (r - 1.0) * d / r
        return results(15.0 * (r - 1.0) ** 2, np.array([pull, -pull]))

    state = start(spring, [[0, 0, 0], [0.6, 0.8, 0]], np.zeros((2, 3)), [1.008, 15.999])
    omega = np.sqrt(30.0 * (1 / 1.008 + 1 / 15.999) * ACCELERATION_A_PER_FS2)
    assert fastest_period(state, spring) == pytest.approx(2 * np.pi / omega, rel=2e-3)


def test_fastest_period_is_infinite_without_forces():
    state = start(harmonic(np.zeros((2, 3))), np.zeros((2, 3)), np.zeros((2, 3)), [1.0, 1.0])
    assert fastest_period(state, harmonic(np.zeros((2, 3)))) == np.inf
