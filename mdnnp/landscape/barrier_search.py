"""From a structure to the barrier beside it, or to that between two minima: the whole search."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.landscape.barrier import (
    ALL_MODES_UP_TO,
    SAME_A,
    Barrier,
    characterise,
    distances_A,
    minimum_near,
)
from mdnnp.landscape.modes import all_modes, lowest_modes
from mdnnp.landscape.relaxation import Point
from mdnnp.landscape.saddle_search import SearchPoint, direction_about, find_saddle, push_out
from mdnnp.potentials.interface import Potential

_BAND_FORCE = 0.1  # eV/Å, to which the elastic band converges before the search takes over
_BAND_STEPS = 300
_HEADER = f"{'step':>6} {'energy/eV':>14} {'max F/eV/Å':>12} {'curvature/eV/Å^2':>17} {'products':>9}"


@dataclass(frozen=True)
class Way:
    """How to search.

    guess : the structure is near the saddle, and neither relaxed nor pushed
    atom, along : push this atom (from 0), in this direction (3,) if one is given; mode : push along the K-th lowest
        mode, -K the other way; neither: at random, from `seed`
    images : of an elastic band to a second minimum; sides : relax from the saddle to both sides
    force_tolerance : eV/Å; most_steps : of the search
    """

    guess: bool = False
    atom: int | None = None
    along: tuple[float, float, float] | None = None
    mode: int | None = None
    seed: int = 0
    images: int = 7
    sides: bool = False
    force_tolerance: float = 0.01
    most_steps: int = 300


def search(
    potential: Potential,
    structure: Structure,
    way: Way,
    final: Structure | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[Barrier, list[SearchPoint]]:
    """The barrier beside `structure`, or between it and `final`, and the steps of the search.

    say : is told, line by line, how the search goes
    Raises InputError for structures or a way that do not fit together, PhysicsError if nothing is found.
    """
    _check(structure, final)
    steps = _Steps(say)
    start = last = None
    if way.guess:
        system, direction = structure.system, _direction(way, potential, structure)
    else:
        start = minimum_near(potential, structure, way.force_tolerance)
        structure = replace(structure, system=start.system)
        say(f"minimum       {start.results.energy:.8f} eV, largest force {start.max_force:.1e} eV/Å")
        if final is None:
            direction = _direction(way, potential, structure)
            system, direction, steps.products = push_out(potential, start.system, direction, steps.row)
        else:
            last = minimum_near(potential, final, way.force_tolerance)
            say(f"other end     {last.results.energy:.8f} eV")
            system, direction = _over_the_band(potential, start, last, way.images, say)
    saddle = find_saddle(
        potential, system, direction, force_tolerance=way.force_tolerance, most_steps=way.most_steps, each=steps.row
    )
    tight = 0.1 * way.force_tolerance
    found = characterise(potential, structure.masses, saddle, start, last, sides=way.sides, force_tolerance=tight)
    return found, steps.points


def _check(structure: Structure, final: Structure | None) -> None:
    if len(structure.system) < 2:
        raise InputError(f"{structure.label}: a single atom has no saddle point")
    if final is None:
        return
    a, b = structure.system, final.system
    if len(a) != len(b) or (a.numbers != b.numbers).any():
        at = "" if len(a) != len(b) else f"; atom {int(np.argmax(a.numbers != b.numbers))} is another element"
        raise InputError(
            f"{final.label}: {len(b)} atoms, {structure.label} has {len(a)}{at}: both ends of a band need the same "
            "atoms in the same order"
        )
    if (a.pbc != b.pbc).any() or np.abs(a.cell - b.cell).max() > 1e-6:
        raise InputError(f"{final.label}: not in the cell of {structure.label}: both ends of a band need the same cell")


def _direction(way: Way, potential: Potential, structure: Structure) -> np.ndarray:
    """(N, 3) where to climb."""
    system = structure.system
    if way.atom is not None:
        about = direction_about(system, way.atom, way.seed, potential.cutoff)
        if way.along is None:
            return about
        there = np.zeros_like(about)
        there[way.atom] = way.along
        return there
    if way.mode is None:
        return np.random.default_rng(way.seed).normal(size=system.positions.shape)
    k, most = abs(way.mode), 3 * len(system) - 6
    few = len(system) <= ALL_MODES_UP_TO
    if few and k > most:
        raise InputError(f"--mode {way.mode}: {structure.label} has no more than {most} modes")
    modes = (
        all_modes(potential, system, structure.masses)
        if few
        else lowest_modes(potential, system, structure.masses, k, tolerance_THz=0.01)
    )
    return math.copysign(1.0, way.mode) * modes.vectors[k - 1] / np.sqrt(structure.masses)[:, None]


def _over_the_band(
    potential: Potential, start: Point, last: Point, n_images: int, say: Callable[[str], object]
) -> tuple[System, np.ndarray]:
    """The highest image of an elastic band between two minima, and the tangent there.

    Source: G. Henkelman, B. P. Uberuaga, H. Jonsson, J. Chem. Phys. 113, 9901 (2000) (climbing image).
    """
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
    images = [first, *(first.copy() for _ in range(n_images)), end]
    for image in images:
        image.calc = HDNNPCalculator(potential)
    band = NEB(images, method="improvedtangent", k=0.2)
    band.interpolate(method="idpp", mic=True)
    say(f"\n{'band':>6} {'highest/eV':>14} {'max F/eV/Å':>12}")
    optimizer = FIRE(band, logfile=None)

    def show():
        heights = [image.get_potential_energy() - start.results.energy for image in images]
        force = np.sqrt(np.square(band.get_residual()).max())
        if optimizer.nsteps % 10 == 0:
            say(f"{optimizer.nsteps:>6} {max(heights):>14.6f} {force:>12.4f}")

    optimizer.attach(show)
    optimizer.run(fmax=3 * _BAND_FORCE, steps=_BAND_STEPS)
    band.climb = True
    optimizer.run(fmax=_BAND_FORCE, steps=_BAND_STEPS)
    energies = np.array([image.get_potential_energy() for image in images])
    top = int(np.argmax(energies))
    if top in (0, len(images) - 1):
        raise PhysicsError(
            "the highest point of the band is one of its ends: there is no saddle point between them, or "
            f"{n_images} images are too few; use more with --images"
        )
    tangent = images[top + 1].positions - images[top - 1].positions
    return s._replace(positions=images[top].positions.copy()), tangent


class _Steps:
    """Says rows of the search, and keeps its steps."""

    def __init__(self, say: Callable[[str], object]):
        self._say, self.products = say, 0
        self.points: list[SearchPoint] = []

    def row(self, point: SearchPoint) -> None:
        if not self.points:
            self._say("\n" + _HEADER)
        self.points.append(point)
        self._say(
            f"{len(self.points) - 1:>6} {point.results.energy:>14.6f} {point.max_force:>12.5f} "
            f"{point.curvature:>17.4f} {self.products + point.products:>9}"
        )
