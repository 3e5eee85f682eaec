"""Averages of thermostats and barostats against exact ones, each within five standard errors."""

import numpy as np
import pytest
from ase.build import bulk
from silicon_committee import make_model

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.quantities import kinetic_energy, kinetic_tensor, pressure
from mdnnp.atoms.system import make_system, volume
from mdnnp.base.statistics import mean_with_error
from mdnnp.base.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K, EV_PER_A3_IN_GPA
from mdnnp.dynamics.integrators import (
    CellRescaling,
    Langevin,
    MartynaTobiasKlein,
    MDState,
    NoseHoover,
    Ramp,
    VelocityRescaling,
    maxwell_boltzmann,
)
from mdnnp.potentials.hdnnp.files import write_potential
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Results
from mdnnp.potentials.load import load_potential

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


# --- A neural network ---------------------------------------------------------------------------------------

SILICON = np.full(8, 28.085)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Of a made-up network for silicon: its results as a function of the system, and a glass of 8 atoms at 100 K."""
    path = tmp_path_factory.mktemp("network") / "potential"
    write_potential(make_model(), path)
    potential = load_potential(path, "Angstrom", "eV")
    neighbors = VerletList(potential.cutoff, 0.6)

    def compute(system):
        return potential.compute(system, neighbors.update(system))

    atoms = bulk("Si", cubic=True)
    system = make_system(atoms.positions, atoms.numbers, atoms.cell[:], True)
    velocities = maxwell_boltzmann(SILICON, 4000.0, 1)
    state = MDState(system, velocities, SILICON, compute(system), 0)
    for temperature in (Ramp.constant(2000.0), Ramp(2000.0, 100.0, 1500, 1500)):
        integrator = barostat_of_network("rescale", temperature, 6.0)
        state = state._replace(bath=integrator.begin(state.system))
        for _ in range(1500):
            state = integrator.step(state, 2.0, compute)
    return compute, state


def barostat_of_network(name, temperature, pressure_GPa):
    p = Ramp.constant(pressure_GPa)
    if name == "mtk":  # the cell of 8 stiff atoms has a period of a fifth of its time
        return MartynaTobiasKlein(temperature, p, 21, 50.0, 500.0, "isotropic")
    return CellRescaling(temperature, p, 21, 50.0, 50.0, 0.02, 160.0, "isotropic", 1)


def of_network(network, integrator, n_steps, discard, interval=4):
    """Kinetic and potential energy (eV), volume (Å^3) and pressure (GPa), from the glass on."""
    compute, state = network

    def observe(state):
        p = pressure(kinetic_tensor(state.velocities, SILICON), state.results.virial, volume(state.system.cell))
        kinetic = kinetic_energy(state.velocities, SILICON)
        return kinetic, state.results.energy, volume(state.system.cell), p * EV_PER_A3_IN_GPA

    state = state._replace(step=0, bath=integrator.begin(state.system))
    return sampled(integrator, state, 2.0, n_steps, compute, observe, interval, discard).T


def test_barostat_on_a_network_obeys_the_virial_theorem(network):
    """<(P - p) V> = -kT, from the integral of d(V w)/dV over the distribution w of volumes."""
    kT, p = BOLTZMANN_EV_PER_K * 100.0, 6.0
    integrator = barostat_of_network("rescale", Ramp.constant(100.0), p)
    kinetic, _, volumes, pressures = of_network(network, integrator, 4000, 500, interval=1)
    assert_mean(kinetic, 10.5 * kT, within=0.05)
    work = mean_with_error((pressures - p) * volumes / EV_PER_A3_IN_GPA)
    assert work.error < 0.02 * p * np.mean(volumes) / EV_PER_A3_IN_GPA
    assert abs(work.mean + kT) < 5 * work.error


def simulation(temperature_K, kinetic, potential, volumes, pressure_GPa=None):
    """The samples for physical_validation; volume or pressure is what is constant."""
    pv = pytest.importorskip("physical_validation")
    n, npt = 8, pressure_GPa is not None
    return pv.data.SimulationData(
        units=pv.data.UnitData(
            kb=BOLTZMANN_EV_PER_K,
            energy_conversion=96.4853321,
            length_conversion=0.1,
            volume_conversion=1e-3,
            temperature_conversion=1.0,
            pressure_conversion=1e4,
            time_conversion=1e-3,
        ),
        ensemble=pv.data.EnsembleData(
            "NPT" if npt else "NVT",
            natoms=n,
            volume=None if npt else volumes[0],
            pressure=pressure_GPa,
            temperature=temperature_K,
        ),
        system=pv.data.SystemData(natoms=n, nconstraints=0, ndof_reduction_tra=3, ndof_reduction_rot=0),
        observables=pv.data.ObservableData(
            kinetic_energy=kinetic, potential_energy=potential, total_energy=kinetic + potential, volume=volumes
        ),
    )


def check_ensemble(first, second):
    """Kinetic energy by mean and width, and the ratio of both distributions: all within five standard errors."""
    pv = pytest.importorskip("physical_validation")
    for found in (first, second):
        assert np.all(np.abs(pv.kinetic_energy.distribution(found, verbosity=0, bootstrap_seed=1)) < 5)
    assert np.all(np.abs(pv.ensemble.check(first, second, verbosity=0, bootstrap_seed=1)) < 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nose-hoover", "rescale"])
def test_thermostats_on_a_network_by_physical_validation(network, name):
    found = []
    for kelvin in (2000.0, 2600.0):
        T = Ramp.constant(kelvin)
        integrator = NoseHoover(T, 21, 50.0) if name == "nose-hoover" else VelocityRescaling(T, 21, 50.0, 1)
        kinetic, potential, volumes, _ = of_network(network, integrator, 15000, 3000)
        found.append(simulation(kelvin, kinetic, potential, volumes))
    check_ensemble(*found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mtk", "rescale"])
def test_barostats_on_a_network_by_physical_validation(network, name):
    found = []
    for p in (6.0, 7.5):
        integrator = barostat_of_network(name, Ramp.constant(100.0), p)
        kinetic, potential, volumes, _ = of_network(network, integrator, 10000, 500)
        found.append(simulation(100.0, kinetic, potential, volumes, p))
    check_ensemble(*found)
