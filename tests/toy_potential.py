"""A small many-body potential in plain NumPy, by brute force over images, with faults to switch on.

E_i = -sqrt(rho_i) + k |u_i|^2 + c u_i . (v_i x w_i), where rho_i sums a function of the distance over the
neighbours of i and u_i, v_i, w_i sum vectors r_ij times such functions. It shares nothing with the package
but the records.
"""

from itertools import product

import numpy as np

from mdnnp.atoms.system import System, complete_cell
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Potential, Results


def smooth(x, kind):
    """Cutoff function of x = r / r_c and its derivative."""
    if kind == "poly2":
        return 1 + x**3 * (-10 + x * (15 - 6 * x)), x**2 * (-30 + x * (60 - 30 * x))
    if kind == "cos":
        return 0.5 * (np.cos(np.pi * x) + 1), -0.5 * np.pi * np.sin(np.pi * x)
    if kind == "linear":
        return 1 - x, -np.ones_like(x)
    return np.ones_like(x), np.zeros_like(x)


class ToyPotential(Potential):
    """Knows H and O. The keywords are faults; without any it obeys everything that a potential must obey."""

    numbers = (1, 8)

    def __init__(
        self,
        cutoff=4.6,
        smoothing="poly2",
        offsets=(-13.5, -2041.0),
        *,
        chirality=0.0,
        anisotropy=0.0,
        self_images=True,
        images_about_raw_positions=False,
        by_order=0.0,
        global_coupling=0.0,
        field=0.0,
        factors=(1.0, 1.0, 1.0, 1.0),
    ):
        self.cutoff, self.smoothing, self.constants = cutoff, smoothing, np.array(offsets)
        self.chirality, self.anisotropy, self.self_images = chirality, anisotropy, self_images
        self.images_about_raw_positions, self.by_order = images_about_raw_positions, by_order
        self.global_coupling, self.field = global_coupling, field
        self.factors = factors  # wrong factors of energy (the total), forces, virial, atomic virials

    def offsets(self, numbers):
        return self.constants[(np.asarray(numbers) == 8).astype(int)]

    def _edges(self, system: System):
        """i, j, r_ij of all pairs closer than the cutoff."""
        cell, x = complete_cell(system.cell, system.pbc), system.positions
        inverse = np.linalg.inv(cell)
        fractional = x @ inverse
        if not self.images_about_raw_positions:
            x = (fractional - np.where(system.pbc, np.floor(fractional), 0)) @ cell
        reach = np.where(system.pbc, np.ceil(self.cutoff * np.linalg.norm(inverse, axis=0)) + 1, 0).astype(int)
        i, j, r = [], [], []
        for n in product(*(range(-m, m + 1) for m in reach)):
            d = x[None, :] - x[:, None] + np.array(n) @ cell
            inside = np.sum(d * d, axis=2) < self.cutoff**2
            if not any(n) or not self.self_images:
                np.fill_diagonal(inside, False)
            found = np.nonzero(inside)
            i, j, r = [*i, found[0]], [*j, found[1]], [*r, d[found]]
        return np.concatenate(i), np.concatenate(j), np.concatenate(r)

    def compute(self, system, neighbors=None, *, atomic_virials=False):
        n = len(system)
        i, j, r = self._edges(system)
        d = np.linalg.norm(r, axis=1)
        pair = 1.0 + 0.3 * (system.numbers[i] == 8) + 0.5 * (system.numbers[j] == 8)
        f, slope = smooth(d / self.cutoff, self.smoothing)
        slope = slope / self.cutoff
        unit = r / d[:, None]

        def gather(values):
            return np.stack([np.bincount(i, v, n) for v in values.T], axis=1)

        # radial parts g(r), with dg/dr
        exponents = (0.0, 0.9, 0.4, 1.4)
        g = [pair * np.exp(-a * d) * f for a in exponents]
        dg = [pair * np.exp(-a * d) * (slope - a * f) for a in exponents]
        rho = np.bincount(i, g[1], n) + 0.1
        u, v, w = (gather(r * g[k][:, None]) for k in (1, 2, 3))
        energies = -np.sqrt(rho) + 0.02 * np.sum(u * u, axis=1)
        energies += self.chirality * np.sum(u * np.cross(v, w), axis=1)
        gradient = (-0.5 / np.sqrt(rho[i]) * dg[1])[:, None] * unit
        for k, along in (
            (1, 0.04 * u + self.chirality * np.cross(v, w)),
            (2, self.chirality * np.cross(w, u)),
            (3, self.chirality * np.cross(u, v)),
        ):
            a = along[i]
            gradient += a * g[k][:, None] + np.sum(a * r, axis=1)[:, None] * dg[k][:, None] * unit
        # an energy that knows the x axis, but nothing else that it should not know
        energies += self.anisotropy * np.bincount(i, r[:, 0] ** 2 * g[1], n)
        gradient += self.anisotropy * (r[:, 0] ** 2 * dg[1])[:, None] * unit
        gradient[:, 0] += self.anisotropy * 2 * r[:, 0] * g[1]
        # weights of atoms by their place in the list
        weights = 1 + self.by_order * np.cos(np.arange(n))
        energies, gradient = weights * energies, weights[i, None] * gradient
        # sum E + c (sum E)^2 / N
        mean = np.mean(energies)
        energies, gradient = (
            energies * (1 + self.global_coupling * mean),
            gradient * (1 + 2 * self.global_coupling * mean),
        )

        forces = np.zeros((n, 3))
        np.add.at(forces, i, gradient)
        np.add.at(forces, j, -gradient)
        energies = energies + self.field * np.sin(system.positions[:, 1])
        forces[:, 1] -= self.field * np.cos(system.positions[:, 1])
        virials = np.zeros((n, 3, 3))
        np.add.at(virials, j, -r[:, :, None] * gradient[:, None, :])
        virial = virials.sum(axis=0)
        energies = energies + self.offsets(system.numbers)
        total, on_forces, on_virial, on_atomic = self.factors
        return Results(
            float(np.sum(energies)) * total,
            energies,
            forces * on_forces,
            virial * on_virial,
            virials * on_atomic if atomic_virials else virials[:0],
            NO_EXTRAPOLATION,
        )
