"""Size-extensivity and locality of a potential, and where a finite cutoff fails.

    python analysis/locality.py POTENTIAL STRUCTURE [--fragment 0 1 2] [--ions A.xyz B.xyz] [--folder locality]
        [--length-unit Bohr --energy-unit Hartree]

Four experiments, each written as a trajectory (H5MD) into FOLDER, from which the figure is made:

1. Two copies of a fragment of the structure (atoms --fragment) are pulled apart: their interaction ends at the cutoff,
   and two far fragments have exactly twice the energy of one.
2. The cell is replicated: energy per atom and forces do not change but for rounding.
3. One atom is displaced: forces change within twice the cutoff of it and nowhere else.
4. Two ions are pulled apart (by default H3O+ and OH- if the potential knows H and O): beyond the cutoff the network
   feels nothing, where the true energy still goes as -14.4 eV Å / r. No training mends that; it takes charges (a
   fourth-generation potential). Far from what a potential for neutral water was trained for the curve is no prediction
   near contact either: see the number of extrapolations.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from mdnnp.atoms.read import read_structures
from mdnnp.atoms.system import System, complete_cell, heights, make_system, replicate
from mdnnp.base.report.style import STYLE
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.load import load_potential
from mdnnp.trajectory import Trajectory, TrajectoryWriter

COULOMB_EV_A = 14.399645  # e^2 / (4 pi eps0)
HYDRONIUM = make_system([[0, 0, 0], [-0.94, 0, 0.28], [0.47, 0.81, 0.28], [0.47, -0.81, 0.28]], [8, 1, 1, 1])
HYDROXIDE = make_system([[0, 0, 0], [0, 0, -0.97]], [8, 1])
BLUE, RED, GREY = "#1f4e79", "#c0392b", "#9aa7b5"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential")
    parser.add_argument("structure")
    parser.add_argument("--length-unit")
    parser.add_argument("--energy-unit")
    parser.add_argument("--fragment", type=int, nargs="+", default=[0, 1, 2], help="atoms of the structure")
    parser.add_argument("--ions", nargs=2, metavar=("A.xyz", "B.xyz"), help="ions of charge +1 and -1")
    parser.add_argument("--folder", default="locality")
    return parser.parse_args()


# --- Experiments, as trajectories ---------------------------------------------------------------------------


def write(path: Path, potential: Potential, systems: list[System]) -> int:
    """Write one frame a system, with energy (less constants) and forces; returns the number of extrapolations."""
    path.unlink(missing_ok=True)
    first, count = systems[0], 0
    offset = potential.offset_energy(first.numbers)
    cell = first.cell if first.pbc.all() else 2000.0 * np.eye(3)
    with TrajectoryWriter.create(
        path, numbers=first.numbers, masses=np.ones(len(first)), pbc=first.pbc, thermo_units={}, parameters={},
        velocities=False,
    ) as writer:  # fmt: skip
        for k, system in enumerate(systems):
            results = potential.compute(system)
            count += results.extrapolation.count
            unknown = dict.fromkeys(("kinetic_energy", "total_energy", "temperature"), np.nan)
            observables = {"potential_energy": results.energy - offset, "stress": np.full((3, 3), np.nan), **unknown}
            writer.write_frame(k, float(k), system.positions, cell, observables, forces=results.forces)
    return count


def cut_out(system: System, atoms: list[int]) -> System:
    """Some atoms as an open cluster, each at its image nearest to the first."""
    vectors = system.positions[atoms] - system.positions[atoms[0]]
    fractional = vectors @ np.linalg.inv(complete_cell(system.cell, system.pbc))
    vectors = vectors - np.where(system.pbc, np.round(fractional), 0) @ system.cell
    return make_system(vectors, system.numbers[atoms])


def apart(a: System, b: System, cutoff: float) -> list[System]:
    """The two with growing distances along z between their nearest atoms; the last is 20 cutoffs away."""
    shift = a.positions[:, 2].max() - b.positions[:, 2].min()
    gaps = [*np.linspace(2.0, 1.3 * cutoff, 120), 20 * cutoff]
    numbers = np.concatenate([a.numbers, b.numbers])
    return [make_system(np.vstack([a.positions, b.positions + np.array([0, 0, shift + gap])]), numbers) for gap in gaps]


def displaced(system: System, cutoff: float, step_A: float = 0.05) -> list[System]:
    """A cell wide enough in one direction to hold twice the cutoff, and the same with its first atom moved."""
    copies = np.ceil((4.5 * cutoff) / heights(complete_cell(system.cell, system.pbc))).astype(int)
    along = int(np.argmin(np.where(system.pbc, copies, 10**6)))
    large = replicate(system, tuple(int(copies[k]) if k == along and system.pbc[k] else 1 for k in range(3)))
    moved = large.positions.copy()
    moved[0] += step_A * np.array([1, 1, 1]) / np.sqrt(3)
    return [large, large._replace(positions=moved)]


# --- Figure, from the trajectories --------------------------------------------------------------------------


def separations(path: Path, n_first: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances (T,) between the nearest atoms of two fragments, and interaction energies (T,) in eV."""
    with Trajectory(path) as t:
        x, energy = t.positions(), t.observables["potential_energy"]
    pairs = np.linalg.norm(x[:, :n_first, None] - x[:, None, n_first:], axis=-1)
    return pairs.min(axis=(1, 2))[:-1], (energy - energy[-1])[:-1]


def draw_fragments(axes, path: Path, n_first: int, cutoff: float) -> None:
    distance, energy = separations(path, n_first)
    floor = 1e-17
    axes.semilogy(distance, np.maximum(np.abs(energy), floor), ".-", ms=3, lw=0.8, color=BLUE)
    axes.axvline(cutoff, color=GREY, ls="--", label="cutoff")
    beyond = energy[distance > cutoff]
    worst = np.abs(beyond).max() if len(beyond) else np.nan
    axes.set(
        xlabel="distance of the nearest atoms / Å", ylabel="|E(AB) − E(A) − E(B)| / eV\n(0 is drawn at 1e-17)",
        title=f"Two equal fragments: {worst:.1g} eV beyond the cutoff",
    )  # fmt: skip
    axes.legend(fontsize=9)


def write_replicas(folder: Path, potential: Potential, system: System) -> list[tuple[int, int, int]]:
    """The cell and its copies in a file each, replica-NxNxN.h5; returns which."""
    cells = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 1), (2, 2, 2)]
    cells = [c for c in cells if all(r == 1 or p for r, p in zip(c, system.pbc, strict=True))]
    for cell in cells:
        write(replica_path(folder, cell), potential, [replicate(system, cell)])
    return cells


def replica_path(folder: Path, cell: tuple[int, int, int]) -> Path:
    return folder / f"replica-{'x'.join(map(str, cell))}.h5"


def replica_deviations(folder: Path, cells: list[tuple[int, int, int]]) -> dict[str, list[float]]:
    """Energies (eV/atom) and forces (eV/Å, the largest) of the replicas minus those of the first."""
    found: dict[str, list[float]] = {"energy": [], "forces": []}
    for cell in cells:
        with Trajectory(replica_path(folder, cell)) as t:
            energy, forces = float(t.observables["potential_energy"][0]), t.forces(0)
        if cell == cells[0]:
            one, reference = energy, forces
            continue
        copies = int(np.prod(cell))
        found["energy"].append(abs(energy / copies - one) / len(reference))
        found["forces"].append(float(np.abs(forces.reshape(copies, *reference.shape) - reference).max()))
    return found


def draw_replicas(axes, folder: Path, cells: list[tuple[int, int, int]]) -> None:
    found = replica_deviations(folder, cells)
    names = ["×".join(map(str, c)) for c in cells[1:]]
    for key, colour, unit in (("energy", BLUE, "eV/atom"), ("forces", RED, "eV/Å")):
        axes.semilogy(names, np.maximum(found[key], 1e-17), "o", color=colour, label=f"{key} / ({unit})")
    axes.set(
        xlabel="copies of the cell", ylabel="largest deviation\n(0 is drawn at 1e-17)", title="Replicated cells",
        ylim=(3e-18, 1e-10),
    )  # fmt: skip
    axes.legend(fontsize=9)


def draw_response(axes, path: Path, cutoff: float) -> None:
    with Trajectory(path) as t:
        x, forces, cell, pbc = t.positions(0), t.forces(), t.cells(0), t.pbc
    vectors = x - x[0]
    vectors -= np.where(pbc, np.round(vectors @ np.linalg.inv(cell)), 0) @ cell
    distance = np.linalg.norm(vectors, axis=1)
    change = np.linalg.norm(forces[1] - forces[0], axis=1)
    axes.semilogy(distance, np.maximum(change, 1e-18), ".", ms=3, color=BLUE)
    for k, style in ((1, "--"), (2, ":")):
        axes.axvline(k * cutoff, color=GREY, ls=style, label=("cutoff", "twice the cutoff")[k - 1])
    far = change[distance > 2 * cutoff + 0.1]
    text = f"{far.max():.1g} eV/Å beyond twice the cutoff" if len(far) else "no atom beyond"
    axes.set(
        xlabel="distance from the displaced atom / Å",
        ylabel="change of the force / (eV/Å)\n(0 is drawn at 1e-18)",
        title=f"Locality: {text}",
    )
    axes.legend(fontsize=9)


def draw_ions(axes, path: Path, n_first: int, cutoff: float, extrapolations: int) -> None:
    distance, energy = separations(path, n_first)
    axes.plot(distance, energy, color=BLUE, label=f"network ({extrapolations} extrapolations)")
    axes.plot(distance, -COULOMB_EV_A / distance, color=RED, label="two charges, −14.4 eV Å / r")
    axes.axvline(cutoff, color=GREY, ls="--", label="cutoff")
    missing = COULOMB_EV_A / cutoff
    axes.set(
        xlabel="distance of the nearest atoms / Å", ylabel="interaction energy / eV", ylim=(-8, 3),
        title=f"Two ions: {missing:.1f} eV are missing at the cutoff",
    )  # fmt: skip
    axes.legend(fontsize=9)


def main() -> None:
    plt.rcParams.update(STYLE)
    options = arguments()
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    units = (options.length_unit, options.energy_unit)
    potential = load_potential(options.potential, *units)
    (structure,) = read_structures(options.structure, -1, *units)
    system, cutoff = structure.system, potential.cutoff
    figure, panels = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")

    fragment = cut_out(system, options.fragment)
    write(folder / "fragments.h5", potential, apart(fragment, fragment, cutoff))
    draw_fragments(panels[0, 0], folder / "fragments.h5", len(fragment), cutoff)
    draw_replicas(panels[0, 1], folder, write_replicas(folder, potential, system))
    write(folder / "response.h5", potential, displaced(system, cutoff))
    draw_response(panels[1, 0], folder / "response.h5", cutoff)

    ions = None
    if options.ions:
        ions = [read_structures(path, -1, *units)[0].system._replace(pbc=np.zeros(3, bool)) for path in options.ions]
    elif isinstance(potential, HDNNP) and {1, 8} <= set(potential.numbers):
        ions = [HYDRONIUM, HYDROXIDE]
    if ions:
        count = write(folder / "ions.h5", potential, apart(*ions, cutoff))
        draw_ions(panels[1, 1], folder / "ions.h5", len(ions[0]), cutoff, count)
    else:
        panels[1, 1].set_axis_off()
    figure.savefig(folder / "locality.png", dpi=160)
    print(f"Written: {folder / 'locality.png'} and the trajectories it was made from")


if __name__ == "__main__":
    main()
