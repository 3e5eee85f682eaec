"""Elements of an H5MD file: checked, each with the steps and times of its own values.

An element in time is a group of `value`, `step` and perhaps `time`; a constant one is a dataset. `step` and `time` are
arrays, or scalars that say the increment (attribute `offset`: where it begins). Elements of one file need not share
them: `rows_at` says which value of one belongs to a frame of another, by time where both state it in a known unit, or
else by step. Where time goes back, a restart was appended: values that a later one replaces do not count.
"""

from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np

from mdnnp.base.errors import FileError
from mdnnp.trajectory.layout import reason_of

TIMES_FS = {"fs": 1.0, "ps": 1e3, "ns": 1e6, "us": 1e9, "s": 1e15}
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py raises on damaged files
_DENSEST = 1100  # values per stored byte that compression reaches (deflate: 1032)
_LARGEST = 1e36  # of any quantity in any unit; single precision holds it
_SQUARED_IN_SINGLE = 1e15  # beyond this, float32 is too narrow for a square
# Numbers, text and arrays of them. On damaged attributes of other classes (sequences of variable length, references)
# the HDF5 library ends the process.
_READ = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.BITFIELD, h5py.h5t.ENUM)


@dataclass(frozen=True)
class Element:
    """A quantity of a file.

    path : of the file; name : within it; values : the dataset; constant : stored once, for all times
    rows (n,) : of the dataset that count; replaced : number of those that a later branch of the run replaces;
        unwritten : number at the end that a writer made room for and never filled
    steps (n,) int64 or None; times (n,) or None, in fs if `time_unit` is a known unit, else as stored
    """

    path: str
    name: str
    values: h5py.Dataset
    constant: bool
    rows: np.ndarray
    replaced: int = 0
    unwritten: int = 0
    steps: np.ndarray | None = None
    times: np.ndarray | None = None
    time_unit: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one value."""
        return self.values.shape if self.constant else self.values.shape[1:]

    @property
    def unit(self) -> str:
        """Unit of the values; empty where none is stated."""
        return unit_of(self.values)

    def take(self, at: np.ndarray) -> "Element":
        """The same with the values `at` alone."""
        parts = (None if part is None else part[at] for part in (self.steps, self.times))
        steps, times = parts
        return replace(self, rows=self.rows[at], steps=steps, times=times)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), ...) values of increasing rows. Raises FileError if they cannot be read."""
        try:
            if self.constant:
                return np.broadcast_to(self.values[()], (len(rows), *self.shape))
            if not len(rows):
                return self.values[:0]
            strides = np.diff(rows)
            if len(rows) == 1 or (strides == strides[0]).all():
                return self.values[int(rows[0]) : int(rows[-1]) + 1 : int(strides[0]) if len(rows) > 1 else 1]
            return self.values[rows]
        except DAMAGE as error:
            raise FileError(
                f"{self.path}: {self.name} of frames {rows[0]}-{rows[-1]} cannot be read ({reason_of(error)})"
            ) from None

    def numbers(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """`read` of numbers of a shape and of sane size.

        Raises FileError, which names the frame and the atom, for others.
        """
        self.require(shape)
        values = self.read(rows)
        if values.dtype not in (np.float64, np.float32, np.int64, np.int32):  # of half precision, or of other machines
            values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
        bad = ~(np.abs(values) < _LARGEST)
        if bad.any():
            k, *at = (int(i) for i in np.argwhere(bad)[0])
            atom = f" of atom {at[0]}" if len(at) == 2 and at[0] < shape[0] and shape != (3, 3) else ""
            raise FileError(
                f"{self.path}: {self.name}{atom} is {values[(k, *at)]} in {self.where(int(rows[k]))}, expected a "
                f"number of size below {_LARGEST:g} (files with a varying number of atoms have nan, and cannot be "
                "analysed)"
            )
        if values.dtype == np.float32 and values.size and np.abs(values).max() > _SQUARED_IN_SINGLE:
            values = values.astype(np.float64)
        return values

    def require(self, shape: tuple[int, ...]) -> None:
        """Raise FileError unless the values are numbers, and one of them has this shape."""
        if self.values.dtype.kind not in "iuf":
            raise FileError(f"{self.path}: {self.name} holds {self.values.dtype}, expected numbers")
        if self.shape != shape:
            raise FileError(f"{self.path}: {self.name} has values of shape {self.shape}, expected {shape}")

    def where(self, row: int) -> str:
        """A row in words: its frame and step."""
        at = np.flatnonzero(self.rows == row)
        step = f" (step {self.steps[at[0]]})" if self.steps is not None and len(at) else ""
        return f"frame {row}{step}"

    def timed_by(self, other: "Element") -> "Element":
        """The same with the times of an element that has them, where this one has none: by step, or value for value."""
        if self.constant or self.times is not None or other.times is None:
            return self
        if self.steps is None or other.steps is None:
            return replace(self, times=other.times, time_unit=other.time_unit) if len(self) == len(other) else self
        if len(other) > 1:
            steps, times = other.steps - other.steps[0], other.times - other.times[0]
            per_step = times[-1] / steps[-1] if steps[-1] else np.nan
            if np.allclose(times, per_step * steps, rtol=0, atol=1e-6 * abs(times[-1])):
                times = other.times[0] + per_step * (self.steps - other.steps[0])
                return replace(self, times=times, time_unit=other.time_unit)
        return self

    def rows_at(self, clock: "Element") -> np.ndarray:
        """(len(clock),) row of this element at each value of another, -1 where it has none.

        Raises FileError where steps and times contradict each other, or both are missing.
        """
        if self.constant:
            return np.zeros(len(clock), np.int64)
        if self is clock:
            return self.rows
        timed = self.times is not None and clock.times is not None and self.time_unit == clock.time_unit
        stepped = self.steps is not None and clock.steps is not None
        if timed:
            mine, theirs = self.times, clock.times
            spacing = min((np.min(np.diff(t)) for t in (mine, theirs) if len(t) > 1), default=1.0)
            tolerance = np.minimum(1e-6 * np.abs(theirs) + 1e-4 * spacing, 0.1 * spacing)
        elif stepped:
            mine, theirs, tolerance = self.steps, clock.steps, np.zeros(1)
            if (np.diff(mine) <= 0).any() or (np.diff(theirs) <= 0).any():
                raise FileError(
                    f"{self.path}: steps of {self.name} or {clock.name} decrease, and there are no times to use instead"
                )
        elif len(self) == len(clock):
            return self.rows
        else:
            raise FileError(
                f"{self.path}: {self.name} has {len(self)} values and {clock.name} {len(clock)}; they cannot be "
                "matched, because they have neither steps nor times in common"
            )
        if not len(mine):
            return np.full(len(clock), -1)
        above = np.clip(np.searchsorted(mine, theirs), 0, len(mine) - 1)
        below = np.maximum(above - 1, 0)
        nearest = np.where(np.abs(mine[below] - theirs) < np.abs(mine[above] - theirs), below, above)
        found = np.abs(mine[nearest] - theirs) <= tolerance
        if timed and stepped:
            differ = np.flatnonzero(found & (self.steps[nearest] != clock.steps))
            if len(differ):
                k = differ[0]
                raise FileError(
                    f"{self.path}: at time {theirs[k]:.9g} {self.time_unit} {self.name} is of step "
                    f"{self.steps[nearest[k]]}, {clock.name} of step {clock.steps[k]}: they cannot be matched"
                )
        return np.where(found, self.rows[nearest], -1)


def find(file: str, group: h5py.Group, name: str, label: str) -> Element | None:
    """The element `name` of a group; None if there is none. Raises FileError for what is no element."""
    item = item_of(file, group, name)
    if item is None:
        return None
    if isinstance(item, h5py.Dataset):
        check_size(file, item)
        return Element(file, label, item, True, np.zeros(1, np.int64))
    value = item_of(file, item, "value") if isinstance(item, h5py.Group) else None
    if not isinstance(value, h5py.Dataset) or value.ndim == 0:
        raise FileError(f"{file}: {item.name} has no dataset 'value' with a row for each step")
    check_size(file, value)
    n = len(value)
    scale, unit = 1.0, ""
    time_series = item_of(file, item, "time")
    steps, times = (_axis(file, item, axis, n) for axis in ("step", "time"))
    if times is not None:
        unit = unit_of(time_series)
        scale, unit = (TIMES_FS[unit], "fs") if unit in TIMES_FS else (1.0, unit)
    n = min([n, *(len(axis) for axis in (steps, times) if axis is not None)])
    steps, times = (None if axis is None else axis[:n] for axis in (steps, times))
    if steps is not None:
        if (steps != np.round(steps)).any() or (np.abs(steps) > 2**62).any():
            raise FileError(f"{file}: {item.name}/step does not hold step numbers")
        steps = steps.astype(np.int64)
    element = Element(
        file, label, value, False, np.arange(n), 0, 0, steps, None if times is None else times * scale, unit
    )
    key = element.times if times is not None else steps
    if key is None or n < 2 or (np.diff(key) > 0).all():
        return element
    end = int(np.flatnonzero(key)[-1]) + 1 if key.any() else n
    if end < n and value.dtype.kind in "iuf" and not element.read(np.unique([end, n - 1])).any():
        element, key = replace(element.take(np.arange(end)), unwritten=n - end), key[:end]
        n = end
    later = np.append(np.minimum.accumulate(key[::-1])[::-1][1:], np.inf)
    kept = np.flatnonzero(key < later)
    return replace(element.take(kept), replaced=n - len(kept))


def _axis(file: str, element: h5py.Group, name: str, n: int) -> np.ndarray | None:
    """`step` or `time` of each of n values, or of fewer."""
    series = item_of(file, element, name)
    if series is None:
        return None
    where = f"{element.name}/{name}"
    if isinstance(series, h5py.Dataset):
        check_size(file, series)
    if not isinstance(series, h5py.Dataset) or series.dtype.kind not in "iuf" or series.ndim > 1:
        raise FileError(f"{file}: {where} is not a number, nor one for each value")
    try:
        if series.shape == ():  # a fixed increment, as the format allows
            values = float(np.asarray(attribute(series, "offset", 0.0))) + float(series[()]) * np.arange(n)
        else:
            values = series[:n]
    except DAMAGE as error:
        raise FileError(f"{file}: {where} cannot be read ({reason_of(error)})") from None
    if np.asarray(values).dtype.kind == "f":
        values = np.asarray(values, dtype=np.float64)
    sane = np.abs(values) < _LARGEST
    if not sane.all():
        k = int(np.argmin(sane))
        raise FileError(f"{file}: {where} is {values[k]} in frame {k}, expected a number of size below {_LARGEST:g}")
    return values


def item_of(file: str, group: Any, name: str) -> Any:
    """A member of a group; None if there is none (also of what is no group). Raises FileError for a damaged one."""
    if not isinstance(group, h5py.Group):
        return None
    try:
        return group.get(name)
    except DAMAGE as error:
        raise FileError(f"{file}: {group.name}/{name} cannot be read ({reason_of(error)})") from None


def check_size(file: str, series: h5py.Dataset) -> None:
    """Raise FileError if a dataset says that it is far larger than what is stored of it, or is damaged.

    So do those that hold neither numbers nor text.
    """
    try:
        plain = _is_plain(series.id.get_type())
        stored, declared, kind = series.id.get_storage_size(), series.size * series.dtype.itemsize, series.dtype.kind
        elsewhere = series.external
    except DAMAGE as error:
        raise FileError(f"{file}: {series.name} cannot be read ({reason_of(error)})") from None
    if not plain:
        raise FileError(f"{file}: {series.name} holds neither numbers nor text")
    if kind in "iufS" and declared > _DENSEST * (stored + 4096) and not elsewhere:
        raise FileError(
            f"{file}: {series.name} should have shape {series.shape}, but only {stored} bytes are stored: it was "
            "never written, or is damaged"
        )


def attribute(item: Any, name: str, default: Any = None) -> Any:
    """An attribute, or the default where it is missing or cannot be read."""
    try:
        if name not in item.attrs or not _is_plain(item.attrs.get_id(name).get_type()):
            return default
        return item.attrs[name]
    except DAMAGE:
        return default


def _is_plain(kind: h5py.h5t.TypeID) -> bool:
    """Whether a type is that of numbers or text, or arrays of them."""
    return kind.get_class() in _READ or (kind.get_class() == h5py.h5t.ARRAY and _is_plain(kind.get_super()))


def text(value: Any) -> str:
    """An attribute that is a string, of either kind, or a list of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def unit_of(series: Any) -> str:
    """Unit of a dataset; empty where none is stated."""
    return "" if series is None else text(attribute(series, "unit", ""))


def series_groups(path: str, group: Any) -> dict[str, h5py.Group]:
    """Members of a group that are elements in time."""
    if not isinstance(group, h5py.Group):
        return {}
    try:
        members = {name: item_of(path, group, name) for name in group}
        return {name: item for name, item in members.items() if isinstance(item, h5py.Group) and "value" in item}
    except DAMAGE as error:
        raise FileError(f"{path}: {group.name} cannot be read ({reason_of(error)})") from None
