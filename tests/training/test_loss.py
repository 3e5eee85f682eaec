"""The loss: against its formula, its derivatives against differences, the same bits for any number of threads."""

import dataclasses

import numpy as np
import pytest
from labelled import make_labelled
from teacher import make_problem

from mdnnp.base.compiled.jit import set_threads
from mdnnp.training.dataset import Weights, resolve_weights
from mdnnp.training.loss import Loss, make_labels

N = 6


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return make_problem(tmp_path_factory.mktemp("loss") / "d", N, dtype=np.float64)


def formula(problem, theta, prior=0.0):
    """The loss of the module's docstring, from the predictions."""
    loss, labels = problem.loss, problem.loss.labels
    total = prior * theta @ theta
    for s in range(N):
        p = loss.predictions(theta, s, s + 1)
        own, n = slice(*loss.stored.atom_first[s : s + 2]), labels.n_atoms[s]
        t = loss.tolerances
        total += labels.weights.energy[s] * ((p.energies[0] - labels.energies[s]) / n / t.energy) ** 2
        total += labels.weights.force[s] * np.sum(((p.forces - labels.forces[own]) / t.force) ** 2)
        total += labels.weights.stress[s] * np.sum(((p.strain[0] - labels.strain[s]) / n / t.stress) ** 2)
    return total


def test_score_is_the_formula(problem):
    score = problem.loss.score(problem.theta)
    assert score.loss == pytest.approx(formula(problem, problem.theta), rel=1e-12)
    p = problem.loss.predictions(problem.theta, 0, N)
    assert score.force == pytest.approx(np.sqrt(np.mean((p.forces - problem.loss.labels.forces) ** 2)))
    loss = problem.loss
    each = [Loss(loss.stored, loss.layout, loss.inputs, loss.labels, loss.tolerances, 0.0, s, s + 1) for s in range(N)]
    losses = [own.score(problem.theta).loss for own in each]
    assert score.typical == pytest.approx(np.prod([1 + x for x in losses]) ** (1 / N), rel=1e-12)


def test_scores_of_several_networks_are_those_of_their_mean(problem):
    other = problem.theta + 0.1 * np.random.default_rng(7).standard_normal(problem.theta.size)
    each = [problem.loss.predictions(theta, 0, N) for theta in (problem.theta, other)]
    mean = type(each[0])(*((a + b) / 2 for a, b in zip(*each, strict=True)))
    errors = problem.loss.residuals(mean, 0, N)
    score = problem.loss.score(problem.theta, other)
    rms = [np.sqrt(np.mean(error**2)) for error in errors]
    assert [score.energy, score.force, score.stress] == pytest.approx(rms, rel=1e-12)


def test_normal_equations_are_the_derivatives(problem):
    loss, theta, h = problem.loss, problem.theta, 1e-5
    matrix, half_gradient = loss.normal_equations(theta)
    v = np.random.default_rng(1).standard_normal(theta.size)
    slope = (formula(problem, theta + h * v, loss.prior) - formula(problem, theta - h * v, loss.prior)) / (2 * h)
    assert 2 * half_gradient @ v == pytest.approx(slope, rel=1e-6)
    total, gradient = loss.gradient(theta, np.arange(N))
    assert np.allclose(gradient, 2 * half_gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())
    assert total == pytest.approx(formula(problem, theta, loss.prior), rel=1e-12)
    # v.M.v is the sum of the squared changes of the weighted residuals.
    changes = loss.weighted_residuals(theta + h * v) - loss.weighted_residuals(theta - h * v)
    full = np.triu(matrix) + np.triu(matrix, 1).T
    assert v @ full @ v == pytest.approx(np.sum((changes / (2 * h)) ** 2) + loss.prior * v @ v, rel=1e-6)


def test_batches_add_up(problem):
    loss, theta = problem.loss, problem.theta
    parts = [loss.gradient(theta, np.array(own)) for own in ([0, 3], [5, 1, 2], [4])]
    whole = loss.gradient(theta, np.arange(N))
    assert sum(p[0] for p in parts) == pytest.approx(whole[0], rel=1e-12)
    assert np.allclose(sum(p[1] for p in parts), whole[1], rtol=1e-10, atol=1e-10 * np.abs(whole[1]).max())


def test_the_same_bits_for_any_number_of_threads(problem):
    def everything():
        matrix, gradient = problem.loss.normal_equations(problem.theta)
        batch = problem.loss.gradient(problem.theta, np.arange(N))
        return matrix.tobytes(), gradient.tobytes(), problem.loss.score(problem.theta), batch[1].tobytes()

    single = everything()
    set_threads(3)
    try:
        assert everything() == single
    finally:
        set_threads(1)


def test_what_is_not_labelled_counts_nothing():
    structures = make_labelled(n=3)
    structures[0] = dataclasses.replace(structures[0], energy_eV=None)
    structures[1] = dataclasses.replace(structures[1], forces=None)
    structures[2] = dataclasses.replace(structures[2], stress=None)
    labels = make_labels(structures, {"Mg": 0.0, "O": 0.0}, resolve_weights(structures))
    assert [list(w) for w in labels.weights] == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_without_stress_or_forces(problem):
    loss = problem.loss
    ones = np.ones(N)
    for weights in (Weights(ones, ones, 0 * ones), Weights(ones, 0 * ones, 0 * ones)):
        own = Loss(
            loss.stored, loss.layout, loss.inputs, loss.labels._replace(weights=weights), loss.tolerances, 0.0, 0, N
        )
        _, half_gradient = own.normal_equations(problem.theta)
        total, gradient = own.gradient(problem.theta, np.arange(N))
        assert np.allclose(gradient, 2 * half_gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())
        assert own.score(problem.theta).loss == pytest.approx(total, rel=1e-12)
        assert np.isnan(own.score(problem.theta).stress)
