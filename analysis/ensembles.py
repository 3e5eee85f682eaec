"""Are the ensembles what they say? Thermostats and barostats on argon against what statistical mechanics demands.

    python analysis/ensembles.py [--steps 25000] [--seed 1] [--only npt-mtk ...] [-o ensembles.png]

Liquid argon (108 Lennard-Jones atoms, density 1.374 g/cm^3) with each thermostat at 120 and 132 K; at 110 K with
isotropic barostats at 0.02 and 0.035 GPa; crystalline argon at 60 K with the others at 0.05 and 0.08 GPa. Checked are

    kinetic energy            mean and width of its distribution (physical_validation)
    equipartition             kinetic energies of the directions and of random halves of the atoms, largest deviation
    ensemble                  ratio of the distributions at the two state points (physical_validation)
    heat capacity             var(E) / kT^2 against dE/dT
    compressibility           var(V) / (V kT) against -(dV/dp) / V
    virial theorem            <P> against the pressure of the surroundings (barostats)
    conserved energy          its drift, reported only: it is a matter of the time step

Prints a table with found and expected values, the error bar of their difference, and z, the difference in error bars;
writes it as JSON beside the figure. Needs `pip install physical-validation`. Takes 20 minutes on one core.
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import physical_validation as pv
from ase.build import bulk

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.quantities import degrees_of_freedom, kinetic_energy, kinetic_tensor, pressure
from mdnnp.atoms.system import make_system, volume
from mdnnp.base.report.style import ACCENT, DATA, MAIN, STYLE
from mdnnp.base.statistics import drift, mean_with_error
from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_PER_A3_IN_GPA
from mdnnp.dynamics.integrators import (
    CellRescaling,
    Langevin,
    MartynaTobiasKlein,
    MDState,
    NoseHoover,
    Ramp,
    VelocityRescaling,
    maxwell_boltzmann,
)
from mdnnp.potentials.lennard_jones import LennardJones

POTENTIAL = LennardJones({"Ar": (0.0103408, 3.4)}, cutoff_A=6.5, inner_cutoff_A=5.0, smoothing="poly3")
TIMESTEP_FS = 5.0
THERMOSTAT_FS, BAROSTAT_FS, FRICTION_PER_PS = 200.0, 500.0, 2.0
INTERVAL = 10  # steps between samples
UNITS = pv.data.UnitData(
    kb=BOLTZMANN_EV_PER_K,
    energy_conversion=96.4853321,
    length_conversion=0.1,
    volume_conversion=1e-3,
    temperature_conversion=1.0,
    pressure_conversion=1e4,
    time_conversion=1e-3,
)


@dataclass(frozen=True)
class Ensemble:
    """A thermostat or barostat, and the two state points (K, GPa) at which it is tried.

    lattice_A : of the fcc crystal that it starts from; shape : of the cell's changes
    compressibility_per_GPa : about that of the phase
    """

    name: str
    method: str
    points: tuple[tuple[float, float], tuple[float, float]]
    lattice_A: float
    shape: str = ""
    compressibility_per_GPa: float = math.nan

    def integrator(self, point, n_degrees: int, volume_A3: float, seed: int):
        T, p = (Ramp.constant(x) for x in point)
        if self.method == "nvt-langevin":
            return Langevin(T, FRICTION_PER_PS, seed)
        if self.method == "nvt-nose-hoover":
            return NoseHoover(T, n_degrees, THERMOSTAT_FS)
        if self.method == "nvt-rescale":
            return VelocityRescaling(T, n_degrees, THERMOSTAT_FS, seed)
        if self.method == "npt-mtk":
            return MartynaTobiasKlein(T, p, n_degrees, THERMOSTAT_FS, BAROSTAT_FS, self.shape)
        times = THERMOSTAT_FS, BAROSTAT_FS, self.compressibility_per_GPa
        return CellRescaling(T, p, n_degrees, *times, volume_A3, self.shape, seed)


LIQUID, CRYSTAL = 5.78, 5.41
ENSEMBLES = (
    *(Ensemble(m, m, ((120.0, 0.0), (132.0, 0.0)), LIQUID) for m in ("nvt-langevin", "nvt-nose-hoover", "nvt-rescale")),
    *(
        Ensemble(f"{m} isotropic", m, ((110.0, 0.02), (110.0, 0.035)), LIQUID, "isotropic", 4.0)
        for m in ("npt-mtk", "npt-rescale")
    ),
    *(
        Ensemble(f"{m} {shape}", m, ((60.0, 0.05), (60.0, 0.08)), CRYSTAL, shape, 1.0)
        for m in ("npt-mtk", "npt-rescale")
        for shape in ("anisotropic", "flexible")
    ),
)


@dataclass(frozen=True)
class Sample:
    """What was recorded at a state point; energies in eV, volumes in Å^3, pressure in GPa, one value a sample."""

    point: tuple[float, float]
    n_degrees: int
    masses: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    volume: np.ndarray
    pressure: np.ndarray
    conserved: np.ndarray
    velocities: np.ndarray

    @property
    def kT(self) -> float:
        return BOLTZMANN_EV_PER_K * self.point[0]


@dataclass(frozen=True)
class Row:
    """One line of the table: found and expected value, error bar of the difference in the same unit."""

    ensemble: str
    quantity: str
    found: float
    expected: float
    error: float
    unit: str

    @property
    def z(self) -> float:
        return (self.found - self.expected) / self.error


# --- Simulation ---------------------------------------------------------------------------------------------


def simulate(ensemble: Ensemble, point, n_steps: int, seed: int) -> Sample:
    """A run of `n_steps` after an equilibration of a fifth of it."""
    crystal = bulk("Ar", "fcc", ensemble.lattice_A, cubic=True).repeat(3)
    system = make_system(crystal.positions, crystal.numbers, crystal.cell[:], True)
    masses = np.full(len(system), 39.95)
    langevin = ensemble.method == "nvt-langevin"
    n_degrees = degrees_of_freedom(len(system), momentum_removed=not langevin)
    integrator = ensemble.integrator(point, n_degrees, volume(system.cell), seed)
    neighbors = VerletList(POTENTIAL.cutoff, 1.0)

    def compute(system):
        return POTENTIAL.compute(system, neighbors.update(system))

    # Velocities for twice the temperature, half of which goes into the potential energy of the crystal.
    velocities = maxwell_boltzmann(masses, 2 * point[0], 7, remove_momentum=not langevin)
    state = MDState(system, velocities, masses, compute(system), 0, bath=integrator.begin(system))
    first, values, frames = n_steps // 5, [], []
    for step in range(first + n_steps):
        state = integrator.step(state, TIMESTEP_FS, compute)
        if step < first or step % INTERVAL:
            continue
        values.append(_observed(state, masses, integrator))
        frames.append(state.velocities)
    return Sample(point, n_degrees, masses, *np.array(values).T, np.array(frames[::5]))


def _observed(state: MDState, masses: np.ndarray, integrator) -> tuple[float, ...]:
    V = volume(state.system.cell)
    p = pressure(kinetic_tensor(state.velocities, masses), state.results.virial, V) * EV_PER_A3_IN_GPA
    kinetic = float(kinetic_energy(state.velocities, masses))
    return state.results.energy, kinetic, V, float(p), integrator.conserved_energy(state)


# --- Checks -------------------------------------------------------------------------------------------------


def checks(ensemble: Ensemble, samples: tuple[Sample, Sample]) -> list[Row]:
    """All rows of an ensemble."""
    name, rows = ensemble.name, []
    for sample in samples:
        rows += [_kinetic(name, sample), *_kinetic_distribution(name, sample), _equipartition(name, sample)]
        rows.append(_conserved(name, sample))
        if ensemble.shape:
            rows.append(_virial_theorem(name, sample))
    try:
        deviations = pv.ensemble.check(*(_simulation(s) for s in samples), verbosity=0)
    except pv.util.error.InputError:  # the distributions do not overlap: too few steps
        deviations = [np.nan]
    rows += [Row(name, "ensemble (ratio of distributions)", float(d), 0.0, 1.0, "sigma") for d in deviations]
    rows.append(_compressibility(name, samples) if ensemble.shape else _heat_capacity(name, samples))
    return rows


def _simulation(sample: Sample) -> pv.data.SimulationData:
    """The sample as physical_validation wants it."""
    n, constant_volume = len(sample.masses), np.ptp(sample.volume) == 0.0
    return pv.data.SimulationData(
        units=UNITS,
        ensemble=pv.data.EnsembleData(
            "NVT" if constant_volume else "NPT",
            natoms=n,
            volume=sample.volume[0] if constant_volume else None,
            pressure=None if constant_volume else sample.point[1],
            temperature=sample.point[0],
        ),
        system=pv.data.SystemData(
            natoms=n,
            nconstraints=0,
            ndof_reduction_tra=3 * n - sample.n_degrees,
            ndof_reduction_rot=0,
            mass=sample.masses,
            molecule_idx=np.arange(n),
            nconstraints_per_molecule=np.zeros(n),
        ),
        observables=pv.data.ObservableData(
            kinetic_energy=sample.kinetic,
            potential_energy=sample.potential,
            total_energy=sample.kinetic + sample.potential,
            volume=sample.volume,
            temperature=2 * sample.kinetic / (sample.n_degrees * BOLTZMANN_EV_PER_K),
        ),
    )


def _kinetic(name: str, sample: Sample) -> Row:
    mean = mean_with_error(2 * sample.kinetic / (sample.n_degrees * BOLTZMANN_EV_PER_K))
    return Row(name, f"temperature at {_at(sample)}", mean.mean, sample.point[0], mean.error, "K")


def _kinetic_distribution(name: str, sample: Sample) -> list[Row]:
    found = pv.kinetic_energy.distribution(_simulation(sample), verbosity=0, bootstrap_seed=1)
    names = ("mean", "width")
    return [
        Row(name, f"kinetic energy, {names[k]}, at {_at(sample)}", float(d), 0.0, 1.0, "sigma")
        for k, d in enumerate(found)
    ]


def _equipartition(name: str, sample: Sample) -> Row:
    """The largest z of the mean kinetic energies of directions and of random halves of the atoms."""
    weighted = sample.velocities * np.sqrt(sample.masses)[:, None]
    weighted = np.square(weighted) / np.sum(np.square(weighted), axis=(1, 2), keepdims=True)  # shares
    halves = np.random.default_rng(3).permuted(np.tile(np.arange(len(sample.masses)), (10, 1)), axis=1)[:, ::2]
    shares = [weighted[:, :, k].sum(axis=1) - 1 / 3 for k in range(3)]
    shares += [weighted[:, half].sum(axis=(1, 2)) - half.size / len(sample.masses) for half in halves]
    means = [mean_with_error(s) for s in shares]
    largest = max(means, key=lambda m: abs(m.mean / m.error))
    return Row(name, f"equipartition (largest of 13) at {_at(sample)}", largest.mean, 0.0, largest.error, "share")


def _conserved(name: str, sample: Sample) -> Row:
    time = TIMESTEP_FS * INTERVAL * np.arange(len(sample.conserved))
    found = drift(time, sample.conserved, len(sample.masses))
    slope, error = (1e6 * x for x in (found.slope_eV_per_atom_ps, found.error_eV_per_atom_ps))
    # No z: a time step of finite length drifts, stochastic dynamics by the work that its error does.
    return Row(name, f"drift of the conserved energy at {_at(sample)}", slope, np.nan, error, "meV/atom/ns")


def _virial_theorem(name: str, sample: Sample) -> Row:
    """<P> is the pressure of the surroundings if the positions are weighted by V^n, with the factors of `barostats`."""
    work = mean_with_error((sample.pressure - sample.point[1]) * sample.volume / np.mean(sample.volume))
    # <(P - p) V> = -kT: the integral of d(V w)/dV, where w is the distribution of volumes.
    expected = sample.point[1] - sample.kT / np.mean(sample.volume) * EV_PER_A3_IN_GPA
    found = sample.point[1] + work.mean
    return Row(name, f"<P V> / <V> at {_at(sample)}", found, expected, work.error, "GPa")


def _heat_capacity(name: str, samples) -> Row:
    energies = [s.kinetic + s.potential for s in samples]
    fluctuations = _variances(energies, [BOLTZMANN_EV_PER_K * s.point[0] ** 2 for s in samples])
    means = [mean_with_error(e) for e in energies]
    change = samples[1].point[0] - samples[0].point[0]
    return _compared(name, "heat capacity, fluctuation", fluctuations, means, change, "k_B",
                     BOLTZMANN_EV_PER_K * len(samples[0].masses))  # fmt: skip


def _compressibility(name: str, samples) -> Row:
    volumes = [s.volume for s in samples]
    fluctuations = _variances(volumes, [s.kT / EV_PER_A3_IN_GPA**-1 for s in samples])
    means = [mean_with_error(v) for v in volumes]
    change = samples[0].point[1] - samples[1].point[1]
    V = np.mean(np.concatenate(volumes))
    return _compared(name, "compressibility, fluctuation", fluctuations, means, change, "1/GPa", V)


def _variances(series, divisors):
    """Mean of both ends, and its error, of var / divisor."""
    found = [mean_with_error(np.square(x - np.mean(x)) / d) for x, d in zip(series, divisors, strict=True)]
    return 0.5 * sum(m.mean for m in found), 0.5 * np.hypot(*(m.error for m in found))


def _compared(name, quantity, fluctuation, means, change, unit, scale) -> Row:
    """A fluctuation against the finite difference of the means."""
    difference = (means[1].mean - means[0].mean) / change
    error = np.hypot(fluctuation[1], np.hypot(means[0].error, means[1].error) / change)
    return Row(name, f"{quantity} against difference", fluctuation[0] / scale, difference / scale, error / scale, unit)


def _at(sample: Sample) -> str:
    T, p = sample.point
    return f"{T:g} K" if np.ptp(sample.volume) == 0.0 else f"{T:g} K, {p:g} GPa"


# --- Output -------------------------------------------------------------------------------------------------


def table(rows: list[Row]) -> str:
    lines = [f"{'ensemble':<24}{'quantity':<62}{'found':>12}{'expected':>12}{'error':>11}  {'unit':<12}{'z':>6}"]
    for r in rows:
        values = f"{r.found:>12.5g}{r.expected:>12.5g}{r.error:>11.2g}  {r.unit:<12}{r.z:>6.1f}"
        lines.append(f"{r.ensemble:<24}{r.quantity:<62}{values}")
    return "\n".join(lines)


def largest(rows: list[Row]) -> float:
    """Largest deviation in error bars."""
    return max(abs(r.z) for r in rows if np.isfinite(r.z))


def draw(rows: list[Row], path: Path) -> None:
    """Fluctuations over finite differences, and the deviations of all checks in error bars."""
    names = list(dict.fromkeys(r.ensemble for r in rows))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 4.2), layout="constrained", width_ratios=(1, 1.8), sharey=True
    )
    for k, name in enumerate(names):
        for r in (r for r in rows if r.ensemble == name and "fluctuation" in r.quantity and np.isfinite(r.error)):
            left.errorbar(r.found / r.expected, k, xerr=abs(r.error / r.expected), fmt="o", color=MAIN, capsize=3)
        z = np.array([r.z for r in rows if r.ensemble == name and np.isfinite(r.z)])
        right.plot(z, np.full(len(z), k) + np.linspace(-0.25, 0.25, len(z)), "o", ms=4, color=MAIN)
    left.axvline(1.0, color=DATA, lw=1)
    left.set(
        yticks=range(len(names)),
        yticklabels=names,
        xlabel="heat capacity or compressibility:\nfluctuation / finite difference",
    )
    for limit, colour in ((2, DATA), (4, ACCENT)):
        for sign in (-1, 1):
            right.axvline(sign * limit, color=colour, lw=1, ls="--")
    limit = max(5.0, 1.1 * largest(rows))
    right.set(xlabel="deviation of each check / its error bar", xlim=(-limit, limit))
    right.invert_yaxis()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=25_000, help="length of each of the 18 runs")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers, of which each run has its own")
    parser.add_argument("--only", nargs="+", default=[""], help="ensembles whose names begin so")
    parser.add_argument("-o", "--output", type=Path, default=Path("ensembles.png"))
    options = parser.parse_args()
    plt.rcParams.update(STYLE)
    rows = []
    for k, ensemble in enumerate(ENSEMBLES):
        if not any(ensemble.name.startswith(name) for name in options.only):
            continue
        seeds = np.random.SeedSequence([options.seed, k]).generate_state(2)
        pair = tuple(
            simulate(ensemble, point, options.steps, int(seed))
            for point, seed in zip(ensemble.points, seeds, strict=True)
        )
        found = checks(ensemble, pair)
        print(table(found), flush=True)
        rows += found
    draw(rows, options.output)
    numbers = [asdict(r) | {"z": r.z} for r in rows]
    options.output.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")
    known = [r for r in rows if np.isfinite(r.z)]
    print(f"{len(known)} checks, largest |z| {largest(rows):.1f}; the others report drifts, or have too few data")


if __name__ == "__main__":
    main()
