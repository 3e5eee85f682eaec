"""Frames of a run, from one H5MD file or several parts of it, read in pieces of bounded size."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from mdnnp.errors import FileError, InputError
from mdnnp.trajectory import STEPS, Trajectory

N_BLOCKS = 10  # of an error bar
MIN_BLOCKS = 4
_VALUES_AT_ONCE = 6_000_000  # 48 MB
_COPIES = 8  # of a piece that following atoms through images holds


class Frames:
    """The frames of a run; files are chained by time, a later file replaces what an earlier one has of its time.

    paths : H5MD files in order; warmup_fs : time to leave out at the beginning
    times_fs (T,), n_atoms, numbers (N,), masses (N,) u, pbc (3,); species : symbol -> indices of its atoms
    parameters : what `mdnnp run` kept with the first file
    notes : what was left out, and why
    Raises FileError if no file can be read, InputError if they are not of one system.
    """

    def __init__(self, paths: Sequence[str | Path], warmup_fs: float = 0.0):
        self.notes: list[str] = []
        self._files = self._open(paths)
        first = self._files[0]
        self.notes += dict.fromkeys(note for file in self._files for note in file.notes)
        self.n_atoms, self.pbc = first.n_atoms, first.pbc
        for other in self._files[1:]:
            if other.n_atoms != self.n_atoms or not _same(first.numbers, other.numbers):
                raise InputError(f"{other.path}: not the atoms of {first.path}; analyse each by itself")
        self._index_frames(warmup_fs)
        self.numbers = np.ones(self.n_atoms, np.int64) if first.numbers is None else first.numbers
        if first.numbers is None:
            self.notes.append("the file names no species: all atoms are taken to be of one, named H")
        if self.numbers.min() < 0 or self.numbers.max() >= len(chemical_symbols):
            raise InputError(f"{first.path}: species {self.numbers.max()} is not an atomic number")
        self.masses = first.masses
        if self.masses is None:
            self.masses = atomic_masses[self.numbers]
            self.notes.append("the file gives no masses: those of the elements are taken")
        self.species = {chemical_symbols[z]: np.flatnonzero(self.numbers == z) for z in np.unique(self.numbers)}
        self.parameters = first.parameters
        self._ours = bool(first.parameters)  # whose positions are never wrapped

    def _open(self, paths) -> list[Trajectory]:
        files = []
        for path in paths:
            try:
                files.append(Trajectory(path))
            except FileError as error:
                if len(paths) == 1:
                    raise
                self.notes.append(f"left out: {error}")
        files = [file for file in files if len(file)]
        if not files:
            raise FileError(f"{', '.join(map(str, paths))}: no frames that can be read")
        return files

    def _index_frames(self, warmup_fs: float) -> None:
        """Which frame of which file is frame k."""
        times = [file.times_fs for file in self._files]
        begin = times[0][0] + warmup_fs
        which, local, kept = [], [], []
        for f, t in enumerate(times):
            end = min((later[0] for later in times[f + 1 :]), default=np.inf)
            use = np.flatnonzero((t >= begin) & (t < end) & np.r_[True, np.diff(t) > 0])
            which.append(np.full(len(use), f))
            local.append(use)
            kept.append(t[use])
        self._which, self._local = np.concatenate(which), np.concatenate(local)
        self.times_fs = np.concatenate(kept)
        if not len(self.times_fs):
            raise InputError(f"no frames after the first {warmup_fs * 1e-3:.4g} ps; leave out less with --warmup-ps")

    def __len__(self) -> int:
        return len(self.times_fs)

    def __enter__(self) -> "Frames":
        return self

    def __exit__(self, *exception) -> None:
        for file in self._files:
            file.close()

    @property
    def block_of(self) -> np.ndarray:
        """(T,) block of each frame; at most N_BLOCKS contiguous blocks."""
        n = len(self)
        return np.arange(n) * min(N_BLOCKS, n) // n

    def spacing_fs(self) -> float:
        """Time between frames, fs. Raises InputError if it is not the same throughout, or if frames are not of time."""
        if self.parameters.get("kind") == STEPS:
            raise InputError("the frames are steps of a relaxation or a search, which has no dynamics")
        steps = np.diff(self.times_fs)
        if not len(steps):
            raise InputError("one frame has no dynamics")
        if np.ptp(steps) > 1e-3 * np.median(steps):
            k = int(np.argmax(np.abs(steps - np.median(steps))))
            raise InputError(
                f"the frames are not equally spaced in time ({steps[k]:.6g} fs at {self.times_fs[k]:.6g} fs, "
                f"elsewhere {np.median(steps):.6g}), as correlation functions need them"
            )
        return float(np.mean(steps))

    def read(self, what: str, start: int, stop: int, *, optional: bool = False) -> np.ndarray | None:
        """`positions`, `velocities`, `images` or `cells` of frames start to stop, as the file has them, in Å and fs.

        Raises InputError if there are none (optional: None then), FileError where the file is damaged.
        """
        pieces = []
        k = start
        while k < stop:
            f = self._which[k]
            same = k + int(np.argmax(np.r_[self._which[k:stop] != f, True]))
            local = self._local[k:same]
            contiguous = local[-1] - local[0] + 1 == len(local)
            try:
                values = getattr(self._files[f], what)(slice(int(local[0]), int(local[-1]) + 1))
            except OSError as error:
                raise FileError(
                    f"{self._files[f].path}: {what} of frames {local[0]}-{local[-1]} cannot be read ({error})"
                ) from None
            if values is None and optional:
                return None
            if values is None:
                raise InputError(f"{self._files[f].path}: holds no {what}")
            pieces.append(values if contiguous else values[local - local[0]])
            k = same
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of pieces whose arrays are of bounded size."""
        size = max(1, _VALUES_AT_ONCE // (6 * self.n_atoms))
        for start in range(0, len(self), size):
            yield start, min(start + size, len(self))

    def unwrapped(
        self, start: int, stop: int, atoms: np.ndarray, *, every: int = 1, remove_drift: bool = False
    ) -> np.ndarray:
        """(T, len(atoms), 3) positions of frames start, start + every, ... before `stop`, followed from `start` on, Å.

        Our own are as they are; others follow the image flags of the file, or without any the nearest image from frame
        to frame.
        remove_drift : less the displacement of the centre of mass, of all atoms
        """
        out = np.empty((-(-(stop - start) // every), len(atoms), 3))
        piece = max(1, _VALUES_AT_ONCE // (3 * _COPIES * self.n_atoms))
        previous, images, centre = None, np.zeros((self.n_atoms, 3)), None
        for a in range(start, stop, piece):
            b = min(a + piece, stop)
            x = self.read("positions", a, b)
            flags = None if self._ours else self.read("images", a, b, optional=True)
            if flags is not None:
                x = x + flags @ self.read("cells", a, b)
            elif not self._ours and self.pbc.any():
                x, previous, images = self._follow(x, self.read("cells", a, b), previous, images)
            if remove_drift:
                mean = np.einsum("tnk,n->tk", x, self.masses) / np.sum(self.masses)
                centre = mean[0] if centre is None else centre
                x = x - (mean - centre)[:, None]
            kept = x[(start - a) % every :: every, atoms]
            first = -((start - a) // every)
            out[first : first + len(kept)] = kept
        return out

    def _follow(self, x, cells, previous, images):
        """Positions continued from the frame before by the nearest image; also the last fractions and images."""
        s = x @ np.linalg.inv(cells)
        before = s[:1] if previous is None else previous[None]
        jumps = np.round(np.diff(np.concatenate([before, s]), axis=0)) * self.pbc
        shifts = images - np.cumsum(jumps, axis=0)
        return x + shifts @ cells, s[-1], shifts[-1]

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
            raise InputError(f"no frames before {time_fs * 1e-3:.4g} ps; end later with --until-ps")
        self._which, self._local, self.times_fs = self._which[:n], self._local[:n], self.times_fs[:n]

    def volumes(self) -> np.ndarray:
        """(T,) volumes, Å^3. Raises InputError unless the cell is periodic in three directions."""
        if not self.pbc.all():
            raise InputError("the cell is not periodic in three directions, so that there is no density")
        return np.abs(np.linalg.det(self.read("cells", 0, len(self))))


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
