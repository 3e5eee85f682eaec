#!/usr/bin/env bash
# What: znh5md writes velocities in ASE's internal unit, Å (eV/u)^(1/2)/Å = 0.098 Å/fs, and labels them "Angstrom/fs".
# It reads numbers without looking at their units: nm come back as Å, nm/ps as 0.098 Å/fs, kJ/(mol nm) as eV/Å.
# Version: znh5md 0.4.8 (ase 3.29.0), seen in November 2026.
# Who meets it: who exchanges H5MD files between ASE and any other program.
# Instead: read such files with h5py and convert by the labels; divide velocities written by znh5md by 10.18.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check znh5md==0.4.8 ase==3.29.0 h5py==3.16.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import ase
import h5py
import numpy as np
import znh5md
from ase import units

atoms = ase.Atoms("Ar2", positions=[[0, 0, 0], [3, 0, 0]], cell=[10, 10, 10], pbc=True)
atoms.set_velocities([[0.01 / units.fs, 0, 0]] * 2)  # 0.01 Å/fs
znh5md.IO("written.h5").append(atoms)
with h5py.File("written.h5") as file:
    velocity = file["particles/atoms/velocity/value"]
    written, label = velocity[0, 0, 0], velocity.attrs["unit"]
print("znh5md 0.4.8")
print(f"expected: a velocity of 0.01 Å/fs in the file; seen: {written:.4f} with the label {label}")
assert np.isclose(written * units.fs, 0.01) and label == "Angstrom/fs", "the behaviour has changed"


def element(group, value, unit=None):
    group["step"], group["time"], group["value"] = [0], [0.0], np.array(value)[None]
    group["time"].attrs["unit"] = "ps"
    if unit:
        group["value"].attrs["unit"] = unit


with h5py.File("nanometres.h5", "w") as file:
    file.create_group("h5md").attrs["version"] = [1, 1]
    for name in ("author", "creator"):
        file.create_group(f"h5md/{name}").attrs["name"] = "someone"
    file["h5md/creator"].attrs["version"] = "1"
    particles = file.create_group("particles/trajectory")
    box = particles.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs.create("boundary", ["periodic"] * 3, dtype=h5py.string_dtype())
    element(box.create_group("edges"), 1.0 * np.eye(3), "nm")
    element(particles.create_group("position"), [[0.0, 0, 0], [0.3, 0, 0]], "nm")
    element(particles.create_group("force"), [[1.0, 0, 0], [-1.0, 0, 0]], "kJ mol-1 nm-1")
    element(particles.create_group("species"), [18, 18])
read = znh5md.IO("nanometres.h5")[0]
distance, force = read.get_distance(0, 1), read.get_forces()[0, 0]
print(f"expected: atoms 3 Å apart, a force of {units.kJ / units.mol / units.nm:.5f} eV/Å")
print(f"seen: {distance} Å and {force} eV/Å")
print("Temperatures are wrong by 104, distances by 10, forces by 965.")
assert np.isclose(distance, 0.3) and np.isclose(force, 1.0), "the behaviour has changed"
EOF
