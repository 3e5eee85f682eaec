"""Potentials: from a configuration to energy, forces and virial.

Every potential has the same interface: `cutoff` (Å), `numbers` (atomic numbers that it knows), `compute(system)` and
`offset_energy(numbers)`. `load_potential` opens either kind from disk.
"""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from mdnnp import units
from mdnnp.acsf.kernels import Scratch, arrange, center_gradient, center_values, make_scratch
from mdnnp.acsf.shapes import evaluate_envelope
from mdnnp.acsf.tables import build_tables
from mdnnp.edges import gather_edges, scatter_edges
from mdnnp.errors import FileError, InputError
from mdnnp.files import require_regular
from mdnnp.jit import PerThread, njit, njit_kernel, run_chunks, vectorize_freely
from mdnnp.mlp import build_layers, make_network_scratch, network_gradient
from mdnnp.model import HDNNPModel, scaling_coefficients
from mdnnp.n2p2 import read_potential
from mdnnp.neighbors import NeighborList, VerletList, build, coordinates, image_vectors
from mdnnp.system import OVERLAP_A, System

if TYPE_CHECKING:
    from mdnnp.committee import Committee

MAX_EVENTS = 64  # extrapolation events listed per evaluation and chunk of atoms; all are counted
_MAX_CHUNKS = 32  # each has a force array, of which only the parts that its atoms reach are ever backed by memory
_ATOMS_PER_CHUNK = 64
PRECISIONS = ("double", "mixed")


class Extrapolation(NamedTuple):
    """Symmetry functions that left the range of `scaling.data` in one evaluation.

    count : how many (atom, function) pairs did, exact
    atom, function : (n,) atom (from 0, order of the system) and function (from 1, the potential's order)
    value, lower, upper : (n,) raw value of the function and its bounds
    The arrays are in order of atom and function and list at most MAX_EVENTS events per chunk of atoms.
    """

    count: int
    atom: np.ndarray
    function: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


NO_EXTRAPOLATION = Extrapolation(0, *(np.empty(0, t) for t in (np.int64, np.int64, float, float, float)))


class Disagreement(NamedTuple):
    """How far the members of a committee are apart: root of the mean squared deviation from their mean.

    forces : (N,) of each atom's force vector, eV/Å
    energy : of the energy per atom, eV
    """

    forces: np.ndarray
    energy: float


class Results(NamedTuple):
    """What one evaluation gives.

    energy : eV, offsets included
    atomic_energies : (N,) eV, offsets included; they sum to the energy
    forces : (N, 3) eV/Å
    virial : (3, 3) eV, minus the strain derivative dE/d(strain); stress = -virial / volume (positive: tension)
    atomic_virials : (N, 3, 3) eV, W_i = sum_j r_ij (x) dE_j/dr_ji, not symmetric; (0, 3, 3) unless asked for
    extrapolation : see `Extrapolation`
    disagreement : of a committee's members, see `Disagreement`; None for a single potential
    """

    energy: float
    atomic_energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray
    atomic_virials: np.ndarray
    extrapolation: Extrapolation
    disagreement: Disagreement | None = None


class Potential(Protocol):
    """What the engine asks of a potential."""

    cutoff: float
    numbers: tuple[int, ...]

    def compute(
        self, system: System, neighbors: NeighborList | None = None, *, atomic_virials: bool = False
    ) -> Results:
        """Energy, forces and virial; `neighbors` (of `VerletList.update`) spares a search."""

    def offset_energy(self, numbers: np.ndarray) -> float:
        """Sum of the constants in the energy (atomic offsets, mean energy) for these atoms, eV."""


def load_potential(
    path: str | Path,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    *,
    precision: str = "double",
) -> "HDNNP | Committee | LennardJones":
    """Open an n2p2/RuNNer potential directory, a committee's, or a TOML file that describes a Lennard-Jones potential.

    A committee is a directory that holds such directories called member-1, member-2, ...

    length_unit, energy_unit : native units of a directory that does not state them ("Bohr", "Hartree", ...)
    precision : "double", or "mixed" for faster dynamics with a neural network potential, see `HDNNP`
    Raises InputError for what cannot be used as given, FileError if there is nothing at `path`.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path}: no such potential; expected an n2p2 directory or a Lennard-Jones .toml file")
    if path.is_dir():
        from mdnnp.committee import Committee, member_paths  # stands on this module

        if not (path / "input.nn").exists() and member_paths(path):
            return Committee.read(path, length_unit, energy_unit, precision)
        return HDNNP(read_potential(path, length_unit, energy_unit), precision)
    require_regular(path)
    if precision != "double":
        raise InputError(f"{path}: precision {precision!r} is for neural network potentials; leave it at double")
    return LennardJones.from_file(path)


def _check_elements(potential: Potential, system: System) -> None:
    """Raise InputError for atoms of an element that the potential does not have."""
    missing = np.flatnonzero(~np.isin(system.numbers, potential.numbers))
    if len(missing):
        known = " ".join(chemical_symbols[z] for z in potential.numbers)
        symbol = chemical_symbols[system.numbers[missing[0]]]
        raise InputError(
            f"atom {missing[0]} is {symbol}, an element that the potential does not have (it knows {known}; atoms "
            "are counted from 0)"
        )


def _neighbors_for(potential: Potential, system: System, neighbors: NeighborList | None) -> NeighborList:
    """The list to use: that given, if it can be of this system, else a new one. Raises InputError."""
    _check_elements(potential, system)
    if neighbors is None:
        return VerletList(potential.cutoff, skin=0.0).update(system)
    if len(neighbors.order) != len(system):
        raise InputError(f"the neighbour list is of {len(neighbors.order)} atoms, the system has {len(system)}")
    if neighbors.cutoff < potential.cutoff * (1 - 1e-12):
        raise InputError(
            f"the neighbour list reaches {neighbors.cutoff:g} Å, less than the potential's cutoff of "
            f"{potential.cutoff:g} Å; make it with VerletList(potential.cutoff)"
        )
    return neighbors


def _refuse_overlap(system: System, clashes: np.ndarray) -> None:
    """Raise InputError naming the atoms, if a kernel met two on one spot (they can meet within the skin of a list)."""
    if clashes.any():
        build(system, 2 * OVERLAP_A)
        raise InputError("two atoms stand on one spot; if they do not, the neighbour list is not of this system")


class _Accumulators:
    """Forces, strain derivative and virials of every chunk of atoms, added up in a fixed order."""

    def __init__(self, n_atoms: int, atomic_virials: bool, most_chunks: int = _MAX_CHUNKS):
        self.n_chunks = max(1, min(most_chunks, _MAX_CHUNKS, n_atoms // _ATOMS_PER_CHUNK))
        self.bounds = np.linspace(0, n_atoms, self.n_chunks + 1).astype(np.int64)
        self.energies = np.zeros(n_atoms)
        self.forces = np.zeros((self.n_chunks, n_atoms, 3))
        self.strain = np.zeros((self.n_chunks, 3, 3))
        self.atomic_virials = np.zeros((self.n_chunks, n_atoms if atomic_virials else 0, 3, 3))

    def results(self, order: np.ndarray, offsets: np.ndarray, extrapolation: Extrapolation) -> Results:
        """Totals in the order of the system's atoms; `offsets` (N,) eV are added to the energies."""
        energies = _unsorted(self.energies, order) + offsets
        return Results(
            float(energies.sum()),
            energies,
            _unsorted(self.forces.sum(axis=0), order),
            -self.strain.sum(axis=0),
            _unsorted(self.atomic_virials.sum(axis=0), order if self.atomic_virials.size else order[:0]),
            extrapolation,
        )


def _unsorted(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    out[order] = values
    return out


# ---------------------------------------------------------------------------------------------------------------------
# High-dimensional neural network potential


class HDNNP:
    """A Behler-Parrinello potential: E = sum_i N_e(G_i). J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007).

    model : the parameters, in native units; computing is done in Å and eV
    precision : "double", or "mixed", which is faster and meant for molecular dynamics: sums over pairs of neighbours
        in single precision within blocks, everything else in double
    Raises InputError for another precision.
    """

    def __init__(self, model: HDNNPModel, precision: str = "double"):
        if precision not in PRECISIONS:
            raise InputError(f"{model.source}: unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
        self.model, self.precision = model, precision
        self.elements = tuple(model.elements)
        self.numbers = tuple(atomic_numbers[symbol] for symbol in self.elements)
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
        self._energy_scale = energy / model.conv_energy
        self._offsets = np.array([(part.atom_energy + model.mean_energy) * energy for part in parts])
        self._element_of = np.full(max(self.numbers) + 1, -1, dtype=np.int64)
        self._element_of[list(self.numbers)] = np.arange(len(self.numbers))
        self.cutoff = float(self._tables.center["cutoff"].max())
        self._workspace = PerThread(self._make_workspace)
        self._tangent_workspace: PerThread | None = None

    def offset_energy(self, numbers: np.ndarray) -> float:
        """Sum of atomic offsets and mean energies of atoms with these atomic numbers, eV."""
        return float(self._offsets[self._element_of[numbers]].sum())

    def compute(
        self, system: System, neighbors: NeighborList | None = None, *, atomic_virials: bool = False
    ) -> Results:
        """Energy, forces, virial and, if asked, per-atom virials of `system`, from one evaluation.

        neighbors : list from `VerletList.update(system)` with at least the potential's cutoff; built here if None
        Raises InputError for an element that the potential lacks.
        """
        neighbors = _neighbors_for(self, system, neighbors)
        total = _Accumulators(len(system), atomic_virials)
        counts, events = self._run(_FUSED, system, neighbors, total, _NO_ARRAY, _NO_ARRAY)
        extrapolation = self._extrapolation(neighbors, counts, events)
        return total.results(neighbors.order, self._offsets[self._element_of[system.numbers]], extrapolation)

    def compute_layered(
        self, system: System, neighbors: NeighborList | None = None, *, atomic_virials: bool = False
    ) -> Results:
        """The same as `compute`, in three steps: functions, the networks in NumPy batched per element, gradient."""
        neighbors = _neighbors_for(self, system, neighbors)
        raw = self.descriptors(system, neighbors)
        energies, gradients = np.zeros(len(system)), np.zeros_like(raw)
        for e, part in enumerate(self.model.elements.values()):
            atoms = np.flatnonzero(system.numbers == self.numbers[e])
            rows = slice(self._tables.function_first[e], self._tables.function_first[e + 1])
            n = len(part.functions)
            y, g = part.network.gradient(raw[atoms, :n] * self._factor[rows] + self._shift[rows])
            energies[atoms] = y * self._energy_scale
            gradients[np.ix_(atoms, range(n))] = g * (self._factor[rows] * self._energy_scale)
        return self.pull_back(system, neighbors, gradients, energies, atomic_virials=atomic_virials)

    def descriptors(self, system: System, neighbors: NeighborList | None = None) -> np.ndarray:
        """(N, n) raw symmetry functions, in the potential's order; n is the largest number, others are padded by 0."""
        neighbors = _neighbors_for(self, system, neighbors)
        values = np.zeros((len(system), int(np.diff(self._tables.function_first).max())))
        total = _Accumulators(len(system), False)
        self._run(_DESCRIPTORS, system, neighbors, total, values, _NO_ARRAY)
        return _unsorted(values, neighbors.order)

    def pull_back(
        self,
        system: System,
        neighbors: NeighborList,
        gradients: np.ndarray,
        energies: np.ndarray,
        *,
        atomic_virials: bool = False,
    ) -> Results:
        """Forces and virials from gradients (N, n) = dE/dG by the raw functions, eV; energies (N,) eV, no offsets.

        Raises InputError for arrays of another shape.
        """
        neighbors = _neighbors_for(self, system, neighbors)
        expected = (len(system), int(np.diff(self._tables.function_first).max()))
        if gradients.shape != expected or energies.shape != expected[:1]:
            raise InputError(
                f"need gradients {expected} and energies {expected[:1]}, got {gradients.shape} and {energies.shape}"
            )
        total = _Accumulators(len(system), atomic_virials)
        counts, events = self._run(
            _PULL_BACK, system, neighbors, total, _NO_ARRAY, np.ascontiguousarray(gradients[neighbors.order])
        )
        total.energies[:] = energies[neighbors.order]
        extrapolation = self._extrapolation(neighbors, counts, events)
        return total.results(neighbors.order, self._offsets[self._element_of[system.numbers]], extrapolation)

    def _make_workspace(self, n: int) -> tuple[Scratch, np.ndarray, np.ndarray]:
        """Working memory of the kernel for centres with at most `n` neighbours."""
        rows = np.empty((3, int(np.diff(self._tables.function_first).max())))  # raw, scaled functions, dE/dG
        real = np.float32 if self.precision == "mixed" else np.float64
        return make_scratch(n, self._tables, real), make_network_scratch(self._layers), rows

    def hessian_vector_product(
        self, system: System, displacements: np.ndarray, neighbors: NeighborList | None = None
    ) -> np.ndarray:
        """(N, 3) eV/Å: the Hessian of the energy times `displacements` (N, 3) Å, exact, without the Hessian.

        It is minus the derivative of the forces along the displacements. Raises InputError as `compute` does.
        """
        return -self.directional_derivative(system, displacements, np.zeros((3, 3)), neighbors)[0]

    def directional_derivative(
        self, system: System, displacements: np.ndarray, strain: np.ndarray, neighbors: NeighborList | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the forces (N, 3), eV/Å, and sum r_ij (x) dD_ij (3, 3), eV, as the atoms move.

        They move by r_i -> r_i + s (displacements_i + r_i strain), and the cell with the strain (3, 3); derivatives by
        s at s = 0. See `hessian.results_derivative` for the virial's.
        """
        from mdnnp.acsf.tangent import make_tangent_scratch  # compiled only where it is used
        from mdnnp.tangent import evaluate_tangent

        if self._tangent_workspace is None:
            n_functions = int(np.diff(self._tables.function_first).max())
            deepest = int(np.diff(self._layers.first).max())
            self._tangent_workspace = PerThread(
                lambda n: (
                    *make_tangent_scratch(n, self._tables),
                    np.empty((4 * deepest + 4, self._layers.widest)),
                    np.empty((6, n_functions)),
                )
            )

        def run(c, most, geometry, direction, forces, strain_t, none, clashes):
            evaluate_tangent(
                *c, *geometry, self._tables, self._layers, self._factor, self._shift, self._energy_scale,
                *direction, forces, strain_t, none, clashes, *self._tangent_workspace.get(most),
            )  # fmt: skip

        return _run_tangent(self, run, system, displacements, strain, neighbors)

    def _run(self, mode, system, neighbors, total: _Accumulators, values, gradients):
        """Run the kernel over all chunks; returns the chunks' extrapolation counts and events."""
        positions = coordinates(system.positions, system.cell, neighbors)
        images = image_vectors(neighbors, system.cell)
        species = self._element_of[system.numbers[neighbors.order]]
        counts = np.zeros((total.n_chunks, 3), np.int64)  # all events, listed events, centres with an overlap
        events = np.zeros((total.n_chunks, MAX_EVENTS, 3))
        most = int(np.diff(neighbors.first).max(initial=1))

        def work(c):
            _evaluate(
                mode, total.bounds[c], total.bounds[c + 1], positions, images,
                neighbors.first, neighbors.j, neighbors.image, species, self._tables, self._layers,
                self._factor, self._shift, self._lower, self._upper, self._energy_scale, values, gradients,
                total.energies, total.forces[c], total.strain[c], total.atomic_virials[c], counts[c], events[c],
                *self._workspace.get(most),
            )  # fmt: skip

        run_chunks(work, total.n_chunks)
        _refuse_overlap(system, counts[:, 2])
        return counts, events

    def _extrapolation(self, neighbors, counts, events) -> Extrapolation:
        if not counts[:, 0].any():
            return NO_EXTRAPOLATION
        rows = np.concatenate([events[c, : counts[c, 1]] for c in range(len(counts))])
        atom, row = neighbors.order[rows[:, 0].astype(np.int64)].astype(np.int64), rows[:, 1].astype(np.int64)
        element = np.searchsorted(self._tables.function_first, row, side="right") - 1
        by_atom = np.lexsort((row, atom))
        columns = (
            atom, row - self._tables.function_first[element] + 1, rows[:, 2], self._lower[row], self._upper[row],
        )  # fmt: skip
        return Extrapolation(int(counts[:, 0].sum()), *(column[by_atom] for column in columns))


def _run_tangent(potential, run, system, displacements, strain, neighbors) -> tuple[np.ndarray, np.ndarray]:
    """What `directional_derivative` returns, of a kernel behind `run`, called for every chunk of atoms."""
    displacements, strain = np.asarray(displacements, dtype=float), np.ascontiguousarray(strain, dtype=float)
    if displacements.shape != (len(system), 3) or not np.isfinite(displacements).all():
        raise InputError(f"displacements must be {(len(system), 3)} finite numbers, got {displacements.shape}")
    neighbors = _neighbors_for(potential, system, neighbors)
    total = _Accumulators(len(system), False)
    geometry = (
        coordinates(system.positions, system.cell, neighbors), image_vectors(neighbors, system.cell),
        neighbors.first, neighbors.j, neighbors.image, potential._element_of[system.numbers[neighbors.order]],
    )  # fmt: skip
    direction = np.ascontiguousarray(displacements[neighbors.order]), strain
    clashes, most = np.zeros(total.n_chunks, np.int64), int(np.diff(neighbors.first).max(initial=1))

    def work(c):
        run(
            (total.bounds[c], total.bounds[c + 1]), most, geometry, direction,
            total.forces[c], total.strain[c], total.atomic_virials[c], clashes[c:],
        )  # fmt: skip

    run_chunks(work, total.n_chunks)
    _refuse_overlap(system, clashes)
    return _unsorted(total.forces.sum(axis=0), neighbors.order), total.strain.sum(axis=0)


_FUSED, _DESCRIPTORS, _PULL_BACK = 0, 1, 2  # modes of `_evaluate`
_NO_ARRAY = np.empty((0, 0))
_EXTRAPOLATION_EPS = 1000 * 2.22e-16  # n2p2's tolerance


@njit_kernel
def _evaluate(
    mode, begin, end, positions, images, first, neighbor, image, species, tables, layers,
    factor, shift, lower, upper, energy_scale, values, gradients,
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
        center_values(e, n, tables, work, raw)
        for s in range(n_functions):
            if raw[s] + _EXTRAPOLATION_EPS < lower[row + s] or raw[s] - _EXTRAPOLATION_EPS > upper[row + s]:
                if counts[1] < MAX_EVENTS:
                    events[counts[1], 0], events[counts[1], 1], events[counts[1], 2] = i, row + s, raw[s]
                    counts[1] += 1
                counts[0] += 1
        if mode == _DESCRIPTORS:
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
        center_gradient(e, n, tables, work, gradient)
        scatter_edges(i, n, near.who, x, y, z, out.x, out.y, out.z, forces, strain, atomic_virials)


# ---------------------------------------------------------------------------------------------------------------------
# Lennard-Jones reference

# How the pair energy ends at the cutoff: a cutoff function of `acsf.shapes.evaluate_envelope`, or a constant shift.
_SMOOTHINGS = {"truncated": 0, "shifted": -1, "cos": 1, "exp": 4, "poly1": 5, "poly2": 6, "poly3": 7, "poly4": 8}


class LennardJones:
    """A Lennard-Jones potential with Lorentz-Berthelot mixing, for tests and teaching.

    parameters : symbol -> (epsilon in eV, sigma in Å)
    cutoff_A : cutoff radius; smoothing : "truncated", "shifted", or a cutoff function ("cos", "exp", "poly1" ..
    "poly4") that takes the pair energy to zero between inner_cutoff_A and cutoff_A.
    Raises InputError for values that make no sense.
    """

    def __init__(
        self,
        parameters: dict[str, tuple[float, float]],
        cutoff_A: float,
        smoothing: str = "poly2",
        inner_cutoff_A: float | None = None,
        source: str = "Lennard-Jones",
    ):
        inner = 0.8 * cutoff_A if inner_cutoff_A is None else inner_cutoff_A
        if smoothing not in _SMOOTHINGS:
            raise InputError(f"{source}: unknown smoothing {smoothing!r}; known: {', '.join(_SMOOTHINGS)}")
        if not (np.isfinite(cutoff_A) and 0 <= inner < cutoff_A):
            raise InputError(f"{source}: need 0 <= inner_cutoff_A ({inner}) < cutoff_A ({cutoff_A})")
        for symbol, pair in parameters.items():
            if symbol not in atomic_numbers or symbol == "X":
                raise InputError(f"{source}: unknown element {symbol!r}")
            if len(pair) != 2 or not all(np.isfinite(v) and v > 0 for v in pair):
                raise InputError(f"{source}: epsilon_eV and sigma_A of {symbol} must be positive, found {pair}")
        if not parameters:
            raise InputError(f"{source}: no elements; give [elements.Ar] with epsilon_eV and sigma_A")
        ordered = sorted(parameters, key=lambda symbol: atomic_numbers[symbol])
        self.elements = tuple(ordered)
        self.numbers = tuple(atomic_numbers[symbol] for symbol in ordered)
        self.parameters, self.smoothing = {symbol: parameters[symbol] for symbol in ordered}, smoothing
        self.cutoff, self.inner_cutoff, self.source = float(cutoff_A), float(inner), source
        epsilon, sigma = np.array([parameters[symbol] for symbol in ordered]).T
        self._epsilon = np.sqrt(epsilon[:, None] * epsilon[None, :])
        self._sigma = 0.5 * (sigma[:, None] + sigma[None, :])
        self._element_of = np.full(max(self.numbers) + 1, -1, dtype=np.int64)
        self._element_of[list(self.numbers)] = np.arange(len(self.numbers))

    @classmethod
    def from_file(cls, path: str | Path) -> "LennardJones":
        """Read a TOML file with kind = "lennard-jones", cutoff_A, smoothing and [elements.X] tables."""
        path = Path(path)
        try:
            data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        except OSError as error:
            raise FileError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:  # ValueError: also numbers of thousands of digits
            raise InputError(f"{path}: not a potential: neither a directory nor a valid TOML file ({error})") from None
        if data.pop("kind", None) != "lennard-jones":
            raise InputError(f'{path}: a potential in a TOML file must say kind = "lennard-jones"')
        elements = data.pop("elements", {})
        known = {"cutoff_A", "smoothing", "inner_cutoff_A"}
        if unknown := sorted(set(data) - known):
            raise InputError(f"{path}: unknown key {unknown[0]!r}; known: elements, {', '.join(sorted(known))}")
        if "cutoff_A" not in data:
            raise InputError(f"{path}: the key cutoff_A is missing")
        numbers = {k: data[k] for k in ("cutoff_A", "inner_cutoff_A") if k in data}
        parameters = {}
        for symbol, entry in elements.items():
            if not isinstance(entry, dict) or set(entry) != {"epsilon_eV", "sigma_A"}:
                raise InputError(f"{path}: [elements.{symbol}] must have exactly epsilon_eV and sigma_A")
            numbers |= {f"elements.{symbol}.{k}": v for k, v in entry.items()}
            parameters[symbol] = (entry["epsilon_eV"], entry["sigma_A"])
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{path}: {name} must be a number, found {value!r}")
        return cls(parameters, source=str(path), **data)

    def offset_energy(self, numbers: np.ndarray) -> float:
        """Lennard-Jones energies have no offset: 0."""
        return 0.0

    def compute(
        self, system: System, neighbors: NeighborList | None = None, *, atomic_virials: bool = False
    ) -> Results:
        """Energy, forces, virial and, if asked, per-atom virials of `system`; each pair energy is shared equally."""
        neighbors = _neighbors_for(self, system, neighbors)
        total = _Accumulators(len(system), atomic_virials)
        positions = coordinates(system.positions, system.cell, neighbors)
        images = image_vectors(neighbors, system.cell)
        species = self._element_of[system.numbers[neighbors.order]]
        clashes = np.zeros(total.n_chunks, np.int64)

        def work(c):
            _evaluate_lennard_jones(
                total.bounds[c], total.bounds[c + 1], positions, images,
                neighbors.first, neighbors.j, neighbors.image, species, self._epsilon, self._sigma,
                _SMOOTHINGS[self.smoothing], self.inner_cutoff, self.cutoff,
                total.energies, total.forces[c], total.strain[c], total.atomic_virials[c], clashes[c:],
            )  # fmt: skip

        run_chunks(work, total.n_chunks)
        _refuse_overlap(system, clashes)
        return total.results(neighbors.order, np.zeros(len(system)), NO_EXTRAPOLATION)

    def hessian_vector_product(
        self, system: System, displacements: np.ndarray, neighbors: NeighborList | None = None
    ) -> np.ndarray:
        """As `HDNNP.hessian_vector_product`."""
        return -self.directional_derivative(system, displacements, np.zeros((3, 3)), neighbors)[0]

    def directional_derivative(
        self, system: System, displacements: np.ndarray, strain: np.ndarray, neighbors: NeighborList | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `HDNNP.directional_derivative`."""
        from mdnnp.tangent import evaluate_lennard_jones_tangent

        parameters = self._epsilon, self._sigma, _SMOOTHINGS[self.smoothing], self.inner_cutoff, self.cutoff

        def run(c, most, geometry, direction, forces, strain_t, none, clashes):
            evaluate_lennard_jones_tangent(*c, *geometry, *parameters, *direction, forces, strain_t, none, clashes)

        return _run_tangent(self, run, system, displacements, strain, neighbors)


@njit
def _evaluate_lennard_jones(
    begin, end, positions, images, first, neighbor, image, species, epsilon, sigma, kind, inner, cutoff,
    energies, forces, strain, atomic_virials, clashes,
):  # fmt: skip
    """Centres begin .. end - 1 (sorted order): E_i = 1/2 sum_j V(r_ij), V = 4 eps [(s/r)^12 - (s/r)^6] f(r)."""
    most = np.int64(1)
    for i in range(begin, end):
        most = max(most, first[i + 1] - first[i])
    x, y, z, r, who = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.uint32)
    f, slope, dx, dy, dz = np.ones(most), np.zeros(most), np.empty(most), np.empty(most), np.empty(most)
    for i in range(begin, end):
        n = gather_edges(i, cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        if n < 0:
            clashes[0] += 1
            continue
        if kind >= 0:
            evaluate_envelope(kind, inner, cutoff, r, n, f, slope, dx, dy)
        energy = 0.0
        for t in range(n):
            eps, sig = epsilon[species[i], species[who[t]]], sigma[species[i], species[who[t]]]
            s6 = (sig / r[t]) ** 6
            pair = 4.0 * eps * (s6 * s6 - s6)
            force = 4.0 * eps * (6.0 * s6 - 12.0 * s6 * s6) / r[t]
            if kind < 0:
                c6 = (sig / cutoff) ** 6
                pair -= 4.0 * eps * (c6 * c6 - c6)
            energy += 0.5 * pair * f[t]
            along = 0.5 * (force * f[t] + pair * f[t] * slope[t]) / r[t]
            dx[t], dy[t], dz[t] = along * x[t], along * y[t], along * z[t]
        energies[i] = energy
        scatter_edges(i, n, who, x, y, z, dx, dy, dz, forces, strain, atomic_virials)
