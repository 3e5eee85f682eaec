"""Figures of the report."""

import numpy as np
from matplotlib.figure import Figure

from mdnnp.atoms.system import System
from mdnnp.base.report.style import ACCENT, DATA, MAIN
from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_IN_KJ_PER_MOL
from mdnnp.materials.eos import Compression
from mdnnp.materials.parts import Elasticity
from mdnnp.materials.quasiharmonic import QuasiHarmonic
from mdnnp.materials.waves import velocities

_GREEN = "#2e7d32"


def energy_volume(found: Compression, n_atoms: int) -> Figure:
    """Energies and fit; below, the residuals of the fit."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    fit, v = found.equation, found.volumes / n_atoms
    x = np.linspace(v[0], v[-1], 300)
    axes.plot(x, 1000 * (fit.at(n_atoms * x) - fit.energy) / n_atoms, color=MAIN, lw=1.2, label="Birch-Murnaghan")
    axes.plot(v, 1000 * (found.energies - fit.energy) / n_atoms, "o", color=ACCENT, mfc="none", label="potential")
    axes.axvline(fit.volume / n_atoms, color=DATA, lw=0.8, ls=":")
    axes.set_ylabel("energy − E$_0$ / (meV/atom)")
    axes.set_ylim(bottom=0.0 if (found.energies >= fit.energy).all() else None)
    axes.legend()
    below.plot(v, 1000 * (found.energies - fit.at(found.volumes)) / n_atoms, "o", color=ACCENT, mfc="none")
    below.axhline(0.0, color=MAIN, lw=0.8)
    below.margins(y=0.25)
    figure.align_ylabels()
    below.set(xlabel="volume / (Å$^3$/atom)", ylabel="deviation\n/ (meV/atom)")
    return figure


def sound_polar(found: Elasticity, system: System) -> Figure:
    """Velocities of sound by direction in two planes: of a and b, and of a + b and c."""
    figure = Figure(figsize=(8.4, 5.0), layout="constrained")
    panels = figure.subplots(1, 2, subplot_kw={"projection": "polar"})
    a, b, c = system.cell
    for axes, first, second, names in (
        (panels[0], a, b, ("[100]", "to [010]")), (panels[1], a + b, c, ("[110]", "to [001]")),
    ):  # fmt: skip
        u = first / np.linalg.norm(first)
        w = second - second @ u * u
        w /= np.linalg.norm(w)
        angle = np.linspace(0, 2 * np.pi, 361)
        v = velocities(
            found.exact.relaxed, found.sound.density, np.outer(np.cos(angle), u) + np.outer(np.sin(angle), w)
        )
        for k, (colour, branch) in enumerate(
            zip((MAIN, ACCENT, _GREEN), ("fastest", "middle", "slowest"), strict=True)
        ):
            axes.plot(angle, v[:, k] / 1000, color=colour, lw=1.3, label=branch)
        axes.set_ylim(0, 1.08 * v.max() / 1000)
        axes.set_xticks(np.radians([0, 90, 180, 270]), [*names, "", ""])
        axes.set_rlabel_position(67.5)
        axes.tick_params(labelsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, title="velocity of sound / (km/s)")
    return figure


def thermal(found: QuasiHarmonic) -> Figure:
    """Thermal expansion, heat capacities, volume, bulk modulus against temperature."""
    figure = Figure(figsize=(8.4, 6.2), layout="constrained")
    (expansion, heat), (size, modulus) = figure.subplots(2, 2, sharex=True)
    t = found.temperature
    expansion.plot(t, 1e6 * found.expansion / 3, color=MAIN)
    expansion.axhline(0.0, color="#777777", lw=0.7)
    expansion.set_ylabel("linear thermal expansion / (10$^{-6}$/K)")
    heat.plot(t, found.heat_capacity_P, color=ACCENT, label="C$_P$")
    heat.plot(t, found.heat_capacity_V, color=MAIN, ls="--", label="C$_V$")
    heat.axhline(3000.0 * BOLTZMANN_EV_PER_K * EV_IN_KJ_PER_MOL, color="#777777", lw=0.7, ls=":", label="3R")
    heat.set_ylabel("heat capacity / (J/(mol K))")
    heat.set_ylim(bottom=0)
    heat.legend()
    size.plot(t, found.volume, color=MAIN)
    size.set_ylabel("volume / (Å$^3$/atom)")
    modulus.plot(t, found.bulk_modulus_GPa, color=MAIN)
    modulus.set_ylabel("isothermal bulk modulus / GPa")
    for axes in (size, modulus):
        axes.set_xlabel("temperature / K")
        axes.set_xlim(0, t[-1] or 1.0)
    return figure
