"""Potential directories: good ones are read and written to the bit, mistakes refused by name and line."""

import dataclasses
import math
import re
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_numbers
from places import GOLDEN
from reference_data import REAL

from mdnnp.atoms.input_data import read_input_data
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.potentials.hdnnp.description import ingredients
from mdnnp.potentials.hdnnp.files import SIDECAR, read_potential, write_potential
from mdnnp.potentials.hdnnp.files.keywords import ALIASES, IGNORED, MODEL, REFUSED
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.model import HDNNPModel, scaling_coefficients, without_spread
from mdnnp.potentials.hdnnp.networks import ACTIVATIONS

SHORT_RANGE = sorted(d.name for d in GOLDEN.iterdir() if d.is_dir() and not d.name.startswith("q"))
UNITS = ("Bohr", "Hartree")


def read(directory: Path) -> HDNNPModel:
    return read_potential(directory, *UNITS)


@pytest.fixture
def potential(tmp_path) -> Path:
    """A good directory (three elements, 19 functions each, networks 19-4-3-1) that a test may spoil."""
    return copied(tmp_path, "big1")


def copied(tmp_path: Path, name: str) -> Path:
    directory = tmp_path / "potential"
    directory.mkdir()
    for file in (GOLDEN / name).iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


def replace(old: str, new: str, count: int = 1):
    """A mutation of a file's text; `old` must occur."""

    def mutate(text):
        assert old in text
        return text.replace(old, new, count)

    return mutate


def edit(file: Path, mutate) -> None:
    file.write_text(mutate(file.read_text()))


def line_of(file: Path, start: str) -> int:
    return next(n for n, row in enumerate(file.read_text().splitlines(), start=1) if row.startswith(start))


def refused(directory: Path, *fragments: str) -> str:
    """The message of the InputError that reading must raise; it must hold all fragments."""
    with pytest.raises(InputError) as caught:
        read(directory)
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message, f"{fragment!r} is not in: {message}"
    return message


def assert_same(a: HDNNPModel, b: HDNNPModel) -> None:
    """Equal to the last bit, apart from where they were read."""
    for field in dataclasses.fields(a):
        if field.name not in ("source", "elements"):
            assert getattr(a, field.name) == getattr(b, field.name), field.name
    assert list(a.elements) == list(b.elements)
    for p, q in zip(a.elements.values(), b.elements.values(), strict=True):
        assert p.functions == q.functions
        assert p.atom_energy == q.atom_energy
        assert p.scaling.tobytes() == q.scaling.tobytes()
        assert p.network.activations == q.network.activations
        assert p.network.normalize_nodes == q.network.normalize_nodes
        for u, v in zip(p.network.weights + p.network.biases, q.network.weights + q.network.biases, strict=True):
            assert u.shape == v.shape and u.tobytes() == v.tobytes()


# -----------------------------------------------------------------------------------------------------------
# What is read


@pytest.mark.parametrize("name", SHORT_RANGE)
def test_golden_counts(name):
    """As many functions as n2p2 printed values for an atom of the element, and inputs of its network."""
    model = read(GOLDEN / name)
    rows = [len(row.split()) for row in (GOLDEN / name / "functions.out").read_text().splitlines() if row[0] != "#"]
    atoms = next(read_input_data(GOLDEN / name / "input.data")).symbols
    assert rows == [len(model.elements[symbol].functions) for symbol in atoms]
    assert list(model.elements) == sorted(model.elements, key=atomic_numbers.get)
    for element in model.elements.values():
        assert list(element.functions) == sorted(element.functions, key=SymmetryFunction.sort_key)
        assert element.scaling.shape == (len(element.functions), 4)
        assert element.network.weights[0].shape[0] == len(element.functions)


def test_fields():
    model = read(GOLDEN / "all1")
    assert (model.cutoff_type, model.cutoff_alpha, model.scaling_mode) == (1, 0.2, "center")
    assert (model.scale_min, model.scale_max) == (-0.5, 1.5)
    assert (model.normalized, model.mean_energy, model.conv_energy, model.conv_length) == (
        True,
        -1.25,
        3.7,
        1.7,
    )
    assert (model.length_unit, model.energy_unit) == UNITS
    assert {s: e.atom_energy for s, e in model.elements.items()} == {"H": 0.0, "O": -3.5, "S": 0.0}
    network = model.elements["O"].network
    assert network.normalize_nodes and network.activations == "pgl"
    assert [w.shape for w in network.weights] == [(19, 4), (4, 3), (3, 1)]
    plain = read(GOLDEN / "all4")
    assert not plain.normalized and (plain.mean_energy, plain.conv_energy, plain.conv_length) == (
        0.0,
        1.0,
        1.0,
    )


def test_order_of_functions():
    """The order of the table in the format's description; the file lists the functions in another one."""
    expected = """2 S 0.02 0.0 5.0; 2 H 0.5 0.0 6.0; 2 H 0.5 1.0 6.0
        3 H H 0.03 1 4.0 6.0; 3 H S 0.05 1 2.0 6.0; 3 H S 0.05 -1 2.5 6.0 0.7
        9 H H 0.03 -1 1.5 6.0 0.7; 9 H S 0.05 1 2.0 6.0; 12 0.1 0.5 6.0; 13 0.03 0.2 1 3.5 6.0
        20 S -6.0 6.0 e; 20 H 0.5 4.0 p2; 20 H 0.0 5.0 p3a; 21 H S 0.2 6.0 20 160 p1
        21 H H -6.0 6.0 60 300 p4; 22 H H 0.1 5.5 -150 150 e; 22 H S 0.4 5.0 30 110 p2a
        23 0.1 6.0 p2; 24 0.1 6.0 40 160 p2; 25 0.1 6.0 30 150 p3a"""
    expected = [row.split() for row in re.split("[;\n]", expected)]
    found = read(GOLDEN / "tv").elements["O"].functions
    assert [words(f) for f in found] == [[float(w) if not w[0].isalpha() else w for w in row] for row in expected]
    lines = [row.split()[2:] for row in (GOLDEN / "tv" / "input.nn").read_text().splitlines() if "short O" in row]
    assert lines != expected


def words(f: SymmetryFunction) -> list:
    """Numbers and names of a symfunction_short line after the centre, as the type's description says."""
    gauss = [f.eta, f.lam, f.zeta, f.cutoff, *([f.rs] if f.rs else [])]
    after = {
        2: [*f.neighbors, f.eta, f.rs, f.cutoff],
        3: [*f.neighbors, *gauss],
        9: [*f.neighbors, *gauss],
        12: [f.eta, f.rs, f.cutoff],
        13: [f.eta, f.rs, f.lam, f.zeta, f.cutoff],
        20: [*f.neighbors, f.rl, f.cutoff, f.subtype],
        21: [*f.neighbors, f.rl, f.cutoff, f.theta_l, f.theta_r, f.subtype],
        22: [*f.neighbors, f.rl, f.cutoff, f.theta_l, f.theta_r, f.subtype],
        23: [f.rl, f.cutoff, f.subtype],
        24: [f.rl, f.cutoff, f.theta_l, f.theta_r, f.subtype],
        25: [f.rl, f.cutoff, f.theta_l, f.theta_r, f.subtype],
    }
    return [float(f.type), *after[f.type]]


def test_radial_functions_of_golden_by_hand():
    """Radial functions summed here, from the parameters read, are n2p2's numbers at the same places."""
    model = read(GOLDEN / "tv")  # cutoff type 6 with alpha 0.3, no scaling
    block = next(read_input_data(GOLDEN / "tv" / "input.data"))
    rows = [row.split() for row in (GOLDEN / "tv" / "functions.out").read_text().splitlines() if row[0] != "#"]

    def cutoff(r, rc):
        x = max(0.0, (r - 0.3 * rc) / (0.7 * rc))
        return ((15 - 6 * x) * x - 10) * x**3 + 1 if r < rc else 0.0

    checked = 0
    for a, row in enumerate(rows):
        distances = np.linalg.norm(block.positions - block.positions[a], axis=1)
        for f, printed in zip(model.elements[block.symbols[a]].functions, row, strict=True):
            if f.type in (2, 12):
                value = sum(
                    (atomic_numbers[s] if f.type == 12 else s in f.neighbors)
                    * math.exp(-f.eta * (r - f.rs) ** 2)
                    * cutoff(r, f.cutoff)
                    for b, (s, r) in enumerate(zip(block.symbols, distances, strict=True))
                    if b != a
                )
                assert f"{value:.8E}" == printed
                checked += 1
    assert checked == 7


def test_weights_in_file_order(potential):
    """w(source -> target) row by row, then the biases, layer after layer."""
    (potential / "weights.008.data").write_text("# comment\n\n" + "\n".join(f"{n} a junk 7" for n in range(99)) + "\n")
    network = read(potential).elements["O"].network
    assert network.weights[0][2, 1] == 2 * 4 + 1
    assert network.biases[0].tolist() == [76.0, 77.0, 78.0, 79.0]
    assert network.weights[1][3, 2] == 80 + 3 * 3 + 2
    assert network.biases[2].tolist() == [98.0]


@pytest.mark.parametrize(
    ("flags", "mode"),
    [
        ("", "none"),
        ("scale_symmetry_functions", "scale"),
        ("center_symmetry_functions", "center"),
        ("center_symmetry_functions\nscale_symmetry_functions", "scalecenter"),
        ("scale_symmetry_functions_sigma", "scalesigma"),
        ("scale_symmetry_functions_sigma\nscale_symmetry_functions", "scale"),
    ],
)
def test_scaling(potential, flags, mode):
    edit(potential / "input.nn", replace("scale_symmetry_functions_sigma", flags))
    model = read(potential)
    assert model.scaling_mode == mode
    g = 0.37
    for element in model.elements.values():
        factor, offset = scaling_coefficients(element, model)
        low, high, mean, sigma = element.scaling.T
        expected = {
            "none": np.full(len(low), g),
            "scale": -0.5 + 2.0 * (g - low) / (high - low),
            "center": g - mean,
            "scalecenter": -0.5 + 2.0 * (g - mean) / (high - low),
            "scalesigma": -0.5 + 2.0 * (g - mean) / sigma,
        }[mode]
        np.testing.assert_allclose(factor * g + offset, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("flag", "row", "warned"),
    [
        ("scale_symmetry_functions", "1 3 0.25 0.25 0.25 0.5", "min = max for element H, function 3:"),
        ("scale_symmetry_functions", "1 3 0.25 0.5 0.25 0.0", None),
        ("scale_symmetry_functions_sigma", "1 3 0.25 0.5 0.25 0.0", "sigma = 0 for element H, function 3:"),
        ("center_symmetry_functions", "1 3 0.25 0.25 0.25 0.0", None),
    ],
)
def test_no_spread(potential, flag, row, warned):
    """A function that cannot be scaled is reported, and is the constant scale_min for the network."""
    edit(potential / "input.nn", replace("scale_symmetry_functions_sigma", flag))
    edit(
        potential / "scaling.data",
        lambda text: "\n".join([*text.splitlines()[:2], row, *text.splitlines()[3:]]),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = read(potential)
    element = model.elements["H"]
    factor, offset = scaling_coefficients(element, model)
    if warned is None:
        assert not caught
        assert np.isfinite(factor).all() and (factor != 0).all()
    else:
        assert warned in str(caught[0].message) and caught[0].category is MdnnpWarning
        assert (factor[2], offset[2]) == (0.0, -0.5)
        assert without_spread(element, model).tolist() == [2]


def runner_directory(directory: Path, lines: str) -> Path:
    """A potential of hydrogen and oxygen with 7 functions each, as RuNNer 1 might leave it after a fit."""
    directory.mkdir()
    rng = np.random.default_rng(5)
    topology = "global_hidden_layers_short 1\nglobal_nodes_short 2\nglobal_activation_short t l\n"
    (directory / "input.nn").write_text("number_of_elements 2\nelements O H\n" + topology + lines)
    rows = [f"{e} {i} 0.0 1.0 0.5" for e in (1, 2) for i in range(1, 8)]
    (directory / "scaling.data").write_text("\n".join(rows) + "\n-1.0 1.0\n")
    for z in (1, 8):
        (directory / f"optweights.{z:03d}.out").write_text("\n".join(map(str, rng.normal(size=(7 + 1) * 2 + 3))))
    return directory


ONE_BY_ONE = "".join(
    f"symfunction_short {center} {line}\n"
    for center in "HO"
    for line in (
        *(f"2 {e} 0.1 0.0 12.0" for e in "HO"),
        *(f"3 {pair} 0.02 -1.0 4.0 12.0" for pair in ("H H", "O H", "O O")),
        *(f"2 {e} 0.3 1.0 11.0" for e in "HO"),
    )
)
SHORTHAND = (
    "global_symfunction_short 3 0.02 -1.0 4.0 12.0\nglobal_symfunction_short 2 0.1 0.0 12.0\n"
    "element_symfunction_short O 2 0.3 1.0 11.0\nelement_symfunction_short H 2 0.3 1.0 11.0\n"
)


def test_shorthand_of_runner(tmp_path):
    """Each line stands for the functions of every centre and pair of neighbours; optweights are the weights."""
    one_by_one = read(runner_directory(tmp_path / "one_by_one", "cutoff_type 1\n" + ONE_BY_ONE))
    assert [len(part.functions) for part in one_by_one.elements.values()] == [7, 7]
    assert_same(one_by_one, read(runner_directory(tmp_path / "shorthand", "cutoff_type 1\n" + SHORTHAND)))
    old = SHORTHAND.replace("global_symfunction_short", "global_symfunction_short_atomic")
    assert_same(one_by_one, read(runner_directory(tmp_path / "old", old)))  # and type 1 is RuNNer's default


@pytest.mark.parametrize(
    ("line", "expected"),
    [("cutoff_type 6.0", (6, 0.0)), ("cutoff_type 6 0.1", (6, 0.1)), ("", (1, 0.0)), ("cutoff_alpha 0.3", (1, 0.3))],
)
def test_cutoff_of_runner(tmp_path, line, expected):
    model = read(runner_directory(tmp_path / "potential", line + "\n" + SHORTHAND))
    assert (model.cutoff_type, model.cutoff_alpha) == expected


def test_weights_before_optweights(tmp_path):
    directory = runner_directory(tmp_path / "potential", SHORTHAND)
    (directory / "000010.short.008.out").write_text("1.0\n")
    (directory / "optweights.001.out").rename(directory / "weights.001.data")
    refused(directory, "missing", "weights.008.data", "copy those of one, such as 000010.short.008.out")
    (directory / "weights.008.data").write_text((directory / "optweights.008.out").read_text())
    (directory / "optweights.008.out").write_text("1.0\n")
    read(directory)


RUNNER_2 = "fc_cosine                      1  12.0\n" + ONE_BY_ONE.replace(" 12.0\n", " 1\n").replace(" 11.0\n", " 1\n")


def test_runner_2_is_refused(tmp_path):
    """Its lines end in the number of a cutoff function, which was taken for a radius of 1: no forces at all."""
    directory = runner_directory(tmp_path / "potential", RUNNER_2)
    refused(
        directory, "input.nn:6: fc_cosine is a keyword of RuNNer 2", "cutoff_type (1 for fc_cosine)", "12.0 in place"
    )


@pytest.mark.parametrize("keyword", ["default_nodes 2", "default_activation_nn t l", "scale_feature_maps"])
def test_keywords_of_runner_2(potential, keyword):
    edit(potential / "input.nn", lambda text: keyword + "\n" + text)
    refused(potential, "input.nn:1:", "is a keyword of RuNNer 2")


@pytest.mark.parametrize("ends", [("1", "1"), ("1", "2")])
def test_radius_that_runnerase_lost(tmp_path, ends):
    """runnerase 2.0 writes an older input back with 1 for every radius, and says nothing."""
    lines = ONE_BY_ONE.replace("12.0\n", ends[0] + "\n").replace("11.0\n", ends[1] + "\n")
    directory = runner_directory(tmp_path / "potential", "cutoff_type 1\n" + lines)
    refused(directory, "input.nn:7: symfunction_short: all such lines end in 1", "runnerase", "not the cutoff radius")
    edit(directory / "input.nn", lambda text: re.sub(r" ([12])\n(?=symf|$)", r" \1.0\n", text))
    if ends == ("1", "1"):
        with pytest.warns(MdnnpWarning, match=r"cutoff of element H .* 0.529 Å, shorter than a bond H-H \(0.62 Å\)"):
            read(directory)


def test_harmless_variants_read_the_same(potential):
    """Comments, CR, byte-order mark, other order, the other spelling, RuNNer's last row: the same model."""
    before = read(potential)
    text = (potential / "input.nn").read_text()
    rows = text.replace("symfunction_short", "symfunction").splitlines()
    rows = [f"\t{row}  # of ours" for row in reversed(rows)] + [
        "! remark \xe9",
        "",
        "epochs 10",
        "runner_mode 3",
        "nnp_gen 2",
    ]
    (potential / "input.nn").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode("latin-1"))
    edit(potential / "scaling.data", lambda text: "# header\n" + text + "-1.5 2.5\n")
    for file in potential.glob("*.data"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert_same(before, read(potential))


def test_runner_scaling_without_sigma(potential):
    edit(potential / "input.nn", replace("scale_symmetry_functions_sigma", "scale_symmetry_functions"))
    edit(potential / "scaling.data", lambda text: "\n".join(" ".join(r.split()[:5]) for r in text.splitlines()))
    model = read(potential)
    assert np.isnan(model.elements["S"].scaling[:, 3]).all()
    write_potential(model, potential.parent / "again")
    assert_same(model, read_potential(potential.parent / "again"))


@pytest.mark.parametrize("keyword", sorted(IGNORED))
def test_training_keywords_are_accepted(potential, keyword):
    edit(potential / "input.nn", lambda text: f"{keyword} 1 2 x\n{text}{keyword}\n")
    assert_same(read(GOLDEN / "big1"), read(potential))


def test_keyword_groups_do_not_overlap():
    assert not MODEL & IGNORED and not (MODEL | IGNORED) & set(REFUSED) and not set(ALIASES) & (MODEL | IGNORED)


# -----------------------------------------------------------------------------------------------------------
# Networks that differ between elements


def with_topology(potential: Path, lines: str, sizes: dict[str, tuple[int, ...]]) -> None:
    """Add lines to input.nn and write weights files for these hidden layers (elements not named: 4 3)."""
    edit(potential / "input.nn", lambda text: text + lines + "\n")
    rng = np.random.default_rng(1)
    for symbol, hidden in sizes.items():
        layers = (19, *hidden, 1)
        count = sum((a + 1) * b for a, b in pairwise(layers))
        file = potential / f"weights.{atomic_numbers[symbol]:03d}.data"
        file.write_text("\n".join(repr(x) for x in rng.normal(size=count).tolist()) + "\n")


@pytest.mark.parametrize(
    ("lines", "sizes"),
    [
        ("element_nodes_short O 6 3", {"O": (6, 3)}),  # n2p2: all layers on a line
        ("element_nodes_short O 6 5", {"O": (6, 5)}),
        ("element_nodes_short O 1 6", {"O": (6, 3)}),  # RuNNer: layer and nodes; the weights file decides
        ("element_nodes_short O 1 6", {"O": (1, 6)}),  # n2p2, likewise
        ("element_nodes_short O 2 6", {"O": (4, 6)}),
        ("element_nodes_short O 1 2\nelement_nodes_short O 2 2", {"O": (2, 2)}),
        (
            "element_hidden_layers_short O 1\nelement_nodes_short O 7\nelement_activation_short O t l",
            {"O": (7,)},
        ),
        (
            "element_hidden_layers_short O 1\nelement_nodes_short O 1 7\nelement_activation_short O t l",
            {"O": (7,)},
        ),
        (
            "element_hidden_layers_short O 3\nelement_nodes_short O 5 4 3\nelement_activation_short O t p s l",
            {"O": (5, 4, 3)},
        ),
        ("element_nodes_short O 6 5\nelement_nodes_short S 3 5", {"O": (6, 5), "S": (3, 5)}),
    ],
)
def test_element_topologies(potential, lines, sizes):
    with_topology(potential, lines, sizes)
    model = read(potential)
    for symbol, element in model.elements.items():
        assert tuple(w.shape[1] for w in element.network.weights) == (*sizes.get(symbol, (4, 3)), 1)
    with pytest.warns(MdnnpWarning, match="n2p2 misreads"):
        write_potential(model, potential.parent / "again")
    assert_same(model, read_potential(potential.parent / "again"))


def test_element_activation(potential):
    edit(potential / "input.nn", lambda text: text + "element_activation_short S p s l\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = read(potential)
    assert [e.network.activations for e in model.elements.values()] == ["ttl", "ttl", "psl"]
    edit(potential / "input.nn", replace("S p s l", "S p s h"))
    with pytest.warns(MdnnpWarning, match="n2p2 ignores the last letter and takes 'l'"):
        assert read(potential).elements["S"].network.activations == "psh"


def test_topologies_without_global_keywords(potential):
    lines = "".join(
        f"element_hidden_layers_short {s} 2\nelement_nodes_short {s} 4 3\nelement_activation_short {s} t t l\n"
        for s in "HOS"
    )
    edit(potential / "input.nn", lambda text: re.sub(r"global_.*\n", "", text) + lines)
    assert_same(read(GOLDEN / "big1"), read(potential))


@pytest.mark.parametrize(
    ("lines", "sizes", "fragments"),
    [
        (
            "element_nodes_short O 6 5",
            {"O": (6, 3)},
            (
                "weights.008.data: expected 161 for 19-6-5-1",
                "found 145",
                "n2p2 leaves the last hidden layer",
                "O 6 3",
            ),
        ),
        (
            "element_nodes_short O 1 6",
            {"O": (5, 5)},
            ("expected 39 for 19-1-6-1 or 145 for 19-6-3-1", "found 136"),
        ),
        ("element_nodes_short O 3 6 2", {}, ("input.nn:68", "O has 2 hidden layers", "2 numbers of nodes")),
        (
            "element_nodes_short O 1 6\nelement_nodes_short O 1 5",
            {},
            ("input.nn:68: element O has 2 hidden layers",),
        ),
        ("element_nodes_short O 6 0", {}, ("input.nn:68", "at least one node, found 0")),
        ("element_nodes_short O 6 x", {}, ("input.nn:68", "found 'x'")),
        ("element_nodes_short O", {}, ("input.nn:68", "numbers of nodes")),
        (
            "element_hidden_layers_short O 1",
            {},
            ("O has 1 hidden layers", "element_activation_short O with 2 letters"),
        ),
        ("element_hidden_layers_short O 0", {}, ("input.nn:68", "at least one hidden layer, found 0")),
        (
            "element_hidden_layers_short O 2\nelement_hidden_layers_short O 2",
            {},
            ("input.nn:69", "first given at line 68"),
        ),
        (
            "element_activation_short O t l",
            {},
            ("input.nn:68", "3 letters (hidden layers, then the output), found 2"),
        ),
        ("element_activation_short O 1 2 t", {}, ("input.nn:68", "single nodes (RuNNer) are not supported")),
        (
            "element_activation_short C t t l",
            {},
            ("input.nn:68", "element 'C' is not among the elements H O S"),
        ),
    ],
)
def test_element_topology_refusals(potential, lines, sizes, fragments):
    with_topology(potential, lines, sizes)
    refused(potential, *fragments)


# -----------------------------------------------------------------------------------------------------------
# Refusals: input.nn

FUNCTION = "symfunction_short O 2 H 0.4 0.3 3.9"  # line 11 of input.nn


@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        ("number_of_elements 3", "", ("input.nn: keyword 'number_of_elements' is missing",)),
        (
            "number_of_elements 3",
            "number_of_elements 4",
            (":1:", "number_of_elements is 4", "(line 2) lists 3: H O S"),
        ),
        ("number_of_elements 3", "number_of_elements three", (":1:", "expected an integer, found 'three'")),
        ("number_of_elements 3", "number_of_elements 3 4", (":1:", "expected one value, found 2")),
        ("elements O H S", "", ("keyword 'elements' is missing",)),
        ("elements O H S", "elements", (":2:", "found none")),
        ("elements O H S", "elements O H Xx", (":2:", "'Xx' is no chemical element")),
        ("elements O H S", "elements O X S", (":2:", "'X' is no chemical element")),
        ("elements O H S", "elements O H H", (":2:", "H is given twice")),
        ("elements O H S", "elements O H C", ("element 'S' is not among the elements H C O",)),
        ("atom_energy O -3.5", "atom_energy C -3.5", (":3:", "element 'C' is not among the elements H O S")),
        ("atom_energy O -3.5", "atom_energy O nan", (":3:", "expected a number, found 'nan'")),
        ("atom_energy O -3.5", "atom_energy O -3.5d0", (":3:", "expected a number, found '-3.5d0'")),
        ("atom_energy O -3.5", "atom_energy O", (":3:", "an element and its value")),
        (
            "atom_energy O -3.5",
            "atom_energy O 1\natom_energy O 1",
            (":4:", "O is given again; first given at line 3"),
        ),
        ("cutoff_type 1 0.2", "cutoff_type 9", (":4:", "unknown cutoff type 9", "6 poly2")),
        ("cutoff_type 1 0.2", "cutoff_type -1", (":4:", "unknown cutoff type -1")),
        ("cutoff_type 1 0.2", "cutoff_type 1.5", (":4:", "unknown cutoff type 1.5")),
        ("cutoff_type 1 0.2", "cutoff_type one", (":4:", "expected a cutoff type from 0 to 8, found 'one'")),
        ("cutoff_type 1 0.2", "cutoff_type 1 0.2\ncutoff_alpha 0.2", (":5:", "given again; line 4 has it")),
        ("cutoff_type 1 0.2", "cutoff_type 1\ncutoff_alpha 1", (":5:", "alpha is 1, expected 0 <= alpha < 1")),
        (FUNCTION, FUNCTION.replace("3.9", "2e20"), (":11:", "must be at most 100, found 2e+20")),
        (
            FUNCTION,
            f"global_symfunction_short 8 1 0 6\n{FUNCTION}",
            (":11:", "type 8 of RuNNer is not read", "2, 3, 9"),
        ),
        (FUNCTION, f"global_symfunction_short\n{FUNCTION}", (":11:", "expected the type")),
        (FUNCTION, f"element_symfunction_short\n{FUNCTION}", (":11:", "expected the centre's element")),
        (FUNCTION, f"element_symfunction_short C 2 1 0 6\n{FUNCTION}", (":11:", "element 'C' is not among")),
        (FUNCTION, f"global_symfunction_short 2 1 0\n{FUNCTION}", (":11:", "takes 4 parameters", "found 3")),
        ("number_of_elements 3", f"number_of_elements {'3' * 5000}", (":1:", "expected an integer")),
        ("cutoff_type 1 0.2", "cutoff_type 1 1.0", (":4:", "alpha is 1.0, expected 0 <= alpha < 1")),
        ("cutoff_type 1 0.2", "cutoff_type 1 -0.1", (":4:", "alpha is -0.1")),
        ("cutoff_type 1 0.2", "cutoff_type 1 0.2 3", (":4:", "found 3 arguments")),
        (
            "cutoff_type 1 0.2",
            "cutoff_type 1\ncutoff_type 1",
            (":5:", "'cutoff_type' is given again; first given at line 4"),
        ),
        (
            "scale_symmetry_functions_sigma",
            "scale_symmetry_functions 0",
            (":5:", "takes no argument, found '0'"),
        ),
        ("scale_max_short 1.5", "scale_max_short -0.5", (":7:", "both -0.5")),
        ("scale_max_short 1.5", "scale_max_short inf", (":7:", "found 'inf'")),
        ("global_hidden_layers_short 2", "", ("'global_hidden_layers_short' is missing",)),
        (
            "global_hidden_layers_short 2",
            "global_hidden_layers_short 0",
            (":8:", "at least one hidden layer, found 0"),
        ),
        (
            "global_hidden_layers_short 2",
            "global_hidden_layers_short 3",
            (":9:", ":10:", "for 3 hidden layers (line 8)"),
        ),
        ("global_nodes_short 4 3", "global_nodes_short 4", (":9:", "expected 2 numbers of nodes", "found 1")),
        ("global_nodes_short 4 3", "global_nodes_short 4 -3", (":9:", "at least one node, found -3")),
        ("global_nodes_short 4 3", "global_nodes_short 4 3.5", (":9:", "found '3.5'")),
        ("global_nodes_short 4 3", "", ("global_nodes_short",)),
        (
            "global_activation_short t t l",
            "global_activation_short t l",
            (":10:", "expected 3 letters", "found 2"),
        ),
        (
            "global_activation_short t t l",
            "global_activation_short t q l",
            (":10:", "unknown activation 'q'", "l t s p"),
        ),
        ("global_activation_short t t l", "global_activation_short t t l l", (":10:", "found 4")),
        ("global_activation_short t t l", "", ("global_activation_short with 3 letters",)),
        (FUNCTION, "symfunction_short C 2 H 0.4 0.3 3.9", (":11:", "element 'C' is not among")),
        (FUNCTION, "symfunction_short O 2 C 0.4 0.3 3.9", (":11:", "element 'C' is not among")),
        (FUNCTION, "symfunction_short O", (":11:", "expected the centre's element, the type")),
        (FUNCTION, "symfunction_short O 4 H 0.4 0.3 3.9", (":11:", "unknown type 4", "2, 3, 9, 12, 13, 20")),
        (FUNCTION, "symfunction_short O two H 0.4 0.3 3.9", (":11:", "found 'two'")),
        (
            FUNCTION,
            "symfunction_short O 2 H 0.4 0.3",
            (":11:", "type 2 takes 4 parameters", "e1 eta rs rc", "found 3"),
        ),
        (FUNCTION, "symfunction_short O 2 H 0.4 0.3 3.9 1", (":11:", "found 5")),
        (
            FUNCTION,
            "symfunction_short O 3 H H 0.4 1 1 3.9 0 0",
            (":11:", "takes 6 or 7 parameters", "found 8"),
        ),
        (FUNCTION, "symfunction_short O 2 H 0.4 zero 3.9", (":11:", "a number for rs, found 'zero'")),
        (FUNCTION, "symfunction_short O 2 H 0.4 0.3 0", (":11:", "rc must be positive, found 0")),
        (FUNCTION, "symfunction_short O 2 H 0.4 0.3 nan", (":11:", "a number for rc, found 'nan'")),
        (FUNCTION, "symfunction_short O 2 H 1_0 0.3 3.9", (":11:", "a number for eta, found '1_0'")),
        (FUNCTION, "symfunction_short O 2 H 0.4 0.3 1e999", (":11:", "found '1e999'")),
        (FUNCTION, "symfunction_short O 2 H -0.4 0.3 3.9", (":11:", "eta must not be negative")),
        (
            FUNCTION,
            "symfunction_short O 20 H 4.0 3.9 p2",
            (":11:", "rl must be below rc, found rl = 4 and rc = 3.9"),
        ),
        (FUNCTION, "symfunction_short O 23 3.9 3.9 p2", (":11:", "rl must be below rc")),
        (FUNCTION, "symfunction_short O 20 H 0 3.9 p5", (":11:", "unknown subtype 'p5'", "p1a")),
        (FUNCTION, "symfunction_short O 20 H 0 3.9 ea", (":11:", "unknown subtype 'ea'")),
        (FUNCTION, "symfunction_short O 22 H H 0 3.9 90 90 p2", (":11:", "theta_l must be below theta_r")),
        (FUNCTION, "symfunction_short O 25 0 3.9 -200 200 p2", (":11:", "more than 360 degrees")),
        (FUNCTION, "symfunction_short O 21 H H 0 3.9 -10 90 p2", (":11:", "leaves [0, 180]")),
        (FUNCTION, "symfunction_short O 24 0 3.9 90 190 p2", (":11:", "leaves [0, 180]")),
        (
            FUNCTION,
            "symfunction O 2 H 0.4 0.3 3.9",
            (":12:", "'symfunction_short' and 'symfunction' (line 11)"),
        ),
        (FUNCTION, "mean_energy -1\nconv_energy 2", (":11:", "all three or none; missing: conv_length")),
        (
            FUNCTION,
            "mean_energy -1\nconv_energy 0\nconv_length 1",
            (":12:", "conv_energy must be positive, found 0"),
        ),
        (FUNCTION, "mean_energy -1\nconv_energy 1\nconv_length x", (":13:", "found 'x'")),
    ],
)
def test_input_refusals(potential, old, new, fragments):
    edit(potential / "input.nn", replace(old, new))
    refused(potential, str(potential / "input.nn"), *fragments)


@pytest.mark.parametrize("symbol", "HOS")
def test_element_without_functions(potential, symbol):
    edit(potential / "input.nn", lambda text: re.sub(rf"symfunction_short {symbol} .*\n", "", text))
    refused(potential, f"element {symbol} has no symmetry functions")


def test_no_functions_at_all(potential):
    edit(potential / "input.nn", lambda text: re.sub(r"symfunction_short .*\n", "", text))
    refused(potential, "there is no symfunction_short line")


@pytest.mark.parametrize(
    ("line", "fragments"),
    [
        ("cutof_type 1", ("unknown keyword 'cutof_type'; did you mean 'cutoff_type'?",)),
        ("Elements O H S", ("unknown keyword 'Elements'; did you mean 'elements'?",)),
        ("zzyzx", ("unknown keyword 'zzyzx' (it may change the model",)),
        ("use_electrostatics", ("changes the model: potentials with electrostatics are not supported",)),
        ("use_vdw", ("changes the model: dispersion terms",)),
        ("fixed_gausswidth O 1.0", ("'fixed_gausswidth'", "fourth-generation potentials (charges)")),
        ("screen_electrostatics 1 2", ("'screen_electrostatics'", "fourth-generation")),
        ("scale_min_short_atomic 0", ("write scale_min_short instead",)),
        ("nn_type_short 2", ("only 1 (networks of atoms, not pairs)",)),
        ("nn_type 2", ("write nnp_type 2",)),
        ("nnp_type 5", ("expected 2 or 2G-HDNNP, found '5'",)),
        ("nnp_type", ("expected one value, found 0",)),
    ],
)
def test_keywords_refused(potential, line, fragments):
    edit(potential / "input.nn", lambda text: line + "\n" + text)
    refused(potential, "input.nn:1:", *fragments)


@pytest.mark.parametrize("keyword", sorted(REFUSED))
def test_every_unsupported_keyword_is_refused(potential, keyword):
    edit(potential / "input.nn", lambda text: f"{text}{keyword} 1\n")
    refused(potential, "input.nn:68:", f"{keyword!r} changes the model")


@pytest.mark.parametrize("word", ["4", "4G-HDNNP", "10", "Q-HDNNP", "3"])
@pytest.mark.parametrize("keyword", ["nnp_type", "nnp_gen", "nnp_type_gen", "nnp_generation"])
def test_generations_refused(potential, keyword, word):
    edit(potential / "input.nn", lambda text: f"{keyword} {word}\nunknown_too\n" + text)
    message = refused(potential, f"input.nn:1: {keyword} {word}:", "has charges", "load_potential")
    assert "unknown_too" not in message  # the one thing to know comes alone


@pytest.mark.parametrize("line", ["nnp_type 2", "nnp_type 2G-HDNNP", "nnp_gen 2", "nn_type_short 1", "conv_charge 1.5"])
def test_second_generation_by_name(potential, line):
    edit(potential / "input.nn", lambda text: line + "\n" + text)
    assert_same(read(GOLDEN / "big1"), read(potential))


def test_a_negative_zeta_is_read_with_a_warning(potential):
    edit(potential / "input.nn", replace(FUNCTION, "symfunction_short O 9 H H 0.4 1 -1 3.9"))
    with pytest.warns(MdnnpWarning, match=r"input.nn:11: zeta = -1 is negative.*are lambda and zeta exchanged"):
        model = read(potential)
    assert min(f.zeta for f in model.elements["O"].functions) == -1
    assert ingredients(model)[0].order == -1


def test_charges_are_not_for_what_has_none():
    with pytest.raises(InputError, match=r"q4a.*nnp_type 4G-HDNNP: a 4G potential has charges.*load_potential"):
        read(GOLDEN / "q4a")


def test_charges_without_nnp_type(tmp_path):
    potential = copied(tmp_path, "q4a")
    edit(potential / "input.nn", lambda text: re.sub(r"(nnp_type|fixed_gausswidth).*\n", "", text))
    refused(potential, "holds hardness.001.data", "fourth-generation", "nnp_type 4", "nnp_type 2")
    for file in potential.glob("hardness*"):
        file.unlink()
    refused(potential, "weights.001.data: expected", "one input more, as in a fourth-generation potential")


def test_all_mistakes_at_once(potential):
    edit(potential / "input.nn", replace("elements O H S", "elements O H S\nelments 3\nuse_vdw"))
    edit(potential / "input.nn", replace("cutoff_type 1 0.2", "cutoff_type 11"))
    edit(potential / "input.nn", replace("S 25 0.1 3.9 30 150 p3a", "S 25 0.1 3.9 30 150 p9"))
    message = refused(potential, "'elments'", "'use_vdw'", "cutoff type 11", "subtype 'p9'")
    lines = [int(re.match(r".*input\.nn:(\d+): ", row).group(1)) for row in message.splitlines()]
    assert lines == [3, 4, 6, 69]


def test_many_mistakes_are_cut(potential):
    edit(potential / "input.nn", lambda text: text + "nonsense\n" * 100)
    message = refused(potential, "and 80 more mistakes")
    assert len(message.splitlines()) == 21


# -----------------------------------------------------------------------------------------------------------
# Refusals: scaling.data, weights, files


def row(n: int, new):
    """A mutation that replaces line n (from 1) by new(tokens)."""

    def mutate(text):
        rows = text.splitlines()
        rows[n - 1] = new(rows[n - 1].split())
        return "\n".join(r for r in rows if r is not None) + "\n"

    return mutate


@pytest.mark.parametrize(
    ("mutate", "fragments"),
    [
        (row(57, lambda t: None), ("expected 57 rows", "19 for H + 19 for O + 19 for S", "found 56")),
        (lambda text: text + "3 20 0 1 0.5 0.1\n", (":58:", "expected 57 rows", "found 58")),
        (lambda text: text + "-1.0 2.0\n-1.0 2.0\n", (":58:", "found 59")),
        (lambda text: text + "-1.0 2.0 3.0\n", (":58:", "found 58")),
        (
            row(20, lambda t: " ".join(["1", *t[1:]])),
            (":20:", "expected element 2, function 1", "element 1, function 1"),
        ),
        (row(20, lambda t: " ".join([t[0], "2", *t[2:]])), (":20:", "found element 2, function 2")),
        (row(20, lambda t: " ".join(["2.0", *t[1:]])), (":20:", "number of the element, found '2.0'")),
        (row(7, lambda t: " ".join(t[:4])), (":7:", "expected 5 or 6 columns", "found 4")),
        (row(7, lambda t: " ".join([*t, "1"])), (":7:", "found 7")),
        (row(7, lambda t: " ".join([*t[:5], "nan"])), (":7:", "found 'nan'")),
        (row(7, lambda t: " ".join([*t[:5], "*****"])), (":7:", "found '*****'")),
        (row(7, lambda t: " ".join([*t[:2], "2", "1", *t[4:]])), (":7:", "min = 2 is above max = 1")),
        (row(7, lambda t: " ".join([*t[:5], "-1"])), (":7:", "sigma = -1 is negative")),
        (row(7, lambda t: " ".join(t[:5])), (":7:", "needs a sixth column, sigma")),
        (lambda text: "", ("scaling.data: the file is empty",)),
    ],
)
def test_scaling_refusals(potential, mutate, fragments):
    edit(potential / "scaling.data", mutate)
    refused(potential, str(potential / "scaling.data"), *fragments)


@pytest.mark.parametrize(
    ("mutate", "fragments"),
    [
        (row(99, lambda t: None), ("expected 99 for 19-4-3-1", "element O", "found 98")),
        (lambda text: text + "0.5\n", ("expected 99 for 19-4-3-1", "found 100")),
        (lambda text: " ".join(text.split()), ("found 1 values",)),
        (row(5, lambda t: "nan"), (":5:", "a finite number in the first column, found 'nan'")),
        (row(5, lambda t: "-inf"), (":5:", "found '-inf'")),
        (row(5, lambda t: "0.1.2"), (":5:", "found '0.1.2'")),
        (row(5, lambda t: "a " + t[0]), (":5:", "found 'a'")),
        (lambda text: "", ("the file is empty",)),
        (lambda text: "\0" * 100, ("not a text file",)),
    ],
)
def test_weights_refusals(potential, mutate, fragments):
    edit(potential / "weights.008.data", mutate)
    refused(potential, str(potential / "weights.008.data"), *fragments)


def test_missing_files(potential):
    (potential / "weights.001.data").unlink()
    (potential / "weights.016.data").rename(potential / "weights.016.000012.out")
    (potential / "scaling.data").unlink()
    refused(
        potential,
        "missing for the elements H O S: scaling.data, weights.001.data, weights.016.data",
        "016.000012.out",
    )
    (potential / "input.nn").unlink()
    refused(potential, "input.nn: no such file")


def test_path_is_no_directory(potential):
    with pytest.raises(InputError, match="is a file; give the directory"):
        read(potential / "input.nn")
    with pytest.raises(FileError, match="nowhere: no such directory"):
        read(potential / "nowhere")


@pytest.mark.parametrize("content", [b"", b" \n\r\n", "elements O".encode("utf-16")])
def test_input_is_no_text(potential, content):
    (potential / "input.nn").write_bytes(content)
    with pytest.raises(InputError, match=r"input\.nn: (the file is empty|not a text file)"):
        read(potential)


# -----------------------------------------------------------------------------------------------------------
# Units


def test_units_are_never_guessed(potential):
    edit(potential / "input.nn", lambda text: "# Length unit : Bohr\n" + text)
    for given, missing in (((None, None), "length unit and energy unit"), (("Bohr", None), "energy unit")):
        with pytest.raises(InputError) as caught:
            read_potential(potential, *given)
        message = str(caught.value)
        assert f"potential: {missing} not known" in message
        assert "--length-unit Bohr --energy-unit Hartree" in message and SIDECAR in message
        assert "input.nn:1 remarks: Length unit : Bohr" in message


def test_units_of_the_sidecar(potential):
    (potential / SIDECAR).write_bytes(
        b'\xef\xbb\xbflength_unit = "bohr"\r\nenergy_unit = "eV"\r\n[provenance]\r\nby = "us"\r\n'
    )
    model = read_potential(potential)
    assert (model.length_unit, model.energy_unit) == ("bohr", "eV")
    assert read_potential(potential, "Bohr", "ev").energy_unit == "eV"
    with pytest.raises(InputError, match=r"energy_unit is given as 'Hartree', but .*mdnnp.toml states 'eV'"):
        read_potential(potential, "Bohr", "Hartree")


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ('length_unit = "Bohr"\n', "energy unit not known"),
        (
            'length_unit = "parsec"\nenergy_unit = "eV"\n',
            "mdnnp.toml: length_unit: unknown length unit 'parsec'",
        ),
        ('length_unit = 1\nenergy_unit = "eV"\n', "mdnnp.toml: length_unit: unknown length unit 1"),
        ('lenght_unit = "Bohr"\n', "unknown key 'lenght_unit'"),
        ("length_unit = Bohr\n", "not valid TOML"),
    ],
)
def test_sidecar_refusals(potential, text, fragment):
    (potential / SIDECAR).write_text(text)
    with pytest.raises(InputError) as caught:
        read_potential(potential)
    assert fragment in str(caught.value)


def test_unknown_unit(potential):
    with pytest.raises(InputError, match="unknown energy unit 'joule'; known: eV, Hartree"):
        read_potential(potential, "Bohr", "joule")


# -----------------------------------------------------------------------------------------------------------
# Writing


GOLDEN_ONES = [(GOLDEN / name, *UNITS) for name in SHORT_RANGE]


@pytest.mark.parametrize("directory", [*GOLDEN_ONES, *REAL.values()], ids=lambda directory: directory[0].name)
def test_round_trip(directory, tmp_path):
    model = read_potential(*directory)
    write_potential(model, tmp_path / "p")
    again = read_potential(tmp_path / "p")
    assert_same(model, again)
    assert again.source == str(tmp_path / "p")
    assert not list(tmp_path.glob(".*"))


def test_round_trip_of_a_potential_of_many_functions(water_made_here, tmp_path):
    model = read(water_made_here)
    assert model.normalized and [len(part.functions) for part in model.elements.values()] == [27, 30]
    write_potential(model, tmp_path / "p")
    assert_same(model, read_potential(tmp_path / "p"))


def test_written_files(tmp_path):
    """The file conventions that other readers rely on."""
    model = read(GOLDEN / "all1")
    write_potential(model, tmp_path / "p", provenance={"made by": 'a "test"', "atoms": 64, "rmse": 1e-3, "good": True})
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == sorted(
        ["input.nn", "scaling.data", SIDECAR, *(f"weights.{z:03d}.data" for z in (1, 8, 16))]
    )
    scaling = [r for r in (tmp_path / "p" / "scaling.data").read_text().split("\n")[:-1] if r[0] != "#"]
    assert len(scaling) == 57 and all(len(r) == 21 + 4 * 25 for r in scaling)  # no blank lines: n2p2 aborts on them
    weights = [r.split() for r in (tmp_path / "p" / "weights.008.data").read_text().splitlines() if r[0] != "#"]
    assert [int(r[2]) for r in weights] == list(range(1, 100))
    assert weights[0][1:] == ["a", "1", "0", "1", "1", "1"] and weights[-1][1:] == ["b", "99", "3", "1"]
    text = (tmp_path / "p" / SIDECAR).read_text()
    assert '"made by" = "a \\"test\\""' in text and '"good" = true' in text
    read_potential(tmp_path / "p")


def extreme(model: HDNNPModel) -> HDNNPModel:
    """The model with numbers that only 17 digits can tell apart, denormal, huge, and -0.0."""
    values = np.nextafter(np.geomspace(1e-300, 1e300, 76), 0.0).reshape(19, 4)
    values[0] = [5e-324, -0.0, np.pi, -1.0 / 3.0]
    network = model.elements["O"].network
    network = dataclasses.replace(network, weights=(values, *network.weights[1:]))
    element = dataclasses.replace(model.elements["O"], network=network, atom_energy=-0.1 - 0.2)
    return dataclasses.replace(model, elements={**model.elements, "O": element}, cutoff_alpha=1.0 / 3.0)


def test_round_trip_of_extreme_numbers(tmp_path):
    model = extreme(read(GOLDEN / "big1"))
    write_potential(model, tmp_path / "p")
    assert_same(model, read_potential(tmp_path / "p"))


@pytest.mark.parametrize("letter", ACTIVATIONS)
def test_round_trip_of_activations(tmp_path, letter):
    model = read(GOLDEN / "big1")
    elements = {
        s: dataclasses.replace(e, network=dataclasses.replace(e.network, activations=letter + "t" + letter))
        for s, e in model.elements.items()
    }
    model = dataclasses.replace(model, elements=elements)
    write_potential(model, tmp_path / "p")
    assert_same(model, read_potential(tmp_path / "p"))


def test_nothing_is_overwritten_unasked(tmp_path):
    first, second = read(GOLDEN / "big1"), read(GOLDEN / "b_t2")
    write_potential(first, tmp_path / "p")
    before = {p.name: p.read_bytes() for p in (tmp_path / "p").iterdir()}
    with pytest.raises(FileError, match="p exists already"):
        write_potential(second, tmp_path / "p")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "p").iterdir()}
    write_potential(second, tmp_path / "p", overwrite=True)
    assert_same(second, read_potential(tmp_path / "p"))
    assert not (tmp_path / "p" / "weights.016.data").exists()  # nothing stale of the old one


def test_overwriting_spares_other_files(tmp_path):
    model = read(GOLDEN / "big1")
    write_potential(model, tmp_path / "p")
    (tmp_path / "p" / "thesis.tex").write_text("years of work")
    with pytest.raises(FileError, match=r"will not be overwritten.*thesis\.tex"):
        write_potential(model, tmp_path / "p", overwrite=True)
    assert (tmp_path / "p" / "thesis.tex").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match="exists already"):
        write_potential(model, tmp_path / "file", overwrite=True)


def test_directory_that_cannot_be_written(tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        write_potential(read(GOLDEN / "big1"), tmp_path / "no" / "such" / "place")


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FileError, match="No space left on device"):
        write_potential(read(GOLDEN / "big1"), tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


def spoiled(model: HDNNPModel, part: str) -> HDNNPModel:
    element = model.elements["O"]
    network = element.network
    changed = {
        "nan": dataclasses.replace(
            element,
            network=dataclasses.replace(network, weights=(network.weights[0] * np.nan, *network.weights[1:])),
        ),
        "shape": dataclasses.replace(element, network=dataclasses.replace(network, weights=network.weights[1:])),
        "nodes": dataclasses.replace(element, network=dataclasses.replace(network, normalize_nodes=True)),
        "scaling": dataclasses.replace(element, scaling=element.scaling[1:]),
        "order": dataclasses.replace(element, functions=element.functions[::-1]),
        "unit": element,
    }[part]
    model = dataclasses.replace(model, elements={**model.elements, "O": changed})
    return dataclasses.replace(model, length_unit="cubit") if part == "unit" else model


@pytest.mark.parametrize(
    ("part", "fragment"),
    [
        ("nan", "weights that are not finite"),
        ("shape", "do not lead from 19 inputs"),
        ("nodes", "normalize_nodes differs"),
        ("scaling", "scaling data must be 19 rows"),
        ("order", "not in the potential's order"),
        ("unit", "unknown length unit 'cubit'"),
    ],
)
def test_models_that_would_not_read_back(tmp_path, part, fragment):
    with pytest.raises(InputError, match=fragment):
        write_potential(spoiled(read(GOLDEN / "big1"), part), tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_copy_of_the_golden_directories_is_complete():
    """Nothing of the round trips above passes because there was nothing to read."""
    assert len(SHORT_RANGE) == 18
    kinds = {f.type for name in SHORT_RANGE for e in read(GOLDEN / name).elements.values() for f in e.functions}
    assert kinds == {2, 3, 9, 12, 13, 20, 21, 22, 23, 24, 25}
