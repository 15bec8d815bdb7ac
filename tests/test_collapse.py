"""Finite-size scaling: exponents with which curves fall on one, their intervals and p-values."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from common import refusal, same
from matplotlib.axes import Axes

import simdyn
from simdyn import Study, plot
from simdyn.params import Collapse
from simdyn.theory import master_curve
from simdyn.theory.scaling_collapse import rescaled

ROOT = Path(__file__).parents[1]
BETWEEN = (0.02, 0.45)
DIMENSIONS = tuple(np.geomspace(1e3, 1e6, 6))


def results(
    seed: int = 0,
    *,
    power: float = 0.25,
    broken: float = 0.0,
    replicates: int = 20,
    dimension: Any = DIMENSIONS,
    n_samples: Any = None,
    noise: float = 0.3,
    levels: int = 30,
) -> xr.Dataset:
    """Curves that fall from ½ to 0 where ln ‖μ‖ is about `power` ln d − ¼ ln n.

    Each replicate has an offset of its own, of which a half is common to all curves, and errors of
    its own at each point. With `broken` the slope goes with the dimension.
    """
    rng = np.random.default_rng(seed)
    coords = {"dimension": list(dimension), "signal_norm": np.geomspace(0.3, 30.0, levels)}
    coords |= {} if n_samples is None else {"n_samples": list(n_samples)}
    grid = xr.Dataset(coords=coords)
    u, z = np.log(grid.signal_norm), np.log(grid.dimension)
    centre = power * (z - z.mean()) + 1.2
    if n_samples is not None:
        centre = centre - 0.25 * (np.log(grid.n_samples) - np.log(grid.n_samples).mean())
    common = xr.DataArray(rng.normal(size=replicates), dims="replicate")
    own = xr.DataArray(
        rng.normal(size=(*centre.shape, replicates)), dims=(*centre.dims, "replicate")
    )
    place = u - centre - noise * math.sqrt(0.5) * (common + own)
    error = 0.5 / (1.0 + np.exp(3.0 * np.exp(broken * (z - z.mean())) * place))
    error = error + 0.01 * rng.normal(size=error.shape)
    error = error.expand_dims(method=["sgd"]).expand_dims(step=[9], axis=-1)
    error = error.transpose(*coords, "method", "replicate", "step")
    status = xr.ones_like(error.isel(step=0, drop=True), dtype=np.int8)
    error.attrs = {"long_name": "test error"}
    return xr.Dataset({"test_error": error, "status": status})


def deviations(ds: xr.Dataset, truth: float, **options: Any) -> tuple[float, bool, float]:
    """The exponent minus the truth in standard errors, whether the interval holds it, and p."""
    found = simdyn.collapse(ds, "dimension", between=BETWEEN, **options).isel(method=0)
    value, low, high = (found[f"exponent{e}"].item() for e in ("", "_low", "_high"))
    return (value - truth) / ((high - low) / 4.2), low < truth < high, found.p_value.item()


# -- what is found -------------------------------------------------------------------------------


def test_collapse__finds_the_power() -> None:
    ds = results()
    found = simdyn.collapse(ds, "dimension", between=BETWEEN)
    assert found.exponent.dims == ("method", "parameter")
    assert list(found.parameter.values) == ["dimension"]
    one = found.isel(method=0, parameter=0)
    assert one.exponent_low < 0.25 < one.exponent_high
    assert one.exponent_high - one.exponent_low < 0.06
    assert one.quality < 1.5
    assert one.quality_before > 100.0 * one.quality
    mean = ds.test_error.isel(step=-1).mean("replicate")
    used = int(((mean > BETWEEN[0]) & (mean < BETWEEN[1])).sum())
    assert 0.9 * used <= one.points <= used
    # Errors of a mean, over the root of the replicates, are between 0.002 and 0.02.
    assert 0.002 < one.deviation < 0.02
    assert one.p_value > 0.05
    same(
        found,
        simdyn.collapse(ds.isel(signal_norm=slice(None, None, -1)), "dimension", between=BETWEEN),
    )
    scaled = rescaled(ds, found)
    by_hand = ds.signal_norm * ds.dimension ** -one.exponent.item()
    np.testing.assert_allclose(scaled.isel(method=0).transpose(*by_hand.dims), by_hand)
    assert found.attrs["along"] == "dimension"
    assert found.attrs["between"] == list(BETWEEN)


@pytest.mark.parametrize("power", [-0.4, 0.0, 0.6])
def test_collapse__of_other_powers(power: float) -> None:
    away, _, _ = deviations(results(1, power=power), power, resamples=100)
    assert abs(away) < 4.0


def test_collapse__without_limits_uses_all_points() -> None:
    ds = results(2)
    found = simdyn.collapse(ds, "dimension", resamples=100).isel(method=0, parameter=0)
    assert found.points > 0.9 * 6 * 30
    assert abs(found.exponent - 0.25) < 2.0 * (found.exponent_high - found.exponent_low)


def test_collapse__of_two_parameters_keeps_all_curves_together() -> None:
    """Without ties between all curves, three groups far apart are the best fit."""
    ds = results(3, dimension=(2e3, 2e4, 2e5), n_samples=(10, 20, 40), noise=0.1, levels=24)
    found = simdyn.collapse(ds, ("dimension", "n_samples"), between=BETWEEN, resamples=100)
    one = found.isel(method=0)
    assert list(one.parameter.values) == ["dimension", "n_samples"]
    half = (one.exponent_high - one.exponent_low) / 2
    assert (abs(one.exponent - [0.25, -0.25]) < 2.0 * half).all()
    assert (half < 0.05).all()
    # Of one of them, for each value of the other.
    apart = simdyn.collapse(ds, "dimension", between=BETWEEN, resamples=100)
    assert apart.exponent.dims == ("n_samples", "method", "parameter")
    assert (abs(apart.exponent - 0.25) < 0.1).all()


def test_collapse__of_axes_that_go_together() -> None:
    """Points along one dim, with an n and a d each."""
    d, n = np.array([1e3, 1e4, 1e5, 1e4]), np.array([20, 20, 20, 80])
    full = results(4, dimension=np.unique(d), n_samples=np.unique(n), noise=0.1)
    at = {"dimension": xr.DataArray(d, dims="point"), "n_samples": xr.DataArray(n, dims="point")}
    ds = full.sel(at).assign_coords(point=range(4))
    found = simdyn.collapse(ds, ("dimension", "n_samples"), between=BETWEEN, resamples=100)
    half = (found.exponent_high - found.exponent_low) / 2
    assert (abs(found.exponent - [0.25, -0.25]) < 2.0 * half).all()
    line = ds.isel(point=slice(3)).assign_coords(n_samples=("point", [10, 100, 1000]))
    assert "collinear" in refusal(simdyn.collapse, line, ("dimension", "n_samples"))


def test_collapse__floors_without_errors() -> None:
    """Where all replicates agree, standard errors are zero."""
    ds = results(5)
    ds["test_error"] = ds.test_error.where(ds.signal_norm < 4.0, 0.0).where(
        ds.signal_norm > 0.5, 0.5
    )
    found = simdyn.collapse(ds, "dimension", resamples=100).isel(method=0, parameter=0)
    assert np.isfinite(found.quality)
    assert found.exponent_low < found.exponent < found.exponent_high
    ds["test_error"] = 0.0 * ds.test_error + 0.5 / (
        1.0 + (ds.signal_norm / ds.dimension**0.25) ** 3
    )
    exact = simdyn.collapse(ds, "dimension", resamples=100).isel(method=0, parameter=0)
    assert exact.exponent == pytest.approx(0.25, abs=0.003)
    assert exact.deviation < 2e-3


def test_collapse__leaves_out_runs_that_did_not_finish() -> None:
    ds = results(6)
    rng = np.random.default_rng(0)
    failed = xr.zeros_like(ds.status, dtype=bool) | (rng.uniform(size=ds.status.shape) < 0.2)
    failed[0, 12] = True  # a point without any run
    broken = ds.copy()
    broken["status"] = ds.status.where(~failed, 3)
    broken["test_error"] = ds.test_error.where(~failed, np.nan)
    found = simdyn.collapse(broken, "dimension", between=BETWEEN, resamples=100)
    full = simdyn.collapse(ds, "dimension", between=BETWEEN, resamples=100)
    assert found.points < full.points
    half = (full.exponent_high - full.exponent_low) / 2
    assert (abs(found.exponent - full.exponent) < half).all()
    # A value that a failed run has left behind is not used.
    broken["test_error"] = ds.test_error.where(~failed, 1e9)
    same(found, simdyn.collapse(broken, "dimension", between=BETWEEN, resamples=100))
    # A method of which nothing finished has no fit, and does not disturb the others.
    none = xr.concat([ds, ds.assign(status=0 * ds.status).assign_coords(method=["sam"])], "method")
    pair = simdyn.collapse(none, "dimension", between=BETWEEN, resamples=100)
    assert pair.points.values.tolist() == [full.points.item(), 0]
    assert np.isnan(pair.exponent.values[1]).all()
    assert pair.exponent.values[0] == full.exponent.values[0]


def test_collapse__curves_that_do_not_collapse_have_small_p_values() -> None:
    for seed in range(3):
        ds = results(seed, broken=0.12, noise=0.1)
        found = simdyn.collapse(ds, "dimension", between=BETWEEN, resamples=100)
        assert found.p_value.item() <= 0.02
        assert found.deviation.item() > 0.008


# -- how often intervals and p-values are right --------------------------------------------------


def test_collapse__intervals_and_p_values_of_some_sets_of_curves() -> None:
    sets = 12
    found = [deviations(results(100 + k), 0.25, resamples=100) for k in range(sets)]
    away, hits, p = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    assert hits.mean() > 0.95 - 4.0 * math.sqrt(0.95 * 0.05 / sets)
    assert abs(away.mean()) < 4.0 / math.sqrt(sets)
    assert abs(away.std(ddof=1) - 1.0) < 4.0 / math.sqrt(2 * (sets - 1))
    assert abs(p.mean() - 0.5) < 4.0 / math.sqrt(12 * sets)


@pytest.mark.campaign
@pytest.mark.parametrize("replicates", [20, 60])
def test_collapse__many_sets_of_curves_campaign(replicates: int) -> None:
    sets = 600
    found = [
        deviations(results(k, replicates=replicates), 0.25, resamples=200) for k in range(sets)
    ]
    _, hits, p = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    shares = {level: float((p <= level).mean()) for level in (0.01, 0.05, 0.25, 0.5, 0.75)}
    print(f"\n{replicates} replicates: intervals hold {hits.mean():.3f}; p-values at most {shares}")
    assert abs(hits.mean() - 0.95) < 0.02
    for level, share in shares.items():
        assert share < level + 4.0 * math.sqrt(level * (1.0 - level) / sets), level
        assert share > 0.5 * level - 4.0 * math.sqrt(level * (1.0 - level) / sets), level
    lost = [deviations(results(k, broken=0.08, replicates=replicates), 0.25)[2] for k in range(40)]
    print(f"slopes that go like d^0.08: p at most 0.05 in {np.mean(np.array(lost) <= 0.05):.2f}")
    assert np.mean(np.array(lost) <= 0.05) > 0.5


# -- the mathematics -----------------------------------------------------------------------------


def test_master__is_the_weighted_line_through_the_neighbours() -> None:
    """Held against numpy's fit, point by point."""
    rng = np.random.default_rng(7)
    u, z = np.sort(rng.uniform(0.0, 5.0, size=9)), np.array([[-1.0], [0.2], [0.8]])
    values = rng.normal(size=(3, 9, 5))
    curves = master_curve.Curves(u, z, np.ones((3, 9), dtype=bool))
    means = master_curve.means_of(values, 1e-9)
    mean, error = values.mean(-1), values.std(-1, ddof=1) / math.sqrt(5)
    np.testing.assert_allclose(means.mean, mean)
    power = np.array([0.7])
    master = curves.master(power, means)
    at, squares = u - 0.7 * z, []
    for k, (c, i) in enumerate(np.ndindex(3, 9)):
        points = []
        for other in {0, 1, 2} - {c}:
            j = int(np.searchsorted(at[other], at[c, i], side="right")) - 1
            if 0 <= j < 8:
                points += [(other, j), (other, j + 1)]
        if not points:
            assert np.isnan(master.value[k])
            continue
        x, y, e = (np.array([a[p] for p in points]) for a in (at, mean, error))
        fit, cov = (
            np.polyfit(x - at[c, i], y, 1, w=1.0 / e, cov="unscaled")
            if len(x) > 2
            else (np.polyfit(x - at[c, i], y, 1), None)
        )
        assert master.value[k] == pytest.approx(fit[1])
        if cov is not None:
            assert master.variance[k] == pytest.approx(cov[1, 1])
        squares.append((mean[c, i] - fit[1]) ** 2 / (error[c, i] ** 2 + master.variance[k]))
    assert curves.quality(power, means) == pytest.approx(np.mean(squares))


def test_quality__of_curves_apart_is_not_allowed() -> None:
    u, z = np.linspace(0.0, 3.0, 10), np.array([[-2.0], [-1.0], [1.0], [2.0]])
    curves = master_curve.Curves(u, z, np.ones((4, 10), dtype=bool))
    flat = master_curve.means_of(np.random.default_rng(0).normal(size=(4, 10, 5)), 1e-3)
    assert curves.quality(np.array([0.5]), flat) < 10.0
    assert curves.quality(np.array([1.0]), flat) >= master_curve.FAR  # two pairs, 2 apart
    assert curves.quality(np.array([9.0]), flat) >= master_curve.FAR


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"along": "dimensio"}, "along = 'dimensio': did you mean 'dimension'?"),
        ({"along": ()}, "along = []: allowed are one to 3 distinct swept parameters"),
        ({"along": ["dimension"] * 2}, "allowed are one to 3 distinct swept parameters"),
        ({"along": "signal_norm"}, "along = 'signal_norm' goes along one dim with x"),
        ({"along": "method"}, "along = 'method': "),
        ({"x": "snr"}, "x = 'snr': did you mean 'signal_norm'?"),
        ({"variable": "test_eror"}, "variable = 'test_eror': did you mean 'test_error'?"),
        ({"between": (0.4, 0.02)}, "between = (0.4, 0.02): allowed are two numbers, the smaller"),
        ({"between": 0.4}, "between = 0.4: allowed are two numbers"),
        ({"between": (2.0, 3.0)}, "no two curves of test_error have 3 points between 2 and 3"),
        ({"resamples": 10}, "resamples = 10: allowed is an integer ≥ 100"),
        ({"seed": -1}, "seed = -1: allowed is an integer"),
    ],
)
def test_collapse__bad_input(options: dict[str, Any], said: str) -> None:
    assert said in refusal(simdyn.collapse, results(), **{"along": "dimension", **options})


def test_collapse__results_that_are_too_small() -> None:
    ds = results()
    few = refusal(simdyn.collapse, ds.isel(replicate=[0]), "dimension")
    assert "there is 1 replicate; allowed are 2 or more" in few
    one = refusal(simdyn.collapse, ds.isel(dimension=[0]), "dimension")
    assert "along = 'dimension' has one value" in one
    two = refusal(simdyn.collapse, ds.isel(signal_norm=[0, 9]), "dimension")
    assert "x = 'signal_norm' has 2 distinct values of 2: allowed are 3 or more" in two
    zero = refusal(simdyn.collapse, ds.assign_coords(signal_norm=np.arange(30.0)), "dimension")
    assert "x = 'signal_norm' has 0 among its values: allowed are numbers > 0" in zero
    assert "results of a study" in refusal(simdyn.collapse, ds.drop_vars("status"), "dimension")
    assert np.isfinite(
        simdyn.collapse(ds.isel(replicate=[0, 1]), "dimension", resamples=100).exponent
    ).all()


# -- the figure ----------------------------------------------------------------------------------


def with_figure(figure: Collapse, replicates: int = 5) -> Study:
    return Study(
        {"n_samples": 10},
        {"n_filters": 4, "init_std": "0.1*sqrt(n_samples)/dimension"},
        {
            "sgd": [{"optimiser": "SGD", "learning_rate": "60/dimension", "epochs": 60}],
            "fast": [{"optimiser": "SGD", "learning_rate": "90/dimension", "epochs": 60}],
        },
        {"dimension": [1000, 10000, 100000], "signal_norm": {"log": [0.7, 40.0], "num": 12}},
        replicates=replicates,
        figure=figure,
    )


@pytest.fixture(scope="module")
def study() -> Study:
    return with_figure(Collapse(between=(0.02, 0.4)))


@pytest.fixture(scope="module")
def measured(study: Study) -> xr.Dataset:
    return study.run()


def caption(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.texts if text.get_gid() == "caption")


def lines(ax: Axes) -> list[Any]:
    return [line for line in ax.get_lines() if len(line.get_xdata()) > 2]


def test_figure__curves_before_and_after(study: Study, measured: xr.Dataset) -> None:
    assert study.figure is not None
    figure = plot.draw(measured, study.figure)
    assert len(figure.axes) == 4
    found = simdyn.collapse(measured, "dimension", between=(0.02, 0.4))
    mean = simdyn.analysis.mean_state(measured, "test_error").sel({"method": "fast"})
    before, after = figure.axes[2:]
    one = found.sel({"method": "fast"}).isel(parameter=0)
    for ax, power in ((before, 0.0), (after, one.exponent.item())):
        assert ax.get_xscale() == "log"
        assert len(lines(ax)) == 3
        for line, d in zip(lines(ax), measured.dimension, strict=True):
            np.testing.assert_allclose(line.get_xdata(), measured.signal_norm * d.item() ** -power)
            np.testing.assert_allclose(line.get_ydata(), mean.sel(dimension=d))
    text = caption(figure).replace("\xa0", " ")
    shown = re.search(r"fast (\S+) \((\S+) … (\S+)\), S = (\S+) \(.*?p = (\S+),", text)
    assert shown, text
    numbers = [float(part.replace("−", "-")) for part in shown.groups()]
    for number, name in zip(
        numbers, ("exponent", "exponent_low", "exponent_high", "quality", "p_value"), strict=True
    ):
        assert number == pytest.approx(one[name].item(), rel=0.02, abs=0.002)
    assert "between the dotted lines" in text
    (legend,) = figure.legends
    assert [entry.get_text() for entry in legend.get_texts()][-1] == "$d = 10^{5}$"
    colours = {line.get_color() for line in lines(before)}
    assert len(colours) == 3


def test_figure__of_two_parameters_and_missing_runs() -> None:
    ds = results(8, dimension=(2e3, 2e4), n_samples=(10, 20, 40), noise=0.1, levels=24)
    none = ds.assign(status=0 * ds.status).assign_coords(method=["sam"])
    pair = xr.concat([ds, none], "method")
    figure = plot.draw(pair, Collapse(along=("dimension", "n_samples"), between=BETWEEN))
    assert "SAM: too few points in common." in caption(figure)
    assert [text.get_text() for text in figure.axes[3].texts] == ["no fit"]
    assert len({line.get_marker() for line in lines(figure.axes[0])}) == 3
    assert len(figure.legends[0].get_texts()) == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"along": ("dimensio",)}, "figure.along = 'dimensio': not a swept number; did you mean"),
        ({"along": ("dimension",) * 2}, "figure.along = ['dimension', 'dimension']: allowed are"),
        ({"along": ("signal_norm",)}, "allowed are parameters that are swept apart from figure.x"),
        ({"x": "n_samples"}, "figure.x = 'n_samples': not a swept number"),
        ({"between": (0.4, 0.4)}, "figure.between = [0.4, 0.4]: allowed are two numbers, the"),
        ({"compare": ("slow",)}, "figure.compare: no method 'slow'"),
        ({"variable": "sharpness"}, "figure.variable = 'sharpness': not recorded"),
    ],
)
def test_figure__bad_input(measured: xr.Dataset, options: dict[str, Any], said: str) -> None:
    assert said in refusal(plot.draw, measured, Collapse(**options))


def test_figure__all_that_is_swept_must_be_on_it() -> None:
    both = results(8, dimension=(2e3, 2e4), n_samples=(10, 20))
    assert "n_samples is swept, but neither x nor along" in refusal(plot.draw, both, Collapse())


@pytest.mark.parametrize("name", ["dimension", "signal_norm"])
def test_figure__at_has_no_axis_of_the_figure(study: Study, name: str) -> None:
    at = {name: study.space.axes[name][0]}
    said = refusal(with_figure, Collapse(at=at))
    assert f"figure.at: {name!r} is on an axis; allowed are other swept names" in said


def test_figure__of_one_replicate_is_refused_before_the_run(
    study: Study, measured: xr.Dataset
) -> None:
    said = "figure.kind = 'collapse': there is 1 replicate; allowed are 2 or more, for the errors"
    assert said in refusal(with_figure, Collapse(), replicates=1)
    assert said in refusal(plot.draw, measured.isel(replicate=[0]), study.figure)


def test_figure__of_a_solved_study_is_refused() -> None:
    solve = simdyn.Crossing(field="signal_norm", between=(0.1, 10.0), replicates=4)
    said = refusal(
        Study,
        {"n_samples": 10},
        {"n_filters": 4, "init_std": 0.01},
        {"sgd": simdyn.SGD(learning_rate=0.1, epochs=5)},
        {"dimension": [100, 200]},
        solve=solve,
        figure=Collapse(),
    )
    assert "figure.kind = 'collapse': the study solves for signal_norm" in said


def test_study__of_the_repository_is_small_with_smoke() -> None:
    small = simdyn.load_study(ROOT / "studies" / "collapse.toml").smoke()
    assert isinstance(small.figure, Collapse)
    ds = small.run()
    found = simdyn.collapse(ds, "dimension", between=small.figure.between, resamples=100)
    sgd, sam = (found.exponent.sel({"method": name}).item() for name in ("sgd", "sam"))
    # Theory has ¼ and 0, for long training at large dimensions.
    assert 0.15 < sgd < 0.3
    assert -0.05 < sam < 0.05
