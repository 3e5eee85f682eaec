"""The elements of the species in a file: atomic numbers, symbols, or labels and types that --species explains."""

from collections.abc import Callable, Sequence

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from ase.data import atomic_numbers as number_of

from mdnnp.base.errors import FileError, InputError

_BY_NUMBER = ("mdnnp", "znh5md", "ase")  # programs whose species are atomic numbers
_BY_TYPE = ("lammps", "espresso", "espressomd")  # programs whose species are types that the user numbered
_MOST_TYPES = 20  # numbers of types are hardly larger


def atomic_numbers(
    file: str,
    labels: Sequence,
    given: Sequence[str],
    names: Sequence[str] | None,
    creator: str,
    masses: Callable[[], np.ndarray | None],
) -> np.ndarray:
    """(N,) atomic numbers of the atoms of these labels, which are text or numbers.

    given : as --species has them, symbols of the types in ascending order or LABEL=SYMBOL of each; () : as in the file
    names : of an enumeration, in its order; creator : of the file; masses : gives those of the atoms, u, or None
    Raises FileError if labels are no elements or may be types, InputError if `given` does not fit them.
    """
    if given:
        meaning = _meaning(file, given, labels, names)
    elif isinstance(labels[0], str):
        unknown = sorted(set(labels) - set(chemical_symbols[1:]))
        if unknown:
            raise FileError(
                f"{file}: species {', '.join(unknown)} are not elements; state their elements, for example --species "
                f"{' '.join(f'{label}=X' for label in unknown)}"
            )
        meaning = {label: number_of[label] for label in set(labels)}
    else:
        if _may_be_types(labels, creator, masses):
            found = ", ".join(map(str, sorted(set(labels))))
            raise FileError(
                f"{file}: species {found} may be types of atoms instead of atomic numbers; state the elements of types "
                "1, 2, ..., for example --species Si O"
            )
        meaning = {label: label for label in set(labels)}
    return np.array([meaning[label] for label in labels], dtype=np.int64)


def number_of_symbol(symbol: str) -> int:
    """Atomic number of a symbol given with --species. Raises InputError if it is none."""
    if symbol not in chemical_symbols[1:]:
        raise InputError(f"--species: {symbol!r} is not the symbol of an element")
    return number_of[symbol]


def _may_be_types(labels: Sequence[int], creator: str, masses: Callable) -> bool:
    """Whether numbers may be a user's own, not of elements: 1, 2, ..., or small ones with 0 or 2.

    Masses that agree settle it.
    """
    there = set(labels)
    if creator in _BY_NUMBER:
        return False
    small = max(there) <= _MOST_TYPES and there & {0, 2}  # 2 would be helium
    if creator not in _BY_TYPE and not small and there != set(range(1, len(there) + 1)):
        return False
    try:
        found = masses()
    except FileError:
        found = None
    if found is None or 0 in there:
        return True
    expected = atomic_masses[np.array(labels)]
    return bool((np.abs(found - expected) > 0.1 * expected + 0.2).any())


def _meaning(file: str, given: Sequence[str], labels: Sequence, names: Sequence[str] | None) -> dict:
    """Atomic number of each label, as --species gives them."""
    there = sorted(set(labels))
    if any("=" in word for word in given):
        if not all(word.count("=") == 1 for word in given):
            raise InputError(f"--species {' '.join(given)}: expected symbols alone, or LABEL=SYMBOL throughout")
        named = dict(word.split("=") for word in given)
        missing = [str(label) for label in there if str(label) not in named]
        if missing:
            raise InputError(f"--species: {file} also has {', '.join(missing)}; name these too")
        return {label: number_of_symbol(named[str(label)]) for label in there}
    if isinstance(there[0], int):
        begin = min(there[0], 1)
        if there[0] < 0 or there[-1] - begin >= len(given):
            wrong = there[0] if there[0] < 0 else there[-1]
            raise InputError(
                f"--species {' '.join(given)}: symbols for types {begin} to {begin + len(given) - 1}, but {file} has "
                f"type {wrong}"
            )
        return {label: number_of_symbol(given[label - begin]) for label in there}
    ordered = names or there
    if len(ordered) != len(given):
        raise InputError(
            f"--species {' '.join(given)}: {file} has the species {', '.join(ordered)}; name each: LABEL=SYMBOL"
        )
    return {label: number_of_symbol(symbol) for label, symbol in zip(ordered, given, strict=True)}
