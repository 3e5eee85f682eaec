"""The verb `mdnnp properties`: reads what is asked for, has the parts computed, writes the report."""

import json
import math
import sys
import warnings
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.files import check_distinct, csv_text, new_directory
from mdnnp.base.report.screen import Bar
from mdnnp.command.common import load_both
from mdnnp.materials import parts, properties_report
from mdnnp.materials.crystal import Crystal, make_crystal
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.load import potential_files

FILES = ("report.html", "properties.json", "properties.csv", "eos.csv", "thermal.csv", "relaxed.xyz")
_FORCES_AT_REST = 0.05  # eV/Å


def main(arguments: Namespace) -> int:

    potential, structure = load_both(arguments)
    return compute_properties(arguments, potential, structure)


def read_reference(path: str | None) -> tuple[dict[str, float], str]:
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


def compute_properties(arguments: Namespace, potential: Potential, structure: Structure) -> int:
    """Do as the command line says; returns the exit status: 3 if nothing that was asked for could be computed."""
    if not (math.isfinite(arguments.temperature_K) and arguments.temperature_K > 0):
        raise InputError(f"--temperature-K must be positive, found {arguments.temperature_K}")
    reference, source = read_reference(arguments.reference)
    names = [name for name in parts.NAMES if name in (arguments.only or parts.NAMES)]
    supercell = tuple(arguments.supercell) if arguments.supercell else None
    output = Path(arguments.output or f"{Path(arguments.structure).stem}-properties")
    check_distinct([output], [arguments.structure, arguments.reference, *potential_files(arguments.potential)])
    if output.is_dir() and not arguments.overwrite:
        raise FileError(f"{output} exists already; give --overwrite, or another name with -o")
    with new_directory(output, arguments.overwrite, lambda name: name in FILES) as directory:
        crystal = make_crystal(potential, structure, not arguments.no_relax)
        _warn(crystal, structure)
        with Bar(layout="{desc} [{elapsed}]") as bar:
            found = parts.compute(crystal, names, parts.Settings(supercell, arguments.temperature_K), bar.describe)
        facts = _facts(arguments, crystal, structure)
        result = properties_report.Report(facts, crystal, [parts.cell_part(crystal), *found], reference, source)
        known = {q.key for q in result.quantities}
        unused = sorted(set(reference) - known)
        if unused and not arguments.only:
            warnings.warn(
                f"{arguments.reference}: no quantity of this report is called {', '.join(unused)}",
                MdnnpWarning, stacklevel=2,
            )  # fmt: skip
        _write(directory, result, structure)
    print(
        json.dumps(properties_report.as_dict(result), indent=2)
        if arguments.json
        else "\n".join(properties_report.lines(result))
    )
    if not arguments.json:
        print(f"\nWritten: {output}/report.html, properties.json, properties.csv and the curves behind the figures")
    if found[-1].failure == parts.INTERRUPTED:
        left = " ".join(names[len(found) - 1 :])
        print(f"interrupted; the finished parts are written; for the others: --only {left}", file=sys.stderr)
        raise KeyboardInterrupt
    return 3 if all(part.failure for part in found) else 0


def _warn(crystal: Crystal, structure: Structure) -> None:
    """Say what may make all of it meaningless."""
    largest = crystal.results.largest_force
    if largest > _FORCES_AT_REST:
        warnings.warn(
            f"{structure.label}: the largest force is {largest:.3f} eV/Å: this is not a minimum, and the properties "
            "are not valid; remove --no-relax",
            MdnnpWarning, stacklevel=2,
        )  # fmt: skip
    if crystal.coverage:
        warnings.warn(f"{structure.label}: the relaxed crystal {crystal.coverage}", MdnnpWarning, stacklevel=2)


def _facts(arguments, crystal: Crystal, structure: Structure) -> list[tuple[str, str]]:
    group = crystal.symmetry.name if crystal.symmetry is not None else "not determined (needs spglib)"
    return [
        ("potential", str(arguments.potential)),
        ("structure", structure.label),
        ("atoms in the cell", str(len(crystal.system))),
        ("space group", group),
        ("at rest", "relaxed, cell and positions" if crystal.relaxed else "not relaxed"),
    ]


def _write(directory: Path, result: properties_report.Report, structure: Structure) -> None:
    texts = {
        "report.html": properties_report.page(result),
        "properties.json": json.dumps(properties_report.as_dict(result), indent=2) + "\n",
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
