"""All analyses of a run. Each may fail independently: the others are still computed, and a note says why it failed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mdnnp.analysis import charges, dynamics, structure
from mdnnp.analysis.frames import Frames
from mdnnp.analysis.structure import Bonds, Table
from mdnnp.atoms.quantities import VOIGT_NAMES, degrees_of_freedom, kinetic_energy, temperature
from mdnnp.base.errors import FileError, InputError
from mdnnp.base.files import csv_text
from mdnnp.base.report.plain import plain
from mdnnp.base.statistics import RESOLVED, default_warmup_fs, plus_minus
from mdnnp.trajectory import Trajectory

MIN_DECAYS = 300  # length of a run in decay times below which a Green-Kubo integral is not to be trusted
EXPONENT = "exponent of the MSD in the window (1: diffusion)"
# An MSD whose exponent is below the first does not grow, unless from the second on, where D is resolved.
BOUND_EXPONENT, MIN_EXPONENT = 0.5, 0.2
RAMP_POINTS, RAMP_LAGS = 50, 100  # along a ramp; frames of it over those of a displacement


@dataclass(frozen=True)
class Settings:
    """Settings of the analyses; None: their defaults.

    until_fs : time from the first frame at which to end
    bonds_A : (symbol, symbol) -> (form, break), Å; choice : group and species, as `Trajectory` takes them
    ramp : why the run is no equilibrium, in words, or empty; ramp_tables : curves against the temperature of one
    """

    warmup_fs: float | None = None
    until_fs: float | None = None
    r_max_A: float | None = None
    lag_fs: float | None = None
    fit_fs: tuple[float, float] | None = None
    viscosity_mPas: float | None = None
    temperature_K: float | None = None
    axis: int = 2
    bonds_A: dict[tuple[str, str], tuple[float, float]] | None = None
    ramp: str = ""
    ramp_tables: dict[str, Table] = field(default_factory=dict)
    choice: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Physics:
    """Results: tables by name, bonds (None if they failed), notes on what could not be done; the run in words."""

    tables: dict[str, Table]
    bonds: Bonds | None
    notes: list[str]
    run: list[tuple[str, str]]

    @property
    def numbers(self) -> dict[str, dict[str, tuple[float, float]]]:
        """The numbers of each table."""
        found = {name: table.numbers for name, table in self.tables.items() if table.numbers}
        return found | ({"bonds": self.bonds.table.numbers} if self.bonds is not None else {})


def physics(paths: Sequence[str | Path], settings: Settings, say: Callable[[str], None] = lambda text: None) -> Physics:
    """Analyse a run of one file or several parts. `say` is told what is being done.

    Raises FileError and InputError only where nothing at all can be done.
    """
    with Frames(paths, _warmup(paths, settings), **settings.choice) as frames:
        if settings.until_fs is not None:
            frames.end_at(_start_fs(paths, settings) + settings.until_fs)
        notes = frames.notes  # to which analyses add
        tables: dict[str, Table] = dict(settings.ramp_tables)
        lag, s = settings.lag_fs, settings
        work = {
            "mean squared displacement": lambda: dynamics.mean_squared_displacement(
                frames, lag, s.fit_fs, s.viscosity_mPas, s.temperature_K
            ),
            "radial distribution": lambda: structure.radial_distribution(frames, s.r_max_A),
            "angular distribution": lambda: structure.angular_distribution(
                frames, None if s.bonds_A is None else {pair: limits[1] for pair, limits in s.bonds_A.items()}
            ),
            "structure factor": lambda: structure.structure_factor(frames),
            "profiles": lambda: structure.profiles(frames, s.axis),
            "velocity spectrum": lambda: dynamics.velocity_spectrum(frames, lag),
            "viscosity": lambda: _from_log(paths, frames, s, [f"pressure_{ij}" for ij in VOIGT_NAMES]),
            "thermal conductivity": lambda: _from_log(paths, frames, s, [f"heat_current_{i}" for i in "xyz"]),
        }
        if frames.holds("charges"):
            work["charges"] = lambda: charges.charge_distributions(frames)
            work["infrared spectrum"] = lambda: charges.infrared_spectrum(frames, lag)
        meaningless, reason = _without_density(frames)
        notes += [reason] if reason else []
        if settings.ramp:
            notes.append(
                f"{settings.ramp}: not an equilibrium, so no diffusion coefficient, viscosity or conductivity; all "
                "other results are averages over the ramp. Choose a part of the run with --warmup-ps and --until-ps"
            )
            meaningless = {*meaningless, "mean squared displacement", "viscosity", "thermal conductivity"}
            tables |= _attempt("displacements", lambda: _ramp_displacements(frames), notes) or {}
        for name, function in work.items():
            say(name)
            if name in meaningless:
                continue
            found = _attempt(name, function, notes) or {}
            if name == "mean squared displacement":
                found, bound = _without_diffusion(found)
                notes += bound
                if bound:
                    meaningless = {*meaningless, "viscosity"}
            tables |= found
        if frames.parameters and "density profile" in tables and np.ptp(frames.volumes()) > 0:
            tables["density profile"].numbers.clear()  # the log has the mean density of a moving cell, of more samples
        say("bonds")
        bonds = _attempt("bonds", lambda: structure.bond_events(frames, s.bonds_A), notes)
        notes += _doubts(tables, frames)
        return Physics(_without_plateau(tables), bonds, notes, _in_words(paths, frames))


def _without_density(frames: Frames) -> tuple[set[str], str]:
    """Names of the analyses that are not defined with open boundaries, and why."""
    bulk = {"radial distribution", "structure factor", "profiles", "viscosity", "thermal conductivity"}
    if not frames.pbc.any():
        why = (
            "the atoms are an isolated molecule or cluster: no density, g(r), structure factor, diffusion or viscosity"
        )
        return bulk | {"mean squared displacement"}, why
    if not frames.pbc.all():
        along = " and ".join("abc"[k] for k in np.flatnonzero(~frames.pbc))
        return bulk, f"the cell is open along {along}: no density, g(r), structure factor, viscosity or conductivity"
    return set(), ""


def _ramp_displacements(frames: Frames) -> dict[str, Table]:
    """Squared displacement of each species within a hundredth of the run, along the run, name -> Table.

    x is the temperature of the same frames. Of a crystal it grows with the temperature; where it melts, it leaps.
    """
    if not frames.pbc.any():
        return {}
    lag, dt = max(1, len(frames) // RAMP_LAGS), frames.spacing_fs()
    per_block = max(lag + 1, len(frames) // RAMP_POINTS)
    starts = range(0, len(frames) - per_block + 1, per_block)
    everyone = np.arange(frames.n_atoms)
    squares: dict[str, list] = {name: [] for name in frames.species}
    heat = []
    degrees = int(frames.parameters.get("n_degrees", 0)) or degrees_of_freedom(frames.n_atoms)
    for start in starts:
        x = frames.unwrapped(start, start + per_block, everyone, remove_drift=True)
        moved = np.sum(np.square(x[lag:] - x[:-lag]), axis=2)
        for name, members in frames.species.items():
            squares[name].append(float(moved[:, members].mean()))
        v = frames.read("velocities", start, start + per_block)
        heat.append(float(np.mean(temperature(kinetic_energy(v, frames.masses), degrees))))
    within = f"squared displacement in {lag * dt * 1e-3:.3g} ps / Å²"
    nothing = np.full(len(heat), np.nan)
    return {
        f"ramp displacement {name}": Table(np.array(heat), np.array(y), nothing, "temperature / K", within)
        for name, y in squares.items()
    }


def _without_diffusion(tables: dict[str, Table]) -> tuple[dict[str, Table], list[str]]:
    """The MSDs, and a note for each that comes to a stop: its number is the size of the vibrations, not D.

    A hop now and then (exponent from MIN_EXPONENT on) is diffusion if D is resolved.
    """
    found, notes = {}, []
    for name, table in tables.items():
        numbers = table.numbers
        exponent = numbers.get(EXPONENT, (0.0, math.nan))[0]
        d, error = numbers["D / (1e-9 m²/s)"]
        hops = exponent >= MIN_EXPONENT and d > RESOLVED * error
        if exponent >= BOUND_EXPONENT or hops:
            found[name] = table
            continue
        low, high = (numbers[f"fit {end} / ps"][0] for end in ("from", "to"))
        window = (table.x >= 0.999999 * low) & (table.x <= 1.000001 * high)
        level, spread = float(table.y[window].mean()), float(table.error[window].mean())
        amplitude = math.sqrt(level / 2)
        found[name] = replace(table, numbers={
            "constant at / Å²": (level, spread),
            "rms displacement from the mean position / Å": (amplitude, spread / (4 * amplitude) if level else 0.0),
            "mean from / ps": (low, math.nan), "mean to / ps": (high, math.nan),
        })  # fmt: skip
        notes.append(
            f"{name}: does not grow with time: the atoms stay at their sites, as in a crystal or a glass, or the run "
            "is too short for a hop; no diffusion coefficient and no viscosity"
        )
    return found, notes


def _without_plateau(tables: dict[str, Table]) -> dict[str, Table]:
    """Without the numbers of Green-Kubo integrals that reach no plateau."""

    def settled(table: Table) -> bool:
        return math.isfinite(table.numbers.get("plateau from / ps", (0.0, 0.0))[0])

    return {name: table if settled(table) else replace(table, numbers={}) for name, table in tables.items()}


def _doubts(tables: dict[str, Table], frames: Frames) -> list[str]:
    """Reasons to doubt the numbers, for the notes."""
    doubts = []
    for name, table in tables.items():
        exponent = table.numbers.get(EXPONENT)
        if exponent is not None and not 0.9 < exponent[0] < 1.1:
            doubts.append(
                f"{name}: grows as time^{exponent[0]:.2f} in the window of the fit: the motion is not yet diffusive, "
                "and D is not valid; fit at longer lags (--fit-ps) and run longer"
            )
        if name.startswith("vacf ") and table.y[1] < 0.5 * table.y[0]:  # a quarter of a period or so between frames
            doubts.append(
                f"{name}: velocities are uncorrelated from frame to frame ({1e3 * table.x[1]:.4g} fs): "
                "vibrations faster than the frames resolve are folded into the spectrum, whose peaks are not valid; "
                "write frames more often (output.frame_interval)"
            )
        plateau = table.numbers.get("plateau from / ps")
        if plateau is None:
            continue
        ratio = float(np.ptp(frames.times_fs)) * 1e-3 / plateau[0]
        if not math.isfinite(ratio):
            doubts.append(
                f"{name}: the correlation has not decayed within the longest lag: there is no plateau, so no value is "
                "given"
            )
        elif ratio < MIN_DECAYS:
            doubts.append(
                f"{name}: the run is only {ratio:.0f} times as long as the decay of the correlation: the error bar "
                "does not include a slow tail, which the noise hides; run longer"
            )
    return doubts


def _attempt(name: str, function: Callable, notes: list[str]):
    try:
        return function()
    except (InputError, FileError, OSError) as error:
        notes.append(f"{name}: {error}")
        return None


def _start_fs(paths: Sequence[str | Path], settings: Settings) -> float:
    with Frames(paths, **settings.choice) as frames:
        return float(frames.times_fs[0])


def _warmup(paths: Sequence[str | Path], settings: Settings) -> float:
    """As for the energies: the equilibration, or a tenth of the run."""
    if settings.warmup_fs is not None:
        return settings.warmup_fs
    with Frames(paths, **settings.choice) as frames:
        if np.isnan(frames.times_fs[0]):
            return 0.0
        own = frames.parameters
        equilibration = float(own.get("equilibration_steps", 0)) * float(own.get("timestep_fs", 0))
        return default_warmup_fs(frames.times_fs, equilibration)


def _from_log(paths, frames: Frames, settings: Settings, columns: list[str]) -> dict[str, Table]:
    """A Green-Kubo integral of columns of the dense log."""
    time, values = _log(paths, columns, settings.choice)
    end = math.inf if settings.until_fs is None else _start_fs(paths, settings) + settings.until_fs
    kept = (time >= frames.times_fs[0]) & (time <= end) & np.isfinite(values).all(axis=1)
    time, values = time[kept], values[kept]
    if len(time) < 2 or np.ptp(np.diff(time)) > 1e-3 * np.median(np.diff(time)):
        raise InputError("fewer than two usable rows of the log, or they are not equally spaced")
    dt, volume = float(np.mean(np.diff(time))), float(np.mean(frames.volumes()))
    temperature = settings.temperature_K or dynamics.temperature_K(frames)
    if not temperature > 1e-9:
        raise InputError(f"the velocities are of {temperature:.3g} K; give the temperature of the run (--temperature)")
    if columns[0].startswith("pressure"):
        tensor = dict(zip(VOIGT_NAMES, values.T, strict=True))
        return dynamics.viscosity(tensor, dt, volume, temperature, settings.lag_fs)
    return dynamics.thermal_conductivity(values, dt, volume, temperature, settings.lag_fs)


def _log(paths, columns: list[str], choice: dict) -> tuple[np.ndarray, np.ndarray]:
    """Times (rows,) and values (rows, columns) of the dense logs; a later file replaces what an earlier one has."""
    times, values = np.empty(0), np.empty((0, len(columns)))
    for path in paths:
        try:
            trajectory = Trajectory(path, **choice)
        except FileError:
            continue
        with trajectory:
            time, rows = _rows(trajectory, columns)
        if len(time):
            earlier = times < time[0]
            times, values = np.concatenate([times[earlier], time]), np.concatenate([values[earlier], rows])
    return times, values


def _rows(trajectory: Trajectory, columns: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of one file; a stress of other programs' files is as good (its sign does not matter here)."""
    thermo = trajectory.thermo
    if set(columns) <= set(thermo):
        return thermo["time"], np.stack([thermo[c] for c in columns], axis=1)
    if "heat" in columns[0]:
        wanted = "no heat current in its log; run with output.heat_current = true"
        raise InputError(f"{trajectory.path}: {wanted}")
    found = trajectory.stress_series()
    if found is None:
        raise InputError(
            f"{trajectory.path}: no stress tensor in its log, nor as observables/stress (3 x 3 or 6 components)"
        )
    return found


def _in_words(paths, frames: Frames) -> list[tuple[str, str]]:
    atoms = ", ".join(f"{name} {len(members)}" for name, members in frames.species.items())
    blocks = frames.block_of[-1] + 1
    begin, end = frames.times_fs[[0, -1]] * 1e-3
    timed = math.isfinite(begin)
    return [
        ("files", ", ".join(str(path) for path in paths)),
        ("atoms", f"{frames.n_atoms} ({atoms})"),
        ("frames", f"{len(frames)}, " + (f"from {begin:.6g} to {end:.6g} ps" if timed else "at unknown times")),
        *([("spectrum", "without translation and rotation of the whole system")] if not frames.pbc.any() else []),
        (
            "error bars",
            f"one standard error, from {blocks} blocks" + (f" of {(end - begin) / blocks:.4g} ps" if timed else ""),
        ),
    ]


def lines(found: Physics) -> list[str]:
    """The numbers as text."""
    text = []
    for name, numbers in found.numbers.items():
        text += [f"{name + ': ' + what:<60} {shown(value, error)}" for what, (value, error) in numbers.items()]
    return text + [f"Note: {note}" for note in found.notes]


def shown(value: float, error: float) -> str:
    """A number with its error, if it has one."""
    if not math.isfinite(value):
        return "?"
    return plus_minus(value, error, "").strip() if math.isfinite(error) else f"{value:.5g}"


def numbers_csv(found: Physics) -> str:
    """quantity, number, value, error."""
    rows = [
        (name, what, repr(float(value)), repr(float(error)))
        for name, numbers in found.numbers.items()
        for what, (value, error) in numbers.items()
    ]
    return csv_text(("quantity", "number", "value", "error"), rows)


def curves_csv(found: Physics) -> str:
    """quantity, names of x and y, x, y, error: one row for each point of each curve."""
    tables = found.tables | ({"bonds": found.bonds.table} if found.bonds is not None else {})
    rows: list[tuple] = []
    for name, t in tables.items():
        rows += [(name, t.x_name, t.y_name, *map(repr, map(float, p))) for p in zip(t.x, t.y, t.error, strict=True)]
    return csv_text(("quantity", "x_name", "y_name", "x", "y", "error"), rows)


def bonds_csv(found: Physics) -> str:
    """time_fs, atoms i and j (from 0), formed or broken: one row for each event."""
    events = found.bonds.events if found.bonds is not None else []
    rows = [(repr(t), i, j, "formed" if formed else "broken") for t, i, j, formed in events]
    return csv_text(("time_fs", "i", "j", "event"), rows)


def as_dict(found: Physics) -> dict:
    """The numbers, ready for JSON: quantity -> number -> [value, error], None for unknown ones."""
    return plain({"run": dict(found.run), "numbers": found.numbers, "notes": found.notes})
