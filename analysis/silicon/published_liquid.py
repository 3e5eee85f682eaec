"""Liquid silicon beside a published ab-initio run: radial and angular distribution, number by number.

    mdnnp run inputs/silicon/liquid-2000K.toml
    python analysis/silicon/published_liquid.py inputs/silicon/liquid-2000K.h5 PUBLISHED.json [MORE.json] [-o FIGURE]

PUBLISHED.json is `model-CASTEP_ASE-test-liquid-properties.json` of github.com/libAtoms/silicon-testing-framework
(folder test-results), the numbers behind A. P. Bartók, J. Kermode, N. Bernstein, G. Csányi, Phys. Rev. X 8, 041048
(2018): 64 atoms, PW91, 2000 K, no pressure, 1.25 ps. Those of other potentials there can be given as well; the first
file is what the others and the run are measured against. They are not part of this repository. Published g(r) are
smoothed by a Gaussian of 0.1 Å, and the run's is smoothed likewise; beyond 5 Å, where the cell ends, nothing is
compared.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mdnnp.analysis import Frames, angular_distribution, radial_distribution
from mdnnp.base.report.style import ACCENT, DATA, MAIN, STYLE
from mdnnp.base.units import U_PER_A3_IN_G_PER_CM3
from mdnnp.trajectory import Trajectory

SMOOTHED_A, REACH_A = 0.1, 2.8
BEGIN_A, END_A = 1.8, 5.0
FEWEST_DEGREES = 40.0
WARMUP_PS = 10.0


class Curve(NamedTuple):
    """x, y and standard error; None where it is not known."""

    x: np.ndarray
    y: np.ndarray
    error: np.ndarray | None


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("run", type=Path, help="trajectory of liquid silicon at 2000 K")
    p.add_argument("published", type=Path, nargs="+", help="liquid properties of the silicon testing framework")
    p.add_argument("-o", "--output", type=Path, default=Path("silicon-liquid.png"))
    return p.parse_args()


def published(path: Path) -> tuple[Curve, Curve]:
    """g(r) with r in Å, and the distribution of angles in degrees, per solid angle, mean 1."""
    found = json.loads(path.read_text())
    r, g = np.transpose(found["liquid_rdf"])
    angle, p = np.transpose(found["liquid_adf"])
    return Curve(r, g, None), per_solid_angle(Curve(np.degrees(angle), p * np.sin(angle), None))


def per_solid_angle(curve: Curve) -> Curve:
    """A distribution of angles over the sine: an ideal gas has 1."""
    sine = np.sin(np.radians(curve.x))
    factor = 1.0 / sine / (curve.y.sum() / sine.sum())
    return Curve(curve.x, curve.y * factor, None if curve.error is None else curve.error * factor)


def smoothed(r: np.ndarray, g: np.ndarray, at: np.ndarray) -> np.ndarray:
    """g(r) smoothed as the published one: pairs are counted by Gaussians in r."""
    weight = np.exp(-0.5 * ((at[:, None] - r) / SMOOTHED_A) ** 2)
    return weight @ (g * r**2) / weight.sum(axis=1) / np.maximum(at, 0.1) ** 2


def deviation(a: Curve, b: Curve, begin: float, end: float) -> float:
    """Root mean square of a - b at the points of b from `begin` to `end`."""
    inside = (b.x >= begin) & (b.x <= end)
    return float(np.sqrt(np.mean((np.interp(b.x[inside], a.x, a.y) - b.y[inside]) ** 2)))


def peak(g: Curve) -> tuple[float, float]:
    """Place and height of the first peak, by a parabola through three points."""
    top = int(np.argmax(g.y))
    a, b, c = np.polyfit(g.x[top - 1 : top + 2] - g.x[top], g.y[top - 1 : top + 2], 2)
    return g.x[top] - b / (2 * a), c - b * b / (4 * a)


def minimum(g: Curve) -> float:
    """The lowest value between the first two peaks."""
    return float(g.y[(g.x > 2.8) & (g.x < 3.8)].min())


def of_run(path: Path, r: np.ndarray) -> tuple[Curve, Curve, float, float]:
    """As `published`, and the mean temperature (K) and density (g/cm^3)."""
    with Frames([path], 1e3 * WARMUP_PS) as frames:
        rdf = radial_distribution(frames, None, 0.025)["rdf Si-Si"]
        angles = angular_distribution(frames, {("Si", "Si"): REACH_A}, 3.0)["angle Si-Si-Si"]
        density = frames.masses.sum() / frames.volumes().mean() * U_PER_A3_IN_G_PER_CM3
    with Trajectory(path) as run:
        thermo = run.thermo
    kept = thermo["time"] > 1e3 * WARMUP_PS
    g = Curve(r, smoothed(rdf.x, rdf.y, r), smoothed(rdf.x, rdf.error, r))
    return g, per_solid_angle(Curve(angles.x, angles.y, angles.error)), thermo["temperature"][kept].mean(), density


def report(name: str, g: Curve, angles: Curve, reference: tuple[Curve, Curve]) -> None:
    place, height = peak(g)
    print(f"{name}: first peak {place:.3f} Å, {height:.2f}; minimum {minimum(g):.2f}")
    if g is not reference[0]:
        of_g = deviation(g, reference[0], BEGIN_A, END_A)
        of_angles = deviation(angles, reference[1], FEWEST_DEGREES, 175.0)
        print(f"  rms deviation of g(r), {BEGIN_A} to {END_A} Å: {of_g:.3f}; of the angles: {of_angles:.3f}")


def main() -> None:
    args = arguments()
    curves = {
        path.stem.removeprefix("model-").split("-test")[0].split("_")[0]: published(path) for path in args.published
    }
    first = next(iter(curves.values()))
    g, angles, temperature, density = of_run(args.run, first[0].x)
    print(f"run: {temperature:.0f} K, {density:.3f} g/cm³")
    report("network", g, angles, first)
    for name, (other, of_angles) in curves.items():
        report(name, other, of_angles, first)
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        for ax, own, k in ((left, g, 0), (right, angles, 1)):
            ax.fill_between(own.x, own.y - 2 * own.error, own.y + 2 * own.error, color=MAIN, alpha=0.3, lw=0)
            ax.plot(own.x, own.y, color=MAIN, label=f"network, {temperature:.0f} K (band: two standard errors)")
            for (name, both), style in zip(curves.items(), ("--", ":", "-."), strict=False):
                ax.plot(both[k].x, both[k].y, style, color=ACCENT if style == "--" else DATA, label=f"{name}, 2000 K")
            ax.axhline(1, color=DATA, lw=0.8, zorder=0)
        left.set(xlabel="r / Å", ylabel="g(r)", xlim=(1.7, END_A), ylim=(0, None))
        right.set(xlabel=f"angle between neighbours within {REACH_A} Å / degrees", xlim=(35, 178), ylim=(0, None))
        right.set(ylabel="distribution per solid angle")
        left.legend(fontsize=8)
        figure.savefig(args.output)
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
