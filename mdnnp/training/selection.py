"""Choosing symmetry functions from a large pool, by data.

The default adds one function after another, always the one that lets a model linear in the functions fit the energies
and forces of the training structures best (orthogonal matching pursuit: S. Chen, S. A. Billings, W. Luo, Int. J.
Control 50, 1873 (1989)). Functions that need further moments or windows count less, because they cost more in a
simulation. Unlike the usual selections it sees what the labels depend on; `analysis/function_selection.py` compares it
with CUR and farthest-point sampling (G. Imbalzano et al., J. Chem. Phys. 148, 241730 (2018)) on held-out structures.

Everything is computed from sums over structures, so the memory does not grow with the data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from ase.data import chemical_symbols
from tqdm import tqdm

from mdnnp.base.errors import InputError
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.functions.descriptors import DEFAULT_CUTOFF_TYPE, Descriptors
from mdnnp.potentials.hdnnp.functions.generate import FunctionSets, pool, shared_work
from mdnnp.training.dataset import LabelledStructure, fit_offsets

METHODS = ("labels", "spread", "cur", "farthest")
MAX_ATOMS = 2000  # more hardly change the choice, and cost time
SHARING = 0.3  # what a function that needs new moments or windows counts, against one that shares them
_FLAT = 1e-6  # functions with a smaller standard deviation carry nothing
_DEPENDENT = 1e-7  # squared share of a function that the chosen ones do not span, below which it is not taken


@dataclass(frozen=True)
class Selection:
    """Functions chosen from a pool.

    functions : by centre, in the potential's order
    order : (centre, function) in the order of choice
    unexplained : (n,) after each choice, share of the labels' (method "labels") or of the pool's ("spread") sum of
        squares that no linear model of the functions so far explains; empty for the other methods
    flat : functions of the pool left out beforehand, as they do not vary
    """

    functions: FunctionSets
    order: tuple[tuple[str, SymmetryFunction], ...]
    unexplained: np.ndarray
    flat: FunctionSets


def choose_functions(
    structures: Sequence[LabelledStructure],
    cutoff_A: float,
    n_functions: int | Mapping[str, int],
    *,
    max_zeta: int = 4,
    cutoff_type: int = DEFAULT_CUTOFF_TYPE,
    progress=None,
) -> FunctionSets:
    """The `n_functions` functions per element, from `pool`, that serve the structures best; see `select_functions`."""
    elements = sorted({int(z) for s in structures for z in np.unique(s.system.numbers)})
    candidates = pool([chemical_symbols[z] for z in elements], cutoff_A, max_zeta=max_zeta)
    selection = select_functions(structures, candidates, n_functions, cutoff_type=cutoff_type, progress=progress)
    return selection.functions


def select_functions(
    structures: Sequence[LabelledStructure],
    candidates: FunctionSets,
    n_functions: int | Mapping[str, int],
    *,
    method: str | None = None,
    sharing: float = SHARING,
    max_atoms: int = MAX_ATOMS,
    cutoff_type: int = DEFAULT_CUTOFF_TYPE,
    cutoff_alpha: float = 0.0,
    progress=None,
) -> Selection:
    """Choose functions from `candidates` (by centre); the same input gives the same choice.

    structures : training structures; of more than max_atoms atoms, some are taken, of all types of configuration
    n_functions : how many per element, or by symbol; fewer come back if no more are independent
    method : "labels" (the default where there are energies or forces), by a linear fit of energies and forces;
        "spread", the subset that spans the values of all candidates best; "cur"; "farthest"
    progress : wraps the structures, to show progress; by default a bar on a terminal
    sharing : from 0 to 1; below 1, functions that need no further moments or windows are preferred
    Raises InputError for settings that make no sense, and for method "labels" without labels.
    """
    quota = _quotas(candidates, n_functions)
    if not 0 < sharing <= 1:
        raise InputError(f"sharing must be above 0 and at most 1, found {sharing}")
    has_labels = any(s.energy_eV is not None or s.forces is not None for s in structures)
    method = method or ("labels" if has_labels else "spread")
    if method not in METHODS:
        raise InputError(f"method of selection: expected one of {', '.join(METHODS)}, found {method!r}")
    if method == "labels" and not has_labels:
        raise InputError("no structure has energies or forces; use method 'spread'")
    sums = collect(sample(structures, max_atoms), Descriptors(candidates, cutoff_type, cutoff_alpha), progress)
    varying = sums.spread() > _FLAT
    if method == "labels":
        gram, target = sums.normal_equations()
        order, rest = _forward(gram, target, varying, sums, quota, sharing)
    else:
        gram = sums.correlation()
        if method == "spread":
            order, rest = _forward(gram, None, varying, sums, quota, sharing)
        else:
            pick = _cur if method == "cur" else _farthest
            order, rest = [], np.empty(0)
            for e, symbol in enumerate(sums.functions):
                own = np.flatnonzero((sums.owner == e) & varying)
                order += [int(own[k]) for k in pick(gram[np.ix_(own, own)], min(quota[symbol], len(own)))]
    named = [(list(sums.functions)[sums.owner[k]], sums.columns[k]) for k in order]
    chosen = {symbol: _sorted(f for s, f in named if s == symbol) for symbol in sums.functions}
    flat = {symbol: tuple(f for f, v in zip(sums.columns, varying, strict=True) if not v and f.center == symbol)
            for symbol in sums.functions}  # fmt: skip
    return Selection(chosen, tuple(named), rest, flat)


def _sorted(functions) -> tuple[SymmetryFunction, ...]:
    return tuple(sorted(functions, key=SymmetryFunction.sort_key))


def _quotas(candidates: FunctionSets, n_functions: int | Mapping[str, int]) -> dict[str, int]:
    wanted = {s: n_functions for s in candidates} if isinstance(n_functions, int) else dict(n_functions)
    if set(wanted) != set(candidates):
        raise InputError(
            f"numbers of functions are given for {', '.join(sorted(wanted))}; the elements are {', '.join(candidates)}"
        )
    for symbol, n in wanted.items():
        if not 1 <= n <= len(candidates[symbol]):
            raise InputError(f"{n} functions of {symbol} cannot be chosen from {len(candidates[symbol])} candidates")
    return wanted


def sample(structures: Sequence[LabelledStructure], max_atoms: int) -> list[LabelledStructure]:
    """Structures of at most about `max_atoms` atoms in all, evenly from every type of configuration."""
    ordered = sorted(range(len(structures)), key=lambda k: (structures[k].config_type, k))
    total = sum(len(s.system) for s in structures)
    n = len(ordered) if total <= max_atoms else max(1, math.floor(len(ordered) * max_atoms / total))
    picks = ((np.arange(n) + 0.5) * len(ordered) / n).astype(int)
    return [structures[k] for k in sorted(ordered[p] for p in picks)]


# ---------------------------------------------------------------------------------------------------------------------
# Sums over structures


@dataclass
class Sums:
    """Sums of products over structures, for all functions of all elements, n in number.

    functions : by centre; columns : all of them in that order; owner : (n,) number of a function's element
    atoms : (elements,); total, product : (n,), (n, n) sums over atoms of G and G G^T, within an element
    energy_gram, force_gram : (n', n') normal equations of the linear model, the columns preceded by one constant per
        element; energies count per atom. energy_target, force_target : (n',); *_square : sum of squares of the labels
    """

    functions: FunctionSets
    columns: tuple[SymmetryFunction, ...]
    owner: np.ndarray
    atoms: np.ndarray
    total: np.ndarray
    product: np.ndarray
    energy_gram: np.ndarray
    energy_target: np.ndarray
    energy_square: float
    force_gram: np.ndarray
    force_target: np.ndarray
    force_square: float

    def spread(self) -> np.ndarray:
        """(n,) standard deviations of the functions over the atoms of their element."""
        n = np.maximum(self.atoms, 1)[self.owner]
        return np.sqrt(np.maximum(np.diag(self.product) / n - (self.total / n) ** 2, 0.0))

    def correlation(self) -> np.ndarray:
        """(n, n) correlations of the functions of the same element; 0 for those that do not vary."""
        n = np.maximum(self.atoms, 1)[self.owner]
        covariance = self.product / n - np.outer(self.total / n, self.total / n)
        covariance[self.owner[:, None] != self.owner] = 0.0
        return _normalized(covariance)

    def normal_equations(self) -> tuple[np.ndarray, np.ndarray]:
        """Gram matrix (n, n), unit diagonal, and right-hand side (n,) of the linear fit, the constants eliminated.

        Energies and forces have the same weight: each is divided by its sum of squares.
        """
        n_elements = len(self.functions)
        gram, target, square = self.energy_gram, self.energy_target, self.energy_square
        constants = np.linalg.pinv(gram[:n_elements, :n_elements], rcond=1e-10)
        across = constants @ gram[:n_elements]
        square = square - target[:n_elements] @ constants @ target[:n_elements]
        gram, target = gram - gram[:, :n_elements] @ across, target - across.T @ target[:n_elements]
        total, right, parts = np.zeros_like(gram), np.zeros_like(target), 0
        for g, t, s, scale in (
            (gram, target, square, self.energy_square),
            (self.force_gram, self.force_target, self.force_square, 0.0),
        ):
            if s > 1e-12 * scale and s > 0:
                total, right, parts = total + g / s, right + t / s, parts + 1
        keep = slice(n_elements, None)
        size = np.sqrt(np.maximum(np.diag(total)[keep], 1e-300))
        return _normalized(total[keep, keep]), right[keep] / size / math.sqrt(max(parts, 1))


def _normalized(matrix: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    return matrix / size[:, None] / size


def collect(structures: Sequence[LabelledStructure], descriptors: Descriptors, progress=None) -> Sums:
    """The sums over `structures`; memory grows with the square of the number of functions, not with the structures."""
    functions = descriptors.functions
    columns = tuple(f for own in functions.values() for f in own)
    owner = np.repeat(np.arange(len(functions)), [len(own) for own in functions.values()])
    n, n_elements = len(columns), len(functions)
    full = n + n_elements
    sums = Sums(
        functions, columns, owner, np.zeros(n_elements), np.zeros(n), np.zeros((n, n)),
        np.zeros((full, full)), np.zeros(full), 0.0, np.zeros((full, full)), np.zeros(full), 0.0,
    )  # fmt: skip
    offsets = fit_offsets(structures)  # large constants would cost digits
    bar = partial(tqdm, desc="candidates", unit="structure", leave=False, delay=1.0, disable=None)
    for structure in (progress or bar)(structures):
        _add(sums, structure, descriptors, offsets)
    return sums


def _add(sums: Sums, structure: LabelledStructure, descriptors: Descriptors, offsets: Mapping[str, float]) -> None:
    system = structure.system
    n_atoms, n_elements = len(system), len(sums.functions)
    edges = descriptors.edges(system)
    energy, force = np.zeros(n_elements + len(sums.columns)), np.zeros((n_atoms * 3, n_elements + len(sums.columns)))
    for e, symbol in enumerate(sums.functions):
        own = np.flatnonzero(sums.owner == e)
        if structure.forces is None:
            values = descriptors.values(system, edges)[symbol]
        else:
            values, gradient = descriptors.summed_gradient(system, symbol, edges)
            force[:, n_elements + own] = -gradient.reshape(-1, len(own))
        sums.atoms[e] += len(values)
        sums.total[own] += values.sum(axis=0)
        sums.product[np.ix_(own, own)] += values.T @ values
        energy[e], energy[n_elements + own] = len(values) / n_atoms, values.sum(axis=0) / n_atoms
    if structure.energy_eV is not None:
        label = structure.energy_eV / n_atoms - sum(offsets[s] * energy[e] for e, s in enumerate(sums.functions))
        sums.energy_gram += np.outer(energy, energy)
        sums.energy_target += energy * label
        sums.energy_square += label**2
    if structure.forces is not None:
        label = np.ravel(structure.forces)
        sums.force_gram += force.T @ force
        sums.force_target += force.T @ label
        sums.force_square += float(label @ label)


# ---------------------------------------------------------------------------------------------------------------------
# Ways to choose, given the products (n, n) of the functions, each normalised to 1


def _forward(gram, target, allowed, sums: Sums, quota, sharing) -> tuple[list[int], np.ndarray]:
    """Greedy forward selection by the decrease of the residual sum of squares of `target` (None: of all functions).

    Chosen functions are eliminated from `gram` and `target` as in a pivoted Cholesky factorisation.
    """
    symbols, work = list(sums.functions), [shared_work(f) for f in sums.columns]
    room = np.array([quota[s] for s in symbols])
    own = np.diag(gram).copy()  # squared share of each function that the chosen ones do not span
    factor = np.zeros((len(gram), room.sum()))
    if target is None:
        gram, total = gram.copy(), float(own[allowed].sum())
    else:
        target, total = target.copy(), 1.0
    free, present = allowed.copy(), set()
    order, rest, explained = [], [], 0.0
    bar = tqdm(total=int(room.sum()), desc="choosing", unit="function", leave=False, delay=1.0, disable=None)
    while room.any():
        candidates = np.flatnonzero(free & (own > _DEPENDENT) & (room[sums.owner] > 0))
        if not len(candidates):
            break
        square = target[candidates] ** 2 if target is not None else (gram[np.ix_(allowed, candidates)] ** 2).sum(axis=0)
        gain = square / own[candidates]
        score = gain * np.array([1.0 if work[k] <= present else sharing for k in candidates])
        # The first of those that differ by rounding alone, which may differ between machines.
        best = np.flatnonzero(score >= score.max() * (1 - 1e-9))[0]
        k, t = int(candidates[best]), len(order)
        column = (gram[:, k] if target is None else gram[:, k] - factor[:, :t] @ factor[k, :t]) / math.sqrt(own[k])
        if target is None:
            gram -= np.outer(column, column)
        else:
            target -= column * (target[k] / math.sqrt(own[k]))
        factor[:, t] = column
        own -= column**2
        explained += float(gain[best])
        order.append(k)
        rest.append(max(1.0 - explained / total, 0.0))
        present |= work[k]
        free[k] = False
        room[sums.owner[k]] -= 1
        bar.update()
    bar.close()
    return order, np.array(rest)


def _cur(correlation: np.ndarray, n: int) -> list[int]:
    """CUR: the function of the largest weight in the leading singular vector, what it spans taken away, and so on."""
    from scipy.linalg import eigh

    gram, order = correlation.copy(), []
    for _ in range(n):
        _, vector = eigh(gram, subset_by_index=[len(gram) - 1, len(gram) - 1])
        weight = vector[:, 0] ** 2
        weight[order] = -1.0
        weight[np.diag(gram) < _DEPENDENT] = -1.0
        k = int(np.argmax(weight))
        if weight[k] < 0:
            break
        order.append(k)
        column = gram[:, k].copy()
        gram -= np.outer(column, column / column[k])
    return order


def _farthest(correlation: np.ndarray, n: int) -> list[int]:
    """Farthest-point sampling: the function least like any chosen one, from that most like all."""
    distance = 1.0 - np.abs(correlation)
    order = [int(np.argmin(distance.sum(axis=0)))]
    nearest = distance[order[0]].copy()
    while len(order) < n:
        order.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, distance[order[-1]])
    return order
