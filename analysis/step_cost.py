"""What a step costs: microseconds per atom of a whole MD step and of its parts, beside the machine's dgemm rate.

    python analysis/step_cost.py POTENTIAL STRUCTURE [--length-unit Bohr --energy-unit Hartree] [--threads 1]

Run it on an otherwise idle machine. Medians of interleaved rounds; the minimum in brackets.
"""

import argparse

import numpy as np

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import replicate
from mdnnp.base.compiled import jit
from mdnnp.command.benchmark.measure import dgemm_gflops, seconds
from mdnnp.dynamics.integrators import MDState, maxwell_boltzmann, verlet_step
from mdnnp.potentials.hdnnp.potential import PRECISIONS, neural_network_of
from mdnnp.potentials.layered import LayeredPotential, Mapped
from mdnnp.potentials.load import load_potential


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential")
    parser.add_argument("structure")
    parser.add_argument("--length-unit")
    parser.add_argument("--energy-unit")
    parser.add_argument("--precision", choices=PRECISIONS, default="double")
    parser.add_argument("--replicate", type=int, nargs=3, default=(1, 1, 1))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20, help="MD steps of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--timestep-fs", type=float, default=0.5)
    parser.add_argument("--skin-A", type=float, default=1.0)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    jit.set_threads(options.threads)
    potential = load_potential(options.potential, options.length_unit, options.energy_unit, precision=options.precision)
    units = {"length_unit": options.length_unit, "energy_unit": options.energy_unit}
    structure = read_structures(options.structure, "0", **units)[0]
    system = replicate(structure.system, tuple(options.replicate))
    masses = np.tile(structure.masses, int(np.prod(options.replicate)))
    n = len(system)
    verlet = VerletList(potential.cutoff, options.skin_A)
    near = VerletList(potential.cutoff, 0.0).update(system)
    velocities = maxwell_boltzmann(masses, 300.0, 1)
    start = MDState(system, velocities, masses, potential.compute(system, verlet.update(system)), 0)
    fresh = VerletList(potential.cutoff, options.skin_A)

    def steps():
        state = start
        for _ in range(options.steps):
            state = verlet_step(state, options.timestep_fs, lambda s: potential.compute(s, verlet.update(s)))

    listed = VerletList(potential.cutoff, options.skin_A).update(system)
    parts = {
        "MD step": (steps, options.steps),
        "energy and forces": (lambda: potential.compute(system, listed), 1),
        "neighbour list, one build": (lambda: fresh.restore(system), 1),
    }
    if neural_network_of(potential) is potential:
        parts["symmetry functions alone"] = (lambda: potential.descriptors(system, listed), 1)
        in_steps = LayeredPotential(potential, lambda s, values: Mapped(*potential.networks(s.numbers, values)))
        parts["energy and forces in three steps (NumPy networks)"] = (lambda: in_steps.compute(system, listed), 1)
    times = {name: [] for name in parts}
    for function, _ in parts.values():
        function()
    for _ in range(options.rounds):
        for name, (function, count) in parts.items():
            times[name].append(seconds(function) / count / n * 1e6)
    print(f"{n} atoms, {len(near.j) / n:.1f} neighbours within {potential.cutoff:.3f} Å, {options.threads} thread(s)")
    for name, values in times.items():
        print(f"{name:38s} {np.median(values):8.2f} [{min(values):.2f}] us per atom")
    print(f"dgemm, one thread: {dgemm_gflops():.0f} GFLOP/s")


if __name__ == "__main__":
    main()
