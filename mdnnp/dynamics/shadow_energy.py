"""The shadow energy, which velocity Verlet conserves, from nine consecutive steps and no extra forces.

A trajectory of velocity Verlet follows the flow of a modified Hamiltonian, H + O(h^2), almost exactly, as long as the
potential is smooth. With D the central difference over the time step h and q, p, U, F of consecutive steps,

    2 H~_n = (D q)_n . p_n - (D p)_n . q_n - (D beta)_n,  beta_{n+1} = beta_n - (h/2) (a_n + a_{n+1}),  a = 2 U + q . F

estimates it to the order of D (R. D. Skeel, D. J. Hardy, SIAM J. Sci. Comput. 23, 1172 (2001)), here the eighth:
the remaining fluctuation shows how smooth the potential is, and the drift has a far smaller error bar.

Written as above it cancels: beta grows with the run, and q . F with the distance from the origin. The origin is free,
atom by atom, since (D p)_n is the same weighted sum of forces as in (D beta)_n; so every atom's position is taken
relative to where it is at step n, where the term with D p vanishes, and beta only enters by differences:

    H~_n = 1/2 (D q)_n . p_n + sum_j c_j [ U_{n+j} + 1/2 (q_{n+j} - q_n) . F_{n+j} ],   j = -4 .. 4,  sum_j c_j = 1
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from mdnnp.base.compiled.jit import njit
from mdnnp.base.units import EV_PER_U_A2_PER_FS2
from mdnnp.dynamics.integrators import MDState

REACH = 4  # steps before and behind the one that a shadow energy belongs to
_WIDTH = 2 * REACH + 1
_WEIGHTS = (4 / 5, -1 / 5, 4 / 105, -1 / 280)  # eighth order, of the steps n + k less n - k


class _Step(NamedTuple):
    """What the shadow energy needs of one step, as `MDState` has it."""

    step: int
    positions: np.ndarray
    velocities: np.ndarray
    forces: np.ndarray
    energy: float


class ShadowEnergy:
    """Shadow energies of a run of velocity Verlet, one every `interval` steps.

    timestep_fs : time step; masses : (N,) u
    The states given to `add` must be consecutive and untouched between steps; their arrays are kept, not copied.
    """

    def __init__(self, timestep_fs: float, masses: np.ndarray, interval: int = 1):
        self._timestep, self._masses, self._interval = timestep_fs, np.ascontiguousarray(masses, float), interval
        self._steps: deque[_Step] = deque()

    def add(self, state: MDState) -> float | None:
        """Take the next state; returns the shadow energy of the step `REACH` before it, eV, if that one is due.

        None where it is not a multiple of the interval, or has not `REACH` steps before it.
        """
        positions, velocities, forces = (
            np.ascontiguousarray(a, dtype=np.float64)
            for a in (state.system.positions, state.velocities, state.results.forces)
        )
        self._steps.append(_Step(state.step, positions, velocities, forces, state.results.energy))
        centre = state.step - REACH
        found = None
        if centre % self._interval == 0 and len(self._steps) == _WIDTH:
            found = self._energy()
        next_due = -(-(centre + 1) // self._interval) * self._interval
        while self._steps and self._steps[0].step < next_due - REACH:
            self._steps.popleft()
        return found

    def _energy(self) -> float:
        """Shadow energy of the middle one of nine steps, eV."""
        steps, middle = self._steps, self._steps[REACH]
        positions, forces = tuple(s.positions for s in steps), tuple(s.forces for s in steps)
        kinetic, moved = _sums(positions, middle.velocities, forces, self._masses, _DIFFERENCES, _AVERAGE)
        # The constants in the energies cancel in the differences, which do not lose their digits.
        potential = sum(c * (s.energy - middle.energy) for c, s in zip(_AVERAGE.tolist(), steps, strict=True))
        kinetic *= 0.5 * EV_PER_U_A2_PER_FS2 / self._timestep
        return middle.energy + (kinetic + (potential + 0.5 * moved))

    def saved(self) -> tuple[dict, dict[str, np.ndarray]]:
        """What a restart needs to go on to the same bits: numbers for JSON, and arrays."""
        meta = {"steps": [s.step for s in self._steps], "energies": [s.energy for s in self._steps]}
        empty = np.empty((0, len(self._masses), 3))
        arrays = {
            f"window_{name}": np.array([getattr(s, name) for s in self._steps]) if self._steps else empty
            for name in ("positions", "velocities", "forces")
        }
        return meta, arrays

    def restore(self, meta: dict, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `saved` gave."""
        columns = (arrays[f"window_{name}"] for name in ("positions", "velocities", "forces"))
        rows = zip(meta["steps"], *columns, meta["energies"], strict=True)
        self._steps = deque(_Step(*row) for row in rows)


def _differences() -> np.ndarray:
    """(9,) weights of q_{n-4} .. q_{n+4} in h (D q)_n."""
    forward = np.array(_WEIGHTS)
    return np.concatenate([-forward[::-1], [0.0], forward])


def _average() -> np.ndarray:
    """(9,) weights c_j of a_{n-4} .. a_{n+4} in -(D beta)_n: trapezoids over the spans of the differences."""
    j = np.abs(np.arange(-REACH, REACH + 1))
    return sum(w * ((j < k) + 0.5 * (j == k)) for k, w in enumerate(_WEIGHTS, start=1))


_DIFFERENCES, _AVERAGE = _differences(), _average()


@njit
def _sums(positions, velocities, forces, masses, differences, average):
    """sum m v_n . (h D q)_n in u Å^2/fs, and sum_j c_j (q_{n+j} - q_n) . F_{n+j} in eV, of nine (N, 3) arrays each."""
    kinetic, moved = 0.0, 0.0
    for i in range(len(masses)):
        for d in range(3):
            middle = positions[4][i, d]
            change, along = 0.0, 0.0
            for k in range(9):
                move = positions[k][i, d] - middle
                change += differences[k] * move
                along += average[k] * move * forces[k][i, d]
            kinetic += masses[i] * velocities[i, d] * change
            moved += along
    return kinetic, moved
