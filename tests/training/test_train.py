"""`mdnnp train`: from the input to a potential that gives the fit's own numbers; kills, committees, mistakes."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from labelled import make_labelled, write_labelled

from mdnnp.atoms.read import read_structures
from mdnnp.atoms.structure import from_atoms
from mdnnp.atoms.write import write_structures
from mdnnp.base.errors import FileError, InputError, MdnnpWarning
from mdnnp.base.units import BOHR_A
from mdnnp.command.cli import main
from mdnnp.potentials.hdnnp.files.reader import read_potential
from mdnnp.potentials.hdnnp.potential import HDNNP
from mdnnp.potentials.load import load_potential
from mdnnp.training.accuracy import evaluate
from mdnnp.training.input import parse_train_config, read_train_config
from mdnnp.training.train import choose, make_labels_of, read_sets, train

INPUT = """
[data]
train = ["data.xyz"]
test_fraction = 0.2
validation_fraction = 0.2

[descriptors]
cutoff_A = 4.5
radial = 3
angular = 1
max_zeta = 2

[network]
hidden = [4]

[fit]
epochs = {epochs}
{more}
"""


@pytest.fixture
def folder(tmp_path):
    write_labelled(tmp_path / "data.xyz")
    return tmp_path


def write_input(folder, name="fit", epochs=3, more="", text=INPUT):
    path = folder / f"{name}.toml"
    path.write_text(text.format(epochs=epochs, more=more))
    return path


def weights_of(directory):
    return {p.name: p.read_bytes() for p in sorted(directory.glob("**/weights.*.data"))}


def test_the_potential_gives_the_fits_own_numbers(folder, capsys):
    config = read_train_config(write_input(folder))
    trained = train(config)
    out = capsys.readouterr().out
    assert "epoch    3" in out and "validation" in out and "Written" in trained.text()
    row = trained.result.members[0].history[trained.result.members[0].best_epoch - 1]
    reopened = load_potential(trained.path)
    sets, _ = read_sets(config)
    errors = evaluate(reopened, sets.train)
    # Descriptors are stored in single precision.
    assert errors.quantities["energy"].overall.rmse == pytest.approx(1e3 * row[2], rel=1e-10)
    assert errors.quantities["force"].overall.rmse == pytest.approx(1e3 * row[3], rel=1e-6)
    assert trained.report.read_text().startswith("<!DOCTYPE html>")
    assert (folder / "fit.epochs.csv").read_text().count("\n") == 4
    assert not (folder / "fit-descriptors").exists()
    assert "data_sha256" in (trained.path / "mdnnp.toml").read_text()


def test_in_double_precision_forces_agree_to_the_last_digits(folder, monkeypatch):
    import mdnnp.training.train

    original = mdnnp.training.train.store_descriptors
    monkeypatch.setattr(mdnnp.training.train, "store_descriptors", lambda *a, **k: original(*a, np.float64, **k))
    config = read_train_config(write_input(folder))
    trained = train(config)
    row = trained.result.members[0].history[trained.result.members[0].best_epoch - 1]
    errors = evaluate(load_potential(trained.path), read_sets(config)[0].train)
    assert errors.quantities["force"].overall.rmse == pytest.approx(1e3 * row[3], rel=1e-10)


def test_a_killed_fit_goes_on_to_the_same_bits(folder):
    whole = write_input(folder, "whole", epochs=30)
    killed = write_input(folder, "killed", epochs=30)
    assert main(["train", str(whole), "--threads", "2"]) == 0
    command = [sys.executable, "-m", "mdnnp", "train", str(killed), "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if line.startswith("epoch    5"):
                time.sleep(0.02 * np.random.default_rng().random())
                os.kill(child.pid, signal.SIGKILL)
                break
        child.wait()
    assert child.returncode == -signal.SIGKILL and not (folder / "killed-potential").exists()
    assert main(["train", str(killed), "--resume", "--threads", "2"]) == 0
    assert weights_of(folder / "killed-potential") == weights_of(folder / "whole-potential")
    assert (folder / "killed.epochs.csv").read_text() == (folder / "whole.epochs.csv").read_text()


def test_a_finished_fit_can_be_prolonged(folder):
    whole = write_input(folder, "whole", epochs=6)
    parts = write_input(folder, "parts", epochs=3)
    train(read_train_config(whole))
    train(read_train_config(parts))
    train(read_train_config(write_input(folder, "parts", epochs=6)), resume=True)
    assert weights_of(folder / "parts-potential") == weights_of(folder / "whole-potential")


@pytest.mark.parametrize("more", ["members = 2", "members = 2\nbootstrap = true\noptimizer = 'adam'"])
def test_committees(folder, more):
    trained = train(read_train_config(write_input(folder, more=more)))
    committee = load_potential(trained.path)
    assert len(committee.members) == 2
    first, second = (HDNNP(read_potential(trained.path / f"member-{k}")) for k in (1, 2))
    sets, _ = read_sets(read_train_config(folder / "fit.toml"))
    system = sets.train[0].system
    a, b = first.compute(system), second.compute(system)
    assert not np.allclose(a.forces, b.forces, atol=1e-6)
    assert np.allclose(committee.compute(system).forces, 0.5 * (a.forces + b.forces), atol=1e-12)
    with open(folder / "fit.epochs.csv", newline="") as file:
        assert {row["member"] for row in csv.DictReader(file)} == {"1", "2"}


def test_the_mean_of_several_networks_is_one_potential(folder):
    # One epoch: with more, each fit alone may keep the weights of another.
    alone = [
        train(read_train_config(write_input(folder, f"s{seed}", epochs=1, more=f"seed = {seed}"))) for seed in (1, 2)
    ]
    mean = train(read_train_config(write_input(folder, "mean", epochs=1, more="networks = 2")))
    assert (mean.path / "input.nn").exists()
    assert [part.network.weights[0].shape[1] for part in mean.potential.model.elements.values()] == [8, 8]
    system = read_sets(read_train_config(folder / "mean.toml"))[0].train[0].system
    first, second, both = (load_potential(t.path).compute(system) for t in (*alone, mean))
    assert np.allclose(both.forces, 0.5 * (first.forces + second.forces), rtol=0, atol=1e-12)
    assert both.energy == pytest.approx(0.5 * (first.energy + second.energy), rel=1e-13)
    pairs = train(read_train_config(write_input(folder, "pairs", epochs=1, more="networks = 2\nmembers = 2")))
    assert weights_of(pairs.path / "member-1") == weights_of(mean.path)
    assert len(load_potential(pairs.path).members) == 2


def test_structures_are_left_out_by_the_names_that_messages_give_them(folder):
    everything, _ = read_sets(read_train_config(write_input(folder)))
    own = INPUT.replace("[descriptors]", 'exclude = ["data.xyz:3", "{folder}/data.xyz:10"]\n[descriptors]')
    sets, _ = read_sets(read_train_config(write_input(folder, "less", text=own.replace("{folder}", str(folder)))))
    names = [{s.name for part in each for s in part} for each in (everything, sets)]
    assert names[0] - names[1] == {f"{folder}/data.xyz:3", f"{folder}/data.xyz:10"} and len(names[1]) == 10


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data.xyz:12", r"data.xyz:12 cannot be left out: .*data.xyz has 12 structures, numbered from 0 to 11"),
        ("other.xyz:1", "no structure is from that file; the files are .*data.xyz"),
        ("data.xyz", "expected .FILE:NUMBER."),
        ("ata.xyz:1", "no structure is from that file"),
    ],
)
def test_what_is_to_be_left_out_must_be_there(folder, name, message):
    text = INPUT.replace("[descriptors]", f'exclude = ["{name}"]\n[descriptors]')
    with pytest.raises(InputError, match=message):
        read_sets(read_train_config(write_input(folder, text=text)))


UNITS = 'length_unit = "Angstrom"\nenergy_unit = "eV"'


def write_marked(folder, marks="aab", name="input.data"):
    """The data as n2p2's, marked set=train (a), set=test (b) or not at all (-) in turn."""
    plain = read_structures(folder / "data.xyz")
    kinds = {"a": "train", "b": "test", "-": None}
    marked = [dataclasses.replace(s, subset=kinds[marks[k % len(marks)]]) for k, s in enumerate(plain)]
    with pytest.warns(MdnnpWarning, match="cannot hold stress"):
        write_structures(folder / name, marked, length_unit="Angstrom", energy_unit="eV")


def sets_of(folder, data):
    text = INPUT.replace('train = ["data.xyz"]\ntest_fraction = 0.2', data + "\n" + UNITS)
    sets, lines = read_sets(read_train_config(write_input(folder, text=text)))
    return [{int(s.name.rpartition(":")[2]) for s in part} for part in sets], lines


def test_structures_marked_as_test_are_not_fitted_to(folder):
    write_marked(folder)
    (train_, validation, test), lines = sets_of(folder, 'train = ["input.data"]')
    assert test == {2, 5, 8, 11} and train_ | validation == set(range(12)) - test and len(validation) == 2
    assert lines[0].startswith("4 structures are marked set=test: ") and "data.test" not in lines[0]
    write_marked(folder, "-b", "half.data")
    (train_, validation, test), _ = sets_of(folder, 'train = ["half.data"]')
    assert test == {1, 3, 5, 7, 9, 11} and train_ | validation == set(range(12)) - test


def test_marks_beside_what_the_input_says(folder):
    write_marked(folder)
    with pytest.raises(InputError, match=r"fit.toml: test_fraction = 0.2 .*set=train 8, set=test 4.*remove test_fr"):
        sets_of(folder, 'train = ["input.data"]\ntest_fraction = 0.2')
    (train_, validation, test), lines = sets_of(folder, 'train = ["input.data"]\ntest = ["data.xyz"]')
    assert train_ | validation == set(range(12)) - {2, 5, 8, 11} and len(test) == 12  # numbers of both files
    assert lines[0].startswith("4 structures are marked set=test: ") and "the 12 of data.test" in lines[0]
    _, lines = sets_of(folder, 'train = ["data.xyz"]\ntest = ["input.data"]')
    assert "is the first of 8 in data.test that are marked set=train" in lines[0]
    write_marked(folder, "b", "all.data")
    with pytest.raises(InputError, match="all structures are marked set=test"):
        sets_of(folder, 'train = ["all.data"]')


def test_a_broken_structure_is_left_out(folder):
    text = (folder / "data.xyz").read_text().split("\n")
    row = 3 * 10 + 5  # an atom of structure 3
    text[row] = text[row].replace(text[row].split()[1], "****")
    (folder / "data.xyz").write_text("\n".join(text))
    with pytest.raises(InputError, match=rf"data.xyz:3: line {row + 1}: atom 3: column pos: expected a number"):
        read_sets(read_train_config(write_input(folder)))
    own = INPUT.replace("[descriptors]", 'exclude = ["data.xyz:3"]\n[descriptors]')
    sets, _ = read_sets(read_train_config(write_input(folder, text=own)))
    assert sum(map(len, sets)) == 11


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[desc", 'length_unit = "nvt-rescale"\n[desc', r'length_unit = "nvt-rescale" at .*fit.toml:7: must be .*Angs'),
        ("[desc", 'energy_unit = "K"\n[desc', r'energy_unit = "K" at .*fit.toml:7: must be .*eV'),
        ("[desc", "offsets_eV = {{Qq = 1.0}}\n[desc", r"data.offsets_eV at .*fit.toml:7: 'Qq' is no chemical element"),
        ("[data]", "[dat]\noffsets_eV = {{Qq = 1.0}}", "data.offsets_eV: 'Qq' is no chemical element"),
        ("[desc", "weights = {{bulk = {{energie = 1.0}}}}\n[desc", r"data.weights at .*fit.toml:7: 'bulk.energie'"),
        ("max_zeta = 2", 'functions_length_unit = "Bohr"', "functions_length_unit at .* has no effect without descrip"),
    ],
)
def test_units_and_tables_are_checked_by_line(folder, old, new, message):
    with pytest.raises(InputError, match=message):
        read_train_config(write_input(folder, text=INPUT.replace(old, new)))


def test_weights_of_a_kind_that_is_not_there(folder):
    own = INPUT.replace("[descriptors]", "weights = {{bulk = {{energy = 2.0}}}}\n[descriptors]")
    config = read_train_config(write_input(folder, text=own))
    sets, _ = read_sets(config)
    with pytest.raises(InputError, match=r"fit.toml: data.weights: weights of 'bulk': no configuration"):
        make_labels_of(config, sets, {"Mg": 0.0, "O": 0.0})


FUNCTIONS = """number_of_elements 2
elements O Mg
cutoff_type 6
global_hidden_layers_short 1
global_nodes_short 4
global_activation_short t l
symfunction_short O 2 Mg 0.1 0.5 12.0
symfunction_short Mg 2 O 0.2 1.0 12.0
symfunction_short Mg 3 O O 0.3 1.0 2.0 12.0
"""


def chosen(folder, more):
    (folder / "input.nn").write_text(FUNCTIONS)
    settings = "cutoff_A = 4.5\nradial = 3\nangular = 1\nmax_zeta = 2"
    config = read_train_config(write_input(folder, text=INPUT.replace(settings, f'functions = "input.nn"\n{more}')))
    return choose(config, read_sets(config)[0].train)


def test_functions_in_another_unit_of_length(folder):
    """Cutoffs and shifts in Bohr become Å, eta in 1/Bohr^2 becomes 1/Å^2; whatever states the unit."""
    found = chosen(folder, 'cutoff_A = 6.35\nfunctions_length_unit = "Bohr"')
    (oxygen,), (radial, angular) = found.functions["O"], found.functions["Mg"]
    assert oxygen.cutoff == pytest.approx(12 * BOHR_A) and oxygen.rs == pytest.approx(0.5 * BOHR_A)
    assert oxygen.eta == pytest.approx(0.1 / BOHR_A**2) and radial.rs == pytest.approx(BOHR_A)
    assert (angular.zeta, angular.lam) == (2.0, 1.0) and angular.eta == pytest.approx(0.3 / BOHR_A**2)
    (folder / "mdnnp.toml").write_text('length_unit = "Bohr"\nenergy_unit = "Hartree"\n')
    assert chosen(folder, "cutoff_A = 6.35").functions == found.functions
    with pytest.raises(InputError, match=r"functions_length_unit = 'nm', but .*mdnnp.toml states 'Bohr'"):
        chosen(folder, 'cutoff_A = 6.35\nfunctions_length_unit = "nm"')


def test_functions_whose_cutoff_contradicts_the_input(folder):
    assert chosen(folder, "cutoff_A = 12.0").functions["O"][0].cutoff == 12.0
    message = (
        r'cutoff_A = 6.35, but .*input.nn is 12, that is 12 Å .*functions_length_unit = "Bohr"; else give cutoff_A = 12'
    )
    with pytest.raises(InputError, match=message):
        chosen(folder, "cutoff_A = 6.35")
    with pytest.raises(InputError, match=r"cutoff_A = 5, but .*is 6.35013 Å"):
        chosen(folder, 'cutoff_A = 5\nfunctions_length_unit = "Bohr"')


def test_functions_of_an_input_nn_and_selected_ones(folder):
    trained = train(read_train_config(write_input(folder)))
    settings = "radial = 3\nangular = 1\nmax_zeta = 2"
    given = write_input(folder, "given", text=INPUT.replace(settings, 'functions = "fit-potential/input.nn"'))
    assert weights_of(train(read_train_config(given)).path) == weights_of(trained.path)
    chosen = write_input(folder, "chosen", text=INPUT.replace(settings, "select = 5\nmax_zeta = 2"))
    selected = train(read_train_config(chosen))
    assert [len(part.functions) for part in selected.potential.model.elements.values()] == [5, 5]


def test_nothing_is_overwritten_unasked(folder):
    path = write_input(folder)
    train(read_train_config(path))
    before = weights_of(folder / "fit-potential")
    with pytest.raises(FileError, match="--resume"):
        train(read_train_config(path))
    assert weights_of(folder / "fit-potential") == before
    train(read_train_config(path), overwrite=True)
    assert weights_of(folder / "fit-potential") == before


def test_resuming_with_other_settings_is_refused(folder):
    train(read_train_config(write_input(folder)))
    with pytest.raises(InputError, match="seed"):
        train(read_train_config(write_input(folder, more="seed = 2", epochs=5)), resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("hidden = [4]", "hidden = [4.5]"), "network.hidden = .4.5. at fit.toml:14: must be a whole number"),
        (("hidden = [4]", "hiden = [4]"), "unknown key 'hiden' at fit.toml:14; did you mean 'hidden'"),
        (("cutoff_A = 4.5", "cutoff_A = 0.2"), "descriptors.cutoff_A .* must lie between 1 and 30"),
        (("radial = 3", "radial = 3\nselect = 10"), "descriptors.radial at fit.toml:9 contradicts"),
        (("[fit]", '[fit]\noptimizer = "adams"'), 'did you mean "adam"'),
        (('train = ["data.xyz"]', "train = []"), "data.train = .* needs a list of paths"),
        (("[network]", "[networks]"), "unknown section .networks. .* did you mean .network."),
    ],
)
def test_mistakes_are_named_by_line(change, message):
    text = INPUT.format(epochs=3, more="")
    assert change[0] in text
    with pytest.raises(InputError, match=message):
        parse_train_config(text.replace(*change), "fit.toml")


def test_elements_of_the_test_set_must_be_known(folder):
    (folder / "test.xyz").write_text(
        '1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 energy=-1.0\nAr 0 0 0\n'
    )
    text = INPUT.replace("test_fraction = 0.2", 'test = ["test.xyz"]')
    with pytest.raises(InputError, match="test structures have Ar"):
        train(read_train_config(write_input(folder, text=text)))
    assert sorted(p.name for p in folder.iterdir()) == ["data.xyz", "fit.toml", "test.xyz"]


def test_weights_by_type(folder):
    more = "use_stress = false\n[output]\nkeep_descriptors = true"
    text = INPUT.replace("[data]", "[data]\nweights = {{crystal = {{energy = 3.0, force = 0.0}}}}")
    train(read_train_config(write_input(folder, more=more, text=text)))
    assert (folder / "fit-descriptors").is_dir()
    key = json.loads(json.dumps(read_train_config(folder / "fit.toml").data.weights))
    assert key == {"crystal.energy": 3.0, "crystal.force": 0.0}
    wrong = text.replace("crystal", "glass")
    with pytest.raises(InputError, match=r"'glass'.*no configuration is of this type"):
        train(read_train_config(write_input(folder, "other", more=more, text=wrong)))


def _fit_of(folder, atoms):
    """What a fit to these structures of ASE's gives."""
    from ase.io import write

    write(folder / "data.xyz", atoms)
    text = INPUT.format(epochs=3, more="").replace("test_fraction = 0.2\n", "")
    return train(parse_train_config(text, folder / "fit.toml"))


def _dimer(distance, numbers=(14, 14)):
    """Two atoms in the open, on a spring."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = Atoms(numbers, [[0, 0, 0], [0, 0, distance]])
    pull = np.outer([1.0, -1.0], [0.0, 0.0, 4 * (distance - 2.5)])
    atoms.calc = SinglePointCalculator(atoms, energy=2 * (distance - 2.5) ** 2, forces=pull)
    return atoms


def test_functions_that_vary_by_rounding_alone_have_no_effect(tmp_path):
    """Angles do not occur in dimers: their functions are 1e-17 or so, and must not be scaled up to variance one."""
    dimers = [_dimer(d) for d in np.linspace(2.0, 3.5, 12)]
    fitted = _fit_of(tmp_path, dimers)
    potential = load_potential(fitted.path)
    own = fitted.result.members[0]
    row = own.history[own.best_epoch - 1]
    assert fitted.errors["train"].quantities["force"].overall.rmse == pytest.approx(1e3 * row[3], rel=1e-5)
    system, h = from_atoms(dimers[4]).system, 1e-4
    up, down = (
        potential.compute(system._replace(positions=system.positions + s * np.outer([0, 1], [0, 0, h]))).energy
        for s in (1, -1)
    )
    assert -(up - down) / (2 * h) == pytest.approx(potential.compute(system).forces[1, 2], abs=1e-5)
    assert (np.loadtxt(fitted.path / "scaling.data", ndmin=2)[:, 5] > 0).all()  # n2p2 divides by them


def test_an_element_need_not_be_in_every_structure(tmp_path):
    dimers = [_dimer(d) for d in np.linspace(2.0, 3.5, 30)]
    fitted = _fit_of(tmp_path, [*dimers[:12], *(_dimer(d, (14, 32)) for d in (2.2, 2.6, 2.9)), *dimers[12:]])
    assert set(fitted.potential.elements) == {"Si", "Ge"}
    assert np.isfinite(fitted.errors["train"].quantities["force"].overall.rmse)


def test_labels_by_other_names_give_the_same_fit(folder):
    foreign = (folder / "data.xyz").read_text().replace(" energy=", " REF_energy=").replace("forces:R:3", "force:R:3")
    (folder / "data.xyz").rename(folder / "ours.xyz")
    (folder / "data.xyz").write_text(foreign)
    keys = 'keys = {energy = "REF_energy", forces = "force"}'
    here = train(read_train_config(write_input(folder, "here", text=INPUT.replace("data.xyz", "ours.xyz"))))
    text = INPUT.replace("[data]", f"[data]\n{keys}").replace("{e", "{{e").replace('ce"}', 'ce"}}')
    there = train(read_train_config(write_input(folder, "there", text=text.replace("{{epochs", "{epochs"))))
    assert weights_of(here.path) == weights_of(there.path)
    options = ["--key", "energy=REF_energy", "--key", "forces=force"]
    assert main(["evaluate", str(there.path), str(folder / "data.xyz"), *options]) == 0


def test_other_files_in_the_potential_directory_are_found_before_the_fit(folder):
    config = read_train_config(write_input(folder))
    config.potential_path.mkdir()
    (config.potential_path / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"notes\.txt"):
        train(config, overwrite=True)
    assert not config.checkpoint_path.exists()


def test_what_looks_wrong_in_the_data_is_said_before_the_fit(tmp_path, capsys):
    dimers = [_dimer(d) for d in np.linspace(2.0, 3.5, 12)]
    with pytest.warns(MdnnpWarning, match="duplicate"):
        _fit_of(tmp_path, [*dimers, dimers[0]])


@pytest.mark.parametrize("members", [1, 2])
def test_a_network_on_top_of_fixed_terms(folder, members, capsys):
    """Labels minus terms are fitted, the sum is written: errors are those that the fit itself measured."""
    (folder / "terms.toml").write_text('[[terms]]\nkind = "zbl"\ninner_cutoff_A = 0.5\ncutoff_A = 3.0\n')
    text = INPUT.replace("hidden = [4]", 'hidden = [4]\nterms = "terms.toml"')
    config = read_train_config(write_input(folder, more=f"members = {members}", text=text))
    trained = train(config)
    own = trained.result.members[0]
    row = own.history[own.best_epoch - 1]
    reopened = load_potential(trained.path)
    assert reopened.has_disagreement == (members == 2)
    terms = dict(reopened.compute(make_labelled(n=1)[0].system).terms)
    assert list(terms) == ["network", "zbl"] and terms["zbl"] > 0.0
    sets, _ = read_sets(config)
    again = evaluate(reopened, sets.train).quantities["energy"].overall.rmse
    assert again == pytest.approx(evaluate(trained.potential, sets.train).quantities["energy"].overall.rmse, rel=1e-9)
    if members == 1:
        assert again == pytest.approx(1e3 * row[2], rel=1e-9)
        copy = folder / "copy"
        assert main(["convert", str(trained.path), str(copy)]) == 0
        assert (copy / "terms.toml").read_text() == (folder / "terms.toml").read_text()
    assert main(["train", str(config.source), "--overwrite"]) == 0  # its own terms.toml is no stranger's file


def test_fixed_terms_must_be_in_their_file(folder):
    (folder / "terms.toml").write_text('[[terms]]\npath = "elsewhere"\n')
    text = INPUT.replace("hidden = [4]", 'hidden = [4]\nterms = "terms.toml"')
    with pytest.raises((InputError, FileError), match="terms"):
        train(read_train_config(write_input(folder, text=text)))
