"""Inputs of the networks in a fit: their covariance, and the networks that a potential gets."""

from itertools import pairwise

import numpy as np
import pytest

from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.training.network_inputs import fold, half_whitened, scaled_inputs

N, F = 400, 7


@pytest.fixture
def problem():
    """Dependent values (n, f) of several sizes, the last without spread, and their scaling."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal((N, F)) @ rng.standard_normal((F, F)) * np.logspace(-3, 3, F) + np.arange(F)
    values[:, -1] = 4.0
    spread = values.std(axis=0)
    factor = np.divide(1.0, spread, out=np.zeros(F), where=spread > 0)
    return values, factor, -factor * values.mean(axis=0)


def test_their_covariance_is_the_root_of_that_of_the_scaled_functions(problem):
    values, factor, shift = problem
    inputs = half_whitened(values, factor, shift)
    x = values @ inputs.matrix + inputs.shift
    assert np.abs(x.mean(axis=0)).max() < 1e-12
    covariance = np.cov(x, rowvar=False, bias=True)
    assert np.trace(covariance) == pytest.approx(1.0, rel=1e-3)
    expected = np.cov(values * factor + shift, rowvar=False, bias=True)
    scale = np.trace(expected) / np.trace(covariance @ covariance)
    assert np.allclose(scale * covariance @ covariance, expected, rtol=0, atol=2e-5)
    assert inputs.number == F


def test_a_function_without_spread_has_no_effect(problem):
    values, factor, shift = problem
    inputs = half_whitened(values, factor, shift)
    assert not inputs.matrix[-1].any()
    assert np.isfinite(inputs.matrix).all() and np.isfinite(inputs.shift).all()


@pytest.mark.parametrize("sizes", [(F, 1), (F, 5, 1), (F, 5, 4, 1)])
def test_a_potential_gets_the_same_networks(problem, sizes):
    values, factor, shift = problem
    rng = np.random.default_rng(2)
    weights = tuple(rng.standard_normal(pair) for pair in pairwise(sizes))
    network = Network(weights, tuple(rng.standard_normal(n) for n in sizes[1:]), "t" * (len(sizes) - 2) + "l")
    for inputs in (half_whitened(values, factor, shift), scaled_inputs(factor, shift)):
        folded = fold(network, inputs, factor, shift)
        expected = network.forward(values @ inputs.matrix + inputs.shift)
        assert np.allclose(folded.forward(values * factor + shift), expected, rtol=0, atol=1e-11)
