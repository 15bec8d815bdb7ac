"""The state of the live page: settings, scenes, sentences, maps, texts, work in the background."""

import csv
import dataclasses
import io
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from common import items, refusal, same

import simdyn
from simdyn.base.threads import stopped_by
from simdyn.explore.copied_code import python_code
from simdyn.explore.courses import COURSES
from simdyn.explore.downloads import courses_table, picture, table
from simdyn.explore.fields import FIELDS, offered, words
from simdyn.explore.latest import Latest
from simdyn.explore.map_choice import NO_METHOD, chosen, opening_texts, study_figure
from simdyn.explore.map_drawings import MapDrawings
from simdyn.explore.map_source import MapSource
from simdyn.explore.narration import Outcome, reached, sentence
from simdyn.explore.phase_map import (
    cells_table,
    is_logarithmic,
    map_code,
    map_of,
    point_of,
    replayed,
    sliced,
)
from simdyn.explore.scene import scene_of
from simdyn.explore.server import listening
from simdyn.explore.setting import Problems, Setting, parsed, starting_texts
from simdyn.params import PhaseDiagram
from simdyn.study.study_text import as_toml
from simdyn.theory import analysis, deactivation_probability
from simdyn.theory.regime import conditions, noise_updates, signal_updates

STUDIES = Path(__file__).parents[1] / "studies"


def setting_of(**texts: object) -> Setting:
    return parsed(starting_texts({name: str(text) for name, text in texts.items()}))


SETTINGS: dict[str, dict[str, object]] = {
    "opening": {},
    "xor": {"model": "xor", "replicates": 2},
    "multi_view": {"model": "multi_view", "n_patches": 3, "weak_norm": 0.5},
    "cluster": {"model": "cluster", "signal_share": 0.3},
    "independent_noise": {"model": "independent_noise", "n_patches": 3},
    "power": {"activation": "relu_power", "activation_shape": 2.5, "init_std": 0.01, "epochs": 20},
    "until": {"until": "train_loss < 0.3", "epochs": "1e4"},
    "formula": {"learning_rate": "0.02*cosine()", "batch_size": 5, "label_flip": 0.2},
    "large": {"dimension": "1e12", "learning_rate": 1e-9, "seed": 7},
}


# -- settings ------------------------------------------------------------------------------------


def test_fields__have_words_and_open_with_a_setting() -> None:
    setting = setting_of()
    assert (setting.data.n_samples, setting.net.n_filters) == (20, 10)
    assert setting.phases["sgd"].epochs == 100
    assert setting.query == ""
    for name, field in FIELDS.items():
        symbol, meaning = words(name, "signal_noise")
        assert symbol or meaning, name
        assert offered(name, field.law or "signal_noise"), name
    assert not offered("angle", "signal_noise")
    assert not offered("n_patches", "cluster")


@pytest.mark.parametrize("name", SETTINGS)
def test_setting__comes_back_from_its_address(name: str) -> None:
    from urllib.parse import parse_qsl

    setting = setting_of(**SETTINGS[name])
    again = parsed(starting_texts(dict(parse_qsl(setting.query))))
    assert again == setting


@pytest.mark.parametrize(
    ("field", "text", "allowed"),
    [
        ("dimension", "-1", "an integer from 1 to 2**53"),
        ("dimension", "1e400", "an integer"),
        ("dimension", "ten", "a number"),
        ("dimension", "2.5", "an integer"),
        ("n_samples", "", "missing"),
        ("n_samples", "1e6", "up to 4000"),
        ("n_filters", "1000000", "up to"),
        ("signal_norm", "-2", "finite number ≥ 0"),
        ("signal_norm", "nan", "finite number"),
        ("label_flip", "0.5", "below 0.5"),
        ("model", "gaussian", "signal_noise"),
        ("noise", "pink", "isotropic"),
        ("activation", "gelu", "relu"),
        ("activation_shape", "3", "none: ReLU"),
        ("learning_rate", "0", "finite number > 0"),
        ("learning_rate", "0.1*cosin()", "did you mean 'cosine'"),
        ("radius", "-0.1", "finite number ≥ 0"),
        ("batch_size", "7", "does not divide"),
        ("batch_size", "50", "from 1 to n_samples = 20"),
        ("until", "loss < 1", "did you mean"),
        ("until", "soon", "train_loss < 0.01"),
        ("epochs", "1e300", ""),
        ("replicates", "0", "from 1"),
        ("seed", "-1", "from 0"),
    ],
)
def test_setting__a_bad_value_is_said_beside_its_field(field: str, text: str, allowed: str) -> None:
    with pytest.raises(Problems) as found:
        setting_of(**{field: text})
    ((named, line),) = found.value.by_field.items()
    assert named == field
    assert allowed in line
    assert len(line.splitlines()) == 1


def test_setting__several_bad_values_are_said_at_once() -> None:
    with pytest.raises(Problems) as found:
        setting_of(dimension=-1, n_filters=0, learning_rate="x(", seed="a")
    assert set(found.value.by_field) == {"dimension", "n_filters", "learning_rate", "seed"}


def test_setting__fields_of_other_laws_do_not_matter() -> None:
    assert setting_of(angle="none").data == setting_of().data
    with pytest.raises(Problems):
        setting_of(angle="none", model="xor")


# -- texts ---------------------------------------------------------------------------------------


def run_code(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(text, "copied", "exec"), names)
    return names


@pytest.mark.parametrize("name", SETTINGS)
def test_copied_code__gives_the_same_numbers(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = setting_of(**SETTINGS[name])
    shown = setting.study.run()
    same(run_code(python_code(setting))["ds"], shown)
    assert "test_error" in capsys.readouterr().out
    file = tmp_path / "setting.toml"
    file.write_text(as_toml(setting.study, setting.figure), encoding="utf-8")
    study = simdyn.load_study(file)
    assert study.fingerprint == setting.study.fingerprint
    assert study.figure == setting.figure
    same(study.run(), shown)


# -- scenes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_scene__has_means_of_what_was_trained(name: str) -> None:
    setting = setting_of(**SETTINGS[name])
    ds = setting.study.run()
    scene = scene_of(setting, ds)
    for method in ("sgd", "sam"):
        course, one = scene.courses[method], ds.sel({"method": method})
        states = len(course["updates"])
        assert {len(course[name]) for name in COURSES} == {states}
        for variable in ("train_loss", "test_error", "clean_test_error"):
            mean = analysis.over_replicates(one[variable], one["status"])["mean"].values
            np.testing.assert_allclose(course[variable], mean[:states], rtol=1e-14)
        if {"signal_coef", "noise_coef"} <= set(ds.data_vars):
            largest = analysis.largest_coefficients(one)
            for own, theirs in (("signal", "signal"), ("noise", "noise"), ("fall", "fall")):
                mean = analysis.over_replicates(largest[f"largest_{theirs}"], one["status"])
                np.testing.assert_allclose(course[own], mean["mean"].values[:states], rtol=1e-14)
        assert np.isfinite(course["signal"]).all()
        assert np.isfinite(course["noise"]).all()
        if name != "until":
            assert course["updates"][-1] == int(ds["updates"].max())


def test_scene__ends_where_the_condition_is_met() -> None:
    setting = setting_of(**SETTINGS["until"])
    scene = scene_of(setting, setting.study.run())
    for course in scene.courses.values():
        assert course["updates"][-1] < 10_000
        assert course["train_loss"][-1] < 0.3 < course["train_loss"][-2]


def test_scene__coefficients_of_unnamed_vectors_are_overlaps() -> None:
    """Independent noise in one patch is the paper's data: both ways to measure a noise agree."""
    data = {"n_patches": 2, "dimension": 10**7, "learning_rate": 4e-6}
    courses = []
    for model in ("signal_noise", "independent_noise"):
        setting = setting_of(model=model, **data)
        courses.append(scene_of(setting, setting.study.run()).courses["sgd"])
    np.testing.assert_allclose(courses[1]["noise"], courses[0]["noise"], rtol=0.01)


def test_scene__theory_is_that_of_the_setting() -> None:
    setting = setting_of(signal_norm=12, radius=0.005)
    scene = scene_of(setting, setting.study.run())
    data, net, phases = setting.data, setting.net, setting.phases
    for method in ("sgd", "sam"):
        assert scene.times[method] == {
            "signal": signal_updates(data, net, phases[method]),
            "noise": noise_updates(data, net, phases[method]),
        }
    assert scene.law == deactivation_probability(0.005, net.init_std, 20, 10)
    assert scene.courses["sam"]["deactivated_fraction"][0] == pytest.approx(scene.law, abs=0.1)
    recalled = {item.name: item.ratio for item in scene.conditions if item.recalled}
    assert isinstance(data, simdyn.SignalNoiseData)
    assert recalled == conditions(data, net, 20)
    measured = [item for item in scene.conditions if not item.recalled]
    assert len(measured) == 2
    assert measured[0].ratio == pytest.approx(math.log10(scene.times["sam"]["noise"]))


def test_scene__says_where_no_law_is_derived() -> None:
    setting = setting_of(model="cluster")
    scene = scene_of(setting, setting.study.run())
    assert scene.conditions == []
    assert scene.times == {"sgd": {}, "sam": {}}
    assert math.isnan(scene.law)
    assert "no law of times is derived" in scene.outside


# -- the sentence --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (
            Outcome(100, 20.6, math.inf, 0.0, 0.38),
            "fits the noise after 21 updates, long before the signal: harmful overfitting, test "
            "error 0.38",
        ),
        (
            Outcome(100, 20.6, math.inf, 0.0, 0.02),
            "fits the noise after 21 updates, but has learned enough of the signal: benign "
            "overfitting, test error 0.02",
        ),
        (
            Outcome(100, 60.0, math.inf, 0.0, 0.4),
            "fits the noise after 60 updates, and not yet the signal: harmful overfitting, test "
            "error 0.4",
        ),
        (
            Outcome(1000, 20.0, 500.0, 0.0, 0.2),
            "fits the noise after 20 updates, long before the signal (500): harmful overfitting, "
            "test error 0.2",
        ),
        (
            Outcome(100, 20.0, 30.0, 0.0, 0.01),
            "fits the noise after 20 updates and learns the signal after 30 updates: benign "
            "overfitting, test error 0.01",
        ),
        (
            Outcome(100, 90.0, 10.0, 0.0, 1e-5),
            "learns the signal after 10 updates, long before the noise (90): benign overfitting, "
            "test error 1e-05",
        ),
        (
            Outcome(100, math.inf, 1.0, 0.0, 0.0),
            "learns the signal after 1 update and does not fit the noise: test error 0",
        ),
        (Outcome(100, math.nan, 12.0, 0.0, 0.1), "learns the signal after 12 updates: test error"),
        (
            Outcome(100, math.inf, math.inf, 0.2, 0.45),
            "has learned neither signal nor noise after 100 updates: test error 0.45",
        ),
        (
            Outcome(100, math.inf, math.inf, 0.0, 0.01),
            "classifies all samples, with all coefficients still below one: test error 0.01",
        ),
        (
            Outcome(100, 1.0, 1.0, math.nan, math.nan, broken_at=3.0),
            "diverges at update 3: the learning rate is too large",
        ),
    ],
)
def test_sentence__says_what_an_outcome_is(outcome: Outcome, told: str) -> None:
    text = sentence({"sgd": outcome}, {"sgd": "SGD"})
    assert text.startswith(f"SGD {told}")
    assert text.endswith(".")


def test_sentence__of_trajectories() -> None:
    """Weak signal, strong signal, and no noise at all, as trained."""
    told = {}
    for name, texts in {
        "weak": {"signal_norm": 0.5, "dimension": 20000},
        "strong": {"signal_norm": 20, "dimension": 100, "epochs": 50},
        "alone": {"signal_norm": 5, "noise_std": 0, "epochs": 1000},
    }.items():
        setting = setting_of(**texts)
        told[name] = scene_of(setting, setting.study.run()).sentence
    assert "SGD fits the noise after 1 update, long before the signal: harmful" in told["weak"]
    assert "SGD learns the signal after" in told["strong"]
    assert "does not fit the noise" in told["alone"]
    assert all(text.count("; SAM ") == 1 for text in told.values())


def test_sentence__runs_that_overflow() -> None:
    setting = setting_of(activation="relu_power", init_std=1, learning_rate=1e5)
    scene = scene_of(setting, setting.study.run())
    assert "SGD diverges at update" in scene.sentence


def test_reached__is_linear_between_states() -> None:
    assert reached([0.5, 1, 2, 4], [0.0, 0.2, 0.5, 1.5]) == 3.0
    assert reached([0.5, 1], [2.0, 3.0]) == 0.5
    assert reached([0.5, 1], [0.1, 0.2]) == math.inf
    assert math.isnan(reached([0.5, 1], [math.nan, math.nan]))
    assert reached([0.5, 1, 2], [math.nan, 0.0, 2.0]) == 1.5


# -- work in the background ----------------------------------------------------------------------


def long_setting() -> Setting:
    """Hours of training."""
    return setting_of(epochs="1e12", learning_rate=1e-12)


def waited(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_stopped_by__a_flag_from_another_thread_ends_a_run() -> None:
    setting_of().study.run()  # kernels are there
    flag = np.zeros(1, dtype=np.int64)
    timer = threading.Timer(0.3, lambda: flag.__setitem__(0, 1))
    timer.start()
    began = time.monotonic()
    with stopped_by(flag):
        ds = long_setting().study.run(threads=1)
    assert time.monotonic() - began < 10.0
    assert (ds["status"] == 0).all()
    with stopped_by(np.zeros(1, dtype=np.int64)):
        assert (setting_of().study.run()["status"] == 1).all()


def test_stopped_by__a_flag_serves_several_calls() -> None:
    flag = np.zeros(1, dtype=np.int64)
    with stopped_by(flag):
        for _ in range(2):
            assert (setting_of().study.run()["status"] == 1).all()
    assert flag[0] == 0


def test_latest__only_the_latest_counts() -> None:
    came: list[Any] = []
    work = Latest(lambda outcome: came.append(outcome()))
    work.ask(lambda: long_setting().study.run(threads=1))
    assert waited(lambda: work.busy)
    time.sleep(0.2)
    for number in range(5):
        work.ask(lambda number=number: number)
    assert waited(lambda: not work.busy)
    assert came[-1] == 4
    assert all(isinstance(item, int) for item in came)
    work.end()
    work.ask(lambda: 5)
    assert not waited(lambda: 5 in came, 0.2)


def test_latest__stops_and_goes_on() -> None:
    came: list[Any] = []
    work = Latest(lambda outcome: came.append(outcome()))
    work.ask(lambda: long_setting().study.run(threads=1))
    time.sleep(0.3)
    work.stop()
    assert waited(lambda: not work.busy)
    assert came == []
    work.ask(lambda: "next")
    assert waited(lambda: came == ["next"])
    work.end()


def test_latest__two_do_not_disturb_each_other() -> None:
    came: list[str] = []
    one, other = (Latest(lambda outcome: came.append(outcome())) for _ in range(2))
    one.ask(lambda: str(setting_of(epochs=20000).study.run(threads=1)["status"].values.max()))
    other.ask(lambda: "other")
    other.stop()
    other.end()
    assert waited(lambda: "1" in came)
    one.end()


def test_latest__delivers_exceptions() -> None:
    came: list[Any] = []
    work = Latest(came.append)

    def failing() -> None:
        raise simdyn.InputError("no")

    work.ask(failing)
    assert waited(lambda: bool(came))
    assert refusal(came[0]) == "no"
    work.end()


# -- files ---------------------------------------------------------------------------------------


def test_downloads__are_what_is_shown() -> None:
    setting = setting_of(epochs=10)
    ds = setting.study.run()
    scene = scene_of(setting, ds)
    assert picture(ds, setting.figure, "png").startswith(b"\x89PNG")
    assert picture(ds, setting.figure, "pdf").startswith(b"%PDF")
    rows = list(csv.DictReader(io.StringIO(courses_table(scene.courses).decode())))
    assert [row["method"] for row in rows].count("sam") == len(scene.courses["sam"]["updates"])
    last = rows[-1]
    assert float(last["test_error"]) == float(ds["test_error"].isel(step=-1, method=1, replicate=0))
    assert (rows[0]["updates"], last["updates"]) == ("0", "10")


def test_downloads__of_laws_without_all_panels() -> None:
    for model in ("cluster", "independent_noise"):
        setting = setting_of(model=model, epochs=10)
        assert picture(setting.study.run(), setting.figure, "png").startswith(b"\x89PNG")


# -- the map -------------------------------------------------------------------------------------


def small_study(**options: Any) -> simdyn.Study:
    return simdyn.Study(
        {"n_samples": 6, "noise_std": 1.0},
        simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
        {
            "sgd": [simdyn.SGD(learning_rate=0.1, epochs=20)],
            "sam": [simdyn.SAM(radius=0.1, learning_rate=0.1, epochs=20)],
        },
        {
            "dimension": {"log": [10, 1000], "num": 3},
            "signal_norm": [0.0, 2.0, 8.0, 4.0],
            "label_flip": [0.0, 0.1],
        },
        replicates=3,
        seed=1,
        name="small",
        **options,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MapSource:
    path = tmp_path_factory.mktemp("map") / "small.zarr"
    small_study().run(path)
    return MapSource.of(path)


def results(source: MapSource) -> xr.Dataset:
    found = source.results()
    assert found is not None
    return found


def test_map__has_the_means_of_the_store(source: MapSource) -> None:
    texts = opening_texts(source, {"label_flip": "0.1"})
    choice, ds = chosen(source, texts), results(source)
    assert (choice.x, choice.y, choice.methods) == ("dimension", "signal_norm", ("sgd", "sam"))
    found = map_of(source, choice, ds)
    assert found.y.tolist() == [0.0, 2.0, 4.0, 8.0]  # in order, whatever the study's
    mean = ds.test_error.isel(step=-1).sel(label_flip=0.1).mean("replicate")
    for index, method in enumerate(choice.methods):
        expected = mean.sel({"method": method}).sortby("signal_norm")
        expected = expected.transpose("signal_norm", "dimension").values
        np.testing.assert_allclose(found.means[index], expected, rtol=1e-12)
    assert found.difference is not None
    np.testing.assert_allclose(found.difference, found.means[0] - found.means[1], atol=1e-12)
    assert (found.runs == 3).all()
    line = analysis.contour(sliced(source, choice, ds), "test_error", 0.1, "signal_norm")
    np.testing.assert_array_equal(
        found.contours, line.transpose("method", "dimension").sel({"method": ["sgd", "sam"]})
    )


def test_map__has_the_scales_and_thin_contours_of_the_figure(source: MapSource) -> None:
    choice, ds = chosen(source, opening_texts(source, {})), results(source)
    usual = map_of(source, choice, ds)
    own = choice.own.replace(x_scale="linear", y_scale="symlog", thin_levels=(0.3, 0.45))
    found = map_of(source, dataclasses.replace(choice, own=own), ds)
    assert (usual.logarithmic, found.logarithmic) == ((True, False), (False, False))
    assert usual.thin == []
    for level, thin in zip((0.3, 0.45), found.thin, strict=True):
        line = analysis.contour(sliced(source, choice, ds), "test_error", level, "signal_norm")
        expected = line.transpose("method", "dimension").sel({"method": ["sgd", "sam"]})
        np.testing.assert_array_equal(thin, expected)
    drawings = MapDrawings(lambda cell: None)
    drawings.show(choice, usual)
    assert type(drawings.figures["first"].x_scale).__name__ == "LogScale"
    assert drawings.thin.data == {"x": [], "first": [], "second": []}
    drawings.show(dataclasses.replace(choice, own=own), found)
    assert type(drawings.figures["first"].x_scale).__name__ == "LinearScale"
    assert [line.tolist() for line in drawings.thin.data["second"]] == [
        line[1].tolist() for line in found.thin
    ]
    left, right = drawings.cells.data["left"][0], drawings.cells.data["right"][0]
    assert (left + right) / 2 == pytest.approx(found.x[0])


def test_map__choices_come_back_from_their_address(source: MapSource) -> None:
    from urllib.parse import parse_qsl

    texts = opening_texts(source, {"x": "label_flip", "y": "dimension", "signal_norm": "4.0"})
    choice = chosen(source, texts)
    assert choice.slices == {"signal_norm": "4.0"}
    assert chosen(source, opening_texts(source, dict(parse_qsl(choice.query)))) == choice
    one = chosen(source, {**texts, "second": NO_METHOD})
    assert map_of(source, one, results(source)).difference is None
    assert chosen(source, opening_texts(source, dict(parse_qsl(one.query)))) == one


def test_link__a_file_reaches_the_browser_among_combined_changes() -> None:
    """Bokeh keeps the last of combined changes; one that emptied the data would be all there is."""
    bokeh_document = pytest.importorskip("bokeh.document")
    from simdyn.explore.browser_link import BrowserLink, at_once

    document, told = bokeh_document.Document(), []
    link = BrowserLink(document, (), lambda dark: None)
    document.add_root(link.root)
    document.on_change(lambda _event: told.append(dict(link.file.data)))  # as it is sent
    with at_once(document):
        link.save("map", "csv", b"x,y")
    assert told == [{"name": ["map.csv"], "kind": ["text/csv"], "content": ["eCx5"]}]


def test_map__opens_as_the_figure_of_its_study(tmp_path: Path) -> None:
    figure = PhaseDiagram(
        at={"label_flip": 0.1},
        labels={"sam": r"SAM ($\tau = 0.03$)"},
        colours="viridis",
        y_scale="symlog",
        level=0.12345678,
        thin_levels=(0.2,),
        title="A tenth of the labels flipped",
        compare=("sam", "sgd"),
    )
    source = MapSource(small_study(figure=figure), tmp_path / "labelled.zarr", None)
    choice = chosen(source, opening_texts(source, {}))
    assert choice.slices == {"label_flip": "0.1"}
    assert [choice.name(method) for method in choice.methods] == ["SAM (τ = 0.03)", "sgd"]
    assert choice.figure == figure.replace(at=None)
    # Copied as a study file it is the study's own figure again; other axes have usual scales.
    assert study_figure(source, choice) == figure
    other = chosen(source, opening_texts(source, {"x": "label_flip", "dimension": "100"}))
    copied = tmp_path / "copied.toml"
    copied.write_text(as_toml(source.study, study_figure(source, other)), encoding="utf-8")
    own = simdyn.load_study(copied).figure
    changed = {"x": "label_flip", "at": {"dimension": 100}, "title": None}
    assert own == figure.replace(**changed)
    texts = opening_texts(source, {"label_flip": "0.0"})
    assert texts["label_flip"] == "0.0"
    assert chosen(source, texts).figure.title is None
    turned = chosen(source, opening_texts(source, {"x": "signal_norm", "y": "dimension"})).figure
    assert (turned.x_scale, turned.y_scale, turned.title) == ("symlog", None, None)
    loss = chosen(source, opening_texts(source, {"variable": "train_loss"})).figure
    assert (loss.thin_levels, loss.title) == (None, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("variable", "tset_error"),
        ("x", "d"),
        ("y", "dimension"),
        ("first", "adam"),
        ("second", "sgdd"),
        ("level", "high"),
        ("level", "inf"),
        ("label_flip", "0.3"),
    ],
)
def test_map__bad_choices_are_said(source: MapSource, name: str, text: str) -> None:
    message = refusal(chosen, source, opening_texts(source, {name: text}))
    assert message.startswith(f"{name} = ")


def test_map__a_cell_is_trained_again_to_the_same_bits(source: MapSource) -> None:
    choice, ds = chosen(source, opening_texts(source, {"label_flip": "0.1"})), results(source)
    found = map_of(source, choice, ds)
    cell = 2 * 3 + 1  # third row (signal_norm = 4), second column (dimension = 100)
    point = point_of(source, choice, ds, cell)
    assert point == {"dimension": 100, "signal_norm": 4.0, "label_flip": 0.1}
    again = replayed(source, choice, point)
    assert set(again.courses) == {"sgd", "sam"}
    for index, method in enumerate(choice.methods):
        assert "same bits" in again.verdicts[method]
        last = again.courses[method]["test_error"][-1]
        assert last == pytest.approx(found.means[index, 2, 1], rel=1e-12)
        assert set(again.times[method]) == {"signal", "noise"}


def test_map__copied_code_runs(source: MapSource, capsys: pytest.CaptureFixture[str]) -> None:
    choice, ds = chosen(source, opening_texts(source, {})), results(source)
    point = point_of(source, choice, ds, 5)
    names = run_code(map_code(source, choice, point))
    assert "(signal_norm: 4, dimension: 3)" in capsys.readouterr().out
    assert names["course"].attrs["agreement"] == "bits"


def test_map__its_table_and_picture(source: MapSource) -> None:
    choice, ds = chosen(source, opening_texts(source, {})), results(source)
    found = map_of(source, choice, ds)
    rows = list(csv.DictReader(io.StringIO(table(*cells_table(choice, found)).decode())))
    assert len(rows) == 12
    assert float(rows[4]["test_error sgd"]) == found.means[0, 1, 1]
    assert picture(sliced(source, choice, ds), choice.figure, "pdf").startswith(b"%PDF")


def test_map__of_a_study_that_is_being_computed(tmp_path: Path) -> None:
    path = tmp_path / "small.zarr"
    source = MapSource(small_study(), path)
    assert source.results() is None
    assert "nothing computed yet" in source.state
    source.compute()
    assert waited(lambda: not source.computing, 60.0)
    assert source.problem == ""
    assert source.counter.done == source.study.runs
    choice = chosen(source, opening_texts(source, {}))
    assert np.isfinite(map_of(source, choice, results(source)).means).all()
    source.end()


def test_map__what_is_stopped_has_gaps_and_goes_on(tmp_path: Path) -> None:
    slow = {"sgd": [simdyn.SGD(learning_rate=1e-6, epochs=50_000)]}
    study = simdyn.Study(
        {"n_samples": 6, "noise_std": 1.0},
        simdyn.TwoLayerCNN(n_filters=2, init_std=0.01),
        slow,
        {"dimension": list(range(100, 140)), "signal_norm": [0.0, 2.0]},
    )
    source = MapSource(study, tmp_path / "slow.zarr", threads=1)
    source.compute()
    assert waited(lambda: source.counter.done > 0, 60.0)
    source.stop()
    assert waited(lambda: not source.computing)
    found = map_of(source, chosen(source, opening_texts(source, {})), results(source))
    gaps = int(np.isnan(found.means).sum())
    assert 0 < gaps < found.means.size
    assert (np.isnan(found.means) == (found.runs == 0)).all()
    source.compute()
    assert waited(lambda: not source.computing, 120.0)
    found = map_of(source, chosen(source, opening_texts(source, {})), results(source))
    assert np.isfinite(found.means).all()
    source.end()


def test_map__of_a_file_opens_its_store_and_its_figure(tmp_path: Path) -> None:
    source = MapSource.of(STUDIES / "xor.toml", tmp_path)
    source.stop()
    assert source.path == tmp_path / "results" / "xor.zarr"
    texts = opening_texts(source, {})
    figure = simdyn.load_study(STUDIES / "xor.toml").figure
    assert figure is not None
    assert (texts["x"], texts["y"]) == figure.axes
    assert waited(lambda: not source.computing)
    source.end()


@pytest.mark.parametrize("name", items("trajectories  phase_schedules"))
def test_map__needs_two_axes(name: str, tmp_path: Path) -> None:
    message = refusal(MapSource.of, STUDIES / f"{name}.toml", tmp_path)
    assert "a map needs two" in message
    assert not os.listdir(tmp_path)


def test_map__takes_a_scale_from_the_figure_or_from_the_values() -> None:
    assert is_logarithmic(np.geomspace(10, 1e12, 7))
    assert not is_logarithmic(np.linspace(1000, 21000, 21))
    assert not is_logarithmic(np.geomspace(10, 1e12, 7), "linear")
    assert is_logarithmic(np.linspace(1000, 21000, 21), "log")
    assert not is_logarithmic(np.array([0.0, 0.1, 1.0, 10.0]), "symlog")


def test_listening__on_this_machine_only_and_once() -> None:
    with listening(0) as first:
        host, port = first.getsockname()
        assert host == "127.0.0.1"
        message = refusal(listening, port)
    assert message.startswith(f"--port {port}: ")
