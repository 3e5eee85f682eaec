"""Runs from start to end: physics, files, interruption and restart to the same bits, refusals and limits."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_masses

from mdnnp.analysis.energies import analyze, read_series
from mdnnp.base import units
from mdnnp.base.checkpoint import load_checkpoint, previous_path
from mdnnp.base.compiled.jit import set_threads
from mdnnp.base.errors import FileError, InputError, MdnnpWarning, PhysicsError
from mdnnp.dynamics.input import parse_config, read_config
from mdnnp.dynamics.integrators import MDState, verlet_step
from mdnnp.dynamics.run import run
from mdnnp.dynamics.shadow_energy import ShadowEnergy
from mdnnp.dynamics.start import prepare
from mdnnp.potentials.load import load_potential
from mdnnp.trajectory import Trajectory

POTENTIAL = """\
kind = "lennard-jones"
cutoff_A = 6.5
smoothing = "poly3"
[elements.Ar]
epsilon_eV = 0.0103408
sigma_A = 3.4
"""

INPUT = """\
[structure]
file = "argon.xyz"
replicate = [3, 3, 3]
[potential]
path = "lj.toml"
[dynamics]
steps = 200
timestep_fs = 4.0
temperature_K = 60
skin_A = 0.4
[output]
frame_interval = 7
thermo_interval = 3
checkpoint_interval = 40
"""


def fcc(a=5.4) -> Atoms:
    return Atoms(
        "Ar4", scaled_positions=[[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], cell=[a] * 3, pbc=True
    )


def write_inputs(folder: Path, text: str = INPUT, atoms: Atoms | None = None) -> Path:
    ase.io.write(folder / "argon.xyz", atoms or fcc())
    (folder / "lj.toml").write_text(POTENTIAL)
    (folder / "run.toml").write_text(text)
    return folder / "run.toml"


@pytest.fixture(autouse=True)
def one_thread():
    set_threads(1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def content(path: Path) -> dict[str, bytes]:
    """The bytes of every dataset of an HDF5 file."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def command(*arguments, threads=1) -> list[str]:
    return [sys.executable, "-m", "mdnnp", "run", "run.toml", "--threads", str(threads), *arguments]


def wait_for(condition, process, seconds=120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended early: {process.communicate()}"
        assert time.monotonic() < end
        time.sleep(0.005)


# The result


def test_trajectory_is_that_of_the_integrator(folder):
    """Frames, thermo rows and times against a loop of velocity Verlet written out here."""
    summary = run(read_config("run.toml"))
    start = prepare(read_config("run.toml"))
    state = MDState(start.system, start.velocities, start.masses, start.potential.compute(start.system), 0)
    states = [state]
    for _ in range(200):
        states.append(verlet_step(states[-1], 4.0, start.potential.compute))
    with Trajectory(summary.trajectory) as t:
        assert t.steps.tolist() == list(range(0, 201, 7))
        assert t.times_fs.tolist() == [4.0 * n for n in range(0, 201, 7)]
        assert t.numbers.tolist() == [18] * 108
        np.testing.assert_array_equal(t.masses, atomic_masses[18])
        for frame, step in enumerate(t.steps):
            np.testing.assert_allclose(t.positions(frame), states[step].system.positions, atol=1e-10)
            np.testing.assert_allclose(t.velocities(frame), states[step].velocities, atol=1e-12)
            np.testing.assert_allclose(t.forces(frame), states[step].results.forces, atol=1e-10)
            np.testing.assert_allclose(t.cells(frame), 16.2 * np.eye(3), rtol=1e-15)
        thermo = t.thermo
        assert thermo["step"].tolist() == list(range(0, 201, 3))
        assert thermo["time"].tolist() == [4.0 * n for n in range(0, 201, 3)]
        for row, step in enumerate(thermo["step"]):
            s = states[step]
            # kinetic quantities from their definitions, with the constants written out
            kinetic = 0.5 * 39.95 * np.sum(s.velocities**2) * 103.642696
            assert atomic_masses[18] == pytest.approx(39.95, abs=0.005)
            kinetic *= atomic_masses[18] / 39.95
            volume = 16.2**3
            assert thermo["potential_energy"][row] == pytest.approx(s.results.energy, abs=1e-9)
            assert thermo["kinetic_energy"][row] == pytest.approx(kinetic, rel=1e-7)
            assert thermo["total_energy"][row] == pytest.approx(kinetic + s.results.energy, abs=1e-6)
            assert thermo["temperature"][row] == pytest.approx(2 * kinetic / (321 * 8.617333262e-5), rel=1e-7)
            p = (2 * kinetic + np.trace(s.results.virial)) / (3 * volume) * 160.2176634
            assert thermo["pressure"][row] == pytest.approx(p, rel=1e-6)
            diagonal = [thermo[f"pressure_{x}"][row] for x in ("xx", "yy", "zz")]
            assert np.mean(diagonal) == pytest.approx(p, rel=1e-6)
        assert np.abs([thermo[f"momentum_{x}"] for x in "xyz"]).max() < 1e-12
    assert summary.step == summary.new_steps == 200
    assert summary.exit_code == 0


def test_energy_is_conserved_and_reported(folder):
    edit(folder / "run.toml", "steps = 200", "steps = 3000")
    edit(folder / "run.toml", "thermo_interval = 3", "thermo_interval = 1")
    summary = run(read_config("run.toml"))
    assert summary.drift.enough
    assert summary.drift.sigmas < 5
    assert summary.drift.rms_eV_per_atom < 1e-6
    out = summary.text()
    assert re.search(r"drift [+-]\S+ ± \S+ meV/atom/ns .* rms \S+ meV/atom", out)
    assert re.search(r"3000 steps in \S+ s: \S+ us per atom and step, \S+ ns/day", out)
    assert "mdnnp analyze run.h5" in out


def test_header_says_what_is_run(folder, capsys):
    run(read_config("run.toml"))
    out = capsys.readouterr().out
    for text in ("108 atoms (Ar 108)", "3 x 3 x 3 copies", "cutoff 6.5 Å + skin 0.4 Å", "16.2 16.2 16.2 Å, 90 90 90°",
                 "200 steps (0.8 ps)", "60 K exactly, seed 1", "periodic along a b c", "threads     1"):  # fmt: skip
        assert text in out


def test_fastest_vibration_is_the_same_with_and_without_a_skin(folder, capsys):
    said = []
    for skin in ("skin_A = 0.4", "skin_A = 0"):
        edit(folder / "run.toml", "skin_A = 0.4", skin)
        run(read_config("run.toml"), overwrite=True)
        said.append(re.search(r"fastest about [\d.]+ fs", capsys.readouterr().out)[0])
    assert said[0] == said[1]


def test_a_short_run_of_many_atoms_does_not_look_for_vibrations(folder, capsys):
    edit(folder / "run.toml", "replicate = [3, 3, 3]", "replicate = [14, 14, 14]")
    edit(folder / "run.toml", "steps = 200", "steps = 1")
    run(read_config("run.toml"))
    assert "vibrations  not computed" in capsys.readouterr().out


@pytest.mark.slow
def test_memory_of_many_atoms(folder):
    """Peak memory above that of few atoms: about 50 numbers of each atom, and 35 neighbours of 6 bytes."""
    peak = {}
    for copies in (6, 30):
        edit(folder / "run.toml", "[3, 3, 3]", f"[{copies}, {copies}, {copies}]")
        edit(folder / "run.toml", "steps = 200", "steps = 2")
        process = subprocess.Popen(command("--overwrite"), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peak[copies] = usage.ru_maxrss * 1024
        write_inputs(folder)
    assert (peak[30] - peak[6]) / (4 * 30**3 - 4 * 6**3) < 1500


def test_a_rotated_cell_is_said_and_stored(folder, capsys):
    atoms = fcc()
    atoms.rotate(30, (1, 1, 0), rotate_cell=True)
    write_inputs(folder, atoms=atoms)
    summary = run(read_config("run.toml"))
    assert "rotated to lower-triangular form" in capsys.readouterr().out
    with Trajectory(summary.trajectory) as t:
        rotation = t.parameters["rotation"]
        np.testing.assert_allclose(3 * atoms.cell.array @ rotation.T, t.cells(0), atol=1e-6)


def test_shadow_energy_is_logged_at_its_step(folder):
    """Against the same formula along a trajectory made here; not known at the ends, nor during the equilibration."""
    edit(folder / "run.toml", "steps = 200", "steps = 103\nequilibration_steps = 95")
    summary = run(read_config("run.toml"))
    config = read_config("run.toml")
    potential = load_potential(config.potential.path)
    with Trajectory(folder / "run.h5") as t:
        thermo, index = t.thermo, int(np.flatnonzero(t.steps >= 95)[0])
        system = prepare(config).system._replace(positions=t.positions(index))
        state = MDState(system, t.velocities(index), t.masses, potential.compute(system), int(t.steps[index]))
    assert thermo["step"].tolist() == list(range(0, 199, 3))
    known = np.isfinite(thermo["shadow_energy"])
    assert thermo["step"][known].tolist() == [n for n in range(0, 199, 3) if 95 + 4 <= n <= 198 - 4]
    shadow, found = ShadowEnergy(4.0, state.masses), {}
    while state.step <= 198:
        found[state.step - 4] = shadow.add(state)
        state = verlet_step(state, 4.0, potential.compute)
    compared = [n for n in thermo["step"][known] if found.get(n) is not None]
    assert len(compared) > 20
    for n in compared:
        assert thermo["shadow_energy"][thermo["step"] == n][0] == pytest.approx(found[n], abs=1e-9)
    spread = [np.std(thermo[name][known]) for name in ("shadow_energy", "total_energy")]
    assert spread[0] < 1e-2 * spread[1]
    assert summary.shadow_drift.rms_eV_per_atom < 1e-2 * summary.drift.rms_eV_per_atom
    assert re.search(r"\nshadow energy  drift \S+ ± \S+ meV/atom/ns", summary.text())


def test_equilibration_reaches_the_temperature_and_is_left_out_of_the_drift(folder):
    edit(folder / "run.toml", "temperature_K = 60", "temperature_K = 60\nequilibration_steps = 155")
    edit(folder / "run.toml", "steps = 200", "steps = 300")
    summary = run(read_config("run.toml"))
    with Trajectory(summary.trajectory) as t:
        thermo = t.thermo
        assert thermo["step"][-1] == 453
        T = dict(zip(thermo["step"].tolist(), thermo["temperature"], strict=True))
        assert [T[n] for n in (30, 60, 90, 120, 150)] == pytest.approx([60.0] * 5, rel=1e-12)
        assert T[153] != pytest.approx(60.0, rel=1e-6)
        energy = thermo["total_energy"]
        assert np.ptp(energy[thermo["step"] > 155]) < 1e-2 * np.ptp(energy[thermo["step"] < 155])
    assert summary.drift.start_ps >= 155 * 4e-3
    assert summary.drift.rms_eV_per_atom < 1e-6


@pytest.mark.parametrize("equilibration", [0, 100])
def test_run_and_analyze_report_the_same_drift(folder, equilibration):
    edit(folder / "run.toml", "steps = 200", "steps = 500")
    edit(folder / "run.toml", "temperature_K = 60", f"temperature_K = 60\nequilibration_steps = {equilibration}")
    summary = run(read_config("run.toml"))
    analysis = analyze(read_series(summary.trajectory))
    for name in ("slope_eV_per_atom_ps", "error_eV_per_atom_ps", "rms_eV_per_atom", "kT_per_ns_per_degree"):
        assert getattr(summary.drift, name) == pytest.approx(getattr(analysis.drift, name), rel=1e-9)
        assert getattr(summary.shadow_drift, name) == pytest.approx(getattr(analysis.shadow_drift, name), rel=1e-9)


def test_last_step_of_the_equilibration_has_the_temperature(folder):
    edit(folder / "run.toml", "temperature_K = 60", "temperature_K = 60\nequilibration_steps = 156")
    summary = run(read_config("run.toml"))
    with Trajectory(summary.trajectory) as t:
        T = dict(zip(t.thermo["step"].tolist(), t.thermo["temperature"], strict=True))
    assert T[156] == pytest.approx(60.0, rel=1e-12)
    assert T[159] != pytest.approx(60.0, rel=1e-6)


def test_zero_steps(folder):
    edit(folder / "run.toml", "steps = 200", "steps = 0")
    summary = run(read_config("run.toml"))
    assert (summary.step, summary.new_steps) == (0, 0)
    with Trajectory(summary.trajectory) as t:
        assert len(t) == 1
        assert len(t.thermo["step"]) == 1
    assert "not enough data" in summary.text()


def test_one_atom_flies_straight(folder):
    text = INPUT.replace("replicate = [3, 3, 3]\n", "")
    write_inputs(folder, text, Atoms("Ar", positions=[[1, 2, 3]]))
    summary = run(read_config("run.toml"))
    with Trajectory(summary.trajectory) as t:
        x, v = t.positions(), t.velocities()
        assert np.linalg.norm(v[0, 0]) > 0
        np.testing.assert_allclose(x[-1] - x[0], v[0] * t.times_fs[-1], rtol=1e-12)
        assert t.thermo["temperature"] == pytest.approx(60.0)
        assert np.isnan(t.thermo["pressure"]).all()


def test_one_atom_in_a_cell_smaller_than_the_cutoff(folder):
    text = INPUT.replace("replicate = [3, 3, 3]\n", "")
    write_inputs(
        folder, text, Atoms("Ar", positions=[[0, 0, 0]], cell=[[0, 2.7, 2.7], [2.7, 0, 2.7], [2.7, 2.7, 0]], pbc=True)
    )
    summary = run(read_config("run.toml"))
    with Trajectory(summary.trajectory) as t:
        assert np.ptp(t.thermo["potential_energy"]) < 1e-12  # all images move along
        assert np.abs(t.forces()).max() < 1e-12


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, True), (False, False, False)])
def test_mixed_periodicity_conserves_energy(folder, pbc):
    atoms = fcc().repeat((2, 2, 2))
    atoms.rattle(0.02, seed=2)
    atoms.pbc = pbc
    text = INPUT.replace("replicate = [3, 3, 3]\n", "").replace("temperature_K = 60", "temperature_K = 20")
    write_inputs(folder, text, atoms)
    summary = run(read_config("run.toml"))
    with Trajectory(summary.trajectory) as t:
        assert t.pbc.tolist() == list(pbc)
        assert np.ptp(t.thermo["total_energy"]) < 1e-2 * np.ptp(t.thermo["kinetic_energy"])


def test_atoms_far_outside_the_cell_run_the_same(folder):
    atoms = fcc().repeat((3, 3, 3))
    text = INPUT.replace("replicate = [3, 3, 3]\n", "")
    energies = []
    for shift in (0, 500):
        moved = atoms.copy()
        moved.positions += shift * np.random.default_rng(0).integers(-1, 2, (108, 3)) @ atoms.cell.array
        write_inputs(folder, text, moved)
        summary = run(read_config("run.toml"), overwrite=True)
        with Trajectory(summary.trajectory) as t:
            energies.append(t.thermo["potential_energy"])
    np.testing.assert_allclose(energies[0], energies[1], atol=1e-6)


def test_isotopes_move_slower(folder):
    edit(folder / "run.toml", "replicate = [3, 3, 3]", "replicate = [3, 3, 3]\nmasses = {Ar = 159.8}")
    summary = run(read_config("run.toml"))
    with Trajectory(summary.trajectory) as t:
        assert np.all(t.masses == 159.8)
        assert t.thermo["temperature"][0] == pytest.approx(60.0)


def test_frames_without_velocities_and_forces(folder):
    edit(folder / "run.toml", "[output]", "[output]\nvelocities = false\nforces = false")
    summary = run(read_config("run.toml"))
    with Trajectory(summary.trajectory) as t:
        assert t.velocities() is None
        assert t.forces() is None


def test_the_input_is_kept_with_the_trajectory(folder):
    summary = run(read_config("run.toml"))
    with Trajectory(summary.trajectory) as t:
        parameters = t.parameters
    assert parameters["input"] == INPUT
    again = parse_config(parameters["config"], folder / "run.toml")
    assert again.dynamics == read_config("run.toml").dynamics
    assert parameters["n_degrees"] == 321


# Interruption and restart


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Bytes of the trajectory of INPUT with 200 steps, shadow energies included."""
    folder = tmp_path_factory.mktemp("whole")
    write_inputs(folder)
    run(read_config(folder / "run.toml"))
    return content(folder / "run.h5")


def test_longer_run_is_the_same_as_one_in_a_piece(folder, uninterrupted, capsys):
    edit(folder / "run.toml", "steps = 200", "steps = 50")
    run(read_config("run.toml"))
    for steps in ("93", "200"):
        edit(folder / "run.toml", re.search(r"steps = \d+", (folder / "run.toml").read_text())[0], f"steps = {steps}")
        run(read_config("run.toml"), resume=True)
    assert content(folder / "run.h5") == uninterrupted
    assert "resumed at  step 93 of 200" in capsys.readouterr().out


def test_threads_do_not_change_a_bit(folder, uninterrupted):
    set_threads(2)
    try:
        run(read_config("run.toml"))
    finally:
        set_threads(1)
    assert content(folder / "run.h5") == uninterrupted


def test_resume_of_a_finished_run_says_so(folder, capsys):
    run(read_config("run.toml"))
    before = (folder / "run.h5").read_bytes()
    summary = run(read_config("run.toml"), resume=True)
    assert "finished; to extend it, increase dynamics.steps" in capsys.readouterr().out
    assert summary.new_steps == 0
    assert content(folder / "run.h5")
    assert len((folder / "run.h5").read_bytes()) == len(before)


@pytest.mark.filterwarnings("ignore::mdnnp.base.errors.MdnnpWarning")
def test_a_resumed_run_that_stops_early_keeps_what_was_committed(folder, uninterrupted):
    """From an old checkpoint, stopped before it has caught up: the frames behind stay, and are the same in the end."""
    run(read_config("run.toml"))
    (folder / "run.checkpoint").unlink()  # the one before it serves, as after a kill
    edit(folder / "run.toml", "[output]", "[limits]\nmax_temperature_K = 0.001\n[output]")
    with pytest.raises(PhysicsError):
        run(read_config("run.toml"), resume=True)
    assert content(folder / "run.h5") == uninterrupted
    edit(folder / "run.toml", "max_temperature_K = 0.001", "max_temperature_K = 50000.0")
    run(read_config("run.toml"), resume=True)
    assert content(folder / "run.h5") == uninterrupted


def test_resume_without_anything_begins(folder, uninterrupted, capsys):
    run(read_config("run.toml"), resume=True)
    assert "nothing to resume yet" in capsys.readouterr().out
    assert content(folder / "run.h5") == uninterrupted


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_finish_the_step_and_the_run_goes_on(folder, number, status):
    edit(folder / "run.toml", "steps = 200", "steps = 100000")
    process = subprocess.Popen(command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (folder / "run.h5").exists() and len(_steps(folder / "run.h5")) > 3, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == ""
    assert "mdnnp run run.toml --resume" in out
    stopped = load_checkpoint(folder / "run.checkpoint")[0]["step"]
    assert f"by signal {int(number)} at step {stopped} of 100000" in out
    assert not (folder / "run.checkpoint.lock").exists()
    _finish_and_compare(folder, stopped + 60)


def _finish_and_compare(folder: Path, steps: int) -> None:
    """Resume up to this step, and compare with a run in one piece."""
    edit(folder / "run.toml", "steps = 100000", f"steps = {steps}")
    subprocess.run(command("--resume"), check=True, capture_output=True)
    whole = folder / "whole"
    whole.mkdir()
    write_inputs(whole, (folder / "run.toml").read_text())
    run(read_config(whole / "run.toml"))
    assert content(folder / "run.h5") == content(whole / "run.h5")


def _steps(path: Path) -> np.ndarray:
    """Committed steps of a file that a run may be writing; empty if it cannot be read at this moment."""
    try:
        with Trajectory(path) as t:
            return t.steps
    except (FileError, KeyError, OSError):
        return np.empty(0, int)


def _kill_and_resume(folder: Path, n_kills: int, seed: int) -> None:
    """Kill a run `n_kills` times at random moments, resuming each time; nothing committed may be lost or change."""
    rng = random.Random(seed)
    edit(folder / "run.toml", "steps = 200", "steps = 100000")
    committed = np.empty(0, int)
    killed = 0
    while killed < n_kills:
        process = subprocess.Popen(command("--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if rng.random() < 0.8:  # while it steps; else while it starts, reads, makes files
            before = len(committed)
            wait_for(lambda n=before: len(_steps(folder / "run.h5")) > n, process)
            time.sleep(rng.uniform(0, 0.15))
        else:
            time.sleep(rng.uniform(0, 3.0))
        process.kill()
        process.wait()
        killed += 1
        if (folder / "run.h5").exists():
            steps = _steps(folder / "run.h5")
            assert len(steps) >= len(committed), "a committed frame was lost"
            assert np.array_equal(steps, 7 * np.arange(len(steps)))
            committed = steps
    _finish_and_compare(folder, int(committed[-1]) + 50 if len(committed) else 100)


def test_killed_runs_resume_to_the_same_bytes(folder):
    _kill_and_resume(folder, 3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 16))
def test_many_kills(folder, seed):
    _kill_and_resume(folder, 10, seed)


@pytest.mark.slow
@pytest.mark.parametrize("keys", [
    'ensemble = "nvt-langevin"',
    'ensemble = "nvt-nose-hoover"\nfixed = [0, 50]',
    'ensemble = "nvt-rescale"',
    'ensemble = "npt-mtk"\npressure_GPa = 0.1\ncell = "flexible"',
    'ensemble = "npt-rescale"\npressure_GPa = 0.1\ncompressibility_per_GPa = 0.5\ncell = "anisotropic"',
], ids=["langevin", "nose-hoover", "rescale", "mtk", "cell-rescale"])  # fmt: skip
def test_kills_in_every_ensemble(folder, keys):
    edit(folder / "run.toml", "steps = 200", f"steps = 200\n{keys}")
    _kill_and_resume(folder, 2, seed=3)


def test_a_second_run_on_the_same_files_is_refused(folder):
    edit(folder / "run.toml", "steps = 200", "steps = 1000000")
    process = subprocess.Popen(command(), stdout=subprocess.DEVNULL)
    try:
        wait_for((folder / "run.h5").exists, process)
        for arguments in ([], ["--resume"], ["--overwrite"]):
            second = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
            assert second.returncode == 4
            assert "another run is writing to it" in second.stderr
    finally:
        process.terminate()
        process.wait()


def test_damaged_checkpoint_falls_back_to_the_one_before(folder, uninterrupted):
    run(read_config("run.toml"))
    data = bytearray((folder / "run.checkpoint").read_bytes())
    data[200] ^= 1
    (folder / "run.checkpoint").write_bytes(data)
    with pytest.warns(MdnnpWarning, match="damaged"):
        summary = run(read_config("run.toml"), resume=True)
    assert summary.new_steps == 40  # the checkpoints are of steps 160 and 200
    assert content(folder / "run.h5") == uninterrupted


def test_checkpoint_of_another_output_is_not_resumed(folder):
    """a.h5 and a.hdf5 would share a.checkpoint."""
    run(read_config("run.toml"))
    edit(folder / "run.toml", "[output]", '[output]\nfile = "run.hdf5"')
    before = snapshot(folder)
    with pytest.raises(FileError, match=r"belongs to .*run\.h5, not to .*run\.hdf5"):
        run(read_config("run.toml"), resume=True)
    assert snapshot(folder) == before


def test_two_damaged_checkpoints_are_an_error(folder):
    run(read_config("run.toml"))
    for path in (folder / "run.checkpoint", previous_path(folder / "run.checkpoint")):
        path.write_bytes(b"nonsense")
    before = (folder / "run.h5").read_bytes()
    with pytest.raises(FileError, match="no usable checkpoint"):
        run(read_config("run.toml"), resume=True)
    assert (folder / "run.h5").read_bytes() == before


@pytest.mark.parametrize("damage", ["lost", "cut", "foreign"])
def test_damaged_trajectory_is_continued_in_a_second_part(folder, uninterrupted, damage):
    edit(folder / "run.toml", "steps = 200", "steps = 105")
    run(read_config("run.toml"))
    path = folder / "run.h5"
    if damage == "lost":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.write_bytes(b"something else")
    kept = path.read_bytes() if path.exists() else None
    edit(folder / "run.toml", "steps = 105", "steps = 150")
    with pytest.warns(MdnnpWarning, match=r"Continuing from step 105 in .*run.part2.h5"):
        run(read_config("run.toml"), resume=True)
    assert (path.read_bytes() if path.exists() else None) == kept
    edit(folder / "run.toml", "steps = 150", "steps = 200")
    summary = run(read_config("run.toml"), resume=True)  # goes on with the second part
    assert summary.trajectory == folder / "run.part2.h5"
    with Trajectory(summary.trajectory) as t:
        assert t.steps.tolist() == list(range(112, 201, 7))
        whole = np.frombuffer(uninterrupted["particles/trajectory/position/value"]).reshape(-1, 108, 3)
        np.testing.assert_array_equal(t.positions(), whole[16:])


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("timestep_fs = 4.0", "timestep_fs = 2.0", "dynamics.timestep_fs is 2.0, but the run was started with 4.0"),
    ("frame_interval = 7", "frame_interval = 8", "output.frame_interval is 8"),
    ("temperature_K = 60", "temperature_K = 61", "dynamics.temperature_K is 61.0"),
    ("replicate = [3, 3, 3]", "replicate = [3, 3, 4]", "structure.replicate is [3, 3, 4]"),
])  # fmt: skip
def test_a_changed_input_is_not_resumed(folder, old, new, expected):
    run(read_config("run.toml"))
    before = (folder / "run.h5").read_bytes(), (folder / "run.checkpoint").read_bytes()
    edit(folder / "run.toml", old, new)
    with pytest.raises(InputError, match=re.escape(expected)):
        run(read_config("run.toml"), resume=True)
    assert before == ((folder / "run.h5").read_bytes(), (folder / "run.checkpoint").read_bytes())


def test_changed_potential_and_structure_are_not_resumed(folder):
    run(read_config("run.toml"))
    edit(folder / "lj.toml", "3.4", "3.41")
    ase.io.write("argon.xyz", fcc(5.41))
    with pytest.raises(InputError) as refused:
        run(read_config("run.toml"), resume=True)
    assert "the structure" in str(refused.value)
    assert "the potential" in str(refused.value)
    assert len(str(refused.value).split("\n")) == 3


# Refusals: nothing that is there may be touched


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("existing", ["run.h5", "run.checkpoint"])
def test_existing_output_is_not_overwritten(folder, existing):
    (folder / existing).write_text("precious")
    before = snapshot(folder)
    with pytest.raises(FileError, match=rf"{existing} exists already; .*--overwrite"):
        run(read_config("run.toml"))
    assert snapshot(folder) == before


def test_overwrite_replaces(folder, uninterrupted):
    edit(folder / "run.toml", "temperature_K = 60", "temperature_K = 50")
    run(read_config("run.toml"))
    edit(folder / "run.toml", "temperature_K = 50", "temperature_K = 60")
    run(read_config("run.toml"), overwrite=True)
    assert content(folder / "run.h5") == uninterrupted


def test_trajectory_without_checkpoint_is_not_resumed(folder):
    run(read_config("run.toml"))
    for path in (folder / "run.checkpoint", previous_path(folder / "run.checkpoint")):
        path.unlink()
    before = snapshot(folder)
    with pytest.raises(FileError, match="cannot be resumed"):
        run(read_config("run.toml"), resume=True)
    assert snapshot(folder) == before


@pytest.mark.parametrize("target", ["run.toml", "argon.xyz", "lj.toml", "../{folder}/argon.xyz", "link.xyz"])
def test_output_that_would_replace_an_input_is_refused(folder, target):
    (folder / "link.xyz").symlink_to(folder / "argon.xyz")
    edit(folder / "run.toml", "[output]", f'[output]\nfile = "{target.format(folder=folder.name)}"')
    before = snapshot(folder)
    with pytest.raises(InputError, match="would replace an input"):
        run(read_config("run.toml"), overwrite=True)
    assert snapshot(folder) == before


def test_output_named_like_its_checkpoint_is_refused(folder):
    edit(folder / "run.toml", "[output]", '[output]\nfile = "x.checkpoint"')
    with pytest.raises(InputError, match="is the name of the checkpoint"):
        run(read_config("run.toml"))


def test_output_in_a_directory_that_does_not_exist(folder):
    edit(folder / "run.toml", "[output]", '[output]\nfile = "no/such/run.h5"')
    with pytest.raises(FileError, match="its directory does not exist"):
        run(read_config("run.toml"))
    assert not (folder / "no").exists()


@pytest.mark.parametrize("bad", ["potential", "structure", "velocities", "overlap"])
def test_bad_input_leaves_no_files(folder, bad):
    if bad == "potential":
        edit(folder / "lj.toml", "Ar", "Kr")
    elif bad == "structure":
        (folder / "argon.xyz").write_text("1\n\nAr 0 0 nan\n")
    elif bad == "velocities":
        edit(folder / "run.toml", "temperature_K = 60", 'velocities = "file"')
    else:
        atoms = fcc()
        atoms.positions[1] = atoms.positions[0]
        ase.io.write("argon.xyz", atoms)
    before = snapshot(folder)
    with pytest.raises(InputError):
        run(read_config("run.toml"))
    assert snapshot(folder) == before


def test_disk_too_small_is_noticed_before_the_run(folder, monkeypatch):
    usage = shutil.disk_usage(folder)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    before = snapshot(folder)
    with pytest.raises(FileError, match="are free"):
        run(read_config("run.toml"))
    assert snapshot(folder) == before


def _limited(folder: Path, *, file_bytes: int | None = None) -> subprocess.CompletedProcess:
    """Run the command line with a limit on the size of files, or without root's right to ignore permissions."""

    def prepare_child():
        import ctypes
        import resource

        if file_bytes:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        elif os.geteuid() == 0:
            drop_from_bounding_set, dac_override, dac_read_search = 24, 1, 2  # <linux/prctl.h>, capabilities(7)
            for capability in (dac_override, dac_read_search):
                ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)

    return subprocess.run(command(), cwd=folder, preexec_fn=prepare_child, capture_output=True, text=True, check=False)


def test_full_disk_keeps_what_was_written_and_goes_on(folder):
    """A limit on the file size stands for the full disk: writing fails in the middle of the run."""
    edit(folder / "run.toml", "steps = 200", "steps = 2000")
    failed = _limited(folder, file_bytes=600_000)
    assert failed.returncode == 4, failed.stderr
    assert re.fullmatch(r"error: \S+run.h5: writing failed after frame \d+: .*--resume\n", failed.stderr)
    steps = _steps(folder / "run.h5")
    assert len(steps) > 10
    assert np.array_equal(steps, 7 * np.arange(len(steps)))
    edit(folder / "run.toml", "steps = 2000", "steps = 100000")
    _finish_and_compare(folder, int(steps[-1]) + 20)


@pytest.mark.skipif(sys.platform != "linux" and os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_directory(folder):
    folder.chmod(0o555)
    try:
        refused = _limited(folder)
        assert refused.returncode == 4, refused.stderr
        assert "no permission to write there" in refused.stderr
        assert sorted(p.name for p in folder.iterdir()) == ["argon.xyz", "lj.toml", "run.toml"]
    finally:
        folder.chmod(0o755)


def test_read_only_output_is_not_replaced(folder):
    (folder / "run.h5").write_text("precious")
    (folder / "run.h5").chmod(0o444)
    with pytest.raises(FileError, match=r"exists already|no permission to write there"):
        run(read_config("run.toml"))
    assert (folder / "run.h5").read_text() == "precious"


# Dynamics that goes wrong


def test_exploding_dynamics_says_when_and_where_and_keeps_what_was_written(folder):
    edit(folder / "run.toml", "timestep_fs = 4.0", "timestep_fs = 90")
    edit(folder / "run.toml", "steps = 200", "steps = 5000")
    edit(folder / "run.toml", "temperature_K = 60", "temperature_K = 600")
    with (
        pytest.warns(MdnnpWarning, match="is long: the fastest vibration"),
        pytest.raises(PhysicsError, match=r"step \d+ \(\S+ fs\): atom \d+ \(Ar\) moves") as stopped,
    ):
        run(read_config("run.toml"))
    step = int(re.search(r"step (\d+)", str(stopped.value))[1])
    last = int(re.search(r"saved: run.h5 up to step (\d+), run.checkpoint of step", str(stopped.value))[1])
    assert last == step - 1
    with Trajectory(folder / "run.h5") as t:
        assert t.thermo["step"][-1] == last // 3 * 3
        assert np.isfinite(t.positions()).all()
    assert load_checkpoint(folder / "run.checkpoint")


def test_temperature_limit(folder):
    edit(folder / "run.toml", "[output]", "[limits]\nmax_temperature_K = 59.9\n[output]")
    edit(folder / "run.toml", "temperature_K = 60", "temperature_K = 59.8\nequilibration_steps = 0")
    atoms = fcc()
    atoms.rattle(0.3, seed=1)
    write_inputs(folder, (folder / "run.toml").read_text(), atoms)
    with pytest.raises(PhysicsError, match=r"the temperature is \S+ K, above limits.max_temperature_K = 59.9"):
        run(read_config("run.toml"))


def test_displacement_limit(folder):
    edit(folder / "run.toml", "[output]", "[limits]\nmax_displacement_A = 0.001\n[output]")
    with pytest.raises(
        PhysicsError, match=r"step 1 \(4 fs\): atom \d+ \(Ar\) moves .* limits.max_displacement_A = 0.001"
    ):
        run(read_config("run.toml"))
    assert run(_with_larger_limit(folder), resume=True).step == 200


def _with_larger_limit(folder):
    edit(folder / "run.toml", "max_displacement_A = 0.001", "max_displacement_A = 1")
    return read_config("run.toml")


def test_energy_that_is_not_finite_at_the_start(folder, monkeypatch):
    from mdnnp.potentials.lennard_jones import LennardJones

    compute = LennardJones.compute

    def broken(self, system, neighbors=None, **options):
        results = compute(self, system, neighbors, **options)
        results.forces[5, 1] = np.nan
        return results

    monkeypatch.setattr(LennardJones, "compute", broken)
    before = snapshot(folder)
    with pytest.raises(PhysicsError, match=r"step 0 \(0 fs\): .* not a finite number; .* is 5 \(Ar\)"):
        run(read_config("run.toml"))
    assert snapshot(folder) == before


# A neural network potential


@pytest.fixture
def water_run(folder, water):
    """The folder with a run of water."""
    (folder / "run.toml").write_text(f"""\
[structure]
file = "{water}/input.data"
length_unit = "Bohr"
energy_unit = "Hartree"
[potential]
path = "{water}"
length_unit = "Bohr"
energy_unit = "Hartree"
[dynamics]
steps = 12
timestep_fs = 0.5
temperature_K = 300
[output]
thermo_interval = 1
frame_interval = 4
""")
    return folder


def test_water(water_run, capsys):
    summary = run(read_config("run.toml"))
    out = capsys.readouterr().out
    period = float(re.search(r"fastest about (\S+) fs", out)[1])
    assert 6 < period < 11  # the O-H stretch; compressed bonds are stiffer
    with Trajectory(summary.trajectory) as t:
        thermo = t.thermo
        assert np.ptp(thermo["total_energy"]) < 0.05 * np.ptp(thermo["kinetic_energy"])
        assert t.parameters["offset_energy_eV"] == pytest.approx(-25.52 * units.HARTREE_EV * t.n_atoms, rel=1.5e-3)


def test_time_step_too_long_for_hydrogen_is_warned_of(water_run):
    edit(water_run / "run.toml", "timestep_fs = 0.5", "timestep_fs = 1.5")
    edit(water_run / "run.toml", "steps = 12", "steps = 1")
    with pytest.warns(MdnnpWarning, match=r"timestep_fs = 1.5 is long: .* period of \S+ fs"):
        run(read_config("run.toml"))


def test_extrapolations_are_counted_stored_and_can_stop_the_run(water_run):
    edit(water_run / "run.toml", "temperature_K = 300", "temperature_K = 6000")
    edit(water_run / "run.toml", "steps = 12", "steps = 30")
    with pytest.warns(
        MdnnpWarning, match=r"extrapolation at step \d+: atom \d+ \([HO]\), symmetry function \d+: \S+ is outside"
    ):
        summary = run(read_config("run.toml"))
    config = read_config("run.toml")
    with Trajectory(summary.trajectory) as t:
        events, positions, steps = t.extrapolations, t.positions(), t.steps
        counts = t.thermo["extrapolations"]
        numbers = t.numbers
    assert summary.extrapolations == counts[-1] > 0
    assert np.all(np.diff(counts) >= 0)
    assert np.all((events["value"] < events["lower"]) | (events["value"] > events["upper"]))
    # The values, at a frame, are those of the functions themselves.
    potential = load_potential(config.potential.path, "Bohr", "Hartree")
    frame = next(k for k, step in enumerate(steps) if step in events["step"])
    system = prepare(config).system._replace(positions=positions[frame])
    functions = potential.descriptors(system)
    here = events["step"] == steps[frame]
    stored = functions[events["atom"][here], events["function"][here] - 1]
    np.testing.assert_allclose(events["value"][here], stored, rtol=1e-10)
    assert set(numbers[events["atom"]]) <= {1, 8}
    edit(water_run / "run.toml", "[output]", f"[limits]\nmax_extrapolations = {summary.extrapolations // 2}\n[output]")
    with (
        pytest.warns(MdnnpWarning, match="extrapolation at step"),
        pytest.raises(PhysicsError, match=r"\d+ extrapolations, more than limits.max_extrapolations = \d+; the last: "),
    ):
        run(read_config("run.toml"), overwrite=True)


def test_water_resumes_to_the_same_bits_with_another_number_of_threads(water_run):
    edit(water_run / "run.toml", "steps = 12", "steps = 5")
    run(read_config("run.toml"))
    edit(water_run / "run.toml", "steps = 5", "steps = 12")
    set_threads(2)
    try:
        run(read_config("run.toml"), resume=True)
    finally:
        set_threads(1)
    pieces = content(water_run / "run.h5")
    run(read_config("run.toml"), overwrite=True)
    assert content(water_run / "run.h5") == pieces
