"""Derivatives by the weights: finite differences, the engine's own energies and forces, adjoint against rows."""

import numpy as np
import pytest
from labelled import make_labelled

from mdnnp.atoms.quantities import VOIGT
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import default_functions
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel, scaling_coefficients
from mdnnp.potentials.hdnnp.networks import TRAINABLE
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.training.derivatives import Layout, Predictions, gradient, jacobian, mapped, predict
from mdnnp.training.descriptor_store import store_descriptors, symbols_of
from mdnnp.training.network_inputs import scaled_inputs

SYSTEMS = [s.system for s in make_labelled(n=2)]
CUTOFF_TYPE = 6


@pytest.fixture(scope="module")
def descriptors():
    return Descriptors(default_functions(symbols_of(SYSTEMS), 4.5, radial=3, angular=2, max_zeta=2), CUTOFF_TYPE)


@pytest.fixture(scope="module")
def model(tmp_path_factory, descriptors):
    """Stored descriptors, and a potential without networks for their scaling."""
    stored = store_descriptors(tmp_path_factory.mktemp("d") / "d", SYSTEMS, descriptors, np.float64)
    elements = {}
    for symbol in stored.elements:
        v = stored.values(symbol)
        scaling = np.stack([v.min(axis=0), v.max(axis=0), v.mean(axis=0), v.std(axis=0)], axis=1)
        elements[symbol] = ElementModel(descriptors.functions[symbol], scaling, None)
    return stored, HDNNPModel(elements, CUTOFF_TYPE, 0.0, "scalesigma", "Angstrom", "eV")


def make(model, activations="ttl", seed=1):
    stored, skeleton = model
    layout = Layout([(len(p.functions), 5, 4, 1) for p in skeleton.elements.values()], activations)
    parts = [
        mapped(stored.part(symbol, 0, 2), scaled_inputs(*scaling_coefficients(part, skeleton)))
        for symbol, part in skeleton.elements.items()
    ]
    return parts, layout, layout.initial(np.random.default_rng(seed))


def flat(p: Predictions):
    return np.concatenate([p.energies, p.forces.ravel(), p.strain.ravel()])


@pytest.mark.parametrize("letter", TRAINABLE)
def test_rows_are_derivatives_of_energies_forces_and_strain(model, letter):
    parts, layout, theta = make(model, 2 * letter + "l")
    predictions, rows = jacobian(parts, layout, theta, True, True)
    assert np.array_equal(flat(predictions), flat(predict(parts, layout, theta, True)))
    rng, h = np.random.default_rng(2), 1e-4
    for _ in range(3):
        v = rng.standard_normal(theta.size)
        at = {k: flat(predict(parts, layout, theta + k * h * v, True)) for k in (-2, -1, 1, 2)}
        difference = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)
        assert np.abs(rows @ v - difference).max() < 1e-7 * np.abs(difference).max()


def test_adjoint_gradient_is_the_product_with_all_rows(model):
    parts, layout, theta = make(model)
    predictions, rows = jacobian(parts, layout, theta, True, True)
    rng = np.random.default_rng(3)
    upstream = Predictions(*(rng.standard_normal(p.shape) for p in predictions))
    expected = flat(upstream) @ rows
    found = gradient(parts, layout, theta, upstream, True)
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


def test_single_precision_rows(model):
    parts, layout, theta = make(model)
    single = [
        p._replace(pair_gradient=p.pair_gradient.astype(np.float32), strain=p.strain.astype(np.float32)) for p in parts
    ]
    exact, rows = jacobian(parts, layout, theta, True, True)
    rounded, rounded_rows = jacobian(single, layout, theta, True, True)
    assert rounded_rows.dtype == np.float32
    assert np.abs(rounded_rows - rows).max() < 1e-5 * np.abs(rows).max()
    assert np.abs(rounded.forces - exact.forces).max() < 1e-6 * np.abs(exact.forces).max()


def test_predictions_are_those_of_the_engine(model):
    stored, skeleton = model
    parts, layout, theta = make(model)
    predictions = predict(parts, layout, theta, True)
    networks = layout.networks(theta)
    elements = {
        symbol: ElementModel(part.functions, part.scaling, networks[k])
        for k, (symbol, part) in enumerate(skeleton.elements.items())
    }
    potential = HDNNP(HDNNPModel(elements, CUTOFF_TYPE, 0.0, "scalesigma", "Angstrom", "eV"))
    for k, system in enumerate(SYSTEMS):
        results = potential.compute(system)
        own = slice(stored.atom_first[k], stored.atom_first[k + 1])
        assert results.energy == pytest.approx(predictions.energies[k], abs=1e-11)
        assert np.abs(results.forces - predictions.forces[own]).max() < 1e-11
        assert np.abs([-results.virial[a, b] for a, b in VOIGT] - predictions.strain[k]).max() < 1e-11


def test_initial_weights_give_inputs_of_variance_one_to_every_node():
    layout = Layout([(400, 300, 1)], "tl")
    weights, _ = layout.matrices(0, layout.initial(np.random.default_rng(1)))
    assert np.var(np.random.default_rng(2).standard_normal((500, 400)) @ weights[0]) == pytest.approx(1.0, rel=0.05)
