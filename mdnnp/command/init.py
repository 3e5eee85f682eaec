"""Starting inputs and the reference of every key, from the records of both inputs: the verb `mdnnp init`."""

import contextlib
import inspect
import textwrap
from argparse import ArgumentParser
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import get_args, get_origin

from mdnnp.base.errors import FileError
from mdnnp.base.files import new_file
from mdnnp.base.inputs.records import Sections, default_of, is_required, toml_value
from mdnnp.command.verb import Say, check_choice, silent

Values = dict[str, str]  # 'section.key' -> TOML text

_HDNNP_TITLE = """\
Molecular dynamics with a neural network potential. Set the two paths and the units, then:

    mdnnp run {name}
    mdnnp analyze {stem}.h5
"""

_TRAIN_TITLE = """\
Fit of a neural network potential to structures with energies and forces. Set the data files and the cutoff, then:

    mdnnp train {name}

The result is an n2p2 directory, {stem}-potential/, and a report, {stem}.html.
"""

_ARGON_TITLE = """\
Liquid argon near its triple point: 864 atoms at 94.4 K, as in the first simulation of a liquid with a
realistic potential (A. Rahman, Phys. Rev. 136, A405 (1964)).

    mdnnp run {name}
    mdnnp analyze {stem}.h5
"""

_ARGON_VALUES: Values = {
    "structure.file": '"argon.xyz"',
    "structure.replicate": "[6, 6, 6]",
    "potential.path": '"argon-lj.toml"',
    "dynamics.steps": "4000",
    "dynamics.timestep_fs": "5.0",
    "dynamics.temperature_K": "94.4",
    "dynamics.equilibration_steps": "2000",
    "output.frame_interval": "20",
}

# The cell of 34.78 Å with 864 atoms, cut into 6 x 6 x 6 cubic cells.
_ARGON_XYZ = """\
4
Lattice="5.7964 0.0 0.0 0.0 5.7964 0.0 0.0 0.0 5.7964" Properties=species:S:1:pos:R:3 pbc="T T T"
Ar 0.0000 0.0000 0.0000
Ar 0.0000 2.8982 2.8982
Ar 2.8982 0.0000 2.8982
Ar 2.8982 2.8982 0.0000
"""

_ARGON_POTENTIAL = """\
# Lennard-Jones argon: epsilon = 120 K, sigma = 3.4 Å (A. Rahman, Phys. Rev. 136, A405 (1964)).
# The pair energy goes to zero smoothly between inner_cutoff_A and cutoff_A.
kind = "lennard-jones"
cutoff_A = 8.5
inner_cutoff_A = 7.0
smoothing = "poly3"

[elements.Ar]
epsilon_eV = 0.0103408
sigma_A = 3.4
"""


HELP = "Write an input file to start from, with comments."
EPILOG = """\
Use it to start: every key is in the file, with its meaning and its default. Files that exist are not overwritten.

kinds:
  hdnnp   run.toml: a run with your neural network potential and structure; fill in paths and units
  argon   argon.toml, argon.xyz, argon-lj.toml: liquid argon, a complete example that runs without changes
  train   train.toml: a fit of a neural network potential to your data; fill in the data files and the cutoff

examples:
  mdnnp init argon
  mdnnp init train -o silicon
  mdnnp init train --reference       the reference of every key of `mdnnp train`
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    p.add_argument(
        "kind",
        nargs="?",
        default="hdnnp",
        choices=["hdnnp", "argon", "train"],
        help="which input, see below (default: hdnnp)",
    )
    p.add_argument("-o", "--output", metavar="DIR", help="directory to write into (default: this one)")
    p.add_argument("--reference", action="store_true", help="only print the reference of every key")


@dataclass(frozen=True)
class Request:
    """Which starting input, and the directory for it; reference : that of every key instead."""

    kind: str = "hdnnp"
    output: str | Path = "."
    reference: bool = False

    def __post_init__(self) -> None:
        check_choice(self, "kind", ("hdnnp", "argon", "train"))


@dataclass(frozen=True)
class Started:
    """Files that were written, the input first; or the reference."""

    files: tuple[Path, ...] = ()
    reference: str = ""
    exit_code: int = 0

    def text(self) -> str:
        """What was written and what is next, or the reference."""
        if not self.files:
            return self.reference
        first = self.files[0]
        following = f"mdnnp run {first}" if len(self.files) > 1 else f"fill in {first}, as its first lines say"
        return f"Written: {', '.join(map(str, self.files))}\nNext:    {following}"

    def as_dict(self) -> dict:
        """The same."""
        return {"program": "mdnnp init", "written": list(self.files), "reference": self.reference or None}


def perform(request: Request, say: Say = silent) -> Started:
    """Write a starting input, unless the reference is asked for. Raises FileError if a file exists."""
    if request.reference:
        return Started(reference=reference(_sections(request.kind)))
    return Started(tuple(write_starting_files(request.kind, request.output)))


def starting_files(kind: str) -> dict[str, str]:
    """Names and texts of the files of a starting input; the first is the one for `mdnnp run` or `mdnnp train`."""
    if kind == "argon":
        return {
            "argon.toml": starting_input(_ARGON_TITLE.format(name="argon.toml", stem="argon"), _ARGON_VALUES),
            "argon.xyz": _ARGON_XYZ,
            "argon-lj.toml": _ARGON_POTENTIAL,
        }
    if kind == "train":
        return {
            "train.toml": starting_input(_TRAIN_TITLE.format(name="train.toml", stem="train"), {}, _sections("train"))
        }
    return {"run.toml": starting_input(_HDNNP_TITLE.format(name="run.toml", stem="run"), {})}


def write_starting_files(kind: str, directory: str | Path) -> list[Path]:
    """Write a starting input into `directory`; returns the paths. Raises FileError if any of them exists."""
    files = {Path(directory) / name: text for name, text in starting_files(kind).items()}
    for path in files:
        if path.exists():
            raise FileError(f"{path} exists already and is not replaced; choose another directory with -o")
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{directory}: cannot be written: {error.strerror}") from None
    with contextlib.ExitStack() as stack:  # all files appear, or none of them
        for path, text in files.items():
            stack.enter_context(new_file(path)).write_text(text, encoding="utf-8", newline="\n")
    return list(files)


def starting_input(title: str, values: Values, sections: Sections | None = None) -> str:
    """A commented input: every key with its help; keys with a default are comments, unless `values` has them."""
    lines = [f"# {line}".rstrip() for line in title.rstrip().split("\n")]
    lines += ["#", "# A key behind '#' is not set: the line shows its default, or an example if it has no default."]
    lines += ["# Paths are relative to this file."]
    for section, record in (sections or _sections()).items():
        lines += ["", f"[{section}]", *_commented(record.__doc__)]
        for f in fields(record):
            lines += ["", *_commented(f.metadata["help"])]
            value = values.get(f"{section}.{f.name}")
            if value is not None:
                lines.append(f"{f.name} = {value}")
            elif _is_wanted(section, f):
                lines.append(f"{f.name} = {f.metadata['example']}")
            else:
                lines.append(f"# {f.name} = {_shown(f)}")
    return "\n".join(lines) + "\n"


def reference(sections: Sections | None = None) -> str:
    """Every key of an input in Markdown, one table for each section: key, type, default and meaning."""
    lines = []
    for section, record in (sections or _sections()).items():
        lines += [f"## [{section}]", "", inspect.cleandoc(record.__doc__), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for f in fields(record):
            rule = f.metadata["rule"]
            meaning = f.metadata["help"] + (f" It {rule.text}." if rule else "")
            star = "*" if f.metadata.get("restart") == "free" else ""
            lines.append(f"| `{f.name}`{star} | {_type_name(f)} | {_default_text(f)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _sections(kind: str = "") -> Sections:
    """The records of an input, of a fit or of a run."""
    from mdnnp.dynamics.input import SECTIONS
    from mdnnp.training.input import SECTIONS as TRAIN_SECTIONS

    return TRAIN_SECTIONS if kind == "train" else SECTIONS


def _is_wanted(section: str, f: Field) -> bool:
    """Whether a key is written out: it is required, or needed with the default of another."""
    return is_required(f) or (section, f.name) == ("dynamics", "temperature_K")


def _shown(f: Field) -> str:
    """The default as TOML, or an example where the default cannot be written."""
    default = default_of(f)
    return f.metadata["example"] if default in (None, {}, ()) else toml_value(default)


def _default_text(f: Field) -> str:
    if is_required(f):
        return "required"
    default = default_of(f)
    return "" if default in (None, {}, ()) else f"`{toml_value(default)}`"


def _type_name(f: Field) -> str:
    hint = f.type
    names = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
    if hint in names:
        return names[hint]
    args = get_args(hint)
    if type(None) in args:
        return names.get(args[0]) or _list_name(args[0], names)
    if isinstance(args[0], str):
        return ", ".join(f"`{toml_value(a)}`" for a in args)
    return _list_name(hint, names)


def _list_name(hint, names) -> str:
    args = get_args(hint)
    if get_origin(hint) is dict:
        return "table of numbers"
    if args[-1] is Ellipsis:
        return f"list: {names[args[0]]}"
    return f"list of {len(args)}: {names[args[0]]}"


def _commented(text: str) -> list[str]:
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return [f"# {line}" for paragraph in paragraphs for line in textwrap.wrap(paragraph, 100)]
