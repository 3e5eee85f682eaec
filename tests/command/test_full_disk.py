"""A full disk: every writer names its file, leaves nothing half, and what was there stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

# The command works once, which also compiles; then no file can become larger than a few bytes.
TWICE = """
import json, resource, sys
from mdnnp.command.cli import main
assert main(json.loads(sys.argv[1])) == 0
resource.setrlimit(resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))
sys.exit(main(json.loads(sys.argv[2])))
"""


def on_a_full_disk(command: str, first: str, second: str) -> subprocess.CompletedProcess:
    """The result of a command with the output `second`, after one with the output `first` has worked."""
    words = [json.dumps(command.replace("OUT", name).split()) for name in (first, second)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, "-c", TWICE, *words], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize(
    ("command", "suffix"),
    [
        ("convert a.xyz OUT --overwrite", ".xyz"),
        ("convert a.xyz OUT --length-unit Bohr --energy-unit Hartree --overwrite", ".data"),
        ("convert a.xyz OUT --index 0 --overwrite", ".vasp"),
        ("predict lj.toml a.xyz -o OUT --overwrite", ".xyz"),
        ("relax lj.toml a.xyz -o OUT --overwrite --force-tolerance 1", ".xyz"),
        ("phonons lj.toml a.xyz -o OUT", ""),
        ("evaluate lj.toml a.xyz -o OUT", ""),
        ("init argon -o OUT", ""),
    ],
)
def test_nothing_is_lost(folder, command, suffix):
    kept = Path(f"kept{suffix}")
    if suffix:
        kept.write_text("mine")
    done = on_a_full_disk(command, f"first{suffix}", kept.name)
    assert done.returncode == 4, done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(last) == 1 and str(kept) in last[0] and "internal" not in done.stderr
    assert kept.read_text() == "mine" if suffix else not list(kept.glob("*"))
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


STEPS = """
import resource, sys
from mdnnp.command import cli
from mdnnp.trajectory import path_frames
write = path_frames.write_steps
def limited(*args, **options):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
    write(*args, **options)
path_frames.write_steps = limited
sys.exit(cli.main("relax lj.toml a.xyz -o out.xyz --trajectory steps.h5 --overwrite --force-tolerance 1e-9".split()))
"""


@pytest.mark.parametrize("n_bytes", [40, 8000])
def test_steps_in_hdf5(folder, n_bytes):
    """HDF5 fails while it writes or while it closes the file."""
    Path("steps.h5").write_text("mine")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STEPS, str(n_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 4 and "error: steps.h5: the steps cannot be written" in done.stderr, done.stderr
    assert Path("steps.h5").read_text() == "mine"
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_an_earlier_analysis_stays(folder):
    (folder / "run.toml").write_text((folder / "run.toml").read_text().replace("steps = 4", "steps = 200"))
    subprocess.run(
        [sys.executable, "-m", "mdnnp", "run", "run.toml"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
    )  # fmt: skip
    done = on_a_full_disk("analyze run.h5 -o OUT --no-physics", "out", "out")
    assert done.returncode == 4 and "out: cannot be written: File too large" in done.stderr
    assert all(path.stat().st_size > 40 for path in (folder / "out").iterdir())
    assert json.loads((folder / "out" / "numbers.json").read_text())["program"] == "mdnnp analyze"
    assert not [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")]
