"""Reports as one HTML file that needs nothing else: page, tables, notes, embedded figures."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from matplotlib.figure import Figure

from mdnnp.base.report.style import save_figure

_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 70em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2em 0.8em; text-align: right; border-bottom: 1px solid #eee; }
th:first-child, td:first-child, td.text { text-align: left; } thead th { border-bottom: 1px solid #888; }
tr.all td { font-weight: 600; } tr.part td:first-child { padding-left: 1.8em; }
img { max-width: 100%; } pre { background: #f5f5f5; padding: 0.8em; overflow-x: auto; }
.scroll { overflow-x: auto; } .note { color: #a33; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A document of `parts`, which are HTML already; empty ones are left out."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_CSS}</style>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *filter(None, parts)])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def notes(lines: Sequence[str]) -> str:
    """A list of what the reader should be warned of; nothing without lines."""
    return "<ul>" + "".join(f'<li class="note">{escape(line)}</li>' for line in lines) + "</ul>" if lines else ""


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = (), text_columns: Sequence[int] = ()
) -> str:
    """A table of cells that are HTML already.

    classes : of the rows ("all", "part"); text_columns : columns with words, the first one apart
    """
    lines = ["<thead><tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr></thead>"] if any(head) else []
    for k, row in enumerate(rows):
        cells = (f"<td{' class=text' if c in text_columns else ''}>{cell}</td>" for c, cell in enumerate(row))
        lines.append(f'<tr class="{classes[k] if classes else ""}">' + "".join(cells) + "</tr>")
    return '<div class="scroll"><table>' + "\n".join(lines) + "</table></div>"


def image(figure: Figure, description: str) -> str:
    """The figure as an embedded PNG."""
    buffer = io.BytesIO()
    save_figure(figure, buffer, format="png", metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">'
