"""Two methods over the course of training: coefficients, losses, deactivation, sharpness, SAM gap.

A line style is a method, a marker is a quantity, grey is a prediction, in every panel.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from simdyn.params import Trajectories
from simdyn.params.figures import PANELS
from simdyn.plot import artists, captions, missing, page, scales
from simdyn.plot.course import (
    Course,
    drawn_times,
    outside_regime,
    predicted_deactivation,
    predicted_times,
    read_course,
)
from simdyn.plot.panels import Draw, Grid, Panels, compose
from simdyn.theory import analysis

LINE_STYLES: tuple[Any, Any] = ("-", (0, (4, 1.6)))  # of the first and of the second method
GREY = "#8c8c8c"
PREDICTED: dict[str, Any] = {"color": GREY, "linewidth": 1.6, "zorder": 0}
BELOW: dict[str, Any] = {"color": "#bdbdbd", "linewidth": 3.2, "zorder": 0.5}  # overlaid methods
BAND: dict[str, Any] = {"color": "black", "alpha": 0.15, "linewidth": 0}
MARKERS = {  # of quantities that share a panel, with their symbols
    "largest_signal": ("o", r"$\max\,\gamma$"),
    "largest_noise": ("s", r"$\max\,\bar{\rho}$"),
    "largest_fall": ("v", r"$\max\,-\underline{\rho}$"),
    "test_error": ("x", "test error"),
}
TIMES = {"largest_noise": r"$\bar{\rho}$", "largest_signal": r"$\gamma$"}
MARKED = 9  # markers on a line

GRID = Grid(left=0.5, gap=0.55, right=0.08, top=0.26, panel=1.45, between=0.72, below=0.5)
COLUMNS = 3


# -- panels --------------------------------------------------------------------------------------


SMALL: dict[str, Any] = {
    "markersize": 3.2,
    "markerfacecolor": "white",
    "markeredgewidth": 0.7,
    "linestyle": "none",
}


def draw_course(
    ax: Axes, course: Course, array: xr.DataArray, method: str, index: int, marker: str = ""
) -> list[Artist]:
    """The mean over replicates with a band of two standard errors, in the style of the method.

    Below it, without a band, that of the method it overlays.
    """
    for other in course.overlay[index : index + 1]:
        mean = course.statistics(array, other)["mean"].values
        mean = np.where(mean > 0, mean, np.nan) if ax.get_yscale() == "log" else mean
        ax.plot(course.updates[other], mean, **BELOW)
    found, at = course.statistics(array, method), course.updates[method]
    mean, error = found["mean"].values, 2 * np.nan_to_num(found["standard_error"].values)
    if ax.get_yscale() == "log":
        mean = np.where(mean > 0, mean, np.nan)  # zero, of the initial state, has no logarithm
    places = _marked(at, course.figure.x_scale)
    return [
        *ax.plot(
            at,
            mean,
            color="black",
            linewidth=1.1,
            marker=marker,
            markevery=places,
            **SMALL | {"linestyle": LINE_STYLES[index]},
        ),
        ax.fill_between(at, mean - error, mean + error, **BAND),
    ]


def _marked(at: np.ndarray, scale: str) -> list[int]:
    """States with a marker, evenly spaced on the axis."""
    low = at[at > 0][0] if scale == "symlog" else at[0]
    even = (np.linspace if scale == "linear" else np.geomspace)(low, at[-1], MARKED)
    return [int(place) for place in np.unique(np.searchsorted(at, even[:-1]))]


def draw_growth(ax: Axes, course: Course, index: int) -> None:
    """Largest coefficients of one method, and the times at which they should be of order one."""
    method = course.methods[index]
    grown = analysis.largest_coefficients(course.ds)
    if not missing.finished(missing.counts(course.ds, [method])).any():
        missing.hatch_panel(ax, index)
    ax.set(title=f"{captions.display_name(method, course.ds)}: growth", yscale="log")
    ax.set_ylabel("largest coefficients")
    for name, array in grown.data_vars.items():
        draw_course(ax, course, array, method, index, MARKERS[str(name)][0])
    # One scale for both methods, without diverged runs.
    means = [
        course.statistics(array, other)["mean"].values
        for array in grown.data_vars.values()
        for other in course.methods
    ]
    heights = np.concatenate(means)
    top = float(np.max(heights, where=np.isfinite(heights), initial=0.0)) or 1.0
    ax.set_ylim(max(1e-4 * top, 1e-12), 2.5 * top)
    ax.axhline(1.0, color=GREY, linewidth=0.5, zorder=0)
    for name, time in drawn_times(course, method).items():
        ax.axvline(time, **PREDICTED, gid=f"time of {name}")
        ax.plot(
            [time],
            [0.95],
            transform=ax.get_xaxis_transform(),
            color=GREY,
            marker=MARKERS[name][0],
            **SMALL,
        )


def _scaled(ax: Axes, course: Course, *variables: str) -> bool:
    """Set the figure's scale of a vertical axis of these variables; is it another than linear?"""
    means = [
        course.statistics(course.ds[name], method)["mean"].values
        for name in variables
        for method in course.methods
    ]
    return scales.scale_measured(ax, course.figure.scale, np.concatenate(means))


def _draw_both(ax: Axes, course: Course, variable: str) -> None:
    for index, method in enumerate(course.methods):
        draw_course(
            ax, course, course.ds[variable], method, index, MARKERS.get(variable, ("", ""))[0]
        )


def draw_losses(ax: Axes, course: Course) -> None:
    """Training loss and test error of both methods."""
    shown = {"train_loss": ("training loss", "loss"), "test_error": ("test error", "error")}
    there = [name for name in shown if name in course.ds]
    linear = not _scaled(ax, course, *there)
    for name in there:
        _draw_both(ax, course, name)
    titles, labels = zip(*(shown[name] for name in there), strict=True)
    ax.set(title=", ".join(titles), ylabel=", ".join(labels))
    if linear:
        ax.set_ylim(bottom=0)


def draw_deactivation(ax: Axes, course: Course) -> None:
    """Deactivated fraction of both methods, and the law at initialisation."""
    linear = not _scaled(ax, course, "deactivated_fraction")
    _draw_both(ax, course, "deactivated_fraction")
    law = predicted_deactivation(course)
    if law is not None:
        ax.axhline(law, **PREDICTED, gid="deactivation law")
    ax.set(title="deactivated fraction", ylabel="deactivated fraction")
    if linear:
        ax.set_ylim(-0.03, 1.06)


def _draw_variable(variable: str) -> Callable[[Axes, Course], None]:
    def draw(ax: Axes, course: Course) -> None:
        linear = not _scaled(ax, course, variable)
        _draw_both(ax, course, variable)
        ax.set(
            title=course.ds[variable].attrs.get("long_name", variable),
            ylabel=artists.label(course.ds[variable]),
        )
        if linear:
            ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))

    return draw


# -- the figure ----------------------------------------------------------------------------------


def _chosen(course: Course) -> dict[str, Callable[[Axes, Course], None]]:
    """What is shown, in its order, by the names of panels."""
    chosen: dict[str, Callable[[Axes, Course], None]] = {}
    for panel in course.panels:
        if panel == "growth":
            for index, method in enumerate(course.methods):
                chosen[f"growth of {method}"] = partial(draw_growth, index=index)
        elif panel == "losses":
            chosen[panel] = draw_losses
        elif panel == "deactivated_fraction":
            chosen[panel] = draw_deactivation
        else:
            chosen[panel] = _draw_variable(panel)
    return chosen


def _on_axes(
    ax: Axes, draw: Callable[[Axes, Course], None], course: Course, ends: tuple[float, float]
) -> None:
    """A panel with its horizontal axis, which all panels have."""
    if course.figure.x_scale == "symlog":
        scales.set_symlog(ax, "x", np.concatenate([*course.updates.values()]))
    else:
        ax.set_xscale(course.figure.x_scale)
    ax.set(xlim=ends, xlabel=artists.label(course.ds["updates"]))
    draw(ax, course)


def _legend(course: Course) -> list[Artist]:
    """What each line style, marker and shade means."""
    entries: list[Artist] = [
        artists.entry(missing.legend_name(course.ds, method), linestyle=style)
        for method, style in zip(course.methods, LINE_STYLES, strict=False)
    ]
    if course.overlay:
        names = ", ".join(missing.legend_name(course.ds, method) for method in course.overlay)
        entries.append(artists.entry(names, **BELOW))
    there: set[str] = set(map(str, course.ds)) if "losses" in course.panels else set()
    if "growth" in course.panels:
        there |= set(map(str, analysis.largest_coefficients(course.ds)))
    for name, (marker, symbol) in MARKERS.items():
        if name in there:
            entries.append(artists.entry(symbol, marker=marker, **SMALL))
    times = any(drawn_times(course, method) for method in course.methods)
    if ("growth" in course.panels and times) or (
        "deactivated_fraction" in course.panels and predicted_deactivation(course)
    ):
        entries.append(artists.entry("predicted", **PREDICTED))
    return entries


def _times_text(course: Course, method: str) -> str:
    times = predicted_times(course, method)
    return ", ".join(
        f"{symbol} after {times[name]:,.3g}"
        if times[name] < 10
        else f"{symbol} after {times[name]:,.0f}"
        if math.isfinite(times[name])
        else f"{symbol} never"
        for name, symbol in TIMES.items()
        if name in times
    )


def _each(course: Course, text_of: Callable[[str], str]) -> str:
    """The text of every method that has one; once, if all have the same."""
    texts = {method: text for method in course.methods if (text := text_of(method))}
    if len(texts) == len(course.methods) and len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(
        f"{captions.display_name(method, course.ds)}: {text}" for method, text in texts.items()
    )


def _off_log_axis(course: Course) -> list[str]:
    """A sentence on means that the figure's logarithmic axes have no place for."""
    names = [name for panel in course.panels if panel != "growth" for name in PANELS[panel]]
    names = [name for name in dict.fromkeys(names) if name in course.ds]
    if course.figure.scale != "log" or not names:
        return []
    drawn = [*course.methods, *course.overlay]
    means = [
        xr.concat(
            [course.statistics(course.ds[name], method)["mean"] for method in drawn],
            xr.Variable("method", drawn),
            coords="minimal",
            compat="override",
        )
        for name in names
    ]
    return missing.off_log_axis(means, drawn, course.ds)


def _caption(course: Course) -> list[str]:
    ds, count = course.ds, course.ds.sizes["replicate"]
    runs = missing.runs_in_means(ds, course.methods)
    bands = "" if count < 2 else "; bands: two standard errors"
    start = ""
    if course.figure.x_scale == "log" and any(at[0] == 0.5 for at in course.updates.values()):
        start = "; the initial state stands at half an update"
    sentences = [f"Means over {runs}{bands}{start}."]
    drawn = (*course.methods, *course.overlay)
    sentences += _off_log_axis(course)
    sentences += [*missing.left_out(ds, drawn), *captions.not_drawn(ds, drawn)]
    predicted = _each(course, lambda name: _times_text(course, name))
    if "growth" in course.panels and any(drawn_times(course, name) for name in course.methods):
        sentences.append(
            "Vertical lines: updates predicted until a coefficient is of order one, to leading "
            f"order for many small steps of SGD ({predicted})."
        )
    if outside := _each(course, lambda name: outside_regime(course, name)):
        sentences.append(f"Outside the theory's regime: {outside}.")
    law = predicted_deactivation(course) if "deactivated_fraction" in course.panels else None
    if law is not None:
        sentences.append(
            r"Horizontal line in the deactivated fraction: erf$(\tau/(\sigma_0\sqrt{2Bm}))$ at "
            f"initialisation ({law:.3g}), leading order."
        )
    origin = captions.origin(ds) if "fingerprint" in ds.attrs else ""
    if not origin and ds.attrs.get("seed") is not None:
        origin = f"Seed {ds.attrs['seed']}."
    return [*sentences, *captions.setting(ds, drawn), origin]


def panels(ds: xr.Dataset, figure: Trajectories) -> Panels:
    """The panels apart from any sheet, as `trajectories` has them."""
    return _read(ds, figure)[0]


def _read(ds: xr.Dataset, figure: Trajectories) -> tuple[Panels, float]:
    """The panels, and the last update."""
    course = read_course(ds, figure)
    updates = [at[[0, -1]] for at in course.updates.values()]
    ends = (float(np.min(updates)), float(np.max(updates)))
    draw: dict[str, Draw] = {
        name: partial(_on_axes, draw=draw, course=course, ends=ends)
        for name, draw in _chosen(course).items()
    }
    return Panels(draw, _legend(course), _caption(course)), ends[1]


def trajectories(ds: xr.Dataset, figure: Trajectories) -> matplotlib.figure.Figure:
    """Two methods over the course of training: a panel for each thing recorded.

    Parameters
    ----------
    ds : xarray.Dataset
        Results at one setting, with several recorded states: of a study, of `simulate`, or of
        `train`, with the dims method and replicate or without.
    figure : simdyn.params.Trajectories

    Returns
    -------
    matplotlib.figure.Figure
        As wide as the figure says. The caption says which means miss runs.

    Raises
    ------
    InputError
        If the results do not have what the figure needs or names.
    """
    sheet = page.Sheet.of(figure)
    with artists.style(sheet.letters):
        shown, last = _read(ds, figure)
        grid = GRID.of(figure, sheet)
        if last >= 1e10:  # room for a longer last label
            grid = dataclasses.replace(grid, right=2 * grid.right)
        made, axes, columns = compose(sheet, grid, shown, most=COLUMNS)
        growth = [k for k, name in enumerate(shown.draw) if name.startswith("growth")]
        for second in growth[1:]:
            if second % columns:  # the same label is to the left
                axes[second].set_ylabel("")
        return made
