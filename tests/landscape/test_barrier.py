"""The verb saddle: the hop of an argon vacancy, whose saddle is known by symmetry; clusters of four atoms."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from scipy.optimize import minimize, minimize_scalar
from systems import argon

from mdnnp.atoms.system import make_system
from mdnnp.command.cli import main
from mdnnp.landscape.barrier import attempt_frequency_THz, distances_A
from mdnnp.landscape.modes import Modes
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.potentials.lennard_jones import LennardJones

LJ = 'kind = "lennard-jones"\ncutoff_A = 7.0\nsmoothing = "poly3"\n[elements.Ar]\nepsilon_eV = 0.0104\nsigma_A = 3.4\n'
ARGON = LennardJones({"Ar": (0.0104, 3.4)}, 7.0, "poly3")


def save(path, system):
    write(path, Atoms(system.numbers, system.positions, cell=system.cell, pbc=system.pbc))


@pytest.fixture(scope="module")
def hop():
    """Vacancy, the same after a neighbour has jumped into it, the jump, and the exact barrier."""
    perfect = argon(2, 0.0)
    before = perfect._replace(positions=perfect.positions[1:], numbers=perfect.numbers[1:])
    jump = perfect.positions[0] - perfect.positions[1]
    after, middle = (before._replace(positions=before.positions.copy()) for _ in range(2))
    after.positions[0] += jump
    middle.positions[0] += 0.5 * jump
    minimum = relax(ARGON, before, Goal(force_tolerance=1e-5)).point
    saddle = relax(ARGON, middle, Goal(force_tolerance=1e-5, fixed=(0,))).point
    return before, after, jump, saddle.results.energy - minimum.results.energy


@pytest.fixture
def files(tmp_path, monkeypatch, hop):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lj.toml").write_text(LJ)
    save("before.xyz", hop[0])
    save("after.xyz", hop[1])
    return tmp_path


def run(capsys, *words):
    status = main(["saddle", "lj.toml", *words, "--json", "--threads", "1"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("how", ["push", "band"])
def test_hop_of_a_vacancy(files, hop, capsys, how):
    _, _, jump, barrier = hop
    where = ["--to", "after.xyz"] if how == "band" else ["--atom", "0", "--along", *(f"{x:.6f}" for x in jump)]
    status, found = run(capsys, "before.xyz", "-o", "out.xyz", *where, "--sides", "--force-tolerance", "1e-4")
    assert status == 0 and found["converged"] and found["negative_curvatures"] == 1
    assert found["barrier_eV"] == pytest.approx(barrier, abs=1e-6)
    first, second = found["sides"]
    assert first["largest_move_from_start_A"] < 0.1
    # the atom jumps by that, less what the mean of the cell moves
    assert second["largest_move_from_start_A"] == pytest.approx(np.linalg.norm(jump), rel=0.1)
    assert all(side["barrier_eV"] == pytest.approx(barrier, abs=1e-4) for side in found["sides"])
    if how == "band":
        assert found["reverse_barrier_eV"] == pytest.approx(barrier, abs=1e-6)
    assert 0.1 < found["attempt_frequency_THz"] < 10  # of the order of argon's vibrations
    saddle, summary = read("out.xyz"), json.loads((files / "out.json").read_text())
    assert saddle.get_potential_energy() == pytest.approx(found["energy_eV"], abs=1e-9)
    assert summary["barrier_eV"] == found["barrier_eV"] and np.shape(summary["mode"]) == (31, 3)
    ends = [read(f"out-side-{k}.xyz").get_potential_energy() for k in (1, 2)]
    assert ends == pytest.approx([side["energy_eV"] for side in found["sides"]], abs=1e-9)


CLUSTER = LennardJones({"Ar": (0.0104, 3.4)}, 30.0, "poly3")


def rhombus(a, b):
    """Four atoms with half diagonals a and b, Å."""
    return make_system([[a, 0, 0], [-a, 0, 0], [0, b, 0], [0, -b, 0]], [18] * 4)


def test_planar_rhombus_separates_two_tetrahedra(files, capsys):
    """Its energy is that of the best rhombus, a problem of two numbers; the tetrahedra have six bonds of energy -1."""
    tight = {"xatol": 1e-9, "fatol": 1e-14}
    best = minimize(lambda x: CLUSTER.compute(rhombus(*x)).energy, [1.9, 3.3], method="Nelder-Mead", options=tight)
    guess = rhombus(*best.x)
    guess.positions[0] += [0.1, 0.0, 0.15]
    save("guess.xyz", guess)
    (files / "lj.toml").write_text(LJ.replace("7.0", "30.0"))
    words = ["guess.xyz", "-o", "out.xyz", "--guess", "--mode", "1", "--sides", "--force-tolerance", "1e-5"]
    status, found = run(capsys, *words)
    assert status == 0 and found["negative_curvatures"] == 1 and found["barrier_eV"] is None
    assert found["energy_eV"] == pytest.approx(best.fun, abs=1e-8)
    assert found["energy_eV"] / 0.0104 == pytest.approx(-5.073, abs=2e-3)  # of pairs that are not cut off
    for side in found["sides"]:
        assert side["energy_eV"] == pytest.approx(-6 * 0.0104, rel=1e-4)
        assert side["barrier_eV"] == pytest.approx(found["energy_eV"] - side["energy_eV"], abs=1e-12)


def test_square_is_a_saddle_of_second_order(files, capsys):
    """It falls by buckling and by shearing."""
    best = minimize_scalar(lambda a: CLUSTER.compute(rhombus(a, a)).energy, bounds=(2.4, 3.0), method="bounded")
    save("square.xyz", rhombus(best.x, best.x))
    (files / "lj.toml").write_text(LJ.replace("7.0", "30.0"))
    words = ["square.xyz", "-o", "out.xyz", "--guess"]
    status, found = run(capsys, *words)
    assert status == 3 and found["converged"] and found["negative_curvatures"] == 2
    assert found["energy_eV"] == pytest.approx(best.fun, abs=1e-9)
    assert main(["saddle", "lj.toml", *words, "--overwrite"]) == 3
    assert "NOT a saddle point of first order" in capsys.readouterr().out


def test_steps_are_written(files, capsys):
    status, found = run(capsys, "before.xyz", "-o", "out.xyz", "--atom", "0", "--seed", "1", "--trajectory", "steps.h5")
    from mdnnp.trajectory import Trajectory

    assert status in (0, 3)  # a random push may end on any saddle, or none
    with Trajectory("steps.h5") as steps:
        assert steps.observables["potential_energy"][-1] == pytest.approx(found["energy_eV"], abs=1e-9)


def test_attempt_frequency():
    def modes(*frequencies):
        return Modes(np.array(frequencies), np.empty(0), np.zeros(len(frequencies)), 0)

    assert attempt_frequency_THz(modes(1.0, 2.0, 3.0), modes(-1.5, 2.0, 2.0)) == pytest.approx(1.5)
    assert np.isnan(attempt_frequency_THz(modes(1.0, 2.0, 3.0), modes(-1.5, -1.0, 2.0)))


def test_distances_know_of_images_and_shifts(hop):
    before, _, jump, _ = hop
    same = before._replace(positions=before.positions + np.array([11.0, 0.4, -3.0]))
    assert distances_A(before, same).max() < 1e-9
    moved = same._replace(positions=same.positions.copy())
    moved.positions[0] += jump
    assert distances_A(before, moved).max() == pytest.approx(np.linalg.norm(jump))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--along", "1", "0", "0"], "--along needs --atom"),
        (["--atom", "31"], "atom 31"),
        (["--mode", "0"], "--mode counts from 1"),
        (["--mode", "500"], "no more than"),
        (["--to", "fewer.xyz"], "same atoms in the same order"),
        (["--to", "larger.xyz"], "same cell"),
        (["--to", "before.xyz"], "the same minimum"),
        (["--to", "after.xyz", "--guess"], "exclude each other"),
        (["--force-tolerance", "0"], "must be positive"),
        (["--trajectory", "steps.traj"], "steps.traj"),
    ],
)
def test_bad_input(files, hop, capsys, words, message):
    system = hop[0]
    save("fewer.xyz", system._replace(positions=system.positions[1:], numbers=system.numbers[1:]))
    save("larger.xyz", system._replace(cell=system.cell * 1.01))
    assert main(["saddle", "lj.toml", "before.xyz", "-o", "out.xyz", "--threads", "1", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (files / "out.xyz").exists()


def test_existing_output_is_kept(files, capsys):
    (files / "out.json").write_text("mine")
    assert main(["saddle", "lj.toml", "before.xyz", "-o", "out.xyz", "--threads", "1"]) == 4
    assert "out.json" in capsys.readouterr().err and (files / "out.json").read_text() == "mine"
