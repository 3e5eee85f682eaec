"""Reports as one HTML file that needs nothing else: the same head, contents, tables and figures in all of them.

Everything is text: what is given to a page is escaped there.
"""

import base64
import datetime
import io
from collections.abc import Iterable, Sequence
from html import escape

import matplotlib
from matplotlib.figure import Figure

from mdnnp import __version__
from mdnnp.base.report.style import STYLE, save_figure

_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 70em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; margin-bottom: 0; } .made { color: #666; margin-top: 0.2em; }
h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ccc; }
nav ol { columns: 18em; margin: 0.5em 0; } a { color: #1f4e79; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
caption, figcaption { text-align: left; color: #444; font-size: 0.93em; max-width: 60em; }
th, td { padding: 0.2em 0.8em; text-align: right; vertical-align: top; border-bottom: 1px solid #eee; }
th:first-child, td:first-child, th.text, td.text { text-align: left; } thead th { border-bottom: 1px solid #888; }
tr.all td { font-weight: 600; } tr.part td:first-child { padding-left: 1.8em; }
figure { margin: 1em 0; } img { max-width: 100%; }
pre { background: #f5f5f5; padding: 0.8em; margin: 0; overflow-x: auto; }
.scroll { overflow-x: auto; } .warning { color: #a33; }
"""
_PIXELS_PER_INCH = 96  # of a browser


class Warned(str):
    """A cell of a table that the reader should be warned of."""


class Page:
    """A report, from its head to its last section; the methods return the page, so that they can be chained.

    title : what is reported; facts : name and value of what the reader must know first, such as the input
    """

    def __init__(self, title: str, facts: Iterable[tuple[str, object]] = ()):
        self._title, self._facts = title, list(facts)
        self._headings: list[str] = []
        self._parts: list[str] = []
        self._n_figures = 0

    def section(self, heading: str) -> "Page":
        """Begin a section, which the list of contents has too."""
        self._headings.append(heading)
        return self._add(f'<h2 id="section-{len(self._headings)}">{escape(heading)}</h2>')

    def text(self, *paragraphs: str) -> "Page":
        """Paragraphs; empty ones are left out."""
        return self._add(*(f"<p>{escape(p)}</p>" for p in paragraphs if p))

    def items(self, lines: Sequence[str]) -> "Page":
        """A list of sentences; nothing without any."""
        return self._list(lines, "")

    def warnings(self, lines: Sequence[str]) -> "Page":
        """A list of what the reader should be warned of; nothing without any."""
        return self._list(lines, ' class="warning"')

    def references(self, lines: Sequence[str]) -> "Page":
        """A numbered list."""
        return self._add("<ol>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ol>")

    def table(
        self,
        head: Sequence[str],
        rows: Iterable[Sequence[object]],
        caption: str = "",
        *,
        classes: Sequence[str] = (),
        text_columns: Sequence[int] = (),
    ) -> "Page":
        """A table; units belong into its head.

        classes : of the rows, "all" or "part"; text_columns : columns with words, the first one apart
        """
        lines = [f"<caption>{escape(caption)}</caption>"] if caption else []
        kinds = [' class="text"' if c in text_columns else "" for c in range(len(head))]
        if any(head):
            words = (escape(h).replace("\n", "<br>") for h in head)
            cells = (f"<th{kind}>{h}</th>" for kind, h in zip(kinds, words, strict=True))
            lines.append(f"<thead><tr>{''.join(cells)}</tr></thead>")
        for k, row in enumerate(rows):
            cells = (f"<td{kind}>{_cell(value)}</td>" for kind, value in zip(kinds, row, strict=True))
            lines.append(f'<tr class="{classes[k]}">' if classes else "<tr>")
            lines[-1] += "".join(cells) + "</tr>"
        return self._add('<div class="scroll"><table>' + "\n".join(lines) + "</table></div>")

    def figure(self, figure: Figure, caption: str) -> "Page":
        """A figure as an embedded PNG, numbered; figures are to be drawn in `style.STYLE`."""
        self._n_figures += 1
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            save_figure(figure, buffer, format="png", metadata={"Software": None})
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        width = round(_PIXELS_PER_INCH * figure.get_size_inches()[0])  # so that letters are of one size in all figures
        image = f'<img alt="{escape(caption)}" width="{width}" src="data:image/png;base64,{data}">'
        label = f"<figcaption><b>Figure {self._n_figures}.</b> {escape(caption)}</figcaption>"
        return self._add(f"<figure>{image}{label}</figure>")

    def html(self) -> str:
        """The document."""
        title = escape(self._title)
        made = f'<p class="made">mdnnp {escape(__version__)}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}</p>'
        facts = Page("").table(["", ""], self._facts, text_columns=(1,))._parts if self._facts else []
        links = (f'<li><a href="#section-{k}">{escape(h)}</a></li>' for k, h in enumerate(self._headings, start=1))
        contents = [f"<nav><ol>{''.join(links)}</ol></nav>"] if len(self._headings) > 1 else []
        body = "\n".join([f"<h1>{title}</h1>", made, *facts, *contents, *self._parts])
        head = f'<meta charset="utf-8"><title>{title}</title><style>{_CSS}</style>'
        return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'

    def _list(self, lines: Sequence[str], kind: str) -> "Page":
        if not lines:
            return self
        return self._add("<ul>" + "".join(f"<li{kind}>{escape(line)}</li>" for line in lines) + "</ul>")

    def _add(self, *parts: str) -> "Page":
        self._parts += parts
        return self


def _cell(value: object) -> str:
    text = escape(str(value))
    if isinstance(value, Warned):
        return f'<span class="warning">{text}</span>'
    return f"<pre>{text}</pre>" if "\n" in text else text
