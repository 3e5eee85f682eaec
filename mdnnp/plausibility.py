"""Whether an energy is one that a potential was trained for."""

from mdnnp.potential import HDNNP, Potential, Results
from mdnnp.system import System
from mdnnp.units import energy_in_ev

MOST_DEVIATIONS = 20.0


def energy_suspicion(potential: Potential, system: System, results: Results) -> str | None:
    """A sentence if the energy is far from those of the training set, else None.

    A normalized potential knows their mean and, by conv_energy, their deviation, per atom. Far from both are
    structures unlike the training set, other units than stated, and the weights of two elements exchanged.
    """
    if not (isinstance(potential, HDNNP) and potential.model.normalized):
        return None
    model, n = potential.model, len(system)
    above_mean = (results.energy - potential.offset_energy(system.numbers)) / n
    deviations = above_mean / energy_in_ev(model.energy_unit) * model.conv_energy
    if abs(deviations) <= MOST_DEVIATIONS:
        return None
    return (
        f"the energy is {above_mean:+.3g} eV/atom from the mean of the training set, {abs(deviations):.0f} times "
        "its deviation: is the structure of the kind that the potential was trained for, are the units right, "
        "and the weights of each element in the right file?"
    )
