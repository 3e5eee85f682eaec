#!/usr/bin/env bash
# What: H5MD lets `species` be an HDF5 enumeration, names with numbers of their own. znh5md takes the numbers for
# atomic numbers, so O = 0 and H = 1 become "no element" and H, and other numbers other elements.
# Version: znh5md 0.4.8 (ase 3.29.0, h5py 3.16.0), seen in November 2026.
# Who meets it: who reads into ASE the H5MD files of programs that name their species.
# Instead: take the names from the file (h5py.check_enum_dtype) and set atoms.symbols.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check znh5md==0.4.8 ase==3.29.0 h5py==3.16.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import h5py
import numpy as np
import znh5md


def element(group, value, unit=None, dtype=None):
    group["step"], group["time"] = [0], [0.0]
    group.create_dataset("value", data=np.array(value)[None], dtype=dtype)
    group["time"].attrs["unit"] = "fs"
    if unit:
        group["value"].attrs["unit"] = unit


names = h5py.enum_dtype({"Si": 1, "O": 2}, basetype="i4")
with h5py.File("named.h5", "w") as file:
    file.create_group("h5md").attrs["version"] = [1, 1]
    for name in ("author", "creator"):
        file.create_group(f"h5md/{name}").attrs["name"] = "someone"
    file["h5md/creator"].attrs["version"] = "1"
    particles = file.create_group("particles/trajectory")
    box = particles.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs.create("boundary", ["periodic"] * 3, dtype=h5py.string_dtype())
    element(box.create_group("edges"), 10.0 * np.eye(3), "Angstrom")
    element(particles.create_group("position"), [[0.0, 0, 0], [1.6, 0, 0], [-1.6, 0, 0]], "Angstrom")
    element(particles.create_group("species"), [1, 2, 2], dtype=names)

read = znh5md.IO("named.h5")[0]
print("znh5md 0.4.8; expected: SiO2 or an error; seen:", read.symbols)
print("Potentials, masses and X-ray intensities are those of other elements, and no step fails that knows them.")
assert str(read.symbols) == "HHe2", "the behaviour has changed"
EOF
