"""A proposed set of symmetry functions for structures, with a report on its cost and resolution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from mdnnp.base.report.plain import plain
from mdnnp.potentials.hdnnp.files.writer import function_line
from mdnnp.potentials.hdnnp.functions.generate import Cost, FunctionSets, cost, default_functions, pool
from mdnnp.training.dataset import LabelledStructure
from mdnnp.training.redundancy import Redundancy, redundancy
from mdnnp.training.redundancy import text as redundancy_text
from mdnnp.training.selection import sample, select_functions

_REPORT_ATOMS = 1500  # environments that the report looks at, about
_NEIGHBORS = (20, 50, 100)  # for which operations are estimated


@dataclass(frozen=True)
class Proposal:
    """Functions by centre, lengths in Å; cost by centre; report on the structures.

    candidates : how many functions by centre there were to choose from; unexplained : share of the labels' (or of the
        pool's) squares that no linear model of the functions explains, NaN if the method does not compute it
    """

    functions: FunctionSets
    cost: dict[str, Cost]
    report: Redundancy
    candidates: dict[str, int]
    unexplained: float
    exit_code = 0

    def text(self) -> str:
        """Lines for `input.nn`, the report before them as comments."""
        lines = []
        for symbol, c in self.cost.items():
            operations = ", ".join(f"{c.operations(n) / 1000:.0f} thousand for {n}" for n in _NEIGHBORS)
            lines += [
                f"{symbol}: {c.functions} functions ({self.candidates[symbol]} candidates): {c.radial} radial; "
                f"{c.moment_sets} sets of moments with {c.moments} moments; "
                f"{c.windows} windows and {c.pair_functions} functions over pairs of neighbours",
                f"{'':{len(symbol)}}  floating-point operations, roughly: {operations} neighbours",
            ]
        if np.isfinite(self.unexplained):
            lines.append(
                f"Linear models of these functions leave {self.unexplained:.2%} of the sum of squares unexplained."
            )
        lines += ["", *redundancy_text(self.report).split("\n")]
        functions = [function_line(f) for own in self.functions.values() for f in own]
        return "\n".join([*(f"# {line}".rstrip() for line in lines), "", *functions])

    def as_dict(self) -> dict:
        """The proposal in terms of JSON; functions as lines of `input.nn`; None for numbers that are not finite."""
        return {
            "functions": {s: [function_line(f) for f in own] for s, own in self.functions.items()},
            "cost": {s: plain(c) for s, c in self.cost.items()},
            "candidates": self.candidates,
            "unexplained": self.unexplained,
            "report": self.report.as_dict(),
        }


def propose(
    structures: Sequence[LabelledStructure],
    cutoff_A: float,
    n_functions: int,
    *,
    max_zeta: int = 4,
    method: str | None = None,
) -> Proposal:
    """Choose `n_functions` functions per element from `generate.pool` and report on them.

    method : of `select_functions`, or "grid": `default_functions`, whatever their number
    """
    numbers = sorted({int(z) for s in structures for z in np.unique(s.system.numbers)})
    elements = [chemical_symbols[z] for z in numbers]
    candidates = pool(elements, cutoff_A, max_zeta=max_zeta)
    unexplained = np.empty(0)
    if method == "grid":
        functions = default_functions(elements, cutoff_A, max_zeta=max_zeta)
    else:
        selection = select_functions(structures, candidates, n_functions, method=method)
        functions, unexplained = selection.functions, selection.unexplained
    return Proposal(
        functions,
        {symbol: cost(own) for symbol, own in functions.items()},
        redundancy(sample(structures, _REPORT_ATOMS), functions, candidates),
        {symbol: len(own) for symbol, own in candidates.items()},
        float(unexplained[-1]) if len(unexplained) else float("nan"),
    )
