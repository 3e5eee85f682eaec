"""`input.nn`: which elements, symmetry functions, cutoff, scaling and networks a potential has."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ase.data import atomic_numbers

from mdnnp.acsf.functions import COMPACT, CORE_NAMES, CUTOFF_NAMES, TYPES, SymmetryFunction
from mdnnp.errors import InputError, MdnnpWarning
from mdnnp.mlp import ACTIVATIONS
from mdnnp.n2p2.keywords import (
    ALIASES,
    CHARGES,
    CHARGES_IGNORED,
    CHARGES_REFUSED,
    CHARGES_REPEATABLE,
    FLAGS,
    IGNORED,
    MODEL,
    REPEATABLE,
    refusal,
)
from mdnnp.n2p2.text import Mistake, Mistakes, read_lines, to_float, to_int

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
SCREENING_CORES = ("c", "p1", "p2", "p3", "p4", "e")
FIELD_NAMES = {"rc": "cutoff", "lambda": "lam"}  # where SymmetryFunction names a parameter differently

FOURTH_GENERATION = ("4", "4G-HDNNP")
_NOT_HERE = (
    "fourth-generation potentials (4G: charges by equilibration) run in mdnnp, but to train or convert them is not "
    "supported"
)
_GENERATIONS = {
    **dict.fromkeys(FOURTH_GENERATION, _NOT_HERE),
    "Q-HDNNP": "Q-HDNNP potentials (charges from a network) are not supported",
    "10": "Q-HDNNP potentials (charges from a network) are not supported",
    "3": "third-generation potentials (electrostatics) are not supported",
}


class Topology(NamedTuple):
    """Hidden layers of a network, and one activation letter per layer, the output layer included."""

    nodes: tuple[int, ...]
    activations: str


class ChargeSettings(NamedTuple):
    """What a fourth-generation `input.nn` says of the charges; see `model.ChargeModel`.

    topologies, n2p2_topology : of the electronegativity networks, as in `Settings`
    """

    topologies: dict[str, tuple[Topology, ...]]
    n2p2_topology: dict[str, Topology]
    widths: dict[str, float]
    screening: tuple[float, float, str] | None
    four_pi_epsilon: float
    conv_charge: float


@dataclass(frozen=True)
class Settings:
    """What `input.nn` says about the model; see `model.HDNNPModel` for the fields that they share.

    elements : symbols in order of atomic number
    functions : per element, in the potential's order
    topologies : per element, the readings that its lines allow: one, or two where `element_nodes_short` could
        be meant as n2p2 reads it or as RuNNer does (the weights file then decides)
    n2p2_topology : per element, what n2p2 itself makes of the lines: it leaves the last hidden layer and the
        output's activation at their global values
    charges : of a fourth-generation potential, else None
    """

    elements: tuple[str, ...]
    functions: dict[str, tuple[SymmetryFunction, ...]]
    atom_energy: dict[str, float]
    cutoff_type: int
    cutoff_alpha: float
    scaling_mode: str
    scale_min: float
    scale_max: float
    topologies: dict[str, tuple[Topology, ...]]
    n2p2_topology: dict[str, Topology]
    normalize_nodes: bool
    generation_stated: bool
    normalized: bool = False
    mean_energy: float = 0.0
    conv_energy: float = 1.0
    conv_length: float = 1.0
    charges: ChargeSettings | None = None


class Line(NamedTuple):
    """A line with a keyword: its number (from 1), the keyword as spelled, the arguments."""

    number: int
    keyword: str
    arguments: tuple[str, ...]


def read_settings(path: Path, fourth: bool = False) -> Settings:
    """Understand an `input.nn`; a fourth-generation one only if `fourth`.

    Raises InputError that lists every mistake with its line.
    """
    return _Parser(path, split_lines(read_lines(path)), fourth).parse()


def is_fourth_generation(path: Path) -> bool:
    """Whether an `input.nn` states that its potential is of the fourth generation."""
    return any(
        ALIASES.get(line.keyword, line.keyword) == "nnp_type"
        and line.arguments[:1] in [(s,) for s in FOURTH_GENERATION]
        for line in split_lines(read_lines(path))
    )


def split_lines(rows: list[str]) -> list[Line]:
    """The lines that hold a keyword; # and ! begin a comment anywhere."""
    lines = []
    for number, row in enumerate(rows, start=1):
        words = row.split("#", 1)[0].split("!", 1)[0].split()
        if words:
            lines.append(Line(number, words[0], tuple(words[1:])))
    return lines


@dataclass
class _Parser:
    """Lines by keyword, and the mistakes found so far. Every `_method` reads one group of keywords."""

    path: Path
    lines: list[Line]
    fourth: bool = False
    found: dict[str, list[Line]] = field(default_factory=dict)
    elements: tuple[str, ...] = ()

    def __post_init__(self):
        self.mistakes = Mistakes(self.path)

    def parse(self) -> Settings:
        self._sort_lines()
        generation_stated = self._generation()
        self.elements = self._elements()
        cutoff_type, cutoff_alpha = self._cutoff()
        scale_min, scale_max = self._scale_range()
        topologies, n2p2_topology = self._topologies()
        settings = Settings(
            elements=self.elements,
            functions=self._functions(),
            atom_energy=self._atom_energies(),
            cutoff_type=cutoff_type,
            cutoff_alpha=cutoff_alpha,
            scaling_mode=self._scaling_mode(),
            scale_min=scale_min,
            scale_max=scale_max,
            topologies=topologies,
            n2p2_topology=n2p2_topology,
            normalize_nodes="normalize_nodes" in self.found,
            generation_stated=generation_stated,
            charges=self._charges() if self.fourth else None,
            **self._normalization(),
        )
        self.mistakes.raise_any()
        return settings

    # -- lines and keywords

    def _sort_lines(self):
        """Group the lines by keyword; note unknown, unsupported and repeated ones and arguments of flags."""
        for line in self.lines:
            keyword = ALIASES.get(line.keyword, line.keyword)
            charges = self.fourth and keyword in CHARGES
            if self.fourth and keyword in CHARGES_REFUSED:
                reason = CHARGES_REFUSED[keyword]
                self.mistakes.add(line.number, f"keyword {line.keyword!r} changes the model: {reason}")
                continue
            if (keyword in IGNORED and not charges) or (self.fourth and keyword in CHARGES_IGNORED):
                continue
            if keyword not in MODEL and not charges:
                self.mistakes.add(line.number, refusal(line.keyword))
                continue
            earlier = self.found.setdefault(keyword, [])
            if earlier and earlier[0].keyword != line.keyword:
                self.mistakes.add(
                    line.number,
                    f"{line.keyword!r} and {earlier[0].keyword!r} (line {earlier[0].number}) are two "
                    "spellings of one "
                    "keyword; use one of them throughout",
                )
            elif earlier and keyword not in REPEATABLE | CHARGES_REPEATABLE:
                self.mistakes.add(
                    line.number, f"{line.keyword!r} is given again; first given at line {earlier[0].number}"
                )
            if keyword in FLAGS and line.arguments:
                self.mistakes.add(
                    line.number,
                    f"{line.keyword} takes no argument, found {' '.join(line.arguments)!r} (its presence "
                    "switches it on; to "
                    "switch it off, delete the line)",
                )
            earlier.append(line)

    def _single(self, keyword: str) -> Line | None:
        lines = self.found.get(keyword)
        return lines[0] if lines else None

    def _required(self, keyword: str) -> Line | None:
        line = self._single(keyword)
        if line is None:
            self.mistakes.add(0, f"keyword {keyword!r} is missing")
        return line

    def _attempt(self, line: Line | None, read: Callable, default):
        """read(line), or `default` if there is no line or it is wrong, which is then noted."""
        if line is None:
            return default
        try:
            return read(line)
        except Mistake as mistake:
            self.mistakes.add(line.number, f"{line.keyword}: {mistake}")
            return default

    def _number(self, keyword: str, default: float) -> float:
        return self._attempt(self._single(keyword), lambda line: to_float(_one(line)), default)

    # -- elements, generation

    def _generation(self) -> bool:
        """Refuse, alone and by name, what is no second-generation potential; whether the file states it."""
        line = self._single("nnp_type")
        name = self._attempt(line, _one, "2")
        if self.fourth and name in FOURTH_GENERATION:
            pass
        elif name in _GENERATIONS:
            raise InputError(f"{self.path}:{line.number}: {line.keyword} {name}: {_GENERATIONS[name]}")
        elif name not in ("2", "2G-HDNNP"):
            self.mistakes.add(line.number, f"{line.keyword}: expected 2 or 2G-HDNNP, found {name!r}")
        short = self._single("nn_type_short")
        if self._attempt(short, _one, "1") != "1":
            self.mistakes.add(
                short.number,
                f"nn_type_short {short.arguments[0]}: only 1 (networks of atoms, not pairs) is supported",
            )
        return line is not None

    def _elements(self) -> tuple[str, ...]:
        def read(line):
            if not line.arguments:
                raise Mistake("expected symbols of elements, found none")
            unknown = [s for s in line.arguments if atomic_numbers.get(s, 0) == 0]
            if unknown:
                raise Mistake(f"{unknown[0]!r} is no chemical element")
            repeated = {s for s in line.arguments if line.arguments.count(s) > 1}
            if repeated:
                raise Mistake(f"{min(repeated)} is given twice")
            return tuple(sorted(line.arguments, key=atomic_numbers.__getitem__))

        line, count_line = self._required("elements"), self._required("number_of_elements")
        elements = self._attempt(line, read, ())
        count = self._attempt(count_line, lambda line: to_int(_one(line)), len(elements))
        if elements and count != len(elements):
            self.mistakes.add(
                count_line.number,
                f"number_of_elements is {count}, but elements (line {line.number}) lists {len(elements)}: "
                + " ".join(elements),
            )
        return elements

    def _check_element(self, symbol: str):
        # Without a valid list of elements nothing more can be said about a symbol.
        if self.elements and symbol not in self.elements:
            raise Mistake(f"element {symbol!r} is not among the elements {' '.join(self.elements)}")

    def _per_element(self, keyword: str, read: Callable) -> dict:
        """{element: read(other arguments)} of a keyword whose first argument is an element, one line each."""
        values, first = {}, {}
        for line in self.found.get(keyword, ()):

            def read_line(line):
                if len(line.arguments) < 2:
                    raise Mistake(f"expected an element and its value, found {' '.join(line.arguments)!r}")
                symbol = line.arguments[0]
                self._check_element(symbol)
                if symbol in first:
                    raise Mistake(f"{symbol} is given again; first given at line {first[symbol]}")
                return symbol, read(line.arguments[1:])

            pair = self._attempt(line, read_line, None)
            if pair:
                first[pair[0]], values[pair[0]] = line.number, pair[1]
        return values

    def _line_of(self, keyword: str, symbol: str) -> int:
        """Line of a keyword about this element; 0 if there is none."""
        return next((line.number for line in self.found.get(keyword, ()) if symbol in line.arguments[:1]), 0)

    def _atom_energies(self) -> dict[str, float]:
        given = self._per_element("atom_energy", lambda rest: to_float(_only(rest)))
        return {symbol: given.get(symbol, 0.0) for symbol in self.elements}

    # -- descriptor

    def _cutoff(self) -> tuple[int, float]:
        def read(line):
            if not 1 <= len(line.arguments) <= 2:
                raise Mistake(f"expected a type and, at will, alpha, found {len(line.arguments)} arguments")
            kind = to_int(line.arguments[0], "a cutoff type from 0 to 8")
            if not 0 <= kind < len(CUTOFF_NAMES):
                names = ", ".join(f"{n} {name}" for n, name in enumerate(CUTOFF_NAMES))
                raise Mistake(f"unknown cutoff type {kind}; known: {names}")
            alpha = to_float(line.arguments[1]) if len(line.arguments) == 2 else 0.0
            if not 0.0 <= alpha < 1.0:
                raise Mistake(
                    f"alpha is {line.arguments[1]}, expected 0 <= alpha < 1 (inner cutoff as a fraction of the cutoff)"
                )
            return kind, alpha

        return self._attempt(self._required("cutoff_type"), read, (0, 0.0))

    def _functions(self) -> dict[str, tuple[SymmetryFunction, ...]]:
        functions = {symbol: [] for symbol in self.elements}
        lines = self.found.get("symfunction_short", [])
        for line in lines:
            f = self._attempt(line, lambda line: parse_function(line.arguments, self._check_element), None)
            if f is not None and self.elements:
                functions[f.center].append(f)
            if f is not None and f.zeta < 0.0:
                warnings.warn(
                    f"{self.path}:{line.number}: zeta = {f.zeta:g} is negative: the function grows without end where "
                    "1 + lambda cos(theta) goes to zero; are lambda and zeta exchanged?",
                    MdnnpWarning,
                    stacklevel=4,
                )
        if not lines:
            self.mistakes.add(0, "there is no symfunction_short line")
        elif not self.mistakes:
            for symbol in self.elements:
                if not functions[symbol]:
                    self.mistakes.add(
                        0,
                        f"element {symbol} has no symmetry functions (no line symfunction_short {symbol} ...)",
                    )
        return {s: tuple(sorted(fs, key=SymmetryFunction.sort_key)) for s, fs in functions.items()}

    def _scaling_mode(self) -> str:
        scale, center = "scale_symmetry_functions" in self.found, "center_symmetry_functions" in self.found
        if scale or center:  # n2p2 looks at _sigma only without these two
            return ("scale" if scale else "") + ("center" if center else "")
        return "scalesigma" if "scale_symmetry_functions_sigma" in self.found else "none"

    def _scale_range(self) -> tuple[float, float]:
        low, high = self._number("scale_min_short", 0.0), self._number("scale_max_short", 1.0)
        if low == high:
            line = self._single("scale_max_short") or self._single("scale_min_short")
            self.mistakes.add(line.number, f"scale_min_short and scale_max_short are both {low}: no range to scale to")
        return low, high

    def _normalization(self) -> dict:
        keywords = ("mean_energy", "conv_energy", "conv_length")
        given = [k for k in keywords if k in self.found]
        if given and len(given) < 3:
            missing = [k for k in keywords if k not in given]
            self.mistakes.add(
                self.found[given[0]][0].number,
                f"normalization needs {', '.join(keywords)}, all three or none; missing: {', '.join(missing)}",
            )
        values = {k: self._number(k, 1.0 if k != "mean_energy" else 0.0) for k in keywords}
        for keyword in (*keywords[1:], "conv_charge"):
            if self._number(keyword, 1.0) <= 0.0:
                line = self._single(keyword)
                self.mistakes.add(line.number, f"{keyword} must be positive, found {line.arguments[0]}")
        return {"normalized": bool(given), **values}

    # -- charges

    def _charges(self) -> ChargeSettings:
        def screening(line):
            if not 2 <= len(line.arguments) <= 3:
                raise Mistake(
                    f"expected inner and outer radius and, at will, a core, found {len(line.arguments)} words"
                )
            inner, outer = (to_float(token, "a radius") for token in line.arguments[:2])
            core = line.arguments[2] if len(line.arguments) == 3 else "c"
            if not 0.0 <= inner < outer:
                raise Mistake(f"need 0 <= inner radius < outer radius, found {inner:g} and {outer:g}")
            if core not in SCREENING_CORES:
                raise Mistake(f"unknown core {core!r}; known: {', '.join(SCREENING_CORES)}")
            return inner, outer, core

        widths = self._per_element("fixed_gausswidth", lambda rest: _positive(_only(rest)))
        for symbol in self.elements:
            if not self.mistakes and symbol not in widths:
                self.mistakes.add(0, f"element {symbol} has no line 'fixed_gausswidth {symbol} <width>'")
        four_pi_epsilon = self._attempt(self._single("four_pi_epsilon"), lambda line: _positive(_one(line)), 1.0)
        topologies, n2p2_topology = self._topologies("electrostatic")
        return ChargeSettings(
            topologies,
            n2p2_topology,
            widths,
            self._attempt(self._single("screen_electrostatics"), screening, None),
            four_pi_epsilon,
            self._number("conv_charge", 1.0),
        )

    # -- networks

    def _topologies(self, kind: str = "short") -> tuple[dict[str, tuple[Topology, ...]], dict[str, Topology]]:
        hidden, nodes, activations = self._global_topology(kind)
        own_hidden = self._per_element(f"element_hidden_layers_{kind}", lambda rest: _layer_count(_only(rest)))
        own_activations = self._per_element(f"element_activation_{kind}", _activation_letters)
        own_nodes = self._node_lines(kind)
        if self.mistakes:  # what follows would only repeat them
            return {}, {}
        readings, of_n2p2 = {}, {}
        for symbol in self.elements:
            n = own_hidden.get(symbol, hidden)
            if n is None:
                self.mistakes.add(
                    0,
                    f"keyword 'global_hidden_layers_{kind}' is missing (or element_hidden_layers_{kind} {symbol})",
                )
                continue
            base_nodes = nodes if nodes and n == hidden else (None,) * n
            letters = own_activations.get(symbol, activations if n == hidden else "")
            choices = self._node_readings(symbol, n, base_nodes, own_nodes.get(symbol, []), kind)
            if len(letters) != n + 1:
                own = symbol in own_activations or n != hidden
                self.mistakes.add(
                    self._line_of(f"element_activation_{kind}", symbol) if own else 0,
                    f"element {symbol} has {n} hidden layers: expected "
                    f"{f'element_activation_{kind} {symbol}' if own else f'global_activation_{kind}'} with "
                    f"{n + 1} letters "
                    f"(hidden layers, then the output), found {len(letters)}",
                )
            elif choices:
                readings[symbol] = tuple(Topology(choice, letters) for choice in choices)
                first = readings[symbol][0]
                last = base_nodes[-1] or first.nodes[-1]
                output = activations[-1] if activations else letters[-1]
                of_n2p2[symbol] = Topology((*first.nodes[:-1], last), letters[:-1] + output)
        return readings, of_n2p2

    def _global_topology(self, kind: str) -> tuple[int | None, tuple[int, ...], str]:
        """(number of hidden layers, their nodes, activations); None and empty where not given."""
        lines = [self._single(f"global_{k}_{kind}") for k in ("hidden_layers", "nodes", "activation")]
        hidden = self._attempt(lines[0], lambda line: _layer_count(_one(line)), None)
        nodes = self._attempt(lines[1], lambda line: tuple(_node_count(n) for n in line.arguments), ())
        letters = self._attempt(lines[2], lambda line: _activation_letters(line.arguments), "")
        if hidden is not None:
            for line, values, expected, what in (
                (lines[1], nodes, hidden, "numbers of nodes"),
                (lines[2], letters, hidden + 1, "letters (hidden layers, then the output)"),
            ):
                if line is not None and values and len(values) != expected:
                    self.mistakes.add(
                        line.number,
                        f"{line.keyword}: expected {expected} {what} for {hidden} hidden layers (line "
                        f"{lines[0].number}), "
                        f"found {len(values)}",
                    )
        return hidden, nodes, letters

    def _node_lines(self, kind: str) -> dict[str, list[tuple[Line, tuple[int, ...]]]]:
        """Lines of element_nodes_... by element, with their integers."""
        by_element = {}

        def read(line):
            if len(line.arguments) < 2:
                raise Mistake(f"expected an element and numbers of nodes, found {' '.join(line.arguments)!r}")
            self._check_element(line.arguments[0])
            values = tuple(_node_count(n) for n in line.arguments[1:])
            by_element.setdefault(line.arguments[0], []).append((line, values))

        for line in self.found.get(f"element_nodes_{kind}", ()):
            self._attempt(line, read, None)
        return by_element

    def _node_readings(self, symbol, hidden, base, lines, kind) -> list[tuple[int, ...]]:
        """Nodes of the hidden layers, one entry per way to read the lines; notes a mistake if there is none.

        n2p2: one line with the nodes of all hidden layers. RuNNer and n2p2 before 2.2: `layer nodes`, a line
        each.
        """
        readings = []
        if not lines:
            readings.append(base)
        if len(lines) == 1 and len(lines[0][1]) == hidden:
            readings.append(lines[0][1])
        layers = [values[0] for _, values in lines]
        by_layer = all(len(values) == 2 for _, values in lines) and len(set(layers)) == len(layers)
        if lines and by_layer and max(layers) <= hidden:
            nodes = list(base)
            for _, (layer, n) in lines:
                nodes[layer - 1] = n
            readings.append(tuple(nodes))
        readings = [r for k, r in enumerate(readings) if None not in r and r not in readings[:k]]
        if not readings:
            self.mistakes.add(
                lines[0][0].number if lines else 0,
                f"element {symbol} has {hidden} hidden layers: expected 'element_nodes_{kind} {symbol}' with "
                f"{hidden} numbers "
                f"of nodes, or one line '{symbol} <layer> <nodes>' per layer"
                + ("" if lines else f", or global_nodes_{kind}"),
            )
        return readings


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
    neighbors, values = [], {}
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
    """Raise Mistake for parameters that make no function."""
    if f.cutoff <= 0.0:
        raise Mistake(f"the cutoff rc must be positive, found {f.cutoff:g}")
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


def _only(tokens: tuple[str, ...]) -> str:
    if len(tokens) != 1:
        raise Mistake(f"expected one value, found {len(tokens)}: {' '.join(tokens)!r}")
    return tokens[0]


def _one(line: Line) -> str:
    return _only(line.arguments)


def _positive(token: str) -> float:
    value = to_float(token)
    if value <= 0.0:
        raise Mistake(f"expected a positive number, found {token}")
    return value


def _layer_count(token: str) -> int:
    n = to_int(token, "a number of hidden layers")
    if n < 1:
        raise Mistake(f"a network needs at least one hidden layer, found {n}")
    return n


def _node_count(token: str) -> int:
    n = to_int(token, "a number of nodes")
    if n < 1:
        raise Mistake(f"a layer needs at least one node, found {n}")
    return n


def _activation_letters(tokens: tuple[str, ...]) -> str:
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
