"""The verb `mdnnp init`: inputs to start from, and the reference of every key."""

import contextlib
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

from mdnnp.base.errors import FileError
from mdnnp.base.files import new_file
from mdnnp.base.inputs.commented import reference, starting_input
from mdnnp.base.inputs.records import Sections
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
            "argon.toml": starting_input(
                _ARGON_TITLE.format(name="argon.toml", stem="argon"), _ARGON_VALUES, _sections()
            ),
            "argon.xyz": _ARGON_XYZ,
            "argon-lj.toml": _ARGON_POTENTIAL,
        }
    if kind == "train":
        return {
            "train.toml": starting_input(_TRAIN_TITLE.format(name="train.toml", stem="train"), {}, _sections("train"))
        }
    title = _HDNNP_TITLE.format(name="run.toml", stem="run")
    return {"run.toml": starting_input(title, {}, _sections(), also=["dynamics.temperature_K"])}


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


def _sections(kind: str = "") -> Sections:
    """The records of an input, of a fit or of a run."""
    from mdnnp.dynamics.input import SECTIONS
    from mdnnp.training.input import SECTIONS as TRAIN_SECTIONS

    return TRAIN_SECTIONS if kind == "train" else SECTIONS
