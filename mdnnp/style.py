"""How all figures look: colours, and matplotlib settings for `matplotlib.rc_context`."""

DATA, MAIN, ACCENT, SHADE = "#9aa7b5", "#1f4e79", "#c0392b", "#eeeeee"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "legend.frameon": False,
    "savefig.dpi": 160,
}
