"""Energies, forces and stresses of structures, as a table and as a file: the verb `mdnnp predict`."""

import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mdnnp.atoms.structure import Structure
from mdnnp.base.errors import InputError, MdnnpWarning, PhysicsError
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.command.common import data_units, load, refuse_outputs, use_threads
from mdnnp.potentials.interface import Potential, Results


def main(arguments: Namespace) -> int:
    refuse_outputs(arguments, [arguments.output], arguments.structures)
    potential = load(arguments)
    from mdnnp.atoms.read import read_structures
    from mdnnp.atoms.write import write_structures
    from mdnnp.training.accuracy import ErrorTally, brief
    from mdnnp.training.dataset import as_labelled

    use_threads(arguments)
    units = data_units(arguments)
    structures = [s for path in arguments.structures for s in read_structures(path, arguments.index, *units)]
    print(HEADER)
    predictions, tally = [], ErrorTally(potential)
    for prediction in predict(potential, structures):
        print(table_row(prediction), flush=True)
        tally.add(as_labelled(prediction.structure), prediction.results)
        if arguments.output:
            predictions.append(prediction.as_structure())
    errors = brief(tally.errors())
    if errors:
        print("\nErrors against the reference values in the files")
        print("\n".join(errors))
    if arguments.output:
        write_structures(arguments.output, predictions, format="extxyz", overwrite=arguments.overwrite)
        print(f"\nWritten: {arguments.output}")
    return 0


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a potential gives for a structure.

    structure : as read, with its reference energy, forces and stress if it has them
    results : energy, forces and virial
    """

    structure: Structure
    results: Results

    @property
    def stress(self) -> np.ndarray | None:
        """(3, 3) eV/Å^3, positive: tension; None unless the cell is periodic in three directions."""
        return self.results.stress(self.structure.system)

    @property
    def pressure_GPa(self) -> float:
        """Pressure of the atoms at rest; NaN without a volume."""
        return np.nan if self.stress is None else -float(np.trace(self.stress)) / 3 * EV_PER_A3_IN_GPA

    def as_structure(self) -> Structure:
        """The structure with the predicted energy, atomic energies, forces and stress."""
        r = self.results
        return replace(
            self.structure,
            energy=r.energy,
            atomic_energies=r.atomic_energies,
            forces=r.forces,
            stress=self.stress,
        )


def predict(potential: Potential, structures: Iterable[Structure]) -> Iterator[Prediction]:
    """Evaluate structures one by one. Raises InputError or PhysicsError, naming the one that cannot be computed."""
    for structure in structures:
        try:
            results = potential.compute(structure.system)
        except (InputError, PhysicsError) as error:
            raise type(error)(f"{structure.label}: {error}") from None
        for remark in potential.remarks(structure.system, results):
            warnings.warn(f"{structure.label}: {remark}", MdnnpWarning, stacklevel=2)
        yield Prediction(structure, results)


HEADER = (
    f"{'structure':<32} {'atoms':>7} {'energy/eV':>20} {'eV/atom':>15} {'max F/eV/Å':>12} "
    f"{'pressure/GPa':>13} {'extrapol.':>9}"
)


def table_row(prediction: Prediction) -> str:
    """One line of the table under `HEADER`."""
    structure, results = prediction.structure, prediction.results
    n = len(structure.system)
    label = structure.label if len(structure.label) <= 32 else "…" + structure.label[-31:]
    pressure = "-" if np.isnan(prediction.pressure_GPa) else f"{prediction.pressure_GPa:.6f}"
    return (
        f"{label:<32} {n:>7} {results.energy:>20.9f} {results.energy / n:>15.9f} {results.largest_force:>12.6f} "
        f"{pressure:>13} {results.extrapolation.count:>9}"
    )
