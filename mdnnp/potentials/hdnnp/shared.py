"""Several HDNNPs with the same symmetry functions: the functions are evaluated once for all of them."""

from collections.abc import Sequence

import numpy as np

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.system import System
from mdnnp.base.compiled.jit import njit, njit_fast, vectorize_freely
from mdnnp.potentials.assembly import Assembly
from mdnnp.potentials.edges import scatter_edges
from mdnnp.potentials.hdnnp.functions.center import center_gradient
from mdnnp.potentials.hdnnp.functions.tables import needed
from mdnnp.potentials.hdnnp.networks import build_layers, network_gradient
from mdnnp.potentials.hdnnp.potential import _VALUES, HDNNP, MAX_EVENTS, _evaluate
from mdnnp.potentials.interface import Potential, Results

_MOST_FORCE_ARRAYS = 64  # of N atoms each; bounds the memory: 24 bytes per atom each


class SharedFunctions:
    """HDNNPs that share the evaluation of their symmetry functions."""

    def __init__(self, members: Sequence[HDNNP]):
        self._members = tuple(members)
        self._layers = build_layers([part.network for member in members for part in member.model.elements.values()])
        self._factor = np.array([member._factor for member in members])
        self._shift = np.array([member._shift for member in members])
        self._scale = np.array([member._energy_scale for member in members])

    @classmethod
    def of(cls, members: Sequence[Potential]) -> "SharedFunctions | None":
        """The members' shared evaluation, None if one is no HDNNP or has other functions."""
        own = [member for member in members if isinstance(member, HDNNP)]
        return cls(own) if len(own) == len(members) and len({_functions(member) for member in own}) == 1 else None

    def compute(self, system: System, neighbors: NeighborList, atomic_virials: bool) -> list[Results]:
        """The members' results."""
        n, n_members, first = len(system), len(self._members), self._members[0]
        most_chunks = max(4, _MOST_FORCE_ARRAYS // n_members)
        assemblies = [Assembly(system, neighbors, False, most_chunks) for _ in range(n_members)]
        shared = assemblies[0]
        chunks, bounds, species = shared.n_chunks, shared.bounds, shared.species(first._element_of)
        energies, forces = np.zeros((n_members, n)), np.zeros((chunks, n_members, n, 3))
        strain = np.zeros((chunks, n_members, 3, 3))
        virials = np.zeros((chunks, n_members, n if atomic_virials else 0, 3, 3))
        values = np.zeros((n, first.n_functions))
        counts, events = np.zeros((chunks, 3), np.int64), np.zeros((chunks, MAX_EVENTS, 3))

        def work(c):
            _evaluate_members(
                bounds[c], bounds[c + 1], *shared.geometry, species, first._tables, *needed(first._tables),
                self._layers, self._factor, self._shift, first._lowest, first._highest, self._scale, values,
                energies, forces[c], strain[c], virials[c], counts[c], events[c],
                *first._workspace.get(shared.most),
            )  # fmt: skip
            shared.clashes[c] = counts[c, 2]

        shared.run(work)
        extrapolation = first.extrapolation_of(shared.order, counts, events)
        results = []
        for m, (member, own) in enumerate(zip(self._members, assemblies, strict=True)):
            own.forces, own.strain, own.atomic_virials = forces[:, m], strain[:, m], virials[:, m]
            results.append(own.results(energies[m], member.offsets(system.numbers), extrapolation))
        return results


def _functions(member: HDNNP) -> tuple:
    """What must be the same for two potentials to share the evaluation of their symmetry functions."""
    model = member.model
    functions = tuple(part.functions for part in model.elements.values())
    return functions, model.cutoff_type, model.cutoff_alpha, model.length_unit, member.precision


@njit
def _evaluate_members(
    begin, end, positions, images, first, neighbor, image, species, tables, angular, wide, layers,
    factor, shift, lowest, highest, scale, values, energies, forces, strain, atomic_virials, counts, events,
    work, network, rows,
):  # fmt: skip
    """Centres begin .. end - 1 (sorted order) of all members, whose networks follow one another in `layers`.

    factor, shift (members, functions), scale (members,); values (N, functions) is filled with raw functions;
    energies (members, N), forces (members, N, 3), strain (members, 3, 3) and virials likewise.
    """
    scaled, gradient = rows[1], rows[2]
    for i in range(begin, end):
        _evaluate(
            _VALUES, i, i + 1, positions, images, first, neighbor, image, species, tables, angular, wide, layers,
            factor[0], shift[0], lowest, highest, scale[0], values, values,
            energies[0], forces[0], strain[0], atomic_virials[0], counts, events, work, network, rows,
        )  # fmt: skip
        if counts[2] > 0:
            return
        for m in range(scale.size):
            energies[m, i] = _evaluate_member(
                m, i, species[i], tables, angular, wide, layers, factor[m], shift[m], scale[m], values[i], forces[m],
                strain[m],
                atomic_virials[m], work, network, scaled, gradient,
            )  # fmt: skip


@njit_fast
def _evaluate_member(
    m, i, e, tables, angular, wide, layers, factor, shift, scale, values, forces, strain, atomic_virials, work, network,
    scaled, gradient,
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
    center_gradient(e, n, tables, angular, wide, work, gradient)
    scatter_edges(
        i, n, near.who, near.x, near.y, near.z, out.x, out.y, out.z, forces, strain, atomic_virials
    )  # fmt: skip
    return energy
