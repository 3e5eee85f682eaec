"""What more data would change: errors of fits to parts of a training set, and the power law that they follow.

    python analysis/learning_curve.py INPUT.toml [--parts 8 4 2 1] [--seeds 3] [--folder learning] [-o FIGURE]

INPUT.toml is an input of `mdnnp train` that names test files. Each fit takes a random part of the training structures,
one eighth, a quarter, ..., of each kind (config_type) in proportion, everything else as in the input; errors are those
of the test files. Errors fall about as a N^-b at first (C. Cortes et al., NIPS 6, 327 (1993)), while those of the
structures fitted to rise. With more data of the same kind the two meet: for networks of this size what is to be gained
lies between them.

Prints a table (also FOLDER/learning_curve.json, from which it goes on when it was stopped). Takes about
(1 + 1/2 + 1/4 + ...) SEEDS times the time of the fit.
"""

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import ase.io
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from mdnnp.base.report.style import ACCENT, MAIN, STYLE
from mdnnp.training.dataset import read_labelled, split
from mdnnp.training.input import TrainConfig, read_train_config
from mdnnp.training.train import train

QUANTITIES = {"energy": "meV/atom", "force": "meV/Å"}
COLOURS = {"train": ACCENT, "test": MAIN}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path, help="input of `mdnnp train`, with test files")
    parser.add_argument("--parts", type=int, nargs="+", default=[8, 4, 2, 1], help="one over these parts of the data")
    parser.add_argument("--seeds", type=int, default=3, help="random parts of each size, with other networks each")
    parser.add_argument("--folder", type=Path, default=Path("learning"), help="for fits and numbers")
    parser.add_argument("-o", "--output", help="figure; FOLDER/learning_curve.png if not given")
    return parser.parse_args(given)


def fit_part(config: TrainConfig, frames: list, seed: int, folder: Path) -> dict:
    """Fit to these frames, and its errors: by set and quantity, meV/atom and meV/Å."""
    name = f"n{len(frames)}-seed{seed}"
    ase.io.write(folder / f"{name}.xyz", frames, format="extxyz")
    own = dataclasses.replace(
        config,
        source=folder / f"{name}.toml",
        data=dataclasses.replace(config.data, train=(folder / f"{name}.xyz",), seed=seed),
        fit=dataclasses.replace(config.fit, seed=config.fit.seed + 100 * seed),
        output=type(config.output)(),
    )
    with open(folder / f"{name}.log", "w", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        errors = train(own, overwrite=True).errors
    return {s: {q: errors[s].quantities[q].overall.rmse for q in QUANTITIES} for s in ("train", "test")}


def power_law(sizes: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """a, b and the standard error of b of errors = a sizes^-b, by least squares of the logarithms."""
    x = np.stack([np.ones(len(sizes)), -np.log(sizes)], axis=1)
    found, residual, *_ = np.linalg.lstsq(x, np.log(errors), rcond=None)
    variance = float(residual[0]) / max(len(sizes) - 2, 1) if len(residual) else 0.0
    return float(np.exp(found[0])), float(found[1]), float(np.sqrt(variance * np.linalg.inv(x.T @ x)[1, 1]))


def report(results: dict[str, dict]) -> dict[str, tuple[float, float, float]]:
    """Print errors by size, and the law of the test errors; returns it by quantity."""
    print(f"{'structures':>10} {'fits':>5}" + "".join(f"{s + ' ' + q:>22}" for q in QUANTITIES for s in COLOURS))
    sizes = np.array([r["size"] for r in results.values()])
    for n in sorted(set(sizes)):
        own = [r["errors"] for r in results.values() if r["size"] == n]
        cells = ""
        for q in QUANTITIES:
            for s in COLOURS:
                values = np.array([e[s][q] for e in own])
                spread = f" ± {values.std(ddof=1):.3g}" if len(values) > 1 else ""
                cells += f"{f'{values.mean():.4g}{spread}':>22}"
        print(f"{n:>10} {len(own):>5}{cells}")
    laws = {}
    for q, unit in QUANTITIES.items():
        a, b, of_b = laws[q] = power_law(sizes, np.array([r["errors"]["test"][q] for r in results.values()]))
        print(
            f"{q}: test error {a:.4g} N^-({b:.3f} ± {of_b:.3f}) {unit}; twice the data takes "
            f"{100 * (1 - 2.0**-b):.1f} % off, in this range"
        )
    return laws


def draw(results: dict[str, dict], laws: dict[str, tuple[float, float, float]], path: str | Path) -> None:
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(QUANTITIES), figsize=(8.4, 3.6), layout="constrained")
        for panel, (q, unit) in zip(axes, QUANTITIES.items(), strict=True):
            sizes = np.array([r["size"] for r in results.values()])
            for s, colour in COLOURS.items():
                values = np.array([r["errors"][s][q] for r in results.values()])
                label = "structures fitted to" if s == "train" else "test structures"
                panel.plot(sizes, values, "o", color=colour, ms=4, alpha=0.7, label=label)
            a, b, of_b = laws[q]
            line = np.array([sizes.min(), sizes.max()])
            panel.plot(line, a * line**-b, "--", color=MAIN, lw=1, label=f"$N^{{-b}}$, b = {b:.2f} ± {of_b:.2f}")
            panel.set_xscale("log")
            panel.set_yscale("log")
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
                axis.set_major_formatter(lambda x, _: f"{x:g}")
                axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
            panel.set_xlabel("training and validation structures")
            panel.set_ylabel(f"{q} RMSE / ({unit})")
            panel.legend(fontsize=8)
        figure.savefig(path)
        plt.close(figure)


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    config = read_train_config(options.input)
    if not config.data.test:
        raise SystemExit(f"{options.input}: name test files in data.test: all fits are judged by the same structures")
    options.folder.mkdir(parents=True, exist_ok=True)
    numbers = options.folder / "learning_curve.json"
    results = json.loads(numbers.read_text()) if numbers.exists() else {}
    frames = [frame for path in config.data.train for frame in ase.io.read(path, ":")]
    structures = read_labelled(config.data.train)
    for part in sorted(options.parts, reverse=True):
        for seed in range(1, options.seeds + 1):
            if (name := f"1/{part}, seed {seed}") in results:
                continue
            kept = split(structures, 0.0, 1.0 - 1.0 / part, seed).train
            errors = fit_part(config, [frames[k] for k in kept], seed, options.folder)
            results[name] = {"size": len(kept), "errors": errors}
            numbers.write_text(json.dumps(results, indent=1))
            print(f"{name}: {len(kept)} structures, {errors['test']}", flush=True)
    draw(results, report(results), options.output or options.folder / "learning_curve.png")


if __name__ == "__main__":
    main()
