"""The verbs relax and phonons: argon from the command line; force constants against phonopy's own differences."""

import json
import re

import numpy as np
import pytest
from ase.io import read, write
from places import SILICON
from systems import argon

from mdnnp.atoms.structure import from_atoms
from mdnnp.command.cli import main
from mdnnp.landscape.phonons import crystal_phonons
from mdnnp.landscape.vibrations import thermal_sums
from mdnnp.potentials.lennard_jones import LennardJones

LJ = 'kind = "lennard-jones"\ncutoff_A = 8.5\nsmoothing = "poly3"\n[elements.Ar]\nepsilon_eV = 0.0104\nsigma_A = 3.4\n'


@pytest.fixture
def files(tmp_path, monkeypatch):
    from ase import Atoms

    monkeypatch.chdir(tmp_path)
    (tmp_path / "lj.toml").write_text(LJ)
    for name, s in (("rattled.xyz", argon(2, 0.1)), ("cell.xyz", argon(1, 0.0))):
        write(tmp_path / name, Atoms(s.numbers, s.positions, cell=s.cell, pbc=True))
    return tmp_path


def test_relax_writes_structure_and_trajectory(files, capsys):
    command = "relax lj.toml rattled.xyz -o out.xyz --cell --force-tolerance 1e-4 --trajectory steps.xyz --threads 1"
    assert main([*command.split(), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["converged"] and outcome["max_force_eV_per_A"] <= 1e-4
    end, steps = read("out.xyz"), read("steps.xyz", ":")
    assert len(steps) == outcome["steps"] + 1
    assert end.get_potential_energy() == pytest.approx(outcome["energy_eV"], abs=1e-12)
    assert np.allclose(steps[-1].positions, end.positions)
    assert main(command.split()) == 4  # out.xyz exists
    assert "out.xyz" in capsys.readouterr().err


def test_relax_tells_of_failure_and_bad_input(files, capsys):
    for name in ("out.txt", "out.data", "out"):
        assert main(f"relax lj.toml rattled.xyz -o {name} --threads 1".split()) == 2
        said = capsys.readouterr()
        assert name in said.err and "step" not in said.out  # before the work, not after it
    command = "relax lj.toml rattled.xyz -o out.xyz --threads 1"
    assert main([*command.split(), "--most-evaluations", "4"]) == 3
    assert "NOT converged: gave up after 4 evaluations" in capsys.readouterr().out
    for extra, message in (
        ("--pressure-GPa 1", "needs --cell"),
        ("--force-tolerance -1", "must be positive"),
        ("--fix 99", "atom 99"),
    ):
        assert main([*command.split(), "--overwrite", *extra.split()]) == 2
        assert message in capsys.readouterr().err


def test_modes_and_movies(files, capsys):
    assert (
        main(["relax", "lj.toml", "rattled.xyz", "-o", "out.xyz", "--force-tolerance", "1e-5", "--threads", "1"]) == 0
    )
    assert main(["phonons", "lj.toml", "out.xyz", "-o", "all", "--animate", "2", "--threads", "1"]) == 0
    assert main(["phonons", "lj.toml", "out.xyz", "-o", "few", "--modes", "5", "--threads", "1"]) == 0
    full, few = (np.loadtxt(f"{d}/modes.csv", delimiter=",", skiprows=1) for d in ("all", "few"))
    assert len(full) == 93 and np.abs(few[:, 1] - full[:5, 1]).max() < 1e-3
    assert len(read("all/mode-1.xyz", ":")) == 20
    capsys.readouterr()
    assert main(["phonons", "lj.toml", "rattled.xyz", "-o", "loose", "--modes", "3", "--threads", "1"]) == 0
    assert "not a minimum" in capsys.readouterr().err


def test_phonons_of_a_crystal_against_differences_of_forces(files, capsys):
    pytest.importorskip("phonopy")
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    potential = LennardJones({"Ar": (0.0104, 3.4)}, 8.5, "poly3")
    structure = from_atoms(read("cell.xyz"))
    bands = crystal_phonons(potential, structure, (2, 2, 2), points=10)
    assert bands.n_primitive == 1 and bands.frequencies.shape[1] == 3
    assert np.trapezoid(bands.dos[:, 1], bands.dos[:, 0]) == pytest.approx(3.0, rel=0.02)
    gamma = [k for k, (name, _) in enumerate(bands.labels) if name == "G"]
    assert gamma and np.abs(bands.frequencies[0]).max() < 1e-3  # the path begins at Gamma
    s = structure.system
    reference = Phonopy(
        PhonopyAtoms(cell=s.cell, positions=s.positions, numbers=s.numbers, masses=structure.masses),
        supercell_matrix=np.diag([2, 2, 2]),
        primitive_matrix=[[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]],
    )
    reference.generate_displacements(distance=0.005)
    reference.forces = [
        potential.compute(s._replace(positions=c.positions, numbers=c.numbers, cell=c.cell)).forces
        for c in reference.supercells_with_displacements
    ]
    reference.produce_force_constants()
    reference.run_mesh(100.0)
    expected = np.array(reference.mesh.frequencies)
    assert np.abs(np.sort(bands.mesh.ravel()) - np.sort(expected.ravel())).max() < 2e-3
    _compare_thermal(reference, 300.0)
    assert (
        main(["phonons", "lj.toml", "cell.xyz", "-o", "crystal", "--supercell", "2", "2", "2", "--threads", "1"]) == 0
    )
    assert {"phonons.png", "bands.csv", "dos.csv"} <= {p.name for p in (files / "crystal").iterdir()}
    assert "Harmonic, of a primitive cell" in capsys.readouterr().out


def _compare_thermal(reference, temperature_K):
    """Of a coarse mesh with q = 0, whose translations would count for much, against phonopy's own sums."""
    reference.run_mesh([3, 3, 3], is_gamma_center=True)
    reference.run_thermal_properties(temperatures=[temperature_K], cutoff_frequency=1e-3)
    theirs = reference.thermal_properties
    mesh = reference.mesh
    assert (np.abs(mesh.frequencies) < 1e-3).sum() == 3
    weights = np.array(mesh.weights) / np.sum(mesh.weights)
    sums = thermal_sums(np.array(mesh.frequencies), weights, [temperature_K])
    free, entropy, heat = (values[0] for values in (sums[1], *sums[3:]))
    kJ_per_mol = 96.48533212
    assert free == pytest.approx(theirs.free_energy[0] / kJ_per_mol, abs=2e-6)
    assert entropy == pytest.approx(theirs.entropy[0] / kJ_per_mol / 1000, abs=2e-8)
    assert heat == pytest.approx(theirs.heat_capacity[0] / kJ_per_mol / 1000, abs=2e-8)


def test_one_heavy_atom_of_eight_in_silicon(files, capsys):
    """Of the relaxed cell, 5.4857 Å; the values are phonopy's with forces of the same potential."""
    pytest.importorskip("phonopy")
    from ase.build import bulk

    atoms = bulk("Si", "diamond", a=5.4857, cubic=True)
    atoms.set_masses([4 * 28.085, *[28.085] * 7])
    write("heavy.xyz", atoms, format="extxyz")
    command = f"phonons {SILICON}/potential heavy.xyz --supercell 2 2 2 -o heavy --threads 1"
    assert main(command.split()) == 0
    out = capsys.readouterr().out
    assert "8 atoms in the primitive cell" in out
    assert float(re.search(r"to (\S+) THz", out)[1]) == pytest.approx(14.016, abs=0.002)
    (free,) = (float(row.split()[1]) for row in out.splitlines() if row.split()[:1] == ["300.0"])
    assert free == pytest.approx(0.2056, abs=1e-4)


def test_isotopes_break_the_symmetry_of_phonons(files):
    pytest.importorskip("phonopy")
    from mdnnp.landscape.modes import thermal
    from mdnnp.materials.lattice import find_force_constants, frequencies, mesh

    potential = LennardJones({"Ar": (0.0104, 3.4)}, 5.0, "poly3")
    atoms = read("cell.xyz")
    atoms.set_masses([160.0, 40.0, 40.0, 40.0])
    structure = from_atoms(atoms)
    bands = crystal_phonons(potential, structure, (2, 2, 2), points=10)
    assert bands.n_primitive == 4
    constants = find_force_constants(potential, structure.system, structure.masses)  # knows of no symmetry
    assert np.abs(np.sort(bands.frequencies[0]) - frequencies(constants, [[0.0, 0.0, 0.0]])[0]).max() < 1e-3
    free = [
        np.average([float(thermal(p[p > 1e-3], np.array([20.0])).free_energy_eV[0]) for p in points], weights=weights)
        for points, weights in ((bands.mesh, bands.weights), (frequencies(constants, mesh(atoms.cell[:], 100.0)), None))
    ]
    assert free[0] == pytest.approx(free[1], rel=2e-3)


def test_phonons_refuse_bad_input(files, capsys):
    (files / "one.xyz").write_text("1\n\nAr 0 0 0\n")
    for words, message in (
        ("cell.xyz -o out --temperature-K -5", "--temperature-K must not be negative"),
        ("cell.xyz -o out --temperature-K nan", "--temperature-K must not be negative"),
        ("one.xyz -o out", "one atom has no vibrations"),
        ("cell.xyz -o out --modes 1", "not possible for 4 atoms"),
    ):
        assert main(["phonons", "lj.toml", *words.split(), "--threads", "1"]) == 2
        assert message in capsys.readouterr().err and not (files / "out").exists()


def test_no_free_energy_of_what_is_no_minimum(files, capsys):
    from ase.build import bulk

    write(files / "simple.xyz", bulk("Ar", "sc", a=3.6).repeat(2))
    assert main(["phonons", "lj.toml", "simple.xyz", "-o", "out", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "imaginary" in said and "No thermal properties" in said and "Harmonic" not in said


def test_small_supercells_are_warned_of(files, capsys):
    """The cell is 5.26 Å, the cutoff 8.5 Å: twice that takes 4 repeats, four times 7."""
    pytest.importorskip("phonopy")
    words = ["phonons", "lj.toml", "cell.xyz", "--threads", "1", "--supercell"]
    assert main([*words, "2", "4", "4", "-o", "small"]) == 0
    said = capsys.readouterr()
    assert (
        "10.52 Å wide" in said.err
        and "at least --supercell 4 4 4 of 256 atoms, or --supercell 7 7 7 of 1372 atoms" in said.err
    )
    assert main([*words, "4", "4", "4", "-o", "enough"]) == 0
    said = capsys.readouterr()
    assert "wrap" not in said.err and "--supercell 7 7 7" in said.out


def test_four_cutoffs_are_exact():
    """Of a potential in which atoms act through common neighbours: larger supercells change nothing any more."""
    pytest.importorskip("phonopy")
    from ase import Atoms
    from silicon_committee import make_model

    from mdnnp.landscape.phonons import supercell_advice
    from mdnnp.potentials.hdnnp.potential import HDNNP

    potential = HDNNP(make_model())
    s = from_atoms(Atoms("Si", positions=[[0, 0, 0]], cell=[3.4] * 3, pbc=True))
    size, _, exact = supercell_advice(potential, s.system, (1, 1, 1))
    assert size == pytest.approx(3.4 / 5.0) and exact == (6, 6, 6)
    found = [crystal_phonons(potential, s, (n, n, n), points=4).frequencies for n in (2, 6, 7)]
    assert np.abs(found[1] - found[2]).max() < 1e-6
    assert np.abs(found[0] - found[2]).max() > 1e-4
