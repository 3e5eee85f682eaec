"""Starting inputs and the reference of every key, from the records of `dynamics.input`: the verb `mdnnp init`."""

import textwrap
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import get_args, get_origin

from mdnnp.base.errors import FileError
from mdnnp.base.inputs.records import Sections, default_of, is_required, toml_value
from mdnnp.command.verb import Say, check_choice, silent

Values = dict[str, str]  # 'section.key' -> TOML text

_HDNNP_TITLE = """\
Molecular dynamics with a neural network potential. Set the two paths and the units, then:

    mdnnp run {name}
    mdnnp analyze {stem}.h5
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

KINDS = {
    "hdnnp": "an input to fill in, for a neural network potential and a structure of your own",
    "argon": "liquid argon with a Lennard-Jones potential: complete, runs as it is",
}


HELP = "Write a commented input file to start from."
EPILOG = """\
kinds:
  hdnnp   run.toml, an input to fill in, for a potential and a structure of your own
  argon   argon.toml, argon.xyz, argon-lj.toml: liquid argon, complete, runs as it is

Nothing is overwritten.
"""


def add_arguments(p) -> None:
    """The options."""
    p.add_argument("kind", nargs="?", default="hdnnp", choices=["hdnnp", "argon"], help="which one (default: hdnnp)")
    p.add_argument("-o", "--output", metavar="DIR", help="directory to write into (default: this one)")
    p.add_argument("--reference", action="store_true", help="print the reference of every key instead")


@dataclass(frozen=True)
class Request:
    """Which starting input, and the directory for it; reference : the reference of every key instead."""

    kind: str = "hdnnp"
    output: str | Path = "."
    reference: bool = False

    def __post_init__(self):
        check_choice(self, "kind", KINDS)


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
        following = f"mdnnp run {first}" if len(self.files) > 1 else f"fill in {first}"
        return f"Written: {', '.join(map(str, self.files))}\nNext:    {following}"

    def as_dict(self) -> dict:
        """The same."""
        return {"program": "mdnnp init", "written": list(self.files), "reference": self.reference or None}


def perform(request: Request, say: Say = silent) -> Started:
    """Write a starting input, unless the reference is asked for. Raises FileError if a file exists."""
    if request.reference:
        return Started(reference=reference())
    return Started(tuple(write_starting_files(request.kind, request.output)))


def starting_files(kind: str) -> dict[str, str]:
    """Names and texts of the files of a starting input; the first is the one for `mdnnp run`."""
    if kind == "argon":
        return {
            "argon.toml": starting_input(_ARGON_TITLE.format(name="argon.toml", stem="argon"), _ARGON_VALUES),
            "argon.xyz": _ARGON_XYZ,
            "argon-lj.toml": _ARGON_POTENTIAL,
        }
    return {"run.toml": starting_input(_HDNNP_TITLE.format(name="run.toml", stem="run"), {})}


def write_starting_files(kind: str, directory: str | Path) -> list[Path]:
    """Write a starting input into `directory`; returns the paths. Raises FileError if any of them exists."""
    files = {Path(directory) / name: text for name, text in starting_files(kind).items()}
    for path in files:
        if path.exists():
            raise FileError(f"{path} exists already and is left as it is; choose another directory with -o")
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise FileError(f"{directory}: cannot be written: {error.strerror}") from None
    return list(files)


def starting_input(title: str, values: Values) -> str:
    """A commented input: every key with its help, commented out if it has a default and not in `values`."""
    lines = [f"# {line}".rstrip() for line in title.rstrip().split("\n")]
    lines += ["#", "# Keys that are commented out show their default, or an example where there is none."]
    lines += ["# Paths are relative to this file."]
    for section, record in _sections().items():
        lines += ["", f"[{section}]", f"# {record.__doc__}"]
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
    """Every key of an input (default: of a run), in Markdown: tables of key, type, default and meaning."""
    lines = []
    for section, record in (sections or _sections()).items():
        lines += [f"## [{section}]", "", f"{record.__doc__}", ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for f in fields(record):
            rule = f.metadata["rule"]
            meaning = f.metadata["help"] + (f" It {rule.text}." if rule else "")
            star = "*" if f.metadata.get("restart") == "free" else ""
            lines.append(f"| `{f.name}`{star} | {_type_name(f)} | {_default_text(f)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _sections() -> Sections:
    from mdnnp.dynamics.input import SECTIONS

    return SECTIONS


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
    return [f"# {line}" for line in textwrap.wrap(text, 100)]
