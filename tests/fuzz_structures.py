"""Files of structures with seeded faults; `python tests/fuzz_structures.py N [FIRST]` counts what becomes of them."""

import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from mdnnp.atoms.read import read_structures
from mdnnp.atoms.unit_suspicion import unit_suspicion
from mdnnp.base.errors import MdnnpError

XYZ = """3
Lattice="7 0 0 1 8 0 0.5 0.25 9" Properties=species:S:1:pos:R:3:f:R:3 energy=-3 stress="1 0 0 0 1 0 0 0 1" pbc="T T F"
H 0.0 0.1 0.2 0.01 0.02 0.03
O 1.0 1.1 0.2 -0.01 -0.02 -0.03
H 1.9 1.8 0.3 0.0 0.0 0.0
2
Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:masses:R:1 config_type="a b" virial="1 0 0 0 1 0 0 0 1"
Cu 0 0 0 63.5
Cu 2.5 2.5 0 62.9
"""
I_PI = """2
# CELL(abcABC):  20.0  20.0  20.0  90.0  90.0  90.0  Step: 0  Bead:  0 positions{angstrom}  cell{atomic_unit}
O 0.0 0.0 0.0
H 0.9 0.1 0.0
"""
POSCAR = """salt
5.64
0.0 0.5 0.5
0.5 0.0 0.5
0.5 0.5 0.0
Na Cl
1 1
Direct
0.0 0.0 0.0
0.5 0.5 0.5
"""
N2P2 = """begin set=train
comment made up config_type=bulk
lattice 5 0 0
lattice 0 6 0
lattice 1 0 7.5
atom 0.1 0.2 0.3 O -0.5 0.0 1e-3 -2.5 3
atom 1.9 2.0 3.0 H 0.25 0.0 0 0 0
energy -76.5
charge 0
end
begin position(3) element charge magmom force(3)
atom 0.1 0.2 0.3 O -0.5 0.0 1e-3 -2.5 3
energy -76.5
end
"""
FILES = (("a.xyz", XYZ), ("ipi.xyz", I_PI), ("POSCAR", POSCAR), ("input.data", N2P2))
WORDS = (
    "nan", "inf", "-inf", "1e400", "-1e308", "1e-308", "1e-5", "0", "-1", "1e9", "****", "1.0D-02", "0x10", "1_000",
    "٣", "²", "9" * 5000, "0." + "1" * 5000, "1e" + "9" * 400, "1000000000", "4294967297", "\x1b[2J", "\x00", "\ufeff",
    "\r", "X", "Qq", '"', "'", "{", "}", "=", "_JSON {}", "_JSON [", "T", "pbc=T", "move_mask:L:1", "Z:I:1",
    "pos:R:99999", "Lattice", "end", "begin", "Selective dynamics", "Cartesian", "VEC1 1 0 0", "a" * 20_000, "%s%n",
    "1.5", "0.01", "2", "12", "-3.25", "H", "O", "2e3", "1e-2",
)  # fmt: skip
LIMIT_S = 10.0  # of this process: the machine may have other work


def mutated(text: str, rng: random.Random) -> str:
    """The text with one to three faults."""
    for _ in range(rng.randint(1, 3)):
        lines, kind = text.split("\n"), rng.randrange(15)
        row = rng.randrange(len(lines))
        words = lines[row].split(" ")
        if kind <= 6:
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            lines[row] = " ".join(words)
        elif kind == 7:
            del lines[row]
        elif kind == 8:
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
        elif kind == 9:
            del words[rng.randrange(len(words))]
            lines[row] = " ".join(words)
        elif kind <= 13:
            at = rng.randrange(len(lines[row]) + 1)
            lines[row] = (
                lines[row][:at] + rng.choice(WORDS + tuple('0123456789.-"\t ')) + lines[row][at + rng.randint(0, 2) :]
            )
        else:
            lines = "\n".join(lines)[: rng.randrange(len(text) + 1)].split("\n")
        text = "\n".join(lines) or " "
    return text


def outcome(folder: Path, seed: int) -> tuple[str, str]:
    """What becomes of the mutation of a seed, "read", "refused" or a fault of the program; and the details."""
    rng = random.Random(seed)
    name, text = FILES[seed % len(FILES)]
    path = folder / name
    path.write_bytes(mutated(text, rng).encode("utf-8", "surrogatepass"))
    started, found, details = time.process_time(), "read", ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for structure in read_structures(path, ":", "Bohr", "Hartree"):
                unit_suspicion(structure)
        except MdnnpError as error:
            found, details = "refused", str(error)
            if any(ord(c) < 32 and c != "\n" for c in details):
                found = "control characters in a message"
            elif len(details) > 2000:
                found = "a message without end"
        except Exception:
            found, details = "internal error", traceback.format_exc()
    if time.process_time() - started > LIMIT_S:
        found = "slow"
    return found, details


def main(count: int, first: int = 0) -> None:
    """Count outcomes of mutations, and print the faults."""
    counts = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            found, details = outcome(Path(folder), seed)
            counts[found] += 1
            if found not in ("read", "refused"):
                print(seed, found, details[-1500:], flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
