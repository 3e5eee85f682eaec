"""D3(BJ) as a term: the library's numbers in our units, derivatives, what it says of itself. Needs dftd3."""

import math

import numpy as np
import pytest
from ase.build import bulk, molecule
from systems import tiny_triclinic, water_molecule

from mdnnp import LennardJones, TotalPotential, load_potential
from mdnnp.atoms.structure import from_atoms
from mdnnp.base.errors import InputError
from mdnnp.certify.invariances import check, cutoff_rows
from mdnnp.certify.measures import atomic_virial_sum
from mdnnp.potentials.dispersion import D3
from mdnnp.potentials.interface import Potential

pytest.importorskip("dftd3")


def test_numbers_are_the_librarys():
    from ase import Atoms
    from dftd3.ase import DFTD3

    system = tiny_triclinic()
    atoms = Atoms(
        system.numbers, system.positions, cell=system.cell, pbc=True, calculator=DFTD3(method="pbe", damping="d3bj")
    )
    results = D3("pbe").compute(system)
    assert results.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-7)  # ASE's units are of CODATA 2014
    assert results.atomic_energies.sum() == pytest.approx(results.energy, rel=1e-12)
    assert np.allclose(results.forces, atoms.get_forces(), rtol=1e-7, atol=1e-9)
    assert np.allclose(results.stress(system), atoms.get_stress(voigt=False), rtol=1e-7, atol=1e-10)


def test_forces_are_derivatives():
    system, d3 = water_molecule(), D3("pbe")
    rng, h = np.random.default_rng(0), 1e-3
    v = rng.normal(size=(3, 3))
    energies = [d3.compute(system._replace(positions=system.positions + s * h * v)).energy for s in (-1, 1)]
    assert (energies[1] - energies[0]) / (2 * h) == pytest.approx(-np.sum(d3.compute(system).forces * v), rel=1e-5)


def test_a_sum_does_not_list_neighbours_for_it(tmp_path):
    (tmp_path / "d3.toml").write_text('[[terms]]\nkind = "d3"\nfunctional = "pbe"\n')
    lj = LennardJones({"Cu": (0.1, 2.2), "S": (0.1, 2.2)}, 5.0)
    total, system = TotalPotential([lj, load_potential(tmp_path / "d3.toml")]), tiny_triclinic()
    assert total.cutoffs == (5.0,) and np.isinf(total.reach)
    results = total.compute(system, total.make_lists(1.0).update(system))
    assert results.energy == pytest.approx(lj.compute(system).energy + D3("pbe").compute(system).energy, rel=1e-12)
    alone = load_potential(tmp_path / "d3.toml")
    assert alone.compute(system, alone.make_lists().update(system)).energy == pytest.approx(
        D3("pbe").compute(system).energy
    )
    assert "dftd3" in "\n".join(alone.describe())


def test_an_unknown_functional_is_named():
    with pytest.raises(InputError, match="'nonsense'"):
        D3("nonsense")


def test_it_can_be_checked_alone(tmp_path):
    """It names no radius that an atom could cross: what cannot be measured is said."""
    (tmp_path / "d3.toml").write_text('kind = "d3"\nfunctional = "pbe"\n')
    potential = load_potential(tmp_path / "d3.toml")
    rows = cutoff_rows(potential, from_atoms(molecule("H2O")).system, 1)
    assert [row.check for row in rows[:3]] == ["cutoff H-H", "cutoff H-H", "cutoff H-H, slope"]
    assert len(rows) == 9 and all(row.passed is None and "names no radius" in row.remark for row in rows)
    assert math.isnan(atomic_virial_sum(potential, water_molecule()))


class Wrong(LennardJones):
    """Forces and virial that are wrong by a relative error."""

    error = 1e-6

    def compute(self, system, neighbors=None, *, atomic_virials=False):
        results = super().compute(system, neighbors, atomic_virials=atomic_virials)
        return results._replace(forces=results.forces * (1 + self.error), virial=results.virial * (1 + self.error))


def sum_with_d3(error: float) -> TotalPotential:
    wrong = Wrong({"Si": (0.1, 2.1)}, 5.0, "poly3", 4.0)
    wrong.error = error
    return TotalPotential([_Alone(wrong), D3("pbe")])


class _Alone(Potential):
    """A local potential that computes for itself in a sum."""

    def __init__(self, potential):
        self.potential, self.numbers, self.cutoff = potential, potential.numbers, potential.cutoff

    def compute(self, system, neighbors=None, *, atomic_virials=False):
        return self.potential.compute(system, neighbors, atomic_virials=atomic_virials)


def test_check_knows_that_its_sums_end_without_a_switch():
    silicon = from_atoms(bulk("Si", cubic=True)).system
    report = check(sum_with_d3(0.0), silicon)
    by_name = {row.check: row for row in report.rows}
    assert report.passed
    assert by_name["forces"].gate == by_name["virial"].gate == 1e-8
    assert 1e-7 < by_name["virial, unswitched"].value < by_name["virial, unswitched"].gate == 0.01
    assert any("dftd3 ends the sums of D3(BJ) at 31.8 Å" in note for note in report.notes)


def test_check_finds_a_small_error_beside_it():
    silicon = from_atoms(bulk("Si", cubic=True)).system
    assert {row.check for row in check(sum_with_d3(1e-6), silicon).failures} == {"forces", "virial"}


def test_supercells_are_made_for_where_its_forces_end():
    lj = LennardJones({"Cu": (0.1, 2.2), "S": (0.1, 2.2)}, 5.0)
    total = TotalPotential([lj, D3("pbe")])
    assert total.near_reach == 10.0 and np.isinf(total.reach)
    assert TotalPotential([lj, lj]).near_reach == 5.0
