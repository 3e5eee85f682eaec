"""Second derivatives of the energy: products with the Hessian, the Hessian itself, the dynamical matrix.

A product with the Hessian costs a few force evaluations, whatever the number of atoms (see `acsf.tangent`); the
Hessian is 3 N of them.
"""

import numpy as np

from mdnnp.errors import InputError
from mdnnp.neighbors import NeighborList, VerletList
from mdnnp.potential import Potential
from mdnnp.system import System

DIFFERENCE_STEP_A = 1e-4  # longest move of an atom in a central difference
MOST_ATOMS = 2000  # of a full Hessian: 288 MB


def hessian_vector_product(
    potential: Potential, system: System, displacements: np.ndarray, neighbors: NeighborList | None = None
) -> np.ndarray:
    """(N, 3) eV/Å: the Hessian of the energy times `displacements` (N, 3) Å.

    Exact where the potential has a method of this name; else by central differences of forces, four of them, with a
    longest move of DIFFERENCE_STEP_A (relative error of some 1e-7, less if the potential is rough).
    """
    if hasattr(potential, "hessian_vector_product"):
        return potential.hessian_vector_product(system, displacements, neighbors)
    longest = np.sqrt(np.square(displacements).sum(axis=1).max())
    if longest == 0.0:
        return np.zeros_like(displacements, dtype=float)
    h = DIFFERENCE_STEP_A / longest

    def forces(s):
        return potential.compute(system._replace(positions=system.positions + s * displacements)).forces

    return (8.0 * (forces(-h) - forces(h)) - (forces(-2.0 * h) - forces(2.0 * h))) / (12.0 * h)


def results_derivative(
    potential: Potential, system: System, displacements: np.ndarray, strain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of forces (N, 3), eV/Å, and virial (3, 3), eV, by s as r_i -> r_i + s (displacements_i + r_i strain).

    The cell moves with the strain. displacements (N, 3), Å; strain (3, 3), which need not be symmetric. Exact where the
    potential has a `directional_derivative`; else by central differences, four of them, as products are.
    """
    if not hasattr(potential, "directional_derivative"):
        return _results_difference(potential, system, displacements, strain)
    neighbors = VerletList(potential.cutoff, skin=0.0).update(system)
    forces_t, strain_t = potential.directional_derivative(system, displacements, strain, neighbors)
    results = potential.compute(system, neighbors)
    # sum r_ij_t (x) D_ij, with r_ij_t = v_j - v_i + r_ij strain and F_i = sum_j (D_ij - D_ji)
    moved = -displacements.T @ results.forces - strain.T @ results.virial
    return forces_t, -(strain_t + moved)


def _results_difference(potential, system, displacements, strain):
    longest = np.sqrt(np.square(displacements).sum(axis=1).max())
    scale = longest + np.abs(strain).max() * potential.cutoff
    if scale == 0.0:
        return np.zeros_like(displacements, dtype=float), np.zeros((3, 3))
    h = DIFFERENCE_STEP_A / scale

    def at(s):
        moved = system.positions + s * (displacements + system.positions @ strain)
        results = potential.compute(system._replace(positions=moved, cell=system.cell + s * (system.cell @ strain)))
        return results.forces, results.virial

    near, far = [[np.subtract(a, b) for a, b in zip(at(s), at(-s), strict=True)] for s in (h, 2.0 * h)]
    return tuple((8.0 * a - b) / (12.0 * h) for a, b in zip(near, far, strict=True))


def force_constants(potential: Potential, supercell: System, atoms: np.ndarray) -> np.ndarray:
    """(len(atoms), N, 3, 3) eV/Å^2: rows of the Hessian of a supercell for these atoms."""
    neighbors = VerletList(potential.cutoff, skin=0.0).update(supercell)
    out = np.empty((len(atoms), len(supercell), 3, 3))
    for k, atom in enumerate(atoms):
        for axis in range(3):
            unit = np.zeros((len(supercell), 3))
            unit[atom, axis] = 1.0
            out[k, :, axis] = hessian_vector_product(potential, supercell, unit, neighbors)
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
    neighbors = VerletList(potential.cutoff, skin=0.0).update(system)
    rows = np.empty((3 * n, 3 * n))
    unit = np.zeros(3 * n)
    for k in range(3 * n):
        unit[k] = 1.0
        rows[k] = hessian_vector_product(potential, system, unit.reshape(n, 3), neighbors).ravel()
        unit[k] = 0.0
    return 0.5 * (rows + rows.T)


def dynamical_matrix(matrix: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(3N, 3N) eV/(Å^2 u): the Hessian divided by the square roots of the masses (N,), u, of its rows and columns."""
    scale = np.repeat(1.0 / np.sqrt(masses), 3)
    return matrix * scale[:, None] * scale
