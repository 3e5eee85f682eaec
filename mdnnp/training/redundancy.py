"""The resolution of a set of symmetry functions: its rank, dependent functions, and similar environments.

Values count in units of their standard deviation over the environments of their element, as networks see them. A
high-dimensional network with functions of at most three bodies cannot distinguish all environments: S. N. Pozdnyakov
et al., Phys. Rev. Lett. 125, 166001 (2020).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from mdnnp.potentials.hdnnp.files.writer import function_line
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.functions.descriptors import DEFAULT_CUTOFF_TYPE, Descriptors
from mdnnp.potentials.hdnnp.functions.generate import FunctionSets
from mdnnp.training.dataset import LabelledStructure

RANK_TOLERANCE = 1e-6  # of the largest singular value: below, double precision leaves few digits
DEPENDENT = 1e-2  # functions of which the others span all but this share are named
PAIRS = 10  # pairs of environments and of structures that are listed
_LEAST_DISTANCE = 1e-6  # nearer environments are the same for any network


@dataclass(frozen=True)
class Spectrum:
    """Singular values of a matrix (rows, functions), the largest taken as 1, in decreasing order.

    rank : how many are above RANK_TOLERANCE; condition : the largest over the smallest (infinite if that is 0)
    effective_rank : exp of the entropy of the squares as shares of their sum (O. Roy, M. Vetterli, Proc. EUSIPCO 2007)
    """

    singular_values: tuple[float, ...]
    rank: int
    condition: float
    effective_rank: float


class Dependent(NamedTuple):
    """A function that others nearly span: what they leave of it, and those with the largest coefficients.

    line : as in `input.nn`; unexplained : standard deviation of the rest, in units of its own
    spanned_by : (line, coefficient), functions in units of their standard deviations
    """

    line: str
    unexplained: float
    spanned_by: tuple[tuple[str, float], ...]


class AlikeEnvironments(NamedTuple):
    """Two atoms of one element whose functions have nearly equal values though their surroundings differ.

    first, second : names of structures; atom1, atom2 : from 0
    distance : root mean square difference of the functions, each in units of its standard deviation
    pool_distance : likewise of the larger set's; force_difference : of the lengths of the forces, eV/Å (NaN: no label)
    """

    element: str
    first: str
    atom1: int
    second: str
    atom2: int
    distance: float
    pool_distance: float
    force_difference: float


class AlikeStructures(NamedTuple):
    """Two structures whose functions have nearly equal means and spreads, though their energies differ.

    distance : root mean square difference, in standard deviations; energy_difference_eV : eV/atom
    """

    first: str
    second: str
    distance: float
    energy_difference_eV: float


@dataclass(frozen=True)
class ElementRedundancy:
    """Functions of one element over the environments of it.

    values : spectrum of G, without means; derivatives : of dG/dr, all centres' rows one below the other
    dependent : functions that the others nearly span (left out one by one), least left first
    """

    element: str
    functions: int
    environments: int
    values: Spectrum
    derivatives: Spectrum
    dependent: tuple[Dependent, ...]


@dataclass(frozen=True)
class Redundancy:
    """Report on a set: `elements` by symbol; pairs that it hardly distinguishes, most suspicious first.

    by_pool : environments that the larger set distinguishes; by_force : that differ by their forces;
    structures : that differ by their energies
    """

    elements: dict[str, ElementRedundancy]
    by_pool: tuple[AlikeEnvironments, ...]
    by_force: tuple[AlikeEnvironments, ...]
    structures: tuple[AlikeStructures, ...]

    def as_dict(self) -> dict:
        """The report in terms of JSON."""
        return asdict(self) | {
            name: [pair._asdict() for pair in getattr(self, name)] for name in ("by_pool", "by_force", "structures")
        }


def redundancy(
    structures: Sequence[LabelledStructure],
    functions: FunctionSets,
    larger: FunctionSets | None = None,
    *,
    cutoff_type: int = DEFAULT_CUTOFF_TYPE,
    cutoff_alpha: float = 0.0,
) -> Redundancy:
    """Report on `functions` (by centre) over `structures`; `larger` (default: none) is a set that sees more.

    Keeps all values in memory: give a sample (`selection.sample`) of large data sets.
    """
    descriptors = Descriptors(functions, cutoff_type, cutoff_alpha)
    tables = _Environments(structures, descriptors)
    wide = _Environments(structures, Descriptors(larger, cutoff_type, cutoff_alpha)) if larger else None
    elements, pairs = {}, []
    for symbol in descriptors.elements:
        g = tables.values[symbol]
        if not len(g):
            continue
        elements[symbol] = _element(symbol, descriptors, structures, g)
        pairs += _alike(symbol, tables, wide, structures)
    by_pool = [p for p in pairs if np.isfinite(p.pool_distance)]
    by_pool.sort(key=lambda p: -p.pool_distance / max(p.distance, _LEAST_DISTANCE))
    by_force = [p for p in pairs if np.isfinite(p.force_difference)]
    by_force.sort(key=lambda p: -p.force_difference / max(p.distance, _LEAST_DISTANCE))
    alike = _alike_structures(tables, structures)
    return Redundancy(elements, tuple(by_pool[:PAIRS]), tuple(by_force[:PAIRS]), tuple(alike[:PAIRS]))


class _Environments:
    """Values of the functions at all atoms, by element, and which structure and atom each row is of."""

    def __init__(self, structures, descriptors: Descriptors):
        rows: dict[str, list[np.ndarray]] = {symbol: [] for symbol in descriptors.elements}
        self.of: dict[str, list[tuple[int, int]]] = {symbol: [] for symbol in descriptors.elements}
        for k, s in enumerate(structures):
            values = descriptors.values(s.system)
            for symbol, number in zip(descriptors.elements, descriptors.numbers, strict=True):
                rows[symbol].append(values[symbol])
                self.of[symbol] += [(k, int(i)) for i in np.flatnonzero(s.system.numbers == number)]
        self.values = {symbol: np.concatenate(own) for symbol, own in rows.items()}

    def scaled(self, symbol: str) -> np.ndarray:
        """Without mean, in units of the standard deviation; functions without spread are 0."""
        g = self.values[symbol]
        g = g - g.mean(axis=0)
        spread = g.std(axis=0)
        return g / np.where(spread > 0, spread, 1.0)


# ---------------------------------------------------------------------------------------------------------------------
# Rank


def _element(symbol: str, descriptors: Descriptors, structures, values: np.ndarray) -> ElementRedundancy:
    functions = descriptors.functions[symbol]
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = centred / np.where(spread > 0, spread, 1.0)
    return ElementRedundancy(
        symbol,
        len(functions),
        len(values),
        _spectrum(np.linalg.svd(scaled, compute_uv=False), len(functions)),
        _spectrum(_derivative_singular_values(symbol, descriptors, structures, spread), len(functions)),
        _dependent(scaled, functions),
    )


def _spectrum(singular_values: np.ndarray, n: int) -> Spectrum:
    s = np.zeros(n)  # with fewer environments than functions, the others are zero
    s[: len(singular_values)] = singular_values / max(float(singular_values[0]), 1e-300)
    share = s**2 / max(float(np.sum(s**2)), 1e-300)
    entropy = -float(np.sum(share[share > 0] * np.log(share[share > 0])))
    condition = 1.0 / float(s[-1]) if s[-1] > 0 else float("inf")
    return Spectrum(tuple(map(float, s)), int(np.sum(s > RANK_TOLERANCE)), condition, float(np.exp(entropy)))


def _derivative_singular_values(symbol, descriptors, structures, spread) -> np.ndarray:
    """Singular values of dG/dr of all centres, structure by structure: only the triangular factor is kept."""
    triangle = np.zeros((0, len(spread)))
    for s in structures:
        edges = descriptors.edges(s.system)
        jacobian = descriptors.jacobian(s.system, symbol, edges)
        rows = jacobian.gradients / np.where(spread > 0, spread, np.inf)
        first = np.searchsorted(edges.i[jacobian.edge], jacobian.centers)
        moved = np.add.reduceat(rows, first[first < len(rows)], axis=0) if len(rows) else rows  # the centre itself
        stacked = np.concatenate([triangle, rows.reshape(-1, len(spread)), moved.reshape(-1, len(spread))])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
    return np.linalg.svd(triangle, compute_uv=False)


def _dependent(scaled: np.ndarray, functions: Sequence[SymmetryFunction]) -> tuple[Dependent, ...]:
    """Functions that the others span but for DEPENDENT: those that a pivoted QR factorisation leaves to the end."""
    from scipy.linalg import qr, solve_triangular

    triangle, order = qr(scaled, mode="r", pivoting=True, check_finite=False)
    n = min(triangle.shape)
    left = np.abs(np.diag(triangle))[:n] / np.sqrt(len(scaled))
    kept = int(np.sum(left > DEPENDENT))
    found = []
    for k in range(kept, len(order)):
        size = np.linalg.norm(triangle[: k + 1, k]) / np.sqrt(len(scaled))
        if size < 0.5:  # does not vary at all: 0 rather than 1
            found.append(Dependent(function_line(functions[order[k]]), 0.0, ()))
            continue
        coefficients = solve_triangular(triangle[:kept, :kept], triangle[:kept, k])
        rest = np.linalg.norm(triangle[kept : k + 1, k]) / np.sqrt(len(scaled))
        largest = np.argsort(-np.abs(coefficients), kind="stable")[:3]
        partners = tuple((function_line(functions[order[m]]), float(coefficients[m])) for m in largest)
        found.append(Dependent(function_line(functions[order[k]]), float(rest), partners))
    return tuple(sorted(found, key=lambda d: d.unexplained))


# ---------------------------------------------------------------------------------------------------------------------
# Environments and structures that look alike


def _alike(symbol: str, tables: _Environments, wide: _Environments | None, structures) -> list[AlikeEnvironments]:
    """Each environment with that of another structure (or of its own, if there is one only) that is most like it."""
    from scipy.spatial import cKDTree

    g, of = tables.scaled(symbol), tables.of[symbol]
    if len(g) < 2:
        return []
    n = g.shape[1]
    larger = wide.scaled(symbol) if wide else None
    owner = np.array([k for k, _ in of])
    _, neighbor = cKDTree(g).query(g, k=min(4, len(g)))
    found: dict[tuple[int, int], None] = {}
    for a, row in enumerate(neighbor):
        others = [b for b in row if b != a]
        b = next((b for b in others if owner[b] != owner[a]), others[0])
        found[min(a, int(b)), max(a, int(b))] = None
    pairs = []
    for a, b in found:
        (k, i), (m, j) = of[a], of[b]
        distance = float(np.linalg.norm(g[a] - g[b]) / np.sqrt(n))
        apart = float("nan") if wide is None else float(np.sqrt(np.mean((larger[a] - larger[b]) ** 2)))
        f1, f2 = structures[k].forces, structures[m].forces
        force = float("nan")
        if f1 is not None and f2 is not None:
            force = abs(float(np.linalg.norm(f1[i]) - np.linalg.norm(f2[j])))
        pairs.append(AlikeEnvironments(symbol, structures[k].name, i, structures[m].name, j, distance, apart, force))
    return pairs


def _alike_structures(tables: _Environments, structures) -> list[AlikeStructures]:
    """Structures of the same composition, each with that nearest in means and spreads of the functions."""
    from scipy.spatial import cKDTree

    signature: list[list[np.ndarray]] = [[] for _ in structures]
    composition: list[list[float]] = [[] for _ in structures]
    for symbol, of in tables.of.items():
        g, owner = tables.scaled(symbol), np.array([k for k, _ in of], dtype=int)
        for k, s in enumerate(structures):
            own = g[owner == k]
            composition[k].append(len(own) / len(s.system))
            width = g.shape[1]
            signature[k].append(np.concatenate([own.mean(0), own.std(0)]) if len(own) else np.zeros(2 * width))
    groups: dict[tuple, list[int]] = {}
    for k, s in enumerate(structures):
        if s.energy_eV is not None:
            groups.setdefault(tuple(np.round(composition[k], 6)), []).append(k)
    found = set()
    points = np.array([np.concatenate(parts) for parts in signature])
    for members in groups.values():
        if len(members) > 1:
            _, near = cKDTree(points[members]).query(points[members], k=2)
            for a, row in enumerate(near):
                b = next(int(m) for m in row if m != a)
                found.add((members[min(a, b)], members[max(a, b)]))
    pairs = []
    for a, b in sorted(found):
        per_atom = [structures[k].energy_eV / len(structures[k].system) for k in (a, b)]
        distance = float(np.linalg.norm(points[a] - points[b]) / np.sqrt(points.shape[1]))
        pairs.append(AlikeStructures(structures[a].name, structures[b].name, distance, abs(per_atom[0] - per_atom[1])))
    return sorted(pairs, key=lambda p: -p.energy_difference_eV / max(p.distance, _LEAST_DISTANCE))


# ---------------------------------------------------------------------------------------------------------------------
# Text


def text(report: Redundancy) -> str:
    """The report in words."""
    lines = ["Rank (singular values above 1e-6 of the largest), effective rank, condition number"]
    lines.append(f"{'':4}{'functions':>10}{'environments':>14}   {'G':^26}   {'dG/dr':^26}")
    for symbol, e in report.elements.items():
        both = "   ".join(f"{s.rank:5d} {s.effective_rank:8.1f} {s.condition:11.1e}" for s in (e.values, e.derivatives))
        lines.append(f"{symbol:4}{e.functions:10d}{e.environments:14d}   {both}")
    for symbol, e in report.elements.items():
        if e.dependent:
            lines += [
                "",
                f"Functions of {symbol} that depend linearly on the others within {DEPENDENT:.0%}: {len(e.dependent)}",
            ]
            lines += [f"  {d.line}   ({d.unexplained:.1e} remains)" for d in e.dependent[:PAIRS]]
    head = f"  {'distance':>9} {'pool':>9} {'force':>9}   environments (structure, atom)"
    for title, pairs in (
        ("Nearest environments that the pool distinguishes best", report.by_pool),
        ("Nearest environments whose forces differ most", report.by_force),
    ):
        if pairs:
            lines += ["", f"{title} (distance in standard deviations; force eV/Å)", head]
            lines += [
                f"  {p.distance:9.2e} {p.pool_distance:9.2e} {p.force_difference:9.3f}   {p.element} {p.first} "
                f"{p.atom1}, {p.second} {p.atom2}"
                for p in pairs
            ]
    if report.structures:
        lines += [
            "",
            "Nearest structures whose energies differ most",
            f"  {'distance':>9} {'meV/atom':>9}   structures",
        ]
        lines += [
            f"  {p.distance:9.2e} {1000 * p.energy_difference_eV:9.2f}   {p.first}, {p.second}"
            for p in report.structures
        ]
    return "\n".join(lines)
