"""How a run of a fourth-generation potential conserves energy, against the tolerance of its charges.

    python analysis/charge_conservation.py FOLDER --potential PATH --structure FILE [--ps 10] [--tolerances 1e-8 1e-10]
    python analysis/charge_conservation.py FOLDER                  what the runs of a folder have so far

One run at constant energy for each tolerance, all from the same start; a run that was stopped goes on where it was. The
table has drift and rms of total and shadow energy over the time that all runs have, and how far a run's total energy is
from that of the first run within the first 100 fs, in which both follow the same trajectory.
"""

import argparse
from pathlib import Path

import numpy as np

from mdnnp.analysis.energies import analyze, read_series
from mdnnp.base.statistics import plus_minus
from mdnnp.dynamics.input import read_config
from mdnnp.dynamics.run import run

_TERMS = '[[terms]]\npath = "{potential}"\n{units}charge_tolerance = {tolerance:g}\n'
_RUN = """\
[potential]
path = "terms-{tolerance:g}.toml"
[structure]
file = "{structure}"
index = 0
{units}[dynamics]
timestep_fs = {timestep}
steps = {steps}
temperature_K = {temperature}
[output]
file = "charges-{tolerance:g}.h5"
frame_interval = 1000
thermo_interval = 1
checkpoint_interval = 100
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--potential", type=Path, help="make or go on with the runs")
    parser.add_argument("--structure", type=Path)
    parser.add_argument("--length-unit", default="Bohr")
    parser.add_argument("--energy-unit", default="Hartree")
    parser.add_argument("--tolerances", type=float, nargs="+", default=[1e-8, 1e-10], help="all, or one a process")
    parser.add_argument("--timestep-fs", type=float, default=0.5)
    parser.add_argument("--temperature-K", type=float, default=300.0)
    parser.add_argument("--ps", type=float, default=10.0)
    options = parser.parse_args()
    if (options.potential is None) != (options.structure is None):
        parser.error("give --potential and --structure together")
    return options


def make_run(options: argparse.Namespace, tolerance: float) -> None:
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    units = f'length_unit = "{options.length_unit}"\nenergy_unit = "{options.energy_unit}"\n'
    values = {
        "tolerance": tolerance,
        "units": units,
        "potential": options.potential.absolute(),
        "structure": options.structure.absolute(),
        "timestep": options.timestep_fs,
        "temperature": options.temperature_K,
        "steps": round(1e3 * options.ps / options.timestep_fs),
    }
    (folder / f"terms-{tolerance:g}.toml").write_text(_TERMS.format(**values))
    path = folder / f"charges-{tolerance:g}.toml"
    path.write_text(_RUN.format(**values))
    config = read_config(path)
    run(config, resume=config.checkpoint_path.exists())


def table(folder: Path) -> None:
    """Print drift and rms of each run over the time that all have."""
    found = [(float(path.stem.partition("-")[2]), read_series(path)) for path in folder.glob("charges-*.h5")]
    found.sort(key=lambda pair: -pair[0])
    until = min(series.time_fs[-1] for _, series in found)
    print(f"{len(found)} runs, {1e-3 * until:g} ps\n")
    print(f"{'tolerance':>9}  {'energy':<7}{'drift':<36}{'rms / (meV/atom)':>17}{'from the first / (meV/atom)':>29}")
    first = None
    for tolerance, series in found:
        of_run = analyze(series, until_fs=until)
        total = series.values["total_energy"] / series.n_atoms
        first = total if first is None else first
        early = series.time_fs <= min(100.0, until)
        apart = 1e3 * np.abs(total[early] - first[: len(total)][early]).max()
        for kind, drift in (("total", of_run.drift), ("shadow", of_run.shadow_drift)):
            if drift is None or drift.n_blocks == 0:
                print(f"{tolerance:>9g}  {kind:<7}too short")
                continue
            slope = plus_minus(drift.slope_meV_per_atom_ns, drift.error_meV_per_atom_ns, "meV/atom/ns")
            beside = f"{apart:>29.2g}" if kind == "total" else ""
            print(f"{tolerance:>9g}  {kind:<7}{slope:<36}{drift.rms_eV_per_atom * 1e3:>17.3g}{beside}")


def main() -> None:
    options = arguments()
    if options.potential:
        for tolerance in options.tolerances:
            make_run(options, tolerance)
    table(options.folder)


if __name__ == "__main__":
    main()
