"""The ASE calculator, and the names that the package exports."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from silicon_committee import make_model
from systems import silicon

import mdnnp
from mdnnp.atoms.alternating_lists import AlternatingLists
from mdnnp.atoms.structure import Structure, to_atoms
from mdnnp.atoms.system import make_system
from mdnnp.base.errors import DisagreementWarning, ExtrapolationWarning, InputError
from mdnnp.couplings.ase import HDNNPCalculator
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.lennard_jones import LennardJones

ARGON = LennardJones({"Ar": (0.0103, 3.4)}, 7.0, "poly3")


@pytest.fixture
def argon() -> Atoms:
    atoms = bulk("Ar", "fcc", a=5.3) * (2, 3, 2)
    atoms.rattle(0.1, seed=2)
    atoms.calc = HDNNPCalculator(ARGON)
    return atoms


def test_energy_forces_and_stress_are_consistent(argon):
    assert argon.get_potential_energies().sum() == pytest.approx(argon.get_potential_energy(), rel=1e-14)
    assert np.allclose(argon.get_forces()[:2], calculate_numerical_forces(argon, 1e-4, iatoms=[0, 1]), atol=1e-8)
    assert np.allclose(argon.get_stress(), calculate_numerical_stress(argon, 1e-5), atol=1e-9)
    assert argon.get_stresses().sum(axis=0) == pytest.approx(argon.get_stress(), abs=1e-14)


def test_calculate_without_atoms_takes_those_of_the_calculator(argon):
    energy = argon.get_potential_energy()
    argon.calc.calculate(properties=["energy"])
    assert argon.calc.results["energy"] == energy
    with pytest.raises(InputError, match="no atoms"):
        HDNNPCalculator(ARGON).calculate()


def test_list_is_renewed_when_atoms_and_cell_change(argon):
    argon.get_forces()
    argon.positions[3] += [0.7, 0.0, -9.0]
    argon.set_cell(argon.cell.array * 1.02, scale_atoms=True)
    del argon[5]
    kept = argon.get_forces()
    argon.calc = HDNNPCalculator(ARGON, skin_A=0.0)
    assert np.allclose(kept, argon.get_forces(), rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("ignore:Use thermalize_momenta")
def test_energy_is_conserved_in_ase(argon):
    MaxwellBoltzmannDistribution(argon, temperature_K=60, rng=np.random.default_rng(1))
    start = argon.get_total_energy()
    VelocityVerlet(argon, 2.0 * units.fs).run(200)
    assert abs(argon.get_total_energy() - start) < 1e-5 * len(argon)


def test_extrapolation_is_warned_of_once_and_counted():
    atoms = to_atoms(Structure(silicon(1), np.full(8, 28.085)))
    atoms.rattle(0.05, seed=1)
    atoms.calc = HDNNPCalculator(HDNNP(make_model(0, spread=0.3)))
    with pytest.warns(
        ExtrapolationWarning, match=r"symmetry functions are outside the range .* of atom \d+: .* to "
    ) as caught:
        atoms.get_forces()
        atoms.rattle(0.01)
        atoms.get_forces()
    assert len(caught) == 1
    assert atoms.calc.results["extrapolations"] == atoms.calc.extrapolation.count > 0
    assert "forces_disagreement" not in atoms.calc.results


def test_disagreement_is_warned_of_once_and_given():
    committee = Committee([HDNNP(make_model(k, spread=0.3)) for k in range(3)])
    atoms = to_atoms(Structure(silicon(1), np.full(8, 28.085)))
    atoms.rattle(0.05, seed=1)
    expected = committee.compute(make_system(atoms.positions, atoms.numbers, atoms.cell.array, True)).disagreement
    for threshold, times in ((0.9 * expected.forces.max(), 1), (1.1 * expected.forces.max(), 0)):
        atoms.calc = HDNNPCalculator(committee, warn_above_eV_A=threshold)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            atoms.get_forces()
            atoms.get_stress()
            atoms.calc.calculate(atoms)
        assert sum(w.category is DisagreementWarning for w in caught) == times
    assert np.allclose(atoms.calc.results["forces_disagreement"], expected.forces, rtol=1e-9)
    assert atoms.calc.results["energy_disagreement"] == pytest.approx(expected.energy, rel=1e-9)


def test_lengths_in_another_unit_are_suspected():
    atoms = bulk("Ar", "fcc", a=0.53) * (2, 2, 2)
    atoms.calc = HDNNPCalculator(ARGON)
    with pytest.raises(InputError, match="were lengths in nm read as Å"):
        atoms.get_forces()


def test_open_systems_have_no_stress():
    atoms = Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]], calculator=HDNNPCalculator(ARGON))
    assert atoms.get_potential_energy() < 0
    assert "stress" not in atoms.calc.results


def test_potential_directory_and_units(water):
    from mdnnp.atoms.read import read_structures
    from mdnnp.atoms.structure import to_atoms

    structure = read_structures(water / "input.data", length_unit="Bohr", energy_unit="Hartree")[0]
    atoms = to_atoms(structure)
    atoms.calc = HDNNPCalculator(water, length_unit="Bohr", energy_unit="Hartree")
    expected = mdnnp.load_potential(water, "Bohr", "Hartree").compute(structure.system)
    assert atoms.get_potential_energy() == pytest.approx(expected.energy, rel=1e-13)
    assert np.allclose(atoms.get_forces(), expected.forces, atol=1e-11)
    with pytest.raises(InputError, match="unit"):
        HDNNPCalculator(water)


def test_exported_names_exist():
    for name in mdnnp.__all__:
        assert getattr(mdnnp, name) is not None
    with pytest.raises(AttributeError):
        mdnnp.nonsense  # noqa: B018


def test_import_is_light():
    code = "import sys, mdnnp; print([m for m in ('numba', 'ase', 'h5py', 'matplotlib', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_beads_that_come_by_turns_keep_their_lists():
    """Three replicas far apart need three lists, however often they come; the results are those of fresh lists."""
    rng = np.random.default_rng(5)
    cell = bulk("Ar", "fcc", 5.3, cubic=True) * (3, 3, 3)
    beads = [cell.copy() for _ in range(3)]
    for bead in beads:
        bead.rattle(0.3, rng=rng)
        bead.positions += 3.0 * rng.random(3)
    calculator = HDNNPCalculator(ARGON)
    for _ in range(4):
        for bead in beads:
            bead.calc = None
            bead.positions += 0.01 * rng.standard_normal(bead.positions.shape)
            calculator.calculate(bead)
            exact = ARGON.compute(make_system(bead.positions, bead.numbers, bead.cell.array, bead.pbc))
            np.testing.assert_allclose(calculator.results["forces"], exact.forces, atol=1e-12)
    assert calculator._neighbors.n_builds == 3


def test_the_lists_kept_are_bounded():
    argon = bulk("Ar", "fcc", 5.3, cubic=True) * (3, 3, 3)
    lists = AlternatingLists(lambda: ARGON.make_lists(1.0), most=2)
    for shift in (0.0, 2.0, 4.0, 0.0):
        lists.update(make_system(argon.positions + shift, argon.numbers, argon.cell.array, argon.pbc))
    assert len(lists) == 2 and lists.n_builds == 4
