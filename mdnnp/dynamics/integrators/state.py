"""The state of a run, and what every integrator has in common.

Positions are unwrapped Cartesian coordinates in float64: they are never folded back into the cell, so displacements
stay exact. Time is step * timestep, never a sum.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from mdnnp.atoms.quantities import kinetic_energy
from mdnnp.atoms.system import System
from mdnnp.base.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K
from mdnnp.potentials.interface import Results

Compute = Callable[[System], Results]


class Bath(NamedTuple):
    """Variables of thermostat and barostat; those that an ensemble does not have are zero or empty.

    energy : eV, what the atoms have given away: heat to the thermostat, and work against the pressure of the
        surroundings, which begins with p V. It is summed step by step, so that it is right for ramps as well.
    chain (M,), cell_chain (M,) : velocities of the Nose-Hoover chains of atoms and of the cell, 1/fs
    cell_velocity : (3, 3) 1/fs, symmetric; the cell moves as d(cell)/dt = cell @ cell_velocity
    """

    energy: float = 0.0
    chain: np.ndarray = np.zeros(0)
    cell_velocity: np.ndarray = np.zeros((3, 3))
    cell_chain: np.ndarray = np.zeros(0)


class MDState(NamedTuple):
    """The state of the dynamics after a whole number of steps.

    system : atoms with unwrapped positions, Å
    velocities : (N, 3) Å/fs, at the same time as the positions
    masses : (N,) u
    results : energy, forces and virial at these positions
    step : number of steps done
    fixed : (K,) indices of atoms that do not move; their velocities are zero
    bath : variables of thermostat and barostat
    """

    system: System
    velocities: np.ndarray
    masses: np.ndarray
    results: Results
    step: int
    fixed: np.ndarray = np.empty(0, np.int64)
    bath: Bath = Bath()


class Integrator(Protocol):
    """An ensemble: how a state becomes the next one, and what is conserved on the way."""

    def begin(self, system: System) -> Bath:
        """The bath at the first step."""

    def step(self, state: MDState, timestep_fs: float, compute: Compute) -> MDState:
        """The state one time step later; `compute` gives the Results of a System. The old state does not change."""

    def conserved_energy(self, state: MDState) -> float:
        """Energy of atoms, bath and cell in eV, which the exact dynamics conserves."""


class Ramp(NamedTuple):
    """A temperature (K) or pressure (GPa) that goes linearly from `start` to `end`, and stays there.

    first_step, n_steps : step at which it begins, and steps that it takes; 0 for a constant `start`
    """

    start: float
    end: float
    first_step: int = 0
    n_steps: int = 0

    @classmethod
    def constant(cls, value: float) -> "Ramp":
        """The same value always."""
        return cls(value, value)

    def during(self, step: int) -> float:
        """The value in the middle of the time step that follows `step`."""
        if self.n_steps == 0:
            return self.start
        share = min(max((step + 0.5 - self.first_step) / self.n_steps, 0.0), 1.0)
        return self.start + share * (self.end - self.start)


def accelerations(results: Results, masses: np.ndarray, fixed: np.ndarray | None = None) -> np.ndarray:
    """Accelerations (N, 3) in Å/fs^2 from forces in eV/Å and masses (N,) in u; zero for the atoms `fixed`."""
    found = results.forces * (ACCELERATION_A_PER_FS2 / masses)[:, None]
    if fixed is not None:
        found[fixed] = 0.0
    return found


def total_energy(state: MDState) -> float:
    """Kinetic plus potential energy in eV, which the exact dynamics conserves."""
    return float(kinetic_energy(state.velocities, state.masses)) + state.results.energy


def thermal_energy(temperature: Ramp, step: int) -> float:
    """k_B T in eV during the time step that follows `step`."""
    return BOLTZMANN_EV_PER_K * temperature.during(step)


def random_numbers(seed: int, step: int) -> np.random.Generator:
    """The random numbers of the time step that follows `step`.

    They are those of a counter-based generator (Philox), with the seed as its key and the step in its counter: no
    state has to be carried along, and a step that is done again has the same numbers.
    """
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, step, 0, 0]))
