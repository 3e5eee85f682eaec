"""Energy of crystalline silicon against volume: the network beside density-functional theory of the same settings.

    python analysis/silicon/equation_of_state.py [--potential inputs/silicon/potential] [-o silicon-volume.png]

`inputs/silicon/volumes.xyz` holds the DFT labels: the perfect crystal, 64 atoms, the Gamma point alone, so that its
lattice constant and bulk modulus are those of these settings and not the converged ones of PBE. None of them is in the
training set. Both curves are fitted with the equation of F. Birch, Phys. Rev. 71, 809 (1947). To label other volumes:

    python analysis/silicon/equation_of_state.py --make volumes.xyz 0.94 0.97 1.0 1.03 1.06
    python analysis/silicon/label.py volumes.xyz labels/ -o labelled.xyz
"""

import argparse
from pathlib import Path

import ase.io
import matplotlib
import numpy as np
from ase import Atoms
from ase.build import bulk

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mdnnp import load_potential, make_system
from mdnnp.base.report.style import ACCENT, MAIN, STYLE
from mdnnp.materials.eos import fit_birch_murnaghan

SILICON = Path(__file__).resolve().parents[2] / "inputs" / "silicon"
LATTICE_CONSTANT_A = 5.469  # of volume 1


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--potential", type=Path, default=SILICON / "potential")
    p.add_argument("--labels", type=Path, default=SILICON / "volumes.xyz")
    p.add_argument("--make", nargs="+", metavar="FILE V", help="write crystals of these relative volumes, and stop")
    p.add_argument("-o", "--output", type=Path, default=Path("silicon-volume.png"))
    return p.parse_args()


def crystals(volumes: list[float]) -> list[Atoms]:
    """Perfect crystals of 64 atoms, of these volumes relative to that of LATTICE_CONSTANT_A."""
    made = []
    for volume in volumes:
        atoms = bulk("Si", "diamond", a=LATTICE_CONSTANT_A * volume ** (1 / 3), cubic=True).repeat(2)
        atoms.info.update(config_type="volume", sample_volume=volume)
        made.append(atoms)
    return made


def main() -> None:
    args = arguments()
    if args.make:
        ase.io.write(args.make[0], crystals([float(v) for v in args.make[1:]]), format="extxyz")
        return
    labelled = sorted(ase.io.read(args.labels, ":"), key=Atoms.get_volume)
    potential = load_potential(args.potential)
    volumes = np.array([a.get_volume() / len(a) for a in labelled])
    dft = np.array([a.get_potential_energy() / len(a) for a in labelled])
    network = np.array(
        [potential.compute(make_system(a.positions, a.numbers, a.cell.array, True)).energy / len(a) for a in labelled]
    )
    fits = {"DFT (PBE, 64 atoms, Gamma)": (dft, ACCENT, "o"), "network": (network, MAIN, "s")}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
        lowest, x = None, np.linspace(volumes.min(), volumes.max(), 200)
        for name, (energies, colour, marker) in fits.items():
            fit = fit_birch_murnaghan(volumes, energies)
            lowest = fit.energy if lowest is None else lowest
            text = f"{name}: {(8 * fit.volume) ** (1 / 3):.3f} Å, {fit.bulk_modulus_GPa:.1f} GPa"
            print(f"{text}, {fit.energy:.4f} eV/atom at the minimum")
            axes.plot(x, 1e3 * (fit.at(x) - lowest), color=colour, lw=1)
            axes.plot(volumes, 1e3 * (energies - lowest), marker, color=colour, mfc="none", label=text)
        difference = 1e3 * (network - dft)
        print(f"network minus DFT: {np.round(difference, 2)} meV/atom at {np.round(volumes, 2)} Å^3/atom")
        axes.set(xlabel="volume / (Å$^3$/atom)", ylabel="energy − minimum of DFT / (meV/atom)")
        axes.legend(fontsize=9)
        figure.savefig(args.output)
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
