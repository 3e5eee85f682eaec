"""Extreme eigenvalues of a symmetric matrix, such as a Hessian, from products with it.

Source: G. H. Golub, C. F. Van Loan, Matrix Computations (2013), section 10.1.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np


class Ritz(NamedTuple):
    """Approximate eigenvalues after k products.

    values (k,), ascending; weights (k, k) : columns, the eigenvectors in the basis; basis (k, n), orthonormal rows
    rest : what the next product would change at most; the residual of value i is rest * abs(weights[-1, i])
    """

    values: np.ndarray
    weights: np.ndarray
    basis: np.ndarray
    rest: float

    def vector(self, i: int) -> np.ndarray:
        """(n,) the approximate eigenvector of value i, of length 1."""
        return self.basis.T @ self.weights[:, i]


def lanczos(product: Callable[[np.ndarray], np.ndarray], start: np.ndarray, most: int) -> Iterator[Ritz]:
    """Lanczos' method from `start`: the approximations after each of at most `most` products.

    It ends before if the space is exhausted. product : the matrix times an array of the shape of `start`
    """
    vector = start.ravel() / np.linalg.norm(start)
    every, matrix = np.empty((most, vector.size)), np.zeros((most, most))
    for k in range(most):
        every[k] = vector
        basis = every[: k + 1]
        image = product(vector.reshape(start.shape)).ravel()
        matrix[: k + 1, k] = matrix[k, : k + 1] = basis @ image
        for _ in range(2):  # against all of them, or rounding brings back directions that were found
            for other in basis:
                image = image - (other @ image) * other
        rest = float(np.linalg.norm(image))
        values, weights = np.linalg.eigh(matrix[: k + 1, : k + 1])
        yield Ritz(values, weights, basis, rest)
        if rest <= 1e-10 * np.abs(values).max():
            return
        vector = image / rest
