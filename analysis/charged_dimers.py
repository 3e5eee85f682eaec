"""Two charged molecules pulled apart: fitted where they are near, tested further out, with charges and without.

    python analysis/charged_dimers.py TRAIN TEST [--folder dimers] [-o FIGURE]

TRAIN and TEST are files of extended XYZ with energies and forces of one pair of rigid molecules at several distances
(`distance`, Å, in `atoms.info`), such as those of A. Grisafi, M. Ceriotti, J. Chem. Phys. 151, 204105 (2019): the pairs
of charged side chains, 6.6 to 12.2 Å, and 13.1 to 15 Å. No reference charges are used.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np
from matplotlib.figure import Figure

from mdnnp.atoms.read import read_structures
from mdnnp.training.input import parse_train_config
from mdnnp.training.train import train

INPUT = """
[data]
train = ["{data}"]
validation_fraction = 0.0
[descriptors]
cutoff_A = 4.5
radial = 4
angular = 1
max_zeta = 2
[network]
hidden = [5]
[charges]
learned_from = "{learned_from}"
hidden = [5]
electronegativities_eV = {{ H = 0.0, C = 1.0, N = 1.0, O = 4.0 }}
[fit]
epochs = 60
energy_tolerance_meV = 0.05
prior = 0.1
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("dimers"))
    parser.add_argument("-o", "--figure", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(5.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for learned_from, name in (("none", "without charges"), ("energies", "with charges")):
        path = (options.folder / f"{learned_from}.toml").absolute()
        text = INPUT.format(data=options.train.absolute(), learned_from=learned_from).lstrip()
        path.write_text(text, encoding="utf-8")
        potential = train(parse_train_config(text, path), overwrite=True).potential
        for part, file in (("fitted", options.train), ("further out", options.test)):
            r = np.array([a.info["distance"] for a in ase.io.read(file, ":")])
            structures = read_structures(file)
            labels = np.array([s.energy for s in structures])
            found = np.array([potential.compute(s.system).energy for s in structures])
            if part == "fitted":
                zero = labels.min()
            off = np.abs(found - labels)
            print(f"{name}, {part}: {r.min():.1f} to {r.max():.1f} Å, errors at most {1e3 * off.max():.1f} meV")
            if learned_from == "none":
                axes.plot(r, labels - zero, "k." if part == "fitted" else "ko", label=f"reference, {part}")
            colour = {"none": "C1", "energies": "C0"}[learned_from]
            axes.plot(r, found - zero, colour, label=name if part == "fitted" else None)
    axes.set_xlabel("distance / Å")
    axes.set_ylabel("energy / eV")
    axes.legend()
    if options.figure:
        figure.savefig(options.figure, dpi=150)


if __name__ == "__main__":
    main()
