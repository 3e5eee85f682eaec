"""Open HDF5 files, also those of a writer that is at work, or was killed.

What a killed single-writer (SWMR) file lacks is one thing: its superblock says that it is open.

Superblock version 3 (HDF5 File Format Specification, section II.A): byte 8 version, byte 11 consistency flags, bytes
28-35 end-of-file address, bytes 44-47 the Jenkins lookup3 checksum of the 44 bytes before.
"""

import os
import struct
from pathlib import Path

import h5py

from mdnnp.base.errors import FileError
from mdnnp.trajectory.layout import reason_of
from mdnnp.trajectory.rehearsal import rehearse

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIZE = 48


def repair(path: str | Path) -> bool:
    """Clear the flags of a file that its writer left open; returns whether there was anything to do.

    One write of 48 bytes; the data are not touched. Do not call it while a writer is alive.
    Raises FileError if the file does not exist, cannot be written, or is not an HDF5 file of the kind that we write.
    """
    path = Path(path)
    try:
        with open(path, "r+b") as file:
            block = bytearray(file.read(_SIZE))
            size = os.fstat(file.fileno()).st_size
            if len(block) < _SIZE or block[:8] != _SIGNATURE:
                raise FileError(f"{path}: not an HDF5 file, or truncated at its beginning")
            if block[8] != 3 or (block[9], block[10]) != (8, 8):
                raise FileError(f"{path}: an HDF5 file that mdnnp did not write (superblock version {block[8]})")
            if not _is_whole(block):
                raise FileError(f"{path}: damaged at its beginning (the checksum of the superblock does not match)")
            if block[11] == 0:
                return False
            block[11] = 0
            struct.pack_into("<Q", block, 28, size)
            struct.pack_into("<I", block, 44, lookup3(bytes(block[:44])))
            file.seek(0)
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FileError(f"{path}: cannot be opened for writing: {error.strerror or error}") from None
    return True


def is_left_open(path: str | Path) -> bool:
    """Whether a writer has the file open, or was killed; False for what is no HDF5 file or is damaged there."""
    with open(path, "rb") as file:
        block = file.read(_SIZE)
    return len(block) == _SIZE and block[:8] == _SIGNATURE and block[8] == 3 and block[11] != 0 and _is_whole(block)


def _is_whole(block: bytes | bytearray) -> bool:
    return struct.unpack_from("<I", block, 44)[0] == lookup3(bytes(block[:44]))


def lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 hash `hashlittle` of `data` with initial value 0, as HDF5 uses it for checksums."""
    mask = 0xFFFFFFFF

    def rotate(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    while len(data) > 12:
        x, y, z = struct.unpack_from("<III", data)
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        for k1, k2, k3 in ((4, 6, 8), (16, 19, 4)):
            a = ((a - c) & mask) ^ rotate(c, k1)
            c = (c + b) & mask
            b = ((b - a) & mask) ^ rotate(a, k2)
            a = (a + c) & mask
            c = ((c - b) & mask) ^ rotate(b, k3)
            b = (b + a) & mask
        data = data[12:]
    if not data:
        return c
    x, y, z = struct.unpack("<III", data.ljust(12, b"\0"))
    a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
    c = ((c ^ b) - rotate(b, 14)) & mask
    a = ((a ^ c) - rotate(c, 11)) & mask
    b = ((b ^ a) - rotate(a, 25)) & mask
    c = ((c ^ b) - rotate(b, 16)) & mask
    a = ((a ^ c) - rotate(c, 4)) & mask
    b = ((b ^ a) - rotate(a, 14)) & mask
    return ((c ^ b) - rotate(b, 24)) & mask


def open_for_reading(path: Path) -> h5py.File:
    """An HDF5 file, also one that another program still writes.

    Raises FileError, also for damage that ends or hangs the process that reads it.
    """
    if not path.exists():
        raise FileError(f"{path}: no such file")
    if path.is_dir():
        raise FileError(f"{path}: is a directory, not a trajectory")
    if not os.access(path, os.R_OK):
        raise FileError(f"{path}: no permission to read it")
    reasons: list[str] = []
    live = {"swmr": True, "libver": "latest"}
    # Without locks, as that of a reader would stop the run that goes on with the file; the last if this process writes.
    for options in ({"locking": False}, {"locking": False, **live}, live):
        if reasons and not is_left_open(path):  # HDF5 never returns from some damaged files in the mode for live ones
            break
        rehearse(path, options)
        try:
            return h5py.File(path, "r", **options)
        except OSError as error:
            reasons.append(reason_of(error))
    raise FileError(f"{path}: not an HDF5 file, or damaged ({reasons[0]})")
