#!/usr/bin/env bash
# What: ASE's Bussi and NoseHooverChainNVT give 3N degrees of freedom their energy, though both leave the total
# momentum as it is. After `Stationary` it is zero, and the other 3N-3 share the energy: they run at T N/(N-1).
# get_temperature() divides by 3N as well, so that the log shows the temperature that was asked for.
# Version: ase 3.29.0, seen in November 2026.
# Who meets it: who runs small cells (4 atoms: +33 %; 64: +1.6 %) to make training data, free energies or phonon
# spectra.
# Instead: Bussi with ase.constraints.FixCom; NoseHooverChainNVT, which counts 3N even then, at T (N-1)/N.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ase==3.29.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import ase
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixCom
from ase.md.bussi import Bussi
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from ase.md.velocitydistribution import Stationary, thermalize_momenta


def temperature(thermostat, constraint=None, steps=3000, **arguments):
    """Mean temperature (K) of the 3N-3 directions in which atoms of a crystal can move, asked for 300 K."""
    rng = np.random.RandomState(1)
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    atoms.set_constraint(constraint)
    thermalize_momenta(atoms, 300, rng=rng)
    Stationary(atoms)
    if thermostat is Bussi:
        arguments["rng"] = rng
    dynamics = thermostat(atoms, 4 * units.fs, temperature_K=300, **arguments)
    energies = []
    dynamics.attach(lambda: energies.append(atoms.get_kinetic_energy()))
    dynamics.run(steps)
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-6
    return 2 * np.mean(energies[300:]) / (3 * len(atoms) - 3) / units.kB


bussi, fixed = temperature(Bussi, taut=20 * units.fs), temperature(Bussi, FixCom(), taut=20 * units.fs)
chain = temperature(NoseHooverChainNVT, FixCom(), tdamp=40 * units.fs)
print("ase", ase.__version__)
print("expected: 300 K; 4 atoms, of 12 degrees of freedom 9 move")
print(f"seen: Bussi {bussi:.0f} K, with FixCom {fixed:.0f} K; NoseHooverChainNVT with FixCom {chain:.0f} K; 300 N/(N-1) = 400 K")
print("Displacements, disorder of training data and anharmonic shifts are those of a hotter crystal.")
assert 350 < bussi < 450 and 260 < fixed < 340 and 350 < chain < 450, "the behaviour has changed"
EOF
