"""A graph model as a potential of the engine."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdnnp.potentials.assembly import Assembly, LocalPotential
from mdnnp.potentials.graph.files import HEADER, WEIGHTS, read_graph
from mdnnp.potentials.graph.model import GraphModel
from mdnnp.potentials.graph.sweep import Directions, sweep
from mdnnp.potentials.interface import MAX_Z, NO_EXTRAPOLATION, Extrapolation, known_elements
from mdnnp.potentials.smoothness import Ingredient


class GraphPotential(LocalPotential):
    """A potential whose descriptors are learned and whose features travel along edges; see `graph.model`.

    models : of the same elements and sizes, whose energies add up; offsets are those of the first
    With two layers and more it has no per-atom virials: the energy of an atom depends on edges of its neighbours, too,
    so that W_i = sum_j r_ij (x) dE_j/dr_ji takes derivatives of each atom's energy apart (M. F. Langer, F. Knoop, C.
    Carbogno, M. Scheffler, M. Rupp, Phys. Rev. B 108, L100302 (2023)), and its heat current is refused.
    """

    computes_domains = False  # features of neighbours are needed, too

    def __init__(self, models: Sequence[GraphModel], source: str = "graph", files: tuple[Path, ...] = ()):
        self.models, self.source, self.files = tuple(models), source, files
        model = models[0]
        self.has_atomic_virials = len(model.layers) == 1
        self.numbers, self.cutoff = model.numbers, model.cutoff
        self.element_of = np.full(MAX_Z + 1, -1)
        self.element_of[list(model.numbers)] = np.arange(len(model.numbers))

    @classmethod
    def read(cls, path: Path) -> "GraphPotential":
        """From a directory. Raises InputError and FileError as `read_graph`."""
        return cls(read_graph(path), str(path), (path / HEADER, path / WEIGHTS))

    @property
    def reach(self) -> float:
        """Number of layers times the cutoff, Å."""
        return len(self.models[0].layers) * self.cutoff

    def offsets(self, numbers: np.ndarray) -> np.ndarray:
        """As `Potential.offsets`."""
        return self.models[0].offsets[self.element_of[numbers]]

    def add(self, assembly: Assembly) -> tuple[np.ndarray, Extrapolation]:
        """As `LocalPotential.add`."""
        species = assembly.species(self.element_of)
        energies = np.zeros(len(species))
        for model in self.models:
            energies += sweep(model, assembly, species)[0]
        return energies, NO_EXTRAPOLATION

    def add_tangent(self, assembly: Assembly, displacements: np.ndarray, strain: np.ndarray) -> None:
        """As `LocalPotential.add_tangent`."""
        for model in self.models:
            sweep(model, assembly, assembly.species(self.element_of), Directions(displacements, strain))

    @property
    def kind(self) -> str:
        """Graph potential."""
        return "graph potential"

    def ingredients(self) -> list[Ingredient]:
        """The cutoff function."""
        return [Ingredient(2, "cutoff function of the messages", "keep it: there is no smoother one")]

    def describe(self) -> list[str]:
        """Elements, layers, sizes."""
        model, layers = self.models[0], len(self.models[0].layers)
        return [
            f"Potential     {self.source} ({self.kind})",
            "Units         Angstrom, eV",
            f"Elements      {known_elements(self)}",
            f"Layers        {layers} of {model.channels} channels, harmonics up to degree {model.degree}",
            f"Cutoff        {self.cutoff:g} Å in each layer; atoms see as far as {self.reach:g} Å",
            f"Weights       {len(self.models)} x {model.vector().size}",
        ]
