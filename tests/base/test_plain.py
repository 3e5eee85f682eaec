"""Results as JSON."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mdnnp.base.report.plain import plain, to_json


@dataclass(frozen=True)
class Record:
    """A record."""

    values: np.ndarray
    path: Path


class Pair(NamedTuple):
    """A named tuple."""

    a: float
    b: tuple


def test_everything_becomes_plain_and_what_is_not_finite_becomes_null():
    found = {
        "array": np.array([[1.0, np.nan], [np.inf, 2.0]]),
        "scalar": np.float64("nan"),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "record": Record(np.arange(2), Path("a/b")),
        "pair": Pair(-math.inf, (1, "x", None)),
        6: 0.5,
    }
    expected = {
        "array": [[1.0, None], [None, 2.0]],
        "scalar": None,
        "count": 3,
        "flag": True,
        "record": {"values": [0, 1], "path": "a/b"},
        "pair": {"a": None, "b": [1, "x", None]},
        "6": 0.5,
    }
    assert plain(found) == expected
    assert json.loads(to_json(found)) == expected
    assert plain(found)["flag"] is True


def test_all_digits_of_a_number_are_kept():
    assert json.loads(to_json(np.float64(0.1) + 0.2)) == 0.1 + 0.2


def test_what_has_no_form_in_json_is_refused():
    with pytest.raises(TypeError, match="object"):
        plain({"a": [object()]})
