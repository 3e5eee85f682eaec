"""What a potential is made of, as text: the verb `mdnnp info`."""

import numpy as np

from mdnnp.acsf.functions import ANGULAR, COMPACT, CUTOFF_NAMES, NARROW, WEIGHTED, SymmetryFunction
from mdnnp.committee import Committee
from mdnnp.mlp import ACTIVATION_NAMES
from mdnnp.model import ElementModel, HDNNPModel, without_spread
from mdnnp.potential import HDNNP, LennardJones
from mdnnp.smoothness import causes, order_name
from mdnnp.units import length_in_angstrom


def describe(potential: HDNNP | Committee | LennardJones) -> str:
    """A report on a potential, as lines of text; of a committee, on its first member."""
    if isinstance(potential, Committee):
        shared = "the same" if potential.shares_functions else "different"
        head = f"Committee     {potential.source}: {len(potential.members)} members with {shared} symmetry functions"
        return f"{head}; the first:\n\n{describe(potential.members[0])}"
    if isinstance(potential, LennardJones):
        return "\n".join(_describe_lennard_jones(potential))
    model = potential.model
    lines = [*_summary(potential), "", *_smoothness(model)]
    for symbol, element in model.elements.items():
        lines += ["", *_functions(symbol, element, model)]
    return "\n".join(lines)


def _describe_lennard_jones(potential: LennardJones) -> list[str]:
    lines = [
        f"Potential     {potential.source} (Lennard-Jones)",
        "Units         Angstrom, eV",
        f"Cutoff        {potential.cutoff:g} Å, smoothing {potential.smoothing}"
        f" (between {potential.inner_cutoff:g} Å and the cutoff)",
    ]
    for symbol, (epsilon, sigma) in potential.parameters.items():
        lines.append(f"{symbol:<13} epsilon {epsilon:.9g} eV, sigma {sigma:.9g} Å")
    return lines


def _summary(potential: HDNNP) -> list[str]:
    model = potential.model
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
        f"Cutoff        {potential.cutoff:.6g} Å, the largest of all functions"
        f" ({potential.cutoff / length:.6g} {model.length_unit})",
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
    found = causes(model)
    lines = [f"Smoothness    the energy is {order_name(found[0].order)}, limited by the {found[0].what}"]
    lines += [f"              {order_name(cause.order):<13} {cause.what}" for cause in found]
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
    notes = (
        [f"without spread in the training data, so constant: {', '.join(map(str, constant + 1))}"]
        if len(constant)
        else []
    )
    return [title, *lines, *notes]


def _text(value) -> str:
    return value if isinstance(value, str) else f"{value:.8g}"
