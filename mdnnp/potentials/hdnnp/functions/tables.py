"""Symmetry functions compiled into the flat tables that the kernels walk through.

The functions of a centre share most of their work, so they are taken apart into

- envelopes: a radial factor that goes to zero at its cutoff, either a cutoff function f_c or a compact core;
- channels: an envelope times a Gaussian exp(-eta (r - rs)^2); compact functions have eta = 0;
- angles: a function of cos(theta), either 2^(1-zeta) (1 + lambda cos theta)^zeta or a compact core of theta.

A radial function is the sum of one channel over neighbours. An angular function is the sum over pairs of
neighbours of one channel (taken at r_ij, r_ik and, for the narrow types, r_jk) times one angle. Each channel and
each angle is evaluated once, however many functions use it.

Wide functions with an integer zeta need no sum over pairs: they are products of moments of one channel and one
neighbour element each (see `wide`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers

from mdnnp.base.compiled.vectors import LANES
from mdnnp.potentials.hdnnp.functions.definitions import COMPACT, NARROW, RADIAL, WEIGHTED, SymmetryFunction
from mdnnp.potentials.hdnnp.functions.harmonics import Harmonics, legendre_series, make_harmonics

MAX_MOMENT_ZETA = 8  # above, the series loses digits for lambda = -1, and has more terms than there are pairs

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
    wide_first=int, wide_end=int,
    block_first=int, block_end=int,
    degree=int, columns=int,  # the largest zeta of its products of moments, and the number of their channels
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
MOMENT_SET = _row(channel=int, column=int, degree=int)  # moments of a channel and a neighbour element
PRODUCT_BLOCK = _row(element1=int, element2=int)  # neighbour elements of products of moments, element1 <= element2
WIDE = _row(  # a product of moments; block: counted within the centre
    function=int, block=int, column=int, element=int, zeta=int, weight=float,
    same=float,  # for like elements (1 + lambda)^zeta, what a neighbour paired with itself would give; else 0
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

    The channels of those of a centre are the columns of its moments, from 0; there are `columns`, whole vectors.
    """

    set_of: np.ndarray  # (n_elements, n_elements + 1) sets of centre e, element b: set_of[e, b] .. set_of[e, b + 1] - 1
    set: np.ndarray  # MOMENT_SET
    block: np.ndarray  # PRODUCT_BLOCK
    function: np.ndarray  # WIDE
    series: np.ndarray  # (functions, degree + 1, made whole vectors) a_p of (1 + lambda c)^zeta in Legendre polynomials
    harmonics: Harmonics
    columns: int


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


def needed(tables: Tables) -> tuple[TripletTables | None, WideTables | None]:
    """The tables of angular functions, None where there are none, for kernels to be compiled without that part."""
    return (tables.triplets if len(tables.triplets.term) else None), (
        tables.wide if len(tables.wide.function) else None
    )


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
        self.sets, self.set_of, self.blocks, self.wide, self.series, self.columns = [], [], [], [], [], 0

    def add_center(self, own: Sequence[SymmetryFunction], moments: bool) -> None:
        """Add the functions of the next centre element."""
        first = self.n_functions
        self.n_functions += len(own)
        channel_of, envelopes, channels = self._channels(own)
        members = list(zip(range(len(own)), own, channel_of, strict=True))
        radial = [m for m in members if m[1].type in RADIAL]
        wide = [m for m in members if moments and is_product_of_moments(m[1])]
        angular = [m for m in members if m not in radial and m not in wide]
        sets, blocks, products = self._wide(wide)
        self._add_pairs(radial, sets)
        self.centers.append(
            (
                max((f.cutoff * self.length_A for f in own), default=0.0),
                *(first, self.n_functions),
                *_append(self.envelopes, envelopes),
                *_append(self.channels, channels),
                *_append(self.parts, self._parts(angular, [envelope for envelope, _, _ in channels])),
                *_append(self.wide, products),
                *_append(self.blocks, blocks),
                max((int(f.zeta) for _, f, _ in wide), default=0),
                len({q for _, _, q in wide}),
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
            used = {q for _, q, _ in terms} | {q for q, _, _ in sets[b]}
            self.pairs.append((*_append(self.used, sorted(used)), *_append(self.radial, terms)))

    def _wide(self, members):
        """Sets of moments by neighbour element, and rows of the pairs of elements and of the products of moments."""
        columns = {q: k for k, q in enumerate(sorted({q for _, _, q in members}))}
        degrees: list[dict[int, int]] = [{} for _ in self.z]  # of each element: channel -> largest zeta
        blocks: dict[tuple, int] = {}
        rows = []
        for s, f, q in members:
            zeta, pair = int(f.zeta), tuple(sorted(self.index[symbol] for symbol in f.neighbors))
            for b in pair:
                degrees[b][q] = max(zeta, degrees[b].get(q, 0))
            like = pair[0] == pair[1]  # then the product counts every pair twice
            weight, same = 2.0 ** (-zeta if like else 1 - zeta), (1.0 + f.lam) ** zeta if like else 0.0
            rows.append((s, blocks.setdefault(pair, len(blocks)), columns[q], pair[0], zeta, weight, same))
            self.series.append(legendre_series(f.lam, zeta))
        sets = [[(q, columns[q], degree) for q, degree in sorted(own.items())] for own in degrees]
        bounds = [_append(self.sets, own) for own in sets]
        self.set_of.append([*(first for first, _ in bounds), bounds[-1][1]])
        self.columns = max(self.columns, len(columns))
        return sets, list(blocks), rows

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
            self._wide_tables(),
        )

    def _wide_tables(self) -> WideTables:
        degree = max((len(own) - 1 for own in self.series), default=0)
        series = np.zeros((len(self.series), -(-(degree + 1) // LANES) * LANES))
        for row, own in zip(series, self.series, strict=True):
            row[: len(own)] = own
        return WideTables(
            np.array(self.set_of, np.int64),
            np.array(self.sets, MOMENT_SET),
            np.array(self.blocks, PRODUCT_BLOCK),
            np.array(self.wide, WIDE),
            series,
            make_harmonics(degree),
            -(-self.columns // LANES) * LANES,
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
