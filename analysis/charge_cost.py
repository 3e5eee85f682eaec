"""Potentials with charges: errors of the iterative solution against the direct one, and what a step of a run costs.

    python analysis/charge_cost.py POTENTIAL STRUCTURE [--length-unit Bohr --energy-unit Hartree] [--replicate 2 2 1]

Charges, forces and virial: largest error relative to the largest value. The direct solution needs N^2 memory and N^3
time; --no-direct leaves it out for large systems. Run it on an otherwise idle machine: median, the minimum in brackets.
"""

import argparse

import numpy as np

from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import replicate
from mdnnp.command.benchmark.measure import Dynamics
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.hdnnp.files.reader import read_charged


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential")
    parser.add_argument("structure")
    parser.add_argument("--length-unit")
    parser.add_argument("--energy-unit")
    parser.add_argument("--replicate", type=int, nargs=3, default=(1, 1, 1))
    parser.add_argument("--no-direct", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20, help="MD steps of a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    units = options.length_unit, options.energy_unit
    parts = read_charged(options.potential, *units)
    structure = read_structures(options.structure, "0", *units)[0]
    system = replicate(structure.system, tuple(options.replicate))
    print(f"{len(system)} atoms")
    iterative = FourthGeneration(*parts, solver="iterative")
    if not options.no_direct:
        direct, found = (p.compute(system) for p in (FourthGeneration(*parts, solver="dense"), iterative))
        print(f"energy   {abs(found.energy - direct.energy) / len(system):.1e} eV/atom")
        for name in ("charges", "forces", "virial"):
            a, b = getattr(direct, name), getattr(found, name)
            print(f"{name:8} {np.abs(a - b).max() / np.abs(a).max():.1e}")
    masses = np.tile(structure.masses, int(np.prod(options.replicate)))
    dynamics = Dynamics(iterative, system, masses, timestep_fs=0.5)
    dynamics.measure(options.steps, options.threads)  # compiled, and with steps to start charges from
    times = [dynamics.measure(options.steps, options.threads) for _ in range(options.rounds)]
    print(f"a step   {np.median(times):.1f} [{min(times):.1f}] us per atom")


if __name__ == "__main__":
    main()
