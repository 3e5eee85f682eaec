"""Symmetry functions of structures, and their derivatives by the atoms' positions, without a potential.

    descriptors = Descriptors(default_functions(["Si"], 5.0))
    descriptors.values(system)["Si"]      (silicon atoms, functions)

For fitting and choosing functions: unlike a potential, which never forms dG/dr, this keeps every column of it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.system import System
from mdnnp.base.compiled.jit import PerThread, njit, njit_fast, vectorize_freely
from mdnnp.base.errors import InputError
from mdnnp.potentials.hdnnp.functions.center import arrange, center_gradient, center_values, make_scratch
from mdnnp.potentials.hdnnp.functions.definitions import WEIGHTED, SymmetryFunction
from mdnnp.potentials.hdnnp.functions.tables import Tables, build_tables, needed

DEFAULT_CUTOFF_TYPE = 6  # poly2: twice continuously differentiable, and cheap


class Edges(NamedTuple):
    """Neighbours of every centre: edge e leads from i[e] to j[e]; those of centre i are first[i] .. first[i + 1] - 1.

    r : (E, 3) r_ij, Å; per centre in order of the neighbours' atomic numbers
    """

    first: np.ndarray
    i: np.ndarray
    j: np.ndarray
    r: np.ndarray


class Jacobian(NamedTuple):
    """dG/dr of the centres of one element.

    centers : (n,) atoms; edge : (E',) edges of the structure that start at them, in order of centre
    values : (n, n_functions); gradients : (E', 3, n_functions) dG_i/dr_ij, 1/Å
    dG_i by the position of atom k is the sum over the edges that lead to k, less, for k = i, the sum over all.
    """

    centers: np.ndarray
    edge: np.ndarray
    values: np.ndarray
    gradients: np.ndarray


class _Kernel:
    """Tables of some functions, with working memory."""

    def __init__(self, tables: Tables):
        self.tables, self._scratch = tables, PerThread(partial(make_scratch, tables=tables))

    def evaluate(self, differentiate, centers, edges, species, values, gradients):
        """Fill in values (centres, functions) and, if asked for, gradients (edges of the centres, 3, functions)."""
        work = self._scratch.get(int(np.diff(edges.first).max(initial=1)))
        _evaluate(
            differentiate, centers, edges.first, edges.j, edges.r, species, self.tables, *needed(self.tables), work,
            values, gradients,
        )  # fmt: skip


class Descriptors:
    """The symmetry functions `functions` (by centre; lengths in Å), ready to be evaluated.

    cutoff_type, cutoff_alpha : cutoff function of all but the compact types, as in n2p2
    Raises InputError if a function's neighbour is no element of the set.
    """

    def __init__(
        self,
        functions: Mapping[str, Sequence[SymmetryFunction]],
        cutoff_type: int = DEFAULT_CUTOFF_TYPE,
        cutoff_alpha: float = 0.0,
    ):
        self.elements = tuple(sorted(functions, key=atomic_numbers.__getitem__))
        self.functions = {symbol: tuple(functions[symbol]) for symbol in self.elements}
        self.numbers = tuple(atomic_numbers[symbol] for symbol in self.elements)
        everything = [f for own in self.functions.values() for f in own]
        missing = {s for f in everything for s in f.neighbors} - set(self.elements)
        if missing:
            raise InputError(f"functions have {min(missing)} as a neighbour, but there are none for {min(missing)}")
        self.cutoff = max((f.cutoff for f in everything), default=0.0)
        if not self.cutoff > 0:
            raise InputError(
                "there are no symmetry functions; if they were chosen for structures, no atom there has a neighbour "
                "within the cutoff"
            )
        self._cutoff_settings = cutoff_type, cutoff_alpha
        self._kernel = self._build(self.functions)
        self._groups: dict[str, list[tuple[np.ndarray, _Kernel]]] = {}

    def _build(self, functions: Mapping[str, Sequence[SymmetryFunction]]) -> _Kernel:
        own = [functions.get(s, ()) for s in self.elements]
        return _Kernel(build_tables(own, self.elements, *self._cutoff_settings))

    def signature(self) -> str:
        """Text that determines the functions and their cutoff function."""
        return repr((self.functions, self._cutoff_settings))

    def edges(self, system: System) -> Edges:
        """All neighbours nearer than the largest cutoff. Raises InputError for elements that have no functions."""
        unknown = sorted({chemical_symbols[z] for z in system.numbers} - set(self.elements))
        if unknown:
            raise InputError(f"no functions for {unknown[0]}, which the structure has")
        i, j, _, r = neighbor_list(system, self.cutoff)
        return Edges(np.searchsorted(i, np.arange(len(system) + 1)), i, j, r)

    def values(self, system: System, edges: Edges | None = None) -> dict[str, np.ndarray]:
        """Raw values per element: (atoms of the element in the system's order, its functions)."""
        edges = self.edges(system) if edges is None else edges
        species = self._species(system)
        out = {}
        for e, symbol in enumerate(self.elements):
            centers = np.flatnonzero(species == e)
            out[symbol] = np.zeros((len(centers), len(self.functions[symbol])))
            self._kernel.evaluate(False, centers, edges, species, out[symbol], np.empty((0, 3, 0)))
        return out

    def jacobian(self, system: System, symbol: str, edges: Edges | None = None) -> Jacobian:
        """Values and derivatives of the functions of the centres of one element."""
        edges = self.edges(system) if edges is None else edges
        centers, edge, values = self._centers(system, symbol, edges)
        gradients = np.empty((len(edge), 3, values.shape[1]))
        for columns, g, d in self._by_channel(system, symbol, edges, centers, len(edge)):
            values[:, columns], gradients[:, :, columns] = g, d
        return Jacobian(centers, edge, values, gradients)

    def summed_gradient(
        self, system: System, symbol: str, edges: Edges | None = None, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (centres, functions), and d(sum_i w_i G_i)/dr (N, 3, functions), 1/Å, of the centres of one element.

        weights : (N,) w_i, 1 if not given. A linear model's energy sum_i c.G_i has the forces -c.(this, of weights 1).
        Needs less memory than `jacobian`: one channel at a time.
        """
        edges = self.edges(system) if edges is None else edges
        weights = np.ones(len(system)) if weights is None else np.asarray(weights, dtype=np.float64)
        centers, edge, values = self._centers(system, symbol, edges)
        out = np.zeros((len(system), 3, values.shape[1]))
        for columns, g, d in self._by_channel(system, symbol, edges, centers, len(edge)):
            part = np.zeros((len(system), 3, len(columns)))
            _scatter(edges.i[edge], edges.j[edge], weights, d, part)
            values[:, columns], out[:, :, columns] = g, part
        return values, out

    def _centers(self, system, symbol, edges):
        """Centres of an element, their edges, and room for their values."""
        species, e = self._species(system), self.elements.index(symbol)
        centers, edge = np.flatnonzero(species == e), np.flatnonzero(species[edges.i] == e)
        return centers, edge, np.zeros((len(centers), len(self.functions[symbol])))

    def _by_channel(self, system, symbol, edges, centers, n_edges):
        """Columns, values and edge gradients, channel by channel."""
        species = self._species(system)
        for columns, kernel in self._channel_groups(symbol):
            g, d = np.zeros((len(centers), len(columns))), np.empty((n_edges, 3, len(columns)))
            kernel.evaluate(True, centers, edges, species, g, d)
            yield columns, g, d

    def _species(self, system: System) -> np.ndarray:
        return np.searchsorted(self.numbers, system.numbers)

    def _channel_groups(self, symbol: str) -> list[tuple[np.ndarray, _Kernel]]:
        """Functions of a centre by channel, each group with tables of its own.

        A kernel's gradient costs as much as all channels of its tables, and here it is taken function by function.
        """
        if symbol not in self._groups:
            groups: dict[tuple, list[int]] = {}
            for s, f in enumerate(self.functions[symbol]):
                key = (f.type, f.subtype, f.cutoff, f.rl, f.eta, f.rs, f.neighbors if f.type not in WEIGHTED else ())
                groups.setdefault(key, []).append(s)
            self._groups[symbol] = [
                (np.array(own), self._build({symbol: [self.functions[symbol][s] for s in own]}))
                for own in groups.values()
            ]
        return self._groups[symbol]


@njit
def _evaluate(differentiate, centers, first, j, r, species, tables, angular, wide, work, values, gradients):
    """As `_Kernel.evaluate`."""
    unit, row = np.zeros(values.shape[1]), np.int64(0)
    for c in range(centers.size):
        i = centers[c]
        end = row + first[i + 1] - first[i]
        _evaluate_center(
            differentiate, i, first, j, r, species, tables, angular, wide, work, unit, values[c], gradients[row:end]
        )  # fmt: skip
        row = end


@njit_fast
def _evaluate_center(differentiate, i, first, j, r, species, tables, angular, wide, work, unit, values, gradients):
    """One centre of `_evaluate`: the gradients by a unit vector for dE/dG of each function."""
    vectorize_freely()
    near, out = work.near, work.gradients
    n = _load(i, first[i], first[i + 1], j, r, tables.center[species[i]].cutoff, species, near)
    center_values(species[i], n, tables, angular, wide, work, values)
    if not differentiate:
        return
    for s in range(unit.size):
        unit[s] = 1.0
        center_gradient(species[i], n, tables, angular, wide, work, unit)
        unit[s] = 0.0
        edge = 0
        for b in range(near.count.size):
            for t in range(near.segment[b], near.segment[b] + near.count[b]):
                gradients[edge, 0, s], gradients[edge, 1, s], gradients[edge, 2, s] = out.x[t], out.y[t], out.z[t]
                edge += 1


@njit
def _scatter(i, j, weights, gradients, out):
    """Edge gradients, weighted by their centres, to the atoms at both ends."""
    for e in range(i.size):
        for axis in range(3):
            for s in range(gradients.shape[2]):
                moved = weights[i[e]] * gradients[e, axis, s]
                out[j[e], axis, s] += moved
                out[i[e], axis, s] -= moved


@njit_fast
def _load(i, begin, end, j, r, cutoff, species, near):
    """Put the edges begin .. end - 1 of centre `i`, which are in order of element, into the scratch; the places."""
    for t in range(end - begin):
        x, y, z = r[begin + t, 0], r[begin + t, 1], r[begin + t, 2]
        near.x[t], near.y[t], near.z[t], near.who[t] = x, y, z, j[begin + t]
        near.r[t] = np.sqrt(x * x + y * y + z * z)
    return arrange(i, end - begin, cutoff, species, near)
