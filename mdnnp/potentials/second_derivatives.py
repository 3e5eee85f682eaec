"""The Hessian itself, force constants, and the dynamical matrix, from exact products with the Hessian.

A product with the Hessian costs a few force evaluations, whatever the number of atoms; the Hessian is 3 N of them.
"""

import numpy as np

from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.potentials.interface import Potential

MOST_ATOMS = 2000  # of a full Hessian: 288 MB


def force_constants(potential: Potential, supercell: System, atoms: np.ndarray) -> np.ndarray:
    """(len(atoms), N, 3, 3) eV/Å^2: rows of the Hessian of a supercell for these atoms."""
    neighbors = potential.make_lists().update(supercell)
    out = np.empty((len(atoms), len(supercell), 3, 3))
    for k, atom in enumerate(atoms):
        for axis in range(3):
            unit = np.zeros((len(supercell), 3))
            unit[atom, axis] = 1.0
            out[k, :, axis] = potential.hessian_vector_product(supercell, unit, neighbors)
    return out


def hessian(potential: Potential, system: System) -> np.ndarray:
    """(3N, 3N) eV/Å^2: second derivatives of the energy by the positions, atom by atom, x y z.

    One product for each coordinate; symmetrised (products are symmetric to rounding). Raises InputError for more than
    MOST_ATOMS atoms.
    """
    n = len(system)
    if n > MOST_ATOMS:
        raise InputError(
            f"a full Hessian of {n} atoms takes {72e-9 * n * n:.1f} GB; ask for the lowest modes instead, or for at "
            f"most {MOST_ATOMS} atoms"
        )
    neighbors = potential.make_lists().update(system)
    rows = np.empty((3 * n, 3 * n))
    unit = np.zeros(3 * n)
    for k in range(3 * n):
        unit[k] = 1.0
        rows[k] = potential.hessian_vector_product(system, unit.reshape(n, 3), neighbors).ravel()
        unit[k] = 0.0
    return 0.5 * (rows + rows.T)


def dynamical_matrix(matrix: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(3N, 3N) eV/(Å^2 u): the Hessian divided by the square roots of the masses (N,), u, of its rows and columns."""
    scale = np.repeat(1.0 / np.sqrt(masses), 3)
    return matrix * scale[:, None] * scale
