#!/usr/bin/env bash
# What: i-PI writes positions in Bohr by default, with cell and units in the comment line of its xyz files. ASE and
# MDAnalysis take any comment: they read the numbers as Å, and a cluster without a cell.
# Version: ipi 3.3.1, ase 3.29.0, MDAnalysis 2.11.0, seen in November 2026.
# Who meets it: who reads trajectories of i-PI (path integrals, socket drivers) with the usual readers.
# Instead: read them with ipi.utils.io, or let i-PI write format="ase" (extended xyz, Å).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ipi==3.3.1 ase==3.29.0 MDAnalysis==2.11.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import ase
import ase.io
import MDAnalysis
import numpy as np
from ipi.engine.atoms import Atoms
from ipi.engine.cell import Cell
from ipi.utils.io import print_file

atoms, cell = Atoms(2), Cell()
atoms.names[:], atoms.q[:] = ["Ar", "Ar"], [0, 0, 0, 7, 0, 0]  # Bohr
cell.h = 20.0 * np.eye(3)
with open("positions.xyz", "w") as file:
    print_file("xyz", atoms, cell, file, title="Step: 0  Bead: 0 ", key="positions")
print(f"ipi 3.3.1 writes: {open('positions.xyz').read().splitlines()[1]}")

read = ase.io.read("positions.xyz")
universe = MDAnalysis.Universe("positions.xyz")
theirs = np.ptp(universe.atoms.positions[:, 0])
print(f"expected: atoms {7 * ase.units.Bohr:.3f} Å apart, a periodic cell of {20 * ase.units.Bohr:.2f} Å; or an error")
print(f"seen: ase {ase.__version__}: {read.get_distance(0, 1)} Å, pbc {read.pbc}, volume {read.cell.volume}")
print(f"seen: MDAnalysis {MDAnalysis.__version__}: {theirs} Å, box {universe.dimensions}")
print("Bonds are too long by 1.89 and the crystal is a cluster, which a neural network extrapolates to without pain.")
assert read.get_distance(0, 1) == 7 and not read.pbc.any() and theirs == 7, "the behaviour has changed"
assert universe.dimensions is None, "the behaviour has changed"
EOF
