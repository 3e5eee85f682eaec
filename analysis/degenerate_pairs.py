"""Environments that no radial and angular functions distinguish, whatever their form.

S. N. Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020). A centre has neighbours at r1 p, -r1 p, r2 q and r3 s, for
unit vectors p, q, s. Each angle of q or s with p has a partner with -p: the list of distances, and that of angles with
their distances, stays the same when p.s changes its sign while p.q and q.s do not. The two environments are neither
rotated nor mirror images of each other: what differs is the sign of (p.q)(p.s), which takes four bodies to see.
"""

import math
from collections.abc import Sequence

import numpy as np

from mdnnp.atoms.system import System, make_system
from mdnnp.potentials.hdnnp.functions.definitions import CORE_NAMES, SymmetryFunction
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import FunctionSets, pool


def methane(radii_A: Sequence[float], pq: float, ps: float, qs: float) -> System:
    """Carbon with hydrogens at r1 p, -r1 p, r2 q, r3 s, for the cosines between the unit vectors p, q and s."""
    p = np.array([0.0, 0.0, 1.0])
    q = np.array([math.sqrt(1 - pq**2), 0.0, pq])
    x = (qs - pq * ps) / q[0]
    s = np.array([x, math.sqrt(1 - ps**2 - x**2), ps])
    r1, r2, r3 = radii_A
    return make_system([np.zeros(3), r1 * p, -r1 * p, r2 * q, r3 * s], [6, 1, 1, 1, 1])


def degenerate_pair(rng: np.random.Generator) -> tuple[System, System]:
    """A pair of random lengths and angles."""
    while True:
        pq, ps, qs = rng.uniform(-0.8, 0.8, 3)
        room = min(1 - pq**2 - ps**2 - qs**2 + sign * 2 * pq * ps * qs for sign in (1, -1))
        if room > 0.05 and min(abs(pq), abs(ps), abs(qs)) > 0.1:
            radii = rng.uniform(0.9, 1.6, 3)
            return methane(radii, pq, ps, qs), methane(radii, pq, -ps, qs)


def four_body_energy(system: System) -> float:
    """1 eV times the sum over triples of neighbours of the square of (u_j x u_k).u_l, unit vectors from the carbon."""
    u = system.positions[1:] - system.positions[0]
    u = u / np.linalg.norm(u, axis=1)[:, None]
    volumes = np.einsum("ja,kb,lc,abc->jkl", u, u, u, _EPSILON)
    return float(np.sum(volumes**2)) / 6.0


def bond_order_energy(system: System) -> float:
    """-1 eV times the sum over bonds of (1 + zeta_j)^(-1/2), zeta_j = sum_k (1/3 + cos theta_jk)^2, after Tersoff.

    J. Tersoff, Phys. Rev. B 37, 6991 (1988): each bond is weakened by the angles that it makes itself.
    """
    u = system.positions[1:] - system.positions[0]
    u = u / np.linalg.norm(u, axis=1)[:, None]
    weights = (1 / 3 + u @ u.T) ** 2
    np.fill_diagonal(weights, 0.0)
    return -float(np.sum((1.0 + weights.sum(axis=1)) ** -0.5))


_EPSILON = np.array([[[(a - b) * (b - c) * (c - a) / 2 for c in range(3)] for b in range(3)] for a in range(3)])


def all_kinds(cutoff_A: float) -> FunctionSets:
    """Hundreds of functions of every type there is, centred on C and H."""
    sets: dict[str, list[SymmetryFunction]] = {"H": [], "C": []}
    for kind in ("wide", "narrow", "compact"):
        for symbol, own in pool(["H", "C"], cutoff_A, kind=kind).items():
            sets[symbol] += own
    for symbol, own in sets.items():
        for eta, rs in ((0.05, 0.0), (0.5, 0.0), (2.0, 1.0), (4.0, 1.5)):
            own.append(SymmetryFunction(symbol, 12, (), cutoff_A, eta=eta, rs=rs))
            own += [SymmetryFunction(symbol, 13, (), cutoff_A, eta=eta, rs=rs, lam=lam, zeta=zeta)
                    for lam in (1.0, -1.0) for zeta in (1.0, 2.5, 8.0)]  # fmt: skip
        for core in CORE_NAMES:
            own.append(SymmetryFunction(symbol, 23, (), cutoff_A, rl=0.3, subtype=core))
            for type in (21, 24, 25):
                neighbors = ("H", "H") if type == 21 else ()
                own += [SymmetryFunction(symbol, type, neighbors, cutoff_A, rl=0.1, theta_l=low, theta_r=high,
                                         subtype=core) for low, high in ((-60.0, 80.0), (40.0, 200.0))]  # fmt: skip
    return {symbol: tuple(sorted(own, key=SymmetryFunction.sort_key)) for symbol, own in sets.items()}


def compare_pairs(cutoff_A: float = 4.0, n_pairs: int = 50) -> dict:
    """Largest difference of the carbon's functions in random pairs, by type; of other environments; of energies."""
    descriptors = Descriptors(all_kinds(cutoff_A))
    functions = descriptors.functions["C"]
    types = np.array([f.type for f in functions])
    rng = np.random.default_rng(1)
    of = lambda system: descriptors.values(system)["C"][0]  # noqa: E731
    pairs = [degenerate_pair(rng) for _ in range(n_pairs)]
    values = np.array([[of(a), of(b)] for a, b in pairs])
    size = np.abs(values).max(axis=(0, 1)) + 1e-300
    same = np.abs(values[:, 0] - values[:, 1]) / size
    other = np.abs(values[1:, 0] - values[:-1, 0]) / size  # of one pair and the next: the functions do see something
    energies = {
        name: [abs(energy(a) - energy(b)) for a, b in pairs]
        for name, energy in (("four-body", four_body_energy), ("bond order", bond_order_energy))
    }
    return {
        "pairs": n_pairs,
        "functions": {int(t): int(np.sum(types == t)) for t in np.unique(types)},
        "largest_relative_difference": {int(t): float(same[:, types == t].max()) for t in np.unique(types)},
        "of_unlike_environments": {int(t): float(other[:, types == t].max()) for t in np.unique(types)},
        "energy_difference_eV": {k: [float(np.min(v)), float(np.median(v))] for k, v in energies.items()},
    }
