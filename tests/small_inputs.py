"""Small inputs of a run and of a fit, and a folder that has them with their data."""

from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

POTENTIAL = """\
kind = "lennard-jones"
cutoff_A = 6.5
smoothing = "poly3"
[elements.Ar]
epsilon_eV = 0.0103408
sigma_A = 3.4
"""
RUN = """\
[structure]
file = "a.xyz"
[potential]
path = "lj.toml"
[dynamics]
steps = 4
timestep_fs = 2.0
temperature_K = 20
[output]
"""
FIT = """\
[data]
train = ["a.xyz"]
[descriptors]
cutoff_A = 4.5
radial = 2
angular = 1
max_zeta = 1
[network]
hidden = [2]
[fit]
epochs = 2
[output]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = []
    for k in range(6):
        atoms = Atoms(
            "Ar4", positions=[[0, 0, 0], [0, 2.9, 2.9], [2.9, 0, 2.9], [2.9, 2.9, 0]], cell=[5.8] * 3, pbc=True
        )
        atoms.rattle(0.1, seed=k)
        atoms.calc = SinglePointCalculator(atoms, energy=-0.1 - 0.01 * k, forces=0.01 * (atoms.positions - 1.4))
        images.append(atoms)
    ase.io.write("a.xyz", images)
    Path("lj.toml").write_text(POTENTIAL)
    Path("run.toml").write_text(RUN)
    Path("fit.toml").write_text(FIT)
    Path("other.xyz").write_text(Path("a.xyz").read_text())
    return tmp_path
