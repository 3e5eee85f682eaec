"""Reports as HTML."""

import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from mdnnp import __version__
from mdnnp.base.report.html import Page, Warned

NASTY = "<script>\"&'</td>"


class Checked(HTMLParser):
    """Reads a page; every tag must be closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.ids, self.links, self.text, self.tags = [], [], [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        found = dict(attributes)
        self.ids += filter(None, [found.get("id")])
        self.links += filter(None, [found.get("href")])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_head_and_contents():
    page = Page("A report", [("input", "a.toml"), ("atoms", 8)]).section("First").text("words").section("Second & last")
    read = Checked(page.html())
    assert f"mdnnp {__version__}" in read.text and re.search(r"\d{4}-\d\d-\d\d", read.text)
    assert read.text.index("a.toml") < read.text.index("words")
    assert [link.removeprefix("#") for link in read.links] == read.ids and len(read.ids) == 2
    assert read.text.count("Second & last") == 2  # in the contents, and where it stands


def test_everything_is_escaped():
    figure = Figure()
    figure.subplots().plot([0, 1])
    page = Page(NASTY, [(NASTY, NASTY)]).warnings([NASTY]).section(NASTY).text(NASTY).items([NASTY]).references([NASTY])
    page.table([NASTY, "b"], [[NASTY, Warned(NASTY)], [f"a\n{NASTY}", 1.5]], NASTY).figure(figure, NASTY)
    read = Checked(page.html())
    assert "script" not in read.tags
    assert read.text.count(NASTY) == 15


def test_figures_are_embedded_and_numbered():
    figure = Figure()
    figure.subplots().plot([0, 1])
    page = Page("A report").section("One").figure(figure, "first").figure(figure, "second").html()
    assert page.count("data:image/png;base64,") == 2
    assert "Figure 1.</b> first" in page and "Figure 2.</b> second" in page


def test_a_row_of_another_length_than_the_head_is_refused():
    with pytest.raises(ValueError, match="zip"):
        Page("A report").table(["a", "b"], [["1"]])


def test_nothing_makes_nothing():
    assert Page("A report").warnings([]).items([]).text("").html() == Page("A report").html()
