"""Data sets: round trips of labels, duplicates, splits, offsets, weights, hash."""

import dataclasses
import warnings

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from labelled import make_labelled

from mdnnp.atoms.read import read_structures, stream_structures
from mdnnp.atoms.system import make_system
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import InputError, MdnnpWarning
from mdnnp.training.dataset import (
    LabelledStructure,
    as_labelled,
    data_hash,
    duplicate_groups,
    fit_offsets,
    read_labelled,
    resolve_weights,
    split,
)

VIRIAL = """2
Lattice="4 0 0 0 5 0 0 0 6" Properties=species:S:1:pos:R:3:forces:R:3 energy=-3.5 virial="12 0 0 0 -24 6 0 6 36" {}
H 0.0 0.1 0.2 0.01 0.02 0.03
O 1.0 1.1 1.2 -0.01 -0.02 -0.03
"""


def replaced(structure, **changes):
    return dataclasses.replace(structure, **changes)


def moved(structure, shift, **changes):
    system = structure.system
    return replaced(structure, system=system._replace(positions=system.positions + shift), **changes)


# Reading


def write_and_read(path, structures, **units):
    """Through a file that the package itself writes."""
    from ase.data import atomic_masses

    from mdnnp.atoms.structure import Structure

    full = [
        Structure(
            s.system,
            atomic_masses[s.system.numbers],
            energy=s.energy_eV,
            forces=s.forces,
            stress=s.stress,
            config_type=s.config_type,
        )
        for s in structures
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MdnnpWarning)  # input.data cannot hold stress
        write_structures(path, full, **units)
    return read_labelled(path, **units)


def test_extended_xyz_round_trip(tmp_path):
    structures = make_labelled(4)
    structures[1] = replaced(structures[1], config_type='a "b" \\ c', stress=None)
    structures[2] = replaced(structures[2], config_type="", forces=None)
    for before, after in zip(structures, write_and_read(tmp_path / "a.xyz", structures), strict=True):
        assert (after.energy_eV, after.config_type) == (before.energy_eV, before.config_type)
        for name in ("forces", "stress"):
            if getattr(before, name) is None:
                assert getattr(after, name) is None
            else:
                np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert read_labelled(tmp_path / "a.xyz")[3].name == f"{tmp_path / 'a.xyz'}:3"
    assert read_labelled(tmp_path / "a.xyz")[3].file == str(tmp_path / "a.xyz")


def test_input_data_round_trip(tmp_path):
    structures = make_labelled(3)
    structures[1] = replaced(structures[1], config_type="two words")
    again = write_and_read(tmp_path / "input.data", structures, length_unit="Bohr", energy_unit="Hartree")
    for before, after in zip(structures, again, strict=True):
        np.testing.assert_allclose(after.forces, before.forces, rtol=1e-14)
        np.testing.assert_allclose(after.system.positions, before.system.positions, rtol=1e-14, atol=1e-15)
        assert after.energy_eV == pytest.approx(before.energy_eV, rel=1e-15)
        assert after.config_type == before.config_type
        assert after.stress is None


def test_virial_labels_become_stress(tmp_path):
    (tmp_path / "a.xyz").write_text(VIRIAL.format('pbc="T T T"'))
    (s,) = read_labelled(tmp_path / "a.xyz")
    np.testing.assert_allclose(s.stress, -np.array([[12, 0, 0], [0, -24, 6], [0, 6, 36]]) / 120.0, rtol=1e-15)
    (tmp_path / "b.xyz").write_text(VIRIAL.replace('Lattice="4 0 0 0 5 0 0 0 6"', "").format('pbc="F F F"'))
    with pytest.raises(InputError, match="virial but no cell"):
        read_labelled(tmp_path / "b.xyz")


def test_names_like_labels_are_pointed_out_once_a_file(tmp_path):
    text = VIRIAL.replace(" energy=", " REF_energy=").replace("forces:R:3", "dft_force:R:3").format('pbc="T T T"')
    (tmp_path / "a.xyz").write_text(text * 3)
    with pytest.warns(MdnnpWarning, match=r"a\.xyz:0: 'REF_energy', 'dft_force' not used") as caught:
        structures = read_labelled(tmp_path / "a.xyz")
    assert sum("not used" in str(w.message) for w in caught) == 1
    assert any('keys = {energy = "REF_energy", forces = "dft_force"}' in str(w.message) for w in caught)
    assert all(s.energy_eV is None and s.forces is None for s in structures)


def test_streaming_gives_what_reading_gives(tmp_path):
    structures = [as_labelled(s) for s in read_structures_of_ase(tmp_path / "a.traj")]
    streamed = [as_labelled(s) for s in stream_structures(tmp_path / "a.traj")]
    assert data_hash(structures) == data_hash(streamed)
    assert [s.name for s in structures] == [s.name for s in streamed]


def read_structures_of_ase(path):
    frames = [bulk("Cu", cubic=True) for _ in range(4)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=k)
    ase.io.write(path, frames)
    return read_structures(path)


def test_streaming_is_lazy(tmp_path):
    """A damaged end does not keep the structures before it from being read: nothing is read ahead."""
    good = "begin\natom 0 0 0 H 0 0 0 0 1\nenergy 1\ncharge 0\nend\n"
    (tmp_path / "input.data").write_text(good * 2 + "begin\nnonsense\n")
    stream = stream_structures(tmp_path / "input.data", "Bohr", "Hartree")
    assert [next(stream).label for _ in range(2)] == [f"{tmp_path / 'input.data'}:{k}" for k in range(2)]
    with pytest.raises(InputError, match=r"input\.data:12"):
        next(stream)


# Duplicates


def test_duplicates_up_to_rounding_wrapping_and_rotation():
    structures = make_labelled(6)
    a = structures[2]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    system = a.system
    rotated = make_system(system.positions @ turn.T, system.numbers, system.cell @ turn.T, True)
    copies = [
        moved(a, np.round(a.system.positions, 4) - a.system.positions),
        moved(a, np.random.default_rng(2).integers(-2, 3, (8, 3)) * 4.2),
        replaced(a, system=rotated, forces=a.forces @ turn.T),
        a,
    ]
    others = [moved(a, np.eye(8, 3) * 0.01), replaced(a, system=system._replace(cell=system.cell * 1.002))]
    groups = duplicate_groups([*structures, *copies, *others])
    assert groups.tolist() == [0, 1, 2, 3, 4, 5, 2, 2, 2, 2, 10, 11]


def test_open_directions_do_not_wrap():
    positions = [[0, 0, 0], [1.0, 0.2, 0]]
    cluster = LabelledStructure(make_system(positions, [8, 1]), 1.0)
    shifted = LabelledStructure(make_system(np.add(positions, [1.0, 2.0, 3.0]), [8, 1]), 1.0)
    stretched = LabelledStructure(make_system([[0, 0, 0], [2.0, 0.2, 0]], [8, 1]), 1.0)
    assert duplicate_groups([cluster, shifted, stretched]).tolist() == [0, 0, 2]


def test_a_chain_of_copies_is_one_group():
    a = make_labelled(1)[0]
    near = moved(a, np.full((8, 3), 4e-4))
    assert duplicate_groups([a, near, near, a]).tolist() == [0, 0, 0, 0]


# Splits


def test_split_has_the_sizes_and_shares_that_were_asked_for():
    structures = make_labelled(60)
    parts = split(structures, 0.2, 0.1, seed=4)
    assert [len(part) for part in parts] == [42, 12, 6]
    assert sorted(np.concatenate(parts)) == list(range(60))
    kinds = np.array([s.config_type for s in structures])
    for kind, n in zip(*np.unique(kinds, return_counts=True), strict=True):
        assert abs(np.sum(kinds[parts.validation] == kind) - 0.2 * n) < 1
        assert abs(np.sum(kinds[parts.test] == kind) - 0.1 * n) < 1


def test_split_is_reproducible_whatever_the_order():
    structures = make_labelled(30)
    order = np.random.default_rng(1).permutation(30)
    parts, shuffled = split(structures, 0.2, 0.2, 1), split([structures[k] for k in order], 0.2, 0.2, 1)
    for a, b in zip(parts, shuffled, strict=True):
        assert sorted(a) == sorted(order[b])
    assert not np.array_equal(parts.validation, split(structures, 0.2, 0.2, 2).validation)
    # These very structures on any platform:
    assert split(make_grid(20), 0.2, 0.1, seed=7).validation.tolist() == [5, 6, 12, 13]


def make_grid(n):
    """Structures whose numbers are exact in binary."""
    return [LabelledStructure(make_system([[0, 0, 0], [1 + k / 16, 0, 0]], [8, 1]), -0.5 * k) for k in range(n)]


def test_duplicates_never_straddle_a_split():
    structures = make_labelled(20)
    structures += [moved(s, 1e-5, energy_eV=s.energy_eV + 1.0) for s in structures] + structures[:7]
    for seed in range(5):
        parts = split(structures, 0.3, 0.3, seed)
        assert sorted(np.concatenate(parts)) == list(range(47))
        assert min(map(len, parts)) > 5
        groups = duplicate_groups(structures)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert not set(groups[parts[a]]) & set(groups[parts[b]])


def test_every_kind_is_trained_on():
    structures = make_labelled(40)
    structures[5] = replaced(structures[5], config_type="rare")
    for seed in range(10):
        assert 5 in split(structures, 0.4, 0.4, seed).train


def test_split_of_nonsense():
    with pytest.raises(InputError, match="leaves no training structures"):
        split(make_labelled(4), 0.5, 0.5)
    with pytest.raises(InputError, match="validation_fraction = -1"):
        split(make_labelled(4), -1)


# Offsets


def compounds(formulas, energies, noise=0.0):
    """Structures of these atomic numbers whose energies are sums of those of the elements."""
    rng = np.random.default_rng(5)
    return [
        LabelledStructure(
            make_system(rng.uniform(0, 9, (len(z), 3)), z, [9, 9, 9], True), sum(energies[k] for k in z) + noise
        )
        for z in formulas
    ]


def test_offsets_of_varied_compositions_are_found():
    energies = {1: -13.5, 8: -2041.25, 29: -45.125}
    structures = compounds([[1, 1, 8], [8, 29], [29, 29, 1], [1, 8, 29, 29]], energies)
    offsets = fit_offsets(structures)
    assert list(offsets) == ["H", "O", "Cu"]
    assert list(offsets.values()) == pytest.approx([-13.5, -2041.25, -45.125], abs=1e-10)


def test_offset_of_one_element_is_the_mean_energy_per_atom():
    structures = [
        replaced(s, energy_eV=e) for s, e in zip(compounds([[14] * 2, [14] * 4], {14: 0}), (-3, -7), strict=True)
    ]
    assert fit_offsets(structures) == {"Si": pytest.approx((-1.5 - 1.75) / 2)}


def test_offsets_of_fixed_stoichiometry():
    """The smallest ones; about the energies of free atoms, if there are; those given stay."""
    water = compounds([[1, 1, 8]] * 3, {1: -1.0, 8: -4.0})
    assert fit_offsets(water) == {"H": pytest.approx(-6 * 2 / 5), "O": pytest.approx(-6 / 5)}
    atoms = [LabelledStructure(make_system([[0, 0, 0]], [z]), e) for z, e in ((1, -0.8), (8, -3.0))]
    bound = fit_offsets([*water, *atoms])
    # (-0.8, -3.0) + x (2, 1) with 2 H + O = -6
    assert bound == {"H": pytest.approx(-0.8 - 2 * 1.4 / 5), "O": pytest.approx(-3.0 - 1.4 / 5)}
    assert fit_offsets([*water, atoms[0]]) == fit_offsets(water)  # a free H alone says nothing of O
    assert fit_offsets(water, {"O": -5.0}) == {"H": pytest.approx(-0.5), "O": -5.0}
    assert fit_offsets(atoms) == {"H": -0.8, "O": -3.0}


def test_offsets_without_energies_and_nonsense():
    structures = [replaced(s, energy_eV=None) for s in make_labelled(2)]
    assert fit_offsets(structures) == {"O": 0.0, "Mg": 0.0}
    with pytest.raises(InputError, match="offset of 'Xx'"):
        fit_offsets(structures, {"Xx": 1.0})


# Weights, hash


def test_weights_by_type():
    structures = make_labelled(12)
    weights = resolve_weights(structures, {"surface": {"energy": 4, "force": 0.5}, "liquid": {"stress": 0}})
    for s, energy, force, stress in zip(structures, *weights, strict=True):
        assert energy == (4 if s.config_type == "surface" else 1)
        assert force == (0.5 if s.config_type == "surface" else 1)
        assert stress == (0 if s.config_type == "liquid" else 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"liqiud": {"energy": 1}}, "'liqiud': no configuration is of this type; the types are 'crystal', 'liquid'"),
        ({"liquid": {"energies": 1}}, "unknown quantity 'energies'"),
        ({"liquid": {"energy": -1}}, "energy = -1; expected a number from 0"),
        ({"liquid": {"energy": float("nan")}}, "energy = nan"),
    ],
)
def test_weights_that_make_no_sense(given, message):
    with pytest.raises(InputError, match=message):
        resolve_weights(make_labelled(12), given)


def test_hash_is_of_the_content():
    structures = make_labelled(5)
    same = [replaced(s, name="elsewhere.xyz:0") for s in reversed(structures)]
    assert data_hash(structures) == data_hash(same)
    assert len(data_hash(structures)) == 64
    a = structures[2]
    forces = a.forces.copy()
    forces[3, 1] = np.nextafter(forces[3, 1], 9)
    changes = ({"energy_eV": None}, {"forces": forces}, {"stress": None}, {"config_type": "x"})
    hashes = {data_hash([*structures[:2], replaced(a, **change), *structures[3:]]) for change in changes}
    assert len(hashes | {data_hash(structures), data_hash(structures[:4]), data_hash([*structures, a])}) == 7
