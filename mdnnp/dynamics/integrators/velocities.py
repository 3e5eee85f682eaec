"""The velocities that a run starts with."""

import numpy as np

from mdnnp.atoms.quantities import degrees_of_freedom, kinetic_energy, momentum, temperature
from mdnnp.base.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K


def maxwell_boltzmann(
    masses: np.ndarray,
    temperature_K: float,
    seed: int,
    *,
    exact_temperature: bool = False,
    remove_momentum: bool = True,
) -> np.ndarray:
    """Velocities (N, 3) in Å/fs drawn from the Maxwell-Boltzmann distribution.

    masses : (N,) u; seed of NumPy's PCG64 generator
    remove_momentum : take out the centre-of-mass motion (not that of a single atom, which has no other)
    exact_temperature : scale to `temperature_K`, counted with the degrees of freedom that are left
    """
    gaussian = np.random.Generator(np.random.PCG64(seed)).standard_normal((len(masses), 3))
    velocities = gaussian * np.sqrt(BOLTZMANN_EV_PER_K * temperature_K * ACCELERATION_A_PER_FS2 / masses)[:, None]
    if remove_momentum:
        velocities = without_momentum(velocities, masses)
    if exact_temperature:
        n_degrees = degrees_of_freedom(len(masses), momentum_removed=remove_momentum)
        velocities = scaled_to_temperature(velocities, masses, temperature_K, n_degrees)
    return velocities


def without_momentum(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Velocities (N, 3) with the centre-of-mass velocity taken out; those of a single atom stay."""
    if len(masses) == 1:
        return velocities
    return velocities - momentum(velocities, masses) / np.sum(masses)


def scaled_to_temperature(
    velocities: np.ndarray, masses: np.ndarray, temperature_K: float, n_degrees: int
) -> np.ndarray:
    """Velocities (N, 3) scaled to the temperature `temperature_K`; atoms that are all at rest stay so."""
    now = temperature(kinetic_energy(velocities, masses), n_degrees)
    return velocities * np.sqrt(temperature_K / now) if now > 0 else velocities
