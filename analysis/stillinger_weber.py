"""Silicon of Stillinger and Weber: a teacher whose labels have no noise, and the trajectories that studies learn from.

F. H. Stillinger, T. A. Weber, Phys. Rev. B 31, 5262 (1985), scaled to the cohesive energy of silicon. Energies and
forces are exact derivatives of each other and smooth at the cutoff, so that errors of a fit are those of the fit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.neighbors import NeighborList, neighbor_list
from mdnnp.atoms.system import System, make_system, replicate
from mdnnp.certify.order import equilibrated
from mdnnp.dynamics.integrators import verlet_step
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Potential, Results
from mdnnp.training.dataset import LabelledStructure
from mdnnp.trajectory import Trajectory, TrajectoryWriter

EPSILON_EV, SIGMA_A = 2.16826, 2.0951
A, B, RANGE, LAMBDA, GAMMA = 7.049556277, 0.6022245584, 1.80, 21.0, 1.20
LATTICE_A, MASS_U = 5.431, 28.0855
TIMESTEP_FS = 2.0
_SITES = 0.25 * np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]])


class StillingerWeber(Potential):
    """A potential as the engine has them."""

    cutoff, numbers = RANGE * SIGMA_A, (14,)

    def compute(
        self, system: System, neighbors: NeighborList | None = None, *, atomic_virials: bool = False
    ) -> Results:
        """Energy, forces and virial; finds its neighbours itself, and knows no per-atom virials."""
        i, j, _, r = neighbor_list(system, self.cutoff)
        energies, slopes = _edges(i, r, len(system))
        forces = np.zeros((len(system), 3))
        np.add.at(forces, i, slopes)
        np.subtract.at(forces, j, slopes)
        virial = -r.T @ slopes
        return Results(
            float(energies.sum()), energies, forces, 0.5 * (virial + virial.T), np.empty((0, 3, 3)), NO_EXTRAPOLATION
        )


def _edges(i: np.ndarray, r: np.ndarray, n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Energies (N,) of the atoms and their derivatives (E, 3) by the edges r_ij: eqs. 2.3 to 2.5."""
    count = np.bincount(i, minlength=n_atoms)
    slot = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    distance = np.linalg.norm(r, axis=1)
    width = int(count.max(initial=0))
    u, g, inverse = np.zeros((n_atoms, width, 3)), np.zeros((n_atoms, width)), np.zeros((n_atoms, width))
    u[i, slot], inverse[i, slot] = r / distance[:, None], 1.0 / distance
    room = SIGMA_A / (distance - RANGE * SIGMA_A)
    tail = np.exp(GAMMA * room)
    g[i, slot] = tail

    ratio = (SIGMA_A / distance) ** 4
    pair = 0.5 * A * EPSILON_EV * (B * ratio - 1.0) * np.exp(room)
    slope = 0.5 * A * EPSILON_EV * np.exp(room) * (-4.0 * B * ratio / distance - (B * ratio - 1.0) * room**2 / SIGMA_A)

    cosine = u @ u.transpose(0, 2, 1)
    bent = cosine + 1.0 / 3.0
    bent[:, np.arange(width), np.arange(width)] = 0.0  # no angle with itself
    weighted = LAMBDA * EPSILON_EV * g[:, :, None] * g[:, None, :] * bent
    triples = 0.5 * np.einsum("nab,nab->n", weighted, bent)
    along = -GAMMA / SIGMA_A * np.einsum("nab,nab->na", weighted, bent)[i, slot] * room**2
    turn = 2.0 * inverse[:, :, None] * (weighted @ u - np.einsum("nab,nab->na", weighted, cosine)[:, :, None] * u)
    slopes = (slope + along)[:, None] * u[i, slot] + turn[i, slot]
    return np.bincount(i, pair, n_atoms) + triples, slopes


# --- Trajectories -------------------------------------------------------------------------------------------


def diamond(repeats: int = 2, lattice_A: float = LATTICE_A) -> System:
    """The perfect crystal, 8 repeats^3 atoms."""
    cell = make_system(lattice_A * _SITES, [14] * 8, [lattice_A] * 3, True)
    return replicate(cell, (repeats, repeats, repeats))


class Stage(NamedTuple):
    """A stretch of a run: its temperature, steps to get there, frames to write, and steps from one to the next."""

    temperature_K: float
    settle: int
    frames: int
    every: int


def write_run(path: Path, start: System, stages: Sequence[Stage], seed: int) -> None:
    """A run through `stages`, at constant energy after each has settled; frames with energies and forces, as H5MD.

    Time counts the frames. A perfect crystal is the first frame.
    """
    potential, masses = StillingerWeber(), np.full(len(start), MASS_U)
    system, results = start, potential.compute(start)
    with frame_writer(path, start) as write:
        write(start, results.energy, results.forces)
        for k, stage in enumerate(stages):
            state = equilibrated(
                potential.compute, system, masses, stage.temperature_K, TIMESTEP_FS, stage.settle, seed=seed + k
            )
            for _ in range(stage.frames):
                for _ in range(stage.every):
                    state = verlet_step(state, TIMESTEP_FS, potential.compute)
                write(state.system, state.results.energy, state.results.forces)
            system = state.system


@contextmanager
def frame_writer(path: Path, first: System, forces: bool = True) -> Iterator[Callable[..., None]]:
    """Gives write(system, energy_eV, forces=None), which adds a frame to a new H5MD file, with or without forces."""
    path.unlink(missing_ok=True)
    count = 0
    with TrajectoryWriter.create(
        path, numbers=first.numbers, masses=np.ones(len(first)), pbc=first.pbc, thermo_units={}, parameters={},
        velocities=False, forces=forces,
    ) as writer:  # fmt: skip

        def write(system: System, energy_eV: float, forces: np.ndarray | None = None) -> None:
            nonlocal count
            cell = system.cell if system.pbc.all() else 2000.0 * np.eye(3)
            unknown = dict.fromkeys(("kinetic_energy", "total_energy", "temperature"), np.nan)
            observables = {"potential_energy": energy_eV, "stress": np.full((3, 3), np.nan), **unknown}
            writer.write_frame(count, float(count), system.positions, cell, observables, forces=forces)
            count += 1

        yield write


def read_frames(path: Path) -> list[LabelledStructure]:
    """The frames of an H5MD file with their energies and forces."""
    with Trajectory(path) as t:
        x, forces, cells, energies = t.positions(), t.forces(), t.cells(), t.observables["potential_energy"]
        return [
            LabelledStructure(System(x[k], t.numbers, cells[k], t.pbc), float(energies[k]),
                              None if forces is None else forces[k],
                              name=f"{Path(path).name}:{k}")
            for k in range(len(x))
        ]  # fmt: skip
