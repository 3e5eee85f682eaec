"""From the input of a run to the state it starts from: all is read and checked, nothing is written."""

import hashlib
import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers

from mdnnp.collect import check_committee
from mdnnp.config import RunConfig
from mdnnp.errors import InputError, MdnnpWarning
from mdnnp.integrators import (
    CellRescaling,
    ConstantEnergy,
    Integrator,
    Langevin,
    MartynaTobiasKlein,
    NoseHoover,
    Ramp,
    VelocityRescaling,
    maxwell_boltzmann,
    scaled_to_temperature,
    without_momentum,
)
from mdnnp.observables import degrees_of_freedom, momentum
from mdnnp.potentials.interface import Potential, check_elements
from mdnnp.potentials.load import load_potential
from mdnnp.structures import Structure, read_structures, unit_suspicion
from mdnnp.system import System, complete_cell, heights, lower_triangular, replicate, validate, volume

# A net momentum is reported if its kinetic energy exceeds this share of the whole.
MOMENTUM_SHARE = 1e-6
MAX_ATOMS = 50_000_000
SKEW_WARNING = 0.25  # smallest height of the cell over the length of its edge


@dataclass(frozen=True, eq=False)
class Start:
    """What a run starts from.

    system : atoms in a box in lower-triangular form, which is complete also along open directions
    masses : (N,) u; velocities : (N, 3) Å/fs
    fixed : (K,) indices of atoms that do not move
    n_degrees : degrees of freedom that share the kinetic energy
    integrator : the ensemble
    potential : the potential, ready to compute
    rotation : (3, 3); a vector v (row) of the structure file is v @ rotation.T here
    label : the structure, "file:index"
    digests : SHA-256 of the potential's files and of this start, to know them again at a restart
    """

    system: System
    masses: np.ndarray
    velocities: np.ndarray
    fixed: np.ndarray
    n_degrees: int
    integrator: Integrator
    potential: Potential
    rotation: np.ndarray
    label: str
    digests: dict[str, str]


def prepare(config: RunConfig) -> Start:
    """Read structure and potential, and make the start of the run.

    Raises InputError or FileError for what cannot be run; warns (MdnnpWarning) of what is suspicious.
    """
    wanted = config.potential
    potential = load_potential(wanted.path, wanted.length_unit, wanted.energy_unit, precision=wanted.precision)
    check_committee(config, potential)
    structure = _read_structure(config)
    _check_elements(structure, potential)
    suspicion = unit_suspicion(structure)
    if suspicion:
        warnings.warn(suspicion, MdnnpWarning, stacklevel=2)
    structure = replace(structure, masses=_masses(config, structure))
    system, masses, velocities = _replicated(config, structure)
    box = enclosing_box(system)
    _warn_of_skew(structure.label, box, system.pbc)
    cell, rotation = lower_triangular(box)
    system = system._replace(positions=system.positions @ rotation.T, cell=cell)
    if velocities is not None:
        velocities = velocities @ rotation.T
    fixed = _fixed_atoms(config, structure.label, len(system))
    velocities, n_degrees = _start_velocities(config, structure.label, velocities, masses, fixed)
    return Start(
        system=system,
        masses=masses,
        velocities=velocities,
        fixed=fixed,
        n_degrees=n_degrees,
        integrator=_integrator(config, structure.label, system, n_degrees),
        potential=potential,
        rotation=rotation,
        label=structure.label,
        digests={
            "potential": potential_digest(config, potential),
            "structure": structure_digest(structure),
        },
    )


def enclosing_box(system: System) -> np.ndarray:
    """The cell with an edge also along open directions, as trajectory formats need it, (3, 3) Å.

    An open direction keeps the cell vector that it has, if that makes a right-handed box with the others.
    Otherwise its vector is at right angles to the periodic ones, and longer than the atoms extend by 10 Å.
    """
    pbc = system.pbc
    lengths = np.linalg.norm(system.cell, axis=1)
    if pbc.all() or (np.all(lengths > 0) and np.linalg.det(system.cell / lengths[:, None]) > 1e-6):
        return system.cell.copy()
    box = complete_cell(system.cell, pbc)
    for k in np.flatnonzero(~pbc):
        box[k] *= np.ptp(system.positions @ box[k]) + 10.0
    return box


def potential_digest(config: RunConfig, potential: Potential) -> str:
    """SHA-256 of the files of a potential and its units."""
    digest = hashlib.sha256(repr((config.potential.length_unit, config.potential.energy_unit)).encode())
    for file in potential.files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def structure_digest(structure: Structure) -> str:
    """SHA-256 of everything in a structure that the dynamics depends on."""
    system, velocities = structure.system, structure.velocities
    digest = hashlib.sha256()
    for array in (*system, structure.masses, np.empty(0) if velocities is None else velocities):
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read_structure(config: RunConfig) -> Structure:
    """The structure of the input, with the input's periodicity."""
    wanted = config.structure
    (structure,) = read_structures(wanted.file, wanted.index, wanted.length_unit, wanted.energy_unit)
    if wanted.pbc is not None:
        system = structure.system._replace(pbc=np.array(wanted.pbc))
        validate(system, f"{structure.label} with pbc = {list(wanted.pbc)}")
        structure = replace(structure, system=system)
    return structure


def _check_elements(structure: Structure, potential: Potential) -> None:
    try:
        check_elements(potential, structure.system.numbers)
    except InputError as error:
        raise InputError(f"{structure.label}: {error}") from None


def _masses(config: RunConfig, structure: Structure) -> np.ndarray:
    """Masses of the structure, with the input's isotopes."""
    masses = structure.masses.copy()
    for symbol, mass in config.structure.masses.items():
        atoms = structure.system.numbers == atomic_numbers[symbol]
        if not atoms.any():
            raise InputError(
                f"{config.source}: structure.masses gives {symbol}, but {structure.label} has no such atom"
            )
        masses[atoms] = mass
    return masses


def _replicated(config: RunConfig, structure: Structure) -> tuple[System, np.ndarray, np.ndarray | None]:
    """System, masses and velocities of the replicated structure."""
    repeats = config.structure.replicate
    copies = math.prod(repeats)
    if copies * len(structure.system) > MAX_ATOMS:
        raise InputError(
            f"{config.source}: structure.replicate = {list(repeats)} makes {copies * len(structure.system)} "
            f"atoms of {len(structure.system)}; at most {MAX_ATOMS} can be run"
        )
    velocities = structure.velocities
    if velocities is not None:
        velocities = np.tile(velocities, (copies, 1))
    return replicate(structure.system, repeats), np.tile(structure.masses, copies), velocities


def _fixed_atoms(config: RunConfig, label: str, n_atoms: int) -> np.ndarray:
    """Indices of the atoms that do not move, in ascending order."""
    fixed = np.array(sorted(config.dynamics.fixed), dtype=np.int64)
    if len(fixed) and fixed[-1] >= n_atoms:
        raise InputError(
            f"{config.source}: dynamics.fixed names atom {fixed[-1]}, but {label} has {n_atoms} atoms, counted from 0"
        )
    if len(fixed) == n_atoms:
        raise InputError(f"{config.source}: dynamics.fixed names all {n_atoms} atoms, so that nothing could move")
    return fixed


def _integrator(config: RunConfig, label: str, system: System, n_degrees: int) -> Integrator:
    """The ensemble of the input."""
    dynamics = config.dynamics
    if dynamics.ensemble == "nve":
        return ConstantEnergy()

    def ramp(start: float, end: float | None) -> Ramp:
        """From start to end during the steps that follow the equilibration."""
        return Ramp.constant(start) if end is None else Ramp(start, end, dynamics.equilibration_steps, dynamics.steps)

    temperature = ramp(dynamics.temperature_K, dynamics.temperature_end_K)
    relaxation = dynamics.thermostat_time_fs
    if dynamics.ensemble == "nvt-langevin":
        return Langevin(temperature, dynamics.friction_per_ps, dynamics.seed)
    if dynamics.ensemble == "nvt-nose-hoover":
        return NoseHoover(temperature, n_degrees, relaxation)
    if dynamics.ensemble == "nvt-rescale":
        return VelocityRescaling(temperature, n_degrees, relaxation, dynamics.seed)
    if not system.pbc.all():
        raise InputError(
            f'{config.source}: dynamics.ensemble = "{dynamics.ensemble}" needs a cell that is periodic along a, b and '
            f"c, and {label} is not: an open direction has no pressure; choose an ensemble of constant volume"
        )
    pressure = ramp(dynamics.pressure_GPa, dynamics.pressure_end_GPa)
    if dynamics.ensemble == "npt-mtk":
        return MartynaTobiasKlein(
            temperature, pressure, n_degrees, relaxation, dynamics.barostat_time_fs, dynamics.cell
        )
    return CellRescaling(
        temperature,
        pressure,
        n_degrees,
        relaxation,
        dynamics.barostat_time_fs,
        dynamics.compressibility_per_GPa,
        volume(system.cell),
        dynamics.cell,
        dynamics.seed,
    )


def _start_velocities(config: RunConfig, label: str, velocities, masses, fixed) -> tuple[np.ndarray, int]:
    """Velocities at the start, and the degrees of freedom that will share the kinetic energy.

    The total momentum is conserved, and so removed, where no atom is fixed and no noise acts on single atoms.
    """
    dynamics, n_moving = config.dynamics, len(masses) - len(fixed)
    removed = dynamics.remove_momentum and not len(fixed)
    kept_at_zero = (removed or dynamics.velocities == "zero") and not len(fixed)
    n_degrees = degrees_of_freedom(n_moving, momentum_removed=kept_at_zero and dynamics.ensemble != "nvt-langevin")
    if dynamics.velocities == "zero":
        return np.zeros((len(masses), 3)), n_degrees
    if dynamics.velocities == "maxwell-boltzmann":
        drawn = maxwell_boltzmann(masses, dynamics.temperature_K, dynamics.seed, remove_momentum=removed)
        drawn[fixed] = 0.0
        if dynamics.exact_temperature:
            drawn = scaled_to_temperature(drawn, masses, dynamics.temperature_K, n_degrees)
        return drawn, n_degrees
    if velocities is None:
        raise InputError(
            f'{config.source}: dynamics.velocities = "file", but {label} has no velocities; '
            'write "maxwell-boltzmann" with a temperature_K, or "zero"'
        )
    velocities = velocities.copy()
    velocities[fixed] = 0.0
    total = momentum(velocities, masses)
    drifting = float(total @ total) / np.sum(masses)
    share = MOMENTUM_SHARE * float(np.sum(masses[:, None] * velocities**2))
    if drifting > share and len(masses) > 1 and not len(fixed):
        what = "is removed" if dynamics.remove_momentum else "is kept, as remove_momentum = false says"
        text = f"{label}: its velocities have a net momentum of {np.linalg.norm(total):.3g} u Å/fs, which {what}"
        warnings.warn(text, MdnnpWarning, stacklevel=2)
    if removed:
        velocities = without_momentum(velocities, masses)
    return velocities, n_degrees


def _warn_of_skew(label: str, box: np.ndarray, pbc: np.ndarray) -> None:
    ratio = np.min((heights(box) / np.linalg.norm(box, axis=1))[pbc], initial=1.0)
    if ratio < SKEW_WARNING:
        text = (
            f"{label}: the cell is very skewed (a height is {ratio:.2f} of its edge); the same crystal with "
            "reduced cell vectors runs faster"
        )
        warnings.warn(text, MdnnpWarning, stacklevel=2)
