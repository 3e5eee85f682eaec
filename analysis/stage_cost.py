"""Where the time of an evaluation goes: microseconds per atom of each stage of a neural network potential's kernel.

    python analysis/stage_cost.py POTENTIAL STRUCTURE [--length-unit Bohr --energy-unit Hartree]

Each stage is repeated for the same centre, so that it finds its data in cache: the stages add up to less than a whole
evaluation (`step_cost.py`). Run it on an otherwise idle machine. Median and minimum of several rounds.
"""

import argparse
import time

import numpy as np

from mdnnp.atoms.neighbors import VerletList, coordinates, image_vectors
from mdnnp.atoms.read import read_structures
from mdnnp.base.compiled.jit import njit_kernel, vectorize_freely
from mdnnp.potentials.edges import gather_edges, scatter_edges
from mdnnp.potentials.hdnnp.functions import center as kernels
from mdnnp.potentials.hdnnp.networks import network_gradient
from mdnnp.potentials.hdnnp.potential import PRECISIONS
from mdnnp.potentials.load import load_potential

STAGES = (
    "gather neighbours",
    "envelopes and channels",
    "radial, forward",
    "moments, forward",
    "find triplets",
    "triplets, forward",
    "network",
    "radial, backward",
    "moments, backward",
    "triplets, backward",
    "scatter edges",
)
BLOCK = kernels.BLOCK


@njit_kernel
def run_stage(
    stage, repeats, n_centers, positions, images, first, neighbor, image, species, tables, layers, work, network, rows,
    forces, strain, virials,
):  # fmt: skip
    """Evaluate centres 0 .. n_centers - 1, a stage of each `repeats` times more; returns the number of triplets."""
    vectorize_freely()
    near, triplets, moments, out, line = work.near, work.triplets, work.moments, work.gradients, work.line
    radial, angular, wide = tables.radial, tables.triplets, tables.wide
    raw, gradient, other = rows[0], rows[1], rows[2]
    x, y, z, r, who = near.x, near.y, near.z, near.r, near.who
    found = np.int64(0)
    for i in range(n_centers):
        e = species[i]
        center, pairs = tables.center[e], radial.pair[e]
        envelopes = tables.envelope[center.envelope_first : center.envelope_end]
        channels = tables.channel[center.channel_first : center.channel_end]
        parts = angular.part[center.part_first : center.part_end]
        n = gather_edges(i, center.cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        n = kernels.arrange(i, n, center.cutoff, species, near)
        kernels.center_values(e, n, tables, angular, wide, work, raw)
        kernels.center_gradient(e, n, tables, angular, wide, work, gradient)
        found += triplets.part_start[parts.size]
        for _ in range(repeats):
            if stage == 0:
                m = gather_edges(i, center.cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
                kernels.arrange(i, m, center.cutoff, species, near)
            elif stage == 1:
                kernels.evaluate_channels(n, envelopes, channels, pairs, radial.used, near, line)
            elif stage == 2:
                kernels.radial_values(pairs, radial.term, near, raw)
            elif stage == 3 and center.wide_end > center.wide_first:
                kernels.evaluate_moments(e, n, center, wide, near, moments)
                kernels.wide_values(center, wide, moments, raw)
            elif stage == 4:
                total = np.int64(0)
                for p in range(parts.size):
                    total = kernels.find_triplets(parts[p], n, total, near, triplets, line[0])
            elif stage == 5:
                for p in range(parts.size):
                    for start in range(triplets.part_start[p], triplets.part_start[p + 1], BLOCK):
                        kernels.block_values(parts[p], start, envelopes, channels, angular, triplets, raw)
            elif stage == 6:
                network_gradient(e, layers, gradient, network, other)
            elif stage == 7:
                kernels.radial_gradient(channels, pairs, radial.term, near, out.alpha, gradient)
            elif stage == 8 and center.wide_end > center.wide_first:
                kernels.wide_gradient(e, center, channels, wide, near, moments, out, gradient)
            elif stage == 9:
                for p in range(parts.size):
                    for start in range(triplets.part_start[p], triplets.part_start[p + 1], BLOCK):
                        kernels.block_gradient(parts[p], start, channels, angular, triplets, out, gradient)
            elif stage == 10:
                scatter_edges(i, n, who, x, y, z, out.x, out.y, out.z, forces, strain, virials)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential")
    parser.add_argument("structure")
    parser.add_argument("--length-unit")
    parser.add_argument("--energy-unit")
    parser.add_argument("--precision", choices=PRECISIONS, default="double")
    parser.add_argument("--centers", type=int, default=300, help="centres to look at")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    units = {"length_unit": options.length_unit, "energy_unit": options.energy_unit}
    potential = load_potential(options.potential, **units, precision=options.precision)
    system = read_structures(options.structure, "0", **units)[0].system
    neighbors = VerletList(potential.cutoff, 1.0).update(system)
    species = np.searchsorted(potential.numbers, system.numbers[neighbors.order])
    n = min(options.centers, len(system))
    work, network, rows = potential._make_workspace(int(np.diff(neighbors.first).max()))
    rows[:] = 1.0
    arguments = (
        n, coordinates(system.positions, system.cell, neighbors), image_vectors(neighbors, system.cell),
        neighbors.first, neighbors.j, neighbors.image, species, potential._tables, potential._layers,
        work, network, rows, np.zeros((len(system), 3)), np.zeros((3, 3)), np.empty((0, 3, 3)),
    )  # fmt: skip
    triplets = run_stage(-1, 0, *arguments)
    print(f"{n} centres of {len(system)} atoms, {triplets / n:.0f} triplets a centre")
    repeats, total = 10, 0.0
    for stage, name in enumerate(STAGES):
        costs = []
        for _ in range(options.rounds):
            begun = time.perf_counter()
            run_stage(stage, 0, *arguments)
            once = time.perf_counter()
            run_stage(stage, repeats, *arguments)
            costs.append((time.perf_counter() - once - (once - begun)) / repeats / n * 1e6)
        total += np.median(costs)
        print(f"{name:24s} {np.median(costs):7.2f} [{min(costs):.2f}] us per atom")
    print(f"{'sum':24s} {total:7.2f}")


if __name__ == "__main__":
    main()
