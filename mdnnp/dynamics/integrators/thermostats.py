"""Constant volume and temperature: Langevin dynamics, Nose-Hoover chains, stochastic velocity rescaling.

Each step is a palindrome of exact flows (kick by the forces, drift, thermostat), so that it is reversible where the
thermostat is, and of second order. What the thermostat takes from the atoms is added to `bath.energy`.
"""

import math
from dataclasses import dataclass

import numpy as np

from mdnnp.atoms.quantities import kinetic_energy
from mdnnp.atoms.system import System
from mdnnp.base.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K
from mdnnp.dynamics.integrators.state import (
    Bath,
    Compute,
    MDState,
    Ramp,
    accelerations,
    random_numbers,
    thermal_energy,
    total_energy,
)
from mdnnp.dynamics.integrators.verlet import verlet_step

CHAIN_LENGTH = 3
_W1 = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
SUZUKI_YOSHIDA = (_W1, 1.0 - 2.0 * _W1, _W1)  # fourth order
CHAIN_SUBSTEPS = 2


@dataclass(frozen=True)
class Langevin:
    """Every atom in a heat bath of its own: friction and noise, which also set the total momentum in motion.

    The step is BAOAB: kick, drift, thermostat (exact), drift, kick. Positions are then distributed more accurately
    than velocities, in a harmonic well exactly: <x^2> = kT/k for any time step, while the kinetic energy of a vibration
    of frequency omega is low by a factor of 1 - (omega h)^2 / 4. Source: B. Leimkuhler, C. Matthews, J. Chem. Phys.
    138, 174102 (2013); the conserved (effective) energy: G. Bussi, M. Parrinello, Phys. Rev. E 75, 056707 (2007).

    temperature : K; friction_per_ps : rate at which velocities are forgotten, 1/ps; seed of the noise
    """

    temperature: Ramp
    friction_per_ps: float
    seed: int

    def begin(self, system: System) -> Bath:
        """A bath that has received nothing."""
        return Bath()

    def step(self, state: MDState, timestep_fs: float, compute: Compute) -> MDState:
        """One step; `random_numbers` of its number are the noise."""
        half_step = 0.5 * timestep_fs
        v = state.velocities + half_step * accelerations(state.results, state.masses, state.fixed)
        x = state.system.positions + half_step * v
        v, heat = self._thermostat(v, state, timestep_fs)
        system = state.system._replace(positions=x + half_step * v)
        results = compute(system)
        v = v + half_step * accelerations(results, state.masses, state.fixed)
        bath = state.bath._replace(energy=state.bath.energy + heat)
        return state._replace(system=system, velocities=v, results=results, step=state.step + 1, bath=bath)

    def _thermostat(self, velocities: np.ndarray, state: MDState, timestep_fs: float) -> tuple[np.ndarray, float]:
        """Exact solution of dv = -friction v dt + noise; velocities, and the energy that the atoms gave away."""
        kept = math.exp(-1e-3 * self.friction_per_ps * timestep_fs)
        variance = thermal_energy(self.temperature, state.step) * (ACCELERATION_A_PER_FS2 / state.masses)
        noise = random_numbers(self.seed, state.step).standard_normal(velocities.shape)
        noise[state.fixed] = 0.0
        new = kept * velocities + np.sqrt((1.0 - kept**2) * variance)[:, None] * noise
        heat = float(kinetic_energy(velocities, state.masses) - kinetic_energy(new, state.masses))
        return new, heat

    def conserved_energy(self, state: MDState) -> float:
        """Total energy plus the heat that the atoms gave away, eV: constant but for the error of the time step."""
        return total_energy(state) + state.bath.energy


@dataclass(frozen=True)
class VelocityRescaling:
    """All velocities are scaled by one random factor, such that the kinetic energy is distributed canonically.

    Half a step of the thermostat, velocity Verlet, half a step of the thermostat. The total momentum stays zero.
    Source: G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007).

    temperature : K; n_degrees : degrees of freedom of the kinetic energy
    thermostat_time_fs : time in which the kinetic energy is forgotten; seed of the random numbers
    """

    temperature: Ramp
    n_degrees: int
    thermostat_time_fs: float
    seed: int

    def begin(self, system: System) -> Bath:
        """A bath that has received nothing."""
        return Bath()

    def step(self, state: MDState, timestep_fs: float, compute: Compute) -> MDState:
        """One step; `random_numbers` of its number decide on the factors."""
        random, kT = random_numbers(self.seed, state.step), thermal_energy(self.temperature, state.step)
        v, heat = self.rescaled(state.velocities, state.masses, kT, 0.5 * timestep_fs, random)
        moved = verlet_step(state._replace(velocities=v), timestep_fs, compute)
        v, more_heat = self.rescaled(moved.velocities, state.masses, kT, 0.5 * timestep_fs, random)
        return moved._replace(velocities=v, bath=state.bath._replace(energy=state.bath.energy + heat + more_heat))

    def rescaled(
        self, velocities: np.ndarray, masses: np.ndarray, kT: float, time_fs: float, random: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """Velocities after `time_fs` of the thermostat alone, and the energy that the atoms gave away, eV.

        Exact solution of the kinetic energy's equation (eq. A7 of the paper). Atoms that are all at rest stay so.
        """
        kinetic = float(kinetic_energy(velocities, masses))
        if kinetic == 0.0:
            return velocities, 0.0
        kept = math.exp(-time_fs / self.thermostat_time_fs)
        gaussian = random.standard_normal()
        others = random.chisquare(self.n_degrees - 1) if self.n_degrees > 1 else 0.0
        share = (1.0 - kept) * 0.5 * kT / kinetic  # of the mean kinetic energy of one degree of freedom
        root = math.sqrt(kept) + math.sqrt(share) * gaussian
        factor = math.copysign(math.sqrt(root**2 + share * others), root)
        return factor * velocities, kinetic * (1.0 - factor**2)

    def conserved_energy(self, state: MDState) -> float:
        """Total energy plus the heat that the atoms gave away, eV: constant but for the error of the time step."""
        return total_energy(state) + state.bath.energy


@dataclass(frozen=True)
class NoseHoover:
    """A chain of three thermostats, deterministic and reversible. The total momentum stays zero.

    Half a step of the chain, velocity Verlet, half a step of the chain. Source: G. J. Martyna, M. L. Klein,
    M. E. Tuckerman, J. Chem. Phys. 97, 2635 (1992); G. J. Martyna et al., Mol. Phys. 87, 1117 (1996).

    temperature : K; n_degrees : degrees of freedom of the kinetic energy
    thermostat_time_fs : tau of the masses Q_1 = n_degrees kT tau^2 and Q_j = kT tau^2 (kT: mean of a ramp's ends)
    """

    temperature: Ramp
    n_degrees: int
    thermostat_time_fs: float

    def begin(self, system: System) -> Bath:
        """A chain at rest."""
        return Bath(chain=np.zeros(CHAIN_LENGTH))

    def step(self, state: MDState, timestep_fs: float, compute: Compute) -> MDState:
        """One step."""
        kT = thermal_energy(self.temperature, state.step)
        v, chain, heat = self._thermostat(state.velocities, state.masses, state.bath.chain, kT, 0.5 * timestep_fs)
        moved = verlet_step(state._replace(velocities=v), timestep_fs, compute)
        v, chain, more_heat = self._thermostat(moved.velocities, state.masses, chain, kT, 0.5 * timestep_fs)
        bath = state.bath._replace(chain=chain, energy=state.bath.energy + heat + more_heat)
        return moved._replace(velocities=v, bath=bath)

    def _thermostat(self, velocities, masses, chain, kT: float, time_fs: float):
        twice_kinetic = 2.0 * float(kinetic_energy(velocities, masses))
        factor, chain, heat = flow_of_chain(chain, self._chain_masses(), twice_kinetic, self.n_degrees, kT, time_fs)
        return factor * velocities, chain, heat

    def _chain_masses(self) -> np.ndarray:
        return chain_masses(self.temperature, self.n_degrees, self.thermostat_time_fs)

    def conserved_energy(self, state: MDState) -> float:
        """Total energy, kinetic energy of the chain, and the heat that it holds, eV."""
        return total_energy(state) + chain_energy(state.bath.chain, self._chain_masses()) + state.bath.energy


def chain_masses(temperature: Ramp, n_degrees: int, time_fs: float) -> np.ndarray:
    """(M,) masses in eV fs^2 of a chain that controls `n_degrees` degrees of freedom."""
    kT = 0.5 * BOLTZMANN_EV_PER_K * (temperature.start + temperature.end)
    masses = np.full(CHAIN_LENGTH, kT * time_fs**2)
    masses[0] *= n_degrees
    return masses


def chain_energy(chain: np.ndarray, masses: np.ndarray) -> float:
    """Kinetic energy in eV of a chain with velocities (M,) in 1/fs and masses (M,) in eV fs^2."""
    return 0.5 * float(np.sum(masses * np.square(chain)))


def flow_of_chain(
    chain: np.ndarray, masses: np.ndarray, twice_kinetic_eV: float, n_degrees: int, kT: float, time_fs: float
) -> tuple[float, np.ndarray, float]:
    """Flow of a Nose-Hoover chain over `time_fs`, at fixed positions.

    chain : (M,) velocities, 1/fs; masses : (M,) eV fs^2; twice_kinetic_eV : of the `n_degrees` that it controls
    Returns the factor of their velocities, the new chain, and n_degrees kT d(eta_1) + kT sum_j d(eta_j), the heat that
    the chain's positions eta stand for, eV. Source: Martyna et al. (1996), section 4, with fourth-order weights.
    """
    v, q, last = [float(x) for x in chain], [float(x) for x in masses], len(chain) - 1
    factor, heat = 1.0, 0.0

    def pull(j: int) -> float:
        """Acceleration of link j, 1/fs^2."""
        drive = twice_kinetic_eV * factor**2 - n_degrees * kT if j == 0 else q[j - 1] * v[j - 1] ** 2 - kT
        return drive / q[j]

    def push(j: int, s: float) -> None:
        """Velocity of link j over s/2, with the drag of the link above it."""
        drag = math.exp(-0.25 * s * v[j + 1]) if j < last else 1.0
        v[j] = (v[j] * drag + 0.5 * s * pull(j)) * drag

    for weight in SUZUKI_YOSHIDA * CHAIN_SUBSTEPS:
        s = weight * time_fs / CHAIN_SUBSTEPS
        for j in range(last, -1, -1):
            push(j, s)
        factor *= math.exp(-s * v[0])
        heat += s * kT * (n_degrees * v[0] + sum(v[1:]))
        for j in range(last + 1):
            push(j, s)
    return factor, np.array(v), heat
