"""The command that proposes functions for structures."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from labelled import make_labelled

from mdnnp.command.cli import main
from mdnnp.potentials.hdnnp.files.writer import function_line
from mdnnp.potentials.hdnnp.functions.generate import default_functions


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "train.xyz"
    frames = []
    for s in make_labelled(6):
        atoms = Atoms(numbers=s.system.numbers, positions=s.system.positions, cell=s.system.cell, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=s.energy_eV, forces=s.forces)
        frames.append(atoms)
    write(path, frames, format="extxyz")
    return str(path)


def test_text_is_ready_for_input_nn(data, capsys):
    assert main(["descriptors", data, "--cutoff", "4.0", "-n", "6", "--max-zeta", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("#", "symfunction_short ")) for line in lines if line)
    functions = [line.split() for line in lines if line.startswith("symfunction_short")]
    assert sum(words[1] == "O" for words in functions) == sum(words[1] == "Mg" for words in functions) == 6
    comments = "\n".join(line for line in lines if line.startswith("#"))
    assert "O: 6 functions" in comments and "sets of moments" in comments and "sum of squares" in comments


def test_json(data, capsys):
    assert main(["descriptors", data, "--cutoff", "4.0", "-n", "4", "--max-zeta", "2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [len(own) for own in answer["functions"].values()] == [4, 4]
    assert answer["cost"]["Mg"]["functions"] == 4 and 0 < answer["unexplained"] < 1
    assert answer["report"]["elements"]["O"]["environments"] == 24
    assert np.isfinite(answer["report"]["by_pool"][0]["pool_distance"])


def test_grid_is_the_default_set(data, capsys):
    assert main(["descriptors", data, "--cutoff", "4.0", "--max-zeta", "2", "--method", "grid", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    expected = default_functions(["O", "Mg"], 4.0, max_zeta=2)
    assert answer["functions"] == {s: [function_line(f) for f in own] for s, own in expected.items()}
    assert answer["unexplained"] is None


def test_bad_settings(data, capsys):
    assert main(["descriptors", data, "--cutoff", "-1"]) == 2
    assert "cutoff_A must be a positive number" in capsys.readouterr().err
    assert main(["descriptors", data, "--cutoff", "4", "-n", "100000"]) == 2
    assert "cannot be chosen from" in capsys.readouterr().err
