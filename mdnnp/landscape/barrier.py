"""A saddle point between minima: its barrier, its attempt frequency, and the minima on both sides."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, complete_cell
from mdnnp.base.errors import PhysicsError
from mdnnp.landscape.modes import Modes, all_modes, lowest_modes
from mdnnp.landscape.relaxation import Goal, Point, relax
from mdnnp.landscape.saddle_search import Saddle
from mdnnp.potentials.interface import Potential

ALL_MODES_UP_TO = 300  # atoms
FEW_MODES = 4
_ZERO_THZ = 0.02  # frequencies nearer to zero than this are not counted as imaginary
_SIDE_A = 0.15  # how far from the saddle the two slides begin, of the atom that moves most
SAME_A = 0.3  # two minima are one if no atom is further apart


@dataclass(frozen=True)
class Side:
    """A minimum that a saddle slides down to. move_A : largest distance of an atom from the start's minimum."""

    point: Point
    move_A: float
    converged: bool


@dataclass(frozen=True)
class Barrier:
    """What a search found.

    start, final : minima, None where there is none (a search from a guess; no second structure)
    modes : of the saddle, at least the lowest; attempt_THz : Vineyard's prefactor from `start`, NaN if not computed
    sides : the minima on both sides, empty unless asked for
    """

    saddle: Saddle
    modes: Modes
    start: Point | None
    final: Point | None
    sides: tuple[Side, ...]
    attempt_THz: float

    @property
    def negative_curvatures(self) -> int:
        """How many frequencies are imaginary: 1 at a saddle of first order."""
        return int((self.modes.frequencies_THz < -_ZERO_THZ).sum())

    @property
    def good(self) -> bool:
        """Whether this is a saddle of first order."""
        return self.saddle.converged and self.negative_curvatures == 1


def characterise(
    potential: Potential,
    masses: np.ndarray,
    saddle: Saddle,
    start: Point | None = None,
    final: Point | None = None,
    *,
    sides: bool = False,
    force_tolerance: float = 0.001,
) -> Barrier:
    """Frequencies at a saddle, Vineyard's attempt frequency from `start`, and if `sides`, the minima next to it.

    masses : (N,) u; force_tolerance : eV/Å, of the minima at the sides. All modes are computed up to 300 atoms, above
    that the lowest few. Attempt frequency: the product of the minimum's frequencies over that of the saddle's real
    ones (G. H. Vineyard, J. Phys. Chem. Solids 3, 121 (1957)).
    """
    few = len(masses) <= ALL_MODES_UP_TO
    modes = all_modes(potential, saddle.system, masses) if few else _lowest(potential, saddle.system, masses)
    attempt = math.nan
    if few and start is not None:
        attempt = attempt_frequency_THz(all_modes(potential, start.system, masses), modes)
    slides = _slide(potential, saddle, start, force_tolerance) if sides else ()
    return Barrier(saddle, modes, start, final, slides, attempt)


def attempt_frequency_THz(minimum: Modes, saddle: Modes) -> float:
    """Vineyard's prefactor from all modes of both; NaN unless the saddle alone has one imaginary frequency."""
    low, high = minimum.frequencies_THz, saddle.frequencies_THz
    if (low <= _ZERO_THZ).any() or (high[1:] <= _ZERO_THZ).any() or high[0] >= -_ZERO_THZ or len(low) != len(high):
        return math.nan
    return float(np.exp(np.log(low).sum() - np.log(high[1:]).sum()))


def distances_A(a: System, b: System) -> np.ndarray:
    """(N,) distances of each atom of `a` from its own nearest image in `b`, Å; a common shift is taken out."""
    cell = complete_cell(a.cell, a.pbc)

    def nearest(difference):
        return difference - (np.round(difference @ np.linalg.inv(cell)) * a.pbc) @ cell

    difference = nearest(b.positions - a.positions)
    difference = nearest(difference - np.median(difference, axis=0))
    return np.linalg.norm(difference, axis=1)


def _lowest(potential, system, masses) -> Modes:
    return lowest_modes(potential, system, masses, FEW_MODES)


def minimum_near(potential: Potential, structure: Structure, force_tolerance: float) -> Point:
    """`structure` relaxed to `force_tolerance`, eV/Å. Raises PhysicsError if it does not come to rest."""
    outcome = relax(potential, structure.system, Goal(force_tolerance=0.1 * force_tolerance))
    if not outcome.converged and outcome.point.max_force > force_tolerance:
        raise PhysicsError(
            f"{structure.label}: cannot be relaxed to a minimum to start from ({outcome.reason}; largest force "
            f"{outcome.point.max_force:.3g} eV/Å); relax it first (mdnnp relax)"
        )
    return outcome.point


def _slide(potential: Potential, saddle: Saddle, start: Point | None, force_tolerance: float) -> tuple[Side, ...]:
    """The minima on both sides."""
    step = _SIDE_A * saddle.mode / np.sqrt(np.square(saddle.mode).sum(axis=1).max())
    sides = []
    for sign in (-1.0, 1.0):
        beside = saddle.system._replace(positions=saddle.system.positions + sign * step)
        outcome = relax(potential, beside, Goal(force_tolerance=force_tolerance))
        move = math.nan if start is None else float(distances_A(start.system, outcome.point.system).max())
        sides.append(Side(outcome.point, move, outcome.converged))
    if start is not None:
        sides.sort(key=lambda side: side.move_A)
    return tuple(sides)


def outputs(arguments) -> list[Path]:
    """Names of the output files."""
    out = Path(arguments.output)
    names = [out, out.with_suffix(".json")]
    if arguments.sides:
        names += [out.with_name(f"{out.stem}-side-{k}{out.suffix}") for k in (1, 2)]
    return names + ([Path(arguments.trajectory)] if arguments.trajectory else [])
