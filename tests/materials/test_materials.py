"""Properties of crystals against analytic results: pair potentials, Stillinger-Weber silicon, synthetic solids."""

import numpy as np
import pytest
from ase.build import bulk
from stillinger_weber import EPSILON_EV, StillingerWeber, diamond
from systems import argon, silicon

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.spacegroup import Symmetry
from mdnnp.atoms.system import make_system, replicate, volume
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_PER_A3_IN_GPA
from mdnnp.landscape.modes import all_modes, thermal
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.materials import crystal, defects, elastic, eos, lattice, quasiharmonic, surfaces, waves
from mdnnp.materials.crystal import Coverage, find_symmetry
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Disagreement, Extrapolation, Potential
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.load import load_potential

EPSILON, SIGMA = 0.0104, 3.4
ARGON = LennardJones({"Ar": (EPSILON, SIGMA)}, 8.5, "poly3")
MASS = 39.95
_TIGHT = Goal(cell=True, force_tolerance=1e-7, stress_tolerance_GPa=1e-6)


def at_rest(potential, system):
    found = relax(potential, system, _TIGHT)
    assert found.converged
    return found.point.system


@pytest.fixture(scope="module")
def fcc():
    return at_rest(ARGON, argon(1, 0.0))


@pytest.fixture(scope="module")
def hcp():
    """Hexagonal close-packed argon, a along x, c along z; its atoms may move when the cell is strained."""
    a, c = 3.75, 6.1
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    return at_rest(ARGON, make_system(np.array([[0, 0, 0], [1 / 3, 2 / 3, 0.5]]) @ cell, [18, 18], cell, True))


def bcc(a=3.0):
    return make_system([[0, 0, 0], [a / 2] * 3], [18, 18], [a] * 3, True)


def turned(system, matrix):
    return system._replace(positions=system.positions @ matrix.T, cell=system.cell @ matrix.T)


def rotation(seed=3):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


# --- Equation of state --------------------------------------------------------------------------------------


def birch(v, v0=160.0, e0=-850.0, b=0.55, derivative=4.3):
    """F. Birch 1947, as it is usually written; b in eV/Å^3."""
    x = (v0 / v) ** (2 / 3)
    return e0 + 9 * v0 * b / 16 * ((x - 1) ** 3 * derivative + (x - 1) ** 2 * (6 - 4 * x))


@pytest.mark.parametrize("derivative", [2.0, 4.0, 4.3, 7.0])  # at 4 the cubic term vanishes
def test_fit_gives_back_the_parameters_of_an_equation_of_state(derivative):
    v = np.linspace(148, 175, 8)
    fit = eos.fit_birch_murnaghan(v, birch(v, derivative=derivative))
    assert fit.volume == pytest.approx(160.0, abs=1e-6)
    assert fit.energy == pytest.approx(-850.0, abs=1e-9)
    assert fit.bulk_modulus_GPa == pytest.approx(0.55 * EV_PER_A3_IN_GPA, rel=1e-7)
    assert fit.derivative == pytest.approx(derivative, abs=1e-5)
    assert np.abs(fit.at(v) - birch(v, derivative=derivative)).max() < 1e-9
    h = 1e-3
    slope = (fit.at(150 + h) - fit.at(150 - h)) / (2 * h) * EV_PER_A3_IN_GPA
    assert fit.pressure_GPa(150.0) == pytest.approx(-slope, rel=1e-5)


def test_fit_refuses_what_has_no_minimum():
    v = np.linspace(100, 120, 6)
    with pytest.raises(PhysicsError, match="no minimum"):
        eos.fit_birch_murnaghan(v, -birch(v, v0=110.0))
    with pytest.raises(PhysicsError, match="no minimum"):
        eos.fit_birch_murnaghan(v, birch(v, v0=300.0))
    with pytest.raises(InputError, match="four"):
        eos.fit_birch_murnaghan(v[:3], birch(v[:3]))


def test_cell_relaxes_at_fixed_volume(hcp):
    shear = np.array([[1.03, 0.01, 0.0], [0.0, 0.98, 0.0], [0.02, 0.0, 1.0]])
    strained = hcp._replace(positions=hcp.positions @ shear, cell=hcp.cell @ shear)
    scale = np.cbrt(1.04 * volume(hcp.cell) / volume(strained.cell))
    strained = strained._replace(positions=strained.positions * scale, cell=strained.cell * scale)
    goal = Goal(cell=True, keep_volume=True, force_tolerance=1e-6, stress_tolerance_GPa=1e-6)
    point = relax(ARGON, strained, goal).point
    assert volume(point.system.cell) == pytest.approx(1.04 * volume(hcp.cell), rel=1e-12)
    expected = eos.at_volume(ARGON, hcp, 1.04)
    assert point.results.energy == pytest.approx(expected.results.energy, abs=1e-8)
    stress = point.results.virial
    assert np.abs(stress - np.trace(stress) / 3 * np.eye(3)).max() < 1e-5 < abs(np.trace(stress))


@pytest.mark.parametrize("name", ["fcc", "hcp"])
def test_bulk_modulus_of_energies_is_that_of_elastic_constants(name, request):
    system = request.getfixturevalue(name)
    fit = eos.compress(ARGON, system, np.linspace(0.97, 1.03, 7)).equation
    moduli = elastic.moduli(elastic.from_second_derivatives(ARGON, system).relaxed)
    assert fit.bulk_modulus_GPa == pytest.approx(moduli.bulk_reuss, rel=5e-3)
    assert fit.volume == pytest.approx(volume(system.cell), rel=1e-4)


# --- Elastic constants --------------------------------------------------------------------------------------


def test_elastic_constants_of_pairs_are_lattice_sums():
    pairs = LennardJones({"Ar": (EPSILON, SIGMA)}, 8.5, "truncated")
    system = argon(1, 0.0)  # under pressure, at the volume that it has
    r = neighbor_list(system, 8.5)[3]
    d = np.linalg.norm(r, axis=1)
    s6 = (SIGMA / d) ** 6
    first = 4 * EPSILON * (6 * s6 - 12 * s6**2) / d
    second = 4 * EPSILON * (156 * s6**2 - 42 * s6) / d**2
    bending = np.einsum("n,ni,nj,nk,nl->ijkl", (second - first / d) / d**2, r, r, r, r) / (2 * volume(system.cell))
    stress = np.einsum("n,ni,nj->ij", first / d, r, r) / (2 * volume(system.cell))
    one = np.eye(3)
    # stress-strain coefficients of a crystal under stress (Wallace): symmetrised over both pairs of indices
    wallace = bending + 0.5 * (
        np.einsum("il,jk->ijkl", stress, one) + np.einsum("ik,jl->ijkl", stress, one)
        + np.einsum("jl,ik->ijkl", stress, one) + np.einsum("jk,il->ijkl", stress, one)
        - 2 * np.einsum("ij,kl->ijkl", stress, one)
    )  # fmt: skip
    expected = np.array([[wallace[i, j, k, l] for k, l in elastic.VOIGT] for i, j in elastic.VOIGT]) * EV_PER_A3_IN_GPA
    found = elastic.from_second_derivatives(pairs, system)
    assert np.abs(found.relaxed - expected).max() < 1e-10 * np.abs(expected).max()
    assert np.abs(found.stress[:3] - stress[0, 0] * EV_PER_A3_IN_GPA).max() < 1e-12


def test_cauchy_relation_of_a_pair_potential_at_rest(fcc):
    c11, c12, c44 = elastic.cubic_constants(elastic.from_second_derivatives(ARGON, fcc).relaxed)
    assert c12 == pytest.approx(c44, rel=1e-5) and c11 > c12 > 0


def test_silicon_of_stillinger_and_weber():
    potential, system = StillingerWeber(), diamond(1, 5.430949778)
    exact = elastic.from_second_derivatives(potential, system)
    # E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988); clamped: H. Balamane et al., Phys. Rev. B 46, 2250 (1992),
    # who scale energies to 2.315 eV
    assert elastic.cubic_constants(exact.relaxed) == pytest.approx((151.4, 76.4, 56.4), abs=0.06)
    assert elastic.cubic_constants(exact.clamped)[2] == pytest.approx(117.2 * EPSILON_EV / 2.315, abs=0.1)
    differences = elastic.from_stresses(potential, system)
    for a, b in ((exact.relaxed, differences.relaxed), (exact.clamped, differences.clamped)):
        assert np.abs(a - b).max() < 1e-5 * np.abs(a).max()
    assert elastic.is_cubic(exact.relaxed) and exact.softest > 0


def test_both_ways_agree_for_the_network_of_silicon():
    potential = load_potential("inputs/silicon/potential")
    system = at_rest(potential, silicon(1, 0.0))
    exact, differences = elastic.from_second_derivatives(potential, system), elastic.from_stresses(potential, system)
    assert np.abs(exact.relaxed - differences.relaxed).max() < 1e-4 * np.abs(exact.relaxed).max()
    assert np.abs(exact.clamped - differences.clamped).max() < 1e-4 * np.abs(exact.clamped).max()
    assert np.abs(exact.relaxed - exact.relaxed.T).max() < 1e-10
    assert exact.clamped[3, 3] - exact.relaxed[3, 3] > 20  # atoms that move inside the cell soften it


def test_derivatives_along_strains_without_a_kernel_for_them(hcp):
    class Plain(Potential):
        cutoff, numbers = ARGON.cutoff, ARGON.numbers

        def compute(self, system, neighbors=None, *, atomic_virials=False):
            return ARGON.compute(system, neighbors, atomic_virials=atomic_virials)

    moves, strain = np.random.default_rng(0).normal(size=(2, 3)), np.random.default_rng(1).normal(size=(3, 3))
    for found, exact in zip(
        Plain().results_derivative(hcp, moves, strain), ARGON.results_derivative(hcp, moves, strain), strict=True
    ):
        assert np.abs(found - exact).max() < 1e-7 * np.abs(exact).max()


def test_hexagonal_crystal(hcp):
    exact = elastic.from_second_derivatives(ARGON, hcp)
    c = exact.relaxed
    assert c[5, 5] == pytest.approx((c[0, 0] - c[0, 1]) / 2, rel=1e-6)
    assert c[0, 0] == pytest.approx(c[1, 1], rel=1e-6) and c[3, 3] == pytest.approx(c[4, 4], rel=1e-6)
    assert exact.clamped[5, 5] > 1.02 * c[5, 5]  # internal displacements matter here
    assert np.abs(c - elastic.from_stresses(ARGON, hcp).relaxed).max() < 1e-4 * np.abs(c).max()
    assert {"C11", "C12", "C13", "C33", "C44", "C66"} <= set(elastic.named_constants(c))
    assert "C14" not in elastic.named_constants(c) and not elastic.is_cubic(c)


def test_constants_turn_with_the_crystal(hcp):
    matrix = rotation()
    c = elastic.from_second_derivatives(ARGON, hcp).relaxed
    found = elastic.from_second_derivatives(ARGON, turned(hcp, matrix)).relaxed
    assert np.abs(found - elastic.rotated(c, matrix)).max() < 1e-8 * np.abs(c).max()
    assert np.abs(found - c).max() > 0.01 * np.abs(c).max()
    assert elastic.moduli(found) == pytest.approx(elastic.moduli(c), rel=1e-8)
    assert elastic.stiffnesses(found) == pytest.approx(elastic.stiffnesses(c), rel=1e-8)


def test_constants_of_a_turned_crystal_have_their_standard_names(hcp):
    pytest.importorskip("spglib")
    potential = StillingerWeber()
    for straight, calculator in ((diamond(1, 5.430949778), potential), (hcp, ARGON)):
        expected = elastic.named_constants(elastic.from_second_derivatives(calculator, straight).relaxed)
        for matrix in (rotation(), rotation(5)):
            system = turned(straight, matrix)
            c = elastic.from_second_derivatives(calculator, system).relaxed
            found = elastic.named_constants(elastic.standard(c, Symmetry.find(system)))
            assert found == pytest.approx(expected, rel=1e-4)
            assert elastic.named_constants(c) != pytest.approx(expected, rel=1e-4)


def test_independent_constants(fcc, hcp):
    pytest.importorskip("spglib")
    for system, expected in (
        (fcc, 3), (hcp, 5), (turned(hcp, rotation()), 5), (silicon(1, 0.1), 21),
    ):  # fmt: skip
        assert elastic.independent_constants(find_symmetry(system)) == expected
    # a cell of another shape than the crystal's shows less of its symmetry
    assert elastic.independent_constants(find_symmetry(replicate(fcc, (1, 1, 2)))) == 6
    tetragonal = make_system([[0, 0, 0]], [18], np.diag([4.0, 4.0, 5.0]), True)
    orthorhombic = make_system([[0, 0, 0]], [18], np.diag([4.0, 4.5, 5.0]), True)
    assert [elastic.independent_constants(find_symmetry(s)) for s in (tetragonal, orthorhombic)] == [6, 9]


def isotropic(k, g):
    c = np.zeros((6, 6))
    c[:3, :3] = k - 2 * g / 3
    c[np.arange(6), np.arange(6)] = [k + 4 * g / 3] * 3 + [g] * 3
    return c


def cubic(c11, c12, c44):
    c = np.zeros((6, 6))
    c[:3, :3] = c12
    c[np.arange(6), np.arange(6)] = [c11] * 3 + [c44] * 3
    return c


def test_moduli_of_known_crystals():
    m = elastic.moduli(isotropic(100.0, 60.0))
    assert m[:6] == pytest.approx((100, 100, 60, 60, 100, 60)) and m.universal == pytest.approx(0, abs=1e-12)
    assert m.young == pytest.approx(150.0) and m.poisson == pytest.approx(0.25)
    c11, c12, c44 = 168.4, 121.4, 75.4  # copper
    m = elastic.moduli(cubic(c11, c12, c44))
    assert m.bulk == pytest.approx((c11 + 2 * c12) / 3)
    assert m.shear_voigt == pytest.approx((c11 - c12 + 3 * c44) / 5)
    assert m.shear_reuss == pytest.approx(5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12)))
    zener = 2 * c44 / (c11 - c12)  # eq. 10 of Ranganathan and Ostoja-Starzewski
    assert m.universal == pytest.approx(6 / 5 * (np.sqrt(zener) - 1 / np.sqrt(zener)) ** 2)
    with pytest.raises(PhysicsError, match="unstable"):
        elastic.moduli(cubic(100.0, 110.0, 50.0))


# --- Sound and phonons --------------------------------------------------------------------------------------


def test_sound_in_simple_cases():
    block = make_system([[0, 0, 0]], [29], np.eye(3) * 2.28, True)
    masses = np.array([63.546])
    constants = isotropic(100.0, 60.0)
    found = waves.sound(constants, elastic.moduli(constants), block, masses)
    for three in found.directions.values():
        assert three == pytest.approx([found.longitudinal, found.transverse, found.transverse], rel=1e-12)
    assert found.longitudinal == pytest.approx(np.sqrt(180e9 / (1000 * found.density)), rel=1e-12)
    assert found.debye == pytest.approx(found.debye_anderson, rel=1e-12)
    rho, (c11, c12, c44) = found.density, (168.4, 121.4, 75.4)
    found = waves.sound(cubic(c11, c12, c44), elastic.moduli(cubic(c11, c12, c44)), block, masses)
    textbook = {
        "100": (c11, c44, c44),
        "110": ((c11 + c12 + 2 * c44) / 2, c44, (c11 - c12) / 2),
        "111": ((c11 + 2 * c12 + 4 * c44) / 3, *2 * ((c11 - c12 + c44) / 3,)),
    }
    for name, stiffness in textbook.items():
        assert found.directions[name] == pytest.approx(1000 * np.sqrt(np.array(stiffness) / rho), rel=1e-12)
    # copper: 344 K from elastic constants at 0 K (C. Kittel), which are some 4 % above these
    assert 325 < found.debye < 345
    with pytest.raises(PhysicsError, match="unstable"):
        waves.velocities(cubic(100.0, 110.0, 50.0), 5.0, np.array([[1, 1, 0]]) / np.sqrt(2))


def test_phonons_are_those_of_a_supercell(hcp):
    masses = np.full(2, MASS)
    constants = lattice.find_force_constants(ARGON, hcp, masses)
    supercell = replicate(hcp, (3, 2, 2))
    expected = all_modes(ARGON, supercell, np.full(24, MASS)).frequencies_THz
    q = np.indices((3, 2, 2)).reshape(3, -1).T / np.array([3, 2, 2])
    found = np.sort(lattice.frequencies(constants, q).ravel())
    zero = np.argsort(np.abs(found))[:3]
    assert np.abs(found[zero]).max() < 1e-5
    assert np.delete(found, zero) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["fcc", "hcp"])
def test_slopes_of_phonons_are_the_velocities_of_sound(name, request):
    system = request.getfixturevalue(name)
    masses = np.full(len(system), MASS)
    constants = lattice.find_force_constants(ARGON, system, masses)
    c = elastic.from_second_derivatives(ARGON, system).relaxed
    n = np.array([1.0, 2.0, 0.7]) / np.linalg.norm([1.0, 2.0, 0.7])
    expected = waves.velocities(c, waves.density(system, masses), n[None])[0]
    assert lattice.sound_velocities(constants, n) == pytest.approx(expected, rel=2e-5)


def test_mesh_is_half_of_a_shifted_grid():
    points = lattice.mesh(np.diag([5.0, 5.0, 10.0]), 30.0)
    assert len(points) == 6 * 6 * 4 / 2
    whole = np.concatenate([points, 1 - points])
    assert len(np.unique(np.round(whole, 9), axis=0)) == 144 and np.abs(points).min() > 0.05


# --- Quasi-harmonic -----------------------------------------------------------------------------------------


def test_einstein_crystal_with_a_gruneisen_parameter():
    """Frequencies that fall as V^-gamma: alpha = gamma C_V / (B V) at any temperature."""
    gamma, v0, temperatures = 1.7, 40.0, np.array([0.0, 50.0, 200.0, 800.0])
    volumes = v0 * np.linspace(0.97, 1.06, 7)
    seen = Coverage(0, 2, 0, "")
    states = [
        quasiharmonic.Harmonic(
            v, birch(v, v0, -10.0, 0.6, 4.5), 5.0 * (v0 / v) ** gamma * np.ones((4, 6)) * np.linspace(0.5, 1.5, 6), seen
        )
        for v in volumes
    ]
    found = quasiharmonic.evaluate(states, 2, temperatures)
    assert found.gruneisen[1:] == pytest.approx(gamma, rel=1e-3)
    size, modulus = 2 * found.volume, found.bulk_modulus_GPa / EV_PER_A3_IN_GPA
    heat = np.array([
        thermal(5.0 * (v0 / v) ** gamma * np.linspace(0.5, 1.5, 6), np.array([t])).heat_capacity_eV_per_K[0]
        for v, t in zip(size, temperatures, strict=True)
    ])  # fmt: skip
    assert found.expansion[1:] == pytest.approx((gamma * heat / (modulus * size))[1:], rel=1e-3)
    assert found.heat_capacity_V[1:] * 2 == pytest.approx(heat[1:] / BOLTZMANN_EV_PER_K * 8.314462618, rel=1e-4)
    c_p = found.heat_capacity_V * (1 + found.expansion * np.nan_to_num(found.gruneisen) * temperatures)
    assert found.heat_capacity_P == pytest.approx(c_p, rel=1e-9)
    assert found.heat_capacity_V[-1] == pytest.approx(3 * 8.314462618, rel=0.02)
    assert found.expansion[0] == 0.0 and found.volume[0] > v0 / 2  # the zero point expands it


def test_quasi_harmonic_argon(fcc):
    """alpha is the slope of V(T); classical heat capacity at high temperature; what does not exist is said."""
    temperatures = np.array([0.0, 19.0, 20.0, 21.0, 700.0])
    found = quasiharmonic.quasiharmonic(ARGON, fcc, np.full(4, MASS), temperatures)
    assert (
        len(found.temperature) == 4 and "outside the computed range" in found.notes[-1]
    )  # 700 K: it has left the volumes
    slope = np.log(found.volume[3] / found.volume[1]) / 2.0
    assert found.expansion[2] == pytest.approx(slope, rel=0.02)
    assert 2.5 < found.gruneisen[2] < 3.5  # of argon: 2.7
    assert found.heat_capacity_P[2] > found.heat_capacity_V[2] > 0
    assert found.states[-1].volume > 1.1 * volume(fcc.cell)  # it looked for it
    unstable = bcc(3.3)
    with pytest.raises(PhysicsError, match="imaginary modes"):
        quasiharmonic.quasiharmonic(ARGON, unstable, np.full(2, MASS), temperatures)


# --- Defects and surfaces -----------------------------------------------------------------------------------


def test_vacancy_of_a_pair_potential_costs_an_atoms_energy(fcc):
    energy = ARGON.compute(fcc).energy / 4
    (found, *_) = defects.point_defects(ARGON, fcc, None, (3, 3, 3))
    assert found.key == "vacancy" and found.n_atoms == 108 and found.n_larger == 256
    assert found.unrelaxed.energy == pytest.approx(-energy, rel=1e-9)
    assert 0.97 * -energy < found.relaxed.energy < -energy
    assert found.larger.energy == pytest.approx(found.relaxed.energy, rel=0.01)


def test_schottky_defect_of_a_compound_of_equals(fcc):
    """Two elements that are the same in all but name: twice the vacancy."""
    twins = LennardJones({"Ar": (EPSILON, SIGMA), "Kr": (EPSILON, SIGMA)}, 8.5, "poly3")
    compound = fcc._replace(numbers=np.where(fcc.positions[:, 2] < 1.0, 18, 36))
    found = defects.point_defects(twins, compound, None, (3, 3, 3))
    assert [d.key for d in found] == ["vacancy_0", "vacancy_1", "schottky"]
    (vacancy, *_) = defects.point_defects(ARGON, fcc, None, (3, 3, 3))
    assert found[-1].unrelaxed.energy == pytest.approx(2 * vacancy.unrelaxed.energy, rel=1e-9)
    assert found[-1].relaxed.energy == pytest.approx(2 * vacancy.relaxed.energy, rel=1e-4)


def test_defects_of_stillinger_weber_silicon():
    """Published for this potential, in 216 sites, by the silicon testing framework: 4.466, 6.583, 4.999 eV."""
    system = diamond(1, 5.430949778)
    found = {d.key: d for d in defects.point_defects(StillingerWeber(), system, None, (2, 2, 2))}
    assert found["vacancy"].unrelaxed.energy == pytest.approx(
        2 * EPSILON_EV, rel=1e-6
    )  # four bonds, less an atom's two
    assert found["dumbbell"].larger.energy == pytest.approx(4.466, abs=0.004)
    assert found["hexagonal"].larger.energy == pytest.approx(6.583, abs=0.004)
    assert found["tetrahedral"].larger.energy == pytest.approx(4.999, abs=0.004)
    # the ideal vacancy is a minimum of this potential, and not the lowest
    assert found["vacancy"].relaxed.energy == pytest.approx(2 * EPSILON_EV, rel=1e-6)
    assert found["vacancy"].lowest.energy < 2.9 and "not the lowest" in defects.notes_on(found["vacancy"])[0]
    assert found["dumbbell"].unrelaxed is None


def cells(structure):
    """Conventional and primitive cell of a structure with cubes of edge 1, and a turned one."""
    a = 4.0
    corners = {
        "fcc": [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        "bcc": [[0, 0, 0], [0.5, 0.5, 0.5]],
    }
    corners["diamond"] = [*corners["fcc"], *(np.array(corners["fcc"]) + 0.25)]
    basis = a * np.array(corners[structure])
    cube = make_system(basis, [18] * len(basis), [a] * 3, True)
    half = a / 2
    vectors = [[-half, half, half], [half, -half, half], [half, half, -half]]
    if structure != "bcc":
        vectors = [[0, half, half], [half, 0, half], [half, half, 0]]
    inside = np.array([[0, 0, 0], [a / 4] * 3])[: 2 if structure == "diamond" else 1]
    primitive = make_system(inside, [18] * len(inside), vectors, True)
    return a, (cube, primitive, turned(cube, rotation()))


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ("diamond", {"tetrahedral": (4, np.sqrt(3) / 4), "hexagonal": (6, np.sqrt(11) / 8)}),
        ("fcc", {"octahedral": (6, 0.5), "tetrahedral": (4, np.sqrt(3) / 4)}),
        ("bcc", {"octahedral": (2, 0.5), "tetrahedral": (4, np.sqrt(5) / 4)}),
    ],
)
def test_interstitial_sites(structure, expected):
    a, systems = cells(structure)
    for system in systems:
        assert defects.cubic_structure(system) == structure
        sites = defects.interstitial_sites(system, structure)
        for key, (neighbours, distance) in expected.items():
            filled = defects.with_interstitial(replicate(system, (4, 4, 4)), sites[key][1], None)
            i, _, _, r = neighbor_list(filled, a)
            d = np.linalg.norm(r[i == len(filled) - 1], axis=1)
            assert d.min() == pytest.approx(distance * a, rel=1e-9)
            assert (d < d.min() + 1e-6).sum() == neighbours


def test_structures_that_are_not_cubic(hcp):
    assert defects.cubic_structure(hcp) is None
    assert defects.cubic_structure(argon(1, 0.2)) is None
    two = argon(1, 0.0)
    assert defects.cubic_structure(two._replace(numbers=np.array([18, 18, 18, 36]))) is None


def test_surfaces_break_bonds():
    """Of Stillinger-Weber silicon, ideal: half of epsilon for each bond cut; (111) is cut where bonds are fewest."""
    potential, a = StillingerWeber(), 5.430949778
    system = diamond(1, a)
    energy = potential.compute(system).energy / 8
    expected = {(1, 0, 0): 2 / a**2, (1, 1, 0): np.sqrt(2) / a**2, (1, 1, 1): 2 / (np.sqrt(3) * a**2)}
    for indices, bonds in expected.items():
        assert len(surfaces.slabs(system, indices)) >= 1
        found = surfaces.surface_energy(potential, system, energy, indices)
        assert found.unrelaxed == pytest.approx(bonds * EPSILON_EV, rel=1e-6)
        assert found.relaxed < found.unrelaxed + 1e-6 and found.converged
    cuts = {round(potential.compute(s).energy, 6) for s in surfaces.slabs(system, (1, 1, 1))}
    assert len(cuts) == 2  # between double layers, and inside of them


def test_surfaces_do_not_depend_on_the_cell_given(fcc):
    energy = ARGON.compute(fcc).energy / 4
    one = surfaces.surface_energy(ARGON, fcc, energy, (1, 1, 1))
    two = surfaces.surface_energy(ARGON, turned(replicate(fcc, (2, 2, 2)), rotation()), energy, (1, 1, 1))
    assert two.unrelaxed == pytest.approx(one.unrelaxed, rel=1e-6)
    assert two.relaxed == pytest.approx(one.relaxed, rel=1e-4)
    assert (two.n_atoms, two.layers) == (one.n_atoms, one.layers)
    area = np.linalg.norm(fcc.cell[0]) ** 2 * np.sqrt(3) / 4  # 1 x 1
    assert (two.area, one.area) == pytest.approx((area, area))
    for thickness in (15.0, 18.0, 21.0, 25.0, 30.0):  # of any number of layers
        slab = surfaces.slabs(fcc, (1, 1, 1), thickness)[0]
        area = np.linalg.norm(np.cross(slab.cell[0], slab.cell[1]))
        assert (ARGON.compute(slab).energy - energy * len(slab)) / (2 * area) == pytest.approx(one.unrelaxed, rel=1e-6)
    # 111 of fcc is the closest packed plane, and the cheapest
    assert one.unrelaxed < surfaces.surface_energy(ARGON, fcc, energy, (1, 1, 0)).unrelaxed


def test_primitive_lattice():
    rock_salt = bulk("NaCl", "rocksalt", 5.6, cubic=True).repeat((1, 2, 3))
    rock_salt.positions += [0.3, -9.0, 0.7]
    for atoms, copies in [
        (rock_salt, 24),
        (bulk("Mg", "hcp", 3.2, 5.2), 1),
        (bulk("Mg", "hcp", 3.2, 5.2).repeat(2), 8),
    ]:
        system = make_system(atoms.positions, atoms.numbers, atoms.cell.array, True)
        lattice, found = surfaces.primitive_lattice(system)
        assert found == copies
        assert np.linalg.det(lattice) == pytest.approx(atoms.get_volume() / copies)
        for vector in lattice:  # the crystal repeats
            gap = (system.positions[:, None] + vector - system.positions) @ np.linalg.inv(system.cell)
            distance = np.linalg.norm((gap - np.round(gap)) @ system.cell, axis=2)
            assert distance.min(axis=1).max() < 1e-6
            assert (system.numbers[distance.argmin(axis=1)] == system.numbers).all()
    rock_salt.positions[0, 0] += 0.1
    system = make_system(rock_salt.positions, rock_salt.numbers, rock_salt.cell.array, True)
    assert surfaces.primitive_lattice(system)[1] == 1  # an atom off its place: no translation but the cell's


# --- Extrapolation ------------------------------------------------------------------------------------------


def test_coverage_names_the_worst_function():
    system = silicon(1, 0.0)
    quiet = load_potential("inputs/silicon/potential").compute(system)._replace(extrapolation=NO_EXTRAPOLATION)
    assert not crystal.coverage(system, quiet) and str(crystal.coverage(system, quiet)) == "in range"
    events = Extrapolation(
        3, np.array([1, 1, 6]), np.array([4, 5, 2]), np.array([0.9, 2.4, -0.1]), np.zeros(3), np.array([0.8, 2.0, 1.0])
    )
    seen = crystal.coverage(system, quiet._replace(extrapolation=events))
    assert (seen.atoms, seen.of, seen.functions) == (2, 8, 3)
    assert seen.worst == "function 5 of Si above its range by 20 % of it"
    assert crystal.worst([seen, Coverage(0, 8, 0, "")]) is seen
    committee = crystal.coverage(system, quiet._replace(disagreement=Disagreement(np.linspace(0, 0.3, 8), 0.01)))
    assert str(committee) == "in range; members disagree by 0.3 eV/Å" and not committee
    assert crystal.worst([Coverage(0, 8, 0, "", 0.1), committee]) is committee
