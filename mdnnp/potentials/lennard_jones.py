"""The Lennard-Jones potential with Lorentz-Berthelot mixing, for tests and teaching: values, derivatives, its file."""

import numpy as np
from ase.data import atomic_numbers

from mdnnp.base.compiled.jit import njit
from mdnnp.base.errors import InputError
from mdnnp.potentials.assembly import Assembly, LocalPotential
from mdnnp.potentials.edges import gather_edges, scatter_edges
from mdnnp.potentials.hdnnp.functions.definitions import CUTOFF_NAMES, LARGEST_CUTOFF
from mdnnp.potentials.hdnnp.functions.shapes import evaluate_envelope
from mdnnp.potentials.hdnnp.functions.shapes_second import evaluate_envelope_curvature
from mdnnp.potentials.interface import NO_EXTRAPOLATION, Extrapolation
from mdnnp.potentials.keys import check_keys, check_number
from mdnnp.potentials.smoothness import Ingredient, cutoff_ingredient

_REMEDY = 'choose smoothing = "poly2" or "poly3"'
_WITHOUT_CUTOFF_FUNCTION = {"truncated": -1, "shifted": 0}  # and their smoothness

# How the pair energy ends at the cutoff: a cutoff function of `shapes.evaluate_envelope`, or a constant shift.
_SMOOTHINGS = {"truncated": 0, "shifted": -1, "cos": 1, "exp": 4, "poly1": 5, "poly2": 6, "poly3": 7, "poly4": 8}


class LennardJones(LocalPotential):
    """A Lennard-Jones potential with Lorentz-Berthelot mixing, for tests and teaching.

    parameters : symbol -> (epsilon in eV, sigma in Å)
    cutoff_A : cutoff radius; smoothing : "truncated", "shifted", or a cutoff function ("cos", "exp", "poly1" ..
    "poly4") that takes the pair energy to zero between inner_cutoff_A and cutoff_A.
    Raises InputError for values that make no sense.
    """

    def __init__(
        self,
        parameters: dict[str, tuple[float, float]],
        cutoff_A: float,
        smoothing: str = "poly2",
        inner_cutoff_A: float | None = None,
        source: str = "Lennard-Jones",
    ):
        inner = 0.8 * cutoff_A if inner_cutoff_A is None else inner_cutoff_A
        if smoothing not in _SMOOTHINGS:
            raise InputError(f"{source}: unknown smoothing {smoothing!r}; known: {', '.join(_SMOOTHINGS)}")
        if not (np.isfinite(cutoff_A) and 0 <= inner < cutoff_A):
            raise InputError(f"{source}: need 0 <= inner_cutoff_A ({inner}) < cutoff_A ({cutoff_A})")
        if cutoff_A > LARGEST_CUTOFF:
            raise InputError(f"{source}: cutoff_A is {cutoff_A}, expected at most {LARGEST_CUTOFF:g}")
        for symbol, pair in parameters.items():
            if symbol not in atomic_numbers or symbol == "X":
                raise InputError(f"{source}: unknown element {symbol!r}")
            if len(pair) != 2 or not all(np.isfinite(v) and v > 0 for v in pair):
                raise InputError(f"{source}: epsilon_eV and sigma_A of {symbol} must be positive, found {pair}")
        if not parameters:
            raise InputError(f"{source}: no elements; give [elements.Ar] with epsilon_eV and sigma_A")
        ordered = sorted(parameters, key=lambda symbol: atomic_numbers[symbol])
        self.numbers = tuple(atomic_numbers[symbol] for symbol in ordered)
        self.parameters, self.smoothing = {symbol: parameters[symbol] for symbol in ordered}, smoothing
        self.cutoff, self.inner_cutoff, self.source = float(cutoff_A), float(inner), source
        epsilon, sigma = np.array([parameters[symbol] for symbol in ordered]).T
        self._epsilon = np.sqrt(epsilon[:, None] * epsilon[None, :])
        self._sigma = 0.5 * (sigma[:, None] + sigma[None, :])
        self._element_of = np.full(max(self.numbers) + 1, -1, dtype=np.int64)
        self._element_of[list(self.numbers)] = np.arange(len(self.numbers))

    @classmethod
    def from_table(cls, table: dict, source: str) -> "LennardJones":
        """From the keys of a potential file: cutoff_A, smoothing, inner_cutoff_A and [elements.X] tables.

        Raises InputError for what is missing, unknown or no number.
        """
        data = dict(table)
        elements = data.pop("elements", {})
        check_keys(data, {"cutoff_A", "smoothing", "inner_cutoff_A"}, source, also="elements")
        if "cutoff_A" not in data:
            raise InputError(f"{source}: the key cutoff_A is missing")
        numbers = {k: data[k] for k in ("cutoff_A", "inner_cutoff_A") if k in data}
        if not isinstance(elements, dict):
            raise InputError(f"{source}: elements must be tables such as [elements.Ar], found {elements!r}")
        parameters = {}
        for symbol, entry in elements.items():
            if not isinstance(entry, dict) or set(entry) != {"epsilon_eV", "sigma_A"}:
                raise InputError(f"{source}: [elements.{symbol}] must have exactly epsilon_eV and sigma_A")
            numbers |= {f"elements.{symbol}.{k}": v for k, v in entry.items()}
            parameters[symbol] = (entry["epsilon_eV"], entry["sigma_A"])
        for name, value in numbers.items():
            check_number(name, value, source)
        if not isinstance(data.get("smoothing", ""), str):
            raise InputError(f"{source}: smoothing must be text, found {data['smoothing']!r}")
        return cls(parameters, source=source, **data)

    def add(self, assembly: Assembly) -> tuple[np.ndarray, Extrapolation]:
        """As `LocalPotential.add`; each pair energy is shared equally."""
        energies = np.zeros(len(assembly.order))
        self._run(_evaluate_lennard_jones, assembly, (energies,))
        return energies, NO_EXTRAPOLATION

    def add_tangent(self, assembly: Assembly, displacements: np.ndarray, strain: np.ndarray) -> None:
        """As `LocalPotential.add_tangent`."""
        self._run(_evaluate_lennard_jones_tangent, assembly, (displacements, strain))

    def _run(self, kernel, assembly: Assembly, own: tuple) -> None:
        species = assembly.species(self._element_of)
        parameters = self._epsilon, self._sigma, _SMOOTHINGS[self.smoothing], self.inner_cutoff, self.cutoff
        assembly.run_kernel(kernel, species, *parameters, *own)

    @property
    def kind(self) -> str:
        """Lennard-Jones."""
        return "Lennard-Jones"

    def radii(self) -> list[float]:
        """Inner and outer cutoff, Å."""
        return [self.inner_cutoff, self.cutoff]

    def ingredients(self) -> list[Ingredient]:
        """How the pair energy ends."""
        if self.smoothing in _WITHOUT_CUTOFF_FUNCTION:
            what = f"pair energy {self.smoothing} at the cutoff"
            return [Ingredient(_WITHOUT_CUTOFF_FUNCTION[self.smoothing], what, _REMEDY)]
        return [cutoff_ingredient(CUTOFF_NAMES.index(self.smoothing), self.inner_cutoff / self.cutoff, _REMEDY)]

    def describe(self) -> list[str]:
        """Units, cutoff and parameters."""
        lines = [
            f"Potential     {self.source} (Lennard-Jones)",
            "Units         Angstrom, eV",
            f"Cutoff        {self.cutoff:g} Å, smoothing {self.smoothing}"
            f" (between {self.inner_cutoff:g} Å and the cutoff)",
        ]
        for symbol, (epsilon, sigma) in self.parameters.items():
            lines.append(f"{symbol:<13} epsilon {epsilon:.9g} eV, sigma {sigma:.9g} Å")
        return lines


@njit
def _evaluate_lennard_jones(
    begin, end, positions, images, first, neighbor, image, species, epsilon, sigma, kind, inner, cutoff,
    energies, forces, strain, atomic_virials, clashes,
):  # fmt: skip
    """Centres begin .. end - 1 (sorted order): E_i = 1/2 sum_j V(r_ij), V = 4 eps [(s/r)^12 - (s/r)^6] f(r)."""
    most = np.int64(1)
    for i in range(begin, end):
        most = max(most, first[i + 1] - first[i])
    x, y, z, r, who = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most, np.uint32)
    f, slope, dx, dy, dz = np.ones(most), np.zeros(most), np.empty(most), np.empty(most), np.empty(most)
    for i in range(begin, end):
        n = gather_edges(i, cutoff, positions, images, first, neighbor, image, x, y, z, r, who)
        if n < 0:
            clashes[0] += 1
            continue
        if kind >= 0:
            evaluate_envelope(kind, inner, cutoff, r, n, f, slope, dx, dy)
        energy = 0.0
        for t in range(n):
            eps, sig = epsilon[species[i], species[who[t]]], sigma[species[i], species[who[t]]]
            s6 = (sig / r[t]) ** 6
            pair = 4.0 * eps * (s6 * s6 - s6)
            force = 4.0 * eps * (6.0 * s6 - 12.0 * s6 * s6) / r[t]
            if kind < 0:
                c6 = (sig / cutoff) ** 6
                pair -= 4.0 * eps * (c6 * c6 - c6)
            energy += 0.5 * pair * f[t]
            along = 0.5 * (force * f[t] + pair * f[t] * slope[t]) / r[t]
            dx[t], dy[t], dz[t] = along * x[t], along * y[t], along * z[t]
        energies[i] = energy
        scatter_edges(i, n, who, x, y, z, dx, dy, dz, forces, strain, atomic_virials)


@njit
def _evaluate_lennard_jones_tangent(
    begin, end, positions, images, first, neighbor, image, species, epsilon, sigma, kind, inner, cutoff,
    displacements, strain, forces_t, strain_t, no_virials, clashes,
):  # fmt: skip
    """Tangents of the edges, see `LocalPotential.add_tangent`, of pairs V(r) = 4 eps [(s/r)^12 - (s/r)^6] f(r).

    Each centre has half of its pairs.
    """
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
