"""Named systems that several test files use. A bug that is found becomes one of them."""

import numpy as np
from ase.geometry import cellpar_to_cell

from mdnnp.atoms.system import System, make_system, replicate


def water_molecule() -> System:
    """One molecule, open boundaries, no cell."""
    return make_system([[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]], [8, 1, 1])


def one_atom_open() -> System:
    """Nothing to interact with."""
    return make_system([[1.0, -2.0, 3.0]], [18])


def one_atom_periodic() -> System:
    """Sees nothing but its own images."""
    return make_system([[0.3, 0.2, 0.1]], [18], [3.7, 3.7, 3.7], True)


def tiny_triclinic() -> System:
    """Two elements in a skewed cell much thinner than a usual cutoff."""
    return make_system(
        [[0.1, 0.2, 0.3], [1.4, 1.3, 1.2]], [29, 16], [[2.9, 0.0, 0.0], [0.7, 2.7, 0.0], [-0.6, 0.9, 3.1]], True
    )


def thin() -> System:
    """One direction several times thinner than the cutoff, the others not."""
    return make_system([[0.1, 0.2, 0.3], [5.0, 1.0, 0.9]], [1, 8], [10.0, 12.0, 1.1], True)


def slab() -> System:
    """Periodic along a and b, open along c whose cell vector is zero; one atom far above."""
    rng = np.random.default_rng(7)
    positions = rng.uniform([0, 0, 0], [8.0, 7.0, 5.0], (24, 3))
    positions[-1, 2] = 60.0
    return make_system(positions, [8, 1, 1] * 8, [[8.0, 0.0, 0.0], [2.0, 7.0, 0.0], [0.0, 0.0, 0.0]], [1, 1, 0])


def wire() -> System:
    """Periodic along b only, which points along no axis."""
    rng = np.random.default_rng(8)
    cell = [[0.0, 0.0, 0.0], [3.0, 3.0, 1.0], [0.0, 0.0, 0.0]]
    return make_system(rng.uniform(0, 4, (9, 3)), [14, 8, 8] * 3, cell, [0, 1, 0])


def acute() -> System:
    """Angles of 20 degrees between all cell vectors."""
    rng = np.random.default_rng(9)
    cell = cellpar_to_cell([11.0, 12.0, 13.0, 20.0, 20.0, 20.0])
    return make_system(rng.uniform(0, 1, (12, 3)) @ cell, [1, 8] * 6, cell, True)


def obtuse() -> System:
    """Angles of 160, 90 and 90 degrees."""
    rng = np.random.default_rng(10)
    cell = cellpar_to_cell([9.0, 10.0, 8.0, 160.0, 90.0, 90.0])
    return make_system(rng.uniform(0, 1, (12, 3)) @ cell, [1, 8] * 6, cell, True)


def sheared() -> System:
    """A cubic lattice of 6 Å in a cell that was sheared by many lattice vectors: 0.01 degrees between a and c."""
    cell = np.array([[1, 0, 0], [37, 1, 0], [5000, -11, 1]]) * 6.0
    rng = np.random.default_rng(11)
    return make_system(rng.uniform(-6, 6, (10, 3)), [6, 7] * 5, cell, True)


def far_outside() -> System:
    """Atoms thousands of cells away from the cell."""
    rng = np.random.default_rng(12)
    cell = np.array([[5.0, 0.0, 0.0], [1.0, 5.5, 0.0], [-1.0, 2.0, 6.0]])
    positions = rng.uniform(0, 1, (8, 3)) @ cell + rng.integers(-3000, 3000, (8, 3)) @ cell
    return make_system(positions, [29, 16] * 4, cell, True)


def below_zero() -> System:
    """Fractions of -1e-17, which wrap to 1.0 exactly, and atoms on the faces of the cell."""
    positions = [[-4e-17, 2.0, 2.0], [2.0, -1e-16, 2.0], [4.0, 0.0, -1e-300], [0.0, 4.0, 4.0 - 1e-15 + 2.0]]
    return make_system(positions, [8, 8, 1, 1], [4.0, 4.0, 4.0], True)


def several_elements() -> System:
    """Five elements in no order, one of them once."""
    rng = np.random.default_rng(13)
    numbers = rng.permutation([1] * 10 + [8] * 9 + [29] * 6 + [16] * 4 + [79])
    return make_system(rng.uniform(0, 7.5, (30, 3)), numbers, [7.5, 7.0, 8.0], True)


def two_clusters() -> System:
    """Open boundaries, two clumps a long way from each other: a grid over both must not exhaust the memory."""
    rng = np.random.default_rng(14)
    positions = rng.uniform(0, 6, (40, 3))
    positions[20:] += [3e6, 2e6, -1e7]
    return make_system(positions, [18] * 40)


def silicon(repeats: int = 1, rattle: float = 0.1) -> System:
    """Diamond silicon, 8 atoms times repeats^3, moved by normal random numbers of `rattle` Å."""
    basis = np.array(
        [[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]], dtype=float
    )
    return _rattled(make_system(basis * (5.431 / 4), [14] * 8, [5.431] * 3, True), repeats, rattle)


def argon(repeats: int = 2, rattle: float = 0.1) -> System:
    """fcc argon, 4 atoms times repeats^3, moved by normal random numbers of `rattle` Å."""
    basis = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=float)
    return _rattled(make_system(basis * 2.63, [18] * 4, [5.26] * 3, True), repeats, rattle)


def _rattled(system, repeats, rattle):
    system = replicate(system, (repeats,) * 3)
    return system._replace(positions=system.positions + np.random.default_rng(15).normal(0, rattle, (len(system), 3)))


SYSTEMS = {
    make.__name__: make()
    for make in (
        water_molecule, one_atom_open, one_atom_periodic, tiny_triclinic, thin, slab, wire, acute, obtuse, sheared,
        far_outside, below_zero, several_elements, two_clusters, silicon, argon,
    )
}  # fmt: skip


def moved(system, atom, axis, by):
    """The system with one atom moved along an axis, Å."""
    positions = system.positions.copy()
    positions[atom, axis] += by
    return system._replace(positions=positions)
