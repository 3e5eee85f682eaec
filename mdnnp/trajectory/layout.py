"""Groups, datasets and units of a trajectory file, which writer and reader share."""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import h5py
import numpy as np

from mdnnp import __version__
from mdnnp.base.units import EV_IN_KJ_PER_MOL, EV_PER_A3_IN_GPA

HDF5_VERSION = ("v110", "v110")  # what "latest" writes, only HDF5 of the same age reads
GROUP = "particles/trajectory"
OBSERVABLES = "observables/trajectory"
FORCE_UNIT = "kJ mol-1 Angstrom-1"  # of the units that MDAnalysis accepts, the nearest to eV/Å
STRESSES_GPA = {
    "GPa": 1.0, "MPa": 1e-3, "kPa": 1e-6, "Pa": 1e-9, "bar": 1e-4, "kbar": 0.1, "atm": 1.01325e-4,
    "eV Angstrom-3": EV_PER_A3_IN_GPA, "eV/Angstrom^3": EV_PER_A3_IN_GPA,
    "kJ mol-1 nm-3": 1e-3 / EV_IN_KJ_PER_MOL * EV_PER_A3_IN_GPA,
}  # fmt: skip
FRAME_OBSERVABLES = {  # name -> (shape of a frame's value, unit)
    "potential_energy": ((), "eV"),
    "kinetic_energy": ((), "eV"),
    "total_energy": ((), "eV"),
    "temperature": ((), "K"),
    "stress": ((3, 3), "eV Angstrom-3"),
}
STEPS = "steps"  # parameters["kind"] of frames that are steps of a relaxation or a search, not of time
EXTRAPOLATION_COLUMNS = {
    "atom": np.int64,
    "function": np.int64,
    "value": np.float64,
    "lower": np.float64,
    "upper": np.float64,
}


class Counts(NamedTuple):
    """How much of a trajectory is committed."""

    frames: int = 0
    thermo: int = 0
    extrapolations: int = 0


def make_layout(
    file: h5py.File,
    numbers: np.ndarray,
    masses: np.ndarray,
    pbc: np.ndarray,
    thermo_units: Mapping[str, str],
    parameters: Mapping[str, Any],
    velocities: bool,
    forces: bool,
    charges: bool,
    author: str,
) -> None:
    """Make all groups and empty datasets of a file open for writing: numbers (N,), masses (N,) u, pbc (3,), flags."""
    n = len(numbers)
    h5md = file.create_group("h5md")
    h5md.attrs["version"] = np.array([1, 1], dtype=np.int32)
    h5md.create_group("author").attrs["name"] = author
    creator = h5md.create_group("creator")
    creator.attrs["name"], creator.attrs["version"] = "mdnnp", __version__
    module = h5md.create_group("modules/units")
    module.attrs["version"], module.attrs["system"] = np.array([1, 0], dtype=np.int32), "SI"

    group = file.create_group(GROUP)
    position = group.create_group("position")
    step, time = _series(position, "step", (), np.int64), _series(position, "time", (), np.float64, "fs")
    _series(position, "value", (n, 3), np.float64, "Angstrom")
    box = group.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs["boundary"] = [
        "periodic" if p else "none" for p in pbc
    ]  # not of fixed length: znh5md compares bytes with text
    elements: list[tuple[h5py.Group, tuple[int, ...], type, str | None]] = [
        (box.create_group("edges"), (3, 3), np.float64, "Angstrom")
    ]
    if velocities:
        elements.append((group.create_group("velocity"), (n, 3), np.float64, "Angstrom fs-1"))
    if forces:
        elements.append((group.create_group("force"), (n, 3), np.float64, FORCE_UNIT))
    if charges:
        elements.append((group.create_group("charge"), (n,), np.float64, "e"))
        group["charge"].attrs["type"] = "effective"
    for name, values, kind, of in (("species", numbers, np.int32, None), ("mass", masses, np.float64, "u")):
        constant = group.create_group(name)
        constant.attrs["constant"] = np.asarray(values, dtype=kind)
        elements.append((constant, (n,), kind, of))
    for name, (own, of) in FRAME_OBSERVABLES.items():
        elements.append((file.create_group(f"{OBSERVABLES}/{name}"), own, np.float64, of))
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
    for name, column_type in EXTRAPOLATION_COLUMNS.items():
        _series(events, name, (), column_type)
    own = file.create_group("parameters/mdnnp")
    for name, value in parameters.items():
        own.attrs[name] = value


def _series(group, name, shape, dtype, unit=None, **options) -> h5py.Dataset:
    chunk = (1, *shape) if shape else (128,)  # each commit writes the last chunk anew
    series = group.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=chunk, **options)
    if unit is not None:
        series.attrs["unit"] = unit
    return series


def reason_of(error: Exception) -> str:
    """Why the system refused, without what HDF5 says around it."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    said = re.search(r"error message = '([^']*)'", str(error))  # HDF5 wraps what the system said
    return said[1] if said else (str(error).splitlines() or [type(error).__name__])[0]
