"""The verb `mdnnp descriptors`: symmetry functions for structures, and what they resolve."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mdnnp.command.arguments import add_keys, add_units, positive
from mdnnp.command.verb import Say, check_choice, silent

if TYPE_CHECKING:
    from mdnnp.training.proposal import Proposal

METHODS = ("labels", "spread", "cur", "farthest", "grid")


HELP = "Choose symmetry functions for a data set, and report how well they describe it."
EPILOG = """\
Use it before a fit, to choose symmetry functions or to examine them. It prints lines for input.nn. A report comes
first, as comments: the cost of the functions, the rank of their values and derivatives, functions that are linear
combinations of others, and environments that the functions can hardly distinguish. Lengths are in Å.

examples:
  mdnnp descriptors train.xyz --cutoff 5.0 -n 40 > functions.nn
  mdnnp descriptors input.data --cutoff 6.0 --json --length-unit Bohr --energy-unit Hartree
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    p.add_argument("data", nargs="+", metavar="DATA", help="files of any format that ASE reads, or input.data")
    p.add_argument("--cutoff", type=float, required=True, metavar="A", help="cutoff radius in Å")
    p.add_argument("-n", "--number", type=positive, help="number of functions per element (default: 32)")
    p.add_argument("--max-zeta", type=positive, metavar="Z", help="highest power of cos(angle) (default: 4)")
    p.add_argument(
        "--method",
        choices=["labels", "spread", "cur", "farthest", "grid"],
        help="how to choose the functions: labels: by a linear fit of energies and forces (the default if the data "
        "have them); spread: by the spread of their values; cur: CUR decomposition; farthest: farthest-point sampling; "
        "grid: a fixed grid, without a choice",
    )
    add_keys(p)
    p.add_argument("--json", action="store_true", help="print the functions and the report as JSON")
    add_units(p)


@dataclass(frozen=True)
class Request:
    """Structures, the cutoff in Å, how many functions for each element and how to choose them (None: by labels).

    key : names that the files use for labels, as {"forces": "force"}
    """

    data: Sequence[str | Path]
    _: KW_ONLY
    cutoff: float
    number: int = 32
    max_zeta: int = 4
    method: str | None = None
    key: Mapping[str, str] = field(default_factory=dict)
    length_unit: str | None = None
    energy_unit: str | None = None

    def __post_init__(self) -> None:
        if self.method is not None:
            check_choice(self, "method", METHODS)


def perform(request: Request, say: Say = silent) -> "Proposal":
    """Choose; returns a `Proposal`. Raises InputError and FileError."""
    from mdnnp.training.dataset import read_labelled
    from mdnnp.training.proposal import propose

    structures = read_labelled(request.data, request.length_unit, request.energy_unit, keys=request.key)
    return propose(structures, request.cutoff, request.number, max_zeta=request.max_zeta, method=request.method)
