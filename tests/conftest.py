"""Set-up of the test run."""

from pathlib import Path

import pytest
from reference_data import REAL
from small_inputs import folder  # noqa: F401 (a fixture, of which some files have their own)


@pytest.fixture(scope="session")
def water_made_here(tmp_path_factory) -> Path:
    """Directory of `water.write_water`."""
    from water import write_water  # loads compiled kernels, which not all tests need

    return write_water(tmp_path_factory.mktemp("potentials") / "water")


@pytest.fixture(scope="session", params=["made here", *(name for name in REAL if name.startswith("H2O"))])
def water(request) -> Path:
    """Directory of a potential for water, with a structure: that made here, and that of others where it is there."""
    return REAL[request.param][0] if request.param in REAL else request.getfixturevalue("water_made_here")
