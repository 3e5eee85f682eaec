"""The numbers of `energies` in words."""

import math

import numpy as np
from ase.data import chemical_symbols

from mdnnp.analysis.energies import Analysis, _line, _mean_lines
from mdnnp.base.statistics import RESOLVED, VERLET_ERROR, Drift, is_verlet_error, plus_minus


def report(analysis: Analysis) -> str:
    """The numbers as text."""
    offset = analysis.series.offset_eV
    lines = [*_run_lines(analysis), "", *_drift_lines("shadow energy", analysis.shadow_drift, offset)]
    lines += _drift_lines(analysis.conserved.replace("_", " "), analysis.drift, offset, analysis.shadow_drift)
    return "\n".join([*lines, *_mean_lines(analysis)])


def _run_lines(analysis: Analysis) -> list[str]:
    series = analysis.series
    atoms = f"{series.n_atoms} atoms"
    if series.numbers is not None:
        elements, counts = np.unique(series.numbers, return_counts=True)
        named = (f"{chemical_symbols[z]} {n}" for z, n in zip(elements, counts, strict=True))
        atoms += f" ({', '.join(named)})"
    n, time = len(series.time_fs), series.time_fs * 1e-3
    lines = [f"{series.path}: {atoms}, {_count(series.n_frames, 'frame')}, {_count(n, 'sample')}"]
    if n > 1:
        lines[0] += f" from {time[0]:.6g} to {time[-1]:.6g} ps"
        left = f"The first {analysis.warmup_fs * 1e-3:.4g} ps are left out ({analysis.warmup_reason})."
        lines.append(left if analysis.warmup_fs > 0 else "Nothing is left out.")
    if series.extrapolations:
        lines.append(f"{series.extrapolations} extrapolations: see /extrapolation in the file.")
    if series.offset_eV:
        lines.append(f"Energies are given minus the constants in the potential, {series.offset_eV:.9g} eV.")
    lines += [f"Note: {note}." for note in series.notes]
    if analysis.ramp:
        lines.append(
            f"RAMP: {analysis.ramp}. Means are not those of one state; choose a part (--warmup-ps, --until-ps)."
        )
    if not series.values and not series.others:
        lines.append("Note: the file has no energies, temperatures or velocities with known units.")
    return lines


def _drift_lines(name: str, drift: Drift | None, offset: float, shadow: Drift | None = None) -> list[str]:
    if drift is None:
        return []
    if drift.n_samples == 0:
        return [_line(name, drift.note)]
    lines = [_line(name, f"{(drift.value_eV - offset) / drift.n_atoms:.9g} eV/atom")]
    if drift.n_blocks == 0:
        return [*lines, _line("  drift", drift.note)]
    sigmas = f"{drift.sigmas:.1f} standard errors: " + ("resolved" if drift.sigmas >= RESOLVED else "not resolved")
    verlet = is_verlet_error(drift, shadow)
    sigmas = "the integrator's own error" if verlet else sigmas
    slope, error = drift.slope_eV_per_atom_ps, drift.error_eV_per_atom_ps
    meV = plus_minus(drift.slope_meV_per_atom_ns, drift.error_meV_per_atom_ns, "meV/atom/ns")
    lines.append(_line("  drift", f"{meV}   {sigmas}" if drift.enough else f"{meV}   too short for an error bar"))
    lines += [_line("", sentence) for sentence in VERLET_ERROR.split("; ") if verlet]
    lines.append(_line("", plus_minus(slope, error, "eV/atom/ps")))
    if math.isfinite(drift.kT_per_ns_per_degree):
        kT = plus_minus(drift.kT_per_ns_per_degree, drift.error_kT_per_ns_per_degree, "kT/ns per degree of freedom")
        lines.append(_line("", kT))
    if drift.note:
        lines.append(_line("", drift.note))
    lines.append(_line("  rms around the line", f"{drift.rms_eV_per_atom * 1e3:.4g} meV/atom"))
    change = plus_minus(drift.change_eV_per_atom * 1e3, drift.error_change_eV_per_atom * 1e3, "meV/atom")
    lines.append(_line("  change", f"{change} in {drift.duration_ps:.4g} ps ({drift.n_blocks} block means)"))
    if math.isfinite(drift.change_over_kinetic_deviation):
        lines.append(_line("  |change| / sigma(Ekin)", f"{drift.change_over_kinetic_deviation:.2g}"))
    return lines


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
