"""Checks of data sets: every fault that is put into a sound set is found, by name, and nothing else."""

import dataclasses
import re

import numpy as np
import pytest
from ase.build import bulk
from labelled import make_labelled
from places import SILICON
from reference_data import there

from mdnnp.atoms.system import make_system
from mdnnp.base.errors import InputError
from mdnnp.base.units import BOHR_A, EV_PER_A3_IN_GPA, HARTREE_EV
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.training.checks import check_dataset, leaks, refuse, summary
from mdnnp.training.dataset import LabelledStructure, read_labelled


def changed(structures, k, **changes):
    return [*structures[:k], dataclasses.replace(structures[k], **changes), *structures[k + 1 :]]


def placed(structures, k, change):
    """With other positions, from a function of them."""
    system = structures[k].system
    return changed(structures, k, system=system._replace(positions=change(system.positions.copy())))


def one(structures, severity="warning"):
    """The only finding."""
    (finding,) = check_dataset(structures)
    assert finding.severity == severity
    return finding


def test_a_sound_set_has_no_findings():
    assert check_dataset(make_labelled()) == []


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"energy_eV": float("nan")}, "labels that are no numbers", "energy not finite (nan)"),
        ({"forces": np.full((8, 3), np.inf)}, "labels that are no numbers", "forces not finite (inf)"),
        ({"forces": np.zeros((7, 3))}, "labels of the wrong shape", "forces of shape (7, 3), expected (8, 3)"),
        ({"stress": np.zeros(6)}, "labels of the wrong shape", "stress of shape (6,), expected (3, 3)"),
        ({"energy_eV": None, "forces": None}, "no labels", "neither energy nor forces"),
    ],
)
def test_labels_that_cannot_be_used(changes, kind, text):
    finding = one(changed(make_labelled(), 4, **changes), "error")
    assert (finding.kind, finding.name) == (kind, "data.xyz:4")
    assert text in finding.text
    with pytest.raises(InputError, match=re.escape(f"data.xyz:4: {text}")):
        refuse([finding])


def test_atoms_of_no_element():
    structures = make_labelled()
    system = structures[2].system
    numbers = system.numbers.copy()
    numbers[5] = 150
    finding = one(changed(structures, 2, system=system._replace(numbers=numbers)), "error")
    assert finding.text.startswith("atom 5 has atomic number 150")


@pytest.mark.parametrize("distance", [0.0, 1e-5, 0.3])
def test_overlapping_atoms(distance):
    def overlap(positions):
        positions[6] = positions[1] + [0, 0, distance + 4.2]  # through the boundary
        return positions

    finding = one(placed(make_labelled(), 7, overlap), "error")
    assert (finding.kind, finding.name) == ("overlapping atoms", "data.xyz:7")
    assert finding.text.startswith("atoms 1 and 6 (O-Mg) are ")
    assert abs(float(finding.text.split()[6]) - distance) < 1e-8


def test_missing_labels_are_counted():
    structures = changed(changed(make_labelled(), 3, forces=None), 9, forces=None)
    finding = one(structures)
    assert (finding.kind, finding.name) == ("labels missing: forces", "data.xyz:3")
    assert "the first of 2 of 30 configurations without forces" in finding.text
    assert check_dataset([dataclasses.replace(s, forces=None) for s in structures]) == []  # nobody has them


def test_duplicates_with_the_same_and_with_other_labels():
    structures = make_labelled()
    a = structures[3]
    same = dataclasses.replace(a, name="b.xyz:0", energy_eV=a.energy_eV + 8 * 0.9e-3)
    energy = dataclasses.replace(a, name="b.xyz:1", energy_eV=a.energy_eV + 8 * 1.1e-3)
    forces = dataclasses.replace(a, name="b.xyz:2", forces=a.forces * 1.1)
    other_energy, other_forces, duplicate = check_dataset([*structures, same, energy, forces])
    assert (duplicate.kind, duplicate.name) == ("duplicates", "b.xyz:0")
    assert "same geometry as data.xyz:3, energy +0.9 meV/atom" in duplicate.text
    assert (other_energy.kind, other_energy.name) == ("same geometry, other labels", "b.xyz:1")
    assert "energy +1.1 meV/atom" in other_energy.text
    assert other_forces.name == "b.xyz:2"


def test_outlier_of_energy():
    """The size is the distance from the median, which the outlier itself hardly moves."""
    structures = make_labelled()
    structures = changed(structures, 11, energy_eV=-48.0 + 8 * 1.0)
    finding = one(structures)
    assert (finding.kind, finding.name) == ("outliers of energy", "data.xyz:11")
    assert abs(float(finding.text.split()[1]) - 1.0) < 0.02


def test_outlier_of_force():
    structures = make_labelled()
    forces = structures[8].forces.copy()
    forces[2, 0], forces[3, 0] = forces[2, 0] + 40.0, forces[3, 0] - 40.0
    finding = one(changed(structures, 8, forces=forces))
    assert (finding.kind, finding.name) == ("outliers of force", "data.xyz:8")
    size, atom = np.max(np.linalg.norm(forces, axis=1)), int(np.argmax(np.linalg.norm(forces, axis=1)))
    assert f"force of {size:.4g} eV/Å on atom {atom}" in finding.text


def test_net_forces_give_the_noise():
    """Noise of known size on every component is estimated from the net forces alone."""
    rng = np.random.default_rng(1)
    structures = [
        dataclasses.replace(s, forces=s.forces + rng.normal(0, 0.05, (8, 3))) for s in make_labelled(400, seed=1)
    ]
    finding = one(structures)
    assert finding.kind == "net forces"
    noise = float(re.search(r"noise of about ([\d.]+) meV/Å", finding.text)[1])
    assert abs(noise / 50 - 1) < 4 / np.sqrt(2 * 3 * 400)  # four standard errors
    largest = max(structures, key=lambda s: np.linalg.norm(s.forces.sum(axis=0)))
    assert finding.name == largest.name


@pytest.mark.parametrize("shift", [0.0, 0.37])
def test_forces_that_break_inversion(shift):
    """Diamond, its two atoms moved apart along a bond: forces are opposite."""
    atoms = bulk("Si", cubic=True)
    atoms.positions += np.where(np.arange(8)[:, None] % 2, 0.03, -0.03) + shift
    system = make_system(atoms.positions, atoms.numbers, atoms.cell.array, True)
    odd = np.where(np.arange(8)[:, None] % 2, -0.4, 0.4) * np.ones(3)
    assert check_dataset([LabelledStructure(system, -8.0, odd, name="si.xyz:0")]) == []
    wrong = odd + 0.2 * np.where(np.arange(8)[:, None] < 4, 1.0, -1.0) * [0.0, 0.0, 1.0]  # no net force
    finding = one([LabelledStructure(system, -8.0, wrong, name="si.xyz:0")])
    assert finding.kind == "forces that break a symmetry" and finding.name == "si.xyz:0"
    moved = system._replace(positions=system.positions + np.random.default_rng(1).normal(0, 0.05, (8, 3)))
    assert check_dataset([LabelledStructure(moved, -8.0, wrong, name="si.xyz:0")]) == []


def test_lengths_in_bohr_are_suspected():
    atoms = bulk("Si", cubic=True)
    system = make_system(atoms.positions / BOHR_A, atoms.numbers, atoms.cell.array / BOHR_A, True)
    finding = one([LabelledStructure(system, -8.0, np.zeros((8, 3)), name="si.xyz:0")])
    assert finding.kind == "unusual distances"
    assert "were lengths in Bohr read as Å?" in finding.text


def strained_argon(n=12):
    """Rattled argon under strain, shear included, with exact energies, forces and stress."""
    potential, rng = LennardJones({"Ar": (0.0103, 3.4)}, 6.0), np.random.default_rng(3)
    structures, atoms = [], bulk("Ar", a=5.26, cubic=True) * (2, 2, 2)
    fractional = atoms.get_scaled_positions() + rng.normal(0, 0.005, (32, 3))
    for k in range(n):
        cell = atoms.cell.array @ (np.eye(3) + rng.uniform(-0.02, 0.02, (3, 3)))
        moved = fractional + rng.normal(0, 0.001, (32, 3))
        system = make_system(moved @ cell, atoms.numbers, cell, True)
        results = potential.compute(system)
        stress = -results.virial / abs(np.linalg.det(cell))
        structures.append(LabelledStructure(system, results.energy, results.forces, stress, name=f"ar.xyz:{k}"))
    return structures


def with_stress(structures, change):
    return [dataclasses.replace(s, stress=change(s)) for s in structures]


def of_stress(structures):
    return [f for f in check_dataset(structures) if f.kind == "unit or sign of stress"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.stress * EV_PER_A3_IN_GPA, "in GPa:"),
        (lambda s: s.stress * EV_PER_A3_IN_GPA * 10, "in kbar:"),
        (lambda s: s.stress * EV_PER_A3_IN_GPA * 1e3, "in MPa:"),
        (lambda s: s.stress * EV_PER_A3_IN_GPA * -1e9, "in Pa, positive: compression:"),
        (lambda s: s.stress * 2 * BOHR_A**3 / HARTREE_EV, "in Rydberg/Bohr^3:"),
        (lambda s: s.stress * -EV_PER_A3_IN_GPA * 10, "in kbar, positive: compression:"),
        (lambda s: -s.stress, "in eV/Å^3, positive: compression:"),
        (lambda s: s.stress * BOHR_A**3 / HARTREE_EV, "in Hartree/Bohr^3:"),
        (lambda s: -s.stress * abs(np.linalg.det(s.system.cell)), "in eV, as a virial"),
    ],
)
def test_unit_and_sign_of_stress(change, named):
    """The work of the stress explains how the energy changes with the strain, in the right unit only."""
    structures = strained_argon()
    assert of_stress(structures) == []
    (finding,) = of_stress(with_stress(structures, change))
    assert finding.name == "ar.xyz:0" and f"stress seems to be {named}" in finding.text


def test_stress_in_a_unit_that_no_one_knows():
    structures = with_stress(strained_argon(), lambda s: s.stress * 12345.0 + 1e4 * np.diag([1.0, 2.0, 3.0]))
    (finding,) = of_stress(structures)
    assert "the median pressure is" in finding.text and "probably not in eV/Å^3" in finding.text


def test_stress_that_is_merely_wrong_is_no_other_unit():
    """A constant offset (of a basis that changes with the cell), noise, zeros: no unit explains the energies."""
    structures, rng = strained_argon(), np.random.default_rng(0)
    for change in (
        lambda s: s.stress + 0.01 * np.eye(3),
        lambda s: np.zeros((3, 3)),
        lambda s: rng.normal(0, 0.01, (3, 3)),
    ):
        assert of_stress(with_stress(structures, change)) == []


def test_stress_beyond_all_reason():
    """Without pairs of strained structures, as of a liquid, only the size tells."""
    structures = make_labelled()
    for size, found in ((0.02, 0), (0.02 * EV_PER_A3_IN_GPA, 1)):
        assert len(of_stress(with_stress(structures, lambda s, size=size: size * np.eye(3)))) == found


STRAINED = [SILICON / "silicon.xyz", SILICON / "volumes.xyz"]
PUBLISHED = there(*(f"data/mlearn/{element}_train.xyz" for element in ("Si", "Cu", "Mo")))


@pytest.mark.parametrize("file", [*STRAINED, *PUBLISHED], ids=lambda file: file.stem)
def test_stress_of_reference_data(file):
    structures = read_labelled(file)
    assert of_stress(structures) == []
    (finding,) = of_stress(with_stress(structures, lambda s: s.stress * EV_PER_A3_IN_GPA))
    assert "in GPa:" in finding.text


@pytest.mark.parametrize(("unit", "factor"), [("Hartree", HARTREE_EV), ("kcal/mol", 0.0433641)])
def test_energies_of_one_file_in_another_unit(unit, factor):
    main, other = make_labelled(20), make_labelled(5, seed=8, names="b.xyz")
    other = [dataclasses.replace(s, energy_eV=s.energy_eV / factor, forces=None) for s in other]
    findings = {f.kind: f for f in check_dataset([*main, *other])}
    assert findings["mixed units of energy"].name == "b.xyz:0"
    assert f"the ratio of {unit} and eV" in findings["mixed units of energy"].text


@pytest.mark.parametrize(("unit", "factor"), [("Hartree", HARTREE_EV), ("kJ/mol", 1 / 96.48533212)])
def test_energies_of_a_part_of_a_file_in_another_unit(unit, factor):
    structures = [dataclasses.replace(s, energy_eV=s.energy_eV - 100.0 * len(s.system)) for s in make_labelled(24)]
    kind = "mixed units of energy within a file"
    assert kind not in {f.kind for f in check_dataset(structures)}
    mixed = [
        dataclasses.replace(s, energy_eV=s.energy_eV / factor) if k % 3 == 1 else s for k, s in enumerate(structures)
    ]
    found = [f for f in check_dataset(mixed) if f.kind == kind]
    assert [f.name for f in found] == [s.name for s in structures[1::3]]
    assert all(f"the ratio of {unit} and eV" in f.text for f in found)


def test_forces_of_one_file_in_another_unit():
    other = [
        dataclasses.replace(s, forces=s.forces * BOHR_A / HARTREE_EV, energy_eV=None)
        for s in make_labelled(5, seed=8, names="b.xyz")
    ]
    findings = {f.kind: f for f in check_dataset([*make_labelled(20), *other])}
    assert "ratio of Hartree/Bohr and eV/Å" in findings["mixed units of energy"].text


def test_test_structures_in_the_training_set():
    structures = make_labelled(12)
    test = [dataclasses.replace(structures[5], name="test.xyz:0"), *make_labelled(3, seed=9)]
    (finding,) = leaks(structures, test)
    assert finding.name == "test.xyz:0"
    assert "geometry of data.xyz:5" in finding.text


def test_summary_lists_the_first_of_each_kind():
    structures = [dataclasses.replace(s, energy_eV=None, forces=None) for s in make_labelled(30)]
    findings = check_dataset(structures)
    lines = summary(findings, most=2)
    assert lines[0] == "error: no labels (30)"
    assert lines[1].startswith("  data.xyz:0: neither energy nor forces")
    assert lines[3] == "  ... and 28 more"
    with pytest.raises(InputError, match="and 10 more"):
        refuse(findings)


SOUND = [*STRAINED, SILICON / "test.xyz", SILICON / "surfaces.xyz", SILICON / "melt.xyz"]


@pytest.mark.parametrize("file", [*SOUND, *PUBLISHED], ids=lambda file: file.stem)
def test_sound_sets(file):
    """Crystals, surfaces, liquids and amorphous silicon, and what others have published."""
    findings = check_dataset(read_labelled(file))
    # One slab of copper: a centre of inversion (within 3e-5 Å), and forces that point the same way on both its faces.
    broken = [("forces that break a symmetry", "Cu_train.xyz:41")] if file.name == "Cu_train.xyz" else []
    assert [(f.kind, f.name.rpartition("/")[2]) for f in findings] == broken
