"""Averages of thermostats and barostats against exact ones, each within five standard errors."""

import numpy as np
import pytest

from mdnnp.integrators import (
    CellRescaling,
    Langevin,
    MartynaTobiasKlein,
    MDState,
    NoseHoover,
    Ramp,
    VelocityRescaling,
    maxwell_boltzmann,
)
from mdnnp.observables import kinetic_energy, mean_with_error
from mdnnp.potential import NO_EXTRAPOLATION, Results
from mdnnp.system import make_system, volume
from mdnnp.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K, EV_PER_A3_IN_GPA

KT = BOLTZMANN_EV_PER_K * 60.0
T = Ramp.constant(60.0)


def start(integrator, system, masses, compute, seed=1):
    velocities = maxwell_boltzmann(masses, 60.0, seed, remove_momentum=False)
    return MDState(system, velocities, masses, compute(system), 0, bath=integrator.begin(system))


def sampled(integrator, state, timestep_fs, n_steps, compute, observe, interval=1, discard=0):
    """Values of `observe` at every `interval`-th step after the first `discard`."""
    found = []
    for step in range(n_steps):
        state = integrator.step(state, timestep_fs, compute)
        if step >= discard and step % interval == 0:
            found.append(observe(state))
    return np.array(found)


def assert_mean(series, expected, within):
    """The mean is `expected`, by five standard errors; these are below `within`, a share of it."""
    mean = mean_with_error(series)
    assert mean.error < within * abs(expected)
    assert abs(mean.mean - expected) < 5 * mean.error, (mean, expected)


def results(energy, forces, virial):
    n = len(forces)
    return Results(float(energy), np.zeros(n), forces, virial, np.empty((0, 3, 3)), NO_EXTRAPOLATION)


def springs(stiffness):
    """Every coordinate in its own harmonic well, eV/Å^2."""

    def compute(system):
        x = system.positions
        return results(0.5 * np.sum(stiffness * x**2), -stiffness * x, np.zeros((3, 3)))

    return compute


@pytest.mark.parametrize("omega_h", [0.2, 1.0])
def test_langevin_in_a_harmonic_well(omega_h):
    """BAOAB: <x^2> = kT/k for any time step, <m v^2> = kT (1 - (omega h)^2 / 4)."""
    n, h, mass = 4000, 2.0, 20.0
    k = (omega_h / h) ** 2 * mass / ACCELERATION_A_PER_FS2
    system = make_system(np.random.default_rng(0).normal(0, np.sqrt(KT / k), (n, 3)), np.ones(n))
    compute, masses = springs(k), np.full(n, mass)
    integrator = Langevin(T, 100.0, 5)

    def observe(state):
        return np.mean(state.system.positions**2) * k, 2 * kinetic_energy(state.velocities, masses) / (3 * n)

    squares, kinetic = sampled(integrator, start(integrator, system, masses, compute), h, 800, compute, observe,
                               interval=4, discard=100).T  # fmt: skip
    assert_mean(squares, KT, within=0.003)
    assert_mean(kinetic, KT * (1 - omega_h**2 / 4), within=0.003)


def test_free_langevin_particles_forget_their_velocity_exponentially():
    n, h, rate = 20000, 5.0, 4.0
    masses, compute = np.full(n, 18.0), springs(0.0)
    integrator = Langevin(T, rate, 2)
    state = start(integrator, make_system(np.zeros((n, 3)), np.ones(n)), masses, compute)
    first = state.velocities
    overlap = sampled(integrator, state, h, 100, compute, lambda s: np.mean(first * s.velocities) / np.mean(first**2))
    expected = np.exp(-rate * h * np.arange(1, 101) * 1e-3)
    assert np.abs(overlap - expected).max() < 5 / np.sqrt(3 * n)


def kinetic_of_a_gas(integrator, n_steps):
    masses, compute = np.array([1.0, 5.0, 30.0]), springs(0.0)
    state = start(integrator, make_system(np.arange(9.0).reshape(3, 3), [1, 1, 1]), masses, compute)
    return sampled(integrator, state, 20.0, n_steps, compute, lambda s: float(kinetic_energy(s.velocities, masses)))


@pytest.mark.parametrize("n_degrees", [1, 6])
def test_rescaled_kinetic_energy_is_gamma_distributed(n_degrees):
    """Mean and variance n kT/2 and n (kT)^2/2; here the gas does not know how many degrees of freedom are meant."""
    kinetic = kinetic_of_a_gas(VelocityRescaling(T, n_degrees, 20.0, 11), 8000)
    mean = 0.5 * n_degrees * KT
    assert_mean(kinetic, mean, within=0.03)
    assert_mean((kinetic - mean) ** 2, mean * KT, within=0.1)


def test_rescaled_kinetic_energy_is_forgotten_exponentially():
    """Its autocorrelation function is exp(-t / tau), with tau = 5 steps."""
    kinetic = kinetic_of_a_gas(VelocityRescaling(T, 6, 100.0, 3), 12000) / KT - 3.0
    for lag in (2, 5, 10):
        assert_mean(kinetic[lag:] * kinetic[:-lag], 3 * np.exp(-lag / 5), within=0.3)


def test_nose_hoover_chain_on_one_oscillator():
    """Moments of position and velocity of a single oscillator, which a single Nose-Hoover thermostat gets wrong."""
    mass, k = 20.0, 0.02
    compute, masses = springs(k), np.array([mass])
    system = make_system([[0.3, -0.2, 0.1]], [1])
    integrator = NoseHoover(T, 3, 300.0)

    def observe(state):
        return k * np.sum(state.system.positions**2), 2 * float(kinetic_energy(state.velocities, masses))

    potential, kinetic = sampled(integrator, start(integrator, system, masses, compute), 20.0, 20000, compute, observe,
                                 discard=500).T  # fmt: skip
    for values in (potential, kinetic):
        assert_mean(values, 3 * KT, within=0.05)
        assert_mean((values - 3 * KT) ** 2, 6 * KT**2, within=0.15)


# --- Barostats ----------------------------------------------------------------------------------------------

N_ATOMS = 7


def gas(cell_springs=0.0):
    """Atoms in wells in scaled coordinates, so that their energy does not know the cell: an ideal gas to the barostat.

    A quartic part couples the directions, which harmonic wells would keep apart. The cell of MTK dynamics must be about
    as fast as the atoms, or nothing but its chain, which they share, drives its edges: it would not be ergodic.
    cell_springs : k in eV/Å^2 of an energy k/2 sum_ij cell_ij^2 that holds the cell
    """
    rng = np.random.default_rng(2)
    sites, stiffness = rng.uniform(0.2, 0.8, (N_ATOMS, 3)), rng.uniform(0.5, 3.0, (N_ATOMS, 3))

    def compute(system):
        inverse = np.linalg.inv(system.cell)
        away = system.positions @ inverse - sites
        squared = np.sum(away**2, axis=1, keepdims=True)
        energy = 0.5 * np.sum(stiffness * away**2) + 50.0 * np.sum(squared**2)
        energy += 0.5 * cell_springs * np.sum(system.cell**2)
        gradient = stiffness * away + 200.0 * squared * away
        return results(energy, -gradient @ inverse.T, -cell_springs * system.cell.T @ system.cell)

    return sites, rng.uniform(5, 40, N_ATOMS), compute


def barostat(name, shape, pressure_GPa, volume_A3, compressibility):
    if name == "mtk":
        return MartynaTobiasKlein(T, Ramp.constant(pressure_GPa), 3 * N_ATOMS, 100.0, 50.0, shape)
    p = Ramp.constant(pressure_GPa)
    return CellRescaling(T, p, 3 * N_ATOMS, 50.0, 100.0, compressibility, volume_A3, shape, 4)


@pytest.mark.parametrize("name", ["mtk", "rescale"])
def test_volume_of_an_ideal_gas(name):
    """V is distributed as V^N exp(-p V / kT): mean (N + 1) kT / p, variance (N + 1) (kT / p)^2."""
    sites, masses, compute = gas()
    expected = (N_ATOMS + 1) * KT / (0.01 / EV_PER_A3_IN_GPA)
    cell = np.eye(3) * expected ** (1 / 3)
    system = make_system(sites @ cell, np.ones(N_ATOMS), cell, True)
    integrator = barostat(name, "isotropic", 0.01, expected, 100.0)
    state = start(integrator, system, masses, compute, 3)
    volumes = sampled(integrator, state, 5.0, 7000, compute, lambda s: volume(s.system.cell))
    assert_mean(volumes, expected, within=0.05)
    assert_mean((volumes - expected) ** 2, expected**2 / (N_ATOMS + 1), within=0.2)


@pytest.mark.parametrize("name", ["mtk", "rescale"])
@pytest.mark.parametrize("shape", [pytest.param("anisotropic", marks=pytest.mark.slow), "flexible"])
def test_shape_of_a_cell_held_by_springs(name, shape):
    """Without pressure, k L^2 / kT of an edge is chi^2 distributed with N + 1 degrees of freedom (anisotropic).

    Flexible: cell @ cell.T is Wishart distributed, so that its Cholesky factor, the cell, has k L^2 / kT distributed
    as chi^2 with N + 1, N and N - 1 degrees of freedom on the diagonal, and Gaussian elements of variance kT/k below
    it (M. S. Bartlett, Proc. R. Soc. Edinburgh 53, 260 (1934)).
    """
    k, side = 0.01, np.sqrt(N_ATOMS * KT / 0.01)
    sites, masses, compute = gas(k)
    cell = np.eye(3) * side
    system = make_system(sites @ cell, np.ones(N_ATOMS), cell, True)
    compressibility = side**3 / ((N_ATOMS + 1) * KT) / EV_PER_A3_IN_GPA  # of an ideal gas, about
    integrator = barostat(name, shape, 0.0, side**3, compressibility)
    state = start(integrator, system, masses, compute, 3)
    cells = sampled(integrator, state, 5.0, 9000, compute, lambda s: s.system.cell)
    degrees = np.arange(3) if shape == "flexible" else np.zeros(3)
    for a in range(3):
        assert_mean(k * cells[:, a, a] ** 2, (N_ATOMS + 1 - degrees[a]) * KT, within=0.1)
    for a, b in ((1, 0), (2, 0), (2, 1)):
        if shape == "flexible":
            assert_mean(k * cells[:, a, b] ** 2, KT, within=0.2)
        else:
            assert not cells[:, a, b].any()
