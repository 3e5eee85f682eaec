"""The cases of `mdnnp bench`, measured in turn and gathered in one record."""

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, make_system, replicate
from mdnnp.atoms.write import write_structures
from mdnnp.command.benchmark import measure
from mdnnp.command.benchmark.measure import Dynamics, Timing, run_process, seconds
from mdnnp.command.benchmark.water import water_box, water_masses, water_model
from mdnnp.command.benchmark.work import count_work
from mdnnp.command.benchmark.yardstick import Lammps
from mdnnp.potentials.hdnnp.files import write_potential
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.interface import Potential

Progress = Callable[[str, int], None]

SCHEMA = "mdnnp-bench-1"
ROUNDS, SECONDS = 5, 1.0  # repeats of each measurement, and about how long each takes
SCALING_REPEATS, LARGE_REPEATS = (2, 2, 2), (10, 10, 10)  # of the box of 1,080 atoms
LIST_ATOMS, LIST_DENSITY, LIST_CUTOFF_A = 100_000, 0.1, 6.35


@dataclass(frozen=True)
class Case:
    """A potential and a system to run."""

    name: str
    potential: Potential
    system: System
    masses: np.ndarray


@dataclass(frozen=True)
class Options:
    """What to measure.

    given : potentials and structures of the user, instead of everything that is our own
    lammps : where the yardstick is; threads : for the case of scaling; first, large : also the slow cases
    """

    given: tuple[Case, ...] = ()
    lammps: Lammps | None = None
    threads: int = 1
    first: bool = False
    large: bool = False
    rounds: int = ROUNDS
    seconds: float = SECONDS


def own_cases() -> list[Case]:
    """The water box with our own potentials."""
    box = water_box()
    masses = water_masses(box)
    return [
        Case("water", HDNNP(water_model()), box, masses),
        Case("water, wide functions", HDNNP(water_model(wide=True)), box, masses),
        Case("water, mixed precision", HDNNP(water_model(), precision="mixed"), box, masses),
    ]


def warm_up() -> None:
    """Compile what the benchmark runs. For a process of its own, so that the timings find everything in the cache."""
    for case in own_cases():
        Dynamics(case.potential, case.system, case.masses).measure(1)
        count_work(case.potential, case.system)


def bench(options: Options, progress: Progress = lambda what, left: None) -> dict:
    """Measure, and return a record that JSON can hold (`SCHEMA`).

    progress : called with what is measured next, and how many measurements are left
    Raises InputError for a system that its potential cannot compute.
    """
    machine = measure.machine()  # first: its load is that before ours
    progress("compiling, or loading what was compiled before", 1)
    run_process([sys.executable, "-c", "from mdnnp.command.benchmark.suite import warm_up; warm_up()"])
    cases = list(options.given) or own_cases()
    running = {case.name: Dynamics(case.potential, case.system, case.masses) for case in cases}
    measures = {name: steps_of_about(options.seconds, dynamics) for name, dynamics in running.items()}
    measures["dgemm"] = measure.dgemm_gflops
    if options.lammps:
        measures["yardstick"] = options.lammps.snap_us
    if not options.given:
        measures |= _scaling_measures(cases[0], options) | _list_measures()
    times = measure.interleaved(measures, options.rounds, progress)
    record = {
        "schema": SCHEMA,
        "machine": machine,
        "rounds": options.rounds,
        "dgemm_GFLOP_per_s": summary(times["dgemm"]),
        "yardstick": yardstick_record(options.lammps, times),
        "cases": [_case_record(case, running[case.name], times) for case in cases],
    }
    if not options.given:
        record["scaling"] = _scaling_record(cases[0], options, times)
        record["neighbor_list"] = _list_record(times)
        with tempfile.TemporaryDirectory() as folder:
            record["processes"] = _process_records(Path(folder), options, progress)
    return record


def summary(timing: Timing) -> dict:
    """Median, smallest and all values, as JSON holds them."""
    return {"median": timing.median, "min": timing.least, "values": list(timing.values)}


def ratio(times: dict[str, Timing], name: str, other: str) -> float:
    """Median over the rounds of one measurement divided by another."""
    return float(np.median(np.divide(times[name].values, times[other].values)))


def steps_of_about(wanted_s: float, dynamics: Dynamics, n_threads: int = 1) -> Callable[[], float]:
    """A measurement of as many steps as take about `wanted_s`."""
    step_s = min(dynamics.measure(1, n_threads) for _ in range(2)) * 1e-6 * len(dynamics.state.system)
    n_steps = int(np.clip(wanted_s / step_s, 2, 200))
    return lambda: dynamics.measure(n_steps, n_threads)


def yardstick_record(lammps: Lammps | None, times: dict[str, Timing]) -> dict | None:
    """Name and times of the yardstick, if there is one."""
    if lammps is None:
        return None
    name = f"SNAP Ta06A, 1,024 atoms, LAMMPS {lammps.version}"
    return {"name": name, "us_per_atom_step": summary(times["yardstick"])}


def _case_record(case: Case, dynamics: Dynamics, times: dict[str, Timing]) -> dict:
    work, timing = count_work(case.potential, case.system), times[case.name]
    rate = work.operations / timing.median * 1e-3  # GFLOP/s: operations per atom over microseconds per atom
    return {
        "name": case.name,
        "atoms": len(case.system),
        "threads": 1,
        "neighbors": work.neighbors,
        "triplets": work.triplets,
        "operations": work.operations,
        "us_per_atom_step": summary(timing),
        "GFLOP_per_s": rate,
        "share_of_dgemm": rate / times["dgemm"].median,
        "ratio_to_yardstick": ratio(times, case.name, "yardstick") if "yardstick" in times else None,
        "neighbor_list_share": dynamics.list_share,
        "neighbor_list_builds": dynamics.neighbors.n_builds,
        "steps": dynamics.n_steps,
        "extrapolations": dynamics.extrapolations,
    }


# Scaling with threads


def _scaling_measures(case: Case, options: Options) -> dict[str, Callable[[], float]]:
    if options.threads < 2:
        return {}
    system = replicate(case.system, SCALING_REPEATS)
    dynamics = Dynamics(case.potential, system, water_masses(system))
    found = {
        "one thread": steps_of_about(options.seconds, dynamics),
        "all threads": steps_of_about(options.seconds, dynamics, options.threads),
    }
    lammps = options.lammps
    if lammps and lammps.has_mpi:
        found["yardstick, ranks"] = lambda: lammps.snap_us(options.threads)
    return found


def _scaling_record(case: Case, options: Options, times: dict[str, Timing]) -> dict | None:
    if "all threads" not in times:
        return None

    return {
        "atoms": len(case.system) * int(np.prod(SCALING_REPEATS)),
        "threads": options.threads,
        "us_per_atom_step_one_thread": summary(times["one thread"]),
        "us_per_atom_step": summary(times["all threads"]),
        "efficiency": ratio(times, "one thread", "all threads") / options.threads,
        "efficiency_of_yardstick": (
            ratio(times, "yardstick", "yardstick, ranks") / options.threads if "yardstick, ranks" in times else None
        ),
    }


# Neighbour list


def list_system(n_atoms: int = LIST_ATOMS) -> System:
    """Atoms anywhere in a periodic cube, LIST_DENSITY of them in an Å^3."""
    edge = (n_atoms / LIST_DENSITY) ** (1 / 3)
    return make_system(np.random.default_rng(0).uniform(0, edge, (n_atoms, 3)), np.full(n_atoms, 18), [edge] * 3, True)


def _list_measures() -> dict[str, Callable[[], float]]:
    system = list_system()

    def ours() -> float:
        return seconds(lambda: neighbor_list(system, LIST_CUTOFF_A)) / len(system) * 1e6

    measures = {"neighbour list": ours}
    if importlib.util.find_spec("vesin"):
        from vesin import NeighborList

        def theirs() -> float:
            search = NeighborList(cutoff=LIST_CUTOFF_A, full_list=True)
            arguments = {"points": system.positions, "box": system.cell, "periodic": True, "quantities": "ijSD"}
            return seconds(lambda: search.compute(**arguments)) / len(system) * 1e6

        measures["neighbour list, vesin"] = theirs
    for function in measures.values():
        function()
    return measures


def _list_record(times: dict[str, Timing]) -> dict:
    ours, theirs = times["neighbour list"], times.get("neighbour list, vesin")
    return {
        "atoms": LIST_ATOMS,
        "cutoff_A": LIST_CUTOFF_A,
        "us_per_atom": summary(ours),
        "vesin_us_per_atom": None if theirs is None else summary(theirs),
        "ratio_to_vesin": None if theirs is None else ratio(times, "neighbour list", "neighbour list, vesin"),
    }


# Whole processes

_INPUT = """\
[structure]
file = "water.xyz"
replicate = [{}, {}, {}]
[potential]
path = "potential"
[dynamics]
steps = {}
timestep_fs = 0.5
temperature_K = 300
"""


def write_inputs(folder: Path, repeats: tuple[int, int, int] = (1, 1, 1), n_steps: int = 1) -> Path:
    """Write the water potential and box with an input of `mdnnp run` into a folder; returns the input."""
    box = water_box()
    if not (folder / "potential").exists():
        write_potential(water_model(), folder / "potential")
        write_structures(folder / "water.xyz", [Structure(box, water_masses(box))])
    path = folder / "run.toml"
    path.write_text(_INPUT.format(*repeats, n_steps))
    return path


def _process_records(folder: Path, options: Options, progress: Progress) -> dict:
    """Time and memory of `mdnnp run` as a process."""

    def run(*arguments, repeats=(1, 1, 1), n_steps=1, environment=None) -> measure.Finished:
        path = write_inputs(folder, repeats, n_steps)
        return run_process(
            [sys.executable, "-m", "mdnnp", "run", path.name, "--overwrite", *arguments], environment, folder
        )

    def above_small(peak_bytes: int, repeats) -> float:
        more = len(water_box()) * (int(np.prod(repeats)) - 1)
        return (peak_bytes - small.peak_bytes) / more * 1e-3

    progress("mdnnp run of one step, as a process", 1)
    _, *again = (run() for _ in range(4))  # the first may still compile something
    small = again[0]
    record = {
        "run_s": summary(Timing(tuple(done.seconds for done in again))),
        "import_s": summary(Timing(tuple(measure.import_seconds() for _ in range(5)))),
        "first_run_s": None,
        "memory_kB_per_atom": above_small(run(repeats=SCALING_REPEATS).peak_bytes, SCALING_REPEATS),
        "large": None,
    }
    if options.first:
        progress("the first mdnnp run of one step, everything compiled", 1)
        record["first_run_s"] = run(environment={"NUMBA_CACHE_DIR": str(folder / "cache")}).seconds
    if options.large:
        progress("a million atoms", 1)
        done = run("--threads", options.threads, repeats=LARGE_REPEATS, n_steps=3)
        steps, taken = _steps_and_seconds(done.output)
        n_atoms = len(water_box()) * int(np.prod(LARGE_REPEATS))
        record["large"] = {
            "atoms": n_atoms,
            "threads": options.threads,
            "steps": steps,
            "us_per_atom_step": taken / steps / n_atoms * 1e6,
            "seconds": done.seconds,
            "memory_kB_per_atom": above_small(done.peak_bytes, LARGE_REPEATS),
        }
    return record


def _steps_and_seconds(output: str) -> tuple[int, float]:
    """From the summary of a run: "done  3 steps in 1.2 s: ..."."""
    words = next(row for row in output.splitlines() if row.startswith("done")).split()
    return int(words[1]), float(words[4])
