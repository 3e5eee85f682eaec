"""What a run keeps on disk: its trajectory, its checkpoint, and the lock that keeps a second run away.

A run may be killed at any moment. The first checkpoint, of step 0, is written before the trajectory, and counts no
records in it; from then on a checkpoint says how many records of the trajectory it stands on.

The shadow energy of a step is known a few steps later, so rows of the dense log are held back until then.
"""

import contextlib
import math
import os
import platform
import re
import uuid
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdnnp import __version__, report
from mdnnp.checkpoint import (
    Expected,
    check_contents,
    count,
    load_checkpoint,
    number,
    previous_path,
    save_checkpoint,
)
from mdnnp.collect import COLUMNS, Collector, columns
from mdnnp.config import RunConfig, resolved_text, restart_settings
from mdnnp.errors import FileError, InputError, MdnnpWarning
from mdnnp.files import check_distinct, check_writable
from mdnnp.integrators import Bath, MDState
from mdnnp.observables import (
    density,
    heat_current,
    kinetic_energy,
    kinetic_tensor,
    momentum,
    pressure_tensor,
    temperature,
)
from mdnnp.potentials.load import potential_files
from mdnnp.prepare import Start
from mdnnp.shadow import REACH, ShadowEnergy
from mdnnp.system import System, validate, volume
from mdnnp.trajectory import (
    RUN_ID,
    Counts,
    OtherRun,
    TrajectoryWriter,
    check_space,
    expected_bytes,
    next_part,
)
from mdnnp.units import EV_PER_A3_IN_GPA

THERMO_UNITS = {
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "total_energy": "eV",
    "shadow_energy": "eV",
    "temperature": "K",
    "pressure": "GPa",
    **{f"pressure_{ij}": "GPa" for ij in ("xx", "yy", "zz", "yz", "xz", "xy")},
    **{f"momentum_{i}": "u Angstrom fs-1" for i in "xyz"},
    "extrapolations": "1",
}
CELL_COLUMNS = {f"cell_{'abc'[k]}{'xyz'[l]}": (k, l) for k in range(3) for l in range(k + 1)}
HEAT_CURRENT_UNITS = {f"heat_current_{i}": "eV Angstrom fs-1" for i in "xyz"}
BAROSTAT_UNITS = {"volume": "Angstrom3", "density": "g cm-3", **dict.fromkeys(CELL_COLUMNS, "Angstrom")}
MAX_STORED_EXTRAPOLATIONS = 1_000_000  # all are counted


class Checkpoint(NamedTuple):
    """A checkpoint that was read: where the run stands.

    step : steps done; positions (N, 3) Å, velocities (N, 3) Å/fs and cell (3, 3) Å of that step
    bath : variables of thermostat and barostat; random numbers follow from the seed, which is a setting, and the step
    reference, reference_cell : positions (N, 3) Å and cell (3, 3) Å for which the neighbour list was built
    trajectory : file that the run writes to; counts : its records that belong to the run
    extrapolations : total, and steps with any
    collected : see `Collector.saved`
    run_id : of the run, also in its trajectory
    held : rows of the dense log that wait for their shadow energy; window : what that is made of
    settings : of the input, which must not change; digests : of structure and potential
    """

    step: int
    positions: np.ndarray
    velocities: np.ndarray
    cell: np.ndarray
    bath: Bath
    reference: np.ndarray
    reference_cell: np.ndarray
    trajectory: Path
    counts: Counts
    extrapolations: tuple[int, int]
    held: list
    window: tuple[dict, dict[str, np.ndarray]]
    settings: dict
    digests: dict
    version: str
    collected: dict
    run_id: str


@contextlib.contextmanager
def locked(output: Path, checkpoint: Path) -> Iterator[None]:
    """Hold the lock of `output` and its checkpoint. Raises FileError if another run does, or it cannot be made."""
    try:
        import fcntl
    except ImportError:  # not on this platform: no protection
        yield
        return
    check_writable(output, overwrite=True)
    path = Path(f"{checkpoint}.lock")  # outputs that share a checkpoint must not run side by side either
    if path.is_dir() or (path.exists() and path.stat().st_size):
        raise FileError(f"{path}: stands where the lock of a run is made, and is none; move it away")
    try:
        file = path.open("a")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileError(f"{output}: another run is writing to it (it holds {path})") from None
        except OSError:  # a file system without locks
            yield
            return
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
            raise FileError(f"{output}: another run has just ended or begun there; try again")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def find_checkpoint(config: RunConfig, *, resume: bool, overwrite: bool) -> Checkpoint | None:
    """The checkpoint to go on from; None if the run is to begin at its beginning.

    Raises FileError where output is there already, unless it may be resumed or overwritten, and InputError for
    an output that would replace an input.
    """
    _check_paths(config)
    exists = [p for p in config.output_paths if p.exists()]
    has_checkpoint = any(p.exists() for p in (config.checkpoint_path, previous_path(config.checkpoint_path)))
    if resume and has_checkpoint:
        return _read(config)
    if resume and not exists:
        report.say("nothing to resume yet: beginning at step 0")
    elif resume and not overwrite:
        raise FileError(
            f"{config.trajectory_path} has no checkpoint ({config.checkpoint_path}), so that it cannot be resumed; "
            "start again with --overwrite, or with another output.file"
        )
    elif exists and not overwrite:
        raise FileError(
            f"{exists[0]} exists already; go on with it (--resume), replace it (--overwrite), or give another "
            "output.file"
        )
    for path in config.output_paths:
        check_writable(path, overwrite=True)
    return None


def _check_paths(config: RunConfig) -> None:
    if config.trajectory_path == config.checkpoint_path:
        raise InputError(f"output.file: {config.trajectory_path} is the name of the checkpoint; give another")
    inputs = (config.source, config.structure.file, *potential_files(config.potential.path))
    check_distinct(config.output_paths, inputs)


def _read(config: RunConfig) -> Checkpoint:
    meta, arrays = load_checkpoint(config.checkpoint_path)
    own = config.trajectory_path
    written = str(meta.get("trajectory", own.name))
    is_part = re.fullmatch(rf"{re.escape(own.stem)}\.part\d+{re.escape(own.suffix)}", written)
    if written != own.name and not is_part:
        raise FileError(
            f"{config.checkpoint_path}: belongs to {own.parent / written}, not to {own}; give output.file "
            "another name, or that of the run to resume"
        )
    check_contents(config.checkpoint_path, meta, arrays, _KINDS, _ARRAYS)
    return Checkpoint(
        step=meta["step"],
        positions=arrays["positions"],
        velocities=arrays["velocities"],
        cell=arrays["cell"],
        bath=Bath(meta["bath_energy"], *(arrays[f"bath_{name}"] for name in Bath._fields[1:])),
        reference=arrays["reference"],
        reference_cell=arrays["reference_cell"],
        trajectory=config.trajectory_path.with_name(meta["trajectory"]),
        counts=Counts(*meta["counts"]),
        extrapolations=tuple(meta["extrapolations"]),
        held=meta["held"],
        window=(meta["window"], arrays),
        settings=meta["settings"],
        digests=meta["digests"],
        version=meta["version"],
        collected=meta["collected"],
        run_id=meta["run_id"],
    )


_KINDS = {
    "step": lambda v: count(v) and v <= 2 * 10**12,
    "trajectory": str,
    "counts": (count, count, count),
    "extrapolations": (count, count),
    "collected": {"file": str, "count": count, "last_step": int, "size": count, "sha256": str},
    "held": [(count, number, dict)],
    "window": {"steps": [count], "energies": [number]},
    "bath_energy": number,
    "settings": dict,
    "digests": dict,
    "version": str,
    "run_id": str,
}
_ARRAYS = {
    "positions": Expected(("N", 3)),
    "velocities": Expected(("N", 3)),
    "cell": Expected((3, 3)),
    "reference": Expected(("N", 3)),
    "reference_cell": Expected((3, 3)),
    "bath_chain": Expected((None,)),
    "bath_cell_velocity": Expected((3, 3)),
    "bath_cell_chain": Expected((None,)),
    **{f"window_{name}": Expected(("K", "N", 3)) for name in ("positions", "velocities", "forces")},
}


def check_same_run(saved: Checkpoint, config: RunConfig, start: Start) -> None:
    """Raise InputError, with all differences, unless input, structure and potential are those of the checkpoint."""
    where = config.checkpoint_path
    settings = restart_settings(config)
    differences = [
        f"{name} is {settings.get(name)!r}, but the run was begun with {saved.settings.get(name)!r}"
        for name in sorted(settings.keys() | saved.settings.keys())
        if settings.get(name) != saved.settings.get(name)
    ]
    files = {"structure": config.structure.file, "potential": config.potential.path}
    differences += [
        f"the {name} {files[name]} is not the one that the run was begun with"
        for name in files
        if start.digests[name] != saved.digests.get(name)
    ]
    if differences:
        raise InputError(
            "\n".join(f"{where}: {d}" for d in differences)
            + "\nrestore what has changed, or start a new run with another output.file"
        )
    _check_shapes(saved, config, start)
    if saved.version != __version__:
        text = f"{where} was written by mdnnp {saved.version}; this is {__version__}: the last bits may differ"
        warnings.warn(text, MdnnpWarning, stacklevel=2)


def _check_shapes(saved: Checkpoint, config: RunConfig, start: Start) -> None:
    """Raise FileError for a checkpoint that this run cannot have written, though settings and files are the same."""
    steps, energies = saved.window[0]["steps"], saved.window[0]["energies"]
    columns = _columns(config, start).keys()
    bath = start.integrator.begin(start.system)
    agrees = {
        "the number of atoms": len(saved.positions) == len(start.system),
        "thermostat and barostat": all(np.shape(a) == np.shape(b) for a, b in zip(saved.bath, bath, strict=True)),
        "rows of the log": all(values.keys() == columns and _all_numbers(values) for *_, values in saved.held),
        "the last steps": steps == list(range(saved.step - len(steps) + 1, saved.step + 1))
        and len(steps) == len(energies) == len(saved.window[1]["window_positions"]),
    }
    for what, holds in agrees.items():
        if not holds:
            raise FileError(f"{config.checkpoint_path}: damaged: {what} cannot be of this run; start it again")
    for positions, cell in ((saved.positions, saved.cell), (saved.reference, saved.reference_cell)):
        try:
            validate(start.system._replace(positions=positions, cell=cell), str(config.checkpoint_path))
        except InputError as error:
            raise FileError(f"{error}: the checkpoint is damaged; start the run again") from None


def _all_numbers(values: dict) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values.values())


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

    def __exit__(self, *exception) -> None:
        # A resumed run that stops before it has caught up leaves what was committed before the interruption.
        finished = self._step == self._config.total_steps
        while self._held and (finished or self._writer.caught_up):
            self._writer.write_thermo(*self._held.popleft())
        self._writer.close(keep_tail=not finished)

    def record(self, state: MDState) -> None:
        """Note the extrapolations of a step that was just done, and write thermo row and frame if they are due."""
        self._step = state.step
        self._note_extrapolations(state)
        self.collector.note(state)
        output = self._config.output
        if state.step % output.thermo_interval == 0:
            self._held.append((state.step, self._time(state), self._thermo(state)))
        # Neither scaled velocities nor thermostats are velocity Verlet: they have no shadow energy.
        shadow = None
        dynamics = self._config.dynamics
        if dynamics.ensemble == "nve" and state.step >= dynamics.equilibration_steps:
            shadow = self._shadow.add(state)
        if self._held and self._held[0][0] == state.step - REACH:
            step, time, values = self._held.popleft()
            self._writer.write_thermo(step, time, values | {"shadow_energy": math.nan if shadow is None else shadow})
        if state.step % output.frame_interval == 0:
            self._write_frame(state)

    def checkpoint(self, state: MDState, reference: System) -> None:
        """Make durable what is written, and save a checkpoint of `state`; `reference` is the neighbour list's."""
        self._writer.flush()
        _save(
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
        """Go on where a checkpoint stands; returns itself."""
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
            text = report.extrapolation_line(state.step, event, state.system.numbers)
            warnings.warn(text, MdnnpWarning, stacklevel=3)
        self.extrapolations += event.count
        self.extrapolated_steps += 1
        if self._writer.counts.extrapolations < MAX_STORED_EXTRAPOLATIONS:
            columns = {name: getattr(event, name) for name in ("atom", "function", "value", "lower", "upper")}
            self._writer.write_extrapolations(state.step, columns)

    def _volume(self, state: MDState) -> float:
        return volume(state.system.cell) if state.system.pbc.all() else math.nan

    def _thermo(self, state: MDState) -> dict[str, float]:
        kinetic = float(kinetic_energy(state.velocities, state.masses))
        tensor = kinetic_tensor(state.velocities, state.masses)
        p = pressure_tensor(tensor, state.results.virial, self._volume(state)) * EV_PER_A3_IN_GPA
        total = momentum(state.velocities, state.masses)
        return {
            "potential_energy": state.results.energy,
            "kinetic_energy": kinetic,
            "total_energy": state.results.energy + kinetic,
            "shadow_energy": math.nan,  # until it is known
            "temperature": float(temperature(kinetic, self._start.n_degrees)),
            "pressure": float(np.trace(p)) / 3,
            **{f"pressure_{'xyz'[i]}{'xyz'[j]}": p[i, j] for i, j in _VOIGT},
            **{f"momentum_{'xyz'[i]}": total[i] for i in range(3)},
            "extrapolations": self.extrapolations,
            **columns(state),
            **self._of_ensemble(state),
            **self._heat_current(state),
        }

    def _heat_current(self, state: MDState) -> dict[str, float]:
        if not self._config.output.heat_current:
            return {}
        numbers, results = state.system.numbers, state.results
        # Without their constants, which would make a current of the diffusion of elements.
        energies = results.atomic_energies - self._start.potential.offsets(numbers)
        current = heat_current(state.velocities, state.masses, energies, results.atomic_virials)
        return dict(zip(HEAT_CURRENT_UNITS, current.tolist(), strict=True))

    def _of_ensemble(self, state: MDState) -> dict[str, float]:
        """What the ensemble adds to a row: see `thermo_units`."""
        dynamics = self._config.dynamics
        found = {}
        if dynamics.ensemble != "nve":
            found["conserved_energy"] = self._start.integrator.conserved_energy(state)
        if dynamics.has_barostat:
            found |= {"volume": self._volume(state), "density": float(density(state.masses, self._volume(state)))}
            found |= {name: float(state.system.cell[kl]) for name, kl in CELL_COLUMNS.items()}
        return found

    def _write_frame(self, state: MDState) -> None:
        kinetic = float(kinetic_energy(state.velocities, state.masses))
        observables = {
            "potential_energy": state.results.energy,
            "kinetic_energy": kinetic,
            "total_energy": state.results.energy + kinetic,
            "temperature": float(temperature(kinetic, self._start.n_degrees)),
            "stress": -state.results.virial / self._volume(state),  # of the potential, positive: tension
        }
        self._writer.write_frame(
            state.step,
            self._time(state),
            state.system.positions,
            state.system.cell,
            observables,
            velocities=state.velocities,
            forces=state.results.forces,
        )


_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def start_record(config: RunConfig, start: Start, state: MDState, reference: System) -> Recorder:
    """Make the files of a run that begins, with the records of its first state.

    What is at their places is replaced: `find_checkpoint` has made sure that this is wanted.
    """
    path = config.trajectory_path
    _check_space(config, len(start.system))
    nothing = ShadowEnergy(config.dynamics.timestep_fs, start.masses).saved()
    collected = Collector(config).saved()
    run_id = uuid.uuid4().hex
    _save(config, start, run_id, state, reference, path, Counts(), (0, 0), collected, [], nothing)
    previous_path(config.checkpoint_path).unlink(missing_ok=True)  # of an earlier run
    recorder = Recorder(config, start, _create(path, config, start, run_id), run_id)
    recorder.collector.begin()
    recorder.record(state)
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
            f"{error}. Going on from step {saved.step} in {part}; what is before that step is in {path}, as far as "
            "that can be read"
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
        thermo_units=_columns(config, start),
        parameters=parameters,
        velocities=config.output.velocities,
        forces=config.output.forces,
        overwrite=True,
    )


def thermo_units(config: RunConfig) -> dict[str, str]:
    """Columns of the dense log and their units."""
    dynamics = config.dynamics
    conserved = {} if dynamics.ensemble == "nve" else {"conserved_energy": "eV"}
    return (
        THERMO_UNITS
        | conserved
        | (BAROSTAT_UNITS if dynamics.has_barostat else {})
        | (HEAT_CURRENT_UNITS if config.output.heat_current else {})
    )


def _columns(config: RunConfig, start: Start) -> dict[str, str]:
    """As `thermo_units`, with what a committee adds."""
    return thermo_units(config) | (COLUMNS if start.potential.has_disagreement else {})


def _save(
    config,
    start,
    run_id,
    state,
    reference: System,
    trajectory: Path,
    counts: Counts,
    extrapolations,
    collected,
    held,
    window,
    **more,
) -> None:
    meta = {
        "run_id": run_id,
        "step": state.step,
        "trajectory": trajectory.name,
        "counts": list(counts),
        "extrapolations": list(extrapolations),
        "collected": collected,
        "held": held,
        "window": window[0],
        "bath_energy": state.bath.energy,
        "settings": restart_settings(config),
        "digests": start.digests,
        "version": __version__,
    }
    arrays = {
        "positions": state.system.positions,
        "velocities": state.velocities,
        "cell": state.system.cell,
        "reference": reference.positions,
        "reference_cell": reference.cell,
        **{f"bath_{name}": getattr(state.bath, name) for name in Bath._fields[1:]},
        **window[1],
    }
    save_checkpoint(config.checkpoint_path, meta, arrays, **more)


def _check_space(config: RunConfig, n_atoms: int) -> None:
    output, steps = config.output, config.total_steps
    size = expected_bytes(
        n_atoms,
        steps // output.frame_interval + 1,
        steps // output.thermo_interval + 1,
        velocities=output.velocities,
        forces=output.forces,
    )
    path = config.trajectory_path
    freed = path.stat().st_size if path.exists() else 0
    check_space(path, size - freed)
