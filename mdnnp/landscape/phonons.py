"""Phonons of a crystal: dispersion, density of states, and which supercell they need."""

from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mdnnp.atoms.spacegroup import isotopes
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, heights, make_system, repeats_for
from mdnnp.base.errors import InputError
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.second_derivatives import force_constants

_MESH_LENGTH_A = 100.0  # mesh of q points: this over the length of a cell vector


class Bands(NamedTuple):
    """Phonons of a crystal.

    distance : (n,) along the path, 1/Å; frequencies : (n, branches) THz; labels : names and places of special points
    mesh : (points, branches) THz; weights : (points,); dos : (m, 2) THz, states per THz and primitive cell
    """

    distance: np.ndarray
    frequencies: np.ndarray
    labels: list[tuple[str, float]]
    mesh: np.ndarray
    weights: np.ndarray
    dos: np.ndarray
    n_primitive: int


def supercell_advice(potential: Potential, system: System, repeats: tuple[int, int, int]) -> tuple[float, tuple, tuple]:
    """Smallest height of a supercell in cutoffs; repeats that make it two, and four cutoffs high everywhere.

    An atom acts on those within two cutoffs, through common neighbours, so that force constants of a supercell of four
    cutoffs are exact; the second half of them is weak, and the first does not wrap from two cutoffs on.
    """
    reach = potential.near_reach
    enough, exact = (repeats_for(system.cell, k * reach) for k in (2.0, 4.0))
    return float((heights(system.cell) * repeats).min() / reach), enough, exact


def crystal_phonons(
    potential: Potential, structure: Structure, repeats: tuple[int, int, int], points: int = 60
) -> Bands:
    """Phonons of the crystal of which `structure` is a cell. Raises InputError without phonopy, or for no crystal.

    repeats : of the supercell, which should be wider than four cutoffs of the potential (two, if it is of pairs)
    """
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
        from phonopy.structure.cells import guess_primitive_matrix
    except ImportError:
        raise InputError("phonons of crystals need phonopy: pip install phonopy spglib") from None
    system = structure.system
    if not system.pbc.all():
        raise InputError(f"{structure.label}: --supercell is for crystals, periodic in three directions")
    from ase.cell import Cell

    # phonopy distinguishes atoms by their atomic numbers only, but isotopes break the symmetry of vibrations.
    kinds = isotopes(system.numbers, structure.masses)
    if kinds.max() >= len(chemical_symbols) - 1:
        raise InputError(f"{structure.label}: {kinds.max() + 1} different masses, more than phonopy can distinguish")
    cell = PhonopyAtoms(cell=system.cell, positions=system.positions, numbers=kinds + 1, masses=structure.masses)
    phonon = Phonopy(cell, supercell_matrix=np.diag(repeats), primitive_matrix=guess_primitive_matrix(cell))
    big = phonon.supercell
    element = dict(zip(kinds + 1, system.numbers, strict=True))
    charge = system.charge * np.prod(repeats)
    supercell = make_system(big.positions, [element[k] for k in big.numbers], big.cell, True, charge)
    phonon.force_constants = force_constants(potential, supercell, phonon.primitive.p2s_map)
    path = Cell(phonon.primitive.cell).bandpath(npoints=points * 6)
    distance, places, names = path.get_linear_kpoint_axis()
    phonon.run_qpoints(path.kpts)
    frequencies = np.array(phonon.qpoints.frequencies)
    phonon.run_mesh(_MESH_LENGTH_A)
    mesh = phonon.mesh
    phonon.run_total_dos()
    dos = phonon.total_dos
    return Bands(
        distance * 2 * np.pi, frequencies, list(zip(names, places * 2 * np.pi, strict=True)),
        np.array(mesh.frequencies),  # type: ignore[union-attr]  # an IterMesh is made on request only
        np.array(mesh.weights, float),
        np.column_stack([dos.frequency_points, dos.dos]), len(phonon.primitive),
    )  # fmt: skip
