"""The heat current of neural network potentials against finite differences, and its way into a run's log."""

import numpy as np
import pytest
from places import GOLDEN

from mdnnp.atoms.quantities import heat_current
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import make_system
from mdnnp.base.units import ACCELERATION_A_PER_FS2, EV_PER_U_A2_PER_FS2
from mdnnp.dynamics import input
from mdnnp.dynamics.run import run
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.load import load_potential
from mdnnp.trajectory import Trajectory


def open_cluster(name):
    """A golden potential with a cluster of its structure: the same atoms, no cell."""
    potential = load_potential(GOLDEN / name, "Angstrom", "eV")
    system = read_structures(GOLDEN / name / "input.data", length_unit="Angstrom", energy_unit="eV")[0].system
    rng = np.random.default_rng(1)
    masses = rng.uniform(1, 20, len(system))
    velocities = rng.normal(0, 0.02, (len(system), 3))
    return potential, make_system(system.positions, system.numbers, None, False), masses, velocities


def moment(potential, system, masses, velocities):
    """sum_i r_i e_i, eV Å."""
    results = potential.compute(system)
    kinetic = 0.5 * EV_PER_U_A2_PER_FS2 * masses * np.sum(velocities**2, axis=1)
    return (results.atomic_energies + kinetic) @ system.positions


def time_derivative(potential, system, masses, velocities):
    """d/dt sum_i r_i e_i along the motion, by the five-point formula."""
    acceleration = potential.compute(system).forces / masses[:, None] * ACCELERATION_A_PER_FS2

    def at(t):
        moved = system._replace(positions=system.positions + t * velocities)
        return moment(potential, moved, masses, velocities + t * acceleration)

    h = 0.02
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


@pytest.mark.parametrize("name", ["all1", "all4", "b_t13"])
def test_heat_current_is_the_rate_of_the_energy_moment(name):
    potential, system, masses, velocities = open_cluster(name)
    results = potential.compute(system, atomic_virials=True)
    arguments = velocities, masses, results.atomic_energies
    expected = time_derivative(potential, system, masses, velocities)
    scale = np.abs(np.einsum("iab,ib->ia", results.atomic_virials, velocities)).sum()
    assert scale > 0
    current = heat_current(*arguments, results.atomic_virials)
    assert np.abs(current - expected).max() < 1e-8 * scale
    transposed = np.swapaxes(results.atomic_virials, 1, 2)
    for wrong in (transposed, 0.5 * (results.atomic_virials + transposed)):
        assert np.abs(heat_current(*arguments, wrong) - expected).max() > 1e-4 * scale


@pytest.mark.parametrize("name", ["all4", "tv", "big1"])
def test_atomic_virials_sum_to_minus_the_strain_derivative(name):
    potential = load_potential(GOLDEN / name, "Angstrom", "eV")
    system = read_structures(GOLDEN / name / "input.data", length_unit="Angstrom", energy_unit="eV")[0].system
    total = potential.compute(system, atomic_virials=True).atomic_virials.sum(axis=0)
    h, derivative = 1e-4, np.empty((3, 3))
    for a in range(3):
        for b in range(3):
            energies = []
            for t in (h, -h, 2 * h, -2 * h):
                f = np.eye(3)
                f[b, a] += t
                strained = system._replace(positions=system.positions @ f, cell=system.cell @ f)
                energies.append(potential.compute(strained).energy)
            derivative[b, a] = (8 * (energies[0] - energies[1]) - (energies[2] - energies[3])) / (12 * h)
    assert np.abs(total + derivative).max() < 1e-6 * max(1.0, np.abs(derivative).max())


def test_a_run_records_its_heat_current(tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3) * 4.0 + rng.normal(0, 0.1, (27, 3))
    lines = [f"Ar {x} {y} {z}" for x, y, z in grid]
    (tmp_path / "ar.xyz").write_text('27\nLattice="12 0 0 0 12 0 0 0 12" pbc="T T T"\n' + "\n".join(lines) + "\n")
    (tmp_path / "lj.toml").write_text(LJ)
    text = INPUT.format(heat="heat_current = true")
    (tmp_path / "run.toml").write_text(text)
    asked, compute = [], LennardJones.compute
    monkeypatch.setattr(
        LennardJones, "compute", lambda *a, **k: asked.append(k.get("atomic_virials", False)) or compute(*a, **k)
    )
    run(input.read_config(tmp_path / "run.toml"))
    assert sum(asked) == 1 + 20 / 5 < len(asked)  # in the steps of the log alone
    potential = LennardJones({"Ar": (0.0103, 3.4)}, 6.0)
    with Trajectory(tmp_path / "run.h5") as trajectory:
        thermo = trajectory.thermo
        assert trajectory.thermo_units["heat_current_x"] == "eV Angstrom fs-1"
        for k in range(len(trajectory)):
            system = make_system(trajectory.positions(k), trajectory.numbers, trajectory.cells(k), True)
            results = potential.compute(system, atomic_virials=True)
            expected = heat_current(
                trajectory.velocities(k), trajectory.masses, results.atomic_energies, results.atomic_virials
            )
            found = [thermo[f"heat_current_{i}"][k] for i in "xyz"]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        positions = trajectory.positions()
    (tmp_path / "run.toml").write_text(INPUT.format(heat=""))
    run(input.read_config(tmp_path / "run.toml"), overwrite=True)
    with Trajectory(tmp_path / "run.h5") as trajectory:
        assert "heat_current_x" not in trajectory.thermo
        np.testing.assert_array_equal(trajectory.positions(), positions)


LJ = """\
kind = "lennard-jones"
smoothing = "poly2"
cutoff_A = 6.0
[elements.Ar]
epsilon_eV = 0.0103
sigma_A = 3.4
"""
INPUT = """\
[structure]
file = "ar.xyz"
[potential]
path = "lj.toml"
[dynamics]
steps = 20
timestep_fs = 5.0
temperature_K = 90
skin_A = 0.5
[output]
frame_interval = 5
thermo_interval = 5
{heat}
"""
