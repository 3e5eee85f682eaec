"""Potentials of users' own: a function that a TOML file names makes them; what they give, and raise, is checked."""

import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError
from mdnnp.potentials.interface import Potential, Results
from mdnnp.potentials.keys import check_keys

_roots: set[str] = set()  # names of the modules, or of their packages, that made potentials


def own_potential(table: dict, path: Path, source: str) -> Potential:
    """The potential of a table with factory = "module:function" and perhaps [arguments].

    path : of the TOML file, beside which the module may be. Raises InputError, also for whatever the factory raises.
    """
    check_keys(table, {"factory", "arguments"}, source)
    factory, arguments = table.get("factory"), table.get("arguments", {})
    if not isinstance(factory, str) or factory.count(":") != 1 or not isinstance(arguments, dict):
        raise InputError(f'{source}: needs factory = "module:function", and may have [arguments] for it')
    name, function = factory.split(":")
    folder = path.parent.resolve()
    beside, loaded = folder / f"{name.replace('.', '/')}.py", sys.modules.get(name)
    if beside.is_file() and getattr(loaded, "__file__", None) not in (None, str(beside)):
        del sys.modules[name]  # of the same name from another folder: the file beside the TOML is meant
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    _roots.add(name.partition(".")[0])
    try:
        module = importlib.import_module(name)
        potential = getattr(module, function)(**arguments)
    except Exception as error:  # of code that is not ours
        place = place_of(error)
        reason = f"{type(error).__name__}: {error}" + (f" (at {place})" if place else "")
        raise InputError(f"{source}: factory = {factory!r} made no potential: {reason}") from None
    finally:
        sys.path.pop(0)
    if not isinstance(potential, Potential):
        raise InputError(
            f"{source}: {factory} gave a {type(potential).__name__}, not a subclass of "
            "mdnnp.potentials.interface.Potential"
        )
    potential.source = source
    file = inspect.getsourcefile(module)
    potential.files = (*potential.files, *([Path(file)] if file else []))
    potential.compute = _checked(potential)  # type: ignore[method-assign]
    return potential


def place_of(error: BaseException) -> str | None:
    """FILE:LINE in the code of a potential of the user's own that raised an exception; None if none was at work."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _roots:
            found = f"{frame.f_code.co_filename}:{line}"
    return found


def _checked(potential: Potential) -> Callable[..., Results]:
    """Its `compute`, which raises InputError for results that are not as `Results` says."""
    compute = potential.compute

    @functools.wraps(compute)
    def checked(system: System, *args: Any, **options: Any) -> Results:
        results, n = compute(system, *args, **options), len(system)
        if not isinstance(results, Results):
            raise InputError(f"{potential.source}: compute gave a {type(results).__name__}, expected mdnnp.Results")
        shapes: dict[str, list[tuple[int, ...]]] = {
            "energy": [()], "atomic_energies": [(n,)], "forces": [(n, 3)], "virial": [(3, 3)],
            "atomic_virials": [(n, 3, 3), (0, 3, 3)],
        }  # fmt: skip
        for name, expected in shapes.items():
            value = np.asarray(getattr(results, name))
            if value.shape not in expected or value.dtype.kind not in "fi":
                raise InputError(
                    f"{potential.source}: compute gave {name} of shape {value.shape} and type {value.dtype}, expected "
                    f"numbers of shape {' or '.join(map(str, expected))} for {n} atoms"
                )
        return results

    return checked
