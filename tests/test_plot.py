"""Figures: what is drawn is the data, and the same bytes each time."""

import functools
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
import xarray as xr
from commands import call
from common import items, refusal
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.patches import PathPatch

import simdyn
from simdyn import plot, theory
from simdyn.api.study import Study
from simdyn.base.inputs import InputError
from simdyn.params import PICTURES, SAM, SGD, Curves, PhaseDiagram, Record, Trajectories
from simdyn.plot import artists, scales
from simdyn.theory import analysis
from simdyn.theory.crossing import is_geometric

FINGERPRINT = "5eed" * 16
# Many small updates: the noise takes 10 updates or more at d = 21000.
PLANS: dict = {
    "sgd": [{"optimiser": "SGD", "learning_rate": 0.002, "epochs": 10_000}],
    "sam": [{"optimiser": "SAM", "radius": 0.03, "learning_rate": 0.002, "epochs": 10_000}],
}


def study(dimension=None, signal_norm=None, replicates=5, methods=("sgd", "sam")):
    """Results as of the main study: smooth errors of the right shape, two recorded states."""
    d = np.linspace(1000, 21000, 9) if dimension is None else np.asarray(dimension)
    mu = np.linspace(0, 10, 11) if signal_norm is None else np.asarray(signal_norm)
    rng = np.random.default_rng(0)
    shape = (d.size, mu.size, len(methods), replicates, 2)
    critical = np.ones((len(methods), d.size)) * 2.0
    critical[0] = 1.1 * (d / 20) ** 0.25
    width = critical.T[:, None, :] / np.sqrt(np.log(5))  # 0.5 exp(−(‖μ‖/width)²) is 0.1 at critical
    error = 0.5 * np.exp(-((mu[None, :, None] / width) ** 2))
    error = error[..., None] * (1 + 0.02 * rng.standard_normal((1, 1, 1, replicates)))
    loss = np.full((d.size, mu.size, len(methods)), 0.01)
    loss[:, :, -1] = np.where(mu < 4.5, 0.15, 0.02)
    states = np.zeros(shape)
    states[..., 0], states[..., 1] = 0.5, error
    losses = np.broadcast_to(loss[..., None, None], shape).copy()
    losses[..., 0] = np.log(2)
    dims = ("dimension", "signal_norm", "method", "replicate", "step")

    def parameter(values, symbol, name, dims=()):
        return dims, values, {"symbol": symbol, "long_name": name, "units": "1"}

    return xr.Dataset(
        {
            "test_error": (dims, states, {"long_name": "test error", "units": "1"}),
            "train_loss": (dims, losses, {"long_name": "training loss", "units": "1"}),
            "status": (dims[:-1], np.ones(shape[:-1], dtype=np.int8)),
        },
        {
            "dimension": parameter(d, "d", "dimension of a patch", ("dimension",)),
            "signal_norm": parameter(mu, "‖μ‖", "signal norm", ("signal_norm",)),
            "method": np.array(methods),
            "replicate": np.arange(replicates),
            "updates": ("step", [0, 100], {"symbol": "t", "long_name": "updates", "units": "1"}),
            "n_samples": parameter(20, "n", "training samples"),
            "noise_std": parameter(1.0, "σ_p", "noise standard deviation"),
            "n_patches": parameter(2, "P", "patches of a sample"),
            "n_filters": parameter(10, "m", "filters of each sign"),
        },
        {
            "title": "phase_diagram",
            "fingerprint": FINGERPRINT,
            "seed": 3,
            "study": told(d, mu, methods),
        },
    )


@functools.cache
def drawn():
    """Such results and their phase diagram, for tests that change neither."""
    ds = study()
    return ds, plot.draw(ds, PhaseDiagram())


def told(d, mu, methods=("sgd", "sam"), *, plans=None, **network):
    """The attribute `study` of such results."""
    plans = plans or {name: PLANS.get(name, PLANS["sgd"]) for name in methods}
    return json.dumps(
        {
            "data": {"n_samples": 20, "noise_std": 1.0},
            "network": {"n_filters": 10, "init_std": 1e-3, **network},
            "methods": plans,
            "space": {"dimension": np.asarray(d).tolist(), "signal_norm": np.asarray(mu).tolist()},
        }
    )


def painted(figure):
    """The renderer of a figure, drawn to pixels."""
    with artists.style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return canvas.get_renderer()


def panels(figure):
    """Axes of the maps, without the colour bars."""
    return [ax for ax in figure.axes if ax.get_title()]


def bars(figure):
    """Axes of the colour bars."""
    return [ax for ax in figure.axes if not ax.get_title()]


def mesh(ax):
    [found] = [artist for artist in ax.collections if isinstance(artist, QuadMesh)]
    return found


def cells(ax):
    return np.ma.filled(mesh(ax).get_array(), np.nan)


def words(figure):
    lines = [text.get_text() for text in figure.texts if text.get_gid() == "caption"]
    return " ".join(lines).replace("\u00a0", " ")


def hatched(ax, ds):
    """Which grid points lie in a hatched region."""
    x, y = np.meshgrid(ds["dimension"].values, ds["signal_norm"].values)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    inside = np.zeros(len(points), dtype=bool)
    for patch in ax.patches:
        assert isinstance(patch, PathPatch)
        assert patch.get_hatch()
        # One subpath a cell: ask each, for a compound path is one region by the even-odd rule.
        for cell in patch.get_path().to_polygons(closed_only=False):
            inside |= matplotlib.path.Path(cell).contains_points(points)
    return inside.reshape(x.shape)


def lines_at_level(ax):
    return [line for line in ax.lines if line.get_path_effects()]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# -- the maps --------------------------------------------------------------------------------------


def test_phase_diagram__panels_are_means_and_their_difference():
    ds, figure = drawn()
    mean = analysis.mean_state(ds, "test_error").transpose("method", "signal_norm", "dimension")
    first, second, difference = map(cells, panels(figure))
    np.testing.assert_array_equal(first, mean[0])
    np.testing.assert_array_equal(second, mean[1])
    np.testing.assert_allclose(difference, first - second, atol=1e-15)


def test_phase_diagram__methods_share_a_colour_scale_with_nought_on_it():
    _, figure = drawn()
    maps = panels(figure)[:2]
    limits = {(mesh(ax).norm.vmin, mesh(ax).norm.vmax) for ax in maps}
    assert limits == {(0.0, np.nanmax([cells(ax) for ax in maps]))}
    assert bars(figure)[0].get_xlabel() == "mean test error"
    assert bars(figure)[0].get_xlim() == next(iter(limits))


def test_phase_diagram__negative_differences_have_colours_of_their_own():
    ds = study()
    ds["test_error"][1, 8, 1] += 0.06
    figure = plot.draw(ds, PhaseDiagram())
    ax = panels(figure)[2]
    values, norm = cells(ax), mesh(ax).norm
    assert values.min() == pytest.approx(-0.06, abs=0.01)
    assert -norm.vmin == norm.vmax == pytest.approx(abs(values).max(), rel=1e-14)
    red, _, blue, _ = mesh(ax).to_rgba(np.array([values.min(), 0.0, values.max(), -0.06 / 3])).T
    assert red[0] > blue[0] + 0.1, "where the first is better"
    assert red[1] == pytest.approx(blue[1], abs=0.01), "no difference has no colour"
    assert blue[2] > red[2] + 0.1
    assert red[3] > blue[3] + 0.02, "a third of it is no tie yet"
    assert bars(figure)[1].get_xlim() == pytest.approx((values.min(), values.max()))
    assert bars(figure)[1].get_xlabel() == "difference"


def test_phase_diagram__no_difference_anywhere_is_white():
    ds = study()
    ds["test_error"][:, :, 1] = ds["test_error"][:, :, 0]
    ax = panels(plot.draw(ds, PhaseDiagram()))[2]
    assert mesh(ax).norm(0.0) == 0.5
    assert (cells(ax) == 0.0).all()


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_phase_diagram__a_panel_for_each_method_and_each_difference(number):
    names = ("sgd", "sam", "other", "SAM 0.1", "last")[:number]
    ds = study(methods=names)
    ds["test_error"].values[..., -1] *= 1 + 0.1 * np.arange(number)[:, None]  # all differ
    figure = plot.draw(ds, PhaseDiagram())
    spoken = ["SGD", "SAM", "other", "SAM 0.1", "last"][:number]
    titles = [*spoken, *(f"SGD − {name}" for name in spoken[1:])]
    assert [ax.get_title() for ax in panels(figure)] == [
        f"({letter}) {title}" for letter, title in zip("abcdefghi", titles, strict=False)
    ]
    mean = analysis.mean_state(ds, "test_error").transpose("method", "signal_norm", "dimension")
    maps = [cells(ax) for ax in panels(figure)]
    for k in range(number):
        np.testing.assert_array_equal(maps[k], mean[k])
        if k:
            np.testing.assert_allclose(maps[number - 1 + k], mean[0] - mean[k], atol=1e-15)
    for k, ax in enumerate(panels(figure)[number:], start=1):
        contours = analysis.contour(ds, "test_error", 0.1, "signal_norm")
        first, other = lines_at_level(ax)
        np.testing.assert_array_equal(first.get_ydata(), contours[:, 0])
        np.testing.assert_array_equal(other.get_ydata(), contours[:, k])
    assert len(bars(figure)) == min(number, 2)
    assert "Not drawn" not in words(figure)
    for name in spoken:
        assert name in words(figure)


def test_phase_diagram__compare_chooses_methods_and_their_order():
    ds = study(methods=("sgd", "other", "sam"))
    figure = plot.draw(ds, PhaseDiagram(compare=("sam", "sgd")))
    assert [ax.get_title() for ax in panels(figure)] == ["(a) SAM", "(b) SGD", "(c) SAM − SGD"]
    mean = analysis.mean_state(ds, "test_error").sel({"method": "sam"})
    np.testing.assert_array_equal(cells(panels(figure)[0]), mean.transpose("signal_norm", ...))
    assert "Not drawn: other." in words(figure)


def test_phase_diagram__any_order_of_dims_and_values():
    ds = study()
    turned = ds.transpose("step", "method", "signal_norm", "replicate", "dimension")
    turned = turned.isel(dimension=slice(None, None, -1), signal_norm=[3, 1, 2, *range(4, 11), 0])
    a, b = drawn()[1], plot.draw(turned, PhaseDiagram())
    for one, other in zip(panels(a), panels(b), strict=True):
        np.testing.assert_allclose(cells(one), cells(other), rtol=1e-15)
    assert words(a) == words(b)


def test_phase_diagram__cells_lie_around_their_values():
    ds, figure = drawn()
    coordinates = mesh(panels(figure)[0]).get_coordinates()
    x, y = coordinates[0, :, 0], coordinates[:, 0, 1]
    np.testing.assert_allclose((x[1:] + x[:-1]) / 2, ds["dimension"])
    np.testing.assert_allclose((y[1:] + y[:-1]) / 2, ds["signal_norm"])


def test_phase_diagram__axes_say_what_they_are():
    ds = study()
    ds["signal_norm"].attrs["units"] = "mm"
    ax = panels(plot.draw(ds, PhaseDiagram()))[0]
    assert ax.get_xlabel() == "dimension of a patch $d$"
    assert ax.get_ylabel() == r"signal norm $\Vert μ\Vert $ (mm)"
    assert ax.get_xscale() == "linear"


def test_phase_diagram__geometric_grid_has_a_log_axis():
    ds = study(dimension=np.geomspace(100, 1e6, 9).round())
    ax = panels(plot.draw(ds, PhaseDiagram()))[2]
    assert ax.get_xscale() == "log"
    assert ax.get_yscale() == "linear"


def with_missing_runs():
    """No run at one point of the first method, some at one of the second, a masked corner."""
    ds = study()
    for at, code in (((2, 3, 0), 0), ((4, 5, 1, slice(2)), 3), ((slice(2), slice(2)), 5)):
        ds["status"][at] = code
        for name in ("test_error", "train_loss"):
            ds[name][at] = np.nan
    return ds


def places(ax, gid):
    """Where marks of a kind stand."""
    return [tuple(at) for line in ax.lines if line.get_gid() == gid for at in line.get_xydata()]


def test_phase_diagram__cells_of_missing_runs_are_marked_and_counted():
    ds = with_missing_runs()
    figure = plot.draw(ds, PhaseDiagram())
    none, fewer = [(ds["dimension"][2], 3.0)], [(ds["dimension"][4], 5.0)]
    for ax, crosses, diamonds in zip(
        panels(figure), (none, [], none), ([], fewer, fewer), strict=True
    ):
        assert places(ax, "absent") == crosses
        assert places(ax, "fewer") == diamonds
        assert np.isnan(cells(ax)).sum() == len(crosses) + 4
    said = words(figure)
    assert "mean test error over the runs that finished (0–5 of 5)" in said
    assert "SGD minus SAM, over pairs that finished" in said
    assert "Left out: 7 runs of 950 (2 non-finite, 5 not computed yet)." in said
    assert "40 runs masked by the study, not computed." in said
    assert "Diamonds: fewer than all runs finished (1 cell)." in said
    assert "Crosses: no run finished (1 cell)." in said
    assert "replicates" not in said
    marks = {"fewer than all runs finished", "no run finished", "masked by the study"}
    assert marks <= set(legend(figure))
    assert not marks & set(legend(drawn()[1]))


def test_phase_diagram__a_difference_is_of_the_pairs_that_finished():
    ds = with_missing_runs()
    difference = cells(panels(plot.draw(ds, PhaseDiagram()))[2])
    pairs = ds["test_error"][4, 5, :, 2:, -1]
    assert difference[5, 4] == pytest.approx(float((pairs[0] - pairs[1]).mean()), rel=1e-13)


def test_phase_diagram__marks_where_the_difference_is_reversed():
    ds = study()
    ds["test_error"][1, 8, 1] += 0.2
    figure = plot.draw(ds, PhaseDiagram())
    [marks] = [line for line in panels(figure)[2].lines if line.get_gid() == "reverse"]
    paired = analysis.paired_difference(ds, "test_error", "sgd", "sam")
    expected = paired["difference"] < -2 * paired["standard_error"]
    found = {(float(x), float(y)) for x, y in zip(*marks.get_data(), strict=True)}
    assert (float(ds["dimension"][1]), 8.0) in found
    assert len(found) == int(expected.sum())
    assert "Circles in (c): below −2 standard errors" in words(figure)


# -- hatching --------------------------------------------------------------------------------------


def test_phase_diagram__hatches_exactly_where_the_loss_is_high():
    ds, figure = drawn()
    loss = analysis.mean_state(ds, "train_loss").transpose("method", "signal_norm", "dimension")
    high = loss.values >= 0.05
    np.testing.assert_array_equal(hatched(panels(figure)[0], ds), high[0])
    np.testing.assert_array_equal(hatched(panels(figure)[1], ds), high[1])
    np.testing.assert_array_equal(hatched(panels(figure)[2], ds), high[0] | high[1])
    assert not high[0].any()
    assert high[1].any()
    assert not high[1].all()
    assert f"0 for SGD, {high[1].sum()} for SAM, of {high[1].size}" in words(figure)


def test_phase_diagram__hatch_limit_counts_as_high():
    ds = study()
    figure = plot.draw(ds, PhaseDiagram(hatch_loss=float(ds["train_loss"][0, 10, 1, 0, 1])))
    assert hatched(panels(figure)[1], ds).all()
    assert "training loss ≥ 0.02" in words(figure)


def test_phase_diagram__hatching_is_black_on_light_and_white_on_dark():
    colours = {
        matplotlib.colors.to_hex(one.get_edgecolor()) for one in panels(drawn()[1])[1].patches
    }
    assert colours == {"#000000", "#ffffff"}


def test_phase_diagram__without_a_training_loss():
    figure = plot.draw(study().drop_vars("train_loss"), PhaseDiagram())
    assert not any(ax.patches for ax in panels(figure))
    assert "The training loss was not recorded" in words(figure)


# -- lines -----------------------------------------------------------------------------------------


def test_phase_diagram__contours_of_each_method():
    ds, figure = drawn()
    a, b, c = map(lines_at_level, panels(figure))
    contour = analysis.contour(ds, "test_error", 0.1, "signal_norm")
    for line, expected in ((a[0], 0), (b[0], 1), (c[0], 0), (c[1], 1)):
        np.testing.assert_array_equal(line.get_ydata(), contour[:, expected])
    assert (len(a), len(b), len(c)) == (1, 1, 2)
    assert a[0].get_linestyle() == c[0].get_linestyle() != b[0].get_linestyle()
    assert b[0].get_linestyle() == c[1].get_linestyle()


def test_phase_diagram__law_is_fitted_to_the_first_contour():
    ds, figure = drawn()
    contour = analysis.contour(ds, "test_error", 0.1, "signal_norm").sel({"method": "sgd"})
    scale = theory.critical_signal_norm(ds["dimension"], 20, 2, 1.0)
    fit = analysis.fit_critical_constant(contour, scale)
    assert fit.constant == pytest.approx(1.1, rel=0.02)
    assert f"$c={fit.constant:.3g}$ fitted to the contour of SGD (9 points" in words(figure)
    law = [line for line in panels(figure)[0].lines if not line.get_path_effects()]
    x, y = law[0].get_data()
    np.testing.assert_allclose(y, theory.critical_signal_norm(x, 20, 2, 1.0, fit.constant))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any(label.endswith("slope ¼: theory, height: fitted") for label in labels)


def band(ds, **figure):
    """Dimensions between which the band is drawn, and what the caption says of it."""
    drawn = plot.draw(ds, PhaseDiagram(**figure))
    wide = [line for line in panels(drawn)[0].lines if line.get_linewidth() > 4]
    ends = tuple(wide[0].get_xdata()[[0, -1]]) if wide else None
    assert any("theory" in one.get_text() for one in drawn.legends[0].get_texts()) == bool(wide)
    return ends, words(drawn)


def steep(ds):
    """The same results with a contour of SGD that goes like d^½."""
    width = 2.5 * (ds.dimension / 5000) ** 0.5 / np.sqrt(np.log(5))
    error = 0.5 * np.exp(-((ds.signal_norm / width) ** 2))
    ds["test_error"][:, :, 0, :, 1] = error.transpose("dimension", ...).values[..., None]
    return ds


def replanned(ds, **fields):
    plans = {name: [plan[0] | fields] for name, plan in PLANS.items()}
    return ds.assign_attrs(study=told(ds.dimension, ds.signal_norm, plans=plans))


def test_phase_diagram__band_is_of_the_test_error_alone():
    ds = study()
    assert band(ds)[0] == (1000.0, 21000.0)
    ds["clean_test_error"], ds["my_error"] = ds["test_error"], ds["test_error"]
    assert band(ds, variable="clean_test_error")[0] == (1000.0, 21000.0)
    ends, said = band(ds, variable="my_error")
    assert ends is None
    assert "No band of theory" in said
    assert "it is a law of the test error." in said


def test_phase_diagram__band_needs_noise_that_is_fitted_in_many_updates():
    ends, said = band(replanned(study(), learning_rate=20.0))
    assert ends is None
    assert "noise is fitted in 0.001…0.021 updates (one or more assumed)." in said
    # 2.1·200/(0.05·d) updates: one or more up to d = 8400, of columns 1000, 3500, 6000, 8500, …
    ends, said = band(replanned(study(), learning_rate=0.05))
    assert ends == (1000.0, 6000.0)
    assert "(3 points, residuals" in said
    assert "drawn in the regime of the law only: elsewhere noise is fitted in 0.4…0.99" in said


def test_phase_diagram__band_needs_finished_training_and_small_outputs():
    ds = study()
    ds["train_loss"][:, :, 0, :, 1] = 0.2
    ends, said = band(ds)
    assert ends is None
    assert "the training loss is 0.2." in said
    ends, said = band(study().drop_vars("train_loss"))
    assert ends is None
    assert "without the training loss it is not known where training finished" in said
    large = study()
    large.attrs["study"] = told(large.dimension, large.signal_norm, init_std=0.05)
    ends, said = band(large)
    assert ends is None
    assert "initial outputs are 0.5" in said


def test_phase_diagram__band_needs_a_contour_that_follows_it():
    ds = steep(study())
    ends, said = band(ds)
    assert ends is None
    assert re.search(r"the contour of SGD \(9 points\) is \d+.\d% off it, more than 5%\.", said)


def test_phase_diagram__band_is_that_of_sgd_and_of_what_is_derived():
    ends, said = band(study(), compare=("sam", "sgd"))
    assert ends is None
    assert "SAM perturbs, the law is that of SGD" in said
    ends, said = band(replanned(study(), momentum=0.9))
    assert ends is None
    assert "none is derived for momentum = 0.9" in said
    ds = study()
    del ds.attrs["study"]
    ends, said = band(ds)
    assert ends is None
    assert "the results do not say how they were trained" in said


def test_phase_diagram__no_law_on_other_axes():
    ds = study()
    figure = plot.draw(ds, PhaseDiagram(x="signal_norm", y="dimension"))
    assert "fitted" not in words(figure)
    assert len(figure.legends[0].get_texts()) < 4


def test_phase_diagram__law_follows_a_parameter_given_by_a_formula():
    ds = study()
    ds = ds.assign_coords(n_samples=("dimension", np.arange(12, 21), ds["n_samples"].attrs))
    figure = plot.draw(ds, PhaseDiagram())
    assert "$n$ = 12…20" in words(figure)
    assert "fitted to the contour" in words(figure)
    varies = ds.assign_coords(n_samples=("signal_norm", np.arange(10, 21), ds["n_samples"].attrs))
    assert "fitted" not in words(plot.draw(varies, PhaseDiagram()))


# -- the caption -----------------------------------------------------------------------------------


def test_phase_diagram__caption():
    said = words(plot.draw(study(), PhaseDiagram(level=0.2)))
    for part in (
        "(a) SGD, (b) SAM: mean test error over 5 replicates; (c) SGD minus SAM",
        "$n$ = 20, $m$ = 10, $P$ = 2, $σ_p$ = 1.",
        "contours at 0.2.",
        "mean training loss ≥ 0.05",
        f"Study phase_diagram, seed 3, fingerprint {FINGERPRINT[:12]}.",
    ):
        assert part in said
    assert FINGERPRINT[:13] not in said


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_phase_diagram__text_fits_and_does_not_overlap(number):
    names = ("sgd", "sam", "other", "SAM 0.1", "last")[:number]
    figure = plot.draw(study(methods=names), PhaseDiagram())
    assert figure.get_size_inches()[0] == 7.0
    renderer = painted(figure)
    blocks = [figure.legends[0], *figure.texts]
    for ax in figure.axes:
        blocks += [ax.xaxis.label, ax.title]
        low, high = ax.get_xlim()
        ticks = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
        if ax.xaxis.get_tick_params()["labelbottom"]:
            blocks += [text for tick, text in ticks if low <= tick <= high]
    blocks = [block for block in blocks if block in figure.legends or block.get_text()]
    boxes = [block.get_window_extent(renderer) for block in blocks]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y0 >= 0
        assert not any(box.overlaps(other) for other in boxes[:i]), blocks[i]
    sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text)]
    assert min(sizes) >= 7


# -- small grids and what cannot be drawn ----------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 6), (6, 1)])
def test_phase_diagram__smoke_grids(shape, tmp_path):
    d, mu = np.linspace(1000, 21000, shape[0]), np.linspace(0, 10, shape[1])
    figure = plot.draw(study(d, mu, replicates=1), PhaseDiagram())
    if shape == (1, 1):
        plot.save(figure, tmp_path / "smoke")
    else:
        painted(figure)
    assert cells(panels(figure)[0]).shape == shape[::-1]
    if shape[0] <= 3:
        assert panels(figure)[0].get_xticks().tolist() == d.tolist()
    assert "over 1 replicate;" in words(figure)
    assert "Fewer than two pairs of runs give no standard error" in words(figure)
    if shape[1] == 1:
        assert "SGD has no contour" in words(figure)
        assert "cannot be fitted" in words(figure)
    else:
        told_so = f"({shape[0]} point" if shape[0] > 1 else "one point of a contour has no slope"
        assert told_so in words(figure)


def test_phase_diagram__contour_of_one_column_is_a_dash():
    [line] = lines_at_level(panels(plot.draw(study([1000.0]), PhaseDiagram()))[0])
    x, y = line.get_data()
    assert x[0] < 1000 < x[1]
    assert y[0] == y[1]


def test_phase_diagram__level_out_of_reach():
    figure = plot.draw(study(), PhaseDiagram(level=0.9))
    assert "SGD has no contour: in no column does its mean fall to 0.9." in words(figure)
    assert "cannot be fitted" in words(figure)


def test_phase_diagram__nothing_computed_yet(tmp_path):
    ds = study()
    ds["status"][:] = 0
    ds["test_error"][:] = np.nan
    ds["train_loss"][:] = np.nan
    figure = plot.draw(ds, PhaseDiagram())
    plot.save(figure, tmp_path / "empty")
    assert np.isnan(cells(panels(figure)[0])).all()


def test_phase_diagram__one_method():
    figure = plot.draw(study(methods=("sam",)), PhaseDiagram())
    assert [ax.get_title() for ax in panels(figure)] == ["(a) SAM"]
    assert "(c)" not in words(figure)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"x": "dimensoin"}, "figure.x = 'dimensoin': not swept; did you mean 'dimension'"),
        ({"y": "dimension"}, "figure.y = 'dimension'"),
        ({"compare": ("sgd", "smm")}, "figure.compare: no method 'smm'; did you mean 'sam'"),
        ({"variable": "tset_error"}, "did you mean 'test_error'"),
    ],
)
def test_phase_diagram__bad_input(fields, message):
    with pytest.raises(InputError, match=message):
        plot.draw(study(), PhaseDiagram(**fields))


def test_phase_diagram__third_swept_parameter():
    ds = xr.concat([study().drop_vars("n_samples")] * 2, xr.Variable("n_samples", [10, 20]))
    with pytest.raises(InputError, match="n_samples is swept, but on no axis"):
        plot.draw(ds, PhaseDiagram())
    figure = plot.draw(ds.isel(n_samples=[1]), PhaseDiagram())
    assert "$n$" not in words(figure) or "20" in words(figure)


# -- files -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The files of a phase diagram."""
    return plot.save(drawn()[1], tmp_path_factory.mktemp("one") / "map.png")


def test_save__same_bytes_twice(saved, tmp_path):
    second = plot.save(plot.draw(study(), PhaseDiagram()), tmp_path / "map")
    assert [path.name for path in saved] == [path.name for path in second] == ["map.png", "map.pdf"]
    for a, b in zip(saved, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert b"CreationDate" not in saved[1].read_bytes()
    assert sorted(path.name for path in saved[0].parent.iterdir()) == ["map.pdf", "map.png"]


def test_save__readers_settings_change_nothing(saved, tmp_path):
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 10}):
        [other, _] = plot.save(plot.draw(study(), PhaseDiagram()), tmp_path / "other")
    assert saved[0].read_bytes() == other.read_bytes()


def test_save__keeps_dots_in_the_name(tmp_path):
    png, pdf = plot.save(matplotlib.figure.Figure((1, 1)), tmp_path / "phase.v2")
    assert (png.name, pdf.name) == ("phase.v2.png", "phase.v2.pdf")


def test_save__embeds_truetype_fonts(saved):
    assert b"/Type3" not in saved[1].read_bytes()


def test_plot__leaves_the_global_state_alone():
    code = (
        "import sys, simdyn.plot as p; "
        "assert 'matplotlib.pyplot' not in sys.modules; "
        "assert not any(name in sys.modules for name in ('numba', 'zarr'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    before = dict(matplotlib.rcParams)
    plot.draw(study(), PhaseDiagram())
    assert dict(matplotlib.rcParams) == before


# A notebook's backend, which need not be installed here; a name unknown to matplotlib; a module
# that is not there; a backend that needs a screen.
BACKENDS = ("module://matplotlib_inline.backend_inline", "nonsense", "module://nonsense", "TkAgg")
DRAWN = """\
replicates = 2
[data]
n_samples = 4
noise_std = 1.0
signal_norm = 1.0
[network]
n_filters = 2
init_std = 0.01
[methods]
sgd = [{ optimiser = "SGD", learning_rate = 0.1, epochs = 3 }]
[space]
dimension = [20, 30]
[figure]
kind = "curves"
x = "dimension"
"""


def with_backend(backend, *code, cwd=None):
    """Output of Python code run where MPLBACKEND has this value."""
    environment = {**os.environ, "MPLBACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", *code],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_backend__import_needs_none_and_leaves_the_environment_alone(backend):
    code = (
        "import os, simdyn.plot, sys; assert 'matplotlib.pyplot' not in sys.modules; "
        "import matplotlib; print(os.environ['MPLBACKEND'], matplotlib.rcParams._get('backend'))"
    )
    value, set_to = with_backend(backend, code).split(maxsplit=1)
    assert value == backend
    inline = importlib.util.find_spec("matplotlib_inline") is not None
    known = backend != "nonsense" and (inline or "inline" not in backend)
    # If it is not known, matplotlib chooses when asked.
    assert (set_to.strip().lower() == backend.lower()) == known


def test_backend__a_reader_keeps_the_one_that_is_installed(tmp_path):
    code = "import simdyn.plot, matplotlib; print(matplotlib.get_backend())"
    assert with_backend("svg", code).strip() == "svg"
    (tmp_path / "of_notebook.py").write_text("FigureCanvas = 1 / 0\n")
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    assert with_backend("module://of_notebook", path + code).strip() == "module://of_notebook"


def test_backend__run_and_plot_draw_the_same_bytes_whatever_it_is(tmp_path):
    (tmp_path / "small.toml").write_text(DRAWN)
    main = "import sys; from simdyn.cli import main; sys.exit(main())"
    png = tmp_path / "figures" / "small.png"
    found = set()
    for command, backend in (("run", BACKENDS[0]), ("plot", BACKENDS[1])):
        with_backend(backend, main, command, "small.toml", cwd=tmp_path)
        found.add(png.read_bytes())
        png.unlink()
    assert call("plot", tmp_path / "small.toml", "--out", tmp_path).code == 0
    assert {*found, png.read_bytes()} == found
    assert len(found) == 1


# -- parts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("", ""),
        ("d", "$d$"),
        ("σ_p", "$σ_p$"),
        ("‖μ‖", r"$\Vert μ\Vert $"),
        ("L₀₋₁", "$L_{0-1}$"),
        ("F₊₁", "$F_{+1}$"),
    ],
)
def test_math_symbol(symbol, expected):
    assert artists.math_symbol(symbol) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 10, 100], True),
        ([10, 18, 32, 56, 100], True),  # rounded to whole numbers
        ([1000, 2000, 3000], False),
        ([0, 1, 10], False),
        ([1, 10], False),
        ([5], False),
    ],
)
def test_is_geometric(values, expected):
    assert is_geometric(np.array(values)) is expected


def test_cell_edges():
    np.testing.assert_allclose(scales.cell_edges(np.array([0, 1, 3])), [-0.5, 0.5, 2, 4])
    np.testing.assert_allclose(scales.cell_edges(np.array([1, 100, 10000])), [0.1, 10, 1e3, 1e5])
    np.testing.assert_allclose(scales.cell_edges(np.array([3, 5])), [2, 4, 6])
    np.testing.assert_allclose(scales.cell_edges(np.array([1, 4]), "log"), [0.5, 2, 8])
    np.testing.assert_allclose(scales.cell_edges(np.array([4])), [2, 6])
    np.testing.assert_allclose(scales.cell_edges(np.array([0])), [-0.5, 0.5])


def test_polyline__shows_points_that_stand_alone():
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    xs, ys = artists.polyline(x, np.array([5.0, np.nan, 7.0, 8.0, np.nan]))
    np.testing.assert_array_equal(xs, [-0.5, 0.5, 1, 2, 3, 4])
    np.testing.assert_array_equal(ys, [5, 5, np.nan, 7, 8, np.nan])


def test_colours__lightness_falls_all_the_way():
    rgb = matplotlib.colormaps[artists.COLOURS](np.linspace(0, 1, 256))[:, :3]
    grey = rgb @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(grey) < 0.002)
    assert grey[0] - grey[-1] > 0.7


def test_phase_diagram__the_law_is_that_of_the_activation():
    ds = steep(study(signal_norm=np.linspace(0, 10, 41)))
    ds = ds.assign_coords(activation="relu_power", activation_shape=2.5)
    figure = plot.draw(ds, PhaseDiagram())
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any("d^{1/2}n^{-1/q}" in label and "slope ½" in label for label in labels)
    assert "activation relu power (2.5)" in words(figure)
    line = panels(figure)[0].lines[0]
    x, y = line.get_data()
    shape = theory.critical_signal_norm_power(x, 20, 2, 1.0, 2.5)
    np.testing.assert_allclose(y / shape, (y / shape)[0], rtol=1e-6)
    other = plot.draw(study().assign_coords(activation="huber_relu"), PhaseDiagram())
    assert "fitted" not in words(other)
    assert not any("theory" in text.get_text() for text in other.legends[0].get_texts())


# -- curves ----------------------------------------------------------------------------------------


def schedule_study():
    """A study over a name that only formulas read: SAM for a share of ten epochs."""
    sgd = {"optimiser": "SGD", "learning_rate": 0.05, "epochs": "10*(1 - SAM_share)"}
    sam = {"optimiser": "SAM", "radius": 0.1, "learning_rate": 0.05, "epochs": "10*SAM_share"}
    return Study(
        {"n_samples": 6, "dimension": 200, "signal_norm": 2.0},
        {"n_filters": 2, "init_std": 1e-2},
        {"first": [sam, sgd], "last": [sgd, sam]},
        {"SAM_share": [0.0, 0.3, 1.0]},
        replicates=4,
        figure=Curves(x="SAM_share", variables=("test_error", "train_loss")),
    )


@pytest.fixture(scope="module")
def schedules():
    return schedule_study().run()


def test_curves__shows_means_and_two_standard_errors(schedules):
    figure = plot.draw(schedules, Curves(x="SAM_share", variables=("test_error", "train_loss")))
    assert len(figure.axes) == 2
    for ax, name in zip(figure.axes, ("test_error", "train_loss"), strict=True):
        for k, method in enumerate(("first", "last")):
            bars = ax.containers[k]
            states = schedules[name].sel({"method": method}).isel(step=-1)
            at, mean = bars.lines[0].get_data()
            np.testing.assert_allclose(at, [0.0, 0.3, 1.0])
            np.testing.assert_allclose(mean, states.mean("replicate"), rtol=1e-12)
            ends = np.array(bars.lines[2][0].get_segments())[:, :, 1]
            error = states.std("replicate", ddof=1).values / 2.0  # √4 replicates
            np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 4 * error, rtol=1e-9)


def test_curves__tells_how_each_method_trains(schedules):
    said = words(plot.draw(schedules, Curves(x="SAM_share")))
    assert "SAM $τ$ = 0.1, $η$ = 0.05, full batch, 10*SAM_share epochs, then SGD" in said
    assert "mean over 4 replicates; bars: two standard errors" in said
    assert str(schedules.attrs["fingerprint"])[:12] in said


def test_curves__one_replicate_has_no_bars(schedules):
    one = schedules.isel(replicate=[0])
    figure = plot.draw(one, Curves(x="SAM_share", scale="log"))
    assert figure.axes[0].get_yscale() == "log"
    assert "standard errors" not in words(figure)
    assert not any(bars.has_yerr for bars in figure.axes[0].containers)


def marks(ax, gid):
    return [artist for artist in ax.get_children() if artist.get_gid() == gid]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def end_badly(ds, at, code):
    """A copy in which the runs at an index (point, method, replicate) have ended so."""
    ended = ds.copy(deep=True)
    ended["status"][at] = code
    for name in ("test_error", "train_loss"):
        ended[name][at] = np.nan
    return ended


def test_curves__of_all_runs_have_no_marks(schedules):
    figure = plot.draw(schedules, Curves(x="SAM_share"))
    [ax] = figure.axes
    assert not marks(ax, "fewer runs")
    assert not marks(ax, "no run")
    assert legend(figure) == ["first", "last"]
    for word in ("finished", "Left out", "Rings", "masked", "Not drawn"):
        assert word not in words(figure)


def test_curves__a_point_of_fewer_runs_has_a_ring_and_its_number(schedules):
    failed = end_badly(schedules, (1, 0, slice(1, 3)), 3)
    figure = plot.draw(failed, Curves(x="SAM_share"))
    [ax] = figure.axes
    [ring] = marks(ax, "fewer runs")
    mean = schedules.test_error[1, 0, [0, 3], -1].mean()
    np.testing.assert_allclose(ring.get_data(), ([0.3], [mean]), rtol=1e-14)
    assert "mean over the runs that finished (2–4 of 4)" in words(figure)
    assert "Rings: fewer runs in the mean (first 2 at 0.3 of SAM_share)." in words(figure)
    assert "Left out: 2 runs of 24 (2 non-finite)." in words(figure)
    assert "some runs did not finish" in legend(figure)
    assert "replicates" not in words(figure)


def test_curves__a_stretch_without_a_run_is_hatched_and_on_the_axis(schedules):
    failed = end_badly(end_badly(schedules, (slice(1, 3), 1), 3), (2, 0), 4)
    figure = plot.draw(failed, Curves(x="SAM_share"))
    [ax] = figure.axes
    stretches = marks(ax, "no run")
    assert [(one.get_x(), one.get_x() + one.get_width()) for one in stretches] == [
        (pytest.approx(0.65), pytest.approx(1.35)),  # cells around 0.3 and 1, and around 1
        (pytest.approx(0.15), pytest.approx(1.35)),
    ]
    assert len({one.get_hatch() for one in stretches}) == 2
    assert all(one.get_hatch() for one in stretches)
    low, high = ax.get_xlim()
    assert low <= 0.0
    assert high >= 1.0
    assert np.isnan(ax.containers[0].lines[0].get_ydata()).tolist() == [False, False, True]
    assert np.isnan(ax.containers[1].lines[0].get_ydata()).tolist() == [False, True, True]
    assert {"first: no run finished", "last: no run finished"} <= set(legend(figure))
    assert "mean over the runs that finished (0–4 of 4)" in words(figure)
    assert "Left out: 12 runs of 24 (8 non-finite, 4 failed)." in words(figure)


def test_curves__masked_points_are_a_gap_and_no_failure(schedules):
    masked = end_badly(schedules, slice(2, 3), 5)
    figure = plot.draw(masked, Curves(x="SAM_share"))
    [ax] = figure.axes
    assert not marks(ax, "no run")
    assert ax.get_xlim()[1] >= 1.0
    assert "mean over 4 replicates" in words(figure)
    assert "8 runs masked by the study, not computed." in words(figure)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_curves__nothing_computed_yet(schedules, scale, tmp_path):
    missing = end_badly(schedules, slice(None), 0)
    figure = plot.draw(missing, Curves(x="SAM_share", scale=scale))
    plot.save(figure, tmp_path / "empty")
    assert len(marks(figure.axes[0], "no run")) == 2
    assert "the runs that finished (0 of 4)" in words(figure)
    assert "(24 not computed yet)" in words(figure)


def test_curves__many_points_of_fewer_runs_are_summed_up():
    rates = np.geomspace(0.01, 1000, 11)
    ds = Study(
        {"n_samples": 4, "dimension": 20, "signal_norm": 1.0, "noise_std": 1.0},
        {"n_filters": 2, "init_std": 0.05},
        {"sgd": [{"optimiser": "SGD", "epochs": 2}]},
        {"learning_rate": rates},
        replicates=3,
    ).run()
    ds["status"][1:10, 0, 2] = 3
    ds["status"][4, 0, 1] = 3
    said = words(plot.draw(ds, Curves(x="learning_rate")))
    assert "(SGD 1–2 at 9 values of $η$)" in said


def test_curves__says_what_is_not_drawn(schedules):
    assert "Not drawn: last." in words(
        plot.draw(schedules, Curves(x="SAM_share", compare=("first",)))
    )


def test_curves__more_methods_than_it_can_tell_apart(schedules):
    many = xr.concat([schedules] * 4, "method", data_vars="all").assign_coords(
        method=[f"m{k}" for k in range(8)]
    )
    with pytest.raises(
        InputError, match=r"figure\.compare: there are 8 methods; allowed is .* up to 6"
    ):
        plot.draw(many, Curves(x="SAM_share"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"x": "SAM_shar"}, "figure.x = 'SAM_shar': not swept; did you mean 'SAM_share'?"),
        ({"x": "SAM_share", "compare": ("first", "lst")}, "no method 'lst'; did you mean"),
        ({"x": "SAM_share", "variables": ("eror",)}, "figure.variables = 'eror': not recorded"),
    ],
)
def test_curves__names_what_is_missing(schedules, options, said):
    with pytest.raises(InputError, match=re.escape(said)):
        plot.draw(schedules, Curves(**options))


def test_draw__every_kind_of_figure_has_its_function():
    assert tuple(PICTURES) == items("phase_diagram  curves  critical_lines  trajectories  collapse")
    for kind in PICTURES:
        assert callable(getattr(importlib.import_module(f"simdyn.plot.{kind}"), kind))


# -- trajectories ----------------------------------------------------------------------------------

ALL_PANELS = items(
    "train_loss  test_error  signal_coef  noise_coef  deactivated_fraction  sharpness  sam_gap"
)


def course_study(variables=ALL_PANELS, **changes):
    options = {
        "replicates": 3,
        "record": Record(log_spaced=9, variables=variables, probe_radius=0.02),
        "figure": Trajectories(),
    }
    return Study(
        {"n_samples": 8, "dimension": 400, "signal_norm": 2.0},
        {"n_filters": 4, "init_std": 1e-3},
        {
            "sgd": [SGD(learning_rate=0.01, epochs=400, batch_size=4)],
            "sam": [SAM(radius=0.03, learning_rate=0.01, epochs=400, batch_size=4)],
        },
        **{**options, **changes},
    )


@pytest.fixture(scope="module")
def course():
    return course_study().run()


def vertical_lines(ax):
    return {line.get_gid(): line.get_xdata()[0] for line in ax.lines if line.get_gid()}


def test_trajectories__a_panel_for_each_thing_recorded(course):
    titles = [ax.get_title() for ax in plot.draw(course, Trajectories()).axes]
    assert titles == [
        "(a) SGD: growth",
        "(b) SAM: growth",
        "(c) training loss, test error",
        "(d) deactivated fraction",
        "(e) sharpness",
        "(f) SAM gap",
    ]
    few = plot.draw(course[["sharpness", "status"]], Trajectories(panels=("sharpness",)))
    assert [ax.get_title() for ax in few.axes] == ["(a) sharpness"]


def test_trajectories__overlaid_methods_are_below_those_of_their_place():
    sgd = SGD(learning_rate=0.05, epochs=2000)
    methods = {
        "sgd": [sgd.replace(stepping="strides")],
        "sam": [SAM(radius=0.01, learning_rate=0.05, epochs=2000)],
        "sgd_exact": [sgd.replace(epochs=1000)],
    }
    figure = Trajectories(
        compare=("sgd", "sam"),
        overlay=("sgd_exact",),
        panels=("growth", "losses", "switching_fraction"),
    )
    record = Record(log_spaced=6, variables=(*figure.shown, "strides"))
    data = {"n_samples": 4, "dimension": 100, "signal_norm": 2.0}
    net = {"n_filters": 3, "init_std": 1e-3}
    ds = Study(data, net, methods, replicates=2, record=record, figure=figure).run()
    drawn = plot.draw(ds, figure)
    titles = [ax.get_title() for ax in drawn.axes]
    assert titles[-1] == "(d) switching activations"
    below = [line for line in drawn.axes[2].lines if line.get_zorder() < 1]
    loss, error = (ds[name].sel({"method": "sgd_exact"}) for name in ("train_loss", "test_error"))
    for line, values in zip(below, (loss, error), strict=True):
        np.testing.assert_allclose(line.get_ydata(), values.mean("replicate"))
        assert line.get_xdata()[-1] == 1000
    caption = " ".join(text.get_text() for text in drawn.texts)
    assert "not drawn" not in caption.lower()
    with pytest.raises(InputError, match=r"figure\.overlay: no method 'sdg'"):
        plot.draw(ds, Trajectories(overlay=("sdg",)))


def test_trajectories__growth_is_that_of_the_largest_coefficients(course):
    ax = plot.draw(course, Trajectories()).axes[1]
    one = course.sel({"method": "sam"})
    signal = one.signal_coef.max(("sign", "filter")).mean("replicate")
    noise = one.noise_coef.max(("sign", "filter", "sample")).mean("replicate")
    fall = (-one.noise_coef).max(("sign", "filter", "sample")).mean("replicate")
    for line, array in zip(ax.lines, (signal, noise, fall), strict=False):
        np.testing.assert_allclose(line.get_ydata()[1:], array[1:], rtol=1e-12)
        np.testing.assert_array_equal(line.get_xdata()[1:], one["updates"][1:])
        assert np.isnan(line.get_ydata()[0]), "a coefficient of zero has no place in logarithms"


def test_trajectories__marks_the_predicted_times_in_updates(course):
    figure = plot.draw(course, Trajectories())
    epochs = theory.noise_time(400, 4, 0.01, 2, 1.0, 4)
    for ax in figure.axes[:2]:
        assert vertical_lines(ax)["time of largest_noise"] == pytest.approx(2 * epochs)
    signal = 2 * theory.signal_time(8, 4, 0.01, 2.0, 4)
    assert ("time of largest_signal" in vertical_lines(figure.axes[0])) == (signal < 800)


def test_trajectories__the_law_is_for_the_radius_that_is_probed(course):
    levels = [line for line in plot.draw(course, Trajectories()).axes[3].lines if line.get_gid()]
    assert levels[0].get_ydata()[0] == pytest.approx(
        theory.deactivation_probability(0.02, 1e-3, 4, 4)
    )
    alone = Trajectories(panels=("deactivated_fraction",))
    record = Record(log_spaced=9, variables=("deactivated_fraction",))
    own = course_study(record=record, figure=alone).run()
    [ax] = plot.draw(own, alone).axes
    [level] = [line for line in ax.lines if line.get_gid()]
    assert level.get_ydata()[0] == pytest.approx(theory.deactivation_probability(0.03, 1e-3, 4, 4))


def test_trajectories__one_meaning_for_each_line_style(course):
    figure = plot.draw(course, Trajectories())
    grey = artists.entry("", color="#8c8c8c").get_color()

    def look(line):
        return line.get_linestyle(), line.get_marker() or "None", line.get_color()

    legend = {
        text.get_text(): look(line)
        for text, line in zip(
            figure.legends[0].get_texts(), figure.legends[0].get_lines(), strict=True
        )
    }
    assert len(set(legend.values())) == len(legend) == 7
    assert list(legend)[:2] == ["SGD", "SAM"]
    styles = [legend["SGD"][0], legend["SAM"][0]]
    markers = {name: shown[1] for name, shown in legend.items()}
    growth = [r"$\max\,\gamma$", r"$\max\,\bar{\rho}$", r"$\max\,-\underline{\rho}$"]
    for k, ax in enumerate(figure.axes[:2]):  # a panel for each method, all lines in its style
        drawn = [line for line in ax.lines if line.get_color() == "black"]
        assert [line.get_linestyle() for line in drawn] == [styles[k]] * 3
        assert [line.get_marker() for line in drawn] == [markers[name] for name in growth]
    losses = [look(line)[:2] for line in figure.axes[2].lines]
    plain, cross = markers["SGD"], markers["test error"]
    assert losses == [
        (styles[0], plain),
        (styles[1], plain),
        (styles[0], cross),
        (styles[1], cross),
    ]
    for ax in figure.axes[3:]:
        drawn = [line for line in ax.lines if line.get_color() == "black"]
        assert [look(line)[:2] for line in drawn] == [(style, plain) for style in styles]
    for ax in figure.axes:
        for line in ax.lines:
            predicted = bool(line.get_gid())
            assert not predicted or look(line) == legend["predicted"]
            assert line.get_color() in ("black", grey)


def test_trajectories__records_what_it_shows_unless_told():
    study = course_study(record=None)
    assert set(ALL_PANELS) < set(study.variables)
    assert study.record.log_spaced == 100
    timed = course_study(record=Record(every=100))
    assert (timed.record.log_spaced, timed.states) == (None, 5)
    assert set(ALL_PANELS) < set(timed.variables)
    some = course_study(record=Record(variables=ALL_PANELS[:4]))
    assert set(some.variables) == {*ALL_PANELS[:4], "status", "status_step"}
    plain = course_study(record=None, figure=None)
    assert plain.states == 1
    assert "noise_coef" not in plain.variables


def test_study__records_what_its_figure_shows():
    space = {"space": {"dimension": [10, 20]}, "record": None}
    maps = {"space": {"dimension": [10, 20], "signal_norm": [1.0, 2.0]}, "record": None}
    assert (
        "sam_gap"
        in course_study(**space, figure=Curves(x="dimension", variables=("sam_gap",))).variables
    )
    assert "sharpness" in course_study(**maps, figure=PhaseDiagram(variable="sharpness")).variables
    usual = course_study(**space, figure=Curves(x="dimension"))
    assert usual.fingerprint == course_study(**space, figure=None).fingerprint


def test_trajectories__needs_only_what_the_data_and_network_have():
    methods = {"sgd": [SGD(learning_rate=0.01, epochs=40)]}
    size = {"n_samples": 8, "dimension": 400, "signal_norm": 2.0}
    smooth = Study(
        size,
        {"n_filters": 4, "init_std": 1e-3, "activation": "huber_relu"},
        methods,
        figure=Trajectories(),
    )
    assert "sharpness" not in smooth.variables
    assert "noise_coef" in smooth.variables
    with pytest.raises(InputError, match=r"figure.panels: 'sharpness' shows sharpness, which can"):
        Study(
            size,
            {"n_filters": 4, "init_std": 1e-3, "activation": "huber_relu"},
            methods,
            figure=Trajectories(panels=("sharpness",)),
        )
    cluster = Study(
        {"model": "cluster", **size},
        {"n_filters": 4, "init_std": 1e-3},
        methods,
        figure=Trajectories(),
    )
    figure = plot.draw(cluster.run(), Trajectories())
    titles = [ax.get_title() for ax in figure.axes]  # with one patch a sample there is no γ or ρ
    assert titles == ["(a) training loss, test error", "(b) sharpness", "(c) SAM gap"]


DATA, SMALL_NET = (
    simdyn.SignalNoiseData(n_samples=8, dimension=400, signal_norm=2.0),
    simdyn.TwoLayerCNN(n_filters=4, init_std=1e-3),
)
BOTH = [SAM(radius=0.03, learning_rate=0.01, epochs=200), SGD(learning_rate=0.01, epochs=200)]


def simulated(plan, **options):
    return simdyn.simulate(DATA, SMALL_NET, plan, replicates=3, **options)


def test_trajectories__of_simulate_are_those_of_the_study(course):
    plan = [SGD(learning_rate=0.01, epochs=400, batch_size=4)]
    record = Record(log_spaced=9, variables=ALL_PANELS, probe_radius=0.02)
    ds = simulated(plan, record=record)
    one, other = (plot.draw(found, Trajectories()) for found in (ds, course.sel({"method": "sgd"})))
    assert [ax.get_title() for ax in one.axes] == [ax.get_title() for ax in other.axes]
    assert one.axes[0].get_title() == "(a) SGD: growth"
    for first, second in zip(one.axes, other.axes, strict=True):
        assert vertical_lines(first) == vertical_lines(second)
        for line, same in zip(first.lines, second.lines, strict=True):
            np.testing.assert_array_equal(line.get_xydata(), same.get_xydata())
    assert "$n$ = 8, $m$ = 4" in words(one)
    assert "SGD $η$ = 0.01, $B$ = 4, 400 epochs" in words(one)
    assert "Seed 0." in words(one)


def test_trajectories__of_simulate_with_any_dims():
    ds = simulated(BOTH)  # by default: all but sharpness
    titles = [ax.get_title() for ax in plot.draw(ds, Trajectories()).axes]
    assert titles[0] == "(a) SAM, then SGD: growth"
    assert titles[1:] == [
        "(b) training loss, test error",
        "(c) deactivated fraction",
        "(d) SAM gap",
    ]
    one = plot.draw(ds.isel(replicate=0), Trajectories())
    assert "Means over 1 replicate;" in words(one)
    named = plot.draw(ds.assign_coords(method="mine"), Trajectories())
    assert named.axes[0].get_title() == "(a) mine: growth"
    pair = xr.concat([ds, simulated(BOTH[::-1])], dim="method", coords="minimal", compat="override")
    pair = pair.assign_coords(method=["both", "plain"])
    figure = plot.draw(pair, Trajectories())
    assert [ax.get_title() for ax in figure.axes[:2]] == ["(a) both: growth", "(b) plain: growth"]
    assert not any(map(vertical_lines, figure.axes)), "attributes of one tell nothing of the other"


def test_trajectories__of_train():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2, 30)), np.array([1, -1, 1, -1, 1, -1])
    problem = simdyn.Problem.from_patches(x, y, 0.01 * rng.normal(size=(2, 3, 30)))
    figure = plot.draw(simdyn.train(problem, SGD(learning_rate=0.1, epochs=30)), Trajectories())
    assert figure.axes[0].get_title() == "(a) training loss"
    assert "SGD $η$ = 0.1, full batch, 30 epochs" in words(figure)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda ds: ds.drop_vars(["noise_coef", "train_loss"]), "needs noise_coef, train_loss too"),
        (lambda ds: ds.drop_vars("status"), "no status 'status'"),
        (lambda ds: ds.drop_vars("updates"), "no coordinate 'updates'"),
        (lambda ds: ds.isel(step=-1), "no dim 'step'"),
        (lambda ds: ds.isel(step=[-1]), "1 recorded state(s)"),
        (lambda ds: ds[["status", "margin"]].assign_attrs(call="{}"), "sharpness, sam_gap too"),
        (lambda ds: ds.expand_dims(dimension=[1, 2]), "dimension is swept"),
    ],
)
def test_trajectories__names_what_results_lack(spoil, said):
    ds = simulated(BOTH)
    assert said in refusal(plot.draw, spoil(ds), Trajectories())
    with pytest.raises(InputError, match="needs sharpness too"):
        plot.draw(ds, Trajectories(panels=("sharpness",)))


def test_trajectories__say_when_runs_are_missing_behind_a_mean(course):
    lost = course.copy(deep=True)
    lost["status"][1, 0] = 3  # of SAM
    for name in ALL_PANELS:
        lost[name].values[1, 0, 4:] = np.nan
    figure = plot.draw(lost, Trajectories())
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries[:2] == ["SGD", "SAM (2 of 3 runs)"]
    assert "Means over the runs that finished (2–3 of 3); bands" in words(figure)
    assert "Left out: 1 run of 6 (1 non-finite)." in words(figure)
    assert not any(marks(ax, "no run") for ax in figure.axes)
    kept = lost.train_loss[1, 1:].mean("replicate")
    np.testing.assert_allclose(figure.axes[2].lines[1].get_ydata(), kept, rtol=1e-12)
    lost["status"][1] = 3
    lost["noise_coef"][1] = np.inf
    figure = plot.draw(lost, Trajectories())
    assert "SAM (0 of 3 runs)" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert np.isfinite(figure.axes[0].get_ylim()).all()
    assert [bool(marks(ax, "no run")) for ax in figure.axes[:3]] == [False, True, False]
    assert "Means over 3 replicates" in words(plot.draw(course, Trajectories()))


def test_trajectories__say_which_methods_are_not_drawn(course):
    third = course.sel({"method": ["sgd"]}).assign_coords(method=["third"])
    more = xr.concat([course, third], "method", data_vars="minimal")
    assert "Not drawn: third." in words(plot.draw(more, Trajectories()))


def test_trajectories__of_a_point_chosen_from_a_larger_study():
    """Predictions are those of that point, whose rates a formula gives."""
    fields = {"optimiser": "SGD", "learning_rate": "10/dimension", "epochs": 100}
    swept = Study(
        {"n_samples": 8, "signal_norm": 2.0},
        {"n_filters": 4, "init_std": 1e-3},
        {"sgd": [fields]},
        {"dimension": [400, 1600]},
        record=Record(every=10, variables=ALL_PANELS),
    )
    figure = plot.draw(swept.run().isel(dimension=1), Trajectories())
    signal = theory.signal_time(8, 8, 10 / 1600, 2.0, 4)
    assert f"γ$ after {signal:,.0f}" in words(figure) or f"gamma$ after {signal:,.0f}" in words(
        figure
    )


def test_trajectories__same_results_same_bytes(course, tmp_path):
    first, second = (
        [path.read_bytes() for path in plot.save(plot.draw(course, Trajectories()), tmp_path / n)]
        for n in ("a", "b")
    )
    assert first == second


def test_trajectories__say_which_means_a_logarithmic_axis_lacks(course):
    zeros = course.copy(deep=True)
    for name in ("train_loss", "test_error", "deactivated_fraction", "sharpness", "sam_gap"):
        zeros[name] = xr.ones_like(course[name])
    zeros["deactivated_fraction"].loc[{"method": "sgd"}] = 0.0
    zeros["sam_gap"][{"step": -1}] = -1.0
    states = course.sizes["step"]
    lost = f"Means of zero or less have no place on the logarithmic axes (SGD {states + 1}, SAM 1)"
    assert lost in words(plot.draw(zeros, Trajectories(scale="log")))
    assert "Means of zero" not in words(plot.draw(zeros, Trajectories()))
    assert "Means of zero" not in words(
        plot.draw(zeros, Trajectories(scale="log", panels=("growth", "sharpness")))
    )


def test_trajectories__names_a_method_that_is_missing(course):
    with pytest.raises(InputError, match="no method 'sm'; did you mean 'sam'"):
        plot.draw(course, Trajectories(compare=("sgd", "sm")))


def test_trajectories__predict_nothing_where_nothing_is_derived():
    sam = SAM(radius=0.03, learning_rate=0.01, epochs=40, group_size=1, momentum=0.5)
    other = Study(
        {"n_samples": 8, "dimension": 400, "signal_norm": 2.0},
        {"n_filters": 4, "init_std": 1e-3, "activation": "leaky_relu"},
        {"sgd": [SGD(learning_rate=0.01, epochs=40)], "sam": [sam]},
        record=Record(log_spaced=6, variables=ALL_PANELS),
        figure=Trajectories(),
    )
    figure = plot.draw(other.run(), Trajectories())
    assert not any(vertical_lines(ax) for ax in figure.axes)
    assert "predicted" not in words(figure)
    assert "groups of 1" in words(figure)
    assert "0.5" in words(figure)
    assert not any("predicted" in text.get_text() for text in figure.legends[0].get_texts())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"record": Record(variables=("sharpness",))},
            "record.variables: figure.kind = 'trajectories' needs signal_coef, noise_coef, "
            "train_loss, test_error too",
        ),
        (
            {
                "record": Record(variables=("sharpness", "test_error", "train_loss")),
                "figure": Trajectories(panels=("losses", "sam_gap")),
            },
            "needs sam_gap too",
        ),
        ({"space": {"dimension": [10, 20]}}, "dimension is swept"),
        ({"figure": Trajectories(compare=("sgd", "adam"))}, "no method 'adam'"),
        ({"figure": Curves(x="dimension")}, "figure.x = 'dimension': not swept"),
        ({"figure": Trajectories(compare=("sgd", "sgd"))}, "allowed are distinct names"),
        (
            {
                "space": {"activation": ["relu", "huber_relu"]},
                "figure": Curves(x="activation"),
                "record": Record(),
            },
            "figure.x = 'activation': allowed is a swept parameter with num",
        ),
        ({"space": {"normalised": [True, False]}}, "cannot be swept; give each its method"),
        ({"record": Record(every=400)}, "2 recorded state(s)"),
        (
            {
                "space": {"dimension": [10, 20], "noise_std": [1, 2]},
                "figure": Curves(x="dimension"),
            },
            "noise_std is swept, but on no axis",
        ),
        (
            {"space": {"dimension": [10, 20]}, "figure": Curves(x="dimension", variables=("gap",))},
            "figure.variables = 'gap': not recorded",
        ),
    ],
)
def test_study__refuses_a_figure_that_cannot_show_it(changes, said):
    assert said in refusal(course_study, **changes)


# -- names of methods ------------------------------------------------------------------------------

LABELS = {"sam": r"SAM ($\tau=0.03$)", "sgd": "plain SGD"}


def texts(figure):
    """All titles, legend entries and the caption of a figure."""
    return [
        *(ax.get_title() for ax in figure.axes),
        *(text.get_text() for legend in figure.legends for text in legend.get_texts()),
        words(figure),
    ]


def check_labelled(ds, kind, *places):
    """Labels take the place of the names that a figure has without them, wherever it has these."""
    before, after = texts(plot.draw(ds, kind)), texts(plot.draw(ds, kind.replace(labels=LABELS)))
    assert len(before) == len(after)
    assert any(LABELS["sam"] in text for text in after)
    assert any("plain SGD" in text for text in after)
    for place in places:
        assert place in " ".join(after).replace("\n", " ")
    assert "method_labels" not in ds.attrs


def test_labels__in_a_phase_diagram():
    ds, plain = drawn()
    check_labelled(
        ds,
        PhaseDiagram(),
        r"(c) plain SGD − SAM ($\tau=0.03$)",
        "plain SGD: mean test error = 0.1",
        "cells: 0 for plain SGD",
        "Plain SGD: SGD",
        "the contour of plain SGD",
    )
    check_labelled(ds, PhaseDiagram(compare=("sam",)), "Not drawn: plain SGD.")
    assert painted(plot.draw(ds, PhaseDiagram(labels=LABELS)))
    assert "(a) SGD" in texts(plain)


def test_labels__in_curves():
    ds = study().isel(signal_norm=5)
    ds["status"][2, 1, 0] = 3
    check_labelled(ds, Curves(x="dimension"), r"SAM ($\tau=0.03$) 4 at")


def test_labels__in_trajectories(course):
    check_labelled(course, Trajectories(), "plain SGD: growth", r"SAM ($\tau=0.03$): growth")


def test_labels__in_critical_lines():
    lines = Study(
        {"n_samples": 6},
        {"n_filters": 3, "init_std": 1e-3},
        {
            "sgd": SGD(learning_rate=0.1, epochs=40),
            "sam": SAM(radius=0.03, learning_rate=0.1, epochs=40),
        },
        {"dimension": [300, 600, 1200]},
        solve=simdyn.Crossing(field="signal_norm", between=(0.1, 100.0), replicates=4),
    )
    check_labelled(lines.run(), PICTURES["critical_lines"](), "replicates): plain SGD ")


def test_labels__are_refused_where_no_method_has_the_name_or_nothing_can_be_set():
    ds, _ = drawn()
    message = refusal(plot.draw, ds, PhaseDiagram(labels={"sma": "SAM"}))
    assert message.startswith("figure.labels = 'sma': no such method; did you mean 'sam'?")
    message = refusal(plot.draw, ds, PhaseDiagram(labels={"sam": r"SAM $\tua$"}))
    assert message.startswith("figure.labels.sam = ")
    assert "cannot be set" in message
    assert "no such method" in refusal(course_study, figure=Trajectories(labels={"a": "b"}))
    lines = PICTURES["critical_lines"](labels={"a": "b"})
    solve = simdyn.Crossing(field="signal_norm", between=(0.1, 9.0), replicates=2)
    assert "figure.labels = 'a'" in refusal(
        Study,
        {"n_samples": 6},
        {"n_filters": 3, "init_std": 1e-3},
        {"sgd": PLANS["sgd"]},
        {"dimension": [300, 600]},
        solve=solve,
        figure=lines,
    )
