"""Printing to any terminal: one that knows no Å, one that is closed, and one that obeys what is written to it."""

import codecs
import contextlib
import os
import re
import sys
import unicodedata
from collections.abc import Iterator

_PLAIN = {
    "Å": "A", "±": "+-", "−": "-", "–": "-", "×": "x", "·": "*", "…": "...", "→": "->", "≤": "<=", "≥": ">=",
    "°": " deg", "µ": "u", "α": "alpha", "β": "beta", "γ": "gamma", "ε": "epsilon", "η": "eta", "σ": "sigma",
    "Γ": "Gamma", "Δ": "Delta", "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss",
}  # fmt: skip
_SUPERSCRIPTS = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
# What terminals obey (C0, DEL and C1 apart from tab and newline), and what turns the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""The text with control characters shown as \x1b, so that those of somebody's file do not reach a terminal."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}" if m[0] < "\u0100" else f"\\u{ord(m[0]):04x}", text)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replacements of characters that a terminal does not know: 2 Å⁻¹ is 2 A^-1 there."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = _SUPERSCRIPTS.sub(lambda m: "^" + m[0].translate(_DIGITS), error.object[error.start : error.end])
    return "".join(map(_ascii_of, unknown)), error.end


def _ascii_of(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


codecs.register_error("mdnnp-plain", _in_ascii)


def discard_stdout() -> None:
    """Send what is printed from now on nowhere: its reader has gone, or its disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Printable:
    """A stream to which no control characters are written."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(printable(text))

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """While this context is open, whatever is printed gets through, as plainly as the terminal wants it.

    A stream that was closed (`2>&-`) swallows what it gets, and holds its number, which a file of ours would have got.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8"))
        elif name != "stdin" and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="mdnnp-plain")
    stdout = sys.stdout
    sys.stdout = _Printable(stdout)
    try:
        yield
    finally:
        sys.stdout = stdout
