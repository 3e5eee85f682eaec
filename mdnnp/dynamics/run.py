"""A molecular-dynamics run, from the input to the trajectory; continued from a checkpoint, it gives the same bits."""

import math
import signal
import threading
import time
import warnings
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.neighbors import VerletList, VerletLists
from mdnnp.atoms.system import System, transformed, volume
from mdnnp.base.compiled.jit import get_threads
from mdnnp.base.errors import InputError, MdnnpWarning, PhysicsError
from mdnnp.base.files import locked
from mdnnp.base.report import screen
from mdnnp.base.statistics import (
    Drift,
    after_warmup,
    conserved_column,
    default_warmup_fs,
    energy_drift,
)
from mdnnp.dynamics import messages
from mdnnp.dynamics.collector import worst_atom
from mdnnp.dynamics.input import RunConfig
from mdnnp.dynamics.integrators import Compute, ConstantEnergy, MDState, fastest_period, scaled_to_temperature
from mdnnp.dynamics.observed import Observed
from mdnnp.dynamics.recorder import Recorder, resume_record, start_record
from mdnnp.dynamics.restart import check_same_run, find_checkpoint
from mdnnp.dynamics.start import Start, prepare
from mdnnp.trajectory import Counts, Trajectory

RESCALE_INTERVAL = 10  # steps between scalings of the velocities during the equilibration
FEWEST_STEPS_PER_PERIOD = 10
VIBRATION_EVALUATIONS = 12
LARGE_SYSTEM = 5_000  # atoms from which so many evaluations are felt: only runs that are much longer do them
MOST_VOLUME_CHANGE = 0.1  # in one step, as a share


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    step : steps done since the very start; new_steps : those of this call, which took `seconds`
    drift, shadow_drift : of the energy that the ensemble conserves and of the shadow energy, after the equilibration;
        None without anything to measure it from
    extrapolations : of the whole run
    trajectory, checkpoint : files
    stopped_by : the signal that ended it early, else 0
    collected : configurations in the file of those that a committee disagrees on
    report : all this in words
    """

    step: int
    new_steps: int
    seconds: float
    drift: Drift | None
    shadow_drift: Drift | None
    extrapolations: int
    trajectory: Path
    checkpoint: Path
    stopped_by: int = 0
    collected: int = 0
    report: str = ""

    @property
    def exit_code(self) -> int:
        """Exit status of the command: 0, or 128 and the number of the signal."""
        return 128 + self.stopped_by if self.stopped_by else 0

    def text(self) -> str:
        """The report."""
        return self.report

    def as_dict(self) -> dict:
        """The numbers by name; drifts None without anything to measure them from."""
        numbers = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("report", "drift", "shadow_drift")
        }
        drifts = {name: getattr(self, name) for name in ("drift", "shadow_drift")}
        return {"program": "mdnnp run"} | numbers | {k: None if d is None else asdict(d) for k, d in drifts.items()}


def run(config: RunConfig, *, resume: bool = False, overwrite: bool = False) -> Summary:
    """Make the run that `config` describes, or continue it; prints its progress to stdout.

    resume : go on from the checkpoint, if there is one; overwrite : replace the output of an earlier run
    Raises InputError and FileError before anything is written; later PhysicsError if the dynamics goes wrong,
    FileError if writing fails: everything written until then is saved, with the last checkpoint.
    SIGINT and SIGTERM finish the step, write a checkpoint and return.
    """
    with locked(config.trajectory_path, config.checkpoint_path):
        return _run(config, resume, overwrite)


def _run(config: RunConfig, resume: bool, overwrite: bool) -> Summary:
    saved = find_checkpoint(config, resume=resume, overwrite=overwrite)
    start = prepare(config)
    neighbors = start.potential.make_lists(config.dynamics.skin_A)

    def compute(system, atomic_virials=config.output.heat_current):
        return start.potential.compute(system, neighbors.update(system), atomic_virials=atomic_virials)

    if saved is not None:
        check_same_run(saved, config, start)
    if saved is None or saved.counts == Counts():  # nothing of it was committed
        saved = None
        screen.say(messages.header(config, start, get_threads()))
        state = first_state(start, compute)
        if config.output.heat_current and len(state.results.atomic_virials) == 0:
            raise InputError(
                f"{config.source}: output.heat_current needs per-atom virials, which {config.potential.path} "
                f"({start.potential.kind}) does not have; take the key out"
            )
        for remark in start.potential.remarks(state.system, state.results):
            warnings.warn(remark, MdnnpWarning, stacklevel=3)
        _look_for_vibrations(config, start, state, neighbors)
        start.potential.begin()
        if start.potential.remembers:  # as a run that resumes here does it
            state = first_state(start, compute)
    else:
        start.potential.begin(saved.memory)
        neighbors.restore(start.system._replace(positions=saved.reference, cell=saved.reference_cell))
        system = start.system._replace(positions=saved.positions, cell=saved.cell)
        state = MDState(system, saved.velocities, start.masses, compute(system), saved.step, start.fixed, saved.bath)
        screen.say(messages.resumed(config, start, saved.step, get_threads()))
    with StopSignals() as stop:
        recorder = (
            start_record(config, start, state, neighbors.reference)
            if saved is None
            else resume_record(config, start, saved)
        )
        begun, first = time.perf_counter(), state.step
        with recorder:
            state = _advance(state, config, start, compute, neighbors, recorder, stop)
        seconds = time.perf_counter() - begun
    conserved, shadow = _drifts(recorder.trajectory, config, start)
    summary = Summary(
        step=state.step,
        new_steps=state.step - first,
        seconds=seconds,
        drift=conserved,
        shadow_drift=shadow,
        extrapolations=recorder.extrapolations,
        trajectory=recorder.trajectory,
        checkpoint=config.checkpoint_path,
        stopped_by=stop.received if state.step < config.total_steps else 0,
        collected=recorder.collector.count,
    )
    report = messages.summary(config, start, summary, recorder.extrapolated_steps, neighbors.n_builds)
    return replace(summary, report=report)


def _advance(state, config: RunConfig, start: Start, compute, neighbors, recorder: Recorder, stop) -> MDState:
    """Step until the end of the run, or a signal; every due record and checkpoint is written."""
    total, output = config.total_steps, config.output
    log_interval = output.log_interval or screen.round_number(total / 20)
    thermo = messages.Thermo(config, start)
    progress = screen.Progress(total, state.step, len(start.system), config.dynamics.timestep_fs)
    checkpointed = state.step
    try:
        progress.line(thermo.header)
        progress.line(thermo.line(Observed(state, start), recorder.extrapolations))
        while state.step < total and not stop.received:
            # Virials of the atoms, for the heat current, only in steps whose row is written.
            virials = output.heat_current and (state.step + 1) % output.thermo_interval == 0
            state = guarded_step(state, start, config, partial(compute, atomic_virials=virials))
            state = _rescaled(state, start, config)
            seen = Observed(state, start)
            recorder.record(seen)
            _check_limits(seen, config, recorder)
            progress.advance()
            if state.step % log_interval == 0 or state.step == total:
                progress.line(thermo.line(seen, recorder.extrapolations))
            if state.step % output.checkpoint_interval == 0:
                recorder.checkpoint(state, neighbors.reference)
                checkpointed = state.step
    except PhysicsError as error:
        raise PhysicsError(f"{error}\n{messages.kept(recorder.trajectory, state.step, config, checkpointed)}") from None
    finally:
        progress.close()
    if checkpointed < state.step:
        recorder.checkpoint(state, neighbors.reference)
    return state


def _drifts(trajectory: Path, config: RunConfig, start: Start) -> tuple[Drift | None, Drift | None]:
    """Drifts of the conserved and of the shadow energy in the dense log."""
    with Trajectory(trajectory) as written:
        thermo = written.thermo
    time, dynamics = thermo["time"], config.dynamics
    warmup_fs = default_warmup_fs(time, dynamics.equilibration_steps * dynamics.timestep_fs)
    kept = after_warmup(time, warmup_fs)
    if not kept.any():
        return None, None
    heat = float(np.mean(thermo["temperature"][kept]))
    conserved, shadow = (
        energy_drift(time, thermo[name], warmup_fs, len(start.system), thermo["kinetic_energy"], heat, start.n_degrees)
        for name in (conserved_column(thermo), "shadow_energy")
    )
    return conserved, shadow


def _look_for_vibrations(config: RunConfig, start: Start, state: MDState, neighbors: VerletList | VerletLists) -> None:
    """Report the fastest vibration at the start, and warn of a time step that is too long for it."""
    timestep, evaluations = config.dynamics.timestep_fs, VIBRATION_EVALUATIONS
    if config.total_steps == 0:
        return
    if len(state.system) >= LARGE_SYSTEM:
        if config.total_steps < 10 * evaluations:
            screen.say(messages.no_vibrations(evaluations))
            return
        screen.say(f"looking for the fastest vibration: {evaluations} evaluations of forces")
    # Displacements of 0.001 Å stay within a skin, so that they need no list of their own.
    listed = neighbors.update(state.system) if neighbors.skin > 0.01 else None
    period_fs = fastest_period(state, lambda s: start.potential.compute(s, listed), n_iterations=evaluations)
    screen.say(messages.vibrations(period_fs, timestep))
    if period_fs < FEWEST_STEPS_PER_PERIOD * timestep:
        text = (
            f"dynamics.timestep_fs = {timestep:g} is long: the fastest vibration at the start has a period of "
            f"{period_fs:.3g} fs, {period_fs / timestep:.2g} steps; use at least {FEWEST_STEPS_PER_PERIOD}"
        )
        warnings.warn(text, MdnnpWarning, stacklevel=2)


class StopSignals:
    """While this context is open, SIGINT and SIGTERM are noted instead of ending the process.

    received : number of the signal, 0 if there was none. A second SIGINT raises KeyboardInterrupt.
    """

    def __init__(self):
        self.received = 0
        self._previous: dict = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number


def first_state(start: Start, compute: Compute) -> MDState:
    """The state at step 0. Raises PhysicsError unless energy and forces are finite."""
    bath = start.integrator.begin(start.system)
    state = MDState(start.system, start.velocities, start.masses, compute(start.system), 0, start.fixed, bath)
    _check_finite(state, 0.0)
    return state


def guarded_step(state: MDState, start: Start, config: RunConfig, compute: Compute) -> MDState:
    """One step of the run. Raises PhysicsError if the dynamics goes wrong, naming step and atom."""
    equilibrating = state.step < config.dynamics.equilibration_steps
    integrator = ConstantEnergy() if equilibrating else start.integrator
    limits, timestep = config.limits, config.dynamics.timestep_fs
    when = _when(state.step + 1, timestep)

    def checked(system):
        _check_displacements(state, system, limits.max_displacement_A, when)
        try:
            return compute(system)
        except (
            InputError,
            PhysicsError,
        ) as error:  # atoms at the same position, positions out of bounds, no finite force
            raise PhysicsError(f"{when}: {error}") from None

    try:
        new = integrator.step(state, timestep, checked)
    except (OverflowError, np.linalg.LinAlgError) as error:  # of a thermostat's or barostat's exponentials
        raise PhysicsError(
            f"{when}: the variables of thermostat or barostat overflow ({error}). The start may be far from "
            "equilibrium, or dynamics.thermostat_time_fs and barostat_time_fs too short for the time step"
        ) from None
    _check_finite(new, timestep)
    return new


def _when(step: int, timestep_fs: float) -> str:
    return f"step {step} ({step * timestep_fs:.6g} fs)"


def _check_displacements(state: MDState, system: System, limit_A: float, when: str) -> None:
    before = state.system.positions
    if system.cell is not state.system.cell:  # the cell takes the atoms along, the further the more
        _check_cell(state.system.cell, system.cell, when)
        before = transformed(before, np.linalg.solve(state.system.cell, system.cell))
    moved = np.linalg.norm(system.positions - before, axis=1)
    if np.max(moved) <= limit_A:  # false for NaN
        return
    atom = int(np.argmax(np.where(np.isnan(moved), np.inf, moved)))
    force = np.linalg.norm(state.results.forces[atom])
    raise PhysicsError(
        f"{when}: atom {atom} ({_symbol(state, atom)}) moves {moved[atom]:.3g} Å in one step, more than "
        f"limits.max_displacement_A = {limit_A:g}; the force on it is {force:.3g} eV/Å. The time step may be "
        "too long, atoms may overlap, or the atoms may be outside the range of the potential's training data"
    )


def _check_cell(before: np.ndarray, after: np.ndarray, when: str) -> None:
    change = volume(after) / volume(before) - 1.0
    if np.isfinite(after).all() and abs(change) <= MOST_VOLUME_CHANGE:
        return
    raise PhysicsError(
        f"{when}: the volume changes by {100 * change:.3g} % in one step, from {volume(before):.6g} Å^3; at most "
        f"{100 * MOST_VOLUME_CHANGE:g} % is allowed. Equilibrate with an ensemble of constant volume first, lengthen "
        "dynamics.barostat_time_fs, or check the pressure and the structure"
    )


def _check_finite(state: MDState, timestep_fs: float) -> None:
    if math.isfinite(state.results.energy) and np.isfinite(state.results.forces).all():
        return
    bad = np.flatnonzero(~np.isfinite(state.results.forces).all(axis=1))
    bad = bad if len(bad) else np.flatnonzero(~np.isfinite(state.results.atomic_energies))
    where = f"; the first of {len(bad)} such atoms is {bad[0]} ({_symbol(state, bad[0])})" if len(bad) else ""
    raise PhysicsError(
        f"{_when(state.step, timestep_fs)}: the energy ({state.results.energy}) or a force is not a finite number"
        f"{where}. Atoms may overlap, or the unit of length may be wrong"
    )


def _symbol(state: MDState, atom: int) -> str:
    return chemical_symbols[state.system.numbers[atom]]


def _check_limits(seen: Observed, config: RunConfig, recorder: Recorder) -> None:
    """Raise PhysicsError if the run is too hot, extrapolates too often, or its committee disagrees too much."""
    state = seen.state
    when, allowed = _when(state.step, config.dynamics.timestep_fs), config.limits.max_extrapolations
    if allowed is not None and recorder.extrapolations > allowed:
        last = messages.extrapolation_line(state.step, state.results.extrapolation, state.system.numbers)
        raise PhysicsError(
            f"{when}: {recorder.extrapolations} extrapolations, more than limits.max_extrapolations = {allowed}; "
            f"the last: {last}"
        )
    most, disagreement = config.limits.max_force_disagreement_eV_A, state.results.disagreement
    if most is not None and disagreement is not None and np.max(disagreement.forces) > most:
        raise PhysicsError(
            f"{when}: the members of the committee disagree by {worst_atom(state)}: more than "
            f"limits.max_force_disagreement_eV_A = {most:g}; label configurations like this one and train again"
        )
    now, limit = seen.temperature, config.limits.max_temperature_K
    if now <= limit:
        return
    atom = int(np.argmax(state.masses * np.sum(state.velocities**2, axis=1)))
    raise PhysicsError(
        f"{when}: the temperature is {now:.4g} K, above "
        f"limits.max_temperature_K = {limit:g}; the fastest atom is {atom} ({_symbol(state, atom)})"
    )


def _rescaled(state: MDState, start: Start, config: RunConfig) -> MDState:
    """The state with its velocities scaled, where the equilibration wants it."""
    dynamics = config.dynamics
    last = dynamics.equilibration_steps
    if state.step > last or (state.step % RESCALE_INTERVAL and state.step != last):
        return state
    scaled = scaled_to_temperature(state.velocities, state.masses, dynamics.temperature_K, start.n_degrees)
    return state._replace(velocities=scaled)
