"""Mixed precision against double: functions, forces, energies; the same bits for any threads and after a restart."""

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from places import GOLDEN
from reference_data import REAL, WATER_UNITS

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import make_system
from mdnnp.base.compiled.jit import njit, njit_fast, set_threads
from mdnnp.base.errors import InputError
from mdnnp.command.benchmark.water import water_box, water_model
from mdnnp.couplings.ase import HDNNPCalculator
from mdnnp.dynamics.input import read_config
from mdnnp.dynamics.run import run
from mdnnp.potentials.hdnnp.files import read_potential, write_potential
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.load import load_potential
from mdnnp.trajectory import Trajectory


def rms(a) -> float:
    return float(np.sqrt(np.mean(np.square(a))))


def both(model):
    return HDNNP(model), HDNNP(model, precision="mixed")


def linear(functions, cutoff_type=6) -> HDNNPModel:
    """One element, whose energy is the sum of its functions."""
    n = len(functions)
    network = Network((np.ones((n, 1)),), (np.zeros(1),), "l")
    part = ElementModel(tuple(functions), np.tile([0.0, 1.0, 0.5, 0.1], (n, 1)), network)
    return HDNNPModel({functions[0].center: part}, cutoff_type, 0.0, "none", "Angstrom", "eV")


@pytest.fixture(autouse=True)
def one_thread():
    yield
    set_threads(1)


@pytest.fixture(scope="module")
def water():
    """Double and mixed, and 360 molecules."""
    return *both(water_model()), water_box()


def test_water(water):
    double, mixed, box = water
    expected, found = (p.compute(box, atomic_virials=True) for p in (double, mixed))
    assert 0 < rms(found.forces - expected.forces) < 3e-6 * rms(expected.forces)
    assert abs(found.energy - expected.energy) / len(box) < 1e-7
    assert np.max(np.abs(found.atomic_energies - expected.atomic_energies)) < 1e-5
    assert np.max(np.abs(found.virial - expected.virial)) < 1e-5 * np.max(np.abs(expected.virial))
    assert rms(found.atomic_virials - expected.atomic_virials) < 1e-5 * rms(expected.atomic_virials)
    # The forces are added in double precision: no net force.
    assert np.max(np.abs(found.forces.sum(axis=0))) < 1e-11


@pytest.mark.parametrize("name", ["made here", *REAL])
def test_potentials_in_the_form_of_others(name, water_made_here):
    path, *units = REAL.get(name, (water_made_here, *WATER_UNITS))
    system = read_structures(path / "input.data", "0", *units)[0].system
    double, mixed = both(read_potential(path, *units))
    expected, found = double.compute(system), mixed.compute(system)
    assert rms(found.forces - expected.forces) < 1e-5 * rms(expected.forces)
    assert abs(found.energy - expected.energy) / len(system) < 1e-6


def test_sums_over_neighbours_stay_double():
    """Radial functions and moments are not touched: the bits are those of double precision."""
    double, mixed = both(water_model(wide=True))
    box = water_box()
    assert np.array_equal(double.compute(box).forces, mixed.compute(box).forces)


@pytest.mark.parametrize("name", sorted(p.name for p in GOLDEN.iterdir() if (p / "input.nn").exists()))
def test_every_function_of_the_golden_potentials(name):
    """One by one: their networks are random, and some blow the last digits of their functions up."""
    try:
        double, mixed = both(read_potential(GOLDEN / name, "Angstrom", "eV"))
    except InputError:
        pytest.skip("not a short-range potential")
    for structure in read_structures(GOLDEN / name / "input.data", ":", "Angstrom", "eV")[:2]:
        system = structure.system
        neighbors = VerletList(double.cutoff, 0.0).update(system)
        expected, found = (p.descriptors(system, neighbors) for p in (double, mixed))
        assert np.all(np.abs(found - expected) <= 2e-6 * np.maximum(np.abs(expected), rms(expected)))
        for column in range(expected.shape[1]):
            gradients = np.zeros_like(expected)
            gradients[:, column] = 1.0
            a, b = (p.pull_back(system, neighbors, gradients, np.zeros(len(system))).forces for p in (double, mixed))
            assert rms(a - b) <= 1e-5 * rms(a)


def angular(kind: int, **parameters) -> SymmetryFunction:
    return SymmetryFunction("Si", kind, ("Si", "Si"), 5.0, **parameters)


ANGULAR = {
    "narrow": angular(3, eta=0.05, lam=1.0, zeta=4.0),
    "narrow, sharp": angular(3, eta=0.2, lam=-1.0, zeta=64.0),
    "narrow, shifted, any power": angular(3, eta=0.3, rs=2.0, lam=1.0, zeta=2.5),
    "wide, beyond 1": angular(9, eta=0.05, lam=1.5, zeta=2.0),
    "compact": angular(21, rl=0.5, theta_l=20.0, theta_r=170.0, subtype="p2"),
    "compact, exponential": angular(22, rl=0.0, theta_l=0.0, theta_r=180.0, subtype="e"),
}


@pytest.mark.parametrize("name", ANGULAR)
def test_small_triclinic_cell(name):
    cell = [[2.9, 0.0, 0.0], [0.7, 2.7, 0.0], [-0.6, 0.9, 3.1]]
    system = make_system([[0.1, 0.2, 0.3], [1.4, 1.3, 1.2]], [14, 14], cell, True)
    double, mixed = both(linear([ANGULAR[name]]))
    expected, found = double.compute(system), mixed.compute(system)
    assert rms(found.forces - expected.forces) < 1e-5 * rms(expected.forces)
    assert found.energy == pytest.approx(expected.energy, rel=1e-6)
    np.testing.assert_allclose(found.virial, expected.virial, atol=1e-5 * np.abs(expected.virial).max())


@pytest.mark.parametrize("cutoff_type", range(9))
@pytest.mark.parametrize("name", ANGULAR)
def test_at_the_cutoff(name, cutoff_type):
    """Sides that end at the cutoff, within what single precision resolves of it and beyond."""
    double, mixed = both(linear([ANGULAR[name]], cutoff_type))
    scale = 0.0
    for gap in (0.0, 1e-12, 1e-9, 1e-7, 3e-7, 1e-6, 1e-4, 1e-2, 1.0, -1e-7):
        far = 5.0 - gap
        for k in ([1.6, 1.2, 0.0], [0.96 * far, 0.28 * far, 0.0], [0.1, far, 0.0]):
            system = make_system([[0, 0, 0], [far, 0, 0], k], [14, 14, 14])
            expected, found = double.compute(system), mixed.compute(system)
            assert np.isfinite(found.forces).all()
            assert np.isfinite(found.energy)
            scale = max(scale, np.abs(expected.forces).max())
            if cutoff_type != 0:  # the step is at another place after rounding
                assert np.max(np.abs(found.forces - expected.forces)) < 1e-5 * max(1.0, scale)


def test_saturated_network():
    model = water_model()
    elements = {
        symbol: replace(part, network=replace(part.network, weights=tuple(1e4 * w for w in part.network.weights)))
        for symbol, part in model.elements.items()
    }
    results = HDNNP(replace(model, elements=elements), "mixed").compute(water_box())
    assert np.isfinite(results.energy)
    assert np.isfinite(results.forces).all()


def test_same_bits_for_any_number_of_threads(water):
    _, mixed, box = water
    once = mixed.compute(box, atomic_virials=True)
    for threads in (2, 3):
        set_threads(threads)
        again = mixed.compute(box, atomic_virials=True)
        assert np.array_equal(once.forces, again.forces)
        assert np.array_equal(once.atomic_energies, again.atomic_energies)
        assert np.array_equal(once.atomic_virials, again.atomic_virials)


INPUT = """\
[structure]
file = "water.xyz"
[potential]
path = "potential"
precision = "mixed"
[dynamics]
steps = 12
timestep_fs = 0.5
temperature_K = 300
[output]
frame_interval = 4
thermo_interval = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_potential(water_model(), "potential")
    box = water_box()
    small = [m for m in range(len(box) // 3) if m % 4 == 0]  # any molecules: a thin gas runs as well
    atoms = np.concatenate([[3 * m, 3 * m + 1, 3 * m + 2] for m in small])
    ase.io.write("water.xyz", Atoms(box.numbers[atoms], box.positions[atoms], cell=box.cell, pbc=True))
    Path("run.toml").write_text(INPUT)
    return tmp_path


def test_run_and_resume(folder):
    run(read_config("run.toml"))
    with Trajectory("run.h5") as whole:
        positions, energy = whole.positions(), whole.thermo["total_energy"]
        assert whole.parameters["precision"] == "mixed"
    Path("run.toml").write_text(INPUT.replace("steps = 12", "steps = 5"))
    run(read_config("run.toml"), overwrite=True)
    Path("run.toml").write_text(INPUT.replace("mixed", "double"))
    with pytest.raises(InputError, match=r"potential\.precision is 'double', but the run was started with 'mixed'"):
        run(read_config("run.toml"), resume=True)
    Path("run.toml").write_text(INPUT)
    run(read_config("run.toml"), resume=True)
    with Trajectory("run.h5") as resumed:
        assert np.array_equal(resumed.positions(), positions)
        assert np.array_equal(resumed.thermo["total_energy"], energy)
    assert load_potential("potential", precision="mixed").precision == "mixed"


def test_calculator(folder):
    atoms = ase.io.read("water.xyz")
    forces = []
    for precision in ("double", "mixed"):
        atoms.calc = HDNNPCalculator("potential", precision=precision)
        forces.append(atoms.get_forces())
    assert 0 < rms(forces[1] - forces[0]) < 1e-5 * rms(forces[0])


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="unknown precision 'single'; known: double, mixed"):
        HDNNP(water_model(), precision="single")
    (tmp_path / "lj.toml").write_text(
        'kind = "lennard-jones"\ncutoff_A = 6.5\n[elements.Ar]\nepsilon_eV = 0.01\nsigma_A = 3.4\n'
    )
    with pytest.raises(InputError, match="for neural network potentials"):
        load_potential(tmp_path / "lj.toml", precision="mixed")


# How kernels come to compute in single precision

THIRD = 1.0 / 3.0


@njit_fast
def _polynomial(a, x, out):
    for t in range(x.size):
        out[t] = (x[t] * a + 0.1) * THIRD


@njit
def polynomial(a, x, out):
    _polynomial(a, x, out)


def test_literals_and_scalars_are_as_precise_as_the_arrays():
    single = np.random.default_rng(0).uniform(size=1000).astype(np.float32)
    double = single.astype(float)
    expected = (double * 0.7 + 0.1) * THIRD
    out = np.empty(1000, np.float32)
    polynomial(0.7, single, out)
    assert np.allclose(out, expected, rtol=3e-7, atol=0)
    assert np.count_nonzero(out != expected.astype(np.float32)) > 100  # it was not computed in double precision
    for x in (double, single):  # with an array in double precision nothing is rounded
        exact = np.empty(1000)
        polynomial(0.7, x, exact)
        assert np.allclose(exact, expected, rtol=1e-14, atol=0)
