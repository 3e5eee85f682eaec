"""Time correlations from frames: displacements, velocities and their spectra, Green-Kubo integrals.

All are averages over all time origins, by FFT, read in windows of origins and, where twice the longest lag of all atoms
does not fit into memory, groups of atoms. Each block of origins is one of the error bar. Blocks reach over their end by
the lag, so they overlap; the error at lag t is larger by sqrt(1 + t / length of a block) for that.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import find_peaks
from scipy.spatial.transform import Rotation

from mdnnp.analysis.frames import MIN_BLOCKS, N_BLOCKS, Frames, block_mean
from mdnnp.analysis.structure import Table
from mdnnp.atoms import quantities
from mdnnp.base.errors import InputError
from mdnnp.base.units import BOLTZMANN_EV_PER_K, ELEMENTARY_CHARGE_C, EV_PER_U_A2_PER_FS2

MIN_LAGS = 8
CM_PER_THZ = 1e12 / 2.99792458e10  # wave number of 1 THz, 1/cm
# Peaks of a spectrum that are listed; prominence of the highest, below which they may be side lobes of the Hann window.
MIN_PROMINENCE, MOST_PEAKS = 0.05, 8
YEH_HUMMER = 2.837297  # of a cubic cell
_SEGMENT_VALUES = 8_000_000  # 64 MB, of which correlations hold a few copies
_FFT_COLUMNS = 192
_FEWEST_LAGS = 200  # of a mean squared displacement from which frames are left out


def lagged_sums(x: np.ndarray, n_origins: int, n_lags: int) -> tuple[np.ndarray, np.ndarray]:
    """sum_t x(t) x(t + lag) over t < n_origins with t + lag < n, and the numbers of such t.

    x : (n, columns) or (n,); returns (n_lags, columns), summed over nothing but time, and (n_lags,)
    """
    x = x.reshape(len(x), -1)
    n, lags = len(x), np.arange(n_lags)
    count = np.clip(np.minimum(n_origins, n - lags), 0, None)
    out = np.empty((n_lags, x.shape[1]))
    size = next_fast_len(n + n_origins, real=True)
    for c in range(0, x.shape[1], _FFT_COLUMNS):
        columns = x[:, c : c + _FFT_COLUMNS]
        product = np.conj(rfft(columns[:n_origins], size, axis=0)) * rfft(columns, size, axis=0)
        part = irfft(product, size, axis=0)
        out[:, c : c + _FFT_COLUMNS] = np.where(lags[:, None] < n, part[np.minimum(lags, n - 1)], 0.0)
    return out, count


def displacement_sums(x: np.ndarray, n_origins: int, n_lags: int) -> tuple[np.ndarray, np.ndarray]:
    """sum_t (x(t + lag) - x(t))^2 as `lagged_sums`. Source: Calandrini et al., Coll. SFN 12, 201 (2011)."""
    x = x.reshape(len(x), -1)
    parts = [
        _displacement_sums(x[:, c : c + _FFT_COLUMNS], n_origins, n_lags) for c in range(0, x.shape[1], _FFT_COLUMNS)
    ]
    return np.concatenate([sums for sums, _ in parts], axis=1), parts[0][1]


def _displacement_sums(x: np.ndarray, n_origins: int, n_lags: int) -> tuple[np.ndarray, np.ndarray]:
    x = x - x.mean(axis=0)
    products, count = lagged_sums(x, n_origins, n_lags)
    total = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x * x, axis=0)])
    lags = np.minimum(np.arange(n_lags), len(x))
    squares = total[count] + total[np.minimum(lags + count, len(x))] - total[lags]
    return np.maximum(squares - 2 * products, 0.0), count


def _segments(n_frames: int) -> list[tuple[int, int]]:
    """Origins of each block."""
    bounds = np.linspace(0, n_frames, min(N_BLOCKS, n_frames) + 1).astype(int)
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def _atom_sums(read: Callable, sums: Callable, n_frames: int, groups: dict[str, np.ndarray], weights, n_lags: int):
    """name -> ((B, n_lags) sums over atoms of the group, times their weights); and (B, n_lags) numbers of origins.

    read(start, stop, atoms) : (stop - start, len(atoms), 3), of n_frames
    A window has twice as many frames as lags or more, so that each frame is read at most twice for a group of atoms,
    and holds _SEGMENT_VALUES, or half as many again where a block is not a whole number of times the lags.
    """
    segments, n_atoms = _segments(n_frames), len(weights)
    block = segments[-1][1] - segments[-1][0]
    room = max(n_lags, _SEGMENT_VALUES // (3 * n_atoms) - n_lags)
    n_windows = max(1, min(math.ceil(block / room), block // n_lags))
    origins = math.ceil(block / n_windows)
    at_once = math.ceil(n_atoms / max(1, round(3 * n_atoms * (origins + n_lags) / _SEGMENT_VALUES)))
    found = {name: np.zeros((len(segments), n_lags)) for name in groups}
    counts = np.zeros((len(segments), n_lags))
    for s, (begin, end) in enumerate(segments):
        for a in range(begin, end, origins):
            b = min(a + origins, end)
            for g in range(0, n_atoms, at_once):
                atoms = np.arange(g, min(g + at_once, n_atoms))
                values, count = sums(read(a, min(b + n_lags - 1, n_frames), atoms), b - a, n_lags)
                per_atom = values.reshape(n_lags, len(atoms), 3).sum(axis=2) * weights[atoms]
                for name, members in groups.items():
                    inside = members[(members >= atoms[0]) & (members <= atoms[-1])] - atoms[0]
                    found[name][s] += per_atom[:, inside].sum(axis=1)
            counts[s] += count
    return found, counts


def _over_blocks(sums: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and errors (n_lags,) of sums (B, n_lags) over counts, errors widened for the overlap of blocks."""
    mean, error = block_mean(sums, counts)
    return mean, error * np.sqrt(1 + np.arange(sums.shape[1]) / counts[0, 0])


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    dx = x - x.mean()
    return float(dx @ (y - y.mean()) / (dx @ dx))


def n_lags_of(frames: Frames, lag_fs: float | None, fraction: float, most_fs: float = math.inf) -> int:
    """Number of lags to reach `lag_fs`, or by default that fraction of the run, at most most_fs.

    Raises InputError if the run is too short for it.
    """
    dt, n = frames.spacing_fs(), len(frames)
    lags = int(min(fraction * n * dt, most_fs) / dt) + 1 if lag_fs is None else round(lag_fs / dt) + 1
    if lags > n or lags < MIN_LAGS:
        wanted = "" if lag_fs is None else f" to correlate over {lag_fs * 1e-3:.4g} ps"
        raise InputError(
            f"{n} frames {dt:.4g} fs apart are too few{wanted}: at least {MIN_LAGS} lags are needed, and no longer "
            "than the run; use another correlation time, run longer, or write frames more often"
        )
    return lags


def temperature_K(frames: Frames) -> float:
    """Mean temperature from the velocities, with the three degrees of the total momentum left out."""
    frames = frames.common("velocities")
    kinetic, n = 0.0, 3 * frames.n_atoms - (3 if frames.n_atoms > 1 else 0)
    for start, stop in frames.chunks():
        v = frames.read("velocities", start, stop)
        kinetic += EV_PER_U_A2_PER_FS2 * float(np.einsum("tnk,tnk,n->", v, v, frames.masses))
    return kinetic / len(frames) / (n * BOLTZMANN_EV_PER_K)


def mean_squared_displacement(
    frames: Frames,
    lag_fs: float | None = None,
    fit_fs: tuple[float, float] | None = None,
    viscosity_mPas: float | None = None,
    temperature: float | None = None,
    remove_drift: bool = True,
) -> dict[str, Table]:
    """MSD of each species (Å^2) and its diffusion coefficient (1e-9 m^2/s), name -> Table.

    lag_fs : longest lag, by default a fifth of the run; fit_fs : where a straight line is fitted, by default from a
    fifth of the longest lag to all of it. Of runs so long that twice the longest lag does not fit into memory, frames
    are left out evenly (a note says so). viscosity_mPas : adds D at infinite size, D + 2.837297 kT / (6 pi eta L), for
    a cubic cell; temperature : K, by default that of the velocities. remove_drift : minus the motion of the centre of
    mass; of N equal atoms that move by themselves, as with friction and noise, this takes D / N.
    Source: I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873 (2004).
    """
    n_lags = n_lags_of(frames, lag_fs, 0.2)
    every = max(1, 6 * n_lags * frames.n_atoms // _SEGMENT_VALUES)
    if n_lags // every < _FEWEST_LAGS:
        every = max(1, n_lags // _FEWEST_LAGS)
    n_lags, n_frames = (n_lags - 1) // every + 1, (len(frames) - 1) // every + 1
    if every > 1:
        frames.notes.append(
            f"mean squared displacement: 1 of every {every} frames is used, as all do not fit into memory"
        )
    dt = every * frames.spacing_fs()
    time = np.arange(n_lags) * dt

    def read(a, b, atoms):
        return frames.unwrapped(every * a, every * (b - 1) + 1, atoms, every=every, remove_drift=remove_drift)

    sums, counts = _atom_sums(read, displacement_sums, n_frames, frames.species, np.ones(frames.n_atoms), n_lags)
    low, high = fit_fs or (0.2 * time[-1], time[-1])
    window = (time >= low - 1e-6 * dt) & (time <= high + 1e-6 * dt) & (time > 0)
    if window.sum() < 2:
        raise InputError(f"the window {low:.4g}-{high:.4g} fs of the fit holds fewer than two lags {dt:.4g} fs apart")
    last = int(np.flatnonzero(window)[-1])
    full = counts[:, last] > 0
    correction = _finite_size(frames, viscosity_mPas, temperature)
    found = {}
    for name, members in frames.species.items():
        msd, error = _over_blocks(sums[name] / len(members), counts)
        slope = _slope(time[window], msd[window])
        blocks = [_slope(time[window], (s[window] / c[window]) / len(members))
                  for s, c in zip(sums[name][full], counts[full], strict=True)]  # fmt: skip
        spread = math.nan
        if len(blocks) >= MIN_BLOCKS:
            spread = float(np.std(blocks, ddof=1)) / math.sqrt(len(blocks)) * math.sqrt(1 + last / counts[0, 0])
        d, d_error = slope / 6 * 1e4, spread / 6 * 1e4
        numbers = {"D / (1e-9 m²/s)": (d, d_error)}
        if correction is not None:
            numbers["D at infinite size / (1e-9 m²/s)"] = (d + correction, d_error)
        positive = window & (msd > 0)
        if positive.sum() > 1:
            exponent = _slope(np.log(time[positive]), np.log(msd[positive]))
            numbers["exponent of the MSD in the window (1: diffusion)"] = (exponent, math.nan)
        numbers["fit from / ps"], numbers["fit to / ps"] = (low * 1e-3, math.nan), (high * 1e-3, math.nan)
        found[f"msd {name}"] = Table(time * 1e-3, msd, error, "lag / ps", "MSD / Å²", numbers)
    return found


def _finite_size(frames: Frames, viscosity_mPas: float | None, temperature: float | None) -> float | None:
    """Reduction of D by the periodic cell, 1e-9 m^2/s. Raises InputError for a cell that is not cubic."""
    if viscosity_mPas is None:
        return None
    cell = frames.read("cells", 0, 1)[0]
    length = abs(np.linalg.det(cell)) ** (1 / 3)
    if np.abs(cell @ cell.T - length**2 * np.eye(3)).max() > 1e-3 * length**2 or not frames.pbc.all():
        raise InputError("the finite-size correction of D is that of a cubic cell, and this cell is not cubic")
    kT = BOLTZMANN_EV_PER_K * ELEMENTARY_CHARGE_C * (temperature or temperature_K(frames))
    return YEH_HUMMER * kT / (6 * np.pi * viscosity_mPas * 1e-3 * length * 1e-10) * 1e9


def velocity_spectrum(frames: Frames, lag_fs: float | None = None) -> dict[str, Table]:
    """Velocity autocorrelation and vibrational density of states of each species and of all, name -> Table.

    Both are mass weighted: c_s(t) = sum_i in s m_i <v_i(0) v_i(t)> / sum_i m_i <v_i^2>, and
    G_s(nu) = 4 int_0^L c_s(t) cos^2(pi t / 2 L) cos(2 pi nu t) dt, the Hann window cut at the longest lag L, so that
    the integral of G over nu is c_s(0), the species' share of the kinetic energy. The resolution is 1/L.
    lag_fs : L, by default a fifth of the run, at most 2 ps
    Where no direction is periodic, translation and rotation of the whole are taken out.
    Raises InputError without velocities. Source: Allen & Tildesley (2017), sect. 8.5.
    """
    frames = frames.common("velocities")
    n_lags, dt = n_lags_of(frames, lag_fs, 0.2, 2000.0), frames.spacing_fs()

    isolated = not frames.pbc.any() and frames.n_atoms > 1

    def read(a, b, atoms):
        return _without_rotation(frames, a, b, atoms) if isolated else frames.series("velocities", a, b, atoms)

    groups = frames.species | ({"all": np.arange(frames.n_atoms)} if len(frames.species) > 1 else {})
    sums, counts = _atom_sums(read, lagged_sums, len(frames), groups, frames.masses, n_lags)
    zero = sum(sums[name][:, 0] for name in frames.species)
    norm = float(zero.sum() / counts[:, 0].sum())
    if not norm > 0:
        raise InputError("all velocities are zero: there is no spectrum")
    time = np.arange(n_lags) * dt
    padded = next_fast_len(max(8 * n_lags, 2000), real=True)
    frequency = np.fft.rfftfreq(padded, dt * 1e-3)
    found = {}
    for name in groups:
        c, error = _over_blocks(sums[name] / norm, counts)
        found[f"vacf {name}"] = Table(time * 1e-3, c, error, "lag / ps", "velocity autocorrelation")
        full = counts[:, -1] > 0
        each = np.array(
            [spectrum(s / k / norm, dt, padded) for s, k in zip(sums[name][full], counts[full], strict=True)]
        )
        _, g_error = block_mean(each, np.ones(len(each)))
        g = spectrum(c, dt, padded)
        g_error = g_error * math.sqrt(1 + n_lags / counts[0, 0])
        wave = frequency * CM_PER_THZ
        numbers = {
            "highest that the frames resolve / cm⁻¹": (float(wave[-1]), math.nan),
            "resolution / cm⁻¹": (CM_PER_THZ / (time[-1] * 1e-3), math.nan),
        }
        for rank, at in enumerate(_peaks(g)[:MOST_PEAKS], 1):
            numbers[f"peak {rank} / cm⁻¹"] = (float(wave[at]), 0.5 * CM_PER_THZ / (time[-1] * 1e-3))
        label = "G(ν) / (1/THz)"
        found[f"vdos {name}"] = Table(wave, g, g_error, "ν / cm⁻¹", label, numbers)
    return found


def spectrum(c: np.ndarray, dt_fs: float, padded: int) -> np.ndarray:
    """4 int c(t) w(t) cos(2 pi nu t) dt in 1/THz, by the trapezoidal rule."""
    window = np.cos(0.5 * np.pi * np.arange(len(c)) / len(c)) ** 2
    values = c * window
    values[0] *= 0.5
    return 4 * dt_fs * 1e-3 * np.real(np.fft.rfft(values, padded))


def _peaks(g: np.ndarray) -> np.ndarray:
    """Places of the maxima in order of their prominence (height above the minimum between them and a higher one)."""
    at, found = find_peaks(g, prominence=MIN_PROMINENCE * g.max())
    return at[np.argsort(-found["prominences"])]


def _without_rotation(frames: Frames, start: int, stop: int, atoms: np.ndarray) -> np.ndarray:
    """(stop - start, len(atoms), 3) velocities of an isolated molecule or cluster in a frame that turns along with it.

    The whole has no momentum and no angular momentum there; its axes are those of the first frame.
    """
    everyone = np.arange(frames.n_atoms)
    x = frames.unwrapped(start, stop, everyone)
    v = frames.series("velocities", start, stop, everyone)
    v -= quantities.centre_of_mass(v, frames.masses)[:, None]
    turning = quantities.angular_velocity(x, v, frames.masses)
    v = quantities.without_rotation(x, v, frames.masses)
    if len(x) > 1:
        steps = Rotation.from_rotvec(0.5 * (turning[1:] + turning[:-1]) * np.diff(frames.times_fs[start:stop])[:, None])
        axes = np.eye(3)
        for k, step in enumerate(steps.as_matrix(), 1):
            axes = step @ axes
            v[k] = v[k] @ axes
    return v[:, atoms]


def green_kubo(
    series: np.ndarray, dt_fs: float, factor: float, lag_fs: float | None, names: tuple[str, str, str]
) -> dict[str, Table]:
    """Autocorrelation of the columns' mean and its running integral times `factor`, two tables.

    series : (T, columns), equally spaced by dt_fs; each column is an equivalent component, of mean zero
    names : of the correlation, of the integral (with unit), of the number. The number is the mean of the running
    integral from the lag t at which the correlation has decayed into its error bar (`_decay`), to 2 t. Its error is the
    jackknife's over blocks, with t chosen anew each time, and the integral of a tail as large as the error bar of the
    correlation and as long as t, which the noise could hide.
    Raises InputError if the series is too short. Source: Allen & Tildesley (2017), eq. 2.124.
    """
    n = len(series)
    n_lags = int(0.1 * n) + 1 if lag_fs is None else round(lag_fs / dt_fs) + 1
    if n_lags < MIN_LAGS or n_lags > n // 2:
        raise InputError(
            f"{n} samples {dt_fs:.4g} fs apart are too few for a correlation over {(n_lags - 1) * dt_fs * 1e-3:.4g} "
            f"ps: at least {MIN_LAGS} lags, and no more than half of the run"
        )
    columns = series.shape[1]
    if not np.any(series):
        raise InputError("there are no fluctuations: all values are equal")
    each_sum, each_count = [], []
    for a, b in _segments(n):
        values, count = lagged_sums(series[a : min(b + n_lags - 1, n)], b - a, n_lags)
        each_sum.append(values.sum(axis=1) / columns)
        each_count.append(count)
    sums, counts = np.array(each_sum), np.array(each_count, dtype=float)
    c, error = _over_blocks(sums, counts)
    running = factor * _integral(c, dt_fs)
    full = counts[:, -1] > 0
    each = np.array([factor * _integral(s / k, dt_fs) for s, k in zip(sums[full], counts[full], strict=True)])
    widen = np.sqrt(1 + np.arange(n_lags) / counts[0, 0])
    running_error = block_mean(each, np.ones(len(each)))[1] * widen
    value, cut = _plateau(c, error, dt_fs)
    decayed = 2 * cut < n_lags
    left_out = [np.delete(np.arange(len(sums)), k) for k in range(len(sums))]
    jackknife = [_plateau(*_over_blocks(sums[kept], counts[kept]), dt_fs)[0] for kept in left_out]
    spread = math.sqrt((len(sums) - 1) * np.var(jackknife) * (1 + min(2 * cut, n_lags - 1) / counts[0, 0]))
    spread = factor * math.hypot(spread, error[cut] * cut * dt_fs)
    time = np.arange(n_lags) * dt_fs * 1e-3
    numbers = {names[2]: (factor * value, spread), "plateau from / ps": (float(time[cut]), math.nan)}
    if not decayed:
        numbers["plateau from / ps"] = (math.nan, math.nan)
    return {
        names[0]: Table(time, c / c[0], error / c[0], "lag / ps", "normalised correlation"),
        names[1].split(" / ")[0]: Table(time, running, running_error, "upper limit / ps", names[1], numbers),
    }


def _plateau(c: np.ndarray, error: np.ndarray, dt: float) -> tuple[float, int]:
    """Mean of the running integral of c from the lag at which it has decayed to twice that; and the lag, in samples."""
    cut = _decay(c, error)
    return float(_integral(c, dt)[max(1, cut) : min(2 * cut, len(c) - 1) + 1].mean()), cut


def _decay(c: np.ndarray, error: np.ndarray) -> int:
    """First lag t from which to 2 t a tenth at most of the correlation is beyond twice its error; or else the last.

    The correlation of a molecular liquid crosses zero many times before it has decayed.
    """
    n = len(c)
    beyond = np.concatenate([[0], np.cumsum(np.abs(c) > 2 * error)])
    for t in range(1, n):
        end = min(2 * t, n - 1) + 1
        if beyond[end] - beyond[t] <= 0.1 * (end - t) and end - t >= min(MIN_LAGS, n - t):
            return t
    return n - 1


def _integral(c: np.ndarray, dt: float) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(0.5 * dt * (c[1:] + c[:-1]))])


def viscosity(
    pressure_GPa: dict[str, np.ndarray], dt_fs: float, volume_A3: float, temperature: float, lag_fs: float | None = None
) -> dict[str, Table]:
    """Stress autocorrelation and shear viscosity (mPa s) from the pressure tensor xx, yy, zz, yz, xz, xy (T,), GPa.

    The five independent components of the traceless tensor are averaged: xy, xz, yz, (xx - yy)/2, (yy - zz)/2.
    Source: D. Alfè, M. J. Gillan, Phys. Rev. Lett. 81, 5161 (1998).
    """
    p = pressure_GPa
    parts = [p["xy"], p["xz"], p["yz"], 0.5 * (p["xx"] - p["yy"]), 0.5 * (p["yy"] - p["zz"])]
    series = np.stack([part - np.mean(part) * (k > 2) for k, part in enumerate(parts)], axis=1)
    kT = BOLTZMANN_EV_PER_K * ELEMENTARY_CHARGE_C * temperature
    factor = volume_A3 * 1e-30 * 1e18 * 1e-15 / kT * 1e3
    names = ("stress autocorrelation", "shear viscosity / (mPa s)", "shear viscosity / (mPa s)")
    return green_kubo(series, dt_fs, factor, lag_fs, names)


def thermal_conductivity(
    heat_current: np.ndarray, dt_fs: float, volume_A3: float, temperature: float, lag_fs: float | None = None
) -> dict[str, Table]:
    """Heat-current autocorrelation and conductivity (W/(m K)) from the heat current (T, 3), eV Å/fs.

    kappa = V^-1 (k T^2)^-1 int <J_x J_x>, averaged over x, y, z; J is extensive. For systems of one component.
    Source: Allen & Tildesley (2017), eq. 2.125.
    """
    series = heat_current - heat_current.mean(axis=0)
    si = (ELEMENTARY_CHARGE_C * 1e-10 / 1e-15) ** 2
    factor = si * 1e-15 / (volume_A3 * 1e-30 * BOLTZMANN_EV_PER_K * ELEMENTARY_CHARGE_C * temperature**2)
    names = ("heat current autocorrelation", "thermal conductivity / (W/(m K))", "thermal conductivity / (W/(m K))")
    return green_kubo(series, dt_fs, factor, lag_fs, names)
