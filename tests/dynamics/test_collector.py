"""A committee in a run: disagreement in the log, configurations collected, limits, interruption to the same bytes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from silicon_committee import write_committee
from systems import silicon

from mdnnp.atoms.system import make_system
from mdnnp.base.compiled.jit import set_threads
from mdnnp.base.errors import FileError, InputError, MdnnpWarning, PhysicsError
from mdnnp.dynamics.input import read_config
from mdnnp.dynamics.run import run
from mdnnp.potentials.load import load_potential
from mdnnp.training.dataset import duplicate_groups, read_labelled
from mdnnp.trajectory import Trajectory

INPUT = """\
[structure]
file = "si.xyz"
[potential]
path = "committee"
[dynamics]
steps = 120
timestep_fs = 1.0
temperature_K = 900
[output]
frame_interval = 1
thermo_interval = 4
checkpoint_interval = 20
[committee]
collect_above_eV_A = {above}
collect_interval = 10
collect_most = {most}
[limits]
max_displacement_A = 3
"""

pytestmark = pytest.mark.filterwarnings("ignore::mdnnp.base.errors.MdnnpWarning")  # made-up potentials extrapolate


@pytest.fixture(autouse=True)
def one_thread():
    set_threads(1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_committee(tmp_path / "committee")
    system = silicon(2, rattle=0.05)
    ase.io.write("si.xyz", ase.Atoms(numbers=system.numbers, positions=system.positions, cell=system.cell, pbc=True))
    return tmp_path


def write_input(above=1e-9, most=1000, **changes):
    text = INPUT.format(above=above, most=most)
    for old, new in changes.items():
        text = text.replace(f"{old} = ", f"{old} = {new} # ")
    Path("run.toml").write_text(text)
    return read_config("run.toml")


def disagreements() -> tuple[np.ndarray, np.ndarray]:
    """Steps, and disagreement (frames, N) of the members on the frames of run.h5, from the members alone."""
    members = load_potential("committee").members
    with Trajectory("run.h5") as t:
        positions, cell = t.positions(), silicon(2).cell
    found = []
    for x in positions:
        forces = np.array([m.compute(make_system(x, [14] * 64, cell, True)).forces for m in members])
        found.append(np.sqrt(np.mean(np.sum((forces - forces.mean(axis=0)) ** 2, axis=2), axis=0)))
    return np.arange(len(positions)), np.array(found)


def test_log_and_collected_configurations(folder):
    """Both are what the members say of the frames that were stored."""
    summary = run(write_input())
    steps, found = disagreements()
    largest = found.max(axis=1)
    with Trajectory("run.h5") as t:
        thermo, positions = t.thermo, t.positions()
    np.testing.assert_allclose(thermo["max_force_disagreement"], largest[::4], rtol=1e-8)
    np.testing.assert_allclose(thermo["mean_force_disagreement"], found.mean(axis=1)[::4], rtol=1e-8)
    assert np.all(thermo["energy_disagreement"] > 0)
    first = ase.io.read("run.collected.xyz", ":")
    assert [a.info["md_step"] for a in first] == list(range(0, 121, 10))
    assert re.search(r"\ncollected +13 configurations", summary.text())

    above = float(np.mean(np.sort(largest)[60:62]))  # between two values
    run(write_input(above), overwrite=True)
    expected, last = [], -10
    for step, value in zip(steps, largest, strict=True):
        if value > above and step - last >= 10:
            expected.append(step)
            last = step
    frames = ase.io.read("run.collected.xyz", ":")
    assert 0 < len(expected) < 13
    assert [a.info["md_step"] for a in frames] == expected
    np.testing.assert_allclose([a.info["disagreement_eV_A"] for a in frames], largest[expected], rtol=1e-8)
    for atoms, step in zip(frames, expected, strict=True):
        moved = (atoms.positions - positions[step]) / 10.862
        np.testing.assert_allclose(moved, np.round(moved), atol=1e-12)
        assert atoms.pbc.all()


def test_collected_configurations_are_ready_to_be_labelled(folder):
    """They carry no labels, and nothing that could be taken for one."""
    run(write_input())
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*not used as a label", MdnnpWarning)
        structures = read_labelled("run.collected.xyz")
    for s in structures:
        assert (s.energy_eV, s.forces, s.stress, s.config_type) == (None, None, None, "collected")
    assert len(set(duplicate_groups(structures))) == len(structures)


def test_no_more_than_wanted(folder):
    assert run(write_input(most=3)).collected == 3
    assert len(ase.io.read("run.collected.xyz", ":")) == 3


def test_limit_of_disagreement(folder):
    run(write_input())
    _, found = disagreements()
    largest = found.max(axis=1)
    limit = float(np.quantile(largest[1:], 0.8))
    step = 1 + int(np.flatnonzero(largest[1:] > limit)[0])
    text = Path("run.toml").read_text().replace("[limits]", f"[limits]\nmax_force_disagreement_eV_A = {limit!r}")
    Path("run.toml").write_text(text)
    with pytest.raises(PhysicsError) as error:
        run(read_config("run.toml"), overwrite=True)
    message, atom = str(error.value), int(np.argmax(found[step]))
    assert message.startswith(f"step {step} ({step} fs): the members of the committee disagree by")
    assert f"{found[step, atom]:.4g} eV/Å on atom {atom} (Si)" in message
    assert [a.info["md_step"] for a in ase.io.read("run.collected.xyz", ":")] == list(range(0, step + 1, 10))


def test_killed_runs_collect_the_same_bytes(folder):
    """Killed at random moments and resumed, in processes of their own."""
    write_input(collect_interval=1)
    run(read_config("run.toml"))
    whole = (folder / "run.collected.xyz").read_bytes()
    with Trajectory("run.h5") as t:
        log = t.thermo["max_force_disagreement"]
    for name in ("run.h5", "run.checkpoint", "run.checkpoint.previous", "run.collected.xyz"):
        (folder / name).unlink()
    rng, kills = np.random.default_rng(4), 0
    while kills < 4:
        process = subprocess.Popen(
            [sys.executable, "-m", "mdnnp", "run", "run.toml", "--resume", "--threads", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        target = rng.integers(10, 110)
        while process.poll() is None:
            path = folder / "run.collected.xyz"
            if path.exists() and path.stat().st_size > target / 121 * len(whole):
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        process.wait()
        kills += 1
        if process.returncode == 0:
            break
    assert kills > 1
    if process.returncode != 0:
        with (folder / "run.collected.xyz").open("ab") as file:  # as if the last write had been cut short
            file.write(b"64\nLattice=")
        run(read_config("run.toml"), resume=True)
    assert (folder / "run.collected.xyz").read_bytes() == whole
    with Trajectory("run.h5") as t:
        np.testing.assert_array_equal(t.thermo["max_force_disagreement"], log)


def test_lost_collection_begins_anew_with_a_warning(folder):
    run(write_input())
    os.unlink("run.collected.xyz")
    config = write_input(steps=140)
    with pytest.warns(MdnnpWarning, match="some of the 13 configurations"):
        run(config, resume=True)
    assert [a.info["md_step"] for a in ase.io.read("run.collected.xyz", ":")] == [121, 131]


def test_a_single_potential_is_refused(folder):
    shutil.move("committee/member-1", "single")
    config = write_input(path='"single"')
    with pytest.raises(InputError, match=r"collect_above_eV_A at .*: needs a committee"):
        run(config)
    assert sorted(p.name for p in folder.iterdir()) == ["committee", "run.toml", "si.xyz", "single"]


def test_a_file_that_exists_is_not_overwritten(folder):
    (folder / "run.collected.xyz").write_text("mine")
    config = write_input()
    with pytest.raises(FileError, match=r"run\.collected\.xyz exists already"):
        run(config)
    assert (folder / "run.collected.xyz").read_text() == "mine"
    assert not (folder / "run.h5").exists()


def test_a_changed_member_is_not_resumed(folder):
    config = write_input()
    run(config)
    shutil.rmtree("committee/member-3")
    with pytest.raises(InputError, match=r"potential .*committee has changed since the run was started"):
        run(write_input(steps=130), resume=True)
