#!/usr/bin/env bash
# What: H5MD gives every element its own steps and times. MDAnalysis reads row i of velocities and forces beside row i
# of the positions, whatever their steps are, so a file with velocities written more often than positions gives wrong
# velocities, without a word.
# Version: MDAnalysis 2.11.0 (h5py 3.16.0), seen in November 2026.
# Who meets it: who writes velocities often (spectra, heat currents) and positions seldom, and reads both.
# Instead: write all elements at the same steps, or read such a file with h5py and match the steps.
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


def element(group, value, unit, steps):
    group["step"], group["time"], group["value"] = steps, 1.0 * steps, value
    group["time"].attrs["unit"], group["value"].attrs["unit"] = "fs", unit


def accelerated(steps):  # x = 0.01 t^2 (Å), v = 0.02 t (Å/fs)
    x, v = np.zeros((len(steps), 2, 3)), np.zeros((len(steps), 2, 3))
    x[:, :, 0], v[:, :, 0] = 0.01 * steps[:, None] ** 2, 0.02 * steps[:, None]
    return x, v


seldom, often = np.arange(0, 30, 10), np.arange(0, 30, 5)
with h5py.File("run.h5md", "w") as file:
    file.create_group("h5md").attrs["version"] = [1, 1]
    for name in ("author", "creator"):
        file.create_group(f"h5md/{name}").attrs["name"] = "someone"
    file["h5md/creator"].attrs["version"] = "1"
    particles = file.create_group("particles/trajectory")
    box = particles.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs.create("boundary", ["periodic"] * 3, dtype=h5py.string_dtype())
    element(box.create_group("edges"), np.tile(100.0 * np.eye(3), (3, 1, 1)), "Angstrom", seldom)
    element(particles.create_group("position"), accelerated(seldom)[0], "Angstrom", seldom)
    element(particles.create_group("velocity"), accelerated(often)[1], "Angstrom fs-1", often)

print("MDAnalysis", MDAnalysis.__version__)
universe = MDAnalysis.Universe("run.h5md", format="H5MD", topology_format="MINIMAL")
for frame in universe.trajectory:
    step = frame.data["step"]
    seen = frame.velocities[0, 0] / 1000  # Å/ps to Å/fs
    print(f"step {step}: velocity in the file {0.02 * step:.2f} Å/fs, read {seen:.2f} Å/fs")
    assert np.isclose(seen, 0.01 * step), "the behaviour has changed"
print("Here kinetic energies are too low by four, and every correlation of positions and velocities is wrong.")
EOF
