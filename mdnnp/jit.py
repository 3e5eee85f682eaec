"""The one place for Numba's options and for threads.

Kernels are compiled without the interpreter lock and run over a fixed number of chunks, which depends on
the system alone. Each chunk writes to memory of its own and the chunks are combined in order, so the same
input gives the same bits whatever the number of threads.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numba

# NaN and infinity are caught before a kernel is entered (`system.validate`), so the flags that forbid them are safe.
_FAST = {"reassoc", "contract", "arcp", "nsz", "nnan", "ninf", "afn"}


def njit(function):
    """Compile with exact IEEE semantics (neighbour search, bookkeeping, sums whose order matters)."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)


def njit_fast(function):
    """Compile a floating-point kernel: vectorisable reductions, fused multiply-add, no NaN or infinity."""
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)(function)


_threads = 1
_pool: ThreadPoolExecutor | None = None


def set_threads(n: int) -> None:
    """Use `n` threads in every kernel from now on (default 1). Results do not depend on it."""
    global _threads, _pool
    if n < 1:
        raise ValueError(f"number of threads must be at least 1, got {n}")
    if n == _threads:
        return
    if _pool is not None:
        _pool.shutdown()
    _pool = ThreadPoolExecutor(n) if n > 1 else None
    _threads = n


def get_threads() -> int:
    """Number of threads in use."""
    return _threads


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_chunks(work, n_chunks: int) -> None:
    """Call ``work(c)`` for c = 0 .. n_chunks-1, on the threads of the pool; returns when all are done."""
    if _pool is None or n_chunks == 1:
        for c in range(n_chunks):
            work(c)
    else:
        list(_pool.map(work, range(n_chunks)))
