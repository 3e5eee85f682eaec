"""Potentials of the second and the fourth generation, fitted to the same labels of charge transfer, side by side.

Errors on structures that neither fit saw; for the salt, where the energy of the moved atom is least in either cluster.

python label.py ... first; then python fits.py FOLDER {salt,carbon} [EPOCHS]
"""

import sys
from pathlib import Path

import numpy as np

from mdnnp.atoms.read import read_structures
from mdnnp.training.input import parse_train_config
from mdnnp.training.train import train

SETS = {"salt": ("Na9Cl8", "Na8Cl8"), "carbon": ("C10H2", "C10H3")}
INPUT = """
[data]
train = [{files}]
test_fraction = 0.15
[descriptors]
cutoff_A = 5.3
select = {functions}
[network]
hidden = [15, 15]
[charges]
learned_from = "{learned_from}"
[fit]
epochs = {epochs}
energy_tolerance_meV = 0.5
force_tolerance_meV_A = 30.0
prior = 5.0
"""


def minimum(x: np.ndarray, energies: np.ndarray) -> float:
    """Where a curve is least, by the parabola through its lowest point and the two beside it."""
    k = int(np.clip(np.argmin(energies), 1, len(x) - 2))
    a, b, _ = np.polyfit(x[k - 1 : k + 2], energies[k - 1 : k + 2], 2)
    return float(-b / (2.0 * a))


def main(folder: Path, kind: str, epochs: int) -> None:
    """Fit, print errors and minima, keep the potentials in the folder."""
    files = ", ".join(f'"{name}.xyz"' for name in SETS[kind])
    for generation, learned_from in (("2G", "none"), ("4G", "labels")):
        text = INPUT.format(files=files, functions=24, learned_from=learned_from, epochs=epochs)
        trained = train(parse_train_config(text, (folder / f"{kind}-{generation}.toml").absolute()), overwrite=True)
        for name, errors in trained.errors.items():
            found = ", ".join(f"{q} {e.overall.rmse:.3f} {e.unit}" for q, e in errors.quantities.items())
            print(f"{kind} {generation} {name}: {found}", flush=True)
        if kind != "salt":
            continue
        for cluster in SETS[kind]:
            curve = read_structures(folder / f"{cluster}-curve.xyz")
            x = np.linspace(-0.5, 0.7, len(curve))
            found = np.array([trained.potential.compute(s.system).energy for s in curve])
            wanted = np.array([s.energy for s in curve])
            print(
                f"{kind} {generation} {cluster}: minimum at {minimum(x, found):.3f} Å, "
                f"labels {minimum(x, wanted):.3f} Å; "
                f"curve off by {1e3 * np.sqrt(np.mean((found - wanted) ** 2)):.1f} meV",
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 40)
