"""Feed-forward networks, one per element: value and gradient for whole batches of atoms."""

from dataclasses import dataclass

import numpy as np

ACTIVATIONS = "ltsprgcSeh"


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron.

    weights : one (n_in, n_out) float64 array per layer, the output layer included
    biases : one (n_out,) float64 array per layer
    activations : one letter per layer: l identity, t tanh, s logistic, p softplus, r ReLU, g Gaussian, c cosine,
        S 1 - logistic, e exp(-x), h x^2
    normalize_nodes : divide each pre-activation (bias included) by the layer's number of inputs
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    activations: str
    normalize_nodes: bool = False
