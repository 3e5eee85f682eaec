"""The verb `mdnnp saddle`: the saddle and the barrier beside a minimum, or between two."""

import json
import math
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np

from mdnnp import __version__
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import check_writable_format, write_structures
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.files import new_file
from mdnnp.command.common import data_units, load_both, refuse_outputs
from mdnnp.landscape.barrier import (
    ALL_MODES_UP_TO,
    FEW_MODES,
    SAME_A,
    Barrier,
    characterise,
    distances_A,
    minimum_near,
    outputs,
)
from mdnnp.landscape.modes import THZ_IN_PER_CM, all_modes, lowest_modes
from mdnnp.landscape.relaxation import Point
from mdnnp.landscape.saddle_search import SearchPoint, direction_about, find_saddle, push_out
from mdnnp.potentials.interface import Potential
from mdnnp.trajectory.path_frames import with_results, write_steps

_BAND_FORCE = 0.1  # eV/Å, to which the elastic band converges before the search takes over
_BAND_STEPS = 300
_HEADER = f"{'step':>6} {'energy/eV':>14} {'max F/eV/Å':>12} {'curvature/eV/Å^2':>17} {'products':>9}"


def main(arguments: Namespace) -> int:
    from mdnnp.landscape.barrier import outputs

    refuse_outputs(arguments, outputs(arguments), [arguments.structure, arguments.to])
    check_outputs(arguments)
    potential, structure = load_both(arguments)
    final = None
    if arguments.to:
        from mdnnp.atoms.read import read_structures

        (final,) = read_structures(arguments.to, -1, *data_units(arguments))
    return search_saddle(arguments, potential, structure, final)


def search_saddle(arguments: Namespace, potential: Potential, structure: Structure, final: Structure | None) -> int:
    """Search as the command line says; returns the exit status: 3 if no saddle of first order was found."""
    _check(arguments, structure, final)
    progress = _Progress(arguments.json)
    start = last = None
    if arguments.guess:
        system, direction = structure.system, _direction(arguments, potential, structure)
    else:
        start = minimum_near(potential, structure, arguments.force_tolerance)
        structure = replace(structure, system=start.system)
        progress.say(f"minimum       {start.results.energy:.8f} eV, largest force {start.max_force:.1e} eV/Å")
        if final is None:
            system, direction, products = push_out(
                potential, start.system, _direction(arguments, potential, structure), progress.row
            )
            progress.products = products
        else:
            last = minimum_near(potential, final, arguments.force_tolerance)
            system, direction = _over_the_band(arguments, potential, start, last, progress)
    saddle = find_saddle(
        potential, system, direction, force_tolerance=arguments.force_tolerance, most_steps=arguments.most_steps,
        each=progress.row,
    )  # fmt: skip
    tight = 0.1 * arguments.force_tolerance
    found = characterise(potential, structure.masses, saddle, start, last, sides=arguments.sides, force_tolerance=tight)
    _write(arguments, structure, found, progress.points)
    if arguments.json:
        print(json.dumps(as_dict(found), indent=2))
    else:
        print(text(found))
        print(f"Written: {', '.join(str(p) for p in outputs(arguments))}")
    return 0 if found.good else 3


def _check(arguments, structure: Structure, final: Structure | None) -> None:
    if not arguments.force_tolerance > 0:
        raise InputError(f"--force-tolerance must be positive, found {arguments.force_tolerance}")
    if len(structure.system) < 2:
        raise InputError(f"{structure.label}: a single atom has no saddle point")
    if arguments.along is not None and arguments.atom is None:
        raise InputError("--along needs --atom, the atom that is displaced")
    if arguments.mode == 0:
        raise InputError("--mode counts from 1; -1 is the lowest mode in the opposite direction")
    if final is None:
        return
    if arguments.guess:
        raise InputError("--guess and --to exclude each other: a band starts at two minima, not near a saddle point")
    a, b = structure.system, final.system
    if len(a) != len(b) or (a.numbers != b.numbers).any():
        at = "" if len(a) != len(b) else f"; atom {int(np.argmax(a.numbers != b.numbers))} is another element"
        raise InputError(
            f"{final.label}: {len(b)} atoms, {structure.label} has {len(a)}{at}: both ends of a band need the same "
            "atoms in the same order"
        )
    if (a.pbc != b.pbc).any() or np.abs(a.cell - b.cell).max() > 1e-6:
        raise InputError(f"{final.label}: not in the cell of {structure.label}: both ends of a band need the same cell")


def _direction(arguments, potential: Potential, structure: Structure) -> np.ndarray:
    """(N, 3) where to climb."""
    system = structure.system
    if arguments.atom is not None:
        about = direction_about(system, arguments.atom, arguments.seed, potential.cutoff)
        if arguments.along is None:
            return about
        there = np.zeros_like(about)
        there[arguments.atom] = arguments.along
        return there
    if arguments.mode is None:
        return np.random.default_rng(arguments.seed).normal(size=system.positions.shape)
    k, most = abs(arguments.mode), 3 * len(system) - 6
    few = len(system) <= ALL_MODES_UP_TO
    if few and k > most:
        raise InputError(f"--mode {arguments.mode}: {structure.label} has no more than {most} modes")
    modes = (
        all_modes(potential, system, structure.masses)
        if few
        else lowest_modes(potential, system, structure.masses, k, tolerance_THz=0.01)
    )
    return math.copysign(1.0, arguments.mode) * modes.vectors[k - 1] / np.sqrt(structure.masses)[:, None]


def _over_the_band(arguments, potential: Potential, start: Point, last: Point, progress: "_Progress"):
    """The highest image of an elastic band between two minima, and the tangent there.

    Source: G. Henkelman, B. P. Uberuaga, H. Jonsson, J. Chem. Phys. 113, 9901 (2000) (climbing image).
    """
    progress.say(f"other end     {last.results.energy:.8f} eV")
    if distances_A(start.system, last.system).max() < SAME_A:
        raise InputError("both ends relax to the same minimum, so there is no barrier between them")
    from ase import Atoms
    from ase.mep import NEB
    from ase.optimize import FIRE

    from mdnnp.couplings.ase import HDNNPCalculator

    s = start.system
    first = Atoms(s.numbers, s.positions, cell=s.cell, pbc=s.pbc)
    end = first.copy()
    end.positions = last.system.positions
    images = [first, *(first.copy() for _ in range(arguments.images)), end]
    for image in images:
        image.calc = HDNNPCalculator(potential)
    band = NEB(images, method="improvedtangent", k=0.2)
    band.interpolate(method="idpp", mic=True)
    progress.say(f"\n{'band':>6} {'highest/eV':>14} {'max F/eV/Å':>12}")
    optimizer = FIRE(band, logfile=None)

    def show():
        heights = [image.get_potential_energy() - start.results.energy for image in images]
        force = np.sqrt(np.square(band.get_residual()).max())
        if optimizer.nsteps % 10 == 0:
            progress.say(f"{optimizer.nsteps:>6} {max(heights):>14.6f} {force:>12.4f}")

    optimizer.attach(show)
    optimizer.run(fmax=3 * _BAND_FORCE, steps=_BAND_STEPS)
    band.climb = True
    optimizer.run(fmax=_BAND_FORCE, steps=_BAND_STEPS)
    energies = np.array([image.get_potential_energy() for image in images])
    top = int(np.argmax(energies))
    if top in (0, len(images) - 1):
        raise PhysicsError(
            "the highest point of the band is one of its ends: there is no saddle point between them, or "
            f"{arguments.images} images are too few; use more with --images"
        )
    tangent = images[top + 1].positions - images[top - 1].positions
    return s._replace(positions=images[top].positions.copy()), tangent


class _Progress:
    """Prints rows of the search, and keeps its steps."""

    def __init__(self, quiet: bool):
        self._quiet, self.products = quiet, 0
        self.points: list[SearchPoint] = []

    def say(self, line: str) -> None:
        if not self._quiet:
            print(line, flush=True)

    def row(self, point: SearchPoint) -> None:
        if not self.points:
            self.say("\n" + _HEADER)
        self.points.append(point)
        self.say(
            f"{len(self.points) - 1:>6} {point.results.energy:>14.6f} {point.max_force:>12.5f} "
            f"{point.curvature:>17.4f} {self.products + point.products:>9}"
        )


def as_dict(found: Barrier) -> dict:
    """The outcome in plain numbers; None for what was not computed."""
    s, lowest = found.saddle, float(found.modes.frequencies_THz[0])
    zero = None if found.start is None else found.start.results.energy
    return {
        "program": f"mdnnp saddle {__version__}",
        "converged": s.converged,
        "energy_eV": s.energy,
        "barrier_eV": None if zero is None else s.energy - zero,
        "reverse_barrier_eV": None if found.final is None else s.energy - found.final.results.energy,
        "max_force_eV_per_A": s.max_force,
        "negative_curvatures": found.negative_curvatures,
        "imaginary_frequency_THz": -lowest if lowest < 0 else None,
        "imaginary_wavenumber_per_cm": -lowest * THZ_IN_PER_CM if lowest < 0 else None,
        "attempt_frequency_THz": found.attempt_THz if math.isfinite(found.attempt_THz) else None,
        "curvature_eV_per_A2": s.curvature,
        "lowest_frequencies_THz": found.modes.frequencies_THz[:FEW_MODES].tolist(),
        "sides": [
            {
                "energy_eV": side.point.results.energy,
                "barrier_eV": s.energy - side.point.results.energy,
                "largest_move_from_start_A": side.move_A if math.isfinite(side.move_A) else None,
                "converged": side.converged,
            }
            for side in found.sides
        ],
        "force_evaluations": s.evaluations,
        "hessian_products": s.products,
        "mode": s.mode.tolist(),
    }


def text(found: Barrier) -> str:
    """The report."""
    d = as_dict(found)
    state = "Saddle point of first order" if found.good else "NOT a saddle point of first order"
    lines = ["", f"{state}: largest force {d['max_force_eV_per_A']:.2e} eV/Å, energy {d['energy_eV']:.8f} eV"]
    if d["barrier_eV"] is not None:
        back = "" if d["reverse_barrier_eV"] is None else f", from the other end {d['reverse_barrier_eV']:.6f} eV"
        lines.append(f"barrier       {d['barrier_eV']:.6f} eV{back}")
    frequencies = ", ".join(f"{f:.3f}" for f in d["lowest_frequencies_THz"])
    lines.append(f"curvatures    {found.negative_curvatures} negative; lowest frequencies {frequencies} THz")
    if d["imaginary_frequency_THz"]:
        lines.append(
            f"imaginary     {d['imaginary_frequency_THz']:.4f} i THz ({d['imaginary_wavenumber_per_cm']:.2f} i 1/cm)"
        )
    if d["attempt_frequency_THz"]:
        lines.append(
            f"attempts      {d['attempt_frequency_THz']:.4g} THz (Vineyard); rate = this times exp(-barrier / kT)"
        )
    for k, side in enumerate(d["sides"], 1):
        where = ""
        if side["largest_move_from_start_A"] is not None:
            same = side["largest_move_from_start_A"] < SAME_A
            where = (
                ", the minimum it started from"
                if same
                else f", {side['largest_move_from_start_A']:.2f} Å away from the start"
            )
        lines.append(
            f"side {k}        {side['energy_eV']:.8f} eV, barrier from there {side['barrier_eV']:.6f} eV{where}"
        )
    if found.start is not None and found.sides and found.sides[0].move_A > SAME_A:
        lines.append("WARNING       this saddle point is not next to the minimum that the search started from")
    extrapolations = found.saddle.results.extrapolation.count
    if extrapolations:
        lines.append(f"WARNING       {extrapolations} symmetry functions are outside the range of the training data")
    return "\n".join(lines)


def check_outputs(arguments: Namespace) -> None:
    """Refuse, before any work is done, outputs of a name that cannot be written."""
    from mdnnp.trajectory.path_frames import check_steps_file

    if Path(arguments.output).suffix == ".json":
        raise InputError(f"{arguments.output}: give the file for the structure, for example saddle.xyz")
    check_writable_format(arguments.output)
    check_steps_file(arguments.trajectory, arguments.overwrite)


def _write(arguments, structure: Structure, found: Barrier, points: list[SearchPoint]) -> None:
    out, summary, *_ = outputs(arguments)
    write_structures(out, [with_results(structure, found.saddle)], overwrite=arguments.overwrite)
    how = {"potential": str(arguments.potential), "structure": structure.label}
    with new_file(summary, arguments.overwrite) as temporary:
        temporary.write_text(json.dumps(how | as_dict(found), indent=2) + "\n", encoding="utf-8")
    for k, side in enumerate(found.sides, 1):
        path = out.with_name(f"{out.stem}-side-{k}{out.suffix}")
        write_structures(path, [with_results(structure, side.point)], overwrite=arguments.overwrite)
    if arguments.trajectory:
        write_steps(arguments.trajectory, structure, points, parameters=how, overwrite=arguments.overwrite)
