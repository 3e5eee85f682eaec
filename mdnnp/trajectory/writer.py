"""Writing a trajectory, frame by committed frame."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np
from h5py import h5f, h5p

from mdnnp.base import units
from mdnnp.base.errors import FileError
from mdnnp.base.files import check_writable
from mdnnp.trajectory.layout import (
    EXTRAPOLATION_COLUMNS,
    FRAME_OBSERVABLES,
    GROUP,
    HDF5_VERSION,
    OBSERVABLES,
    Counts,
    make_layout,
    reason_of,
)
from mdnnp.trajectory.repair import repair


class WriteError(FileError):
    """Writing failed (a full disk, mostly). HDF5 cannot recover: report, then leave with `exit_at_once`."""

    ends_process = True


class OtherRun(FileError):
    """A trajectory that another run has written."""


RUN_ID = "run_id"  # parameter that distinguishes runs
_PATIENCE_S = 5.0  # with other programs that hold a lock


def exit_at_once(code: int) -> NoReturn:
    """End the process without closing files: after a failed write, HDF5 crashes the interpreter at its exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class TrajectoryWriter:
    """Writes an H5MD file. Make one with `create` or `reopen`; use it as a context, or call `close`."""

    def __init__(self, path: Path, file: h5py.File, counts: Counts):
        self.path = path
        self._file = file
        self._frames, self._thermo, self._extrapolations = counts
        self._thermo_rows: list[tuple] = []
        self._thermo_names = [name for name in file["thermo"] if name not in ("step", "time")]
        self._frame_names = [name for name in ("velocity", "force", "charge") if name in file[GROUP]]
        self._constants = {name: file[f"{GROUP}/{name}"].attrs["constant"] for name in ("species", "mass")}
        self._open_series: dict[str, h5py.Dataset] = {}
        self._failed = False

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        numbers: np.ndarray,
        masses: np.ndarray,
        pbc: np.ndarray,
        thermo_units: Mapping[str, str],
        parameters: Mapping[str, str | int | float | np.ndarray],
        velocities: bool = True,
        forces: bool = True,
        charges: bool = False,
        author: str = "unknown",
        overwrite: bool = False,
    ) -> "TrajectoryWriter":
        """Make a new file.

        numbers (N,), masses (N,) u, pbc (3,): the atoms, the same in every frame
        thermo_units : columns of the dense log, name -> unit
        parameters : kept as attributes of /parameters/mdnnp (the input, hashes, the seed, ...)
        Raises FileError if the file exists (unless `overwrite`) or cannot be made; nothing is touched then.
        """
        path = Path(path)
        check_writable(
            path,
            overwrite=overwrite,
            instead="continue it with --resume, replace it with --overwrite, or give another name",
        )
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            # Made under another name and closed, so that what is at `path` is replaced by a whole file or not at all.
            with h5py.File(temporary, "w", libver=HDF5_VERSION) as file:
                make_layout(file, numbers, masses, pbc, thermo_units, parameters, velocities, forces, charges, author)
            os.replace(temporary, path)
        except (OSError, RuntimeError) as error:
            raise WriteError(f"{path}: cannot be created: {reason_of(error)}") from None
        finally:
            temporary.unlink(missing_ok=True)
        return cls.reopen(path, Counts())

    @classmethod
    def reopen(cls, path: str | Path, counts: Counts | None = None, run_id: str | None = None) -> "TrajectoryWriter":
        """Go on with a file behind its first `counts` records; a file left by a killed writer is repaired first.

        counts : None for all that is committed; run_id : of the run that the file must be of, None for any
        Records beyond `counts` stay until they are written again. Raises FileError if the file is not ours, damaged,
        or holds less than `counts`, OtherRun if it is another run's.
        """
        path = Path(path)
        repair(path)
        try:
            _check_readable(path)
            file = _open_as_single_writer(path)
        except BlockingIOError:
            raise FileError(
                f"{path}: cannot be opened for writing: another program reads or writes it; close it there"
            ) from None
        except (OSError, RuntimeError) as error:
            raise FileError(f"{path}: damaged, or cannot be opened for writing: {reason_of(error)}") from None
        try:
            if run_id is not None and file["parameters/mdnnp"].attrs.get(RUN_ID) != run_id:
                raise OtherRun(
                    f"{path}: this trajectory and the checkpoint are from different runs; put the right one there, or "
                    "move it away to continue in a second file"
                )
            held = _committed(file)
            counts = held if counts is None else counts
            if any(have < need for have, need in zip(held, counts, strict=True)):
                raise FileError(
                    f"{path}: holds {held}, but the checkpoint expects {counts}: it was truncated or replaced"
                )
            return cls(path, file, counts)
        except KeyError as error:
            file.close()
            raise FileError(f"{path}: not a trajectory of mdnnp ({error})") from None
        except FileError:
            file.close()
            raise

    @property
    def counts(self) -> Counts:
        """What is written so far, thermo rows that are still in memory included."""
        return Counts(self._frames, self._thermo + len(self._thermo_rows), self._extrapolations)

    @property
    def caught_up(self) -> bool:
        """Whether no rows of the dense log are left that wait to be written again; False if writing has failed."""
        return not self._failed and self.counts.thermo >= _committed(self._file).thermo

    def write_frame(
        self,
        step: int,
        time_fs: float,
        positions: np.ndarray,
        cell: np.ndarray,
        observables: Mapping[str, float | np.ndarray],
        velocities: np.ndarray | None = None,
        forces: np.ndarray | None = None,
        charges: np.ndarray | None = None,
    ) -> None:
        """Commit a frame: positions (N, 3), cell (3, 3), Å; velocities (N, 3) Å/fs, forces (N, 3) eV/Å, charges (N,) e.

        observables : a value for each of FRAME_OBSERVABLES. The thermo rows before it are committed too.
        """
        self.flush()
        values = {"position": positions, "velocity": velocities, "charge": charges}
        if "force" in self._frame_names:
            values["force"] = forces * units.EV_IN_KJ_PER_MOL
        with self._writing():
            n = self._frames
            _put(self._series(f"{GROUP}/position/time"), n, [time_fs])
            for name in ("position", *self._frame_names):
                _put(self._series(f"{GROUP}/{name}/value"), n, values[name][None])
            _put(self._series(f"{GROUP}/box/edges/value"), n, np.asarray(cell)[None])
            for name, constant in self._constants.items():
                _put(self._series(f"{GROUP}/{name}/value"), n, constant[None])
            for name in FRAME_OBSERVABLES:
                value = np.asarray(observables[name], dtype=np.float64)
                _put(self._series(f"{OBSERVABLES}/{name}/value"), n, value[None])
            self._commit(self._series(f"{GROUP}/position/step"), n, [step])
        self._frames += 1

    def write_thermo(self, step: int, time_fs: float, values: Mapping[str, float]) -> None:
        """Add a row to the dense log: a value for each of its columns. Committed by `flush`, at the latest."""
        self._thermo_rows.append((step, time_fs, *(values[name] for name in self._thermo_names)))
        if len(self._thermo_rows) >= 1000:
            self.flush()

    def write_extrapolations(self, step: int, columns: Mapping[str, np.ndarray]) -> None:
        """Commit extrapolation events of one step: an array for each of EXTRAPOLATION_COLUMNS, all of one length."""
        size = len(columns["atom"])
        if size == 0:
            return
        group = self._file["extrapolation"]
        with self._writing():
            for name in EXTRAPOLATION_COLUMNS:
                _put(group[name], self._extrapolations, columns[name])
            self._commit(group["step"], self._extrapolations, np.full(size, step))
        self._extrapolations += size

    def flush(self) -> None:
        """Commit the thermo rows that are still in memory."""
        if not self._thermo_rows:
            return
        step, *columns = zip(*self._thermo_rows, strict=True)
        with self._writing():
            for name, column in zip(("time", *self._thermo_names), columns, strict=True):
                _put(self._series(f"thermo/{name}"), self._thermo, column)
            self._commit(self._series("thermo/step"), self._thermo, step)
        self._thermo += len(self._thermo_rows)
        self._thermo_rows.clear()

    def sync(self) -> None:
        """Commit all, and wait until the disk has it."""
        self.flush()
        with self._writing():
            handle = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def close(self, *, keep_tail: bool = False) -> None:
        """Commit all and close the file; what was written but not committed is removed.

        keep_tail : leave committed records of an earlier run behind the last one, which a run that ended before it
            caught up with them will write again; otherwise they are cut off
        """
        if self._failed or not self._file:
            return
        self.flush()
        with self._writing():
            counts = self.counts
            if keep_tail:
                counts = Counts(*(max(a, b) for a, b in zip(counts, _committed(self._file), strict=True)))
            _cut(self._file, counts)
            self._file.close()

    def __enter__(self) -> "TrajectoryWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _series(self, name: str) -> h5py.Dataset:
        """A dataset, kept open: to open all of them in every frame costs more than to write them."""
        if name not in self._open_series:
            self._open_series[name] = self._file[name]
        return self._open_series[name]

    def _commit(self, step: h5py.Dataset, start: int, values) -> None:
        self._file.flush()
        _put(step, start, values)
        self._file.flush()

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except (OSError, RuntimeError) as error:
            self._failed = True
            raise WriteError(
                f"{self.path}: writing failed after frame {self._frames}: {reason_of(error)}; all frames up to there "
                "are saved. Free some space, then continue with --resume"
            ) from None


def recover(path: str | Path) -> Counts:
    """Make a file that a killed run left readable for every program; returns what it holds.

    `Trajectory` reads such a file as it is, and a run that resumes does this by itself. Do not call it while a run
    writes the file. Raises FileError as `TrajectoryWriter.reopen` does.
    """
    with TrajectoryWriter.reopen(path) as writer:
        return writer.counts


def expected_bytes(
    n_atoms: int, n_frames: int, n_thermo: int, *, velocities: bool = True, forces: bool = True, charges: bool = False
) -> int:
    """About how large a trajectory becomes."""
    return n_frames * (8 * n_atoms * (3 + 3 * velocities + 3 * forces + charges) + 1000) + n_thermo * 168 + 100_000


def check_space(path: Path, size: int) -> None:
    """Raise FileError if the disk of `path` has less free space than `size` bytes."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise FileError(
            f"{path}: the trajectory needs about {size / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free; raise "
            "output.frame_interval, set output.velocities or output.forces to false, or write to another disk"
        )


def next_part(path: str | Path) -> Path:
    """A name for a new part of a trajectory of which the first cannot be continued: run.h5 -> run.part2.h5."""
    path = Path(path)
    for k in range(2, 1000):
        part = path.with_name(f"{path.stem}.part{k}{path.suffix}")
        if not part.exists():
            return part
    raise FileError(f"{path}: has 998 parts already")


def _put(series: h5py.Dataset, start: int, values) -> None:
    end = start + len(values)
    if end > series.shape[0]:
        series.resize(end, axis=0)
    series[start:end] = values


def _commit_marks(file: h5py.File) -> tuple[h5py.Dataset, ...]:
    return file[f"{GROUP}/position/step"], file["thermo/step"], file["extrapolation/step"]


def _committed(file: h5py.File) -> Counts:
    return Counts(*(len(mark) for mark in _commit_marks(file)))


def _cut(file: h5py.File, counts: Counts) -> None:
    """Remove the records behind `counts`: first the commit marks, then the values."""
    for mark, count in zip(_commit_marks(file), counts, strict=True):
        _shorten(mark, count)
    file.flush()
    parts = {GROUP: counts.frames, OBSERVABLES: counts.frames}
    parts |= {"thermo": counts.thermo, "extrapolation": counts.extrapolations}
    for name, count in parts.items():
        file[name].visititems(lambda _, item, n=count: _shorten(item, n) if isinstance(item, h5py.Dataset) else None)
    file.flush()


def _shorten(series: h5py.Dataset, count: int) -> None:
    if len(series) > count:
        series.resize(count, axis=0)


def _check_readable(path: Path) -> None:
    """Raise OSError or RuntimeError unless every index, and the last record of every series, can be read.

    Asked before the single-writer mode, in which HDF5 waits for ever for damaged metadata to become whole.
    """

    def look(_, item):
        if isinstance(item, h5py.Dataset) and item.chunks and len(item):
            item.id.get_num_chunks()
            _ = item[-1]

    with h5py.File(path, "r") as file:
        file.visititems(look)


def _open_as_single_writer(path: Path) -> h5py.File:
    # Not opened first and switched then, as h5py does it: a kill in between would leave a file that cannot be read.
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return h5py.File(h5f.open(os.fsencode(path), h5f.ACC_RDWR | h5f.ACC_SWMR_WRITE, access))
        except BlockingIOError:  # locked by a program that reads it, which most do in a moment
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
