"""Tests of a potential on the user's structure: symmetries, derivatives, locality; the verb is `mdnnp check`.

`check` measures the figures of `measures` on one structure and holds them against gates that float64 reaches.
The structure is rattled (and a cell strained) first, since zero forces prove nothing.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np

from mdnnp.atoms.system import System, complete_cell, heights, replicate
from mdnnp.base.errors import MdnnpWarning, PhysicsError
from mdnnp.base.report.plain import plain
from mdnnp.base.report.screen import Bar
from mdnnp.certify import cutoff_crossings, measures
from mdnnp.potentials.interface import Potential

GATES = {
    "sum of atomic energies": 1e-12,
    "translation": 1e-11,
    "rotation": 1e-11,
    "rotation, open": 1e-11,
    "inversion": 1e-11,
    "permutation": 1e-12,
    "permutation, like atoms": 1e-12,
    "wrapping": 1e-11,
    "extensivity": 1e-12,
    "locality": 1e-14,
    "net force": 1e-11,
    "net torque": 1e-11,
    "sum of atomic virials": 1e-11,
    "forces": 1e-8,
    "virial": 1e-8,
    "forces, unswitched": 1e-2,
    "virial, unswitched": 1e-2,
    "cutoff energy": 1e-12,
    "cutoff force": 1e-11,
}
# Sums in another order differ by rounding; seen are up to 5 ulp times what `measures.conditioning` finds.
ROUNDING = 8 * float(np.finfo(np.float64).eps)
QUANTITIES = ("energy", "forces", "virial")
REPLICAS = ((2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 2))
FAR_CELLS = 1000

T = TypeVar("T")
Begin = Callable[[int, str], Callable[[int], object]]  # told how much of what unit is to do; gives what is told of more


@dataclass(frozen=True)
class Row:
    """One line of the table.

    check, quantity : what was done, and what was looked at (energy, forces or virial)
    value : the figure (NaN: not measured); gate : its limit (NaN: it has none)
    passed : the verdict, None where there is none
    remark : how it was measured, or why not
    """

    check: str
    quantity: str
    value: float
    gate: float
    passed: bool | None
    remark: str = ""


@dataclass(frozen=True)
class CheckReport:
    """All rows, notes on how the structure was prepared, and k of `measures.Conditioning` (0: not known)."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    conditioning: float = 0.0

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.passed is False)

    @property
    def passed(self) -> bool:
        """Whether no row failed."""
        return not self.failures

    @property
    def exit_code(self) -> int:
        """Exit status of the command: 0, or that of a PhysicsError."""
        return 0 if self.passed else PhysicsError.exit_code

    def text(self) -> str:
        """The report as text: one line per check, with the deviations of energy, forces and virial."""
        head = f"{'check':<25}{'energy':>9}{'forces':>9}{'virial':>9}   {'gate':<15} result"
        lines = [*self.notes, "", head]
        for (name, remark), group in groupby(self.rows, key=lambda row: (row.check, row.remark)):
            rows = {row.quantity: row for row in group}
            cells = "".join(_cell(rows.get(quantity)) for quantity in QUANTITIES)
            limits = dict.fromkeys(f"{row.gate:.2g}" for row in rows.values() if math.isfinite(row.gate))
            verdict = _verdict([row.passed for row in rows.values()])
            lines.append(f"{name:<25}{cells}   {' '.join(limits):<15} {verdict:<7}{remark}".rstrip())
        verdicts = [row.passed for row in self.rows]
        counts = f"{verdicts.count(True)} numbers passed, {verdicts.count(False)} failed"
        scales = "Deviations are relative to: sum |E_i - offset|, the largest force, the largest virial."
        return "\n".join([*lines, "", scales, f"{counts}, {verdicts.count(None)} without verdict"])

    def as_dict(self) -> dict:
        """The report by name; what was not measured is NaN."""
        head = {"passed": self.passed, "notes": list(self.notes), "conditioning": self.conditioning or None}
        return head | {"rows": [plain(row) for row in self.rows]}


def _cell(row: Row | None) -> str:
    """A figure in its column; one that failed is marked."""
    if row is None or math.isnan(row.value):
        return f"{'-':>9}"
    return f"{row.value:>8.1e}{'!' if row.passed is False else ' '}"


def _verdict(passed: list[bool | None]) -> str:
    return "FAIL" if False in passed else "pass" if True in passed else "-"


def check(
    potential: Potential,
    system: System,
    *,
    rattle_A: float = 0.05,
    strain: float = 0.01,
    seed: int = 1,
    max_atoms: int = 10_000,
    begin: Begin | None = None,
) -> CheckReport:
    """Measure everything on one structure.

    rattle_A : standard deviation of the random displacements, Å; strain : of the random strain of a cell
    max_atoms : replicas with more atoms are not made
    begin : for a progress bar: begin(n, "atom") is told how many atoms will be evaluated, and what it returns of each
        evaluation's
    Equations that a potential solves are solved to rounding here, whatever the tolerance of its runs.
    Warns (MdnnpWarning) where the structure leaves the potential's range. Raises InputError for an element
    that the potential does not have.
    """
    potential = potential.converged()
    given = potential.compute(system)
    rattled, notes = rattled_and_strained(system, rattle_A=rattle_A, strain=strain, seed=seed)
    found = potential.compute(rattled)
    force = float(np.max(np.abs(found.forces)))
    size = measures.evaluate(potential, rattled).energy_scale
    notes.append(f"largest force component {force:.3g} eV/Å; sum of |E_i - offset| {size:.3g} eV")
    if force < 1e-6:
        notes.append("all forces are zero, so the tests of the forces mean little; try a denser structure")
    notes += _extrapolation_notes(given, found, len(system))
    magnified = measures.conditioning(potential, rattled)
    if magnified.energy:
        left = magnified.energy * np.finfo(np.float64).eps
        notes.append(
            f"conditioning k = {magnified.energy:.3g}: the terms of an atom's energy are together k times as large as "
            f"the energy, so rounding makes about {left:.0e} of it uncertain (the gates allow for this); in a fit, "
            "regularization and fewer, less similar functions reduce k"
        )

    def rows(potential):
        return (
            *_sums(potential, rattled, magnified),
            *_invariances(potential, rattled, magnified, seed),
            *_replicas(potential, rattled, magnified, max_atoms),
            *_locality(potential, rattled, seed, max_atoms),
            *_derivatives(potential, rattled, seed),
            *cutoff_rows(potential, rattled, seed),
        )

    measured = watched(rows, potential, begin)
    if potential.unswitched and any(row.check in ("forces", "virial") and not row.passed for row in measured):
        measured = _replaced_derivatives(measured, potential, rattled, seed)
        notes.append(
            f"{potential.unswitched}: its energy jumps where atoms cross, and forces and virial leave the jumps out; "
            f"its derivatives are held to {GATES['forces, unswitched']:g}, those of all other terms to the usual gates"
        )
    return CheckReport(measured, tuple(notes), magnified.energy)


def watched(measure: Callable[[Potential], T], potential: Potential, begin: Begin | None) -> T:
    """measure(potential), with its progress counted in atoms; a rehearsal with results of zero counts them."""
    if begin is None:
        return measure(potential)
    n_atoms: list[int] = []
    measure(measures.Rehearsal(potential, n_atoms.append))
    return measure(measures.Watched(potential, begin(sum(n_atoms), "atom")))


@contextmanager
def progress() -> Iterator[Begin]:
    """A bar with the time that is left, on a terminal: see `begin` of `check`."""
    with Bar() as bar:

        def begin(total: int, unit: str) -> Callable[[int], object]:
            bar.begin(total, unit)
            return bar.advance

        yield begin


def rattled_and_strained(
    system: System, *, rattle_A: float = 0.05, strain: float = 0.01, seed: int = 1
) -> tuple[System, list[str]]:
    """The structure without symmetry, and what was done to it.

    A single periodic atom is replicated, since the forces on it vanish wherever it is. Atoms are displaced at
    random; a cell is strained at random, with its atoms.
    """
    rng = np.random.default_rng(seed)
    notes = []
    if len(system) == 1 and system.pbc.any():
        a, b, c = (2 if p else 1 for p in system.pbc)
        system = replicate(system, (a, b, c))
        notes.append(f"the single atom was replicated to {len(system)} atoms")
    if strain > 0 and system.pbc.any():
        random = rng.normal(0, strain, (3, 3))
        change = np.eye(3) + 0.5 * (random + random.T)
        system = system._replace(positions=system.positions @ change, cell=system.cell @ change)
        notes.append(f"the cell was strained at random by about {strain:g}")
    if rattle_A > 0:
        system = system._replace(positions=system.positions + rng.normal(0, rattle_A, (len(system), 3)))
        notes.append(f"the atoms were displaced at random by about {rattle_A:g} Å")
    notes = [f"{'; '.join(notes)} (seed {seed}): tests with zero forces are not useful"] if notes else []
    return system, notes


def _extrapolation_notes(given, rattled, n_atoms: int) -> list[str]:
    """Warn where the structure as given is out of range; note it where only the rattled one is."""
    if given.extrapolation.count:
        e = given.extrapolation
        text = (
            f"the structure is outside the range of the training data: {e.count} symmetry functions extrapolate, such "
            f"as number {e.function[0]} of atom {e.atom[0]}: {e.value[0]:.6g}, range {e.lower[0]:.6g} to "
            f"{e.upper[0]:.6g}; do not trust the potential here, even if all tests pass"
        )
        warnings.warn(text, MdnnpWarning, stacklevel=3)
        return [text]
    if rattled.extrapolation.count:
        return [
            f"{rattled.extrapolation.count} symmetry functions leave the range of the training data because of these "
            "displacements; none in the given structure"
        ]
    return []


def _row(check: str, quantity: str, value: float, remark: str = "", *, limit: float | None = None) -> Row:
    limit = GATES[check] if limit is None else limit
    return Row(check, quantity, value, limit, bool(value <= limit), remark)


def _not_measured(check: str, remark: str, quantity: str = "energy") -> Row:
    return Row(check, quantity, math.nan, math.nan, None, remark)


def _deviation_rows(
    check: str, deviation: measures.Deviation, magnified: measures.Conditioning, remark="", *, gate="", factor=1.0
) -> list[Row]:
    """Three rows; gates leave room for rounding, that of the energy also for the rounding of the constants in it."""
    limits = [(GATES[gate or check] + ROUNDING * k) * factor for k in magnified]
    return [
        _row(check, "energy", deviation.energy, remark, limit=limits[0] + deviation.rounding),
        _row(check, "forces", deviation.forces, remark, limit=limits[1]),
        _row(check, "virial", deviation.virial, remark, limit=limits[2]),
    ]


def _sums(potential, system, magnified) -> list[Row]:
    def row(check, quantity, value):
        return _row(check, quantity, value, limit=GATES[check] + ROUNDING * getattr(magnified, quantity))

    of_atoms = measures.atomic_virial_sum(potential, system)
    return [
        _row("sum of atomic energies", "energy", measures.energy_sum(potential, system)),
        _not_measured("sum of atomic virials", "the potential gives none", "virial")
        if math.isnan(of_atoms)
        else row("sum of atomic virials", "virial", of_atoms),
        row("net force", "forces", measures.net_force(potential, system)),
        row("net torque", "virial", measures.net_torque(potential, system)),
    ]


def _invariances(potential, system, magnified, seed) -> list[Row]:
    rows = _deviation_rows("translation", measures.translation(potential, system, seed=seed), magnified)
    with_cell = "cell and atoms together" if system.pbc.any() else ""
    rows += _deviation_rows("rotation", measures.rotation(potential, system, seed=seed), magnified, with_cell)
    if system.pbc.any():
        opened = system._replace(pbc=np.zeros(3, dtype=bool), cell=np.zeros((3, 3)))
        # Atoms that hardly see each other without their images have forces that are nothing but rounding.
        usual = measures.evaluate(potential, system)
        turned = measures.rotation(potential, opened, seed=seed, usual=usual)
        magnified_open = measures.conditioning(potential, opened, usual=usual)
        rows += _deviation_rows("rotation, open", turned, magnified_open, "the same atoms without a cell")
    rows += _deviation_rows("inversion", measures.inversion(potential, system), magnified)
    rows += _deviation_rows(
        "permutation", measures.permutation(potential, system, seed=seed), magnified, "of all atoms"
    )
    if len(np.unique(system.numbers)) < len(system):
        like = measures.permutation(potential, system, seed=seed, like_atoms=True)
        rows += _deviation_rows("permutation, like atoms", like, magnified)
    else:
        rows.append(_not_measured("permutation, like atoms", "no element has two atoms"))
    return rows + _wrapping(potential, system, magnified, seed)


def _wrapping(potential, system, magnified, seed) -> list[Row]:
    if not system.pbc.any():
        return [_not_measured("wrapping", "no direction is periodic")]
    near = measures.wrapping(potential, system, seed=seed)
    far = measures.wrapping(potential, system, seed=seed, cells=FAR_CELLS)
    # So far out coordinates have fewer digits behind the point: rounding grows with the distance.
    distance = FAR_CELLS * float(np.max(np.linalg.norm(system.cell[system.pbc], axis=1)))
    return [
        *_deviation_rows("wrapping", near, magnified, "each atom up to 2 cells away"),
        *_deviation_rows(
            "wrapping, far",
            far,
            magnified,
            f"up to {FAR_CELLS} cells: the gate includes the rounding of coordinates",
            gate="wrapping",
            factor=max(1.0, distance / 100),
        ),
    ]


def _replicas(potential, system, magnified, max_atoms) -> list[Row]:
    rows = []
    for repeats in dict.fromkeys(tuple(np.where(system.pbc, r, 1).tolist()) for r in REPLICAS):
        if 1 < math.prod(repeats) <= max_atoms // len(system):
            name = "x".join(str(r) for r in repeats)
            rows += _deviation_rows("extensivity", measures.extensivity(potential, system, repeats), magnified, name)
    if rows:
        return rows
    why = f"a replica has more than {max_atoms} atoms" if system.pbc.any() else "no direction is periodic"
    return [_not_measured("extensivity", why)]


def _locality(potential, system, seed, max_atoms) -> list[Row]:
    if math.isinf(potential.reach):
        why = "every atom depends on all others in this potential"
        return [_not_measured("locality", why, quantity) for quantity in ("energy", "forces")]
    large = _with_room(system, 4 * potential.reach + 2.0, max_atoms)
    # In an open structure the atom farthest from the middle has most atoms out of its reach.
    distance = np.linalg.norm(large.positions - large.positions.mean(axis=0), axis=1)
    atom = 0 if large.pbc.any() else int(np.argmax(distance))
    found = measures.locality(potential, large, atom, seed=seed)
    remark = f"atom {atom} of {len(large)} moved; atoms beyond its range"
    return [
        _not_measured("locality", f"every atom is within {reach} of the moved atom", quantity)
        if math.isnan(value)
        else _row("locality", quantity, value, remark)
        for quantity, value, reach in (
            ("energy", found.energies, "the cutoff"),
            ("forces", found.forces, "twice the cutoff"),
        )
    ]


def _with_room(system: System, width: float, max_atoms: int) -> System:
    """The system repeated along the one direction where it needs the fewest copies to be `width` Å wide."""
    if not system.pbc.any():
        return system
    copies = np.ceil(width / heights(complete_cell(system.cell, system.pbc))).astype(int)
    along = min(np.flatnonzero(system.pbc), key=lambda k: copies[k])
    n = max(1, min(int(copies[along]), max_atoms // len(system)))
    return replicate(system, _repeats(n if k == along else 1 for k in range(3)))


def _derivatives(potential, system, seed) -> list[Row]:
    n_atoms = int(np.clip(4000 // len(system), 1, 12))  # an atom costs 4 to 16 evaluations
    n_atoms = max(n_atoms, len(np.unique(system.numbers)))
    moved = "" if n_atoms >= len(system) else f"; {n_atoms} of {len(system)} atoms moved alone"
    forces = measures.forces_by_differences(potential, system, seed=seed, n_atoms=n_atoms)
    virial = measures.virial_by_differences(potential, system)

    def row(check: str, quantity: str, found: measures.ByDifferences, remark: str) -> Row:
        return _row(check, quantity, found.value, remark, limit=GATES[check] + found.rounding)

    return [
        row("forces", "forces", forces, f"against finite differences of the energy{moved}"),
        row("virial", "virial", virial, "against strain derivatives of the energy"),
    ]


def _replaced_derivatives(rows: Sequence[Row], potential: Potential, system: System, seed: int) -> tuple[Row, ...]:
    """The rows with the derivatives of the potential's parts, with and without a switch, in place of those of both."""
    found: list[Row] = []
    for part, addition in zip(potential.split_unswitched(), ("", ", unswitched"), strict=True):
        if part is not None:
            found += [
                _row(
                    f"{row.check}{addition}",
                    row.quantity,
                    row.value,
                    f"{part.kind} alone, {row.remark}",
                    limit=GATES[f"{row.check}{addition}"] + row.gate - GATES[row.check],
                )
                for row in _derivatives(part, system, seed)
            ]
    at = next(k for k, row in enumerate(rows) if row.check == "forces")
    kept = [row for row in rows if row.check not in ("forces", "virial")]
    return (*kept[:at], *found, *kept[at:])


def cutoff_rows(potential: Potential, system: System, seed: int) -> list[Row]:
    """Jumps of energy, forces and slope of the forces as an atom crosses a cutoff: three rows a pair of elements."""
    found = cutoff_crossings.crossings(potential, system, seed=seed)
    magnified = measures.conditioning(potential, system)
    n_radii = len(cutoff_crossings.cutoff_radii(potential))
    if n_radii == 0:
        why, each = "the potential names no radius that an atom could cross", ("energy", "forces")
        return [
            row
            for name in found
            for row in (
                *(_not_measured(f"cutoff {name}", why, quantity) for quantity in each),
                _not_measured(f"cutoff {name}, slope", why, "forces"),
            )
        ]
    return [row for name, radii in found.items() for row in _crossing_rows(name, radii, n_radii, magnified)]


def _crossing_rows(
    name: str, found: dict[float, cutoff_crossings.Continuity], n_radii: int, magnified: measures.Conditioning
) -> list[Row]:
    """Rows for a pair of elements: the worst of all radii of energy, forces, and slope of the forces."""
    check = f"cutoff {name}"
    radii = ", ".join(f"{radius:.4g}" for radius in found)
    crossing = f"an atom crosses {radii} Å" if len(found) < 4 else f"an atom crosses {len(found)} radii"
    if len(found) < n_radii:
        crossing = f"an atom crosses {len(found)} of {n_radii} radii, the cutoff among them"
    energy = max(found.values(), key=lambda c: c.energy)
    limits = (
        GATES["cutoff energy"] + energy.rounding + ROUNDING * magnified.energy,
        GATES["cutoff force"] + ROUNDING * magnified.forces,
    )
    jumps = [
        _row(check, "energy", energy.energy, crossing, limit=limits[0]),
        _row(check, "forces", max(c.force for c in found.values()), crossing, limit=limits[1]),
    ]
    kinks = [radius for radius in found if found[radius].slope_jumps]
    slope = max(found[radius].slope for radius in kinks or found)
    if not all(row.passed for row in jumps):
        remark = "not defined where energy or force jump"
    elif kinks:
        remark = f"the force has a kink at {kinks[0]:.4g} Å (C^1)"
    else:
        remark = "no kink: the jump decreases with the step of the scan, or is rounding (C^2 or smoother)"
    return [*jumps, Row(f"{check}, slope", "forces", slope, math.nan, None, remark)]


def _repeats(numbers: Iterable[int]) -> tuple[int, int, int]:
    a, b, c = numbers
    return a, b, c
