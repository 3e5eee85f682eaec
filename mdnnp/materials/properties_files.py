"""Files of a report on a crystal: the values it is compared with, and what is written."""

import json
import math
from dataclasses import replace
from pathlib import Path

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import FileError, InputError
from mdnnp.base.files import csv_text
from mdnnp.base.report.plain import to_json
from mdnnp.materials import properties_report


def read_reference(path: str | Path | None) -> tuple[dict[str, float], str]:
    """Values of a JSON file by key, and its `source`; objects in it are left alone, as notes.

    Raises FileError or InputError for what is not one.
    """
    if path is None:
        return {}, ""
    try:
        data = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f'{path}: expected an object as {{"C11_GPa": 153, "vacancy_eV": 3.67}}, found {data!r:.40}')
    source = str(data.pop("source", path))
    data = {key: value for key, value in data.items() if not isinstance(value, dict)}
    for key, value in data.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"{path}: {key} must be a number, found {value!r:.60}")
    return {key: float(value) for key, value in data.items()}, source


def write(directory: Path, result: properties_report.Report, structure: Structure) -> None:
    """Write the report of `structure` into an empty directory: page, numbers, curves, the structure at rest."""
    texts = {
        "report.html": properties_report.page(result),
        "properties.json": to_json(result.as_dict()) + "\n",
        "properties.csv": properties_report.numbers_csv(result),
    }
    for part in result.parts:
        texts |= {f"{name}.csv": csv_text(*curve) for name, curve in part.curves.items()}
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    r = result.crystal.results
    at_rest = replace(
        structure, system=result.crystal.system, velocities=None, energy=r.energy, forces=r.forces, stress=None,
        atomic_energies=r.atomic_energies,
    )  # fmt: skip
    write_structures(directory / "relaxed.xyz", [at_rest])
