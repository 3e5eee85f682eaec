"""Symmetry functions and their derivatives without a potential."""

import numpy as np
import pytest
from systems import moved

from mdnnp.atoms.system import make_system
from mdnnp.base.errors import InputError
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import default_functions
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.hdnnp.potential import HDNNP

WEIGHTED = {
    symbol: (
        SymmetryFunction(symbol, 12, (), 4.5, eta=0.3, rs=1.0),
        SymmetryFunction(symbol, 13, (), 4.5, eta=0.1, lam=1.0, zeta=2.0),
        SymmetryFunction(symbol, 24, (), 4.0, rl=0.0, theta_l=20.0, theta_r=150.0, subtype="p2"),
    )
    for symbol in ("O", "Mg")
}
SETS = [default_functions(["Mg", "O"], 4.5, radial=3, angular=2, kind=kind) for kind in ("wide", "narrow", "compact")]
SETS.append(WEIGHTED)


@pytest.fixture(scope="module")
def system():
    rng = np.random.default_rng(5)
    return make_system(rng.uniform(0, 1, (9, 3)) * 5.5, [8, 12, 8, 8, 12, 12, 8, 12, 8], [5.5, 5.5, 5.5], True)


@pytest.mark.parametrize("functions", SETS)
def test_values_are_those_of_a_potential_with_these_functions(system, functions):
    elements = {}
    for symbol in ("O", "Mg"):
        own = tuple(sorted(functions[symbol], key=SymmetryFunction.sort_key))
        network = Network((np.ones((len(own), 1)), np.ones((1, 1))), (np.zeros(1), np.zeros(1)), "tl")
        elements[symbol] = ElementModel(own, np.tile([0.0, 1.0, 0.5, 0.2], (len(own), 1)), network)
    potential = HDNNP(HDNNPModel(elements, 6, 0.0, "center", "Angstrom", "eV"))
    expected = potential.descriptors(system)
    values = Descriptors({s: part.functions for s, part in elements.items()}).values(system)
    for symbol, z in (("O", 8), ("Mg", 12)):
        np.testing.assert_allclose(values[symbol], expected[system.numbers == z], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("functions", SETS)
@pytest.mark.parametrize("symbol", ["O", "Mg"])
def test_derivatives_are_finite_differences(system, functions, symbol):
    descriptors = Descriptors(functions)
    weights = np.random.default_rng(2).normal(size=len(system))
    values, gradient = descriptors.summed_gradient(system, symbol, weights=weights)
    own = weights[system.numbers == (8 if symbol == "O" else 12)]
    np.testing.assert_array_equal(values, descriptors.jacobian(system, symbol).values)
    np.testing.assert_allclose(values, descriptors.values(system)[symbol], rtol=1e-13, atol=1e-15)
    h = 1e-4
    for atom, axis in ((0, 0), (1, 1), (4, 2), (8, 0)):
        up, down = (own @ descriptors.values(moved(system, atom, axis, sign * h))[symbol] for sign in (1, -1))
        np.testing.assert_allclose(gradient[atom, axis], (up - down) / (2 * h), rtol=1e-5, atol=2e-6)


def test_jacobian_sums_to_the_summed_gradient(system):
    descriptors = Descriptors(SETS[0])
    edges = descriptors.edges(system)
    jacobian = descriptors.jacobian(system, "O", edges)
    total = np.zeros((len(system), 3, jacobian.values.shape[1]))
    np.add.at(total, edges.j[jacobian.edge], jacobian.gradients)
    np.subtract.at(total, edges.i[jacobian.edge], jacobian.gradients)
    np.testing.assert_allclose(descriptors.summed_gradient(system, "O", edges)[1], total, atol=1e-12)
    assert set(edges.i[jacobian.edge]) == set(jacobian.centers) == set(np.flatnonzero(system.numbers == 8))


def test_atoms_without_neighbours_have_no_values():
    descriptors = Descriptors(default_functions(["Si"], 5.0))
    alone = make_system([[0, 0, 0], [20, 0, 0]], [14, 14])
    assert not descriptors.values(alone)["Si"].any()
    assert descriptors.jacobian(alone, "Si").gradients.shape == (0, 3, 30)


def test_what_cannot_be_evaluated_is_refused(system):
    with pytest.raises(InputError, match="no functions for Mg"):
        Descriptors(default_functions(["O"], 4.5)).values(system)
    with pytest.raises(InputError, match="have Mg as a neighbour, but there are none for Mg"):
        Descriptors({"O": SETS[0]["O"]})
    with pytest.raises(InputError, match="there are no symmetry functions"):
        Descriptors({})


def test_lonely_atoms_have_no_functions(tmp_path, capsys):
    from mdnnp.command.cli import main

    (tmp_path / "one.xyz").write_text("1\n\nSi 0 0 0\n")
    assert main(["descriptors", str(tmp_path / "one.xyz"), "--cutoff", "5"]) == 2
    assert "no atom there has a neighbour" in capsys.readouterr().err
