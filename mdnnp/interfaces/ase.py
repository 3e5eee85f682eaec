"""mdnnp as an ASE calculator."""

from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mdnnp.potentials.interface import Potential
from mdnnp.potentials.load import load_potential
from mdnnp.system import make_system, volume


class HDNNPCalculator(Calculator):
    """ASE calculator for any potential that mdnnp runs: energy, energies, forces, and stress of periodic cells.

    potential : path of an n2p2 directory or Lennard-Jones file, or a potential that is loaded already
    length_unit, energy_unit : native units of a directory that does not state them, e.g. "Bohr", "Hartree"
    skin_A : the neighbour list is kept until an atom has moved by half of this, Å
    precision : of a potential given by its path, "double" or "mixed" (`HDNNP`)

    Results are in ASE's units (eV, Å) and with its sign of the stress (positive: tension). Raises InputError for
    atoms that the potential cannot treat.
    """

    implemented_properties = ("energy", "free_energy", "energies", "forces", "stress", "stresses")

    def __init__(
        self,
        potential: str | Path | Potential,
        length_unit: str | None = None,
        energy_unit: str | None = None,
        skin_A: float = 1.0,
        precision: str = "double",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(potential, str | Path):
            potential = load_potential(potential, length_unit, energy_unit, precision=precision)
        self.potential = potential
        self._neighbors = potential.make_lists(skin_A)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Called by ASE; fills `self.results`."""
        super().calculate(atoms, properties, system_changes)
        system = make_system(atoms.positions, atoms.numbers, atoms.cell.array, atoms.pbc, where="Atoms")
        results = self.potential.compute(
            system, self._neighbors.update(system), atomic_virials="stresses" in properties
        )
        self.results = {
            "energy": results.energy,
            "free_energy": results.energy,
            "energies": results.atomic_energies,
            "forces": results.forces,
        }
        if system.pbc.all():
            v = volume(system.cell)
            stress = -results.virial / v
            self.results["stress"] = full_3x3_to_voigt_6_stress(0.5 * (stress + stress.T))
            if len(results.atomic_virials):
                stresses = -results.atomic_virials / v
                symmetric = 0.5 * (stresses + np.swapaxes(stresses, 1, 2))
                self.results["stresses"] = full_3x3_to_voigt_6_stress(symmetric)
