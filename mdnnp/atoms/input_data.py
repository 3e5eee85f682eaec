"""`input.data`: structures with reference energies and forces, as n2p2 and RuNNer read them; native units.

RuNNer 2 (and ASE's format `runnerdata`) names the columns of the atoms after `begin`: `position(3) element`, then
any of `charge`, `force(3)` and others. Such files are in Bohr and Hartree, as all of RuNNer's.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from mdnnp.base import units
from mdnnp.base.errors import FileError, InputError, quoted
from mdnnp.base.files import new_file
from mdnnp.base.text_files import Mistake, to_float

_SETS = ("train", "test")
LONGEST_LINE = 1_000_000  # characters
_COLUMN = re.compile(r"([\w-]+)(?:\((\d{1,3})\))?")
# Names that RuNNer 2 and ASE give to the columns that are read, and how wide these are.
_COLUMN_NAMES = {
    **dict.fromkeys(("positions",), "position"),
    **dict.fromkeys(("elements", "symbol", "symbols"), "element"),
    **dict.fromkeys(("forces",), "force"),
    **dict.fromkeys(("charges", "initial_charge", "initial_charges"), "charge"),
}
_WIDTHS = {"position": 3, "element": 1, "force": 3, "charge": 1}
_ATOM_LINE = "x y z symbol charge n fx fy fz"
_N2P2_COLUMNS = (("position", 3), ("element", 1), ("charge", 1), ("atom_energy", 1), ("force", 3))


@dataclass(frozen=True, eq=False)
class DataBlock:
    """One structure between `begin` and `end`; N atoms, native units.

    positions : (N, 3); symbols : N symbols of elements
    forces : (N, 3), charges : (N,) reference charges, e; None if the columns are named and these are not there
    lattice : (3, 3), rows a, b, c, or None for a cluster (periodicity is never mixed)
    energy : with the free-atom energies, or None if the block has no such line; charge : total charge, e
    comment : free text (of several lines, if need be); subset : "train", "test" or None
    line : line of `begin` in the file (0: not from a file)
    named : whether `begin` names the columns (RuNNer 2: Bohr, Hartree); others : columns that are not read
    """

    positions: np.ndarray
    symbols: tuple[str, ...]
    lattice: np.ndarray | None
    forces: np.ndarray | None
    energy: float | None = None
    charges: np.ndarray | None = None
    charge: float = 0.0
    comment: str = ""
    subset: str | None = None
    line: int = 0
    named: bool = False
    others: tuple[str, ...] = ()


def is_input_data(path: str | Path) -> bool:
    """Whether the first word of the file, comments aside, is `begin`; False for what cannot be read."""
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
            for _ in range(1000):
                row = file.readline(10_000)
                if not row:
                    return False
                if row.strip() and row.lstrip()[0] not in "#!":
                    return row.split()[0] == "begin"
    except OSError:
        return False
    return False


def names_columns(path: str | Path) -> bool:
    """Whether the first `begin` names the columns of the atoms, as RuNNer 2 does."""
    with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
        words = next(
            (w for row in iter(lambda: file.readline(LONGEST_LINE), "") if (w := row.split())[:1] == ["begin"]), []
        )
    return len(words) > 1 and not words[1].startswith("set=")


def read_input_data(path: str | Path, exclude: Collection[int] = ()) -> Iterator[DataBlock | None]:
    """Iterate over the structures of an `input.data` file, one in memory at a time.

    exclude : numbers of structures, from 0, that are not looked at and come as None
    Raises InputError, naming file and line, at the first mistake; FileError if the file cannot be read.
    """
    path = Path(path)
    block, count = None, 0
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, row in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), ""), start=1):
                if len(row) > LONGEST_LINE:
                    raise InputError(f"{path}:{number}: a line of more than {LONGEST_LINE} characters")
                words = row.split()
                if not words or words[0][0] in "#!":
                    continue
                try:
                    if block is None:
                        block = (_Skipped if count in exclude else _Block)(number, words)
                    elif words[0] == "end":
                        yield block.finish(words)
                        block, count = None, count + 1
                    else:
                        block.add(number, words, row)
                except Mistake as mistake:
                    raise InputError(f"{path}:{number}: {mistake}") from None
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    if block is not None:
        raise InputError(
            f"{path}: the file ends within the structure that begins at line {block.line}; 'end' is missing"
        )


class _Block:
    """The structure that is being read. Its methods raise Mistake."""

    def __init__(self, line: int, words: list[str]):
        if words[0] != "begin":
            raise Mistake(f"expected 'begin', found {quoted(words[0])}")
        subset = words[1].removeprefix("set=") if len(words) == 2 and words[1].startswith("set=") else None
        self.line, self.subset = line, subset
        self.named = len(words) > 1 and subset is None
        self.columns = _columns(words[1:]) if self.named else _N2P2_COLUMNS
        if subset not in (None, *_SETS):
            raise Mistake(f"expected 'begin', 'begin set=train' or 'begin set=test', found {quoted(' '.join(words))}")
        self.width = sum(width for _, width in self.columns)
        self.comments: list[str] = []
        self.lattice: list[list[float]] = []
        self.atoms: list[list[float]] = []
        self.symbols: list[str] = []
        self.given: dict[str, tuple[int, float]] = {}

    def add(self, number: int, words: list[str], row: str) -> None:
        keyword = words[0]
        if keyword == "atom":
            self._add_atom(words)
        elif keyword == "lattice":
            if len(self.lattice) == 3:
                raise Mistake(f"a fourth lattice line (structure of line {self.line}); expected none or three")
            self.lattice.append([to_float(word) for word in _counted(words, 3)])
        elif keyword in ("energy", "charge"):
            if keyword in self.given:
                raise Mistake(f"{keyword!r} is given again; first given at line {self.given[keyword][0]}")
            self.given[keyword] = number, to_float(_counted(words, 1)[0])
        elif keyword == "comment":
            self.comments.append(row.split(None, 1)[1].rstrip() if len(words) > 1 else "")
        elif keyword == "begin":
            raise Mistake(f"'begin' within the structure that begins at line {self.line}; its 'end' is missing")
        else:
            raise Mistake(
                f"unknown keyword {quoted(keyword)}; known: begin, comment, lattice, atom, energy, charge, end"
            )

    def _add_atom(self, words: list[str]) -> None:
        if len(words) != 1 + self.width:
            expected = " ".join(_spelled(*column) for column in self.columns) if self.named else _ATOM_LINE
            raise Mistake(f"expected 'atom {expected}' ({1 + self.width} words), found {len(words)} words")
        if atomic_numbers.get(words[4], 0) == 0:
            raise Mistake(f"{quoted(words[4])} is no chemical element")
        self.symbols.append(words[4])
        self.atoms.append([to_float(word) for word in (*words[1:4], *words[5:])])

    def finish(self, words: list[str]) -> DataBlock:
        if len(words) > 1:
            raise Mistake(f"expected 'end' alone, found {quoted(' '.join(words))}")
        if not self.atoms:
            raise Mistake(f"the structure that begins at line {self.line} has no atoms")
        if len(self.lattice) not in (0, 3):
            raise Mistake(
                f"the structure that begins at line {self.line} has {len(self.lattice)} lattice lines, "
                "expected none or three"
            )
        values, start, found = np.array(self.atoms), 0, {}
        for name, width in self.columns:
            if name != "element":
                found[name] = values[:, start : start + width].copy()
                start += width
        charges = found.get("charge")
        return DataBlock(
            positions=found["position"],
            symbols=tuple(self.symbols),
            lattice=np.array(self.lattice) if self.lattice else None,
            forces=found.get("force"),
            energy=self.given["energy"][1] if "energy" in self.given else None,
            charges=None if charges is None else charges[:, 0],
            charge=self.given["charge"][1] if "charge" in self.given else 0.0,
            comment="\n".join(self.comments),
            subset=self.subset,
            line=self.line,
            named=self.named,
            others=tuple(name for name in found if self.named and name not in _WIDTHS),
        )


class _Skipped:
    """A structure that is passed over, whatever it holds."""

    def __init__(self, line: int, words: list[str]):
        if words[0] != "begin":
            raise Mistake(f"expected 'begin', found {quoted(words[0])}")
        self.line = line

    def add(self, number: int, words: list[str], row: str) -> None:
        """Skip the line."""

    def finish(self, words: list[str]) -> None:
        """Return nothing."""


def _columns(names: list[str]) -> tuple[tuple[str, int], ...]:
    """Names and widths of the columns that a `begin` of RuNNer 2 lists."""
    columns = []
    for name in names:
        match = _COLUMN.fullmatch(name)
        if not match:
            raise Mistake(f"{quoted(name)} is no column; expected a name such as charge, or force(3)")
        known, width = _COLUMN_NAMES.get(match[1], match[1]), int(match[2] or 1)
        if _WIDTHS.get(known, width) != width or width < 1 or known in dict(columns):
            raise Mistake(f"column {quoted(name)}: expected {_spelled(known, _WIDTHS.get(known, 1))}, once")
        columns.append((known, width))
    if columns[:2] != [("position", 3), ("element", 1)]:
        raise Mistake(
            "expected 'begin', 'begin set=train', 'begin set=test', or columns that begin with "
            f"'begin position(3) element', found {quoted(' '.join(['begin', *names]))}"
        )
    return tuple(columns)


def _spelled(name: str, width: int) -> str:
    return name if width == 1 else f"{name}({width})"


def _counted(words: list[str], count: int) -> list[str]:
    if len(words) != count + 1:
        raise Mistake(f"{words[0]}: expected {count} number{'s' * (count > 1)}, found {len(words) - 1}")
    return words[1:]


def write_input_data(path: str | Path, blocks: Iterable[DataBlock], *, overwrite: bool = False) -> None:
    """Write structures as `input.data`; reading gives the same numbers back, to the last bit.

    The file appears complete or not at all. Raises FileError if it exists and `overwrite` is False, or cannot
    be written; InputError for numbers that are not finite.
    """
    with new_file(path, overwrite) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for k, block in enumerate(blocks):
            file.write(_format(block, f"{path}: structure {k}"))


def _format(block: DataBlock, where: str) -> str:
    charges = np.zeros(len(block.symbols)) if block.charges is None else block.charges
    lattice = np.empty((0, 3)) if block.lattice is None else block.lattice
    scalars = [0.0 if block.energy is None else block.energy, block.charge]
    forces = np.zeros((len(block.symbols), 3)) if block.forces is None else block.forces
    if not all(np.isfinite(a).all() for a in (block.positions, forces, charges, lattice, scalars)):
        raise InputError(f"{where}: holds numbers that are not finite")
    rows = ["begin" + (f" set={block.subset}" if block.subset else "")]
    rows += [f"comment {line}" for line in block.comment.splitlines()]
    rows += ["lattice" + "".join(f" {x:24.16E}" for x in vector) for vector in lattice]
    for symbol, r, f, q in zip(block.symbols, block.positions, forces, charges, strict=True):
        numbers = [*(f"{x:24.16E}" for x in r), f"{symbol:>2}", *(f"{x:24.16E}" for x in (q, 0.0, *f))]
        rows.append("atom " + " ".join(numbers))
    if block.energy is not None:
        rows.append(f"energy {block.energy:24.16E}")
    rows += [f"charge {block.charge:24.16E}", "end"]
    return "\n".join(rows) + "\n"


def input_data_units(path, length_unit: str | None, energy_unit: str | None) -> tuple[float, float]:
    """Å and eV per native unit; InputError if a unit is missing."""
    if length_unit is None and energy_unit is None and path.exists() and names_columns(path):
        length_unit, energy_unit = "Bohr", "Hartree"  # RuNNer 2 defines them
    missing = [name for name, unit in (("length", length_unit), ("energy", energy_unit)) if unit is None]
    if missing:
        raise InputError(
            f"{path}: an input.data does not state its units, and the unit of {' and '.join(missing)} is not given; "
            "give it, for example --length-unit Bohr --energy-unit Hartree (in Python length_unit=, energy_unit=)"
        )
    try:
        return units.length_in_angstrom(length_unit), units.energy_in_ev(energy_unit)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
