"""The phase diagram: one map for each of two methods, and one of their difference."""

import dataclasses
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simdyn import analysis
from simdyn.inputs import InputError, nearest
from simdyn.params import PhaseDiagram
from simdyn.plot import artists, page, words
from simdyn.plot.band import LAWS, Band, fitted_band

LINE_STYLES: tuple[Any, Any] = ("-", (0, (4, 1.6)))  # of the first and of the second method

LEFT, RIGHT, GAP = 0.48, 0.72, 0.12  # inches
TOP, PANEL, BELOW_PANEL = 0.24, 1.86, 0.48


# -- numbers -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Content:
    """All numbers of a phase diagram, before anything is drawn."""

    figure: PhaseDiagram
    methods: tuple[str, ...]
    mean: xr.DataArray  # (method, y, x)
    contours: xr.DataArray  # (method, x)
    hatched: xr.DataArray | None  # (method, y, x); None where no loss was recorded
    difference: xr.DataArray | None  # (y, x); None with one method
    error: xr.DataArray | None
    band: Band
    rising: bool  # does the variable grow with y?

    @property
    def names(self) -> list[str]:
        """Names of the methods as a reader knows them."""
        return [words.spoken(method) for method in self.methods]

    @property
    def reverse(self) -> xr.DataArray | None:
        """Cells where the difference is below minus two standard errors."""
        if self.difference is None or self.error is None:
            return None
        return self.difference < -2 * self.error


def _check(ds: xr.Dataset, figure: PhaseDiagram) -> xr.Dataset:
    """The dataset with the figure's two axes only, in increasing order."""
    swept = [str(dim) for dim in ds["status"].dims if dim not in ("method", "replicate")]
    for option in ("x", "y"):
        name = getattr(figure, option)
        if name not in swept:
            raise InputError(f"Figure.{option} = {name!r}: {nearest(name, swept)}")
        if not np.issubdtype(ds[name].dtype, np.number):
            raise InputError(f"Figure.{option} = {name!r}: allowed is a parameter with numbers")
    if figure.x == figure.y:
        raise InputError(f"Figure.y = {figure.y!r}: allowed is another parameter than Figure.x")
    for name in (name for name in swept if name not in (figure.x, figure.y)):
        if ds.sizes[name] > 1:
            raise InputError(
                f"Figure has the axes {figure.x} and {figure.y}, but {name} is swept too: "
                "choose one value of it"
            )
        ds = ds.isel({name: 0})
    return ds.sortby([figure.x, figure.y])


def _methods(ds: xr.Dataset, figure: PhaseDiagram) -> tuple[str, ...]:
    present = [str(name) for name in ds["method"].values]
    for name in figure.compare or ():
        if name not in present:
            raise InputError(f"Figure.compare: '{name}' is not a method; {nearest(name, present)}")
    return figure.compare or tuple(present[:2])


def measure(ds: xr.Dataset, figure: PhaseDiagram) -> Content:
    """Everything a phase diagram shows, from results.

    Raises
    ------
    InputError
        Where the figure names what the results do not have.
    """
    ds = _check(ds, figure)
    methods, plane = _methods(ds, figure), (figure.y, figure.x)

    def mean(variable: str) -> xr.DataArray:
        state = analysis.mean_state(ds, variable).sel({"method": list(methods)})
        return state.transpose("method", *plane)

    means, difference, error = mean(figure.variable), None, None
    if len(methods) == 2:
        difference = means[0].drop_vars("method") - means[1].drop_vars("method")
        paired = analysis.paired_difference(ds, figure.variable, *methods)
        error = paired["standard_error"].transpose(*plane)
    ends = means.sortby(figure.y).isel({figure.y: [0, -1]}).mean(["method", figure.x])
    rising = bool(ends[1] > ends[0])  # up the figure: with the noise, say, not with the signal
    contours = analysis.contour(ds, figure.variable, figure.level, figure.y, rising=rising)
    contours = contours.sel({"method": list(methods)}).transpose("method", figure.x)
    hatched = mean("train_loss") >= figure.hatch_loss if "train_loss" in ds else None
    loss = mean("train_loss")[0] if "train_loss" in ds else None
    band = fitted_band(ds, figure, methods[0], contours[0], loss)
    return Content(figure, methods, means, contours, hatched, difference, error, band, rising)


# -- words ---------------------------------------------------------------------------------------


def _about_lines(content: Content) -> list[str]:
    level, said = f"{content.figure.level:g}", []
    verb = "rise" if content.rising else "fall"
    for name, line in zip(content.names, content.contours, strict=True):
        lost, several = int(line.isnull().sum()), int((line["crossings"] > 1).sum())
        if lost == line.size:
            said.append(f"{name} has no contour: in no column does its mean {verb} to {level}.")
        elif lost:
            said.append(
                f"In {lost} of {line.size} columns {name}'s mean does not {verb} to {level}."
            )
        if several:
            drawn = "first" if content.rising else "last"
            said.append(f"In {words.count(several, 'column')} {name}'s mean {verb}s to {level} "
                        f"more than once, and the {drawn} is drawn.")  # fmt: skip
    return [*said, content.band.said] if content.band.said else said


def _about_cells(content: Content) -> list[str]:
    said, limit = [], f"{content.figure.hatch_loss:g}"
    hatched = content.hatched
    if hatched is None:
        said.append("The training loss was not recorded, so no cell is hatched.")
    elif not hatched.any():
        said.append(f"No cell's mean training loss is {limit} or more.")
    else:
        cells = ", ".join(f"{int(one.sum())} for {name}"
                          for name, one in zip(content.names, hatched, strict=True))  # fmt: skip
        either = ", in (c) under either method" if content.difference is not None else ""
        said.append(f"Hatched: mean training loss ≥ {limit}{either} "
                    f"(cells: {cells}, of {hatched[0].size}).")  # fmt: skip
    if content.difference is not None and content.error is not None and content.reverse is not None:
        reverse = int(content.reverse.sum())
        if content.error.isnull().all():
            said.append("One replicate gives no standard error of the difference.")
        elif reverse:
            said.append(
                f"Circles in (c): below −2 standard errors ({words.count(reverse, 'cell')})."
            )
        else:
            said.append("No difference is below −2 standard errors.")
        if (content.difference < 0).any():
            said.append("Negative differences have the colour of zero.")
    lost = int(content.mean["left_out"].sum())
    if lost:
        empty = int(content.mean.isnull().sum())
        said.append(f"{words.count(lost, 'run')} without a valid state left out; crosses: "
                    f"none valid ({words.count(empty, 'cell')}).")  # fmt: skip
    return said


def caption(ds: xr.Dataset, content: Content) -> list[str]:
    """Sentences: what is shown, how it was made, and what could not be drawn."""
    figure, names = content.figure, content.names
    panels = ", ".join(f"({letter}) {name}" for letter, name in zip("ab", names, strict=False))
    what = content.mean.attrs.get("long_name", figure.variable)
    first = f"{panels}: {what} over {words.count(ds.sizes['replicate'], 'replicate')}"
    if content.difference is not None:
        first += f"; (c) {names[0]} minus {names[1]}, on the same colour scale"
    return [
        f"{first}.",
        *words.setting(ds, content.methods),
        *(
            [f"Black lines: contours at {figure.level:g}."]
            if content.contours.notnull().any()
            else []
        ),
        *_about_lines(content),
        *_about_cells(content),
        words.origin(ds),
    ]


# -- drawing -------------------------------------------------------------------------------------


def _shared_scale(mean: xr.DataArray) -> Normalize:
    finite = mean.values[np.isfinite(mean.values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low = min(low, 0.0)  # so that no difference is on the scale too
    return Normalize(low, high if high > low else low + 1.0)


def draw_method(
    ax: Axes, content: Content, index: int, norm: Normalize
) -> tuple[QuadMesh, list[Artist]]:
    """The map of one method: cells, hatching, its contour, and the law fitted to the first's."""
    mesh, drawn = artists.draw_cells(ax, content.mean[index], norm)
    if content.hatched is not None:
        drawn += artists.hatch_cells(ax, content.hatched[index], mesh)
    if content.band.line is not None and index == 0:
        drawn += artists.draw_law(ax, content.band.line)
    drawn += artists.draw_contour(ax, content.contours[index], LINE_STYLES[index])
    return mesh, drawn


def draw_difference(ax: Axes, content: Content, norm: Normalize) -> tuple[QuadMesh, list[Artist]]:
    """The map of the first method minus the second, with both contours."""
    assert content.difference is not None
    assert content.reverse is not None
    mesh, drawn = artists.draw_cells(ax, content.difference, norm)
    if content.hatched is not None:
        drawn += artists.hatch_cells(ax, content.hatched.any("method"), mesh)
    for line, style in zip(content.contours, LINE_STYLES, strict=True):
        drawn += artists.draw_contour(ax, line, style)
    drawn += artists.mark_cells(
        ax, content.reverse, marker="o", color="black", markerfacecolor="white", markersize=2.6,
        markeredgewidth=0.6, gid="reverse",
    )  # fmt: skip
    return mesh, drawn


def _legend(content: Content) -> list[Artist]:
    """What each kind of line and hatching means; only of what is drawn."""
    figure = content.figure
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.5}
    level = f"{content.mean.attrs.get('long_name', figure.variable)} = {figure.level:g}"
    handles: list[Artist] = []
    for name, line, style in zip(content.names, content.contours, LINE_STYLES, strict=False):
        if line.notnull().any():
            handles.append(
                Line2D([], [], color="black", lw=1.2, linestyle=style, label=f"{name}: {level}")
            )
    if content.band.line is not None:
        law, slope = LAWS[content.band.name]
        handles.append(Patch(**box, label=f"${law}$, {slope}: theory, height: fitted"))
    if content.hatched is not None and content.hatched.any():
        loss = f"mean training loss ≥ {figure.hatch_loss:g}"
        handles.append(Patch(**box, hatch=artists.HATCH, label=loss))
    return handles


def phase_diagram(ds: xr.Dataset, figure: PhaseDiagram) -> matplotlib.figure.Figure:
    """Maps of a variable for two methods and of their difference, on one colour scale.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study over the figure's two axes, all of it or what is done so far.
    figure : simdyn.params.PhaseDiagram

    Returns
    -------
    matplotlib.figure.Figure
        7 inches wide, with a caption. What cannot be drawn (a contour outside the grid, a fit, a
        cell without a run) is missing from the picture and named in the caption.

    Raises
    ------
    InputError
        Where the figure names what the results do not have.
    """
    content = measure(ds, figure)
    with artists.style():
        return _compose(content, caption(ds, content))


def _compose(content: Content, sentences: list[str]) -> matplotlib.figure.Figure:
    """Lay out panels, colour bar, legend and caption."""
    panels = len(content.methods) + (content.difference is not None)
    wide = (page.WIDTH - LEFT - RIGHT - 2 * GAP) / 3
    sheet = page.Page(TOP + PANEL + BELOW_PANEL, _legend(content), sentences)
    norm = _shared_scale(content.mean)
    axes: list[Axes] = []
    for index in range(panels):
        share = axes[0] if axes else None
        ax = sheet.add_axes(LEFT + index * (wide + GAP), TOP, wide, PANEL, sharex=share,
                            sharey=share)  # fmt: skip
        axes.append(ax)
        if index < len(content.methods):
            mesh, _ = draw_method(ax, content, index, norm)
            title = content.names[index]
        else:
            mesh, _ = draw_difference(ax, content, norm)
            title = " − ".join(content.names)
        ax.set_title(f"({'abc'[index]}) {title}", pad=4)
        ax.set_xlabel(artists.label(content.mean[content.figure.x]))
        ax.tick_params(which="both", labelleft=index == 0)
    axes[0].set_ylabel(artists.label(content.mean[content.figure.y]))

    beside = sheet.add_axes(LEFT + panels * (wide + GAP), TOP, 0.11, PANEL)
    bar = sheet.figure.colorbar(mesh, cax=beside)
    what = content.mean.attrs.get("long_name", content.figure.variable)
    bar.set_label(f"{what}, or difference" if panels > 2 else what)
    return sheet.figure
