"""What a run starts from: boxes, rotation, isotopes, replicas, velocities, and what is refused or warned of."""

import warnings

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase import units as ase_units
from ase.data import atomic_masses

from mdnnp.atoms.quantities import angular_velocity, kinetic_energy, momentum, temperature
from mdnnp.atoms.system import enclosing_box, make_system
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.dynamics.input import parse_config
from mdnnp.dynamics.integrators import maxwell_boltzmann
from mdnnp.dynamics.run import first_state
from mdnnp.dynamics.start import prepare

POTENTIAL = """\
kind = "lennard-jones"
cutoff_A = 6.0
[elements.Ar]
epsilon_eV = 0.0103408
sigma_A = 3.4
[elements.Kr]
epsilon_eV = 0.014
sigma_A = 3.65
"""

INPUT = """\
[structure]
file = "start.xyz"
[potential]
path = "lj.toml"
[dynamics]
steps = 10
timestep_fs = 2.0
temperature_K = 80
"""


def mixture(cell=(7.6, 7.4, 7.9, 80, 95, 100), pbc=True, velocities=False) -> Atoms:
    atoms = Atoms("Ar3Kr5", scaled_positions=np.array(list(np.ndindex(2, 2, 2))) / 2 + 0.01, cell=cell, pbc=pbc)
    atoms.rattle(0.15, seed=3)
    if velocities:
        atoms.set_velocities(np.random.default_rng(0).normal(0, 0.01, (8, 3)) + 0.02)
    return atoms


@pytest.fixture
def start(tmp_path):
    """A function from atoms and changes of the input to the Start of the run."""

    def make(atoms: Atoms, more: str = "", text: str = INPUT):
        ase.io.write(tmp_path / "start.xyz", atoms)
        (tmp_path / "lj.toml").write_text(POTENTIAL)
        return prepare(parse_config(text + more, tmp_path / "run.toml"))

    return make


def distances(system):
    atoms = Atoms(numbers=system.numbers, positions=system.positions, cell=system.cell, pbc=system.pbc)
    return atoms.get_all_distances(mic=True)


@pytest.mark.filterwarnings("ignore:.*net momentum")
def test_cell_becomes_lower_triangular_and_nothing_else_changes(start):
    atoms = mixture(velocities=True)
    atoms.rotate(50, (1, 2, 3), rotate_cell=True)
    assert np.abs(np.triu(atoms.cell.array, 1)).max() > 1
    s = start(atoms, 'velocities = "file"\nremove_momentum = false\n')
    cell = s.system.cell
    assert np.array_equal(cell, np.tril(cell))
    assert np.all(np.diag(cell) > 0)
    np.testing.assert_allclose(s.rotation @ s.rotation.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(distances(s.system), atoms.get_all_distances(mic=True), atol=1e-7)
    np.testing.assert_allclose(s.system.positions @ s.rotation, atoms.positions, atol=1e-7)
    np.testing.assert_allclose(s.velocities @ s.rotation, atoms.get_velocities() * ase_units.fs, atol=1e-7)
    # The scalar product of a velocity and a distance, which a forgotten rotation of either would change.
    before = atoms.get_velocities() @ (atoms.positions[1] - atoms.positions[0]) * ase_units.fs
    after = s.velocities @ (s.system.positions[1] - s.system.positions[0])
    np.testing.assert_allclose(after, before, atol=1e-7)


def test_a_cell_in_that_form_is_kept_to_the_bit(start):
    atoms = mixture(cell=[7.6, 7.4, 7.9])
    s = start(atoms)
    assert np.array_equal(s.rotation, np.eye(3))
    assert np.array_equal(s.system.cell, ase.io.read(s.label.rsplit(":", 1)[0]).cell.array)
    assert np.array_equal(s.system.positions, ase.io.read(s.label.rsplit(":", 1)[0]).positions)


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)])
@pytest.mark.parametrize("given", ["all", "periodic", "left-handed open"])
def test_open_directions_get_an_edge(start, pbc, given):
    atoms = mixture()
    cell, pbc = atoms.cell.array.copy(), np.array(pbc, bool)
    if given == "periodic":
        cell[~pbc] = 0.0
    elif given == "left-handed open" and not pbc.any():
        cell[0] *= -1
    elif given == "left-handed open":
        return
    atoms.set_cell(cell, scale_atoms=False)
    atoms.pbc = pbc
    s = start(atoms)
    assert np.array_equal(s.system.pbc, pbc)
    assert np.linalg.det(s.system.cell) > 1
    assert np.array_equal(s.system.cell, np.tril(s.system.cell))
    back = s.system.cell @ s.rotation
    np.testing.assert_allclose(back[pbc], cell[pbc], atol=1e-7)
    energy = s.potential.compute(s.system).energy
    original = make_system(atoms.positions, atoms.numbers, cell if pbc.any() else np.zeros((3, 3)), pbc)
    assert energy == pytest.approx(s.potential.compute(original).energy, rel=1e-6)


def test_enclosing_box_is_larger_than_the_atoms():
    system = make_system([[-50, 0, 0], [50, 3, 1]], [1, 1], np.diag([0, 9.0, 0]), (False, True, False))
    box = enclosing_box(system)
    np.testing.assert_allclose(np.linalg.norm(box, axis=1)[[0, 2]].max(), 110.0)
    assert np.linalg.det(box) > 0
    np.testing.assert_array_equal(box[1], [0, 9, 0])


def test_pbc_of_the_input_overrides_that_of_the_file(start):
    text = INPUT.replace('"start.xyz"', '"start.xyz"\npbc = [true, false, true]')
    assert start(mixture(pbc=True), text=text).system.pbc.tolist() == [True, False, True]


def test_pbc_without_a_cell_is_refused(start):
    text = INPUT.replace('"start.xyz"', '"start.xyz"\npbc = [true, true, true]')
    with pytest.raises(InputError, match=r"with pbc = \[True, True, True\]: periodic along a, but"):
        start(Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]]), text=text)


@pytest.mark.filterwarnings("ignore:.*net momentum")
def test_replicas(start):
    atoms = mixture(velocities=True)
    text = INPUT.replace('"start.xyz"', '"start.xyz"\nreplicate = [2, 1, 3]')
    s = start(atoms, 'velocities = "file"\n', text=text)
    one = start(atoms, 'velocities = "file"\n')
    assert len(s.system) == len(s.masses) == len(s.velocities) == 48
    assert s.potential.compute(s.system).energy == pytest.approx(6 * one.potential.compute(one.system).energy)
    np.testing.assert_allclose(s.velocities, np.tile(one.velocities, (6, 1)), atol=1e-16)


def test_replicas_that_no_memory_holds_are_refused(start):
    text = INPUT.replace('"start.xyz"', '"start.xyz"\nreplicate = [10000, 10000, 10000]')
    with pytest.raises(InputError, match="makes 8000000000000 atoms"):
        start(mixture(), text=text)


def test_isotopes(start):
    text = INPUT.replace('"start.xyz"', '"start.xyz"\nmasses = {Ar = 36.0}')
    s = start(mixture(), text=text)
    assert np.all(s.masses[s.system.numbers == 18] == 36.0)
    assert np.all(s.masses[s.system.numbers == 36] == atomic_masses[36])
    drawn = maxwell_boltzmann(s.masses, 80.0, 1, exact_temperature=True)
    assert np.array_equal(s.velocities, drawn)


def test_isotope_of_an_absent_element_is_refused(start):
    text = INPUT.replace('"start.xyz"', '"start.xyz"\nmasses = {Xe = 130}')
    with pytest.raises(InputError, match=r"structure.masses at .*: has a mass of Xe, but .* has no such atom"):
        start(mixture(), text=text)


def test_drawn_velocities(start):
    s = start(mixture())
    assert temperature(kinetic_energy(s.velocities, s.masses), s.n_degrees) == pytest.approx(80.0, rel=1e-13)
    assert s.n_degrees == 21
    assert np.abs(momentum(s.velocities, s.masses)).max() < 1e-14


def test_momentum_kept_when_asked(start):
    s = start(mixture(), "remove_momentum = false\n")
    assert s.n_degrees == 24
    assert np.abs(momentum(s.velocities, s.masses)).max() > 1e-3


def test_zero_velocities(start):
    assert not start(mixture(velocities=True), 'velocities = "zero"\n').velocities.any()


@pytest.mark.parametrize(("more", "kept"), [("", False), ("remove_momentum = false\n", True)])
def test_net_momentum_of_a_file_is_warned_of(start, more, kept):
    with pytest.warns(MdnnpWarning, match="net momentum of .* which is " + ("not removed" if kept else "removed")):
        s = start(mixture(velocities=True), 'velocities = "file"\n' + more)
    assert (np.abs(momentum(s.velocities, s.masses)).max() > 1e-12) == kept


def test_velocities_that_are_not_there(start):
    with pytest.raises(InputError, match=r'velocities at .*: "file", but .*start.xyz:0 has no velocities'):
        start(mixture(), 'velocities = "file"\n')


def test_unknown_element(start):
    atoms = mixture()
    atoms.numbers[5] = 54
    with pytest.raises(InputError, match=r"start.xyz:0: atom 5 is Xe, .*the potential is for Ar Kr"):
        start(atoms)


def test_index(tmp_path, start):
    frames = [mixture(), mixture()]
    frames[1].positions += 1.0
    start(mixture())
    ase.io.write(tmp_path / "start.xyz", frames)
    for index in (0, 1, -1):
        text = INPUT.replace('"start.xyz"', f'"start.xyz"\nindex = {index}')
        s = prepare(parse_config(text, tmp_path / "run.toml"))
        np.testing.assert_allclose(s.system.positions @ s.rotation, frames[index].positions, atol=1e-7)
    with pytest.raises(InputError, match="has no structure 2"):
        prepare(parse_config(INPUT.replace('"start.xyz"', '"start.xyz"\nindex = 2'), tmp_path / "run.toml"))


def test_missing_files(tmp_path, start):
    with pytest.raises(FileError, match=r"structure.file at .*start.xyz does not exist"):
        prepare(parse_config(INPUT, tmp_path / "run.toml"))
    (tmp_path / "start.xyz").touch()
    with pytest.raises(FileError, match=r"potential.path at .*lj.toml does not exist"):
        prepare(parse_config(INPUT, tmp_path / "run.toml"))


def test_lengths_in_the_wrong_unit_are_warned_of(start):
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 1.1]])
    with pytest.warns(MdnnpWarning, match=r"Å read as Bohr|overlap"):
        start(atoms)


def test_skewed_cell_is_warned_of_and_gives_the_same_energy(start):
    atoms = mixture()
    with warnings.catch_warnings():
        warnings.simplefilter("error", MdnnpWarning)
        reference = start(atoms)
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [5, 1, 0], [0, 0, 1]]) @ atoms.cell.array, scale_atoms=False)
    with pytest.warns(MdnnpWarning, match="very skewed"):
        s = start(skewed)
    a, b = (x.potential.compute(x.system).energy for x in (reference, s))
    assert a == pytest.approx(b, rel=1e-7)


def test_digests_tell_changes(tmp_path, start):
    first = start(mixture()).digests
    assert start(mixture()).digests == first
    other = mixture()
    other.positions[0] += 1e-6
    assert start(other).digests["structure"] != first["structure"]
    assert start(mixture(velocities=True)).digests["structure"] != first["structure"]
    (tmp_path / "lj.toml").write_text(POTENTIAL.replace("3.65", "3.66"))
    ase.io.write(tmp_path / "start.xyz", mixture())
    changed = prepare(parse_config(INPUT, tmp_path / "run.toml")).digests
    assert changed["potential"] != first["potential"]
    assert changed["structure"] == first["structure"]


def cluster(symbols="Ar3Kr", positions=((0, 0, 0), (3.8, 0, 0), (1.9, 3.3, 0), (1.9, 1.1, 3.2))) -> Atoms:
    return Atoms(symbols, positions=positions)


ON_A_LINE = ((1, 1, 1), (3.2, 3.2, 3.2), (5.4, 5.4, 5.4))


@pytest.mark.parametrize(
    ("atoms", "more", "missing", "at_rest"),
    [
        (cluster(), "", 6, True),
        (cluster(), 'ensemble = "nvt-nose-hoover"\n', 6, True),
        (cluster(), 'ensemble = "nvt-langevin"\nfriction_per_ps = 1\n', 0, True),  # noise turns it again
        (cluster(), "remove_momentum = false\n", 0, False),
        (cluster("ArKrAr", ON_A_LINE), "", 5, True),
        (cluster("Ar2", ON_A_LINE[:2]), "", 5, True),
        (cluster("Ar", ON_A_LINE[:1]), "", 0, False),
        (cluster(), "fixed = [0]\n", 0, False),
    ],
)
def test_an_isolated_molecule_does_not_turn(start, atoms, more, missing, at_rest):
    s = start(atoms, more)
    relative = s.system.positions - s.masses @ s.system.positions / s.masses.sum()
    angular = np.abs(np.sum(s.masses[:, None] * np.cross(relative, s.velocities), axis=0)).max()
    assert 3 * (len(atoms) - len(s.fixed)) - s.n_degrees == missing
    if len(atoms) > 1:
        assert (angular < 1e-12) == at_rest
    assert temperature(kinetic_energy(s.velocities, s.masses), s.n_degrees) == pytest.approx(80.0, rel=1e-13)


def test_velocities_of_a_file_that_turn_a_molecule_are_kept_and_counted(start):
    atoms, more = cluster(), 'velocities = "file"\n'
    turning = np.cross([0.0, 0.0, 0.01], atoms.positions - atoms.get_center_of_mass())
    stretching = 0.01 * (atoms.positions - atoms.get_center_of_mass())
    for velocities, missing in ((turning + stretching, 3), (stretching, 6)):
        atoms.set_velocities(velocities)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            s = start(atoms, more)
        assert 12 - s.n_degrees == missing
        assert any("rotate the system" in str(w.message) for w in caught) == (missing == 3)


@pytest.mark.parametrize(
    ("ensemble", "kept"), [("nve", True), ("nvt-nose-hoover", True), ("nvt-rescale", True), ("nvt-langevin", False)]
)
def test_which_ensembles_keep_a_molecule_from_turning(start, ensemble, kept):
    s = start(cluster(), f'ensemble = "{ensemble}"\n' + "friction_per_ps = 1\n" * (not kept))
    state = first_state(s, s.potential.compute)
    for _ in range(200):
        state = s.integrator.step(state, 2.0, s.potential.compute)
    turning = np.abs(angular_velocity(state.system.positions, state.velocities, state.masses)).max()
    assert (turning < 1e-11) == kept
    assert s.n_degrees == (6 if kept else 12)
