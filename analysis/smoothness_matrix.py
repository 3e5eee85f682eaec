"""Which cutoff functions and activations are smooth enough: energy conservation of a neural network for each pair.

    python analysis/smoothness_matrix.py [--folder smoothness] [--output FIGURE] [--cutoffs 1 6 7] [--activations t r]

For every cutoff function (n2p2's types 0-8) and activation a network is fitted to the same liquid argon (Lennard-Jones,
with hot configurations so that the dynamics stays in range): symmetry functions and their scaling are made anew, the
hidden layer is random, with its turning points among the data, and the output layer is the least-squares solution for
energies and forces. Then it runs at constant energy with dt, dt/2, dt/4 and dt/8 over the same time. The cutoff is
short, so that many atoms cross it where they still matter. Writes the energies
of each run as FOLDER/CUTOFF-ACTIVATION-DTfs.h5 (H5MD), prints from these the order p of the energy error in dt and the
fluctuation of total and shadow energy at dt/8, and makes the figure and the numbers (JSON). About ten minutes.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.system import System, make_system, replicate
from mdnnp.base.compiled import jit
from mdnnp.base.errors import PhysicsError
from mdnnp.base.report.style import STYLE
from mdnnp.certify.order import Dynamics, Ladder, Rung, climb, equilibrated, fit_order
from mdnnp.dynamics.integrators import MDState, verlet_step
from mdnnp.potentials.hdnnp.functions.definitions import CUTOFF_NAMES, CUTOFF_SMOOTHNESS, SymmetryFunction
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel, scaling_coefficients
from mdnnp.potentials.hdnnp.networks import ACTIVATION_NAMES, Network
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.smoothness import order_name
from mdnnp.trajectory import Trajectory, TrajectoryWriter

EPSILON_EV, SIGMA_A, MASS_U = 0.0103408, 3.4, 39.948
CUTOFF_A = 6.0
N_HIDDEN = 32
TEMPERATURE_K, TRAINING_TEMPERATURE_K = 110.0, 300.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default="smoothness", help="for the trajectories")
    parser.add_argument("--output", default="smoothness_matrix.png", help="figure; the numbers go beside it, as .json")
    parser.add_argument("--cutoffs", type=int, nargs="+", default=list(range(9)), help="types 0-8")
    parser.add_argument("--activations", nargs="+", default=list("tspr"), help="letters as in input.nn")
    parser.add_argument("--timestep-fs", type=float, default=16.0, help="the longest")
    parser.add_argument("--steps", type=int, default=240, help="of that length")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


# --- Data ---------------------------------------------------------------------------------------------------


def liquid(seed: int) -> tuple[LennardJones, MDState, list[System]]:
    """The reference potential, a liquid of 108 atoms at the temperature of the runs, and hot training systems."""
    reference = LennardJones({"Ar": (EPSILON_EV, SIGMA_A)}, 8.5, "poly3", 7.0)
    cell = make_system(2.63 * np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]), [18] * 4, [5.6] * 3, True)
    dynamics = Dynamics(reference, replicate(cell, (3, 3, 3)))
    masses = np.full(108, MASS_U)
    state = equilibrated(dynamics.compute, replicate(cell, (3, 3, 3)), masses, 200.0, 5.0, 2000, seed=seed)
    cold = equilibrated(dynamics.compute, state.system, masses, TEMPERATURE_K, 5.0, 2000, seed=seed)
    hot, training = cold, []
    for temperature in np.linspace(TEMPERATURE_K, TRAINING_TEMPERATURE_K, 40):
        hot = equilibrated(dynamics.compute, hot.system, masses, temperature, 5.0, 50, seed=seed + len(training))
        training.append(hot.system)
    return reference, cold, training


# --- Fit ----------------------------------------------------------------------------------------------------


def symmetry_functions() -> list[SymmetryFunction]:
    """Radial functions that reach the cutoff, some about the shells, and a few angular ones."""
    radial = [(0.0, 0.0), (0.02, 0.0), (0.06, 0.0), (0.15, 0.0), (0.8, 3.4), (0.8, 4.2), (0.8, 5.0), (0.8, 5.8)]
    functions = [SymmetryFunction("Ar", 2, ("Ar",), CUTOFF_A, eta=eta, rs=rs) for eta, rs in radial]
    for zeta, lam in ((1.0, 1.0), (1.0, -1.0), (4.0, 1.0), (4.0, -1.0)):
        functions.append(SymmetryFunction("Ar", 3, ("Ar", "Ar"), CUTOFF_A, eta=0.01, zeta=zeta, lam=lam))
    return sorted(functions, key=SymmetryFunction.sort_key)


def model_of(cutoff_type: int, scaling: np.ndarray, network: Network) -> HDNNPModel:
    element = ElementModel(tuple(symmetry_functions()), scaling, network)
    return HDNNPModel({"Ar": element}, cutoff_type, 0.0, "scale", "Angstrom", "eV")


def fit(cutoff_type: int, activation: str, reference: LennardJones, training: list[System], seed: int):
    """A potential with this cutoff function and activation, and its rms errors: meV/atom, meV/Å."""
    rng = np.random.default_rng(seed)
    n = len(symmetry_functions())
    unscaled = np.tile([0.0, 1.0, 0.5, 0.0], (n, 1))
    blank = Network((np.zeros((n, 1)),), (np.zeros(1),), "l")
    descriptors = HDNNP(model_of(cutoff_type, unscaled, blank))
    raw = [descriptors.descriptors(system) for system in training]
    stacked = np.concatenate(raw)
    margin = 0.25 * np.ptp(stacked, axis=0)
    low, high = stacked.min(axis=0) - margin, stacked.max(axis=0) + margin
    scaling = np.stack([low, high, stacked.mean(axis=0), stacked.std(axis=0)], axis=1)
    model = model_of(cutoff_type, scaling, blank)
    factor, shift = scaling_coefficients(model.elements["Ar"], model)
    scaled = stacked * factor + shift
    weights = rng.normal(0, 1.0, (n, N_HIDDEN)) / np.std(scaled, axis=0)[:, None] / math.sqrt(n)
    biases = -np.sum(scaled[rng.integers(len(scaled), size=N_HIDDEN)] * weights.T, axis=1)
    hidden = Network((weights, np.ones((N_HIDDEN, 1))), (biases, np.zeros(1)), f"{activation}l")
    solution, errors = _least_squares(descriptors, training, raw, factor, shift, hidden, reference)
    network = Network((weights, solution[:-1, None]), (biases, solution[-1:]), f"{activation}l")
    return HDNNP(model_of(cutoff_type, scaling, network)), errors


def _least_squares(descriptors, training, raw, factor, shift, hidden, reference):
    """Output weights and bias that fit atomic energies and forces best, with a little regularisation."""
    rows, targets, energies = [], [], 0
    neighbors = VerletList(descriptors.cutoff, 0.0)
    for system, values in zip(training, raw, strict=True):
        wanted = reference.compute(system)
        listed, x = neighbors.update(system), values * factor + shift
        each = [Network((hidden.weights[0][:, k : k + 1],), (hidden.biases[0][k : k + 1],), hidden.activations[0])
                for k in range(N_HIDDEN)]  # fmt: skip
        found = [node.gradient(x) for node in each]
        forces = [descriptors.pull_back(system, listed, g * factor, y).forces.ravel() for y, g in found]
        rows += [
            np.stack([*(y for y, _ in found), np.ones(len(system))], axis=1),
            np.stack([*forces, 0 * forces[0]], 1),
        ]
        targets += [wanted.atomic_energies, wanted.forces.ravel()]
        energies += len(system)
    a, b = np.concatenate(rows), np.concatenate(targets)
    size = np.sqrt(np.mean(a**2, axis=0))
    ridge = 1e-4 * np.sqrt(len(b)) * np.eye(a.shape[1])
    solution = np.linalg.lstsq(np.vstack([a / size, ridge]), np.concatenate([b, np.zeros(len(size))]), rcond=None)[0]
    solution /= size
    parts = [
        np.concatenate([(r @ solution - t) for r, t in zip(rows[k::2], targets[k::2], strict=True)]) for k in (0, 1)
    ]
    return solution, [1e3 * float(np.sqrt(np.mean(part**2))) for part in parts]


# --- Runs ---------------------------------------------------------------------------------------------------


def measure(cutoff_type: int, activation: str, reference, start: MDState, training, options) -> dict:
    potential, errors = fit(cutoff_type, activation, reference, training, options.seed)
    dynamics = Dynamics(potential, start.system)
    found = {
        "cutoff_type": cutoff_type,
        "activation": activation,
        "class": order_name(potential.ingredients()[0].order),
        "fit_meV_per_atom": errors[0],
        "fit_meV_per_A": errors[1],
    }
    try:
        state = equilibrated(
            dynamics.compute, start.system, start.masses, TEMPERATURE_K, options.timestep_fs / 4, 800, seed=options.seed
        )
        for _ in range(200):
            state = verlet_step(state, options.timestep_fs / 4, dynamics.compute)
        ladder = climb(dynamics, state, options.timestep_fs, options.steps)
    except PhysicsError as error:
        return found | {"note": str(error)}
    name = f"{CUTOFF_NAMES[cutoff_type]}-{ACTIVATION_NAMES[activation]}"
    paths = [write_rung(Path(options.folder) / f"{name}-{rung.timestep_fs:g}fs.h5", state, rung, ladder)
             for rung in ladder.rungs]  # fmt: skip
    return found | read_ladder(paths)


def write_rung(path: Path, start: MDState, rung: Rung, ladder: Ladder) -> Path:
    """The energies of one time step, minus their mean in each segment, after the frame that the run started from."""
    system, unknown = start.system, dict.fromkeys(("kinetic_energy", "total_energy", "temperature"), np.nan)
    parameters = {"timestep_fs": rung.timestep_fs, "floor_eV": ladder.floor_eV, "extrapolations": ladder.extrapolations}
    with TrajectoryWriter.create(
        path, numbers=system.numbers, masses=start.masses, pbc=system.pbc, parameters=parameters, forces=False,
        thermo_units={"total_energy": "eV", "shadow_energy": "eV"}, overwrite=True,
    ) as writer:  # fmt: skip
        observables = {"potential_energy": start.results.energy, "stress": np.full((3, 3), np.nan)} | unknown
        writer.write_frame(0, 0.0, system.positions, system.cell, observables, velocities=start.velocities)
        for time_fs, total, shadow in zip(rung.time_fs, rung.energy_eV, rung.shadow_eV, strict=True):
            step = round(time_fs / rung.timestep_fs)
            writer.write_thermo(step, time_fs, {"total_energy": total, "shadow_energy": shadow})
    return path


def read_ladder(paths: Sequence[Path]) -> dict:
    """Orders and fluctuations from the runs with one potential, from the longest time step to the shortest."""
    timesteps, energies, shadows = [], [], []
    for path in paths:
        with Trajectory(path) as t:
            timesteps.append(float(t.parameters["timestep_fs"]))
            energies.append(t.thermo["total_energy"])
            shadows.append(t.thermo["shadow_energy"])
            floor, n, count = float(t.parameters["floor_eV"]), t.n_atoms, int(t.parameters["extrapolations"])
    rms, shadow_rms = (np.array([np.std(x) for x in column]) for column in (energies, shadows))
    order, shadow_order = (fit_order(np.array(timesteps), x, floor) for x in (rms, shadow_rms))
    return {
        "order": order.value,
        "order_error": order.error,
        "rms_meV_per_atom": (1e3 * rms / n).tolist(),
        "shadow_rms_meV_per_atom": (1e3 * shadow_rms / n).tolist(),
        "change_meV_per_atom": 1e3 * float(energies[-1][-1] - energies[-1][0]) / n,
        "shadow_order": shadow_order.value,
        "extrapolations": count,
    }


# --- Figure -------------------------------------------------------------------------------------------------


def class_label(cutoff_type: int) -> str:
    order = CUTOFF_SMOOTHNESS[cutoff_type]
    smooth = r"C$^\infty$" if order is None else "jumps" if order < 0 else f"C$^{order}$"
    return f"{CUTOFF_NAMES[cutoff_type]}\n{smooth}"


def draw(rows: list[dict], options, path: Path) -> None:
    """Left: fluctuation of the shadow energy at dt/8 for each cutoff function; right: the fitted order."""
    ranks = {c: (math.inf if CUTOFF_SMOOTHNESS[c] is None else CUTOFF_SMOOTHNESS[c], c) for c in options.cutoffs}
    places = {c: k for k, c in enumerate(sorted(options.cutoffs, key=ranks.get))}
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(options.activations)))
    for activation, colour in zip(options.activations, colours, strict=True):
        found = sorted(
            (r for r in rows if r["activation"] == activation and "order" in r), key=lambda r: places[r["cutoff_type"]]
        )
        if not found:
            continue
        style = {"color": "#c0392b", "marker": "s"} if activation == "r" else {"color": colour, "marker": "o"}
        x = np.array([places[r["cutoff_type"]] for r in found])
        name = ACTIVATION_NAMES[activation]
        left.semilogy(x, [r["shadow_rms_meV_per_atom"][-1] for r in found], lw=0.8, ms=5, label=name, **style)
        shift = 0.08 * (options.activations.index(activation) - 0.5 * len(options.activations))
        right.errorbar(
            x + shift,
            [r["order"] for r in found],
            [r["order_error"] for r in found],
            ls="",
            capsize=2,
            ms=4,
            label=name,
            **style,
        )
    for axes in (left, right):
        axes.set_xticks(list(places.values()), [class_label(c) for c in places])
        axes.set_xlabel("cutoff function")
    finest = options.timestep_fs / 8
    left.set_ylabel(f"rms of the shadow energy at {finest:g} fs\n/ (meV/atom)")
    right.axhspan(1.9, 2.1, color="#dddddd", zorder=0, label="2 ± 0.1")
    right.set_ylabel("order p of the energy error in dt")
    left.legend(fontsize=9, ncols=2, title="activation")
    figure.savefig(path, dpi=160)


def main() -> None:
    plt.rcParams.update(STYLE)
    options = arguments()
    jit.set_threads(options.threads)
    output = Path(options.output)
    Path(options.folder).mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    reference, start, training = liquid(options.seed)
    print(
        f"{'cutoff':<8}{'activation':<13}{'class':<15}{'fit':>18}{'order p':>15}{'E':>11}{'shadow':>11}  extrapolations"
    )
    rows = []
    for activation in options.activations:
        for cutoff_type in options.cutoffs:
            row = measure(cutoff_type, activation, reference, start, training, options)
            rows.append(row)
            head = f"{CUTOFF_NAMES[cutoff_type]:<8}{ACTIVATION_NAMES[activation]:<13}{row['class']:<15}"
            head += f"{row['fit_meV_per_atom']:>6.2f} meV {row['fit_meV_per_A']:>3.0f}/Å"
            if "note" in row:
                print(f"{head}  {row['note']}", flush=True)
                continue
            print(
                f"{head}{row['order']:>8.2f} ± {row['order_error']:.2f}{row['rms_meV_per_atom'][-1]:>12.2e}"
                f"{row['shadow_rms_meV_per_atom'][-1]:>11.2e}  {row['extrapolations']}",
                flush=True,
            )
    output.with_suffix(".json").write_text(json.dumps({"settings": vars(options), "rows": rows}, indent=1) + "\n")
    draw(rows, options, output)
    print(f"Written: {output}, {output.with_suffix('.json')} ({time.perf_counter() - begun:.0f} s)")


if __name__ == "__main__":
    main()
