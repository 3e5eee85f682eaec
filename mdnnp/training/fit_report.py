"""The report on a potential, one HTML file: learning curves, parity plots, errors, worst cases, provenance."""

import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from mdnnp import __version__
from mdnnp.base.files import new_file
from mdnnp.base.report.html import Page
from mdnnp.base.report.style import ACCENT, DATA, MAIN, STYLE
from mdnnp.training.accuracy import UNITS, Errors, Statistics, calibration_line, coverage_line, remarks, worst_place

_HISTORY_LABELS = {  # panels of the learning curves
    "loss": "loss",
    "typical": "typical loss of a structure",
    **{name: f"{name} RMSE / ({unit})" for name, unit in UNITS.items()},
}
_COLOURS = (MAIN, ACCENT, DATA)
_PARITY_UNITS = {"energy": ("eV/atom", 1e3), "force": ("eV/Å", 1e3), "stress": ("GPa", 1.0), "charge": ("e", 1e3)}


def write_report(
    path: str | Path,
    sets: Mapping[str, Errors],
    *,
    title: str = "Errors of a potential",
    facts: Mapping[str, object] | None = None,
    history: Mapping[str, np.ndarray] | None = None,
    best_epoch: int | None = None,
    notes: Sequence[str] = (),
    provenance: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a self-contained HTML file with tables and figures.

    sets : errors by name of the set, such as "train" and "test"
    history : columns "epoch" and any of "loss_X", "typical_X", "energy_X" (meV/atom), "force_X" (meV/Å), "stress_X"
        (GPa), where X is "train", "validation" or "test"; NaN where nothing was measured. best_epoch : is marked
    notes : sentences of the reader's concern, such as findings on the data
    facts : name and value of what the head names, such as the potential
    provenance : name and value of settings, hashes, versions; a value of several lines is shown unchanged
    Raises FileError if the file exists and `overwrite` is False, or cannot be written.
    """
    page = Page(title, (facts or {}).items())
    with matplotlib.rc_context(STYLE):
        page.warnings([*notes, *_remarks(sets)])
        _summary(page, sets)
        _learning(page, history, best_epoch)
        _parity(page, sets)
        for name in UNITS:
            if any(name in e.quantities for e in sets.values()):
                _errors(page, name, sets)
        _worst(page, sets)
        _coverage(page, sets)
    if provenance:
        page.section("Provenance").table(["", ""], provenance.items(), text_columns=(1,))
    with new_file(path, overwrite) as temporary:
        temporary.write_text(page.html(), encoding="utf-8")


def provenance() -> dict[str, str]:
    """Versions of the programs in use."""
    import ase
    import numba

    versions = {"mdnnp": __version__, "Python": platform.python_version(), "NumPy": np.__version__}
    return versions | {"Numba": numba.__version__, "ASE": ase.__version__}


# ---------------------------------------------------------------------------------------------------------------------
# Text and tables


def _remarks(sets: Mapping[str, Errors]) -> list[str]:
    return [f"{name}: {line.removeprefix('note: ')}" for name, errors in sets.items() for line in remarks(errors)]


def _summary(page: Page, sets: Mapping[str, Errors]) -> None:
    columns = [(name, unit) for name, unit in UNITS.items() if any(name in e.quantities for e in sets.values())]
    head = ["set", "configurations", "atoms", *(f"{name} RMSE\n{unit}" for name, unit in columns), "out of range"]
    rows = []
    for name, e in sets.items():
        values = [f"{e.quantities[q].overall.rmse:.4g}" if q in e.quantities else "–" for q, _ in columns]
        rows.append([name, str(e.configurations), str(e.atoms), *values, f"{100 * e.coverage.fraction:.3g} %"])
    page.section("Summary").table(head, rows)


def _errors(page: Page, quantity: str, sets: Mapping[str, Errors]) -> None:
    """Statistics of one quantity: all, each kind, each element; a row for each set."""
    rows, classes = [], []
    chosen = {name: e.quantities[quantity] for name, e in sets.items() if quantity in e.quantities}
    kinds = sorted({kind for q in chosen.values() for kind in q.by_kind})
    elements = sorted({symbol for q in chosen.values() for symbol in q.by_element})
    parts = [("all", {name: q.overall for name, q in chosen.items()})]
    if len(kinds) > 1:
        parts += [
            (kind or "(no type)", _present({n: q.by_kind.get(kind) for n, q in chosen.items()})) for kind in kinds
        ]
    if len(elements) > 1:
        parts += [(f"on {z}", _present({n: q.by_element.get(z) for n, q in chosen.items()})) for z in elements]
    for label, by_set in parts:
        for k, (name, s) in enumerate(by_set.items()):
            figures = (s.rmse, s.mae, s.quantile_95, s.maximum, s.max_over_rmse, s.bias)
            shown = [f"{x:.4g}" for x in figures]
            rows.append([label if k == 0 else "", name, *shown, str(s.n)])
            classes.append("all" if label == "all" else "part")
    head = ["", "set", "RMSE", "MAE", "95 % quantile", "maximum", "max/RMSE", "bias", "values"]
    what = {"energy": "energy", "force": "force components", "stress": "stress components", "charge": "charges"}[
        quantity
    ]
    page.section(f"Errors of {what} / ({UNITS[quantity]})").table(head, rows, classes=classes)


def _present(by_set: Mapping[str, Statistics | None]) -> dict[str, Statistics]:
    return {name: s for name, s in by_set.items() if s is not None}


def _worst(page: Page, sets: Mapping[str, Errors]) -> None:
    page.section("Worst configurations")
    for quantity, unit in UNITS.items():
        rows = [
            [f"{w.error:.4g}", name, worst_place(w)]
            for name, e in sets.items()
            if quantity in e.quantities
            for w in e.quantities[quantity].worst
        ]
        if rows:
            page.table([f"error of {quantity}\n{unit}", "set", "where"], rows, text_columns=(1, 2))
    page.text("For a force: the length of the difference, for the atom where it is largest.")


def _coverage(page: Page, sets: Mapping[str, Errors]) -> None:
    page.section("Range of the symmetry functions, disagreement of a committee")
    for name, e in sets.items():
        page.text(f"{name}: {coverage_line(e.coverage).removeprefix('range: ')}")
        if e.calibration is not None:
            page.text(f"{name}: {calibration_line(e.calibration)}")
        if e.coverage.outside:
            kinds = [[kind or "(no type)", f"{100 * f:.3g} %"] for kind, f in e.coverage.by_kind.items()]
            functions = [
                [f"{f.element} {f.function}", str(f.count), f"{100 * f.furthest:.3g} %"]
                for f in e.coverage.functions[:10]
            ]
            page.table(["kind", "environments out of range"], kinds)
            page.table(["function", "environments", "furthest, of its range"], functions)


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def _learning(page: Page, history: Mapping[str, np.ndarray] | None, best_epoch: int | None) -> None:
    """Loss and RMSE against the epoch."""
    if not history or len(history["epoch"]) < 2:
        return
    epoch = np.asarray(history["epoch"], dtype=float)
    panels = [name for name in _HISTORY_LABELS if any(key.startswith(f"{name}_") for key in history)]
    columns = math.ceil(len(panels) / math.ceil(len(panels) / 3))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.3 * rows), layout="constrained")
    for k, name in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, k)
        for colour, label in zip(_COLOURS, ("train", "validation", "test"), strict=True):
            if (key := f"{name}_{label}") not in history:
                continue
            values = np.asarray(history[key], dtype=float)
            shown = np.isfinite(values) & (values > 0)
            marker = "." if shown.sum() < 60 else None
            axes.plot(epoch[shown], values[shown], color=colour, lw=1.2, marker=marker, ms=4, label=label)
        _logarithmic(axes)
        axes.set_xlabel("epoch")
        axes.set_ylabel(_HISTORY_LABELS[name])
        if best_epoch is not None:
            axes.axvline(best_epoch, color="#555555", lw=0.8, ls="--", label=f"best epoch, {best_epoch}")
        axes.legend(fontsize=8)
    page.section("Learning curves").figure(figure, "Loss and errors against the epoch.")
    if "typical" in panels:
        page.text(
            "The best epoch has the smallest typical loss: the geometric mean of (1 + loss) over the validation "
            "structures, which one bad structure hardly changes. Only epochs after energy_loosening has ended count, "
            "and a later epoch must be better by at least 0.5 %."
        )


def _parity(page: Page, sets: Mapping[str, Errors]) -> None:
    """Predicted against reference values, and histograms of the residuals, of every quantity."""
    names = [name for name in UNITS if any(name in e.quantities for e in sets.values())]
    if not names:
        return
    figure = Figure(figsize=(3.9 * len(names), 6.4), layout="constrained")
    panels = figure.subplots(2, len(names), squeeze=False, height_ratios=(3, 2))
    for column, name in enumerate(names):
        samples = {label: e.quantities[name].sample for label, e in sets.items() if name in e.quantities}
        _draw_parity(panels[0, column], name, samples)
        _draw_histogram(panels[1, column], name, samples)
    caption = (
        "Above, predicted against reference values; below, residuals. Energies are per atom, minus the constants in "
        "the potential. If there are more than 50,000 values, figures and quantiles use 50,000 of them, at random."
    )
    page.section("Predicted and reference values").figure(figure, caption)


def _draw_parity(axes, name: str, samples) -> None:
    low = min(min(s.reference.min(), (s.reference + s.residual).min()) for s in samples.values())
    high = max(max(s.reference.max(), (s.reference + s.residual).max()) for s in samples.values())
    margin = 0.04 * (high - low) or 1.0
    limits = low - margin, high + margin
    axes.plot(limits, limits, color="#555555", lw=0.8, zorder=3)
    size = 14 if sum(len(s.reference) for s in samples.values()) < 1000 else 3
    for colour, (label, s) in zip(_COLOURS, samples.items(), strict=False):
        axes.scatter(s.reference, s.reference + s.residual, s=size, color=colour, lw=0, alpha=0.6, label=label)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_aspect("equal")
    unit = _PARITY_UNITS[name][0]
    axes.set_xlabel(f"reference {name} / ({unit})")
    axes.set_ylabel(f"predicted {name} / ({unit})")
    axes.legend(fontsize=8, loc="upper left", markerscale=1.5 if size > 3 else 3)


def _draw_histogram(axes, name: str, samples) -> None:
    """Fraction of the residuals in each bin; the bins cover all of them."""
    factor = _PARITY_UNITS[name][1]
    largest = max(np.max(np.abs(s.residual)) for s in samples.values()) * factor or 1.0
    fewest = min(len(s.residual) for s in samples.values())
    bins = np.linspace(-largest, largest, int(np.clip(4 * fewest ** (1 / 3), 14, 80)) // 2 * 2 + 2)  # an odd number
    for colour, (label, s) in zip(_COLOURS, samples.items(), strict=False):
        weights = np.full(len(s.residual), 100.0 / len(s.residual))
        axes.hist(s.residual * factor, bins, weights=weights, histtype="step", color=colour, lw=1.2, label=label)
    _logarithmic(axes)
    axes.set_xlim(-largest, largest)
    axes.set_xlabel(f"predicted − reference {name} / ({UNITS[name]})")
    axes.set_ylabel("share of values / %")
    axes.legend(fontsize=8)


def _logarithmic(axes) -> None:
    """A logarithmic axis with plain numbers: 0.2, 0.5, 1, 2, ..."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.yaxis.set_minor_formatter(lambda x, _: "")
