"""The input of a run: a TOML file, read strictly into frozen records.

The records are the only description of the input: the text of `mdnnp init`, the reference in docs/reference/run.md
and the comparison at a restart derive from them. Names carry units; paths are relative to the input file.
"""
# ruff: noqa: RUF009 (`key` makes the fields)

import json
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from mdnnp.base import units
from mdnnp.base.checkpoint import previous_path
from mdnnp.base.inputs.records import Rule, key, read_records, refuse
from mdnnp.base.inputs.rules import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SEED
from mdnnp.base.inputs.toml import Document, Flaw, parse_toml, read_toml, toml_value

STEPS = Rule(lambda v: 0 <= v <= 10**12, "must not be negative (nor above 1e12)")
TIMESTEP = Rule(
    lambda v: 1e-6 <= v <= 100,
    "must be from 1e-6 to 100 fs; usual are 0.5 fs with hydrogen and 1 to 2 fs without",
)
TEMPERATURE = Rule(lambda v: 0 <= v <= 1e6, "must lie between 0 and 1e6 K")
REPEATS = Rule(lambda v: all(1 <= n <= 10_000 for n in v), "needs three whole numbers, each at least 1")
THERMOSTAT = Rule(lambda v: 0 < v <= 1e7, "must be larger than 0, and is in femtoseconds")
FRICTION = Rule(lambda v: 0 < v <= 1e6, "must be larger than 0, and is in 1/ps")
PRESSURE = Rule(lambda v: -1e4 <= v <= 1e4, "must lie between -1e4 and 1e4 GPa; 1 bar is 0.0001")
COMPRESSIBILITY = Rule(lambda v: 0 < v <= 1e4, "must be larger than 0, and is in 1/GPa")
ATOMS = Rule(
    lambda v: all(0 <= n < 2**31 for n in v) and len(set(v)) == len(v),
    "must be indices of atoms, counted from 0, each only once",
)
INDEX = Rule(lambda v: -(2**31) <= v < 2**31, "must be the number of a structure, from 0, or -1 for the last")
SKIN = Rule(lambda v: 0 <= v <= 10, "must lie between 0 and 10 Å")
LENGTH_UNIT = Rule(units.is_length, "must be a unit of length: Angstrom, Bohr or nm")
ENERGY_UNIT = Rule(units.is_energy, "must be a unit of energy: eV, Hartree, Rydberg, kJ/mol or kcal/mol")
MASSES = Rule(
    lambda v: all(_is_element(s) and 0 < m < 1000 for s, m in v.items()),
    "needs element symbols with masses in u (above 0, below 1000), such as {H = 2.014}",
)


@dataclass(frozen=True)
class StructureConfig:
    """Where the atoms start."""

    file: Path = key(
        "Starting structure: any format that ASE reads (xyz, cif, POSCAR, ...), or n2p2's input.data.",
        restart="free",
        example='"structure.xyz"',
    )
    index: int = key("Which structure of the file, counted from 0; -1 is the last.", -1, rule=INDEX, restart="free")
    length_unit: str | None = key(
        "Unit of length of an input.data file (the file does not state its units): Angstrom, Bohr or nm.",
        None,
        rule=LENGTH_UNIT,
        restart="free",
        example='"Bohr"',
    )
    energy_unit: str | None = key(
        "Unit of energy of an input.data file: eV, Hartree, Rydberg, kJ/mol or kcal/mol.",
        None,
        rule=ENERGY_UNIT,
        restart="free",
        example='"Hartree"',
    )
    replicate: tuple[int, int, int] = key(
        "Copies of the structure along its cell vectors a, b, c.",
        (1, 1, 1),
        rule=REPEATS,
        example="[2, 2, 2]",
    )
    pbc: tuple[bool, bool, bool] | None = key(
        "Whether the system is periodic along a, b, c. By default, the structure file decides.",
        None,
        example="[true, true, false]",
    )
    masses: dict[str, float] = key(
        "Masses in u that differ from the standard atomic weights (isotopes).",
        {},
        rule=MASSES,
        example="{H = 2.014}",
    )


@dataclass(frozen=True)
class PotentialConfig:
    """The interatomic potential."""

    path: Path = key(
        "Directory of an n2p2 potential (input.nn, scaling.data, weights.*.data), directory of a committee "
        "(member-1, member-2, ...), or a TOML file of another kind of potential (docs/guide/potentials.md).",
        restart="free",
        example='"potential"',
    )
    length_unit: str | None = key(
        "Unit of length of the potential: Angstrom, Bohr or nm. Required unless mdnnp.toml in its directory states it.",
        None,
        rule=LENGTH_UNIT,
        restart="free",
        example='"Bohr"',
    )
    energy_unit: str | None = key(
        "Unit of energy of the potential: eV, Hartree, Rydberg, kJ/mol or kcal/mol. Required unless "
        "mdnnp.toml in its directory states it.",
        None,
        rule=ENERGY_UNIT,
        restart="free",
        example='"Hartree"',
    )
    precision: Literal["double", "mixed"] = key(
        "Precision of a neural network potential. Mixed is faster: single precision in the sums over pairs of "
        "neighbours, double in everything else; forces change by a few millionths.",
        "double",
    )


@dataclass(frozen=True)
class DynamicsConfig:
    """How the atoms move: velocity Verlet, with a thermostat and a barostat if the ensemble has them."""

    steps: int = key(
        "Number of steps after the equilibration. 0 evaluates only the starting structure. To extend a finished run, "
        "increase this number and use --resume (not for a run with a temperature or pressure ramp).",
        rule=STEPS,
        restart="free",
        example="10000",
    )
    timestep_fs: float = key(
        "Time step in fs. Use at most a tenth of the period of the fastest vibration; the run prints this period.",
        rule=TIMESTEP,
        example="0.5",
    )
    ensemble: Literal["nve", "nvt-langevin", "nvt-nose-hoover", "nvt-rescale", "npt-mtk", "npt-rescale"] = key(
        "What is constant: the energy (nve); volume and temperature (nvt-), by Langevin dynamics, a Nose-Hoover "
        "chain or stochastic velocity rescaling; pressure and temperature (npt-) with Martyna-Tobias-Klein dynamics "
        "or stochastic cell and velocity rescaling.",
        "nve",
    )
    velocities: Literal["maxwell-boltzmann", "file", "zero"] = key(
        "Starting velocities: random at temperature_K (maxwell-boltzmann), from the structure file (file), or zero.",
        "maxwell-boltzmann",
    )
    temperature_K: float | None = key(
        "Temperature in K of random starting velocities, of the equilibration and of the thermostat. Required if the "
        "run has any of these.",
        None,
        rule=TEMPERATURE,
        example="300",
    )
    temperature_end_K: float | None = key(
        "Temperature at the end, in K: the thermostat goes linearly from temperature_K to it during `steps`.",
        None,
        rule=TEMPERATURE,
        example="600",
    )
    friction_per_ps: float = key(
        "nvt-langevin: friction coefficient, in 1/ps. Its inverse is the relaxation time of the velocities.",
        1.0,
        rule=FRICTION,
    )
    thermostat_time_fs: float = key(
        "Other thermostats: relaxation time in fs, of the kinetic energy (rescale), or from which the masses of the "
        "chain follow (nose-hoover, mtk).",
        100.0,
        rule=THERMOSTAT,
    )
    pressure_GPa: float | None = key(
        "npt-: external pressure in GPa, positive in compression. Required for these ensembles.",
        None,
        rule=PRESSURE,
        example="0.0001",
    )
    pressure_end_GPa: float | None = key(
        "npt-: pressure at the end, in GPa: it goes linearly from pressure_GPa to this value during `steps`.",
        None,
        rule=PRESSURE,
        example="10",
    )
    barostat_time_fs: float = key(
        "npt-: relaxation time in fs, of the volume (rescale), or from which the mass of the cell follows (mtk).",
        1000.0,
        rule=THERMOSTAT,
    )
    cell: Literal["isotropic", "anisotropic", "flexible"] = key(
        "npt-: what may change: only the volume (isotropic); the lengths along x, y and z (anisotropic); all lengths "
        "and angles (flexible). Use isotropic for a liquid.",
        "isotropic",
    )
    compressibility_per_GPa: float | None = key(
        "npt-rescale: estimate of the isothermal compressibility, in 1/GPa: about 0.5 for liquids, 0.01 for metals and "
        "semiconductors. Only the relaxation time depends on it. Required for this ensemble.",
        None,
        rule=COMPRESSIBILITY,
        example="0.5",
    )
    fixed: tuple[int, ...] = key(
        "Atoms that do not move, counted from 0 in the replicated structure. Not possible with npt-.",
        (),
        rule=ATOMS,
        example="[0, 1, 2]",
    )
    seed: int = key("Seed of the random velocities, thermostats and barostats.", 1, rule=SEED)
    exact_temperature: bool = key(
        "Scale random starting velocities to exactly temperature_K. If false, their temperature fluctuates around it.",
        True,
    )
    remove_momentum: bool = key(
        "Remove the centre-of-mass motion from the starting velocities, and, if no direction is periodic, the rotation "
        "from random ones. Both stay zero during the run, except with nvt-langevin.",
        True,
    )
    equilibration_steps: int = key(
        "Number of steps at the start in which the velocities are scaled to temperature_K every 10 steps, at a fixed "
        "cell. The energy drift is measured after them.",
        0,
        rule=STEPS,
    )
    skin_A: float = key(
        "Margin of the neighbour list beyond the cutoff, in Å. It changes the speed, and the results only by rounding.",
        1.0,
        rule=SKIN,
    )

    @property
    def has_barostat(self) -> bool:
        """Whether the cell moves."""
        return self.ensemble.startswith("npt")

    @property
    def has_ramp(self) -> bool:
        """Whether temperature or pressure change during the run."""
        return self.temperature_end_K is not None or self.pressure_end_GPa is not None


@dataclass(frozen=True)
class OutputConfig:
    """What the run writes, and how often."""

    file: Path | None = key(
        "Trajectory in H5MD format; by default INPUT.h5, with the name of the input file. The checkpoint is written to "
        "the same directory.",
        None,
        restart="free",
        example='"run.h5"',
    )
    frame_interval: int = key(
        "Steps between frames of the trajectory (positions, velocities, forces).", 100, rule=AT_LEAST_ONE
    )
    thermo_interval: int = key(
        "Steps between records of energy, temperature, stress and momentum. The energy drift is computed from them.",
        10,
        rule=AT_LEAST_ONE,
    )
    checkpoint_interval: int = key(
        "Steps between checkpoints. `mdnnp run --resume` continues from the last one.",
        1000,
        rule=AT_LEAST_ONE,
        restart="free",
    )
    log_interval: int | None = key(
        "Steps between lines on the screen; by default 1/20 of the run.",
        None,
        rule=AT_LEAST_ONE,
        restart="free",
        example="1000",
    )
    velocities: bool = key("Write velocities into the frames.", True)
    forces: bool = key("Write forces into the frames.", True)
    heat_current: bool = key(
        "Record the heat current. `mdnnp analyze` computes the thermal conductivity from it. This makes steps slower.",
        False,
    )


@dataclass(frozen=True)
class LimitsConfig:
    """Limits that stop a run that goes wrong. The files written until then stay usable."""

    max_extrapolations: int | None = key(
        "Stop after more than this number of extrapolations. One extrapolation is a symmetry function of one atom that "
        "is outside the range of scaling.data in one step. By default, the run never stops for this.",
        None,
        rule=NOT_NEGATIVE,
        restart="free",
        example="1000",
    )
    max_force_disagreement_eV_A: float | None = key(
        "Stop if the members of a committee disagree by more than this on the force on an atom, in eV/Å. By default, "
        "the run never stops for this.",
        None,
        rule=POSITIVE,
        restart="free",
        example="1.0",
    )
    max_temperature_K: float = key("Stop above this temperature, in K.", 50_000.0, rule=POSITIVE, restart="free")
    max_displacement_A: float = key(
        "Stop if an atom moves further than this in one step, in Å.", 1.0, rule=POSITIVE, restart="free"
    )


@dataclass(frozen=True)
class CommitteeConfig:
    """Which configurations a run with a committee (directories member-1, member-2, ...) saves for labelling."""

    collect_above_eV_A: float | None = key(
        "Save configurations in which the members disagree by more than this on the force on an atom, in eV/Å (root "
        "mean square deviation from their mean). By default, none are saved.",
        None,
        rule=POSITIVE,
        restart="free",
        example="0.2",
    )
    collect_file: Path | None = key(
        "Extended XYZ file for them; by default INPUT.collected.xyz, with the name of the input file.",
        None,
        restart="free",
        example='"collected.xyz"',
    )
    collect_interval: int = key(
        "Smallest number of steps between two saved configurations.", 100, rule=AT_LEAST_ONE, restart="free"
    )
    collect_most: int = key("Largest number of saved configurations.", 100, rule=AT_LEAST_ONE, restart="free")


_RAMP = ("temperature_end_K",)
_BAROSTAT = ("thermostat_time_fs", "pressure_GPa", "pressure_end_GPa", "barostat_time_fs", "cell")
KEYS_OF_ENSEMBLES: dict[str, tuple[str, ...]] = {
    "nve": ("fixed",),
    "nvt-langevin": (*_RAMP, "friction_per_ps", "fixed"),
    "nvt-nose-hoover": (*_RAMP, "thermostat_time_fs", "fixed"),
    "nvt-rescale": (*_RAMP, "thermostat_time_fs", "fixed"),
    "npt-mtk": (*_RAMP, *_BAROSTAT),
    "npt-rescale": (*_RAMP, *_BAROSTAT, "compressibility_per_GPa"),
}
STEPS_PER_RELAXATION = 10  # fewest, where a shorter time makes the dynamics unstable
_RELAXATIONS: dict[str, tuple[str, ...]] = {
    "nvt-nose-hoover": ("thermostat_time_fs",),
    "npt-mtk": ("thermostat_time_fs", "barostat_time_fs"),
    "npt-rescale": ("barostat_time_fs",),
}

SECTIONS: dict[str, type] = {
    "structure": StructureConfig,
    "potential": PotentialConfig,
    "dynamics": DynamicsConfig,
    "output": OutputConfig,
    "limits": LimitsConfig,
    "committee": CommitteeConfig,
}


@dataclass(frozen=True)
class RunConfig:
    """The input of a run; paths are absolute.

    source : the input file
    text : its verbatim text
    lines : of the keys that it gives, by 'section.key'
    """

    structure: StructureConfig
    potential: PotentialConfig
    dynamics: DynamicsConfig
    output: OutputConfig
    limits: LimitsConfig
    committee: CommitteeConfig
    source: Path
    text: str
    lines: dict[str, int] = field(default_factory=dict, compare=False)

    def at(self, key: str) -> str:
        """'section.key at file:line', for messages; without a line where the key has its default."""
        return f"{key} at {self.source}" + (f":{self.lines[key]}" if key in self.lines else "")

    @property
    def trajectory_path(self) -> Path:
        """Where the trajectory goes."""
        return self.output.file or self.source.with_suffix(".h5")

    @property
    def checkpoint_path(self) -> Path:
        """Where the checkpoint goes: beside the trajectory."""
        return self.trajectory_path.with_suffix(".checkpoint")

    @property
    def collect_path(self) -> Path | None:
        """Where configurations on which a committee disagrees are collected; None if they are not."""
        if self.committee.collect_above_eV_A is None:
            return None
        return self.committee.collect_file or self.trajectory_path.with_suffix(".collected.xyz")

    @property
    def output_paths(self) -> tuple[Path, ...]:
        """All files that the run writes."""
        collected = () if self.collect_path is None else (self.collect_path,)
        return (self.trajectory_path, self.checkpoint_path, previous_path(self.checkpoint_path), *collected)

    @property
    def total_steps(self) -> int:
        """Steps of the equilibration and of the run proper."""
        return self.dynamics.equilibration_steps + self.dynamics.steps


def read_config(path: str | Path) -> RunConfig:
    """Read the input file of a run.

    Raises FileError if it cannot be read, and InputError with one line for each of its mistakes.
    """
    return _build(read_toml(path), Path(path))


def parse_config(text: str, source: str | Path = "run.toml") -> RunConfig:
    """As `read_config`, from a text; `source` is the file that it stands for."""
    return _build(parse_toml(text, str(source)), Path(source))


def resolved_text(config: RunConfig) -> str:
    """The input with every default filled in, as TOML."""
    lines, meaningless = [], _meaningless(config.dynamics.ensemble)
    for section, record in SECTIONS.items():
        lines += ["", f"[{section}]"]
        for f in fields(record):
            value = getattr(getattr(config, section), f.name)
            if value not in (None, ()) and not (section == "dynamics" and f.name in meaningless):
                lines.append(f"{f.name} = {toml_value(value)}")
    return "\n".join(lines[1:]) + "\n"


def restart_settings(config: RunConfig) -> dict[str, object]:
    """Settings that must be the same when a run is resumed, by 'section.key', in JSON types."""
    settings = {
        f"{section}.{f.name}": json.loads(json.dumps(getattr(getattr(config, section), f.name)))
        for section, record in SECTIONS.items()
        for f in fields(record)
        if f.metadata.get("restart") != "free"
    }
    if config.dynamics.has_ramp:  # its slope depends on the length of the run
        settings["dynamics.steps"] = config.dynamics.steps
    return settings


def _build(document: Document, source: Path) -> RunConfig:
    values, mistakes = read_records(document, SECTIONS, source.parent)
    refuse(mistakes + _missing_temperature(document, values["dynamics"]) + _unfit(document, values["dynamics"]))
    records = {section: record(**values[section]) for section, record in SECTIONS.items()}
    return RunConfig(**records, source=source.absolute(), text=document.text, lines=document.by_name())


def _missing_temperature(document: Document, dynamics: dict) -> list[Flaw]:
    if "temperature_K" in dynamics or ("dynamics", "temperature_K") in document.lines:
        return []
    reasons = []
    if dynamics.get("velocities", "maxwell-boltzmann") == "maxwell-boltzmann":
        reasons.append('velocities = "maxwell-boltzmann"' + ("" if "velocities" in dynamics else " (the default)"))
    if dynamics.get("equilibration_steps", 0) > 0:
        reasons.append(f"equilibration_steps = {dynamics['equilibration_steps']}")
    if dynamics.get("ensemble", "nve") != "nve":
        reasons.append(f'ensemble = "{dynamics["ensemble"]}"')
    if not reasons:
        return []
    where = _place(document)
    text = f"missing key 'temperature_K' in [dynamics] at {where}: {' and '.join(reasons)} needs it"
    return [Flaw(math.inf, text)]


def _unfit(document: Document, dynamics: dict) -> list[Flaw]:
    """What the ensemble lacks, and what it has no use for."""
    if ("dynamics", "ensemble") in document.lines and "ensemble" not in dynamics:
        return []  # reported already, and unknown
    ensemble = dynamics.get("ensemble", "nve")
    mistakes: list[Flaw] = []

    def complain(name: str, text: str) -> None:
        path = ("dynamics", name)
        shown = (
            f"dynamics.{name} = {toml_value(dynamics[name])} at {document.at(path)}: " if path in document.lines else ""
        )
        mistakes.append(Flaw(document.lines.get(path, math.inf), shown + text))

    for name in _meaningless(ensemble) & dynamics.keys():
        users = [f'"{e}"' for e, names in KEYS_OF_ENSEMBLES.items() if name in names]
        complain(name, f'has no effect with ensemble = "{ensemble}"; remove it, or choose {" or ".join(users)}')
    needed = {"pressure_GPa": "0.0001", "compressibility_per_GPa": "0.5"}
    for name in needed.keys() & set(KEYS_OF_ENSEMBLES[ensemble]):
        if ("dynamics", name) not in document.lines:
            text = f"missing key '{name}' in [dynamics] at {_place(document)}: ensemble = \"{ensemble}\" needs it"
            mistakes.append(Flaw(math.inf, f"{text}; add, for example: {name} = {needed[name]}"))
    if ensemble == "nve":
        return mistakes
    for name in ("temperature_K", "temperature_end_K"):
        if dynamics.get(name) == 0.0:
            complain(name, "a thermostat needs a temperature above 0")
    if not dynamics.get("remove_momentum", True) and ensemble != "nvt-langevin":
        complain("remove_momentum", f'ensemble = "{ensemble}" needs the total momentum to be zero; remove the key')
    shortest = STEPS_PER_RELAXATION * dynamics.get("timestep_fs", 0.0)
    for name in _RELAXATIONS.get(ensemble, ()):
        if dynamics.get(name, math.inf) < shortest:
            complain(name, f"must be at least {STEPS_PER_RELAXATION} time steps, {shortest:g} fs")
    return mistakes


def _meaningless(ensemble: str) -> set[str]:
    """Keys of [dynamics] that another ensemble has, but not this one."""
    return set().union(*KEYS_OF_ENSEMBLES.values()) - set(KEYS_OF_ENSEMBLES[ensemble])


def _place(document: Document) -> str:
    return document.at(("dynamics",)) if ("dynamics",) in document.lines else document.name


def _is_element(symbol: str) -> bool:
    from ase.data import atomic_numbers

    return atomic_numbers.get(symbol, 0) > 0
