"""The command line from outside: output, exit status, and errors on stderr without a traceback."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from places import GOLDEN, ROOT
from reference_data import REAL

from mdnnp import __version__
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.write import write_structures
from mdnnp.base.inputs.commented import reference
from mdnnp.command.cli import main
from mdnnp.command.init import starting_files
from mdnnp.dynamics.input import SECTIONS, parse_config
from mdnnp.potentials.hdnnp.files import read_potential
from mdnnp.training.fit_data import read_sets
from mdnnp.training.input import SECTIONS as TRAIN_SECTIONS
from mdnnp.training.input import FitConfig, NetworkConfig, read_train_config
from mdnnp.trajectory import Trajectory

ARGON = ROOT / "inputs" / "argon-lj.toml"
WATER = ("--length-unit", "Bohr", "--energy-unit", "Hartree")


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def argon_xyz(in_tmp):
    atoms = Atoms("Ar4", positions=[[0, 0, 0], [0, 2.9, 2.9], [2.9, 0, 2.9], [2.9, 2.9, 0]], cell=[5.8] * 3, pbc=True)
    atoms.rattle(0.1, seed=1)
    ase.io.write("argon.xyz", atoms)
    return in_tmp / "argon.xyz"


def fails(capfd, status: int, *argv: str) -> str:
    """Run, expect this exit status, nothing but `error:` (and warnings) on stderr; returns stderr."""
    assert main([str(a) for a in argv]) == status
    stderr = capfd.readouterr().err
    assert "error: " in stderr
    assert "Traceback" not in stderr
    assert all(line.startswith(("error: ", "note: ", "warning: ", "usage: ", " ")) for line in stderr.splitlines())
    return stderr


def test_installed_command_and_module():
    for command in ([str(Path(sys.executable).with_name("mdnnp"))], [sys.executable, "-m", "mdnnp"]):
        out = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert out.stdout.strip() == f"mdnnp {__version__}"


@pytest.mark.parametrize("verb", ["run", "predict", "evaluate", "convert", "init", "info", "analyze", "check"])
def test_help_of_every_verb_has_what_it_does_and_an_example(verb, capsys):
    with pytest.raises(SystemExit) as exit:
        main([verb, "--help"])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert "mdnnp " + verb in out
    if verb != "init":
        assert "example" in out
    if verb in ("predict", "evaluate", "convert", "info", "check"):
        assert "--length-unit" in out
        assert "--energy-unit" in out


def test_help_is_what_one_gets_without_arguments(capsys):
    with pytest.raises(SystemExit):
        main([])
    out = capsys.readouterr().out
    assert "mdnnp init argon" in out
    assert all(len(line) <= 110 for line in out.splitlines())


def test_help_is_quick():
    """Neither numba nor ase is imported for it."""
    code = "import sys, mdnnp.command.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'numba', 'ase', 'matplotlib', 'h5py', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(("argv", "expected"), [
    (["fly"], "invalid choice: 'fly'"),
    (["run"], "INPUT.toml"),
    (["run", "x.toml", "--fast"], "--fast"),
    (["run", "x.toml", "--threads", "0"], "'0' is not a whole number of at least 1"),
    (["run", "x.toml", "--threads", "two"], "'two' is not a whole number of at least 1"),
])  # fmt: skip
def test_wrong_arguments(argv, expected, capfd):
    assert expected in fails(capfd, 2, *argv)


@pytest.mark.parametrize("typo", ["--over", "--index=0 --form=n2p2", "--length=Bohr"])
def test_options_are_not_abbreviated(in_tmp, argon_xyz, typo, capfd):
    """A typo such as --over must not come to mean --overwrite."""
    (in_tmp / "out.xyz").write_text("mine")
    assert "unrecognized arguments: --" in fails(capfd, 2, "convert", str(argon_xyz), "out.xyz", *typo.split())
    assert (in_tmp / "out.xyz").read_text() == "mine"


def test_internal_errors_are_told_apart_and_debugged(monkeypatch, capfd):
    import mdnnp.command.cli

    monkeypatch.setattr(mdnnp.command.cli, "parser", lambda: 1 / 0)
    assert main(["x"]) == 1
    assert "error: internal error, ZeroDivisionError" in capfd.readouterr().err
    monkeypatch.setenv("MDNNP_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["x"])


def test_interrupt_before_the_run(monkeypatch, capfd):
    import mdnnp.command.cli

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(mdnnp.command.cli, "parser", interrupted)
    assert main(["x"]) == 130


def test_broken_pipe(water):
    command = f"{sys.executable} -m mdnnp info {water} {' '.join(WATER)} | head -1"
    out = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert out.stderr == ""
    assert len(out.stdout.splitlines()) == 1


def test_a_run_goes_on_when_nobody_reads(short_argon):
    command = f"{sys.executable} -m mdnnp run argon.toml | head -3"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=True)
    assert done.stderr == "warning: the program that reads the output has ended; the run goes on\n"
    with Trajectory("argon.h5") as trajectory:
        assert trajectory.thermo["step"][-1] == 80


def test_output_that_cannot_be_written_is_refused_first(argon_xyz, capfd):
    assert main(["predict", str(ARGON), str(argon_xyz), "-o", "nowhere/out.xyz"]) == 4
    out, err = capfd.readouterr()
    assert out == "" and "nowhere/out.xyz: cannot be written: its directory does not exist" in err


# init


def test_init_argon_is_what_inputs_has(in_tmp, capsys):
    assert main(["init", "argon"]) == 0
    assert "Next:    mdnnp run argon.toml" in capsys.readouterr().out
    for name in starting_files("argon"):
        assert (in_tmp / name).read_bytes() == (ROOT / "inputs" / name).read_bytes()


def test_init_overwrites_nothing(in_tmp, capfd):
    (in_tmp / "argon.xyz").write_text("mine")
    assert "argon.xyz exists already" in fails(capfd, 4, "init", "argon")
    assert [p.name for p in in_tmp.iterdir()] == ["argon.xyz"]
    assert (in_tmp / "argon.xyz").read_text() == "mine"


def test_init_text_names_every_key_and_can_be_read(in_tmp):
    main(["init"])
    text = (in_tmp / "run.toml").read_text()
    parse_config(text)
    uncommented = text.replace("\n# ", "\n")
    for record in SECTIONS.values():
        for name in record.__dataclass_fields__:
            assert f"\n{name} = " in uncommented


def test_init_train_names_every_key_and_can_be_read_with_data(in_tmp, capsys):
    assert main(["init", "train"]) == 0
    text = Path("train.toml").read_text(encoding="utf-8")
    uncommented = text.replace("\n# ", "\n")
    for section, record in TRAIN_SECTIONS.items():
        assert f"\n[{section}]\n" in text
        for name in record.__dataclass_fields__:
            assert f"\n{name} = " in uncommented
    structures = []
    for distance in (3.5, 3.8, 4.1):
        atoms = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, distance]])
        atoms.calc = SinglePointCalculator(atoms, energy=-0.01, forces=np.zeros((2, 3)))
        structures.append(atoms)
    ase.io.write("train.xyz", structures)
    config = read_train_config("train.toml")
    assert config.data.train == (in_tmp / "train.xyz",) and config.descriptors.cutoff_A == 5.2
    assert config.fit == FitConfig() and config.network == NetworkConfig()
    sets, _ = read_sets(config)
    assert sum(map(len, sets)) == 3
    assert main(["init", "train"]) == 4
    capsys.readouterr()
    assert main(["init", "train", "--reference"]) == 0
    assert capsys.readouterr().out.strip() == reference(TRAIN_SECTIONS).strip()


def test_init_in_another_directory(in_tmp, capsys):
    assert main(["init", "argon", "-o", "new/place"]) == 0
    assert (in_tmp / "new/place/argon.toml").exists()


def test_init_prints_the_reference_of_every_key(capsys):
    assert main(["init", "--reference"]) == 0
    assert capsys.readouterr().out.strip() == reference(SECTIONS).strip()
    for section, record in SECTIONS.items():
        assert f"## [{section}]" in reference(SECTIONS)
        for name in record.__dataclass_fields__:
            assert f"| `{name}`" in reference(SECTIONS)


# run


@pytest.fixture
def short_argon(in_tmp):
    main(["init", "argon"])
    text = Path("argon.toml").read_text()
    for old, new in (("[6, 6, 6]", "[3, 3, 3]"), ("= 4000", "= 60"), ("= 2000", "= 20"), ("= 5.0", "= 4.0")):
        assert old in text
        text = text.replace(old, new)
    Path("argon.toml").write_text(text)
    return in_tmp


def test_run_then_analyze(short_argon, capfd):
    assert main(["run", "argon.toml", "--threads", "1"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "mdnnp analyze argon.h5" in out
    assert main(["analyze", "argon.h5", "--no-figures"]) == 0
    assert "total energy" in capfd.readouterr().out
    assert sorted(p.name for p in short_argon.iterdir()) == [
        "argon-lj.toml", "argon.checkpoint", "argon.checkpoint.previous", "argon.h5", "argon.toml", "argon.xyz",
    ]  # fmt: skip


def test_run_as_shipped_input_is_valid():
    parse_config((ROOT / "inputs" / "argon.toml").read_text(), ROOT / "inputs" / "argon.toml")


def test_progress_bar_with_remaining_time_on_a_terminal(short_argon):
    """stderr is a pseudo-terminal, stdout is not: the bar goes to the one, the lines to the other."""
    import pty

    text = Path("argon.toml").read_text().replace("steps = 60\n", "steps = 1000000\n", 1)
    Path("argon.toml").write_text(text)
    terminal, stderr = pty.openpty()
    command = [sys.executable, "-m", "mdnnp", "run", "argon.toml"]
    process = subprocess.Popen(command, stderr=stderr, stdout=subprocess.PIPE, text=True)
    os.close(stderr)
    seen = ""
    while "us/atom/step]" not in seen:
        seen += os.read(terminal, 1000).decode()  # fails if the run ends before
    assert re.search(r"\d+%\|.*\| \d+/1000020 \[\S+<\S+, .*step/s, \S+ ns/day, \S+ us/atom/step\]", seen)
    process.terminate()
    out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 143
    assert "E_total" in out
    assert "us/atom/step]" not in out


def test_all_mistakes_of_an_input_on_stderr(short_argon, capfd):
    text = Path("argon.toml").read_text().replace("steps = 60\n", "stesp = 1.5\n", 1)
    Path("argon.toml").write_text(text.replace("timestep_fs = 4.0", "timestep_fs = nan"))
    capfd.readouterr()
    stderr = fails(capfd, 2, "run", "argon.toml")
    line = text.split("\n").index("stesp = 1.5") + 1
    assert f"error: unknown key 'stesp' at argon.toml:{line}; did you mean 'steps'?" in stderr
    assert "must be a whole number" in stderr
    assert "must be a finite number" in stderr
    assert not Path("argon.h5").exists()


@pytest.mark.parametrize(("content", "status", "expected"), [
    (None, 4, "argon.toml does not exist"),
    ("directory", 4, "argon.toml is a directory"),
    (b"", 2, "argon.toml is empty"),
    (b"[structure]\nfile = '\xff'", 2, "argon.toml:2: not UTF-8"),
    (b"\x89HDF\r\n", 2, "argon.toml:1: not UTF-8"),
])  # fmt: skip
def test_input_that_is_none(in_tmp, capfd, content, status, expected):
    if content == "directory":
        Path("argon.toml").mkdir()
    elif content is not None:
        Path("argon.toml").write_bytes(content)
    assert expected in fails(capfd, status, "run", "argon.toml")


def test_exploding_run_has_its_own_exit_status(short_argon, capfd):
    text = Path("argon.toml").read_text().replace("timestep_fs = 4.0", "timestep_fs = 100")
    Path("argon.toml").write_text(text)
    stderr = fails(capfd, 3, "run", "argon.toml")
    assert "moves" in stderr
    assert "note: saved: argon.h5 up to step" in stderr


def test_warnings_are_lines(short_argon, capfd):
    xyz = Path("argon.xyz").read_text().replace("5.7964", "5.4").replace("2.8982", "2.7")
    Path("argon.xyz").write_text(xyz)  # denser, so that the atoms vibrate faster
    text = Path("argon.toml").read_text().replace("temperature_K = 94.4", "temperature_K = 1")
    text = text.replace("timestep_fs = 4.0", "timestep_fs = 90").replace("steps = 60\n", "steps = 2\n", 1)
    Path("argon.toml").write_text(text.replace("equilibration_steps = 20", "equilibration_steps = 0"))
    assert main(["run", "argon.toml"]) == 0
    err = capfd.readouterr().err
    assert err.startswith("warning: dynamics.timestep_fs = 90 is long")
    assert len(err.splitlines()) == 1


# info


def test_info_of_lennard_jones(capsys):
    assert main(["info", str(ARGON)]) == 0
    out = capsys.readouterr().out
    assert "Lennard-Jones" in out
    assert "epsilon 0.0103408 eV, sigma 3.4 Å" in out


def test_info_lists_every_function_in_order(water, capsys):
    assert main(["info", str(water), *WATER]) == 0
    out = capsys.readouterr().out
    model = read_potential(water, "Bohr", "Hartree")
    assert "Bohr, Hartree" in out
    assert "27-25-25-1" in out
    assert "the energy is C^2, limited by the cutoff function tanhu" in out
    for symbol, element in model.elements.items():
        table = out.split(f"Symmetry functions of {symbol},")[1].split("\n")[2 : 2 + len(element.functions)]
        for k, (row, f, scaling) in enumerate(zip(table, element.functions, element.scaling, strict=True)):
            cells = row.split()
            assert cells[:2] == [str(k + 1), str(f.type)]
            assert f"{f.eta:g}" in cells
            assert f"{scaling[0]:.6g}" in cells


@pytest.mark.parametrize("name", ["all1", "all4", "b_t21", "act_tr", "act_et", "norm", "center"])
def test_info_of_every_kind_of_function(name, capsys):
    assert main(["info", str(GOLDEN / name), *WATER]) == 0
    out = capsys.readouterr().out
    assert "Smoothness" in out
    if name == "act_tr":
        assert "the energy is C^0, limited by the activation ReLU" in out


def test_units_are_never_guessed(water, capfd, argon_xyz):
    for argv in (
        ["info", water],
        ["predict", water, argon_xyz],
        ["check", water, argon_xyz],
        ["convert", water, "new"],
    ):
        assert "--length-unit" in fails(capfd, 2, *argv)
    assert "unknown length unit 'furlong'" in fails(
        capfd, 2, "info", water, "--length-unit", "furlong", "--energy-unit", "eV"
    )


def test_missing_potential(capfd, in_tmp):
    fails(capfd, 4, "info", in_tmp / "nothing")


# predict


def test_predict_table_and_file(argon_xyz, capsys):
    from mdnnp.couplings.ase import HDNNPCalculator

    assert main(["predict", str(ARGON), "argon.xyz", "-o", "out.xyz"]) == 0
    out = capsys.readouterr().out
    atoms, predicted = ase.io.read("argon.xyz"), ase.io.read("out.xyz")
    atoms.calc = HDNNPCalculator(str(ARGON))
    assert predicted.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-14)
    np.testing.assert_allclose(predicted.get_forces(), atoms.get_forces(), atol=1e-15)
    np.testing.assert_allclose(predicted.get_stress(), atoms.get_stress(), atol=1e-15)
    np.testing.assert_allclose(predicted.get_potential_energies().sum(), atoms.get_potential_energy(), rtol=1e-14)
    row = out.splitlines()[1].split()
    assert row[:2] == ["argon.xyz:0", "4"]
    assert float(row[2]) == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    assert float(row[4]) == pytest.approx(np.linalg.norm(atoms.get_forces(), axis=1).max(), abs=1e-6)
    pressure = -np.trace(atoms.get_stress(voigt=False)) / 3 * 160.21766208
    assert float(row[5]) == pytest.approx(pressure, abs=1e-5)


def test_predict_shows_errors_against_reference_values(argon_xyz, capsys):
    main(["predict", str(ARGON), "argon.xyz", "-o", "out.xyz"])
    assert "Errors" not in capsys.readouterr().out
    frames = [ase.io.read("out.xyz") for _ in range(2)]
    for atoms, shift in zip(frames, (0.4, -0.8), strict=True):
        atoms.calc.results["energy"] += shift
        atoms.calc.results["forces"] = atoms.calc.results["forces"] + 0.1
    ase.io.write("labelled.extxyz", frames)
    assert main(["predict", str(ARGON), "labelled.extxyz"]) == 0
    errors = capsys.readouterr().out.split("Errors against")[1].splitlines()
    assert "rms 158.1, mean absolute 150, largest 200 meV/atom (2 values)" in errors[1]
    assert "rms 100, mean absolute 100, largest 100 meV/Å (24 values)" in errors[2]


NORMALIZED = [GOLDEN / "norm", *(path for name, (path, *_) in REAL.items() if name.startswith("H2O"))]


@pytest.mark.parametrize("directory", NORMALIZED, ids=lambda directory: directory.name)
def test_predict_reproduces_n2p2(directory, capsys):
    assert main(["predict", str(directory), str(directory / "input.data"), *WATER]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    total = float((directory / "energy.out").read_text().split("\n")[-2].split()[3]) * 27.211386245988
    assert float(row[2]) == pytest.approx(total, abs=1e-7)


def test_energy_far_from_the_training_set_is_warned_of(water, in_tmp, capfd):
    """The energies of the network multiplied by a large number, as wrong weights would."""
    from dataclasses import replace

    from mdnnp.potentials.hdnnp.files import write_potential

    model = read_potential(water, "Bohr", "Hartree")
    network = model.elements["O"].network
    wild = replace(network, biases=(*network.biases[:-1], network.biases[-1] + 100))
    elements = model.elements | {"O": replace(model.elements["O"], network=wild)}
    write_potential(replace(model, elements=elements), "wild")
    units = ["--length-unit", "Bohr", "--energy-unit", "Hartree"]
    assert main(["predict", "wild", str(water / "input.data"), *units]) == 0
    assert "from the mean of the training set, 33 times its standard deviation" in capfd.readouterr().err
    assert main(["predict", str(water), str(water / "input.data"), *units]) == 0
    assert capfd.readouterr().err == ""


def test_evaluate(argon_xyz, capsys):
    """The same files with errors of a known size; table, JSON and report."""
    main(["predict", str(ARGON), "argon.xyz", "-o", "out.xyz"])
    atoms = ase.io.read("out.xyz")
    atoms.calc.results["energy"] -= 0.4
    atoms.calc.results["forces"][2, 1] += 0.3
    atoms.info["config_type"] = "fcc"
    ase.io.write("labelled.xyz", [ase.io.read("out.xyz"), atoms])
    capsys.readouterr()
    assert main(["evaluate", str(ARGON), "labelled.xyz", "-o", "report.html"]) == 0
    out = capsys.readouterr().out
    assert "labelled.xyz:1 (fcc), atom 2 (Ar)" in out
    assert "fcc                      100" in next(line for line in out.splitlines() if line.startswith("fcc"))
    assert "<h1>" in (argon_xyz.parent / "report.html").read_text()
    assert main(["evaluate", str(ARGON), "labelled.xyz", "labelled.xyz", "--json", "--by", "file"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["energy"]["by_kind"]["labelled.xyz"]["n"] == 4
    assert data["force"]["overall"]["maximum"] == pytest.approx(300, abs=1e-4)  # ASE writes eight decimals
    assert data["force"]["overall"]["rmse"] == pytest.approx(300 / 24**0.5, abs=1e-4)


def test_data_and_potential_in_different_units(in_tmp, capfd):
    """A potential in Å and eV on data in Bohr and Hartree, and the other way round, gives the same errors."""
    golden, native = GOLDEN / "b_t2", ("--length-unit", "Angstrom", "--energy-unit", "eV")
    structures = read_structures(golden / "input.data", ":", "Angstrom", "eV")
    structures = [dataclasses.replace(s, energy=(s.energy or 0.0) + 1.0) for s in structures]
    write_structures("native.data", structures, length_unit="Angstrom", energy_unit="eV")
    write_structures("bohr.data", structures, length_unit="Bohr", energy_unit="Hartree")
    found = []
    for more in ((), ("--data-length-unit", "Bohr", "--data-energy-unit", "Hartree")):
        data = "bohr.data" if more else "native.data"
        assert main(["evaluate", str(golden), data, *native, *more, "--json"]) == 0
        found.append(json.loads(capfd.readouterr().out)["energy"]["overall"]["rmse"])
        assert main(["predict", str(golden), data, *native, *more]) == 0
        found.append(float(capfd.readouterr().out.splitlines()[1].split()[2]))
    assert found[:2] == pytest.approx(found[2:], rel=1e-9)
    assert main(["check", str(golden), "bohr.data", *native, *more, "--json"]) == 0
    message = fails(capfd, 2, "evaluate", golden, "bohr.data", *native, "--data-length-unit", "nvt-rescale")
    assert "bohr.data: unknown length unit 'nvt-rescale'" in message


def test_evaluate_refuses_before_any_work(argon_xyz, capfd):
    (argon_xyz.parent / "r.html").write_text("mine")
    assert "r.html exists already" in fails(capfd, 4, "evaluate", ARGON, "nothing.xyz", "-o", "r.html")
    assert "nothing.xyz: no such file" in fails(capfd, 4, "evaluate", ARGON, "nothing.xyz")
    assert "no structure has an energy" in fails(capfd, 2, "evaluate", ARGON, "argon.xyz")


def test_predict_refuses_an_output_that_exists_before_any_work(argon_xyz, capfd):
    Path("out.xyz").write_text("mine")
    assert "out.xyz exists already" in fails(capfd, 4, "predict", ARGON, "argon.xyz", "-o", "out.xyz")
    assert Path("out.xyz").read_text() == "mine"
    assert main(["predict", str(ARGON), "argon.xyz", "-o", "out.xyz", "--overwrite"]) == 0


def test_predict_of_an_unknown_element(in_tmp, capfd):
    ase.io.write("kr.xyz", Atoms("Kr"))
    stderr = fails(capfd, 2, "predict", ARGON, "kr.xyz")
    assert "kr.xyz:0: atom 0 is Kr" in stderr


def test_predict_of_a_cluster_has_no_pressure(in_tmp, capsys):
    ase.io.write("ar2.xyz", Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 3.8]]))
    assert main(["predict", str(ARGON), "ar2.xyz"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[5] == "-"


# convert


def test_convert_potential_keeps_bits_and_states_units(water, in_tmp, capsys):
    assert main(["convert", str(water), "new", *WATER]) == 0
    assert "H O; Bohr, Hartree" in capsys.readouterr().out
    assert main(["info", "new"]) == 0  # no units needed any more
    a, b = read_potential(water, "Bohr", "Hartree"), read_potential("new")
    for symbol, element in a.elements.items():
        assert all(map(np.array_equal, element.network.weights, b.elements[symbol].network.weights))


def test_convert_structures_there_and_back(argon_xyz, capsys):
    main(["predict", str(ARGON), "argon.xyz", "-o", "labelled.xyz"])
    units = ["--length-unit", "Bohr", "--energy-unit", "Hartree"]
    assert main(["convert", "labelled.xyz", "input.data", *units]) == 0
    assert main(["convert", "input.data", "back.xyz", *units]) == 0
    a, b = ase.io.read("labelled.xyz"), ase.io.read("back.xyz")
    np.testing.assert_allclose(a.positions, b.positions, rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(a.get_forces(), b.get_forces(), rtol=1e-14, atol=1e-16)


def test_convert_overwrites_nothing(argon_xyz, water, capfd):
    Path("out.xyz").write_text("mine")
    fails(capfd, 4, "convert", "argon.xyz", "out.xyz")
    assert Path("out.xyz").read_text() == "mine"
    Path("dir").mkdir()
    Path("dir/precious").write_text("mine")
    fails(capfd, 4, "convert", water, "dir", *WATER, "--overwrite")
    assert os.listdir("dir") == ["precious"]


# check


def test_check_of_a_good_potential(argon_xyz, capfd):
    assert main(["check", str(ARGON), "argon.xyz"]) == 0
    out, err = capfd.readouterr()
    assert "FAIL" not in out
    assert "0 failed" in out
    assert "error" not in err


def test_check_fails_for_a_truncated_potential(argon_xyz, capfd):
    Path("bad.toml").write_text(ARGON.read_text().replace("poly3", "truncated"))
    assert main(["check", "bad.toml", "argon.xyz", "--json"]) == 3
    report = json.loads(capfd.readouterr().out)
    assert {row["check"] for row in report["rows"] if row["passed"] is False} == {"cutoff Ar-Ar"}


VERBS = ("predict", "check", "evaluate", "relax", "smooth", "saddle", "phonons", "properties", "bench")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_suspects_the_unit_of_length(in_tmp, capfd, verb):
    """Before it computes: in nm, the neighbours of every atom would fill the memory."""
    atoms = ase.io.read(ROOT / "inputs" / "argon.xyz") * (2, 2, 2)
    atoms.set_cell(0.1 * atoms.cell, scale_atoms=True)
    ase.io.write("nm.xyz", atoms)
    outputs = {"relax": ("-o", "out.xyz"), "saddle": ("-o", "out.xyz"), "phonons": ("-o", "out")}.get(verb, ())
    stderr = fails(capfd, 2, verb, ROOT / "inputs" / "argon-lj.toml", "nm.xyz", *outputs)
    assert "were lengths in nm read as Å?" in stderr


def test_run_train_and_descriptors_suspect_the_unit_of_length(in_tmp, capfd):
    atoms = ase.io.read(ROOT / "inputs" / "silicon" / "silicon.xyz", 0)
    atoms.set_cell(0.1 * atoms.cell, scale_atoms=True)
    ase.io.write("nm.xyz", atoms)
    (in_tmp / "run.toml").write_text(
        f'[structure]\nfile = "nm.xyz"\n[potential]\npath = "{ARGON}"\n[dynamics]\nsteps = 1\ntimestep_fs = 1.0\n'
        "temperature_K = 1.0\n"
    )
    (in_tmp / "train.toml").write_text('[data]\ntrain = ["nm.xyz"]\n[descriptors]\ncutoff_A = 5.0\n')
    for argv in (("run", "run.toml"), ("train", "train.toml"), ("descriptors", "nm.xyz", "--cutoff", "5")):
        assert "were lengths in nm read as Å?" in fails(capfd, 2, *argv)
