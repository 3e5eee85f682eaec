"""Lanczos' method against the full diagonalisation of a matrix."""

import numpy as np

from mdnnp.potentials.lanczos import lanczos


def _matrix(n: int, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).normal(size=(n, n))
    return a + a.T


def test_all_products_give_all_eigenvalues_and_vectors():
    matrix = _matrix(12)
    *_, last = lanczos(lambda v: (matrix @ v.ravel()).reshape(v.shape), np.ones((4, 3)), 12)
    values, vectors = np.linalg.eigh(matrix)
    np.testing.assert_allclose(last.values, values, atol=1e-12)
    for i in range(12):
        np.testing.assert_allclose(abs(last.vector(i) @ vectors[:, i]), 1.0, atol=1e-10)
    np.testing.assert_allclose(last.basis @ last.basis.T, np.eye(12), atol=1e-14)


def test_residuals_are_those_of_the_vectors():
    matrix = _matrix(60, 1)
    for found in lanczos(lambda v: matrix @ v, np.ones(60), 15):
        for i, value in enumerate(found.values):
            residual = np.linalg.norm(matrix @ found.vector(i) - value * found.vector(i))
            np.testing.assert_allclose(found.rest * abs(found.weights[-1, i]), residual, atol=1e-12)


def test_it_ends_where_the_space_is_exhausted():
    matrix = np.diag([1.0, 2.0, 3.0, 0.0, 0.0])
    found = list(lanczos(lambda v: matrix @ v, np.array([1.0, 1.0, 0.0, 0.0, 0.0]), 5))
    assert len(found) == 2
    np.testing.assert_allclose(found[-1].values, [1.0, 2.0], atol=1e-14)
