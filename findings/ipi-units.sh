#!/usr/bin/env bash
# What: i-PI's constants of the units that inputs and outputs are in differ from those of CODATA: the bar by 3e-5, the
# electronvolt by 1e-7, the angstrom by 1e-8.
# Version: ipi 3.3.1, seen in December 2026.
# Who meets it: who compares pressures, energies or forces of a run with those of another program to the last digits: a
# pressure set as "bar" is another one by 30 parts per million.
# Instead: compare in atomic units, or with i-PI's own constants; for the physics it is too small to matter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ipi==3.3.1 numpy==2.4.6 scipy==1.17.1
cd "$folder"
venv/bin/python - <<'EOF'
from importlib.metadata import version

from ipi.utils.units import unit_to_internal
from scipy import constants as codata

bohr = codata.physical_constants["Bohr radius"][0]
hartree = codata.physical_constants["Hartree energy"][0]
expected = {
    ("length", "angstrom"): 1e-10 / bohr,
    ("energy", "electronvolt"): codata.e / hartree,
    ("pressure", "bar"): 1e5 * bohr**3 / hartree,
}
print("ipi", version("ipi"), "in atomic units, beside CODATA as SciPy has it")
off = {}
for (kind, unit), value in expected.items():
    seen = unit_to_internal(kind, unit, 1.0)
    off[unit] = abs(seen / value - 1.0)
    print(f"1 {unit}: expected {value:.12g}, seen {seen:.12g}, relative difference {off[unit]:.2g}")
assert 2e-5 < off["bar"] < 4e-5 and 5e-8 < off["electronvolt"] < 2e-7 and 5e-9 < off["angstrom"] < 5e-8, "the behaviour has changed"
EOF
