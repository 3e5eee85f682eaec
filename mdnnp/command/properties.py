"""The verb `mdnnp properties`: reads what is asked for, has the parts computed, writes the report."""

import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.files import check_distinct, new_directory
from mdnnp.command.arguments import add_potential, add_structure, add_threads, positive
from mdnnp.command.verb import OfStructure, Say, Written, check_positive, silent

PARTS = ("eos", "elastic", "defects", "surfaces", "thermal")
FILES = ("report.html", "properties.json", "properties.csv", "eos.csv", "thermal.csv", "relaxed.xyz")
_FORCES_AT_REST = 0.05  # eV/Å


HELP = "Compute properties of a crystal: equation of state, elasticity, sound, defects, surfaces, heat."
EPILOG = """\
Use it to compare a potential with experiment or with other calculations. It relaxes the crystal and computes each part
independently; if a part fails, it says why. It writes report.html (tables, figures, definitions), properties.json,
properties.csv, eos.csv, thermal.csv and relaxed.xyz. A number is marked if the potential extrapolates to compute it.

examples:
  mdnnp properties inputs/silicon/potential inputs/silicon/crystal.xyz
  mdnnp properties potential/ cell.xyz --only elastic eos --reference dft.json -o elastic
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    add_structure(p, "file with the cell of a crystal, any format that ASE reads")
    p.add_argument("-o", "--output", metavar="DIR", help="directory to write (default: STRUCTURE-properties)")
    p.add_argument(
        "--only", nargs="+", choices=["eos", "elastic", "defects", "surfaces", "thermal"], metavar="PART",
        help="parts to compute (default: all)",
    )  # fmt: skip
    p.add_argument(
        "--reference", metavar="FILE.json", help="JSON file of values to compare with; names as in properties.json"
    )
    p.add_argument(
        "--supercell", type=positive, nargs=3, metavar=("A", "B", "C"),
        help="supercell for the defects (default: at least 10 Å wide)",
    )  # fmt: skip
    p.add_argument("--temperature-K", type=float, metavar="T", help="highest temperature (default: 1000)")
    p.add_argument("--no-relax", action="store_true", help="do not relax the structure first")
    p.add_argument("--json", action="store_true", help="print the numbers as JSON")
    p.add_argument("--overwrite", action="store_true", help="replace an earlier report in DIR")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructure):
    """Which properties of which crystal. output : a directory (None: STRUCTURE-properties).

    only : parts (None: all); reference : a JSON file with values to compare with
    supercell : repeats of the cell for defects; temperature_K : the highest. Raises InputError.
    """

    _: KW_ONLY
    output: str | Path | None = None
    only: Sequence[str] | None = None
    reference: str | Path | None = None
    supercell: Sequence[int] | None = None
    temperature_K: float = 1000.0
    no_relax: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_positive(self, "temperature_K")
        if unknown := set(self.only or ()) - set(PARTS):
            raise InputError(f"--only must name parts of {', '.join(PARTS)}, found {', '.join(sorted(unknown))}")

    @property
    def directory(self) -> Path:
        """What is written."""
        return Path(self.output or f"{Path(self.structure).stem}-properties")

    @property
    def parts(self) -> list[str]:
        """Those to compute, in their order."""
        return [name for name in PARTS if name in (self.only or PARTS)]


def perform(request: Request, say: Say = silent) -> Written:
    """Compute and write; returns a `Report` and the directory. After an interruption it has the parts that were done.

    Raises InputError, FileError, PhysicsError.
    """
    output = request.directory
    check_distinct([output], [request.structure, request.reference, request.potential])
    if output.is_dir() and not request.overwrite:
        raise FileError(f"{output} exists already; give --overwrite, or another name with -o")
    request.keep_potential([output])
    from mdnnp.base.report.screen import Bar
    from mdnnp.materials import parts
    from mdnnp.materials.crystal import make_crystal
    from mdnnp.materials.properties_files import read_reference, write
    from mdnnp.materials.properties_report import Report

    reference, source = read_reference(request.reference)
    potential, structure = request.load()
    with new_directory(output, request.overwrite, lambda name: name in FILES) as directory:
        crystal = make_crystal(potential, structure, not request.no_relax)
        _warn(crystal, structure)
        supercell = None
        if request.supercell:
            a, b, c = request.supercell
            supercell = a, b, c
        settings = parts.Settings(supercell, request.temperature_K)
        with Bar(layout="{desc} [{elapsed}]") as bar:
            found = parts.compute(crystal, request.parts, settings, bar.describe)
        facts = _facts(request, crystal, structure)
        report = Report(facts, crystal, [parts.cell_part(crystal), *found], reference, source)
        _warn_of_unused(request, report)
        write(directory, report, structure)
    if report.interrupted:
        left = " ".join(request.parts[len(found) - 1 :])
        print(f"interrupted; the finished parts are written; for the others: --only {left}", file=sys.stderr)
    note = f"\nWritten: {output}/report.html, properties.json, properties.csv and the curves behind the figures"
    return Written(report, (output,), note)


def _warn(crystal, structure) -> None:
    """Say what may make all of it meaningless."""
    largest = crystal.results.largest_force
    if largest > _FORCES_AT_REST:
        warnings.warn(
            f"{structure.label}: the largest force is {largest:.3f} eV/Å: this is not a minimum, and the properties "
            "are not valid; remove --no-relax",
            MdnnpWarning, stacklevel=2,
        )  # fmt: skip
    if crystal.coverage:
        warnings.warn(f"{structure.label}: the relaxed crystal {crystal.coverage}", MdnnpWarning, stacklevel=2)


def _warn_of_unused(request: Request, report) -> None:
    unused = sorted(set(report.reference) - {q.key for q in report.quantities})
    if unused and not request.only:
        warnings.warn(
            f"{request.reference}: no quantity of this report is called {', '.join(unused)}",
            MdnnpWarning, stacklevel=3,
        )  # fmt: skip


def _facts(request: Request, crystal, structure) -> list[tuple[str, str]]:
    group = crystal.symmetry.name if crystal.symmetry is not None else "not determined (needs spglib)"
    return [
        ("potential", str(request.potential)),
        ("structure", structure.label),
        ("atoms in the cell", str(len(crystal.system))),
        ("space group", group),
        ("at rest", "relaxed, cell and positions" if crystal.relaxed else "not relaxed"),
    ]
