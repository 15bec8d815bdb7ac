"""What is read off results: means over replicates, differences of methods, contours, constants.

Every function takes a dataset of a study and returns labelled arrays. A run that has no valid
last state is left out and counted; nothing else is ever left out, so a NaN shows.

The dim of methods is called `method`, which `Dataset.sel` also has as an option: write
`ds.sel({"method": "sam"})`, for `ds.sel(method="sam")` selects nothing and does not complain.
"""

import dataclasses

import numpy as np
import xarray as xr

from simdyn.inputs import InputError, nearest

VALID = (1, 2)  # codes of schema.STATUS whose last state may be used: done, zero gradient


def _last_state(ds: xr.Dataset, variable: str) -> xr.DataArray:
    if variable not in ds.data_vars:
        raise InputError(f"variable = {variable!r} is not in these results; "
                         f"{nearest(variable, map(str, ds.data_vars))}")  # fmt: skip
    return ds[variable].isel(step=-1, drop=True)


def _check_dim(array: xr.DataArray, option: str, name: str) -> None:
    if name not in array.dims:
        raise InputError(f"{option} = {name!r}: {nearest(name, map(str, array.dims))}")


def mean_state(ds: xr.Dataset, variable: str) -> xr.DataArray:
    """Mean over replicates of a variable's last recorded state.

    Parameters
    ----------
    ds : xarray.Dataset
        Results with dims `replicate` and `step`, and `status`.
    variable : str

    Returns
    -------
    xarray.DataArray
        The variable's other dims; coordinate `runs` counts the runs in each mean, `left_out` those
        whose status is neither done nor zero gradient. NaN only where `runs` is 0, or where a
        valid run itself holds a NaN.
    """
    state = _last_state(ds, variable)
    valid = ds["status"].isin(VALID)
    runs = valid.sum("replicate")
    total = state.where(valid, 0.0).sum("replicate", skipna=False)
    mean = (total / runs.where(runs > 0)).rename(variable)
    mean.attrs = {**state.attrs, "long_name": f"mean {state.attrs.get('long_name', variable)}"}
    runs.attrs = {"long_name": "runs in the mean"}
    left_out = valid.sizes["replicate"] - runs
    left_out.attrs = {"long_name": "runs without a valid state, left out of the mean"}
    return mean.assign_coords(runs=runs, left_out=left_out)


def over_replicates(array: xr.DataArray, status: xr.DataArray) -> xr.Dataset:
    """Mean over the replicates with a valid last state, and its standard error.

    Parameters
    ----------
    array : xarray.DataArray
        With dim `replicate`.
    status : xarray.DataArray
        Status of the same runs.

    Returns
    -------
    xarray.Dataset
        `mean` and `standard_error` (NaN for fewer than two runs), of the array's other dims.
    """
    valid = status.isin(VALID)
    runs = valid.sum("replicate")
    mean = array.where(valid, 0.0).sum("replicate", skipna=False) / runs.where(runs > 0)
    squares = ((array - mean) ** 2).where(valid, 0.0).sum("replicate", skipna=False)
    error = (squares / (runs - 1).where(runs > 1) / runs) ** 0.5
    order = [dim for dim in array.dims if dim != "replicate"]
    found = xr.Dataset({"mean": mean, "standard_error": error}).transpose(*order)
    found["mean"].attrs = dict(array.attrs)
    return found


def last_means(ds: xr.Dataset, variable: str) -> xr.Dataset:
    """`over_replicates` of a variable's last recorded state."""
    return over_replicates(_last_state(ds, variable), ds["status"])


def growth(ds: xr.Dataset) -> xr.Dataset:
    """The largest coefficients of a state: how far signal and noise have been learned.

    Parameters
    ----------
    ds : xarray.Dataset
        Results with `signal_coef` or `noise_coef`, or both.

    Returns
    -------
    xarray.Dataset
        Of what is there: `largest_signal` = max γ_{j,r}; `largest_noise` = max ρ̄_{j,r,i}, the
        coefficients of samples with y_i = j, which only grow; `largest_fall` = max −ρ̲_{j,r,i},
        those of the other samples, which only fall.
    """
    found = {}
    if "signal_coef" in ds:
        found["largest_signal"] = ds["signal_coef"].max(("sign", "filter")).assign_attrs(
            symbol="max γ_{j,r}", long_name="largest signal coefficient")  # fmt: skip
    if "noise_coef" in ds:
        over = ("sign", "filter", "sample")
        found["largest_noise"] = ds["noise_coef"].max(over).assign_attrs(
            symbol="max ρ̄_{j,r,i}", long_name="largest noise coefficient")  # fmt: skip
        found["largest_fall"] = (-ds["noise_coef"]).max(over).assign_attrs(
            symbol="max −ρ̲_{j,r,i}", long_name="largest fall of a noise coefficient")  # fmt: skip
    return xr.Dataset(found)


def paired_difference(ds: xr.Dataset, variable: str, first: str, second: str) -> xr.Dataset:
    """One method minus another, replicate by replicate, in the last recorded state.

    Replicate k is the same set of unit draws under every method, so the difference of a pair is
    much less noisy than the two means.

    Parameters
    ----------
    ds : xarray.Dataset
    variable : str
    first, second : str
        Names of methods.

    Returns
    -------
    xarray.Dataset
        `difference` (mean over pairs), `standard_error` (NaN for fewer than two pairs) and `pairs`
        (replicates valid under both methods).
    """
    states, valid = [], []
    for method in (first, second):
        if method not in ds["method"].values:
            raise InputError(
                f"method = {method!r}: {nearest(method, map(str, ds['method'].values))}"
            )
        states.append(_last_state(ds, variable).sel({"method": method}, drop=True))
        valid.append(ds["status"].sel({"method": method}, drop=True).isin(VALID))
    use = valid[0] & valid[1]
    pairs = use.sum("replicate")
    each = (states[0] - states[1]).where(use, 0.0)
    mean = each.sum("replicate", skipna=False) / pairs.where(pairs > 0)
    squares = ((each - mean) ** 2).where(use, 0.0).sum("replicate", skipna=False)
    error = (squares / (pairs - 1).where(pairs > 1) / pairs) ** 0.5
    name = ds[variable].attrs.get("long_name", variable)
    mean.attrs = {**ds[variable].attrs, "long_name": f"{name}, {first} minus {second}"}
    error.attrs = {"long_name": "standard error of the paired difference", "units": "1"}
    return xr.Dataset({"difference": mean, "standard_error": error, "pairs": pairs})


def contour(
    ds: xr.Dataset, variable: str, level: float, along: str, *, rising: bool = False
) -> xr.DataArray:
    """Where the mean of a variable falls to a level as a swept parameter grows.

    The mean is taken as linear between grid values. A crossing is a step of the grid that begins
    above the level and ends at or below it; with `rising`, one that begins below and ends at or
    above it.

    Parameters
    ----------
    ds : xarray.Dataset
    variable : str
    level : float
    along : str
        Swept parameter in which the crossing is sought.
    rising : bool
        Look for the first rise to the level instead of the last fall.

    Returns
    -------
    xarray.DataArray
        Values of `along`, over the other dims. Of several crossings the last, beyond which the mean
        may still rise above the level but does not come down again; NaN where there is none.
        Coordinate `crossings` counts them; attributes `without_crossing` and `several_crossings`
        count the places where they are none and more than one.
    """
    mean = mean_state(ds, variable)
    _check_dim(mean, "along", along)
    mean = mean.sortby(along).transpose(..., along)
    grid, values = mean[along].values.astype(np.float64), mean.values
    if grid.size < 2:
        at, crossings = np.full(values.shape[:-1], np.nan), np.zeros(values.shape[:-1], np.int64)
    else:
        if rising:
            steps = (values[..., :-1] < level) & (values[..., 1:] >= level)
            last = np.argmax(steps, axis=-1)
        else:
            steps = (values[..., :-1] > level) & (values[..., 1:] <= level)
            last = steps.shape[-1] - 1 - np.argmax(steps[..., ::-1], axis=-1)
        crossings = steps.sum(-1)
        before = np.take_along_axis(values, last[..., None], -1)[..., 0]
        after = np.take_along_axis(values, last[..., None] + 1, -1)[..., 0]
        fall = np.where(crossings > 0, before - after, np.nan)
        at = grid[last] + (before - level) / fall * (grid[last + 1] - grid[last])
    over = mean.dims[:-1]
    coords = {name: kept for name, kept in mean.coords.items()
              if along not in kept.dims and name not in (along, "runs", "left_out")}  # fmt: skip
    source = mean[along].attrs
    return xr.DataArray(
        at, {**coords, "crossings": (over, crossings)}, over, name=along,
        attrs={
            **source,
            "long_name": f"{source.get('long_name', along)} where "
            f"{mean.attrs['long_name']} {'rises' if rising else 'falls'} to {level:g}",
            "level": level,
            "without_crossing": int((crossings == 0).sum()),
            "several_crossings": int((crossings > 1).sum()),
            "comment": f"NaN: the mean does not {'rise' if rising else 'fall'} to the level on "
            f"this grid of {along}; of several crossings the {'first' if rising else 'last'}",
        },
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ConstantFit:
    """A constant c in `contour ≈ c · scale`.

    Attributes
    ----------
    constant : float
        c; NaN where there is no point.
    points : int
        Points of the contour that were used.
    spread : float
        Standard deviation of log(contour) − log(c · scale), one degree of freedom taken off; NaN
        for fewer than two points.
    """

    constant: float
    points: int
    spread: float


def fit_critical_constant(contour: xr.DataArray, scale: xr.DataArray | float) -> ConstantFit:
    """The constant that brings a law of known shape closest to a measured contour.

    Parameters
    ----------
    contour : xarray.DataArray
        Measured line; what is not finite and positive is not used.
    scale : xarray.DataArray or float
        The law with constant 1, such as `simdyn.theory.critical_signal_norm`.

    Returns
    -------
    ConstantFit
        Minimises the sum of squared log residuals: the geometric mean of contour/scale.
    """
    ratio = np.asarray(contour / scale, dtype=np.float64).ravel()
    logs = np.log(ratio[np.isfinite(ratio) & (ratio > 0)])
    if logs.size == 0:
        return ConstantFit(np.nan, 0, np.nan)
    spread = float(logs.std(ddof=1)) if logs.size > 1 else np.nan
    return ConstantFit(float(np.exp(logs.mean())), logs.size, spread)
