"""A potential of a third party, as docs/guide/potentials.md shows it: a crystal of springs between nearest neighbours.

For a face-centred cubic crystal of lattice constant a and springs k everything is known: the highest frequency is
sqrt(8 k / m) / 2 pi, the elastic constants are C11 = 2 k / a and C12 = C44 = k / a.
"""

import numpy as np

from mdnnp import Potential, Results, neighbor_list
from mdnnp.potentials.interface import check_elements

SPRING, LENGTH_A = 0.5, 3.7  # eV/Å^2, Å


class HarmonicCrystal(Potential):
    """E = 1/2 sum_ij k/2 (r_ij - l)^2 f(r_ij), f a switch from 1.1 l to 1.3 l with two continuous derivatives."""

    numbers = (18,)
    cutoff = 1.3 * LENGTH_A

    def __init__(self, spring: float = SPRING, length: float = LENGTH_A):
        self.spring, self.length, self.cutoff = spring, length, 1.3 * length

    def compute(self, system, neighbors=None, *, atomic_virials=False):
        check_elements(self, system.numbers)
        i, j, _, r = neighbor_list(system, self.cutoff)
        distance = np.linalg.norm(r, axis=1)
        s = np.clip((distance / self.length - 1.1) / 0.2, 0.0, 1.0)
        f, slope = 1.0 - s**3 * (10.0 - 15.0 * s + 6.0 * s**2), -30.0 * s**2 * (1.0 - s) ** 2 / (0.2 * self.length)
        stretch = distance - self.length
        energy = 0.5 * self.spring * stretch**2
        along = 0.5 * (self.spring * stretch * f + energy * slope)  # dE_i/dr_ij: half of the pair's
        gradient = along[:, None] * r / distance[:, None]
        n = len(system)
        forces, virials = np.zeros((n, 3)), np.zeros((n, 3, 3))
        np.add.at(forces, i, gradient)
        np.subtract.at(forces, j, gradient)
        np.subtract.at(virials, j, r[:, :, None] * gradient[:, None, :])
        energies = np.bincount(i, 0.5 * energy * f, n)
        return Results(
            energy=float(energies.sum()),
            atomic_energies=energies,
            forces=forces,
            virial=virials.sum(axis=0),
            atomic_virials=virials if atomic_virials else virials[:0],
        )


def make(spring: float = SPRING, length: float = LENGTH_A) -> HarmonicCrystal:
    """What the potential file names as its factory."""
    return HarmonicCrystal(spring, length)
