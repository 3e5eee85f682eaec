"""A potential energy that is a sum of terms, such as a neural network on top of a screened nuclear repulsion."""

from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.potentials.assembly import Assembly, LocalPotential, tangents, virial_tangent
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Extrapolation, Neighbors, Potential, Results, roughest
from mdnnp.potentials.smoothness import Ingredient

_SHARED_UP_TO_A = 10.0  # terms of shorter cutoffs share a list: walking it costs less than building one more


class TotalPotential(Potential):
    """The sum of `terms`, in their order.

    Local terms with the same neighbour list add to one assembly. Lists of long cutoffs are lists of their own, so that
    they do not slow down terms of short ones. It knows the elements that all terms know. At most one term may be a
    committee: then its disagreement is that of the sum.
    Raises InputError for an empty sum, one without a common element, or two committees.
    """

    def __init__(self, terms: Sequence[Potential], source: str = "sum", names: Sequence[str] | None = None):
        if not terms:
            raise InputError(f"{source}: a sum needs at least one term")
        common = set.intersection(*(set(term.numbers) for term in terms))
        if not common:
            known = "; ".join(f"{term.kind}: {' '.join(term.elements)}" for term in terms)
            raise InputError(f"{source}: there is no element that all terms have ({known})")
        if sum(term.has_disagreement for term in terms) > 1:
            raise InputError(f"{source}: two terms are committees; make one committee of sums instead")
        self.terms, self.source = tuple(terms), source
        self.parts = self.terms
        self.names = _distinct([term.kind for term in terms] if names is None else names)
        self.numbers = tuple(sorted(common))
        self.has_disagreement = any(term.has_disagreement for term in terms)
        self.unswitched = "; ".join(term.unswitched for term in terms if term.unswitched)
        self.has_charges = any(term.has_charges for term in terms)
        self.computes_domains = all(term.computes_domains for term in terms)
        self.exact_derivatives = all(term.exact_derivatives for term in terms)
        self.files = tuple(file for term in terms for file in term.files)
        wanted = sorted({cutoff for term in terms for cutoff in term.cutoffs})
        short = [cutoff for cutoff in wanted if cutoff <= _SHARED_UP_TO_A]
        self._cutoffs = tuple([*short[-1:], *(cutoff for cutoff in wanted if cutoff > _SHARED_UP_TO_A)])
        self.cutoff = max(self._cutoffs or [term.cutoff for term in terms])
        self._lists = [tuple(self._list_for(cutoff) for cutoff in term.cutoffs) for term in terms]
        self._local = {k: term for k, term in enumerate(terms) if isinstance(term, LocalPotential)}
        self._groups = {i: [k for k in self._local if self._lists[k] == (i,)] for i in range(len(self._cutoffs))}
        self._others = [k for k in range(len(terms)) if k not in self._local]

    def _list_for(self, cutoff: float) -> int:
        return next(i for i, own in enumerate(self._cutoffs) if own >= cutoff)

    # --- computing -----------------------------------------------------------------------------------------

    def offsets(self, numbers: np.ndarray) -> np.ndarray:
        """(N,) eV: sums of the terms' constants."""
        return np.sum([term.offsets(numbers) for term in self.terms], axis=0)

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Sums over the terms; `Results.terms` has the energy of each."""
        lists = self._as_tuple(self.neighbors_of(system, neighbors))
        parts, energies = [], np.zeros(len(self.terms))
        for i, group in self._groups.items():
            if group:
                results, energies[group] = self._of_group(i, system, lists, atomic_virials)
                parts.append(results)
        for k in self._others:
            parts.append(self.terms[k].compute(system, self._lists_of(k, lists), atomic_virials=atomic_virials))
            energies[k] = parts[-1].energy
        return _sum(parts)._replace(terms=tuple(zip(self.names, energies.tolist(), strict=True)))

    def _as_tuple(self, neighbors: Neighbors) -> tuple[NeighborList, ...]:
        return (neighbors,) if isinstance(neighbors, NeighborList) else neighbors

    def _of_group(self, i: int, system: System, lists, atomic_virials: bool = False) -> tuple[Results, list[float]]:
        """Results of the local terms with list `i` together, and the energy of each."""
        group = [self._local[k] for k in self._groups[i]]
        assembly = Assembly(system, lists[i], atomic_virials and all(term.has_atomic_virials for term in group))
        offsets = [term.offsets(system.numbers) for term in group]
        energies, events = zip(*(term.add(assembly) for term in group), strict=True)
        results = assembly.results(_added(energies), _added(offsets), _merged(events))
        return results, [float(own.sum() + offset.sum()) for own, offset in zip(energies, offsets, strict=True)]

    def _lists_of(self, k: int, lists: tuple[NeighborList, ...]) -> Neighbors:
        own = tuple(lists[i] for i in self._lists[k])
        return own[0] if len(own) == 1 else own

    def results_derivative(
        self,
        system: System,
        displacements: np.ndarray,
        strain: np.ndarray,
        neighbors: Neighbors | None = None,
        results: Results | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the terms' derivatives: exact of those that have them, by differences of the others."""
        lists = self._as_tuple(self.neighbors_of(system, neighbors))
        forces, virial = np.zeros((len(system), 3)), np.zeros((3, 3))
        for i, group in self._groups.items():
            if not group:
                continue
            alone = not self._others and sum(map(bool, self._groups.values())) == 1
            own = results if alone and results is not None else self._of_group(i, system, lists)[0]
            forces_t, strain_t = tangents([self._local[k] for k in group], system, displacements, strain, lists[i])
            forces += forces_t
            virial += virial_tangent(strain_t, own, displacements, strain)
        for k in self._others:
            forces_t, virial_t = self.terms[k].results_derivative(
                system, displacements, strain, self._lists_of(k, lists)
            )
            forces += forces_t
            virial += virial_t
        return forces, virial

    def hessian_vector_product(
        self, system: System, displacements: np.ndarray, neighbors: Neighbors | None = None
    ) -> np.ndarray:
        """Sum of the terms' products: exact of those that have them, by differences of the others."""
        lists = self._as_tuple(self.neighbors_of(system, neighbors))
        product = np.zeros((len(system), 3))
        for i, group in self._groups.items():
            if group:
                terms = [self._local[k] for k in group]
                product -= tangents(terms, system, displacements, np.zeros((3, 3)), lists[i])[0]
        for k in self._others:
            product += self.terms[k].hessian_vector_product(system, displacements, self._lists_of(k, lists))
        return product

    def converged(self) -> Potential:
        """The sum of its terms converged."""
        return TotalPotential([term.converged() for term in self.terms], self.source, self.names)

    # --- geometry and description --------------------------------------------------------------------------

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """Å, of the lists: one that terms of short cutoffs share, and those of longer ones."""
        return self._cutoffs

    @property
    def reach(self) -> float:
        """Å: the largest of the terms'."""
        return max(term.reach for term in self.terms)

    @property
    def near_reach(self) -> float:
        """Å: the largest of the terms'."""
        return max(term.near_reach for term in self.terms)

    def split_unswitched(self) -> tuple[Potential | None, Potential | None]:
        """Sums of the parts of its terms."""
        each = zip(*(term.split_unswitched() for term in self.terms), strict=True)
        rest, unswitched = ([part for part in parts if part is not None] for parts in each)
        return (TotalPotential(rest) if rest else None), (TotalPotential(unswitched) if unswitched else None)

    def radii(self) -> list[float]:
        """Those of all terms."""
        return sorted({r for term in self.terms for r in term.radii()})

    @property
    def kind(self) -> str:
        """The terms' kinds."""
        return " + ".join(term.kind for term in self.terms)

    def describe(self) -> list[str]:
        """How many terms there are, and each of them."""
        lines = [f"Sum           {self.source}: {len(self.terms)} terms, {self.kind}"]
        for name, term in zip(self.names, self.terms, strict=True):
            lines += ["", f"--- {name} ---", *term.describe()]
        return lines

    def ingredients(self) -> list[Ingredient]:
        """Those of all terms, the roughest first."""
        return roughest([one for term in self.terms for one in term.ingredients()])

    def function_ingredients(self) -> dict[str, tuple[Ingredient, ...]]:
        """Those of the first term which has a neural network."""
        return next((found for term in self.terms if (found := term.function_ingredients())), {})

    def remarks(self, system: System, results: Results) -> list[str]:
        """Those of each term on its own energy."""
        energies = dict(results.terms)
        return [
            remark
            for name, term in zip(self.names, self.terms, strict=True)
            if name in energies
            for remark in term.remarks(system, results._replace(energy=energies[name], terms=()))
        ]

    def all_extrapolations(self, system: System, results: Results) -> Extrapolation:
        """Those of the first term that lists more than `results` do."""
        each = (term.all_extrapolations(system, results) for term in self.terms)
        return max(each, key=lambda events: len(events.atom))


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, numbered where one occurs more than once."""
    return tuple(f"{name} ({k + 1})" if names.count(name) > 1 else name for k, name in enumerate(map(str, names)))


def _merged(events: Sequence[Extrapolation]) -> Extrapolation:
    """Extrapolations of several terms as one record."""
    some = [event for event in events if event.count]
    if len(some) < 2:
        return some[0] if some else NO_EXTRAPOLATION
    columns = (np.concatenate(column) for column in zip(*(event[1:] for event in some), strict=True))
    return Extrapolation(sum(event.count for event in some), *columns)


def _sum(parts: Sequence[Results]) -> Results:
    """Sum of results; charges and disagreement are of the part that has them."""
    if len(parts) == 1:
        return parts[0]
    disagreement = next((r.disagreement for r in parts if r.disagreement is not None), None)
    charges = [r.charges for r in parts if len(r.charges)]
    return Results(
        energy=sum(r.energy for r in parts),
        atomic_energies=_added(r.atomic_energies for r in parts),
        forces=_added(r.forces for r in parts),
        virial=_added(r.virial for r in parts),
        atomic_virials=_sum_of_virials(parts),
        extrapolation=_merged([r.extrapolation for r in parts]),
        disagreement=disagreement,
        charges=charges[0] if charges else np.empty(0),
    )


def _added(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return reduce(np.add, arrays)


def _sum_of_virials(parts: Sequence[Results]) -> np.ndarray:
    """Per-atom virials, (0, 3, 3) if a part has none."""
    each = [r.atomic_virials for r in parts]
    return _added(each) if all(len(own) for own in each) else np.empty((0, 3, 3))
