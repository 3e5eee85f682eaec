"""XYZ files frame by frame: extended XYZ as ASE reads it, and the comment lines of i-PI. Every error names its line."""

import re
import warnings
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers
from ase.geometry import cellpar_to_cell

from mdnnp.base.errors import InputError, MdnnpWarning, printable, quoted
from mdnnp.base.units import BOHR_A

# Stress and virial of a structure, and the halves of a stress, may differ by so much: as a part of the largest
# component, and in eV/Å^3.
SAME_STRESS, SAME_STRESS_EV_A3 = 0.01, 1e-5
LONGEST_LINE = 1_000_000  # characters
_ONCE = ("Lattice", "Properties", "pbc", "energy", "free_energy", "stress", "virial", "config_type", "set")
_KEY = re.compile(r"(?:^|\s)([A-Za-z_]\w*)\s*=")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'|\{[^}]*\}|\[[^\]]*\]")
_STARS = re.compile(r"\*+")
_D_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[dD][+-]?\d+")
# i-PI: ipi/utils/io/backends/io_xyz.py and ipi/utils/io/io_units.py of its version 3.1
_IPI_CELL = re.compile(r"CELL[(\[{](\w*)[)\]}]:\s*((?:[-+]?[\d.][-+\d.eE]*(?:\s+|$))*)")
_IPI_UNIT = re.compile(r"(\w+)\{(\w*)\}")
_IPI_LENGTHS_A = {"": BOHR_A, "atomic_unit": BOHR_A, "angstrom": 1.0, "nanometer": 10.0}
# Words that announce a cell, what may stand between them and its numbers, and what separates all of these.
_CELL_WORD = re.compile(r"(?<![A-Za-z])(lattice|unit_?cell|cell|box|celldm|latvec|pbc)(?![a-z])", re.IGNORECASE)
_CELL_FILLER = re.compile(
    r"[a-z]{0,2}|abc(abc)?|alpha|beta|gamma|parameters?|vectors?|size|lengths?|angstrom", re.IGNORECASE
)
_CELL_SEPARATOR = re.compile(r"[\s,;:=\"'()\[\]{}]+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
# Comments and columns that `_read_plain` reads.
_ENTRY = re.compile(r'\s*([A-Za-z_]\w*)=(?:"([-+.:,\w ]+)"|([-+.:,\w]+))(?=\s|$)', re.ASCII)
_PROPERTIES = re.compile(r"species:S:1:pos:R:3((?::\w+:R:\d)*)", re.ASCII)
_TRUTH = dict.fromkeys(("T", "true", "True", "TRUE"), True) | dict.fromkeys(("F", "false", "False", "FALSE"), False)
_RESULTS = ("energy", "free_energy", "stress", "forces", "energies", "charges")
_COLUMNS = {"pos": 3, "forces": 3, "momenta": 3, "energies": 1, "charges": 1, "masses": 1}


class Frame(NamedTuple):
    """A structure as its file has it: line of the number of atoms (from 1), and the rows from there on."""

    line: int
    rows: list[str]


def frames(path: Path) -> Iterator[Frame]:
    """The frames of a file. Raises InputError, naming frame and line, where they do not follow one another.

    ASE stops at a blank line where a frame should begin, and drops the rest of the file without a word.
    """
    count, frame = 0, None
    rows = _rows(path)
    for number, row in rows:
        words = row.split()
        if words and words[0].startswith("VEC") and frame:  # cell vectors of ADF's dialect
            frame.rows.append(row)
            continue
        if frame:
            yield frame
            frame, count = None, count + 1
        if not words:
            later = next((n for n, rest in rows if rest.strip()), None)
            if later is None:
                return
            raise InputError(
                f"{path}:{count}: line {number}: blank line between structures (the next text is at line {later})"
            )
        if len(words) > 1 or not (words[0].isascii() and words[0].isdecimal() and len(words[0]) < 16):
            raise InputError(
                f"{path}:{count}: line {number}: expected the number of atoms of a structure, found "
                f"{quoted(row.strip())}; does the structure before it have more atoms than its first line states?"
            )
        n_atoms = int(words[0])
        frame = Frame(number, [row])
        for _, following in rows:
            frame.rows.append(following)
            if len(frame.rows) == n_atoms + 2:
                break
        if n_atoms and len(frame.rows) < n_atoms + 2:
            raise InputError(
                f"{path}:{count}: line {number}: a structure of {n_atoms} atoms begins here, but the file ends after "
                f"{max(len(frame.rows) - 2, 0)} of them"
            )
    if frame:
        yield frame


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, from 1."""
    number = 0
    with path.open(encoding="utf-8-sig") as file:
        try:
            while row := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(row) > LONGEST_LINE:
                    raise InputError(f"{path}:{number}: a line of more than {LONGEST_LINE} characters; is this XYZ?")
                yield number, row
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: not UTF-8 text ({error.reason}, after line {number}); save the file as UTF-8"
            ) from None


def read_frame(frame: Frame, where: str) -> Atoms:
    """The atoms of a frame, Å, eV. Raises InputError naming `where` and the line."""
    at = f"{where}: line {frame.line + 1}"
    comment = frame.rows[1] if len(frame.rows) > 1 else ""
    for name, times in _times_given(comment).items():
        if times > 1:
            raise InputError(f"{at}: {name}= is given {times} times; keep one")
    _refuse_skew_stress(comment, at)
    ipi = _ipi(comment, at)
    rows = [frame.rows[0], "\n", *frame.rows[2:]] if ipi else frame.rows
    atoms = _read_plain(rows)
    if atoms is None:
        try:
            atoms = _read_with_ase(rows)
        except Exception as error:  # ASE's parsers raise anything
            reason = _reason(frame) or f"not readable as extended XYZ: {printable(str(error) or type(error).__name__)}"
            raise InputError(f"{where}: {reason}") from None
    if ipi:
        cell, length = ipi
        atoms.set_cell(cell)
        atoms.pbc = True
        atoms.positions *= length
    elif not atoms.cell.array.any():
        _refuse_unknown_cell(comment, at)
    return atoms


def _read_with_ase(rows: list[str]) -> Atoms:
    from ase.io.extxyz import read_xyz  # loads half of SciPy

    # an XYZ frame alone, so that nothing of other frames is read into it
    return next(iter(read_xyz(StringIO("".join(rows)), index=0)))


def _read_plain(rows: list[str]) -> Atoms | None:
    """What `_read_with_ase` gives, for a frame of the usual form; None for any other, and for one with a fault.

    ASE's reader takes longer to load than half of a short run, and two to twelve times as long for a frame.
    """
    n_atoms, info = len(rows) - 2, _plain_entries(rows[1]) if len(rows) > 2 else None
    if info is None or int(rows[0]) != n_atoms:
        return None
    found = _PROPERTIES.fullmatch(str(info.pop("Properties", "species:S:1:pos:R:3")))
    if not found:
        return None
    more = found[1].split(":")
    names = ["pos", *more[1::3]]
    if [str(_COLUMNS.get(name)) for name in names] != ["3", *more[3::3]] or len(set(names)) < len(names):
        return None
    words = [row.split() for row in rows[2:]]
    if {len(row) for row in words} != {1 + sum(_COLUMNS[name] for name in names)}:
        return None
    symbols, *columns = zip(*words, strict=True)
    try:
        numbers = [atomic_numbers[symbol.capitalize()] for symbol in symbols]
        values = iter([list(map(float, column)) for column in columns])
    except (KeyError, ValueError):
        return None
    arrays = {name: np.array([next(values) for _ in range(_COLUMNS[name])]).T for name in names}
    arrays = {name: array[:, 0] if _COLUMNS[name] == 1 else array for name, array in arrays.items()}
    lattice = info.pop("Lattice", None)
    pbc = info.pop("pbc", None if lattice is None else [True] * 3)
    cell = None if lattice is None else lattice.T
    results = {name: kept.pop(name) for kept in (info, arrays) for name in _RESULTS if name in kept}
    if "stress" in results:
        results["stress"] = results["stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    atoms = Atoms(numbers, positions=arrays.pop("pos"), cell=cell, pbc=pbc, info=info)
    for name, array in arrays.items():
        atoms.new_array(name, array)
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _plain_entries(comment: str) -> dict[str, Any] | None:
    """The entries of a comment, of the types that ASE gives them; None if they are not all plain."""
    entries: dict[str, Any] = {}
    end, comment = 0, comment.strip()
    while end < len(comment):
        found = _ENTRY.match(comment, end)
        if not found:
            return None
        name, text, end = found[1], found[2] or found[3], found.end()
        value = _plain_value(text)
        if name in ("Lattice", "stress", "virial"):
            plain = isinstance(value, np.ndarray) and value.shape == (9,)
            value = value.reshape((3, 3), order="F") if plain else value
        elif name == "pbc":
            plain = isinstance(value, list) and len(value) == 3
        elif name in all_properties:
            plain = name in ("energy", "free_energy") and isinstance(value, np.number)
        else:
            plain = name.lower() != "uid" and not text.startswith("_JSON")
        if not plain:
            return None
        entries[name] = value
    return entries


def _plain_value(text: str) -> Any:
    """A number, an array of them, a truth value, a list of them, or the text itself."""
    words = re.findall(r"[^\s,]+", text)
    for kind in (int, float):
        try:
            numbers = np.array(words, dtype=kind)
        except (ValueError, OverflowError):
            continue
        return numbers[0] if len(numbers) == 1 else numbers
    if all(word in _TRUTH for word in words):
        return _TRUTH[words[0]] if len(words) == 1 else [_TRUTH[word] for word in words]
    return text


def _refuse_skew_stress(comment: str, at: str) -> None:
    """Refuse a stress that is not symmetric, of which ASE takes one half without a word."""
    found = re.search(r'(?:^|\s)stress\s*=\s*"([^"]*)"', comment)
    values = re.findall(r"[^\s,]+", found[1]) if found else []
    if len(values) != 9 or any(map(not_a_number, values)):
        return
    stress = np.array(values, dtype=np.float64).reshape(3, 3)
    off = np.abs(stress - stress.T)
    i, j = np.unravel_index(np.argmax(off), (3, 3))
    if off[i, j] > SAME_STRESS * np.abs(stress).max() + SAME_STRESS_EV_A3:
        raise InputError(f"{at}: stress is not symmetric: {stress[i, j]:g} and {stress[j, i]:g} eV/Å^3; correct it")


def _times_given(comment: str) -> dict[str, int]:
    names = _KEY.findall(_QUOTED.sub(" ", comment))
    return {name: names.count(name) for name in _ONCE if name in names}


def _ipi(comment: str, at: str) -> tuple[np.ndarray, float] | None:
    """Cell (3, 3) Å and the unit of the positions in Å, of a comment of i-PI; None if it is not one."""
    found = _IPI_CELL.search(comment)
    if not found or "Lattice" in comment:
        return None
    form, text = found.groups()
    count = {"abcABC": 6, "H": 9, "GENH": 9}.get(form)
    try:
        values = np.array(text.split()[:count], dtype=np.float64)
    except ValueError:
        values = np.empty(0)
    if count is None or len(values) != count or not np.isfinite(values).all():
        raise InputError(
            f"{at}: a cell of i-PI, CELL({printable(form, 40)}), with {quoted(text.strip())}: "
            "expected CELL(abcABC): and six numbers, or CELL(H): or CELL(GENH): and nine"
        )
    units = dict(_IPI_UNIT.findall(comment[found.end() :]) or _IPI_UNIT.findall(comment.replace(found[0], " ")))
    cell_unit = units.pop("cell", "")
    what, unit = next(iter(units.items()), ("positions", ""))
    if what != "positions" and not what.startswith("x_centroid"):
        said = f"{printable(what, 40)}{{{printable(unit, 40)}}}"
        raise InputError(f"{at}: i-PI wrote {said} here, not positions; give the file of positions")
    for name in (cell_unit, unit):
        if name not in _IPI_LENGTHS_A:
            known = ", ".join(name for name in _IPI_LENGTHS_A if name)
            raise InputError(f"{at}: unit of length {quoted(name)} of i-PI is not known here; known: {known}")
    if form == "abcABC":
        cell = _cell_from_lengths(values, at)
    elif form == "H":  # columns are cell vectors, and it is upper triangular
        cell = values.reshape(3, 3).T
        if np.triu(cell, 1).any():
            raise InputError(f"{at}: CELL(H) of i-PI is an upper triangular matrix, found {quoted(text.strip())}")
    else:
        cell = values.reshape(3, 3)
    return cell * _IPI_LENGTHS_A[cell_unit], _IPI_LENGTHS_A[unit]


def _cell_from_lengths(values: np.ndarray, at: str) -> np.ndarray:
    try:
        with np.errstate(all="ignore"):
            cell = cellpar_to_cell(values)
    except (AssertionError, ValueError, ZeroDivisionError):
        cell = np.full((3, 3), np.nan)
    if not (values > 0).all() or not np.isfinite(cell).all():
        raise InputError(f"{at}: no cell has the lengths and angles {values.tolist()}")
    return cell


def _refuse_unknown_cell(comment: str, at: str) -> None:
    """Refuse a comment that carries a cell in a form that is not known, rather than lose the cell."""
    for word in _CELL_WORD.finditer(comment):
        numbers = []
        for text in _CELL_SEPARATOR.split(comment[word.end() :]):
            if _NUMBER.fullmatch(text):
                numbers.append(text)
            elif not _CELL_FILLER.fullmatch(text):
                break
        if len(numbers) >= (4 if word[0].lower() == "pbc" else 3):
            raise InputError(
                f"{at}: a cell in a form that is not known here, {quoted(comment[word.start() :].strip())}; write "
                'Lattice="ax ay az bx by bz cx cy cz" (Å), or remove this word if the atoms are a cluster'
            )
        if numbers and word[0].lower() != "pbc":
            text = f"{at}: {quoted(comment[word.start() :].strip())} is not read; the atoms are read as a cluster"
            warnings.warn(text, MdnnpWarning, stacklevel=4)


def _reason(frame: Frame) -> str | None:
    """What is wrong with a frame that ASE could not read, with its line."""
    from ase.io.extxyz import key_val_str_to_dict, parse_properties

    comment = frame.rows[1] if len(frame.rows) > 1 else ""
    at = f"line {frame.line + 1}"
    for name in ("Lattice", "stress", "virial"):
        found = re.search(rf'(?:^|\s){name}\s*=\s*("[^"]*"|\S+)', comment)
        if found:
            words = re.findall(r"[^\s,]+", found[1].strip("\"'{}[]"))
            if wrong := next((f"{at}: {name}: {bad}" for bad in map(not_a_number, words) if bad), None):
                return wrong
            if len(words) != 9:
                voigt = ", because programs differ in the order of six" if len(words) == 6 else ""
                return f"{at}: {name}: expected nine numbers{voigt}, found {len(words)}: {quoted(' '.join(words))}"
    try:
        info = key_val_str_to_dict(comment.strip()) if comment.strip() else {}
        properties, names, _, converters = parse_properties(str(info.get("Properties", "species:S:1:pos:R:3")))
        columns = [name for name in names for _ in range(properties[name][1])]
    except Exception as error:
        return f"{at}: {printable(str(error) or type(error).__name__)}"
    n_atoms = int(frame.rows[0])
    for k, row in enumerate(frame.rows[2 : 2 + n_atoms], start=2):
        at, words = f"line {frame.line + k}", row.split()
        if len(words) < len(columns):
            return (
                f"{at}: atom {k - 2}: expected {len(columns)} words ({printable(', '.join(names))}), found {len(words)}"
            )
        for name, word, convert in zip(columns, words, converters, strict=False):
            if name in ("species", "symbols") and word.capitalize() not in atomic_numbers:
                return f"{at}: atom {k - 2}: {quoted(word)} is no chemical element"
            if convert in (int, float):
                try:
                    convert(word)
                except (ValueError, OverflowError):
                    kind = "a whole number" if convert is int else "a number"
                    wrong = not_a_number(word) or f"expected {kind}, found {quoted(word)}"
                    return f"{at}: atom {k - 2}: column {printable(name, 60)}: {wrong}"
    return None


def not_a_number(word: str) -> str | None:
    """What is wrong with a word that should be a number; None if it is one."""
    try:
        float(word)
    except ValueError:
        pass
    else:
        return None
    hint = ""
    if _STARS.fullmatch(word):
        hint = ", what Fortran prints for a number that is too wide for its column"
    elif _D_EXPONENT.fullmatch(word):
        hint = ", Fortran's exponent; write E instead of D"
    return f"expected a number, found {quoted(word)}{hint}"
