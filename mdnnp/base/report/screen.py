"""What a running program prints: lines, a progress bar, durations."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sized

from mdnnp.base.report.streams import discard_stdout

_FS_PER_DAY_NS = 86400.0 * 1e-6  # ns/day of one fs per second
_SECONDS_BETWEEN_LINES = 30.0


def say(text: str) -> None:
    """Print to stdout. If its reader has gone (`| head`), or its disk is full, say so once and go on in silence."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard_stdout()
        print("warning: the program that reads the output has ended; the run goes on", file=sys.stderr)
    except OSError as error:
        discard_stdout()
        print(f"warning: the output cannot be written ({error.strerror}); the run goes on", file=sys.stderr)


class Progress:
    """A progress bar with remaining time and speed, on stderr if that is a terminal; lines go to stdout.

    n_atoms, timestep_fs : what the speed is counted in
    """

    def __init__(self, total: int, done: int, n_atoms: int, timestep_fs: float):
        self._n_atoms, self._timestep_fs, self._shown = n_atoms, timestep_fs, 0.0
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            size = os.get_terminal_size(sys.stderr.fileno())
            self._bar = tqdm(
                total=total,
                initial=done,
                unit="step",
                file=sys.stderr,
                leave=False,
                mininterval=0.2,
                delay=1.0,
                ncols=size.columns or 80,  # a terminal that does not know its size says 0
                nrows=size.lines or 24,
            )
        self._begun, self._done, self._total, self._first = time.perf_counter(), done, total, done

    def advance(self) -> None:
        """One step more is done."""
        self._done += 1
        if self._bar is None:
            return
        seconds = time.perf_counter() - self._begun
        if seconds > self._shown + 0.5:
            self._shown, per_step = seconds, seconds / (self._done - self._first)
            per_day = self._timestep_fs / per_step * _FS_PER_DAY_NS
            self._bar.set_postfix_str(
                f"{per_day:.3g} ns/day, {1e6 * per_step / self._n_atoms:.3g} us/atom/step", refresh=False
            )
        self._bar.update()

    def line(self, text: str) -> None:
        """Print a line, above the bar if there is one; without a bar, with the remaining time at its end."""
        if self._bar is not None:
            from tqdm import tqdm

            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
            return
        done = self._done - self._first
        if done > 0 and self._done < self._total:
            left = (time.perf_counter() - self._begun) / done * (self._total - self._done)
            text += f"   {duration(left)} left"
        say(text)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def progress(description: str) -> Callable[[Sized], Iterable]:
    """Wraps a sequence with its progress and remaining time: a bar on a terminal, else a line every half minute."""

    def wrap(items):
        if not sys.stderr.isatty():
            return _lines(items, description)
        from tqdm import tqdm

        return tqdm(items, desc=description, leave=False, delay=1.0)

    return wrap


def _lines(items, description: str):
    begun = said = time.perf_counter()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.perf_counter()
        if now - said > _SECONDS_BETWEEN_LINES:
            said, left = now, (now - begun) / done * (len(items) - done)
            say(f"{description}: {done} of {len(items)} structures, {duration(left)} left")


def round_number(value: float) -> int:
    """The whole number 1, 2 or 5 times a power of ten next below `value`, at least 1."""
    power = 10 ** math.floor(math.log10(max(1.0, value)))
    return int(max(factor * power for factor in (1, 2, 5) if factor * power <= max(1.0, value)))


def duration(seconds: float) -> str:
    """A time in s, in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def speed(n_steps: int, n_atoms: int, timestep_fs: float, seconds: float) -> str:
    """Steps, time, us per atom and step, and ns/day, as a sentence."""
    if n_steps == 0 or seconds <= 0:
        return "0 steps"
    per_atom = seconds / n_steps / n_atoms * 1e6
    per_day = n_steps * timestep_fs / seconds * _FS_PER_DAY_NS
    return f"{n_steps} steps in {seconds:.4g} s: {per_atom:.4g} us per atom and step, {per_day:.4g} ns/day"
