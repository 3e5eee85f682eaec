"""A graph model as a potential of the engine."""

from pathlib import Path

import numpy as np

from mdnnp.potentials.assembly import Assembly, LocalPotential
from mdnnp.potentials.graph.model import GraphModel
from mdnnp.potentials.graph.sweep import Directions, sweep
from mdnnp.potentials.interface import MAX_Z, NO_EXTRAPOLATION, Extrapolation, known_elements
from mdnnp.potentials.smoothness import Ingredient


class GraphPotential(LocalPotential):
    """A potential whose descriptors are learned and whose features travel along edges; see `graph.model`."""

    def __init__(self, model: GraphModel, source: str = "graph", files: tuple[Path, ...] = ()):
        self.model, self.source, self.files = model, source, files
        self.numbers, self.cutoff = model.numbers, model.cutoff
        self.element_of = np.full(MAX_Z + 1, -1)
        self.element_of[list(model.numbers)] = np.arange(len(model.numbers))

    @property
    def reach(self) -> float:
        """Number of layers times the cutoff, Å."""
        return len(self.model.layers) * self.cutoff

    def offsets(self, numbers: np.ndarray) -> np.ndarray:
        """As `Potential.offsets`."""
        return self.model.offsets[self.element_of[numbers]]

    def add(self, assembly: Assembly) -> tuple[np.ndarray, Extrapolation]:
        """As `LocalPotential.add`."""
        energies, _ = sweep(self.model, assembly, assembly.species(self.element_of))
        return energies, NO_EXTRAPOLATION

    def add_tangent(self, assembly: Assembly, displacements: np.ndarray, strain: np.ndarray) -> None:
        """As `LocalPotential.add_tangent`."""
        sweep(self.model, assembly, assembly.species(self.element_of), Directions(displacements, strain))

    @property
    def kind(self) -> str:
        """Graph potential."""
        return "graph potential"

    def ingredients(self) -> list[Ingredient]:
        """The cutoff function."""
        return [Ingredient(2, "cutoff function of the messages", "keep it: there is no smoother one")]

    def describe(self) -> list[str]:
        """Elements, layers, sizes."""
        model, layers = self.model, len(self.model.layers)
        return [
            f"Potential     {self.source} ({self.kind})",
            "Units         Angstrom, eV",
            f"Elements      {known_elements(self)}",
            f"Layers        {layers} of {model.channels} channels, harmonics up to degree {model.degree}",
            f"Cutoff        {self.cutoff:g} Å in each layer; atoms see as far as {self.reach:g} Å",
            f"Weights       {model.vector().size}",
        ]
