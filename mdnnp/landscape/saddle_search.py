"""Saddle points by following the lowest mode uphill, with products of the Hessian.

Each step climbs along the lowest eigenvector n of the Hessian, by Newton's step -F.n / |lambda|, and descends in the
space across it, by conjugate gradients on the Hessian there (hybrid eigenvector following: L. J. Munro, D. J. Wales,
Phys. Rev. B 59, 3969 (1999)). n comes from Lanczos' method, started with that of the step before; it replaces the dimer
(G. Henkelman, H. Jonsson, J. Chem. Phys. 111, 7010 (1999)), whose two images stand for a product with the Hessian.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.potentials.interface import Potential, Results
from mdnnp.potentials.lanczos import lanczos

_MOST_MOVE_A = 0.15
_MOST_LANCZOS = 20
_LANCZOS_TOLERANCE = 0.05  # residual over eigenvalue: the direction need not be exact on the way
_MOST_ACROSS = 15  # products of a descent across the mode
_PUSH_A = 0.1  # of the atom that moves most, in a push out of a minimum
_MOST_PUSHES = 40
_OUTSIDE = 0.05  # of the lowest curvature in a minimum; so negative, a configuration has left its bowl


@dataclass
class Saddle:
    """The result of a search. curvature : eV/Å^2 along `mode` (N, 3), of length 1; negative at a saddle."""

    system: System
    results: Results
    mode: np.ndarray
    curvature: float
    max_force: float
    converged: bool
    evaluations: int
    products: int

    @property
    def energy(self) -> float:
        """Energy of the saddle, eV."""
        return self.results.energy


class SearchPoint(NamedTuple):
    """A step of a search. curvature : eV/Å^2, the lowest; products : with the Hessian, so far."""

    system: System
    results: Results
    curvature: float
    max_force: float
    products: int


class _Landscape:
    """Energies, forces and products with the Hessian (counted) where a search has come to."""

    def __init__(self, potential: Potential):
        self._potential, self._verlet, self.products = potential, potential.make_lists(0.5), 0

    def at(self, system: System, start: np.ndarray) -> tuple[SearchPoint, np.ndarray]:
        """Go to `system`: the point there, and its lowest mode (N, 3), sought from `start`."""
        self._system, self._neighbors = system, self._verlet.update(system)
        results = self._potential.compute(system, self._neighbors)
        curvature, mode = lowest_mode(self.product, start)
        return SearchPoint(system, results, curvature, results.largest_force, self.products), mode

    def product(self, v: np.ndarray) -> np.ndarray:
        """Hessian times v (N, 3), eV/Å^2 times its unit."""
        self.products += 1
        return self._potential.hessian_vector_product(self._system, v, self._neighbors)


def find_saddle(
    potential: Potential,
    system: System,
    direction: np.ndarray | None = None,
    *,
    force_tolerance: float = 0.01,
    most_steps: int = 200,
    seed: int = 0,
    each: Callable[[SearchPoint], None] = lambda point: None,
) -> Saddle:
    """Walk from `system` to a saddle of first order.

    direction : (N, 3) guess of the mode to climb along; random numbers of `seed` without
    force_tolerance : eV/Å, largest force in the end; each : called at the start and after every step
    Raises InputError for a direction of another shape, or zero.
    """
    if direction is None:
        direction = np.random.default_rng(seed).normal(size=system.positions.shape)
    landscape, mode = _Landscape(potential), _without_drift(_checked(direction, system))
    for step in range(most_steps + 1):
        point, mode = landscape.at(system, mode)
        each(point)
        converged = bool(point.max_force <= force_tolerance and point.curvature < 0.0)
        if converged or step == most_steps:
            break
        uphill = np.vdot(point.results.forces, mode)
        climb = -uphill / max(abs(point.curvature), 1e-6)
        move = np.clip(climb, -_MOST_MOVE_A, _MOST_MOVE_A) * mode
        if point.max_force <= force_tolerance:  # at a minimum: there is no force that distinguishes up from down
            move = _MOST_MOVE_A * mode
        move = move + _descend(landscape.product, point.results.forces - uphill * mode, mode)
        longest = np.sqrt(np.square(move).sum(axis=1).max())
        system = system._replace(positions=system.positions + move * min(1.0, _MOST_MOVE_A / longest))
    return Saddle(
        system, point.results, mode, point.curvature, point.max_force, converged, step + 1, landscape.products
    )  # fmt: skip


def push_out(
    potential: Potential,
    system: System,
    direction: np.ndarray,
    each: Callable[[SearchPoint], None] = lambda point: None,
) -> tuple[System, np.ndarray, int]:
    """Displace a minimum along `direction` until a curvature is negative: the system, the mode to follow, products.

    Between pushes, the space across the direction relaxes, so that what is in the way steps aside. A minimum needs it
    because its lowest mode, which `find_saddle` follows, is a long wave, whatever one starts with.
    Source: R. Malek, N. Mousseau, Phys. Rev. E 62, 7723 (2000) (activation). Raises InputError as `find_saddle` does.
    """
    along = _without_drift(_checked(direction, system))
    landscape, mode, inside = _Landscape(potential), along, None
    push = _PUSH_A * along / np.sqrt(np.square(along).sum(axis=1).max())
    for _ in range(_MOST_PUSHES):
        system = system._replace(positions=system.positions + push)
        point, mode = landscape.at(system, along)
        each(point)
        inside = abs(point.curvature) if inside is None else inside
        if point.curvature < -_OUTSIDE * inside:
            break
        forces = point.results.forces
        aside = _descend(landscape.product, forces - np.vdot(forces, along) * along, along)
        longest = np.sqrt(np.square(aside).sum(axis=1).max())
        system = system._replace(positions=system.positions + aside * min(1.0, _PUSH_A / max(longest, 1e-12)))
    return system, mode, landscape.products


def direction_about(system: System, atom: int, seed: int, cutoff_A: float) -> np.ndarray:
    """(N, 3) random numbers of `seed` on an atom and, less with distance, on the neighbours within `cutoff_A`.

    Raises InputError if there is no such atom.
    """
    if not 0 <= atom < len(system):
        raise InputError(f"atom {atom} does not exist: atoms are counted from 0 to {len(system) - 1}")
    i, j, _, r = neighbor_list(system, cutoff_A)
    distance, weight = np.linalg.norm(r[i == atom], axis=1), np.zeros(len(system))
    if len(distance):
        np.maximum.at(weight, j[i == atom], np.exp(-2.0 * np.square(distance / distance.min())))
    weight[atom] = 1.0
    return np.random.default_rng(seed).normal(size=system.positions.shape) * weight[:, None]


def _checked(direction, system: System) -> np.ndarray:
    direction = np.asarray(direction, dtype=float)
    if direction.shape != system.positions.shape or not np.linalg.norm(direction) > 0:
        raise InputError(f"direction must be {system.positions.shape} numbers that are not all zero")
    return direction


def lowest_mode(product: Callable[[np.ndarray], np.ndarray], start: np.ndarray) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue and vector (N, 3) of the Hessian behind `product`, near `start`, by Lanczos' method."""
    for k, found in enumerate(lanczos(product, start, max(1, min(_MOST_LANCZOS, start.size - 3)))):
        if k and found.rest * abs(found.weights[-1, 0]) <= _LANCZOS_TOLERANCE * abs(found.values[0]):
            break
    return float(found.values[0]), _without_drift(found.vector(0).reshape(start.shape))


def _descend(product, force: np.ndarray, mode: np.ndarray) -> np.ndarray:
    """Newton's step across the mode, to a third of the force; where the curvature is not positive, along the force."""

    def across(v):
        return v - np.vdot(v, mode) * mode

    step, r = np.zeros_like(force), force.copy()
    d, rr = r.copy(), np.vdot(r, r)
    wanted = 0.09 * rr
    for _ in range(_MOST_ACROSS):
        if rr <= wanted or rr == 0.0:
            break
        hd = across(product(d))
        bend = np.vdot(d, hd)
        if bend <= 1e-3 * np.vdot(d, d):
            return step if step.any() else force * min(1.0, _MOST_MOVE_A / np.linalg.norm(force))
        a = rr / bend
        step, r = step + a * d, r - a * hd
        rr, before = np.vdot(r, r), rr
        d = r + (rr / before) * d
    return step


def _without_drift(v: np.ndarray) -> np.ndarray:
    v = v - v.mean(axis=0)
    return v / np.linalg.norm(v)
