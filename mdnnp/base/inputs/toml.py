"""TOML with line numbers, which `tomllib` does not give, and with all mistakes at once, not the first alone.

A document is cut into statements (`[table]` or `key = value`, which may span lines), and each is parsed by
`tomllib` on its own; so the grammar is tomllib's, and a faulty statement does not hide the next one's faults.
"""

import datetime
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mdnnp.base.errors import FileError, InputError
from mdnnp.base.files import require_regular

Key = tuple[str, ...]

MAX_BYTES = 10_000_000
MAX_STATEMENTS = 2000
MAX_MISTAKES = 100  # then the rest is not looked at
MAX_DEPTH = 20  # of tables and lists in one another
# What decides where a statement ends: strings and comments, which hide brackets and line ends, and those themselves.
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{}]|\n''', re.DOTALL
)


class Flaw(NamedTuple):
    """What is wrong with a document, and the line that it is sorted by."""

    line: float
    text: str


@dataclass(frozen=True)
class Document:
    """A TOML file, flat.

    name : file name, for messages
    text : the file verbatim (without byte-order mark, line ends as newlines)
    values : path of each key, such as ("dynamics", "steps") -> value; inline tables are keys of their own
    lines : path of each key and table -> line, from 1
    headers : tables that were opened by a [header]
    mistakes : what tomllib refused, and duplicates
    """

    name: str
    text: str
    values: dict[Key, object] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    headers: set[Key] = field(default_factory=set)
    mistakes: list[Flaw] = field(default_factory=list)

    def at(self, key: Key) -> str:
        """'file:line' of a key or table."""
        return f"{self.name}:{self.lines[key]}"

    def by_name(self) -> dict[str, int]:
        """Line of each key, by 'section.key'."""
        return {".".join(key): line for key, line in self.lines.items()}


def read_toml(path: str | Path) -> Document:
    """Read a TOML file. Raises FileError if it cannot be read, InputError if it is empty or not UTF-8."""
    return parse_toml(_read_text(Path(path)), str(path))


def parse_toml(text: str, name: str) -> Document:
    """The keys of a TOML text with their lines; `name` stands for the file in messages."""
    document = Document(name, text)
    rows = text.split("\n")
    begins = [0]
    for line in rows:
        begins.append(begins[-1] + len(line) + 1)
    table: Key | None = ()  # None: under a faulty header, where keys belong to no table that is known
    row, n_statements = 0, 0
    while row < len(rows):
        is_header = rows[row].lstrip().startswith("[")
        statement, length, fault = _statement(text, rows, row, begins[row])
        if is_header:
            table = None if fault else _open_table(document, statement, row + 1)
        elif not fault and table is not None:
            for key, value in _leaves(statement, table).items():
                _add(document, key, value, row + 1)
        if fault:
            document.mistakes.append(Flaw(row + 1, f"{name}:{row + 1}: {fault}"))
        n_statements += bool(statement or fault)
        if n_statements > MAX_STATEMENTS:
            what = f"{name}:{row + 1}: more than {MAX_STATEMENTS} statements; this is no input file"
            document.mistakes.append(Flaw(0, what))
        if n_statements > MAX_STATEMENTS or len(document.mistakes) > MAX_MISTAKES:
            break
        row += length
    return document


def toml_value(value: Any) -> str:
    """A value as TOML text."""
    match value:
        case bool():
            return "true" if value else "false"
        case Path() | str():
            # JSON's notation of strings is TOML's, too, but for the character DEL.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
        case tuple() | list():
            return "[" + ", ".join(toml_value(v) for v in value) + "]"
        case datetime.date() | datetime.time():
            return value.isoformat()
        case dict():
            return "{" + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + "}"
        case _:
            return repr(value)


def _read_text(path: Path) -> str:
    try:
        require_regular(path)
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: {path.stat().st_size / 1e6:.0f} MB are too large for an input file")
        raw = path.read_bytes()
    except IsADirectoryError:
        raise FileError(f"{path} is a directory; give the input file itself") from None
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}:{line}: not UTF-8 text (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise InputError(f"{path} is empty; `mdnnp init` writes a commented input to start from")
    return text


def _statement(text: str, rows: list[str], row: int, begin: int) -> tuple[dict, int, str]:
    """The statement that starts at `row`, which begins at text[begin]: (parsed, lines, what is wrong with it)."""
    depth = 0
    end = len(text)
    for token in _TOKEN.finditer(text, begin):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth > MAX_DEPTH:
            return {}, 1, _fault(f"more than {MAX_DEPTH} brackets in one another", rows[row])
        if token[0] == "\n" and depth <= 0:
            end = token.start()
            break
    try:
        parsed = tomllib.loads(text[begin:end])
    except (ValueError, RecursionError) as error:  # ValueError: also whole numbers of thousands of digits
        return {}, 1, _fault(str(error).split(" (at ", maxsplit=1)[0], rows[row])
    values = [*_leaves(parsed, ()).items()]
    if any(len(key) > MAX_DEPTH for key, _ in values):
        return {}, 1, _fault(f"more than {MAX_DEPTH} tables in one another", rows[row])
    if not all(_is_bounded(value) for _, value in values):
        return {}, 1, _fault("a whole number of more than 300 digits", rows[row])
    return parsed, text.count("\n", begin, end) + 1, ""


def _fault(what: str, row: str) -> str:
    hint = ' (text needs "quotes")' if what == "Invalid value" else ""
    return f"{what} in: {row.strip()[:80]}{hint}"


def _is_bounded(value) -> bool:
    """Whether the whole numbers in a value can become floats."""
    if isinstance(value, list | dict):
        return all(map(_is_bounded, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int) or abs(value) < 10**300


def _leaves(tree: dict, path: Key) -> dict[Key, object]:
    """Values of a nested dict by path; an empty dict is a leaf."""
    found = {}
    waiting = [(path, tree)]
    while waiting:
        above, branch = waiting.pop()
        for name, value in branch.items():
            key = (*above, name)
            if isinstance(value, dict) and value:
                waiting.append((key, value))
            else:
                found[key] = value
    return found


def _open_table(document: Document, header: dict, line: int) -> Key | None:
    """Record a table header, such as {"dynamics": {}}; returns its path, or None if it is no plain table."""
    (key, value), *_ = _leaves(header, ()).items()
    if value != {}:
        text = f"{document.name}:{line}: [[{'.'.join(key)}]] is an array of tables; write [one]"
        document.mistakes.append(Flaw(line, text))
        return None
    if key in document.headers or _given(document, key):
        _repeated(document, key, line)
    else:
        document.headers.add(key)
        document.lines[key] = line
        for n in range(1, len(key)):
            document.lines.setdefault(key[:n], line)
    return key


def _add(document: Document, key: Key, value: object, line: int) -> None:
    """Record a key. One that exists already, as a value or as a table, is a mistake."""
    if _given(document, key) or key in document.lines:
        _repeated(document, key, line)
        return
    for n in range(1, len(key)):
        document.lines.setdefault(key[:n], line)
    document.lines[key] = line
    document.values[key] = value


def _given(document: Document, key: Key) -> bool:
    """Whether the key, or a part of its path, has a value."""
    return any(key[:n] in document.values for n in range(1, len(key) + 1))


def _repeated(document: Document, key: Key, line: int) -> None:
    first = next(document.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in document.lines)
    text = f"duplicate key '{'.'.join(key)}' at {document.name}:{line}; first given at line {first}"
    document.mistakes.append(Flaw(line, text))
