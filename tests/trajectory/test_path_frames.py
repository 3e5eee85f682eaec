"""Steps of relaxations as files: H5MD for our reader, MDAnalysis and ASE, the same numbers as extended XYZ."""

import numpy as np
import pytest
from ase.io import read
from systems import argon

from mdnnp.analysis.energies import analyze, read_series
from mdnnp.atoms.structure import Structure
from mdnnp.atoms.system import System, volume
from mdnnp.base.errors import FileError, InputError
from mdnnp.base.units import EV_IN_KJ_PER_MOL
from mdnnp.command.cli import main
from mdnnp.landscape.relaxation import Goal, relax
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.trajectory import Trajectory
from mdnnp.trajectory.path_frames import check_steps_file, write_steps

ARGON = LennardJones({"Ar": (0.0104, 3.4)}, 7.0, "poly3")


@pytest.fixture(scope="module")
def turned() -> tuple[Structure, list]:
    """A relaxation of positions and cell, the cell of which is not lower triangular."""
    system = argon(2, 0.1)
    q, r = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    q *= np.sign(np.linalg.det(q))
    system = system._replace(positions=system.positions @ q, cell=system.cell @ q)
    structure = Structure(system, np.full(len(system), 39.948))
    return structure, relax(ARGON, system, Goal(cell=True, force_tolerance=1e-4)).history


@pytest.fixture
def path(turned, tmp_path):
    structure, history = turned
    write_steps(tmp_path / "steps.h5", structure, history, parameters={"method": "lbfgs"})
    return tmp_path / "steps.h5"


def test_every_step_is_a_frame(path, turned):
    """Energies as they are; what the potential says of a frame's own positions and cell are its forces and stress."""
    history = turned[1]
    with Trajectory(path) as steps:
        assert len(steps) == len(history) > 3
        assert np.array_equal(steps.steps, np.arange(len(history)))
        assert np.array_equal(steps.times_fs, np.arange(len(history)))
        assert steps.parameters["method"] == "lbfgs"
        energies = [p.results.energy for p in history]
        assert np.array_equal(steps.observables["potential_energy"], energies)
        cells, forces, stress = steps.cells(), steps.forces(), steps.observables["stress"]
        assert np.array_equal(cells, np.tril(cells))
        for k, x in enumerate(steps.positions()):
            system = System(x, np.full(len(x), 18), cells[k], np.ones(3, bool))
            results = ARGON.compute(system)
            assert results.energy == pytest.approx(energies[k], abs=1e-10)
            assert np.allclose(results.forces, forces[k], atol=1e-9)
            assert np.allclose(-results.virial / volume(system.cell), stress[k], atol=1e-10)


def test_other_readers(path, turned, tmp_path):
    history = turned[1]
    znh5md, mda = pytest.importorskip("znh5md"), pytest.importorskip("MDAnalysis")
    with Trajectory(path) as steps:
        positions, forces = steps.positions(), steps.forces()
    frames = znh5md.IO(str(path))[:]
    for k, atoms in enumerate(frames):
        assert np.allclose(atoms.positions, positions[k], rtol=1e-14)
        assert atoms.get_potential_energy() == history[k].results.energy
    assert len(frames) == len(history)
    universe = mda.Universe(str(path.rename(tmp_path / "s.h5md")), format="H5MD", topology_format="MINIMAL")
    for k, ts in enumerate(universe.trajectory):
        assert np.allclose(ts.positions, positions[k], atol=1e-5)
        assert np.allclose(ts.forces, forces[k] * EV_IN_KJ_PER_MOL, atol=1e-3)


def test_analysis_knows_that_they_are_not_dynamics(path, tmp_path, capsys):
    found = analyze(read_series(path))
    assert found.drift is None and set(found.means) == {"potential_energy"}
    assert main(["analyze", str(path), "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "steps of a relaxation" in text and "rdf Ar-Ar" in text and "has no dynamics" in text


def test_command_line_and_open_systems(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lj.toml").write_text(
        'kind = "lennard-jones"\ncutoff_A = 7.0\n[elements.Ar]\nepsilon_eV = 0.0104\nsigma_A = 3.4\n'
    )
    (tmp_path / "trimer.xyz").write_text("3\n\nAr 0 0 0\nAr 4.2 0 0\nAr 1 3.5 0\n")
    command = ["relax", "lj.toml", "trimer.xyz", "-o", "out.xyz", "--threads", "1", "--trajectory"]
    assert main([*command, "steps.h5"]) == 0
    assert main([*command, "steps.xyz", "--overwrite"]) == 0
    frames = read("steps.xyz", ":")
    with Trajectory("steps.h5") as steps:
        assert not steps.pbc.any() and len(steps) == len(frames)
        for k, atoms in enumerate(frames):
            assert np.allclose(steps.positions(k), atoms.positions, atol=1e-9)
    capsys.readouterr()
    before = (tmp_path / "steps.h5").read_bytes()
    (tmp_path / "out.xyz").unlink()
    assert main([*command, "steps.h5"]) == 4
    assert "steps.h5" in capsys.readouterr().err and (tmp_path / "steps.h5").read_bytes() == before


def test_names_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match=r"extended XYZ or H5MD.*\.xyz or \.h5"):
        check_steps_file(tmp_path / "steps.traj", overwrite=False)
    with pytest.raises(FileError):
        check_steps_file(tmp_path / "nowhere" / "steps.h5", overwrite=False)
    check_steps_file(None, overwrite=False)
