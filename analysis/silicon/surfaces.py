"""Surfaces of silicon by density-functional theory, and slabs to train on.

    python analysis/silicon/surfaces.py CALCULATIONS/ [-o dft.json] [--frames surfaces.xyz] [--part 1/2]

Runs Quantum ESPRESSO's pw.x (see `label.py`), each calculation in a file of its own in the directory CALCULATIONS,
which is kept: start the command again after an interruption, and it goes on. Without pw.x it evaluates what is there.
An hour on one core. What is computed:

    gamma = (E(slab) - N e) / 2A of 1 x 1 slabs of (100), (110) and (111), 10 to 16 layers, ideal and relaxed
    rattled slabs, 1 x 1 and 2 x 1, for training alone

The settings are those of `label.py` but for one. The Gamma point alone of a cell of 64 atoms has the energy of the
crystal wrong by 0.1 eV/atom, by an amount that depends on the shape of the cell and would not cancel from a surface
energy. So slabs have a mesh of k points along the surface that amounts to the Gamma point of 15.5 x 15.5 Å or so; e is
the energy of the crystal with the same mesh there and a dense one across. In `--frames`, N (e(64) - e) is added to the
energy of a slab, with e(64) that of the crystal in the other data, so that all data agree on the crystal; stresses are
left out.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.neighborlist import neighbor_list
from label import PSEUDOPOTENTIAL, run
from reference import LATTICE_A

from mdnnp import make_system
from mdnnp.atoms.system import System
from mdnnp.materials.surfaces import INDICES, J_PER_M2, slabs

THICKNESS_A, VACUUM_A = 15.0, 9.0
PERIOD_A = 15.5  # of the cell whose Gamma point the k points along the surface amount to
RATTLED = ((1, 0.1), (2, 0.05), (2, 0.12))  # cells along a, standard deviation of each coordinate in Å
NAMES = {"".join(map(str, indices)): indices for indices in INDICES}
CALCULATIONS = ["crystal", *(f"{kind} {name}" for kind in ("bulk", "ideal", "relaxed") for name in NAMES)] + [
    f"rattled {name} {k}" for k in range(len(RATTLED)) for name in NAMES
]


def crystal() -> System:
    atoms = bulk("Si", "diamond", LATTICE_A, cubic=True)
    return make_system(atoms.positions, atoms.numbers, atoms.cell.array, True)


def slab(name: str) -> Atoms:
    """An ideal slab in vacuum; of its terminations, that which breaks the fewest bonds."""

    def bonds(system: System) -> int:
        atoms = Atoms(system.numbers, system.positions, cell=system.cell, pbc=system.pbc)
        return len(neighbor_list("i", atoms, 0.47 * LATTICE_A))

    best = max(slabs(crystal(), NAMES[name], THICKNESS_A), key=bonds)
    normal = np.cross(best.cell[0], best.cell[1])
    normal /= np.linalg.norm(normal)
    height = np.ptp(best.positions @ normal) + VACUUM_A
    return Atoms(best.numbers, best.positions, cell=[*best.cell[:2], height * normal], pbc=True)


def prepare(calculation: str) -> tuple[Atoms, tuple[int, int, int]]:
    """Where a calculation begins, and its k points."""
    kind, name, number = (*calculation.split(), "", "")[:3]
    if kind == "crystal":  # as 64 atoms with the Gamma point
        system = crystal()
        return Atoms(system.numbers, system.positions, cell=system.cell, pbc=True), (2, 2, 2)
    if kind == "bulk":
        thin = slabs(crystal(), NAMES[name], 1.0)[0]
        atoms = Atoms(thin.numbers, thin.positions, cell=thin.cell, pbc=True)
        across = max(1, round(2 * PERIOD_A * area(atoms) / atoms.get_volume()))
    else:
        atoms, across = slab(name), 1
    if kind == "relaxed":
        atoms.rattle(0.02, seed=1)  # off the symmetric places, or nothing would leave them
    if kind == "rattled":
        cells, width = RATTLED[int(number)]
        atoms = atoms.repeat((cells, 1, 1))
        atoms.rattle(width, seed=int(number))
    along = (max(1, round(PERIOD_A / length)) for length in atoms.cell.lengths()[:2])
    return atoms, (*along, across)


def area(atoms: Atoms) -> float:
    return float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1])))


def calculate(calculation: str, path: Path, pw: str, pseudo_dir: Path) -> None:
    """All steps of a calculation as extended XYZ in `path`, once it has ended."""
    control = {}
    if calculation.startswith("relaxed"):  # by BFGS, to 0.05 eV/Å
        control = {"calculation": "relax", "nstep": 40, "forc_conv_thr": 2e-3, "etot_conv_thr": 5e-4}
    atoms, kpts = prepare(calculation)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        output = run(atoms, pw, pseudo_dir, Path(scratch), kpts=kpts, **control)
        frames = [f for f in read(output, index=":", format="espresso-out") if f.calc and "energy" in f.calc.results]
        write(Path(scratch) / "frames.xyz", frames, format="extxyz")
        os.replace(Path(scratch) / "frames.xyz", path)


def surface_energies(frames: dict[str, list[Atoms]]) -> dict[str, float]:
    """J/m^2, of those whose calculations are there, by the names of `mdnnp properties`."""
    found = {}
    for name in NAMES:
        for kind, ending in (("relaxed", ""), ("ideal", "_unrelaxed")):
            if f"{kind} {name}" in frames and f"bulk {name}" in frames:
                last = frames[f"{kind} {name}"][-1]
                excess = last.get_potential_energy() - len(last) * per_atom(frames[f"bulk {name}"][0])
                found[f"surface_{name}{ending}_J_per_m2"] = round(excess / (2 * area(last)) * J_PER_M2, 4)
    return found


def per_atom(atoms: Atoms) -> float:
    return atoms.get_potential_energy() / len(atoms)


def training_frames(frames: dict[str, list[Atoms]]) -> list[Atoms]:
    """Slabs with energies that agree with the other data on the crystal; of relaxations every second step."""
    chosen = []
    for calculation, steps in frames.items():
        kind, name = (*calculation.split(), "")[:2]
        if kind in ("crystal", "bulk") or f"bulk {name}" not in frames:
            continue
        shift = per_atom(frames["crystal"][0]) - per_atom(frames[f"bulk {name}"][0])
        for step in [*steps[:-1:2], steps[-1]]:
            atoms = step.copy()
            atoms.info = {"config_type": f"surface-{name}", "added_eV": round(len(step) * shift, 6)}
            energy = step.get_potential_energy() + len(step) * shift
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=step.get_forces())
            chosen.append(atoms)
    return chosen


def main() -> None:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("calculations", type=Path, help="directory of the calculations, one file for each")
    p.add_argument("-o", "--output", type=Path, help="JSON of `reference.py`, to which the surface energies are added")
    p.add_argument("--frames", type=Path, help="collect slabs to train on here")
    p.add_argument("--part", default="1/1", metavar="K/N", help="every Nth calculation, beginning with the Kth")
    p.add_argument("--pw", default="pw.x", help="the program pw.x")
    p.add_argument("--pseudo-dir", type=Path, default=Path("/usr/share/espresso/pseudo"), help=f"has {PSEUDOPOTENTIAL}")
    args = p.parse_args()
    args.calculations.mkdir(parents=True, exist_ok=True)
    first, step = (int(n) for n in args.part.split("/"))
    frames = {}
    for k, calculation in enumerate(CALCULATIONS):
        path = args.calculations / f"{calculation.replace(' ', '-')}.xyz"
        if not path.exists() and k % step == first - 1 and shutil.which(args.pw):
            begun = time.perf_counter()
            try:
                calculate(calculation, path, args.pw, args.pseudo_dir)
            except RuntimeError as error:
                raise SystemExit(f"{calculation}: {error}") from None
            print(f"{calculation}: {time.perf_counter() - begun:.0f} s", flush=True)
        if path.exists():
            frames[calculation] = read(path, ":")
    found = surface_energies(frames)
    print(json.dumps(found, indent=2))
    if args.output:
        known = json.loads(args.output.read_text())
        details = known.pop("details", {})
        args.output.write_text(json.dumps(known | found | {"details": details}, indent=2) + "\n")
    if args.frames:
        write(args.frames, training_frames(frames), format="extxyz")


if __name__ == "__main__":
    main()
