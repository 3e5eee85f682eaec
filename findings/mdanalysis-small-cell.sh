#!/usr/bin/env bash
# What: MDAnalysis' self_capped_distance and capped_distance know only the nearest image of each pair. With a cutoff
# above half the cell they return a part of the neighbours, without a word (its FastNS refuses the same call).
# Version: MDAnalysis 2.11.0 (ase 3.29.0 for comparison), seen in November 2026.
# Who meets it: who computes descriptors, coordination or contacts in the small cells that potentials are trained on.
# Instead: a neighbour list with all images (ase, matscipy, vesin), or a supercell more than two cutoffs wide.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check MDAnalysis==2.11.0 ase==3.29.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import MDAnalysis
import numpy as np
from ase.build import bulk
from ase.neighborlist import neighbor_list
from MDAnalysis.lib.distances import capped_distance, self_capped_distance

silicon = bulk("Si", cubic=True)  # 8 atoms, 5.43 Å
silicon.rattle(0.01, seed=1)
box, positions = silicon.cell.cellpar().astype(np.float32), silicon.positions.astype(np.float32)
print("MDAnalysis", MDAnalysis.__version__)
for cutoff in (2.6, 6.0):
    exact = len(neighbor_list("i", silicon, cutoff)) // 2
    own = len(self_capped_distance(positions, cutoff, box=box)[0])
    both = (len(capped_distance(positions, positions, cutoff, box=box)[0]) - 8) // 2
    print(f"cutoff {cutoff} Å: expected {exact} pairs, seen {own} (self_capped_distance) and {both} (capped_distance)")
    assert own == both == (16 if cutoff < 5 else 28), "the behaviour has changed"
print("Coordination numbers and descriptors are too small, by more than half at the usual cutoff of 6 Å.")
assert exact > 100
EOF
