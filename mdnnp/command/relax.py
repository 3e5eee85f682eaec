"""The verb `mdnnp relax`: a structure to its minimum, with a table of the steps and a report at the end."""

import json
import sys
from argparse import Namespace

import numpy as np

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import volume
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import InputError
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.command.common import load_both, refuse_outputs
from mdnnp.landscape.relaxation import Goal, Landscape, Point, Relaxation, relax
from mdnnp.potentials.interface import Potential
from mdnnp.trajectory.path_frames import with_results, write_steps

_HEADER = f"{'step':>6} {'cost':>8} {'enthalpy/eV':>18} {'max F/eV/Å':>12} {'max S/GPa':>10} {'volume/Å^3':>12}"


def main(arguments: Namespace) -> int:
    refuse_outputs(arguments, [arguments.output, arguments.trajectory], [arguments.structure])
    from mdnnp.atoms.write import check_writable_format
    from mdnnp.trajectory.path_frames import check_steps_file

    check_writable_format(arguments.output)
    check_steps_file(arguments.trajectory, arguments.overwrite)
    potential, structure = load_both(arguments)
    return relax_structure(arguments, potential, structure)


def relax_structure(arguments: Namespace, potential: Potential, structure: Structure) -> int:
    """Relax as the command line says; returns the exit status: 3 if it did not converge."""
    goal = goal_of(arguments)
    quiet = arguments.json
    progress = _Table(quiet)
    try:
        outcome = relax(potential, structure.system, goal, arguments.method, progress.row)
    except KeyboardInterrupt:
        if progress.points:
            _write(arguments, structure, progress.points)
            print(f"interrupted after {len(progress.points) - 1} steps; written: {arguments.output}", file=sys.stderr)
        raise
    _write(arguments, structure, outcome.history)
    print(json.dumps(as_dict(outcome), indent=2) if quiet else text(outcome))
    if not quiet:
        print(f"Written: {arguments.output}" + (f", {arguments.trajectory}" if arguments.trajectory else ""))
    return 0 if outcome.converged else 3


def goal_of(arguments: Namespace) -> Goal:
    """The goal that the command line states. Raises InputError for numbers that make no sense."""
    if arguments.pressure_GPa and not arguments.cell:
        raise InputError("--pressure-GPa needs --cell: the pressure cannot change at a fixed cell")
    for name in ("force_tolerance", "stress_tolerance_GPa", "most_evaluations"):
        value = getattr(arguments, name)
        if not value > 0:
            raise InputError(f"--{name.replace('_', '-')} must be positive, found {value}")
    if not np.isfinite(arguments.pressure_GPa):
        raise InputError(f"--pressure-GPa must be a number, found {arguments.pressure_GPa}")
    return Goal(
        cell=arguments.cell,
        pressure_GPa=arguments.pressure_GPa,
        force_tolerance=arguments.force_tolerance,
        stress_tolerance_GPa=arguments.stress_tolerance_GPa,
        fixed=tuple(arguments.fix),
        keep_symmetry=arguments.keep_symmetry,
        most_evaluations=arguments.most_evaluations,
    )


class _Table:
    """Prints a row for each step (of many steps, every tenth, then every hundredth), and keeps the points.

    The header comes with the first row: what is refused before any step leaves nothing printed.
    """

    def __init__(self, quiet: bool):
        self._quiet = quiet
        self.points: list[Point] = []

    def row(self, landscape: Landscape, point: Point) -> None:
        self.points.append(point)
        step = len(self.points) - 1
        every = 1 if step < 30 else 10 if step < 300 else 100
        if self._quiet or (step % every and not landscape.done(point)):
            return
        from mdnnp.landscape.relaxation import PRODUCT_COST

        if step == 0:
            print(_HEADER)
        cost = landscape.evaluations + PRODUCT_COST * landscape.products
        stress = f"{point.max_stress_GPa:10.4f}" if landscape.goal.cell else f"{'-':>10}"
        size = f"{volume(point.system.cell):12.4f}" if point.system.pbc.all() else f"{'-':>12}"
        print(f"{step:>6} {cost:>8.1f} {point.enthalpy:>18.8f} {point.max_force:>12.6f} {stress} {size}", flush=True)


def as_dict(outcome: Relaxation) -> dict:
    """The outcome in plain numbers."""
    start, end = outcome.history[0], outcome.point
    out = {
        "converged": outcome.converged,
        "reason": outcome.reason,
        "steps": outcome.steps,
        "force_evaluations": outcome.evaluations,
        "hessian_products": outcome.products,
        "cost_in_force_evaluations": round(outcome.cost, 1),
        "energy_eV": end.results.energy,
        "enthalpy_change_eV": end.enthalpy - start.enthalpy,
        "max_force_eV_per_A": end.max_force,
    }
    if end.system.pbc.all():
        stress = end.results.stress(end.system) * EV_PER_A3_IN_GPA
        out |= {"volume_A3": volume(end.system.cell), "stress_GPa": stress.tolist()}
    return out


def text(outcome: Relaxation) -> str:
    """The report."""
    d = as_dict(outcome)
    lines = [
        "",
        f"{'Converged' if outcome.converged else 'NOT converged: ' + outcome.reason}: {outcome.steps} steps, "
        f"{outcome.evaluations} evaluations of the forces and {outcome.products} products with the Hessian "
        f"(cost {outcome.cost:.1f} evaluations)",
        f"energy        {d['energy_eV']:.8f} eV, enthalpy changed by {d['enthalpy_change_eV']:.6f} eV",
        f"largest force {d['max_force_eV_per_A']:.2e} eV/Å",
    ]
    if "stress_GPa" in d:
        s = d["stress_GPa"]
        components = " ".join(f"{v:.4f}" for v in (s[0][0], s[1][1], s[2][2], s[1][2], s[0][2], s[0][1]))
        lines.append(f"stress        {components} GPa (xx yy zz yz xz xy; positive: tension)")
        lines.append(f"volume        {d['volume_A3']:.4f} Å^3")
    extrapolations = outcome.point.results.extrapolation.count
    if extrapolations:
        lines.append(f"WARNING       {extrapolations} symmetry functions are outside the range of the training data")
    return "\n".join(lines)


def _write(arguments, structure: Structure, points: list[Point]) -> None:
    write_structures(arguments.output, [with_results(structure, points[-1])], overwrite=arguments.overwrite)
    if arguments.trajectory:
        how = {"potential": str(arguments.potential), "method": arguments.method}
        write_steps(arguments.trajectory, structure, points, parameters=how, overwrite=arguments.overwrite)
