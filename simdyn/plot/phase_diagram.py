"""The phase diagram: a map for each method, and one of each difference from the first."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import matplotlib
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simdyn.base.inputs import InputError, nearest
from simdyn.params import PhaseDiagram
from simdyn.plot import artists, page, scales
from simdyn.plot.band import LAWS
from simdyn.plot.diagram_caption import caption
from simdyn.plot.diagram_numbers import Coverage, Diagram, measure
from simdyn.plot.overlaid_lines import OverlaidLines, overlaid_lines
from simdyn.plot.panels import Draw, Grid, Panels, add_letter

LINE_STYLES: tuple[Any, Any] = ("-", (0, (4, 1.6)))  # of the first and of every other method
FEWER: dict[str, Any] = {
    "marker": "D",
    "color": "black",
    "markerfacecolor": "white",
    "markersize": 3.2,
    "markeredgewidth": 0.5,
}
NONE: dict[str, Any] = {"marker": "x", "color": "black", "markersize": 3}
REVERSE: dict[str, Any] = {
    "marker": "o",
    "color": "black",
    "markerfacecolor": "white",
    "markersize": 2.6,
    "markeredgewidth": 0.6,
}

COLUMNS = 3
GRID = Grid(left=0.48, gap=0.14, right=0.16, top=0.24, panel=1.86, between=0.3, below=0.5)
BAR, BELOW_BAR = 0.09, 0.46  # inches
BETWEEN_BARS = 0.3  # room for the numbers at their ends


def _scale_of_means(mean: xr.DataArray) -> Normalize:
    finite = mean.values[np.isfinite(mean.values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low = min(low, 0.0)
    return Normalize(low, high if high > low else low + 1.0)


def _scale_of_differences(diagram: Diagram) -> Normalize:
    """Symmetric about zero, whose colour is the middle one."""
    differences = diagram.differences
    values = np.empty(0) if differences is None else differences["difference"].values
    most = float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0
    return Normalize(-most, most)


def _draw_map(
    ax: Axes,
    diagram: Diagram,
    cells: xr.DataArray,
    runs: Coverage,
    norm: Normalize,
    cmap: str,
    methods: list[int],
) -> QuadMesh:
    """Cells, of these methods together, with their marks, on axes with scales and labels."""
    figure = diagram.figure
    scales.set_scale(ax, "x", cells[figure.x].values, figure.x_scale)
    scales.set_scale(ax, "y", cells[figure.y].values, figure.y_scale)
    ax.set(
        xlabel=artists.label(diagram.mean[figure.x]), ylabel=artists.label(diagram.mean[figure.y])
    )
    hatched = None if diagram.hatched is None else diagram.hatched[methods].any("method")
    faint = _faint(diagram, methods)
    mesh = artists.draw_cells(ax, cells, norm, cmap)
    if faint is not None:
        artists.veil_cells(ax, faint)
    if hatched is not None:
        artists.hatch_cells(ax, hatched, mesh)
    artists.mark_cells(ax, runs.none, **NONE, gid="absent")
    artists.mark_cells(ax, runs.fewer, **FEWER, gid="fewer")
    return mesh


def _colours(figure: PhaseDiagram) -> str:
    """The colour map of the means.

    Raises
    ------
    InputError
        If matplotlib has none of this name.
    """
    if figure.colours not in matplotlib.colormaps:
        hint = nearest(figure.colours, list(matplotlib.colormaps))
        raise InputError(f"figure.colours = {figure.colours!r}: {hint}")
    return figure.colours


def _faint(diagram: Diagram, methods: list[int]) -> xr.DataArray | None:
    """Cells that are drawn faint, for any of these methods is interpolated there."""
    if diagram.figure.interpolated == "plain":
        return None
    return diagram.interpolated[methods].any("method")


def draw_method(ax: Axes, diagram: Diagram, index: int, norm: Normalize) -> QuadMesh:
    """The map of one method: cells, hatching, its contour, and the law fitted to the first's."""
    runs, colours = diagram.runs.map(index), _colours(diagram.figure)
    mesh = _draw_map(ax, diagram, diagram.mean[index], runs, norm, colours, [index])
    if diagram.band.line is not None and index == 0:
        artists.draw_law(ax, diagram.band.line)
    style = LINE_STYLES[min(index, 1)]
    for level, line in diagram.thin.items():
        artists.draw_thin_contour(ax, line[index], level, style)
    artists.draw_contour(ax, diagram.contours[index], style)
    ax.set_title(diagram.names[index], pad=4)
    return mesh


def draw_difference(ax: Axes, diagram: Diagram, index: int, norm: Normalize) -> QuadMesh:
    """The map of the first method minus another, with the contours of both."""
    assert diagram.differences is not None
    assert diagram.pairs is not None
    assert diagram.reverse is not None
    both = [0, index]
    cells, runs = diagram.differences["difference"][index - 1], diagram.pairs.map(index - 1)
    mesh = _draw_map(ax, diagram, cells, runs, norm, artists.DIFFERENCES, both)
    for line, style in zip(diagram.contours[both], LINE_STYLES, strict=True):
        artists.draw_contour(ax, line, style)
    artists.mark_cells(ax, diagram.reverse[index - 1], **REVERSE, gid="reverse")
    first, other = (diagram.names[k] for k in both)
    ax.set_title(f"{first} − ({other})" if ", " in other else f"{first} − {other}", pad=4)
    return mesh


def _legend(diagram: Diagram) -> list[Artist]:
    """Entries for the kinds of lines, hatching and marks that are drawn."""
    figure = diagram.figure
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.5}
    level = f"{diagram.mean.attrs.get('long_name', figure.variable)} = {figure.level:g}"
    first, *others = diagram.names
    names = [first, others[0] if len(others) == 1 else "other methods"]
    there = [diagram.contours[0].notnull().any(), diagram.contours[1:].notnull().any()]
    handles: list[Artist] = [
        Line2D([], [], color="black", lw=1.2, linestyle=style, label=f"{name}: {level}")
        for name, style, drawn in zip(names, LINE_STYLES, there, strict=True)
        if drawn
    ]
    if diagram.band.line is not None:
        law, slope = LAWS[diagram.band.name]
        handles.append(Patch(**box, label=f"${law}$, {slope}: theory, height: fitted"))
    if diagram.hatched is not None and diagram.hatched.any():
        loss = f"mean training loss ≥ {figure.hatch_loss:g}"
        handles.append(Patch(**box, hatch=artists.HATCH, label=loss))
    runs = diagram.runs
    marks = [
        (runs.fewer, FEWER, "fewer than all runs finished"),
        (runs.none, NONE, "no run finished"),
    ]
    if diagram.reverse is not None:
        below = f"{first} − {names[1]} < −2 standard errors"
        marks.append((diagram.reverse, REVERSE, below.replace("other methods", "other")))
    handles += [
        Line2D([], [], linestyle="none", label=text, **look)
        for cells, look, text in marks
        if cells.any()
    ]
    if runs.masked.any():
        grey = {**box, "facecolor": artists.GHOST}
        handles.append(Patch(**grey, label="masked by the study"))
    return handles


def _with_lines(
    ax: Axes,
    draw: Callable[[Axes], QuadMesh],
    lines: OverlaidLines | None,
    styles: Mapping[str, Any],
) -> QuadMesh:
    """A panel with the solved lines of its methods on top."""
    mesh = draw(ax)
    for method, style in styles.items():
        if lines is not None:
            lines.draw(ax, method, style)
    return mesh


def panels(ds: xr.Dataset, figure: PhaseDiagram, lines: xr.Dataset | None = None) -> Panels:
    """A panel for each method and difference, apart from any sheet, as `phase_diagram` has them."""
    return _measured(ds, figure, lines)[0]


def _measured(
    ds: xr.Dataset, figure: PhaseDiagram, lines: xr.Dataset | None
) -> tuple[Panels, Diagram]:
    """The panels and their numbers."""
    ds = _read_once(ds, figure)
    diagram, on_top = measure(ds, figure), overlaid_lines(ds, figure, lines)
    means, differences = _scale_of_means(diagram.mean), _scale_of_differences(diagram)
    styles = {name: LINE_STYLES[min(k, 1)] for k, name in enumerate(diagram.methods)}
    draw: dict[str, Draw] = {}
    for index, method in enumerate(diagram.methods):
        own = partial(draw_method, diagram=diagram, index=index, norm=means)
        draw[method] = partial(_with_lines, draw=own, lines=on_top, styles={method: styles[method]})
    for index, method in enumerate(diagram.methods[1:], start=1):
        own = partial(draw_difference, diagram=diagram, index=index, norm=differences)
        both = {name: styles[name] for name in (diagram.methods[0], method)}
        draw[f"{diagram.methods[0]} − {method}"] = partial(
            _with_lines, draw=own, lines=on_top, styles=both
        )
    handles = _legend(diagram) + (on_top.legend(diagram.methods, LINE_STYLES) if on_top else [])
    sentences = caption(ds, diagram, on_top.sentences if on_top else ())
    return Panels(draw, handles, sentences), diagram


def _read_once(ds: xr.Dataset, figure: PhaseDiagram) -> xr.Dataset:
    """Results with the last states that are drawn in memory: they are looked at many times."""
    if ds.sizes.get("step", 0) > 1:
        ds = ds.isel({"step": [-1]})
    names = [name for name in ("status", "train_loss", figure.variable) if name in ds]
    return ds.assign({name: ds[name].compute() for name in names})


def phase_diagram(
    ds: xr.Dataset, figure: PhaseDiagram, lines: xr.Dataset | None = None
) -> matplotlib.figure.Figure:
    """Maps of a variable for each method, and of the first method minus each other.

    Differences are over pairs of runs of one replicate, on a diverging scale about zero.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study over the figure's two axes, complete or as far as it is computed.
    figure : simdyn.params.PhaseDiagram
    lines : xarray.Dataset, optional
        Solved lines to be drawn on top; those at the path `figure.lines` if absent.

    Returns
    -------
    matplotlib.figure.Figure
        With as many maps in a row as there is room for, and a caption. What cannot be drawn (a
        contour outside the grid, a fit, a cell without a run) is missing from the picture and named
        in the caption.

    Raises
    ------
    InputError
        If the figure names what the results do not have, or lines that do not belong on it.
    """
    sheet = page.Sheet.of(figure)
    with artists.style(sheet.letters):
        return _compose(sheet, GRID.of(figure, sheet), *_measured(ds, figure, lines))


def _add_bar(
    made: page.Page,
    mesh: QuadMesh,
    box: tuple[float, float, float],
    label: str,
    ends: tuple[float, float] | None = None,
) -> None:
    """A colour bar in a box (left, top, width), cut at the given ends."""
    left, top, wide = box
    ax = made.add_axes(left, top, wide - max(GRID.gap, BETWEEN_BARS), BAR)
    bar = made.figure.colorbar(mesh, cax=ax, orientation="horizontal", label=label)
    if ends is not None:
        bar.ax.set_xlim(*ends)


def _ends_of_differences(diagram: Diagram) -> tuple[float, float] | None:
    """The part of the diverging scale that is in use; it includes zero."""
    assert diagram.differences is not None
    values = diagram.differences["difference"].values
    values = values[np.isfinite(values)]
    ends = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    return ends if ends[0] < ends[1] else None


def _compose(
    sheet: page.Sheet, grid: Grid, shown: Panels, diagram: Diagram
) -> matplotlib.figure.Figure:
    """Lay out panels, colour bars, legend and caption."""
    number, count = len(diagram.methods), len(shown.draw)
    columns = sheet.columns(COLUMNS)
    wide = grid.wide(sheet, columns)
    rows = -(-count // columns)
    bars_at = grid.top + rows * grid.panel + (rows - 1) * grid.between + grid.below
    # Beside each other if there is room, else below each other.
    second = 0.0 if columns > 1 or number == 1 else BAR + BELOW_BAR
    made = page.Page(sheet, bars_at + second + BAR + BELOW_BAR, shown.handles, shown.sentences)
    axes: list[Axes] = []
    meshes: list[Any] = []
    for k, draw in enumerate(shown.draw.values()):
        share = axes[0] if axes else None
        ax = grid.add(made, k, columns, sharex=share, sharey=share)
        axes.append(ax)
        meshes.append(draw(ax))
        add_letter(ax, k)
        lowest, leftmost = k + columns >= count, k % columns == 0
        ax.tick_params(which="both", labelleft=leftmost, labelbottom=lowest)
        if not lowest:
            ax.set_xlabel("")
        if not leftmost:
            ax.set_ylabel("")
    what = diagram.mean.attrs.get("long_name", diagram.figure.variable)
    first = max(1, min(number, columns - 1))  # panels above the bar of means
    _add_bar(made, meshes[0], (grid.left, bars_at, first * (wide + grid.gap)), what)
    if number > 1:
        left = grid.left + (columns - 1) * (wide + grid.gap)
        box = (left, bars_at + second, wide + grid.gap)
        _add_bar(made, meshes[-1], box, "difference", _ends_of_differences(diagram))
    return made.figure
