"""Clocks: interleaved repeats, whole processes with their peak memory, the machine and its rate of matrix products."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.system import System
from mdnnp.base.compiled.jit import get_threads, set_threads
from mdnnp.base.errors import InputError
from mdnnp.dynamics.integrators import MDState, maxwell_boltzmann, verlet_step
from mdnnp.potentials.interface import Potential


class Timing(NamedTuple):
    """Repeats of a measurement in one unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """The smallest."""
        return min(self.values)


def interleaved(
    measures: dict[str, Callable[[], float]], rounds: int, begin: Callable[[str, int], None] = lambda what, left: None
) -> dict[str, Timing]:
    """Take every measure in turn, `rounds` times; begin(what, how many are left) is called before each."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    turns = [(n, name) for n in range(rounds) for name in measures]
    for k, (n, name) in enumerate(turns):
        begin(f"round {n + 1}: {name}", len(turns) - k)
        values[name].append(measures[name]())
    return {name: Timing(tuple(found)) for name, found in values.items()}


def seconds(function: Callable[[], object]) -> float:
    """Time of one call."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


class Dynamics:
    """A run at constant energy that goes on from one measurement to the next.

    potential, system, masses (N,) u : what is run, from 300 K
    n_steps, extrapolations : so far, all measurements together
    """

    def __init__(
        self, potential: Potential, system: System, masses: np.ndarray, *, timestep_fs: float = 0.5, skin_A: float = 1.0
    ):
        self.potential, self.neighbors = potential, potential.make_lists(skin_A)
        self.timestep_fs, self.extrapolations = timestep_fs, 0
        potential.begin()
        self._listing = self._stepping = 0.0
        self.n_steps = 0
        velocities = maxwell_boltzmann(masses, 300.0, 1)
        self.state = MDState(system, velocities, masses, self._compute(system), 0)
        self._listing = 0.0

    def _compute(self, system: System):
        begun = time.perf_counter()
        neighbors = self.neighbors.update(system)
        self._listing += time.perf_counter() - begun
        results = self.potential.compute(system, neighbors)
        self.extrapolations += results.extrapolation.count
        return results

    def measure(self, n_steps: int, n_threads: int = 1) -> float:
        """Microseconds per atom and step, over `n_steps` more steps."""
        before = get_threads()
        set_threads(n_threads)
        begun = time.perf_counter()
        for _ in range(n_steps):
            self.state = verlet_step(self.state, self.timestep_fs, self._compute)
        taken = time.perf_counter() - begun
        set_threads(before)
        self._stepping += taken
        self.n_steps += n_steps
        return taken / n_steps / len(self.state.system) * 1e6

    @property
    def list_share(self) -> float:
        """Share of building and checking the neighbour list in all that was measured."""
        return self._listing / self._stepping


class Finished(NamedTuple):
    """A process that ended well: wall-clock seconds, peak memory in bytes, what it printed."""

    seconds: float
    peak_bytes: int
    output: str


# A small process in between: Linux counts the memory of the process that starts another to the peak of that one.
_WATCH = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stderr=subprocess.STDOUT)
_, status, usage = os.wait4(process.pid, 0)
facts = (time.perf_counter() - begun, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
print(json.dumps(facts), file=sys.stderr)
"""


def run_process(command: list, environment: dict[str, str] | None = None, directory: Path | None = None) -> Finished:
    """Run a command to its end, with more in its environment. Raises InputError, with what it printed, if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WATCH, *words],
        capture_output=True,
        check=False,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        text=True,
    )
    if done.returncode:
        raise InputError(f"{words[0]}: cannot be run: {done.stderr.strip().splitlines()[-1]}")
    taken, peak, status = json.loads(done.stderr.splitlines()[-1])
    if status:
        raise InputError(f"{' '.join(words)} failed (exit status {status}):\n{done.stdout.strip()}")
    return Finished(taken, peak * (1 if sys.platform == "darwin" else 1024), done.stdout)


_DGEMM = """
import time
import numpy as np
a = np.random.default_rng(0).normal(size=(1000, 1000))
a @ a
taken = []
for _ in range(5):
    begun = time.perf_counter()
    a @ a
    taken.append(time.perf_counter() - begun)
print(2e-9 * len(a) ** 3 / min(taken))
"""
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "BLIS")}


def dgemm_gflops() -> float:
    """Rate of NumPy's double-precision matrix product on one thread, GFLOP/s; in a process of its own."""
    return float(run_process([sys.executable, "-c", _DGEMM], ONE_THREAD).output)


def import_seconds() -> float:
    """Time of `import mdnnp` in a fresh interpreter."""
    code = "import time; t = time.perf_counter(); import mdnnp; print(time.perf_counter() - t)"
    return float(run_process([sys.executable, "-c", code]).output)


def machine() -> dict[str, str | int | float]:
    """Processor, cores, memory, load average of the last minute, system and versions."""
    import numba

    from mdnnp import __version__
    from mdnnp.base.compiled.jit import available_cores

    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "mdnnp": __version__,
    }


def _processor() -> str:
    try:
        rows = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for row in rows:
        key, _, value = row.partition(":")
        facts.setdefault(key.strip(), value.strip())
    widest = next((w for w in ("avx512f", "avx2", "asimd") if w in facts.get("flags", facts.get("Features", ""))), "")
    return f"{facts.get('model name', platform.machine())}{', ' + widest if widest else ''}"
