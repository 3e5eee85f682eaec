"""input.data: read and written to the bit; every mistake is refused by file and line."""

import dataclasses

import numpy as np
import pytest
from places import GOLDEN

from mdnnp.atoms.input_data import DataBlock, is_input_data, read_input_data, write_input_data
from mdnnp.base.errors import FileError, InputError

SHORT_RANGE = sorted(d.name for d in GOLDEN.iterdir() if d.is_dir() and not d.name.startswith("q"))

BLOCK = """begin set=train
comment made up
lattice 5 0 0
lattice 0 6 0
lattice 1 0 7.5
atom 0.1 0.2 0.3 O -0.5 0.0 1e-3 -2.5 3
atom 1.0 2.0 3.0 H 0.25 0.0 0 0 0
energy -76.5
charge 0
end
"""


def replaced(old: str, new: str) -> str:
    assert old in BLOCK
    return BLOCK.replace(old, new, 1)


def blocks_of(tmp_path, text: str | bytes) -> list[DataBlock]:
    file = tmp_path / "input.data"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_input_data(file))


def test_block(tmp_path):
    first, second = blocks_of(tmp_path, "# two structures\n\n" + BLOCK + "begin\natom 0 0 0 S 0 0 0 0 0\nend\n")
    assert (first.symbols, first.subset, first.comment, first.energy, first.line) == (
        ("O", "H"),
        "train",
        "made up",
        -76.5,
        3,
    )
    np.testing.assert_array_equal(first.lattice, [[5, 0, 0], [0, 6, 0], [1, 0, 7.5]])
    np.testing.assert_array_equal(first.positions, [[0.1, 0.2, 0.3], [1, 2, 3]])
    np.testing.assert_array_equal(first.forces, [[1e-3, -2.5, 3], [0, 0, 0]])
    np.testing.assert_array_equal(first.charges, [-0.5, 0.25])
    assert (second.lattice, second.energy, second.subset, second.charge, second.line) == (
        None,
        None,
        None,
        0.0,
        13,
    )


def test_block_with_bom_and_crlf(tmp_path):
    (plain,) = blocks_of(tmp_path, BLOCK)
    (other,) = blocks_of(tmp_path, b"\xef\xbb\xbf" + BLOCK.replace("\n", "\r\n").encode())
    assert_blocks_equal(plain, other)


def assert_blocks_equal(a: DataBlock, b: DataBlock) -> None:
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.tobytes() == y.tobytes(), field.name
        elif field.name != "line":
            assert x == y, field.name


@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        (
            "begin set=train",
            "begin set=valid",
            (":1:", "expected 'begin', 'begin set=train'", "'begin set=valid'"),
        ),
        ("begin set=train", "begin train", (":1:", "'begin train'")),
        ("begin set=train\n", "", (":1:", "expected 'begin', found 'comment'")),
        ("lattice 5 0 0\n", "", (":9:", "begins at line 1 has 2 lattice lines")),
        ("lattice 5 0 0", "lattice 5 0 0\nlattice 5 0 0", (":6:", "a fourth lattice line")),
        ("lattice 5 0 0", "lattice 5 0", (":3:", "lattice: expected 3 numbers, found 2")),
        ("lattice 5 0 0", "lattice 5 0 nan", (":3:", "found 'nan'")),
        (
            "atom 0.1 0.2 0.3 O -0.5 0.0 1e-3 -2.5 3",
            "atom 0.1 0.2 0.3 O -0.5 0.0 1e-3 -2.5",
            (":6:", "(10 words), found 9"),
        ),
        ("atom 0.1 0.2 0.3 O", "atom 0.1 0.2 0.3 Q", (":6:", "'Q' is no chemical element")),
        ("atom 0.1 0.2 0.3 O", "atom 0.1 0.2 0.3 X", (":6:", "'X' is no chemical element")),
        ("atom 0.1 0.2 0.3 O", "atom 0.1 inf 0.3 O", (":6:", "expected a number, found 'inf'")),
        ("energy -76.5", "energy", (":8:", "energy: expected 1 number, found 0")),
        ("energy -76.5", "energy -76.5\nenergy 1", (":9:", "'energy' is given again; first given at line 8")),
        ("energy -76.5", "enrgy -76.5", (":8:", "unknown keyword 'enrgy'", "energy, charge, end")),
        ("end\n", "", ("ends within the structure that begins at line 1", "'end' is missing")),
        ("end\n", "begin\nend\n", (":10:", "'begin' within the structure that begins at line 1")),
        ("end\n", "end of it\n", (":10:", "expected 'end' alone")),
        ("end\n", "end\nbegin\nend\n", (":12:", "begins at line 11 has no atoms")),
        ("end\n", "end\nenergy 1\n", (":11:", "expected 'begin', found 'energy'")),
    ],
)
def test_block_refusals(tmp_path, old, new, fragments):
    with pytest.raises(InputError) as caught:
        blocks_of(tmp_path, replaced(old, new))
    for fragment in (str(tmp_path / "input.data"), *fragments):
        assert fragment in str(caught.value)


def test_blocks_come_one_by_one(tmp_path):
    """A mistake far down does not keep the structures before it."""
    (tmp_path / "input.data").write_text(BLOCK + "nonsense\n")
    blocks = read_input_data(tmp_path / "input.data")
    assert next(blocks).energy == -76.5
    with pytest.raises(InputError, match=r"input\.data:11: expected 'begin'"):
        next(blocks)


def test_missing_data_file(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        next(read_input_data(tmp_path / "nothing"))


@pytest.mark.parametrize("name", SHORT_RANGE)
def test_data_round_trip(name, tmp_path):
    blocks = list(read_input_data(GOLDEN / name / "input.data"))
    write_input_data(tmp_path / "out.data", blocks)
    again = list(read_input_data(tmp_path / "out.data"))
    assert len(again) == len(blocks)
    for a, b in zip(blocks, again, strict=True):
        assert_blocks_equal(a, b)


def test_data_round_trip_of_every_field(tmp_path):
    rng = np.random.default_rng(3)
    blocks = [
        DataBlock(rng.normal(size=(2, 3)), ("H", "Cu"), rng.normal(size=(3, 3)), rng.normal(size=(2, 3)),
                  -1 / 3, rng.normal(size=2), 0.1 + 0.2, "one\ntwo  words", "test"),
        DataBlock(rng.normal(size=(1, 3)) * 1e-300, ("Og",), None, np.zeros((1, 3)), None, np.zeros(1)),
    ]  # fmt: skip
    write_input_data(tmp_path / "out.data", blocks)
    for a, b in zip(blocks, read_input_data(tmp_path / "out.data"), strict=True):
        assert_blocks_equal(a, b)
    atom = next(r for r in (tmp_path / "out.data").read_text().splitlines() if r.startswith("atom")).split()
    assert len(atom) == 10 and float(atom[6]) == 0.0


def test_data_is_not_overwritten_or_spoiled(tmp_path):
    (block,) = blocks_of(tmp_path, BLOCK)
    with pytest.raises(FileError, match="exists already"):
        write_input_data(tmp_path / "input.data", [block])
    bad = dataclasses.replace(block, forces=block.forces * np.nan)
    with pytest.raises(InputError, match="structure 1: holds numbers that are not finite"):
        write_input_data(tmp_path / "input.data", [block, bad], overwrite=True)
    assert (tmp_path / "input.data").read_text() == BLOCK  # as it was
    assert sorted(p.name for p in tmp_path.iterdir()) == ["input.data"]
    write_input_data(tmp_path / "input.data", [block, block], overwrite=True)
    assert len(list(read_input_data(tmp_path / "input.data"))) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"begin\n", True),
        (b"\xef\xbb\xbf\r\n# remark\r\n  begin set=test\r\n", True),
        (b"LAMMPS data file\n\n8 atoms\n", False),
        (b"beginning\n", False),
        (b"", False),
        (b"\x00\xff\xfe", False),
    ],
)
def test_recognised_by_content(tmp_path, content, expected):
    (tmp_path / "x.data").write_bytes(content)
    assert is_input_data(tmp_path / "x.data") is expected
    assert is_input_data(tmp_path / "nothing") is False
