"""The benchmark: the built-in potential and box are what they should be, its record holds together."""

import json
import sys

import numpy as np
import pytest

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.quantities import kinetic_energy, temperature
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import make_system, replicate
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import InputError
from mdnnp.command.benchmark import (
    SCHEMA,
    Case,
    Options,
    bench,
    charged,
    find_lammps,
    table,
    table_of_charges,
    water_box,
    water_masses,
    water_model,
)
from mdnnp.command.benchmark.charged import charged_box, charged_water, grown
from mdnnp.command.benchmark.measure import Dynamics, interleaved, run_process
from mdnnp.command.benchmark.suite import list_system, write_inputs
from mdnnp.command.benchmark.water import _GAUSSIANS_EV, BOND_A
from mdnnp.command.benchmark.work import count_work
from mdnnp.command.cli import main
from mdnnp.potentials.hdnnp.files import read_potential, write_potential
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.lennard_jones import LennardJones


@pytest.fixture(scope="module")
def box():
    return water_box()


@pytest.fixture(scope="module")
def potential():
    return HDNNP(water_model())


# The box and the potential


def test_box_is_water(box):
    assert len(box) == 1080
    assert np.array_equal(np.unique(box.numbers, return_counts=True), [[1, 8], [720, 360]])
    grams_per_cm3 = water_masses(box).sum() * 1.66054 / np.linalg.det(box.cell)
    assert 0.85 < grams_per_cm3 < 1.0
    molecules = box.positions.reshape(-1, 3, 3)
    arms = molecules[:, 1:] - molecules[:, :1]
    np.testing.assert_allclose(np.linalg.norm(arms, axis=2), BOND_A, rtol=1e-12)
    np.testing.assert_allclose(
        np.sum(arms[:, 0] * arms[:, 1], axis=1) / BOND_A**2, np.cos(np.radians(104.5)), rtol=1e-12
    )
    # Random orientations: the mean of 360 unit vectors has a length of about 1/sqrt(360) = 0.05.
    axes = arms.sum(axis=1) / np.linalg.norm(arms.sum(axis=1), axis=1)[:, None]
    assert np.linalg.norm(axes.mean(axis=0)) < 0.2
    np.testing.assert_allclose(axes.T @ axes / len(axes), np.eye(3) / 3, atol=0.1)
    i, j, _, vectors = neighbor_list(box, 3.0)
    between = i // 3 != j // 3
    assert np.linalg.norm(vectors[between], axis=1).min() > 1.3


@pytest.mark.parametrize("wide", [False, True])
def test_potential_has_the_shape_of_published_ones(wide):
    model = water_model(wide=wide)
    assert [len(part.functions) for part in model.elements.values()] == [27, 30]
    for part in model.elements.values():
        assert [w.shape for w in part.network.weights] == [(len(part.functions), 25), (25, 25), (25, 1)]
        assert part.network.activations == "ttl"
        assert {f.type for f in part.functions} == {2, 9 if wide else 3}
        assert {f.cutoff for f in part.functions} == {12.0}
    assert model.cutoff_type == 2


def test_every_gaussian_of_the_energy_has_its_function():
    functions = {(f.center, *f.neighbors, f.eta) for part in water_model().elements.values() for f in part.functions}
    assert set(_GAUSSIANS_EV) <= functions


def test_neighbors_and_triplets_are_those_of_liquid_water(box, potential):
    work = count_work(potential, box)
    assert 90 < work.neighbors < 105
    assert 1300 < work.triplets < 1800


def test_run_stays_a_liquid_of_whole_molecules(box, potential):
    run = Dynamics(potential, box, water_masses(box))
    start = run.state.results.energy + kinetic_energy(run.state.velocities, run.state.masses)
    run.measure(60)
    kinetic = kinetic_energy(run.state.velocities, run.state.masses)
    assert run.extrapolations == 0
    assert 200 < temperature(kinetic, 3 * len(box) - 3) < 400
    assert abs(run.state.results.energy + kinetic - start) < 1e-3 * len(box)
    molecules = run.state.system.positions.reshape(-1, 3, 3)
    bonds = np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=2)
    assert bonds.min() > 0.8
    assert bonds.max() < 1.15
    assert run.n_steps == 60
    assert 0 < run.list_share < 1


def test_potential_reads_back_to_the_same_energies(box, potential, tmp_path):
    write_potential(water_model(), tmp_path / "water")
    again = HDNNP(read_potential(tmp_path / "water")).compute(box)
    first = potential.compute(box)
    assert np.isfinite(first.energy)
    assert again.energy == first.energy
    assert np.array_equal(again.forces, first.forces)


# Counting


def test_triplets_of_a_molecule_are_counted_by_hand(potential):
    """H sees H and O: one triplet (H, O); O sees two H: one triplet (H, H)."""
    molecule = make_system([[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]], [8, 1, 1])
    work = count_work(potential, molecule)
    assert (work.neighbors, work.triplets) == (2.0, 1.0)


def test_far_sides_are_no_narrow_triplets(potential):
    """O in the middle of two H that are further apart than the cutoff; they see O alone."""
    row = make_system([[0, 0, 0], [5.0, 0, 0], [-5.0, 0, 0]], [8, 1, 1])
    assert count_work(potential, row).triplets == 0
    assert count_work(potential, row).neighbors == pytest.approx(4 / 3)


def test_wide_functions_with_integer_exponents_are_counted_as_moments(box):
    work = count_work(HDNNP(water_model(wide=True)), box)
    assert work.triplets == 0
    assert 0 < work.operations < 0.5 * count_work(HDNNP(water_model()), box).operations


def test_work_of_a_pair_potential():
    work = count_work(LennardJones({"Ar": (0.01, 3.4)}, 6.35), list_system(2000))
    assert work.neighbors == pytest.approx(0.1 * 4 / 3 * np.pi * 6.35**3, rel=0.03)
    assert work.triplets == 0


def test_work_is_extensive(box, potential):
    small, large = count_work(potential, box), count_work(potential, replicate(box, (1, 1, 2)))
    assert large.neighbors == pytest.approx(small.neighbors, rel=1e-12)
    assert large.triplets == pytest.approx(small.triplets, rel=0.05)  # a sample of centres


# Measuring


def test_measures_take_turns():
    order = []
    times = interleaved({"a": lambda: order.append("a") or 1.0, "b": lambda: order.append("b") or 2.0}, 3)
    assert order == ["a", "b"] * 3
    assert times["b"].values == (2.0, 2.0, 2.0)


def test_memory_of_a_process_is_its_own():
    ballast = np.ones(30_000_000)  # 240 MB here, which a child must not inherit
    small = run_process([sys.executable, "-S", "-c", "pass"])
    large = run_process([sys.executable, "-S", "-c", "x = bytearray(100_000_000)"])
    assert ballast[-1] == 1
    assert small.peak_bytes < 60e6
    assert large.peak_bytes - small.peak_bytes == pytest.approx(100e6, rel=0.1)


def test_failure_of_a_process_is_told_with_its_words():
    with pytest.raises(InputError, match=r"exit status 3\):\nhelp"):
        run_process([sys.executable, "-c", "print('help'); raise SystemExit(3)"])
    with pytest.raises(InputError, match="cannot be run"):
        run_process(["/no/such/program"])


# The record and the command

NUMBERS = {"atoms", "neighbors", "triplets", "operations", "GFLOP_per_s", "share_of_dgemm", "neighbor_list_share"}


@pytest.mark.slow
def test_record_of_our_own_cases(monkeypatch):
    monkeypatch.setattr("mdnnp.command.benchmark.suite.LIST_ATOMS", 2000)
    record = bench(Options(threads=2, rounds=1, seconds=0.05))
    assert [case["name"] for case in record["cases"]][:2] == ["water", "water, wide functions"]
    assert all(case["extrapolations"] == 0 for case in record["cases"])
    assert record["scaling"]["threads"] == 2
    assert record["neighbor_list"]["us_per_atom"]["median"] > 0
    assert record["processes"]["run_s"]["min"] > 0
    assert 0.3 < record["processes"]["memory_kB_per_atom"] < 6
    assert record == json.loads(json.dumps(record))
    assert "parallel efficiency" in table(record)


def test_record_of_a_given_case(box):
    argon = LennardJones({"Ar": (0.01, 3.4)}, 6.0)
    crystal = make_system(np.indices((5, 5, 5)).reshape(3, -1).T * 3.8, np.full(125, 18), [19.0] * 3, True)
    given = Case("argon", argon, crystal, np.full(125, 39.9))
    told = []
    record = bench(Options(given=(given,), rounds=2, seconds=0.01), lambda what, left: told.append((what, left)))
    assert record["schema"] == SCHEMA
    assert set(record) == {"schema", "machine", "rounds", "dgemm_GFLOP_per_s", "yardstick", "cases"}
    (case,) = record["cases"]
    assert set(case) > NUMBERS and all(np.isfinite(case[key]) for key in NUMBERS)
    assert len(case["us_per_atom_step"]["values"]) == 2
    assert case["ratio_to_yardstick"] is None
    assert record == json.loads(json.dumps(record))
    assert told[1:] == [("round 1: argon", 4), ("round 1: dgemm", 3), ("round 2: argon", 2), ("round 2: dgemm", 1)]
    text = table(record)
    assert "argon" in text and "yardstick: not measured" in text


def test_command_measures_given_files(tmp_path, capsys):
    write_inputs(tmp_path)
    small = make_system([[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]], [8, 1, 1])
    write_structures(tmp_path / "one.xyz", [Structure(small, water_masses(small))])
    assert main(["bench", str(tmp_path / "potential"), str(tmp_path / "one.xyz"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["cases"][0]["atoms"] == 3
    assert record["cases"][0]["triplets"] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["potential"], 2, "each potential needs a structure"),
        (["nowhere", "one.xyz"], 4, "no such potential"),
        (["--lammps", "/no/python"], 2, "has no LAMMPS"),
        (["--threads", "0"], 2, "not a whole number"),
    ],
)
def test_command_refuses_what_it_cannot_use(arguments, status, said, capsys):
    assert main(["bench", *arguments]) == status
    assert said in capsys.readouterr().err


def test_lammps_of_an_interpreter_without_it_is_refused():
    if find_lammps() is None:
        with pytest.raises(InputError, match="has no LAMMPS"):
            find_lammps(sys.executable)


# Charges


def test_charged_water_stays_a_liquid_of_whole_molecules():
    box = charged_box()
    run = Dynamics(charged_water(), box, water_masses(box))
    assert len(box) == 384
    charges = run.state.results.charges
    assert -0.5 < charges[box.numbers == 8].max() < -0.2 and abs(charges.sum()) < 1e-12
    assert np.ptp(charges[box.numbers == 8]) > 1e-3
    run.measure(20)
    kinetic = kinetic_energy(run.state.velocities, run.state.masses)
    assert 200 < temperature(kinetic, 3 * len(box) - 3) < 400 and run.extrapolations == 0
    molecules = run.state.system.positions.reshape(-1, 3, 3)
    bonds = np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=2)
    assert bonds.min() > 0.8 and bonds.max() < 1.2


def test_copies_grow_evenly_and_are_shaken():
    box = charged_box()
    system, masses = grown(box, water_masses(box), 3000)
    assert len(system) == len(masses) == 3072
    np.testing.assert_allclose(system.cell, 2 * box.cell)
    assert 0 < np.abs(system.positions[:384] - box.positions).max() < 0.1


def test_record_of_charges(monkeypatch, capsys):
    """Every figure is there; sizes are made small."""
    monkeypatch.setattr(charged, "SIZES", (384, 768))
    monkeypatch.setattr(charged, "THREADED", 384)
    monkeypatch.setattr(charged, "MESH_CHARGES", 1000)
    record = charged.bench_charges(Options(threads=2, rounds=2, seconds=0.05))
    assert [size["atoms"] for size in record["sizes"]] == [384, 768]
    assert record["sizes"][0]["ratio_to_the_smallest"] == 1.0 and record["sizes"][1]["ratio_to_the_smallest"] > 0
    assert all(2 < size["products_per_step"] < 40 for size in record["sizes"])
    assert record["scaling"]["threads"] == 2 and 0 < record["scaling"]["efficiency"] < 2
    assert 1e-6 < record["mesh"]["error"] < 5e-5
    assert record == json.loads(json.dumps(record))
    text = table_of_charges(record)
    assert "384" in text and "efficiency" in text and "mesh alone, 1000 charges" in text


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            lambda box: Case("argon", LennardJones({"Ar": (0.01, 3.4)}, 6.0), box, water_masses(box)),
            "fourth generation",
        ),
        (
            lambda box: Case("drop", charged_water(), box._replace(pbc=np.zeros(3, bool)), water_masses(box)),
            "periodic in three directions",
        ),
    ],
)
def test_charges_of_what_has_none_are_refused(case, message):
    with pytest.raises(InputError, match=message):
        charged.bench_charges(Options(given=(case(charged_box()),)))


def test_charges_in_a_first_run_are_refused(capsys):
    assert main(["bench", "--charges", "--cold"]) == 2
    assert "--cold does not go with --charges" in capsys.readouterr().err
