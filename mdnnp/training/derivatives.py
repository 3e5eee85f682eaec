"""Energies, forces and stress of stored structures, and their exact derivatives by the networks' weights.

For one network with z_0 = G, a_l = b_l + z_{l-1} W_l, z_l = f_l(a_l), E = z_L, and a direction u in the space of G,
the tangents are a'_l = z'_{l-1} W_l, z'_l = f_l' a'_l, z'_0 = u. By reverse differentiation, from the output down,

    d_l = dE/da_l = f_l' (W_{l+1} d_{l+1})                         dE/dW_l  = z_{l-1} (x) d_l
    t_l = dE'/da_l = f_l' (W_{l+1} t_{l+1}) + f_l'' a'_l (W_{l+1} d_{l+1})
                                                                   dE'/dW_l = z'_{l-1} (x) d_l + z_{l-1} (x) t_l

(B. A. Pearlmutter, Neural Comput. 6, 147 (1994)). With u = dG_i/dr_k the sum of -E' over centres i is the force on
atom k, with u = dG_i/d(strain) the sum of E' is the strain derivative: fixed symmetry functions need no second
derivatives.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mdnnp.base.compiled.jit import njit, njit_fast, vectorize_freely
from mdnnp.potentials.hdnnp.networks import Network
from mdnnp.training.descriptor_store import Part
from mdnnp.training.network_inputs import Inputs


class Predictions(NamedTuple):
    """energies (S,) eV without offsets; forces (A, 3) eV/Å; strain (S, 6) eV, dE/d(strain): xx yy zz yz xz xy."""

    energies: np.ndarray
    forces: np.ndarray
    strain: np.ndarray


class Layout:
    """The places of the weights of all networks in one vector: by element and layer, matrix (rows first), then biases.

    sizes : per element, the number of nodes of every layer, inputs and output included
    activations : letters of the layers, as `mlp.Network` has them; the same for all elements
    """

    def __init__(self, sizes: Sequence[Sequence[int]], activations: str):
        self.sizes, self.activations = [tuple(s) for s in sizes], activations
        self.start, n = [], 0
        for own in self.sizes:
            starts = []
            for n_in, n_out in pairwise(own):
                starts.append((n, n + n_in * n_out))
                n += (n_in + 1) * n_out
            self.start.append(starts)
        self.n_parameters = n

    def matrices(self, e: int, theta: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Weight matrices and biases of element number `e`, views of `theta`."""
        weights, biases = [], []
        for (w, b), n_in, n_out in zip(self.start[e], self.sizes[e][:-1], self.sizes[e][1:], strict=True):
            weights.append(theta[w:b].reshape(n_in, n_out))
            biases.append(theta[b : b + n_out])
        return weights, biases

    def networks(self, theta: np.ndarray) -> list[Network]:
        """The networks with these weights, in copies."""
        out = []
        for e in range(len(self.sizes)):
            weights, biases = self.matrices(e, theta)
            out.append(Network(tuple(w.copy() for w in weights), tuple(b.copy() for b in biases), self.activations))
        return out

    def initial(self, rng: np.random.Generator) -> np.ndarray:
        """Random weights: each node's input of variance one for inputs of variance one (LeCun), no biases."""
        theta = np.zeros(self.n_parameters)
        for e, own in enumerate(self.sizes):
            weights, biases = self.matrices(e, theta)
            for n_in, w in zip(own[:-1], weights, strict=True):
                w[:] = rng.standard_normal(w.shape) / np.sqrt(n_in)
            for b in biases[:-1]:
                b[:] = rng.uniform(-1.0, 1.0, b.shape)
        return theta


def activation_derivatives(letter: str, a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f, f' and f'' at a; for l and the letters of `networks.TRAINABLE`."""
    if letter == "l":
        return a, np.ones_like(a), np.zeros_like(a)
    if letter == "t":
        y = np.tanh(a)
        slope = 1.0 - y * y
        return y, slope, -2.0 * y * slope
    if letter == "s":
        y = 0.5 * (1.0 + np.tanh(0.5 * a))
        slope = y * (1.0 - y)
        return y, slope, slope * (1.0 - 2.0 * y)
    if letter == "p":
        s = 0.5 * (1.0 + np.tanh(0.5 * a))
        return np.logaddexp(0.0, a), s, s * (1.0 - s)
    if letter == "g":
        y = np.exp(-0.5 * a * a)
        return y, -a * y, (a * a - 1.0) * y
    raise ValueError(f"activation {letter!r} is not smooth, or unknown")


class CenterPass(NamedTuple):
    """What one pass through a network leaves for every centre; index l - 1 belongs to layer l.

    z : values of the nodes, inputs first; slope, curvature : f', f''; back : W_{l+1} d_{l+1}; d : dE/da_l
    """

    energies: np.ndarray
    gradient: np.ndarray
    z: list[np.ndarray]
    slope: list[np.ndarray]
    curvature: list[np.ndarray]
    back: list[np.ndarray]
    d: list[np.ndarray]


def center_pass(
    values: np.ndarray, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray], activations: str
) -> CenterPass:
    """Energies (n,) of inputs (n, f), their gradients (n, f), and all intermediate values."""
    z, slope, curvature = [values], [], []
    for w, b, letter in zip(weights, biases, activations, strict=True):
        y, first, second = activation_derivatives(letter, z[-1] @ w + b)
        z.append(y)
        slope.append(first)
        curvature.append(second)
    back, d = [], []
    down = np.ones_like(z[-1])
    for w, first in zip(reversed(weights), reversed(slope), strict=True):
        back.append(down)
        d.append(first * down)
        down = d[-1] @ w.T
    return CenterPass(z[-1][:, 0], down, z, slope, curvature, back[::-1], d[::-1])


def mapped(part: Part, inputs: Inputs) -> Part:
    """The part with the networks' inputs in place of the functions."""
    matrix = inputs.matrix.astype(part.pair_gradient.dtype)
    return part._replace(
        values=part.values @ inputs.matrix + inputs.shift,
        pair_gradient=_times(part.pair_gradient, matrix),
        strain=_times(part.strain, matrix),
    )


def _times(u: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """u (m, c, f) times matrix (f, n), as one product of matrices."""
    return (u.reshape(-1, u.shape[2]) @ matrix).reshape(*u.shape[:2], matrix.shape[1])


def predict(parts: Sequence[Part], layout: Layout, theta: np.ndarray, want_strain: bool) -> Predictions:
    """Energies, forces and strain derivatives of the structures of (mapped) `parts`, one part per element."""
    n_structures, n_atoms = len(parts[0].structure_first) - 1, len(parts[0].pair_first) - 1
    energies, forces, strain = np.zeros(n_structures), np.zeros((n_atoms, 3)), np.zeros((n_structures, 6))
    for e, part in enumerate(parts):
        if not len(part.values):
            continue
        passed = center_pass(part.values, *layout.matrices(e, theta), layout.activations)
        energies += _segment_sums(passed.energies, part.structure_first)
        _contract(part.pair_first, part.pair_center, part.pair_gradient, passed.gradient, -1.0, forces)
        if want_strain:
            centers = np.arange(len(part.values))
            _contract(part.structure_first, centers, part.strain, passed.gradient, 1.0, strain)
    return Predictions(energies, forces, strain)


def jacobian(
    parts: Sequence[Part], layout: Layout, theta: np.ndarray, want_forces: bool, want_strain: bool
) -> tuple[Predictions, np.ndarray]:
    """Predictions and their derivatives by the weights: (S + 3 A + 6 S, parameters), in the derivatives' precision.

    Rows are energies, then forces and strain derivatives where wanted, component by component.
    """
    n_structures, n_atoms = len(parts[0].structure_first) - 1, len(parts[0].pair_first) - 1
    dtype = parts[0].pair_gradient.dtype
    ends = np.cumsum([n_structures, 3 * n_atoms if want_forces else 0, 6 * n_structures if want_strain else 0])
    rows = np.zeros((ends[-1], layout.n_parameters), dtype)
    energies, forces, strain = np.zeros(n_structures), np.zeros((n_atoms, 3)), np.zeros((n_structures, 6))
    for e, part in enumerate(parts):
        if not len(part.values):
            continue
        weights, biases = layout.matrices(e, theta)
        p = center_pass(part.values, weights, biases, layout.activations)
        energies += _segment_sums(p.energies, part.structure_first)
        for (w, b), z, d in zip(layout.start[e], p.z[:-1], p.d, strict=True):
            for s, (begin, end) in enumerate(zip(part.structure_first[:-1], part.structure_first[1:], strict=True)):
                rows[s, w:b] = (z[begin:end].T @ d[begin:end]).ravel()
                rows[s, b : b + d.shape[1]] = d[begin:end].sum(axis=0)
        small = CenterPass(*(_cast(v, dtype) for v in p))
        if want_forces:
            out = rows[ends[0] : ends[1]].reshape(n_atoms, 3, -1)
            _contract(part.pair_first, part.pair_center, part.pair_gradient, p.gradient, -1.0, forces)
            _tangent_rows(part.pair_first, part.pair_center, part.pair_gradient, small, weights, layout, e, -1.0, out)
        if want_strain:
            out = rows[ends[1] : ends[2]].reshape(n_structures, 6, -1)
            centers = np.arange(len(part.values))
            _contract(part.structure_first, centers, part.strain, p.gradient, 1.0, strain)
            _tangent_rows(part.structure_first, centers, part.strain, small, weights, layout, e, 1.0, out)
    return Predictions(energies, forces, strain), rows


def gradient(
    parts: Sequence[Part], layout: Layout, theta: np.ndarray, upstream: Predictions, want_strain: bool
) -> np.ndarray:
    """d(loss)/d(weights) (P,) from its derivatives `upstream` by energies, forces and strain derivatives.

    Needs one direction for each centre, G' = sum of dG/dr times the derivatives by the forces, not one for each pair.
    """
    out = np.zeros(layout.n_parameters)
    for e, part in enumerate(parts):
        if not len(part.values):
            continue
        weights, biases = layout.matrices(e, theta)
        p = center_pass(part.values, weights, biases, layout.activations)
        along = np.zeros_like(part.values)
        _spread(part.pair_first, part.pair_center, part.pair_gradient, -upstream.forces, along)
        if want_strain:
            _spread(part.structure_first, np.arange(len(along)), part.strain, upstream.strain, along)
        by_energy = np.repeat(upstream.energies, np.diff(part.structure_first))[:, None]
        _add_center_gradients(p, weights, layout.start[e], along, by_energy, out)
    return out


def _add_center_gradients(p: CenterPass, weights, starts, along, by_energy, out):
    """Add sum_i d(by_energy_i E_i + E'_i)/d(weights) for the directions `along` (n, f) in G."""
    tangent, moved = [along], []
    for w, slope in zip(weights, p.slope, strict=True):
        moved.append(tangent[-1] @ w)
        tangent.append(moved[-1] * slope)
    down = np.zeros_like(p.z[-1])
    for layer in reversed(range(len(weights))):
        t = down * p.slope[layer] + moved[layer] * p.curvature[layer] * p.back[layer]
        both = t + by_energy * p.d[layer]
        w, b = starts[layer]
        out[w:b] += (tangent[layer].T @ p.d[layer] + p.z[layer].T @ both).ravel()
        out[b : b + both.shape[1]] += both.sum(axis=0)
        down = t @ weights[layer].T


@njit
def _spread(first, center, u, weights, out):
    """Add sum over the pairs of row k of u_m . weights[k] to out[center_m]; u (M, C, f), weights (K, C)."""
    for k in range(weights.shape[0]):
        for m in range(first[k], first[k + 1]):
            for axis in range(weights.shape[1]):
                _add_multiple(weights[k, axis], u[m, axis], out[center[m]])


@njit_fast
def _add_multiple(factor, a, b):
    vectorize_freely()
    for s in range(a.size):
        b[s] += factor * a[s]


def _cast(value, dtype):
    return [v.astype(dtype) for v in value] if isinstance(value, list) else value.astype(dtype)


def _segment_sums(values, first):
    total = np.concatenate([[0.0], np.cumsum(values)])
    return total[first[1:]] - total[first[:-1]]


def add_tangent_rows(
    first: np.ndarray,
    center: np.ndarray,
    u: np.ndarray,
    p: CenterPass,
    weights: Sequence[np.ndarray],
    layout: Layout,
    e: int,
    out: np.ndarray,
) -> None:
    """Take the derivatives by the weights of sum over the pairs of row k of u_m . gradient[center_m] off out (K, C, P).

    u (M, C, f), e : number of the element, as in `jacobian`
    """
    rows = np.zeros(out.shape, u.dtype)
    small = CenterPass(*(_cast(v, u.dtype) for v in p))
    _tangent_rows(first, center, u, small, weights, layout, e, -1.0, rows)
    out += rows


def _tangent_rows(first, center, u, p: CenterPass, weights, layout: Layout, e, sign, out):
    """Add sign * dE'/d(weights), summed over the pairs first[k] .. first[k + 1] - 1, to row k of `out` (K, C, P).

    u (M, C, f): directions of the pairs; center (M,): their centres
    """
    dtype = u.dtype
    tangent, moved = [u], []  # z'_l and a'_l
    for w, slope in zip(weights, p.slope, strict=True):
        a = _times(tangent[-1], w.astype(dtype))
        moved.append(a)
        tangent.append(_scaled_rows(center, a, slope))
    bottom = None  # t_{l+1}
    for layer in reversed(range(len(weights))):
        w, b = layout.start[e][layer]
        z, d = p.z[layer], p.d[layer]
        if layer == len(weights) - 1:
            t = np.zeros_like(moved[layer])
        else:
            t = _times(bottom, weights[layer + 1].T.astype(dtype))
            _bend(center, t, moved[layer], p.slope[layer], p.curvature[layer] * p.back[layer])
        _outer_rows(first, center, tangent[layer], d, z, t, sign, w, b, out)
        bottom = t


@njit
def _contract(first, center, u, gradient, sign, out):
    """Add sign * sum_m u_m . gradient[center_m] over the pairs of row k to out (K, C)."""
    for k in range(out.shape[0]):
        for m in range(first[k], first[k + 1]):
            for axis in range(out.shape[1]):
                out[k, axis] += sign * _dot(u[m, axis], gradient[center[m]])


@njit_fast
def _dot(a, b):
    total = 0.0
    for s in range(a.size):
        total += a[s] * b[s]
    return total


@njit
def _scaled_rows(center, a, slope):
    """a (M, C, h) times slope[center] (M, h)."""
    out = np.empty_like(a)
    for m in range(a.shape[0]):
        for axis in range(a.shape[1]):
            _multiply(a[m, axis], slope[center[m]], out[m, axis])
    return out


@njit_fast
def _multiply(a, b, out):
    vectorize_freely()
    for s in range(a.size):
        out[s] = a[s] * b[s]


@njit
def _bend(center, t, moved, slope, bend):
    """In place: t <- t slope[center] + moved bend[center], all (M, C, h)."""
    for m in range(t.shape[0]):
        for axis in range(t.shape[1]):
            _multiply_add(t[m, axis], moved[m, axis], slope[center[m]], bend[center[m]])


@njit_fast
def _multiply_add(t, moved, slope, bend):
    vectorize_freely()
    for s in range(t.size):
        t[s] = t[s] * slope[s] + moved[s] * bend[s]


@njit
def _outer_rows(first, center, tangent, d, z, t, sign, w, b, out):
    """Add sign * sum_m (tangent_m (x) d_c + z_c (x) t_m), c = center_m, to out[k, :, w:b], and of t to the biases.

    One product of small matrices a row: [tangent, z]^T [d, t].
    """
    n_in, n_out = z.shape[1], d.shape[1]
    most = np.int64(0)
    for k in range(out.shape[0]):
        most = max(most, first[k + 1] - first[k])
    left, right = np.empty((2 * most, n_in), out.dtype), np.empty((2 * most, n_out), out.dtype)
    product = np.empty((n_in, n_out), out.dtype)
    for k in range(out.shape[0]):
        m = first[k + 1] - first[k]
        for axis in range(out.shape[1]):
            row = out[k, axis]
            _gather(first[k], m, axis, center, tangent, d, z, t, sign, left, right)
            np.dot(left[: 2 * m].T, right[: 2 * m], product)
            _add(product.ravel(), row[w:b])
            for q in range(m, 2 * m):
                _add(right[q], row[b : b + n_out])


@njit_fast
def _gather(begin, m, axis, center, tangent, d, z, t, sign, left, right):
    vectorize_freely()
    for q in range(m):
        c = center[begin + q]
        for s in range(z.shape[1]):
            left[q, s] = tangent[begin + q, axis, s]
            left[m + q, s] = z[c, s]
        for h in range(d.shape[1]):
            right[q, h] = sign * d[c, h]
            right[m + q, h] = sign * t[begin + q, axis, h]


@njit_fast
def _add(a, b):
    vectorize_freely()
    for s in range(a.size):
        b[s] += a[s]
