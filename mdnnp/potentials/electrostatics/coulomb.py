"""Coulomb energy of Gaussian and point charges in crystals and clusters, E = 1/2 sum_ij q_i E_ij q_j.

Cluster: E_ij = k_e erf(r / sqrt2 gamma_ij) / r with gamma_ij^2 = sigma_i^2 + sigma_j^2, and the energy of a Gaussian
with itself, E_ii = k_e / (sigma_i sqrt(pi)); that of a point is left out.

Crystal: an Ewald sum (P. P. Ewald, Ann. Phys. 369, 253 (1921)) with Gaussian charges as in T. W. Ko et al., Nat.
Commun. 12, 398 (2021). With the width eta of the sum,

    E_ij = k_e { sum_images [erfc(r / sqrt2 eta) - erfc(r / sqrt2 gamma_ij)] / r
                 + 4 pi / V sum_(k != 0) exp(-eta^2 k^2 / 2) / k^2 cos k.(r_i - r_j)
                 + delta_ij [1 / (sigma_i sqrt(pi)) - 2 / (sqrt(2 pi) eta)] - 2 pi / V (eta^2 - gamma_ij^2) }

It does not depend on eta. The crystal is surrounded by a conductor (tin foil). The last term is that of a uniform
background, which makes a charged cell neutral; then the mean of the potential is zero.
"""

import math
from contextlib import AbstractContextManager
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from ase.geometry import minkowski_reduce
from threadpoolctl import ThreadpoolController

from mdnnp.atoms.neighbors import NeighborList
from mdnnp.atoms.system import System, volume
from mdnnp.base.compiled.jit import run_chunks
from mdnnp.base.errors import InputError
from mdnnp.potentials.assembly import Assembly
from mdnnp.potentials.electrostatics.kernels import EWALD, everyone, fill_pairs, near, times_pairs, waves
from mdnnp.potentials.electrostatics.mesh import Mesh, plan
from mdnnp.potentials.zbl import COULOMB_EV_A

PRECISION = 1e-12  # of the Ewald sum: exp(-s^2), where both its sums end
USUAL_CUTOFF_A = 10.0  # of real space
_MOST_CHUNKS = 32  # of waves, each with arrays of its own
_WAVES_PER_CHUNK = 64
ROUGH = 1e-4  # of a rough sum, relative to the largest terms
WAVES = ("auto", "plain", "mesh")
_WAVE_NS = 3.0  # of a wave at an atom: the wave itself, its amplitude, and the way back
_WAVES_PER_BLOCK = 1024  # of the matrix
_NONE = np.empty(0)
_NO_MATRIX = np.empty((0, 0))


class Screening(NamedTuple):
    """Takes the Coulomb energy of near pairs away, which a short-range potential describes.

    The pair energy is multiplied by 1 - f(r): not at all from `outer_A` on, wholly up to `inner_A`.
    shape : kind of the envelope f, as `hdnnp.functions.shapes.evaluate_envelope` numbers them
    """

    shape: int
    inner_A: float
    outer_A: float


class Product(NamedTuple):
    """Potential (N,) eV/e at the atoms; forces (N, 3) eV/Å and virial (3, 3) eV of a bilinear form."""

    potential: np.ndarray
    forces: np.ndarray
    virial: np.ndarray


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()  # it looks for libraries, which takes milliseconds


def one_blas_thread() -> AbstractContextManager:
    """A context in which BLAS gives the same bits whatever the number of threads."""
    return _blas().limit(limits=1, user_api="blas")


def real_space_cutoff(widest_A: float, precision: float = PRECISION, least_A: float = USUAL_CUTOFF_A) -> float:
    """Å: where the real-space sum may end, for Gaussians of at most this width."""
    return max(least_A, 2.0 * widest_A * math.sqrt(-math.log(precision)))


def check_boundaries(system: System, source: str) -> None:
    """Raise InputError for a system that is periodic in one or two directions."""
    if system.pbc.any() and not system.pbc.all():
        raise InputError(
            f"{source}: the system is periodic in {int(system.pbc.sum())} directions; charges need three or none. Make "
            "a slab or wire periodic in three directions, with vacuum as wide as it is long (its images still act on "
            "it by their dipoles), or cut a cluster"
        )


def charged_cell(total: float) -> list[str]:
    """A sentence on a periodic cell with a total charge (e), if it has one."""
    if abs(total) < 1e-9:
        return []
    return [
        f"the cell has a charge of {total:g} e: a uniform background makes it neutral, so that energies of cells of "
        "different size or charge do not compare"
    ]


class Coulomb:
    """The matrix E of one configuration.

    widths_A : (N,) or a number, widths sigma of the Gaussian charges; 0 for points
    neighbors : list of at least `cutoff_A`; a cluster without screening does not look at it
    cutoff_A : end of the real-space sum, Å, from which the width eta follows
    coulomb : k_e = e^2 / (4 pi eps_0), eV Å
    precision : where both sums end, relative to the largest terms
    waves : how waves are summed, to the same precision: "plain", one by one; "mesh", see `mesh`; "auto", the one of
        fewer operations
    Raises InputError for a system that is periodic in one or two directions, or for a cutoff too short for the widths.
    """

    def __init__(
        self,
        system: System,
        widths_A: np.ndarray | float,
        neighbors: NeighborList,
        cutoff_A: float,
        coulomb: float = COULOMB_EV_A,
        screening: Screening | None = None,
        precision: float = PRECISION,
        waves: str = "auto",
        source: str = "charges",
    ):
        if waves not in WAVES:
            raise InputError(f"{source}: unknown way {waves!r} to sum waves; known: {', '.join(WAVES)}")
        check_boundaries(system, source)
        self.system, self.neighbors, self.coulomb, self.screening = system, neighbors, coulomb, screening
        self.widths = np.broadcast_to(np.asarray(widths_A, float), (len(system),))
        self.cutoff = float(cutoff_A)
        self._assembly = Assembly(system, neighbors)
        self._order = neighbors.order
        self._squares = np.ascontiguousarray(np.square(self.widths)[self._order])
        inverse = np.divide(1.0, self.widths, where=self.widths > 0.0, out=np.zeros(len(system)))
        self.self_potential = coulomb / math.sqrt(math.pi) * inverse  # (N,) eV/e^2: E_ii of a single Gaussian
        self._lattice: _Lattice | Mesh | None = None
        if system.pbc.all():
            least = real_space_cutoff(float(self.widths.max()), precision, 0.0)
            if self.cutoff < least * (1.0 - 1e-12):
                raise InputError(
                    f"{source}: Gaussians as wide as {self.widths.max():g} Å need a real-space cutoff of {least:.3g} "
                    f"Å, found {self.cutoff:g} Å"
                )
            root = math.sqrt(-math.log(precision))
            self.eta = self.cutoff / (math.sqrt(2.0) * root)
            self._k_max = math.sqrt(2.0) * root / self.eta
            self._volume = volume(system.cell)
            self._lattice = self._make_lattice(waves, precision)

    def _plain(self) -> "_Lattice":
        if isinstance(self._lattice, _Lattice):
            return self._lattice
        return _Lattice(self.system.cell, self._assembly.geometry[0], self.eta, self._k_max)

    def _make_lattice(self, waves: str, precision: float) -> "_Lattice | Mesh":
        cell, n = self.system.cell, len(self.system)
        if waves == "plain":
            return self._plain()
        reduced = minkowski_reduce(cell)[0]  # without skew, points of the mesh are evenly dense
        chosen = plan(reduced, n, self.eta, precision)
        n_waves = self._volume * self._k_max**3 / (12.0 * math.pi**2)
        if waves == "auto" and _WAVE_NS * n * n_waves < chosen.cost_ns:
            return self._plain()
        return Mesh(reduced, self._assembly.geometry[0], self.eta, chosen)

    # --- products ------------------------------------------------------------------------------------------

    def potential(self, charges: np.ndarray, rough: bool = False) -> np.ndarray:
        """(N,) eV/e: E q, the electrostatic potential at the charges (N,) e, their own included.

        rough : to ROUGH of the largest terms, where a mesh is used
        """
        own = self.self_potential * charges
        if self._lattice is None:
            return self._everyone(_NONE, charges).potential + own
        right, near = self._sorted(charges), np.empty(len(charges))
        pairs, first, neighbor = self._pairs, self.neighbors.first, self.neighbors.j
        bounds = self._assembly.bounds
        run_chunks(
            lambda c: times_pairs(bounds[c], bounds[c + 1], first, neighbor, pairs, right, near), len(bounds) - 1
        )
        waves = (self._coarse if rough else self._lattice).potential(right)
        return self.coulomb * (self._assembly.unsorted(near + waves) - self._level(charges)) + own

    @property
    def has_mesh(self) -> bool:
        """Whether waves are those of a mesh, so that rough products cost less."""
        return isinstance(self._lattice, Mesh)

    @cached_property
    def _coarse(self) -> "_Lattice | Mesh":
        """The waves to ROUGH."""
        if not isinstance(self._lattice, Mesh):
            return self._plain()
        reduced = minkowski_reduce(self.system.cell)[0]
        chosen = plan(reduced, len(self.system), self.eta, ROUGH)
        return Mesh(reduced, self._assembly.geometry[0], self.eta, chosen)

    @cached_property
    def _pairs(self) -> np.ndarray:
        """What listed pairs add to the matrix, without k_e, in the order of the list."""
        assembly = self._assembly
        pairs, alpha = np.empty(len(self.neighbors.j)), 1.0 / (math.sqrt(2.0) * self.eta)

        def work(c):
            fill_pairs(
                assembly.bounds[c], assembly.bounds[c + 1], *assembly.geometry, self._squares, alpha, self.cutoff, pairs
            )

        run_chunks(work, assembly.n_chunks)
        return pairs

    def _level(self, charges: np.ndarray) -> np.ndarray:
        """(N,) 1/Å: what the background, and the sum's own Gaussians, take from the potential."""
        squares, background = np.square(self.widths), 2.0 * math.pi / self._volume
        level = background * ((self.eta**2 - squares) * charges.sum() - np.sum(squares * charges))
        return level + 2.0 / (math.sqrt(2.0 * math.pi) * self.eta) * charges

    def product(self, left: np.ndarray, right: np.ndarray, alike: bool = False) -> Product:
        """E right, and the forces and virial of the energy left E right (N,) e; alike : left is half of right."""
        own = self.self_potential * right
        if self._lattice is None:
            pairs = self._everyone(left, right)
            return pairs._replace(potential=pairs.potential + own)
        pairs = self._near(EWALD, 0.0, self.cutoff, left, right)
        potential, forces, strain = self._lattice.product(self._sorted(left), self._sorted(right), alike)
        level = self._level(right)
        own_gaussians = 2.0 / (math.sqrt(2.0 * math.pi) * self.eta) * right
        strain[np.diag_indices(3)] += np.sum(left * (level - own_gaussians))  # that of the background goes with 1/V
        own = own - self.coulomb * level
        return Product(
            pairs.potential + self.coulomb * self._assembly.unsorted(potential) + own,
            pairs.forces + self.coulomb * self._assembly.unsorted(forces),
            pairs.virial - self.coulomb * strain,
        )

    def energy(self, charges: np.ndarray) -> Product:
        """E q, and the forces and virial of 1/2 q E q, for half of what `product` costs."""
        return self.product(0.5 * charges, charges, alike=True)

    def screened(self, charges: np.ndarray) -> Product:
        """What screening adds, as a potential S q and the forces and virial of 1/2 q S q.

        It takes away the energies of the Gaussians with themselves and, where there is a screening, those of near
        pairs.
        """
        own = -self.self_potential * charges
        if self.screening is None:
            return Product(own, np.zeros((len(own), 3)), np.zeros((3, 3)))
        s = self.screening
        pairs = self._near(s.shape, s.inner_A, s.outer_A, 0.5 * charges, charges)
        return pairs._replace(potential=pairs.potential + own)

    def matrix(self) -> np.ndarray:
        """(N, N) eV/e^2: E."""
        n, order = len(self.system), self._order
        matrix = np.zeros((n, n))
        if self._lattice is None:
            self._everyone(_NONE, np.zeros(n), matrix)
        else:
            self._near(EWALD, 0.0, self.cutoff, _NONE, np.zeros(n), matrix)
            self._plain().add_matrix(matrix)
            background = 2.0 * math.pi / self._volume
            matrix -= background * (self.eta**2 - self._squares[:, None] - self._squares[None, :])
            matrix[np.diag_indices(n)] -= 2.0 / (math.sqrt(2.0 * math.pi) * self.eta)
        out = np.empty_like(matrix)
        out[np.ix_(order, order)] = matrix * self.coulomb
        out[np.diag_indices(n)] += self.self_potential
        return out

    def _sorted(self, charges: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(charges[self._order], float) if len(charges) else _NONE

    def _near(self, shape, inner, outer, left, right, matrix=_NO_MATRIX) -> Product:
        """Pairs of the list."""
        assembly = Assembly(self.system, self.neighbors)
        left, right, potential = self._sorted(left), self._sorted(right), np.zeros(len(self.system))
        alpha = 1.0 / (math.sqrt(2.0) * self.eta) if shape == EWALD else 0.0

        def work(c):
            near(
                assembly.bounds[c], assembly.bounds[c + 1], *assembly.geometry, self._squares, alpha, shape, inner,
                outer, left, right, potential, matrix, assembly.forces[c], assembly.strain[c],
                assembly.atomic_virials[c], assembly.clashes[c:],
            )  # fmt: skip

        assembly.run(work)
        return self._collected(assembly, potential)

    def _everyone(self, left, right, matrix=_NO_MATRIX) -> Product:
        """All pairs of a cluster."""
        assembly = Assembly(self.system, self.neighbors)
        left, right, potential = self._sorted(left), self._sorted(right), np.zeros(len(self.system))

        def work(c):
            everyone(
                assembly.bounds[c], assembly.bounds[c + 1], assembly.geometry[0], self._squares, left, right, potential,
                matrix, assembly.forces[c], assembly.strain[c],
            )  # fmt: skip

        assembly.run(work)
        return self._collected(assembly, potential)

    def _collected(self, assembly: Assembly, potential: np.ndarray) -> Product:
        k = self.coulomb
        forces, strain = assembly.forces.sum(axis=0), assembly.strain.sum(axis=0)
        return Product(k * assembly.unsorted(potential), k * assembly.unsorted(forces), -k * strain)


class _Lattice:
    """The waves of a crystal: half of those with |k| <= k_max, in columns of the same first two indices.

    positions (N, 3) Å and all charges are in the order of the neighbour list; eta, Å, is the width of the Ewald sum.
    """

    def __init__(self, cell: np.ndarray, positions: np.ndarray, eta: float, k_max: float):
        reduced, _ = minkowski_reduce(cell)  # a skewed cell would have many indices for the same waves
        inverse = np.linalg.inv(reduced)
        self.square, self._n = eta * eta, len(positions)
        most = np.floor(k_max * np.linalg.norm(reduced, axis=1) / (2.0 * math.pi) + 1e-9).astype(int)
        index = np.stack(
            np.meshgrid(np.arange(most[0] + 1), *(np.arange(-m, m + 1) for m in most[1:]), indexing="ij"), axis=-1
        ).reshape(-1, 3)
        first, second, third = index.T
        index = index[(first > 0) | ((first == 0) & ((second > 0) | ((second == 0) & (third > 0))))]
        k = 2.0 * math.pi * (index @ inverse.T)
        squares = np.square(k).sum(axis=1)
        index, k, squares = (a[squares <= k_max * k_max] for a in (index, k, squares))
        self.weight = 8.0 * math.pi / volume(cell) * np.exp(-0.5 * self.square * squares) / squares
        self.index, self.k = np.ascontiguousarray(index, np.int64), np.ascontiguousarray(k)
        new = np.ones(len(index), bool)
        new[1:] = (np.diff(index[:, :2], axis=0) != 0).any(axis=1)
        self._columns = np.ascontiguousarray(self.index[new, :2])
        self._start = np.append(np.flatnonzero(new), len(index)).astype(np.int64)
        self._third = np.ascontiguousarray(self.index[:, 2])
        self._fraction = [(positions * row).sum(axis=1) for row in inverse.T]  # without BLAS, see `system.transformed`
        angles = [2.0 * math.pi * np.outer(np.arange(m + 1), x) for m, x in zip(most, self._fraction, strict=True)]
        self._cosines, self._sines = tuple(map(np.cos, angles)), tuple(map(np.sin, angles))
        n_chunks = max(1, min(_MOST_CHUNKS, len(index) // _WAVES_PER_CHUNK))
        self._bounds = np.searchsorted(self._start, np.linspace(0, len(index), n_chunks + 1).astype(np.int64))

    def potential(self, charges: np.ndarray) -> np.ndarray:
        """(N,) of charges (N,); without k_e."""
        return self.product(_NONE, charges)[0]

    def product(
        self, left: np.ndarray, right: np.ndarray, alike: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Potential (N,) of `right`, forces (N, 3) and strain derivative (3, 3) of left E right; without k_e."""
        n_chunks = len(self._bounds) - 1
        potential, strain = np.zeros((n_chunks, self._n)), np.zeros((n_chunks, 3, 3))
        forces = np.zeros((n_chunks, 3, self._n if len(left) else 0))

        def work(c):
            waves(
                self._bounds[c], self._bounds[c + 1], self._columns, self._start, self._third, self.k, self.weight,
                self.square, self._cosines, self._sines, left, right, potential[c], forces[c], strain[c],
            )  # fmt: skip

        run_chunks(work, n_chunks)
        total = forces.sum(axis=0).T if len(left) else np.zeros((self._n, 3))
        return potential.sum(axis=0), total, strain.sum(axis=0)

    def add_matrix(self, matrix: np.ndarray) -> None:
        """Add the waves' part, without k_e, to the matrix (N, N)."""
        with one_blas_thread():
            for begin in range(0, len(self.index), _WAVES_PER_BLOCK):
                block = slice(begin, begin + _WAVES_PER_BLOCK)
                angle = (
                    2.0
                    * math.pi
                    * sum(np.outer(x, index) for x, index in zip(self._fraction, self.index[block].T, strict=True))
                )
                for part in (np.cos, np.sin):
                    rows = part(angle)
                    matrix += (rows * self.weight[block]) @ rows.T
