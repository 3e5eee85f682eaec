#!/usr/bin/env bash
# What: freud's Box.compute_distances folds the vector between two points by rounding its fractions. In a tilted cell
# that is often not the nearest image, even with tilts that LAMMPS and MDAnalysis call reduced.
# Version: freud-analysis 3.4.0, seen in November 2026.
# Who meets it: who measures distances, displacements or bonds in triclinic cells with freud's Box.
# Instead: MDAnalysis.lib.distances, ase.geometry.find_mic, or a neighbour query of freud, which refuses cutoffs too
# large.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check freud-analysis==3.4.0 ase==3.29.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import freud
import numpy as np
from ase.geometry import find_mic

cell = np.array([[6.0, 0, 0], [3.0, 3.0, 0], [0, 0, 6.0]])  # tilt xy = lx / 2
points = np.random.default_rng(0).random((1000, 3)) @ cell
seen = freud.box.Box.from_matrix(cell.T).compute_distances(np.zeros((1000, 3)), points)
exact = find_mic(points, cell)[1]
wrong = seen > exact + 1e-3
print("freud", freud.__version__)
print("expected: distances to the nearest image")
print(f"seen: {wrong.mean():.0%} of 1000 random pairs too long, by up to {(seen - exact).max():.2f} Å of {exact.max():.2f} Å")
print("Nearest neighbours are missed, and jumps across the boundary are measured wrongly.")
assert wrong.mean() > 0.1, "the behaviour has changed"
EOF
