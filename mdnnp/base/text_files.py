"""Reading text strictly: lines with numbers, numbers that are numbers, and all mistakes of a file at once."""

import re
from pathlib import Path

from mdnnp.base.errors import FileError, InputError, quoted
from mdnnp.base.files import require_regular

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)  # all that 64 bits hold
MOST_LETTERS = 600  # of a mistake's text
MAX_MISTAKES = 20  # listed per file; one systematic mistake in a long file need not fill the screen


class Mistake(ValueError):
    """Something wrong with a line; the message says what was found and what was expected."""


class Mistakes:
    """What is wrong with one file, collected so that all of it is reported at once."""

    def __init__(self, path: Path):
        self.path = path
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, text: object) -> None:
        """Record a mistake at `line` (from 1; 0: the file as a whole)."""
        text = str(text)
        if len(text) > MOST_LETTERS:  # it quotes the file, which may hold anything
            text = f"{text[: MOST_LETTERS // 2]} ... {text[-MOST_LETTERS // 2 :]}"
        self._found.append((line, text))

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_any(self) -> None:
        """Raise InputError if there is any mistake: one line each, 'file:line: text', in order of lines."""
        if not self._found:
            return
        found = sorted(self._found, key=lambda mistake: mistake[0])
        rows = [f"{self.path}:{line}: {text}" if line else f"{self.path}: {text}" for line, text in found]
        if len(rows) > MAX_MISTAKES:
            rows[MAX_MISTAKES:] = [f"{self.path}: ... and {len(rows) - MAX_MISTAKES} more mistakes"]
        raise InputError("\n".join(rows))


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without line ends (of any system) and byte-order mark.

    Bytes that are not UTF-8 become replacement characters: harmless in a comment, an error elsewhere.
    Raises InputError if the file is missing, empty or not text, FileError if it cannot be read.
    """
    try:
        require_regular(path)
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory, expected a file") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    if b"\0" in raw:
        raise InputError(f"{path}: not a text file (it holds zero bytes; if it is UTF-16, save it as UTF-8)")
    if not raw.strip():
        raise InputError(f"{path}: the file is empty")
    text = raw.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def to_float(token: str, what: str = "a number") -> float:
    """A finite number; raises Mistake for anything else (also nan, inf, Fortran's 1.0d0)."""
    if _NUMBER.fullmatch(token):
        value = float(token)
        if abs(value) != float("inf"):
            return value
    raise Mistake(f"expected {what}, found {quoted(token)}")


def to_int(token: str, what: str = "an integer") -> int:
    """An integer; raises Mistake for anything else."""
    if _INTEGER.fullmatch(token):
        return int(token)
    raise Mistake(f"expected {what}, found {quoted(token)}")
