"""How all figures look and are saved: colours, and matplotlib settings for `matplotlib.rc_context`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

DATA, MAIN, ACCENT, SHADE = "#9aa7b5", "#1f4e79", "#c0392b", "#eeeeee"
STYLE: dict[Any, Any] = {  # keys as Matplotlib has them, which its types list one by one
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "legend.frameon": False,
    "savefig.dpi": 160,
}


def save_figure(figure: Figure, target: str | Path | BinaryIO, **options: Any) -> None:
    """`figure.savefig` after the layout has settled.

    Ticks depend on the size that the layout gives to the axes, and the layout on the width of their labels: laid out
    once, wide labels that came late push those of the axis out of the figure.
    """
    figure.draw_without_rendering()
    figure.savefig(target, **options)
    FigureCanvasBase(figure)  # takes the place of the canvas that holds the picture, which is 5 MB and more


def energy_scale(size_eV: float) -> tuple[float, str]:
    """Factor from eV, and name, of the unit that makes the size a number from 1 to 1000."""
    units = ((1.0, "eV"), (1e3, "meV"), (1e6, "µeV"), (1e9, "neV"))
    return next((unit for unit in units if size_eV * unit[0] >= 1), units[1] if size_eV == 0 else units[-1])
