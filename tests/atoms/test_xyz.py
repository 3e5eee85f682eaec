"""Frames of the usual form are read without ASE's reader: to the same atoms, and without loading it."""

import subprocess
import sys

import ase.io.extxyz
import numpy as np
import pytest
from places import ROOT
from reference_data import FOLDER

from mdnnp.atoms.xyz import _read_plain, _read_with_ase, frames

FILES = sorted(path for path in ROOT.glob("inputs/**/*.xyz") if path.parent.name != "ipi")  # whose cell is in a comment
MORE = sorted(FOLDER.glob("data/*/*.xyz"))
ROWS = ["H 0.0 0.1 0.2 0.01 0.02 0.03\n", "o 1.0 1e0 -1.2 -0.01 -0.02 1_0\n"]
FORCES = "Properties=species:S:1:pos:R:3:forces:R:3"


def same(a, b) -> bool:
    """Equal in type, memory order and every bit."""
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.strides, a.tobytes()) == (b.dtype, b.shape, b.strides, b.tobytes())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return type(a) is type(b) and repr(a) == repr(b)


def assert_same_atoms(rows: list[str]) -> bool:
    """Whether the frame is plain; it must then give what ASE gives."""
    atoms = _read_plain(rows)
    if atoms is None:
        return False
    expected = _read_with_ase(rows)
    assert same(atoms.arrays, expected.arrays)
    assert same(atoms.info, expected.info)
    assert same(atoms.cell.array, expected.cell.array)
    assert same(atoms.pbc, expected.pbc)
    assert same(getattr(atoms.calc, "results", {}), getattr(expected.calc, "results", {}))
    return True


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_shipped_files_are_plain(file):
    for _, frame in zip(range(30), frames(file), strict=False):
        assert assert_same_atoms(frame.rows)


@pytest.mark.parametrize("file", MORE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_data_sets(file):
    for _, frame in zip(range(30), frames(file), strict=False):
        assert_same_atoms(frame.rows)


@pytest.mark.parametrize(
    "comment",
    [
        f'Lattice="4 0 0 1 5 0 0.5 0.25 6" {FORCES} energy=-3.5 pbc="T T F"',
        f"{FORCES} energy=3 free_energy=2 n=7 r=7.5 name=a,b on=T switches=T,F words=1,b many=1,2,3.5 kind=x.y-z",
        f'{FORCES} stress="1 2 3 4 5 6 7 8 9" virial="1 2 3 4 5 6 7 8 9.5" set=train',
        f'{FORCES} big=99999999999999999999 no=nan yes=TRUE title="two words"',
        "Properties=species:S:1:pos:R:3:energies:R:1:masses:R:1:charges:R:1",
        "Properties=species:S:1:pos:R:3:momenta:R:3",
        f"{FORCES} a=1 a=2",
        "",
    ],
)
def test_every_kind_of_plain_entry(comment):
    rows = ROWS if "R:3:" in comment else [" ".join(row.split()[:4]) + "\n" for row in ROWS]
    assert assert_same_atoms(["2\n", comment + "\n", *rows])


@pytest.mark.parametrize(
    "comment, rows",
    [
        ("frame 3", ROWS),
        (f"{FORCES} uid=1", ROWS),
        (f"{FORCES} dipole=1", ROWS),
        (f"{FORCES} energy=T", ROWS),
        (f"{FORCES} name='a b'", ROWS),
        (f"{FORCES} a =1", ROWS),
        (f'{FORCES} a="_JSON 1"', ROWS),
        (f'{FORCES} pbc="1 1 1"', ROWS),
        (f'{FORCES} Lattice="1 2 3"', ROWS),
        ("Properties=species:S:1:pos:R:3:force:R:3", ROWS),
        ("Properties=species:S:1:pos:R:3:forces:R:2:energies:R:1", ROWS),
        ("Properties=species:S:1:pos:R:3:forces:R:3:forces:R:3", ROWS),
        ("Properties=pos:R:3:species:S:1", ROWS),
        (FORCES, [ROWS[0], ROWS[1].replace("o", "Qq")]),
        (FORCES, [ROWS[0], ROWS[1].replace("1_0", "**")]),
        (FORCES, [ROWS[0], ROWS[1].replace("1_0", "")]),
        (FORCES, [*ROWS, "VEC1 1 0 0\n"]),
        ("", ROWS),
    ],
)
def test_anything_else_is_left_to_ase(comment, rows):
    assert _read_plain(["2\n", comment + "\n", *rows]) is None


def test_changed_comments():
    """Characters of a comment changed at random: read to the same atoms, or left to ASE."""
    rng, plain = np.random.default_rng(3), 0
    usual = f'Lattice="4 0 0 1 5 0 0.5 0.25 6" {FORCES} energy=-3.5 pbc="T T F" kind=a stress="1 2 3 4 5 6 7 8 9"'
    for _ in range(2000):
        comment = list(usual)
        for place in rng.integers(len(comment), size=rng.integers(1, 3)):
            comment[place] = rng.choice(list("\"'= ,.:0aT-+_{}[]\\\t"))
        plain += assert_same_atoms(["2\n", "".join(comment) + "\n", *ROWS])
    assert 50 < plain < 1950


def test_a_short_run_does_not_load_ases_readers():
    script = "import sys, mdnnp.dynamics.run, mdnnp.training.prediction; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"ase.io.extxyz", "ase.constraints", "scipy.linalg"} & set(loaded.stdout.split())
    assert ase.io.extxyz.__name__ == "ase.io.extxyz"  # the name that is looked for
