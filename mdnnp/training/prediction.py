"""Energies, forces and stresses of structures, as lines of a table and as structures."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.quantities import dipole_moment
from mdnnp.atoms.structure import Structure
from mdnnp.base.errors import InputError, MdnnpWarning, PhysicsError
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.potentials.interface import Potential, Results
from mdnnp.training.accuracy import Errors, ErrorTally, brief
from mdnnp.training.dataset import as_labelled


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
            charges=r.charges if len(r.charges) else self.structure.charges,
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
    largest = np.max(np.linalg.norm(results.forces, axis=1))
    label = structure.label if len(structure.label) <= 32 else "…" + structure.label[-31:]
    pressure = "-" if np.isnan(prediction.pressure_GPa) else f"{prediction.pressure_GPa:.6f}"
    return (
        f"{label:<32} {n:>7} {results.energy:>20.9f} {results.energy / n:>15.9f} {largest:>12.6f} "
        f"{pressure:>13} {results.extrapolation.count:>9}"
    )


def charge_row(prediction: Prediction) -> str:
    """A line below that of `table_row`, for a potential with charges."""
    found = _of_charges(prediction.structure, prediction.results)
    parts = [f"{s} {q['mean']:+.4f} ({q['min']:+.4f} .. {q['max']:+.4f})" for s, q in found["charges_e"].items()]
    dipole = np.linalg.norm(found.get("dipole_e_A", np.nan))
    text = f"  charges/e: {', '.join(parts)}; total {round(found['total_charge_e'], 9) + 0.0:g}"
    return text if np.isnan(dipole) else f"{text}; dipole {dipole:.6f} e Å"


@dataclass(frozen=True, eq=False)
class Predictions:
    """All that was predicted: rows of numbers for each structure, and the errors against what labels there are.

    structures : with predicted energy, forces and stress, if they were to be kept
    """

    rows: tuple[dict, ...]
    errors: Errors
    structures: tuple[Structure, ...]
    exit_code: int = 0

    def text(self) -> str:
        """The errors; `predict` gives the lines of the table while they are computed."""
        lines = brief(self.errors)
        return "\n".join(["\nErrors against the reference values in the files", *lines]) if lines else ""

    def as_dict(self) -> dict:
        """Rows, and errors if there are any labels."""
        errors = self.errors.as_dict() if self.errors.quantities else None
        return {"program": "mdnnp predict", "structures": list(self.rows), "errors": errors}


def numbers(prediction: Prediction) -> dict:
    """The numbers of a structure; the pressure is NaN without a volume."""
    structure, results = prediction.structure, prediction.results
    return {
        "structure": structure.label,
        "n_atoms": len(structure.system),
        "energy_eV": results.energy,
        "max_force_eV_per_A": results.largest_force,
        "pressure_GPa": prediction.pressure_GPa,
        "extrapolations": results.extrapolation.count,
        **_of_charges(structure, results),
    }


def _of_charges(structure: Structure, results: Results) -> dict:
    """Charges of each element, and the dipole of an open system; nothing of a potential without charges."""
    charges, system = results.charges, structure.system
    if not len(charges):
        return {}
    of_element = {chemical_symbols[z]: charges[system.numbers == z] for z in np.unique(system.numbers)}
    found = {
        "total_charge_e": float(charges.sum()),
        "charges_e": {s: {"mean": float(q.mean()), "min": float(q.min()), "max": float(q.max())}
                      for s, q in of_element.items()},
    }  # fmt: skip
    if not system.pbc.any():
        found["dipole_e_A"] = dipole_moment(system.positions, charges, structure.masses).tolist()
    return found


def predict_all(
    potential: Potential, structures: Iterable[Structure], say: Callable[[str], object], *, keep: bool = False
) -> Predictions:
    """Evaluate structures; `say` is told the lines of the table. keep : the structures with what is predicted, too."""
    say(HEADER)
    rows, kept, tally = [], [], ErrorTally(potential)
    for prediction in predict(potential, structures):
        say(table_row(prediction))
        if len(prediction.results.charges):
            say(charge_row(prediction))
        rows.append(numbers(prediction))
        tally.add(as_labelled(prediction.structure), prediction.results)
        if keep:
            kept.append(prediction.as_structure())
    return Predictions(tuple(rows), tally.errors(), tuple(kept))
