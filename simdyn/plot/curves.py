"""Variables over one swept parameter, a line with its errors for each method."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from simdyn.params import Curves
from simdyn.plot import artists, captions, missing, page, scales
from simdyn.plot.panels import Grid, Panels, compose
from simdyn.plot.source import checked
from simdyn.theory import analysis

# Different in greyscale too: by dashes, by markers, and by their filling.
STYLES: tuple[dict[str, Any], ...] = (
    {"linestyle": "-", "marker": "o", "markerfacecolor": "white"},
    {"linestyle": (0, (4, 1.6)), "marker": "s", "markerfacecolor": "black"},
    {"linestyle": (0, (1, 1.2)), "marker": "^", "markerfacecolor": "white"},
    {"linestyle": "-.", "marker": "D", "markerfacecolor": "black"},
    {"linestyle": "-", "marker": "v", "markerfacecolor": "black"},
    {"linestyle": (0, (6, 1, 1, 1, 1, 1)), "marker": "P", "markerfacecolor": "white"},
)

GRID = Grid(left=0.55, gap=0.66, right=0.12, top=0.24, panel=1.75, between=0.68, below=0.48)


def draw_curve(ax: Axes, mean: xr.DataArray, error: xr.DataArray, style: Any) -> list[Artist]:
    """Means over the array's dim, with two standard errors if there are any."""
    x = mean[mean.dims[0]].values
    bars = 2 * np.nan_to_num(error.values)
    yerr = bars if bars.any() else None
    return artists.draw_points(ax, x, mean.values, yerr=yerr, linewidth=1.0, **style)


def _draw_panel(ax: Axes, found: xr.Dataset, of: xr.DataArray, name: str, figure: Curves) -> None:
    """One variable: a curve for each method, marked at means that miss runs."""
    mean, error = found[name], found[f"{name}_sem"]
    x, none = mean[mean.dims[0]].values, (found["runs"] == 0) & (of > 0)
    scale = figure.x_scale or scales.usual_scale(x)
    ax.update_datalim(np.stack([x, x], axis=1), updatey=False)  # all that was swept
    for index in range(mean.sizes["method"]):
        one, runs, all_runs = (part.isel(method=index) for part in (mean, found["runs"], of))
        edges = scales.cell_edges(x, scale)
        missing.hatch_stretches(ax, edges, none.isel(method=index).values, index)
        draw_curve(ax, one, error.isel(method=index), STYLES[index])
        missing.ring_points(ax, one, runs, all_runs)
    if none.any():
        ax.set(xlim=scales.cell_edges(x, scale)[[0, -1]])
    if not scales.scale_measured(ax, figure.scale, mean.values):
        ax.set_ylim(bottom=min(0.0, float(mean.min())))
        ax.yaxis.set_major_locator(MaxNLocator(6))
    scales.set_scale(ax, "x", x, scale)
    ax.set(xlabel=artists.label(found[figure.x]), ylabel=artists.label(mean))


def _legend(
    ds: xr.Dataset, methods: list[str], none: xr.DataArray, fewer: xr.DataArray
) -> list[Artist]:
    """Methods, and marks of missing runs; only of what is drawn."""
    handles: list[Artist] = [
        artists.entry(captions.display_name(method, ds), **style)
        for method, style in zip(methods, STYLES, strict=False)
    ]
    if fewer.any():
        handles.append(missing.ring_entry())
    for index, method in enumerate(methods):
        if none.sel({"method": method}).any():
            handles.append(missing.hatch_entry(captions.display_name(method, ds), index))
    return handles


def _caption(
    ds: xr.Dataset, figure: Curves, methods: list[str], means: Sequence[xr.DataArray]
) -> list[str]:
    shown = ", ".join(
        f"({letter}) {ds[name].attrs.get('long_name', name)}"
        for letter, name in zip("abc", figure.variables, strict=False)
    )
    bars = "" if ds.sizes["replicate"] < 2 else "; bars: two standard errors"
    return [
        f"{shown}: mean over {missing.runs_in_means(ds, methods)}{bars}.",
        *missing.fewer_runs(ds, methods, figure.x),
        *(missing.off_log_axis(means, methods, ds) if figure.scale == "log" else []),
        *missing.left_out(ds, methods),
        *captions.not_drawn(ds, methods),
        *captions.setting(ds, methods),
        captions.origin(ds),
    ]


def panels(ds: xr.Dataset, figure: Curves) -> Panels:
    """A panel for each variable, apart from any sheet; `curves` has the parameters."""
    ds = checked(ds, figure)
    methods = list(figure.compare or map(str, ds["method"].values))
    found = analysis.last_summary(ds, *figure.variables).sel({"method": methods})
    found = found.transpose(figure.x, "method", ...)
    for name in (figure.x, *figure.variables):
        found[name].attrs.update(ds[name].attrs)
    of = missing.expected(found["status_count"])
    fewer = (found["runs"] > 0) & (found["runs"] < of)
    return Panels(
        {
            name: partial(_draw_panel, found=found, of=of, name=name, figure=figure)
            for name in figure.variables
        },
        _legend(ds, methods, (found["runs"] == 0) & (of > 0), fewer),
        _caption(ds, figure, methods, [found[name] for name in figure.variables]),
    )


def curves(ds: xr.Dataset, figure: Curves) -> matplotlib.figure.Figure:
    """Means of variables over one swept parameter, a panel for each variable.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study over the figure's axis, complete or as far as it is computed.
    figure : simdyn.params.Curves

    Returns
    -------
    matplotlib.figure.Figure
        As wide as the figure says, with a caption.

    Raises
    ------
    InputError
        If the figure names what the results do not have.
    """
    sheet = page.Sheet.of(figure)
    with artists.style(sheet.letters):
        shown = panels(ds, figure)
        grid = GRID.of(figure, sheet)
        return compose(sheet, grid, shown, most=len(shown.draw), loc="left")[0]
