"""Phonons of a crystal from exact force constants: the dynamical matrix at any wave vector.

Atoms act on each other up to two cutoffs apart, through their common neighbours. So force constants from a supercell
that is wider than four cutoffs are those of the infinite crystal, and no interpolation is left.
"""

from typing import NamedTuple

import numpy as np

from mdnnp.atoms.system import System, repeats_for, replicate
from mdnnp.base.errors import InputError
from mdnnp.landscape.modes import frequencies_THz
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.second_derivatives import force_constants

_MOST_ATOMS = 30_000  # of the supercell
_AT_ONCE = 4_000_000  # elements of dynamical matrices made at a time


class ForceConstants(NamedTuple):
    """Force constants of a crystal.

    cell : (3, 3) Å; masses : (N,) u; shifts : (n, 3) integers, cells that atoms of the first one act on
    matrices : (n, 3N, 3N) eV/Å^2, between the atoms of the first cell and of the one at `shifts`
    """

    cell: np.ndarray
    masses: np.ndarray
    shifts: np.ndarray
    matrices: np.ndarray


def find_force_constants(potential: Potential, system: System, masses: np.ndarray) -> ForceConstants:
    """Force constants between the atoms of a cell and all others.

    Raises InputError if a supercell of four cutoffs has too many atoms.
    """
    n = len(system)
    reach = potential.near_reach
    repeats = repeats_for(system.cell, 4.0 * reach * (1 + 1e-9))
    size = n * int(np.prod(repeats))
    if size > _MOST_ATOMS:
        raise InputError(
            f"phonons need a supercell of four cutoffs, {4 * reach:.1f} Å: {size} atoms, more than "
            f"{_MOST_ATOMS}; give a smaller cell of the crystal"
        )
    supercell = replicate(system, repeats)
    rows = force_constants(potential, supercell, np.arange(n)).reshape(n, -1, n, 3, 3)  # atom, cell, atom, x, x
    cells = np.indices(repeats).reshape(3, -1).T
    fractional = system.positions @ np.linalg.inv(system.cell)
    # the image that is nearest: all that an atom acts on lies within half of the supercell
    apart = (fractional[None, None, :, :] - fractional[:, None, None, :] + cells[None, :, None, :]) / np.array(repeats)
    shift = cells[None, :, None, :] - (np.round(apart) * repeats).astype(int)
    first, cell, second = np.nonzero(np.abs(rows).max(axis=(3, 4)) > 0.0)
    shifts, which = np.unique(shift[first, cell, second], axis=0, return_inverse=True)
    matrices = np.zeros((len(shifts), n, 3, n, 3))
    matrices[which.ravel(), first, :, second, :] = rows[first, cell, second]
    return ForceConstants(system.cell, masses, shifts, matrices.reshape(len(shifts), 3 * n, 3 * n))


def squares(constants: ForceConstants, q: np.ndarray) -> np.ndarray:
    """(points, 3N) eigenvalues of the dynamical matrix, eV/(Å^2 u), lowest first.

    q : (points, 3) wave vectors, in reciprocal cell vectors without 2 pi
    """
    q = np.asarray(q, float)
    root = 1.0 / np.sqrt(np.repeat(constants.masses, 3))
    n = len(root)
    flat = (constants.matrices * root[:, None] * root).reshape(len(constants.shifts), n * n)
    out, step = np.empty((len(q), n)), max(1, _AT_ONCE // (n * n))
    for first in range(0, len(q), step):
        phase = np.exp(2j * np.pi * (q[first : first + step] @ constants.shifts.T))
        dynamical = (phase @ flat).reshape(-1, n, n)
        out[first : first + step] = np.linalg.eigvalsh(0.5 * (dynamical + dynamical.conj().transpose(0, 2, 1)))
    return out


def frequencies(constants: ForceConstants, q: np.ndarray) -> np.ndarray:
    """(points, 3N) THz, lowest first, negative for imaginary ones; q as in `squares`."""
    return frequencies_THz(squares(constants, q))


def mesh(cell: np.ndarray, length_A: float) -> np.ndarray:
    """(points, 3) wave vectors of a mesh that avoids zero, one of each pair q, -q.

    Points along a reciprocal vector: `length_A` times its length over 2 pi, rounded up to an even number.
    """
    reciprocal = np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = 2 * np.maximum(1, np.ceil(0.5 * length_A * reciprocal - 1e-9)).astype(int)
    points = (np.indices(counts.tolist()).reshape(3, -1).T + 0.5) / counts
    return points[points[:, 0] < 0.5]  # the other half is at 1 - q, which is -q


def sound_velocities(constants: ForceConstants, direction: np.ndarray, step_per_A: float = 0.01) -> np.ndarray:
    """(3,) m/s, fastest first: slopes of the acoustic branches along a unit vector, extrapolated to q = 0.

    step_per_A : |q|, 1/Å (2 pi included); twice that is the second point. Imaginary ones are negative.
    """
    q = np.array([1.0, 2.0])[:, None] * step_per_A * direction
    found = frequencies(constants, q @ constants.cell.T / (2 * np.pi))[:, 2::-1]
    slopes = found / (np.array([1.0, 2.0])[:, None] * step_per_A) * 2 * np.pi * 100.0  # THz Å in m/s
    return (4.0 * slopes[0] - slopes[1]) / 3.0
