"""Constant pressure and temperature: Martyna-Tobias-Klein dynamics and stochastic cell rescaling.

The cell moves by `cell -> cell @ exp(strain)` and takes the atoms along; `shape` says which strains there are:

    isotropic    a multiple of the unit matrix: the volume changes, the shape does not (1 degree of freedom)
    anisotropic  diagonal: stretched along x, y and z on their own (3)
    flexible     symmetric: lengths and angles; rotations are left out (6)

After a flexible strain everything is rotated so that the cell stays lower-triangular, which changes no distance. Both
methods sample V^n exp(-(E + p V)/kT) dV (isotropic), the same per edge (anisotropic) or d(cell)/V^2 (flexible), where
V^n stands for the positions: n is the number of atoms, minus one if the total momentum is zero.

Signs: pressure is positive in compression; the pressure tensor is P = (kinetic tensor + virial) / V.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mdnnp.atoms.quantities import kinetic_energy
from mdnnp.atoms.system import System, lower_triangular, transformed, volume
from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_PER_A3_IN_GPA, EV_PER_U_A2_PER_FS2
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
from mdnnp.dynamics.integrators.thermostats import (
    CHAIN_LENGTH,
    VelocityRescaling,
    chain_energy,
    chain_masses,
    flow_of_chain,
)

Shape = Literal["isotropic", "anisotropic", "flexible"]
CELL_DEGREES = {"isotropic": 1, "anisotropic": 3, "flexible": 6}


@dataclass(frozen=True)
class MartynaTobiasKlein:
    """NPT, deterministic and reversible: cell and atoms each with a Nose-Hoover chain. Total momentum stays zero.

    Source: G. J. Martyna, D. J. Tobias, M. L. Klein, J. Chem. Phys. 101, 4177 (1994); the splitting, which preserves
    the measure: M. E. Tuckerman et al., J. Phys. A 39, 5629 (2006), T.-Q. Yu et al., Chem. Phys. 370, 294 (2010).

    temperature : K; pressure : GPa; n_degrees : degrees of freedom of the kinetic energy
    thermostat_time_fs : of the atoms' chain, see `NoseHoover`
    barostat_time_fs : tau of the cell's mass W = (n_degrees + 3) kT tau^2 / 3 and of its chain
    """

    temperature: Ramp
    pressure: Ramp
    n_degrees: int
    thermostat_time_fs: float
    barostat_time_fs: float
    shape: Shape

    def begin(self, system: System) -> Bath:
        """Cell and chains at rest."""
        work = self.pressure.start / EV_PER_A3_IN_GPA * volume(system.cell)
        return Bath(work, np.zeros(CHAIN_LENGTH), np.zeros((3, 3)), np.zeros(CHAIN_LENGTH))

    def step(self, state: MDState, timestep_fs: float, compute: Compute) -> MDState:
        """One step."""
        half_step, masses = 0.5 * timestep_fs, state.masses
        kT, p = thermal_energy(self.temperature, state.step), _during(self.pressure, state.step)
        v, bath = self._thermostat(state.velocities, masses, state.bath, kT, half_step)
        rate = self._pushed_cell(bath.cell_velocity, v, state, p, half_step)
        v = self._kicked(v, rate, state, half_step)

        system, rotation = strained(_drifted(state.system, v, rate, timestep_fs), timestep_fs * rate, self.shape)
        v, rate = transformed(v, rotation.T), rotation @ rate @ rotation.T
        work = p * (volume(system.cell) - volume(state.system.cell))
        moved = state._replace(system=system, results=compute(system), step=state.step + 1)

        v = self._kicked(v, rate, moved, half_step)
        rate = self._pushed_cell(rate, v, moved, p, half_step)
        v, bath = self._thermostat(v, masses, bath._replace(cell_velocity=rate), kT, half_step)
        return moved._replace(velocities=v, bath=bath._replace(energy=bath.energy + work))

    def _thermostat(self, v: np.ndarray, masses: np.ndarray, bath: Bath, kT: float, time_fs: float):
        """Both chains over `time_fs`: velocities and bath."""
        twice_kinetic = 2.0 * float(kinetic_energy(v, masses))
        chain = self._chain_masses()
        factor, chain, heat = flow_of_chain(bath.chain, chain, twice_kinetic, self.n_degrees, kT, time_fs)
        twice_cell = 2.0 * self._cell_energy(bath.cell_velocity)
        degrees, cell_chain = CELL_DEGREES[self.shape], self._cell_chain_masses()
        cell_factor, cell_chain, cell_heat = flow_of_chain(
            bath.cell_chain, cell_chain, twice_cell, degrees, kT, time_fs
        )
        return factor * v, Bath(bath.energy + heat + cell_heat, chain, cell_factor * bath.cell_velocity, cell_chain)

    def _pushed_cell(self, rate: np.ndarray, v: np.ndarray, state: MDState, p: float, time_fs: float) -> np.ndarray:
        """The cell's velocity (3, 3) after `time_fs` of the force on it, at fixed positions and velocities."""
        kinetic = kinetic_tensor(v, state.masses)
        share = np.trace(kinetic) / self.n_degrees  # makes the measure that of NPT
        force = kinetic + state.results.virial + (share - p * volume(state.system.cell)) * np.eye(3)
        return rate + time_fs / self._cell_mass() * projected(force, self.shape)

    def _kicked(self, v: np.ndarray, rate: np.ndarray, state: MDState, time_fs: float) -> np.ndarray:
        """Exact solution of dv/dt = a - v @ (rate + trace(rate) / n_degrees) over `time_fs`."""
        drag = rate + np.trace(rate) / self.n_degrees * np.eye(3)
        decay = function_of_symmetric(-time_fs * drag, np.exp)
        gain = time_fs * function_of_symmetric(-time_fs * drag, _mean_growth)
        return transformed(v, decay) + transformed(accelerations(state.results, state.masses), gain)

    def _cell_mass(self) -> float:
        kT = 0.5 * BOLTZMANN_EV_PER_K * (self.temperature.start + self.temperature.end)
        return (self.n_degrees + 3) * kT * self.barostat_time_fs**2 / 3.0

    def _cell_energy(self, rate: np.ndarray) -> float:
        return 0.5 * self._cell_mass() * float(np.sum(np.square(rate)))

    def _chain_masses(self) -> np.ndarray:
        return chain_masses(self.temperature, self.n_degrees, self.thermostat_time_fs)

    def _cell_chain_masses(self) -> np.ndarray:
        return chain_masses(self.temperature, CELL_DEGREES[self.shape], self.barostat_time_fs)

    def conserved_energy(self, state: MDState) -> float:
        """Enthalpy, kinetic energies of cell and chains, and the heat that the chains hold, eV."""
        chains = chain_energy(state.bath.chain, self._chain_masses())
        chains += chain_energy(state.bath.cell_chain, self._cell_chain_masses())
        return total_energy(state) + self._cell_energy(state.bath.cell_velocity) + chains + state.bath.energy


@dataclass(frozen=True)
class CellRescaling:
    """NPT by stochastic velocity rescaling and a first-order, stochastic equation for the cell, which never rings.

    The strain of a time step h is Gaussian, with mean m h F and variance 2 m h kT of each component, where
    F = V (P - p) + kT is the force on the cell and m = compressibility / (3 V_ref tau) its mobility: the equation of
    M. Bernetti, G. Bussi, J. Chem. Phys. 153, 114107 (2020), and for the other shapes of V. Del Tatto, P. Raiteri,
    M. Bernetti, G. Bussi, Appl. Sci. 12, 1139 (2022), but with the volume V_ref instead of the present one in m. That
    does not change the ensemble, and makes the noise the same for any strain, so that the probabilities of a step and
    of its reverse can be compared: their ratio enters the conserved (effective) energy.

    temperature : K; pressure : GPa; n_degrees : degrees of freedom of the kinetic energy
    thermostat_time_fs : see `VelocityRescaling`
    barostat_time_fs : tau, the time in which the volume relaxes if the compressibility is right
    compressibility_per_GPa : isothermal; an estimate, only the relaxation time depends on it
    reference_volume_A3 : V_ref, such as the volume at the start; seed of the random numbers
    """

    temperature: Ramp
    pressure: Ramp
    n_degrees: int
    thermostat_time_fs: float
    barostat_time_fs: float
    compressibility_per_GPa: float
    reference_volume_A3: float
    shape: Shape
    seed: int

    def begin(self, system: System) -> Bath:
        """A bath that has received nothing but p V."""
        return Bath(self.pressure.start / EV_PER_A3_IN_GPA * volume(system.cell))

    def step(self, state: MDState, timestep_fs: float, compute: Compute) -> MDState:
        """One step; `random_numbers` of its number decide on the strain and on the factors of the velocities."""
        half_step, masses = 0.5 * timestep_fs, state.masses
        kT, p = thermal_energy(self.temperature, state.step), _during(self.pressure, state.step)
        random = random_numbers(self.seed, state.step)
        thermostat = VelocityRescaling(self.temperature, self.n_degrees, self.thermostat_time_fs, self.seed)

        v, heat = thermostat.rescaled(state.velocities, masses, kT, half_step, random)
        v = v + half_step * accelerations(state.results, masses)
        force = self._force_on_cell(v, state, p, kT)
        reach = timestep_fs * self._mobility()
        noise = projected(random.standard_normal((3, 3)), self.shape)
        strain = reach * force + math.sqrt(2.0 * reach * kT) * noise

        drifted = state.system._replace(positions=state.system.positions + half_step * v)
        system, rotation = strained(drifted, strain, self.shape)
        v = transformed(v, function_of_symmetric(-strain, np.exp) @ rotation.T)
        system = system._replace(positions=system.positions + half_step * v)
        moved = state._replace(system=system, results=compute(system), step=state.step + 1)

        force, strain = (rotation @ tensor @ rotation.T for tensor in (force, strain))
        given = _work_of_strain(strain, force, self._force_on_cell(v, moved, p, kT), reach)
        given += p * (volume(system.cell) - volume(state.system.cell)) - kT * float(np.trace(strain))
        v = v + half_step * accelerations(moved.results, masses)
        v, more_heat = thermostat.rescaled(v, masses, kT, half_step, random)
        bath = state.bath._replace(energy=state.bath.energy + heat + given + more_heat)
        return moved._replace(velocities=v, bath=bath)

    def _force_on_cell(self, v: np.ndarray, state: MDState, p: float, kT: float) -> np.ndarray:
        """Minus the derivative of E + p V - kT ln V by the strain (scaled positions and momenta fixed), (3, 3) eV."""
        kinetic = kinetic_tensor(v, state.masses)
        force = kinetic + state.results.virial + (kT - p * volume(state.system.cell)) * np.eye(3)
        return projected(force, self.shape)

    def _mobility(self) -> float:
        """Strain rate per force, 1/(eV fs)."""
        compressibility = self.compressibility_per_GPa * EV_PER_A3_IN_GPA
        return compressibility / (3.0 * self.reference_volume_A3 * self.barostat_time_fs)

    def conserved_energy(self, state: MDState) -> float:
        """Total energy plus what the atoms gave away, eV: constant but for the error of the time step."""
        return total_energy(state) + state.bath.energy


def _work_of_strain(strain: np.ndarray, before: np.ndarray, after: np.ndarray, reach: float) -> float:
    """kT ln of the probability of a strain over that of its reverse, eV.

    before, after : (3, 3) eV, forces on the cell at either end; reach : mobility times time step, 1/eV
    Source: Bussi, Parrinello (2007), eq. 10, for Gaussian steps of equal variance.
    """
    mean = 0.5 * float(np.sum(strain * (before + after)))
    return mean + 0.25 * reach * float(np.sum(np.square(after)) - np.sum(np.square(before)))


def _during(pressure: Ramp, step: int) -> float:
    """The pressure of the surroundings during the time step that follows `step`, eV/Å^3."""
    return pressure.during(step) / EV_PER_A3_IN_GPA


def projected(tensor: np.ndarray, shape: Shape) -> np.ndarray:
    """The part of a (3, 3) tensor that the cell can follow: orthogonal projection."""
    if shape == "isotropic":
        return np.trace(tensor) / 3.0 * np.eye(3)
    if shape == "anisotropic":
        return np.diag(np.diag(tensor))
    return 0.5 * (tensor + tensor.T)


def strained(system: System, strain: np.ndarray, shape: Shape) -> tuple[System, np.ndarray]:
    """Cell and atoms under exp(strain), and the rotation R that made the cell lower-triangular: vector @ R.T."""
    deformation = function_of_symmetric(strain, np.exp)
    cell, rotation = system.cell @ deformation, np.eye(3)
    if shape == "flexible":
        cell, rotation = lower_triangular(cell)
    return system._replace(positions=transformed(system.positions, deformation @ rotation.T), cell=cell), rotation


def _drifted(system: System, v: np.ndarray, rate: np.ndarray, time_fs: float) -> System:
    """Positions moved such that `strained` by time_fs * rate then solves dr/dt = v + r @ rate exactly."""
    gain = time_fs * function_of_symmetric(-time_fs * rate, _mean_growth)
    return system._replace(positions=system.positions + transformed(v, gain))


def kinetic_tensor(v: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """`quantities.kinetic_tensor` without BLAS, whose bits may depend on threads and machine: it steers the cell."""
    return np.einsum("n,na,nb->ab", masses, v, v) * EV_PER_U_A2_PER_FS2


def function_of_symmetric(matrix: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A function of numbers, such as np.exp, of a symmetric (3, 3) matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * function(values)) @ vectors.T


def _mean_growth(x: np.ndarray) -> np.ndarray:
    """(exp(x) - 1) / x, the mean of exp over 0 .. x."""
    return np.where(x == 0.0, 1.0, np.expm1(x) / np.where(x == 0.0, 1.0, x))
