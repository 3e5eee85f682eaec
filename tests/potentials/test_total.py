"""Sums of terms and ZBL: equal to their parts, derivatives exact, files, and two atoms pressed together."""

import shutil

import numpy as np
import pytest
from places import ROOT
from systems import tiny_triclinic

from mdnnp import ZBL, Committee, LennardJones, TotalPotential, load_potential, make_system, read_structures
from mdnnp.base.errors import FileError, InputError
from mdnnp.potentials.interface import Potential, differences
from mdnnp.potentials.zbl import COULOMB_EV_A, INNER, OUTER

SILICON = ROOT / "inputs" / "silicon"


@pytest.fixture(scope="module")
def silicon():
    return load_potential(SILICON / "potential")


def crowded(n=10, numbers=(14,), seed=3):
    """Atoms at random in a small skewed cell, many of them close."""
    rng = np.random.default_rng(seed)
    cell = np.diag([4.0, 4.4, 4.1]) + 0.3 * rng.normal(size=(3, 3))
    return make_system(rng.uniform(0, 1, (n, 3)) @ cell, np.resize(numbers, n), cell, True)


def derivative(potential, system, displacements, strain):
    """Of the energy, by differences of sixth order."""
    h = 2e-5

    def energy(s):
        change = np.eye(3) + s * strain
        moved = (system.positions + s * displacements) + s * system.positions @ strain
        return potential.compute(system._replace(positions=moved, cell=system.cell @ change)).energy

    steps = [energy(k * h) - energy(-k * h) for k in (1, 2, 3)]
    return (45 * steps[0] - 9 * steps[1] + steps[2]) / (60 * h)


@pytest.mark.parametrize(
    "term",
    [ZBL(["Si"], 0.4, 3.0), ZBL(["H", "O", "Si"]), LennardJones({"Si": (0.01, 1.3)}, 4.0, "poly2")],
    ids=["uniform", "covalent", "lj"],
)
def test_forces_virial_and_second_derivatives(term):
    system = crowded(numbers=(14,) if len(term.numbers) == 1 else (14, 8, 1))
    rng = np.random.default_rng(0)
    v, strain = rng.normal(size=(len(system), 3)), 0.1 * rng.normal(size=(3, 3))
    results = term.compute(system, atomic_virials=True)
    expected = -np.sum(results.forces * v) - np.sum(results.virial * strain)
    assert derivative(term, system, v, strain) == pytest.approx(expected, rel=2e-7)
    assert np.allclose(results.atomic_virials.sum(axis=0), results.virial, rtol=1e-12)
    assert results.atomic_energies.sum() == pytest.approx(results.energy, rel=1e-14)
    exact, found = term.results_derivative(system, v, strain), differences(term, system, v, strain)
    for a, b in zip(exact, found, strict=True):
        assert np.abs(a - b).max() < 1e-7 * np.abs(a).max()


def test_zbl_is_that_of_the_book():
    """Two silicon atoms at 0.5 Å, before the switch: Z^2 e^2 / r times the universal screening function."""
    zbl, r = ZBL(["Si"], 0.6, 1.2), 0.5
    x = r * 2 * 14**0.23 / 0.46850
    screening = (
        0.18175 * np.exp(-3.1998 * x) + 0.50986 * np.exp(-0.94229 * x) + 0.28022 * np.exp(-0.4029 * x)
        + 0.02817 * np.exp(-0.20162 * x)
    )  # fmt: skip
    dimer = make_system([[0, 0, 0], [0, 0, r]], [14, 14])
    assert zbl.compute(dimer).energy == pytest.approx(COULOMB_EV_A * 14**2 / r * screening, rel=1e-12)
    assert zbl.pair_energy("Si", "Si", [r, 1.2, 1.3]) == pytest.approx([zbl.compute(dimer).energy, 0, 0])


def test_zbl_has_two_continuous_derivatives():
    zbl = ZBL(["H", "O"])
    for radius in (INNER * (0.31 + 0.66), OUTER * (0.31 + 0.66)):  # covalent radii of H and O, Å

        def jump(h, radius=radius):
            below, above = (np.array(zbl_terms(zbl, radius + s * h)) for s in (-1, 1))
            return np.abs(above - below)

        assert np.all(jump(1e-5) < 0.2 * jump(1e-4) + 1e-9)  # a jump that stays would not shrink


def zbl_terms(zbl, r):
    """Energy, force and stiffness of an O-H pair at r."""
    dimer = make_system([[0, 0, 0], [0, 0, r]], [8, 1])
    push = np.array([[0, 0, 0], [0, 0, 1.0]])
    product = zbl.hessian_vector_product(dimer, push)[1, 2]
    results = zbl.compute(dimer)
    return results.energy, results.forces[1, 2], product


def test_a_sum_is_the_sum_of_its_parts(silicon):
    system = crowded(12)
    zbl, lj = ZBL(["Si"], 0.5, 2.6), LennardJones({"Si": (0.01, 2.0)}, 12.0)
    total = TotalPotential([silicon, zbl, lj])
    assert total.cutoffs == (silicon.cutoff, 12.0)  # the long list does not slow down the network
    parts = [term.compute(system, atomic_virials=True) for term in total.terms]
    results = total.compute(system, atomic_virials=True)
    for name in ("energy", "atomic_energies", "forces", "virial", "atomic_virials"):
        expected = sum(getattr(part, name) for part in parts)
        assert np.allclose(getattr(results, name), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    assert [energy for _, energy in results.terms] == pytest.approx([part.energy for part in parts], rel=1e-13)
    assert results.extrapolation.count == parts[0].extrapolation.count
    listed = total.compute(system, total.make_lists(1.0).update(system))
    assert np.allclose(listed.forces, results.forces, rtol=1e-10, atol=1e-9)
    rng = np.random.default_rng(0)
    v, strain = rng.normal(size=(len(system), 3)), rng.normal(size=(3, 3))
    exact = [term.results_derivative(system, v, strain) for term in total.terms]
    for k, found in enumerate(total.results_derivative(system, v, strain)):
        expected = sum(own[k] for own in exact)
        assert np.allclose(found, expected, rtol=1e-10, atol=1e-11 * np.abs(expected).max())
    assert np.allclose(
        total.hessian_vector_product(system, v), -total.results_derivative(system, v, 0 * strain)[0], rtol=1e-12
    )


def test_one_term_has_the_bits_of_the_term(silicon):
    (structure,) = read_structures(SILICON / "liquid.xyz")
    alone, sum_of_one = silicon.compute(structure.system), TotalPotential([silicon]).compute(structure.system)
    assert alone.energy == sum_of_one.energy
    assert np.array_equal(alone.forces, sum_of_one.forces)


class Plain(Potential):
    """A term without an assembly or exact derivatives."""

    def __init__(self, term):
        self.numbers, self.cutoff, self._term = term.numbers, term.cutoff, term

    def compute(self, system, neighbors=None, *, atomic_virials=False):
        return self._term.compute(system, neighbors, atomic_virials=atomic_virials)


def test_terms_of_any_kind(silicon):
    """A third party's term: differences for it alone, exact derivatives for the rest."""
    system, zbl = crowded(8), ZBL(["Si"], 0.5, 2.6)
    exact, mixed = TotalPotential([silicon, zbl]), TotalPotential([silicon, Plain(zbl)])
    assert exact.exact_derivatives and not mixed.exact_derivatives
    v, strain = np.random.default_rng(1).normal(size=(8, 3)), np.random.default_rng(2).normal(size=(3, 3))
    for a, b in zip(
        exact.results_derivative(system, v, strain), mixed.results_derivative(system, v, strain), strict=True
    ):
        assert np.allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(a).max())


def test_committee_of_sums_and_sum_of_a_committee(silicon):
    system, zbl = crowded(8), ZBL(["Si"], 0.5, 2.6)
    of_sums = Committee([TotalPotential([silicon, zbl]), TotalPotential([silicon, ZBL(["Si"], 0.5, 2.7)])])
    found = of_sums.compute(system)
    forces = [member.compute(system).forces for member in of_sums.members]
    assert np.allclose(found.disagreement.forces, np.linalg.norm(forces[0] - forces[1], axis=1) / 2)
    with_term = TotalPotential([Committee([silicon, silicon]), zbl])
    assert with_term.has_disagreement
    assert with_term.compute(system).energy == pytest.approx(of_sums.members[0].compute(system).energy, rel=1e-13)
    with pytest.raises(InputError, match="two terms are committees"):
        TotalPotential([with_term, Committee([silicon, silicon])])


def test_a_map_of_all_values_at_once(silicon):
    """E = (sum of a descriptor over all atoms)^2: not local, forces by pull-back, and dynamics conserve it."""
    from mdnnp.potentials.layered import LayeredPotential, Mapped

    def square_of_sum(system, values):
        total = values[:, 0].sum()
        gradients = np.zeros_like(values)
        gradients[:, 0] = 2e-4 * total
        return Mapped(1e-4 * total * values[:, 0], gradients)

    potential, system = LayeredPotential(silicon, square_of_sum), crowded(9)
    assert np.isinf(potential.reach)
    rng = np.random.default_rng(5)
    v, strain = rng.normal(size=(9, 3)), 0.1 * rng.normal(size=(3, 3))
    results = potential.compute(system)
    expected = -np.sum(results.forces * v) - np.sum(results.virial * strain)
    assert derivative(potential, system, v, strain) == pytest.approx(expected, rel=1e-7)
    doubled = make_system(
        np.vstack([system.positions, system.positions + system.cell[0]]), np.tile(system.numbers, 2),
        system.cell * [[2], [1], [1]], True,
    )  # fmt: skip
    offset = silicon.offset_energy(system.numbers)
    ratio = (potential.compute(doubled).energy - 2 * offset) / (results.energy - offset)
    assert ratio == pytest.approx(4.0, rel=1e-10)  # the square of the sum is not extensive


# --- Files --------------------------------------------------------------------------------------------------


def test_terms_beside_and_instead_of_a_potential(tmp_path, silicon):
    system = crowded(8)
    expected = TotalPotential([silicon, ZBL(["Si"], 0.5, 2.0)]).compute(system).energy
    beside = tmp_path / "beside"
    shutil.copytree(SILICON / "potential", beside)
    term = '[[terms]]\nkind = "zbl"\ninner_cutoff_A = 0.5\ncutoff_A = 2.0\n'
    (beside / "terms.toml").write_text(term)
    (tmp_path / "sum.toml").write_text('kind = "sum"\n[[terms]]\npath = "beside-not"\n' + term)
    shutil.copytree(SILICON / "potential", tmp_path / "beside-not")
    for path in (beside, tmp_path / "sum.toml"):
        potential = load_potential(path)
        assert potential.compute(system).energy == pytest.approx(expected, rel=1e-13)
        assert {file.name for file in potential.files} >= {"input.nn", "weights.014.data"}
        assert any(file.suffix == ".toml" and "terms" in file.read_text() for file in potential.files)
        assert [name for name, _ in potential.compute(system).terms][-1] == "zbl"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "sum"\n', r"\[\[terms\]\]"),
        ('kind = "sum"\nterms = 3\n', r"\[\[terms\]\]"),
        ('[[terms]]\nkind = "zbl"\ncutoff = 2.0\n', r"terms\[0\].*'cutoff'"),
        ('[[terms]]\nkind = "zbl"\ncutoff_A = 2.0\n', "both inner_cutoff_A and cutoff_A"),
        ('[[terms]]\nkind = "zbl"\ncutoff_A = 2.0\ninner_cutoff_A = 3\n', "0 <= inner_cutoff_A"),
        ('[[terms]]\nkind = "zbl"\nelements = ["Xx"]\n', "Xx"),
        ('[[terms]]\nkind = "zbl"\ncutoff_A = "2"\ninner_cutoff_A = 1\n', "must be a number"),
        ('[[terms]]\npath = "nowhere"\n', "no such potential"),
        ('[[terms]]\npath = "bad.toml"\n', "is this file itself"),
        (
            '[[terms]]\nkind = "zbl"\nelements = ["H"]\n[[terms]]\nkind = "zbl"\nelements = ["O"]\n',
            "no element that all",
        ),
    ],
)
def test_files_that_name_no_sum(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises((InputError, FileError), match=message):
        load_potential(tmp_path / "bad.toml")


def test_a_bare_repulsion_knows_every_element():
    assert ZBL().compute(tiny_triclinic()).energy > 0.0
