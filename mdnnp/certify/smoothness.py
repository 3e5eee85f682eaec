"""Whether a potential is smooth enough for molecular dynamics, and what limits it; the verb is `mdnnp smooth`.

Three tests: what the potential is made of (`construction`), what happens as an atom crosses a cutoff (`measures`),
and how the energy error of the dynamics falls with the time step (`order`).
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from mdnnp.atoms.structure import Structure
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.certify.invariances import Begin, Row, cutoff_rows, watched
from mdnnp.certify.order import SEGMENTS, Dynamics, Ladder, Order, climb, equilibrated
from mdnnp.dynamics.integrators import MDState, fastest_period
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.smoothness import UNKNOWN, Ingredient, order_name

ORDER_GATE = (1.9, 2.1)
SHADOW_SHARE_GATE = 0.5  # rms of shadow over total energy at the shortest step: near 1 where forces jump
STEPS_PER_PERIOD = 10
ENERGY_NOISE = 0.05  # rms of the total energy over the deviation of the kinetic energy, of a safe time step
HALVINGS = 3


@dataclass(frozen=True)
class Certificate:
    """Results of the three tests.

    causes : ingredients of the potential, the roughest first
    functions : element -> for each symmetry function in the potential's order, its roughest ingredient; of a
        committee, those of its first member
    scan : rows of `mdnnp check` on atoms that cross a cutoff
    ladder : energy errors against time step; period_fs : of the fastest vibration, inf if there is none
    n_atoms, temperature_K, seed : of the dynamics
    """

    causes: tuple[Ingredient, ...]
    functions: dict[str, tuple[Ingredient, ...]]
    scan: tuple[Row, ...]
    ladder: Ladder
    period_fs: float
    n_atoms: int
    temperature_K: float
    seed: int

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the potential is not smooth, as sentences; empty if it is."""
        found = []
        if self.causes[0].order < 1:
            found.append(f"by construction the forces jump: {_class_of(self.causes[0])}")
        failed = [row for row in self.scan if row.passed is False]
        if failed:
            first = min(failed, key=lambda row: row.quantity != "energy")
            what = "the energy jumps" if first.quantity == "energy" else "forces jump"
            found.append(f"{what} as an atom crosses a cutoff ({first.check.removeprefix('cutoff ')})")
        low, high = ORDER_GATE
        order = self.ladder.order
        if not low <= order.value <= high:
            found.append(f"the energy error is proportional to dt^{_order(order)}, not as dt^2 within {low} to {high}")
        if self.ladder.shadow_share > SHADOW_SHARE_GATE:
            share = f"the shadow energy fluctuates {self.ladder.shadow_share:.2g} times as much as the total energy"
            found.append(f"{share}: velocity Verlet has no conserved shadow energy here")
        return tuple(found)

    @property
    def smooth(self) -> bool:
        """Whether all three tests pass."""
        return not self.faults

    @property
    def exit_code(self) -> int:
        """Exit status of the command: 0, or that of a PhysicsError."""
        return 0 if self.smooth else PhysicsError.exit_code

    @property
    def safe_timestep_fs(self) -> float:
        """The longest time step of the ladder that is safe; NaN if none is, or the potential is not smooth.

        Safe: at least STEPS_PER_PERIOD steps per fastest vibration, and an rms of the total energy of at most
        ENERGY_NOISE times the standard deviation of the kinetic energy.
        """
        if not self.smooth:
            return math.nan
        safe = [
            rung.timestep_fs
            for rung in self.ladder.rungs
            if rung.timestep_fs * STEPS_PER_PERIOD <= self.period_fs
            and rung.rms_eV <= ENERGY_NOISE * rung.kinetic_deviation_eV
        ]
        return max(safe, default=math.nan)

    def text(self) -> str:
        """The certificate as lines of text."""
        return "\n".join([*_construction(self), "", *_scan(self), "", *_dynamics(self), "", *_verdict(self)])

    def as_dict(self) -> dict:
        """The certificate by name; unknown numbers are NaN."""
        return _as_dict(self)


def certify(
    potential: Potential,
    structure: Structure,
    *,
    timestep_fs: float | None = None,
    n_steps: int = 300,
    temperature_K: float = 300.0,
    seed: int = 1,
    begin: Begin = lambda total, unit: lambda n: None,
) -> Certificate:
    """Make the three tests.

    timestep_fs : the longest of the ladder (default: a fifteenth of the fastest period, rounded down to 1, 2 or 5)
    n_steps : of that time step, at constant energy and as many before it for the temperature
    begin : for a progress bar: told the number of atoms in the scan and of all steps, gives what is called after each
    Raises InputError for what cannot be run, PhysicsError if the dynamics goes wrong.
    """
    system = structure.system
    _check_numbers(timestep_fs, n_steps, temperature_K)
    n_steps += -n_steps % SEGMENTS
    if len(system) < 2 and not system.pbc.any():
        raise InputError(f"{structure.label}: a single atom has no dynamics; give a structure of two atoms or more")
    scan = tuple(watched(lambda exact: cutoff_rows(exact, system, seed), potential.converged(), begin))
    at_rest = MDState(system, np.zeros((len(system), 3)), structure.masses, potential.compute(system), 0)
    period = fastest_period(at_rest, potential.compute)
    if timestep_fs is None:
        timestep_fs = _default_timestep(period)
    dynamics = Dynamics(potential, system)
    told = begin(n_steps * 2 ** (HALVINGS + 1), "step")

    def advance() -> None:
        told(1)

    start = equilibrated(
        dynamics.compute, system, structure.masses, temperature_K, timestep_fs, n_steps, seed=seed, advance=advance
    )
    ladder = climb(dynamics, start, timestep_fs, n_steps, halvings=HALVINGS, advance=advance)
    return Certificate(
        causes=tuple(potential.ingredients()) or (UNKNOWN,),
        functions=potential.function_ingredients(),
        scan=scan,
        ladder=ladder,
        period_fs=period,
        n_atoms=len(system),
        temperature_K=temperature_K,
        seed=seed,
    )


def _check_numbers(timestep_fs, n_steps, temperature_K) -> None:
    if timestep_fs is not None and not 1e-3 <= timestep_fs <= 100:
        raise InputError(f"the time step must lie between 0.001 and 100 fs, found {timestep_fs:g}")
    if not 50 <= n_steps <= 10**7:
        raise InputError(f"at least 50 steps (and at most 1e7) are needed to measure a fluctuation, found {n_steps}")
    if not 0 < temperature_K <= 1e5:
        raise InputError(f"the temperature must lie above 0, up to 1e5 K, found {temperature_K:g}")


def _default_timestep(period_fs: float) -> float:
    if not math.isfinite(period_fs):
        raise InputError("no vibration was found from which to choose a time step; give one with --timestep-fs")
    wanted = period_fs / 15
    power = 10.0 ** math.floor(math.log10(wanted))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= wanted)


def _class_of(cause: Ingredient) -> str:
    return f"{cause.what} is {order_name(cause.order)}"


def _order(order: Order) -> str:
    return f"{order.value:.2f} ± {order.error:.2f}"


def _construction(certificate: Certificate) -> list[str]:
    causes = certificate.causes
    if causes[0] == UNKNOWN:
        return ["By construction: not known, because the potential does not state what limits its smoothness"]
    lines = [f"By construction: {order_name(causes[0].order)}, limited by the {causes[0].what}"]
    lines += [f"  {order_name(cause.order):<14}{cause.what}" for cause in causes]
    for symbol, functions in certificate.functions.items():
        counts = sorted(Counter((f.order, f.what) for f in functions).items())
        classes = ", ".join(f"{n} {order_name(order)} ({what})" for (order, what), n in counts)
        lines.append(f"  symmetry functions of {symbol}: {classes}")
    return lines


def _scan(certificate: Certificate) -> list[str]:
    lines = [
        "By scanning: jumps as an atom crosses the cutoff of another, relative to the sum of |energies| and the "
        "largest force"
    ]
    lines.append(f"  {'pair':<8}{'energy':>10}{'force':>10}{'slope / (1/Å)':>16}")
    for k in range(0, len(certificate.scan), 3):
        energy, force, slope = certificate.scan[k : k + 3]
        cells = [f"{row.value:.1e}{'!' if row.passed is False else ' '}" for row in (energy, force, slope)]
        pair = energy.check.removeprefix("cutoff ")
        lines.append(f"  {pair:<8}{cells[0]:>10}{cells[1]:>10}{cells[2]:>16}  {slope.remark}")
    return lines


def _dynamics(certificate: Certificate) -> list[str]:
    ladder, n = certificate.ladder, certificate.n_atoms
    first = ladder.rungs[0]
    lines = [
        f"By dynamics: {n} atoms, {certificate.temperature_K:g} K, {round(first.time_fs[-1]):d} fs at constant energy",
        f"  {'dt/fs':>8}{'rms E / (meV/atom)':>21}{'shadow / (meV/atom)':>22}{'rms E / sigma(Ekin)':>22}"
        f"{'steps per vibration':>22}",
    ]
    for rung in ladder.rungs:
        noise = rung.rms_eV / rung.kinetic_deviation_eV if rung.kinetic_deviation_eV > 0 else math.nan
        period = certificate.period_fs / rung.timestep_fs
        rms, shadow_rms = 1e3 * rung.rms_eV / n, 1e3 * rung.shadow_rms_eV / n
        lines.append(f"  {rung.timestep_fs:>8.4g}{rms:>21.3g}{shadow_rms:>22.3g}{noise:>22.2g}{period:>22.3g}")
    lines.append(f"  order of the energy error in dt: {_order(ladder.order)} (2 if the forces are continuous)")
    shadow = ladder.shadow_order
    text = _order(shadow) if math.isfinite(shadow.value) else "hidden by rounding"
    lines.append(f"  order of the shadow energy's fluctuation: {text} (the higher the smoother, 8 at most)")
    if ladder.extrapolations:
        lines.append(f"  {ladder.extrapolations} extrapolations: the dynamics left the range of the training data")
    return lines


def _verdict(certificate: Certificate) -> list[str]:
    limit = certificate.causes[0]
    if not certificate.smooth:
        lines = ["Not smooth", *(f"  {fault}" for fault in certificate.faults)]
        if limit.order < 1:
            return [
                *lines,
                f"  what to change: {limit.remedy}",
                "  safe time step: none, the energy drifts at every time step",
            ]
        advice = "a too long time step, or a run outside the range of the training data; try half of --timestep-fs"
        return [*lines, f"  the functions of the potential do not explain it: {advice}"]
    safe = certificate.safe_timestep_fs
    lines = [f"Smooth: {order_name(limit.order)}, energy error of order {_order(certificate.ladder.order)} in dt"]
    if limit.order < 2:
        lines.append(f"  limited by the {limit.what}; for less noise {limit.remedy}")
    elif math.isfinite(limit.order):
        lines.append(f"  limited by the {limit.what}, which is enough")
    if math.isnan(safe):
        lines.append(
            f"  none of these time steps is safe: use less than {certificate.ladder.rungs[-1].timestep_fs:g} fs"
        )
    else:
        lines.append(
            f"  safe time step: {safe:g} fs (the longest of those tested with at least {STEPS_PER_PERIOD} steps per "
            f"vibration and an rms E of at most {ENERGY_NOISE:g} sigma(Ekin))"
        )
    return lines


def _as_dict(certificate: Certificate) -> dict:
    ladder = certificate.ladder
    numbers = ("timestep_fs", "rms_eV", "shadow_rms_eV", "kinetic_deviation_eV")
    return {
        "program": "mdnnp smooth",
        "smooth": certificate.smooth,
        "faults": list(certificate.faults),
        "limited_by": certificate.causes[0]._asdict(),
        "safe_timestep_fs": certificate.safe_timestep_fs,
        "construction": {
            "order": certificate.causes[0].order,
            "causes": [cause._asdict() for cause in certificate.causes],
            "functions": {
                symbol: [{"order": f.order, "what": f.what} for f in functions]
                for symbol, functions in certificate.functions.items()
            },
        },
        "scan": [
            {"check": row.check, "quantity": row.quantity, "value": row.value, "gate": row.gate, "passed": row.passed}
            for row in certificate.scan
        ],
        "dynamics": {
            "n_atoms": certificate.n_atoms,
            "temperature_K": certificate.temperature_K,
            "seed": certificate.seed,
            "fastest_period_fs": certificate.period_fs,
            "runs": [{name: getattr(rung, name) for name in numbers} for rung in ladder.rungs],
            "order": ladder.order.value,
            "order_error": ladder.order.error,
            "shadow_order": ladder.shadow_order.value,
            "shadow_order_error": ladder.shadow_order.error,
            "shadow_share": ladder.shadow_share,
            "rounding_eV": ladder.floor_eV,
            "extrapolations": ladder.extrapolations,
        },
    }
