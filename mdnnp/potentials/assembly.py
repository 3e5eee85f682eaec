"""From the edges of local potentials to energies, forces, strain derivative and virials, in one place for all of them.

A term visits the centres of a chunk and adds the gradients of their edges (`edges`). Each chunk of atoms has arrays of
its own, which are added up in a fixed order, so that results do not depend on the number of threads.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable

import numpy as np

from mdnnp.atoms.neighbors import NeighborList, build, coordinates, image_vectors
from mdnnp.atoms.system import OVERLAP_A, System
from mdnnp.base.compiled.jit import run_chunks
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.potentials.interface import Extrapolation, Neighbors, Potential, Results

_MAX_CHUNKS = 32  # each has a force array, of which only the parts that its atoms reach are ever backed by memory
_ATOMS_PER_CHUNK = 64


class Assembly:
    """Forces, strain derivative and virials of one configuration, to which any number of terms add.

    geometry : positions (N, 3) in the list's order and images (M, 3), Å; first, neighbor, image of the list
    bounds : (n_chunks + 1,) places of the centres of each chunk; a list may have fewer centres than atoms
    forces (n_chunks, N, 3), strain (n_chunks, 3, 3), atomic_virials (n_chunks, N or 0, 3, 3) : sums, in list's order
    clashes : (n_chunks,) centres that two atoms share
    most : largest number of listed neighbours
    """

    def __init__(
        self, system: System, neighbors: NeighborList, atomic_virials: bool = False, most_chunks: int = _MAX_CHUNKS
    ):
        n = len(system)
        self.system, self.neighbors, self.order = system, neighbors, neighbors.order
        self.geometry = (
            coordinates(system.positions, system.cell, neighbors), image_vectors(neighbors, system.cell),
            neighbors.first, neighbors.j, neighbors.image,
        )  # fmt: skip
        centres = len(neighbors.first) - 1
        chunks = centres // _ATOMS_PER_CHUNK if centres == n else 1  # a domain is the share of one process
        self.n_chunks = max(1, min(most_chunks, _MAX_CHUNKS, chunks))
        self.bounds = np.linspace(0, centres, self.n_chunks + 1).astype(np.int64)
        self.forces = np.zeros((self.n_chunks, n, 3))
        self.strain = np.zeros((self.n_chunks, 3, 3))
        self.atomic_virials = np.zeros((self.n_chunks, n if atomic_virials else 0, 3, 3))
        self.clashes = np.zeros(self.n_chunks, np.int64)
        self.most = int(np.diff(neighbors.first).max(initial=1))

    def species(self, element_of: np.ndarray) -> np.ndarray:
        """(N,) what `element_of` (by atomic number) says of the atoms, in the list's order."""
        return element_of[self.system.numbers[self.order]]

    def run(self, work: Callable[[int], None]) -> None:
        """Call ``work(chunk)`` for all chunks. Raises InputError for two atoms at the same position."""
        run_chunks(work, self.n_chunks)
        if self.clashes.any():  # atoms can meet within the skin of a list
            build(self.system, 2 * OVERLAP_A)  # names them
            raise InputError(
                "two atoms are at the same position by the neighbour list, but not in the system: the list is of "
                "another system; use the list's update(system)"
            )

    def run_kernel(self, kernel: Callable, *arguments: object) -> None:
        """Call ``kernel(begin, end, *geometry, *arguments, *sums)`` for the centres begin .. end - 1 of all chunks.

        sums : forces, strain, atomic_virials, clashes. Raises InputError as `run` does.
        """

        def work(c: int) -> None:
            kernel(
                self.bounds[c], self.bounds[c + 1], *self.geometry, *arguments,
                self.forces[c], self.strain[c], self.atomic_virials[c], self.clashes[c:],
            )  # fmt: skip

        self.run(work)

    def unsorted(self, values: np.ndarray) -> np.ndarray:
        """(N, ...) values in the list's order, in the order of the system's atoms."""
        out = np.empty_like(values)
        out[self.order] = values
        return out

    def results(self, energies: np.ndarray, offsets: np.ndarray, extrapolation: Extrapolation) -> Results:
        """Totals in the order of the system's atoms, for energies (N,) in the list's order and offsets (N,), eV.

        Raises PhysicsError, naming an atom, unless all are finite: no result that is no number leaves a potential.
        """
        energies, forces = self.unsorted(energies) + offsets, self.unsorted(self.forces.sum(axis=0))
        _check_finite(energies, forces)
        virials = self.atomic_virials.sum(axis=0)
        return Results(
            float(energies.sum()),
            energies,
            forces,
            -self.strain.sum(axis=0),
            self.unsorted(virials) if virials.size else virials,
            extrapolation,
        )


def _check_finite(energies: np.ndarray, forces: np.ndarray) -> None:
    bad = np.flatnonzero(~(np.isfinite(energies) & np.isfinite(forces).all(axis=1)))
    if len(bad):
        atom = bad[0]
        raise PhysicsError(
            f"the energy ({energies[atom]:g} eV) or the force {forces[atom].tolist()} eV/Å of atom {atom} is not a "
            f"finite number, the first of {len(bad)} such atoms (counted from 0). Atoms may overlap, the unit of "
            "length may be wrong, or the parameters of the potential"
        )


class LocalPotential(Potential):
    """A potential whose atomic energies are functions of the edges r_ij within its cutoff.

    A subclass adds to an `Assembly`; computing, and the exact derivatives, follow.
    """

    exact_derivatives = True
    computes_domains = True
    has_atomic_virials = True  # whether the energy of an atom depends on its own edges alone

    @abstractmethod
    def add(self, assembly: Assembly) -> tuple[np.ndarray, Extrapolation]:
        """Add forces, strain derivative and virials; returns energies (N,) eV without offsets, in the list's order."""

    @abstractmethod
    def add_tangent(self, assembly: Assembly, displacements: np.ndarray, strain: np.ndarray) -> None:
        """Add derivatives of the edges' gradients D_ij to the forces, and sum r_ij (x) dD_ij to the strain derivative.

        They are taken by s at s = 0, as r_i -> r_i + s (displacements_i + r_i strain); displacements (N, 3) Å are in
        the list's order, strain is (3, 3).
        """

    def neighbors_of(self, system: System, neighbors: Neighbors | None = None) -> NeighborList:
        """As `Potential.neighbors_of`: the one list of a local potential."""
        checked = super().neighbors_of(system, neighbors)
        return checked if isinstance(checked, NeighborList) else checked[0]

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Energy, forces, virial and, if asked, per-atom virials of `system`, from one evaluation.

        neighbors : list from `VerletList.update(system)` with at least the potential's cutoff; built here if None
        Raises InputError for an element that the potential lacks.
        """
        assembly = Assembly(system, self.neighbors_of(system, neighbors), atomic_virials and self.has_atomic_virials)
        energies, extrapolation = self.add(assembly)
        return assembly.results(energies, self.offsets(system.numbers), extrapolation)

    def results_derivative(
        self,
        system: System,
        displacements: np.ndarray,
        strain: np.ndarray,
        neighbors: Neighbors | None = None,
        results: Results | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Potential.results_derivative`, exact."""
        neighbors = self.neighbors_of(system, neighbors)
        results = self.compute(system, neighbors) if results is None else results
        forces_t, strain_t = tangents([self], system, displacements, strain, neighbors)
        return forces_t, virial_tangent(strain_t, results, displacements, strain)

    def hessian_vector_product(
        self, system: System, displacements: np.ndarray, neighbors: Neighbors | None = None
    ) -> np.ndarray:
        """(N, 3) eV/Å: the Hessian of the energy times `displacements` (N, 3) Å, exact, without the Hessian.

        It is minus the derivative of the forces along the displacements. Raises InputError as `compute` does.
        """
        neighbors = self.neighbors_of(system, neighbors)
        return -tangents([self], system, displacements, np.zeros((3, 3)), neighbors)[0]


def tangents(
    terms: Iterable[LocalPotential],
    system: System,
    displacements: np.ndarray,
    strain: np.ndarray,
    neighbors: NeighborList,
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the forces (N, 3), eV/Å, and sum r_ij (x) dD_ij (3, 3), eV, of local terms with one list."""
    displacements, strain = np.asarray(displacements, dtype=float), np.ascontiguousarray(strain, dtype=float)
    if displacements.shape != (len(system), 3) or not np.isfinite(displacements).all():
        raise InputError(f"displacements must be {(len(system), 3)} finite numbers, got {displacements.shape}")
    assembly = Assembly(system, neighbors)
    in_order = np.ascontiguousarray(displacements[assembly.order])
    for term in terms:
        term.add_tangent(assembly, in_order, strain)
    forces = assembly.unsorted(assembly.forces.sum(axis=0))
    _check_finite(np.zeros(len(system)), forces)
    return forces, assembly.strain.sum(axis=0)


def virial_tangent(strain_t: np.ndarray, results: Results, displacements: np.ndarray, strain: np.ndarray) -> np.ndarray:
    """(3, 3) eV, the virial's derivative, from sum r_ij (x) dD_ij and the results at the point.

    What is missing is sum dr_ij (x) D_ij, with dr_ij = v_j - v_i + r_ij strain and F_i = sum_j (D_ij - D_ji).
    """
    moved = -np.asarray(displacements, float).T @ results.forces - np.asarray(strain, float).T @ results.virial
    return -(strain_t + moved)
