"""The verb `mdnnp saddle`: the saddle and the barrier beside a minimum, or between two."""

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from mdnnp.base.errors import InputError
from mdnnp.command.arguments import add_force_tolerance, add_potential, add_steps, add_structure, add_threads, positive
from mdnnp.command.verb import OfStructure, Say, Written, check_positive, silent

if TYPE_CHECKING:
    from mdnnp.landscape.barrier_search import Way

HELP = "Find a saddle point and its barrier, from one minimum or between two."
EPILOG = """\
Use it for barriers of diffusion and reactions. From one minimum: STRUCTURE is relaxed, then displaced (--atom, --mode,
or random numbers from --seed) until a curvature is negative, and then climbs along its lowest mode with exact
Hessian-vector products. The result is one saddle point, not always the lowest: try several atoms and seeds. Between
two minima: --to runs an elastic band with a climbing image (ASE) and refines the highest image to --force-tolerance.
OUT.json has the barrier (eV), the imaginary frequency, the number of negative curvatures (the exit status is 3 if it
is not 1) and, for up to 300 atoms, Vineyard's attempt frequency.

examples:
  mdnnp saddle potential/ vacancy.xyz -o saddle.xyz --atom 12 --sides
  mdnnp saddle potential/ vacancy.xyz -o saddle.xyz --atom 12 --along 1 1 1
  mdnnp saddle potential/ before.xyz --to after.xyz -o saddle.xyz
  mdnnp saddle potential/ nearly.xyz -o saddle.xyz --guess --mode 1 --sides
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    add_structure(p)
    p.add_argument(
        "-o", "--output", required=True, metavar="OUT.xyz", help="file for the saddle point; OUT.json: numbers"
    )
    where = p.add_mutually_exclusive_group()
    where.add_argument(
        "--atom", type=int, metavar="I", help="first displace atom I (counted from 0), and its neighbours slightly"
    )
    where.add_argument(
        "--mode", type=int, metavar="K", help="first displace along the K-th lowest mode; -K: in the opposite direction"
    )
    where.add_argument(
        "--to", metavar="FINAL", help="file whose last structure is the other minimum: start with an elastic band"
    )
    p.add_argument(
        "--along", type=float, nargs=3, metavar=("X", "Y", "Z"), help="with --atom: displace only it, in this direction"
    )
    p.add_argument(
        "--seed",
        type=int,
        help="seed of the random displacement (without --along, --mode, --to; default: 0)",
    )
    p.add_argument(
        "--guess", action="store_true", help="STRUCTURE is near the saddle point: do not relax or displace it first"
    )
    p.add_argument("--images", type=positive, metavar="N", help="with --to: images between the ends (default: 7)")
    p.add_argument("--sides", action="store_true", help="also relax down to the minima on both sides")
    add_force_tolerance(p)
    p.add_argument("--most-steps", type=positive, metavar="N", help="stop after N steps (default: 300)")
    add_steps(p)
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructure):
    """Where to search, and how; see `Way`. to : the other minimum; output : for the saddle, its numbers beside it.

    Raises InputError for options that make no sense together.
    """

    _: KW_ONLY
    output: str | Path
    to: str | Path | None = None
    atom: int | None = None
    along: Sequence[float] | None = None
    mode: int | None = None
    seed: int = 0
    guess: bool = False
    images: int = 7
    sides: bool = False
    force_tolerance: float = 0.01
    most_steps: int = 300
    trajectory: str | Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_positive(self, "force_tolerance", "images", "most_steps")
        if self.along is not None and self.atom is None:
            raise InputError("--along needs --atom, the atom that is displaced")
        if self.mode == 0:
            raise InputError("--mode counts from 1; -1 is the lowest mode in the opposite direction")
        if self.guess and self.to:
            raise InputError(
                "--guess and --to exclude each other: a band starts at two minima, not near a saddle point"
            )

    @property
    def files(self) -> tuple[Path, ...]:
        """What is written: the saddle, its numbers, its sides, the steps."""
        out = Path(self.output)
        sides = [out.with_name(f"{out.stem}-side-{k}{out.suffix}") for k in (1, 2)] if self.sides else []
        steps = [Path(self.trajectory)] if self.trajectory else []
        return (out, out.with_suffix(".json"), *sides, *steps)

    def way(self) -> "Way":
        """How `search` is to go."""
        from mdnnp.landscape.barrier_search import Way

        return Way(**{field.name: getattr(self, field.name) for field in fields(Way)})


def perform(request: Request, say: Say = silent) -> Written:
    """Search and write; returns a `Barrier` and the files. Raises InputError, FileError, PhysicsError."""
    request.refuse(request.files, [request.structure, request.to], request.overwrite)
    if Path(request.output).suffix == ".json":
        raise InputError(f"{request.output}: give the file for the structure, for example saddle.xyz")
    from mdnnp.atoms.write import check_writable_format
    from mdnnp.trajectory.path_frames import check_steps_file

    check_writable_format(request.output)
    check_steps_file(request.trajectory, request.overwrite)
    potential, structure = request.load()
    (final,) = request.read(request.to, -1) if request.to else (None,)
    from mdnnp.landscape.barrier_search import search

    found, steps = search(potential, structure, request.way(), final, say)
    _write(request, structure, found, steps)
    return Written(found, request.files, f"Written: {', '.join(map(str, request.files))}")


def _write(request: Request, structure, found, steps) -> None:
    from mdnnp.atoms.write import write_structures
    from mdnnp.base.files import new_file
    from mdnnp.base.report.plain import to_json
    from mdnnp.trajectory.path_frames import with_results, write_steps

    out, summary, *sides = request.files
    write_structures(out, [with_results(structure, found.saddle)], overwrite=request.overwrite)
    how = {"potential": str(request.potential), "structure": structure.label}
    with new_file(summary, request.overwrite) as temporary:
        temporary.write_text(to_json(how | found.as_dict()) + "\n", encoding="utf-8")
    for path, side in zip(sides, found.sides, strict=False):  # the steps come after the sides
        write_structures(path, [with_results(structure, side.point)], overwrite=request.overwrite)
    if request.trajectory:
        write_steps(request.trajectory, structure, steps, parameters=how, overwrite=request.overwrite)
