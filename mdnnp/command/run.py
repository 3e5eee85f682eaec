"""The verb `mdnnp run`: molecular dynamics as an input file says."""

import contextlib
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdnnp.base.errors import MdnnpError
from mdnnp.command.arguments import add_threads
from mdnnp.command.verb import OfInput, Say, silent, use_threads

if TYPE_CHECKING:
    from mdnnp.dynamics.run import Summary

HELP = "Run molecular dynamics from an input file."
EPILOG = """\
Use it for molecular dynamics at constant energy, temperature or pressure. It writes INPUT.h5 (H5MD: trajectory,
energies, the input) and INPUT.checkpoint, and reports the energy drift with its error bar. After Ctrl-C or SIGTERM it
finishes the step and writes a checkpoint.

examples:
  mdnnp run water.toml
  mdnnp run water.toml --resume      after an interruption, or after you increased steps in water.toml
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    p.add_argument("input", metavar="INPUT.toml", help="input file; `mdnnp init` writes one to fill in")
    p.add_argument("--resume", action="store_true", help="continue from the checkpoint of this run")
    p.add_argument("--overwrite", action="store_true", help="replace the output of an earlier run")
    p.add_argument("--json", action="store_true", help="print the summary as JSON, all else to stderr")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfInput):
    """The input file, and what to do with an earlier run."""


def perform(request: Request, say: Say = silent) -> "Summary":
    """Run; returns a `Summary`. What is done meanwhile is printed. Raises as `mdnnp.run` does."""
    from mdnnp.dynamics.input import read_config

    config = read_config(request.input)
    from mdnnp.dynamics.run import run

    use_threads(request.threads)
    with _failures_of_hdf5_said_once():
        return run(config, resume=request.resume, overwrite=request.overwrite)


@contextlib.contextmanager
def _failures_of_hdf5_said_once() -> Iterator[None]:
    """HDF5 objects that are freed after a failed write complain once more each; the failure itself is reported."""
    hooks = sys.excepthook, sys.unraisablehook
    sys.excepthook, sys.unraisablehook = map(_without_hdf5, hooks)
    ends = False
    try:
        yield
    except MdnnpError as error:
        ends = error.ends_process  # the hooks stay, for the little that is left
        raise
    finally:
        if not ends:
            sys.excepthook, sys.unraisablehook = hooks


def _without_hdf5(hook):
    """A hook for exceptions that nobody catches, without those of HDF5 objects that are freed after a failed write."""

    def filtered(*details):
        error = details[0].exc_value if len(details) == 1 else details[1]
        if "Can't decrement id ref count" not in str(error):
            hook(*details)

    return filtered
