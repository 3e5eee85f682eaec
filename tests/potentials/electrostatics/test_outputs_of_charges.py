"""Charges and dipoles in `mdnnp predict`, in committees and sums, and in ASE."""

import json

import numpy as np
import pytest
from ase import Atoms
from places import GOLDEN
from systems import water_molecule

from mdnnp.atoms.quantities import dipole_moment
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import write_structures
from mdnnp.command.cli import main
from mdnnp.couplings.ase import HDNNPCalculator
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.load import load_potential
from mdnnp.potentials.total import TotalPotential
from mdnnp.potentials.zbl import ZBL

ATOMIC = {"length_unit": "Bohr", "energy_unit": "Hartree"}
UNITS = ["--length-unit", "Bohr", "--energy-unit", "Hartree"]
MASSES = np.array([15.999, 1.008, 1.008])


def potential(name="q4d"):
    return load_potential(GOLDEN / name, **ATOMIC)


def ion():
    return water_molecule()._replace(charge=-1.0)


def test_dipole_of_ions_is_about_their_centre_of_mass():
    x, q = np.array([[0.0, 0, 0], [0, 0, 3.0]]), np.array([1.0, 0.0])
    np.testing.assert_allclose(dipole_moment(x, q, np.array([1.0, 2.0])), [0, 0, -2.0])
    np.testing.assert_allclose(dipole_moment(x + 5.0, q, np.array([1.0, 2.0])), [0, 0, -2.0])
    both = dipole_moment(np.stack([x, x + 1.0]), np.stack([q, -q]), np.array([1.0, 2.0]))
    np.testing.assert_allclose(both, [[0, 0, -2.0], [0, 0, 2.0]])


def test_predict(tmp_path, capsys):
    write_structures(tmp_path / "ion.xyz", [Structure(ion(), MASSES)])
    command = ["predict", str(GOLDEN / "q4d"), str(tmp_path / "ion.xyz"), *UNITS]
    assert main([*command, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["structures"]
    charges = potential().compute(ion()).charges
    assert row["total_charge_e"] == pytest.approx(-1.0, abs=1e-12)
    assert row["charges_e"]["O"]["mean"] == pytest.approx(charges[0], abs=1e-12)
    assert row["charges_e"]["H"]["min"] == pytest.approx(charges[1:].min(), abs=1e-12)
    np.testing.assert_allclose(row["dipole_e_A"], dipole_moment(ion().positions, charges, MASSES), atol=1e-9)
    assert main(command) == 0
    assert "total -1; dipole" in capsys.readouterr().out
    assert main(["predict", str(GOLDEN / "q4d"), str(GOLDEN / "q4d" / "input.data"), *UNITS]) == 0
    out = capsys.readouterr().out
    assert "total 0" in out and "dipole" not in out


def test_charges_in_ase():
    atoms = Atoms("OH2", water_molecule().positions, info={"charge": -1})
    atoms.calc = HDNNPCalculator(potential())
    expected = potential().compute(ion())
    assert atoms.get_potential_energy() == pytest.approx(expected.energy, rel=1e-12)
    np.testing.assert_allclose(atoms.get_charges(), expected.charges, atol=1e-12)
    np.testing.assert_allclose(
        atoms.get_dipole_moment(), dipole_moment(atoms.positions, expected.charges, atoms.get_masses()), atol=1e-12
    )
    atoms.info["charge"] = 0  # ASE itself would not notice
    neutral = potential().compute(water_molecule())
    assert atoms.get_potential_energy() == pytest.approx(neutral.energy, rel=1e-12)
    del atoms.info["charge"]
    atoms.set_initial_charges([0.2, 0.4, 0.4])
    assert atoms.get_charges().sum() == pytest.approx(1.0, abs=1e-12)


def test_a_potential_without_charges_gives_none_in_ase():
    atoms = Atoms("OH2", water_molecule().positions)
    atoms.calc = HDNNPCalculator(ZBL(["H", "O"]))
    atoms.get_potential_energy()
    assert "charges" not in atoms.calc.results and "dipole" not in atoms.calc.results


def test_charges_of_committees_and_sums():
    members = [potential(), potential("q4a")]
    for p in members:
        p.total_charge = 0.0
    committee = Committee(members)
    expected = np.mean([p.compute(water_molecule()).charges for p in members], axis=0)
    assert committee.has_charges and committee.remembers
    np.testing.assert_allclose(committee.compute(water_molecule()).charges, expected, atol=1e-14)
    total = TotalPotential([ZBL(["H", "O"]), potential()])
    assert total.has_charges
    np.testing.assert_allclose(total.compute(ion()).charges, potential().compute(ion()).charges, atol=1e-14)


def test_memory_of_sums_and_committees(monkeypatch):
    """What `begin` is given is what `memory` gave, for each part its own."""
    monkeypatch.setattr("mdnnp.potentials.electrostatics.equilibration.DENSE_UP_TO", 0)

    def one():
        return TotalPotential([ZBL(["H", "O"]), Committee([potential(), potential("q4a")])])

    system = read_structures(GOLDEN / "q4d" / "input.data", **ATOMIC)[0].system
    path = [
        system._replace(positions=system.positions + 0.01 * k) for k in np.random.default_rng(3).normal(size=(6, 6, 3))
    ]
    whole = one()
    whole.begin()
    results = [whole.compute(s) for s in path]
    first = one()
    first.begin()
    for s in path[:4]:
        first.compute(s)
    memory = first.memory()
    assert len(memory) == 2 and all(a.shape == (3, 2, 6) for a in memory.values())
    again = one()
    again.begin(memory)
    for s, expected in zip(path[3:], results[3:], strict=True):
        found = again.compute(s)
        assert found.energy == expected.energy and np.array_equal(found.forces, expected.forces)
