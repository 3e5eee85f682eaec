"""Label silicon configurations by density-functional theory: energy, forces and stress from Quantum ESPRESSO's pw.x.

    python analysis/silicon/label.py CONFIGURATIONS.xyz LABELS/ [-o LABELLED.xyz] [--part 1/2]

Each configuration goes to a file of its own in the directory LABELS (0000.xyz, 0001.xyz, ...), which is written when
the calculation has converged: start the command again after an interruption, and it goes on. `--part 1/2` does every
second configuration, for two processes side by side. `-o` collects what is there, in order, into one extended XYZ file
(eV, eV/Å, eV/Å^3 with ASE's sign).

The settings are those of `inputs/silicon/silicon.xyz`, and labels of different settings must not be mixed: PBE, the
norm-conserving pseudopotential Si.pbe-rrkj.UPF, 25 Ry, the Gamma point alone, Fermi-Dirac smearing of 0.01 Ry,
converged to 1e-8 Ry (how densities are mixed on the way does not matter). The energy is the free energy of the smeared
electrons, whose derivatives are the forces. About a minute for 64 atoms on one core. On Debian or Ubuntu:

    apt-get install --no-install-recommends quantum-espresso quantum-espresso-data libopenblas0-pthread

(without OpenBLAS pw.x takes the reference BLAS, and several times as long).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

PSEUDOPOTENTIAL = "Si.pbe-rrkj.UPF"
SETTINGS = {
    "control": {"calculation": "scf", "prefix": "si", "outdir": "./tmp", "disk_io": "none"},
    "system": {
        "ecutwfc": 25,
        "occupations": "smearing",
        "smearing": "fermi-dirac",
        "degauss": 0.01,
        "input_dft": "PBE",
        "nosym": True,
    },
    "electrons": {"mixing_mode": "local-TF", "mixing_beta": 0.5, "conv_thr": 1e-8, "electron_maxstep": 60},
}


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("configurations", type=Path, help="extended XYZ of silicon configurations")
    p.add_argument("labels", type=Path, help="directory of the labels, one file for each configuration")
    p.add_argument("-o", "--output", type=Path, help="collect all labels that are there into this file")
    p.add_argument("--part", default="1/1", metavar="K/N", help="every Nth configuration, beginning with the Kth")
    p.add_argument("--pw", default="pw.x", help="the program pw.x")
    p.add_argument("--pseudo-dir", type=Path, default=Path("/usr/share/espresso/pseudo"), help=f"has {PSEUDOPOTENTIAL}")
    return p.parse_args()


def run(atoms: Atoms, pw: str, pseudo_dir: Path, scratch: Path, kpts=None, **control) -> Path:
    """Run pw.x in `scratch`, with further settings of its namelist &control; its output. RuntimeError if it fails.

    kpts : mesh of k points, which has the Gamma point; by default that alone
    """
    settings = SETTINGS | {"control": SETTINGS["control"] | {"pseudo_dir": str(pseudo_dir)} | control}
    write(
        scratch / "pw.in", atoms, format="espresso-in", pseudopotentials={"Si": PSEUDOPOTENTIAL}, kpts=kpts,
        tstress=True, tprnfor=True, input_data=settings,
    )  # fmt: skip
    # A serial run under Open MPI, wherever it is started from; one thread.
    environment = os.environ | {"OMPI_MCA_ess_singleton_isolated": "1", "OMP_NUM_THREADS": "1"}
    with open(scratch / "pw.out", "w") as out:
        subprocess.run(
            [pw, "-in", "pw.in"], cwd=scratch, stdin=subprocess.DEVNULL, stdout=out, env=environment, check=False
        )
    text = (scratch / "pw.out").read_text()
    if "convergence has been achieved" not in text or "JOB DONE" not in text:
        raise RuntimeError(f"pw.x did not converge:\n{text[-2000:]}")
    return scratch / "pw.out"


def calculate(atoms: Atoms, pw: str, pseudo_dir: Path, scratch: Path) -> Atoms:
    """The atoms with energy (eV), forces (eV/Å) and stress (eV/Å^3). Raises RuntimeError without convergence."""
    labelled = read(run(atoms, pw, pseudo_dir, scratch), format="espresso-out")
    labelled.info.update(atoms.info)
    return labelled


def label(configurations: list[Atoms], args: argparse.Namespace) -> None:
    """Label what has no label yet; failures are reported and left for the next call."""
    first, step = (int(n) for n in args.part.split("/"))
    args.labels.mkdir(parents=True, exist_ok=True)
    for k in range(first - 1, len(configurations), step):
        atoms, path = configurations[k], args.labels / f"{k:04d}.xyz"
        if path.exists():
            if not is_label_of(read(path), atoms):
                sys.exit(f"{path} is the label of another configuration; choose another directory")
            continue
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=args.labels) as scratch:
            try:
                labelled = calculate(atoms, args.pw, args.pseudo_dir, Path(scratch))
            except RuntimeError as error:
                print(f"{k}: {error}", flush=True)
                continue
            write(Path(scratch) / "label.xyz", labelled, format="extxyz")
            os.replace(Path(scratch) / "label.xyz", path)
        energy = labelled.get_potential_energy() / len(labelled)
        kind = atoms.info.get("config_type", "")
        print(f"{k} {kind}: {energy:.4f} eV/atom, {time.perf_counter() - begun:.0f} s", flush=True)


def is_label_of(labelled: Atoms, atoms: Atoms) -> bool:
    """Whether both have the same cell and positions; pw.x writes seven digits in units of the lattice constant."""
    if len(labelled) != len(atoms) or not np.allclose(labelled.cell, atoms.cell, atol=1e-4):
        return False
    difference = (labelled.get_scaled_positions() - atoms.get_scaled_positions() + 0.5) % 1.0 - 0.5
    return bool(np.abs(difference).max() < 1e-4)


def main() -> None:
    args = arguments()
    label(read(args.configurations, ":"), args)
    if args.output:
        paths = sorted(args.labels.glob("[0-9]*.xyz"))
        write(args.output, [read(path) for path in paths], format="extxyz")
        print(f"{len(paths)} labels in {args.output}")


if __name__ == "__main__":
    main()
