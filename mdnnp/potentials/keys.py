"""Checks of the keys in a potential's TOML file."""

from collections.abc import Set as AbstractSet

from mdnnp.base.errors import InputError


def check_keys(table: dict, known: AbstractSet[str], source: str, also: str = "") -> None:
    """Raise InputError for a key that is not known."""
    if unknown := sorted(set(table) - known):
        names = ", ".join([*([also] if also else []), *sorted(known)])
        raise InputError(f"{source}: unknown key {unknown[0]!r}; known: {names}")


def check_number(name: str, value: object, source: str) -> None:
    """Raise InputError for a value that is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{source}: {name} must be a number, found {value!r}")
