"""Neighbour lists against brute force over images, and the Verlet list against fresh ones."""

import tracemalloc

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list as ase_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import SYSTEMS, argon, several_elements, silicon

from mdnnp.atoms.neighbors import VerletList, coordinates, image_vectors, neighbor_list
from mdnnp.atoms.system import complete_cell, heights, make_system, replicate
from mdnnp.base.compiled.jit import get_threads, set_threads
from mdnnp.base.errors import InputError

CUTOFFS = (1.1, 2.9, 5.3, 8.0)
BOUNDARY = 1e-9  # pairs this near to the cutoff may be in the list or not


def brute_force(system, cutoff):
    """i, j, S, r_ij of all pairs, by trying every image that could matter."""
    positions, _, cell, pbc, _ = system
    full = complete_cell(cell, pbc)
    home = np.where(pbc, np.floor(positions @ np.linalg.inv(full)), 0).astype(int)
    reach = np.where(pbc, np.ceil(cutoff / heights(full)) + 1, 0).astype(int)
    images = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    rows = []
    for i in range(len(system)):
        for j in range(len(system)):
            shifts = images + home[i] - home[j]
            vectors = positions[j] - positions[i] + shifts @ cell
            keep = np.linalg.norm(vectors, axis=1) < cutoff
            if i == j:
                keep &= shifts.any(axis=1)
            rows.append((np.full(keep.sum(), i), np.full(keep.sum(), j), shifts[keep], vectors[keep]))
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))


def canonical(pairs, cutoff):
    """The pairs in order of (i, j, S), without those on the boundary."""
    i, j, shifts, vectors = pairs
    inside = np.linalg.norm(vectors, axis=1) < cutoff - BOUNDARY
    key = np.column_stack([i, j, shifts])[inside]
    by_key = np.lexsort(key.T[::-1])
    return key[by_key], vectors[inside][by_key]


def assert_same_pairs(pairs, expected, cutoff, system):
    key, vectors = canonical(pairs, cutoff)
    expected_key, expected_vectors = canonical(expected, cutoff)
    np.testing.assert_array_equal(key, expected_key)
    rounding = 1e-15 * np.abs(system.positions).max()
    np.testing.assert_allclose(vectors, expected_vectors, rtol=0, atol=1e-13 + 4 * rounding)


def pairs_of(system, neighbors, cutoff):
    """i, j, S, r_ij nearer than the cutoff, from what kernels get."""
    x, images = coordinates(system.positions, system.cell, neighbors), image_vectors(neighbors, system.cell)
    center = np.repeat(np.arange(len(system)), np.diff(neighbors.first))
    vectors = x[neighbors.j] - x[center] + images[neighbors.image]
    i, j = neighbors.order[center], neighbors.order[neighbors.j]
    shifts = neighbors.images[neighbors.image] + neighbors.wrap[i] - neighbors.wrap[j]
    near = np.linalg.norm(vectors, axis=1) < cutoff
    return i[near], j[near], shifts[near], vectors[near]


@st.composite
def random_systems(draw):
    """A system of 1-30 atoms in a skewed, rotated cell with any boundaries, and a cutoff."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 30))
    pbc = np.array(draw(st.tuples(st.booleans(), st.booleans(), st.booleans())))
    skew = draw(st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    cell = np.diag(rng.uniform(1.5, 9.0, 3))
    cell[1, 0], cell[2, 0], cell[2, 1] = rng.uniform(-skew, skew, 3) * [cell[0, 0], cell[0, 0], cell[1, 1]]
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    cell = cell @ (rotation * np.linalg.det(rotation))
    positions = rng.uniform(0, 1, (n, 3)) @ cell
    far = draw(st.sampled_from([0, 1, 10, 1000]))
    positions += rng.integers(-far, far + 1, (n, 3)) @ cell
    if draw(st.booleans()):
        cell[~pbc] = 0.0
    thinnest = heights(complete_cell(cell, pbc))[pbc].min() if pbc.any() else 3.0
    cutoff = thinnest * draw(st.floats(0.2, 3.0))
    return make_system(positions, rng.choice([1, 8, 29], n), cell, pbc), cutoff


@settings(max_examples=400, deadline=None)
@given(random_systems())
def test_random_cells_equal_brute_force(case):
    system, cutoff = case
    assert_same_pairs(neighbor_list(system, cutoff), brute_force(system, cutoff), cutoff, system)


@pytest.mark.parametrize("cutoff", CUTOFFS)
@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - {"sheared"}))
def test_named_systems_equal_brute_force(name, cutoff):
    system = SYSTEMS[name]
    expected = brute_force(system, cutoff)
    assert_same_pairs(neighbor_list(system, cutoff), expected, cutoff, system)
    kernel_form = VerletList(cutoff, skin=0.0).update(system)
    assert_same_pairs(pairs_of(system, kernel_form, cutoff), expected, cutoff, system)


@pytest.mark.parametrize("cutoff", CUTOFFS)
def test_sheared_cell_is_the_same_lattice(cutoff):
    system = SYSTEMS["sheared"]
    i, j, shifts, vectors = neighbor_list(system, cutoff)
    cubic = system._replace(cell=np.eye(3) * 6.0)
    # The same lattice vectors, expressed in units of the cubic cell.
    cubic_shifts = np.rint(shifts @ system.cell / 6.0).astype(int)
    assert_same_pairs((i, j, cubic_shifts, vectors), brute_force(cubic, cutoff), cutoff, system)


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_public_list(name):
    system, cutoff = SYSTEMS[name], 5.3
    i, j, shifts, vectors = neighbor_list(system, cutoff)
    assert i.dtype == j.dtype == shifts.dtype == np.int64 and vectors.dtype == np.float64
    assert i.shape == j.shape and shifts.shape == vectors.shape == (len(i), 3)
    assert (np.diff(i) >= 0).all()
    rounding = 1e-15 * max(np.abs(system.positions).max(), np.abs(shifts @ system.cell).max(initial=0))
    expected = system.positions[j] - system.positions[i] + shifts @ system.cell
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-13 + 4 * rounding)
    assert not shifts[:, ~system.pbc].any()


@pytest.mark.parametrize("cutoff", [5.431 * np.sqrt(3) / 4, 5.431 / np.sqrt(2), 5.431])
def test_every_pair_is_there_twice_even_on_the_boundary(cutoff):
    # A perfect crystal with a shell of neighbours exactly at the cutoff: rounding may put a pair in or out, but both
    # of its directions alike.
    i, j, shifts, _ = neighbor_list(silicon(3, rattle=0.0), cutoff)
    forth = np.column_stack([i, j, shifts])
    back = np.column_stack([j, i, -shifts])
    np.testing.assert_array_equal(forth[np.lexsort(forth.T)], back[np.lexsort(back.T)])


@pytest.mark.parametrize("name", ["acute", "several_elements", "slab", "tiny_triclinic", "argon"])
def test_equals_ase(name):
    system, cutoff = SYSTEMS[name], 4.4
    atoms = Atoms(system.numbers, system.positions, cell=system.cell, pbc=system.pbc)
    expected = ase_neighbor_list("ijSD", atoms, cutoff)
    assert_same_pairs(neighbor_list(system, cutoff), expected, cutoff, system)


def test_equals_vesin():
    vesin = pytest.importorskip("vesin")
    system, cutoff = argon(5), 6.35
    calculator = vesin.NeighborList(cutoff=cutoff, full_list=True)
    expected = calculator.compute(system.positions, system.cell, True, "ijSD")
    expected = tuple(np.asarray(a, dtype=t) for a, t in zip(expected, (int, int, int, float), strict=True))
    assert_same_pairs(neighbor_list(system, cutoff), expected, cutoff, system)


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_arrays_for_kernels(name):
    system = SYSTEMS[name]
    full = VerletList(4.0, skin=0.7).update(system)
    n = len(system)
    assert sorted(full.order) == list(range(n)) and full.order.dtype == np.int32
    assert full.first.shape == (n + 1,) and full.first.dtype == np.int64
    assert full.first[0] == 0 and full.first[-1] == len(full.j) == len(full.image)
    assert full.j.dtype == np.int32 and full.image.dtype == np.uint16
    assert full.wrap.shape == (n, 3) and not full.wrap[:, ~system.pbc].any()
    numbers = system.numbers[full.order]
    for i in range(n):
        assert (np.diff(numbers[full.j[full.first[i] : full.first[i + 1]]]) >= 0).all()
    expected = (system.positions - full.wrap @ system.cell)[full.order]
    rounding = np.abs(full.wrap @ system.cell).max() * 1e-15
    found = coordinates(system.positions, system.cell, full)
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * rounding)
    assert found.flags.c_contiguous


def test_each_neighborhood_is_in_order_of_element():
    system = several_elements()
    full = VerletList(6.0, skin=0.5).update(system)
    numbers = system.numbers[full.order]
    seen = [numbers[full.j[full.first[i] : full.first[i + 1]]] for i in range(len(system))]
    assert min(len(set(z)) for z in seen) >= 4
    assert all((np.diff(z) >= 0).all() for z in seen)


# ---------------------------------------------------------------------------------------------------------------------
# Skin


@pytest.mark.parametrize("name", ["several_elements", "slab", "wire", "tiny_triclinic", "far_outside", "obtuse"])
def test_random_walk_equals_fresh_lists(name):
    system, cutoff = SYSTEMS[name], 3.3
    verlet, rng = VerletList(cutoff, skin=0.8), np.random.default_rng(3)
    for _ in range(40):
        moved = system.positions + rng.normal(0, 0.06, (len(system), 3)) + [0.05, 0.0, 0.0]
        system = system._replace(positions=moved)
        found = pairs_of(system, verlet.update(system), cutoff)
        assert_same_pairs(found, neighbor_list(system, cutoff), cutoff, system)
    assert 3 < verlet.n_builds < 40


def test_rebuilt_when_an_atom_has_moved_by_half_the_skin():
    system, verlet = argon(), VerletList(4.0, skin=1.0)
    step = np.zeros((len(system), 3))
    step[5] = [0.3, 0.0, 0.4]  # 0.5 Å
    first = verlet.update(system)
    assert verlet.update(system._replace(positions=system.positions + 0.98 * step)) is first
    assert verlet.update(system._replace(positions=system.positions - 0.98 * step)) is first
    assert verlet.n_builds == 1
    moved = system._replace(positions=system.positions + 1.000001 * step)
    assert verlet.update(moved) is not first
    assert verlet.n_builds == 2
    np.testing.assert_array_equal(verlet.reference.positions, moved.positions)
    verlet.update(system._replace(positions=moved.positions - 0.98 * step))  # near to the new reference
    assert verlet.n_builds == 2


def test_rebuilt_when_cell_boundaries_or_elements_change():
    system, verlet = argon(), VerletList(4.0)
    verlet.update(system)
    changes = (
        {"cell": system.cell * 1.2},
        {"pbc": np.array([True, False, True])},
        {"numbers": np.where(np.arange(len(system)) == 3, 36, system.numbers)},
    )
    for builds, change in enumerate(changes, start=2):
        system = system._replace(**change)
        verlet.update(system)
        verlet.update(system)
        assert verlet.n_builds == builds
    verlet.update(replicate(system, (2, 1, 1)))
    assert verlet.n_builds == 5


@pytest.mark.parametrize("name", ["several_elements", "tiny_triclinic", "far_outside", "obtuse", "argon"])
def test_random_strains_and_moves_equal_fresh_lists(name):
    """Cell and atoms follow random strains and a rotation, as in a run at constant pressure."""
    system, cutoff = SYSTEMS[name], 3.3
    verlet, rng = VerletList(cutoff, skin=0.8), np.random.default_rng(4)
    for _ in range(60):
        strain = np.eye(3) + rng.normal(0, 0.012, (3, 3))
        moved = (system.positions + rng.normal(0, 0.05, (len(system), 3))) @ strain
        system = system._replace(positions=moved, cell=system.cell @ strain)
        found = pairs_of(system, verlet.update(system), cutoff)
        assert_same_pairs(found, neighbor_list(system, cutoff), cutoff, system)
    assert 3 < verlet.n_builds < 45


@pytest.mark.parametrize("direction", [[1, 1, 1], [1, 0, 0], [0, 2, -1]])
def test_rebuilt_before_a_strain_brings_in_a_pair(direction):
    """Cutoff 4 Å, skin 1 Å: a strain alone is safe until it shortens a vector by a fifth; a rotation always is."""
    system = argon()
    for factor, builds in ((0.81, 1), (0.79, 2), (1.5, 1)):
        verlet = VerletList(4.0, skin=1.0)
        verlet.update(system)
        axis = np.array(direction) / np.linalg.norm(direction)
        strain = np.eye(3) + (factor - 1) * np.outer(axis, axis)
        verlet.update(system._replace(positions=system.positions @ strain, cell=system.cell @ strain))
        assert verlet.n_builds == builds
    turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    verlet.update(system)
    before = verlet.n_builds
    verlet.update(system._replace(positions=system.positions @ turn, cell=system.cell @ turn))
    assert verlet.n_builds == before


def test_strain_takes_from_what_an_atom_may_move():
    """By half of cutoff + skin - cutoff / s, here 0.5 (5 - 4 / 0.9) = 0.278 Å before the strain."""
    system = argon()
    for distance, builds in ((0.27, 1), (0.29, 2)):
        verlet = VerletList(4.0, skin=1.0)
        verlet.update(system)
        positions = system.positions.copy()
        positions[7, 1] += distance
        verlet.update(system._replace(positions=0.9 * positions, cell=0.9 * system.cell))
        assert verlet.n_builds == builds


def test_the_caller_may_change_the_arrays_in_place():
    system, verlet = argon(), VerletList(4.0)
    verlet.update(system)
    system.positions[0] += 0.6
    verlet.update(system)
    assert verlet.n_builds == 2


def test_without_a_skin_every_move_counts():
    system, verlet = argon(), VerletList(4.0, skin=0.0)
    verlet.update(system)
    verlet.update(system)
    assert verlet.n_builds == 1
    verlet.update(system._replace(positions=system.positions + 1e-12))
    assert verlet.n_builds == 2


def test_coordinates_are_continuous_between_builds():
    system = make_system([[0.1, 3.0, 3.0], [2.0, 3.0, 3.0]], [18, 18], [6.0, 6.0, 6.0], True)
    verlet = VerletList(2.5, skin=1.0)
    full = verlet.update(system)
    before = coordinates(system.positions, system.cell, full)
    across = system._replace(positions=system.positions - [0.3, 0.0, 0.0])
    assert verlet.update(across) is full
    np.testing.assert_allclose(
        coordinates(across.positions, across.cell, full) - before, [[-0.3, 0, 0]] * 2, atol=1e-14
    )


def test_restored_list_is_the_same_list():
    system, verlet, rng = several_elements(), VerletList(4.0, skin=0.6), np.random.default_rng(4)
    for _ in range(17):
        system = system._replace(positions=system.positions + rng.normal(0, 0.05, (len(system), 3)))
        full = verlet.update(system)
    assert not np.array_equal(verlet.reference.positions, system.positions)
    resumed = VerletList(4.0, skin=0.6)
    resumed.restore(verlet.reference)
    for a, b in zip(resumed.update(system), full, strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.n_builds == 1


def test_growing_and_shrinking_lists():
    verlet = VerletList(3.0, skin=0.3)
    for name in ("argon", "one_atom_open", "silicon", "tiny_triclinic", "water_molecule", "several_elements", "argon"):
        system = SYSTEMS[name]
        found = pairs_of(system, verlet.update(system), 3.0)
        assert_same_pairs(found, brute_force(system, 3.0), 3.0, system)


def test_an_old_list_stays_as_it_was():
    system, verlet = argon(6), VerletList(5.0)
    old = verlet.update(system)
    copies = [a.copy() for a in old]
    rng = np.random.default_rng(0)
    verlet.update(system._replace(positions=system.positions + rng.normal(scale=0.6, size=system.positions.shape)))
    assert verlet.n_builds == 2
    for a, b in zip(old, copies, strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------------------------------------------------------------
# Size and threads


def test_same_arrays_for_any_number_of_threads():
    system = argon(7)  # 1,372 atoms: several chunks
    before, lists = get_threads(), []
    try:
        for threads in (1, 2, 3):
            set_threads(threads)
            lists.append((*VerletList(5.0).update(system), *neighbor_list(system, 5.0)))
    finally:
        set_threads(before)
    for other in lists[1:]:
        for a, b in zip(lists[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_neighbors_per_atom_do_not_depend_on_size_and_memory_is_small():
    small = argon(3)
    counts = np.bincount(neighbor_list(small, 6.3)[0])
    large = replicate(small, (6, 6, 6))  # 23,328 atoms
    verlet = VerletList(6.3, skin=0.0)
    verlet.update(small)  # compiled
    tracemalloc.start()
    try:
        full = verlet.update(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    found = np.empty(len(large), int)
    found[full.order] = np.diff(full.first)
    np.testing.assert_array_equal(found, np.tile(counts, 216))
    assert peak < 1.1 * 6 * len(full.j) + 250 * len(large)


def test_large_random_box_against_a_tree():
    spatial = pytest.importorskip("scipy.spatial")
    rng = np.random.default_rng(5)
    side, cutoff = 60.0, 5.0
    system = make_system(rng.uniform(0, side, (20_000, 3)), rng.choice([1, 8], 20_000), [side] * 3, True)
    i, j, _, _ = neighbor_list(system, cutoff)
    expected = spatial.cKDTree(system.positions, boxsize=side).query_pairs(cutoff, output_type="ndarray")
    found = np.column_stack([i, j])[i < j]
    np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], expected[np.lexsort(expected.T[::-1])])
    assert len(i) == 2 * len(found)


def test_dense_drop_in_an_empty_box():
    rng = np.random.default_rng(0)
    drop = make_system(rng.uniform(0, 3.0, (400, 3)), [18] * 400, [500.0] * 3, True)
    assert len(neighbor_list(drop, 6.0)[0]) == 400 * 399


@pytest.mark.parametrize("pbc", [(True, True, True), (False, True, False), (False, False, False)])
def test_dilute_gas(pbc):
    rng = np.random.default_rng(1)
    gas = make_system(rng.uniform(0, 300.0, (60, 3)), [18] * 60, [300.0] * 3, pbc)
    for cutoff in (3.0, 60.0):
        assert_same_pairs(neighbor_list(gas, cutoff), brute_force(gas, cutoff), cutoff, gas)


@pytest.mark.parametrize("few", [1, 2, 6])
def test_few_atoms_far_from_many(few):
    # Atoms that left a cluster lie in its outermost bins; those that left together still see each other.
    rng = np.random.default_rng(2)
    positions = rng.uniform(0, 14, (130, 3))
    positions[:few] += [4e4, -7e5, 2e3]
    positions[few : few + 3] -= [3e6, 3.0, 0.0]
    positions[:few] = positions[0] + 0.2 * (positions[:few] - positions[0])
    system = make_system(positions, [18] * 130)
    assert_same_pairs(neighbor_list(system, 2.0), brute_force(system, 2.0), 2.0, system)


# ---------------------------------------------------------------------------------------------------------------------
# Refusals


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e9])
def test_position_that_is_not_finite_or_absurd(value):
    system = argon()
    broken = system._replace(positions=system.positions.copy())
    broken.positions[7, 1] = value
    for fresh in (lambda: neighbor_list(broken, 4.0), lambda: VerletList(4.0).update(broken)):
        with pytest.raises(InputError, match="atom 7 has position"):
            fresh()
    verlet = VerletList(4.0)
    verlet.update(system)
    with pytest.raises(InputError, match="atom 7 has position"):
        verlet.update(broken)
    full = verlet.update(system)  # nothing is lost
    assert_same_pairs(pairs_of(system, full, 4.0), brute_force(system, 4.0), 4.0, system)


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.diag([5.0, 5.0, -5.0])])
def test_unusable_cell(cell):
    with pytest.raises(InputError, match="cell"):
        neighbor_list(argon()._replace(cell=cell), 4.0)


@pytest.mark.parametrize(
    "cutoff, skin", [(0.0, 1.0), (-1.0, 1.0), (np.nan, 1.0), (np.inf, 1.0), (5.0, -0.1), (5.0, np.nan)]
)
def test_unusable_cutoff_or_skin(cutoff, skin):
    with pytest.raises(InputError, match="cutoff"):
        VerletList(cutoff, skin)
    if skin == 1.0:
        with pytest.raises(InputError, match="cutoff"):
            neighbor_list(argon(), cutoff)


def test_two_atoms_on_one_spot():
    system = make_system(argon().positions, [18] * 11 + [10] + [18] * 20, argon().cell, True)
    system.positions[11] = system.positions[4] + [0.0, 3e-4, 0.0]
    with pytest.raises(
        InputError,
        match=r"atoms 4 \(Ar\) and 11 \(Ne\) \(counted from 0\) are at the same position: their distance is 0\.0003 Å",
    ):
        neighbor_list(system, 4.0)
    system.positions[[4, 11]] -= system.positions[4]
    system.positions[11, 1] = system.cell[1, 1] - 3e-4
    with pytest.raises(InputError, match=r"atoms 4 .* and 11 .* across a periodic boundary"):
        VerletList(4.0).update(system)
    system.positions[11, 1] -= 2e-3
    assert len(neighbor_list(system, 4.0)[0])


def test_atom_on_its_own_image():
    system = make_system([[0.0, 0.0, 0.0]], [18], [9.0, 5e-4, 9.0], True)
    with pytest.raises(InputError, match=r"atom 0 \(counted from 0\) is 0\.0005 Å from its own periodic image"):
        neighbor_list(system, 0.0012)


def test_many_atoms_on_one_spot_are_found_at_once():
    with pytest.raises(InputError, match="at the same position"):
        neighbor_list(make_system(np.zeros((200_000, 3)), np.ones(200_000)), 4.0)


def test_more_images_than_can_be_numbered():
    system = make_system([[0.0, 0.0, 0.0]], [18], [0.2, 0.2, 0.2], True)
    with pytest.raises(InputError, match="periodic images"):
        neighbor_list(system, 6.0)


def test_one_direction_with_thousands_of_images():
    # A chain with an atom every 0.01 Å has 2 * 400 images within 4 Å, which no bin holds alone.
    system = make_system([[0.0, 0.0, 0.0]], [1], [0.01, 9.0, 9.0], True)
    i, _, shifts, vectors = neighbor_list(system, 4.0)
    assert len(i) == 2 * 399 or len(i) == 2 * 400
    np.testing.assert_allclose(vectors[:, 0], 0.01 * shifts[:, 0], atol=1e-12)
