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

from mdnnp.acsf.functions import COMPACT, NARROW, RADIAL, WEIGHTED, SymmetryFunction

MAX_MOMENT_ZETA = 8  # above, the expansion loses digits for lambda = -1, and has more terms than there are pairs

# Kinds of envelope: 0-8 are the cutoff functions; compact cores p1..p4 and e follow, then their asymmetric variants.
COMPACT_KINDS = {"p1": 9, "p2": 10, "p3": 11, "p4": 12, "e": 13, "p1a": 14, "p2a": 15, "p3a": 16, "p4a": 17}


class Tables(NamedTuple):
    """Everything that the kernels need to know about the symmetry functions; lengths in Å, angles in radians.

    Rows that belong to an owner x are numbered ``first[x] .. first[x + 1] - 1`` (CSR). Envelopes and channels are
    counted from 0 within each centre element; angles and part channels within each part.
    """

    n_elements: int
    cutoff: np.ndarray  # per centre element: largest cutoff
    function_first: np.ndarray  # centre element -> its functions
    # envelopes of a centre element
    envelope_first: np.ndarray
    envelope_kind: np.ndarray
    envelope_low: np.ndarray  # compact: lower end; cutoff function: inner cutoff radius
    envelope_high: np.ndarray
    # channels of a centre element
    channel_first: np.ndarray
    channel_envelope: np.ndarray
    channel_eta: np.ndarray
    channel_rs: np.ndarray
    # (centre element, neighbour element) -> channels to evaluate at those neighbours
    used_first: np.ndarray
    used_channel: np.ndarray
    # (centre element, neighbour element) -> radial terms
    radial_first: np.ndarray
    radial_function: np.ndarray
    radial_channel: np.ndarray
    radial_weight: np.ndarray
    # centre element -> parts: a pair of neighbour elements, with or without the factor of r_jk
    part_first: np.ndarray
    part_element1: np.ndarray
    part_element2: np.ndarray
    part_narrow: np.ndarray
    part_cutoff: np.ndarray
    # part -> its angles: 2^(1-zeta) (1 + a cos)^b, or a compact core centred at a with inverse half-width b
    angle_first: np.ndarray
    angle_kind: np.ndarray  # -1: polynomial; otherwise a compact kind (symmetric cores)
    angle_a: np.ndarray
    angle_b: np.ndarray
    # part -> its envelopes; part envelope -> its channels; part channel -> its terms
    part_envelope_first: np.ndarray
    part_envelope: np.ndarray
    part_channel_first: np.ndarray
    part_channel: np.ndarray
    term_first: np.ndarray
    term_angle: np.ndarray
    term_function: np.ndarray
    term_weight: np.ndarray
    # centre element -> its sets of moments, one for a channel and a neighbour element, up to a degree
    moment_first: np.ndarray
    moment_channel: np.ndarray
    moment_element: np.ndarray
    moment_degree: np.ndarray
    # centre element -> wide functions: the two sets of moments (counted within the centre) that they multiply
    wide_first: np.ndarray
    wide_function: np.ndarray
    wide_set1: np.ndarray
    wide_set2: np.ndarray
    wide_zeta: np.ndarray
    wide_weight: np.ndarray
    wide_same: np.ndarray  # (1 + lambda)^zeta: what a neighbour paired with itself would give
    wide_power: np.ndarray  # (functions, MAX_MOMENT_ZETA + 1) C(zeta, p) lambda^p
    # monomials u^a by degree; those of degree up to p are 0 .. monomial_count[p] - 1
    monomial_count: np.ndarray
    monomial_degree: np.ndarray
    monomial_weight: np.ndarray  # p!/a!
    monomial_exponent: np.ndarray  # (monomials, 3)
    monomial_lower: np.ndarray  # (monomials, 3) the monomial with one power of x, y, z less; 0 if there is none


class _Rows:
    """Rows of several columns grouped by owner: collected owner by owner, then laid out as CSR arrays."""

    def __init__(self, *types):
        self.types = types
        self.first = [0]
        self.rows = []

    def add_owner(self, rows):
        self.rows.extend(rows)
        self.first.append(len(self.rows))

    def arrays(self):
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.types)
        return (
            np.array(self.first, dtype=np.int64),
            *(np.array(c, dtype=t) for c, t in zip(columns, self.types, strict=True)),
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
        self.cutoffs, self.function_first = [], [0]
        self.envelopes, self.channels = _Rows(np.int64, np.float64, np.float64), _Rows(np.int64, np.float64, np.float64)
        self.used, self.radial = _Rows(np.int64), _Rows(np.int64, np.int64, np.float64)
        self.parts, self.angles = (
            _Rows(np.int64, np.int64, np.bool_, np.float64),
            _Rows(np.int64, np.float64, np.float64),
        )
        self.part_envelopes, self.part_channels = _Rows(np.int64), _Rows(np.int64)
        self.terms = _Rows(np.int64, np.int64, np.float64)
        self.moments = _Rows(np.int64, np.int64, np.int64)
        self.wide = _Rows(np.int64, np.int64, np.int64, np.int64, np.float64, np.float64)
        self.powers = []

    def add_center(self, own: Sequence[SymmetryFunction], moments: bool) -> None:
        """Add the functions of the next centre element."""
        self.cutoffs.append(max((f.cutoff * self.length_A for f in own), default=0.0))
        self.function_first.append(self.function_first[-1] + len(own))
        channel_of, envelope_of = self._add_channels(own)
        members = list(zip(range(len(own)), own, channel_of, strict=True))
        radial = [m for m in members if m[1].type in RADIAL]
        wide = [m for m in members if moments and is_product_of_moments(m[1])]
        angular = [m for m in members if m not in radial and m not in wide]
        used = [set() for _ in self.z]
        self._add_radial(radial, used)
        self._add_wide(wide, used)
        self._add_angular(angular, envelope_of)
        for channels in used:
            self.used.add_owner((q,) for q in sorted(channels))

    def _add_channels(self, own):
        """Envelopes and channels; returns the channel of each function and the envelope of each channel."""
        envelopes: dict[tuple, int] = {}
        channels: dict[tuple, int] = {}
        channel_of = []
        for f in own:
            row = _envelope(f, self.cutoff_type, self.cutoff_alpha, self.length_A)
            envelope = envelopes.setdefault(row, len(envelopes))
            key = (envelope, f.eta / self.length_A**2, f.rs * self.length_A)
            channel_of.append(channels.setdefault(key, len(channels)))
        self.envelopes.add_owner(envelopes)
        self.channels.add_owner(channels)
        return channel_of, [key[0] for key in channels]

    def _add_radial(self, members, used):
        for b, z in enumerate(self.z):
            rows = []
            for s, f, q in members:
                if f.type in WEIGHTED or self.index[f.neighbors[0]] == b:
                    rows.append((s, q, z if f.type in WEIGHTED else 1.0))
                    used[b].add(q)
            self.radial.add_owner(rows)

    def _add_wide(self, members, used):
        degrees: dict[tuple, int] = {}  # set of moments (channel, element) -> largest zeta
        pairs = []
        for _, f, q in members:
            sets = [(q, self.index[symbol]) for symbol in f.neighbors]
            for key in sets:
                used[key[1]].add(q)
                degrees[key] = max(int(f.zeta), degrees.get(key, 0))
            pairs.append(sets)
        self.moments.add_owner((q, b, degree) for (q, b), degree in degrees.items())
        place = {key: k for k, key in enumerate(degrees)}
        rows = []
        for (s, f, _), sets in zip(members, pairs, strict=True):
            zeta = int(f.zeta)
            rows.append((s, *(place[key] for key in sets), zeta, 2.0 ** (1 - zeta), (1.0 + f.lam) ** zeta))
            self.powers.append([math.comb(zeta, p) * f.lam**p for p in range(MAX_MOMENT_ZETA + 1)])
        self.wide.add_owner(rows)

    def _add_angular(self, members, envelope_of):
        parts: dict[tuple, list] = {}
        for s, f, q in members:
            for b1, b2, weight in self._pairs(f):
                parts.setdefault((b1, b2, f.type in NARROW), []).append((s, f, q, weight))
        ordered = sorted(parts.items(), key=lambda item: item[0])
        self.parts.add_owner((*key, max(f.cutoff for _, f, _, _ in own) * self.length_A) for key, own in ordered)
        for _, own in ordered:
            self._add_part(own, envelope_of)

    def _pairs(self, f):
        """(element, element, weight) of the pairs of neighbours that an angular function sums over."""
        scale = 1.0 if f.type in COMPACT else 2.0 ** (1.0 - f.zeta)
        if f.type in WEIGHTED:
            n, z = len(self.z), self.z
            return [(b1, b2, scale * z[b1] * z[b2]) for b1 in range(n) for b2 in range(b1, n)]
        b1, b2 = sorted(self.index[symbol] for symbol in f.neighbors)
        return [(b1, b2, scale)]

    def _add_part(self, members, envelope_of):
        angles: dict[tuple, int] = {}
        for _, f, _, _ in members:
            angles.setdefault(_angle(f), len(angles))
        self.angles.add_owner(angles)
        channels = sorted({q for _, _, q, _ in members})
        envelopes = sorted({envelope_of[q] for q in channels})
        self.part_envelopes.add_owner((envelope,) for envelope in envelopes)
        for envelope in envelopes:
            own = [q for q in channels if envelope_of[q] == envelope]
            self.part_channels.add_owner((q,) for q in own)
            for q in own:
                self.terms.add_owner((angles[_angle(f)], s, weight) for s, f, p, weight in members if p == q)

    def tables(self) -> Tables:
        """The finished tables."""
        rows = (self.envelopes, self.channels, self.used, self.radial, self.parts, self.angles, self.part_envelopes,
                self.part_channels, self.terms, self.moments, self.wide)  # fmt: skip
        return Tables(
            len(self.z),
            np.array(self.cutoffs),
            np.array(self.function_first, dtype=np.int64),
            *(array for table in rows for array in table.arrays()),
            np.array(self.powers).reshape(-1, MAX_MOMENT_ZETA + 1),
            *_monomials(max((int(row[2]) for row in self.moments.rows), default=0)),
        )


def is_product_of_moments(f: SymmetryFunction) -> bool:
    """Whether a function is evaluated without a sum over pairs of neighbours."""
    # For |lambda| > 1 the angle is cut off where its base is negative: no polynomial.
    return f.type == 9 and float(f.zeta).is_integer() and 1 <= f.zeta <= MAX_MOMENT_ZETA and abs(f.lam) <= 1


def _monomials(degree: int) -> tuple[np.ndarray, ...]:
    """The monomial columns of Tables, up to `degree`."""
    exponents = [(x, y, p - x - y) for p in range(degree + 1) for x in range(p, -1, -1) for y in range(p - x, -1, -1)]
    place = {a: k for k, a in enumerate(exponents)}
    lower = [[place.get(tuple(n - (axis == k) for k, n in enumerate(a)), 0) for axis in range(3)] for a in exponents]
    weight = [math.factorial(sum(a)) / math.prod(math.factorial(n) for n in a) for a in exponents]
    return (
        np.array([math.comb(p + 3, 3) for p in range(degree + 1)], dtype=np.int64),
        np.array([sum(a) for a in exponents], dtype=np.int64),
        np.array(weight),
        np.array(exponents, dtype=np.int64),
        np.array(lower, dtype=np.int64),
    )


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
