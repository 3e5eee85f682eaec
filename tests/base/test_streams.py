"""What is printed gets through whatever the terminal is, and nothing of a stranger's file commands it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_inputs import FIT, RUN

from mdnnp.base.report.streams import printable
from mdnnp.command.cli import main

MDNNP = [sys.executable, "-m", "mdnnp"]


def shell(command: str, **environment) -> subprocess.CompletedProcess:
    line = command.replace("mdnnp", f"{sys.executable} -m mdnnp", 1)
    return subprocess.run(
        line, shell=True, capture_output=True, check=False, env=os.environ | environment, timeout=300
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_of_every_encoding(folder, encoding):
    for command in ("run run.toml", "analyze run.h5", "relax lj.toml a.xyz -o out.xyz"):
        done = shell(f"mdnnp {command}", PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode(encoding)
    assert ("max F/eV/A" if encoding == "ascii" else "max F/eV/Å") in text
    assert any("Å" in path.read_text("utf-8") for path in Path("run_analysis").glob("*.html"))


def test_names_that_the_system_does_not_know(folder):
    os.rename("a.xyz", "Å.xyz")
    Path("run.toml").write_text(RUN.replace("a.xyz", "Å.xyz"), encoding="utf-8")
    done = shell("mdnnp run run.toml", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode in (0, 4), done.stderr
    assert done.returncode == 0 or b"names of files are ascii here; set LC_ALL=C.UTF-8" in done.stderr


def test_units_in_ascii():
    def shown(text: str) -> str:
        return text.encode("ascii", "mdnnp-plain").decode()

    assert shown("2 Å⁻¹ ± 0.1 Å³, 90°, 1 µs, Hölder, x·y, 10⁻¹² – 日") == (
        "2 A^-1 +- 0.1 A^3, 90 deg, 1 us, Hoelder, x*y, 10^-12 - ?"
    )
    assert shown("a\udcffb") == "a\\xffb"


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_streams(folder, closed):
    done = shell(f"mdnnp run run.toml {closed}")
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stderr
    assert Path("run.h5").read_bytes()[:4] == b"\x89HDF"
    assert shell(f"mdnnp info nowhere {closed}").returncode == 4


def test_output_on_a_full_disk_does_not_stop_a_run(folder):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    done = shell("mdnnp run run.toml > /dev/full")
    assert done.returncode == 0
    assert b"the output cannot be written (No space left on device); the run goes on" in done.stderr


NASTY = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe\u2066\x7f"


def test_control_characters_do_not_reach_the_terminal(folder, capfd):
    name = f"n{NASTY.replace('/', '')}.xyz"
    Path(name).write_text(f"2\n{NASTY}\nAr{NASTY} 0 0 0\nAr 0 0 1\n")
    Path("bad.toml").write_text(f"kind = {NASTY!r}\n[elements.Ar]\n'{NASTY[2:6]}' = 1\n".replace("\\", "\\\\"))
    Path("bad-run.toml").write_text(RUN.replace("[output]", f'[output]\n"x\\u001b[2J\\u202e" = 1\ny{NASTY} = 2'))
    for arguments in (
        ["predict", "lj.toml", name], ["predict", "lj.toml", "a.xyz", "-o", f"no{NASTY}/x.xyz"], ["info", name],
        ["info", "bad.toml"], ["run", "bad-run.toml"], ["analyze", name], ["info", f"{NASTY}"], [f"{NASTY}"],
        ["convert", "a.xyz", f"ok{NASTY}.xyz"], ["predict", "lj.toml", "a.xyz", "--index", NASTY],
    ):  # fmt: skip
        main(arguments)
        out, err = capfd.readouterr()
        assert out + err
        assert not set(out + err) & set("\x1b\x07\x9b\u202e\u2066\x7f"), arguments
    assert printable("a\tb\nÅ 日 \x1b[1m\u202e") == "a\tb\nÅ 日 \\x1b[1m\\u202e"


@pytest.mark.parametrize(
    "command", ["predict lj.toml {}", "info {}", "run {}", "train {}", "analyze {}", "convert {} x.xyz"]
)
def test_a_pipe_as_an_input_is_refused(folder, capfd, command):
    os.mkfifo("pipe")
    for pipe in ("pipe", "/dev/zero"):
        assert main(command.format(pipe).split()) == 4
        assert "is not a regular file" in capfd.readouterr().err


def test_only_the_first_line_of_a_message_is_an_error(folder, capfd):
    Path("run.toml").write_text(RUN.replace("timestep_fs = 2.0", "timestep_fs = 90").replace("= 20", "= 3000"))
    Path("run.toml").write_text(Path("run.toml").read_text().replace("steps = 4", "steps = 1000"))
    assert main(["run", "run.toml"]) == 3
    lines = [row for row in capfd.readouterr().err.splitlines() if not row.startswith("warning: ")]
    assert lines[0].startswith("error: step ") and lines[1].startswith("note: saved: run.h5 up to step ")
    Path("bad.toml").write_text("[structure]\nfil = 1\nindx = 2\n")
    assert main(["run", "bad.toml"]) == 2
    assert all(row.startswith("error: ") for row in capfd.readouterr().err.splitlines())


NOT_IGNORED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from mdnnp.command.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_fit_says_how_to_go_on(folder, number):
    Path("fit.toml").write_text(FIT.replace("epochs = 2", "epochs = 100000\npatience = 100000\noptimizer = 'adam'"))
    command = [sys.executable, "-c", NOT_IGNORED, "train", "fit.toml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as fit:
        for line in fit.stdout:
            if line.startswith("epoch    3"):
                fit.send_signal(number)
                break
        _, err = fit.communicate(timeout=120)
    assert fit.returncode == 128 + number
    assert f"error: interrupted by {number.name}\nnote: saved: fit.checkpoint of epoch " in err
    assert "continue with: mdnnp train fit.toml --resume" in err
    with subprocess.Popen([*command, "--resume"], stdout=subprocess.PIPE, text=True) as fit:
        line = next(row for row in fit.stdout if row.startswith("epoch "))
        fit.send_signal(number)
    assert int(line.split()[1].rstrip(":")) > 3


def test_a_fit_that_was_interrupted_before_its_first_epoch(folder, capfd, monkeypatch):
    import mdnnp.training.fit_data

    def interrupted(*arguments, **more):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(mdnnp.training.fit_data, "choose_functions", interrupted)
    Path("fit.toml").write_text(FIT.replace("radial = 2\nangular = 1", "select = 3"))
    assert main(["train", "fit.toml"]) == 143
    out, err = capfd.readouterr()
    assert "choosing 3 symmetry functions for each of Ar" in out
    assert "error: interrupted by SIGTERM\nnote: no epoch was finished; start it again" in err


def test_the_choice_of_functions_shows_progress(folder, capfd, monkeypatch):
    import mdnnp.base.report.screen

    monkeypatch.setattr(mdnnp.base.report.screen, "_SECONDS_BETWEEN_LINES", 0.0)
    Path("fit.toml").write_text(FIT.replace("radial = 2\nangular = 1", "select = 3"))
    assert main(["train", "fit.toml"]) == 0
    out = capfd.readouterr().out
    assert "candidates: 1 of 5 structures, " in out and "symmetry functions: 1 of 6 structures, " in out
    assert out.index("structures: 5 to fit") < out.index("candidates: 1 of 5")
