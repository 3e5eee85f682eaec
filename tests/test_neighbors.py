"""Neighbour lists against a search over all images, for any cell and boundaries."""

import itertools

import numpy as np
import pytest
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from mdnnp import jit
from mdnnp.errors import InputError
from mdnnp.neighbors import VerletList, build, coordinates, image_vectors, neighbor_list
from mdnnp.system import System, complete_cell, heights, make_system


def brute_force(system: System, cutoff: float) -> dict:
    """(i, j, S) -> r_ij of every pair nearer than the cutoff, by trying all images of the wrapped atoms."""
    frame = complete_cell(system.cell, system.pbc)
    inside = np.floor(system.positions @ np.linalg.inv(frame)).astype(int) * system.pbc
    positions = system.positions - inside @ system.cell
    most = [int(cutoff / h) + 2 if p else 0 for h, p in zip(heights(frame), system.pbc, strict=True)]
    between = positions[None] - positions[:, None]
    found = {}
    for shift in itertools.product(*(range(-m, m + 1) for m in most)):
        vectors = between + np.array(shift) @ system.cell
        near = np.linalg.norm(vectors, axis=-1) < cutoff
        if shift == (0, 0, 0):
            np.fill_diagonal(near, False)
        for i, j in zip(*np.nonzero(near), strict=True):
            found[int(i), int(j), *(int(s) for s in np.array(shift) - inside[j] + inside[i])] = vectors[i, j]
    return found


def assert_equals_brute_force(system: System, cutoff: float) -> None:
    i, j, shifts, vectors = neighbor_list(system, cutoff)
    expected = brute_force(system, cutoff)
    pairs = [tuple(int(v) for v in row) for row in np.column_stack([i, j, shifts])]
    assert len(pairs) == len(set(pairs)), "a pair is listed twice"
    # at the cutoff itself rounding may decide either way
    for pair in set(pairs) ^ set(expected):
        vector = system.positions[pair[1]] - system.positions[pair[0]] + np.array(pair[2:]) @ system.cell
        assert abs(np.linalg.norm(vector) - cutoff) < 1e-9, pair
    scale = 1.0 + np.abs(system.positions).max()
    for pair, vector in zip(pairs, vectors, strict=True):
        if pair in expected:
            assert np.abs(vector - expected[pair]).max() <= 1e-13 * scale
    assert np.all(np.diff(i) >= 0)


@st.composite
def systems(draw):
    """Random cells, from cuboid to very skewed, with atoms inside and far outside."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.floats(1.5, 8.0))
    while True:
        cell = rng.normal(size=(3, 3)) * rng.uniform(0.4, 2.0, size=(3, 1)) * scale
        if draw(st.booleans()):
            cell = np.diag(np.abs(np.diag(cell)) + 0.5)
        if abs(np.linalg.det(cell / np.linalg.norm(cell, axis=1)[:, None])) > 0.05:
            break
    if np.linalg.det(cell) < 0:
        cell = cell[[1, 0, 2]]
    n = draw(st.integers(1, 20))
    pbc = [draw(st.booleans()) for _ in range(3)]
    spread = draw(st.sampled_from([0.5, 1.0, 5.0, 300.0]))
    fractional = rng.uniform(0, 1, size=(n, 3)) + np.where(pbc, np.floor(rng.uniform(-spread, spread, size=(n, 3))), 0)
    fractional[:, :] += rng.choice([0.0, -1e-17, 1.0], size=(n, 3)) * (rng.random((n, 3)) < 0.05)
    numbers = rng.choice([1, 8, 29], size=n)
    cutoff = draw(st.floats(0.2, 2.5)) * heights(complete_cell(cell, np.array(pbc)))[pbc].min() if any(pbc) else scale
    return make_system(fractional @ cell, numbers, cell, pbc), float(cutoff)


@settings(max_examples=300, deadline=None)
@given(systems())
def test_random_cells(case):
    system, cutoff = case
    try:
        assert_equals_brute_force(system, cutoff)
    except InputError as error:
        assert "one spot" in str(error) or "own periodic image" in str(error)


def rattled(atoms, seed=0):
    positions = atoms.positions + np.random.default_rng(seed).normal(scale=0.1, size=atoms.positions.shape)
    return make_system(positions, atoms.numbers, atoms.cell.array, atoms.pbc)


SKEWED = np.array([[4.0, 0.0, 0.0], [11.3, 4.1, 0.0], [-7.9, 6.2, 3.8]])
NAMED = {
    "molecule": rattled(molecule("H2O")),
    "one open atom": make_system([[1.0, 2.0, 3.0]], [18]),
    "one periodic atom": make_system([[1.0, 2.0, 3.0]], [18], np.eye(3) * 2.5, True),
    "primitive silicon": rattled(bulk("Si")),
    "cubic silicon": rattled(bulk("Si", cubic=True)),
    "skewed": make_system(np.random.default_rng(2).uniform(-9, 9, (6, 3)), [1, 8, 8, 1, 26, 1], SKEWED, True),
    "slab": make_system(
        [[0, 0, 0], [1, 1, 7.0], [2, 2, -30.0]], [1, 2, 3], np.diag([3.0, 4.0, 9.0]), [True, True, False]
    ),
    "slab without third vector": make_system(
        [[0, 0, 0], [1, 1, 2.0]], [1, 2], [[3, 0, 0], [1, 4, 0], [0, 0, 0]], [1, 1, 0]
    ),
    "wire": make_system([[0, 0, 0], [1, 9, 1.0]], [1, 2], [[0, 0, 0], [0, 0, 0], [1, 1, 3.0]], [False, False, True]),
    "far apart": make_system([[0, 0, 0], [1, 0, 0], [1e6, 0, 0], [1e6, 1, 0]], [1, 1, 1, 1]),
    "far outside": make_system([[1e5, -3e4, 7.0], [0.3, 0.2, 0.1]], [1, 8], SKEWED, True),
    "thin": make_system([[0.1, 0.2, 0.3], [5.0, 1.0, 0.9]], [1, 8], np.diag([10.0, 12.0, 1.1]), True),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("cutoff", [1.3, 4.0, 9.7])
def test_named_systems(name, cutoff):
    assert_equals_brute_force(NAMED[name], cutoff)


def test_list_for_kernels():
    """Sorted by element within a centre; shifts and wrapped coordinates give the same vectors."""
    system, cutoff = NAMED["skewed"], 6.0
    full = build(system, cutoff)
    wrapped, images = coordinates(system.positions, system.cell, full), image_vectors(full, system.cell)
    assert sorted(full.order) == list(range(len(system)))
    n = 0
    for place in range(len(system)):
        edges = slice(full.first[place], full.first[place + 1])
        z = system.numbers[full.order[full.j[edges]]]
        assert np.all(np.diff(z) >= 0)
        r = np.linalg.norm(wrapped[full.j[edges]] - wrapped[place] + images[full.image[edges]], axis=1)
        assert np.all((r < cutoff) & (r > 0.1))
        n += len(r)
    assert n == len(brute_force(system, cutoff))


def test_many_atoms_of_one_bin_and_many_bins():
    """No buffer is too small: a dense drop in a large empty box, and a dilute gas."""
    rng = np.random.default_rng(0)
    drop = make_system(rng.uniform(0, 3.0, size=(400, 3)), np.full(400, 18), np.eye(3) * 500.0, True)
    assert len(neighbor_list(drop, 6.0)[0]) == 400 * 399
    gas = make_system(rng.uniform(0, 3000.0, size=(500, 3)), np.full(500, 18), np.eye(3) * 3000.0, True)
    assert_equals_brute_force(gas._replace(pbc=np.array([False, True, False])), 200.0)


def test_large_box_against_a_periodic_tree():
    scipy_spatial = pytest.importorskip("scipy.spatial")
    rng = np.random.default_rng(5)
    side = 60.0
    system = make_system(rng.uniform(0, side, size=(20_000, 3)), rng.choice([1, 8], 20_000), np.eye(3) * side, True)
    tree = scipy_spatial.cKDTree(system.positions, boxsize=side)
    full = build(system, 5.0)
    assert full.first[-1] == 2 * len(tree.query_pairs(5.0))


@pytest.mark.parametrize("name", ["skewed", "slab", "cubic silicon"])
def test_same_list_for_any_number_of_threads(name):
    from mdnnp.system import replicate

    system = replicate(NAMED[name], (8 if NAMED[name].pbc[0] else 1, 7, 4 if NAMED[name].pbc[2] else 1))
    lists = []
    for threads in (1, 2, 5):
        jit.set_threads(threads)
        lists.append(build(system, 4.5))
    jit.set_threads(1)
    for other in lists[1:]:
        for a, b in zip(lists[0], other, strict=True):
            assert np.array_equal(a, b)


def pairs_within(system, full, cutoff):
    wrapped, images = coordinates(system.positions, system.cell, full), image_vectors(full, system.cell)
    center = np.repeat(np.arange(len(system)), np.diff(full.first))
    r = np.linalg.norm(wrapped[full.j] - wrapped[center] + images[full.image], axis=1)
    return np.sort(r[r < cutoff])


@pytest.mark.parametrize("name", ["skewed", "primitive silicon", "slab", "thin"])
def test_skin_along_a_walk(name):
    """At every step of a random walk across the boundaries, the kept list holds what a new one holds."""
    rng = np.random.default_rng(1)
    system, cutoff = NAMED[name], 4.0
    verlet = VerletList(cutoff, 1.0)
    for _ in range(200):
        full = verlet.update(system)
        assert np.allclose(
            pairs_within(system, full, cutoff), pairs_within(system, build(system, cutoff), cutoff), atol=1e-10
        )
        system = system._replace(positions=system.positions + rng.normal(scale=0.06, size=system.positions.shape))
    assert 3 < verlet.n_builds < 200


def test_when_the_list_is_rebuilt():
    system = NAMED["cubic silicon"]
    verlet = VerletList(5.0, 1.0)
    first = verlet.update(system)
    moved = system.positions.copy()
    moved[3] += [0.499, 0, 0]
    assert verlet.update(system._replace(positions=moved)) is first
    moved[3] += [0.002, 0, 0]
    assert verlet.update(system._replace(positions=moved)) is not first
    before = verlet.n_builds
    for change in (
        {"cell": system.cell * 1.0001},
        {"numbers": np.full(8, 6)},
        {"pbc": np.array([True, True, False])},
    ):
        verlet.update(system)
        verlet.update(system._replace(**change))
    assert verlet.n_builds == before + 6


def test_restored_list_is_the_same():
    system = NAMED["skewed"]
    verlet = VerletList(4.0, 1.0)
    verlet.update(system)
    later = system._replace(positions=system.positions + 0.2)
    again = VerletList(4.0, 1.0)
    again.restore(verlet.reference)
    for a, b in zip(verlet.update(later), again.update(later), strict=True):
        assert np.array_equal(a, b)


def test_refusals():
    with pytest.raises(InputError, match=r"atoms 1 \(O\) and 2 \(H\) stand on one spot"):
        neighbor_list(make_system([[0, 0, 0], [1, 1, 1], [1, 1, 1 + 1e-5]], [1, 8, 1]), 3.0)
    with pytest.raises(InputError, match=r"atoms 0 \(H\) and 1 \(H\)"):
        neighbor_list(make_system([[0, 0, 0], [3.0, 0, 0]], [1, 1], np.eye(3) * 3.0, True), 3.5)
    verlet = VerletList(4.0, 1.0)
    system = NAMED["cubic silicon"]
    verlet.update(system)
    broken = system.positions.copy()
    broken[5, 1] = np.nan
    with pytest.raises(InputError, match=r"atom 5 .*not a finite number"):
        verlet.update(system._replace(positions=broken))
    with pytest.raises(InputError, match="cutoff > 0"):
        VerletList(-1.0)
    with pytest.raises(InputError, match="replicate the cell"):
        neighbor_list(make_system([[0, 0, 0]], [1], np.eye(3) * 0.05, True), 5.0)


def test_against_ase():
    ase_neighbors = pytest.importorskip("ase.neighborlist")
    for name in ("slab", "skewed", "primitive silicon", "wire"):
        system = NAMED[name]
        mine = neighbor_list(system, 5.0)
        theirs = ase_neighbors.primitive_neighbor_list(
            "ijS", system.pbc, complete_cell(system.cell, system.pbc), system.positions, 5.0
        )
        a = set(zip(mine[0], mine[1], *mine[2].T, strict=True))
        assert a == set(zip(theirs[0], theirs[1], *theirs[2].T, strict=True))
