"""`mdnnp bench --charges`: what charges by equilibration cost, by size and threads, and a particle mesh alone."""

import math
from copy import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.system import System, make_system, replicate
from mdnnp.base.errors import InputError
from mdnnp.base.units import HARTREE_EV
from mdnnp.command.benchmark import measure
from mdnnp.command.benchmark.measure import Dynamics, seconds
from mdnnp.command.benchmark.suite import Case, Options, Progress, ratio, steps_of_about, summary, yardstick_record
from mdnnp.command.benchmark.tables import heading, microseconds
from mdnnp.command.benchmark.water import NODES, SEED, water_box, water_masses, water_model
from mdnnp.potentials.electrostatics.coulomb import Coulomb
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.hdnnp.model import ChargeModel
from mdnnp.potentials.hdnnp.networks import Network

SCHEMA = "mdnnp-bench-charges-1"
SIZES, THREADED, LARGE = (1536, 3072), 6144, 49_152  # atoms, at least
MESH_CHARGES, MESH_DENSITY, MESH_CUTOFF_A = 10_000, 0.1, 6.0
MESH_PRECISION = 1.4e-5  # with which the rms error of the forces is 1e-5 of their rms
_BOX = (4, 4, 4)  # 384 atoms
_SHAKE_A = 0.01  # copies of a cell have the waves of the cell alone
_RANDOM_EV, _HARDNESS_HA, _WIDTHS_BOHR = 0.5, {"H": 20.0, "O": 20.0}, {"H": 0.6, "O": 1.2}
_ELECTRONEGATIVITY_HA = {"H": 0.0, "O": 10.0}  # oxygen has about -0.33 e


def charged_water() -> FourthGeneration:
    """The water potential with charges: functions, networks and screening as published ones have, no physical meaning.

    The short-range networks do not see the charges, so that molecules stay whole as without.
    """
    short = water_model()
    elements, networks = {}, {}
    for symbol, part in short.elements.items():
        first, *rest = part.network.weights
        seen = replace(part.network, weights=(np.vstack([first, np.zeros((1, first.shape[1]))]), *rest))
        elements[symbol] = replace(part, network=seen)
        sizes = (len(part.functions), NODES, NODES, 1)
        rng = np.random.default_rng([SEED, len(part.functions), 1])
        weights = [rng.standard_normal((m, n)) / math.sqrt(m) for m, n in pairwise(sizes)]
        biases = [np.zeros(n) for n in sizes[1:]]
        weights[-1] *= _RANDOM_EV
        biases[-1] += _ELECTRONEGATIVITY_HA[symbol] * HARTREE_EV
        networks[symbol] = Network(tuple(weights), tuple(biases), part.network.activations)
    hardness = {symbol: value * HARTREE_EV for symbol, value in _HARDNESS_HA.items()}
    charges = ChargeModel(networks, hardness, _WIDTHS_BOHR, (4.8, 12.0, "c"), four_pi_epsilon=1.0 / HARTREE_EV)
    return FourthGeneration(replace(short, elements=elements), charges)


def charged_box() -> System:
    """384 atoms of the benchmark's own water."""
    return water_box(_BOX)


def grown(system: System, masses: np.ndarray, n_atoms: int) -> tuple[System, np.ndarray]:
    """Copies of a system, side by side, with at least so many atoms, none exactly where the copies are; and masses."""
    repeats = np.ones(3, int)
    while len(system) * repeats.prod() < n_atoms:
        repeats[np.argmin(repeats * np.linalg.norm(system.cell, axis=1))] *= 2
    copies = replicate(system, (int(repeats[0]), int(repeats[1]), int(repeats[2])))
    shaken = copies.positions + np.random.default_rng(SEED).normal(0.0, _SHAKE_A, copies.positions.shape)
    return copies._replace(positions=shaken), np.tile(masses, repeats.prod())


def bench_charges(options: Options, progress: Progress = lambda what, left: None) -> dict:
    """Measure, and return a record that JSON can hold (`SCHEMA`).

    options : one given case, or none: the benchmark's own water; its `large` adds the size LARGE
    progress : as that of `bench`
    Raises InputError for a potential without charges by equilibration, or a system that is not periodic.
    """
    machine = measure.machine()
    case = _case(options)
    progress("compiling, or loading what was compiled before", 1)
    sizes = {n: _run(case, n) for n in (*SIZES, *([LARGE] if options.large else []))}
    measures = {f"{n} atoms": steps_of_about(options.seconds, run) for n, run in sizes.items()}
    if options.threads > 1:
        threaded = _run(case, THREADED)
        measures["one thread"] = steps_of_about(options.seconds, threaded)
        measures["all threads"] = steps_of_about(options.seconds, threaded, options.threads)
    mesh = MeshAlone()
    measures["mesh"] = mesh.measure
    measures["dgemm"] = measure.dgemm_gflops
    if lammps := options.lammps:
        measures["yardstick"] = lammps.snap_us
        measures["pppm"] = lambda: lammps.pppm_us(mesh.system, mesh.charges)
    times = measure.interleaved(measures, options.rounds, progress)
    first, yardstick = f"{SIZES[0]} atoms", "yardstick" in times
    return {
        "schema": SCHEMA,
        "machine": machine,
        "rounds": options.rounds,
        "dgemm_GFLOP_per_s": summary(times["dgemm"]),
        "yardstick": yardstick_record(options.lammps, times),
        "name": case.name,
        "sizes": [
            {
                "atoms": len(run.state.system),
                "us_per_atom_step": summary(times[name]),
                "ratio_to_yardstick": ratio(times, name, "yardstick") if yardstick else None,
                "ratio_to_the_smallest": ratio(times, name, first),
                "products_per_step": run.potential.products / (run.n_steps + 1),  # type: ignore[attr-defined]  # `_case` looks
            }
            for name, run in ((f"{n} atoms", run) for n, run in sizes.items())
        ],
        "scaling": None
        if "all threads" not in times
        else {
            "atoms": len(threaded.state.system),
            "threads": options.threads,
            "efficiency": ratio(times, "one thread", "all threads") / options.threads,
        },
        "mesh": {
            "charges": MESH_CHARGES,
            "error": mesh.error(),
            "us_per_charge": summary(times["mesh"]),
            "pppm_us_per_charge": summary(times["pppm"]) if yardstick else None,
            "ratio_to_pppm": ratio(times, "mesh", "pppm") if yardstick else None,
        },
    }


def _case(options: Options) -> Case:
    if len(options.given) > 1:
        raise InputError(f"--charges measures one potential with one structure, found {len(options.given)}")
    if not options.given:
        box = charged_box()
        return Case("water with charges", charged_water(), box, water_masses(box))
    (case,) = options.given
    if not isinstance(case.potential, FourthGeneration) or not case.potential.remembers:
        raise InputError(f"{case.name}: --charges is for potentials of the fourth generation")
    if not case.system.pbc.all():
        raise InputError(f"{case.name}: --charges needs a structure that is periodic in three directions")
    return case


def _run(case: Case, n_atoms: int) -> Dynamics:
    """A run of copies of the structure, with a potential of its own, which remembers its own charges."""
    return Dynamics(copy(case.potential), *grown(case.system, case.masses, n_atoms))


class MeshAlone:
    """Unit charges of both signs on a shaken lattice, and their energy and forces by a particle mesh.

    system, charges (N,) e
    """

    def __init__(self):
        rng = np.random.default_rng(SEED)
        edge, m = (MESH_CHARGES / MESH_DENSITY) ** (1 / 3), math.ceil(MESH_CHARGES ** (1 / 3))
        places = rng.permutation(np.indices((m, m, m)).reshape(3, -1).T)[:MESH_CHARGES]
        positions = (places + 0.5 + rng.uniform(-0.25, 0.25, places.shape)) * edge / m
        self.charges = np.where(np.arange(MESH_CHARGES) % 2, 1.0, -1.0)
        self.system = make_system(positions, np.ones(MESH_CHARGES, int), [edge] * 3, True)
        self._list = VerletList(MESH_CUTOFF_A, 1.0).update(self.system)
        self._forces(MESH_PRECISION)  # compiled

    def _forces(self, precision: float) -> np.ndarray:
        coulomb = Coulomb(self.system, 0.0, self._list, MESH_CUTOFF_A, precision=precision, waves="mesh")
        return coulomb.energy(self.charges).forces

    def measure(self) -> float:
        """Microseconds per charge."""
        return min(seconds(lambda: self._forces(MESH_PRECISION)) for _ in range(3)) / MESH_CHARGES * 1e6

    def error(self) -> float:
        """Rms error of the forces, over their rms."""
        exact = self._forces(1e-12)
        off = self._forces(MESH_PRECISION) - exact
        return float(np.sqrt(np.mean(off**2) / np.mean(exact**2)))


def table_of_charges(record: dict) -> str:
    """Lines of text with everything that `bench_charges` measured."""
    lines = heading(record)
    lines += [
        "",
        f"{record['name'][-28:]:28} {'atoms':>8} {'us/atom/step':>16} {'yardsticks':>10} {'growth':>8} {'products':>9}",
    ]
    for size in record["sizes"]:
        beside = "-" if size["ratio_to_yardstick"] is None else f"{size['ratio_to_yardstick']:.2f}"
        lines.append(
            f"{'one thread':28} {size['atoms']:>8} {microseconds(size['us_per_atom_step']):>16} {beside:>10} "
            f"{size['ratio_to_the_smallest']:>8.2f} {size['products_per_step']:>9.1f}"
        )
    lines.append(
        "(growth: of the cost per atom; products: of the charges' matrix with a vector, per step, rough ones too)"
    )
    if record["scaling"]:
        scaling = record["scaling"]
        lines += [
            "",
            f"{scaling['atoms']} atoms on {scaling['threads']} threads: efficiency {scaling['efficiency']:.2f}",
        ]
    mesh = record["mesh"]
    line = (
        f"mesh alone, {mesh['charges']} charges, forces to {mesh['error']:.1e}: {microseconds(mesh['us_per_charge'])} "
        "us per charge"
    )
    if mesh["pppm_us_per_charge"]:
        line += f"; pppm of LAMMPS {microseconds(mesh['pppm_us_per_charge'])}, ratio {mesh['ratio_to_pppm']:.2f}"
    return "\n".join([*lines, "", line])
