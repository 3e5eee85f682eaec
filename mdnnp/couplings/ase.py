"""mdnnp as an ASE calculator."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mdnnp.atoms.alternating_lists import AlternatingLists
from mdnnp.atoms.quantities import dipole_moment
from mdnnp.atoms.structure import Structure, total_charge
from mdnnp.atoms.system import System, make_system, volume
from mdnnp.atoms.unit_suspicion import question_units
from mdnnp.base.errors import DisagreementWarning, ExtrapolationWarning, InputError, MdnnpWarning
from mdnnp.couplings.doubts import doubts
from mdnnp.potentials.interface import Extrapolation, Potential, Results
from mdnnp.potentials.load import load_potential

_LATER: dict[type[MdnnpWarning], str] = {  # where the results say it again
    ExtrapolationWarning: "extrapolations",
    DisagreementWarning: "forces_disagreement",
}


class HDNNPCalculator(Calculator):
    """ASE calculator for any potential that mdnnp runs: energy, energies, forces, and stress of periodic cells.

    potential : path of an n2p2 directory or Lennard-Jones file, or a potential that is loaded already
    length_unit, energy_unit : native units of a directory that does not state them, e.g. "Bohr", "Hartree"
    skin_A : a neighbour list is kept until an atom has moved by half of this, Å; several are kept, so that beads or
        replicas that come by turns need no new ones
    precision : of a potential given by its path, "double" or "mixed" (`HDNNP`)
    warn_above_eV_A : members of a committee that disagree on a force by more than this are warned of, eV/Å

    Results are in ASE's units (eV, Å) and with its sign of the stress (positive: tension). `results` also holds
    "extrapolations", how many symmetry functions are out of range, and of a committee "forces_disagreement" (N,) eV/Å
    and "energy_disagreement" eV/atom; of a potential with charges "charges" (N,) e and, of an open system, "dipole" e Å
    about the centre of mass. The total charge is `atoms.info["charge"]`, or else the sum of the initial charges.
    `extrapolation` names the atoms and functions (`potential.Extrapolation`).
    Raises InputError for atoms that the potential cannot treat, PhysicsError for results that are not finite. Warns
    once: ExtrapolationWarning, DisagreementWarning, and MdnnpWarning of lengths that look like another unit's.
    """

    implemented_properties = [  # noqa: RUF012 (ASE)
        "energy", "free_energy", "energies", "forces", "stress", "stresses", "charges", "dipole",
    ]  # fmt: skip

    def __init__(
        self,
        potential: str | Path | Potential,
        length_unit: str | None = None,
        energy_unit: str | None = None,
        skin_A: float = 1.0,
        precision: str = "double",
        warn_above_eV_A: float = 0.2,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if isinstance(potential, str | Path):
            potential = load_potential(potential, length_unit, energy_unit, precision=precision)
        self.potential = potential
        self.warn_above_eV_A = warn_above_eV_A
        self.extrapolation: Extrapolation | None = None
        self._neighbors = AlternatingLists(lambda: self.potential.make_lists(skin_A))
        self._looked_at_units = False
        self._warned: set[type[MdnnpWarning]] = set()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Called by ASE; fills `self.results`."""
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise InputError("no atoms to compute: give them to calculate(), or attach the calculator to them")
        initial = atoms.get_initial_charges() if atoms.has("initial_charges") else None
        charge = total_charge(atoms, initial)
        system = make_system(atoms.positions, atoms.numbers, atoms.cell.array, atoms.pbc, charge, where="Atoms")
        if not self._looked_at_units:
            list(question_units([Structure(system, atoms.get_masses(), label="Atoms")]))
            self._looked_at_units = True
        results = self.potential.compute(
            system, self._neighbors.update(system), atomic_virials="stresses" in properties
        )
        self.results = {
            "energy": results.energy,
            "free_energy": results.energy,
            "energies": results.atomic_energies,
            "forces": results.forces,
            "extrapolations": results.extrapolation.count,
        }
        self.extrapolation = results.extrapolation
        if results.disagreement is not None:
            self.results["forces_disagreement"] = results.disagreement.forces
            self.results["energy_disagreement"] = results.disagreement.energy
        if len(results.charges):
            self.results["charges"] = results.charges
            if not system.pbc.any():
                self.results["dipole"] = dipole_moment(system.positions, results.charges, atoms.get_masses())
        self._warn(system, results)
        if system.pbc.all():
            self.results["stress"] = full_3x3_to_voigt_6_stress(results.stress(system))
            if len(results.atomic_virials):
                stresses = -results.atomic_virials / volume(system.cell)
                symmetric = 0.5 * (stresses + np.swapaxes(stresses, 1, 2))
                self.results["stresses"] = full_3x3_to_voigt_6_stress(symmetric)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """As ASE's, and the total charge, which is in `atoms.info`."""
        changes = super().check_state(atoms, tol)
        if self.atoms is not None and _stated_charge(self.atoms) != _stated_charge(atoms):
            changes.append("initial_charges")
        return changes

    def _warn(self, system: System, results: Results) -> None:
        """Warn of what makes the results doubtful, of each kind once."""
        for kind, text in doubts(results, system.numbers, self.warn_above_eV_A):
            if kind not in self._warned:
                self._warned.add(kind)
                later = f'Later ones are in results["{_LATER[kind]}"] (this warning comes once per calculator)'
                warnings.warn(f"{text}. {later}", kind, stacklevel=4)


def _stated_charge(atoms: Atoms) -> tuple:
    return tuple(atoms.info.get(name) for name in ("charge", "total_charge"))
