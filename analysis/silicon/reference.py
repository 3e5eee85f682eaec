"""Properties of silicon by density-functional theory, with the settings of the training data.

They are what `mdnnp properties --reference` compares a potential with:

    python analysis/silicon/reference.py CALCULATIONS/ [-o dft.json] [--frames defects.xyz] [--only NAME ...]

Runs Quantum ESPRESSO's pw.x (see `label.py` for how to install it, and for the settings) on cells of 63 to 65 atoms at
the lattice constant of `equation_of_state.py`, each in a file of its own in the directory CALCULATIONS, which is kept:
start the command again after an interruption, and it goes on. Without pw.x it evaluates what is there. Two hours on
one core. What is computed:

    C11, C12                  central differences of the stress for a strain of 1 % along x
    C44, clamped and relaxed  for a shear of 1 %; the relaxation from the forces on the two sublattices under that
                              shear, and for a shift of one against the other: C44 = C44(clamped) - L^2 / (K V)
    vacancy, interstitials    formation energy with all atoms relaxed in the cell of the crystal,
                              E(N') - N' E(64) / 64

All of them carry the error of the Gamma point alone and of the small cell: they are there to judge a network that was
fitted to such data, and are not silicon's. `--frames` collects relaxation steps as labelled configurations.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atom, Atoms
from ase.build import bulk
from ase.io import read, write
from label import PSEUDOPOTENTIAL, run

from mdnnp.base.units import EV_PER_A3_IN_GPA

LATTICE_A = 5.489
STRAIN, SHIFT_A = 0.01, 0.03
SOURCE = "DFT with the settings of the training data (PBE, 25 Ry, Gamma point of 64 atoms)"
RELAXED = ("vacancy", "tetrahedral", "hexagonal", "dumbbell")


def crystal() -> Atoms:
    return bulk("Si", "diamond", LATTICE_A, cubic=True).repeat(2)


def strained(component: tuple[int, int], strain: float) -> Atoms:
    """Engineering strain: shear of `strain` means both off-diagonal elements are half of it."""
    atoms, eps = crystal(), np.zeros((3, 3))
    i, j = component
    eps[i, j] += strain / 2
    eps[j, i] += strain / 2
    atoms.set_cell(atoms.cell @ (np.eye(3) + eps), scale_atoms=True)
    return atoms


def sublattice_B(atoms: Atoms) -> np.ndarray:
    """Mask of the sublattice at (1/4, 1/4, 1/4)."""
    return np.round(atoms.get_scaled_positions() * 8).astype(int)[:, 0] % 2 == 1


def shifted(shift: float) -> Atoms:
    atoms = crystal()
    atoms.positions[sublattice_B(atoms), 0] += shift
    return atoms


def defect(name: str) -> Atoms:
    """The crystal with a defect, not relaxed."""
    atoms, a = crystal(), LATTICE_A
    if name == "vacancy":
        del atoms[0]
    elif name == "tetrahedral":
        atoms.append(Atom("Si", np.full(3, a / 2)))
    elif name == "hexagonal":
        atoms.append(Atom("Si", np.full(3, 5 * a / 8)))
    else:
        along = 1.2 * np.array([1, 1, 0]) / np.sqrt(2)
        atoms.append(Atom("Si", atoms.positions[0] + along))
        atoms.positions[0] -= along
    # Off the symmetric place, or nothing would leave it.
    atoms.rattle(0.02, seed=1)
    atoms.info["config_type"] = name
    return atoms


CALCULATIONS = {
    "crystal": crystal,
    "xx+": lambda: strained((0, 0), STRAIN),
    "xx-": lambda: strained((0, 0), -STRAIN),
    "yz+": lambda: strained((1, 2), STRAIN),
    "yz-": lambda: strained((1, 2), -STRAIN),
    "shift+": lambda: shifted(SHIFT_A),
    "shift-": lambda: shifted(-SHIFT_A),
    **{name: lambda name=name: defect(name) for name in RELAXED},
}


def calculate(name: str, path: Path, pw: str, pseudo_dir: Path) -> None:
    """All steps of a calculation as extended XYZ in `path`, once it has ended."""
    control = {"calculation": "scf"}
    if name in RELAXED:  # by BFGS, to 0.05 eV/Å
        control = {"calculation": "relax", "nstep": 30, "forc_conv_thr": 2e-3, "etot_conv_thr": 5e-4}
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        output = run(CALCULATIONS[name](), pw, pseudo_dir, Path(scratch), **control)
        frames = [f for f in read(output, index=":", format="espresso-out") if f.calc and "energy" in f.calc.results]
        for frame in frames:
            frame.info["config_type"] = name
        write(Path(scratch) / "frames.xyz", frames, format="extxyz")
        os.replace(Path(scratch) / "frames.xyz", path)


def reference(frames: dict[str, list[Atoms]]) -> dict:
    """The properties that the calculations in `frames` suffice for."""
    found: dict[str, float] = {"a0_A": LATTICE_A}
    details: dict[str, float] = {}
    last = {name: steps[-1] for name, steps in frames.items()}
    if "crystal" in last:
        bulk_energy = last["crystal"].get_potential_energy() / 64
        details["crystal_pressure_GPa"] = float(-last["crystal"].get_stress()[:3].mean() * EV_PER_A3_IN_GPA)
        for name in RELAXED:
            if name in last:
                found[f"{name}_eV"] = float(last[name].get_potential_energy() - len(last[name]) * bulk_energy)
    if {"xx+", "xx-"} <= last.keys():
        c = derivative(last, "xx") / STRAIN
        found |= {"C11_GPa": c[0], "C12_GPa": float(c[1:3].mean())}
    if {"yz+", "yz-", "shift+", "shift-"} <= last.keys():
        more, of_them = shear_modulus(last)
        found, details = found | more, details | of_them

    def rounded(numbers):
        return {key: round(float(value), 4) for key, value in numbers.items()}

    return {"source": SOURCE, **rounded(found), "details": rounded(details)}


def derivative(last: dict[str, Atoms], name: str) -> np.ndarray:
    """Half the difference of the stresses (Voigt) of two calculations, GPa."""
    return (last[f"{name}+"].get_stress() - last[f"{name}-"].get_stress()) / 2 * EV_PER_A3_IN_GPA


def shear_modulus(last: dict[str, Atoms]) -> tuple[dict[str, float], dict[str, float]]:
    """C44, and what went into it."""
    B, volume = sublattice_B(crystal()), crystal().get_volume()

    def force(name: str) -> float:
        """On sublattice B along x against A, for one unit of strain or shift; half of both is free of a net force."""
        forces = (last[f"{name}+"].get_forces() - last[f"{name}-"].get_forces()) / 2
        return (forces[B, 0].sum() - forces[~B, 0].sum()) / 2

    clamped = derivative(last, "yz")[3] / STRAIN
    coupling, stiffness = force("yz") / STRAIN, -force("shift") / SHIFT_A
    from_stress = -derivative(last, "shift")[3] / SHIFT_A * volume / EV_PER_A3_IN_GPA
    relaxed = clamped - coupling**2 / (stiffness * volume) * EV_PER_A3_IN_GPA
    return {"C44_clamped_GPa": clamped, "C44_GPa": relaxed}, {
        "coupling_from_forces_eV_per_A": coupling,
        "coupling_from_stress_eV_per_A": from_stress,
        "internal_shift_A": coupling / stiffness,
    }


def main() -> None:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("calculations", type=Path, help="directory of the calculations, one file for each")
    p.add_argument("-o", "--output", type=Path, help="the properties as JSON")
    p.add_argument("--frames", type=Path, help="collect the steps of the relaxations here, every second and the last")
    p.add_argument("--only", nargs="+", choices=CALCULATIONS, default=list(CALCULATIONS), help="some calculations only")
    p.add_argument("--pw", default="pw.x", help="the program pw.x")
    p.add_argument("--pseudo-dir", type=Path, default=Path("/usr/share/espresso/pseudo"), help=f"has {PSEUDOPOTENTIAL}")
    args = p.parse_args()
    args.calculations.mkdir(parents=True, exist_ok=True)
    frames = {}
    for name in CALCULATIONS:
        path = args.calculations / f"{name}.xyz"
        if not path.exists() and name in args.only and shutil.which(args.pw):
            begun = time.perf_counter()
            try:
                calculate(name, path, args.pw, args.pseudo_dir)
            except RuntimeError as error:
                raise SystemExit(f"{name}: {error}") from None
            print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
        if path.exists():
            frames[name] = read(path, ":")
    found = reference(frames)
    print(json.dumps(found, indent=2))
    if args.output:
        args.output.write_text(json.dumps(found, indent=2) + "\n")
    if args.frames:
        chosen = [f for name in RELAXED if name in frames for f in [*frames[name][:-1:2], frames[name][-1]]]
        write(args.frames, chosen, format="extxyz")


if __name__ == "__main__":
    main()
