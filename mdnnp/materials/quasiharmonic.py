"""Thermal expansion and heat capacity: harmonic phonons at several volumes, quantum statistics.

F(V, T) = E(V) + F_harmonic(V, T), the crystal at rest at each volume; V(T) minimises F. Then, of exact derivatives by
the temperature, alpha = (dS/dV)_T / B_T, gamma = V alpha B_T / C_V, C_P = C_V + alpha^2 B_T V T (M. Born, K. Huang
1954; D. C. Wallace 1972). The shape of the cell is that of the crystal at rest at that volume.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.system import System, volume
from mdnnp.base.errors import PhysicsError
from mdnnp.base.units import EV_IN_KJ_PER_MOL, EV_PER_A3_IN_GPA
from mdnnp.landscape.modes import PLANCK_EV_PER_THZ, thermal
from mdnnp.materials.crystal import Coverage, coverage
from mdnnp.materials.eos import at_volume, fit_birch_murnaghan
from mdnnp.materials.lattice import find_force_constants, frequencies, mesh
from mdnnp.potentials.interface import Potential

RATIOS = tuple(np.linspace(0.97, 1.06, 7))
_MESH_LENGTH_A = 60.0
_FEWEST_VOLUMES = 5
_MOST_RATIO = 1.125
_J_PER_MOL = 1000.0 * EV_IN_KJ_PER_MOL


class Harmonic(NamedTuple):
    """The crystal at one volume, a cell of it: Å^3, eV, THz (points, branches)."""

    volume: float
    energy: float
    frequencies: np.ndarray
    coverage: Coverage


class QuasiHarmonic(NamedTuple):
    """A crystal at zero pressure at temperatures (T,) K, as far as its volumes reach.

    volume : Å^3 per atom; expansion : volumetric, 1/K; bulk_modulus_GPa : isothermal
    heat_capacity_V, heat_capacity_P : J/(mol K) of atoms; gruneisen : thermodynamic (NaN at 0 K)
    zero_point : eV per atom, at the volume at rest; states : the volumes that were computed
    """

    temperature: np.ndarray
    volume: np.ndarray
    expansion: np.ndarray
    bulk_modulus_GPa: np.ndarray
    heat_capacity_V: np.ndarray
    heat_capacity_P: np.ndarray
    gruneisen: np.ndarray
    zero_point: float
    states: tuple[Harmonic, ...]
    notes: tuple[str, ...]


def harmonic(potential: Potential, system: System, masses: np.ndarray, ratio: float, keep_symmetry: bool) -> Harmonic:
    """Relax the crystal at `ratio` of its volume, and find its phonons on a mesh."""
    point = at_volume(potential, system, ratio, keep_symmetry)
    constants = find_force_constants(potential, point.system, masses)
    found = frequencies(constants, mesh(system.cell, _MESH_LENGTH_A))
    return Harmonic(volume(point.system.cell), point.results.energy, found, coverage(point.system, point.results))


def quasiharmonic(
    potential: Potential,
    system: System,
    masses: np.ndarray,
    temperatures: np.ndarray,
    *,
    ratios: Sequence[float] = RATIOS,
    keep_symmetry: bool = False,
    each: Callable[[str], None] = lambda text: None,
) -> QuasiHarmonic:
    """The quasi-harmonic crystal of a cell at rest.

    ratios : of its volume, and up to _MOST_RATIO more of them where it expands so far; `each` is called before each of
        them. Below the volume at rest, those with imaginary modes are left out; above, they are the end.
    Raises PhysicsError if too few are left.
    """
    states: list[Harmonic] = []
    notes: list[str] = []
    left = sorted(ratios)
    step, expanding = left[-1] - left[-2], True
    while left and expanding:
        ratio = left.pop(0)
        each(f"phonons at {ratio:.3f} of the volume")
        state = harmonic(potential, system, masses, ratio, keep_symmetry)
        lowest = state.frequencies.min()
        if lowest > 0.0:
            states.append(state)
        else:
            notes.append(f"imaginary modes at {ratio:.3f} times the volume, down to {-lowest:.2f} i THz: left out")
            states, expanding = ([], True) if ratio < 1.0 - 1e-9 else (states, False)
        if not left and expanding and len(states) >= _FEWEST_VOLUMES:
            found = evaluate(states, len(system), temperatures, notes)
            if len(found.temperature) < len(temperatures) and ratio + step < _MOST_RATIO:
                left = [ratio + step]  # it expands farther than usual
    if len(states) < _FEWEST_VOLUMES:
        raise PhysicsError(
            f"the crystal is not at a minimum, so it has no quasi-harmonic properties: {'; '.join(notes)}. "
            "mdnnp phonons shows the modes"
        )
    return evaluate(states, len(system), temperatures, notes)


def evaluate(states: Sequence[Harmonic], n_atoms: int, temperatures: np.ndarray, notes=()) -> QuasiHarmonic:
    """Properties from the phonons at five volumes or more; temperatures (T,) K, ascending."""
    volumes = np.array([s.volume for s in states])
    points = len(states[0].frequencies)
    each = [thermal(s.frequencies.ravel(), temperatures) for s in states]
    free = np.array([s.energy + e.free_energy_eV / points for s, e in zip(states, each, strict=True)])
    entropy = np.array([e.entropy_eV_per_K / points for e in each])
    heat = np.array([e.heat_capacity_eV_per_K / points for e in each])
    rows, notes = [], list(notes)
    for t, temperature in enumerate(temperatures):
        try:
            fit = fit_birch_murnaghan(volumes, free[:, t])
        except PhysicsError:
            fit = None
        if fit is None or not volumes[0] <= fit.volume <= volumes[-1]:
            notes.append(f"the volume at {temperature:.0f} K is outside the computed range: the curves end before it")
            break
        v, modulus = fit.volume, fit.bulk_modulus_GPa / EV_PER_A3_IN_GPA
        by_volume = np.polynomial.Polynomial.fit(volumes, entropy[:, t], 3).deriv()(v)
        c_v = np.polynomial.Polynomial.fit(volumes, heat[:, t], 3)(v)
        alpha = by_volume / modulus
        gamma = v * by_volume / c_v if c_v > 0 else np.nan
        rows.append((v, alpha, fit.bulk_modulus_GPa, c_v, c_v + alpha**2 * modulus * v * temperature, gamma))
    if not rows:
        raise PhysicsError(f"at no temperature is the volume inside the computed range; {notes[-1]}")
    v, alpha, modulus, c_v, c_p, gamma = np.array(rows).T
    zero_points = [0.5 * PLANCK_EV_PER_THZ * s.frequencies.sum() / points for s in states]
    at_rest = fit_birch_murnaghan(volumes, [s.energy for s in states]).volume
    zero_point = np.polynomial.Polynomial.fit(volumes, zero_points, 3)(at_rest) / n_atoms
    return QuasiHarmonic(
        np.asarray(temperatures[: len(v)], float), v / n_atoms, alpha, modulus, c_v * _J_PER_MOL / n_atoms,
        c_p * _J_PER_MOL / n_atoms, gamma, float(zero_point), tuple(states), tuple(notes),
    )  # fmt: skip
