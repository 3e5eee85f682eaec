"""A structure: a system with masses, labels and a name; to and from ASE's Atoms."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase import units as ase_units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_masses, chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from mdnnp.atoms import xyz
from mdnnp.atoms.labels import Keys, unused_labels, virial_name
from mdnnp.atoms.system import System, complete_cell, heights, validate, volume
from mdnnp.base.errors import InputError, MdnnpWarning, quoted

# Columns of velocities that some programs write without saying in which unit.
_UNITLESS_VELOCITIES = ("velocities", "velocity", "velo", "vel")
THINNEST_A = 0.1  # lattice planes nearer than this, and more atoms than the other number, are refused
DENSEST_PER_A3 = 5.0
_ROUNDED_E = 0.05  # what rounding may make of a total charge


@dataclass(frozen=True, eq=False)
class Structure:
    """A configuration of N atoms, with the data of its file. None: the file does not have it.

    system : positions Å, numbers, cell Å, pbc, total charge e
    masses : (N,) u; isotopes as the file gives them, else standard atomic weights
    velocities : (N, 3) Å/fs
    energy : eV; forces : (N, 3) eV/Å; atomic_energies : (N,) eV
    stress : (3, 3) eV/Å^3, with ASE's sign (positive: tension)
    charges : (N,) e, of the atoms, as labels
    label : "file:index", for messages
    config_type : kind of configuration, as the data set names it; "" if it does not
    subset : "train" or "test", as the data set divides itself, else None
    unused : names of entries that look like labels, but are not called as labels are
    dropped : names of all entries of the file that no field holds
    """

    system: System
    masses: np.ndarray
    velocities: np.ndarray | None = None
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    label: str = "structure"
    atomic_energies: np.ndarray | None = None
    config_type: str = ""
    unused: tuple[str, ...] = ()
    subset: str | None = None
    charges: np.ndarray | None = None
    dropped: tuple[str, ...] = ()


def is_xyz(path: Path) -> bool:
    """Whether a file is extended XYZ, by its name."""
    return path.suffix.lower() in (".xyz", ".extxyz")


def from_atoms(
    atoms: Atoms, label: str = "structure", said: set[str] | None = None, keys: Keys | None = None
) -> Structure:
    """The Structure of an ASE Atoms object, with its isotope masses, momenta and results of a calculation.

    said : kinds of warnings given already, which are not repeated; those given are added
    keys : other names of labels
    Nothing is computed: results are taken only if they are there. Raises InputError, naming `label`.
    """
    said = set() if said is None else said
    system = System(
        np.array(atoms.positions, dtype=np.float64),
        np.array(atoms.numbers, dtype=np.int64),
        np.array(atoms.cell.array, dtype=np.float64),
        np.array(atoms.pbc, dtype=bool),
    )
    unknown = np.flatnonzero((system.numbers < 1) | (system.numbers >= len(chemical_symbols)))
    if len(unknown):
        raise InputError(f"{label}: atom {unknown[0]} is of no chemical element (symbol X)")
    system = sound(system, label, said)
    if atoms.constraints:
        _warn(said, "constraints", f"{label}: its constraints are not used; all atoms will move")
    results = atoms.calc.results if _results_are_current(atoms) else {}
    if keys is not None:
        atoms, results = keys.rename(atoms, results)
    energy = results.get("energy", results.get("free_energy"))
    subset = atoms.info.get("set")
    n = len(system)
    charges = _charges(atoms, results, label)
    system = system._replace(charge=total_charge(atoms, charges, label))
    return Structure(
        system=system,
        masses=_masses(atoms, label, said),
        velocities=_velocities(atoms, label, said),
        energy=None if energy is None else float(_finite(energy, (), "energy", label)),
        forces=_finite(results.get("forces"), (n, 3), "forces", label),
        stress=_stress_or_virial(results.get("stress"), atoms, label, said),
        label=label,
        atomic_energies=_finite(results.get("energies"), (n,), "atomic energies", label),
        config_type=str(atoms.info.get("config_type", "")),
        unused=unused_labels(atoms, results),
        subset=subset if subset in ("train", "test") else None,
        charges=charges,
        dropped=_dropped(atoms, results),
    )


def _charges(atoms: Atoms, results: Mapping, label: str) -> np.ndarray | None:
    """Charges (N,) of the atoms, of a calculation or of a column; initial ones that are all zero are none."""
    columns = (atoms.arrays.get(name) for name in ("charges", "charge"))
    found = next((c for c in (results.get("charges"), *columns) if c is not None), None)
    if found is None and atoms.has("initial_charges") and atoms.get_initial_charges().any():
        found = atoms.get_initial_charges()
    return _finite(found, (len(atoms),), "charges", label)


def total_charge(atoms: Atoms, charges: np.ndarray | None = None, label: str = "Atoms") -> float:
    """Total charge, e: the entry `charge` or `total_charge` of `atoms.info`, else the sum of the atoms' charges (N,).

    A sum within 0.05 of a whole number is that number, because tables are rounded. Without charges, zero.
    Raises InputError for entries that are no number, or contradict each other.
    """
    given = {name: atoms.info[name] for name in ("charge", "total_charge") if name in atoms.info}
    values = [float(_finite(value, (), f"total charge ({name})", label)) for name, value in given.items()]
    if len(set(values)) > 1:
        raise InputError(f"{label}: charge is {values[0]:g} e, but total_charge is {values[1]:g}; remove one of them")
    if values:
        return values[0]
    total = 0.0 if charges is None else float(charges.sum())
    return float(round(total)) if abs(total - round(total)) < _ROUNDED_E else total


def _warn(said: set[str], kind: str, text: str) -> None:
    """Warn of what a file has again and again, once."""
    if kind not in said:
        said.add(kind)
        warnings.warn(text, MdnnpWarning, stacklevel=4)


def sound(system: System, label: str, said: set[str]) -> System:
    """The system with a right-handed cell. Raises InputError if no simulation can start from it."""
    cell = system.cell
    with np.errstate(all="ignore"):
        left_handed = bool(system.pbc.any() and np.isfinite(cell).all() and np.linalg.det(cell) < 0)
    if left_handed:
        # Two vectors that are both periodic or both not: the lattice and all Cartesian data do not change.
        i, j = next(pair for pair in ((1, 2), (0, 1), (0, 2)) if system.pbc[pair[0]] == system.pbc[pair[1]])
        turned = cell.copy()
        turned[[i, j]] = cell[[j, i]]
        system = system._replace(cell=turned)
        _warn(
            said,
            "left-handed",
            f"{label}: its cell is left-handed; cell vectors {'abc'[i]} and {'abc'[j]} are exchanged, which leaves the "
            "geometry as it is",
        )
    validate(system, label)
    if system.pbc.any():
        with np.errstate(all="ignore"):
            full = complete_cell(system.cell, system.pbc)
            height = float(heights(full)[system.pbc].min())
            density = len(system) / volume(full) if system.pbc.all() else 0.0
        if not height >= THINNEST_A or not density <= DENSEST_PER_A3:
            raise InputError(
                f"{label}: a periodic cell with {len(system)} atoms and lattice planes only {height:.3g} Å apart: were "
                "lengths in nm read as Å? Or is the lattice constant missing, or in another unit?"
            )
    return system


def _dropped(atoms: Atoms, results: Mapping[str, object]) -> tuple[str, ...]:
    """Names of entries that no field of a Structure holds."""
    kept = {"config_type", "set", "virial", "numbers", "positions", "momenta", "masses", "mass", "initial_charges"}
    kept |= {"energy", "free_energy", "forces", "stress", "energies", "charges", "charge", "total_charge"}
    return tuple(sorted({*atoms.info, *atoms.arrays, *results} - kept - {virial_name(atoms)}))


def _results_are_current(atoms: Atoms) -> bool:
    return atoms.calc is not None and not atoms.calc.check_state(atoms)


def _finite(values, shape: tuple[int, ...], what: str, label: str) -> np.ndarray | None:
    """Values as a float64 array of this shape, None left alone; InputError for anything else."""
    if values is None:
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        hint = xyz.not_a_number(values) if isinstance(values, str) else None
        raise InputError(f"{label}: {what}: {hint or f'expected numbers, found {quoted(values)}'}") from None
    if array.shape != shape:
        raise InputError(f"{label}: {what}: expected shape {shape}, found {array.shape}")
    if not np.isfinite(array).all():
        first = np.argwhere(~np.isfinite(array))[0]
        of_atom = f" of atom {first[0]}" if len(first) else ""
        raise InputError(f"{label}: {what}{of_atom} not a finite number: {array[tuple(first[:1])]}")
    return array


def _stress(values, label: str) -> np.ndarray | None:
    if values is None:
        return None
    shape = np.shape(values)
    if shape == (6,):
        return voigt_6_to_full_3x3_stress(_finite(values, (6,), "stress", label))
    return _finite(np.reshape(values, (3, 3)) if shape == (9,) else values, (3, 3), "stress", label)


def _stress_or_virial(stress, atoms: Atoms, label: str, said: set[str]) -> np.ndarray | None:
    """The stress; else from a virial = -volume * stress (3 x 3, eV), which other programs write.

    Raises InputError if the two contradict each other.
    """
    stress = _stress(stress, label)
    if stress is not None:
        off = np.abs(stress - stress.T)
        i, j = np.unravel_index(np.argmax(off), (3, 3))
        if off[i, j] > xyz.SAME_STRESS * np.abs(stress).max() + xyz.SAME_STRESS_EV_A3:
            raise InputError(
                f"{label}: stress is not symmetric: {stress[i, j]:g} and {stress[j, i]:g} eV/Å^3; correct it"
            )
    name = virial_name(atoms)
    if not name:
        return stress
    virial = _stress(atoms.info[name], f"{label}: {name}")
    if name != "virial":
        _warn(said, "virial", f"{label}: {name!r} is read as virial: in eV, minus volume times stress")
    size = volume(atoms.cell.array)
    if stress is None and size == 0.0:
        raise InputError(f"{label}: has a virial but no cell, so the stress is not defined; remove the virial")
    if stress is None:
        return -virial / size
    if size > 0.0:
        off = np.abs(stress + virial / size)
        i, j = np.unravel_index(np.argmax(off), (3, 3))
        if off[i, j] > xyz.SAME_STRESS * np.abs(stress).max() + xyz.SAME_STRESS_EV_A3:
            raise InputError(
                f"{label}: its stress and its virial contradict each other: {'xyz'[i]}{'xyz'[j]} is {stress[i, j]:.6g} "
                f"eV/Å^3, but minus virial over volume is {-virial[i, j] / size:.6g}; correct one, or remove it"
            )
    return stress


def _masses(atoms: Atoms, label: str, said: set[str]) -> np.ndarray:
    """Masses in u, of the column `masses`, or `mass`, which other programs write."""
    column = atoms.arrays.get("mass")
    if column is not None and not atoms.has("masses"):
        _warn(said, "mass", f"{label}: masses are read from the column 'mass', in u")
    else:
        column = atoms.get_masses()
    masses = _finite(column, (len(atoms),), "mass", label)
    bad = np.flatnonzero(masses <= 0.0)
    if len(bad):
        raise InputError(f"{label}: mass of atom {bad[0]}: expected a positive number, found {masses[bad[0]]} u")
    return masses


def _velocities(atoms: Atoms, label: str, said: set[str]) -> np.ndarray | None:
    column = next((name for name in _UNITLESS_VELOCITIES if name in atoms.arrays), None)
    if column and not atoms.has("momenta"):
        _warn(
            said,
            "velocities",
            f"{label}: column {column!r} is not used, because its unit is not known; velocities are read from "
            "'momenta' (ASE's units), which ASE's set_velocities fills",
        )
    if not atoms.has("momenta"):
        return None
    return _finite(atoms.get_velocities() * ase_units.fs, (len(atoms), 3), "velocity", label)


def to_atoms(structure: Structure) -> Atoms:
    """ASE Atoms with velocities and isotope masses, and with energy, forces and stress as results."""
    system = structure.system
    atoms = Atoms(numbers=system.numbers, positions=system.positions, cell=system.cell, pbc=system.pbc)
    if not np.array_equal(structure.masses, atomic_masses[system.numbers]):
        atoms.set_masses(structure.masses)
    if structure.velocities is not None:
        atoms.set_velocities(structure.velocities / ase_units.fs)
    results = {
        "energy": structure.energy,
        "forces": structure.forces,
        "energies": structure.atomic_energies,
        "stress": None if structure.stress is None else full_3x3_to_voigt_6_stress(structure.stress),
        "charges": structure.charges,
    }
    results = {name: value for name, value in results.items() if value is not None}
    if structure.charges is not None:
        atoms.set_initial_charges(structure.charges)
    if structure.charges is not None or system.charge:
        atoms.info["charge"] = system.charge
    if structure.config_type:
        atoms.info["config_type"] = structure.config_type
    if structure.subset:
        atoms.info["set"] = structure.subset
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms
