"""A fit from its input to a potential directory and a report: the verb `mdnnp train`."""

import contextlib
import csv
import dataclasses
import functools
import json
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdnnp import __version__
from mdnnp.base.checkpoint import is_there, load_checkpoint, previous_path
from mdnnp.base.compiled.jit import get_threads
from mdnnp.base.errors import FileError, InputError, Interrupted, MdnnpWarning
from mdnnp.base.files import check_distinct, check_replaceable, check_writable, locked, new_directory, new_file
from mdnnp.base.report import screen
from mdnnp.dynamics import messages
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.graph.files import belongs_to_graph, write_graph
from mdnnp.potentials.graph.potential import GraphPotential
from mdnnp.potentials.hdnnp.files.reader import TERMS_FILE
from mdnnp.potentials.hdnnp.files.writer import belongs, write_potential
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel, scaling_coefficients
from mdnnp.potentials.hdnnp.networks import Network, mean_network
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.load import load_terms
from mdnnp.potentials.total import TotalPotential
from mdnnp.training.accuracy import Errors, brief, evaluate
from mdnnp.training.charge_fit import check_charges
from mdnnp.training.charge_stage import JointStart, fit_charges
from mdnnp.training.dataset import (
    data_hash,
    fit_offsets,
    resolve_weights,
)
from mdnnp.training.derivatives import Layout
from mdnnp.training.descriptor_store import (
    StoredDescriptors,
    check_descriptors_directory,
    remove_descriptors,
    store_descriptors,
)
from mdnnp.training.first_weights import initial_weights, linear_coefficients
from mdnnp.training.fit import COLUMNS, FitResult, FitSettings, Member, Progress, fit
from mdnnp.training.fit_data import Functions, Sets, choose, read_sets, without_terms
from mdnnp.training.fit_report import provenance, write_report
from mdnnp.training.graph_fit import fitted_models, graph_key, graph_members
from mdnnp.training.input import (
    ACTIVATION_LETTERS,
    ONLY_LABELS,
    TrainConfig,
)
from mdnnp.training.loss import Labels, Loss, make_labels, resampled, tolerances_of
from mdnnp.training.network_inputs import Inputs, fold, half_whitened

_WAY_OUT = 'To leave structures out of the fit and the tests, list them in data.exclude = ["FILE:NUMBER", ...].'
_ROUNDING = 1e-10  # a function whose standard deviation is below this, in its own size or 1, varies by rounding alone


@dataclass(frozen=True)
class Trained:
    """What a fit gave.

    potential : HDNNP or Committee, or the sum of it and fixed terms; path, report : where it and the report are
    errors : by set: "train", "validation", "test"
    result : of the optimisation
    """

    potential: Potential
    path: Path
    report: Path
    errors: dict[str, Errors]
    result: FitResult
    exit_code = 0

    def text(self) -> str:
        """The best epochs, the errors of each set, what was written."""
        lines = []
        for k, own in enumerate(self.result.members):
            member = f"member {k + 1}: " if len(self.result.members) > 1 else ""
            lines.append(f"{member}best epoch {own.best_epoch} of {len(own.history)}; {own.stopped or 'limit reached'}")
        for name, errors in self.errors.items():
            lines += ["", name, *brief(errors)]
        return "\n".join([*lines, "", f"Written: {self.path}, {self.report}"])

    def as_dict(self) -> dict:
        """The numbers by name."""
        members = [
            {"best_epoch": own.best_epoch, "epochs": len(own.history), "stopped": own.stopped}
            for own in self.result.members
        ]
        return {
            "program": "mdnnp train",
            "potential": self.path,
            "report": self.report,
            "epochs": self.result.epochs,
            "members": members,
            "errors": {name: own.as_dict() for name, own in self.errors.items()},
        }


def train(config: TrainConfig, *, resume: bool = False, overwrite: bool = False) -> Trained:
    """Make the fit that `config` describes, or continue it; prints its progress to stdout.

    Raises InputError and FileError before anything is written; PhysicsError if the fit diverges. What is there is
    never replaced unless `overwrite` says so; the checkpoint lets a fit that was stopped go on. SIGINT and SIGTERM end
    it at once with Interrupted, which says where it can go on.
    """
    _check_outputs(config, resume, overwrite)
    with locked(config.report_path, config.checkpoint_path), _interruptible(config):
        sets, findings = read_sets(config)
        if config.charges.learned_from != "none":
            check_charges([*sets.train, *sets.validation], config.charges.learned_from == "labels")
        if findings:
            lines = ["about the data (also in the report):", *findings, _WAY_OUT]
            warnings.warn("\n".join(lines), MdnnpWarning, stacklevel=2)
        screen.say(_header(config, sets))
        fixed = None if config.network.terms is None else load_terms(config.network.terms)
        given, sets = sets, without_terms(sets, fixed)
        if not resume:  # an earlier fit that may be replaced
            for path in _checkpoints(config):
                path.unlink(missing_ok=True)
        stage = _fit_graph if config.model.kind == "graph" else _fit_networks
        fitted, result = stage(config, sets, resume)
        trained = _finish(config, given, fixed, fitted, result, findings, overwrite or resume)
        if not config.output.keep_descriptors:
            remove_descriptors(config.descriptors_path)
        return trained


class Fitted(NamedTuple):
    """A potential, and what writes it to a path (overwrite, provenance, terms: see `write_potential`)."""

    potential: Potential
    write: Callable[..., None]


def _fit_networks(config: TrainConfig, sets: Sets, resume: bool) -> tuple[list[Fitted], FitResult]:
    """Networks of symmetry functions, and of charges if asked for."""
    chosen = choose(config, sets.train)
    fitted = [*sets.train, *sets.validation]
    offsets = fit_offsets(sets.train, config.data.offsets_eV)
    descriptors = Descriptors(chosen.functions, chosen.cutoff_type, chosen.cutoff_alpha)
    screen.say(_functions_line(config, chosen, offsets))
    stored = store_descriptors(
        config.descriptors_path,
        [s.system for s in fitted],
        descriptors,
        progress=screen.progress("symmetry functions"),
    )
    skeleton = _model(config, chosen, stored, offsets, None)
    charges, joint, left = None, None, sets
    if config.charges.learned_from == "labels":
        charges, stored, sets = fit_charges(config, sets, stored, skeleton, resume)
        left = sets
    elif config.charges.learned_from == "energies":
        joint = JointStart(config, sets, stored, skeleton)
        stored, left = joint.stored, joint.left
    offsets = fit_offsets(left.train, config.data.offsets_eV)
    members, layout = make_members(config, left, stored, skeleton, make_labels_of(config, left, offsets))
    if joint is not None:
        members = joint.members(members, make_labels_of(config, sets, offsets))
    result = _optimised(config, members, _key(config, sets, stored.key, offsets), resume)
    best = [own.best for own in result.members]
    if joint is not None:
        ((networks, charges),) = map(joint.split, best)
        best = [networks]
    models = [
        _model(config, chosen, stored, offsets, _networks(layout, own, members[0].train.inputs, skeleton))
        for own in best
    ]
    return [
        Fitted(
            HDNNP(model) if charges is None else FourthGeneration(model, charges),
            functools.partial(write_potential, model, charges=charges),
        )
        for model in models
    ], result


def _fit_graph(config: TrainConfig, sets: Sets, resume: bool) -> tuple[list[Fitted], FitResult]:
    """Graph potentials."""
    offsets = fit_offsets(sets.train, config.data.offsets_eV)
    energies = ", ".join(f"{e} {v:.4f} eV" for e, v in offsets.items())
    m = config.model
    screen.say(
        f"graph potential: {m.layers} layers of {m.channels} channels, harmonics up to degree {m.degree}; offsets "
        f"{energies}"
    )
    members = graph_members(config, sets, offsets, make_labels_of(config, sets, offsets))
    result = _optimised(config, members, _key(config, sets, graph_key(config, sets), offsets), resume)
    fitted = []
    for member, own in zip(members, result.members, strict=True):
        models = fitted_models(member, own.best)
        potential = GraphPotential(models, str(config.potential_path))
        fitted.append(Fitted(potential, functools.partial(write_graph, models)))
    return fitted, result


def _optimised(config: TrainConfig, members: list[Member], key: str, resume: bool) -> FitResult:
    return fit(
        members,
        _settings(config),
        config.checkpoint_path,
        key,
        resume=resume and is_there(config.checkpoint_path),
        on_epoch=_Reporter(config),
    )


@contextlib.contextmanager
def _interruptible(config: TrainConfig) -> Iterator[None]:
    """SIGINT and SIGTERM raise Interrupted, whose text names what is saved. Nothing is lost: checkpoints are atomic."""

    def stop(number, frame):
        raise KeyboardInterrupt(number)

    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main_thread else None
    try:
        yield
    except KeyboardInterrupt as interrupt:
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        kept = "no epoch was finished; start it again"
        if _has_checkpoint(config):
            last = next(path for path in _checkpoints(config)[::2] if is_there(path))
            epoch, where = load_checkpoint(last)[0].get("epoch"), messages.short(last)
            kept = (
                f"saved: {where} of epoch {epoch}; continue with: mdnnp train {messages.short(config.source)} --resume"
            )
        raise Interrupted(f"interrupted by {signal.Signals(number).name}\n{kept}", number) from None
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before)


# ---------------------------------------------------------------------------------------------------------------------
# Before the fit


def _check_outputs(config: TrainConfig, resume: bool, overwrite: bool) -> None:
    """Refuse, before any work, outputs that exist or could not be written, or that would replace an input."""
    checkpoints = _checkpoints(config)
    outputs = (config.potential_path, config.descriptors_path, config.report_path, config.epochs_path, *checkpoints)
    inputs = (config.source, *config.data.train, *(config.data.test or ()), config.descriptors.functions)
    check_distinct(outputs, inputs)
    check_descriptors_directory(config.descriptors_path)
    allowed = overwrite or (resume and _has_checkpoint(config))
    way_out = "give --resume to continue it, or --overwrite"
    if resume and not allowed:
        way_out = f"there is no checkpoint ({config.checkpoint_path}) to continue from; give --overwrite to start again"
    for path in (config.report_path, config.epochs_path, *checkpoints):
        check_writable(path, overwrite=allowed, instead=way_out)
    if resume and not overwrite:  # what is replaced must be of an earlier fit
        for path, begin in ((config.report_path, "<!DOCTYPE html>"), (config.epochs_path, "member,epoch,")):
            if path.exists() and not path.read_bytes().startswith(begin.encode()):
                raise FileError(f"{path}: it was not written by a fit; give --overwrite to replace it, or move it away")
    if config.potential_path.exists() and not allowed:
        raise FileError(f"{config.potential_path} exists already; {way_out}, or another name in [output]")
    if not config.potential_path.parent.is_dir():
        raise FileError(f"{config.potential_path}: its directory does not exist; make it, or choose another name")
    if config.potential_path.exists():
        check_replaceable(config.potential_path, allowed, _belongs(config))


def _checkpoints(config: TrainConfig) -> list[Path]:
    """The checkpoints of this fit, with those before them."""
    own = [config.checkpoint_path]
    if config.charges.learned_from == "labels":
        own.append(config.charges_checkpoint_path)
    return [path for one in own for path in (one, previous_path(one))]


def _belongs(config: TrainConfig) -> Callable[[str], bool]:
    """Whether overwriting the directory of the result may delete the file of this name."""

    def own(name: str) -> bool:
        return belongs(name) or belongs_to_graph(name)

    if config.fit.members == 1:
        return own
    return lambda name: (
        name == TERMS_FILE or (re.fullmatch(r"member-\d+/[^/]+", name) is not None and own(name.split("/")[1]))
    )


def _has_checkpoint(config: TrainConfig) -> bool:
    return any(path.exists() for path in _checkpoints(config))


def make_labels_of(config: TrainConfig, sets: Sets, offsets: Mapping[str, float]) -> Labels:
    """Labels of training and validation structures, in that order."""
    fitted = [*sets.train, *sets.validation]
    by_type: dict[str, dict[str, float]] = {}
    for name, weight in config.data.weights.items():
        kind, _, quantity = name.rpartition(".")
        by_type.setdefault(kind, {})[quantity] = weight
    try:
        weights = resolve_weights(fitted, by_type)
    except InputError as error:
        raise InputError(f"{config.source.name}: data.weights: {error}") from None
    if not config.fit.use_stress:
        weights = weights._replace(stress=np.zeros(len(fitted)))
    return make_labels(fitted, offsets, weights)


def make_members(
    config: TrainConfig, sets: Sets, stored: StoredDescriptors, skeleton: HDNNPModel, labels: Labels
) -> tuple[list[Member], Layout]:
    """The networks to fit, those of a member together, with weights to start from: network k draws from seed + k."""
    hidden, letter = config.network.hidden, ACTIVATION_LETTERS[config.network.activation]
    inputs = [
        half_whitened(stored.values(symbol), *_in_fit(stored.values(symbol), part, skeleton))
        for symbol, part in skeleton.elements.items()
    ]
    layout = Layout([(own.number, *hidden, 1) for own in inputs], letter * len(hidden) + "l")
    f = config.fit
    tolerances = tolerances_of(f)
    n, m = len(sets.train), len(sets.train) + len(sets.validation)
    validation = Loss(stored, layout, inputs, labels, tolerances, 0.0, n, m) if m > n else None
    # Adam's steps are of one length for all weights, and the linear model's coefficients are not.
    from_linear = config.optimizer == "levenberg-marquardt"
    first = tolerances._replace(energy=f.energy_loosening * tolerances.energy)
    linear = linear_coefficients(stored, inputs, labels, first, n) if from_linear else []
    members = []
    for first_seed in range(f.seed, f.seed + f.members * f.networks, f.networks):
        own = resampled(labels, n, first_seed) if f.bootstrap else labels
        rngs = [np.random.default_rng(first_seed + k) for k in range(f.networks)]
        thetas = [
            initial_weights(layout, linear, stored, inputs, rng) if from_linear else layout.initial(rng) for rng in rngs
        ]
        train = Loss(stored, layout, inputs, own, tolerances, f.prior, 0, n)
        members.append(Member(train, validation, np.array(thetas)))
    return members, layout


def _in_fit(values: np.ndarray, part: ElementModel, skeleton: HDNNPModel) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift (f,) of values (n, f) to variance one, that of the charge too, if it is one of them."""
    factor, shift = scaling_coefficients(part, skeleton)
    if values.shape[1] == len(factor):
        return factor, shift
    spread = float(values[:, -1].std())
    return np.append(factor, 1.0 / spread if spread > _ROUNDING else 0.0), np.append(shift, 0.0)


def _as_written(inputs: Inputs, part: ElementModel, skeleton: HDNNPModel) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift (f,) of what the written networks see: the charge itself, if there is one."""
    factor, shift = scaling_coefficients(part, skeleton)
    extra = len(inputs.matrix) - len(factor)
    return np.append(factor, np.ones(extra)), np.append(shift, np.zeros(extra))


def _networks(layout: Layout, thetas: np.ndarray, inputs: Sequence[Inputs], skeleton: HDNNPModel) -> list[Network]:
    """The networks of the scaled functions, element by element: the means of those with weights `thetas`."""
    fits = zip(*(layout.networks(theta) for theta in thetas), strict=True)
    return [
        mean_network([fold(network, x, *_as_written(x, part, skeleton)) for network in own])
        for own, x, part in zip(fits, inputs, skeleton.elements.values(), strict=True)
    ]


def _settings(config: TrainConfig) -> FitSettings:
    f = config.fit
    limit = {} if f.time_limit_minutes is None else {"time_limit_s": 60.0 * f.time_limit_minutes}
    return FitSettings(
        config.optimizer, f.epochs, f.patience, f.energy_loosening, f.learning_rate, f.batch_structures, f.seed, **limit
    )


def _key(config: TrainConfig, sets: Sets, inputs: str, offsets: Mapping[str, float]) -> str:
    """What must be the same for a fit to be resumed, as JSON."""
    free = {"epochs", "patience", "time_limit_minutes"} - ({"epochs"} if config.optimizer == "adam" else set())
    values = {
        "form of the checkpoint": 2,
        "structures or symmetry functions": inputs,
        "labels": data_hash([*sets.train, *sets.validation]),
        "division of the data": [len(sets.train), len(sets.validation)],
        "offsets_eV": dict(offsets),
        "weights": config.data.weights,
        "hidden": config.network.hidden,
        "activation": config.network.activation,
    }
    values |= {k: v for k, v in dataclasses.asdict(config.fit).items() if k not in free}
    if config.charges.learned_from == "energies":
        values["charges"] = {k: v for k, v in dataclasses.asdict(config.charges).items() if k not in ONLY_LABELS}
    return json.dumps(values, sort_keys=True)


def _model(config: TrainConfig, chosen: Functions, stored: StoredDescriptors, offsets, networks) -> HDNNPModel:
    """The potential with these networks (without: of the fit); scaling from all stored structures.

    A function that varies by rounding alone, as those of angles in a set of dimers, would have its noise blown up to
    variance one. In the fit its sigma is 0, so that networks do not see it; as their weights for it are then zero,
    it is written as 1, by which other programs can divide.
    """
    elements = {}
    for k, symbol in enumerate(stored.elements):
        values = stored.values(symbol)[:, : len(chosen.functions[symbol])]
        mean, sigma = values.mean(axis=0), values.std(axis=0)
        sigma[sigma < _ROUNDING * np.maximum(1.0, np.abs(mean))] = 0.0 if networks is None else 1.0
        scaling = np.stack([values.min(axis=0), values.max(axis=0), mean, sigma], axis=1)
        network = None if networks is None else networks[k]
        elements[symbol] = ElementModel(chosen.functions[symbol], scaling, network, offsets[symbol])
    return HDNNPModel(
        elements,
        chosen.cutoff_type,
        chosen.cutoff_alpha,
        "scalesigma",
        "Angstrom",
        "eV",
        source=str(config.potential_path),
    )


# ---------------------------------------------------------------------------------------------------------------------
# What is printed


def _header(config: TrainConfig, sets: Sets) -> str:
    n_atoms = sum(len(s.system) for s in sets.train)
    return "\n".join(
        [
            f"mdnnp {__version__} train {config.source.name}, {get_threads()} threads",
            f"structures: {len(sets.train)} to fit ({n_atoms} atoms), {len(sets.validation)} to validate, "
            f"{len(sets.test)} to test" + (f", {len(config.data.exclude)} left out" if config.data.exclude else ""),
        ]
    )


def _functions_line(config: TrainConfig, chosen: Functions, offsets: Mapping[str, float]) -> str:
    functions = ", ".join(f"{e} {len(f)}" for e, f in chosen.functions.items())
    energies = ", ".join(f"{e} {v:.4f} eV" for e, v in offsets.items())
    hidden = "-".join(map(str, config.network.hidden))
    return f"symmetry functions: {functions}; hidden nodes {hidden}; offsets {energies}"


class _Reporter:
    """Prints a line and rewrites the table of epochs after every epoch."""

    def __init__(self, config: TrainConfig):
        self._config = config
        self._first: tuple[int, float] | None = None

    def __call__(self, epoch: int, progress: list[Progress], seconds: float) -> None:
        if self._first is None:
            self._first = (epoch, seconds)
        _write_epochs(self._config.epochs_path, progress)
        for k, own in enumerate(progress):
            if len(own.history) and own.history[-1, 0] == epoch:
                member = f" member {k + 1}" if len(progress) > 1 else ""
                screen.say(f"epoch {epoch:4d}{member}: {_errors_line(own)}{self._left(epoch, seconds)}")

    def _left(self, epoch: int, seconds: float) -> str:
        done = epoch - self._first[0]
        if done <= 0:
            return ""
        f = self._config.fit
        left = (seconds - self._first[1]) / done * (f.epochs - epoch)
        if f.time_limit_minutes is not None:
            left = min(left, max(0.0, 60.0 * f.time_limit_minutes - seconds))
        return f"   at most {screen.duration(left)} left"


def _errors_line(own: Progress) -> str:
    row = dict(zip(COLUMNS, own.history[-1], strict=True))
    texts = []
    for name in ("train", "validation"):
        energy, force = 1e3 * row[f"energy_{name}"], 1e3 * row[f"force_{name}"]
        if np.isfinite(energy) or np.isfinite(force):
            texts.append(f"{name} {energy:.2f} meV/atom, {force:.1f} meV/Å")
    best = " *" if own.best_epoch == row["epoch"] else ""
    return "; ".join(texts) + best


def _write_epochs(path: Path, progress: Sequence[Progress]) -> None:
    with new_file(path, overwrite=True) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["member", *COLUMNS])
        for k, own in enumerate(progress):
            table.writerows([k + 1, int(row[0]), *row[1:].tolist()] for row in own.history)


# ---------------------------------------------------------------------------------------------------------------------
# After the fit


def _finish(
    config: TrainConfig,
    sets: Sets,
    fixed: Potential | None,
    fitted: list[Fitted],
    result: FitResult,
    findings: list[str],
    overwrite: bool,
) -> Trained:
    """Write the potential, measure it, write the report."""
    origin = _provenance(config, sets, result)
    _write(config, fitted, origin, overwrite)
    networks = [own.potential for own in fitted]
    source = str(config.potential_path)
    potential: Potential = networks[0] if len(networks) == 1 else Committee(networks, source)
    if fixed is not None:
        potential = TotalPotential([potential, fixed], source, ["network", "terms"])
    errors = {name: evaluate(potential, own) for name, own in sets._asdict().items() if own}
    first = result.members[0]
    write_report(
        config.report_path,
        errors,
        title=f"Fit {config.source.stem}",
        facts={"input": config.source, "potential": config.potential_path},
        history=_report_history(first.history),
        best_epoch=first.best_epoch,
        notes=findings,
        provenance={**origin, **provenance()},
        overwrite=overwrite,
    )
    return Trained(potential, config.potential_path, config.report_path, errors, result)


def _write(config: TrainConfig, fitted: list[Fitted], origin: Mapping[str, str | int | float], overwrite: bool) -> None:
    terms = config.network.terms
    if len(fitted) == 1:
        fixed = None if terms is None else terms.read_bytes()
        fitted[0].write(config.potential_path, overwrite=overwrite, provenance=origin, terms=fixed)
        return
    with new_directory(config.potential_path, overwrite, _belongs(config)) as directory:
        for k, own in enumerate(fitted, start=1):
            own.write(directory / f"member-{k}", provenance={**origin, "member": k})
        if terms is not None:
            (directory / TERMS_FILE).write_bytes(terms.read_bytes())


def _provenance(config: TrainConfig, sets: Sets, result: FitResult) -> dict[str, str | int | float]:
    return {
        "program": f"mdnnp {__version__}",
        "input": config.text,
        "data_sha256": data_hash([*sets.train, *sets.validation]),
        "structures_train": len(sets.train),
        "structures_validation": len(sets.validation),
        "epochs": result.epochs,
    }


def _report_history(history: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the report: epoch, losses, energies in meV/atom, forces in meV/Å."""
    out = {}
    for name, column in zip(COLUMNS, history.T, strict=True):
        if not name.startswith("stress") and np.isfinite(column).any():
            out[name] = 1e3 * column if name.startswith(("energy", "force")) else column
    return out
