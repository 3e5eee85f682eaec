"""What verbs share: loading, threads, refusals, errors in words."""

import sys
from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mdnnp.base.errors import MdnnpError, Mistakes
from mdnnp.base.report.streams import printable

if TYPE_CHECKING:
    from mdnnp.atoms.structure import Structure
    from mdnnp.potentials.interface import Potential


def report_error(error: Exception) -> int:
    """Print an error in the form `error: ...`; returns the exit status."""
    if isinstance(error, MdnnpError):
        message, status = str(error), error.exit_code
    elif isinstance(error, OSError):
        message, status = f"{error.filename or 'file'}: {error.strerror or error}", 4
    elif isinstance(error, UnicodeEncodeError):  # a name of a file; what is printed is never refused
        encoding = sys.getfilesystemencoding()
        message = f"{error.object!a:.300}: names of files are {encoding} here; set LC_ALL=C.UTF-8, or rename the file"
        status = 4
    elif isinstance(error, MemoryError):
        message, status = f"not enough memory: {error}" if str(error) else "not enough memory", 1
    else:
        message = (
            f"internal error, {type(error).__name__}: {error}; this is a bug of mdnnp, please report it "
            "(MDNNP_DEBUG=1 in the environment shows where it happened)"
        )
        status = 1
    first, *rest = message.split("\n")
    print(f"error: {printable(first)}", file=sys.stderr)
    more = "error" if isinstance(error, Mistakes) else "note"
    for line in rest:
        print(printable(line if line.startswith(" ") else f"{more}: {line}"), file=sys.stderr)
    return status


def load_both(arguments: Namespace) -> "tuple[Potential, Structure]":
    """The potential, and the structure that it is asked about."""
    potential = load(arguments)
    from mdnnp.atoms.read import read_structures

    use_threads(arguments)
    (structure,) = read_structures(arguments.structure, arguments.index, *data_units(arguments))
    return potential, structure


def load(arguments: Namespace) -> "Potential":
    from mdnnp.potentials.load import load_potential

    return load_potential(arguments.potential, arguments.length_unit, arguments.energy_unit)


def data_units(arguments: Namespace) -> tuple[str | None, str | None]:
    """Units of length and energy of input.data: those of the potential, unless they are given."""
    return arguments.data_length_unit or arguments.length_unit, arguments.data_energy_unit or arguments.energy_unit


def use_threads(arguments: Namespace) -> None:
    from mdnnp.base.compiled.jit import available_cores, set_threads

    set_threads(arguments.threads or available_cores())


def refuse_outputs(arguments: Namespace, outputs: Iterable, inputs: Iterable) -> None:
    """Refuse, before any work is done, outputs that would replace an input, exist or could not be written."""
    from pathlib import Path

    from mdnnp.base.files import check_distinct, check_writable
    from mdnnp.potentials.load import potential_files

    check_distinct(outputs, [*inputs, *potential_files(arguments.potential)])
    for path in filter(None, outputs):
        check_writable(Path(path), overwrite=arguments.overwrite, instead="choose another name, or give --overwrite")
