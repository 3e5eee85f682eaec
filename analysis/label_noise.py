"""How much of the noise in their labels networks keep, in energies and in forces, against what theory predicts.

    python analysis/label_noise.py [--folder noise] [-o FIGURE] [--sizes 75 150 300 600] [--seeds 4] [--quick]

The teacher is a network fitted to Stillinger-Weber silicon (cells of 8 atoms, a trajectory in FOLDER). Its energies and
forces, with known Gaussian noise added, are the labels of students of the same form, so that nothing but the noise
keeps these from the truth; their errors are measured against the teacher's own energies and forces of other structures.
Students start at the teacher: what counts is where the best fit to noisy labels lies, not how it is found
(--start random shows what that adds). The loss is that of `mdnnp train`, with the optimiser's own exact Jacobians.

Theory: near its minimum the loss sum_k (r_k / t_k)^2 + p |w|^2 is quadratic. With the Jacobian A of the residuals r_k /
t_k by the weights, H = A^T A + p, and S the diagonal matrix of the labels' (sigma_k / t_k)^2, the weights have

    covariance H^-1 A^T S A H^-1,    bias -p H^-1 w

so a prediction with derivative b by the weights has the squared error b.covariance.b + (b.bias)^2. For energies fitted
to n energies this comes near sigma^2 p_eff / n, p_eff = tr A H^-1 A^T: noise is averaged out. Forces are derivatives:
where energies alone are fitted, b is large in directions that energies hardly fix, and noise is amplified.

Prints a table (also FOLDER/label_noise.json). About two minutes on one core, half a minute with --quick.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from stillinger_weber import Stage, diamond, read_frames, write_run

from mdnnp.base.compiled import jit
from mdnnp.base.report.style import ACCENT, DATA, MAIN, STYLE
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import default_functions
from mdnnp.training.dataset import fit_offsets, resolve_weights
from mdnnp.training.derivatives import Layout, jacobian
from mdnnp.training.descriptor_store import StoredDescriptors, store_descriptors
from mdnnp.training.first_weights import initial_weights, linear_coefficients
from mdnnp.training.fit import FitSettings, Member, fit
from mdnnp.training.loss import Labels, Loss, Tolerances, make_labels
from mdnnp.training.network_inputs import half_whitened

CUTOFF_A, RADIAL, ANGULAR, MAX_ZETA, HIDDEN = 4.5, 5, 1, 3, 6
TOLERANCES = Tolerances(0.002, 0.1, 0.02)  # eV/atom, eV/Å; the noise of level 1
PRIOR = 0.01
N_TEST = 150
LABELS = {"energies": "energies alone", "forces": "energies and forces"}
COLOURS = {"energies": ACCENT, "forces": MAIN}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default="noise", help="for the trajectory and the numbers")
    parser.add_argument("-o", "--output", help="figure; FOLDER/label_noise.png if not given")
    parser.add_argument("--sizes", type=int, nargs="+", default=[75, 150, 300, 600], help="training structures")
    parser.add_argument("--size", type=int, default=300, help="of the training set for the other experiments")
    parser.add_argument("--levels", type=float, nargs="+", default=[0.1, 0.3, 1.0, 3.0, 10.0],
                        help="of noise, in units of 2 meV/atom and 100 meV/Å")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=4, help="draws of the noise")
    parser.add_argument("--epochs", type=int, default=40, help="at most, of a student")
    parser.add_argument("--start", choices=("teacher", "random"), default="teacher")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="two sizes, two levels, two seeds")
    options = parser.parse_args(given)
    if options.quick:
        options.sizes, options.size, options.levels, options.seeds = [75, 150], 150, [0.3, 1.0], 2
    return options


# --- Teacher ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class School:
    """Everything but the noise: the teacher's weights, and its labels of all structures (the last ones are for tests).

    energy_rows (S, P), force_rows (3 A, P) : derivatives of energies per atom and forces by the weights, at the teacher
    """

    stored: StoredDescriptors
    layout: Layout
    inputs: list
    labels: Labels
    teacher: np.ndarray
    energy_rows: np.ndarray
    force_rows: np.ndarray

    def loss(self, labels: Labels, n: int, prior: float = PRIOR) -> Loss:
        return Loss(self.stored, self.layout, self.inputs, labels, TOLERANCES, prior, 0, n)


def make_school(folder: Path, n_train: int, epochs: int) -> School:
    """Sample silicon, fit the teacher to it, and take its labels."""
    n = n_train + N_TEST
    path, quarter = folder / "silicon.h5", -(-n // 4)
    write_run(path, diamond(1), [Stage(t, 200, quarter, 8) for t in (300.0, 800.0, 1400.0, 2000.0)], seed=1)
    frames = read_frames(path)
    frames = [frames[k] for k in np.random.default_rng(0).permutation(len(frames))[:n]]
    functions = default_functions(["Si"], CUTOFF_A, radial=RADIAL, angular=ANGULAR, max_zeta=MAX_ZETA)
    stored = store_descriptors(folder / "functions", [f.system for f in frames], Descriptors(functions))
    values = stored.values("Si")
    inputs = [half_whitened(values, 1.0 / values.std(axis=0), -values.mean(axis=0) / values.std(axis=0))]
    layout = Layout([(len(functions["Si"]), HIDDEN, 1)], "tl")
    labels = make_labels(frames, fit_offsets(frames), resolve_weights(frames))
    blank = np.zeros((0, layout.n_parameters))
    school = School(stored, layout, inputs, labels, np.zeros(layout.n_parameters), blank, blank)
    teacher = _fitted(school.loss(labels, n), _start(school, labels, n, 1), epochs)
    taught = school.loss(labels, n).predictions(teacher, 0, n)
    labels = labels._replace(energies=taught.energies, forces=taught.forces)
    loss = school.loss(labels, n)
    rows = jacobian(loss.parts(0, n), layout, teacher, True, False)[1].astype(np.float64)
    return replace(school, labels=labels, teacher=teacher, energy_rows=rows[:n] / labels.n_atoms[:, None],
                   force_rows=rows[n:])  # fmt: skip


def _start(school: School, labels: Labels, n: int, seed: int) -> np.ndarray:
    """Weights as `mdnnp train` starts."""
    linear = linear_coefficients(school.stored, school.inputs, labels, TOLERANCES, n)
    return initial_weights(school.layout, linear, school.stored, school.inputs, np.random.default_rng(seed))


def _fitted(loss: Loss, start: np.ndarray, epochs: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as scratch:
        settings = FitSettings("levenberg-marquardt", epochs, epochs)
        return fit([Member(loss, None, start[None])], settings, Path(scratch) / "checkpoint", "").members[0].best[0]


# --- Students -----------------------------------------------------------------------------------------------


class Noise(NamedTuple):
    """What a student learns from: "energies" or "forces" (and energies); sigma of the noise, eV/atom and eV/Å."""

    kind: str
    size: int
    sigma_energy: float
    sigma_force: float


class Error(NamedTuple):
    """Root mean square errors against the noise-free labels of the test structures: eV/atom, eV/Å."""

    energy: float
    force: float


def student_error(school: School, noise: Noise, options, seed: int) -> Error:
    """Fit a student to noisy labels and measure it."""
    rng = np.random.default_rng([seed, noise.size])
    clean, n = school.labels, len(school.labels.n_atoms)
    labels = clean._replace(
        energies=clean.energies + noise.sigma_energy * clean.n_atoms * rng.standard_normal(n),
        forces=clean.forces + noise.sigma_force * rng.standard_normal(clean.forces.shape),
    )
    if noise.kind == "energies":
        labels = labels._replace(weights=labels.weights._replace(force=np.zeros(n)))
    start = school.teacher if options.start == "teacher" else _start(school, labels, noise.size, 100 + seed)
    weights = _fitted(school.loss(labels, noise.size), start, options.epochs)
    found = school.loss(clean, n).predictions(weights, n - N_TEST, n)
    atoms = school.stored.atom_first[n - N_TEST]
    energy = (found.energies - clean.energies[n - N_TEST :]) / clean.n_atoms[n - N_TEST :]
    return Error(*(float(np.sqrt(np.mean(np.square(d)))) for d in (energy, found.forces - clean.forces[atoms:])))


class Theory(NamedTuple):
    """Expected errors, noise and bias together; those of noise alone; effective number of parameters."""

    error: Error
    of_noise: Error
    p_eff: float


def predicted(school: School, noise: Noise, prior: float = PRIOR) -> Theory:
    """The linearised least-squares fit: see the head of this file."""
    atoms = school.stored.atom_first
    parts = [(school.energy_rows[: noise.size], TOLERANCES.energy, noise.sigma_energy)]
    if noise.kind == "forces":
        parts.append((school.force_rows[: 3 * atoms[noise.size]], TOLERANCES.force, noise.sigma_force))
    gram = sum(a.T @ a / t**2 for a, t, _ in parts)
    noisy = sum(a.T @ a * sigma**2 / t**4 for a, t, sigma in parts)
    inverse = np.linalg.inv(gram + prior * np.eye(len(gram)))
    covariance, bias = inverse @ noisy @ inverse, -prior * inverse @ school.teacher
    n = len(school.labels.n_atoms)
    tests = school.energy_rows[n - N_TEST :], school.force_rows[3 * atoms[n - N_TEST] :]
    variance = [float(np.mean(np.einsum("kp,pq,kq->k", b, covariance, b, optimize=True))) for b in tests]
    shift = [float(np.mean((b @ bias) ** 2)) for b in tests]
    total = Error(*(float(np.sqrt(v + s)) for v, s in zip(variance, shift, strict=True)))
    return Theory(total, Error(*map(float, np.sqrt(variance))), float(np.trace(inverse @ gram)))


def measure(school: School, noise: Noise, options) -> dict:
    """Errors over the seeds and the theory, meV/atom and meV/Å."""
    errors = 1e3 * np.array([student_error(school, noise, options, seed) for seed in range(1, options.seeds + 1)])
    theory = predicted(school, noise)
    root = np.sqrt(np.mean(errors**2, axis=0))
    spread = errors.std(axis=0, ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.zeros(2)
    row = noise._asdict() | {
        "energy": root[0], "energy_error": spread[0], "force": root[1], "force_error": spread[1],
        "energy_theory": 1e3 * theory.error.energy, "force_theory": 1e3 * theory.error.force,
        "energy_of_noise": 1e3 * theory.of_noise.energy, "force_of_noise": 1e3 * theory.of_noise.force,
        "p_eff": theory.p_eff,
    }  # fmt: skip
    energies = f"{root[0]:>10.3f} ± {spread[0]:.3f}{row['energy_theory']:>9.3f}{row['energy_of_noise']:>8.3f}"
    forces = f"{root[1]:>9.2f} ± {spread[1]:<5.2f}{row['force_theory']:>7.2f}{row['force_of_noise']:>8.2f}"
    labels = f"{LABELS[noise.kind]:<20}{noise.size:>6}{1e3 * noise.sigma_energy:>8.2f}{1e3 * noise.sigma_force:>8.1f}"
    print(f"{labels}{theory.p_eff:>8.1f}{energies}{forces}", flush=True)
    return {key: float(v) if isinstance(v, np.floating) else v for key, v in row.items()}


# --- Experiments, figure ------------------------------------------------------------------------------------


def experiments(school: School, options) -> dict[str, list[dict]]:
    """By size of the training set, by level of noise, and by where the noise is."""
    energy, force = TOLERANCES.energy, TOLERANCES.force
    print(f"{'':50}{'energy error / meV/atom':^33}{'force error / meV/Å':^32}")
    columns = f"{'found':>13}{'theory':>12}{'noise':>8}{'found':>13}{'theory':>11}{'noise':>8}"
    print(f"{'labels':<20}{'n':>6}{'sigma_E':>8}{'sigma_F':>8}{'p_eff':>8}{columns}")
    done: dict[Noise, dict] = {}

    def row(kind: str, size: int, sigma_energy: float, sigma_force: float) -> dict:
        noise = Noise(kind, size, sigma_energy, sigma_force if kind == "forces" else 0.0)
        if noise not in done:
            done[noise] = measure(school, noise, options)
        return done[noise]

    sources = [("energies", energy, 0.0), ("forces", energy, 0.0), ("forces", 0.0, force), ("forces", energy, force)]
    return {
        "size": [row(kind, n, energy, force) for kind in LABELS for n in options.sizes],
        "level": [row(kind, options.size, x * energy, x * force) for kind in LABELS for x in options.levels],
        "source": [row(kind, options.size, *sigmas) for kind, *sigmas in sources],
    }


def draw(found: dict[str, list[dict]], options, path: Path) -> None:
    plt.rcParams.update(STYLE)
    figure, panels = plt.subplots(2, 2, figsize=(11, 8.4), layout="constrained")
    size = found["size"]
    _draw_line(panels[0, 0], size, "size", "energy", [r["size"] for r in size])
    _draw_line(panels[0, 1], size, "size", "force", [r["size"] for r in size])
    own = [r for r in size if r["kind"] == "energies"]
    rule = [1e3 * r["sigma_energy"] * np.sqrt(r["p_eff"] / r["size"]) for r in own]
    panels[0, 0].plot([r["size"] for r in own], rule, ":", color="black", lw=1, label="σ √(p_eff / n)")
    for axes, quantity, unit in ((panels[0, 0], "energy", "meV/atom"), (panels[0, 1], "force", "meV/Å")):
        axes.axhline(1e3 * getattr(TOLERANCES, quantity), color=DATA, ls="--", lw=1, label="noise of the labels")
        numbers = sorted({r["size"] for r in size})
        axes.set_xticks(numbers, [str(n) for n in numbers])
        axes.minorticks_off()
        axes.set(xlabel="training structures of 8 atoms", ylabel=f"{quantity} error / ({unit})")
    _draw_line(panels[1, 0], found["level"], "level", "force", [r["sigma_energy"] / TOLERANCES.energy
                                                               for r in found["level"]])  # fmt: skip
    panels[1, 0].set(xlabel="noise / (2 meV/atom and 100 meV/Å)", ylabel="force error / (meV/Å)")
    _draw_sources(panels[1, 1], found["source"])
    n = options.size
    titles = ("Energies: noise is averaged out", "Forces: amplified by differentiation unless fitted",
              f"Against the noise, {n} structures", f"Where it comes from, {n} structures")  # fmt: skip
    for axes, letter, title in zip(panels.flat, "abcd", titles, strict=True):
        axes.set_title(f"({letter}) {title}", loc="left", fontsize=10)
        axes.legend(fontsize=8)
    figure.savefig(path)


def _draw_line(axes, rows: list[dict], by: str, quantity: str, x: list[float]) -> None:
    """Points with error bars, and the theory as lines, for both kinds of labels."""
    for kind, colour in COLOURS.items():
        own = [(x, r) for x, r in zip(x, rows, strict=True) if r["kind"] == kind]
        at = [x for x, _ in own]
        found, error = (np.array([r[key] for _, r in own]) for key in (quantity, f"{quantity}_error"))
        axes.errorbar(at, found, error, fmt="o", ms=4, capsize=2, color=colour, label=f"{LABELS[kind]} fitted")
        axes.plot(
            at, [r[f"{quantity}_theory"] for _, r in own], "-", lw=1, color=colour, label=f"theory, {LABELS[kind]}"
        )
    axes.set_xscale("log")
    axes.set_yscale("log")


def _draw_sources(axes, rows: list[dict]) -> None:
    """Errors of forces and energies by which labels are fitted and which are noisy."""
    names = []
    for k, r in enumerate(rows):
        where = [name for name in ("energy", "force") if r[f"sigma_{name}"] > 0]
        names.append(f"fitted: {LABELS[r['kind']]}\nnoise: {' and '.join(where)}".replace("energies and", "E and")
                     .replace("energies alone", "E").replace("forces", "F").replace("energy", "E")
                     .replace("force", "F"))  # fmt: skip
        for shift, key, factor, colour, marker in ((-0.1, "force", 1, MAIN, "s"), (0.1, "energy", 10, ACCENT, "o")):
            unit = "force error / (meV/Å)" if key == "force" else "energy error / (0.1 meV/atom)"
            axes.errorbar(k + shift, factor * r[key], factor * r[f"{key}_error"], fmt=marker, ms=5, capsize=2,
                          color=colour, label=unit if k == 0 else None)  # fmt: skip
            axes.plot(k + shift, factor * r[f"{key}_theory"], "k_", ms=14, mew=1.2,
                      label="theory" if k == 0 and key == "force" else None)  # fmt: skip
    axes.set_xticks(range(len(rows)), names, fontsize=8)
    axes.set_yscale("log")
    axes.set(ylabel="error", xlim=(-0.5, len(rows) - 0.5))


def main() -> None:
    options = arguments()
    jit.set_threads(options.threads)
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    school = make_school(folder, max(*options.sizes, options.size), 2 * options.epochs)
    print(f"{school.layout.n_parameters} weights; errors against the noise-free labels of {N_TEST} structures")
    found = experiments(school, options)
    output = Path(options.output or folder / "label_noise.png")
    draw(found, options, output)
    numbers = {"settings": vars(options), "parameters": school.layout.n_parameters} | found
    (folder / "label_noise.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    print(f"Written: {output}, {folder / 'label_noise.json'}; the structures are in {folder / 'silicon.h5'}")


if __name__ == "__main__":
    main()
