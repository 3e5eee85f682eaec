"""Velocity Verlet at constant energy, and the fastest vibration, which limits its time step."""

from dataclasses import dataclass

import numpy as np

from mdnnp.atoms.system import System
from mdnnp.base.units import ACCELERATION_A_PER_FS2
from mdnnp.dynamics.integrators.state import Bath, Compute, MDState, accelerations, total_energy
from mdnnp.potentials.lanczos import lanczos


def verlet_step(state: MDState, timestep_fs: float, compute: Compute) -> MDState:
    """One step of velocity Verlet; conserves the total energy to second order in the time step.

    `compute` gives the Results of a System. The old state's arrays do not change.
    Source: W. C. Swope et al., J. Chem. Phys. 76, 637 (1982).
    """
    half_step = 0.5 * timestep_fs
    halfway = state.velocities + half_step * accelerations(state.results, state.masses, state.fixed)
    system = state.system._replace(positions=state.system.positions + timestep_fs * halfway)
    results = compute(system)
    velocities = halfway + half_step * accelerations(results, state.masses, state.fixed)
    return state._replace(system=system, velocities=velocities, results=results, step=state.step + 1)


@dataclass(frozen=True)
class ConstantEnergy:
    """NVE: velocity Verlet, which conserves the total energy."""

    def begin(self, system: System) -> Bath:
        """No bath."""
        return Bath()

    def step(self, state: MDState, timestep_fs: float, compute: Compute) -> MDState:
        """See `verlet_step`."""
        return verlet_step(state, timestep_fs, compute)

    def conserved_energy(self, state: MDState) -> float:
        """Kinetic plus potential energy, eV."""
        return total_energy(state)


def fastest_period(state: MDState, compute: Compute, *, n_iterations: int = 12) -> float:
    """Period in fs of the fastest vibration about a configuration; infinite where no curvature is positive.

    The largest eigenvalue omega^2 of the mass-weighted Hessian by Lanczos iteration. Each of `n_iterations`
    Hessian-vector products is a difference of forces over a displacement of at most 0.001 Å. The eigenvalue
    converges from below, so the period is an upper bound, commonly within a few percent.
    """
    root_mass = np.sqrt(state.masses)[:, None]

    def hessian_times(vector: np.ndarray) -> np.ndarray:
        """Mass-weighted Hessian (1/fs^2) times an (N, 3) vector."""
        move = vector / root_mass
        scale = 1e-3 / np.max(np.abs(move))
        forces = compute(state.system._replace(positions=state.system.positions + scale * move)).forces
        change = (state.results.forces - forces) * (ACCELERATION_A_PER_FS2 / scale) / root_mass
        change[state.fixed] = 0.0
        return change

    vector = np.random.Generator(np.random.PCG64(0)).standard_normal((len(root_mass), 3))
    vector[state.fixed] = 0.0
    *_, last = lanczos(hessian_times, vector, min(n_iterations, vector.size))
    omega_squared = last.values[-1]
    return float(2.0 * np.pi / np.sqrt(omega_squared)) if omega_squared > 0 else np.inf
