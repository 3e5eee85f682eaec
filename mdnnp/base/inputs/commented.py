"""What the records of an input say of its keys: a commented input to start from, and the reference of every key."""

import inspect
import textwrap
from collections.abc import Collection
from dataclasses import Field, fields
from pathlib import Path
from typing import get_args, get_origin

from mdnnp.base.inputs.records import Sections, default_of, is_required, toml_value


def starting_input(title: str, values: dict[str, str], sections: Sections, also: Collection[str] = ()) -> str:
    """A commented input: every key with its help; keys with a default are comments, unless `values` has them.

    values : 'section.key' -> TOML text; also : keys that are written with their example, as required ones are
    """
    lines = [f"# {line}".rstrip() for line in title.rstrip().split("\n")]
    lines += ["#", "# A key behind '#' is not set: the line shows its default, or an example if it has no default."]
    lines += ["# Paths are relative to this file."]
    for section, record in sections.items():
        lines += ["", f"[{section}]", *_commented(record.__doc__ or "")]
        for f in fields(record):
            lines += ["", *_commented(f.metadata["help"])]
            value = values.get(f"{section}.{f.name}")
            if value is not None:
                lines.append(f"{f.name} = {value}")
            elif is_required(f) or f"{section}.{f.name}" in also:
                lines.append(f"{f.name} = {f.metadata['example']}")
            else:
                lines.append(f"# {f.name} = {_shown(f)}")
    return "\n".join(lines) + "\n"


def reference(sections: Sections) -> str:
    """Every key of an input in Markdown, one table for each section: key, type, default and meaning."""
    lines = []
    for section, record in sections.items():
        lines += [f"## [{section}]", "", inspect.cleandoc(record.__doc__ or ""), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for f in fields(record):
            rule = f.metadata["rule"]
            meaning = f.metadata["help"] + (f" It {rule.text}." if rule else "")
            star = "*" if f.metadata.get("restart") == "free" else ""
            lines.append(f"| `{f.name}`{star} | {_type_name(f)} | {_default_text(f)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _shown(f: Field) -> str:
    """The default as TOML, or an example where the default cannot be written."""
    default = default_of(f)
    return f.metadata["example"] if default in (None, {}, ()) else toml_value(default)


def _default_text(f: Field) -> str:
    if is_required(f):
        return "required"
    default = default_of(f)
    return "" if default in (None, {}, ()) else f"`{toml_value(default)}`"


def _type_name(f: Field) -> str:
    hint = f.type
    names = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
    if hint in names:
        return names[hint]
    args = get_args(hint)
    if type(None) in args:
        return names.get(args[0]) or _list_name(args[0], names)
    if isinstance(args[0], str):
        return ", ".join(f"`{toml_value(a)}`" for a in args)
    return _list_name(hint, names)


def _list_name(hint, names) -> str:
    args = get_args(hint)
    if get_origin(hint) is dict:
        return "table of numbers"
    if args[-1] is Ellipsis:
        return f"list: {names[args[0]]}"
    return f"list of {len(args)}: {names[args[0]]}"


def _commented(text: str) -> list[str]:
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return [f"# {line}" for paragraph in paragraphs for line in textwrap.wrap(paragraph, 100)]
