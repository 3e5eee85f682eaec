"""Threads of kernels: in forked processes, and what they leave behind."""

import copy
import gc
import os
import pickle
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from places import GOLDEN

from mdnnp.atoms.system import make_system
from mdnnp.base.compiled.jit import PerThread, get_threads, set_threads
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.load import load_potential


@pytest.fixture
def two_threads():
    before = get_threads()
    set_threads(2)
    yield
    set_threads(before)


def argon(n):
    """n^3 atoms."""
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3), axis=-1).reshape(-1, 3)
    return make_system(4.0 * grid, [18] * n**3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_computes_with_threads(two_threads):
    potential, system = LennardJones({"Ar": (0.0104, 3.4)}, 8.5), argon(6)
    energy = potential.compute(system).energy
    child = os.fork()
    if child == 0:  # leaves at the end of the block, whatever happens
        status = 1
        try:
            status = 0 if get_threads() == 2 and potential.compute(system).energy == energy else 2
        finally:
            os._exit(status)
    end = time.monotonic() + 60
    while (found := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.05)
    if found == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the forked process does not return from compute")
    assert os.waitstatus_to_exitcode(found[1]) == 0
    assert potential.compute(system).energy == energy  # and the parent goes on


def test_memory_of_a_thread_goes_with_it():
    kept = PerThread(np.empty)
    found = []
    thread = threading.Thread(target=lambda: found.append(weakref.ref(kept.get(5))))
    thread.start()
    thread.join()
    gc.collect()
    assert found[0]() is None
    mine = kept.get(3)
    assert kept.get(2) is mine and len(kept.get(4)) == 4


def test_a_potential_is_copied_without_its_working_memory():
    potential = load_potential(GOLDEN / "big1", "Bohr", "Hartree")
    symbol = potential.numbers[0]
    system = make_system([[0, 0, 0], [2.5, 0, 0]], [symbol, symbol])
    energy = potential.compute(system).energy
    for other in (pickle.loads(pickle.dumps(potential)), copy.deepcopy(potential)):
        assert other.compute(system).energy == energy
        assert other._workspace._make.__self__ is other
