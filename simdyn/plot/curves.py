"""Variables over one swept parameter, a line with its errors for each method."""

from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from simdyn.params import Curves
from simdyn.plot import artists, captions, missing, page
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

LEFT, GAP, RIGHT, TOP, PANEL, BELOW_PANEL = 0.55, 0.66, 0.12, 0.24, 1.75, 0.48  # inches
ROW_GAP = 0.2


def draw_curve(ax: Axes, mean: xr.DataArray, error: xr.DataArray, style: Any) -> list[Artist]:
    """Means over the array's dim, with two standard errors if there are any."""
    x = mean[mean.dims[0]].values
    bars = 2 * np.nan_to_num(error.values)
    yerr = bars if bars.any() else None
    return artists.draw_points(ax, x, mean.values, yerr=yerr, linewidth=1.0, **style)


def _draw_panel(ax: Axes, found: xr.Dataset, of: xr.DataArray, name: str, scale: str) -> None:
    """One variable: a curve for each method, marked at means that miss runs."""
    mean, error = found[name], found[f"{name}_sem"]
    x, none = mean[mean.dims[0]].values, (found["runs"] == 0) & (of > 0)
    ax.update_datalim(np.stack([x, x], axis=1), updatey=False)  # all that was swept
    for index in range(mean.sizes["method"]):
        one, runs, all_runs = (part.isel(method=index) for part in (mean, found["runs"], of))
        missing.hatch_stretches(ax, x, none.isel(method=index).values, index)
        draw_curve(ax, one, error.isel(method=index), STYLES[index])
        missing.ring_points(ax, one, runs, all_runs)
    if none.any():
        ax.set(xlim=artists.cell_edges(x)[[0, -1]])
    if scale == "log" and (mean > 0).any():  # a log axis needs a positive mean
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.yaxis.set_minor_formatter(NullFormatter())
        if high < 10.0 * low:  # too short for powers of ten
            ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:.3g}"))
            ax.yaxis.set_minor_formatter(FuncFormatter(lambda tick, _: f"{tick:.3g}"))
    else:
        ax.set_ylim(bottom=min(0.0, float(mean.min())))
        ax.yaxis.set_major_locator(MaxNLocator(6))


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


def _caption(ds: xr.Dataset, figure: Curves, methods: list[str]) -> list[str]:
    shown = ", ".join(
        f"({letter}) {ds[name].attrs.get('long_name', name)}"
        for letter, name in zip("abc", figure.variables, strict=False)
    )
    bars = "" if ds.sizes["replicate"] < 2 else "; bars: two standard errors"
    return [
        f"{shown}: mean over {missing.runs_in_means(ds, methods)}{bars}.",
        *missing.fewer_runs(ds, methods, figure.x),
        *missing.left_out(ds, methods),
        *captions.not_drawn(ds, methods),
        *captions.setting(ds, methods),
        captions.origin(ds),
    ]


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
    ds = checked(ds, figure)
    methods = list(figure.compare or map(str, ds["method"].values))
    found = analysis.last_summary(ds, *figure.variables).sel({"method": methods})
    found = found.transpose(figure.x, "method", ...)
    of = missing.expected(found["status_count"])
    fewer = (found["runs"] > 0) & (found["runs"] < of)
    handles = _legend(ds, methods, (found["runs"] == 0) & (of > 0), fewer)
    sheet = page.Sheet.of(figure)
    with artists.style(sheet.letters):
        panels = len(figure.variables)
        columns = sheet.columns(panels)
        rows = -(-panels // columns)
        height = PANEL + BELOW_PANEL
        made = page.Page(
            sheet,
            TOP + rows * height + (rows - 1) * ROW_GAP,
            handles,
            _caption(ds, figure, methods),
            columns=min(3, len(handles)),
        )
        wide = (sheet.width - LEFT - RIGHT - (columns - 1) * GAP) / columns
        for index, name in enumerate(figure.variables):
            row, column = divmod(index, columns)
            ax = made.add_axes(
                LEFT + column * (wide + GAP), TOP + row * (height + ROW_GAP), wide, PANEL
            )
            _draw_panel(ax, found, of, name, figure.scale)
            artists.scale(ax, "x", ds[figure.x].values)
            ax.set(xlabel=artists.label(ds[figure.x]), ylabel=artists.label(ds[name]))
            ax.set_title(f"({'abc'[index]})", pad=4, loc="left")
    return made.figure
