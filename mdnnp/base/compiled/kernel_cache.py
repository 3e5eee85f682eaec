"""Compiled code on disk: saved between runs, under a hash of all its sources.

Numba's own cache looks at the file of a function alone, but compiled code holds what the function calls and the
constants that it reads from other modules: after a change there the old code would run. Its index of a function is
also written by two processes in turn, which can give the code of one signature to another. Here each compiled
signature is a file of its own, and its name has a hash of all Python files that it can be made from (its module and
what that imports) and of the versions of Numba, llvmlite and NumPy. So versions of the package may share a folder, and
what is found is always right.

A file that cannot be read or written costs time, never a run.
"""

import hashlib
import os
import pickle
import re
import uuid
import warnings
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

import mdnnp
from mdnnp.base.errors import MdnnpWarning

_KEPT = 4  # versions of a module of which code is kept
_IMPORT = re.compile(r"^\s*(?:from (mdnnp[\w.]*) import (\([^)]*\)|[^\n]*)|import (mdnnp[\w.]*))", re.MULTILINE)
_NAME = re.compile(r"-([0-9a-f]{16})-[0-9a-f]{16}\.nbc")


def _sources() -> dict[str, bytes]:
    """The Python files of the package by the name of their module."""
    root, found = Path(mdnnp.__file__).parent, {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            if name.endswith(".py"):
                path = Path(folder, name)
                parts = path.relative_to(root.parent).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_bytes()
    return found


def _imports(source: bytes) -> set[str]:
    """Names in the package that a file imports, be they modules or something in a module."""
    found = set()
    for match in _IMPORT.finditer(source.decode()):
        module, names = match[1] or match[3], (match[2] or "").strip("()").split(",")
        found |= {module, *(f"{module}.{name.split()[0]}" for name in names if name.strip())}
    return found


class _Digests:
    """Of each module, a hash of what its compiled functions may be made from: the module and all that it imports."""

    def __init__(self):
        self._sources = _sources()
        self._imports: dict[str, set[str]] = {}
        self._known: dict[str, str] = {}

    def of(self, module: str) -> str:
        """The hash of a module of the package; that of the whole package for a module elsewhere."""
        if module not in self._known:
            reached = {module} if module in self._sources else set(self._sources)
            wanted = list(reached)
            while wanted:
                name = wanted.pop()
                if name not in self._imports:
                    self._imports[name] = _imports(self._sources[name]) & self._sources.keys()
                new = self._imports[name] - reached
                reached |= new
                wanted += new
            digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {np.__version__}".encode())
            for name in sorted(reached):
                digest.update(f"\0{name}\0".encode() + self._sources[name])
            self._known[module] = digest.hexdigest()[:16]
        return self._known[module]


_DIGESTS = _Digests()  # at the import, as that is what will be compiled


class _KernelCache(FunctionCache):
    """Files of compiled code of one function; Numba says where (`NUMBA_CACHE_DIR`, `__pycache__`, the user's cache)."""

    def __init__(self, py_func):
        super().__init__(py_func)
        self._module = py_func.__module__
        self._digest = _DIGESTS.of(self._module)

    def load_overload(self, sig, target_context):
        """Compiled code for a signature, or None."""
        target_context.refresh()
        try:
            data = pickle.loads(self._path(sig, target_context.codegen()).read_bytes())
            return self._impl.rebuild(target_context, data)
        except Exception:  # there is none, or it is damaged: compile
            return None

    def save_overload(self, sig, data):
        """Save compiled code, unless its sources have changed since they were imported."""
        if not self._impl.check_cachable(data) or _Digests().of(self._module) != self._digest:
            return
        path = self._path(sig, data.codegen)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            self._impl.locator.ensure_cache_path()
            temporary.write_bytes(dumps(self._impl.reduce(data)))
            os.replace(temporary, path)
            _prune(path)
        except OSError as error:
            _warn_once(f"{path.parent}: {error.strerror or error}")
        finally:
            if temporary.exists():
                temporary.unlink()

    def flush(self):
        """Forget the function's compiled code."""
        for path in Path(self.cache_path).glob(f"{self._impl.filename_base}-{self._digest}-*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, sig, codegen) -> Path:
        # The stamp is of the function's own file, which need not be in the package.
        key = repr((self._index_key(sig, codegen), self._impl.locator.get_source_stamp()))
        name = f"{self._impl.filename_base}-{self._digest}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.nbc"
        return Path(self.cache_path, name)


def keep_compiled(dispatcher: Any) -> Any:
    """Let a jitted function keep its compiled code on disk; without a folder for it, say so once. Returns it."""
    if numba.config.DISABLE_JIT:  # a plain function
        return dispatcher
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError:  # Numba has tried all folders that it knows
        _warn_once(f"neither {Path(mdnnp.__file__).parent} nor the user's cache folder can be written")
    return dispatcher


def _prune(written: Path) -> None:
    """Remove the code of all but the newest versions of a module; who still runs one of them compiles again."""
    module, changed = written.name.partition(".")[0], {_NAME.search(written.name)[1]: float("inf")}
    entries = [entry for entry in os.scandir(written.parent) if entry.name.startswith(f"{module}.")]
    found = [(match[1], entry) for entry in entries if (match := _NAME.search(entry.name))]
    for digest, entry in found:
        changed[digest] = max(changed.get(digest, 0.0), _time_of_change(entry))
    newest = sorted(changed, key=changed.__getitem__)[-_KEPT:]
    for digest, entry in found:
        if digest not in newest:
            Path(entry).unlink(missing_ok=True)


def _time_of_change(entry: os.DirEntry) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:  # another process has replaced or removed it
        return 0.0


_reasons: list[str] = []


def _warn_once(why: str) -> None:
    _reasons.append(why)
    if len(_reasons) == 1:
        warnings.warn(
            f"compiled code cannot be saved ({why}), so every start compiles again, which takes about a minute; "
            "set the environment variable NUMBA_CACHE_DIR to a folder that can be written",
            MdnnpWarning,
            stacklevel=2,
        )
