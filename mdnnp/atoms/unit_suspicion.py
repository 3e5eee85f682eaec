"""Are lengths in the unit that they are said to be in? Distances and densities tell."""

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from mdnnp.atoms.structure import Structure, _share
from mdnnp.atoms.system import System, volume

_NOBLE_GASES = (2, 10, 18, 36, 54, 86)


# Limits of `unit_suspicion`, in units of covalent radii.
SHORTEST = 0.6
DENSEST = 2.0
SPARSE = (1.45, 2.6)
_NM_FOR_A = 0.25  # nearer than this, lengths are 10 times too small, rather than 1.89 times


def unit_suspicion(structure: Structure) -> str | None:
    """A sentence if the distances look as if Å and Bohr had been mixed up, else None.

    Let q_i be the distance of atom i to its nearest neighbour over the sum of the two covalent radii (about
    0.8 to 1.25 in ordinary matter), and eta the covalent spheres' share of the volume. Suspicious:
    - min(q) < SHORTEST, or eta > DENSEST: lengths in Å were taken for Bohr, and all is 1.89 times too small;
    - SPARSE[0] < median(q) < SPARSE[1]: lengths in Bohr were taken for Å, and all is 1.89 times too large.
      Noble gases, which have such distances, are not judged by this rule, nor are systems beyond it (gases).
    Radii: B. Cordero et al., Dalton Trans. 2008, 2832. Raises InputError for atoms on one spot.
    """
    system, label = structure.system, structure.label
    radii = covalent_radii[system.numbers]
    share = _share(system, radii)
    if system.pbc.all() and share > DENSEST:
        return (
            f"{label}: {len(system) / volume(system.cell):.3g} atoms/Å^3, whose covalent spheres would fill the cell "
            f"{share:.1f} times: were lengths in Å taken for Bohr?"
        )
    q, distance, i, j = _nearest(system, radii, SPARSE[0])
    if np.median(q) > SPARSE[0]:
        q, distance, i, j = _nearest(system, radii, SPARSE[1])
    if q.min() < SHORTEST:
        symbols = "-".join(chemical_symbols[z] for z in system.numbers[[i, j]])
        units_mixed = "nm taken for Å" if np.median(q) < _NM_FOR_A else "Å taken for Bohr"
        return (
            f"{label}: atoms {i} and {j} ({symbols}) are {distance:.3f} Å apart, {q.min():.2f} of their "
            f"covalent radii' sum: were lengths in {units_mixed}, or do atoms overlap?"
        )
    if SPARSE[0] < np.median(q) < SPARSE[1] and not np.isin(system.numbers, _NOBLE_GASES).all():
        return (
            f"{label}: nearest neighbours are {np.median(q):.2f} of their radii' sum apart (median), "
            f"{distance:.3f} Å and more: were lengths in Bohr taken for Å?"
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
