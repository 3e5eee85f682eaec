"""Fits of graph potentials: the exact gradient of their loss, the fit's own numbers, kills, committees, mistakes."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from ase.data import atomic_masses
from labelled import make_labelled, write_labelled

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import FileError, InputError
from mdnnp.command.cli import main
from mdnnp.potentials.graph.files import read_graph
from mdnnp.potentials.graph.model import draw_model
from mdnnp.potentials.graph.potential import GraphPotential
from mdnnp.potentials.graph.sweep import input_moments
from mdnnp.potentials.load import load_potential
from mdnnp.training.accuracy import evaluate
from mdnnp.training.dataset import resolve_weights
from mdnnp.training.graph_loss import GraphLoss, Structures, started
from mdnnp.training.input import parse_train_config, read_train_config
from mdnnp.training.loss import Tolerances, make_labels
from mdnnp.training.train import read_sets, train

INPUT = """
[data]
train = ["data.xyz"]
test_fraction = 0.2
validation_fraction = 0.2

[model]
kind = "graph"
channels = 3
radial = 4
degree = 2
hidden = 4

[descriptors]
cutoff_A = 3.5

[fit]
epochs = {epochs}
{more}
"""


@pytest.fixture
def folder(tmp_path):
    write_labelled(tmp_path / "data.xyz")
    return tmp_path


def write_input(folder, name="fit", epochs=4, more="", text=INPUT):
    path = folder / f"{name}.toml"
    path.write_text(text.format(epochs=epochs, more=more))
    return path


def make_loss(n_models=1, begin=0, end=5, prior=0.3):
    labelled = make_labelled(n=5)
    rng = np.random.default_rng(4)
    sizes = {"layers": 2, "channels": 3, "radial": 4, "degree": 2, "hidden": 4, "neighbors": 10.0}
    models = [draw_model((8, 12), 3.5, **sizes, rng=rng) for _ in range(n_models)]
    structures = Structures([s.system for s in labelled], models[0])
    starts = [started(model, structures, range(5)) for model in models]
    labels = make_labels(labelled, {"O": -6.0, "Mg": -6.0}, resolve_weights(labelled, {}))
    loss = GraphLoss(structures, starts, labels, Tolerances(1e-3, 0.1, 0.02), prior, begin, end)
    thetas = loss.start() + rng.normal(0, 0.1, loss.start().shape)
    return loss, thetas, labelled


def test_inputs_of_networks_are_half_whitened():
    loss = make_loss()[0]
    (start,), given = loss.starts, loss.structures
    for k, (layer, matrix) in enumerate(zip(start.model.layers, start.matrices, strict=True)):
        sums = [input_moments(start.model, given.assembly(s), given.species[s], k) for s in range(5)]
        n, total, products = (np.sum(own, axis=0) for own in zip(*sums, strict=True))
        mean, spread = total / n, np.sqrt(np.diag(products) / n - (total / n) ** 2)
        np.testing.assert_allclose(layer.shift, mean, rtol=1e-12, atol=1e-12)
        varying = layer.factor != 0.0  # in the first layer, the first features of an element are constants
        assert varying.sum() >= len(varying) - 3
        np.testing.assert_allclose((layer.factor * (spread + 0.1 * np.abs(mean)))[varying], 1.0, rtol=1e-9)
        covariance = np.outer(layer.factor, layer.factor) * (products / n - np.outer(mean, mean))
        half = matrix.T @ covariance @ matrix  # in proportion to the root of the covariance
        np.testing.assert_allclose(
            half @ half / np.trace(half @ half), covariance / np.trace(covariance), rtol=0, atol=1e-6
        )
        assert np.trace(half) == pytest.approx(len(half), rel=1e-3)
        assert np.allclose(loss.with_weights(loss.start())[0].layers[k].first, layer.first, rtol=0, atol=1e-9)


def test_gradient_against_differences():
    loss, (theta,), _ = make_loss()
    value, slope = loss.gradient(theta, range(5))
    score = loss.score(theta)
    assert value == pytest.approx(score.loss + 0.3 * theta @ theta, rel=1e-12)
    rng = np.random.default_rng(1)
    for _ in range(3):
        u = rng.standard_normal(theta.shape)
        h = 1e-4
        up, down, up2, down2 = (loss.gradient(theta + k * h * u, range(5))[0] for k in (1, -1, 2, -2))
        assert slope @ u == pytest.approx((8 * (up - down) - (up2 - down2)) / (12 * h), rel=1e-7)


def test_parts_of_the_gradient_add_up():
    loss, (theta,), _ = make_loss()
    whole = loss.gradient(theta, range(5))
    parts = [loss.gradient(theta, own) for own in ([0, 3], [1, 2, 4])]
    assert whole[0] == pytest.approx(sum(p[0] for p in parts), rel=1e-12)
    np.testing.assert_allclose(whole[1], parts[0][1] + parts[1][1], rtol=0, atol=1e-10 * np.abs(whole[1]).max())


def test_scores_are_those_of_the_potential():
    loss, thetas, labelled = make_loss(n_models=2)
    score = loss.score(*thetas)
    models = loss.with_weights(thetas)
    errors = []
    for s in labelled:
        forces = np.mean([GraphPotential([m]).compute(s.system).forces for m in models], axis=0)
        errors.append(forces - s.forces)
    assert score.force == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-10)
    alone = loss.of_network(1)
    assert alone.score(thetas[1]).loss != score.loss
    assert alone.gradient(thetas[1], range(5))[0] == pytest.approx(
        alone.score(thetas[1]).loss + 0.3 * thetas[1] @ thetas[1], rel=1e-12
    )


def test_the_potential_gives_the_fits_own_numbers(folder, capsys):
    config = read_train_config(write_input(folder, more="networks = 2"))
    trained = train(config)
    assert "graph potential: 2 layers of 3 channels" in capsys.readouterr().out
    row = trained.result.members[0].history[trained.result.members[0].best_epoch - 1]
    reopened = load_potential(trained.path)
    assert isinstance(reopened, GraphPotential) and len(reopened.models) == 2
    errors = evaluate(reopened, read_sets(config)[0].train)
    assert errors.quantities["energy"].overall.rmse == pytest.approx(1e3 * row[2], rel=1e-10)
    assert errors.quantities["force"].overall.rmse == pytest.approx(1e3 * row[3], rel=1e-10)
    assert "data_sha256" in (trained.path / "graph.toml").read_text()
    with pytest.raises(FileError, match="exists already"):
        train(config)
    train(config, overwrite=True)


def test_a_fit_learns(folder):
    """Forces of a pair energy."""
    (folder / "pairs.toml").write_text(
        'kind = "lennard-jones"\ncutoff_A = 3.5\nsmoothing = "poly3"\n[elements.Mg]\nepsilon_eV = 0.3\nsigma_A = 1.9\n'
        "[elements.O]\nepsilon_eV = 0.3\nsigma_A = 1.8\n"
    )
    teacher = load_potential(folder / "pairs.toml")
    structures = []
    for s in make_labelled(n=40):
        r = teacher.compute(s.system)
        structures.append(
            Structure(
                s.system, atomic_masses[s.system.numbers], energy=r.energy, forces=r.forces, stress=r.stress(s.system)
            )
        )
    write_structures(folder / "data.xyz", structures, format="extxyz", overwrite=True)
    text = INPUT.replace("radial = 4", "radial = 6").replace("hidden = 4", "hidden = 8")
    trained = train(read_train_config(write_input(folder, epochs=60, text=text, more="learning_rate = 0.01")))
    rms = np.sqrt(np.mean([np.square(s.forces).mean() for s in structures]))
    train_error, test_error = (trained.errors[name].quantities["force"].overall.rmse for name in ("train", "test"))
    assert train_error < 0.08 * 1e3 * rms and test_error < 0.2 * 1e3 * rms


def test_a_killed_fit_goes_on_to_the_same_bits(folder):
    whole, killed = write_input(folder, "whole", epochs=80), write_input(folder, "killed", epochs=80)
    assert main(["train", str(whole), "--threads", "2"]) == 0
    command = [sys.executable, "-m", "mdnnp", "train", str(killed), "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if line.startswith("epoch    3"):
                os.kill(child.pid, signal.SIGKILL)
                break
        child.wait()
    assert child.returncode == -signal.SIGKILL and not (folder / "killed-potential").exists()
    assert main(["train", str(killed), "--resume", "--threads", "2"]) == 0
    for a, b in zip(*(read_graph(folder / f"{name}-potential") for name in ("whole", "killed")), strict=True):
        assert np.array_equal(a.vector(), b.vector())


def test_committees_on_top_of_fixed_terms(folder):
    (folder / "terms.toml").write_text('[[terms]]\nkind = "zbl"\ninner_cutoff_A = 0.5\ncutoff_A = 3.0\n')
    text = INPUT + '\n[network]\nterms = "terms.toml"\n'
    trained = train(read_train_config(write_input(folder, text=text, more="members = 2")))
    results = load_potential(trained.path).compute(make_labelled(n=1)[0].system)
    assert results.disagreement is not None
    assert (trained.path / "member-2" / "graph.toml").exists()
    best = trained.result.members[0]
    assert best.history.shape[0] == 4


def test_resuming_with_another_model_is_refused(folder):
    train(read_train_config(write_input(folder)))
    with pytest.raises(InputError, match="structures"):
        train(read_train_config(write_input(folder, text=INPUT.replace("channels = 3", "channels = 4"))), resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("radial = 4", "radial = 0"), "model.radial = 0 at fit.toml:10: must lie between 1 and 64"),
        (('kind = "graph"', 'kind = "graf"'), 'did you mean "graph"'),
        (('kind = "graph"\n', ""), 'model.channels at fit.toml:8 has no effect without model.kind = "graph"'),
        (("cutoff_A = 3.5", "cutoff_A = 3.5\nradial = 4"), "descriptors.radial at .* has no effect with model.kind"),
        (("[fit]", '[fit]\noptimizer = "levenberg-marquardt"'), "fit.optimizer at .* has no effect with model.kind"),
        (("[fit]", "[network]\nhidden = [3]\n[fit]"), "network.hidden at .* has no effect with model.kind"),
    ],
)
def test_mistakes_are_named_by_line(change, message):
    text = INPUT.format(epochs=3, more="")
    assert change[0] in text
    with pytest.raises(InputError, match=message):
        parse_train_config(text.replace(*change), "fit.toml")
