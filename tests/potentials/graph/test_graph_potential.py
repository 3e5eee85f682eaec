"""Graph potentials: the formula by plain sums, exact derivatives, invariances, how far atoms see, files, every verb."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write as write_atoms
from scipy.special import eval_legendre
from systems import tiny_triclinic

from mdnnp.atoms.system import make_system, replicate
from mdnnp.base.compiled.jit import set_threads
from mdnnp.base.errors import FileError, InputError
from mdnnp.certify.invariances import check
from mdnnp.command.cli import main
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.graph.files import HEADER, WEIGHTS, read_graph, write_graph
from mdnnp.potentials.graph.model import draw_model, shared_out
from mdnnp.potentials.graph.potential import GraphPotential
from mdnnp.potentials.interface import differences
from mdnnp.potentials.load import load_potential, potential_files
from mdnnp.trajectory import Trajectory


def drawn(seed=1, numbers=(11, 17), layers=2, cutoff=5.2, degree=3):
    """A model with all weights at random, as those of a fit are."""
    rng = np.random.default_rng(seed)
    model = draw_model(
        numbers, cutoff, layers=layers, channels=4, radial=5, degree=degree, hidden=6, neighbors=20.0, rng=rng
    )
    theta = model.vector()
    model = model.with_vector(theta + 0.1 * rng.standard_normal(theta.size))
    shifted = tuple(
        layer._replace(
            shift=0.1 * rng.standard_normal(layer.shift.shape), factor=rng.uniform(0.5, 1.5, layer.factor.shape)
        )
        for layer in model.layers
    )
    return model._replace(layers=shifted, offsets=rng.standard_normal(len(numbers)))


def salt(seed=3, repeats=(2, 1, 1), rattle=0.2):
    rng = np.random.default_rng(seed)
    grid = np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(2)], float)
    numbers = np.array([11, 17])[grid.sum(axis=1).astype(int) % 2]
    system = replicate(make_system(2.82 * grid, numbers, [5.64] * 3, True), repeats)
    return system._replace(positions=system.positions + rattle * rng.standard_normal(system.positions.shape))


def plain_energies(model, system):
    """The formula of `graph.model`, pair by pair, with Legendre polynomials in place of harmonics."""
    species = np.array([model.numbers.index(z) for z in system.numbers])
    features = model.embedding[species]
    n, energies = len(system), model.offsets[species].copy()
    shifts = np.array([(a, b, c) for a in range(-3, 4) for b in range(-3, 4) for c in range(-3, 4)]) @ system.cell
    for layer in model.layers:
        outputs = []
        for i in range(n):
            vectors, owners = [], []
            for j in range(n):
                for shift in shifts if system.pbc.any() else np.zeros((1, 3)):
                    v = system.positions[j] + shift - system.positions[i]
                    if 0 < np.linalg.norm(v) < model.cutoff:
                        vectors.append(v), owners.append(j)
            v = np.array(vectors).reshape(-1, 3)
            r = np.linalg.norm(v, axis=1)
            x, b = r / model.cutoff, np.arange(1, len(layer.radial) + 1)
            switch = (1 - x) ** 3 * (1 + 3 * x + 6 * x**2)
            radial = switch[:, None] * (np.sin(np.pi * b * x[:, None]) / r[:, None]) @ layer.radial
            a = model.scale * features[owners] * radial
            angles = (v / r[:, None]) @ (v / r[:, None]).T
            inputs = [features[i], a.sum(axis=0)]
            for l, mixing in enumerate(layer.mixing):
                inputs.append(np.einsum("jc,jk,kd,dc->c", a, eval_legendre(l, angles), a, mixing))
            seen = (np.concatenate(inputs) - layer.shift) * layer.factor
            hidden = np.tanh(seen @ layer.first + layer.first_bias)
            hidden = np.tanh(hidden @ layer.second + layer.second_bias)
            outputs.append(seen @ layer.direct + hidden @ layer.last + layer.last_bias)
        outputs = np.array(outputs)
        energies += outputs[:, -1]
        features = outputs[:, :-1]
    return energies


@pytest.mark.parametrize("degree", [0, 1, 4])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_energies_are_those_of_plain_sums(layers, degree):
    model, system = drawn(layers=layers, degree=degree), salt(repeats=(1, 1, 1))
    found = GraphPotential([model]).compute(system).atomic_energies
    np.testing.assert_allclose(found, plain_energies(model, system), rtol=0, atol=1e-11 * np.abs(found).max())


def test_energies_of_networks_add_up():
    models, system = [drawn(1), drawn(2)], salt()
    offsets = GraphPotential(models).offsets(system.numbers)
    own = [GraphPotential([m]).compute(system).atomic_energies - m.offsets[(system.numbers == 17) * 1] for m in models]
    both = GraphPotential([shared_out(m, 2) for m in models]).compute(system)
    np.testing.assert_allclose(both.atomic_energies - offsets, np.mean(own, axis=0), rtol=0, atol=1e-12)


def systems():
    cluster = salt()._replace(pbc=np.zeros(3, bool), cell=np.zeros((3, 3)))
    triclinic = tiny_triclinic()
    return {
        "periodic": salt(),
        "cluster": cluster,
        "thinner than the cutoff": triclinic._replace(numbers=np.array([11, 17])),
        "one atom": make_system([[0.0, 0.0, 0.0]], [17]),
        "pair beyond the cutoff": make_system([[0.0, 0.0, 0.0], [0.0, 0.0, 6.0]], [17, 11]),
    }


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", systems())
def test_every_check_passes(name, layers):
    potential = GraphPotential([drawn(layers=layers), drawn(5, layers=layers)])
    report = check(potential, systems()[name], max_atoms=400)
    assert report.passed, report.text()


@pytest.mark.parametrize("name", ["periodic", "cluster", "thinner than the cutoff"])
def test_derivatives_are_exact(name):
    potential, system = GraphPotential([drawn(layers=3)]), systems()[name]
    rng = np.random.default_rng(2)
    u, strain = rng.standard_normal((len(system), 3)), 0.1 * rng.standard_normal((3, 3))
    exact, rough = potential.results_derivative(system, u, strain), differences(potential, system, u, strain)
    for a, b in zip(exact, rough, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-7 * np.abs(b).max())
    product = potential.hessian_vector_product(system, u)
    v = rng.standard_normal(u.shape)
    assert np.sum(v * product) == pytest.approx(np.sum(u * potential.hessian_vector_product(system, v)), rel=1e-11)


def test_atoms_see_as_far_as_the_layers_reach():
    chain = [[0, 0, 0], [0, 0, 4.5], [0, 0, 9.0], [0, 0, 13.5]]  # cutoff 5.2
    for layers, seen in ((1, 1), (2, 2), (3, 3)):
        potential = GraphPotential([drawn(layers=layers)])
        assert potential.reach == pytest.approx(layers * 5.2)
        here = potential.compute(make_system(chain, [11, 17, 11, 17])).atomic_energies[0]
        for k in (1, 2, 3):
            moved = np.array(chain)
            moved[k, 0] += 0.3
            there = potential.compute(make_system(moved, [11, 17, 11, 17])).atomic_energies[0]
            assert (there != here) == (k <= seen)


def test_bits_do_not_depend_on_threads():
    potential, system = GraphPotential([drawn()]), salt(repeats=(4, 4, 4))
    set_threads(1)
    one = potential.compute(system), potential.hessian_vector_product(system, system.positions)
    set_threads(2)
    two = potential.compute(system), potential.hessian_vector_product(system, system.positions)
    set_threads(1)
    assert one[0].energy == two[0].energy and np.array_equal(one[0].forces, two[0].forces)
    assert np.array_equal(one[1], two[1])


def test_per_atom_virials_are_those_of_one_layer_alone():
    system = salt()
    one = GraphPotential([drawn(layers=1)]).compute(system, atomic_virials=True)
    np.testing.assert_allclose(
        one.atomic_virials.sum(axis=0), one.virial, rtol=0, atol=1e-11 * np.abs(one.virial).max()
    )
    assert GraphPotential([drawn(layers=2)]).compute(system, atomic_virials=True).atomic_virials.shape == (0, 3, 3)


# Files


@pytest.fixture
def directory(tmp_path):
    write_graph([drawn(1), drawn(2)], tmp_path / "graph", provenance={"program": "a test", "epochs": 3})
    return tmp_path / "graph"


def test_files_give_the_same_numbers_back(directory):
    for written, model in zip([drawn(1), drawn(2)], read_graph(directory), strict=True):
        assert np.array_equal(written.vector(), model.vector())
        assert (written.numbers, written.cutoff, written.degree, written.scale) == model[:1] + model[2:5]
        assert np.array_equal(model.offsets, drawn(1).offsets)  # those of the first
    potential = load_potential(directory)
    assert [p.name for p in potential_files(directory)] == [HEADER, WEIGHTS]
    system = salt()
    assert np.array_equal(potential.compute(system).forces, GraphPotential([drawn(1), drawn(2)]).compute(system).forces)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format_version = 1", "format_version = 2", "graph.toml:2: format_version must be 1.*found 2"),
        ('energy_unit = "eV"', 'energy_unit = "Hartree"', 'graph.toml:4: energy_unit must be "eV"'),
        ("channels = 4", "channels = 5", "weights.h5: network-1/embedding is an array .2, 4. .* expected .2, 5."),
        ("channels = 4", "channels = 4.5", "graph.toml:9: channels must be a whole number from 1 to 256, found 4.5"),
        ("layers = 2", "layers = 3", "network-1/layer-2/direct is an array .24, 1. .* expected .24, 5."),
        ("cutoff_A = 5.2", "cutoff_A = -5.2", "graph.toml:6: cutoff_A must be a number above 0"),
        ("networks = 2", "", "networks must be a whole number from 1 to 64, it is missing"),
        ("offsets_eV = {Na", "offsets_eV = {Nx", "'Nx' is no chemical element"),
        ("cutoff_A = 5.2", "cutoff_A = ", "graph.toml"),
    ],
)
def test_mistakes_in_the_header_are_named(directory, old, new, message):
    text = (directory / HEADER).read_text()
    assert old in text
    (directory / HEADER).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_potential(directory)


def test_damaged_weights_are_refused(directory):
    import h5py

    with h5py.File(directory / WEIGHTS, "r+") as file:
        file["network-2/layer-1/first"][0, 0] = np.nan
    with pytest.raises(InputError, match="network-2/layer-1/first holds values that are not finite"):
        load_potential(directory)
    (directory / WEIGHTS).write_bytes((directory / WEIGHTS).read_bytes()[:300])
    with pytest.raises(FileError, match=r"weights\.h5: cannot be read as HDF5"):
        load_potential(directory)
    (directory / WEIGHTS).unlink()
    with pytest.raises(FileError, match=r"weights\.h5"):
        load_potential(directory)


def test_single_precision_and_units_are_refused(directory):
    with pytest.raises(InputError, match="precision 'mixed' is not for graph potentials"):
        load_potential(directory, precision="mixed")


# Every verb


TERMS = """
[[terms]]
kind = "lennard-jones"
cutoff_A = 5.2
smoothing = "poly3"
[terms.elements.Ar]
epsilon_eV = 0.0103408
sigma_A = 3.4
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Argon whose pairs attract each other, with a graph potential that adds a little."""
    monkeypatch.chdir(tmp_path)
    model = drawn(numbers=(18,))
    weak = model.with_vector(0.1 * model.vector())._replace(offsets=np.zeros(1))
    write_graph([weak], "graph", terms=TERMS.encode())
    write_atoms("argon.xyz", bulk("Ar", a=5.3, cubic=True))
    return tmp_path


def run_input(more=""):
    return (
        '[structure]\nfile = "argon.xyz"\nreplicate = [2, 2, 2]\n[potential]\npath = "graph"\n[dynamics]\n'
        f"steps = 60\ntimestep_fs = 5\ntemperature_K = 20\n[output]\nthermo_interval = 1\n{more}\n"
    )


def test_every_verb(place, capsys):
    (place / "run.toml").write_text(run_input())
    found = {}
    for line in (
        "info graph --json", "predict graph argon.xyz -o out.xyz", "check graph argon.xyz", "run run.toml",
        "analyze run.h5 --no-figures", "relax graph argon.xyz -o relaxed.xyz --cell", "phonons graph relaxed.xyz -o ph",
        "smooth graph relaxed.xyz --steps 64", "properties graph relaxed.xyz --only elastic -o pr",
    ):  # fmt: skip
        status = main(line.split())
        said = capsys.readouterr()
        assert status == 0, (line, said.out[-3000:], said.err[-3000:])
        found[line.split()[0]] = said.out
    assert '"reach_A": 10.4' in found["info"] and " 0 failed" in found["check"]
    with Trajectory("run.h5") as t:
        thermo = t.thermo
    assert np.ptp(thermo["total_energy"]) < 0.02 * np.ptp(thermo["potential_energy"])


def test_phonons_are_those_of_forces(place):
    """Of a supercell as wide as the layers reach: slopes of forces, which need no list and no reach."""
    system = replicate(make_system(bulk("Ar", a=5.3, cubic=True).positions, [18] * 4, [5.3] * 3, True), (2, 2, 2))
    potential = load_potential("graph")
    u = np.zeros((len(system), 3))
    u[3, 0] = 1.0
    rough = differences(potential, system, u, None)[0]
    exact = potential.hessian_vector_product(system, u)
    np.testing.assert_allclose(exact, -rough, rtol=0, atol=1e-6 * np.abs(rough).max())


def test_heat_current_is_refused(place, capsys):
    (place / "run.toml").write_text(run_input("heat_current = true"))
    assert main(["run", "run.toml"]) == 2
    assert "output.heat_current needs per-atom virials, which" in capsys.readouterr().err


def test_committees():
    members, system = [GraphPotential([drawn(1)]), GraphPotential([drawn(7)])], salt()
    results = Committee(members).compute(system, atomic_virials=True)
    assert results.disagreement is not None and results.atomic_virials.shape == (0, 3, 3)
    mean = np.mean([m.compute(system).forces for m in members], axis=0)
    np.testing.assert_allclose(results.forces, mean, rtol=0, atol=1e-13 * np.abs(mean).max())


def test_sums_with_other_terms(directory):
    (directory / "terms.toml").write_text('[[terms]]\nkind = "zbl"\ninner_cutoff_A = 0.8\ncutoff_A = 1.6\n')
    alone, total, system = GraphPotential(read_graph(directory)), load_potential(directory), salt()
    report = check(total, system, max_atoms=400)
    assert report.passed, report.text()
    assert 0.0 in dict(total.compute(system).terms).values()  # no pair is that near
    assert np.array_equal(alone.compute(system).forces, total.compute(system).forces)
    assert total.compute(system, atomic_virials=True).atomic_virials.shape == (0, 3, 3)
