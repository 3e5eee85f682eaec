"""How edge gradients change along a displacement of the atoms and a strain: the kernels of Hessian-vector products.

Positions move by r_i -> r_i + s (v_i + r_i strain), so that r_ij_t = v_j - v_i + r_ij strain; each kernel adds the
tangents of D_ij to forces and strain derivative as the kernels in `potential` add D_ij.
"""

import numpy as np

from mdnnp.acsf.curvatures import evaluate_envelope_curvature
from mdnnp.acsf.kernels import arrange, center_values
from mdnnp.acsf.shapes import evaluate_envelope
from mdnnp.acsf.tangent import center_gradient_tangent, center_tangents
from mdnnp.edges import gather_edges, scatter_edges
from mdnnp.jit import njit, njit_kernel, vectorize_freely
from mdnnp.mlp import network_tangent


@njit_kernel
def evaluate_tangent(
    begin, end, positions, images, first, neighbor, image, species, tables, layers, factor, shift, energy_scale,
    displacements, strain, forces_t, strain_t, no_virials, clashes, work, tangent, network, rows,
):  # fmt: skip
    """Tangents of the edges of centres begin .. end - 1 (sorted order) of an HDNNP; counts overlaps.

    displacements (N, 3), Å, and strain (3, 3): the direction. Adds to forces_t (N, 3), eV/Å, and strain_t (3, 3), eV,
    which is sum r_ij (x) D_ij_t.
    """
    vectorize_freely()
    near, out = work.near, work.gradients
    x, y, z = near.x, near.y, near.z
    values, values_t, scaled, scaled_t, gradient, gradient_t = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    for i in range(begin, end):
        e = species[i]
        center = tables.center[e]
        n = gather_edges(i, center.cutoff, positions, images, first, neighbor, image, x, y, z, near.r, near.who)
        if n < 0:
            clashes[0] += 1
            continue
        n = arrange(i, n, center.cutoff, species, near)
        row, n_functions = center.function_first, center.function_end - center.function_first
        for s in range(n_functions):
            values[s] = values_t[s] = 0.0
        center_values(e, n, tables, work, values)
        center_tangents(i, e, n, tables, work, tangent, displacements, strain, values_t)
        for s in range(n_functions):
            scaled[s] = values[s] * factor[row + s] + shift[row + s]
            scaled_t[s] = values_t[s] * factor[row + s]
        network_tangent(e, layers, scaled, scaled_t, network, gradient, gradient_t)
        for s in range(n_functions):
            gradient[s] *= factor[row + s] * energy_scale
            gradient_t[s] *= factor[row + s] * energy_scale
        center_gradient_tangent(e, n, tables, work, tangent, gradient, gradient_t)
        scatter_edges(i, n, near.who, x, y, z, out.x, out.y, out.z, forces_t, strain_t, no_virials)


@njit
def evaluate_lennard_jones_tangent(
    begin, end, positions, images, first, neighbor, image, species, epsilon, sigma, kind, inner, cutoff,
    displacements, strain, forces_t, strain_t, no_virials, clashes,
):  # fmt: skip
    """As `evaluate_tangent`, for pairs V(r) = 4 eps [(s/r)^12 - (s/r)^6] f(r), of which each centre has half."""
    most = np.int64(1)
    for i in range(begin, end):
        most = max(most, first[i + 1] - first[i])
    x, y, z, r, who = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.uint32)
    f, slope, curvature = np.ones(most), np.zeros(most), np.zeros(most)
    dx, dy, dz = np.empty(most), np.empty(most), np.empty(most)
    for i in range(begin, end):
        n = gather_edges(i, cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        if n < 0:
            clashes[0] += 1
            continue
        if kind >= 0:
            evaluate_envelope(kind, inner, cutoff, r, n, f, slope, dx, dy)
            evaluate_envelope_curvature(kind, inner, cutoff, r, n, curvature, dx, dy, dz)
        for t in range(n):
            j = who[t]
            eps, sig = epsilon[species[i], species[j]], sigma[species[i], species[j]]
            s6 = (sig / r[t]) ** 6
            v = 4.0 * eps * (s6 * s6 - s6)
            v1 = 4.0 * eps * (6.0 * s6 - 12.0 * s6 * s6) / r[t]
            v2 = 4.0 * eps * (156.0 * s6 * s6 - 42.0 * s6) / (r[t] * r[t])
            first_r = f[t] * (v1 + v * slope[t])
            second_r = f[t] * (v2 + 2.0 * v1 * slope[t] + v * (slope[t] * slope[t] + curvature[t]))
            a, b, c = x[t], y[t], z[t]
            a_t = displacements[j, 0] - displacements[i, 0] + a * strain[0, 0] + b * strain[1, 0] + c * strain[2, 0]
            b_t = displacements[j, 1] - displacements[i, 1] + a * strain[0, 1] + b * strain[1, 1] + c * strain[2, 1]
            c_t = displacements[j, 2] - displacements[i, 2] + a * strain[0, 2] + b * strain[1, 2] + c * strain[2, 2]
            r_t = (a * a_t + b * b_t + c * c_t) / r[t]
            along = 0.5 * first_r / r[t]
            along_t = 0.5 * (second_r - first_r / r[t]) * r_t / r[t]
            dx[t], dy[t], dz[t] = along_t * a + along * a_t, along_t * b + along * b_t, along_t * c + along * c_t
        scatter_edges(i, n, who, x, y, z, dx, dy, dz, forces_t, strain_t, no_virials)
