"""The analyses of trajectories against analytic cases and independent libraries."""

import json
import math
import subprocess
import sys
import tracemalloc
import warnings

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_masses

from mdnnp.analysis import (
    Frames,
    angular_distribution,
    bond_events,
    green_kubo,
    mean_squared_displacement,
    profiles,
    radial_distribution,
    structure_factor,
    velocity_spectrum,
)
from mdnnp.analysis.dynamics import viscosity
from mdnnp.analysis.physics import Settings, _without_plateau, physics, shown
from mdnnp.atoms.quantities import centre_of_mass
from mdnnp.atoms.system import make_system
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.units import ACCELERATION_A_PER_FS2, EV_PER_A3_IN_GPA, U_PER_A3_IN_G_PER_CM3
from mdnnp.command.analyze import Request, perform
from mdnnp.command.verb import finish
from mdnnp.dynamics.integrators import MDState, verlet_step
from mdnnp.landscape.modes import all_modes
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.trajectory import TrajectoryWriter

TRICLINIC = np.array([[14.0, 0, 0], [3.0, 13.0, 0], [-2.0, 4.0, 12.0]])


def foreign(path, positions, cell, *, numbers=None, velocities=None, dt_fs=1.0, pbc=True, image=None):
    """An H5MD file of another program: static box, no masses."""
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = np.array([1, 1], dtype=np.int32)
        group = file.create_group("particles/all")
        box = group.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = np.array([b"periodic" if pbc else b"none"] * 3)
        box["edges"] = np.asarray(cell, dtype=float)
        box["edges"].attrs["unit"] = "Angstrom"
        for name, values, unit in (("position", positions, "Angstrom"), ("velocity", velocities, "Angstrom fs-1")):
            if values is not None:
                element = group.create_group(name)
                element["value"] = values
                element["value"].attrs["unit"] = unit
                element["step"] = np.arange(len(values))
                element["time"] = np.arange(len(values)) * dt_fs
                element["time"].attrs["unit"] = "fs"
        if image is not None:
            group.create_group("image")["value"] = image
        if numbers is not None:
            group["species"] = np.asarray(numbers, dtype=np.int32)
    return path


def own(path, positions, cell, numbers, velocities, dt_fs=1.0, first_step=0):
    """A trajectory as `mdnnp run` writes them."""
    numbers = np.asarray(numbers)
    writer = TrajectoryWriter.create(
        path, numbers=numbers, masses=np.full(len(numbers), 12.0), pbc=np.ones(3, bool), thermo_units={},
        parameters={"timestep_fs": dt_fs}, forces=False,
    )  # fmt: skip
    nothing = {name: 0.0 for name in ("potential_energy", "kinetic_energy", "total_energy", "temperature")}
    for k, (x, v) in enumerate(zip(positions, velocities, strict=True), first_step):
        writer.write_frame(k, k * dt_fs, x, cell, nothing | {"stress": np.zeros((3, 3))}, velocities=v)
    writer.close()
    return path


def wrapped(positions, cell):
    s = positions @ np.linalg.inv(cell)
    return (s - np.floor(s)) @ cell


def within(value, error, expected, sigmas=4.0):
    assert error > 0
    assert abs(value - expected) < sigmas * error, f"{value} ± {error}, expected {expected}"


# --- Structure --------------------------------------------------------------------------------------------


def test_ideal_gas_beyond_half_of_a_skewed_cell(tmp_path):
    rng = np.random.default_rng(0)
    n_a, n_b = 60, 40
    x = rng.random((80, n_a + n_b, 3)) @ TRICLINIC
    path = foreign(tmp_path / "gas.h5", x, TRICLINIC, numbers=[18] * n_a + [36] * n_b)
    with Frames([path]) as frames:
        found = radial_distribution(frames, 9.0, 0.5)  # half of the smallest height is 5.5
        s = structure_factor(frames, 4.0)
    for name, expected in (("rdf Ar-Ar", 1 - 1 / n_a), ("rdf Ar-Kr", 1.0), ("rdf Kr-Kr", 1 - 1 / n_b)):
        g = found[name]
        first = g.x < 5.0  # beyond, an atom's own images count as well
        chi2 = np.mean(((g.y - expected) / g.error)[first & (g.x > 1)] ** 2)
        assert chi2 < 4
        within(np.mean(g.y[first & (g.x > 2)]), np.sqrt(np.mean(g.error[first & (g.x > 2)] ** 2)), expected)
    density = n_b / abs(np.linalg.det(TRICLINIC))
    c = found["coordination Ar-Kr"]
    within(c.y[-1], c.error[-1], density * 4 / 3 * np.pi * 9.0**3)
    for name, expected in (("structure factor", 1.0), ("structure factor Ar-Ar", 1.0), ("structure factor Ar-Kr", 0.0)):
        z = (s[name].y - expected) / s[name].error
        assert np.nanmean(z[s[name].x > 0.6] ** 2) < 2.5


def fcc(a=4.0, n=2):
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return (grid[:, None] + basis).reshape(-1, 3) * a, np.eye(3) * a * n


def test_shells_and_bragg_peaks_of_fcc(tmp_path):
    x, cell = fcc()
    path = foreign(tmp_path / "fcc.h5", np.array([x] * 5), cell, numbers=[18] * len(x))
    with Frames([path]) as frames:
        n = radial_distribution(frames, 7.99)["coordination Ar-Ar"]  # nearly the whole cell: images count
        s = structure_factor(frames, 4.0, 0.02)["structure factor"]
    shells = {2.9: 12, 4.1: 18, 5.0: 42, 5.7: 54, 6.4: 78, 7.0: 86, 7.6: 134}
    for r, count in shells.items():
        assert n.y[np.searchsorted(n.x, r)] == pytest.approx(count, abs=1e-12)
    strong = s.y > 1e-9
    reflections = 2 * np.pi / 4.0 * np.sqrt([3, 4])  # {111}, {200}
    assert all(np.any(np.abs(s.x[strong] - k) < 0.02) for k in reflections)
    assert np.all(s.x[strong] > reflections[0] - 0.02)
    assert s.y.max() <= len(x) + 1e-9


def test_tetrahedral_angle(tmp_path):
    x, cell = fcc(5.43, 1)
    x = np.concatenate([x, x + 5.43 / 4])
    path = foreign(tmp_path / "si.h5", np.array([x] * 4), cell, numbers=[14] * 8)
    with Frames([path]) as frames:
        a = angular_distribution(frames)["angle Si-Si-Si"]
    assert list(np.flatnonzero(a.y)) == [int(109.47122 / 2)]
    assert np.sum(a.y) * 2 == pytest.approx(1)


def test_profiles_of_two_slabs(tmp_path):
    rng = np.random.default_rng(2)
    n, cell = 400, np.diag([10.0, 10.0, 20.0])
    s = rng.random((50, n, 3))
    hot = s[..., 2] < 0.5
    s[..., 2] = np.where(rng.random((50, n)) < 0.75, 0.5 * s[..., 2], 0.5 + 0.5 * s[..., 2])
    hot = s[..., 2] < 0.5
    m = 39.948
    v = rng.normal(size=(50, n, 3)) * np.sqrt(8.617333e-5 * np.where(hot, 400.0, 200.0) / m * ACCELERATION_A_PER_FS2)[
        ..., None]  # fmt: skip
    path = foreign(tmp_path / "slabs.h5", s @ cell, cell, numbers=[18] * n, velocities=v)
    with Frames([path]) as frames:
        found = profiles(frames, 2, 10)
    rho, t = found["density profile"], found["temperature profile"]
    mean = n * m / 2000.0 * U_PER_A3_IN_G_PER_CM3
    assert np.all(np.abs(rho.y - np.where(rho.x < 10, 1.5, 0.5) * mean) < 5 * rho.error)
    assert np.all(np.abs(t.y - np.where(t.x < 10, 400, 200) * n / (n - 1)) < 5 * t.error)


def test_bonds_break_and_form_with_hysteresis(tmp_path):
    d = np.array([0.7, 0.9, 1.1, 0.9, 0.7, 1.3, 1.1, 0.9, 0.7])  # forms below 0.8, breaks above 1.2
    x = np.zeros((len(d), 2, 3))
    x[:, 1, 0] = 10.0 + d  # across the boundary
    path = foreign(tmp_path / "h2.h5", wrapped(x, np.eye(3) * 10), np.eye(3) * 10, numbers=[1, 1])
    with Frames([path], species=["H"]) as frames:
        bonds = bond_events(frames, {("H", "H"): (0.8, 1.2)})
        assert list(bonds.table.y) == [1, 1, 1, 1, 1, 0, 0, 0, 1]
        assert bonds.events == [(5.0, 0, 1, False), (8.0, 0, 1, True)]
        with pytest.raises(InputError, match="no O in the run, which has H"):
            bond_events(frames, {("O", "H"): (0.8, 1.2)})
        with pytest.raises(InputError, match="must not exceed"):
            bond_events(frames, {("H", "H"): (1.2, 0.8)})


# --- Dynamics ---------------------------------------------------------------------------------------------


def test_random_walk_wrapped_in_a_skewed_cell(tmp_path):
    rng = np.random.default_rng(3)
    steps = rng.normal(0, 0.2, (2000, 50, 3))
    x = np.cumsum(steps, axis=0)
    path = foreign(tmp_path / "walk.h5", wrapped(x, TRICLINIC), TRICLINIC, numbers=[18] * 50)
    with Frames([path]) as frames:
        followed = frames.unwrapped(0, 2000, np.arange(50))
        np.testing.assert_allclose(followed - followed[0], x - x[0], atol=1e-9)
        found = mean_squared_displacement(frames, 100.0, remove_drift=False)["msd Ar"]
    msd = [np.mean(np.sum((x[k:] - x[: len(x) - k]) ** 2, axis=2)) for k in range(101)]
    np.testing.assert_allclose(found.y, msd, atol=1e-9)
    within(*found.numbers["D / (1e-9 m²/s)"], 0.2**2 / 2 * 1e4)
    assert found.numbers["exponent of the MSD in the window (1: diffusion)"][0] == pytest.approx(1, abs=0.05)


def test_image_flags_are_followed_where_atoms_jump_far(tmp_path):
    rng = np.random.default_rng(4)
    cell = np.eye(3) * 5.0
    x = np.cumsum(rng.normal(0, 4.0, (30, 6, 3)), axis=0)
    image = np.floor(x / 5.0).astype(int)
    path = foreign(tmp_path / "far.h5", x - image @ cell, cell, numbers=[18] * 6, image=image)
    with Frames([path]) as frames:
        followed = frames.unwrapped(0, 30, np.arange(6))
    np.testing.assert_allclose(followed - followed[0], x - x[0], atol=1e-9)


def test_finite_size_correction(tmp_path):
    rng = np.random.default_rng(5)
    x = np.cumsum(rng.normal(0, 0.1, (200, 8, 3)), axis=0)
    cube, skewed = foreign(tmp_path / "a.h5", x, np.eye(3) * 20.0, numbers=[18] * 8), tmp_path / "b.h5"
    foreign(skewed, x, TRICLINIC, numbers=[18] * 8)
    with Frames([cube]) as frames:
        numbers = mean_squared_displacement(frames, viscosity_mPas=0.89, temperature=298.15)["msd Ar"].numbers
    d, infinite = (numbers[name][0] for name in ("D / (1e-9 m²/s)", "D at infinite size / (1e-9 m²/s)"))
    assert infinite - d == pytest.approx(0.3481, rel=1e-3)  # 2.837297 * 1.380649e-23 * 298.15 / (6 pi 0.89e-3 20e-10)
    with Frames([skewed]) as frames, pytest.raises(InputError, match="cubic"):
        mean_squared_displacement(frames, viscosity_mPas=0.89, temperature=298.15)


def ornstein_uhlenbeck(rng, shape, gamma_dt):
    v = np.empty(shape)
    v[0] = rng.normal(size=shape[1:])
    a = math.exp(-gamma_dt)
    for k in range(1, shape[0]):
        v[k] = a * v[k - 1] + math.sqrt(1 - a * a) * rng.normal(size=shape[1:])
    return v


def test_ornstein_uhlenbeck_velocities(tmp_path):
    v = ornstein_uhlenbeck(np.random.default_rng(6), (4000, 40, 3), 0.05)
    path = foreign(tmp_path / "ou.h5", np.zeros_like(v), np.eye(3) * 9, numbers=[18] * 40, velocities=v)
    with Frames([path]) as frames:
        found = velocity_spectrum(frames, 200.0)
    c, g = found["vacf Ar"], found["vdos Ar"]
    z = (c.y - np.exp(-0.05 * c.x * 1e3))[1:60] / c.error[1:60]
    assert np.mean(z**2) < 4
    thz = g.x / 33.35641
    assert np.trapezoid(g.y, thz) == pytest.approx(1, abs=1e-6)


def test_green_kubo_of_a_known_process():
    s = ornstein_uhlenbeck(np.random.default_rng(7), (40_000, 3), 0.1)
    found = green_kubo(s, 1.0, 2.0, 200.0, ("c", "integral / unit", "integral"))
    a = math.exp(-0.1)
    within(*found["integral"].numbers["integral"], 2.0 * (0.5 + a / (1 - a)))  # trapezoids of exp(-t/10)
    with pytest.raises(InputError, match="too few"):
        green_kubo(s[:100], 1.0, 1.0, 90.0, ("c", "i", "i"))


def test_error_bars_of_green_kubo_cover_the_truth():
    """Of processes with a fast and a weak slow decay, as of a liquid's stress, 130 to 800 slow times long."""
    rng, fast, slow, weight = np.random.default_rng(8), 0.2, 1 / 30, 0.16

    def integral(rate):
        return 0.5 + math.exp(-rate) / (1 - math.exp(-rate))

    truth, z = integral(fast) + weight * integral(slow), {}
    for n, realisations in ((4000, 60), (24_000, 20)):
        found = []
        for _ in range(realisations):
            s = ornstein_uhlenbeck(rng, (n, 5), fast) + math.sqrt(weight) * ornstein_uhlenbeck(rng, (n, 5), slow)
            found.append(green_kubo(s, 1.0, 1.0, 400.0, ("c", "i / u", "i"))["i"].numbers["i"])
        value, error = np.array(found).T
        z[n] = np.abs(value - truth) / error
    # One error bar covers 68 %, two 95 % of normal deviates; the short runs' tails are partly below their noise.
    assert 0.45 < np.mean(z[4000] < 1) < 0.85 and np.mean(z[4000] < 2) > 0.75
    assert 0.60 < np.mean(z[24_000] < 1) < 0.95 and np.mean(z[24_000] < 2) > 0.89


def test_vibrations_of_a_crystal_are_at_the_frequencies_of_its_hessian(tmp_path):
    potential = LennardJones({"Ar": (0.0103, 3.4)}, 6.5)
    x, cell = fcc(5.3, 1)
    system = make_system(x, [18] * 4, cell, True)
    h, n = 1e-4, 4
    hessian = np.empty((3 * n, 3 * n))
    for k in range(3 * n):
        forces = []
        for sign in (1, -1):
            moved = x.copy().ravel()
            moved[k] += sign * h
            forces.append(potential.compute(system._replace(positions=moved.reshape(-1, 3))).forces.ravel())
        hessian[k] = -(forces[0] - forces[1]) / (2 * h)
    mass = 39.948
    squares = np.linalg.eigvalsh(0.5 * (hessian + hessian.T) / mass * ACCELERATION_A_PER_FS2)
    modes = np.unique(np.round(np.sqrt(squares[3:]) / (2 * np.pi) * 33356.41, 3))  # 1/cm
    rng = np.random.default_rng(8)
    v = rng.normal(0, 1e-6, (n, 3))
    masses, dt, every = np.full(n, mass), 10.0, 5
    state = MDState(system, v - v.mean(axis=0), masses, potential.compute(system), 0)
    positions, velocities = [], []
    for k in range(6_000):
        if k % every == 0:
            positions.append(state.system.positions)
            velocities.append(state.velocities)
        state = verlet_step(state, dt, potential.compute)
    path = foreign(tmp_path / "crystal.h5", positions, cell, numbers=[18] * n, velocities=np.array(velocities),
                   dt_fs=dt * every)  # fmt: skip
    with Frames([path]) as frames:
        g = velocity_spectrum(frames, 30_000.0)["vdos Ar"]
    found = np.sort([v for name, (v, _) in g.numbers.items() if name.startswith("peak")])
    apart = [m for k, m in enumerate(modes) if k == 0 or m - modes[k - 1] > 2.0]
    assert len(found) == len(apart) >= 2
    np.testing.assert_allclose(found, apart, atol=0.5)  # resolution 1.1


@pytest.mark.parametrize("symbols", ["HeXe2", "Xe2"])
def test_vibrations_of_a_molecule_that_turns(tmp_path, symbols):
    """Its rotation, with far more energy than the vibrations, is not in the spectrum."""
    numbers = Atoms(symbols).numbers
    potential = LennardJones({"He": (0.01, 3.4), "Xe": (0.02, 3.9)}, 12.0)
    corners = np.array([[0.0, 0, 0], [3.8, 0, 0], [1.9, 3.3, 0]])[: len(numbers)]
    system = relax(potential, make_system(corners, numbers), Goal(force_tolerance=1e-8)).point.system
    masses = atomic_masses[numbers]
    found = all_modes(potential, system, masses)
    modes = found.frequencies_THz * 33.35641
    x = system.positions - centre_of_mass(system.positions, masses)
    vibrating = 2e-4 * np.sum(found.vectors, axis=0) / np.sqrt(masses)[:, None]  # all modes alike
    v, dt, every = vibrating + np.cross([0, 3e-5, 1e-4], x), 5.0, 5
    state, frames = MDState(system, v, masses, potential.compute(system), 0), []
    for k in range(6_000):
        if k % every == 0:
            frames.append((state.system.positions, state.velocities))
        state = verlet_step(state, dt, potential.compute)
    positions, velocities = map(np.array, zip(*frames, strict=True))
    path = foreign(tmp_path / "molecule.h5", positions, np.eye(3) * 30, numbers=numbers, velocities=velocities,
                   dt_fs=dt * every, pbc=False)  # fmt: skip
    found = physics([path], Settings(warmup_fs=0.0, lag_fs=15_000.0))
    tables = found.tables
    g = tables["vdos all" if "vdos all" in tables else "vdos Xe"]
    peaks = np.sort([v for name, (v, _) in g.numbers.items() if name.startswith("peak")])
    np.testing.assert_allclose(peaks, np.sort(modes), atol=0.7)  # resolution 2.2
    assert not any(name.startswith(("rdf", "msd", "density", "shear")) for name in tables)
    assert sum("molecule or cluster" in note for note in found.notes) == 1
    assert not any("periodic" in note for note in found.notes)


def test_a_crystal_has_no_diffusion_and_no_viscosity(tmp_path):
    rng = np.random.default_rng(9)
    x, cell = fcc()
    moving = x + rng.normal(0, 0.1, (2000, *x.shape))
    path = foreign(tmp_path / "x.h5", moving, cell, numbers=[18] * len(x), dt_fs=10.0)
    found = physics([path], Settings(warmup_fs=0.0))
    numbers = found.tables["msd Ar"].numbers
    assert not any("D /" in name for name in numbers)
    amplitude = numbers["rms displacement from the mean position / Å"]
    within(*amplitude, 0.1 * math.sqrt(3 * (1 - 1 / len(x))))  # the centre of mass is at rest
    assert sum("does not grow with time" in note for note in found.notes) == 1
    assert not any(note.startswith("viscosity") for note in found.notes)
    assert "±" not in shown(*found.tables["density profile"].numbers["mean density / (g/cm³)"])
    # Hops over a lattice constant, in any direction, are diffusion.
    hops = np.cumsum(
        np.where(rng.random((2000, len(x), 1)) < 0.02, rng.choice([-2.0, 2.0], (2000, len(x), 3)), 0), axis=0
    )
    path = foreign(tmp_path / "y.h5", wrapped(moving + hops, cell), cell, numbers=[18] * len(x), dt_fs=10.0)
    assert "D / (1e-9 m²/s)" in physics([path], Settings(warmup_fs=0.0)).tables["msd Ar"].numbers


def test_melting_is_seen_along_a_ramp(tmp_path):
    """Atoms that vibrate harder and harder, then walk."""
    rng, n = np.random.default_rng(10), 2000
    x, cell = fcc()
    t = np.linspace(0, 1, n)[:, None, None]
    walk = np.cumsum(np.where(t > 0.6, 0.3, 0.0) * rng.normal(size=(n, *x.shape)), axis=0)
    velocities = rng.normal(0, 1e-3, (n, *x.shape)) * np.sqrt(1 + 2 * t)
    path = foreign(tmp_path / "x.h5", wrapped(x + 0.1 * np.sqrt(1 + t) * rng.normal(size=(n, *x.shape)) + walk, cell),
                   cell, numbers=[18] * len(x), velocities=velocities, dt_fs=10.0)  # fmt: skip
    found = physics([path], Settings(warmup_fs=0.0, until_fs=19_000.0, ramp="from here to there"))
    table = found.tables["ramp displacement Ar"]
    crystal, melt = table.y[: len(table.x) // 2], table.y[-5:]
    assert 0.06 * 0.9 < crystal[0] < 0.06 * 1.2 and melt.min() > 5 * crystal.max()
    assert table.x[-1] > 2 * table.x[0]
    assert not any(name.startswith(("msd", "shear")) for name in found.tables)
    assert any("not an equilibrium" in note for note in found.notes)
    assert "to 19 ps" in dict(found.run)["frames"]


def test_no_number_without_a_plateau():
    series = np.cumsum(np.random.default_rng(3).normal(size=(400, 3)), axis=0)  # never forgets
    found = green_kubo(series, 1.0, 1.0, 40.0, ("c", "integral / x", "number"))
    assert "number" in found["integral"].numbers
    assert not _without_plateau(found)["integral"].numbers


# --- Peers ------------------------------------------------------------------------------------------------


def liquid(tmp_path, n=64, frames=12):
    rng = np.random.default_rng(9)
    cell = np.array([[13.0, 0, 0], [1.5, 12.0, 0], [-2.0, 1.0, 12.5]])
    x = rng.random((1, n, 3)) @ cell + np.cumsum(rng.normal(0, 0.3, (frames, n, 3)), axis=0)
    # Peers hold coordinates in single precision.
    return x.astype(np.float32).astype(float), cell, np.where(np.arange(n) < n // 3, 8, 1)


def test_distances_agree_with_mdanalysis_and_freud(tmp_path):
    freud = pytest.importorskip("freud")
    mda = pytest.importorskip("MDAnalysis")
    from MDAnalysis.analysis.rdf import InterRDF

    x, cell, numbers = liquid(tmp_path)
    path = foreign(tmp_path / "l.h5", x, cell, numbers=numbers)
    with Frames([path]) as frames:
        found = radial_distribution(frames, 5.0, 0.1)
    universe = mda.Universe.empty(len(numbers), trajectory=True)
    universe.load_new(x.astype(np.float32), dimensions=np.tile(_dimensions(cell), (len(x), 1)))
    box = freud.box.Box.from_matrix(cell.T)
    for a, b, name in ((8, 8, "O-O"), (8, 1, "H-O"), (1, 1, "H-H")):
        first, second = (universe.atoms[np.flatnonzero(numbers == z)] for z in (a, b))
        ref = InterRDF(first, second, nbins=50, range=(0.0, 5.0), exclusion_block=(1, 1) if a == b else None).run()
        # MDAnalysis leaves the excluded pairs out of its density.
        scale = (1 - 1 / len(first)) if a == b else 1.0
        mine = found[f"rdf {name}"].y
        assert np.mean(np.abs(mine - ref.results.rdf * scale) > 1e-4) < 0.05  # pairs on the edge of a bin
        theirs = freud.density.RDF(50, 5.0)
        for k, frame in enumerate(x):
            points = frame @ np.linalg.inv(cell) - 0.5
            points = (points - np.floor(points) - 0.5) @ cell
            p, q = points[numbers == a], points[numbers == b]
            query = {"r_max": 5.0, "exclude_ii": a == b}
            theirs.compute((box, p), query_points=q, neighbors=query, reset=k == 0)
        assert np.mean(np.abs(mine - theirs.rdf) > 1e-4) < 0.05


def _dimensions(cell):
    from MDAnalysis.lib.mdamath import triclinic_box

    return triclinic_box(*cell)


def test_displacements_agree_with_mdanalysis_and_freud(tmp_path):
    freud = pytest.importorskip("freud")
    mda = pytest.importorskip("MDAnalysis")
    pytest.importorskip("tidynamics")
    from MDAnalysis.analysis.msd import EinsteinMSD

    x, cell, numbers = liquid(tmp_path, frames=60)
    path = foreign(tmp_path / "m.h5", wrapped(x, cell), cell, numbers=numbers)
    with Frames([path]) as frames:
        found = mean_squared_displacement(frames, 40.0, remove_drift=False)
    universe = mda.Universe.empty(len(numbers), trajectory=True)
    universe.load_new(x.astype(np.float32))
    for z, name in ((8, "O"), (1, "H")):
        indices = " ".join(str(i) for i in np.flatnonzero(numbers == z))
        mine = found[f"msd {name}"].y
        ref = EinsteinMSD(universe, select=f"index {indices}", fft=True).run().results.timeseries
        np.testing.assert_allclose(mine, ref[:41], rtol=1e-9, atol=1e-9)
        theirs = freud.msd.MSD().compute(x[:, numbers == z]).msd
        np.testing.assert_allclose(mine, theirs[:41], rtol=1e-5, atol=1e-4)  # single precision


# --- Reading ----------------------------------------------------------------------------------------------


def test_parts_are_chained_and_later_ones_win(tmp_path):
    rng = np.random.default_rng(10)
    x = np.cumsum(rng.normal(0, 0.1, (60, 5, 3)), axis=0) + 5
    v = rng.normal(0, 1e-3, x.shape)
    cell, numbers = np.eye(3) * 10, [6] * 5
    whole = own(tmp_path / "whole.h5", x, cell, numbers, v)
    spoilt = x[:40].copy()
    spoilt[30:] += 3.0  # replaced by the second part
    parts = [own(tmp_path / "a.h5", spoilt, cell, numbers, v[:40]),
             own(tmp_path / "b.h5", x[30:], cell, numbers, v[30:], first_step=30)]  # fmt: skip
    with Frames([whole]) as one, Frames(parts) as two:
        assert len(one) == len(two) == 60
        for what in ("positions", "velocities"):
            np.testing.assert_array_equal(one.read(what, 3, 57), two.read(what, 3, 57))
    other = own(tmp_path / "c.h5", x[:, :4], cell, numbers[:4], v[:, :4])
    with pytest.raises(InputError, match="not the atoms of"):
        Frames([whole, other])


def test_small_pieces_give_the_same(tmp_path, monkeypatch):
    rng = np.random.default_rng(11)
    x = np.cumsum(rng.normal(0, 0.3, (100, 12, 3)), axis=0)
    path = foreign(tmp_path / "x.h5", wrapped(x, np.eye(3) * 8), np.eye(3) * 8, numbers=[18] * 12, velocities=x * 1e-3)

    def analyse():
        with Frames([path]) as frames:
            tables = mean_squared_displacement(frames) | velocity_spectrum(frames) | radial_distribution(frames)
        return {name: np.array([t.y, t.error]) for name, t in tables.items()}

    whole = analyse()
    monkeypatch.setattr("mdnnp.analysis.frames._VALUES_AT_ONCE", 200)
    monkeypatch.setattr("mdnnp.analysis.dynamics._SEGMENT_VALUES", 300)
    for name, values in analyse().items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-9, atol=1e-12)


def test_frames_are_left_out_of_displacements_where_memory_ends(tmp_path, monkeypatch):
    rng = np.random.default_rng(17)
    x = np.cumsum(rng.normal(0, 0.3, (3000, 4, 3)), axis=0)
    path = foreign(tmp_path / "x.h5", wrapped(x, TRICLINIC), TRICLINIC, numbers=[18] * 4, dt_fs=2.0)
    with Frames([path]) as frames:
        whole = mean_squared_displacement(frames)["msd Ar"]
        for start, every in ((0, 3), (5, 7), (2, 1000)):
            np.testing.assert_allclose(
                frames.unwrapped(start, 2999, np.arange(4), every=every),
                frames.unwrapped(start, 2999, np.arange(4))[::every],
            )
    monkeypatch.setattr("mdnnp.analysis.frames._VALUES_AT_ONCE", 200)
    monkeypatch.setattr("mdnnp.analysis.dynamics._SEGMENT_VALUES", 6 * 600 * 4 // 3)
    with Frames([path]) as frames:
        found = mean_squared_displacement(frames)["msd Ar"]
        assert "1 of every 3 frames" in frames.notes[-1]
    np.testing.assert_allclose(found.x, whole.x[::3])
    # The same displacements, of a third of the origins: equal within what origins differ by.
    np.testing.assert_allclose(found.y[1:], whole.y[::3][1:], rtol=0.05)


def test_memory_does_not_grow_with_the_run_and_each_frame_is_read_a_few_times(tmp_path, monkeypatch):
    """Of a file that is many times larger than what may be held, with all analyses of `mdnnp analyze`."""
    n, limit = 50, 15_000  # values
    monkeypatch.setattr("mdnnp.analysis.frames._VALUES_AT_ONCE", limit // 4)
    monkeypatch.setattr("mdnnp.analysis.dynamics._SEGMENT_VALUES", limit)
    rng, cell = np.random.default_rng(18), np.eye(3) * 20.0
    read = []
    original = Frames.read
    monkeypatch.setattr(Frames, "read", lambda self, what, a, b, **k: read.append((what, b - a)) or original(
        self, what, a, b, **k))  # fmt: skip
    peaks, sizes = [], []
    for n_frames in (20, 400, 1_200):  # the first to compile and load what is loaded late
        path = tmp_path / f"{n_frames}.h5"
        v = rng.normal(0, 0.01, (n_frames, n, 3))
        x = rng.random((n, 3)) * 20 + np.cumsum(v, axis=0)
        foreign(path, x, cell, numbers=[18] * n, velocities=v)
        size = 2 * v.size
        del v, x
        read.clear()
        tracemalloc.start()
        physics([path], Settings(warmup_fs=0.0, lag_fs=50.0))
        peaks.append(tracemalloc.get_traced_memory()[1] / 8)
        tracemalloc.stop()
        times = {what: sum(m for w, m in read if w == what) / n_frames for what in ("positions", "velocities")}
        sizes.append(size)
    assert times["positions"] < 10 and times["velocities"] < 5
    assert sizes[2] > 10 * limit
    # What does grow: steps, times and rows of each element, about 55 values a frame, of 300 for its 50 atoms.
    assert peaks[2] - peaks[1] < 0.25 * (sizes[2] - sizes[1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_a_file_of_several_times_the_memory_is_analysed_by_the_verb(tmp_path):
    """All of `mdnnp analyze`, log, stress and heat current included; what reads all at once runs out of memory."""
    sizes, rng = {"small": 60, "large": 4000}, np.random.default_rng(20)
    grid = np.indices((8, 8, 8)).reshape(3, -1).T * 3.7
    for name, n_frames in sizes.items():
        v = rng.normal(0, 1e-3, (n_frames, *grid.shape))
        path = foreign(
            tmp_path / f"{name}.h5", grid + np.cumsum(v, axis=0), np.eye(3) * 29.6, numbers=[18] * 512, velocities=v
        )
        with h5py.File(path, "a") as file:
            log = file.create_group("thermo")
            log["step"], log["time"] = np.arange(n_frames), np.arange(n_frames, dtype=float)
            columns = [f"pressure_{ij}" for ij in ("xx", "yy", "zz", "yz", "xz", "xy")]
            for column in (*columns, *(f"heat_current_{i}" for i in "xyz")):
                log[column] = rng.normal(size=n_frames)
    limit = path.stat().st_size // 2
    code = MEMORY_LIMIT.format(folder=str(tmp_path), limit=limit)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert "not enough memory" in done.stderr  # where all is read at once, in the end
    found = json.loads((tmp_path / "large" / "physics.json").read_text())
    for name in (
        "rdf Ar-Ar",
        "msd Ar",
        "vdos Ar",
        "shear viscosity",
        "thermal conductivity",
        "density profile",
        "bonds",
    ):
        assert found["numbers"][name], name


MEMORY_LIMIT = """
import resource
from mdnnp.analysis import dynamics, frames
from mdnnp.command.cli import main
frames._VALUES_AT_ONCE, dynamics._SEGMENT_VALUES = 200_000, 300_000

def analyse(name, out):
    options = ["--r-max", "4.5", "--lag-ps", "0.05", "--warmup-ps", "0"]
    return main(["analyze", f"{folder}/{{name}}.h5", "-o", f"{folder}/{{out}}", *options])

assert analyse("small", "small") == 0  # compiles, and loads what is loaded late
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + {limit}, used + {limit}))
assert analyse("large", "large") == 0
frames._VALUES_AT_ONCE = 10**9
assert analyse("large", "at-once") != 0
"""


def command(path, folder, **more):
    paths = [str(p) for p in path] if isinstance(path, list) else [str(path)]
    return finish(perform(Request(paths, output=str(folder), warmup_ps=0.0, **more)), False)


@pytest.mark.parametrize(
    ("name", "unit", "in_GPa", "symmetric"),
    [("stress", "eV Angstrom-3", -EV_PER_A3_IN_GPA, False), ("pressure_tensor", "bar", 1e-4, True)],
)
def test_stress_of_other_programs_gives_the_viscosity(tmp_path, name, unit, in_GPa, symmetric):
    rng, n, dt = np.random.default_rng(19), 4000, 5.0
    pressure = np.zeros((n, 6))  # GPa; forgets itself in 50 fs
    for k in range(1, n):
        pressure[k] = 0.9 * pressure[k - 1] + rng.normal(0, 0.1, 6)
    x = np.cumsum(rng.normal(0, 0.5, (n // 10, 8, 3)), axis=0) % 10  # of a liquid: a solid has no viscosity
    path = foreign(tmp_path / "x.h5", x, np.eye(3) * 10, numbers=[18] * 8, velocities=x * 1e-4, dt_fs=10 * dt)
    tensor = pressure[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(n, 3, 3)
    with h5py.File(path, "a") as file:
        element = file.create_group(f"observables/all/{name}")
        element["value"] = (pressure if symmetric else tensor) / in_GPa
        element["value"].attrs["unit"] = unit
        element["step"] = np.arange(n)
        element["time"] = dt * 1e-3  # of each value; denser than the frames
        element["time"].attrs["unit"] = "ps"
    settings = Settings(warmup_fs=0.0, lag_fs=500.0, temperature_K=300.0)
    columns = dict(zip(("xx", "yy", "zz", "yz", "xz", "xy"), pressure.T, strict=True))
    expected = viscosity(columns, dt, 1000.0, 300.0, 500.0)["shear viscosity"]
    found = physics([path], settings).tables["shear viscosity"]
    np.testing.assert_allclose(found.y, expected.y, rtol=1e-9, atol=1e-12)
    with h5py.File(path, "a") as file:
        file[f"observables/all/{name}/value"].attrs["unit"] = "lj"
    notes = [note for note in physics([path], settings).notes if note.startswith("viscosity")]
    assert f"observables/{name} is in 'lj', which is not a unit known here: GPa" in notes[0]


def test_without_velocities_the_rest_is_done(tmp_path, capsys):
    rng = np.random.default_rng(12)
    x = rng.random((50, 20, 3)) * 10
    path = foreign(tmp_path / "x.h5", x, np.eye(3) * 10, numbers=[18] * 20)
    command(path, tmp_path / "out")
    text = capsys.readouterr().out
    assert "velocity spectrum" in text
    assert "holds no velocities" in text
    found = json.loads((tmp_path / "out/physics.json").read_text())
    assert "msd Ar" in found["numbers"]
    html = (tmp_path / "out/report.html").read_text()
    assert "holds no velocities" in html
    assert html.count("data:image/png;base64,") >= 5
    assert "http" not in html.replace("http-equiv", "")
    assert "rdf Ar-Ar" in (tmp_path / "out/curves.csv").read_text()


def test_too_short_for_the_correlation_time(tmp_path, capsys):
    x = np.random.default_rng(13).random((20, 5, 3)) * 10
    path = foreign(tmp_path / "x.h5", x, np.eye(3) * 10, numbers=[18] * 5, velocities=x * 1e-3)
    command(path, tmp_path / "out", lag_ps=5.0)
    text = capsys.readouterr().out
    assert "too few to correlate over 5 ps" in text
    assert "coordination Ar-Ar" in text + (tmp_path / "out/curves.csv").read_text()


def test_missing_species_in_a_pair(tmp_path, capsys):
    x = np.random.default_rng(14).random((20, 5, 3)) * 10
    path = foreign(tmp_path / "x.h5", x, np.eye(3) * 10, numbers=[18] * 5)
    command(path, tmp_path / "out", bond=[["O-H", "1.2", "1.6"]])
    assert "there is no O in the run, which has Ar" in capsys.readouterr().out


def test_truncated_part_is_left_out(tmp_path, capsys):
    x = np.random.default_rng(15).random((40, 5, 3)) * 10
    good = foreign(tmp_path / "a.h5", x, np.eye(3) * 10, numbers=[18] * 5)
    bad = tmp_path / "b.h5"
    bad.write_bytes(good.read_bytes()[:-2000])
    with pytest.raises(FileError, match=r"b\.h5"):
        command(bad, tmp_path / "none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MdnnpWarning)
        command([good, bad], tmp_path / "out")
    assert "left out" in capsys.readouterr().out
    assert "msd Ar" in json.loads((tmp_path / "out/physics.json").read_text())["numbers"]


def test_doubtful_numbers_are_named(tmp_path, capsys):
    t = np.arange(300.0)
    v = np.random.default_rng(16).normal(0, 1e-2, (1, 5, 3))
    path = foreign(tmp_path / "x.h5", t[:, None, None] * v + [[[1], [2], [3], [4], [5]]] * np.ones(3), np.eye(3) * 50,
                   numbers=[18] * 5)  # fmt: skip
    command(path, tmp_path / "out")
    assert "msd Ar: grows as time^2.00" in capsys.readouterr().out


@pytest.mark.parametrize(("dt_fs", "folded"), [(5.0, False), (45.0, True)])
def test_a_spectrum_that_frames_are_too_far_apart_for_is_named(tmp_path, capsys, dt_fs, folded):
    """Two atoms that vibrate with a period of 60 fs."""
    time = dt_fs * np.arange(200)
    x = 0.1 * np.sin(2 * np.pi * time / 60.0)[:, None, None] * np.array([[[1.0, 0, 0], [-1.0, 0, 0]]])
    v = 0.2 * np.pi / 60.0 * np.cos(2 * np.pi * time / 60.0)[:, None, None] * np.array([[[1.0, 0, 0], [-1.0, 0, 0]]])
    positions = x + np.array([[5.0, 5, 5], [7.0, 5, 5]])
    own(tmp_path / "run.h5", positions, 12.0 * np.eye(3), [6, 6], v, dt_fs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MdnnpWarning)
        finish(perform(Request(tmp_path / "run.h5", output=tmp_path / "out")), False)
    assert ("folded" in capsys.readouterr().out) == folded
