#!/usr/bin/env bash
# What: dpdata knows a system as periodic in three directions or in none. A slab or a wire of ASE becomes a bulk
# crystal on its way through dpdata, with the energies and forces of the slab.
# Version: dpdata 1.1.0 (ase 3.29.0), seen in November 2026.
# Who meets it: who brings data of surfaces to or from DeePMD, or converts data sets with dpdata.
# Instead: add vacuum of more than the potential's cutoff before converting, or set pbc again afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check dpdata==1.1.0 ase==3.29.0
cd "$folder"
venv/bin/python - <<'EOF'
import warnings

import dpdata
from ase.build import fcc111
from ase.calculators.emt import EMT

warnings.simplefilter("error", UserWarning)
slab = fcc111("Cu", (2, 2, 3), vacuum=1.0)  # periodic along the surface alone; the cell ends at the surface
slab.calc = EMT()
slab.get_forces()
label = slab.get_potential_energy()
back = dpdata.LabeledSystem(slab, fmt="ase/structure").to("ase/structure")[0]
stored = back.get_potential_energy()
back.calc = EMT()
again = back.get_potential_energy()
print("dpdata", dpdata.__version__)
print(f"expected: pbc {slab.pbc} or an error; seen: pbc {back.pbc}")
print(f"label {stored:.3f} eV; the structure that it now belongs to has {again:.3f} eV")
print("A network learns that surfaces have the energy of strained bulk.")
assert back.pbc.all() and abs(stored - label) < 1e-6 and abs(again - label) > 0.5, "the behaviour has changed"
EOF
