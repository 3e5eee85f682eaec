"""What a descriptor without permutation symmetry does to the two hydrogens of a water molecule.

    python analysis/permutation_symmetry.py [--folder permutation] [--training 40]

Two small networks are fitted to the same energies of a model water molecule (two Morse bonds and a spring between the
hydrogens). One sees the distances (r1, r2, r12) in the order of the atoms, the other only what does not change when the
hydrogens are exchanged: (r1 + r2, (r1 - r2)^2, r12). In the training set the hydrogen that is listed first has the
longer bond more often than not, as in files that were written by one program from one kind of structure. Both give
forces that are gradients of an energy, and both conserve it; but with the first network the hydrogens are two
different atoms: exchanging them changes the energy, at a symmetric geometry their forces are not mirror images, and
they vibrate about different bond lengths. Energy conservation does not show this, `mdnnp check` does.

Writes FOLDER/listed.h5 and FOLDER/symmetric.h5 (runs at constant energy), and makes the figure from them.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from mdnnp.analysis.energies import analyze, read_series
from mdnnp.atoms.quantities import kinetic_energy
from mdnnp.atoms.system import System, make_system
from mdnnp.base.report.style import STYLE
from mdnnp.dynamics.integrators import MDState, maxwell_boltzmann, verlet_step
from mdnnp.dynamics.shadow_energy import REACH, ShadowEnergy
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Results
from mdnnp.trajectory import Trajectory, TrajectoryWriter

DEPTH_EV, STIFFNESS_PER_A, BOND_A = 5.0, 2.2, 0.96  # Morse bonds
SPRING_EV_PER_A2, SPAN_A = 5.0, 1.51  # between the hydrogens
MASSES = np.array([15.999, 1.008, 1.008])
N_HIDDEN = 40
TIMESTEP_FS, N_STEPS, TEMPERATURE_K = 0.25, 8_000, 600.0
PAIRS = ((0, 1), (0, 2), (1, 2))
NAMES = {"listed": "as listed", "symmetric": "symmetric"}
COLOURS = {"listed": "#c0392b", "symmetric": "#1f4e79"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default="permutation", help="for the trajectories and the figure")
    parser.add_argument("--training", type=int, default=40, help="number of training structures")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


# --- Energies of the three distances ------------------------------------------------------------------------


def model_energy(r: np.ndarray) -> np.ndarray:
    """The reference, eV, for distances (n, 3): r1, r2, r12 in Å."""
    bonds = DEPTH_EV * (1 - np.exp(-STIFFNESS_PER_A * (r[:, :2] - BOND_A))) ** 2
    return bonds.sum(axis=1) + 0.5 * SPRING_EV_PER_A2 * (r[:, 2] - SPAN_A) ** 2


def inputs(kind: str, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees, (n, 3), centred and in units of a typical vibration, and its derivatives (n, 3, 3)."""
    x = (r - [BOND_A, BOND_A, SPAN_A]) / [0.06, 0.06, 0.1]
    slope = np.tile(np.diag([1 / 0.06, 1 / 0.06, 1 / 0.1]), (len(r), 1, 1))
    if kind == "listed":
        return x, slope
    mixed = np.stack([(x[:, 0] + x[:, 1]) / 2, (x[:, 0] - x[:, 1]) ** 2 / 4, x[:, 2]], axis=1)
    turn = np.zeros((len(r), 3, 3))
    turn[:, 0, 0] = turn[:, 0, 1] = 0.5
    turn[:, 1, 0], turn[:, 1, 1] = (x[:, 0] - x[:, 1]) / 2, (x[:, 1] - x[:, 0]) / 2
    turn[:, 2, 2] = 1.0
    return mixed, turn @ slope


def fit(kind: str, n: int, seed: int) -> Network:
    """A network with a random hidden layer, and the output layer of least squares."""
    rng = np.random.default_rng(seed)
    r = np.stack([rng.normal(1.00, 0.04, n), rng.normal(0.94, 0.04, n), rng.normal(SPAN_A, 0.1, n)], axis=1)
    x, _ = inputs(kind, r)
    weights, biases = rng.normal(0, 0.35, (3, N_HIDDEN)), rng.normal(0, 1, N_HIDDEN)
    design = np.column_stack([np.tanh(x @ weights + biases), np.ones(n)])
    ridge = 1e-3 * np.eye(N_HIDDEN + 1)
    stacked, wanted = np.vstack([design, ridge]), np.concatenate([model_energy(r), np.zeros(N_HIDDEN + 1)])
    solution = np.linalg.lstsq(stacked, wanted, rcond=None)[0]
    return Network((weights, solution[:-1, None]), (biases, solution[-1:]), "tl")


class Molecule:
    """A potential of one water molecule (O, H, H): the network of the three distances."""

    def __init__(self, kind: str, network: Network):
        self.kind, self._network = kind, network

    def of_distances(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies (n,) eV and their derivatives (n, 3) eV/Å by the distances."""
        x, slope = inputs(self.kind, r)
        energy, gradient = self._network.gradient(x)
        return energy, np.einsum("nk,nkd->nd", gradient, slope)

    def compute(self, system: System) -> Results:
        vectors = np.array([system.positions[j] - system.positions[i] for i, j in PAIRS])
        r = np.linalg.norm(vectors, axis=1)
        energy, slope = self.of_distances(r[None])
        forces = np.zeros((3, 3))
        for (i, j), pull in zip(PAIRS, slope[0][:, None] * vectors / r[:, None], strict=True):
            forces[i] += pull
            forces[j] -= pull
        value = float(energy[0])
        return Results(value, np.full(3, value / 3), forces, np.zeros((3, 3)), np.empty((0, 3, 3)), NO_EXTRAPOLATION)


def geometry(r1: float = BOND_A, r2: float = BOND_A, r12: float = SPAN_A) -> System:
    """The molecule in the plane, with the first hydrogen along x."""
    cosine = (r1**2 + r2**2 - r12**2) / (2 * r1 * r2)
    second = r2 * np.array([cosine, np.sqrt(1 - cosine**2), 0.0])
    return make_system(np.array([[0, 0, 0], [r1, 0, 0], second]), [8, 1, 1])


# --- Runs ---------------------------------------------------------------------------------------------------


def run(molecule: Molecule, path: Path, seed: int) -> None:
    """A run at constant energy, written as a trajectory with total and shadow energy."""
    system = geometry()
    velocities = maxwell_boltzmann(MASSES, TEMPERATURE_K, seed, exact_temperature=True)
    state = MDState(system, velocities, MASSES, molecule.compute(system), 0)
    shadow, rows = ShadowEnergy(TIMESTEP_FS, MASSES), []
    units = dict.fromkeys(("potential_energy", "kinetic_energy", "total_energy", "shadow_energy"), "eV")
    path.unlink(missing_ok=True)
    with TrajectoryWriter.create(
        path, numbers=system.numbers, masses=MASSES, pbc=np.zeros(3, bool), thermo_units=units,
        parameters={"timestep_fs": TIMESTEP_FS, "n_degrees": 6}, forces=False,
    ) as writer:  # fmt: skip
        while state.step <= N_STEPS:
            kinetic, time = float(kinetic_energy(state.velocities, MASSES)), state.step * TIMESTEP_FS
            energies = {"potential_energy": state.results.energy, "kinetic_energy": kinetic}
            energies["total_energy"] = kinetic + state.results.energy
            rows.append((state.step, time, energies))
            if state.step % 4 == 0:
                others = {"temperature": np.nan, "stress": np.full((3, 3), np.nan)}
                box = 20.0 * np.eye(3)
                writer.write_frame(
                    state.step, time, state.system.positions, box, energies | others, velocities=state.velocities
                )
            found = shadow.add(state)
            if len(rows) > REACH:
                step, time, values = rows[-1 - REACH]
                writer.write_thermo(step, time, values | {"shadow_energy": np.nan if found is None else found})
            state = verlet_step(state, TIMESTEP_FS, molecule.compute)


def bonds(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (T,) in fs and lengths (T, 2) in Å of the bonds to the first and the second hydrogen."""
    with Trajectory(path) as t:
        x = t.positions()
        return t.times_fs, np.linalg.norm(x[:, 1:] - x[:, :1], axis=2)


def spectrum(times_fs: np.ndarray, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers in 1/cm and power of a series, with a Hann window."""
    n = len(series)
    power = np.abs(np.fft.rfft((series - series.mean()) * np.hanning(n), 4 * n)) ** 2
    return np.fft.rfftfreq(4 * n, times_fs[1] - times_fs[0]) / 2.99792458e-5, power / power.max()


# --- Figure -------------------------------------------------------------------------------------------------


def draw(molecules: dict[str, Molecule], folder: Path) -> Path:
    figure, panels = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    _draw_stretch(panels[0, 0], molecules)
    _draw_exchange(panels[0, 1], molecules)
    for kind, colour in COLOURS.items():
        found = analyze(read_series(folder / f"{kind}.h5"))
        time, energy = found.series.time_fs, found.series.values["total_energy"]
        end = time < 200
        label = f"{NAMES[kind]}: rms total {1e3 * found.drift.rms_eV_per_atom * 3:.2g} meV, "
        label += f"shadow {1e3 * found.shadow_drift.rms_eV_per_atom * 3:.1g} meV"
        panels[1, 0].plot(time[end], 1e3 * (energy[end] - energy.mean()), color=colour, lw=0.8, label=label)
        times, lengths = bonds(folder / f"{kind}.h5")
        for k, style in enumerate(("-", "--")):
            wavenumber, power = spectrum(times, lengths[:, k])
            label = f"{NAMES[kind]}, hydrogen {k + 1}: mean bond {lengths[:, k].mean():.4f} Å"
            panels[1, 1].plot(wavenumber, power + 1.2 * (kind == "listed"), style, color=colour, lw=1, label=label)
    panels[1, 0].set(xlabel="time / fs", ylabel="total energy − mean / meV", title="Both conserve their energy")
    panels[1, 1].set(
        xlabel="wavenumber / cm$^{-1}$", ylabel="power of the bond length\n(shifted up: as listed)", xlim=(500, 4600),
        title="Bonds of the two hydrogens",
    )  # fmt: skip
    for axes in panels.flat:
        axes.legend(fontsize=8)
    low, high = panels[1, 0].get_ylim()
    panels[1, 0].set_ylim(low, high + 0.35 * (high - low))
    panels[1, 1].set_ylim(-0.05, 3.4)
    path = folder / "permutation_symmetry.png"
    figure.savefig(path, dpi=160)
    return path


def _draw_stretch(axes, molecules) -> None:
    """Energy along one bond, the other at rest, for either hydrogen."""
    r = np.linspace(0.82, 1.16, 200)
    still = np.full_like(r, BOND_A)
    first, second = (np.stack([*pair, np.full_like(r, SPAN_A)], axis=1) for pair in ((r, still), (still, r)))
    axes.plot(r, model_energy(first), color="black", lw=3, alpha=0.3, label="model molecule, either hydrogen")
    for kind, molecule in molecules.items():
        for k, (distances, style) in enumerate(((first, "-"), (second, "--"))):
            label = f"{NAMES[kind]}, hydrogen {k + 1}"
            axes.plot(r, molecule.of_distances(distances)[0], style, color=COLOURS[kind], lw=1.2, label=label)
    axes.set(xlabel="length of the stretched bond / Å", ylabel="energy / eV", title="One bond stretched")


def _draw_exchange(axes, molecules) -> None:
    r = typical()
    for kind, molecule in molecules.items():
        change = 1e3 * (molecule.of_distances(r[:, [1, 0, 2]])[0] - molecule.of_distances(r)[0])
        axes.plot(r[:, 0] - r[:, 1], change, ".", ms=3, color=COLOURS[kind], label=NAMES[kind])
    axes.set(xlabel="r1 − r2 / Å", ylabel="change of energy / meV", title="Hydrogens exchanged")


def typical(n: int = 400) -> np.ndarray:
    """Distances of molecules as they vibrate, without preference for either hydrogen."""
    return np.random.default_rng(0).normal([BOND_A, BOND_A, SPAN_A], [0.05, 0.05, 0.08], (n, 3))


def main() -> None:
    plt.rcParams.update(STYLE)
    options = arguments()
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    molecules = {kind: Molecule(kind, fit(kind, options.training, options.seed)) for kind in NAMES}
    r = typical()
    print(f"{'descriptor':<12}{'rms error':>12}{'exchange':>12}{'net asymmetry of forces':>26}{'<r1> - <r2>':>14}")
    for kind, molecule in molecules.items():
        run(molecule, folder / f"{kind}.h5", options.seed)
        energy = molecule.of_distances(r)[0]
        error = 1e3 * np.std(energy - model_energy(r))
        exchange = 1e3 * np.sqrt(np.mean((molecule.of_distances(r[:, [1, 0, 2]])[0] - energy) ** 2))
        forces = molecule.compute(geometry()).forces
        uneven = abs(np.linalg.norm(forces[1]) - np.linalg.norm(forces[2]))
        lengths = bonds(folder / f"{kind}.h5")[1].mean(axis=0)
        print(
            f"{NAMES[kind]:<12}{error:>8.2f} meV{exchange:>8.2g} meV{1e3 * uneven:>20.2g} meV/Å"
            f"{1e3 * (lengths[0] - lengths[1]):>10.2f} mÅ"
        )
    print(f"Written: {draw(molecules, folder)}")


if __name__ == "__main__":
    main()
