"""How much work a potential has with a structure: neighbours, triplets, and a nominal count of operations.

The count is of what the formulas ask for, not of what the code happens to execute, so that it stays the same while the
code gets faster: every multiplication, addition, division and square root is one operation, an exponential is EXP, an
envelope (cutoff function and derivative) ENVELOPE. Values and gradients are both counted.
"""

from typing import NamedTuple

import numpy as np

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.system import System
from mdnnp.potentials.hdnnp.functions.definitions import NARROW, RADIAL, WEIGHTED
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.hdnnp.potential import neural_network_of
from mdnnp.potentials.interface import Potential

EXP = 25  # a polynomial of degree 11, the reduction of the range and the exponent
ENVELOPE = 40  # two exponentials' worth, less what they share, for tanh^3
PAIR = 20  # vector, length, gathering and scattering
RADIAL_TERM = EXP + 10  # a function at a neighbour
TRIPLET = 40  # third side, cosine, gradients of the three sides; a narrow one has an envelope of its own too
DECAY = EXP + 10  # an exponent that functions of a triplet share
ANGULAR_TERM = 16  # a function at a triplet
HARMONIC = 16  # a harmonic and its gradient at a neighbour
MOMENT = 6  # a moment at a neighbour: forward one product, backward two
SAMPLE = 300  # centres that are looked at


class Work(NamedTuple):
    """Averages per atom: neighbours within the cutoff, triplets with a function, operations (see the module)."""

    neighbors: float
    triplets: float
    operations: float


def count_work(potential: Potential, system: System) -> Work:
    """Work per atom, from SAMPLE centres spread over the structure. Triplets are 0 for pair potentials."""
    i, j, _, vectors = neighbor_list(system, potential.cutoff)
    neighbors = len(i) / len(system)
    network = neural_network_of(potential)
    if network is None:
        return Work(neighbors, 0.0, neighbors * (PAIR + ENVELOPE))
    bohr = network.cutoff / max(f.cutoff for part in network.model.elements.values() for f in part.functions)
    first = np.searchsorted(i, np.arange(len(system) + 1))
    centers = np.unique(np.linspace(0, len(system) - 1, SAMPLE).astype(int))
    counts = np.zeros(2)
    for center in centers:
        mine = slice(first[center], first[center + 1])
        symbol = network.elements[network.numbers.index(system.numbers[center])]
        elements = np.array(network.elements)[np.searchsorted(network.numbers, system.numbers[j[mine]])]
        counts += _of_center(network.model.elements[symbol], vectors[mine] / bohr, elements)
    triplets, operations = counts / len(centers)
    return Work(neighbors, float(triplets), float(operations))


def _of_center(part, vectors: np.ndarray, elements: np.ndarray) -> np.ndarray:
    """Triplets and operations of one centre; lengths in the potential's unit."""
    r = np.linalg.norm(vectors, axis=1)
    sides = np.linalg.norm(vectors[:, None, :] - vectors[None, :, :], axis=2)
    once = np.triu(np.ones(sides.shape, bool), 1)
    triplets, operations = 0.0, len(r) * (PAIR + ENVELOPE) + _network_operations(part.network)
    groups: dict[tuple, list] = {}
    for f in part.functions:
        if f.type in RADIAL:
            operations += RADIAL_TERM * np.sum((r < f.cutoff) & _is_one_of(elements, f))
        else:
            groups.setdefault((f.type, f.neighbors, f.cutoff, f.rl), []).append(f)
    for (type_, _, cutoff, _), functions in groups.items():
        f = functions[0]
        decays = len({(g.eta, g.rs) for g in functions})
        if type_ == 9 and all(float(g.zeta).is_integer() for g in functions):
            operations += _moment_operations(functions, np.sum((r < cutoff) & _is_one_of(elements, f)))
            continue
        near = (r[:, None] < cutoff) & (r[None, :] < cutoff) & once & _is_pair_of(elements, f)
        if type_ in NARROW:
            near &= sides < cutoff
        n = np.count_nonzero(near)
        triplets += n
        operations += n * (TRIPLET + ENVELOPE * (type_ in NARROW) + DECAY * decays + ANGULAR_TERM * len(functions))
    return np.array([triplets, operations])


def _is_one_of(elements: np.ndarray, f) -> np.ndarray:
    return np.full(len(elements), True) if f.type in WEIGHTED else np.isin(elements, f.neighbors)


def _is_pair_of(elements: np.ndarray, f) -> np.ndarray:
    if f.type in WEIGHTED:
        return np.full((len(elements), len(elements)), True)
    a, b = (elements == symbol for symbol in f.neighbors)
    return (a[:, None] & b[None, :]) | (b[:, None] & a[None, :])


def _moment_operations(functions, n_neighbors: int) -> float:
    """Type 9 with integer zeta: moments of each channel, in solid harmonics that all share."""
    most: dict = {}
    for f in functions:
        most[f.eta, f.rs] = max(most.get((f.eta, f.rs), 0), int(f.zeta))
    moments, harmonics = sum((z + 1) ** 2 for z in most.values()), (max(most.values()) + 1) ** 2
    return n_neighbors * (DECAY * len(most) + MOMENT * moments + HARMONIC * harmonics)


def _network_operations(network: Network) -> float:
    """Forward and backward: two operations for each weight in either, and an exponential for each hidden node."""
    return sum(4 * np.count_nonzero(w) for w in network.weights) + sum(
        (EXP + 5) * w.shape[1] for w in network.weights[:-1]
    )
