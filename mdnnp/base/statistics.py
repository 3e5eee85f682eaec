"""Statistics of time series: means with errors from the correlation time, and the drift of the energy."""

import math
from dataclasses import dataclass

import numpy as np

from mdnnp.base.errors import InputError
from mdnnp.base.units import BOLTZMANN_EV_PER_K

DEFAULT_WARMUP = 0.1  # of a run, where there was no equilibration
MIN_BLOCKS, MAX_BLOCKS = 10, 20
MIN_BLOCK_SAMPLES = 2
MIN_INDEPENDENT_SAMPLES = 10
RESOLVED = 3  # standard errors from which a slope counts as resolved
MOST_SHADOW_CHANGE = 0.1  # of the change of the total energy, below which that is the integrator's error
VERLET_ERROR = (
    "no energy is lost: the shadow energy, which velocity Verlet conserves, is constant; the total energy differs from "
    "it by a term of order dt², which follows slow modes"
)
BLOCK_TAUS = 4  # length of a block in correlation times at which neighbouring block means are independent


@dataclass(frozen=True)
class Mean:
    """Mean of a stationary time series with its standard error.

    mean, error : in the unit of the series; error is NaN when the data are too few for one
    deviation : standard deviation of the samples
    correlation_samples : integrated autocorrelation time in sampling intervals (0.5: independent samples)
    n_samples : number of samples; n_samples / (2 correlation_samples) of them are independent
    """

    mean: float
    error: float
    deviation: float
    correlation_samples: float
    n_samples: int

    @property
    def enough(self) -> bool:
        """Whether there were enough data for an error bar."""
        return math.isfinite(self.error)


def mean_with_error(series: np.ndarray) -> Mean:
    """Mean of a stationary, equally spaced time series (n,), with an error bar that knows of its correlation.

    error^2 = 2 tau var / n with the integrated autocorrelation time tau summed up to a self-consistent
    window of 5 tau (A. D. Sokal, in Functional Integration, 131 (1997)) and corrected for the bias of the
    estimated mean (U. Wolff, Comput. Phys. Commun. 156, 143 (2004), eq. 49). tau is never taken below 1/2:
    anticorrelation, as of a vibration, does not shrink the error bar. Fewer than 10 independent samples give
    error = NaN.
    Raises InputError for an empty or non-finite series.
    """
    x = _finite_series(series, "series")
    n = len(x)
    shift = float(np.mean(x - x[0]))  # the mean of a constant is that constant, to the bit
    mean, deviations = float(x[0]) + shift, x - x[0] - shift
    variance = float(np.mean(np.square(deviations)))
    deviation = math.sqrt(variance * n / (n - 1)) if n > 1 else math.nan
    tau = _autocorrelation_time(deviations) if n > 1 else 0.5
    if n < 2 * tau * MIN_INDEPENDENT_SAMPLES:
        return Mean(mean, math.nan, deviation, tau, n)
    return Mean(mean, deviation * math.sqrt(2 * tau / n), deviation, tau, n)


def _autocorrelation_time(deviations: np.ndarray) -> float:
    """Integrated autocorrelation time of a series with zero mean, in samples, at least 1/2."""
    n = len(deviations)
    power = np.square(np.abs(np.fft.rfft(deviations, 2 * n)))
    covariance = np.fft.irfft(power)[:n] / np.arange(n, 0, -1)
    if covariance[0] <= 0.0:
        return 0.5
    tau = np.cumsum(covariance / covariance[0]) - 0.5
    windows = np.arange(n)
    inside = np.flatnonzero(windows >= 5.0 * tau)
    window = int(inside[0]) if len(inside) else n - 1
    return max(0.5, float(tau[window]) * (1.0 + (2 * window + 1) / n))


def conserved_column(columns) -> str:
    """Which of a run's columns is conserved: conserved_energy where there is one, else total_energy."""
    return "conserved_energy" if "conserved_energy" in columns else "total_energy"


def default_warmup_fs(time_fs: np.ndarray, equilibration_fs: float = 0.0) -> float:
    """Time to leave out at the beginning of (n,) samples, fs: the equilibration, or else a tenth of the run.

    equilibration_fs : time at which the equilibration of the run ends, 0 if it had none. Without one, energy moves
    between kinetic and potential at first, and the error of the integrator with it.
    """
    if len(time_fs) == 0:
        return 0.0
    if equilibration_fs > 0:
        return max(0.0, equilibration_fs - float(time_fs[0]))
    return DEFAULT_WARMUP * float(np.ptp(time_fs))


@dataclass(frozen=True)
class Drift:
    """Linear drift of a quantity that should be conserved.

    Slopes are per atom. NaN stands for what the data do not determine; `note` then says why.

    slope_eV_per_atom_ps, error_eV_per_atom_ps : fitted slope and its standard error
    rms_eV_per_atom : rms deviation of the samples from the fitted line
    duration_ps, start_ps : length and beginning of the fitted stretch
    n_samples, n_blocks : samples in it, and block means
    value_eV : value of the fitted line in the middle of the stretch, for the whole system
    n_atoms : number of atoms
    temperature_K, n_degrees : as given, for the slope in kT; NaN and 0 if not
    kinetic_deviation_eV : standard deviation of the kinetic energy of the whole system; NaN if not given
    block_time_ps, block_eV : (n_blocks,) mean times and block means, for the whole system
    note : empty, or why the slope or its error bar is missing or cannot be trusted
    """

    slope_eV_per_atom_ps: float
    error_eV_per_atom_ps: float
    rms_eV_per_atom: float
    duration_ps: float
    start_ps: float
    n_samples: int
    n_blocks: int
    value_eV: float
    n_atoms: int
    temperature_K: float
    n_degrees: int
    kinetic_deviation_eV: float
    block_time_ps: np.ndarray
    block_eV: np.ndarray
    note: str

    @property
    def enough(self) -> bool:
        """Whether there were enough data for a slope with an error bar."""
        return math.isfinite(self.error_eV_per_atom_ps)

    @property
    def slope_meV_per_atom_ns(self) -> float:
        """Slope in meV per atom and ns."""
        return self.slope_eV_per_atom_ps * 1e6

    @property
    def error_meV_per_atom_ns(self) -> float:
        """Standard error of the slope in meV per atom and ns."""
        return self.error_eV_per_atom_ps * 1e6

    @property
    def kT_per_ns_per_degree(self) -> float:
        """Slope in kT per ns and degree of freedom; NaN without temperature and degrees of freedom."""
        return self.slope_eV_per_atom_ps * self._kT_factor

    @property
    def error_kT_per_ns_per_degree(self) -> float:
        """Standard error of the slope in kT per ns and degree of freedom."""
        return self.error_eV_per_atom_ps * self._kT_factor

    @property
    def _kT_factor(self) -> float:
        thermal = self.n_degrees * BOLTZMANN_EV_PER_K * self.temperature_K
        return 1e3 * self.n_atoms / thermal if thermal > 0 else math.nan

    @property
    def change_eV_per_atom(self) -> float:
        """Change over the fitted stretch: slope times duration."""
        return self.slope_eV_per_atom_ps * self.duration_ps

    @property
    def error_change_eV_per_atom(self) -> float:
        """Standard error of the change over the fitted stretch."""
        return self.error_eV_per_atom_ps * self.duration_ps

    @property
    def sigmas(self) -> float:
        """abs(slope) in standard errors: below about 3 the drift is not resolved."""
        error = self.error_eV_per_atom_ps
        if error == 0.0:
            return 0.0 if self.slope_eV_per_atom_ps == 0.0 else math.inf
        return abs(self.slope_eV_per_atom_ps) / error

    @property
    def change_over_kinetic_deviation(self) -> float:
        """abs(slope) * duration / sigma(kinetic energy), whole system; NaN without kinetic energies."""
        if not self.kinetic_deviation_eV > 0:
            return math.nan
        return abs(self.change_eV_per_atom) * self.n_atoms / self.kinetic_deviation_eV

    def __str__(self) -> str:
        """One line: slope with error bar and rms, or why there is none."""
        if self.n_blocks == 0:
            return f"drift: {self.note}"
        error = f"{self.error_meV_per_atom_ns:.2g}" if self.enough else "?"
        text = (
            f"drift {self.slope_meV_per_atom_ns:+.3g} ± {error} meV/atom/ns"
            f" ({self.n_blocks} blocks, {self.duration_ps:.4g} ps),"
            f" rms {self.rms_eV_per_atom * 1e3:.3g} meV/atom"
        )
        return f"{text}; {self.note}" if self.note else text


def drift(
    time_fs: np.ndarray,
    energy_eV: np.ndarray,
    n_atoms: int,
    *,
    warmup_fs: float = 0.0,
    kinetic_eV: np.ndarray | None = None,
    temperature_K: float = math.nan,
    n_degrees: int = 0,
) -> Drift:
    """Drift of a conserved quantity: a straight line through 10-20 block means, with its standard error.

    The block means carry equal weights, and their scatter about the line gives the error: unlike the textbook
    error of a fit to all samples it is right for correlated samples, as long as a block is longer than the
    correlation time. So blocks are made at least 4 correlation times long if ten of them fit; where they do
    not, `note` says so, and with fewer than 10 independent samples the error is NaN.
    Source: H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989), for error bars from blocks.

    time_fs : (n,) increasing, fs; energy_eV : (n,) total energy or other conserved quantity of the system, eV
    n_atoms : number of atoms; warmup_fs : samples of the first `warmup_fs` are left out
    kinetic_eV : (n,) kinetic energies, for its deviation; temperature_K, n_degrees : for the slope in kT
    Fewer than 20 samples after the warm-up: slope and error are NaN. Raises InputError for arrays that do not
    match, are not finite, or times that do not increase.
    """
    time = _finite_series(time_fs, "time") * 1e-3
    energy = _finite_series(energy_eV, "energy")
    if len(time) != len(energy):
        raise InputError(f"drift: {len(time)} times but {len(energy)} energies")
    if np.any(np.diff(time) <= 0):
        k = int(np.flatnonzero(np.diff(time) <= 0)[0])
        raise InputError(f"drift: times must increase, but sample {k + 1} is at {time[k + 1]} ps, after {time[k]} ps")
    kept = time >= time[0] + warmup_fs * 1e-3
    kinetic_deviation = math.nan
    if kinetic_eV is not None:
        kinetic = _finite_series(kinetic_eV, "kinetic energy")
        if len(kinetic) != len(time):
            raise InputError(f"drift: {len(time)} times but {len(kinetic)} kinetic energies")
        if kept.sum() > 1:
            kinetic_deviation = float(np.std(kinetic[kept], ddof=1))
            if kinetic_deviation < 1e-12 * abs(float(np.mean(kinetic[kept]))):  # held constant by scaling
                kinetic_deviation = 0.0
    time, energy = time[kept], energy[kept]
    common = {
        "n_atoms": int(n_atoms),
        "temperature_K": float(temperature_K),
        "n_degrees": int(n_degrees),
        "kinetic_deviation_eV": kinetic_deviation,
    }
    return _fit_drift(time, energy, common)


def is_verlet_error(energy: Drift, shadow: Drift | None) -> bool:
    """Whether a resolved slope of the total energy is velocity Verlet's own error, and no energy is lost or gained.

    The total energy differs from the shadow energy, which the integrator follows, by a bounded term of order dt^2. That
    term follows the slow modes of the system, and has a slope in any short run. A loss would be seen in both energies.
    """
    if shadow is None or shadow.n_blocks == 0 or not (energy.enough and energy.sigmas >= RESOLVED):
        return False
    unknown = RESOLVED * (shadow.error_change_eV_per_atom if shadow.enough else shadow.rms_eV_per_atom)
    return abs(shadow.change_eV_per_atom) + unknown < MOST_SHADOW_CHANGE * abs(energy.change_eV_per_atom)


def _fit_drift(time: np.ndarray, energy: np.ndarray, common: dict) -> Drift:
    """The line through the block means of (time in ps, energy in eV)."""
    n, n_atoms = len(time), common["n_atoms"]
    if n < MIN_BLOCKS * MIN_BLOCK_SAMPLES:
        return _no_drift(time, energy, common)
    residuals = _line(time, energy)[1]
    # Residuals that are rounding alone say nothing about correlation.
    exact = np.max(np.abs(residuals)) < 8 * np.finfo(float).eps * np.max(np.abs(energy))
    tau = 0.5 if exact else _autocorrelation_time(residuals)
    size = max(MIN_BLOCK_SAMPLES, -(-n // MAX_BLOCKS), min(math.ceil(BLOCK_TAUS * tau), n // MIN_BLOCKS))
    n_blocks = n // size
    # Samples that fill no block are dropped where they disturb least, at the beginning.
    time, energy = time[n - n_blocks * size :], energy[n - n_blocks * size :]
    # Sums relative to the middle: an energy of 1e6 eV must not eat the digits of its changes.
    centre, offset = np.mean(time), np.mean(energy)
    x = (time - centre).reshape(n_blocks, size).mean(axis=1)
    y = (energy - offset).reshape(n_blocks, size).mean(axis=1)
    slope, residuals = _line(x, y)
    error = math.sqrt(np.sum(np.square(residuals)) / (n_blocks - 2) / np.sum(np.square(x)))
    rms = math.sqrt(np.mean(np.square(energy - offset - slope * (time - centre))))
    note = ""
    if n < 2 * tau * MIN_INDEPENDENT_SAMPLES:
        error, note = math.nan, f"no error bar: {_few_correlation_times(n, tau)}"
    elif n < BLOCK_TAUS * tau * MIN_BLOCKS:
        note = f"the error bar may be too small: {_few_correlation_times(n, tau)}"
    return Drift(
        slope_eV_per_atom_ps=slope / n_atoms,
        error_eV_per_atom_ps=error / n_atoms,
        rms_eV_per_atom=rms / n_atoms,
        duration_ps=float(np.ptp(time)),
        start_ps=float(time[0]),
        n_samples=len(time),
        n_blocks=n_blocks,
        value_eV=float(offset),
        block_time_ps=x + centre,
        block_eV=y + offset,
        note=note,
        **common,
    )


def _no_drift(time: np.ndarray, energy: np.ndarray, common: dict) -> Drift:
    """The answer to too few samples."""
    n, needed = len(time), MIN_BLOCKS * MIN_BLOCK_SAMPLES
    return Drift(
        slope_eV_per_atom_ps=math.nan,
        error_eV_per_atom_ps=math.nan,
        rms_eV_per_atom=math.nan,
        duration_ps=float(np.ptp(time)) if n else 0.0,
        start_ps=float(time[0]) if n else math.nan,
        n_samples=n,
        n_blocks=0,
        value_eV=float(np.mean(energy)) if n else math.nan,
        block_time_ps=np.empty(0),
        block_eV=np.empty(0),
        note=f"not enough data: {n} sample{'s' * (n != 1)} after the warm-up, at least {needed} are needed",
        **common,
    )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Slope of the least-squares line through (x, y), and the residuals."""
    dx, dy = x - np.mean(x), y - y[0] - np.mean(y - y[0])
    slope = float(np.sum(dx * dy) / np.sum(np.square(dx)))
    return slope, dy - slope * dx


def _few_correlation_times(n: int, tau: float) -> str:
    return f"the {n} samples cover only {n / tau:.2g} correlation times, or the drift is not linear; run longer"


def plus_minus(value: float, error: float, unit: str) -> str:
    """'-1.02 ± 0.41 meV': the error to two digits, the value to the same place; 'value ± ?' without one.

    A value that does not vary at all has no error bar: 'value meV'.
    """
    if not math.isfinite(error):
        return f"{value:.4g} ± ? {unit}"
    if error <= 1e-12 * abs(value):  # nothing but rounding
        return f"{value:.6g} {unit}"
    exponent = math.floor(math.log10(error))
    if -5 <= exponent <= 4 and abs(value) < 1e7:
        places = max(0, 1 - exponent)
        return f"{value:.{places}f} ± {error:.{places}f} {unit}"
    power = max(exponent, math.floor(math.log10(abs(value)))) if value else exponent
    places = max(0, power - exponent + 1)
    return f"({value / 10**power:.{places}f} ± {error / 10**power:.{places}f})e{power:+03d} {unit}"


def _finite_series(series, what: str) -> np.ndarray:
    """The series as a 1-d float64 array. Raises InputError if it is empty, not 1-d or not finite."""
    x = np.asarray(series, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0:
        raise InputError(f"{what}: a one-dimensional series with at least one value is needed, found shape {x.shape}")
    bad = np.flatnonzero(~np.isfinite(x))
    if len(bad):
        raise InputError(f"{what}: sample {bad[0]} is {x[bad[0]]}, not a finite number")
    return x
