"""Trajectories in H5MD: written so that a kill loses no committed frame, read back with units.

Format: P. de Buyl, P. H. Colberg, F. Höfling, Comput. Phys. Commun. 185, 1546 (2014), https://www.nongnu.org/h5md, in
the dialect that MDAnalysis, pyh5md and znh5md/ASE all read with the right numbers: the particle group is called
"trajectory", every element depends on time, units are plain strings, the box is lower-triangular, and what is denser
than the frames stands outside /observables, in /thermo. Positions are not wrapped.

A frame is committed when its `step` is written: the values are flushed first (HDF5's single-writer mode). A run that
resumes overwrites what follows its checkpoint with the same bits, so that nothing committed is ever taken away.
"""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import h5py
import numpy as np
from h5py import h5f, h5p

from mdnnp import __version__, units
from mdnnp.errors import FileError
from mdnnp.hdf5_repair import is_left_open, repair

_HDF5_VERSION = ("v110", "v110")  # what "latest" writes, only HDF5 of the same age reads
_GROUP = "particles/trajectory"
_OBSERVABLES = "observables/trajectory"
_FORCE_UNIT = "kJ mol-1 Angstrom-1"  # of the units that MDAnalysis accepts, the nearest to eV/Å
FRAME_OBSERVABLES = {  # name -> (shape of a frame's value, unit)
    "potential_energy": ((), "eV"),
    "kinetic_energy": ((), "eV"),
    "total_energy": ((), "eV"),
    "temperature": ((), "K"),
    "stress": ((3, 3), "eV Angstrom-3"),
}
EXTRAPOLATION_COLUMNS = {
    "atom": np.int64,
    "function": np.int64,
    "value": np.float64,
    "lower": np.float64,
    "upper": np.float64,
}


class WriteError(FileError):
    """Writing failed (a full disk, mostly). HDF5 cannot recover: report, then leave with `exit_at_once`."""


class Counts(NamedTuple):
    """How much of a trajectory is committed."""

    frames: int = 0
    thermo: int = 0
    extrapolations: int = 0


def exit_at_once(code: int) -> NoReturn:
    """End the process without closing files: after a failed write, HDF5 crashes the interpreter at its exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# ---------------------------------------------------------------------------------------------------------------------
# Writing


class TrajectoryWriter:
    """Writes an H5MD file. Make one with `create` or `reopen`; use it as a context, or call `close`."""

    def __init__(self, path: Path, file: h5py.File, counts: Counts):
        self.path = path
        self._file = file
        self._frames, self._thermo, self._extrapolations = counts
        self._thermo_rows: list[tuple] = []
        self._thermo_names = [name for name in file["thermo"] if name not in ("step", "time")]
        self._frame_names = [name for name in ("velocity", "force") if name in file[_GROUP]]
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
        check_writable(path, overwrite=overwrite)
        temporary = path.with_name(path.name + ".new")
        try:
            # Made under another name and closed, so that what is at `path` is replaced by a whole file or not at all.
            with h5py.File(temporary, "w", libver=_HDF5_VERSION) as file:
                _make_layout(file, numbers, masses, pbc, thermo_units, parameters, velocities, forces, author)
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise FileError(f"{path}: cannot be created: {_reason(error)}") from None
        return cls.reopen(path, Counts())

    @classmethod
    def reopen(cls, path: str | Path, counts: Counts | None = None) -> "TrajectoryWriter":
        """Go on with a file behind its first `counts` records; a file left by a killed writer is repaired first.

        counts : None for all that is committed
        Records beyond `counts` stay until they are written again. Raises FileError if the file is not ours, damaged,
        or holds less than `counts`.
        """
        path = Path(path)
        repair(path)
        try:
            _check_readable(path)
            file = _open_as_single_writer(path)
        except (OSError, RuntimeError) as error:
            raise FileError(f"{path}: damaged, or cannot be opened for writing: {_reason(error)}") from None
        try:
            held = _committed(file)
            counts = held if counts is None else counts
            if any(have < need for have, need in zip(held, counts, strict=True)):
                raise FileError(
                    f"{path}: holds {held}, less than its checkpoint counts ({counts}): it was cut or replaced"
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

    def write_frame(
        self,
        step: int,
        time_fs: float,
        positions: np.ndarray,
        cell: np.ndarray,
        observables: Mapping[str, float | np.ndarray],
        velocities: np.ndarray | None = None,
        forces: np.ndarray | None = None,
    ) -> None:
        """Commit a frame: positions (N, 3) Å, cell (3, 3) Å, velocities (N, 3) Å/fs, forces (N, 3) eV/Å.

        observables : a value for each of FRAME_OBSERVABLES. The thermo rows before it are committed too.
        """
        self.flush()
        group, others = self._file[_GROUP], self._file[_OBSERVABLES]
        values = {"position": positions, "velocity": velocities}
        if "force" in self._frame_names:
            values["force"] = forces * units.EV_IN_KJ_PER_MOL
        with self._writing():
            n = self._frames
            _put(group["position/time"], n, [time_fs])
            for name in ("position", *self._frame_names):
                _put(group[name]["value"], n, values[name][None])
            _put(group["box/edges/value"], n, np.asarray(cell)[None])
            for name in ("species", "mass"):
                _put(group[name]["value"], n, group[name].attrs["constant"][None])
            for name in FRAME_OBSERVABLES:
                _put(others[name]["value"], n, np.asarray(observables[name], dtype=np.float64)[None])
            self._commit(group["position/step"], n, [step])
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
        group = self._file["thermo"]
        step, *columns = zip(*self._thermo_rows, strict=True)
        with self._writing():
            for name, column in zip(("time", *self._thermo_names), columns, strict=True):
                _put(group[name], self._thermo, column)
            self._commit(group["step"], self._thermo, step)
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

    def __exit__(self, *exception) -> None:
        self.close()

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
                f"{self.path}: writing failed behind frame {self._frames}: {_reason(error)}; everything up to there is "
                "kept. Make room, then go on with --resume"
            ) from None


def recover(path: str | Path) -> Counts:
    """Make a file that a killed run left readable for every program; returns what it holds.

    `Trajectory` reads such a file as it is, and a run that resumes does this by itself. Do not call it while a run
    writes the file. Raises FileError as `TrajectoryWriter.reopen` does.
    """
    with TrajectoryWriter.reopen(path) as writer:
        return writer.counts


def check_writable(path: Path, *, overwrite: bool = False) -> None:
    """Raise FileError, touching nothing, if a file at `path` could not be made or may not be replaced."""
    if path.is_dir():
        raise FileError(f"{path}: is a directory; give the name of a file")
    if path.exists() and not overwrite:
        raise FileError(
            f"{path}: exists already; continue it with --resume, replace it with --overwrite, or give another name"
        )
    parent = path.parent
    if not parent.is_dir():
        raise FileError(f"{path}: its directory does not exist; make it, or give another name")
    if not os.access(parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise FileError(f"{path}: no permission to write there; give another name")


def expected_bytes(n_atoms: int, n_frames: int, n_thermo: int, *, velocities: bool = True, forces: bool = True) -> int:
    """About how large a trajectory becomes."""
    return n_frames * (24 * n_atoms * (1 + velocities + forces) + 1000) + n_thermo * 160 + 100_000


def check_space(path: Path, size: int) -> None:
    """Raise FileError if the disk of `path` has less free space than `size` bytes."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise FileError(
            f"{path}: the trajectory needs about {size / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free; raise "
            "output.frame_interval, leave out velocities or forces, or write to another disk"
        )


def next_part(path: str | Path) -> Path:
    """A name for a new part of a trajectory of which the first cannot be continued: run.h5 -> run.part2.h5."""
    path = Path(path)
    for k in range(2, 1000):
        part = path.with_name(f"{path.stem}.part{k}{path.suffix}")
        if not part.exists():
            return part
    raise FileError(f"{path}: has 998 parts already")


def _make_layout(file, numbers, masses, pbc, thermo_units, parameters, velocities, forces, author) -> None:
    n = len(numbers)
    h5md = file.create_group("h5md")
    h5md.attrs["version"] = np.array([1, 1], dtype=np.int32)
    h5md.create_group("author").attrs["name"] = author
    creator = h5md.create_group("creator")
    creator.attrs["name"], creator.attrs["version"] = "mdnnp", __version__
    module = h5md.create_group("modules/units")
    module.attrs["version"], module.attrs["system"] = np.array([1, 0], dtype=np.int32), "SI"

    group = file.create_group(_GROUP)
    position = group.create_group("position")
    step, time = _series(position, "step", (), np.int64), _series(position, "time", (), np.float64, "fs")
    _series(position, "value", (n, 3), np.float64, "Angstrom")
    box = group.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs["boundary"] = np.array(["periodic" if p else "none" for p in pbc], dtype="S8")
    elements = [(box.create_group("edges"), (3, 3), np.float64, "Angstrom")]
    if velocities:
        elements.append((group.create_group("velocity"), (n, 3), np.float64, "Angstrom fs-1"))
    if forces:
        elements.append((group.create_group("force"), (n, 3), np.float64, _FORCE_UNIT))
    for name, values, dtype, unit in (("species", numbers, np.int32, None), ("mass", masses, np.float64, "u")):
        element = group.create_group(name)
        element.attrs["constant"] = np.asarray(values, dtype=dtype)
        elements.append((element, (n,), dtype, unit))
    for name, (shape, unit) in FRAME_OBSERVABLES.items():
        elements.append((file.create_group(f"{_OBSERVABLES}/{name}"), shape, np.float64, unit))
    for element, shape, dtype, unit in elements:
        element["step"], element["time"] = step, time
        # species and masses are the same in every frame (readers want them in each): compressed to nothing
        packed = {"compression": "gzip", "compression_opts": 1} if "constant" in element.attrs else {}
        _series(element, "value", shape, dtype, unit, **packed)
    for name in ("velocity", "force"):
        if name in group:  # else znh5md takes them for momenta and forces in ASE's units
            group[name].attrs["ASE_ENTRY_ORIGIN"] = "info"

    thermo = file.create_group("thermo", track_order=True)
    _series(thermo, "step", (), np.int64)
    _series(thermo, "time", (), np.float64, "fs")
    for name, unit in thermo_units.items():
        _series(thermo, name, (), np.float64, unit)
    events = file.create_group("extrapolation")
    _series(events, "step", (), np.int64)
    for name, dtype in EXTRAPOLATION_COLUMNS.items():
        _series(events, name, (), dtype)
    own = file.create_group("parameters/mdnnp")
    for name, value in parameters.items():
        own.attrs[name] = value


def _series(group, name, shape, dtype, unit=None, **options) -> h5py.Dataset:
    chunk = (1, *shape) if shape else (1024,)
    series = group.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=chunk, **options)
    if unit is not None:
        series.attrs["unit"] = unit
    return series


def _put(series: h5py.Dataset, start: int, values) -> None:
    end = start + len(values)
    if end > series.shape[0]:
        series.resize(end, axis=0)
    series[start:end] = values


def _commit_marks(file: h5py.File) -> tuple[h5py.Dataset, ...]:
    return file[f"{_GROUP}/position/step"], file["thermo/step"], file["extrapolation/step"]


def _committed(file: h5py.File) -> Counts:
    return Counts(*(len(mark) for mark in _commit_marks(file)))


def _cut(file: h5py.File, counts: Counts) -> None:
    """Remove the records behind `counts`: first the commit marks, then the values."""
    for mark, count in zip(_commit_marks(file), counts, strict=True):
        _shorten(mark, count)
    file.flush()
    parts = {_GROUP: counts.frames, _OBSERVABLES: counts.frames}
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
    return h5py.File(h5f.open(os.fsencode(path), h5f.ACC_RDWR | h5f.ACC_SWMR_WRITE, access))


def _reason(error: Exception) -> str:
    if getattr(error, "errno", None):
        return os.strerror(error.errno)
    said = re.search(r"error message = '([^']*)'", str(error))  # HDF5 wraps what the system said
    return said[1] if said else str(error).splitlines()[0]


# ---------------------------------------------------------------------------------------------------------------------
# Reading


class Trajectory:
    """A trajectory on disk, read on demand; only committed frames show. Also reads H5MD files of other programs.

    path : the file; while a run writes it, and after a kill, it opens as well
    Raises FileError if there is no such file, or if it is not H5MD or has no positions.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._file = _open_for_reading(self.path)
        particles = self._file.get("particles")
        if particles is None or "h5md" not in self._file:
            self._file.close()
            raise FileError(f"{self.path}: an HDF5 file, but not a trajectory in H5MD format")
        self._group = particles["trajectory" if "trajectory" in particles else next(iter(particles))]
        if "position" not in self._group:
            self._file.close()
            raise FileError(f"{self.path}: holds no positions")
        self._name = self._group.name.rsplit("/", 1)[-1]

    def __enter__(self) -> "Trajectory":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Number of committed frames."""
        position = self._group["position"]
        step = position.get("step")
        return len(step) if step is not None and step.shape else len(position["value"])

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return self._group["position/value"].shape[1]

    @property
    def steps(self) -> np.ndarray:
        """(T,) step of each frame."""
        return self._grid("step").astype(np.int64)

    @property
    def times_fs(self) -> np.ndarray:
        """(T,) time of each frame, fs."""
        factor = {"fs": 1.0, "ps": 1e3, "ns": 1e6, "s": 1e15}
        unit = _unit(self._group["position"].get("time"))
        return self._grid("time") * self._factor(unit, factor, "position/time")

    def _grid(self, name: str) -> np.ndarray:
        series = self._group["position"].get(name)
        if series is None and name == "time":
            raise FileError(f"{self.path}: gives no times for its frames")
        if series is None:
            return np.arange(len(self), dtype=float)
        if series.shape == ():  # fixed increment, as the format allows
            return series.attrs.get("offset", 0) + series[()] * np.arange(len(self))
        return series[: len(self)]

    def positions(self, frames=slice(None)) -> np.ndarray:
        """Positions (T, N, 3) of the frames (index or slice), Å."""
        return self._values(
            "position", frames, {"Angstrom": 1.0, "nm": 10.0, "A": 1.0, "Å": 1.0, "pm": 0.01, "m": 1e10}
        )

    def velocities(self, frames=slice(None)) -> np.ndarray | None:
        """Velocities (T, N, 3), Å/fs; None if there are none."""
        return self._values(
            "velocity", frames,
            {"Angstrom fs-1": 1.0, "Angstrom/fs": 1.0, "Angstrom ps-1": 1e-3, "nm ps-1": 1e-2, "nm fs-1": 10.0,
             "m s-1": 1e-5},
        )  # fmt: skip

    def forces(self, frames=slice(None)) -> np.ndarray | None:
        """Forces (T, N, 3), eV/Å; None if there are none."""
        kj, kcal = 1 / units.EV_IN_KJ_PER_MOL, 4.184 / units.EV_IN_KJ_PER_MOL
        return self._values(
            "force", frames,
            {_FORCE_UNIT: kj, "kJ mol-1 nm-1": 0.1 * kj, "kcal mol-1 Angstrom-1": kcal, "kcal mol-1 A-1": kcal,
             "eV Angstrom-1": 1.0, "eV/Angstrom": 1.0},
        )  # fmt: skip

    def cells(self, frames=slice(None)) -> np.ndarray | None:
        """Cells (T, 3, 3) Å, rows a, b, c; None if the file gives none."""
        edges = self._group.get("box/edges")
        if edges is None:
            return None
        series = edges["value"] if isinstance(edges, h5py.Group) else edges
        factor = self._factor(_unit(series), {"Angstrom": 1.0, "nm": 10.0, "A": 1.0, "Å": 1.0}, "box/edges")
        if not isinstance(edges, h5py.Group):
            cell = (series[()] if series.ndim == 2 else np.diag(series[()])) * factor
            return np.broadcast_to(cell, (len(range(len(self))[frames]), 3, 3)) if isinstance(frames, slice) else cell
        values = series[self._committed_slice(frames)] * factor
        return values if values.shape[-1] == values.shape[-2] == 3 and series.ndim == 3 else _diagonals(values)

    @property
    def pbc(self) -> np.ndarray:
        """(3,) bool, periodic along a, b, c."""
        boundary = self._group["box"].attrs.get("boundary", ["none"] * 3) if "box" in self._group else ["none"] * 3
        return np.array([(b.decode() if isinstance(b, bytes) else str(b)) == "periodic" for b in boundary])

    @property
    def numbers(self) -> np.ndarray | None:
        """(N,) atomic numbers; None if the file gives none."""
        values = self._constant("species")
        return None if values is None else values.astype(np.int64)

    @property
    def masses(self) -> np.ndarray | None:
        """(N,) masses, u; None if the file gives none."""
        return self._constant("mass")

    @property
    def observables(self) -> dict[str, np.ndarray]:
        """Observables on the grid of the frames, name -> (T, ...) in their units (see `FRAME_OBSERVABLES`)."""
        return {name: series[: len(self)] for name, series in self._observable_series().items()}

    @property
    def observable_units(self) -> dict[str, str]:
        """Units of the observables; empty where the file states none."""
        return {name: _unit(series) for name, series in self._observable_series().items()}

    def _observable_series(self) -> dict[str, h5py.Dataset]:
        group = self._file.get("observables", {})
        group = group.get(self._name, group) if isinstance(group, h5py.Group) else {}
        return {k: v["value"] for k, v in group.items() if isinstance(v, h5py.Group) and "value" in v}

    @property
    def thermo(self) -> dict[str, np.ndarray]:
        """The dense log: `step`, `time` (fs) and its columns, name -> (rows,); empty for other programs' files."""
        return self._table("thermo")

    @property
    def thermo_units(self) -> dict[str, str]:
        """Units of the columns of the dense log."""
        group = self._file.get("thermo")
        return {} if group is None else {name: _unit(series) for name, series in group.items()}

    @property
    def extrapolations(self) -> dict[str, np.ndarray]:
        """Extrapolation events: `step` and the columns of EXTRAPOLATION_COLUMNS."""
        return self._table("extrapolation")

    @property
    def parameters(self) -> dict:
        """What the run kept with its trajectory: the input, hashes, versions."""
        group = self._file.get("parameters/mdnnp")
        return {} if group is None else dict(group.attrs)

    def _table(self, name: str) -> dict[str, np.ndarray]:
        group = self._file.get(name)
        if group is None or "step" not in group:
            return {}
        count = len(group["step"])
        return {column: series[:count] for column, series in group.items()}

    def _constant(self, name: str) -> np.ndarray | None:
        element = self._group.get(name)
        if element is None:
            return None
        if isinstance(element, h5py.Group):
            if "constant" in element.attrs:
                return np.asarray(element.attrs["constant"])
            return element["value"][0] if len(element["value"]) else None
        return element[()]

    def _committed_slice(self, frames):
        if isinstance(frames, slice):
            return slice(*frames.indices(len(self)))
        return range(len(self))[frames]

    def _values(self, name: str, frames, factors: Mapping[str, float]) -> np.ndarray | None:
        element = self._group.get(name)
        if element is None:
            return None
        series = element["value"] if isinstance(element, h5py.Group) else element
        factor = self._factor(_unit(series), factors, name)
        values = series[self._committed_slice(frames)]
        return values if factor == 1.0 else values * factor

    def _factor(self, unit: str, factors: Mapping[str, float], name: str) -> float:
        if not unit:
            raise FileError(f"{self.path}: does not state the unit of {name}; add it to the values as attribute 'unit'")
        if unit not in factors:
            raise FileError(f"{self.path}: {name} is in {unit!r}, which is not a unit known here: {', '.join(factors)}")
        return factors[unit]


def _diagonals(lengths: np.ndarray) -> np.ndarray:
    return lengths[..., None] * np.eye(3)


def _unit(series: h5py.Dataset | None) -> str:
    unit = "" if series is None else series.attrs.get("unit", "")
    return unit.decode() if isinstance(unit, bytes) else str(unit)


def _open_for_reading(path: Path) -> h5py.File:
    if not path.exists():
        raise FileError(f"{path}: no such file")
    if path.is_dir():
        raise FileError(f"{path}: is a directory, not a trajectory")
    if not os.access(path, os.R_OK):
        raise FileError(f"{path}: no permission to read it")
    reasons: list[str] = []
    attempts: list[dict] = [{"locking": False}]
    if is_left_open(path):  # asked first, as HDF5 never returns from some damaged files in this mode
        live = {"swmr": True, "libver": "latest"}
        attempts += [live, {"locking": False, **live}]
    for options in attempts:
        try:
            return h5py.File(path, "r", **options)
        except OSError as error:
            reasons.append(_reason(error))
    raise FileError(f"{path}: not an HDF5 file, or damaged ({reasons[0]})")
