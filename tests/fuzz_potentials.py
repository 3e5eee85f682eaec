"""Potential directories with random faults: a seed gives the same directory everywhere."""

import contextlib
import shutil
import warnings
from pathlib import Path

import numpy as np

from mdnnp.atoms.system import make_system
from mdnnp.base.errors import FileError, InputError, PhysicsError
from mdnnp.potentials.load import load_potential

GOLDEN = Path(__file__).parent / "golden"
SOURCES = ("all1", "all4", "big1", "b_t2", "b_t9", "norm", "tv")
WORDS = (
    *("", "0", "-1", "1", "2", "12", "64", "4096", "6.0", "1.0", "1e5", "1e20", "1e308", "-1e308", "1e-308", "1e999"),
    *("9" * 5000, "-" + "9" * 5000, "0." + "3" * 5000, "1000000000", "9223372036854775808", "a" * 100000),
    *("nan", "inf", "1_000", "0x10", "1.0d0", "1e", "+", "-", ".", "é", "\x00", "\ufeff", "٣", "#", "!"),
    *("H", "O", "S", "X", "Xx", "t", "l", "e", "p2a"),
)
LINES = (
    "global_symfunction_short 2 0.1 0.0 5.0",
    "global_symfunction_short 9 0.1 1 4096 5.0",
    "element_symfunction_short O 3",
    "element_symfunction_short O 3 0.1 1 1 5.0",
    "element_nodes_short O 1 5",
    "element_hidden_layers_short H 100000000",
    "global_hidden_layers_short 1000000000000",
    "global_nodes_short 1000000000 1000000000",
    "fc_cosine 1 0 12",
    "fc_cosine",
    "symfunction_short",
    "symfunction_short O 9 H O 0.1 1 1e9 5.0",
    "cutoff_alpha 0.5",
    "cutoff_type 6.0",
    "nnp_type 4",
    "normalize_nodes",
    "scale_symmetry_functions",
    "scale_symmetry_functions_sigma",
    "default_nodes",
    "conv_length 1e-300",
    "mean_energy 1e300\nconv_energy 1e-300\nconv_length 1",
    "atom_energy O 1e308",
    "elements",
    "number_of_elements -1",
)


def spoil(directory: Path, seed: int) -> None:
    """Write one of the golden potentials to `directory`, with one fault or two."""
    rng = np.random.default_rng(seed)
    shutil.copytree(GOLDEN / SOURCES[rng.integers(len(SOURCES))], directory)
    for _ in range(rng.integers(1, 3)):
        files = sorted(
            p for p in directory.iterdir() if p.name.startswith(("input.nn", "scaling", "weights", "optweights"))
        )
        if not files:
            return
        file = files[rng.integers(len(files))] if rng.random() < 0.5 else directory / "input.nn"
        if file.is_file():
            _spoil_file(file, rng)


def _spoil_file(file: Path, rng: np.random.Generator) -> None:
    data = file.read_bytes()
    kind = rng.choice(10, p=[0.01, 0.01, 0.02, 0.04, 0.1, 0.07, 0.05, 0.15, 0.25, 0.3])
    if kind == 0:
        file.unlink()
    elif kind == 1:
        file.unlink()
        file.mkdir()
    elif kind == 2:
        file.rename(file.with_name("opt" + file.name.replace(".data", ".out")))
    elif kind == 3:
        at = int(rng.integers(len(data) + 1))
        file.write_bytes(data[:at])
    elif kind == 4:
        raw = bytearray(data)
        for at in rng.integers(len(raw), size=3) if raw else ():
            raw[at] = rng.integers(256)
        file.write_bytes(bytes(raw))
    else:
        rows = data.decode(errors="replace").splitlines() or [""]
        at = int(rng.integers(len(rows)))
        if kind == 5:
            del rows[at]
        elif kind == 6:
            rows[at:at] = [rows[rng.integers(len(rows))]] * int(rng.choice([1, 2, 1000]))
        elif kind == 7:
            rows[at:at] = [LINES[rng.integers(len(LINES))]]
        elif kind == 8:
            factor = float(f"1e{rng.choice([-300, -20, -4, -1, 1, 4, 20, 300])}")
            words = rows[at].split() or [""]
            word = rng.integers(len(words))
            with contextlib.suppress(ValueError):
                words[word] = repr(float(words[word]) * factor)
            rows[at] = " ".join(words)
        else:
            words = rows[at].split() or [""]
            words[rng.integers(len(words))] = WORDS[rng.integers(len(WORDS))]
            rows[at] = " ".join(words)
        file.write_bytes("\n".join(rows).encode())


def outcome(directory: Path, compute: bool = False) -> str:
    """What loading (and computing a molecule) ends in: "read", or the name of the error; others are not caught."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            potential = load_potential(directory, "Angstrom", "eV")
            if compute:
                numbers = np.resize(potential.numbers, 3)
                positions = [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]]
                results = potential.compute(make_system(positions, numbers, np.zeros((3, 3)), False))
                assert np.isfinite(results.energy) and np.isfinite(results.forces).all()
    except (InputError, FileError, PhysicsError) as error:
        assert 0 < len(str(error)) < 20_000  # what it quotes of the file is cut
        return type(error).__name__
    return "read"
