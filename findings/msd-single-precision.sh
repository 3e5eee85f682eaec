#!/usr/bin/env bash
# What: Mean squared displacements by Fourier transform are differences of large sums of squared positions. freud
# takes positions as 32-bit floats and sums in them; tidynamics does so if its input is 32-bit, as MDAnalysis'
# positions are. Far from the origin the small displacements of a solid drown.
# Version: freud-analysis 3.4.0, tidynamics 1.1.2, seen in November 2026.
# Who meets it: who looks for diffusion in solids, in large cells or in unwrapped trajectories.
# Instead: subtract each atom's mean position in double precision first; give tidynamics float64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check freud-analysis==3.4.0 tidynamics==1.1.2 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import freud
import numpy as np
import tidynamics

rng = np.random.default_rng(0)
x = 0.05 * rng.standard_normal((5000, 1, 3))  # Å; an atom that vibrates: the true MSD is 0.015 Å^2 at all times
lags = [1, 100, 1000, 3000]
print("freud", freud.__version__, "tidynamics 1.1.2; expected 0.015 Å^2 at every time and place")
worst = {}
for distance in (0, 200):
    moved = x + distance
    results = {
        "freud": freud.msd.MSD(mode="window").compute(moved).msd,
        "tidynamics, 32 bits": tidynamics.msd(moved[:, 0].astype(np.float32)),
        "tidynamics, 64 bits": tidynamics.msd(moved[:, 0]),
    }
    for name, msd in results.items():
        print(f"{distance} Å from the origin, {name}: {np.round(np.array(msd)[lags], 4)}")
        worst[name, distance] = np.abs(np.array(msd)[lags] - 0.015).max()
print("A solid seems to diffuse, or has negative displacements.")
assert worst["freud", 0] < 0.002 and worst["tidynamics, 64 bits", 200] < 0.002, "the behaviour has changed"
assert worst["freud", 200] > 0.01 and worst["tidynamics, 32 bits", 200] > 0.005, "the behaviour has changed"
EOF
