"""How atoms move: velocity Verlet, thermostats, barostats; each with the quantity that its exact dynamics conserves.

An ensemble is an `Integrator`: `step` makes the next state, `conserved_energy` says what must not drift. `MDState.bath`
holds the variables of thermostat and barostat, so that state and step number are all that a restart needs. Random
numbers are a function of seed and step number (`random_numbers`).

`state` and `velocities` are what all share; `verlet` is constant energy, `thermostats` constant volume and temperature,
`barostats` constant pressure and temperature.
"""

from mdnnp.dynamics.integrators.barostats import CellRescaling, MartynaTobiasKlein
from mdnnp.dynamics.integrators.state import (
    Bath,
    Compute,
    Integrator,
    MDState,
    Ramp,
    accelerations,
    random_numbers,
    total_energy,
)
from mdnnp.dynamics.integrators.thermostats import Langevin, NoseHoover, VelocityRescaling
from mdnnp.dynamics.integrators.velocities import maxwell_boltzmann, scaled_to_temperature, without_momentum
from mdnnp.dynamics.integrators.verlet import ConstantEnergy, fastest_period, verlet_step

__all__ = [
    "Bath",
    "CellRescaling",
    "Compute",
    "ConstantEnergy",
    "Integrator",
    "Langevin",
    "MDState",
    "MartynaTobiasKlein",
    "NoseHoover",
    "Ramp",
    "VelocityRescaling",
    "accelerations",
    "fastest_period",
    "maxwell_boltzmann",
    "random_numbers",
    "scaled_to_temperature",
    "total_energy",
    "verlet_step",
    "without_momentum",
]
