"""What notebooks show of parameters, studies and problems: tables of HTML, made without a run."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from common import items

import simdyn
from simdyn.base.html_tables import FADED, card, table
from simdyn.params import Curves, Parameters

SAM = simdyn.SAM(radius=0.1, learning_rate=0.5, epochs=3)
STUDY = simdyn.Study(
    {"n_samples": 10, "dimension": 100, "noise_std": "2*signal_norm"},
    simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
    {"sgd": [simdyn.SGD(learning_rate=0.5, epochs=3)], "sam twice": [SAM, SAM]},
    {"signal_norm": [1.0, 3.0], "radius": {"start": 0.1, "stop": 1.0, "num": 10}},
    replicates=3,
    name="a < b",
)


class Read(HTMLParser):
    """The cells of all rows, whether each row is faded, and tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.faded: list[bool] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.faded.append("opacity" in str(dict(attrs).get("style")))
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif "style" not in self.open:
            self.text += data

    def row(self, *first: str) -> list[str]:
        """The row that begins with these cells."""
        (found,) = (row for row in self.rows if row[: len(first)] == list(first))
        return found[len(first) :]


def read(thing: Any) -> Read:
    text = thing._repr_html_()
    assert "<script" not in text
    assert not re.search("https?:|(?<!-)color:", text)  # of the reader's theme
    found = Read(text)
    assert not found.open
    return found


def test_table__escapes_its_texts() -> None:
    text = table(["<b>"], [["a & b"], ["<script>"]], ["", FADED])
    assert Read(text).rows == [["<b>"], ["a & b"], ["<script>"]]
    assert Read(text).faded == [False, False, True]
    assert "<script>" not in text
    assert "<th>" not in table((), [["a"]])
    assert "&lt;b&gt;" in card("<b>", ["<i>"])


def test_parameters__have_symbol_value_and_meaning_and_faded_defaults() -> None:
    card = read(SAM)
    assert card.text.strip() == "SAM"
    assert card.row("radius") == ["τ", "0.1", "perturbation radius"]
    assert card.row("momentum") == ["β", "0.0", "momentum"]
    shown = {row[0]: faded for row, faded in zip(card.rows, card.faded, strict=True)}
    assert [name for name, faded in shown.items() if not faded] == list(
        items("field  learning_rate  epochs  radius")
    )
    assert not read(SAM.replace(momentum=0.5)).faded[
        card.rows.index(["momentum", "β", "0.0", "momentum"])
    ]


@pytest.mark.parametrize(
    "thing",
    [
        simdyn.SignalNoiseData(n_samples=4, dimension=5, signal_norm=1.0),
        simdyn.ImageData(n_samples=4, source="<digits>", patch_size=4),
        simdyn.TwoLayerCNN(n_filters=2, init_std=0.1),
        simdyn.SGD(learning_rate="0.1*cosine()", epochs=5),
        simdyn.Record(variables=("train_loss", "margin")),
        Curves(x="dimension", compare=("sgd", "sam")),
        simdyn.Crossing(field="signal_norm", between=(1, "2*dimension")),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_parameters__of_every_class_have_a_row_for_each_field(thing: Parameters) -> None:
    names = [row[0] for row in read(thing).rows]
    assert names == ["field", *type(thing).model_fields]


def test_study__shows_its_parts() -> None:
    card = read(STUDY)
    assert card.text.strip().startswith("Study: a < b")
    assert "20 points (2 signal_norm × 10 radius) × 2 methods × 3 replicates = 120 runs" in (
        card.text
    )
    assert f"{len(STUDY.blocks)} blocks, about" in card.text
    assert card.row("signal_norm") == ["‖μ‖", "1.0, 3.0", "signal norm"]
    assert card.row("radius")[1] == "10 values, 0.1 … 1.0"
    assert card.row("sgd", "0") == ["SGD", "learning_rate = 0.5, epochs = 3"]
    assert card.row("", "1") == ["SAM", "learning_rate = 0.5, epochs = 3, radius: swept"]
    assert card.row("data.noise_std")[1] == "'2*signal_norm'"
    assert "data.signal_norm" not in [row[0] for row in card.rows]
    faded = [row[0] for row, is_faded in zip(card.rows, card.faded, strict=True) if is_faded]
    assert "network.activation" in faded
    assert "network.n_filters" not in faded
    assert card.row("recorded")[0].startswith("train_loss, train_error")
    assert repr(STUDY) == (
        "Study('a < b': 20 points (2 signal_norm × 10 radius) × 2 methods × 3 replicates "
        "= 120 runs)"
    )


def test_study__shows_what_is_solved_refined_masked_and_drawn() -> None:
    data, net, methods = {"n_samples": 4}, {"n_filters": 2, "init_std": 0.1}, {"sam": SAM}
    axes = {"dimension": {"log": [10, 100], "num": 5}, "noise_std": [1.0, 1.5, 2.0]}
    solved = simdyn.Study(
        data,
        net,
        methods,
        axes,
        replicates=2,
        solve=simdyn.Crossing(field="signal_norm", between=(0.1, 10.0)),
    )
    assert read(solved).row("solved for")[0].startswith("Crossing(field='signal_norm'")
    assert "data.signal_norm" not in [row[0] for row in read(solved).rows]
    refined = simdyn.Study(
        {**data, "signal_norm": 1.0},
        net,
        methods,
        {**axes, "where": "dimension > 20", "refine": {"levels": [0.2], "depth": 1}},
        figure=Curves(x="dimension", at={"noise_std": 1.0}),
    )
    card = read(refined)
    assert card.row("where") == ["dimension > 20"]
    assert "levels=(0.2,)" in card.row("refined")[0]
    assert card.row("figure")[0].startswith("Curves(")


def test_study__is_shown_without_compiling_or_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it is run")

    monkeypatch.setattr("simdyn.run.block.prepare_kernels", refuse)
    monkeypatch.setattr("simdyn.engine.replicates.run_replicates", refuse)
    monkeypatch.setattr("simdyn.run.price.prepare_kernels", refuse)
    assert read(STUDY).rows


def test_study__that_has_no_price_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large study not all points are checked before it runs."""

    def refuse(*_: Any) -> float:
        raise simdyn.InputError("SGD.epochs = -1: allowed is more")

    monkeypatch.setattr("simdyn.study.design.nominal_seconds", refuse)
    study = simdyn.Study(
        simdyn.SignalNoiseData(n_samples=4, dimension=10, signal_norm=1.0),
        simdyn.TwoLayerCNN(n_filters=2, init_std=0.1),
        {"sam": SAM},
    )
    card = read(study)
    assert "SGD.epochs = -1: allowed is more" in card.text
    assert card.row("sam", "0")[0] == "SAM"


def test_problem__shows_its_sizes() -> None:
    patches = [[[1.0, 0.0], [0.0, 2.0]], [[-1.0, 0.0], [0.0, 2.0]]]
    weights = simdyn.initial_weights(simdyn.TwoLayerCNN(n_filters=4, init_std=0.1), 2)
    plain = read(simdyn.Problem.from_patches(patches, [1, -1], weights, loss="hinge"))
    assert plain.row("samples") == ["2, 1 with the label +1"]
    assert plain.row("filters of each sign") == ["4"]
    assert plain.row("coefficients") == ["of each vector"]
    assert plain.row("test error")[0].startswith("none")
    assert "loss = hinge" in plain.row("network")[0]
    named = simdyn.Problem.from_patches(patches, [1, -1], weights, signal=[1.0, 0.0], noise_std=1.0)
    assert read(named).row("coefficients") == ["signal γ and noise ρ"]
    assert "drawn" in read(named).row("test error")[0]
