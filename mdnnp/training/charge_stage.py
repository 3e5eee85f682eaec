"""The first stage of a fit with charges: the charges; the second fits energies and forces minus theirs (`train`)."""

import dataclasses
import json

import numpy as np

from mdnnp.base.checkpoint import is_there
from mdnnp.base.report import screen
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.hdnnp.model import ChargeModel, ElementModel, HDNNPModel, scaling_coefficients
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.training.charge_fit import ChargedDescriptors, ChargeLoss, charge_model, widths_and_hardness
from mdnnp.training.dataset import data_hash
from mdnnp.training.derivatives import Layout
from mdnnp.training.descriptor_store import StoredDescriptors
from mdnnp.training.fit import COLUMNS, FitSettings, Member, Progress, fit
from mdnnp.training.fit_data import Sets, without_terms
from mdnnp.training.input import ACTIVATION_LETTERS, TrainConfig
from mdnnp.training.network_inputs import half_whitened


def fit_charges(
    config: TrainConfig, sets: Sets, stored: StoredDescriptors, skeleton: HDNNPModel, resume: bool
) -> tuple[ChargeModel, ChargedDescriptors, Sets]:
    """Fit the charges; returns them, the stored functions with the charge added, and the labels minus their energy.

    skeleton : the potential without networks; resume : go on from `config.charges_checkpoint_path` if it is there
    Raises InputError for elements that no structure has and for a checkpoint of another fit, PhysicsError if the
    charges have no minimum.
    """
    fitted, c = [*sets.train, *sets.validation], config.charges
    widths, hardness = widths_and_hardness(stored.elements, c.widths_A, c.hardness_eV, config.source.name)
    rng = np.random.default_rng([config.fit.seed, 2])
    inputs = [
        half_whitened(stored.values(symbol), *scaling_coefficients(part, skeleton))
        for symbol, part in skeleton.elements.items()
    ]
    letter = ACTIVATION_LETTERS[config.network.activation]
    layout = Layout([(own.number, *c.hidden, 1) for own in inputs], letter * len(c.hidden) + "l")
    theta = np.concatenate([0.1 * layout.initial(rng), np.zeros(len(inputs))])
    bare = FourthGeneration(
        _without_networks(skeleton),
        charge_model(layout, theta, inputs, list(hardness.values()), widths, skeleton),
    )
    common = (
        stored, [s.system.numbers for s in fitted], layout, inputs,
        [bare.hardness_matrix(s.system) for s in fitted], [s.charges for s in fitted],
        np.array([s.system.charge for s in fitted]), np.array(list(hardness.values())), c.tolerance_e,
    )  # fmt: skip
    n, m = len(sets.train), len(fitted)
    loss = ChargeLoss(*common, c.prior, 0, n)
    member = Member(loss, ChargeLoss(*common, 0.0, n, m) if m > n else None, theta[None])
    result = fit(
        [member],
        FitSettings("levenberg-marquardt", c.epochs, config.fit.patience),
        config.charges_checkpoint_path,
        _key(config, sets, stored),
        resume=resume and is_there(config.charges_checkpoint_path),
        on_epoch=_say,
    )
    best = result.members[0].best[0]
    model = charge_model(layout, best, inputs, loss.hardness(best).tolist(), widths, skeleton)
    potential = FourthGeneration(_without_networks(skeleton), model)
    return model, ChargedDescriptors(stored, fitted, potential, *loss.frozen(best)), without_terms(sets, potential)


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
