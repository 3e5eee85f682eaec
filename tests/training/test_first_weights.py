"""The start of a fit: a linear model is found exactly, and networks begin with what it gives."""

import numpy as np
import pytest
from teacher import make_problem

from mdnnp.potentials.hdnnp.networks import TRAINABLE
from mdnnp.training.derivatives import Layout
from mdnnp.training.first_weights import initial_weights, linear_coefficients
from mdnnp.training.loss import Loss

N = 6


@pytest.fixture(scope="module")
def linear_problem(tmp_path_factory):
    """Labels of a linear model, and its coefficients with the constants."""
    loss = make_problem(tmp_path_factory.mktemp("start") / "d", N, dtype=np.float64).loss
    layout = Layout([(own.number, 1) for own in loss.inputs], "l")
    theta = np.random.default_rng(3).standard_normal(layout.n_parameters)
    linear = Loss(loss.stored, layout, loss.inputs, loss.labels, loss.tolerances, 0.0, 0, N)
    answers = linear.predictions(theta, 0, N)
    labels = loss.labels._replace(energies=answers.energies, forces=answers.forces, strain=answers.strain)
    return loss, labels, linear.predictions


def test_a_linear_model_is_found(linear_problem):
    loss, labels, _ = linear_problem
    found = linear_coefficients(loss.stored, loss.inputs, labels, loss.tolerances, N)
    layout = Layout([(own.number, 1) for own in loss.inputs], "l")
    theta = np.concatenate([np.append(c, b) for c, b in found])
    score = Loss(loss.stored, layout, loss.inputs, labels, loss.tolerances, 0.0, 0, N).score(theta)
    rms = np.sqrt(np.mean(labels.forces**2))
    assert score.force < 1e-4 * rms  # the prior is felt where functions depend on each other


@pytest.mark.parametrize("letter", TRAINABLE)
@pytest.mark.parametrize("hidden", [(6,), (6, 5), (5, 4, 3)])
def test_networks_start_as_the_linear_model(linear_problem, letter, hidden):
    loss, labels, _ = linear_problem
    linear = linear_coefficients(loss.stored, loss.inputs, labels, loss.tolerances, N)
    layout = Layout([(own.number, *hidden, 1) for own in loss.inputs], letter * len(hidden) + "l")
    theta = initial_weights(layout, linear, loss.stored, loss.inputs, np.random.default_rng(4))
    score = Loss(loss.stored, layout, loss.inputs, labels, loss.tolerances, 0.0, 0, N).score(theta)
    assert score.force < 0.4 * np.sqrt(np.mean(labels.forces**2))
    again = initial_weights(layout, linear, loss.stored, loss.inputs, np.random.default_rng(5))
    assert not np.array_equal(theta, again)  # members of a committee differ
