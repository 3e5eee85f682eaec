"""Thermostats and barostats: conserved quantities, reversibility, restart to the same bits."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from systems import argon

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.quantities import kinetic_energy, momentum
from mdnnp.atoms.system import volume
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.statistics import mean_with_error
from mdnnp.base.units import BOLTZMANN_EV_PER_K
from mdnnp.dynamics.input import read_config
from mdnnp.dynamics.integrators import (
    CellRescaling,
    ConstantEnergy,
    Langevin,
    MartynaTobiasKlein,
    MDState,
    NoseHoover,
    Ramp,
    VelocityRescaling,
    maxwell_boltzmann,
    scaled_to_temperature,
    without_momentum,
)
from mdnnp.dynamics.run import guarded_step, run
from mdnnp.dynamics.start import prepare
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.trajectory import Trajectory

LJ = LennardJones({"Ar": (0.0103408, 3.4)}, cutoff_A=5.0, smoothing="poly3")
T, P = Ramp.constant(60.0), Ramp.constant(0.1)
SHEAR = np.array([[1.0, 0.0, 0.0], [0.04, 1.02, 0.0], [0.03, -0.02, 0.98]])


def crystal():
    """32 argon atoms in a sheared cell, their masses, and their degrees of freedom."""
    system = argon(2, 0.05)
    system = system._replace(positions=system.positions @ SHEAR, cell=system.cell @ SHEAR)
    return system, np.full(32, 39.95), 93


def ensembles(system, n_degrees):
    return {
        "langevin": Langevin(T, 1.0, 3),
        "rescale": VelocityRescaling(T, n_degrees, 100.0, 3),
        "nose-hoover": NoseHoover(T, n_degrees, 100.0),
        **{f"mtk-{s}": MartynaTobiasKlein(T, P, n_degrees, 100.0, 500.0, s) for s in SHAPES},
        **{f"cell-{s}": CellRescaling(T, P, n_degrees, 100.0, 500.0, 0.5, volume(system.cell), s, 3) for s in SHAPES},
    }


SHAPES = ("isotropic", "anisotropic", "flexible")
DETERMINISTIC = ("nose-hoover", *(f"mtk-{s}" for s in SHAPES))
ALL = ("langevin", "rescale", *DETERMINISTIC, *(f"cell-{s}" for s in SHAPES))


def start(integrator, system, masses, compute, velocities=None):
    if velocities is None:
        velocities = maxwell_boltzmann(masses, 60.0, 1)
    return MDState(system, velocities, masses, compute(system), 0, bath=integrator.begin(system))


def lennard_jones():
    neighbors = VerletList(LJ.cutoff, 0.5)
    return lambda system: LJ.compute(system, neighbors.update(system))


@pytest.fixture(scope="module")
def equilibrated():
    """The crystal and its velocities after 6 ps of Langevin dynamics, at exactly 60 K and without net momentum.

    Far from equilibrium the links of a Nose-Hoover chain reach rates of 0.05 /fs. They damp each other by exp(20) in
    500 steps, and the way back amplifies rounding by as much, whatever the arithmetic.
    """
    system, masses, n_degrees = crystal()
    integrator, compute = Langevin(T, 5.0, 3), lennard_jones()
    state = start(integrator, system, masses, compute)
    for _ in range(3000):
        state = integrator.step(state, 2.0, compute)
    velocities = scaled_to_temperature(without_momentum(state.velocities, masses), masses, 60.0, n_degrees)
    return state.system, masses, n_degrees, velocities


def reversed_motion(state):
    bath = state.bath
    bath = bath._replace(chain=-bath.chain, cell_velocity=-bath.cell_velocity, cell_chain=-bath.cell_chain)
    return state._replace(velocities=-state.velocities, bath=bath)


@pytest.mark.parametrize("name", ("constant-energy", *DETERMINISTIC))
def test_reversible(name, equilibrated):
    system, masses, n_degrees, velocities = equilibrated
    compute = lennard_jones()
    integrator = (ensembles(system, n_degrees) | {"constant-energy": ConstantEnergy()})[name]
    begin = state = start(integrator, system, masses, compute, velocities)
    for _ in range(500):
        state = integrator.step(state, 2.0, compute)
    assert np.abs(state.system.positions - begin.system.positions).max() > 0.1
    state = reversed_motion(state)
    for _ in range(500):
        state = integrator.step(state, 2.0, compute)
    inverse = np.linalg.inv
    scaled = state.system.positions @ inverse(state.system.cell) - begin.system.positions @ inverse(begin.system.cell)
    assert np.abs(scaled).max() * np.max(begin.system.cell) < 1e-12
    assert np.abs(state.system.cell - begin.system.cell).max() < 1e-12
    assert np.abs(state.velocities + begin.velocities).max() < 1e-14
    assert state.bath.energy == pytest.approx(begin.bath.energy, abs=1e-12)


@pytest.mark.parametrize("name", [n for n in ALL if not n.startswith("cell")])
def test_conserved_energy_is_of_second_order(name):
    rms = []
    for h in (8.0, 4.0, 2.0):
        system, masses, n_degrees = crystal()
        integrator, compute = ensembles(system, n_degrees)[name], lennard_jones()
        state, energies = start(integrator, system, masses, compute), []
        for _ in range(int(800 / h)):
            state = integrator.step(state, h, compute)
            energies.append(integrator.conserved_energy(state))
        rms.append(np.std(energies))
    order = np.log2(rms[0] / rms[2]) / 2
    # Random numbers differ between time steps, so that noise makes the paths different ones.
    assert abs(order - 2) < (0.1 if name in DETERMINISTIC else 0.5), rms


@pytest.mark.parametrize("shape", SHAPES)
def test_effective_energy_of_cell_rescaling_converges(shape):
    """Its error is a random walk with steps of order h^(3/2), once h is small."""
    deviation = []
    for h in (1.0, 0.25):
        system, masses, n_degrees = crystal()
        integrator, compute = ensembles(system, n_degrees)[f"cell-{shape}"], lennard_jones()
        state, energies = start(integrator, system, masses, compute), []
        for _ in range(400):
            state = integrator.step(state, h, compute)
            energies.append(integrator.conserved_energy(state))
        deviation.append(np.std(np.diff(energies)))
    assert np.log2(deviation[0] / deviation[1]) / 2 > 1.2, deviation


@pytest.mark.parametrize("name", ALL)
def test_momentum_stays_zero_and_the_cell_lower_triangular(name):
    system, masses, n_degrees = crystal()
    integrator, compute = ensembles(system, n_degrees)[name], lennard_jones()
    state = start(integrator, system, masses, compute)
    for _ in range(50):
        state = integrator.step(state, 4.0, compute)
    if name != "langevin":
        assert np.abs(momentum(state.velocities, masses)).max() < 1e-13
    assert np.array_equal(np.tril(state.system.cell), state.system.cell)


INPUT = """\
[structure]
file = "argon.xyz"
replicate = [2, 2, 2]
[potential]
path = "lj.toml"
[dynamics]
steps = 60
timestep_fs = 4.0
temperature_K = 60
skin_A = 0.4
equilibration_steps = 12
%s
[output]
frame_interval = 7
thermo_interval = 3
checkpoint_interval = 25
"""
KEYS = {
    "nvt-langevin": "",
    "nvt-nose-hoover": "",
    "nvt-rescale": "fixed = [0, 5]",
    "npt-mtk": 'pressure_GPa = 0.1\ncell = "flexible"',
    "npt-rescale": 'pressure_GPa = 0.1\ncompressibility_per_GPa = 0.5\ncell = "anisotropic"',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corners = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    ase.io.write("argon.xyz", Atoms("Ar4", scaled_positions=corners, cell=[5.4] * 3, pbc=True))
    (tmp_path / "lj.toml").write_text(
        'kind = "lennard-jones"\ncutoff_A = 5.0\nsmoothing = "poly3"\n'
        "[elements.Ar]\nepsilon_eV = 0.0103408\nsigma_A = 3.4\n"
    )
    return tmp_path


def series(path):
    with Trajectory(path) as t:
        found = {f"thermo {name}": column for name, column in t.thermo.items()}
        return found | {"positions": t.positions(), "velocities": t.velocities(), "cells": t.cells()}


@pytest.mark.parametrize("ensemble", KEYS)
def test_restart_is_exact(folder, ensemble):
    text = INPUT % f'ensemble = "{ensemble}"\n{KEYS[ensemble]}'
    for name, steps in (("whole", (60,)), ("parts", (5, 33, 60))):
        for n in steps:
            (folder / f"{name}.toml").write_text(text.replace("steps = 60", f"steps = {n}", 1))
            run(read_config(f"{name}.toml"), resume=True)
    whole, parts = series("whole.h5"), series("parts.h5")
    assert whole.keys() == parts.keys()
    for name, column in whole.items():
        np.testing.assert_array_equal(column, parts[name], err_msg=name)
    assert np.std(whole["thermo conserved_energy"][5:]) < 1e-3 * np.std(whole["thermo kinetic_energy"][5:])
    if ensemble.startswith("npt"):
        expected = 32 * 39.95 * 1.66053906660 / whole["thermo volume"]
        np.testing.assert_allclose(whole["thermo density"], expected, rtol=1e-3)
        assert np.ptp(whole["thermo volume"]) > 0
    if "fixed" in KEYS[ensemble]:
        assert not whole["velocities"][:, [0, 5]].any()
        assert np.array_equal(whole["positions"][0, [0, 5]], whole["positions"][-1, [0, 5]])
        assert whole["velocities"][:, [1, 6]].any()


@pytest.mark.parametrize(("keys", "pbc", "expected"), [
    ('ensemble = "npt-mtk"\npressure_GPa = 0', "T T F", "the pressure is not defined"),
    ('ensemble = "nvt-rescale"\nfixed = [32]', "T T T", "names atom 32"),
    (f'ensemble = "nvt-rescale"\nfixed = {list(range(32))}', "T T T", "at least one must move"),
])  # fmt: skip
def test_refusals(folder, keys, pbc, expected):
    (folder / "run.toml").write_text(INPUT % keys)
    path = folder / "argon.xyz"
    path.write_text(path.read_text().replace('pbc="T T T"', f'pbc="{pbc}"'))
    if "F" in pbc:
        (folder / "run.toml").write_text((INPUT % keys).replace("[2, 2, 2]", "[2, 2, 1]"))
    with pytest.raises(InputError, match=expected):
        run(read_config("run.toml"))


@pytest.mark.parametrize(("ensemble", "fixed", "n_degrees"), [
    ("nve", [], 93), ("nvt-langevin", [], 96), ("nvt-rescale", [], 93), ("nvt-nose-hoover", [0, 5, 7], 87),
    ("nvt-langevin", [3], 93), ("npt-mtk", [], 93),
])  # fmt: skip
def test_degrees_of_freedom(folder, ensemble, fixed, n_degrees):
    """3 for each atom that moves, less 3 where the total momentum stays zero: the drawn temperature counts them."""
    keys = KEYS[ensemble].replace("fixed = [0, 5]", "") if ensemble in KEYS else ""
    keys += f"\nfixed = {fixed}" if fixed else ""
    (folder / "run.toml").write_text(INPUT % f'ensemble = "{ensemble}"\n{keys}')
    begin = prepare(read_config("run.toml"))
    assert begin.n_degrees == n_degrees
    kinetic = kinetic_energy(begin.velocities, begin.masses)
    assert kinetic == pytest.approx(0.5 * n_degrees * BOLTZMANN_EV_PER_K * 60.0, rel=1e-12)
    assert not begin.velocities[fixed].any()


@pytest.mark.parametrize("name", ["langevin", "rescale"])
def test_fixed_atoms_leave_the_others_their_temperature(name):
    """16 of 32 atoms fixed: the others share 48 degrees of freedom, and each of them has its own part."""
    system, masses, _ = crystal()
    integrator = {"langevin": Langevin(T, 5.0, 3), "rescale": VelocityRescaling(T, 48, 100.0, 3)}[name]
    compute, fixed = lennard_jones(), np.arange(0, 32, 2)
    velocities = maxwell_boltzmann(masses, 60.0, 1)
    velocities[fixed] = 0.0
    state = start(integrator, system, masses, compute, velocities)._replace(fixed=fixed)
    kinetic, first = [], []
    for _ in range(8000):
        state = integrator.step(state, 4.0, compute)
        kinetic.append(float(kinetic_energy(state.velocities, masses)))
        first.append(float(kinetic_energy(state.velocities[1:2], masses[1:2])))
    kT = BOLTZMANN_EV_PER_K * 60.0
    for found, expected in ((kinetic, 24 * kT), (first, 1.5 * kT)):
        mean = mean_with_error(np.array(found[1000:]))
        assert mean.error < 0.15 * expected
        assert abs(mean.mean - expected) < 5 * mean.error
    assert np.array_equal(state.system.positions[fixed], system.positions[fixed])


def test_a_thermostat_that_overflows_stops_the_run(folder):
    text = INPUT % 'ensemble = "nvt-nose-hoover"'
    (folder / "run.toml").write_text(text.replace("equilibration_steps = 12\n", ""))
    begin = prepare(read_config("run.toml"))
    bath = begin.integrator.begin(begin.system)._replace(chain=np.array([0.0, -400.0, 0.0]))
    compute = lennard_jones()
    state = MDState(begin.system, begin.velocities, begin.masses, compute(begin.system), 0, bath=bath)
    with pytest.raises(PhysicsError, match=r"step 1 .*overflow"):
        guarded_step(state, begin, read_config("run.toml"), compute)


def test_ramp_is_linear_and_ends():
    ramp = Ramp(100.0, 300.0, 10, 100)
    assert [ramp.during(n) for n in (0, 10, 59, 109, 500)] == [100.0, 101.0, 199.0, 299.0, 300.0]
