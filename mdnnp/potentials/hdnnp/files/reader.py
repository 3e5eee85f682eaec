"""Reading a potential directory: `input.nn`, `scaling.data`, `weights.ZZZ.data` and our own sidecar.

RuNNer's `optweights.ZZZ.out`, the best of a fit, stand for the weights where none were renamed.

n2p2 checks little of what it reads (a short weights file is undefined behaviour); here every file must be
exactly what the others say it is.
"""

import re
import tomllib
import warnings
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from mdnnp.base import units
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.text_files import Mistake, Mistakes, read_lines, to_float, to_int
from mdnnp.potentials.hdnnp.files.settings import Settings, Topology, read_settings
from mdnnp.potentials.hdnnp.model import ChargeModel, ElementModel, HDNNPModel, without_spread
from mdnnp.potentials.hdnnp.networks import Network

SIDECAR = "mdnnp.toml"  # states the units, which no file of n2p2's does; written by `write_potential`
TERMS_FILE = "terms.toml"  # terms that are added to the network, see docs/guide/potentials.md


def read_potential(path: str | Path, length_unit: str | None = None, energy_unit: str | None = None) -> HDNNPModel:
    """Read a short-range (second-generation) n2p2 or RuNNer potential directory.

    length_unit, energy_unit : its native units ("Bohr", "Hartree", ...); may be left out if the directory has
        a sidecar file that states them
    Raises InputError, naming file and line, for anything wrong, unsupported or unknown in its files, for
    files or units missing; FileError if there is no such directory or a file cannot be read. Warns
    (MdnnpWarning) of symmetry functions without spread in scaling.data, and of elements that see no neighbour.
    """
    directory = Path(path)
    _require_directory(directory)
    return _read_short(directory, read_settings(directory / "input.nn"), length_unit, energy_unit)


def read_charged(
    path: str | Path, length_unit: str | None = None, energy_unit: str | None = None
) -> tuple[HDNNPModel, ChargeModel]:
    """Read a directory of n2p2 or RuNNer of a potential with charges: the short-range part, and the charges.

    Arguments and exceptions are those of `read_potential`.
    """
    directory = Path(path)
    _require_directory(directory)
    settings = read_settings(directory / "input.nn", charged=True)
    model = _read_short(directory, settings, length_unit, energy_unit)
    charges = settings.charges
    return model, ChargeModel(
        networks={
            symbol: _read_network(
                _charge_file(directory, symbol, "weightse"),
                symbol,
                settings,
                len(settings.functions[symbol]),
                charges.topologies[symbol],
                charges.n2p2_topology[symbol],
            )
            for symbol in settings.elements
        },
        hardness={
            symbol: _read_hardness(_charge_file(directory, symbol, "hardness"))
            for symbol in (settings.elements if charges.generation == "4G" else ())
        },
        widths=charges.widths,
        screening=charges.screening,
        four_pi_epsilon=charges.four_pi_epsilon,
        conv_charge=charges.conv_charge,
        generation=charges.generation,
    )


def _read_short(directory: Path, settings: Settings, length_unit: str | None, energy_unit: str | None) -> HDNNPModel:
    """The functions, scaling and short-range networks."""
    weights = _require_files(directory, settings)
    extra = 0 if settings.charges is None or settings.charges.generation == "3G" else 1  # the charge
    length_unit, energy_unit = _native_units(directory, length_unit, energy_unit)
    scaling = _read_scaling(directory / "scaling.data", settings)
    elements = {
        symbol: ElementModel(
            functions=settings.functions[symbol],
            scaling=scaling[symbol],
            network=_read_network(
                weights[symbol],
                symbol,
                settings,
                len(settings.functions[symbol]) + extra,
                settings.topologies[symbol],
                settings.n2p2_topology[symbol],
            ),
            atom_energy=settings.atom_energy[symbol],
        )
        for symbol in settings.elements
    }
    model = HDNNPModel(
        elements=elements,
        cutoff_type=settings.cutoff_type,
        cutoff_alpha=settings.cutoff_alpha,
        scaling_mode=settings.scaling_mode,
        length_unit=length_unit,
        energy_unit=energy_unit,
        scale_min=settings.scale_min,
        scale_max=settings.scale_max,
        normalized=settings.normalized,
        mean_energy=settings.mean_energy,
        conv_energy=settings.conv_energy,
        conv_length=settings.conv_length,
        source=str(directory),
    )
    _warn_without_spread(directory / "scaling.data", model)
    _warn_of_short_cutoffs(directory / "input.nn", model)
    return model


# -----------------------------------------------------------------------------------------------------------
# The directory


def _require_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    if directory.exists():
        raise InputError(
            f"{directory}: is a file; give the directory that holds input.nn, scaling.data and the weights"
        )
    raise FileError(f"{directory}: no such directory")


def weights_files(directory: Path, symbols: Iterable[str]) -> dict[str, Path]:
    """The files of weights, by element: `weights.ZZZ.data`, or `optweights.ZZZ.out` if there is none of the former."""
    pattern = "weights.{:03d}.data"
    if not any(directory.glob("weights.*.data")) and any(directory.glob("optweights.*.out")):
        pattern = "optweights.{:03d}.out"
    return {symbol: directory / pattern.format(atomic_numbers[symbol]) for symbol in symbols}


def _charge_file(directory: Path, symbol: str, kind: str) -> Path:
    return directory / f"{kind}.{atomic_numbers[symbol]:03d}.data"


def _require_files(directory: Path, settings: Settings) -> dict[str, Path]:
    """The files of weights. Every file that is needed must be there, and none that says the potential has charges."""
    weights = weights_files(directory, settings.elements)
    kinds: tuple[str, ...] = ()
    if settings.charges is not None:
        kinds = ("weightse", "hardness") if settings.charges.generation == "4G" else ("weightse",)
    of_charges = [_charge_file(directory, symbol, kind) for kind in kinds for symbol in settings.elements]
    missing = [p.name for p in (directory / "scaling.data", *weights.values(), *of_charges) if not p.exists()]
    if missing:
        message = f"{directory}: missing for the elements {' '.join(settings.elements)}: {', '.join(missing)}"
        epochs = [p.name for pattern in ("weights.*.out", "*.short.*.out") for p in sorted(directory.glob(pattern))]
        if epochs:
            message += f"; files of n2p2's or RuNNer's epochs must be renamed: copy those of one, such as {epochs[-1]}"
        raise InputError(message)
    charges = sorted(path.name for path in directory.glob("hardness.*.data"))
    if charges and not settings.generation_stated:
        raise InputError(
            f"{directory}: holds {charges[0]}, so it looks like a fourth-generation potential (charges), "
            "but input.nn does not say so; state nnp_type 4 there, or nnp_type 2 if it is none"
        )
    return weights


# -----------------------------------------------------------------------------------------------------------
# Units


def _native_units(directory: Path, length_unit: str | None, energy_unit: str | None) -> tuple[str, str]:
    """The units given by caller or sidecar, which must agree; InputError for a unit that neither states."""
    sidecar = directory / SIDECAR
    stated = _read_sidecar(sidecar) if sidecar.exists() else {}
    found = {}
    for key, given, value in (
        ("length_unit", length_unit, units.length_in_angstrom),
        ("energy_unit", energy_unit, units.energy_in_ev),
    ):
        if given is not None and key in stated and value(given) != value(stated[key]):
            raise InputError(
                f"{directory}: {key} is given as {given!r}, but {sidecar} states {stated[key]!r}; remove "
                "the unit, or correct the file"
            )
        found[key] = stated.get(key, given)
        if found[key] is not None:
            value(found[key])
    missing = [key for key, unit in found.items() if unit is None]
    if missing:
        what = " and ".join(key.replace("_", " ") for key in missing)
        raise InputError(
            f"{directory}: {what} not known: the files of n2p2 and RuNNer state no units, and they are not "
            "guessed. Give "
            "them, for example --length-unit Bohr --energy-unit Hartree (in Python length_unit=, "
            "energy_unit=), or put "
            f"them into {sidecar}, for example the two lines"
            '\n    length_unit = "Bohr"\n    energy_unit = "Hartree"' + _unit_comments(directory / "input.nn")
        )
    return found["length_unit"], found["energy_unit"]


def _read_sidecar(path: Path) -> dict[str, str]:
    try:
        data = tomllib.loads("\n".join(read_lines(path)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    unknown = sorted(set(data) - {"length_unit", "energy_unit", "provenance"})
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; known: length_unit, energy_unit, [provenance]")
    stated: dict[str, str] = {key: data[key] for key in ("length_unit", "energy_unit") if key in data}
    for key, convert in (("length_unit", units.length_in_angstrom), ("energy_unit", units.energy_in_ev)):
        if key in stated:
            try:
                convert(stated[key])
            except InputError as error:
                raise InputError(f"{path}: {key}: {error}") from None
    return stated


def _unit_comments(path: Path) -> str:
    """What comments of input.nn say of units: evidence for the user, not for the program."""
    rows = [
        (n, row.strip(" #!\t")) for n, row in enumerate(read_lines(path), start=1) if row.lstrip()[:1] in ("#", "!")
    ]
    said = [f"\n  {path}:{n} remarks: {row}" for n, row in rows if re.search(r"\bunits?\b", row, re.IGNORECASE)]
    return "".join(said[:4])


# -----------------------------------------------------------------------------------------------------------
# scaling.data


def _read_scaling(path: Path, settings: Settings) -> dict[str, np.ndarray]:
    """(n_functions, 4) min, max, mean, sigma per element; sigma is NaN where the file has no such column."""
    expected = [
        (e + 1, i + 1) for e, symbol in enumerate(settings.elements) for i in range(len(settings.functions[symbol]))
    ]
    rows = [
        (number, row.split())
        for number, row in enumerate(read_lines(path), start=1)
        if row.strip() and not row.lstrip().startswith("#")
    ]
    if len(rows) == len(expected) + 1 and len(rows[-1][1]) == 2:
        rows.pop()  # RuNNer ends the file with the range of energies
    mistakes = Mistakes(path)
    values = np.full((len(expected), 4), np.nan)
    for k, ((number, tokens), indices) in enumerate(zip(rows, expected, strict=False)):
        try:
            _check_scaling_indices(tokens, indices)
            row = [to_float(token) for token in tokens[2:]]
            values[k, : len(row)] = row
            _check_scaling_row(values[k], settings.scaling_mode)
        except Mistake as mistake:
            mistakes.add(number, mistake)
    if len(rows) != len(expected):
        counts = " + ".join(f"{len(settings.functions[s])} for {s}" for s in settings.elements)
        line = rows[len(expected)][0] if len(rows) > len(expected) else 0
        mistakes.add(
            line,
            f"expected {len(expected)} rows, one per symmetry function of input.nn ({counts}), found "
            f"{len(rows)}; does the "
            "file belong to this input.nn?",
        )
    mistakes.raise_any()
    bounds = np.cumsum([0, *(len(settings.functions[s]) for s in settings.elements)])
    return {s: values[bounds[e] : bounds[e + 1]] for e, s in enumerate(settings.elements)}


def _check_scaling_indices(tokens: list[str], indices: tuple[int, int]) -> None:
    if len(tokens) not in (5, 6):
        raise Mistake(f"expected 5 or 6 columns (element, function, min, max, mean, sigma), found {len(tokens)}")
    found = (to_int(tokens[0], "the number of the element"), to_int(tokens[1], "the number of the function"))
    if found != indices:
        raise Mistake(
            f"expected element {indices[0]}, function {indices[1]} (counted from 1, elements in order of "
            "atomic number), "
            f"found element {found[0]}, function {found[1]}"
        )


def _check_scaling_row(row: np.ndarray, mode: str) -> None:
    low, high, _, sigma = row
    if low > high:
        raise Mistake(f"min = {low:g} is above max = {high:g}")
    if sigma < 0.0:
        raise Mistake(f"sigma = {sigma:g} is negative")
    if mode == "scalesigma" and np.isnan(sigma):
        raise Mistake("scale_symmetry_functions_sigma needs a sixth column, sigma; found 5 columns")


def _warn_without_spread(path: Path, model: HDNNPModel) -> None:
    quantity = "sigma = 0" if model.scaling_mode == "scalesigma" else "min = max"
    for symbol, element in model.elements.items():
        constant = without_spread(element, model)
        if len(constant):
            numbers = ", ".join(str(i + 1) for i in constant[:10]) + (", ..." if len(constant) > 10 else "")
            warnings.warn(
                f"{path}: {quantity} for element {symbol}, function {numbers}: it cannot be scaled and is set to the "
                f"constant {model.scale_min:g} (n2p2 divides by zero here)",
                MdnnpWarning,
                stacklevel=3,
            )


def _warn_of_short_cutoffs(path: Path, model: HDNNPModel) -> None:
    """Warn of elements whose functions end before the nearest atom of any kind could be (covalent radii)."""
    length = units.length_in_angstrom(model.length_unit)
    radii = {symbol: covalent_radii[atomic_numbers[symbol]] for symbol in model.elements}
    for symbol, element in model.elements.items():
        largest = max(f.cutoff for f in element.functions)
        nearest = min(radii, key=radii.get)
        bond = radii[symbol] + radii[nearest]
        if largest * length < bond:
            warnings.warn(
                f"{path}: the largest cutoff of element {symbol} is {largest:g} {model.length_unit} = "
                f"{largest * length:.3g} Å, shorter than a bond {symbol}-{nearest} ({bond:.3g} Å): it sees no "
                "neighbour, and there are no forces; are the cutoffs and the unit of length right?",
                MdnnpWarning,
                stacklevel=3,
            )


# -----------------------------------------------------------------------------------------------------------
# weights.ZZZ.data


def _read_network(
    path: Path, symbol: str, settings: Settings, n_inputs: int, readings: tuple[Topology, ...], of_n2p2: Topology
) -> Network:
    values = _read_weights(path)
    topology = _matching_topology(path, len(values), symbol, n_inputs, readings, of_n2p2)
    weights, biases = [], []
    begin = 0
    for n_in, n_out in _layers(n_inputs, topology):
        end = begin + n_in * n_out
        weights.append(values[begin:end].reshape(n_in, n_out).copy())
        biases.append(values[end : end + n_out].copy())
        begin = end + n_out
    return Network(tuple(weights), tuple(biases), topology.activations, settings.normalize_nodes)


def _read_weights(path: Path) -> np.ndarray:
    """The first column of all lines that are neither empty nor comments."""
    mistakes = Mistakes(path)
    values = []
    for number, row in enumerate(read_lines(path), start=1):
        if row.strip() and not row.lstrip().startswith("#"):
            try:
                values.append(to_float(row.split(maxsplit=1)[0], "a finite number in the first column"))
            except Mistake as mistake:
                mistakes.add(number, mistake)
    mistakes.raise_any()
    return np.array(values)


def _read_hardness(path: Path) -> float:
    """The only number of a hardness file."""
    values = _read_weights(path)
    if len(values) != 1:
        raise InputError(f"{path}: expected one number, the atomic hardness, found {len(values)}")
    if values[0] <= 0.0:
        raise InputError(
            f"{path}: the hardness must be positive, found {values[0]:g}: charges that cost nothing have no equilibrium"
        )
    return float(values[0])


def _layers(n_inputs: int, topology: Topology) -> list[tuple[int, int]]:
    sizes = (n_inputs, *topology.nodes, 1)
    return list(pairwise(sizes))


def _weight_count(n_inputs: int, topology: Topology) -> int:
    return sum((n_in + 1) * n_out for n_in, n_out in _layers(n_inputs, topology))


def _matching_topology(
    path: Path, count: int, symbol: str, n_inputs: int, readings: tuple[Topology, ...], of_n2p2: Topology
) -> Topology:
    """The reading of input.nn's topology that has `count` weights and biases; InputError if there is none."""
    kind = "electrostatic" if path.name.startswith("weightse") else "short"
    fitting = [topology for topology in readings if _weight_count(n_inputs, topology) == count]
    if len(fitting) == 1:
        if fitting[0].activations != of_n2p2.activations:
            warnings.warn(
                f"{path.parent / 'input.nn'}: element_activation_{kind} {symbol}: activations {fitting[0].activations} "
                f"are used as stated; but n2p2 ignores the last letter and takes {of_n2p2.activations[-1]!r} of "
                f"global_activation_{kind} for the output",
                MdnnpWarning,
                stacklevel=4,
            )
        return fitting[0]
    if len(fitting) > 1:
        raise InputError(
            f"{path.parent / 'input.nn'}: element_nodes_{kind} {symbol} can mean either of "
            f"{' or '.join(_shape(n_inputs, t) for t in fitting)}, and {path.name} fits both; write all "
            "layers on one line"
        )
    expected = " or ".join(f"{_weight_count(n_inputs, t)} for {_shape(n_inputs, t)}" for t in readings)
    message = (
        f"{path}: expected {expected} (weights and biases of element {symbol}: {n_inputs} inputs, hidden "
        f"layers, output), found {count} values"
    )
    if any(_weight_count(n_inputs + 1, topology) == count for topology in readings):
        message += "; that is one input more, as in "
        message += (
            "the short-range network, weights.*.data"
            if kind == "electrostatic"
            else "a fourth-generation potential (charges); if it is one, state nnp_type 4"
        )
    elif _weight_count(n_inputs, of_n2p2) == count:
        message += (
            f"; it fits {_shape(n_inputs, of_n2p2)}: n2p2 leaves the last hidden layer at the size of "
            f"global_nodes_{kind}, so "
            f"write element_nodes_{kind} {symbol} {' '.join(map(str, of_n2p2.nodes))}"
        )
    else:
        message += "; does the file belong to this input.nn, and is it complete?"
    raise InputError(message)


def _shape(n_inputs: int, topology: Topology) -> str:
    return "-".join(map(str, (n_inputs, *topology.nodes, 1)))
