#!/usr/bin/env bash
# What: The ASE calculators of dftd4 and tblite take a cell that is periodic in some directions as periodic in all.
# That of dftd3 does as pbc says.
# Version: dftd4 4.3.1, tblite 0.8.0, dftd3 1.7.0 (ase 3.29.0), seen in November 2026.
# Who meets it: who labels slabs, sheets or wires with them, or adds their dispersion to a potential for such systems.
# Instead: give the open directions a long vacuum; test that the energy does not depend on it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check dftd4==4.3.1 tblite==0.8.0 dftd3==1.7.0 ase==3.29.0
cd "$folder"
venv/bin/python - <<'EOF'
import warnings

import ase
from dftd3.ase import DFTD3
from dftd4.ase import DFTD4
from tblite.ase import TBLite

warnings.simplefilter("error", UserWarning)


def sheet(height, calculator):
    """Energy (eV) of a sheet of graphene, not periodic across it, in a cell of a height (Å)."""
    atoms = ase.Atoms("C2", positions=[[0, 0, 1], [1.42, 0, 1]], cell=[[2.13, 1.23, 0], [2.13, -1.23, 0], [0, 0, height]])
    atoms.pbc = [True, True, False]
    atoms.calc = calculator
    return atoms.get_potential_energy()


print("ase", ase.__version__, "graphene, pbc = [True, True, False]; expected: the height of the cell does not matter")
change = {}
for name, calculator in {
    "dftd3": lambda: DFTD3(method="PBE", damping="d3bj"),
    "dftd4": lambda: DFTD4(method="PBE"),
    "tblite": lambda: TBLite(method="GFN1-xTB", verbosity=0),
}.items():
    low, high = sheet(3.4, calculator()), sheet(40.0, calculator())
    change[name] = low - high
    print(f"{name}: {low:.4f} eV in 3.4 Å, {high:.4f} eV in 40 Å")
print("The sheet is labelled with the energy of graphite.")
assert abs(change["dftd3"]) < 1e-6, "the behaviour has changed"
assert change["dftd4"] < -0.05 and abs(change["tblite"]) > 0.05, "the behaviour has changed"
EOF
