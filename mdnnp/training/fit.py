"""The fit itself: epochs, early stopping, committees, checkpoints.

All members of a committee take an epoch in turn, network by network. After each, the whole state is written to a
checkpoint, so that a fit that was killed goes on to the same bits. A potential that is the mean of several networks is
judged by the errors of the mean: its best epoch, and its end, are those of all its networks.

Energies are few and must come out far better than forces, so that they weigh most, and the loss is a valley too narrow
to go down into from the side: a fit begins with energies that weigh less, follows the floor of the valley while they
come to weigh more, epoch by epoch, and ends with the loss that was asked for (continuation: E. L. Allgower, K. Georg,
Numerical Continuation Methods, Springer, 1990).

What the prior of the weights is to be weighed against is the errors that stay: the noise of the labels, and what the
functions cannot tell apart. Its coefficient is times the mean square of the force errors of the epoch before, in
tolerances, as by Bayes (D. J. C. MacKay, Neural Comput. 4, 415 (1992), with the width of the prior given).
"""

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from mdnnp.base.checkpoint import Expected, check_contents, count, load_checkpoint, number, save_checkpoint
from mdnnp.base.errors import FileError, InputError, PhysicsError
from mdnnp.training.loss import Loss, Score
from mdnnp.training.optimizers import (
    State,
    Step,
    adam_epoch,
    levenberg_epoch,
    restart_levenberg,
    start_adam,
    start_levenberg,
)

COLUMNS = (
    "epoch", "loss_train", "energy_train", "force_train", "stress_train",
    "loss_validation", "energy_validation", "force_validation", "stress_validation", "typical_validation",
)  # fmt: skip
_CONVERGED = "converged: no step decreases the loss further"
_DIVERGED = 1e4  # times the best loss
_BETTER = 0.995  # times the best epoch's typical loss: less than that is chance, and a later epoch extrapolates worse
_LOOSE_EPOCHS, _TIGHTENING = 5, 0.8  # epochs before energies come to weigh more, and factor of their tolerance then
_LOOSE_PART, _TIGHTENING_PART = 0.2, 0.6  # of the epochs of Adam: before energies come to weigh more, and while they do


@dataclass(frozen=True)
class FitSettings:
    """How to optimise.

    epochs : at most; patience : epochs without better errors of the validation structures after which a member ends
    loosening : factor of the tolerance of energies at first
    learning_rate, batch_structures : of Adam; seed : of its batches
    time_limit_s : no epoch is begun later
    """

    optimizer: Literal["levenberg-marquardt", "adam"]
    epochs: int
    patience: int
    loosening: float = 1.0
    learning_rate: float = 0.003
    batch_structures: int = 4
    seed: int = 1
    time_limit_s: float = math.inf

    def loosened(self, epoch: int) -> float:
        """Factor of the tolerance of energies in an epoch, from 1."""
        if self.optimizer == "adam":  # whose steps are small: a part of all that it may do
            done = (epoch - 1) / max(self.epochs - 1, 1)
            return self.loosening ** (1.0 - min(1.0, max(0.0, (done - _LOOSE_PART) / _TIGHTENING_PART)))
        return max(1.0, self.loosening * _TIGHTENING ** max(0, epoch - _LOOSE_EPOCHS))

    @property
    def tight_from(self) -> int:
        """The first epoch with the tolerance of energies that was asked for; patience begins there."""
        return next(epoch for epoch in itertools.count(1) if self.loosened(epoch) == 1.0)


class Member(NamedTuple):
    """A potential to fit: its losses over training and validation structures (None: none), and where it starts.

    thetas (n, P) : weights of n networks, each fitted on its own, whose mean the potential is
    """

    train: Loss
    validation: Loss | None
    thetas: np.ndarray


@dataclass
class Progress:
    """The state of a member of the fit. It is judged by the errors of the mean of its networks.

    states : of each network; errors (n, 2) : of each in the last epoch, energy and force, in tolerances asked for
    history : a row of COLUMNS for each epoch, errors in eV/atom, eV/Å, eV/atom; NaN where nothing was measured
    best (n, P) : weights of the best epoch, the last that was better than those before it, of those with the tolerance
        of energies that was asked for, once there are some: by the typical loss of the validation structures
        (`Score.typical`), by half a per cent at least; if there are none, by the loss
    best_epoch : its number, from 1; least : that loss
    start_loss : on the training structures before the first epoch
    stopped : why the member ended, "" while it goes on
    """

    states: list[State]
    errors: np.ndarray
    history: np.ndarray
    best: np.ndarray
    best_epoch: int
    least: float
    start_loss: float
    stopped: str


class FitResult(NamedTuple):
    """Progress of each member, the epochs done and the seconds they took, those before a resumption included."""

    members: list[Progress]
    epochs: int
    seconds: float


def fit(
    members: Sequence[Member],
    settings: FitSettings,
    checkpoint: Path,
    key: str,
    *,
    resume: bool = False,
    on_epoch: Callable[[int, list[Progress], float], None] = lambda epoch, progress, seconds: None,
) -> FitResult:
    """Fit all members; returns when each has ended, or at the limit of time.

    checkpoint : path of the checkpoint, written after every epoch
    key : text that stands for everything that must be the same when a fit is resumed
    on_epoch : called after every epoch with its number, the members' progress and the seconds so far
    Raises PhysicsError if the loss is not finite, or runs away; InputError for a checkpoint of another fit.
    """
    with threadpool_limits(1, user_api="blas"):  # threads are ours: their number does not change the result
        if resume:
            progress, epoch, before = _load(checkpoint, key, members, settings)
            for own in progress:  # the patience may be another
                own.stopped = own.stopped if own.stopped == _CONVERGED else _out_of_patience(own, settings)
        else:
            progress, epoch, before = [_start(m, settings) for m in members], 0, 0.0
        begun = time.perf_counter()
        seconds = before
        while epoch < settings.epochs and seconds < settings.time_limit_s and not all(p.stopped for p in progress):
            epoch += 1
            for k, (member, own) in enumerate(zip(members, progress, strict=True)):
                if not own.stopped:
                    _epoch(member, own, settings, epoch, k)
            seconds = before + time.perf_counter() - begun
            _save(checkpoint, key, progress, epoch, seconds)
            on_epoch(epoch, progress, seconds)
    return FitResult(progress, epoch, seconds)


def _start(member: Member, settings: FitSettings) -> Progress:
    score = member.train.score(*member.thetas)
    if not math.isfinite(score.loss):
        raise PhysicsError(
            f"the loss of structure {score.worst} is not finite at the start; look for very large labels or descriptors"
        )
    if settings.optimizer == "levenberg-marquardt":
        loss = member.train.loosened(settings.loosened(1))
        states = [start_levenberg(theta, loss) for theta in member.thetas]
    else:
        states = [start_adam(theta) for theta in member.thetas]
    errors, history = np.full((len(states), 2), math.nan), np.empty((0, len(COLUMNS)))
    return Progress(states, errors, history, np.array(member.thetas), 0, math.inf, score.loss, "")


def _epoch(member: Member, own: Progress, settings: FitSettings, epoch: int, number: int) -> None:
    """One epoch of one member; updates `own`."""
    loose, converged = settings.loosened(epoch), True
    for k, state in enumerate(own.states):
        loss = member.train.of_network(k).loosened(loose, _noise(own, epoch, k, loose))
        step = _step(loss, state, settings, epoch, number * len(own.states) + k)
        own.states[k] = step.state
        own.errors[k] = np.divide((step.score.energy, step.score.force), member.train.tolerances[:2])
        converged &= step.converged
    thetas = np.array([state.theta for state in own.states])
    known = len(thetas) == 1 and loose == 1.0  # else the step's score is of another loss, or of one network of several
    train = step.score if known else member.train.score(*thetas)
    _refuse_divergence(train, own, epoch, settings)
    validation = None if member.validation is None else member.validation.score(*thetas)
    judged_by, better = (train.loss, 1.0) if validation is None else (validation.typical, _BETTER)
    own.history = np.vstack([own.history, _row(epoch, train, validation)])
    if epoch == settings.tight_from:  # what came before traded energies for the rest
        own.least = math.inf
    if judged_by < better * own.least:
        own.best, own.best_epoch, own.least = thetas, epoch, judged_by
    if loose > 1.0:
        return
    own.stopped = _CONVERGED if converged else _out_of_patience(own, settings)


def _out_of_patience(own: Progress, settings: FitSettings) -> str:
    """Why the fit of a member with this history ends; "" if it goes on."""
    waited = own.history[-1, 0] - max(own.best_epoch, settings.tight_from)
    return (
        f"no better errors of the validation structures in {waited:.0f} epochs" if waited >= settings.patience else ""
    )


def _noise(own: Progress, epoch: int, network: int, loose: float) -> float:
    """Mean square error in the last epoch, in tolerances: of forces, or of energies where there are no forces."""
    if epoch == 1:
        return 1.0
    energy, force = own.errors[network]
    return float(energy / loose if math.isnan(force) else force) ** 2


def _step(loss: Loss, state: State, settings: FitSettings, epoch: int, number: int) -> Step:
    if settings.optimizer == "levenberg-marquardt":
        return levenberg_epoch(restart_levenberg(state, loss), loss)
    rng = np.random.default_rng([settings.seed, number, epoch])
    progress = (epoch - 1) / max(settings.epochs - 1, 1)
    return adam_epoch(state, loss, rng, settings.learning_rate, progress, settings.batch_structures)


def _refuse_divergence(score: Score, own: Progress, epoch: int, settings: FitSettings) -> None:
    best = min([own.start_loss, *own.history[:, 1]])
    if math.isfinite(score.loss) and score.loss <= _DIVERGED * best:
        return
    raise PhysicsError(
        f"the fit diverged in epoch {epoch}: loss {score.loss:.3g}, after {best:.3g} at best; structure {score.worst} "
        f"contributes most; decrease learning_rate ({settings.learning_rate:g})"
    )


def _row(epoch: int, train: Score, validation: Score | None) -> list[float]:
    columns = [float(epoch), train.loss, train.energy, train.force, train.stress]
    v = validation
    return columns + ([math.nan] * 5 if v is None else [v.loss, v.energy, v.force, v.stress, v.typical])


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoints


def _save(path: Path, key: str, progress: Sequence[Progress], epoch: int, seconds: float) -> None:
    arrays: dict[str, np.ndarray] = {}
    for k, p in enumerate(progress):
        named = {
            "errors": p.errors,
            "history": p.history,
            "best": p.best,
            "losses": np.array([p.least, p.start_loss]),
        }
        for j, state in enumerate(p.states):
            named |= {f"{j}.{name}": array for name, array in state._asdict().items()}
        arrays |= {f"{k}.{name}": array for name, array in named.items()}
    members = [{"networks": len(p.states), "best_epoch": p.best_epoch, "stopped": p.stopped} for p in progress]
    save_checkpoint(path, {"key": key, "epoch": epoch, "seconds": seconds, "members": members}, arrays)


def _load(path: Path, key: str, fitted: Sequence[Member], settings: FitSettings) -> tuple[list[Progress], int, float]:
    meta, arrays = load_checkpoint(path)
    if meta.get("key") != key:
        raise InputError(
            f"{path}: the checkpoint is from a fit with other data or settings ({_difference(meta.get('key'), key)}); "
            "change them back, or start again with --overwrite"
        )
    kinds = {
        "epoch": lambda v: count(v) and v >= 1,
        "seconds": lambda v: number(v) and v >= 0,
        "members": tuple({"networks": count, "best_epoch": count, "stopped": str} for _ in fitted),
    }
    numbers, moments = (3, 0) if settings.optimizer == "levenberg-marquardt" else (1, "P")
    expected: dict[str, Expected] = {}
    for k, member in enumerate(fitted):
        n = len(member.thetas)
        expected |= {
            f"{k}.errors": Expected((n, 2), finite=False),
            f"{k}.history": Expected((None, len(COLUMNS)), finite=False),
            f"{k}.best": Expected((n, "P")),
            f"{k}.losses": Expected((2,), finite=False),
        }
        for j in range(n):
            expected |= {f"{k}.{j}.theta": Expected(("P",)), f"{k}.{j}.numbers": Expected((numbers,))}
            expected |= {f"{k}.{j}.{name}": Expected((moments,)) for name in ("first", "second")}
            expected[f"{k}.{j}.second"] = Expected((moments,), largest=1e60)  # squares
    check_contents(path, meta, arrays, kinds, expected)
    for k, member in enumerate(meta["members"]):
        epochs = arrays[f"{k}.history"][:, 0]
        done = np.arange(1, len(epochs) + 1)
        whole = 0 < len(epochs) <= meta["epoch"] and np.array_equal(epochs, done) and member["best_epoch"] <= done[-1]
        whole &= member["networks"] == len(fitted[k].thetas)
        if not whole or arrays[f"{k}.best"].shape != fitted[k].thetas.shape:
            raise FileError(
                f"{path}: damaged: its epochs or weights cannot belong to this fit; start again with --overwrite"
            )
    progress = []
    for k, member in enumerate(meta["members"]):
        states = [State(*(arrays[f"{k}.{j}.{name}"] for name in State._fields)) for j in range(member["networks"])]
        errors, history, best = (arrays[f"{k}.{name}"] for name in ("errors", "history", "best"))
        least, start_loss = arrays[f"{k}.losses"].tolist()
        progress.append(
            Progress(states, errors, history, best, member["best_epoch"], least, start_loss, member["stopped"])
        )
    return progress, meta["epoch"], meta["seconds"]


def _difference(old: str | None, new: str) -> str:
    try:
        before, after = json.loads(str(old)), json.loads(new)
        names = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return "unlike this one"
    return "different: " + ", ".join(names)
