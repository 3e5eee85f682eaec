"""Reading a trajectory on demand, ours or that of another program."""

import copy
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from ase.data import chemical_symbols

from mdnnp.base import units
from mdnnp.base.errors import FileError, InputError
from mdnnp.trajectory.elements import (
    DAMAGE,
    TIMES_FS,
    Element,
    attribute,
    check_size,
    find,
    item_of,
    series_groups,
    text,
    unit_of,
)
from mdnnp.trajectory.layout import FORCE_UNIT, STRESSES_GPA, reason_of
from mdnnp.trajectory.repair import open_for_reading
from mdnnp.trajectory.species import atomic_numbers, number_of_symbol

_ASE_ORIGIN = "ASE_ENTRY_ORIGIN"  # where znh5md had a value from
_STRESSES = ("stress", "stress_tensor", "pressure", "pressure_tensor")
_LENGTHS = {"Angstrom": 1.0, "nm": 10.0, "A": 1.0, "Å": 1.0, "pm": 0.01, "m": 1e10}
_MASSES = {"u": 1.0, "amu": 1.0, "Da": 1.0, "g mol-1": 1.0, "g/mol": 1.0, "kg": 1 / 1.66053906660e-27}
_OF_ALL_ATOMS = ("total_energy", "potential_energy", "kinetic_energy", "conserved_energy")
_NUMBERS_KEPT = ("n_degrees", "offset_energy_eV", "equilibration_steps", "timestep_fs")  # of `parameters`
_AT_ONCE = 1_000_000  # values compared at a time


Frames = int | slice | np.ndarray


class Trajectory:
    """A trajectory on disk, read on demand; only committed frames show. Also reads H5MD files of other programs.

    Frames are the steps of the positions, unless `common` says otherwise; every other quantity is read at the same
    steps, whatever its own are (`elements`). Atoms are in the order of their `id`, if there is one.

    path : the file; while a run writes it, and after a kill, it opens as well
    group : of the particles; by default "trajectory", or the first by name that has positions
    species : what types are: symbols of the types in ascending order, or LABEL=SYMBOL of each
    Raises FileError if there is no such file, or if it is not H5MD or has no positions, InputError for a group that
    is not there.
    """

    def __init__(self, path: str | Path, group: str | None = None, species: Sequence[str] = ()):
        self.path = Path(path)
        self._species = tuple(species)
        self._facts: dict = {}  # what is found once, for all views
        self._rows: dict[str, np.ndarray] = {}  # of each element, at the frames of this view
        self._file = open_for_reading(self.path)
        try:
            self._open_group(group)
        except BaseException:
            self._file.close()
            raise

    def _open_group(self, wanted: str | None) -> None:
        particles = item_of(str(self.path), self._file, "particles")
        if not isinstance(particles, h5py.Group) or item_of(str(self.path), self._file, "h5md") is None:
            raise FileError(f"{self.path}: an HDF5 file, but not a trajectory in H5MD format")
        try:
            names = [name for name in particles if item_of(str(self.path), particles, f"{name}/position") is not None]
        except DAMAGE as error:
            raise FileError(f"{self.path}: particles cannot be read ({reason_of(error)})") from None
        if wanted is not None and wanted not in names:
            raise InputError(
                f"{self.path}: no group {wanted!r} of particles with positions; there are: {', '.join(names)}"
            )
        if not names:
            raise FileError(f"{self.path}: holds no positions")
        self._name = wanted or ("trajectory" if "trajectory" in names else names[0])
        self._groups = names
        self._chosen = wanted is not None
        self._group = particles[self._name]
        self._clock = self._element("position")
        if self._clock.shape[1:] != (3,) or not self._clock.shape[0]:
            raise FileError(f"{self.path}: positions of shape {self._clock.shape}, expected (atoms, 3)")
        self._clock.require(self._clock.shape)
        self._n_atoms = self._clock.shape[0]

    def __enter__(self) -> "Trajectory":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # Frames ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of committed frames."""
        return len(self._clock)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return self._n_atoms

    @property
    def steps(self) -> np.ndarray:
        """(T,) step of each frame."""
        return np.arange(len(self)) if self._clock.steps is None else self._clock.steps

    @property
    def times_fs(self) -> np.ndarray:
        """(T,) time of each frame, fs. Raises FileError if the file gives none, or not in a known unit."""
        clock = self._clock
        if clock.times is None:
            raise FileError(f"{self.path}: has no times for {clock.name}")
        self._factor(clock.time_unit, TIMES_FS, f"{clock.name}/time")
        return clock.times

    def common(self, *names: str) -> "Trajectory":
        """The same file, with frames where all these elements have a value; their steps are those of the first.

        names : `position`, `velocity`, `box/edges`, `observables/NAME`, ... Raises FileError if one is missing.
        """
        clock = self._element(names[0])
        if clock is None:
            raise FileError(f"{self.path}: holds no {names[0]}")
        view = copy.copy(self)
        view._clock, view._rows = clock, {}
        for name in names[1:]:
            view._clock = view._clock.take(np.flatnonzero(view.given(name)))
        return view

    def given(self, name: str) -> np.ndarray:
        """(T,) bool: whether the element has a value at each frame; all False if there is none."""
        element = self._element(name)
        return np.zeros(len(self), bool) if element is None else element.rows_at(self._clock) >= 0

    def holds(self, name: str) -> bool:
        """Whether there is such an element. Raises FileError if it is damaged."""
        return self._element(name) is not None

    def _element(self, name: str) -> Element | None:
        """An element of the particles, or `observables/NAME`."""
        key = ("element", name)
        if key not in self._facts:
            path, (group, own) = str(self.path), (self._group, name)
            if name.startswith("observables/"):
                own = name.removeprefix("observables/")
                found = self._observable_groups().get(own)
                group = None if found is None else found.parent
            element = None if group is None else find(path, group, own, name)
            if element is not None and name != "position":
                element = element.timed_by(self._element("position"))
            self._facts[key] = element
        return self._facts[key]

    def _values(
        self, name: str, frames, shape: tuple[int, ...], factors: Mapping[str, float] | None
    ) -> np.ndarray | None:
        """Finite values of an element at some frames (index or slice), in our units, atoms in the order of `id`.

        Raises FileError where the element has none at a frame.
        """
        element = self._element(name)
        if element is None:
            return None
        factor = 1.0 if factors is None else self._factor(element.unit, factors, element.name)
        at = np.arange(len(self))[frames]
        single, at = at.ndim == 0, np.atleast_1d(at)
        rows = self._rows_of(name)[at]
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            raise FileError(
                f"{self.path}: {element.name} has no value at {self._where(at[missing[0]])}: its steps are not "
                f"those of {self._clock.name}"
            )
        values = element.numbers(rows, shape)
        if factor != 1.0:
            values = values * factor
        if not name.startswith(("box/", "observables/")) and name != "id":
            values = self._sorted(name, values, element, at)
        return values[0] if single else values

    def _where(self, k: int) -> str:
        return self._clock.where(int(self._clock.rows[k]))

    def _rows_of(self, name: str) -> np.ndarray:
        if name not in self._rows:
            self._rows[name] = self._element(name).rows_at(self._clock)
        return self._rows[name]

    def _sorted(self, name: str, values: np.ndarray, element: Element, at: np.ndarray) -> np.ndarray:
        """Values (frames, N, ...) in ascending order of the atoms' id: writers in parallel change the order."""
        if self._element("id") is None:
            return values
        ids = np.atleast_2d(self._values("id", at, (self._n_atoms,), None))
        order = np.argsort(ids, axis=1, kind="stable")
        first = self._facts.setdefault("ids", np.sort(ids[0]) if len(ids) else None)
        ordered = np.take_along_axis(ids, order, axis=1)
        wrong = np.flatnonzero((ordered != first).any(axis=1)) if first is not None else np.empty(0, int)
        if len(wrong) or (first is not None and (np.diff(first) == 0).any()):
            k = int(at[wrong[0]]) if len(wrong) else 0
            raise FileError(
                f"{self.path}: the atoms of {self._where(k)}, by their id, are not those of the first frame, or an id "
                "occurs twice; a varying number of atoms cannot be analysed"
            )
        if element.constant and (values != values[:, :1]).any() and self._order_changes():
            raise FileError(f"{self.path}: {name} is stored once, but the order of the atoms (id) changes")
        return np.take_along_axis(values, order.reshape(*order.shape, *[1] * (values.ndim - 2)), axis=1)

    def _order_changes(self) -> bool:
        ids = self._element("id")
        blocks = range(0, 0 if ids.constant else len(ids), max(1, _AT_ONCE // self._n_atoms))
        if "order" not in self._facts:
            rows = (ids.rows[start : start + blocks.step] for start in blocks)
            self._facts["order"] = any((ids.read(part) != ids.read(ids.rows[:1])).any() for part in rows)
        return self._facts["order"]

    # Particles ------------------------------------------------------------------------------------

    def positions(self, frames: Frames = slice(None)) -> np.ndarray:
        """Positions (T, N, 3) of the frames (index or slice), Å."""
        return self._values("position", frames, (self._n_atoms, 3), _LENGTHS)

    def velocities(self, frames: Frames = slice(None)) -> np.ndarray | None:
        """Velocities (T, N, 3), Å/fs; None if there are none. Those that `notes` names are in ASE's units.

        Raises FileError if there are none at one of the frames: see `given` and `common`. So do the others.
        """
        factors = {
            "Angstrom fs-1": 1.0, "Angstrom/fs": 1.0, "Angstrom ps-1": 1e-3, "nm ps-1": 1e-2, "nm fs-1": 10.0,
            "m s-1": 1e-5,
        }  # fmt: skip
        if self._has_ase_velocities:
            factors = {"Angstrom/fs": math.sqrt(units.ACCELERATION_A_PER_FS2)}  # sqrt(eV/u)
        return self._values("velocity", frames, (self._n_atoms, 3), factors)

    @cached_property
    def _has_ase_velocities(self) -> bool:
        """Whether znh5md took the velocities from ASE's atoms: it writes those unconverted, but calls them Å/fs."""
        item = item_of(str(self.path), self._group, "velocity")
        return item is not None and self.creator == "znh5md" and text(attribute(item, _ASE_ORIGIN, "")) == "arrays"

    @cached_property
    def creator(self) -> str:
        """Name of the program that wrote the file, in small letters; empty if it does not say."""
        creator = item_of(str(self.path), item_of(str(self.path), self._file, "h5md"), "creator")
        return "" if creator is None else text(attribute(creator, "name", "")).strip().lower()

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on everything that is not read as the file states it or as a user may expect, and why."""
        notes = []
        if len(self._groups) > 1 and not self._chosen:
            notes.append(
                f"the groups of particles are {', '.join(self._groups)}; {self._name} is analysed (--group NAME for "
                "another)"
            )
        if self._has_ase_velocities:
            notes.append(
                "velocities are read in sqrt(eV/u), ASE's unit: znh5md writes velocities in this unit, although it "
                "labels them Angstrom/fs (if the temperature is wrong by a factor of 104, they are in Angstrom/fs)"
            )
        if not self.parameters and self._is_without_unit("mass"):
            notes.append("mass has no unit in the file and is read in u")
        if self._species:
            notes.append(f"species are from --species {' '.join(self._species)}")
        if len(self._groups) > 1 and (left := [n for n in self._shared_observables() if n in _OF_ALL_ATOMS]):
            notes.append(f"{', '.join(left)} left out: values of the whole system, not only of {self._name}")
        return (*notes, *self._notes_on_steps())

    def _is_without_unit(self, name: str) -> bool:
        try:
            element = self._element(name)
        except FileError:
            return False
        return element is not None and not element.unit

    def _notes_on_steps(self) -> list[str]:
        """Elements of which the steps are not those of the positions, and values that a restart replaced."""
        notes, position = [], self._element("position")
        if position.replaced:
            notes.append(
                f"time decreases in the positions, where a restart was appended: {position.replaced} earlier frames at "
                f"or after the time of the restart are left out, {len(position)} are used"
            )
        if position.unwritten:
            notes.append(f"{position.unwritten} frames at the end, all zero, were never written and are left out")
        observables = (f"observables/{n}" for n in self._observable_groups())
        for name in ("velocity", "box/edges", "image", "force", *observables):
            try:
                element = self._element(name)
                rows = None if element is None else element.rows_at(position)
            except FileError as error:
                notes.append(str(error).removeprefix(f"{self.path}: "))
                continue
            if element is None or element.constant:
                continue
            if element.replaced and not position.replaced:
                notes.append(f"time decreases in {name}: {element.replaced} earlier values are left out")
            n, of = int(np.sum(rows >= 0)), len(position)
            if element.steps is None and element.times is None and position.steps is not None and name != "box/edges":
                notes.append(
                    f"{name} has no steps: its {of} values are assigned to the frames of the positions in order"
                )
            if n == of == len(element):
                continue
            notes.append(f"{name} has steps of its own: {len(element)} values, at {n} of the {of} frames of positions")
        return notes

    def images(self, frames: Frames = slice(None)) -> np.ndarray | None:
        """Images (T, N, 3) of the cell that the atoms are in, in units of its vectors; None if the file gives none."""
        found = self._values("image", frames, (self._n_atoms, 3), None)
        if found is not None and (found != np.round(found)).any():
            raise FileError(f"{self.path}: image holds numbers that are not integers")
        return found

    def forces(self, frames: Frames = slice(None)) -> np.ndarray | None:
        """Forces (T, N, 3), eV/Å; None if there are none."""
        kj, kcal = 1 / units.EV_IN_KJ_PER_MOL, 4.184 / units.EV_IN_KJ_PER_MOL
        return self._values(
            "force", frames, (self._n_atoms, 3),
            {FORCE_UNIT: kj, "kJ mol-1 nm-1": 0.1 * kj, "kcal mol-1 Angstrom-1": kcal, "kcal mol-1 A-1": kcal,
             "eV Angstrom-1": 1.0, "eV/Angstrom": 1.0},
        )  # fmt: skip

    def charges(self, frames: Frames = slice(None)) -> np.ndarray | None:
        """Charges (T, N), e; None if there are none."""
        unit = {"e": 1.0} if (own := self._element("charge")) is not None and own.unit else None
        return self._values("charge", frames, (self._n_atoms,), unit)

    def cells(self, frames: Frames = slice(None)) -> np.ndarray | None:
        """Cells (T, 3, 3) Å, rows a, b, c; None if the file gives none."""
        edges = self._element("box/edges")
        if edges is None:
            return None
        shape = edges.shape if edges.shape in ((3,), (3, 3)) else (3, 3)
        values = self._values("box/edges", frames, shape, _LENGTHS)
        return values if shape == (3, 3) else values[..., None] * np.eye(3)

    @property
    def pbc(self) -> np.ndarray:
        """(3,) bool, periodic along a, b, c. Raises FileError if that changes, or is not said as the format has it."""
        if "pbc" not in self._facts:
            self._facts["pbc"] = self._boundary()
        return self._facts["pbc"]

    def _boundary(self) -> np.ndarray:
        box = item_of(str(self.path), self._group, "box")
        if not isinstance(box, h5py.Group):
            return np.zeros(3, bool)
        if item_of(str(self.path), box, "pbc") is not None:  # of znh5md, in each frame
            return self._constant("box/pbc", (3,)).astype(bool)
        words = [text(word) for word in np.ravel(attribute(box, "boundary", ["none"] * 3))]
        if not set(words) <= {"periodic", "none"} or len(words) not in (1, 3):
            raise FileError(f"{self.path}: box has boundary {', '.join(words)}, expected three times periodic or none")
        return np.array([word == "periodic" for word in words]) & np.ones(3, bool)

    @property
    def numbers(self) -> np.ndarray | None:
        """(N,) atomic numbers; None if the file gives none.

        Species may be atomic numbers, text, or an HDF5 enumeration whose names count. Raises FileError if they change,
        or if they may as well be types (as LAMMPS writes them) and `species` does not say which.
        """
        if "numbers" not in self._facts:
            self._facts["numbers"] = self._atomic_numbers()
        return self._facts["numbers"]

    def _atomic_numbers(self) -> np.ndarray | None:
        element = self._element("species")
        if element is None:
            if len(self._species) == 1 and "=" not in self._species[0]:
                return np.full(self._n_atoms, number_of_symbol(self._species[0]))
            if self._species:
                raise FileError(f"{self.path}: names no species, so --species must be one symbol, for all atoms")
            return None
        names = h5py.check_enum_dtype(element.values.dtype)
        return atomic_numbers(
            str(self.path), self._labels(element, names), self._species, names and sorted(names, key=names.get),
            "mdnnp" if self.parameters else self.creator, lambda: self.masses,
        )  # fmt: skip

    def _labels(self, element: Element, names: dict[str, int] | None) -> list:
        """Names or numbers of the species of each atom."""
        if h5py.check_string_dtype(element.values.dtype) is not None:
            return [text(label).strip("\0 ") for label in self._constant_text(element)]
        values = self._constant("species", (self._n_atoms,))
        if names is not None:
            by_value = {value: name for name, value in names.items()}
            unknown = set(values.tolist()) - set(by_value)
            if unknown:
                raise FileError(f"{self.path}: species {sorted(unknown)[0]} is not one of the enumeration's")
            return [by_value[value] for value in values.tolist()]
        bad = (values != np.round(values)) | (values < 0) | (values >= len(chemical_symbols))
        if bad.any():
            raise FileError(f"{self.path}: species {values[bad][0]:g} is not an atomic number")
        return [int(value) for value in values]

    def _constant_text(self, element: Element) -> np.ndarray:
        if element.shape != (self._n_atoms,):
            raise FileError(f"{self.path}: species has values of shape {element.shape}, expected ({self._n_atoms},)")
        if not element.constant and self._element("id") is not None:
            raise FileError(f"{self.path}: species as text in each frame, sorted by id, are not read")
        first = element.read(element.rows[:1])[0]
        for start in range(0, len(element), step := max(1, _AT_ONCE // self._n_atoms)):
            changed = (element.read(element.rows[start : start + step]) != first).any(axis=1)
            if changed.any():
                row = int(element.rows[start + int(np.argmax(changed))])
                raise FileError(f"{self.path}: species change at {element.where(row)}: such files cannot be analysed")
        return first

    @property
    def masses(self) -> np.ndarray | None:
        """(N,) masses, u; None if the file gives none. Raises FileError if they change, or are not positive."""
        if "masses" not in self._facts:
            found = self._constant("mass", (self._n_atoms,))
            if found is not None and self._element("mass").unit:
                found = found * self._factor(self._element("mass").unit, _MASSES, "mass")
            if found is not None and not (found > 0).all():
                raise FileError(
                    f"{self.path}: mass of atom {int(np.argmin(found))} is {found.min():g}, expected above 0"
                )
            self._facts["masses"] = found
        return self._facts["masses"]

    def _constant(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """An element that must not change, sorted as the atoms are; None if the file gives none."""
        group = item_of(str(self.path), self._group, name)
        kept = attribute(group, "constant") if group is not None and self.parameters else None
        if kept is not None and np.shape(kept) == shape and np.asarray(kept).dtype.kind in "iuf":
            return np.asarray(kept)
        element = self._element(name)
        if element is None or (not element.constant and not len(element)):
            return None
        view = self if element.constant else self.common(name)
        if element.constant and not len(self):
            return element.numbers(element.rows, shape)[0]
        first = view._values(name, 0, shape, None)
        if element.constant:
            return first
        step = max(1, _AT_ONCE // max(1, first.size))
        for start in range(0, len(view), step):
            values = view._values(name, slice(start, start + step), shape, None)
            changed = np.argwhere(values != first)
            if len(changed):
                k, i = (int(c) for c in changed[0])
                raise FileError(
                    f"{self.path}: {element.name} [{i}] changes from {first[i]:g} to {values[k, i]:g} in "
                    f"{view._where(start + k)}: a run whose atoms or boundaries change cannot be analysed"
                )
        return first

    # Observables ----------------------------------------------------------------------------------

    @property
    def observables(self) -> dict[str, np.ndarray]:
        """Observables that have values at all frames, name -> (T, ...) in their units (see `FRAME_OBSERVABLES`)."""
        found = {}
        for name in self._observable_groups():
            try:
                element = self._element(f"observables/{name}")
                if self.given(f"observables/{name}").all():
                    found[name] = element.read(self._rows_of(f"observables/{name}"))
            except FileError:
                continue
        return found

    def observable(self, name: str, frames: Frames = slice(None)) -> np.ndarray:
        """(T,) values of a scalar observable at the frames, in its unit. Raises FileError where it has none."""
        return self._values(f"observables/{name}", frames, (), None)

    @property
    def observable_units(self) -> dict[str, str]:
        """Units of the observables; empty where the file states none."""
        found = {}
        for name in self._observable_groups():
            try:
                element = self._element(f"observables/{name}")
            except FileError:  # `notes` name it
                element = None
            found[name] = "" if element is None else element.unit
        return found

    def _observable_groups(self) -> dict[str, h5py.Group]:
        """Those of the particles' group, and those of the whole system that are as good for it."""
        if "observables" not in self._facts:
            own = series_groups(
                str(self.path), item_of(str(self.path), item_of(str(self.path), self._file, "observables"), self._name)
            )
            shared = self._shared_observables()
            if len(self._groups) > 1:
                shared = {name: group for name, group in shared.items() if name not in _OF_ALL_ATOMS}
            self._facts["observables"] = shared | own
        return self._facts["observables"]

    def _shared_observables(self) -> dict[str, h5py.Group]:
        return series_groups(str(self.path), item_of(str(self.path), self._file, "observables"))

    def stress_series(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Times (T,) fs and stress (T, 6) GPa: xx, yy, zz, then the shear components; None if there is none.

        An observable with a time of its own, called stress, stress_tensor, pressure or pressure_tensor, of six or 3 x 3
        components, in the sign of the file. Raises FileError where its unit is not stated, or not known, and for that
        of an ASE calculator, which lacks the kinetic part. So do our own frames, which are passed over.
        """
        of_potential = None
        for name, group in ({} if self.parameters else self._observable_groups()).items():
            if name not in _STRESSES:
                continue
            element = self._element(f"observables/{name}")
            if element is None or element.shape not in ((6,), (3, 3)):
                continue
            if text(attribute(group, _ASE_ORIGIN, "")) == "calc":
                of_potential = name
                continue
            view = self.common(f"observables/{name}")
            values = view._values(f"observables/{name}", slice(None), element.shape, STRESSES_GPA)
            if values.ndim == 3:
                values = np.stack(
                    [values[:, a, b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], axis=1
                )
            return view.times_fs, values
        if of_potential is not None:
            raise FileError(
                f"{self.path}: observables/{of_potential} is that of an ASE calculator, without the kinetic part; give "
                "the whole pressure tensor as observable pressure_tensor"
            )
        return None

    # What the run saved ----------------------------------------------------------------------------

    @property
    def thermo(self) -> dict[str, np.ndarray]:
        """The dense log: `step`, `time` (fs) and its columns, name -> (rows,); empty for other programs' files."""
        return self._table("thermo")

    @property
    def thermo_units(self) -> dict[str, str]:
        """Units of the columns of the dense log."""
        group = item_of(str(self.path), self._file, "thermo")
        return {} if group is None else {name: unit_of(series) for name, series in group.items()}

    @property
    def extrapolations(self) -> dict[str, np.ndarray]:
        """Extrapolation events: `step` and the columns of EXTRAPOLATION_COLUMNS."""
        return self._table("extrapolation")

    @property
    def parameters(self) -> dict:
        """What the run saved with its trajectory: the input, hashes, versions. Raises FileError if it is damaged."""
        if "parameters" not in self._facts:
            group = item_of(str(self.path), item_of(str(self.path), self._file, "parameters"), "mdnnp")
            try:
                found = {} if group is None else {name: attribute(group, name) for name in group.attrs}
            except DAMAGE as error:
                raise FileError(f"{self.path}: parameters/mdnnp cannot be read ({reason_of(error)})") from None
            for name in _NUMBERS_KEPT:
                value = np.asarray(found.get(name, 0))
                if value.shape != () or value.dtype.kind not in "iuf" or not np.isfinite(value):
                    raise FileError(f"{self.path}: parameters/mdnnp has {name} = {found[name]!r}, expected a number")
            if "kind" in found:
                found["kind"] = text(found["kind"])
            self._facts["parameters"] = found
        return self._facts["parameters"]

    def _table(self, name: str) -> dict[str, np.ndarray]:
        """Columns of equal length. Raises FileError where one is not a column of numbers, or is too short."""
        group = item_of(str(self.path), self._file, name)
        if item_of(str(self.path), group, "step") is None:
            return {}
        found, count = {}, None
        try:
            for column in ("step", *(c for c in group if c != "step")):
                series = item_of(str(self.path), group, column)
                if not isinstance(series, h5py.Dataset) or series.ndim != 1 or series.dtype.kind not in "iuf":
                    raise FileError(f"{self.path}: {name}/{column} is not a column of numbers")
                check_size(str(self.path), series)
                count = len(series) if count is None else count
                found[column] = series[:count]
                if len(found[column]) < count:
                    raise FileError(f"{self.path}: {name}/{column} has {len(found[column])} rows, {name}/step {count}")
        except DAMAGE as error:
            raise FileError(f"{self.path}: {name} cannot be read ({reason_of(error)})") from None
        return found

    def _factor(self, unit: str, factors: Mapping[str, float], name: str) -> float:
        if not unit:
            raise FileError(f"{self.path}: does not state the unit of {name}; add it to the values as attribute 'unit'")
        if unit not in factors:
            raise FileError(f"{self.path}: {name} is in {unit!r}, which is not a unit known here: {', '.join(factors)}")
        return factors[unit]
