"""The numbers that a figure shows, as a table."""

from typing import Any

import numpy as np
import xarray as xr

from simdyn.base.inputs import InputError
from simdyn.params import Collapse, CriticalLines, Curves, PhaseDiagram, Picture, Trajectories
from simdyn.params.figures import PANELS
from simdyn.plot.source import at_values, checked, labelled
from simdyn.theory import analysis
from simdyn.theory.scaling_collapse import collapse, rescaled
from simdyn.variables.outcomes import Outcome


def numbers(ds: xr.Dataset, figure: Picture, lines: xr.Dataset | None = None) -> Any:
    """What a figure shows, a row for each point of it: means over replicates, and their errors.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study; for trajectories those of `simulate` or `train`, too.
    figure : simdyn.params.Picture
    lines : xarray.Dataset, optional
        Solved lines on top of a phase diagram; those at the path `figure.lines` if absent.

    Returns
    -------
    pandas.DataFrame
        Columns: the axes of the figure (of trajectories `step` and `updates`), `method`, each
        variable, `NAME_sem`, its standard error, and `runs`, the runs in the mean. Of a phase
        diagram also `difference`, the first method minus this one over pairs of runs, with
        `difference_sem` and `pairs`, and `contour`, where the mean crosses the figure's level along
        y (of each method and x). Solved lines have rows of their own, with `critical_value`,
        `critical_low` and `critical_high`. Of the coefficients of trajectories the largest. Of a
        collapse also `rescaled`, the values of its x with the fitted powers taken out. Of critical
        lines what was solved for: `critical_value`, its interval, slope and level,
        `crossing_status` as a word, and `evaluations`.

    Raises
    ------
    InputError
        If the results do not have what the figure names or needs.
    """
    ds, figure = at_values(ds, figure), figure.replace(at=None)
    if isinstance(figure, Trajectories):
        return _of_trajectories(ds, figure)
    ds = checked(ds, figure)
    methods = list(getattr(figure, "compare", None) or map(str, ds["method"].values))
    if isinstance(figure, CriticalLines):
        return _of_critical_lines(ds.sel({"method": methods}), figure)
    if isinstance(figure, Collapse):
        return _of_collapse(ds.sel({"method": methods}), figure)
    if isinstance(figure, PhaseDiagram):
        found = analysis.last_summary(ds, figure.variable).sel({"method": methods})
        found = _with_differences(found, ds, figure, methods)
        order = [figure.x, figure.y, "method"]
    elif isinstance(figure, Curves):
        found = analysis.last_summary(ds, *figure.variables).sel({"method": methods})
        order = [figure.x, "method"]
    else:
        raise InputError(
            f"figure.kind = {figure.kind!r}: allowed are those with a table of numbers"
        )
    table = _tabulated(found.drop_dims("status"), order)
    if isinstance(figure, PhaseDiagram):
        from simdyn.plot.overlaid_lines import overlaid_lines

        if on_top := overlaid_lines(ds, figure, lines):
            return table.merge(on_top.table(), how="outer", on=order, sort=True)
    return table


def _with_differences(
    found: xr.Dataset, ds: xr.Dataset, figure: PhaseDiagram, methods: list[str]
) -> xr.Dataset:
    """Differences from the first method, and the contours."""
    # As the figure draws them: `measure` loads all that draws.
    from simdyn.plot.diagram_numbers import measure

    diagram = measure(ds, figure)
    found["contour"] = diagram.contours.drop_vars("crossings", errors="ignore")
    if diagram.differences is not None:
        apart = diagram.differences.reindex({"method": methods})
        found["difference"] = apart["difference"]
        found["difference_sem"] = apart["standard_error"]
        found["pairs"] = apart["pairs"]
    return found


def _of_trajectories(ds: xr.Dataset, figure: Trajectories) -> Any:
    ds, source = labelled(ds)
    ds = checked(ds, figure, source.possible)
    methods = list(figure.compare or map(str, ds["method"].values[:2]))
    shown = {name for panel in figure.panels or PANELS for name in PANELS[panel]}
    kept = ds[[name for name in ds.data_vars if name in shown or name == "status"]]
    largest = analysis.largest_coefficients(kept)
    apart = {"method", "replicate", "step"}
    scalars = kept[[name for name in kept.data_vars if {*kept[name].dims} <= apart]]
    every = [*methods, *(figure.overlay or ())]
    found = analysis.summary(scalars.assign(largest.data_vars)).sel({"method": every})
    return _tabulated(found.drop_dims("status").reset_coords("updates"), ["method", "step"])


def _of_critical_lines(ds: xr.Dataset, figure: CriticalLines) -> Any:
    """Of each point and method what was solved for."""
    (dim,) = ds[figure.x[0]].dims
    per_point = {"method", dim}
    found = ds[[name for name in ds.data_vars if {*ds[name].dims} == per_point]].load()
    words = np.array([outcome.name.lower() for outcome in Outcome])
    found["crossing_status"] = found["crossing_status"].copy(
        data=words[found["crossing_status"].values]
    )
    return _beside(found, [*figure.x, "method"], [str(dim), "method"])


def _of_collapse(ds: xr.Dataset, figure: Collapse) -> Any:
    """Of each point and method the mean, and x before and after it is rescaled."""
    kept = ds[[figure.variable, "status"]].sortby([*figure.along, figure.x]).load()
    fit = collapse(kept, figure.along, variable=figure.variable, x=figure.x, between=figure.between)
    found = analysis.last_summary(kept, figure.variable).drop_dims("status")
    found = found.assign({"rescaled": rescaled(kept, fit)})
    dims = list(dict.fromkeys(str(ds[name].dims[0]) for name in (*figure.along, figure.x)))
    return _beside(found, [*figure.along, figure.x, "method", "rescaled"], [*dims, "method"])


def _beside(found: xr.Dataset, first: list[str], order: list[str]) -> Any:
    """Rows in this order of dims, with these columns first: names that may lie along a dim."""
    table = found.to_dataframe(dim_order=order).reset_index()
    names = [str(name) for name in found.data_vars if name not in first]
    return table[[*first, *names]]


def _tabulated(found: xr.Dataset, order: list[str]) -> Any:
    """Rows in this order of dims, without coordinates that are no axes."""
    return _beside(
        found, [*order, *(name for name in ("updates",) if name in found.data_vars)], order
    )
