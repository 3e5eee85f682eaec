"""Errors of a potential against labels: statistics by kind and element, worst configurations, range coverage.

Whatever the number of configurations, memory is bounded: sums are exact, and quantiles and figures come from a uniform
random sample of at most SAMPLE values, which is all of them if there are no more.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.quantities import VOIGT
from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.potentials.interface import Potential, Results
from mdnnp.training.dataset import LabelledStructure

SAMPLE = 50_000
WORST = 10  # configurations listed for each quantity
UNITS = {"energy": "meV/atom", "force": "meV/Å", "stress": "GPa", "charge": "me"}


@dataclass(frozen=True)
class Statistics:
    """Of n residuals, predicted minus reference: root mean square, mean absolute, mean, 95 % quantile and maximum.

    quantile_95 and maximum are of the absolute values.
    """

    n: int
    rmse: float
    mae: float
    bias: float
    quantile_95: float
    maximum: float

    @property
    def max_over_rmse(self) -> float:
        """How far the largest residual sticks out; 12 and more is a spike, as long as there are many values."""
        return self.maximum / self.rmse if self.rmse else 0.0


class Sample(NamedTuple):
    """A uniform random sample of values, all of them if they are few.

    reference, residual : (n,) labels, and predicted minus reference; eV/atom minus the potential's constants, eV/Å, GPa
    """

    reference: np.ndarray
    residual: np.ndarray


class Worst(NamedTuple):
    """A configuration with a large error: its largest residual (of a force: length of the vector) and where it is.

    error : in the unit of the quantity; atom : of the force, else -1; element : its symbol, else ""
    """

    error: float
    name: str
    config_type: str
    atom: int
    element: str


@dataclass(frozen=True)
class Quantity:
    """Errors of the energies, forces (by component), stresses (six components) or charges.

    unit : of the statistics; by_kind, by_element (of forces) : statistics of parts; worst : largest errors first
    """

    name: str
    unit: str
    overall: Statistics
    by_kind: dict[str, Statistics]
    by_element: dict[str, Statistics]
    worst: tuple[Worst, ...]
    sample: Sample


@dataclass(frozen=True)
class FunctionRange:
    """A symmetry function (from 1, of an element) that left its range: in how many environments, and how far at most.

    furthest : distance beyond the range, in units of the range's width
    """

    element: str
    function: int
    count: int
    furthest: float


@dataclass(frozen=True)
class Coverage:
    """How many atomic environments lie outside the range of the potential's symmetry functions.

    by_kind : fraction of the environments that do, by kind of configuration; functions : most frequent first
    """

    environments: int
    outside: int
    by_kind: dict[str, float]
    functions: tuple[FunctionRange, ...]

    @property
    def fraction(self) -> float:
        """Fraction of the environments with at least one function out of range."""
        return self.outside / self.environments if self.environments else 0.0


@dataclass(frozen=True)
class Calibration:
    """Whether a committee knows its errors: of the forces on atoms, in meV/Å.

    disagreement : root mean square, 95 % quantile and maximum of the atoms' disagreement; error : root mean square of
    the length of their force errors; correlation : of the two over the atoms (of a sample, if they are many)
    """

    disagreement: float
    quantile_95: float
    maximum: float
    error: float
    correlation: float


@dataclass(frozen=True)
class Errors:
    """Errors against labels; `quantities` holds those of energy, force, stress, charge for which there are labels.

    calibration : of a committee's force disagreement, if there are force labels; else None
    """

    configurations: int
    atoms: int
    unlabelled: int
    quantities: dict[str, Quantity]
    coverage: Coverage
    calibration: Calibration | None = None
    exit_code = 0

    def text(self) -> str:
        """See `table`."""
        return table(self)

    def as_dict(self) -> dict:
        """All but the samples, in types that JSON knows."""
        quantities = {
            name: {
                "unit": q.unit,
                "overall": _statistics(q.overall),
                "by_kind": {kind: _statistics(s) for kind, s in q.by_kind.items()},
                "by_element": {symbol: _statistics(s) for symbol, s in q.by_element.items()},
                "worst": [w._asdict() for w in q.worst],
            }
            for name, q in self.quantities.items()
        }
        counts = {"configurations": self.configurations, "atoms": self.atoms, "unlabelled": self.unlabelled}
        coverage = asdict(self.coverage) | {"fraction": self.coverage.fraction}
        committee = {} if self.calibration is None else {"committee": asdict(self.calibration)}
        return counts | quantities | {"coverage": coverage} | committee


def _statistics(s: Statistics) -> dict:
    return asdict(s) | {"max_over_rmse": s.max_over_rmse}


def evaluate(
    potential: Potential,
    structures: Iterable[LabelledStructure],
    *,
    by: Literal["config_type", "file", "set"] = "config_type",
) -> Errors:
    """Errors of a potential against the labels of structures, which are taken one by one.

    by : what distinguishes kinds of configurations; those that their file marks as for training or test are always
        told apart, and by "set" nothing else is
    Threads: those of `set_threads`. Raises InputError, naming the structure that cannot be computed, and if there
    are no labels at all.
    """
    tally = ErrorTally(potential, by=by)
    for s in structures:
        try:
            results = potential.compute(s.system)
        except (InputError, PhysicsError) as error:
            raise type(error)(f"{s.name}: {error}") from None
        tally.add(s, results)
    errors = tally.errors()
    if not errors.quantities:
        raise InputError(
            "no structure has an energy, forces or stress to compare with; use labelled data, or `mdnnp predict`"
        )
    return errors


class ErrorTally:
    """Errors that are added up structure by structure: `add` each, then ask for `errors()`."""

    def __init__(self, potential: Potential, *, by: Literal["config_type", "file", "set"] = "config_type"):
        self._potential, self._by = potential, by
        self._quantities = {name: _QuantityTally(name) for name in UNITS}
        self._coverage = _CoverageTally(potential)
        self._disagreement = _Tally()
        self._configurations = self._atoms = self._unlabelled = 0

    def _kind(self, s: LabelledStructure) -> str:
        kind = {"config_type": s.config_type, "file": s.file, "set": ""}[self._by]
        return " ".join(filter(None, (s.subset and f"set={s.subset}", kind)))

    def add(self, s: LabelledStructure, results: Results) -> None:
        """Compare the results of a structure with its labels, where it has any."""
        kind, n = self._kind(s), len(s.system)
        self._configurations += 1
        self._atoms += n
        self._unlabelled += s.energy_eV is None and s.forces is None and s.stress is None
        self._coverage.add(s.system, results, kind)
        if s.energy_eV is not None:
            offset = self._potential.offset_energy(s.system.numbers)
            reference = np.array([(s.energy_eV - offset) / n])
            residual = np.array([(results.energy - s.energy_eV) / n])
            self._quantities["energy"].add(s, kind, reference, residual, 1e3 * float(residual[0]))
        if s.forces is not None:
            residual = results.forces - s.forces
            error = np.linalg.norm(residual, axis=1)
            atom = int(np.argmax(error))
            if results.disagreement is not None:
                self._disagreement.add(error, results.disagreement.forces)
            forces = self._quantities["force"]
            forces.add(s, kind, s.forces, residual, 1e3 * float(error[atom]), atom)
            for z in np.unique(s.system.numbers):
                of_element = s.system.numbers == z
                forces.by_element[chemical_symbols[z]].add(s.forces[of_element], residual[of_element])
        if s.charges is not None and len(results.charges):
            residual = results.charges - s.charges
            atom = int(np.argmax(np.abs(residual)))
            charges = self._quantities["charge"]
            charges.add(s, kind, s.charges, residual, 1e3 * float(residual[atom]), atom)
            for z in np.unique(s.system.numbers):
                of_element = s.system.numbers == z
                charges.by_element[chemical_symbols[z]].add(s.charges[of_element], residual[of_element])
        stress = results.stress(s.system)
        if s.stress is not None and stress is not None:
            of_six = tuple(zip(*VOIGT, strict=True))
            reference, predicted = (0.5 * (t + t.T)[of_six] * EV_PER_A3_IN_GPA for t in (s.stress, stress))
            residual = predicted - reference
            largest = residual[np.argmax(np.abs(residual))]
            self._quantities["stress"].add(s, kind, reference, residual, float(largest))

    def errors(self) -> Errors:
        """The errors of all that was added."""
        found = {name: tally.quantity() for name, tally in self._quantities.items() if tally.overall.n}
        calibration = _calibration(self._disagreement, found["force"]) if self._disagreement.n else None
        coverage = self._coverage.coverage()
        return Errors(self._configurations, self._atoms, self._unlabelled, found, coverage, calibration)


def _calibration(tally: "_Tally", force: Quantity) -> Calibration:
    s, (error, disagreement) = tally.statistics(1e3), tally.sample()
    varied = np.ptp(error) > 0 and np.ptp(disagreement) > 0
    return Calibration(
        disagreement=s.rmse,
        quantile_95=s.quantile_95,
        maximum=s.maximum,
        error=math.sqrt(3.0) * force.overall.rmse,
        correlation=float(np.corrcoef(error, disagreement)[0, 1]) if varied else 0.0,
    )


class _QuantityTally:
    """All tallies of one quantity."""

    def __init__(self, name: str):
        self.name, self._factor = name, 1e3 if UNITS[name].startswith("m") else 1.0
        self.overall = _Tally()
        self.by_kind: dict[str, _Tally] = defaultdict(_Tally)
        self.by_element: dict[str, _Tally] = defaultdict(_Tally)
        self._worst: list[tuple[float, int, Worst]] = []

    def add(self, s: LabelledStructure, kind: str, reference, residual, error: float, atom: int = -1) -> None:
        """Values of a structure; `error` is its largest residual, on `atom`."""
        for tally in (self.overall, self.by_kind[kind]):
            tally.add(reference, residual)
        symbol = chemical_symbols[s.system.numbers[atom]] if atom >= 0 else ""
        # The number of the value decides between equal errors: the first stays.
        entry = (abs(error), -self.overall.n, Worst(error, s.name, s.config_type, atom, symbol))
        heapq.heappush(self._worst, entry)
        if len(self._worst) > WORST:
            heapq.heappop(self._worst)

    def quantity(self) -> Quantity:
        def finished(tallies):
            return {key: tallies[key].statistics(self._factor) for key in sorted(tallies)}

        return Quantity(
            name=self.name,
            unit=UNITS[self.name],
            overall=self.overall.statistics(self._factor),
            by_kind=finished(self.by_kind),
            by_element=finished(self.by_element),
            worst=tuple(worst for *_, worst in sorted(self._worst, reverse=True)),
            sample=self.overall.sample(),
        )


class _Tally:
    """Sums over residuals, their maximum, and a sample of them."""

    def __init__(self):
        self.n, self._sum, self._absolute, self._squares, self._maximum = 0, 0.0, 0.0, 0.0, 0.0
        # The sample is of the values with the smallest of random keys: (3, m) keys, references, residuals.
        self._random, self._kept, self._fresh, self._n_fresh = np.random.default_rng(1), np.empty((3, 0)), [], 0

    def add(self, reference, residual) -> None:
        x = np.ravel(residual)
        self.n += len(x)
        self._sum += float(np.sum(x))
        self._absolute += float(np.sum(np.abs(x)))
        self._squares += float(np.sum(np.square(x)))
        self._maximum = float(np.max(np.abs(x), initial=self._maximum))
        self._fresh.append(np.array([self._random.random(len(x)), np.ravel(reference), x]))
        self._n_fresh += len(x)
        if self._n_fresh > SAMPLE:
            self._shrink()

    def _shrink(self) -> None:
        kept = np.hstack([self._kept, *self._fresh])
        if kept.shape[1] > SAMPLE:
            kept = kept[:, np.sort(np.argpartition(kept[0], SAMPLE)[:SAMPLE])]
        self._kept, self._fresh, self._n_fresh = kept, [], 0

    def sample(self) -> Sample:
        self._shrink()
        return Sample(self._kept[1], self._kept[2])

    def statistics(self, factor: float) -> Statistics:
        return Statistics(
            n=self.n,
            rmse=math.sqrt(self._squares / self.n) * factor,
            mae=self._absolute / self.n * factor,
            bias=self._sum / self.n * factor,
            quantile_95=float(np.quantile(np.abs(self.sample().residual), 0.95)) * factor,
            maximum=self._maximum * factor,
        )


@dataclass
class _CoverageTally:
    """Counts of environments and functions out of range."""

    potential: Potential
    environments: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    outside: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    counts: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    furthest: dict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))

    def add(self, system: System, results: Results, kind: str) -> None:
        self.environments[kind] += len(system)
        if results.extrapolation.count == 0:
            return
        atom, function, value, lower, upper = self.potential.all_extrapolations(system, results)[1:]
        self.outside[kind] += len(np.unique(atom))
        width = np.where(upper > lower, upper - lower, 1.0)
        beyond = np.maximum(value - upper, lower - value) / width
        for z, k, far in zip(system.numbers[atom].tolist(), function.tolist(), beyond.tolist(), strict=True):
            self.counts[z, k] += 1
            self.furthest[z, k] = max(self.furthest[z, k], far)

    def coverage(self) -> Coverage:
        functions = [
            FunctionRange(chemical_symbols[z], k, self.counts[z, k], self.furthest[z, k])
            for z, k in sorted(self.counts, key=lambda key: (-self.counts[key], key))
        ]
        by_kind = {kind: self.outside[kind] / n for kind, n in sorted(self.environments.items())}
        return Coverage(sum(self.environments.values()), sum(self.outside.values()), by_kind, tuple(functions))


# ---------------------------------------------------------------------------------------------------------------------
# As text


def brief(errors: Errors) -> list[str]:
    """One line for each quantity."""
    names = {"energy": "energy", "force": "force components", "stress": "stress components", "charge": "charges"}
    return [
        f"{names[q.name]:<18} rms {q.overall.rmse:.4g}, mean absolute {q.overall.mae:.4g}, "
        f"largest {q.overall.maximum:.4g} {q.unit} ({q.overall.n} values)"
        for q in errors.quantities.values()
    ]


def table(errors: Errors, most: int = 5) -> str:
    """Errors, the `most` worst configurations of each quantity, and the coverage as text."""
    width = max([18, *(min(len(label), 40) for label in _labels(errors))])
    lines = [f"{errors.configurations} configurations, {errors.atoms} atoms"]
    if errors.unlabelled:
        lines[0] += f"; {errors.unlabelled} without reference values"
    for q in errors.quantities.values():
        head = f"{q.name} / ({q.unit})"
        lines += [
            "",
            f"{head:<{width}} {'RMSE':>9} {'MAE':>9} {'95 %':>9} {'max':>9} {'max/RMSE':>9} {'bias':>10} {'values':>9}",
        ]
        rows = {"all": q.overall, **({} if set(q.by_kind) == {""} else q.by_kind)}
        if len(q.by_element) > 1:
            rows |= {f"on {symbol}": s for symbol, s in q.by_element.items()}
        for label, s in rows.items():
            lines.append(
                f"{_shortened(label or '(no type)'):<{width}} {s.rmse:>9.4g} {s.mae:>9.4g} {s.quantile_95:>9.4g} "
                f"{s.maximum:>9.4g} {s.max_over_rmse:>9.3g} {s.bias:>10.4g} {s.n:>9}"
            )
    for q in errors.quantities.values():
        lines += ["", f"largest errors of {q.name} / ({q.unit})"]
        lines += [f"{w.error:>10.4g}  {worst_place(w)}" for w in q.worst[:most]]
    committee = [] if errors.calibration is None else [calibration_line(errors.calibration)]
    return "\n".join([*lines, "", coverage_line(errors.coverage), *committee, *remarks(errors)])


def calibration_line(c: Calibration) -> str:
    """How a committee's disagreement compares with its errors, as a sentence."""
    return (
        f"committee: its disagreement on the force on an atom has an rms of {c.disagreement:.4g} meV/Å, 95 % are below "
        f"{c.quantile_95:.4g}, the largest is {c.maximum:.4g}; the rms error is {c.error:.4g} meV/Å, the correlation "
        f"of the two {c.correlation:.2f}"
    )


def _labels(errors: Errors) -> list[str]:
    return [label for q in errors.quantities.values() for label in q.by_kind]


def _shortened(label: str) -> str:
    return label if len(label) <= 40 else "…" + label[-39:]


def worst_place(w: Worst) -> str:
    """Where an error is, as words: file and index, type, atom."""
    kind = f" ({w.config_type})" if w.config_type else ""
    return f"{w.name}{kind}" + (f", atom {w.atom} ({w.element})" if w.atom >= 0 else "")


def coverage_line(c: Coverage) -> str:
    """How much of the data is out of the potential's range, as a sentence."""
    if c.outside == 0:
        return f"range: none of {c.environments} environments is outside the range of the symmetry functions"
    listed = "; ".join(
        f"{f.element} function {f.function}: {f.count} times, by up to {100 * f.furthest:.3g} % of its range"
        for f in c.functions[:3]
    )
    return (
        f"range: {c.outside} of {c.environments} environments ({100 * c.fraction:.3g} %) are outside the range of "
        f"{len(c.functions)} symmetry functions: {listed}" + ("; ..." if len(c.functions) > 3 else "")
    )


def remarks(errors: Errors) -> list[str]:
    """What the figures themselves give away: another zero of energy, spikes."""
    lines = []
    energy, force = (errors.quantities.get(name) for name in ("energy", "force"))
    if energy and energy.overall.n > 2 and abs(energy.overall.bias) > 0.95 * energy.overall.rmse > 10:
        s = energy.overall
        rest = math.sqrt(max(s.rmse**2 - s.bias**2, 0.0))
        lines.append(
            f"note: the energies differ by nearly the same {s.bias:.6g} meV/atom; if the reference energies have "
            f"another zero, the remaining errors have an rms of {rest:.4g} meV/atom"
        )
    if force and force.overall.n > 1000 and force.overall.max_over_rmse > 12:
        w = force.worst[0]
        lines.append(
            f"note: the largest error of a force component is {force.overall.max_over_rmse:.3g} times the RMSE, a "
            f"spike: see {worst_place(w)}"
        )
    return lines
