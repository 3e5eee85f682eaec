"""Stored descriptors: the same as finite differences, found again by their key, split into parts without a seam."""

import numpy as np
import pytest
from labelled import make_labelled

from mdnnp.atoms.quantities import VOIGT
from mdnnp.atoms.system import make_system
from mdnnp.base.errors import FileError
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import default_functions
from mdnnp.training.descriptor_store import store_descriptors, structure_part, symbols_of


@pytest.fixture(scope="module")
def systems():
    return [s.system for s in make_labelled(n=3)]  # cells of 4.2 Å: neighbours are images of the atom itself, too


@pytest.fixture(scope="module")
def descriptors(systems):
    return Descriptors(default_functions(symbols_of(systems), 4.5, radial=3, angular=2, max_zeta=2))


def test_pairs_are_the_derivatives_by_positions(systems, descriptors):
    system, h = systems[0], 1e-5
    part = structure_part(system, descriptors, "Mg")
    n, f = part.values.shape
    dense = np.zeros((n, len(system), 3, f))
    for k in range(len(system)):
        for m in range(part.pair_first[k], part.pair_first[k + 1]):
            dense[part.pair_center[m], k] += part.pair_gradient[m]
    for k, axis in ((0, 0), (3, 1), (7, 2)):
        change = []
        for sign in (1, -1):
            positions = system.positions.copy()
            positions[k, axis] += sign * h
            change.append(descriptors.values(system._replace(positions=positions))["Mg"])
        assert np.allclose(dense[:, k, axis], (change[0] - change[1]) / (2 * h), atol=1e-8)
    assert np.abs(dense).max() > 0.1
    assert np.allclose(dense.sum(axis=1), 0.0, atol=1e-12)  # a shift of all atoms changes nothing


def test_strain_derivative(systems, descriptors):
    system, h = systems[1], 1e-5
    part = structure_part(system, descriptors, "O")
    for v, (a, b) in enumerate(VOIGT):
        change = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += 0.5 * sign * h
            strain[b, a] += 0.5 * sign * h
            moved = make_system(system.positions @ strain, system.numbers, system.cell @ strain, system.pbc)
            change.append(descriptors.values(moved)["O"])
        assert np.allclose(part.strain[:, v], (change[0] - change[1]) / (2 * h), atol=1e-7)


def test_parts_of_a_store_are_those_of_its_structures(tmp_path, systems, descriptors):
    stored = store_descriptors(tmp_path / "d", systems, descriptors, np.float64)
    assert len(stored) == 3 and stored.elements == ("O", "Mg")
    for symbol in stored.elements:
        both = stored.part(symbol, 1, 3)
        second = structure_part(systems[2], descriptors, symbol)
        n, m = both.structure_first[1], both.pair_first[len(systems[1])]
        assert np.array_equal(both.values[n:], second.values)
        assert np.array_equal(both.pair_center[m:] - n, second.pair_center)
        assert np.array_equal(both.pair_gradient[m:], second.pair_gradient)
        assert np.array_equal(both.strain[n:], second.strain)


def test_a_store_is_found_again_by_its_key_alone(tmp_path, systems, descriptors):
    first = store_descriptors(tmp_path / "d", systems, descriptors)
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "d").iterdir()}
    assert store_descriptors(tmp_path / "d", systems, descriptors).key == first.key
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "d").iterdir()} == written
    other = store_descriptors(tmp_path / "d", systems[:2], descriptors)
    assert len(other) == 2 and other.key != first.key


def test_an_unfinished_store_is_made_anew(tmp_path, systems, descriptors):
    with pytest.raises(ZeroDivisionError):
        store_descriptors(tmp_path / "d", systems, descriptors, progress=lambda items: (1 / 0 for _ in items))
    assert len(store_descriptors(tmp_path / "d", systems, descriptors)) == 3


def test_what_cannot_be_written_is_said(tmp_path, systems, descriptors):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be stored"):
        store_descriptors(tmp_path / "file" / "d", systems, descriptors)
