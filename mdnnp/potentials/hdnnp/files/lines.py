"""Lines of `input.nn`, and what their arguments may be."""

from typing import NamedTuple

from mdnnp.base.text_files import Mistake, to_float, to_int
from mdnnp.potentials.hdnnp.networks import ACTIVATIONS

MOST_LAYERS = 100


class Line(NamedTuple):
    """A line with a keyword: its number (from 1), the keyword as spelled, the arguments."""

    number: int
    keyword: str
    arguments: tuple[str, ...]


def split_lines(rows: list[str]) -> list[Line]:
    """The lines that hold a keyword; # and ! begin a comment anywhere."""
    lines = []
    for number, row in enumerate(rows, start=1):
        words = row.split("#", 1)[0].split("!", 1)[0].split()
        if words:
            lines.append(Line(number, words[0], tuple(words[1:])))
    return lines


def one_token(tokens: tuple[str, ...]) -> str:
    """The only one of some tokens. Raises Mistake."""
    if len(tokens) != 1:
        raise Mistake(f"expected one value, found {len(tokens)}: {' '.join(tokens)!r}")
    return tokens[0]


def one_argument(line: Line) -> str:
    """The only argument of a line. Raises Mistake."""
    return one_token(line.arguments)


def positive_number(token: str) -> float:
    """A positive number. Raises Mistake."""
    value = to_float(token)
    if value <= 0.0:
        raise Mistake(f"expected a positive number, found {token}")
    return value


def layer_count(token: str) -> int:
    """A number of hidden layers. Raises Mistake."""
    n = to_int(token, "a number of hidden layers")
    if n < 1:
        raise Mistake(f"a network needs at least one hidden layer, found {n}")
    if n > MOST_LAYERS:
        raise Mistake(f"a network may have {MOST_LAYERS} hidden layers, found {n}")
    return n


def node_count(token: str) -> int:
    """A number of nodes. Raises Mistake."""
    n = to_int(token, "a number of nodes")
    if n < 1:
        raise Mistake(f"a layer needs at least one node, found {n}")
    return n


def activation_letters(tokens: tuple[str, ...]) -> str:
    """The letters of a network's activations, as one word. Raises Mistake."""
    if any(token.isdigit() for token in tokens):
        raise Mistake(
            f"found {' '.join(tokens)!r}, expected one letter per layer; activations of single nodes "
            "(RuNNer) are not "
            "supported"
        )
    for token in tokens:
        if len(token) != 1 or token not in ACTIVATIONS:
            raise Mistake(f"unknown activation {token!r}; known: {' '.join(ACTIVATIONS)}")
    if not tokens:
        raise Mistake("expected one letter per layer, found none")
    return "".join(tokens)
