"""Potentials against n2p2's results, finite differences and exact properties."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLDEN
from reference_data import REAL, WATER_UNITS

from mdnnp.atoms.neighbors import VerletList, neighbor_list
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import make_system
from mdnnp.base.compiled import jit
from mdnnp.base.errors import FileError, InputError, PhysicsError
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.layered import LayeredPotential, Mapped
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.load import load_potential

DIRECTORIES = sorted(p.name for p in GOLDEN.iterdir() if p.is_dir() and not p.name.startswith("q4"))
THIN = {"act_et", "act_tr", "all1", "all4", "all6"}  # cells thinner than the cutoff: n2p2's forces are incomplete


def open_case(directory: Path, length_unit="Angstrom", energy_unit="eV"):
    potential = load_potential(directory, length_unit, energy_unit)
    structure = read_structures(directory / "input.data", length_unit=length_unit, energy_unit=energy_unit)[0]
    return potential, structure.system


def columns(path: Path) -> np.ndarray:
    return np.loadtxt(path, comments="#", ndmin=2)


def assert_equals_n2p2(directory, length_unit, energy_unit, forces):
    from mdnnp.base.units import energy_in_ev, length_in_angstrom

    potential, system = open_case(directory, length_unit, energy_unit)
    energy, length = energy_in_ev(energy_unit), length_in_angstrom(length_unit)
    results = potential.compute(system)
    offsets = np.array([potential.offset_energy(system.numbers[[i]]) for i in range(len(system))])
    own = (results.atomic_energies - offsets) / energy
    expected = columns(directory / "nnatoms.out")[:, -1]
    assert np.abs(own - expected).max() <= 1e-12 * np.abs(expected).max()
    total = columns(directory / "energy.out")[0]
    mean = potential.model.mean_energy * len(system)
    assert abs(own.sum() - (total[3] - total[5] - mean)) <= max(
        1e-12 * np.abs(expected).sum(), 4 * np.spacing(abs(total[3]))
    )
    if forces:
        reference = columns(directory / "nnforces.out")[:, -3:]
        assert np.abs(results.forces * length / energy - reference).max() <= 1e-10 * np.abs(reference).max()
    return potential, system


@pytest.mark.parametrize("name", DIRECTORIES)
def test_golden(name):
    potential, system = assert_equals_n2p2(GOLDEN / name, "Angstrom", "eV", forces=name not in THIN)
    raw = potential.descriptors(system)
    lines = [line.split() for line in (GOLDEN / name / "functions.out").read_text().splitlines() if line[0] != "#"]
    first = np.concatenate([[0], np.cumsum([len(part.functions) for part in potential.model.elements.values()])])
    for i, line in enumerate(lines):
        e = potential.numbers.index(system.numbers[i])
        rows = slice(first[e], first[e + 1])
        scaled = raw[i, : len(line)] * potential._factor[rows] + potential._shift[rows]
        printed = np.array(line, dtype=float)
        unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(printed), 1e-300))) - 8)  # the last printed digit
        assert np.all(np.abs(scaled - printed) <= 0.51 * unit + 1e-13)


IN_ATOMIC_UNITS = [(GOLDEN / name, *WATER_UNITS) for name in DIRECTORIES]


@pytest.mark.parametrize("directory", [*IN_ATOMIC_UNITS, *REAL.values()], ids=lambda directory: directory[0].name)
def test_units_are_carried_through(directory):
    """The same files declared in Bohr and Hartree give the same native numbers; real ones are in units of their own."""
    assert_equals_n2p2(*directory, forces=directory[0].name not in THIN)


@pytest.fixture(params=[*DIRECTORIES, "water", *REAL])
def any_case(request):
    """Potential and system: golden ones, the one for water that is made here, real ones."""
    name = request.param
    if name == "water":
        return open_case(request.getfixturevalue("water_made_here"), *WATER_UNITS)
    return open_case(*REAL.get(name, [GOLDEN / name]))


def in_three_steps(potential):
    """The potential as values, a map of all of them, and pull-back."""
    return LayeredPotential(potential, lambda system, values: Mapped(*potential.networks(system.numbers, values)))


def test_fused_kernel_equals_layers_in_numpy(any_case):
    potential, system = any_case
    fused = potential.compute(system, atomic_virials=True)
    layered = in_three_steps(potential).compute(system, atomic_virials=True)
    offset = potential.offset_energy(system.numbers)
    assert abs(fused.energy - layered.energy) <= 1e-13 * max(np.abs(fused.atomic_energies).sum(), abs(offset))
    for a, b in zip(fused[2:5], layered[2:5], strict=True):
        assert np.abs(a - b).max() <= 1e-12 * np.abs(a).max()
    assert np.abs(fused.atomic_virials.sum(axis=0) - fused.virial).max() <= 1e-12 * np.abs(fused.virial).max()


@pytest.mark.parametrize("name", [*sorted(THIN - {"act_tr"}), "big1", "norm"])
def test_forces_and_virial_are_derivatives(name):
    """Fourth-order differences, the best of a few steps, in cells thinner and thicker than the cutoff."""
    potential, system = open_case(GOLDEN / name)
    results = potential.compute(system)
    offset = potential.offset_energy(system.numbers)
    rng = np.random.default_rng(0)
    # all4 has no scaling: inputs of several hundred cancel in its networks, and rounding limits the differences
    gate = 1e-7 if name == "all4" else 1e-8

    def energy(positions, cell):
        return potential.compute(system._replace(positions=positions, cell=cell)).energy - offset

    def error(f, exact):
        steps = (1e-3, 3e-4, 1e-4, 3e-5)
        return min(abs((8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h) - exact) for h in steps)

    for _ in range(3):
        direction = rng.normal(size=system.positions.shape)
        direction /= np.linalg.norm(direction)
        exact = -(results.forces * direction).sum()
        moved = error(lambda t, u=direction: energy(system.positions + t * u, system.cell), exact)
        assert moved <= gate * np.linalg.norm(results.forces)
        strain = rng.normal(size=(3, 3))
        strain /= np.linalg.norm(strain)
        # x -> x (1 + strain) changes the energy by sum_ij r_a D_b strain_ab
        strained = error(
            lambda t, e=strain: energy(system.positions @ (np.eye(3) + t * e), system.cell @ (np.eye(3) + t * e)),
            -(results.virial * strain).sum(),
        )
        assert strained <= gate * np.linalg.norm(results.virial)


def test_same_bits_for_any_number_of_threads(water):
    potential, system = open_case(water, *WATER_UNITS)
    runs = []
    for threads in (1, 2, 3):
        jit.set_threads(threads)
        runs.append(potential.compute(system, VerletList(potential.cutoff, 0.5).update(system), atomic_virials=True))
    jit.set_threads(1)
    for other in runs[1:]:
        assert other.energy == runs[0].energy
        for a, b in zip(runs[0][1:5], other[1:5], strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_working_memory_leaves_no_trace(name):
    """What a denser system leaves in the memory that is kept from call to call changes no bit."""
    potential, system = open_case(GOLDEN / name)
    expected = potential.compute(system)
    used, _ = open_case(GOLDEN / name)
    used.compute(make_system(0.9 * system.positions, system.numbers, 0.9 * system.cell, system.pbc))
    results = used.compute(system)
    for field in ("atomic_energies", "forces", "virial"):
        assert np.array_equal(getattr(results, field), getattr(expected, field))


def test_skin_changes_only_rounding(any_case):
    potential, system = any_case
    tight, loose = (potential.compute(system, VerletList(potential.cutoff, skin).update(system)) for skin in (0.0, 1.5))
    assert np.abs(tight.forces - loose.forces).max() <= 1e-12 * np.abs(tight.forces).max()


def test_extrapolation_names_atom_function_value_and_bound():
    potential, system = open_case(GOLDEN / "big1")
    results = potential.compute(system)
    raw = potential.descriptors(system)
    expected = []
    for i, z in enumerate(system.numbers):
        scaling = list(potential.model.elements.values())[potential.numbers.index(z)].scaling
        for s, (low, high) in enumerate(scaling[:, :2]):
            if raw[i, s] < low - 1e-12 or raw[i, s] > high + 1e-12:
                expected.append((i, s + 1, raw[i, s], low, high))
    found = results.extrapolation
    assert found.count == len(expected) > 64  # more than are listed
    listed = list(zip(*found[1:], strict=True))
    assert listed == [row for row in expected if row in listed]
    assert len(listed) >= 64


def test_results_that_are_no_numbers_are_refused(tmp_path):
    """In every evaluation, so that no verb writes them."""
    shutil.copytree(GOLDEN / "big1", tmp_path / "potential")
    file = tmp_path / "potential" / "weights.016.data"
    rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows[:-1], "1e308"]))
    potential, system = open_case(tmp_path / "potential", energy_unit="Hartree")
    first = np.flatnonzero(system.numbers == 16)[0]
    for compute in (potential.compute, in_three_steps(potential).compute, Committee([potential] * 2).compute):
        with np.errstate(all="ignore"), pytest.raises(PhysicsError, match=rf"of atom {first} is not a finite number"):
            compute(system)


def with_bounds_of(potential, system, shift=0.0, precision="double"):
    """The potential with the system's own values as bounds, moved inwards by `shift` of their size."""
    elements = {}
    for (symbol, part), z in zip(potential.model.elements.items(), potential.numbers, strict=True):
        raw = potential.descriptors(system)[system.numbers == z, : len(part.functions)]
        scaling = part.scaling.copy()
        scaling[:, 0], scaling[:, 1] = raw.min(axis=0) * (1 + shift), raw.max(axis=0) * (1 - shift)
        elements[symbol] = replace(part, scaling=np.hstack([np.sort(scaling[:, :2]), scaling[:, 2:]]))
    return HDNNP(replace(potential.model, elements=elements), precision)


def test_rounding_is_no_extrapolation():
    """It grows with the value: 448.828 is not beyond 448.828, by 4e-13, although n2p2's tolerance of 2e-13 says so."""
    potential, system = open_case(GOLDEN / "big1")
    assert np.abs(potential.descriptors(system)).max() > 10
    assert with_bounds_of(potential, system, 1e-13).compute(system).extrapolation.count == 0
    assert with_bounds_of(potential, system, 1e-10).compute(system).extrapolation.count > 64
    mixed = with_bounds_of(potential, system, precision="mixed")
    assert mixed.compute(system).extrapolation.count == 0
    assert with_bounds_of(potential, system, 1e-4, "mixed").compute(system).extrapolation.count > 64


def test_no_extrapolation_on_training_like_structure(water):
    potential, system = open_case(water, *WATER_UNITS)
    assert potential.compute(system).extrapolation.count == 0


def test_offsets_are_counted_once_per_atom(water):
    potential, system = open_case(water, *WATER_UNITS)
    one = potential.offset_energy(np.array([8]))
    assert potential.offset_energy(system.numbers) == pytest.approx(one * (system.numbers == 8).sum() * 3, rel=1e-12)


def test_element_that_the_potential_lacks():
    potential, _ = open_case(GOLDEN / "big1")
    with pytest.raises(InputError, match=r"atom 1 is Fe.*for H O S"):
        potential.compute(make_system([[0, 0, 0], [2, 0, 0]], [8, 26]))


@pytest.mark.parametrize("distance", [0.0, 1e-4])
@pytest.mark.parametrize("kind", ["network", "Lennard-Jones"])
def test_atoms_that_meet_within_the_skin_are_refused(kind, distance):
    """A list that is still safe does not search again: the kernels look themselves."""
    if kind == "network":
        potential, system = open_case(GOLDEN / "big1")
        i, j, _, vectors = neighbor_list(system, 4.0)
    else:
        potential = LennardJones({"Ar": (0.0103, 3.4)}, 7.0)
        system = make_system([[0, 0, 0], [0.5, 0, 0], [9.0, 0, 0]], [18, 18, 18])
        i, j, _, vectors = neighbor_list(system, 4.0)
    verlet = VerletList(potential.cutoff, skin=9.0)
    verlet.update(system)
    positions = system.positions.copy()
    positions[i[0]] += vectors[0] * (1 - distance / np.linalg.norm(vectors[0]))
    moved = system._replace(positions=positions)
    a, b = sorted((int(i[0]), int(j[0])))
    builds = verlet.n_builds
    with pytest.raises(InputError, match=rf"atoms {a} .* and {b} .* at the same position"):
        potential.compute(moved, verlet.update(moved))
    assert verlet.n_builds == builds


def test_a_list_that_does_not_fit_is_refused():
    potential, system = open_case(GOLDEN / "big1")
    with pytest.raises(InputError, match="less than the potential's cutoff"):
        potential.compute(system, VerletList(potential.cutoff - 0.5, 0.0).update(system))
    other = make_system(system.positions[:3], system.numbers[:3], system.cell, True)
    with pytest.raises(InputError, match="list is of 3 atoms"):
        potential.compute(system, VerletList(potential.cutoff).update(other))
    neighbors = VerletList(potential.cutoff).update(system)
    with pytest.raises(InputError, match="need gradients"):
        potential.pull_back(system, neighbors, np.zeros((len(system), 1)), np.zeros(len(system)))


def test_elements_out_of_order_are_refused():
    potential, _ = open_case(GOLDEN / "big1")
    with pytest.raises(ValueError, match="order of atomic number"):
        replace(potential.model, elements=dict(reversed(potential.model.elements.items())))


def test_nothing_at_path(tmp_path):
    with pytest.raises(FileError, match="no such potential"):
        load_potential(tmp_path / "nowhere")


# ---------------------------------------------------------------------------------------------------------------------
# Lennard-Jones


@pytest.mark.parametrize("smoothing", ["truncated", "shifted", "cos", "exp", "poly1", "poly2", "poly3", "poly4"])
def test_lennard_jones_dimer(smoothing):
    epsilon, sigma, cutoff = 0.0103, 3.4, 8.5
    potential = LennardJones({"Ar": (epsilon, sigma)}, cutoff, smoothing)
    r = 3.9
    results = potential.compute(make_system([[0, 0, 0], [r, 0, 0]], [18, 18]))
    pair = 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)
    if smoothing == "shifted":
        pair -= 4 * epsilon * ((sigma / cutoff) ** 12 - (sigma / cutoff) ** 6)
    force = 4 * epsilon * (12 * (sigma / r) ** 12 - 6 * (sigma / r) ** 6) / r
    assert results.energy == pytest.approx(pair, rel=1e-13)
    assert results.forces[1, 0] == pytest.approx(force, rel=1e-13)
    assert np.array_equal(results.forces[0], -results.forces[1])
    assert results.virial[0, 0] == pytest.approx(r * force, rel=1e-13)


def test_lennard_jones_mixture_is_a_derivative():
    rng = np.random.default_rng(1)
    potential = LennardJones({"Kr": (0.0141, 3.65), "Ar": (0.0103, 3.4)}, 7.0)
    cell = np.array([[9.0, 0, 0], [1.0, 8.0, 0], [-2.0, 1.5, 10.0]])
    grid = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)]) / 2
    system = make_system(grid @ cell + rng.normal(scale=0.2, size=(8, 3)), [18, 36] * 4, cell, True)
    results = potential.compute(system)
    direction = rng.normal(size=(8, 3))
    h = 1e-4
    e = [
        potential.compute(system._replace(positions=system.positions + k * h * direction)).energy
        for k in (-2, -1, 1, 2)
    ]
    slope = (8 * (e[2] - e[1]) - (e[3] - e[0])) / (12 * h)
    assert slope == pytest.approx(-(results.forces * direction).sum(), rel=1e-8)


def test_lennard_jones_file(tmp_path):
    path = tmp_path / "argon.toml"
    path.write_text('kind = "lennard-jones"\ncutoff_A = 8.5\n[elements.Ar]\nepsilon_eV = 0.0103\nsigma_A = 3.4\n')
    potential = load_potential(path)
    assert (potential.numbers, potential.cutoff, potential.smoothing) == ((18,), 8.5, "poly2")
    for bad, message in [
        ('kind = "morse"', "lennard-jones"),
        ('kind = "lennard-jones"\ncutof_A = 8.5', "unknown key 'cutof_A'"),
        ('kind = "lennard-jones"', "cutoff_A is missing"),
        ('kind = "lennard-jones"\ncutoff_A = true', "must be a number"),
        ('kind = "lennard-jones"\ncutoff_A = 8.5\n', "no elements"),
        ('kind = "lennard-jones"\ncutoff_A = 8.5\n[elements.Ar]\nepsilon_eV = -1\nsigma_A = 3.4', "must be positive"),
        ('kind = "lennard-jones"\ncutoff_A = 8.5\n[elements.Qq]\nepsilon_eV = 1\nsigma_A = 3.4', "unknown element"),
        ("kind = ", "neither a directory nor a valid TOML"),
    ]:
        path.write_text(bad)
        with pytest.raises(InputError, match=message):
            load_potential(path)


def test_compiled_and_cached_kernels_give_the_same_bits(tmp_path):
    code = (
        "import hashlib\n"
        "from mdnnp.command.benchmark.water import water_box, water_model\n"
        "from mdnnp.potentials.hdnnp.potential import HDNNP\n"
        "result = HDNNP(water_model()).compute(water_box(), atomic_virials=True)\n"
        "print(repr(result.energy), hashlib.sha256(result.forces.tobytes() + result.virial.tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    compiled, cached = (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert compiled == cached
    assert any(tmp_path.rglob("*.nbc"))


def test_lennard_jones_refuses_an_unphysical_cutoff():
    with pytest.raises(InputError, match=r"cutoff_A is 2e\+20, expected at most 100"):
        LennardJones({"Ar": (0.01, 3.4)}, 2e20)
