"""From the input of a run to its first state: everything is read and checked, nothing is written."""

import hashlib
import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers

from mdnnp.atoms.quantities import degrees_of_freedom, kinetic_energy, momentum, rotations, without_rotation
from mdnnp.atoms.read import read_structures
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, enclosing_box, heights, lower_triangular, replicate, validate, volume
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.dynamics.collector import check_committee
from mdnnp.dynamics.input import RunConfig
from mdnnp.dynamics.integrators import (
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
from mdnnp.potentials.interface import Potential, check_elements
from mdnnp.potentials.load import load_potential

# A net momentum is reported if its kinetic energy exceeds this share of the whole.
MOMENTUM_SHARE = 1e-6
MAX_ATOMS = 50_000_000
SKEW_WARNING = 0.25  # smallest height of the cell over the length of its edge


@dataclass(frozen=True, eq=False)
class Start:
    """The first state of a run, with its potential and integrator.

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
    for key, path in (("structure.file", config.structure.file), ("potential.path", config.potential.path)):
        if not path.exists():
            raise FileError(f"{config.at(key)}: {path} does not exist")
    wanted = config.potential
    potential = load_potential(wanted.path, wanted.length_unit, wanted.energy_unit, precision=wanted.precision)
    check_committee(config, potential)
    structure = _read_structure(config)
    _check_elements(structure, potential)
    structure = replace(structure, masses=_masses(config, structure))
    system, masses, velocities = _replicated(config, structure)
    box = enclosing_box(system)
    _warn_of_skew(structure.label, box, system.pbc)
    cell, rotation = lower_triangular(box)
    system = system._replace(positions=system.positions @ rotation.T, cell=cell)
    if velocities is not None:
        velocities = velocities @ rotation.T
    fixed = _fixed_atoms(config, structure.label, len(system))
    velocities, n_degrees = _start_velocities(config, structure.label, system, velocities, masses, fixed)
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
    charge = [np.float64(system.charge)] if system.charge else []
    for array in (*system[:4], structure.masses, np.empty(0) if velocities is None else velocities, *charge):
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
                f"{config.at('structure.masses')}: has a mass of {symbol}, but {structure.label} has no such atom"
            )
        masses[atoms] = mass
    return masses


def _replicated(config: RunConfig, structure: Structure) -> tuple[System, np.ndarray, np.ndarray | None]:
    """System, masses and velocities of the replicated structure."""
    repeats = config.structure.replicate
    copies = math.prod(repeats)
    if copies * len(structure.system) > MAX_ATOMS:
        raise InputError(
            f"{config.at('structure.replicate')}: {list(repeats)} makes {copies * len(structure.system)} "
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
            f"{config.at('dynamics.fixed')}: names atom {fixed[-1]}, but {label} has {n_atoms} atoms, counted from 0"
        )
    if len(fixed) == n_atoms:
        raise InputError(f"{config.at('dynamics.fixed')}: names all {n_atoms} atoms; at least one must move")
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
            f'{config.at("dynamics.ensemble")}: "{dynamics.ensemble}" needs a cell that is periodic along a, b and '
            f"c, and {label} is not, so the pressure is not defined; choose an ensemble of constant volume"
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


def _start_velocities(config: RunConfig, label: str, system, velocities, masses, fixed) -> tuple[np.ndarray, int]:
    """Velocities at the start, and the degrees of freedom that will share the kinetic energy.

    The total momentum is conserved, and so removed, where no atom is fixed and no noise acts on single atoms. So is the
    angular momentum where no direction is periodic; velocities of a file keep theirs.
    """
    dynamics, n_moving = config.dynamics, len(masses) - len(fixed)
    removed = dynamics.remove_momentum and not len(fixed)
    kept_at_zero = (removed or dynamics.velocities == "zero") and not len(fixed)
    still = kept_at_zero and not system.pbc.any() and len(masses) > 1

    def degrees(turns: bool) -> int:
        return degrees_of_freedom(
            n_moving,
            momentum_removed=kept_at_zero and dynamics.ensemble != "nvt-langevin",
            rotations_removed=0 if turns else rotations(system.positions, masses),
        )

    if dynamics.velocities == "zero":
        return np.zeros((len(masses), 3)), degrees(turns=not still)
    if dynamics.velocities == "maxwell-boltzmann":
        drawn = maxwell_boltzmann(masses, dynamics.temperature_K, dynamics.seed, remove_momentum=removed)
        drawn[fixed] = 0.0
        if still:
            drawn = without_rotation(system.positions, drawn, masses)
        n_degrees = degrees(turns=not still)
        if dynamics.exact_temperature:
            drawn = scaled_to_temperature(drawn, masses, dynamics.temperature_K, n_degrees)
        return drawn, n_degrees
    if velocities is None:
        raise InputError(
            f'{config.at("dynamics.velocities")}: "file", but {label} has no velocities; '
            'write "maxwell-boltzmann" with a temperature_K, or "zero"'
        )
    velocities = velocities.copy()
    velocities[fixed] = 0.0
    total = momentum(velocities, masses)
    drifting = float(total @ total) / np.sum(masses)
    share = MOMENTUM_SHARE * float(np.sum(masses[:, None] * velocities**2))
    if drifting > share and len(masses) > 1 and not len(fixed):
        what = "is removed" if dynamics.remove_momentum else "is not removed, because remove_momentum = false"
        text = f"{label}: its velocities have a net momentum of {np.linalg.norm(total):.3g} u Å/fs, which {what}"
        warnings.warn(text, MdnnpWarning, stacklevel=2)
    if removed:
        velocities = without_momentum(velocities, masses)
    return velocities, degrees(turns=not still or _turns(label, system, velocities, masses))


def _turns(label: str, system: System, velocities: np.ndarray, masses: np.ndarray) -> bool:
    """Whether velocities of a file rotate the system; warns of it."""
    kinetic = kinetic_energy(velocities, masses)
    share = (
        1 - kinetic_energy(without_rotation(system.positions, velocities, masses), masses) / kinetic if kinetic else 0
    )
    if share <= MOMENTUM_SHARE:
        return False
    text = f"{label}: its velocities rotate the system, with {100 * share:.3g} % of the kinetic energy; not removed"
    warnings.warn(text, MdnnpWarning, stacklevel=2)
    return True


def _warn_of_skew(label: str, box: np.ndarray, pbc: np.ndarray) -> None:
    ratio = np.min((heights(box) / np.linalg.norm(box, axis=1))[pbc], initial=1.0)
    if ratio < SKEW_WARNING:
        text = (
            f"{label}: the cell is very skewed (a height is {ratio:.2f} times its edge); the run is faster "
            "with reduced cell vectors of the same crystal"
        )
        warnings.warn(text, MdnnpWarning, stacklevel=2)
