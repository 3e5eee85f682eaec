"""Distributions of charges and the infrared spectrum of a trajectory."""

import numpy as np
import pytest

from mdnnp.analysis.charges import charge_distributions, infrared_spectrum
from mdnnp.analysis.frames import Frames
from mdnnp.analysis.physics import Settings, physics
from mdnnp.base.errors import InputError
from mdnnp.trajectory import TrajectoryWriter

NUMBERS, MASSES = np.array([8, 1]), np.array([16.0, 1.0])
DT_FS, PERIOD_FS = 1.0, 20.0


def written(path, positions, charges, pbc=False):
    writer = TrajectoryWriter.create(
        path, numbers=NUMBERS, masses=MASSES, pbc=np.full(3, pbc), thermo_units={}, parameters={"timestep_fs": DT_FS},
        velocities=False, forces=False, charges=charges is not None,
    )  # fmt: skip
    nothing = dict.fromkeys(("potential_energy", "kinetic_energy", "total_energy", "temperature"), 0.0)
    for k, x in enumerate(positions):
        own = {} if charges is None else {"charges": charges[k]}
        writer.write_frame(k, k * DT_FS, x, 20.0 * np.eye(3), nothing | {"stress": np.zeros((3, 3))}, **own)
    writer.close()
    return path


def vibrating(n=4000):
    """A bond whose charge follows its length: the dipole has the period and, weakly, its half."""
    t = np.arange(n) * DT_FS
    length = 1.0 + 0.05 * np.cos(2 * np.pi * t / PERIOD_FS)
    q = 0.4 + 0.2 * (length - 1.0)
    positions = np.zeros((n, 2, 3))
    positions[:, 1, 0] = length
    return positions, np.stack([-q, q], axis=1)


def test_distributions(tmp_path):
    positions, charges = vibrating()
    with Frames([written(tmp_path / "a.h5", positions, charges)]) as frames:
        found = charge_distributions(frames)
    assert list(found) == ["charge H", "charge O"]
    table = found["charge H"]
    assert np.sum(table.y) * (table.x[1] - table.x[0]) == pytest.approx(1.0)
    mean, error = table.numbers["mean / e"]
    assert mean == pytest.approx(0.4, abs=1e-4) and error < 1e-3
    assert table.numbers["standard deviation / e"][0] == pytest.approx(0.01 / np.sqrt(2), rel=1e-3)


def test_infrared_spectrum(tmp_path):
    positions, charges = vibrating()
    with Frames([written(tmp_path / "a.h5", positions, charges)]) as frames:
        table = infrared_spectrum(frames)["infrared"]
    wave, error = table.numbers["strongest / cm⁻¹"]
    assert abs(wave - 1e15 / PERIOD_FS / 2.99792458e10) < error
    # the integral is <M'^2>, of M = q(length) length
    t, length = DT_FS * np.arange(len(positions)), positions[:, 1, 0]
    rate = -0.05 * 2 * np.pi / PERIOD_FS * np.sin(2 * np.pi * t / PERIOD_FS)
    slope = (0.2 * length + charges[:, 1]) * rate * 1e3
    total = np.sum(table.y) * (table.x[1] - table.x[0]) / 33.3564
    assert total == pytest.approx(np.mean(slope**2), rel=0.02)


def test_the_dipole_of_a_periodic_system_is_refused(tmp_path):
    positions, charges = vibrating(100)
    with (
        Frames([written(tmp_path / "a.h5", positions, charges, pbc=True)]) as frames,
        pytest.raises(InputError, match="which images"),
    ):
        infrared_spectrum(frames)


def test_only_where_there_are_charges(tmp_path):
    positions, charges = vibrating(400)
    found = physics([written(tmp_path / "a.h5", positions, charges)], Settings())
    assert {"charge H", "charge O", "infrared"} <= found.tables.keys()
    found = physics([written(tmp_path / "b.h5", positions, None)], Settings())
    assert not any(name.startswith(("charge", "infrared")) for name in found.tables)
    assert not any("charge" in note for note in found.notes)
