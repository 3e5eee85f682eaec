"""Charges of a run: their distributions, and the infrared spectrum of the dipole."""

import math

import numpy as np
from scipy.fft import next_fast_len

from mdnnp.analysis.dynamics import CM_PER_THZ, lagged_sums, n_lags_of, spectrum
from mdnnp.analysis.frames import Frames, block_mean
from mdnnp.analysis.structure import Table
from mdnnp.atoms.quantities import dipole_moment
from mdnnp.base.errors import InputError

BINS = 100


def charge_distributions(frames: Frames) -> dict[str, Table]:
    """Distribution of the charges of each species, 1/e, with mean and standard deviation, name -> Table.

    Raises InputError without charges.
    """
    frames = frames.common("charges")
    blocks = frames.block_of
    found = {}
    for name, atoms in frames.species.items():
        low, high = math.inf, -math.inf
        for a, b in frames.chunks():
            q = frames.read("charges", a, b)[:, atoms]
            low, high = min(low, float(q.min())), max(high, float(q.max()))
        width = max(high - low, 1e-6)
        edges = np.linspace(low - 0.02 * width, high + 0.02 * width, BINS + 1)
        counts, sums = np.zeros((blocks[-1] + 1, BINS)), np.zeros((blocks[-1] + 1, 2))
        for a, b in frames.chunks():
            q = frames.read("charges", a, b)[:, atoms]
            for k in range(a, b):
                counts[blocks[k]] += np.histogram(q[k - a], edges)[0]
                sums[blocks[k]] += q[k - a].sum(), np.square(q[k - a]).sum()
        each = counts.sum(axis=1)
        y, error = block_mean(counts / np.diff(edges), each)
        (mean, square), (mean_error, _) = block_mean(sums, each)
        deviations = np.sqrt(np.maximum(sums[:, 1] / each - (sums[:, 0] / each) ** 2, 0.0))
        _, spread_error = block_mean(deviations * each, each)
        numbers = {
            "mean / e": (float(mean), float(mean_error)),
            "standard deviation / e": (math.sqrt(max(square - mean**2, 0.0)), float(spread_error)),
        }
        middle = 0.5 * (edges[1:] + edges[:-1])
        found[f"charge {name}"] = Table(middle, y, error, "charge / e", "distribution / (1/e)", numbers)
    return found


def infrared_spectrum(frames: Frames, lag_fs: float | None = None) -> dict[str, Table]:
    """Infrared spectrum of an open system, from the autocorrelation of the time derivative of its dipole.

    I(nu) = 4 int_0^L <M'(0) . M'(t)> cos^2(pi t / 2 L) cos(2 pi nu t) dt in e^2 Å^2 / ps, with the window of
    `dynamics.velocity_spectrum`; M' by central differences. Classical, without a quantum correction. The derivative of
    a difference lowers intensities by (sin x / x)^2 with x = 2 pi nu dt, which is divided out.
    Raises InputError without charges, and for a periodic system: which image of an atom belongs to the dipole is a
    choice there. Source: M. Thomas et al., Phys. Chem. Chem. Phys. 15, 6608 (2013).
    """
    if frames.pbc.any():
        raise InputError(
            "the dipole of a periodic system depends on which images of its atoms are taken: analyse a cluster, or "
            "compute the dipoles of its molecules from the charges in the trajectory"
        )
    frames = frames.common("charges")
    n_lags, dt = n_lags_of(frames, lag_fs, 0.2, 2000.0), frames.spacing_fs()
    pieces = [
        dipole_moment(frames.read("positions", a, b), frames.read("charges", a, b), frames.masses)
        for a, b in frames.chunks()
    ]
    slope = (np.concatenate(pieces)[2:] - np.concatenate(pieces)[:-2]) / (2.0 * dt * 1e-3)  # e Å / ps
    n_lags = min(n_lags, len(slope))
    sums, counts = lagged_sums(slope, len(slope), n_lags)
    padded = next_fast_len(max(8 * n_lags, 2000), real=True)
    frequency = np.fft.rfftfreq(padded, dt * 1e-3)
    x = 2.0 * math.pi * frequency * dt * 1e-3
    kept = x < 2.5  # beyond, differences see nothing
    lowered = np.sinc(x[kept] / math.pi) ** 2
    y = spectrum(sums.sum(axis=1) / counts, dt, padded)[kept] / lowered
    wave = frequency[kept] * CM_PER_THZ
    numbers = {
        "highest that the frames resolve / cm⁻¹": (float(wave[-1]), math.nan),
        "resolution / cm⁻¹": (CM_PER_THZ / (n_lags * dt * 1e-3), math.nan),
        "strongest / cm⁻¹": (float(wave[int(np.argmax(y))]), 0.5 * CM_PER_THZ / (n_lags * dt * 1e-3)),
    }
    none = np.full(len(y), math.nan)
    return {"infrared": Table(wave, y, none, "ν / cm⁻¹", "I(ν) / (e² Å²/ps)", numbers)}
