"""The high-dimensional neural network potential.

J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007): E = sum_i N_e(G_i). One kernel goes from the edges of a
centre to its energy and their gradients; `descriptors` and `pull_back` are its two halves, see `layered`.
"""

import itertools
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from mdnnp.atoms.system import System
from mdnnp.base import units
from mdnnp.base.compiled.jit import PerThread, njit_kernel, vectorize_freely
from mdnnp.base.errors import InputError
from mdnnp.potentials.assembly import Assembly, LocalPotential
from mdnnp.potentials.edges import gather_edges, scatter_edges
from mdnnp.potentials.hdnnp import description
from mdnnp.potentials.hdnnp.files import read_potential
from mdnnp.potentials.hdnnp.functions.center import Scratch, arrange, center_gradient, center_values, make_scratch
from mdnnp.potentials.hdnnp.functions.definitions import COMPACT
from mdnnp.potentials.hdnnp.functions.tables import build_tables, needed
from mdnnp.potentials.hdnnp.model import HDNNPModel, scaling_coefficients
from mdnnp.potentials.hdnnp.networks import (
    build_layers,
    make_network_scratch,
    make_network_tangent_scratch,
    network_gradient,
)
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Extrapolation, Neighbors, Potential, Results
from mdnnp.potentials.smoothness import Ingredient

MAX_EVENTS = 64  # extrapolation events listed per evaluation and chunk of atoms; all are counted
PRECISIONS = ("double", "mixed")
_MOST_DEVIATIONS = 20.0  # of the energy from the mean of the training set, in its standard deviations


class HDNNP(LocalPotential):
    """A Behler-Parrinello potential.

    model : the parameters, in native units; computing is done in Å and eV
    precision : "double", or "mixed", which is faster and meant for molecular dynamics: sums over pairs of neighbours
        in single precision within blocks, everything else in double
    Raises InputError for another precision.
    """

    def __init__(self, model: HDNNPModel, precision: str = "double"):
        if precision not in PRECISIONS:
            raise InputError(f"{model.source}: unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
        self.model, self.precision, self.source = model, precision, model.source
        self.numbers = tuple(atomic_numbers[symbol] for symbol in model.elements)
        parts = list(model.elements.values())
        length, energy = units.length_in_angstrom(model.length_unit), units.energy_in_ev(model.energy_unit)
        self._tables = build_tables(
            [part.functions for part in parts], self.elements, model.cutoff_type, model.cutoff_alpha, length
        )
        self._layers = build_layers([part.network for part in parts])
        coefficients = [scaling_coefficients(part, model) for part in parts]
        self._factor = np.concatenate([c[0] for c in coefficients])
        self._shift = np.concatenate([c[1] for c in coefficients])
        scaling = np.concatenate([part.scaling for part in parts])
        self._lower, self._upper = scaling[:, 0].copy(), scaling[:, 1].copy()
        size = np.maximum(np.abs(self._lower), np.abs(self._upper))
        tolerance = _ROUNDING * np.maximum(size, 1.0) if precision == "double" else _MIXED_ROUNDING * size
        self._lowest, self._highest = self._lower - tolerance, self._upper + tolerance
        self._energy_scale = energy / model.conv_energy
        self._offsets = np.array([(part.atom_energy + model.mean_energy) * energy for part in parts])
        self._element_of = np.full(max(self.numbers) + 1, -1, dtype=np.int64)
        self._element_of[list(self.numbers)] = np.arange(len(self.numbers))
        self.cutoff = float(self._tables.center["cutoff"].max())
        self._workspace = PerThread(self._make_workspace)
        self._tangent_workspace: PerThread | None = None

    @classmethod
    def read(
        cls,
        path: Path,
        length_unit: str | None = None,
        energy_unit: str | None = None,
        precision: str = "double",
    ) -> "HDNNP":
        """Read an n2p2/RuNNer directory. Raises InputError and FileError as `files.read_potential`."""
        potential = cls(read_potential(path, length_unit, energy_unit), precision)
        weights = (sorted(p.name for p in path.glob(pattern)) for pattern in ("weights.*.data", "optweights.*.out"))
        names = ("input.nn", "scaling.data", "mdnnp.toml", *itertools.chain(*weights))
        potential.files = tuple(path / name for name in names if (path / name).exists())
        return potential

    # --- computing -----------------------------------------------------------------------------------------

    def offsets(self, numbers: np.ndarray) -> np.ndarray:
        """(N,) eV: atomic offsets and mean energies of atoms with these atomic numbers."""
        return self._offsets[self._element_of[numbers]]

    def add(self, assembly: Assembly) -> tuple[np.ndarray, Extrapolation]:
        """As `LocalPotential.add`: functions, networks and gradients in one pass over the centres."""
        return self._run(_FUSED, assembly, _NO_ARRAY, _NO_ARRAY)

    def descriptors(self, system: System, neighbors: Neighbors | None = None) -> np.ndarray:
        """(N, n) raw symmetry functions, in the potential's order; n is the largest number, others are padded by 0."""
        assembly = Assembly(system, self.neighbors_of(system, neighbors))
        values = np.zeros((len(system), self.n_functions))
        self._run(_VALUES, assembly, values, _NO_ARRAY)
        return assembly.unsorted(values)

    @property
    def n_functions(self) -> int:
        """Largest number of symmetry functions of an element."""
        return int(np.diff(self._tables.function_first).max())

    def networks(self, numbers: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies (N,), without offsets, and their derivatives (N, n) by the raw functions (N, n), eV, in NumPy."""
        energies, gradients = np.zeros(len(numbers)), np.zeros_like(values)
        for e, part in enumerate(self.model.elements.values()):
            atoms = np.flatnonzero(numbers == self.numbers[e])
            rows = slice(self._tables.function_first[e], self._tables.function_first[e + 1])
            n = len(part.functions)
            y, g = part.network.gradient(values[atoms, :n] * self._factor[rows] + self._shift[rows])
            energies[atoms] = y * self._energy_scale
            gradients[np.ix_(atoms, np.arange(n))] = g * (self._factor[rows] * self._energy_scale)
        return energies, gradients

    def pull_back(
        self,
        system: System,
        neighbors: Neighbors | None,
        gradients: np.ndarray,
        energies: np.ndarray,
        *,
        atomic_virials: bool = False,
    ) -> Results:
        """Forces and virials from gradients (N, n) = dE/dG by the raw functions, eV; energies (N,) eV, no offsets.

        Raises InputError for arrays of another shape.
        """
        expected = (len(system), self.n_functions)
        if gradients.shape != expected or energies.shape != expected[:1]:
            raise InputError(
                f"need gradients {expected} and energies {expected[:1]}, got {gradients.shape} and {energies.shape}"
            )
        assembly = Assembly(system, self.neighbors_of(system, neighbors), atomic_virials)
        in_order = np.ascontiguousarray(gradients[assembly.order])
        _, extrapolation = self._run(_PULL_BACK, assembly, _NO_ARRAY, in_order)
        return assembly.results(energies[assembly.order], self.offsets(system.numbers), extrapolation)

    def add_tangent(self, assembly: Assembly, displacements: np.ndarray, strain: np.ndarray) -> None:
        """As `LocalPotential.add_tangent`."""
        from mdnnp.potentials.hdnnp.functions.center_tangent import (
            make_tangent_scratch,  # compiled only where it is used
        )
        from mdnnp.potentials.hdnnp.tangent import evaluate_tangent

        if self._tangent_workspace is None:
            self._tangent_workspace = PerThread(
                lambda n: (
                    *make_tangent_scratch(n, self._tables),
                    make_network_tangent_scratch(self._layers),
                    np.empty((6, self.n_functions)),
                )
            )
        species, workspace = assembly.species(self._element_of), self._tangent_workspace

        def work(c):
            evaluate_tangent(
                assembly.bounds[c], assembly.bounds[c + 1], *assembly.geometry, species,
                self._tables, *needed(self._tables), self._layers, self._factor, self._shift, self._energy_scale,
                displacements, strain,
                assembly.forces[c], assembly.strain[c], assembly.atomic_virials[c], assembly.clashes[c:],
                *workspace.get(assembly.most),
            )  # fmt: skip

        assembly.run(work)

    def _make_workspace(self, n: int) -> tuple[Scratch, np.ndarray, np.ndarray]:
        """Working memory of the kernel for centres with at most `n` neighbours."""
        rows = np.empty((3, self.n_functions))  # raw, scaled functions, dE/dG
        real = np.float32 if self.precision == "mixed" else np.float64
        return make_scratch(n, self._tables, real), make_network_scratch(self._layers), rows

    def _run(self, mode, assembly: Assembly, values, gradients) -> tuple[np.ndarray, Extrapolation]:
        """Run the kernel over all chunks; returns energies (N,) in the list's order and extrapolations."""
        species, energies = assembly.species(self._element_of), np.zeros(len(assembly.order))
        counts = np.zeros((assembly.n_chunks, 3), np.int64)  # all events, listed events, centres with an overlap
        events = np.zeros((assembly.n_chunks, MAX_EVENTS, 3))

        def work(c):
            _evaluate(
                mode, assembly.bounds[c], assembly.bounds[c + 1], *assembly.geometry, species,
                self._tables, *needed(self._tables), self._layers, self._factor, self._shift,
                self._lowest, self._highest, self._energy_scale,
                values, gradients, energies, assembly.forces[c], assembly.strain[c], assembly.atomic_virials[c],
                counts[c], events[c], *self._workspace.get(assembly.most),
            )  # fmt: skip
            assembly.clashes[c] = counts[c, 2]

        assembly.run(work)
        return energies, self.extrapolation_of(assembly.order, counts, events)

    def extrapolation_of(self, order: np.ndarray, counts: np.ndarray, events: np.ndarray) -> Extrapolation:
        """The record of what the kernel counted (n_chunks, 3) and listed (n_chunks, MAX_EVENTS, 3)."""
        if not counts[:, 0].any():
            return NO_EXTRAPOLATION
        rows = np.concatenate([events[c, : counts[c, 1]] for c in range(len(counts))])
        atom, row = order[rows[:, 0].astype(np.int64)].astype(np.int64), rows[:, 1].astype(np.int64)
        element = np.searchsorted(self._tables.function_first, row, side="right") - 1
        by_atom = np.lexsort((row, atom))
        columns = (
            atom, row - self._tables.function_first[element] + 1, rows[:, 2], self._lower[row], self._upper[row],
        )  # fmt: skip
        return Extrapolation(int(counts[:, 0].sum()), *(column[by_atom] for column in columns))

    # --- description ---------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """The model and its units."""
        return f"HDNNP in {self.model.length_unit}, {self.model.energy_unit}"

    def describe(self) -> list[str]:
        """Units, functions, networks, smoothness."""
        return description.describe(self.model, self.cutoff)

    def ingredients(self) -> list[Ingredient]:
        """Cutoff functions, cores, angular factors and activations, the roughest first."""
        return description.ingredients(self.model)

    def function_ingredients(self) -> dict[str, tuple[Ingredient, ...]]:
        """For each element, what limits each of its symmetry functions."""
        return description.by_function(self.model)

    def radii(self) -> list[float]:
        """Cutoffs and inner cutoffs of all functions, Å."""
        length, alpha = units.length_in_angstrom(self.model.length_unit), self.model.cutoff_alpha
        functions = [f for part in self.model.elements.values() for f in part.functions]
        inner = [f.rl if f.type in COMPACT else alpha * f.cutoff for f in functions]
        return sorted({r * length for r in (*inner, *(f.cutoff for f in functions))})

    def remarks(self, system: System, results: Results) -> list[str]:
        """Whether the energy is far from those of the training set.

        A normalized potential knows their mean and, by conv_energy, their deviation, per atom. Far from both are
        structures unlike the training set, other units than stated, and the weights of two elements exchanged.
        """
        model = self.model
        if not model.normalized:
            return []
        above_mean = (results.energy - self.offset_energy(system.numbers)) / len(system)
        deviations = above_mean / units.energy_in_ev(model.energy_unit) * model.conv_energy
        if abs(deviations) <= _MOST_DEVIATIONS:
            return []
        return [
            f"the energy is {above_mean:+.3g} eV/atom from the mean of the training set, {abs(deviations):.0f} times "
            "its standard deviation: was the potential trained for such structures, are the units right, and are the "
            "weights of each element in the right file?"
        ]

    def all_extrapolations(self, system: System, results: Results) -> Extrapolation:
        """All functions out of range, with all their values."""
        events = results.extrapolation
        if events.count == len(events.atom):
            return events
        raw, columns = self.descriptors(system), []
        for z, part in zip(self.numbers, self.model.elements.values(), strict=True):
            atoms = np.flatnonzero(system.numbers == z)
            lower, upper = part.scaling[:, 0], part.scaling[:, 1]
            values = raw[atoms, : len(lower)]
            i, k = np.nonzero((values < lower) | (values > upper))
            columns.append((atoms[i], k + 1, values[i, k], lower[k], upper[k]))
        return Extrapolation(events.count, *(np.concatenate(column) for column in zip(*columns, strict=True)))


def neural_networks_of(potential: Potential, factor: float = 1.0) -> list[tuple[HDNNP, float]]:
    """The neural network potentials in a potential, itself included, and the factor of each in its energy."""
    if isinstance(potential, HDNNP):
        return [(potential, factor)]
    return [found for part in potential.parts for found in neural_networks_of(part, factor * potential.share)]


def neural_network_of(potential: Potential) -> HDNNP | None:
    """The first neural network potential in a potential, itself included; None if there is none."""
    return next((network for network, _ in neural_networks_of(potential)), None)


_FUSED, _VALUES, _PULL_BACK = 0, 1, 2  # modes of `_evaluate`
_NO_ARRAY = np.empty((0, 0))
# A function of a structure of the training set may round to a value beyond its bound, by this in units of the bound.
_ROUNDING = 1000 * 2.22e-16  # n2p2's tolerance, which it takes for absolute
_MIXED_ROUNDING = 1e-6


@njit_kernel
def _evaluate(
    mode, begin, end, positions, images, first, neighbor, image, species, tables, angular, wide, layers,
    factor, shift, lowest, highest, energy_scale, values, gradients,
    energies, forces, strain, atomic_virials, counts, events, work, network, rows,
):  # fmt: skip
    """Evaluate centres begin .. end - 1 (sorted order).

    mode fused: energies, and their gradient into forces, strain and atomic_virials; descriptors: raw functions into
    `values`; pull back: the gradient for given `gradients` = dE/dG. Functions out of range are counted and listed.
    """
    vectorize_freely()
    near, out = work.near, work.gradients
    x, y, z, raw, scaled, gradient = near.x, near.y, near.z, rows[0], rows[1], rows[2]
    for i in range(begin, end):
        e = species[i]
        center = tables.center[e]
        n = gather_edges(i, center.cutoff, positions, images, first, neighbor, image, x, y, z, near.r, near.who)
        if n < 0:
            counts[2] += 1
            continue
        n = arrange(i, n, center.cutoff, species, near)
        row, n_functions = center.function_first, center.function_end - center.function_first
        for s in range(n_functions):
            raw[s] = 0.0
        center_values(e, n, tables, angular, wide, work, raw)
        for s in range(n_functions):
            if raw[s] < lowest[row + s] or raw[s] > highest[row + s]:
                if counts[1] < MAX_EVENTS:
                    events[counts[1], 0], events[counts[1], 1], events[counts[1], 2] = i, row + s, raw[s]
                    counts[1] += 1
                counts[0] += 1
        if mode == _VALUES:
            for s in range(n_functions):
                values[i, s] = raw[s]
            continue
        if mode == _FUSED:
            for s in range(n_functions):
                scaled[s] = raw[s] * factor[row + s] + shift[row + s]
            energies[i] = network_gradient(e, layers, scaled, network, gradient) * energy_scale
            for s in range(n_functions):
                gradient[s] *= factor[row + s] * energy_scale
        else:
            for s in range(n_functions):
                gradient[s] = gradients[i, s]
        center_gradient(e, n, tables, angular, wide, work, gradient)
        scatter_edges(i, n, near.who, x, y, z, out.x, out.y, out.z, forces, strain, atomic_virials)
