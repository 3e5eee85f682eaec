"""Inputs of the networks in a fit: symmetry functions scaled to variance one, then half whitened.

Symmetry functions depend on each other: three or four combinations of fifty hold nearly all of their variance. Random
weights on all of them see those few alone; on uncorrelated combinations of variance one (whitening) mostly those that
hardly matter. Networks that start at random, with a prior on the size of their weights, take over that choice, and it
decides how well they generalise. Here the inputs are

    x = C^(-1/4) (scaled G - mean) / sqrt(trace C^(1/2)),

C the covariance of the scaled functions: that of x is C^(1/2), halfway, and the variances add up to one. A potential
holds networks of the scaled functions: the map, which is linear, goes into their first layers (`fold`).
"""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from mdnnp.potentials.hdnnp.networks import Network

_NOISE = 1e-8  # added to all variances, so that combinations that hardly vary are not blown up


class Inputs(NamedTuple):
    """Inputs of an element's network from its f symmetry functions: x = G matrix + shift.

    matrix (f, f), shift (f,)
    """

    matrix: np.ndarray
    shift: np.ndarray

    @property
    def number(self) -> int:
        """How many."""
        return self.matrix.shape[1]


def scaled_inputs(factor: np.ndarray, shift: np.ndarray) -> Inputs:
    """The scaled functions themselves, factor * G + shift; factor, shift (f,)."""
    return Inputs(np.diag(factor), shift)


def half_whitened(values: np.ndarray, factor: np.ndarray, shift: np.ndarray) -> Inputs:
    """The module's inputs, for functions with these values (n, f) which a potential scales as factor * G + shift."""
    scaled = values * factor + shift
    mean = scaled.mean(axis=0)
    with threadpool_limits(1, user_api="blas"):  # the same bits whatever the number of threads
        variances, vectors = np.linalg.eigh((scaled - mean).T @ (scaled - mean) / len(scaled))
        root = np.sqrt(np.maximum(variances, 0.0) + _NOISE)
        mixing = (vectors / np.sqrt(root)) @ vectors.T / np.sqrt(root.sum())
    return Inputs(factor[:, None] * mixing, (shift - mean) @ mixing)


def fold(network: Network, inputs: Inputs, factor: np.ndarray, shift: np.ndarray) -> Network:
    """The network of the scaled functions factor * G + shift, both (f,), that `network` is of the inputs."""
    with np.errstate(divide="ignore"):
        per_scaled = np.where(factor == 0.0, 0.0, 1.0 / factor)[:, None] * inputs.matrix
    first = per_scaled @ network.weights[0]
    bias = network.biases[0] + (inputs.shift - shift @ per_scaled) @ network.weights[0]
    return Network((first, *network.weights[1:]), (bias, *network.biases[1:]), network.activations)
