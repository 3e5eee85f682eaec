#!/usr/bin/env bash
# What: ASE guesses the elements of a LAMMPS data file by the nearest standard mass. Tritium and hydrogen made heavy
# for longer steps (3 or 4 u) become helium, and an oxygen that gave mass away another element, without a warning.
# Version: ase 3.29.0, seen in November 2026.
# Who meets it: who reads with ASE the data files of runs with repartitioned masses or isotopes.
# Instead: read(path, format="lammps-data", Z_of_type={1: 8, 2: 1}).
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


def water(oxygen, hydrogen):
    with open("water.data", "w") as file:
        file.write(f"""water

3 atoms
2 atom types

0 10 xlo xhi
0 10 ylo yhi
0 10 zlo zhi

Masses

1 {oxygen} # O
2 {hydrogen} # H

Atoms # atomic

1 1 5.00 5.00 5.00
2 2 5.96 5.00 5.00
3 2 4.76 5.93 5.00
""")
    return str(read("water.data", format="lammps-data").symbols), read(
        "water.data", format="lammps-data", Z_of_type={1: 8, 2: 1}
    ).symbols


print("ase", ase.__version__, "reads OH2 with names as comments beside the masses")
seen = {}
for oxygen, hydrogen in ((15.999, 1.008), (15.999, 2.014), (15.999, 3.016), (9.95, 4.032)):
    seen[hydrogen], told = water(oxygen, hydrogen)
    print(f"masses {oxygen} and {hydrogen}: expected OH2, seen {seen[hydrogen]}; with Z_of_type {told}")
    assert str(told) == "OH2"
print("The potential, if it knows these elements, is that of another substance; scattering and charges are too.")
assert seen[1.008] == seen[2.014] == "OH2" and seen[3.016] == "OHe2" and "He2" in seen[4.032], "the behaviour has changed"
EOF
