"""What is right must pass, and each fault must be caught by the rows that concern it, and by no others.

The right potential and the faulty ones are variants of one toy potential, whose faults are consistent in all
other respects (a non-invariant energy, for example, comes with its exact forces and virial).
"""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from places import GOLDEN, SILICON
from toy_potential import ToyPotential

from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import make_system
from mdnnp.base.errors import MdnnpWarning
from mdnnp.base.report.plain import to_json
from mdnnp.certify import cutoff_crossings, invariances, measures
from mdnnp.certify.invariances import check, rattled_and_strained
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.hdnnp.model import scaling_coefficients
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.interface import Extrapolation
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.load import load_potential

TRICLINIC = [[4.1, 0, 0], [1.2, 3.7, 0], [-0.8, 1.5, 4.4]]


def atoms(n, cell=TRICLINIC, pbc=True, seed=0):
    """n atoms H and O at least 1.2 Å apart."""
    rng = np.random.default_rng(seed)
    cell = np.array(cell, dtype=float)
    kept = []
    while len(kept) < n:
        x = rng.uniform(0, 1, 3) @ cell
        trial = make_system([*kept, x], [1] * (len(kept) + 1), cell, pbc)
        if len(measures.within(trial, x, 1.2)[0]) == 1:
            kept.append(x)
    return make_system(kept, rng.permutation(np.resize([1, 8], n)), cell, pbc)


CASES = {
    "triclinic, smaller than the cutoff": atoms(5),
    "triclinic, larger than the cutoff": atoms(16, 2 * np.array(TRICLINIC)),
    "periodic along a and c": atoms(6, pbc=[True, False, True]),
    "periodic along b, other rows zero": make_system(
        [[0.1, 0.2, 0.3], [1.5, 1.0, 0.4], [0.2, 2.1, 1.5]],
        [1, 8, 1],
        [[0, 0, 0], [0.3, 3.6, 0.2], [0, 0, 0]],
        [False, True, False],
    ),
    "open": atoms(9, 2 * np.array(TRICLINIC), pbc=False),
    "one atom in a cell": make_system([[0.2, 0.3, 0.4]], [8], TRICLINIC, True),
}  # fmt: skip
SMALL, LARGE = CASES["triclinic, smaller than the cutoff"], CASES["triclinic, larger than the cutoff"]


def failures(potential, system):
    return {(row.check, row.quantity) for row in check(potential, system).failures}


def names(potential, system):
    return {name for name, _ in failures(potential, system)}


@pytest.mark.parametrize("case", CASES)
def test_a_right_potential_passes_everywhere(case):
    report = check(ToyPotential(), CASES[case])
    assert report.passed, report.text()
    assert report.exit_code == 0


def test_every_row_is_measured_where_it_can_be():
    report = check(ToyPotential(), LARGE)
    assert [row.check for row in report.rows if math.isnan(row.value)] == []
    assert {"extensivity", "wrapping", "wrapping, far", "rotation, open"} <= {row.check for row in report.rows}
    assert {"cutoff H-H", "cutoff H-O", "cutoff O-O"} <= {row.check for row in report.rows}
    unmeasured = {row.check for row in check(ToyPotential(), CASES["open"]).rows if math.isnan(row.value)}
    assert unmeasured >= {"wrapping", "extensivity"}


def test_wrong_forces_by_a_millionth():
    assert failures(ToyPotential(factors=(1, 1 + 1e-6, 1, 1)), SMALL) == {("forces", "forces")}


def test_wrong_force_on_one_element_in_one_component():
    class Wrong(ToyPotential):
        def compute(self, system, neighbors=None, *, atomic_virials=False):
            results = super().compute(system, atomic_virials=atomic_virials)
            return results._replace(forces=results.forces * np.where(system.numbers == 8, 1 + 1e-6, 1)[:, None])

    assert failures(Wrong(), LARGE) == {("forces", "forces"), ("net force", "forces")}


def test_wrong_virial():
    assert failures(ToyPotential(factors=(1, 1, 1 + 1e-6, 1 + 1e-6)), SMALL) == {("virial", "virial")}


def test_transposed_virial_of_an_anisotropic_energy():
    # Where the virial is symmetric transposing is no fault; where it is not, the strain derivative tells.
    class Transposed(ToyPotential):
        def compute(self, system, neighbors=None, *, atomic_virials=False):
            results = super().compute(system, atomic_virials=atomic_virials)
            return results._replace(virial=results.virial.T, atomic_virials=results.atomic_virials.swapaxes(1, 2))

    gate = invariances.GATES["virial"]
    assert measures.virial_by_differences(Transposed(), SMALL).value < gate
    assert measures.virial_by_differences(ToyPotential(anisotropy=1e-3), SMALL).value < gate
    assert measures.virial_by_differences(Transposed(anisotropy=1e-3), SMALL).value > gate


def test_large_constants_hide_no_fault():
    # Total energies of heavy atoms have no digits left for differences as exact as the gate asks for without them.
    heavy = {"offsets": (-2041.0, -5e5)}
    report = check(ToyPotential(**heavy), LARGE)
    row = next(row for row in report.rows if row.check == "forces")
    assert report.passed and invariances.GATES["forces"] < row.value < row.gate < 1e-4
    assert failures(ToyPotential(**heavy, factors=(1, 1 + 1e-4, 1, 1)), LARGE) >= {("forces", "forces")}
    assert failures(ToyPotential(**heavy, factors=(1, 1, 1 + 1e-4, 1 + 1e-4)), LARGE) == {("virial", "virial")}


def test_wrong_atomic_virials():
    assert failures(ToyPotential(factors=(1, 1, 1, 1 + 1e-9)), SMALL) == {("sum of atomic virials", "virial")}


def test_total_energy_that_is_not_the_sum():
    assert failures(ToyPotential(factors=(1 + 1e-9, 1, 1, 1)), SMALL) == {("sum of atomic energies", "energy")}


def test_missing_images_of_the_atom_itself():
    assert names(ToyPotential(self_images=False), SMALL) == {"extensivity"}
    assert measures.extensivity(ToyPotential(self_images=False), LARGE, (2, 1, 1)).energy < 1e-12


def test_energy_that_knows_an_axis():
    found = names(ToyPotential(anisotropy=1e-7), SMALL)
    assert found == {"rotation", "rotation, open", "net torque"}


def test_energy_that_knows_left_from_right():
    assert names(ToyPotential(chirality=1e-6), SMALL) == {"inversion"}


def test_energy_that_knows_where_it_is():
    found = names(ToyPotential(field=1e-8), SMALL)
    assert found >= {"translation", "net force", "rotation", "wrapping"}
    assert "forces" not in found and "permutation" not in found


def test_energy_that_knows_the_order_of_the_atoms():
    found = names(ToyPotential(by_order=1e-9), LARGE)
    assert found == {"permutation", "permutation, like atoms", "extensivity"}


def test_energy_that_is_not_local():
    assert names(ToyPotential(global_coupling=1e-9), LARGE) == {"locality"}


def test_images_missed_for_atoms_far_outside_the_cell():
    found = names(ToyPotential(images_about_raw_positions=True), SMALL)
    assert found == {"wrapping", "wrapping, far"}


@pytest.mark.parametrize(
    ("smoothing", "failing"),
    [("hard", {"energy", "forces"}), ("linear", {"forces"}), ("cos", set()), ("poly2", set())],
)
def test_discontinuities_at_the_cutoff(smoothing, failing):
    report = check(ToyPotential(smoothing=smoothing), LARGE)
    rows = [row for row in report.rows if row.check.startswith("cutoff")]
    slopes = [row.remark for row in rows if row.passed is None]
    assert {row.check for row in rows} == {f"cutoff {x}{y}" for x in ("H-H", "H-O", "O-O") for y in ("", ", slope")}
    for row in rows:
        if row.passed is not None:
            assert row.passed != (row.quantity in failing), report.text()
    elsewhere = {row.check for row in report.failures} - {row.check for row in rows}
    assert elsewhere <= ({"forces", "virial"} if smoothing in ("hard", "linear") else set())
    if smoothing == "cos":
        assert all("C^1" in remark for remark in slopes)
    if smoothing == "poly2":
        assert all("C^2" in remark for remark in slopes)


def test_jump_of_one_pair_of_elements_only():
    class Partly(ToyPotential):
        """H sees O through a hard cutoff, everything else is smooth."""

        def compute(self, system, neighbors=None, *, atomic_virials=False):
            smooth = super().compute(system, atomic_virials=atomic_virials)
            i, j, _ = self._edges(system)
            pairs = (system.numbers[i] == 1) & (system.numbers[j] == 8)
            energies = smooth.atomic_energies + 1e-9 * np.bincount(i[pairs], minlength=len(system))
            return smooth._replace(atomic_energies=energies, energy=float(np.sum(energies)))

    found = {row for row in failures(Partly(), LARGE) if row[0].startswith("cutoff")}
    assert found == {("cutoff H-O", "energy")}


def lennard_jones(smoothing):
    return LennardJones({"Ar": (0.0104, 3.4), "Kr": (0.0141, 3.65)}, 8.5, smoothing)


def argon_krypton(n=8, width=9.0):
    rng = np.random.default_rng(2)
    grid = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * width / 2
    numbers = np.resize([18, 36], n)
    return make_system(
        grid[:n] + rng.normal(0, 0.1, (n, 3)),
        numbers,
        [[width, 0, 0], [2.0, width, 0], [0, 1.0, width]],
        True,
    )


@pytest.mark.parametrize(
    ("smoothing", "order"),
    [("truncated", -1), ("shifted", 0), ("cos", 1), ("poly1", 1), ("poly2", 2), ("poly3", 2), ("exp", 2)],
)
def test_smoothness_class_of_lennard_jones_variants(smoothing, order):
    potential = lennard_jones(smoothing)
    found = cutoff_crossings.continuity(potential, argon_krypton(), 0, 36, potential.cutoff)
    energy_jumps = found.energy > invariances.GATES["cutoff energy"]
    force_jumps = found.force > invariances.GATES["cutoff force"]
    assert energy_jumps == (order < 0)
    assert force_jumps == (order < 1)
    assert found.slope_jumps == (order < 2)


def test_size_of_the_jump_of_a_truncated_pair():
    potential = lennard_jones("truncated")
    pair = make_system([[0, 0, 0], [30.0, 0, 0]], [18, 18])
    found = cutoff_crossings.continuity(potential, pair, 0, 18, potential.cutoff)
    s6 = (3.4 / 8.5) ** 6
    # The pair alone has its energy on one side only.
    assert found.energy == pytest.approx(1.0, rel=1e-3)
    assert found.force == pytest.approx(1.0, rel=1e-3)
    scale = measures.evaluate(potential, make_system([[0, 0, 0], [8.5 - 1e-9, 0, 0]], [18, 18]))
    assert scale.energy_scale == pytest.approx(4 * 0.0104 * (s6 - s6 * s6), rel=1e-6)


def test_lennard_jones_passes():
    report = check(lennard_jones("poly2"), argon_krypton())
    assert report.passed, report.text()


@pytest.mark.parametrize("name", ["big1", "all6", "act_et", "b_t9", "cut7", "norm"])
def test_neural_network_potentials_pass(name):
    potential = load_potential(GOLDEN / name, "Bohr", "Hartree")
    structure = read_structures(GOLDEN / name / "input.data", 0, "Bohr", "Hartree")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MdnnpWarning)
        report = check(potential, structure.system)
    assert report.passed, report.text()


def silicon():
    """The potential that is shipped, and its crystal; its energies are sums of large terms that cancel."""
    potential = load_potential(SILICON / "potential")
    return potential, read_structures(SILICON / "crystal.xyz")[0].system


def test_silicon_passes_on_its_own_crystal():
    potential, crystal = silicon()
    report = check(potential, crystal)
    assert report.passed, report.text()
    assert 1e4 < report.conditioning < 3e4
    assert f"conditioning k = {report.conditioning:.3g}" in report.text()
    assert json.loads(to_json(report.as_dict()))["conditioning"] == report.conditioning


@pytest.mark.parametrize(
    ("fault", "rows"),
    [
        (lambda r: r._replace(forces=r.forces * (1 + 1e-7)), {"forces"}),
        (lambda r: r._replace(forces=r.forces + 1e-9 * np.eye(len(r.forces), 3)), {"net force"}),
        (lambda r: r._replace(virial=r.virial + 1e-8 * np.eye(3)), {"sum of atomic virials"}),
    ],
)
def test_faults_are_found_in_silicon(fault, rows):
    potential, crystal = silicon()

    class Faulty(measures.Watched):
        def compute(self, system, neighbors=None, *, atomic_virials=False):
            return fault(super().compute(system, neighbors, atomic_virials=atomic_virials))

    rattled, _ = rattled_and_strained(crystal)
    faulty, magnified = Faulty(potential, lambda n: None), measures.conditioning(potential, rattled)
    measured = [*invariances._sums(faulty, rattled, magnified), *invariances._derivatives(faulty, rattled, 1)]
    assert {row.check for row in measured if not row.passed} >= rows


def test_conditioning_by_differences():
    potential, crystal = silicon()
    (part,) = potential.model.elements.values()
    factor, shift = scaling_coefficients(part, potential.model)
    raw, step, k = potential.descriptors(crystal), 1e-7, 0.0
    for s in range(raw.shape[1]):
        ends = []
        for sign in (1, -1):
            moved = raw.copy()
            moved[:, s] *= 1 + sign * step
            ends.append(part.network.gradient(moved * factor + shift)[0])
        k = k + np.abs(ends[0] - ends[1]) / (2 * step)
    energies = part.network.gradient(raw * factor + shift)[0]
    assert measures.conditioning(potential, crystal).energy == pytest.approx(
        np.max(k) / np.max(np.abs(energies)), rel=1e-4
    )
    rattled, _ = rattled_and_strained(crystal)
    single = measures.conditioning(potential, rattled)
    assert measures.conditioning(Committee([potential, potential]), rattled) == pytest.approx(single, rel=1e-9)
    assert measures.conditioning(ToyPotential(), SMALL) == measures.Conditioning(0.0, 0.0, 0.0)


def test_progress_is_told_in_atoms():
    told, done = [], []

    def begin(total, unit):
        told.append((total, unit))
        return done.append

    report = check(ToyPotential(), SMALL, begin=begin)
    assert report == check(ToyPotential(), SMALL)
    ((total, unit),) = told
    assert unit == "atom" and total <= sum(done) < 4 * total  # more where a step of differences is not good enough


def test_each_pair_crosses_its_share_of_many_radii(monkeypatch):
    monkeypatch.setattr(cutoff_crossings, "cutoff_radii", lambda potential: [float(r) for r in range(1, 31)])
    monkeypatch.setattr(
        cutoff_crossings, "continuity", lambda *arguments, **options: cutoff_crossings.Continuity(0, 0, 0, 0, 0)
    )
    found = cutoff_crossings.crossings(ToyPotential(), SMALL)  # H and O: three pairs
    assert [len(radii) for radii in found.values()] == [16, 16, 16]
    assert all(30.0 in radii for radii in found.values())
    assert {radius for radii in found.values() for radius in radii} == set(map(float, range(1, 31)))
    rows = invariances.cutoff_rows(ToyPotential(), SMALL, 1)
    assert {row.remark for row in rows if row.passed} == {"an atom crosses 16 of 30 radii, the cutoff among them"}


def test_extrapolation_is_warned_of():
    class Outside(ToyPotential):
        def compute(self, system, neighbors=None, *, atomic_virials=False):
            event = Extrapolation(1, *(np.array([x]) for x in (2, 7, 1.5, 0.1, 1.2)))
            return super().compute(system, atomic_virials=atomic_virials)._replace(extrapolation=event)

    with pytest.warns(MdnnpWarning, match="number 7 of atom 2: 1.5, range 0.1 to 1.2"):
        report = check(Outside(), SMALL)
    assert report.passed and "outside the range of the training data" in report.text()


def test_perfect_crystal_is_rattled():
    # On the perfect crystal forces vanish, and a wrong factor of theirs cannot be seen.
    crystal = make_system([[0, 0, 0], [2.0, 2.0, 2.0]], [1, 1], [4.0, 4.0, 4.0], True)
    wrong = ToyPotential(factors=(1, 1.1, 1, 1))
    assert np.max(np.abs(wrong.compute(crystal).forces)) < 1e-13
    report = check(wrong, crystal)
    assert {row.check for row in report.failures} == {"forces"}
    assert any("seed 1" in note for note in report.notes)


def test_prepare_leaves_the_original_alone_and_repeats():
    before = SMALL.positions.copy()
    first, second = rattled_and_strained(SMALL, seed=4)[0], rattled_and_strained(SMALL, seed=4)[0]
    assert np.array_equal(before, SMALL.positions)
    assert np.array_equal(first.positions, second.positions) and np.array_equal(first.cell, second.cell)
    untouched, notes = rattled_and_strained(SMALL, rattle_A=0, strain=0)
    assert untouched is SMALL and notes == []


def test_replicas_beyond_the_limit_are_not_made():
    report = check(ToyPotential(), SMALL, max_atoms=9)
    (row,) = [row for row in report.rows if row.check == "extensivity"]
    assert row.passed is None and "more than 9 atoms" in row.remark


def test_report_as_table_and_json():
    report = check(ToyPotential(factors=(1, 1 + 1e-6, 1, 1)), SMALL)
    data = json.loads(to_json(report.as_dict()))
    assert data["passed"] is False and report.exit_code == 3
    assert [row["check"] for row in data["rows"] if row["passed"] is False] == ["forces"]
    (line,) = [line for line in report.text().splitlines() if "FAIL" in line]
    assert line.startswith("forces")
    assert "1 failed" in report.text().splitlines()[-1]
    assert "NaN" not in to_json(report.as_dict())


def test_images_by_brute_force_agree_with_ase():
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    for system in CASES.values():
        atoms_of_ase = Atoms(system.numbers, system.positions, cell=system.cell, pbc=system.pbc)
        i, distance = neighbor_list("id", atoms_of_ase, 7.3)
        for atom in range(len(system)):
            found = np.linalg.norm(measures.within(system, system.positions[atom], 7.3)[1], axis=1)
            np.testing.assert_allclose(np.sort(found)[1:], np.sort(distance[i == atom]), atol=1e-12)


def test_radii_where_the_form_changes(water):
    assert cutoff_crossings.cutoff_radii(lennard_jones("poly2")) == pytest.approx([6.8, 8.5])
    assert cutoff_crossings.cutoff_radii(load_potential(water, "Bohr", "Hartree")) == pytest.approx(
        [12 * 0.529177210903]
    )
    # inner cutoff radii and the windows of compact functions are among them
    model = load_potential(GOLDEN / "all1", "Angstrom", "eV").model
    radii = cutoff_crossings.cutoff_radii(HDNNP(replace(model, cutoff_alpha=0.5)))
    functions = [f for part in model.elements.values() for f in part.functions]
    assert {f.cutoff for f in functions} <= set(radii)
    assert {f.rl for f in functions if f.rl >= 1} <= set(radii)
    assert {0.5 * f.cutoff for f in functions if f.type < 20} <= set(radii)


def test_a_kink_at_the_inner_radius_is_seen():
    # exp with an inner cutoff: f'' = -2 / width^2 there
    rows = check(lennard_jones("exp"), argon_krypton()).rows
    (slope,) = {row.remark for row in rows if row.check == "cutoff Ar-Ar, slope"}
    assert "kink at 6.8" in slope
