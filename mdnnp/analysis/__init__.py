"""Physics from trajectories: structure, dynamics, transport, with block errors, in one pass of bounded memory."""

from mdnnp.analysis.dynamics import (
    green_kubo,
    mean_squared_displacement,
    thermal_conductivity,
    velocity_spectrum,
    viscosity,
)
from mdnnp.analysis.frames import Frames
from mdnnp.analysis.structure import (
    Bonds,
    Table,
    angular_distribution,
    bond_events,
    profiles,
    radial_distribution,
    structure_factor,
)

__all__ = [
    "Bonds",
    "Frames",
    "Table",
    "angular_distribution",
    "bond_events",
    "green_kubo",
    "mean_squared_displacement",
    "profiles",
    "radial_distribution",
    "structure_factor",
    "thermal_conductivity",
    "velocity_spectrum",
    "viscosity",
]
