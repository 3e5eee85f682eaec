"""The verb properties: argon from the command line, its files and names, values to compare with, bad input."""

import csv
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from systems import argon

from mdnnp.command.cli import main
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.potentials.lennard_jones import LennardJones

LJ = 'kind = "lennard-jones"\ncutoff_A = 8.5\nsmoothing = "poly3"\n[elements.Ar]\nepsilon_eV = 0.0104\nsigma_A = 3.4\n'
SILICON = "inputs/silicon/potential"


@pytest.fixture
def files(tmp_path, monkeypatch):
    from pathlib import Path

    (tmp_path / "potential").symlink_to(Path(SILICON).resolve())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lj.toml").write_text(LJ)
    write("cell.xyz", bulk("Ar", "fcc", a=5.3, cubic=True))
    return tmp_path


def run(command, capsys):
    status = main([*command.split(), "--threads", "1"])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_all_parts_of_argon(files, capsys):
    (files / "reference.json").write_text('{"C99_GPa": 1.0}')
    command = "properties lj.toml cell.xyz -o out --temperature-K 40 --reference reference.json"
    status, out, err = run(command, capsys)
    assert status == 0 and err.count("warning") == 1 and "no quantity of this report is called C99_GPa" in err
    names = {"report.html", "properties.json", "properties.csv", "eos.csv", "thermal.csv", "relaxed.xyz"}
    assert {p.name for p in (files / "out").iterdir()} == names
    found = json.loads((files / "out" / "properties.json").read_text())
    assert found["failed"] == {}
    values = {key: q["value"] for key, q in found["quantities"].items()}
    assert values["C12_GPa"] == pytest.approx(values["C44_GPa"], rel=1e-4)
    assert values["B_GPa"] == pytest.approx(values["B0_GPa"], rel=0.02)
    assert values["surface_111_J_per_m2"] < values["surface_110_J_per_m2"]
    cell = read("out/relaxed.xyz").cell.lengths()
    assert cell == pytest.approx([values["a0_A"]] * 3, rel=1e-6) and 5.2 < cell[0] < 5.3
    assert values["vacancy_unrelaxed_eV"] == pytest.approx(-values["energy_eV_per_atom"], rel=1e-6)
    assert {"octahedral_eV", "tetrahedral_eV", "dumbbell_eV"} <= set(values)
    assert np.array(found["elastic_constants_GPa"]).shape == (6, 6)
    rows = list(csv.DictReader((files / "out" / "properties.csv").read_text().splitlines()))
    assert {r["key"]: float(r["value"]) for r in rows} == pytest.approx(values, rel=1e-9)
    curve = np.loadtxt("out/thermal.csv", delimiter=",", skiprows=1)
    assert curve[0, 0] == 0 and curve[-1, 0] == 40 and (np.diff(curve[:, 1]) > 0).all()  # past 1.06 of the volume
    page = (files / "out" / "report.html").read_text()
    assert page.count("<img") == 3 and "Birch" in page and "Christoffel" in page and "extrapolates" not in page
    assert "bulk modulus" in out and "Written: out/report.html" in out


def test_values_to_compare_with(files, capsys):
    reference = {"source": "experiment, somebody", "C11_GPa": 4.2, "a0_A": 5.26, "details": {"cutoff": "none"}}
    (files / "reference.json").write_text(json.dumps(reference))
    command = "properties lj.toml cell.xyz --only eos elastic --reference reference.json -o out"
    status, out, _ = run(command, capsys)
    assert status == 0
    line = next(line for line in out.splitlines() if line.startswith("C11 "))
    found = json.loads((files / "out" / "properties.json").read_text())["quantities"]["C11_GPa"]
    assert found["reference"] == 4.2
    assert found["deviation_percent"] == pytest.approx(100 * (found["value"] / 4.2 - 1))
    assert f"{found['deviation_percent']:+.1f} %" in line and "4.2000" in line
    page = (files / "out" / "report.html").read_text()
    assert "experiment, somebody" in page and "deviation" in page
    assert not (files / "out" / "thermal.csv").exists()
    status, out, _ = run(command + " --overwrite --json", capsys)
    assert status == 0 and json.loads(out)["quantities"]["C11_GPa"]["value"] == found["value"]


def test_extrapolation_stands_beside_the_numbers(files, capsys):
    """A vacancy in a cell of two atoms leaves one with four missing neighbours, which no silicon has."""
    write("silicon.xyz", bulk("Si", a=5.487))
    status, out, _ = run("properties potential silicon.xyz --only defects eos --supercell 1 1 1 -o out", capsys)
    assert status == 0
    found = json.loads((files / "out" / "properties.json").read_text())["quantities"]
    bad = found["vacancy_eV"]["extrapolates"]
    assert 0 < bad["atoms"] <= bad["of"] and "of Si" in bad["worst"]
    assert found["V0_A3_per_atom"]["extrapolates"] is None
    line = next(line for line in out.splitlines() if line.startswith("vacancy, Si (atom 0), relaxed"))
    assert f"! extrapolates: {bad['atoms']} of {bad['of']} atoms" in line
    page = (files / "out" / "report.html").read_text()
    assert bad["worst"].split(" by ")[0] in page and "do not trust these numbers" in page


def test_a_part_that_fails_says_why(files, capsys):
    """bcc argon is no minimum: elastic constants exist and are said to be unstable, phonons end the thermal part."""
    pytest.importorskip("spglib")  # which keeps it bcc
    write("bcc.xyz", bulk("Ar", "bcc", a=4.2, cubic=True))
    status, out, _ = run("properties lj.toml bcc.xyz --only eos elastic thermal -o out", capsys)
    assert status == 0 and "UNSTABLE (Born)" in out and "no moduli" in out
    assert "not computed" in out and "imaginary modes" in out
    found = json.loads((files / "out" / "properties.json").read_text())
    assert list(found["failed"]) == ["thermal"] and "B0_GPa" in found["quantities"]
    assert found["quantities"]["C11_GPa"]["value"] < found["quantities"]["C12_GPa"]["value"]
    assert "not computed" in (files / "out" / "report.html").read_text()
    status, *_ = run("properties lj.toml bcc.xyz --only thermal -o nothing", capsys)
    assert status == 3


def test_an_interruption_loses_the_part_that_runs_alone(files, capsys, monkeypatch):
    from mdnnp.materials import parts

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(parts._PARTS, "elastic", interrupt)
    status, _, err = run("properties lj.toml cell.xyz -o out --only eos elastic surfaces", capsys)
    assert status == 130 and "--only elastic surfaces" in err
    assert "B0_GPa" in json.loads((files / "out" / "properties.json").read_text())["quantities"]


def test_hexagonal_crystal_as_it_is(files, capsys):
    write("hcp.xyz", bulk("Ar", "hcp", a=3.68, c=6.0))
    status, out, _ = run("properties lj.toml hcp.xyz --no-relax --only elastic defects -o out", capsys)
    assert status == 0 and "under stress" in out and "no interstitials" in out
    found = json.loads((files / "out" / "properties.json").read_text())["quantities"]
    assert found["gamma_deg"]["value"] == pytest.approx(120) and "C66_GPa" in found and "C14_GPa" not in found
    assert "vacancy_eV" in found


def test_without_spglib(files, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "spglib", None)
    status, out, err = run("properties lj.toml cell.xyz --only elastic defects --supercell 2 2 2 -o out", capsys)
    assert status == 0 and "warning" not in err and "leaves" not in out
    found = json.loads((files / "out" / "properties.json").read_text())
    assert "needs spglib" in found["space group"] and found["failed"] == {}
    assert "vacancy_eV" in found["quantities"]  # one kind of site, by the atoms' energies
    assert found["quantities"]["C12_GPa"]["value"] == pytest.approx(found["quantities"]["C44_GPa"]["value"], rel=1e-3)


def test_bad_input_is_refused_before_anything_is_written(files, capsys):
    write("molecule.xyz", Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]]))
    liquid = argon(2, 0.9)
    write("liquid.xyz", Atoms(liquid.numbers, liquid.positions, cell=liquid.cell, pbc=True))
    slab = bulk("Ar", "fcc", a=5.3, cubic=True)
    slab.center(vacuum=6.0, axis=1)
    write("slab.xyz", slab)
    (files / "text.json").write_text('{"C11_GPa": "big"}')
    (files / "list.json").write_text("[1]")
    (files / "broken.json").write_text("{")
    for arguments, status, message in (
        ("molecule.xyz", 2, "not periodic in three directions"),
        ("slab.xyz", 2, "no atoms in a layer of 12.0 Å across lattice vector b"),
        ("liquid.xyz", 3, "far from a minimum"),
        ("cell.xyz --reference text.json", 2, "C11_GPa must be a number, found 'big'"),
        ("cell.xyz --reference list.json", 2, "expected an object"),
        ("cell.xyz --reference broken.json", 2, "not JSON"),
        ("cell.xyz --reference absent.json", 4, "absent.json"),
        ("cell.xyz --temperature-K -5", 2, "must be positive"),
        ("cell.xyz --only sound", 2, "invalid choice"),
    ):
        found, _, err = run(f"properties lj.toml {arguments} -o out", capsys)
        assert (found, message in err) == (status, True), (arguments, err)
        assert not (files / "out").exists()
    (files / "out").mkdir()
    (files / "out" / "mine.txt").write_text("kept")
    status, _, err = run("properties lj.toml cell.xyz -o out --overwrite", capsys)
    assert status == 4 and "mine.txt" in err and (files / "out" / "mine.txt").read_text() == "kept"


def test_a_structure_off_its_minimum_is_pointed_out(files, capsys):
    rattled = argon(1, 0.05)
    write("rattled.xyz", Atoms(rattled.numbers, rattled.positions, cell=rattled.cell, pbc=True))
    status, _, err = run("properties lj.toml rattled.xyz --no-relax --only eos -o out", capsys)
    assert status == 0 and "this is not a minimum" in err
    status, _, err = run("properties lj.toml rattled.xyz --only eos -o relaxed", capsys)
    assert status == 0 and "minimum" not in err
    potential = LennardJones({"Ar": (0.0104, 3.4)}, 8.5, "poly3")
    goal = Goal(cell=True, force_tolerance=1e-6, stress_tolerance_GPa=1e-5)
    expected = relax(potential, argon(1, 0.0), goal).point.results.energy / 4
    found = json.loads((files / "relaxed" / "properties.json").read_text())["quantities"]
    assert found["energy_eV_per_atom"]["value"] == pytest.approx(expected, abs=1e-8)


def test_what_to_do_about_a_report_that_exists(files, capsys):
    (files / "out").mkdir()
    assert main(["properties", "lj.toml", "cell.xyz", "-o", "out"]) == 4
    assert "--overwrite" in capsys.readouterr().err
