"""A preconditioner for relaxations and modes: harmonic springs between near neighbours.

A spring between atoms at distance r has the stiffness exp(-3 (r/r_0 - 1)), r_0 the usual distance of nearest
neighbours (D. Packwood et al., J. Chem. Phys. 144, 164109 (2016)), along the bond, and a tenth of it across. Its
inverse takes long waves as stiff as short ones, and bonds stiffer than angles. For many atoms, whose factorisation
would take long, a spring has a mean stiffness in all directions: then x, y and z do not couple.
"""

import numpy as np

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.atoms.system import System

_STEEPNESS = 3.0
_REACH = 2.0  # in nearest-neighbour distances
_ACROSS = 0.1
_FLOOR = 0.02  # of the mean diagonal, added to it: translations stay finite
_MOST_DIRECTIONAL = 1500  # atoms


class Springs:
    """The network of springs of a system; `solve` applies its inverse.

    reach_A : longest spring, Å; free : (N,) which atoms may move
    stiffness : mean of an atom's springs, counted along the bonds
    """

    def __init__(self, system: System, reach_A: float, free: np.ndarray):
        from scipy.sparse import coo_matrix, diags
        from scipy.sparse.linalg import splu

        n, self._free = len(system), free
        i, j, stiffness, along = _bonds(system, reach_A)
        self.stiffness = float(stiffness.sum()) / n if len(i) else 1.0
        floor = _FLOOR * self.stiffness
        self._directional = free.sum() <= _MOST_DIRECTIONAL
        if self._directional:
            blocks = stiffness[:, None, None] * (along[:, :, None] * along[:, None, :] + _ACROSS * np.eye(3))
            own = np.zeros((n, 3, 3))
            np.add.at(own, i, blocks)
            own += floor * np.eye(3)
            data = np.concatenate([own, -blocks])
            places = np.concatenate([np.arange(n), i]), np.concatenate([np.arange(n), j])
            size, kept = 3 * n, np.repeat(free, 3)
            rows = (3 * places[0][:, None, None] + np.arange(3)[:, None] + np.zeros((3, 3), int)).ravel()
            columns = (3 * places[1][:, None, None] + np.arange(3) + np.zeros((3, 3), int)).ravel()
            matrix = coo_matrix((data.ravel(), (rows, columns)), shape=(size, size)).tocsr()
        else:
            mean = stiffness * (1 / 3 + _ACROSS)
            off = coo_matrix((mean, (i, j)), shape=(n, n)).tocsr()
            matrix, kept = diags(np.asarray(off.sum(axis=1)).ravel() + floor) - off, free
        inside = matrix.tocsr()[kept][:, kept].tocsc()
        symmetric = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
        self._solver = splu(inside, permc_spec="MMD_AT_PLUS_A", **symmetric) if free.any() else None

    def solve(self, x: np.ndarray) -> np.ndarray:
        """P^-1 x for the first N rows of x (N + m, 3); other rows are divided by the mean stiffness."""
        out, n = np.zeros_like(x), len(self._free)
        if self._solver is not None:
            inside = np.ascontiguousarray(x[:n][self._free])
            solved = self._solver.solve(inside.ravel() if self._directional else inside)
            out[:n][self._free] = solved.reshape(-1, 3)
        out[n:] = x[n:] / self.stiffness
        return out


def _bonds(system: System, reach_A: float):
    """i, j, stiffness and direction (E, 3) of all springs; each pair twice."""
    i, j, _, r = neighbor_list(system, reach_A)
    if not len(i):
        return i, j, np.empty(0), r
    distance = np.sqrt(np.square(r).sum(axis=1))
    nearest = np.full(len(system), np.inf)
    np.minimum.at(nearest, i, distance)
    typical = np.median(nearest[np.isfinite(nearest)])
    near = (distance < _REACH * typical) & (i != j)
    ratio = np.maximum(distance[near] / typical, 0.8)  # atoms that overlap are no stiffer than that
    return i[near], j[near], np.exp(-_STEEPNESS * (ratio - 1.0)), r[near] / distance[near][:, None]
