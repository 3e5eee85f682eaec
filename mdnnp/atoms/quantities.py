"""Quantities of atoms in motion: kinetic energy and tensor, temperature, momentum, pressure, heat current, density.

Pure NumPy, no files. Every function that takes velocities or positions also takes stacks of frames: the last
two axes are (atom, xyz), and axes before them are kept.

Signs: the virial is -dE/d(strain), so the pressure tensor is P = (sum_i m_i v_i (x) v_i + virial) / V
(positive: the system wants to expand) and the stress is -P (positive: tension).
"""

import numpy as np
from numpy.typing import ArrayLike

from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2, U_PER_A3_IN_G_PER_CM3

# Voigt's order of the components of a symmetric tensor, as indices and as names.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
VOIGT_NAMES = tuple("xyz"[i] + "xyz"[j] for i, j in VOIGT)
LINEAR = 1e-4  # smallest moment of inertia in units of the largest, below which atoms are on a line


def kinetic_tensor(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """sum_i m_i v_i (x) v_i in eV, (..., 3, 3); half its trace is the kinetic energy.

    velocities : (..., N, 3) Å/fs; masses : (N,) or (..., N) u
    """
    velocities = np.asarray(velocities, dtype=np.float64)
    weighted = velocities * np.asarray(masses)[..., None]
    return np.swapaxes(weighted, -1, -2) @ velocities * EV_PER_U_A2_PER_FS2


def kinetic_energy(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray | float:
    """Kinetic energy in eV of velocities (..., N, 3) in Å/fs and masses (N,) or (..., N) in u."""
    squares = np.sum(np.square(np.asarray(velocities, dtype=np.float64)), axis=-1)
    return 0.5 * EV_PER_U_A2_PER_FS2 * np.sum(squares * np.asarray(masses), axis=-1)


def degrees_of_freedom(n_atoms: int, *, momentum_removed: bool = True, rotations_removed: int = 0) -> int:
    """Degrees of freedom that share the kinetic energy: 3 N, minus 3 where the total momentum is kept at zero.

    rotations_removed : of the whole, about axes along which the angular momentum is kept at zero as well (`rotations`)
    A single atom keeps its three, or it could have no temperature.
    """
    return 3 * n_atoms - 3 - rotations_removed if momentum_removed and n_atoms > 1 else 3 * n_atoms


def rotations(positions: np.ndarray, masses: np.ndarray) -> int:
    """How many rotations atoms at (N, 3) Å have as a whole: 3, 2 if they are on a line, 0 if they are in one place."""
    moments = np.linalg.eigvalsh(_inertia(positions - centre_of_mass(positions, masses), masses))
    return int(np.sum(moments > LINEAR * moments[-1])) if moments[-1] > 0 else 0


def centre_of_mass(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(..., 3) of positions (..., N, 3)."""
    return momentum(positions, masses) / np.sum(masses)


def _inertia(relative: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(..., 3, 3) u Å^2, of positions (..., N, 3) about the centre of mass."""
    second = np.einsum("n,...ni,...nj->...ij", masses, relative, relative)
    return np.trace(second, axis1=-2, axis2=-1)[..., None, None] * np.eye(3) - second


def angular_velocity(positions: np.ndarray, velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(..., 3) rad/fs, of the rigid rotation about the centre of mass that has the same angular momentum.

    positions, velocities : (..., N, 3) Å, Å/fs, not wrapped. Nothing turns about the axis of atoms on a line.
    """
    relative = positions - centre_of_mass(positions, masses)[..., None, :]
    angular = np.sum(np.cross(relative, velocities) * np.asarray(masses)[..., None], axis=-2)
    inverse = np.linalg.pinv(_inertia(relative, masses), rcond=LINEAR, hermitian=True)
    return np.einsum("...ij,...j->...i", inverse, angular)


def without_rotation(positions: np.ndarray, velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Velocities (..., N, 3) minus those of the rotation as a whole; arguments as in `angular_velocity`."""
    relative = positions - centre_of_mass(positions, masses)[..., None, :]
    turning = angular_velocity(positions, velocities, masses)
    return velocities - np.cross(turning[..., None, :], relative)


def temperature(kinetic_energy_eV: np.ndarray | float, n_degrees: int) -> np.ndarray | float:
    """Temperature in K of a kinetic energy in eV that is shared by `n_degrees` degrees of freedom."""
    return 2.0 * kinetic_energy_eV / (n_degrees * BOLTZMANN_EV_PER_K)


def momentum(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Total momentum (..., 3) in u Å/fs; velocities (..., N, 3) in Å/fs, masses (N,) or (..., N) in u."""
    return np.sum(np.asarray(velocities) * np.asarray(masses)[..., None], axis=-2)


def pressure_tensor(kinetic_tensor_eV: np.ndarray, virial_eV: np.ndarray, volume_A3: ArrayLike) -> np.ndarray:
    """Pressure tensor (..., 3, 3) in eV/Å^3: (kinetic tensor + virial) / V.

    kinetic_tensor_eV : (..., 3, 3) from `kinetic_tensor`; virial_eV : (..., 3, 3), -dE/d(strain)
    volume_A3 : scalar or (...); NaN results where it is zero (no cell, no pressure).
    Source: M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids (2017), section 2.4.
    """
    volume = np.asarray(volume_A3, dtype=np.float64)
    volume = np.where(volume > 0, volume, np.nan)[..., None, None]
    return (np.asarray(kinetic_tensor_eV) + np.asarray(virial_eV)) / volume


def pressure(kinetic_tensor_eV: np.ndarray, virial_eV: np.ndarray, volume_A3: ArrayLike) -> np.ndarray | float:
    """Pressure (...) in eV/Å^3, a third of the trace of `pressure_tensor`; same arguments."""
    return np.trace(pressure_tensor(kinetic_tensor_eV, virial_eV, volume_A3), axis1=-2, axis2=-1) / 3.0


def dipole_moment(positions: np.ndarray, charges: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(..., 3) e Å of charges (..., N) e at positions (..., N, 3) Å, about the centre of mass; masses (N,) u.

    For an open system: that of a periodic one depends on which image of each atom is taken. The place about which it is
    taken matters where the charges do not add up to zero.
    """
    relative = positions - centre_of_mass(positions, masses)[..., None, :]
    return np.sum(np.asarray(charges)[..., None] * relative, axis=-2)


def heat_current(
    velocities: np.ndarray, masses: np.ndarray, atomic_energies_eV: np.ndarray, atomic_virials_eV: np.ndarray
) -> np.ndarray:
    """Heat current J (3,) of the whole system, eV Å/fs: sum_i e_i v_i + W_i v_i, e_i with the kinetic energy.

    velocities (N, 3) Å/fs; masses (N,) u; atomic_energies_eV (N,) potential energies; atomic_virials_eV (N, 3, 3)
    W_i = sum_j r_ij (x) dE_j/dr_ji. Of an open system, J = d/dt sum_i r_i e_i. W_i is not symmetric, and symmetrised
    gives another current. Source: Z. Fan et al., Phys. Rev. B 92, 094301 (2015).
    """
    kinetic = 0.5 * EV_PER_U_A2_PER_FS2 * masses * np.sum(np.square(velocities), axis=1)
    convective = (atomic_energies_eV + kinetic) @ velocities
    return convective + np.einsum("iab,ib->a", atomic_virials_eV, velocities)


def density(masses: np.ndarray, volume_A3: ArrayLike) -> np.ndarray | float:
    """Density in g/cm^3 of atoms with these masses (N,), u, in a volume in Å^3, scalar or (...)."""
    return float(np.sum(masses)) / np.asarray(volume_A3, dtype=np.float64) * U_PER_A3_IN_G_PER_CM3
