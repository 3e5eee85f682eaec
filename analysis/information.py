"""Information bottleneck: what symmetry functions do not resolve, and what that costs.

    python analysis/information.py [--folder information] [-o FIGURE] [--functions 1 2 4 8 16 32 64] [--quick]

Four experiments; those with structures write trajectories (H5MD) into FOLDER, from which the figure is made:

1. Degenerate pairs (S. N. Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020)). Carbon with hydrogens at r1 p,
   -r1 p, r2 q and r3 s. The lists of distances and of angles with their distances do not change when p.s changes its
   sign and q.s does not, since each angle with p has a partner with -p. So no radial or angular function of the carbon
   can distinguish the two, whatever its form; a four-body energy can. Along the path between them the radial functions
   see nothing at all. While the cutoff is shorter than the distances of the hydrogens, the energy of the whole molecule
   is the same in any such network; beyond, the hydrogens' own functions differ.
2. Singular values of dG/dr of the atoms of silicon (Stillinger-Weber): n functions see at most n of the 3 n_neighbours
   - 3 ways in which neighbours can move, and some only faintly.
3. A null direction: neighbours move along what is left over. G changes to second order only, the energy to first.
4. Networks trained with 1, 2, 4, ... functions selected by the labels (`mdnnp train`). The forces of any network lie in
   the space that dG/dr of all atoms spans: the part of the true force outside is a lower bound of the error.

Prints numbers (also FOLDER/information.json). About three minutes on one core, one with --quick.
"""

import argparse
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from degenerate_pairs import bond_order_energy, compare_pairs, four_body_energy, methane
from stillinger_weber import MASS_U, Stage, StillingerWeber, diamond, frame_writer, read_frames, write_run

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, make_system
from mdnnp.atoms.write import write_structures
from mdnnp.base.report.style import ACCENT, DATA, MAIN, STYLE
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import FunctionSets, default_functions
from mdnnp.potentials.hdnnp.model import ElementModel, HDNNPModel
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.training.dataset import LabelledStructure
from mdnnp.training.derivatives import Layout
from mdnnp.training.descriptor_store import structure_part
from mdnnp.training.input import parse_train_config
from mdnnp.training.train import train

PAIR_CUTOFF_A, CUTOFF_A = 4.0, 5.2
RADII_A = (1.09, 1.15, 1.03)  # of +-p, q, s: of no importance, so let them differ
COSINES = (0.35, 0.25, 0.20)  # p.q, p.s, q.s
GRIDS = {"8": (4, 2, 1), "24": (8, 4, 3), "66": (18, 8, 5), "174": (30, 16, 8)}  # radial, angular, max_zeta
RANK_TOLERANCE = 1e-9  # of the largest singular value
FAINT = 1e-3  # directions in which the functions change so much less than in the best one
TITLES = ("crystal at rest", "crystal, 300 K", "liquid, 3000 K")


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default="information", help="for trajectories, fits and numbers")
    parser.add_argument("-o", "--output", help="figure; FOLDER/information.png if not given")
    parser.add_argument("--functions", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="numbers to train")
    parser.add_argument("--structures", type=int, default=30, help="to train on, of 64 atoms; half as many to test")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter fits")
    options = parser.parse_args(given)
    if options.quick:
        options.functions, options.structures, options.epochs, options.seeds = [1, 4, 16], 12, 15, 1
    return options


# --- 1. Degenerate pairs ------------------------------------------------------------------------------------


def write_path(path: Path) -> None:
    """From one of a pair to the other: the angle between p and s changes, that between q and s does not."""
    pq, ps, qs = COSINES
    systems = [methane(RADII_A, pq, x, qs) for x in np.linspace(-2 * ps, 2 * ps, 81)]
    with frame_writer(path, systems[0], forces=False) as write:
        for system in systems:
            write(system, four_body_energy(system))


class Along(NamedTuple):
    """Along the path: cosine of p and s; differences of radial and angular functions (rms, in units of their standard
    deviation along the path, or of their size if they have none) and of energies (eV) from the reference pair member.
    """

    cosine: np.ndarray
    radial: np.ndarray
    angular: np.ndarray
    energy_eV: np.ndarray
    bond_order_eV: np.ndarray


def read_path(path: Path) -> Along:
    """The path as a trajectory has it."""
    frames = read_frames(path)
    descriptors = Descriptors(default_functions(["H", "C"], PAIR_CUTOFF_A))
    functions = descriptors.functions["C"]
    systems = [f.system._replace(pbc=np.zeros(3, bool)) for f in frames]
    values = np.array([descriptors.values(s)["C"][0] for s in systems])
    cosine = np.array([s.positions[4, 2] / np.linalg.norm(s.positions[4]) for s in systems])
    at = int(np.argmin(np.abs(cosine - COSINES[1])))
    angular = np.array([len(f.neighbors) == 2 for f in functions])
    seen = np.abs(values).max(axis=0) > 1e-12
    size = np.where(angular, values.std(axis=0), np.abs(values).max(axis=0))
    difference = (values - values[at]) / np.where(seen, size, 1.0)
    parts = [np.sqrt(np.mean(difference[:, seen & kind] ** 2, axis=1)) for kind in (~angular, angular)]
    bond = np.array([bond_order_energy(s) for s in systems])
    energy = np.array([f.energy_eV for f in frames])
    return Along(cosine, *parts, np.abs(energy - energy[at]), np.abs(bond - bond[at]))


def energies_against_cutoff(path: Path, cutoffs_A: np.ndarray, n_networks: int = 5) -> np.ndarray:
    """(cutoffs,) rms difference of the pair's total energies in random networks, over the spread along the path."""
    frames = [f.system._replace(pbc=np.zeros(3, bool)) for f in read_frames(path)]
    cosine = np.array([s.positions[4, 2] / np.linalg.norm(s.positions[4]) for s in frames])
    a, b = (int(np.argmin(np.abs(cosine - sign * COSINES[1]))) for sign in (1, -1))
    rng, found = np.random.default_rng(2), []
    for cutoff in cutoffs_A:
        ratios = []
        for _ in range(n_networks):
            potential = random_network(default_functions(["H", "C"], cutoff), frames, rng)
            energies = np.array([potential.compute(s).energy for s in frames])
            ratios.append((energies[a] - energies[b]) / max(np.std(energies), 1e-300))
        found.append(np.sqrt(np.mean(np.square(ratios))))
    return np.array(found)


def random_network(functions: FunctionSets, systems: Sequence[System], rng: np.random.Generator) -> HDNNP:
    """A potential with random weights; functions centred and scaled over `systems` where they vary."""
    descriptors, elements = Descriptors(functions), {}
    symbols = descriptors.elements
    networks = Layout([(len(functions[e]), 20, 1) for e in symbols], "tl")
    for symbol, network in zip(symbols, networks.networks(networks.initial(rng)), strict=True):
        g = np.concatenate([descriptors.values(s)[symbol] for s in systems])
        sigma = np.maximum(g.std(axis=0), 1e-6)
        scaling = np.stack([g.mean(axis=0) - 10 * sigma, g.mean(axis=0) + 10 * sigma, g.mean(axis=0), sigma], axis=1)
        elements[symbol] = ElementModel(functions[symbol], scaling, network)
    return HDNNP(HDNNPModel(elements, 6, 0.0, "scalesigma", "Angstrom", "eV"))


# --- 2. Singular values of dG/dr ----------------------------------------------------------------------------


def grid(name: str) -> FunctionSets:
    """Functions of silicon by their number."""
    radial, angular, max_zeta = GRIDS[name]
    return default_functions(["Si"], CUTOFF_A, radial=radial, angular=angular, max_zeta=max_zeta)


def spreads(systems: Sequence[System], descriptors: Descriptors) -> np.ndarray:
    """(f,) standard deviations of the functions over all atoms."""
    return np.concatenate([descriptors.values(s)["Si"] for s in systems]).std(axis=0)


def atom_singular_values(system: System, descriptors: Descriptors, spread: np.ndarray, atoms: Sequence[int]):
    """Singular values (atoms, f) of dG/dr by the neighbours, functions in their standard deviations; 3 n (atoms,)."""
    edges = descriptors.edges(system)
    jacobian = descriptors.jacobian(system, "Si", edges)
    values, freedom = [], []
    for atom in atoms:
        rows = (jacobian.gradients[edges.i[jacobian.edge] == atom] / spread).reshape(-1, len(spread))
        own = np.zeros(len(spread))
        s = np.linalg.svd(rows, compute_uv=False)
        own[: len(s)] = s
        values.append(own)
        freedom.append(len(rows))
    return np.array(values), np.array(freedom)


def structure_jacobian(system: System, descriptors: Descriptors) -> np.ndarray:
    """(3 N, N f) derivatives of all functions of all atoms by all coordinates."""
    part = structure_part(system, descriptors, "Si")
    n, f = len(system), part.values.shape[1]
    out = np.zeros((n, 3, n, f))
    for k in range(n):
        own = slice(part.pair_first[k], part.pair_first[k + 1])
        out[k][:, part.pair_center[own]] = part.pair_gradient[own].transpose(1, 0, 2)
    return out.reshape(3 * n, n * f)


def resolution(systems: Sequence[System], everything: Sequence[System], n_atoms: int = 4) -> list[dict]:
    """For each of `systems` and each grid: rank and spectrum of atoms, and rank of the whole structure."""
    rows = []
    for name in GRIDS:
        descriptors = Descriptors(grid(name))
        spread = spreads(everything, descriptors)
        for title, system in zip(TITLES, systems, strict=True):
            atoms = range(0, len(system), len(system) // n_atoms)
            s, freedom = atom_singular_values(system, descriptors, spread, atoms)
            of_all = structure_jacobian(system, descriptors) if len(spread) < 100 else None
            rows.append(
                {
                    "functions": len(spread),
                    "structure": title,
                    "freedom": float(freedom.mean()) - 3,
                    "rank": float(np.mean([rank(own) for own in s])),
                    "clear": float(np.mean([np.sum(own > FAINT * own[0]) for own in s])),
                    "spectrum": np.sort(s / s[:, :1], axis=1)[:, ::-1].mean(axis=0).tolist(),
                    "rank_of_all": None if of_all is None else rank(np.linalg.svd(of_all, compute_uv=False)),
                    "freedom_of_all": 3 * len(system) - 3,
                }
            )
    return rows


def rank(singular_values: np.ndarray) -> int:
    return int(np.sum(singular_values > RANK_TOLERANCE * singular_values[0]))


# --- 3. A null direction ------------------------------------------------------------------------------------


def write_null_direction(path: Path, system: System, functions: FunctionSets) -> None:
    """An atom with its neighbours as an open cluster; then these moved along a direction that the functions do not see.

    The direction is that part of the gradient of the atom's energy which lies outside the space of dG/dr, so it is no
    rotation. Frames in pairs: displaced by +h and -h, for falling h; Å, the length of the whole displacement.
    """
    descriptors = Descriptors(functions)
    edges = descriptors.edges(system)
    near = edges.r[edges.i == 0]
    cluster = make_system(np.vstack([np.zeros(3), near]), [14] * (len(near) + 1))
    own = descriptors.edges(cluster)
    jacobian = descriptors.jacobian(cluster, "Si", own)
    mine = own.i[jacobian.edge] == 0
    rows = np.zeros((3 * len(near), len(functions["Si"])))
    rows.reshape(len(near), 3, -1)[own.j[mine] - 1] = jacobian.gradients[mine]
    q, s, _ = np.linalg.svd(rows, full_matrices=False)
    q = q[:, s > 1e-12 * s[0]]
    slope = np.array([energy_slope(cluster, k) for k in range(3 * len(near))])
    direction = slope - q @ (q.T @ slope)
    direction /= np.linalg.norm(direction)
    with frame_writer(path, cluster, forces=False) as write:
        write(cluster, centre_energy(cluster))
        for h in 10.0 ** np.arange(-0.25, -3.1, -0.25):
            for sign in (1, -1):
                moved = cluster.positions.copy()
                moved[1:] += sign * h * direction.reshape(-1, 3)
                shifted = cluster._replace(positions=moved)
                write(shifted, centre_energy(shifted))


def centre_energy(cluster: System) -> float:
    """Stillinger-Weber energy of the first atom."""
    return float(StillingerWeber().compute(cluster).atomic_energies[0])


def energy_slope(cluster: System, k: int, h: float = 1e-5) -> float:
    """Derivative of `centre_energy` by coordinate k of the neighbours, eV/Å."""
    step = np.zeros(3 * len(cluster))
    step[3 + k] = h
    up, down = (cluster._replace(positions=cluster.positions + s * step.reshape(-1, 3)) for s in (1, -1))
    return (centre_energy(up) - centre_energy(down)) / (2 * h)


def read_null_direction(path: Path, functions: FunctionSets, spread: np.ndarray) -> dict:
    """Displacements h (Å), rms change of the functions (standard deviations) and change of the energy (eV) along it."""
    frames = read_frames(path)
    descriptors = Descriptors(functions)
    open_ = [f.system._replace(pbc=np.zeros(3, bool)) for f in frames]
    g = np.array([descriptors.values(s)["Si"][0] for s in open_]) / spread
    energy = np.array([f.energy_eV for f in frames])
    h = np.array([np.linalg.norm(s.positions - open_[0].positions) for s in open_[1::2]])
    change = np.sqrt(np.mean((g[1::2] - g[0]) ** 2, axis=1))
    moved = np.abs(energy[1::2] - energy[2::2]) / 2
    small = (h < 0.05) & (h > 2e-3)
    orders = [float(np.polyfit(np.log(h[small]), np.log(y[small]), 1)[0]) for y in (change, moved)]
    return {
        "h_A": h.tolist(), "functions": change.tolist(), "energy_eV": moved.tolist(),
        "order_functions": orders[0], "order_energy": orders[1],
    }  # fmt: skip


# --- 4. Error against the number of functions ---------------------------------------------------------------


def bound_eV_A(structures: Sequence[LabelledStructure], functions: FunctionSets) -> float:
    """Root mean square of the part of the forces outside the space of dG/dr: no network's error is less."""
    descriptors, squares = Descriptors(functions), []
    for s in structures:
        q, values, _ = np.linalg.svd(structure_jacobian(s.system, descriptors), full_matrices=False)
        q = q[:, values > 1e-12 * values[0]]
        force = np.ravel(s.forces)
        squares.append(np.mean((force - q @ (q.T @ force)) ** 2))
    return float(np.sqrt(np.mean(squares)))


def train_with(n: int, sets: dict[str, Path], folder: Path, options, seed: int) -> dict:
    """Errors on the test structures of a network with `n` functions."""
    name = f"fit-{n}-{seed}"
    text = f"""
[data]
train = ["{sets["train"].name}"]
test = ["{sets["test"].name}"]
[descriptors]
cutoff_A = {CUTOFF_A}
select = {n}
[network]
hidden = [15, 15]
[fit]
energy_tolerance_meV = 2.0
energy_loosening = 1.0
epochs = {options.epochs}
seed = {seed}
"""
    with open(folder / f"{name}.log", "w", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        trained = train(parse_train_config(text, folder / f"{name}.toml"), overwrite=True)
    energy, force = (trained.errors["test"].quantities[quantity].overall.rmse for quantity in ("energy", "force"))
    functions = {"Si": trained.potential.model.elements["Si"].functions}
    bound = 1e3 * bound_eV_A(read_frames(sets["test"].with_suffix(".h5")), functions) if n <= 4 else 0.0
    return {"functions": n, "seed": seed, "energy_meV": energy, "force_meV_A": force, "bound_meV_A": bound}


def write_sets(folder: Path, options) -> dict[str, Path]:
    """Trajectories of crystal and liquid, to train and to test on, and the same as extended XYZ for `mdnnp train`."""
    sets = {}
    for seed, (name, n) in enumerate((("train", options.structures), ("test", options.structures // 2))):
        third = max(1, n // 3)
        stages = [Stage(300.0, 300, third, 15), Stage(1200.0, 300, third, 15), Stage(3500.0, 1000, 0, 0)]
        write_run(folder / f"{name}.h5", diamond(), [*stages, Stage(3000.0, 300, n - 2 * third - 1, 15)], 10 * seed + 1)
        frames = read_frames(folder / f"{name}.h5")
        labelled = [Structure(f.system, np.full(len(f.system), MASS_U), energy=f.energy_eV, forces=f.forces)
                    for f in frames]  # fmt: skip
        sets[name] = folder / f"{name}.xyz"
        write_structures(sets[name], labelled, overwrite=True)
    return sets


# --- Figure, numbers ----------------------------------------------------------------------------------------


def draw(found: dict, path: Path) -> None:
    plt.rcParams.update(STYLE)
    figure, panels = plt.subplots(2, 3, figsize=(15, 8.4), layout="constrained")
    _draw_path(panels[0, 0], found["path"])
    _draw_cutoffs(panels[0, 1], found)
    _draw_spectra(panels[0, 2], found["resolution"])
    _draw_null(panels[1, 0], found["null_direction"])
    _draw_fits(panels[1, 1], found["fits"], "force_meV_A", "force error / (meV/Å)", found["spread"]["force_meV_A"])
    _draw_fits(panels[1, 2], found["fits"], "energy_meV", "energy error / (meV/atom)", found["spread"]["energy_meV"])
    for axes, letter in zip(panels.flat, "abcdef", strict=True):
        axes.set_title(f"({letter}) {axes.get_title()}", loc="left", fontsize=10)
        axes.set_title("")
    figure.savefig(path)


def _draw_path(axes, along: Along) -> None:
    floor = 1e-17
    for y, colour, label in (
        (along.radial, DATA, "radial functions (rms, relative)"),
        (along.angular, MAIN, "angular functions (rms, standard deviations)"),
        (along.energy_eV, ACCENT, "four-body energy / eV"),
        (along.bond_order_eV, "#b8860b", "bond-order energy / eV"),
    ):
        axes.semilogy(along.cosine, np.maximum(y, floor), ".-", ms=3, lw=0.8, color=colour, label=label)
    for sign, text in ((1, "A"), (-1, "B")):
        axes.axvline(sign * COSINES[1], color="#bbbbbb", lw=0.8, zorder=0)
        axes.text(sign * COSINES[1], 30, text, ha="center")
    axes.set(xlabel="p·s", ylabel="difference from A (0 is drawn at 1e-17)", ylim=(3e-18, 1e9),
             title="A and B have the same radial and angular functions")  # fmt: skip
    axes.legend(fontsize=8, loc="upper center")


def _draw_cutoffs(axes, found: dict) -> None:
    axes.semilogy(found["cutoffs_A"], np.maximum(found["cutoff_energies"], 1e-17), ".-", color=MAIN)
    axes.axvline(found["nearest_hydrogens_A"], color=DATA, ls="--", label="shortest distance of two hydrogens")
    axes.set(xlabel="cutoff / Å", ylabel="|E(A) − E(B)| of random networks\n/ spread along the path",
             title="The whole molecule")  # fmt: skip
    axes.legend(fontsize=8, loc="lower right")


def _draw_spectra(axes, rows: list[dict]) -> None:
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(GRIDS)))
    for title, style in ((TITLES[0], ":"), (TITLES[2], "-")):
        for row, colour in zip([r for r in rows if r["structure"] == title], colours, strict=True):
            s = np.maximum(row["spectrum"], 1e-17)
            axes.semilogy(np.arange(1, len(s) + 1), s, style, color=colour, label=f"{row['functions']}, {title}")
            freedom = row["freedom"]
        axes.axvline(freedom, color="black", ls=style, lw=0.8)
    axes.set(xlabel="number", ylabel="singular value of dG/dr of an atom / largest", ylim=(1e-14, 2), xlim=(0, 160),
             title="What n functions see (lines: 3 neighbours − 3)")  # fmt: skip
    axes.legend(fontsize=7, loc="upper right")


def _draw_null(axes, row: dict) -> None:
    for key, colour, label in (
        ("functions", MAIN, f"functions (rms, standard deviations): order {row['order_functions']:.2f}"),
        ("energy_eV", ACCENT, f"energy of the atom / eV: order {row['order_energy']:.2f}"),
    ):
        axes.loglog(row["h_A"], row[key], "o-", ms=3, lw=0.8, color=colour, label=label)
    axes.set(xlabel="displacement / Å", ylabel="change", title=f"Null direction of {row['n_functions']} functions")
    axes.legend(fontsize=8)


def _draw_fits(axes, rows: list[dict], key: str, label: str, spread: float) -> None:
    numbers = sorted({r["functions"] for r in rows})
    each = [np.array([r[key] for r in rows if r["functions"] == n]) for n in numbers]
    mean, error = np.array([e.mean() for e in each]), np.array([e.std(ddof=1) if len(e) > 1 else 0.0 for e in each])
    axes.errorbar(numbers, mean, error, fmt="o-", ms=4, lw=1, capsize=2, color=MAIN, label="networks (test set)")
    if key == "force_meV_A":
        bounds = {r["functions"]: r["bound_meV_A"] for r in rows if r["bound_meV_A"] > 1e-6}
        axes.plot(bounds.keys(), bounds.values(), "_", ms=14, mew=2, color=ACCENT, label="lower bound from dG/dr")
    axes.axhline(spread, color=DATA, ls="--", lw=1, label="spread of the labels")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.set(xlabel="number of functions", ylabel=label, title="Trained networks")
    axes.legend(fontsize=8)


def report(found: dict) -> None:
    pairs = found["pairs"]
    print(f"{pairs['pairs']} degenerate pairs: largest relative difference of the carbon's functions, by type (number)")
    for kind, number in pairs["functions"].items():
        other = pairs["of_unlike_environments"][kind]
        print(f"  {kind:>3} ({number:>3}): {pairs['largest_relative_difference'][kind]:.1e}   other pairs: {other:.2f}")
    for name, (least, median) in pairs["energy_difference_eV"].items():
        print(f"  {name} energy: at least {least:.1e} eV, median {median:.2g} eV")
    print("Energy of the molecule in random networks, difference of A and B over the spread, by cutoff:")
    print("  " + "  ".join(f"{c:.2f} Å {e:.0e}" for c, e in zip(found["cutoffs_A"], found["cutoff_energies"],
                                                                strict=True)))  # fmt: skip
    print(f"\n{'functions':>9}  {'structure':<17}{'3n-3':>6}{'rank':>7}{'> 1e-3':>8}  whole structure")
    for r in found["resolution"]:
        whole = "" if r["rank_of_all"] is None else f"{r['rank_of_all']} of {r['freedom_of_all']}"
        of_atom = f"{r['freedom']:>6.0f}{r['rank']:>7.1f}{r['clear']:>8.1f}"
        print(f"{r['functions']:>9}  {r['structure']:<17}{of_atom}{whole:>15}")
    row = found["null_direction"]
    print(f"\nNull direction: functions change with order {row['order_functions']:.3f}, "
          f"the energy with {row['order_energy']:.3f}")  # fmt: skip
    print(f"\n{'functions':>9}{'energy / meV/atom':>20}{'force / meV/Å':>16}{'bound':>9}   seed")
    for r in found["fits"]:
        bound = f"{r['bound_meV_A']:9.1f}" if r["bound_meV_A"] > 1e-6 else 9 * " "
        print(f"{r['functions']:>9}{r['energy_meV']:>20.2f}{r['force_meV_A']:>16.1f}{bound}   {r['seed']}")


def main() -> None:
    options = arguments()
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    sets = write_sets(folder, options)
    frames = read_frames(folder / "test.h5")
    systems = [frames[0].system, frames[1].system, frames[-1].system]
    write_path(folder / "pair.h5")
    functions = grid("24")
    spread = spreads([f.system for f in frames], Descriptors(functions))
    write_null_direction(folder / "null.h5", systems[2], functions)
    cutoffs = np.array([1.2, 1.25, 1.3, 1.35, 1.4, 1.45, 1.5, 1.6, 1.8, 2.0, 2.5, 3.0])
    ends = [methane(RADII_A, COSINES[0], sign * COSINES[1], COSINES[2]).positions[1:] for sign in (1, -1)]
    nearest = min(np.linalg.norm(x[a] - x[b]) for x in ends for a in range(4) for b in range(a))
    null = read_null_direction(folder / "null.h5", functions, spread)
    found = {
        "pairs": compare_pairs(),
        "path": read_path(folder / "pair.h5"),
        "cutoffs_A": cutoffs.tolist(),
        "cutoff_energies": energies_against_cutoff(folder / "pair.h5", cutoffs).tolist(),
        "nearest_hydrogens_A": float(nearest),
        "resolution": resolution(systems, [f.system for f in frames]),
        "null_direction": null | {"n_functions": len(functions["Si"])},
        "spread": {
            "energy_meV": 1e3 * float(np.std([f.energy_eV / len(f.system) for f in frames])),
            "force_meV_A": 1e3 * float(np.sqrt(np.mean([f.forces**2 for f in frames]))),
        },
        "fits": [
            train_with(n, sets, folder, options, seed)
            for n in options.functions
            for seed in range(1, options.seeds + 1)
        ],
    }
    report(found)
    output = Path(options.output or folder / "information.png")
    draw(found, output)
    numbers = found | {"path": {k: v.tolist() for k, v in found["path"]._asdict().items()}}
    (folder / "information.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    print(f"Written: {output}, {folder / 'information.json'} and the trajectories they were made from")


if __name__ == "__main__":
    main()
