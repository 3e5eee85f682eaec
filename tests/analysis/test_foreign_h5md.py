"""H5MD files of other programs: each element on its own steps, atoms in any order, species of any kind, restarts.

What is right is known by construction. Files of LAMMPS, GROMACS and ESPResSo are made by hand, as these write them.
"""

import shutil

import h5py
import numpy as np
import pytest
from fuzz_h5md import mutate, outcome, whole

from mdnnp.analysis import Frames, mean_squared_displacement, profiles, radial_distribution, velocity_spectrum
from mdnnp.analysis.energies import analyze, read_series
from mdnnp.analysis.physics import Settings, physics
from mdnnp.base.errors import FileError, InputError
from mdnnp.command.cli import main
from mdnnp.trajectory import Trajectory
from mdnnp.trajectory.elements import attribute, check_size


def start(path, creator="casemaker"):
    file = h5py.File(path, "w")
    h5md = file.create_group("h5md")
    h5md.attrs["version"] = np.array([1, 1])
    h5md.create_group("creator").attrs["name"] = creator
    return file


def element(group, name, value, step=None, time=None, unit=None, time_unit="fs"):
    found = group.create_group(name)
    found["value"] = value
    if unit:
        found["value"].attrs["unit"] = unit
    if step is not None:
        found["step"] = step
    if time is not None:
        found["time"] = time
        if time_unit:
            found["time"].attrs["unit"] = time_unit
    return found


def box(group, cell, step=None, time=None, unit="Angstrom"):
    found = group.create_group("box")
    found.attrs["dimension"] = 3
    found.attrs["boundary"] = np.array(["periodic"] * 3, dtype="S8")
    if step is None:
        found["edges"] = cell
        found["edges"].attrs["unit"] = unit
    else:
        element(found, "edges", cell, step, time, unit)


def constant(group, n, number=18, mass=39.948):
    group["species"], group["mass"] = np.full(n, number), np.full(n, mass)
    group["mass"].attrs["unit"] = "u"


# --- Steps of their own -----------------------------------------------------------------------------------


def heating(path, every, energy_at):
    """100 atoms whose energy grows by 1 meV/atom/ps; positions each `every` steps, energies at some."""
    rng, n_atoms, dt, n = np.random.default_rng(5), 100, 2.0, 5001
    t = np.arange(n) * dt
    energy = n_atoms * (-0.08 + 1e-6 * t + rng.normal(0, 2e-5, n))
    with start(path) as file:
        group = file.create_group("particles/all")
        k = np.arange(0, n, every)
        x = rng.random((n_atoms, 3))[None] * 20 + rng.normal(0, 0.1, (len(k), n_atoms, 3))
        element(group, "position", x, k, k * dt, "Angstrom")
        box(group, np.eye(3) * 20.0)
        constant(group, n_atoms)
        for name, values, unit in (("total_energy", energy, "eV"), ("temperature", 80 + 40 * t / t[-1], "K")):
            where = f"observables/all/{name}"
            element(file, where, values[energy_at], np.arange(n)[energy_at], t[energy_at], unit)


@pytest.mark.parametrize(
    ("every", "energy_at", "kelvin"),
    [
        (10, slice(None, None, 10), 102.0),
        (10, slice(None), 102.0),
        (100, slice(None, None, 10), 102.0),
        (10, slice(2000, None), 109.2),
    ],
    ids=["the same", "finer", "finer than few frames", "later"],
)
def test_energies_have_steps_of_their_own(tmp_path, every, energy_at, kelvin):
    heating(tmp_path / "x.h5", every, energy_at)
    found = analyze(read_series(tmp_path / "x.h5"))
    assert found.drift.slope_meV_per_atom_ns == pytest.approx(1000.0, abs=4 * found.drift.error_meV_per_atom_ns)
    assert found.drift.slope_meV_per_atom_ns == pytest.approx(1000.0, rel=5e-3)
    assert found.means["temperature"].mean == pytest.approx(kelvin, abs=0.1)
    assert any("steps of its own" in note for note in found.series.notes) == (energy_at != slice(None, None, every))


def test_a_temperature_with_fewer_values_than_the_energy_has_a_mean(tmp_path):
    heating(tmp_path / "x.h5", 10, slice(None))
    with h5py.File(tmp_path / "x.h5", "a") as file:
        group = file["observables/all"]
        values, step, time = (group[f"temperature/{name}"][::7] for name in ("value", "step", "time"))
        del group["temperature"]
        element(group, "temperature", values, step, time, "K")
    found = analyze(read_series(tmp_path / "x.h5"))
    assert len(found.series.time_fs) == 5001 and "temperature" not in found.series.values
    assert found.means["temperature"].mean == pytest.approx(102.0, abs=0.1)
    assert any("temperature: means over their own steps" in note for note in found.series.notes)


def vibrating(path, position_at, velocity_at):
    """60 oscillators of 10 THz, 333.6 1/cm."""
    rng, n, edge, w, t = np.random.default_rng(3), 60, 20.0, 2 * np.pi * 10.0e-3, np.arange(4000.0)
    r0, phase = rng.random((n, 3)) * edge, rng.random((n, 3)) * 2 * np.pi
    with start(path) as file:
        group = file.create_group("particles/all")
        for name, at, unit in (("position", position_at, "Angstrom"), ("velocity", velocity_at, "Angstrom fs-1")):
            angle = w * t[at][:, None, None] + phase
            value = r0 + 0.1 * np.cos(angle) if name == "position" else -0.1 * w * np.sin(angle)
            element(group, name, value, t[at].astype(int), t[at], unit)
        box(group, np.eye(3) * edge)
        constant(group, n)


@pytest.mark.parametrize("every", [1, 4, 16])
def test_velocities_have_steps_of_their_own(tmp_path, every):
    vibrating(tmp_path / "x.h5", slice(None, None, 4), slice(None, None, every))
    with Frames([tmp_path / "x.h5"]) as frames:
        peak, _ = velocity_spectrum(frames)["vdos Ar"].numbers["peak 1 / cm⁻¹"]
        profile = profiles(frames)["temperature profile"]
        assert len(frames) == 1000
        assert ("velocity has steps of its own" in " ".join(frames.notes)) == (every != 4)
    assert peak == pytest.approx(333.6, abs=5.0)
    kelvin = 3 * 60 / (3 * 59) * 39.948 * (0.1 * 2 * np.pi * 0.01) ** 2 / 2 / 8.314462e-7  # m <v^2> / k, per component
    assert np.nanmean(profile.y) == pytest.approx(kelvin, rel=0.1)
    with Trajectory(tmp_path / "x.h5") as trajectory:
        assert trajectory.given("velocity").sum() == (1000 if every < 16 else 250)
        if every == 16:
            with pytest.raises(FileError, match=r"velocity has no value at frame 1 \(step 4\)"):
                trajectory.velocities()


def test_a_cell_that_is_given_less_often_than_positions(tmp_path):
    """The density is that of the frames that have both, not that of the cells by number."""
    rng, n, steps = np.random.default_rng(1), 20, np.arange(100)
    edge = np.linspace(10.0, 20.0, 100)
    with start(tmp_path / "x.h5") as file:
        group = file.create_group("particles/all")
        element(group, "position", rng.random((100, n, 3)) * edge[:, None, None], steps, steps * 1.0, "Angstrom")
        box(group, edge[::10, None] * np.ones(3), steps[::10], steps[::10] * 1.0)
        constant(group, n)
    with Frames([tmp_path / "x.h5"]) as frames:
        assert frames.times_fs.tolist() == list(range(0, 100, 10))
        np.testing.assert_allclose(frames.volumes(), edge[::10] ** 3)
        density, _ = profiles(frames)["density profile"].numbers["mean density / (g/cm³)"]
    assert density == pytest.approx(np.mean(n * 39.948 / edge[::10] ** 3) * 1.66053907, rel=1e-6)


def test_steps_and_times_that_contradict_are_refused(tmp_path):
    vibrating(tmp_path / "x.h5", slice(None, None, 4), slice(None, None, 4))
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["particles/all/velocity/time"][...] = np.arange(1000) * 8.0
    with Frames([tmp_path / "x.h5"]) as frames:
        assert any("velocity is of step 4, position of step 8" in note for note in frames.notes)
        assert "msd Ar" in mean_squared_displacement(frames)


def test_increments_and_offsets(tmp_path):
    """Positions at steps 100, 110, ..., velocities at 105, 110, ..., both as increments."""
    with start(tmp_path / "x.h5") as file:
        group = file.create_group("particles/all")
        for name, every, begin, unit in (("position", 10, 100, "nm"), ("velocity", 5, 105, "nm ps-1")):
            k = begin + every * np.arange(20)
            one = element(group, name, k[:, None, None] * np.ones((1, 2, 3)), every, every * 0.001, unit, "ps")
            one["step"].attrs["offset"], one["time"].attrs["offset"] = begin, begin * 0.001
    with Trajectory(tmp_path / "x.h5") as trajectory:
        both = trajectory.common("position", "velocity")
        assert both.steps.tolist() == list(range(110, 201, 10))
        np.testing.assert_allclose(both.times_fs, np.arange(110.0, 201.0, 10.0))
        np.testing.assert_allclose(both.positions()[:, 0, 0], 10.0 * both.steps)
        np.testing.assert_allclose(both.velocities()[:, 0, 0], 0.01 * both.steps)


# --- Atoms ------------------------------------------------------------------------------------------------


def test_atoms_are_sorted_by_their_id(tmp_path):
    rng, n, n_frames = np.random.default_rng(2), 12, 200
    x = rng.random((n, 3)) * 30 + np.cumsum(rng.normal(0, 0.05, (n_frames, n, 3)), axis=0)
    v, numbers = rng.normal(0, 1e-3, x.shape), np.repeat([18, 36], n // 2)
    order = np.array([rng.permutation(n) for _ in range(n_frames)])
    steps = np.arange(n_frames)
    with start(tmp_path / "x.h5") as file:
        group = file.create_group("particles/all")
        for name, value, unit in (
            ("position", np.take_along_axis(x, order[..., None], 1), "Angstrom"),
            ("velocity", np.take_along_axis(v, order[..., None], 1), "Angstrom fs-1"),
            ("species", numbers[order], None), ("mass", np.where(numbers[order] == 18, 39.948, 83.798), "u"),
            ("id", 7 + 3 * order, None),
        ):  # fmt: skip
            element(group, name, value, steps, steps * 1.0, unit)
        box(group, np.eye(3) * 1000.0)
    with Trajectory(tmp_path / "x.h5") as trajectory:
        np.testing.assert_array_equal(trajectory.positions(), x)
        np.testing.assert_array_equal(trajectory.velocities(slice(3, 90, 7)), v[3:90:7])
        assert trajectory.numbers.tolist() == numbers.tolist()
        assert trajectory.masses[0] == 39.948 and trajectory.masses[-1] == 83.798
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["particles/all/id/value"][17, 3] = 1000
    with Trajectory(tmp_path / "x.h5") as trajectory, pytest.raises(FileError, match=r"frame 17 \(step 17\), by their"):
        trajectory.positions()


def test_ids_sort_atoms_only_and_species_stored_once_are_not_guessed(tmp_path):
    """Of three atoms, as many as cell vectors."""
    rng, steps, order = np.random.default_rng(3), np.arange(9), np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]] * 3)
    cells = rng.random((9, 3, 3)) + 10 * np.eye(3)
    x = rng.random((9, 3, 3))
    with start(tmp_path / "x.h5") as file:
        group = file.create_group("particles/all")
        element(group, "position", np.take_along_axis(x, order[..., None], 1), steps, steps * 1.0, "Angstrom")
        element(group, "id", order, steps, steps * 1.0)
        box(group, cells, steps, steps * 1.0)
        constant(group, 3)
    with Trajectory(tmp_path / "x.h5") as trajectory:
        np.testing.assert_array_equal(trajectory.cells(), cells)
        np.testing.assert_array_equal(trajectory.positions(), x)
        assert trajectory.numbers.tolist() == [18] * 3
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["particles/all/species"][1] = 36
    with Trajectory(tmp_path / "x.h5") as trajectory, pytest.raises(FileError, match="species is stored once, but"):
        _ = trajectory.numbers


def carbon_monoxide(path, species, creator="casemaker", masses=None):
    rng, n = np.random.default_rng(5), 10
    centre, u = rng.random((n, 3)) * 25, rng.normal(size=(n, 3))
    x = np.concatenate([centre, centre + 1.13 * u / np.linalg.norm(u, axis=1)[:, None]])
    with start(path, creator) as file:
        group = file.create_group("particles/all")
        element(
            group, "position", x[None] + rng.normal(0, 0.01, (20, 2 * n, 3)), np.arange(20), np.arange(20.0), "Angstrom"
        )
        box(group, np.eye(3) * 25.0)
        if masses is not None:
            group["mass"] = np.repeat(masses, n)
        dtype = h5py.enum_dtype(species, basetype="i4") if isinstance(species, dict) else None
        values = list(species.values()) if dtype else species
        group.create_dataset("species", data=np.repeat(np.array(values), n), dtype=dtype)
    return path


@pytest.mark.parametrize(
    "species",
    [[6, 8], {"C": 0, "O": 1}, {"C": 1, "O": 2}, {"C": 8, "O": 3}, np.array([b"C", b"O"])],
    ids=["numbers", "from zero", "from one", "misleading", "text"],
)
def test_species_by_number_by_name_and_by_text(tmp_path, species):
    path = carbon_monoxide(tmp_path / "x.h5", species)
    with Frames([path]) as frames:
        assert frames.numbers.tolist() == [6] * 10 + [8] * 10
        assert radial_distribution(frames)["rdf C-O"].numbers["first peak / Å"][0] == pytest.approx(1.13, abs=0.06)


def test_species_as_text_of_variable_length(tmp_path):
    path = carbon_monoxide(tmp_path / "x.h5", [6, 8])
    with h5py.File(path, "a") as file:
        del file["particles/all/species"]
        file["particles/all/species"] = ["C"] * 10 + ["O"] * 10
    with Trajectory(path) as trajectory:
        assert trajectory.numbers.tolist() == [6] * 10 + [8] * 10


def test_types_are_not_taken_for_atomic_numbers(tmp_path, capsys):
    path = carbon_monoxide(tmp_path / "x.h5", [1, 2])
    with Trajectory(path) as trajectory, pytest.raises(FileError, match=r"species 1, 2 may be types.*--species Si O"):
        _ = trajectory.numbers
    for given in (["C", "O"], ["1=C", "2=O"]):
        with Trajectory(path, species=given) as trajectory:
            assert trajectory.numbers.tolist() == [6] * 10 + [8] * 10
    with Trajectory(path, species=["C"]) as trajectory, pytest.raises(InputError, match=r"types 1 to 1, but .* type 2"):
        _ = trajectory.numbers
    with Trajectory(path, species=["C", "Oo"]) as trajectory, pytest.raises(InputError, match="'Oo' is not the symbol"):
        _ = trajectory.numbers
    assert main(["analyze", str(path), "-o", str(tmp_path / "out"), "--no-figures", "--species", "C", "O"]) == 0
    assert "C 10, O 10" in capsys.readouterr().out
    # Masses tell: hydrogen and helium are what they are.
    with Trajectory(carbon_monoxide(tmp_path / "y.h5", [1, 2], masses=[1.008, 4.0026])) as trajectory:
        assert trajectory.numbers.tolist() == [1] * 10 + [2] * 10
    path = carbon_monoxide(tmp_path / "z.h5", [1, 2], masses=[12.011, 15.999])
    with Trajectory(path) as trajectory, pytest.raises(FileError, match="may be types"):
        _ = trajectory.numbers


def test_labels_that_are_no_elements_are_asked_for(tmp_path):
    path = carbon_monoxide(tmp_path / "x.h5", {"CX": 0, "OX": 1})
    with Trajectory(path) as trajectory, pytest.raises(FileError, match=r"CX, OX are not elements; .*CX=X OX=X"):
        _ = trajectory.numbers
    for given in (["CX=C", "OX=O"], ["C", "O"]):
        with Trajectory(path, species=given) as trajectory:
            assert trajectory.numbers.tolist() == [6] * 10 + [8] * 10


def test_several_groups_of_particles(tmp_path, capsys):
    rng, steps = np.random.default_rng(5), np.arange(40) * 10
    with start(tmp_path / "x.h5") as file:
        for name, n, number, mass in (("ions", 4, 11, 22.99), ("water_o", 10, 8, 15.999)):
            group = file.create_group(f"particles/{name}")
            element(group, "position", rng.random((40, n, 3)) * 30, steps, steps * 1.0, "Angstrom")
            box(group, np.eye(3) * 30.0)
            constant(group, n, number, mass)
        element(file, "observables/total_energy", rng.normal(size=40), steps, steps * 1.0, "eV")
    assert main(["analyze", str(tmp_path / "x.h5"), "--no-figures"]) == 0
    said = capsys.readouterr().out
    assert "4 atoms (Na 4)" in said and "ions, water_o; ions is analysed (--group NAME for another)" in said
    assert "total_energy left out: values of the whole system" in said and "drift" not in said
    assert main(["analyze", str(tmp_path / "x.h5"), "--no-figures", "--group", "water_o"]) == 0
    assert "10 atoms (O 10)" in capsys.readouterr().out
    assert main(["analyze", str(tmp_path / "x.h5"), "--group", "none"]) == 2
    assert "there are: ions, water_o" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_what_changes_its_atoms_is_refused_by_frame(tmp_path):
    znh5md = pytest.importorskip("znh5md")
    from ase import Atoms

    rng = np.random.default_rng(0)
    images = {name: [Atoms("Ar10", rng.random((10, 3)) * 12, cell=[12.0] * 3, pbc=True) for _ in range(30)]
              for name in ("number", "boundary", "species")}  # fmt: skip
    for k in range(15, 30):
        images["number"][k] = images["number"][k][:8]
        images["boundary"][k].pbc = False
        images["species"][k].numbers[:5] = 36
    for name, what in (("number", "is nan in frame 15"), ("boundary", "box/pbc .* in frame 15"),
                       ("species", r"species \[0\] changes from 18 to 36 in frame 15")):  # fmt: skip
        znh5md.IO(str(tmp_path / f"{name}.h5")).extend(images[name])
        with pytest.raises(FileError, match=what):
            Frames([tmp_path / f"{name}.h5"])


@pytest.mark.filterwarnings("ignore")
def test_structures_without_velocities_by_znh5md(tmp_path, capsys):
    znh5md = pytest.importorskip("znh5md")
    from ase import Atoms

    rng = np.random.default_rng(0)
    images = [Atoms("Ar10", rng.random((10, 3)) * 12, cell=[12.0] * 3, pbc=True) for _ in range(30)]
    znh5md.IO(str(tmp_path / "a.h5")).extend(images)
    assert main(["analyze", str(tmp_path / "a.h5"), "--no-figures"]) == 0
    assert "10 atoms (Ar 10), 30 frames" in capsys.readouterr().out


def test_no_viscosity_of_atoms_at_rest(tmp_path):
    whole(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["particles/all/velocity/value"][:] = 0
    assert any("viscosity: the velocities are of 0 K" in n for n in physics([tmp_path / "x.h5"], Settings()).notes)


# --- Restarts ---------------------------------------------------------------------------------------------


def walk(path, rows, *, shift=0.0, clock=None, split=None):
    """A random walk of 2000 steps, of which the file has these rows; what a restart throws away is shifted."""
    rng, n = np.random.default_rng(7), 20
    x = rng.random((n, 3)) * 30 + np.cumsum(rng.normal(0, 0.05, (2000, n, 3)), axis=0)
    y = x[rows]
    if split is not None:
        y[1000:split] += shift
    steps = 10 * (rows if clock is None else clock)
    with start(path) as file:
        group = file.create_group("particles/all")
        element(group, "position", y, steps, steps * 1.0, "Angstrom")
        box(group, np.eye(3) * 1000.0)
        constant(group, n)
    return x


@pytest.mark.parametrize(
    ("rows", "split", "left_out"),
    [
        (np.r_[0:1200, 1000:2000], 1200, 200),
        (np.r_[0:1000, 999:2000], None, 1),
    ],
    ids=["overlap", "joint twice"],
)
def test_an_appended_restart_counts_as_a_second_file_does(tmp_path, rows, split, left_out):
    x = walk(tmp_path / "x.h5", rows, shift=0.5, split=split)
    walk(tmp_path / "whole.h5", np.arange(2000))
    with Frames([tmp_path / "x.h5"]) as frames, Frames([tmp_path / "whole.h5"]) as all_frames:
        np.testing.assert_array_equal(frames.read("positions", 0, 2000), x)
        assert len(frames) == len(all_frames) == 2000
        assert f"{left_out} earlier frames" in " ".join(frames.notes)


def test_a_clock_that_is_set_back_begins_the_run_anew(tmp_path):
    x = walk(tmp_path / "x.h5", np.arange(2000), clock=np.r_[0:1000, 0:1000])
    walk(tmp_path / "a.h5", np.arange(1000))
    walk(tmp_path / "b.h5", np.arange(1000, 2000), clock=np.arange(1000))
    with Frames([tmp_path / "x.h5"]) as one, Frames([tmp_path / "a.h5", tmp_path / "b.h5"]) as two:
        assert len(one) == len(two) == 1000
        np.testing.assert_array_equal(one.read("positions", 0, 1000), x[1000:])
        np.testing.assert_array_equal(one.read("positions", 0, 1000), two.read("positions", 0, 1000))
        assert "1000 earlier frames" in " ".join(one.notes)


def test_frames_that_were_never_written_do_not_count(tmp_path):
    walk(tmp_path / "x.h5", np.arange(50))
    with h5py.File(tmp_path / "x.h5", "a") as file:
        group = file["particles/all/position"]
        for name in ("value", "step", "time"):
            values, unit = group[name][()], dict(group[name].attrs)
            del group[name]
            group[name] = np.concatenate([values, np.zeros_like(values[:7])])
            group[name].attrs.update(unit)
    with Frames([tmp_path / "x.h5"]) as frames:
        assert len(frames) == 50 and "7 frames at the end, all zero" in " ".join(frames.notes)


# --- Displacements at constant pressure -------------------------------------------------------------------


@pytest.mark.parametrize("images", [None, 0, 60], ids=["no image flags", "near", "far"])
@pytest.mark.parametrize("skewed", [False, True])
def test_displacements_do_not_depend_on_the_image(tmp_path, images, skewed):
    """Atoms diffuse in a cell of which the length fluctuates by 1 %: what they are moved by is known."""
    rng, n, n_frames = np.random.default_rng(11), 30, 1500
    shape = np.array([[1.0, 0, 0], [0.3, 0.9, 0], [-0.2, 0.1, 1.1]]) if skewed else np.eye(3)
    length = np.full(n_frames, 20.0)
    for k in range(1, n_frames):
        length[k] = 20 + 0.9 * (length[k - 1] - 20) + rng.normal(0, 0.2 * np.sqrt(0.19))
    cells = length[:, None, None] * shape
    moves = rng.normal(0, 0.06, (n_frames, n, 3))
    moves[0] = 0
    s = rng.random((n, 3)) + np.cumsum(moves @ np.linalg.inv(cells), axis=0)
    flags = np.floor(s)
    first = rng.integers(-images, images + 1, (n, 3)) if images else 0
    steps = np.arange(n_frames)
    with start(tmp_path / "x.h5") as file:
        group = file.create_group("particles/all")
        element(group, "position", (s - flags) @ cells, steps, steps * 20.0, "Angstrom")
        if images is not None:
            element(group, "image", (flags + first).astype(int), steps, steps * 20.0)
        box(group, cells, steps, steps * 20.0)
        constant(group, n)
    with Frames([tmp_path / "x.h5"]) as frames:
        followed = frames.unwrapped(0, n_frames, np.arange(n))
        sparse = frames.unwrapped(3, n_frames, np.arange(n), every=50)
        msd = mean_squared_displacement(frames, remove_drift=False)["msd Ar"]
    true = np.cumsum(moves, axis=0)
    np.testing.assert_allclose(followed - followed[0], true, atol=0.05)
    np.testing.assert_allclose(sparse - sparse[0], followed[3::50] - followed[3], atol=1e-9)
    expected = np.mean(np.sum((true[200:] - true[:-200]) ** 2, axis=2))
    assert msd.y[200] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("images", [None, 0, 60], ids=["no image flags", "near", "far"])
def test_diffusion_at_constant_pressure(tmp_path, images):
    """100 atoms with D = 1e-9 m²/s, of which these 80 ps give 0.97 (MSD at 10 ps) in a cell that fluctuates by 1 %."""
    rng, n, n_frames, dt = np.random.default_rng(11), 100, 4000, 20.0
    edge = np.full(n_frames, 20.0)
    for k in range(1, n_frames):
        edge[k] = 20 + (edge[k - 1] - 20) * 0.9 + rng.normal(0, 0.2 * np.sqrt(1 - 0.81))
    x, first = rng.random((n, 3)) * 20, rng.integers(-60, 60, (n, 3))
    moves = rng.normal(0, np.sqrt(2 * 1e-4 * dt), (n_frames, n, 3))
    moves[0] = 0
    flags = np.zeros((n_frames, n, 3), int) + (first if images else 0)
    wrapped = np.empty((n_frames, n, 3))
    for k in range(n_frames):
        x = x * (edge[k] / edge[k - 1] if k else 1.0) + moves[k]
        crossed = np.floor(x / edge[k]).astype(int)
        x = x - crossed * edge[k]
        wrapped[k] = x
        flags[k:] += crossed
    steps = np.arange(n_frames)
    with start(tmp_path / "x.h5") as file:
        group = file.create_group("particles/all")
        element(group, "position", wrapped, steps, steps * dt, "Angstrom")
        if images is not None:
            element(group, "image", flags, steps, steps * dt)
        box(group, edge[:, None, None] * np.eye(3), steps, steps * dt)
        constant(group, n)
    with Frames([tmp_path / "x.h5"]) as frames:
        whole, relative = (mean_squared_displacement(frames, remove_drift=drift)["msd Ar"] for drift in (False, True))
    true = np.cumsum(moves, axis=0)
    centre = true.mean(axis=1)
    for lag in (150, 500):  # 3 and 10 ps
        exact = np.mean(np.sum((true[lag:] - true[:-lag]) ** 2, axis=2))
        drift = np.mean(np.sum((centre[lag:] - centre[:-lag]) ** 2, axis=1))
        assert whole.y[lag] == pytest.approx(exact, rel=1e-3)
        assert relative.y[lag] == pytest.approx(exact - drift, rel=1e-3)
    assert whole.y[150] == pytest.approx(1.79, abs=0.01)
    assert whole.y[500] / (6 * 500 * dt) * 1e4 == pytest.approx(0.97, abs=0.01)
    d, error = whole.numbers["D / (1e-9 m²/s)"]
    assert abs(d - 0.97) < 2 * error and abs(d - 1.0) < 3 * error and error < 0.05  # of a fit from 3 to 16 ps


@pytest.mark.parametrize("remove_drift", [False, True])
def test_diffusion_has_no_bias(tmp_path, remove_drift):
    """On average D is that of the walk; relative to the centre of N atoms that move by themselves, 1 - 1/N of it."""
    rng, n, found = np.random.default_rng(13), 10, []
    steps = np.arange(400)
    for k in range(60):
        with start(tmp_path / f"{k}.h5") as file:
            group = file.create_group("particles/all")
            moves = rng.normal(0, np.sqrt(2 * 1e-4 * 20.0), (400, n, 3))
            element(group, "position", np.cumsum(moves, axis=0), steps, steps * 20.0, "Angstrom")
            box(group, np.eye(3) * 1000.0)
            constant(group, n)
        with Frames([tmp_path / f"{k}.h5"]) as frames:
            table = mean_squared_displacement(frames, remove_drift=remove_drift)["msd Ar"]
        found.append(table.numbers["D / (1e-9 m²/s)"])
    d, errors = np.array(found).T
    scatter = np.std(d, ddof=1)
    assert np.mean(d) == pytest.approx(1 - remove_drift / n, abs=3 * scatter / np.sqrt(len(d)))
    assert scatter < 1.2 * np.sqrt(np.mean(errors**2))  # the error bar is not too small


def test_our_own_positions_far_from_the_cell(tmp_path):
    """The same run at constant pressure, begun 0, 6 and 60 cells away."""
    from mdnnp.trajectory import TrajectoryWriter

    rng, n, n_frames = np.random.default_rng(12), 8, 60
    cells = 10.0 * (1 + 0.01 * rng.normal(size=n_frames))[:, None, None] * np.eye(3)
    s = rng.random((n, 3)) + np.cumsum(rng.normal(0, 0.01, (n_frames, n, 3)), axis=0)
    nothing = {name: 0.0 for name in ("potential_energy", "kinetic_energy", "total_energy", "temperature")}
    curves = []
    for away in (0, 6, 60):
        path = tmp_path / f"{away}.h5"
        with TrajectoryWriter.create(
            path, numbers=np.full(n, 18), masses=np.full(n, 39.948), pbc=np.ones(3, bool), thermo_units={},
            parameters={"timestep_fs": 1.0}, velocities=False, forces=False,
        ) as writer:  # fmt: skip
            shift = rng.integers(-away, away + 1, (n, 3))
            for k in range(n_frames):
                writer.write_frame(
                    k, float(k), (s[k] + shift) @ cells[k], cells[k], nothing | {"stress": np.zeros((3, 3))}
                )
        with Frames([path]) as frames:
            curves.append(mean_squared_displacement(frames)["msd Ar"].y)
    np.testing.assert_allclose(curves[1], curves[0], atol=1e-9)
    np.testing.assert_allclose(curves[2], curves[0], atol=1e-9)
    assert curves[0][10] == pytest.approx(3 * 10 * 0.1**2, rel=0.3)


# --- Units ------------------------------------------------------------------------------------------------


def test_without_the_unit_of_time_there_is_structure_but_nothing_in_time(tmp_path, capsys):
    vibrating(tmp_path / "x.h5", slice(None, 80), slice(None, 80))
    with h5py.File(tmp_path / "x.h5", "a") as file:
        for name in ("position", "velocity"):
            del file[f"particles/all/{name}/time"].attrs["unit"]
    found = physics([tmp_path / "x.h5"], Settings())
    assert "rdf Ar-Ar" in found.tables and "temperature profile" in found.tables
    assert not any(name.startswith(("msd", "vdos")) for name in found.tables)
    assert any("does not state the unit of position/time" in note for note in found.notes)
    assert main(["analyze", str(tmp_path / "x.h5"), "-o", str(tmp_path / "out")]) == 0
    assert "does not state the unit of velocity/time" in capsys.readouterr().out
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file["particles/all/velocity/value"].attrs["unit"]
    found = physics([tmp_path / "x.h5"], Settings())
    assert "rdf Ar-Ar" in found.tables and "density profile" in found.tables
    assert "temperature profile" not in found.tables


# --- Programs ---------------------------------------------------------------------------------------------


def test_a_file_as_lammps_writes_it(tmp_path):
    """`dump h5md ... position image velocity 4 species 4`: types, edges alone, boundary of fixed length, no units."""
    rng, steps = np.random.default_rng(0), np.arange(40) * 10
    x = rng.random((40, 6, 3)) * 10
    with start(tmp_path / "x.h5", "lammps") as file:
        group = file.create_group("particles/all")
        position = element(group, "position", x, steps, steps * 0.001, time_unit=None)
        edges = group.create_group("box")
        edges.attrs["dimension"], edges.attrs["boundary"] = 3, np.array([b"periodic", b"periodic", b"none"])
        for name, value in (("image", np.zeros(x.shape, np.int32)), ("box/edges", np.full((40, 3), 10.0))):
            one = group.create_group(name)
            one["value"], one["step"], one["time"] = value, position["step"], position["time"]
        for name, value in (("velocity", x[::4]), ("species", np.tile([1, 1, 2, 2, 2, 2], (10, 1)))):
            element(group, name, value, steps[::4], steps[::4] * 0.001, time_unit=None)
    with Trajectory(tmp_path / "x.h5", species=["Si", "O"]) as trajectory:
        assert trajectory.numbers.tolist() == [14, 14, 8, 8, 8, 8] and trajectory.pbc.tolist() == [True, True, False]
        with pytest.raises(FileError, match="unit of position;"):
            trajectory.positions()
    with h5py.File(tmp_path / "x.h5", "a") as file:  # as the documentation says, for metal units
        group = file["particles/all"]
        for name, unit in (("position", "Angstrom"), ("velocity", "Angstrom ps-1"), ("box/edges", "Angstrom")):
            group[name]["value"].attrs["unit"], group[name]["time"].attrs["unit"] = unit, "ps"
    with Frames([tmp_path / "x.h5"], species=["Si", "O"]) as frames:
        assert frames.times_fs[1] == 10.0
        np.testing.assert_allclose(frames.read("positions", 0, 40), x)
        moving = frames.common("velocities")
        np.testing.assert_allclose(moving.read("velocities", 0, 10), x[::4] * 1e-3)
        np.testing.assert_allclose(moving.times_fs, steps[::4])


def test_a_file_as_gromacs_writes_it(tmp_path):
    """Group system, nm and ps, a cell for each frame without steps, velocities less often."""
    rng, steps = np.random.default_rng(0), np.arange(20) * 100
    x = rng.random((20, 5, 3)).astype(np.float32)
    with start(tmp_path / "x.h5", "GROMACS") as file:
        group = file.create_group("particles/system")
        element(group, "position", x, steps, steps * 0.002, "nm", "ps")
        element(group, "velocity", x[::5], steps[::5], steps[::5] * 0.002, "nm ps-1", "ps")
        box(group, np.eye(3), None, None, "nm")
        del group["box/edges"]
        element(group, "box/edges", np.tile(np.eye(3), (20, 1, 1)), unit="nm")
    with Frames([tmp_path / "x.h5"], species=["Ar"]) as frames:
        np.testing.assert_allclose(frames.read("positions", 0, 20), 10 * x, rtol=1e-6)
        np.testing.assert_allclose(frames.volumes(), 1000.0)
        assert frames.common("velocities").times_fs.tolist() == [0.0, 1000.0, 2000.0, 3000.0]


def test_a_file_as_espresso_writes_it(tmp_path):
    """Group atoms, types from 0 and ids that change their order, in each frame."""
    rng, n, steps = np.random.default_rng(0), 6, np.arange(10)
    x, order = rng.random((10, n, 3)) * 10, np.array([rng.permutation(n) for _ in range(10)])
    with start(tmp_path / "x.h5", "ESPResSo") as file:
        group = file.create_group("particles/atoms")
        for name, value, unit in (
            ("position", np.take_along_axis(x, order[..., None], 1), "nm"), ("id", order, None),
            ("species", (order > 3).astype(int), None), ("image", np.zeros((10, n, 3), int), None),
        ):  # fmt: skip
            element(group, name, value, steps, steps * 0.01, unit, "ps")
        box(group, np.full((10, 3), 10.0), steps, steps * 10.0, "nm")
    with Trajectory(tmp_path / "x.h5") as trajectory, pytest.raises(FileError, match="may be types"):
        _ = trajectory.numbers
    with Trajectory(tmp_path / "x.h5", species=["Na", "Cl"]) as trajectory:
        assert trajectory.numbers.tolist() == [11] * 4 + [17] * 2
        np.testing.assert_allclose(trajectory.positions(), 10 * x)


# --- Damage -----------------------------------------------------------------------------------------------


def test_one_position_that_is_no_number_is_named(tmp_path):
    whole(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["particles/all/position/value"][7, 3, 1] = np.nan
    notes = physics([tmp_path / "x.h5"], Settings(warmup_fs=0.0, lag_fs=50.0)).notes
    assert any("position of atom 3 is nan in frame 7 (step 70)" in note for note in notes)


def test_a_shape_that_was_never_written_takes_no_memory(tmp_path):
    whole(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file["particles/all/velocity/value"]
        file["particles/all/velocity"].create_dataset("value", (24, 10**9, 3), chunks=(1, 1000, 3))
    with Trajectory(tmp_path / "x.h5") as trajectory, pytest.raises(FileError, match="only 0 bytes are stored"):
        trajectory.velocities()


def check_mutations(tmp_path, seeds):
    whole(tmp_path / "whole.h5")
    for seed in seeds:
        shutil.copy(tmp_path / "whole.h5", tmp_path / "x.h5")
        what = mutate(tmp_path / "x.h5", seed)
        status, said = outcome(tmp_path / "x.h5")
        assert status in (0, 2, 4), f"seed {seed}, {what}: exit status {status}, {said}"


def test_mutated_files_give_results_or_errors_of_our_own(tmp_path):
    check_mutations(tmp_path, range(60))
    check_mutations(tmp_path, (207, 663, 1084, 1183, 1358, 1743, 2319, 2381))  # overflows; crashes within HDF5


def test_attributes_that_are_neither_numbers_nor_text_are_not_read(tmp_path):
    """On damaged ones the HDF5 library ends the process."""
    whole(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        values = file["particles/all/position/value"]
        lists = np.empty((), dtype=object)
        lists[()] = np.arange(3)
        values.attrs.create("unit", lists, shape=(), dtype=h5py.vlen_dtype(np.int64))
        lists = file["particles/all"].create_dataset("charge", (2,), h5py.vlen_dtype(np.int64))
        assert attribute(values, "unit", "none") == "none"
        with pytest.raises(FileError, match="charge holds neither numbers nor text"):
            check_size("x.h5", lists)


@pytest.mark.parametrize("value", [1e300, -1e61, np.inf])
def test_values_too_large_for_any_quantity_are_refused(tmp_path, value):
    whole(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["particles/all/velocity/value"][3, 2, 1] = value
    with (
        Trajectory(tmp_path / "x.h5") as trajectory,
        pytest.raises(FileError, match=r"velocity of atom 2 is .* frame 3"),
    ):
        trajectory.velocities()


@pytest.mark.slow
def test_thousands_of_mutated_files(tmp_path):
    check_mutations(tmp_path, range(60, 3000))
