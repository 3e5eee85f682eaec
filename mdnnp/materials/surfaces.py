"""Surfaces of low index: slabs with open boundaries, the termination of lowest energy, before and after relaxing.

gamma = (E(slab) - N e) / 2A with e the energy per atom of the perfect crystal: slabs hold whole cells, so they are
stoichiometric. If both sides differ, gamma is their mean. The surface cell is 1 x 1, whatever cell of the crystal was
given: reconstructions larger than that are not sought.
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.system import System, heights, make_system, replicate
from mdnnp.base.errors import InputError
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.materials.crystal import Coverage, coverage
from mdnnp.potentials.interface import Potential

INDICES = ((1, 0, 0), (1, 1, 0), (1, 1, 1))
_THICKNESS_A = 15.0  # at least, and so that no atom sees both sides
_FORCE_TOLERANCE = 2e-3  # eV/Å
_SHAKE_A = 0.02
_SAME_LAYER_A = 0.05
_SAME_PLACE_A = 1e-3
_MOST_EVALUATIONS = 600
J_PER_M2 = EV_PER_A3_IN_GPA / 10.0  # 1 eV/Å^2 in J/m^2


class Surface(NamedTuple):
    """A surface, energies in eV/Å^2.

    indices : (hkl) of the cell given; layers : atomic layers of the slab; area : of one side, Å^2
    before, after : where the potential extrapolates, unrelaxed and relaxed; converged : whether it came to rest
    """

    indices: tuple[int, int, int]
    unrelaxed: float
    relaxed: float
    area: float
    n_atoms: int
    layers: int
    before: Coverage
    after: Coverage
    converged: bool


def slabs(system: System, indices: tuple[int, int, int], thickness_A: float = _THICKNESS_A) -> list[System]:
    """Slabs of at least that thickness, one for each place between atomic layers where the crystal can be cut.

    indices : of the cell given; a and b span the smallest cell of the surface; the direction of c is open
    """
    system, indices = _in_primitive_cell(system, indices)
    vectors = plane_vectors(system.cell, indices)
    one = vectors @ system.cell
    layers = max(1, int(np.ceil(thickness_A / heights(one)[2] - 1e-9)))
    inside = system.positions @ np.linalg.inv(one)
    inside -= np.floor(inside + 1e-9)
    block = replicate(System(inside @ one, system.numbers, one, system.pbc, system.charge), (1, 1, layers))
    cell = block.cell
    fractional = block.positions @ np.linalg.inv(cell)
    level = np.sort(fractional[:, 2])
    gap = np.diff(np.append(level, level[0] + 1.0))
    cuts = (level + 0.5 * gap)[gap * heights(cell)[2] > _SAME_LAYER_A]
    out = []
    for cut in cuts[: max(1, round(len(cuts) / layers))]:  # those of one cell
        above = fractional + np.outer(fractional[:, 2] < cut, [0.0, 0.0, 1.0])
        out.append(make_system(above @ cell, block.numbers, cell, (True, True, False), block.charge))
    return out


def _in_primitive_cell(system: System, indices: tuple[int, int, int]) -> tuple[System, tuple[int, int, int]]:
    """The crystal in a primitive cell, and the indices of the same planes there."""
    lattice, copies = primitive_lattice(system)
    if copies == 1:
        return system, indices
    planes = np.rint(copies * (lattice @ np.linalg.solve(system.cell, indices))).astype(int)
    inside = (system.positions @ np.linalg.inv(lattice)) % 1.0
    gap = inside[:, None] - inside
    same = np.linalg.norm((gap - np.round(gap)) @ lattice, axis=2) < 2 * _SAME_PLACE_A
    kept = ~np.tril(same, -1).any(axis=1)  # the first of the atoms in each place
    reduced = System(inside[kept] @ lattice, system.numbers[kept], lattice, system.pbc, system.charge / copies)
    return reduced, tuple((planes // np.gcd.reduce(planes)).tolist())


def primitive_lattice(system: System) -> tuple[np.ndarray, int]:
    """(3, 3) shortest lattice vectors under which the crystal repeats, and how many such cells the given one has."""
    fractional = system.positions @ np.linalg.inv(system.cell)
    kinds, counts = np.unique(system.numbers, return_counts=True)
    rarest = fractional[system.numbers == kinds[np.argmin(counts)]]
    shifts = np.array([shift for shift in rarest - rarest[0] if _repeats(system, fractional, shift)])
    if len(shifts) == 1:
        return system.cell, 1
    near = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    vectors = ((shifts % 1.0)[:, None] + near).reshape(-1, 3) @ system.cell
    vectors = vectors[np.argsort(np.round(np.linalg.norm(vectors, axis=1), 6), kind="stable")][1:]
    size = abs(np.linalg.det(system.cell)) / len(shifts)
    for three in combinations(vectors, 3):
        found = np.linalg.det(three)
        if abs(abs(found) / size - 1.0) < 1e-3:
            return np.array(three) * np.sign(found), len(shifts)
    return system.cell, 1


def _repeats(system: System, fractional: np.ndarray, shift: np.ndarray) -> bool:
    """Whether the crystal moved by `shift` (fractional) is itself."""
    gap = fractional[:, None] + shift - fractional
    distance = np.linalg.norm((gap - np.round(gap)) @ system.cell, axis=2)
    distance[system.numbers[:, None] != system.numbers] = np.inf
    return bool(distance.min(axis=1).max() < _SAME_PLACE_A)


def plane_vectors(cell: np.ndarray, indices: tuple[int, int, int]) -> np.ndarray:
    """(3, 3) integers of determinant 1: the shortest lattice vectors in a plane (hkl), and one to the next plane."""
    grid = np.indices((7, 7, 7)).reshape(3, -1).T - 3
    grid = grid[np.argsort(np.round(np.linalg.norm(grid @ cell, axis=1), 6), kind="stable")]
    level = grid @ np.asarray(indices)
    flat, up = grid[level == 0][1:], grid[level == 1][0]  # the first one in the plane is no vector at all
    for second in flat[1:]:
        size = round(np.linalg.det([flat[0], second, up]))
        if abs(size) == 1:
            return np.array([flat[0], size * second, up])
    raise InputError(f"the plane {indices} needs too long lattice vectors; use lower indices")


def surface_energy(
    potential: Potential, system: System, energy_per_atom: float, indices: tuple[int, int, int]
) -> Surface:
    """Energy of a surface of a crystal; relaxed from slightly displaced positions, which break the symmetry."""
    cuts = slabs(system, indices, max(_THICKNESS_A, 2.0 * potential.near_reach + 5.0))
    best, results = min(((slab, potential.compute(slab)) for slab in cuts), key=lambda cut: cut[1].energy)
    area = float(np.linalg.norm(np.cross(best.cell[0], best.cell[1])))
    perfect = energy_per_atom * len(best)
    shaken = best.positions + np.random.default_rng(0).normal(0.0, _SHAKE_A, best.positions.shape)
    goal = Goal(force_tolerance=_FORCE_TOLERANCE, most_evaluations=_MOST_EVALUATIONS)
    outcome = relax(potential, best._replace(positions=shaken), goal)
    end = outcome.point
    normal = np.cross(best.cell[0], best.cell[1]) / area
    level = np.sort(best.positions @ normal)
    return Surface(
        indices, (results.energy - perfect) / (2 * area), (end.results.energy - perfect) / (2 * area), area, len(best),
        1 + int((np.diff(level) > _SAME_LAYER_A).sum()), coverage(best, results), coverage(end.system, end.results),
        outcome.converged,
    )  # fmt: skip


def surface_energies(
    potential: Potential, system: System, energy_per_atom: float, each: Callable[[str], None] = lambda text: None
) -> list[Surface]:
    """All of INDICES."""
    found = []
    for indices in INDICES:
        each(f"surface ({''.join(map(str, indices))})")
        found.append(surface_energy(potential, system, energy_per_atom, indices))
    return found
