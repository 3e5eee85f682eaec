"""Lines `symfunction_short` of input.nn: their columns, and checks of the values."""

import math
from collections.abc import Callable
from typing import Any

from ase.data import atomic_numbers

from mdnnp.base.text_files import Mistake, to_float, to_int
from mdnnp.potentials.hdnnp.functions.definitions import COMPACT, CORE_NAMES, LARGEST_CUTOFF, TYPES, SymmetryFunction

# Arguments of a symfunction_short line after the centre's element and the type; [optional].
FUNCTION_ARGUMENTS = {
    2: "e1 eta rs rc",
    3: "e1 e2 eta lambda zeta rc [rs]",
    9: "e1 e2 eta lambda zeta rc [rs]",
    12: "eta rs rc",
    13: "eta rs lambda zeta rc",
    20: "e1 rl rc subtype",
    21: "e1 e2 rl rc theta_l theta_r subtype",
    22: "e1 e2 rl rc theta_l theta_r subtype",
    23: "rl rc subtype",
    24: "rl rc theta_l theta_r subtype",
    25: "rl rc theta_l theta_r subtype",
}
FIELD_NAMES = {"rc": "cutoff", "lambda": "lam"}  # where SymmetryFunction names a parameter differently


def parse_function(arguments: tuple[str, ...], check_element: Callable[[str], None]) -> SymmetryFunction:
    """The symmetry function of a symfunction_short line. Raises Mistake; so does `check_element(symbol)`."""
    if len(arguments) < 2:
        raise Mistake("expected the centre's element, the type and its parameters")
    check_element(arguments[0])
    kind = to_int(arguments[1], "the type of a symmetry function")
    if kind not in TYPES:
        raise Mistake(f"unknown type {kind} of symmetry function; known: {', '.join(map(str, sorted(TYPES)))}")
    names = FUNCTION_ARGUMENTS[kind].split()
    tokens = arguments[2:]
    least = sum(not name.startswith("[") for name in names)
    if not least <= len(tokens) <= len(names):
        raise Mistake(
            f"type {kind} takes {least if least == len(names) else f'{least} or {len(names)}'} parameters "
            "after the type "
            f"({FUNCTION_ARGUMENTS[kind]}), found {len(tokens)}"
        )
    neighbors: list[str] = []
    values: dict[str, Any] = {}
    for name, token in zip((n.strip("[]") for n in names), tokens, strict=False):
        if name in ("e1", "e2"):
            check_element(token)
            neighbors.append(token)
        elif name == "subtype":
            if token not in CORE_NAMES:
                raise Mistake(f"unknown subtype {token!r}; known: {', '.join(CORE_NAMES)}")
            values[name] = token
        else:
            values[FIELD_NAMES.get(name, name)] = to_float(token, f"a number for {name}")
    neighbors.sort(key=lambda symbol: atomic_numbers.get(symbol, 0))
    f = SymmetryFunction(arguments[0], kind, tuple(neighbors), **values)
    _check_function(f)
    return f


def _check_function(f: SymmetryFunction) -> None:
    """Raise Mistake for parameters that are not valid."""
    if f.cutoff <= 0.0:
        raise Mistake(f"the cutoff rc must be positive, found {f.cutoff:g}")
    if f.cutoff > LARGEST_CUTOFF:
        raise Mistake(f"the cutoff rc must be at most {LARGEST_CUTOFF:g}, found {f.cutoff:g}")
    if f.eta < 0.0:
        raise Mistake(f"eta must not be negative (the function would grow with distance), found {f.eta:g}")
    if f.type not in COMPACT:
        return
    if f.rl >= f.cutoff:
        raise Mistake(f"rl must be below rc, found rl = {f.rl:g} and rc = {f.cutoff:g}")
    if f.type in (20, 23):
        return
    if f.theta_l >= f.theta_r:
        raise Mistake(f"theta_l must be below theta_r, found {f.theta_l:g} and {f.theta_r:g}")
    if f.theta_r - f.theta_l > 360.0:
        raise Mistake(f"theta_l = {f.theta_l:g} to theta_r = {f.theta_r:g} spans more than 360 degrees")
    middle = 0.5 * (f.theta_l + f.theta_r)
    if (f.theta_l < 0.0 and not math.isclose(middle, 0.0, abs_tol=1e-9)) or (
        f.theta_r > 180.0 and not math.isclose(middle, 180.0)
    ):
        raise Mistake(
            f"theta_l = {f.theta_l:g} to theta_r = {f.theta_r:g} leaves [0, 180], which is allowed only around 0 or 180"
        )
