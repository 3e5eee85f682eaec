"""Energies, temperature and pressure of a state: computed once, for the log, the limits and the file."""

import math
from functools import cached_property

import numpy as np

from mdnnp.atoms import quantities
from mdnnp.atoms.system import volume
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.dynamics.integrators import MDState
from mdnnp.dynamics.start import Start


class Observed:
    """What is measured in one state of a run, each quantity when it is first asked for; `state` is the state."""

    def __init__(self, state: MDState, start: Start):
        self.state, self._start = state, start

    @cached_property
    def kinetic_energy(self) -> float:
        """Kinetic energy, eV."""
        return float(quantities.kinetic_energy(self.state.velocities, self.state.masses))

    @property
    def total_energy(self) -> float:
        """Potential and kinetic energy, eV."""
        return self.state.results.energy + self.kinetic_energy

    @cached_property
    def conserved_energy(self) -> float:
        """Energy that the ensemble conserves, eV."""
        return self._start.integrator.conserved_energy(self.state)

    @property
    def temperature(self) -> float:
        """Temperature, K."""
        return float(quantities.temperature(self.kinetic_energy, self._start.n_degrees))

    @cached_property
    def volume(self) -> float:
        """Volume of the cell, Å^3; NaN unless it is periodic in three directions."""
        return volume(self.state.system.cell) if self.state.system.pbc.all() else math.nan

    @property
    def density(self) -> float:
        """Density, g/cm^3; NaN without a volume."""
        return float(quantities.density(self.state.masses, self.volume))

    @cached_property
    def pressure_tensor(self) -> np.ndarray:
        """(3, 3) GPa; NaN without a volume."""
        tensor = quantities.kinetic_tensor(self.state.velocities, self.state.masses)
        return quantities.pressure_tensor(tensor, self.state.results.virial, self.volume) * EV_PER_A3_IN_GPA

    @property
    def pressure(self) -> float:
        """Pressure, GPa; NaN without a volume."""
        return float(np.trace(self.pressure_tensor)) / 3
