"""Frames of a run, from one H5MD file or several parts of it, read in pieces of bounded size."""

import copy
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from ase.geometry import complete_cell

from mdnnp.base.errors import FileError, InputError
from mdnnp.trajectory import STEPS, Trajectory

N_BLOCKS = 10  # of an error bar
MIN_BLOCKS = 4
_VALUES_AT_ONCE = 6_000_000  # 48 MB
_CELLS_AT_ONCE = 10_000
_COPIES = 8  # of a piece that following atoms through images holds
_ELEMENTS = {"positions": "position", "velocities": "velocity", "cells": "box/edges", "images": "image",
             "charges": "charge"}  # fmt: skip
LOWEST_CELL_A, DENSEST_PER_A3 = 0.5, 5.0  # beyond which a cell is not of atoms, but in another unit, or damaged


class Frames:
    """The frames of a run; files are chained by time, a later file replaces what an earlier one has of its time.

    Frames are the steps at which there are positions, and cells if they change; `common` gives those of others.

    paths : H5MD files in order; warmup_fs : time to leave out at the beginning; choice : group and species, as
        `Trajectory` takes them
    times_fs (T,), NaN if the file does not say them; n_atoms, numbers (N,), masses (N,) u, pbc (3,);
        species : symbol -> indices of its atoms
    parameters : what `mdnnp run` kept with the first file
    notes : what was left out, and why
    Raises FileError if no file can be read, InputError if they are not of one system.
    """

    def __init__(self, paths: Sequence[str | Path], warmup_fs: float = 0.0, **choice: Any):
        self.notes: list[str] = []
        self._files = self._open(paths, choice)
        try:
            self._describe(warmup_fs)
        except BaseException:
            self.__exit__()
            raise

    def _describe(self, warmup_fs: float) -> None:
        first = self._files[0]
        self.n_atoms, self.pbc = first.n_atoms, first.pbc
        for other in self._files[1:]:
            if other.n_atoms != self.n_atoms or not _same(first.numbers, other.numbers):
                raise InputError(f"{other.path}: not the atoms of {first.path}; analyse each by itself")
        self.numbers = np.ones(self.n_atoms, np.int64) if first.numbers is None else first.numbers
        if first.numbers is None:
            self.notes.append("the file names no species: all atoms are treated as one species, named H")
        self.masses = self._masses(first)
        self.species = {chemical_symbols[z]: np.flatnonzero(self.numbers == z) for z in np.unique(self.numbers)}
        self.parameters = first.parameters
        self._ours = bool(first.parameters)  # whose positions are never wrapped
        self.notes += dict.fromkeys(note for file in self._files for note in file.notes)
        try:
            self._begin_fs = float(first.times_fs[0]) + warmup_fs
        except FileError as error:
            if len(self._files) > 1 or warmup_fs:
                raise
            self._begin_fs = math.nan
            self.notes.append(f"no dynamics, and no functions of time: {error}")
        wanted = ["positions", "cells"] if self.pbc.any() and all(map(_has_cells, self._files)) else ["positions"]
        self._index_frames(wanted)

    def _masses(self, first: Trajectory) -> np.ndarray:
        try:
            masses, why = first.masses, "the file gives no masses"
        except FileError as error:
            masses, why = None, str(error)
        if masses is not None:
            return masses
        self.notes.append(f"{why}: the standard masses of the elements are used")
        return atomic_masses[self.numbers]

    def _open(self, paths, choice) -> list[Trajectory]:
        files = []
        for path in paths:
            try:
                files.append(Trajectory(path, **choice))
            except FileError as error:
                if len(paths) == 1:
                    raise
                self.notes.append(f"left out: {error}")
        files = [file for file in files if len(file)]
        if not files:
            raise FileError(f"{', '.join(map(str, paths))}: no frames that can be read")
        return files

    def _index_frames(self, wanted: Sequence[str]) -> None:
        """File and index in the file of each frame that has all wanted quantities."""
        self._views = [file.common(*(_ELEMENTS[what] for what in wanted)) for file in self._files]
        if math.isnan(self._begin_fs):
            self._which, self._local = np.zeros(len(self._views[0]), int), np.arange(len(self._views[0]))
            self.times_fs = np.full(len(self._local), np.nan)
        else:
            times = [view.times_fs for view in self._views]
            starts = [file.times_fs[0] for file in self._files]
            which, local, kept = [], [], []
            for f, t in enumerate(times):
                end = min(starts[f + 1 :], default=np.inf)
                use = np.flatnonzero((t >= self._begin_fs) & (t < end))
                which.append(np.full(len(use), f))
                local.append(use)
                kept.append(t[use])
            self._which, self._local = np.concatenate(which), np.concatenate(local)
            self.times_fs = np.concatenate(kept)
        if not len(self.times_fs):
            if not any(map(len, self._views)):
                raise InputError(f"{self._files[0].path}: no frame has {' and '.join(wanted)}")
            warmup = self._begin_fs - self._files[0].times_fs[0]
            raise InputError(f"no frames after the first {warmup * 1e-3:.4g} ps; choose a smaller --warmup-ps")

    def common(self, *wanted: str) -> "Frames":
        """The same run with frames where all that is wanted is given, at the steps of the first: `velocities`, ...

        Raises InputError if the files hold none.
        """
        for file in self._files:
            for what in wanted:
                if not file.holds(_ELEMENTS[what]):
                    raise InputError(f"{file.path}: holds no {what}")
        view = copy.copy(self)
        view._index_frames(wanted)
        return view

    def holds(self, what: str) -> bool:
        """Whether all files have `what`."""
        return all(file.holds(_ELEMENTS[what]) for file in self._files)

    def __len__(self) -> int:
        return len(self.times_fs)

    def __enter__(self) -> "Frames":
        return self

    def __exit__(self, *exception: object) -> None:
        for file in self._files:
            file.close()

    @property
    def block_of(self) -> np.ndarray:
        """(T,) block of each frame; at most N_BLOCKS contiguous blocks."""
        n = len(self)
        return np.arange(n) * min(N_BLOCKS, n) // n

    def spacing_fs(self) -> float:
        """Time between frames, fs. Raises InputError if it is not the same throughout, or if frames are not of time."""
        if math.isnan(self._begin_fs):
            raise InputError("the file does not give the time of its frames in a known unit")
        if self.parameters.get("kind") == STEPS:
            raise InputError("the frames are steps of a relaxation or a search, which has no dynamics")
        steps = np.diff(self.times_fs)
        if not len(steps):
            raise InputError("one frame has no dynamics")
        if np.ptp(steps) > 1e-3 * np.median(steps):
            k = int(np.argmax(np.abs(steps - np.median(steps))))
            raise InputError(
                f"the frames are not equally spaced in time ({steps[k]:.6g} fs at {self.times_fs[k]:.6g} fs, "
                f"elsewhere {np.median(steps):.6g}), but correlation functions need equal spacing"
            )
        return float(np.mean(steps))

    def read(self, what: str, start: int, stop: int, *, optional: bool = False) -> np.ndarray | None:
        """`positions`, `velocities`, `images`, `cells` or `charges` of some frames as the file has them; Å, fs, e.

        Raises InputError if there are none (optional: None then), FileError where the file is damaged or has none at
        one of the frames.
        """
        pieces = []
        k = start
        while k < stop:
            f = self._which[k]
            same = k + int(np.argmax(np.r_[self._which[k:stop] != f, True]))
            local = self._local[k:same]
            contiguous = local[-1] - local[0] + 1 == len(local)
            values = getattr(self._views[f], what)(slice(int(local[0]), int(local[-1]) + 1))
            if values is None and optional:
                return None
            if values is None:
                raise InputError(f"{self._files[f].path}: holds no {what}")
            values = values if contiguous else values[local - local[0]]
            if what == "cells" and self.pbc.any():
                once = values.strides[0] == 0  # a constant cell
                for begin in range(0, 1 if once else len(values), _CELLS_AT_ONCE):
                    self._check_cells(values[begin : 1 if once else begin + _CELLS_AT_ONCE], k + begin)
            pieces.append(values)
            k = same
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of pieces whose arrays are of bounded size."""
        size = max(1, _VALUES_AT_ONCE // (6 * self.n_atoms))
        for start in range(0, len(self), size):
            yield start, min(start + size, len(self))

    def _check_cells(self, cells: np.ndarray, start: int) -> None:
        """Raise InputError for a cell without volume, or far too small, for these atoms."""
        volumes = np.abs(np.linalg.det(complete_cells(cells, self.pbc)))
        with np.errstate(divide="ignore", invalid="ignore"):
            areas = np.linalg.norm(np.cross(np.roll(cells, -1, axis=1), np.roll(cells, -2, axis=1)), axis=2)
            heights = np.where(self.pbc, volumes[:, None] / areas, np.inf)
        bad = ~(volumes > self.n_atoms / DENSEST_PER_A3 * self.pbc.all()) | ~(heights > LOWEST_CELL_A).all(axis=1)
        if bad.any():
            k = int(np.argmax(bad))
            rows = "; ".join(" ".join(f"{x:.4g}" for x in row) for row in cells[k])
            raise InputError(
                f"the cell of frame {start + k} ({rows} Å) has no room for {self.n_atoms} atoms: is it damaged, or is "
                "its unit wrong?"
            )

    def unwrapped(
        self, start: int, stop: int, atoms: np.ndarray, *, every: int = 1, remove_drift: bool = False
    ) -> np.ndarray:
        """(T, len(atoms), 3) positions of frames start, start + every, ... before `stop`, followed from `start` on, Å.

        Displacements are added up from frame to frame: the change of the fractional coordinates times the mean of the
        two cells. So they depend neither on the image that an atom begins in nor on the origin of the cell, also where
        a barostat changes it, and leave out what an atom is moved by scaling the cell. Our own positions are continuous
        as they are; others follow the image flags of the file, or without any the nearest image.
        remove_drift : minus the displacement of the centre of mass of all atoms
        Source: S. von Bülow, J. T. Bullerjahn, G. Hummer, J. Chem. Phys. 153, 021101 (2020): displacements of wrapped
        positions; positions that are unwrapped with the cell of each frame diffuse with its fluctuations.
        """
        out = np.empty((-(-(stop - start) // every), len(atoms), 3))
        piece = max(1, _VALUES_AT_ONCE // (3 * _COPIES * self.n_atoms))
        flagged = not self._ours and self._images_given()
        last = None  # positions, fractions and cell of the frame before, and the position that it has come to
        centre = None
        for a in range(start, stop, piece):
            b = min(a + piece, stop)
            x = self.read("positions", a, b)
            if self.pbc.any():
                cells = complete_cells(self.read("cells", a, b), self.pbc)
                s = x @ np.linalg.inv(cells)
                if flagged:
                    s = s + self.read("images", a, b)
                before = (s[0], cells[0], x[0]) if last is None else last
                moves = np.diff(s, axis=0, prepend=before[0][None])
                if not self._ours and not flagged:
                    moves -= np.round(moves) * self.pbc
                mean = 0.5 * (cells + np.concatenate([before[1][None], cells[:-1]]))
                x = before[2] + np.cumsum(moves @ mean, axis=0)
                last = s[-1], cells[-1], x[-1]
            if remove_drift:
                mean = np.einsum("tnk,n->tk", x, self.masses) / np.sum(self.masses)
                centre = mean[0] if centre is None else centre
                x = x - (mean - centre)[:, None]
            kept = x[(start - a) % every :: every, atoms]
            first = -((start - a) // every)
            out[first : first + len(kept)] = kept
        return out

    def _images_given(self) -> bool:
        """Whether the files have image flags at all of the frames."""
        return all(view.given("image").all() for view in self._views)

    def series(self, what: str, start: int, stop: int, atoms: np.ndarray) -> np.ndarray:
        """(stop - start, len(atoms), 3) of `velocities`, read in pieces."""
        out = np.empty((stop - start, len(atoms), 3))
        piece = max(1, _VALUES_AT_ONCE // (3 * _COPIES * self.n_atoms))
        for a in range(start, stop, piece):
            b = min(a + piece, stop)
            out[a - start : b - start] = self.read(what, a, b)[:, atoms]
        return out

    def end_at(self, time_fs: float) -> None:
        """Leave out the frames later than this. Raises InputError if none is left."""
        n = int(np.searchsorted(self.times_fs, time_fs, side="right"))
        if not n:
            raise InputError(f"no frames before {time_fs * 1e-3:.4g} ps; choose a larger --until-ps")
        self._which, self._local, self.times_fs = self._which[:n], self._local[:n], self.times_fs[:n]

    def volumes(self) -> np.ndarray:
        """(T,) volumes, Å^3. Raises InputError unless the cell is periodic in three directions."""
        if not self.pbc.all():
            raise InputError("the cell is not periodic in three directions, so the density is not defined")
        pieces = [np.abs(np.linalg.det(self.read("cells", start, stop))) for start, stop in self.chunks()]
        return np.concatenate(pieces)


def complete_cells(cells: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Cells (T, 3, 3) in which vectors that are zero, of directions without period, are normal to the others."""
    if pbc.all() or (np.abs(cells).sum(axis=2) > 0).all():
        return cells
    return np.array([complete_cell(cell) for cell in cells])


def _has_cells(file: Trajectory) -> bool:
    try:
        return file.holds("box/edges") and bool(file.given("box/edges").any())
    except FileError:  # for each analysis that needs them to say
        return False


def block_mean(sums: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error (...) of ratios sums (B, ...) / weights (B,) or (B, ...), from the scatter of the ratios.

    Blocks of weight zero do not count; fewer than MIN_BLOCKS give errors of NaN, none a mean of NaN.
    Source: H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989).
    """
    w = weights.reshape(*weights.shape, *[1] * (sums.ndim - weights.ndim))
    used, total = w > 0, w.sum(axis=0)
    n = used.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(used, sums, 0.0).sum(axis=0) / total
        scatter = np.where(used, w / total * (sums / w - mean), 0.0)
        error = np.sqrt(np.square(scatter).sum(axis=0) * n / (n - 1))
    return mean, np.where(n < MIN_BLOCKS, np.nan, error)[()]


def _same(a, b) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))
