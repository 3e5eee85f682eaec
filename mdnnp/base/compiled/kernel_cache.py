"""Compiled code on disk: kept between runs under a name of all that it is made from.

Numba's own cache looks at the file of a function alone, but compiled code holds what the function calls and the
constants that it reads from other modules: after a change there the old code would run. Its index of a function is
also written by two processes in turn, which can give the code of one signature to another. Here each compiled
signature is a file of its own, and its name has a hash of all Python files of the package and of the versions of Numba,
llvmlite and NumPy. So versions of the package may share a folder, and what is found is always right.

A file that cannot be read or written costs time, never a run.
"""

import hashlib
import os
import pickle
import re
import uuid
import warnings
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

import mdnnp
from mdnnp.base.errors import MdnnpWarning

_KEPT = 4  # versions of the package of which code is kept in a folder
_NAME = re.compile(r"-([0-9a-f]{16})-[0-9a-f]{16}\.nbc")


def _digest_of_package() -> str:
    """Hash of what any compiled function may be made from."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {np.__version__}".encode())
    for folder, folders, files in os.walk(Path(mdnnp.__file__).parent):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            if name.endswith(".py"):
                path = Path(folder, name)
                digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


_DIGEST = _digest_of_package()


class _KernelCache(FunctionCache):
    """Files of compiled code of one function; Numba says where (`NUMBA_CACHE_DIR`, `__pycache__`, the user's cache)."""

    def load_overload(self, sig, target_context):
        """Compiled code for a signature, or None."""
        target_context.refresh()
        try:
            data = pickle.loads(self._path(sig, target_context.codegen()).read_bytes())
            return self._impl.rebuild(target_context, data)
        except Exception:  # there is none, or it is damaged: compile
            return None

    def save_overload(self, sig, data):
        """Keep compiled code, unless the package has changed since it was imported."""
        if not self._impl.check_cachable(data) or _digest_of_package() != _DIGEST:
            return
        path = self._path(sig, data.codegen)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            self._impl.locator.ensure_cache_path()
            temporary.write_bytes(dumps(self._impl.reduce(data)))
            os.replace(temporary, path)
            _prune(path.parent)
        except OSError as error:
            _warn_once(f"{path.parent}: {error.strerror or error}")
        finally:
            if temporary.exists():
                temporary.unlink()

    def flush(self):
        """Forget the function's compiled code."""
        for path in Path(self.cache_path).glob(f"{self._impl.filename_base}-{_DIGEST}-*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, sig, codegen) -> Path:
        # The stamp is of the function's own file, which need not be in the package.
        key = repr((self._index_key(sig, codegen), self._impl.locator.get_source_stamp()))
        name = f"{self._impl.filename_base}-{_DIGEST}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.nbc"
        return Path(self.cache_path, name)


def keep_compiled(dispatcher):
    """Let a jitted function keep its compiled code on disk; without a folder for it, say so once. Returns it."""
    if numba.config.DISABLE_JIT:  # a plain function
        return dispatcher
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError:  # Numba has tried all folders that it knows
        _warn_once(f"neither {Path(mdnnp.__file__).parent} nor the user's cache folder can be written")
    return dispatcher


def _prune(folder: Path) -> None:
    """Remove the code of all but the newest versions of the package; who still runs one of them compiles again."""
    changed: dict[str, float] = {_DIGEST: float("inf")}
    found = [(match[1], entry) for entry in os.scandir(folder) if (match := _NAME.search(entry.name))]
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
            f"compiled code cannot be kept ({why}), so every start compiles again, which takes about a minute; "
            "set the environment variable NUMBA_CACHE_DIR to a folder that can be written",
            MdnnpWarning,
            stacklevel=2,
        )
