"""Exponents of critical lines, with intervals from the spread of whole replicates.

A replicate has the same draws all along a line, so the errors of its points are not independent,
and exponents are much better known than the points. All intervals come from one bootstrap that
draws whole replicates: it moves all points of a line together. A point moves by

    ln x → ln x − (c_b(v) − level) / (x s),

where v are the values of the replicates at the critical value x, c_b is their mean, or median, over
the replicates of resample b, and s is the critical slope (one Newton step, a first-order
propagation).
"""

import json
import math

import numpy as np
import scipy  # its parts are loaded when they are used
import xarray as xr

from simdyn.base.inputs import InputError, check_seed, nearest
from simdyn.variables.outcomes import Outcome

COVERAGE = 0.95
NEEDED = ("critical_value", "critical_level", "critical_slope", "value_at_critical")
AT_ONCE = 2**22  # resampled values held together


BOUNDS = {
    "": "",
    "_low": "lower end of the interval of the ",
    "_high": "upper end of the interval of the ",
}
NAMES = {
    "exponent": "exponent",
    "local_exponent": "exponent between neighbours",
    "curvature": "curvature of the line in logarithms",
    "limit": "exponent of the extrapolated line",
}


def exponent(
    ds: xr.Dataset, along: str, *, resamples: int = 2000, seed: int = 0, correction: float = 0.5
) -> xr.Dataset:
    """The power with which critical values grow along an axis.

    Fits ln x = a + b ln z by least squares, where x is the critical value and z goes along the
    axis, for every line of the results.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study that solves for a field.
    along : str
        A swept parameter with two or more values > 0.
    resamples : int ≥ 100
        Of whole replicates.
    seed : int
        Of the resampling.
    correction : float > 0
        κ of the extrapolation ln x = a + b ln z + c z^−κ.

    Returns
    -------
    xarray.Dataset
        Over the other dims, each with a 95 % interval `NAME_low`, `NAME_high`: `exponent` b;
        `local_exponent` between neighbours, over the dim `pair` with coordinates `ALONG_from` and
        `ALONG_to`; `curvature` c of ln x = a + b ln z + c (ln z)²: a line is no power if its
        interval does not hold 0 (NaN for fewer than three points); `limit` b of the extrapolation
        with `correction`, for lines that approach a power (NaN for fewer than four points).
        `points`: how many critical values were found; NaN for fewer than two.

    Raises
    ------
    InputError
        If the results are of another kind, or the axis is none or has values ≤ 0.

    Examples
    --------
    >>> study = simdyn.Study(
    ...     {"n_samples": 10},
    ...     simdyn.TwoLayerCNN(n_filters=2, init_std=1e-4),
    ...     {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=100)]},
    ...     {"dimension": [1000, 2000, 4000]},
    ...     replicates=20,
    ...     solve=simdyn.Crossing(field="signal_norm", between=(0.1, 100.0)),
    ... )
    >>> found = simdyn.exponent(study.run(), "dimension")
    >>> bool(found.exponent_low < found.exponent < found.exponent_high)
    True
    """
    _check(ds, along, resamples, correction)
    check_seed(seed)
    ds = ds.sortby(along)
    median = json.loads(ds.attrs["study"])["solve"].get("statistic") == "median"
    others = [str(dim) for dim in ds["critical_value"].dims if dim != along]
    size = ds.sizes["replicate"]
    chosen = np.random.default_rng(seed).integers(size, size=(resamples, size))
    ds = ds[[*NEEDED, "crossing_status"]].transpose(*others, along, "replicate")
    logs = np.log(ds[along].values.astype(np.float64))
    shape = tuple(ds.sizes[dim] for dim in others)
    lines = [
        _fitted(
            logs, _points(ds.isel(dict(zip(others, at, strict=True))), chosen, median), correction
        )
        for at in np.ndindex(*shape)
    ]
    inner = {name: ("pair",) if name == "local_exponent" else () for name in NAMES}
    variables = {}
    for name, long_name in NAMES.items():
        values = np.array([line[name] for line in lines])  # (lines, …, 1 + B)
        for ending, part in zip(("", "_low", "_high"), interval(values, size), strict=True):
            attrs = {"long_name": f"{BOUNDS[ending]}{long_name}"}
            part = part.reshape(*shape, *part.shape[1:])
            variables[name + ending] = ((*others, *inner[name]), part, attrs)
    count = np.array([line["points"] for line in lines]).reshape(shape)
    variables["points"] = (tuple(others), count, {"long_name": "critical values found"})
    grid = ds[along].values
    coords = {
        **{dim: ds[dim] for dim in others},
        f"{along}_from": ("pair", grid[:-1]),
        f"{along}_to": ("pair", grid[1:]),
    }
    how = {"along": along, "resamples": resamples, "correction": correction}
    return xr.Dataset(variables, coords, {**ds.attrs, **how})


def replicate_positions(ds: xr.Dataset) -> xr.DataArray:
    """Logarithms of critical values as each replicate alone moves them, to first order.

    ln x − (v − level)/(x s), with the critical slope s: their mean over replicates is the logarithm
    of the critical value, less what the search has left.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study that solves for a field, for a mean over replicates.

    Returns
    -------
    xarray.DataArray
        With the dims of `value_at_critical`; NaN where no critical value was found.
    """
    value, slope = ds["critical_value"], ds["critical_slope"]
    apart: xr.DataArray = (ds["value_at_critical"] - ds["critical_level"]) / (value * slope)
    logs: xr.DataArray = xr.apply_ufunc(np.log, value)
    return logs - apart


def _check(ds: xr.Dataset, along: str, resamples: int, correction: float) -> None:
    missing = [name for name in NEEDED if name not in ds]
    if missing:
        raise InputError(
            f"exponent: these results have no {missing[0]}; allowed are results of a study with "
            "[solve]"
        )
    if along not in ds["critical_value"].dims or along == "method":
        swept = [str(dim) for dim in ds["critical_value"].dims if dim != "method"]
        raise InputError(f"along = {along!r}: {nearest(along, swept)}")
    grid = ds[along].values
    if not np.issubdtype(grid.dtype, np.number) or grid.size < 2 or grid.min() <= 0:
        raise InputError(f"along = {along!r}: allowed is an axis of two or more numbers > 0")
    if resamples < 100:
        raise InputError(f"resamples = {resamples}: allowed is an integer ≥ 100")
    if not correction > 0:
        raise InputError(f"correction = {correction}: allowed is a number > 0")


def _points(ds: xr.Dataset, chosen: np.ndarray, median: bool) -> np.ndarray:
    """Logarithms of a line's critical values (1 + B, K): of all replicates, then of each resample.

    NaN where no positive critical value was found.
    """
    found = ds["crossing_status"].isin([Outcome.FOUND, Outcome.SEVERAL]).values
    value = np.where(found & (ds["critical_value"].values > 0), ds["critical_value"].values, np.nan)
    off = _centred(ds["value_at_critical"].values, chosen, median)
    slope = ds["critical_slope"].values
    points: np.ndarray = np.log(value) - (off - ds["critical_level"].values) / (value * slope)
    return points


def _centred(values: np.ndarray, chosen: np.ndarray, median: bool) -> np.ndarray:
    """Means or medians (1 + B, K) of values (K, R): of all replicates, then of each resample."""
    centre = np.median if median else np.mean
    rows = [centre(values, axis=1)[None]]
    step = max(1, AT_ONCE // max(values.size, 1))
    for start in range(0, len(chosen), step):
        part = values[:, chosen[start : start + step]]  # (K, b, R)
        rows.append(centre(part, axis=2).T)
    return np.concatenate(rows)


def _fitted(logs: np.ndarray, points: np.ndarray, correction: float) -> dict[str, np.ndarray]:
    """The numbers of one line, for all replicates and each resample, (…, 1 + B)."""
    good = np.isfinite(points).all(axis=0)
    u, fitted = logs[good] - logs[0], points[:, good].T
    one = np.ones_like(u)

    def coefficient(which: int, *columns: np.ndarray) -> np.ndarray:
        if u.size < len(columns):
            return np.full(len(points), np.nan)
        solved = np.linalg.lstsq(np.stack(columns, axis=1), fitted, rcond=None)[0]
        return np.asarray(solved[which])

    local = (points[:, 1:] - points[:, :-1]).T / np.diff(logs)[:, None]
    limit = coefficient(1, one, u, np.exp(-correction * u))
    return {
        "exponent": coefficient(1, one, u),
        "local_exponent": local,
        "curvature": coefficient(2, one, u, u**2),
        "limit": limit if u.size > 3 else np.full(len(points), np.nan),
        "points": np.array(int(good.sum())),
    }


def interval(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates and their 95 % intervals, by Student's t.

    Parameters
    ----------
    values : (…, 1 + B) array
        Of all replicates, then of resamples.
    size : int ≥ 2
        Replicates.
    """
    # Resamples of R replicates spread as if there were R − 1.
    error = np.std(values[..., 1:], axis=-1, ddof=1) * math.sqrt(size / (size - 1))
    reach = scipy.special.stdtrit(size - 1, 0.5 + COVERAGE / 2) * error
    return values[..., 0], values[..., 0] - reach, values[..., 0] + reach
