"""Errors against labels: those that were put in come out, statistics against NumPy, coverage against descriptors."""

import dataclasses
import json

import numpy as np
import pytest
from labelled import Answers, make_labelled
from places import GOLDEN
from reference_data import REAL

from mdnnp.atoms.system import make_system
from mdnnp.base.errors import InputError
from mdnnp.base.units import EV_PER_A3_IN_GPA, energy_in_ev, length_in_angstrom
from mdnnp.potentials.load import load_potential
from mdnnp.training import accuracy
from mdnnp.training.accuracy import brief, evaluate, remarks, table
from mdnnp.training.dataset import LabelledStructure, read_labelled


def noise(n, seed=4):
    """Errors of n structures of 8 atoms, and their function of the number."""
    rng = np.random.default_rng(seed)
    energy, forces, stress = (
        rng.normal(0.01, 0.02, n),
        rng.standard_t(3, (n, 8, 3)) * 0.1,
        rng.normal(0, 0.01, (n, 3, 3)),
    )
    return energy, forces, stress + np.swapaxes(stress, 1, 2), lambda k: (energy[k], forces[k], stress[k] + stress[k].T)


def check_statistics(s, residuals):
    x = np.abs(residuals)
    assert s.n == x.size
    expected = [np.sqrt(np.mean(x**2)), np.mean(x), np.mean(residuals), np.quantile(x, 0.95), np.max(x)]
    np.testing.assert_allclose([s.rmse, s.mae, s.bias, s.quantile_95, s.maximum], expected, rtol=1e-9, atol=1e-12)


def test_errors_that_were_put_in_come_out():
    structures = make_labelled(30)
    energy, forces, stress, errors = noise(30)
    found = evaluate(Answers(structures, errors), structures)
    assert (found.configurations, found.atoms, found.unlabelled) == (30, 240, 0)
    kinds = np.array([s.config_type for s in structures])
    upper = np.triu_indices(3)
    for name, residuals in (
        ("energy", energy / 8 * 1e3),
        ("force", forces * 1e3),
        ("stress", stress[:, *upper] * EV_PER_A3_IN_GPA),
    ):
        q = found.quantities[name]
        check_statistics(q.overall, residuals)
        assert list(q.by_kind) == ["crystal", "liquid", "surface"]
        for kind, s in q.by_kind.items():
            check_statistics(s, residuals[kinds == kind])
    numbers = np.array([s.system.numbers for s in structures])
    by_element = found.quantities["force"].by_element
    assert list(by_element) == ["Mg", "O"]
    check_statistics(by_element["O"], 1e3 * forces[numbers == 8])
    check_statistics(by_element["Mg"], 1e3 * forces[numbers == 12])


def test_sample_holds_references_without_the_constants():
    structures = make_labelled(5)
    _, forces, _, errors = noise(5)
    found = evaluate(Answers(structures, errors, offset_eV=-2.0), structures)
    np.testing.assert_allclose(
        found.quantities["energy"].sample.reference, [s.energy_eV / 8 + 2.0 for s in structures], rtol=1e-14
    )
    np.testing.assert_array_equal(found.quantities["force"].sample.reference, np.ravel([s.forces for s in structures]))
    np.testing.assert_allclose(found.quantities["force"].sample.residual, np.ravel(forces), rtol=1e-12, atol=1e-15)


def test_worst_configurations_by_name():
    structures = make_labelled(30)
    energy, forces, stress, errors = noise(30)
    found = evaluate(Answers(structures, errors), structures).quantities
    order = np.argsort(-np.abs(energy))[:10]
    assert [w.name for w in found["energy"].worst] == [f"data.xyz:{k}" for k in order]
    assert [w.error for w in found["energy"].worst] == pytest.approx(list(energy[order] / 8 * 1e3))
    lengths = np.linalg.norm(forces, axis=2)
    order = np.argsort(-lengths.max(axis=1))[:10]
    for w, k in zip(found["force"].worst, order, strict=True):
        atom = int(np.argmax(lengths[k]))
        element = "O" if structures[k].system.numbers[atom] == 8 else "Mg"
        assert (w.name, w.atom, w.element, w.config_type) == (f"data.xyz:{k}", atom, element, structures[k].config_type)
        assert w.error == pytest.approx(1e3 * lengths[k, atom])
    k = np.argmax(np.abs(stress).reshape(30, 9).max(axis=1))
    assert found["stress"].worst[0].name == f"data.xyz:{k}"


def test_labels_that_are_missing_do_not_count():
    structures = make_labelled(6)
    structures[0] = dataclasses.replace(structures[0], energy_eV=None, stress=None)
    structures[1] = dataclasses.replace(structures[1], energy_eV=None, forces=None, stress=None)
    found = evaluate(Answers(structures, noise(6)[3]), structures)
    counts = {name: q.overall.n for name, q in found.quantities.items()}
    assert (counts, found.unlabelled) == ({"energy": 4, "force": 5 * 24, "stress": 4 * 6}, 1)
    unlabelled = [structures[1]]
    with pytest.raises(InputError, match="no structure has an energy, forces or stress"):
        evaluate(Answers(unlabelled, noise(6)[3]), unlabelled)


def test_by_file():
    structures = [*make_labelled(3, names="a.xyz"), *make_labelled(2, seed=9, names="b.xyz")]
    found = evaluate(Answers(structures, noise(5)[3]), structures, by="file")
    assert {name: s.n for name, s in found.quantities["energy"].by_kind.items()} == {"a.xyz": 3, "b.xyz": 2}


def test_sets_of_the_data_are_told_apart():
    """Whatever else is: errors on structures that were fitted to say nothing of those on others."""
    errors = noise(12)[3]
    structures = [
        dataclasses.replace(s, subset=("train", "test", None)[k % 3]) for k, s in enumerate(make_labelled(12))
    ]
    found = evaluate(Answers(structures, errors), structures, by="set").quantities["energy"]
    assert {kind: own.n for kind, own in found.by_kind.items()} == {"set=train": 4, "set=test": 4, "": 4}
    expected = [1e3 * errors(k)[0] / 8 for k in range(1, 12, 3)]
    assert found.by_kind["set=test"].rmse == pytest.approx(np.sqrt(np.mean(np.square(expected))))
    by_type = evaluate(Answers(structures, errors), structures).quantities["energy"].by_kind
    assert {"set=test crystal", "set=train crystal", "crystal"} <= set(by_type)


def test_memory_is_bounded_and_quantiles_stay_right(monkeypatch):
    """A sample of 2,000 of 240,000 values: sums are exact, the quantile is within its error, the sample is uniform."""
    monkeypatch.setattr(accuracy, "SAMPLE", 2000)
    rng = np.random.default_rng(2)
    tally, parts = accuracy._Tally(), []
    for k in range(1000):
        x = rng.normal(0, 1, 240)
        tally.add(np.full(240, float(k)), x)
        parts.append(x)
        assert tally._kept.shape[1] + tally._n_fresh <= 4240
    s, x = tally.statistics(1.0), np.concatenate(parts)
    np.testing.assert_allclose(
        [s.rmse, s.mae, s.bias, s.maximum],
        [np.sqrt(np.mean(x**2)), np.mean(np.abs(x)), np.mean(x), np.max(np.abs(x))],
        rtol=1e-10,
    )
    density = 2 * np.exp(-0.5 * 1.96**2) / np.sqrt(2 * np.pi)
    assert abs(s.quantile_95 - 1.96) < 4 * np.sqrt(0.95 * 0.05 / 2000) / density
    assert len(tally.sample().residual) == 2000
    assert abs(tally.sample().reference.mean() - 499.5) < 4 * 1000 / np.sqrt(12 * 2000)


def test_coverage_counts_environments_and_functions():
    """Against descriptors and bounds of the potential, where it lists all events itself and where it does not."""
    potential = load_potential(GOLDEN / "all1", "Bohr", "Hartree")
    rng = np.random.default_rng(3)
    systems = [
        make_system(rng.uniform(0, 12, (150, 3)), rng.choice(potential.numbers, 150), [12, 12, 12], True),
        make_system([[0, 0, 0], [2.5, 0, 0]], [8, 1], [20, 20, 20], True),
    ]
    structures = [LabelledStructure(s, energy_eV=0.0, config_type=k) for s, k in zip(systems, "ab", strict=True)]
    coverage = evaluate(potential, structures).coverage
    outside, counts, furthest = {}, {}, {}
    for s in structures:
        raw, n_outside = potential.descriptors(s.system), 0
        for i, z in enumerate(s.system.numbers):
            symbol = potential.elements[potential.numbers.index(z)]
            bounds = potential.model.elements[symbol].scaling
            beyond = [max(raw[i, k] - b[1], b[0] - raw[i, k]) / (b[1] - b[0]) for k, b in enumerate(bounds)]
            n_outside += max(beyond) > 1e-10
            for k, far in enumerate(beyond):
                if far > 1e-10:
                    counts[symbol, k + 1] = counts.get((symbol, k + 1), 0) + 1
                    furthest[symbol, k + 1] = max(furthest.get((symbol, k + 1), 0.0), far)
        outside[s.config_type] = n_outside
    assert outside["a"] > 0
    results = potential.compute(systems[0])
    assert results.extrapolation.count > len(results.extrapolation.atom)  # or this test shows nothing
    assert (coverage.environments, coverage.outside) == (152, sum(outside.values()))
    assert coverage.by_kind == {"a": outside["a"] / 150, "b": outside["b"] / 2}
    assert {(f.element, f.function): f.count for f in coverage.functions} == counts
    for f in coverage.functions:
        assert f.furthest == pytest.approx(furthest[f.element, f.function], rel=1e-9)
    assert [f.count for f in coverage.functions] == sorted(counts.values(), reverse=True)


def test_a_structure_that_cannot_be_computed_is_named():
    potential = load_potential(GOLDEN / "all1", "Bohr", "Hartree")
    bad = LabelledStructure(make_system([[0, 0, 0]], [36]), 1.0, name="kr.xyz:5")
    with pytest.raises(InputError, match=r"kr\.xyz:5: atom 0 is Kr"):
        evaluate(potential, [bad])


def test_remarks():
    structures = make_labelled(100)
    energy, *_ = noise(100)

    def errors(k):
        forces = np.full((8, 3), 1e-3)
        forces[5, 1] = 0.9 if k == 42 else 1e-3
        return energy[k] + 8 * 3.0, forces, np.zeros((3, 3))

    found = evaluate(Answers(structures, errors), structures)
    zero, spike = remarks(found)
    mean, deviation = 3000 + np.mean(energy) / 8 * 1e3, np.std(energy) / 8 * 1e3
    assert f"nearly the same {mean:.6g} meV/atom" in zero
    assert f"have an rms of {deviation:.3g}" in zero.replace(f"{deviation:.4g}", f"{deviation:.3g}")
    assert "data.xyz:42 (" in spike
    assert remarks(evaluate(Answers(structures, noise(100)[3]), structures)) == []


def test_text_and_json():
    structures = make_labelled(30)
    energy, forces, _, errors = noise(30)
    found = evaluate(Answers(structures, errors), structures)
    text = table(found)
    rms = np.sqrt(np.mean(np.square(forces))) * 1e3
    assert f"{rms:.4g}" in next(line for line in text.splitlines() if line.startswith("all") and "720" in line)
    assert "on Mg" in text
    assert "surface" in text
    k = np.argmax(np.abs(energy))
    assert f"{energy[k] / 8 * 1e3:>10.4g}  data.xyz:{k} ({structures[k].config_type})" in text
    assert brief(found)[1].startswith(f"force components   rms {rms:.4g}, mean absolute")
    data = json.loads(json.dumps(found.as_dict()))
    assert data["force"]["overall"]["rmse"] == pytest.approx(rms, rel=1e-12)
    assert data["force"]["overall"]["max_over_rmse"] == pytest.approx(np.max(np.abs(forces)) * 1e3 / rms)
    assert data["energy"]["worst"][0]["name"] == f"data.xyz:{k}"
    assert data["coverage"]["fraction"] == 0.0


NORMALIZED = (GOLDEN / "norm", "Bohr", "Hartree")


@pytest.mark.filterwarnings("ignore:.*atoms 2 and 5")
@pytest.mark.parametrize("directory", [NORMALIZED, *REAL.values()], ids=lambda directory: directory[0].name)
def test_errors_of_n2p2_itself(directory):
    """Errors of a potential as n2p2 finds them; golden structures have no labels and are given some."""
    path, *units = directory
    energy_unit, force_unit = energy_in_ev(units[1]), energy_in_ev(units[1]) / length_in_angstrom(units[0])
    (structure,) = read_labelled(path / "input.data", *units)
    predicted_eV = energy_unit * np.loadtxt(path / "energy.out")[3]
    predicted = force_unit * np.loadtxt(path / "nnforces.out")[:, -3:]
    if structure.energy_eV is None:
        rng = np.random.default_rng(4)
        forces = predicted + rng.normal(0, 0.1, predicted.shape)
        structure = dataclasses.replace(structure, energy_eV=predicted_eV - 0.3, forces=forces)
    found = evaluate(load_potential(path, *units), [structure]).quantities
    error = (predicted_eV - structure.energy_eV) / len(structure.system) * 1e3
    assert found["energy"].overall.rmse == pytest.approx(abs(error), rel=1e-9)
    assert found["energy"].worst[0].error == pytest.approx(error, rel=1e-9)
    check_statistics(found["force"].overall, 1e3 * (predicted - structure.forces))
