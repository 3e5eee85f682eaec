"""The fit of charges: derivatives, the two stages, what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import make_system
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import InputError
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import default_functions
from mdnnp.potentials.hdnnp.model import ChargeModel, ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.load import load_potential
from mdnnp.potentials.zbl import COULOMB_EV_A
from mdnnp.training.accuracy import evaluate
from mdnnp.training.charge_fit import ChargedDescriptors, ChargeLoss, check_charges, starting_values
from mdnnp.training.dataset import LabelledStructure, read_labelled
from mdnnp.training.derivatives import Layout
from mdnnp.training.descriptor_store import store_descriptors
from mdnnp.training.input import parse_train_config, read_train_config
from mdnnp.training.network_inputs import scaled_inputs
from mdnnp.training.train import train

SYMBOLS = ("Na", "Cl")
FUNCTIONS = default_functions(SYMBOLS, 4.0, radial=3, angular=0)


def teacher(seed=1) -> FourthGeneration:
    """A potential with charges, of random networks."""
    rng = np.random.default_rng(seed)

    def network(n, size):
        return Network(
            (size * rng.standard_normal((n, 3)), rng.standard_normal((3, 1))),
            (rng.standard_normal(3), np.zeros(1)),
            "tl",
        )

    elements, networks = {}, {}
    for e in SYMBOLS:
        n = len(FUNCTIONS[e])
        scaling = np.tile([0.0, 1.0, 0.5, 1.0], (n, 1))
        elements[e] = ElementModel(FUNCTIONS[e], scaling, network(n + 1, 0.5), -1.0)
        networks[e] = network(n, 0.5)
    model = HDNNPModel(elements, 6, 0.0, "none", "Angstrom", "eV")
    charges = ChargeModel(networks, {"Na": 6.0, "Cl": 4.0}, {"Na": 1.2, "Cl": 1.0}, four_pi_epsilon=1.0 / COULOMB_EV_A)
    return FourthGeneration(model, charges)


def structures(n, periodic=False, seed=2) -> list[LabelledStructure]:
    """Clusters or small cells with the teacher's labels."""
    rng, potential, out = np.random.default_rng(seed), teacher(), []
    grid = np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(2)])[:7]
    cell = np.array([[5.6, 0, 0], [0.4, 5.7, 0], [0, 0.3, 5.8]]) if periodic else None
    for number in range(n):
        positions = 2.8 * grid + 0.2 * rng.standard_normal((7, 3))
        system = make_system(
            positions,
            np.where(grid.sum(axis=1) % 2, 17, 11),
            cell,
            pbc=periodic,
            charge=0.0 if periodic else number % 2,
        )
        r = potential.compute(system)
        out.append(
            LabelledStructure(
                system, r.energy, r.forces, r.stress(system), name=f"data.xyz:{number}", charges=r.charges
            )
        )
    return out


def loss_of(potential, data, tmp_path, dtype=np.float64):
    """The loss of the charges at the potential's own weights (theta), and the stored functions."""
    descriptors = Descriptors({e: FUNCTIONS[e] for e in SYMBOLS}, 6, 0.0)
    stored = store_descriptors(tmp_path / "store", [s.system for s in data], descriptors, dtype)
    inputs = [scaled_inputs(np.ones(len(FUNCTIONS[e])), np.zeros(len(FUNCTIONS[e]))) for e in SYMBOLS]
    layout = Layout([(x.number, 3, 1) for x in inputs], "tl")
    charges, theta = potential.charge_model, np.zeros(layout.n_parameters + 2)
    for e, network in enumerate(charges.networks.values()):
        weights, biases = layout.matrices(e, theta)
        for own, given in zip((*weights, *biases), (*network.weights, *network.biases), strict=True):
            own[:] = given
    matrices = [potential.hardness_matrix(s.system) for s in data]
    totals, hardness = np.array([s.system.charge for s in data]), np.array(list(charges.hardness.values()))
    loss = ChargeLoss(
        stored, [s.system.numbers for s in data], layout, inputs, matrices, [s.charges for s in data], totals,
        hardness, 0.01, 0.3, 0, len(data),
    )  # fmt: skip
    return loss, theta, stored


@pytest.mark.parametrize("periodic", [False, True])
def test_charges_are_those_of_the_potential(tmp_path, periodic):
    data = structures(3, periodic)
    loss, theta, _ = loss_of(teacher(), data, tmp_path)
    assert loss.score(theta).energy < 1e-9


def test_gradient_is_that_of_differences(tmp_path):
    loss, theta, _ = loss_of(teacher(), structures(3), tmp_path)
    theta = theta + 0.05 * np.random.default_rng(3).standard_normal(len(theta))
    gradient, h = 2.0 * loss.normal_equations(theta)[1], 1e-5

    def value(t):
        return loss.score(t).loss + loss.prior * t @ t

    numerical = [(value(theta + h * v) - value(theta - h * v)) / (2 * h) for v in np.eye(len(theta))]
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("periodic", [False, True])
def test_charges_move_with_atoms_and_strain(tmp_path, periodic):
    potential, data = teacher(), structures(2, periodic)
    loss, theta, stored = loss_of(potential, data, tmp_path)
    charged = ChargedDescriptors(stored, data, potential, *loss.frozen(theta))
    system, h, rng = data[1].system, 1e-4, np.random.default_rng(4)
    along, tilt = rng.standard_normal(system.positions.shape), rng.standard_normal((3, 3))
    tilt = 0.5 * (tilt + tilt.T)

    def charges(x, strain):
        moved = np.eye(3) + strain
        return potential.compute(
            system._replace(positions=(system.positions + x) @ moved, cell=system.cell @ moved)
        ).charges

    zero = np.zeros((3, 3))
    by_position = (charges(h * along, zero) - charges(-h * along, zero)) / (2 * h)
    by_strain = (charges(0 * along, h * tilt) - charges(0 * along, -h * tilt)) / (2 * h)
    six = np.array([tilt[0, 0], tilt[1, 1], tilt[2, 2], 2 * tilt[1, 2], 2 * tilt[0, 2], 2 * tilt[0, 1]])
    for e, symbol in enumerate(SYMBOLS):
        atoms = np.flatnonzero(system.numbers == (11, 17)[e])
        part = charged.part(symbol, 1, 2)
        moved = np.repeat(np.arange(len(system)), np.diff(part.pair_first))
        found = np.zeros(len(atoms))
        np.add.at(found, part.pair_center, (part.pair_gradient[:, :, -1] * along[moved]).sum(axis=1))
        np.testing.assert_allclose(part.values[:, -1], data[1].charges[atoms], atol=1e-10)
        np.testing.assert_allclose(found, by_position[atoms], atol=1e-6)
        np.testing.assert_allclose(part.strain[:, :, -1] @ six, by_strain[atoms], atol=1e-6)


INPUT = """
[data]
train = ["data.xyz"]
test_fraction = 0.2
[descriptors]
cutoff_A = 4.0
radial = 3
angular = 0
[network]
hidden = [4]
[charges]
learned_from = "labels"
hidden = [4]
epochs = {epochs}
widths_A = {{Na = 1.2, Cl = 1.0}}
[fit]
epochs = {epochs}
"""


@pytest.fixture
def folder(tmp_path):
    own = [
        Structure(s.system, np.ones(len(s.system)), energy=s.energy_eV, forces=s.forces, charges=s.charges)
        for s in structures(24)
    ]
    write_structures(tmp_path / "data.xyz", own, format="extxyz")
    (tmp_path / "train.toml").write_text(INPUT.format(epochs=8))
    return tmp_path


def test_both_stages_learn_and_the_potential_is_read_back(folder):
    trained = train(read_train_config(folder / "train.toml"))
    errors = evaluate(load_potential(folder / "train-potential"), read_labelled(folder / "data.xyz"))
    spread = 1e3 * np.std(np.concatenate([s.charges for s in structures(24)]))
    assert errors.quantities["charge"].overall.rmse < 0.2 * spread
    forces = 1e3 * np.sqrt(np.mean(np.concatenate([s.forces for s in structures(24)]) ** 2))
    assert errors.quantities["force"].overall.rmse < 0.2 * forces
    assert trained.errors["train"].quantities["charge"].overall.rmse < 0.2 * spread
    row = trained.result.members[0].history[trained.result.members[0].best_epoch - 1]
    assert trained.errors["train"].quantities["force"].overall.rmse == pytest.approx(1e3 * row[3], rel=1e-3)


def test_a_fit_goes_on_to_the_same_bits(folder):
    text = (folder / "train.toml").read_text()
    train(read_train_config(folder / "train.toml"))
    once = {p.name: p.read_bytes() for p in (folder / "train-potential").glob("*.data")}
    (folder / "train.toml").write_text(text.replace("epochs = 8", "epochs = 4"))
    train(read_train_config(folder / "train.toml"), overwrite=True)
    (folder / "train.toml").write_text(text)
    for kept in ("train.charges.checkpoint", "train.checkpoint"):
        assert (folder / kept).exists()
    for path in folder.glob("train.checkpoint*"):  # a fit that ended in the first stage
        path.unlink()
    train(read_train_config(folder / "train.toml"), resume=True)
    assert once == {p.name: p.read_bytes() for p in (folder / "train-potential").glob("*.data")}


def test_missing_charges_are_refused():
    (data,) = structures(1)
    with pytest.raises(InputError, match=r"data.xyz:0: has no charges"):
        check_charges([replace(data, charges=None)], True)
    with pytest.raises(InputError, match=r"add up to .* but its total charge is 2 e"):
        check_charges([replace(data, system=data.system._replace(charge=2.0))], True)


def test_settings_that_are_refused():
    with pytest.raises(InputError, match=r"charges.hardness_eV has K, which no structure has"):
        starting_values(SYMBOLS, {}, {"K": 1.0}, {}, "train.toml")
    bad = INPUT.format(epochs=1) + "members = 2\n"
    with pytest.raises(InputError, match="a committee with charges"):
        parse_train_config(bad)
    with pytest.raises(InputError, match=r"charges.widths_A at .*'Xy' is no chemical element"):
        parse_train_config(INPUT.format(epochs=1).replace("Na = 1.2", "Xy = 1.2"))


def test_charges_follow_from_energies_and_forces(folder):
    own = [
        Structure(s.system, np.ones(len(s.system)), energy=s.energy_eV, forces=s.forces) for s in structures(24)
    ]  # no charges
    write_structures(folder / "data.xyz", own, format="extxyz", overwrite=True)
    text = (folder / "train.toml").read_text().replace('"labels"', '"energies"')
    (folder / "train.toml").write_text(text)
    trained = train(read_train_config(folder / "train.toml"))
    forces = 1e3 * np.sqrt(np.mean(np.concatenate([s.forces for s in structures(24)]) ** 2))
    assert trained.errors["train"].quantities["force"].overall.rmse < 0.2 * forces
    own = trained.result.members[0]
    row = own.history[own.best_epoch - 1]
    assert trained.errors["train"].quantities["force"].overall.rmse == pytest.approx(1e3 * row[3], rel=1e-3)
    assert trained.errors["train"].quantities["energy"].overall.rmse == pytest.approx(1e3 * row[2], rel=1e-3)


def test_committees_of_charges_from_energies_are_refused():
    text = INPUT.format(epochs=1).replace('"labels"', '"energies"') + "networks = 2\n"
    with pytest.raises(InputError, match=r"fit.networks at .* must be 1"):
        parse_train_config(text)
