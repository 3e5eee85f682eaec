"""A preconditioner for relaxations and modes: springs between near neighbours.

D. Packwood et al., J. Chem. Phys. 144, 164109 (2016): a spring between atoms at distance r has the stiffness
exp(-3 (r/r_0 - 1)), r_0 the usual distance of nearest neighbours, the same along x, y and z. Its inverse takes long
waves as stiff as short ones.
"""

import numpy as np

from mdnnp.neighbors import neighbor_list
from mdnnp.system import System

_STEEPNESS = 3.0
_REACH = 2.0  # in nearest-neighbour distances
_FLOOR = 0.02  # of the mean diagonal, added to it: translations stay finite


class Springs:
    """The network of springs of a system, of unit stiffness; `solve` applies its inverse.

    reach_A : longest spring, Å; free : (N,) which atoms may move
    """

    def __init__(self, system: System, reach_A: float, free: np.ndarray):
        from scipy.sparse import coo_matrix, diags
        from scipy.sparse.linalg import splu

        n, self._free = len(system), free
        i, j, _, r = neighbor_list(system, reach_A)
        distance = np.sqrt(np.square(r).sum(axis=1))
        own = np.ones(n)
        off = coo_matrix((n, n)).tocsr()
        if len(i):
            nearest = np.full(n, np.inf)
            np.minimum.at(nearest, i, distance)
            typical = np.median(nearest[np.isfinite(nearest)])
            near = (distance < _REACH * typical) & (i != j)
            stiffness = np.exp(-_STEEPNESS * (np.maximum(distance[near] / typical, 0.8) - 1.0))
            off = coo_matrix((stiffness, (i[near], j[near])), shape=(n, n)).tocsr()
            own = np.asarray(off.sum(axis=1)).ravel()
        self.stiffness = max(float(own.mean()), 1e-3)  # of the diagonal
        matrix = diags(own + _FLOOR * self.stiffness) - off
        self._solver = splu(matrix.tocsr()[free][:, free].tocsc()) if free.any() else None

    def solve(self, x: np.ndarray) -> np.ndarray:
        """P^-1 x for the first N rows of x (N + m, 3); other rows are divided by the mean diagonal."""
        out, n = np.zeros_like(x), len(self._free)
        if self._solver is not None:
            out[:n][self._free] = self._solver.solve(np.ascontiguousarray(x[:n][self._free]))
        out[n:] = x[n:] / self.stiffness
        return out
