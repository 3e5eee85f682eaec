"""Neural network potentials keep every symmetry and conservation law, in cells of every kind.

The gates are those of `mdnnp check`; here they are put to potentials of several elements in cells larger and thinner
than the cutoff, triclinic, with open and mixed boundaries.
"""

import warnings

import numpy as np
import pytest
from places import GOLDEN
from reference_data import REAL, WATER_UNITS

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import make_system
from mdnnp.base.errors import MdnnpWarning
from mdnnp.certify.invariances import check
from mdnnp.dynamics.integrators import MDState, maxwell_boltzmann, total_energy, verlet_step
from mdnnp.potentials.load import load_potential

WATER = np.array([[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]])  # Å


def molecules(cell, pbc, repeats):
    """Water molecules, each turned at random, on a grid of the cell."""
    rng = np.random.default_rng(4)
    cell = np.asarray(cell, dtype=float)
    grid = np.array([(i, j, k) for i in range(repeats[0]) for j in range(repeats[1]) for k in range(repeats[2])])
    positions = []
    for place in (grid + 0.3) / repeats @ cell:
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        positions.append(WATER @ q.T + place)
    return make_system(np.concatenate(positions), [8, 1, 1] * len(grid), cell, pbc)


BOXES = {
    "triclinic, thinner than the cutoff": molecules([[6.2, 0, 0], [1.9, 5.9, 0], [-2.1, 1.4, 6.4]], True, (2, 2, 2)),
    "triclinic, thicker than the cutoff": molecules([[9.9, 0, 0], [2.9, 9.4, 0], [-1.6, 3.3, 9.6]], True, (3, 3, 3)),
    "slab": molecules(np.diag([6.2, 6.4, 9.0]), [True, True, False], (2, 2, 3)),
    "wire": molecules(np.diag([6.2, 6.4, 9.0]), [False, True, False], (2, 2, 2)),
    "cluster": molecules(np.diag([9.3, 9.3, 9.3]), False, (3, 3, 3)),
    "one molecule, thinner than itself": molecules(np.diag([3.1, 3.2, 3.3]), True, (1, 1, 1)),
}


def assert_passes(potential, system):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MdnnpWarning)  # these structures extrapolate
        report = check(potential, system, max_atoms=700)
    assert report.passed, report.text()


@pytest.fixture(scope="module")
def water_potential(water):
    return load_potential(water, *WATER_UNITS)


@pytest.mark.parametrize("box", BOXES)
def test_water(water_potential, box):
    assert_passes(water_potential, BOXES[box])


def opened(directory, length_unit="Angstrom", energy_unit="eV"):
    potential = load_potential(directory, length_unit, energy_unit)
    structure = read_structures(directory / "input.data", length_unit=length_unit, energy_unit=energy_unit)[0]
    return potential, structure


@pytest.mark.parametrize("directory", [(GOLDEN / "norm", *WATER_UNITS), *REAL.values()], ids=lambda d: d[0].name)
def test_potentials_in_the_units_of_others(directory):
    potential, structure = opened(*directory)
    assert_passes(potential, structure.system)


# With open boundaries the random networks of the other directories are saturated: forces of 1e-9 eV/Å prove nothing.
OPEN = [(name, pbc) for name in ("all1", "all6") for pbc in ((True, False, True), (False, False, True), (False,) * 3)]


@pytest.mark.parametrize(("name", "pbc"), [("big2", (True,) * 3), ("cut7", (True,) * 3), *OPEN])
def test_every_kind_of_function_with_every_kind_of_boundary(name, pbc):
    potential, structure = opened(GOLDEN / name)
    assert_passes(potential, structure.system._replace(pbc=np.array(pbc)))


def advance(state, timestep_fs, n, potential):
    neighbors = VerletList(potential.cutoff, 1.0)
    energies = []
    for _ in range(n):
        state = verlet_step(state, timestep_fs, lambda s: potential.compute(s, neighbors.update(s)))
        energies.append(total_energy(state))
    return state, np.array(energies)


def start(potential, system, masses, temperature_K):
    velocities = maxwell_boltzmann(masses, temperature_K, 1)
    return MDState(system, velocities, masses, potential.compute(system), 0)


@pytest.mark.parametrize(("n", "gate"), [(100, 1e-13), (500, 1e-11)])
def test_reversible(water_potential, n, gate):
    """Turn the velocities round and the atoms come home; the neighbour list is rebuilt on the way."""
    system = BOXES["triclinic, thinner than the cutoff"]
    masses = np.where(system.numbers == 8, 15.999, 1.008)
    first = start(water_potential, system, masses, 300.0)
    forth, _ = advance(first, 0.5, n, water_potential)
    back, _ = advance(forth._replace(velocities=-forth.velocities), 0.5, n, water_potential)
    assert np.abs(forth.system.positions - system.positions).max() > 0.05
    assert np.abs(back.system.positions - system.positions).max() < gate


def test_symplectic(water_potential):
    """The Jacobian M of one step, by finite differences, satisfies M^T J M = J in positions and momenta."""
    system = BOXES["one molecule, thinner than itself"]
    masses = np.where(system.numbers == 8, 15.999, 1.008)
    state = start(water_potential, system, masses, 300.0)
    n, weights = system.positions.size, np.repeat(masses, 3)

    def step(z):
        at = system._replace(positions=z[:n].reshape(-1, 3))
        moved = MDState(at, (z[n:] / weights).reshape(-1, 3), masses, water_potential.compute(at), 0)
        moved = verlet_step(moved, 0.5, water_potential.compute)
        return np.concatenate([moved.system.positions.ravel(), moved.velocities.ravel() * weights])

    z, h = np.concatenate([system.positions.ravel(), state.velocities.ravel() * weights]), 1e-4
    columns = [
        (8 * (step(z + e) - step(z - e)) - (step(z + 2 * e) - step(z - 2 * e))) / (12 * h) for e in h * np.eye(2 * n)
    ]
    jacobian = np.array(columns).T
    j = np.block([[np.zeros((n, n)), np.eye(n)], [-np.eye(n), np.zeros((n, n))]])
    assert np.abs(jacobian.T @ j @ jacobian - j).max() < 1e-8


def test_energy_error_is_second_order(water_potential):
    """Over the same time from one start, the rms of the total energy falls by 4 when the time step is halved."""
    system = BOXES["triclinic, thinner than the cutoff"]
    masses = np.where(system.numbers == 8, 15.999, 1.008)
    first = start(water_potential, system, masses, 300.0)
    first, _ = advance(first, 0.25, 400, water_potential)
    rms = []
    for halvings in range(3):
        _, energies = advance(first, 0.5 / 2**halvings, 400 * 2**halvings, water_potential)
        rms.append(np.std(energies))
    order = np.log2(np.array(rms[:-1]) / rms[1:])
    assert np.all(np.abs(order - 2) < 0.25), order
