"""The verb `mdnnp drive`: a potential as the force provider of i-PI, at the other end of a socket."""

from argparse import ArgumentParser
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mdnnp.base.errors import InputError
from mdnnp.command.arguments import add_data_units, add_potential, add_threads
from mdnnp.command.verb import OfStructures, Say, check_choice, check_positive, silent, use_threads

if TYPE_CHECKING:
    from mdnnp.couplings.ipi import Boundaries, Driven

HELP = "Compute forces for i-PI, through a socket."
EPILOG = """\
Use it for quantum nuclei and the other methods of i-PI. It waits for i-PI, answers it, and ends when i-PI does. Several
can serve one i-PI, each with its own --threads. i-PI does not send elements: the template has its atoms, in the same
order. See docs/guide/ipi.md, also on how to do without a socket.

examples:
  mdnnp drive potential/ --template water.xyz --unix water
  mdnnp drive potential/ --template water.xyz --tcp localhost:31415 --threads 1
  mdnnp drive potential/ --template molecule.xyz --boundaries open --unix molecule
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    add_data_units(p)
    p.add_argument(
        "--template", required=True, metavar="FILE",
        help="structure with i-PI's atoms in the same order, of any format that ASE reads, or input.data",
    )  # fmt: skip
    p.add_argument("--index", type=int, help="which structure of the template (default: the last)")
    p.add_argument(
        "--boundaries", choices=["periodic", "open"],
        help="whether the atoms have periodic images, in all directions (default: as in the template)",
    )  # fmt: skip
    where = p.add_mutually_exclusive_group(required=True)
    where.add_argument("--unix", metavar="NAME", help="unix socket: <address> of i-PI's <ffsocket>, or a whole path")
    where.add_argument("--tcp", metavar="HOST:PORT", help="TCP socket: <address> and <port> of i-PI's <ffsocket>")
    p.add_argument("--prefix", help="what i-PI puts before the name of a unix socket (default: /tmp/ipi_)")
    p.add_argument(
        "--wait", type=float, metavar="S",
        help="seconds to wait for i-PI, at the start and when it has gone without a word (default: 60)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the counts at the end as JSON")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructures):
    """A template, its structure `index`, and where i-PI listens: one of unix and tcp; wait : seconds."""

    template: str | Path
    _: KW_ONLY
    unix: str | None = None
    tcp: str | None = None
    prefix: str | None = None
    index: int = -1
    boundaries: "Boundaries | None" = None
    wait: float = 60.0

    def __post_init__(self) -> None:
        check_positive(self, "wait")
        if self.boundaries is not None:
            check_choice(self, "boundaries", ("periodic", "open"))
        if (self.unix is None) == (self.tcp is None):
            raise InputError("give one of --unix NAME and --tcp HOST:PORT")
        if self.prefix is not None and self.unix is None:
            raise InputError("--prefix goes with --unix")


def perform(request: Request, say: Say = silent) -> "Driven":
    """Answer i-PI until it ends; returns the counts. Raises InputError, FileError, PhysicsError."""
    from mdnnp.couplings.ipi import UNIX_PREFIX, Evaluator, drive, tcp_server, unix_server

    if request.unix is None:
        server = tcp_server(str(request.tcp))
    else:
        server = unix_server(request.unix, UNIX_PREFIX if request.prefix is None else request.prefix)
    potential = request.load_potential()
    use_threads(request.threads)
    (template,) = request.read(request.template, request.index)
    return drive(server, Evaluator(potential, template, request.boundaries), request.wait, say)
