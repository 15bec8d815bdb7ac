"""The maps of a report, which a reader can move in: hover for values with their errors."""

from typing import Any

import numpy as np
import xarray as xr
from bokeh.embed import components
from bokeh.layouts import column
from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper
from bokeh.palettes import Cividis256, RdBu11, interp_palette
from bokeh.resources import Resources

from simdyn.explore.map_drawings import cell_columns, cell_panel
from simdyn.explore.phase_map import is_logarithmic
from simdyn.params import PhaseDiagram
from simdyn.theory import analysis

HEIGHT = 420


def interactive_maps(ds: xr.Dataset, figure: PhaseDiagram) -> tuple[str, str]:
    """Scripts for the head of a page, and the maps of all methods and differences.

    Parameters
    ----------
    ds : xarray.Dataset
        Results over the figure's two axes.
    figure : PhaseDiagram

    Returns
    -------
    (str, str)
        Everything is in them; nothing is fetched.
    """
    ds = ds.squeeze([dim for dim in ds["status"].dims if dim not in _kept(figure)], drop=True)
    ds = ds.sortby([figure.x, figure.y])
    methods = list(figure.compare or map(str, ds["method"].values))
    plane = (figure.y, figure.x)
    found = analysis.last_summary(ds, figure.variable)
    x, y = (ds[name].values.astype(np.float64) for name in (figure.x, figure.y))
    logarithmic = (is_logarithmic(x, figure.x_scale), is_logarithmic(y, figure.y_scale))
    cells: dict[str, np.ndarray] = cell_columns(x, y, logarithmic)
    source = ColumnDataSource(name="cells")
    panels = []
    means = found[figure.variable].sel({"method": methods})
    colours = _scale(means.values, Cividis256, symmetric=False)
    for k, method in enumerate(methods):
        one = found.sel({"method": method}).transpose(*plane, ...)
        cells |= {
            f"value{k}": one[figure.variable].values.ravel().astype(np.float32),
            f"error{k}": one[f"{figure.variable}_sem"].values.ravel().astype(np.float32),
            f"runs{k}": one["runs"].values.ravel().astype(np.int32),
        }
        panels.append(_panel(source, figure, method, str(k), colours, logarithmic))
    pairs = [
        analysis.paired_difference(ds, figure.variable, methods[0], other).transpose(*plane)
        for other in methods[1:]
    ]
    if pairs:
        shades = interp_palette(RdBu11[::-1], 255)
        colours = _scale(np.array([pair["difference"].values for pair in pairs]), shades)
    for k, (other, pair) in enumerate(zip(methods[1:], pairs, strict=True)):
        cells |= {
            f"value_minus{k}": pair["difference"].values.ravel().astype(np.float32),
            f"error_minus{k}": pair["standard_error"].values.ravel().astype(np.float32),
            f"runs_minus{k}": pair["pairs"].values.ravel().astype(np.int32),
        }
        title = f"{methods[0]} − {other}"
        panels.append(_panel(source, figure, title, f"_minus{k}", colours, logarithmic))
    source.data = cells
    for panel in panels[1:]:
        panel.x_range, panel.y_range = panels[0].x_range, panels[0].y_range
    script, drawing = components(column(*panels, sizing_mode="stretch_width"))
    resources = Resources(mode="inline", components=["bokeh"])
    return resources.render_js() + script, drawing


def _kept(figure: PhaseDiagram) -> set[str]:
    return {figure.x, figure.y, "method", "replicate"}


def _scale(
    values: np.ndarray, palette: tuple[str, ...], *, symmetric: bool = True
) -> LinearColorMapper:
    finite = values[np.isfinite(values)]
    high = float(np.abs(finite).max(initial=0.0) if symmetric else finite.max(initial=0.0)) or 1.0
    low = -high if symmetric else min(float(finite.min(initial=0.0)), 0.0)
    return LinearColorMapper(palette, low=low, high=high, nan_color="#cccccc")


def _panel(
    source: ColumnDataSource,
    figure: PhaseDiagram,
    title: str,
    suffix: str,
    colours: LinearColorMapper,
    logarithmic: tuple[bool, bool],
) -> Any:
    labels, field = (figure.x, figure.y), f"value{suffix}"
    drawing, quads = cell_panel(labels, logarithmic, source, field, colours)
    drawing.height, drawing.title.text = HEIGHT, f"{figure.variable}: {title}"
    tips = [
        (figure.x, "@x"),
        (figure.y, "@y"),
        (title, f"@value{suffix} ± @error{suffix}"),
        ("runs", f"@runs{suffix}"),
    ]
    drawing.add_tools(HoverTool(renderers=[quads], tooltips=tips))
    drawing.add_layout(ColorBar(color_mapper=colours, height=8, padding=4), "below")
    return drawing
