"""The numbers of a figure as a table, in Python and as a file."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import call
from common import items, refusal

import simdyn
from simdyn.params import Collapse, CriticalLines, Curves, PhaseDiagram, Trajectories
from simdyn.plot import numbers

DATA = {"n_samples": 6, "dimension": 60, "signal_norm": 1.0}
NET = simdyn.TwoLayerCNN(n_filters=3, init_std=0.05)
METHODS = {
    "sgd": simdyn.SGD(learning_rate=0.3, epochs=20),
    "sam": simdyn.SAM(radius=0.1, learning_rate=0.3, epochs=20),
    "half": simdyn.SGD(learning_rate=0.3, epochs=10),
}


def study(figure: Any = None, record: Any = None, **space: Any) -> simdyn.Study:
    data = {name: value for name, value in DATA.items() if name not in space}
    return simdyn.Study(
        data, NET, METHODS, space, replicates=4, seed=2, record=record, figure=figure
    )


def test_numbers__of_a_phase_diagram() -> None:
    ds = study(dimension=[90, 60], signal_norm=[0.5, 2.0, 8.0]).run(threads=1)
    figure = PhaseDiagram(compare=("sam", "sgd"), level=0.3)
    table = numbers(ds, figure)
    assert list(table.columns) == list(
        items("""
            dimension  signal_norm  method  test_error  test_error_sem  runs  contour  difference
            difference_sem  pairs
        """)
    )
    assert len(table) == 12
    assert table["dimension"].tolist() == 6 * [60] + 6 * [90]
    last = simdyn.summary(ds).isel(step=-1)
    sam, sgd = (last.test_error.sel({"method": name}) for name in ("sam", "sgd"))
    for row in table.to_dict("records"):
        at = {"dimension": row["dimension"], "signal_norm": row["signal_norm"]}
        mean = last.test_error.sel({**at, "method": row["method"]})
        error = last.test_error_sem.sel({**at, "method": row["method"]})
        assert (row["test_error"], row["test_error_sem"]) == (mean.item(), error.item())
        assert row["runs"] == 4
        if row["method"] == "sgd":
            assert row["difference"] == pytest.approx((sam - sgd).sel(at).item(), abs=1e-12)
            assert row["pairs"] == 4
        else:
            assert np.isnan(row["difference"])
    lines = simdyn.analysis.contour(ds, "test_error", 0.3, "signal_norm")
    shown = table.groupby(["method", "dimension"])["contour"].first()
    expected = lines.sel({"method": "sgd", "dimension": 90}).item()
    np.testing.assert_equal(shown["sgd", 90], expected)
    alone = numbers(ds, PhaseDiagram(compare=("sgd",)))
    assert "difference" not in alone.columns


def test_numbers__of_curves() -> None:
    ds = study(signal_norm=[4.0, 0.5]).run(threads=1)
    table = numbers(ds, Curves(x="signal_norm", variables=("train_loss", "test_error")))
    assert list(table.columns)[:2] == ["signal_norm", "method"]
    assert table["method"].tolist() == 2 * ["sgd", "sam", "half"]
    last = simdyn.summary(ds).isel(step=-1)
    expected = last.train_loss.sel({"signal_norm": 0.5, "method": "half"}).item()
    assert table["train_loss"][2] == expected


def test_numbers__of_trajectories() -> None:
    shown = items("signal_coef  noise_coef  train_loss  test_error")
    record = simdyn.Record(log_spaced=5, variables=shown)
    methods = {name: METHODS[name] for name in ("sgd", "sam")}
    ds = simdyn.Study(DATA, NET, methods, replicates=4, seed=2, record=record).run(threads=1)
    table = numbers(ds, Trajectories(panels=("growth", "losses")))
    assert list(table.columns)[:3] == ["method", "step", "updates"]
    assert table["updates"].tolist() == 2 * ds.updates.sel({"method": "sgd"}).values.tolist()
    largest = ds.noise_coef.max(["sign", "filter", "sample"]).mean("replicate")
    np.testing.assert_allclose(table["largest_noise"], largest.values.ravel(), rtol=1e-12)
    growth = numbers(ds, Trajectories(panels=("growth",)))
    assert "train_loss" not in growth.columns
    data = simdyn.SignalNoiseData(**DATA)
    one = simdyn.simulate(data, NET, METHODS["sgd"], record=record)
    assert set(numbers(one, Trajectories(panels=("growth",)))["method"]) == {"SGD"}


def test_numbers__refuses_what_the_figure_refuses() -> None:
    ds = study(signal_norm=[4.0, 0.5]).run(threads=1)
    assert "figure.x = 'noise_std': not swept" in refusal(numbers, ds, Curves(x="noise_std"))


def test_numbers__of_a_collapse() -> None:
    ds = study(dimension=[600, 60, 6000], signal_norm={"log": [0.5, 8.0], "num": 7}).run(threads=1)
    table = numbers(ds, Collapse(compare=("sam", "sgd")))
    names = "dimension  signal_norm  method  rescaled  test_error  test_error_sem  runs"
    assert list(table.columns) == list(items(names))
    assert len(table) == 3 * 7 * 2
    assert table["dimension"].tolist() == 14 * [60] + 14 * [600] + 14 * [6000]
    fit = simdyn.collapse(ds, "dimension")
    last = simdyn.summary(ds).isel(step=-1)
    for row in table.to_dict("records"):
        at = {name: row[name] for name in ("dimension", "signal_norm", "method")}
        power = fit.exponent.sel({"method": row["method"]}).item()
        assert row["rescaled"] == pytest.approx(row["signal_norm"] * row["dimension"] ** -power)
        assert row["test_error"] == last.test_error.sel(at).item()
        assert row["runs"] == 4


def test_numbers__of_critical_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    solved = simdyn.Study(
        {"n_samples": 6},
        NET,
        METHODS,
        {
            "dimension": [600, 60],
            "noise_std": [1.0, 0.8],
            "case": [0, 1],
            "zip": ["case", "dimension", "noise_std"],
        },
        seed=2,
        solve=simdyn.Crossing(field="signal_norm", between=(0.1, 100.0), level=0.2, replicates=4),
    ).run("lines.zarr", threads=1)
    table = numbers(solved, CriticalLines(x=("dimension", "noise_std"), compare=("sgd", "half")))
    names = "dimension noise_std method crossing_status critical_value critical_low critical_high"
    assert set(names.split()) <= set(table.columns)
    assert table["dimension"].tolist() == [600, 600, 60, 60]
    assert table["noise_std"].tolist() == [1.0, 1.0, 0.8, 0.8]
    assert table["method"].tolist() == 2 * ["sgd", "half"]
    ordered = solved.sel({"method": ["sgd", "half"]}).transpose("case", "method", ...)
    for name in ("critical_value", "critical_low", "critical_high", "evaluations"):
        np.testing.assert_array_equal(table[name], ordered[name].values.ravel())
    assert set(table["crossing_status"]) <= {"found", "several", "flat"}
    assert np.isfinite(table["critical_value"]).all()


def test_plot__numbers_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study(signal_norm=[4.0, 0.5]).run("small.zarr", threads=1)
    answer = call("plot small.zarr --csv")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == "figures/small.csv"
    ds = simdyn.open_results("small.zarr")
    with open("figures/small.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = numbers(ds, Curves(x="signal_norm"))
    assert [float(row["test_error"]) for row in rows] == table["test_error"].tolist()
    assert [row["method"] for row in rows] == table["method"].tolist()
    before = Path("figures/small.csv").read_bytes()
    call("plot small.zarr --csv")
    assert Path("figures/small.csv").read_bytes() == before
    call("plot small.zarr --out other")
    assert not Path("other/figures/small.csv").exists()
