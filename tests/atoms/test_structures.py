"""Structures from files and back: units, isotopes, every kind of cell, and each kind of broken file."""

import dataclasses
import warnings

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase import units as ase_units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.data import atomic_masses
from places import SILICON
from reference_data import there

from mdnnp.atoms.read import read_structures, stream_structures
from mdnnp.atoms.structure import Structure, from_atoms, to_atoms
from mdnnp.atoms.system import make_system
from mdnnp.atoms.unit_suspicion import unit_suspicion
from mdnnp.atoms.write import write_structures
from mdnnp.base import units
from mdnnp.base.errors import FileError, InputError, MdnnpWarning

XYZ = """2
Lattice="4 0 0 1 5 0 0.5 0.25 6" Properties=species:S:1:pos:R:3:forces:R:3 energy=-3.5 pbc="T T F"
H 0.0 0.1 0.2 0.01 0.02 0.03
O 1.0 1.1 1.2 -0.01 -0.02 -0.03
"""


def make_structure(kind: str = "triclinic", label: str = "made up") -> Structure:
    """Structures with every field filled in, with numbers that need all their digits."""
    rng = np.random.default_rng(7)
    cell = np.array([[5.0, 0.0, 0.0], [1.0 / 3.0, 6.1, 0.0], [-0.7, 0.9, 7.0]])
    pbc = {"triclinic": (True, True, True), "mixed": (True, False, True), "cluster": (False, False, False)}[kind]
    if kind == "cluster":
        cell = np.zeros((3, 3))
    numbers = np.array([8, 1, 1, 29])
    stress = rng.normal(size=(3, 3))
    return Structure(
        system=make_system(rng.normal(size=(4, 3)) * 10.0, numbers, cell, pbc),
        masses=np.array([15.999, 2.01410177812, 1.008, 62.92959772]),
        velocities=rng.normal(size=(4, 3)) * 1e-3,
        energy=-1.0 / 3.0,
        forces=rng.normal(size=(4, 3)),
        stress=None if kind == "cluster" else stress + stress.T,
        label=label,
        atomic_energies=rng.normal(size=4),
    )


def assert_same(a: Structure, b: Structure, exact: bool = True) -> None:
    """Equal to the last bit (velocities, which files hold as momenta: nearly)."""
    rtol = 0.0 if exact else 1e-14
    for x, y in zip(a.system, b.system, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol)
    for name in ("masses", "energy", "forces", "stress", "atomic_energies"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is not None:
            np.testing.assert_allclose(x, y, rtol=rtol, err_msg=name)
    assert (a.velocities is None) == (b.velocities is None)
    if a.velocities is not None:
        np.testing.assert_allclose(a.velocities, b.velocities, rtol=1e-14)


# -----------------------------------------------------------------------------------------------------------
# Round trips


@pytest.mark.parametrize("kind", ["triclinic", "mixed", "cluster"])
def test_extended_xyz_round_trip(tmp_path, kind):
    """All digits survive, and ASE reads the same numbers."""
    first = make_structure(kind)
    plain = Structure(first.system, atomic_masses[first.system.numbers])
    write_structures(tmp_path / "a.xyz", [first, plain])
    again, again_plain = read_structures(tmp_path / "a.xyz")
    assert_same(first, again)
    assert_same(plain, again_plain)
    assert (again.label, again_plain.label) == (f"{tmp_path / 'a.xyz'}:0", f"{tmp_path / 'a.xyz'}:1")
    atoms = ase.io.read(tmp_path / "a.xyz", 0)
    np.testing.assert_array_equal(atoms.positions, first.system.positions)
    np.testing.assert_array_equal(atoms.get_forces(), first.forces)
    assert "masses" not in ase.io.read(tmp_path / "a.xyz", 1).arrays


@pytest.mark.parametrize("kind", ["triclinic", "mixed", "cluster"])
def test_atoms_round_trip(kind):
    first = make_structure(kind)
    assert_same(first, from_atoms(to_atoms(first)))


@pytest.mark.parametrize(("name", "exact"), [("a.traj", True), ("a.json", True), ("POSCAR", False), ("a.cif", False)])
def test_formats_of_ase(tmp_path, name, exact):
    structure = make_structure()
    structure = Structure(structure.system, atomic_masses[structure.system.numbers]) if not exact else structure
    write_structures(tmp_path / name, [structure])
    (again,) = read_structures(tmp_path / name)
    if exact:
        assert_same(structure, again)
    else:  # these formats sort, rotate or round
        assert sorted(again.system.numbers) == sorted(structure.system.numbers)
        volume = np.linalg.det(structure.system.cell)
        np.testing.assert_allclose(np.linalg.det(again.system.cell), volume, rtol=1e-5)


def test_input_data_round_trip(tmp_path):
    first = make_structure()
    with pytest.warns(MdnnpWarning, match="cannot hold velocities, stress, atomic energies, isotope masses"):
        write_structures(tmp_path / "input.data", [first], length_unit="Bohr", energy_unit="Hartree")
    (again,) = read_structures(tmp_path / "input.data", length_unit="Bohr", energy_unit="Hartree")
    kept = dataclasses.replace(
        first, velocities=None, stress=None, masses=atomic_masses[first.system.numbers], atomic_energies=None
    )
    assert_same(kept, again, exact=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_structures(tmp_path / "b", [kept], format="n2p2", length_unit="Angstrom", energy_unit="eV")
    (again,) = read_structures(tmp_path / "b", length_unit="Angstrom", energy_unit="eV")
    assert_same(kept, again)


def test_input_data_without_labels(tmp_path):
    """A structure without energy and forces comes back without them, not with zeros."""
    plain = make_structure("cluster")
    plain = Structure(plain.system, atomic_masses[plain.system.numbers])
    write_structures(tmp_path / "input.data", [plain], length_unit="nm", energy_unit="eV")
    (again,) = read_structures(tmp_path / "input.data", length_unit="nm", energy_unit="eV")
    assert_same(plain, again, exact=False)
    assert again.energy is None and again.forces is None


# -----------------------------------------------------------------------------------------------------------
# What is read


def test_units_of_input_data(tmp_path):
    (tmp_path / "input.data").write_text(
        "begin\nlattice 10 0 0\nlattice 0 10 0\nlattice 0 0 20\natom 1 2 3 O 0 0 1 0 -2\nenergy 2\ncharge 0\nend\n"
    )
    (s,) = read_structures(tmp_path / "input.data", length_unit="Bohr", energy_unit="Hartree")
    np.testing.assert_allclose(s.system.positions, [[0.529177210903, 1.058354421806, 1.587531632709]], rtol=1e-12)
    np.testing.assert_allclose(np.diag(s.system.cell), [5.29177210903, 5.29177210903, 10.58354421806], rtol=1e-12)
    np.testing.assert_allclose(s.forces, [[51.4220674763, 0.0, -102.8441349526]], rtol=1e-10)
    assert s.energy == pytest.approx(54.422772491976)
    assert s.system.pbc.all() and s.stress is None and s.velocities is None and s.masses.tolist() == [15.999]


def test_input_data_needs_units(tmp_path):
    (tmp_path / "input.data").write_text("begin\natom 0 0 0 O 0 0 0 0 0\nend\n")
    with pytest.raises(InputError, match=r"input\.data: .*unit of length and energy is not given.*--length-unit Bohr"):
        read_structures(tmp_path / "input.data")
    with pytest.raises(InputError, match="unit of energy is not given"):
        read_structures(tmp_path / "input.data", length_unit="Bohr")
    with pytest.raises(InputError, match="unknown length unit 'ell'"):
        read_structures(tmp_path / "input.data", length_unit="ell", energy_unit="eV")
    structure = make_structure()
    with pytest.raises(InputError, match="unit of length and energy is not given"):
        write_structures(tmp_path / "out.data", [structure])
    assert not (tmp_path / "out.data").exists()


def test_units_do_not_touch_other_formats(tmp_path):
    (tmp_path / "a.xyz").write_text(XYZ)
    (given,) = read_structures(tmp_path / "a.xyz", length_unit="Bohr", energy_unit="Hartree")
    (without,) = read_structures(tmp_path / "a.xyz")
    assert_same(given, without)
    assert given.energy == -3.5


def test_data_suffix_alone_does_not_make_input_data(tmp_path):
    """Files of LAMMPS end in .data too; the content decides."""
    ase.io.write(tmp_path / "lammps.data", bulk("Cu", cubic=True), format="lammps-data")
    with pytest.raises(InputError, match=r"lammps\.data: format not recognised.*data files of LAMMPS"):
        read_structures(tmp_path / "lammps.data", length_unit="Bohr", energy_unit="Hartree")


def test_extended_xyz_fields(tmp_path):
    (tmp_path / "a.xyz").write_text(XYZ)
    (s,) = read_structures(tmp_path / "a.xyz")
    np.testing.assert_array_equal(s.system.cell, [[4, 0, 0], [1, 5, 0], [0.5, 0.25, 6]])
    np.testing.assert_array_equal(s.system.pbc, [True, True, False])
    np.testing.assert_array_equal(s.system.numbers, [1, 8])
    np.testing.assert_array_equal(s.forces, [[0.01, 0.02, 0.03], [-0.01, -0.02, -0.03]])
    assert s.energy == -3.5 and s.stress is None and s.velocities is None
    np.testing.assert_array_equal(s.masses, [1.008, 15.999])
    assert [a.dtype for a in s.system[:4]] == [np.float64, np.int64, np.float64, np.bool_]


def test_stress_keeps_its_components():
    """ASE's order xx yy zz yz xz xy, and its sign."""
    atoms = bulk("Cu")
    atoms.calc = SinglePointCalculator(atoms, stress=np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    expected = [[1, 6, 5], [6, 2, 4], [5, 4, 3]]
    np.testing.assert_array_equal(from_atoms(atoms).stress, expected)
    np.testing.assert_array_equal(to_atoms(from_atoms(atoms)).get_stress(), [1, 2, 3, 4, 5, 6])


def test_velocities_are_in_A_per_fs():
    """The same kinetic energy from ASE's momenta, in ASE's units, and from ours."""
    atoms = molecule("H2O")
    atoms.set_momenta(np.random.default_rng(0).normal(size=(3, 3)))
    s = from_atoms(atoms)
    kinetic = 0.5 * (s.masses[:, None] * s.velocities**2).sum() * units.EV_PER_U_A2_PER_FS2
    assert kinetic == pytest.approx(atoms.get_kinetic_energy(), rel=1e-6)  # two editions of CODATA
    moved = atoms.positions + 10.0 * s.velocities
    np.testing.assert_allclose(moved, atoms.positions + atoms.get_velocities() * 10.0 * ase_units.fs, rtol=1e-14)


def test_isotopes(tmp_path):
    atoms = molecule("H2O")
    masses = atoms.get_masses()
    masses[1] = 2.014
    atoms.set_masses(masses)
    ase.io.write(tmp_path / "a.xyz", atoms)
    (s,) = read_structures(tmp_path / "a.xyz")
    assert s.masses.tolist() == [15.999, 2.014, 1.008]
    assert from_atoms(molecule("H2O")).masses.tolist() == [15.999, 1.008, 1.008]


def test_nothing_is_computed():
    """Results are taken where they are, and only while they belong to the positions."""
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    assert from_atoms(atoms).energy is None
    energy = atoms.get_potential_energy()
    assert from_atoms(atoms).energy == energy
    atoms.positions[0, 0] += 0.1
    assert from_atoms(atoms).energy is None


def test_free_energy_stands_in_for_energy():
    atoms = bulk("Cu")
    atoms.calc = SinglePointCalculator(atoms, free_energy=-2.5)
    assert from_atoms(atoms).energy == -2.5


def test_forces_of_constrained_atoms_are_kept():
    atoms = molecule("H2O")
    forces = np.arange(9.0).reshape(3, 3)
    atoms.calc = SinglePointCalculator(atoms, forces=forces)
    atoms.set_constraint(FixAtoms([0, 1, 2]))
    with pytest.warns(MdnnpWarning, match="w:3: its constraints are not used"):
        np.testing.assert_array_equal(from_atoms(atoms, "w:3").forces, forces)


def test_velocities_without_a_unit_are_left_out(tmp_path):
    (tmp_path / "a.xyz").write_text(XYZ.replace("forces", "vel"))
    with pytest.warns(MdnnpWarning, match=r"a\.xyz:0: column 'vel' is not used, because its unit is not known"):
        (s,) = read_structures(tmp_path / "a.xyz")
    assert s.velocities is None


@pytest.mark.parametrize("content", [XYZ, "2\n\nH 0 0 0\nO 0 0 1\n", "2\r\nremark\r\nH 0 0 0\r\nO 0 0 1\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("crlf", [False, True])
def test_bom_and_crlf(tmp_path, content, bom, crlf):
    text = content.replace("\r\n", "\n")
    (tmp_path / "plain.xyz").write_text(text)
    (tmp_path / "other.xyz").write_bytes(bom + (text.replace("\n", "\r\n") if crlf else text).encode())
    for a, b in zip(read_structures(tmp_path / "plain.xyz"), read_structures(tmp_path / "other.xyz"), strict=True):
        assert_same(a, b)


def test_crlf_in_other_formats(tmp_path):
    write_structures(tmp_path / "POSCAR", [from_atoms(bulk("Si", cubic=True))])
    text = (tmp_path / "POSCAR").read_bytes()
    (tmp_path / "CONTCAR").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert_same(read_structures(tmp_path / "POSCAR")[0], read_structures(tmp_path / "CONTCAR")[0])


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (":", "01234"), (0, "0"), ("3", "3"), ("1:3", "12"), (slice(None, None, 2), "024"), (":-3", "01"),
        (-1, "4"), ("-1", "4"), ("-2:", "34"), ("-9:", "01234"), ("::-2", "420"), ("4:1:-1", "432"),
    ],
)  # fmt: skip
def test_index_and_labels(tmp_path, index, expected):
    """Labels count from 0, whatever the index; each names the structure it belongs to."""
    atoms = [Atoms("H", positions=[[k, 0, 0]]) for k in range(5)]
    ase.io.write(tmp_path / "a@b.xyz", atoms)  # ASE would take what follows @ for an index
    structures = read_structures(tmp_path / "a@b.xyz", index)
    found = [s.label.removeprefix(f"{tmp_path / 'a@b.xyz'}:") for s in structures]
    assert found == list(expected)
    assert [s.system.positions[0, 0] for s in structures] == [int(n) for n in found]


@pytest.mark.parametrize(("index", "expected"), [(":", "012"), (-1, "2"), ("1:", "12"), ("::-1", "210"), (0, "0")])
def test_index_of_input_data(tmp_path, index, expected):
    text = "".join(f"begin\natom {k} 0 0 H 0 0 0 0 0\nend\n" for k in range(3))
    (tmp_path / "input.data").write_text(text)
    structures = read_structures(tmp_path / "input.data", index, "Angstrom", "eV")
    assert [s.label[-1] for s in structures] == list(expected)
    assert [s.system.positions[0, 0] for s in structures] == [float(n) for n in expected]


# -----------------------------------------------------------------------------------------------------------
# Refusals


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        ("", ("a.xyz: the file is empty",)),
        (
            XYZ.replace("2\n", "3\n", 1),
            ("a.xyz:0: line 1: a structure of 3 atoms begins here", "ends after 2 of them"),
        ),
        (
            XYZ.replace("2\n", "1\n", 1),
            (
                "a.xyz:1: line 4: expected the number of atoms",
                "found 'O 1.0 1.1",
                "more atoms than its first line states",
            ),
        ),
        (XYZ + "\n" + XYZ, ("a.xyz:1: line 5: blank line between structures (the next text is at line 6)",)),
        (XYZ.replace("2\n", "two\n", 1), ("a.xyz:0: line 1: expected the number of atoms", "'two'")),
        (XYZ.replace("2\n", "-2\n", 1), ("a.xyz:0: line 1: expected the number of atoms", "'-2'")),
        ("0\n\n", ("a.xyz:0: no atoms",)),
        (XYZ.replace("O 1.0", "Qq 1.0"), ("a.xyz:0: line 4: atom 1: 'Qq' is no chemical element",)),
        (XYZ.replace("O 1.0", "X 1.0"), ("a.xyz:0: atom 1 is of no chemical element",)),
        (XYZ.replace("O 1.0", "O one"), ("a.xyz:0: line 4: atom 1: column pos: expected a number, found 'one'",)),
        (XYZ.replace("O 1.0", "O nan"), ("a.xyz:0: atom 1 has position",)),
        (XYZ.replace("O 1.0", "O inf"), ("a.xyz:0: atom 1 has position",)),
        (XYZ.replace("1.2 -0.01", "1.2 nan"), ("a.xyz:0: forces of atom 1 not a finite number",)),
        (XYZ.replace("energy=-3.5", "energy=nan"), ("a.xyz:0: energy not a finite number",)),
        (XYZ.replace("energy=-3.5", "energy=low"), ("a.xyz:0: energy: expected a number, found 'low'",)),
        (XYZ.replace("forces:R:3", "forces:R:2"), ("a.xyz:0: forces: expected shape (2, 3), found (2, 2)",)),
        (
            XYZ.replace("4 0 0 1 5 0", "4 0 0 8 0 0").replace("T T F", "T T T"),
            ("a.xyz:0: the cell has no volume",),
        ),
        (
            XYZ.replace('Lattice="4 0 0 1 5 0 0.5 0.25 6"', ""),
            ("a.xyz:0: periodic along a, but that cell vector is zero",),
        ),
        (
            XYZ.replace("forces:R:3", "masses:R:1:x:R:2"),
            ("a.xyz:0: mass of atom 1: expected a positive number, found -0.01",),
        ),
        (XYZ.encode("utf-16"), ("a.xyz",)),
        (XYZ.replace("energy", 'remark="Å" energy').encode("latin-1"), ("a.xyz: not UTF-8 text",)),
        (b"\x00\x01\x02" * 100, ("a.xyz",)),
        (XYZ + XYZ.replace("O 1.0", "O nan"), ("a.xyz:1: atom 1 has position",)),
    ],
)
def test_broken_xyz(tmp_path, content, fragments):
    (tmp_path / "a.xyz").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_structures(tmp_path / "a.xyz")
    assert str(caught.value).startswith(str(tmp_path))
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.cif", "data_x\nnonsense"), ("POSCAR", "Si\n1.0\n"), ("a.traj", "x"), ("a.pdb", "ATOM"),
     ("a.json", "{"), ("a.qqq", "hello"), ("noname", "hello"), ("a.data", "hello"),
     ("a.vasp", "H\n1\n1 0 0\n0 1 0\n0 0 1\nH\n1000000\nDirect\n0 0 0\n"),
     ("a.vasp", "H\n1\n1 0 0\n0 1 0\n0 0 1\nH\n1000000000 1.5\nDirect\n0 0 0\n")],
)  # fmt: skip
def test_other_broken_files(tmp_path, name, content):
    """Whatever ASE makes of it: one InputError that names the file."""
    (tmp_path / name).write_text(content)
    with pytest.raises(
        InputError, match=rf"{name}: (not readable|format not recognised|holds no|has no|states a number)"
    ):
        read_structures(tmp_path / name)


def test_wide_cells_of_a_poscar(tmp_path):
    """Whole numbers of a cell are not taken for numbers of atoms."""
    (tmp_path / "POSCAR").write_text("H\n1\n100000 0 0\n0 100000 0\n0 0 100000\nH\n1\nDirect\n0 0 0\n")
    assert len(read_structures(tmp_path / "POSCAR")[0].system) == 1


def test_missing_and_unreadable(tmp_path):
    with pytest.raises(FileError, match=r"nothing\.xyz: no such file"):
        read_structures(tmp_path / "nothing.xyz")
    with pytest.raises(InputError, match="is a directory, expected a file with structures"):
        read_structures(tmp_path)


@pytest.mark.parametrize("index", ["x", "1.5", 1.5, None, True, "1:2:3:4"])
def test_bad_index(tmp_path, index):
    (tmp_path / "a.xyz").write_text(XYZ)
    with pytest.raises(InputError, match=r"a\.xyz: index .* is not valid"):
        read_structures(tmp_path / "a.xyz", index)


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "POSCAR", "input.data"])
def test_index_out_of_range(tmp_path, name):
    plain = from_atoms(bulk("Cu"))
    write_structures(tmp_path / name, [plain], length_unit="Angstrom", energy_unit="eV")
    assert len(read_structures(tmp_path / name, 0, "Angstrom", "eV")) == 1
    assert len(read_structures(tmp_path / name, -1, "Angstrom", "eV")) == 1
    for index, fragment in (
        (5, "has no structure 5"),
        (-2, "has no structure -2"),
        ("3:", "holds no structures in the range 3:"),
    ):
        with pytest.raises(InputError, match=f"{name}: {fragment}"):
            read_structures(tmp_path / name, index, "Angstrom", "eV")


def test_broken_input_data(tmp_path):
    (tmp_path / "input.data").write_text("begin\natom 0 0 0 H 0 0 0 0 0\nlattice 1 0 0\nend\n")
    with pytest.raises(InputError, match=r"input\.data:4: .*1 lattice lines"):
        read_structures(tmp_path / "input.data", length_unit="Bohr", energy_unit="Hartree")


@pytest.mark.parametrize(("pbc", "order"), [("T T T", [0, 2, 1]), ("F T F", [2, 1, 0]), ("T T F", [1, 0, 2])])
def test_left_handed_cells_are_turned(tmp_path, pbc, order):
    """Two cell vectors change places, of those that are both periodic or both not; nothing else moves."""
    text = XYZ.replace("4 0 0 1 5 0", "1 5 0 4 0 0").replace("T T F", pbc)
    (tmp_path / "a.xyz").write_text(text + text)
    with pytest.warns(MdnnpWarning, match=r"a\.xyz:0: its cell is left-handed") as caught:
        s, _ = read_structures(tmp_path / "a.xyz")
    assert sum("left-handed" in str(w.message) for w in caught) == 1  # once a file
    given = np.array([[1, 5, 0], [4, 0, 0], [0.5, 0.25, 6]])
    np.testing.assert_array_equal(s.system.cell, given[order])
    assert np.linalg.det(s.system.cell) > 0
    np.testing.assert_array_equal(s.system.pbc, [word == "T" for word in pbc.split()])
    np.testing.assert_array_equal(s.system.positions, [[0.0, 0.1, 0.2], [1.0, 1.1, 1.2]])
    np.testing.assert_array_equal(s.forces, [[0.01, 0.02, 0.03], [-0.01, -0.02, -0.03]])


def test_writing_refuses(tmp_path):
    structure = make_structure("mixed", "run.xyz:4")
    (tmp_path / "a.xyz").write_text("precious")
    with pytest.raises(FileError, match=r"a\.xyz exists already"):
        write_structures(tmp_path / "a.xyz", [structure])
    with pytest.raises(InputError, match=r"a\.qqq: cannot be written as \.qqq"):
        write_structures(tmp_path / "a.qqq", [structure])
    with pytest.raises(InputError, match="POSCAR: cannot be written"):
        write_structures(tmp_path / "POSCAR", [structure, structure])
    with pytest.raises(InputError, match=r"run\.xyz:4: periodic along ac only, which input\.data cannot hold"):
        plain = Structure(structure.system, atomic_masses[structure.system.numbers], label=structure.label)
        write_structures(tmp_path / "b.data", [plain], length_unit="Bohr", energy_unit="Hartree")
    with pytest.raises(InputError, match="there is no structure to write"):
        write_structures(tmp_path / "b.xyz", [])
    with pytest.raises(FileError, match=r"c\.xyz: cannot be written"):
        write_structures(tmp_path / "no" / "c.xyz", [structure])
    with pytest.raises(FileError, match="is a directory"):
        write_structures(tmp_path, [structure], format="extxyz", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.xyz"]
    assert (tmp_path / "a.xyz").read_text() == "precious"
    write_structures(tmp_path / "a.xyz", [structure], overwrite=True)
    assert_same(structure, read_structures(tmp_path / "a.xyz")[0])


# -----------------------------------------------------------------------------------------------------------
# Å and Bohr mixed up


def scaled(atoms: Atoms, factor: float) -> Structure:
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell * factor)
    atoms.positions *= factor
    return from_atoms(atoms, "file:0")


ORDINARY = {
    "silicon": bulk("Si", cubic=True),
    "silicon, one cell": bulk("Si"),
    "copper": bulk("Cu"),
    "sodium": bulk("Na"),
    "salt": bulk("NaCl", "rocksalt", a=5.64),
    "tungsten": bulk("W"),
    "water": molecule("H2O"),
    "benzene": molecule("C6H6"),
    "hydrogen": molecule("H2"),
    "fluorine": molecule("F2"),
    "water in a box": molecule("H2O", vacuum=6.0, pbc=True),
    "slab": bulk("Cu", cubic=True) * (2, 2, 1),
}
ORDINARY["slab"].pbc = (True, True, False)


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_matter_is_not_suspicious(name):
    assert unit_suspicion(scaled(ORDINARY[name], 1.0)) is None


@pytest.mark.parametrize("name", set(ORDINARY) - {"hydrogen", "fluorine"})
def test_angstrom_taken_for_bohr(name):
    message = unit_suspicion(scaled(ORDINARY[name], units.BOHR_A))
    assert message.startswith("file:0: ") and "were lengths in Å read as Bohr" in message


@pytest.mark.parametrize("name", ORDINARY)
def test_bohr_taken_for_angstrom(name):
    message = unit_suspicion(scaled(ORDINARY[name], 1.0 / units.BOHR_A))
    assert message.startswith("file:0: ") and "were lengths in Bohr read as Å?" in message


def test_atoms_that_no_rule_judges():
    assert unit_suspicion(from_atoms(bulk("Ar", cubic=True))) is None
    assert unit_suspicion(from_atoms(Atoms("Cu"))) is None
    assert unit_suspicion(from_atoms(Atoms("Cu2", positions=[[0, 0, 0], [12, 0, 0]]))) is None


def test_one_close_pair_is_named():
    atoms = bulk("Si", cubic=True) * 2
    atoms.positions[7] = atoms.positions[3] + [0.6, 0.0, 0.0]
    message = unit_suspicion(from_atoms(atoms))
    assert "atoms 3 and 7 (Si-Si) are 0.600 Å apart" in message or "atoms 7 and 3 (Si-Si)" in message


DENSE = set(ORDINARY) - {"water", "benzene", "hydrogen", "fluorine", "water in a box"}  # large enough to be refused


@pytest.mark.parametrize("name", ORDINARY)
def test_nm_taken_for_angstrom(name, tmp_path):
    """Dense matter is refused on reading: its neighbours would fill the memory."""
    file, frames = tmp_path / "nm.xyz", [ORDINARY[name].copy(), ORDINARY[name].copy()]
    frames[1].set_cell(frames[1].cell * 0.1)
    frames[1].positions *= 0.1
    ase.io.write(file, frames, format="extxyz")
    for read in (read_structures, stream_structures):
        if name in DENSE:
            with pytest.raises(InputError, match=r"nm.xyz:1: .*nm read as Å\?"):
                list(read(file))
        else:
            with pytest.warns(MdnnpWarning, match=r"nm.xyz:1: .*nm read as Å"):
                assert len(list(read(file))) == 2


def test_a_file_is_suspected_once(tmp_path):
    file = tmp_path / "bohr.xyz"
    write_structures(file, [scaled(ORDINARY["silicon"], 1 / units.BOHR_A)] * 3)
    for read in (read_structures, stream_structures):
        with pytest.warns(MdnnpWarning) as caught:
            list(read(file))
        assert [str(w.message).partition(": ")[0] for w in caught] == [f"{file}:0"]


PUBLISHED = there(
    "data/mlearn/Si_test.xyz", "data/mlearn/Mo_test.xyz", "data/water/H2O_revPBE0-D3_gen1_111.xyz"
)  # fmt: skip


@pytest.mark.parametrize("file", [*sorted(SILICON.glob("*.xyz")), *PUBLISHED], ids=lambda file: file.stem)
def test_reference_data_is_not_suspicious(file):
    """Hot liquids, strained crystals, surfaces and defects included."""
    structures = read_structures(file, "::5")
    assert [unit_suspicion(s) for s in structures] == [None] * len(structures)
    bohr = [dataclasses.replace(s, system=shrunk(s)) for s in structures]
    assert all("read as Bohr" in unit_suspicion(s) for s in bohr)


def shrunk(s: Structure):
    return s.system._replace(positions=s.system.positions * units.BOHR_A, cell=s.system.cell * units.BOHR_A)
