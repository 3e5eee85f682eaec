"""Choosing functions from a pool: against explicit least squares, planted models and held-out structures."""

import numpy as np
import pytest
from labelled import make_labelled
from places import SILICON
from reference_data import there

from mdnnp.base.errors import InputError
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import cost, default_functions, pool
from mdnnp.training.dataset import read_labelled
from mdnnp.training.selection import METHODS, choose_functions, sample, select_functions

SMALL = default_functions(["Mg", "O"], 4.0, radial=6, angular=3, max_zeta=3)


def rows(structures, functions):
    """Energies per atom and forces of linear models: explicit matrices, the constants first; and the labels."""
    descriptors = Descriptors(functions)
    energy, force, e_label, f_label = [], [], [], []
    for s in structures:
        own = [descriptors.summed_gradient(s.system, symbol) for symbol in descriptors.elements]
        counts = [np.mean(s.system.numbers == z) for z in descriptors.numbers]
        energy.append(np.concatenate([counts, *(values.sum(axis=0) / len(s.system) for values, _ in own)]))
        gradient = np.concatenate([g for _, g in own], axis=2).reshape(3 * len(s.system), -1)
        force.append(np.concatenate([np.zeros((len(gradient), len(counts))), -gradient], axis=1))
        e_label.append(s.energy_eV / len(s.system))
        f_label.append(s.forces.ravel())
    return np.array(energy), np.concatenate(force), np.array(e_label), np.concatenate(f_label)


def relabelled(structures, functions, coefficients):
    """The structures with labels of a linear model of `functions`."""
    out = []
    for s in structures:
        energy, force, _, _ = rows([s], functions)
        weights = np.concatenate([[-5.0, -7.0], coefficients])
        forces = (force @ weights).reshape(-1, 3)
        out.append(type(s)(s.system, float(energy[0] @ weights) * len(s.system), forces, None, s.config_type, s.name))
    return out


@pytest.fixture(scope="module")
def structures():
    return make_labelled(12)


def test_unexplained_share_is_that_of_least_squares(structures):
    """Energies and forces, each over its own sum of squares (of energies: less constants), fitted with lstsq."""
    selection = select_functions(structures, SMALL, 5)
    energy, force, e_label, f_label = rows(structures, SMALL)
    constants = energy[:, :2]
    rest = e_label - constants @ np.linalg.lstsq(constants, e_label, rcond=None)[0]
    scale = 1 / np.linalg.norm(rest), 1 / np.linalg.norm(f_label)
    matrix = np.concatenate([energy * scale[0], force * scale[1]])
    label = np.concatenate([e_label * scale[0], f_label * scale[1]])
    place = {f: k + 2 for k, f in enumerate(f for own in SMALL.values() for f in own)}
    columns = [0, 1]
    for (_, f), share in zip(selection.order, selection.unexplained, strict=True):
        columns.append(place[f])
        scaled = matrix[:, columns] / np.linalg.norm(matrix[:, columns], axis=0)
        left = label - scaled @ np.linalg.lstsq(scaled, label, rcond=None)[0]
        assert share == pytest.approx(left @ left / 2, rel=1e-6)


def test_each_choice_is_the_best_next_one(structures):
    """Without a discount the second function is that which, with the first, leaves the least."""
    selection = select_functions(structures, SMALL, 5, sharing=1.0)
    (symbol, first), (_, second) = selection.order[:2]
    shares = {}
    for f in [f for own in SMALL.values() for f in own if f != first]:
        pair = {s: tuple(g for g in (first, f) if g.center == s) for s in SMALL}
        if not all(pair.values()):  # each element needs a function for the tables; one that is flat changes nothing
            other = next(s for s in SMALL if s != symbol)
            pair[other] = (SymmetryFunction(other, 2, (symbol,), 0.1, eta=1.0),)
        energy, force, e_label, f_label = rows(structures, pair)
        rest = e_label - energy[:, :2] @ np.linalg.lstsq(energy[:, :2], e_label, rcond=None)[0]
        scale = 1 / np.linalg.norm(rest), 1 / np.linalg.norm(f_label)
        matrix = np.concatenate([energy * scale[0], force * scale[1]])
        label = np.concatenate([e_label * scale[0], f_label * scale[1]])
        left = label - matrix @ np.linalg.lstsq(matrix, label, rcond=None)[0]
        shares[f] = left @ left / 2
    assert shares[second] == pytest.approx(min(shares.values()), rel=1e-9)
    assert selection.unexplained[1] == pytest.approx(shares[second], rel=1e-6)


def test_a_planted_model_is_found(structures):
    planted = {"O": (SMALL["O"][3], SMALL["O"][14]), "Mg": (SMALL["Mg"][9],)}
    exact = relabelled(structures, planted, [0.8, -1.7, 2.0])
    selection = select_functions(exact, SMALL, {"O": 6, "Mg": 6}, sharing=1.0)
    assert {*planted["O"], *planted["Mg"]} <= {f for _, f in selection.order}
    assert selection.unexplained[-1] < 1e-10
    assert selection.unexplained[1] > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_the_same_choice_whatever_the_order_of_the_structures(structures, method):
    one = select_functions(structures, SMALL, 7, method=method)
    other = select_functions(structures[::-1], SMALL, 7, method=method)
    assert one.functions == other.functions and one.order == other.order
    assert all(len(own) == 7 for own in one.functions.values())
    assert all(list(own) == sorted(own, key=SymmetryFunction.sort_key) for own in one.functions.values())
    assert {f.center for f in one.functions["O"]} == {"O"}


def test_spread_is_explained_as_by_projection(structures):
    selection = select_functions(structures, SMALL, 6, method="spread")
    g = {s: np.concatenate([Descriptors(SMALL).values(x.system)[s] for x in structures]) for s in SMALL}
    left = 0.0
    for symbol, own in g.items():
        scaled = (own - own.mean(0)) / own.std(0)
        chosen = scaled[:, [SMALL[symbol].index(f) for f in selection.functions[symbol]]]
        rest = scaled - chosen @ np.linalg.lstsq(chosen, scaled, rcond=None)[0]
        left += np.sum(rest**2) / len(own)
    assert selection.unexplained[-1] == pytest.approx(left / sum(map(len, SMALL.values())), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_flat_and_repeated_functions_are_left_out(structures, method):
    flat = SymmetryFunction("O", 2, ("Mg",), 4.0, eta=40.0, rs=0.1)  # no neighbour is so near
    twin = SMALL["O"][0]
    close = SymmetryFunction("O", 2, twin.neighbors, 4.0, eta=twin.eta * (1 + 1e-9), rs=twin.rs)
    own = tuple(sorted((*SMALL["O"], flat, close), key=SymmetryFunction.sort_key))
    n = 12
    selection = select_functions(structures, {"O": own, "Mg": SMALL["Mg"]}, {"O": n, "Mg": 1}, method=method)
    assert selection.flat == {"O": (flat,), "Mg": ()}
    assert flat not in selection.functions["O"]
    assert not {twin, close} <= set(selection.functions["O"])


def test_a_discount_saves_moments(structures):
    candidates = pool(["Mg", "O"], 4.0, max_zeta=3)
    costs = [
        sum(cost(own).moments for own in select_functions(structures, candidates, 16, sharing=s).functions.values())
        for s in (1.0, 0.2)
    ]
    assert costs[1] < 0.7 * costs[0]


@pytest.mark.parametrize("file", [SILICON / "silicon.xyz", *there("data/mlearn/Si_train.xyz")], ids=lambda f: f.stem)
def test_silicon_labels_choose_better_than_values_alone(file):
    """Held-out forces of a linear model of 16 functions: chosen by labels, by farthest-point sampling, by CUR."""
    structures = read_labelled(file)[::7]
    held_out, known = structures[::3], [s for k, s in enumerate(structures) if k % 3]
    candidates = pool(["Si"], 5.0, max_zeta=3)
    error = {}
    for method in ("labels", "spread", "cur", "farthest"):
        chosen = select_functions(known, candidates, 16, method=method, max_atoms=800).functions
        _, force, _, label = rows(known, chosen)
        fit = np.linalg.lstsq(force[:, 1:], label, rcond=None)[0]
        _, force, _, label = rows(held_out, chosen)
        error[method] = np.sqrt(np.mean((force[:, 1:] @ fit - label) ** 2))
    assert error["labels"] < 0.9 * min(error["cur"], error["farthest"])
    assert error["labels"] < error["spread"]


def test_choose_functions_takes_elements_and_pool_from_the_structures(structures):
    chosen = choose_functions(structures[:4], 4.0, 5, max_zeta=2)
    assert {s: len(own) for s, own in chosen.items()} == {"O": 5, "Mg": 5}
    assert {f.cutoff for own in chosen.values() for f in own} == {4.0}
    assert all({f.zeta for f in own if f.type == 9} <= {1.0, 2.0} for own in chosen.values())


def test_without_labels_the_values_decide(structures):
    bare = [type(s)(s.system, name=s.name) for s in structures[:5]]
    assert select_functions(bare, SMALL, 4).order == select_functions(structures[:5], SMALL, 4, method="spread").order
    only_energies = [type(s)(s.system, s.energy_eV, name=s.name) for s in structures]
    assert len(select_functions(only_energies, SMALL, 4).functions["O"]) == 4


def test_sample_takes_of_every_kind(structures):
    chosen = sample(structures, 50)
    assert len(chosen) == 6 and {s.config_type for s in chosen} == {s.config_type for s in structures}
    assert sample(structures, 10**6) == list(structures)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_functions": 0}, "0 functions of O cannot be chosen from"),
        ({"n_functions": 10**6}, "cannot be chosen from"),
        ({"n_functions": {"O": 3}}, "are given for O; the elements are O, Mg"),
        ({"method": "best"}, "expected one of labels, spread, cur, farthest, found 'best'"),
        ({"sharing": 0.0}, "sharing must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(structures, settings, words):
    with pytest.raises(InputError, match=words):
        select_functions(structures[:2], SMALL, **{"n_functions": 3} | settings)


def test_labels_are_asked_for(structures):
    bare = [type(s)(s.system, name=s.name) for s in structures[:2]]
    with pytest.raises(InputError, match="no structure has energies or forces"):
        select_functions(bare, SMALL, 3, method="labels")
