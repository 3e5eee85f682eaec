"""Figures of an analysis, and of a smoothness certificate, as PNG files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mdnnp.base.report.style import ACCENT as _FIT
from mdnnp.base.report.style import DATA as _DATA
from mdnnp.base.report.style import MAIN as _BLOCKS
from mdnnp.base.report.style import SHADE as _WARMUP
from mdnnp.base.report.style import STYLE as _STYLE
from mdnnp.base.report.style import energy_scale, save_figure
from mdnnp.base.statistics import plus_minus
from mdnnp.base.units import BOLTZMANN_EV_PER_K

if TYPE_CHECKING:
    from mdnnp.analysis.energies import Analysis

FIGURES = ("energy_drift.png", "shadow_drift.png", "energies.png", "pressure.png", "momentum.png")
_MOST_POINTS = 4000


def draw(analysis: Analysis, folder: Path) -> list[Path]:
    """Draw all figures for which there are data (at least two samples); returns the files that were written."""
    written = []
    with matplotlib.rc_context(_STYLE):
        for name, figure in figures_of(analysis).items():
            save_figure(figure, folder / name)
            written.append(folder / name)
    return written


def figures_of(analysis: Analysis) -> dict[str, Figure]:
    """The figures that there are data for, by the name of their file; to be drawn in `base.report.style.STYLE`."""
    if len(analysis.series.time_fs) < 2:
        return {}
    drawers = (_draw_drift, _draw_shadow, _draw_energies, _draw_pressure, _draw_momentum)
    # Figure instead of pyplot: no window system, no global state.
    drawn = {name: drawer(analysis) for name, drawer in zip(FIGURES, drawers, strict=True)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _draw_drift(analysis: Analysis) -> Figure | None:
    """The energy that the ensemble conserves."""
    if analysis.drift is None:
        return None
    name = analysis.conserved
    return _draw_conserved(analysis, name.replace("_", " "), analysis.series.values[name], analysis.drift)


def _draw_shadow(analysis: Analysis) -> Figure | None:
    """Shadow energy."""
    if analysis.shadow_drift is None:
        return None
    return _draw_conserved(analysis, "shadow energy", analysis.series.shadow_eV, analysis.shadow_drift)


def _draw_conserved(analysis: Analysis, name: str, values_eV: np.ndarray, drift) -> Figure:
    """An energy per atom about its mean: above all samples, below the block means and the fitted line."""
    time_fs, known = analysis.series.time_fs, np.isfinite(values_eV)
    kept = known & (time_fs >= time_fs[0] + analysis.warmup_fs)
    if not kept.any():
        kept = known
    time = time_fs[kept] * 1e-3
    centre = drift.value_eV if math.isfinite(drift.value_eV) else float(np.mean(values_eV[kept]))
    energy = (values_eV[kept] - centre) / drift.n_atoms
    figure = Figure(figsize=(7, 5.4 if drift.n_blocks else 3.4), layout="constrained")
    panels = figure.subplots(2 if drift.n_blocks else 1, 1, sharex=True, squeeze=False)[:, 0]
    scale, unit = energy_scale(np.max(np.abs(energy)))
    _plot_series(panels[0], time, energy * scale)
    panels[0].set_ylabel(f"{name} − mean\n/ ({unit}/atom)")
    panels[0].set_title(_drift_title(drift, scale, unit), fontsize=10)
    if drift.n_blocks:
        _plot_fit(panels[1], drift)
        panels[1].legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=3)
    if len(time) > 1:
        panels[0].set_xlim(time[0], time[-1])
    panels[-1].set_xlabel("time / ps")
    return figure


def _drift_title(drift, scale: float, unit: str) -> str:
    if drift.n_blocks == 0:
        return f"no drift: {drift.note}"
    slope = plus_minus(drift.slope_meV_per_atom_ns, drift.error_meV_per_atom_ns, "meV/atom/ns")
    return f"drift {slope}, rms {drift.rms_eV_per_atom * scale:.3g} {unit}/atom, {drift.n_atoms} atoms"


def _plot_fit(axes, drift) -> None:
    """Block means with their scatter about the line as error bars, the line, and its one-sigma band."""
    time, n = drift.block_time_ps, drift.n_blocks
    centre = float(np.mean(time))
    means = (drift.block_eV - drift.value_eV) / drift.n_atoms
    slope, error = drift.slope_eV_per_atom_ps, drift.error_eV_per_atom_ps
    # All blocks carry the same error.
    scatter = math.sqrt(np.sum(np.square(means - slope * (time - centre))) / (n - 2))
    scale, unit = energy_scale(float(np.max(np.abs(means))) + scatter)
    line_time = np.linspace(drift.start_ps, drift.start_ps + drift.duration_ps, 50)
    line = slope * (line_time - centre)
    if drift.enough:
        band = np.sqrt(scatter**2 / n + (error * (line_time - centre)) ** 2)
        low, high = (line - band) * scale, (line + band) * scale
        axes.fill_between(line_time, low, high, color=_FIT, alpha=0.25, lw=0, label="standard error of the line")
    axes.plot(line_time, line * scale, color=_FIT, lw=1.5, label="fitted line")
    axes.axhline(0, color=_DATA, lw=0.8, zorder=0)
    axes.errorbar(
        time,
        means * scale,
        yerr=scatter * scale,
        fmt="o",
        ms=4,
        color=_BLOCKS,
        capsize=2,
        lw=1,
        label="block means, with their scatter about it",
    )
    axes.set_ylabel(f"the same, block means\n/ ({unit}/atom)")


def _draw_energies(analysis: Analysis) -> Figure | None:
    """Potential and kinetic energy per atom against time; the kinetic one with an axis of temperature."""
    names = [name for name in ("potential_energy", "kinetic_energy") if name in analysis.means]
    if not names:
        return None
    series, n = analysis.series, analysis.series.n_atoms
    figure = Figure(figsize=(7, 1.2 + 2.2 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        mean, factor = analysis.means[name], 1e3 / n
        offset = series.offset_eV if name == "potential_energy" else 0.0
        _plot_with_mean(
            axes, analysis, (series.values[name] - offset) * factor, (mean.mean - offset) * factor, mean.error * factor
        )
        title = plus_minus((mean.mean - offset) * factor, mean.error * factor, "meV/atom")
        axes.set_ylabel(f"{name.replace('_', ' ')}\n/ (meV/atom)")
        if name == "kinetic_energy" and "temperature" in analysis.means:
            heat = analysis.means["temperature"]
            kelvin = 2e-3 * n / (series.n_degrees * BOLTZMANN_EV_PER_K)
            right = axes.secondary_yaxis("right", functions=(lambda e, k=kelvin: e * k, lambda t, k=kelvin: t / k))
            right.set_ylabel("temperature / K")
            title += f", {plus_minus(heat.mean, heat.error, 'K')}"
        _set_mean_title(axes, analysis, title)
    panels[-1].set_xlabel("time / ps")
    panels[-1].legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=3)
    return figure


def _draw_pressure(analysis: Analysis) -> Figure | None:
    """Pressure against time, with its mean; below it the density, where the cell moves."""
    names = [name for name in ("pressure", "density") if name in analysis.means]
    if not names:
        return None
    figure = Figure(figsize=(7, 1.2 + 2.4 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        mean, unit = analysis.means[name], {"pressure": "GPa", "density": "g/cm³"}[name]
        _plot_with_mean(axes, analysis, analysis.series.values[name], mean.mean, mean.error)
        axes.set_ylabel(f"{name} / {unit if '/' not in unit else f'({unit})'}")
        _set_mean_title(axes, analysis, plus_minus(mean.mean, mean.error, unit))
    panels[-1].set_xlabel("time / ps")
    panels[-1].legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    return figure


def _draw_momentum(analysis: Analysis) -> Figure | None:
    """Change of the total momentum, relative to that of all the mass moving one way."""
    series, change = analysis.series, analysis.momentum_change
    if len(change) < 2:
        return None
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    # Zeros, such as the start itself, have no place on a logarithmic axis.
    shown = change > 0
    marker = "." if np.sum(shown) < 100 else None
    axes.plot(series.time_fs[shown] * 1e-3, change[shown], color=_BLOCKS, lw=0.8, marker=marker, ms=4)
    axes.axhline(np.finfo(float).eps, color=_FIT, lw=1, ls="--", label="rounding of one number in float64")
    axes.set_yscale("log")
    _shade_warmup(axes, analysis)
    axes.set_xlabel("time / ps")
    axes.set_ylabel("change of total momentum\n|P − P(start)| / √(2 M Ekin)")
    axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def _set_mean_title(axes, analysis: Analysis, mean: str) -> None:
    title = f"no equilibrium: {analysis.ramp}" if analysis.ramp else f"mean {mean}"
    axes.set_title(title, fontsize=9, loc="right")


def _plot_series(axes, time: np.ndarray, values: np.ndarray, label: str | None = None) -> None:
    """All samples as a thin line; many of them as the envelope of what a line would cover."""
    if len(time) > 2 * _MOST_POINTS:
        size = -(-len(time) // _MOST_POINTS)
        edges = np.arange(0, len(time), size)
        low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
        axes.fill_between(time[edges], low, high, color=_DATA, lw=0.3, label=label)
        return
    marker = "." if len(time) < 100 else None
    axes.plot(time, values, color=_DATA, lw=0.8, marker=marker, ms=4, label=label)


def _plot_with_mean(axes, analysis: Analysis, values: np.ndarray, mean: float, error: float) -> None:
    """A series with its mean and the mean's error; what is left out is shaded and does not set the range."""
    time = analysis.series.time_fs * 1e-3
    kept = analysis.series.time_fs >= analysis.series.time_fs[0] + analysis.warmup_fs
    _plot_series(axes, time, values, "samples")
    start, end, enough = time[kept][0], time[-1], math.isfinite(error)
    if not analysis.ramp:
        axes.plot([start, end], [mean, mean], color=_FIT, lw=1.2, label=f"mean{' with standard error' * enough}")
    if enough and not analysis.ramp:
        axes.fill_between([start, end], mean - error, mean + error, color=_FIT, alpha=0.25, lw=0)
    _shade_warmup(axes, analysis)
    low, high = np.min(values[kept]), np.max(values[kept])
    if high > low:
        margin = 0.15 * (high - low)
        axes.set_ylim(low - margin, high + margin)


def _shade_warmup(axes, analysis: Analysis) -> None:
    time = analysis.series.time_fs * 1e-3
    if len(time) > 1:
        axes.set_xlim(time[0], time[-1])
        if analysis.warmup_fs > 0:
            end = min(time[0] + analysis.warmup_fs * 1e-3, time[-1])
            axes.axvspan(time[0], end, color=_WARMUP, lw=0, zorder=0, label="left out")
