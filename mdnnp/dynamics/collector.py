"""Collecting configurations of a run on which a committee disagrees, to be labelled and trained on."""

import hashlib
import os
import warnings
from collections.abc import Mapping

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import wrapped
from mdnnp.atoms.write import extended_xyz
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.dynamics.input import RunConfig
from mdnnp.dynamics.integrators import MDState
from mdnnp.potentials.interface import Potential

COLUMNS = {  # of the dense log, with their units
    "max_force_disagreement": "eV Angstrom-1",
    "mean_force_disagreement": "eV Angstrom-1",
    "energy_disagreement": "eV",
}


def check_committee(config: RunConfig, potential: Potential) -> None:
    """Raise InputError if the input needs a committee, but the potential is a single one."""
    wanted = [
        name
        for name, value in (
            ("committee.collect_above_eV_A", config.committee.collect_above_eV_A),
            ("limits.max_force_disagreement_eV_A", config.limits.max_force_disagreement_eV_A),
        )
        if value is not None
    ]
    if wanted and not potential.has_disagreement:
        raise InputError(
            f"{config.at(wanted[0])}: needs a committee, but potential.path = {config.potential.path} is a single "
            "potential; give a directory that holds member-1, member-2, ..."
        )


def columns(state: MDState) -> dict[str, float]:
    """Values of COLUMNS; none for a single potential. The energy is per atom."""
    d = state.results.disagreement
    if d is None:
        return {}
    return dict(zip(COLUMNS, (float(np.max(d.forces)), float(np.mean(d.forces)), d.energy), strict=True))


def worst_atom(state: MDState) -> str:
    """The atom whose force the members disagree on most, and the sizes, as words."""
    forces = state.results.disagreement.forces
    atom = int(np.argmax(forces))
    symbol = chemical_symbols[state.system.numbers[atom]]
    size = np.linalg.norm(state.results.forces[atom])
    return f"{forces[atom]:.4g} eV/Å on atom {atom} ({symbol}), whose force is {size:.4g} eV/Å"


class Collector:
    """Appends configurations of large disagreement to an extended XYZ file, each complete, without labels.

    count : how many are in the file
    """

    def __init__(self, config: RunConfig):
        self._settings, self._path = config.committee, config.collect_path
        self.count, self._last_step, self._size = 0, -1, 0
        self._digest = hashlib.sha256()

    def begin(self) -> None:
        """Make way for the file of a new run."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def note(self, state: MDState) -> None:
        """Write the configuration if the largest force disagreement is above the threshold and it is time for one."""
        settings = self._settings
        if self._path is None or self.count >= settings.collect_most:
            return
        largest = float(np.max(state.results.disagreement.forces))
        soon = self.count > 0 and state.step - self._last_step < settings.collect_interval
        if soon or largest <= settings.collect_above_eV_A:
            return
        structure = Structure(wrapped(state.system), atomic_masses[state.system.numbers], config_type="collected")
        text = extended_xyz(structure, {"md_step": state.step, "disagreement_eV_A": largest}).encode()
        try:
            with self._path.open("ab") as file:
                file.truncate(self._size)  # what an interrupted write may have left
                file.write(text)
        except OSError as error:
            raise FileError(f"{self._path}: cannot be written: {error.strerror}") from None
        self.count, self._last_step, self._size = self.count + 1, state.step, self._size + len(text)
        self._digest.update(text)

    def saved(self) -> dict:
        """The values for a checkpoint; the file is durable then."""
        if self._path is not None and self._path.exists():
            handle = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        return {
            "file": "" if self._path is None else self._path.name,
            "count": self.count,
            "last_step": self._last_step,
            "size": self._size,
            "sha256": self._digest.hexdigest(),
        }

    def restore(self, saved: Mapping) -> None:
        """Continue from a checkpoint: configurations collected after it are removed, and collected again.

        Raises FileError for a file that this run has not written.
        """
        if self._path is None:
            return
        same = saved["file"] == self._path.name
        size = saved["size"] if same else 0
        kept = self._path.read_bytes() if self._path.exists() else b""
        if kept and not (same and self._is_own(kept, saved)):
            raise FileError(
                f"{self._path}: was not written by this run, and would be replaced; move it away, or give "
                "committee.collect_file another name"
            )
        if len(kept) < size:
            text = (
                f"{self._path}: some of the {saved['count']} configurations collected so far are missing; "
                "the file is started again"
            )
            warnings.warn(text, MdnnpWarning, stacklevel=2)
            size = 0
        if self._path.exists():
            os.truncate(self._path, size)
        if size:
            self.count, self._last_step, self._size = saved["count"], saved["last_step"], size
            self._digest = hashlib.sha256(kept[:size])

    @staticmethod
    def _is_own(kept: bytes, saved: Mapping) -> bool:
        """Whether a file is what a checkpoint says, followed by nothing but configurations, the last of them cut."""
        if len(kept) >= saved["size"] and hashlib.sha256(kept[: saved["size"]]).hexdigest() != saved["sha256"]:
            return False
        first, *rest = kept[saved["size"] :].split(b"\n", 2) if len(kept) > saved["size"] else kept.split(b"\n", 2)
        is_frame = first.isdigit() or not first
        return is_frame and (len(rest) < 2 or b"md_step=" in rest[0])
