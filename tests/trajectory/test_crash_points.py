"""A writer killed at each of its writes to the disk in turn: what was committed is there, and the run can go on.

Random kills hit the long moments; the short ones, between two writes, are found by counting. A library that is loaded
before the C library's own counts the calls of `pwrite` and kills the process at a given one.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import TESTS
from test_trajectory import assert_frames, contents, create, write

from mdnnp.trajectory import Counts, Trajectory, TrajectoryWriter, recover

COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>
static long done = 0, last = -1;
static ssize_t (*real)(int, const void *, size_t, off64_t);
void kill_at(long n) { done = 0; last = n; }
long writes(void) { return done; }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    if (done++ == last) kill(getpid(), SIGKILL);
    return real(file, data, size, at);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { return pwrite64(file, data, size, at); }
"""


def counts(frames: int) -> Counts:
    """What `write` makes of so many frames."""
    return Counts(frames, 10 * frames, 2 * frames)


def writing(start: int, stop: int, make: Callable) -> Callable:
    """A writer's life; it reports the number of frames after each one."""

    def live(report):
        with make() as writer:
            for k in range(start, stop):
                write(writer, [k])
                report(k + 1)

    return live


def abandoned(path: Path, frames: int) -> None:
    """A file whose writer died."""

    def live(report):
        write(create(path), range(frames))
        os._exit(0)

    live_in_child(live, -1)


def live_in_child(live: Callable, n: int) -> int:
    """Let `live` run in a child that dies at its n-th write; returns its last report, at the end all its writes."""
    counter = ctypes.CDLL(None)
    reading, writing_end = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.close(reading)
            counter.kill_at(ctypes.c_long(n))
            live(lambda k: os.write(writing_end, k.to_bytes(4, "little")))
            os.write(writing_end, int(counter.writes()).to_bytes(4, "little"))
        finally:
            os._exit(0)
    os.close(writing_end)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    numbers = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    return numbers[-1] if numbers else 0


def scenarios(path: Path) -> dict[str, tuple]:
    """Name -> (what is there before, the writer's life, frames it starts from, committed before, frames in the end)."""
    return {
        "new": (lambda: None, writing(0, 5, lambda: create(path)), 0, 0, 5),
        "continued": (
            lambda: abandoned(path, 4),
            writing(2, 6, lambda: TrajectoryWriter.reopen(path, counts(2))),
            2,
            4,
            6,
        ),
    }


def check_points(name: str, path: Path, stride: int) -> int:
    """Kill at every `stride`-th write; returns how many kills there were. Runs with the counter loaded."""
    before, live, start, held, stop = scenarios(path)[name]
    before()
    total = live_in_child(live, -1)
    whole = contents(path)
    assert total > 100
    kills = range(0, total, stride)
    for n in kills:
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        before()
        reported = live_in_child(live, n)
        if not path.exists():
            assert reported == held == 0
            continue
        check_what_is_left(path, max(reported, held))
        with TrajectoryWriter.reopen(path, counts(start)) as writer:
            write(writer, range(start, stop))
        assert contents(path) == whole, f"killed at write {n} of {total}"
    return len(kills)


def check_what_is_left(path: Path, committed: int) -> None:
    with Trajectory(path) as trajectory:
        found = len(trajectory)
        assert found >= committed
        assert_frames(trajectory, found)
    copy = Path(shutil.copy(path, path.with_suffix(".copy.h5")))
    assert recover(copy).frames == found
    with Trajectory(copy) as trajectory:
        assert_frames(trajectory, found)


@pytest.fixture(scope="module")
def counter(tmp_path_factory) -> Path:
    """The library that counts writes."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("counter")
    (folder / "counter.c").write_text(COUNTER)
    library = folder / "counter.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "counter.c", "-ldl"], check=True)
    return library


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["new", "continued"])
def test_killed_at_every_write(tmp_path, counter, name, stride):
    path = tmp_path / "run" / "run.h5"
    path.parent.mkdir()
    code = (
        f"import sys; sys.path[:0] = {[str(TESTS), str(Path(__file__).parent)]!r}\n"
        "from pathlib import Path; import test_crash_points as t\n"
        f"print(t.check_points({name!r}, Path({str(path)!r}), {stride}))"
    )
    environment = dict(os.environ, LD_PRELOAD=str(counter))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100 // stride
