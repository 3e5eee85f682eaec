"""The verb `mdnnp check`: tests forces, virial and symmetries of a potential on a structure."""

from argparse import ArgumentParser
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdnnp.command.arguments import add_potential, add_structure, add_threads
from mdnnp.command.verb import OfStructure, Say, silent

if TYPE_CHECKING:
    from mdnnp.certify.invariances import CheckReport

HELP = "Test on a structure that forces, stress and symmetries of a potential are right."
EPILOG = """\
Use it once for a new potential. It tests the invariance under rotation, translation, permutation and wrapping;
extensivity; locality; forces and virial against finite differences of the energy; continuity at the cutoff. The exit
status is 3 if a test fails.

example:
  mdnnp check potential/ water.xyz --length-unit Bohr --energy-unit Hartree
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    add_structure(p)
    p.add_argument("--json", action="store_true", help="print the table as JSON")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructure):
    """What to check, and on which structure."""


def perform(request: Request, say: Say = silent) -> "CheckReport":
    """The checks; returns a `CheckReport`. Raises InputError and FileError."""
    potential, structure = request.load()
    from mdnnp.certify.invariances import check, progress

    with progress() as begin:
        return check(potential, structure.system, begin=begin)
