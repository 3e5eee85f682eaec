"""`input.data`: structures with reference energies and forces, as n2p2 and RuNNer read them; native units."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from mdnnp.errors import FileError, InputError
from mdnnp.files import new_file
from mdnnp.n2p2.text import Mistake, to_float

_SETS = ("train", "test")


@dataclass(frozen=True, eq=False)
class DataBlock:
    """One structure between `begin` and `end`; N atoms, native units.

    positions, forces : (N, 3); symbols : N symbols of elements; charges : (N,) reference charges, e
    lattice : (3, 3), rows a, b, c, or None for a cluster (periodicity is never mixed)
    energy : with the free-atom energies, or None if the block has no such line; charge : total charge, e
    comment : free text (of several lines, if need be); subset : "train", "test" or None
    line : line of `begin` in the file (0: not from a file)
    """

    positions: np.ndarray
    symbols: tuple[str, ...]
    lattice: np.ndarray | None
    forces: np.ndarray
    energy: float | None = None
    charges: np.ndarray | None = None
    charge: float = 0.0
    comment: str = ""
    subset: str | None = None
    line: int = 0


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


def read_input_data(path: str | Path) -> Iterator[DataBlock]:
    """Iterate over the structures of an `input.data` file, one in memory at a time.

    Raises InputError, naming file and line, at the first mistake; FileError if the file cannot be read.
    """
    path = Path(path)
    block = None
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, row in enumerate(file, start=1):
                words = row.split()
                if not words or words[0][0] in "#!":
                    continue
                try:
                    if block is None:
                        block = _Block(number, words)
                    elif words[0] == "end":
                        yield block.finish(words)
                        block = None
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
            raise Mistake(f"expected 'begin', found {words[0]!r}")
        subset = words[1].removeprefix("set=") if len(words) == 2 and words[1].startswith("set=") else None
        if len(words) > 1 and subset not in _SETS:
            raise Mistake(f"expected 'begin', 'begin set=train' or 'begin set=test', found {' '.join(words)!r}")
        self.line, self.subset = line, subset
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
            raise Mistake(f"unknown keyword {keyword!r}; known: begin, comment, lattice, atom, energy, charge, end")

    def _add_atom(self, words: list[str]) -> None:
        if len(words) != 10:
            raise Mistake(f"expected 'atom x y z symbol charge n fx fy fz' (10 words), found {len(words)} words")
        if atomic_numbers.get(words[4], 0) == 0:
            raise Mistake(f"{words[4]!r} is no chemical element")
        self.symbols.append(words[4])
        self.atoms.append([to_float(word) for word in (*words[1:4], *words[5:])])

    def finish(self, words: list[str]) -> DataBlock:
        if len(words) > 1:
            raise Mistake(f"expected 'end' alone, found {' '.join(words)!r}")
        if not self.atoms:
            raise Mistake(f"the structure that begins at line {self.line} has no atoms")
        if len(self.lattice) not in (0, 3):
            raise Mistake(
                f"the structure that begins at line {self.line} has {len(self.lattice)} lattice lines, "
                "expected none or three"
            )
        columns = np.array(self.atoms)
        return DataBlock(
            positions=columns[:, :3].copy(),
            symbols=tuple(self.symbols),
            lattice=np.array(self.lattice) if self.lattice else None,
            forces=columns[:, 5:].copy(),
            energy=self.given["energy"][1] if "energy" in self.given else None,
            charges=columns[:, 3].copy(),
            charge=self.given["charge"][1] if "charge" in self.given else 0.0,
            comment="\n".join(self.comments),
            subset=self.subset,
            line=self.line,
        )


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
    if not all(np.isfinite(a).all() for a in (block.positions, block.forces, charges, lattice, scalars)):
        raise InputError(f"{where}: holds numbers that are not finite")
    rows = ["begin" + (f" set={block.subset}" if block.subset else "")]
    rows += [f"comment {line}" for line in block.comment.splitlines()]
    rows += ["lattice" + "".join(f" {x:24.16E}" for x in vector) for vector in lattice]
    for symbol, r, f, q in zip(block.symbols, block.positions, block.forces, charges, strict=True):
        numbers = [*(f"{x:24.16E}" for x in r), f"{symbol:>2}", *(f"{x:24.16E}" for x in (q, 0.0, *f))]
        rows.append("atom " + " ".join(numbers))
    if block.energy is not None:
        rows.append(f"energy {block.energy:24.16E}")
    rows += [f"charge {block.charge:24.16E}", "end"]
    return "\n".join(rows) + "\n"
