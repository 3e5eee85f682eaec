"""The shipped fourth-generation potential of salt clusters: labels, checks, conservation of energy."""

import lzma

import ase.io
import numpy as np
import pytest
from places import ROOT

from mdnnp.atoms.read import read_structures
from mdnnp.certify.invariances import check
from mdnnp.dynamics.input import parse_config
from mdnnp.dynamics.run import run
from mdnnp.potentials.load import load_potential
from mdnnp.trajectory import Trajectory

SALT = ROOT / "inputs" / "salt"
DATA = ROOT / "analysis" / "charge_transfer" / "data"


@pytest.fixture(scope="module")
def potential():
    return load_potential(SALT / "potential")


@pytest.mark.parametrize("name", ["Na9Cl8", "Na8Cl8"])
def test_forces_and_the_curve_of_the_moved_atom(potential, name, tmp_path):
    frames = {}
    for part in (name, f"{name}-curve"):
        (tmp_path / f"{part}.xyz").write_bytes(lzma.decompress((DATA / f"{part}.xyz.xz").read_bytes()))
        frames[part] = read_structures(tmp_path / f"{part}.xyz")
    errors = [potential.compute(s.system).forces - s.forces for s in frames[name][::5]]
    assert np.sqrt(np.mean(np.square(errors))) < 0.015  # eV/Å, of 0.5 or so
    curve = frames[f"{name}-curve"]
    moved = [atoms.info["displacement"] for atoms in ase.io.iread(tmp_path / f"{name}-curve.xyz")]
    found = np.array([potential.compute(s.system).energy for s in curve])
    labels = np.array([s.energy for s in curve])
    least = [np.roots(np.polyder(np.polyfit(moved, own, 4))) for own in (found, labels)]
    a, b = (float(min(roots[np.isreal(roots)].real, key=abs)) for roots in least)
    assert abs(a - b) < 0.01  # Å; without charges the two clusters have the same minimum, 0.03 Å apart in truth


def test_charges_move_with_an_atom_far_away(potential):
    """What a potential that sees 5.3 Å cannot: charges at one end of the cluster when the other end changes."""
    (s,) = read_structures(SALT / "cluster.xyz")
    here = potential.compute(s.system).charges
    assert here.sum() == pytest.approx(1.0, abs=1e-10)
    distances = np.linalg.norm(s.system.positions - s.system.positions[0], axis=1)
    far = int(distances.argmax())
    assert distances[far] > 5.3
    moved = s.system.positions.copy()
    moved[far] *= 1.05
    there = potential.compute(s.system._replace(positions=moved)).charges
    assert abs(there[0] - here[0]) > 1e-5


def test_check(potential):
    (s,) = read_structures(SALT / "cluster.xyz")
    report = check(potential, s.system, max_atoms=400)
    assert report.passed, report.text()


def test_the_shipped_run_conserves_energy(tmp_path):
    text = (SALT / "cluster.toml").read_text()
    for old, new in (
        ('"cluster.xyz"', f'"{SALT / "cluster.xyz"}"'), ('"potential"', f'"{SALT / "potential"}"'),
        ("steps = 5000", "steps = 400"), ("equilibration_steps = 1000", "equilibration_steps = 0"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "run.toml").write_text(text)
    run(parse_config(text, tmp_path / "run.toml"))
    with Trajectory(tmp_path / "run.h5") as t:
        thermo = t.thermo
    shadow = thermo["shadow_energy"][np.isfinite(thermo["shadow_energy"])]
    assert len(shadow) > 20 and np.ptp(shadow) < 1e-5 * np.ptp(thermo["kinetic_energy"])
