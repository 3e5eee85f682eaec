"""Inputs that are broken in a thousand ways get a clear error or work; never an internal one, and never a hang."""

import contextlib
import hashlib
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from fuzz_inputs import mutated_checkpoint, mutated_toml
from small_inputs import FIT as FIT_INPUT
from small_inputs import RUN as RUN_INPUT

from mdnnp.base.checkpoint import load_checkpoint, save_checkpoint
from mdnnp.base.errors import FileError, InputError, MdnnpError
from mdnnp.command.init import starting_files
from mdnnp.dynamics.input import parse_config, read_config, resolved_text, restart_settings
from mdnnp.dynamics.run import run
from mdnnp.training.input import parse_train_config, read_train_config
from mdnnp.training.train import train

RUN = starting_files("argon")["argon.toml"]
SHORT_RUN = "\n".join(row for row in RUN.split("\n") if row and not row.startswith("#"))
FULL_RUN = """\
[structure]
file = "a.xyz"
length_unit = "Bohr"
replicate = [2, 2, 2]
pbc = [true, true, false]
masses = {H = 2.014, O = 18.0}
[potential]
path = "p"
energy_unit = "Hartree"
[dynamics]
steps = 5
timestep_fs = 0.5
ensemble = "npt-rescale"
temperature_K = 300
pressure_GPa = 0.1
compressibility_per_GPa = 0.5
seed = 3
[output]
file = "x.h5"
frame_interval = 2
[limits]
max_extrapolations = 3
[committee]
collect_above_eV_A = 0.1
"""
FIT = """\
[data]
train = ["a.xyz", "b.xyz"]
test_fraction = 0.1
offsets_eV = {Si = -107.1}
weights = {Surface = {energy = 2.0, force = 1.0}}
exclude = ["a.xyz:3"]
[descriptors]
cutoff_A = 5.0
radial = 3
[network]
hidden = [20, 20]
[fit]
epochs = 10
energy_tolerance_meV = 0.3
seed = 2
[output]
report = "r.html"
"""
SECONDS = 5.0  # each takes milliseconds


def read(text: str, parse) -> None:
    """As the commands do; raises what is no plain error."""
    begun = time.perf_counter()
    with contextlib.suppress(MdnnpError), warnings.catch_warnings():
        warnings.simplefilter("error")
        config = parse(text)
        _ = config.output, config.checkpoint_path
        if parse is parse_config:
            _ = config.output_paths, config.total_steps, resolved_text(config), restart_settings(config)
        else:
            _ = config.potential_path, config.report_path, config.descriptors_path, config.epochs_path
    assert time.perf_counter() - begun < SECONDS


@pytest.mark.parametrize("n", [80, pytest.param(7000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("text", "parse"), [(SHORT_RUN, parse_config), (FULL_RUN, parse_config), (FIT, parse_train_config)]
)
def test_mutated_inputs(text, parse, n):
    parse(text)
    for seed in range(n):
        mutant = mutated_toml(text, np.random.default_rng([n, seed]))
        try:
            read(mutant, parse)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}\n{mutant[:3000]}") from error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a.b]", r"unknown section \[a\] at run.toml:\d+"),
        ("[" + "a." * 30 + "b]", "more than 20 tables"),
        ("[x]\nx = " + "[" * 5000 + "]" * 5000, "more than 20 brackets"),
        ("[x]\nx = " + "9" * 5000, "Exceeds the limit"),
        ("[x]\nx = 0x" + "f" * 400, "more than 300 digits"),
        (
            '[output]\nfile = "~nosuchuser/x"',
            r"output.file = .* at run.toml:\d+: ~nosuchuser is not the home of a user",
        ),
        (
            '[structure]\nlength_unit = "nvt-rescale"',
            r"at run.toml:\d+: must be a unit of length: Angstrom, Bohr or nm",
        ),
        ("# x\n" + "\n".join(f"x{k} = 1" for k in range(3000)), "more than 2000 statements"),
        ("[limits]\nmax_temperature_K = 1979-05-27", "max_temperature_K = 1979-05-27 at .* must be a number"),
    ],
)
def test_what_once_was_an_internal_error(text, message):
    with pytest.raises(InputError, match=message):
        parse_config(text, "run.toml")


@pytest.mark.parametrize("text", ["x = [\n" * 2000, 'x = """\n' * 2000, "x = [\n" + "1,\n" * 100_000, "[" * 100_000])
def test_statements_that_do_not_end_take_no_time(text):
    begun = time.perf_counter()
    with pytest.raises(InputError):
        parse_config(text)
    assert time.perf_counter() - begun < SECONDS


def test_a_long_list_over_many_lines_is_read(tmp_path):
    atoms = ",\n".join(map(str, range(50_000)))
    config = parse_config(SHORT_RUN.replace("[dynamics]", f"[dynamics]\nfixed = [\n{atoms},\n]"), tmp_path / "run.toml")
    assert config.dynamics.fixed == tuple(range(50_000))


def test_messages_stay_short():
    with pytest.raises(InputError) as error:
        parse_config(SHORT_RUN.replace("steps = 4000", "steps = [" + "1, " * 100_000 + "]"))
    assert len(str(error.value)) < 2000


def test_input_that_is_no_file(tmp_path):
    with pytest.raises(FileError, match="is not a regular file"):
        read_config("/dev/zero")
    (tmp_path / "large.toml").write_bytes(b"#" * 11_000_000)
    with pytest.raises(InputError, match="11 MB are too large"):
        read_config(tmp_path / "large.toml")
    assert Path("/dev/zero").exists()


# Checkpoints: whole, but with another content


def resumed(verb: str) -> None:
    """Resume in this directory; raises what is no plain error."""
    if verb == "run":
        run(read_config("run.toml"), resume=True)
    else:
        train(read_train_config("fit.toml"), resume=True)


@pytest.mark.parametrize("n", [40, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", ["run", "train"])
def test_mutated_checkpoints(folder, verb, n, capsys):
    name = {"run": "run", "train": "fit"}[verb]
    text = RUN_INPUT.replace("steps = 4", 'steps = 12\nensemble = "nvt-nose-hoover"')
    Path("run.toml").write_text(text + "thermo_interval = 2\nframe_interval = 3\n")
    begin = run if verb == "run" else train
    begin(read_config("run.toml") if verb == "run" else read_train_config("fit.toml"))
    if verb == "run":
        Path("run.toml").write_text(Path("run.toml").read_text().replace("steps = 12", "steps = 14"))
    else:
        Path("fit.toml").write_text(FIT_INPUT.replace("epochs = 2", "epochs = 3"))
    kept = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    meta, arrays = load_checkpoint(f"{name}.checkpoint")
    for seed in range(n):
        for path in Path().iterdir():
            if path.is_file() and path not in kept:
                path.unlink()
        for path, data in kept.items():
            path.write_bytes(data)
        Path(f"{name}.checkpoint.previous").unlink(missing_ok=True)
        rng = np.random.default_rng([n, seed])
        Path(f"{name}.checkpoint").unlink()
        save_checkpoint(f"{name}.checkpoint", *mutated_checkpoint(meta, arrays, rng))
        with contextlib.suppress(MdnnpError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 1e300 overflows, which is no fault
            try:
                resumed(verb)
            except MdnnpError:
                raise
            except Exception as error:
                raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def test_checkpoints_are_never_unpickled(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "run.checkpoint"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(FileError, match="no usable checkpoint"):
        load_checkpoint(path)
    for dtype in ("|O", "O", "<U3", "|V8", "<m8[s]", "garbage"):
        header = {"meta": {}, "arrays": [{"name": "a", "dtype": dtype, "shape": [1]}]}
        body = json.dumps(header).encode()
        body = b"mdnnp checkpoint 1\n" + len(body).to_bytes(8, "little") + body + pickle.dumps(Trap())
        path.write_bytes(body + hashlib.sha256(body).digest())
        with pytest.raises(FileError, match="its header is not that of a checkpoint"):
            load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()
