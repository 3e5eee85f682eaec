"""Normal modes: all of a small system, or the lowest of a large one without its Hessian; their thermal properties.

Modes are eigenvectors of the dynamical matrix D = M^-1/2 H M^-1/2, with translations (and of an isolated molecule,
rotations) projected out. Lowest modes: A. V. Knyazev, SIAM J. Sci. Comput. 23, 517 (2001) (LOBPCG), preconditioned
with a network of springs; each step takes one product with the Hessian for every mode wanted.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.system import System
from mdnnp.base.errors import InputError, PhysicsError
from mdnnp.base.units import ACCELERATION_A_PER_FS2, BOLTZMANN_EV_PER_K
from mdnnp.landscape.preconditioner import Springs
from mdnnp.potentials.interface import Potential
from mdnnp.potentials.second_derivatives import dynamical_matrix, hessian

THZ_IN_PER_CM = 1e10 / 299792458.0  # 1 THz as a wavenumber
PLANCK_EV_PER_THZ = 4.135667696e-3  # h in eV/THz (2019 SI, exact to its digits)
_EXTRA = 4  # vectors beside those wanted: the last ones converge slowly


class Modes(NamedTuple):
    """Normal modes, lowest first.

    frequencies_THz : (n,); negative stands for imaginary
    vectors : (n, N, 3) eigenvectors of the dynamical matrix, of length 1; displacements are vectors / sqrt(mass)
    residual_THz : (n,) error bound of each frequency (0 for a full diagonalisation)
    products : how many products with the Hessian were made
    """

    frequencies_THz: np.ndarray
    vectors: np.ndarray
    residual_THz: np.ndarray
    products: int


def frequencies_THz(squares: np.ndarray) -> np.ndarray:
    """Frequencies of eigenvalues of the dynamical matrix, eV/(Å^2 u); negative for imaginary ones."""
    return np.sign(squares) * np.sqrt(np.abs(squares) * ACCELERATION_A_PER_FS2) / (2 * np.pi) * 1000.0


def rigid_motions(system: System, masses: np.ndarray) -> np.ndarray:
    """(3N, k) orthonormal mass-weighted translations, and rotations if no direction is periodic."""
    root = np.sqrt(masses)[:, None]
    columns = [(root * axis).ravel() for axis in np.eye(3)]
    if not system.pbc.any() and len(system) > 1:
        centred = system.positions - np.average(system.positions, axis=0, weights=masses)
        columns += [(root * np.cross(axis, centred)).ravel() for axis in np.eye(3)]
    basis, sizes, _ = np.linalg.svd(np.array(columns).T, full_matrices=False)
    return basis[:, sizes > 1e-8 * sizes[0]]  # a linear molecule has two rotations


def all_modes(potential: Potential, system: System, masses: np.ndarray) -> Modes:
    """All 3N - 3 modes (3N - 6 of a molecule, 3N - 5 if it is linear), by diagonalisation. masses (N,), u.

    Raises InputError for one atom, which has none.
    """
    if len(system) == 1:
        raise InputError(
            "one atom has no vibrations, only translations; if it is the cell of a crystal, give a supercell "
            "(--supercell A B C)"
        )
    rigid = rigid_motions(system, masses)
    matrix = dynamical_matrix(hessian(potential, system), masses)
    # Rigid motions are moved out of the way, to above all others.
    keep = np.eye(len(matrix)) - rigid @ rigid.T
    top = 2.0 * np.abs(matrix).sum(axis=1).max() + 1.0
    values, vectors = np.linalg.eigh(keep @ matrix @ keep + top * rigid @ rigid.T)
    n = len(matrix) - rigid.shape[1]
    return Modes(frequencies_THz(values[:n]), vectors[:, :n].T.reshape(n, -1, 3), np.zeros(n), len(matrix))


def lowest_modes(
    potential: Potential,
    system: System,
    masses: np.ndarray,
    n_modes: int,
    *,
    tolerance_THz: float = 1e-3,
    most_steps: int = 300,
    seed: int = 0,
    each: Callable[[int], None] = lambda products: None,
) -> Modes:
    """The lowest `n_modes` modes, from products with the Hessian alone; memory is some dozen vectors for each mode.

    masses : (N,) u; tolerance_THz : error of a frequency at 1 THz (eigenvalues converge to the same absolute error)
    seed : of the random start; each : called with the number of products after each of them
    Raises InputError if so many modes are too many for the method, PhysicsError if they do not converge.
    """
    from scipy.sparse.linalg import LinearOperator, lobpcg

    n = len(system)
    rigid = rigid_motions(system, masses)
    block = n_modes + _EXTRA
    most = (3 * n - rigid.shape[1]) // 5 - _EXTRA
    if not 1 <= n_modes <= most:
        would_do = f"1 to {most} are possible" if most > 0 else f"this is not possible for {n} atoms"
        raise InputError(
            f"{n_modes} modes of {n} atoms cannot be computed iteratively ({would_do}); ask for all modes instead"
        )
    neighbors = potential.make_lists().update(system)
    root, products = np.sqrt(masses)[:, None], 0
    springs = Springs(system, potential.cutoff, np.ones(n, bool))

    def apply(columns):
        nonlocal products
        out = np.empty(columns.shape)
        for k, column in enumerate(columns.T):
            v = column.reshape(n, 3) / root
            out[:, k] = (potential.hessian_vector_product(system, v, neighbors) / root).ravel()
            products += 1
            each(products)
        return out

    def precondition(columns):
        return np.stack([(springs.solve(c.reshape(n, 3) * root) * root).ravel() for c in columns.T], axis=1)

    def operator(function):
        return LinearOperator(
            (3 * n, 3 * n), lambda x: function(x.reshape(-1, 1)).ravel(), matmat=function, dtype=float
        )

    unit = (2 * np.pi / 1000.0) ** 2 / ACCELERATION_A_PER_FS2  # eigenvalue at 1 THz
    start = np.random.default_rng(seed).normal(size=(3 * n, block))
    start = precondition(start - rigid @ (rigid.T @ start))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the extra vectors, which need not converge
        values, vectors = _search(
            lobpcg, operator(apply), operator(precondition), start, rigid, n_modes, unit * 2 * tolerance_THz, most_steps
        )
    residual = np.linalg.norm(apply(vectors) - vectors * values, axis=0)
    found = frequencies_THz(values)
    # an eigenvalue is at most so far off; of a converged one the error is of second order
    bounds = residual / unit / (2.0 * np.maximum(np.abs(found), 1e-3))
    if (residual > unit * 4 * tolerance_THz).any():
        raise PhysicsError(
            f"the lowest modes have not converged after {products} products; ask for more or fewer modes, or a larger "
            "tolerance"
        )
    return Modes(found, vectors.T.reshape(-1, n, 3), bounds, products)


def _search(lobpcg, matrix, preconditioner, start, rigid, n_modes, wanted, most_steps):
    """Eigenvalues and vectors (3N, n_modes); in rounds, as only those wanted must converge."""
    vectors = start
    for _ in range(-(-most_steps // 10)):
        values, vectors = lobpcg(matrix, vectors, M=preconditioner, Y=rigid, tol=wanted, maxiter=10, largest=False)
        order = np.argsort(values)
        values, vectors = values[order], vectors[:, order]
        chosen = vectors[:, :n_modes]
        if (np.linalg.norm(matrix @ chosen - chosen * values[:n_modes], axis=0) <= wanted).all():
            break
    return values[:n_modes], vectors[:, :n_modes]


def animate(system: System, masses: np.ndarray, vector: np.ndarray, amplitude_A: float = 0.3, n_frames: int = 20):
    """Systems of one period of a mode, `vector` (N, 3); the atom that moves most moves by `amplitude_A`."""
    move = vector / np.sqrt(masses)[:, None]
    move = move * (amplitude_A / np.sqrt(np.square(move).sum(axis=1).max()))
    return [
        system._replace(positions=system.positions + np.sin(2 * np.pi * k / n_frames) * move) for k in range(n_frames)
    ]


class Thermal(NamedTuple):
    """Harmonic oscillators at temperatures (T,) K: free and internal energy eV, entropy and heat capacity eV/K."""

    temperature_K: np.ndarray
    free_energy_eV: np.ndarray
    energy_eV: np.ndarray
    entropy_eV_per_K: np.ndarray
    heat_capacity_eV_per_K: np.ndarray


def thermal(modes_THz: np.ndarray, temperatures_K: np.ndarray) -> Thermal:
    """Sums over harmonic oscillators of the frequencies (n,) THz; zero-point energy included.

    Raises PhysicsError for imaginary frequencies, which have no harmonic free energy.
    """
    if (modes_THz <= 0.0).any():
        raise PhysicsError(
            f"{(modes_THz <= 0).sum()} frequencies are imaginary or zero (lowest: {modes_THz.min():.3f} THz): this is "
            "not a minimum; relax the structure first"
        )
    quantum = PLANCK_EV_PER_THZ * modes_THz
    t = np.asarray(temperatures_K, dtype=float)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        x = quantum / (BOLTZMANN_EV_PER_K * t[:, None])
        occupation = np.where(x < 700, 1.0 / np.expm1(np.minimum(x, 700)), 0.0)
        heat = np.where(x < 700, x**2 * occupation * (occupation + 1.0), 0.0)
        loss = np.where(x < 700, np.log1p(-np.exp(-np.minimum(x, 700))), 0.0)
    free = 0.5 * quantum.sum() + np.where(t > 0, BOLTZMANN_EV_PER_K * t * loss.sum(axis=1), 0.0)
    energy = 0.5 * quantum.sum() + (quantum * occupation).sum(axis=1)
    entropy = np.divide(energy - free, t, out=np.zeros_like(t), where=t > 0)
    return Thermal(t, free, energy, entropy, BOLTZMANN_EV_PER_K * heat.sum(axis=1))
