"""Symmetry functions and their derivatives of a data set, computed once and stored on disk.

A fit reads them in every epoch through memory maps, so that its memory does not grow with the data. For each element e
there are, over all structures, its centres (n_e) and its pairs (M_e): a centre i and an atom k on which G_i depends,
itself included and its periodic images taken together,

    values (n_e, f) G_i       pair_gradient (M_e, 3, f) dG_i/dr_k       strain (n_e, 6, f) dG_i/d(strain)

in units of the functions, 1/Å and 1. Pairs stand in order of k: those of atom k are pair_first[k] .. pair_first[k + 1].
Strain has the components xx, yy, zz, yz, xz, xy.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.system import System
from mdnnp.base.errors import FileError
from mdnnp.base.files import foreign_files
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_COLUMNS = ("values", "pair_first", "pair_center", "pair_gradient", "strain")
_READY = "index.json"


class Part(NamedTuple):
    """The centres and pairs of one element in consecutive structures; arrays as above.

    structure_first (S + 1,): centres of structure s are structure_first[s] .. structure_first[s + 1] - 1
    """

    structure_first: np.ndarray
    values: np.ndarray
    pair_first: np.ndarray
    pair_center: np.ndarray
    pair_gradient: np.ndarray
    strain: np.ndarray


class StoredDescriptors:
    """What `store_descriptors` left in a directory.

    elements : symbols; atom_first (S + 1,): atoms of structure s are atom_first[s] .. atom_first[s + 1] - 1
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        index = json.loads((self.directory / _READY).read_text())
        self.key = index["key"]
        self.elements = tuple(index["functions"])
        self.dtype = np.dtype(index["dtype"])
        self.atom_first = np.array(index["atom_first"], dtype=np.int64)
        self._center_first = {e: np.array(v, dtype=np.int64) for e, v in index["center_first"].items()}
        self._columns = {e: self._open(e, n) for e, n in index["functions"].items()}

    def __len__(self) -> int:
        return len(self.atom_first) - 1

    def _open(self, element: str, n_functions: int) -> dict[str, np.ndarray]:
        n = int(self._center_first[element][-1])
        shapes = {
            "values": (np.float64, (n, n_functions)),
            "pair_first": (np.int64, (int(self.atom_first[-1]) + 1,)),
            "pair_center": (np.int64, (-1,)),
            "pair_gradient": (self.dtype, (-1, 3, n_functions)),
            "strain": (self.dtype, (n, 6, n_functions)),
        }
        opened = {}
        for name, (dtype, shape) in shapes.items():
            path = self.directory / f"{element}.{name}"
            flat = np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)
            opened[name] = np.asarray(flat.reshape(shape if flat.size else tuple(max(m, 0) for m in shape)))
        return opened

    def part(self, element: str, begin: int, end: int) -> Part:
        """The centres and pairs of an element in structures begin .. end - 1, numbered from 0."""
        columns, centers = self._columns[element], self._center_first[element]
        c0, c1 = centers[begin], centers[end]
        first = columns["pair_first"][self.atom_first[begin] : self.atom_first[end] + 1]
        p0, p1 = first[0], first[-1]
        return Part(
            centers[begin : end + 1] - c0,
            columns["values"][c0:c1],
            first - p0,
            columns["pair_center"][p0:p1] - c0,
            columns["pair_gradient"][p0:p1],
            columns["strain"][c0:c1],
        )

    def values(self, element: str) -> np.ndarray:
        """(n_e, f) values of all centres of an element."""
        return self._columns[element]["values"]


def descriptor_key(systems: Iterable[System], descriptors: Descriptors, dtype: np.dtype) -> str:
    """SHA-256 of everything that the stored arrays depend on."""
    digest = hashlib.sha256(f"1 {np.dtype(dtype).str} {descriptors.signature()}\n".encode())
    for s in systems:
        for array in (s.positions, s.numbers, s.cell, s.pbc):
            digest.update(np.ascontiguousarray(array).tobytes() + b"|")
    return digest.hexdigest()


def store_descriptors(
    directory: str | Path,
    systems: Sequence[System],
    descriptors: Descriptors,
    dtype: type = np.float32,
    progress=iter,
) -> StoredDescriptors:
    """Open the arrays of `systems`; compute them first, unless the directory holds them already.

    dtype : of derivatives; single precision changes forces by 1e-6 of their size, far below any fit's error
    progress : wraps the structures, to show progress
    Raises FileError if the disk is full, or the directory cannot be written or holds something else.
    """
    check_descriptors_directory(directory)
    directory, key = Path(directory), descriptor_key(systems, descriptors, dtype)
    if (directory / _READY).exists():
        try:
            stored = StoredDescriptors(directory)
            if stored.key == key:
                return stored
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged: made anew
            pass
    try:
        remove_descriptors(directory)
        _write(directory, systems, descriptors, dtype, key, progress)
    except OSError as error:
        raise FileError(f"{directory}: the descriptors cannot be stored: {error.strerror or error}") from None
    return StoredDescriptors(directory)


def check_descriptors_directory(directory: str | Path) -> None:
    """Raise FileError if something is at `directory` that `store_descriptors` has not made."""
    directory = Path(directory)
    if not os.path.lexists(directory):
        return
    foreign = foreign_files(directory, _belongs) if directory.is_dir() else [directory.name]
    if foreign:
        raise FileError(
            f"{directory}: descriptors are stored under this name, but it holds other files: {', '.join(foreign[:5])}"
            f"{' ...' if len(foreign) > 5 else ''}; move it, or give the input another name"
        )


def remove_descriptors(directory: str | Path) -> None:
    """Remove what `store_descriptors` has made, and nothing else."""
    directory = Path(directory)
    if not directory.is_dir():
        return
    for path in list(directory.iterdir()):
        if _belongs(path.name):
            path.unlink()
    with contextlib.suppress(OSError):  # other files are there, or it is a link to a directory
        directory.rmdir()


def _belongs(name: str) -> bool:
    element, _, column = name.partition(".")
    return name in (_READY, _READY + ".new") or (element in chemical_symbols and column in _COLUMNS)


def _write(directory, systems, descriptors, dtype, key, progress):
    directory.mkdir(exist_ok=True)
    elements = descriptors.elements
    files = {(e, name): open(directory / f"{e}.{name}", "wb") for e in elements for name in _COLUMNS}  # noqa: SIM115
    atom_first, centers, pairs = [0], {e: [0] for e in elements}, dict.fromkeys(elements, 0)
    try:
        for e in elements:
            files[e, "pair_first"].write(np.zeros(1, np.int64).tobytes())
        for system in progress(systems):
            edges = descriptors.edges(system)
            for e in elements:
                part = structure_part(system, descriptors, e, edges)
                moved = part._replace(
                    pair_first=part.pair_first[1:] + pairs[e],
                    pair_center=part.pair_center + centers[e][-1],
                    pair_gradient=part.pair_gradient.astype(dtype),
                    strain=part.strain.astype(dtype),
                )
                for name in _COLUMNS:
                    files[e, name].write(np.ascontiguousarray(getattr(moved, name)).tobytes())
                centers[e].append(centers[e][-1] + len(part.values))
                pairs[e] += len(part.pair_center)
            atom_first.append(atom_first[-1] + len(system))
    finally:
        for file in files.values():
            file.close()
    index = {
        "key": key,
        "dtype": np.dtype(dtype).str,
        "functions": {e: len(descriptors.functions[e]) for e in elements},
        "atom_first": atom_first,
        "center_first": centers,
    }
    new = directory / (_READY + ".new")
    new.write_text(json.dumps(index))
    os.replace(new, directory / _READY)


def structure_part(system: System, descriptors: Descriptors, element: str, edges=None) -> Part:
    """The arrays of one structure and element, in double precision."""
    edges = descriptors.edges(system) if edges is None else edges
    jacobian = descriptors.jacobian(system, element, edges)
    n_atoms, n = len(system), len(jacobian.centers)
    place = np.full(n_atoms, -1)
    place[jacobian.centers] = np.arange(n)
    center, target = place[edges.i[jacobian.edge]], edges.j[jacobian.edge].astype(np.int64)
    gradients = jacobian.gradients
    # Every edge adds to its target and takes from its centre; equal (target, centre) are summed.
    everything = np.concatenate([target * n + center, jacobian.centers * n + np.arange(n)])
    unique, inverse = np.unique(everything, return_inverse=True)
    summed = np.zeros((len(unique), *gradients.shape[1:]))
    by_pair = np.argsort(inverse[: len(target)], kind="stable")
    if len(by_pair):
        sorted_pairs = inverse[by_pair]
        starts = np.flatnonzero(np.diff(sorted_pairs, prepend=-1))
        summed[sorted_pairs[starts]] += np.add.reduceat(gradients[by_pair], starts, axis=0)
        begins = np.flatnonzero(np.diff(center, prepend=-1))  # edges come in order of their centre
        own = inverse[len(target) :]
        summed[own[center[begins]]] -= np.add.reduceat(gradients, begins, axis=0)
    strain = np.zeros((n, 6, gradients.shape[2]))
    if len(by_pair):
        r = edges.r[jacobian.edge]
        for v, (a, b) in enumerate(VOIGT):
            strain[center[begins], v] = np.add.reduceat(r[:, a, None] * gradients[:, b], begins, axis=0)
    pair_first = np.searchsorted(unique, np.arange(n_atoms + 1) * n)
    return Part(np.array([0, n]), jacobian.values, pair_first, unique % n if n else unique, summed, strain)


def symbols_of(systems: Iterable[System]) -> list[str]:
    """Elements of the systems, in order of atomic number."""
    return [chemical_symbols[z] for z in sorted({int(z) for s in systems for z in np.unique(s.numbers)})]
