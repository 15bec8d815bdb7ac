"""Analysis of results: summaries of replicates, differences of methods, contours, constants.

Every function takes a dataset of a study and returns labelled arrays. Runs without a valid last
state are left out and counted; nothing else is left out, so a NaN stays visible.

The dim of methods is called `method`, which `Dataset.sel` also has as an option: write
`ds.sel({"method": "sam"})`, as `ds.sel(method="sam")` selects nothing and raises nothing.

Examples
--------
>>> study = simdyn.Study(
...     {"n_samples": 20, "noise_std": 1.0, "dimension": 1000},
...     simdyn.TwoLayerCNN(n_filters=10, init_std=1e-3),
...     {"sgd": simdyn.SGD(learning_rate=0.1, epochs=100)},
...     {"signal_norm": [1.0, 2.0, 3.0, 4.0]},
...     replicates=5,
... )
>>> simdyn.analysis.contour(study.run(), "test_error", 0.1, "signal_norm").round(1).item()
3.0
"""

import dataclasses

import numpy as np
import xarray as xr

from simdyn.base.inputs import InputError, nearest
from simdyn.kernels.codes import DONE, INTERPOLATED, UNREACHED, ZERO_GRADIENT
from simdyn.theory.crossing import crossing
from simdyn.variables.registry import STATUS

STATUS_WORDS = {code: text.split(":")[0] for code, text in STATUS.items()}
VALID = (DONE, ZERO_GRADIENT, UNREACHED, INTERPOLATED)  # statuses whose last state may be used


def _last_state(ds: xr.Dataset, variable: str) -> xr.DataArray:
    if variable not in ds.data_vars:
        raise InputError(
            f"variable = {variable!r} is not in these results; "
            f"{nearest(variable, map(str, ds.data_vars))}"
        )
    return ds[variable].isel(step=-1, drop=True)


def _check_dim(array: xr.DataArray, option: str, name: str) -> None:
    if name not in array.dims:
        raise InputError(f"{option} = {name!r}: {nearest(name, map(str, array.dims))}")


def over_replicates(array: xr.DataArray, status: xr.DataArray) -> xr.Dataset:
    """Mean over the replicates with a valid last state, its standard error, and their number.

    Parameters
    ----------
    array : xarray.DataArray
        With dim `replicate`.
    status : xarray.DataArray
        Status of the same runs.

    Returns
    -------
    xarray.Dataset
        `mean` (NaN for no run, or if a valid run itself holds a NaN) and `standard_error` (NaN for
        fewer than two runs), of the array's other dims; `runs`, the number of runs in the mean.
    """
    valid = status.isin(VALID)
    runs = valid.sum("replicate").assign_attrs(long_name="runs behind the mean")
    with np.errstate(over="ignore", invalid="ignore"):  # a mean past 1e308 is inf
        mean = array.where(valid, 0.0).sum("replicate", skipna=False) / runs.where(runs > 0)
        away = (array - mean).where(valid, 0.0)
        largest = abs(away).max("replicate", skipna=False)
        share = away / largest.where(largest > 0, 1.0)  # whose squares do not overflow
        squares = (share**2).sum("replicate", skipna=False)
        error = largest * (squares / (runs - 1).where(runs > 1) / runs) ** 0.5
    order = [dim for dim in array.dims if dim != "replicate"]
    found = xr.Dataset({"mean": mean, "standard_error": error, "runs": runs})
    found = found.transpose(*order, missing_dims="ignore")
    found["mean"].attrs = dict(array.attrs)
    return found


def count_by_status(status: xr.DataArray) -> xr.DataArray:
    """How many runs ended in each way.

    Parameters
    ----------
    status : xarray.DataArray
        Status of runs, with dim `replicate`.

    Returns
    -------
    xarray.DataArray
        Of the other dims and `status`, whose values are the words of `STATUS_WORDS`; over that dim
        the counts sum to the number of replicates.
    """
    words = xr.DataArray(list(STATUS_WORDS.values()), dims="status")
    codes = xr.DataArray(list(STATUS_WORDS), {"status": words}, dims="status")
    found = (status == codes).sum("replicate").transpose(..., "status")
    return found.rename("status_count").assign_attrs(long_name="runs that ended so")


def summary(ds: xr.Dataset) -> xr.Dataset:
    """Means with standard errors and medians over replicates, and counts of how the runs ended.

    A mean is over the runs with a valid last state (done, zero gradient, not reached, or
    interpolated). If these are not all runs, it is a mean over survivors: see `runs` and
    `status_count`.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study or of `simulate`: with dim `replicate`, and `status`.

    Returns
    -------
    xarray.Dataset
        Without the dim `replicate`. For every recorded variable but status and status_step, under
        its own name the mean, as `NAME_sem` the standard error of that mean from the spread of the
        replicates (NaN for fewer than two runs), and as `NAME_median` the median, all in the
        variable's units. `runs`: runs in the means and medians. `status_count (…, status)`: runs
        that ended as "missing" (not computed yet), "done", "zero gradient", "non-finite", "failed",
        "masked", "not reached" or "interpolated"; these sum to the number of replicates.

    Raises
    ------
    InputError
        If there is no `replicate` or no `status`.

    Notes
    -----
    `test_error_se` is the standard error of one run's estimate, and of this there is a mean too;
    `test_error_sem` holds both that and the spread of the replicates.

    Examples
    --------
    >>> data = simdyn.SignalNoiseData(n_samples=10, dimension=100, signal_norm=3.0)
    >>> net = simdyn.TwoLayerCNN(n_filters=2, init_std=0.01)
    >>> ds = simdyn.simulate(data, net, simdyn.SGD(learning_rate=0.1, epochs=9), replicates=3)
    >>> found = simdyn.summary(ds)
    >>> all_done = found.test_error.where(found.runs == ds.sizes["replicate"])
    >>> int(found.status_count.sel(status="done"))
    3
    >>> table = found[["train_loss", "train_loss_sem", "train_loss_median"]].to_dataframe()
    >>> list(table.columns)
    ['train_loss', 'train_loss_sem', 'train_loss_median', 'updates']
    """
    found = _statistics(ds)
    for key, array in ds.data_vars.items():
        if key in found.data_vars:
            median = _median(array, ds["status"])
            found[f"{key}_median"] = median.assign_attrs(
                {**array.attrs, "long_name": f"median {array.attrs.get('long_name', key)}"}
            )
    return found


def _median(array: xr.DataArray, status: xr.DataArray) -> xr.DataArray:
    """The median over replicates, NaN just where the mean is."""
    valid = status.isin(VALID)
    median = array.astype(np.float64).where(valid).median("replicate", skipna=True)
    return median.where(~(array.isnull() & valid).any("replicate"))


def _statistics(ds: xr.Dataset) -> xr.Dataset:
    """The summary without medians, which figures do not show."""
    if (
        not isinstance(ds, xr.Dataset)
        or "status" not in ds.data_vars
        or "replicate" not in ds["status"].dims
    ):
        raise InputError(
            "summary: these results have no dim 'replicate' with a status; allowed "
            "are results of a study or of simulate"
        )
    found = {}
    for key, array in ds.data_vars.items():
        if "replicate" not in array.dims or key in ("status", "status_step"):
            continue
        name, long_name = str(key), array.attrs.get("long_name", key)
        each = over_replicates(array, ds["status"])
        found[name] = each["mean"].assign_attrs(long_name=f"mean {long_name}")
        found[f"{name}_sem"] = each["standard_error"].assign_attrs(
            long_name=f"standard error of the mean {long_name}",
            **{key: text for key, text in array.attrs.items() if key == "units"},
            description="From the spread of the replicates; NaN for fewer than two runs.",
        )
    runs = ds["status"].isin(VALID).sum("replicate")
    found["runs"] = runs.assign_attrs(
        long_name="runs behind the means",
        description="Replicates whose status is done, zero gradient, not reached or interpolated.",
    )
    found["status_count"] = count_by_status(ds["status"])
    return xr.Dataset(found, attrs=ds.attrs)


def last_summary(ds: xr.Dataset, *variables: str) -> xr.Dataset:
    """`summary` of the last recorded state of some variables, without medians."""
    states = {name: _last_state(ds, name) for name in variables}
    return _statistics(xr.Dataset({**states, "status": ds["status"]}, attrs=ds.attrs))


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
        without a valid last state. NaN only if `runs` is 0 or a valid run
        itself holds a NaN.
    """
    found = last_summary(ds, variable)
    left_out = ds.sizes["replicate"] - found["runs"]
    left_out.attrs = {"long_name": "runs without a valid state, left out of the mean"}
    return found[variable].assign_coords(runs=found["runs"], left_out=left_out)


def largest_coefficients(ds: xr.Dataset) -> xr.Dataset:
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
    found = xr.Dataset()
    if "signal_coef" in ds:
        signal = ds["signal_coef"].max(("sign", "filter"))
        names = {"symbol": "max γ_{j,r}", "long_name": "largest signal coefficient"}
        found["largest_signal"] = signal.assign_attrs(names)
    if "noise_coef" in ds:
        noise, over = ds["noise_coef"], ("sign", "filter", "sample")
        names = {"symbol": "max ρ̄_{j,r,i}", "long_name": "largest noise coefficient"}
        found["largest_noise"] = noise.max(over).assign_attrs(names)
        names = {"symbol": "max −ρ̲_{j,r,i}", "long_name": "largest fall of a noise coefficient"}
        found["largest_fall"] = (-noise).max(over).assign_attrs(names)
    return found


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
    for method in (first, second):
        if method not in ds["method"].values:
            raise InputError(
                f"method = {method!r}: {nearest(method, map(str, ds['method'].values))}"
            )
    state = _last_state(ds, variable)
    one, other = (state.sel({"method": method}, drop=True) for method in (first, second))
    valid = ds["status"].isin(VALID)
    both = valid.sel({"method": [first, second]}).all("method")
    found = over_replicates(one - other, both.astype(np.int8))  # 1 is DONE, 0 MISSING
    name = ds[variable].attrs.get("long_name", variable)
    attrs = {**ds[variable].attrs, "long_name": f"{name}, {first} minus {second}"}
    found["mean"].attrs = attrs
    found["standard_error"].attrs = {"long_name": "standard error of the paired difference"}
    return found.rename(mean="difference", runs="pairs")


def contour(
    ds: xr.Dataset, variable: str, level: float, along: str, *, rising: bool = False
) -> xr.DataArray:
    """Where the mean of a variable falls to a level as a swept parameter grows.

    The mean is a straight line between grid values, over the logarithm of a grid that is spaced by
    a constant factor: see `simdyn.theory.crossing`.

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
        Values of `along`, over the other dims. Of several crossings the last, after which the mean
        may rise above the level but does not fall to it again; NaN if there is none. Coordinate
        `crossings` counts them; attributes `without_crossing` and `several_crossings` count the
        curves with none and with more than one.
    """
    mean = mean_state(ds, variable)
    _check_dim(mean, "along", along)
    mean = mean.sortby(along).transpose(..., along)
    grid, values = mean[along].values.astype(np.float64), mean.values
    if grid.size < 2:
        at, crossings = np.full(values.shape[:-1], np.nan), np.zeros(values.shape[:-1], np.int64)
    else:
        found = crossing(values, level, rising=rising)
        at, crossings = found.at(grid), found.number
    over = mean.dims[:-1]
    coords = {
        name: coord
        for name, coord in mean.coords.items()
        if along not in coord.dims and name not in (along, "runs", "left_out")
    }
    source = mean[along].attrs
    return xr.DataArray(
        at,
        {**coords, "crossings": (over, crossings)},
        over,
        name=along,
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
    )


@dataclasses.dataclass(frozen=True)
class ConstantFit:
    """A constant c in `contour ≈ c · scale`.

    Attributes
    ----------
    constant : float
        c; NaN if there is no point.
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
    """The constant that fits a law of known shape to a measured contour.

    Parameters
    ----------
    contour : xarray.DataArray
        Measured line; values that are not finite and positive are not used.
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
