"""The verb `mdnnp info`: what a potential is made of."""

from argparse import ArgumentParser
from dataclasses import dataclass
from typing import Any

from mdnnp.command.arguments import add_potential
from mdnnp.command.verb import OfPotential, Say, silent

HELP = "Show the contents of a potential: elements, cutoffs, functions, networks."
EPILOG = """\
Use it to see whether a potential was read as you expect. It prints elements, units, cutoffs, the symmetry functions
in the order of the potential with their scaling, the networks, and how smooth the energy is: the class C^k that
follows from the cutoff functions and activation functions.

example:
  mdnnp info potential/ --length-unit Bohr --energy-unit Hartree
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    p.add_argument("--json", action="store_true", help="print the description as JSON")


@dataclass(frozen=True)
class Request(OfPotential):
    """The potential to describe."""


@dataclass(frozen=True)
class Description:
    """What a potential is made of."""

    potential: Any
    exit_code: int = 0

    def text(self) -> str:
        """The lines of `Potential.describe`."""
        return "\n".join(self.potential.describe())

    def as_dict(self) -> dict:
        """Its numbers; the reach is None where all atoms depend on each other."""
        p = self.potential
        return {
            "program": "mdnnp info",
            "potential": p.source,
            "kind": p.kind,
            "elements": list(p.elements),
            "cutoffs_A": list(p.cutoffs),
            "reach_A": p.reach,
            "smoothness": [cause._asdict() for cause in p.ingredients()],
            "description": p.describe(),
        }


def perform(request: Request, say: Say = silent) -> Description:
    """Open the potential. Raises InputError and FileError."""
    return Description(request.load_potential())
