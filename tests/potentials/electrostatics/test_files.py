"""Potentials with charges as files: written, read, converted; the third generation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLDEN
from systems import water_molecule

from mdnnp.atoms.read import read_structures
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.command.cli import main
from mdnnp.potentials.electrostatics.fourth_generation import FourthGeneration
from mdnnp.potentials.hdnnp.files import write_potential
from mdnnp.potentials.hdnnp.files.reader import read_charged
from mdnnp.potentials.load import load_potential, potential_files

ATOMIC = {"length_unit": "Bohr", "energy_unit": "Hartree"}
UNITS = ["--length-unit", "Bohr", "--energy-unit", "Hartree"]


def crystal():
    return read_structures(GOLDEN / "q4d" / "input.data", **ATOMIC)[0].system


def with_normalization() -> FourthGeneration:
    model, charges = read_charged(GOLDEN / "q4d", **ATOMIC)
    model = replace(model, normalized=True, mean_energy=-0.3, conv_energy=2.5, conv_length=3.0)
    return FourthGeneration(model, replace(charges, conv_charge=1.7))


def charged(generation: str, points: bool = False) -> FourthGeneration:
    """The golden potential with its electronegativities taken for charges."""
    model, charges = read_charged(GOLDEN / "q4d", **ATOMIC)
    charges = replace(charges, generation=generation, hardness={}, widths={} if points else charges.widths)
    if generation == "3G":
        elements = {}
        for symbol, part in model.elements.items():
            weights = (part.network.weights[0][:-1], *part.network.weights[1:])
            elements[symbol] = replace(part, network=replace(part.network, weights=weights))
        model = replace(model, elements=elements)
    return FourthGeneration(model, charges)


def same(a, b, system) -> bool:
    x, y = a.compute(system), b.compute(system)
    return x.energy == y.energy and np.array_equal(x.forces, y.forces) and np.array_equal(x.charges, y.charges)


POTENTIALS = {
    "4G": lambda: load_potential(GOLDEN / "q4d", **ATOMIC),
    "unscreened": lambda: load_potential(GOLDEN / "q4a", **ATOMIC),
    "normalized": with_normalization,
    "Q": lambda: charged("Q"),
    "3G": lambda: charged("3G"),
    "3G of points": lambda: charged("3G", points=True),
}


@pytest.mark.parametrize("name", POTENTIALS)
def test_written_files_give_the_same_bits(tmp_path, name):
    potential = POTENTIALS[name]()
    write_potential(potential.hdnnp.model, tmp_path / "p", charges=potential.charge_model)
    again = load_potential(tmp_path / "p")
    assert same(potential, again, crystal()) and same(potential, again, water_molecule())
    assert again.charge_model.generation == potential.charge_model.generation
    assert {file.name for file in potential_files(tmp_path / "p")} == {file.name for file in again.files}
    assert "total charge that of the structure" in "\n".join(again.describe())


def test_convert(tmp_path):
    assert main(["convert", str(GOLDEN / "q4d"), str(tmp_path / "p"), *UNITS]) == 0
    assert same(load_potential(GOLDEN / "q4d", **ATOMIC), load_potential(tmp_path / "p"), crystal())
    model, charges = read_charged(tmp_path / "p")
    with pytest.raises(FileError):
        write_potential(model, tmp_path / "p", charges=charges)
    assert main(["convert", str(GOLDEN / "q4a"), str(tmp_path / "p"), "--overwrite", *UNITS]) == 0
    text = (tmp_path / "p" / "input.nn").read_text()
    for line in ("nnp_type  ", "fixed_gausswidth  ", "ewald_prec  ", "four_pi_epsilon  "):
        assert line in text
    assert "screen_electrostatics" not in text


def test_a_potential_without_charges_takes_the_place_of_one_with(tmp_path):
    potential = load_potential(GOLDEN / "q4d", **ATOMIC)
    write_potential(potential.hdnnp.model, tmp_path / "p", charges=potential.charge_model)
    assert main(["convert", str(GOLDEN / "tv"), str(tmp_path / "p"), "--overwrite", *UNITS]) == 0
    assert not list((tmp_path / "p").glob("hardness*")) and not list((tmp_path / "p").glob("weightse*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, hardness={}), "need a network, hardness and width for each of the elements"),
        (lambda c: replace(c, widths={"H": 1.0}), "need a network, hardness and width for each of the elements"),
        (
            lambda c: replace(c, networks={s: replace(n, weights=n.weights[1:]) for s, n in c.networks.items()}),
            "charges of H: the network's layers",
        ),
        (lambda c: replace(c, generation="3G"), "do not lead from 2 inputs"),
    ],
)
def test_charges_that_cannot_be_written(tmp_path, change, message):
    potential = load_potential(GOLDEN / "q4d", **ATOMIC)
    with pytest.raises(InputError, match=message):
        write_potential(potential.hdnnp.model, tmp_path / "p", charges=change(potential.charge_model))
    assert not (tmp_path / "p").exists()


def test_layers_that_differ_are_warned_of_for_charges_too(tmp_path):
    potential = load_potential(GOLDEN / "q4d", **ATOMIC)
    networks = potential.charge_model.networks
    own = {**networks, "O": replace(networks["O"], activations="ptl")}
    with pytest.warns(MdnnpWarning, match="n2p2 misreads"):
        write_potential(potential.hdnnp.model, tmp_path / "p", charges=replace(potential.charge_model, networks=own))
    assert "element_activation_electrostatic" in (tmp_path / "p" / "input.nn").read_text()
    assert load_potential(tmp_path / "p").charge_model.networks["O"].activations == "ptl"


# --- the third generation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Q", "3G", "3G of points"])
@pytest.mark.parametrize("system", [crystal(), water_molecule()._replace(charge=-0.5)], ids=["crystal", "ion"])
def test_third_generation(name, system):
    potential = POTENTIALS[name]()
    results = potential.compute(system)
    assert results.charges.sum() == pytest.approx(system.charge, abs=1e-13)
    assert results.atomic_energies.sum() == pytest.approx(results.energy, rel=1e-13)
    assert not potential.remembers and potential.has_charges
    rng, h = np.random.default_rng(4), 1e-3
    v, strain = rng.normal(size=(len(system), 3)), rng.normal(size=(3, 3))

    def slope(move):
        near, far = (potential.compute(move(s * h)).energy - potential.compute(move(-s * h)).energy for s in (1, 2))
        return (8 * near - far) / (12 * h)

    moved = slope(lambda s: system._replace(positions=system.positions + s * v))
    assert moved == pytest.approx(-np.sum(results.forces * v), rel=1e-7)
    strained = slope(
        lambda s: system._replace(
            positions=system.positions @ (np.eye(3) + s * strain), cell=system.cell @ (np.eye(3) + s * strain)
        )
    )
    assert strained == pytest.approx(-np.sum(results.virial * strain), rel=1e-7)


def test_charges_of_networks_are_shifted_alike():
    potential = charged("3G")
    neutral, ion = (potential.compute(water_molecule()._replace(charge=q)).charges for q in (0.0, 0.9))
    np.testing.assert_allclose(ion - neutral, 0.3, atol=1e-13)


def test_functions_of_their_own_for_charges_are_refused(tmp_path):
    potential = charged("3G")
    write_potential(potential.hdnnp.model, tmp_path / "p", charges=potential.charge_model)
    text = (tmp_path / "p" / "input.nn").read_text()
    Path(tmp_path / "p" / "input.nn").write_text(text + "use_electrostatics\n")
    assert same(potential, load_potential(tmp_path / "p"), crystal())
    Path(tmp_path / "p" / "input.nn").write_text(text + "symfunction_electrostatic H 2 O 0.1 0 6\n")
    with pytest.raises(InputError, match="functions of their own for the charges"):
        load_potential(tmp_path / "p")


def test_no_weights_of_charges(tmp_path):
    potential = charged("Q")
    write_potential(potential.hdnnp.model, tmp_path / "p", charges=potential.charge_model)
    (tmp_path / "p" / "weightse.001.data").unlink()
    with pytest.raises(InputError, match=r"missing for the elements H O: weightse\.001\.data"):
        load_potential(tmp_path / "p")
