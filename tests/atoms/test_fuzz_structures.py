"""Files of structures with faults are read or refused with a message: no internal error, no hang, no flood."""

import pytest
from ase.build import bulk
from fuzz_structures import outcome

from mdnnp.atoms.structure import from_atoms
from mdnnp.atoms.unit_suspicion import unit_suspicion


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Kernels are compiled before the time counts."""
    unit_suspicion(from_atoms(bulk("Cu")))


@pytest.mark.parametrize("first", [0, 100_000])
def test_faults_are_refused(tmp_path, first):
    found = {seed: outcome(tmp_path, seed) for seed in range(first, first + 60)}
    assert {seed: own for seed, own in found.items() if own[0] not in ("read", "refused")} == {}
    assert {own[0] for own in found.values()} == {
        "read",
        "refused",
    }  # the faults are neither all harmless nor all fatal


def test_messages_stay_short(tmp_path):
    assert outcome(tmp_path, 1000)[0] == "refused"  # a column's name of 20,000 characters


@pytest.mark.slow
def test_many_faults_are_refused(tmp_path):
    found = {seed: outcome(tmp_path, seed) for seed in range(200_000, 206_000)}
    assert {seed: own for seed, own in found.items() if own[0] not in ("read", "refused")} == {}
