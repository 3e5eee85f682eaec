"""The space group of a crystal, to keep it while atoms move; spglib finds it."""

from dataclasses import dataclass

import numpy as np

from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError


def isotopes(numbers: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(N,) integers from 0, equal for atoms of the same element and mass: what the symmetry of vibrations sees.

    numbers, masses : (N,), u. Energies, and so `Symmetry`, know nothing of masses.
    """
    pairs = np.column_stack([numbers, np.round(masses, 6)])
    return np.unique(pairs, axis=0, return_inverse=True)[1].ravel()


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Operations of a space group: atom i goes to permutations[k, i], vectors (rows) to v @ matrices[k].

    name : international symbol
    to_standard : (3, 3) rotation of column vectors to the standard axes of the space group: v -> to_standard @ v
    """

    name: str
    matrices: np.ndarray
    permutations: np.ndarray
    to_standard: np.ndarray

    @classmethod
    def find(cls, system: System, tolerance_A: float = 1e-3) -> "Symmetry":
        """The symmetry of a system that is periodic in three directions.

        Raises InputError without spglib, or without periodicity.
        """
        try:
            import spglib
        except ImportError:
            raise InputError("symmetry is found by spglib, which is not installed: pip install spglib") from None
        if not system.pbc.all():
            raise InputError("symmetry can only be kept in a cell that is periodic in three directions")
        inverse = np.linalg.inv(system.cell)
        fractional = system.positions @ inverse
        found = spglib.get_symmetry_dataset((system.cell, fractional, system.numbers), symprec=tolerance_A)
        if found is None:
            raise InputError(f"spglib finds no space group within {tolerance_A} Å")
        matrices, permutations = [], []
        for w, shift in zip(found.rotations, found.translations, strict=True):
            image = fractional @ w.T + shift
            gap = image[:, None] - fractional[None]
            distance = np.linalg.norm((gap - np.round(gap)) @ system.cell, axis=2)
            distance[system.numbers[:, None] != system.numbers] = np.inf
            permutations.append(distance.argmin(axis=1))
            matrices.append(inverse @ w.T @ system.cell)
        # Of a cell that is distorted within the tolerance it is only nearly a rotation: the nearest one is taken.
        left, _, right = np.linalg.svd(found.std_rotation_matrix)
        return cls(found.international, np.array(matrices), np.array(permutations), left @ right)

    def of_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """The mean of a field of vectors (N, 3) over all operations: the part of it that has the symmetry."""
        out = np.zeros_like(vectors)
        for m, permutation in zip(self.matrices, self.permutations, strict=True):
            out[permutation] += vectors @ m
        return out / len(self.matrices)

    def of_strain(self, strain: np.ndarray) -> np.ndarray:
        """The mean of a symmetric (3, 3) tensor over all operations."""
        return np.mean([np.linalg.inv(m) @ strain @ m for m in self.matrices], axis=0)
