"""The verb `mdnnp saddle`: the saddle and the barrier beside a minimum, or between two."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path

from mdnnp.base.errors import InputError
from mdnnp.command.arguments import add_force_tolerance, add_potential, add_steps, add_structure, add_threads, positive
from mdnnp.command.verb import OfStructure, Say, Written, check_positive, silent

HELP = "Find the saddle and the barrier beside a minimum, or between two."
EPILOG = """\
STRUCTURE is relaxed, then pushed until a curvature turns negative (one atom, a mode, or random numbers of --seed say
where to), then climbs along its lowest mode with exact products of the Hessian. What it finds is the saddle on that
way, not the lowest one: try several atoms and seeds. Between two minima, --to runs an elastic band with a climbing
image (ASE) and refines its highest image to --force-tolerance. OUT.json has the barrier (eV), the imaginary frequency,
the number of negative curvatures (1, or the exit status is 3) and up to 300 atoms Vineyard's attempt frequency.

examples:
  mdnnp saddle potential/ vacancy.xyz -o saddle.xyz --atom 12 --sides
  mdnnp saddle potential/ vacancy.xyz -o saddle.xyz --atom 12 --along 1 1 1
  mdnnp saddle potential/ before.xyz --to after.xyz -o saddle.xyz
  mdnnp saddle potential/ nearly.xyz -o saddle.xyz --guess --mode 1 --sides
"""


def add_arguments(p) -> None:
    """The options."""
    add_potential(p)
    add_structure(p)
    p.add_argument("-o", "--output", required=True, metavar="OUT.xyz", help="file for the saddle; OUT.json: numbers")
    where = p.add_mutually_exclusive_group()
    where.add_argument("--atom", type=int, metavar="I", help="push atom I (from 0) and a little its neighbours")
    where.add_argument("--mode", type=int, metavar="K", help="push along the K-th lowest mode; -K: the other way")
    where.add_argument("--to", metavar="FINAL", help="the other minimum (its last structure): an elastic band first")
    p.add_argument(
        "--along", type=float, nargs=3, metavar=("X", "Y", "Z"), help="with --atom: push it there, and nothing else"
    )
    p.add_argument("--seed", type=int, help="of the random push, without --along, --mode, --to (default: 0)")
    p.add_argument("--guess", action="store_true", help="STRUCTURE is near the saddle: neither relax nor push it first")
    p.add_argument("--images", type=positive, metavar="N", help="with --to: images between (default: 7)")
    p.add_argument("--sides", action="store_true", help="slide down on both sides, and say which minima are there")
    add_force_tolerance(p)
    p.add_argument("--most-steps", type=positive, metavar="N", help="give up then (default: 300)")
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

    def __post_init__(self):
        check_positive(self, "force_tolerance", "images", "most_steps")
        if self.along is not None and self.atom is None:
            raise InputError("--along needs --atom: which atom is to go there?")
        if self.mode == 0:
            raise InputError("--mode counts from 1; -1 goes the other way along the lowest")
        if self.guess and self.to:
            raise InputError("--guess and --to exclude each other: a band begins at two minima, not at a saddle")

    @property
    def files(self) -> tuple[Path, ...]:
        """What is written: the saddle, its numbers, its sides, the steps."""
        out = Path(self.output)
        sides = [out.with_name(f"{out.stem}-side-{k}{out.suffix}") for k in (1, 2)] if self.sides else []
        steps = [Path(self.trajectory)] if self.trajectory else []
        return (out, out.with_suffix(".json"), *sides, *steps)

    def way(self):
        """How `search` is to go."""
        from mdnnp.landscape.barrier_search import Way

        return Way(**{field.name: getattr(self, field.name) for field in fields(Way)})


def perform(request: Request, say: Say = silent) -> Written:
    """Search and write; returns a `Barrier` and the files. Raises InputError, FileError, PhysicsError."""
    request.refuse(request.files, [request.structure, request.to], request.overwrite)
    if Path(request.output).suffix == ".json":
        raise InputError(f"{request.output}: name the structure, as in saddle.xyz; its numbers go to saddle.json")
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
