"""Writing structures: extended XYZ, n2p2's input.data, and what ASE writes."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ase import units as ase_units
from ase.data import atomic_masses, chemical_symbols

from mdnnp.atoms import input_data
from mdnnp.atoms.input_data import input_data_units
from mdnnp.atoms.labels import as_options, keys_for
from mdnnp.atoms.structure import Structure
from mdnnp.base.errors import InputError, MdnnpWarning, quoted
from mdnnp.base.files import new_file


def write_structures(
    path: str | Path,
    structures: Iterable[Structure],
    *,
    format: str | None = None,
    length_unit: str | None = None,
    energy_unit: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write structures as extended XYZ (all digits), as n2p2's `input.data`, or in any format of ASE's.

    format : "extxyz", "n2p2" or a name that ASE knows; by default what the file name says (.xyz and .extxyz
        are extended XYZ; .data is n2p2's)
    length_unit, energy_unit : units of an `input.data`, needed there and nowhere else
    The file appears complete or not at all. Raises FileError if it exists and `overwrite` is False, or cannot
    be written; InputError for what the format cannot hold. Warns (MdnnpWarning) of what it leaves out.
    """
    path, structures = Path(path), list(structures)
    if not structures:
        raise InputError(f"{path}: there is no structure to write")
    if format is None:
        suffix = path.suffix.lower()
        format = {".xyz": "extxyz", ".extxyz": "extxyz", ".data": "n2p2"}.get(suffix)
    if dropped := sorted({name for s in structures for name in s.dropped}):
        text = f"{path}: left out unknown entries: {', '.join(map(quoted, dropped))}"
        if labels := sorted({name for s in structures for name in s.unused}):
            text += f"; if {', '.join(map(quoted, labels))} are labels, give {as_options(keys_for(labels))}"
        warnings.warn(text, MdnnpWarning, stacklevel=2)
    if format == "n2p2":
        length, energy = input_data_units(path, length_unit, energy_unit)
        _warn_of_losses(path, structures)
        input_data.write_input_data(path, [_to_block(s, length, energy) for s in structures], overwrite=overwrite)
        return
    with new_file(path, overwrite) as temporary:
        if format == "extxyz":
            text = "".join(extended_xyz(structure) for structure in structures)
            temporary.write_text(text, encoding="utf-8", newline="\n")
        else:
            from mdnnp.atoms.ase_formats import write_with_ase

            write_with_ase(path, temporary, structures, format)


def check_writable_format(path: str | Path) -> None:
    """Raise InputError if `write_structures` could not write to a file of this name, for want of a format or units."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".xyz", ".extxyz"):
        return
    if suffix == ".data":
        raise InputError(f"{path}: an input.data states no units; write extended XYZ (.xyz) and convert it")
    from mdnnp.atoms.ase_formats import has_writer

    if not has_writer(path):
        raise InputError(f"{path}: unknown format; use extended XYZ (.xyz), or another of ASE's formats")


def extended_xyz(structure: Structure, info: Mapping[str, int | float] | None = None) -> str:
    """One frame with all digits (ASE itself writes eight decimals); `info`: more entries of its second line."""
    system, n = structure.system, len(structure.system)
    columns, properties = [system.positions], ["species:S:1", "pos:R:3"]
    momenta = None
    if structure.velocities is not None:
        momenta = structure.masses[:, None] * structure.velocities / ase_units.fs
    isotopes = not np.array_equal(structure.masses, atomic_masses[system.numbers])
    for name, values in (
        ("masses", structure.masses if isotopes else None),
        ("momenta", momenta),
        ("forces", structure.forces),
        ("energies", structure.atomic_energies),
        ("charges", structure.charges),
    ):
        if values is not None:
            columns.append(np.reshape(values, (n, -1)))
            properties.append(f"{name}:R:{columns[-1].shape[1]}")
    head = []
    if system.cell.any():
        head.append(f'Lattice="{_numbers(system.cell)}"')
    head.append("Properties=" + ":".join(properties))
    if structure.config_type:
        head.append(f"config_type={_quoted(structure.config_type)}")
    if structure.subset:
        head.append(f"set={structure.subset}")
    head += [f"{name}={value!r}" for name, value in (info or {}).items()]
    if structure.charges is not None or system.charge:
        head.append(f"charge={float(system.charge)!r}")
    if structure.energy is not None:
        head.append(f"energy={float(structure.energy)!r}")
    if structure.stress is not None:
        head.append(f'stress="{_numbers(structure.stress.T)}"')
    head.append('pbc="' + " ".join("T" if periodic else "F" for periodic in system.pbc) + '"')
    table = np.hstack(columns)
    rows = [f"{chemical_symbols[z]:<2} {_numbers(row)}" for z, row in zip(system.numbers, table, strict=True)]
    return "\n".join([str(n), " ".join(head), *rows]) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(x) for x in np.ravel(values).tolist())


def _warn_of_losses(path: Path, structures: Sequence[Structure]) -> None:
    lost = {
        "velocities": any(s.velocities is not None for s in structures),
        "stress": any(s.stress is not None for s in structures),
        "atomic energies": any(s.atomic_energies is not None for s in structures),
        "isotope masses": any(not np.array_equal(s.masses, atomic_masses[s.system.numbers]) for s in structures),
    }
    charged = next((s for s in structures if s.system.pbc.any() and s.system.charge), None)
    if charged is not None:
        text = (
            f"{path}: {charged.label} is periodic with a charge of {charged.system.charge:g} e; n2p2 wants none there"
        )
        warnings.warn(text, MdnnpWarning, stacklevel=3)
    names = [name for name, present in lost.items() if present]
    if names:
        text = f"{path}: input.data cannot hold {', '.join(names)}; left out"
        warnings.warn(text, MdnnpWarning, stacklevel=3)


def _to_block(structure: Structure, length: float, energy: float) -> input_data.DataBlock:
    system = structure.system
    if system.pbc.any() and not system.pbc.all():
        raise InputError(
            f"{structure.label}: periodic along {''.join(np.array(list('abc'))[system.pbc])} only, which input.data "
            "cannot hold: it has only clusters and fully periodic cells"
        )
    forces = np.zeros((len(system), 3)) if structure.forces is None else structure.forces
    return input_data.DataBlock(
        positions=system.positions / length,
        symbols=tuple(chemical_symbols[z] for z in system.numbers),
        lattice=system.cell / length if system.pbc.all() else None,
        forces=forces / (energy / length),
        energy=None if structure.energy is None else structure.energy / energy,
        charges=structure.charges,
        charge=system.charge,
        subset=structure.subset,
        comment=structure.label + (f' config_type="{structure.config_type}"' if structure.config_type else ""),
    )
