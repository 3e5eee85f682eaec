"""The verb `mdnnp evaluate`: errors of a potential against labelled structures."""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal

from mdnnp.command.arguments import add_data_units, add_keys, add_potential, add_threads
from mdnnp.command.verb import OfStructures, Outcome, Say, Written, check_choice, silent, use_threads

HELP = "Compute the errors of a potential on structures with reference values."
EPILOG = """\
Use it to judge a potential on test data. It prints RMSE, mean absolute error, 95 % quantile, maximum and bias of
energies, force components, stresses and charges, by config_type and element; the worst configurations by name; and how
many atomic environments are outside the range of the training data. Structures are read one by one, so a data set may
be larger than the memory.

examples:
  mdnnp evaluate potential/ test.xyz
  mdnnp evaluate potential/ test.xyz --key energy=REF_energy --key forces=REF_forces
  mdnnp evaluate potential/ input.data -o report.html --length-unit Bohr --energy-unit Hartree
  mdnnp evaluate potential/ input.data --length-unit Angstrom --energy-unit eV --data-length-unit Bohr \\
      --data-energy-unit Hartree         a potential and data in different units
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    p.add_argument("data", nargs="+", metavar="DATA", help="files of any format that ASE reads, or input.data")
    add_data_units(p)
    add_keys(p)
    p.add_argument("-o", "--output", metavar="REPORT.html", help="write a report with figures")
    p.add_argument(
        "--by",
        choices=["config_type", "file", "set"],
        help="group the errors by this (default: config_type); structures marked set=train and set=test are always "
        "separate groups, with `set` the only ones",
    )
    p.add_argument("--json", action="store_true", help="print the errors as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace REPORT.html if it exists")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructures):
    """Files of labelled structures, and which kinds of them to distinguish.

    key : names that the files use for labels, as {"forces": "force"}; output : a report to write
    """

    data: Sequence[str | Path]
    _: KW_ONLY
    key: Mapping[str, str] = field(default_factory=dict)
    by: Literal["config_type", "file", "set"] = "config_type"
    output: str | Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_choice(self, "by", ("config_type", "file", "set"))


def perform(request: Request, say: Say = silent) -> Outcome:
    """Evaluate; returns `Errors`, or them and the report that was written.

    Raises InputError, FileError, PhysicsError.
    """
    request.refuse([request.output], request.data, request.overwrite)
    potential = request.load_potential()
    from mdnnp.atoms.read import count_structures
    from mdnnp.base.report.screen import Bar
    from mdnnp.training.accuracy import evaluate
    from mdnnp.training.dataset import stream_labelled

    use_threads(request.threads)
    structures = stream_labelled(request.data, *request.data_units, keys=request.key)
    total = count_structures(request.data) if sys.stderr.isatty() else None
    with Bar(total=total, unit="structure") as bar:
        errors = evaluate(potential, bar.over(structures), by=request.by)
    if not request.output:
        return errors
    from mdnnp.training.fit_report import provenance, write_report

    facts = {"potential": request.potential, "data": " ".join(map(str, request.data))}
    write_report(request.output, {"data": errors}, facts=facts, provenance=provenance(), overwrite=request.overwrite)
    return Written(errors, (Path(request.output),), f"Written: {request.output}")
