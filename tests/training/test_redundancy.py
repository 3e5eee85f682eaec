"""Rank, dependent functions, and environments that a set of functions cannot tell apart."""

import json

import numpy as np
import pytest
from labelled import make_labelled
from systems import moved

from mdnnp.atoms.system import make_system
from mdnnp.potentials.hdnnp.files.writer import function_line
from mdnnp.potentials.hdnnp.functions.definitions import SymmetryFunction
from mdnnp.potentials.hdnnp.functions.descriptors import Descriptors
from mdnnp.potentials.hdnnp.functions.generate import KINDS, default_functions, pool
from mdnnp.training.dataset import LabelledStructure
from mdnnp.training.redundancy import _spectrum, redundancy, text


def wheel(places, radius=1.1):
    """A carbon atom with four hydrogen atoms on a circle around it, at multiples of 45 degrees."""
    angles = np.array(places) * np.pi / 4
    ring = radius * np.column_stack([np.cos(angles), np.sin(angles), np.zeros(4)])
    return make_system(np.concatenate([np.zeros((1, 3)), ring]), [6, 1, 1, 1, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_pair_that_no_two_and_three_body_functions_separate(kind):
    """Two sets of points on a circle with the same distances, though no rotation or mirror maps them on each other.

    {0, 1, 3, 4} and {0, 1, 2, 5} of eight (A. L. Patterson, Phys. Rev. 65, 195 (1944)): the centre sees the same
    distances and angles, the case of Pozdnyakov et al., Phys. Rev. Lett. 125, 166001 (2020).
    """
    one, other, ordinary = wheel([0, 1, 3, 4]), wheel([0, 1, 2, 5]), wheel([0, 1, 3, 5])
    descriptors = Descriptors(pool(["C", "H"], 4.0, kind=kind))
    a, b, c = (descriptors.values(s) for s in (one, other, ordinary))
    size = np.abs(a["C"]).max()
    assert np.abs(a["C"] - b["C"]).max() < 1e-12 * size
    assert np.abs(a["C"] - c["C"]).max() > 1e-2 * size
    # The hydrogen atoms see the difference, so that the energies of the two can differ after all.
    sums = [np.sort(v["H"], axis=0) for v in (a, b)]
    assert np.abs(sums[0] - sums[1]).max() > 1e-2 * np.abs(sums[0]).max()


def test_the_report_finds_that_pair():
    functions = {"C": default_functions(["C", "H"], 4.0)["C"], "H": default_functions(["C", "H"], 4.0)["H"]}
    places = [[0, 1, 3, 4], [0, 1, 3, 5], [0, 2, 4, 6], [0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 2, 5]]
    structures = []
    for k, own in enumerate(places):
        forces = np.zeros((5, 3))
        forces[0, 0] = 0.1 * k
        structures.append(LabelledStructure(wheel(own), -10.0 + k, forces, None, "", f"wheels.xyz:{k}"))
    worst = redundancy(structures, functions, pool(["C", "H"], 4.0)).by_force[0]
    assert (worst.element, worst.first, worst.second, worst.atom1, worst.atom2) == (
        "C", "wheels.xyz:0", "wheels.xyz:5", 0, 0,
    )  # fmt: skip
    assert worst.distance < 1e-12 and worst.pool_distance < 1e-12
    assert worst.force_difference == pytest.approx(0.5)


def test_environments_that_only_the_pool_tells_apart_are_named():
    blind = {"Si": tuple(f for f in default_functions(["Si"], 5.0)["Si"] if f.type == 2)}
    angles = np.radians([70, 75, 80, 100, 140])
    structures = [
        LabelledStructure(
            make_system([[0, 0, 0], [2.4, 0, 0], [2.4 * np.cos(t), 2.4 * np.sin(t), 0], [0, 0, d]], [14] * 4),
            name=f"bent:{k}",
        )
        for k, (t, d) in enumerate(zip(angles, (2.3, 2.5, 2.6, 2.7, 2.3), strict=True))
    ]
    report = redundancy(structures, blind, pool(["Si"], 5.0))
    centres = [p for p in report.by_pool if p.atom1 == p.atom2 == 0]
    assert (centres[0].first, centres[0].second) == ("bent:0", "bent:4")  # same distances from the centre
    assert centres[0].distance < 1e-12 and centres[0].pool_distance > 0.1
    assert report.by_force == () and report.structures == ()


def test_dependent_functions_are_counted_and_explained():
    """All eight wide functions of a channel with zeta up to 4 are polynomials of degree 4 of cos(theta): five."""
    one = [SymmetryFunction("Si", 9, ("Si", "Si"), 5.0, eta=0.3, zeta=float(z), lam=lam)
           for z in (1, 2, 3, 4) for lam in (-1.0, 1.0)]  # fmt: skip
    functions = {"Si": tuple(sorted(one, key=SymmetryFunction.sort_key))}
    rng = np.random.default_rng(1)
    structures = [
        LabelledStructure(make_system(rng.uniform(0, 7, (20, 3)), [14] * 20, [7.0] * 3, True), name=f"random:{k}")
        for k in range(4)
    ]
    report = redundancy(structures, functions).elements["Si"]
    assert report.values.rank == report.derivatives.rank == 5
    assert report.values.condition > 1e8
    exact = [d for d in report.dependent if d.unexplained < 1e-7]
    assert len(exact) == 3
    # The coefficients rebuild the function from those that remain, where three are enough.
    lines = {function_line(f): k for k, f in enumerate(functions["Si"])}
    g = np.concatenate([Descriptors(functions).values(s.system)["Si"] for s in structures])
    g = (g - g.mean(0)) / g.std(0)
    rest = [lines[line] for line in lines if line not in {d.line for d in exact}]
    for d in exact:
        fit, *_ = np.linalg.lstsq(g[:, rest], g[:, lines[d.line]], rcond=None)
        best = dict(zip(rest, fit, strict=True))
        for line, coefficient in d.spanned_by:
            assert best[lines[line]] == pytest.approx(coefficient, rel=1e-3)


def test_singular_values_of_derivatives_are_those_of_finite_differences():
    functions = default_functions(["Si"], 5.0, radial=4, angular=1, max_zeta=2)
    rng = np.random.default_rng(4)
    system = make_system(rng.uniform(0, 6, (6, 3)), [14] * 6, [9.0] * 3, True)
    descriptors = Descriptors(functions)
    spread, h = descriptors.values(system)["Si"].std(axis=0), 1e-4
    columns = []
    for atom in range(6):
        for axis in range(3):
            up, down = (descriptors.values(moved(system, atom, axis, sign * h))["Si"] for sign in (1, -1))
            columns.append((up - down) / (2 * h) / spread)
    # (moved coordinate, centre, function) -> one row for each centre and coordinate
    s = np.linalg.svd(np.concatenate(columns), compute_uv=False)
    report = redundancy([LabelledStructure(system)], functions).elements["Si"]
    np.testing.assert_allclose(report.derivatives.singular_values, s / s[0], rtol=1e-5, atol=1e-8)


def test_spectrum():
    flat = _spectrum(np.full(4, 3.0), 4)
    assert (flat.rank, flat.condition) == (4, 1.0) and flat.effective_rank == pytest.approx(4)
    half = _spectrum(np.array([2.0, 2.0]), 5)
    assert (half.rank, half.condition) == (2, np.inf) and half.effective_rank == pytest.approx(2)


def test_text_and_json():
    functions = default_functions(["Mg", "O"], 4.0, radial=3, angular=1)
    report = redundancy(make_labelled(6), functions, pool(["Mg", "O"], 4.0, max_zeta=2))
    assert json.loads(json.dumps(report.as_dict()))["elements"]["O"]["functions"] == len(functions["O"])
    words = text(report)
    assert "data.xyz:" in words and "Rank" in words and "Mg" in words
    assert len(report.by_pool) == len(report.by_force) == 10
    assert all(np.isfinite(p.distance) for p in report.by_pool)
