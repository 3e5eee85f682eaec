"""Vibrations of a structure and phonons of a crystal, with their sums at temperatures: for people to read."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import MdnnpWarning
from mdnnp.base.files import csv_text
from mdnnp.landscape.modes import THZ_IN_PER_CM, Modes, all_modes, animate, lowest_modes, thermal
from mdnnp.landscape.phonons import Bands, crystal_phonons, supercell_advice
from mdnnp.potentials.interface import Potential

FULL_UP_TO = 300  # atoms
_LOWEST = 12
_IMAGINARY_THZ = -0.05
_RIGID_THZ = 1e-3  # acoustic branches at q = 0, which are translations, are below this
_NO_MINIMUM = "No thermal properties: a structure with imaginary frequencies has no harmonic free energy"


class Sums(NamedTuple):
    """Harmonic sums at temperatures (T,) K: free energy, energy (eV), entropy and heat capacity (eV/K), all (T,)."""

    temperatures_K: np.ndarray
    free_energy_eV: np.ndarray
    energy_eV: np.ndarray
    entropy_eV_per_K: np.ndarray
    heat_capacity_eV_per_K: np.ndarray

    def table(self, what: str) -> str:
        """As lines of text; what : of what these sums are."""
        lines = [
            "",
            f"Harmonic, of {what}:",
            f"{'T/K':>8} {'F/eV':>12} {'E/eV':>12} {'S/(eV/K)':>14} {'C_V/(eV/K)':>14}",
        ]
        lines += [f"{t:>8.1f} {f:>12.6f} {e:>12.6f} {s:>14.8f} {c:>14.8f}" for t, f, e, s, c in zip(*self, strict=True)]
        return "\n".join(lines)

    def as_dict(self) -> dict:
        """Lists of numbers."""
        return {name: values.tolist() for name, values in self._asdict().items()}


def thermal_sums(frequencies: np.ndarray, weights: np.ndarray, temperatures_K: Sequence[float]) -> Sums:
    """Harmonic sums of frequencies in THz, (n,) or (points, branches) with weights (points,).

    Of several points (a mesh of q), modes below _RIGID_THZ are left out, as phonopy does: they are no vibrations.
    """
    points = frequencies if frequencies.ndim == 2 else frequencies[None]
    t = np.array(temperatures_K, dtype=float)
    rigid_below = _RIGID_THZ if frequencies.ndim == 2 else -np.inf
    each = [thermal(p[p > rigid_below], t) for p in points]
    return Sums(t, *(sum(w * np.array(e[k]) for w, e in zip(weights, each, strict=True)) for k in range(1, 5)))


@dataclass(frozen=True)
class Vibrations:
    """Modes of a structure: all of them, or the lowest. sums : of all modes of a minimum, else None."""

    modes: Modes
    all: bool
    sums: Sums | None
    exit_code: int = 0

    def text(self) -> str:
        """Frequencies, the lowest 30 of them, and sums."""
        lines = [table(self.modes)]
        if self.sums is not None:
            lines.append(self.sums.table("the structure"))
        elif self.all:
            lines += ["", _NO_MINIMUM]
        return "\n".join(lines)

    def as_dict(self) -> dict:
        """All frequencies, imaginary ones negative, their errors, and sums."""
        return {
            "program": "mdnnp phonons",
            "frequencies_THz": self.modes.frequencies_THz,
            "residuals_THz": self.modes.residual_THz[: len(self.modes.frequencies_THz)],
            "hessian_products": self.modes.products,
            "thermal": None if self.sums is None else self.sums.as_dict(),
        }

    def write(self, directory: Path, structure: Structure, n_movies: int = 0) -> None:
        """Write modes.csv, and movies of the lowest modes."""
        modes = self.modes
        rows = [
            (k + 1, f, f * THZ_IN_PER_CM, r) for k, (f, r) in enumerate(zip(modes[0], modes.residual_THz, strict=True))
        ]
        (directory / "modes.csv").write_text(
            csv_text(("mode", "frequency_THz", "wavenumber_per_cm", "residual_THz"), rows), encoding="utf-8"
        )
        nothing: dict[str, Any] = dict.fromkeys(("velocities", "energy", "forces", "stress", "atomic_energies"))
        bare = replace(structure, **nothing)
        for k in range(min(n_movies, len(modes.vectors))):
            moving = animate(structure.system, structure.masses, modes.vectors[k])
            write_structures(directory / f"mode-{k + 1}.xyz", [replace(bare, system=s) for s in moving])


def vibrations(
    potential: Potential,
    structure: Structure,
    n_modes: int | None,
    temperatures_K: Sequence[float],
    each: Callable[[int], None] = lambda products: None,
) -> Vibrations:
    """The lowest `n_modes` modes; None: all of up to FULL_UP_TO atoms, else the lowest 12.

    each : called with the number of products with the Hessian, after each
    """
    system, masses = structure.system, structure.masses
    n_modes = n_modes or (None if len(system) <= FULL_UP_TO else _LOWEST)
    if n_modes is not None:
        return Vibrations(lowest_modes(potential, system, masses, n_modes, each=each), False, None)
    modes = all_modes(potential, system, masses)
    if modes.frequencies_THz[0] <= 0:
        return Vibrations(modes, True, None)
    return Vibrations(modes, True, thermal_sums(modes.frequencies_THz, np.ones(1), temperatures_K))


@dataclass(frozen=True)
class CrystalVibrations:
    """Phonons of a crystal; remark : on the supercell; sums : of a primitive cell, None if it is unstable."""

    bands: Bands
    remark: str
    sums: Sums | None
    exit_code: int = 0

    @property
    def lowest_THz(self) -> float:
        """The lowest frequency, negative if it is imaginary."""
        return lowest_THz(self.bands)

    def text(self) -> str:
        """Range of the frequencies, and sums."""
        bands, lowest = self.bands, self.lowest_THz
        lines = [self.remark] if self.remark else []
        lines.append(
            f"{bands.n_primitive} atoms in the primitive cell, frequencies {round(lowest, 3) + 0.0:.3f} to "
            f"{bands.mesh.max():.3f} THz"
        )
        if lowest < _IMAGINARY_THZ:
            lines.append(f"UNSTABLE: imaginary frequencies down to {-lowest:.3f} i THz")
        lines.append(_NO_MINIMUM if self.sums is None else self.sums.table("a primitive cell"))
        return "\n".join(lines)

    def as_dict(self) -> dict:
        """The range of the frequencies, sums, and curves: branches along the path, density of states."""
        bands = self.bands
        return {
            "program": "mdnnp phonons",
            "n_atoms_primitive": bands.n_primitive,
            "lowest_THz": self.lowest_THz,
            "highest_THz": bands.mesh.max(),
            "stable": self.lowest_THz >= _IMAGINARY_THZ,
            "thermal": None if self.sums is None else self.sums.as_dict(),
            "labels": bands.labels,
            "distance_per_A": bands.distance,
            "branches_THz": bands.frequencies,
            "dos": bands.dos,
        }

    def write(self, directory: Path) -> None:
        """Write bands.csv, dos.csv and phonons.png."""
        bands = self.bands
        rows = np.column_stack([bands.distance, bands.frequencies])
        names = ("distance_per_A", *(f"branch_{k + 1}_THz" for k in range(bands.frequencies.shape[1])))
        (directory / "bands.csv").write_text(csv_text(names, rows), encoding="utf-8")
        (directory / "dos.csv").write_text(
            csv_text(("frequency_THz", "states_per_THz_and_cell"), bands.dos), encoding="utf-8"
        )
        draw(bands, directory / "phonons.png")


def crystal_vibrations(
    potential: Potential, structure: Structure, repeats: tuple[int, int, int], temperatures_K: Sequence[float]
) -> CrystalVibrations:
    """Phonons from a supercell of `repeats`. Warns (MdnnpWarning) of one that is too small; raises InputError."""
    remark = _supercell_remark(potential, structure, repeats)
    bands = crystal_phonons(potential, structure, repeats)
    sums = None
    if lowest_THz(bands) > _IMAGINARY_THZ:
        sums = thermal_sums(bands.mesh, bands.weights / bands.weights.sum(), temperatures_K)
    return CrystalVibrations(bands, remark, sums)


def lowest_THz(bands: Bands) -> float:
    """The lowest frequency on the path and the mesh."""
    return min(bands.frequencies.min(), bands.mesh.min())


def _supercell_remark(potential: Potential, structure: Structure, repeats: tuple[int, int, int]) -> str:
    if not structure.system.pbc.all():
        return ""
    size, enough, exact = supercell_advice(potential, structure.system, repeats)
    reach, far = potential.near_reach, potential.reach > potential.near_reach
    name = "distance beyond which forces are taken to be weak" if far else "cutoff"
    least, most = (_words(wanted, len(structure.system)) for wanted in (enough, exact))
    if size < 2.0 - 1e-9:
        warnings.warn(
            f"{structure.label}: the supercell is {size * reach:.2f} Å wide, less than twice the {name}, "
            f"{reach:.2f} Å: force constants wrap around it, and the frequencies away from q = 0 are "
            f"wrong; use at least {least}, or {most} for {'better' if far else 'exact'} force constants",
            MdnnpWarning,
            stacklevel=3,
        )
    elif size < 4.0 - 1e-9 and not far:
        return f"The supercell is {size:.2f} cutoffs wide; from four cutoffs, force constants are exact ({most})"
    elif far:
        return (
            f"The supercell is {size * reach:.2f} Å wide, and the potential reaches further, weakly; compare with a "
            "larger one, or a smaller one, to see what that changes"
        )
    return ""


def _words(repeats: tuple[int, int, int], n_atoms: int) -> str:
    a, b, c = repeats
    return f"--supercell {a} {b} {c} of {a * b * c * n_atoms} atoms"


def table(modes: Modes, most: int = 30) -> str:
    """Frequencies, the lowest `most` of them."""
    lines = [f"{'mode':>5} {'THz':>12} {'1/cm':>12} {'error/THz':>10}"]
    for k, (f, r) in enumerate(zip(modes.frequencies_THz[:most], modes.residual_THz, strict=False)):
        imaginary = "  imaginary" if f < 0 else ""
        lines.append(f"{k + 1:>5} {f:>12.5f} {f * THZ_IN_PER_CM:>12.4f} {r:>10.1e}{imaginary}")
    if len(modes.frequencies_THz) > most:
        f = modes.frequencies_THz[-1]
        lines.append(f"  ... {len(modes.frequencies_THz)} modes, up to {f:.5f} THz, {f * THZ_IN_PER_CM:.4f} 1/cm")
    lines.append(f"{modes.products} products with the Hessian")
    return "\n".join(lines)


def draw(bands: Bands, path: Path) -> None:
    """Dispersion beside the density of states."""
    from matplotlib.figure import Figure

    from mdnnp.base.report.style import save_figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    jumps = np.flatnonzero(np.diff(bands.distance) == 0) + 1  # the path starts anew there
    for part in np.split(np.arange(len(bands.distance)), jumps):
        left.plot(bands.distance[part], bands.frequencies[part], color="C0", lw=1.2)
    merged: dict[float, str] = {}
    for name, place in bands.labels:
        key = round(place, 9)
        label = "Γ" if name == "G" else name
        merged[key] = f"{merged[key]}|{label}" if key in merged and merged[key] != label else label
    left.set_xticks(list(merged), list(merged.values()))
    for place in merged:
        left.axvline(place, color="0.8", lw=0.6, zorder=0)
    left.axhline(0.0, color="0.5", lw=0.6, zorder=0)
    left.set_xlim(bands.distance[0], bands.distance[-1])
    left.set_ylabel("frequency / THz")
    left.set_xlabel("wave vector")
    right.fill_betweenx(bands.dos[:, 0], bands.dos[:, 1], color="C0", alpha=0.3, lw=0)
    right.plot(bands.dos[:, 1], bands.dos[:, 0], color="C0", lw=1.0)
    right.set_xlim(0.0, None)
    right.set_xlabel("states / (THz cell)")
    if bands.frequencies.min() > _IMAGINARY_THZ:
        left.set_ylim(0.0, 1.05 * bands.mesh.max())
    save_figure(figure, path, dpi=160)
