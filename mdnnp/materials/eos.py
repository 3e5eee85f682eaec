"""Energy against volume: the crystal at fixed volumes, all else relaxed, and the equation of state through it.

F. Birch, Phys. Rev. 71, 809 (1947), third order: the energy is a cubic polynomial in x = V^(-2/3), so that the fit is
linear.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mdnnp.atoms.system import System, volume
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.landscape.relaxation import Goal, Point, relax
from mdnnp.materials.crystal import FORCE_TOLERANCE, STRESS_TOLERANCE_GPA, Coverage, coverage
from mdnnp.potentials.interface import Potential

RATIOS = tuple(np.linspace(0.94, 1.06, 9))


class BirchMurnaghan(NamedTuple):
    """An equation of state.

    volume : of the minimum, Å^3; energy : there, eV; bulk_modulus_GPa; derivative : dB/dP
    residual : root of the mean squared deviation of what it was fitted to, eV
    coefficients : (4,) of the powers of V^(-2/3), from 0
    """

    volume: float
    energy: float
    bulk_modulus_GPa: float
    derivative: float
    residual: float
    coefficients: np.ndarray

    def at(self, volumes: np.ndarray) -> np.ndarray:
        """Energies (eV) at volumes (Å^3)."""
        return np.polynomial.polynomial.polyval(np.asarray(volumes) ** (-2 / 3), self.coefficients)

    def pressure_GPa(self, volumes: np.ndarray) -> np.ndarray:
        """-dE/dV at volumes (Å^3)."""
        v = np.asarray(volumes)
        slope = np.polynomial.polynomial.polyval(
            v ** (-2 / 3), np.polynomial.polynomial.polyder(self.coefficients)
        )  # fmt: skip
        return 2 / 3 * v ** (-5 / 3) * slope * EV_PER_A3_IN_GPA


def fit_birch_murnaghan(volumes: ArrayLike, energies: ArrayLike) -> BirchMurnaghan:
    """Fit to energies (eV) at volumes (Å^3). Raises InputError for fewer than four, PhysicsError without a minimum."""
    v, e = np.asarray(volumes, float), np.asarray(energies, float)
    if len(np.unique(v)) < 4 or v.shape != e.shape:
        raise InputError(f"an equation of state needs energies at four volumes or more, got {len(np.unique(v))}")
    # in units of the middle volume and from the middle energy, so that the fit is well conditioned
    scale, middle = v.mean() ** (-2 / 3), e.mean()
    x = v ** (-2 / 3) / scale
    shifted = np.polynomial.polynomial.Polynomial.fit(x, e - middle, 3)
    scaled = shifted.convert().coef
    a, b, c = 3 * scaled[3], 2 * scaled[2], scaled[1]
    inside = b * b - 4 * a * c
    # of the two extrema the minimum, where the second derivative is sqrt(inside); in the form without cancellation
    bend = np.sqrt(max(inside, 0.0))
    root = -2 * c / (b + bend) if b > 0 else (bend - b) / (2 * a)
    if inside <= 0 or root <= 0 or not 0.7 * v.min() < (root * scale) ** -1.5 < 1.4 * v.max():
        raise PhysicsError(
            f"the energies have no minimum near the volumes {v.min():.4g} to {v.max():.4g} Å^3; there is no equation "
            "of state there"
        )
    first, second, third = (float(shifted.deriv(k)(root)) for k in (1, 2, 3))
    at_rest = (root * scale) ** -1.5
    # with E(x), x ~ V^(-2/3): V dx/dV = -2/3 x; y = V dE/dV = -2/3 x E', B V = V dy/dV - y, and so on
    theta = -2 / 3
    y1 = theta * root * first
    y2 = theta * theta * (root * first + root**2 * second)
    y3 = theta**3 * (root * first + 3 * root**2 * second + root**3 * third)
    modulus = (y2 - y1) / at_rest
    derivative = -((y3 - y2) / (y2 - y1) - 1.0)
    coefficients = np.asarray(scaled, float) / scale ** np.arange(4)
    coefficients[0] += middle
    return BirchMurnaghan(
        at_rest, float(shifted(root)) + middle, modulus * EV_PER_A3_IN_GPA, derivative,
        float(np.sqrt(np.mean((shifted(x) - e + middle) ** 2))), coefficients,
    )  # fmt: skip


class Compression(NamedTuple):
    """A crystal at several volumes (n,) Å^3, with energies (n,) eV of the same cell.

    systems : at rest but for their pressure; coverages : of each of them; equation : through all of them
    """

    volumes: np.ndarray
    energies: np.ndarray
    systems: tuple[System, ...]
    coverages: tuple[Coverage, ...]
    equation: BirchMurnaghan


def at_volume(potential: Potential, system: System, ratio: float, keep_symmetry: bool = False) -> Point:
    """The system scaled to `ratio` times its volume, positions and shape of the cell relaxed: an `optimize.Point`.

    Raises PhysicsError if it does not come to rest.
    """
    scale = ratio ** (1 / 3)
    start = system._replace(positions=system.positions * scale, cell=system.cell * scale)
    goal = Goal(
        cell=True, keep_volume=True, force_tolerance=FORCE_TOLERANCE, stress_tolerance_GPa=10 * STRESS_TOLERANCE_GPA,
        keep_symmetry=keep_symmetry,
    )  # fmt: skip
    outcome = relax(potential, start, goal)
    if not outcome.converged:
        raise PhysicsError(f"does not relax at {ratio:.3f} times its volume: {outcome.reason}")
    return outcome.point


def compress(
    potential: Potential, system: System, ratios: Sequence[float] = RATIOS, keep_symmetry: bool = False
) -> Compression:
    """The crystal at `ratios` of its volume, and the equation of state. Raises as `at_volume` and the fit do."""
    points = [at_volume(potential, system, r, keep_symmetry) for r in ratios]
    volumes = np.array([volume(p.system.cell) for p in points])
    energies = np.array([p.results.energy for p in points])
    return Compression(
        volumes, energies, tuple(p.system for p in points), tuple(coverage(p.system, p.results) for p in points),
        fit_birch_murnaghan(volumes, energies),
    )  # fmt: skip
