"""Charges by equilibration and fourth-generation potentials: n2p2's results, differences, properties, bad input."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLDEN
from reference_data import there
from systems import slab, tiny_triclinic, water_molecule

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import make_system, replicate
from mdnnp.atoms.write import write_structures
from mdnnp.base.compiled import jit
from mdnnp.base.errors import InputError, MdnnpWarning, PhysicsError
from mdnnp.base.units import BOHR_A, HARTREE_EV
from mdnnp.command.cli import main
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.electrostatics.coulomb import Coulomb
from mdnnp.potentials.electrostatics.equilibration import Equilibration, Solution
from mdnnp.potentials.electrostatics.fixed_charges import FixedCharges
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.load import load_potential

ATOMIC = {"length_unit": "Bohr", "energy_unit": "Hartree"}


def golden(name="q4a", **more):
    potential = load_potential(GOLDEN / name, **ATOMIC)
    for key, value in more.items():
        setattr(potential, key, value)
    return potential, read_structures(GOLDEN / name / "input.data", **ATOMIC)[0].system


def with_solver(potential, **more):
    return FourthGeneration(potential.hdnnp.model, potential.charge_model, total_charge=potential.total_charge, **more)


# --- n2p2's results ----------------------------------------------------------------------------------------


def assert_equals_n2p2(directory, energy, rest, solver="auto"):
    """Tolerances: Hartree; e and Hartree/Bohr, of the largest."""
    potential = load_potential(directory, **ATOMIC)
    potential.solver = solver
    system = read_structures(directory / "input.data", **ATOMIC)[0].system
    results = potential.compute(system)
    expected = np.loadtxt(directory / "energy.out", ndmin=2)[0, 3]
    charges = np.loadtxt(directory / "nnatoms.out", ndmin=2)[:, 4]
    forces = np.loadtxt(directory / "nnforces.out", ndmin=2)[:, -3:]
    assert results.energy / HARTREE_EV == pytest.approx(expected, rel=0, abs=energy)
    assert np.abs(results.charges - charges).max() < rest * np.abs(charges).max()
    assert np.abs(results.forces / (HARTREE_EV / BOHR_A) - forces).max() < rest * np.abs(forces).max()
    return results


@pytest.mark.parametrize(("name", "energy", "rest"), [("q4a", 2e-9, 1e-7), ("q4d", 2e-8, 2e-5)])
def test_equals_n2p2_as_far_as_its_sums_go(name, energy, rest):
    assert_equals_n2p2(GOLDEN / name, energy, rest)


REAL = there(*(f"real4g/{name}" for name in ("H2O_RPBE-D3_4G_tight", "Carbon_chain_4G_nodes10", "AlAuMgO_4G_tight")))


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore:.*zeta = -:mdnnp.base.errors.MdnnpWarning")
def test_real_potentials_equal_n2p2(path):
    assert_equals_n2p2(path, 1e-9, 1e-8)
    results = assert_equals_n2p2(path, 1e-9, 1e-10, solver="dense")
    assert abs(results.charges.sum()) < 1e-12
    assert np.abs(results.forces.sum(axis=0)).max() < 1e-10
    assert results.atomic_energies.sum() == pytest.approx(results.energy, rel=1e-13)


def test_all_files_are_listed():
    potential, _ = golden()
    names = {file.name for file in potential.files}
    assert names == {"input.nn", "scaling.data"} | {
        f"{kind}.00{z}.data" for kind in ("weights", "weightse", "hardness") for z in (1, 8)
    }


# --- derivatives -------------------------------------------------------------------------------------------


def normalized(potential):
    """The same energies, written with all four constants of normalization."""
    m, c, q = -0.3, 2.5, 1.7
    short, charges = potential.hdnnp.model, potential.charge_model

    def rewritten(network: Network) -> Network:
        weights, biases = list(network.weights), list(network.biases)
        weights[0] = np.concatenate([weights[0][:-1], weights[0][-1:] / q])
        weights[-1], biases[-1] = weights[-1] * c, (biases[-1] - m) * c
        return replace(network, weights=tuple(weights), biases=tuple(biases))

    elements = {s: replace(part, network=rewritten(part.network)) for s, part in short.elements.items()}
    short = replace(short, elements=elements, normalized=True, mean_energy=m, conv_energy=c, conv_length=3.0)
    return FourthGeneration(short, replace(charges, conv_charge=q), total_charge=potential.total_charge)


CASES = {
    "periodic": golden,
    "screened": lambda: golden("q4d"),
    "charged": lambda: golden("q4d", total_charge=0.8),
    "cluster": lambda: (golden("q4d", total_charge=-0.4)[0], water_molecule()),
    "normalized": lambda: (normalized(golden("q4d")[0]), golden("q4d")[1]),
    "iterative": lambda: (with_solver(golden("q4d")[0], solver="iterative"), golden("q4d")[1]),
}


@pytest.mark.parametrize("name", CASES)
def test_forces_and_virial_are_derivatives(name):
    potential, system = CASES[name]()
    results = potential.compute(system)
    assert results.charges.sum() == pytest.approx(potential.total_charge or 0.0, abs=1e-12)
    rng, h = np.random.default_rng(4), 1e-3
    v, strain = rng.normal(size=(len(system), 3)), rng.normal(size=(3, 3))

    def slope(move):
        near, far = (potential.compute(move(s * h)).energy - potential.compute(move(-s * h)).energy for s in (1, 2))
        return (8 * near - far) / (12 * h)

    moved = slope(lambda s: system._replace(positions=system.positions + s * v))
    assert moved == pytest.approx(-np.sum(results.forces * v), rel=1e-7)
    strained = slope(
        lambda s: system._replace(
            positions=system.positions @ (np.eye(3) + s * strain), cell=system.cell @ (np.eye(3) + s * strain)
        )
    )
    assert strained == pytest.approx(-np.sum(results.virial * strain), rel=1e-7)
    assert np.allclose(results.virial, results.virial.T, atol=1e-10)


def test_normalization_changes_nothing():
    potential, system = golden("q4d")
    a, b = potential.compute(system), normalized(potential).compute(system)
    assert a.energy == pytest.approx(b.energy, rel=1e-12)
    assert np.allclose(a.forces, b.forces, atol=1e-12) and np.allclose(a.charges, b.charges, atol=1e-14)
    assert np.allclose(a.atomic_energies, b.atomic_energies, atol=1e-11)


def test_second_derivatives_are_differences():
    potential, system = golden("q4d")
    v = np.random.default_rng(6).normal(size=(len(system), 3))
    h = 1e-4
    ahead, back = (potential.compute(system._replace(positions=system.positions + s * v)).forces for s in (h, -h))
    product = potential.hessian_vector_product(system, v)
    assert np.allclose(product, -(ahead - back) / (2 * h), rtol=1e-5, atol=1e-6)


# --- exact properties --------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [0.0, 0.5])
def test_copies_of_a_cell_have_its_energies(total):
    potential, system = golden("q4d", total_charge=total)
    one = potential.compute(system)
    potential.total_charge = 2 * total
    two = potential.compute(replicate(system, (1, 2, 1)))
    assert two.energy == pytest.approx(2 * one.energy, rel=1e-11)
    assert np.allclose(two.charges, np.tile(one.charges, 2), atol=1e-11)
    assert np.allclose(two.forces, np.tile(one.forces, (2, 1)), atol=1e-10)


def test_threads_do_not_change_a_bit():
    potential, system = golden("q4d")
    system, found = replicate(system, (3, 2, 2)), []
    for threads in (1, 3):
        jit.set_threads(threads)
        for solver in ("dense", "iterative"):
            results = with_solver(potential, solver=solver).compute(system)
            found.append((results.energy, results.forces, results.virial, results.charges))
    jit.set_threads(1)
    for a, b in zip(found[:2], found[2:], strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_comparisons_use_charges_to_rounding():
    # At the tolerance of a run, a copied cell differs from one cell by more than the gates of `check` allow.
    potential, system = golden("q4d")
    large = replicate(system, (3, 3, 3))
    exact = with_solver(potential, solver="dense").compute(large)
    rough = potential.compute(large)
    fine = Committee([potential, potential]).converged().compute(large)
    assert np.abs(fine.forces - exact.forces).max() < 1e-12 * exact.largest_force
    assert np.abs(rough.forces - exact.forces).max() > 1e-11 * exact.largest_force
    assert np.array_equal(potential.compute(large).forces, rough.forces)  # as before


def test_products_are_free_of_the_tolerance():
    potential, system = golden("q4d")
    large = replicate(system, (3, 3, 3))
    moves = np.random.default_rng(2).standard_normal((len(large), 3))
    exact = with_solver(potential, solver="dense").hessian_vector_product(large, moves)
    found = potential.hessian_vector_product(large, moves)
    assert np.abs(found - exact).max() < 1e-8 * np.abs(exact).max()


def test_lists_with_a_skin_give_the_same():
    potential, system = golden("q4d")
    assert np.isinf(potential.reach)
    a, b = potential.compute(system), potential.compute(system, potential.make_lists(1.0).update(system))
    assert a.energy == pytest.approx(b.energy, rel=1e-13) and np.allclose(a.forces, b.forces, atol=1e-12)


# --- the solver --------------------------------------------------------------------------------------------


def system_of_equations(n=40, total=0.7, **more):
    rng = np.random.default_rng(8)
    cell = np.array([[9.0, 0.0, 0.0], [1.5, 8.0, 0.0], [-1.0, 2.0, 10.0]])
    system = make_system(rng.uniform(0, 1, (n, 3)) @ cell, [1] * n, cell, True)
    widths, hardness = rng.uniform(0.3, 0.9, n), rng.uniform(2.0, 12.0, n)
    coulomb = Coulomb(system, widths, VerletList(10.0).update(system), 10.0)
    return coulomb, hardness, rng.normal(size=n), total


def test_iterations_on_a_mesh():
    coulomb, hardness, right, total = system_of_equations()
    mesh = Coulomb(coulomb.system, coulomb.widths, coulomb.neighbors, coulomb.cutoff, waves="mesh")
    found = Equilibration(mesh, hardness, "iterative").solve(right, total)
    assert np.allclose(found, Equilibration(coulomb, hardness, "dense").solve(right, total), atol=1e-10)


def test_both_solvers_solve_the_bordered_system():
    coulomb, hardness, right, total = system_of_equations()
    n = len(right)
    bordered = np.ones((n + 1, n + 1))
    bordered[:n, :n], bordered[n, n] = coulomb.matrix() + np.diag(hardness), 0.0
    expected = np.linalg.solve(bordered, np.append(right, total))[:n]
    for solver in ("dense", "iterative"):
        found = Equilibration(coulomb, hardness, solver).solve(right, total)
        assert np.allclose(found, expected, atol=1e-10)
        assert found.sum() == pytest.approx(total, abs=1e-12)


def distorted():
    potential, system = golden("q4d")
    system = replicate(system, (2, 1, 1))
    return potential, system._replace(
        positions=system.positions + np.random.default_rng(1).normal(0, 0.1, (len(system), 3))
    )


def test_rough_charges_give_energies_to_second_order_and_forces_to_first():
    """The energy is stationary by charges and adjoint; the derivative of its derivative by them is not zero."""
    potential, system = distorted()
    exact, rng = potential.compute(system), np.random.default_rng(2)
    off = rng.normal(size=(2, len(system)))
    off -= off.mean(axis=1)[:, None]
    solution, errors, sizes = Equilibration.solution, [], (1e-2, 1e-3, 1e-4)
    for size in sizes:
        turn = iter(size * off)

        def rough(self, *arguments, turn=turn):
            charges = solution(self, *arguments).charges + next(turn)
            return Solution(charges, self.product(charges), np.zeros_like(charges), 1)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Equilibration, "solution", rough)
            found = potential.compute(system)
        errors.append((abs(found.energy - exact.energy), np.abs(found.forces - exact.forces).max()))
    energies, forces = np.log10(errors).T
    assert np.allclose(np.diff(energies), -2.0, atol=0.1)
    assert np.allclose(np.diff(forces), -1.0, atol=0.1)


def test_forces_are_derivatives_of_the_energy_for_any_charges_that_are_kept():
    """The Lagrangian at fixed charges and adjoint, however wrong: exact, and so are forces by what is left of them."""
    potential, system = distorted()
    kept = np.random.default_rng(2).normal(0, 0.3, (2, len(system)))
    kept -= kept.mean(axis=1)[:, None]

    def energy_and_forces(positions):
        turn = iter(kept)

        def fixed(self, *arguments):
            charges = next(turn)
            return Solution(charges, self.product(charges), np.zeros_like(charges), 1)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Equilibration, "solution", fixed)
            found = potential.compute(system._replace(positions=positions))
        return found.energy, found.forces

    v, h = np.random.default_rng(3).normal(size=(len(system), 3)), 1e-3
    near, far = (
        energy_and_forces(system.positions + s * h * v)[0] - energy_and_forces(system.positions - s * h * v)[0]
        for s in (1, 2)
    )
    slope = -np.sum(energy_and_forces(system.positions)[1] * v)
    assert (8 * near - far) / (12 * h) == pytest.approx(slope, rel=1e-8)


def test_tolerance_and_error():
    """What the solver's tolerance leaves: far less than its size in the forces, its square in the energy."""
    potential, system = distorted()
    exact = potential.compute(system)
    scale = np.abs(exact.forces).max()
    for tolerance in (1e-3, 1e-5, 1e-7):
        rough = with_solver(potential, solver="iterative", charge_tolerance=tolerance).compute(system)
        assert np.abs(rough.forces - exact.forces).max() < 10 * tolerance * scale
        assert abs(rough.energy - exact.energy) < max(10 * tolerance**2, tolerance * 1e-2) * len(system)


def test_no_convergence_names_the_residual():
    coulomb, hardness, right, total = system_of_equations()
    with pytest.raises(PhysicsError, match=r"did not converge in 2 iterations: residual \d.*e.*eV/e, wanted"):
        Equilibration(coulomb, hardness, "iterative", max_iterations=2).solve(right, total)


@pytest.mark.parametrize("solver", ["dense", "iterative"])
def test_charges_without_equilibrium(solver):
    coulomb, hardness, right, total = system_of_equations()
    with pytest.raises(PhysicsError, match="no minimum"):
        Equilibration(coulomb, -3.0 * hardness, solver).solve(right, total)


def test_unknown_solver():
    coulomb, hardness, *_ = system_of_equations()
    with pytest.raises(InputError, match="'magic'; known: auto, dense, iterative"):
        Equilibration(coulomb, hardness, "magic")


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path) -> Path:
    return Path(shutil.copytree(GOLDEN / "q4d", tmp_path / "q4d"))


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fixed_gausswidth H 0.6\n", "", "element H has no line 'fixed_gausswidth H"),
        ("fixed_gausswidth H 0.6", "fixed_gausswidth H 0", "16: fixed_gausswidth: expected a positive number, found 0"),
        ("fixed_gausswidth H 0.6", "fixed_gausswidth C 0.6", "16: fixed_gausswidth: element 'C' is not among"),
        ("1.0 3.0 e", "3.0 1.0 e", "screen_electrostatics: need 0 <= inner radius < outer radius, found 3 and 1"),
        ("1.0 3.0 e", "1.0 3.0 p9", "unknown core 'p9'; known: c, p1, p2, p3, p4, e"),
        ("1.0 3.0 e", "1.0", "expected inner and outer radius"),
        ("ewald_truncation", "four_pi_epsilon -1\newald_truncation", "four_pi_epsilon: expected a positive number"),
        ("ewald_truncation", "conv_charge 0\newald_truncation", "conv_charge must be positive"),
        ("global_nodes_electrostatic 4 3", "global_nodes_electrostatic 4", "expected 2 numbers of nodes"),
        ("global_hidden_layers_electrostatic 2\n", "", "'global_hidden_layers_electrostatic' is missing"),
        ("elements O H", "elements O H\nsymfunction_electrostatic H 2 O 0.1 0 6", "functions of their own"),
        ("elements O H", "elements O H\nuse_vdw", "changes the model: dispersion"),
    ],
)
def test_mistakes_in_the_input(directory, old, new, message):
    edit(directory / "input.nn", old, new)
    with pytest.raises(InputError, match=message):
        load_potential(directory, **ATOMIC)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("hardness.008.data", None, "missing for the elements H O: hardness.008.data"),
        ("weightse.001.data", None, "missing for the elements H O: weightse.001.data"),
        ("hardness.001.data", "1.0\n2.0\n", "hardness.001.data: expected one number, the atomic hardness, found 2"),
        ("hardness.001.data", "-0.5\n", "the hardness must be positive, found -0.5"),
        ("weightse.001.data", "1.0\n2.0\n", "weightse.001.data: expected 31 for 2-4-3-1 .*found 2 values"),
        ("weightse.001.data", "weights.001.data", "one input more, as in the short-range network"),
        ("weights.001.data", "weightse.001.data", "weights.001.data: expected 35 for 3-4-3-1 .*found 31"),
    ],
)
def test_mistakes_in_other_files(directory, name, text, message):
    if text is None:
        (directory / name).unlink()
    elif text.endswith(".data"):
        shutil.copy(directory / text, directory / name)
    else:
        (directory / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load_potential(directory, **ATOMIC)


def test_the_coulomb_constant_of_other_units(directory):
    with pytest.warns(MdnnpWarning, match=r"four_pi_epsilon = 1 in Angstrom and eV.*0.06945 times.*0.0694462"):
        load_potential(directory, "Angstrom", "eV")


def test_slabs_elements_and_precision_are_refused(directory):
    potential, _ = golden()
    with pytest.raises(InputError, match="periodic in 2 directions"):
        potential.compute(slab())
    with pytest.raises(InputError, match="atom 0 is Cu"):
        potential.compute(tiny_triclinic())
    with pytest.raises(InputError, match="precision 'mixed' is not for potentials with charges"):
        load_potential(directory, **ATOMIC, precision="mixed")
    potential.total_charge = np.inf
    with pytest.raises(InputError, match="total_charge must be a number, found inf"):
        potential.compute(water_molecule())


# --- in sums, committees, and the command line -------------------------------------------------------------


def test_total_charge_in_a_file(directory):
    file = directory.parent / "ion.toml"
    file.write_text('[[terms]]\npath = "q4d"\ntotal_charge = 1\nlength_unit = "Bohr"\nenergy_unit = "Hartree"\n')
    ion = load_potential(file).compute(water_molecule())
    assert ion.charges.sum() == pytest.approx(1.0) and len(ion.atomic_virials) == 0
    expected = golden("q4d", total_charge=1.0)[0].compute(water_molecule())
    assert ion.energy == pytest.approx(expected.energy, rel=1e-12)
    file.write_text('[[terms]]\npath = "lj.toml"\ntotal_charge = 1\n')
    (directory.parent / "lj.toml").write_text(
        'kind = "lennard-jones"\ncutoff_A = 4.0\n[elements.H]\nepsilon_eV = 0.1\nsigma_A = 2.0\n'
    )
    with pytest.raises(InputError, match="total_charge is for potentials with charges"):
        load_potential(file)


def test_a_committee_of_them():
    potential, system = golden("q4d")
    committee = Committee([potential, golden("q4a")[0]])
    results = committee.compute(system)
    assert results.energy == pytest.approx(
        0.5 * (potential.compute(system).energy + golden("q4a")[0].compute(system).energy)
    )
    assert len(committee.compute(system, atomic_virials=True).atomic_virials) == 0


def test_commands(directory, capsys):
    units = ["--length-unit", "Bohr", "--energy-unit", "Hartree"]
    assert main(["info", str(directory), *units]) == 0
    assert "by equilibration" in (out := capsys.readouterr().out) and "core e, C^1" in out
    assert main(["check", str(directory), str(directory / "input.data"), *units]) == 0
    assert "the potential gives none" in capsys.readouterr().out


def test_fixed_charges_from_a_file(tmp_path):
    file = tmp_path / "salt.toml"
    file.write_text('kind = "charges"\ncharges_e = { Na = 1, Cl = -1 }\nwidths_A = { Na = 0.4 }\n')
    potential = load_potential(file)
    assert potential.elements == ("Na", "Cl") and "Na            +1 e, Gaussian" in "\n".join(potential.describe())
    a = 5.64
    system = make_system([[0, 0, 0], [a / 2] * 3], [11, 17], a / 2 * (np.ones((3, 3)) - np.eye(3)), True)
    points = FixedCharges({"Na": 1, "Cl": -1}).compute(system)
    assert points.energy == pytest.approx(-1.747564594633182 * 14.399645478 * 2 / a, rel=1e-11)
    assert np.trace(points.virial) == pytest.approx(points.energy, rel=1e-10)  # the energy goes with 1/length
    assert np.array_equal(points.charges, [1, -1])
    assert potential.compute(system).energy == pytest.approx(points.energy, abs=0.05)
    ion = system._replace(numbers=np.array([11, 11]))
    assert "charge of 2 e: a uniform background" in potential.remarks(ion, potential.compute(ion))[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a charge for each element"),
        ("charges_e = 3", "must be a table"),
        ('charges_e = { Na = "1" }', "charges_e.Na must be a number"),
        ("charges_e = { Xy = 1 }", "unknown element 'Xy'"),
        ("charges_e = { Na = nan }", "not finite"),
        ("charges_e = { Na = 1 }\nwidths_A = { Na = -1 }", "must not be negative"),
        ("charges_e = { Na = 1 }\nwidths_A = { Cl = 1 }", "Cl has a width, but no charge"),
        ("charges = { Na = 1 }", "unknown key 'charges'"),
    ],
)
def test_fixed_charges_refused(tmp_path, text, message):
    (tmp_path / "p.toml").write_text('kind = "charges"\n' + text)
    with pytest.raises(InputError, match=message):
        load_potential(tmp_path / "p.toml")


def test_heat_current_is_refused(directory, tmp_path, capsys):
    (tmp_path / "run.toml").write_text(
        '[potential]\npath = "q4d"\nlength_unit = "Bohr"\nenergy_unit = "Hartree"\n'
        '[structure]\nfile = "q4d/input.data"\nlength_unit = "Bohr"\nenergy_unit = "Hartree"\n'
        "[dynamics]\ntimestep_fs = 0.25\nsteps = 4\ntemperature_K = 100\n[output]\nheat_current = true\n"
    )
    assert main(["run", str(tmp_path / "run.toml")]) == 2
    assert "heat_current needs per-atom virials" in capsys.readouterr().err


def test_the_total_charge_is_the_structures(directory, tmp_path):
    potential, system = golden("q4d")
    ion = potential.compute(system._replace(charge=0.8))
    assert ion.charges.sum() == pytest.approx(0.8, abs=1e-12)
    assert ion.energy == pytest.approx(golden("q4d", total_charge=0.8)[0].compute(system).energy, rel=1e-13)
    assert potential.remarks(system._replace(charge=0.8), ion)[0].startswith("the cell has a charge of 0.8 e")
    water = Structure(water_molecule()._replace(charge=-1.0), np.ones(3))
    write_structures(tmp_path / "a.xyz", [water])
    units = ["--length-unit", "Bohr", "--energy-unit", "Hartree"]
    assert main(["predict", str(directory), str(tmp_path / "a.xyz"), *units, "-o", str(tmp_path / "b.xyz")]) == 0
    (found,) = read_structures(tmp_path / "b.xyz")
    assert found.system.charge == -1.0 and found.charges.sum() == pytest.approx(-1.0)
    assert "charge=-1.0" in (tmp_path / "b.xyz").read_text() and ":charges:R:1" in (tmp_path / "b.xyz").read_text()
