"""The data of a fit: the structures, divided into sets, and the symmetry functions."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

from mdnnp.base.errors import FileError, InputError
from mdnnp.base.inputs.toml import read_toml
from mdnnp.base.report import screen
from mdnnp.base.units import length_in_angstrom
from mdnnp.potentials.hdnnp.files.reader import SIDECAR
from mdnnp.potentials.hdnnp.files.settings import read_settings
from mdnnp.potentials.hdnnp.functions.definitions import CUTOFF_NAMES
from mdnnp.potentials.hdnnp.functions.generate import FunctionSets, default_functions
from mdnnp.potentials.interface import Potential
from mdnnp.training.checks import check_dataset, leaks, refuse, summary
from mdnnp.training.dataset import (
    LabelledStructure,
    excluded_numbers,
    read_labelled,
    split,
)
from mdnnp.training.descriptor_store import (
    symbols_of,
)
from mdnnp.training.input import (
    ANGULAR,
    MOST_FUNCTIONS,
    RADIAL,
    SELECTED,
    TrainConfig,
)
from mdnnp.training.selection import choose_functions

SAME_CUTOFF = 1e-3  # relative difference of cutoffs that are the same, rounded
LENGTH_UNITS = ("Bohr", "nm", "Angstrom")


class Sets(NamedTuple):
    """The structures by what they are for."""

    train: list[LabelledStructure]
    validation: list[LabelledStructure]
    test: list[LabelledStructure]


class Functions(NamedTuple):
    """The symmetry functions of every element, lengths in Å, and their cutoff function."""

    functions: FunctionSets
    cutoff_type: int
    cutoff_alpha: float


def read_sets(config: TrainConfig) -> tuple[Sets, list[str]]:
    """Training, validation and test structures, and lines on suspicious data.

    Raises InputError for data that cannot be fitted.
    """
    data = config.data
    files = {"data.train": data.train, "data.test": data.test or (), "descriptors.functions": ()}
    if config.descriptors.functions is not None:
        files["descriptors.functions"] = (config.descriptors.functions,)
    for key, paths in files.items():
        for path in paths:
            if not path.exists():
                raise FileError(f"{config.at(key)}: {path} does not exist")
    exclude = excluded_numbers([*data.train, *(data.test or ())], data.exclude or ())
    structures = read_labelled(data.train, data.length_unit, data.energy_unit, exclude, data.keys)
    test = read_labelled(data.test or (), data.length_unit, data.energy_unit, exclude, data.keys)
    structures, test, marks = _divide_by_marks(config, structures, test)
    findings = check_dataset([*structures, *test])
    refuse(findings)
    unusable = [s.name for s in structures if s.energy_eV is None and s.forces is None]
    if unusable:
        raise InputError(f"{unusable[0]}: has neither energy nor forces to fit")
    if missing := set(symbols_of(s.system for s in test)) - set(symbols_of(s.system for s in structures)):
        raise InputError(f"the test structures have {min(missing)}, which the training structures do not")
    if test:
        findings += leaks(structures, test)
    parts = split(structures, data.validation_fraction, data.test_fraction, data.seed)
    sets = Sets(*([structures[k] for k in part] for part in parts))
    return sets._replace(test=sets.test or test), marks + summary(findings)


def _divide_by_marks(
    config: TrainConfig, structures: list[LabelledStructure], test: list[LabelledStructure]
) -> tuple[list[LabelledStructure], list[LabelledStructure], list[str]]:
    """Structures to fit and to test on, as `set=train` and `set=test` in their files divide them; and lines on that.

    What is marked for testing is never fitted to. Raises InputError if the input divides them in another way.
    """
    marked = [s for s in structures if s.subset == "test"]
    n_train = sum(s.subset == "train" for s in structures)
    if (marked or n_train) and config.data.test_fraction:
        first = next(s for s in structures if s.subset)
        raise InputError(
            f"{config.source.name}: test_fraction = {config.data.test_fraction:g} contradicts the marks in "
            f"{first.file}: set=train {n_train}, set=test {len(marked)} structures; remove test_fraction, or the marks "
            "in the file"
        )
    lines = []
    if marked:
        beside = f", with the {len(test)} of data.test" if test else ""
        lines.append(
            f"{len(marked)} structures are marked set=test: they are used as test structures{beside}, not for the fit"
        )
    if wrong := [s for s in test if s.subset == "train"]:
        lines.append(
            f"{wrong[0].name}: is the first of {len(wrong)} in data.test that are marked set=train; not for the fit"
        )
    fit = [s for s in structures if s.subset != "test"]
    if not fit:
        raise InputError(f"{structures[0].file}: all structures are marked set=test; there are no training structures")
    names = {s.name for s in marked}
    test = [*marked, *(s for s in test if s.name not in names)]
    fit, test = ([dataclasses.replace(s, subset=None) for s in own] for own in (fit, test))
    return fit, test, lines


def without_terms(sets: Sets, fixed: Potential | None) -> Sets:
    """The structures with the labels that fixed terms leave for the network."""
    if fixed is None:
        return sets

    def left(s: LabelledStructure) -> LabelledStructure:
        try:
            results = fixed.compute(s.system)
        except InputError as error:
            raise InputError(f"{s.name}: {fixed.source}: {error}") from None
        return dataclasses.replace(
            s,
            energy_eV=None if s.energy_eV is None else s.energy_eV - results.energy,
            forces=None if s.forces is None else s.forces - results.forces,
            stress=None if s.stress is None else s.stress - results.stress(s.system),
        )

    return Sets(*([left(s) for s in own] for own in sets))


def choose(config: TrainConfig, structures: Sequence[LabelledStructure]) -> Functions:
    """The symmetry functions that [descriptors] asks for."""
    d, symbols = config.descriptors, symbols_of(s.system for s in structures)
    if d.functions is not None:
        settings, length = read_settings(d.functions), _functions_length(config)
        if missing := set(symbols) - set(settings.elements):
            raise InputError(f"{d.functions}: has no functions for {min(missing)}, an element of the structures")
        own = {e: tuple(f.in_unit(length) for f in settings.functions[e]) for e in symbols}
        if foreign := {n for f in own.values() for g in f for n in g.neighbors} - set(symbols):
            raise InputError(f"{d.functions}: has functions with {min(foreign)}, which no structure has")
        _check_cutoff(config, max(f.cutoff for e in symbols for f in settings.functions[e]), length)
        return Functions(own, settings.cutoff_type, settings.cutoff_alpha)
    kind = CUTOFF_NAMES.index(d.cutoff_type)

    def choose(n: int) -> FunctionSets:
        screen.say(f"choosing {n} symmetry functions for each of {', '.join(symbols)} with the training structures")
        bar = screen.progress("candidates")
        return choose_functions(structures, d.cutoff_A, n, max_zeta=d.max_zeta, cutoff_type=kind, progress=bar)

    if d.select is not None:
        return Functions(choose(d.select), kind, 0.0)
    radial, angular = (default if n is None else n for n, default in ((d.radial, RADIAL), (d.angular, ANGULAR)))
    own = default_functions(symbols, d.cutoff_A, radial=radial, angular=angular, max_zeta=d.max_zeta)
    if max(map(len, own.values())) > MOST_FUNCTIONS and d.radial is None and d.angular is None:
        own = choose(SELECTED)
    return Functions(own, kind, 0.0)


def _functions_length(config: TrainConfig) -> float:
    """Å per unit of length of the input.nn in `functions`; Å if neither the input nor mdnnp.toml beside it says."""
    path, given = config.descriptors.functions, config.descriptors.functions_length_unit
    sidecar = path.with_name(SIDECAR)
    stated = read_toml(sidecar).values.get(("length_unit",)) if sidecar.is_file() else None
    if given and stated and length_in_angstrom(given) != length_in_angstrom(str(stated)):
        raise InputError(
            f"{config.source.name}: functions_length_unit = {given!r}, but {sidecar} states {stated!r}; remove it"
        )
    return length_in_angstrom(given or str(stated or "Angstrom"))


def _check_cutoff(config: TrainConfig, cutoff: float, length: float) -> None:
    """Refuse symmetry functions with another cutoff than `cutoff_A`: perhaps they are in another unit."""
    d, cutoff_A = config.descriptors, cutoff * length
    if math.isclose(cutoff_A, d.cutoff_A, rel_tol=SAME_CUTOFF):
        return
    fitting = next(
        (u for u in LENGTH_UNITS if math.isclose(cutoff * length_in_angstrom(u), d.cutoff_A, rel_tol=0.02)), None
    )
    way_out = f'if its lengths are in {fitting}, give functions_length_unit = "{fitting}"; else ' if fitting else ""
    raise InputError(
        f"{config.source.name}: cutoff_A = {d.cutoff_A:g}, but the largest cutoff in {d.functions} is {cutoff:g}, that "
        f"is {cutoff_A:.6g} Å in its unit of length (functions_length_unit); {way_out}give cutoff_A = {cutoff_A:.6g}, "
        "or state the right unit"
    )
