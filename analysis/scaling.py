"""How the cost of a step depends on the system and the machine: a figure each, of the benchmark's water.

    python analysis/scaling.py atoms       [--most 1000000]     microseconds per atom and step against number of atoms
    python analysis/scaling.py neighbours                       against neighbours within the cutoff, which is varied
    python analysis/scaling.py threads     [--replicate 2 2 2]  on 1 .. all threads
    python analysis/scaling.py breakdown                        stages of an evaluation (runs stage_cost.py)

Run them on an otherwise idle machine. Each writes scaling_NAME.png into the directory of -o, and prints the numbers.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mdnnp.atoms.system import System, replicate
from mdnnp.base.compiled.jit import available_cores
from mdnnp.command.benchmark.measure import Dynamics, Timing, interleaved, machine, run_process
from mdnnp.command.benchmark.suite import write_inputs
from mdnnp.command.benchmark.water import water_box, water_masses, water_model
from mdnnp.command.benchmark.work import count_work
from mdnnp.potentials.hdnnp.potential import HDNNP

NARROW, WIDE = "narrow angular functions (type 3)", "wide angular functions (type 9)"
COLOURS = {NARROW: "#1f4e79", WIDE: "#c0392b"}
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def potentials(**options) -> dict[str, HDNNP]:
    return {NARROW: HDNNP(water_model(**options)), WIDE: HDNNP(water_model(wide=True, **options))}


def dynamics(potential: HDNNP, system: System) -> Dynamics:
    return Dynamics(potential, system, water_masses(system))


def cost_of_atoms(options) -> Figure:
    """Every size for itself, the largest last: few steps of many atoms."""
    box, series = water_box(), {name: [] for name in COLOURS}
    doubled = [(1, 1, 1)]
    while len(box) * np.prod(doubled[-1]) * 2 <= options.most * 1.2:
        last = list(doubled[-1])
        last[int(np.argmin(np.multiply(last, np.diag(box.cell))))] *= 2
        doubled.append(tuple(last))
    for repeats in doubled:
        system = replicate(box, repeats)
        n_steps = max(2, 20_000 // len(system))
        for name, potential in potentials().items():
            run = dynamics(potential, system)
            values = Timing(tuple(run.measure(n_steps, options.threads) for _ in range(options.rounds)))
            series[name].append((len(system), values))
            print(f"{len(system):>9} atoms, {name}: {values.median:.3g} [{values.least:.3g}] us per atom and step")
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    figure, axes = panel("number of atoms", "µs per atom and step", threads)
    draw(axes, series)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    return figure


def cost_of_neighbors(options) -> Figure:
    """The cutoff is varied, the functions stay the same."""
    box, series = water_box(), {name: [] for name in COLOURS}
    for cutoff_bohr in (7.0, 8.5, 10.0, 12.0, 14.0, 16.0):
        cases = {name: dynamics(p, box) for name, p in potentials(cutoff_bohr=cutoff_bohr).items()}
        measures = {name: lambda run=run: run.measure(options.steps, options.threads) for name, run in cases.items()}
        times = interleaved(measures, options.rounds)
        work = count_work(cases[NARROW].potential, box)
        for name, values in times.items():
            series[name].append((work.neighbors, values))
            print(f"{work.neighbors:6.1f} neighbours, {work.triplets:6.0f} triplets, {name}: {values.median:.3g} us")
    figure, axes = panel("neighbours within the cutoff", "µs per atom and step", f"{len(box)} atoms")
    draw(axes, series)
    axes.set_xlim(0)
    return figure


def cost_of_threads(options) -> Figure:
    """Speed-up over one thread, all numbers of threads in turn."""
    system = replicate(water_box(), tuple(options.replicate))
    run, counts = dynamics(HDNNP(water_model()), system), range(1, available_cores() + 1)
    times = interleaved({n: lambda n=n: run.measure(3, n) for n in counts}, options.rounds)
    speedup = {n: times[1].median / values.median for n, values in times.items()}
    for n in counts:
        print(f"{n} threads: {times[n].median:.3g} us per atom and step, efficiency {speedup[n] / n:.3f}")
    figure, axes = panel("threads", "speed-up", f"{len(system)} atoms")
    axes.plot(counts, counts, color="#9aa7b5", lw=1, label="ideal")
    axes.plot(counts, speedup.values(), "o-", color=COLOURS[NARROW], label=NARROW)
    axes.set_xticks(list(counts))
    axes.set_ylim(0)
    axes.legend()
    return figure


def breakdown(options) -> Figure:
    """The stages that stage_cost.py prints, as bars."""
    script = Path(__file__).with_name("stage_cost.py")
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder))
        command = [sys.executable, script, "potential", "water.xyz", "--rounds", options.rounds]
        output = run_process(command, directory=Path(folder)).output
    print(output, end="")
    stages = re.findall(r"^(\S.*?)\s+(-?[\d.]+) \[-?[\d.]+\] us per atom$", output, re.MULTILINE)
    stages = [(name, float(median)) for name, median in stages if float(median) > 0.05]
    figure, axes = panel("µs per atom", "", f"sum {sum(cost for _, cost in stages):.3g} µs per atom")
    bars = axes.barh([name for name, _ in stages], [cost for _, cost in stages], color=COLOURS[NARROW])
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    return figure


def panel(x: str, y: str, what: str):
    """A figure with one panel, and the machine in its title."""
    facts = machine()
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    title = f"water, 27/30 functions, 2 x 25 nodes, float64; {what}\n{facts['processor']}, {facts['cores']} cores"
    axes.set_title(title, fontsize=8, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def draw(axes, series: dict[str, list[tuple[float, Timing]]]) -> None:
    """Medians as points, from the least to the largest value as bars (cut off where a disturbance made them long)."""
    top = 1.3 * max(timing.median for points in series.values() for _, timing in points)
    for name, points in series.items():
        x, timings = zip(*points, strict=True)
        y = np.array([t.median for t in timings])
        spread = [y - [t.least for t in timings], [max(t.values) for t in timings] - y]
        axes.errorbar(x, y, yerr=spread, fmt="o-", capsize=3, color=COLOURS[name], label=name)
    axes.set_ylim(0, top)
    axes.legend(loc="upper left")


FIGURES = {
    "atoms": cost_of_atoms,
    "neighbours": cost_of_neighbors,
    "threads": cost_of_threads,
    "breakdown": breakdown,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figure", choices=FIGURES)
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="steps of a round (neighbours)")
    parser.add_argument("--most", type=int, default=100_000, help="largest number of atoms")
    parser.add_argument("--replicate", type=int, nargs=3, default=(2, 2, 2), help="copies of 1,080 atoms (threads)")
    options = parser.parse_args()
    path = options.output / f"scaling_{options.figure}.png"
    with matplotlib.rc_context(STYLE):
        FIGURES[options.figure](options).savefig(path, dpi=160)
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
