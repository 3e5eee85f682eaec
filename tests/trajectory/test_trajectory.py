"""H5MD files: other programs read the right numbers, kills lose nothing, and refusals touch nothing."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from places import TESTS

from mdnnp.base import units
from mdnnp.base.errors import FileError
from mdnnp.trajectory import Counts, Trajectory, TrajectoryWriter, check_space, lookup3, next_part, recover, repair

N = 8
NUMBERS = np.array([8, 1, 1, 14, 8, 1, 1, 14])
MASSES = np.array([15.999, 1.008, 2.014, 28.085, 15.999, 1.008, 1.008, 28.085])
CELL = np.array([[9.0, 0.0, 0.0], [1.5, 8.0, 0.0], [-2.0, 1.0, 10.0]])
THERMO = {"potential_energy": "eV", "total_energy": "eV"}


def frame(k: int) -> dict:
    """The k-th frame: numbers that depend on k alone."""
    rng = np.random.default_rng(k)
    stress = rng.normal(size=(3, 3))
    return {
        "step": 10 * k,
        "time_fs": 5.0 * k,
        "positions": rng.normal(scale=10.0, size=(N, 3)),
        "cell": CELL * (1 + 0.01 * k),
        "observables": {
            "potential_energy": -3.0 - k,
            "kinetic_energy": 1.0 + k,
            "total_energy": -2.0,
            "temperature": 300.0 + k,
            "stress": stress + stress.T,
        },
        "velocities": rng.normal(scale=0.01, size=(N, 3)),
        "forces": rng.normal(size=(N, 3)),
    }


def create(path, **options):
    return TrajectoryWriter.create(
        path,
        numbers=NUMBERS,
        masses=MASSES,
        pbc=np.array([True, True, True]),
        thermo_units=THERMO,
        parameters={"config": "[dynamics]\n", "seed": 3},
        **options,
    )


def write(writer, frames):
    for k in frames:
        for s in range(10):
            writer.write_thermo(
                10 * k + s, 0.5 * (10 * k + s), {"potential_energy": -3.0 - k - s / 10, "total_energy": -2.0}
            )
        events = {"atom": [k, 1], "function": [2, 3], "value": [0.1 * k, 1.0], "lower": [0.5, 0.0], "upper": [1.0, 0.9]}
        writer.write_extrapolations(10 * k, events)
        writer.write_frame(**frame(k))


def contents(path) -> dict:
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.__setitem__(
                name, item[()].tobytes() if isinstance(item, h5py.Dataset) else dict(item.attrs)
            )
        )
    return {
        name: {k: np.asarray(v).tolist() for k, v in x.items()} if isinstance(x, dict) else x
        for name, x in found.items()
    }


def assert_frames(trajectory, n):
    assert len(trajectory) == n
    assert trajectory.steps.tolist() == [10 * k for k in range(n)]
    assert trajectory.times_fs.tolist() == [5.0 * k for k in range(n)]
    for k in range(n):
        expected = frame(k)
        assert np.array_equal(trajectory.positions(k), expected["positions"])
        assert np.array_equal(trajectory.velocities(k), expected["velocities"])
        assert np.allclose(trajectory.forces(k), expected["forces"], rtol=1e-14)
        assert np.array_equal(trajectory.cells(k), expected["cell"])
        for name, value in expected["observables"].items():
            assert np.array_equal(trajectory.observables[name][k], value)


KILLED_WRITER = """
import sys
sys.path[:0] = {tests!r}
from test_trajectory import *
writer = {make}
write(writer, range({start}, 10**6))
"""


def killed(path, delay, make="create({path!r})", start=0, at_least=0):
    """Let another process write to `path` from frame `start` on, and kill it when it is past `at_least`."""
    code = KILLED_WRITER.format(
        tests=[str(TESTS), str(Path(__file__).parent)], make=make.format(path=str(path)), start=start
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with Trajectory(path) as trajectory:
                if len(trajectory) > at_least:
                    break
        except FileError:
            pass
        time.sleep(0.01)
    assert process.poll() is None, process.stderr.read().decode()
    time.sleep(delay)
    with Trajectory(path) as trajectory:
        seen = len(trajectory)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    return seen


@pytest.fixture(params=["closed", "killed and continued"])
def five_frames(request, tmp_path):
    path = tmp_path / "run.h5"
    if request.param == "closed":
        with create(path) as writer:
            write(writer, range(5))
    else:
        assert killed(path, 0.0) > 0
        with TrajectoryWriter.reopen(path, Counts(1, 10, 2)) as writer:
            write(writer, range(1, 5))
    return path


def test_own_reader(five_frames):
    with Trajectory(five_frames) as trajectory:
        assert_frames(trajectory, 5)
        assert trajectory.thermo["step"].tolist() == list(range(50))
        assert trajectory.thermo["potential_energy"][12] == -3.0 - 1 - 0.2
        assert trajectory.thermo_units["time"] == "fs"
        assert trajectory.extrapolations["atom"].tolist() == [0, 1, 1, 1, 2, 1, 3, 1, 4, 1]
        assert np.array_equal(trajectory.numbers, NUMBERS) and np.array_equal(trajectory.masses, MASSES)
        assert trajectory.pbc.all() and trajectory.parameters["seed"] == 3
        assert np.array_equal(trajectory.positions(slice(1, 4, 2))[1], frame(3)["positions"])


@pytest.mark.filterwarnings("ignore")
def test_mdanalysis(five_frames, tmp_path):
    mda = pytest.importorskip("MDAnalysis")
    path = five_frames.rename(tmp_path / "run.h5md")
    universe = mda.Universe(str(path), format="H5MD", topology_format="MINIMAL")
    assert len(universe.trajectory) == 5
    for k, ts in enumerate(universe.trajectory):
        expected = frame(k)
        assert np.allclose(ts.positions, expected["positions"], rtol=1e-5, atol=1e-5)
        assert np.allclose(ts.velocities, expected["velocities"] * 1e3, rtol=1e-5, atol=1e-4)
        assert np.allclose(ts.forces, expected["forces"] * units.EV_IN_KJ_PER_MOL, rtol=1e-5, atol=1e-3)
        assert np.allclose(ts.triclinic_dimensions, expected["cell"], rtol=1e-5, atol=1e-4)
        assert ts.time == pytest.approx(5e-3 * k)
        assert ts.data["step"] == 10 * k if "step" in ts.data else True


def test_pyh5md(five_frames):
    pyh5md = pytest.importorskip("pyh5md")
    with pyh5md.File(str(five_frames), "r") as file:
        group = file.particles_group("trajectory")
        for name, key in (("position", "positions"), ("velocity", "velocities")):
            assert np.array_equal(pyh5md.element(group, name).value[3], frame(3)[key])
        assert np.array_equal(pyh5md.element(group["box"], "edges").value[2], frame(2)["cell"])
        assert pyh5md.element(group, "position").step[4] == 40


@pytest.mark.filterwarnings("ignore")
def test_znh5md_and_ase(five_frames):
    znh5md = pytest.importorskip("znh5md")
    for k, atoms in enumerate(znh5md.IO(str(five_frames))[:]):
        expected = frame(k)
        assert np.array_equal(atoms.numbers, NUMBERS) and atoms.pbc.all()
        assert np.allclose(atoms.positions, expected["positions"], rtol=1e-14)
        assert np.allclose(atoms.cell.array, expected["cell"], rtol=1e-14)
        assert np.allclose(atoms.get_masses(), MASSES)
        assert np.allclose(atoms.info["velocities"], expected["velocities"])
        assert np.allclose(atoms.info["forces"], expected["forces"] * units.EV_IN_KJ_PER_MOL)
        assert atoms.get_potential_energy() == expected["observables"]["potential_energy"]
        assert np.allclose(atoms.get_stress(voigt=False), expected["observables"]["stress"])
    assert k == 4


@pytest.mark.filterwarnings("ignore")
def test_every_reader_knows_where_a_slab_is_periodic(tmp_path):
    slab = np.array([True, True, False])
    path = tmp_path / "slab.h5"
    with TrajectoryWriter.create(
        path, numbers=NUMBERS, masses=MASSES, pbc=slab, thermo_units=THERMO, parameters={"seed": 3}
    ) as writer:
        writer.write_frame(**frame(0))
    with Trajectory(path) as trajectory:
        assert trajectory.pbc.tolist() == slab.tolist()
    znh5md = pytest.importorskip("znh5md")
    assert znh5md.IO(str(path))[0].pbc.tolist() == slab.tolist()
    pyh5md = pytest.importorskip("pyh5md")
    with pyh5md.File(str(path), "r") as file:
        box = file.particles_group("trajectory")["box"]
        assert list(box.attrs["boundary"]) == ["periodic", "periodic", "none"]
    mda = pytest.importorskip("MDAnalysis")
    universe = mda.Universe(str(path.rename(tmp_path / "slab.h5md")), format="H5MD", topology_format="MINIMAL")
    assert np.allclose(universe.trajectory[0].positions, frame(0)["positions"], atol=1e-5)


def argon(rng):
    """Positions (Å), velocities (Å/fs) and edge of a box of 5 atoms, 6 frames 10 fs apart."""
    velocities = rng.normal(0, 0.003, (6, 5, 3))
    return rng.random((6, 5, 3)) * 12, velocities, 12.0


def test_a_file_that_pyh5md_wrote(tmp_path):
    pyh5md = pytest.importorskip("pyh5md")
    x, v, edge = argon(np.random.default_rng(5))
    path, grid = tmp_path / "pyh5md.h5", {"step": 10, "step_offset": 100, "time": 0.01, "time_offset": 1.0}
    with pyh5md.File(str(path), "w", creator="c", author="a", creator_version="1") as file:
        group = file.particles_group("atoms")
        group.create_box(dimension=3, boundary=["periodic"] * 3, store="fixed", data=np.full(3, edge / 10))
        pyh5md.element(group, "species", store="fixed", data=np.full(5, 18))
        for name, values, unit in (("position", x / 10, "nm"), ("velocity", v * 100, "nm ps-1")):
            element = pyh5md.element(group, name, store="linear", data=values[0], **grid)
            for value in values:
                element.append(value)
            element.value.attrs["unit"], group[name]["time"].attrs["unit"] = unit, "ps"
    with Trajectory(path) as trajectory:
        np.testing.assert_allclose(trajectory.positions(), x)
        np.testing.assert_allclose(trajectory.velocities(), v)
        np.testing.assert_allclose(trajectory.times_fs, 1000.0 + 10.0 * np.arange(6))
        assert trajectory.steps.tolist() == list(range(100, 160, 10)) and trajectory.pbc.all()
        with pytest.raises(FileError, match="unit of box/edges"):  # pyh5md writes none
            trajectory.cells()
    with h5py.File(path, "a") as file:
        file["particles/atoms/box/edges"].attrs["unit"] = "nm"
    with Trajectory(path) as trajectory:
        np.testing.assert_allclose(trajectory.cells(3), np.eye(3) * edge)


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_znh5md_wrote(tmp_path):
    """Of ASE's atoms: their velocities are in ASE's units, though labelled Å/fs, and the stress is the potential's."""
    znh5md = pytest.importorskip("znh5md")
    import ase
    from ase.calculators.singlepoint import SinglePointCalculator

    x, v, edge = argon(np.random.default_rng(6))
    images = []
    for k in range(6):
        atoms = ase.Atoms("Ar5", positions=x[k], cell=[edge] * 3, pbc=True)
        atoms.set_velocities(v[k] / ase.units.fs)
        atoms.calc = SinglePointCalculator(atoms, energy=1.0, stress=np.arange(6.0))
        images.append(atoms)
    znh5md.IO(str(tmp_path / "znh5md.h5"), timestep=10.0).extend(images)
    kinetic = np.array([atoms.get_kinetic_energy() for atoms in images])
    with Trajectory(tmp_path / "znh5md.h5") as trajectory:
        np.testing.assert_allclose(trajectory.positions(), x)
        np.testing.assert_allclose(trajectory.velocities(), v, rtol=1e-7)
        found = 0.5 * 39.948 * (trajectory.velocities() ** 2).sum(axis=(1, 2)) * units.EV_PER_U_A2_PER_FS2
        np.testing.assert_allclose(found, kinetic, rtol=1e-3)  # masses of argon differ in the fifth digit
        np.testing.assert_allclose(trajectory.cells(2), np.eye(3) * edge)
        np.testing.assert_allclose(np.diff(trajectory.times_fs), 10.0)
        assert trajectory.numbers.tolist() == [18] * 5 and "ASE's unit" in trajectory.notes[0]
        with pytest.raises(FileError, match="without the kinetic part"):
            trajectory.stress_series()


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_mdanalysis_wrote(five_frames, tmp_path):
    mda = pytest.importorskip("MDAnalysis")
    universe = mda.Universe(str(five_frames.rename(tmp_path / "run.h5md")), format="H5MD", topology_format="MINIMAL")
    path = tmp_path / "mda.h5md"
    with mda.Writer(str(path), n_atoms=N, n_frames=5) as writer:
        for _ in universe.trajectory:
            writer.write(universe.atoms)
        writer.h5md_file.close()  # it leaves that to the collector of garbage
    with Trajectory(path) as trajectory:
        for k in range(5):
            expected = frame(k)
            np.testing.assert_allclose(trajectory.positions(k), expected["positions"], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(trajectory.velocities(k), expected["velocities"], rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(trajectory.cells(k), expected["cell"], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(trajectory.times_fs, 5.0 * np.arange(5))
        assert trajectory.numbers is None and trajectory.notes == ()


def test_continuing_equals_not_stopping(tmp_path):
    with create(tmp_path / "whole.h5") as writer:
        write(writer, range(20))
    for stop, counted in ((3, 3), (12, 5), (20, 20), (20, 1)):
        path = tmp_path / f"parts-{stop}-{counted}.h5"
        with create(path) as writer:
            write(writer, range(stop))
        with TrajectoryWriter.reopen(path, Counts(counted, 10 * counted, 2 * counted)) as writer:
            write(writer, range(counted, 20))
        assert contents(path) == contents(tmp_path / "whole.h5")


def test_a_shorter_continuation_cuts_what_lies_behind(tmp_path):
    with create(tmp_path / "whole.h5") as writer:
        write(writer, range(6))
    with create(tmp_path / "long.h5") as writer:
        write(writer, range(20))
    with TrajectoryWriter.reopen(tmp_path / "long.h5", Counts(4, 40, 8)) as writer:
        write(writer, range(4, 6))
    assert contents(tmp_path / "long.h5") == contents(tmp_path / "whole.h5")


def kill_and_continue(path, delay):
    seen = killed(path, delay)
    with Trajectory(path) as trajectory:  # still flagged as open
        n = len(trajectory)
        assert n >= seen
        assert_frames(trajectory, n)
    assert repair(path)
    assert not repair(path)
    with h5py.File(path, "r") as file:
        assert len(file["particles/trajectory/position/step"]) == n
    counted = Counts(seen // 2, 10 * (seen // 2), 2 * (seen // 2))
    make = f"TrajectoryWriter.reopen({{path!r}}, Counts(*{tuple(counted)}))"
    again = killed(path, delay, make, start=counted.frames, at_least=n)
    with Trajectory(path) as trajectory:
        assert_frames(trajectory, len(trajectory))
        assert len(trajectory) >= max(again, n)


@pytest.mark.parametrize("delay", [0.0, 0.011, 0.05, 0.13])
def test_kill_loses_no_committed_frame(tmp_path, delay):
    kill_and_continue(tmp_path / "run.h5", delay)


@pytest.mark.slow
def test_sixty_kills_lose_no_committed_frame(tmp_path):
    rng = np.random.default_rng()
    for k in range(30):  # two kills each
        kill_and_continue(tmp_path / f"run{k}.h5", rng.uniform(0, 0.3))


def test_live_file_can_be_read(tmp_path):
    with create(tmp_path / "run.h5") as writer:
        write(writer, range(3))
        with Trajectory(tmp_path / "run.h5") as trajectory:
            assert_frames(trajectory, 3)


def test_readers_do_not_stop_the_run_that_goes_on(tmp_path):
    """HDF5 locks what it reads, and a killed run's file could not be continued while somebody looked at it."""
    path = tmp_path / "run.h5"
    killed(path, 0.0)
    code = f"""
import sys
sys.path[:0] = {[str(TESTS), str(Path(__file__).parent)]!r}
from test_trajectory import *
with TrajectoryWriter.reopen({str(path)!r}, Counts(1, 0, 0)) as writer:
    write(writer, range(1, 3))
"""
    with Trajectory(path) as trajectory:
        assert len(trajectory) >= 1
        subprocess.run([sys.executable, "-c", code], check=True)
    with Trajectory(path) as trajectory:
        assert_frames(trajectory, 3)


def test_locks_of_other_programs_are_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    with create(path) as writer:
        write(writer, range(1))
    monkeypatch.setattr("mdnnp.trajectory.writer._PATIENCE_S", 0.2)
    code = "import sys, time, h5py; f = h5py.File(sys.argv[1]); print(flush=True); time.sleep(float(sys.argv[2]))"
    with subprocess.Popen([sys.executable, "-c", code, str(path), "600"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(FileError, match="another program reads or writes it; close it"):
            TrajectoryWriter.reopen(path)
        process.kill()
    monkeypatch.setattr("mdnnp.trajectory.writer._PATIENCE_S", 60.0)
    with subprocess.Popen([sys.executable, "-c", code, str(path), "1"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with TrajectoryWriter.reopen(path) as writer:
            write(writer, range(1, 3))
    with Trajectory(path) as trajectory:
        assert_frames(trajectory, 3)


TORN_WRITER = """
import sys
sys.path[:0] = {tests!r}
from test_trajectory import *
writer = create({path!r})
write(writer, range(5))
writer._commit = lambda *mark: (writer._file.flush(), os._exit(0))
writer.write_frame(**frame(99))
"""


@pytest.fixture
def torn(tmp_path):
    """A file of five frames whose writer died within the sixth, before it was committed."""
    path = tmp_path / "run.h5"
    code = TORN_WRITER.format(tests=[str(TESTS), str(Path(__file__).parent)], path=str(path))
    subprocess.run([sys.executable, "-c", code], check=True)
    with h5py.File(path, "r", swmr=True) as file:
        assert len(file["particles/trajectory/position/value"]) == 6
    return path


def test_a_frame_that_is_not_committed_does_not_show(torn):
    with Trajectory(torn) as trajectory:
        assert_frames(trajectory, 5)


@pytest.mark.filterwarnings("ignore")
def test_recovered_file_is_whole_for_every_program(torn, tmp_path):
    assert recover(torn) == Counts(5, 50, 10)
    with create(tmp_path / "whole.h5") as writer:
        write(writer, range(5))
    assert contents(torn) == contents(tmp_path / "whole.h5")
    test_pyh5md(torn)
    test_znh5md_and_ase(torn)
    test_mdanalysis(torn, tmp_path)


def test_closing_leaves_nothing_uncommitted(torn, tmp_path):
    with TrajectoryWriter.reopen(torn, Counts(4, 40, 8)) as writer:
        write(writer, range(4, 5))
    with create(tmp_path / "whole.h5") as writer:
        write(writer, range(5))
    assert contents(torn) == contents(tmp_path / "whole.h5")


def layout_versions(path) -> set[int]:
    """Versions of the data layout messages in the headers of all datasets (HDF5 File Format Specification, IV.A)."""
    data, found = path.read_bytes(), set()

    def look(name, item):
        if not isinstance(item, h5py.Dataset):
            return
        start = h5py.h5o.get_info(item.id).addr
        assert data[start : start + 4] == b"OHDR"
        flags = data[start + 5]
        at = start + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width = 1 << (flags & 3)
        at, end = at + width, at + width + int.from_bytes(data[at : at + width], "little")
        while at + 4 <= end:
            body = at + 4 + 2 * bool(flags & 4)
            if data[at] == 8:
                found.add(data[body])
            at = body + int.from_bytes(data[at + 1 : at + 3], "little")

    with h5py.File(path, "r") as file:
        file.visititems(look)
    return found


def test_older_hdf5_can_read_it(tmp_path):
    """HDF5 1.10 to 1.14 know superblock 3 and data layout 4; HDF5 2.0 would write layout 5 if it were let."""
    with create(tmp_path / "run.h5") as writer:
        write(writer, range(1))
    assert (tmp_path / "run.h5").read_bytes()[8] == 3
    assert layout_versions(tmp_path / "run.h5") == {4}


@pytest.mark.parametrize("place", [20, 30, 40, 46])
def test_damaged_beginning_is_an_error_at_once(torn, place):
    """HDF5 itself waits for ever when it opens such a file in the mode for live files."""
    block = bytearray(torn.read_bytes())
    block[place] ^= 1
    torn.write_bytes(block)
    for attempt in (Trajectory, recover):
        with pytest.raises(FileError, match="damaged"):
            attempt(torn)
    assert torn.read_bytes() == block


def test_damaged_index_is_an_error_at_once(torn):
    with h5py.File(torn, "r", swmr=True) as file:
        start = h5py.h5o.get_info(file["particles/trajectory/velocity/value"].id).addr
    data = bytearray(torn.read_bytes())
    data[start + 40] ^= 1
    torn.write_bytes(data)
    with pytest.raises(FileError, match="damaged"):
        TrajectoryWriter.reopen(torn, Counts(3, 30, 6))


def test_checksum_is_that_of_hdf5(tmp_path):
    with create(tmp_path / "run.h5") as writer:
        write(writer, range(1))
    block = (tmp_path / "run.h5").read_bytes()[:48]
    assert block[8] == 3 and block[11] == 0
    assert struct.unpack("<I", block[44:])[0] == lookup3(block[:44])


def test_repair_changes_the_superblock_alone(tmp_path):
    path = tmp_path / "run.h5"
    killed(path, 0.02)
    before = path.read_bytes()
    repair(path)
    after = path.read_bytes()
    assert before[48:] == after[48:] and before[:48] != after[:48]


# ---------------------------------------------------------------------------------------------------------------------
# Refusals


def test_existing_file_is_kept(tmp_path):
    path = tmp_path / "run.h5"
    path.write_text("precious")
    with pytest.raises(FileError, match=r"exists already.*--overwrite"):
        create(path)
    assert path.read_text() == "precious"
    with create(path, overwrite=True) as writer:
        write(writer, range(2))
    with Trajectory(path) as trajectory:
        assert len(trajectory) == 2


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(FileError, match="is a directory"):
        create(tmp_path)
    with pytest.raises(FileError, match="directory does not exist"):
        create(tmp_path / "no" / "run.h5")


def as_nobody(code: str) -> subprocess.CompletedProcess:
    """Run Python code without root's rights."""
    drop = "import os\nif os.getuid() == 0:\n    os.setgid(65534); os.setuid(65534)\n"
    prepare = (
        f"import sys; sys.path[:0] = {[str(TESTS), str(Path(__file__).parent)]!r}; from test_trajectory import *\n"
    )
    return subprocess.run([sys.executable, "-c", prepare + drop + code], capture_output=True, text=True, check=False)


def test_read_only_directory(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    os.chmod(closed, 0o555)
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.getuid() and str(parent) != "/" and parent != Path("/tmp"):
            os.chmod(parent, 0o755)
    done = as_nobody(f"try:\n    create({str(closed / 'run.h5')!r})\nexcept FileError as error:\n    print(error)")
    assert "no permission to write there" in done.stdout, done.stderr
    assert not list(closed.iterdir())


def test_full_disk(tmp_path):
    """A limit on the size of files stands for a full disk: what was committed stays, and no crash."""
    path = tmp_path / "run.h5"
    code = f"""
import resource
from mdnnp.trajectory import WriteError, exit_at_once
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = create({str(path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    write(writer, range(10**6))
except WriteError as error:
    print(error)
    writer.close()
    exit_at_once(4)
"""
    done = as_another_process(code)
    assert done.returncode == 4, done.stderr
    assert "writing failed after frame" in done.stdout and "too large" in done.stdout
    kept = int(done.stdout.split("after frame ")[1].split(":")[0])
    with Trajectory(path) as trajectory:
        assert len(trajectory) == kept > 5
        assert_frames(trajectory, kept)


def as_another_process(code: str) -> subprocess.CompletedProcess:
    prepare = (
        f"import sys; sys.path[:0] = {[str(TESTS), str(Path(__file__).parent)]!r}; from test_trajectory import *\n"
    )
    return subprocess.run([sys.executable, "-c", prepare + code], capture_output=True, text=True, check=False)


def test_space_is_checked(tmp_path):
    check_space(tmp_path / "run.h5", 1000)
    with pytest.raises(FileError, match="needs about"):
        check_space(tmp_path / "run.h5", 10**18)


def test_foreign_and_damaged_files(tmp_path):
    path = tmp_path / "other.h5"
    with pytest.raises(FileError, match="no such file"):
        Trajectory(path)
    path.write_text("not HDF5 at all")
    with pytest.raises(FileError, match="not an HDF5 file"):
        Trajectory(path)
    with pytest.raises(FileError, match="not an HDF5 file"):
        TrajectoryWriter.reopen(path, Counts())
    path.unlink()
    with h5py.File(path, "w") as file:
        file["x"] = 1.0
    with pytest.raises(FileError, match="not a trajectory in H5MD"):
        Trajectory(path)
    with pytest.raises(FileError, match="did not write"):
        TrajectoryWriter.reopen(path, Counts())
    with h5py.File(path, "w", libver="latest") as file:
        file["x"] = 1.0
    with pytest.raises(FileError, match="not a trajectory of mdnnp"):
        TrajectoryWriter.reopen(path, Counts())


def test_file_that_holds_less_than_its_checkpoint_says(tmp_path):
    with create(tmp_path / "run.h5") as writer:
        write(writer, range(2))
    with pytest.raises(FileError, match="but the checkpoint expects"):
        TrajectoryWriter.reopen(tmp_path / "run.h5", Counts(5, 0, 0))


def test_parts(tmp_path):
    assert next_part(tmp_path / "run.h5").name == "run.part2.h5"
    (tmp_path / "run.part2.h5").touch()
    assert next_part(tmp_path / "run.h5").name == "run.part3.h5"


def test_h5md_of_another_program(tmp_path):
    """Fixed increments, a static cuboid box, nanometres and picoseconds: all legal."""
    path = tmp_path / "other.h5"
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 3))
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = [1, 1]
        position = file.create_group("particles/all/position")
        position["value"] = x
        position["value"].attrs["unit"] = np.bytes_("nm")
        position["step"], position["time"] = 100, 0.5
        position["time"].attrs["unit"] = np.bytes_("ps")
        file["particles/all/box/edges"] = np.array([1.0, 2.0, 3.0])
        file["particles/all/box/edges"].attrs["unit"] = "nm"
        file["particles/all/box"].attrs["boundary"] = np.array([b"periodic", b"none", b"periodic"])
        file["particles/all/species"] = np.array([1, 8, 1, 1])
    with Trajectory(path) as trajectory:
        assert len(trajectory) == 3
        assert np.allclose(trajectory.positions(), 10 * x)
        assert trajectory.steps.tolist() == [0, 100, 200]
        assert trajectory.times_fs.tolist() == [0.0, 500.0, 1000.0]
        assert np.allclose(trajectory.cells(1), np.diag([10.0, 20.0, 30.0]))
        assert trajectory.cells().shape == (3, 3, 3)
        assert trajectory.pbc.tolist() == [True, False, True]
        assert trajectory.numbers.tolist() == [1, 8, 1, 1]
        assert trajectory.velocities() is None and trajectory.forces() is None and trajectory.thermo == {}


def test_units_are_not_guessed(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file.create_group("h5md")
        position = file.create_group("particles/all/position")
        position["value"], position["step"], position["time"] = np.zeros((2, 1, 3)), 1, 0.5
    with Trajectory(path) as trajectory:
        assert trajectory.steps.tolist() == [0, 1]
        with pytest.raises(FileError, match="unit of position;"):
            trajectory.positions()
        with pytest.raises(FileError, match="unit of position/time"):
            _ = trajectory.times_fs
