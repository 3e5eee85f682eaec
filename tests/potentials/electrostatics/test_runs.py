"""Runs with charges: what is written, the same bits after a restart, conserved energy, and failures."""

import h5py
import numpy as np
import pytest
from places import GOLDEN
from systems import water_molecule

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import write_structures
from mdnnp.base.compiled import jit
from mdnnp.base.errors import PhysicsError
from mdnnp.command.cli import main
from mdnnp.dynamics.input import read_config
from mdnnp.dynamics.run import run
from mdnnp.potentials.electrostatics import equilibration
from mdnnp.potentials.load import load_potential
from mdnnp.trajectory import Trajectory

ATOMIC = {"length_unit": "Bohr", "energy_unit": "Hartree"}
UNITS = 'length_unit = "Bohr"\nenergy_unit = "Hartree"\n'


def write_input(folder, structure: str, dynamics: str, more: str = ""):
    path = folder / "run.toml"
    path.write_text(
        f'[potential]\npath = "{GOLDEN / "q4d"}"\n{UNITS}[structure]\n{structure}\n'
        f"[dynamics]\ntimestep_fs = 0.05\ntemperature_K = 50\n{dynamics}\n[output]\nframe_interval = 2\n"
        f"thermo_interval = 1\ncheckpoint_interval = 4\n{more}\n"
    )
    return read_config(path)


@pytest.fixture
def crystal(tmp_path, monkeypatch):
    """48 atoms, whose charges take iterations."""
    monkeypatch.setattr(equilibration, "DENSE_UP_TO", 0)
    monkeypatch.chdir(tmp_path)
    file = f'file = "{GOLDEN / "q4d" / "input.data"}"\n{UNITS}replicate = [2, 2, 2]'
    return lambda dynamics="steps = 10", more="": write_input(tmp_path, file, dynamics, more)


def content(path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=a[k].dtype.kind == "f") for k in a)


def test_charges_and_dipole_of_a_cluster_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ion = Structure(water_molecule()._replace(charge=-1.0), np.array([15.999, 1.008, 1.008]))
    write_structures("ion.xyz", [ion])
    summary = run(write_input(tmp_path, 'file = "ion.xyz"', "steps = 4"))
    potential = load_potential(GOLDEN / "q4d", **ATOMIC)
    with Trajectory(summary.trajectory) as trajectory:
        positions, charges, thermo = trajectory.positions(), trajectory.charges(), trajectory.thermo
        assert trajectory.thermo_units["dipole_x"] == "e Angstrom" and trajectory.thermo_units["total_charge"] == "e"
    assert charges.shape == (3, 3)
    for x, q, row in zip(positions, charges, (0, 2, 4), strict=True):
        expected = potential.compute(ion.system._replace(positions=x)).charges
        np.testing.assert_allclose(q, expected, atol=1e-12)
        centre = ion.masses @ x / ion.masses.sum()
        for k in range(3):
            assert thermo[f"dipole_{'xyz'[k]}"][row] == pytest.approx(q @ (x - centre)[:, k], abs=1e-12)
    np.testing.assert_allclose(thermo["total_charge"], -1.0, atol=1e-12)
    with h5py.File(summary.trajectory) as file:
        charge = file["particles/trajectory/charge"]
        assert charge["value"].attrs["unit"] == "e" and charge.attrs["type"] == "effective"


def test_a_crystal_has_no_dipole(crystal):
    with Trajectory(run(crystal("steps = 2")).trajectory) as trajectory:
        assert "total_charge" in trajectory.thermo and "dipole_x" not in trajectory.thermo


@pytest.mark.parametrize(
    "ensemble",
    [
        "",
        'ensemble = "npt-mtk"\npressure_GPa = 0\nthermostat_time_fs = 10\nbarostat_time_fs = 20',
        'ensemble = "nvt-langevin"\nfriction_per_ps = 10\nseed = 4',
    ],
    ids=["nve", "npt", "langevin"],
)
def test_a_run_goes_on_to_the_same_bits(crystal, ensemble):
    """Iterations start from those of the steps before, which the checkpoint has; the threads do not matter."""
    whole = content(run(crystal(f"steps = 10\n{ensemble}")).trajectory)
    jit.set_threads(2)
    try:
        run(crystal(f"steps = 3\n{ensemble}"), overwrite=True)
        pieces = content(run(crystal(f"steps = 10\n{ensemble}"), resume=True).trajectory)
    finally:
        jit.set_threads(1)
    assert same(whole, pieces)


def test_a_run_that_has_only_begun_goes_on_to_the_same_bits(crystal):
    whole = content(run(crystal("steps = 4")).trajectory)
    run(crystal("steps = 0"), overwrite=True)
    assert same(whole, content(run(crystal("steps = 4"), resume=True).trajectory))


def test_warm_starts_save_products(crystal, monkeypatch):
    products, solution = [], equilibration.Equilibration.solution

    def counted(self, *arguments):
        found = solution(self, *arguments)
        products.append(found.products)
        return found

    monkeypatch.setattr(equilibration.Equilibration, "solution", counted)
    run(crystal("steps = 10"))
    assert np.mean(products[-4:]) < np.mean(products[:4]) - 1


def test_energy_is_conserved_at_the_default_tolerance(crystal):
    """As at a tolerance 100 times tighter: both have the error of the time step."""
    drifts = []
    for tolerance in (equilibration.TOLERANCE, 0.01 * equilibration.TOLERANCE):
        (crystal("steps = 60").source.parent / "tight.toml").write_text(
            f'[[terms]]\npath = "{GOLDEN / "q4d"}"\n{UNITS}charge_tolerance = {tolerance}\n'
        )
        config = crystal("steps = 60")
        config.source.write_text(
            config.source.read_text().replace(str(GOLDEN / "q4d") + '"\n' + UNITS, 'tight.toml"\n', 1)
        )
        with Trajectory(run(read_config(config.source), overwrite=True).trajectory) as trajectory:
            drifts.append(trajectory.thermo["total_energy"] - trajectory.thermo["total_energy"][0])
    moved = np.abs(drifts[1]).max()
    assert 0 < moved < 0.01
    assert np.abs(drifts[0] - drifts[1]).max() < 1e-4 * moved + 1e-9


def test_no_convergence_names_the_step_and_keeps_the_checkpoint(crystal, monkeypatch):
    iterate, calls = equilibration.Equilibration._iterate, []

    def stubborn(self, *arguments):
        calls.append(self)
        if len(calls) > 40:
            self._max_iterations = 0
        return iterate(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(equilibration.Equilibration, "_iterate", stubborn)
        config = crystal("steps = 40")
        with pytest.raises(
            PhysicsError,
            match=r"step \d+ \(.* fs\): .*did not converge in 0 iterations: residual .* eV/e(.|\n)*saved: ",
        ) as error:
            run(config)
    step = int(str(error.value).split("of step ")[-1])
    assert 0 <= step < 40 and config.checkpoint_path.exists()
    whole = content(run(config, resume=True).trajectory)
    assert same(whole, content(run(config, overwrite=True).trajectory))


def test_relaxation_writes_charges(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ion = Structure(water_molecule()._replace(charge=-1.0), np.array([15.999, 1.008, 1.008]))
    write_structures("ion.xyz", [ion])
    arguments = ["relax", str(GOLDEN / "q4d"), "ion.xyz", "--length-unit", "Bohr", "--energy-unit", "Hartree"]
    main([*arguments, "-o", "out.xyz", "--trajectory", "steps.h5", "--most-evaluations", "3"])
    assert "charge=-1.0" in (tmp_path / "out.xyz").read_text() and "charges:R:1" in (tmp_path / "out.xyz").read_text()
    with Trajectory(tmp_path / "steps.h5") as trajectory:
        np.testing.assert_allclose(trajectory.charges().sum(axis=1), -1.0, atol=1e-12)
