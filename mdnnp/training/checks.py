"""Errors and suspicious values in a data set: each finding names a configuration, a value and what to do."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from ase.data import atomic_masses, chemical_symbols, covalent_radii

from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import OVERLAP_A, System, complete_cell, heights
from mdnnp.atoms.unit_suspicion import unit_suspicion
from mdnnp.base.errors import InputError
from mdnnp.base.units import BOHR_A, EV_PER_A3_IN_GPA, HARTREE_EV, energy_in_ev
from mdnnp.training.dataset import LabelledStructure, duplicate_groups, fit_offsets

OVERLAP = 0.3  # atoms nearer than this, in units of the sum of their covalent radii, are refused
# Duplicates may differ by so much, eV/atom and eV/Å: beyond it one of their labels is wrong.
SAME_ENERGY_EV, SAME_FORCE_EV_A = 1e-3, 0.05
SAME_PLACE_A = 1e-3
# An outlier is so many times as far off as 90 % of the values are, and further than the second number.
FAR, FAR_ENERGY_EV, FAR_FORCE_EV_A = 10.0, 0.2, 5.0
FEWEST = 10  # values that outliers are told by
NET_FORCE = 0.01  # net force per degree of freedom, relative to the rms force
_ENERGY_UNITS = ("Hartree", "Rydberg", "kJ/mol", "kcal/mol")
_STRESS_UNITS = {  # in eV/Å^3
    "eV/Å^3": 1.0,
    "GPa": 1 / EV_PER_A3_IN_GPA,
    "kbar": 0.1 / EV_PER_A3_IN_GPA,
    "bar": 1e-4 / EV_PER_A3_IN_GPA,
    "MPa": 1e-3 / EV_PER_A3_IN_GPA,
    "Pa": 1e-9 / EV_PER_A3_IN_GPA,
    "Hartree/Bohr^3": HARTREE_EV / BOHR_A**3,
    "Rydberg/Bohr^3": 0.5 * HARTREE_EV / BOHR_A**3,
}
# Pairs of structures that stress is judged by: how far their cells and their atoms may differ, how many are needed.
_STRAINS, _MOVES_A, _FEWEST_PAIRS, _MOST_ALIKE = (0.002, 0.05), 0.1, 5, 100
_EXPLAINED = 0.35  # of the changes of energy may remain where a unit of stress is the right one
_LARGEST_PRESSURE = 1.0  # eV/Å^3 = 160 GPa; more in the median is taken for another unit


class Finding(NamedTuple):
    """Something about a data set.

    severity : "error" (training must not begin) or "warning"
    kind : what it is about, a few words that are the same for all findings of the kind
    name : the configuration, "file.xyz:17"
    text : the value, and what to do
    """

    severity: str
    kind: str
    name: str
    text: str


def check_dataset(structures: Sequence[LabelledStructure]) -> list[Finding]:
    """Findings on a data set, errors first, each kind together.

    Errors: labels that are not finite or of the wrong shape, configurations without energy and forces, atoms of no
    element, atoms on top of each other. Warnings: labels that only some have, duplicates (with other labels, too),
    outliers of energy per atom and of force, lengths, energies or stress in another unit (or stress of the other
    sign), net forces, forces that break the inversion symmetry of their atoms.
    """
    errors, sound = [], []
    for s in structures:
        found = _bad_labels(s) or _bad_geometry(s)
        errors += found
        if not found:
            sound.append(s)
    warnings = [
        *_units_of_length(sound),
        *_units_of_energy(sound),
        *_units_within_files(sound),
        *_units_of_stress(sound),
        *_missing(sound),
        *_duplicates(sound),
        *_energy_outliers(sound),
        *_force_outliers(sound),
        *_net_forces(sound),
        *_broken_inversion(sound),
    ]
    return sorted(errors, key=lambda f: f.kind) + warnings


def leaks(training: Sequence[LabelledStructure], test: Sequence[LabelledStructure]) -> list[Finding]:
    """A warning for each structure of a given test set whose geometry is in the training set too."""
    first, n = duplicate_groups([*training, *test]), len(training)
    return [
        Finding(
            "warning",
            "test structures in the training set",
            s.name,
            f"has the geometry of {training[first[n + k]].name}; take it out of one of the sets",
        )
        for k, s in enumerate(test)
        if first[n + k] < n
    ]


def refuse(findings: Iterable[Finding]) -> None:
    """Raise InputError with all errors among the findings, one line each (the first 20)."""
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        more = [f"... and {len(errors) - 20} more"] if len(errors) > 20 else []
        raise InputError("\n".join([*(f"{f.name}: {f.text}" for f in errors[:20]), *more]))


def summary(findings: Iterable[Finding], most: int = 3) -> list[str]:
    """Lines of text: for each kind how many there are, and the first `most` of them."""
    lines = []
    for (severity, kind), group in groupby(findings, key=lambda f: (f.severity, f.kind)):
        members = list(group)
        lines.append(f"{severity}: {kind}" + (f" ({len(members)})" if len(members) > 1 else ""))
        lines += [f"  {f.name}: {f.text}" for f in members[:most]]
        if len(members) > most:
            lines.append(f"  ... and {len(members) - most} more")
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# Errors


def _bad_labels(s: LabelledStructure) -> list[Finding]:
    n = len(s.system)
    findings = []
    for what, values, shape in (
        ("energy", s.energy_eV, ()),
        ("forces", s.forces, (n, 3)),
        ("stress", s.stress, (3, 3)),
    ):
        if values is None:
            continue
        array = np.asarray(values, dtype=np.float64)
        if array.shape != shape:
            text = f"{what} of shape {array.shape}, expected {shape}; correct the file"
            findings.append(Finding("error", "labels of the wrong shape", s.name, text))
        elif not np.isfinite(array).all():
            text = f"{what} not finite ({array[~np.isfinite(array)][0]}); calculate it again, or remove the structure"
            findings.append(Finding("error", "labels that are no numbers", s.name, text))
    if s.energy_eV is None and s.forces is None:
        text = "neither energy nor forces; calculate them, or remove the structure"
        findings.append(Finding("error", "no labels", s.name, text))
    return findings


def _bad_geometry(s: LabelledStructure) -> list[Finding]:
    numbers = s.system.numbers
    unknown = np.flatnonzero((numbers < 1) | (numbers >= len(chemical_symbols)))
    if len(unknown):
        text = f"atom {unknown[0]} has atomic number {numbers[unknown[0]]}, which is not an element; correct the file"
        return [Finding("error", "atoms of no element", s.name, text)]
    closest = _closest_pair(s.system)
    if closest is None:
        return []
    distance, i, j = closest
    pair = f"{chemical_symbols[numbers[i]]}-{chemical_symbols[numbers[j]]}"
    text = (
        f"atoms {i} and {j} ({pair}) are {distance:.3g} Å apart; remove the structure, or correct the unit of length "
        "or the cell"
    )
    return [Finding("error", "overlapping atoms", s.name, text)]


def _closest_pair(system: System) -> tuple[float, int, int] | None:
    """Distance and atoms of the closest pair, if its atoms overlap."""
    from mdnnp.atoms.neighbors import neighbor_list  # compiled kernels

    radii = covalent_radii[system.numbers]
    try:
        i, j, _, vectors = neighbor_list(system, max(2 * OVERLAP * radii.max(), 2 * OVERLAP_A))
    except InputError:  # at the same position
        return _on_one_spot(system)
    if len(i) == 0:
        return None
    distance = np.linalg.norm(vectors, axis=1)
    k = int(np.argmin(distance / (radii[i] + radii[j])))
    return (float(distance[k]), int(i[k]), int(j[k])) if distance[k] < OVERLAP * (radii[i[k]] + radii[j[k]]) else None


def _on_one_spot(system: System) -> tuple[float, int, int]:
    cell = complete_cell(system.cell, system.pbc)
    fractional = system.positions @ np.linalg.inv(cell)
    for i in range(len(system) - 1):
        moved = fractional[i + 1 :] - fractional[i]
        distance = np.linalg.norm((moved - np.where(system.pbc, np.round(moved), 0.0)) @ cell, axis=1)
        if distance.min() < 2 * OVERLAP_A:
            return float(distance.min()), i, i + 1 + int(np.argmin(distance))
    return float(heights(cell).min()), 0, 0  # an atom and its own image


# ---------------------------------------------------------------------------------------------------------------------
# Warnings on labels


def _missing(structures: Sequence[LabelledStructure]) -> list[Finding]:
    """One finding for each label that some have and others do not (stress: of those with a full cell)."""
    findings = []
    for what, has, judged in (
        ("energy", lambda s: s.energy_eV is not None, structures),
        ("forces", lambda s: s.forces is not None, structures),
        ("stress", lambda s: s.stress is not None, [s for s in structures if s.system.pbc.all()]),
    ):
        without = [s for s in judged if not has(s)]
        if 0 < len(without) < len(judged):
            text = (
                f"is the first of {len(without)} of {len(judged)} configurations without {what}; the fit uses them "
                "without it"
            )
            findings.append(Finding("warning", f"labels missing: {what}", without[0].name, text))
    return findings


def _duplicates(structures: Sequence[LabelledStructure]) -> list[Finding]:
    same, different = [], []
    for k, first in enumerate(duplicate_groups(structures)):
        if first == k:
            continue
        a, b = structures[first], structures[k]
        text, contradicts = f"same geometry as {a.name}", False
        if a.energy_eV is not None and b.energy_eV is not None:
            gap = (b.energy_eV - a.energy_eV) / len(a.system)
            contradicts = abs(gap) > SAME_ENERGY_EV
            text += f", energy {gap * 1e3:+.3g} meV/atom from it"
        if a.forces is not None and b.forces is not None:
            # Lengths of the forces, which are those of a rotated copy as well.
            gap = np.max(np.abs(np.linalg.norm(b.forces, axis=1) - np.linalg.norm(a.forces, axis=1)))
            contradicts |= gap > SAME_FORCE_EV_A
            text += f", forces up to {gap:.3g} eV/Å"
        if contradicts:
            text += "; one of the two is wrong, or has other settings: remove one"
            different.append(Finding("warning", "same geometry, other labels", b.name, text))
        else:
            same.append(Finding("warning", "duplicates", b.name, f"{text}; it counts twice in the fit"))
    return different + same


def _energy_outliers(structures: Sequence[LabelledStructure]) -> list[Finding]:
    """By the energy per atom minus offsets, around its median for each ratio of elements; not for single atoms."""
    with_energy = [s for s in structures if s.energy_eV is not None and len(s.system) > 1]
    by_ratio = defaultdict(list)
    for s in with_energy:
        by_ratio[_ratio(s.system)].append(s)
    findings = []
    for ratio, members in by_ratio.items():
        if len(members) < FEWEST:
            continue
        offsets = fit_offsets(members)
        energy = np.array([_above_offsets(s, offsets) for s in members])
        off = energy - np.median(energy)
        usual = np.quantile(np.abs(off), 0.9)
        for k in np.flatnonzero(np.abs(off) > max(FAR * usual, FAR_ENERGY_EV)):
            text = (
                f"energy {off[k]:+.4g} eV/atom from the median of {ratio}, but 90 % are within {usual:.3g}; is its "
                "calculation converged, with the same settings?"
            )
            findings.append(Finding("warning", "outliers of energy", members[k].name, text))
    return findings


def _above_offsets(s: LabelledStructure, offsets: dict[str, float]) -> float:
    return (s.energy_eV - sum(offsets[chemical_symbols[z]] for z in s.system.numbers)) / len(s.system)


def _ratio(system: System) -> str:
    """The formula in lowest terms, such as H2O."""
    numbers, counts = np.unique(system.numbers, return_counts=True)
    counts //= np.gcd.reduce(counts)
    return "".join(f"{chemical_symbols[z]}{n if n > 1 else ''}" for z, n in zip(numbers, counts, strict=True))


def _force_outliers(structures: Sequence[LabelledStructure]) -> list[Finding]:
    with_forces = [s for s in structures if s.forces is not None]
    if not with_forces:
        return []
    largest = [np.linalg.norm(s.forces, axis=1) for s in with_forces]
    pooled = np.concatenate(largest)
    if len(pooled) < FEWEST:
        return []
    usual = np.quantile(pooled, 0.9)
    findings = []
    for s, force in zip(with_forces, largest, strict=True):
        atom = int(np.argmax(force))
        if force[atom] > max(FAR * usual, FAR_FORCE_EV_A):
            text = (
                f"force of {force[atom]:.4g} eV/Å on atom {atom} ({chemical_symbols[s.system.numbers[atom]]}), but 90 "
                f"% of all are below {usual:.3g}; is the calculation converged, do atoms overlap?"
            )
            findings.append(Finding("warning", "outliers of force", s.name, text))
    return findings


def _net_forces(structures: Sequence[LabelledStructure]) -> list[Finding]:
    """One finding on all net forces: they are zero but for noise, of which they give an estimate."""
    net, n_atoms, squares, names = [], 0, 0.0, []
    for s in structures:
        if s.forces is not None and len(s.system) > 1:
            net.append(np.sum(s.forces, axis=0) / np.sqrt(len(s.system)))
            names.append((float(np.linalg.norm(np.sum(s.forces, axis=0))), s.name))
            squares, n_atoms = squares + float(np.sum(np.square(s.forces))), n_atoms + len(s.system)
    if not net:
        return []
    noise, force = np.sqrt(np.mean(np.square(net))), np.sqrt(squares / (3 * n_atoms))
    if noise <= NET_FORCE * force:
        return []
    value, name = max(names)
    text = (
        f"net force {value:.3g} eV/Å, the largest; all net forces together show a noise of about {noise * 1e3:.3g} "
        f"meV/Å in each force component (rms force {force * 1e3:.4g} meV/Å), which no potential can describe. Converge "
        "the calculations better, or check for missing atoms or a field"
    )
    return [Finding("warning", "net forces", name, text)]


def _broken_inversion(structures: Sequence[LabelledStructure]) -> list[Finding]:
    """Crystals with a centre of inversion whose forces are not odd in it: a calculation that did not converge."""
    findings = []
    for s in structures:
        image = None if s.forces is None else _inversion(s.system)
        if image is None:
            continue
        even = np.abs(0.5 * (s.forces + s.forces[image]))
        if even.max() > SAME_FORCE_EV_A:
            text = (
                f"the atoms have a centre of inversion, but the forces break this symmetry by {even.max():.3g} eV/Å: "
                "no potential can describe them; compute them again, or remove the configuration"
            )
            findings.append(Finding("warning", "forces that break a symmetry", s.name, text))
    return findings


def _inversion(system: System) -> np.ndarray | None:
    """(n,) image of each atom under an inversion through which the crystal is the same; None if there is none."""
    if not system.pbc.all() or not len(system):
        return None
    fractional = system.positions @ np.linalg.inv(system.cell)
    probe = len(system) - 1
    for twice_centre in fractional[0] + fractional[system.numbers == system.numbers[0]]:
        if (_distances(system, twice_centre - fractional[probe], fractional) < SAME_PLACE_A).any():
            images = [_distances(system, twice_centre - own, fractional) for own in fractional]
            image = np.argmin(images, axis=1)
            same = (np.min(images, axis=1) < SAME_PLACE_A) & (system.numbers[image] == system.numbers)
            if same.all():
                return image
    return None


def _distances(system: System, place: np.ndarray, fractional: np.ndarray) -> np.ndarray:
    """Distances (n,) of atoms to a place, both in units of the cell: right where they are short."""
    apart = fractional - place
    return np.linalg.norm((apart - np.round(apart)) @ system.cell, axis=1)


# ---------------------------------------------------------------------------------------------------------------------
# Units mixed up


def _units_of_length(structures: Sequence[LabelledStructure]) -> list[Finding]:
    findings = []
    for s in structures:
        suspicion = unit_suspicion(Structure(s.system, atomic_masses[s.system.numbers], label=s.name))
        if suspicion and len(s.system) > 1:
            text = suspicion.removeprefix(f"{s.name}: ")
            findings.append(Finding("warning", "unusual distances", s.name, text))
    return findings


def _units_of_energy(structures: Sequence[LabelledStructure]) -> list[Finding]:
    """Files whose energies, or forces, differ from those of the largest file by the factor between two units."""
    files = defaultdict(list)
    for s in structures:
        files[s.file].append(s)
    if len(files) < 2:
        return []
    main = max(files, key=lambda name: len(files[name]))
    findings = []
    for name in sorted(set(files) - {main}):
        unit = _energy_ratio(files[main], files[name])
        if unit is not None:
            text = f"{unit}; bring all energies and forces to eV and eV/Å"
            findings.append(Finding("warning", "mixed units of energy", files[name][0].name, text))
    return findings


def _units_within_files(structures: Sequence[LabelledStructure]) -> list[Finding]:
    """Structures whose energy differs from that of most of the same composition by the factor between two units."""
    groups = defaultdict(list)
    for s in structures:
        if s.energy_eV is not None:
            groups[_ratio(s.system)].append(s)
    findings = []
    for members in groups.values():
        energies = np.array([s.energy_eV / len(s.system) for s in members])
        usual = float(np.median(energies))
        # Where energies scatter about zero, any ratio can come about by chance.
        if len(members) < FEWEST or np.median(np.abs(energies - usual)) > 0.02 * abs(usual):
            continue
        for s, energy in zip(members, energies.tolist(), strict=True):
            for unit in _ENERGY_UNITS:
                factor = energy_in_ev(unit)
                if min(abs(energy / usual * factor - 1), abs(energy / usual / factor - 1)) < 0.02:
                    text = (
                        f"{energy:.5g} eV/atom, but most of this composition have {usual:.5g}: the ratio of {unit} "
                        "and eV; bring all energies and forces to eV and eV/Å"
                    )
                    findings.append(Finding("warning", "mixed units of energy within a file", s.name, text))
    return findings


def _units_of_stress(structures: Sequence[LabelledStructure]) -> list[Finding]:
    """One finding for each file whose stress has another unit or sign than eV/Å^3, positive: tension.

    Between two structures that are nearly the same but for a strain e, the energy changes by V stress:e minus the
    work of the forces (trapezoidal rule). The unit and sign that explain these changes are those of the labels.
    Where there are no such pairs, or none explains them, only stress beyond all reason is found.
    """
    files = defaultdict(list)
    for s in structures:
        if s.stress is not None and s.system.pbc.all():
            files[s.file].append(s)
    findings = []
    for members in files.values():
        energy, work, volumes = _strained_pairs(members)
        pressure = np.median([abs(np.trace(s.stress)) / 3 for s in members])
        text = _stress_that_explains(energy, work, volumes) if len(energy) >= _FEWEST_PAIRS else None
        if text is None and len(members) >= FEWEST and pressure > _LARGEST_PRESSURE:
            text = (
                f"the median pressure is {pressure * EV_PER_A3_IN_GPA:.4g} GPa, so the stress is probably not in eV/Å^3"
            )
        if text:
            text += "; bring stress to eV/Å^3, positive: tension (a virial to eV, minus volume times stress)"
            findings.append(Finding("warning", "unit or sign of stress", members[0].name, text))
    return findings


def _stress_that_explains(energy: np.ndarray, work: np.ndarray, volumes: np.ndarray) -> str | None:
    """A sentence if another unit or sign than stated explains `energy` (n,) by the labels' `work` (n,), eV."""
    factors: list[tuple[str, float | np.ndarray]] = [*_STRESS_UNITS.items(), ("eV, as a virial", 1 / volumes)]
    left = {
        (unit, sign): np.median(np.abs(energy - sign * factor * work)) for unit, factor in factors for sign in (1, -1)
    }
    unit, sign = best = min(left, key=lambda reading: left[reading])
    if best == ("eV/Å^3", 1) or left[best] > _EXPLAINED * min(np.median(np.abs(energy)), left["eV/Å^3", 1]):
        return None
    return (
        f"stress seems to be in {unit}{', positive: compression' if sign < 0 else ''}: in this unit, it agrees with "
        f"the energies of {len(energy)} pairs of strained structures within {left[best]:.2g} eV, but in the stated "
        "unit only within "
        f"{left['eV/Å^3', 1]:.2g} eV"
    )


def _strained_pairs(structures: Sequence[LabelledStructure]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) of pairs that differ by a strain: change of energy without the forces' work, the stress's work, eV; Å^3."""
    alike = defaultdict(list)
    for s in structures:
        if s.energy_eV is not None and s.forces is not None:
            alike[s.system.numbers.tobytes()].append(s)
    pairs = []
    for group in alike.values():
        members = group[:: -(-len(group) // _MOST_ALIKE)]
        cells = np.array([s.system.cell for s in members])
        volumes = np.abs(np.linalg.det(cells))
        fractional = np.array([s.system.positions @ np.linalg.inv(s.system.cell) for s in members])
        energies, forces = np.array([s.energy_eV for s in members]), np.array([s.forces for s in members])
        strained = volumes[:, None, None] * np.array([s.stress for s in members])
        for k in range(1, len(members)):
            cell = 0.5 * (cells[:k] + cells[k])
            strain = np.linalg.solve(cell, cells[k] - cells[:k])
            largest = np.abs(strain + np.swapaxes(strain, 1, 2)).max(axis=(1, 2)) / 2
            moved = fractional[k] - fractional[:k]
            moved -= np.round(moved)
            moved = (moved - moved.mean(axis=1, keepdims=True)) @ cell
            near = np.sqrt(np.square(moved).sum(axis=2).mean(axis=1)) < _MOVES_A
            chosen = np.flatnonzero(near & (largest > _STRAINS[0]) & (largest < _STRAINS[1]))
            for j in chosen:
                by_forces = 0.5 * np.sum((forces[j] + forces[k]) * moved[j])
                by_stress = 0.5 * np.sum((strained[j] + strained[k]) * strain[j])
                pairs.append((energies[k] - energies[j] + by_forces, by_stress, 0.5 * (volumes[j] + volumes[k])))
    energy, work, volumes = np.array(pairs).reshape(-1, 3).T
    return energy, work, volumes


def _energy_ratio(main: list[LabelledStructure], other: list[LabelledStructure]) -> str | None:
    by_ratio: list[dict] = [defaultdict(list), defaultdict(list)]
    for table, members in zip(by_ratio, (main, other), strict=True):
        for s in members:
            if s.energy_eV is not None:
                table[_ratio(s.system)].append(s.energy_eV / len(s.system))
    forces = [[s.forces for s in members if s.forces is not None] for members in (main, other)]
    rms = [np.sqrt(np.mean(np.square(np.concatenate(f)))) if f else 0.0 for f in forces]
    for unit in _ENERGY_UNITS:
        for ratio in sorted(by_ratio[0].keys() & by_ratio[1].keys()):
            a, b = (float(np.median(table[ratio])) for table in by_ratio)
            if b and min(abs(a / b * energy_in_ev(unit) ** sign - 1) for sign in (1, -1)) < 0.02:
                return (
                    f"energies of {ratio} in this file are about {b:.5g} eV/atom, in {main[0].file} {a:.5g}: "
                    f"the ratio of {unit} and eV"
                )
    atomic = energy_in_ev("Hartree") / BOHR_A
    if all(rms) and (0.5 < rms[0] / rms[1] / atomic < 2 or 0.5 < rms[1] / rms[0] / atomic < 2):
        return (
            f"forces in this file have an rms of {rms[1]:.4g} eV/Å, those of {main[0].file} {rms[0]:.4g}: about the "
            "ratio of Hartree/Bohr and eV/Å"
        )
    return None
