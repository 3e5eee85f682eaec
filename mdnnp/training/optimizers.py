"""Optimisers of the weights, one epoch at a time; each keeps its whole state in a record of arrays.

Levenberg-Marquardt: K. Levenberg, Q. Appl. Math. 2, 164 (1944); damping after H. B. Nielsen, IMM-REP-1999-05 (1999);
second-order correction ("geodesic acceleration") after M. K. Transtrum, J. P. Sethna, arXiv:1201.5885: the loss is a
narrow, bent valley, because energies weigh much more than forces, and straight steps are short there.
Adam: D. P. Kingma, J. Ba, arXiv:1412.6980, with the learning rate lowered along a cosine to a hundredth.
"""

import math
from typing import NamedTuple

import numpy as np

from mdnnp.training.loss import Loss, Score

_MOST_BEND = 0.375  # of the step: further, the second-order correction is not to be trusted
_LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e12
_LAST_RATE = 0.01  # of the learning rate, at the end


class State(NamedTuple):
    """The state of an optimiser. All arrays float64; `numbers` are its own: see `start_*`."""

    theta: np.ndarray
    numbers: np.ndarray
    first: np.ndarray
    second: np.ndarray


class Step(NamedTuple):
    """What an epoch gave: the new state, errors on the training set there, and whether no better point was found."""

    state: State
    score: Score
    converged: bool


def start_levenberg(theta: np.ndarray, loss: Loss) -> State:
    """numbers: damping, its next growth, loss with the prior."""
    return State(theta, np.array([1000.0, 2.0, _total(loss, loss.score(theta), theta)]), np.empty(0), np.empty(0))


def restart_levenberg(state: State, loss: Loss) -> State:
    """The state for going on with another loss from where it stands."""
    return state._replace(numbers=np.array([state.numbers[0], 2.0, _total(loss, loss.score(state.theta), state.theta)]))


def levenberg_epoch(state: State, loss: Loss) -> Step:
    """One step that lowers the loss: damping increases until it does, and decreases while the model is accurate."""
    theta, (damping, growth, before) = state.theta, state.numbers.tolist()
    matrix, half_gradient = loss.normal_equations(theta)
    diagonal = np.diag_indices_from(matrix)
    own = matrix[diagonal]
    while damping <= _MOST_DAMPING:
        matrix[diagonal] = own + damping
        solve = _solver(matrix)
        if solve is not None:
            step = -solve(half_gradient)
            # With (M + damping) step = -gradient/2 the quadratic model goes down by step.(damping step - gradient/2).
            predicted = step @ (damping * step - half_gradient)
            bend = -0.5 * solve(loss.bend(theta, step))
            if np.linalg.norm(bend) <= _MOST_BEND * np.linalg.norm(step):
                new = theta + step + bend
                score = loss.score(new)
                after = _total(loss, score, new)
                if math.isfinite(after) and after < before:
                    quality = (before - after) / predicted
                    damping = max(_LEAST_DAMPING, damping * max(0.2, 1 - (2 * quality - 1) ** 3))
                    return Step(State(new, np.array([damping, 2.0, after]), state.first, state.second), score, False)
        damping *= growth
        growth *= 2.0
    return Step(state, loss.score(theta), True)


def _solver(matrix: np.ndarray):
    """x = matrix^-1 b as a function of b, from the upper triangle; None if it is not positive definite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor = cho_factor(matrix)
    except (LinAlgError, ValueError):
        return None
    return lambda b: cho_solve(factor, b)


def start_adam(theta: np.ndarray) -> State:
    """numbers: batches done; first, second: running means of the gradient and its square."""
    return State(theta, np.zeros(1), np.zeros_like(theta), np.zeros_like(theta))


def adam_epoch(
    state: State, loss: Loss, rng: np.random.Generator, learning_rate: float, progress: float, batch: int
) -> Step:
    """One pass over the training structures, `batch` at a time, in random order.

    progress : from 0 to 1, how much of the fit is done: lowers the learning rate
    """
    theta, first, second, count = state.theta.copy(), state.first.copy(), state.second.copy(), state.numbers[0]
    rate = learning_rate * (_LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * progress)))
    order = loss.begin + rng.permutation(loss.end - loss.begin)
    for k in range(0, len(order), batch):
        _, slope = loss.gradient(theta, order[k : k + batch])
        count += 1
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        mean, spread = first / (1.0 - 0.9**count), np.sqrt(second / (1.0 - 0.999**count))
        theta -= rate * mean / (spread + 1e-12)
    return Step(State(theta, np.array([count]), first, second), loss.score(theta), False)


def _total(loss: Loss, score: Score, theta: np.ndarray) -> float:
    return score.loss + loss.prior * float(theta @ theta)
