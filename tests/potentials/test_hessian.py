"""Products with the Hessian: against differences of forces, symmetry, zero modes, and the second derivatives alone."""

import numpy as np
import pytest
from places import GOLDEN
from systems import SYSTEMS, argon
from toy_potential import ToyPotential

from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import make_system
from mdnnp.base.compiled.jit import njit, set_threads
from mdnnp.base.errors import InputError
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.hdnnp.functions import shapes, shapes_second
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.functions.tables import COMPACT_KINDS
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import (
    ACTIVATIONS,
    Network,
    build_layers,
    make_network_scratch,
    make_network_tangent_scratch,
)
from mdnnp.potentials.hdnnp.networks import network_gradient as network_gradient_kernel
from mdnnp.potentials.hdnnp.networks import network_tangent as network_tangent_kernel
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.load import load_potential
from mdnnp.potentials.second_derivatives import dynamical_matrix, hessian

# b_*: one type of function each; all*: all types in a small skewed cell; act_*: other activations; cut*: cutoffs
NAMES = sorted(p.name for p in GOLDEN.iterdir() if p.is_dir() and not p.name.startswith("q4"))


@njit
def envelope_slope(kind, low, high, r, f, slope, y, dx):
    shapes.evaluate_envelope(kind, low, high, r, len(r), f, slope, y, dx)


@njit
def envelope_curvature(kind, low, high, r, out, y, dx, ddx):
    shapes_second.evaluate_envelope_curvature(kind, low, high, r, len(r), out, y, dx, ddx)


@njit
def angle(kind, a, b, c, value, derivative, y, dx, core):
    shapes.evaluate_angle(kind, a, b, len(c), c, value, derivative, y, dx, core)


@njit
def angle_curvature(kind, a, b, c, second, y, dx, ddx, core, slope):
    shapes_second.evaluate_angle_curvature(kind, a, b, len(c), c, second, y, dx, ddx, core, slope)


@njit
def network_gradient(e, layers, inputs, scratch, gradient):
    return network_gradient_kernel(e, layers, inputs, scratch, gradient)


@njit
def network_tangent(e, layers, inputs, inputs_t, scratch, gradient, gradient_t):
    return network_tangent_kernel(e, layers, inputs, inputs_t, scratch, gradient, gradient_t)


def like(x, n):
    return [np.empty_like(x) for _ in range(n)]


def golden(name):
    potential = load_potential(GOLDEN / name, "Bohr", "Hartree")
    return potential, read_structures(GOLDEN / name / "input.data", 0, "Bohr", "Hartree")[0].system


def difference(function, h):
    """Fourth-order central difference of a function of one number."""
    return (8.0 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12.0 * h)


def forces_difference(potential, system, v, h=1e-5):
    return -difference(lambda s: potential.compute(system._replace(positions=system.positions + s * v)).forces, h)


@pytest.mark.parametrize("kind", range(18))
def test_curvature_of_envelopes(kind):
    low, high = (1.1, 5.0) if kind not in (2, 3) else (0.0, 5.0)
    r = np.array([0.7, 1.5, 2.3, 3.3, 4.1, 4.9]) if kind < 9 else np.array([1.3, 2.0, 2.8, 3.3, 4.1, 4.8])
    (out,) = like(r, 1)
    envelope_curvature(kind, low, high, r, out, *like(r, 3))

    def slope(h):
        f, s = like(r, 2)
        envelope_slope(kind, low, high, r + h, f, s, *like(r, 2))
        return s

    expected = difference(slope, 1e-4)
    assert np.abs(out - expected).max() < 1e-8 * (1 + np.abs(expected).max())


ANGLES = [(-1, lam, zeta) for lam in (1.0, -1.0, 0.5) for zeta in (1.0, 2.0, 3.0, 4.0, 7.0, 16.0, 2.5)]
ANGLES += [(COMPACT_KINDS[core], 1.4, 1 / 0.9) for core in ("p1", "p2", "p3", "p4", "e")]


@pytest.mark.parametrize(("kind", "a", "b"), ANGLES)
def test_curvature_of_angles(kind, a, b):
    c = np.array([-0.9, -0.55, -0.1, 0.21, 0.6, 0.85])
    (out,) = like(c, 1)
    angle_curvature(kind, a, b, c, out, *like(c, 5))

    def derivative(h):
        value, d = like(c, 2)
        angle(kind, a, b, c + h, value, d, *like(c, 3))
        return d

    expected = difference(derivative, 1e-4)
    assert np.abs(out - expected).max() < 1e-8 * (1 + np.abs(expected).max())


@pytest.mark.parametrize("letter", ACTIVATIONS)
def test_network_tangent_is_the_derivative_of_its_gradient(letter):
    rng = np.random.default_rng(3)
    sizes = [(5, 7), (7, 4), (4, 1)]
    network = Network(
        tuple(rng.normal(0, 0.5, s) for s in sizes),
        tuple(rng.normal(0, 0.5, s[1]) for s in sizes),
        2 * letter + "t",
        True,
    )
    layers = build_layers([network])
    x, v = rng.normal(size=5), rng.normal(size=5)
    gradient, gradient_t, plain = np.empty(7), np.empty(7), np.empty(7)
    output = network_tangent(0, layers, x, v, make_network_tangent_scratch(layers), gradient, gradient_t)

    def gradient_at(h):
        network_gradient(0, layers, x + h * v, make_network_scratch(layers), plain)
        return plain[:5].copy()

    assert output == network_gradient(0, layers, x, make_network_scratch(layers), plain)
    assert np.array_equal(gradient[:5], plain[:5])
    expected = difference(gradient_at, 1e-4)
    assert np.abs(gradient_t[:5] - expected).max() < 1e-9 * (1 + np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_products_against_differences_symmetric_and_with_zero_modes(name):
    potential, system = golden(name)
    rng = np.random.default_rng(4)
    u, v = rng.normal(size=(2, len(system), 3))
    hu, hv = (potential.hessian_vector_product(system, w) for w in (u, v))
    # the functions' third derivatives jump or are large in some of these: the smallest of a few errors counts
    errors = [np.abs(forces_difference(potential, system, v, h) - hv).max() for h in (1e-4, 1e-5, 3e-6)]
    assert min(errors) < 1e-9 * np.abs(hv).max()
    assert abs(np.sum(u * hv) - np.sum(v * hu)) < 1e-13 * np.linalg.norm(u) * np.linalg.norm(hv)
    shift = potential.hessian_vector_product(system, np.broadcast_to(rng.normal(size=3), (len(system), 3)))
    assert np.abs(shift).max() < 1e-12 * np.abs(hv).max()
    assert np.abs(hv.sum(axis=0)).max() < 1e-12 * np.abs(hv).max() * len(system)


@pytest.mark.parametrize("cutoff_type", range(1, 9))
def test_every_cutoff_function(cutoff_type):
    system = SYSTEMS["silicon"]
    kinds = [
        SymmetryFunction("Si", 2, ("Si",), 4.5, eta=0.3, rs=1.0),
        SymmetryFunction("Si", 3, ("Si", "Si"), 4.5, eta=0.05, lam=-1.0, zeta=2.0),
        SymmetryFunction("Si", 3, ("Si", "Si"), 4.0, eta=0.1, rs=0.8, lam=1.0, zeta=1.0),
        SymmetryFunction("Si", 9, ("Si", "Si"), 4.5, eta=0.1, lam=1.0, zeta=4.0),
        SymmetryFunction("Si", 9, ("Si", "Si"), 4.5, eta=0.1, rs=0.5, lam=-1.0, zeta=3.3),
    ]
    functions = tuple(sorted(kinds, key=SymmetryFunction.sort_key))
    rng = np.random.default_rng(cutoff_type)
    network = Network((rng.normal(0, 0.7, (5, 6)), rng.normal(0, 0.7, (6, 1))), (rng.normal(size=6), np.zeros(1)), "tl")
    scaling = np.tile([0.0, 4.0, 1.0, 1.0], (5, 1))
    part = ElementModel(functions, scaling, network)
    potential = HDNNP(HDNNPModel({"Si": part}, cutoff_type, 0.3, "scale", "Angstrom", "eV"))
    v = rng.normal(size=system.positions.shape)
    hv = potential.hessian_vector_product(system, v)
    errors = [np.abs(forces_difference(potential, system, v, h) - hv).max() for h in (1e-4, 2e-5)]
    assert min(errors) < 1e-8 * np.abs(hv).max()


@pytest.mark.parametrize("name", ["all6", "big1", "tv"])
def test_forces_and_virial_along_a_strain(name):
    potential, system = golden(name)
    rng = np.random.default_rng(5)
    v, strain = 0.3 * rng.normal(size=(len(system), 3)), rng.normal(size=(3, 3))  # not symmetric
    forces_t, virial_t = potential.results_derivative(system, v, strain)

    def moved(s):
        positions = system.positions + s * (v + system.positions @ strain)
        return potential.compute(system._replace(positions=positions, cell=system.cell + s * system.cell @ strain))

    for found, part in ((forces_t, lambda s: moved(s).forces), (virial_t, lambda s: moved(s).virial)):
        errors = [np.abs(difference(part, h) - found).max() for h in (1e-4, 1e-5, 3e-6)]
        assert min(errors) < 1e-8 * np.abs(found).max()


@pytest.mark.parametrize("smoothing", ["truncated", "shifted", "cos", "poly1", "poly3", "exp"])
def test_lennard_jones(smoothing):
    potential = LennardJones({"Ar": (0.0104, 3.4)}, 6.0, smoothing)
    system = argon(2, 0.1)
    v = np.random.default_rng(6).normal(size=system.positions.shape)
    hv = potential.hessian_vector_product(system, v)
    errors = [np.abs(forces_difference(potential, system, v, h) - hv).max() for h in (1e-4, 1e-5)]
    assert min(errors) < 1e-8 * np.abs(hv).max()


def test_dimer_of_argon_has_the_known_stiffness():
    """V'' at the minimum 2^(1/6) sigma is 72 epsilon / (2^(1/3) sigma^2)."""
    epsilon, sigma = 0.0104, 3.4
    potential = LennardJones({"Ar": (epsilon, sigma)}, 8.0, "truncated")
    system = make_system([[0, 0, 0], [2 ** (1 / 6) * sigma, 0, 0]], [18, 18])
    matrix = hessian(potential, system)
    k = 72 * epsilon / (2 ** (1 / 3) * sigma**2)
    expected = np.zeros((6, 6))
    expected[np.ix_([0, 3], [0, 3])] = [[k, -k], [-k, k]]
    assert np.abs(matrix - expected).max() < 1e-12
    modes = np.linalg.eigvalsh(dynamical_matrix(matrix, np.array([40.0, 10.0])))
    assert modes[-1] == pytest.approx(k / 8.0, rel=1e-12)  # k over the reduced mass
    assert np.abs(modes[:-1]).max() < 1e-14


def test_hessian_is_made_of_products_and_knows_rotations():
    """A molecule at any place: with forces F, H (omega x r) = omega x (-F), as the energy does not know rotations."""
    potential, system = golden("big1")
    system = make_system(system.positions, system.numbers)
    matrix = hessian(potential, system)
    v = np.random.default_rng(7).normal(size=system.positions.shape)
    product = potential.hessian_vector_product(system, v)
    assert np.abs(matrix @ v.ravel() - product.ravel()).max() < 1e-12 * np.abs(product).max()
    omega, forces = np.array([0.3, -0.5, 1.0]), potential.compute(system).forces
    turned = potential.hessian_vector_product(system, np.cross(omega, system.positions))
    assert np.abs(turned - np.cross(omega, -forces)).max() < 1e-12 * np.abs(matrix).max()


def test_committee_and_differences_for_other_potentials():
    potential, system = golden("b_t3")
    v = np.random.default_rng(8).normal(size=system.positions.shape)
    alone = potential.hessian_vector_product(system, v)
    both = Committee([potential, load_potential(GOLDEN / "b_t3", "Bohr", "Hartree")])
    assert np.allclose(both.hessian_vector_product(system, v), alone, rtol=1e-14, atol=1e-14 * np.abs(alone).max())
    toy, molecule = ToyPotential(), SYSTEMS["water_molecule"]
    v = np.random.default_rng(9).normal(size=(3, 3))
    found = toy.hessian_vector_product(molecule, v)
    expected = forces_difference(toy, molecule, v, 1e-3)
    assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()


def test_same_bits_for_any_number_of_threads():
    potential, system = golden("big1")
    from mdnnp.atoms.system import replicate

    system = replicate(system, (3, 3, 2))
    v = np.random.default_rng(10).normal(size=system.positions.shape)
    one = potential.hessian_vector_product(system, v)
    set_threads(2)
    try:
        assert np.array_equal(one, potential.hessian_vector_product(system, v))
    finally:
        set_threads(1)


def test_bad_input():
    potential, system = golden("b_t3")
    with pytest.raises(InputError, match="displacements"):
        potential.hessian_vector_product(system, np.zeros((3, 3)))
    with pytest.raises(InputError, match="full Hessian of 2048 atoms"):
        hessian(LennardJones({"Ar": (0.0104, 3.4)}, 6.0), argon(8))
