"""The studies: that they run, and that what they show is what theory says."""

import conservation
import degenerate_pairs
import information
import label_noise
import learning_curve
import locality
import numpy as np
import pytest
import smoothness_matrix
import stillinger_weber
from ase.data import atomic_masses
from labelled import make_labelled

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import make_system
from mdnnp.atoms.write import write_structures
from mdnnp.certify.order import Ladder, Rung, fit_order
from mdnnp.dynamics.integrators import MDState
from mdnnp.potentials.hdnnp.files.settings import read_settings
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import default_functions
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.training.dataset import LabelledStructure


def rattled(repeats, size_A, seed=1):
    system = stillinger_weber.diamond(repeats)
    noise = np.random.default_rng(seed).normal(0, size_A, system.positions.shape)
    return system._replace(positions=system.positions + noise)


# --- Stillinger-Weber silicon -----------------------------------------------------------------------------------


def test_stillinger_weber_crystal_has_the_cohesive_energy_and_no_forces():
    results = stillinger_weber.StillingerWeber().compute(stillinger_weber.diamond(2))
    assert results.energy / 64 == pytest.approx(-2 * stillinger_weber.EPSILON_EV, abs=2e-5)  # the paper's -2 epsilon
    assert np.abs(results.forces).max() < 1e-12


def test_stillinger_weber_forces_and_virial_are_derivatives():
    potential, system, h = stillinger_weber.StillingerWeber(), rattled(2, 0.15), 1e-5
    results = potential.compute(system)
    for atom, axis in ((0, 0), (5, 1), (63, 2)):
        energies = []
        for sign in (1, -1):
            moved = system.positions.copy()
            moved[atom, axis] += sign * h
            energies.append(potential.compute(system._replace(positions=moved)).energy)
        assert results.forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / (2 * h), abs=1e-7)
    for a, b in ((0, 0), (0, 1)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * h
            strained = system._replace(positions=system.positions @ strain, cell=system.cell @ strain)
            energies.append(potential.compute(strained).energy)
        assert results.virial[a, b] == pytest.approx((energies[1] - energies[0]) / (2 * h), abs=1e-5)


# --- Information ------------------------------------------------------------------------------------------------


def test_degenerate_pairs_have_equal_functions_and_different_energies():
    found = degenerate_pairs.compare_pairs(n_pairs=4)
    assert set(found["functions"]) == {2, 3, 9, 12, 13, 20, 21, 22, 23, 24, 25}
    assert max(found["largest_relative_difference"].values()) < 1e-12
    assert min(found["of_unlike_environments"].values()) > 0.1
    for least, _ in found["energy_difference_eV"].values():
        assert least > 1e-3


def test_a_degenerate_pair_is_not_one_environment_turned_round():
    a, b = degenerate_pairs.degenerate_pair(np.random.default_rng(3))
    x, y = a.positions[1:], b.positions[1:]
    # Scalar products with the centre as origin determine an environment up to rotations and reflections. Only the
    # first two neighbours are at equal distances, so that only they could be exchanged.
    grams = [z @ z.T for z in (x, y, y[[1, 0, 2, 3]])]
    assert np.allclose(np.sort(grams[0], axis=None), np.sort(grams[1], axis=None), atol=1e-12)
    assert min(np.abs(grams[0] - g).max() for g in grams[1:]) > 0.01


def test_along_the_path_radial_functions_see_nothing_and_angular_ones_not_the_other_end(tmp_path):
    information.write_path(tmp_path / "pair.h5")
    path = information.read_path(tmp_path / "pair.h5")
    other = int(np.argmin(np.abs(path.cosine + information.COSINES[1])))
    assert path.radial.max() < 1e-12
    assert path.angular[other] < 1e-12
    assert path.angular.max() > 0.1
    assert path.energy_eV[other] > 0.01
    short, long = information.energies_against_cutoff(tmp_path / "pair.h5", np.array([1.2, 2.0]), n_networks=2)
    assert short < 1e-11
    assert long > 1e-3


def test_a_null_direction_changes_the_energy_to_first_order_and_functions_to_second(tmp_path):
    system, functions = rattled(2, 0.15), information.grid("8")
    spread = information.spreads([system], Descriptors(functions))
    information.write_null_direction(tmp_path / "null.h5", system, functions)
    found = information.read_null_direction(tmp_path / "null.h5", functions, spread)
    assert found["order_functions"] == pytest.approx(2.0, abs=0.1)
    assert found["order_energy"] == pytest.approx(1.0, abs=0.02)


def test_functions_see_no_more_than_they_are_and_no_rotations():
    system = rattled(1, 0.15)
    functions = default_functions(["Si"], 3.0, radial=20, angular=6, max_zeta=4)  # more than 4 neighbours have freedom
    descriptors = Descriptors(functions)
    s, freedom = information.atom_singular_values(system, descriptors, np.ones(len(functions["Si"])), range(8))
    assert len(functions["Si"]) > freedom.max()
    for own, n in zip(s, freedom, strict=True):
        assert information.rank(own) <= n - 3


def test_no_network_has_forces_outside_the_space_of_the_derivatives():
    system, functions = rattled(2, 0.15), default_functions(["Si"], 5.0, radial=2, angular=0)
    _, gradient = Descriptors(functions).summed_gradient(system, "Si")
    of_model = LabelledStructure(system, 0.0, -gradient @ np.array([1.0, -0.5]))
    true = LabelledStructure(system, 0.0, stillinger_weber.StillingerWeber().compute(system).forces)
    assert information.bound_eV_A([of_model], functions) < 1e-10
    assert information.bound_eV_A([true], functions) > 0.01
    more = default_functions(["Si"], 5.0, radial=4, angular=0)
    assert information.bound_eV_A([true], more) < 1e-6  # as many derivatives as there are coordinates


# --- Noise in labels --------------------------------------------------------------------------------------------


def test_students_keep_as_much_noise_as_theory_says(tmp_path, monkeypatch):
    monkeypatch.setattr(label_noise, "N_TEST", 40)
    monkeypatch.setattr(label_noise, "HIDDEN", 2)
    school = label_noise.make_school(tmp_path, 60, 10)
    options = label_noise.arguments(["--epochs", "15"])
    small = label_noise.Noise("forces", 60, 1e-3, 0.05)
    found = np.array([label_noise.student_error(school, small, options, seed) for seed in range(1, 5)])
    theory = label_noise.predicted(school, small)
    assert np.sqrt(np.mean(found**2, axis=0)) == pytest.approx(np.array(theory.error), rel=0.5)
    double = label_noise.predicted(school, small._replace(sigma_energy=2e-3, sigma_force=0.1))
    assert np.array(double.of_noise) == pytest.approx(2 * np.array(theory.of_noise))
    alone = label_noise.predicted(school, label_noise.Noise("energies", 60, 1e-3, 0.0))
    assert alone.of_noise.force > 2 * theory.of_noise.force  # forces that are not fitted keep more
    assert 0 < alone.p_eff < theory.p_eff < school.layout.n_parameters


# --- Conservation, smoothness, locality -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::mdnnp.base.errors.MdnnpWarning")
def test_conservation_with_a_potential_fitted_for_it(tmp_path, capsys):
    stages = [stillinger_weber.Stage(300.0, 20, 12, 5)]
    stillinger_weber.write_run(tmp_path / "si.h5", stillinger_weber.diamond(1), stages, seed=1)
    frames = stillinger_weber.read_frames(tmp_path / "si.h5")
    labelled = [Structure(f.system, np.full(8, 28.0855), energy=f.energy_eV, forces=f.forces) for f in frames]
    write_structures(tmp_path / "si.xyz", labelled)
    (tmp_path / "train.toml").write_text('[data]\ntrain = ["si.xyz"]\n[descriptors]\ncutoff_A = 4.0\n')
    potential = conservation.refit(tmp_path / "train.toml", tmp_path, "poly3", "softplus", 2)
    assert read_settings(potential / "input.nn").cutoff_type == 7
    write_structures(tmp_path / "start.xyz", labelled[-1:])
    (tmp_path / "run.toml").write_text(
        '[structure]\nfile = "start.xyz"\n[potential]\npath = "none"\n'
        "[dynamics]\nsteps = 1\ntimestep_fs = 2.0\ntemperature_K = 300\nequilibration_steps = 10\n"
    )
    runs = conservation.make_runs(tmp_path / "run.toml", [2.0, 1.0], 0.1, tmp_path, potential)
    assert [conservation.label_of(path) for path in runs] == [("poly3-softplus", 2.0), ("poly3-softplus", 1.0)]


def test_the_smoothness_matrix_reads_the_orders_from_its_trajectories(tmp_path):
    rng, rungs = np.random.default_rng(1), []
    state = MDState(make_system(np.eye(3) * 3, [18] * 3), np.zeros((3, 3)), np.ones(3), None, 0)
    state = state._replace(results=LennardJones({"Ar": (0.01, 3.4)}, 8.5, "poly3", 7.0).compute(state.system))
    for h in (4.0, 2.0, 1.0):
        total, shadow = h**2 * 1e-4 * rng.normal(size=50), h**6 * 1e-9 * rng.normal(size=50)
        rungs.append(Rung(h, np.std(total), np.std(shadow), 1.0, h * np.arange(50), total, shadow))
    timesteps = np.array([4.0, 2.0, 1.0])
    orders = [fit_order(timesteps, np.array([getattr(r, key) for r in rungs])) for key in ("rms_eV", "shadow_rms_eV")]
    ladder = Ladder(tuple(rungs), *orders, 0.0, 3)
    paths = [smoothness_matrix.write_rung(tmp_path / f"{r.timestep_fs}.h5", state, r, ladder) for r in rungs]
    found = smoothness_matrix.read_ladder(paths)
    assert found["order"] == pytest.approx(orders[0].value, rel=1e-12)
    assert found["shadow_order"] == pytest.approx(orders[1].value, rel=1e-12)
    assert found["shadow_rms_meV_per_atom"] == pytest.approx([1e3 * r.shadow_rms_eV / 3 for r in rungs], rel=1e-12)
    assert found["extrapolations"] == 3


def test_replicas_deviate_by_rounding(tmp_path):
    system = make_system([[0, 0, 0], [0.1, 2.6, 2.6], [2.6, 0, 2.7], [2.6, 2.5, 0]], [18] * 4, [5.3] * 3, True)
    potential = LennardJones({"Ar": (0.01, 3.4)}, 8.5, "poly3", 7.0)
    cells = locality.write_replicas(tmp_path, potential, system)
    found = locality.replica_deviations(tmp_path, cells)
    assert len(found["energy"]) == len(found["forces"]) == len(cells) - 1 == 5
    assert 0 < max(found["forces"]) < 1e-12
    assert max(found["energy"]) < 1e-12


# --- Learning curve ---------------------------------------------------------------------------------------------


def test_a_power_law_is_found_with_its_error():
    sizes = np.array([10.0, 10.0, 20.0, 40.0, 80.0])
    a, b, of_b = learning_curve.power_law(sizes, 3.0 * sizes**-0.25)
    assert (a, b) == pytest.approx((3.0, 0.25)) and of_b == pytest.approx(0.0, abs=1e-7)
    noisy = 3.0 * sizes**-0.25 * np.exp([0.1, -0.1, 0.05, 0.0, -0.05])
    assert 0.02 < learning_curve.power_law(sizes, noisy)[2] < 0.1


def test_a_learning_curve_goes_on_where_it_stopped(tmp_path, capsys):
    structures = [
        Structure(s.system, atomic_masses[s.system.numbers], energy=s.energy_eV, forces=s.forces, stress=s.stress)
        for s in make_labelled(n=24)
    ]
    for name, own in (("train", structures[:18]), ("test", structures[18:])):
        write_structures(tmp_path / f"{name}.xyz", own, format="extxyz")
    head = '[data]\ntrain = ["train.xyz"]\n'
    rest = "[descriptors]\ncutoff_A = 4.5\nradial = 3\nangular = 1\nmax_zeta = 2\n"
    rest += "[network]\nhidden = [4]\n[fit]\nepochs = 2\n"
    (tmp_path / "fit.toml").write_text(head + 'test = ["test.xyz"]\n' + rest)
    given = [str(tmp_path / "fit.toml"), "--folder", str(tmp_path / "curve"), "--seeds", "1", "--parts"]
    learning_curve.main([*given, "2", "1"])
    first = capsys.readouterr().out
    assert "1/2, seed 1: 9 structures" in first and "twice the data takes" in first
    assert (tmp_path / "curve" / "learning_curve.png").exists()
    learning_curve.main([*given, "2", "1"])
    again = capsys.readouterr().out
    assert "seed 1:" not in again and again.splitlines()[-2:] == first.splitlines()[-2:]
    (tmp_path / "no.toml").write_text(head + rest)
    with pytest.raises(SystemExit, match="name test files"):
        learning_curve.main([str(tmp_path / "no.toml"), "--folder", str(tmp_path / "other")])
