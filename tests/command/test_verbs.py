"""Verbs from Python: requests that are checked, outcomes with text, numbers and exit status."""

import dataclasses
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from places import ROOT

from mdnnp.base.errors import FileError, InputError
from mdnnp.base.report.plain import to_json
from mdnnp.command import check, info, phonons, predict, relax, run
from mdnnp.command.arguments import VERBS, parser
from mdnnp.command.cli import main


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_one_shape(name):
    verb = import_module(f"mdnnp.command.{name}")
    assert dataclasses.is_dataclass(verb.Request) and verb.Request.__dataclass_params__.frozen
    fields = {field.name for field in dataclasses.fields(verb.Request)}
    actions = parser()._subparsers._group_actions[0].choices[name]._actions
    assert {action.dest for action in actions} - {"help", "json"} == fields
    assert callable(verb.perform) and verb.HELP and verb.EPILOG


def test_the_examples_of_the_documentation(folder):
    text = (ROOT / "docs" / "guide" / "python.md").read_text("utf-8").split("## Verbs")[1]
    found = {}
    exec(text.split("```python")[1].split("```")[0], found)
    energies = [row["energy_eV"] for row in found["found"].as_dict()["structures"]]
    assert energies[-1] < min(energies[:-1]) and found["outcome"].result.converged


def test_relax_from_python(folder):
    rows = []
    outcome = relax.perform(relax.Request("lj.toml", "a.xyz", output="out.xyz", threads=1), rows.append)
    assert outcome.result.converged and outcome.exit_code == 0 and Path("out.xyz") in outcome.files
    assert outcome.result.point.max_force <= 0.01
    assert "max F" in rows[0] and "Converged" in outcome.text()
    assert json.loads(to_json(outcome.as_dict()))["converged"] is True
    with pytest.raises(FileError, match="exists already"):
        relax.perform(relax.Request("lj.toml", "a.xyz", output="out.xyz"))
    stopped = relax.perform(
        relax.Request("lj.toml", "a.xyz", output="two.xyz", force_tolerance=1e-9, most_evaluations=1)
    )
    assert stopped.exit_code == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"force_tolerance": -1.0}, "--force-tolerance must be positive"),
        ({"pressure_GPa": 1.0}, "needs --cell"),
        ({"method": "newton"}, "--method must be one of lbfgs"),
    ],
)
def test_requests_are_checked(wrong, message):
    with pytest.raises(InputError, match=message):
        relax.Request("lj.toml", "a.xyz", output="out.xyz", **wrong)


def test_predict_from_python(folder):
    found = predict.perform(predict.Request("lj.toml", ["a.xyz", "a.xyz"], threads=1))
    rows = found.as_dict()["structures"]
    assert len(rows) == 12 and rows[0]["energy_eV"] == rows[6]["energy_eV"]
    assert "Errors against the reference" in found.text()


def test_what_was_not_known_is_null_in_json(folder, capsys):
    Path("pair.xyz").write_text("2\n\nAr 0 0 0\nAr 3.8 0 0\n")
    assert main(["predict", "lj.toml", "pair.xyz", "--json", "--threads", "1"]) == 0
    numbers = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert numbers["errors"] is None and numbers["structures"][0]["pressure_GPa"] is None
    assert main(["info", "lj.toml", "--json"]) == 0
    elements = json.loads(capsys.readouterr().out)["elements"]
    assert elements == list(info.perform(info.Request("lj.toml")).potential.elements)


def test_with_json_only_the_outcome_is_on_stdout(folder, capsys):
    assert main(["run", "run.toml", "--json", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["step"] == 4 and "threads" in err
    assert run.perform(run.Request("run.toml", overwrite=True, threads=1)).step == 4
    assert check.perform(check.Request("lj.toml", "a.xyz", threads=1)).as_dict()["rows"]


def test_a_refusal_imports_nothing_heavy(folder):
    """An output that exists is refused before potentials are opened."""
    Path("out").mkdir()
    Path("out.xyz").write_text("mine")
    lines = (
        "relax lj.toml a.xyz -o out.xyz", "saddle lj.toml a.xyz -o out.xyz", "predict lj.toml a.xyz -o out.xyz",
        "evaluate lj.toml a.xyz -o out.xyz", "smooth lj.toml a.xyz -o out.xyz", "phonons lj.toml a.xyz -o out",
        "properties lj.toml a.xyz -o out",
    )  # fmt: skip
    code = (
        "import sys\nfrom mdnnp.command.cli import main\n"
        f"for line in {lines}:\n    assert main(line.split()) == 4, line\n"
        "assert not {'numba', 'ase', 'matplotlib', 'h5py', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_phonons_as_json(folder, capsys):
    outcome = phonons.perform(phonons.Request("lj.toml", "a.xyz", output="modes", threads=1))
    numbers = json.loads(to_json(outcome.as_dict()))
    assert len(numbers["frequencies_THz"]) == len(outcome.result.modes.frequencies_THz)
    assert "mode" in outcome.text() and Path("modes/modes.csv").exists()
