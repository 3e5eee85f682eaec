"""`mdnnp bench`: what a step costs on this machine, beside the machine's own speed and a yardstick for everybody."""

from mdnnp.command.benchmark.charged import bench_charges, table_of_charges
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
    "bench_charges",
    "find_lammps",
    "table",
    "table_of_charges",
    "water_box",
    "water_masses",
    "water_model",
]
