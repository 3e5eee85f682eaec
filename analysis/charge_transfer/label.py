"""Labels of charge transfer: energies, forces and charges of carbon chains (GFN2-xTB) and salt clusters (GFN1-xTB).

The systems are those of T. W. Ko, J. A. Finkler, S. Goedecker, J. Behler, Nat. Commun. 12, 398 (2021): C10H2 and
C10H3+, Na9Cl8+ and Na8Cl8+ (a distant sodium atom less). Samples of Langevin dynamics. For the salt, the curve of the
energy as one sodium atom moves along a line is labelled too, in both clusters; it is no part of the samples.

GFN2-xTB is no teacher for the salt: at some distances of sodium and chlorine its energy has bumps of 7 meV, 0.05 Å
wide, with forces of 0.6 eV/Å. GFN1-xTB has none.

pip install tblite==0.8.0
python label.py SYSTEM FOLDER       writes FOLDER/SYSTEM.xyz, and for salt FOLDER/SYSTEM-curve.xyz
"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS
from tblite.ase import TBLite

SYSTEMS = {  # total charge, temperatures K, step fs, steps between samples, samples a temperature
    "C10H2": (0, (300.0, 600.0), 1.0, 20, 100),
    "C10H3": (1, (300.0, 600.0), 1.0, 20, 100),
    "Na9Cl8": (1, (200.0, 400.0), 5.0, 8, 110),
    "Na8Cl8": (1, (200.0, 400.0), 5.0, 8, 110),
}
REMOVED, MOVED = 8, 0  # sodium atoms: the one that Na8Cl8+ lacks, and the one that is moved
CURVE = np.linspace(-0.4, 0.4, 33)  # Å, of the moved atom from its place


def start(name: str) -> Atoms:
    """A guess of the structure."""
    if name.startswith("C"):
        x = np.arange(10) * 1.28
        ends = [[-1.07, 0.0, 0.0], [x[-1] + 1.07, 0.0, 0.0]]
        if name == "C10H3":
            ends = [[-0.55, 0.93, 0.0], [-0.55, -0.93, 0.0], ends[1]]
        bent = np.stack([x, 0.02 * np.sin(np.arange(10)), 0 * x], axis=1)
        return Atoms(f"C10H{len(ends)}", np.concatenate([bent, ends]))
    sites = [(i, j, k) for k in range(2) for j in range(3) for i in range(3)]
    sodium = [s for s in sites if sum(s) % 2 == 0]
    chlorine = [s for s in sites if sum(s) % 2 == 1 and s != (2, 0, 1)]
    atoms = Atoms("Na9Cl8", 2.75 * np.array(sodium + chlorine, float))
    if name == "Na8Cl8":
        del atoms[REMOVED]
    return atoms


def calculator(name: str) -> TBLite:
    """The teacher; an odd electron is shared out by the electronic temperature."""
    return TBLite(method="GFN2-xTB" if name.startswith("C") else "GFN1-xTB", charge=SYSTEMS[name][0], verbosity=0)


def labelled(atoms: Atoms, charge: int, kind: str) -> Atoms:
    """A copy with energy, forces and charges."""
    calc = atoms.calc
    out = Atoms(atoms.numbers, np.round(atoms.positions, 6))
    out.calc = calc
    results = {"energy": out.get_potential_energy(), "forces": out.get_forces(), "charges": out.get_charges()}
    results = {name: np.round(value, 6) for name, value in results.items()}
    out.calc = SinglePointCalculator(out, **results)
    out.info.update(charge=charge, config_type=kind)
    return out


def curve(atoms: Atoms, line: np.ndarray, charge: int, kind: str) -> list[Atoms]:
    """The moved atom along a line, the others as they are."""
    out = []
    for x in CURVE:
        moved = atoms.copy()
        moved.positions[MOVED] += x * line
        moved.calc = atoms.calc
        one = labelled(moved, charge, kind)
        one.info["displacement"] = float(x)
        out.append(one)
    return out


def relaxed(name: str) -> Atoms:
    """The structure of least energy near the guess."""
    atoms = start(name)
    atoms.calc = calculator(name)
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=300)
    return atoms


def main(name: str, folder: Path) -> None:
    """Relax, sample, label, write. Samples of either salt cluster start from the relaxed larger one."""
    charge, temperatures, step, every, number = SYSTEMS[name]
    rng = np.random.default_rng(1)
    atoms = relaxed("Na9Cl8" if name.startswith("Na") else name)
    if name.startswith("Na"):
        smaller = atoms.copy()
        del smaller[REMOVED]
        smaller.calc = calculator("Na8Cl8")
        line = smaller.get_forces()[MOVED]  # what the removed atom changes
        line /= np.linalg.norm(line)
        if name == "Na8Cl8":
            atoms = smaller
        write(folder / f"{name}-curve.xyz", curve(atoms, line, charge, f"{name}-curve"), format="extxyz")
    frames = [labelled(atoms, charge, name)]
    begin = atoms.positions.copy()
    for temperature in temperatures:
        atoms.positions = begin
        MaxwellBoltzmannDistribution(atoms, temperature_K=2.0 * temperature, rng=rng)
        run = Langevin(atoms, step * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng)
        for _ in range(number):
            run.run(every)
            frames.append(labelled(atoms, charge, name))
    write(folder / f"{name}.xyz", frames, format="extxyz")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
