"""Solved lines of another study on top of a phase diagram: drawn where they are, or refused."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from commands import call
from common import refusal
from matplotlib.collections import LineCollection

import simdyn
from simdyn import plot
from simdyn.explore.map_choice import chosen, opening_texts
from simdyn.explore.map_source import MapSource
from simdyn.explore.phase_map import map_of
from simdyn.params import Curves, PhaseDiagram
from simdyn.store import open_study
from simdyn.study.study_text import as_toml
from simdyn.variables.outcomes import Outcome

DATA: dict[str, Any] = {"n_samples": 6}
NET: dict[str, Any] = {"n_filters": 3, "init_std": 1e-3}
SGD = {"optimiser": "SGD", "learning_rate": 0.1, "epochs": 60}
SAM = {"optimiser": "SAM", "radius": 0.03, "learning_rate": 0.1, "epochs": 60}
METHODS: dict[str, Any] = {"sgd": [SGD], "sam": [SAM]}
DIMENSION = [300, 600, 1200]
SPACE: dict[str, Any] = {"dimension": DIMENSION, "signal_norm": [0.0, 1.0, 2.0, 4.0, 8.0]}


def mapped(space: dict[str, Any] = SPACE, **options: Any) -> simdyn.Study:
    data = DATA | options.pop("data", {})
    made: dict[str, Any] = {"replicates": 3, "seed": 4, "name": "small", **options}
    return simdyn.Study(data, NET, made.pop("methods", METHODS), space, **made)


def solving(
    space: dict[str, Any] | None = None, field: str = "signal_norm", **options: Any
) -> simdyn.Study:
    about = {"between": (0.1, 100.0), "replicates": 8} | options.pop("solve", {})
    solve = simdyn.Crossing(field=field, **about)
    space = {"dimension": [1200, 300, 450]} if space is None else space
    return mapped(space, replicates=8, solve=solve, name="lines", **options)


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return mapped().run()


@pytest.fixture(scope="module")
def lines() -> xr.Dataset:
    return solving().run()


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the study of the diagram as a file, and the store of the lines."""
    monkeypatch.chdir(tmp_path)
    figure = PhaseDiagram(lines="results/lines.zarr")
    Path("small.toml").write_text(as_toml(mapped(), figure), encoding="utf-8")
    solving().run("results/lines.zarr", threads=1)
    return tmp_path


def maps(figure: Any) -> list[Any]:
    return [ax for ax in figure.axes if ax.get_title()]


def bars(ax: Any) -> list[np.ndarray]:
    """The ends of bars, one array (points, ends, (x, y)) a line."""
    collections = [each for each in ax.collections if isinstance(each, LineCollection)]
    return [np.array(each.get_segments()) for each in collections]


def words(figure: Any) -> str:
    lines = [text.get_text() for text in figure.texts if text.get_gid() == "caption"]
    return " ".join(lines).replace("\u00a0", " ")


def entries(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# -- what is drawn ---------------------------------------------------------------------------------


def through(ax: Any, x: np.ndarray) -> list[Any]:
    """Lines of an axes that have these x, their caps apart."""
    return [
        line
        for line in ax.lines
        if line.get_marker() == "s" and np.array_equal(line.get_xdata(), x)
    ]


def test_lines__lie_where_they_were_solved(ds: xr.Dataset, lines: xr.Dataset) -> None:
    figure = plot.draw(ds, PhaseDiagram(), lines=lines)
    at = lines.sortby("dimension")
    x = at.dimension.values.astype(float)
    first, second, both = maps(figure)
    for ax, methods in ((first, ["sgd"]), (second, ["sam"]), (both, ["sgd", "sam"])):
        drawn = through(ax, x)
        assert len(drawn) == len(methods)
        for line, method in zip(drawn, methods, strict=True):
            one = at.sel({"method": method})
            np.testing.assert_array_equal(line.get_ydata(), one.critical_value)
            ends = next(
                found
                for found in bars(ax)
                if found.shape == (3, 2, 2) and np.allclose(found[:, 0, 1], one.critical_low)
            )
            np.testing.assert_allclose(ends[:, 1, 1], one.critical_high, rtol=1e-12)
    styles = [line.get_linestyle() for line in through(both, x)]
    assert styles[0] == "-"
    assert styles[1] == "--"
    assert entries(figure)[-2:] == ["SGD: solved, 95 % interval", "SAM: solved, 95 % interval"]
    said = words(figure)
    assert "Green lines with squares: where the mean test error over 8 replicates is 0.1" in said
    assert "in study lines (fingerprint " in said
    assert "differs" not in said
    assert "not that of the contours" not in said


def test_lines__over_the_other_axis(ds: xr.Dataset, lines: xr.Dataset) -> None:
    """Turned, a diagram has the same points, with x and y exchanged."""
    figure = plot.draw(ds, PhaseDiagram(x="signal_norm", y="dimension"), lines=lines)
    at = lines.sortby("dimension").sel({"method": "sgd"})
    (line,) = through(maps(figure)[0], at.critical_value.values)
    np.testing.assert_array_equal(line.get_ydata(), at.dimension)
    across = next(found for found in bars(maps(figure)[0]) if found.shape == (3, 2, 2))
    np.testing.assert_allclose(across[:, :, 0], np.stack([at.critical_low, at.critical_high], 1))


def test_lines__none_changes_nothing(ds: xr.Dataset, tmp_path: Path) -> None:
    one = plot.save(plot.draw(ds, PhaseDiagram()), tmp_path / "one")[0].read_bytes()
    figure = plot.draw(ds, PhaseDiagram(), lines=None)
    assert plot.save(figure, tmp_path / "two")[0].read_bytes() == one
    assert "solved" not in words(figure)


def test_lines__points_without_a_value_are_left_out_and_counted(
    ds: xr.Dataset, lines: xr.Dataset
) -> None:
    lost = lines.copy(deep=True)
    lost["crossing_status"].loc[{"method": "sam", "dimension": 450}] = Outcome.ABOVE
    lost["crossing_status"].loc[{"method": "sgd", "dimension": 300}] = Outcome.SEVERAL
    figure = plot.draw(ds, PhaseDiagram(), lines=lost)
    (line,) = through(maps(figure)[1], np.array([300.0, 450.0, 1200.0]))
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False]
    assert "SAM's line lacks 1 point: above the level in the whole bracket." in words(figure)
    assert "SGD's line, 1 point: found, and crossed elsewhere too" in words(figure)
    lost["crossing_status"].loc[{"method": "sam"}] = Outcome.MISSING
    figure = plot.draw(ds, PhaseDiagram(), lines=lost)
    assert "SAM's line lacks 3 points: no answer" in words(figure)
    assert "SAM's line has no point within the map." in words(figure)


def test_lines__of_some_methods(ds: xr.Dataset, lines: xr.Dataset) -> None:
    figure = plot.draw(ds, PhaseDiagram(), lines=lines.sel({"method": ["sam"]}))
    x = np.array([300.0, 450.0, 1200.0])
    assert [len(through(ax, x)) for ax in maps(figure)] == [0, 1, 1]
    assert "Not solved for there: SGD." in words(figure)
    assert entries(figure)[-1] == "SAM: solved, 95 % interval"
    assert "SGD: solved" not in " ".join(entries(figure))


def test_lines__the_caption_names_what_differs(ds: xr.Dataset) -> None:
    other = solving(
        data={"label_flip": 0.05},
        methods={"sgd": [{**SGD, "epochs": 50}], "sam": [SAM, SGD]},
        solve={"level": 0.2, "statistic": "median"},
        seed=5,
    ).run()
    said = words(plot.draw(ds, PhaseDiagram(), lines=other))
    assert "where the median test error over 8 replicates is 0.2" in said
    assert "Their level is not that of the contours, 0.1." in said
    named = said.partition("differs from this one in ")[2].partition(". Study")[0]
    assert named == "label_flip, number of phases of sam, sgd.0.epochs, seed"


def test_lines__at_the_values_of_the_diagram() -> None:
    """Further swept fields of the lines have the value that the diagram has."""
    data: dict[str, Any] = {"n_samples": 12}
    both = solving({"dimension": [300, 1200], "n_samples": [6, 12]}).run()
    figure = plot.draw(mapped(data=data).run(), PhaseDiagram(), lines=both)
    one = both.sel({"method": "sgd", "n_samples": 12})
    (line,) = through(maps(figure)[0], np.array([300.0, 1200.0]))
    np.testing.assert_array_equal(line.get_ydata(), one.critical_value)
    assert "differs" not in words(figure)
    message = refusal(plot.draw, mapped(data={"n_samples": 9}).run(), PhaseDiagram(), both)
    assert "n_samples is swept in them, and not at 9, which is that of the diagram" in message


# -- what is refused -------------------------------------------------------------------------------


def test_lines__that_do_not_belong_are_refused(ds: xr.Dataset, lines: xr.Dataset) -> None:
    def said(given: xr.Dataset, **options: Any) -> str:
        return refusal(plot.draw, ds, PhaseDiagram(**options), given)

    assert "lines: these results are not solved for; allowed" in said(ds)
    noise = solving({"dimension": DIMENSION}, "noise_std", data={"signal_norm": 2.0})
    assert "solved for noise_std; allowed is an axis of the figure, dimension or s" in said(
        noise.run()
    )
    alone = solving({}, data={"dimension": 300}).run()
    assert "dimension is not swept in them" in said(alone)
    assert "where test_error crosses a level; allowed is figure.variable, train_loss" in said(
        lines, variable="train_loss"
    )
    several = solving({"dimension": [300, 600], "noise": ["isotropic", "orthogonal"]}).run()
    study = mapped({**SPACE, "noise": ["isotropic", "orthogonal"]}).run()
    figure = plot.draw(study.isel(noise=1), PhaseDiagram(), several)
    assert through(maps(figure)[0], np.array([300.0, 600.0]))
    xor = mapped(data={"model": "xor"}).run()
    message = refusal(plot.draw, xor, PhaseDiagram(), lines)
    assert (
        'their data are of model "signal_noise"; allowed is that of the diagram, "xor"' in message
    )
    curves = Curves(x="dimension")
    assert "lines: allowed with a phase diagram" in refusal(
        plot.draw, ds.isel(signal_norm=0), curves, lines
    )


def test_run__refuses_before_it_simulates(stores: Path) -> None:
    text = Path("small.toml").read_text(encoding="utf-8")
    Path("small.toml").write_text(text.replace("lines.zarr", "other.zarr"), encoding="utf-8")
    answer = call("run small.toml")
    assert answer.code == 2
    assert "figure.lines = 'results/other.zarr': no such results; `simdyn run`" in answer.err
    assert "other.toml" in answer.err
    assert not Path("results/small.zarr").exists()
    Path("small.toml").write_text(text.replace("lines.zarr", "lines.zarr/status"), encoding="utf-8")
    answer = call("run small.toml")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "figure.lines: results/lines.zarr/status" in answer.err
    Path("small.toml").write_text(text + 'variable = "train_loss"\n', encoding="utf-8")
    answer = call("run small.toml")
    assert (answer.code, Path("results/small.zarr").exists()) == (2, False)
    assert "allowed is figure.variable, train_loss" in answer.err


def test_run__draws_them_and_writes_their_numbers(stores: Path) -> None:
    answer = call("run small.toml")
    assert answer.code == 0, answer.err
    ds = simdyn.open_results("results/small.zarr")
    lines = simdyn.open_results("results/lines.zarr")
    handed = plot.save(plot.draw(ds, PhaseDiagram(), lines), "handed")[0].read_bytes()
    assert Path("figures/small.png").read_bytes() == handed
    assert call("plot small.toml --csv").code == 0
    with open("figures/small.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(io.StringIO(file.read())) if row["critical_value"]]
    assert len(rows) == 6
    for row in rows:
        at = lines.sel({"method": row["method"], "dimension": int(float(row["dimension"]))})
        assert float(row["signal_norm"]) == float(row["critical_value"]) == at.critical_value
        assert float(row["critical_low"]) == at.critical_low
        assert float(row["critical_high"]) == at.critical_high


# -- the live map ----------------------------------------------------------------------------------


def test_map__has_solved_lines_where_the_figure_names_them(stores: Path) -> None:
    assert call("run small.toml").code == 0
    source = MapSource.of(Path("small.toml"))
    found = source.results()
    assert found is not None
    choice = chosen(source, opening_texts(source, {}))
    assert choice.figure.lines == "results/lines.zarr"
    shown = map_of(source, choice, found)
    lines = simdyn.open_results("results/lines.zarr").sortby("dimension")
    for method, (x, y, low_x, low_y, high_x, high_y) in zip(
        choice.methods, shown.solved, strict=True
    ):
        one = lines.sel({"method": method})
        for at in (x, low_x, high_x):
            np.testing.assert_array_equal(at, one.dimension)
        np.testing.assert_array_equal(y, one.critical_value)
        np.testing.assert_array_equal(low_y, one.critical_low)
        np.testing.assert_array_equal(high_y, one.critical_high)
    other = chosen(source, opening_texts(source, {"variable": "train_loss"}))
    assert other.figure.lines is None
    assert map_of(source, other, found).solved == []
    Path("results/lines.zarr").rename("results/gone.zarr")
    without = map_of(source, choice, found)
    assert without.solved == []
    assert "no such results" in without.remark
    source.end()
    assert open_study(Path("results/gone.zarr")).solve is not None
