"""The input of a fit: a TOML file, read strictly into frozen records. Paths are relative to the input file."""
# ruff: noqa: RUF009 (`key` makes the fields)

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ase.data import atomic_numbers

from mdnnp.atoms.labels import QUANTITIES as QUANTITIES_OF_FILES
from mdnnp.base.inputs.records import Rule, key, read_records, refuse
from mdnnp.base.inputs.rules import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SEED
from mdnnp.base.inputs.toml import Document, Flaw, parse_toml, read_toml
from mdnnp.dynamics.input import ENERGY_UNIT, LENGTH_UNIT
from mdnnp.potentials.hdnnp.networks import ACTIVATION_NAMES, TRAINABLE


def _between(least: int, most: int) -> Rule:
    return Rule(lambda v: least <= v <= most, f"must lie between {least} and {most}")


FRACTION = Rule(lambda v: 0 <= v < 1, "must be at least 0 and below 1")
LAYERS = Rule(
    lambda v: len(v) <= 10 and all(1 <= n <= 1000 for n in v),
    "must be a list of at most 10 numbers of nodes, each from 1 to 1000",
)
CUTOFF = Rule(lambda v: 1 <= v <= 30, "must lie between 1 and 30 Å")
FUNCTIONS = Rule(lambda v: 1 <= v <= 1000, "must lie between 1 and 1000")
WINDOWS = Rule(lambda v: 0 <= v <= 1000, "must lie between 0 and 1000")
MEMBERS = Rule(lambda v: 1 <= v <= 100, "must lie between 1 and 100")
ZETA = Rule(lambda v: 1 <= v <= 8, "must lie between 1 and 8")
ACTIVATION_LETTERS = {ACTIVATION_NAMES[letter].lower(): letter for letter in TRAINABLE}
RADIAL, ANGULAR = 10, 5
MOST_FUNCTIONS, SELECTED = 64, 48  # if those are more than 64, 48 are selected
QUANTITIES = ("energy", "force", "stress")  # that structures have weights of


@dataclass(frozen=True)
class DataConfig:
    """Structures with energies, forces and stress."""

    train: tuple[Path, ...] = key(
        "Files with the training structures: any format that ASE reads (best extended XYZ), or n2p2's input.data. "
        "Structures that are marked `set=test` are used as test structures, not for the fit.",
        example='["train.xyz"]',
    )
    test: tuple[Path, ...] | None = key(
        "Files with test structures. The fit does not use them.", None, example='["test.xyz"]', restart="free"
    )
    test_fraction: float = key(
        "Fraction of the structures in `train` that is used as test structures, not for the fit.", 0.0, rule=FRACTION
    )
    validation_fraction: float = key(
        "Fraction of the training structures that is set aside for validation. They decide when the fit stops, and "
        "which epoch's weights are saved.",
        0.1,
        rule=FRACTION,
    )
    seed: int = key("Random seed of the division into training, validation and test structures.", 1, rule=SEED)
    exclude: tuple[str, ...] | None = key(
        "Structures of `train` and `test` to leave out, as FILE:NUMBER, the name that messages use (numbers start at "
        "0; the directory is optional). They are skipped without being checked, so this also skips a broken structure.",
        None,
        example='["train.xyz:41"]',
    )
    keys: dict[str, str] = key(
        "Names that the files use for labels: of energy (eV), forces (eV/Å), stress (eV/Å^3, tension positive), virial "
        "(eV, minus volume times stress), charges (e) and total_charge (e). What has the standard name is not used "
        "then. By default, the labels have the names energy, forces, stress and so on. Not for input.data.",
        {},
        rule=Rule(
            lambda v: set(v) <= set(QUANTITIES_OF_FILES) and len(set(v.values())) == len(v),
            f"must give names, each once, to any of {', '.join(QUANTITIES_OF_FILES)}",
        ),
        example='{energy = "REF_energy", forces = "REF_forces"}',
    )
    offsets_eV: dict[str, float] = key(
        "Energy of one atom of each element, in eV, which is subtracted before the fit. By default, these energies are "
        "fitted to the data.",
        {},
        example="{Si = -107.1}",
    )
    weights: dict[str, float] = key(
        "Weights in the loss of the energies, forces and stresses of configurations of one config_type. A weight that "
        "is not given is 1.",
        {},
        rule=Rule(lambda v: all(w >= 0 for w in v.values()), "must not have negative weights"),
        example="{Surface = {energy = 2.0, force = 1.0}}",
    )
    length_unit: str | None = key(
        "Unit of length of input.data files: Angstrom, Bohr or nm.", None, rule=LENGTH_UNIT, example='"Bohr"'
    )
    energy_unit: str | None = key(
        "Unit of energy of input.data files: eV, Hartree, Rydberg, kJ/mol or kcal/mol.",
        None,
        rule=ENERGY_UNIT,
        example='"Hartree"',
    )


@dataclass(frozen=True)
class ModelConfig:
    """What kind of potential is fitted (docs/guide/graph.md)."""

    kind: Literal["hdnnp", "graph"] = key(
        "hdnnp: fixed symmetry functions and a network for each element. graph: learned descriptors and messages "
        "between neighbours; it is always fitted by adam, and uses no [descriptors] but cutoff_A, and no "
        "network.hidden and network.activation.",
        "hdnnp",
    )
    layers: int = key(
        "graph: number of layers. Atoms see as far as this number times cutoff_A.", 2, rule=_between(1, 8)
    )
    channels: int = key("graph: number of features of an atom.", 16, rule=_between(1, 256))
    radial: int = key(
        "graph: number of radial functions, of which those of each channel are sums.", 8, rule=_between(1, 64)
    )
    degree: int = key("graph: highest degree of the spherical harmonics.", 4, rule=_between(0, 8))
    hidden: int = key("graph: nodes in each of the two hidden layers of a layer's network.", 32, rule=_between(1, 1024))


@dataclass(frozen=True)
class DescriptorsConfig:
    """The symmetry functions: generated from a few settings, selected from a pool, or read from an input.nn."""

    cutoff_A: float = key("Cutoff radius in Å.", rule=CUTOFF, example="5.2")
    radial: int | None = key(
        "Number of radial functions for each neighbour element; by default 10.", None, rule=FUNCTIONS, example="10"
    )
    angular: int | None = key(
        "Number of radial windows of the angular functions, for each pair of neighbour elements; by default 5.",
        None,
        rule=WINDOWS,
        example="5",
    )
    max_zeta: int = key(
        "Angular resolution: highest power of the cosine of the angle. Each window has max_zeta + 1 functions.",
        8,
        rule=ZETA,
    )
    cutoff_type: Literal["cos", "tanh", "poly1", "poly2", "poly3", "poly4"] = key(
        "Cutoff function; poly2 is twice continuously differentiable.", "poly2"
    )
    select: int | None = key(
        "Number of functions for each element to select from a large pool by means of the training data, instead of "
        "generating them from `radial` and `angular`. By default, functions are generated; but if these were more than "
        "64 for an element (as with several elements), 48 are selected.",
        None,
        rule=FUNCTIONS,
        example="40",
    )
    functions: Path | None = key(
        "An input.nn whose symmetry functions and cutoff function are used instead; cutoff_A is its largest cutoff.",
        None,
        example='"input.nn"',
    )
    functions_length_unit: str | None = key(
        "Unit of length of `functions`: Angstrom, Bohr or nm. By default, the unit in mdnnp.toml in the same "
        "directory; without that file, Angstrom.",
        None,
        rule=LENGTH_UNIT,
        example='"Bohr"',
    )


@dataclass(frozen=True)
class NetworkConfig:
    """The network of each element."""

    hidden: tuple[int, ...] = key("Number of nodes in each hidden layer.", (20, 20), rule=LAYERS, example="[20, 20]")
    activation: Literal["tanh", "logistic", "softplus", "gaussian"] = key(
        "Activation function of the hidden nodes.", "tanh"
    )
    terms: Path | None = key(
        "A TOML file of [[terms]], such as a ZBL repulsion, which are not fitted. The network is fitted to the labels "
        "minus these terms, and the potential that is written is the sum (docs/guide/potentials.md).",
        None,
        example='"terms.toml"',
    )


@dataclass(frozen=True)
class ChargesConfig:
    """Charges of a fourth-generation potential: every charge depends on all atoms (docs/guide/electrostatics.md)."""

    learned_from: Literal["none", "labels", "energies"] = key(
        "What the charges are fitted to. none: a potential without charges. labels: reference charges of all training "
        "structures; electronegativities and hardness are fitted to these first, then the short-range networks, which "
        "see the charges, to the energies and forces minus those of the charges. energies: electronegativities, "
        "hardness and short-range networks are fitted together, to energies and forces; no charges are needed.",
        "none",
        example='"labels"',
    )
    hidden: tuple[int, ...] = key(
        "Number of nodes in each hidden layer of the networks of the electronegativities.",
        (15, 15),
        rule=LAYERS,
        example="[15, 15]",
    )
    widths_A: dict[str, float] = key(
        "Width of the Gaussian charge of each element, in Å; by default its covalent radius.",
        {},
        rule=Rule(lambda v: all(0.1 <= w <= 5 for w in v.values()), "must have widths between 0.1 and 5 Å"),
        example="{Na = 1.66, Cl = 1.02}",
    )
    hardness_eV: dict[str, float] = key(
        "Hardness of each element at the start of the fit, in eV/e^2; by default 5.",
        {},
        rule=Rule(lambda v: all(j > 0 for j in v.values()), "must have positive hardness"),
        example="{Na = 5.0, Cl = 5.0}",
    )
    electronegativities_eV: dict[str, float] = key(
        "Electronegativity of each element at the start of the fit, in eV/e; only differences matter. By default 0. "
        'Give them with "energies", so that the charges start with the right signs.',
        {},
        rule=Rule(lambda v: all(map(math.isfinite, v.values())), "must have finite values"),
        example="{Na = 2.8, Cl = 8.3}",
    )
    tolerance_e: float = key("labels: tolerance of a charge, in e.", 0.01, rule=POSITIVE)
    epochs: int = key(
        "labels: largest number of epochs of the fit to the charges.", 50, rule=AT_LEAST_ONE, restart="free"
    )
    prior: float = key(
        "labels: strength of the regularization of the fit to the charges, as fit.prior.", 1.0, rule=NOT_NEGATIVE
    )


ONLY_LABELS = ("tolerance_e", "epochs", "prior")  # keys of [charges] that only a fit to labels has


@dataclass(frozen=True)
class FitConfig:
    """The loss and how it is minimised.

    Errors of energies, forces and stresses are divided by their tolerances, squared and summed.
    """

    optimizer: Literal["levenberg-marquardt", "adam"] = key(
        "levenberg-marquardt is a second-order method that uses all data in each step; adam is a first-order method "
        "that uses a few structures in each step.",
        "levenberg-marquardt",
    )
    epochs: int = key("Largest number of epochs.", 100, rule=AT_LEAST_ONE, restart="free")
    patience: int = key(
        "The fit stops when the errors of the validation structures have not improved for this number of epochs, and "
        "saves the weights of the best epoch. Epochs count after energy_loosening has ended. An improvement lowers the "
        "geometric mean of (1 + loss) over the validation structures by 0.5 % or more; one bad structure hardly "
        "changes this mean.",
        15,
        rule=AT_LEAST_ONE,
        restart="free",
    )
    time_limit_minutes: float | None = key(
        "No new epoch starts after this time. By default, there is no limit.",
        None,
        rule=POSITIVE,
        restart="free",
        example="30",
    )
    energy_tolerance_meV: float = key(
        "Tolerance of the energy per atom, in meV. A smaller tolerance gives the energies more weight in the loss.",
        0.3,
        rule=POSITIVE,
    )
    energy_loosening: float = key(
        "At the start, the tolerance of the energy is larger by this factor. After five epochs, the factor becomes "
        "smaller by 20 % in each epoch, until it is 1. With adam, it becomes smaller between a fifth and four fifths "
        "of the epochs.",
        10.0,
        rule=AT_LEAST_ONE,
    )
    force_tolerance_meV_A: float = key("Tolerance of a force component, in meV/Å.", 100.0, rule=POSITIVE)
    stress_tolerance_meV: float = key(
        "Tolerance of a stress component times the volume per atom, in meV.", 20.0, rule=POSITIVE
    )
    use_stress: bool = key("Fit stresses too, where the data have them.", True)
    prior: float = key(
        "Strength of the regularization: a larger value gives smoother networks. The loss contains this value times "
        "the sum of the squared weights, times the mean squared force error (in units of its tolerance).",
        50.0,
        rule=NOT_NEGATIVE,
    )
    networks: int = key(
        "Number of networks to fit from different initial weights. The potential is their mean: its errors are "
        "reported, and it is written as one network.",
        1,
        rule=MEMBERS,
    )
    members: int = key("Number of potentials to fit. With more than 1, the result is a committee.", 1, rule=MEMBERS)
    bootstrap: bool = key(
        "Train each member of a committee on its own random sample of the training structures (drawn with "
        "replacement).",
        False,
    )
    seed: int = key("Random seed of the initial weights.", 1, rule=SEED)
    learning_rate: float = key("adam: learning rate at the start.", 0.003, rule=POSITIVE)
    batch_structures: int = key("adam: number of structures in each step.", 4, rule=AT_LEAST_ONE)


@dataclass(frozen=True)
class OutputConfig:
    """Where the results are written."""

    potential: Path | None = key(
        "Directory for the potential; by default INPUT-potential, with the name of the input file.",
        None,
        restart="free",
        example='"potential"',
    )
    report: Path | None = key(
        "Report with figures; by default INPUT.html, with the name of the input file.",
        None,
        restart="free",
        example='"report.html"',
    )
    keep_descriptors: bool = key(
        "Do not delete the stored symmetry functions (INPUT-descriptors) after the fit. The next fit with the same "
        "structures and functions reads them.",
        False,
        restart="free",
    )


SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "model": ModelConfig,
    "descriptors": DescriptorsConfig,
    "network": NetworkConfig,
    "charges": ChargesConfig,
    "fit": FitConfig,
    "output": OutputConfig,
}


@dataclass(frozen=True)
class TrainConfig:
    """The input of a fit; paths are absolute.

    source : the input file
    text : its verbatim text
    lines : of the keys that it gives, by 'section.key'
    """

    data: DataConfig
    model: ModelConfig
    descriptors: DescriptorsConfig
    network: NetworkConfig
    charges: ChargesConfig
    fit: FitConfig
    output: OutputConfig
    source: Path
    text: str
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    def at(self, key: str) -> str:
        """'section.key at file:line', for messages; without a line where the key has its default."""
        return f"{key} at {self.source}" + (f":{self.lines[key]}" if key in self.lines else "")

    @property
    def optimizer(self) -> Literal["levenberg-marquardt", "adam"]:
        """The optimizer: of a graph potential Adam."""
        return "adam" if self.model.kind == "graph" else self.fit.optimizer

    @property
    def potential_path(self) -> Path:
        """Directory of the potential, or of the committee."""
        return self.output.potential or self.source.with_name(f"{self.source.stem}-potential")

    @property
    def report_path(self) -> Path:
        """The report."""
        return self.output.report or self.source.with_suffix(".html")

    @property
    def checkpoint_path(self) -> Path:
        """The checkpoint, beside the input."""
        return self.source.with_suffix(".checkpoint")

    @property
    def charges_checkpoint_path(self) -> Path:
        """The checkpoint of the fit to the charges, beside the input."""
        return self.source.with_suffix(".charges.checkpoint")

    @property
    def epochs_path(self) -> Path:
        """Table of the epochs, beside the input."""
        return self.source.with_suffix(".epochs.csv")

    @property
    def descriptors_path(self) -> Path:
        """Directory of the stored descriptors, beside the input."""
        return self.source.with_name(f"{self.source.stem}-descriptors")


def read_train_config(path: str | Path) -> TrainConfig:
    """Read the input file of a fit.

    Raises FileError if it cannot be read, and InputError with one line for each of its mistakes.
    """
    return _build(read_toml(path), Path(path))


def parse_train_config(text: str, source: str | Path = "train.toml") -> TrainConfig:
    """As `read_train_config`, from a text; `source` is the file that it stands for."""
    return _build(parse_toml(text, str(source)), Path(source))


def _build(document: Document, source: Path) -> TrainConfig:
    values, mistakes = read_records(document, SECTIONS, source.parent)
    refuse(mistakes + _contradictions(document, values))
    records = {section: record(**values[section]) for section, record in SECTIONS.items()}
    return TrainConfig(**records, source=source.absolute(), text=document.text, lines=document.by_name())


def _contradictions(document: Document, values: dict[str, dict]) -> list[Flaw]:
    """Keys that exclude each other."""
    excluding = (
        ("data", "test", "test_fraction"),
        ("descriptors", "functions", "select"),
        ("descriptors", "functions", "cutoff_type"),
        ("descriptors", "select", "radial"),
        ("descriptors", "select", "angular"),
        ("descriptors", "functions", "radial"),
        ("descriptors", "functions", "angular"),
        ("descriptors", "functions", "max_zeta"),
    )
    mistakes = [
        Flaw(
            document.lines[section, key],
            f"{section}.{key} at {document.at((section, key))} has no effect without {section}.{needed}; give both",
        )
        for section, key, needed in (("descriptors", "functions_length_unit", "functions"),)
        if key in values[section] and needed not in values[section] and (section, key) in document.lines
    ]
    mistakes += _of_other_kinds(document, values)
    if values["charges"].get("learned_from", "none") != "none" and values["fit"].get("members", 1) > 1:
        where = document.at(("fit", "members"))
        text = f"fit.members at {where}: a committee with charges cannot be fitted"
        mistakes.append(Flaw(document.lines["fit", "members"], text))
    if values["charges"].get("learned_from") == "energies" and values["fit"].get("networks", 1) > 1:
        where = document.at(("fit", "networks"))
        text = f'fit.networks at {where}: must be 1 with charges.learned_from = "energies", as each has its own charges'
        mistakes.append(Flaw(document.lines["fit", "networks"], text))
    for name in values["data"].get("offsets_eV", {}):
        if atomic_numbers.get(name, 0) == 0:
            mistakes.append(_of_table(document, "offsets_eV", name, f"{name!r} is no chemical element"))
    for table in ("widths_A", "hardness_eV", "electronegativities_eV"):
        for name in values["charges"].get(table, {}):
            if atomic_numbers.get(name, 0) == 0:
                mistakes.append(_of_table(document, table, name, f"{name!r} is no chemical element", "charges"))
    for name in values["data"].get("weights", {}):
        if name.rpartition(".")[2] not in QUANTITIES:
            known = "expected CONFIG_TYPE = {energy = ..., force = ..., stress = ...}, any of the three"
            mistakes.append(_of_table(document, "weights", name, f"{name!r}: {known}"))
    return mistakes + [
        Flaw(
            document.lines.get((section, b), math.inf),
            f"{section}.{b} at {document.at((section, b))} contradicts {section}.{a}; remove one of them",
        )
        for section, a, b in excluding
        if a in values[section] and b in values[section] and (section, b) in document.lines
    ]


_NOT_OF_GRAPHS = (
    *(("descriptors", name) for name in ("radial", "angular", "max_zeta", "cutoff_type", "select", "functions")),
    ("network", "hidden"), ("network", "activation"), ("charges", "learned_from"), ("output", "keep_descriptors"),
)  # fmt: skip


def _of_other_kinds(document: Document, values: dict[str, dict]) -> list[Flaw]:
    """Keys that a potential of this kind does not use."""
    if values["model"].get("kind", "hdnnp") == "graph":
        given = [path for path in _NOT_OF_GRAPHS if path in document.lines]
        if values["fit"].get("optimizer") == "levenberg-marquardt":
            given.append(("fit", "optimizer"))
        why = 'has no effect with model.kind = "graph"; remove it'
    else:
        given = [("model", name) for name in values["model"] if name != "kind" and ("model", name) in document.lines]
        why = 'has no effect without model.kind = "graph"; give both, or remove it'
    return [Flaw(document.lines[path], f"{'.'.join(path)} at {document.at(path)} {why}") for path in given]


def _of_table(document: Document, table: str, name: str, text: str, section: str = "data") -> Flaw:
    """A mistake in an entry of a table of a section; `name` is dotted."""
    path = (section, table, *name.split("."))
    found = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in document.lines), None)
    if found is None:  # the section itself is misspelt, which is a mistake of its own
        return Flaw(math.inf, f"{section}.{table}: {text}")
    return Flaw(document.lines[found], f"{section}.{table} at {document.at(found)}: {text}")
