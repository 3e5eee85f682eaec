"""The order of the energy error of velocity Verlet in the time step, a measure of how smooth a potential is.

Runs at h, h/2, h/4, ... from one start over the same physical time, in a few segments: each begins, for every time
step, where the run with the shortest one ended. So all follow the same path, however chaotic it is, and the ratio of
their errors is that of the time steps and not of what they happened to meet. The fluctuation of the total energy goes
as h^2 if the forces have no jumps; that of the shadow energy as a higher power, the higher the smoother the potential.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.quantities import degrees_of_freedom, kinetic_energy
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.dynamics.integrators import Compute, MDState, maxwell_boltzmann, scaled_to_temperature, verlet_step
from mdnnp.dynamics.shadow_energy import REACH, ShadowEnergy
from mdnnp.potentials.interface import Potential, Results

RESCALE_INTERVAL = 10
SEGMENTS = 4


@dataclass(frozen=True)
class Rung:
    """One time step of the series; energies are of the whole system, in eV, minus their mean in each segment.

    rms_eV, shadow_rms_eV : standard deviation of total and shadow energy
    kinetic_deviation_eV : standard deviation of the kinetic energy
    time_fs, energy_eV, shadow_eV : (n,) each, of the steps that count
    """

    timestep_fs: float
    rms_eV: float
    shadow_rms_eV: float
    kinetic_deviation_eV: float
    time_fs: np.ndarray
    energy_eV: np.ndarray
    shadow_eV: np.ndarray


@dataclass(frozen=True)
class Order:
    """The exponent p of rms ~ h^p, with the standard error of the fit; NaN where rounding hides it."""

    value: float
    error: float


@dataclass(frozen=True)
class Ladder:
    """The runs, from the longest time step to the shortest.

    order, shadow_order : of total and shadow energy; floor_eV : rounding, below which no rms says anything
    extrapolations : symmetry functions out of range, over all steps of all runs
    """

    rungs: tuple[Rung, ...]
    order: Order
    shadow_order: Order
    floor_eV: float
    extrapolations: int

    @property
    def shadow_share(self) -> float:
        """rms of the shadow over that of the total energy at the shortest step: about 1 if not smooth."""
        last = self.rungs[-1]
        return last.shadow_rms_eV / last.rms_eV if last.rms_eV > 0 else 0.0


class Dynamics:
    """Velocity Verlet with a neighbour list of its own; energies come without the constants in the potential.

    extrapolations : symmetry functions out of range so far
    """

    def __init__(self, potential: Potential, system: System, skin_A: float = 1.0):
        self._potential, self._neighbors = potential, potential.make_lists(skin_A)
        self._offsets = potential.offsets(system.numbers)
        self.extrapolations = 0

    def compute(self, system: System) -> Results:
        """Results of the potential, the energy summed after the constants are taken off. Raises PhysicsError."""
        try:
            results = self._potential.compute(system, self._neighbors.update(system))
        except (
            InputError,
            PhysicsError,
        ) as error:  # atoms at the same position, positions out of bounds, no finite force
            raise PhysicsError(f"the dynamics went wrong: {error}; try a shorter time step") from None
        self.extrapolations += results.extrapolation.count
        return results._replace(energy=math.fsum(results.atomic_energies - self._offsets))


def equilibrated(
    compute: Compute,
    system: System,
    masses: np.ndarray,
    temperature_K: float,
    timestep_fs: float,
    n_steps: int,
    *,
    seed: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> MDState:
    """The state after `n_steps` from drawn velocities, which are scaled to the temperature every ten steps.

    advance : called after every step
    """
    velocities = maxwell_boltzmann(masses, temperature_K, seed, exact_temperature=True)
    state = MDState(system, velocities, masses, compute(system), 0)
    for n in range(1, n_steps + 1):
        state = verlet_step(state, timestep_fs, compute)
        if n % RESCALE_INTERVAL == 0:
            scaled = scaled_to_temperature(state.velocities, masses, temperature_K, degrees_of_freedom(len(masses)))
            state = state._replace(velocities=scaled)
        advance()
    return state


def climb(
    dynamics: Dynamics,
    start: MDState,
    timestep_fs: float,
    n_steps: int,
    *,
    halvings: int = 3,
    advance: Callable[[], None] = lambda: None,
) -> Ladder:
    """Runs of `n_steps` steps of `timestep_fs`, 2 n_steps of half of it, and so on, in SEGMENTS segments from `start`.

    n_steps : a multiple of SEGMENTS, and at least 10 times it
    advance : called after every step. It takes n_steps (2^(halvings + 1) - 1) steps in all.
    """
    before = dynamics.extrapolations
    segments: list[list[_Segment]] = [[] for _ in range(halvings + 1)]
    state = start
    for _ in range(SEGMENTS):
        origin = state
        for k in range(halvings + 1):
            state, segment = _run(dynamics.compute, origin, timestep_fs, n_steps // SEGMENTS, 2**k, advance)
            segments[k].append(segment)
    rungs = tuple(_rung(timestep_fs / 2**k, parts) for k, parts in enumerate(segments))
    # Every atomic energy is rounded, before its constant is taken off.
    floor = float(np.finfo(float).eps * np.linalg.norm(start.results.atomic_energies))
    steps = np.array([rung.timestep_fs for rung in rungs])
    return Ladder(
        rungs,
        fit_order(steps, np.array([rung.rms_eV for rung in rungs]), floor),
        fit_order(steps, np.array([rung.shadow_rms_eV for rung in rungs]), floor),
        floor,
        dynamics.extrapolations - before,
    )


class _Segment(NamedTuple):
    """(n,) each, of the steps of a segment but for its ends; energies in eV."""

    time_fs: np.ndarray
    kinetic_eV: np.ndarray
    energy_eV: np.ndarray
    shadow_eV: np.ndarray


def _run(
    compute: Compute, start: MDState, longest_fs: float, n_longest: int, division: int, advance
) -> tuple[MDState, _Segment]:
    """The state `n_longest` steps of the longest time step later, in steps of a fraction of it, and the energies.

    The same time at either end is left out for every division: that in which the longest has no shadow energy.
    """
    timestep_fs, n_steps = longest_fs / division, n_longest * division
    state, shadow = start._replace(step=0), ShadowEnergy(timestep_fs, start.masses)
    kinetic, potential, shadows = [], [], []
    for _ in range(n_steps + 1):
        kinetic.append(float(kinetic_energy(state.velocities, state.masses)))
        potential.append(state.results.energy)
        shadows.append(shadow.add(state))
        if state.step < n_steps:
            state = verlet_step(state, timestep_fs, compute)
            advance()
    inner = slice(REACH * division, n_steps + 1 - REACH * division)
    moving, energy = np.array(kinetic)[inner], (np.array(kinetic) + np.array(potential))[inner]
    time = np.arange(n_steps + 1)[inner] * timestep_fs
    return state, _Segment(time, moving, energy, np.array(shadows[REACH:], dtype=float)[inner])


def _rung(timestep_fs: float, segments: list[_Segment]) -> Rung:
    """What the segments with one time step have in common."""
    energy, shadow = (
        np.concatenate([x - x.mean() for x in column]) for column in list(zip(*segments, strict=True))[2:]
    )
    length = segments[0].time_fs[-1] + segments[0].time_fs[0]
    return Rung(
        timestep_fs=timestep_fs,
        rms_eV=float(np.std(energy)),
        shadow_rms_eV=float(np.std(shadow)),
        kinetic_deviation_eV=float(np.std(np.concatenate([s.kinetic_eV for s in segments]))),
        time_fs=np.concatenate([k * length + s.time_fs for k, s in enumerate(segments)]),
        energy_eV=energy,
        shadow_eV=shadow,
    )


def fit_order(timesteps: np.ndarray, rms: np.ndarray, floor: float = 0.0) -> Order:
    """The slope of log(rms) against log(timestep), and its standard error, of those well above the floor."""
    usable = rms > 10 * floor
    if usable.sum() < 3:
        return Order(math.nan, math.nan)
    x, y = np.log(timesteps[usable]), np.log(rms[usable])
    x = x - x.mean()
    slope = float(np.sum(x * y) / np.sum(x * x))
    residuals = y - y.mean() - slope * x
    return Order(slope, math.sqrt(np.sum(residuals**2) / (len(x) - 2) / np.sum(x * x)))
