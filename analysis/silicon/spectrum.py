"""Vibrations of crystalline silicon: the spectrum of a run's velocities beside the modes of the same cell.

    mdnnp run inputs/silicon/crystal.toml && mdnnp analyze inputs/silicon/crystal.h5
    python analysis/silicon/spectrum.py inputs/silicon/crystal_analysis [--cells 4] [-o FIGURE]

The modes are those of the Hessian at rest, at the wave vectors of the cell of the run (4 x 4 x 4 cubic cells: 1,536
modes), each smoothed by the window of the correlation time. In equilibrium every mode of a classical harmonic crystal
has the same energy, so that both curves are the same; a run of some picoseconds, of a crystal that hands energy on
slowly, keeps some of the shares that it began with. Prints where both have their peaks.
"""

import argparse
import csv
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mdnnp import load_potential
from mdnnp.analysis.dynamics import CM_PER_THZ
from mdnnp.atoms.read import read_structures
from mdnnp.base.report.style import ACCENT, MAIN, STYLE
from mdnnp.materials.crystal import make_crystal
from mdnnp.materials.lattice import find_force_constants, frequencies

SILICON = Path(__file__).resolve().parents[2] / "inputs" / "silicon"
PEAKS_THZ = {"transverse acoustic": (3.0, 7.5), "longitudinal": (8.5, 11.0), "optical": (12.5, 15.0)}


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("analysis", type=Path, help="folder of `mdnnp analyze`")
    p.add_argument("--cells", type=int, default=4, help="cubic cells along each edge of the run")
    p.add_argument("-o", "--output", type=Path, default=Path("silicon-spectrum.png"))
    return p.parse_args()


def of_run(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequencies in THz, spectrum with integral 1 in 1/THz, its standard error."""
    with open(folder / "curves.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["quantity"] == "vdos Si"]
    x, y, error = (np.array([float(row[name]) for row in rows]) for name in ("x", "y", "error"))
    return x / CM_PER_THZ, y, error


def of_hessian(cells: int) -> np.ndarray:
    """Frequencies of all modes of the cell, THz, translations left out."""
    potential = load_potential(SILICON / "potential")
    crystal = make_crystal(potential, read_structures(SILICON / "crystal.xyz", -1)[0])
    constants = find_force_constants(potential, crystal.system, crystal.masses)
    waves = np.indices((cells,) * 3).reshape(3, -1).T / cells
    return np.sort(frequencies(constants, waves).ravel())[3:]


def smoothed(modes: np.ndarray, at: np.ndarray, lag_ps: float) -> np.ndarray:
    """Density of states with integral 1, in 1/THz, as a correlation time of `lag_ps` and its Hann window show it."""
    t = (np.arange(400) + 0.5) / 400 * lag_ps
    window = 2 * lag_ps / 400 * np.cos(0.5 * np.pi * t / lag_ps) ** 2
    correlation = np.cos(2 * np.pi * np.outer(t, modes)).mean(axis=1)
    return 2 * np.cos(2 * np.pi * np.outer(at, t)) @ (window * correlation)


def main() -> None:
    args = arguments()
    frequency, run, error = of_run(args.analysis)
    lag_ps = 1.0 / of_resolution(args.analysis)
    expected = smoothed(of_hessian(args.cells), frequency, lag_ps)
    for name, (low, high) in PEAKS_THZ.items():
        inside = (frequency > low) & (frequency < high)
        tops = [frequency[inside][np.argmax(curve[inside])] for curve in (run, expected)]
        print(f"{name:<20} run {tops[0]:.2f} THz, Hessian {tops[1]:.2f} THz")
    inside = frequency < 16.0
    print(f"rms difference {np.sqrt(np.mean((run - expected)[inside] ** 2)):.4f} of at most {run.max():.3f} 1/THz; "
          f"mean standard error {error[inside].mean():.4f}")  # fmt: skip
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
        ax.fill_between(frequency, run - 2 * error, run + 2 * error, color=MAIN, alpha=0.3, lw=0)
        ax.plot(frequency, run, color=MAIN, label="velocities of the run (band: two standard errors)")
        ax.plot(frequency, expected, "--", color=ACCENT, label=f"modes of the Hessian, as {lag_ps:.2g} ps show them")
        ax.set(xlabel="frequency / THz", ylabel="spectrum / (1/THz)", xlim=(0, 17), ylim=(0, None))
        ax.legend(fontsize=9, loc="upper left")
        figure.savefig(args.output)
    print(f"written: {args.output}")


def of_resolution(folder: Path) -> float:
    """THz."""
    with open(folder / "physics.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["quantity"] == "vdos Si" and row["number"].startswith("resolution"):
                return float(row["value"]) / CM_PER_THZ
    raise SystemExit(f"{folder}: has no spectrum")


if __name__ == "__main__":
    main()
