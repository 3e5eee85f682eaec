"""The verb `mdnnp predict`: energies, forces and stresses of structures, as a table and as a file."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from mdnnp.command.arguments import add_data_units, add_keys, add_potential, add_threads
from mdnnp.command.verb import OfStructures, Outcome, Say, Written, silent, use_threads

HELP = "Compute energy, forces and stress of structures."
EPILOG = """\
Use it for single-point calculations. If the files have reference values, it also prints the errors.

examples:
  mdnnp predict potential/ water.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp predict potential/ test.xyz -o predicted.xyz
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    p.add_argument(
        "structures", nargs="+", metavar="STRUCTURES", help="files of any format that ASE reads, or input.data"
    )
    add_data_units(p)
    add_keys(p)
    p.add_argument(
        "-o", "--output", metavar="OUT.xyz", help="write extended XYZ with energy, forces, stress and atomic energies"
    )
    p.add_argument("--index", help="which structures of each file, as 0, -1 or 0:10 (default: all)")
    p.add_argument("--overwrite", action="store_true", help="replace OUT.xyz if it exists")
    p.add_argument("--json", action="store_true", help="print the numbers as JSON")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructures):
    """Files of structures, and which of each.

    key : names that the files use for labels, as {"forces": "force"}; output : for them with what is predicted
    """

    structures: Sequence[str | Path]
    _: KW_ONLY
    index: str = ":"
    key: Mapping[str, str] = field(default_factory=dict)
    output: str | Path | None = None
    overwrite: bool = False


def perform(request: Request, say: Say = silent) -> Outcome:
    """Predict; returns `Predictions`, or them and the file. Raises InputError, FileError, PhysicsError."""
    request.refuse([request.output], request.structures, request.overwrite)
    potential = request.load_potential()
    from mdnnp.atoms.write import write_structures
    from mdnnp.training.prediction import predict_all

    use_threads(request.threads)
    structures = [s for path in request.structures for s in request.read(path, request.index, request.key)]
    found = predict_all(potential, structures, say, keep=bool(request.output))
    if not request.output:
        return found
    write_structures(request.output, found.structures, format="extxyz", overwrite=request.overwrite)
    return Written(found, (Path(request.output),), f"\nWritten: {request.output}")
