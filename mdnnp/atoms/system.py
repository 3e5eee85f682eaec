"""A configuration of atoms and the geometry of its cell."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from mdnnp.base.errors import InputError

OVERLAP_A = 1e-3  # atoms nearer than this are at the same position: refused


class _Fields(NamedTuple):
    positions: np.ndarray
    numbers: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    charge: float = 0.0


class System(_Fields):
    """Atoms in a cell, an immutable record.

    positions : (N, 3) float64, Å; may lie anywhere, also outside the cell
    numbers : (N,) int64, atomic numbers
    cell : (3, 3) float64, Å; rows a, b, c, right-handed. Rows of non-periodic directions may be zero.
    pbc : (3,) bool, periodic along a, b, c
    charge : e, of all atoms together; potentials without charges do not look at it
    """

    __slots__ = ()

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Self:  # type: ignore[override]  # see below
        # The inherited one, which `_replace` uses, takes len() for the number of fields.
        return cls(*iterable)


def make_system(
    positions: ArrayLike,
    numbers: ArrayLike,
    cell: ArrayLike | None = None,
    pbc: ArrayLike = False,
    charge: float = 0.0,
    *,
    where: str = "structure",
) -> System:
    """A validated System from anything array-like; scalars and missing cells are filled in.

    Raises InputError (naming `where` and the atom) for what `validate` refuses.
    """
    positions = np.array(positions, dtype=np.float64, ndmin=2)
    numbers = np.array(numbers, dtype=np.int64, ndmin=1)
    cell = np.zeros((3, 3)) if cell is None else np.array(cell, dtype=np.float64)
    if cell.shape == (3,):
        cell = np.diag(cell)
    pbc = np.broadcast_to(np.asarray(pbc, dtype=bool), (3,)).copy()
    system = System(positions, numbers, cell, pbc, float(charge))
    validate(system, where)
    return system


def validate(system: System, where: str = "structure") -> None:
    """Refuse a system that kernels cannot use: wrong shapes, NaN or infinity, degenerate or left-handed cells.

    Atoms at the same position are found by the neighbour search, not here.
    Raises InputError naming `where`, the atom and the value.
    """
    positions, numbers, cell, pbc, charge = system
    n = len(numbers)
    if n == 0:
        raise InputError(f"{where}: no atoms")
    if positions.shape != (n, 3):
        raise InputError(f"{where}: {n} atomic numbers but positions of shape {positions.shape}")
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(bad):
        raise InputError(f"{where}: atom {bad[0]} has position {positions[bad[0]]}: not a finite number")
    far = np.flatnonzero((np.abs(positions) > 1e8).any(axis=1))
    if len(far):
        raise InputError(
            f"{where}: atom {far[0]} has position {positions[far[0]]} Å; beyond 1e8 Å the precision is too low"
        )
    if cell.shape != (3, 3) or not np.isfinite(cell).all():
        raise InputError(f"{where}: the cell must be three finite vectors, found {cell.tolist()}")
    if not np.isfinite(charge):
        raise InputError(f"{where}: the total charge must be a finite number, found {charge}")
    lengths = np.linalg.norm(cell, axis=1)
    for k in np.flatnonzero(pbc):
        if lengths[k] == 0.0:
            raise InputError(
                f"{where}: periodic along {'abc'[k]}, but that cell vector is zero; give a cell or set pbc"
            )
    if pbc.any():
        # All rows in use (periodic ones, and further rows that are given) must span a right-handed volume.
        used = lengths > 0
        full = complete_cell(cell, pbc)
        norms = np.linalg.norm(full, axis=1)
        det = np.linalg.det(full / norms[:, None]) if norms.all() else 0.0
        if abs(det) < 1e-6:
            raise InputError(f"{where}: the cell has no volume: {cell.tolist()}")
        if used.all() and det < 0:
            raise InputError(
                f"{where}: the cell is left-handed (negative volume {np.linalg.det(cell):.6g} Å^3); "
                "exchange two cell vectors, or reverse one"
            )


def complete_cell(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The cell with rows of non-periodic directions replaced by unit vectors orthogonal to all periodic rows.

    Returns (3, 3) in Å, right-handed if the given rows are. Periodic rows are kept to the bit.
    """
    full = np.array(cell, dtype=np.float64)
    periodic = np.flatnonzero(pbc)
    if len(periodic) == 0:
        return np.eye(3)
    if len(periodic) == 1:
        k = periodic[0]
        axis = full[k] / np.linalg.norm(full[k])
        helper = np.eye(3)[np.argmin(np.abs(axis))]
        u = np.cross(axis, helper)
        u /= np.linalg.norm(u)
        full[(k + 1) % 3], full[(k + 2) % 3] = u, np.cross(axis, u)
    elif len(periodic) == 2:
        k = int(np.flatnonzero(~np.asarray(pbc))[0])
        normal = np.cross(full[(k + 1) % 3], full[(k + 2) % 3])
        norm = np.linalg.norm(normal)
        full[k] = normal / norm if norm > 0 else 0.0
    return full


def volume(cell: np.ndarray) -> float:
    """Volume of the cell, Å^3 (0 if a row is zero)."""
    return float(abs(np.linalg.det(cell)))


def heights(cell: np.ndarray) -> np.ndarray:
    """(3,) distances between opposite faces of the cell, Å."""
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def copied(system: System) -> System:
    """The same system with arrays of its own."""
    positions, numbers, cell, pbc, charge = system
    return System(positions.copy(), numbers.copy(), cell.copy(), pbc.copy(), charge)


def wrap_counts(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """(N, 3) int64 n such that ``positions - n @ cell`` lies in the cell (0 along open directions)."""
    fractional = positions @ np.linalg.inv(complete_cell(cell, pbc))
    return np.where(pbc, np.floor(fractional), 0.0).astype(np.int64)


def wrapped(system: System) -> System:
    """The same system with every atom inside the cell along the periodic directions."""
    n = wrap_counts(system.positions, system.cell, system.pbc)
    return system._replace(positions=system.positions - n @ system.cell)


def repeats_for(cell: np.ndarray, width_A: float) -> tuple[int, int, int]:
    """Repeats of a cell (3, 3) Å along a, b, c so that opposite faces are at least `width_A` apart."""
    a, b, c = (int(n) for n in np.ceil(width_A / heights(cell) - 1e-9))
    return a, b, c


def replicate(system: System, repeats: tuple[int, int, int]) -> System:
    """`repeats` copies of the system along a, b, c, with as many times its charge.

    Order: the whole original block, block after block (c fastest). Raises InputError for repeats below 1, or
    above 1 along an open direction.
    """
    repeats = (int(repeats[0]), int(repeats[1]), int(repeats[2]))
    for k in range(3):
        if repeats[k] < 1:
            raise InputError(f"replicate = {list(repeats)}: every repeat must be at least 1")
        if repeats[k] > 1 and not system.pbc[k]:
            raise InputError(f"replicate = {list(repeats)}: direction {'abc'[k]} is not periodic")
    blocks = np.ascontiguousarray(np.indices(repeats).reshape(3, -1).T)
    shifts = blocks @ system.cell
    positions = (shifts[:, None, :] + system.positions[None, :, :]).reshape(-1, 3)
    numbers = np.tile(system.numbers, len(blocks))
    cell = system.cell * np.array(repeats)[:, None]
    return System(positions, numbers, cell, system.pbc, len(blocks) * system.charge)


def lower_triangular(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotate a right-handed cell to lower-triangular form (a along x, b in the xy plane).

    Returns (new_cell, rotation) with ``new_cell = cell @ rotation.T`` and ``new = old @ rotation.T`` for row
    vectors (positions, velocities). A cell that has this form already comes back to the bit, with the identity.
    """
    if np.array_equal(cell, np.tril(cell)) and np.all(np.diag(cell) >= 0):
        return cell.copy(), np.eye(3)
    a, b, _ = cell
    ex = a / np.linalg.norm(a)
    ez = np.cross(a, b)
    ez /= np.linalg.norm(ez)
    ey = np.cross(ez, ex)
    rotation = np.array([ex, ey, ez])
    new = np.tril(cell @ rotation.T)
    return new, rotation


def transformed(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """vectors (N, 3) @ matrix (3, 3), without BLAS, whose last bits may depend on the number of its threads."""
    return vectors[:, 0, None] * matrix[0] + vectors[:, 1, None] * matrix[1] + vectors[:, 2, None] * matrix[2]


def enclosing_box(system: System) -> np.ndarray:
    """The cell with an edge also along open directions, as trajectory formats need it, (3, 3) Å.

    An open direction keeps the cell vector that it has, if that makes a right-handed box with the others.
    Otherwise its vector is at right angles to the periodic ones, and longer than the atoms extend by 10 Å.
    """
    pbc = system.pbc
    lengths = np.linalg.norm(system.cell, axis=1)
    if pbc.all() or (np.all(lengths > 0) and np.linalg.det(system.cell / lengths[:, None]) > 1e-6):
        return system.cell.copy()
    box = complete_cell(system.cell, pbc)
    for k in np.flatnonzero(~pbc):
        box[k] *= np.ptp(system.positions @ box[k]) + 10.0
    return box
