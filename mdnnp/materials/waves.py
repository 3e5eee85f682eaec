"""Sound: from elastic constants to velocities, and the Debye temperature that they give.

Plane waves along n obey Christoffel's equation, sum_jl C_ijkl n_j n_l e_k = rho v^2 e_i (M. Born, K. Huang 1954). Debye
temperature: O. L. Anderson, J. Phys. Chem. Solids 24, 909 (1963); exactly, v_m^-3 is the mean of v^-3 over all
directions and polarisations; Anderson's estimate takes the polycrystal's two velocities.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mdnnp.atoms.quantities import density
from mdnnp.atoms.system import System, volume
from mdnnp.base.errors import PhysicsError
from mdnnp.base.units import BOLTZMANN_EV_PER_K
from mdnnp.landscape.modes import PLANCK_EV_PER_THZ
from mdnnp.materials.elastic import Moduli, to_tensor

_POLAR, _AZIMUTH = 48, 96  # points of the mean over directions
_M_PER_S = 1000.0  # sqrt(GPa / (g/cm^3))


class Sound(NamedTuple):
    """Velocities in m/s, temperatures in K.

    density : g/cm^3; longitudinal, transverse : of a polycrystal; mean : Debye's, over all directions
    debye, debye_anderson : from `mean`, and from the polycrystal's velocities
    directions : (hkl) along cell vectors -> (3,) velocities, fastest first
    """

    density: float
    longitudinal: float
    transverse: float
    mean: float
    debye: float
    debye_anderson: float
    directions: dict[str, np.ndarray]


def velocities(constants: np.ndarray, density_g_cm3: float, directions: np.ndarray) -> np.ndarray:
    """(n, 3) m/s, fastest first, of waves along unit vectors (n, 3); constants (6, 6) GPa.

    Raises PhysicsError if the crystal is unstable against one of these waves.
    """
    tensor = to_tensor(0.5 * (constants + constants.T))
    stiffness = np.linalg.eigvalsh(np.einsum("ijkl,nj,nl->nik", tensor, directions, directions, optimize=True))
    if stiffness.min() <= 0.0:
        raise PhysicsError("the crystal is unstable against sound waves: some velocities are imaginary")
    return _M_PER_S * np.sqrt(stiffness[:, ::-1] / density_g_cm3)


def sound(constants: np.ndarray, averages: Moduli, system: System, masses: np.ndarray) -> Sound:
    """Sound of a crystal of elastic constants (6, 6) GPa. Raises PhysicsError as `velocities` does."""
    rho = float(density(masses, volume(system.cell)))
    z, weight = np.polynomial.legendre.leggauss(_POLAR)
    angle = 2 * np.pi * (np.arange(_AZIMUTH) + 0.5) / _AZIMUTH
    ring = np.sqrt(1 - z**2)[:, None]
    sphere = np.stack([ring * np.cos(angle), ring * np.sin(angle), z[:, None] + 0 * angle], axis=2).reshape(-1, 3)
    slowness = (velocities(constants, rho, sphere) ** -3.0).mean(axis=1).reshape(_POLAR, _AZIMUTH).mean(axis=1)
    mean = float((0.5 * weight @ slowness) ** (-1 / 3))
    longitudinal = _M_PER_S * np.sqrt((averages.bulk + 4 / 3 * averages.shear) / rho)
    transverse = _M_PER_S * np.sqrt(averages.shear / rho)
    isotropic = float(((longitudinal**-3 + 2 * transverse**-3) / 3) ** (-1 / 3))
    per_volume = len(system) / volume(system.cell)
    along = {}
    for name, hkl in (("100", (1, 0, 0)), ("110", (1, 1, 0)), ("111", (1, 1, 1))):
        along[name] = velocities(constants, rho, direction(system, hkl)[None])[0]
    return Sound(
        rho, float(longitudinal), float(transverse), mean, debye_temperature(mean, per_volume),
        debye_temperature(isotropic, per_volume), along,
    )  # fmt: skip


def direction(system: System, hkl: ArrayLike) -> np.ndarray:
    """Unit vector along h a + k b + l c."""
    vector = np.asarray(hkl, float) @ system.cell
    return vector / np.linalg.norm(vector)


def debye_temperature(velocity: float, atoms_per_A3: float) -> float:
    """h/k_B (3 n / 4 pi)^(1/3) v, K, of a velocity in m/s."""
    highest_THz = (3 * atoms_per_A3 / (4 * np.pi)) ** (1 / 3) * velocity * 1e-2  # 1 m/s per Å is 0.01 THz
    return PLANCK_EV_PER_THZ * highest_THz / BOLTZMANN_EV_PER_K
