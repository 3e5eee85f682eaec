"""Initial weights of a fit: the best linear model as a network, plus random nodes that contribute little at first.

A linear model in symmetry functions has one minimum, is found in one step, and generalises well; what networks add to
it is then fitted from there.
"""

from collections.abc import Sequence

import numpy as np

from mdnnp.training.derivatives import Layout, activation_derivatives
from mdnnp.training.descriptor_store import StoredDescriptors
from mdnnp.training.loss import Labels, Loss, Tolerances
from mdnnp.training.network_inputs import Inputs

_LINEAR = 0.1  # standard deviation of the input of the nodes that carry the linear model: nearly no curvature
_OTHERS = 0.01  # what the random nodes add, relative to the linear model
_INFLECTION = {"t": 0.0, "s": 0.0, "p": 0.0, "g": 1.0}  # where an activation has a slope, and little curvature


def linear_coefficients(
    stored: StoredDescriptors,
    inputs: Sequence[Inputs],
    labels: Labels,
    tolerances: Tolerances,
    end: int,
) -> list[tuple[np.ndarray, float]]:
    """Per element, coefficients (f,) of the inputs and a constant, eV, that fit structures 0 .. end - 1."""
    layout = Layout([(own.number, 1) for own in inputs], "l")
    loss = Loss(stored, layout, inputs, labels, tolerances, 0.01, 0, end)
    matrix, half_gradient = loss.normal_equations(np.zeros(layout.n_parameters))
    full = np.triu(matrix) + np.triu(matrix, 1).T
    theta = -np.linalg.solve(full, half_gradient)
    return [(w[0][:, 0], float(b[0][0])) for w, b in (layout.matrices(e, theta) for e in range(len(inputs)))]


def initial_weights(
    layout: Layout,
    linear: Sequence[tuple[np.ndarray, float]],
    stored: StoredDescriptors,
    inputs: Sequence[Inputs],
    rng: np.random.Generator,
) -> np.ndarray:
    """Weights whose networks give nearly the linear model: the first node of every layer carries it."""
    theta = layout.initial(rng)
    letter = layout.activations[0]
    at = _INFLECTION[letter]
    value, slope, _ = (float(a) for a in activation_derivatives(letter, np.array(at)))
    for e, (symbol, own, (coefficients, constant)) in enumerate(zip(stored.elements, inputs, linear, strict=True)):
        weights, biases = layout.matrices(e, theta)
        spread = float(np.std(stored.values(symbol) @ (own.matrix @ coefficients)))
        gain = _LINEAR / spread if spread > 0 else 1.0
        weights[0][:, 0], biases[0][0] = gain * coefficients, at
        for w, b in zip(weights[1:-1], biases[1:-1], strict=True):
            w[:, 0], w[0, 0], b[0] = 0.0, 1.0 / slope, at - value / slope
        weights[-1][:] *= _OTHERS * spread
        weights[-1][0, 0] = 1.0 / (slope * gain)
        biases[-1][0] = constant - value / (slope * gain)
    return theta
