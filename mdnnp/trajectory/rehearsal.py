"""A first reading of an HDF5 file by a child process: the library may crash on a damaged file, or never return.

A process cannot be saved from that from within. Attributes and text are what is read through structures that damage can
close to a ring or send out of bounds; the child reads all of them, with a limit of its processor time.
"""

import faulthandler
import os
import resource
import signal
import time
import warnings
from pathlib import Path

import h5py

from mdnnp.base.errors import FileError
from mdnnp.trajectory.elements import DAMAGE, attribute

_SECONDS = 3  # of processor time; the files of a run take milliseconds
_PATIENCE = 30  # times that of the clock
_MOST_TEXT = 1_000_000  # values of a dataset
_DEPTH = 8  # of groups; H5MD has four levels, and links may lead back


def rehearse(path: Path, options: dict) -> None:
    """Raise FileError if reading the attributes and texts of a file, opened with `options`, crashes or does not end."""
    if not hasattr(os, "fork"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child has no use for
        child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
            _read(path, options)
        finally:
            os._exit(0)
    status = _end_of(child)
    if os.WIFSIGNALED(status):
        how = "does not end" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "crashes HDF5"
        raise FileError(f"{path}: damaged: reading its attributes {how}")


def _end_of(child: int) -> int:
    """The status with which it ends; it is killed if it waits for ever."""
    begun, pause = time.monotonic(), 1e-3
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() - begun > _PATIENCE * _SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(pause)
        pause = min(1.5 * pause, 0.1)


def _read(path: Path, options: dict) -> None:
    with h5py.File(path, "r", **options) as file:
        _look(file, _DEPTH)


def _look(item: h5py.Group | h5py.Dataset, depth: int) -> None:
    """Read what is read of an item and those below. What raises an error the parent will meet, and name."""
    try:
        for name in item.attrs:
            attribute(item, name)
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "OS" and item.size <= _MOST_TEXT:
            item[()]
    except DAMAGE:
        pass
    if isinstance(item, h5py.Group) and depth > 0:
        try:
            names = list(item)
        except DAMAGE:
            return
        for name in names:
            try:
                below = item[name]
            except DAMAGE:
                continue
            _look(below, depth - 1)
