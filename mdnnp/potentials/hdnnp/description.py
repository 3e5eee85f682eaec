"""Description of a high-dimensional neural network potential: the lines of `mdnnp info`, and its smoothness."""

import math

import numpy as np

from mdnnp.base.units import length_in_angstrom
from mdnnp.potentials.hdnnp.functions.definitions import (
    ANGULAR,
    COMPACT,
    CUTOFF_NAMES,
    NARROW,
    WEIGHTED,
    SymmetryFunction,
)
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel, without_spread
from mdnnp.potentials.hdnnp.networks import ACTIVATION_NAMES
from mdnnp.potentials.smoothness import Ingredient, cutoff_ingredient, order_name

_OTHER_CUTOFF = "choose cutoff_type 6 (poly2) or 7 (poly3), and refit: functions and their scaling change"
_OTHER_ACTIVATION = "choose tanh (t) or softplus (p), and refit"
_OTHER_CORE = "choose a core of p3, p4 or their asymmetric kin, and refit"
_SMOOTH = Ingredient(math.inf, "nothing", "")

# k at the edge and at the centre of a compact core. At the centre the first odd power of |x| is the kink:
# |x|^3 in p1 and p2, |x|^5 in p3 and p4. The asymmetric cores are functions of (2 - x) x, which is flat at
# the edge and so doubles the power there.
CORE_EDGE = {"e": math.inf, "p1": 1, "p2": 2, "p3": 3, "p4": 4, "p1a": 3, "p2a": 5, "p3a": 7, "p4a": 9}
CORE_CENTER = {"e": math.inf, "p1": 2, "p2": 2, "p3": 4, "p4": 4, "p1a": 2, "p2a": 2, "p3a": 4, "p4a": 4}


# --- Smoothness -------------------------------------------------------------------------------------------


def ingredients(model: HDNNPModel) -> list[Ingredient]:
    """Every ingredient that has a smoothness class, the roughest first, which is that of the energy."""
    found = set()
    for element in model.elements.values():
        for f in element.functions:
            found |= set(function_ingredients(f, model.cutoff_type, model.cutoff_alpha))
        for letter in set(element.network.activations):
            kinks = letter == "r"
            found.add(Ingredient(0 if kinks else math.inf, f"activation {ACTIVATION_NAMES[letter]}", _OTHER_ACTIVATION))
    return sorted(found)


def function_ingredients(f: SymmetryFunction, cutoff_type: int, alpha: float) -> list[Ingredient]:
    """What limits the smoothness of one symmetry function."""
    if f.type in COMPACT:
        return _compact(f)
    found = [cutoff_ingredient(cutoff_type, alpha, _OTHER_CUTOFF)]
    if f.type in ANGULAR:
        found += _angular(f)
    return found


def _angular(f: SymmetryFunction) -> list[Ingredient]:
    """What (1 + lambda cos theta)^zeta does where its base reaches zero.

    For lambda = +-1 that is a collinear triple, where the base is delta^2 / 2 in the deviation delta; beyond,
    a power that is clipped.
    """
    if abs(f.lam) < 1:
        return []
    if abs(f.lam) == 1:  # |delta|^(2 zeta) is analytic for whole zeta
        order = math.inf if f.zeta == int(f.zeta) else math.ceil(2 * f.zeta) - 1
        order = -1 if f.zeta < 0 else order  # infinite there
    else:
        order = max(-1, math.ceil(f.zeta) - 1)
    if math.isinf(order):
        return []
    remedy = "choose lambda = 1 or -1 with a whole zeta, and refit"
    return [Ingredient(order, f"angular factor with lambda = {f.lam:g}, zeta = {f.zeta:g}", remedy)]


def _compact(f: SymmetryFunction) -> list[Ingredient]:
    radial_centre = f.rl + f.cutoff != 0  # a window about r = 0 has no centre at any r > 0
    order = min(CORE_EDGE[f.subtype], CORE_CENTER[f.subtype] if radial_centre else math.inf)
    found = [Ingredient(order, f"radial core {f.subtype} of compact functions", _OTHER_CORE)]
    if f.type in ANGULAR:
        core = f.subtype.removesuffix("a")  # the asymmetry is in the radial part only
        order = min(CORE_EDGE[core], CORE_CENTER[core])
        found.append(Ingredient(order, f"angular core {core} of compact functions", _OTHER_CORE))
    return found


def by_function(model: HDNNPModel) -> dict[str, tuple[Ingredient, ...]]:
    """For each element, what limits the smoothness of each of its symmetry functions."""
    return {
        symbol: tuple(
            min(function_ingredients(f, model.cutoff_type, model.cutoff_alpha), default=_SMOOTH)
            for f in element.functions
        )
        for symbol, element in model.elements.items()
    }


# --- Lines of text ----------------------------------------------------------------------------------------


def describe(model: HDNNPModel, cutoff: float) -> list[str]:
    """Units, functions, networks and smoothness; cutoff in Å."""
    lines = [*_summary(model, cutoff), "", *_smoothness(model)]
    for symbol, element in model.elements.items():
        lines += ["", *_functions(symbol, element, model)]
    return lines


def _summary(model: HDNNPModel, cutoff: float) -> list[str]:
    length = length_in_angstrom(model.length_unit)
    if model.normalized:
        normalization = (
            f"mean_energy {model.mean_energy!r} {model.energy_unit}, conv_energy {model.conv_energy!r}, "
            f"conv_length {model.conv_length!r}"
        )
    else:
        normalization = "none"
    scaling = model.scaling_mode
    if scaling not in ("none", "center"):
        scaling += f", to {model.scale_min:g} .. {model.scale_max:g}"
    lines = [
        f"Potential     {model.source} (HDNNP)",
        f"Units         {model.length_unit}, {model.energy_unit}",
        f"Elements      {' '.join(model.elements)}",
        f"Cutoff        {cutoff:.6g} Å, the largest of all functions ({cutoff / length:.6g} {model.length_unit})",
        f"Cutoff type   {model.cutoff_type} ({CUTOFF_NAMES[model.cutoff_type]}), inner cutoff alpha"
        f" {model.cutoff_alpha:g}",
        f"Scaling       {scaling}",
        f"Normalization {normalization}",
        "",
        f"{'Network':<9}{'nodes':<20}{'activations':<28}{'parameters':>10}   offset / {model.energy_unit}",
    ]
    for symbol, element in model.elements.items():
        network = element.network
        nodes = "-".join(str(n) for n in [len(network.weights[0]), *(w.shape[1] for w in network.weights)])
        names = ", ".join(ACTIVATION_NAMES[letter] for letter in network.activations)
        size = sum(w.size for w in network.weights) + sum(b.size for b in network.biases)
        lines.append(f"{symbol:<9}{nodes:<20}{names:<28}{size:>10}   {element.atom_energy!r}")
    if any(element.network.normalize_nodes for element in model.elements.values()):
        lines.append("normalize_nodes: pre-activations are divided by the number of inputs")
    return lines


def _smoothness(model: HDNNPModel) -> list[str]:
    found = ingredients(model)
    lines = [f"Smoothness    the energy is {order_name(found[0].order)}, limited by the {found[0].what}"]
    lines += [f"              {order_name(one.order):<13} {one.what}" for one in found]
    return lines


_HEADINGS = {
    "eta": "eta",
    "rs": "rs",
    "lam": "lambda",
    "zeta": "zeta",
    "rl": "rl",
    "theta_l": "theta_l",
    "theta_r": "theta_r",
    "subtype": "core",
}


def _parameters(f: SymmetryFunction) -> tuple[str, ...]:
    """Names of the parameters that a function of this type has, besides its cutoff."""
    if f.type in COMPACT:
        return ("rl", "theta_l", "theta_r", "subtype") if f.type in ANGULAR else ("rl", "subtype")
    return ("eta", "rs", "lam", "zeta") if f.type in ANGULAR else ("eta", "rs")


def _kind(f: SymmetryFunction) -> str:
    words = ["compact"] if f.type in COMPACT else []
    words += ["weighted"] if f.type in WEIGHTED else []
    words += ["angular, narrow" if f.type in NARROW else "angular, wide"] if f.type in ANGULAR else ["radial"]
    return " ".join(words)


def _functions(symbol: str, element: ElementModel, model: HDNNPModel) -> list[str]:
    """The table of one element's symmetry functions in the potential's order, with their scaling."""
    used = {name for f in element.functions for name in _parameters(f)}
    columns = [name for name in _HEADINGS if name in used]
    head = [
        "#",
        "type",
        "neighbors",
        "cutoff",
        *(_HEADINGS[c] for c in columns),
        "min",
        "max",
        "mean",
        "sigma",
        "",
    ]
    rows = [head]
    for k, (f, scaling) in enumerate(zip(element.functions, element.scaling, strict=True), start=1):
        values = [_text(getattr(f, c)) if c in _parameters(f) else "" for c in columns]
        numbers = ["" if np.isnan(v) else f"{v:.6g}" for v in scaling]
        rows.append(
            [
                str(k),
                str(f.type),
                " ".join(f.neighbors) or "all",
                _text(f.cutoff),
                *values,
                *numbers,
                _kind(f),
            ]
        )
    widths = [max(len(row[c]) for row in rows) for c in range(len(head))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row[:-1], widths, strict=False)) for row in rows]
    lines = [f"{line}  {row[-1]}".rstrip() for line, row in zip(lines, rows, strict=True)]
    title = (
        f"Symmetry functions of {symbol}, in the potential's order (lengths in {model.length_unit}, angles in degrees)"
    )
    constant = without_spread(element, model)
    notes = [f"constant in the training data: {', '.join(map(str, constant + 1))}"] if len(constant) else []
    return [title, *lines, *notes]


def _text(value) -> str:
    return value if isinstance(value, str) else f"{value:.8g}"
