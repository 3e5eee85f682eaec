"""The verb `mdnnp relax`: a structure to its minimum, with a table of the steps and a report at the end."""

import math
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mdnnp.base.errors import InputError
from mdnnp.command.arguments import add_force_tolerance, add_potential, add_steps, add_structure, add_threads
from mdnnp.command.verb import OfStructure, Say, Written, check_choice, check_positive, silent

if TYPE_CHECKING:
    from mdnnp.landscape.relaxation import Goal

METHODS = ("lbfgs", "newton-cg", "fire")  # of landscape.relaxation
_HEADER = f"{'step':>6} {'cost':>8} {'enthalpy/eV':>18} {'max F/eV/Å':>12} {'max S/GPa':>10} {'volume/Å^3':>12}"


HELP = "Relax the positions, and optionally the cell, to the nearest minimum."
EPILOG = """\
Use it before phonons, saddle and properties, which need a minimum. Methods: L-BFGS with a preconditioner (lbfgs);
Newton's method with exact Hessian-vector products (newton-cg); FIRE (fire). No atom moves more than 0.25 Å in a step,
and the energy never increases (except with FIRE). The exit status is 3 if the tolerance was not reached; the structure
is written in any case.

examples:
  mdnnp relax potential/ crystal.xyz -o relaxed.xyz --cell --pressure-GPa 2
  mdnnp relax potential/ slab.xyz -o relaxed.xyz --fix 0 1 2 3 --trajectory steps.h5
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    add_potential(p)
    add_structure(p)
    p.add_argument("-o", "--output", required=True, metavar="OUT.xyz", help="file for the relaxed structure")
    p.add_argument("--cell", action="store_true", help="relax the cell too")
    p.add_argument("--pressure-GPa", type=float, metavar="P", help="with --cell: pressure (default: 0)")
    add_force_tolerance(p)
    p.add_argument(
        "--stress-tolerance-GPa",
        type=float,
        metavar="S",
        help="with --cell: largest stress (default: 0.05)",
    )
    p.add_argument("--fix", type=int, nargs="+", metavar="ATOM", help="atoms that do not move, counted from 0")
    p.add_argument("--keep-symmetry", action="store_true", help="keep the space group (needs spglib)")
    p.add_argument("--method", choices=["lbfgs", "newton-cg", "fire"], help="default: lbfgs, usually the fastest")
    p.add_argument("--most-evaluations", type=int, metavar="N", help="stop after N force evaluations (default: 2000)")
    add_steps(p)
    add_threads(p)


@dataclass(frozen=True)
class Request(OfStructure):
    """What to relax, how, and when to stop; see `Goal`. output, trajectory : for the minimum, and for every step.

    Raises InputError for numbers that make no sense.
    """

    _: KW_ONLY
    output: str | Path
    cell: bool = False
    pressure_GPa: float = 0.0
    force_tolerance: float = 0.01
    stress_tolerance_GPa: float = 0.05
    fix: Sequence[int] = ()
    keep_symmetry: bool = False
    method: str = "lbfgs"
    most_evaluations: int = 2000
    trajectory: str | Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.pressure_GPa and not self.cell:
            raise InputError("--pressure-GPa needs --cell: the pressure cannot change at a fixed cell")
        check_positive(self, "force_tolerance", "stress_tolerance_GPa", "most_evaluations")
        if not math.isfinite(self.pressure_GPa):
            raise InputError(f"--pressure-GPa must be a number, found {self.pressure_GPa}")
        check_choice(self, "method", METHODS)

    @property
    def files(self) -> tuple[Path, ...]:
        """What is written."""
        return tuple(Path(path) for path in (self.output, self.trajectory) if path)

    def goal(self) -> "Goal":
        """What `relax` is to reach."""
        from mdnnp.landscape.relaxation import Goal

        return Goal(
            cell=self.cell,
            pressure_GPa=self.pressure_GPa,
            force_tolerance=self.force_tolerance,
            stress_tolerance_GPa=self.stress_tolerance_GPa,
            fixed=tuple(self.fix),
            keep_symmetry=self.keep_symmetry,
            most_evaluations=self.most_evaluations,
        )


def perform(request: Request, say: Say = silent) -> Written:
    """Relax and write; returns a `Relaxation` and the files. An interruption writes the steps that were done.

    Raises InputError, FileError, PhysicsError.
    """
    request.refuse(request.files, [request.structure], request.overwrite)
    from mdnnp.atoms.write import check_writable_format
    from mdnnp.trajectory.path_frames import check_steps_file

    check_writable_format(request.output)
    check_steps_file(request.trajectory, request.overwrite)
    potential, structure = request.load()
    from mdnnp.landscape.relaxation import relax

    table = _Table(say)
    try:
        outcome = relax(potential, structure.system, request.goal(), request.method, table.row)
    except KeyboardInterrupt:
        if table.points:
            _write(request, structure, table.points)
            print(f"interrupted after {len(table.points) - 1} steps; written: {request.output}", file=sys.stderr)
        raise
    _write(request, structure, outcome.history)
    return Written(outcome, request.files, f"Written: {', '.join(map(str, request.files))}")


class _Table:
    """Says a row for each step (of many steps, every tenth, then every hundredth), and keeps the points.

    The header comes with the first row: what is refused before any step leaves nothing said.
    """

    def __init__(self, say: Say):
        self._say = say
        self.points: list = []

    def row(self, landscape, point) -> None:
        self.points.append(point)
        step = len(self.points) - 1
        every = 1 if step < 30 else 10 if step < 300 else 100
        if step % every and not landscape.done(point):
            return
        from mdnnp.atoms.system import volume
        from mdnnp.landscape.relaxation import PRODUCT_COST

        if step == 0:
            self._say(_HEADER)
        cost = landscape.evaluations + PRODUCT_COST * landscape.products
        stress = f"{point.max_stress_GPa:10.4f}" if landscape.goal.cell else f"{'-':>10}"
        size = f"{volume(point.system.cell):12.4f}" if point.system.pbc.all() else f"{'-':>12}"
        self._say(f"{step:>6} {cost:>8.1f} {point.enthalpy:>18.8f} {point.max_force:>12.6f} {stress} {size}")


def _write(request: Request, structure, points) -> None:
    from mdnnp.atoms.write import write_structures
    from mdnnp.trajectory.path_frames import with_results, write_steps

    write_structures(request.output, [with_results(structure, points[-1])], overwrite=request.overwrite)
    if request.trajectory:
        how = {"potential": str(request.potential), "method": request.method}
        write_steps(request.trajectory, structure, points, parameters=how, overwrite=request.overwrite)
