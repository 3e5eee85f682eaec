"""Names of labels: what they are called here, and what files call them instead."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
from ase import Atoms

from mdnnp.base.errors import InputError, quoted
from mdnnp.base.inputs.toml import toml_value

LABELS = "energy, forces, stress (eV/Å^3, positive: tension) and virial (eV, minus volume times stress)"
# What can be read from an entry of another name. Forces and charges are columns, the others belong to the structure.
QUANTITIES = ("energy", "forces", "stress", "virial", "charges", "total_charge")
_COLUMNS = ("forces", "charges")
_PARTNERS = {"stress": "virial", "virial": "stress", "total_charge": "charge"}  # one in place of the other
_LIKE_A_LABEL = re.compile(r"(?:^|[^a-z])(energy|forces?|stress|virials?)(?:[^a-z]|$)")
_FREE_ENERGY_EV = 1e-4  # per atom; energy and free energy that differ by less are the same


class Keys:
    """The names that a file uses for labels, by what they are labels of, as {"forces": "dft_force"}.

    It replaces the file's own entries of these quantities, and knows which names it has not met.
    Raises InputError for quantities that are none of QUANTITIES, and for two quantities of one name.
    """

    def __init__(self, names: Mapping[str, str] | None = None):
        self._names = dict(names or {})
        for quantity, name in self._names.items():
            if quantity not in QUANTITIES:
                raise InputError(
                    f"key {quantity} = {quoted(name)}: {quoted(quantity)} is no label; known: {', '.join(QUANTITIES)}"
                )
        if len(set(self._names.values())) < len(self._names):
            raise InputError(f"keys: two labels have the same name: {as_toml(self._names)}; correct one of them")
        self._missing = dict(self._names)
        self._seen: set[str] = set()

    def rename(self, atoms: Atoms, results: Mapping[str, object]) -> tuple[Atoms, dict[str, object]]:
        """Atoms and results of their calculator, with the labels under the names that they have here.

        A structure without an entry has no such label, whatever else it holds. What is given is not changed.
        """
        results = dict(results)
        if not self._names:
            return atoms, results
        self._seen |= {*results, *atoms.info, *atoms.arrays} - {"numbers", "positions"}
        found = {}
        for quantity, name in self._names.items():
            own = atoms.arrays if quantity in _COLUMNS else atoms.info
            value = own.get(name, results.get(name))
            if value is not None:
                found[quantity] = value
                self._missing.pop(quantity, None)
        atoms = atoms.copy()
        for quantity, name in self._names.items():
            for place in (atoms.info, results):
                for old in (name, quantity, _PARTNERS.get(quantity, name)):
                    place.pop(old, None)
            if quantity in _COLUMNS:
                atoms.arrays.pop(name, None)
        for quantity, value in found.items():
            place = atoms.info if quantity in ("virial", "total_charge") else results
            place[quantity] = value
        return atoms, results

    def require(self, where: object) -> None:
        """Raise InputError if a name was in none of the structures of `where`."""
        if self._missing:
            quantity, name = next(iter(self._missing.items()))
            kind = "a column of numbers for each atom" if quantity in _COLUMNS else "an entry of the structure"
            raise InputError(
                f"{where}: no structure has {quoted(name)} for the {quantity}, expected as {kind}; the entries are "
                f"{', '.join(sorted(self._seen)) or 'none'}; correct the name of the key"
            )


def unused_labels(atoms: Atoms, results: Mapping[str, object]) -> tuple[str, ...]:
    """Names such as REF_energy or force, which are not those of labels; and a free energy that is not the energy."""
    numeric = [name for name, value in atoms.info.items() if np.issubdtype(np.asarray(value).dtype, np.number)]
    names = [*numeric, *(name for name in atoms.arrays if atoms.arrays[name].shape == (len(atoms), 3))]
    virial = virial_name(atoms)
    found = [name for name in names if name != virial and _LIKE_A_LABEL.search(name.lower())]
    energies = [float(e) for e in map(results.get, ("energy", "free_energy")) if isinstance(e, int | float | np.number)]
    if len(energies) == 2 and abs(energies[1] - energies[0]) > _FREE_ENERGY_EV * len(atoms):
        found.append("free_energy")
    return tuple(sorted(found))


def virial_name(atoms: Atoms) -> str:
    """The entry that is the virial, which some programs call virials or Virial; "" if there is none."""
    found = sorted((name for name in atoms.info if name.lower() in ("virial", "virials")), key=lambda n: n != "virial")
    return found[0] if found else ""


def keys_for(names: Iterable[str]) -> dict[str, str]:
    """The names that look like labels, by the quantity that they look like; the first of each."""
    whole = {"force": "forces", "virials": "virial"}
    keys: dict[str, str] = {}
    for name in names:
        if found := _LIKE_A_LABEL.search(name.lower()):
            keys.setdefault(whole.get(found[1], found[1]), name)
    return keys


def as_toml(keys: Mapping[str, str]) -> str:
    """The line of an input that names them."""
    return f"keys = {{{', '.join(f'{quantity} = {toml_value(name)}' for quantity, name in keys.items())}}}"


def as_options(keys: Mapping[str, str]) -> str:
    """The options of a command that name them."""
    return " ".join(f"--key {quantity}={quoted(name)[1:-1]}" for quantity, name in keys.items())
