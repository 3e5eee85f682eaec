"""Wide angular functions as products of moments equal the sum over pairs of neighbours."""

import itertools

import numpy as np
import pytest
from reference_data import REAL

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import make_system
from mdnnp.command.benchmark.water import water_box, water_model
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.functions.tables import MAX_MOMENT_ZETA, build_tables
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.load import load_potential


def pair_by_pair(potential: HDNNP) -> HDNNP:
    """The same potential with its wide functions summed over pairs."""
    model = potential.model
    other = HDNNP(model)
    functions = [part.functions for part in model.elements.values()]
    length = other.cutoff / max(f.cutoff for own in functions for f in own)
    other._tables = build_tables(
        functions, potential.elements, model.cutoff_type, model.cutoff_alpha, length, moments=False
    )
    assert len(other._tables.wide.function) == 0 < len(potential._tables.wide.function)
    return other


def every_wide_function(cutoff_type: int) -> HDNNP:
    """Hydrogen and oxygen with every zeta that is done by moments, several lambda, eta, rs and cutoffs."""
    elements = {}
    for center in ("H", "O"):
        functions = [SymmetryFunction(center, 2, ("O",), 4.5, eta=0.3)]
        for zeta, lam, pair in itertools.product(
            range(1, MAX_MOMENT_ZETA + 1), (-1.0, 1.0, 0.5), (("H", "H"), ("H", "O"), ("O", "O"))
        ):
            cutoff = 4.5 if zeta % 2 else 3.9
            functions.append(
                SymmetryFunction(center, 9, pair, cutoff, eta=0.01 * zeta, rs=0.3, lam=lam, zeta=float(zeta))
            )
        functions.append(SymmetryFunction(center, 9, ("H", "O"), 4.5, eta=0.1, lam=-1.0, zeta=2.5))  # no moments
        functions.sort(key=SymmetryFunction.sort_key)
        n = len(functions)
        scaling = np.tile([0.0, 1.0, 0.5, 0.1], (n, 1))
        network = Network((np.zeros((n, 1)),), (np.zeros(1),), "l")
        elements[center] = ElementModel(tuple(functions), scaling, network)
    return HDNNP(HDNNPModel(elements, cutoff_type, 0.0, "none", "Angstrom", "eV"))


@pytest.mark.parametrize("cutoff_type", [0, 1, 2, 6])
@pytest.mark.parametrize("side", [3.1, 7.0])
def test_every_zeta(cutoff_type, side):
    rng = np.random.default_rng(0)
    n = 4 if side < 5 else 40
    cell = side * np.array([[1.0, 0, 0], [0.2, 0.9, 0], [-0.1, 0.3, 1.1]])
    system = make_system(rng.uniform(size=(n, 3)) @ cell, rng.choice([1, 8], n), cell, True)
    potential = every_wide_function(cutoff_type)
    other = pair_by_pair(potential)
    neighbors = VerletList(potential.cutoff, 0.4).update(system)
    by_moments, by_pairs = potential.descriptors(system, neighbors), other.descriptors(system, neighbors)
    # (1 + lambda c)^zeta reaches 2^zeta, and what lambda = -1 leaves is small beside the terms that cancel
    size = np.abs(by_pairs).max()
    assert np.abs(by_moments - by_pairs).max() <= 1e-12 * size
    gradients = rng.normal(size=by_pairs.shape)
    results = [p.pull_back(system, neighbors, gradients, np.zeros(n), atomic_virials=True) for p in (potential, other)]
    for a, b in zip(results[0][2:5], results[1][2:5], strict=True):
        assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max()


@pytest.mark.parametrize("name", ["made here", *(name for name in REAL if name.startswith("Cu2S"))])
def test_whole_potential(name):
    if name in REAL:
        path, *units = REAL[name]
        potential, system = load_potential(path, *units), read_structures(path / "input.data", "0", *units)[0].system
    else:
        potential, system = HDNNP(water_model(wide=True)), water_box()
    one, two = potential.compute(system), pair_by_pair(potential).compute(system)
    assert np.abs(one.atomic_energies - two.atomic_energies).max() <= 1e-12 * np.abs(two.atomic_energies).max()
    assert np.abs(one.forces - two.forces).max() <= 1e-12 * np.abs(two.forces).max()
