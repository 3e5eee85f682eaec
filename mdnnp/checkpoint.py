"""Checkpoints: one file from which a run goes on to the same bits, and which is either old or new, never half.

Layout: a magic line; the length of the header (8 bytes, little-endian); the header, JSON with `meta` and the dtype and
shape of each array; the arrays' bytes; the SHA-256 of everything before it.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mdnnp.errors import FileError, MdnnpWarning

_MAGIC = b"mdnnp checkpoint 1\n"
_DIGEST_BYTES = 32


def previous_path(path: str | Path) -> Path:
    """Where the checkpoint before the newest is kept."""
    return Path(f"{path}.previous")


def save_checkpoint(
    path: str | Path, meta: dict, arrays: dict[str, np.ndarray], before: Callable[[], None] = lambda: None
) -> None:
    """Replace the checkpoint at `path` atomically, keeping the one before it at `previous_path`.

    meta : anything that JSON can hold (integers and strings come back exact, floats to the bit)
    arrays : by name; they come back to the bit
    before : called before the new checkpoint counts: makes durable what it refers to (the trajectory)
    Raises FileError if it cannot be written; the old checkpoint is then untouched.
    """
    path, temporary = Path(path), Path(f"{path}.new")
    described = [{"name": k, "dtype": a.dtype.str, "shape": a.shape} for k, a in arrays.items()]
    header = json.dumps({"meta": meta, "arrays": described}).encode()
    digest = hashlib.sha256()
    try:
        before()
        with open(temporary, "wb") as file:
            parts = [_MAGIC, len(header).to_bytes(8, "little"), header]
            for part in [*parts, *(np.ascontiguousarray(a).tobytes() for a in arrays.values())]:
                digest.update(part)
                file.write(part)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        if _is_whole(path):  # a damaged one must not take the place of the one that the run went on from
            os.replace(path, previous_path(path))
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FileError(
            f"{path}: the checkpoint cannot be written: {error.strerror or error}; what was there is untouched. "
            "Free some space or make the directory writable, then go on with --resume"
        ) from None


def load_checkpoint(path: str | Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Read (meta, arrays). A damaged or missing newest checkpoint is replaced by the previous one, with a warning.

    Raises FileError if there is none, or none that is whole.
    """
    path = Path(path)
    complaints = []
    for candidate in (path, previous_path(path)):
        try:
            meta, arrays = _read(candidate)
        except FileNotFoundError:
            complaints.append(f"{candidate}: does not exist")
        except OSError as error:
            complaints.append(f"{candidate}: cannot be read: {error.strerror or error}")
        except ValueError as error:
            complaints.append(f"{candidate}: {error}")
        else:
            if complaints:
                warnings.warn(f"{complaints[0]}; going on from {candidate}", MdnnpWarning, stacklevel=2)
            return meta, arrays
    raise FileError(f"no checkpoint to go on from ({'; '.join(complaints)}); start the run again without --resume")


def _is_whole(path: Path) -> bool:
    try:
        _read(path)
    except (OSError, ValueError):
        return False
    return True


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    data = path.read_bytes()
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not data.startswith(_MAGIC):
        raise ValueError("not a checkpoint of this version of mdnnp")
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("damaged (its checksum does not match)")
    start = len(_MAGIC) + 8
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    header = json.loads(data[start:end])
    arrays = {}
    for entry in header["arrays"]:
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        count = int(np.prod(shape, dtype=np.int64))
        arrays[entry["name"]] = np.frombuffer(data, dtype, count, end).reshape(shape).copy()
        end += count * dtype.itemsize
    return header["meta"], arrays


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
