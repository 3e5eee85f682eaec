"""Charge transfer, fitted: potentials without charges (second generation) and with them (fourth), to the same labels.

    python analysis/charge_transfer/fits.py FOLDER [--systems salt carbon] [--charges none labels energies] [-o FIGURE]

Prints errors on the structures that no fit saw and, for the salt, where the energy of the moved atom is least in either
cluster; none of the points of these curves is fitted to. Fits that FOLDER has are used again. The labels are those of
`label.py`, in `data`. About two minutes a fit.
"""

import argparse
import lzma
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mdnnp.atoms.read import read_structures
from mdnnp.potentials.load import load_potential
from mdnnp.training.accuracy import evaluate
from mdnnp.training.fit_data import read_sets
from mdnnp.training.input import TrainConfig, parse_train_config
from mdnnp.training.train import train

DATA = Path(__file__).parent / "data"
SYSTEMS = {"salt": ("Na9Cl8", "Na8Cl8"), "carbon": ("C10H2", "C10H3")}
CHARGES = {"none": "2G", "labels": "4G, labelled charges", "energies": "4G, no labels of charges"}
START = {"salt": "{Na = 2.8, Cl = 8.3}", "carbon": "{H = 7.2, C = 6.3}"}  # eV/e
INPUT = """
[data]
train = [{files}]
test_fraction = 0.2
[descriptors]
cutoff_A = 5.3
radial = 8
angular = 2
max_zeta = 4
[network]
hidden = [15, 15]
[charges]
learned_from = "{charges}"
electronegativities_eV = {start}
[fit]
epochs = 30
energy_tolerance_meV = 1.0
prior = 50.0
"""


def config_of(folder: Path, system: str, charges: str) -> TrainConfig:
    """The input of a fit, written to the folder beside its data."""
    for path in DATA.glob("*.xyz.xz"):
        (folder / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
    files = ", ".join(f'"{name}.xyz"' for name in SYSTEMS[system])
    path = (folder / f"{system}-{charges}.toml").absolute()
    path.write_text(INPUT.format(files=files, charges=charges, start=START[system]).lstrip(), encoding="utf-8")
    return parse_train_config(path.read_text(encoding="utf-8"), path)


def minimum(x: np.ndarray, energies: np.ndarray) -> float:
    """Where a curve is least: of the parabola through the five points about the lowest."""
    k = int(np.clip(np.argmin(energies), 2, len(x) - 3))
    a, b, _ = np.polyfit(x[k - 2 : k + 3], energies[k - 2 : k + 3], 2)
    return float(-b / (2.0 * a))


def curves(folder: Path, potential) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For either cluster, displacements of the moved atom, Å, and energies, eV, of the labels and the potential."""
    out = {}
    for name in SYSTEMS["salt"]:
        points = read_structures(folder / f"{name}-curve.xyz")
        x = np.linspace(-0.4, 0.4, len(points))
        found = np.array([potential.compute(s.system).energy for s in points])
        out[name] = x, np.array([s.energy for s in points]), found
    return out


def draw(all_curves: dict[str, dict], path: Path) -> None:
    """The curves of the labels and of every potential, from the lowest point of the labels."""
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), SYSTEMS["salt"], strict=True):
        for k, (charges, own) in enumerate(all_curves.items()):
            x, labels, found = own[name]
            if k == 0:
                axes.plot(x, 1e3 * (labels - labels.min()), "k.", label="GFN1-xTB")
            axes.plot(x, 1e3 * (found - labels.min()), label=CHARGES[charges])
        axes.set_title(f"{name}+")
        axes.set_xlabel("displacement of the sodium atom / Å")
        axes.set_ylim(-20.0, 120.0)
    figure.axes[0].set_ylabel("energy / meV")
    figure.axes[1].legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--charges", nargs="+", choices=CHARGES, default=list(CHARGES))
    parser.add_argument("-o", "--figure", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    lines, all_curves = [], {}
    for system in options.systems:
        for charges in options.charges:
            config = config_of(options.folder, system, charges)
            if not config.potential_path.exists():
                begun = config.checkpoint_path.exists() or config.charges_checkpoint_path.exists()
                train(config, resume=begun)
            potential = load_potential(config.potential_path)
            errors = evaluate(potential, read_sets(config)[0].test).quantities
            found = ", ".join(f"{q} {e.overall.rmse:.3g} {e.unit}" for q, e in errors.items())
            lines.append(f"{system}, {CHARGES[charges]}: {found}")
            if system == "salt":
                all_curves[charges] = curves(options.folder, potential)
                for name, (x, labels, own) in all_curves[charges].items():
                    off = 1e3 * np.sqrt(np.mean((own - labels) ** 2))
                    at = f"least at {minimum(x, own):+.3f} Å, the labels at {minimum(x, labels):+.3f} Å"
                    lines.append(f"    {name}: {at}; rms of the curve {off:.1f} meV")
    print("\n".join(lines))
    if options.figure and all_curves:
        draw(all_curves, options.figure)


if __name__ == "__main__":
    main()
