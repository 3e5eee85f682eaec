"""Input and output of LAMMPS: data files, dumps, thermodynamic lines; and a box of water for it."""

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from mdnnp.atoms.system import System, make_system
from mdnnp.command.benchmark.water import water_box

UNITS = "length_unit Bohr energy_unit Hartree"
# LAMMPS' own constants
U_A2_PS2_EV = 1.0364269e-4
EV_KCAL_MOL = 23.060549
PRESSURE = {"metal": 1.6021765e6, "real": 68568.415 * EV_KCAL_MOL}  # of 1 eV/Å³, in bar and atm
VOIGT = ([0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2])


def write_data(path, system, symbols, velocities=None):
    """Data file of a system whose cell vectors make a lower triangle; box of 40 Å where it has no cell."""
    cell = system.cell if system.pbc.any() else 40.0 * np.eye(3)
    low = 0.0 if system.pbc.any() else -20.0
    lines = ["", "", f"{len(system)} atoms", f"{len(symbols)} atom types"]
    lines += [f"{low} {low + cell[k, k]:.17g} {'xyz'[k]}lo {'xyz'[k]}hi" for k in range(3)]
    if cell[1, 0] or cell[2, 0] or cell[2, 1]:
        lines += [f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz"]
    numbers = [chemical_symbols.index(symbol) for symbol in symbols]
    lines += ["", "Masses", "", *(f"{k} {atomic_masses[z]:.17g}" for k, z in enumerate(numbers, start=1))]
    lines += ["", "Atoms # atomic", ""]
    for k, (z, r) in enumerate(zip(system.numbers, system.positions, strict=True), start=1):
        lines += [f"{k} {numbers.index(z) + 1} {r[0]:.17g} {r[1]:.17g} {r[2]:.17g}"]
    if velocities is not None:
        lines += [
            "",
            "Velocities",
            "",
            *(f"{k} {v[0]:.17g} {v[1]:.17g} {v[2]:.17g}" for k, v in enumerate(velocities, 1)),
        ]
    path.write_text("\n".join(lines) + "\n")


def frame(path, n):
    """Rows of the last frame of a dump, without the atoms' numbers."""
    return np.array([line.split()[1:] for line in path.read_text().splitlines()[-n:]], float)


def thermo(said):
    """The last line of thermodynamic output, without the step."""
    lines = said.splitlines()
    header = max(k for k, line in enumerate(lines) if line.split()[:1] == ["Step"])
    return np.array([float(x) for x in lines[header + 1].split()[1:]])


def water(tilted=False) -> System:
    """A box of water; its atoms are inside of its cell, as LAMMPS keeps them."""
    box = water_box((3, 3, 3))
    cell = box.cell.copy()
    if tilted:
        cell[1, 0], cell[2, 0], cell[2, 1] = 2.0, -1.5, 1.0
    fractions = np.linalg.solve(box.cell.T, box.positions.T).T
    return make_system((fractions - np.floor(fractions)) @ cell, box.numbers, cell, True)
