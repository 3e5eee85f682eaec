"""Total charge and charges of atoms: where they are read from, and how they are written."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from mdnnp.atoms.read import read_structures
from mdnnp.atoms.structure import from_atoms, to_atoms
from mdnnp.atoms.system import copied, make_system, replicate
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import InputError, MdnnpWarning
from mdnnp.command.cli import main


def hydronium(**more) -> Atoms:
    return Atoms("OH3", [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], **more)


QS = np.array([-0.2, 0.41, 0.4, 0.38])  # they add up to 0.99


def test_the_total_charge_of_a_system():
    system = make_system([[0.0, 0, 0]], [11], [3.0, 3, 3], True, 0.5)
    assert system.charge == 0.5 and copied(system).charge == 0.5 and len(system) == 1
    assert replicate(system, (2, 1, 3)).charge == 3.0
    assert system._replace(positions=np.ones((1, 3))).charge == 0.5
    with pytest.raises(InputError, match="total charge must be a finite number, found nan"):
        make_system([[0.0, 0, 0]], [11], charge=np.nan)


@pytest.mark.parametrize(
    ("info", "columns", "total"),
    [
        ({"charge": 1}, {}, 1.0),
        ({"total_charge": -2.0}, {}, -2.0),
        ({"charge": 0}, {"initial_charges": QS}, 0.0),  # what is said wins
        ({}, {"initial_charges": QS}, 1.0),  # rounded
        ({}, {"charges": QS}, 1.0),
        ({}, {"charge": 0.5 * QS}, 0.495),
        ({}, {}, 0.0),
    ],
)
def test_places_of_a_charge(tmp_path, info, columns, total):
    atoms = hydronium()
    atoms.info.update(info)
    for name, values in columns.items():
        atoms.set_array(name, values)
    structure = from_atoms(atoms)
    assert structure.system.charge == pytest.approx(total, abs=1e-12) and not structure.dropped
    if columns:
        np.testing.assert_array_equal(structure.charges, next(iter(columns.values())))
    else:
        assert structure.charges is None
    write_structures(tmp_path / "a.xyz", [structure])
    (again,) = read_structures(tmp_path / "a.xyz")
    assert again.system.charge == structure.system.charge
    assert again.charges is None if structure.charges is None else np.array_equal(again.charges, structure.charges)
    seen = read(tmp_path / "a.xyz")  # as ASE has it
    assert seen.info.get("charge", 0.0) == structure.system.charge
    if columns:
        np.testing.assert_array_equal(seen.get_charges(), structure.charges)
        np.testing.assert_array_equal(from_atoms(to_atoms(structure)).charges, structure.charges)


def test_charges_of_a_calculation_go_before_initial_ones(tmp_path):
    atoms = hydronium()
    atoms.set_initial_charges([1, 0, 0, 0])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, charges=QS)
    write(tmp_path / "a.xyz", atoms)
    (structure,) = read_structures(tmp_path / "a.xyz")
    assert np.allclose(structure.charges, QS) and structure.system.charge == 1.0


def test_initial_charges_of_zero_are_no_labels():
    assert from_atoms(hydronium(charges=np.zeros(4))).charges is None


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"charge": 1, "total_charge": 2}, "charge is 1 e, but total_charge is 2; remove one"),
        ({"charge": "plus"}, r"total charge \(charge\): expected"),
        ({"charge": np.nan}, r"total charge \(charge\) not a finite number: nan"),
        ({"charge": [1, 2]}, r"total charge \(charge\): expected shape"),
    ],
)
def test_charges_that_are_none(info, message):
    atoms = hydronium()
    atoms.info.update(info)
    with pytest.raises(InputError, match=message):
        from_atoms(atoms)


def test_charges_of_a_wrong_number():
    atoms = hydronium()
    atoms.set_array("charges", np.ones((4, 2)))
    with pytest.raises(InputError, match=r"charges: expected shape \(4,\)"):
        from_atoms(atoms)


UNITS = ["--length-unit", "Bohr", "--energy-unit", "Hartree"]


def test_input_data_keeps_charges(tmp_path):
    atoms = hydronium(charges=QS)
    atoms.info["charge"] = 1
    write_structures(tmp_path / "a.xyz", [from_atoms(atoms)])
    assert main(["convert", str(tmp_path / "a.xyz"), str(tmp_path / "input.data"), *UNITS]) == 0
    text = (tmp_path / "input.data").read_text()
    assert "charge   1.0" in text and "-2.0000000000000001E-01" in text
    assert main(["convert", str(tmp_path / "input.data"), str(tmp_path / "b.xyz"), *UNITS]) == 0
    (again,) = read_structures(tmp_path / "b.xyz")
    assert again.system.charge == 1.0 and np.array_equal(again.charges, QS)


def test_n2p2_wants_neutral_crystals(tmp_path):
    structure = from_atoms(hydronium(cell=[5, 5, 5], pbc=True, charges=QS))
    with pytest.warns(MdnnpWarning, match="periodic with a charge of 1 e"):
        write_structures(tmp_path / "input.data", [structure], length_unit="Bohr", energy_unit="Hartree")
    (again,) = read_structures(tmp_path / "input.data", ":", "Bohr", "Hartree")
    assert again.system.charge == 1.0
