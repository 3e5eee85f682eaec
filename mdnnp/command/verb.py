"""The shape of all verbs: a request, which is checked, is performed; its outcome is printed and gives the exit status.

Each module `mdnnp.command.VERB` has a record `Request`, whose fields are named like the options, and a function
`perform(request, say)`, which returns the outcome. `say` is told, line by line, what is done meanwhile. Libraries are
imported where they are used, so that the command line, and a refusal, are quick.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mdnnp.base.errors import InputError
from mdnnp.base.files import check_distinct, check_writable

if TYPE_CHECKING:
    from mdnnp.atoms.structure import Structure
    from mdnnp.potentials.interface import Potential

Say = Callable[[str], object]


class Outcome(Protocol):
    """What a verb found."""

    @property
    def exit_code(self) -> int:
        """Exit status of the command."""

    def text(self) -> str:
        """The report."""

    def as_dict(self) -> dict:
        """The numbers, by name; NaN and infinity become null in JSON."""


@dataclass(frozen=True)
class Written:
    """An outcome of which files were written. result : the outcome itself; note : what was written, in words."""

    result: Any
    files: tuple[Path, ...]
    note: str

    @property
    def exit_code(self) -> int:
        """That of the outcome."""
        return self.result.exit_code

    def text(self) -> str:
        """The report, and what was written."""
        return "\n".join(filter(None, (self.result.text(), self.note)))

    def as_dict(self) -> dict:
        """The numbers of the outcome."""
        return self.result.as_dict()


def silent(text: str) -> None:
    """The `say` that says nothing."""


def finish(outcome: Outcome, as_json: bool) -> int:
    """Print an outcome; returns the exit status."""
    if as_json:
        from mdnnp.base.report.plain import to_json

        print(to_json(outcome.as_dict()), flush=True)
        if isinstance(outcome, Written):
            print(outcome.note.strip(), file=sys.stderr)
    elif text := outcome.text():
        print(text, flush=True)
    return outcome.exit_code


@dataclass(frozen=True)
class OfInput:
    """An input file, and whether to resume or replace what an earlier run or fit wrote; threads : None: all cores."""

    input: str | Path
    _: KW_ONLY
    resume: bool = False
    overwrite: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class OfPotential:
    """What is asked of a potential. Units are those of an n2p2 directory; None: mdnnp.toml in it states them."""

    potential: str | Path
    _: KW_ONLY
    length_unit: str | None = None
    energy_unit: str | None = None

    def load_potential(self) -> "Potential":
        """The potential. Raises InputError and FileError."""
        from mdnnp.potentials.load import load_potential

        return load_potential(self.potential, self.length_unit, self.energy_unit)

    def refuse(
        self, outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | None], overwrite: bool = False
    ) -> None:
        """Refuse, before any work is done, outputs that would replace an input, exist or could not be written."""
        wanted = [path for path in outputs if path]
        check_distinct(wanted, [*inputs, self.potential])
        for path in wanted:
            check_new(path, overwrite)
        if wanted:
            self.keep_potential(wanted)

    def keep_potential(self, outputs: Iterable[str | Path]) -> None:
        """Refuse outputs that would replace a file of the potential."""
        from mdnnp.potentials.load import potential_files

        check_distinct(outputs, potential_files(self.potential))


@dataclass(frozen=True)
class OfStructures(OfPotential):
    """What is asked of a potential and structures.

    data_length_unit, data_energy_unit : units of an input.data, None: those of the potential
    threads : None: all cores
    """

    _: KW_ONLY
    data_length_unit: str | None = None
    data_energy_unit: str | None = None
    threads: int | None = None

    @property
    def data_units(self) -> tuple[str | None, str | None]:
        """Units of length and energy of an input.data."""
        return self.data_length_unit or self.length_unit, self.data_energy_unit or self.energy_unit

    def read(self, path: str | Path, index: int | str, keys: Mapping[str, str] | None = None) -> "list[Structure]":
        """The structures of a file; keys : names that it uses for labels."""
        from mdnnp.atoms.read import read_structures

        return read_structures(path, index, *self.data_units, keys)


@dataclass(frozen=True)
class OfStructure(OfStructures):
    """What is asked of a potential and one structure. index : which one of the file."""

    structure: str | Path
    _: KW_ONLY
    index: int = -1

    def load(self) -> "tuple[Potential, Structure]":
        """The potential, and the structure that it is asked about; threads are set."""
        potential = self.load_potential()
        use_threads(self.threads)
        (structure,) = self.read(self.structure, self.index)
        return potential, structure


def check_new(path: str | Path, overwrite: bool) -> None:
    """Refuse an output that exists, unless it may be replaced, or could not be written."""
    check_writable(Path(path), overwrite=overwrite, instead="choose another name, or give --overwrite")


def use_threads(threads: int | None) -> None:
    """Compute with so many threads, None: all cores."""
    from mdnnp.base.compiled.jit import available_cores, set_threads

    set_threads(threads or available_cores())


def option(name: str) -> str:
    """The option of a field of a request."""
    return f"--{name.replace('_', '-')}"


def check_positive(request: object, *names: str) -> None:
    """Raise InputError for a field that is no positive, finite number; None is none."""
    for name in names:
        value = getattr(request, name)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{option(name)} must be positive, found {value}")


def check_choice(request: object, name: str, choices: Iterable[str]) -> None:
    """Raise InputError for a field that is none of the choices."""
    value = getattr(request, name)
    if value not in choices:
        raise InputError(f"{option(name)} must be one of {', '.join(choices)}, found {value!r}")
