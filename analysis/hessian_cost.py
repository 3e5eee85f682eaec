"""What a product with the Hessian costs, in evaluations of the forces, against the number of atoms.

    python analysis/hessian_cost.py POTENTIAL STRUCTURE [--length-unit Bohr --energy-unit Hartree]
        [--replicate 1 1 1 --replicate 2 2 2 ...]

One thread. Processor time, products and forces in turn, medians: neighbours on a busy machine count little.
"""

import argparse
from time import process_time

import numpy as np

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import replicate
from mdnnp.potentials.load import load_potential


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential")
    parser.add_argument("structure")
    parser.add_argument("--length-unit")
    parser.add_argument("--energy-unit")
    parser.add_argument("--replicate", type=int, nargs=3, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    units = options.length_unit, options.energy_unit
    potential = load_potential(options.potential, *units)
    unit = read_structures(options.structure, 0, *units)[0].system
    print(f"{'atoms':>8} {'forces':>10} {'product':>10}   us per atom   product/forces")
    for repeats in options.replicate or [(1, 1, 1)]:
        system = replicate(unit, tuple(repeats))
        neighbors = VerletList(potential.cutoff, skin=0.0).update(system)
        v = np.random.default_rng(1).normal(size=system.positions.shape)
        rounds = []
        for _ in range(options.rounds + 1):
            begin = process_time()
            potential.compute(system, neighbors)
            middle = process_time()
            potential.hessian_vector_product(system, v, neighbors)
            rounds.append((middle - begin, process_time() - middle))
        forces, product = np.median(rounds[1:], axis=0) / len(system) * 1e6
        print(f"{len(system):>8} {forces:>10.2f} {product:>10.2f} {product / forces:>28.2f}", flush=True)


if __name__ == "__main__":
    main()
