"""The documentation is true: tables are what the code prints, links lead somewhere, inputs can be read, examples run.

How an example is run, and how to mark one that cannot be, is in CONTRIBUTING.md.
"""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from places import ROOT

from mdnnp.command.arguments import parser
from mdnnp.command.init import starting_files
from mdnnp.dynamics.input import SECTIONS as RUN
from mdnnp.dynamics.input import parse_config
from mdnnp.training.input import SECTIONS as TRAIN
from mdnnp.training.input import parse_train_config

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def generated():
    sys.path.insert(0, str(DOCS))
    try:
        return import_module("generate")
    finally:
        sys.path.remove(str(DOCS))


# tables and links


@pytest.mark.parametrize("name", ["run.md", "train.md", "commands.md"])
def test_reference_is_what_the_code_says(name):
    page = DOCS / "reference" / name
    assert page.read_text(encoding="utf-8") == generated().pages()[page], "run: python docs/generate.py"


def test_reference_has_every_key_and_every_verb():
    for name, sections in (("run.md", RUN), ("train.md", TRAIN)):
        text = (DOCS / "reference" / name).read_text(encoding="utf-8")
        for section, record in sections.items():
            assert f"## [{section}]" in text
            for key in record.__dataclass_fields__:
                assert f"| `{key}`" in text
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    (verbs,) = (a.choices for a in parser()._actions if isinstance(a.choices, dict))
    for verb in verbs:
        assert f"## mdnnp {verb}\n" in text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if heading:
            assert heading in anchors(found), f"{target}: {name_of(found)} has no such heading"


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_pages_that_the_program_names_exist():
    sources = [*(ROOT / "mdnnp").rglob("*.py"), *(ROOT / "analysis").rglob("*.py"), *(ROOT / "inputs").rglob("*.toml")]
    named = {page for source in sources for page in re.findall(r"docs/[\w/]+\.md", source.read_text(encoding="utf-8"))}
    assert named
    assert not [page for page in named if not (ROOT / page).exists()]


def test_every_picture_is_shown():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert not [p.name for p in (DOCS / "images").iterdir() if f"images/{p.name})" not in text]


# inputs


def inputs(section: str) -> list:
    """TOML blocks with that section."""
    found = []
    for page in PAGES:
        blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
        texts = [text for language, text in blocks if language == "toml" and f"[{section}]" in text]
        found += [pytest.param(text, id=f"{name_of(page)}-{k}") for k, text in enumerate(texts)]
    return found


@pytest.mark.parametrize("text", inputs("structure"))
def test_inputs_of_runs_can_be_read(text):
    parse_config(text)


@pytest.mark.parametrize("text", inputs("data"))
def test_inputs_of_fits_can_be_read(text):
    parse_train_config(text)


def test_the_lennard_jones_potential_is_the_one_that_init_writes():
    text = (DOCS / "guide" / "potentials.md").read_text(encoding="utf-8")
    assert ("toml", starting_files("argon")["argon-lj.toml"]) in BLOCK.findall(text)
