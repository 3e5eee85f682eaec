"""Where the time of an evaluation goes: microseconds per atom of each stage of a neural network potential's kernel.

    python analysis/stage_cost.py POTENTIAL STRUCTURE [--length-unit Bohr --energy-unit Hartree]

Each stage is repeated for the same centre, so that it finds its data in cache: the stages add up to less than a whole
evaluation (`step_cost.py`). Run it on an otherwise idle machine. Median and minimum of several rounds.
"""

import argparse
import time

import numpy as np

from mdnnp.acsf import kernels
from mdnnp.edges import gather_edges, scatter_edges
from mdnnp.jit import njit, vectorize_freely
from mdnnp.mlp import make_network_scratch, network_gradient
from mdnnp.neighbors import VerletList, coordinates, image_vectors
from mdnnp.potential import load_potential
from mdnnp.structures import read_structures

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


@njit
def run_stage(stage, repeats, n_centers, positions, images, first, neighbor, image, species, tables, layers, forces):
    """Evaluate centres 0 .. n_centers - 1, a stage of each `repeats` times more; returns the number of triplets."""
    vectorize_freely()
    most = np.int64(1)
    for i in range(n_centers):
        most = max(most, first[i + 1] - first[i])
    w, network = kernels.make_scratch(most, tables), make_network_scratch(layers)
    raw, gradient, other = np.zeros(layers.widest), np.ones(layers.widest), np.zeros(layers.widest)
    strain, virials, triplets = np.zeros((3, 3)), np.empty((0, 3, 3)), np.int64(0)
    for i in range(n_centers):
        e = species[i]
        n = gather_edges(i, tables.cutoff[e], positions, images, first, neighbor, image, w.x, w.y, w.z, w.r, w.who)
        n = kernels.arrange(i, n, species, tables, w)
        kernels.center_values(e, n, tables, w, raw)
        kernels.center_gradient(e, n, tables, w, gradient)
        triplets += w.part_start[tables.part_first[e + 1] - tables.part_first[e]]
        wide = tables.wide_first[e + 1] > tables.wide_first[e]
        for _ in range(repeats):
            if stage == 0:
                m = gather_edges(
                    i, tables.cutoff[e], positions, images, first, neighbor, image, w.x, w.y, w.z, w.r, w.who
                )
                kernels.arrange(i, m, species, tables, w)
            elif stage == 1:
                kernels.evaluate_channels(e, n, tables, w)
            elif stage == 2:
                kernels.radial_values(e, tables, w, raw)
            elif stage == 3 and wide:
                kernels.evaluate_moments(e, n, tables, w)
                kernels.wide_values(e, tables, w, raw)
            elif stage == 6:
                network_gradient(e, layers, gradient, network, other)
            elif stage == 7:
                kernels.radial_gradient(e, tables, w, gradient)
            elif stage == 8 and wide:
                kernels.wide_gradient(e, tables, w, gradient)
            elif stage == 10:
                scatter_edges(i, n, w.who, w.x, w.y, w.z, w.dx, w.dy, w.dz, forces, strain, virials)
            elif stage in (4, 5, 9):
                repeat_triplets(stage, e, n, tables, w, raw, gradient)
    return triplets


@njit
def repeat_triplets(stage, e, n, tables, w, raw, gradient):
    """One of the stages on triplets, for all parts of a centre."""
    vectorize_freely()
    total = block = np.int64(0)
    for p in range(tables.part_first[e], tables.part_first[e + 1]):
        own = p - tables.part_first[e]
        if stage == 4:
            total = kernels.find_triplets(p, n, total, tables, w)
            continue
        for start in range(w.part_start[own], w.part_start[own + 1], BLOCK):
            j, k, d = w.tri_j[start : start + BLOCK], w.tri_k[start : start + BLOCK], w.tri_d[start : start + BLOCK]
            if stage == 5:
                kernels.block_values(e, p, j, k, d, tables, w, w.kept[block], raw)
            else:
                kernels.block_gradient(e, p, j, k, tables, w, w.kept[block], gradient)
            block += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("potential")
    parser.add_argument("structure")
    parser.add_argument("--length-unit")
    parser.add_argument("--energy-unit")
    parser.add_argument("--centers", type=int, default=300, help="centres to look at")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    units = {"length_unit": options.length_unit, "energy_unit": options.energy_unit}
    potential = load_potential(options.potential, **units)
    system = read_structures(options.structure, "0", **units)[0].system
    neighbors = VerletList(potential.cutoff, 1.0).update(system)
    species = np.searchsorted(potential.numbers, system.numbers[neighbors.order])
    n = min(options.centers, len(system))
    arguments = (
        n, coordinates(system.positions, system.cell, neighbors), image_vectors(neighbors, system.cell),
        neighbors.first, neighbors.j, neighbors.image, species, potential._tables, potential._layers,
        np.zeros((len(system), 3)),
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
