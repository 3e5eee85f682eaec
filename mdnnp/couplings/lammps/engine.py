"""The functions that the plugin (source/pair_mdnnp.cpp) calls, in the Python of the LAMMPS process.

The plugin owns all memory; its structures are mirrored here. A function returns 0, or 1 with a message.
"""

import ctypes
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from mdnnp.base.errors import InputError, MdnnpError
from mdnnp.couplings.lammps.domain import check_local, evaluate
from mdnnp.potentials.interface import Potential, known_elements
from mdnnp.potentials.load import load_potential

_MESSAGE_SIZE = 4096
_INT, _REAL, _AT = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


class _Block(ctypes.Structure):
    _fields_ = [
        ("centres", _INT), ("places", _INT), ("edges", _INT),
        ("positions", _AT), ("numbers", _AT), ("first", _AT), ("neighbor", _AT),
        ("energies", _AT), ("forces", _AT), ("virials", _AT), ("deviations", _AT), ("virial", _REAL * 9),
        ("extrapolations", _INT), ("place", _INT), ("function", _INT),
        ("value", _REAL), ("lower", _REAL), ("upper", _REAL),
    ]  # fmt: skip


class _Model(ctypes.Structure):
    _fields_ = [("handle", _INT), ("members", _INT), ("cutoff", _REAL)]


_TEXT, _MESSAGE = ctypes.c_char_p, ctypes.POINTER(ctypes.c_char)
_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int, _TEXT, _TEXT, _TEXT, _TEXT, ctypes.c_int, ctypes.POINTER(_Model),
    ctypes.POINTER(_INT), ctypes.POINTER(_REAL), _MESSAGE,
)  # fmt: skip
_EVALUATE = ctypes.CFUNCTYPE(ctypes.c_int, _INT, ctypes.POINTER(_Block), _MESSAGE)
_CLOSE = ctypes.CFUNCTYPE(None, _INT)


class _Engine(ctypes.Structure):
    _fields_ = [("open", _OPEN), ("evaluate", _EVALUATE), ("close", _CLOSE)]


_potentials: dict[int, Potential] = {}


def connect(address: int) -> None:
    """Fill the plugin's structure of functions at this address."""
    engine = _Engine.from_address(address)
    engine.open, engine.evaluate, engine.close = _FUNCTIONS


def open_potential(
    path: str, length_unit: str | None, energy_unit: str | None, symbols: list[str]
) -> tuple[Potential, list[int]]:
    """A potential that domains can be computed with, compiled, and the atomic number of each type, 0 for "NULL".

    Raises InputError for elements that it lacks or that are none, for missing units, and for what is not local.
    """
    try:
        potential = load_potential(path, length_unit, energy_unit)
    except InputError as error:
        if "--length-unit" in str(error):
            hint = f"write {path} length_unit U energy_unit U in pair_coeff, before the elements"
            raise InputError(f"{hint}: {error}") from None
        raise
    check_local(potential)
    for kind, symbol in enumerate(symbols, start=1):
        if symbol != "NULL" and atomic_numbers.get(symbol) not in potential.numbers:
            raise InputError(
                f"atom type {kind} is {symbol} by pair_coeff, but {path} is for {known_elements(potential)}"
            )
    lone = np.array(potential.numbers[:1])
    evaluate(potential, np.zeros((1, 3)), lone, np.zeros(2, np.int64), np.empty(0, np.int32))  # compiles
    return potential, [0 if symbol == "NULL" else atomic_numbers[symbol] for symbol in symbols]


def _reporting(work: Callable[..., None]) -> Callable[..., int]:
    """`work`, whose errors become a message in its last argument and the result 1."""

    def function(*arguments) -> int:
        try:
            work(*arguments[:-1])
        except MdnnpError as error:
            text = str(error)
        except BaseException:  # nothing may leave a callback
            text = "an error in Python\n" + traceback.format_exc()
        else:
            return 0
        ctypes.memmove(
            arguments[-1], text.encode()[: _MESSAGE_SIZE - 1] + b"\0", min(len(text.encode()) + 1, _MESSAGE_SIZE)
        )
        return 1

    return function


def _open(path, length_unit, energy_unit, symbols, speaks, model, numbers, masses) -> None:
    with warnings.catch_warnings():
        if not speaks:
            warnings.simplefilter("ignore")
        potential, found = open_potential(
            path.decode(), length_unit.decode() or None, energy_unit.decode() or None, symbols.decode().split()
        )
    handle = max(_potentials, default=-1) + 1
    _potentials[handle] = potential
    model[0].handle, model[0].cutoff = handle, potential.cutoff
    model[0].members = len(potential.parts) if potential.has_disagreement else 1
    for k, number in enumerate(found):
        numbers[k], masses[k] = number, atomic_masses[number]


def _view(address: int, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    size = int(np.prod(shape))
    if not size:
        return np.empty(shape, kind)
    return np.frombuffer((kind * size).from_address(address), dtype=kind).reshape(shape)


def _evaluate(handle, block) -> None:
    potential, one = _potentials[handle], block[0]
    n, centres = one.places, one.centres
    results = evaluate(
        potential,
        _view(one.positions, (n, 3), ctypes.c_double),
        _view(one.numbers, (n,), ctypes.c_int64),
        _view(one.first, (centres + 1,), ctypes.c_int64),
        _view(one.neighbor, (one.edges,), ctypes.c_int32),
        atomic_virials=bool(one.virials),
    )
    _view(one.energies, (centres,), ctypes.c_double)[:] = results.atomic_energies
    _view(one.forces, (n, 3), ctypes.c_double)[:] = results.forces
    one.virial[:] = results.virial.ravel().tolist()
    if one.virials:
        _view(one.virials, (n, 3, 3), ctypes.c_double)[:] = results.atomic_virials
    if one.deviations and results.disagreement is not None:
        deviations = results.disagreement.deviations
        _view(one.deviations, deviations.shape, ctypes.c_double)[:] = deviations
    events = results.extrapolation
    one.extrapolations = events.count
    if events.count:
        one.place, one.function = int(events.atom[0]), int(events.function[0])
        one.value, one.lower, one.upper = float(events.value[0]), float(events.lower[0]), float(events.upper[0])


def _close(handle, potentials=_potentials) -> None:
    potentials.pop(handle, None)


_FUNCTIONS = _OPEN(_reporting(_open)), _EVALUATE(_reporting(_evaluate)), _CLOSE(_close)
# A LAMMPS that is still there when Python ends closes its potentials after this module is gone.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_FUNCTIONS))
