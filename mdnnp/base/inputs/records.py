"""Strict reading of TOML into frozen dataclasses: all unknown keys, wrong types and bad values at once.

A record's fields, made with `key`, are the single description of an input: reading it, writing a commented
example and the reference in the documentation derive from them.
"""

import difflib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from mdnnp.base.errors import Mistakes
from mdnnp.base.inputs.toml import Document, Flaw, Key, toml_value

MAX_MISTAKES_SHOWN = 20

Sections = Mapping[str, type]


class Rule(NamedTuple):
    """A condition on a value, and its wording."""

    holds: Callable[[Any], bool]
    text: str


def key(help: str, default: Any = MISSING, *, rule: Rule | None = None, example: str = "", **more: Any) -> Any:
    """A field of an input record: help, default, rule, an example as TOML; `more` is saved as metadata."""
    metadata = {"help": help, "rule": rule, "example": example, **more}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def is_required(f: Field) -> bool:
    """Whether a field has no default."""
    return f.default is MISSING and f.default_factory is MISSING


def default_of(f: Field) -> Any:
    """Default of a field (None if there is none)."""
    if f.default_factory is not MISSING:
        return f.default_factory()
    return None if f.default is MISSING else f.default


def read_records(document: Document, sections: Sections, base: Path) -> tuple[dict[str, dict], list[Flaw]]:
    """The values of each section's record, by section and name, and everything that is wrong.

    Paths are taken relative to `base`. A value that is wrong, and a key that is missing, is left out.
    """
    mistakes = list(document.mistakes)
    entries = _match_keys(document, sections, mistakes)
    read: dict[str, dict] = {}
    for section, record in sections.items():
        read[section] = {}
        hints = get_type_hints(record)
        for f in fields(record):
            if (section, f.name) in entries:
                path, value = entries[section, f.name]
                try:
                    read[section][f.name] = _checked(value, hints[f.name], f.metadata["rule"], base)
                except _Unfit as unfit:
                    text = f"{section}.{f.name} = {_shortened(toml_value(value))} at {document.at(path)}: {unfit}"
                    mistakes.append(Flaw(document.lines[path], text))
            elif is_required(f):
                mistakes.append(Flaw(math.inf, _missing(document, section, f)))
    return read, mistakes


def refuse(mistakes: list[Flaw]) -> None:
    """Raise Mistakes (an InputError) with all of them, one a line in order of their lines, if there are any."""
    if not mistakes:
        return
    texts = [_shortened(m.text, 1000) for m in dict.fromkeys(sorted(mistakes, key=lambda m: m.line))]
    more = len(texts) - MAX_MISTAKES_SHOWN
    raise Mistakes("\n".join(texts[:MAX_MISTAKES_SHOWN] + ([f"... and {more} more mistakes"] if more > 0 else [])))


def _shortened(text: str, most: int = 100) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."


# Names: which record and field a key of the document means --------------------------------------------------


def _match_keys(document: Document, sections: Sections, mistakes: list[Flaw]) -> dict[Key, tuple[Key, Any]]:
    """(section, name) -> (path in the document, value).

    An unknown name counts for the known one that it resembles, so that its value is checked as well, and
    a key that is misspelt is not called missing too.
    """
    entries: dict[Key, tuple[Key, Any]] = {}
    for path, value in _grouped(document).items():
        name = ".".join(path[1:])
        section = path[0] if path[0] in sections else _unknown_section(document, sections, path, value, mistakes)
        if section is None or (value == {} and not name):
            continue
        if not name and path[0] in sections:
            text = f"'{path[0]}' at {document.at(path)} is a section; write [{path[0]}]"
            mistakes.append(Flaw(document.lines[path], text))
            continue
        name = name or path[0]
        if name not in _names(sections[section]):
            section, name = _unknown_key(document, sections, path, section, mistakes)
        entries.setdefault((section, name), (path, value))
    return entries


def _grouped(document: Document) -> dict[Key, Any]:
    """The document's keys to depth two; what lies deeper (a table as a value) is gathered into a dict.

    Headers are there too, as empty dicts, so that a misspelt one without keys is not passed over.
    """
    grouped: dict[Key, Any] = {path[:1]: {} for path in document.headers}
    for path, value in document.values.items():
        if len(path) > 2:
            grouped.setdefault(path[:2], {})[".".join(path[2:])] = value
        else:
            grouped[path] = value
    return grouped


def _unknown_section(document, sections, path: Key, value, mistakes: list[Flaw]) -> str | None:
    """Report a section that is none, once, or a key outside its section; returns the section meant."""
    name = path[0]
    outside = len(path) == 1 and value != {}
    home = _home(sections, name) if outside else None
    guess = _nearest(name, list(sections))
    known = "; the sections are " + ", ".join(f"[{s}]" for s in sections)
    if home:
        text = f"key '{name}' at {document.at(path)} is outside its section; write it under [{home}]"
    elif outside:
        text = f"unknown key '{name}' at {document.at(path)}, outside every section" + known
    else:
        text = f"unknown section [{name}] at {document.at((name,))}" + (
            f"; did you mean [{guess}]?" if guess else known
        )
    mistakes.append(Flaw(document.lines[path if outside else (name,)], text))
    return home if outside else guess


def _unknown_key(document, sections, path: Key, section: str, mistakes: list[Flaw]) -> Key:
    """Report a key that is none of its section; returns the (section, name) that seems meant."""
    name = ".".join(path[1:])
    home, guess = _home(sections, name), _nearest(name, _names(sections[section]))
    meant = (section, name)
    if home:
        meant, hint = (home, name), f"; it belongs to [{home}]"
    elif guess:
        meant, hint = (section, guess), f"; did you mean '{guess}'?"
    else:
        hint = f"; the keys of [{section}] are {', '.join(_names(sections[section]))}"
    mistakes.append(Flaw(document.lines[path], f"unknown key '{name}' at {document.at(path)}{hint}"))
    return meant


def _names(record: type) -> list[str]:
    return [f.name for f in fields(record)]


def _home(sections: Sections, name: str) -> str | None:
    """The section that has a key of this name, if it is one alone."""
    homes = [section for section, record in sections.items() if name in _names(record)]
    return homes[0] if len(homes) == 1 else None


def _nearest(name: str, known: list[str]) -> str | None:
    lowered = {k.lower(): k for k in known}
    # 'timestep' for 'timestep_fs', 'maxwell' for 'maxwell-boltzmann': the end was left out
    begun = [k for k in known if k.lower().startswith((name.lower() + "_", name.lower() + "-"))]
    found = begun or [lowered[k] for k in difflib.get_close_matches(name.lower(), list(lowered), n=1)]
    return found[0] if found else None


def _missing(document: Document, section: str, f: Field) -> str:
    example = f"{f.name} = {f.metadata['example']}"
    if (section,) in document.lines:
        return f"missing key '{f.name}' in [{section}] at {document.at((section,))}; add, for example: {example}"
    return f"missing key '{f.name}': {document.name} has no section [{section}]; add it with: {example}"


# Values: what a key may hold --------------------------------------------------


class _Unfit(Exception):
    """A value that its key does not allow; the text says what is expected."""


_PLURALS = {
    int: "whole numbers",
    float: "numbers",
    bool: "values true or false",
    Path: "paths in quotes",
    str: "texts in quotes",
}


def _checked(value, hint, rule: Rule | None, base: Path):
    converted = _converted(value, hint, base)
    if rule and not rule.holds(converted):
        raise _Unfit(rule.text)
    return converted


def _converted(value, hint, base: Path):
    """`value` of a TOML file as type `hint`; only whole numbers become float, text paths, lists tuples."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is types.UnionType:  # X | None; TOML has no None
        return _converted(value, args[0], base)
    if origin is Literal:
        if value not in args or isinstance(value, bool):
            guess = _nearest(value, list(args)) if isinstance(value, str) else None
            options = ", ".join(map(toml_value, args))
            raise _Unfit(f"must be one of {options}" + (f"; did you mean {toml_value(guess)}?" if guess else ""))
        return value
    if origin is tuple and args[-1] is Ellipsis:
        if not isinstance(value, list) or not value:
            raise _Unfit(f"needs a list of {_PLURALS[args[0]]}, at least one")
        return tuple(_converted(v, args[0], base) for v in value)
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(args):
            raise _Unfit(f"needs a list of {len(args)} {_PLURALS[args[0]]}")
        return tuple(_converted(v, a, base) for v, a in zip(value, args, strict=True))
    if origin is dict:
        if not isinstance(value, dict):
            raise _Unfit("needs a table, such as {Symbol = value}")
        return {k: _converted(v, args[1], base) for k, v in value.items()}
    return _scalar(value, hint, base)


def _scalar(value, hint: type, base: Path):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    quoted = ", without quotes" if isinstance(value, str) else ""
    if hint is bool:
        if not isinstance(value, bool):
            raise _Unfit("must be true or false" + quoted)
    elif hint is int:
        if not is_number or isinstance(value, float):
            raise _Unfit("must be a whole number" + quoted)
    elif hint is float:
        if not is_number:
            raise _Unfit("must be a number" + quoted)
        if not math.isfinite(value):
            raise _Unfit("must be a finite number")
        return float(value)
    else:
        if not isinstance(value, str):
            raise _Unfit("must be text in quotes")
        if not value.strip() or "\0" in value:
            raise _Unfit("must be text that is not empty")
        if hint is Path:
            try:
                path = (base / Path(value).expanduser()).absolute()
            except RuntimeError:  # no such user
                raise _Unfit(f"{value.split('/')[0]} is not the home of a user on this machine") from None
            if not path.name:
                raise _Unfit("must be the name of a file or directory")
            return path
    return value
