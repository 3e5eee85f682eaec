"""The verb `mdnnp analyze`: prints the numbers of a trajectory, and writes a report into a folder."""

import contextlib
import json
import math
import warnings
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from mdnnp.analysis.energies import analyze, as_dict, ramp_tables, read_parts
from mdnnp.analysis.energies_text import report
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.files import check_distinct, require_regular

NUMBERS_FILE = "numbers.json"
PHYSICS_FILES = ("report.html", "physics.json", "physics.csv", "curves.csv", "bonds.csv")


def main(arguments: Namespace) -> int:

    return analyze_trajectory(arguments)


def analyze_trajectory(arguments: Namespace) -> int:
    """`mdnnp analyze`: print the numbers, write them and the figures into a folder.

    arguments : trajectory (one, or the parts of a run), output (folder or None); json, warmup_ps, no_figures and what
        `_settings` takes are optional
    Raises FileError for a file that is no trajectory, and for a folder that cannot be written to.
    """
    warmup_ps = getattr(arguments, "warmup_ps", None)
    if warmup_ps is not None and not (math.isfinite(warmup_ps) and warmup_ps >= 0):
        raise InputError(f"the warm-up must not be negative, found {warmup_ps} ps")
    given = arguments.trajectory
    paths = [Path(path) for path in (given if isinstance(given, list) else [given])]
    for path in paths:
        require_regular(path)
    settings = _settings(arguments)
    analysis = analyze(read_parts(paths, settings.choice), settings.warmup_fs, settings.until_fs)
    settings = replace(settings, ramp=analysis.ramp, ramp_tables=ramp_tables(analysis))
    numbers = json.dumps(as_dict(analysis), indent=2)
    wants_json = getattr(arguments, "json", False)
    print(numbers if wants_json else report(analysis))
    if getattr(arguments, "no_figures", False):
        return 0
    from mdnnp.analysis.energy_figures import FIGURES, draw
    from mdnnp.analysis.page import page
    from mdnnp.analysis.physics import as_dict as physics_numbers
    from mdnnp.analysis.physics import bonds_csv, curves_csv, lines, numbers_csv

    path = analysis.series.path
    folder = Path(arguments.output) if arguments.output else path.with_name(f"{path.stem}_analysis")
    names = [NUMBERS_FILE, *FIGURES, *PHYSICS_FILES]
    check_distinct([folder / name for name in names], paths)
    replaced = _make_folder(folder, names)
    try:
        (folder / NUMBERS_FILE).write_text(numbers + "\n", encoding="utf-8")
        written = [folder / NUMBERS_FILE, *draw(analysis, folder)]
        for name in PHYSICS_FILES:
            (folder / name).unlink(missing_ok=True)
        found = None if getattr(arguments, "no_physics", False) else _physics(paths, settings)
        if found is not None:
            texts = (page(found, analysis), json.dumps(physics_numbers(found), indent=2) + "\n")
            texts += (numbers_csv(found), curves_csv(found), bonds_csv(found))
            for name, text in zip(PHYSICS_FILES, texts, strict=True):
                (folder / name).write_text(text, encoding="utf-8")
                written.append(folder / name)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from None
    if not wants_json:
        if found is not None:
            print("\n" + "\n".join(lines(found)))
        shown = ", ".join(file.name for file in written)
        print(f"\nWritten to {folder}{' (replacing an earlier analysis)' if replaced else ''}: {shown}")
    return 0


def _settings(arguments):
    """Settings of the physics. Raises InputError for a bond that makes no sense."""
    from mdnnp.analysis.physics import Settings

    def scaled(name, factor=1.0):
        value = getattr(arguments, name, None)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"--{name.replace('_', '-')}: must be positive, found {value}")
        return None if value is None else factor * value

    warmup_ps, fit_ps = getattr(arguments, "warmup_ps", None), getattr(arguments, "fit_ps", None)
    if fit_ps is not None and not 0 <= fit_ps[0] < fit_ps[1] < math.inf:
        raise InputError(f"--fit-ps: must be two increasing times, found {fit_ps[0]} and {fit_ps[1]}")
    bonds = {}
    for pair, form, break_ in getattr(arguments, "bond", None) or ():
        symbols = tuple(pair.split("-"))
        try:
            bonds[symbols] = (float(form), float(break_))
        except ValueError:
            raise InputError(f"--bond {pair}: {form!r} and {break_!r} must be distances in Å") from None
        if len(symbols) != 2 or not 0 < bonds[symbols][0] <= bonds[symbols][1]:
            raise InputError(
                f"--bond {pair} {form} {break_}: expected as in O-H 1.2 1.6, with a second distance that is not shorter"
            )
    return Settings(
        warmup_fs=None if warmup_ps is None else 1e3 * warmup_ps,
        until_fs=scaled("until_ps", 1e3),
        r_max_A=scaled("r_max"),
        lag_fs=scaled("lag_ps", 1e3),
        fit_fs=None if fit_ps is None else (1e3 * fit_ps[0], 1e3 * fit_ps[1]),
        viscosity_mPas=scaled("viscosity"),
        temperature_K=scaled("temperature"),
        axis="abc".index(getattr(arguments, "axis", None) or "c"),
        bonds_A=bonds or None,
        choice=_choice(arguments),
    )


def _choice(arguments) -> dict:
    """Group and species of other programs' files, as `Trajectory` takes them."""
    return {"group": getattr(arguments, "group", None), "species": getattr(arguments, "species", None) or ()}


def _physics(paths: list[Path], settings):
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


def _make_folder(folder: Path, names: list[str]) -> bool:
    """Make the folder; returns whether an earlier analysis is there, which may be replaced.

    Raises FileError if files of these names are there that no earlier analysis made.
    """
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be created: {error.strerror}") from None
    return bool(existing)
