"""How edge gradients of an HDNNP change along a displacement of the atoms and a strain.

Positions move by r_i -> r_i + s (v_i + r_i strain), so that r_ij_t = v_j - v_i + r_ij strain; the kernel adds the
tangents of D_ij to forces and strain derivative as that in `potential` adds D_ij.
"""

from mdnnp.base.compiled.jit import njit_kernel, vectorize_freely
from mdnnp.potentials.edges import gather_edges, scatter_edges
from mdnnp.potentials.hdnnp.functions.center import arrange, center_values
from mdnnp.potentials.hdnnp.functions.center_tangent import center_gradient_tangent, center_tangents
from mdnnp.potentials.hdnnp.networks import network_tangent


@njit_kernel
def evaluate_tangent(
    begin, end, positions, images, first, neighbor, image, species, tables, angular, wide, layers, factor, shift,
    energy_scale, displacements, strain, forces_t, strain_t, no_virials, clashes, work, tangent, network, rows,
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
        center_values(e, n, tables, angular, wide, work, values)
        center_tangents(i, e, n, tables, angular, wide, work, tangent, displacements, strain, values_t)
        for s in range(n_functions):
            scaled[s] = values[s] * factor[row + s] + shift[row + s]
            scaled_t[s] = values_t[s] * factor[row + s]
        network_tangent(e, layers, scaled, scaled_t, network, gradient, gradient_t)
        for s in range(n_functions):
            gradient[s] *= factor[row + s] * energy_scale
            gradient_t[s] *= factor[row + s] * energy_scale
        center_gradient_tangent(e, n, tables, angular, wide, work, tangent, gradient, gradient_t)
        scatter_edges(i, n, near.who, x, y, z, out.x, out.y, out.z, forces_t, strain_t, no_virials)
