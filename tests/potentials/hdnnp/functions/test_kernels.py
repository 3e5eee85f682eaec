"""Envelopes, angles and networks in the kernels, against the formulas written out in NumPy and finite differences."""

import itertools

import numpy as np
import pytest

from mdnnp.base.compiled.jit import njit
from mdnnp.potentials.hdnnp.functions import shapes
from mdnnp.potentials.hdnnp.functions.tables import COMPACT_KINDS
from mdnnp.potentials.hdnnp.networks import ACTIVATIONS, Network, build_layers, make_network_scratch, mean_network
from mdnnp.potentials.hdnnp.networks import network_gradient as network_gradient_kernel


@njit
def evaluate_envelope(kind, low, high, r, n, f, slope, y, dx):
    shapes.evaluate_envelope(kind, low, high, r, n, f, slope, y, dx)


@njit
def evaluate_angle(kind, a, b, n, c, value, derivative, y, dx, core):
    shapes.evaluate_angle(kind, a, b, n, c, value, derivative, y, dx, core)


@njit
def network_gradient(e, layers, inputs, scratch, gradient):
    return network_gradient_kernel(e, layers, inputs, scratch, gradient)


CORES = {
    "p1": lambda x: (2 * x - 3) * x**2 + 1,
    "p2": lambda x: ((15 - 6 * x) * x - 10) * x**3 + 1,
    "p3": lambda x: (x * (x * (20 * x - 70) + 84) - 35) * x**4 + 1,
    "p4": lambda x: (x * (x * ((315 - 70 * x) * x - 540) + 420) - 126) * x**5 + 1,
    "e": lambda x: np.exp(1 - 1 / (1 - x**2)),
}
CUTOFFS = {
    0: np.ones_like,
    1: lambda x: 0.5 * (np.cos(np.pi * x) + 1),
    4: CORES["e"],
    5: CORES["p1"],
    6: CORES["p2"],
    7: CORES["p3"],
    8: CORES["p4"],
}


def envelope(kind, low, high, r):
    f, slope = np.empty_like(r), np.empty_like(r)
    evaluate_envelope(kind, low, high, r, len(r), f, slope, np.empty_like(r), np.empty_like(r))
    return f, slope


def reference_envelope(kind, low, high, r):
    if kind in (2, 3):
        f = np.tanh(1 - r / high) ** 3 / (1.0 if kind == 2 else np.tanh(1.0) ** 3)
        return np.where(r < high, f, 0.0)
    if kind in CUTOFFS:
        with np.errstate(divide="ignore"):
            f = CUTOFFS[kind](np.clip((r - low) / (high - low), 0.0, 1.0))
        return np.where(r < high, f, 0.0)
    name = next(name for name, code in COMPACT_KINDS.items() if code == kind)
    x = np.abs(r - 0.5 * (low + high)) / (0.5 * (high - low))
    inside = x < 1
    x = np.where(inside, x, 0.0)
    if name.endswith("a"):
        x = (2 - x) * x
    return np.where(inside, CORES[name.rstrip("a")](x), 0.0)


@pytest.mark.parametrize(
    ("kind", "low"),
    [(k, low) for k in range(18) for low in (0.0, 1.3, -6.2) if low >= 0 or k >= min(COMPACT_KINDS.values())],
)
def test_envelope(kind, low):
    high = 6.2
    r = np.concatenate([np.linspace(0.05, 6.5, 1001), high - np.logspace(-14, 0, 50), [high, low + 1e-9, abs(low)]])
    f, slope = envelope(kind, low, high, r)
    assert np.allclose(f, reference_envelope(kind, low, high, r), rtol=1e-11, atol=1e-13)
    assert np.isfinite(slope).all()
    assert np.all(f[r >= high] == 0.0)
    # the slope is that of ln f: compare f' with a central difference away from the ends
    r = np.linspace(max(low, 0.1) + 0.1, high - 0.1, 200)
    r = r[np.abs(r - 0.5 * (low + high)) > 0.01]
    h = 1e-5
    f, slope = envelope(kind, low, high, r)
    difference = (
        8 * (envelope(kind, low, high, r + h)[0] - envelope(kind, low, high, r - h)[0])
        - (envelope(kind, low, high, r + 2 * h)[0] - envelope(kind, low, high, r - 2 * h)[0])
    ) / (12 * h)
    assert np.allclose(f * slope, difference, rtol=0, atol=2e-10)


@pytest.mark.parametrize("lam", [1.0, -1.0, 0.5, 2.0])
@pytest.mark.parametrize("zeta", [1.0, 2.0, 3.0, 4.0, 7.0, 16.0, 64.0, 1.5, 0.5, 17.3])
def test_polynomial_angle(lam, zeta):
    c = np.linspace(-1, 1, 1001)
    value, derivative = np.empty_like(c), np.empty_like(c)
    evaluate_angle(-1, lam, zeta, len(c), c, value, derivative, *(np.empty_like(c) for _ in range(3)))
    base = np.maximum(1 + lam * c, 0.0)
    inside = base > 0
    assert np.allclose(value, np.where(inside, base**zeta, 0.0), rtol=1e-12, atol=0)
    expected = np.where(inside, lam * zeta * np.where(inside, base, 1.0) ** (zeta - 1), 0.0)
    assert np.allclose(derivative, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("core", ["p1", "p2", "p3", "p4", "e"])
@pytest.mark.parametrize(("low", "high"), [(20.0, 160.0), (60.0, 300.0), (-50.0, 50.0)])
def test_compact_angle(core, low, high):
    def evaluate(theta):
        c = np.cos(theta)
        value, derivative = np.empty_like(c), np.empty_like(c)
        middle, half = np.radians(0.5 * (low + high)), np.radians(0.5 * (high - low))
        kind = COMPACT_KINDS[core]
        evaluate_angle(kind, middle, 1 / half, len(c), c, value, derivative, *(np.empty_like(c) for _ in range(3)))
        return value, -derivative * np.sin(theta)

    theta = np.radians(np.linspace(1.0, 179.0, 713))
    x = np.abs(np.degrees(theta) - 0.5 * (low + high)) / (0.5 * (high - low))
    value, slope = evaluate(theta)
    assert np.allclose(value, np.where(x < 1, CORES[core](np.minimum(x, 0.9999999)), 0.0), atol=1e-13)
    h = 1e-5
    smooth = (np.abs(x - 1) > 0.02) & (x > 0.02)
    assert np.allclose(slope[smooth], ((evaluate(theta + h)[0] - evaluate(theta - h)[0]) / (2 * h))[smooth], atol=1e-8)


def random_network(activations, normalize, rng, sizes=(7, 9, 5)):
    n = [*sizes, 1]
    weights = tuple(rng.normal(size=(a, b)) for a, b in itertools.pairwise(n))
    biases = tuple(rng.normal(size=b) for b in n[1:])
    return Network(weights, biases, activations, normalize)


@pytest.mark.parametrize("letter", ACTIVATIONS)
@pytest.mark.parametrize("normalize", [False, True])
def test_network_in_kernel_equals_numpy_and_differences(letter, normalize):
    rng = np.random.default_rng(3)
    networks = [
        random_network(f"t{letter}l", normalize, rng),
        random_network(f"{letter}tl", normalize, rng, (4, 3, 11)),
    ]
    layers = build_layers(networks)
    for e, network in enumerate(networks):
        x = rng.normal(size=(20, network.weights[0].shape[0]))
        value, gradient = network.gradient(x)
        assert np.allclose(network.forward(x), value, rtol=1e-14)
        scratch = make_network_scratch(layers)
        for atom in range(len(x)):
            own = np.empty(x.shape[1])
            output = network_gradient(e, layers, x[atom], scratch, own)
            assert abs(output - value[atom]) <= 1e-13 * max(1.0, abs(value[atom]))
            assert np.abs(own - gradient[atom]).max() <= 1e-13 * max(1.0, np.abs(gradient[atom]).max())
        h = 1e-5
        for k in range(x.shape[1]):
            step = h * np.eye(x.shape[1])[k]
            difference = (network.forward(x + step) - network.forward(x - step)) / (2 * h)
            # ReLU has a corner: a step across it is allowed to differ
            ok = np.abs(difference - gradient[:, k]) <= 1e-8 * np.maximum(1.0, np.abs(gradient).max())
            assert ok.mean() > (0.9 if letter == "r" else 0.999)


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3), (4, 3, 2)])
def test_the_mean_of_networks_is_one_network(hidden):
    rng = np.random.default_rng(2)
    sizes = (5, *hidden, 1)
    networks = [
        Network(
            tuple(rng.standard_normal((a, b)) for a, b in itertools.pairwise(sizes)),
            tuple(rng.standard_normal(b) for b in sizes[1:]),
            "t" * len(hidden) + "l",
        )
        for _ in range(3)
    ]
    x = rng.standard_normal((7, 5))
    mean = mean_network(networks)
    energies, gradients = zip(*(n.gradient(x) for n in networks), strict=True)
    assert np.allclose(mean.forward(x), np.mean(energies, axis=0), rtol=0, atol=1e-14)
    assert np.allclose(mean.gradient(x)[1], np.mean(gradients, axis=0), rtol=0, atol=1e-13)
    assert [w.shape[1] for w in mean.weights] == [3 * h for h in hidden] + [1]


@pytest.mark.parametrize("hidden", [(), (9,), (20, 20), (3, 17, 9)])
def test_the_mean_of_networks_runs_as_its_members(hidden):
    rng = np.random.default_rng(8)
    activations = "t" * len(hidden) + "l"
    network = mean_network([random_network(activations, False, rng, (7, *hidden)) for _ in range(4)])
    layers = build_layers([network])
    inner = layers.layer[1:-1]  # between hidden layers no weight connects two members
    assert all(layer["block_end"] - layer["block_first"] == 4 for layer in inner)
    assert all(
        layers.block["n_in"][row] == n
        for layer, n in zip(inner, hidden, strict=False)
        for row in range(layer["block_first"], layer["block_end"])
    )
    scratch, x = make_network_scratch(layers), rng.normal(size=(5, 7))
    value, gradient = network.gradient(x)
    for atom in range(len(x)):
        own = np.empty(7)
        assert network_gradient(0, layers, x[atom], scratch, own) == pytest.approx(value[atom], rel=1e-13)
        assert np.abs(own - gradient[atom]).max() <= 1e-13 * np.abs(gradient).max()


def test_blocks_of_weights_without_order_or_entries():
    rng = np.random.default_rng(4)
    for holes in ([], [0], [3, 4], range(6)):
        weights = np.zeros((6, 5))
        weights[[0, 1, 2, 3, 5], [1, 0, 2, 4, 3]] = rng.normal(size=5)
        weights[list(holes)] = 0.0
        network = Network((weights, rng.normal(size=(5, 1))), (rng.normal(size=5), np.zeros(1)), "tl")
        layers, x, own = build_layers([network]), rng.normal(size=6), np.empty(6)
        value, gradient = network.gradient(x[None])
        assert network_gradient(0, layers, x, make_network_scratch(layers), own) == pytest.approx(value[0], rel=1e-13)
        assert np.allclose(own, gradient[0], rtol=1e-13, atol=1e-15)
