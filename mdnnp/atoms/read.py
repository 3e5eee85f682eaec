"""Reading structures: every format that ASE reads, and n2p2's input.data."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.utils import string2index

from mdnnp.atoms import input_data, xyz
from mdnnp.atoms.input_data import input_data_units
from mdnnp.atoms.labels import Keys
from mdnnp.atoms.structure import Structure, from_atoms, is_xyz, sound
from mdnnp.atoms.system import System
from mdnnp.atoms.unit_suspicion import question_units
from mdnnp.base import units
from mdnnp.base.errors import FileError, InputError
from mdnnp.base.files import require_regular

_CONFIG_TYPE = re.compile(r'(?:^|\s)config_type=(?:"([^"]*)"|(\S+))')  # in a comment of an input.data


def read_structures(
    path: str | Path,
    index: str | int | slice = ":",
    length_unit: str | None = None,
    energy_unit: str | None = None,
    keys: Mapping[str, str] | None = None,
) -> list[Structure]:
    """Read structures from a file of any format that ASE knows, or from n2p2's `input.data`.

    index : which ones, as ASE understands it: ":" all, -1 the last, "0:10", ...
    length_unit, energy_unit : units of an `input.data` (needed there; recognised by its first word, `begin`).
        They do not concern other formats, whose units ASE knows, and are not used for them.
    keys : names that the file uses for labels, as {"forces": "dft_force"} (see `labels.Keys`); not used for an
        `input.data`, which has places for labels
    Raises FileError if the file cannot be opened; InputError, naming file and structure, if it cannot be
    understood or holds what no simulation can start from (see `system.validate`), atoms far too dense included.
    Warns (MdnnpWarning) of what is left out, and of the first structure whose lengths look like another unit's.
    """
    path = Path(path)
    _require_file(path)
    wanted = _parse_index(path, index)
    if wanted == slice(None):
        return list(stream_structures(path, length_unit, energy_unit, keys=keys))
    names = Keys(keys)
    if input_data.is_input_data(path):
        input_data_units(path, length_unit, energy_unit)
        count = sum(1 for _ in input_data.read_input_data(path))
    elif is_xyz(path):
        count = sum(1 for _ in xyz.frames(path))
    else:
        from mdnnp.atoms.ase_formats import read_with_ase

        frames, said = read_with_ase(path, wanted), set[str]()
        if not frames and isinstance(wanted, int):
            raise InputError(f"{path}: has no structure {wanted}")
        if not frames:
            raise InputError(f"{path}: holds no structures{_in_range(wanted)}")
        labels = [f"{path}:{n}" for n in _frame_numbers(wanted, len(frames))]
        each = [from_atoms(atoms, label, said, names) for atoms, label in zip(frames, labels, strict=True)]
        names.require(path)
        return list(question_units(each))
    numbers = range(count)
    try:
        chosen = [numbers[wanted]] if isinstance(wanted, int) else numbers[wanted]
    except IndexError:
        raise InputError(f"{path}: has no structure {wanted}; it holds {count}") from None
    if not chosen:
        raise InputError(f"{path}: holds no structures{_in_range(wanted)}")
    found = {}
    for k, structure in _stream(path, length_unit, energy_unit, set(numbers) - set(chosen), names):
        if structure is not None:
            found[k] = structure
        if len(found) == len(chosen):
            break
    if not input_data.is_input_data(path):
        names.require(path)
    return list(question_units(found[k] for k in chosen))


def stream_structures(
    path: str | Path,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    exclude: Collection[int] = (),
    keys: Mapping[str, str] | None = None,
) -> Iterator[Structure]:
    """All structures of a file one by one, as `read_structures` reads them; one is in memory at a time.

    exclude : numbers of structures to leave out, which may hold anything
    (As far as ASE's reader of the format streams: that of extended XYZ does, and that of `input.data`.)
    Raises InputError for an excluded number that the file does not have, too, and at its end for a name among `keys`
    that none of its structures has.
    """
    return question_units(_all_but(Path(path), length_unit, energy_unit, exclude, Keys(keys)))


def _all_but(path: Path, length_unit, energy_unit, exclude: Collection[int], keys: Keys) -> Iterator[Structure]:
    _require_file(path)
    count = 0
    for k, structure in _stream(path, length_unit, energy_unit, exclude, keys):
        count = k + 1
        if structure is not None:
            yield structure
    if not count:
        raise InputError(f"{path}: holds no structures")
    if exclude and max(exclude) >= count:
        last = count - 1
        raise InputError(
            f"{path}:{max(exclude)} cannot be left out: {path} has {count} structures, numbered from 0 to {last}"
        )
    if not input_data.is_input_data(path):
        keys.require(path)


def _stream(
    path: Path, length_unit, energy_unit, exclude: Collection[int], keys: Keys
) -> Iterator[tuple[int, Structure | None]]:
    """Number and structure one by one; None for those that are excluded."""
    said: set[str] = set()
    if input_data.is_input_data(path):
        length, energy = input_data_units(path, length_unit, energy_unit)
        for k, block in enumerate(input_data.read_input_data(path, exclude)):
            yield k, None if block is None else _block_structure(path, k, block, length, energy, said)
    elif is_xyz(path):
        for k, frame in enumerate(xyz.frames(path)):
            yield k, None if k in exclude else _from_frame(frame, f"{path}:{k}", said, keys)
    else:
        from mdnnp.atoms.ase_formats import stream_with_ase

        for k, atoms in enumerate(stream_with_ase(path)):
            yield k, None if k in exclude else from_atoms(atoms, f"{path}:{k}", said, keys)


def _from_frame(frame: xyz.Frame, label: str, said: set[str], keys: Keys) -> Structure:
    try:
        return from_atoms(xyz.read_frame(frame, label), label, said, keys)
    except InputError as error:
        text = str(error)
        raise InputError(text if ": line " in text else f"{text} (structure of line {frame.line})") from None


def count_structures(paths: Iterable[str | Path]) -> int | None:
    """Number of structures in files of extended XYZ and `input.data`; None if it is not told without reading them."""
    total = 0
    for path in map(Path, paths):
        _require_file(path)
        if input_data.is_input_data(path):
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
        raise InputError(f"{path}: index {index!r} is not valid; give a number (-1: the last) or a range (0:10)")
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
    if isinstance(wanted, int) or wanted == slice(None):
        return ""
    limits = (wanted.start, wanted.stop, *([wanted.step] if wanted.step else []))
    return " in the range " + ":".join("" if limit is None else str(limit) for limit in limits)


def _block_structure(path: Path, k: int, block: input_data.DataBlock, length: float, energy: float, said) -> Structure:
    """The structure of a block, whose columns, if they are named, are in Bohr and Hartree."""
    if block.named and (length, energy) != (units.BOHR_A, units.HARTREE_EV):
        raise InputError(
            f"{path}:{k}: line {block.line}: `begin` names columns, as RuNNer 2 does, whose files are in Bohr and "
            "Hartree, but other units are given; do not give units for the data, or give these: --data-length-unit "
            "Bohr --data-energy-unit Hartree"
        )
    try:
        return _from_block(block, f"{path}:{k}", length, energy, said)
    except InputError as error:
        raise InputError(f"{error} (structure of line {block.line})") from None


def _from_block(block: input_data.DataBlock, label: str, length: float, energy: float, said: set[str]) -> Structure:
    periodic = block.lattice is not None
    numbers = np.array([atomic_numbers[symbol] for symbol in block.symbols], dtype=np.int64)
    cell = block.lattice * length if periodic else np.zeros((3, 3))
    system = System(block.positions * length, numbers, cell, np.full(3, periodic), block.charge)
    system = sound(system, label, said)
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
        dropped=block.others,
    )
