"""What a run says: header, lines while it goes, summary. Text only; nothing is decided here."""

import math
from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import cell_to_cellpar

from mdnnp import __version__
from mdnnp.atoms.quantities import density, kinetic_energy, kinetic_tensor, pressure, temperature
from mdnnp.atoms.system import System, volume
from mdnnp.base.report.screen import speed
from mdnnp.base.statistics import RESOLVED, VERLET_ERROR, Drift, is_verlet_error
from mdnnp.base.units import EV_PER_A3_IN_GPA
from mdnnp.dynamics.input import RunConfig
from mdnnp.dynamics.integrators import MDState
from mdnnp.dynamics.start import Start
from mdnnp.potentials.interface import Extrapolation, Potential


def header(config: RunConfig, start: Start, n_threads: int) -> str:
    """The run that starts, as lines of text."""
    dynamics, output = config.dynamics, config.output
    system = start.system
    symbols, counts = np.unique(system.numbers, return_counts=True)
    formula = " ".join(f"{chemical_symbols[z]} {n}" for z, n in zip(symbols, counts, strict=True))
    repeats = config.structure.replicate
    copies = f", {repeats[0]} x {repeats[1]} x {repeats[2]} copies" if max(repeats) > 1 else ""
    steps = f"{dynamics.steps} steps"
    if dynamics.equilibration_steps:
        steps = f"{dynamics.equilibration_steps} steps of equilibration, then {steps}"
    duration = config.total_steps * dynamics.timestep_fs * 1e-3
    rows = [
        ("structure", f"{start.label}{copies}: {len(system)} atoms ({formula})"),
        ("cell", _cell(system)),
        ("potential", _potential(start.potential, config)),
        (
            "dynamics",
            f"{_ensemble(config)}, {dynamics.timestep_fs:g} fs; {steps} ({duration:g} ps)",
        ),
        ("velocities", _velocities(config, start)),
        ("threads", str(n_threads)),
        ("trajectory", f"{short(config.trajectory_path)}, every {output.frame_interval} steps"),
    ]
    if not np.array_equal(start.rotation, np.eye(3)):
        axes = "; ".join(" ".join(f"{x:.6f}" for x in row) for row in start.rotation)
        rows.insert(2, ("", f"rotated to lower-triangular form: new vector = R old, R = [{axes}]"))
    return "\n".join([f"mdnnp {__version__}", *(f"{name:<12}{text}" for name, text in rows)])


def resumed(config: RunConfig, start: Start, step: int, n_threads: int) -> str:
    """Where a run continues, as lines of text."""
    done = f"step {step} of {config.total_steps}"
    if step >= config.total_steps:
        done += ": finished; to extend it, increase dynamics.steps"
    rows = [
        ("resumed at", done),
        ("structure", f"{start.label}: {len(start.system)} atoms"),
        ("threads", str(n_threads)),
    ]
    return "\n".join([f"mdnnp {__version__}", *(f"{name:<12}{text}" for name, text in rows)])


def summary(config: RunConfig, start: Start, outcome, extrapolated_steps: int, n_builds: int) -> str:
    """How a run ended, as lines of text; `outcome` is its Summary."""
    n = len(start.system)
    rows = [("done", speed(outcome.new_steps, n, config.dynamics.timestep_fs, outcome.seconds))]
    if outcome.new_steps:
        rows.append(("", f"neighbour list built {n_builds} times, every {outcome.new_steps / n_builds:.3g} steps"))
    if outcome.shadow_drift is not None:
        rows.append(("shadow energy", drift_verdict(outcome.shadow_drift)))
    if outcome.drift is not None:
        name = "total energy" if config.dynamics.ensemble == "nve" else "conserved"
        rows.append((name, drift_verdict(outcome.drift, outcome.shadow_drift)))
        if is_verlet_error(outcome.drift, outcome.shadow_drift):
            rows.append(("", VERLET_ERROR))
    extrapolations = "none"
    if outcome.extrapolations:
        extrapolations = f"{outcome.extrapolations} in {extrapolated_steps} steps; listed in the trajectory"
    rows.append(("extrapolated", extrapolations))
    if config.collect_path is not None:
        rows.append(("collected", f"{outcome.collected} configurations to be labelled"))
    rows.append(("files", files_line([outcome.trajectory, outcome.checkpoint, *filter(None, [config.collect_path])])))
    if outcome.stopped_by:
        rows.append(("stopped", f"by signal {outcome.stopped_by} at step {outcome.step} of {config.total_steps}"))
        rows.append(("next", f"mdnnp run {short(config.source)} --resume"))
    else:
        rows.append(("next", f"mdnnp analyze {short(outcome.trajectory)}"))
    return "\n".join(["", *(f"{name:<15}{text}" for name, text in rows)])


def kept(trajectory, step: int, config: RunConfig, checkpointed: int) -> str:
    """The files that a run that went wrong has saved."""
    return f"saved: {short(trajectory)} up to step {step}, {short(config.checkpoint_path)} of step {checkpointed}"


def _cell(system: System) -> str:
    a, b, c, alpha, beta, gamma = cell_to_cellpar(system.cell)
    periodic = "".join("abc"[k] for k in range(3) if system.pbc[k])
    return (
        f"{a:.6g} {b:.6g} {c:.6g} Å, {alpha:.5g} {beta:.5g} {gamma:.5g}°, "
        + (f"periodic along {' '.join(periodic)}" if periodic else "not periodic")
        + (" (other edges enclose the atoms)" if len(periodic) < 3 else "")
    )


def _potential(potential: Potential, config: RunConfig) -> str:
    cutoffs = " and ".join(f"{cutoff:.6g}" for cutoff in potential.cutoffs)
    cutoff = f"cutoff {cutoffs} Å + skin {config.dynamics.skin_A:g} Å"
    return f"{short(config.potential.path)} ({potential.kind}), {cutoff}"


def vibrations(period_fs: float, timestep_fs: float) -> str:
    """The line of the header on the fastest vibration; it needs forces, so it is printed later."""
    text = "none found at the start"
    if math.isfinite(period_fs):
        wavenumber = 1e15 / period_fs / 2.99792458e10
        steps = period_fs / timestep_fs
        text = f"fastest about {period_fs:.3g} fs ({wavenumber:.0f} cm^-1) at the start, {steps:.3g} time steps"
    return f"{'vibrations':<12}{text}"


def no_vibrations(n_evaluations: int) -> str:
    """The line instead of `vibrations` where the search is left out."""
    return f"{'vibrations':<12}not computed: this takes {n_evaluations} force evaluations, too many for this short run"


def _ensemble(config: RunConfig) -> str:
    dynamics = config.dynamics
    method = {
        "nve": "velocity Verlet at constant energy",
        "nvt-langevin": f"Langevin dynamics (BAOAB), friction {dynamics.friction_per_ps:g} /ps",
        "nvt-nose-hoover": f"Nose-Hoover chain, {dynamics.thermostat_time_fs:g} fs",
        "nvt-rescale": f"stochastic velocity rescaling, {dynamics.thermostat_time_fs:g} fs",
        "npt-mtk": "Martyna-Tobias-Klein dynamics",
        "npt-rescale": "stochastic cell and velocity rescaling",
    }[dynamics.ensemble]
    if dynamics.has_barostat:
        method += f" ({dynamics.cell} cell, {dynamics.thermostat_time_fs:g} and {dynamics.barostat_time_fs:g} fs)"
    if dynamics.ensemble != "nve":
        method += f", {_range(dynamics.temperature_K, dynamics.temperature_end_K, 'K')}"
    if dynamics.has_barostat:
        method += f", {_range(dynamics.pressure_GPa, dynamics.pressure_end_GPa, 'GPa')}"
    return method + (f", {len(dynamics.fixed)} atoms fixed" if dynamics.fixed else "")


def _range(start: float, end: float | None, unit: str) -> str:
    return f"{start:g} {unit}" if end is None else f"{start:g} to {end:g} {unit}"


def _velocities(config: RunConfig, start: Start) -> str:
    dynamics, n_moving = config.dynamics, len(start.masses) - len(start.fixed)
    text = {"file": "of the structure file", "zero": "zero"}.get(dynamics.velocities)
    if dynamics.velocities == "maxwell-boltzmann":
        exactly = " exactly" if dynamics.exact_temperature else ""
        text = f"Maxwell-Boltzmann, {dynamics.temperature_K:g} K{exactly}, seed {dynamics.seed}"
        if not start.system.pbc.any() and dynamics.remove_momentum and not len(start.fixed) and n_moving > 1:
            text += ", without translation and rotation of the whole system"
    missing = 3 * n_moving - start.n_degrees
    return f"{text}; {start.n_degrees} degrees of freedom (3 N{f' - {missing}' * bool(missing)})"


def short(path) -> str:
    """A path relative to the working directory where it lies below it."""
    from pathlib import Path

    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class Thermo:
    """Lines with the state of the run; energies are per atom, minus the constants in the potential."""

    def __init__(self, config: RunConfig, start: Start):
        dynamics = config.dynamics
        self._start, self._timestep, self._has_density = start, dynamics.timestep_fs, dynamics.has_barostat
        self._offset = start.potential.offset_energy(start.system.numbers)
        energy = "E_total" if dynamics.ensemble == "nve" else "E_conserved"
        self.header = (
            f"{'step':>10} {'time/ps':>11} {'T/K':>9} {'E_pot/(eV/atom)':>16} {energy + '/(eV/atom)':>22} "
            f"{'p/GPa':>10} {'rho/(g/cm3) ' * self._has_density}{'extrapolations':>15}"
        )

    def line(self, state: MDState, n_extrapolations: int) -> str:
        """The line of one state."""
        n = len(state.system)
        size = volume(state.system.cell) if state.system.pbc.all() else 0.0
        kinetic = float(kinetic_energy(state.velocities, state.masses))
        potential = state.results.energy - self._offset
        conserved = self._start.integrator.conserved_energy(state) - self._offset
        tensor = kinetic_tensor(state.velocities, state.masses)
        p = float(pressure(tensor, state.results.virial, size)) * EV_PER_A3_IN_GPA
        rho = f"{density(state.masses, size):>11.5f} " if self._has_density else ""
        return (
            f"{state.step:>10} {state.step * self._timestep * 1e-3:>11.5g} "
            f"{temperature(kinetic, self._start.n_degrees):>9.2f} {potential / n:>16.8f} "
            f"{conserved / n:>22.8f} {'-' if math.isnan(p) else f'{p:.4f}':>10} "
            f"{rho}{n_extrapolations:>15}"
        )


def drift_verdict(drift: Drift, shadow: Drift | None = None) -> str:
    """The drift with its error bar, and its cause, as a sentence; `shadow` : drift of the run's shadow energy."""
    if not drift.enough:
        return str(drift)
    if is_verlet_error(drift, shadow):
        return f"{drift} - the integrator's own error"
    resolved = "resolved" if drift.sigmas >= RESOLVED else "not resolved"
    return f"{drift} - {resolved}, {drift.sigmas:.1f} standard errors"


def extrapolation_line(step: int, event: Extrapolation, numbers: np.ndarray) -> str:
    """The first of the listed events of one evaluation, as a sentence."""
    atom, function = int(event.atom[0]), int(event.function[0])
    return (
        f"extrapolation at step {step}: atom {atom} ({chemical_symbols[numbers[atom]]}), symmetry function "
        f"{function}: {event.value[0]:.8g} is outside {event.lower[0]:.8g} .. {event.upper[0]:.8g}"
        + (f" ({event.count} in all at this step)" if event.count > 1 else "")
    )


def files_line(paths: Sequence) -> str:
    """Paths with their sizes."""
    return ", ".join(f"{short(p)} ({_size(p.stat().st_size)})" for p in paths if p.exists())


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"
