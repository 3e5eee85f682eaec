"""Units: Å, eV, u, fs, K and e inside; every conversion factor of the package is here.

Constants are CODATA 2018 (the 2019 SI fixes k_B, e and N_A exactly); source: https://physics.nist.gov/cuu/Constants
"""

from mdnnp.base.errors import InputError

BOHR_A = 0.529177210903  # bohr radius in Å
HARTREE_EV = 27.211386245988  # Hartree in eV
BOLTZMANN_EV_PER_K = 1.380649e-23 / 1.602176634e-19  # k_B in eV/K, exact
ATOMIC_MASS_KG = 1.66053906660e-27
ELEMENTARY_CHARGE_C = 1.602176634e-19
AVOGADRO_PER_MOL = 6.02214076e23

# 1 eV/(Å u) as an acceleration in Å/fs^2; its inverse turns u Å^2/fs^2 into eV.
ACCELERATION_A_PER_FS2 = ELEMENTARY_CHARGE_C / ATOMIC_MASS_KG * 1e-10
EV_PER_U_A2_PER_FS2 = 1.0 / ACCELERATION_A_PER_FS2

EV_PER_A3_IN_GPA = ELEMENTARY_CHARGE_C * 1e21  # 1 eV/Å^3 in GPa
U_PER_A3_IN_G_PER_CM3 = ATOMIC_MASS_KG * 1e27  # 1 u/Å^3 in g/cm^3
EV_IN_KJ_PER_MOL = ELEMENTARY_CHARGE_C * AVOGADRO_PER_MOL * 1e-3

_LENGTHS_A = {"angstrom": 1.0, "å": 1.0, "ang": 1.0, "a": 1.0, "bohr": BOHR_A, "nm": 10.0}
_ENERGIES_EV = {
    "ev": 1.0,
    "hartree": HARTREE_EV,
    "ha": HARTREE_EV,
    "rydberg": HARTREE_EV / 2,
    "ry": HARTREE_EV / 2,
    "kj/mol": 1.0 / EV_IN_KJ_PER_MOL,
    "kcal/mol": 4.184 / EV_IN_KJ_PER_MOL,
}


def length_in_angstrom(name: str) -> float:
    """One unit of length called `name` (Angstrom, Bohr, nm) in Å. Raises InputError for an unknown name."""
    return _lookup(name, _LENGTHS_A, "length", "Angstrom, Bohr, nm")


def energy_in_ev(name: str) -> float:
    """One unit of energy called `name` (eV, Hartree, Rydberg, kJ/mol, kcal/mol) in eV. Raises InputError."""
    return _lookup(name, _ENERGIES_EV, "energy", "eV, Hartree, Rydberg, kJ/mol, kcal/mol")


def is_length(name: str) -> bool:
    """Whether `length_in_angstrom` knows the name."""
    return name.strip().lower() in _LENGTHS_A


def is_energy(name: str) -> bool:
    """Whether `energy_in_ev` knows the name."""
    return name.strip().lower() in _ENERGIES_EV


def _lookup(name, table, what, known):
    try:
        return table[name.strip().lower()]
    except (KeyError, AttributeError):
        raise InputError(f"unknown {what} unit {name!r}; known: {known}") from None
