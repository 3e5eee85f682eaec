"""Kinetic observables against closed formulas; error bars against many series with a known answer."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase import units as ase_units

from mdnnp.atoms import quantities
from mdnnp.base import statistics
from mdnnp.base.errors import InputError
from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2


def ar1(rng, phi, n_samples, n_series):
    """(n_series, n_samples) stationary Gaussian series of unit variance with autocorrelation phi^t."""
    x = np.empty((n_series, n_samples))
    x[:, 0] = rng.standard_normal(n_series)
    kicks = rng.standard_normal((n_series, n_samples)) * math.sqrt(1 - phi**2)
    for t in range(1, n_samples):
        x[:, t] = phi * x[:, t - 1] + kicks[:, t]
    return x


@pytest.fixture
def gas():
    rng = np.random.default_rng(3)
    return rng.normal(0, 0.01, (4, 7, 3)), rng.uniform(1, 60, 7)


def test_kinetic_energy_and_temperature_agree_with_ase(gas):
    velocities, masses = gas
    atoms = Atoms(numbers=[1] * 7, masses=masses)
    atoms.set_velocities(velocities[0] / ase_units.fs)
    kinetic = quantities.kinetic_energy(velocities[0], masses)
    assert kinetic == pytest.approx(atoms.get_kinetic_energy(), rel=1e-6)  # ASE: CODATA 2014
    assert quantities.temperature(kinetic, 21) == pytest.approx(atoms.get_temperature(), rel=1e-6)


def test_one_kinetic_energy_unit():
    # 1 u at 1 Å/fs = 1e5 m/s: m v^2 / 2 in eV, from CODATA values written out here.
    expected = 0.5 * 1.66053906660e-27 * 1e5**2 / 1.602176634e-19
    assert quantities.kinetic_energy(np.array([[1.0, 0, 0]]), np.array([1.0])) == pytest.approx(expected, rel=1e-14)


def test_stacks_of_frames_equal_single_frames(gas):
    velocities, masses = gas
    for f in (quantities.kinetic_energy, quantities.kinetic_tensor, quantities.momentum):
        stacked = f(velocities, masses)
        np.testing.assert_allclose(stacked, [f(v, masses) for v in velocities], rtol=1e-13)
        np.testing.assert_allclose(f(velocities, np.tile(masses, (4, 1))), stacked, rtol=1e-13)


def test_half_trace_of_the_kinetic_tensor_is_the_kinetic_energy(gas):
    velocities, masses = gas
    tensor = quantities.kinetic_tensor(velocities, masses)
    np.testing.assert_allclose(np.trace(tensor, axis1=1, axis2=2) / 2, quantities.kinetic_energy(velocities, masses))
    loop = sum(m * np.outer(v, v) for m, v in zip(masses, velocities[0], strict=True)) * EV_PER_U_A2_PER_FS2
    np.testing.assert_allclose(tensor[0], loop, rtol=1e-12)


def test_momentum(gas):
    velocities, masses = gas
    np.testing.assert_allclose(quantities.momentum(velocities[0], masses), masses @ velocities[0])


def test_degrees_of_freedom():
    assert quantities.degrees_of_freedom(10) == 27
    assert quantities.degrees_of_freedom(10, momentum_removed=False) == 30
    assert quantities.degrees_of_freedom(1) == 3


def test_pressure_of_an_ideal_gas_is_n_kt_over_v():
    rng = np.random.default_rng(0)
    n, temperature, volume = 200_000, 300.0, 1e6
    mass = 40.0
    velocities = rng.normal(size=(n, 3)) * math.sqrt(BOLTZMANN_EV_PER_K * temperature / mass / EV_PER_U_A2_PER_FS2)
    tensor = quantities.kinetic_tensor(velocities, np.full(n, mass))
    pressure = quantities.pressure(tensor, np.zeros((3, 3)), volume)
    assert pressure == pytest.approx(n * BOLTZMANN_EV_PER_K * temperature / volume, rel=5 / math.sqrt(1.5 * n))


def test_pressure_at_rest_is_minus_the_volume_derivative():
    # Pairs with E = sum k/r at rest, in a volume that only scales: P = -dE/dV = E / (3 V).
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 5, (6, 3))
    d = x[None, :] - x[:, None]
    i, j = np.triu_indices(6, 1)
    r = np.linalg.norm(d[i, j], axis=1)
    energy = np.sum(1 / r)
    strain_derivative = np.einsum("p,pa,pb->ab", -1 / r**3, d[i, j], d[i, j])
    tensor = quantities.pressure_tensor(np.zeros((3, 3)), -strain_derivative, 125.0)
    np.testing.assert_allclose(tensor, tensor.T)
    assert quantities.pressure(np.zeros((3, 3)), -strain_derivative, 125.0) == pytest.approx(energy / 375.0, rel=1e-12)


def test_pressure_without_a_volume_is_nan():
    assert np.isnan(quantities.pressure(np.eye(3), np.eye(3), 0.0))


@pytest.mark.parametrize(("phi", "n_samples"), [(0.0, 400), (0.5, 1000), (0.9, 4000), (0.97, 12000)])
def test_error_bar_of_a_mean_is_right_for_correlated_series(phi, n_samples):
    series = 5.0 + 3.0 * ar1(np.random.default_rng(7), phi, n_samples, 300)
    results = [statistics.mean_with_error(s) for s in series]
    assert all(r.enough for r in results)
    scores = np.array([(r.mean - 5.0) / r.error for r in results])
    assert 0.75 < np.var(scores) < 1.35  # 300 series: about 1 +- 0.08
    assert 0.92 < np.mean(np.abs(scores) < 1.96) <= 0.98
    tau = np.mean([r.correlation_samples for r in results])
    assert tau == pytest.approx(0.5 + phi / (1 - phi), rel=0.1)


def test_naive_error_of_the_same_series_would_be_far_too_small():
    series = ar1(np.random.default_rng(7), 0.97, 12000, 100)
    naive = np.mean(series, axis=1) / (np.std(series, axis=1) / math.sqrt(12000))
    assert np.var(naive) > 30  # so the test above can fail


def test_anticorrelation_does_not_shrink_the_error_bar_of_a_mean():
    mean = statistics.mean_with_error(np.tile([1.0, -1.0], 500))
    assert mean.error == pytest.approx(1 / math.sqrt(1000), rel=1e-2)


def test_mean_of_few_samples_has_no_error_bar():
    assert not statistics.mean_with_error(np.arange(5.0)).enough
    assert statistics.mean_with_error([2.0]).mean == 2.0
    walk = np.cumsum(np.random.default_rng(0).standard_normal(300))
    assert not statistics.mean_with_error(walk).enough


def test_constant_series():
    mean = statistics.mean_with_error(np.full(100, 0.1))
    assert mean.mean == 0.1 and mean.error == 0.0
    drift = statistics.drift(np.arange(100.0), np.full(100, -1e6 - 0.1), 10)
    assert drift.slope_eV_per_atom_ps == 0 and drift.error_eV_per_atom_ps == 0 and drift.sigmas == 0


@pytest.mark.parametrize(("phi", "n_samples"), [(0.0, 200), (0.5, 1000), (0.9, 4000), (0.97, 12000)])
def test_error_bar_of_a_drift_is_right_for_correlated_series(phi, n_samples):
    n_atoms, slope = 50, 2e-3  # eV/ps for the whole system
    time = 0.5 * np.arange(n_samples)
    noise = 0.01 * ar1(np.random.default_rng(11), phi, n_samples, 300)
    results = [statistics.drift(time, -4e5 + slope * time * 1e-3 + e, n_atoms) for e in noise]
    assert all(r.enough and not r.note for r in results)
    assert all(10 <= r.n_blocks <= 20 for r in results)
    scores = np.array([(r.slope_eV_per_atom_ps - slope / n_atoms) / r.error_eV_per_atom_ps for r in results])
    # Student's t with 18 (8) degrees of freedom has the variance 1.13 (1.33).
    assert 0.8 < np.var(scores) < 1.5
    assert abs(np.mean(scores)) < 0.25
    assert 0.88 < np.mean(np.abs(scores) < 2.1) <= 0.985


def test_textbook_error_of_the_same_drifts_would_be_far_too_small():
    time = np.arange(12000.0)
    centred = time - time.mean()
    scores = []
    for x in ar1(np.random.default_rng(11), 0.97, 12000, 100):
        slope = centred @ x / (centred @ centred)
        residual = x - x.mean() - slope * centred
        scores.append(slope / math.sqrt(residual @ residual / (len(x) - 2) / (centred @ centred)))
    assert np.var(scores) > 30


def test_drift_of_a_straight_line_in_every_unit():
    time = np.linspace(0, 10_000, 401)  # 10 ps
    kinetic = 3.0 + np.tile([0.5, -0.5], 201)[:401]
    d = statistics.drift(time, 7.0 + 1e-3 * time * 1e-3, 20, kinetic_eV=kinetic, temperature_K=250.0, n_degrees=57)
    assert d.slope_eV_per_atom_ps == pytest.approx(1e-3 / 20, rel=1e-9)
    assert d.slope_meV_per_atom_ns == pytest.approx(50.0, rel=1e-9)
    # 1e-3 eV/ps in all = 1 eV/ns over 57 degrees of freedom, in kT
    assert d.kT_per_ns_per_degree == pytest.approx(1.0 / 57 / (BOLTZMANN_EV_PER_K * 250), rel=1e-9)
    assert d.duration_ps == pytest.approx(10.0, rel=0.05)
    assert d.change_eV_per_atom == pytest.approx(d.duration_ps * 1e-3 / 20, rel=1e-9)
    assert d.change_over_kinetic_deviation == pytest.approx(d.duration_ps * 1e-3 / 0.5, rel=1e-2)
    assert d.rms_eV_per_atom < 1e-14


def test_rms_is_that_of_the_noise_per_atom():
    noise = np.random.default_rng(0).standard_normal(5000)
    d = statistics.drift(np.arange(5000.0), 0.4 * noise + np.arange(5000) * 0.01, 8)
    assert d.rms_eV_per_atom == pytest.approx(0.05, rel=0.05)


def test_warm_up_is_left_out():
    time = np.arange(2000.0)
    energy = np.where(time < 500, 100 * np.exp(-time / 50), 0) + 1e-3 * time
    with_warmup = statistics.drift(time, energy, 1, warmup_fs=500)
    assert with_warmup.slope_eV_per_atom_ps == pytest.approx(1.0, rel=1e-9)
    assert with_warmup.start_ps == 0.5
    assert abs(statistics.drift(time, energy, 1).slope_eV_per_atom_ps - 1.0) > 1


def test_time_that_starts_late_changes_nothing():
    time, energy = np.arange(0.0, 500.0), np.random.default_rng(2).standard_normal(500)
    early, late = (
        statistics.drift(time, energy, 3, warmup_fs=100),
        statistics.drift(time + 8192.0, energy, 3, warmup_fs=100),
    )
    assert late.slope_eV_per_atom_ps == pytest.approx(early.slope_eV_per_atom_ps, rel=1e-9)
    assert late.n_samples == early.n_samples


@pytest.mark.parametrize("n", [1, 2, 19])
def test_too_few_samples_say_so(n):
    d = statistics.drift(np.arange(float(n)), np.arange(float(n)), 2)
    assert not d.enough
    assert math.isnan(d.slope_eV_per_atom_ps) and math.isnan(d.error_eV_per_atom_ps)
    assert "not enough data" in d.note and "not enough data" in str(d)
    assert math.isnan(d.kT_per_ns_per_degree) and math.isnan(d.change_over_kinetic_deviation)


def test_a_warm_up_longer_than_the_run_says_so():
    assert "not enough data" in statistics.drift(np.arange(100.0), np.arange(100.0), 2, warmup_fs=1e6).note


def test_runs_of_few_correlation_times_are_flagged():
    flagged = [statistics.drift(np.arange(200.0), x, 1) for x in ar1(np.random.default_rng(5), 0.99, 200, 100)]
    assert np.mean(["correlation times" in d.note for d in flagged]) > 0.9
    assert np.mean([not d.enough for d in flagged]) > 0.5
    assert all(math.isfinite(d.slope_eV_per_atom_ps) for d in flagged)


def test_a_drift_that_only_rounding_disturbs_is_exact():
    time = np.arange(0.0, 1e4, 10.0)
    d = statistics.drift(time, -123456.7 + 1e-9 * time, 1)
    assert d.enough and d.slope_eV_per_atom_ps == pytest.approx(1e-6, rel=1e-3)


def test_a_curved_drift_has_no_error_bar():
    time = np.arange(1000.0)
    d = statistics.drift(time, (time / 1000) ** 3 + 1e-4 * np.random.default_rng(0).standard_normal(1000), 1)
    assert not d.enough and "not linear" in d.note


def test_any_number_of_samples_from_20_gives_10_to_20_blocks():
    rng = np.random.default_rng(0)
    for n in range(20, 130):
        assert 10 <= statistics.drift(np.arange(float(n)), rng.standard_normal(n), 1).n_blocks <= 20


def test_unresolved_and_resolved_drifts():
    rng = np.random.default_rng(4)
    time, noise = np.arange(1000.0), rng.standard_normal(1000)
    assert statistics.drift(time, noise, 1).sigmas < 3
    assert statistics.drift(time, noise + 0.01 * time, 1).sigmas > 10


def test_a_slope_that_the_shadow_energy_lacks_is_the_integrators_error():
    rng = np.random.default_rng(5)
    time = np.arange(5000.0)
    slow = 3e-4 * np.cos(time / 2000) + 1e-3 * rng.standard_normal(5000)  # H - shadow follows a slow mode
    keeps, leaks = 1e-7 * rng.standard_normal(5000), 2e-7 * time
    total = statistics.drift(time, slow + keeps, 1)
    assert total.sigmas > 3
    assert statistics.is_verlet_error(total, statistics.drift(time, keeps, 1))
    assert not statistics.is_verlet_error(statistics.drift(time, slow + leaks, 1), statistics.drift(time, leaks, 1))
    assert not statistics.is_verlet_error(total, None)
    assert not statistics.is_verlet_error(
        statistics.drift(time, keeps, 1), statistics.drift(time, keeps, 1)
    )  # nothing to explain


@pytest.mark.parametrize(
    ("time", "energy", "text"),
    [
        (np.arange(50.0), np.r_[np.zeros(49), np.nan], "sample 49 is nan"),
        (np.arange(49.0), np.zeros(50), "49 times but 50 energies"),
        (np.r_[np.arange(25.0), np.arange(25.0)], np.zeros(50), "times must increase, but sample 25"),
        (np.empty(0), np.empty(0), "at least one value"),
    ],
)
def test_bad_series_are_refused(time, energy, text):
    with pytest.raises(InputError, match=text):
        statistics.drift(time, energy, 4)


def test_default_warm_up_is_the_equilibration_or_a_tenth():
    time = np.arange(100.0, 1101.0)
    assert statistics.default_warmup_fs(time) == pytest.approx(100.0)
    assert statistics.default_warmup_fs(time, 350.0) == pytest.approx(250.0)
    assert statistics.default_warmup_fs(time, 50.0) == 0.0
    assert statistics.default_warmup_fs(np.empty(0)) == 0.0


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-1.0234, 0.412, "-1.02 ± 0.41 K"),
        (94.466, 0.1834, "94.47 ± 0.18 K"),
        (1234.5, 56.0, "1234 ± 56 K"),
        (1.1621e-9, 5.6e-10, "(1.16 ± 0.56)e-09 K"),
        (-3e-12, 4.2e-9, "(-0.0 ± 4.2)e-09 K"),
        (0.5, math.nan, "0.5 ± ? K"),
        (0.25, 0.0, "0.25 K"),
        (94.4, 1e-16, "94.4 K"),
        (0.0, 0.0, "0 K"),
        (0.0, 2e-8, "(0.0 ± 2.0)e-08 K"),
    ],
)
def test_numbers_with_error_bars_as_text(value, error, text):
    assert statistics.plus_minus(value, error, "K") == text
