"""Charge equilibration: the charges that make sum_i (chi_i q_i + J_i q_i^2 / 2) + 1/2 q E q least for a given sum.

A. K. Rappe, W. A. Goddard, J. Phys. Chem. 95, 3358 (1991); with electronegativities chi from networks, S. A. Ghasemi et
al., Phys. Rev. B 92, 045131 (2015). The charges solve A q + lambda = -chi with A = E + diag(J) and sum q = Q. E is the
Gram matrix of charge densities, so that A is positive definite for positive hardness J.
"""

from typing import NamedTuple

import numpy as np
import scipy  # its modules are loaded where they are used: importing them takes longer than a small structure

from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.potentials.electrostatics.coulomb import Coulomb, one_blas_thread

DENSE_UP_TO = 150  # atoms, for which the matrix is made and factorised
TOLERANCE = 1e-8  # of the iterative solver, relative to the largest right-hand side
MAX_ITERATIONS = 500
_INNER = 1e-4  # what a correction leaves of the residual
_LEAST_GAIN = 0.1  # of the residual by a rough correction; otherwise the rough products are too rough
SOLVERS = ("auto", "dense", "iterative")


def is_dense(n_atoms: int, solver: str) -> bool:
    """Whether the matrix is made and factorised."""
    return solver == "dense" or (solver == "auto" and n_atoms <= DENSE_UP_TO)


class Solution(NamedTuple):
    """Charges (N,) e; their image A q (N,) eV/e, without the multiplier; products that the solution took.

    field : (N,) eV/e, the part of the image that is not of a charge with itself
    """

    charges: np.ndarray
    image: np.ndarray
    field: np.ndarray
    products: int


class Equilibration:
    """A of one configuration, to solve with.

    hardness : (N,) eV/e^2
    solver : "dense" (Cholesky), "iterative" (conjugate gradients on products by `Coulomb`, which needs no matrix), or
        "auto", dense up to DENSE_UP_TO atoms
    Raises PhysicsError if A is not positive definite, InputError for an unknown solver.
    """

    def __init__(
        self,
        coulomb: Coulomb,
        hardness: np.ndarray,
        solver: str = "auto",
        tolerance: float = TOLERANCE,
        max_iterations: int = MAX_ITERATIONS,
        source: str = "charges",
    ):
        if solver not in SOLVERS:
            raise InputError(f"{source}: unknown solver {solver!r}; known: {', '.join(SOLVERS)}")
        self.coulomb, self._hardness, self._source = coulomb, hardness, source
        self._diagonal = coulomb.self_potential + hardness
        self._weights = (1.0 / self._diagonal) / np.sum(1.0 / self._diagonal)
        self._tolerance, self._max_iterations = tolerance, max_iterations
        self._factor = None
        if is_dense(len(hardness), solver):
            self._factorise()

    def product(self, charges: np.ndarray, rough: bool = False) -> np.ndarray:
        """(N,) eV/e: A q; rough : see `Coulomb.potential`."""
        return self.coulomb.potential(charges, rough) + self._hardness * charges

    def solve(self, right: np.ndarray, total: float) -> np.ndarray:
        """(N,) q of A q + lambda = right (N,) eV/e and sum q = total, e.

        Raises PhysicsError if the iterations do not converge.
        """
        return self.solution(right, total).charges

    def solution(
        self, right: np.ndarray, total: float, field: np.ndarray | float = 0.0, scale: float = 0.0
    ) -> Solution:
        """As `solve`, with more.

        field : where iterations start, as in `Solution`: what the others do is guessed, not the charge itself, which
            answers to its atom's own electronegativity
        scale : eV/e, to which the tolerance refers if the right-hand side is smaller
        """
        if self._factor is None:
            return self._iterate(right, total, field, scale)
        charges = self._direct(right, total)
        image = self.product(charges)
        return Solution(charges, image, image - self._diagonal * charges, 1)

    def _factorise(self) -> None:
        matrix = self.coulomb.matrix()
        matrix[np.diag_indices(len(matrix))] += self._hardness
        with one_blas_thread():
            try:
                self._factor = scipy.linalg.cho_factor(matrix, lower=True, overwrite_a=True)
            except np.linalg.LinAlgError:
                raise self._no_minimum() from None

    def _direct(self, right: np.ndarray, total: float) -> np.ndarray:
        with one_blas_thread():
            free, level = scipy.linalg.cho_solve(self._factor, np.stack([right, np.ones_like(right)], axis=1)).T
        return free - level * ((free.sum() - total) / level.sum())

    def _iterate(self, right: np.ndarray, total: float, field: np.ndarray | float, scale: float) -> Solution:
        """Corrections by conjugate gradients until the residual is small enough.

        Products are rough within a correction, and exact for the residual that it starts from and leaves: the coarser
        mesh takes a third of the time.
        """
        charges = (right - field) / self._diagonal
        charges = self._leveled(charges) + self._weights * total
        scale = max(scale, float(np.abs(self._level(right)).max()), float(np.abs(self._diagonal * charges).max()))
        wanted, before, rough, left = self._tolerance * scale, np.inf, self.coulomb.has_mesh, self._max_iterations
        products = 0
        while True:
            image = self.product(charges)
            residual = self._level(right - image)
            products, error = products + 1, float(np.abs(residual).max())
            if error <= wanted:
                return Solution(charges, image, image - self._diagonal * charges, products)
            if left <= 0:
                break
            rough, before = rough and error < _LEAST_GAIN * before, error
            aim = max(_INNER * error, 0.5 * wanted) if rough else 0.5 * wanted
            correction, taken = self._correction(residual, aim, rough, left)
            charges, products, left = charges + correction, products + taken, left - taken
        raise PhysicsError(
            f"{self._source}: the charges did not converge in {self._max_iterations} iterations: residual {error:.2e} "
            f"eV/e, wanted {wanted:.2e}; is the structure sensible, and is the hardness positive? "
            'solver = "dense" does without iterations'
        )

    def _correction(self, residual: np.ndarray, wanted: float, rough: bool, most: int) -> tuple[np.ndarray, int]:
        """(N,) d of A d + lambda = residual, sum d = 0, nearly; and how many products it took.

        Projected conjugate gradients: N. I. M. Gould et al., SIAM J. Sci. Comput. 23, 1376 (2001). Preconditioner: the
        diagonal of single Gaussians and hardness, with the constraint.
        """
        correction = np.zeros_like(residual)
        direction = residual / self._diagonal
        slope = float(np.sum(residual * direction))
        for n in range(most):
            image = self.product(direction, rough)
            curvature = float(np.sum(direction * image))
            if not curvature > 0.0:
                raise self._no_minimum()
            step = slope / curvature
            correction += step * direction
            residual = self._level(residual - step * image)
            if np.abs(residual).max() <= wanted:
                return correction, n + 1
            preconditioned = residual / self._diagonal
            slope, before = float(np.sum(residual * preconditioned)), slope
            direction = preconditioned + (slope / before) * direction
        return correction, most

    def _level(self, residual: np.ndarray) -> np.ndarray:
        """Without the constant that is the multiplier's; carried along, it would cost digits."""
        return residual - np.sum(self._weights * residual)

    def _leveled(self, charges: np.ndarray) -> np.ndarray:
        """Charges that add up to zero."""
        return charges - self._weights * charges.sum()

    def _no_minimum(self) -> PhysicsError:
        return PhysicsError(
            f"{self._source}: charge equilibration has no minimum: the energy falls without end along some charges; "
            "hardness and widths must be positive"
        )
