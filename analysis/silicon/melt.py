"""The silicon melt: radial distribution function of a run, and its frames checked against density-functional theory.

    mdnnp run inputs/silicon/liquid.toml
    python analysis/silicon/melt.py inputs/silicon/liquid.h5 [-o silicon-melt.png]

prints the first peak of g(r), the minimum behind it and the coordination number, with error bars from blocks, beside
published values. `inputs/silicon/melt.xyz` holds frames of such a run with DFT labels: the errors of energy and force
on them are printed, and they are reweighted from the network's ensemble to that of DFT, with
w ~ exp(-(E_DFT - E_network) / kT) and the effective number of frames (sum w)^2 / (sum w^2) that is left. To label
frames of another run:

    python analysis/silicon/melt.py RUN.h5 --choose 8 frames.xyz
    python analysis/silicon/label.py frames.xyz labels/ -o labelled.xyz
    python analysis/silicon/melt.py RUN.h5 --labelled labelled.xyz
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import ase.io
import matplotlib
import numpy as np
from ase import Atoms

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mdnnp import load_potential, make_system
from mdnnp.base.report.style import ACCENT, DATA, MAIN, STYLE
from mdnnp.base.units import BOLTZMANN_EV_PER_K
from mdnnp.trajectory import Trajectory

SILICON = Path(__file__).resolve().parents[2] / "inputs" / "silicon"
BIN_A, BLOCKS = 0.05, 10
FIRST_SHELL_A = 3.10  # to which the published coordination numbers are counted

# Published: temperature K, first peak Å, coordination number within FIRST_SHELL_A.
PUBLISHED = {
    "Car-Parrinello, LDA (I. Štich, R. Car, M. Parrinello, Phys. Rev. Lett. 63, 2240 (1989))": (1800, 2.46, 6.5),
    "X-ray diffraction (Y. Waseda et al., Jpn. J. Appl. Phys. 34, 4124 (1995))": (1713, 2.45, 6.3),
}


class Shell(NamedTuple):
    """First shell of neighbours: peak of g(r) (Å, height), height of the flat minimum behind it, and neighbours within
    FIRST_SHELL_A."""

    peak_A: float
    peak: float
    minimum: float
    neighbors: float


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("run", type=Path, help="trajectory of a cubic cell of silicon")
    p.add_argument("--potential", type=Path, default=SILICON / "potential")
    p.add_argument("--labelled", type=Path, default=SILICON / "melt.xyz", help="frames with DFT labels")
    p.add_argument("--choose", nargs=2, metavar=("N", "FILE"), help="write N frames to be labelled, and stop")
    p.add_argument("-o", "--output", type=Path, default=Path("silicon-melt.png"))
    return p.parse_args()


def radial_distribution(positions: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances r (n,) in Å and g(r) of each frame (T, n), for positions (T, N, 3) in Å in a cube of `width` Å.

    Relative to the density N / V, so that its integral counts neighbours exactly; far away it is 1 - 1/N.
    """
    edges = np.arange(0.0, width / 2, BIN_A)
    n_atoms = positions.shape[1]
    pairs = np.triu_indices(n_atoms, 1)
    ideal = 4 / 3 * np.pi * np.diff(edges**3) * n_atoms**2 / 2 / width**3
    g = []
    for x in positions:
        d = x[pairs[0]] - x[pairs[1]]
        d -= width * np.round(d / width)
        g.append(np.histogram(np.sqrt(np.sum(d * d, axis=1)), edges)[0] / ideal)
    return 0.5 * (edges[1:] + edges[:-1]), np.array(g)


def first_shell(r: np.ndarray, g: np.ndarray, density: float) -> Shell:
    """The first shell of g(r); density in atoms per Å^3. The peak by a parabola through seven points."""
    top = int(np.argmax(np.where(r < FIRST_SHELL_A, g, 0.0)))
    a, b, c = np.polyfit(r[top - 3 : top + 4] - r[top], g[top - 3 : top + 4], 2)
    # Smoothed, so that noise is not taken for the minimum: in this liquid it is too flat to have a place.
    smooth = np.convolve(g, np.ones(7) / 7, "same")
    lowest = smooth[(r > r[top]) & (r < 4.0)].min()
    cumulative = np.concatenate([[0.0], np.cumsum(4 * np.pi * density * r**2 * g * BIN_A)])
    neighbors = np.interp(FIRST_SHELL_A, np.arange(len(cumulative)) * BIN_A, cumulative)
    return Shell(r[top] - b / (2 * a), c - b * b / (4 * a), lowest, neighbors)


def with_errors(r: np.ndarray, g: np.ndarray, density: float) -> tuple[np.ndarray, np.ndarray, Shell, Shell]:
    """Mean g(r), its standard error, the first shell and its standard errors, from BLOCKS blocks of the frames."""
    blocks = np.array([b.mean(axis=0) for b in np.array_split(g, BLOCKS)])
    error = blocks.std(axis=0, ddof=1) / np.sqrt(BLOCKS)
    left_out = np.array([first_shell(r, np.delete(blocks, k, axis=0).mean(axis=0), density) for k in range(BLOCKS)])
    jackknife = np.sqrt((BLOCKS - 1) * left_out.var(axis=0))
    return g.mean(axis=0), error, first_shell(r, g.mean(axis=0), density), Shell(*jackknife)


def read_run(path: Path) -> tuple[np.ndarray, float, float, float]:
    """Positions (T, N, 3) after the equilibration, width of the cube, mean temperature in K and its standard error."""
    with Trajectory(path) as run:
        cell, frames, steps = run.cells(0), run.positions(), run.steps
        thermo, parameters = run.thermo, run.parameters
    if not np.allclose(cell, np.eye(3) * cell[0, 0]):
        raise SystemExit(f"{path}: the cell is not a cube")
    begin = equilibration_steps(parameters)
    temperature = thermo["temperature"][thermo["step"] > begin]
    blocks = [b.mean() for b in np.array_split(temperature, BLOCKS)]
    return frames[steps > begin], cell[0, 0], float(temperature.mean()), float(np.std(blocks, ddof=1) / BLOCKS**0.5)


def equilibration_steps(parameters: dict) -> int:
    """Of the run's input, as the trajectory keeps it."""
    import tomllib

    return tomllib.loads(parameters["config"])["dynamics"].get("equilibration_steps", 0)


def choose(frames: np.ndarray, width: float, n: int, path: Path) -> None:
    """Write n frames, evenly spaced, as extended XYZ without labels."""
    chosen = np.linspace(0, len(frames) - 1, n).round().astype(int)
    atoms = [Atoms(f"Si{frames.shape[1]}", frames[k], cell=np.eye(3) * width, pbc=True) for k in chosen]
    for a in atoms:
        a.wrap()
        a.info["config_type"] = "melt"
    ase.io.write(path, atoms, format="extxyz")
    print(f"{n} frames in {path}")


class Relabelled(NamedTuple):
    """Frames of the network's own run with DFT labels.

    energy_meV : (n,) network minus DFT, per atom; force_eV_A : (n, N, 3) differences; force_rms_eV_A : of the labels
    weights : (n,) to DFT's ensemble, sum 1
    """

    energy_meV: np.ndarray
    force_eV_A: np.ndarray
    force_rms_eV_A: float
    weights: np.ndarray
    positions: np.ndarray

    @property
    def effective(self) -> float:
        """Effective number of frames after reweighting."""
        return float(1.0 / np.sum(self.weights**2))


def compare(path: Path, potential_path: Path, temperature_K: float) -> Relabelled:
    """The labels of the file against the potential."""
    frames = ase.io.read(path, ":")
    potential = load_potential(potential_path)
    results = [potential.compute(make_system(a.positions, a.numbers, a.cell.array, True)) for a in frames]
    excess = np.array([r.energy - a.get_potential_energy() for r, a in zip(results, frames, strict=True)])
    exponent = excess / (BOLTZMANN_EV_PER_K * temperature_K)
    weights = np.exp(exponent - exponent.max())
    labels = np.array([a.get_forces() for a in frames])
    return Relabelled(
        1e3 * excess / len(frames[0]),
        np.array([r.forces for r in results]) - labels,
        float(np.sqrt(np.mean(labels**2))),
        weights / weights.sum(),
        np.array([a.positions for a in frames]),
    )


def report(shell: Shell, error: Shell, temperature: tuple[float, float], width: float, n_atoms: int) -> None:
    print(f"{n_atoms} atoms in a cube of {width:.3f} Å, {temperature[0]:.0f} ± {temperature[1]:.0f} K")
    for name, value, bar in zip(Shell._fields, shell, error, strict=True):
        print(f"  {name:<10} {value:.3f} ± {bar:.3f}")
    for name, (kelvin, peak, neighbors) in PUBLISHED.items():
        print(f"  published: {kelvin} K, peak at {peak} Å, {neighbors} neighbours: {name}")


def report_labels(own: Relabelled) -> None:
    energy = own.energy_meV
    scatter = f", scatter about it {energy.std(ddof=1):.2f}" if len(energy) > 1 else ""
    print(f"{len(energy)} frames labelled by DFT:")
    print(f"  energy: rms {np.sqrt(np.mean(energy**2)):.2f} meV/atom, bias {energy.mean():+.2f}{scatter}")
    force = own.force_eV_A
    print(f"  force components: rms {np.sqrt(np.mean(force**2)):.3f} eV/Å of {own.force_rms_eV_A:.3f}, "
          f"largest {np.abs(force).max():.2f}")  # fmt: skip
    print(f"  reweighted to DFT: {own.effective:.1f} of {len(energy)} frames effective")


def draw(path: Path, r, g, error, shell: Shell, temperature: float, own: Relabelled | None, width: float) -> None:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
        axes.fill_between(r, g - 2 * error, g + 2 * error, color=MAIN, alpha=0.3, lw=0)
        axes.plot(r, g, color=MAIN, label=f"network, {temperature:.0f} K (band: two standard errors)")
        if own is not None and len(own.weights) >= 4:  # g(r) of fewer is noise
            coarse = own_distribution(own, width)
            axes.plot(coarse[0], coarse[1], "o", mfc="none", color=DATA, ms=5, label="its frames that DFT labelled")
            text = f"the same reweighted to DFT ({own.effective:.1f} of {len(own.weights)} frames effective)"
            axes.plot(coarse[0], coarse[2], "x", color=ACCENT, ms=5, label=text)
        kelvin, peak, neighbors = next(iter(PUBLISHED.values()))
        axes.axvline(peak, color=DATA, lw=1, ls="--", zorder=0)
        text = f"Car-Parrinello {kelvin} K:\npeak at {peak} Å,\n{neighbors} neighbours to {FIRST_SHELL_A:.2f} Å"
        axes.annotate(text, (peak, 0.25), xytext=(6, 0), textcoords="offset points", fontsize=8)
        axes.axhline(1, color=DATA, lw=0.8, zorder=0)
        axes.set(xlabel="r / Å", ylabel="g(r)", xlim=(1.5, r[-1]), ylim=(0, None))
        axes.set_title(f"{shell.neighbors:.2f} neighbours within {FIRST_SHELL_A:.2f} Å", fontsize=10)
        axes.legend(fontsize=8)
        figure.savefig(path)
    print(f"written: {path}")


def own_distribution(own: Relabelled, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """r and g(r) of the labelled frames in bins three times as wide, plain and reweighted."""
    r, g = radial_distribution(own.positions, width)
    n = len(r) // 3 * 3
    r, g = r[:n].reshape(-1, 3).mean(axis=1), g[:, :n].reshape(len(g), -1, 3).mean(axis=2)
    return r, g.mean(axis=0), own.weights @ g


def main() -> None:
    args = arguments()
    frames, width, temperature, temperature_error = read_run(args.run)
    if args.choose:
        choose(frames, width, int(args.choose[0]), Path(args.choose[1]))
        return
    density = frames.shape[1] / width**3
    r, g = radial_distribution(frames, width)
    mean, error, shell, shell_error = with_errors(r, g, density)
    report(shell, shell_error, (temperature, temperature_error), width, frames.shape[1])
    own = compare(args.labelled, args.potential, temperature) if args.labelled.exists() else None
    if own is not None:
        report_labels(own)
    draw(args.output, r, mean, error, shell, temperature, own, width)


if __name__ == "__main__":
    main()
