#!/usr/bin/env bash
# What: With an even supercell ase.phonons puts the force constants of the atoms half a supercell away on one side
# only. Its frequencies lose the crystal's symmetry: branches that are degenerate by symmetry split, with the same
# forces of which phonopy makes degenerate ones. Odd supercells are right.
# Version: ase 3.29.0 (phonopy 4.10.0 for comparison), seen in November 2026.
# Who meets it: who computes phonons with ase.phonons in 2x2x2 or 4x4x4 cells, the usual ones.
# Instead: odd supercells, or phonopy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ase==3.29.0 phonopy==4.10.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import ase
import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.phonons import Phonons
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

copper = bulk("Cu", a=3.61)
q = [0.3, 0.0, 0.0]  # on the threefold axis from Gamma to L, where the two transverse branches are one


def by_ase(n):  # THz
    phonons = Phonons(copper, EMT(), supercell=(n, n, n), delta=0.01, name=f"ase-{n}")
    phonons.run()
    phonons.read(acoustic=True)
    return phonons.band_structure(np.array([q]), verbose=False)[0] / ase.units._hplanck * ase.units._e / 1e12


def by_phonopy(n):  # THz
    cell = PhonopyAtoms(["Cu"], cell=copper.cell[:], scaled_positions=[[0, 0, 0]])
    phonons = Phonopy(cell, n * np.eye(3, dtype=int))
    phonons.generate_displacements(distance=0.01, is_plusminus=True)
    forces = []
    for displaced in phonons.supercells_with_displacements:
        atoms = ase.Atoms(displaced.symbols, cell=displaced.cell, positions=displaced.positions, pbc=True)
        atoms.calc = EMT()
        forces.append(atoms.get_forces())
    phonons.forces = forces
    phonons.produce_force_constants()
    return phonons.get_frequencies(q)


print("ase", ase.__version__)
for n in (2, 3, 4):
    ours, theirs = by_ase(n), by_phonopy(n)
    split, reference = ours[1] - ours[0], theirs[1] - theirs[0]
    print(f"{n}x{n}x{n}: ase {np.round(ours, 4)} THz; phonopy {np.round(theirs, 4)}; two transverse branches, expected equal")
    assert reference < 1e-3, "the behaviour has changed"
    assert split > 0.005 if n % 2 == 0 else split < 1e-3, "the behaviour has changed"
print("Dispersions and densities of states are wrong by up to terahertz in small cells; convergence with size is hidden.")
EOF
