#!/usr/bin/env bash
# What: ASE's reader of RuNNer's input.data converts positions, cell, energy and forces from Hartree and Bohr, but no
# other column: the atomic energies of the same structure stay in Hartree.
# Version: ase 3.29.0, seen in November 2026.
# Who meets it: who uses the atomic energies of input.data, or columns of his own (momenta, dipoles), beside the
# converted ones.
# Instead: multiply atoms.arrays["atom_energy"] by ase.units.Hartree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --no-deps ase==3.29.0 numpy==2.4.6 scipy==1.17.1
cd "$folder"
venv/bin/python - <<'EOF'
import ase
import numpy as np
from ase.io import read

with open("input.data", "w") as file:
    file.write("begin\nlattice 10 0 0\nlattice 0 10 0\nlattice 0 0 10\n")
    file.write("atom 0 0 0 Si 0.1 -0.25 0.01 0 0\natom 0 0 4 Si -0.1 -0.75 -0.01 0 0\n")
    file.write("energy -1.0\ncharge 0.0\nend\n")
atoms = read("input.data", format="runnerdata")
total, parts = atoms.get_potential_energy(), atoms.arrays["atom_energy"]
print("ase", ase.__version__)
print(f"expected: atomic energies that add up to the total, {total:.4f} eV; seen: {parts}, sum {parts.sum()}")
print("Offsets and energies per element fitted to them are too small by 27.2.")
assert np.isclose(total, -ase.units.Hartree) and np.isclose(parts.sum(), -1.0), "the behaviour has changed"
EOF
