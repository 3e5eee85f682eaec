"""`input.nn`: which elements, symmetry functions, cutoff, scaling and networks a potential has."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, NamedTuple

from ase.data import atomic_numbers

from mdnnp.base.errors import InputError, MdnnpWarning
from mdnnp.base.text_files import Mistake, Mistakes, read_lines, to_float, to_int
from mdnnp.potentials.hdnnp.files.function_lines import parse_function
from mdnnp.potentials.hdnnp.files.keywords import (
    ALIASES,
    CHARGES,
    CHARGES_IGNORED,
    CHARGES_REFUSED,
    CHARGES_REPEATABLE,
    FLAGS,
    IGNORED,
    MODEL,
    REPEATABLE,
    is_runner_2,
    refusal,
)
from mdnnp.potentials.hdnnp.files.lines import (
    Line,
    activation_letters,
    layer_count,
    node_count,
    one_argument,
    one_token,
    positive_number,
    split_lines,
)
from mdnnp.potentials.hdnnp.functions.definitions import CUTOFF_NAMES, SymmetryFunction

# Lines of RuNNer that stand for the functions of several centres and all their neighbours' elements.
_SHORTHAND = ("global_symfunction_short", "element_symfunction_short")
_SHORTHAND_TYPES = (2, 3, 9)  # of those that RuNNer knows
SCREENING_CORES = ("c", "p1", "p2", "p3", "p4", "e")

# What `nnp_type` says of potentials with charges, and the generation of `model.ChargeModel`.
GENERATIONS = {"4": "4G", "4G-HDNNP": "4G", "Q-HDNNP": "Q", "10": "Q", "3": "3G", "3G-HDNNP": "3G"}


class Topology(NamedTuple):
    """Hidden layers of a network, and one activation letter per layer, the output layer included."""

    nodes: tuple[int, ...]
    activations: str


class ChargeSettings(NamedTuple):
    """What an `input.nn` says of the charges; see `model.ChargeModel`.

    topologies, n2p2_topology : of the networks of the charges, as in `Settings`
    """

    topologies: dict[str, tuple[Topology, ...]]
    n2p2_topology: dict[str, Topology]
    widths: dict[str, float]
    screening: tuple[float, float, str] | None
    four_pi_epsilon: float
    conv_charge: float
    generation: str


@dataclass(frozen=True)
class Settings:
    """What `input.nn` says about the model; see `model.HDNNPModel` for the fields that they share.

    elements : symbols in order of atomic number
    functions : per element, in the potential's order
    topologies : per element, the readings that its lines allow: one, or two where `element_nodes_short` could
        be meant as n2p2 reads it or as RuNNer does (the weights file then decides)
    n2p2_topology : per element, what n2p2 itself makes of the lines: it leaves the last hidden layer and the
        output's activation at their global values
    charges : of a potential with charges, else None
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


def read_settings(path: Path, charged: bool = False) -> Settings:
    """Understand an `input.nn`; that of a potential with charges if `charged`, else of one without.

    Raises InputError that lists every mistake with its line.
    """
    return _Parser(path, split_lines(read_lines(path)), charged).parse()


def has_charges(path: Path) -> bool:
    """Whether an `input.nn` states that its potential has charges."""
    return any(
        ALIASES.get(line.keyword, line.keyword) == "nnp_type" and line.arguments and line.arguments[0] in GENERATIONS
        for line in split_lines(read_lines(path))
    )


@dataclass
class _Parser:
    """Lines by keyword, and the mistakes found so far. Every `_method` reads one group of keywords."""

    path: Path
    lines: list[Line]
    charged: bool = False
    found: dict[str, list[Line]] = field(default_factory=dict)
    elements: tuple[str, ...] = ()

    def __post_init__(self):
        self.mistakes = Mistakes(self.path)

    def parse(self) -> Settings:
        self._refuse_runner_2()
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
            charges=self._charges() if self.charged else None,
            **self._normalization(),
        )
        self.mistakes.raise_any()
        return settings

    # -- lines and keywords

    def _refuse_runner_2(self):
        """Refuse, alone and by name, a file of RuNNer 2, whose lines look like n2p2's and mean something else."""
        lines = [line for line in self.lines if is_runner_2(line.keyword)]
        if not lines:
            return
        cutoffs = [line for line in lines if line.keyword.startswith("fc_") and len(line.arguments) > 1]
        example = (
            f"{cutoffs[0].arguments[-1]} in place of {cutoffs[0].arguments[0]}, as line {cutoffs[0].number} has it"
            if cutoffs
            else "as its fc_ line has it"
        )
        raise InputError(
            f"{self.path}:{lines[0].number}: {lines[0].keyword} is a keyword of RuNNer 2, whose input.nn is not read: "
            "a symfunction line there ends in the number of a cutoff function, where n2p2 and RuNNer 1 have the cutoff "
            "radius. Write the potential with the keywords of n2p2: cutoff_type (1 for fc_cosine), the radius at the "
            f"end of each symfunction_short line ({example}), scale_symmetry_functions, center_symmetry_functions, "
            "global_hidden_layers_short, global_nodes_short, global_activation_short; call the files scaling.data and "
            "weights.ZZZ.data"
        )

    def _sort_lines(self):
        """Group the lines by keyword; note unknown, unsupported and repeated ones and arguments of flags."""
        for line in self.lines:
            keyword = ALIASES.get(line.keyword, line.keyword)
            charges = self.charged and keyword in CHARGES
            if self.charged and keyword in CHARGES_REFUSED:
                reason = CHARGES_REFUSED[keyword]
                self.mistakes.add(line.number, f"keyword {line.keyword!r} changes the model: {reason}")
                continue
            if (keyword in IGNORED and not charges) or (self.charged and keyword in CHARGES_IGNORED):
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
        return self._attempt(self._single(keyword), lambda line: to_float(one_argument(line)), default)

    # -- elements, generation

    def _generation(self) -> bool:
        """Refuse, alone and by name, a potential with charges where none is wanted; whether the file states it."""
        line = self._single("nnp_type")
        name = self._attempt(line, one_argument, "2")
        if self.charged and name in GENERATIONS:
            pass
        elif name in GENERATIONS:
            raise InputError(
                f"{self.path}:{line.number}: {line.keyword} {name}: a {GENERATIONS[name]} potential has charges, which "
                "do not go with what is done here; open it with load_potential"
            )
        elif name not in ("2", "2G-HDNNP"):
            self.mistakes.add(line.number, f"{line.keyword}: expected 2 or 2G-HDNNP, found {name!r}")
        short = self._single("nn_type_short")
        if self._attempt(short, one_argument, "1") != "1":
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
        count = self._attempt(count_line, lambda line: to_int(one_argument(line)), len(elements))
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
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
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
        given = self._per_element("atom_energy", lambda rest: to_float(one_token(rest)))
        return {symbol: given.get(symbol, 0.0) for symbol in self.elements}

    # -- descriptor

    def _cutoff(self) -> tuple[int, float]:
        """Type and alpha. RuNNer leaves out type 1, its default (n2p2 insists), and has a keyword for alpha."""

        def read_alpha(token):
            alpha = to_float(token)
            if not 0.0 <= alpha < 1.0:
                raise Mistake(f"alpha is {token}, expected 0 <= alpha < 1 (inner cutoff as a fraction of the cutoff)")
            return alpha

        def read(line):
            if not 1 <= len(line.arguments) <= 2:
                raise Mistake(f"expected a type and, at will, alpha, found {len(line.arguments)} arguments")
            number = to_float(line.arguments[0], "a cutoff type from 0 to 8")  # some write it 6.0
            if number not in range(len(CUTOFF_NAMES)):
                names = ", ".join(f"{n} {name}" for n, name in enumerate(CUTOFF_NAMES))
                raise Mistake(f"unknown cutoff type {line.arguments[0]}; known: {names}")
            return int(number), read_alpha(line.arguments[1]) if len(line.arguments) == 2 else 0.0

        line, own = self._single("cutoff_type"), self._single("cutoff_alpha")
        kind, alpha = self._attempt(line, read, (1, 0.0))
        if own is not None and line is not None and len(line.arguments) == 2:
            self.mistakes.add(own.number, f"cutoff_alpha is given again; line {line.number} has it after the type")
        return kind, self._attempt(own, lambda line: read_alpha(one_argument(line)), alpha)

    def _functions(self) -> dict[str, tuple[SymmetryFunction, ...]]:
        functions: dict[str, list[SymmetryFunction]] = {symbol: [] for symbol in self.elements}
        lines = [(line, (line.arguments,)) for line in self.found.get("symfunction_short", [])]
        for keyword in _SHORTHAND:
            lines += [(line, self._attempt(line, self._written_out, ())) for line in self.found.get(keyword, [])]
        for line, written_out in lines:
            for arguments in written_out:
                read = partial(parse_function, arguments, self._check_element)
                f = self._attempt(line, lambda _, read=read: read(), None)
                if f is None:
                    break  # the others of a shorthand would only repeat the mistake
                if self.elements:
                    functions[f.center].append(f)
                if f.zeta < 0.0:
                    warnings.warn(
                        f"{self.path}:{line.number}: zeta = {f.zeta:g} is negative: the function grows without end "
                        "where 1 + lambda cos(theta) goes to zero; are lambda and zeta exchanged?",
                        MdnnpWarning,
                        stacklevel=4,
                    )
        self._refuse_numbered_cutoffs([line for line, _ in lines])
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

    def _written_out(self, line: Line) -> list[tuple[str, ...]]:
        """Arguments of the symfunction_short lines that a line of `_SHORTHAND` stands for."""
        words, centers = line.arguments, self.elements
        if line.keyword == "element_symfunction_short":
            if not words:
                raise Mistake("expected the centre's element, the type and its parameters")
            self._check_element(words[0])
            words, centers = words[1:], words[:1]
        if not words:
            raise Mistake("expected the type of a symmetry function and its parameters")
        kind = to_int(words[0], "the type of a symmetry function")
        if kind not in _SHORTHAND_TYPES:
            raise Mistake(
                f"type {kind} of RuNNer is not read from such a line, only {', '.join(map(str, _SHORTHAND_TYPES))}; "
                "write the functions out as symfunction_short lines, one per function"
            )
        if kind == 2:
            neighbors: list[tuple[str, ...]] = [(e,) for e in self.elements]
        else:
            neighbors = list[tuple[str, ...]](combinations_with_replacement(self.elements, 2))
        return [(center, words[0], *pair, *words[1:]) for center in centers for pair in neighbors]

    def _refuse_numbered_cutoffs(self, lines: list[Line]):
        """Note it if the lines end in 1 (and 2, ...) where the radius should be: RuNNer 2 and runnerase write so."""
        last = [line.arguments[-1] for line in lines if line.arguments]
        numbers = sorted(set(last))
        if last and numbers == sorted(str(k + 1) for k in range(len(numbers))):
            self.mistakes.add(
                lines[0].number,
                f"{lines[0].keyword}: all such lines end in {' or '.join(numbers)}, without a decimal point: it seems "
                "to be the number of a cutoff function, as RuNNer 2 and runnerase 2 write it (runnerase drops the "
                "radius of an older input), not the cutoff radius. Put the radius there; if it is the radius, write "
                + " or ".join(f"{n}.0" for n in numbers),
            )

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

        generation = GENERATIONS.get(self._attempt(self._single("nnp_type"), one_argument, "4"), "4G")
        widths = self._per_element("fixed_gausswidth", lambda rest: positive_number(one_token(rest)))
        for symbol in self.elements:
            if not self.mistakes and symbol not in widths and generation == "4G":
                self.mistakes.add(0, f"element {symbol} has no line 'fixed_gausswidth {symbol} <width>'")
        four_pi_epsilon = self._attempt(
            self._single("four_pi_epsilon"), lambda line: positive_number(one_argument(line)), 1.0
        )
        topologies, n2p2_topology = self._topologies("electrostatic")
        return ChargeSettings(
            topologies,
            n2p2_topology,
            widths,
            self._attempt(self._single("screen_electrostatics"), screening, None),
            four_pi_epsilon,
            self._number("conv_charge", 1.0),
            generation,
        )

    # -- networks

    def _topologies(self, kind: str = "short") -> tuple[dict[str, tuple[Topology, ...]], dict[str, Topology]]:
        hidden, nodes, activations = self._global_topology(kind)
        own_hidden = self._per_element(f"element_hidden_layers_{kind}", lambda rest: layer_count(one_token(rest)))
        own_activations = self._per_element(f"element_activation_{kind}", activation_letters)
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
        hidden = self._attempt(lines[0], lambda line: layer_count(one_argument(line)), None)
        nodes = self._attempt(lines[1], lambda line: tuple(node_count(n) for n in line.arguments), ())
        letters = self._attempt(lines[2], lambda line: activation_letters(line.arguments), "")
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
        by_element: dict[str, list[tuple[Line, tuple[int, ...]]]] = {}

        def read(line):
            if len(line.arguments) < 2:
                raise Mistake(f"expected an element and numbers of nodes, found {' '.join(line.arguments)!r}")
            self._check_element(line.arguments[0])
            values = tuple(node_count(n) for n in line.arguments[1:])
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
