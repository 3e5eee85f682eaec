#!/usr/bin/env bash
# What: MDAnalysis keeps a cell as three lengths and three angles. Of an H5MD file it takes the positions as they are,
# but lays the cell anew with its first vector along x, so positions and cell fit together only if the cell in the
# file is lower-triangular. Any other cell gives wrong distances across the boundary, silently.
# Version: MDAnalysis 2.11.0 (h5py 3.16.0), seen in November 2026.
# Who meets it: who writes H5MD with cells as a DFT code or a database gives them.
# Instead: rotate structure, velocities and forces to a lower-triangular cell before writing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check MDAnalysis==2.11.0 h5py==3.16.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import h5py
import MDAnalysis
import numpy as np
from MDAnalysis.lib.distances import calc_bonds


def element(group, value, unit):
    group["step"], group["time"], group["value"] = [0], [0.0], np.array(value, dtype=float)[None]
    group["time"].attrs["unit"], group["value"].attrs["unit"] = "fs", unit


cell = [[0, 10, 0], [0, 0, 20], [30, 0, 0]]  # right-handed; along x the period is 30 Å
with h5py.File("run.h5md", "w") as file:
    file.create_group("h5md").attrs["version"] = [1, 1]
    for name in ("author", "creator"):
        file.create_group(f"h5md/{name}").attrs["name"] = "someone"
    file["h5md/creator"].attrs["version"] = "1"
    particles = file.create_group("particles/trajectory")
    box = particles.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs.create("boundary", ["periodic"] * 3, dtype=h5py.string_dtype())
    element(box.create_group("edges"), cell, "Angstrom")
    element(particles.create_group("position"), [[1, 0, 0], [24, 0, 0]], "Angstrom")

print("MDAnalysis", MDAnalysis.__version__)
universe = MDAnalysis.Universe("run.h5md", format="H5MD", topology_format="MINIMAL")
first, second = universe.atoms.positions
seen = calc_bonds(first, second, box=universe.dimensions)
print("expected: two atoms 23 Å apart along x, where the period is 30 Å, have images 7 Å apart")
print(f"seen: {seen:.2f} Å, as the cell is read with its period of 10 Å along x: {universe.dimensions}")
print("Distances, pair distributions and neighbours are wrong, while the volume and the cell's angles are right.")
assert np.isclose(seen, 3.0), "the behaviour has changed"
EOF
