"""Checkpoints come back to the bit, and damage is seen and survived."""

import os

import numpy as np
import pytest

from mdnnp.base.checkpoint import load_checkpoint, previous_path, save_checkpoint
from mdnnp.base.errors import FileError, MdnnpWarning

ARRAYS = {
    "positions": np.random.default_rng(0).normal(size=(7, 3)),
    "numbers": np.arange(7),
    "pbc": np.array([True, False, True]),
    "empty": np.empty((0, 3)),
}
META = {"step": 12345678901234, "state": {"state": 2**127 + 1}, "x": 0.1 + 0.2, "name": "Å"}


def test_round_trip_to_the_bit(tmp_path):
    save_checkpoint(tmp_path / "run.checkpoint", META, ARRAYS)
    meta, arrays = load_checkpoint(tmp_path / "run.checkpoint")
    assert meta == META
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].tobytes() == array.tobytes()
        assert arrays[name].shape == array.shape


def test_what_it_refers_to_is_made_durable_first(tmp_path):
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, {"k": 1}, {})

    def fail():
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="No space left"):
        save_checkpoint(path, {"k": 2}, {}, before=fail)
    assert load_checkpoint(path)[0] == {"k": 1}
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "foreign"])
def test_damage_falls_back_to_the_previous_one(tmp_path, damage):
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, {"k": 1}, ARRAYS)
    save_checkpoint(path, {"k": 2}, ARRAYS)
    whole = path.read_bytes()
    for place in range(3, len(whole), len(whole) // 7):
        if damage == "flip":
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        elif damage == "cut":
            path.write_bytes(whole[:place])
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "foreign":
            path.write_text("something else")
        else:
            path.unlink(missing_ok=True)
        with pytest.warns(MdnnpWarning, match="continuing from"):
            assert load_checkpoint(path)[0] == {"k": 1}
    previous_path(path).write_bytes(b"")
    with pytest.raises(FileError, match="no usable checkpoint"):
        load_checkpoint(path)


def test_a_kill_between_the_two_renames_leaves_the_previous_one(tmp_path):
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, {"k": 1}, {})
    os.replace(path, previous_path(path))
    with pytest.warns(MdnnpWarning):
        assert load_checkpoint(path)[0] == {"k": 1}


def test_a_damaged_checkpoint_does_not_replace_the_previous_one(tmp_path):
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, {"k": 1}, {})
    save_checkpoint(path, {"k": 2}, {})
    path.write_bytes(path.read_bytes()[:-1])
    save_checkpoint(path, {"k": 3}, {})
    assert load_checkpoint(path)[0] == {"k": 3}
    path.unlink()
    with pytest.warns(MdnnpWarning):
        assert load_checkpoint(path)[0] == {"k": 1}
