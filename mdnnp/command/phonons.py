"""The verb `mdnnp phonons`: vibrations of a relaxed structure."""

import warnings
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import InputError, MdnnpWarning
from mdnnp.base.files import csv_text, new_directory
from mdnnp.base.report.screen import Bar
from mdnnp.command.common import load_both
from mdnnp.landscape.modes import THZ_IN_PER_CM, Modes, all_modes, animate, lowest_modes, thermal
from mdnnp.landscape.phonons import Bands, crystal_phonons, supercell_advice
from mdnnp.potentials.interface import Potential


def main(arguments: Namespace) -> int:
    from mdnnp.base.files import check_distinct
    from mdnnp.potentials.load import potential_files

    check_distinct([arguments.output], [arguments.structure, *potential_files(arguments.potential)])
    potential, structure = load_both(arguments)
    return compute_phonons(arguments, potential, structure)


_FULL_UP_TO = 300  # atoms
_LOWEST = 12
_LOOSE_EV_PER_A = 0.01
_IMAGINARY_THZ = -0.05
_RIGID_THZ = 1e-3  # acoustic branches at q = 0, which are translations, are below this
_NO_MINIMUM = "No thermal properties: a structure with imaginary frequencies has no harmonic free energy"


def compute_phonons(arguments: Namespace, potential: Potential, structure: Structure) -> int:
    """Do as the command line says."""
    for t in arguments.temperature_K:
        if not (np.isfinite(t) and t >= 0):
            raise InputError(f"--temperature-K must not be negative, found {t}")
    largest = potential.compute(structure.system).largest_force
    if largest > _LOOSE_EV_PER_A:
        warnings.warn(
            f"{structure.label}: the largest force is {largest:.3f} eV/Å: this is not a minimum, and the frequencies "
            "are not valid; relax it first (mdnnp relax --force-tolerance 0.0001)",
            MdnnpWarning,
            stacklevel=2,
        )
    with new_directory(arguments.output) as directory:
        compute = _crystal if arguments.supercell else _modes
        text = compute(arguments, potential, structure, directory)
    print(text)  # now that nobody who does not listen can spoil the files
    print(f"Written: {arguments.output}")
    return 0


def _modes(arguments, potential, structure, directory: Path) -> str:
    system, masses = structure.system, structure.masses
    n_modes = arguments.modes or (None if len(system) <= _FULL_UP_TO else _LOWEST)
    if n_modes is None:
        modes = all_modes(potential, system, masses)
    else:
        with Bar(unit="product") as bar:
            modes = lowest_modes(potential, system, masses, n_modes, each=bar.reach)
    rows = [(k + 1, f, f * THZ_IN_PER_CM, r) for k, (f, r) in enumerate(zip(modes[0], modes.residual_THz, strict=True))]
    (directory / "modes.csv").write_text(
        csv_text(("mode", "frequency_THz", "wavenumber_per_cm", "residual_THz"), rows), encoding="utf-8"
    )
    for k in range(min(arguments.animate, len(modes.vectors))):
        bare = replace(structure, velocities=None, energy=None, forces=None, stress=None, atomic_energies=None)
        frames = [replace(bare, system=s) for s in animate(system, masses, modes.vectors[k])]
        write_structures(directory / f"mode-{k + 1}.xyz", frames)
    if n_modes is not None:
        return table(modes)
    if modes.frequencies_THz[0] <= 0:
        return f"{table(modes)}\n\n{_NO_MINIMUM}"
    sums = thermal_table(modes.frequencies_THz, np.ones(1), arguments.temperature_K, "the structure")
    return f"{table(modes)}\n{sums}"


def _words(repeats: tuple[int, int, int]) -> str:
    return " ".join(map(str, repeats))


def _crystal(arguments, potential, structure, directory: Path) -> str:
    lines = []
    if structure.system.pbc.all():
        size, enough, exact = supercell_advice(potential, structure.system, tuple(arguments.supercell))
        reach = potential.near_reach
        if size < 2.0 - 1e-9:
            warnings.warn(
                f"{structure.label}: the supercell is {size * reach:.2f} Å wide, less than twice the cutoff "
                f"of {reach:.2f} Å: force constants wrap around it, and the frequencies away from q = 0 are "
                f"wrong; use at least --supercell {_words(enough)}, or {_words(exact)} for exact force constants",
                MdnnpWarning,
                stacklevel=2,
            )
        elif size < 4.0 - 1e-9:
            lines.append(
                f"The supercell is {size:.2f} cutoffs wide; from four cutoffs, force constants are exact (--supercell "
                f"{_words(exact)})"
            )
    bands = crystal_phonons(potential, structure, tuple(arguments.supercell))
    lowest = min(bands.frequencies.min(), bands.mesh.min())
    lines.append(
        f"{bands.n_primitive} atoms in the primitive cell, frequencies {round(lowest, 3) + 0.0:.3f} to "
        f"{bands.mesh.max():.3f} THz"
    )
    if lowest < _IMAGINARY_THZ:
        lines.append(f"UNSTABLE: imaginary frequencies down to {-lowest:.3f} i THz")
    rows = np.column_stack([bands.distance, bands.frequencies])
    names = ("distance_per_A", *(f"branch_{k + 1}_THz" for k in range(bands.frequencies.shape[1])))
    (directory / "bands.csv").write_text(csv_text(names, rows), encoding="utf-8")
    (directory / "dos.csv").write_text(
        csv_text(("frequency_THz", "states_per_THz_and_cell"), bands.dos), encoding="utf-8"
    )
    draw(bands, directory / "phonons.png", structure)
    if lowest > _IMAGINARY_THZ:
        weights = bands.weights / bands.weights.sum()
        lines.append(thermal_table(bands.mesh, weights, arguments.temperature_K, "a primitive cell"))
    else:
        lines.append(_NO_MINIMUM)
    return "\n".join(lines)


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


def thermal_table(frequencies: np.ndarray, weights: np.ndarray, temperatures: Sequence[float], what: str) -> str:
    """Harmonic free energy, energy, entropy and heat capacity; frequencies (points, branches) with weights, or (n,).

    Of several points (a mesh of q), modes below _RIGID_THZ are left out, as phonopy does: they are no vibrations.
    """
    points = frequencies if frequencies.ndim == 2 else frequencies[None]
    t = np.array(temperatures, dtype=float)
    rigid_below = _RIGID_THZ if frequencies.ndim == 2 else -np.inf
    each = [thermal(p[p > rigid_below], t) for p in points]
    mean = [sum(w * np.array(e[k]) for w, e in zip(weights, each, strict=True)) for k in range(1, 5)]
    lines = ["", f"Harmonic, of {what}:", f"{'T/K':>8} {'F/eV':>12} {'E/eV':>12} {'S/(eV/K)':>14} {'C_V/(eV/K)':>14}"]
    lines += [f"{a:>8.1f} {f:>12.6f} {e:>12.6f} {s:>14.8f} {c:>14.8f}" for a, f, e, s, c in zip(t, *mean, strict=True)]
    return "\n".join(lines)


def draw(bands: Bands, path: Path, structure: Structure) -> None:
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
