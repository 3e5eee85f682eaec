"""The silicon that is shipped: data, potential, molecular-dynamics inputs, and the scripts that compare it with DFT."""

import importlib.util
import json
import re
import sys
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from places import ROOT

from mdnnp import load_potential, make_system
from mdnnp.atoms.neighbors import VerletList
from mdnnp.atoms.read import read_structures
from mdnnp.dynamics.input import read_config
from mdnnp.dynamics.integrators import MDState, maxwell_boltzmann, total_energy, verlet_step
from mdnnp.dynamics.run import run
from mdnnp.materials.crystal import make_crystal
from mdnnp.materials.defects import point_defects
from mdnnp.materials.elastic import cubic_constants, from_second_derivatives
from mdnnp.materials.eos import fit_birch_murnaghan
from mdnnp.materials.surfaces import J_PER_M2, surface_energies
from mdnnp.training.accuracy import evaluate
from mdnnp.training.checks import check_dataset, leaks
from mdnnp.training.dataset import data_hash, read_labelled, split
from mdnnp.training.input import read_train_config

SILICON = ROOT / "inputs" / "silicon"
DFT_EV = -106.9883  # per atom of the perfect crystal: free energy of DFT at the minimum of volumes.xyz


@pytest.fixture(scope="module")
def potential():
    return load_potential(SILICON / "potential")


def script(name):
    """A script of analysis/silicon as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "analysis" / "silicon" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def computed(potential, atoms):
    return potential.compute(make_system(atoms.positions, atoms.numbers, atoms.cell.array, atoms.pbc))


# The data


def test_data_are_sound_and_the_test_set_is_held_out():
    training = [s for p in read_train_config(SILICON / "train.toml").data.train for s in read_labelled([p])]
    test = read_labelled([SILICON / "test.xyz"])
    assert not [f for f in check_dataset([*training, *test]) if f.severity == "error"]
    assert not leaks(training, test)
    other = read_labelled([SILICON / f"{name}.xyz" for name in ("volumes", "melt", "collected-test")])
    assert not leaks(training, other)
    for s in [*training, *test, *other]:
        slab = s.config_type.startswith("surface")
        assert slab or {63, 64, 65} >= {len(s.system)}
        assert s.energy_eV is not None and s.forces is not None and (s.stress is None) == slab
        # Periodic plane waves: no net force but for rounding.
        assert np.abs(s.forces.sum(axis=0)).max() < 1e-3
        assert DFT_EV - 0.01 < s.energy_eV / len(s.system) < DFT_EV + 1.0
    assert sum(p.stat().st_size for p in SILICON.glob("*.xyz")) < 3e6


# The potential


def test_the_directory_states_its_units_and_where_it_comes_from(potential):
    text = (SILICON / "potential" / "mdnnp.toml").read_text()
    assert 'length_unit = "Angstrom"' in text and 'energy_unit = "eV"' in text
    config = read_train_config(SILICON / "train.toml")
    training = read_labelled(config.data.train)
    parts = split(training, config.data.validation_fraction, config.data.test_fraction, config.data.seed)
    used = [training[k] for k in (*parts.train, *parts.validation)]
    assert f'"data_sha256" = "{data_hash(used)}"' in text, "the potential was fitted to other data than are shipped"
    assert potential.cutoff == config.descriptors.cutoff_A
    assert potential.elements == ("Si",)


@pytest.mark.parametrize("name", ["test.xyz", "melt.xyz"])
def test_errors_are_those_that_its_readme_states(potential, name):
    errors = evaluate(potential, read_labelled([SILICON / name])).quantities
    found = [errors["energy"].overall.rmse, errors["force"].overall.rmse, errors["stress"].overall.rmse]
    readme = (SILICON / "potential" / "README.md").read_text()
    row = re.search(rf"`{re.escape(name)}`[^|]*\| *([\d.]+) *\| *([\d.]+) *\| *([\d.]+)", readme)
    assert row, f"README.md of the potential has no row of {name}"
    np.testing.assert_allclose(found, [float(x) for x in row.groups()], rtol=0.02)


def test_forces_are_the_derivative_of_the_energy(potential):
    atoms = next(a for a in ase.io.read(SILICON / "test.xyz", ":") if a.info["config_type"] == "liquid")
    forces, h = computed(potential, atoms).forces, 1e-4
    for atom, axis in ((0, 0), (17, 1), (63, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            energies.append(computed(potential, moved).energy)
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(forces[atom, axis], abs=2e-6)


def test_crystal_has_the_lattice_constant_and_bulk_modulus_of_its_labels(potential, tmp_path, monkeypatch, capsys):
    module = script("equation_of_state")
    labelled = ase.io.read(SILICON / "volumes.xyz", ":")
    volumes = np.array([a.get_volume() / len(a) for a in labelled])
    dft = fit_birch_murnaghan(volumes, [a.get_potential_energy() / len(a) for a in labelled])
    network = fit_birch_murnaghan(volumes, [computed(potential, a).energy / len(a) for a in labelled])
    assert network.volume == pytest.approx(dft.volume, rel=0.005)
    assert network.bulk_modulus_GPa == pytest.approx(dft.bulk_modulus_GPa, rel=0.05)
    monkeypatch.setattr(sys, "argv", ["equation_of_state.py", "-o", str(tmp_path / "volume.png")])
    module.main()
    assert f"{(8 * dft.volume) ** (1 / 3):.3f} Å" in capsys.readouterr().out and (tmp_path / "volume.png").exists()


def test_properties_are_those_of_its_labels(potential):
    """`dft.json`: elastic constants, of strained crystals that were not fitted to; defects and surfaces, which were."""
    dft = json.loads((SILICON / "dft.json").read_text())
    crystal = make_crystal(potential, read_structures(SILICON / "crystal.xyz", -1)[0], relaxed=True)
    c11, c12, c44 = cubic_constants(from_second_derivatives(potential, crystal.system).relaxed)
    assert [c11, c12, c44] == pytest.approx([dft["C11_GPa"], dft["C12_GPa"], dft["C44_GPa"]], rel=0.1)
    found = {d.key: d.relaxed.energy for d in point_defects(potential, crystal.system, crystal.symmetry, (2, 2, 2))}
    for name in ("vacancy", "hexagonal", "tetrahedral", "dumbbell"):
        assert found[name] == pytest.approx(dft[f"{name}_eV"], abs=0.15)
    for found in surface_energies(potential, crystal.system, crystal.energy_per_atom):
        name = f"surface_{''.join(map(str, found.indices))}"
        assert found.unrelaxed * J_PER_M2 == pytest.approx(dft[f"{name}_unrelaxed_J_per_m2"], rel=0.05)
        assert found.relaxed * J_PER_M2 == pytest.approx(dft[f"{name}_J_per_m2"], rel=0.1)


# Where the data end


def beta_tin():
    """The high-pressure phase that follows diamond at 11 GPa."""
    return bulk("Si", "bct", a=4.69, c=2.58, basis=[[0, 0, 0], [0, 0.5, 0.25]]).repeat(3)


def cluster():
    """Seventeen atoms, a ball of the crystal."""
    atoms = bulk("Si", "diamond", 5.47, cubic=True).repeat(3)
    center = atoms.positions[100]
    near = np.argsort(np.linalg.norm(atoms.positions - center, axis=1), kind="stable")[:17]
    return ase.Atoms("Si17", atoms.positions[near])


def fcc():
    return bulk("Si", "fcc", a=3.9, cubic=True).repeat(2)


def dimer():
    return ase.Atoms("Si2", [[0, 0, 0], [1.6, 0, 0]])


@pytest.mark.parametrize("structure", [beta_tin, cluster, fcc, dimer])
def test_extrapolation_is_flagged_where_the_data_end(potential, structure):
    results = computed(potential, structure())
    assert results.extrapolation.count > 0
    assert np.all(
        (results.extrapolation.value < results.extrapolation.lower)
        | (results.extrapolation.value > results.extrapolation.upper)
    )


def test_crystal_conserves_energy_and_stays_in_range(tmp_path):
    config = read_config(SILICON / "crystal.toml")
    config = replace(
        config,
        structure=replace(config.structure, replicate=(2, 2, 2)),
        dynamics=replace(config.dynamics, steps=500, equilibration_steps=200),
        output=replace(config.output, file=tmp_path / "crystal.h5", thermo_interval=5),
    )
    summary = run(config)
    assert summary.extrapolations == 0
    assert summary.drift.rms_eV_per_atom < 1e-5
    assert abs(summary.drift.change_eV_per_atom) < 1e-5
    # The scatter of the total energy is velocity Verlet's own; the shadow energy takes it away.
    assert summary.shadow_drift.rms_eV_per_atom < 0.02 * summary.drift.rms_eV_per_atom
    assert "extrapolated   none" in summary.text()


def test_a_run_that_leaves_the_data_says_so(tmp_path):
    """The high-pressure phase, which is not in the data."""
    ase.io.write(tmp_path / "phase.xyz", beta_tin())
    config = read_config(SILICON / "crystal.toml")
    config = replace(
        config,
        structure=replace(config.structure, file=tmp_path / "phase.xyz", replicate=(1, 1, 1)),
        dynamics=replace(config.dynamics, steps=5, equilibration_steps=0),
        output=replace(config.output, file=tmp_path / "run.h5"),
    )
    with pytest.warns(match="extrapolation at step 0: atom"):
        assert run(config).extrapolations > 0


def test_inputs_can_be_read():
    for name in ("crystal.toml", "liquid.toml", "liquid-2000K.toml"):
        config = read_config(SILICON / name)
        assert config.potential.path == SILICON / "potential" and config.structure.file.exists()


# The scripts


def test_radial_distribution_of_an_ideal_gas_and_of_a_crystal():
    melt = script("melt")
    rng = np.random.default_rng(1)
    r, g = melt.radial_distribution(rng.uniform(0, 10.5, (300, 64, 3)), 10.5)
    outside = r > 1.0
    assert np.abs(g.mean(axis=0)[outside] - 63 / 64).max() < 0.1
    assert g.mean(axis=0)[outside].mean() == pytest.approx(63 / 64, abs=0.005)
    crystal = bulk("Si", "diamond", a=5.46, cubic=True).repeat(2)
    crystal.positions += rng.normal(scale=0.05, size=crystal.positions.shape)
    frames = crystal.positions + rng.normal(scale=0.1, size=(100, 64, 3))
    r, g = melt.radial_distribution(frames, 10.92)
    mean, error, shell, bars = melt.with_errors(r, g, 64 / 10.92**3)
    assert shell.peak_A == pytest.approx(5.46 * 3**0.5 / 4, abs=0.05)
    assert shell.neighbors == pytest.approx(4, abs=0.02)
    assert np.all(np.asarray(bars) >= 0) and np.all(error >= 0) and mean.shape == r.shape


def test_weights_of_frames_to_dft(tmp_path, potential):
    """Labels that are the potential's own energies give equal weights; one that is lower by kT counts e times."""
    from ase.calculators.singlepoint import SinglePointCalculator

    melt = script("melt")
    kelvin, frames = 2000.0, [a for a in ase.io.read(SILICON / "test.xyz", ":") if a.info["config_type"] == "liquid"]
    for lowered in (0.0, melt.BOLTZMANN_EV_PER_K * kelvin):
        for k, a in enumerate(frames):
            results = computed(potential, a)
            energy = results.energy - lowered * (k == 0)
            a.calc = SinglePointCalculator(a, energy=energy, forces=results.forces)
        ase.io.write(tmp_path / "own.xyz", frames)
        own = melt.compare(tmp_path / "own.xyz", SILICON / "potential", kelvin)
        assert own.weights[0] / own.weights[1] == pytest.approx(np.e if lowered else 1.0, rel=1e-3)
        assert np.abs(own.force_eV_A).max() < 1e-6
    assert own.effective < len(frames)


def test_labels_are_told_from_those_of_other_configurations():
    label = script("label")
    atoms = ase.io.read(SILICON / "test.xyz", 0)
    other = atoms.copy()
    other.wrap()
    other.positions += 1e-6
    assert label.is_label_of(atoms, other)
    other.positions[3, 1] += 0.02
    assert not label.is_label_of(atoms, other)
    assert not label.is_label_of(atoms, atoms[:-1])


def test_convergence_of_the_energy_with_the_time_step(potential):
    """The rms of the total energy goes as the square of the time step: deviation of physical_validation below 0.15."""
    pv = pytest.importorskip("physical_validation")
    cell = ase.io.read(SILICON / "crystal.xyz").repeat(2)
    system = make_system(cell.positions, cell.numbers, cell.cell.array, cell.pbc)
    masses = cell.get_masses()
    first = MDState(system, maxwell_boltzmann(masses, 600.0, 1), masses, potential.compute(system), 0)
    runs = []
    for timestep_fs in (2.0, 1.0, 0.5):
        neighbors, state, energies = VerletList(potential.cutoff, 1.0), first, []
        for _ in range(round(300.0 / timestep_fs)):
            state = verlet_step(state, timestep_fs, lambda s, near=neighbors: potential.compute(s, near.update(s)))
            energies.append(total_energy(state))
        observables = pv.data.ObservableData(constant_of_motion=np.array(energies))
        runs.append(pv.data.SimulationData(dt=timestep_fs, observables=observables))
    assert pv.integrator.convergence(runs, verbose=False) < 0.15  # found 0.002


def test_slabs_of_dft_are_those_of_the_properties_and_their_energies_agree_on_the_crystal(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "analysis" / "silicon"))  # it imports its neighbours
    surfaces = script("surfaces")
    for name, atoms in (("100", 12), ("110", 16), ("111", 10)):
        slab, kpts = surfaces.prepare(f"ideal {name}")
        assert len(slab) == atoms and slab.cell.lengths()[2] > 15 + surfaces.VACUUM_A - 3
        assert all(14 < n * length < 19 for n, length in zip(kpts[:2], slab.cell.lengths()[:2], strict=True))
        assert kpts[2] == 1 and np.abs(slab.cell[2] @ slab.cell[:2].T).max() < 1e-9  # the vacuum is straight
        thin, _ = surfaces.prepare(f"bulk {name}")
        assert thin.get_volume() / len(thin) == pytest.approx(surfaces.LATTICE_A**3 / 8)
    # What the script adds to energies is the same for every atom of slabs of a kind.
    frames = ase.io.read(SILICON / "surfaces.xyz", ":")
    for kind in ("surface-100", "surface-110", "surface-111"):
        added = [a.info["added_eV"] / len(a) for a in frames if a.info["config_type"] == kind]
        assert len(added) > 5 and np.ptp(added) < 1e-6 and 0.05 < added[0] < 0.1
