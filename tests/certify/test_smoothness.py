"""The smoothness certificate: its verdict on potentials whose smoothness is known, its order fit, its refusals."""

import json
import math

import ase
import ase.io
import numpy as np
import pytest
from places import GOLDEN
from systems import argon

from mdnnp.atoms.structure import Structure
from mdnnp.certify.order import Dynamics, climb, equilibrated, fit_order
from mdnnp.certify.smoothness import certify
from mdnnp.command.cli import main
from mdnnp.potentials.hdnnp.files import write_potential
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.load import load_potential

LENNARD_JONES = """\
kind = "lennard-jones"
cutoff_A = 7.5
inner_cutoff_A = 6.5
smoothing = "poly3"
[elements.Ar]
epsilon_eV = 0.0103408
sigma_A = 3.4
"""


def hot_argon():
    """32 atoms with room, so that they cross any cutoff."""
    system = argon(2, 0.1)
    system = system._replace(positions=system.positions * 1.05, cell=system.cell * 1.05)
    return Structure(system, np.full(len(system), 39.948))


def repulsive(cutoff_type, activation):
    """Two hidden nodes about one radial function; the second turns in the middle of what the atoms see."""
    function = SymmetryFunction("Ar", 2, ("Ar",), 6.0, eta=0.1)
    scaling = np.array([[0.0, 30.0, 4.0, 1.0]])

    def model(turn):
        weights, biases = (np.array([[1.0, 1.0]]), np.array([[0.2], [0.4]])), (np.array([0.0, -turn]), np.zeros(1))
        part = ElementModel((function,), scaling, Network(weights, biases, f"{activation}l"))
        return HDNNPModel({"Ar": part}, cutoff_type, 0.0, "none", "Angstrom", "eV")

    return model(float(HDNNP(model(0.0)).descriptors(hot_argon().system).mean()))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lj.toml").write_text(LENNARD_JONES)
    system = hot_argon().system
    atoms = ase.Atoms(numbers=system.numbers, positions=system.positions, cell=system.cell, pbc=True)
    ase.io.write(tmp_path / "argon.xyz", atoms)
    return tmp_path


def ask(*more, potential="lj.toml"):
    return main(["smooth", potential, "argon.xyz", "--temperature-K", "120", "--threads", "1", "--steps", "150", *more])


def test_a_smooth_potential(folder, capsys):
    assert ask("--json", "-o", "figure.png") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["smooth"] and not said["faults"]
    assert said["construction"]["order"] == said["limited_by"]["order"] == 3
    dynamics = said["dynamics"]
    assert abs(dynamics["order"] - 2) < 0.1 and dynamics["order_error"] < 0.05
    assert dynamics["shadow_order"] > 4
    steps = [run["timestep_fs"] for run in dynamics["runs"]]
    assert steps == [20.0, 10.0, 5.0, 2.5]
    assert said["safe_timestep_fs"] == 20.0
    assert dynamics["fastest_period_fs"] > 10 * 20
    assert all(row["passed"] is not False for row in said["scan"])
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(("smoothing", "what"), [("truncated", "energy"), ("shifted", "force")])
def test_lennard_jones_that_ends_abruptly(folder, capsys, smoothing, what):
    (folder / "lj.toml").write_text(LENNARD_JONES.replace("poly3", smoothing))
    assert ask("--timestep-fs", "10") == 3
    said = capsys.readouterr().out
    assert f"Not smooth\n  by construction the forces jump: pair energy {smoothing} at the cutoff is" in said
    assert f"{what}" in said.split("Not smooth")[1].split("jump")[1]
    assert "what to change: choose smoothing" in said
    assert "safe time step: none" in said


def test_activation_with_a_kink(folder, capsys):
    """Only construction and dynamics can see it: nothing jumps at the cutoff."""
    write_potential(repulsive(6, "r"), "kinked")
    assert ask("--json", potential="kinked") == 3
    said = json.loads(capsys.readouterr().out)
    assert said["limited_by"]["what"] == "activation ReLU" and "softplus" in said["limited_by"]["remedy"]
    assert all(row["passed"] is not False for row in said["scan"])
    assert said["dynamics"]["order"] < 1.9 and said["dynamics"]["shadow_share"] > 0.5
    assert len(said["faults"]) == 3


@pytest.mark.parametrize(("cutoff_type", "order"), [(1, 1), (6, 2), (7, 3)])
def test_network_with_smooth_parts(folder, capsys, cutoff_type, order):
    write_potential(repulsive(cutoff_type, "p"), "network")
    assert ask(potential="network") == 0
    said = capsys.readouterr().out
    assert f"\nSmooth: C^{order}, energy error of order 2.0" in said or "order 1.9" in said
    assert f"  symmetry functions of Ar: 1 C^{order} (" in said
    assert ("for less noise choose cutoff_type 6" in said) == (order == 1)


def test_hard_cutoff(folder, capsys):
    write_potential(repulsive(0, "p"), "hard")
    assert ask("--timestep-fs", "10", potential="hard") == 3
    said = capsys.readouterr().out
    assert "cutoff function hard at its radius is discontinuous" in said
    assert "the energy jumps as an atom crosses a cutoff (Ar-Ar)" in said


def test_shadow_energy_tells_classes_that_the_total_energy_does_not():
    rms = {}
    for cutoff_type in (1, 6, 7):
        certificate = certify(HDNNP(repulsive(cutoff_type, "p")), hot_argon(), temperature_K=120.0, timestep_fs=16.0)
        rms[cutoff_type] = certificate.ladder.rungs[-1]
    assert rms[1].rms_eV == pytest.approx(rms[7].rms_eV, rel=0.3)
    assert rms[1].shadow_rms_eV > 30 * rms[6].shadow_rms_eV > 60 * rms[7].shadow_rms_eV


def test_every_function_has_its_class():
    certificate_of = load_potential(GOLDEN / "big1", "Angstrom", "eV")

    found = certificate_of.function_ingredients()
    model = certificate_of.model
    assert {symbol: len(functions) for symbol, functions in found.items()} == {
        symbol: len(element.functions) for symbol, element in model.elements.items()
    }
    roughest = min(cause.order for functions in found.values() for cause in functions)
    assert roughest == certificate_of.ingredients()[0].order


def test_lennard_jones_classes():
    expected = {"truncated": -1, "shifted": 0, "cos": 1, "poly1": 1, "poly2": 2, "poly3": 3, "poly4": 4, "exp": 1}
    for smoothing, order in expected.items():
        assert LennardJones({"Ar": (0.01, 3.4)}, 8.0, smoothing).ingredients()[0].order == order
    assert LennardJones({"Ar": (0.01, 3.4)}, 8.0, "exp", 0.0).ingredients()[0].order == math.inf


def test_runs_of_a_ladder_share_start_and_time():
    structure = hot_argon()
    dynamics = Dynamics(LennardJones({"Ar": (0.0103408, 3.4)}, 7.5, "poly3", 6.5), structure.system)
    start = equilibrated(dynamics.compute, structure.system, structure.masses, 120.0, 5.0, 100)
    called = []
    ladder = climb(dynamics, start, 8.0, 80, advance=lambda: called.append(1))
    assert len(called) == 80 * (1 + 2 + 4 + 8)
    for rung in ladder.rungs:
        assert rung.time_fs[0] == 4 * 8.0 and rung.time_fs[-1] == 640 - 4 * 8.0
        assert rung.rms_eV == np.std(rung.energy_eV)
        assert np.all(np.diff(rung.time_fs) > 0)
    # At the same instant of every run the energy differs by the error of the integrator, one function times dt^2.
    common = ladder.rungs[0].time_fs[np.isin(ladder.rungs[0].time_fs, ladder.rungs[1].time_fs)]
    at = [rung.energy_eV[np.isin(rung.time_fs, common)] for rung in ladder.rungs[:2]]
    assert len(common) > 25
    assert np.corrcoef(*at)[0, 1] > 0.95
    assert np.std(at[0]) / np.std(at[1]) == pytest.approx(4, rel=0.1)
    assert ladder.order.value == pytest.approx(2, abs=0.03)


def test_fit_of_the_order():
    h = np.array([8.0, 4.0, 2.0, 1.0])
    exact = fit_order(h, 3e-5 * h**2)
    assert exact.value == pytest.approx(2, abs=1e-12) and exact.error < 1e-12
    noisy = fit_order(h, 3e-5 * h**2 * np.array([1.1, 0.9, 1.1, 0.9]))
    # y = log2 of the factors: slope and error by the textbook formulas
    y, x = np.log2(np.array([1.1, 0.9, 1.1, 0.9])), np.array([1.5, 0.5, -0.5, -1.5])
    slope = np.sum(x * y) / 5
    assert noisy.value == pytest.approx(2 + slope, abs=1e-12)
    residuals = y - y.mean() - slope * x
    assert noisy.error == pytest.approx(math.sqrt(np.sum(residuals**2) / 2 / 5), rel=1e-12)
    assert math.isnan(fit_order(h, np.array([1e-3, 1e-9, 1e-15, 1e-15]), floor=1e-14).value)


@pytest.mark.parametrize(("arguments", "message"), [
    (("--timestep-fs", "-1"), "the time step must lie between"),
    (("--timestep-fs", "nan"), "the time step must lie between"),
    (("--steps", "10"), "at least 50 steps"),
    (("--temperature-K", "0"), "the temperature must lie above 0"),
])  # fmt: skip
def test_bad_numbers_are_refused(folder, capsys, arguments, message):
    assert ask(*arguments) == 2
    assert message in capsys.readouterr().err


def test_refusals_before_any_work(folder, capsys):
    (folder / "figure.png").write_text("precious")
    assert ask("-o", "figure.png") == 4
    assert (folder / "figure.png").read_text() == "precious"
    ase.io.write(folder / "neon.xyz", ase.Atoms("Ne2", [[0, 0, 0], [3, 0, 0]]))
    assert main(["smooth", "lj.toml", "neon.xyz"]) == 2
    ase.io.write(folder / "one.xyz", ase.Atoms("Ar"))
    assert main(["smooth", "lj.toml", "one.xyz"]) == 2
    said = capsys.readouterr().err
    assert "is Ne, but the potential is for" in said and "a single atom has no dynamics" in said


def test_dynamics_that_explodes(folder, capsys):
    assert ask("--timestep-fs", "100", "--temperature-K", "100000") == 3
    assert "try a shorter time step" in capsys.readouterr().err
