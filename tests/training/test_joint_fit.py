"""The fit of charges to energies and forces: predictions are the potential's, derivatives those of differences."""

import numpy as np
import pytest
from test_charge_fit import SYMBOLS, loss_of, structures, teacher

from mdnnp.potentials.zbl import COULOMB_EV_A
from mdnnp.training.dataset import Weights
from mdnnp.training.derivatives import Layout
from mdnnp.training.joint_fit import Interaction, JointLoss
from mdnnp.training.loss import Tolerances, make_labels
from mdnnp.training.network_inputs import scaled_inputs


def joint(tmp_path, data, periodic=False):
    """The loss at the teacher's own weights (theta)."""
    potential = teacher()
    charges, own, stored = loss_of(potential, data, tmp_path)
    sizes = [len(stored.values(e)[0]) + 1 for e in SYMBOLS]
    layout = Layout([(n, 3, 1) for n in sizes], "tl")
    inputs = [scaled_inputs(np.ones(n), np.zeros(n)) for n in sizes]
    theta = np.zeros(layout.n_parameters)
    for e, part in enumerate(potential.hdnnp.model.elements.values()):
        weights, biases = layout.matrices(e, theta)
        network = part.network
        for mine, given in zip((*weights, *biases), (*network.weights, *network.biases), strict=True):
            mine[:] = given
    interactions = []
    for s, matrix in zip(data, charges.matrices, strict=True):
        n = len(s.system)
        widths = np.where(s.system.numbers == 11, 1.2, 1.0)
        pairs = potential.responses(s.system, np.eye(n), np.ones(n))[0]
        pairs[np.arange(n), np.arange(n)] = 0.0
        interactions.append(Interaction(matrix - np.diag(COULOMB_EV_A / (np.sqrt(np.pi) * widths)), pairs))
    labels = make_labels(data, dict.fromkeys(SYMBOLS, -1.0), Weights(*np.ones((2, len(data))), np.zeros(len(data))))
    loss = JointLoss(
        charges, interactions, stored, layout, inputs, labels, Tolerances(1e-3, 0.1, 1.0), 0.3, 0, len(data)
    )
    return loss, np.concatenate([theta, own])


@pytest.mark.parametrize("periodic", [False, True])
def test_predictions_are_those_of_the_potential(tmp_path, periodic):
    loss, theta = joint(tmp_path, structures(3, periodic))
    score = loss.score(theta)
    assert score.energy < 1e-9
    assert score.force < 1e-7


@pytest.mark.parametrize("periodic", [False, True])
def test_every_row_is_a_derivative(tmp_path, periodic):
    loss, theta = joint(tmp_path, structures(2, periodic))
    theta = theta + 0.1 * np.random.default_rng(3).standard_normal(len(theta))
    _, rows = loss.jacobian(loss.parts(0, 2), theta)

    def values(t):
        p = loss.predict(loss.parts(0, 2), t)
        return np.concatenate([p.energies, p.forces.ravel()])

    h = 1e-4
    for k, v in enumerate(np.eye(len(theta))):
        column = (values(theta + h * v) - values(theta - h * v)) / (2 * h)
        np.testing.assert_allclose(rows[:, k], column, atol=1e-6 * np.abs(rows).max(), err_msg=str(k))


def test_gradient_is_that_of_differences(tmp_path):
    loss, theta = joint(tmp_path, structures(3))
    theta = theta + 0.05 * np.random.default_rng(3).standard_normal(len(theta))
    gradient, h = 2.0 * loss.normal_equations(theta)[1], 1e-5

    def value(t):
        return loss.score(t).loss + loss.prior * t @ t

    numerical = [(value(theta + h * v) - value(theta - h * v)) / (2 * h) for v in np.eye(len(theta))]
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())
    np.testing.assert_allclose(loss.gradient(theta, np.arange(3))[1], gradient, rtol=1e-9)
