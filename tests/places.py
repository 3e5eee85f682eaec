"""Where things are."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
SILICON = ROOT / "inputs" / "silicon"  # structures with DFT labels, and a potential trained on them
