"""The report: complete, self-contained, well-formed, and the same for the same input."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest
from labelled import Answers, make_labelled

from mdnnp.base.errors import FileError
from mdnnp.training.accuracy import evaluate
from mdnnp.training.fit_report import provenance, write_report


class Reader(HTMLParser):
    """Tables as lists of rows, images as arrays; every tag must be closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tables, self.images, self._open, self.sources = [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self._open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href") and value[0] != "#"]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if set(self._open) & {"td", "th"}:
            self.tables[-1][-1][-1] += data


def make_errors(n, seed):
    structures = make_labelled(n, seed=seed)
    forces = np.random.default_rng(seed).normal(0, 0.1, (n, 8, 3))
    return evaluate(Answers(structures, lambda k: (0.01 * k, forces[k], np.eye(3) * 0.001)), structures)


HISTORY = {
    "epoch": [0, 1, 2, 3],
    "loss_train": [4.0, 3.0, 2.0, 1.5],
    "force_train": [400, 300, 200, 150],
    "force_validation": [410, float("nan"), 220, 180],
}


@pytest.fixture(scope="module")
def sets():
    return {"train": make_errors(40, 1), "test": make_errors(12, 2)}


def test_tables_hold_the_errors(sets, tmp_path):
    write_report(tmp_path / "r.html", sets, history=HISTORY, best_epoch=3, provenance={"data": "abc", "input": "a\nb"})
    report = Reader((tmp_path / "r.html").read_text())
    overview, energy, force, stress, *rest = report.tables
    for row, e in zip(overview[1:], sets.values(), strict=True):
        q = e.quantities
        rmse = [f"{q[name].overall.rmse:.4g}" for name in ("energy", "force", "stress")]
        assert row[1:] == [str(e.configurations), str(e.atoms), *rmse, "0 %"]
    for table, name in ((energy, "energy"), (force, "force"), (stress, "stress")):
        q = sets["test"].quantities[name]
        expected = [
            [s.rmse, s.mae, s.quantile_95, s.maximum, s.max_over_rmse, s.bias] for s in (q.overall, *q.by_kind.values())
        ]
        rows = [row for row in table if row[1] == "test"]
        assert [[f"{x:.4g}" for x in row] for row in expected] == [row[2:8] for row in rows[:4]]
    assert [row[0] for row in energy[1:] if row[0]] == ["all", "crystal", "liquid", "surface"]
    assert [row[0] for row in force[1:] if row[0]] == ["all", "crystal", "liquid", "surface", "on Mg", "on O"]
    worst = next(t for t in rest if t[0][0].startswith("error of energy"))
    assert worst[1] == [f"{sets['train'].quantities['energy'].worst[0].error:.4g}", "train", "data.xyz:39 (surface)"]
    assert rest[-1] == [["data", "abc"], ["input", "a\nb"]]


def test_figures_are_in_the_file(sets, tmp_path):
    write_report(tmp_path / "r.html", sets, history=HISTORY)
    report = Reader((tmp_path / "r.html").read_text())
    assert len(report.sources) == 2  # learning curves, parity: nothing is fetched from elsewhere
    for source in report.sources:
        image = matplotlib.image.imread(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,"))))
        assert image.shape[0] > 300
        assert image[..., :3].std() > 0.02


def test_the_same_input_gives_the_same_bytes(sets, tmp_path):
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, sets, history=HISTORY)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_names_are_escaped(sets, tmp_path):
    notes, title = ["a < b & <script>"], "x <y>"
    write_report(tmp_path / "r.html", {"<set>": sets["test"]}, title=title, notes=notes, provenance={"<k>": "<v>"})
    text = (tmp_path / "r.html").read_text()
    Reader(text)
    assert not re.search("<script|<set>|<y>|<k>|<v>", text)
    assert "a &lt; b &amp; &lt;script&gt;" in text


def test_it_does_not_overwrite_unasked(sets, tmp_path):
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(FileError, match="exists already"):
        write_report(tmp_path / "r.html", sets)
    assert (tmp_path / "r.html").read_text() == "mine"
    write_report(tmp_path / "r.html", sets, provenance=provenance(), overwrite=True)
    assert "NumPy" in (tmp_path / "r.html").read_text()


def test_energies_alone_and_a_single_structure(tmp_path):
    (s,) = make_labelled(1)
    alone = type(s)(s.system, s.energy_eV)
    errors = evaluate(Answers([alone], lambda k: (0.0, np.zeros((8, 3)), np.zeros((3, 3)))), [alone])
    write_report(tmp_path / "r.html", {"data": errors})
    assert len(Reader((tmp_path / "r.html").read_text()).sources) == 1
