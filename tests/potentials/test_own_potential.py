"""A potential of a third party (`harmonic`) through the verbs, the ASE calculator and a committee: right numbers."""

import inspect
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from harmonic import LENGTH_A, SPRING, HarmonicCrystal
from places import TESTS

from mdnnp import Committee, load_potential, make_system
from mdnnp.atoms.structure import from_atoms
from mdnnp.base.errors import InputError
from mdnnp.command.cli import main
from mdnnp.couplings.ase import HDNNPCalculator
from mdnnp.landscape.phonons import crystal_phonons
from mdnnp.trajectory import Trajectory

MASS_U = 39.95
HIGHEST_THZ = math.sqrt(8 * SPRING * 9.64853321e3 / MASS_U) / (2 * math.pi)  # 1 eV/(Å^2 u) = 9648.5 THz^2 (angular)
EV_PER_A3_IN_GPA = 160.21766
LATTICE_A = LENGTH_A * math.sqrt(2)
FILE = 'kind = "python"\nfactory = "harmonic:make"\n[arguments]\nspring = 0.5\n'


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(TESTS / "harmonic.py", tmp_path / "harmonic.py")
    Path("own.toml").write_text(FILE)
    crystal = bulk("Ar", "fcc", a=LATTICE_A, cubic=True)
    ase.io.write("cell.xyz", crystal)
    rattled = crystal.repeat(3)
    rattled.rattle(0.05, seed=2)
    ase.io.write("rattled.xyz", rattled)
    return tmp_path


def ask(capsys, command: str, status: int = 0) -> str:
    assert main(command.split()) == status
    return capsys.readouterr().out


def test_info_says_what_is_known(files, capsys):
    out = ask(capsys, "info own.toml")
    assert "HarmonicCrystal" in out and "Ar" in out and f"{1.3 * LENGTH_A:g}" in out


def test_check_passes(files, capsys):
    assert "FAIL" not in ask(capsys, "check own.toml rattled.xyz")


def test_smooth_measures_what_it_does_not_know(files, capsys):
    said = json.loads(ask(capsys, "smooth own.toml rattled.xyz --temperature-K 50 --steps 100 --json"))
    assert said["smooth"] and said["construction"]["order"] is None
    assert abs(said["dynamics"]["order"] - 2) < 0.1


def test_run_conserves_energy(files, capsys):
    Path("run.toml").write_text(
        '[structure]\nfile = "rattled.xyz"\n[potential]\npath = "own.toml"\n[dynamics]\ntimestep_fs = 5\nsteps = 200\n'
        'temperature_K = 40\n[output]\nfile = "run.h5"\n'
    )
    assert "HarmonicCrystal" in ask(capsys, "run run.toml")
    with Trajectory("run.h5") as run:
        energy = run.thermo["total_energy"]
        assert np.ptp(energy) < 0.02 * np.ptp(run.thermo["kinetic_energy"])
    Path("own.toml").write_text(FILE.replace("0.5", "0.6"))
    assert main(["run", "run.toml", "--resume"]) == 2  # another potential than that of the checkpoint
    assert "potential" in capsys.readouterr().err


def test_relax_finds_the_springs_length(files, capsys):
    ask(capsys, "relax own.toml rattled.xyz -o relaxed.xyz --cell --force-tolerance 1e-5 --stress-tolerance-GPa 1e-5")
    relaxed = ase.io.read("relaxed.xyz")
    assert relaxed.get_potential_energy() == pytest.approx(0.0, abs=1e-9)
    assert relaxed.get_volume() == pytest.approx(27 * LATTICE_A**3, rel=1e-6)


def test_phonons_are_those_of_the_lattice(files, capsys):
    ask(capsys, "phonons own.toml cell.xyz -o phonons --supercell 3 3 3")
    structure = from_atoms(ase.io.read("cell.xyz"))
    bands = crystal_phonons(HarmonicCrystal(), replace(structure, masses=np.full(4, MASS_U)), (3, 3, 3), points=20)
    assert bands.n_primitive == 1
    assert bands.frequencies.max() == pytest.approx(HIGHEST_THZ, rel=1e-4)  # at X, on the path


def test_properties_are_those_of_springs(files, capsys):
    ask(capsys, "properties own.toml cell.xyz -o out --only elastic")
    found = json.loads((files / "out" / "properties.json").read_text())["quantities"]
    unit = SPRING / LATTICE_A * EV_PER_A3_IN_GPA
    assert found["C11_GPa"]["value"] == pytest.approx(2 * unit, rel=1e-3)
    assert found["C12_GPa"]["value"] == pytest.approx(unit, rel=1e-3)
    assert found["C44_GPa"]["value"] == pytest.approx(unit, rel=1e-3)


def test_ase_and_committee(files):
    atoms = ase.io.read("rattled.xyz")
    atoms.calc = HDNNPCalculator(load_potential("own.toml"))
    committee = Committee([HarmonicCrystal(0.4), HarmonicCrystal(0.6)])
    system = make_system(atoms.positions, atoms.numbers, atoms.cell.array, True)
    mean, one = committee.compute(system), HarmonicCrystal().compute(system)
    assert atoms.get_potential_energy() == pytest.approx(one.energy, rel=1e-14)
    assert mean.energy == pytest.approx(one.energy, rel=1e-12)
    assert np.allclose(mean.disagreement.forces, 0.2 * np.linalg.norm(one.forces, axis=1), rtol=1e-12)
    assert np.allclose(atoms.get_stress(), one.stress(system)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], atol=1e-15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "python"\n', "module:function"),
        ('kind = "python"\nfactory = "nowhere_at_all:make"\n', "nowhere_at_all"),
        ('kind = "python"\nfactory = "harmonic:nothing"\n', "nothing"),
        ('kind = "python"\nfactory = "harmonic:make"\n[arguments]\nlenght = 3.0\n', "lenght"),
        ('kind = "python"\nfactory = "math:tau"\n', "made no potential"),
        ('kind = "eam"\n', "found 'eam'"),
    ],
)
def test_a_factory_that_makes_no_potential(files, text, message):
    Path("bad.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_potential("bad.toml")


def test_modules_of_one_name_in_two_folders(files):
    source = Path("harmonic.py").read_text()
    for folder in ("first", "second"):
        Path(folder).mkdir()
        Path(folder, "own.toml").write_text(FILE)
        Path(folder, "harmonic.py").write_text(f"{source}\n\nFOLDER = {folder!r}\n")
    for folder in ("first", "second", "first"):
        potential = load_potential(f"{folder}/own.toml")
        assert folder == inspect.getmodule(type(potential)).FOLDER
        assert Path(folder, "harmonic.py").resolve() in potential.files


def spoil(old: str, new: str) -> None:
    text = Path("harmonic.py").read_text()
    assert text.count(old) == 1
    Path("harmonic.py").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "verb", ["predict own.toml rattled.xyz", "check own.toml rattled.xyz", "relax own.toml rattled.xyz -o out.xyz"]
)
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stretch = distance - self.length", "stretch = distanze - self.length", "NameError: name 'distanze'"),
        ("r = neighbor_list(system, self.cutoff)", "r = neighbor_list(system)", "TypeError: neighbor_list() missing"),
        ("np.add.at(forces, i, gradient)", "np.add.at(forces, i, gradient[:1, :2])", "ValueError: "),
    ],
)
def test_an_error_in_its_code_is_told_by_file_and_line(files, capfd, verb, old, new, message):
    spoil(old, new)
    assert main(verb.split()) == 2
    line = 1 + Path("harmonic.py").read_text()[: Path("harmonic.py").read_text().index(new)].count("\n")
    said = capfd.readouterr().err
    assert f"error: {files}/harmonic.py:{line}: {message}" in said and "internal" not in said


def test_an_error_while_it_is_made_is_told_by_file_and_line(files):
    spoil("return HarmonicCrystal(spring, length)", "return HarmonicCristal(spring, length)")
    with pytest.raises(InputError, match=r"NameError: name 'HarmonicCristal'.* \(at .*harmonic.py:\d+\)"):
        load_potential("own.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("forces=forces,", "forces=forces[:, 0],", r"compute gave forces of shape \(108,\) .* expected .* \(108, 3\)"),
        ("energy=float(energies.sum()),", "energy=energies,", r"compute gave energy of shape \(108,\)"),
        ("virial=virials.sum(axis=0),", "virial=None,", r"compute gave virial of shape \(\) and type object"),
        ("return Results(", "return dict(", "compute gave a dict, expected mdnnp.Results"),
    ],
)
def test_results_of_another_form_are_refused(files, old, new, message):
    spoil(old, new)
    potential, atoms = load_potential("own.toml"), ase.io.read("rattled.xyz")
    with pytest.raises(InputError, match=f"own.toml: {message}"):
        potential.compute(from_atoms(atoms).system)


def test_convert_says_that_it_has_no_other_form(files, capfd):
    assert main(["convert", "own.toml", "out"]) == 2
    assert "own.toml: a potential in a TOML file states its units and has no other form" in capfd.readouterr().err
    assert not Path("out").exists()
