"""The report of an analysis: one HTML file, figures embedded."""

import math

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mdnnp.analysis.energies import Analysis, drift_words, mean_lines
from mdnnp.analysis.energy_figures import figures_of
from mdnnp.analysis.physics import Physics, shown
from mdnnp.analysis.structure import Table
from mdnnp.base.report.html import Page
from mdnnp.base.report.style import ACCENT, DATA, MAIN, STYLE
from mdnnp.base.statistics import Drift, plus_minus

_COLOURS = (MAIN, ACCENT, "#2e7d32", "#8e5ea2", "#d98200", DATA)
_MAX_POINTS = 4000
# Prefix of the tables, heading, what the reader must know.
_SECTIONS = (
    ("ramp", "Along the ramp", "Means over stretches of the run, in the order of time, against the temperature of the "
     "same stretch. Where a crystal melts or a liquid freezes, energy, density and displacements jump."),
    ("rdf", "Radial distribution functions",
     "Normalised by the mean density; line: ideal gas. Shaded: one standard error."),
    ("coordination", "Coordination numbers", "A-B: mean number of B within r of an A."),
    ("angle", "Angles", "A-B-C: at B, over neighbours within 1.3 times the sum of covalent radii unless given."),
    ("structure factor", "Static structure factor", "From wave vectors of the cell (Ashcroft-Langreth)."),
    ("msd", "Mean squared displacement",
     "Without the motion of the centre of mass. Shaded: the window of the fit, or of the mean where nothing diffuses. "
     "If the exponent in the window is not 1, the motion is not yet diffusive and D is not valid. For atoms that "
     "vibrate around fixed positions, the constant is twice their mean squared displacement from these."),
    ("vacf", "Velocity autocorrelation", "Mass weighted; at zero lag, the fraction of the kinetic energy."),
    ("vdos", "Vibrational density of states",
     "Mass weighted, Hann window; its integral over the frequency in THz is the fraction of the kinetic energy."),
    ("charge", "Charges", "Distributions over atoms and time."),
    ("infrared", "Infrared spectrum", "Of the time derivative of the dipole; classical, Hann window."),
    ("stress autocorrelation", "Stress autocorrelation", "Mean of the five independent components, potential and "
     "kinetic."),
    ("shear viscosity", "Shear viscosity", "Running Green-Kubo integral. Dotted: where the plateau begins."),
    ("heat current autocorrelation", "Heat-current autocorrelation", ""),
    ("thermal conductivity", "Thermal conductivity",
     "Running Green-Kubo integral. Dotted: where the plateau begins. For mixtures, diffusion of heat with particles "
     "is not separated."),
    ("density profile", "Density profile", ""),
    ("temperature profile", "Temperature profile", ""),
)  # fmt: skip


def page(found: Physics, analysis: Analysis) -> str:
    """The report as HTML, which begins with the conservation of energy."""
    report = Page("Analysis of a trajectory", found.run)
    with matplotlib.rc_context(STYLE):
        _energies(report, analysis)
        _numbers(report, found)
        for prefix, heading, text in _SECTIONS:
            tables = {n: t for n, t in found.tables.items() if n == prefix or n.startswith(prefix + " ")}
            if prefix == "heat current autocorrelation":
                tables = {n: t for n, t in tables.items() if n == prefix}
            if tables:
                panels = len(tables) > 6 or prefix in _PANELS
                figure = _panels(prefix, tables) if panels else _curves(prefix, tables)
                report.section(heading).figure(figure, f"{heading}. {text}".strip())
        if found.bonds is not None:
            _bonds(report, found)
    return report.html()


_CAPTIONS = {
    "shadow_drift.png": "Shadow energy of velocity Verlet, about its mean.",
    "energy_drift.png": "Conserved energy, about its mean: block means and the line through them.",
    "momentum.png": "Change of the total momentum.",
    "energies.png": "Energies and temperature.",
    "pressure.png": "Pressure.",
}


def _energies(report: Page, analysis: Analysis) -> None:
    """Conservation of energy and momentum, and the means, with their figures."""
    drifts = (("shadow energy", analysis.shadow_drift), (analysis.conserved.replace("_", " "), analysis.drift))
    rows = [(name, *_drift_cells(drift)) for name, drift in drifts if drift is not None]
    head = [
        "",
        "drift / (meV/atom/ns)",
        "kT/ns per degree of freedom",
        "rms / (meV/atom)",
        "|change| / σ(Ekin)",
        "over",
    ]
    report.section("Energy conservation")
    if rows:
        report.table(head, rows, text_columns=(5,))
        report.text(drift_words(analysis.drift, analysis.shadow_drift) if analysis.drift is not None else "")
        if analysis.ramp:
            report.warnings([f"No equilibrium: {analysis.ramp}."])
        report.text(f"Left out: the first {analysis.warmup_fs * 1e-3:.4g} ps.")
    else:
        report.text("The file holds no energies.")
    drawn = figures_of(analysis)
    conservation = [name for name in ("shadow_drift.png", "energy_drift.png", "momentum.png") if name in drawn]
    for name in conservation:
        report.figure(drawn[name], _CAPTIONS[name])
    means = [line.split(None if line.startswith(" ") else "  ", 1) for line in mean_lines(analysis)]
    others = [name for name in drawn if name not in conservation]
    if means or others:
        report.section("Energy, temperature and pressure")
    if means:
        report.table(["", ""], [(a, b.strip()) for a, b in means], text_columns=(1,))
    for other in others:
        report.figure(drawn[other], _CAPTIONS[other])


def _drift_cells(drift: Drift) -> list[str]:
    if drift.n_blocks == 0:
        return [drift.note, "", "", "", ""]
    kT = plus_minus(drift.kT_per_ns_per_degree, drift.error_kT_per_ns_per_degree, "").strip()
    over = drift.change_over_kinetic_deviation
    return [
        plus_minus(drift.slope_meV_per_atom_ns, drift.error_meV_per_atom_ns, "").strip(),
        kT if math.isfinite(drift.kT_per_ns_per_degree) else "?",
        f"{drift.rms_eV_per_atom * 1e3:.3g}",
        f"{over:.2g}" if math.isfinite(over) else "?",
        f"{drift.duration_ps:.4g} ps, {drift.n_blocks} blocks" + (f"; {drift.note}" if drift.note else ""),
    ]


def _numbers(report: Page, found: Physics) -> None:
    rows = [
        (name if k == 0 else "", what, shown(value, error))
        for name, numbers in found.numbers.items()
        for k, (what, (value, error)) in enumerate(numbers.items())
    ]
    report.section("Numbers").warnings(found.notes)
    if rows:
        report.table(["quantity", "number", "value"], rows, text_columns=(1,))


_PANELS = ("ramp", "rdf", "coordination", "angle", "structure factor", "vdos", "charge")


def _curves(prefix: str, tables: dict[str, Table]) -> Figure:
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for colour, (name, table) in zip(_COLOURS, tables.items(), strict=False):
        _draw(axes, table, colour, name.removeprefix(prefix).strip())
    _finish(axes, prefix, next(iter(tables.values())))
    if len(tables) > 1:
        axes.legend(fontsize=9)
    return figure


def _panels(prefix: str, tables: dict[str, Table]) -> Figure:
    """A panel for each table, three in a row."""
    columns = min(3, len(tables))
    rows = -(-len(tables) // columns)
    wide = 6.4 if columns == 1 else 3.9 * columns
    figure = Figure(figsize=(wide, (4.0 if columns == 1 else 3.0) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(tables) :]:
        axes.set_visible(False)
    for axes, (name, table) in zip(grid, tables.items(), strict=False):
        _draw(axes, table, MAIN, None)
        if prefix == "ramp":
            axes.plot(table.x, table.y, "o", ms=3, color=MAIN)
        axes.set_title(name.removeprefix(prefix).strip() or "all atoms", fontsize=10)
        _finish(axes, prefix, table)
    return figure


def _draw(axes, table: Table, colour: str, label: str | None) -> None:
    every = max(1, len(table.x) // _MAX_POINTS)
    x, y, error = table.x[::every], table.y[::every], table.error[::every]
    axes.plot(x, y, color=colour, lw=1.3, label=label)
    if np.isfinite(error).any():
        axes.fill_between(x, y - error, y + error, color=colour, alpha=0.25, lw=0)


def _finish(axes, prefix: str, table: Table) -> None:
    axes.set_xlabel(table.x_name)
    axes.set_ylabel(table.y_name)
    if prefix == "ramp":
        return
    if table.x[-1] > max(0.0, table.x[0]):
        axes.set_xlim(min(0.0, table.x[0]), table.x[-1])
    if prefix in ("rdf", "structure factor"):
        # Without correlation: 1, but 0 for the structure factor of two species.
        pair = axes.get_title().split("-")
        axes.axhline(float(prefix == "rdf" or pair[0] == pair[-1]), color="#777777", lw=0.7)
        # What is shown must not be squeezed by the peak of a bond.
        if prefix == "rdf" and table.y.max() > 8:
            tail = table.y[table.x > 1.25 * table.x[int(np.argmax(table.y))]]
            top = 1.4 * max(float(tail.max(initial=0.0)), 1.5)
            axes.set_ylim(0, top)
            axes.text(0.97, 0.95, f"highest {table.y.max():.3g}", transform=axes.transAxes, ha="right", va="top",
                      fontsize=8)  # fmt: skip
        else:
            axes.set_ylim(bottom=min(0.0, float(np.nanmin(table.y))))
    if prefix == "coordination":
        axes.set_ylim(0, None)
    if prefix == "vdos":
        shown = np.flatnonzero(table.y > 2e-3 * table.y.max())
        axes.set_xlim(0, min(1.1 * table.x[shown[-1]], table.x[-1]))
        axes.set_ylim(bottom=min(0.0, float(table.y.min())))
        top = axes.secondary_xaxis("top", functions=(lambda c: c / 33.3564, lambda t: t * 33.3564))
        top.set_xlabel("ν / THz", fontsize=8)
        top.tick_params(labelsize=8)
    if prefix in ("vacf", "stress autocorrelation", "heat current autocorrelation"):
        axes.axhline(0.0, color="#777777", lw=0.7)
    if prefix == "msd":
        _draw_fit(axes, table)
        axes.set_ylim(bottom=0)
    if prefix in ("shear viscosity", "thermal conductivity"):
        axes.axhline(0.0, color="#777777", lw=0.7)
        begin = table.numbers.get("plateau from / ps", (np.nan, np.nan))[0]
        if np.isfinite(begin):
            axes.axvline(begin, color="#555555", lw=0.8, ls=":")


def _draw_fit(axes, table: Table) -> None:
    what = "fit" if "fit from / ps" in table.numbers else "mean"
    low, high = (table.numbers[f"{what} {end} / ps"][0] for end in ("from", "to"))
    axes.axvspan(low, high, color="#eeeeee", zorder=0)


def _bonds(report: Page, found: Physics) -> None:
    bonds = found.bonds
    limits = [(f"{a}-{b}", f"{low:.3g}", f"{high:.3g}") for (a, b), (low, high) in bonds.limits_A.items()]
    report.section("Bonds").figure(_curves("bonds", {"bonds": bonds.table}), "Number of bonds. Events: bonds.csv.")
    report.table(["pair", "forms below / Å", "breaks above / Å"], limits)
