"""Structure from frames: distances, angles, structure factor, profiles, bonds.

Each function goes through the frames once and gives a dictionary of tables, name -> `Table`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from mdnnp.analysis.frames import Frames, block_mean
from mdnnp.atoms.neighbors import build, coordinates, image_vectors, neighbor_list
from mdnnp.atoms.system import System, heights, validate
from mdnnp.base.compiled.jit import njit
from mdnnp.base.errors import FileError, InputError
from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2, U_PER_A3_IN_G_PER_CM3

FORM, BREAK = 1.2, 1.6  # of the sum of covalent radii: bonds form below, break above
ANGLE_REACH = 1.3


@dataclass(frozen=True)
class Table:
    """A curve with error bars.

    x, y, error : (n,); x_name, y_name : with units
    numbers : name with unit -> (value, error), what is read off the curve
    """

    x: np.ndarray
    y: np.ndarray
    error: np.ndarray
    x_name: str
    y_name: str
    numbers: dict[str, tuple[float, float]] = field(default_factory=dict)


def default_r_max_A(frames: Frames) -> float:
    """Half of the cell's smallest height, at most 10 Å."""
    if not frames.pbc.all():
        return 10.0
    return min(10.0, 0.5 * float(np.min(heights(frames.read("cells", 0, 1)[0]))))


def radial_distribution(frames: Frames, r_max_A: float | None = None, bin_A: float = 0.05) -> dict[str, Table]:
    """Partial radial distribution functions g_ab(r) and running coordination numbers, name -> Table.

    Pairs are counted in all images up to r_max_A, which may exceed half of the cell (there, images of the same atom
    count as well). Normalised by the density N_b / V, as MDAnalysis and freud do: an ideal gas has 1 - 1/N for a = b.
    `coordination A-B` is the mean number of B within r of an A.
    Raises InputError for cells that are not periodic in three directions. Source: Allen & Tildesley (2017), sect. 8.2.
    """
    volumes = frames.volumes()
    r_max_A = default_r_max_A(frames) if r_max_A is None else r_max_A
    n_bins = max(1, round(r_max_A / bin_A))
    edges = np.linspace(0.0, r_max_A, n_bins + 1)
    shell = 4 / 3 * np.pi * np.diff(edges**3)
    kinds = np.searchsorted(np.unique(frames.numbers), frames.numbers)
    n_kinds, block = len(frames.species), frames.block_of
    n_blocks = block[-1] + 1
    counts, ideal, weight = np.zeros((n_blocks, n_kinds, n_kinds, n_bins)), np.zeros(n_blocks), np.bincount(block)
    for start, stop in frames.chunks():
        positions, cells = frames.read("positions", start, stop), frames.read("cells", start, stop)
        for k in range(start, stop):
            system = System(positions[k - start], frames.numbers, np.array(cells[k - start]), frames.pbc)
            validate(system)
            near = build(system, r_max_A)
            where = coordinates(system.positions, system.cell, near)
            _count_pairs(
                where, near.first, near.j, near.image, image_vectors(near, system.cell), kinds[near.order],
                n_bins / r_max_A, counts[block[k]],
            )  # fmt: skip
            ideal[block[k]] += 1.0 / volumes[k]
    r, found = 0.5 * (edges[1:] + edges[:-1]), {}
    names = list(frames.species)
    for a in range(n_kinds):
        n_a = len(frames.species[names[a]])
        for b in range(n_kinds):
            n_b, name = len(frames.species[names[b]]), f"{names[a]}-{names[b]}"
            if b >= a:
                y, error = block_mean(counts[:, a, b] / (n_a * n_b * shell), ideal)
                found[f"rdf {name}"] = Table(r, y, error, "r / Å", "g(r)", _first_peak(r, y, error))
            y, error = block_mean(np.cumsum(counts[:, a, b], axis=1) / n_a, weight)
            g = found[f"rdf {names[min(a, b)]}-{names[max(a, b)]}"]
            minimum = g.numbers.get("first minimum / Å", (math.nan, math.nan))[0]
            numbers = {}
            if math.isfinite(minimum):
                at = int(np.searchsorted(edges[1:], minimum - 1e-9))
                numbers = {f"neighbours within {edges[1 + at]:.2f} Å": (float(y[at]), float(error[at]))}
            found[f"coordination {name}"] = Table(edges[1:], y, error, "r / Å", "neighbours within r", numbers)
    return found


@njit
def _count_pairs(x, first, j, image, shifts, kind, per_A, counts):
    n_bins = counts.shape[2]
    for i in range(len(x)):
        for t in range(first[i], first[i + 1]):
            d2 = 0.0
            for c in range(3):
                d = x[j[t], c] - x[i, c] + shifts[image[t], c]
                d2 += d * d
            b = int(np.sqrt(d2) * per_A)
            if b < n_bins:
                counts[kind[i], kind[j[t]], b] += 1.0


def _first_peak(r, y, error) -> dict[str, tuple[float, float]]:
    """Place and height of the first peak, and the minimum that follows it (of a curve smoothed over three bins)."""
    smooth = np.convolve(y, [0.25, 0.5, 0.25], mode="same")
    rising = np.flatnonzero(smooth > 1.0)
    if not len(rising):
        return {}
    below = np.flatnonzero(smooth[rising[0] :] < 1.0)
    end = rising[0] + below[0] if len(below) else len(r)
    top = rising[0] + int(np.argmax(y[rising[0] : end]))
    numbers = {
        "first peak / Å": (float(r[top]), float(r[1] - r[0]) / math.sqrt(12)),
        "height of the first peak": (float(y[top]), float(error[top])),
    }
    if len(below):
        again = np.flatnonzero(smooth[end:] > 1.0)
        stop = end + again[0] if len(again) else len(r)
        lowest = np.flatnonzero(smooth[end:stop] == smooth[end:stop].min())
        low = end + int(lowest[len(lowest) // 2])  # in the middle of the gap between the shells of a crystal
        numbers["first minimum / Å"] = (float(r[low]), float(r[1] - r[0]) / math.sqrt(12))
    return numbers


def covalent_A(a: str, b: str) -> float:
    """Sum of the covalent radii of two elements, Å (as ASE has them)."""
    z = [chemical_symbols.index(s) for s in (a, b)]
    return float(covalent_radii[z[0]] + covalent_radii[z[1]])


def check_pairs(frames: Frames, given: Mapping[tuple[str, str], object]) -> None:
    """Raise InputError if a pair that was asked for names a species that the run does not have."""
    for pair in given:
        for symbol in pair:
            if symbol not in frames.species:
                there = ", ".join(frames.species)
                raise InputError(f"pair {'-'.join(pair)}: there is no {symbol} in the run, which has {there}")


def _of_pair(given: Mapping, a: str, b: str, default):
    return given.get((a, b), given.get((b, a), default))


def angular_distribution(
    frames: Frames, reach_A: Mapping[tuple[str, str], float] | None = None, bin_degrees: float = 2.0
) -> dict[str, Table]:
    """Distributions of the angles j-i-k over neighbours within reach, name "angle J-I-K" -> Table, integral 1.

    reach_A : (symbol, symbol) -> distance; by default 1.3 times the sum of the covalent radii
    """
    check_pairs(frames, reach_A or {})
    names = list(frames.species)
    n = len(names)
    reach = np.array([[_of_pair(reach_A or {}, a, b, ANGLE_REACH * covalent_A(a, b)) for b in names] for a in names])
    kinds = np.searchsorted(np.unique(frames.numbers), frames.numbers)
    n_bins, block = round(180 / bin_degrees), frames.block_of
    counts = np.zeros((block[-1] + 1, n, n, n, n_bins))
    for k, system in _systems(frames):
        i, j, _, r = neighbor_list(system, float(reach.max()))
        d = np.linalg.norm(r, axis=1)
        near = d < reach[kinds[i], kinds[j]]
        first = np.searchsorted(i[near], np.arange(len(system) + 1))
        _count_angles(first, kinds[j[near]], r[near] / d[near, None], kinds, counts[block[k]])
    x, found = (np.arange(n_bins) + 0.5) * 180 / n_bins, {}
    for c in range(n):
        for a, b in combinations_with_replacement(range(n), 2):
            total = counts[:, c, a, b].sum(axis=1)
            if total.sum() == 0:
                continue
            y, error = block_mean(counts[:, c, a, b] * (n_bins / 180), total)
            mean, mean_error = block_mean(counts[:, c, a, b] @ x, total)
            name = f"angle {names[a]}-{names[c]}-{names[b]}"
            numbers = {"mean angle / degree": (float(mean), float(mean_error))}
            found[name] = Table(x, y, error, "angle / degree", "density / (1/degree)", numbers)
    return found


@njit
def _count_angles(first, kind, unit, centre_kind, counts):
    n_bins = counts.shape[3]
    for i in range(len(first) - 1):
        for p in range(first[i], first[i + 1]):
            for q in range(first[i], p):
                cosine = unit[p, 0] * unit[q, 0] + unit[p, 1] * unit[q, 1] + unit[p, 2] * unit[q, 2]
                angle = np.arccos(min(1.0, max(-1.0, cosine)))
                b = min(n_bins - 1, int(angle / np.pi * n_bins))
                low, high = min(kind[p], kind[q]), max(kind[p], kind[q])
                counts[centre_kind[i], low, high, b] += 1.0


def _systems(frames: Frames):
    """(k, System) of every frame; a run without a cell has one of zeros."""
    for start, stop in frames.chunks():
        positions = frames.read("positions", start, stop)
        cells = frames.read("cells", start, stop) if frames.pbc.any() else np.zeros((stop - start, 3, 3))
        for k in range(start, stop):
            yield k, System(positions[k - start], frames.numbers, np.array(cells[k - start]), frames.pbc)


def structure_factor(
    frames: Frames, k_max_per_A: float = 8.0, bin_per_A: float = 0.1, most_vectors: int = 3000, most_frames: int = 300
) -> dict[str, Table]:
    """Partial static structure factors S_ab(k) from wave vectors of the cell (Ashcroft-Langreth), name -> Table.

    S_ab = <rho_a(k) rho_b(-k)> / sqrt(N_a N_b); "structure factor" alone is that of all atoms alike. Per bin of k,
    at most most_vectors / bins vectors, evenly taken; at most most_frames frames, evenly taken.
    Raises InputError for cells that are not periodic in three directions. Source: Hansen & McDonald (2013), eq. 4.1.4.
    """
    frames.volumes()
    vectors = _wave_vectors(frames.read("cells", 0, 1)[0], k_max_per_A, bin_per_A, most_vectors)
    n_bins, names = round(k_max_per_A / bin_per_A), list(frames.species)
    n, block = len(names), frames.block_of
    sums, weights = np.zeros((block[-1] + 1, n + 1, n + 1, n_bins)), np.zeros((block[-1] + 1, n_bins))
    sizes = np.array([len(frames.species[a]) for a in names] + [frames.n_atoms])
    for k in np.unique(np.linspace(0, len(frames) - 1, min(most_frames, len(frames))).astype(int)):
        inverse = np.linalg.inv(frames.read("cells", k, k + 1)[0])
        fractional = frames.read("positions", k, k + 1)[0] @ inverse
        length = 2 * np.pi * np.linalg.norm(vectors @ inverse.T, axis=1)
        rho = np.array([_density_modes(fractional[frames.species[a]], vectors) for a in names])
        rho = np.concatenate([rho, rho.sum(axis=0)[None]]) / np.sqrt(sizes)[:, None]
        b = np.minimum((length / bin_per_A).astype(int), n_bins)
        weights[block[k]] += np.bincount(b, minlength=n_bins + 1)[:n_bins]
        for p in range(n + 1):
            for q in range(n + 1):
                product = np.real(rho[p] * np.conj(rho[q]))
                sums[block[k], p, q] += np.bincount(b, product, minlength=n_bins + 1)[:n_bins]
    centre = (np.arange(n_bins) + 0.5) * bin_per_A
    found = {}
    labels = [(n, n, "structure factor")]
    if n > 1:
        labels += [(p, q, f"structure factor {names[p]}-{names[q]}") for p in range(n) for q in range(p, n)]
    for p, q, name in labels:
        y, error = block_mean(sums[:, p, q], weights)
        there = np.isfinite(y)
        found[name] = Table(centre[there], y[there], error[there], "k / Å⁻¹", "S(k)")
    return found


def _wave_vectors(cell, k_max, bin_width, most) -> np.ndarray:
    """(K, 3) integer wave vectors, one of each pair k, -k, up to k_max, thinned evenly in bins of length."""
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    per_bin = max(4, int(most * bin_width / k_max))
    reach = np.ceil(k_max * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
    grids = []
    # A large cell has far more vectors than are wanted: multiples of a coarser lattice are taken where k is large.
    for shell in range(round(k_max / bin_width)):
        low, high = shell * bin_width, (shell + 1) * bin_width
        grids.append(_shell_vectors(reciprocal, reach, low, high, per_bin, seed=shell))
    return np.concatenate(grids).astype(float)


def _shell_vectors(reciprocal, reach, low, high, per_bin, seed) -> np.ndarray:
    """Integer vectors with low <= |k| < high: all of them if few, else those nearest to random directions."""
    expected = 2 * np.pi * (high**3 - low**3) / 3 / abs(np.linalg.det(reciprocal))
    if expected > 4 * per_bin:
        rng = np.random.default_rng(seed)
        direction = rng.normal(size=(4 * per_bin, 3))
        direction *= rng.uniform(low, high, (len(direction), 1)) / np.linalg.norm(direction, axis=1, keepdims=True)
        n = np.unique(np.round(direction @ np.linalg.inv(reciprocal)).astype(int), axis=0)
    else:
        bound = np.minimum(reach, np.ceil(high * np.linalg.norm(np.linalg.inv(reciprocal), axis=0)).astype(int))
        n = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in bound), indexing="ij"), axis=-1).reshape(-1, 3)
    half = (n[:, 0] > 0) | ((n[:, 0] == 0) & ((n[:, 1] > 0) | ((n[:, 1] == 0) & (n[:, 2] > 0))))
    n = n[half]
    length = np.linalg.norm(n @ reciprocal, axis=1)
    n = n[(length >= low) & (length < high)]
    if len(n) > per_bin:
        n = n[np.random.default_rng(seed).permutation(len(n))[:per_bin]]
    return n


@njit
def _density_modes(fractional, vectors):
    """sum_i exp(2 pi i n . s_i) for every integer vector n: products of the waves along each cell vector."""
    out = np.zeros(len(vectors), dtype=np.complex128)
    most = int(np.abs(vectors).max())
    for begin in range(0, len(fractional), 1000):
        s = fractional[begin : begin + 1000]
        real, imaginary = np.empty((3, 2 * most + 1, len(s))), np.empty((3, 2 * most + 1, len(s)))
        for c in range(3):
            for n in range(-most, most + 1):
                for i in range(len(s)):
                    phase = n * s[i, c]
                    phase = 2 * np.pi * (phase - np.floor(phase))
                    real[c, most + n, i], imaginary[c, most + n, i] = np.cos(phase), np.sin(phase)
        for v in range(len(vectors)):
            place = most + vectors[v].astype(np.int64)
            x, y, z = real[0, place[0]], real[1, place[1]], real[2, place[2]]
            p, q, w = imaginary[0, place[0]], imaginary[1, place[1]], imaginary[2, place[2]]
            total_real = total_imaginary = 0.0
            for i in range(len(s)):
                a, b = x[i] * y[i] - p[i] * q[i], x[i] * q[i] + p[i] * y[i]
                total_real += a * z[i] - b * w[i]
                total_imaginary += a * w[i] + b * z[i]
            out[v] += complex(total_real, total_imaginary)
    return out


def profiles(frames: Frames, axis: int = 2, n_bins: int = 50) -> dict[str, Table]:
    """Profiles of density (g/cm^3) and temperature (K) along a cell vector, name -> Table.

    axis : 0, 1 or 2 for a, b, c; x is the height above the plane of the other two, in bins of the mean height.
    Temperatures take 3 degrees of freedom per atom, times (N - 1) / N as the total momentum is at rest; only with
    velocities. Raises InputError for cells that are not periodic in three directions.
    """
    volumes, block = frames.volumes(), frames.block_of
    mass, heights = np.zeros((block[-1] + 1, n_bins)), np.empty(len(frames))
    for start, stop in frames.chunks():
        inverse = np.linalg.inv(frames.read("cells", start, stop))
        heights[start:stop] = 1.0 / np.linalg.norm(inverse[:, :, axis], axis=1)
        bins = _bins_along(frames.read("positions", start, stop), inverse, axis, n_bins)
        for k in range(start, stop):
            mass[block[k]] += np.bincount(bins[k - start], frames.masses, n_bins) * n_bins / volumes[k]
    x, label = (np.arange(n_bins) + 0.5) * float(np.mean(heights)) / n_bins, f"height along {'abc'[axis]} / Å"
    y, error = block_mean(mass * U_PER_A3_IN_G_PER_CM3, np.bincount(block).astype(float))
    total = mass.mean(axis=1) * U_PER_A3_IN_G_PER_CM3
    mean = block_mean(total, np.bincount(block).astype(float))
    found = {"density profile": Table(x, y, error, label, "density / (g/cm³)",
                                      {"mean density / (g/cm³)": (float(mean[0]), float(mean[1]))})}  # fmt: skip
    try:
        y, error = _temperatures_along(frames.common("velocities", "positions", "cells"), axis, n_bins)
        found["temperature profile"] = Table(x, y, error, label, "temperature / K")
    except FileError as error:
        frames.notes.append(f"temperature profile: {error}")
    except InputError:
        pass  # there are no velocities
    return found


def _temperatures_along(frames: Frames, axis: int, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Temperature (n_bins,) K of each bin along a cell vector, and its error."""
    block = frames.block_of
    count, kinetic = (np.zeros((block[-1] + 1, n_bins)) for _ in range(2))
    for start, stop in frames.chunks():
        inverse = np.linalg.inv(frames.read("cells", start, stop))
        bins = _bins_along(frames.read("positions", start, stop), inverse, axis, n_bins)
        v2 = np.sum(frames.read("velocities", start, stop) ** 2, axis=2)
        for k in range(start, stop):
            b = bins[k - start]
            count[block[k]] += np.bincount(b, minlength=n_bins)
            kinetic[block[k]] += np.bincount(b, frames.masses * v2[k - start], n_bins)
    degrees = 3 * (frames.n_atoms - 1) / frames.n_atoms if frames.n_atoms > 1 else 3
    return block_mean(kinetic * EV_PER_U_A2_PER_FS2 / (degrees * BOLTZMANN_EV_PER_K), count)


def _bins_along(positions, inverse, axis: int, n_bins: int) -> np.ndarray:
    """(T, N) bin of each atom along a cell vector; inverse (T, 3, 3) of the cells."""
    s = np.einsum("tni,ti->tn", positions, inverse[:, :, axis])
    return np.minimum(((s - np.floor(s)) * n_bins).astype(int), n_bins - 1)


@dataclass(frozen=True)
class Bonds:
    """Bonds in time.

    table : number of bonds at each frame; events : (time_fs, i, j, formed) of each; limits_A : form, break by pair
    """

    table: Table
    events: list[tuple[float, int, int, bool]]
    limits_A: dict[tuple[str, str], tuple[float, float]]


def bond_events(frames: Frames, limits_A: Mapping[tuple[str, str], tuple[float, float]] | None = None) -> Bonds:
    """Bonds that form and break by distance, with hysteresis: below the first limit they form, above the second break.

    limits_A : (symbol, symbol) -> (form, break); by default 1.2 and 1.6 times the sum of the covalent radii.
    A pair of atoms is one bond, whatever the image. Raises InputError for limits in the wrong order.
    """
    check_pairs(frames, limits_A or {})
    names = list(frames.species)
    limits = {}
    for a, b in combinations_with_replacement(names, 2):
        limits[a, b] = _of_pair(limits_A or {}, a, b, (FORM * covalent_A(a, b), BREAK * covalent_A(a, b)))
        if not 0 < limits[a, b][0] <= limits[a, b][1]:
            raise InputError(
                f"bond {a}-{b}: forms below {limits[a, b][0]} Å, which must not exceed {limits[a, b][1]} Å"
            )
    kinds = np.searchsorted(np.unique(frames.numbers), frames.numbers)
    table = np.array([[_of_pair(limits, a, b, None) for b in names] for a in names])
    n, bonded, events = frames.n_atoms, np.empty(0, np.int64), []
    number, numbers_at = np.zeros(len(frames)), np.arange(len(frames))
    for k, system in _systems(frames):
        i, j, _, r = neighbor_list(system, float(table.max()))
        half = i < j
        i, j, d = i[half], j[half], np.linalg.norm(r[half], axis=1)
        key, limit = i * n + j, table[kinds[i], kinds[j]]
        forming, holding = np.unique(key[d < limit[:, 0]]), np.unique(key[d < limit[:, 1]])
        now = np.union1d(forming, np.intersect1d(bonded, holding))
        if k:
            t = float(frames.times_fs[k])
            for pairs, formed in ((np.setdiff1d(bonded, now), False), (np.setdiff1d(now, bonded), True)):
                events += [(t, int(p // n), int(p % n), formed) for p in pairs]
        bonded, number[k] = now, len(now)
    block = frames.block_of
    mean, error = block_mean(np.bincount(block, number), np.bincount(block).astype(float))
    n_formed = sum(e[3] for e in events)
    found = {
        "mean number of bonds": (float(mean), float(error)),
        "bonds formed": (float(n_formed), math.sqrt(n_formed)),
        "bonds broken": (float(len(events) - n_formed), math.sqrt(len(events) - n_formed)),
    }
    time = frames.times_fs[numbers_at] * 1e-3
    return Bonds(Table(time, number, np.full(len(number), np.nan), "time / ps", "bonds", found), events, limits)


__all__ = [
    "Bonds", "Table", "angular_distribution", "bond_events", "profiles", "radial_distribution", "structure_factor",
]  # fmt: skip
