"""The verb `mdnnp convert`: a potential, or structures, in another form."""

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from mdnnp.base.errors import InputError
from mdnnp.base.files import check_distinct
from mdnnp.command.arguments import add_keys, add_units
from mdnnp.command.verb import Say, silent

HELP = "Convert structures to another file format, or write a potential with its units."
EPILOG = """\
Use it to convert between extended XYZ, input.data and the formats of ASE. A potential is written with mdnnp.toml,
which states its units, so that you need not give them again.

examples:
  mdnnp convert potential/ water-potential/ --length-unit Bohr --energy-unit Hartree
  mdnnp convert input.data train.xyz --length-unit Bohr --energy-unit Hartree
  mdnnp convert downloaded.xyz train.xyz --key energy=REF_energy --key forces=REF_forces
  mdnnp convert train.xyz input.data --length-unit Angstrom --energy-unit eV
"""


def add_arguments(p: ArgumentParser) -> None:
    """The options."""
    p.add_argument("input", metavar="INPUT", help="directory of a potential, or file with structures")
    p.add_argument("output", metavar="OUT", help="directory or file to write")
    p.add_argument("--index", help="which structures, as 0, -1 or 0:10 (default: all)")
    p.add_argument(
        "--format",
        help="format of the structures: extxyz, n2p2, or another format of ASE (default: by the name of OUT)",
    )
    add_keys(p)
    p.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    add_units(p)


@dataclass(frozen=True)
class Request:
    """What to rewrite as what; units, index and format as the options have them.

    key : names that a file of structures uses for labels, as {"forces": "force"}
    """

    input: str | Path
    output: str | Path
    _: KW_ONLY
    index: str = ":"
    format: str | None = None
    key: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    length_unit: str | None = None
    energy_unit: str | None = None

    @property
    def units(self) -> dict[str, str | None]:
        """Units of what states none itself."""
        return {"length_unit": self.length_unit, "energy_unit": self.energy_unit}


@dataclass(frozen=True)
class Converted:
    """What was written where, in words."""

    output: str | Path
    what: str
    exit_code: int = 0

    def text(self) -> str:
        """One line."""
        return f"Written: {self.output}, {self.what}"

    def as_dict(self) -> dict:
        """The same."""
        return {"program": "mdnnp convert", "written": self.output, "what": self.what}


def perform(request: Request, say: Say = silent) -> Converted:
    """Convert. Raises InputError and FileError; what is there stays then."""
    source = Path(request.input)
    check_distinct([request.output], [source])
    if source.suffix == ".toml":
        raise InputError(
            f"{source}: a potential in a TOML file states its units and has no other form; only directories of n2p2's "
            "format, and structures, are converted"
        )
    convert = _potential if source.is_dir() else _structures
    return Converted(request.output, convert(request, source))


def _potential(request: Request, source: Path) -> str:
    from mdnnp.potentials.hdnnp.files import read_potential, write_potential
    from mdnnp.potentials.hdnnp.files.reader import TERMS_FILE, read_charged
    from mdnnp.potentials.hdnnp.files.settings import has_charges
    from mdnnp.potentials.load import potential_files

    check_distinct([request.output], potential_files(source))
    charges = None
    if (source / "input.nn").exists() and has_charges(source / "input.nn"):
        model, charges = read_charged(source, **request.units)
    else:
        model = read_potential(source, **request.units)
    terms = (source / TERMS_FILE).read_bytes() if (source / TERMS_FILE).exists() else None
    write_potential(model, request.output, overwrite=request.overwrite, terms=terms, charges=charges)
    return f"potential ({' '.join(model.elements)}; {model.length_unit}, {model.energy_unit})"


def _structures(request: Request, source: Path) -> str:
    from mdnnp.atoms.read import read_structures
    from mdnnp.atoms.write import write_structures

    structures = read_structures(source, request.index, **request.units, keys=request.key)
    write_structures(request.output, structures, format=request.format, overwrite=request.overwrite, **request.units)
    return f"{len(structures)} structure{'s' * (len(structures) != 1)}"
