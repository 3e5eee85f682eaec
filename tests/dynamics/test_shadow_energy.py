"""The shadow energy: exact where the modified Hamiltonian is known, of eighth order, blind to origin and constants."""

import math

import numpy as np
import pytest
from systems import argon

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.system import make_system
from mdnnp.base.units import EV_PER_U_A2_PER_FS2
from mdnnp.dynamics.integrators import MDState, maxwell_boltzmann, total_energy, verlet_step
from mdnnp.dynamics.shadow_energy import REACH, ShadowEnergy
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Results
from mdnnp.potentials.lennard_jones import LennardJones

WEIGHTS = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
EPSILON, SIGMA, ARGON_TIME_FS = 0.0103408, 3.4, 2151.8


def results(energy, forces):
    n = len(forces)
    return Results(energy, np.full(n, energy / n), forces, np.zeros((3, 3)), np.empty((0, 3, 3)), NO_EXTRAPOLATION)


def trajectory(compute, positions, velocities, masses, timestep_fs, n_steps):
    """The states 0 .. n_steps of velocity Verlet."""
    system = make_system(positions, [1] * len(positions))
    states = [MDState(system, np.array(velocities, float), np.array(masses, float), compute(system), 0)]
    for _ in range(n_steps):
        states.append(verlet_step(states[-1], timestep_fs, compute))
    return states


def shadows(states, timestep_fs, interval=1):
    """Step -> shadow energy."""
    shadow = ShadowEnergy(timestep_fs, states[0].masses, interval)
    found = {state.step - REACH: shadow.add(state) for state in states}
    return {step: value for step, value in found.items() if value is not None}


def as_published(states, timestep_fs, dtype, beta=0.0):
    """The formula as Skeel and Hardy write it, with beta summed up from `beta`; step -> value in `dtype`."""
    h, mass = dtype(timestep_fs), np.asarray(states[0].masses, dtype)[:, None] * dtype(EV_PER_U_A2_PER_FS2)
    q = [np.asarray(s.system.positions, dtype) for s in states]
    p = [np.asarray(s.velocities, dtype) * mass for s in states]
    a = [2 * dtype(s.results.energy) + np.sum(x * s.results.forces) for x, s in zip(q, states, strict=True)]
    beta = [dtype(beta)]
    for n in range(len(states) - 1):
        beta.append(beta[n] - h / 2 * (a[n] + a[n + 1]))

    def difference(series, n):
        return sum(dtype(w) * (series[n + k] - series[n - k]) for k, w in enumerate(WEIGHTS, 1)) / h

    return {
        n: (np.sum(difference(q, n) * p[n]) - np.sum(difference(p, n) * q[n]) - difference(beta, n)) / 2
        for n in range(REACH, len(states) - REACH)
    }


def oscillator(stiffness, offset=0.0):
    def compute(system):
        x = system.positions
        return results(0.5 * float(np.sum(stiffness * x**2)) + offset, -stiffness * x)

    return compute


@pytest.mark.parametrize("omega_h", [0.8, 0.4, 0.2, 0.1])
def test_harmonic_oscillator(omega_h):
    """Its modified Hamiltonian is known: theta / sin(theta) times the quadratic form that the map keeps.

    The estimate is that same form with the eighth-order difference of sin(k theta) in place of theta, to rounding.
    """
    mass, h = 2.0, 0.7
    omega = omega_h / h
    k = mass * omega**2 * EV_PER_U_A2_PER_FS2
    states = trajectory(oscillator(k), [[0.1, -0.05, 0.02]], [[0.01, 0.003, -0.02]], [mass], h, 40)
    theta = math.acos(1 - omega_h**2 / 2)
    s = states[7]
    kept = 0.5 * mass * EV_PER_U_A2_PER_FS2 * np.sum(s.velocities**2)
    kept += 0.5 * k * (1 - omega_h**2 / 4) * np.sum(s.system.positions**2)
    estimate = 2 * sum(w * math.sin(j * theta) for j, w in enumerate(WEIGHTS, 1))
    found = np.array(list(shadows(states, h).values()))
    np.testing.assert_allclose(found, estimate / math.sin(theta) * kept, rtol=3e-13)
    assert abs(found.mean() / (theta / math.sin(theta) * kept) - 1) < theta**8 / 630 + 3e-13  # eighth order


def morse_chain(system):
    """Atoms bound by Morse potentials in a quartic well, far from harmonic."""
    x = system.positions
    forces, energy = -4e-2 * x**3, 1e-2 * np.sum(x**4)
    for i in range(len(x) - 1):
        d = x[i + 1] - x[i]
        r = np.linalg.norm(d)
        e = np.exp(-1.5 * (r - 1.2))
        energy += 2.0 * (1 - e) ** 2
        pull = 6.0 * (1 - e) * e * d / r
        forces[i] += pull
        forces[i + 1] -= pull
    return results(float(energy), forces)


def chain(timestep_fs, n_steps):
    rng = np.random.default_rng(3)
    positions = np.cumsum(rng.normal(0, 0.1, (5, 3)) + np.array([1.15, 0, 0]), axis=0)
    positions -= positions.mean(axis=0)
    masses = rng.uniform(1, 20, 5)
    return trajectory(morse_chain, positions, maxwell_boltzmann(masses, 300.0, 1), masses, timestep_fs, n_steps)


def test_order_of_convergence():
    """Where all derivatives exist the rms goes as the eighth power of the time step, the energy's as the second."""
    rms, plain = [], []
    for h in (0.8, 0.4, 0.2):
        states = chain(h, round(160 / h))
        rms.append(np.std(list(shadows(states, h).values())))
        plain.append(np.std([total_energy(s) for s in states]))
    orders = np.log2(np.array(rms[:-1]) / rms[1:])
    assert np.all(np.abs(orders - 8) < 0.4), orders
    assert np.all(np.abs(np.log2(np.array(plain[:-1]) / plain[1:]) - 2) < 0.2)
    assert rms[-1] < 1e-6 * plain[-1]


def test_against_the_published_formula_in_extended_precision():
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("no extended precision on this machine")
    states = chain(0.5, 30)
    found, expected = shadows(states, 0.5), as_published(states, 0.5, np.longdouble)
    assert list(found) == list(expected)
    scale = max(abs(total_energy(s)) for s in states)
    assert max(abs(found[n] - float(expected[n])) for n in found) < 1e-14 * scale


def test_rounding_of_a_large_and_long_run():
    """8,640 atoms after 50 ps: the published form has lost six digits more than ours, which loses none to speak of.

    Energies have the constants of water's potential in them (-6e6 eV), positions have diffused, and beta has grown
    over 100,000 steps.
    """
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("no extended precision on this machine")
    n, h = 8640, 0.5
    rng = np.random.default_rng(2)
    offset = -2041.0 * n / 3
    k = rng.uniform(1, 40, (n, 3))
    masses = np.resize([16.0, 1.0, 1.0], n)
    home = rng.normal(0, 40.0, (n, 3))

    def compute(system):
        x = system.positions - home
        return results(0.5 * float(np.sum(k * x**2)) + offset, -k * x)

    velocities = maxwell_boltzmann(masses, 300.0, 1)
    states = trajectory(compute, home + rng.normal(0, 0.05, (n, 3)), velocities, masses, h, 8)
    exact = float(as_published(states, h, np.longdouble)[REACH] - np.longdouble(offset))
    ours = shadows(states, h)[REACH] - offset
    assert abs(ours - exact) < 4 * np.spacing(abs(offset))  # a few of the last bit of the energy itself
    grown = -h * 2 * offset * 100_000
    published = float(as_published(states, h, np.float64, beta=grown)[REACH]) - offset
    assert abs(published - exact) > 1e4 * abs(ours - exact)


def test_origin_and_constants_do_not_matter():
    states = chain(0.5, 12)
    reference = shadows(states, 0.5)
    moved = [
        s._replace(
            system=s.system._replace(positions=s.system.positions + np.array([700.0, -300.0, 0.0])),
            results=s.results._replace(energy=s.results.energy - 1e6),
        )
        for s in states
    ]
    for step, value in shadows(moved, 0.5).items():
        assert value + 1e6 == pytest.approx(reference[step], abs=5e-10)


def test_only_every_so_many_steps_and_only_with_all_neighbours():
    states = chain(0.5, 50)
    every = shadows(states, 0.5)
    assert list(every) == list(range(4, 47))
    for interval in (2, 3, 9, 10, 40):
        some = shadows(states, 0.5, interval)
        assert some == {step: value for step, value in every.items() if step % interval == 0}


@pytest.mark.parametrize("interval", [1, 3, 10, 25])
def test_goes_on_to_the_same_bits(interval):
    states = chain(0.5, 60)
    expected = shadows(states, 0.5, interval)
    for cut in (0, 3, 8, 9, 10, 14, 24, 25, 29):
        first, second = (ShadowEnergy(0.5, states[0].masses, interval) for _ in range(2))
        found = {s.step - REACH: first.add(s) for s in states[:cut]}
        meta, arrays = first.saved()
        needed = [s for s in states[:cut] if any(abs(s.step - n) <= 4 and n + 4 >= cut for n in expected)]
        assert len(arrays["window_positions"]) >= len(needed)
        second.restore(meta, {name: array.copy() for name, array in arrays.items()})
        found |= {s.step - REACH: second.add(s) for s in states[cut:]}
        assert {step: value for step, value in found.items() if value is not None} == expected


def lennard_jones(smoothing, timestep_fs, duration_fs):
    """rms of total and shadow energy, in epsilon, of 108 atoms of hot argon, in which atoms cross the cutoff."""
    system = argon(3, 0.1)
    system = system._replace(positions=system.positions * 1.05, cell=system.cell * 1.05)
    inner = None if smoothing in ("truncated", "shifted") else 2.0 * SIGMA
    potential = LennardJones({"Ar": (EPSILON, SIGMA)}, 2.4 * SIGMA, smoothing, inner)
    neighbors, masses = VerletList(potential.cutoff, 1.0), np.full(len(system), 39.95)

    def compute(system):
        return potential.compute(system, neighbors.update(system))

    velocities = maxwell_boltzmann(masses, 120.0, 3)
    state, shadow = MDState(system, velocities, masses, compute(system), 0), ShadowEnergy(timestep_fs, masses)
    energies, found = [], []
    for _ in range(round(duration_fs / timestep_fs)):
        state = verlet_step(state, timestep_fs, compute)
        energies.append(total_energy(state))
        found.append(shadow.add(state))
    tail = len(energies) // 10
    return np.std(energies[tail:]) / EPSILON, np.std([x for x in found if x is not None][tail:]) / EPSILON


def test_smoothness_of_lennard_jones():
    """The plain energy of C^1 and C^3 is the same; the shadow energy tells every class from the next."""
    duration = 0.8 * ARGON_TIME_FS
    rms = {
        s: lennard_jones(s, 1e-3 * ARGON_TIME_FS, duration) for s in ("truncated", "shifted", "cos", "poly2", "poly3")
    }
    plain, shadow = ({s: pair[k] for s, pair in rms.items()} for k in (0, 1))
    assert plain["cos"] / plain["poly3"] == pytest.approx(1, abs=0.1)
    assert shadow["truncated"] > 30 * shadow["shifted"] > 900 * shadow["cos"]
    assert shadow["cos"] > 30 * shadow["poly2"] > 900 * shadow["poly3"]
    assert shadow["truncated"] / plain["truncated"] == pytest.approx(1, abs=0.05)
    assert shadow["poly3"] < 1e-5 * plain["poly3"]
    coarse = lennard_jones("poly3", 4e-3 * ARGON_TIME_FS, duration)
    assert coarse[0] / plain["poly3"] == pytest.approx(16, rel=0.1)
    assert coarse[1] / shadow["poly3"] > 4**4  # the kink in the third derivative of the force ends the eighth order
