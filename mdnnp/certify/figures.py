"""The figure of `mdnnp smooth`: energy errors against the time step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mdnnp.base.report.style import ACCENT as _FIT
from mdnnp.base.report.style import DATA as _DATA
from mdnnp.base.report.style import MAIN as _BLOCKS
from mdnnp.base.report.style import STYLE as _STYLE
from mdnnp.base.report.style import energy_scale

if TYPE_CHECKING:
    from mdnnp.certify.order import Ladder


def draw_ladder(ladder: Ladder, n_atoms: int, title: str) -> Figure:
    """Fluctuation of total and shadow energy against the time step, and both energies along the shortest one."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        steps = np.array([rung.timestep_fs for rung in ladder.rungs])
        total, shadow = (
            1e3 / n_atoms * np.array([getattr(rung, name) for rung in ladder.rungs])
            for name in ("rms_eV", "shadow_rms_eV")
        )
        for rms, order, name, colour in (
            (total, ladder.order, "total energy", _BLOCKS),
            (shadow, ladder.shadow_order, "shadow energy", _FIT),
        ):
            label = f"{name}: order {order.value:.2f} ± {order.error:.2f}" if math.isfinite(order.value) else name
            left.loglog(steps, rms, "o-", color=colour, label=label)
        left.loglog(steps, total[0] * (steps / steps[0]) ** 2, "--", color=_DATA, label="second order")
        floor = 1e3 * ladder.floor_eV / n_atoms
        if floor > 0.1 * np.min(shadow):
            left.axhline(floor, color=_DATA, lw=0.8, ls=":", label="rounding")
        left.set_xticks(steps, [f"{step:g}" for step in steps])
        left.minorticks_off()
        left.set_xlabel("time step / fs")
        left.set_ylabel("rms / (meV/atom)")
        left.legend(fontsize=9)
        first = ladder.rungs[0]
        scale, unit = energy_scale(first.rms_eV / n_atoms)
        gaps = 1 + np.flatnonzero(np.diff(first.time_fs) > 1.5 * first.timestep_fs)
        for values, name, colour in ((first.energy_eV, "total", _BLOCKS), (first.shadow_eV, "shadow", _FIT)):
            shown = np.insert(values * scale / n_atoms, gaps, np.nan)  # no line from segment to segment
            right.plot(np.insert(first.time_fs, gaps, np.nan), shown, color=colour, lw=1, label=name)
        right.set_xlabel("time / fs")
        right.set_ylabel(f"energy − mean / ({unit}/atom)")
        right.set_title(f"at the longest time step, {first.timestep_fs:g} fs", fontsize=10)
        right.legend(fontsize=9)
        figure.suptitle(title, fontsize=11)
        return figure
