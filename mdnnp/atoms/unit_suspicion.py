"""Check of the unit of length by distances and densities."""

import warnings
from collections.abc import Iterable, Iterator

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, complete_cell, heights, volume
from mdnnp.base.errors import InputError, MdnnpWarning

_NOBLE_GASES = (2, 10, 18, 36, 54, 86)


# Limits of `unit_suspicion`, in units of covalent radii.
SHORTEST = 0.6
DENSEST = 2.0
SPARSE = (1.45, 2.6)
IMPOSSIBLE = 12.0  # of a share that is refused: the neighbours of so dense atoms would fill the memory
_NM_FOR_A = 0.25  # nearer than this, lengths are 10 times too small, rather than 1.89 times


def unit_suspicion(structure: Structure) -> str | None:
    """A sentence if the distances look as if Å and Bohr had been mixed up, else None.

    Let q_i be the distance of atom i to its nearest neighbour over the sum of the two covalent radii (about
    0.8 to 1.25 in ordinary matter), and eta the covalent spheres' share of the volume. Suspicious:
    - min(q) < SHORTEST, or eta > DENSEST: lengths in Å were read as Bohr, and all is 1.89 times too small;
    - SPARSE[0] < median(q) < SPARSE[1]: lengths in Bohr were read as Å, and all is 1.89 times too large.
      Noble gases, which have such distances, are not judged by this rule, nor are systems beyond it (gases).
    Radii: B. Cordero et al., Dalton Trans. 2008, 2832. Raises InputError for atoms at the same position.
    """
    system, label = structure.system, structure.label
    radii = covalent_radii[system.numbers]
    share = _share(system, radii)
    if system.pbc.all() and share > DENSEST:
        return (
            f"{label}: {len(system) / volume(system.cell):.3g} atoms/Å^3, whose covalent spheres would fill the cell "
            f"{share:.1f} times: were lengths in Å read as Bohr?"
        )
    q, distance, i, j = _nearest(system, radii, SPARSE[0])
    if np.median(q) > SPARSE[0]:
        q, distance, i, j = _nearest(system, radii, SPARSE[1])
    if q.min() < SHORTEST:
        symbols = "-".join(chemical_symbols[z] for z in system.numbers[[i, j]])
        units_mixed = "nm read as Å" if np.median(q) < _NM_FOR_A else "Å read as Bohr"
        return (
            f"{label}: atoms {i} and {j} ({symbols}) are {distance:.3f} Å apart, {q.min():.2f} of their "
            f"covalent radii' sum: were lengths in {units_mixed}, or do atoms overlap?"
        )
    if SPARSE[0] < np.median(q) < SPARSE[1] and not np.isin(system.numbers, _NOBLE_GASES).all():
        return (
            f"{label}: nearest neighbours are {np.median(q):.2f} of their radii' sum apart (median), "
            f"{distance:.3f} Å and more: were lengths in Bohr read as Å?"
        )
    return None


def _nearest(system: System, radii: np.ndarray, reach: float) -> tuple[np.ndarray, float, int, int]:
    """q (N,) of the nearest neighbours, infinite beyond `reach`; the closest pair's distance Å, i, j."""
    from mdnnp.atoms.neighbors import neighbor_list  # compiled kernels; not every use of this module needs them

    nearest = np.full(len(system), np.inf)
    i, j, _, vectors = neighbor_list(system, 2.0 * reach * radii.max())
    if len(i) == 0:
        return nearest, np.inf, 0, 0
    distances = np.linalg.norm(vectors, axis=1)
    q = distances / (radii[i] + radii[j])
    np.minimum.at(nearest, i, np.where(q < reach, q, np.inf))
    k = int(np.argmin(q))
    return nearest, float(distances[k]), int(i[k]), int(j[k])


def question_units(structures: Iterable[Structure]) -> Iterator[Structure]:
    """The structures. Warns of the first one that is suspicious, refuses (InputError) any that is impossibly dense.

    All structures of files come by here, and those of the ASE calculator, before anything is computed from them.
    """
    warned = False
    for structure in structures:
        share = _share(structure.system, covalent_radii[structure.system.numbers])
        if share > IMPOSSIBLE:
            raise InputError(
                f"{structure.label}: {len(structure.system)} atoms whose covalent spheres would fill their space "
                f"{share:.0f} times: were lengths in nm read as Å? Convert the positions and the cell to Å (an "
                "input.data: state its unit)"
            )
        suspicion = None if warned else _suspicion_if_any(structure)
        if suspicion:
            warnings.warn(suspicion, MdnnpWarning, stacklevel=3)
            warned = True
        yield structure


def _suspicion_if_any(structure: Structure) -> str | None:
    try:
        return unit_suspicion(structure)
    except InputError:  # atoms at the same position, refused where a potential is evaluated
        return None


def _share(system: System, radii: np.ndarray) -> float:
    """The covalent spheres' share of the atoms' space: the cell, and along open directions the extent of the atoms."""
    if not len(system):
        return 0.0
    cell = complete_cell(system.cell, system.pbc)
    extent = np.ptp(system.positions @ np.linalg.inv(cell), axis=0) + 2 * radii.mean() / heights(cell)
    return float((4.0 / 3.0 * np.pi * radii**3).sum() / (volume(cell) * np.prod(np.where(system.pbc, 1.0, extent))))
