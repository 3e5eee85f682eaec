"""The documentation site: pip install '.[docs]' && sphinx-build -W -b html docs _build."""

import re
from itertools import groupby

import mdnnp

project = "mdnnp"
author = "The mdnnp developers"
release = version = mdnnp.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"mdnnp {release}"
myst_heading_anchors = 3  # headings are linked by the names that GitHub gives them
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True  # not the arrays themselves

DEFINED = re.compile(r"[\w.*]+(?:, [\w.*]+)* : ")  # "positions, velocities : (N, 3) Å; ..."
LISTED = re.compile(r"(\d+\.|-) ")
OUTSIDE = re.compile(r"\[[^\]]*\]\(\.\./\.\./(findings/[^)]*)\)")


def setup(app) -> None:
    """Docstrings are plain text: make reStructuredText of them, and leave out what says nothing.

    Files outside of docs/ are no pages of the site: they are named instead of linked.
    """
    app.connect("autodoc-process-docstring", lambda app, what, name, obj, options, lines: rewrite(lines))
    app.connect("autodoc-skip-member", skip)
    app.connect("source-read", lambda app, page, text: text.__setitem__(0, OUTSIDE.sub(r"`\1`", text[0])))


def skip(app, what, name, obj, skipped, options) -> bool | None:
    """Whether to leave out a member: fields of named tuples, which the docstring of the class describes."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def rewrite(lines: list[str]) -> None:
    """Plain text, in place: 'name : text' becomes an entry of a list, indented blocks become code."""
    found: list[str] = []
    for blank, group in groupby(lines, lambda line: not line.strip()):
        if not blank:
            found += [*paragraph(list(group)), ""]
    lines[:] = found


def paragraph(lines: list[str]) -> list[str]:
    """A paragraph of a docstring as reStructuredText."""
    if all(line.startswith("    ") for line in lines):
        return ["::", "", *(f"    {line}" for line in lines)]
    made: list[str] = []
    inside = False  # an entry, whose text goes on in indented lines
    for line in lines:
        if DEFINED.match(line):
            name, text = line.split(" : ", 1)
            made += ["", f"- **{escaped(name)}**: {escaped(text)}"]
            inside = True
        elif match := LISTED.match(line):
            made += ["", f"- {escaped(line[match.end() :])}"]
            inside = True
        elif inside and line.startswith(" "):
            made.append(f"  {escaped(line.strip())}")
        else:
            made += [""] * inside + [escaped(line.strip())]
            inside = False
    return made


def escaped(text: str) -> str:
    """Text whose characters mean themselves, but for code in backticks."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(
        f"``{part.strip('`')}``" if k % 2 else re.sub(r"([\\*_|`])", r"\\\1", part) for k, part in enumerate(parts)
    )
