"""The report on a crystal: a table for the terminal, JSON, CSV, and an HTML page with figures and definitions."""

import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np

from mdnnp import __version__
from mdnnp.atoms.quantities import VOIGT_NAMES
from mdnnp.base.errors import PhysicsError
from mdnnp.base.files import csv_text
from mdnnp.base.report.html import Page, Warned
from mdnnp.base.report.plain import plain
from mdnnp.base.report.style import STYLE
from mdnnp.materials import figures
from mdnnp.materials.crystal import Coverage, Crystal
from mdnnp.materials.parts import INTERRUPTED
from mdnnp.materials.quantity import Part, Quantity

TITLES = {
    "cell": "Crystal", "eos": "Equation of state", "elastic": "Elasticity and sound", "defects": "Point defects",
    "surfaces": "Surfaces", "thermal": "Thermal properties (quasi-harmonic)",
}  # fmt: skip
_DEFINITIONS = {
    "cell": "At the minimum: no forces, no stress, no vibrations (no zero-point vibrations either).",
    "eos": "E(V) at fixed volumes, shape of the cell and positions relaxed; third-order Birch-Murnaghan equation [1].",
    "elastic": "C = ∂σ/∂ε, Cauchy stress by strain at the state above, order xx yy zz yz xz xy, cartesian axes of the "
    "structure (C11 and so on: standard axes of the space group); atoms at rest in the strained cell, or clamped: "
    "strained with it. From exact second derivatives, "
    "C = C(clamped) − ΛᵀH⁻¹Λ/V [2], and once more from central differences of stresses. Averages of Voigt, Reuss and "
    "Hill [3]; universal anisotropy index A = 5 G(Voigt)/G(Reuss) + B(Voigt)/B(Reuss) − 6 [4]. Velocities from "
    "Christoffel's equation, along [hkl] of the cell; Debye temperature from the mean of v⁻³ over directions and "
    "branches, and as Anderson estimates it from the polycrystal [5].",
    "defects": "E = E(N±1) − (N±1)/N E(N) at the cell of the perfect crystal; relaxed from the ideal site without "
    "breaking its symmetry on purpose. Lowest found: of this, of what it relaxes to after a random move of all "
    "atoms by 0.05 Å, and of a vacancy relaxed from neighbours drawn in by a fifth. "
    "Of a compound the Schottky energy, Σ [Eᵢ(N−1) − E(N)] + E(formula unit).",
    "surfaces": "γ = (E(slab) − N e)/2A; indices of the cell given; slab open above and below, the termination of "
    "lowest unrelaxed energy; relaxed after random displacements of 0.02 Å. Reconstructions larger than the cell are "
    "not sought.",
    "thermal": "F(V, T) = E(V) + Σ [½hν + k_BT ln(1 − exp(−hν/k_BT))], minimal in V at no pressure (Birch's "
    "equation at each temperature); α = (∂S/∂V)/B, C_P = C_V + α²BVT, γ = VαB/C_V [2, 6]. Per mole of atoms.",
}
_REFERENCES = (
    "F. Birch, Phys. Rev. 71, 809 (1947)",
    "M. Born, K. Huang, Dynamical Theory of Crystal Lattices, Oxford (1954)",
    "R. Hill, Proc. Phys. Soc. A 65, 349 (1952)",
    "S. I. Ranganathan, M. Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008)",
    "O. L. Anderson, J. Phys. Chem. Solids 24, 909 (1963)",
    "D. C. Wallace, Thermodynamics of Crystals, Wiley (1972)",
)


@dataclass(frozen=True)
class Report:
    """What was found.

    facts : (what, value) about the input; crystal; parts, the crystal's own first
    reference : key -> value to compare with; source : where it is from
    """

    facts: Sequence[tuple[str, str]]
    crystal: Crystal
    parts: Sequence[Part]
    reference: dict[str, float]
    source: str

    @property
    def quantities(self) -> list[Quantity]:
        """Those of all parts, in order."""
        return [q for part in self.parts for q in part.quantities]

    @property
    def interrupted(self) -> bool:
        """Whether the last part was interrupted, and those after it left out."""
        return self.parts[-1].failure == INTERRUPTED

    @property
    def exit_code(self) -> int:
        """Exit status of the command: that of a PhysicsError if no part but the crystal's own could be computed."""
        if self.interrupted:
            return 128 + signal.SIGINT
        return PhysicsError.exit_code if all(part.failure for part in self.parts[1:]) else 0

    def text(self) -> str:
        """See `lines`."""
        return "\n".join(lines(self))

    def as_dict(self) -> dict:
        """See the function of this name."""
        return as_dict(self)


def shown(value: float, unit: str = "") -> str:
    """Five digits; energies of atoms, most of which is an offset, with five decimals."""
    if not math.isfinite(value):
        return "-"
    if unit == "eV/atom":
        return f"{value:.5f}"
    return f"{value:.3e}" if 0 < abs(value) < 1e-3 else f"{value:#.5g}".rstrip(".")


def deviation(value: float, reference: float | None) -> str:
    """In per cent of the reference."""
    return "" if not reference else f"{100 * (value / reference - 1):+.1f} %"


def lines(report: Report) -> list[str]:
    """The table for the terminal, without details."""
    compared, out = bool(report.reference), []
    width = max((len(q.name) for q in report.quantities if not q.detail), default=10)
    head = f"{'':<{width}} {'':>12} {'':<10}" + (f" {'reference':>12} {'deviation':>10}" if compared else "")
    for part in report.parts:
        out += ["", TITLES[part.name] + (head[len(TITLES[part.name]) :].rstrip() if compared else "")]
        if part.failure:
            out.append(f"  not computed: {part.failure}")
        for q in part.quantities:
            if q.detail and q.key not in report.reference:
                continue
            row = f"{q.name:<{width}} {shown(q.value, q.unit):>12} {q.unit:<10}"
            if compared:
                given = report.reference.get(q.key)
                row += f" {'' if given is None else shown(given, q.unit):>12} {deviation(q.value, given):>10}"
            out.append(
                (
                    row + (f"  ! extrapolates: {q.coverage.atoms} of {q.coverage.of} atoms" if q.coverage else "")
                ).rstrip()
            )
        out += [f"  {note}" for note in part.notes]
    return out


def as_dict(report: Report) -> dict:
    """All in plain numbers; `extrapolates` is null where every environment was in the potential's range."""
    numbers = {
        q.key: {"value": q.value, "unit": q.unit, "extrapolates": _covered(q.coverage)}
        | _disagreement(q)
        | _compared(report, q)
        for q in report.quantities
    }
    out: dict[str, Any] = {"program": "mdnnp properties", "version": __version__} | dict(report.facts)
    out |= {"quantities": numbers, "notes": {p.name: p.notes for p in report.parts if p.notes}}
    out["failed"] = {p.name: p.failure for p in report.parts if p.failure}
    for part in report.parts:
        if part.name == "elastic" and part.result is not None:
            out["elastic_constants_GPa"] = part.result.exact.relaxed
            out["elastic_constants_clamped_GPa"] = part.result.exact.clamped
            out["elastic_constants_by_stress_GPa"] = part.result.differences.relaxed
            out["elastic_constants_disagreement"] = part.result.disagreement
    return plain(out)


def _covered(seen: Coverage) -> dict | None:
    return {"atoms": seen.atoms, "of": seen.of, "functions": seen.functions, "worst": seen.worst} if seen else None


def _disagreement(q: Quantity) -> dict:
    given = q.coverage.disagreement
    return {} if given is None else {"force_disagreement_eV_per_A": given}


def _compared(report: Report, q: Quantity) -> dict:
    given = report.reference.get(q.key)
    if given is None:
        return {}
    return {"reference": given, "deviation_percent": 100 * (q.value / given - 1) if given else None}


def numbers_csv(report: Report) -> str:
    """One row for each quantity."""
    names = ("key", "quantity", "value", "unit", "reference", "atoms_extrapolating", "of", "worst_function")
    rows = (
        (q.key, q.name, q.value, q.unit, report.reference.get(q.key, ""), q.coverage.atoms, q.coverage.of,
         q.coverage.worst)
        for q in report.quantities
    )  # fmt: skip
    return csv_text(names, rows)


# --- HTML ---------------------------------------------------------------------------------------------------


def page(report: Report) -> str:
    """The report as HTML."""
    source = [("reference", report.source)] if report.source else []
    out = Page("Properties of a crystal", [*report.facts, *source]).warnings(_warnings(report))
    with matplotlib.rc_context(STYLE):
        for part in report.parts:
            _section(out, report, part)
    return out.section("References").references(_REFERENCES).html()


def _warnings(report: Report) -> list[str]:
    """One line for each part with numbers behind which the potential extrapolates, or that failed."""
    out = []
    for part in report.parts:
        out += [f"{TITLES[part.name]}: not computed: {part.failure}"] if part.failure else []
        bad = [q for q in part.quantities if q.coverage]
        if bad:
            out.append(
                f"{TITLES[part.name]}: for {len(bad)} of {len(part.quantities)} numbers the potential extrapolates to "
                "environments that it was not fitted to; do not trust these numbers"
            )
    return out


def _section(out: Page, report: Report, part: Part) -> None:
    out.section(TITLES[part.name])
    if part.failure:
        out.warnings([f"not computed: {part.failure}"])
        return
    compared = any(q.key in report.reference for q in part.quantities)
    head = ["quantity", "value", "unit", *(["reference", "deviation"] if compared else []), "range of the potential"]
    rows = []
    for q in part.quantities:
        given = report.reference.get(q.key)
        middle = ["" if given is None else shown(given, q.unit), deviation(q.value, given)] if compared else []
        seen = Warned(q.coverage) if q.coverage else q.coverage
        rows.append([q.name, shown(q.value, q.unit), q.unit, *middle, seen])
    out.table(head, rows, text_columns=(2, len(head) - 1))
    _draw(out, report, part)
    out.items(part.notes).text(_DEFINITIONS[part.name])


def _draw(out: Page, report: Report, part: Part) -> None:
    if part.name == "eos":
        out.figure(figures.energy_volume(*part.result), "Energy against volume.")
    if part.name == "thermal":
        out.figure(figures.thermal(part.result), "Thermal expansion, heat capacity, volume, bulk modulus.")
    if part.name == "elastic":
        _matrix(out, "C / GPa, from second derivatives", part.result.exact.relaxed)
        _matrix(out, "C / GPa, from stresses of strained crystals", part.result.differences.relaxed)
        _matrix(out, "C / GPa, clamped ions, from second derivatives", part.result.exact.clamped)
        if part.result.sound is not None:
            out.figure(figures.sound_polar(part.result, report.crystal.system), "Velocities of sound.")


def _matrix(out: Page, title: str, constants: np.ndarray) -> None:
    small = 0.0005
    rows = [
        [name, *(f"{0.0 if abs(v) < small else v:.3f}" for v in row)]
        for name, row in zip(VOIGT_NAMES, constants, strict=True)
    ]
    out.table(["", *VOIGT_NAMES], rows, title)
