"""The verb `mdnnp phonons`: vibrations of a relaxed structure."""

import math
import warnings
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from mdnnp.base.errors import InputError, MdnnpWarning
from mdnnp.base.files import check_distinct, check_replaceable, new_directory
from mdnnp.command.arguments import add_potential, add_structure, add_threads, positive
from mdnnp.command.verb import OfStructure, Say, Written, silent

_LOOSE_EV_PER_A = 0.01


HELP = "Compute vibrations of a relaxed structure: modes, or the phonons of a crystal."
EPILOG = """\
Use it for frequencies and harmonic free energies. First relax the structure with a tight tolerance
(--force-tolerance 0.0001). It writes modes.csv (frequencies) and, with --animate, mode-K.xyz (movies); with
--supercell, phonons.png, bands.csv and dos.csv. Second derivatives are exact, not differences of forces.

examples:
  mdnnp phonons potential/ molecule.xyz -o modes --animate 3
  mdnnp phonons potential/ 4096-atoms.xyz -o modes --modes 12
  mdnnp phonons potential/ unit-cell.xyz -o phonons --supercell 4 4 4
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    add_structure(p)
    p.add_argument("-o", "--output", required=True, metavar="DIR", help="directory to write, which must not exist")
    p.add_argument(
        "--modes",
        type=positive,
        metavar="N",
        help="compute the lowest N modes, without the full Hessian (default: all modes up to 300 atoms, else 12)",
    )
    p.add_argument(
        "--supercell",
        type=positive,
        nargs=3,
        metavar=("A", "B", "C"),
        help="phonon dispersion and density of states of a crystal, from this supercell of its cell (needs phonopy)",
    )
    p.add_argument("--animate", type=positive, metavar="N", help="write movies of the lowest N modes")
    p.add_argument(
        "--temperature-K", type=float, nargs="+", metavar="T",
        help="temperatures, in K, of free energy, entropy and heat capacity",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print the numbers as JSON")
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructure):
    """Of what to find which modes; output : a directory that does not exist.

    modes : how many of the lowest (None: all, of many atoms the lowest); animate : so many as movies
    supercell : the structure is a crystal's cell, and its phonons are wanted. Raises InputError.
    """

    _: KW_ONLY
    output: str | Path
    modes: int | None = None
    supercell: Sequence[int] | None = None
    animate: int = 0
    temperature_K: Sequence[float] = (0.0, 100.0, 200.0, 300.0, 600.0, 1000.0)

    def __post_init__(self) -> None:
        for t in self.temperature_K:
            if not (math.isfinite(t) and t >= 0):
                raise InputError(f"--temperature-K must not be negative, found {t}")


def perform(request: Request, say: Say = silent) -> Written:
    """Compute and write; returns `Vibrations` or `CrystalVibrations` and the directory.

    Raises InputError, FileError, PhysicsError.
    """
    output = Path(request.output)
    check_distinct([output], [request.structure, request.potential])
    if output.exists():
        check_replaceable(output, False, lambda name: False)
    request.keep_potential([output])
    potential, structure = request.load()
    from mdnnp.base.report.screen import Bar
    from mdnnp.landscape.vibrations import crystal_vibrations, vibrations

    _warn_of_forces(potential, structure)
    with new_directory(output) as directory:
        if request.supercell:
            a, b, c = request.supercell
            bands = crystal_vibrations(potential, structure, (a, b, c), request.temperature_K)
            bands.write(directory)
            return Written(bands, (output,), f"Written: {request.output}")
        with Bar(unit="product") as bar:
            found = vibrations(potential, structure, request.modes, request.temperature_K, bar.reach)
        found.write(directory, structure, request.animate)
    return Written(found, (output,), f"Written: {request.output}")


def _warn_of_forces(potential, structure) -> None:
    largest = potential.compute(structure.system).largest_force
    if largest > _LOOSE_EV_PER_A:
        warnings.warn(
            f"{structure.label}: the largest force is {largest:.3f} eV/Å: this is not a minimum, and the frequencies "
            "are not valid; relax it first (mdnnp relax --force-tolerance 0.0001)",
            MdnnpWarning,
            stacklevel=3,
        )
