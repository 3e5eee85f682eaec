"""Opening potentials: n2p2/RuNNer directories, committees, and TOML files that name one term or a sum of terms."""

import re
import tomllib
from pathlib import Path

from mdnnp.base.errors import FileError, InputError
from mdnnp.base.files import require_regular
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.dispersion import D3
from mdnnp.potentials.electrostatics.fixed_charges import FixedCharges
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.graph.files import HEADER, belongs_to_graph
from mdnnp.potentials.graph.potential import GraphPotential
from mdnnp.potentials.hdnnp.files.reader import TERMS_FILE
from mdnnp.potentials.hdnnp.files.settings import has_charges
from mdnnp.potentials.hdnnp.files.writer import belongs
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.keys import check_keys, check_number
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.own import own_potential
from mdnnp.potentials.total import TotalPotential
from mdnnp.potentials.zbl import ZBL

_READ_ONLY = ("optweights.*.out",)  # files of a potential that are never written
_CHARGE_KEYS = {"total_charge", "charge_tolerance"}  # attributes of potentials with charges
_MEMBER = re.compile(r"member-(\d+)")
_KINDS = {
    "lennard-jones": LennardJones.from_table,
    "zbl": ZBL.from_table,
    "d3": D3.from_table,
    "charges": FixedCharges.from_table,
}


def load_potential(
    path: str | Path,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    *,
    precision: str = "double",
) -> Potential:
    """Open a potential directory of n2p2, RuNNer or a graph potential, a committee's, or a TOML file of a potential.

    A committee is a directory that holds such directories called member-1, member-2, ... A directory with a file
    terms.toml is the sum of its potential and the terms in that file. A TOML file says its kind: "lennard-jones",
    "zbl", "python" (a potential of your own), or "sum" of [[terms]]; docs/guide/potentials.md has them all.

    length_unit, energy_unit : native units of a directory that does not state them ("Bohr", "Hartree", ...)
    precision : "double", or "mixed" for faster dynamics with a neural network potential, see `HDNNP`
    Raises InputError for what cannot be used as given, FileError if there is nothing at `path`.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path}: no such potential; expected an n2p2 directory or a .toml file")
    units = length_unit, energy_unit
    if path.is_dir():
        potential = _from_directory(path, units, precision)
        terms = path / TERMS_FILE
        if not terms.exists():
            return potential
        added = _terms(_read(terms), terms, units, precision, potential.elements)
        names, each = zip(*added, strict=True)
        total = TotalPotential([potential, *each], str(path), ["network", *names])
        total.files = (*total.files, terms)
        return total
    return _from_table(_read(path), path, units, precision)


def potential_files(path: str | Path) -> list[Path]:
    """The files that a potential is read from: of a directory, its members, and all that a TOML file names."""
    return list(dict.fromkeys(_files(Path(path), set())))


def _files(path: Path, seen: set[Path]) -> list[Path]:
    if path.resolve() in seen:  # files that name each other
        return []
    seen.add(path.resolve())
    if path.is_dir():
        folders = member_paths(path) or [path]
        found = [
            file
            for folder in folders
            for file in sorted(folder.iterdir())
            if belongs(file.name) or belongs_to_graph(file.name) or any(file.match(pattern) for pattern in _READ_ONLY)
        ]
        return [*found, *(file for file in (path / TERMS_FILE,) if file.exists() and file not in found)]
    try:
        table = _read(path)
    except (InputError, FileError):
        return [path]  # opening it will say why
    terms = table.get("terms", [])
    entries = [table, *(entry for entry in (terms if isinstance(terms, list) else []) if isinstance(entry, dict))]
    named = [Path(entry["path"]).expanduser() for entry in entries if isinstance(entry.get("path"), str)]
    modules = [e["factory"].split(":")[0] for e in entries if isinstance(e.get("factory"), str)]
    named += [Path(f"{module.replace('.', '/')}.py") for module in modules]
    targets = [path.parent / own for own in named]
    below = [file for target in targets if target.suffix != ".py" and target.exists() for file in _files(target, seen)]
    return [path, *below, *(target for target in targets if target.suffix == ".py" and target.is_file())]


def load_terms(path: str | Path) -> Potential:
    """The sum of the [[terms]] that a file describes, all in the file itself. Raises InputError, FileError."""
    path = Path(path)
    table = _read(path)
    added = _terms(table, path, (None, None), "double", None)
    if any("path" in entry for entry in table["terms"]):
        raise InputError(f"{path}: fixed terms are copied with this file, so they cannot be at a path of their own")
    total = TotalPotential([term for _, term in added], str(path), [name for name, _ in added])
    total.files = (*total.files, path)
    return total


def member_paths(path: Path) -> list[Path]:
    """The members' directories of a committee's directory, by number; none if it is no committee."""
    found = [(int(match[1]), p) for p in path.iterdir() if (match := _MEMBER.fullmatch(p.name)) and p.is_dir()]
    return [p for _, p in sorted(found)]


def _from_directory(path: Path, units: tuple[str | None, str | None], precision: str) -> Potential:
    paths = member_paths(path)
    if (path / HEADER).exists():
        if precision != "double":
            raise InputError(f"{path}: precision {precision!r} is not for graph potentials; leave it out")
        return GraphPotential.read(path)
    if (path / "input.nn").exists() or not paths:
        if (path / "input.nn").exists() and has_charges(path / "input.nn"):
            if precision != "double":
                raise InputError(f"{path}: precision {precision!r} is not for potentials with charges; leave it out")
            return FourthGeneration.read(path, *units)
        return HDNNP.read(path, *units, precision=precision)
    for k, member in enumerate(paths, start=1):
        if member.name != f"member-{k}":
            raise InputError(f"{path}: member-{k} is missing, but there is {paths[-1].name}; number them from 1")
    return Committee([load_potential(p, *units, precision=precision) for p in paths], str(path))


def _read(path: Path) -> dict:
    require_regular(path)
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # ValueError: also numbers of thousands of digits
        raise InputError(f"{path}: not a potential: neither a directory nor a valid TOML file ({error})") from None


def _from_table(table: dict, path: Path, units: tuple, precision: str, where: str | None = None) -> Potential:
    """The potential that a table with `kind` describes."""
    source, table = where or str(path), dict(table)
    kind = table.pop("kind", "sum" if "terms" in table else None)
    if kind == "sum":
        added = _terms(table, path, units, precision, None)
        potential: Potential = TotalPotential([term for _, term in added], source, [name for name, _ in added])
    elif kind == "python":
        potential = own_potential(table, path, source)
    elif kind in _KINDS:
        if precision != "double":
            raise InputError(f"{source}: precision {precision!r} is for neural network potentials; leave it at double")
        potential = _KINDS[kind](table, source)
    else:
        known = ", ".join(f'"{name}"' for name in (*_KINDS, "python", "sum"))
        raise InputError(f"{source}: a potential in a TOML file needs a kind, one of {known}; found {kind!r}")
    potential.files = tuple(dict.fromkeys((path, *potential.files)))
    return potential


def _terms(
    table: dict, path: Path, units: tuple, precision: str, elements: tuple[str, ...] | None
) -> list[tuple[str, Potential]]:
    """Names and potentials of [[terms]]; `elements` are those of the neural network that they are added to."""
    table = dict(table)
    if table.pop("kind", "sum") != "sum":
        raise InputError(f'{path}: kind must be "sum" where [[terms]] are given')
    entries = table.pop("terms", None)
    check_keys(table, {"kind"}, str(path), also="terms")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: needs a table [[terms]] for each term, with its kind, or the path of a potential")
    paths = [entry for entry in entries if "path" in entry]
    found: dict[int, Potential] = {}
    for k, entry in enumerate(entries):  # directories first: they say which elements there are
        if "path" in entry:
            found[k] = _at_path(entry, path, units, precision, f"{path}: terms[{k}]")
    if paths and elements is None:
        elements = next(iter(found.values())).elements
    for k, entry in enumerate(entries):
        if "path" not in entry:
            own = dict(entry)
            if own.get("kind") == "zbl" and "elements" not in own and elements is not None:
                own["elements"] = list(elements)
            found[k] = _from_table(own, path, units, "double", f"{path}: terms[{k}]")
    return [(str(entry.get("kind") or Path(entry["path"]).name), found[k]) for k, entry in enumerate(entries)]


def _at_path(entry: dict, path: Path, units: tuple, precision: str, where: str) -> Potential:
    check_keys(entry, {"path", "length_unit", "energy_unit", *_CHARGE_KEYS}, where)
    for name, value in entry.items():
        if name in _CHARGE_KEYS:
            check_number(name, value, where)
            if name == "charge_tolerance" and not 0.0 < value < 1.0:
                raise InputError(f"{where}: charge_tolerance must be between 0 and 1, found {value!r}")
        elif not isinstance(value, str):
            raise InputError(f"{where}: {name} must be text, found {value!r}")
    target = path.parent / Path(entry["path"]).expanduser()
    if target.resolve() in (path.resolve(), path.parent.resolve()):
        raise InputError(f"{where}: path = {entry['path']!r} is this file itself")
    own = entry.get("length_unit", units[0]), entry.get("energy_unit", units[1])
    potential = load_potential(target, *own, precision=precision if target.is_dir() else "double")
    for name in _CHARGE_KEYS & entry.keys():
        for member in potential.members if isinstance(potential, Committee) else (potential,):
            if not isinstance(member, FourthGeneration):
                raise InputError(f"{where}: {name} is for potentials with charges; {entry['path']} is none")
            setattr(member, name, float(entry[name]))
    return potential
