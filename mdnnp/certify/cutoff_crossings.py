"""Jumps of energy, force and its slope as an atom crosses a cutoff."""

import math
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.system import System
from mdnnp.certify.measures import JUMP_STEP_A, SLOPE_STEP_A, Evaluation, evaluate, largest, ratio, unit_vectors, within
from mdnnp.potentials.interface import Potential

_MANY_CROSSINGS = 48  # each costs 25 evaluations of a cluster
_RADIUS_MIN_A = 1.0  # windows of compact functions that end closer to the atom are never crossed in practice


class Continuity(NamedTuple):
    """Jumps when an atom crosses a cutoff sphere.

    energy : jump of the energy over sum_i |E_i|, in the cluster or in as many atoms of the system
    force : largest jump of a force component, over the largest force in cluster or system
    slope : largest jump of the derivative of a force by the distance, over the largest force, 1/Å
    slope_coarse : the same with a scan of twice the step; a jump that is none shrinks with the step
    rounding : what the constants in the energies, which swallow digits, may contribute to `energy`
    """

    energy: float
    force: float
    slope: float
    slope_coarse: float
    rounding: float

    @property
    def slope_jumps(self) -> bool:
        """Whether the jump of the slope is real: above rounding (over the step), not shrinking with it."""
        return self.slope > max(1e-7, 0.6 * self.slope_coarse)


def cutoff_radii(potential: Potential) -> list[float]:
    """All radii in Å where an interaction of the potential begins, ends or changes its form, at least 1 Å."""
    return sorted({r for r in potential.radii() if r >= _RADIUS_MIN_A})


def continuity(
    potential: Potential,
    system: System,
    centre: int,
    number: int,
    radius: float,
    *,
    seed: int = 1,
    whole: Evaluation | None = None,
) -> Continuity:
    """Jumps when an atom of element `number` leaves the sphere of `radius` Å about the atom `centre`.

    The other atoms are those of the system about the centre, images included, cut out as an open cluster, in
    which the extra atom is given room. Energy and forces at four points on either side are extrapolated to
    the sphere as cubic polynomials; what differs there is a jump, while the smooth rest contributes to the
    fourth order in the step.
    whole : the evaluation of the system, if there is one already
    """
    cluster, direction = _cluster_with_room(potential, system, centre, number, radius, seed)
    # The cluster may be a mere pair at its cutoff: the whole system says what is large.
    whole, part = whole or evaluate(potential, system), evaluate(potential, cluster)
    energy_scale = max(whole.energy_scale * len(cluster) / len(system), part.energy_scale)
    force_scale = max(whole.force_scale, part.force_scale)
    # Rounding of energy and force is the same at any step, but that of a slope is divided by it.
    energy, force, _ = _jumps(potential, cluster, direction, radius, JUMP_STEP_A)
    _, _, slope = _jumps(potential, cluster, direction, radius, SLOPE_STEP_A)
    _, _, slope_coarse = _jumps(potential, cluster, direction, radius, 2 * SLOPE_STEP_A)
    return Continuity(
        ratio(energy, energy_scale),
        ratio(force, force_scale),
        ratio(slope, force_scale),
        ratio(slope_coarse, force_scale),
        # 8: root of the sum of the squared weights in _VALUE_AT_EDGE; 4: sides, and errors in twice the ulp
        ratio(4 * 8 * math.sqrt(len(cluster)) * part.rounding, energy_scale),
    )


def crossings(potential: Potential, system: System, *, seed: int = 1) -> dict[str, dict[float, Continuity]]:
    """`continuity` for every pair of elements ("H-O") and every radius in Å of the potential.

    A potential without such a radius crosses none. Compact functions may have dozens: beyond _MANY_CROSSINGS each pair
    crosses the largest and its share of the rest.
    """
    found, whole = {}, evaluate(potential, system)
    radii, pairs = cutoff_radii(potential), list(combinations_with_replacement(np.unique(system.numbers), 2))
    share = max(3, _MANY_CROSSINGS // len(pairs)) - 1
    for turn, (first, second) in enumerate(pairs):
        centre = int(np.flatnonzero(system.numbers == first)[0])
        found[f"{chemical_symbols[first]}-{chemical_symbols[second]}"] = {
            radius: continuity(potential, system, centre, int(second), radius, seed=seed, whole=whole)
            for radius in sorted({*np.roll(radii[:-1], -turn * share)[:share].tolist(), *radii[-1:]})
        }
    return found


def _cluster_with_room(potential, system, centre, number, radius, seed) -> tuple[System, np.ndarray]:
    """An open cluster, centre first and the extra atom last, and the direction in which that one is to leave.

    The direction is the emptiest of some, away from places where the extra atom crosses another sphere at the
    same moment; atoms that are still too close to it are left out.
    """
    radii = np.array(cutoff_radii(potential))
    atoms, vectors = within(system, system.positions[centre], 0.9 * radii[-1])
    others = np.linalg.norm(vectors, axis=1) > 1e-3
    atoms, vectors = atoms[others], vectors[others]
    best, direction = -1.0, np.array([1.0, 0, 0])
    for u in unit_vectors(np.random.default_rng(seed), 100):
        distances = np.linalg.norm(vectors - radius * u, axis=1)
        coincident = np.any(np.abs(distances[:, None] - radii[None, :]) < 50 * SLOPE_STEP_A)
        room = 0.0 if coincident else float(np.min(distances, initial=1e9))
        if room > best:
            best, direction = room, u
    kept = np.linalg.norm(vectors - radius * direction, axis=1) > min(2.0, 0.4 * potential.cutoff)
    positions = np.vstack([np.zeros(3), vectors[kept], (radius - SLOPE_STEP_A) * direction])
    numbers = np.array([system.numbers[centre], *system.numbers[atoms[kept]], number])
    return System(positions, numbers, np.zeros((3, 3)), np.zeros(3, dtype=bool)), direction


# Value and derivative at 0 of the cubic polynomial through f(1) .. f(4).
_VALUE_AT_EDGE = np.array([4.0, -6.0, 4.0, -1.0])
_SLOPE_AT_EDGE = np.array([-13 / 3, 19 / 2, -7.0, 11 / 6])


def _jumps(potential, cluster, direction, radius, step) -> tuple[float, float, float]:
    """Jumps in eV, eV/Å and eV/Å^2 of energy, forces and their slopes as the last atom crosses the radius."""

    def side(sign):
        found = []
        for r in radius + sign * step * np.arange(1, 5):
            positions = cluster.positions.copy()
            positions[-1] = r * direction
            found.append(evaluate(potential, cluster._replace(positions=positions)))
        return found

    inner, outer = side(-1), side(1)
    energies = np.array([o.energies - i.energies for i, o in zip(inner, outer, strict=True)])
    forces = np.array([o.forces - i.forces for i, o in zip(inner, outer, strict=True)])
    slopes = np.array([o.forces + i.forces for i, o in zip(inner, outer, strict=True)])
    return (
        abs(math.fsum(_VALUE_AT_EDGE @ energies)),
        largest(np.tensordot(_VALUE_AT_EDGE, forces, 1)),
        # Both sides are parametrised away from the sphere: the slopes of a smooth force cancel in the sum.
        largest(np.tensordot(_SLOPE_AT_EDGE, slopes, 1)) / step,
    )
