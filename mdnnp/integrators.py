"""Velocity Verlet at constant energy, and the velocities that a run starts with.

Positions are unwrapped Cartesian coordinates in float64: they are never folded back into the cell, so
displacements stay exact. Time is step * timestep, never a sum.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mdnnp.observables import degrees_of_freedom, kinetic_energy, momentum, temperature
from mdnnp.potential import Results
from mdnnp.system import System
from mdnnp.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K

Compute = Callable[[System], Results]


class MDState(NamedTuple):
    """Where the dynamics stands after a whole number of steps.

    system : atoms with unwrapped positions, Å
    velocities : (N, 3) Å/fs, at the same time as the positions
    masses : (N,) u
    results : energy, forces and virial at these positions
    step : number of steps done
    """

    system: System
    velocities: np.ndarray
    masses: np.ndarray
    results: Results
    step: int


def accelerations(results: Results, masses: np.ndarray) -> np.ndarray:
    """Accelerations (N, 3) in Å/fs^2 from forces in eV/Å and masses (N,) in u."""
    return results.forces * (ACCELERATION_A_PER_FS2 / masses)[:, None]


def verlet_step(state: MDState, timestep_fs: float, compute: Compute) -> MDState:
    """One step of velocity Verlet; conserves the total energy to second order in the time step.

    `compute` gives the Results of a System. The old state's arrays are left as they are.
    Source: W. C. Swope et al., J. Chem. Phys. 76, 637 (1982).
    """
    half_step = 0.5 * timestep_fs
    halfway = state.velocities + half_step * accelerations(state.results, state.masses)
    system = state.system._replace(positions=state.system.positions + timestep_fs * halfway)
    results = compute(system)
    velocities = halfway + half_step * accelerations(results, state.masses)
    return MDState(system, velocities, state.masses, results, state.step + 1)


def total_energy(state: MDState) -> float:
    """Kinetic plus potential energy in eV, which the exact dynamics conserves."""
    return float(kinetic_energy(state.velocities, state.masses)) + state.results.energy


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


def fastest_period(state: MDState, compute: Compute, *, n_iterations: int = 12) -> float:
    """Period in fs of the fastest vibration about a configuration; infinite where no curvature is positive.

    The largest eigenvalue omega^2 of the mass-weighted Hessian by Lanczos iteration. Each of `n_iterations`
    Hessian-vector products is a difference of forces over a displacement of at most 0.001 Å. The eigenvalue
    converges from below, so the period is an upper bound, commonly within a few percent.
    Source: G. H. Golub, C. F. Van Loan, Matrix Computations (2013), section 10.1.
    """
    root_mass = np.sqrt(state.masses)[:, None]

    def hessian_times(vector: np.ndarray) -> np.ndarray:
        """Mass-weighted Hessian (1/fs^2) times an (N, 3) vector."""
        move = vector / root_mass
        scale = 1e-3 / np.max(np.abs(move))
        forces = compute(state.system._replace(positions=state.system.positions + scale * move)).forces
        return (state.results.forces - forces) * (ACCELERATION_A_PER_FS2 / scale) / root_mass

    vector = np.random.Generator(np.random.PCG64(0)).standard_normal((len(root_mass), 3))
    vector /= np.linalg.norm(vector)
    basis = [vector]
    diagonal, off_diagonal = [], []
    while True:
        image = hessian_times(basis[-1])
        diagonal.append(np.vdot(image, basis[-1]))
        for other in basis:  # all of them, or rounding brings back directions that were found
            image = image - np.vdot(image, other) * other
        norm = np.linalg.norm(image)
        if len(basis) == min(n_iterations, vector.size) or norm <= 1e-10 * np.max(np.abs(diagonal)):
            break
        off_diagonal.append(norm)
        basis.append(image / norm)
    tridiagonal = np.diag(diagonal) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)
    omega_squared = np.linalg.eigvalsh(tridiagonal)[-1]
    return float(2.0 * np.pi / np.sqrt(omega_squared)) if omega_squared > 0 else np.inf
