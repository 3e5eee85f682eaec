"""How smooth the energy of a potential is as a function of the positions: its class C^k, and what sets k.

k counts the continuous derivatives of the energy: with C^0 the forces jump, with C^1 they have kinks; -1
stands for an energy that jumps itself. Below C^1 velocity Verlet loses its second order, and energy drifts at
any time step.
"""

import math
from typing import NamedTuple

from mdnnp.potentials.hdnnp.functions.definitions import CUTOFF_NAMES, CUTOFF_SMOOTHNESS

_CUTOFF_EXP = 4
_WITHOUT_INNER_CUTOFF = {2, 3}  # tanh cutoffs ignore alpha


class Ingredient(NamedTuple):
    """An ingredient of a potential: k of C^k (inf: all derivatives, -1: jumps), what and where it is.

    remedy : what to put in its place where it is too rough
    """

    order: float
    what: str
    remedy: str


UNKNOWN = Ingredient(math.nan, "potential, which does not state its smoothness", "")


def order_name(order: float) -> str:
    """'C^2', 'C^inf', 'discontinuous', or 'class unknown' (NaN)."""
    if math.isnan(order):
        return "class unknown"
    return "discontinuous" if order < 0 else "C^inf" if math.isinf(order) else f"C^{int(order)}"


def cutoff_ingredient(cutoff_type: int, alpha: float, remedy: str) -> Ingredient:
    """A cutoff function (0-8) with the inner cutoff `alpha`, relative to its radius."""
    known = CUTOFF_SMOOTHNESS[cutoff_type]
    order = math.inf if known is None else float(known)
    what = f"cutoff function {CUTOFF_NAMES[cutoff_type]} at its radius"
    if alpha > 0 and cutoff_type not in _WITHOUT_INNER_CUTOFF:
        what += " and its inner radius"
        if cutoff_type == _CUTOFF_EXP:
            order = 1  # all derivatives vanish at the outer radius, but f'' = -2 at the inner one
    return Ingredient(order, what, remedy)
