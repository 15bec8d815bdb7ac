"""Finite-size scaling: the exponents with which curves of a variable fall on one.

The mathematics is in `simdyn.theory.master_curve`. A replicate has the same draws on all curves, so
their errors are not independent: intervals and the p-value come from resampling whole replicates.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from simdyn.base.inputs import InputError, check_seed, is_plain_number, nearest
from simdyn.theory.analysis import VALID
from simdyn.theory.exponents import BOUNDS, interval
from simdyn.theory.master_curve import LEAST_ERROR, SCANNED, Curves, Fit, fit

LEAST_POINTS = 3  # of a curve
NUMBERS = {
    "quality": "mean square distance from the master curve in errors",
    "quality_before": "mean square distance from the master curve in errors, without exponents",
    "deviation": "root mean square distance from the master curve",
    "p_value": "probability of such a quality if the curves do collapse",
    "points": "points compared with the master curve",
}


def collapse(
    ds: xr.Dataset,
    along: str | Sequence[str],
    *,
    variable: str = "test_error",
    x: str = "signal_norm",
    between: tuple[float, float] | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> xr.Dataset:
    """The exponents with which curves of a variable fall on one (finite-size scaling).

    Finds a, b, … for which the mean over replicates of the variable, over x d^−a n^−b … with d, n,
    … the parameters `along`, is one curve for all their values. These are the exponents of least

        S = mean over points of (y − Y)² / (dy² + dY²),

    where y is a mean, dy its standard error, and Y, dY those of the master curve there: a weighted
    straight line through the neighbours of the point on all other curves (Kawashima and Ito 1993,
    Houdayer and Hartmann 2004).

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study with two or more replicates.
    along : str or sequence of str
        One to three swept parameters > 0 by which the curves are told apart. Several may go along
        one dim, as `zip` makes them, if their logarithms are not collinear.
    variable : str
        Its last recorded state is taken.
    x : str
        The swept parameter that is scaled: three or more values > 0.
    between : tuple of two float, optional
        Only points whose mean lies between these values are compared; the others still belong to
        the master curve. Often only the transition scales, as from 0.02 to 0.4.
    resamples : int ≥ 100
        Of whole replicates.
    seed : int
        Of the resampling.

    Returns
    -------
    xarray.Dataset
        Over the other dims: `exponent` over the dim `parameter` with the names `along`, and its
        95 % interval `exponent_low`, `exponent_high`; `quality` S, and `quality_before`, S with all
        exponents 0; `deviation`, the root mean square of y − Y in the variable's units; `p_value`,
        the share of resampled worlds in which the curves do collapse and S is at least as large;
        `points`, how many were compared. NaN, and no points, where fewer than two curves have
        three points each, or curves share too little.

    Raises
    ------
    InputError
        If the results have no such axes or variable, or too few values, curves or replicates.

    Notes
    -----
    S is 1 for curves that differ like independent errors. Curves that share draws differ less, so
    judge by the p-value. Means are over the runs that finished, and points with fewer than two are
    left out. Standard errors below a thousandth of the range of the means count as that, so that a
    floor without errors, or a tail with tiny ones, does not outweigh the transition.

    A point is compared if another curve has a point on each side of it. Curves could collapse by
    having nothing in common, all of them or one group with another. So two curves are tied if half
    of the points of one lie within the other, and all curves must be tied, directly or through
    others. Within this range the exponents are scanned, and the best are refined by the simplex of
    Nelder and Mead. Between points of a curve the master curve is straight: let neighbours in x be
    close where the variable changes. Without exponents, points of
    equal x are compared without any interpolation, so the fit may stay at exactly 0 if the curves
    coincide.

    The worlds of the p-value have a smooth curve through all points at the fitted exponents, and
    the deviations of resampled replicates about it; the exponents are fitted in each.

    Examples
    --------
    >>> study = simdyn.Study(
    ...     {"n_samples": 10},
    ...     simdyn.TwoLayerCNN(n_filters=2, init_std=1e-4),
    ...     {"sgd": [simdyn.SGD(learning_rate=0.1, epochs=100)]},
    ...     {"dimension": [1000, 4000], "signal_norm": {"log": [1, 20], "num": 12}},
    ...     replicates=10,
    ... )
    >>> found = simdyn.collapse(study.run(), "dimension", resamples=100)
    >>> bool((found.quality < found.quality_before).all())
    True
    """
    names = (along,) if isinstance(along, str) else tuple(along)
    _check(ds, names, variable, x, resamples)
    check_seed(seed)
    if between is not None:
        low, high = _check_between(between)
    values = _last(ds, variable).sortby(x)
    across = dict.fromkeys(str(ds[name].dims[0]) for name in names)
    (level,) = ds[x].dims
    others = [str(dim) for dim in values.dims if dim not in (*across, level, "replicate")]
    values = values.transpose(*others, *across, level, "replicate")
    shape = tuple(values.sizes[dim] for dim in others)
    logs = _logs(ds, names, list(across))
    chosen = np.random.default_rng(seed).integers(
        values.sizes["replicate"], size=(resamples, values.sizes["replicate"])
    )
    u = np.log(values[x].values.astype(np.float64))
    lines = values.values.reshape(-1, len(logs), u.size, values.sizes["replicate"])
    limits = (-np.inf, np.inf) if between is None else (low, high)
    fits = [_fitted(u, logs, line, limits, chosen) for line in lines]
    if not any(one.points for one in fits):
        raise InputError(
            f"collapse: no two curves of {variable} have {LEAST_POINTS} points"
            f"{'' if between is None else f' between {low:g} and {high:g}'} and enough x in common"
        )
    variables = {}
    found = np.moveaxis(np.array([one.exponents for one in fits]), 1, -1)  # (lines, K, 1 + B)
    for ending, part in zip(
        ("", "_low", "_high"), interval(found, values.sizes["replicate"]), strict=True
    ):
        attrs = {"long_name": f"{BOUNDS[ending]}exponent of the collapse"}
        variables[f"exponent{ending}"] = (
            (*others, "parameter"),
            part.reshape(*shape, len(names)),
            attrs,
        )
    for name, long_name in NUMBERS.items():
        numbers = np.array([getattr(one, name) for one in fits]).reshape(shape)
        units = values.attrs.get("units") if name == "deviation" else None
        attrs = {"long_name": long_name, **({"units": units} if units else {})}
        variables[name] = (tuple(others), numbers, attrs)
    coords = {**{dim: values[dim] for dim in others if dim in values.coords}}
    how = {"along": ", ".join(names), "variable": variable, "x": x, "resamples": resamples}
    used = {} if between is None else {"between": [low, high]}
    return xr.Dataset(variables, {**coords, "parameter": list(names)}, {**ds.attrs, **how, **used})


def rescaled(ds: xr.Dataset, found: xr.Dataset) -> xr.DataArray:
    """Values of x with the fitted exponents taken out, x d^−a n^−b ….

    Parameters
    ----------
    ds : xarray.Dataset
        The results.
    found : xarray.Dataset
        What `collapse` found in them.

    Returns
    -------
    xarray.DataArray
        Over the dims of x, of the parameters, and of `found`.
    """
    scaled = ds[found.attrs["x"]].astype(np.float64)
    for name in map(str, found["parameter"].values):
        scaled = scaled * ds[name] ** -found["exponent"].sel(parameter=name, drop=True)
    named: xr.DataArray = scaled.rename("rescaled")
    return named


def _check(ds: xr.Dataset, names: Sequence[str], variable: str, x: str, resamples: int) -> None:
    if "status" not in ds or not {"method", "replicate"} <= {*ds["status"].dims}:
        raise InputError(
            "collapse: allowed are results of a study, with its methods and replicates"
        )
    scalars = [
        str(name) for name, of in ds.data_vars.items() if {"step", "replicate"} <= {*of.dims}
    ]
    if variable not in scalars:
        raise InputError(f"variable = {variable!r}: {nearest(variable, scalars)}")
    swept = {*ds["status"].dims} - {"method", "replicate"}
    numbers = [
        str(name)
        for name, at in ds.coords.items()
        if at.ndim == 1 and at.dims[0] in swept and np.issubdtype(at.dtype, np.number)
    ]
    if not 1 <= len(names) <= len(SCANNED) or len({*names}) < len(names):
        raise InputError(
            f"along = {list(names)}: allowed are one to {len(SCANNED)} distinct swept parameters"
        )
    for option, name in [("x", x), *(("along", name) for name in names)]:
        if name not in numbers:
            raise InputError(f"{option} = {name!r}: {nearest(name, numbers)}")
        values = ds[name].values.astype(np.float64)
        if not ((values > 0) & np.isfinite(values)).all():
            raise InputError(
                f"{option} = {name!r} has {values[~(values > 0)][0]:g} among its values: allowed "
                "are numbers > 0; select these"
            )
    for name in names:
        if ds[name].dims == ds[x].dims:
            raise InputError(
                f"along = {name!r} goes along one dim with x = {x!r}: allowed is another"
            )
        if np.unique(ds[name].values).size < 2:
            raise InputError(
                f"along = {name!r} has one value: allowed are two or more, a curve for each"
            )
    if (number := np.unique(ds[x].values).size) < max(LEAST_POINTS, ds[x].size):
        raise InputError(
            f"x = {x!r} has {number} distinct values of {ds[x].size}: allowed are "
            f"{LEAST_POINTS} or more, each once"
        )
    if ds.sizes["replicate"] < 2:
        raise InputError("collapse: there is 1 replicate; allowed are 2 or more, for the errors")
    whole = isinstance(resamples, int | np.integer) and not isinstance(resamples, bool)
    if not whole or resamples < 100:
        raise InputError(f"resamples = {resamples}: allowed is an integer ≥ 100")


def _check_between(between: tuple[float, float]) -> tuple[float, float]:
    numbers = isinstance(between, tuple | list) and all(map(is_plain_number, between))
    if not numbers or len(between) != 2 or not between[0] < between[1]:
        raise InputError(f"between = {between}: allowed are two numbers, the smaller one first")
    return float(between[0]), float(between[1])


def _last(ds: xr.Dataset, variable: str) -> xr.DataArray:
    """The last state of runs that finished; NaN of others."""
    last = ds[variable].isel(step=-1, drop=True)
    found: xr.DataArray = last.where(ds["status"].isin(VALID) & np.isfinite(last)).load()
    return found.assign_attrs(ds[variable].attrs)


def _logs(ds: xr.Dataset, names: Sequence[str], across: list[str]) -> np.ndarray:
    """Logarithms (C, K) of the parameters of each curve, about their means."""
    at = np.indices([ds.sizes[dim] for dim in across]).reshape(len(across), -1)
    columns = [ds[name].values[at[across.index(str(ds[name].dims[0]))]] for name in names]
    logs = np.log(np.stack(columns, axis=1).astype(np.float64))
    logs -= logs.mean(axis=0)
    if np.linalg.matrix_rank(logs / np.ptp(logs, axis=0), tol=1e-9) < len(names):
        raise InputError(
            f"along = {list(names)}: their logarithms are collinear over the points, so that many "
            "exponents do the same; allowed are fewer names, or points that vary them apart"
        )
    return logs


def _fitted(
    u: np.ndarray,
    logs: np.ndarray,
    values: np.ndarray,
    limits: tuple[float, float],
    chosen: np.ndarray,
) -> Fit:
    """The fit of one set of curves (C, X, R); of those that have enough points."""
    count = np.isfinite(values).sum(axis=-1)
    values = np.where(count[..., None] > 1, values, np.nan)
    mean = np.where(count > 1, np.nansum(values, axis=-1) / np.maximum(count, 1), np.nan)
    used = (mean >= limits[0]) & (mean <= limits[1])
    used &= used.sum(axis=1, keepdims=True) >= LEAST_POINTS
    lost = Fit(np.full((1 + len(chosen), logs.shape[1]), np.nan), np.nan, np.nan, np.nan, np.nan, 0)
    there = used.any(axis=1)
    logs = logs[there] - logs[there].mean(axis=0) if there.any() else logs
    if there.sum() < 2 or np.linalg.matrix_rank(logs, tol=1e-9) < logs.shape[1]:
        return lost
    floor = LEAST_ERROR * max(float(np.ptp(mean[used])), np.finfo(np.float64).tiny ** 0.25)
    return fit(Curves(u, logs, used[there]), values[there], chosen, floor)
