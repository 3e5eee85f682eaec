"""The arguments of the command `mdnnp`, and those that several verbs share."""

import argparse
import sys
from argparse import ArgumentParser
from importlib import import_module

from mdnnp import __version__
from mdnnp.base.errors import InputError

_UNITS_HELP = "these files do not state their units: give them here, unless mdnnp.toml in the directory has them"

_EPILOG = """\
first steps, with an example that is complete:
  mdnnp init argon              write the input of a run: liquid argon
  mdnnp run argon.toml          run it
  mdnnp analyze argon.h5        analyze its trajectory

with a neural network potential in n2p2's format (here in Bohr and Hartree):
  mdnnp info potential/ --length-unit Bohr --energy-unit Hartree
  mdnnp predict potential/ structures.xyz -o out.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp init                    write an input to fill in, run.toml
  mdnnp run run.toml            molecular dynamics
  mdnnp run run.toml --resume   continue after an interruption; the results are the same, bit for bit

with your own data:
  mdnnp init train              write an input to fill in, train.toml
  mdnnp train train.toml        fit a potential

exit status: 0 success, 1 internal error, 2 wrong input, 3 the simulation went wrong or a check failed,
4 a file cannot be read or written, 130 and 143 interrupted by SIGINT and SIGTERM (after a checkpoint).
`mdnnp VERB --help` explains a verb and shows examples.
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports errors as everything else does, and takes options by their whole names alone."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str):
        self.print_usage(sys.stderr)
        raise InputError(f"{message}; see {self.prog} --help")


VERBS = (
    "run", "train", "predict", "evaluate", "descriptors", "convert", "init", "info", "analyze", "check", "bench",
    "smooth", "relax", "saddle", "phonons", "properties", "drive",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs: `verb` of what it returns is the name, the rest are the options that were given."""
    raw = argparse.RawDescriptionHelpFormatter
    found = _Parser(
        prog="mdnnp",
        description="Molecular dynamics with Behler-Parrinello neural network potentials.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    found.add_argument("--version", action="version", version=f"mdnnp {__version__}")
    verbs = found.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=_Parser)
    for name in VERBS:
        verb = import_module(f"mdnnp.command.{name}")
        p = verbs.add_parser(
            name,
            help=verb.HELP,
            description=verb.HELP,
            epilog=verb.EPILOG,
            formatter_class=raw,
            argument_default=argparse.SUPPRESS,  # defaults are those of the requests
        )
        p.set_defaults(verb=name)
        verb.add_arguments(p)
    return found


def add_potential(p: ArgumentParser) -> None:
    """The potential and its units."""
    p.add_argument(
        "potential", metavar="POTENTIAL", help="n2p2 directory, committee directory, or TOML file of a potential"
    )
    add_units(p)


def add_units(p: ArgumentParser) -> None:
    """Units of what states none."""
    group = p.add_argument_group("units of an n2p2 directory, and of input.data", _UNITS_HELP)
    group.add_argument("--length-unit", metavar="U", help="Angstrom, Bohr or nm")
    group.add_argument("--energy-unit", metavar="U", help="eV, Hartree, Rydberg, kJ/mol or kcal/mol")


def add_data_units(p: ArgumentParser) -> None:
    """Units of input.data, where the verb takes a potential, too."""
    group = p.add_argument_group("units of input.data, if they differ from those of the potential")
    group.add_argument("--data-length-unit", metavar="U", help="Angstrom, Bohr or nm (default: --length-unit)")
    group.add_argument(
        "--data-energy-unit", metavar="U", help="eV, Hartree, Rydberg, kJ/mol or kcal/mol (default: --energy-unit)"
    )


def add_keys(p: ArgumentParser) -> None:
    """Names of labels."""
    p.add_argument(
        "--key",
        action=_Pairs,
        metavar="LABEL=NAME",
        help="what the files call a label, such as energy=REF_energy or forces=force (also stress, virial, charges, "
        "total_charge); give it once for each label",
    )


class _Pairs(argparse.Action):
    """An option NAME=VALUE that can be given several times: a dictionary."""

    def __call__(self, parser, namespace, value, option_string=None):
        name, equals, meant = value.partition("=")
        found = getattr(namespace, self.dest, {})
        if not (name and equals and meant) or name in found:
            wrong = f"gives {name!r} twice" if name in found else "is not of this form"
            parser.error(f"{option_string} {self.metavar}: {value!r} {wrong}")
        setattr(namespace, self.dest, {**found, name: meant})


def add_structure(p: ArgumentParser, what: str = "file of any format that ASE reads, or input.data") -> None:
    """One structure, and the units of its file."""
    add_data_units(p)
    p.add_argument("structure", metavar="STRUCTURE", help=what)
    p.add_argument("--index", type=int, help="which structure of the file (default: the last)")


def add_force_tolerance(p: ArgumentParser) -> None:
    """When forces are small enough."""
    p.add_argument(
        "--force-tolerance", type=float, metavar="F",
        help="stop when all forces are below this, in eV/Å (default: 0.01)",
    )  # fmt: skip


def add_steps(p: ArgumentParser) -> None:
    """Options of all verbs that move atoms step by step."""
    p.add_argument(
        "--trajectory", metavar="PATH", help="write every step, as H5MD (PATH.h5) or extended XYZ (PATH.xyz)"
    )
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace output files that exist")


def add_threads(p: ArgumentParser) -> None:
    """The number of threads."""
    p.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="number of threads (default: all cores); the results do not depend on it",
    )


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
