"""Liquid water from a run: radial distribution functions beside reference curves, diffusion, spectrum of the atoms.

    python analysis/water.py RUN.h5 [--reference DIRECTORY] [--lag-ps 1] [-o water.png]

The run has velocities in its frames, which are written every 4 fs or so (`frame_interval`), or the spectrum of the O-H
stretch at 3,500 1/cm is folded. DIRECTORY may hold goo.gdr, goh.gdr and ghh.gdr, two columns each: distance in bohr,
g(r). Prints, with error bars from ten blocks: peaks, the number of neighbours within the first minimum, the diffusion
coefficient (of this box, and at infinite size with the viscosity given), and the bands of the spectrum.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mdnnp.analysis import Frames, mean_squared_displacement, radial_distribution, velocity_spectrum
from mdnnp.base.report.style import ACCENT, DATA, MAIN, STYLE
from mdnnp.base.statistics import plus_minus
from mdnnp.base.units import BOHR_A

PAIRS = {"O-O": "goo.gdr", "H-O": "goh.gdr", "H-H": "ghh.gdr"}
# 1/cm, between which a band of liquid water is looked for.
BANDS = {"libration": (300, 1100), "bend": (1400, 1900), "stretch": (2800, 4000)}
WARMUP_PS, BIN_A = 5.0, 0.05


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("run", type=Path, help="H5MD trajectory of liquid water with velocities")
    p.add_argument("--reference", type=Path, help="directory of reference curves")
    p.add_argument("--name", default="reference", help="what the reference is called in the figure")
    p.add_argument("--lag-ps", type=float, default=1.0, help="longest correlation time of the spectrum (default: 1)")
    p.add_argument("--viscosity", type=float, help="mPa s, for the diffusion coefficient at infinite size")
    p.add_argument("-o", "--output", type=Path, default=Path("water.png"))
    return p.parse_args()


def reference_curve(directory: Path | None, name: str) -> np.ndarray | None:
    """(n, 2) r in Å and g, if the file is there."""
    if directory is None or not (directory / name).exists():
        return None
    return np.loadtxt(directory / name)[:, :2] * [BOHR_A, 1.0]


def deviation(table, reference: np.ndarray) -> float:
    """Root mean square of g - g_reference beyond the molecule, from 1.5 Å to the end of both."""
    r = table.x[(table.x > 1.5) & (table.x < min(table.x[-1], reference[-1, 0]))]
    return float(np.sqrt(np.mean((np.interp(r, table.x, table.y) - np.interp(r, *reference.T)) ** 2)))


def bands(spectrum: dict) -> dict[str, float]:
    """Centre of gravity of each band of the hydrogens' spectrum, 1/cm."""
    table = spectrum["vdos H"]
    found = {}
    for name, (low, high) in BANDS.items():
        inside = (table.x > low) & (table.x < high)
        weight = np.maximum(table.y[inside], 0.0)
        found[name] = float(np.sum(table.x[inside] * weight) / np.sum(weight))
    return found


def main() -> None:
    args = arguments()
    with Frames([args.run], 1e3 * WARMUP_PS) as frames:
        curves = radial_distribution(frames, None, BIN_A)
        spectrum = velocity_spectrum(frames, 1e3 * args.lag_ps)
        diffusion = mean_squared_displacement(frames, None, None, args.viscosity)
    for name, table in {**curves, **diffusion}.items():
        for what, (value, error) in table.numbers.items():
            print(f"{name + ': ' + what:<60} {plus_minus(value, error, '')}")
    found = bands(spectrum)
    for name, centre in found.items():
        print(f"{'spectrum of H: ' + name + ', centre of gravity / cm⁻¹':<60} {centre:.0f}")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
        for ax, (pair, file) in zip(axes.ravel(), PAIRS.items(), strict=False):
            table, reference = curves[f"rdf {pair}"], reference_curve(args.reference, file)
            ax.fill_between(table.x, table.y - 2 * table.error, table.y + 2 * table.error, color=MAIN, alpha=0.3, lw=0)
            ax.plot(table.x, table.y, color=MAIN, label="this run (band: two standard errors)")
            if reference is not None:
                ax.plot(*reference.T, color=ACCENT, lw=1, ls="--", label=args.name)
                print(f"{'rdf ' + pair + ': rms deviation from the reference beyond 1.5 Å':<60} "
                      f"{deviation(table, reference):.3f}")  # fmt: skip
            outside = table.y[table.x > 1.5].max()
            ax.set(xlabel="r / Å", ylabel=f"g(r), {pair}", xlim=(0.5, table.x[-1]), ylim=(0, 1.25 * outside))
            ax.axhline(1, color=DATA, lw=0.8, zorder=0)
        axes[0, 0].legend(fontsize=8, loc="lower right")
        ax = axes[1, 1]
        for symbol, colour in (("H", MAIN), ("O", ACCENT)):
            table = spectrum[f"vdos {symbol}"]
            ax.plot(table.x, table.y, color=colour, label=symbol)
        ax.set(xlabel="wavenumber / cm$^{-1}$", ylabel=table.y_name, xlim=(0, 4200), ylim=(0, None))
        ax.legend(fontsize=9, title="spectrum of velocities")
        figure.savefig(args.output)
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
