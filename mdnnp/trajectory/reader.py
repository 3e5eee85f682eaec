"""Reading a trajectory on demand, ours or that of another program."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from mdnnp import units
from mdnnp.errors import FileError
from mdnnp.trajectory.layout import FORCE_UNIT, reason_of
from mdnnp.trajectory.repair import is_left_open

_TIMES_FS = {"fs": 1.0, "ps": 1e3, "ns": 1e6, "s": 1e15}
_ASE_ORIGIN = "ASE_ENTRY_ORIGIN"  # where znh5md had a value from
_STRESSES = ("stress", "stress_tensor", "pressure", "pressure_tensor")


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
        unit = _unit(self._group["position"].get("time"))
        return self._grid("time") * self._factor(unit, _TIMES_FS, "position/time")

    def _grid(self, name: str, element: h5py.Group | None = None) -> np.ndarray:
        """`step` or `time` of each value of an element; by default of the committed frames."""
        series = (self._group["position"] if element is None else element).get(name)
        n = len(self) if element is None else len(element["value"])
        if series is None and name == "time":
            raise FileError(f"{self.path}: gives no times for {'its frames' if element is None else element.name}")
        if series is None:
            return np.arange(n, dtype=float)
        if series.shape == ():  # fixed increment, as the format allows
            return series.attrs.get("offset", 0) + series[()] * np.arange(n)
        return series[:n]

    def positions(self, frames=slice(None)) -> np.ndarray:
        """Positions (T, N, 3) of the frames (index or slice), Å."""
        return self._values(
            "position", frames, {"Angstrom": 1.0, "nm": 10.0, "A": 1.0, "Å": 1.0, "pm": 0.01, "m": 1e10}
        )

    def velocities(self, frames=slice(None)) -> np.ndarray | None:
        """Velocities (T, N, 3), Å/fs; None if there are none. Those that `notes` names are in ASE's units."""
        factors = {
            "Angstrom fs-1": 1.0, "Angstrom/fs": 1.0, "Angstrom ps-1": 1e-3, "nm ps-1": 1e-2, "nm fs-1": 10.0,
            "m s-1": 1e-5,
        }  # fmt: skip
        if self._has_ase_velocities():
            factors = {"Angstrom/fs": math.sqrt(units.ACCELERATION_A_PER_FS2)}  # sqrt(eV/u)
        return self._values("velocity", frames, factors)

    def _has_ase_velocities(self) -> bool:
        """Whether znh5md took the velocities from ASE's atoms: it writes those as they are, but calls them Å/fs."""
        creator = self._file.get("h5md/creator")
        name = "" if creator is None else _text(creator.attrs.get("name", ""))
        element = self._group.get("velocity")
        return name == "znh5md" and element is not None and _text(element.attrs.get(_ASE_ORIGIN, "")) == "arrays"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is read in another way than the file says, and why."""
        if not self._has_ase_velocities():
            return ()
        return (
            "velocities are read as sqrt(eV/u), ASE's unit: znh5md writes ASE's velocities as they are, though it "
            "labels them Angstrom/fs (if the temperature is wrong by 104, this file is of a version that converts)",
        )

    def images(self, frames=slice(None)) -> np.ndarray | None:
        """Images (T, N, 3) of the cell that the atoms are in, in units of its vectors; None if the file gives none."""
        element = self._group.get("image")
        if not isinstance(element, h5py.Group):
            return None
        return element["value"][self._committed_slice(frames)]

    def forces(self, frames=slice(None)) -> np.ndarray | None:
        """Forces (T, N, 3), eV/Å; None if there are none."""
        kj, kcal = 1 / units.EV_IN_KJ_PER_MOL, 4.184 / units.EV_IN_KJ_PER_MOL
        return self._values(
            "force", frames,
            {FORCE_UNIT: kj, "kJ mol-1 nm-1": 0.1 * kj, "kcal mol-1 Angstrom-1": kcal, "kcal mol-1 A-1": kcal,
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
        return {name: element["value"] for name, element in self._observable_groups().items()}

    def _observable_groups(self) -> dict[str, h5py.Group]:
        group = self._file.get("observables", {})
        group = group.get(self._name, group) if isinstance(group, h5py.Group) else {}
        return {k: v for k, v in group.items() if isinstance(v, h5py.Group) and "value" in v}

    def stress_series(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Times (T,) fs and stress (T, 6) GPa: xx, yy, zz, then the shear components; None if there is none.

        An observable with a time of its own, called stress, stress_tensor, pressure or pressure_tensor, of six or 3 x 3
        components, in the sign of the file. Raises FileError where its unit is not stated, or not known, and for that
        of an ASE calculator, which lacks the kinetic part. So do our own frames, which are passed over.
        """
        factors = {
            "GPa": 1.0, "MPa": 1e-3, "kPa": 1e-6, "Pa": 1e-9, "bar": 1e-4, "kbar": 0.1, "atm": 1.01325e-4,
            "eV Angstrom-3": units.EV_PER_A3_IN_GPA, "eV/Angstrom^3": units.EV_PER_A3_IN_GPA,
            "kJ mol-1 nm-3": 1e-3 / units.EV_IN_KJ_PER_MOL * units.EV_PER_A3_IN_GPA,
        }  # fmt: skip
        of_potential = None
        for name, element in ({} if self.parameters else self._observable_groups()).items():
            series = element["value"]
            if name not in _STRESSES or series.shape[1:] not in ((6,), (3, 3)):
                continue
            if _text(element.attrs.get(_ASE_ORIGIN, "")) == "calc":
                of_potential = name
                continue
            values = series[()] * self._factor(_unit(series), factors, f"observables/{name}")
            if values.ndim == 3:
                values = np.stack(
                    [values[:, a, b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], axis=1
                )
            times = self._grid("time", element) * self._factor(_unit(element.get("time")), _TIMES_FS, f"{name}/time")
            return times[: len(values)], values[: len(times)]
        if of_potential is not None:
            raise FileError(
                f"{self.path}: observables/{of_potential} is that of an ASE calculator, which lacks the kinetic part; "
                "give the whole pressure tensor as observable pressure_tensor"
            )
        return None

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
    return "" if series is None else _text(series.attrs.get("unit", ""))


def _text(attribute) -> str:
    return attribute.decode() if isinstance(attribute, bytes) else str(attribute)


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
            reasons.append(reason_of(error))
    raise FileError(f"{path}: not an HDF5 file, or damaged ({reasons[0]})")
