"""The documentation is true: tables are what the code prints, links lead somewhere, inputs can be read, examples run.

How an example is run, and how to mark one that cannot be, is in CONTRIBUTING.md.
"""

import re
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest
from places import ROOT

import mdnnp
from mdnnp.base.compiled.jit import set_threads
from mdnnp.base.errors import InputError
from mdnnp.command.arguments import parser
from mdnnp.command.cli import main
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


def test_every_public_name_is_in_the_python_reference():
    text = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    missing = [n for n in mdnnp.__all__ if n != "__version__" and not re.search(rf":: mdnnp\.{n}$", text, re.MULTILINE)]
    assert not missing


def test_every_page_is_in_the_contents():
    listed = re.findall(r"^((?:guide|reference|studies)/[\w]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.M)
    assert set(listed) == {str(p.relative_to(DOCS).with_suffix("")) for p in PAGES if p.parent.parent == DOCS}


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


# commands and examples


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_pages_name_exist(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\b((?:mdnnp|tests|analysis|docs|findings)/[\w/]+\.(?:py|md|sh))\b", text))
    named |= set(re.findall(r"\b(inputs/[\w/.-]+\.(?:xyz|toml|json))\b", text)) - WRITTEN_BY_EXAMPLES
    assert not [path for path in sorted(named) if "NAME" not in path and not (ROOT / path).exists()]


WRITTEN_BY_EXAMPLES = {"inputs/silicon/committee-melt.collected.xyz"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_have_arguments_that_exist(page):
    for command in commands_of(page.read_text(encoding="utf-8")):
        try:
            parser().parse_args(command[1:])
        except (InputError, SystemExit) as error:
            pytest.fail(f"{shlex.join(command)}: {error}")


def commands_of(text: str) -> list[list[str]]:
    """The command lines of `mdnnp` in fenced and indented blocks, without what explains them, placeholders aside."""
    blocks = [block for language, block in BLOCK.findall(text) if language in ("", "sh", "text")]
    blocks += re.findall(r"^(?: {4}mdnnp .*\n)+", BLOCK.sub("", text), re.MULTILINE)
    found = []
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        parts = re.split(r"(?<=\S) {3,}| # | > ", line.strip())[0].split("&&")
        found += [shlex.split(part) for part in parts if part.strip().startswith("mdnnp ")]
    return [c for c in found if not any(a.startswith("[") or a in ("VERB", "N") for a in c)]


def examples(page: Path) -> list[tuple[str, str, str]]:
    """Language, text and mark ("", "skip" or "slow") of the blocks that are examples."""
    marked = re.compile(r"(?:^<!-- (skip|slow)\b[^\n]*-->\n+)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    blocks = [(language, text, mark) for mark, language, text in marked.findall(page.read_text(encoding="utf-8"))]
    return [b for b in blocks if b[0] in ("python", "sh") or file_name(b[1])]


def file_name(text: str) -> str | None:
    """The file that a block is, if its first line says so."""
    match = re.match(r"# ([\w-]+\.(?:toml|py))\n", text)
    return match[1] if match else None


def run_examples(page: Path, marks: tuple[str, ...]) -> int:
    """Run a page's examples with these marks, in order and in the current folder; returns how many were run."""
    names: dict = {}
    chosen = [(language, text) for language, text, mark in examples(page) if mark in marks]
    for language, text in chosen:
        if name := file_name(text):
            Path(name).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, name_of(page), "exec"), names)
        else:
            for line in text.splitlines():
                for command in filter(None, (shlex.split(part, comments=True) for part in line.split("&&"))):
                    assert command[0] == "mdnnp", f"an example of {name_of(page)} runs {command[0]}"
                    assert main(command[1:]) == 0, line
    return len(chosen)


@pytest.fixture
def in_copy(tmp_path, monkeypatch):
    """A folder with a copy of `inputs/`, in which examples run."""
    shutil.copytree(ROOT / "inputs", tmp_path / "inputs")
    monkeypatch.chdir(tmp_path)
    modules, threads = set(sys.modules), set_threads(1)
    yield
    set_threads(threads or 1)
    for name in [m for m in sys.modules if m not in modules and not m.startswith("mdnnp")]:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


WITH_EXAMPLES = [page for page in PAGES if any(mark == "" for *_, mark in examples(page))]
WITH_SLOW_ONES = [page for page in PAGES if any(mark == "slow" for *_, mark in examples(page))]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name_of)
def test_examples_run(page, in_copy):
    assert run_examples(page, ("",)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SLOW_ONES, ids=name_of)
def test_slow_examples_run(page, in_copy):
    assert run_examples(page, ("", "slow")) > 0


def test_enough_examples_are_run():
    """A change of the marks or of the pages does not switch the examples off unseen."""
    run = {name_of(page): sum(mark == "" for *_, mark in examples(page)) for page in WITH_EXAMPLES}
    assert run["docs/guide/python.md"] >= 5
    assert run["docs/guide/potentials.md"] >= 4
    assert {"docs/guide/start.md", "docs/guide/vibrations.md", "docs/guide/properties.md"} <= run.keys()
