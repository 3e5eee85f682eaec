"""The analysis of trajectories whose numbers are known, and of files that are short, live, killed or not ours."""

import dataclasses
import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from mdnnp.analysis import energy_figures
from mdnnp.analysis.energies import analyze, as_dict, ramp_tables, read_series
from mdnnp.analysis.energies_text import report
from mdnnp.atoms.quantities import kinetic_energy, temperature
from mdnnp.base.errors import FileError, InputError
from mdnnp.base.statistics import drift
from mdnnp.base.units import BOLTZMANN_EV_PER_K, EV_PER_U_A2_PER_FS2
from mdnnp.command.analyze import PHYSICS_FILES, Request, perform
from mdnnp.command.cli import main as command_line
from mdnnp.command.verb import finish
from mdnnp.trajectory import TrajectoryWriter

N = 12
MASSES = np.linspace(1.0, 40.0, N)
UNITS = {
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "total_energy": "eV",
    "shadow_energy": "eV",
    "temperature": "K",
    "pressure": "GPa",
    **{f"momentum_{i}": "u Angstrom fs-1" for i in "xyz"},
    "extrapolations": "1",
}
DEGREES = 3 * N - 3
SLOPE, OFFSET = 3e-4, -5000.0  # eV/ps of the whole system, eV
PNG = b"\x89PNG\r\n\x1a\n"


def make_run(path, n=1000, *, close=True, equilibration_steps=0, momentum=0.0, pressure=2.5, bad=None, **parameters):
    """A run of n thermo rows 2 fs apart, a frame each 100, with a known drift, temperature 300 K, pressure."""
    rng = np.random.default_rng(1)
    writer = TrajectoryWriter.create(
        path,
        numbers=np.resize([1, 8], N),
        masses=MASSES,
        pbc=np.array([True] * 3),
        thermo_units=UNITS,
        parameters={
            "timestep_fs": 0.5,
            "equilibration_steps": equilibration_steps,
            "n_degrees": DEGREES,
            "offset_energy_eV": OFFSET,
            **parameters,
        },
    )
    for k in range(n):
        time = 2.0 * k
        heat = 300.0 + rng.normal(0, 5)
        kinetic = 0.5 * DEGREES * BOLTZMANN_EV_PER_K * heat
        total = OFFSET - 20.0 + SLOPE * time * 1e-3 + rng.normal(0, 1e-5)
        total += 50 * math.exp(-k) if time < 0.5 * equilibration_steps else 0.0
        values = dict.fromkeys(UNITS, 0.0) | {
            "potential_energy": total - kinetic,
            "kinetic_energy": kinetic,
            "total_energy": total if k != bad else math.nan,
            "shadow_energy": OFFSET - 19.0 + SLOPE * time * 1e-3 + 1e-7 * math.sin(k) if 2 < k < n - 2 else math.nan,
            "temperature": heat,
            "pressure": pressure + rng.normal(0, 0.1),
            "momentum_x": momentum * k,
            "extrapolations": 3 * (k > 10),
        }
        writer.write_thermo(4 * k, time, values)
        if k % 100 == 0:
            velocities = rng.normal(0, 0.01, (N, 3))
            observables = {name: values[name] for name in ("potential_energy", "kinetic_energy", "total_energy")}
            observables |= {"temperature": heat, "stress": np.zeros((3, 3))}
            writer.write_frame(
                4 * k, time, rng.normal(size=(N, 3)), 9 * np.eye(3), observables, velocities, np.zeros((N, 3))
            )
    if close:
        writer.close()
        return None
    writer.flush()
    return writer


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run.h5")
    return tmp_path / "run.h5"


def analyze_trajectory(path, json=False, **options):
    return finish(perform(Request(str(path), **options)), json)


def test_shadow_energy_of_a_known_run(run, capsys):
    """Its drift from where it is known, with the error bar that its own scatter gives."""
    found = analyze(read_series(run))
    d = found.shadow_drift
    assert d.slope_eV_per_atom_ps == pytest.approx(SLOPE / N, abs=4 * d.error_eV_per_atom_ps)
    assert d.error_eV_per_atom_ps < 1e-2 * found.drift.error_eV_per_atom_ps
    assert d.rms_eV_per_atom == pytest.approx(1e-7 / math.sqrt(2) / N, rel=0.02)
    assert d.start_ps >= 1e-3 * found.warmup_fs and d.start_ps + d.duration_ps == pytest.approx(1e-3 * 2 * 997)
    assert d.change_over_kinetic_deviation == pytest.approx(found.drift.change_over_kinetic_deviation, rel=0.1)
    numbers = as_dict(found)
    assert numbers["shadow_drift"].keys() == numbers["drift"].keys()
    assert numbers["shadow_drift"]["slope_meV_per_atom_ns"] == d.slope_meV_per_atom_ns
    text = report(found)
    assert text.index("shadow energy  ") < text.index("total energy") < text.index("potential energy")
    assert text.count("kT/ns per degree of freedom") == text.count("eV/atom/ps") == 2


def test_the_integrators_own_error_is_told_from_a_loss(run):
    series = read_series(run)
    assert "no energy is lost" not in report(analyze(series))  # the shadow energy goes with the total one
    still = series.shadow_eV - SLOPE * series.time_fs * 1e-3
    found = analyze(dataclasses.replace(series, shadow_eV=still))
    assert "no energy is lost" in report(found) and "standard errors: resolved" not in report(found)
    assert as_dict(found)["drift_is_integrator_error"]


def test_without_shadow_energies(tmp_path):
    """A run too short for one says nothing of it."""
    make_run(tmp_path / "short.h5", n=4)
    found = analyze(read_series(tmp_path / "short.h5"))
    assert found.shadow_drift is None and "shadow_drift" not in as_dict(found)
    assert "shadow energy" not in report(found)
    assert not (tmp_path / "short_analysis" / "shadow_drift.png").exists()


def test_numbers_of_a_known_run(run):
    found = analyze(read_series(run))
    d = found.drift
    assert d.slope_eV_per_atom_ps == pytest.approx(SLOPE / N, abs=4 * d.error_eV_per_atom_ps)
    # noise of 1e-5 eV in 900 samples over 1.8 ps: the error of a slope is sigma sqrt(12/n) / T
    assert d.error_eV_per_atom_ps == pytest.approx(1e-5 * math.sqrt(12 / 900) / 1.8 / N, rel=0.5)
    assert d.rms_eV_per_atom == pytest.approx(1e-5 / N, rel=0.1)
    assert found.means["temperature"].mean == pytest.approx(300, abs=4 * 5 / 30)
    assert found.means["temperature"].error == pytest.approx(5 / 30, rel=0.3)
    assert found.means["pressure"].mean == pytest.approx(2.5, abs=0.02)
    kT = BOLTZMANN_EV_PER_K * found.means["temperature"].mean
    assert d.kT_per_ns_per_degree == pytest.approx(d.slope_eV_per_atom_ps * N * 1e3 / DEGREES / kT, rel=1e-12)
    assert found.series.extrapolations == 3 and found.series.n_frames == 10
    assert found.warmup_fs == pytest.approx(0.1 * 1998)


def test_drift_is_that_of_the_observables_module(run):
    series = read_series(run)
    by_hand = drift(series.time_fs, series.values["total_energy"], N, warmup_fs=600.0)
    assert analyze(series, 600.0).drift.slope_eV_per_atom_ps == by_hand.slope_eV_per_atom_ps


def test_the_equilibration_is_left_out(tmp_path):
    make_run(tmp_path / "run.h5", equilibration_steps=1200)
    found = analyze(read_series(tmp_path / "run.h5"))
    assert found.warmup_fs == 600.0 and found.warmup_reason == "the equilibration"
    assert found.drift.start_ps >= 0.6
    assert found.drift.slope_eV_per_atom_ps == pytest.approx(SLOPE / N, rel=0.2)
    assert abs(analyze(read_series(tmp_path / "run.h5"), 0.0).drift.slope_eV_per_atom_ps) > 100 * SLOPE / N


def test_momentum_relative_to_all_mass_moving_one_way(tmp_path):
    make_run(tmp_path / "run.h5", momentum=1e-9)
    found = analyze(read_series(tmp_path / "run.h5"))
    series = found.series
    last = 1e-9 * (999 - 100)  # since the end of the warm-up, sample 100
    scale = math.sqrt(2 * MASSES.sum() * series.values["kinetic_energy"][-1] / EV_PER_U_A2_PER_FS2)
    assert found.momentum_change[-1] == pytest.approx(last / scale, rel=1e-9)
    assert f"{np.max(found.momentum_change):.2g} of sqrt" in report(found)


def test_report_and_figures_on_the_command_line(run, capsys):
    assert command_line(["analyze", str(run)]) == 0
    text = capsys.readouterr().out
    assert "12 atoms (H 6, O 6), 10 frames, 1000 samples from 0 to 1.998 ps" in text
    assert "10% of the run" in text and "meV/atom/ns" in text and "kT/ns per degree of freedom" in text
    assert "resolved" in text and "temperature" in text and "GPa" in text
    folder = run.with_name("run_analysis")
    assert sorted(p.name for p in folder.iterdir()) == sorted([*energy_figures.FIGURES, "numbers.json", *PHYSICS_FILES])
    for name in energy_figures.FIGURES:
        content = (folder / name).read_bytes()
        assert content.startswith(PNG) and len(content) > 10_000


def test_the_report_begins_with_the_conservation_of_energy(run):
    analyze_trajectory(run)
    text = (run.parent / "run_analysis/report.html").read_text(encoding="utf-8")
    sections = re.findall("<h2 .*?>(.*?)</h2>", text)
    assert sections[:2] == ["Energy conservation", "Energy, temperature and pressure"]
    first = text[text.index(">Energy conservation</h2>") : text.index(">Energy, temperature and pressure</h2>")]
    assert first.index("shadow energy") < first.index("total energy") and "standard errors" in first
    assert first.count("data:image/png") == 3  # shadow energy, total energy, momentum


def test_a_ramp_is_noticed_and_a_stretch_of_it_can_be_chosen(run):
    series = read_series(run)
    assert not analyze(series).ramp  # fluctuates about 300 K
    rising = {**series.values, "temperature": series.values["temperature"] * (0.8 + 2e-4 * series.time_fs)}
    rising = dataclasses.replace(series, values=rising)
    found = analyze(rising)
    assert "the temperature goes from" in found.ramp and "RAMP" in report(found)
    assert not re.search("temperature .*±", report(found))
    x = ramp_tables(found)["ramp potential energy"].x
    assert x[0] < 270 and x[-1] > 340 and not ramp_tables(analyze(series))
    part = analyze(rising, 0.0, 100.0)
    assert part.series.time_fs[-1] == 100.0 and not part.ramp
    setting = dataclasses.replace(series, ramp="300 to 301 K")
    assert "300 to 301 K" in analyze(setting).ramp
    assert not analyze(setting, 0.0, 100.0).ramp  # a twentieth of it


def test_energies_are_printed_less_the_constants_of_the_potential(run):
    text = report(analyze(read_series(run)))
    (line,) = [line for line in text.splitlines() if line.startswith("total energy")]
    assert float(line.split()[2]) == pytest.approx(-20.0 / N, rel=1e-3)
    assert "minus the constants in the potential, -5000 eV" in text


def test_json_is_strict_and_has_units(run, capsys):
    assert analyze_trajectory(run, json=True, no_figures=True) == 0
    numbers = json.loads(capsys.readouterr().out, parse_constant=lambda c: pytest.fail(f"{c} in JSON"))
    assert numbers["temperature"]["mean_K"] == pytest.approx(300, abs=1)
    assert numbers["drift"]["slope_meV_per_atom_ns"] == pytest.approx(SLOPE / N * 1e6, rel=0.3)
    assert numbers["n_degrees_of_freedom"] == DEGREES
    assert not run.with_name("run_analysis").exists()


def test_axes_say_what_they_show_and_in_which_unit(run):
    found = analyze(read_series(run))
    for draw in (
        energy_figures._draw_drift,
        energy_figures._draw_energies,
        energy_figures._draw_pressure,
        energy_figures._draw_momentum,
    ):
        axes = draw(found).axes
        assert axes[-1].get_xlabel() == "time / ps"
        assert all("/" in ax.get_ylabel() for ax in axes)


def test_the_drawn_line_and_blocks_are_those_of_the_fit(run):
    found = analyze(read_series(run))
    axes = energy_figures._draw_drift(found).axes[1]
    line = next(x for x in axes.lines if x.get_label() == "fitted line")
    x, y = line.get_xdata(), line.get_ydata()
    scale = {"(meV/atom)": 1e3, "(µeV/atom)": 1e6, "(neV/atom)": 1e9}[axes.get_ylabel().split("/ ")[1]]
    assert (y[-1] - y[0]) / (x[-1] - x[0]) == pytest.approx(found.drift.slope_eV_per_atom_ps * scale, rel=1e-9)
    blocks = next(c for c in axes.containers if "block means" in c.get_label()).lines[0]
    assert len(blocks.get_xdata()) == found.drift.n_blocks
    assert np.all(np.diff(blocks.get_xdata()) > 0)


def test_many_samples_are_drawn_as_their_envelope():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    time, values = np.arange(1e6), np.zeros(10**6)
    values[123_456] = 5.0  # one outlier must stay visible
    energy_figures._plot_series(axes, time, values)
    assert axes.dataLim.y1 == 5.0 and len(axes.lines) == 0
    assert len(axes.collections[0].get_paths()[0].vertices) < 20_000


@pytest.mark.parametrize("n", [1, 2, 9])
def test_short_runs_say_that_they_are_short(tmp_path, capsys, n):
    make_run(tmp_path / "run.h5", n)
    assert analyze_trajectory(tmp_path / "run.h5") == 0
    text = capsys.readouterr().out
    assert "not enough data" in text and "too short for an error bar" in text and "nan" not in text
    drawn = [p.name for p in (tmp_path / "run_analysis").glob("*.png")]
    assert (drawn == []) == (n == 1)


def test_a_warm_up_longer_than_the_run(run, capsys):
    assert analyze_trajectory(run, warmup_ps=100.0) == 0
    text = capsys.readouterr().out
    assert "not enough data: 0 samples" in text and "nan" not in text
    with pytest.raises(InputError, match="must not be negative"):
        analyze_trajectory(run, warmup_ps=-1.0)


def test_a_run_that_broke_off_with_nan(tmp_path, capsys):
    make_run(tmp_path / "run.h5", bad=700)
    assert analyze_trajectory(tmp_path / "run.h5") == 0
    assert "total_energy at step 2800 is nan: this sample and all later ones are left out" in capsys.readouterr().out
    assert len(read_series(tmp_path / "run.h5").time_fs) == 700


def test_an_open_system_has_no_pressure(tmp_path, capsys):
    make_run(tmp_path / "run.h5", pressure=math.nan)
    assert analyze_trajectory(tmp_path / "run.h5") == 0
    assert "pressure" not in capsys.readouterr().out
    assert not (tmp_path / "run_analysis" / "pressure.png").exists()


def test_a_live_file(tmp_path):
    writer = make_run(tmp_path / "run.h5", 300, close=False)
    script = (
        "import sys; from mdnnp.analysis.energies import *; s = read_series(sys.argv[1]);"
        " print(len(s.time_fs), analyze(s).drift.n_blocks)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run.h5")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["300", "19"]
    writer.close()


def test_a_killed_file(tmp_path):
    writer = make_run(tmp_path / "live.h5", 300, close=False)
    shutil.copy(tmp_path / "live.h5", tmp_path / "killed.h5")  # what is on the disk if the process dies now
    writer.close()
    series = read_series(tmp_path / "killed.h5")
    assert len(series.time_fs) == 300 and analyze(series).drift.enough


def foreign(path, *, velocities=True, energies=None, unit="eV"):
    """An H5MD file such as other programs write: no log, no parameters; perhaps observables."""
    rng = np.random.default_rng(0)
    v = rng.normal(0, 0.3, (50, N, 3))  # nm/ps
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = [1, 1]
        group = file.create_group("particles/all")
        group.create_group("box").attrs["boundary"] = ["periodic"] * 3
        for name, values, unit_of in (("position", v * 0, "nm"), ("velocity", v, "nm ps-1")):
            if name == "velocity" and not velocities:
                continue
            element = group.create_group(name)
            element["value"], element["step"] = values, np.arange(50) * 10
            element["time"] = np.arange(50) * 0.02
            element["time"].attrs["unit"] = "ps"
            element["value"].attrs["unit"] = unit_of
        group["mass"] = MASSES
        if energies is not None:
            element = file.create_group("observables/total_energy")
            element["value"], element["step"] = energies, np.arange(50) * 10
            if unit:
                element["value"].attrs["unit"] = unit
    return v * 1e-2


def test_a_foreign_file_with_velocities(tmp_path, capsys):
    velocities = foreign(tmp_path / "other.h5")
    series = read_series(tmp_path / "other.h5")
    expected = kinetic_energy(velocities, MASSES)
    np.testing.assert_allclose(series.values["kinetic_energy"], expected, rtol=1e-12)
    np.testing.assert_allclose(series.values["temperature"], temperature(expected, DEGREES), rtol=1e-12)
    np.testing.assert_allclose(series.momentum, np.einsum("tik,i->tk", velocities, MASSES))
    assert analyze_trajectory(tmp_path / "other.h5") == 0
    text = capsys.readouterr().out
    assert "temperature" in text and "drift" not in text.replace("energy_drift", "")
    assert not (tmp_path / "other_analysis" / "energy_drift.png").exists()


def test_a_foreign_file_with_energies(tmp_path):
    energies = np.linspace(0, 1, 50) + np.tile([0.01, -0.01], 25)
    foreign(tmp_path / "other.h5", energies=energies)
    found = analyze(read_series(tmp_path / "other.h5"), 0.0)
    assert found.drift.slope_eV_per_atom_ps == pytest.approx(1 / 0.98 / N, rel=0.05)


@pytest.mark.parametrize("unit", ["kJ mol-1", None])
def test_foreign_energies_in_other_or_no_units_are_not_guessed(tmp_path, unit):
    foreign(tmp_path / "other.h5", energies=np.arange(50.0), unit=unit)
    assert "total_energy" not in read_series(tmp_path / "other.h5").values


def test_a_foreign_file_with_positions_only(tmp_path, capsys):
    foreign(tmp_path / "other.h5", velocities=False)
    assert analyze_trajectory(tmp_path / "other.h5") == 0
    assert "no energies, temperatures or velocities" in capsys.readouterr().out


def test_files_that_are_no_trajectories(tmp_path, capsys):
    with pytest.raises(FileError, match="no such file"):
        read_series(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("nothing")
    with pytest.raises(FileError, match="not an HDF5 file"):
        read_series(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = 1
    with pytest.raises(FileError, match="not a trajectory"):
        read_series(tmp_path / "other.h5")
    assert command_line(["analyze", str(tmp_path / "missing.h5")]) == 4
    assert capsys.readouterr().err.startswith("error: ")


def test_an_analysis_is_replaced_but_nothing_else(run, capsys):
    folder = run.with_name("run_analysis")
    analyze_trajectory(run)
    (folder / "notes.txt").write_text("mine")
    analyze_trajectory(run)
    assert "replacing an earlier analysis" in capsys.readouterr().out
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "numbers.json").unlink()
    (folder / "pressure.png").write_text("mine")
    with pytest.raises(FileError, match="was not written by an earlier analysis"):
        analyze_trajectory(run)
    assert (folder / "pressure.png").read_text() == "mine"


def test_figures_without_data_any_more_are_removed(run, tmp_path):
    analyze_trajectory(run)
    make_run(tmp_path / "open.h5", pressure=math.nan)
    analyze_trajectory(tmp_path / "open.h5", output=str(run.with_name("run_analysis")))
    assert not (run.with_name("run_analysis") / "pressure.png").exists()


def test_folders_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileError, match="is not a directory"):
        analyze_trajectory(run, output=str(tmp_path / "file"))
    with pytest.raises(FileError, match="cannot be created"):
        analyze_trajectory(run, output=str(tmp_path / "file" / "below"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_folder_that_fails_while_writing(run, monkeypatch, number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(FileError, match=f"run_analysis: cannot be written: {os.strerror(number)}"):
        analyze_trajectory(run)
