#!/usr/bin/env bash
# What: In extended xyz, GPUMD and LAMMPS name the columns of masses and velocities `mass` and `vel`. ASE keeps such
# columns as arrays of these names, and uses them for nothing: get_masses() gives the elements' masses and
# get_velocities() zeros.
# Version: ase 3.29.0, seen in November 2026.
# Who meets it: who starts ASE's dynamics, or computes temperatures and spectra, from such files; isotopes and heavy
# hydrogen.
# Instead: atoms.set_masses(atoms.arrays["mass"]) and atoms.set_velocities(atoms.arrays["vel"]) in the file's unit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --no-deps ase==3.29.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
venv/bin/python - <<'EOF'
import warnings

import ase
from ase.io import read

warnings.simplefilter("error")
with open("deuterium.xyz", "w") as file:
    file.write("2\n")
    file.write('Lattice="10 0 0 0 10 0 0 0 10" Properties=species:S:1:pos:R:3:mass:R:1:vel:R:3 pbc="T T T"\n')
    file.write("H 1.00 2.0 3.0 2.014 0.01 0.0 0.0\n")
    file.write("H 1.74 2.0 3.0 2.014 -0.01 0.0 0.0\n")
atoms = read("deuterium.xyz")
print("ase", ase.__version__)
print("expected: masses of 2.014 u and moving atoms, or a warning")
print(f"seen: masses {atoms.get_masses()}, temperature {atoms.get_temperature()} K; arrays {sorted(atoms.arrays)}")
print("Vibrations of deuterium are too fast by 1.41, and a run that should go on starts at rest.")
assert (atoms.get_masses() == 1.008).all() and atoms.get_temperature() == 0, "the behaviour has changed"
EOF
