"""The steps of a relaxation or a search as files: extended XYZ, or H5MD with a frame for each step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from mdnnp import __version__
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, enclosing_box, lower_triangular, transformed
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import InputError
from mdnnp.base.files import check_writable, new_file
from mdnnp.potentials.interface import Results
from mdnnp.trajectory import STEPS, TrajectoryWriter
from mdnnp.trajectory.writer import WriteError

H5_SUFFIXES = (".h5", ".h5md", ".hdf5")


class Step(Protocol):
    """A configuration and its energy, forces and virial."""

    @property
    def system(self) -> System:
        """Where the atoms are."""

    @property
    def results(self) -> Results:
        """What the potential says of them."""


def with_results(structure: Structure, step: Step) -> Structure:
    """`structure` where `step` is, with energies (eV), forces (eV/Å), stress (eV/Å^3, positive: tension), charges."""
    return replace(
        structure, system=step.system, velocities=None, energy=step.results.energy, forces=step.results.forces,
        atomic_energies=step.results.atomic_energies, stress=step.results.stress(step.system),
        charges=step.results.charges if len(step.results.charges) else None,
    )  # fmt: skip


def check_steps_file(path: str | Path | None, overwrite: bool) -> None:
    """Refuse, before any work is done, a file for the steps that cannot be written.

    Raises FileError if it exists (unless `overwrite`) or could not be made, InputError for a name of another format.
    """
    if not path:
        return
    path = Path(path)
    if path.suffix.lower() not in (".xyz", ".extxyz", *H5_SUFFIXES):
        raise InputError(f"{path}: steps are written as extended XYZ or H5MD; give a name that ends in .xyz or .h5")
    check_writable(path, overwrite=overwrite, instead="choose another name, or give --overwrite")


def write_steps(
    path: str | Path,
    structure: Structure,
    steps: Sequence[Step],
    *,
    parameters: Mapping[str, str | int | float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a frame for each step with energy, forces and stress, as the name of the file says.

    H5MD: step and time are the number of the step, the latter in the fs that the format wants of a time; nothing moves
    (temperature and kinetic energy 0, no velocities). Cells are turned lower triangular, as readers of H5MD expect
    them, and with them positions, forces and stress; open directions get an edge. parameters : kept in
    /parameters/mdnnp.
    """
    path = Path(path)
    if path.suffix.lower() not in H5_SUFFIXES:
        frames = [with_results(structure, step) for step in steps]
        write_structures(path, frames, format="extxyz", overwrite=overwrite)
        return
    kept = {"version": __version__, "structure": structure.label, "kind": STEPS} | dict(parameters or {})
    with new_file(path, overwrite) as temporary:
        try:
            writer = TrajectoryWriter.create(
                temporary, numbers=structure.system.numbers, masses=structure.masses, pbc=structure.system.pbc,
                thermo_units={}, parameters=kept, velocities=False,
                charges=len(steps) > 0 and len(steps[0].results.charges) > 0, overwrite=True,
            )  # fmt: skip
            with writer:
                for number, step in enumerate(steps):
                    _write_frame(writer, number, with_results(structure, step))
        except WriteError as error:  # it names a temporary file, and how to continue a run
            raise WriteError(f"{path}: the steps cannot be written; is the disk full?") from error


def _write_frame(writer: TrajectoryWriter, number: int, frame: Structure) -> None:
    cell, rotation = lower_triangular(enclosing_box(frame.system))
    stress = np.full((3, 3), np.nan) if frame.stress is None else rotation @ frame.stress @ rotation.T
    energy = float(frame.energy)
    observables = {
        "potential_energy": energy,
        "kinetic_energy": 0.0,
        "total_energy": energy,
        "temperature": 0.0,
        "stress": stress,
    }
    writer.write_frame(
        number, float(number), transformed(frame.system.positions, rotation.T), cell, observables,
        forces=transformed(frame.forces, rotation.T), charges=frame.charges,
    )  # fmt: skip
