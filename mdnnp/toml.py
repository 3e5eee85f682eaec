"""TOML with line numbers, which `tomllib` does not give, and with all mistakes at once, not the first alone.

A document is cut into statements (`[table]` or `key = value`, which may span lines), and each is parsed by
`tomllib` on its own; so the grammar is tomllib's, and a faulty statement does not hide the next one's faults.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mdnnp.errors import FileError, InputError

Key = tuple[str, ...]


class Mistake(NamedTuple):
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
    mistakes: list[Mistake] = field(default_factory=list)

    def at(self, key: Key) -> str:
        """'file:line' of a key or table."""
        return f"{self.name}:{self.lines[key]}"


def read_toml(path: str | Path) -> Document:
    """Read a TOML file. Raises FileError if it cannot be read, InputError if it is empty or not UTF-8."""
    return parse_toml(_read_text(Path(path)), str(path))


def parse_toml(text: str, name: str) -> Document:
    """The keys of a TOML text with their lines; `name` stands for the file in messages."""
    document = Document(name, text)
    rows = text.split("\n")
    table: Key | None = ()  # None: under a faulty header, where keys belong to no table that is known
    row = 0
    while row < len(rows):
        is_header = rows[row].lstrip().startswith("[")
        statement, length, fault = _statement(rows, row)
        if is_header:
            table = None if fault else _open_table(document, statement, row + 1)
        elif not fault and table is not None:
            for key, value in _leaves(statement, table).items():
                _add(document, key, value, row + 1)
        if fault:
            document.mistakes.append(Mistake(row + 1, f"{name}:{row + 1}: {fault}"))
        row += length
    return document


def _read_text(path: Path) -> str:
    try:
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


def _statement(rows: list[str], row: int) -> tuple[dict, int, str]:
    """The statement that starts at `row`: (parsed, number of lines, what is wrong with it)."""
    fault = ""
    for end in range(row + 1, len(rows) + 1):
        try:
            return tomllib.loads("\n".join(rows[row:end])), end - row, ""
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            fault = fault or message.split(" (at ", maxsplit=1)[0]
            if "(at end of document)" not in message:  # more lines cannot complete it
                break
    hint = ' (text needs "quotes")' if fault == "Invalid value" else ""
    return {}, 1, f"{fault} in: {rows[row].strip()[:80]}{hint}"


def _leaves(tree: dict, path: Key) -> dict[Key, object]:
    """Values of a nested dict by path; an empty dict is a leaf."""
    found = {}
    for name, value in tree.items():
        key = (*path, name)
        if isinstance(value, dict) and value:
            found |= _leaves(value, key)
        else:
            found[key] = value
    return found


def _open_table(document: Document, header: dict, line: int) -> Key | None:
    """Record a table header, such as {"dynamics": {}}; returns its path, or None if it is no plain table."""
    (key, value), *_ = _leaves(header, ()).items()
    if value != {}:
        text = f"{document.name}:{line}: [[{'.'.join(key)}]] is an array of tables; write [one]"
        document.mistakes.append(Mistake(line, text))
        return None
    if key in document.headers or _given(document, key):
        _repeated(document, key, line)
    else:
        document.headers.add(key)
        document.lines[key] = line
    return key


def _add(document: Document, key: Key, value: object, line: int) -> None:
    """Record a key. One that stands there already, as a value or as a table, is a mistake."""
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
    document.mistakes.append(Mistake(line, text))
