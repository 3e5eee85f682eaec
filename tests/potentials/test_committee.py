"""Committees: means and disagreement against the members alone, reading, sharing of symmetry functions."""

import shutil

import numpy as np
import pytest
from silicon_committee import FUNCTIONS, make_model, write_committee
from systems import silicon

from mdnnp.atoms.system import make_system
from mdnnp.base.compiled import jit
from mdnnp.base.errors import FileError, InputError
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.load import load_potential
from mdnnp.training.accuracy import evaluate, table
from mdnnp.training.dataset import LabelledStructure


def shared_members(n=3):
    """Of other weights, ranges, offsets, and energies in other units."""
    units = ("eV", "Hartree", "kcal/mol", "eV")
    return [HDNNP(make_model(k, spread=0.3, energy_unit=units[k % 4])) for k in range(n)]


def other_members(n=3):
    """Of other symmetry functions and cutoffs, too."""
    return [HDNNP(make_model(k, 0.3, functions=FUNCTIONS[: 6 - k])) for k in range(n)]


@pytest.mark.parametrize("make", [shared_members, other_members])
def test_means_and_disagreement_are_those_of_the_members(make):
    members, system = make(3), silicon(3)  # several chunks of atoms
    committee = Committee(members)
    assert committee.shares_functions == (make is shared_members)
    results = committee.compute(system, atomic_virials=True)
    each = [m.compute(system, atomic_virials=True) for m in members]
    for name in ("energy", "atomic_energies", "forces", "virial", "atomic_virials"):
        values = np.array([getattr(r, name) for r in each])
        scale = np.abs(values - values.mean(axis=0)).max() + np.abs(values).max()
        np.testing.assert_allclose(getattr(results, name), values.mean(axis=0), rtol=0, atol=1e-13 * scale)
    forces = np.array([r.forces for r in each])
    expected = np.sqrt(sum(np.sum((f - forces.mean(axis=0)) ** 2, axis=1) for f in forces) / 3)
    assert expected.max() > 1e-3
    np.testing.assert_allclose(results.disagreement.forces, expected, rtol=1e-9, atol=1e-13)
    energies = [r.energy / len(system) for r in each]
    assert results.disagreement.energy == pytest.approx(np.std(energies), rel=1e-9)
    assert committee.offset_energy(system.numbers) == pytest.approx(
        np.mean([m.offset_energy(system.numbers) for m in members]), rel=1e-14
    )
    for name in ("count", "atom", "function", "value", "lower", "upper"):
        np.testing.assert_array_equal(getattr(results.extrapolation, name), getattr(each[0].extrapolation, name))
    assert results.extrapolation.count > 0


def test_forces_are_the_derivative_of_the_mean_energy():
    committee, system = Committee(shared_members(2)), silicon(1)
    forces, h = committee.compute(system).forces, 1e-4
    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        step = np.zeros_like(system.positions)
        step[atom, axis] = h
        up, down = (committee.compute(system._replace(positions=system.positions + s)).energy for s in (step, -step))
        assert forces[atom, axis] == pytest.approx((down - up) / (2 * h), rel=1e-6, abs=1e-7)


def test_members_that_are_the_same_agree():
    member = HDNNP(make_model(1))
    committee, system = Committee([member, HDNNP(make_model(1))]), silicon(2)
    results, alone = committee.compute(system), member.compute(system)
    assert not results.disagreement.forces.any()
    assert results.disagreement.energy == 0.0
    np.testing.assert_allclose(results.forces, alone.forces, rtol=0, atol=1e-14)
    assert alone.disagreement is None


def test_same_bits_for_any_number_of_threads():
    committee, system = Committee(shared_members(4)), silicon(3)
    jit.set_threads(1)
    one = committee.compute(system, atomic_virials=True)
    try:
        jit.set_threads(3)
        three = committee.compute(system, atomic_virials=True)
    finally:
        jit.set_threads(1)
    assert one.energy == three.energy
    np.testing.assert_array_equal(one.forces, three.forces)
    np.testing.assert_array_equal(one.atomic_virials, three.atomic_virials)
    np.testing.assert_array_equal(one.disagreement.forces, three.disagreement.forces)


def test_published_water_potential(shared):
    """As a committee of two elements and real functions."""
    from mdnnp.atoms.read import read_structures

    path = shared / "potentials" / "H2O_RPBE-D3"
    water = load_potential(path, "Bohr", "Hartree")
    (structure,) = read_structures(path / "input.data", length_unit="Bohr", energy_unit="Hartree")
    results, alone = Committee([water, water]).compute(structure.system), water.compute(structure.system)
    np.testing.assert_allclose(results.forces, alone.forces, rtol=0, atol=1e-13)
    assert results.energy == pytest.approx(alone.energy, rel=1e-14)


def test_atoms_on_one_spot_are_refused():
    system = silicon(2)
    system.positions[5] = system.positions[40]
    with pytest.raises(InputError, match=r"atoms? (5|40)\b"):
        Committee(shared_members(2)).compute(system)


# Reading


def test_directory_of_members(tmp_path):
    path = write_committee(tmp_path / "committee", 11)
    committee = load_potential(path)
    assert isinstance(committee, Committee)
    system = silicon(1)
    # In order of number, not of name: member-10 is not the second.
    for k, member in enumerate(committee.members, start=1):
        assert member.compute(system).energy == HDNNP(make_model(k)).compute(system).energy
    text = "\n".join(committee.describe())
    assert f"{path}: 11 members with the same symmetry functions" in text
    assert "member-1 (HDNNP)" in text


def test_directories_that_are_no_committee(tmp_path):
    path = write_committee(tmp_path / "c", 3)
    shutil.rmtree(path / "member-2")
    with pytest.raises(InputError, match="member-2 is missing, but there is member-3"):
        load_potential(path)
    shutil.rmtree(path / "member-3")
    with pytest.raises(InputError, match="needs at least two members, found 1"):
        load_potential(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises((FileError, InputError), match=r"input\.nn"):
        load_potential(tmp_path / "empty")


def test_members_of_other_elements():
    from dataclasses import replace

    germanium = tuple(replace(f, center="Ge", neighbors=("Ge",) * len(f.neighbors)) for f in FUNCTIONS)
    members = [HDNNP(make_model(1)), HDNNP(make_model(2, functions=germanium, element="Ge"))]
    with pytest.raises(InputError, match="member 2 has the elements Ge, but the first has Si"):
        Committee(members)


def test_evaluate_takes_a_committee():
    """Coverage is that of the first member, also where it does not list all events itself."""
    members, system = shared_members(2), silicon(3, rattle=0.05)
    system = system._replace(positions=system.positions * 0.85, cell=system.cell * 0.85)
    structures = [LabelledStructure(system, -1.0), LabelledStructure(make_system([[0, 0, 0]], [14]), 0.0)]
    results = members[0].compute(system)
    assert results.extrapolation.count > len(results.extrapolation.atom)
    found, expected = (evaluate(p, structures).coverage for p in (Committee(members), members[0]))
    assert found == expected


def test_disagreement_is_compared_with_the_errors():
    committee, systems = Committee(shared_members(3)), [silicon(1), silicon(2)]
    results = [committee.compute(s) for s in systems]
    error = [np.random.default_rng(k).normal(0, 0.1, (len(s), 3)) for k, s in enumerate(systems)]
    labels = [r.forces - e for r, e in zip(results, error, strict=True)]
    found = evaluate(committee, [LabelledStructure(s, forces=f) for s, f in zip(systems, labels, strict=True)])
    length = np.linalg.norm(np.concatenate(error), axis=1)
    disagreement = np.concatenate([r.disagreement.forces for r in results])
    c = found.calibration
    expected = [np.sqrt(np.mean(disagreement**2)), np.quantile(disagreement, 0.95), disagreement.max()]
    np.testing.assert_allclose([c.disagreement, c.quantile_95, c.maximum], 1e3 * np.array(expected), rtol=1e-9)
    assert c.error == pytest.approx(1e3 * np.sqrt(np.mean(length**2)), rel=1e-9)
    assert c.correlation == pytest.approx(np.corrcoef(length, disagreement)[0, 1], rel=1e-6)
    assert found.as_dict()["committee"]["error"] == c.error
    assert f"the rms error is {c.error:.4g} meV/Å" in table(found)
