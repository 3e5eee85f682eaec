"""The input file: what it must accept, and a refusal, with its line, for every mistake."""

import dataclasses
from pathlib import Path

import pytest

from mdnnp.base.errors import FileError, InputError
from mdnnp.base.inputs.records import MAX_MISTAKES_SHOWN, default_of, is_required, toml_value
from mdnnp.base.inputs.toml import parse_toml
from mdnnp.dynamics.input import KEYS_OF_ENSEMBLES, SECTIONS, parse_config, read_config, resolved_text, restart_settings

GOOD = """\
[structure]
file = "water.xyz"

[potential]
path = "potential"

[dynamics]
steps = 1000
timestep_fs = 0.5
temperature_K = 300
"""


def changed(line: str, new: str) -> str:
    """GOOD with one line replaced (or removed)."""
    assert line in GOOD
    return GOOD.replace(line + "\n", new + "\n" if new else "")


def mistakes(text: str) -> list[str]:
    with pytest.raises(InputError) as refused:
        parse_config(text, "run.toml")
    return str(refused.value).split("\n")


# What must work


def test_minimal_input_and_defaults():
    config = parse_config(GOOD, "/somewhere/run.toml")
    assert config.structure.file == Path("/somewhere/water.xyz")
    assert config.potential.path == Path("/somewhere/potential")
    assert (config.dynamics.steps, config.dynamics.timestep_fs, config.dynamics.temperature_K) == (
        1000,
        0.5,
        300.0,
    )
    assert isinstance(config.dynamics.temperature_K, float)
    assert config.structure.replicate == (1, 1, 1)
    assert config.structure.pbc is None
    assert config.dynamics.velocities == "maxwell-boltzmann"
    assert config.trajectory_path == Path("/somewhere/run.h5")
    assert config.checkpoint_path == Path("/somewhere/run.checkpoint")
    assert config.text == GOOD


def test_every_key_can_be_given():
    text = """\
structure = {file = "/a/s.data", index = 2, length_unit = "Bohr", energy_unit = "Hartree"}
[structure.masses]
H = 2.014
O = 18
[potential]
path = "../p"
length_unit = "Bohr"
energy_unit = "Hartree"
precision = "mixed"
[dynamics]
steps = 0
timestep_fs = 1
velocities = 'zero'
temperature_K = 0
seed = 9_007_199_254_740_993
exact_temperature = false
remove_momentum = false
equilibration_steps = 5
skin_A = 0
ensemble = "nve"
fixed = [3, 0]
[output]
file = "~/x.h5"
frame_interval = 7
thermo_interval = 3
checkpoint_interval = 0x10
log_interval = 1
velocities = false
forces = false
heat_current = true
[limits]
max_extrapolations = 0
max_temperature_K = 1e4
max_displacement_A = 2
max_force_disagreement_eV_A = 0.3
[committee]
collect_above_eV_A = 0.1
collect_file = "new.xyz"
collect_interval = 4
collect_most = 5
"""
    config = parse_config(text, "/b/run.toml")
    assert config.structure.masses == {"H": 2.014, "O": 18.0}
    assert config.dynamics.seed == 9_007_199_254_740_993
    assert config.output.file == Path.home() / "x.h5"
    assert config.output.checkpoint_interval == 16
    assert config.total_steps == 5
    names = ("x.h5", "x.checkpoint", "x.checkpoint.previous")
    assert config.output_paths == (*(Path.home() / name for name in names), Path("/b/new.xyz"))
    given = parse_toml(text, "x").values
    assert config.dynamics.fixed == (3, 0)
    optional = {("structure", "replicate"), ("structure", "pbc"), ("structure", "masses")}
    optional |= {("dynamics", name) for names in KEYS_OF_ENSEMBLES.values() for name in names}  # see below
    for section, record in SECTIONS.items():
        for f in dataclasses.fields(record):
            assert (section, f.name) in given or (section, f.name) in optional, "the text above misses a key"


ENSEMBLE_VALUES = {
    "temperature_end_K": 600.0,
    "friction_per_ps": 2.5,
    "thermostat_time_fs": 50.0,
    "pressure_GPa": -0.5,
    "pressure_end_GPa": 12.0,
    "barostat_time_fs": 500.0,
    "cell": "flexible",
    "compressibility_per_GPa": 0.01,
    "fixed": (2, 0, 1),
}


def with_ensemble(ensemble: str, **values) -> str:
    more = "".join(f"{name} = {toml_value(value)}\n" for name, value in values.items())
    return GOOD + f'ensemble = "{ensemble}"\n' + more


@pytest.mark.parametrize("ensemble", KEYS_OF_ENSEMBLES)
def test_every_key_of_an_ensemble_can_be_given_and_reads_back(ensemble):
    values = {name: ENSEMBLE_VALUES[name] for name in KEYS_OF_ENSEMBLES[ensemble]}
    config = parse_config(with_ensemble(ensemble, **values))
    assert config.dynamics.ensemble == ensemble
    assert {name: getattr(config.dynamics, name) for name in values} == values
    assert parse_config(resolved_text(config), config.source).dynamics == config.dynamics


@pytest.mark.parametrize("ensemble", KEYS_OF_ENSEMBLES)
def test_keys_of_another_ensemble_are_refused_with_their_line(ensemble):
    for name in ENSEMBLE_VALUES.keys() - set(KEYS_OF_ENSEMBLES[ensemble]):
        values = {k: ENSEMBLE_VALUES[k] for k in KEYS_OF_ENSEMBLES[ensemble]}
        text = with_ensemble(ensemble, **{name: ENSEMBLE_VALUES[name]}, **values)
        line = text.split("\n").index(f"{name} = {toml_value(ENSEMBLE_VALUES[name])}") + 1
        (found,) = mistakes(text)
        assert f"at run.toml:{line}: has no effect with ensemble = " in found


@pytest.mark.parametrize(("text", "expected"), [
    (with_ensemble("npt-mtk"), "missing key 'pressure_GPa' in [dynamics] at run.toml:7: ensemble = \"npt-mtk\" needs it"),  # noqa: E501
    (with_ensemble("npt-rescale", pressure_GPa=0), "missing key 'compressibility_per_GPa' in [dynamics]"),
    (with_ensemble("nvt-langevin", temperature_end_K=0.0), "run.toml:12: a thermostat needs a temperature above 0"),
    (with_ensemble("nvt-langevin").replace("_K = 300", "_K = 0"), "run.toml:10: a thermostat needs a temperature above 0"),  # noqa: E501
    (with_ensemble("nvt-rescale", remove_momentum=False), "run.toml:12: ensemble = \"nvt-rescale\" needs the total"),
    (with_ensemble("nvt-nose-hoover", thermostat_time_fs=4.9), "must be at least 10 time steps, 5 fs"),
    (with_ensemble("npt-rescale", pressure_GPa=0, compressibility_per_GPa=1, barostat_time_fs=1), "at least 10 time"),
    (with_ensemble("nvt-langevin", friction_per_ps=0), "must be larger than 0, and is in 1/ps"),
    (with_ensemble("npt-mtk", pressure_GPa=1e6), "1 bar is 0.0001"),
    (with_ensemble("npt-mtk", pressure_GPa=1, cell="cubic"), 'must be one of "isotropic", "anisotropic", "flexible"'),
    (with_ensemble("nvt-rescale", fixed=[1, 1]), "must be indices of atoms, counted from 0, each only once"),
    (with_ensemble("nvt-rescale", fixed=[1.5]), "must be a whole number"),
    (with_ensemble("nvt-rescale", fixed=3), "needs a list of whole numbers"),
    (with_ensemble("npt"), 'did you mean "npt-mtk"?'),
])  # fmt: skip
def test_ensembles_that_make_no_sense(text, expected):
    (found,) = mistakes(text)
    assert expected in found


def test_an_unknown_ensemble_is_one_mistake():
    assert len(mistakes(with_ensemble("npt-mtq", pressure_GPa=1.0))) == 1


def test_a_thermostat_needs_a_temperature():
    (found,) = mistakes(with_ensemble("nvt-langevin", velocities="file").replace("temperature_K = 300\n", ""))
    assert 'ensemble = "nvt-langevin" needs it' in found


def test_a_run_with_a_ramp_cannot_be_prolonged():
    plain, ramp = (parse_config(with_ensemble("nvt-langevin", **v)) for v in ({}, {"temperature_end_K": 500}))
    assert "dynamics.steps" not in restart_settings(plain)
    assert restart_settings(ramp)["dynamics.steps"] == 1000


def test_structure_lists():
    text = changed(
        'file = "water.xyz"',
        'file = "w.xyz"\nreplicate = [2,\n  1, # along b\n 3]\npbc = [true, false, true]',
    )
    config = parse_config(text)
    assert config.structure.replicate == (2, 1, 3)
    assert config.structure.pbc == (True, False, True)


def test_resolved_text_reads_back_the_same():
    config = parse_config(
        changed("seed", "").replace("steps = 1000", "steps = 7\nseed = 3") if "seed" in GOOD else GOOD
    )
    again = parse_config(resolved_text(config), config.source)
    assert dataclasses.replace(again, text="") == dataclasses.replace(config, text="")


@pytest.mark.parametrize("encode", [
    lambda t: b"\xef\xbb\xbf" + t.encode(),
    lambda t: t.replace("\n", "\r\n").encode(),
    lambda t: b"\xef\xbb\xbf" + t.replace("\n", "\r\n").encode(),
    lambda t: t.rstrip("\n").encode(),
])  # fmt: skip
def test_byte_order_mark_and_line_ends(tmp_path, encode):
    path = tmp_path / "run.toml"
    path.write_bytes(encode(GOOD))
    assert read_config(path).dynamics.steps == 1000


def test_lines_are_right_after_crlf_and_multiline_strings(tmp_path):
    path = tmp_path / "run.toml"
    text = '[structure]\r\nfile = """a\\\r\n  b"""\r\n[potential]\r\npath="p"\r\n[dynamics]\r\nstesp=1\r\n'
    path.write_bytes(text.encode() + b"timestep_fs=1\r\ntemperature_K=1\r\n")
    with pytest.raises(InputError, match=r"unknown key 'stesp' at .*run.toml:7; did you mean 'steps'\?$"):
        read_config(path)


# What must be refused

VALUES = [
    ("steps = 1000", "steps = 1.5", "whole number"),
    ("steps = 1000", "steps = 1e3", "whole number"),
    ("steps = 1000", "steps = true", "whole number"),
    ("steps = 1000", 'steps = "1000"', "without quotes"),
    ("steps = 1000", "steps = -1", "negative"),
    ("steps = 1000", "steps = 1000000000000000000000", "1e12"),
    ("timestep_fs = 0.5", "timestep_fs = 0", "from 1e-6 to 100 fs"),
    ("timestep_fs = 0.5", "timestep_fs = -0.5", "from 1e-6 to 100 fs"),
    ("timestep_fs = 0.5", "timestep_fs = nan", "finite"),
    ("timestep_fs = 0.5", "timestep_fs = inf", "finite"),
    ("timestep_fs = 0.5", "timestep_fs = 500", "from 1e-6 to 100 fs"),
    ("timestep_fs = 0.5", "timestep_fs = 5e-16", "from 1e-6 to 100 fs"),
    ("timestep_fs = 0.5", "timestep_fs = true", "must be a number"),
    ("timestep_fs = 0.5", "timestep_fs = [0.5]", "must be a number"),
    ("temperature_K = 300", "temperature_K = -1", "between 0 and"),
    ("temperature_K = 300", "temperature_K = 1e9", "between 0 and"),
    ("temperature_K = 300", 'temperature_K = "300 K"', "without quotes"),
    ("temperature_K = 300", "temperature_K = 300\nseed = -1", "0 to 2^63 - 1"),
    ("temperature_K = 300", "temperature_K = 300\nseed = 1.0", "whole number"),
    ("temperature_K = 300", "temperature_K = 300\nseed = 9223372036854775808", "0 to 2^63 - 1"),
    ("temperature_K = 300", 'temperature_K = 300\nvelocities = "gauss"', '"file", "zero"'),
    ("temperature_K = 300", 'temperature_K = 300\nvelocities = "maxwell"', 'you mean "maxwell-boltzmann"?'),
    ("temperature_K = 300", "temperature_K = 300\nvelocities = true", "must be one of"),
    ("temperature_K = 300", "temperature_K = 300\nexact_temperature = 1", "true or false"),
    ("temperature_K = 300", 'temperature_K = 300\nexact_temperature = "true"', "true or false, without quotes"),
    ("temperature_K = 300", "temperature_K = 300\nequilibration_steps = -5", "negative"),
    ("temperature_K = 300", "temperature_K = 300\nskin_A = -0.1", "between 0 and 10"),
    ('file = "water.xyz"', "file = 3", "text in quotes"),
    ('file = "water.xyz"', 'file = ""', "not empty"),
    ('file = "water.xyz"', 'file = "a"\nreplicate = [1, 2]', "list of 3 whole numbers"),
    ('file = "water.xyz"', 'file = "a"\nreplicate = 2', "list of 3 whole numbers"),
    ('file = "water.xyz"', 'file = "a"\nreplicate = [1, 2, 0]', "at least 1"),
    ('file = "water.xyz"', 'file = "a"\nreplicate = [1, 2, 1.5]', "whole number"),
    ('file = "water.xyz"', 'file = "a"\npbc = [true, true, 1]', "true or false"),
    ('file = "water.xyz"', 'file = "a"\npbc = true', "list of 3 values true or false"),
    ('file = "water.xyz"', 'file = "a"\nmasses = {Hx = 1}', "element symbols"),
    ('file = "water.xyz"', 'file = "a"\nmasses = {H = 0}', "element symbols with masses"),
    ('file = "water.xyz"', 'file = "a"\nmasses = {H = nan}', "finite"),
    ('file = "water.xyz"', 'file = "a"\nmasses = [1, 2]', "needs a table"),
    ('file = "water.xyz"', 'file = "a"\nindex = 1.0', "whole number"),
    ("temperature_K = 300", "temperature_K = 300\n[output]\nframe_interval = 0", "at least 1"),
    ("temperature_K = 300", "temperature_K = 300\n[output]\nthermo_interval = -1", "at least 1"),
    ("temperature_K = 300", "temperature_K = 300\n[output]\ncheckpoint_interval = 0", "at least 1"),
    ("temperature_K = 300", "temperature_K = 300\n[output]\nlog_interval = 0", "at least 1"),
    ("temperature_K = 300", "temperature_K = 300\n[limits]\nmax_extrapolations = -1", "negative"),
    ("temperature_K = 300", "temperature_K = 300\n[limits]\nmax_temperature_K = 0", "larger than 0"),
    ("temperature_K = 300", "temperature_K = 300\n[limits]\nmax_displacement_A = 0", "larger than 0"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "new", "expected"), VALUES)
def test_wrong_value(line, new, expected):
    text = changed(line, new)
    (message,) = mistakes(text)
    at = text.split("\n").index(new.split("\n")[-1]) + 1
    assert f" at run.toml:{at}: " in message
    assert expected in message
    name, _, _ = new.split("\n")[-1].partition(" = ")
    assert f".{name} = " in message, "the message names the key"


@pytest.mark.parametrize(("new", "hint"), [
    ("stesp = 1000", "unknown key 'stesp' at run.toml:8; did you mean 'steps'?"),
    ("timestep = 2\nsteps = 1", "unknown key 'timestep' at run.toml:8; did you mean 'timestep_fs'?"),
    ("steps = 1\nTemperature_k = 2", "unknown key 'Temperature_k' at run.toml:9; did you mean 'temperature_K'?"),
    ("steps = 1\nforces = true", "unknown key 'forces' at run.toml:9; it belongs to [output]"),
    ("steps = 1\nxyzzy = 1", "unknown key 'xyzzy' at run.toml:9; the keys of [dynamics] are steps, timestep_fs,"),
    ("steps = 1\nseed.x = 1", "dynamics.seed = {x = 1} at run.toml:9: must be a whole number"),
    ("steps = 1\n[dinamics]", "unknown section [dinamics] at run.toml:9; did you mean [dynamics]?"),
    ("steps = 1\n[thermostat]\ntau = 3\n[dynamics]", "unknown section [thermostat] at run.toml:9; the sections are"),
])  # fmt: skip
def test_unknown_names(new, hint):
    assert any(m.startswith(hint) for m in mistakes(changed("steps = 1000", new)))


def test_misspelt_key_is_not_called_missing_too():
    assert len(mistakes(changed("steps = 1000", "stesp = 1000"))) == 1


def test_key_outside_its_section():
    (message,) = mistakes("seed = 4\n" + GOOD)
    assert message == "key 'seed' at run.toml:1 is outside its section; write it under [dynamics]"


@pytest.mark.parametrize("line", ['file = "water.xyz"', 'path = "potential"', "steps = 1000", "timestep_fs = 0.5"])
def test_missing_key(line):
    (message,) = mistakes(changed(line, ""))
    assert message.startswith(f"missing key '{line.split()[0]}' in [")


def test_missing_section():
    text = GOOD.replace('[potential]\npath = "potential"\n', "")
    (message,) = mistakes(text)
    assert message == "missing key 'path': run.toml has no section [potential]; add it with: path = \"potential\""


@pytest.mark.parametrize(("more", "reason"), [
    ("", 'velocities = "maxwell-boltzmann" (the default)'),
    ('velocities = "zero"\nequilibration_steps = 100', "equilibration_steps = 100"),
])  # fmt: skip
def test_missing_temperature(more, reason):
    (message,) = mistakes(changed("temperature_K = 300", more))
    assert message.startswith("missing key 'temperature_K' in [dynamics] at run.toml:7")
    assert reason in message


def test_temperature_is_not_needed_without_use():
    text = changed("temperature_K = 300", 'velocities = "file"')
    assert parse_config(text).dynamics.temperature_K is None


@pytest.mark.parametrize("text", [
    GOOD + "steps = 5\n",
    GOOD + "[dynamics]\n",
    GOOD.replace("[structure]", "dynamics.steps = 4\n[structure]"),
])  # fmt: skip
def test_duplicates(text):
    found = mistakes(text)
    assert any(m.startswith("duplicate key 'dynamics") and "first given at line" in m for m in found)


@pytest.mark.parametrize(("new", "expected"), [
    ("steps =", "run.toml:8: "),
    ("steps = ten", 'text needs "quotes"'),
    ("steps 1000", "run.toml:8: "),
    ("steps = [1", "run.toml:8: "),
    ("[dynamics", "run.toml:8: "),
    ("[[dynamics]]\nsteps = 1", "array of tables"),
])  # fmt: skip
def test_syntax(new, expected):
    found = mistakes(changed("steps = 1000", new))
    assert any(expected in m for m in found)


def test_all_mistakes_are_reported_at_once_in_order():
    found = mistakes("""\
[structure]
file = water.xyz
replicate = [0, 1, 1]
[potential]
pahth = "p"
[dynamics]
steps = -5
steps = 6
timestep_fs = nan
sed = 1.5
[output]
frame_intervall = 0
[limit]
""")
    places = [int(m.split("run.toml:")[1].split(":")[0].split(";")[0].split()[0]) for m in found if "missing" not in m]
    assert set(places) == {2, 3, 5, 7, 8, 9, 10, 12, 13}
    assert places == sorted(places)
    assert any("missing key 'temperature_K'" in m for m in found)


def test_a_foreign_file_does_not_flood_the_screen():
    found = mistakes("H 0.0 0.0 0.0\n" * 500)
    assert len(found) == MAX_MISTAKES_SHOWN + 1
    assert found[-1].startswith("... and ")


def test_not_utf8(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(GOOD.encode() + b"# caf\xe9\n")
    with pytest.raises(InputError, match=r"run.toml:11: not UTF-8 text \(byte 0xe9\)"):
        read_config(path)


@pytest.mark.parametrize("content", [b"", b"\n  \n", b"\xef\xbb\xbf"])
def test_empty_file(tmp_path, content):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"run.toml is empty; `mdnnp init`"):
        read_config(path)


def test_directory_and_missing_file(tmp_path):
    with pytest.raises(FileError, match="is a directory"):
        read_config(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        read_config(tmp_path / "no.toml")


# Restart and documentation


def test_restart_settings_ignore_what_is_harmless():
    settings = restart_settings(parse_config(GOOD))
    harmless = (
        GOOD.replace("steps = 1000", "steps = 2000") + "[output]\nlog_interval = 5\n[limits]\nmax_temperature_K = 9\n"
    )
    assert restart_settings(parse_config(harmless, "/elsewhere/run2.toml")) == settings
    for line, new in [
        ("timestep_fs = 0.5", "timestep_fs = 0.25"),
        ("temperature_K = 300", "temperature_K = 301"),
        ("temperature_K = 300", "temperature_K = 300\n[output]\nframe_interval = 3"),
        ('file = "water.xyz"', 'file = "water.xyz"\nmasses = {H = 2}'),
    ]:
        assert restart_settings(parse_config(changed(line, new))) != settings


def test_every_key_has_help_and_required_ones_an_example():
    for section, record in SECTIONS.items():
        for f in dataclasses.fields(record):
            assert f.metadata["help"].endswith("."), f"{section}.{f.name}"
            if is_required(f) or default_of(f) is None:
                assert parse_toml(f"x = {f.metadata['example']}", "x").values, f"{section}.{f.name}"
