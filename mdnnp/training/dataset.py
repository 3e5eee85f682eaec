"""Labelled structures: reading, duplicates, splits, energy offsets, weights, hash.

Energies are eV, lengths Å, forces eV/Å, stress eV/Å^3 with ASE's sign (positive: tension).
"""

import hashlib
import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from mdnnp.atoms.labels import LABELS, as_options, as_toml, keys_for
from mdnnp.atoms.read import stream_structures
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, complete_cell, heights
from mdnnp.base.errors import InputError, MdnnpWarning

SAME_A = 1e-3  # geometries are the same if no coordinate and no cell vector differs by more
ISOLATED_A = 7.0  # a single atom is a free one if its images are at least so far away


@dataclass(frozen=True, eq=False)
class LabelledStructure:
    """A configuration of N atoms with its labels. None: there is no such label.

    energy_eV : eV; forces : (N, 3) eV/Å; stress : (3, 3) eV/Å^3, positive: tension
    config_type : kind of configuration, "" if it has none
    name : "file.xyz:17", for messages
    subset : "train" or "test", as the data set divides itself (`begin set=test`), else None
    charges : (N,) e; their sum is that of the system, which charges of a fit add up to
    """

    system: System
    energy_eV: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    config_type: str = ""
    name: str = "structure"
    subset: str | None = None
    charges: np.ndarray | None = None

    @property
    def file(self) -> str:
        """The file that it is from."""
        return self.name.rpartition(":")[0] or self.name


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def stream_labelled(
    paths: Iterable[str | Path],
    length_unit: str | None = None,
    energy_unit: str | None = None,
    exclude: Mapping[Path, Collection[int]] | None = None,
    keys: Mapping[str, str] | None = None,
) -> Iterator[LabelledStructure]:
    """Labelled structures of files of any format that ASE reads, or of `input.data`, one by one.

    length_unit, energy_unit : units of an `input.data`, as for `read_structures`
    exclude : numbers of structures to leave out, by file (see `excluded_numbers`); they may hold anything
    keys : names that the files use for labels, as {"forces": "dft_force"}
    Raises FileError and InputError as `read_structures`. Warns (MdnnpWarning) once a file of entries that look
    like labels but have other names.
    """
    for path in paths:
        warned: set[str] = set()
        for structure in stream_structures(path, length_unit, energy_unit, (exclude or {}).get(Path(path), ()), keys):
            new = [name for name in structure.unused if name not in warned]
            if new:
                warned.update(new)
                names = keys_for(new)
                text = (
                    f"{structure.label}: {', '.join(map(repr, new))} not used as a label; labels are called {LABELS}. "
                    f"If they are labels, add to [data] of train.toml: {as_toml(names)} (commands: {as_options(names)})"
                )
                warnings.warn(text, MdnnpWarning, stacklevel=2)
            yield as_labelled(structure)


def read_labelled(
    paths: Iterable[str | Path] | str | Path,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    exclude: Mapping[Path, Collection[int]] | None = None,
    keys: Mapping[str, str] | None = None,
) -> list[LabelledStructure]:
    """As `stream_labelled`, all of them as a list; `paths` may be a single one."""
    paths = [paths] if isinstance(paths, str | Path) else paths
    return list(stream_labelled(paths, length_unit, energy_unit, exclude, keys))


def excluded_numbers(paths: Iterable[str | Path], names: Iterable[str]) -> dict[Path, set[int]]:
    """Numbers of the structures called `names`, "FILE:NUMBER", by file; the beginning of a path may be missing.

    Raises InputError for a name that is none, or is of no file or several of `paths`.
    """
    files = sorted({Path(path) for path in paths})
    found: dict[Path, set[int]] = {}
    for name in names:
        file, _, number = name.rpartition(":")
        if not (number.isascii() and number.isdecimal() and file and len(number) < 16):
            raise InputError(f'data.exclude: {name} is not a structure: expected "FILE:NUMBER", counted from 0')
        own = [path for path in files if path.parts[-len(Path(file).parts) :] == Path(file).parts]
        if len(own) != 1:
            known = ", ".join(map(str, own or files))
            why = (
                f"several files have this name: {known}; give the directory too"
                if own
                else f"no structure is from that file; the files are {known}"
            )
            raise InputError(f"data.exclude: {name} cannot be left out: {why}")
        found.setdefault(own[0], set()).add(int(number))
    return found


def as_labelled(structure: Structure) -> LabelledStructure:
    """The labels that a structure carries."""
    s = structure
    return LabelledStructure(s.system, s.energy, s.forces, s.stress, s.config_type, s.label, s.subset, s.charges)


# ---------------------------------------------------------------------------------------------------------------------
# Duplicates


def duplicate_groups(structures: Sequence[LabelledStructure]) -> np.ndarray:
    """(n,) index of the first structure with the same geometry; its own index if there is none before.

    The same: as much charge, and atoms of the same elements in the same order, in cells of the same shape, at the same
    fractional coordinates (whole cell vectors apart), each within SAME_A. So a rotated copy of a crystal is found, one
    with its atoms in another order is not.
    """
    from scipy.spatial import cKDTree

    first = np.arange(len(structures))
    exact: dict[bytes, int] = {}
    alike: dict[bytes, list[int]] = {}
    for k, s in enumerate(structures):
        kind = s.system.numbers.tobytes() + s.system.pbc.tobytes() + np.float64(s.system.charge).tobytes()
        first[k] = exact.setdefault(kind + s.system.positions.tobytes() + s.system.cell.tobytes(), k)
        if first[k] == k:
            alike.setdefault(kind, []).append(k)
    for members in alike.values():
        if len(members) == 1:
            continue
        signatures = np.array([_signature(structures[k].system) for k in members])
        reach = SAME_A * math.sqrt(signatures.shape[1])
        for a, b in sorted(cKDTree(signatures).query_pairs(reach)):
            i, j = members[a], members[b]
            if first[j] == j and _same_geometry(structures[i].system, structures[j].system):
                first[j] = first[i]
    return first[first]  # exact copies of one that was found to be like another


def _signature(system: System) -> np.ndarray:
    """Numbers in Å that change by no more than the coordinates do; those of the same geometry are the same."""
    cell = complete_cell(system.cell, system.pbc)
    fractional = system.positions @ np.linalg.inv(cell)
    n = len(system)
    weights = (np.arange(1, n + 1) * 0.6180339887498949 % 1.0 - 0.5) / n
    phase, height = 2 * np.pi * fractional, heights(cell) / (2 * np.pi)
    periodic = np.concatenate([weights @ np.cos(phase) * height, weights @ np.sin(phase) * height])
    is_open = np.tile(~system.pbc, 2)
    periodic[is_open] = np.tile(weights @ (fractional - fractional.mean(axis=0)), 2)[is_open]
    return np.concatenate([np.linalg.norm(cell, axis=1), np.linalg.norm(cell + np.roll(cell, 1, 0), axis=1), periodic])


def _same_geometry(a: System, b: System) -> bool:
    cells = [complete_cell(s.cell, s.pbc) for s in (a, b)]
    fractional = [s.positions @ np.linalg.inv(cell) for s, cell in zip((a, b), cells, strict=True)]
    moved = fractional[1] - fractional[0]
    moved -= np.where(a.pbc, np.round(moved), moved.mean(axis=0))
    if np.max(np.abs(moved) * heights(cells[0])) > SAME_A:
        return False
    gram = [cell @ cell.T for cell in cells]
    return bool(np.all(np.abs(gram[1] - gram[0]) <= 2 * SAME_A * np.sqrt(np.max(np.diag(gram[0])))))


# ---------------------------------------------------------------------------------------------------------------------
# Splits


class Split(NamedTuple):
    """Indices of the structures for training, validation and test, each in increasing order."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(
    structures: Sequence[LabelledStructure], validation_fraction: float, test_fraction: float = 0.0, seed: int = 1
) -> Split:
    """Divide structures at random, each kind of configuration in the same proportions.

    Reproducible on every platform and whatever the order of the structures: they are drawn in order of the
    SHA-256 of seed and content. Structures with the same geometry (`duplicate_groups`) stay together. Every kind
    keeps at least one structure for training. Raises InputError for fractions that leave nothing to train on.
    """
    for name, value in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 <= value < 1:
            raise InputError(f"{name} = {value}: must be at least 0 and below 1")
    if validation_fraction + test_fraction >= 1:
        raise InputError(
            f"validation_fraction + test_fraction = {validation_fraction + test_fraction:g} leaves no training "
            "structures"
        )
    groups: dict[int, list[int]] = {}
    for k, first in enumerate(duplicate_groups(structures)):
        groups.setdefault(int(first), []).append(k)
    # Kind and key of a group must not depend on which of its members came first.
    drawn: dict[str, list[tuple[bytes, list[int]]]] = {}
    for members in groups.values():
        key = min(_digest(structures[k], f"split {seed}") for k in members)
        drawn.setdefault(min(structures[k].config_type for k in members), []).append((key, members))
    parts: tuple[list[int], ...] = ([], [], [])
    kinds = sorted(drawn)
    sizes = [sum(len(members) for _, members in drawn[kind]) for kind in kinds]
    quotas = [_quotas(sizes, fraction) for fraction in (validation_fraction, test_fraction)]
    for kind, n_validation, n_test in zip(kinds, *quotas, strict=True):
        in_order = [members for _, members in sorted(drawn[kind])]
        wanted = [len(structures), n_validation, n_test]
        for part in (2, 1, 0):
            while in_order and wanted[part] > 0 and (part == 0 or len(in_order) > 1):
                members = in_order.pop(0)
                parts[part].extend(members)
                wanted[part] -= len(members)
    return Split(*(np.array(sorted(part), dtype=np.int64) for part in parts))


def _quotas(sizes: list[int], fraction: float) -> list[int]:
    """Whole numbers nearest to fraction * sizes that sum to the nearest of the total (largest remainders)."""
    shares = [fraction * size for size in sizes]
    quotas = [math.floor(share + 1e-9) for share in shares]
    missing = round(fraction * sum(sizes)) - sum(quotas)
    by_remainder = sorted(range(len(sizes)), key=lambda k: (round(quotas[k] - shares[k], 9), k))
    for k in by_remainder[: max(missing, 0)]:
        quotas[k] += 1
    return quotas


# ---------------------------------------------------------------------------------------------------------------------
# Energy offsets


def fit_offsets(structures: Iterable[LabelledStructure], given: Mapping[str, float] | None = None) -> dict[str, float]:
    """Energies of the elements, eV, by symbol in order of atomic number, which sum up to most of the energies.

    Least squares of the energy per atom on the composition. Where the compositions leave a choice (fixed
    stoichiometry), the offsets nearest to the energies of free atoms are taken if the set has one of each element
    (a single atom with no neighbour within ISOLATED_A), else the smallest ones. Free atoms are not fitted.
    given : offsets of some elements, which are kept
    An element of which no energy says anything gets 0. Raises InputError for given offsets that are not finite.
    """
    given = dict(given or {})
    for symbol, value in given.items():
        if atomic_numbers.get(symbol, 0) == 0 or not math.isfinite(value):
            raise InputError(f"offset of {symbol!r}: {value!r}; expected a finite energy in eV of a chemical element")
    numbers: set[int] = set()
    free: dict[int, float] = {}
    rows, energies = [], []
    for s in structures:
        numbers.update(s.system.numbers.tolist())
        if s.energy_eV is None:
            continue
        if _is_free_atom(s.system):
            free[int(s.system.numbers[0])] = s.energy_eV
        else:
            rows.append(np.bincount(s.system.numbers, minlength=len(chemical_symbols)) / len(s.system))
            energies.append(s.energy_eV / len(s.system))
    elements = sorted(numbers)
    known = np.array([given.get(chemical_symbols[z], math.nan) for z in elements])
    start = np.array([free.get(z, 0.0) for z in elements]) * (set(free) >= numbers)
    offsets = np.where(np.isnan(known), start, known)
    open_ones = np.flatnonzero(np.isnan(known))
    if rows and len(open_ones):
        table = np.array(rows)[:, elements]
        rest = np.array(energies) - table @ offsets
        offsets[open_ones] += np.linalg.lstsq(table[:, open_ones], rest, rcond=1e-6)[0]
    return {chemical_symbols[z]: float(e) for z, e in zip(elements, offsets, strict=True)}


def _is_free_atom(system: System) -> bool:
    return len(system) == 1 and bool(np.all(heights(complete_cell(system.cell, system.pbc))[system.pbc] > ISOLATED_A))


# ---------------------------------------------------------------------------------------------------------------------
# Weights, hash


class Weights(NamedTuple):
    """(n,) weights of energies, forces and stresses in the loss, for each structure."""

    energy: np.ndarray
    force: np.ndarray
    stress: np.ndarray


def resolve_weights(
    structures: Sequence[LabelledStructure], by_type: Mapping[str, Mapping[str, float]] | None = None
) -> Weights:
    """Weights of the structures from `{config_type: {"energy": w, "force": w, "stress": w}}`; 1 where not given.

    Raises InputError for a type that no structure has, an unknown quantity, and weights that are negative or not
    finite.
    """
    kinds = np.array([s.config_type for s in structures], dtype=object)
    weights = Weights(*(np.ones(len(structures)) for _ in Weights._fields))
    for kind, values in (by_type or {}).items():
        chosen = kinds == kind
        if not chosen.any():
            known = ", ".join(repr(name) for name in sorted(set(kinds))) or "none"
            raise InputError(f"weights of {kind!r}: no configuration is of this type; the types are {known}")
        for quantity, weight in values.items():
            if quantity not in Weights._fields:
                raise InputError(f"weights of {kind!r}: unknown quantity {quantity!r}; known: energy, force, stress")
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise InputError(f"weights of {kind!r}: {quantity} = {weight!r}; expected a number from 0")
            getattr(weights, quantity)[chosen] = weight
    return weights


def data_hash(structures: Iterable[LabelledStructure]) -> str:
    """SHA-256 (hexadecimal) of all atoms, cells, labels and types, whatever the order and names of the structures."""
    digest = hashlib.sha256()
    for one in sorted(_digest(s, "data") for s in structures):
        digest.update(one)
    return digest.hexdigest()


def _digest(s: LabelledStructure, purpose: str) -> bytes:
    """SHA-256 of a purpose and the content of a structure, in one byte order."""
    digest = hashlib.sha256(f"{purpose}\n{s.config_type}\n{len(s.system)}\n".encode())
    digest.update(s.system.numbers.astype("<i8").tobytes() + s.system.pbc.astype("u1").tobytes())
    for values in (s.system.positions, s.system.cell, s.energy_eV, s.forces, s.stress):
        digest.update(b"none" if values is None else np.asarray(values, "<f8").tobytes() + b"|")
    if s.system.charge or s.charges is not None:
        charges = np.zeros(0) if s.charges is None else s.charges
        digest.update(np.append(charges, s.system.charge).astype("<f8").tobytes())
    return digest.digest()
