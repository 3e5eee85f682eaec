"""What makes results doubtful, in words, for programs that our potentials are called by."""

from collections.abc import Iterator

import numpy as np
from ase.data import chemical_symbols

from mdnnp.base.errors import DisagreementWarning, ExtrapolationWarning, MdnnpWarning
from mdnnp.potentials.interface import Results


def doubts(results: Results, numbers: np.ndarray, warn_above_eV_A: float) -> Iterator[tuple[type[MdnnpWarning], str]]:
    """Kind and text of each warning that `results` of atoms (N,) with these atomic numbers deserve.

    warn_above_eV_A : members of a committee that disagree on a force by more than this are warned of, eV/Å
    """
    outside, disagreement = results.extrapolation, results.disagreement
    if outside.count:
        yield (
            ExtrapolationWarning,
            f"{outside.count} symmetry functions are outside the range of the training data, such as number "
            f"{outside.function[0]} of atom {outside.atom[0]}: {outside.value[0]:.6g}, range "
            f"{outside.lower[0]:.6g} to {outside.upper[0]:.6g}; do not trust the results",
        )
    if disagreement is not None and disagreement.forces.max() > warn_above_eV_A:
        atom = int(np.argmax(disagreement.forces))
        yield (
            DisagreementWarning,
            f"the members of the committee disagree by {disagreement.forces[atom]:.3g} eV/Å on the force on atom "
            f"{atom} ({chemical_symbols[numbers[atom]]}), more than warn_above_eV_A = {warn_above_eV_A:g}; do not "
            "trust the results",
        )
