"""Charges in a fit (`train`): those of labels are its first stage, others are fitted with the short-range networks."""

import dataclasses
import json

import numpy as np

from mdnnp.base.checkpoint import is_there
from mdnnp.base.report import screen
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.hdnnp.model import ChargeModel, ElementModel, HDNNPModel, scaling_coefficients
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.training.charge_fit import ChargedDescriptors, ChargeLoss, charge_model, starting_values
from mdnnp.training.dataset import data_hash
from mdnnp.training.derivatives import Layout
from mdnnp.training.descriptor_store import StoredDescriptors
from mdnnp.training.fit import COLUMNS, FitSettings, Member, Progress, fit
from mdnnp.training.fit_data import Sets, without_terms
from mdnnp.training.input import ACTIVATION_LETTERS, TrainConfig
from mdnnp.training.joint_fit import JointLoss, interaction
from mdnnp.training.loss import Labels, Loss
from mdnnp.training.network_inputs import half_whitened


class _Equilibration:
    """The charges where a fit begins: losses over structures, weights to start from, potentials of weights."""

    def __init__(self, config: TrainConfig, sets: Sets, stored: StoredDescriptors, skeleton: HDNNPModel):
        self.structures, c, e = [*sets.train, *sets.validation], config.charges, stored.elements
        self.skeleton, self.stored, self._config = skeleton, stored, config
        self.widths, hardness, levels = starting_values(
            e, c.widths_A, c.hardness_eV, c.electronegativities_eV, config.source.name
        )
        rng = np.random.default_rng([config.fit.seed, 2])
        self.inputs = [
            half_whitened(stored.values(symbol), *scaling_coefficients(part, skeleton))
            for symbol, part in skeleton.elements.items()
        ]
        letter = ACTIVATION_LETTERS[config.network.activation]
        self.layout = Layout([(own.number, *c.hidden, 1) for own in self.inputs], letter * len(c.hidden) + "l")
        self.theta = np.concatenate([0.1 * self.layout.initial(rng), np.zeros(len(e))])
        self.hardness, self.levels = (np.array(list(v.values())) for v in (hardness, levels))
        bare = self.potential(self.theta, self.hardness)
        self.matrices = [bare.hardness_matrix(s.system) for s in self.structures]

    def loss(self, prior: float, begin: int, end: int) -> ChargeLoss:
        """Over structures begin .. end - 1."""
        numbers = [s.system.numbers for s in self.structures]
        labels = [np.zeros(len(s.system)) if s.charges is None else s.charges for s in self.structures]
        totals = np.array([s.system.charge for s in self.structures])
        return ChargeLoss(
            self.stored, numbers, self.layout, self.inputs, self.matrices, labels, totals, self.hardness,
            self._config.charges.tolerance_e, prior, begin, end, self.levels,
        )  # fmt: skip

    def model(self, theta: np.ndarray, hardness: np.ndarray) -> ChargeModel:
        """The charges with these weights."""
        return charge_model(
            self.layout, theta, self.inputs, hardness.tolist(), self.widths, self.skeleton, self.levels.tolist()
        )

    def potential(self, theta: np.ndarray, hardness: np.ndarray) -> FourthGeneration:
        """The charges alone, as a potential."""
        return FourthGeneration(_without_networks(self.skeleton), self.model(theta, hardness))


def fit_charges(
    config: TrainConfig, sets: Sets, stored: StoredDescriptors, skeleton: HDNNPModel, resume: bool
) -> tuple[ChargeModel, ChargedDescriptors, Sets]:
    """Fit the charges; returns them, the stored functions with the charge added, and the labels minus their energy.

    skeleton : the potential without networks; resume : go on from `config.charges_checkpoint_path` if it is there
    Raises InputError for elements that no structure has and for a checkpoint of another fit, PhysicsError if the
    charges have no minimum.
    """
    own, c = _Equilibration(config, sets, stored, skeleton), config.charges
    n, m = len(sets.train), len(own.structures)
    loss = own.loss(c.prior, 0, n)
    member = Member(loss, own.loss(0.0, n, m) if m > n else None, own.theta[None])
    result = fit(
        [member],
        FitSettings("levenberg-marquardt", c.epochs, config.fit.patience),
        config.charges_checkpoint_path,
        _key(config, sets, stored),
        resume=resume and is_there(config.charges_checkpoint_path),
        on_epoch=_say,
    )
    best = result.members[0].best[0]
    potential = own.potential(best, loss.hardness(best))
    charged = ChargedDescriptors(stored, own.structures, potential, *loss.frozen(best))
    return potential.charge_model, charged, without_terms(sets, potential)


class JointStart:
    """Where a fit of charges to energies and forces begins.

    stored : the functions with the charge added; left : the labels minus the energy of the charges
    """

    def __init__(self, config: TrainConfig, sets: Sets, stored: StoredDescriptors, skeleton: HDNNPModel):
        """Raises InputError for elements that no structure has, PhysicsError if the charges have no minimum."""
        self._own = _Equilibration(config, sets, stored, skeleton)
        self._loss = self._own.loss(0.0, 0, len(self._own.structures))
        potential = self._own.potential(self._own.theta, self._own.hardness)
        self.stored = ChargedDescriptors(stored, self._own.structures, potential, *self._loss.frozen(self._own.theta))
        self.left = without_terms(sets, potential)
        self._interactions = [
            interaction(potential, s.system, e) for s, e in zip(self._own.structures, self._own.matrices, strict=True)
        ]

    def members(self, members: list[Member], labels: Labels) -> list[Member]:
        """Fits of all parameters, from fits of the short-range networks; labels : charges' energy included."""
        return [
            Member(
                self._joint(one.train, labels),
                None if one.validation is None else self._joint(one.validation, labels),
                np.array([np.concatenate([theta, self._own.theta]) for theta in one.thetas]),
            )
            for one in members
        ]

    def _joint(self, loss: Loss, labels: Labels) -> JointLoss:
        return JointLoss(
            self._loss, self._interactions, self._own.stored, loss.layout, loss.inputs, labels, loss.tolerances,
            loss.prior, loss.begin, loss.end,
        )  # fmt: skip

    def split(self, thetas: np.ndarray) -> tuple[np.ndarray, ChargeModel]:
        """Weights of the short-range networks (1, P), and the charges, of a member's weights (1, P)."""
        n = self._loss.n_parameters
        return thetas[:, :-n], self._own.model(thetas[0, -n:], self._loss.hardness(thetas[0, -n:]))


def _without_networks(skeleton: HDNNPModel) -> HDNNPModel:
    """The skeleton with networks of its functions and the charge that give zero, and no offsets."""

    def silent(part: ElementModel) -> ElementModel:
        network = Network((np.zeros((len(part.functions) + 1, 1)),), (np.zeros(1),), "l")
        return dataclasses.replace(part, atom_energy=0.0, network=network)

    return dataclasses.replace(skeleton, elements={e: silent(part) for e, part in skeleton.elements.items()})


def _key(config: TrainConfig, sets: Sets, stored: StoredDescriptors) -> str:
    """What must be the same for the fit of the charges to be resumed, as JSON."""
    values = {
        "form of the checkpoint": 1,
        "structures or symmetry functions": stored.key,
        "labels": data_hash([*sets.train, *sets.validation]),
        "division of the data": [len(sets.train), len(sets.validation)],
        "activation": config.network.activation,
        "seed": config.fit.seed,
    }
    values |= {k: v for k, v in dataclasses.asdict(config.charges).items() if k != "epochs"}
    return json.dumps(values, sort_keys=True)


def _say(epoch: int, progress: list[Progress], seconds: float) -> None:
    row = dict(zip(COLUMNS, progress[0].history[-1], strict=True))
    texts = [f"{name} {1e3 * row[f'energy_{name}']:.3f} me" for name in ("train", "validation")]
    screen.say(f"charges, epoch {epoch:4d}: {'; '.join(t for t in texts if 'nan' not in t)}")
