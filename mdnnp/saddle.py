"""Saddle points by following the lowest mode uphill, with products of the Hessian.

Each step climbs along the lowest eigenvector n of the Hessian, by Newton's step -F.n / |lambda|, and descends in the
space across it, by conjugate gradients on the Hessian there (hybrid eigenvector following: L. J. Munro, D. J. Wales,
Phys. Rev. B 59, 3969 (1999)). n comes from Lanczos' method, started with that of the step before; it replaces the dimer
(G. Henkelman, H. Jonsson, J. Chem. Phys. 111, 7010 (1999)), whose two images stand for a product with the Hessian.
"""

from dataclasses import dataclass

import numpy as np

from mdnnp.errors import InputError
from mdnnp.hessian import hessian_vector_product
from mdnnp.neighbors import VerletList
from mdnnp.potential import Potential
from mdnnp.system import System

_MOST_MOVE_A = 0.15
_MOST_LANCZOS = 20
_LANCZOS_TOLERANCE = 0.05  # residual over eigenvalue: the direction need not be exact on the way
_MOST_ACROSS = 15  # products of a descent across the mode


@dataclass
class Saddle:
    """Where the search ended. curvature : eV/Å^2 along `mode` (N, 3), of length 1; negative at a saddle."""

    system: System
    energy: float
    mode: np.ndarray
    curvature: float
    max_force: float
    converged: bool
    evaluations: int
    products: int


def find_saddle(
    potential: Potential,
    system: System,
    direction: np.ndarray | None = None,
    *,
    force_tolerance: float = 0.01,
    most_steps: int = 200,
    seed: int = 0,
) -> Saddle:
    """Walk from `system` to a saddle of first order.

    direction : (N, 3) guess of the mode to climb along; random numbers of `seed` without
    force_tolerance : eV/Å, largest force in the end. Raises InputError for a direction of another shape, or zero.
    """
    if direction is None:
        direction = np.random.default_rng(seed).normal(size=system.positions.shape)
    direction = np.asarray(direction, dtype=float)
    if direction.shape != system.positions.shape or not np.linalg.norm(direction) > 0:
        raise InputError(f"direction must be {system.positions.shape} numbers that are not all zero")
    verlet, products, mode = VerletList(potential.cutoff, 0.5), 0, _without_drift(direction)
    for step in range(most_steps + 1):
        neighbors = verlet.update(system)
        results = potential.compute(system, neighbors)

        def product(v, system=system, neighbors=neighbors):
            nonlocal products
            products += 1
            return hessian_vector_product(potential, system, v, neighbors)

        curvature, mode = lowest_mode(product, mode)
        force = np.sqrt(np.square(results.forces).sum(axis=1).max())
        converged = bool(force <= force_tolerance and curvature < 0.0)
        if converged or step == most_steps:
            break
        uphill = np.vdot(results.forces, mode)
        climb = -uphill / max(abs(curvature), 0.05)
        move = np.clip(climb, -_MOST_MOVE_A, _MOST_MOVE_A) * mode
        if force <= force_tolerance:  # at a minimum: there is no force to tell up from down
            move = _MOST_MOVE_A * mode
        move = move + _descend(product, results.forces - uphill * mode, mode)
        longest = np.sqrt(np.square(move).sum(axis=1).max())
        system = system._replace(positions=system.positions + move * min(1.0, _MOST_MOVE_A / longest))
    return Saddle(system, results.energy, mode, float(curvature), float(force), converged, step + 1, products)


def lowest_mode(product, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue and vector (N, 3) of the Hessian behind `product`, near `start`, by Lanczos' method."""
    basis = [start.ravel() / np.linalg.norm(start)]
    images, matrix = [], np.zeros((_MOST_LANCZOS, _MOST_LANCZOS))
    while True:
        k = len(basis)
        images.append(product(basis[-1].reshape(start.shape)).ravel())
        for a in range(k):
            matrix[a, k - 1] = matrix[k - 1, a] = basis[a] @ images[-1]
        values, vectors = np.linalg.eigh(matrix[:k, :k])
        vector = np.array(basis).T @ vectors[:, 0]
        residual = np.array(images).T @ vectors[:, 0] - values[0] * vector
        rest = images[-1].copy()
        for _ in range(2):  # twice is enough to be orthogonal
            for b in basis:
                rest -= (b @ rest) * b
        size = np.linalg.norm(rest)
        small = np.linalg.norm(residual) <= _LANCZOS_TOLERANCE * abs(values[0]) and k > 1
        if small or k == min(_MOST_LANCZOS, start.size - 3) or size < 1e-10:
            return float(values[0]), _without_drift(vector.reshape(start.shape))
        basis.append(rest / size)


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
