"""Edges in, edges out: what every short-range kernel shares.

A kernel sees the vectors r_ij = r_j - r_i from a centre i to its neighbours j and returns D_ij = dE_i/dr_ij. Here
those become, once for every potential,

    F_i = sum_j (D_ij - D_ji)        dE/d(strain) = sum_ij r_ij (x) D_ij        W_i = sum_j r_ij (x) D_ji

where W_i is the per-atom virial with nine components; sum_i W_i = -dE/d(strain). Adding one centre's edges to its
neighbours costs less memory than storing them, and the result does not depend on threads as long as each chunk of
centres adds to arrays of its own.
"""

import math

import numpy as np

from mdnnp.atoms.system import OVERLAP_A
from mdnnp.base.compiled.jit import njit_fast, vectorize_freely


@njit_fast
def gather_edges(i, cutoff, coordinates, image_vectors, first, neighbor, image, x, y, z, r, who):
    """Collect the listed neighbours of centre `i` that are nearer than `cutoff` (Å); returns how many.

    Returns minus one if any is at the position of the centre: no kernel may be called then.

    coordinates (N, 3), image_vectors (M, 3), Å; first, neighbor, image: the neighbour list.
    Fills x, y, z (r_ij, Å), r (its length) and who (index of the neighbour), in the order of the list.
    """
    vectorize_freely()
    xi, yi, zi = coordinates[i, 0], coordinates[i, 1], coordinates[i, 2]
    n = np.uint64(0)
    listed, images = neighbor[first[i] : first[i + 1]], image[first[i] : first[i + 1]]
    for edge in range(listed.size):
        j = np.uint32(listed[edge])
        s = images[edge]
        dx = coordinates[j, 0] - xi + image_vectors[s, 0]
        dy = coordinates[j, 1] - yi + image_vectors[s, 1]
        dz = coordinates[j, 2] - zi + image_vectors[s, 2]
        d = dx * dx + dy * dy + dz * dz
        x[n], y[n], z[n], r[n], who[n] = dx, dy, dz, d, j
        n += np.uint64(d < cutoff * cutoff)  # branch-free: the entry is overwritten unless it counts
    found = np.int64(n)
    least = 1e300
    for t in range(found):
        least = min(least, r[t])
        r[t] = math.sqrt(r[t])
    return found if least >= OVERLAP_A**2 else -1


@njit_fast
def scatter_edges(i, n, who, x, y, z, dx, dy, dz, forces, strain, atomic_virials):
    """Add the `n` edge gradients D = (dx, dy, dz), eV/Å, of centre `i` to forces, strain derivative and virials.

    forces (N, 3), strain (3, 3); atomic_virials (N, 3, 3) is left alone if it is empty.
    """
    vectorize_freely()
    fx = fy = fz = 0.0
    xx = xy = xz = yx = yy = yz = zx = zy = zz = 0.0
    for t in range(n):
        fx += dx[t]
        fy += dy[t]
        fz += dz[t]
        xx += x[t] * dx[t]
        xy += x[t] * dy[t]
        xz += x[t] * dz[t]
        yx += y[t] * dx[t]
        yy += y[t] * dy[t]
        yz += y[t] * dz[t]
        zx += z[t] * dx[t]
        zy += z[t] * dy[t]
        zz += z[t] * dz[t]
    for t in range(n):
        j = who[t]
        forces[j, 0] -= dx[t]
        forces[j, 1] -= dy[t]
        forces[j, 2] -= dz[t]
    forces[i, 0] += fx
    forces[i, 1] += fy
    forces[i, 2] += fz
    strain[0, 0] += xx
    strain[0, 1] += xy
    strain[0, 2] += xz
    strain[1, 0] += yx
    strain[1, 1] += yy
    strain[1, 2] += yz
    strain[2, 0] += zx
    strain[2, 1] += zy
    strain[2, 2] += zz
    if atomic_virials.shape[0] > 0:
        # D_ij acts on neighbour j, for which the edge is r_ji = -r_ij.
        for t in range(n):
            r, d, own = (x[t], y[t], z[t]), (dx[t], dy[t], dz[t]), atomic_virials[who[t]]
            for a in range(3):
                for b in range(3):
                    own[a, b] -= r[a] * d[b]
