"""Energy, temperature, pressure and momentum from a trajectory.

`read_series` collects the time series, `analyze` makes numbers of them with error bars, `energies_text` puts them into
words and `energy_figures` draws them. Files of other programs are analysed as far as what they hold goes.
"""

import math
import tomllib
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mdnnp.atoms import quantities
from mdnnp.base import statistics
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.report.plain import plain
from mdnnp.base.statistics import DEFAULT_WARMUP, RESOLVED, VERLET_ERROR, Drift, Mean, is_verlet_error, plus_minus
from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2
from mdnnp.trajectory import STEPS, Trajectory

_ATOMS_AT_ONCE = 200_000  # velocities read at a time
# A trend of the temperature that is no fluctuation, in standard errors and as a share of the mean (or of a set ramp).
TREND_SIGMAS, TREND_SHARE = 5, 0.1
RAMP_POINTS = 50
# Names and units of the series, as `Trajectory.thermo` and `.observables` have them.
_UNITS = {
    "total_energy": "eV",
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "temperature": "K",
    "pressure": "GPa",
    "conserved_energy": "eV",
    "density": "g cm-3",
}


@dataclass(frozen=True)
class Series:
    """Time series of a run on one grid.

    path : of the trajectory
    step (T,), time_fs (T,) : the grid
    values : name -> (T,), for those of total_energy, potential_energy, kinetic_energy, conserved_energy (eV, whole
        system), temperature (K), pressure (GPa), density (g/cm^3) that there are
    shadow_eV : (T,) shadow energy, NaN where it is not known; (0,) if there is none at all
    momentum : (T, 3) u Å/fs, total; (0, 3) if there is none
    mass : of the whole system, u; NaN if the file gives none
    offset_eV : constants in the potential energy (0 if the file does not give them)
    numbers : (N,) atomic numbers, or None; n_atoms, n_frames
    n_degrees : degrees of freedom of the temperature
    equilibration_fs : end of the equilibration
    extrapolations : number of events in the file
    notes : what was left out, and why
    ramp : what the input says of a temperature or pressure that changes, in words; empty if there is none
    others : name -> (times_fs, values) of those that are not given at all of these steps
    """

    path: Path
    step: np.ndarray
    time_fs: np.ndarray
    values: dict[str, np.ndarray]
    shadow_eV: np.ndarray
    momentum: np.ndarray
    mass: float
    offset_eV: float
    numbers: np.ndarray | None
    n_atoms: int
    n_frames: int
    n_degrees: int
    equilibration_fs: float
    extrapolations: int
    notes: tuple[str, ...]
    ramp: str = ""
    others: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """Numbers of a run after the warm-up.

    warmup_fs : time left out at the beginning; warmup_reason : why it is that long
    drift, shadow_drift : of the energy that the ensemble conserves, `conserved`, and of the shadow energy; None if
        there are none
    means : name -> Mean, in the units of `Series.values`
    momentum_change : (T,) |P - P(start)| / sqrt(2 M E_kin), where the start is the end of the warm-up and the
        denominator the momentum of all the mass moving one way with that kinetic energy; (0,) if unknown
    ramp : why this is no equilibrium, in words: of the input, or the temperature's own trend; empty if it may be one
    """

    series: Series
    warmup_fs: float
    warmup_reason: str
    drift: Drift | None
    shadow_drift: Drift | None
    means: dict[str, Mean]
    momentum_change: np.ndarray
    ramp: str = ""

    @property
    def conserved(self) -> str:
        """Name of the conserved energy among the series: conserved_energy, or total_energy (NVE, other programs)."""
        return statistics.conserved_column(self.series.values)


def read_series(path: str | Path, **choice: Any) -> Series:
    """Collect the time series of a trajectory: of its dense log, or else of its observables and velocities.

    choice : group and species, as `Trajectory` takes them
    Raises FileError if there is no such file or if it is not a trajectory.
    """
    with Trajectory(path, **choice) as trajectory:
        parameters = trajectory.parameters
        notes: list[str] = []
        masses = _or_note(notes, lambda: trajectory.masses)
        numbers = _or_note(notes, lambda: trajectory.numbers)
        log = _or_note(notes, lambda: _dense_log(trajectory)) or _observables(trajectory, masses, notes)
        step, time_fs, values, shadow, momentum, others = log
        n_degrees = int(parameters.get("n_degrees", 0)) or _degrees_of_freedom(values, trajectory.n_atoms)
        if "kinetic_energy" in values and "temperature" not in values and "temperature" not in others:
            values["temperature"] = np.asarray(quantities.temperature(values["kinetic_energy"], n_degrees))
        if "kinetic_energy" in others and "temperature" not in values and "temperature" not in others:
            t, kinetic = others["kinetic_energy"]
            others["temperature"] = (t, np.asarray(quantities.temperature(kinetic, n_degrees)))
        notes += trajectory.notes
        if parameters.get("kind") == STEPS:
            notes.append("the frames are steps of a relaxation or a search; step and time are their numbers")
            values = {name: values[name] for name in ("potential_energy", "pressure", "density") if name in values}
        if masses is None and _or_note(notes, lambda: trajectory.holds("velocity")):
            notes.append("there are velocities but no masses, so they are not used")
        kept = _usable(step, time_fs, values, notes)
        shadow = shadow[kept] if np.isfinite(shadow).any() else np.empty(0)
        return Series(
            path=trajectory.path,
            step=step[kept],
            time_fs=time_fs[kept],
            values={name: series[kept] for name, series in values.items()},
            shadow_eV=shadow,
            momentum=momentum[kept] if len(momentum) else momentum,
            mass=math.nan if masses is None else float(np.sum(masses)),
            offset_eV=float(parameters.get("offset_energy_eV", 0.0)),
            numbers=numbers,
            n_atoms=trajectory.n_atoms,
            n_frames=len(trajectory),
            n_degrees=n_degrees,
            equilibration_fs=float(parameters.get("equilibration_steps", 0)) * float(parameters.get("timestep_fs", 0)),
            extrapolations=_or_note(notes, lambda: _extrapolations(trajectory)) or 0,
            notes=tuple(dict.fromkeys(notes)),
            ramp=_recorded_ramp(parameters),
            others=others,
        )


def _recorded_ramp(parameters: dict) -> str:
    """The temperature or pressure ramp in the input of a run of mdnnp."""
    try:
        dynamics = tomllib.loads(parameters["config"])["dynamics"]
    except (KeyError, TypeError, tomllib.TOMLDecodeError):
        return ""
    ramps = (("temperature_K", "temperature_end_K", "K"), ("pressure_GPa", "pressure_end_GPa", "GPa"))
    return ", ".join(
        f"{dynamics[a]:g} to {dynamics[b]:g} {unit}" for a, b, unit in ramps if a in dynamics and b in dynamics
    )


def _or_note(notes: list[str], function):
    """What a function gives; None, and a note that says why, where a part of the file cannot be used."""
    try:
        return function()
    except FileError as error:
        notes.append(str(error))
        return None


def _dense_log(trajectory: Trajectory):
    """Steps, times, series, shadow energies, momenta (and no others) of the dense log; None if it has no rows."""
    thermo = trajectory.thermo
    if not len(thermo.get("step", ())):
        return None
    values = {name: thermo[name] for name in _UNITS if name in thermo}
    if "pressure" in values and np.isnan(values["pressure"]).all():
        del values["pressure"]  # an open system has none
    names = [f"momentum_{i}" for i in "xyz"]
    momentum = np.stack([thermo[name] for name in names], axis=1) if set(names) <= set(thermo) else np.empty((0, 3))
    return thermo["step"], thermo["time"], values, thermo.get("shadow_energy", np.empty(0)), momentum, {}


def _observables(trajectory: Trajectory, masses: np.ndarray | None, notes: list[str]):
    """The same of observables in known units, and what follows from the velocities.

    All are taken at the steps of the conserved energy (or else of the observable with most values). Those that lack a
    value at one of these steps are `others`, each with its own times.
    """
    known = {}
    for name, unit in trajectory.observable_units.items():
        if unit == _UNITS.get(name):
            own = _or_note(notes, lambda name=name: _at_own_steps(trajectory, f"observables/{name}"))
            if own is not None:
                known[name] = own
    moving = None
    if masses is not None and _or_note(notes, lambda: trajectory.holds("velocity")):
        moving = _or_note(notes, lambda: _at_own_steps(trajectory, "velocity"))
    conserved = statistics.conserved_column(known)
    names = [conserved] if conserved in known else sorted(known, key=lambda name: -len(known[name]))
    clock = known[names[0]] if names else moving
    empty = np.empty((0, 3))
    if clock is None:
        return np.empty(0, np.int64), np.empty(0), {}, np.empty(0), empty, {}
    values, others, momentum = {}, {}, empty
    for name, own in known.items():
        at = clock if own is clock or clock.given(f"observables/{name}").all() else own
        series = _or_note(notes, lambda at=at, name=name: at.observable(name))
        if series is not None and at is clock:
            values[name] = series
        elif series is not None:
            others[name] = (at.times_fs, series)
    if moving is not None:
        at = clock if clock.given("velocity").all() else moving
        found = _or_note(notes, lambda: _of_velocities(at, masses))
        if found is not None and at is clock:
            momentum = found[0]
            values.setdefault("kinetic_energy", found[1])
        elif found is not None and "kinetic_energy" not in known:
            others["kinetic_energy"] = (at.times_fs, found[1])
    if others:
        notes.append(f"{', '.join(others)}: means over their own steps, which differ from those of {names[0]}")
    return clock.steps, clock.times_fs, values, np.empty(0), momentum, others


def _at_own_steps(trajectory: Trajectory, name: str) -> Trajectory:
    """The trajectory at the steps of an element. Raises FileError where their times are not known."""
    view = trajectory.common(name)
    _ = view.times_fs
    return view


def _of_velocities(trajectory: Trajectory, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Total momenta (T, 3) u Å/fs and kinetic energies (T,) eV."""
    chunk = max(1, _ATOMS_AT_ONCE // trajectory.n_atoms)
    momenta, kinetic = [np.empty((0, 3))], [np.empty(0)]
    for start in range(0, len(trajectory), chunk):
        velocities = trajectory.velocities(slice(start, start + chunk))
        momenta.append(quantities.momentum(velocities, masses))
        kinetic.append(np.asarray(quantities.kinetic_energy(velocities, masses)))
    return np.concatenate(momenta), np.concatenate(kinetic)


def _extrapolations(trajectory: Trajectory) -> int:
    """Number of extrapolations of the run: counted in the log, where the list has an end."""
    counted = trajectory.thermo.get("extrapolations", np.empty(0))
    return max(int(counted[-1]) if len(counted) else 0, len(trajectory.extrapolations.get("step", np.empty(0))))


def _degrees_of_freedom(values: dict[str, np.ndarray], n_atoms: int) -> int:
    """Degrees of freedom that the file's own temperatures were made with; 3 N - 3 if it has none."""
    if "temperature" in values and "kinetic_energy" in values:
        hot = values["temperature"] > 0
        if hot.any():
            kT = BOLTZMANN_EV_PER_K * values["temperature"][hot]
            return round(float(np.median(2 * values["kinetic_energy"][hot] / kT)))
    return quantities.degrees_of_freedom(n_atoms)


def _usable(step, time_fs, values, notes: list[str]) -> np.ndarray:
    """(T,) bool: samples before the first that is not finite, at times that increase. The rest goes to `notes`."""
    end = len(time_fs)
    for name, series in values.items():
        bad = np.flatnonzero(~np.isfinite(series[:end]))
        if len(bad):
            end = int(bad[0])
            notes.append(f"{name} at step {step[end]} is {series[end]}: this sample and all later ones are left out")
    later = np.ones(len(time_fs), dtype=bool)
    later[1:] = time_fs[1:] > np.maximum.accumulate(time_fs)[:-1]
    if not later[:end].all():
        notes.append(f"{np.sum(~later[:end])} samples are left out, because their time does not increase")
    return later & (np.arange(len(time_fs)) < end)


def analyze(series: Series, warmup_fs: float | None = None, until_fs: float | None = None) -> Analysis:
    """Drifts and means after the warm-up.

    warmup_fs : time to leave out; by default the equilibration of the run, or else a tenth of the run
    until_fs : time from the first sample at which to end; by default the end of the run
    """
    whole = series.time_fs
    if until_fs is not None:
        series = _until(series, until_fs)
    warmup_fs, reason = _warmup(series, warmup_fs)
    kept = statistics.after_warmup(series.time_fs, warmup_fs)
    means = {name: statistics.mean_with_error(values[kept]) for name, values in series.values.items() if kept.any()}
    for name, (times, values) in series.others.items():
        later = times >= series.time_fs[0] + warmup_fs if len(kept) else np.zeros(0, dtype=bool)
        if later.any():
            means[name] = statistics.mean_with_error(values[later])
    temperature = means["temperature"].mean if "temperature" in means else math.nan
    drift, shadow = (
        statistics.energy_drift(
            series.time_fs,
            energy_eV,
            warmup_fs,
            series.n_atoms,
            series.values.get("kinetic_energy"),
            temperature,
            series.n_degrees,
        )
        if energy_eV is not None and len(energy_eV)
        else None
        for energy_eV in (series.values.get(statistics.conserved_column(series.values)), series.shadow_eV)
    )
    ramp = _ramp(series, kept, float(np.ptp(whole)) if len(whole) else 0.0)
    return Analysis(series, warmup_fs, reason, drift, shadow, means, _momentum_change(series, kept), ramp)


def _until(series: Series, until_fs: float) -> Series:
    """The series up to a time from its first sample."""
    time = series.time_fs
    kept = time <= time[0] + until_fs if len(time) else np.zeros(0, dtype=bool)
    return replace(
        series,
        step=series.step[kept],
        time_fs=time[kept],
        values={name: values[kept] for name, values in series.values.items()},
        shadow_eV=series.shadow_eV[kept] if len(series.shadow_eV) else series.shadow_eV,
        momentum=series.momentum[kept] if len(series.momentum) else series.momentum,
    )


def _ramp(series: Series, kept: np.ndarray, whole_fs: float) -> str:
    """Why the samples are not from an equilibrium; empty if they may be, as in a short part of a ramp."""
    if series.ramp and kept.any() and np.ptp(series.time_fs[kept]) > TREND_SHARE * whole_fs:
        return f"by the input, it goes from {series.ramp}"
    if "temperature" not in series.values or kept.sum() < 2:
        return ""
    heat = series.values["temperature"][kept]
    trend = statistics.drift(series.time_fs[kept], heat, 1)  # K instead of eV
    change = trend.slope_eV_per_atom_ps * trend.duration_ps
    if not (trend.enough and trend.sigmas > TREND_SIGMAS and abs(change) > TREND_SHARE * np.mean(heat)):
        return ""
    middle = np.mean(heat)
    return f"the temperature goes from {middle - 0.5 * change:.4g} to {middle + 0.5 * change:.4g} K"


def _momentum_change(series: Series, kept: np.ndarray) -> np.ndarray:
    if not len(series.momentum) or not kept.any() or "kinetic_energy" not in series.values:
        return np.empty(0)
    start = series.momentum[np.argmax(kept)]
    scale = np.sqrt(2 * series.mass * series.values["kinetic_energy"] / EV_PER_U_A2_PER_FS2)
    change = np.linalg.norm(series.momentum - start, axis=1)
    return np.divide(change, scale, out=np.zeros_like(change), where=scale > 0)


def _warmup(series: Series, given_fs: float | None) -> tuple[float, str]:
    if given_fs is not None:
        return float(given_fs), "as asked"
    reason = "the equilibration" if series.equilibration_fs > 0 else f"{DEFAULT_WARMUP:.0%} of the run"
    return statistics.default_warmup_fs(series.time_fs, series.equilibration_fs), reason


def mean_lines(analysis: Analysis) -> list[str]:
    """Means with their error bars, a line each."""
    lines = []
    n = analysis.series.n_atoms
    for name, unit, divisor in (
        *([("total_energy", "eV/atom", n)] if analysis.conserved != "total_energy" else []),
        ("potential_energy", "eV/atom", n),
        ("kinetic_energy", "eV/atom", n),
        ("temperature", "K", 1),
        ("pressure", "GPa", 1),
        ("density", "g/cm^3", 1),
    ):
        if name not in analysis.means:
            continue
        mean = analysis.means[name]
        offset = analysis.series.offset_eV if name in ("potential_energy", "total_energy") else 0.0
        if analysis.ramp:
            lines.append(_line(name.replace("_", " "), _from_to(analysis, name, offset, divisor, unit)))
            continue
        text = plus_minus((mean.mean - offset) / divisor, mean.error / divisor, unit)
        if math.isfinite(mean.deviation):
            text += f"   deviation {mean.deviation / divisor:.3g}"
        if not mean.enough:
            text += "   too short for an error bar"
        lines.append(_line(name.replace("_", " "), text))
    if len(analysis.momentum_change) > 1:
        change = f"changes by at most {largest_size(analysis.momentum_change):.2g} of sqrt(2 M Ekin)"
        lines.append(_line("total momentum", change))
    return lines


def _from_to(analysis: Analysis, name: str, offset: float, divisor: float, unit: str) -> str:
    """Means of the first and the last tenth of the analysed part."""
    time, values = analysis.series.time_fs, analysis.series.values[name]
    values = (values[time >= time[0] + analysis.warmup_fs] - offset) / divisor
    tenth = max(1, len(values) // 10)
    return f"{np.mean(values[:tenth]):.5g} to {np.mean(values[-tenth:]):.5g} {unit}"


def ramp_tables(analysis: Analysis) -> dict:
    """Energy and density against the temperature of the same stretch of time, name -> Table; none without a ramp."""
    from mdnnp.analysis.structure import Table

    series = analysis.series
    found: dict = {}
    if not analysis.ramp or "temperature" not in series.values:
        return found
    time = series.time_fs
    bins = np.array_split(np.flatnonzero(time >= time[0] + analysis.warmup_fs), RAMP_POINTS)
    bins = [b for b in bins if len(b)]
    heat = [np.mean(series.values["temperature"][b]) for b in bins]
    for name, label, offset, divisor in (
        ("potential_energy", "potential energy / (eV/atom)", series.offset_eV, series.n_atoms),
        ("density", "density / (g/cm³)", 0.0, 1),
        ("pressure", "pressure / GPa", 0.0, 1),
    ):
        if name in series.values and not (name == "pressure" and "density" in series.values):  # which is then set
            y = np.array([np.mean(series.values[name][b]) - offset for b in bins]) / divisor
            label_x = "temperature / K"
            found[f"ramp {name.replace('_', ' ')}"] = Table(np.array(heat), y, np.full(len(y), np.nan), label_x, label)
    return found


def drift_words(drift: Drift, shadow: Drift | None) -> str:
    """The drift of the conserved energy as a sentence; empty if it has no error bar."""
    if not drift.enough:
        return ""
    if is_verlet_error(drift, shadow):
        return f"The slope of the total energy is the integrator's own error: {VERLET_ERROR}."
    resolved = "is resolved" if drift.sigmas >= RESOLVED else "is not resolved"
    return f"The drift {resolved}: {drift.sigmas:.1f} standard errors."


def largest_size(values: np.ndarray) -> float:
    """The largest of `values` (n,); NaN if there are none."""
    return float(np.max(values)) if len(values) else math.nan


def _line(name: str, text: str) -> str:
    return f"{name:<25}{text}"


def as_dict(analysis: Analysis) -> dict:
    """All numbers, with units in their names, ready for JSON (None for unknown ones)."""
    series = analysis.series
    found = {
        "program": "mdnnp analyze",
        "trajectory": str(series.path),
        "n_atoms": series.n_atoms,
        "n_frames": series.n_frames,
        "n_samples": len(series.time_fs),
        "n_degrees_of_freedom": series.n_degrees,
        "warmup_fs": analysis.warmup_fs,
        "warmup_reason": analysis.warmup_reason,
        "ramp": analysis.ramp,
        "n_extrapolations": series.extrapolations,
        "notes": list(series.notes),
        "offset_energy_eV": series.offset_eV,
        "momentum_change_relative": largest_size(analysis.momentum_change),
    }
    names = (
        "slope_eV_per_atom_ps", "error_eV_per_atom_ps", "slope_meV_per_atom_ns", "error_meV_per_atom_ns",
        "kT_per_ns_per_degree", "error_kT_per_ns_per_degree", "rms_eV_per_atom", "change_eV_per_atom",
        "change_over_kinetic_deviation", "sigmas", "duration_ps", "n_blocks", "n_samples", "note",
    )  # fmt: skip
    if analysis.drift is not None:
        found["conserved"] = analysis.conserved
        found["drift_is_integrator_error"] = is_verlet_error(analysis.drift, analysis.shadow_drift)
    for key, drift in (("drift", analysis.drift), ("shadow_drift", analysis.shadow_drift)):
        if drift is not None:
            found[key] = {name: getattr(drift, name) for name in names}
    for name, mean in analysis.means.items():
        unit = _UNITS[name].replace(" cm-3", "_per_cm3")
        found[name] = {
            f"mean_{unit}": mean.mean,
            f"error_{unit}": mean.error,
            f"deviation_{unit}": mean.deviation,
            "correlation_time_fs": mean.correlation_samples * _spacing(series.time_fs),
        }
    return plain(found)


def _spacing(time: np.ndarray) -> float:
    return float(np.median(np.diff(time))) if len(time) > 1 else math.nan


def read_parts(paths: list[Path], choice: dict) -> Series:
    """The series of all parts of a run; where two parts overlap, the later part is used."""
    parts = []
    for path in paths:
        try:
            parts.append(read_series(path, **choice))
        except FileError as error:
            if len(paths) == 1:
                raise
            warnings.warn(f"left out: {error}", MdnnpWarning, stacklevel=2)
    if not parts:
        raise FileError(f"{', '.join(map(str, paths))}: none of them can be read")
    joined = parts[0]
    for part in parts[1:]:
        joined = _join(joined, part)
    return joined


def _join(a: Series, b: Series) -> Series:
    if b.n_atoms != a.n_atoms:
        raise InputError(f"{b.path}: {b.n_atoms} atoms, {a.path} has {a.n_atoms}; analyse each by itself")
    kept = a.time_fs < b.time_fs[0] if len(b.time_fs) else np.ones(len(a.time_fs), bool)

    def chain(x, y):
        return np.concatenate([x[kept], y])

    both = len(a.momentum) == len(kept) and len(b.momentum) == len(b.time_fs)
    shadows = [s.shadow_eV if len(s.shadow_eV) else np.full(len(s.time_fs), np.nan) for s in (a, b)]
    return replace(
        a,
        step=chain(a.step, b.step),
        time_fs=chain(a.time_fs, b.time_fs),
        values={name: chain(a.values[name], b.values[name]) for name in a.values if name in b.values},
        shadow_eV=chain(*shadows),
        momentum=chain(a.momentum, b.momentum) if both else np.empty((0, 3)),
        n_frames=a.n_frames + b.n_frames,
        extrapolations=a.extrapolations + b.extrapolations,
        notes=(*a.notes, *b.notes),
        others={name: _chain_others(a, b, name) for name in a.others if name in b.others},
    )


def _chain_others(a: Series, b: Series, name: str) -> tuple[np.ndarray, np.ndarray]:
    (time, values), (later_time, later_values) = a.others[name], b.others[name]
    kept = time < b.time_fs[0] if len(b.time_fs) else np.ones(len(time), bool)
    return np.concatenate([time[kept], later_time]), np.concatenate([values[kept], later_values])
