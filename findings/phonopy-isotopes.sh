#!/usr/bin/env bash
# What: phonopy looks for the primitive cell by elements and positions only. If masses differ (isotopes, hydrogen made
# heavy), the larger cell is folded all the same, and every atom gets the mass of one of its images. The warning that
# primitive_matrix="auto" gives says that the cell is smaller, and nothing of masses.
# Version: phonopy 4.10.0 (spglib 2.8.0), seen in November 2026.
# Who meets it: who computes isotope effects, or phonons of partly deuterated crystals.
# Instead: primitive_matrix="P", or other names for other isotopes (Si and Si1).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check phonopy==4.10.0 spglib==2.8.0
cd "$folder"
venv/bin/python - <<'EOF'
import warnings

import numpy as np
import phonopy
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
sites += [[x + 0.25, y + 0.25, z + 0.25] for x, y, z in sites]
masses = [28.0, 30.0] + 6 * [28.0]
cell = PhonopyAtoms(["Si"] * 8, cell=5.43 * np.eye(3), scaled_positions=sites, masses=masses)
print("phonopy", phonopy.__version__)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    default = Phonopy(cell, np.eye(3, dtype=int), primitive_matrix="auto").primitive
kept = Phonopy(cell, np.eye(3, dtype=int), primitive_matrix="P").primitive
print("expected: eight atoms, one of them of mass 30, or a warning about masses")
print(f"seen: {len(default)} atoms of masses {default.masses}; with primitive_matrix='P' {kept.masses}")
assert not any("mass" in str(warning.message) for warning in caught), "the behaviour has changed"
print("Frequencies and thermal properties are those of a pure crystal; the isotope is gone.")
assert len(default) == 2 and default.masses.max() == 28 and kept.masses.max() == 30, "the behaviour has changed"
EOF
