"""Writing a potential directory that n2p2, RuNNer's relatives and `read_potential` understand."""

import re
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from mdnnp.base import units
from mdnnp.base.errors import InputError, MdnnpWarning
from mdnnp.base.files import new_directory
from mdnnp.base.inputs.toml import toml_value
from mdnnp.potentials.hdnnp.files.function_lines import FIELD_NAMES, FUNCTION_ARGUMENTS
from mdnnp.potentials.hdnnp.files.reader import SIDECAR, TERMS_FILE
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.model import ChargeModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network

_FLAGS = {
    "none": (),
    "scale": ("scale_symmetry_functions",),
    "center": ("center_symmetry_functions",),
    "scalecenter": ("scale_symmetry_functions", "center_symmetry_functions"),
    "scalesigma": ("scale_symmetry_functions_sigma",),
}
_BELONGS = re.compile(
    r"input\.nn|scaling\.data|(weightse?|hardness)\.\d{3}\.data|" + re.escape(SIDECAR) + "|" + re.escape(TERMS_FILE)
)


def belongs(name: str) -> bool:
    """Whether a file of this name is one of a potential directory's, which overwriting may delete."""
    return bool(_BELONGS.fullmatch(name))


def write_potential(
    model: HDNNPModel,
    path: str | Path,
    *,
    overwrite: bool = False,
    provenance: Mapping[str, str | int | float | bool] | None = None,
    terms: bytes | None = None,
    charges: ChargeModel | None = None,
) -> None:
    """Write `model` as a directory; `read_potential(path)` gives the same numbers back, to the last bit.

    charges : of a potential with charges (`read_charged`), whose short-range networks may have an input more
    overwrite : replace a potential that is there (never a directory that holds anything else)
    provenance : where the potential comes from, written to mdnnp.toml with the units
    terms : contents of the file TERMS_FILE, terms that belong to the potential
    The directory appears complete or not at all. Raises FileError if it exists or cannot be written,
    InputError for a model that the format cannot hold. Warns where n2p2 itself would read the files
    differently.
    """
    _check_model(model, 0 if charges is None else charges.extra_inputs)
    files = {
        "input.nn": _input_nn(model, charges),
        "scaling.data": _scaling(model),
        SIDECAR: _sidecar(model, provenance or {}),
    }
    for symbol, element in model.elements.items():
        files[f"weights.{atomic_numbers[symbol]:03d}.data"] = _weights(element.network)
    if charges is not None:
        _check_charges(model, charges)
        for symbol, network in charges.networks.items():
            files[f"weightse.{atomic_numbers[symbol]:03d}.data"] = _weights(network)
        for symbol, value in charges.hardness.items():
            files[f"hardness.{atomic_numbers[symbol]:03d}.data"] = f"{value:24.16E}\n"
    with new_directory(path, overwrite, belongs) as directory:
        for name, text in files.items():
            (directory / name).write_text(text, encoding="utf-8", newline="\n")
        if terms is not None:
            (directory / TERMS_FILE).write_bytes(terms)


def _check_charges(model: HDNNPModel, charges: ChargeModel) -> None:
    """Refuse charges that could not be read back."""
    kinds = [list(charges.networks)]
    if charges.generation == "4G":
        kinds += [list(charges.hardness), list(charges.widths)]
    if any(symbols != list(model.elements) for symbols in kinds):
        raise InputError(f"{model.source}: charges need a network, hardness and width for each of the elements")
    for symbol, network in charges.networks.items():
        _check_network(f"{model.source}: charges of {symbol}", len(model.elements[symbol].functions), network)


def _check_model(model: HDNNPModel, extra: int = 0) -> None:
    """Refuse a model that could not be read back; extra : inputs of networks that are no symmetry functions."""
    units.length_in_angstrom(model.length_unit)
    units.energy_in_ev(model.energy_unit)
    if len({element.network.normalize_nodes for element in model.elements.values()}) > 1:
        raise InputError(f"{model.source}: normalize_nodes differs between elements, which the format cannot express")
    for symbol, element in model.elements.items():
        where, network = f"{model.source}: element {symbol}", element.network
        _check_network(where, len(element.functions) + extra, network)
        if element.scaling.shape != (len(element.functions), 4) or not np.isfinite(element.scaling[:, :3]).all():
            raise InputError(f"{where}: the scaling data must be {len(element.functions)} rows of finite numbers")
        if list(element.functions) != sorted(element.functions, key=SymmetryFunction.sort_key):
            raise InputError(f"{where}: the symmetry functions are not in the potential's order (sort_key)")


def _check_network(where: str, n_inputs: int, network: Network) -> None:
    sizes = [n_inputs, *(w.shape[1] for w in network.weights)]
    layers = list(pairwise(sizes))
    if (
        [w.shape for w in network.weights] != layers
        or [b.shape for b in network.biases] != [(n_out,) for _, n_out in layers]
        or len(network.activations) != len(layers)
        or len(layers) < 2
        or sizes[-1] != 1
    ):
        raise InputError(
            f"{where}: the network's layers {[w.shape for w in network.weights]} do not lead from "
            f"{n_inputs} inputs over a hidden layer to one output"
        )
    if not all(np.isfinite(array).all() for array in (*network.weights, *network.biases)):
        raise InputError(f"{where}: the network has weights that are not finite numbers")


def _charge_lines(charges: ChargeModel, normalized: bool) -> list[str]:
    """What `input.nn` says of charges. n2p2 stops its Ewald sums where it is told to; it needs to be told."""
    types = {"4G": "4G-HDNNP", "Q": "Q-HDNNP", "3G": "3"}
    lines = [f"{'nnp_type':<36}{types[charges.generation]}"]
    if normalized:
        lines.append(f"{'conv_charge':<36}{float(charges.conv_charge)!r}")
    lines.append(f"{'four_pi_epsilon':<36}{float(charges.four_pi_epsilon)!r}")
    lines += [f"{'fixed_gausswidth':<36}{symbol:<2} {float(width)!r}" for symbol, width in charges.widths.items()]
    if charges.screening is not None:
        inner, outer, core = charges.screening
        lines.append(f"{'screen_electrostatics':<36}{float(inner)!r} {float(outer)!r} {core}")
    lines += [f"{'ewald_truncation_error_method':<36}0", f"{'ewald_prec':<36}1.0E-10"]
    return lines + _topology_lines(charges.networks, "electrostatic")


def _input_nn(model: HDNNPModel, charges: ChargeModel | None) -> str:
    symbols = list(model.elements)
    lines = [
        "# High-dimensional neural network potential, written by mdnnp.",
        f"# Length unit: {model.length_unit}; energy unit: {model.energy_unit}",
        "",
    ]
    if model.normalized:
        lines += [f"{key:<36}{float(getattr(model, key))!r}" for key in ("mean_energy", "conv_energy", "conv_length")]
    lines += [f"{'number_of_elements':<36}{len(symbols)}", f"{'elements':<36}{' '.join(symbols)}"]
    lines += [
        f"{'atom_energy':<36}{symbol:<2} {float(element.atom_energy)!r}"
        for symbol, element in model.elements.items()
        if element.atom_energy != 0.0
    ]
    lines.append(f"{'cutoff_type':<36}{model.cutoff_type} {float(model.cutoff_alpha)!r}")
    lines += _FLAGS[model.scaling_mode]
    lines += [f"{key:<36}{float(getattr(model, key[:9]))!r}" for key in ("scale_min_short", "scale_max_short")]
    lines += _topology_lines({symbol: element.network for symbol, element in model.elements.items()}, "short")
    if charges is not None:
        lines += _charge_lines(charges, model.normalized)
    lines.append("")
    lines += [function_line(f) for element in model.elements.values() for f in element.functions]
    return "\n".join(lines) + "\n"


def _topology_lines(networks: dict[str, Network], kind: str) -> list[str]:
    """The topology of the first element as the global one; overrides for elements that differ from it."""
    nodes = {symbol: [str(w.shape[1]) for w in network.weights[:-1]] for symbol, network in networks.items()}
    letters = {symbol: " ".join(network.activations) for symbol, network in networks.items()}
    first = next(iter(networks))
    lines = [
        f"{f'global_hidden_layers_{kind}':<36}{len(nodes[first])}",
        f"{f'global_nodes_{kind}':<36}{' '.join(nodes[first])}",
        f"{f'global_activation_{kind}':<36}{letters[first]}",
    ]
    for symbol in networks:
        if len(nodes[symbol]) != len(nodes[first]):
            lines.append(f"{f'element_hidden_layers_{kind}':<36}{symbol:<2} {len(nodes[symbol])}")
        if nodes[symbol] != nodes[first]:
            lines.append(f"{f'element_nodes_{kind}':<36}{symbol:<2} {' '.join(nodes[symbol])}")
        if letters[symbol] != letters[first]:
            lines.append(f"{f'element_activation_{kind}':<36}{symbol:<2} {letters[symbol]}")
    if len(lines) > 3:
        warnings.warn(
            "the networks of the elements differ in shape or activations; n2p2 misreads such potentials "
            "(mdnnp does not)",
            MdnnpWarning,
            stacklevel=4,
        )
    if networks[first].normalize_nodes and kind == "short":
        lines.append("normalize_nodes")
    return lines


def function_line(f: SymmetryFunction) -> str:
    """The line of `input.nn` that defines a function."""
    neighbors = iter(f.neighbors)
    words = [f"symfunction_short {f.center:<2} {f.type:>2}"]
    for name in FUNCTION_ARGUMENTS[f.type].split():
        if name in ("e1", "e2"):
            words.append(f"{next(neighbors):<2}")
        elif name == "subtype":
            words.append(f.subtype)
        elif name != "[rs]" or f.rs != 0.0:
            plain = name.strip("[]")
            words.append(repr(float(getattr(f, FIELD_NAMES.get(plain, plain)))))
    return " ".join(words)


def _scaling(model: HDNNPModel) -> str:
    lines = [
        "# Raw symmetry functions: element and function (from 1, elements by atomic number), min, max, mean, sigma"
    ]
    for e, element in enumerate(model.elements.values()):
        for i, row in enumerate(element.scaling):
            values = row if np.isfinite(row[3]) else row[:3]
            lines.append(f"{e + 1:10d} {i + 1:10d} " + " ".join(f"{value:24.16E}" for value in values))
    return "\n".join(lines) + "\n"


def _weights(network: Network) -> str:
    """Weights and biases with n2p2's columns: value, kind, number, layer and node of source and target."""
    lines = ["# Weights (a) and biases (b): value, kind, number, [source layer, node,] target layer, node"]
    number = 0
    for m, (weights, biases) in enumerate(zip(network.weights, network.biases, strict=True)):
        for j, row in enumerate(weights):
            for k, value in enumerate(row):
                number += 1
                lines.append(f"{value:24.16E} a {number:9d} {m:5d} {j + 1:5d} {m + 1:5d} {k + 1:5d}")
        for k, value in enumerate(biases):
            number += 1
            lines.append(f"{value:24.16E} b {number:9d} {m + 1:5d} {k + 1:5d}")
    return "\n".join(lines) + "\n"


def _sidecar(model: HDNNPModel, provenance: Mapping) -> str:
    lines = [
        "# Native units of the potential in this directory; n2p2's own files do not state them.",
        f"length_unit = {toml_value(model.length_unit)}",
        f"energy_unit = {toml_value(model.energy_unit)}",
    ]
    if provenance:
        lines += [
            "",
            "[provenance]",
            *(f"{toml_value(key)} = {toml_value(value)}" for key, value in provenance.items()),
        ]
    return "\n".join(lines) + "\n"
