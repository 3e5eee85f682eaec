"""Potentials and data of others, which may be read but not shipped."""

import os
from pathlib import Path

from places import ROOT

FOLDER = Path(os.environ.get("MDNNP_REFERENCE", ROOT.parent / "shared"))
WATER_UNITS = ("Bohr", "Hartree")
_UNITS = {"H2O_RPBE-D3": WATER_UNITS, "Cu2S_PBE": ("Angstrom", "eV")}


def there(*files: str) -> list[Path]:
    """Those of these files of the folder that are there."""
    return [FOLDER / file for file in files if (FOLDER / file).exists()]


# name -> directory of a potential with n2p2's results, length unit, energy unit
REAL = {path.name: (path, *_UNITS[path.name]) for path in there(*(f"potentials/{name}" for name in _UNITS))}
