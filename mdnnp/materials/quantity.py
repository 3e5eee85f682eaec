"""A part of the report: numbers with names, units and the extrapolations of the potential; curves; notes."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mdnnp.materials.crystal import Coverage


class Quantity(NamedTuple):
    """A number of the report.

    key : its name in JSON, unit included; name : for people; unit : "" for a pure number
    coverage : of the worst configuration behind it; detail : not for a short table
    """

    key: str
    name: str
    value: float
    unit: str
    coverage: Coverage
    detail: bool = False


@dataclass
class Part:
    """A part of the report.

    name : as on the command line; quantities, notes : what was found, and what must be said
    curves : name of a CSV file -> (column names, rows); result : the record behind it, for figures
    failure : why there is nothing; "" if there is
    """

    name: str
    quantities: list[Quantity] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    curves: dict[str, tuple[tuple[str, ...], np.ndarray]] = field(default_factory=dict)
    result: object = None
    failure: str = ""
