"""Generated sets of symmetry functions: complete, independent, writable, and of the cost that is claimed."""

import math

import numpy as np
import pytest

from mdnnp.atoms.system import make_system
from mdnnp.base.errors import InputError
from mdnnp.potentials.hdnnp.files import read_potential, write_potential
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import KINDS, cost, default_functions, independent_angles, pool
from mdnnp.potentials.hdnnp.functions.tables import build_tables
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network


@pytest.mark.parametrize("max_zeta", range(1, 9))
def test_angles_of_a_channel_span_the_polynomials_of_their_degree(max_zeta):
    cosine = np.linspace(-1, 1, 200)

    def rank(angles):
        return np.linalg.matrix_rank(np.array([((1 + lam * cosine) / 2) ** zeta for zeta, lam in angles]), 1e-9)

    everything = [(zeta, lam) for zeta in range(1, max_zeta + 1) for lam in (1, -1)]
    chosen = independent_angles(max_zeta)
    assert len(chosen) == rank(chosen) == max_zeta + 1
    assert rank(everything) == min(len(everything), max_zeta + 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [default_functions, pool])
def test_sets_read_back_from_n2p2_files(tmp_path, kind, make):
    sets = make(["O", "H"], 6.0, kind=kind)
    assert list(sets) == ["H", "O"]
    elements = {}
    for symbol, own in sets.items():
        assert len(set(own)) == len(own)
        assert {f.center for f in own} == {symbol}
        n = len(own)
        network = Network((np.ones((n, 1)), np.ones((1, 1))), (np.zeros(1), np.zeros(1)), "tl")
        scaling = np.tile([0.0, 1.0, 0.5, 0.2], (n, 1))
        elements[symbol] = ElementModel(own, scaling, network)
    write_potential(HDNNPModel(elements, 6, 0.0, "center", "Angstrom", "eV"), tmp_path / "potential")
    again = read_potential(tmp_path / "potential")
    assert {symbol: part.functions for symbol, part in again.elements.items()} == sets  # order included


@pytest.mark.parametrize("kind", KINDS)
def test_every_distance_and_every_angle_is_seen(kind):
    descriptors = Descriptors(default_functions(["Si"], 5.0, kind=kind))
    radial = [k for k, f in enumerate(descriptors.functions["Si"]) if f.type in (2, 20)]
    for r in np.linspace(1.7, 4.4, 20):
        dimer = make_system([[0, 0, 0], [r, 0, 0]], [14, 14])
        assert np.abs(descriptors.jacobian(dimer, "Si").gradients[:, :, radial]).max() > 0.05
    # Narrow functions hardly see neighbours of the centre that are far from each other.
    for theta in np.radians(np.linspace(20, 120 if kind == "narrow" else 160, 15)):
        trimer = make_system([[0, 0, 0], [2.4, 0, 0], [2.4 * math.cos(theta), 2.4 * math.sin(theta), 0]], [14, 14, 14])
        jacobian = descriptors.jacobian(trimer, "Si")
        assert np.abs(np.delete(jacobian.gradients[:2], radial, axis=2)[:, 1]).max() > 0.01  # across the bond


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("elements", [["Si"], ["H", "O"]])
def test_cost_counts_what_the_kernels_walk_through(kind, elements):
    for sets in (default_functions(elements, 6.0, kind=kind), pool(elements, 6.0, kind=kind, max_zeta=3)):
        tables = build_tables(list(sets.values()), elements, 6, 0.0)
        costs = [cost(own) for own in sets.values()]
        assert sum(c.functions for c in costs) == tables.function_first[-1]
        assert sum(c.radial for c in costs) == tables.radial.term.size
        assert sum(c.moment_sets for c in costs) == tables.wide.set.size
        assert sum(c.moments for c in costs) == sum((p + 1) ** 2 for p in tables.wide.set["degree"])
        assert sum(c.windows for c in costs) == tables.triplets.channel.size
        assert sum(c.pair_functions for c in costs) == tables.triplets.term.size


def test_cost_grows_with_channels_and_not_with_angles():
    few = cost(default_functions(["Si"], 5.0, max_zeta=4, angular=4)["Si"])
    same = cost(pool_of_angles := [f for f in pool(["Si"], 5.0)["Si"] if f.type == 9 and f.rs == 0.0][:8])
    assert few.moments == 4 * 25
    assert same.moment_sets == 1 and len(pool_of_angles) == 8
    narrow = cost(default_functions(["Si"], 5.0, kind="narrow")["Si"])
    assert narrow.operations(40) > 2 * few.operations(40)
    assert narrow.operations(80) / narrow.operations(40) > 3.5
    assert few.operations(80) == pytest.approx(2 * few.operations(40))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"elements": []}, "none given"),
        ({"elements": ["Xx"]}, "'Xx' is no chemical element"),
        ({"cutoff_A": -1.0}, "cutoff_A must be a positive number, found -1"),
        ({"cutoff_A": 2e20}, "cutoff_A must be at most 100, found 2e\\+20"),
        ({"cutoff_A": float("nan")}, "found nan"),
        ({"cutoff_A": 1.0}, "too short for Si"),
        ({"radial": 0}, "radial must be at least 1"),
        ({"max_zeta": 0}, "max_zeta must be at least 1"),
        ({"kind": "round"}, "expected one of wide, narrow, compact, found 'round'"),
    ],
)
def test_settings_that_make_no_set_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        default_functions(**{"elements": ["Si"], "cutoff_A": 5.0} | settings)


def test_settings_mean_what_they_say():
    own = default_functions(["H", "O"], 6.0, radial=5, angular=3, max_zeta=2)["O"]
    radial = [f for f in own if f.type == 2]
    assert len(radial) == 2 * 5 and len(own) - len(radial) == 3 * 3 * 3
    assert {f.zeta for f in own if f.type == 9} == {1.0, 2.0}
    assert {f.cutoff for f in own} == {6.0}
    assert list(own) == sorted(own, key=SymmetryFunction.sort_key)
    assert [f for f in default_functions(["Si"], 5.0, angular=0)["Si"] if f.type != 2] == []
