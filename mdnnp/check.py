"""The verb `mdnnp check`: proves on the user's own case that a potential behaves.

`check` measures the figures of `probes` on one structure and holds them against gates that float64 reaches.
The structure is rattled (and a cell strained) first, since zero forces prove nothing.
"""

import json
import math
import warnings
from dataclasses import asdict, dataclass
from itertools import groupby

import numpy as np

from mdnnp import probes
from mdnnp.errors import MdnnpWarning, PhysicsError
from mdnnp.potentials.interface import Potential
from mdnnp.system import System, complete_cell, heights, replicate

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
    "cutoff energy": 1e-12,
    "cutoff force": 1e-11,
}
QUANTITIES = ("energy", "forces", "virial")
REPLICAS = ((2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 2))
FAR_CELLS = 1000


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
    """All rows, and notes on how the structure was prepared."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]

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

    def table(self) -> str:
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
        scales = "Deviations are relative: to sum |E_i| less offsets, to the largest force, to the largest virial."
        return "\n".join([*lines, "", scales, f"{counts}, {verdicts.count(None)} without verdict"])

    def to_json(self) -> str:
        """The report as JSON; what was not measured is null."""

        def plain(value):
            return None if isinstance(value, float) and not math.isfinite(value) else value

        rows = [{key: plain(value) for key, value in asdict(row).items()} for row in self.rows]
        return json.dumps({"passed": self.passed, "notes": list(self.notes), "rows": rows}, indent=2)


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
) -> CheckReport:
    """Measure everything on one structure.

    rattle_A : standard deviation of the random displacements, Å; strain : of the random strain of a cell
    max_atoms : replicas with more atoms are not made
    Warns (MdnnpWarning) where the structure leaves the potential's range. Raises InputError for an element
    that the potential does not have.
    """
    given = potential.compute(system)
    rattled, notes = prepare(system, rattle_A=rattle_A, strain=strain, seed=seed)
    found = potential.compute(rattled)
    force = float(np.max(np.abs(found.forces)))
    size = probes.evaluate(potential, rattled).energy_scale
    notes.append(f"largest force component {force:.3g} eV/Å; sum of |E_i| less offsets {size:.3g} eV")
    if force < 1e-6:
        notes.append("all forces vanish: what is checked about them proves little; try a denser structure")
    notes += _extrapolation_notes(given, found, len(system))
    rows = (
        *_sums(potential, rattled),
        *_invariances(potential, rattled, seed),
        *_replicas(potential, rattled, max_atoms),
        *_locality(potential, rattled, seed, max_atoms),
        *_derivatives(potential, rattled, seed),
        *cutoff_rows(potential, rattled, seed),
    )
    return CheckReport(rows, tuple(notes))


def prepare(system: System, *, rattle_A: float = 0.05, strain: float = 0.01, seed: int = 1) -> tuple[System, list[str]]:
    """The structure without symmetry, and what was done to it.

    A single periodic atom is replicated, since the forces on it vanish wherever it is. Atoms are displaced at
    random; a cell is strained at random, with its atoms.
    """
    rng = np.random.default_rng(seed)
    notes = []
    if len(system) == 1 and system.pbc.any():
        system = replicate(system, tuple(2 if p else 1 for p in system.pbc))
        notes.append(f"the one atom was replicated to {len(system)}")
    if strain > 0 and system.pbc.any():
        random = rng.normal(0, strain, (3, 3))
        change = np.eye(3) + 0.5 * (random + random.T)
        system = system._replace(positions=system.positions @ change, cell=system.cell @ change)
        notes.append(f"the cell was strained at random by about {strain:g}")
    if rattle_A > 0:
        system = system._replace(positions=system.positions + rng.normal(0, rattle_A, (len(system), 3)))
        notes.append(f"the atoms were displaced at random by about {rattle_A:g} Å")
    notes = [f"{'; '.join(notes)} (seed {seed}): zero forces would prove nothing"] if notes else []
    return system, notes


def _extrapolation_notes(given, rattled, n_atoms: int) -> list[str]:
    """Warn where the structure as given is out of range; note it where only the rattled one is."""
    if given.extrapolation.count:
        e = given.extrapolation
        text = (
            f"the structure is out of the potential's range: {e.count} symmetry functions extrapolate, such "
            f"as number {e.function[0]} of atom {e.atom[0]}: {e.value[0]:.6g}, range {e.lower[0]:.6g} to "
            f"{e.upper[0]:.6g}; the potential is not to be trusted here, whatever the table says"
        )
        warnings.warn(text, MdnnpWarning, stacklevel=3)
        return [text]
    if rattled.extrapolation.count:
        return [
            f"{rattled.extrapolation.count} symmetry functions leave the potential's range by these "
            "displacements; none does in the structure as given"
        ]
    return []


# --- Rows --------------------------------------------------------------------------------------------------


def _row(check: str, quantity: str, value: float, remark: str = "", *, limit: float | None = None) -> Row:
    limit = GATES[check] if limit is None else limit
    return Row(check, quantity, value, limit, bool(value <= limit), remark)


def _not_measured(check: str, remark: str, quantity: str = "energy") -> Row:
    return Row(check, quantity, math.nan, math.nan, None, remark)


def _deviation_rows(check: str, deviation: probes.Deviation, remark="", *, gate="", factor=1.0) -> list[Row]:
    """Three rows; the gate of the energy leaves room for the rounding of the constants in it."""
    limit = GATES[gate or check] * factor
    return [
        _row(check, "energy", deviation.energy, remark, limit=limit + deviation.rounding),
        _row(check, "forces", deviation.forces, remark, limit=limit),
        _row(check, "virial", deviation.virial, remark, limit=limit),
    ]


def _sums(potential, system) -> list[Row]:
    name, virials = "sum of atomic virials", probes.atomic_virial_sum(potential, system)
    return [
        _row("sum of atomic energies", "energy", probes.energy_sum(potential, system)),
        _not_measured(name, "the potential has no per-atom virials", "virial")
        if virials is None
        else _row(name, "virial", virials),
        _row("net force", "forces", probes.net_force(potential, system)),
        _row("net torque", "virial", probes.net_torque(potential, system)),
    ]


def _invariances(potential, system, seed) -> list[Row]:
    rows = _deviation_rows("translation", probes.translation(potential, system, seed=seed))
    with_cell = "cell and atoms together" if system.pbc.any() else ""
    rows += _deviation_rows("rotation", probes.rotation(potential, system, seed=seed), with_cell)
    if system.pbc.any():
        opened = system._replace(pbc=np.zeros(3, dtype=bool), cell=np.zeros((3, 3)))
        rows += _deviation_rows(
            "rotation, open", probes.rotation(potential, opened, seed=seed), "the same atoms without a cell"
        )
    rows += _deviation_rows("inversion", probes.inversion(potential, system))
    rows += _deviation_rows("permutation", probes.permutation(potential, system, seed=seed), "of all atoms")
    if len(np.unique(system.numbers)) < len(system):
        like = probes.permutation(potential, system, seed=seed, like_atoms=True)
        rows += _deviation_rows("permutation, like atoms", like)
    else:
        rows.append(_not_measured("permutation, like atoms", "no element has two atoms"))
    return rows + _wrapping(potential, system, seed)


def _wrapping(potential, system, seed) -> list[Row]:
    if not system.pbc.any():
        return [_not_measured("wrapping", "no direction is periodic")]
    near = probes.wrapping(potential, system, seed=seed)
    far = probes.wrapping(potential, system, seed=seed, cells=FAR_CELLS)
    # So far out coordinates have fewer digits behind the point: rounding grows with the distance.
    distance = FAR_CELLS * float(np.max(np.linalg.norm(system.cell[system.pbc], axis=1)))
    return [
        *_deviation_rows("wrapping", near, "each atom up to 2 cells away"),
        *_deviation_rows(
            "wrapping, far",
            far,
            f"up to {FAR_CELLS} cells: the gate grows with the rounding of coordinates",
            gate="wrapping",
            factor=max(1.0, distance / 100),
        ),
    ]


def _replicas(potential, system, max_atoms) -> list[Row]:
    rows = []
    for repeats in dict.fromkeys(tuple(np.where(system.pbc, r, 1).tolist()) for r in REPLICAS):
        if 1 < math.prod(repeats) <= max_atoms // len(system):
            name = "x".join(str(r) for r in repeats)
            rows += _deviation_rows("extensivity", probes.extensivity(potential, system, repeats), name)
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
    found = probes.locality(potential, large, atom, seed=seed)
    remark = f"atom {atom} of {len(large)} moved, seen from beyond its reach"
    return [
        _not_measured("locality", f"every atom is within {reach} of the moved one", quantity)
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
    return replicate(system, tuple(n if k == along else 1 for k in range(3)))


def _derivatives(potential, system, seed) -> list[Row]:
    n_atoms = int(np.clip(4000 // len(system), 1, 12))  # each atom costs 16 evaluations
    forces = probes.forces_by_differences(potential, system, seed=seed, n_atoms=n_atoms)
    virial = probes.virial_by_differences(potential, system)
    return [
        _row("forces", "forces", forces, "against finite differences of the energy"),
        _row("virial", "virial", virial, "against strain derivatives of the energy"),
    ]


def cutoff_rows(potential: Potential, system: System, seed: int) -> list[Row]:
    """Jumps of energy, forces and slope of the forces as an atom crosses a cutoff: three rows a pair of elements."""
    found = probes.crossings(potential, system, seed=seed)
    return [row for name, radii in found.items() for row in _crossing_rows(name, radii)]


def _crossing_rows(name: str, found: dict[float, probes.Continuity]) -> list[Row]:
    """Rows for a pair of elements: the worst of all radii of energy, forces, and slope of the forces."""
    check = f"cutoff {name}"
    radii = ", ".join(f"{radius:.4g}" for radius in found)
    crossing = f"an atom crosses {radii} Å" if len(found) < 4 else f"an atom crosses {len(found)} radii"
    energy = max(found.values(), key=lambda c: c.energy)
    jumps = [
        _row(check, "energy", energy.energy, crossing, limit=GATES["cutoff energy"] + energy.rounding),
        _row(check, "forces", max(c.force for c in found.values()), crossing, limit=GATES["cutoff force"]),
    ]
    kinks = [radius for radius in found if found[radius].slope_jumps]
    slope = max(found[radius].slope for radius in kinks or found)
    if not all(row.passed for row in jumps):
        remark = "meaningless where energy or force jump"
    elif kinks:
        remark = f"the force has a kink at {kinks[0]:.4g} Å (C^1)"
    else:
        remark = "no kink: it shrinks with the step of the scan, or is rounding (C^2 or smoother)"
    return [*jumps, Row(f"{check}, slope", "forces", slope, math.nan, None, remark)]
