"""Structures and labels as other programs write them: read right, or refused by file, structure and line."""

import re
import subprocess
import sys
import warnings

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import cellpar_to_cell

from mdnnp.atoms.read import read_structures, stream_structures
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import InputError, MdnnpWarning
from mdnnp.base.units import BOHR_A
from mdnnp.training.dataset import excluded_numbers, read_labelled

SIDE_A = 10.6
VOLUME_A3 = SIDE_A**3
RNG = np.random.default_rng(2)
POSITIONS = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3) / 2 * SIDE_A
POSITIONS = POSITIONS + RNG.normal(0, 0.15, (8, 3))
FORCES = RNG.normal(0, 0.01, (8, 3))
STRESS = np.array([[1e-3, 2e-4, -3e-4], [2e-4, 2e-3, 5e-4], [-3e-4, 5e-4, -1e-3]])


def numbers(matrix) -> str:
    return " ".join(f"{x:.10g}" for x in np.ravel(matrix))


def frame(head: str, columns: str = "species:S:1:pos:R:3:forces:R:3", rows: list[str] | None = None) -> str:
    """An extended XYZ of eight argon atoms."""
    rows = rows or [f"Ar {numbers(p)} {numbers(f)}" for p, f in zip(POSITIONS, FORCES, strict=True)]
    lattice = f'Lattice="{SIDE_A} 0 0 0 {SIDE_A} 0 0 0 {SIDE_A}"'
    return "\n".join(["8", f"{lattice} Properties={columns} {head}", *rows]) + "\n"


def with_last_columns(text: str) -> list[str]:
    return [f"Ar {numbers(p)} {text}" for p in POSITIONS]


GOOD = frame('energy=-0.3 pbc="T T T"')


def read(tmp_path, text: str, name: str = "a.xyz"):
    (tmp_path / name).write_text(text)
    return read_structures(tmp_path / name)


# Extended XYZ


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (frame('energy="_JSON -0.3"'), (-0.3, True)),
        (frame('energy="-0.3"'), (-0.3, True)),
        (frame("energy = -0.3"), (-0.3, True)),
        (frame("energy=-3"), (-3.0, True)),
        (frame('2S-2-Amino-3=T acid=T name="a=b c energy=4" energy=-0.3 dipole="0 0 1"'), (-0.3, True)),
        (frame("energy=-0.3", rows=[r.lower() for r in GOOD.splitlines()[2:]]), (-0.3, True)),
        (frame("Energy=-0.3"), (None, True)),
        (frame("energy=-0.3", "species:S:1:pos:R:3:force:R:3"), (-0.3, False)),
    ],
)
def test_spellings_of_labels(tmp_path, text, expected):
    (s,) = read(tmp_path, text)
    assert (s.energy, s.forces is not None) == expected
    np.testing.assert_allclose(s.system.positions, POSITIONS, atol=1e-8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (frame("energy=-0.3D+00"), r":1: energy: expected a number, found '-0.3D\+00', Fortran's.*line 11"),
        (frame("energy=-0,3"), r":1: energy: expected shape \(\), found \(2,\) \(structure of line 11\)"),
        (frame("energy="), r":1: energy: expected .* \(structure of line 11\)"),
        (frame("energy=None"), r":1: energy: expected a number, found 'None' \(structure of line 11\)"),
        (frame("energy=nan"), r":1: energy not a finite number: nan \(structure of line 11\)"),
        (frame("energy=-0.3 energy=-0.4"), ":1: line 12: energy= is given 2 times"),
        (frame("e=1", rows=with_last_columns("**** 0 0")), r":1: line 13: atom 0: column forces: .*'\*\*\*\*', what"),
        (frame("e=1", rows=with_last_columns("1.0D-02 0 0")), ":1: line 13: atom 0: column forces: .*'1.0D-02', Fort"),
        (frame("e=1", rows=with_last_columns("0 0")), r":1: line 13: atom 0: expected 7 words .*, found 6"),
        (frame("e=1", rows=[f"Ar{r[2:]}" for r in GOOD.replace("Ar", "Q").splitlines()[2:]]), ":1: line 13: atom 0: "),
        (frame('stress="1 2 3 4 5 6"'), ":1: line 12: stress: expected nine numbers, because programs differ in the"),
        (frame('stress="1 2 3 4 5 6 7 8 *"'), r":1: line 12: stress: expected a number, found '\*'"),
        (frame('stress="_JSON [[1,0,0],[0,1,0],[0,0,1]]"'), ":1: line 12: stress: expected a number, found '_JSON'"),
        (
            frame('stress="1e-3 2e-4 -3e-4 4e-4 2e-3 5e-4 -3e-4 5e-4 -1e-3"'),
            ":1: line 12: stress is not symmetric: 0.0002 and 0.0004",
        ),
        (
            frame(f'stress="{numbers(STRESS)}" virial="{numbers(VOLUME_A3 * STRESS)}"'),
            ":1: its stress and its virial contradict each other: yy is 0.002 eV/Å.3, but .* is -0.002;.*line 11",
        ),
        (
            frame(f'stress="{numbers(0 * STRESS)}" virial="{numbers(-VOLUME_A3 * STRESS)}"'),
            ":1: its stress and its virial contradict each other",
        ),
    ],
)
def test_what_cannot_be_read_is_named_by_structure_and_line(tmp_path, text, message):
    with pytest.raises(InputError, match=r"a\.xyz" + message):
        read(tmp_path, GOOD + text)


def test_stress_and_virial_that_agree(tmp_path):
    (s,) = read(tmp_path, frame(f'stress="{numbers(STRESS)}" virial="{numbers(np.round(-VOLUME_A3 * STRESS, 3))}"'))
    np.testing.assert_allclose(s.stress, STRESS)


def test_masses_in_a_column_called_mass(tmp_path):
    text = frame("a=1", "species:S:1:pos:R:3:mass:R:1", with_last_columns("36.0"))
    with pytest.warns(MdnnpWarning, match="masses are read from the column 'mass', in u"):
        (s,) = read(tmp_path, text)
    assert s.masses.tolist() == [36.0] * 8
    (s,) = read(tmp_path, text.replace(":mass:", ":masses:"))
    assert s.masses.tolist() == [36.0] * 8


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    for text in (GOOD.replace("8", "\x1b[2J", 1), frame("energy=\x1b[31m"), GOOD.replace("Ar", "\x1b]0;x\x07", 1)):
        with pytest.raises(InputError) as caught:
            read(tmp_path, text)
        assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 600


# Comment lines of other programs


CELLS = {
    "abcABC": numbers([*np.array([10.0, 11.0, 12.0]) / BOHR_A, 80, 85, 95]),
    "H": numbers(cellpar_to_cell([10, 11, 12, 80, 85, 95]).T / BOHR_A),
    "GENH": numbers(cellpar_to_cell([10, 11, 12, 80, 85, 95]) / BOHR_A),
}


@pytest.mark.parametrize("form", CELLS)
@pytest.mark.parametrize(
    ("units", "length", "cell"),
    [
        ("positions{angstrom} cell{atomic_unit}", 1.0, 1.0),
        ("positions{atomic_unit}  cell{angstrom}", BOHR_A, 1 / BOHR_A),
        ("x_centroid{angstrom} cell{atomic_unit}", 1.0, 1.0),
        ("", BOHR_A, 1.0),
    ],
)
def test_cells_of_i_pi(tmp_path, form, units, length, cell):
    rows = "".join(f"Ar {numbers(p)}\n" for p in POSITIONS)
    (s,) = read(tmp_path, f"8\n# CELL({form}): {CELLS[form]}  Step:  4  Bead:  0 {units}\n{rows}")
    assert s.system.pbc.all()
    np.testing.assert_allclose(s.system.cell, cellpar_to_cell([10, 11, 12, 80, 85, 95]) * cell, atol=1e-7)
    np.testing.assert_allclose(s.system.positions, POSITIONS * length, atol=1e-7)


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("# CELL(abcABC): 10 10 10 90 90 Step: 0", "expected CELL.abcABC.: and six numbers"),
        ("# CELL(abc): 10 10 10", "expected CELL.abcABC.: and six numbers"),
        ("# CELL(abcABC): 10 10 10 10 10 170 Step: 0", "no cell has the lengths and angles"),
        ("# CELL(abcABC): 10 10 10 90 90 90 forces{atomic_unit} cell{angstrom}", r"i-PI wrote forces\{atomic_unit\}"),
        ("# CELL(abcABC): 10 10 10 90 90 90 positions{furlong} cell{angstrom}", "unit of length 'furlong'"),
        ("# CELL(H): 10 0 0 1 10 0 0 0 10", "upper triangular"),
        ('lattice="10 0 0 0 10 0 0 0 10"', "a cell in a form that is not known"),
        ("cell: a= 10.0, b= 10.0, c= 10.0", "a cell in a form that is not known"),
        ("E = -3.5 unitcell 10.0 10.0 10.0 90 90 90", "a cell in a form that is not known"),
        ("Box [10.0, 10.0, 10.0]", "a cell in a form that is not known"),
    ],
)
def test_cells_that_are_not_understood_are_refused(tmp_path, comment, message):
    with pytest.raises(InputError, match=r"a\.xyz:0: line 2: .*" + message):
        read(tmp_path, f"1\n{comment}\nAr 0 0 0\n")


@pytest.mark.parametrize(
    "comment",
    ["", "Coordinates from ORCA-job opt E -1128.4", " i = 0, time = 0.0, E = -17.2", 'pbc="F F F" cellar=3', "pbc=F"],
)
def test_clusters_stay_clusters(tmp_path, comment):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (s,) = read(tmp_path, f"1\n{comment}\nAr 0 0 0\n")
    assert not s.system.pbc.any()


def test_a_word_on_a_cell_is_warned_of(tmp_path):
    with pytest.warns(MdnnpWarning, match="'cell 3 of the crystal' is not read; the atoms are read as a cluster"):
        read(tmp_path, "1\ncut out of cell 3 of the crystal\nAr 0 0 0\n")


# RuNNer 2


@pytest.fixture
def runner_atoms() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.rattle(0.1, seed=1)
    atoms.set_initial_charges([0.5, -0.5])
    atoms.set_initial_magnetic_moments([1.0, 2.0])
    forces = np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])
    atoms.calc = SinglePointCalculator(atoms, energy=-7.5, forces=forces)
    return atoms


@pytest.mark.skipif(
    "runnerdata" not in ase.io.formats.ioformats, reason="an ASE that does not write RuNNer 2's columns"
)
def test_columns_that_ase_names_for_runner_2(tmp_path, runner_atoms):
    bare = bulk("Cu")
    ase.io.write(tmp_path / "input.data", [runner_atoms, bare], format="runnerdata")
    assert "begin position(3) element charge magmom forces(3)" in (tmp_path / "input.data").read_text()
    s, other = read_structures(tmp_path / "input.data")
    np.testing.assert_allclose(s.system.positions, runner_atoms.positions, atol=1e-8)
    np.testing.assert_allclose(s.system.cell, runner_atoms.cell.array, atol=1e-8)
    np.testing.assert_allclose(s.forces, runner_atoms.get_forces(), atol=1e-8)
    assert s.energy == pytest.approx(-7.5, abs=1e-6) and s.charges.tolist() == [0.5, -0.5]
    assert other.forces is None and other.energy is None
    np.testing.assert_allclose(read_structures(tmp_path / "input.data", 0, "Bohr", "Hartree")[0].forces, s.forces)
    with pytest.raises(InputError, match=r"input\.data:0: line 1: `begin` names columns.*Bohr and Hartree"):
        read_structures(tmp_path / "input.data", ":", "Angstrom", "eV")
    with pytest.warns(MdnnpWarning, match="left out unknown entries: 'magmom'"):
        write_structures(tmp_path / "out.xyz", [s])
    assert read_structures(tmp_path / "out.xyz")[0].charges.tolist() == [0.5, -0.5]


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        ("begin element position(3)", "columns that begin with 'begin position"),
        ("begin position(3) element force(2)", "expected force"),
        ("begin position(3) element charge charge", "column 'charge': expected charge, once"),
        ("begin position(3) element a(b)", "is no column"),
        ("begin position(3) element charge", r"line 2|:2: expected 'atom position\(3\) element charge' \(6 words\)"),
    ],
)
def test_columns_that_are_refused(tmp_path, begin, message):
    with pytest.raises(InputError, match=r"input\.data:[12]: .*" + message):
        read(tmp_path, f"{begin}\natom 0 0 0 H\nend\n", "input.data")


# What is left out, and what is said of it


def test_a_broken_structure_may_be_left_out(tmp_path):
    bad = frame("e=1", rows=with_last_columns("**** 0 0"))
    (tmp_path / "a.xyz").write_text(GOOD + bad + GOOD)
    exclude = excluded_numbers([tmp_path / "a.xyz"], ["a.xyz:1"])
    assert [s.name[-1] for s in read_labelled([tmp_path / "a.xyz"], exclude=exclude)] == ["0", "2"]
    block = "begin\natom 0 0 0 H 0 0 0 0 0\nenergy 1\nend\n"
    (tmp_path / "input.data").write_text(block + block.replace("0 0 0 H", "0 * 0 H") + block)
    assert len(list(stream_structures(tmp_path / "input.data", "Bohr", "Hartree", {1}))) == 2
    with pytest.raises(InputError, match=r"input\.data:6: expected a number, found '\*'"):
        list(stream_structures(tmp_path / "input.data", "Bohr", "Hartree", {0}))


def test_conversion_says_what_it_leaves_out(tmp_path):
    text = frame('energy=-0.3 dipole="0 0 1" tag=a', "species:S:1:pos:R:3:tags:I:1:initial_charges:R:1",
                 with_last_columns("1 0.25"))  # fmt: skip
    structures = read(tmp_path, text)
    with pytest.warns(MdnnpWarning, match="left out unknown entries: 'dipole', 'tag', 'tags'"):
        write_structures(tmp_path / "input.data", structures, length_unit="Bohr", energy_unit="Hartree")
    (s,) = read_structures(tmp_path / "input.data", length_unit="Bohr", energy_unit="Hartree")
    assert s.charges.tolist() == [0.25] * 8 and s.energy == pytest.approx(-0.3)


@pytest.mark.parametrize("name", ["out.xyz", "input.data", "out.extxyz"])
def test_the_sets_of_n2p2_are_kept(tmp_path, name):
    block = "begin{}\natom 0 0 0 H 0 0 0 0 0\nenergy 1\nend\n"
    text = "".join(block.format(mark) for mark in ("", " set=train", " set=test"))
    (tmp_path / "in.data").write_text(text)
    units = {"length_unit": "Bohr", "energy_unit": "Hartree"}
    write_structures(tmp_path / name, read_structures(tmp_path / "in.data", **units), **units)
    assert [s.subset for s in read_structures(tmp_path / name, **units)] == [None, "train", "test"]
    assert [s.subset for s in read_labelled(tmp_path / name, **units)] == [None, "train", "test"]


@pytest.mark.parametrize("lattice", ["1e-4 0 0 0 1e-4 0 0 0 1e-4", "0.01 0 0 0 10 0 0 0 10", "1e-300 0 0 0 9 0 0 0 9"])
def test_tiny_cells_are_refused_at_once(tmp_path, lattice):
    with pytest.raises(InputError, match=r"a\.xyz:0: .*(lattice planes only|no volume|vector is zero)"):
        read(tmp_path, f'1\nLattice="{lattice}" pbc="T T T"\nAr 0 0 0\n')


def test_reading_needs_no_compiled_kernels():
    code = "import sys, mdnnp.atoms.structure; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["virials", "Virial", "VIRIALS"])
def test_virials_by_other_names(tmp_path, name):
    virial = np.array([[12.0, 1.0, 2.0], [1.0, -24.0, 6.0], [2.0, 6.0, 36.0]])
    with pytest.warns(MdnnpWarning, match=f"a.xyz:0: '{name}' is read as virial: in eV, minus volume times stress"):
        (s,) = read(tmp_path, frame(f'{name}="{numbers(virial)}"'))
    assert np.allclose(s.stress, -virial / VOLUME_A3, rtol=1e-14)
    assert not s.unused and not s.dropped


def test_virial_itself_comes_first(tmp_path):
    virial = np.diag([12.0, -24.0, 36.0])
    (s,) = read(tmp_path, frame(f'Virial="{numbers(2 * virial)}" virial="{numbers(virial)}"'))
    assert np.allclose(s.stress, -virial / VOLUME_A3, rtol=1e-14)
    assert s.unused == s.dropped == ("Virial",)


def test_convert_says_which_entries_may_be_labels(tmp_path):
    structures = read(tmp_path, frame(f'REF_virial="{numbers(STRESS)}" REF_energy=-3.0 pbe="x"'))
    with pytest.warns(
        MdnnpWarning,
        match="'pbe'; if 'REF_energy', 'REF_virial' are labels, give --key energy=REF_energy --key virial=REF_virial",
    ):
        write_structures(tmp_path / "out.xyz", structures)


FOREIGN = frame(
    f'energy=-9.0 REF_energy=-0.3 REF_stress="{numbers(STRESS)}" REF_charge=1.0', "species:S:1:pos:R:3:force:R:3"
)
KEYS = {"energy": "REF_energy", "forces": "force", "stress": "REF_stress", "total_charge": "REF_charge"}


def test_labels_are_read_from_the_names_that_the_keys_give(tmp_path):
    (tmp_path / "a.xyz").write_text(FOREIGN + FOREIGN.replace("REF_energy=-0.3", ""))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = read_labelled(tmp_path / "a.xyz", keys=KEYS)
        (same,) = read_structures(tmp_path / "a.xyz", 0, keys=KEYS)
    assert first.energy_eV == same.energy == -0.3  # and not that of the standard name
    assert second.energy_eV is None  # nor that one where it has none
    np.testing.assert_allclose(first.forces, FORCES, rtol=1e-9)
    np.testing.assert_allclose(first.stress, STRESS, rtol=1e-9)
    assert first.system.charge == 1.0
    assert not same.unused and not same.dropped


def test_a_virial_by_a_key_replaces_the_files_stress(tmp_path):
    text = frame(f'dft_virial="{numbers(-2 * VOLUME_A3 * STRESS)}" stress="{numbers(STRESS)}"')
    (tmp_path / "a.xyz").write_text(text)
    (s,) = read_labelled(tmp_path / "a.xyz", keys={"virial": "dft_virial"})
    np.testing.assert_allclose(s.stress, 2 * STRESS, rtol=1e-9)


def test_a_free_energy_that_differs_is_pointed_out_and_can_be_chosen(tmp_path):
    (tmp_path / "a.xyz").write_text(frame("energy=-0.3 free_energy=-0.4"))
    with pytest.warns(MdnnpWarning, match=r'\[data\] of train.toml: keys = {energy = "free_energy"}'):
        assert read_labelled(tmp_path / "a.xyz")[0].energy_eV == -0.3
    assert read_labelled(tmp_path / "a.xyz", keys={"energy": "free_energy"})[0].energy_eV == -0.4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"forces": "forse"},
            "a.xyz: no structure has 'forse' for the forces, expected as a column .*REF_energy.*force",
        ),
        ({"energy": "force"}, "no structure has 'force' for the energy, expected as an entry of the structure"),
        ({"force": "force"}, "'force' is no label; known: energy, forces, stress"),
        ({"energy": "REF_energy", "forces": "REF_energy"}, "two labels have the same name"),
        ({"stress": "REF_charge"}, "stress: expected shape"),
    ],
)
def test_keys_that_are_wrong(tmp_path, keys, message):
    (tmp_path / "a.xyz").write_text(FOREIGN)
    for reading in (lambda: read_labelled(tmp_path / "a.xyz", keys=keys),
                    lambda: read_structures(tmp_path / "a.xyz", -1, keys=keys)):  # fmt: skip
        with pytest.raises(InputError, match=message):
            reading()


def test_a_skew_stress_by_a_key_is_refused(tmp_path):
    skew = STRESS + np.triu(STRESS, 1)
    (tmp_path / "a.xyz").write_text(frame(f'REF_stress="{numbers(skew)}"'))
    with pytest.raises(InputError, match=r"a\.xyz:0: stress is not symmetric"):
        read_labelled(tmp_path / "a.xyz", keys={"stress": "REF_stress"})


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("out.vasp", "format vasp does not keep energy, forces, stress, (velocities, )?charges, isotope masses"),
        ("out.cif", "format cif does not keep energy, forces"),
        ("out.traj", None),
    ],
)
def test_formats_of_ase_that_lose_something_say_so(tmp_path, name, lost):
    atoms = bulk("Ar", a=5.3, cubic=True)
    atoms.set_masses([36.0, 40.0, 40.0, 40.0])
    atoms.set_initial_charges([0.1, -0.1, 0.0, 0.0])
    atoms.set_velocities(np.full((4, 3), 0.01))
    forces, stress = np.full((4, 3), 0.1), np.full(6, 1e-3)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=forces, stress=stress)
    ase.io.write(tmp_path / "in.traj", atoms)
    structures = read_structures(tmp_path / "in.traj")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        write_structures(tmp_path / name, structures)
    said = [str(w.message) for w in said if issubclass(w.category, MdnnpWarning)]
    assert [bool(re.search(lost, text)) for text in said] == [True] if lost else said == []
