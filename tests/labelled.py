"""Labelled structures with known labels, and a potential that answers with labels."""

import numpy as np
from ase.data import atomic_masses

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import make_system, volume
from mdnnp.atoms.write import write_structures
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Potential, Results
from mdnnp.training.dataset import LabelledStructure

KINDS = ("crystal", "liquid", "surface")


def make_labelled(n=30, seed=3, atoms=8, names="data.xyz") -> list[LabelledStructure]:
    """Rattled rock salt of Mg and O, all labels; kinds 1/2 crystal, 1/3 liquid, 1/6 surface."""
    rng = np.random.default_rng(seed)
    basis = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)], dtype=float)
    structures = []
    for k in range(n):
        numbers = np.array([12, 8])[basis.sum(axis=1).astype(int) % 2][:atoms]
        system = make_system(basis[:atoms] * 2.1 + rng.normal(0, 0.1, (atoms, 3)), numbers, [4.2, 4.2, 4.2], True)
        forces, stress = rng.normal(0, 1.0, (atoms, 3)), rng.normal(0, 0.01, (3, 3))
        forces -= forces.mean(axis=0)
        kind = KINDS[0 if k % 2 == 0 else 1 if k % 3 else 2]
        energy = -6.0 * atoms + rng.normal(0, 0.1)
        structures.append(LabelledStructure(system, energy, forces, stress + stress.T, kind, f"{names}:{k}"))
    return structures


def write_labelled(path, n=12) -> None:
    """`make_labelled(n)` as extended XYZ."""
    structures = [
        Structure(
            s.system, atomic_masses[s.system.numbers], energy=s.energy_eV, forces=s.forces, stress=s.stress,
            config_type=s.config_type,
        )
        for s in make_labelled(n)
    ]  # fmt: skip
    write_structures(path, structures, format="extxyz")


class Answers(Potential):
    """A "potential" whose answer to a system is the label of it plus the error that is wanted.

    errors : function of the number of the structure -> energy eV, forces (N, 3) eV/Å, stress (3, 3) eV/Å^3 to add
    """

    numbers, cutoff = (8, 12), 5.0

    def __init__(self, structures, errors, offset_eV=-2.0):
        self._structures, self._errors, self._offset, self._next = structures, errors, offset_eV, 0

    def offsets(self, numbers):
        return np.full(len(numbers), self._offset)

    def compute(self, system, neighbors=None, *, atomic_virials=False):
        s = next(s for s in self._structures[self._next :] if s.system is system)
        k = self._structures.index(s)
        self._next = k
        energy, forces, stress = self._errors(k)
        virial = -((0 if s.stress is None else s.stress) + stress) * volume(system.cell)
        label = np.zeros((len(system), 3)) if s.forces is None else s.forces
        return Results(
            (s.energy_eV or 0.0) + energy,
            np.zeros(len(system)),
            label + forces,
            virial,
            np.zeros((0, 3, 3)),
            NO_EXTRAPOLATION,
        )
