"""Files that the HDF5 library cannot read without harm: stand-ins for the damage, which is not kept here."""

import os
import signal
import time

import h5py
import numpy as np
import pytest

from mdnnp.base.errors import FileError
from mdnnp.trajectory import rehearsal
from mdnnp.trajectory.repair import open_for_reading


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        group["species"] = np.array([b"Si", b"O"])
        group["ring"] = h5py.SoftLink("/particles")
        group.attrs["unit"] = "Angstrom"
    return path


def endless(*_):
    while True:
        pass


def sleeping(*_):
    time.sleep(100)


def crashing(*_):
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(
    ("fault", "message"), [(endless, "does not end"), (sleeping, "does not end"), (crashing, "crashes HDF5")]
)
def test_what_would_end_or_hang_the_process_is_refused(file, monkeypatch, fault, message):
    monkeypatch.setattr(rehearsal, "_SECONDS", 1)
    monkeypatch.setattr(rehearsal, "_PATIENCE", 2)
    monkeypatch.setattr(rehearsal, "_read", fault)
    with pytest.raises(FileError, match=f"damaged: reading its attributes {message}"):
        open_for_reading(file)


def test_a_sound_file_is_read_whole(file, monkeypatch):
    with open_for_reading(file) as opened:
        assert opened["particles/all"].attrs["unit"] == "Angstrom"
    seen = []
    monkeypatch.setattr(rehearsal, "attribute", lambda item, name: seen.append((item.name, name)))
    rehearsal._read(file, {})
    assert ("/particles/all", "unit") in seen
    with pytest.raises(ChildProcessError):  # no child is left behind
        os.waitpid(-1, os.WNOHANG)
