"""Checkpoints: a file from which a run continues with the same bits. It is replaced atomically.

Layout: a magic line; the length of the header (8 bytes, little-endian); the header, JSON with `meta` and the dtype and
shape of each array; the arrays' bytes; the SHA-256 of everything before it.
"""

import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdnnp.base.errors import FileError, MdnnpWarning
from mdnnp.base.files import require_regular

_MAGIC = b"mdnnp checkpoint 1\n"
_DIGEST_BYTES = 32
_TYPES = frozenset({"<f8", "<f4", "<i8", "<i4", "|b1", "|u1"})


class Expected(NamedTuple):
    """An array that a checkpoint must hold.

    shape : a letter stands for a size that is the same wherever the letter is, None for any size
    largest : size up to which a finite value can be meant; beyond it powers and products overflow
    """

    shape: tuple[int | str | None, ...]
    finite: bool = True
    dtype: type = np.float64
    largest: float = 1e30


def count(value: object) -> bool:
    """Whether a value of a checkpoint is a whole number from 0, of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def number(value: object) -> bool:
    """Whether a value of a checkpoint is a finite number, and of a size that can be meant."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e30


def check_contents(
    path: Path, meta: dict, arrays: Mapping[str, np.ndarray], kinds: dict, expected: Mapping[str, Expected]
) -> None:
    """Raise FileError unless a checkpoint that was read has what it must have.

    kinds : of the values in `meta`, by name: a type, a condition, [kind] for a list, (kind, ...) for a list of so
        many, {name: kind} for a table, which may have more names
    """
    for name, kind in kinds.items():
        if name not in meta:
            raise FileError(f"{path}: not a checkpoint of this version of mdnnp: {name!r} is missing; {_AFRESH}")
        if not _is_kind(meta[name], kind):
            raise FileError(f"{path}: damaged: {name} = {str(meta[name])[:60]} is not a valid value; {_AFRESH}")
    sizes: dict[str, int] = {}
    for name, want in expected.items():
        have = arrays.get(name)
        if have is None:
            raise FileError(f"{path}: not a checkpoint of this version of mdnnp: array {name!r} is missing; {_AFRESH}")
        fits = have.dtype == want.dtype and have.ndim == len(want.shape)
        for size, name_or_size in zip(have.shape, want.shape, strict=False):
            wanted = sizes.setdefault(name_or_size, size) if isinstance(name_or_size, str) else name_or_size
            fits &= wanted is None or size == wanted
        if not fits:
            shape = ", ".join(str(sizes.get(n, n) if isinstance(n, str) else n) for n in want.shape)
            raise FileError(
                f"{path}: damaged: {name} is an array {have.shape} of {have.dtype}, expected ({shape}) of "
                f"{np.dtype(want.dtype)}; {_AFRESH}"
            )
        if want.finite and not np.isfinite(have).all():
            raise FileError(f"{path}: damaged: {name} has values that are not finite numbers; {_AFRESH}")
        sizes_found = np.abs(have[np.isfinite(have)])
        if sizes_found.size and (largest := sizes_found.max()) > want.largest:
            raise FileError(
                f"{path}: damaged: {name} has a value of size {largest:.3g}, expected {want.largest:g} at most; "
                f"{_AFRESH}"
            )


_AFRESH = "start again without --resume"


def _is_kind(value, kind: Any) -> bool:
    match kind:
        case list():
            (one,) = kind
            return isinstance(value, list) and all(_is_kind(v, one) for v in value)
        case tuple():
            return isinstance(value, list) and len(value) == len(kind) and all(map(_is_kind, value, kind))
        case dict():
            return isinstance(value, dict) and all(k in value and _is_kind(value[k], own) for k, own in kind.items())
        case type():
            return isinstance(value, kind)
    return bool(kind(value))


def previous_path(path: str | Path) -> Path:
    """The path of the previous checkpoint."""
    return Path(f"{path}.previous")


def is_there(path: str | Path) -> bool:
    """Whether there is a checkpoint at `path`, or one before it."""
    return Path(path).exists() or previous_path(path).exists()


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
    if temporary.exists() and not _is_begun(temporary):
        raise FileError(f"{temporary}: a new checkpoint needs this name, but the file is not one; move it away")
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
            f"{path}: the checkpoint cannot be written: {error.strerror or error}; the previous one is unchanged. "
            "Free some space or make the directory writable, then continue with --resume"
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
                warnings.warn(f"{complaints[0]}; continuing from {candidate}", MdnnpWarning, stacklevel=2)
            return meta, arrays
    raise FileError(f"no usable checkpoint ({'; '.join(complaints)}); start the run again without --resume")


def _is_begun(path: Path) -> bool:
    """Whether the file is a checkpoint, or the beginning of one."""
    with open(path, "rb") as file:
        return _MAGIC.startswith(file.read(len(_MAGIC)))


def _is_whole(path: Path) -> bool:
    try:
        _read(path)
    except (OSError, ValueError):
        return False
    return True


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    require_regular(path)
    data = path.read_bytes()
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not data.startswith(_MAGIC):
        raise ValueError("not a checkpoint of this version of mdnnp")
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("damaged (its checksum does not match)")
    start = len(_MAGIC) + 8
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    try:
        header = json.loads(data[start:end])
    except (ValueError, RecursionError):
        raise ValueError("damaged (its header cannot be read)") from None
    entry = {"name": str, "dtype": lambda v: isinstance(v, str) and v in _TYPES, "shape": [count]}
    if not _is_kind(header, {"meta": dict, "arrays": [entry]}):
        raise ValueError("damaged (its header is not that of a checkpoint)")
    arrays = {}
    for entry in header["arrays"]:
        dtype, n = np.dtype(entry["dtype"]), math.prod(entry["shape"])
        if n * dtype.itemsize > len(body) - end:
            raise ValueError("damaged (an array goes beyond the end of the file)")
        # What the dtype may be is plain numbers: nothing is ever unpickled.
        arrays[entry["name"]] = np.frombuffer(data, dtype, n, end).reshape(entry["shape"]).copy()
        end += n * dtype.itemsize
    return header["meta"], arrays


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
