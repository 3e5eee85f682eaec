#!/usr/bin/env bash
# What: Extended xyz names its columns in the comment line, in any order. MDAnalysis and chemfiles take the three
# columns behind the element as positions whatever their name is: here they read forces.
# Version: MDAnalysis 2.11.0, chemfiles 0.10.4 (ase 3.29.0 for comparison), seen in November 2026.
# Who meets it: who analyses data sets in extended xyz with programs that read plain xyz.
# Instead: convert such files with ASE first, or check that `pos:R:3` comes right after `species:S:1`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check MDAnalysis==2.11.0 chemfiles==0.10.4 ase==3.29.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import ase.io
import chemfiles
import MDAnalysis
import numpy as np

with open("order.xyz", "w") as file:
    file.write('2\nLattice="10 0 0 0 10 0 0 0 10" Properties=species:S:1:forces:R:3:pos:R:3 pbc="T T T"\n')
    file.write("Si 0.1 0.2 0.3 1.0 2.0 3.0\nSi -0.1 -0.2 -0.3 3.3 2.0 3.0\n")
expected = ase.io.read("order.xyz").positions
frame = chemfiles.Trajectory("order.xyz").read()  # kept, because its positions are a view of it
read = {
    f"MDAnalysis {MDAnalysis.__version__}": MDAnalysis.Universe("order.xyz").atoms.positions,
    f"chemfiles {chemfiles.__version__}": frame.positions,
}
print(f"expected, and read by ase {ase.__version__}: {expected.tolist()}")
for name, positions in read.items():
    print(f"{name}: {np.round(positions, 3).tolist()}")
    assert np.allclose(positions, [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]), "the behaviour has changed"
print("Distances are differences of forces; nothing fails, as forces are numbers of the size of coordinates.")
EOF
