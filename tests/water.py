"""A potential for water, made here, in the form in which others publish theirs."""

from dataclasses import replace
from pathlib import Path

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import write_structures
from mdnnp.base.units import HARTREE_EV
from mdnnp.command.benchmark.water import water_box, water_masses, water_model
from mdnnp.potentials.hdnnp.files import SIDECAR, write_potential
from mdnnp.potentials.hdnnp.model import ElementModel
from mdnnp.potentials.hdnnp.potential import HDNNP

_MEAN_HARTREE, _DEVIATION_HARTREE = -25.5, 0.004  # of the energy per atom, as in a published training set
_NARROWER = 3.0


def write_water(path: Path, repeats: tuple[int, int, int] = (3, 3, 3)) -> Path:
    """A potential for water and a box of it as n2p2 has them: Bohr, Hartree, normalized, and no word on the units.

    That of the benchmark, with energies of the box at the mean of the training set that it claims to have.
    """
    plain, box = water_model(), water_box(repeats)
    above = HDNNP(plain).compute(box).energy / len(box)
    per_hartree = 1 / _DEVIATION_HARTREE
    elements = {symbol: _rescaled(part, above, per_hartree / HARTREE_EV) for symbol, part in plain.elements.items()}
    model = replace(
        plain, elements=elements, energy_unit="Hartree", normalized=True,
        mean_energy=_MEAN_HARTREE, conv_energy=per_hartree, conv_length=5.8,
    )  # fmt: skip
    write_potential(model, path)
    (path / SIDECAR).unlink()
    structure = Structure(box, water_masses(box))
    write_structures(path / "input.data", [structure], length_unit="Bohr", energy_unit="Hartree")
    return path


def _rescaled(part: ElementModel, less: float, factor: float) -> ElementModel:
    """The element's part with energies (E - less) factor, and ranges that heat leaves: a third of the benchmark's."""
    weights, biases = part.network.weights, part.network.biases
    network = replace(
        part.network,
        weights=(weights[0] / _NARROWER, *weights[1:-1], factor * weights[-1]),
        biases=(*biases[:-1], factor * (biases[-1] - less)),
    )
    return replace(part, network=network, scaling=part.scaling / [1.0, _NARROWER, 1.0, 1.0])
