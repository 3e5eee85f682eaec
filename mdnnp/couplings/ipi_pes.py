"""i-PI's `pes` file of mdnnp: for <ffdirect> and for the script `i-pi-driver-py`, by the path of this file.

`python -m mdnnp.couplings.ipi_pes` prints that path. i-PI loads the file under its own name, so it is not called as a
package is.
"""

import sys
import threading
from typing import Any

from mdnnp.atoms.read import read_structures
from mdnnp.base.compiled.jit import available_cores, set_threads
from mdnnp.base.errors import InputError
from mdnnp.couplings.ipi import Boundaries, Evaluator
from mdnnp.potentials.load import load_potential

__DRIVER_NAME__ = "mdnnp"
__DRIVER_CLASS__ = "MDNNPDriver"

_OF_IPI = {"verbose", "verbosity"}  # i-PI's own parameters


class MDNNPDriver:
    """What i-PI calls. The parameters are those of <parameters> in <ffdirect>, or of `-o` of `i-pi-driver-py`.

    potential, length_unit, energy_unit : as of `mdnnp predict`
    template, index, boundaries : structure with i-PI's atoms (`ipi.Evaluator`), of a file the last if not said
    threads : None: all cores
    Raises InputError and FileError.
    """

    def __init__(
        self,
        potential: str = "",
        template: str = "",
        length_unit: str | None = None,
        energy_unit: str | None = None,
        boundaries: Boundaries | None = None,
        index: int = -1,
        threads: int | None = None,
        **others: Any,
    ):
        if unknown := sorted(set(others) - _OF_IPI):
            raise InputError(
                f"unknown parameter {unknown[0]!r} of mdnnp; known: potential, template, length_unit, energy_unit, "
                "boundaries, index, threads"
            )
        if not (potential and template):
            raise InputError("mdnnp needs the parameters potential and template, each the path of a file or directory")
        set_threads(int(threads) if threads else available_cores())
        (structure,) = read_structures(template, int(index), length_unit, energy_unit)
        self._evaluate = Evaluator(load_potential(potential, length_unit, energy_unit), structure, boundaries)

    def __call__(self, cell: Any, positions: Any) -> tuple | list[tuple]:
        """Energy, forces, virial and extras in atomic units (`ipi.Evaluator`); of lists, which are batches, a list.

        i-PI computes in a thread, where an error would be lost and i-PI would wait for ever: there it is printed, and
        ends i-PI.
        """
        try:
            if isinstance(cell, list):
                return [self._evaluate(*both) for both in zip(cell, positions, strict=True)]
            return self._evaluate(cell, positions)
        except Exception as error:
            if threading.current_thread() is not threading.main_thread():
                _end_ipi(error)
            raise


def _end_ipi(error: Exception) -> None:
    """Have i-PI write its restart file and end."""
    from ipi.utils.softexit import softexit

    print(f"error: {error}", file=sys.stderr, flush=True)
    softexit.trigger(status="bad", message=f"mdnnp: {error}")


if __name__ == "__main__":
    print(__file__)
