"""Structures from files and back: everything that ASE reads, and n2p2's `input.data`.

Inside, lengths are Å, energies eV, masses u, velocities Å/fs. Formats that ASE reads have units of their own;
an `input.data` has none, so they must be given.
"""

import re
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase import units as ase_units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii
from ase.io import iread as ase_iread
from ase.io import read as ase_read
from ase.io import write as ase_write
from ase.io.formats import UnknownFileTypeError, filetype, ioformats, string2index
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from mdnnp import n2p2, units, xyz
from mdnnp.errors import FileError, InputError, MdnnpWarning, printable, quoted
from mdnnp.files import new_file, require_regular
from mdnnp.system import System, complete_cell, heights, validate, volume

# Columns of velocities that some programs write without saying in which unit.
_UNITLESS_VELOCITIES = ("velocities", "velocity", "velo", "vel")
_LIKE_A_LABEL = re.compile(r"(^|[^a-z])(energy|forces?|stress|virials?)([^a-z]|$)")
_CONFIG_TYPE = re.compile(r'(?:^|\s)config_type=(?:"([^"]*)"|(\S+))')  # in a comment of an input.data
THINNEST_A = 0.1  # lattice planes nearer than this, and more atoms than the other number, are refused
DENSEST_PER_A3 = 5.0
_NOBLE_GASES = (2, 10, 18, 36, 54, 86)


@dataclass(frozen=True, eq=False)
class Structure:
    """A configuration of N atoms, and what its file says about it. None: the file does not say.

    system : positions Å, numbers, cell Å, pbc
    masses : (N,) u; isotopes as the file gives them, else standard atomic weights
    velocities : (N, 3) Å/fs
    energy : eV; forces : (N, 3) eV/Å; atomic_energies : (N,) eV
    stress : (3, 3) eV/Å^3, with ASE's sign (positive: tension)
    charges : (N,) e, of the atoms, as labels
    label : "file:index", for messages
    config_type : kind of configuration, as the data set names it; "" if it does not
    subset : "train" or "test", as the data set divides itself, else None
    unused : names of entries that look like labels, but are not called as labels are
    dropped : names of all entries of the file that no field holds
    """

    system: System
    masses: np.ndarray
    velocities: np.ndarray | None = None
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    label: str = "structure"
    atomic_energies: np.ndarray | None = None
    config_type: str = ""
    unused: tuple[str, ...] = ()
    subset: str | None = None
    charges: np.ndarray | None = None
    dropped: tuple[str, ...] = ()


# -----------------------------------------------------------------------------------------------------------
# Reading


def read_structures(
    path: str | Path,
    index: str | int | slice = ":",
    length_unit: str | None = None,
    energy_unit: str | None = None,
) -> list[Structure]:
    """Read structures from a file of any format that ASE knows, or from n2p2's `input.data`.

    index : which ones, as ASE understands it: ":" all, -1 the last, "0:10", ...
    length_unit, energy_unit : units of an `input.data` (needed there; recognised by its first word, `begin`).
        They do not concern other formats, whose units ASE knows, and are not used for them.
    Raises FileError if the file cannot be opened; InputError, naming file and structure, if it cannot be
    understood or holds what no simulation can start from (see `system.validate`), atoms far too dense included.
    Warns (MdnnpWarning) of what is left out, and of the first structure whose lengths look like another unit's.
    """
    path = Path(path)
    _require_file(path)
    wanted = _parse_index(path, index)
    if wanted == slice(None):
        return list(stream_structures(path, length_unit, energy_unit))
    if n2p2.is_input_data(path):
        _input_data_units(path, length_unit, energy_unit)
        count = sum(1 for _ in n2p2.read_input_data(path))
    elif is_xyz(path):
        count = sum(1 for _ in xyz.frames(path))
    else:
        frames, said = _read_with_ase(path, wanted), set()
        labels = [f"{path}:{n}" for n in _frame_numbers(wanted, len(frames))]
        each = [from_atoms(atoms, label, said) for atoms, label in zip(frames, labels, strict=True)]
        return list(question_units(each))
    numbers = range(count)
    try:
        chosen = [numbers[wanted]] if isinstance(wanted, int) else numbers[wanted]
    except IndexError:
        raise InputError(f"{path}: has no structure {wanted}; it holds {count}") from None
    if not chosen:
        raise InputError(f"{path}: holds no structures{_in_range(wanted)}")
    found = {}
    for k, structure in _stream(path, length_unit, energy_unit, set(numbers) - set(chosen)):
        if structure is not None:
            found[k] = structure
        if len(found) == len(chosen):
            break
    return list(question_units(found[k] for k in chosen))


def stream_structures(
    path: str | Path,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    exclude: Collection[int] = (),
) -> Iterator[Structure]:
    """All structures of a file one by one, as `read_structures` reads them; one is in memory at a time.

    exclude : numbers of structures to leave out, which may hold anything
    (As far as ASE's reader of the format streams: that of extended XYZ does, and that of `input.data`.)
    Raises InputError for an excluded number that the file does not have, too.
    """
    return question_units(_all_but(Path(path), length_unit, energy_unit, exclude))


def _all_but(path: Path, length_unit, energy_unit, exclude: Collection[int]) -> Iterator[Structure]:
    _require_file(path)
    count = 0
    for k, structure in _stream(path, length_unit, energy_unit, exclude):
        count = k + 1
        if structure is not None:
            yield structure
    if not count:
        raise InputError(f"{path}: holds no structures")
    if exclude and max(exclude) >= count:
        last = count - 1
        raise InputError(
            f"{path}:{max(exclude)} is to be left out, but {path} has {count} structures, from 0 to {last}"
        )


def _stream(path: Path, length_unit, energy_unit, exclude: Collection[int]) -> Iterator[tuple[int, Structure | None]]:
    """Number and structure one by one; None for those that are excluded."""
    said: set[str] = set()
    if n2p2.is_input_data(path):
        length, energy = _input_data_units(path, length_unit, energy_unit)
        for k, block in enumerate(n2p2.read_input_data(path, exclude)):
            yield k, None if block is None else _block_structure(path, k, block, length, energy, said)
    elif is_xyz(path):
        for k, frame in enumerate(xyz.frames(path)):
            yield k, None if k in exclude else _from_frame(frame, f"{path}:{k}", said)
    else:
        for k, atoms in enumerate(_stream_with_ase(path)):
            yield k, None if k in exclude else from_atoms(atoms, f"{path}:{k}", said)


def is_xyz(path: Path) -> bool:
    """Whether a file is extended XYZ, by its name."""
    return path.suffix.lower() in (".xyz", ".extxyz")


def _from_frame(frame: xyz.Frame, label: str, said: set[str]) -> Structure:
    try:
        return from_atoms(xyz.read_frame(frame, label), label, said)
    except InputError as error:
        text = str(error)
        raise InputError(text if ": line " in text else f"{text} (structure of line {frame.line})") from None


def count_structures(paths: Iterable[str | Path]) -> int | None:
    """Number of structures in files of extended XYZ and `input.data`; None if it is not told without reading them."""
    total = 0
    for path in map(Path, paths):
        _require_file(path)
        if n2p2.is_input_data(path):
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                total += sum(row.split(None, 1)[:1] == ["begin"] for row in file)
        elif is_xyz(path):
            total += sum(1 for _ in xyz.frames(path))
        else:
            return None
    return total


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory, expected a file with structures")
    require_regular(path)
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    if empty:
        raise InputError(f"{path}: the file is empty")


def _parse_index(path: Path, index: str | int | slice) -> int | slice:
    try:
        parsed = string2index(index) if isinstance(index, str) else index
    except (ValueError, TypeError):
        parsed = None
    if not isinstance(parsed, int | slice) or isinstance(parsed, bool):
        raise InputError(f"{path}: index {index!r} is not understood; give a number (-1: the last) or a range (0:10)")
    return parsed


def _frame_numbers(wanted: int | slice, count: int) -> list[int]:
    """Numbers of the `count` structures that were chosen; negative ones count from the file's end."""
    if isinstance(wanted, int):
        return [wanted]
    step = wanted.step or 1
    start = wanted.start if wanted.start is not None else (0 if step > 0 else -1)
    if start < 0 and step == 1 and wanted.stop is None:
        start = -count  # a range such as -10: may reach beyond the first structure
    return [start + k * step for k in range(count)]


def _in_range(wanted: int | slice) -> str:
    if wanted == slice(None):
        return ""
    limits = (wanted.start, wanted.stop, *([wanted.step] if wanted.step else []))
    return " in the range " + ":".join("" if limit is None else str(limit) for limit in limits)


def _read_with_ase(path: Path, wanted: int | slice) -> list[Atoms]:
    """Structures as ASE reads them; whatever goes wrong in ASE becomes an InputError."""
    with tempfile.TemporaryDirectory() as scratch, _errors_of_ase(path):
        source, format = _source_and_format(path, Path(scratch))
        chosen = _as_slice(wanted)
        if _ase_selects(chosen, format):
            frames = ase_read(source, chosen, format=format, do_not_split_by_at_sign=True)
        else:
            frames = ase_read(source, slice(None), format=format, do_not_split_by_at_sign=True)[chosen]
    if not frames and isinstance(wanted, int):
        raise InputError(f"{path}: has no structure {wanted}")
    if not frames:
        raise InputError(f"{path}: holds no structures{_in_range(wanted)}")
    return frames


def _stream_with_ase(path: Path) -> Iterator[Atoms]:
    with tempfile.TemporaryDirectory() as scratch, _errors_of_ase(path):
        source, format = _source_and_format(path, Path(scratch))
        yield from ase_iread(source, slice(None), format=format, do_not_split_by_at_sign=True)


def _source_and_format(path: Path, scratch: Path) -> tuple[str, str]:
    source = str(_plain_text_copy(path, scratch))
    format = filetype(source)
    if format == "runnerdata":  # by its suffix .data alone
        raise UnknownFileTypeError
    if format in ("vasp", "vasp-xdatcar"):
        _check_atom_count(path)
    return source, format


def _check_atom_count(path: Path) -> None:
    """Refuse a POSCAR that claims more atoms than it has bytes, for which ASE would fill the memory."""
    size = path.stat().st_size
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        rows = [file.readline(xyz.LONGEST_LINE).split() for _ in range(7)]
        for row in rows[5:]:  # the numbers of atoms stand in one of these, remarks after them
            words = takewhile(lambda word: word.isascii() and word.isdecimal() and len(word) < 4000, row)
            counts = [int(word) for word in words]
            if sum(counts) > size:
                raise InputError(
                    f"{path}: says that it has {printable(str(sum(counts)), 30)} atoms, but ends before that"
                )


@contextmanager
def _errors_of_ase(path: Path) -> Iterator[None]:
    """Whatever goes wrong in ASE becomes an InputError."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        if error.errno is None:  # ASE derives its parser's errors from OSError
            raise InputError(f"{path}: not readable as {_format_name(path)}: {printable(str(error))}") from None
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnknownFileTypeError:
        raise InputError(
            f"{path}: format not recognised; give extended XYZ, another format that ASE reads, or "
            "input.data of n2p2, which starts with 'begin' (data files of LAMMPS do not name elements)"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except KeyError as error:
        raise InputError(
            f"{path}: not readable as {_format_name(path)}: unknown name {printable(str(error))}"
        ) from None
    except Exception as error:  # ASE's parsers raise anything
        reason = printable(str(error) or type(error).__name__)
        raise InputError(f"{path}: not readable as {_format_name(path)}: {reason}") from None


def _as_slice(wanted: int | slice) -> slice:
    return wanted if isinstance(wanted, slice) else slice(wanted, wanted + 1 if wanted != -1 else None)


def _ase_selects(chosen: slice, format: str) -> bool:
    """Whether ASE may pick the structures; it errs for formats of a single one, and backwards."""
    return not ioformats[format].single and (chosen.step or 1) > 0


def _plain_text_copy(path: Path, scratch: Path) -> Path:
    """The file, or a copy without byte-order mark and carriage returns, on which ASE's parsers trip."""
    with path.open("rb") as file:
        head = file.read(65536)
        if b"\0" in head or not (head.startswith(b"\xef\xbb\xbf") or b"\r\n" in head):
            return path
        rest = file.read()
    copy = scratch / path.name
    copy.write_bytes((head + rest).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n"))
    return copy


def _format_name(path: Path) -> str:
    try:
        return filetype(str(path))
    except Exception:
        return "any format that ASE knows"


def from_atoms(atoms: Atoms, label: str = "structure", said: set[str] | None = None) -> Structure:
    """The Structure of an ASE Atoms object, with its isotope masses, momenta and results of a calculation.

    said : kinds of warnings given already, which are not repeated; those given are added
    Nothing is computed: results are taken only if they are there. Raises InputError, naming `label`.
    """
    said = set() if said is None else said
    system = System(
        np.array(atoms.positions, dtype=np.float64),
        np.array(atoms.numbers, dtype=np.int64),
        np.array(atoms.cell.array, dtype=np.float64),
        np.array(atoms.pbc, dtype=bool),
    )
    unknown = np.flatnonzero((system.numbers < 1) | (system.numbers >= len(chemical_symbols)))
    if len(unknown):
        raise InputError(f"{label}: atom {unknown[0]} is of no chemical element (symbol X)")
    system = _sound(system, label, said)
    if atoms.constraints:
        _warn(said, "constraints", f"{label}: its constraints are not used; all atoms will move")
    results = atoms.calc.results if _results_are_current(atoms) else {}
    energy = results.get("energy", results.get("free_energy"))
    subset = atoms.info.get("set")
    charges = atoms.get_initial_charges() if atoms.has("initial_charges") else results.get("charges")
    n = len(system)
    return Structure(
        system=system,
        masses=_masses(atoms, label, said),
        velocities=_velocities(atoms, label, said),
        energy=None if energy is None else float(_finite(energy, (), "energy", label)),
        forces=_finite(results.get("forces"), (n, 3), "forces", label),
        stress=_stress_or_virial(results.get("stress"), atoms, label),
        label=label,
        atomic_energies=_finite(results.get("energies"), (n,), "atomic energies", label),
        config_type=str(atoms.info.get("config_type", "")),
        unused=_unused_labels(atoms),
        subset=subset if subset in ("train", "test") else None,
        charges=_finite(charges, (n,), "charges", label),
        dropped=_dropped(atoms, results),
    )


def _warn(said: set[str], kind: str, text: str) -> None:
    """Warn of what a file has again and again, once."""
    if kind not in said:
        said.add(kind)
        warnings.warn(text, MdnnpWarning, stacklevel=4)


def _sound(system: System, label: str, said: set[str]) -> System:
    """The system with a right-handed cell. Raises InputError for what no simulation can start from."""
    cell = system.cell
    with np.errstate(all="ignore"):
        left_handed = bool(system.pbc.any() and np.isfinite(cell).all() and np.linalg.det(cell) < 0)
    if left_handed:
        # Two vectors that are both periodic or both not: the lattice, and all that is Cartesian, stays as it is.
        i, j = next(pair for pair in ((1, 2), (0, 1), (0, 2)) if system.pbc[pair[0]] == system.pbc[pair[1]])
        turned = cell.copy()
        turned[[i, j]] = cell[[j, i]]
        system = system._replace(cell=turned)
        _warn(
            said,
            "left-handed",
            f"{label}: its cell is left-handed; cell vectors {'abc'[i]} and {'abc'[j]} are exchanged, which leaves the "
            "geometry as it is",
        )
    validate(system, label)
    if system.pbc.any():
        with np.errstate(all="ignore"):
            full = complete_cell(system.cell, system.pbc)
            height = float(heights(full)[system.pbc].min())
            density = len(system) / volume(full) if system.pbc.all() else 0.0
        if not height >= THINNEST_A or not density <= DENSEST_PER_A3:
            raise InputError(
                f"{label}: a periodic cell with {len(system)} atoms and lattice planes {height:.3g} Å apart, which no "
                "matter has; is the lattice constant missing, or in another unit?"
            )
    return system


def _dropped(atoms: Atoms, results: Mapping[str, object]) -> tuple[str, ...]:
    """Names of entries that no field of a Structure holds."""
    kept = {"config_type", "set", "virial", "numbers", "positions", "momenta", "masses", "mass", "initial_charges"}
    kept |= {"energy", "free_energy", "forces", "stress", "energies", "charges"}
    return tuple(sorted({*atoms.info, *atoms.arrays, *results} - kept))


def _unused_labels(atoms: Atoms) -> tuple[str, ...]:
    """Names such as REF_energy or force, which ASE does not take for those of labels."""
    numeric = [name for name, value in atoms.info.items() if np.issubdtype(np.asarray(value).dtype, np.number)]
    names = [*numeric, *(name for name in atoms.arrays if atoms.arrays[name].shape == (len(atoms), 3))]
    return tuple(sorted(name for name in names if name != "virial" and _LIKE_A_LABEL.search(name.lower())))


def _results_are_current(atoms: Atoms) -> bool:
    return atoms.calc is not None and not atoms.calc.check_state(atoms)


def _finite(values, shape: tuple[int, ...], what: str, label: str) -> np.ndarray | None:
    """Values as a float64 array of this shape, None left alone; InputError for anything else."""
    if values is None:
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        hint = xyz.not_a_number(values) if isinstance(values, str) else None
        raise InputError(f"{label}: {what}: {hint or f'expected numbers, found {quoted(values)}'}") from None
    if array.shape != shape:
        raise InputError(f"{label}: {what}: expected shape {shape}, found {array.shape}")
    if not np.isfinite(array).all():
        first = np.argwhere(~np.isfinite(array))[0]
        of_atom = f" of atom {first[0]}" if len(first) else ""
        raise InputError(f"{label}: {what}{of_atom} not a finite number: {array[tuple(first[:1])]}")
    return array


def _stress(values, label: str) -> np.ndarray | None:
    if values is None:
        return None
    shape = np.shape(values)
    if shape == (6,):
        return voigt_6_to_full_3x3_stress(_finite(values, (6,), "stress", label))
    return _finite(np.reshape(values, (3, 3)) if shape == (9,) else values, (3, 3), "stress", label)


def _stress_or_virial(stress, atoms: Atoms, label: str) -> np.ndarray | None:
    """The stress; else from a virial = -volume * stress (3 x 3, eV), which other programs write.

    Raises InputError if the two contradict each other.
    """
    stress = _stress(stress, label)
    if "virial" not in atoms.info:
        return stress
    virial = _stress(atoms.info["virial"], f"{label}: virial")
    size = volume(atoms.cell.array)
    if stress is None and size == 0.0:
        raise InputError(f"{label}: has a virial but no cell, so that it gives no stress; leave the virial out")
    if stress is None:
        return -virial / size
    if size > 0.0:
        off = np.abs(stress + virial / size)
        i, j = np.unravel_index(np.argmax(off), (3, 3))
        if off[i, j] > xyz.SAME_STRESS * np.abs(stress).max() + xyz.SAME_STRESS_EV_A3:
            raise InputError(
                f"{label}: its stress and its virial contradict each other: {'xyz'[i]}{'xyz'[j]} is {stress[i, j]:.6g} "
                f"eV/Å^3, while minus virial over volume is {-virial[i, j] / size:.6g}; correct one, or leave it out"
            )
    return stress


def _masses(atoms: Atoms, label: str, said: set[str]) -> np.ndarray:
    """Masses in u, of the column `masses`, or `mass`, which other programs write."""
    column = atoms.arrays.get("mass")
    if column is not None and not atoms.has("masses"):
        _warn(said, "mass", f"{label}: masses are read from the column 'mass', in u")
    else:
        column = atoms.get_masses()
    masses = _finite(column, (len(atoms),), "mass", label)
    bad = np.flatnonzero(masses <= 0.0)
    if len(bad):
        raise InputError(f"{label}: mass of atom {bad[0]}: expected a positive number, found {masses[bad[0]]} u")
    return masses


def _velocities(atoms: Atoms, label: str, said: set[str]) -> np.ndarray | None:
    column = next((name for name in _UNITLESS_VELOCITIES if name in atoms.arrays), None)
    if column and not atoms.has("momenta"):
        _warn(
            said,
            "velocities",
            f"{label}: column {column!r} is not used, because its unit is not known; velocities are read from "
            "'momenta' (ASE's units), which ASE's set_velocities fills",
        )
    if not atoms.has("momenta"):
        return None
    return _finite(atoms.get_velocities() * ase_units.fs, (len(atoms), 3), "velocity", label)


def _input_data_units(path, length_unit: str | None, energy_unit: str | None) -> tuple[float, float]:
    """Å and eV per native unit; InputError if a unit is missing."""
    if length_unit is None and energy_unit is None and path.exists() and n2p2.names_columns(path):
        length_unit, energy_unit = "Bohr", "Hartree"  # RuNNer 2 defines them
    missing = [name for name, unit in (("length", length_unit), ("energy", energy_unit)) if unit is None]
    if missing:
        raise InputError(
            f"{path}: is an input.data, which states no units, and the unit of {' and '.join(missing)} is not given; "
            "give it, for example --length-unit Bohr --energy-unit Hartree (in Python length_unit=, energy_unit=)"
        )
    try:
        return units.length_in_angstrom(length_unit), units.energy_in_ev(energy_unit)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _block_structure(path: Path, k: int, block: n2p2.DataBlock, length: float, energy: float, said) -> Structure:
    """The structure of a block, whose columns, if they are named, are in Bohr and Hartree."""
    if block.named and (length, energy) != (units.BOHR_A, units.HARTREE_EV):
        raise InputError(
            f"{path}:{k}: line {block.line}: `begin` names columns, as RuNNer 2 does, whose files are in Bohr and "
            "Hartree, but other units are given; leave the units of the data out, or give these: --data-length-unit "
            "Bohr --data-energy-unit Hartree"
        )
    try:
        return _from_block(block, f"{path}:{k}", length, energy, said)
    except InputError as error:
        raise InputError(f"{error} (structure of line {block.line})") from None


def _from_block(block: n2p2.DataBlock, label: str, length: float, energy: float, said: set[str]) -> Structure:
    periodic = block.lattice is not None
    numbers = np.array([atomic_numbers[symbol] for symbol in block.symbols], dtype=np.int64)
    cell = block.lattice * length if periodic else np.zeros((3, 3))
    system = _sound(System(block.positions * length, numbers, cell, np.full(3, periodic)), label, said)
    # The format has places for labels whether or not there are any: an energy and forces of zero are none.
    has_forces = block.forces is not None and block.forces.any()
    unlabelled = not block.energy and not has_forces
    kind = _CONFIG_TYPE.search(block.comment)
    return Structure(
        system=system,
        masses=atomic_masses[numbers],
        energy=None if unlabelled or block.energy is None else block.energy * energy,
        forces=None if unlabelled or block.forces is None else block.forces * (energy / length),
        label=label,
        config_type=(kind[1] or kind[2]) if kind else "",
        subset=block.subset,
        charges=block.charges if block.charges is not None and block.charges.any() else None,
        dropped=(*(["charge"] if block.charge else []), *block.others),
    )


# -----------------------------------------------------------------------------------------------------------
# Writing


def to_atoms(structure: Structure) -> Atoms:
    """ASE Atoms with velocities and isotope masses, and with energy, forces and stress as results."""
    system = structure.system
    atoms = Atoms(numbers=system.numbers, positions=system.positions, cell=system.cell, pbc=system.pbc)
    if not np.array_equal(structure.masses, atomic_masses[system.numbers]):
        atoms.set_masses(structure.masses)
    if structure.velocities is not None:
        atoms.set_velocities(structure.velocities / ase_units.fs)
    results = {
        "energy": structure.energy,
        "forces": structure.forces,
        "energies": structure.atomic_energies,
        "stress": None if structure.stress is None else full_3x3_to_voigt_6_stress(structure.stress),
    }
    results = {name: value for name, value in results.items() if value is not None}
    if structure.charges is not None:
        atoms.set_initial_charges(structure.charges)
    if structure.config_type:
        atoms.info["config_type"] = structure.config_type
    if structure.subset:
        atoms.info["set"] = structure.subset
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def write_structures(
    path: str | Path,
    structures: Iterable[Structure],
    *,
    format: str | None = None,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write structures as extended XYZ (all digits), as n2p2's `input.data`, or in any format of ASE's.

    format : "extxyz", "n2p2" or a name that ASE knows; by default what the file name says (.xyz and .extxyz
        are extended XYZ; .data is n2p2's)
    length_unit, energy_unit : units of an `input.data`, needed there and nowhere else
    The file appears complete or not at all. Raises FileError if it exists and `overwrite` is False, or cannot
    be written; InputError for what the format cannot hold. Warns (MdnnpWarning) of what it leaves out.
    """
    path, structures = Path(path), list(structures)
    if not structures:
        raise InputError(f"{path}: there is no structure to write")
    if format is None:
        suffix = path.suffix.lower()
        format = {".xyz": "extxyz", ".extxyz": "extxyz", ".data": "n2p2"}.get(suffix)
    if dropped := sorted({name for s in structures for name in s.dropped}):
        text = f"{path}: left out what is not understood: {', '.join(map(quoted, dropped))}"
        warnings.warn(text, MdnnpWarning, stacklevel=2)
    if format == "n2p2":
        length, energy = _input_data_units(path, length_unit, energy_unit)
        _warn_of_losses(path, structures)
        n2p2.write_input_data(path, [_to_block(s, length, energy) for s in structures], overwrite=overwrite)
        return
    with new_file(path, overwrite) as temporary:
        if format == "extxyz":
            text = "".join(extended_xyz(structure) for structure in structures)
            temporary.write_text(text, encoding="utf-8", newline="\n")
        else:
            _write_with_ase(path, temporary, structures, format)


def check_writable_format(path: str | Path) -> None:
    """Raise InputError if `write_structures` could not write to a file of this name, for want of a format or units."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".xyz", ".extxyz"):
        return
    if suffix == ".data":
        raise InputError(f"{path}: an input.data states no units; write extended XYZ (.xyz) and convert it")
    try:
        name = filetype(str(path), read=False)
        known = name in ioformats and ioformats[name].can_write
    except UnknownFileTypeError:
        known = False
    if not known:
        raise InputError(
            f"{path}: no format that structures can be written in has this name; take extended XYZ (.xyz), or another "
            "of ASE's formats"
        )


def _write_with_ase(path: Path, temporary: Path, structures: Sequence[Structure], format: str | None) -> None:
    try:
        ase_write(
            str(temporary),
            [to_atoms(s) for s in structures],
            format=format or filetype(str(path), read=False),
        )
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(f"{path}: cannot be written: {error}") from None
    except Exception as error:  # ASE's writers raise anything
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be written as {format or path.suffix or 'any format'}: {reason}") from None


def extended_xyz(structure: Structure, info: Mapping[str, int | float] | None = None) -> str:
    """One frame with all digits (ASE itself writes eight decimals); `info`: more entries of its second line."""
    system, n = structure.system, len(structure.system)
    columns, properties = [system.positions], ["species:S:1", "pos:R:3"]
    momenta = None
    if structure.velocities is not None:
        momenta = structure.masses[:, None] * structure.velocities / ase_units.fs
    isotopes = not np.array_equal(structure.masses, atomic_masses[system.numbers])
    for name, values in (
        ("masses", structure.masses if isotopes else None),
        ("momenta", momenta),
        ("forces", structure.forces),
        ("energies", structure.atomic_energies),
        ("initial_charges", structure.charges),
    ):
        if values is not None:
            columns.append(np.reshape(values, (n, -1)))
            properties.append(f"{name}:R:{columns[-1].shape[1]}")
    head = []
    if system.cell.any():
        head.append(f'Lattice="{_numbers(system.cell)}"')
    head.append("Properties=" + ":".join(properties))
    if structure.config_type:
        head.append(f"config_type={_quoted(structure.config_type)}")
    if structure.subset:
        head.append(f"set={structure.subset}")
    head += [f"{name}={value!r}" for name, value in (info or {}).items()]
    if structure.energy is not None:
        head.append(f"energy={float(structure.energy)!r}")
    if structure.stress is not None:
        head.append(f'stress="{_numbers(structure.stress.T)}"')
    head.append('pbc="' + " ".join("T" if periodic else "F" for periodic in system.pbc) + '"')
    table = np.hstack(columns)
    rows = [f"{chemical_symbols[z]:<2} {_numbers(row)}" for z, row in zip(system.numbers, table, strict=True)]
    return "\n".join([str(n), " ".join(head), *rows]) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(x) for x in np.ravel(values).tolist())


def _warn_of_losses(path: Path, structures: Sequence[Structure]) -> None:
    lost = {
        "velocities": any(s.velocities is not None for s in structures),
        "stress": any(s.stress is not None for s in structures),
        "atomic energies": any(s.atomic_energies is not None for s in structures),
        "isotope masses": any(not np.array_equal(s.masses, atomic_masses[s.system.numbers]) for s in structures),
    }
    names = [name for name, present in lost.items() if present]
    if names:
        text = f"{path}: input.data cannot hold {', '.join(names)}; left out"
        warnings.warn(text, MdnnpWarning, stacklevel=3)


def _to_block(structure: Structure, length: float, energy: float) -> n2p2.DataBlock:
    system = structure.system
    if system.pbc.any() and not system.pbc.all():
        raise InputError(
            f"{structure.label}: periodic along {''.join(np.array(list('abc'))[system.pbc])} only, which "
            "input.data cannot "
            "hold: it knows clusters and fully periodic cells"
        )
    forces = np.zeros((len(system), 3)) if structure.forces is None else structure.forces
    return n2p2.DataBlock(
        positions=system.positions / length,
        symbols=tuple(chemical_symbols[z] for z in system.numbers),
        lattice=system.cell / length if system.pbc.all() else None,
        forces=forces / (energy / length),
        energy=None if structure.energy is None else structure.energy / energy,
        charges=structure.charges,
        subset=structure.subset,
        comment=structure.label + (f' config_type="{structure.config_type}"' if structure.config_type else ""),
    )


# -----------------------------------------------------------------------------------------------------------
# Units mixed up


# Limits of `unit_suspicion`, in units of covalent radii.
SHORTEST = 0.6
DENSEST = 2.0
IMPOSSIBLE = 12.0  # of a share that is refused: the neighbours of so dense atoms would fill the memory
SPARSE = (1.45, 2.6)
_NM_FOR_A = 0.25  # nearer than this, lengths are 10 times too small, rather than 1.89 times


def question_units(structures: Iterable[Structure]) -> Iterator[Structure]:
    """The structures. Warns of the first one that is suspicious, refuses (InputError) any that is impossibly dense.

    All structures of files come by here, and those of the ASE calculator, before anything is computed from them.
    """
    warned = False
    for structure in structures:
        share = _share(structure.system, covalent_radii[structure.system.numbers])
        if share > IMPOSSIBLE:
            raise InputError(
                f"{structure.label}: {len(structure.system)} atoms whose covalent spheres would fill their space "
                f"{share:.0f} times: were lengths in nm taken for Å? Convert the positions and the cell to Å (an "
                "input.data: state its unit)"
            )
        suspicion = None if warned else _suspicion_if_any(structure)
        if suspicion:
            warnings.warn(suspicion, MdnnpWarning, stacklevel=3)
            warned = True
        yield structure


def _suspicion_if_any(structure: Structure) -> str | None:
    try:
        return unit_suspicion(structure)
    except InputError:  # atoms on one spot, which those who compute refuse
        return None


def _share(system: System, radii: np.ndarray) -> float:
    """The covalent spheres' share of the atoms' space: the cell, and along open directions the extent of the atoms."""
    if not len(system):
        return 0.0
    cell = complete_cell(system.cell, system.pbc)
    extent = np.ptp(system.positions @ np.linalg.inv(cell), axis=0) + 2 * radii.mean() / heights(cell)
    return float((4.0 / 3.0 * np.pi * radii**3).sum() / (volume(cell) * np.prod(np.where(system.pbc, 1.0, extent))))


def unit_suspicion(structure: Structure) -> str | None:
    """A sentence if the distances look as if Å and Bohr had been mixed up, else None.

    Let q_i be the distance of atom i to its nearest neighbour over the sum of the two covalent radii (about
    0.8 to 1.25 in ordinary matter), and eta the covalent spheres' share of the volume. Suspicious:
    - min(q) < SHORTEST, or eta > DENSEST: lengths in Å were taken for Bohr, and all is 1.89 times too small;
    - SPARSE[0] < median(q) < SPARSE[1]: lengths in Bohr were taken for Å, and all is 1.89 times too large.
      Noble gases, which have such distances, are not judged by this rule, nor are systems beyond it (gases).
    Radii: B. Cordero et al., Dalton Trans. 2008, 2832. Raises InputError for atoms on one spot.
    """
    system, label = structure.system, structure.label
    radii = covalent_radii[system.numbers]
    share = _share(system, radii)
    if system.pbc.all() and share > DENSEST:
        return (
            f"{label}: {len(system) / volume(system.cell):.3g} atoms/Å^3, whose covalent spheres would fill the cell "
            f"{share:.1f} times: were lengths in Å taken for Bohr?"
        )
    q, distance, i, j = _nearest(system, radii, SPARSE[0])
    if np.median(q) > SPARSE[0]:
        q, distance, i, j = _nearest(system, radii, SPARSE[1])
    if q.min() < SHORTEST:
        symbols = "-".join(chemical_symbols[z] for z in system.numbers[[i, j]])
        units_mixed = "nm taken for Å" if np.median(q) < _NM_FOR_A else "Å taken for Bohr"
        return (
            f"{label}: atoms {i} and {j} ({symbols}) are {distance:.3f} Å apart, {q.min():.2f} of their "
            f"covalent radii' sum: were lengths in {units_mixed}, or do atoms overlap?"
        )
    if SPARSE[0] < np.median(q) < SPARSE[1] and not np.isin(system.numbers, _NOBLE_GASES).all():
        return (
            f"{label}: nearest neighbours are {np.median(q):.2f} of their radii' sum apart (median), "
            f"{distance:.3f} Å and more: were lengths in Bohr taken for Å?"
        )
    return None


def _nearest(system: System, radii: np.ndarray, reach: float) -> tuple[np.ndarray, float, int, int]:
    """q (N,) of the nearest neighbours, infinite beyond `reach`; the closest pair's distance Å, i, j."""
    from mdnnp.neighbors import neighbor_list  # compiled kernels; not every use of this module needs them

    nearest = np.full(len(system), np.inf)
    i, j, _, vectors = neighbor_list(system, 2.0 * reach * radii.max())
    if len(i) == 0:
        return nearest, np.inf, 0, 0
    distances = np.linalg.norm(vectors, axis=1)
    q = distances / (radii[i] + radii[j])
    np.minimum.at(nearest, i, np.where(q < reach, q, np.inf))
    k = int(np.argmin(q))
    return nearest, float(distances[k]), int(i[k]), int(j[k])
