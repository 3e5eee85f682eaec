#!/usr/bin/env bash
# What: A box of an H5MD file says "periodic" or "none" for each direction. MDAnalysis does not look at it. znh5md
# does, but sees only strings of variable length: of strings of fixed length, which H5MD 1.1 asks for, it makes
# "periodic".
# Version: MDAnalysis 2.11.0, znh5md 0.4.8 (h5py 3.16.0), seen in November 2026.
# Who meets it: who keeps clusters or molecules in H5MD files and evaluates or analyses the frames again.
# Instead: set the periodicity by hand after reading (atoms.pbc = False; universe.dimensions = None).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check MDAnalysis==2.11.0 znh5md==0.4.8 ase==3.29.0 h5py==3.16.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import h5py
import MDAnalysis
import numpy as np
import znh5md
from MDAnalysis.lib.distances import calc_bonds


def element(group, value, unit=None):
    group["step"], group["time"], group["value"] = [0], [0.0], np.array(value)[None]
    group["time"].attrs["unit"] = "fs"
    if unit:
        group["value"].attrs["unit"] = unit


def write(path, boundary):
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = [1, 1]
        for name in ("author", "creator"):
            file.create_group(f"h5md/{name}").attrs["name"] = "someone"
        file["h5md/creator"].attrs["version"] = "1"
        particles = file.create_group("particles/trajectory")
        box = particles.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = boundary
        element(box.create_group("edges"), 10.0 * np.eye(3), "Angstrom")
        element(particles.create_group("position"), [[1.0, 0, 0], [9.0, 0, 0]], "Angstrom")
        element(particles.create_group("species"), [18, 18])


write("fixed.h5md", np.array(["none"] * 3, dtype="S4"))
write("variable.h5md", np.array(["none"] * 3, dtype=h5py.string_dtype()))

print("MDAnalysis", MDAnalysis.__version__, "znh5md 0.4.8; expected: no periodicity, atoms 8 Å apart")
universe = MDAnalysis.Universe("variable.h5md", format="H5MD", topology_format="MINIMAL")
distance = calc_bonds(*universe.atoms.positions, box=universe.dimensions)
print(f"seen: MDAnalysis has the box {universe.dimensions} and a distance of {distance:.1f} Å")
fixed, variable = (znh5md.IO(f"{name}.h5md")[0] for name in ("fixed", "variable"))
print(f"seen: znh5md reads strings of variable length as pbc {variable.pbc}, of fixed length as {fixed.pbc}")
print("Opposite ends of a cluster become neighbours; energies computed again are those of a crystal.")
assert np.isclose(distance, 2.0) and fixed.pbc.all() and not variable.pbc.any(), "the behaviour has changed"
EOF
