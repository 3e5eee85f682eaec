"""Screened nuclear repulsion of Ziegler, Biersack and Littmark (ZBL), which ends at a short distance.

E = 1/2 sum_ij V(r_ij),  V(r) = (e^2 / 4 pi eps_0) Z_i Z_j / r  phi(r / a)  f(r),  a = 0.46850 Å / (Z_i^0.23 + Z_j^0.23)

with the universal screening function phi, a sum of four exponentials (J. F. Ziegler, J. P. Biersack, U. Littmark, The
Stopping and Range of Ions in Solids, Pergamon 1985, eqs. 2-59 to 2-61). f = 1 up to the inner radius and
1 - x^3 (10 - 15 x + 6 x^2) beyond, x = (r - inner) / (outer - inner), so that V has two continuous derivatives.
"""

import math
from collections.abc import Sequence

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from mdnnp.base.compiled.jit import njit, njit_fast
from mdnnp.base.errors import InputError
from mdnnp.potentials.assembly import Assembly, LocalPotential
from mdnnp.potentials.edges import gather_edges, scatter_edges
from mdnnp.potentials.hdnnp.functions.definitions import LARGEST_CUTOFF
from mdnnp.potentials.interface import MAX_Z, NO_EXTRAPOLATION, Extrapolation, known_elements
from mdnnp.potentials.keys import check_keys, check_number
from mdnnp.potentials.smoothness import Ingredient

COULOMB_EV_A = 14.399645478  # e^2 / (4 pi eps_0), CODATA 2018
INNER, OUTER = 0.5, 0.8  # default radii, in sums of covalent radii
_UNKNOWN_RADIUS_A = 1.5  # of heavy elements, for which no covalent radius is known


class ZBL(LocalPotential):
    """Screened nuclear repulsion.

    elements : symbols; all elements by default
    inner_cutoff_A, cutoff_A : Å, where every pair begins and ends to be switched off; by default they are INNER and
        OUTER times the sum of the pair's covalent radii, which is shorter than a bond
    Raises InputError for values that make no sense.
    """

    def __init__(
        self,
        elements: Sequence[str] | None = None,
        inner_cutoff_A: float | None = None,
        cutoff_A: float | None = None,
        source: str = "ZBL",
    ):
        if (inner_cutoff_A is None) != (cutoff_A is None):
            raise InputError(f"{source}: give both inner_cutoff_A and cutoff_A, or neither")
        for symbol in elements or ():
            if symbol not in atomic_numbers or symbol == "X":
                raise InputError(f"{source}: unknown element {symbol!r}")
        if elements is not None and not elements:
            raise InputError(f"{source}: no elements; to use all elements, remove the key")
        z = sorted(atomic_numbers[s] for s in set(elements)) if elements else range(1, MAX_Z + 1)
        self.numbers, self.source = tuple(z), source
        self.uniform_A = (
            None if inner_cutoff_A is None or cutoff_A is None else (float(inner_cutoff_A), float(cutoff_A))
        )
        charges = np.arange(MAX_Z + 1, dtype=float)
        self._charge = charges[:, None] * charges[None, :] * COULOMB_EV_A
        power = charges**0.23
        self._inverse_length = (power[:, None] + power[None, :]) / 0.46850
        if self.uniform_A is None:
            radius = np.where(covalent_radii > 0.21, covalent_radii, _UNKNOWN_RADIUS_A)  # ASE has 0.2 for unknown
            both = radius[: MAX_Z + 1, None] + radius[None, : MAX_Z + 1]
            self._inner, self._outer = INNER * both, OUTER * both
        else:
            inner, outer = self.uniform_A
            if not 0.0 <= inner < outer <= LARGEST_CUTOFF:
                raise InputError(
                    f"{source}: need 0 <= inner_cutoff_A ({inner:g}) < cutoff_A ({outer:g}) <= {LARGEST_CUTOFF:g}"
                )
            self._inner, self._outer = np.full_like(self._charge, inner), np.full_like(self._charge, outer)
        self.cutoff = float(self._outer[np.ix_(self.numbers, self.numbers)].max())

    @classmethod
    def from_table(cls, table: dict, source: str) -> "ZBL":
        """From the keys of a potential file: elements, inner_cutoff_A, cutoff_A, all optional. Raises InputError."""
        check_keys(table, {"elements", "inner_cutoff_A", "cutoff_A"}, source)
        for name in ("inner_cutoff_A", "cutoff_A"):
            if name in table:
                check_number(name, table[name], source)
        elements = table.get("elements")
        if elements is not None and not (isinstance(elements, list) and all(isinstance(e, str) for e in elements)):
            raise InputError(f'{source}: elements must be a list such as ["H", "O"], found {elements!r}')
        return cls(elements, table.get("inner_cutoff_A"), table.get("cutoff_A"), source)

    def pair_energy(self, first: str, second: str, r: np.ndarray) -> np.ndarray:
        """V (eV) of two elements at distances r (Å)."""
        i, j = atomic_numbers[first], atomic_numbers[second]
        return np.array([_pair.py_func(x, *self._of(i, j))[0] for x in np.atleast_1d(r)])

    def _of(self, i: int, j: int):
        return self._charge[i, j], self._inverse_length[i, j], self._inner[i, j], self._outer[i, j]

    def add(self, assembly: Assembly) -> tuple[np.ndarray, Extrapolation]:
        """As `LocalPotential.add`; each pair energy is shared equally."""
        energies = np.zeros(len(assembly.order))
        self._run(_evaluate, assembly, (energies,))
        return energies, NO_EXTRAPOLATION

    def add_tangent(self, assembly: Assembly, displacements: np.ndarray, strain: np.ndarray) -> None:
        """As `LocalPotential.add_tangent`."""
        self._run(_evaluate_tangent, assembly, (displacements, strain))

    def _run(self, kernel, assembly: Assembly, own: tuple) -> None:
        species = assembly.system.numbers[assembly.order]
        parameters = self._charge, self._inverse_length, self._inner, self._outer, self.cutoff
        assembly.run_kernel(kernel, species, *parameters, *own)

    @property
    def kind(self) -> str:
        """ZBL."""
        return "ZBL"

    def radii(self) -> list[float]:
        """Inner and outer radii of all pairs of its elements (those of the widest pair if it knows any), Å."""
        if self.uniform_A is not None:
            return list(self.uniform_A)
        numbers = self.numbers if len(self.numbers) < 10 else self.numbers[-1:]
        pairs = np.ix_(numbers, numbers)
        return sorted({*self._inner[pairs].ravel().tolist(), *self._outer[pairs].ravel().tolist()})

    def ingredients(self) -> list[Ingredient]:
        """The switching function."""
        return [Ingredient(2, "switching function of the ZBL repulsion", "keep it: there is no smoother one")]

    def describe(self) -> list[str]:
        """Elements and radii."""
        lines = [
            f"Potential     {self.source} (ZBL screened nuclear repulsion)",
            "Units         Angstrom, eV",
            f"Elements      {known_elements(self)}",
        ]
        if self.uniform_A is not None:
            inner, outer = self.uniform_A
            return [*lines, f"Radii         whole up to {inner:g} Å, none from {outer:g} Å"]
        lines.append(f"Radii         whole up to {INNER:g}, none from {OUTER:g} times the sum of the covalent radii")
        if len(self.numbers) < 10:
            for a, i in enumerate(self.numbers):
                for j in self.numbers[a:]:
                    pair = f"{chemical_symbols[i]}-{chemical_symbols[j]}"
                    lines.append(f"{pair:<13} {self._inner[i, j]:.4g} to {self._outer[i, j]:.4g} Å")
        return lines


@njit_fast
def _pair(r, charge, inverse_length, inner, outer):
    """V (eV), V' (eV/Å), V'' (eV/Å^2) of a pair at r (Å)."""
    if r >= outer:
        return 0.0, 0.0, 0.0
    x = r * inverse_length
    e1, e2 = 0.18175 * math.exp(-3.19980 * x), 0.50986 * math.exp(-0.94229 * x)
    e3, e4 = 0.28022 * math.exp(-0.40290 * x), 0.02817 * math.exp(-0.20162 * x)
    phi = e1 + e2 + e3 + e4
    phi1 = -inverse_length * (3.19980 * e1 + 0.94229 * e2 + 0.40290 * e3 + 0.20162 * e4)
    phi2 = inverse_length**2 * (3.19980**2 * e1 + 0.94229**2 * e2 + 0.40290**2 * e3 + 0.20162**2 * e4)
    v = charge * phi / r
    v1 = charge * phi1 / r - v / r
    v2 = charge * phi2 / r - 2.0 * v1 / r
    if r <= inner:
        return v, v1, v2
    inverse = 1.0 / (outer - inner)
    s, y = (r - inner) * inverse, (outer - r) * inverse  # y = 1 - s, exact where f goes to zero
    f = y * y * y * (1.0 + 3.0 * s + 6.0 * s * s)
    f1 = -30.0 * s * s * y * y * inverse
    f2 = -60.0 * s * y * (y - s) * inverse * inverse
    return v * f, v1 * f + v * f1, v2 * f + 2.0 * v1 * f1 + v * f2


@njit
def _evaluate(
    begin, end, positions, images, first, neighbor, image, species, charge, inverse_length, inner, outer, cutoff,
    energies, forces, strain, atomic_virials, clashes,
):  # fmt: skip
    """Centres begin .. end - 1 (sorted order): E_i = 1/2 sum_j V(r_ij)."""
    most = np.int64(1)
    for i in range(begin, end):
        most = max(most, first[i + 1] - first[i])
    x, y, z, r, who = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.uint32)
    dx, dy, dz = np.empty(most), np.empty(most), np.empty(most)
    for i in range(begin, end):
        n = gather_edges(i, cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        if n < 0:
            clashes[0] += 1
            continue
        energy = 0.0
        for t in range(n):
            a, b = species[i], species[who[t]]
            v, v1, _ = _pair(r[t], charge[a, b], inverse_length[a, b], inner[a, b], outer[a, b])
            energy += 0.5 * v
            along = 0.5 * v1 / r[t]
            dx[t], dy[t], dz[t] = along * x[t], along * y[t], along * z[t]
        energies[i] = energy
        scatter_edges(i, n, who, x, y, z, dx, dy, dz, forces, strain, atomic_virials)


@njit
def _evaluate_tangent(
    begin, end, positions, images, first, neighbor, image, species, charge, inverse_length, inner, outer, cutoff,
    displacements, strain, forces_t, strain_t, no_virials, clashes,
):  # fmt: skip
    """Tangents of the edges of centres begin .. end - 1, see `LocalPotential.add_tangent`."""
    most = np.int64(1)
    for i in range(begin, end):
        most = max(most, first[i + 1] - first[i])
    x, y, z, r, who = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.uint32)
    dx, dy, dz = np.empty(most), np.empty(most), np.empty(most)
    for i in range(begin, end):
        n = gather_edges(i, cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        if n < 0:
            clashes[0] += 1
            continue
        for t in range(n):
            j = who[t]
            p, q = species[i], species[j]
            _, v1, v2 = _pair(r[t], charge[p, q], inverse_length[p, q], inner[p, q], outer[p, q])
            a, b, c = x[t], y[t], z[t]
            a_t = displacements[j, 0] - displacements[i, 0] + a * strain[0, 0] + b * strain[1, 0] + c * strain[2, 0]
            b_t = displacements[j, 1] - displacements[i, 1] + a * strain[0, 1] + b * strain[1, 1] + c * strain[2, 1]
            c_t = displacements[j, 2] - displacements[i, 2] + a * strain[0, 2] + b * strain[1, 2] + c * strain[2, 2]
            r_t = (a * a_t + b * b_t + c * c_t) / r[t]
            along = 0.5 * v1 / r[t]
            along_t = 0.5 * (v2 - v1 / r[t]) * r_t / r[t]
            dx[t], dy[t], dz[t] = along_t * a + along * a_t, along_t * b + along * b_t, along_t * c + along * c_t
        scatter_edges(i, n, who, x, y, z, dx, dy, dz, forces_t, strain_t, no_virials)
