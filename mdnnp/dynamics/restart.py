"""The checkpoint of a run: found, read, compared with the input, and saved."""

import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdnnp import __version__
from mdnnp.atoms.system import System, validate
from mdnnp.base.checkpoint import (
    Expected,
    check_contents,
    count,
    load_checkpoint,
    number,
    previous_path,
    save_checkpoint,
)
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.files import check_distinct, check_writable
from mdnnp.base.report import screen
from mdnnp.dynamics.input import RunConfig, restart_settings
from mdnnp.dynamics.integrators import Bath, MDState
from mdnnp.dynamics.log_columns import log_columns
from mdnnp.dynamics.start import Start
from mdnnp.potentials.load import potential_files
from mdnnp.trajectory import Counts


class Checkpoint(NamedTuple):
    """A checkpoint that was read: the state of the run.

    step : steps done; positions (N, 3) Å, velocities (N, 3) Å/fs and cell (3, 3) Å of that step
    bath : variables of thermostat and barostat; random numbers follow from the seed, which is a setting, and the step
    reference, reference_cell : positions (N, 3) Å and cell (3, 3) Å for which the neighbour list was built
    trajectory : file that the run writes to; counts : its records that belong to the run
    extrapolations : total, and steps with any
    collected : see `Collector.saved`
    run_id : of the run, also in its trajectory
    memory : see `Potential.memory`
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
    memory: dict[str, np.ndarray]


def find_checkpoint(config: RunConfig, *, resume: bool, overwrite: bool) -> Checkpoint | None:
    """The checkpoint to continue from; None if the run starts at step 0.

    Raises FileError where output is there already, unless it may be resumed or overwritten, and InputError for
    an output that would replace an input.
    """
    _check_paths(config)
    exists = [p for p in config.output_paths if p.exists()]
    has_checkpoint = any(p.exists() for p in (config.checkpoint_path, previous_path(config.checkpoint_path)))
    if resume and has_checkpoint:
        return _read(config)
    if resume and not exists:
        screen.say("nothing to resume yet: starting at step 0")
    elif resume and not overwrite:
        raise FileError(
            f"{config.trajectory_path} has no checkpoint ({config.checkpoint_path}), so it cannot be resumed; start "
            "again with --overwrite, or with another output.file"
        )
    elif exists and not overwrite:
        raise FileError(
            f"{exists[0]} exists already; continue it (--resume), replace it (--overwrite), or give another output.file"
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
        memory={name.removeprefix(_MEMORY): a for name, a in arrays.items() if name.startswith(_MEMORY)},
    )


_MEMORY = "memory_"  # of the potential, before the names of its arrays
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
_LIGHT_A_PER_FS = 3000.0  # no atom is as fast as light, 2998 Å/fs
_LARGEST_PER_FS = 100.0  # no thermostat or barostat moves so much within a time step
_ARRAYS = {
    "positions": Expected(("N", 3)),
    "velocities": Expected(("N", 3), largest=_LIGHT_A_PER_FS),
    "cell": Expected((3, 3)),
    "reference": Expected(("N", 3)),
    "reference_cell": Expected((3, 3)),
    **{f"bath_{name}": Expected((None,), largest=_LARGEST_PER_FS) for name in ("chain", "cell_chain")},
    "bath_cell_velocity": Expected((3, 3), largest=_LARGEST_PER_FS),
    **{f"window_{name}": Expected(("K", "N", 3)) for name in ("positions", "velocities", "forces")},
}


def check_same_run(saved: Checkpoint, config: RunConfig, start: Start) -> None:
    """Raise InputError, with all differences, unless input, structure and potential are those of the checkpoint."""
    where = config.checkpoint_path
    settings = restart_settings(config)
    differences = [
        f"{name} is {settings.get(name)!r}, but the run was started with {saved.settings.get(name)!r}"
        for name in sorted(settings.keys() | saved.settings.keys())
        if settings.get(name) != saved.settings.get(name)
    ]
    files = {"structure": config.structure.file, "potential": config.potential.path}
    differences += [
        f"the {name} {files[name]} has changed since the run was started"
        for name in files
        if start.digests[name] != saved.digests.get(name)
    ]
    if differences:
        raise InputError(
            "\n".join(f"{where}: {d}" for d in differences)
            + "\nchange these back, or start a new run with another output.file"
        )
    _check_shapes(saved, config, start)
    if saved.version != __version__:
        text = f"{where} was written by mdnnp {saved.version}; this is {__version__}: the last bits may differ"
        warnings.warn(text, MdnnpWarning, stacklevel=2)


def _check_shapes(saved: Checkpoint, config: RunConfig, start: Start) -> None:
    """Raise FileError for a checkpoint that this run cannot have written, though settings and files are the same."""
    steps, energies = saved.window[0]["steps"], saved.window[0]["energies"]
    columns = log_columns(config, start).keys()
    bath = start.integrator.begin(start.system)
    agrees = {
        "the number of atoms": len(saved.positions) == len(start.system),
        "thermostat and barostat": [np.asarray(a).shape for a in saved.bath] == [np.asarray(b).shape for b in bath],
        "rows of the log": all(values.keys() == columns and _all_numbers(values) for *_, values in saved.held),
        "what the potential remembers": all(
            a.dtype == np.float64 and a.ndim == 3 and a.shape[2] == len(start.system) and np.isfinite(a).all()
            for a in saved.memory.values()
        ),
        "the last steps": steps == list(range(saved.step - len(steps) + 1, saved.step + 1))
        and len(steps) == len(energies) == len(saved.window[1]["window_positions"]),
    }
    for what, holds in agrees.items():
        if not holds:
            raise FileError(f"{config.checkpoint_path}: damaged: {what} cannot belong to this run; start it again")
    for positions, cell in ((saved.positions, saved.cell), (saved.reference, saved.reference_cell)):
        try:
            validate(start.system._replace(positions=positions, cell=cell), str(config.checkpoint_path))
        except InputError as error:
            raise FileError(f"{error}: the checkpoint is damaged; start the run again") from None


def _all_numbers(values: dict) -> bool:
    return all(number(v) or (isinstance(v, float) and math.isnan(v)) for v in values.values())


def save(
    config: RunConfig,
    start: Start,
    run_id: str,
    state: MDState,
    reference: System,
    trajectory: Path,
    counts: Counts,
    extrapolations: tuple[int, int],
    collected: Mapping[str, Any],
    held: list,
    window: tuple[Mapping[str, Any], Mapping[str, np.ndarray]],
    **more: Any,
) -> None:
    """Save the checkpoint of `state`; arguments: fields of `Checkpoint`; `more` goes to `save_checkpoint`."""
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
        **{_MEMORY + name: value for name, value in start.potential.memory().items()},
    }
    save_checkpoint(config.checkpoint_path, meta, arrays, **more)
