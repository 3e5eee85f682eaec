"""The verb `mdnnp analyze`: prints the numbers of a trajectory, and writes a report into a folder."""

import contextlib
import json
import math
import tempfile
import warnings
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.files import check_distinct, require_regular
from mdnnp.command.verb import Outcome, Say, Written, check_choice, check_positive, silent

if TYPE_CHECKING:
    from mdnnp.analysis.physics import Settings

NUMBERS_FILE = "numbers.json"
PHYSICS_FILES = ("report.html", "physics.json", "physics.csv", "curves.csv", "bonds.csv")


HELP = "Analyze a trajectory: energy drift, structure, diffusion, spectra and transport, with error bars."
EPILOG = """\
Use it after a run, or during one: it reads any H5MD file, even while a run writes it. It writes a folder with
report.html (figures), physics.json and physics.csv (numbers), curves.csv and bonds.csv. If a quantity cannot be
computed, it says why, and computes the others.

examples:
  mdnnp analyze run.h5
  mdnnp analyze run.h5 run.part2.h5 --lag-ps 5 --fit-ps 1 5 --viscosity 0.89
  mdnnp analyze run.h5 --bond O-H 1.2 1.6 -o bonds
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    p.add_argument("trajectory", nargs="+", metavar="RUN.h5", help="H5MD trajectory, or its parts in order")
    p.add_argument("-o", "--output", metavar="DIR", help="directory for figures and numbers (default: RUN_analysis)")
    p.add_argument(
        "--warmup-ps",
        type=float,
        metavar="T",
        help="leave out this time at the beginning (default: the equilibration, or 10 %% of the run)",
    )
    p.add_argument("--until-ps", type=float, metavar="T", help="use the run only up to this time, from its start")
    p.add_argument("--json", action="store_true", help="print the numbers as JSON")
    p.add_argument("--no-figures", action="store_true", help="only energies: print the numbers, write no files")
    p.add_argument("--no-physics", action="store_true", help="only energies, with their figures")
    p.add_argument(
        "--r-max", type=float, metavar="R", help="longest distance of g(r), Å (default: half the cell, at most 10)"
    )
    p.add_argument("--lag-ps", type=float, metavar="T", help="longest correlation time (default: a fifth of the run)")
    p.add_argument("--fit-ps", type=float, nargs=2, metavar=("FROM", "TO"), help="range of lag times of the MSD fit")
    p.add_argument(
        "--viscosity", type=float, metavar="ETA", help="viscosity in mPa s, to correct D to infinite size (cubic cells)"
    )
    p.add_argument(
        "--temperature", type=float, metavar="T", help="temperature in K (default: computed from the velocities)"
    )
    p.add_argument("--axis", choices=["a", "b", "c"], help="cell vector of the profiles (default: c)")
    p.add_argument("--group", metavar="NAME", help="group of particles in the file (default: the first group)")
    p.add_argument(
        "--species",
        nargs="+",
        metavar="SYMBOL",
        help="elements of the atom types in another program's file: in order of the types, or as LABEL=SYMBOL",
    )
    p.add_argument(
        "--bond",
        nargs=3,
        action="append",
        metavar=("A-B", "FORM", "BREAK"),
        help="a bond forms below the first distance and breaks above the second, in Å (default: 1.2 and 1.6 times the "
        "sum of the covalent radii)",
    )


@dataclass(frozen=True)
class Request:
    """Which trajectory (a file, or the parts of a run in order) to look at, and how.

    output : a folder (None: RUN_analysis); no_figures : write nothing; no_physics : energies alone
    warmup_ps : time to leave out at the beginning; until_ps : time at which to end; r_max : of g(r), Å
    lag_ps : longest correlation time; fit_ps : lags between which the MSD is fitted; viscosity : mPa s
    temperature : K; axis : cell vector of profiles; bond : (A-B, form, break), Å, for each kind
    group, species : of another program's file, see `Trajectory`. Raises InputError for what makes no sense.
    """

    trajectory: str | Path | Sequence[str | Path]
    _: KW_ONLY
    output: str | Path | None = None
    no_figures: bool = False
    no_physics: bool = False
    warmup_ps: float | None = None
    until_ps: float | None = None
    r_max: float | None = None
    lag_ps: float | None = None
    fit_ps: Sequence[float] | None = None
    viscosity: float | None = None
    temperature: float | None = None
    axis: str = "c"
    bond: Sequence[tuple[str, float | str, float | str]] | None = None
    group: str | None = None
    species: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.warmup_ps is not None and not (math.isfinite(self.warmup_ps) and self.warmup_ps >= 0):
            raise InputError(f"the warm-up must not be negative, found {self.warmup_ps} ps")
        check_positive(self, "until_ps", "r_max", "lag_ps", "viscosity", "temperature")
        if self.fit_ps is not None and not 0 <= self.fit_ps[0] < self.fit_ps[1] < math.inf:
            raise InputError(f"--fit-ps: must be two increasing times, found {self.fit_ps[0]} and {self.fit_ps[1]}")
        check_choice(self, "axis", ("a", "b", "c"))
        self.bonds_A()

    @property
    def paths(self) -> list[Path]:
        """The parts of the run."""
        given = [self.trajectory] if isinstance(self.trajectory, str | Path) else self.trajectory
        return [Path(path) for path in given]

    def folder(self, path: Path) -> Path:
        """Where the analysis of the trajectory at `path` goes."""
        return Path(self.output) if self.output else path.with_name(f"{path.stem}_analysis")

    def bonds_A(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Distances where bonds form and break, by pair of elements."""
        bonds = {}
        for pair, form, break_ in self.bond or ():
            symbols = pair.split("-")
            try:
                limits = (float(form), float(break_))
            except ValueError:
                raise InputError(f"--bond {pair}: {form!r} and {break_!r} must be distances in Å") from None
            if len(symbols) != 2 or not 0 < limits[0] <= limits[1]:
                raise InputError(
                    f"--bond {pair} {form} {break_}: expected as in O-H 1.2 1.6, with a second distance that is not "
                    "shorter"
                )
            bonds[symbols[0], symbols[1]] = limits
        return bonds

    def settings(self) -> "Settings":
        """Settings of the physics."""
        from mdnnp.analysis.physics import Settings

        def fs(time_ps):
            return None if time_ps is None else 1e3 * time_ps

        return Settings(
            warmup_fs=fs(self.warmup_ps),
            until_fs=fs(self.until_ps),
            r_max_A=self.r_max,
            lag_fs=fs(self.lag_ps),
            fit_fs=None if self.fit_ps is None else (1e3 * self.fit_ps[0], 1e3 * self.fit_ps[1]),
            viscosity_mPas=self.viscosity,
            temperature_K=self.temperature,
            axis="abc".index(self.axis),
            bonds_A=self.bonds_A() or None,
            choice={"group": self.group, "species": self.species or ()},
        )


@dataclass(frozen=True)
class Analyzed:
    """What was found: `Analysis` of the energies, `Physics` or None."""

    energies: Any
    physics: Any
    exit_code: int = 0

    def text(self) -> str:
        """Energies, then physics."""
        from mdnnp.analysis.energies_text import report
        from mdnnp.analysis.physics import lines

        text = report(self.energies)
        return text if self.physics is None else "\n".join([text, "", *lines(self.physics)])

    def as_dict(self) -> dict:
        """The numbers of the energies; those of the physics are in physics.json."""
        from mdnnp.analysis.energies import as_dict

        return as_dict(self.energies)


def perform(request: Request, say: Say = silent) -> Outcome:
    """Analyze, and write numbers and figures into a folder; returns `Analyzed`, or that and the files.

    Raises FileError for a file that is no trajectory, and for a folder that cannot be written to.
    """
    paths = request.paths
    for path in paths:
        require_regular(path)
    if not request.no_figures:
        _check_folder(request.folder(paths[0]), [NUMBERS_FILE, *PHYSICS_FILES], paths)
    from mdnnp.analysis.energies import analyze, ramp_tables, read_parts

    settings = request.settings()
    energies = analyze(read_parts(paths, settings.choice), settings.warmup_fs, settings.until_fs)
    if request.no_figures:
        return Analyzed(energies, None)
    from mdnnp.analysis.energy_figures import FIGURES

    folder = request.folder(energies.series.path)
    names = [NUMBERS_FILE, *FIGURES, *PHYSICS_FILES]
    replaced = _check_folder(folder, names, paths)
    _make_folder(folder)
    settings = replace(settings, ramp=energies.ramp, ramp_tables=ramp_tables(energies))
    found = Analyzed(energies, None if request.no_physics else _physics(paths, settings))
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:  # an earlier analysis stays until the end
            files = [file.replace(folder / file.name) for file in _write(Path(scratch), found)]
        for path in {folder / name for name in names} - set(files):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from None
    written = ", ".join(file.name for file in files)
    again = " (replacing an earlier analysis)" if replaced else ""
    return Written(found, tuple(files), f"\nWritten to {folder}{again}: {written}")


def _write(folder: Path, found: Analyzed) -> list[Path]:
    """Write numbers, figures and physics; returns the files."""
    from mdnnp.analysis import physics
    from mdnnp.analysis.energy_figures import draw
    from mdnnp.analysis.page import page
    from mdnnp.base.report.plain import to_json

    (folder / NUMBERS_FILE).write_text(to_json(found.as_dict()) + "\n", encoding="utf-8")
    written = [folder / NUMBERS_FILE, *draw(found.energies, folder)]
    if found.physics is None:
        return written
    texts = (
        page(found.physics, found.energies),
        to_json(physics.as_dict(found.physics)) + "\n",
        physics.numbers_csv(found.physics),
        physics.curves_csv(found.physics),
        physics.bonds_csv(found.physics),
    )
    for name, text in zip(PHYSICS_FILES, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def _physics(paths: Sequence[Path], settings):
    """What `mdnnp.analysis` finds; None, with a warning, where there is nothing to find."""
    from mdnnp.analysis.physics import physics
    from mdnnp.base.report.screen import Bar

    with Bar("physics", 9) as bar:

        def say(what: str) -> None:
            bar.describe(what)
            bar.advance()

        try:
            return physics(paths, settings, say)
        except (InputError, FileError) as error:
            warnings.warn(f"no structure or dynamics: {error}", MdnnpWarning, stacklevel=2)
            return None


def _check_folder(folder: Path, names: Sequence[str], inputs: Sequence[Path]) -> bool:
    """Whether an earlier analysis is in the folder, which may be replaced.

    Raises FileError if files of these names are there that no earlier analysis made, InputError if one is an input.
    """
    check_distinct([folder / name for name in names], inputs)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: exists and is not a directory; give another with --output")
    existing = [folder / name for name in names if (folder / name).exists()]
    ours = False
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        ours = json.loads((folder / NUMBERS_FILE).read_text("utf-8"))["program"] == "mdnnp analyze"
    if existing and not ours:
        raise FileError(
            f"{existing[0]}: exists, and was not written by an earlier analysis; give another directory with --output"
        )
    return bool(existing)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be created: {error.strerror}") from None
