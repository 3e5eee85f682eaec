"""The verb `mdnnp train`: a potential fitted as an input file says."""

from argparse import ArgumentParser
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdnnp.command.arguments import add_threads
from mdnnp.command.verb import OfInput, Say, silent, use_threads

if TYPE_CHECKING:
    from mdnnp.training.train import Trained

HELP = "Fit a potential to structures with energies and forces."
EPILOG = """\
Use it to make a potential from your own data. It writes INPUT-potential/ (an n2p2 directory; for a committee with
member-1, member-2, ...), INPUT.html (report with figures), INPUT.epochs.csv and, after every epoch, INPUT.checkpoint.
A fit that was interrupted gives the same result after --resume, bit for bit, unless a time limit ends it.

examples:
  mdnnp init train -o silicon            write silicon/train.toml, to fill in
  mdnnp train silicon/train.toml
  mdnnp train silicon/train.toml --resume      after an interruption, or after you increased epochs
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    p.add_argument("input", metavar="INPUT.toml", help="input file; `mdnnp init train` writes one to fill in")
    p.add_argument("--resume", action="store_true", help="continue from the checkpoint of this fit")
    p.add_argument("--overwrite", action="store_true", help="replace the results of an earlier fit")
    p.add_argument("--json", action="store_true", help="print the errors as JSON, all else to stderr")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfInput):
    """The input file, and what to do with an earlier fit."""


def perform(request: Request, say: Say = silent) -> "Trained":
    """Fit; returns `Trained`. What is done meanwhile is printed. Raises as `mdnnp.training.train.train` does."""
    from mdnnp.training.input import read_train_config

    config = read_train_config(request.input)
    from mdnnp.training.train import train

    use_threads(request.threads)
    return train(config, resume=request.resume, overwrite=request.overwrite)
