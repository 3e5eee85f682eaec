"""Committees: the mean of the results of several potentials, and their disagreement.

C. Schran, K. Brezina, O. Marsalek, J. Chem. Phys. 153, 104105 (2020).
"""

from collections.abc import Sequence

import numpy as np

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.potentials.hdnnp.shared import SharedFunctions
from mdnnp.potentials.interface import Disagreement, Extrapolation, Neighbors, Potential, Results, roughest
from mdnnp.potentials.smoothness import Ingredient


class Committee(Potential):
    """Several potentials of the same elements as one, whose energy, forces, virials and charges are the members' mean.

    `compute` also gives the members' disagreement. Extrapolations are those of the first member. HDNNPs
    with the same symmetry functions share their evaluation; other members are evaluated one after the other.
    Raises InputError for fewer than two members, or members of other elements.
    """

    has_disagreement = True

    def __init__(self, members: Sequence[Potential], source: str = "committee"):
        if len(members) < 2:
            raise InputError(f"{source}: a committee needs at least two members, found {len(members)}")
        for k, member in enumerate(members[1:], start=2):
            if member.elements != members[0].elements:
                raise InputError(
                    f"{source}: member {k} has the elements {' '.join(member.elements)}, but the first has "
                    f"{' '.join(members[0].elements)}; all members need the same elements"
                )
            if len(member.cutoffs) != len(members[0].cutoffs):
                raise InputError(f"{source}: member {k} has other terms than the first; give all members the same")
        self.members, self.source = tuple(members), source
        self.parts, self.share = self.members, 1.0 / len(members)
        self.numbers = members[0].numbers
        self.cutoff = max(member.cutoff for member in members)
        self.files = tuple(file for member in members for file in member.files)
        self.has_charges = all(member.has_charges for member in members)
        self.computes_domains = all(member.computes_domains for member in members)
        self.exact_derivatives = all(member.exact_derivatives for member in members)
        self._shared = SharedFunctions.of(members)

    @property
    def shares_functions(self) -> bool:
        """Whether symmetry functions are evaluated once for all members."""
        return self._shared is not None

    def offsets(self, numbers: np.ndarray) -> np.ndarray:
        """(N,) eV: means of the members' constants in the energies of these atoms."""
        return np.mean([member.offsets(numbers) for member in self.members], axis=0)

    def offset_energy(self, numbers: np.ndarray) -> float:
        """Mean of the members' constants in the energy for these atoms, eV."""
        return float(np.mean([member.offset_energy(numbers) for member in self.members]))

    def compute(self, system: System, neighbors: Neighbors | None = None, *, atomic_virials: bool = False) -> Results:
        """Means of energy, forces, virials, charges over the members, and their disagreement."""
        neighbors = self.neighbors_of(system, neighbors)
        if self._shared is not None:
            own = neighbors if isinstance(neighbors, NeighborList) else neighbors[0]
            results = self._shared.compute(system, own, atomic_virials)
        else:
            results = [member.compute(system, neighbors, atomic_virials=atomic_virials) for member in self.members]
        energies = np.array([r.energy for r in results])
        forces = np.array([r.forces for r in results])
        mean = forces.mean(axis=0)
        deviations = forces - mean
        return results[0]._replace(
            energy=float(energies.mean()),
            atomic_energies=np.mean([r.atomic_energies for r in results], axis=0),
            forces=mean,
            virial=np.mean([r.virial for r in results], axis=0),
            atomic_virials=np.mean([r.atomic_virials for r in results], axis=0),
            disagreement=Disagreement(
                np.sqrt(np.mean(np.sum(np.square(deviations), axis=2), axis=0)),
                float(np.std(energies)) / len(system),
                deviations,
            ),
            charges=np.mean([r.charges for r in results], axis=0) if self.has_charges else np.empty(0),
            terms=_mean_terms(results),
        )

    def hessian_vector_product(
        self, system: System, displacements: np.ndarray, neighbors: Neighbors | None = None
    ) -> np.ndarray:
        """Mean of the members' products."""
        neighbors = self.neighbors_of(system, neighbors)
        return np.mean([m.hessian_vector_product(system, displacements, neighbors) for m in self.members], axis=0)

    def results_derivative(
        self,
        system: System,
        displacements: np.ndarray,
        strain: np.ndarray,
        neighbors: Neighbors | None = None,
        results: Results | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means of the members' derivatives."""
        neighbors = self.neighbors_of(system, neighbors)
        # the mean's results serve all members: derivatives are linear in them
        results = self.compute(system, neighbors) if results is None and self.exact_derivatives else results
        each = [m.results_derivative(system, displacements, strain, neighbors, results) for m in self.members]
        forces, virial = zip(*each, strict=True)
        return np.mean(forces, axis=0), np.mean(virial, axis=0)

    def converged(self) -> Potential:
        """The committee of its members converged."""
        return Committee([member.converged() for member in self.members], self.source)

    @property
    def cutoffs(self) -> tuple[float, ...]:
        """Å: the largest of the members'."""
        return tuple(max(own) for own in zip(*(member.cutoffs for member in self.members), strict=True))

    @property
    def reach(self) -> float:
        """Å: the largest of the members'."""
        return max(member.reach for member in self.members)

    def radii(self) -> list[float]:
        """Those of all members."""
        return sorted({r for member in self.members for r in member.radii()})

    @property
    def kind(self) -> str:
        """Number and kind of the members."""
        kinds = {member.kind.split(" in ")[0] for member in self.members}
        return f"committee of {len(self.members)} {'/'.join(sorted(kinds))}s"

    def describe(self) -> list[str]:
        """How many members there are, and the first of them."""
        shared = "the same" if self.shares_functions else "different"
        head = f"Committee     {self.source}: {len(self.members)} members with {shared} symmetry functions; the first:"
        return [head, "", *self.members[0].describe()]

    def ingredients(self) -> list[Ingredient]:
        """Those of all members."""
        return roughest([one for member in self.members for one in member.ingredients()])

    def function_ingredients(self) -> dict[str, tuple[Ingredient, ...]]:
        """Those of the first member."""
        return self.members[0].function_ingredients()

    def remarks(self, system: System, results: Results) -> list[str]:
        """Those of the first member, whatever the member: the results are the mean's."""
        return self.members[0].remarks(system, results)

    def all_extrapolations(self, system: System, results: Results) -> Extrapolation:
        """Those of the first member."""
        return self.members[0].all_extrapolations(system, results)


def _mean_terms(results: Sequence[Results]) -> tuple[tuple[str, float], ...]:
    """Mean energies of terms, which the members have in the same order."""
    names = [name for name, _ in results[0].terms]
    if any([name for name, _ in r.terms] != names for r in results):
        return ()
    return tuple((name, float(np.mean([r.terms[k][1] for r in results]))) for k, name in enumerate(names))
