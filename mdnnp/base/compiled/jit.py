"""The one place for Numba's options and for threads.

Kernels are compiled without the interpreter lock and run over a fixed number of chunks, which depends on
the system alone. Each chunk writes to memory of its own and the chunks are combined in order, so the same
input gives the same bits whatever the number of threads.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import ir as numba_ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.untyped_passes import ReconstructSSA
from numba.extending import intrinsic

from mdnnp.base.compiled.kernel_cache import keep_compiled

# NaN and infinity are caught before a kernel is entered (`system.validate`), so the flags that forbid them are safe.
_FAST = {"reassoc", "contract", "arcp", "nsz", "nnan", "ninf", "afn"}


def _is_single(arguments) -> bool:
    """Whether a function of arguments of these types computes in single precision.

    It does if all its arrays of real numbers are single or, without any, all its real numbers.
    """
    arrays = {a.dtype for a in arguments if isinstance(a, types.Array)}
    kinds = {t for t in arrays if isinstance(t, types.Float)} or {a for a in arguments if isinstance(a, types.Float)}
    return kinds == {types.float32}


@register_pass(mutates_CFG=False, analysis_only=False)
class _SinglePrecisionConstants(FunctionPass):
    """Make literals and scalar arguments single in functions for which `_is_single`.

    A literal is double, and so is what is computed with it. This is GCC's -fsingle-precision-constant: it spares every
    formula a conversion of each of its numbers, and does not change the functions in double precision.
    """

    _name = "single_precision_constants"

    def __init__(self):
        FunctionPass.__init__(self)

    def run_pass(self, state):
        if not _is_single(state.args):
            return False
        for block in state.func_ir.blocks.values():
            body = []
            for statement in block.body:
                value = statement.value if isinstance(statement, numba_ir.Assign) else None
                if isinstance(value, numba_ir.Arg) and state.args[value.index] == types.float64:
                    body += _rounded_argument(statement)
                    continue
                if (
                    isinstance(value, numba_ir.Const | numba_ir.Global | numba_ir.FreeVar)
                    and type(value.value) is float
                ):
                    statement.value = numba_ir.Const(np.float32(value.value), statement.loc)
                body.append(statement)
            block.body = body
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


def _rounded_argument(assignment):
    """Statements for ``x = float32(argument)``."""
    target, loc = assignment.target, assignment.loc
    given, kind = (target.scope.make_temp(loc) for _ in range(2))
    return (
        numba_ir.Assign(assignment.value, given, loc),
        numba_ir.Assign(numba_ir.Global("float32", types.float32, loc), kind, loc),
        numba_ir.Assign(numba_ir.Expr.call(kind, [given], (), loc), target, loc),
    )


class _OwnPrecision(CompilerBase):
    """Numba's compiler with `_SinglePrecisionConstants`."""

    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_SinglePrecisionConstants, ReconstructSSA)
        passes.finalize()
        return [passes]


def njit(function: Callable) -> Any:
    """Compile a function that Python calls, or that allocates: exact IEEE semantics, no interpreter lock."""
    return keep_compiled(numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function))


def njit_fast(function: Callable) -> Any:
    """Compile an inner kernel, for other compiled code to call: vectorisable reductions, fused multiply-add, no NaN.

    It may not allocate: arrays are not reference-counted (counting took half of the time), and there is no entry from
    Python (whose wrappers took a third of the compilation). It computes in the precision of its arrays: where they are
    all single, so are literals and scalar arguments (`_is_single`).
    """
    return _inner(function)


def njit_kernel(function: Callable) -> Any:
    """As `njit_fast`, with an entry from Python: for the outermost loop, which finds its memory in its arguments.

    A function of its own around the kernel would be as cheap to run, but the kernel would be optimised twice.
    """
    return _inner(function, no_cpython_wrapper=False)


def njit_strip(function: Callable) -> Any:
    """As `njit_fast`, for a short loop: LLVM must inline it, and does not by itself where the caller is large.

    Left to LLVM, Cu2S took 38 us per atom and step instead of 33.
    """
    return _inner(function, forceinline=True)


def _inner(function, forceinline=False, no_cpython_wrapper=True):
    compiled = numba.njit(
        nogil=True,
        error_model="numpy",
        fastmath=_FAST,
        forceinline=forceinline,
        _nrt=False,
        no_cpython_wrapper=no_cpython_wrapper,
        no_cfunc_wrapper=True,
        pipeline_class=_OwnPrecision,
    )
    return keep_compiled(compiled(function))


def njit_inline(function: Callable) -> Any:
    """For a function that is called in one place of compiled code: it becomes part of its caller, options included.

    Each function that is compiled for itself is optimised again in all that call it, and a call that passes a table of
    arrays copies hundreds of words.
    """
    return numba.njit(inline="always")(function)


@intrinsic
def vectorize_freely(typingctx):
    """Called first in a kernel: promises that its array arguments do not overlap, and allows the widest vectors.

    Without the promise LLVM does not vectorise a loop that reads through an index array (measured on the strip
    ``h[t] = g[j[t]] * g[k[t]] * f[t] * exp(-eta * d[t]^2)``: 5.0 ns an element, 1.5 with it, 1.1 with 512-bit vectors,
    which LLVM avoids by default on some processors).
    """

    def codegen(context, builder, signature, args):
        function = builder.function
        set.add(function.attributes, '"prefer-vector-width"="512"')
        for argument in function.args:
            # An array arrives as the members of a struct, of which number 4 is the pointer to its data.
            if isinstance(argument.type, ir.PointerType) and argument.name.endswith(".4"):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.none(), codegen


class _Threads:
    """How many threads kernels use, and the pool that holds them if more than one."""

    count = 1
    pool: ThreadPoolExecutor | None = None


def set_threads(n: int) -> None:
    """Use `n` threads in every kernel from now on (default 1). Results do not depend on it."""
    if n < 1:
        raise ValueError(f"number of threads must be at least 1, got {n}")
    if n == _Threads.count:
        return
    if _Threads.pool is not None:
        _Threads.pool.shutdown()
    _Threads.pool = ThreadPoolExecutor(n) if n > 1 else None
    _Threads.count = n


def _renew_pool() -> None:
    """A new pool in a forked process, which has the pool of its parent but none of its threads."""
    if _Threads.pool is not None:
        _Threads.pool = ThreadPoolExecutor(_Threads.count)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_pool)


def get_threads() -> int:
    """Number of threads in use."""
    return _Threads.count


class PerThread:
    """Working memory of each thread: ``make(size)``, kept and made anew only when a larger size is asked for."""

    def __init__(self, make: Callable[[int], Any]):
        self._make = make
        self._kept = threading.local()

    def __reduce__(self) -> tuple:
        return PerThread, (self._make,)  # memory is no part of a copy

    def get(self, size: int) -> Any:
        """The calling thread's memory, for at least `size`."""
        kept = self._kept
        if getattr(kept, "size", -1) < size:
            kept.size, kept.memory = size, self._make(size)
        return kept.memory


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_chunks(work: Callable[[int], object], n_chunks: int) -> None:
    """Call ``work(c)`` for c = 0 .. n_chunks-1, on the threads of the pool; returns when all are done."""
    if _Threads.pool is None or n_chunks == 1:
        for c in range(n_chunks):
            work(c)
    else:
        list(_Threads.pool.map(work, range(n_chunks)))
