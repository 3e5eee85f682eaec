"""The directory of a graph potential: `graph.toml`, what it is, and `weights.h5`, its numbers.

graph.toml states the version of the format, units, elements with their energy offsets, sizes, and where the potential
comes from. weights.h5 holds a group for each network, network-1 and so on, whose energies add up: the array
`embedding` (elements, channels) and the groups layer-1, layer-2, ... with the arrays of `model.Layer`, all float64.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from mdnnp.base.errors import FileError, InputError
from mdnnp.base.files import new_directory, require_regular
from mdnnp.base.inputs.toml import Document, read_toml, toml_value
from mdnnp.potentials.graph.model import GraphModel, Layer, layer_shapes
from mdnnp.potentials.hdnnp.files.reader import TERMS_FILE
from mdnnp.potentials.hdnnp.functions.definitions import LARGEST_CUTOFF

HEADER, WEIGHTS = "graph.toml", "weights.h5"
VERSION = 1
_SIZES = {"layers": 8, "channels": 256, "radial": 64, "degree": 8, "hidden": 1024, "networks": 64}  # with limits


def belongs_to_graph(name: str) -> bool:
    """Whether a file of this name is one of a graph potential's directory, which overwriting may delete."""
    return name in (HEADER, WEIGHTS, TERMS_FILE)


def write_graph(
    models: Sequence[GraphModel],
    path: str | Path,
    *,
    overwrite: bool = False,
    provenance: Mapping[str, str | int | float | bool] | None = None,
    terms: bytes | None = None,
) -> None:
    """Write the models, whose energies add up, as a directory; `read_graph(path)` gives the same numbers back.

    overwrite, provenance, terms : as `hdnnp.files.writer.write_potential`
    The directory appears complete or not at all. Raises FileError if it exists or cannot be written, InputError for
    models of different sizes.
    """
    first = models[0]
    if any(_sizes(m) != _sizes(first) or m.numbers != first.numbers or m.cutoff != first.cutoff for m in models):
        raise InputError("the networks of a graph potential must be of the same sizes")
    with new_directory(path, overwrite, belongs_to_graph) as directory:
        (directory / HEADER).write_text(_header(models, provenance or {}), encoding="utf-8", newline="\n")
        with h5py.File(directory / WEIGHTS, "w") as file:
            for k, model in enumerate(models, start=1):
                group = file.create_group(f"network-{k}")
                group["embedding"] = model.embedding
                for j, layer in enumerate(model.layers, start=1):
                    own = group.create_group(f"layer-{j}")
                    for name, values in layer._asdict().items():
                        own[name] = values
        if terms is not None:
            (directory / TERMS_FILE).write_bytes(terms)


def _sizes(model: GraphModel) -> dict[str, int]:
    layer = model.layers[0]
    return {
        "layers": len(model.layers),
        "channels": model.channels,
        "radial": len(layer.radial),
        "degree": model.degree,
        "hidden": layer.first.shape[1],
    }


def _header(models: Sequence[GraphModel], provenance: Mapping[str, str | int | float | bool]) -> str:
    model = models[0]
    offsets = {chemical_symbols[z]: float(e) for z, e in zip(model.numbers, model.offsets, strict=True)}
    lines = [
        "# A graph potential of mdnnp; its weights are in weights.h5.",
        f"format_version = {VERSION}",
        'length_unit = "Angstrom"',
        'energy_unit = "eV"',
        f"offsets_eV = {toml_value(offsets)}",
        f"cutoff_A = {toml_value(float(model.cutoff))}",
        f"scale = {toml_value(float(model.scale))}",
        *(f"{name} = {size}" for name, size in _sizes(model).items()),
        f"networks = {len(models)}",
    ]
    if provenance:
        lines += ["", "[provenance]", *(f"{toml_value(k)} = {toml_value(v)}" for k, v in provenance.items())]
    return "\n".join(lines) + "\n"


def read_graph(path: str | Path) -> tuple[GraphModel, ...]:
    """The models of a directory, whose energies add up.

    Raises InputError, naming file and entry, for what is missing, unknown or of the wrong kind; FileError for files
    that cannot be read.
    """
    directory = Path(path)
    header = read_toml(directory / HEADER)
    values = _checked(directory / HEADER, header)
    offsets = values["offsets"]
    numbers = tuple(sorted(offsets))
    sizes = {name: values[name] for name in _SIZES}
    shapes = layer_shapes(sizes["layers"], sizes["channels"], sizes["radial"], sizes["degree"], sizes["hidden"])
    require_regular(directory / WEIGHTS)
    try:
        with h5py.File(directory / WEIGHTS, "r") as file:
            models = []
            for k in range(1, sizes["networks"] + 1):
                where = f"network-{k}"
                embedding = _array(directory, file, f"{where}/embedding", (len(numbers), sizes["channels"]))
                layers = tuple(
                    Layer(*(_array(directory, file, f"{where}/layer-{j}/{n}", s) for n, s in own.items()))
                    for j, own in enumerate(shapes, start=1)
                )
                models.append(
                    GraphModel(
                        numbers,
                        np.array([offsets[z] for z in numbers]),
                        values["cutoff_A"],
                        sizes["degree"],
                        values["scale"],
                        embedding,
                        layers,
                    )
                )
    except OSError as error:
        raise FileError(f"{directory / WEIGHTS}: cannot be read as HDF5: {error}") from None
    return tuple(models)


def _array(directory: Path, file: h5py.File, name: str, shape: tuple[int, ...]) -> np.ndarray:
    where = f"{directory / WEIGHTS}: {name}"
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{where} is missing, expected an array {shape}")
    if found.shape != shape or found.dtype != np.float64:
        raise InputError(f"{where} is an array {found.shape} of {found.dtype}, expected {shape} of float64")
    values = found[()]
    if not np.isfinite(values).all() or np.abs(values).max(initial=0.0) > 1e30:
        raise InputError(f"{where} holds values that are not finite numbers of a usual size")
    return values


def _checked(path: Path, header: Document) -> dict[str, Any]:
    """The values of graph.toml, checked; `offsets` by atomic number. Raises InputError with file and line."""
    top = {key[0]: value for key, value in header.values.items() if len(key) == 1}
    offsets: dict[str, Any] = {
        key[1]: value for key, value in header.values.items() if len(key) == 2 and key[0] == "offsets_eV"
    }

    def wrong(name: str, expected: str) -> InputError:
        at = header.at((name,)) if (name,) in header.lines else str(path)
        found = f"found {top[name]!r}" if name in top else "it is missing"
        return InputError(f"{at}: {name} must be {expected}, {found}")

    if top.get("format_version") != VERSION:
        raise wrong("format_version", f"{VERSION}, the version that this program reads")
    for name, unit in (("length_unit", "Angstrom"), ("energy_unit", "eV")):
        if top.get(name) != unit:
            raise wrong(name, f'"{unit}"')
    for name, most in _SIZES.items():
        value, least = top.get(name), 0 if name == "degree" else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(name, f"a whole number from {least} to {most}")
    for name, most_real in (("cutoff_A", LARGEST_CUTOFF), ("scale", 1e3)):
        value = top.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= most_real:
            raise wrong(name, f"a number above 0, up to {most_real:g}")
    if not offsets:
        raise InputError(f"{path}: offsets_eV is missing: the energy of an atom of each element, in eV")
    for symbol, value in offsets.items():
        if atomic_numbers.get(symbol, 0) == 0:
            raise InputError(f"{path}: offsets_eV: {symbol!r} is no chemical element")
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            raise InputError(f"{path}: offsets_eV: {symbol} must be a number, found {value!r}")
    return {**top, "offsets": {atomic_numbers[symbol]: float(value) for symbol, value in offsets.items()}}
