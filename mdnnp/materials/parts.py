"""The parts of the report: the properties of a crystal, their names, and notes on them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mdnnp.atoms.quantities import density
from mdnnp.atoms.system import volume
from mdnnp.base.errors import InputError, MdnnpError, PhysicsError
from mdnnp.materials import defects, elastic, eos, lattice, quasiharmonic, surfaces, waves
from mdnnp.materials.crystal import Coverage, Crystal, worst
from mdnnp.materials.quantity import Part, Quantity

INTERRUPTED = "interrupted"
_AGREE = 0.01  # of the two ways to elastic constants, relative
_MOST_ATOMS_PHONONS = 100  # of the cell
_STRESS_FREE = 1e-3  # of the largest elastic constant
_NOT_LOWEST = "an energy is negative: with this potential, the crystal is not the state of lowest energy"
_SHOWN_K, _TABLE_K = (100, 300, 600, 1000), 300


class Settings(NamedTuple):
    """supercell : repeats for defects, None for a width of 10 Å; most_K : highest temperature."""

    supercell: tuple[int, int, int] | None = None
    most_K: float = 1000.0


def compute(
    crystal: Crystal, names: Sequence[str], settings: Settings, say: Callable[[str], None] = lambda text: None
) -> list[Part]:
    """The parts of these names; a part that fails says why, and the others are still computed.

    An interruption (Ctrl-C) ends the part that runs, and leaves out those after it; what is done is returned.
    """
    found = []
    for name in names:
        part = Part(name)
        try:
            _PARTS[name](crystal, settings, part, lambda text, name=name: say(f"{name}: {text}" if text else name))
        except (MdnnpError, np.linalg.LinAlgError) as error:
            part.failure = str(error)
        except KeyboardInterrupt:
            part.failure = INTERRUPTED
        found.append(part)
        if part.failure == INTERRUPTED:
            break
    return found


def cell_part(crystal: Crystal) -> Part:
    """Lattice, density, energy of the crystal itself."""
    part = Part("cell")
    cell = crystal.system.cell
    add = _adder(part, crystal.coverage)
    lengths = np.linalg.norm(cell, axis=1)
    structure = defects.cubic_structure(crystal.system)
    if structure is not None:
        edge = (defects.ATOMS_PER_CUBE[structure] * crystal.volume_per_atom) ** (1 / 3)
        add("a0_A", f"lattice constant of the cube ({structure})", edge, "Å")
    elif np.ptp(lengths) < 1e-4 * lengths[0] and np.abs(cell @ cell.T - lengths[0] ** 2 * np.eye(3)).max() < 1e-3:
        add("a0_A", "edge of the (cubic) cell", lengths[0], "Å")
    else:
        unit = cell / lengths[:, None]
        for axis, length in zip("abc", lengths, strict=True):
            add(f"{axis}_A", axis, length, "Å")
        for name, (i, j) in (("alpha", (1, 2)), ("beta", (0, 2)), ("gamma", (0, 1))):
            add(f"{name}_deg", name, np.degrees(np.arccos(unit[i] @ unit[j])), "°")
    add("density_g_per_cm3", "density", float(density(crystal.masses, volume(crystal.system.cell))), "g/cm³")
    add("energy_eV_per_atom", "energy", crystal.energy_per_atom, "eV/atom")
    return part


def _adder(part: Part, default: Coverage):
    def add(
        key: str, name: str, value: float, unit: str, coverage: Coverage | None = None, *, detail: bool = False
    ) -> None:
        seen = default if coverage is None else coverage
        part.quantities.append(Quantity(key, name, float(value), unit, seen, detail))

    return add


def _eos(crystal: Crystal, settings: Settings, part: Part, say) -> None:
    say("")
    found = eos.compress(crystal.potential, crystal.system, keep_symmetry=crystal.symmetry is not None)
    n, fit = len(crystal.system), found.equation
    add = _adder(part, worst(found.coverages))
    add("V0_A3_per_atom", "volume V₀", fit.volume / n, "Å³/atom")
    add("E0_eV_per_atom", "energy E₀", fit.energy / n, "eV/atom")
    add("B0_GPa", "bulk modulus B₀ of the fit", fit.bulk_modulus_GPa, "GPa")
    add("B0_prime", "its derivative B₀′", fit.derivative, "")
    part.notes.append(
        f"fitted to {len(found.volumes)} volumes, V/V₀ = {found.volumes[0] / fit.volume:.2f} to "
        f"{found.volumes[-1] / fit.volume:.2f}; deviation {1000 * fit.residual / n:.2g} meV/atom (rms). B₀ is that of "
        "the fit over this range; the bulk modulus under Elasticity is that of the relaxed crystal"
    )
    v = found.volumes
    rows = np.column_stack([v / n, found.energies / n, fit.at(v) / n, fit.pressure_GPa(v)])
    part.curves["eos"] = (("volume_A3_per_atom", "energy_eV_per_atom", "fit_eV_per_atom", "fit_pressure_GPa"), rows)
    part.result = found, n


class Elasticity(NamedTuple):
    """What the part on elasticity holds: both ways to the constants; sound, None of an unstable crystal."""

    exact: elastic.SecondDerivatives
    differences: elastic.StressStrain
    disagreement: float
    sound: waves.Sound | None


def _elastic(crystal: Crystal, settings: Settings, part: Part, say) -> None:
    say("second derivatives")
    exact = elastic.from_second_derivatives(crystal.potential, crystal.system)
    say("stresses of strained crystals")
    differences = elastic.from_stresses(crystal.potential, crystal.system)
    scale = np.abs(exact.relaxed).max()
    disagreement = float(
        max(np.abs(exact.relaxed - differences.relaxed).max(), np.abs(exact.clamped - differences.clamped).max())
        / scale
    )
    part.result = Elasticity(exact, differences, disagreement, None)
    add = _adder(part, worst([crystal.coverage, differences.coverage]))
    relaxed, clamped = (elastic.standard(c, crystal.symmetry) for c in (exact.relaxed, exact.clamped))
    for name, value in elastic.named_constants(relaxed).items():
        add(f"{name}_GPa", name, value, "GPa")
    for name, value in elastic.named_constants(clamped).items():
        add(f"{name}_clamped_GPa", f"{name}, clamped ions", value, "GPa")
    if np.abs(relaxed - exact.relaxed).max() > _AGREE * scale:
        axes = "; ".join(" ".join(f"{x:.4f}" for x in row) for row in crystal.symmetry.to_standard)
        part.notes.append(
            "C11 and so on are along the standard axes of the space group, the rows of this matrix in the structure's "
            f"x, y, z: [{axes}]; the tables of C are along x, y, z of the structure"
        )
    part.notes += _doubts(crystal, exact, disagreement)
    try:
        average = elastic.moduli(exact.relaxed)
    except PhysicsError as error:
        part.notes.append(str(error))
        return
    add("B_GPa", "bulk modulus, Hill", average.bulk, "GPa")
    add("B_Voigt_GPa", "bulk modulus, Voigt", average.bulk_voigt, "GPa", detail=True)
    add("B_Reuss_GPa", "bulk modulus, Reuss", average.bulk_reuss, "GPa", detail=True)
    add("G_GPa", "shear modulus, Hill", average.shear, "GPa")
    add("G_Voigt_GPa", "shear modulus, Voigt", average.shear_voigt, "GPa", detail=True)
    add("G_Reuss_GPa", "shear modulus, Reuss", average.shear_reuss, "GPa", detail=True)
    add("E_GPa", "Young's modulus, Hill", average.young, "GPa")
    add("poisson", "Poisson's ratio, Hill", average.poisson, "")
    add("A_universal", "universal anisotropy index", average.universal, "")
    if elastic.is_cubic(relaxed):
        c11, c12, c44 = elastic.cubic_constants(relaxed)
        add("A_Zener", "Zener's anisotropy 2C44/(C11−C12)", 2 * c44 / (c11 - c12), "")
    say("sound")
    _sound(crystal, part, exact, average, add)


def _doubts(crystal: Crystal, exact: elastic.SecondDerivatives, disagreement: float) -> list[str]:
    """Notes on the elastic constants, with their checks."""
    lowest = elastic.stiffnesses(exact.relaxed)[0]
    scale = np.abs(exact.relaxed).max()
    lines = [
        f"second derivatives and stress differences agree to {disagreement:.1e} of the largest constant"
        + ("" if disagreement < _AGREE else ": MORE than 1 %: the potential is not smooth here"),
        f"C is symmetric to {np.abs(exact.relaxed - exact.relaxed.T).max() / scale:.1e}; "
        + (
            f"Born's criterion holds: its lowest eigenvalue is {lowest:.4g} GPa"
            if lowest > 0
            else f"UNSTABLE (Born): an eigenvalue of C is {lowest:.4g} GPa"
        ),
    ]
    if exact.softest <= 0.0:
        lines.append(
            f"UNSTABLE: the atoms inside the cell are at a saddle (lowest eigenvalue {exact.softest:.3g} eV/Å²); the "
            "relaxed constants are not valid"
        )
    if np.abs(exact.stress).max() > _STRESS_FREE * scale:
        lines.append(
            f"the crystal is under stress, up to {np.abs(exact.stress).max():.3g} GPa: these are stress-strain "
            "coefficients, not second derivatives of the energy"
        )
    if crystal.symmetry is not None:
        n = elastic.independent_constants(crystal.symmetry)
        average = np.mean([elastic.rotated(exact.relaxed, m.T) for m in crystal.symmetry.matrices], axis=0)
        off = np.abs(average - exact.relaxed).max() / scale
        lines.append(
            f"the symmetry of the cell, {crystal.symmetry.name}, allows {n} constants; C has this symmetry to {off:.1e}"
        )
    return lines


def _sound(crystal: Crystal, part: Part, exact, average: elastic.Moduli, add) -> None:
    system = crystal.system
    try:
        found = waves.sound(exact.relaxed, average, system, crystal.masses)
    except PhysicsError as error:
        part.notes.append(str(error))
        return
    part.result = part.result._replace(sound=found)
    for key, three in found.directions.items():
        for name, v in zip(("fast", "middle", "slow"), three, strict=True):
            add(f"v_{key}_{name}_m_per_s", f"sound along [{key}], {name}", v, "m/s", detail=True)
    add("v_L_m_per_s", "longitudinal sound, polycrystal", found.longitudinal, "m/s")
    add("v_T_m_per_s", "transverse sound, polycrystal", found.transverse, "m/s")
    add("v_mean_m_per_s", "Debye's mean velocity", found.mean, "m/s", detail=True)
    add("Debye_K", "Debye temperature", found.debye, "K")
    add("Debye_Anderson_K", "Debye temperature, Anderson's estimate", found.debye_anderson, "K", detail=True)
    try:
        _refuse_large(system)
        constants = lattice.find_force_constants(crystal.potential, system, crystal.masses)
    except InputError as error:
        part.notes.append(f"velocities were not compared with phonons: {error}")
        return
    worst_of = 0.0
    for key, three in found.directions.items():
        slopes = lattice.sound_velocities(constants, waves.direction(system, [int(k) for k in key]))
        worst_of = max(worst_of, float(np.abs(slopes / three - 1.0).max()))
    part.notes.append(
        f"slopes of the acoustic phonon branches agree with these velocities to {worst_of:.1e}"
        if worst_of < _AGREE
        else "slopes of the acoustic phonon branches are NOT these velocities: the crystal is unstable against phonons"
    )


def _refuse_large(system) -> None:
    if len(system) > _MOST_ATOMS_PHONONS:
        raise InputError(
            f"phonons at many wave vectors are computed for cells of up to {_MOST_ATOMS_PHONONS} atoms, this one has "
            f"{len(system)}; give the unit cell"
        )


def _defects(crystal: Crystal, settings: Settings, part: Part, say) -> None:
    found = defects.point_defects(
        crystal.potential, crystal.system, crystal.symmetry, settings.supercell, say
    )  # fmt: skip
    add = _adder(part, crystal.coverage)
    element = len(defects.formula_unit(crystal.system.numbers)) == 1
    for d in found:
        if not element and d.key.startswith("vacancy"):
            continue  # no energy without a chemical potential
        for ending, what, found_so, detail in (
            ("_unrelaxed", "unrelaxed", d.unrelaxed, False), ("", "relaxed", d.relaxed, False),
            ("_lowest", "lowest found", d.lowest, True),
            ("_larger", f"relaxed, {d.n_larger} sites", d.larger, True),
        ):  # fmt: skip
            if found_so is not None:
                add(f"{d.key}{ending}_eV", f"{d.name}, {what}", found_so.energy, "eV", found_so.coverage, detail=detail)
    part.notes.append(
        f"supercell of {found[0].n_atoms} sites, fixed cell" + (f"; {_size_effect(found)}" if found[0].larger else "")
    )
    for d in found:
        part.notes += defects.notes_on(d) if element or d.key == "schottky" else []
    if min(d.lowest.energy for d in found if element or d.key == "schottky") < 0:
        part.notes.append(_NOT_LOWEST)
    if not element:
        part.notes.append(
            "a single vacancy of a compound has no energy without a chemical potential; the vacancies of a formula "
            "unit together have (interstitials are for elements)"
        )
    elif defects.cubic_structure(crystal.system) is None:
        part.notes.append("no interstitials: their sites are known for the diamond, fcc and bcc structures")
    part.result = found


def _size_effect(found: list[defects.Defect]) -> str:
    changes = [d.larger.energy - d.relaxed.energy for d in found]
    return f"in the one of {found[0].n_larger} sites, energies differ by up to {max(changes, key=abs):+.3f} eV"


def _surfaces(crystal: Crystal, settings: Settings, part: Part, say) -> None:
    found = surfaces.surface_energies(crystal.potential, crystal.system, crystal.energy_per_atom, say)
    add = _adder(part, crystal.coverage)
    for s in found:
        name = "".join(map(str, s.indices))
        for ending, what, value, seen in (
            ("_unrelaxed", "unrelaxed", s.unrelaxed, s.before), ("", "relaxed", s.relaxed, s.after),
        ):  # fmt: skip
            add(f"surface_{name}{ending}_J_per_m2", f"({name}), {what}", value * surfaces.J_PER_M2, "J/m²", seen)
            add(f"surface_{name}{ending}_eV_per_A2", f"({name}), {what}", value, "eV/Å²", seen, detail=True)
        part.notes.append(
            f"({name}): slab of {s.n_atoms} atoms in {s.layers} layers, {s.area:.2f} Å² on each side, open boundaries"
            + ("" if s.converged else "; it did NOT relax")
        )
    if min(s.relaxed for s in found) < 0:
        part.notes.append(_NOT_LOWEST)
    part.result = found


def _thermal(crystal: Crystal, settings: Settings, part: Part, say) -> None:
    _refuse_large(crystal.system)
    temperatures = np.linspace(0.0, settings.most_K, 1 + max(1, round(settings.most_K / 10)))
    found = quasiharmonic.quasiharmonic(
        crystal.potential, crystal.system, crystal.masses, temperatures, keep_symmetry=crystal.symmetry is not None,
        each=say,
    )  # fmt: skip
    n = len(crystal.system)
    rest = volume(crystal.system.cell) / n
    add = _adder(part, worst(s.coverage for s in found.states))
    add("zero_point_eV_per_atom", "zero-point energy", found.zero_point, "eV/atom")
    add("zero_point_expansion_percent", "zero-point change of volume", 100 * (found.volume[0] / rest - 1), "%")
    for t in (t for t in _SHOWN_K if t <= found.temperature[-1]):
        detail = t != _TABLE_K
        at = [np.interp(t, found.temperature, column) for column in found[1:7]]
        size, alpha, modulus, c_v, c_p, gamma = at
        add(f"V_{t}K_A3_per_atom", f"volume at {t} K", size, "Å³/atom", detail=True)
        add(f"alpha_{t}K_per_K", f"linear thermal expansion at {t} K", alpha / 3, "1/K", detail=detail)
        add(f"B_{t}K_GPa", f"isothermal bulk modulus at {t} K", modulus, "GPa", detail=detail)
        add(f"CV_{t}K_J_per_mol_K", f"C_V at {t} K", c_v, "J/(mol K)", detail=detail)
        add(f"CP_{t}K_J_per_mol_K", f"C_P at {t} K", c_p, "J/(mol K)", detail=detail)
        add(f"gruneisen_{t}K", f"Grüneisen parameter at {t} K", gamma, "", detail=detail)
    part.notes += found.notes
    points = len(found.states[0].frequencies)
    part.notes.append(
        f"{len(found.states)} volumes, {points} wave vectors each (and their opposites), no interpolation"
    )
    names = (
        "temperature_K", "volume_A3_per_atom", "volume_expansion_per_K", "bulk_modulus_GPa", "CV_J_per_mol_K",
        "CP_J_per_mol_K", "gruneisen",
    )  # fmt: skip
    part.curves["thermal"] = (names, np.column_stack(found[:7]))
    part.result = found


_PARTS = {"eos": _eos, "elastic": _elastic, "defects": _defects, "surfaces": _surfaces, "thermal": _thermal}
NAMES = tuple(_PARTS)
