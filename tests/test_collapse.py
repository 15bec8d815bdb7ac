"""Finite-size scaling: exponents for which curves fall on one, their intervals and the p-value."""

import json
import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from common import refusal

import simdyn
from simdyn.kernels.codes import DONE, NON_FINITE


def world(
    seed: int,
    exponents: dict[str, float],
    *,
    broken: float = 0.0,
    replicates: int = 20,
    noise: float = 0.3,
    points: int = 24,
) -> xr.Dataset:
    """Curves over x that are one curve over x d^−a n^−b, but for steepness if they are broken.

    The place of the fall of each replicate is off by the same on all curves, and by its own.
    """
    rng = np.random.default_rng(seed)
    grids = {"dimension": np.geomspace(1e3, 1e6, 5), "n_samples": np.array([10.0, 40.0])}
    grids = {name: grids[name] for name in exponents}
    x = np.geomspace(0.3, 30.0, points)
    logs = [np.log(grid) - np.log(grid).mean() for grid in grids.values()]
    place = sum(
        a * log
        for a, log in zip(exponents.values(), np.meshgrid(*logs, indexing="ij"), strict=True)
    )
    common = rng.normal(size=replicates)
    own = rng.normal(size=(*np.shape(place), replicates))
    off = noise * (0.7 * common + math.sqrt(0.51) * own)
    steep = 3.0 * np.exp(
        broken * np.broadcast_to(logs[0].reshape(-1, *[1] * (len(logs) - 1)), np.shape(place))
    )
    along = np.log(x)[:, None] - (np.asarray(place) + 1.2)[..., None, None] - off[..., None, :]
    values = 0.5 / (1.0 + np.exp(steep[..., None, None] * along))
    values = values + 0.01 * rng.normal(size=values.shape)
    dims = (*grids, "signal_norm", "replicate")
    return xr.Dataset(
        {
            "test_error": ((*dims, "step"), values[..., None]),
            "status": (dims, np.full(values.shape, DONE)),
        },
        {**grids, "signal_norm": x},
        {"study": json.dumps({})},
    ).expand_dims(method=["sgd"])


BETWEEN = (0.02, 0.45)


def found(seed: int = 0, exponents: Any = None, **options: Any) -> xr.Dataset:
    exponents = exponents or {"dimension": 0.25}
    ds = world(seed, exponents, **options)
    return simdyn.collapse(ds, tuple(exponents), between=BETWEEN, resamples=200).isel(method=0)


def test_collapse__finds_exponents_within_their_intervals() -> None:
    one = found()
    assert abs(one.exponent.item() - 0.25) < 0.02
    assert one.exponent_low < 0.25 < one.exponent_high
    assert one.exponent_high - one.exponent_low < 0.1
    assert one.quality < 2.0 < one.quality_before
    assert one.p_value > 0.01
    assert one.parameter.values.tolist() == ["dimension"]
    assert one.deviation < 0.05
    assert one.points > 20


def test_collapse__of_two_parameters() -> None:
    both = found(3, {"dimension": 0.25, "n_samples": -0.25})
    at = {"dimension": 0.25, "n_samples": -0.25}
    assert both.parameter.values.tolist() == list(at)
    for name, exponent in at.items():
        one = both.sel(parameter=name)
        assert one.exponent_low < exponent < one.exponent_high
        assert abs(one.exponent.item() - exponent) < 0.06


def test_collapse__curves_that_do_not_fall_on_one_are_told() -> None:
    broken = found(1, broken=0.15, noise=0.05)
    assert broken.p_value < 0.02
    assert broken.quality > found(1, noise=0.05).quality


def test_collapse__without_noise_is_exact() -> None:
    clean = found(0, noise=0.0, points=60)
    assert clean.exponent.item() == pytest.approx(0.25, abs=2e-3)


def test_collapse__a_scale_and_the_order_of_axes_change_nothing() -> None:
    ds = world(2, {"dimension": 0.25})
    first = simdyn.collapse(ds, "dimension", between=BETWEEN, resamples=100)
    turned = ds.transpose("replicate", "signal_norm", "step", "method", "dimension")
    turned = turned.isel(dimension=slice(None, None, -1), signal_norm=slice(None, None, -1))
    again = simdyn.collapse(turned, "dimension", between=BETWEEN, resamples=100)
    for name in first.data_vars:
        np.testing.assert_allclose(again[name], first[name], rtol=1e-9)
    larger = ds.assign_coords(signal_norm=ds.signal_norm * 8.0, dimension=ds.dimension * 4.0)
    scaled = simdyn.collapse(larger, "dimension", between=BETWEEN, resamples=100)
    np.testing.assert_allclose(scaled.exponent, first.exponent, atol=1e-4)
    np.testing.assert_allclose(scaled.quality, first.quality, rtol=1e-3)


def test_collapse__runs_that_did_not_finish_are_left_out() -> None:
    ds = world(4, {"dimension": 0.25})
    lost = ds.copy(deep=True)
    lost["status"][0, 1, :, 3] = NON_FINITE
    lost["test_error"][0, 1, :, 3] = np.nan
    one = simdyn.collapse(lost, "dimension", between=BETWEEN, resamples=100).isel(method=0)
    assert abs(one.exponent.item() - 0.25) < 0.03
    lost["status"][0, 1:] = NON_FINITE
    message = refusal(simdyn.collapse, lost, "dimension", between=BETWEEN)
    assert "no two curves of test_error have 3 points between 0.02 and 0.45" in message


def coverage(count: int, first: int) -> tuple[float, np.ndarray]:
    """The share of intervals that hold the truth, and the p-values, of worlds that collapse."""
    each = [found(seed) for seed in range(first, first + count)]
    held = [bool(one.exponent_low < 0.25 < one.exponent_high) for one in each]
    return float(np.mean(held)), np.array([one.p_value.item() for one in each])


def test_collapse__intervals_and_p_values_are_what_they_say() -> None:
    count = 10
    held, p = coverage(count, 100)
    # Three standard errors of a share.
    assert held > 0.95 - 3.0 * math.sqrt(0.95 * 0.05 / count)
    assert (p < 0.05).mean() < 0.05 + 3.0 * math.sqrt(0.95 * 0.05 / count)
    assert 0.2 < np.median(p) < 0.95


@pytest.mark.campaign
def test_collapse__intervals_of_many_worlds_campaign() -> None:
    count = 500
    held, p = coverage(count, 1000)
    shares = {level: float((p < level).mean()) for level in (0.05, 0.1, 0.25, 0.5, 0.75)}
    print(f"\nof {count} worlds the intervals hold the truth in {held:.1%}; p below: {shares}")
    assert abs(held - 0.95) < 0.02 + 3.0 * math.sqrt(0.95 * 0.05 / count)
    assert shares[0.05] < 0.05 + 3.0 * math.sqrt(0.95 * 0.05 / count)


def test_collapse__of_a_study_of_sgd() -> None:
    study = simdyn.Study(
        {"n_samples": 10},
        {"n_filters": 4, "init_std": "0.1*sqrt(n_samples)/dimension"},
        {"sgd": [{"optimiser": "SGD", "learning_rate": "40/dimension", "epochs": 100}]},
        {"dimension": {"log": [1e6, 1e10], "num": 4}, "signal_norm": {"log": [3, 3000], "num": 41}},
        replicates=10,
    )
    one = simdyn.collapse(study.run(), "dimension", between=(0.01, 0.4)).isel(method=0)
    assert one.exponent_low - 0.01 < 0.25 < one.exponent_high + 0.01
    assert abs(one.exponent.item() - 0.25) < 0.02


def test_collapse__bad_input() -> None:
    ds = world(0, {"dimension": 0.25})
    for along, options, words in [
        ("dimensions", {}, "along"),
        ("signal_norm", {}, "along"),
        ((), {}, "along"),
        ("dimension", {"x": "dimension"}, "x = 'dimension'"),
        ("dimension", {"x": "noise_std"}, "x = 'noise_std'"),
        ("dimension", {"variable": "margin"}, "variable = 'margin'"),
        ("dimension", {"between": (0.4, 0.02)}, "between"),
        ("dimension", {"resamples": 10}, "resamples = 10: allowed is an integer ≥ 100"),
    ]:
        assert words in refusal(simdyn.collapse, ds, along, **options)
    assert "replicate" in refusal(simdyn.collapse, ds.isel(replicate=[0]), "dimension")
    zero = ds.assign_coords(dimension=ds.dimension * 0.0)
    assert "dimension" in refusal(simdyn.collapse, zero, "dimension")
