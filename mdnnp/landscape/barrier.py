"""A saddle point between minima: its barrier, its attempt frequency, and the minima on both sides."""

import math
from dataclasses import dataclass

import numpy as np

from mdnnp import __version__
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, complete_cell
from mdnnp.base.errors import PhysicsError
from mdnnp.landscape.modes import THZ_IN_PER_CM, Modes, all_modes, lowest_modes
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

    @property
    def exit_code(self) -> int:
        """Exit status of the command: 0, or that of a PhysicsError."""
        return 0 if self.good else PhysicsError.exit_code

    def as_dict(self) -> dict:
        """The outcome in plain numbers; None for what was not computed."""
        s, lowest = self.saddle, float(self.modes.frequencies_THz[0])
        zero = None if self.start is None else self.start.results.energy
        return {
            "program": f"mdnnp saddle {__version__}",
            "converged": s.converged,
            "energy_eV": s.energy,
            "barrier_eV": None if zero is None else s.energy - zero,
            "reverse_barrier_eV": None if self.final is None else s.energy - self.final.results.energy,
            "max_force_eV_per_A": s.max_force,
            "negative_curvatures": self.negative_curvatures,
            "imaginary_frequency_THz": -lowest if lowest < 0 else None,
            "imaginary_wavenumber_per_cm": -lowest * THZ_IN_PER_CM if lowest < 0 else None,
            "attempt_frequency_THz": self.attempt_THz if math.isfinite(self.attempt_THz) else None,
            "curvature_eV_per_A2": s.curvature,
            "lowest_frequencies_THz": self.modes.frequencies_THz[:FEW_MODES].tolist(),
            "sides": [
                {
                    "energy_eV": side.point.results.energy,
                    "barrier_eV": s.energy - side.point.results.energy,
                    "largest_move_from_start_A": side.move_A if math.isfinite(side.move_A) else None,
                    "converged": side.converged,
                }
                for side in self.sides
            ],
            "force_evaluations": s.evaluations,
            "hessian_products": s.products,
            "mode": s.mode.tolist(),
        }

    def text(self) -> str:
        """The report."""
        d = self.as_dict()
        state = "Saddle point of first order" if self.good else "NOT a saddle point of first order"
        lines = ["", f"{state}: largest force {d['max_force_eV_per_A']:.2e} eV/Å, energy {d['energy_eV']:.8f} eV"]
        if d["barrier_eV"] is not None:
            back = "" if d["reverse_barrier_eV"] is None else f", from the other end {d['reverse_barrier_eV']:.6f} eV"
            lines.append(f"barrier       {d['barrier_eV']:.6f} eV{back}")
        frequencies = ", ".join(f"{f:.3f}" for f in d["lowest_frequencies_THz"])
        lines.append(f"curvatures    {self.negative_curvatures} negative; lowest frequencies {frequencies} THz")
        if d["imaginary_frequency_THz"]:
            lines.append(
                f"imaginary     {d['imaginary_frequency_THz']:.4f} i THz "
                f"({d['imaginary_wavenumber_per_cm']:.2f} i 1/cm)"
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
        if self.start is not None and self.sides and self.sides[0].move_A > SAME_A:
            lines.append("WARNING       this saddle point is not next to the minimum that the search started from")
        extrapolations = self.saddle.results.extrapolation.count
        if extrapolations:
            lines.append(
                f"WARNING       {extrapolations} symmetry functions are outside the range of the training data"
            )
        return "\n".join(lines)


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
