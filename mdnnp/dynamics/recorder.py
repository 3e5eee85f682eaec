"""The files that a run writes: its trajectory, its log, its checkpoint.

A run may be killed at any moment. The first checkpoint, of step 0, is written before the trajectory, and counts no
records in it; each later checkpoint holds the number of trajectory records that were written before it.

The shadow energy of a step is known a few steps later, so rows of the dense log are written only then.
"""

import math
import platform
import uuid
import warnings
from collections import deque
from pathlib import Path

import numpy as np

from mdnnp import __version__
from mdnnp.atoms.quantities import (
    VOIGT,
    VOIGT_NAMES,
    dipole_moment,
    heat_current,
    momentum,
)
from mdnnp.atoms.system import System
from mdnnp.base.checkpoint import previous_path
from mdnnp.base.errors import FileError, MdnnpWarning
from mdnnp.base.files import check_writable
from mdnnp.dynamics import messages
from mdnnp.dynamics.collector import Collector, columns
from mdnnp.dynamics.input import RunConfig, resolved_text
from mdnnp.dynamics.integrators import MDState
from mdnnp.dynamics.log_columns import CELL_COLUMNS, HEAT_CURRENT_UNITS, log_columns
from mdnnp.dynamics.observed import Observed
from mdnnp.dynamics.restart import Checkpoint, save
from mdnnp.dynamics.shadow_energy import REACH, ShadowEnergy
from mdnnp.dynamics.start import Start
from mdnnp.trajectory import RUN_ID, Counts, OtherRun, TrajectoryWriter, check_space, expected_bytes, next_part

MAX_STORED_EXTRAPOLATIONS = 1_000_000  # all are counted


class Recorder:
    """Writes the records of a run as they fall due. A context: leaving it commits and closes the trajectory.

    extrapolations : (atom, function) pairs out of range, over all steps; extrapolated_steps : steps with any
    """

    def __init__(self, config: RunConfig, start: Start, writer: TrajectoryWriter, run_id: str):
        self._config, self._start, self._writer, self._run_id = config, start, writer, run_id
        self.extrapolations = self.extrapolated_steps = 0
        self.collector = Collector(config)
        self._step = -1  # of the last record
        self._held: deque[tuple[int, float, dict]] = deque()  # rows of the dense log: step, time, values
        self._shadow = ShadowEnergy(config.dynamics.timestep_fs, start.masses, config.output.thermo_interval)

    @property
    def trajectory(self) -> Path:
        """The file that is written."""
        return self._writer.path

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *exception: object) -> None:
        # A resumed run that stops before it has caught up leaves what was committed before the interruption.
        finished = self._step == self._config.total_steps
        while self._held and (finished or self._writer.caught_up):
            self._writer.write_thermo(*self._held.popleft())
        self._writer.close(keep_tail=not finished)

    def record(self, seen: Observed) -> None:
        """Note the extrapolations of a step that was just done, and write thermo row and frame if they are due."""
        state = seen.state
        self._step = state.step
        self._note_extrapolations(state)
        self.collector.note(state)
        output = self._config.output
        if state.step % output.thermo_interval == 0:
            self._held.append((state.step, self._time(state), self._thermo(seen)))
        # Neither scaled velocities nor thermostats are velocity Verlet: they have no shadow energy.
        shadow = None
        dynamics = self._config.dynamics
        if dynamics.ensemble == "nve" and state.step >= dynamics.equilibration_steps:
            shadow = self._shadow.add(state)
        if self._held and self._held[0][0] == state.step - REACH:
            step, time, values = self._held.popleft()
            self._writer.write_thermo(step, time, values | {"shadow_energy": math.nan if shadow is None else shadow})
        if state.step % output.frame_interval == 0:
            self._write_frame(seen)

    def checkpoint(self, state: MDState, reference: System) -> None:
        """Make durable what is written, and save a checkpoint of `state`; `reference` is the neighbour list's."""
        self._writer.flush()
        save(
            self._config,
            self._start,
            self._run_id,
            state,
            reference,
            self._writer.path,
            self._writer.counts,
            (self.extrapolations, self.extrapolated_steps),
            self.collector.saved(),
            list(self._held),
            self._shadow.saved(),
            before=self._writer.sync,
        )

    def restore(self, saved: Checkpoint) -> "Recorder":
        """Continue from a checkpoint; returns itself."""
        self.extrapolations, self.extrapolated_steps = saved.extrapolations
        self._held = deque(tuple(row) for row in saved.held)
        self._shadow.restore(*saved.window)
        self.collector.restore(saved.collected)
        return self

    def _time(self, state: MDState) -> float:
        return state.step * self._config.dynamics.timestep_fs

    def _note_extrapolations(self, state: MDState) -> None:
        event = state.results.extrapolation
        if event.count == 0:
            return
        if self.extrapolations == 0:
            text = messages.extrapolation_line(state.step, event, state.system.numbers)
            warnings.warn(text, MdnnpWarning, stacklevel=3)
        self.extrapolations += event.count
        self.extrapolated_steps += 1
        if self._writer.counts.extrapolations < MAX_STORED_EXTRAPOLATIONS:
            columns = {name: getattr(event, name) for name in ("atom", "function", "value", "lower", "upper")}
            self._writer.write_extrapolations(state.step, columns)

    def _thermo(self, seen: Observed) -> dict[str, float]:
        state, p = seen.state, seen.pressure_tensor
        total = momentum(state.velocities, state.masses)
        return {
            "potential_energy": state.results.energy,
            "kinetic_energy": seen.kinetic_energy,
            "total_energy": seen.total_energy,
            "shadow_energy": math.nan,  # until it is known
            "temperature": seen.temperature,
            "pressure": seen.pressure,
            **{f"pressure_{name}": p[ij] for name, ij in zip(VOIGT_NAMES, VOIGT, strict=True)},
            **{f"momentum_{'xyz'[i]}": total[i] for i in range(3)},
            "extrapolations": self.extrapolations,
            **columns(state),
            **self._of_charges(state),
            **self._of_ensemble(seen),
            **self._heat_current(state),
        }

    def _of_charges(self, state: MDState) -> dict[str, float]:
        if not self._start.potential.has_charges:
            return {}
        found = {"total_charge": float(state.results.charges.sum())}
        if not state.system.pbc.any():
            dipole = dipole_moment(state.system.positions, state.results.charges, state.masses)
            found |= {f"dipole_{'xyz'[i]}": float(dipole[i]) for i in range(3)}
        return found

    def _heat_current(self, state: MDState) -> dict[str, float]:
        if not self._config.output.heat_current:
            return {}
        numbers, results = state.system.numbers, state.results
        # Without their constants, which would make a current of the diffusion of elements.
        energies = results.atomic_energies - self._start.potential.offsets(numbers)
        current = heat_current(state.velocities, state.masses, energies, results.atomic_virials)
        return dict(zip(HEAT_CURRENT_UNITS, current.tolist(), strict=True))

    def _of_ensemble(self, seen: Observed) -> dict[str, float]:
        """What the ensemble adds to a row: see `thermo_units`."""
        dynamics = self._config.dynamics
        found = {}
        if dynamics.ensemble != "nve":
            found["conserved_energy"] = seen.conserved_energy
        if dynamics.has_barostat:
            found |= {"volume": seen.volume, "density": seen.density}
            found |= {name: float(seen.state.system.cell[kl]) for name, kl in CELL_COLUMNS.items()}
        return found

    def _write_frame(self, seen: Observed) -> None:
        state = seen.state
        observables: dict[str, float | np.ndarray] = {
            "potential_energy": state.results.energy,
            "kinetic_energy": seen.kinetic_energy,
            "total_energy": seen.total_energy,
            "temperature": seen.temperature,
            "stress": -state.results.virial / seen.volume,  # of the potential, positive: tension
        }
        self._writer.write_frame(
            state.step,
            self._time(state),
            state.system.positions,
            state.system.cell,
            observables,
            velocities=state.velocities,
            forces=state.results.forces,
            charges=state.results.charges,
        )


def start_record(config: RunConfig, start: Start, state: MDState, reference: System) -> Recorder:
    """Make the files of a run that begins, with the records of its first state.

    What is at their places is replaced: `find_checkpoint` has made sure that this is wanted.
    """
    path = config.trajectory_path
    _check_space(config, start)
    nothing = ShadowEnergy(config.dynamics.timestep_fs, start.masses).saved()
    collected = Collector(config).saved()
    run_id = uuid.uuid4().hex
    save(config, start, run_id, state, reference, path, Counts(), (0, 0), collected, [], nothing)
    previous_path(config.checkpoint_path).unlink(missing_ok=True)  # of an earlier run
    recorder = Recorder(config, start, _create(path, config, start, run_id), run_id)
    recorder.collector.begin()
    recorder.record(Observed(state, start))
    recorder.checkpoint(state, reference)
    return recorder


def resume_record(config: RunConfig, start: Start, saved: Checkpoint) -> Recorder:
    """Open the trajectory behind the checkpoint; one that is lost or damaged is continued in a second file.

    Raises FileError for the trajectory of another run.
    """
    path = saved.trajectory
    if path.exists():
        check_writable(path, overwrite=True)
    try:
        writer = TrajectoryWriter.reopen(path, saved.counts, saved.run_id)
    except OtherRun:
        raise
    except FileError as error:
        part = next_part(config.trajectory_path)
        text = (
            f"{error}. Continuing from step {saved.step} in {part}; the steps before it are in {path}, if that can "
            "be read"
        )
        warnings.warn(text, MdnnpWarning, stacklevel=2)
        writer = _create(part, config, start, saved.run_id)
    return Recorder(config, start, writer, saved.run_id).restore(saved)


def _create(path: Path, config: RunConfig, start: Start, run_id: str) -> TrajectoryWriter:
    import numba

    parameters = {
        RUN_ID: run_id,
        "version": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "input": config.text,
        "config": resolved_text(config),
        "structure": start.label,
        "structure_sha256": start.digests["structure"],
        "potential": str(config.potential.path),
        "potential_sha256": start.digests["potential"],
        "precision": config.potential.precision,
        "timestep_fs": config.dynamics.timestep_fs,
        "equilibration_steps": config.dynamics.equilibration_steps,
        "seed": config.dynamics.seed,
        "n_degrees": start.n_degrees,
        "ensemble": config.dynamics.ensemble,
        "offset_energy_eV": start.potential.offset_energy(start.system.numbers),
        "rotation": start.rotation,
    }
    return TrajectoryWriter.create(
        path,
        numbers=start.system.numbers,
        masses=start.masses,
        pbc=start.system.pbc,
        thermo_units=log_columns(config, start),
        parameters=parameters,
        velocities=config.output.velocities,
        forces=config.output.forces,
        charges=start.potential.has_charges,
        overwrite=True,
    )


def _check_space(config: RunConfig, start: Start) -> None:
    output, steps = config.output, config.total_steps
    size = expected_bytes(
        len(start.system),
        steps // output.frame_interval + 1,
        steps // output.thermo_interval + 1,
        velocities=output.velocities,
        forces=output.forces,
        charges=start.potential.has_charges,
    )
    path = config.trajectory_path
    freed = path.stat().st_size if path.exists() else 0
    check_space(path, size - freed)
