"""Set-up of the test run: compiled code is cached under a hash of the sources, so that no stale kernel is tested."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

if "NUMBA_CACHE_DIR" not in os.environ:
    digest = hashlib.sha256()
    for source in sorted((ROOT / "mdnnp").rglob("*.py")):
        digest.update(source.read_bytes())
    os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / f"mdnnp-numba-{digest.hexdigest()[:16]}")

SHARED = Path(os.environ.get("MDNNP_REFERENCE", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with other people's potentials and data, which may be read but not shipped."""
    if not (SHARED / "potentials").is_dir():
        pytest.skip(f"reference potentials and data are not at {SHARED} (they may not be shipped)")
    return SHARED
