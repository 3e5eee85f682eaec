"""Figures as they are saved."""

import io

from matplotlib.figure import Figure

from mdnnp.base.report.style import save_figure


def test_labels_stay_within_the_figure():
    """The ticks of this one change after the first layout, to wider labels (saved as it is, its label is cut off)."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 6], [0.1, 0.1], label="samples")
    axes.set_ylim(-0.122, 0.296)
    axes.set_ylabel("pressure / GPa")
    axes.set_xlabel("time / ps")
    axes.set_title("mean", fontsize=9, loc="right")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    save_figure(figure, buffer := io.BytesIO(), format="png")
    assert axes.yaxis.label.get_window_extent().x0 >= 0 and buffer.getvalue().startswith(b"\x89PNG")
