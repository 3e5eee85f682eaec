"""Domains of centres and ghosts give what the whole system gives."""

import numpy as np
import pytest
from systems import argon

from mdnnp.atoms.neighbors import neighbor_list
from mdnnp.base.errors import InputError
from mdnnp.couplings.lammps.domain import check_local, evaluate
from mdnnp.potentials.committee import Committee
from mdnnp.potentials.electrostatics.fixed_charges import FixedCharges
from mdnnp.potentials.layered import LayeredPotential
from mdnnp.potentials.lennard_jones import LennardJones
from mdnnp.potentials.total import TotalPotential

ARGON = LennardJones({"Ar": (0.0103, 3.4)}, 7.0, "poly3")
OTHER = LennardJones({"Ar": (0.02, 3.3)}, 6.0, "poly3")


def domain(system, cutoff, own):
    """Positions, numbers, list and owners of the atoms `own` with their ghosts, which are images of any atom."""
    i, j, shifts, _ = neighbor_list(system, cutoff)
    place = {(int(a), 0, 0, 0): k for k, a in enumerate(own)}
    lists = [[] for _ in own]
    for a, b, s in zip(i, j, shifts, strict=True):
        if (int(a), 0, 0, 0) in place and place[int(a), 0, 0, 0] < len(own):
            lists[place[int(a), 0, 0, 0]].append(place.setdefault((int(b), *map(int, s)), len(place)))
    keys = np.array(list(place))
    first = np.concatenate([[0], np.cumsum([len(one) for one in lists])])
    neighbor = np.concatenate(lists).astype(np.int32)
    positions = system.positions[keys[:, 0]] + keys[:, 1:] @ system.cell
    return positions, system.numbers[keys[:, 0]], first.astype(np.int64), neighbor, keys[:, 0]


@pytest.mark.parametrize(
    "potential", [ARGON, TotalPotential([ARGON, OTHER]), Committee([ARGON, OTHER])], ids=["one", "sum", "committee"]
)
def test_two_domains_add_up_to_the_whole(potential):
    system = argon(2)
    whole = potential.compute(system, atomic_virials=True)
    forces, virials, energies = np.zeros((32, 3)), np.zeros((32, 3, 3)), np.zeros(32)
    energy, virial = 0.0, np.zeros((3, 3))
    for own in (np.arange(0, 32, 2), np.arange(1, 32, 2)):
        *arrays, owner = domain(system, potential.cutoff, own)
        results = evaluate(potential, *arrays, atomic_virials=True)
        np.add.at(forces, owner, results.forces)
        np.add.at(virials, owner, results.atomic_virials)
        energies[own] = results.atomic_energies
        energy, virial = energy + results.energy, virial + results.virial
    largest = whole.largest_force
    assert np.allclose(forces, whole.forces, rtol=0, atol=1e-12 * largest)
    assert np.allclose(virials, whole.atomic_virials, rtol=0, atol=1e-12)
    assert np.allclose(energies, whole.atomic_energies, rtol=1e-12, atol=1e-13)
    assert energy == pytest.approx(whole.energy, rel=1e-13)
    assert np.allclose(virial, whole.virial, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "term", [FixedCharges({"Ar": 0.0}), LayeredPotential(ARGON, None)], ids=["charges", "global map"]
)
def test_what_is_not_local_is_refused_by_name(term):
    with pytest.raises(InputError, match=f"{term.kind} cannot be computed in domains"):
        check_local(TotalPotential([ARGON, term]))
