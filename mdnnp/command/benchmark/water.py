"""A box of water and a neural network potential for it, both made here: what the benchmark runs without any files.

The potential has the shape of published ones for water (27 functions for H, 30 for O, two hidden layers of 25 nodes)
and so their cost, but is of no use for chemistry: its weights are random, but for one node per layer that adds up
Gaussians of the distances. These hold the molecules together and apart, so that a run at 300 K stays a liquid.
"""

from itertools import pairwise

import numpy as np
from ase.data import atomic_masses

from mdnnp.atoms.system import System, make_system
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.hdnnp.potential import HDNNP

CUTOFF_BOHR = 12.0
VOLUME_A3 = 32.5  # of a molecule: 0.0923 atoms/Å^3, with which an atom has 96 neighbours within the cutoff
BOND_A, ANGLE = 0.96, np.radians(104.5)
NODES, SEED = 25, 20240229
_RANDOM_EV = 0.002  # weight of the random nodes in the energy of an atom
_SMALL = 0.01  # 1/eV: the sum of Gaussians enters the networks times this, where tanh is nearly linear

# eta in 1/bohr^2 and shift in bohr of the radial functions, by centre and neighbour
_WIDE = [(0.002, 0.0), (0.008, 0.0), (0.025, 0.0), (0.07, 0.0)]
_RADIAL = {
    ("H", "H"): [*_WIDE, (0.16, 0.0), (0.35, 2.0), (0.7, 2.0), (3.0, 2.69)],
    ("H", "O"): [*_WIDE, (0.16, 0.0), (0.35, 1.0), (0.7, 1.0), (3.0, 1.79)],
    ("O", "H"): [*_WIDE, (0.16, 1.0), (0.35, 1.0), (0.7, 1.0), (1.6, 1.0)],
    ("O", "O"): [*_WIDE, (0.16, 3.5), (0.35, 3.5), (0.7, 3.5), (1.6, 3.5)],
}
# eV of a radial function in the energy of the centre, by eta; the others are there for their cost alone
_GAUSSIANS_EV: dict[tuple, float] = {
    ("H", "H", 0.16): 4.0,
    ("H", "H", 3.0): -1.0,
    ("H", "O", 0.16): 4.0,
    ("H", "O", 3.0): -8.0,
    ("O", "O", 0.16): 10.0,
}
# eta in 1/bohr^2, lambda, zeta of the angular functions, by centre and neighbours
_ANGULAR = {
    ("H", "H", "O"): [
        (0.18, 1, 1),
        *((e, s, 1) for e in (0.08, 0.025) for s in (1, -1)),
        (0.012, 1, 4),
        (0.012, -1, 4),
    ],
    ("H", "O", "O"): [(0.025, 1, 1), (0.025, -1, 1), (0.002, 1, 4), (0.002, -1, 4)],
    ("O", "H", "H"): [*((e, s, 1) for e in (0.08, 0.025) for s in (1, -1)), (0.012, 1, 4), (0.012, -1, 4)],
    ("O", "H", "O"): [(0.025, 1, 1), (0.025, -1, 1), (0.002, 1, 4), (0.002, -1, 4)],
    ("O", "O", "O"): [(0.025, 1, 1), (0.025, -1, 1), (0.002, 1, 4), (0.002, -1, 4)],
}


def water_box(repeats: tuple[int, int, int] = (5, 6, 6)) -> System:
    """Water molecules in random orientation on a body-centred lattice of `repeats` cells, two molecules each.

    By default 1,080 atoms in 20.1 x 24.1 x 24.1 Å; oxygen first in each molecule.
    """
    edge = (2 * VOLUME_A3) ** (1 / 3)
    cells = np.ascontiguousarray(np.indices(repeats).reshape(3, -1).T, dtype=np.float64)
    centers = np.concatenate([cells + 0.25, cells + 0.75]) * edge
    half = 0.5 * ANGLE
    molecule = BOND_A * np.array([[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    rng = np.random.default_rng(SEED)
    # Columns of an orthogonal matrix of Gaussian numbers, with signs fixed, are uniform rotations (and reflections,
    # which a molecule with a mirror plane does not notice).
    turns, upper = np.linalg.qr(rng.standard_normal((len(centers), 3, 3)))
    turns *= np.sign(np.diagonal(upper, axis1=1, axis2=2))[:, None, :]
    positions = centers[:, None, :] + molecule @ turns.transpose(0, 2, 1)
    return make_system(positions.reshape(-1, 3), np.tile([8, 1, 1], len(centers)), edge * np.array(repeats), True)


def water_masses(system: System) -> np.ndarray:
    """(N,) u."""
    return atomic_masses[system.numbers]


def water_model(*, wide: bool = False, cutoff_bohr: float = CUTOFF_BOHR) -> HDNNPModel:
    """The potential; wide : with angular functions of type 9 in place of type 3.

    The ranges of the functions have room for all that occurs near 300 K: up to 4 times what is found in `water_box`,
    and 0.25 more.
    """
    box = water_box()
    plain, ranged = {}, {}
    for symbol in ("H", "O"):
        functions = sorted(_functions(symbol, 9 if wide else 3, cutoff_bohr), key=SymmetryFunction.sort_key)
        plain[symbol] = _element(symbol, tuple(functions), np.tile([0.0, 1.0, 0.5, 1.0], (len(functions), 1)))
    values = HDNNP(_model(plain)).descriptors(box)
    for number, (symbol, part) in zip((1, 8), plain.items(), strict=True):
        found = values[box.numbers == number, : len(part.functions)]
        upper = 4.0 * found.max(axis=0) + 0.25
        scaling = np.stack([np.zeros_like(upper), upper, found.mean(axis=0), found.std(axis=0)], axis=1)
        ranged[symbol] = _element(symbol, part.functions, scaling)
    return _model(ranged)


def _model(elements: dict[str, ElementModel]) -> HDNNPModel:
    return HDNNPModel(elements, 2, 0.0, "scalecenter", "Bohr", "eV", source="the benchmark's own water potential")


def _functions(center: str, angular_type: int, cutoff: float) -> list[SymmetryFunction]:
    radial = [
        SymmetryFunction(center, 2, (pair[1],), cutoff, eta=eta, rs=shift)
        for pair, parameters in _RADIAL.items()
        if pair[0] == center
        for eta, shift in parameters
    ]
    angular = [
        SymmetryFunction(center, angular_type, triple[1:], cutoff, eta=eta, lam=lam, zeta=zeta)
        for triple, parameters in _ANGULAR.items()
        if triple[0] == center
        for eta, lam, zeta in parameters
    ]
    return radial + angular


def _element(center: str, functions: tuple[SymmetryFunction, ...], scaling: np.ndarray) -> ElementModel:
    """Random weights, with node 0 of each layer replaced by the sum of Gaussians."""
    rng = np.random.default_rng([SEED, len(functions)])
    sizes = (len(functions), NODES, NODES, 1)
    weights = [rng.standard_normal((m, n)) / np.sqrt(m) for m, n in pairwise(sizes)]
    biases = [0.3 * rng.standard_normal(n) for n in sizes[1:]]
    energies = np.array(
        [_GAUSSIANS_EV.get((center, *f.neighbors, f.eta), 0.0) if f.type == 2 else 0.0 for f in functions]
    )
    weights[0][:, 0] = _SMALL * energies * (scaling[:, 1] - scaling[:, 0])  # the network sees (G - mean) / (max - min)
    weights[1][:, 0], weights[2] = 0.0, _RANDOM_EV * weights[2]
    weights[1][0, 0], weights[2][0] = 1.0, 1.0 / _SMALL
    biases[0][0] = biases[1][0] = 0.0
    return ElementModel(functions, scaling, Network(tuple(weights), tuple(biases), "ttl"))
