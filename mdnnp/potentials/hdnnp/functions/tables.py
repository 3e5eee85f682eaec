"""Symmetry functions compiled into the flat tables that the kernels walk through.

The functions of a centre share most of their work, so they are taken apart into

- envelopes: a radial factor that goes to zero at its cutoff, either a cutoff function f_c or a compact core;
- channels: an envelope times a Gaussian exp(-eta (r - rs)^2); compact functions have eta = 0;
- angles: a function of cos(theta), either 2^(1-zeta) (1 + lambda cos theta)^zeta or a compact core of theta.

A radial function is the sum of one channel over neighbours. An angular function is the sum over pairs of
neighbours of one channel (taken at r_ij, r_ik and, for the narrow types, r_jk) times one angle. Each channel and
each angle is evaluated once, however many functions use it.

Wide functions with an integer zeta need no sum over pairs. With u_j = r_ij/r_ij and multi-indices a, |a| = p,

    (1 + lambda u_j.u_k)^zeta = sum_p C(zeta, p) lambda^p sum_a (p!/a!) u_j^a u_k^a

so that they are products of moments M_a = sum_j g(r_ij) u_j^a of one channel and one neighbour element.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers

from mdnnp.base.compiled.vectors import LANES
from mdnnp.potentials.hdnnp.functions.definitions import COMPACT, NARROW, RADIAL, WEIGHTED, SymmetryFunction

MAX_MOMENT_ZETA = 8  # above, the expansion loses digits for lambda = -1, and has more terms than there are pairs

# Kinds of envelope: 0-8 are the cutoff functions; compact cores p1..p4 and e follow, then their asymmetric variants.
COMPACT_KINDS = {"p1": 9, "p2": 10, "p3": 11, "p4": 12, "e": 13, "p1a": 14, "p2a": 15, "p3a": 16, "p4a": 17}


def _row(**columns: type) -> np.dtype:
    """Type of a row with these columns, as kernels read it."""
    return np.dtype(list(columns.items()), align=True)


# What belongs to an owner x are the rows x.<name>_first .. x.<name>_end - 1. Lengths in Å, angles in radians. Channels
# and envelopes are counted from 0 within each centre element, angles within each part.
CENTER = _row(  # centre element
    cutoff=float,  # the largest
    function_first=int, function_end=int,
    envelope_first=int, envelope_end=int,
    channel_first=int, channel_end=int,
    part_first=int, part_end=int,
    set_first=int, set_end=int,
    wide_first=int, wide_end=int,
)  # fmt: skip
ENVELOPE = _row(kind=int, low=float, high=float)  # low: lower end if compact, else the inner cutoff radius
CHANNEL = _row(envelope=int, eta=float, rs=float)
PAIR = _row(used_first=int, used_end=int, term_first=int, term_end=int)  # centre element and neighbour element
RADIAL_TERM = _row(function=int, channel=int, weight=float)
PART = _row(  # a pair of neighbour elements, with or without the factor of r_jk
    element1=int, element2=int, narrow=bool, cutoff=float,
    angle_first=int, angle_end=int,
    window_first=int, window_end=int,
    channel_first=int, channel_end=int,
)  # fmt: skip
ANGLE = _row(kind=int, a=float, b=float)  # kind -1: 2^(1-zeta) (1 + a cos)^b; compact: centre a, inverse half-width b
WINDOW = _row(envelope=int, channel_first=int, channel_end=int)  # an envelope of a part
PART_CHANNEL = _row(channel=int, term_first=int, term_end=int)
TERM = _row(angle=int, function=int, weight=float)
MOMENT_SET = _row(channel=int, element=int, degree=int)  # moments of a channel and a neighbour element
WIDE = _row(  # a product of two sets of moments, which are counted within the centre
    function=int, set1=int, set2=int, zeta=int, weight=float,
    same=float,  # (1 + lambda)^zeta: what a neighbour paired with itself would give
)  # fmt: skip


class RadialTables(NamedTuple):
    """Radial functions, and which channels are needed at which neighbours."""

    pair: np.ndarray  # (n_elements, n_elements) PAIR
    used: np.ndarray  # channels
    term: np.ndarray  # RADIAL_TERM


class TripletTables(NamedTuple):
    """Angular functions that are summed over pairs of neighbours."""

    part: np.ndarray  # PART
    angle: np.ndarray  # ANGLE
    window: np.ndarray  # WINDOW
    channel: np.ndarray  # PART_CHANNEL
    term: np.ndarray  # TERM


class WideTables(NamedTuple):
    """Wide functions that are products of moments.

    Monomials u^a are in order of degree, those up to degree p are 0 .. count[p] - 1; columns are whole vectors.
    """

    set: np.ndarray  # MOMENT_SET
    function: np.ndarray  # WIDE
    coefficient: np.ndarray  # (functions, monomials) C(zeta, p) lambda^p p!/a!; 0 above its degree
    count: np.ndarray  # type: ignore[assignment]  # it hides tuple.count, which nothing here uses
    raised: np.ndarray  # (3, monomials) the monomial with one power of x, y, z more; 0 if there is none
    factor: np.ndarray  # (3, monomials) that power: d(u^raised)/du = factor u^a


class Tables(NamedTuple):
    """Everything that the kernels need to know about the symmetry functions.

    Rows rather than columns, in groups: each array in a tuple costs time of compilation wherever the tuple is used.
    """

    function_first: np.ndarray  # centre element -> its functions: function_first[e] .. function_first[e + 1] - 1
    center: np.ndarray  # CENTER
    envelope: np.ndarray  # ENVELOPE
    channel: np.ndarray  # CHANNEL
    radial: RadialTables
    triplets: TripletTables
    wide: WideTables


def build_tables(
    functions: Sequence[Sequence[SymmetryFunction]],
    elements: Sequence[str],
    cutoff_type: int,
    cutoff_alpha: float,
    length_A: float = 1.0,
    *,
    moments: bool = True,
) -> Tables:
    """Tables for the functions of each centre element, given in order of atomic number.

    functions : per element, its functions in the potential's order, in native units
    length_A : the native length unit in Å
    moments : evaluate wide functions with integer zeta by moments rather than pair by pair (the same to rounding)
    """
    builder = _Builder(elements, cutoff_type, cutoff_alpha, length_A)
    for own in functions:
        builder.add_center(own, moments)
    return builder.tables()


class _Builder:
    """Collects the rows of Tables, centre element by centre element."""

    def __init__(self, elements, cutoff_type, cutoff_alpha, length_A):
        self.index = {symbol: e for e, symbol in enumerate(elements)}
        self.z = [float(atomic_numbers[symbol]) for symbol in elements]
        self.cutoff_type, self.cutoff_alpha, self.length_A = cutoff_type, cutoff_alpha, length_A
        self.n_functions = 0
        self.centers, self.envelopes, self.channels = [], [], []
        self.pairs, self.used, self.radial = [], [], []
        self.parts, self.angles, self.windows, self.part_channels, self.terms = [], [], [], [], []
        self.sets, self.wide, self.powers = [], [], []

    def add_center(self, own: Sequence[SymmetryFunction], moments: bool) -> None:
        """Add the functions of the next centre element."""
        first = self.n_functions
        self.n_functions += len(own)
        channel_of, envelopes, channels = self._channels(own)
        members = list(zip(range(len(own)), own, channel_of, strict=True))
        radial = [m for m in members if m[1].type in RADIAL]
        wide = [m for m in members if moments and is_product_of_moments(m[1])]
        angular = [m for m in members if m not in radial and m not in wide]
        sets, products = self._wide(wide)
        self._add_pairs(radial, sets)
        self.centers.append(
            (
                max((f.cutoff * self.length_A for f in own), default=0.0),
                *(first, self.n_functions),
                *_append(self.envelopes, envelopes),
                *_append(self.channels, channels),
                *_append(self.parts, self._parts(angular, [envelope for envelope, _, _ in channels])),
                *_append(self.sets, sets),
                *_append(self.wide, products),
            )
        )

    def _channels(self, own):
        """The channel of each function, and the rows of the envelopes and channels."""
        envelopes: dict[tuple, int] = {}
        channels: dict[tuple, int] = {}
        channel_of = []
        for f in own:
            row = _envelope(f, self.cutoff_type, self.cutoff_alpha, self.length_A)
            envelope = envelopes.setdefault(row, len(envelopes))
            key = (envelope, f.eta / self.length_A**2, f.rs * self.length_A)
            channel_of.append(channels.setdefault(key, len(channels)))
        return channel_of, list(envelopes), list(channels)

    def _add_pairs(self, radial, sets):
        """Add the radial terms at neighbours of each element, and the channels that those and moments need there."""
        for b, z in enumerate(self.z):
            terms = [
                (s, q, z if f.type in WEIGHTED else 1.0)
                for s, f, q in radial
                if f.type in WEIGHTED or self.index[f.neighbors[0]] == b
            ]
            used = {q for _, q, _ in terms} | {q for q, element, _ in sets if element == b}
            self.pairs.append((*_append(self.used, sorted(used)), *_append(self.radial, terms)))

    def _wide(self, members):
        """Rows of the sets of moments, and of the wide functions that are products of two of them."""
        degrees: dict[tuple, int] = {}  # set of moments (channel, element) -> largest zeta
        for _, f, q in members:
            for symbol in f.neighbors:
                key = q, self.index[symbol]
                degrees[key] = max(int(f.zeta), degrees.get(key, 0))
        place = {key: k for k, key in enumerate(degrees)}
        rows = []
        for s, f, q in members:
            zeta = int(f.zeta)
            pair = (place[q, self.index[symbol]] for symbol in f.neighbors)
            rows.append((s, *pair, zeta, 2.0 ** (1 - zeta), (1.0 + f.lam) ** zeta))
            self.powers.append([math.comb(zeta, p) * f.lam**p for p in range(zeta + 1)])
        return [(q, b, degree) for (q, b), degree in degrees.items()], rows

    def _parts(self, members, envelope_of):
        """Rows of the parts; what belongs to them is added."""
        parts: dict[tuple, list] = {}
        for s, f, q in members:
            for b1, b2, weight in self._element_pairs(f):
                parts.setdefault((b1, b2, f.type in NARROW), []).append((s, f, q, weight))
        return [(*key, *self._part(own, envelope_of)) for key, own in sorted(parts.items(), key=lambda item: item[0])]

    def _element_pairs(self, f):
        """(element, element, weight) of the pairs of neighbours that an angular function sums over."""
        scale = 1.0 if f.type in COMPACT else 2.0 ** (1.0 - f.zeta)
        if f.type in WEIGHTED:
            n, z = len(self.z), self.z
            return [(b1, b2, scale * z[b1] * z[b2]) for b1 in range(n) for b2 in range(b1, n)]
        b1, b2 = sorted(self.index[symbol] for symbol in f.neighbors)
        return [(b1, b2, scale)]

    def _part(self, members, envelope_of):
        """Add the angles, windows, channels and terms of a part; returns its cutoff and their places."""
        angles: dict[tuple, int] = {}
        for _, f, _, _ in members:
            angles.setdefault(_angle(f), len(angles))
        channels = sorted({q for _, _, q, _ in members})
        windows, first_channel = [], len(self.part_channels)
        for envelope in sorted({envelope_of[q] for q in channels}):
            rows = [
                (q, *_append(self.terms, [(angles[_angle(f)], s, weight) for s, f, p, weight in members if p == q]))
                for q in channels
                if envelope_of[q] == envelope
            ]
            windows.append((envelope, *_append(self.part_channels, rows)))
        cutoff = max(f.cutoff for _, f, _, _ in members) * self.length_A
        return (
            cutoff, *_append(self.angles, angles), *_append(self.windows, windows),
            first_channel, len(self.part_channels),
        )  # fmt: skip

    def tables(self) -> Tables:
        """The finished tables."""
        n = len(self.z)
        return Tables(
            np.array([0] + [row[2] for row in self.centers]),
            np.array(self.centers, CENTER),
            np.array(self.envelopes, ENVELOPE),
            np.array(self.channels, CHANNEL),
            RadialTables(
                np.array(self.pairs, PAIR).reshape(n, n),
                np.array(self.used, np.int64),
                np.array(self.radial, RADIAL_TERM),
            ),
            TripletTables(
                np.array(self.parts, PART),
                np.array(self.angles, ANGLE),
                np.array(self.windows, WINDOW),
                np.array(self.part_channels, PART_CHANNEL),
                np.array(self.terms, TERM),
            ),
            WideTables(np.array(self.sets, MOMENT_SET), np.array(self.wide, WIDE), *_monomials(self.powers)),
        )


def _append(table: list, rows) -> tuple[int, int]:
    """Add rows to a table; returns the place of the first and the one behind the last."""
    first = len(table)
    table.extend(rows)
    return first, len(table)


def is_product_of_moments(f: SymmetryFunction) -> bool:
    """Whether a function is evaluated without a sum over pairs of neighbours."""
    # For |lambda| > 1 the angle is cut off where its base is negative: no polynomial.
    return f.type == 9 and float(f.zeta).is_integer() and 1 <= f.zeta <= MAX_MOMENT_ZETA and abs(f.lam) <= 1


def _monomials(powers: list[list[float]]) -> tuple[np.ndarray, ...]:
    """The columns of WideTables by monomial, for wide functions with `powers` C(zeta, p) lambda^p of each degree p."""
    degree = max((len(own) - 1 for own in powers), default=0)
    exponents = [(x, y, p - x - y) for p in range(degree + 1) for x in range(p, -1, -1) for y in range(p - x, -1, -1)]
    size = -(-len(exponents) // LANES) * LANES
    place = {a: k for k, a in enumerate(exponents)}
    coefficient, raised, factor = np.zeros((len(powers), size)), np.zeros((3, size), np.int64), np.zeros((3, size))
    for k, a in enumerate(exponents):
        weight = math.factorial(sum(a)) / math.prod(math.factorial(n) for n in a)
        for own, row in zip(powers, coefficient, strict=True):
            row[k] = own[sum(a)] * weight if sum(a) < len(own) else 0.0
        for axis in range(3):
            up = (a[0] + (axis == 0), a[1] + (axis == 1), a[2] + (axis == 2))
            raised[axis, k], factor[axis, k] = place.get(up, 0), up[axis]
    return coefficient, np.array([math.comb(p + 3, 3) for p in range(degree + 1)], dtype=np.int64), raised, factor


def _envelope(f: SymmetryFunction, cutoff_type: int, cutoff_alpha: float, length_A: float) -> tuple:
    """(kind, low, high) of a function's radial factor."""
    if f.type in COMPACT:
        return COMPACT_KINDS[f.subtype], f.rl * length_A, f.cutoff * length_A
    return cutoff_type, cutoff_alpha * f.cutoff * length_A, f.cutoff * length_A


def _angle(f: SymmetryFunction) -> tuple:
    """(kind, a, b) of a function's angular factor."""
    if f.type in COMPACT:
        low, high = math.radians(f.theta_l), math.radians(f.theta_r)
        # The asymmetric variant concerns the radial parts only.
        return COMPACT_KINDS[f.subtype.rstrip("a")], 0.5 * (low + high), 2.0 / (high - low)
    return -1, f.lam, f.zeta
