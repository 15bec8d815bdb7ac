"""Means, differences, contours and constants read off results."""

import numpy as np
import pytest
import xarray as xr

import simdyn
from simdyn.base.inputs import InputError
from simdyn.theory import analysis

SWEPT = ("dimension", "signal_norm")


def results(values, *, status=1, dims=(*SWEPT, "method", "replicate", "step"), **coords):
    """A dataset of one variable, `test_error`, with every run in the same status."""
    values = np.asarray(values, dtype=np.float64)
    sizes = dict(zip(dims, values.shape, strict=True))
    axes = {name: np.arange(float(size)) for name, size in sizes.items() if name != "step"}
    if "method" in sizes:
        axes["method"] = np.array(["sgd", "sam", "third"][: sizes["method"]])
    outer = dims[:-1]
    return xr.Dataset(
        {
            "test_error": (dims, values, {"long_name": "test error", "units": "1"}),
            "status": (outer, np.full(values.shape[:-1], status, dtype=np.int8)),
        },
        {**axes, **coords},
    )


def column(values):
    """A study of one method with one replicate over signal_norm = 0, 1, 2, …"""
    return results(np.reshape(values, (1, -1, 1, 1, 1)))


# -- mean_state ------------------------------------------------------------------------------------


def test_mean_state__is_of_the_last_state():
    rng = np.random.default_rng(0)
    values = rng.random((3, 4, 2, 5, 6))
    mean = analysis.mean_state(results(values), "test_error")
    assert mean.dims == (*SWEPT, "method")
    np.testing.assert_allclose(mean, values[..., -1].mean(-1), rtol=1e-15)
    assert mean.attrs["long_name"] == "mean test error"
    assert "step" not in mean.coords


@pytest.mark.parametrize("code", [0, 3, 4, 5])
def test_mean_state__invalid_runs_are_left_out_and_counted(code):
    values = np.ones((2, 2, 2, 4, 1))
    ds = results(values)
    ds["test_error"][0, 1, 1, :3] = [[np.nan], [5.0], [3.0]]
    ds["status"][0, 1, 1, :2] = code
    mean = analysis.mean_state(ds, "test_error")
    assert mean[0, 1, 1] == 2.0
    assert mean["runs"][0, 1, 1] == 2
    assert mean["left_out"][0, 1, 1] == 2
    assert int(mean["left_out"].sum()) == 2
    assert bool(mean.notnull().all())


def test_mean_state__zero_gradient_is_valid():
    ds = results(np.full((1, 1, 1, 3, 1), 0.25), status=2)
    mean = analysis.mean_state(ds, "test_error")
    assert mean.item() == 0.25
    assert mean["runs"].item() == 3


def test_mean_state__no_valid_run_is_nan_with_its_count():
    mean = analysis.mean_state(results(np.zeros((1, 1, 1, 3, 1)), status=3), "test_error")
    assert np.isnan(mean.item())
    assert mean["runs"].item() == 0
    assert mean["left_out"].item() == 3


def test_mean_state__nan_of_a_valid_run_is_not_hidden():
    values = np.ones((1, 1, 1, 3, 1))
    values[..., 1, :] = np.nan
    assert np.isnan(analysis.mean_state(results(values), "test_error").item())


def test_mean_state__any_order_of_dims():
    values = np.random.default_rng(1).random((3, 4, 2, 5, 2))
    ds = results(values)
    turned = ds.transpose("method", "replicate", "signal_norm", "step", "dimension")
    a, b = analysis.mean_state(ds, "test_error"), analysis.mean_state(turned, "test_error")
    np.testing.assert_allclose(a, b.transpose(*a.dims), rtol=1e-15)


def test_mean_state__unknown_variable():
    with pytest.raises(InputError, match="'test_eror' is not in these results; did you mean"):
        analysis.mean_state(column([1.0, 0.0]), "test_eror")


# -- summary ---------------------------------------------------------------------------------------


def survivors():
    """Runs of one variable with two recorded states, some of which did not finish; and statuses."""
    values = np.random.default_rng(8).random((2, 2, 2, 4, 2))
    ds = results(values)
    ds["status"][0, 0, 0] = [1, 2, 3, 4]
    ds["status"][0, 1, 1] = [3, 3, 0, 1]
    ds["status"][1, 0, 0] = 5
    ds["test_error"][0, 1, 1, :3] = np.nan
    ds["status_step"] = ds["status"] * 0
    return ds, values


def test_summary__means_and_standard_errors_of_the_runs_that_finished():
    ds, values = survivors()
    found = simdyn.summary(ds)
    assert found["test_error"].dims == (*SWEPT, "method", "step")
    two = values[0, 0, 0, :2]
    np.testing.assert_allclose(found["test_error"][0, 0, 0], two.mean(0), rtol=1e-15)
    np.testing.assert_allclose(
        found["test_error_sem"][0, 0, 0], two.std(0, ddof=1) / np.sqrt(2), rtol=1e-14
    )
    np.testing.assert_array_equal(found["test_error"][0, 1, 1], values[0, 1, 1, 3])
    assert found["test_error_sem"][0, 1, 1].isnull().all(), "one run has no spread"
    assert found["test_error"][1, 0, 0].isnull().all()
    median = found["test_error_median"]
    np.testing.assert_array_equal(median[0, 0, 0], two.mean(0), "of two, the middle")
    np.testing.assert_array_equal(median[1, 1], np.median(values[1, 1], axis=1))
    np.testing.assert_array_equal(median.isnull(), found["test_error"].isnull())
    whole = found["test_error"][1, 1]
    np.testing.assert_allclose(whole, values[1, 1].mean(1), rtol=1e-15)


def test_summary__counts_stand_beside_each_mean():
    ds, _ = survivors()
    found = simdyn.summary(ds)
    assert found["runs"].dims == (*SWEPT, "method")
    assert found["runs"].values.tolist() == [[[2, 4], [4, 1]], [[0, 4], [4, 4]]]
    count = found["status_count"]
    words = ["missing", "done", "zero gradient", "non-finite", "failed", "masked"]
    words += ["not reached", "interpolated"]
    assert count["status"].values.tolist() == words
    assert count[0, 0, 0].values.tolist() == [0, 1, 1, 1, 1, 0, 0, 0]
    assert count[0, 1, 1].values.tolist() == [1, 1, 0, 2, 0, 0, 0, 0]
    assert count[1, 0, 0].values.tolist() == [0, 0, 0, 0, 0, 4, 0, 0]
    assert bool((count.sum("status") == 4).all())
    valid = count.sel(status=["done", "zero gradient"]).sum("status")
    np.testing.assert_array_equal(valid, found["runs"])


def test_summary__says_what_each_thing_is():
    ds, _ = survivors()
    ds.attrs["title"] = "course"
    found = simdyn.summary(ds)
    expected = ["runs", "status_count", "test_error", "test_error_median", "test_error_sem"]
    assert sorted(map(str, found.data_vars)) == expected
    assert found.attrs == ds.attrs
    for array in found.data_vars.values():
        assert array.attrs["long_name"]
    assert found["test_error"].attrs["long_name"] == "mean test error"
    assert found["test_error_median"].attrs["long_name"] == "median test error"
    assert "standard error of the mean test error" in found["test_error_sem"].attrs["long_name"]


def test_summary__of_simulated_runs_that_diverge():
    data = simdyn.SignalNoiseData(n_samples=4, dimension=50, signal_norm=1.0, noise_std=1.0)
    net = simdyn.TwoLayerCNN(n_filters=2, init_std=1.0, activation="relu_power")
    plan = simdyn.SGD(learning_rate=0.5, epochs=30)
    ds = simdyn.simulate(data, net, plan, seed=3, replicates=12)
    found = simdyn.summary(ds)
    ended = {code: int((ds["status"] == code).sum()) for code in range(8)}
    assert 0 < ended[3] < 12, "some diverge and some do not"
    assert found["status_count"].values.tolist() == list(ended.values())
    finished = ds["train_loss"].values[ds["status"].isin([1, 2]).values]
    np.testing.assert_allclose(found["train_loss"], finished.mean(0), rtol=1e-13)
    assert found["signal_coef_sem"].dims == ("step", "sign", "filter")


def test_summary__a_valid_run_that_holds_nan_leaves_no_mean_and_no_median():
    values = np.array([1.0, np.nan, 4.0])
    found = simdyn.summary(results(values.reshape(1, 1, 1, 3, 1)))
    assert np.isnan(found["test_error"].item())
    assert np.isnan(found["test_error_median"].item())


def test_summary__spread_of_huge_and_of_tiny_values():
    values = np.array([1.0, 2.0, 4.0])
    expected = values.std(ddof=1) / np.sqrt(3)
    for scale in (1e200, 1e-200):
        found = simdyn.summary(results((scale * values).reshape(1, 1, 1, 3, 1)))
        assert found["test_error_sem"].item() == pytest.approx(scale * expected, rel=1e-12)


@pytest.mark.parametrize("lacks", ["status", "replicate"])
def test_summary__needs_replicates_and_their_status(lacks):
    ds = column([1.0, 0.0])
    ds = ds.drop_vars("status") if lacks == "status" else ds.isel(replicate=0)
    with pytest.raises(InputError, match="summary: these results have no dim 'replicate'"):
        simdyn.summary(ds)


# -- paired_difference -----------------------------------------------------------------------------


def test_paired_difference__mean_and_standard_error():
    values = np.random.default_rng(2).random((3, 4, 2, 7, 1))
    ds = results(values)
    found = analysis.paired_difference(ds, "test_error", "sgd", "sam")
    each = values[:, :, 0, :, 0] - values[:, :, 1, :, 0]
    np.testing.assert_allclose(found["difference"], each.mean(-1), atol=1e-15)
    expected = each.std(-1, ddof=1) / np.sqrt(7)
    np.testing.assert_allclose(found["standard_error"], expected, rtol=1e-12)
    assert bool((found["pairs"] == 7).all())


def test_paired_difference__common_part_of_a_pair_cancels():
    shared = np.random.default_rng(3).normal(size=(1, 1, 1, 9, 1))
    values = np.concatenate([shared + 0.5, shared], axis=2)
    found = analysis.paired_difference(results(values), "test_error", "sgd", "sam")
    assert found["difference"].item() == pytest.approx(0.5, abs=1e-14)
    assert found["standard_error"].item() < 1e-14


def test_paired_difference__uses_pairs_valid_under_both():
    values = np.zeros((1, 1, 2, 4, 1))
    values[0, 0, 0, :, 0] = [1, 2, 3, np.nan]
    ds = results(values)
    ds["status"][0, 0, 0, 3] = 3
    ds["status"][0, 0, 1, 0] = 0
    found = analysis.paired_difference(ds, "test_error", "sgd", "sam")
    assert found["pairs"].item() == 2
    assert found["difference"].item() == 2.5


def test_paired_difference__one_pair_has_no_error():
    found = analysis.paired_difference(
        results(np.ones((1, 1, 2, 1, 1))), "test_error", "sgd", "sam"
    )
    assert found["difference"].item() == 0.0
    assert np.isnan(found["standard_error"].item())


def test_paired_difference__unknown_method():
    with pytest.raises(InputError, match="method = 'smm'"):
        analysis.paired_difference(results(np.ones((1, 1, 2, 1, 1))), "test_error", "sgd", "smm")


# -- contour ---------------------------------------------------------------------------------------


def test_contour__of_a_linear_function_is_exact():
    d = np.array([1000.0, 2000.0, 5000.0])
    mu = np.array([0.0, 0.7, 1.5, 2.0, 4.0, 9.0])
    where = np.array([0.3, 2.9, 8.75])  # the function is 0.1 there
    values = 0.1 + 0.02 * (where[:, None] - mu)
    ds = results(values[:, :, None, None, None], dimension=d, signal_norm=mu)
    line = analysis.contour(ds, "test_error", 0.1, "signal_norm")
    assert line.dims == ("dimension", "method")
    np.testing.assert_allclose(line[:, 0], where, rtol=1e-12)
    assert line.attrs["without_crossing"] == 0
    assert line.attrs["several_crossings"] == 0


def test_contour__of_a_smooth_function_converges():
    def miss(num):
        mu = np.linspace(0, 10, num)
        values = 0.5 * np.exp(-((mu / 3) ** 2))
        ds = results(values[None, :, None, None, None], signal_norm=mu)
        found = analysis.contour(ds, "test_error", 0.1, "signal_norm").item()
        return abs(found - 3 * np.sqrt(np.log(5)))

    assert miss(1001) < 1e-5
    assert miss(1001) < miss(101) < miss(11) < 0.2


def test_contour__takes_the_last_of_several_crossings():
    line = analysis.contour(column([0.5, 0.0, 0.5, 0.0]), "test_error", 0.25, "signal_norm")
    assert line.item() == 2.5
    assert line["crossings"].item() == 2
    assert line.attrs["several_crossings"] == 1


def test_contour__upward_crossing_does_not_count():
    line = analysis.contour(column([0.5, 0.0, 0.5]), "test_error", 0.25, "signal_norm")
    assert line.item() == 0.5
    assert line["crossings"].item() == 1


@pytest.mark.parametrize(
    "values", [[0.5, 0.4, 0.3], [0.05, 0.04, 0.03], [0.0, 0.2, 0.5], [0.5], [0.5, np.nan, 0.0]]
)
def test_contour__without_crossing_is_nan_and_says_so(values):
    line = analysis.contour(column(values), "test_error", 0.1, "signal_norm")
    assert np.isnan(line.item())
    assert line["crossings"].item() == 0
    assert line.attrs["without_crossing"] == 1
    assert "NaN" in line.attrs["comment"]


def test_contour__a_grid_value_on_the_level_is_the_crossing():
    line = analysis.contour(column([0.5, 0.1, 0.1, 0.0]), "test_error", 0.1, "signal_norm")
    assert line.item() == 1.0


def test_contour__unsorted_grid_and_other_axis():
    ds = column([0.5, 0.4, 0.2, 0.0])
    shuffled = ds.isel(signal_norm=[2, 0, 3, 1])
    a = analysis.contour(ds, "test_error", 0.1, "signal_norm")
    assert a.item() == analysis.contour(shuffled, "test_error", 0.1, "signal_norm").item() == 2.5
    turned = ds.rename(signal_norm="other").rename(dimension="signal_norm", other="dimension")
    assert analysis.contour(turned, "test_error", 0.1, "dimension").dims == (
        "signal_norm",
        "method",
    )


def test_contour__drops_what_varies_along_it():
    ds = column([0.5, 0.0]).assign_coords(radius=("signal_norm", [1.0, 2.0]), n_samples=20)
    line = analysis.contour(ds, "test_error", 0.1, "signal_norm")
    assert "radius" not in line.coords
    assert line["n_samples"].item() == 20


def test_contour__unknown_parameter():
    with pytest.raises(InputError, match="along = 'signal_nrm': did you mean 'signal_norm'"):
        analysis.contour(column([0.5, 0.0]), "test_error", 0.1, "signal_nrm")


# -- fit_critical_constant -------------------------------------------------------------------------


def test_fit_critical_constant__recovers_it():
    scale = xr.DataArray([1.0, 2.0, 5.0], dims="dimension")
    fit = analysis.fit_critical_constant(1.7 * scale, scale)
    assert fit.constant == pytest.approx(1.7, rel=1e-14)
    assert fit.points == 3
    assert fit.spread < 1e-14


def test_fit_critical_constant__minimises_squared_log_residuals():
    rng = np.random.default_rng(4)
    scale = xr.DataArray(rng.uniform(1, 9, 12), dims="x")
    line = scale * np.exp(rng.normal(0.3, 0.2, 12))
    fit = analysis.fit_critical_constant(line, scale)

    def loss(c):
        return float((np.log(line / (c * scale)) ** 2).sum())

    assert loss(fit.constant) < min(loss(fit.constant * 1.001), loss(fit.constant * 0.999))
    residuals = np.log(line / (fit.constant * scale))
    assert fit.spread == pytest.approx(float(residuals.std(ddof=1)), rel=1e-12)


def test_fit_critical_constant__leaves_out_what_is_no_point():
    line = xr.DataArray([np.nan, 3.0, 0.0, np.inf, 3.0], dims="x")
    fit = analysis.fit_critical_constant(line, 1.5)
    assert fit.points == 2
    assert fit.constant == pytest.approx(2.0)


def test_fit_critical_constant__nothing_to_fit():
    fit = analysis.fit_critical_constant(xr.DataArray([np.nan], dims="x"), 1.0)
    assert fit.points == 0
    assert np.isnan(fit.constant)
    assert np.isnan(fit.spread)
    one = analysis.fit_critical_constant(xr.DataArray([2.0], dims="x"), 1.0)
    assert one.points == 1
    assert one.constant == pytest.approx(2.0)
    assert np.isnan(one.spread)
