"""Coulomb energies against literature, exact sums, and differences."""

import numpy as np
import pytest
from systems import acute, far_outside, sheared, slab, tiny_triclinic, water_molecule, wire

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.system import make_system, replicate
from mdnnp.base.compiled import jit
from mdnnp.base.errors import InputError
from mdnnp.potentials.electrostatics.coulomb import Coulomb, Screening, _Lattice
from mdnnp.potentials.electrostatics.mesh import Mesh

NACL, ZINCBLENDE = 1.747564594633182, 1.638055053388790
CRYSTALS = {  # fractional positions, charges, nearest distance in cubic cells of 1, Madelung constant
    "NaCl": ([[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], 0.5, "fcc", NACL),
    "zincblende": ([[0, 0, 0], [0.25, 0.25, 0.25]], [1, -1], np.sqrt(3) / 4, "fcc", ZINCBLENDE),
    "CsCl": ([[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], np.sqrt(3) / 2, "sc", 1.762674773070991),
    "fluorite": (
        [[0, 0, 0], [0.25] * 3, [0.75] * 3],
        [2, -1, -1],
        np.sqrt(3) / 4,
        "fcc",
        4 * ZINCBLENDE - NACL * np.sqrt(3) / 2,
    ),
}  # fluorite is two zincblende lattices that share their cations, which leaves a NaCl lattice over
PRIMITIVE = {"sc": np.eye(3), "fcc": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])}
SHEAR = np.array([[1, 0, 0], [3, 1, 0], [-2, 5, 1]])


def coulomb(system, widths=0.0, cutoff=10.0, **more):
    return Coulomb(system, widths, VerletList(cutoff, 0.3).update(system), cutoff, coulomb=1.0, **more)


def crystal(name, a=5.6):
    positions, charges, nearest, lattice, constant = CRYSTALS[name]
    cell = a * PRIMITIVE[lattice]
    cell = cell * np.sign(np.linalg.det(cell))
    return (
        make_system(a * np.array(positions), [1] * len(charges), cell, True),
        np.array(charges, float),
        a,
        nearest,
        constant,
    )


def energy_of(system, charges, **more):
    return 0.5 * charges @ coulomb(system, **more).potential(charges)


@pytest.mark.parametrize("name", CRYSTALS)
def test_madelung_constants(name):
    system, charges, a, nearest, constant = crystal(name)
    expected = -constant / (nearest * a)
    assert energy_of(system, charges) == pytest.approx(expected, rel=1e-11)
    skewed = system._replace(cell=SHEAR @ system.cell)
    assert energy_of(skewed, charges) == pytest.approx(expected, rel=1e-11)
    long = replicate(system, (1, 2, 5))
    assert energy_of(long, np.tile(charges, 10)) == pytest.approx(10 * expected, rel=1e-11)
    for cutoff in (4.0, 6.5, 17.0):
        assert energy_of(system, charges, cutoff=cutoff) == pytest.approx(expected, rel=1e-11)


def random_cell(n=6, seed=3):
    rng = np.random.default_rng(seed)
    cell = np.array([[5.0, 0.0, 0.0], [1.3, 4.4, 0.0], [-0.9, 1.1, 6.1]])
    system = make_system(rng.uniform(0, 1, (n, 3)) @ cell, [1] * n, cell, True)
    return system, rng.normal(size=n), rng.choice([0.0, 0.4, 0.9, 1.1], n)


@pytest.mark.parametrize("neutral", [True, False])
def test_the_splitting_does_not_matter(neutral):
    system, charges, widths = random_cell()
    charges = charges - neutral * charges.mean()
    expected = coulomb(system, widths, 12.0).product(charges, charges)
    for cutoff in (15.0, 22.0):
        found = coulomb(system, widths, cutoff).product(charges, charges)
        for a, b in zip(found, expected, strict=True):
            assert np.allclose(a, b, rtol=1e-11, atol=1e-11)


def test_a_cell_and_its_copies_with_any_charge():
    system, charges, widths = random_cell()
    one, two = coulomb(system, widths, 12.0), coulomb(replicate(system, (2, 1, 1)), np.tile(widths, 2), 12.0)
    assert np.allclose(np.tile(one.potential(charges), 2), two.potential(np.tile(charges, 2)), rtol=0, atol=1e-10)
    sheared_cell = coulomb(system._replace(cell=SHEAR @ system.cell), widths, 12.0)
    assert np.allclose(one.potential(charges), sheared_cell.potential(charges), rtol=0, atol=1e-10)


def test_a_lone_charge_in_its_background():
    """A simple cubic lattice of point charges in a uniform background: -2.837297 / (2 a)."""
    system = make_system([[0.3, 0.2, 0.1]], [1], [7.0] * 3, True)
    assert energy_of(system, np.ones(1)) == pytest.approx(-2.837297479480620 / 14.0, rel=1e-11)


def test_wide_gaussians_are_waves_alone():
    """Direct sum over all waves, which converges for Gaussians."""
    system, charges, _ = random_cell()
    widths = np.array([0.8, 1.0, 0.7, 0.9, 1.2, 0.75])
    b = 2 * np.pi * np.linalg.inv(system.cell).T
    n = np.indices((33, 33, 33)).reshape(3, -1).T - 16
    k = n[n.any(axis=1)] @ b
    k2 = (k**2).sum(axis=1)
    s = (charges * np.exp(1j * k @ system.positions.T) * np.exp(-0.5 * np.outer(k2, widths**2))).sum(axis=1)
    energy = 2 * np.pi / np.linalg.det(system.cell) * np.sum(np.abs(s) ** 2 / k2)
    assert 0.5 * charges @ coulomb(system, widths, 16.0).potential(charges) == pytest.approx(energy, rel=1e-12)


def test_cluster_is_the_direct_sum():
    from scipy.special import erf

    system, widths = water_molecule(), np.array([0.9, 0.6, 0.0])
    charges = np.array([-0.8, 0.5, 0.4])
    d = np.linalg.norm(system.positions[:, None] - system.positions, axis=2) + np.eye(3)
    gamma = np.sqrt(widths[:, None] ** 2 + widths**2)
    with np.errstate(divide="ignore"):
        expected = np.where(gamma > 0, erf(d / (np.sqrt(2) * gamma)), 1.0) / d
        diagonal = np.where(widths > 0, 1 / (widths * np.sqrt(np.pi)), 0.0)
    np.fill_diagonal(expected, diagonal)
    c = coulomb(system, widths)
    assert np.allclose(c.matrix(), expected, rtol=1e-13)
    assert np.allclose(c.potential(charges), expected @ charges, rtol=1e-13)


def test_a_large_cell_is_a_cluster():
    """Two opposite charges: the images act by dipoles, 2 pi d^2 / (3 V) to leading order."""
    positions = np.array([[0.0, 0.0, 0.0], [1.0, 0.5, 0.2]]) + 20.0
    open_ = energy_of(make_system(positions, [1, 1]), np.array([1.0, -1.0]))
    for a in (20.0, 40.0):
        periodic = energy_of(make_system(positions, [1, 1], [a] * 3, True), np.array([1.0, -1.0]))
        assert periodic - open_ == pytest.approx(-2 * np.pi * 1.29 / (3 * a**3), rel=0.02)


@pytest.mark.parametrize("make", [tiny_triclinic, acute, sheared, far_outside, water_molecule, random_cell])
def test_matrix_and_products_agree(make):
    system = make()[0] if make is random_cell else make()
    rng = np.random.default_rng(1)
    widths, charges = rng.choice([0.3, 0.7], len(system)), rng.normal(size=len(system))
    c = coulomb(system, widths)
    matrix = c.matrix()
    scale = np.abs(matrix).max()
    assert np.allclose(matrix, matrix.T, atol=1e-12 * scale)
    assert np.allclose(matrix @ charges, c.potential(charges), rtol=0, atol=1e-10 * scale)
    assert np.linalg.eigvalsh(matrix).min() > -1e-10 * scale  # a Gram matrix of charge densities


@pytest.mark.parametrize("screening", [None, Screening(6, 1.0, 4.0), Screening(1, 0.5, 7.0), Screening(4, 0.0, 3.0)])
@pytest.mark.parametrize("make", [lambda: random_cell()[0], tiny_triclinic, water_molecule])
def test_forces_and_virial_are_derivatives(make, screening):
    system = make()
    rng = np.random.default_rng(2)
    n = len(system)
    left, right, widths = rng.normal(size=n), rng.normal(size=n), rng.choice([0.0, 0.5, 0.8], n)

    def energy(positions, cell):
        c = coulomb(system._replace(positions=positions, cell=cell), widths, screening=screening)
        return left @ c.potential(right), 0.5 * right @ c.screened(right).potential

    c = coulomb(system, widths, screening=screening)
    v, strain, h = rng.normal(size=(n, 3)), rng.normal(size=(3, 3)), 1e-4
    for k, product in enumerate((c.product(left, right), c.screened(right))):

        def slope(move, k=k):
            near, far = (energy(*move(s * h))[k] - energy(*move(-s * h))[k] for s in (1, 2))
            return (8 * near - far) / (12 * h)

        by_positions = slope(lambda s: (system.positions + s * v, system.cell))
        assert by_positions == pytest.approx(-np.sum(product.forces * v), rel=1e-8, abs=1e-9)
        by_strain = slope(
            lambda s: (system.positions @ (np.eye(3) + s * strain), system.cell @ (np.eye(3) + s * strain))
        )
        assert by_strain == pytest.approx(-np.sum(product.virial * strain), rel=1e-8, abs=1e-9)
        assert np.allclose(product.forces.sum(axis=0), 0.0, atol=1e-10)


def test_screening_beyond_the_cell_counts_images_once():
    """An atom meets its own images, each pair of them once: as many as in the replicated cell."""
    system, charges, widths = random_cell()
    screening = Screening(6, 2.0, 8.0)
    one = coulomb(system, widths, 12.0, screening=screening).screened(charges)
    two = coulomb(replicate(system, (2, 2, 2)), np.tile(widths, 8), 12.0, screening=screening).screened(
        np.tile(charges, 8)
    )
    assert np.allclose(np.tile(one.potential, 8), two.potential, rtol=1e-12)
    assert np.allclose(8 * one.virial, two.virial, rtol=1e-11, atol=1e-11)


def test_screened_pairs_have_no_energy_within_and_all_without():
    inside, outside = (make_system([[0, 0, 0], [d, 0, 0]], [1, 1]) for d in (1.5, 4.5))
    charges, screening = np.array([1.0, -0.7]), Screening(6, 2.0, 4.0)
    for system, factor in ((inside, 0.0), (outside, 1.0)):
        c = coulomb(system, 0.5, screening=screening)
        pair = charges @ c.matrix() @ charges - np.dot(c.self_potential, charges**2)
        total = charges @ (c.potential(charges) + c.screened(charges).potential)
        assert total == pytest.approx(factor * pair, abs=1e-13)


def test_threads_do_not_change_a_bit():
    system = replicate(random_cell()[0], (3, 3, 3))
    rng = np.random.default_rng(5)
    left, right, widths = rng.normal(size=162), rng.normal(size=162), rng.choice([0.0, 0.5], 162)
    found = []
    for threads in (1, 3):
        jit.set_threads(threads)
        c = coulomb(system, widths, 7.0, screening=Screening(6, 1.0, 4.0), waves="plain")
        mesh = coulomb(system, widths, 7.0, waves="mesh")
        found.append([*c.product(left, right), *c.screened(right), c.matrix(), *mesh.product(left, right)])
    jit.set_threads(1)
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("make", [slab, wire])
def test_one_and_two_periodic_directions_are_refused(make):
    with pytest.raises(InputError, match=r"periodic in [12] directions.*vacuum"):
        coulomb(make())


def test_a_cutoff_too_short_for_the_widths_is_refused():
    with pytest.raises(InputError, match=r"12\.6 Å.*10 Å"):
        coulomb(tiny_triclinic(), np.array([0.3, 1.2]))


# --- the mesh ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [1e-4, 1e-8, 1e-12])
@pytest.mark.parametrize("sheared_cell", [False, True])
def test_the_mesh_gives_what_was_asked_for(precision, sheared_cell):
    system, _, widths = random_cell(30)
    system = system._replace(positions=2.0 * system.positions, cell=2.0 * system.cell)
    given = system._replace(cell=SHEAR @ system.cell) if sheared_cell else system
    left, right = np.random.default_rng(3).normal(size=(2, 30))
    exact = coulomb(system, widths, 16.0, waves="plain", precision=1e-15).product(left, right)
    mesh = coulomb(given, widths, 12.0, waves="mesh", precision=precision).product(left, right)
    for a, b in zip(mesh, exact, strict=True):
        assert np.abs(a - b).max() < 10 * precision * np.abs(b).max()


def test_forces_and_virial_of_a_rough_mesh_are_derivatives_all_the_same():
    system, left, _ = random_cell(8)
    right, v, strain = (np.random.default_rng(3).normal(size=shape) for shape in (8, (8, 3), (3, 3)))

    def waves_alone(positions, cell):
        c = coulomb(system._replace(positions=positions, cell=cell), 0.0, waves="mesh", precision=1e-3)
        return c._lattice.product(left, right)

    def slope(move, h=1e-4):
        near, far = (left @ (waves_alone(*move(s * h))[0] - waves_alone(*move(-s * h))[0]) for s in (1, 2))
        return (8 * near - far) / (12 * h)

    _, forces, by_strain = waves_alone(system.positions, system.cell)
    order = coulomb(system)._order
    x, cell = system.positions, system.cell
    assert np.array_equal(order, np.arange(8))
    assert slope(lambda s: (x + s * v, cell)) == pytest.approx(-np.sum(forces * v), rel=1e-8)
    strained = slope(lambda s: (x @ (np.eye(3) + s * strain), cell @ (np.eye(3) + s * strain)))
    assert strained == pytest.approx(np.sum(by_strain * strain), rel=1e-8)


def test_many_atoms_take_the_mesh():
    rng = np.random.default_rng(7)
    system = make_system(rng.uniform(0, 40.0, (4000, 3)), [1] * 4000, [40.0] * 3, True)
    charges = rng.normal(size=4000)
    auto, plain = (coulomb(system, 0.0, 6.0, waves=waves, precision=1e-8) for waves in ("auto", "plain"))
    assert isinstance(auto._lattice, Mesh) and isinstance(coulomb(random_cell()[0])._lattice, _Lattice)
    a, b = auto._lattice.product(charges, charges), plain._lattice.product(charges, charges)
    assert np.sqrt(np.mean((a[1] - b[1]) ** 2) / np.mean(b[1] ** 2)) < 3e-8


def test_unknown_waves():
    with pytest.raises(InputError, match="'pppm' to sum waves; known: auto, plain, mesh"):
        coulomb(tiny_triclinic(), waves="pppm")
