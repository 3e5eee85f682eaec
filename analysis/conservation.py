"""How well runs conserve energy: drift and fluctuation of total and shadow energy against the time step.

    python analysis/conservation.py RUN.h5 ... [-o conservation.png]                    of runs that are there
    python analysis/conservation.py --make [INPUT.toml] [--potential PATH] [--timesteps-fs 1 0.5 0.25 0.125] [--ps 2]
    python analysis/conservation.py --make [INPUT.toml] --refit [TRAIN.toml] --cutoffs cos poly2 --activations tanh

The second form makes the runs first: the input's equilibration once, with the shortest time step, then from its end a
run of `mdnnp run` for each time step over the same time (FOLDER/NAME-1fs.h5, ...). INPUT.toml is that of crystalline
silicon, inputs/silicon/crystal.toml, if none is named; it names its potential, inputs/silicon/potential, unless
--potential does. The third form does so for potentials fitted to the data of TRAIN.toml (inputs/silicon/train.toml),
small networks, one for each pair of cutoff function and activation: a minute for each fit. All forms read the
trajectories, group them by potential, print drift and rms of each run with error bars, and fit the order of both
energies in the time step. Give runs of several potentials to compare them in one figure.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from mdnnp.analysis.energies import Analysis, analyze, read_series
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System
from mdnnp.atoms.write import write_structures
from mdnnp.base.report.style import STYLE
from mdnnp.base.statistics import plus_minus
from mdnnp.certify.order import Order, fit_order
from mdnnp.dynamics.input import RunConfig, parse_config, read_config, resolved_text
from mdnnp.dynamics.run import run
from mdnnp.training.input import DescriptorsConfig, FitConfig, NetworkConfig, OutputConfig, read_train_config
from mdnnp.training.train import train
from mdnnp.trajectory import Trajectory

SILICON = Path(__file__).resolve().parent.parent / "inputs" / "silicon"
COLOURS = ("#1f4e79", "#c0392b", "#3b7d4f", "#8e5ea2", "#b8860b")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", metavar="RUN.h5")
    parser.add_argument("--make", nargs="?", const=str(SILICON / "crystal.toml"), metavar="INPUT.toml",
                        help="make the runs from this input")  # fmt: skip
    parser.add_argument("--potential", help="instead of the input's (by default for silicon: inputs/silicon/potential)")
    parser.add_argument("--timesteps-fs", type=float, nargs="+", default=[1.0, 0.5, 0.25, 0.125])
    parser.add_argument("--ps", type=float, default=2.0, help="length of each run to make")
    parser.add_argument("--refit", nargs="?", const=str(SILICON / "train.toml"), metavar="TRAIN.toml",
                        help="make the runs with potentials fitted to its data")  # fmt: skip
    parser.add_argument("--cutoffs", nargs="+", default=["cos", "poly2", "poly3"], help="cutoff functions to fit with")
    parser.add_argument("--activations", nargs="+", default=["tanh"], help="activations to fit with")
    parser.add_argument("--epochs", type=int, default=25, help="of each fit")
    parser.add_argument("--folder", help="for runs and fits; by default that of the input")
    parser.add_argument("-o", "--output", default="conservation.png", help="figure; the numbers go beside it, as .json")
    options = parser.parse_args()
    if not options.runs and not options.make:
        parser.error("give trajectories, or --make with an input")
    if options.potential and options.refit:
        parser.error("--potential and --refit exclude each other")
    return options


# --- Potentials ---------------------------------------------------------------------------------------------


def refit(source: Path, folder: Path, cutoff_type: str, activation: str, epochs: int) -> Path:
    """Fit a small network to the [data] of an input, with its cutoff radius, by default settings; its directory."""
    config = read_train_config(source)
    name = f"{cutoff_type}-{activation}"
    changed = replace(
        config,
        descriptors=DescriptorsConfig(
            config.descriptors.cutoff_A, radial=8, angular=3, max_zeta=4, cutoff_type=cutoff_type
        ),
        network=NetworkConfig((10, 10), activation),
        fit=FitConfig(epochs=epochs),
        output=OutputConfig(potential=folder / name, report=folder / f"{name}.html"),
        source=folder / f"{name}.toml",
        text=f"{config.text}\n# Changed by analysis/conservation.py: {name}, fewer functions and nodes\n",
    )
    return train(changed, overwrite=True).path


# --- Making the runs ----------------------------------------------------------------------------------------


def make_runs(
    source: Path,
    timesteps_fs: list[float],
    duration_ps: float,
    folder: Path | None = None,
    potential: Path | None = None,
) -> list[Path]:
    """Runs over the same time from the end of one equilibration; returns their trajectories.

    folder : for the runs, that of the input if not given; potential : instead of the input's
    """
    config, stem = read_config(source), source.stem
    if potential is not None:
        of_files = {"length_unit": None, "energy_unit": None}  # a fitted potential states its own
        config = replace(config, potential=replace(config.potential, path=potential.absolute(), **of_files))
        stem = f"{stem}-{potential.name}"
    folder = (source.parent if folder is None else folder).absolute()
    shortest = min(timesteps_fs)
    factor = config.dynamics.timestep_fs / shortest
    steps = max(1, round(config.dynamics.equilibration_steps * factor))
    first = replace(config.dynamics, timestep_fs=shortest, steps=0, equilibration_steps=steps)
    first = _run(config, folder / f"{stem}-start.toml", dynamics=first, frame_interval=steps)
    start = folder / f"{stem}-start.xyz"
    with Trajectory(first) as t:
        system = System(t.positions(-1), t.numbers, t.cells(-1), t.pbc)
        write_structures(start, [Structure(system, t.masses, velocities=t.velocities(-1))], overwrite=True)
    structure = replace(config.structure, file=start, index=-1, replicate=(1, 1, 1))
    found = []
    for timestep in timesteps_fs:
        n = round(1e3 * duration_ps / timestep)
        dynamics = replace(
            config.dynamics, timestep_fs=timestep, steps=n, equilibration_steps=0, velocities="file", temperature_K=None
        )
        path = folder / f"{stem}-{timestep:g}fs.toml"
        found.append(_run(config, path, dynamics=dynamics, structure=structure, frame_interval=n))
    return found


def _run(config: RunConfig, path: Path, *, frame_interval: int, **changed) -> Path:
    """Run a changed input, which is written to `path`; returns the trajectory."""
    output = replace(config.output, file=path.with_suffix(".h5"), frame_interval=frame_interval, thermo_interval=1)
    path.write_text(resolved_text(replace(config, output=output, **changed)), encoding="utf-8")
    return run(parse_config(path.read_text("utf-8"), path), overwrite=True).trajectory


# --- Reading them -------------------------------------------------------------------------------------------


def label_of(path: Path) -> tuple[str, float]:
    """The potential's name (of silicon/potential: silicon) and the time step in fs of a trajectory."""
    with Trajectory(path) as t:
        potential = Path(str(t.parameters["potential"]))
        name = potential.parent.name if potential.name == "potential" else potential.name
        return name or potential.name, float(t.parameters["timestep_fs"])


def table(groups: dict[str, list[tuple[float, Analysis]]]) -> dict:
    """Print drift and rms of every run; returns the numbers."""
    numbers: dict = {}
    for name, runs in groups.items():
        print(f"\n{name}")
        print(f"{'dt/fs':>7}  {'energy':<7}{'drift':<38}{'rms / (meV/atom)':>17}{'|change|/sigma(Ekin)':>22}")
        rows = []
        for timestep, found in runs:
            for kind, drift in (("total", found.drift), ("shadow", found.shadow_drift)):
                if drift is None or drift.n_blocks == 0:
                    print(f"{timestep:>7g}  {kind:<7}too short")
                    continue
                slope = plus_minus(drift.slope_meV_per_atom_ns, drift.error_meV_per_atom_ns, "meV/atom/ns")
                rms, change = drift.rms_eV_per_atom * 1e3, drift.change_over_kinetic_deviation
                print(f"{timestep:>7g}  {kind:<7}{slope:<38}{rms:>17.3g}{change:>22.2g}")
                rows.append(
                    {
                        "timestep_fs": timestep,
                        "energy": kind,
                        "rms_eV_per_atom": drift.rms_eV_per_atom,
                        "slope_eV_per_atom_ps": drift.slope_eV_per_atom_ps,
                        "error_eV_per_atom_ps": drift.error_eV_per_atom_ps,
                        "kT_per_ns_per_degree": drift.kT_per_ns_per_degree,
                        "change_over_kinetic_deviation": change,
                    }
                )
        orders = {kind: order_of([row for row in rows if row["energy"] == kind]) for kind in ("total", "shadow")}
        print("orders in dt: " + ", ".join(f"{k} {o.value:.2f} ± {o.error:.2f}" for k, o in orders.items()))
        numbers[name] = {"runs": rows, "orders": {k: [o.value, o.error] for k, o in orders.items()}}
    return numbers


def order_of(rows: list[dict]) -> Order:
    return fit_order(np.array([r["timestep_fs"] for r in rows]), np.array([r["rms_eV_per_atom"] for r in rows]))


def draw(numbers: dict, path: Path) -> None:
    """Left: rms against time step; right: size of the drift, with error bars. Filled: total, open: shadow energy."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6 + 0.2 * len(numbers)), layout="constrained")
    for (name, found), colour in zip(numbers.items(), COLOURS * 9, strict=False):
        for kind, face in (("total", colour), ("shadow", "white")):
            rows = [row for row in found["runs"] if row["energy"] == kind]
            steps = np.array([row["timestep_fs"] for row in rows])
            value, error = found["orders"][kind]
            order = f", order {value:.2f} ± {error:.2f}" if np.isfinite(value) else ""
            style = {"color": colour, "marker": "o", "markerfacecolor": face, "lw": 1}
            left.loglog(
                steps, [1e3 * r["rms_eV_per_atom"] for r in rows], label=f"{name}, {kind} energy{order}", **style
            )
            slopes, errors = (
                1e6 * np.array([row[key] for row in rows], dtype=float)
                for key in ("slope_eV_per_atom_ps", "error_eV_per_atom_ps")
            )
            known = np.isfinite(errors)  # too short a run has a slope, but no error bar: that is not shown
            slopes, errors = slopes[known], errors[known]
            # An unresolved drift is shown by its upper limit.
            limits = np.abs(slopes) < 2 * errors
            shown = np.where(limits, np.abs(slopes) + 2 * errors, np.abs(slopes))
            bars = np.where(limits, 0.5 * shown, np.minimum(errors, 0.9 * shown))
            style["ls"] = ""
            right.errorbar(steps[known], shown, bars, uplims=limits, capsize=2, label=f"{name}, {kind} energy", **style)
    left.set_ylabel("rms about the fitted line / (meV/atom)")
    right.set_ylabel("|drift| / (meV/atom/ns)\n(arrows: upper limits, two standard errors)")
    right.set_xscale("log")
    right.set_yscale("log")
    steps = sorted({row["timestep_fs"] for found in numbers.values() for row in found["runs"]})
    for axes in (left, right):
        axes.set_xticks(steps, [f"{step:g}" for step in steps])
        axes.minorticks_off()
        axes.set_xlabel("time step / fs")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, dpi=160)


def made(options: argparse.Namespace) -> list[Path]:
    """The runs that --make asks for."""
    source = Path(options.make).absolute()
    folder = Path(options.folder or source.parent).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    potentials = [None if options.potential is None else Path(options.potential)]
    if options.refit:
        pairs = [(cutoff, activation) for activation in options.activations for cutoff in options.cutoffs]
        potentials = [refit(Path(options.refit), folder, *pair, options.epochs) for pair in pairs]
    return [path for p in potentials for path in make_runs(source, options.timesteps_fs, options.ps, folder, p)]


def main() -> None:
    plt.rcParams.update(STYLE)
    options = arguments()
    paths = [Path(p) for p in options.runs]
    if options.make:
        paths += made(options)
    groups: dict[str, list[tuple[float, Analysis]]] = {}
    for path in paths:
        name, timestep = label_of(path)
        groups.setdefault(name, []).append((timestep, analyze(read_series(path))))
    for runs in groups.values():
        runs.sort(key=lambda pair: -pair[0])
    numbers = table(groups)
    output = Path(options.output)
    output.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")
    draw(numbers, output)
    print(f"\nWritten: {output}, {output.with_suffix('.json')}")


if __name__ == "__main__":
    main()
