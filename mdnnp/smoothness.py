"""How smooth the energy of a potential is as a function of the positions: its class C^k, and what sets k.

k counts the continuous derivatives of the energy: with C^0 the forces jump, with C^1 they have kinks; -1
stands for an energy that jumps itself. Below C^1 velocity Verlet loses its second order, and energy drifts at
any time step.
"""

import math
from typing import NamedTuple

from mdnnp.acsf.functions import (
    ANGULAR,
    COMPACT,
    CUTOFF_NAMES,
    CUTOFF_SMOOTHNESS,
    SymmetryFunction,
)
from mdnnp.committee import Committee
from mdnnp.mlp import ACTIVATION_NAMES
from mdnnp.model import HDNNPModel
from mdnnp.potential import HDNNP, LennardJones

_OTHER_CUTOFF = "choose cutoff_type 6 (poly2) or 7 (poly3), and refit: functions and their scaling change"
_OTHER_ACTIVATION = "choose tanh (t) or softplus (p), and refit"
_OTHER_CORE = "choose a core of p3, p4 or their asymmetric kin, and refit"
_CUTOFF_EXP = 4
_WITHOUT_INNER_CUTOFF = {2, 3}  # tanh cutoffs ignore alpha

# k at the edge and at the centre of a compact core. At the centre the first odd power of |x| is the kink:
# |x|^3 in p1 and p2, |x|^5 in p3 and p4. The asymmetric cores are functions of (2 - x) x, which is flat at
# the edge and so doubles the power there.
CORE_EDGE = {"e": math.inf, "p1": 1, "p2": 2, "p3": 3, "p4": 4, "p1a": 3, "p2a": 5, "p3a": 7, "p4a": 9}
CORE_CENTER = {"e": math.inf, "p1": 2, "p2": 2, "p3": 4, "p4": 4, "p1a": 2, "p2a": 2, "p3a": 4, "p4a": 4}


_LENNARD_JONES = {"truncated": -1, "shifted": 0}  # others end with a cutoff function


class Cause(NamedTuple):
    """An ingredient of a potential: k of C^k (inf: all derivatives, -1: jumps), what and where it is.

    remedy : what to put in its place where it is too rough
    """

    order: float
    what: str
    remedy: str


def order_name(order: float) -> str:
    """'C^2', 'C^inf', or 'discontinuous'."""
    return "discontinuous" if order < 0 else "C^inf" if math.isinf(order) else f"C^{int(order)}"


def causes_of(potential: HDNNP | Committee | LennardJones) -> list[Cause]:
    """Every ingredient that has a smoothness class, the roughest first, which is that of the energy."""
    if isinstance(potential, Committee):
        return sorted({cause for member in potential.members for cause in causes(member.model)})
    if isinstance(potential, HDNNP):
        return causes(potential.model)
    smoothing = potential.smoothing
    if smoothing in _LENNARD_JONES:
        what = f"pair energy {smoothing} at the cutoff"
        return [Cause(_LENNARD_JONES[smoothing], what, 'choose smoothing = "poly2" or "poly3"')]
    alpha = potential.inner_cutoff / potential.cutoff
    found = _cutoff_cause(CUTOFF_NAMES.index(smoothing), alpha)
    return [found._replace(remedy='choose smoothing = "poly2" or "poly3"')]


def causes(model: HDNNPModel) -> list[Cause]:
    """Every ingredient that has a smoothness class, the roughest first, which is that of the energy."""
    found = set()
    for element in model.elements.values():
        for f in element.functions:
            found |= set(function_causes(f, model.cutoff_type, model.cutoff_alpha))
        for letter in set(element.network.activations):
            kinks = letter == "r"
            found.add(Cause(0 if kinks else math.inf, f"activation {ACTIVATION_NAMES[letter]}", _OTHER_ACTIVATION))
    return sorted(found)


def function_causes(f: SymmetryFunction, cutoff_type: int, alpha: float) -> list[Cause]:
    """What limits the smoothness of one symmetry function."""
    if f.type in COMPACT:
        return _compact_causes(f)
    found = [_cutoff_cause(cutoff_type, alpha)]
    if f.type in ANGULAR:
        found += _angular_causes(f)
    return found


def _cutoff_cause(cutoff_type: int, alpha: float) -> Cause:
    order = CUTOFF_SMOOTHNESS[cutoff_type]
    order = math.inf if order is None else order
    what = f"cutoff function {CUTOFF_NAMES[cutoff_type]} at its radius"
    if alpha > 0 and cutoff_type not in _WITHOUT_INNER_CUTOFF:
        what += " and its inner radius"
        if cutoff_type == _CUTOFF_EXP:
            order = 1  # all derivatives vanish at the outer radius, but f'' = -2 at the inner one
    return Cause(order, what, _OTHER_CUTOFF)


def _angular_causes(f: SymmetryFunction) -> list[Cause]:
    """What (1 + lambda cos theta)^zeta does where its base reaches zero.

    For lambda = +-1 that is a collinear triple, where the base is delta^2 / 2 in the deviation delta; beyond,
    a power that is clipped.
    """
    if abs(f.lam) < 1:
        return []
    if abs(f.lam) == 1:  # |delta|^(2 zeta) is analytic for whole zeta
        order = math.inf if f.zeta == int(f.zeta) else math.ceil(2 * f.zeta) - 1
    else:
        order = math.ceil(f.zeta) - 1
    if math.isinf(order):
        return []
    remedy = "choose lambda = 1 or -1 with a whole zeta, and refit"
    return [Cause(order, f"angular factor with lambda = {f.lam:g}, zeta = {f.zeta:g}", remedy)]


def _compact_causes(f: SymmetryFunction) -> list[Cause]:
    radial_centre = f.rl + f.cutoff != 0  # a window about r = 0 has no centre at any r > 0
    order = min(CORE_EDGE[f.subtype], CORE_CENTER[f.subtype] if radial_centre else math.inf)
    found = [Cause(order, f"radial core {f.subtype} of compact functions", _OTHER_CORE)]
    if f.type in ANGULAR:
        core = f.subtype.removesuffix("a")  # the asymmetry is in the radial part only
        order = min(CORE_EDGE[core], CORE_CENTER[core])
        found.append(Cause(order, f"angular core {core} of compact functions", _OTHER_CORE))
    return found
