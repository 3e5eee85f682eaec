"""Random faults in potential directories end in an error of ours, soon and in little memory."""

import shutil
import tracemalloc
from collections import Counter

import pytest
from fuzz_potentials import outcome, spoil


def check(tmp_path, seeds, compute_every: int) -> Counter:
    counts = Counter()
    for seed in seeds:
        directory = tmp_path / f"seed-{seed}"  # its name tells of the seed if something is raised
        spoil(directory, seed)
        counts[outcome(directory, compute=seed % compute_every == 0)] += 1
        shutil.rmtree(directory)
    return counts


def test_spoiled_potentials(tmp_path):
    counts = check(tmp_path, range(100), compute_every=8)
    assert counts["read"] > 5 and counts["InputError"] > 60


@pytest.mark.slow
def test_thousands_of_spoiled_potentials(tmp_path):
    check(tmp_path, range(8), compute_every=1)  # compiles
    tracemalloc.start()
    try:
        counts = check(tmp_path, range(1000, 6000), compute_every=2)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert counts["read"] > 200 and counts["InputError"] > 2500


@pytest.mark.parametrize("digits", [19, 5000])
def test_integers_of_any_length(tmp_path, digits):
    """int() itself refuses more than 4300 digits, with an error of its own."""
    spoil(tmp_path / "potential", 3)
    (tmp_path / "potential" / "input.nn").write_text(f"number_of_elements {'9' * digits}\nelements H\n")
    assert outcome(tmp_path / "potential") == "InputError"
