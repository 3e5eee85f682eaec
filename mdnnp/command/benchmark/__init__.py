"""`mdnnp bench`: what a step costs on this machine, beside the machine's own speed and a yardstick for everybody."""

from mdnnp.command.benchmark.suite import SCHEMA, Case, Options, bench
from mdnnp.command.benchmark.tables import Bar, table
from mdnnp.command.benchmark.water import water_box, water_masses, water_model
from mdnnp.command.benchmark.yardstick import find_lammps

__all__ = [
    "SCHEMA",
    "Bar",
    "Case",
    "Options",
    "bench",
    "find_lammps",
    "table",
    "water_box",
    "water_masses",
    "water_model",
]
