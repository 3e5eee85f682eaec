"""The input of a fit: a TOML file, read strictly into frozen records. Paths are relative to the input file."""
# ruff: noqa: RUF009 (`key` makes the fields)

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ase.data import atomic_numbers

from mdnnp.base.inputs.records import Rule, key, read_records, refuse
from mdnnp.base.inputs.rules import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SEED
from mdnnp.base.inputs.toml import Document, Mistake, parse_toml, read_toml
from mdnnp.dynamics.input import ENERGY_UNIT, LENGTH_UNIT

FRACTION = Rule(lambda v: 0 <= v < 1, "must be at least 0 and below 1")
LAYERS = Rule(
    lambda v: len(v) <= 10 and all(1 <= n <= 1000 for n in v),
    "needs numbers of nodes from 1 to 1000, of 10 layers at most",
)
CUTOFF = Rule(lambda v: 1 <= v <= 30, "must lie between 1 and 30 Å")
FUNCTIONS = Rule(lambda v: 1 <= v <= 1000, "must lie between 1 and 1000")
WINDOWS = Rule(lambda v: 0 <= v <= 1000, "must lie between 0 and 1000")
MEMBERS = Rule(lambda v: 1 <= v <= 100, "must lie between 1 and 100")
ZETA = Rule(lambda v: 1 <= v <= 8, "must lie between 1 and 8")
ACTIVATION_LETTERS = {"tanh": "t", "logistic": "s", "softplus": "p", "gaussian": "g"}
RADIAL, ANGULAR = 10, 5
MOST_FUNCTIONS, SELECTED = 64, 48  # if those are more than 64, 48 are selected
QUANTITIES = ("energy", "force", "stress")  # that structures have weights of
CUTOFF_TYPES = {"cos": 1, "tanh": 3, "poly1": 5, "poly2": 6, "poly3": 7, "poly4": 8}


@dataclass(frozen=True)
class DataConfig:
    """Structures with energies, forces and stress."""

    train: tuple[Path, ...] = key(
        "Files to fit: any format that ASE reads (extended XYZ first), or n2p2's input.data. Structures marked "
        "`set=test` are not fitted to but tested on.",
        example='["train.xyz"]',
    )
    test: tuple[Path, ...] | None = key(
        "Files to test on; never seen by the fit.", None, example='["test.xyz"]', restart="free"
    )
    test_fraction: float = key("Part of the structures in `train` to test on instead.", 0.0, rule=FRACTION)
    validation_fraction: float = key(
        "Part of the structures to stop by: the weights that do best on them are kept.", 0.1, rule=FRACTION
    )
    seed: int = key("Seed of the division.", 1, rule=SEED)
    exclude: tuple[str, ...] | None = key(
        "Structures of `train` and `test` to leave out, FILE:NUMBER as messages name them (from 0; the directory may "
        "be left out). They are not looked at, so a broken one may be named, too.",
        None,
        example='["train.xyz:41"]',
    )
    offsets_eV: dict[str, float] = key(
        "Energies of the elements to take off, in eV; by default fitted to the energies.", {}, example="{Si = -107.1}"
    )
    weights: dict[str, float] = key(
        "Weights of kinds of configurations (config_type) in the loss, of their energies, forces and stresses; "
        "1 where not given.",
        {},
        rule=Rule(lambda v: all(w >= 0 for w in v.values()), "needs weights from 0"),
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
class DescriptorsConfig:
    """The symmetry functions: generated from a few settings, selected from a pool, or taken from an input.nn."""

    cutoff_A: float = key("Cutoff radius in Å.", rule=CUTOFF, example="5.2")
    radial: int | None = key(
        "Radial functions for each neighbour element; by default 10.", None, rule=FUNCTIONS, example="10"
    )
    angular: int | None = key(
        "Radial windows of the angular functions, for each pair of neighbour elements; by default 5.",
        None,
        rule=WINDOWS,
        example="5",
    )
    max_zeta: int = key(
        "Angular resolution: degree in the cosine of the angle. Each window has max_zeta + 1 functions.",
        8,
        rule=ZETA,
    )
    cutoff_type: Literal["cos", "tanh", "poly1", "poly2", "poly3", "poly4"] = key(
        "Cutoff function; poly2 is twice continuously differentiable.", "poly2"
    )
    select: int | None = key(
        "Select so many functions for each element from a large pool by the training data, instead of generating "
        "`radial` and `angular` ones; by default 48 where those would be more than 64, as with several elements.",
        None,
        rule=FUNCTIONS,
        example="40",
    )
    functions: Path | None = key(
        "An input.nn whose symmetry functions and cutoff function are taken instead; cutoff_A is its largest cutoff.",
        None,
        example='"input.nn"',
    )
    functions_length_unit: str | None = key(
        "Unit of length of `functions`: Angstrom, Bohr or nm; by default that of mdnnp.toml beside it, else Angstrom.",
        None,
        rule=LENGTH_UNIT,
        example='"Bohr"',
    )


@dataclass(frozen=True)
class NetworkConfig:
    """The network of each element."""

    hidden: tuple[int, ...] = key("Nodes of the hidden layers.", (20, 20), rule=LAYERS, example="[20, 20]")
    activation: Literal["tanh", "logistic", "softplus", "gaussian"] = key("Activation of hidden nodes.", "tanh")
    terms: Path | None = key(
        "A TOML file of [[terms]], such as a ZBL repulsion, which stay as they are: the network is fitted to the "
        "labels minus these terms, and the potential that is written is the sum (docs/potentials.md).",
        None,
        example='"terms.toml"',
    )


@dataclass(frozen=True)
class FitConfig:
    """The loss and how it is minimised.

    Errors of energies, forces and stresses are divided by their tolerances, squared and summed.
    """

    optimizer: Literal["levenberg-marquardt", "adam"] = key(
        "Second-order with all data in each step, or first-order with a few structures in each step.",
        "levenberg-marquardt",
    )
    epochs: int = key("Epochs at most.", 100, rule=AT_LEAST_ONE, restart="free")
    patience: int = key(
        "Epochs without better errors of the validation structures, once energy_loosening has ended, after which the "
        "fit ends and the best one is kept. Better: their typical loss is lower by half a per cent, the geometric mean "
        "of 1 + the loss of a structure, which no single structure decides.",
        15,
        rule=AT_LEAST_ONE,
        restart="free",
    )
    time_limit_minutes: float | None = key(
        "No epoch begins later; by default there is no limit.", None, rule=POSITIVE, restart="free", example="30"
    )
    energy_tolerance_meV: float = key("Tolerance of the energy per atom, in meV.", 0.3, rule=POSITIVE)
    energy_loosening: float = key(
        "How many times wider the tolerance of the energy is at first; after five epochs it is narrowed by a factor "
        "of 0.8 in each epoch.",
        10.0,
        rule=AT_LEAST_ONE,
    )
    force_tolerance_meV_A: float = key("Tolerance of a component of a force, in meV/Å.", 100.0, rule=POSITIVE)
    stress_tolerance_meV: float = key(
        "Tolerance of a component of the stress times the volume per atom, in meV.", 20.0, rule=POSITIVE
    )
    use_stress: bool = key("Fit stresses, where there are any.", True)
    prior: float = key(
        "Coefficient of the sum of the squared weights in the loss, times the mean square of the force errors (in "
        "tolerances): the larger, the smoother the networks.",
        50.0,
        rule=NOT_NEGATIVE,
    )
    networks: int = key(
        "Networks to fit from different starts, whose mean is the potential, judged by its own errors, and written as "
        "one network.",
        1,
        rule=MEMBERS,
    )
    members: int = key("Potentials to fit; above 1 the result is a committee.", 1, rule=MEMBERS)
    bootstrap: bool = key("Give each member of a committee training structures drawn with replacement.", False)
    seed: int = key("Seed of the initial weights.", 1, rule=SEED)
    learning_rate: float = key("Of adam, at the start.", 0.003, rule=POSITIVE)
    batch_structures: int = key("Structures in each step of adam.", 4, rule=AT_LEAST_ONE)


@dataclass(frozen=True)
class OutputConfig:
    """Where the result goes."""

    potential: Path | None = key(
        "Directory of the potential; by default the input's name with -potential.",
        None,
        restart="free",
        example='"potential"',
    )
    report: Path | None = key(
        "Report with figures; by default the input's name with the ending .html.",
        None,
        restart="free",
        example='"report.html"',
    )
    keep_descriptors: bool = key("Keep the stored descriptors after the fit.", False, restart="free")


SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "descriptors": DescriptorsConfig,
    "network": NetworkConfig,
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
    descriptors: DescriptorsConfig
    network: NetworkConfig
    fit: FitConfig
    output: OutputConfig
    source: Path
    text: str
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    def at(self, key: str) -> str:
        """'section.key at file:line', for messages; without a line where the key has its default."""
        return f"{key} at {self.source}" + (f":{self.lines[key]}" if key in self.lines else "")

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


def _contradictions(document: Document, values: dict[str, dict]) -> list[Mistake]:
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
        Mistake(
            document.lines[section, key],
            f"{section}.{key} at {document.at((section, key))} says nothing without {section}.{needed}; give both",
        )
        for section, key, needed in (("descriptors", "functions_length_unit", "functions"),)
        if key in values[section] and needed not in values[section] and (section, key) in document.lines
    ]
    for name in values["data"].get("offsets_eV", {}):
        if atomic_numbers.get(name, 0) == 0:
            mistakes.append(_of_table(document, "offsets_eV", name, f"{name!r} is no chemical element"))
    for name in values["data"].get("weights", {}):
        if name.rpartition(".")[2] not in QUANTITIES:
            known = "a kind of configurations has weights called energy, force, stress"
            mistakes.append(_of_table(document, "weights", name, f"{name!r}: {known}"))
    return mistakes + [
        Mistake(
            document.lines.get((section, b), math.inf),
            f"{section}.{b} at {document.at((section, b))} says something else than {section}.{a} does; leave one out",
        )
        for section, a, b in excluding
        if a in values[section] and b in values[section] and (section, b) in document.lines
    ]


def _of_table(document: Document, table: str, name: str, text: str) -> Mistake:
    """A mistake in an entry of a table of [data]; `name` is dotted."""
    path = ("data", table, *name.split("."))
    found = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in document.lines), None)
    if found is None:  # the section itself is misspelt, which is a mistake of its own
        return Mistake(math.inf, f"data.{table}: {text}")
    return Mistake(document.lines[found], f"data.{table} at {document.at(found)}: {text}")
