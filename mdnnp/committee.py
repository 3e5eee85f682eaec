"""Committees of HDNNPs: the mean of their answers, and how far these are apart.

C. Schran, K. Brezina, O. Marsalek, J. Chem. Phys. 153, 104105 (2020).
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdnnp.acsf.kernels import center_gradient
from mdnnp.edges import scatter_edges
from mdnnp.errors import InputError
from mdnnp.jit import njit, njit_fast, run_chunks, vectorize_freely
from mdnnp.mlp import build_layers, network_gradient
from mdnnp.n2p2 import read_potential
from mdnnp.n2p2.writer import belongs
from mdnnp.neighbors import NeighborList, coordinates, image_vectors
from mdnnp.potential import (
    _DESCRIPTORS,
    HDNNP,
    MAX_EVENTS,
    Disagreement,
    Results,
    _Accumulators,
    _evaluate,
    _neighbors_for,
    _refuse_overlap,
)
from mdnnp.system import System

_MEMBER = re.compile(r"member-(\d+)")
_MOST_FORCE_ARRAYS = 64  # of N atoms each; bounds the memory: 24 bytes per atom each


class Committee:
    """Several HDNNPs of the same elements as one potential, whose energy, forces and virials are the members' mean.

    `compute` also gives the members' disagreement. Extrapolations are those of the first member. Members with the
    same symmetry functions share their evaluation; others are evaluated one after the other.
    Raises InputError for fewer than two members, or members of other elements.
    """

    def __init__(self, members: Sequence[HDNNP], source: str = "committee"):
        if len(members) < 2:
            raise InputError(f"{source}: a committee needs at least two members, found {len(members)}")
        for k, member in enumerate(members[1:], start=2):
            if member.elements != members[0].elements:
                raise InputError(
                    f"{source}: member {k} knows {' '.join(member.elements)}, but the first knows "
                    f"{' '.join(members[0].elements)}; all members need the same elements"
                )
        self.members, self.source = tuple(members), source
        self.elements, self.numbers = members[0].elements, members[0].numbers
        self.cutoff = max(member.cutoff for member in members)
        self.shares_functions = len({_functions(member) for member in members}) == 1
        if self.shares_functions:
            networks = [part.network for member in members for part in member.model.elements.values()]
            self._layers = build_layers(networks)
            self._factor = np.array([member._factor for member in members])
            self._shift = np.array([member._shift for member in members])
            self._scale = np.array([member._energy_scale for member in members])

    @classmethod
    def read(
        cls,
        path: Path,
        length_unit: str | None = None,
        energy_unit: str | None = None,
        precision: str = "double",
    ) -> "Committee":
        """Read a directory that holds n2p2 directories member-1, member-2, ..., without a gap."""
        paths = member_paths(path)
        for k, member in enumerate(paths, start=1):
            if member.name != f"member-{k}":
                raise InputError(f"{path}: member-{k} is missing, but there is {paths[-1].name}; number them from 1")
        return cls([HDNNP(read_potential(p, length_unit, energy_unit), precision) for p in paths], str(path))

    def offset_energy(self, numbers: np.ndarray) -> float:
        """Mean of the members' constants in the energy for these atoms, eV."""
        return float(np.mean([member.offset_energy(numbers) for member in self.members]))

    def compute(
        self, system: System, neighbors: NeighborList | None = None, *, atomic_virials: bool = False
    ) -> Results:
        """Means of energy, forces, virials over the members, and their disagreement."""
        neighbors = _neighbors_for(self, system, neighbors)
        if self.shares_functions:
            results = self._compute_shared(system, neighbors, atomic_virials)
        else:
            results = [member.compute(system, neighbors, atomic_virials=atomic_virials) for member in self.members]
        energies = np.array([r.energy for r in results])
        forces = np.array([r.forces for r in results])
        mean = forces.mean(axis=0)
        return Results(
            float(energies.mean()),
            np.mean([r.atomic_energies for r in results], axis=0),
            mean,
            np.mean([r.virial for r in results], axis=0),
            np.mean([r.atomic_virials for r in results], axis=0),
            results[0].extrapolation,
            Disagreement(
                np.sqrt(np.mean(np.sum(np.square(forces - mean), axis=2), axis=0)),
                float(np.std(energies)) / len(system),
            ),
        )

    def hessian_vector_product(
        self, system: System, displacements: np.ndarray, neighbors: NeighborList | None = None
    ) -> np.ndarray:
        """Mean of the members' products; see `HDNNP.hessian_vector_product`."""
        return -self.directional_derivative(system, displacements, np.zeros((3, 3)), neighbors)[0]

    def directional_derivative(
        self, system: System, displacements: np.ndarray, strain: np.ndarray, neighbors: NeighborList | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means of the members' derivatives; see `HDNNP.directional_derivative`."""
        neighbors = _neighbors_for(self, system, neighbors)
        each = [member.directional_derivative(system, displacements, strain, neighbors) for member in self.members]
        forces, strain_t = zip(*each, strict=True)
        return np.mean(forces, axis=0), np.mean(strain_t, axis=0)

    def _compute_shared(self, system: System, neighbors: NeighborList, atomic_virials: bool) -> list[Results]:
        """The members' results, with the symmetry functions evaluated once."""
        n, n_members, first = len(system), len(self.members), self.members[0]
        totals = [_Accumulators(n, atomic_virials, max(4, _MOST_FORCE_ARRAYS // n_members)) for _ in range(n_members)]
        chunks = totals[0].n_chunks
        energies, forces = np.zeros((n_members, n)), np.zeros((chunks, n_members, n, 3))
        strain = np.zeros((chunks, n_members, 3, 3))
        virials = np.zeros((chunks, n_members, n if atomic_virials else 0, 3, 3))
        positions = coordinates(system.positions, system.cell, neighbors)
        images = image_vectors(neighbors, system.cell)
        species = first._element_of[system.numbers[neighbors.order]]
        values = np.zeros((n, int(np.diff(first._tables.function_first).max())))
        counts, events = np.zeros((chunks, 3), np.int64), np.zeros((chunks, MAX_EVENTS, 3))
        most = int(np.diff(neighbors.first).max(initial=1))

        def work(c):
            _evaluate_members(
                totals[0].bounds[c], totals[0].bounds[c + 1], positions, images,
                neighbors.first, neighbors.j, neighbors.image, species, first._tables, self._layers,
                self._factor, self._shift, first._lower, first._upper, self._scale, values,
                energies, forces[c], strain[c], virials[c], counts[c], events[c], *first._workspace.get(most),
            )  # fmt: skip

        run_chunks(work, chunks)
        _refuse_overlap(system, counts[:, 2])
        extrapolation = first._extrapolation(neighbors, counts, events)
        results = []
        for m, (member, total) in enumerate(zip(self.members, totals, strict=True)):
            total.energies, total.forces, total.strain = energies[m], forces[:, m], strain[:, m]
            total.atomic_virials = virials[:, m]
            offsets = member._offsets[member._element_of[system.numbers]]
            results.append(total.results(neighbors.order, offsets, extrapolation))
        return results


def member_paths(path: Path) -> list[Path]:
    """The members' directories of a committee's directory, by number; none if it is no committee."""
    found = [(int(match[1]), p) for p in path.iterdir() if (match := _MEMBER.fullmatch(p.name)) and p.is_dir()]
    return [p for _, p in sorted(found)]


def potential_files(path: str | Path) -> list[Path]:
    """The files that a potential is read from: those of a directory, and of its members, or the file itself."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    folders = member_paths(path) or [path]
    return [file for folder in folders for file in sorted(folder.iterdir()) if belongs(file.name)]


def _functions(member: HDNNP) -> tuple:
    """What must be the same for two potentials to share the evaluation of their symmetry functions."""
    model = member.model
    functions = tuple(part.functions for part in model.elements.values())
    return functions, model.cutoff_type, model.cutoff_alpha, model.length_unit, member.precision


@njit
def _evaluate_members(
    begin, end, positions, images, first, neighbor, image, species, tables, layers,
    factor, shift, lower, upper, scale, values, energies, forces, strain, atomic_virials, counts, events,
    work, network, rows,
):  # fmt: skip
    """Centres begin .. end - 1 (sorted order) of all members, whose networks stand one behind the other in `layers`.

    factor, shift (members, functions), scale (members,); values (N, functions) is filled with raw functions;
    energies (members, N), forces (members, N, 3), strain (members, 3, 3) and virials likewise.
    """
    scaled, gradient = rows[1], rows[2]
    for i in range(begin, end):
        _evaluate(
            _DESCRIPTORS, i, i + 1, positions, images, first, neighbor, image, species, tables, layers,
            factor[0], shift[0], lower, upper, scale[0], values, values,
            energies[0], forces[0], strain[0], atomic_virials[0], counts, events, work, network, rows,
        )  # fmt: skip
        if counts[2] > 0:
            return
        for m in range(scale.size):
            energies[m, i] = _evaluate_member(
                m, i, species[i], tables, layers, factor[m], shift[m], scale[m], values[i], forces[m], strain[m],
                atomic_virials[m], work, network, scaled, gradient,
            )  # fmt: skip


@njit_fast
def _evaluate_member(
    m, i, e, tables, layers, factor, shift, scale, values, forces, strain, atomic_virials, work, network, scaled,
    gradient,
):  # fmt: skip
    """Energy and edges of centre `i` in member `m`, after its functions were evaluated; returns the energy."""
    vectorize_freely()
    near, out, n_elements = work.near, work.gradients, tables.center.size
    n, row = near.segment[n_elements], tables.center[e].function_first
    n_functions = tables.center[e].function_end - row
    for s in range(n_functions):
        scaled[s] = values[s] * factor[row + s] + shift[row + s]
    energy = network_gradient(m * n_elements + e, layers, scaled, network, gradient) * scale
    for s in range(n_functions):
        gradient[s] *= factor[row + s] * scale
    center_gradient(e, n, tables, work, gradient)
    scatter_edges(
        i, n, near.who, near.x, near.y, near.z, out.x, out.y, out.z, forces, strain, atomic_virials
    )  # fmt: skip
    return energy
