"""Sets of symmetry functions from a few settings: a default for each element, and a large pool to select from.

Grids of Gaussians, shifted and about the centre: M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018), and G.
Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), who select from a pool. Compact functions: M. P. Bircher, A.
Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021).

What a set costs in this engine: radial functions (type 2) hardly anything; wide angular functions (type 9, integer
zeta <= 8) one set of moments for each channel (eta, rs) and neighbour element, whatever the number of zeta and lambda,
linear in the number of neighbours; all others a sum over pairs of neighbours. `cost` counts them.

A channel's wide functions with zeta <= n are polynomials of degree n of cos(theta): n + 1 of them are independent.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

from ase.data import atomic_numbers, covalent_radii

from mdnnp.base.errors import InputError
from mdnnp.potentials.hdnnp.functions.definitions import ANGULAR, LARGEST_CUTOFF, RADIAL, SymmetryFunction
from mdnnp.potentials.hdnnp.functions.tables import is_product_of_moments

KINDS = ("wide", "narrow", "compact")
_ANGULAR_TYPE = {"wide": 9, "narrow": 3, "compact": 22}
_CORE = "p2"  # compact core, twice continuously differentiable
# Grids begin at this share of the sum of covalent radii: about half of the closest approach. Broad functions whose
# centres reach below it made errors two to four times smaller than grids that begin where atoms meet.
_START = 0.4

FunctionSets = dict[str, tuple[SymmetryFunction, ...]]


def default_functions(
    elements: Sequence[str],
    cutoff_A: float,
    *,
    radial: int = 10,
    angular: int = 4,
    max_zeta: int = 4,
    kind: str = "wide",
) -> FunctionSets:
    """A set of functions for each element, by centre in order of atomic number, each in the potential's order.

    elements : symbols; cutoff_A : cutoff radius of every function, Å
    radial : Gaussians per neighbour element, evenly spaced from half a bond length (covalent radii) to the cutoff
    angular : channels (radial windows) of the angular functions, of each pair of neighbour elements
    max_zeta : angular resolution, the degree in cos(theta); each channel has max_zeta + 1 angular functions
    kind : "wide", types 2 and 9, whose cost grows linearly with the number of neighbours; "narrow", types 2 and 3,
        and "compact", types 20 and 22, which sum over pairs of neighbours
    Raises InputError for settings that make no set.
    """
    symbols = _checked(elements, cutoff_A, radial=radial, angular=angular, max_zeta=max_zeta, kind=kind)
    sets = {}
    for center in symbols:
        start = _start_A(center, symbols, cutoff_A)
        if kind == "compact":
            own = [*_compact_radial(center, symbols, radial, start, cutoff_A)]
            own += _compact_angular(center, symbols, angular, max_zeta + 1, start, cutoff_A)
        else:
            own = [*_radial(center, symbols, _evenly_spaced(radial, start, cutoff_A, overlap=1.5), cutoff_A)]
            # A shifted narrow function sees only triangles of three nearly equal sides.
            centred = kind == "narrow"
            channels = (_centred if centred else _evenly_spaced)(angular, start, cutoff_A)
            own += _angular(center, symbols, channels, independent_angles(max_zeta), cutoff_A, _ANGULAR_TYPE[kind])
        sets[center] = _in_order(own)
    return sets


def pool(elements: Sequence[str], cutoff_A: float, *, max_zeta: int = 4, kind: str = "wide") -> FunctionSets:
    """Several hundred functions per element to select from; elements, cutoff_A, kind as in `default_functions`.

    Evenly spaced Gaussians of several numbers, beginnings and overlaps, and Gaussians about the centre; each angular
    channel with every zeta up to max_zeta and both signs of lambda. Compact functions: windows of several widths.
    """
    symbols = _checked(elements, cutoff_A, max_zeta=max_zeta, kind=kind)
    sets = {}
    for center in symbols:
        start = _start_A(center, symbols, cutoff_A)
        if kind == "compact":
            own = [f for n in (6, 10, 16) for f in _compact_radial(center, symbols, n, start, cutoff_A)]
            for n, m in ((3, 3), (5, 5), (8, 7)):
                own += _compact_angular(center, symbols, n, m, start, cutoff_A)
        else:
            windows = _grids((8, 12), (0.0, start, 2.0 * start), (1.0, 2.0), cutoff_A)
            if len(symbols) == 1:
                channels = _grids((3, 5), (0.0, start, 2.0 * start), (1.0, 2.0), cutoff_A)
            else:  # pairs of elements multiply
                channels = _grids((4,), (0.0, start), (1.0, 1.5), cutoff_A)
            angles = [(zeta, lam) for zeta in range(1, max_zeta + 1) for lam in (1, -1)]
            own = [*_radial(center, symbols, windows, cutoff_A)]
            own += _angular(center, symbols, channels, angles, cutoff_A, _ANGULAR_TYPE[kind])
        sets[center] = _in_order(set(own))
    return sets


def _in_order(functions: Iterable[SymmetryFunction]) -> tuple[SymmetryFunction, ...]:
    return tuple(sorted(functions, key=SymmetryFunction.sort_key))


def shared_work(function: SymmetryFunction) -> frozenset[tuple]:
    """What a function needs that costs in each evaluation, and that others may need as well; empty for radial ones.

    For wide functions the sets of moments of its channel, one for each neighbour element; for all others that sum over
    pairs of neighbours, the window of the pair.
    """
    f = function
    if f.type in RADIAL:
        return frozenset()
    channel = (f.type, f.subtype, f.cutoff, f.rl, f.eta, f.rs)
    if is_product_of_moments(f):
        return frozenset((*channel, symbol) for symbol in f.neighbors)
    return frozenset({(*channel, f.neighbors)})


@dataclass(frozen=True)
class Cost:
    """What the functions of one centre element cost: counts.

    radial : radial functions; moment_sets : channels times neighbour elements of wide functions; moments : numbers in
    all those sets; windows : channels that are evaluated for every pair of neighbours; pair_functions : functions that
    are summed over pairs
    """

    functions: int
    radial: int
    moment_sets: int
    moments: int
    windows: int
    pair_functions: int

    def operations(self, neighbors: float) -> float:
        """Rough number of floating-point operations for energy and forces of a centre with so many neighbours.

        For comparing sets: neighbours are taken to be spread evenly over the elements.
        """
        pairs = 0.5 * neighbors**2
        linear = 40.0 * self.radial + 30.0 * self.moment_sets + 8.0 * self.moments
        return neighbors * linear + pairs * (
            40.0 * (self.windows > 0) + 25.0 * self.windows + 8.0 * self.pair_functions
        )


def cost(functions: Sequence[SymmetryFunction]) -> Cost:
    """Counts of the work that the functions of one centre share."""
    wide = [f for f in functions if is_product_of_moments(f)]
    pairs = [f for f in functions if f.type in ANGULAR and not is_product_of_moments(f)]
    degree: dict[tuple, int] = {}
    for f in wide:
        for key in shared_work(f):
            degree[key] = max(degree.get(key, 0), int(f.zeta))
    return Cost(
        len(functions),
        len(functions) - len(wide) - len(pairs),
        len(degree),
        sum((p + 1) ** 2 for p in degree.values()),
        len(set().union(*map(shared_work, pairs))),
        len(pairs),
    )


def independent_angles(max_zeta: int) -> tuple[tuple[int, int], ...]:
    """max_zeta + 1 pairs (zeta, lambda) that span the polynomials of that degree of cos(theta).

    Those of the highest zeta: of all such choices nearly the best conditioned.
    """
    ordered = [(zeta, lam) for zeta in range(max_zeta, 0, -1) for lam in (1, -1)]
    return tuple(ordered[: max_zeta + 1])


def _checked(elements, cutoff_A, **settings) -> list[str]:
    """Elements in order of atomic number. Raises InputError for settings that are not valid."""
    unknown = [s for s in elements if atomic_numbers.get(s, 0) == 0]
    if unknown or not elements:
        raise InputError(f"elements: {unknown[0]!r} is no chemical element" if unknown else "elements: none given")
    if not (math.isfinite(cutoff_A) and cutoff_A > 0):
        raise InputError(f"cutoff_A must be a positive number, found {cutoff_A}")
    if cutoff_A > LARGEST_CUTOFF:
        raise InputError(f"cutoff_A must be at most {LARGEST_CUTOFF:g}, found {cutoff_A}")
    for name in ("radial", "angular", "max_zeta"):
        least = 0 if name == "angular" else 1
        if name in settings and settings[name] < least:
            raise InputError(f"{name} must be at least {least}, found {settings[name]}")
    if settings.get("kind", "wide") not in KINDS:
        raise InputError(f"kind of functions: expected one of {', '.join(KINDS)}, found {settings['kind']!r}")
    return sorted(set(elements), key=atomic_numbers.__getitem__)


def _start_A(center: str, symbols: Sequence[str], cutoff_A: float) -> float:
    """Where the radial grids of a centre begin, Å."""
    r = covalent_radii
    start = _START * min(r[atomic_numbers[center]] + r[atomic_numbers[symbol]] for symbol in symbols)
    if start > 0.4 * cutoff_A:
        raise InputError(
            f"cutoff_A = {cutoff_A:g} is too short for {center}: its bonds are {start / _START:.2f} Å long"
        )
    return start


# Grids of channels (eta 1/Å^2, rs Å) ------------------------------------------------------------


def _evenly_spaced(n: int, start_A: float, cutoff_A: float, overlap: float = 1.0) -> list[tuple[float, float]]:
    """n Gaussians from start to (not at) cutoff; their standard deviation is `overlap` times their distance."""
    step = (cutoff_A - start_A) / max(n, 1)
    return [(_rounded(0.5 / (overlap * step) ** 2), _rounded(start_A + k * step)) for k in range(n)]


def _centred(n: int, start_A: float, cutoff_A: float) -> list[tuple[float, float]]:
    """n Gaussians about the centre whose standard deviations are spaced evenly up to the cutoff and a half."""
    step = (1.5 * cutoff_A - 2.0 * start_A) / max(n, 1)
    return [(_rounded(0.5 / (2.0 * start_A + k * step) ** 2), 0.0) for k in range(n)]


def _grids(numbers, starts_A, overlaps, cutoff_A: float) -> list[tuple[float, float]]:
    """All evenly spaced grids of those numbers, beginnings and overlaps, and a centred one; without repetitions."""
    combined = [c for n, start, o in product(numbers, starts_A, overlaps)
                for c in _evenly_spaced(n, start, cutoff_A, o)]  # fmt: skip
    combined += _centred(max(numbers), max(starts_A) / 2.0, cutoff_A)
    return sorted(set(combined))


def _rounded(x: float) -> float:
    """Four significant digits, so that inputs stay readable."""
    return float(f"{x:.4g}")


# Functions of one centre ------------------------------------------------------------------------


def _radial(center, symbols, channels, cutoff_A) -> Iterator[SymmetryFunction]:
    for symbol in symbols:
        for eta, rs in channels:
            yield SymmetryFunction(center, 2, (symbol,), cutoff_A, eta=eta, rs=rs)


def _angular(center, symbols, channels, angles, cutoff_A, type) -> Iterator[SymmetryFunction]:
    for pair in combinations_with_replacement(symbols, 2):
        for eta, rs in channels:
            for zeta, lam in angles:
                yield SymmetryFunction(center, type, pair, cutoff_A, eta=eta, rs=rs, lam=float(lam), zeta=float(zeta))


def _compact_radial(center, symbols, n, start_A, cutoff_A) -> Iterator[SymmetryFunction]:
    """Windows three steps wide: with two, every derivative would vanish at the middle of each."""
    step = (cutoff_A - start_A) / (n + 2)
    for symbol in symbols:
        for k in range(n):
            low, high = _rounded(start_A + k * step), cutoff_A if k == n - 1 else _rounded(start_A + (k + 3) * step)
            yield SymmetryFunction(center, 20, (symbol,), high, rl=low, subtype=_CORE)


def _compact_angular(center, symbols, n, n_angles, start_A, cutoff_A) -> Iterator[SymmetryFunction]:
    """Windows in r that begin at the same r; of theta, again three steps wide, within 0 to 180 degrees."""
    step = 180.0 / (n_angles - 1)
    for pair in combinations_with_replacement(symbols, 2):
        for k in range(n):
            high = cutoff_A if k == n - 1 else _rounded(2.0 * start_A + (k + 1) * (cutoff_A - 2.0 * start_A) / n)
            for m in range(n_angles):
                middle, half = m * step, 1.5 * step
                if 0 < m < n_angles - 1:
                    half = min(half, middle, 180.0 - middle)
                yield SymmetryFunction(
                    center, 22, pair, high, rl=_rounded(start_A), subtype=_CORE,
                    theta_l=_rounded(middle - half), theta_r=_rounded(middle + half),
                )  # fmt: skip
