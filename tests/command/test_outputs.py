"""What is written never replaces an input, another output, or what was not made here, whatever its name."""

import os
import re
import shutil
from pathlib import Path

import pytest
from small_inputs import FIT, RUN

from mdnnp.base.errors import FileError, InputError
from mdnnp.base.files import check_distinct, new_directory
from mdnnp.command.cli import main


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def spellings(folder: Path, name: str) -> list[str]:
    """Names of one file."""
    Path("symbolic.xyz").symlink_to(name)
    os.link(name, "hard.xyz")
    return [name, f"./{name}", f"../{folder.name}/{name}", str(folder / name), "symbolic.xyz", "hard.xyz"]


def refused(capfd, words: str, *extra: str) -> str:
    assert main([*words.split(), *extra]) == 2
    return capfd.readouterr().err


# Outputs that are inputs


@pytest.mark.parametrize(
    "command",
    [
        "predict lj.toml other.xyz a.xyz -o {} --overwrite",
        "evaluate lj.toml other.xyz a.xyz -o {} --overwrite",
        "convert a.xyz {} --overwrite",
        "smooth lj.toml a.xyz -o {} --overwrite",
        "relax lj.toml a.xyz -o {} --overwrite",
        "relax lj.toml a.xyz -o new.xyz --trajectory {} --overwrite",
        "saddle lj.toml a.xyz -o {} --overwrite",
        "saddle lj.toml other.xyz --to a.xyz -o {} --overwrite",
    ],
)
def test_no_verb_replaces_its_input(folder, capfd, command):
    names = spellings(folder, "a.xyz")
    before = snapshot(folder)
    for name in names:
        assert "would replace an input" in refused(capfd, command.format(name)), name
    assert snapshot(folder) == before


@pytest.mark.parametrize("command", ["predict", "evaluate", "relax", "smooth", "saddle"])
def test_no_verb_replaces_its_potential(folder, capfd, command):
    for potential in ("lj.toml", "potential"):
        if potential == "potential":
            Path("potential").mkdir()
            for name in ("input.nn", "scaling.data", "weights.018.data"):
                Path(f"potential/{name}").write_text("mine")
        target = "lj.toml" if potential == "lj.toml" else "potential/weights.018.data"
        before = snapshot(folder)
        assert "would replace an input" in refused(capfd, f"{command} {potential} a.xyz -o {target} --overwrite")
        assert snapshot(folder) == before


@pytest.mark.parametrize(
    "name", ["optweights.018.out", "weightse.018.data", "hardness.018.data", "terms.toml", "inner.toml", "own.py"]
)
def test_no_file_that_a_potential_is_read_from_is_replaced(folder, capfd, name):
    """Of RuNNer, of charges, and what a sum names: another file, or the module of a potential of one's own."""
    Path("potential").mkdir()
    for own in (
        "input.nn",
        "scaling.data",
        "optweights.018.out",
        "weightse.018.data",
        "hardness.018.data",
        "terms.toml",
    ):
        Path(f"potential/{own}").write_text("mine")
    Path("inner.toml").write_text('kind = "sum"\n[[terms]]\npath = "sum.toml"\n[[terms]]\nkind = "zbl"\n')  # a circle
    Path("own.py").write_text("mine = 1\n")
    terms = '[[terms]]\npath = "potential"\n[[terms]]\npath = "inner.toml"\n'
    Path("sum.toml").write_text(f'kind = "sum"\n{terms}[[terms]]\nkind = "python"\nfactory = "own:make"\n')
    target = name if Path(name).exists() else f"potential/{name}"
    before = snapshot(folder)
    assert "would replace an input" in refused(capfd, f"predict sum.toml a.xyz -o {target} --overwrite")
    assert snapshot(folder) == before


@pytest.mark.parametrize("flags", [[], ["--overwrite"], ["--resume"]])
@pytest.mark.parametrize(
    ("verb", "key", "target"),
    [
        ("run", "file", "a.xyz"), ("run", "file", "run.toml"), ("run", "file", "lj.toml"),
        ("train", "report", "a.xyz"), ("train", "potential", "a.xyz"), ("train", "potential", "."),
        ("train", "report", "fit.toml"), ("train", "report", "fit.epochs.csv"), ("train", "report", "fit.checkpoint"),
        ("train", "report", "fit-potential"),
    ],
)  # fmt: skip
def test_run_and_train_replace_neither_inputs_nor_their_own_outputs(folder, capfd, verb, key, target, flags):
    name = {"run": "run.toml", "train": "fit.toml"}[verb]
    text = Path(name).read_text()
    for spelling in (target, f"./{target}", f"../{folder.name}/{target}", str(folder / target)):
        Path(name).write_text(f'{text}{key} = "{spelling}"\n')
        before = snapshot(folder)
        said = refused(capfd, f"{verb} {name}", *flags)
        assert "would" in said or "two outputs have this name" in said
        assert snapshot(folder) == before


@pytest.mark.parametrize("what", ["structure", "train"])
def test_an_input_with_the_name_of_a_checkpoint_is_kept(folder, capfd, what):
    """The checkpoint before the last, and the table of epochs, are outputs too."""
    name = "run.checkpoint.previous" if what == "structure" else "fit.epochs.csv"
    shutil.copy("a.xyz", name)
    command = {"structure": "run run.toml", "train": "train fit.toml"}[what]
    path = Path(command.split()[1])
    path.write_text(path.read_text().replace("a.xyz", name))
    before = snapshot(folder)
    assert "would replace an input" in refused(capfd, command, "--overwrite")
    assert snapshot(folder) == before


def test_two_outputs_that_are_one_file(folder, capfd):
    Path("link.xyz").symlink_to("out.xyz")
    for other in ("out.xyz", "./out.xyz", str(folder / "out.xyz"), "link.xyz"):
        err = refused(capfd, f"relax lj.toml a.xyz -o out.xyz --trajectory {other} --overwrite")
        assert "two outputs have this name" in err
    assert "two outputs" in refused(capfd, "saddle lj.toml a.xyz -o s.xyz --sides --trajectory s-side-1.xyz")


def test_a_potential_is_not_converted_onto_itself(folder, capfd):
    Path("p").mkdir()
    Path("p/input.nn").write_text("mine")
    before = snapshot(folder)
    for name in ("p", "./p", str(folder / "p"), "p/../p"):
        assert "would replace an input" in refused(capfd, f"convert p {name} --overwrite")
    assert snapshot(folder) == before


def test_a_report_of_properties_keeps_the_structure_that_lies_in_it(folder, capfd):
    Path("out").mkdir()
    shutil.copy("a.xyz", "out/relaxed.xyz")
    before = snapshot(folder)
    assert "would replace an input" in refused(capfd, "properties lj.toml out/relaxed.xyz -o out --overwrite")
    assert snapshot(folder) == before


def test_different_files_are_told_apart(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "b").write_text("")
    check_distinct([tmp_path / "a", None, tmp_path / "new"], [tmp_path / "b", None, tmp_path / "gone"])
    with pytest.raises(InputError, match="would replace an input"):
        check_distinct([tmp_path / "gone"], [tmp_path / "x" / ".." / "gone"])


# What is there and was not made here


@pytest.mark.parametrize("kept", ["notes.txt", "Ar.txt", "sub/index.json", "Si.values/x"])
def test_train_keeps_a_directory_with_the_name_of_its_descriptors(folder, capfd, kept):
    path = Path("fit-descriptors") / kept
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    before = snapshot(folder)
    for flags in ([], ["--overwrite"], ["--resume"]):
        assert main(["train", "fit.toml", *flags]) == 4
        assert (
            "fit-descriptors: descriptors are stored under this name, but it holds other files"
            in capfd.readouterr().err
        )
        assert snapshot(folder) == before


def test_train_makes_use_of_what_an_interrupted_fit_left(folder, capfd):
    Path("fit-descriptors").mkdir()
    Path("fit-descriptors/Ar.values").write_bytes(b"\0" * 100)
    assert main(["train", "fit.toml"]) == 0
    assert not Path("fit-descriptors").exists() and Path("fit-potential/input.nn").exists()


@pytest.mark.parametrize(
    "name", ["fit.html", "fit.epochs.csv", "fit.checkpoint", "fit.checkpoint.previous", "fit-potential/input.nn"]
)
def test_train_replaces_nothing_unasked(folder, capfd, name):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("precious")
    before = snapshot(folder)
    for flags in ([], ["--resume"] if "checkpoint" not in name else []):
        assert main(["train", "fit.toml", *flags]) == 4
        assert snapshot(folder) == before


@pytest.mark.parametrize("name", ["fit.html", "fit.epochs.csv"])
def test_a_resumed_fit_replaces_what_a_fit_wrote(folder, capfd, name):
    assert main(["train", "fit.toml"]) == 0
    Path("fit.toml").write_text(FIT.replace("epochs = 2", "epochs = 3"))
    own = Path(name).read_text()
    Path(name).write_text("precious")
    assert main(["train", "fit.toml", "--resume"]) == 4
    assert Path(name).read_text() == "precious"
    Path(name).write_text(own)
    assert main(["train", "fit.toml", "--resume"]) == 0
    assert Path(name).read_text() != own


def test_files_among_the_members_of_a_committee_are_kept(folder, capfd):
    Path("fit.toml").write_text(FIT.replace("[output]", "members = 2\n[output]"))
    for kept in ("member-1/notes.txt", "member-notes", "member-1/sub/input.nn"):
        shutil.rmtree("fit-potential", ignore_errors=True)
        path = Path("fit-potential") / kept
        path.parent.mkdir(parents=True)
        path.write_text("precious")
        assert main(["train", "fit.toml", "--overwrite"]) == 4
        assert "would delete other files" in capfd.readouterr().err
        assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["run.h5", "run.checkpoint", "run.checkpoint.previous", "run.checkpoint.lock"])
def test_run_replaces_nothing_unasked(folder, capfd, name):
    Path(name).write_text("precious")
    before = snapshot(folder)
    assert main(["run", "run.toml"]) == 4
    assert snapshot(folder) == before


@pytest.mark.parametrize("name", ["run.checkpoint.lock", "run.checkpoint.new", "run.h5.new"])
def test_files_with_the_names_of_temporary_ones_survive(folder, capfd, name):
    Path(name).write_text("precious")
    main(["run", "run.toml", "--overwrite"])
    assert Path(name).read_text() == "precious"


def test_a_directory_that_is_filled_meanwhile_is_kept(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    with (
        pytest.raises(FileError, match="would delete other files"),
        new_directory(path, True, lambda n: n == "own") as d,
    ):
        (d / "own").write_text("new")
        (path / "precious").write_text("mine")
    assert (path / "precious").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_analysis_keeps_files_of_others(folder, capfd):
    assert main(["run", "run.toml"]) == 0
    Path("run_analysis").mkdir()
    Path("run_analysis/energies.png").write_text("precious")
    assert main(["analyze", "run.h5"]) == 4
    assert Path("run_analysis/energies.png").read_text() == "precious"


# Which run a file is of


OTHER = {
    "seed": ("temperature_K = 20", "temperature_K = 20\nseed = 7"),
    "temperature": ("temperature_K = 20", "temperature_K = 30"),
    "ensemble": ("temperature_K = 20", 'temperature_K = 20\nensemble = "nvt-rescale"'),
    "nothing": ("temperature_K = 20", "temperature_K = 20"),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_trajectory_of_another_run_is_not_continued(folder, capfd, what):
    assert main(["run", "run.toml"]) == 0
    shutil.copytree(folder, folder / "second")
    other = folder / "second" / "run.toml"
    other.write_text(RUN.replace(*OTHER[what]))
    assert main(["run", str(other), "--overwrite"]) == 0
    shutil.copy("second/run.h5", "run.h5")
    Path("run.toml").write_text(RUN.replace("steps = 4", "steps = 8"))
    before = snapshot(folder)
    capfd.readouterr()
    assert main(["run", "run.toml", "--resume"]) == 4
    assert re.search(r"run\.h5: this trajectory and the checkpoint are from different runs", capfd.readouterr().err)
    assert snapshot(folder) == before


def test_the_collection_of_another_run_is_kept(tmp_path):
    """A name that is changed for a resumption must not lead to somebody's data."""
    from mdnnp.dynamics.collector import Collector
    from mdnnp.dynamics.input import parse_config

    text = RUN.replace("[output]", '[committee]\ncollect_above_eV_A = 0.1\ncollect_file = "{}"\n')
    first, second = (parse_config(text.format(name), tmp_path / "run.toml") for name in ("one.xyz", "two.xyz"))
    saved = Collector(first).saved()
    for name, config in (("one.xyz", first), ("two.xyz", second)):
        (tmp_path / name).write_text("4\nLattice=... energy=1\nAr 0 0 0\n")
        with pytest.raises(FileError, match="was not written by this run"):
            Collector(config).restore(saved)
        assert (tmp_path / name).read_text().startswith("4\n")


# Where a value stands


@pytest.mark.parametrize(
    ("verb", "old", "new", "message"),
    [
        ("run", 'file = "a.xyz"', 'file = "gone.xyz"', r"structure.file at .*run\.toml:2: .*gone\.xyz does not exist"),
        ("run", 'path = "lj.toml"', 'path = "gone"', r"potential.path at .*run\.toml:4: .*gone does not exist"),
        ("run", "steps = 4", "fixed = [4]\nsteps = 4", r"dynamics.fixed at .*run\.toml:6: names atom 4"),
        ("run", "steps = 4", 'velocities = "file"\nsteps = 4', r"dynamics.velocities at .*run\.toml:6: "),
        ("run", "[potential]", "replicate = [900, 900, 900]\n[potential]", r"structure.replicate at .*run\.toml:3: "),
        ("run", "[potential]", "masses = {H = 2}\n[potential]", r"structure.masses at .*run\.toml:3: has a mass of H"),
        ("run", "[output]", "[committee]\ncollect_above_eV_A = 1", r"collect_above_eV_A at .*run\.toml:10: needs"),
        ("train", '"a.xyz"', '"gone.xyz"', r"data.train at .*fit\.toml:2: .*gone\.xyz does not exist"),
        ("train", "max_zeta = 1", "max_zeta = 1\nselect = 1000000", r"descriptors.select = 1000000 at fit\.toml:8: "),
    ],
)
def test_errors_on_values_name_the_line(folder, capfd, verb, old, new, message):
    path, text = (Path("run.toml"), RUN) if verb == "run" else (Path("fit.toml"), FIT)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert main([verb, str(path)]) in (2, 4)
    assert re.search(message, capfd.readouterr().err)
