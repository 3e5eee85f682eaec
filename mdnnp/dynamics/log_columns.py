"""Columns of a run's dense log, /thermo, and their units."""

from mdnnp.atoms.quantities import VOIGT_NAMES
from mdnnp.dynamics.collector import COLUMNS
from mdnnp.dynamics.input import RunConfig
from mdnnp.dynamics.start import Start

THERMO_UNITS = {
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "total_energy": "eV",
    "shadow_energy": "eV",
    "temperature": "K",
    "pressure": "GPa",
    **{f"pressure_{ij}": "GPa" for ij in VOIGT_NAMES},
    **{f"momentum_{i}": "u Angstrom fs-1" for i in "xyz"},
    "extrapolations": "1",
}
CELL_COLUMNS = {f"cell_{'abc'[k]}{'xyz'[l]}": (k, l) for k in range(3) for l in range(k + 1)}
HEAT_CURRENT_UNITS = {f"heat_current_{i}": "eV Angstrom fs-1" for i in "xyz"}
DIPOLE_UNITS = {f"dipole_{i}": "e Angstrom" for i in "xyz"}
BAROSTAT_UNITS = {"volume": "Angstrom3", "density": "g cm-3", **dict.fromkeys(CELL_COLUMNS, "Angstrom")}


def thermo_units(config: RunConfig) -> dict[str, str]:
    """Columns of the dense log and their units."""
    dynamics = config.dynamics
    conserved = {} if dynamics.ensemble == "nve" else {"conserved_energy": "eV"}
    return (
        THERMO_UNITS
        | conserved
        | (BAROSTAT_UNITS if dynamics.has_barostat else {})
        | (HEAT_CURRENT_UNITS if config.output.heat_current else {})
    )


def log_columns(config: RunConfig, start: Start) -> dict[str, str]:
    """As `thermo_units`, with what a committee and charges add."""
    charges = {}
    if start.potential.has_charges:  # a dipole needs an end of the system
        charges = {"total_charge": "e"} | ({} if start.system.pbc.any() else DIPOLE_UNITS)
    return thermo_units(config) | (COLUMNS if start.potential.has_disagreement else {}) | charges
