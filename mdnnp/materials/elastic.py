"""Elastic constants, by second derivatives and by stresses of strained crystals; what follows for a polycrystal.

C = d(Cauchy stress)/d(strain), Voigt order xx yy zz yz xz xy, cartesian axes of the structure, tension positive. At
zero stress these are the second derivatives of the energy per volume; under stress they are the stress-strain
coefficients (D. C. Wallace, Thermodynamics of Crystals (1972)), which then need not be symmetric.

With u the displacements of the atoms inside the cell, H the Hessian by them and L = dF/d(strain) the forces that a
strain of cell and atoms alike (clamped ions) brings about: C = C_clamped - L^T H^-1 L / V (M. Born, K. Huang, Dynamical
Theory of Crystal Lattices (1954)).
"""

from typing import NamedTuple

import numpy as np

from mdnnp.atoms.spacegroup import Symmetry
from mdnnp.atoms.system import System, volume
from mdnnp.base.errors import PhysicsError
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.materials.crystal import Coverage, coverage, worst
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.second_derivatives import hessian

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_STEP = 5e-4  # strain of central differences
_FORCE_TOLERANCE = 1e-6  # eV/Å, of strained crystals
_FORM_TOLERANCE = 2e-3  # of the largest constant: what counts as zero, or equal


def unit_strain(k: int) -> np.ndarray:
    """(3, 3) symmetric strain of component k of Voigt's: 1 on the diagonal, or 1/2 twice beside it."""
    strain = np.zeros((3, 3))
    i, j = VOIGT[k]
    strain[i, j] += 0.5
    strain[j, i] += 0.5
    return strain


def to_voigt(tensor: np.ndarray) -> np.ndarray:
    """(6,) components of a (3, 3) stress."""
    return np.array([0.5 * (tensor[i, j] + tensor[j, i]) for i, j in VOIGT])


def to_tensor(constants: np.ndarray) -> np.ndarray:
    """(3, 3, 3, 3) elastic tensor of a (6, 6) matrix."""
    index = np.empty((3, 3), int)
    for k, (i, j) in enumerate(VOIGT):
        index[i, j] = index[j, i] = k
    return constants[index[:, :, None, None], index[None, None]]


def rotated(constants: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(6, 6) constants of the crystal turned by `rotation` (3, 3), column vectors v -> rotation @ v."""
    turned = np.einsum("ia,jb,kc,ld,abcd->ijkl", *[rotation] * 4, to_tensor(constants), optimize=True)
    return np.array([[turned[i, j, k, l] for k, l in VOIGT] for i, j in VOIGT])


def standard(constants: np.ndarray, symmetry: Symmetry | None) -> np.ndarray:
    """(6, 6) constants along the standard axes of the space group, where it is known and they are not of a cube yet."""
    if symmetry is None or is_cubic(constants):
        return constants
    return rotated(constants, symmetry.to_standard)


class SecondDerivatives(NamedTuple):
    """Elastic constants (6, 6) GPa from exact second derivatives.

    relaxed, clamped : with the atoms at rest in the strained cell, or strained with it
    stress : (6,) GPa, of the state itself
    softest : lowest eigenvalue of the Hessian, translations apart, eV/Å^2; inf for one atom
    """

    relaxed: np.ndarray
    clamped: np.ndarray
    stress: np.ndarray
    softest: float


def from_second_derivatives(potential: Potential, system: System) -> SecondDerivatives:
    """Elastic constants of a system at rest: six derivatives of forces and virial along strains, and the Hessian.

    Raises InputError for more atoms than a full Hessian has room for.
    """
    n, size = len(system), volume(system.cell)
    neighbors = potential.make_lists().update(system)
    results = potential.compute(system, neighbors)
    still, virial = np.zeros((n, 3)), results.virial
    clamped, response = np.empty((6, 6)), np.empty((3 * n, 6))
    for k in range(6):
        strain = unit_strain(k)
        forces_t, virial_t = potential.results_derivative(system, still, strain, neighbors, results)
        clamped[:, k] = to_voigt(-virial_t + virial * np.trace(strain)) / size
        response[:, k] = forces_t.ravel()
    translations = np.tile(np.eye(3), (n, 1)) / np.sqrt(n)
    matrix = hessian(potential, system)
    above = 2.0 * np.abs(matrix).sum(axis=1).max() + 1.0
    values, vectors = np.linalg.eigh(matrix + above * translations @ translations.T)
    inner, vectors = values[: 3 * n - 3], vectors[:, : 3 * n - 3]
    along = vectors.T @ response
    relaxed = clamped - along.T @ (along / inner[:, None]) / size
    return SecondDerivatives(
        relaxed * EV_PER_A3_IN_GPA, clamped * EV_PER_A3_IN_GPA, to_voigt(-virial / size) * EV_PER_A3_IN_GPA,
        float(inner.min(initial=np.inf)),
    )  # fmt: skip


class StressStrain(NamedTuple):
    """Elastic constants (6, 6) GPa from differences of stresses, and where the strained crystals extrapolate."""

    relaxed: np.ndarray
    clamped: np.ndarray
    coverage: Coverage


def from_stresses(potential: Potential, system: System, step: float = _STEP) -> StressStrain:
    """Elastic constants from the stresses of twelve crystals, strained by +-`step`, before and after their atoms relax.

    Raises PhysicsError if one of them does not come to rest.
    """
    clamped, relaxed, seen = np.zeros((6, 6)), np.zeros((6, 6)), []
    for k in range(6):
        for sign in (1.0, -1.0):
            change = np.eye(3) + sign * step * unit_strain(k)
            strained = system._replace(positions=system.positions @ change, cell=system.cell @ change)
            outcome = relax(potential, strained, Goal(force_tolerance=_FORCE_TOLERANCE))
            if not outcome.converged:
                raise PhysicsError(
                    f"the crystal strained by {sign * step:g} along {VOIGT[k]} does not relax: {outcome.reason}"
                )
            for matrix, point in ((clamped, outcome.history[0]), (relaxed, outcome.point)):
                stress = to_voigt(-point.results.virial) / volume(strained.cell)
                matrix[:, k] += sign * stress / (2 * step) * EV_PER_A3_IN_GPA
                seen.append(coverage(point.system, point.results))
    return StressStrain(relaxed, clamped, worst(seen))


class Moduli(NamedTuple):
    """Of a polycrystal without texture, GPa: Voigt's and Reuss's bounds, and their means (R. Hill 1952).

    universal : anisotropy index A^U (Ranganathan, Ostoja-Starzewski 2008), 0 for an isotropic crystal
    """

    bulk_voigt: float
    bulk_reuss: float
    shear_voigt: float
    shear_reuss: float
    bulk: float
    shear: float
    young: float
    poisson: float
    universal: float


def moduli(constants: np.ndarray) -> Moduli:
    """Averages of (6, 6) constants, GPa: R. Hill, Proc. Phys. Soc. A 65, 349 (1952). PhysicsError if unstable."""
    c = 0.5 * (constants + constants.T)
    if stiffnesses(c)[0] <= 0.0:
        raise PhysicsError("the crystal is elastically unstable, so a polycrystal has no moduli")
    s = np.linalg.inv(c)
    diagonal, off, shear = c[:3, :3].trace(), c[0, 1] + c[0, 2] + c[1, 2], c[3:, 3:].trace()
    diagonal_s, off_s, shear_s = s[:3, :3].trace(), s[0, 1] + s[0, 2] + s[1, 2], s[3:, 3:].trace()
    bv, gv = (diagonal + 2 * off) / 9, (diagonal - off + 3 * shear) / 15
    br, gr = 1 / (diagonal_s + 2 * off_s), 15 / (4 * diagonal_s - 4 * off_s + 3 * shear_s)
    b, g = 0.5 * (bv + br), 0.5 * (gv + gr)
    return Moduli(
        bv, br, gv, gr, b, g, 9 * b * g / (3 * b + g), (3 * b - 2 * g) / (6 * b + 2 * g), 5 * gv / gr + bv / br - 6
    )  # fmt: skip


def stiffnesses(constants: np.ndarray) -> np.ndarray:
    """(6,) eigenvalues of the elastic tensor, GPa, lowest first: all are positive if the crystal is stable (Born)."""
    root = np.sqrt([1, 1, 1, 2, 2, 2])
    return np.linalg.eigvalsh(0.5 * (constants + constants.T) * root * root[:, None])


def independent_constants(symmetry: Symmetry) -> int:
    """How many elastic constants a point group leaves: the mean character of its operations on elastic tensors.

    Of a supercell, operations that do not map its lattice onto itself are missing, and more constants are left.
    """

    def of_strains(m):
        return 0.5 * (np.trace(m, axis1=1, axis2=2) ** 2 + np.trace(m @ m, axis1=1, axis2=2))

    m = symmetry.matrices
    return round(float(np.mean(0.5 * (of_strains(m) ** 2 + of_strains(m @ m)))))


def is_cubic(constants: np.ndarray) -> bool:
    """Whether (6, 6) constants have the form of a cubic crystal with its axes along x, y, z."""
    c11, c12, c44 = cubic_constants(constants)
    form = np.zeros((6, 6))
    form[:3, :3] = c12
    form[np.arange(6), np.arange(6)] = [c11] * 3 + [c44] * 3
    return bool(np.abs(constants - form).max() < _FORM_TOLERANCE * np.abs(constants).max())


def cubic_constants(constants: np.ndarray) -> tuple[float, float, float]:
    """C11, C12, C44 as means over the axes."""
    off = constants[:3, :3].sum() - constants[:3, :3].trace()
    return float(constants[:3, :3].trace() / 3), float(off / 6), float(constants[3:, 3:].trace() / 3)


def named_constants(constants: np.ndarray) -> dict[str, float]:
    """C11, C12 and C44 of a cubic crystal, else all of the upper triangle that are not zero."""
    if is_cubic(constants):
        return dict(zip(("C11", "C12", "C44"), cubic_constants(constants), strict=True))
    c, small = 0.5 * (constants + constants.T), _FORM_TOLERANCE * np.abs(constants).max()
    return {f"C{i + 1}{j + 1}": float(c[i, j]) for i in range(6) for j in range(i, 6) if abs(c[i, j]) > small}
