"""Set-up of the test run."""

import os
from pathlib import Path

import pytest
from small_inputs import folder  # noqa: F401 (a fixture, of which some files have their own)

ROOT = Path(__file__).resolve().parent.parent

SHARED = Path(os.environ.get("MDNNP_REFERENCE", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with other people's potentials and data, which may be read but not shipped."""
    if not (SHARED / "potentials").is_dir():
        pytest.skip(f"reference potentials and data are not at {SHARED} (they may not be shipped)")
    return SHARED
