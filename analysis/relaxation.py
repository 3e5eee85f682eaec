"""Relaxations against ASE's BFGS: the cost, in force evaluations, of five tasks to the same tolerance.

    python analysis/relaxation.py CRYSTAL_POTENTIAL CRYSTAL LIQUID_POTENTIAL LIQUID [--length-unit Bohr ...]

CRYSTAL is a file with a cubic cell or so of a crystal, LIQUID one with a molecular liquid, whose first molecule
(--molecule atoms) is also relaxed alone. A product with the Hessian counts as optimize.PRODUCT_COST evaluations. The
energies at the end are compared, as different minima are different tasks: "lower" means that ours is deeper.
"""

import argparse

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import make_system, replicate
from mdnnp.couplings.ase import HDNNPCalculator
from mdnnp.landscape.relaxation import METHODS, Goal, relax
from mdnnp.potentials.load import load_potential

MOST = 2000


class Counted(HDNNPCalculator):
    """Counts its evaluations."""

    count = 0

    def calculate(self, *arguments, **options):
        self.count += 1
        super().calculate(*arguments, **options)


def tasks(options):
    """name, potential, start, goal."""
    units = options.length_unit, options.energy_unit
    crystal, liquid = (
        load_potential(options.crystal_potential, *units),
        load_potential(options.liquid_potential, *units),
    )
    cell = read_structures(options.crystal, 0, *units)[0].system
    rng = np.random.default_rng(1)
    perfect = relax(crystal, cell, Goal(cell=True, force_tolerance=1e-4, stress_tolerance_GPa=1e-2)).point.system
    repeats = max(1, round((options.atoms / len(perfect)) ** (1 / 3)))
    big = replicate(perfect, (repeats,) * 3)
    goal, with_cell = (Goal(c, force_tolerance=options.force_tolerance, most_evaluations=MOST) for c in (False, True))
    rattled = big._replace(positions=big.positions + rng.normal(0, 0.1, big.positions.shape))
    yield "rattled crystal", crystal, rattled, goal
    yield "vacancy", crystal, big._replace(positions=big.positions[1:], numbers=big.numbers[1:]), goal
    strain = np.eye(3) + np.array([[0.03, 0.01, 0.0], [0.01, -0.02, 0.0], [0.0, 0.0, 0.02]])
    shifted = perfect.positions + rng.normal(0, 0.02, perfect.positions.shape)
    yield (
        "cell under strain",
        crystal,
        perfect._replace(positions=shifted @ strain, cell=perfect.cell @ strain),
        with_cell,
    )
    water = read_structures(options.liquid, 0, *units)[0].system
    m = options.molecule
    first = water.positions[:m] - water.positions[0]
    if water.pbc.any():
        inverse = np.linalg.inv(water.cell)
        first = first - np.round(first @ inverse) @ water.cell
    yield "molecule", liquid, make_system(first, water.numbers[:m]), goal
    yield "liquid quench", liquid, water, goal


def with_ase(potential, system, goal) -> tuple[int, float, bool]:
    """Evaluations, final energy, whether BFGS converged."""
    atoms = Atoms(system.numbers, system.positions, cell=system.cell, pbc=system.pbc)
    atoms.calc = Counted(potential)
    # the filter's "forces" on the cell include the virial in eV: a stress of the same tolerance
    target = FrechetCellFilter(atoms) if goal.cell else atoms
    optimizer = BFGS(target, logfile=None)
    optimizer.run(fmax=goal.force_tolerance, steps=MOST)
    return atoms.calc.count, atoms.get_potential_energy(), optimizer.converged(target.get_forces().ravel())


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("crystal_potential", "crystal", "liquid_potential", "liquid"):
        parser.add_argument(name)
    parser.add_argument("--length-unit")
    parser.add_argument("--energy-unit")
    parser.add_argument("--molecule", type=int, default=3, help="atoms of the first molecule")
    parser.add_argument("--atoms", type=int, default=200, help="about so many atoms of the crystal")
    parser.add_argument("--force-tolerance", type=float, default=0.01)
    parser.add_argument("--tasks", nargs="+", help="only these")
    options = parser.parse_args()
    print(f"{'task':<18} {'atoms':>6} {'ASE BFGS':>9} " + " ".join(f"{m:>18}" for m in METHODS), flush=True)
    for name, potential, system, goal in tasks(options):
        if options.tasks and name not in options.tasks:
            continue
        count, energy, converged = with_ase(potential, system, goal)
        row = f"{name:<18} {len(system):>6} {count:>8}{' ' if converged else '*'} "
        for method in METHODS:
            ours = relax(potential, system, goal, method)
            gap = ours.point.results.energy - energy
            same = "" if abs(gap) < 2e-3 * max(1, len(system) / 100) else " lower" if gap < 0 else " higher"
            row += f" {ours.cost:>10.1f}{' ' if ours.converged else '*'}{same:<7}"
        print(row, flush=True)
    print("* not converged")


if __name__ == "__main__":
    main()
