#!/usr/bin/env bash
# What: ASE's client for the i-PI protocol sends a virial of zeros unless `run` is called with use_stress=True, even
# if the calculator has a stress. The protocol cannot say "none", so the server takes zero for the truth.
# Version: ase 3.29.0, seen in November 2026.
# Who meets it: who drives a potential through ase.calculators.socketio from i-PI, or from ASE, at constant pressure.
# Instead: client.run(atoms, use_stress=True), and check that the server's first pressure is not only the kinetic one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ase==3.29.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import os
import threading

import ase
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.socketio import SocketClient, SocketIOCalculator


def compressed_copper(calculator):
    atoms = bulk("Cu", a=3.4, cubic=True)
    atoms.calc = calculator
    return atoms


def client(name, arguments):
    SocketClient(unixsocket=name).run(compressed_copper(EMT()), **arguments)


def stress(**arguments):
    """Stress xx (eV/Å^3) that a server sees."""
    name = f"finding-{os.getpid()}-{len(arguments)}"
    with SocketIOCalculator(unixsocket=name) as server:
        threading.Timer(1.0, client, [name, arguments]).start()
        return compressed_copper(server).get_stress()[0]


exact, plain, asked = compressed_copper(EMT()).get_stress()[0], stress(), stress(use_stress=True)
print("ase", ase.__version__)
print(f"expected: {exact:.4f} eV/Å^3, as the calculator says; seen: {plain:.4f}, with use_stress=True {asked:.4f}")
print("At constant pressure the cell then feels the kinetic pressure alone, as if its atoms were an ideal gas.")
assert plain == 0 and abs(asked - exact) < 1e-9 and exact < -0.1, "the behaviour has changed"
EOF
