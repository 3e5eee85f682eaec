"""The fit: known answers, early stopping, divergence, and the same bits after an interruption."""

import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from places import TESTS
from teacher import make_problem

from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.training.fit import FitSettings, Member, fit
from mdnnp.training.optimizers import levenberg_epoch, restart_levenberg, start_levenberg

N = 6


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return make_problem(tmp_path_factory.mktemp("fit") / "d", N)


def settings(optimizer="levenberg-marquardt", epochs=6, **more):
    return FitSettings(optimizer, epochs, **({"patience": 100} | more))


def member(train, validation, *thetas):
    return Member(train, validation, np.array(thetas))


def last_better(judged):
    """Place of the last value that is half a per cent below all that were so before it."""
    best = 0
    for k, value in enumerate(judged):
        best = k if value < 0.995 * judged[best] else best
    return best


def contradicting(tmp_path):
    """A member whose validation labels contradict those of its training: fitting the one spoils the other."""
    train = make_problem(tmp_path / "d", N, prior=0.0, end=2)
    validation = make_problem(tmp_path / "d", N, prior=0.0, begin=2).loss
    labels = validation.labels
    validation.labels = labels._replace(forces=-labels.forces, energies=-labels.energies)
    return member(train.loss, validation, 0.1 * train.theta)


def state_of(result):
    return [
        ([s.theta.tobytes() for s in p.states], p.best.tobytes(), p.history.tobytes(), p.best_epoch)
        for p in result.members
    ]


def test_levenberg_marquardt_finds_the_teacher(tmp_path):
    problem = make_problem(tmp_path / "d", N, dtype=np.float64, prior=0.0)
    near = problem.teacher + 0.2 * np.random.default_rng(5).standard_normal(problem.teacher.size)
    result = fit([member(problem.loss, None, near)], settings(epochs=45), tmp_path / "c", "key")
    history = result.members[0].history
    assert np.all(np.diff(history[:, 1]) <= 0)  # no step leads up
    assert history[-1, 3] < 1e-3 * history[0, 3]  # forces, from eV/Å to below meV/Å
    score = problem.loss.score(problem.teacher)
    assert score.loss < 1e-12  # the labels are the teacher's


def test_the_correction_is_the_curvature_of_the_residuals(tmp_path):
    loss = (problem := make_problem(tmp_path / "d", N, dtype=np.float64)).loss
    v, h = 1e-2 * np.random.default_rng(4).standard_normal(problem.theta.size), 1e-6
    r = [loss.weighted_residuals(problem.theta + k * v) for k in (-0.1, 0.0, 0.1)]
    second = (r[0] - 2 * r[1] + r[2]) / 0.01
    w = np.random.default_rng(6).standard_normal(problem.theta.size)
    moved = (loss.weighted_residuals(problem.theta + h * w) - loss.weighted_residuals(problem.theta - h * w)) / (2 * h)
    assert loss.bend(problem.theta, v) @ w == pytest.approx(second @ moved, rel=1e-6)


def test_adam_goes_down(tmp_path, problem):
    one = member(problem.loss, None, problem.theta)
    result = fit([one], settings("adam", epochs=60, learning_rate=0.03, batch_structures=2), tmp_path / "c", "key")
    history = result.members[0].history
    assert history[-1, 1] < 0.05 * problem.loss.score(problem.theta).loss


@pytest.mark.parametrize("optimizer", ["levenberg-marquardt", "adam"])
def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path, problem, optimizer):
    members = [
        member(problem.loss, None, problem.theta),
        member(problem.loss, None, 0.5 * problem.theta, 0.2 * problem.theta),
    ]
    whole = fit(members, settings(optimizer), tmp_path / "a", "key")

    def stop(epoch, progress, seconds):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(members, settings(optimizer), tmp_path / "b", "key", on_epoch=stop)
    resumed = fit(members, settings(optimizer), tmp_path / "b", "key", resume=True)
    assert state_of(resumed) == state_of(whole) and resumed.epochs == 6


def test_the_best_epoch_on_the_validation_set_is_kept(tmp_path):
    one = contradicting(tmp_path)
    own = fit([one], settings(epochs=40, patience=5), tmp_path / "c", "key").members[0]
    assert "no better errors of the validation structures in 5 epochs" in own.stopped
    judged = own.history[:, 9]
    assert own.best_epoch == own.history[last_better(judged), 0] == len(own.history) - 5
    assert one.validation.score(*own.best).typical == pytest.approx(judged[last_better(judged)], rel=1e-9)


def test_with_more_patience_a_fit_that_ended_goes_on(tmp_path):
    one = contradicting(tmp_path)
    first = fit([one], settings(epochs=40, patience=3), tmp_path / "c", "key")
    ended = len(first.members[0].history)
    again = fit([one], settings(epochs=40, patience=3), tmp_path / "c", "key", resume=True)
    assert state_of(again) == state_of(first) and "in 3 epochs" in again.members[0].stopped
    more = fit([one], settings(epochs=40, patience=5), tmp_path / "c", "key", resume=True)
    assert len(more.members[0].history) == ended + 2
    assert state_of(more) == state_of(fit([one], settings(epochs=40, patience=5), tmp_path / "e", "key"))


def test_the_best_epoch_is_one_in_which_energies_weigh_as_asked(tmp_path):
    one = contradicting(tmp_path)
    loose = settings(epochs=40, patience=2, loosening=10.0)
    assert loose.tight_from == 16
    own = fit([one], loose, tmp_path / "c", "key").members[0]
    epoch, judged = own.history[:, 0], own.history[:, 9]
    assert epoch[np.argmin(judged)] < 14  # which would have been the best
    assert own.best_epoch == epoch[15:][last_better(judged[15:])] and len(own.history) == own.best_epoch + 2


def test_what_is_better_by_chance_does_not_count(tmp_path):
    train = make_problem(tmp_path / "d", N, prior=0.0, end=4).loss
    validation = make_problem(tmp_path / "d", N, prior=0.0, begin=4).loss
    start = make_problem(tmp_path / "d", N).theta
    typical = iter([8.0, 7.97, 7.95, 7.93, 6.0, 6.1, 5.98, 5.96])
    validation.score = lambda *thetas: dataclasses.replace(train.score(*thetas), typical=next(typical))
    own = fit([member(train, validation, start)], settings(epochs=8), tmp_path / "c", "key").members[0]
    assert own.best_epoch == 8 and own.least == 5.96  # the third counted, the fourth and seventh did not


def test_the_mean_of_the_networks_is_judged(tmp_path):
    train = make_problem(tmp_path / "d", N, prior=0.0, end=4).loss
    validation = make_problem(tmp_path / "d", N, prior=0.0, begin=4).loss
    start = make_problem(tmp_path / "d", N).theta
    both = fit([member(train, validation, start, 0.3 * start)], settings(), tmp_path / "c", "key").members[0]
    each = [fit([member(train, validation, k * start)], settings(), tmp_path / "c", "key").members[0] for k in (1, 0.3)]
    assert [s.theta.tobytes() for s in both.states] == [own.states[0].theta.tobytes() for own in each]
    predictions = [validation.predictions(s.theta, 4, N) for s in both.states]
    labels = validation.labels.forces[validation.stored.atom_first[4] :]
    errors = (predictions[0].forces + predictions[1].forces) / 2 - labels
    assert both.history[-1, 7] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-9)
    assert both.best_epoch == 1 + last_better(both.history[:, 9])
    assert validation.score(*both.best).typical == pytest.approx(both.least, rel=1e-9)


def test_the_prior_is_weighed_against_the_error(tmp_path):
    problem = make_problem(tmp_path / "d", N, dtype=np.float64, prior=3.0)
    own = fit([member(problem.loss, None, problem.theta)], settings(epochs=2), tmp_path / "c", "key").members[0]
    first = levenberg_epoch(start_levenberg(problem.theta, problem.loss), problem.loss)
    second = problem.loss.loosened(1.0, (own.history[0, 3] / problem.loss.tolerances.force) ** 2)
    assert second.prior > 0 and second.prior != problem.loss.prior
    expected = levenberg_epoch(restart_levenberg(first.state, second), second)
    assert np.allclose(own.states[0].theta, expected.state.theta, rtol=0, atol=1e-9)
    assert not np.allclose(
        own.states[0].theta, levenberg_epoch(first.state, problem.loss).state.theta, rtol=0, atol=1e-6
    )


def test_the_limit_of_time_ends_the_fit_between_epochs(tmp_path, problem):
    result = fit([member(problem.loss, None, problem.theta)], settings(time_limit_s=1e-9), tmp_path / "c", "key")
    assert result.epochs == 1


def test_divergence_is_diagnosed(tmp_path, problem):
    one = member(problem.loss, None, problem.theta)
    with pytest.raises(PhysicsError, match=r"diverged in epoch .*decrease learning_rate"):
        fit([one], settings("adam", epochs=30, learning_rate=1e6), tmp_path / "c", "key")
    with pytest.raises(PhysicsError, match="not finite at the start"):
        fit([member(problem.loss, None, problem.theta * math.nan)], settings(), tmp_path / "c", "key")


def test_a_checkpoint_of_another_fit_is_refused(tmp_path, problem):
    one = member(problem.loss, None, problem.theta)
    fit([one], settings(epochs=1), tmp_path / "c", '{"hidden": [4], "seed": 1}')
    with pytest.raises(InputError, match="different: hidden"):
        fit([one], settings(), tmp_path / "c", '{"hidden": [5], "seed": 1}', resume=True)
    with pytest.raises(InputError, match="other data or settings"):
        fit([one, one], settings(), tmp_path / "c", '{"hidden": [4], "seed": 1}', resume=True)


_CHILD = """
import sys
sys.path[:0] = {tests!r}
from pathlib import Path
from teacher import make_problem
from test_fit import N, member, settings
from mdnnp.training.fit import fit
where = Path({where!r})
problem = make_problem(where / "d", N)
def slowly(epoch, progress, seconds):
    print(epoch, flush=True)
result = fit([member(problem.loss, None, problem.theta)], settings(epochs=100000), where / "c", "key", on_epoch=slowly)
"""


def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path, problem):
    code = _CHILD.format(tests=[str(TESTS), str(Path(__file__).parent)], where=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if int(line) >= 3:
                time.sleep(0.05 * np.random.default_rng().random())
                os.kill(child.pid, signal.SIGKILL)
                break
        child.wait()
    one = member(problem.loss, None, problem.theta)
    resumed = fit([one], settings(epochs=12), tmp_path / "c", "key", resume=True)
    whole = fit([one], settings(epochs=resumed.epochs), tmp_path / "other", "key")
    assert state_of(resumed) == state_of(whole)


def test_energies_come_to_weigh_more_epoch_by_epoch(tmp_path, problem):
    loose = settings(epochs=18, loosening=10.0)
    assert [loose.loosened(e) for e in (1, 5, 6)] == [10.0, 10.0, 8.0] and loose.loosened(16) == 1.0
    wide = problem.loss.loosened(10.0)
    assert (
        wide.tolerances.energy == 10.0 * problem.loss.tolerances.energy
        and wide.tolerances[1:] == problem.loss.tolerances[1:]
    )
    result = fit([member(problem.loss, None, problem.theta)], loose, tmp_path / "c", "key")
    own = result.members[0]
    first = levenberg_epoch(start_levenberg(problem.theta, wide), wide)  # of the loosened loss, judged by the loss
    assert own.history[0, 1] == pytest.approx(problem.loss.score(first.state.theta).loss, rel=1e-6)
    assert own.least == pytest.approx(problem.loss.score(*own.best).loss, rel=1e-9)
    with pytest.raises(KeyboardInterrupt):
        fit([member(problem.loss, None, problem.theta)], loose, tmp_path / "d", "key", on_epoch=_stop_at(6))
    resumed = fit([member(problem.loss, None, problem.theta)], loose, tmp_path / "d", "key", resume=True)
    assert state_of(resumed) == state_of(result)


def _stop_at(last):
    def stop(epoch, progress, seconds):
        if epoch == last:
            raise KeyboardInterrupt

    return stop
