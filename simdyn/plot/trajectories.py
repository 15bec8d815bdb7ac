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

from simdyn.base.inputs import InputError
from simdyn.params import Phase, Trajectories
from simdyn.params.figures import PANELS
from simdyn.plot import artists, captions, missing, page
from simdyn.plot.source import Source, checked, labelled
from simdyn.theory import analysis
from simdyn.theory.regime import deactivated_at_start, noise_updates, regime, signal_updates

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

LEFT, GAP, RIGHT, TOP, PANEL, BETWEEN = 0.5, 0.55, 0.08, 0.26, 1.45, 0.72  # inches
COLUMNS = 3


@dataclasses.dataclass(frozen=True)
class Course:
    """What the figure shows: results, methods, panels and the times of the recorded states."""

    ds: xr.Dataset
    methods: tuple[str, ...]
    source: Source
    updates: dict[str, np.ndarray]  # updates made at each state, with ½ for 0 on the log axis
    panels: tuple[str, ...]
    overlay: tuple[str, ...]  # methods below those of the same place

    def statistics(self, array: xr.DataArray, method: str) -> xr.Dataset:
        """Mean and standard error over replicates of one method, at every state."""
        one, status = (part.sel({"method": method}, drop=True) for part in (array, self.ds.status))
        return analysis.over_replicates(one, status)

    def first_phase(self, method: str) -> Phase | None:
        """The phase whose rates decide the predicted times; None if it is not known."""
        plan = self.source.phases.get(method, ())
        return next((phase for phase in plan if phase.epochs), None)


def _course(ds: xr.Dataset, figure: Trajectories) -> Course:
    for name, lack in (("status", "status"), ("step", "dim"), ("updates", "coordinate")):
        if name not in (ds.dims if lack == "dim" else ds.variables):
            raise InputError(
                f"Trajectories: these results have no {lack} {name!r}; allowed are "
                "those of a study, simulate or train with their course"
            )
    ds, source = labelled(ds)
    ds = checked(ds, figure, source.possible)
    methods = figure.compare or tuple(map(str, ds["method"].values[:2]))
    at, updates = ds["updates"], {}
    overlay = figure.overlay or ()
    for method in (*methods, *overlay):
        own = at.sel({"method": method}) if "method" in at.dims else at
        updates[method] = np.maximum(own.values.astype(float), 0.5)
    there = tuple(panel for panel in figure.panels or PANELS if set(PANELS[panel]) & set(ds))
    return Course(ds, methods, source, updates, there, overlay)


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
    even = np.geomspace(at[0], at[-1], MARKED)  # in the logarithm, as the axis is
    places = np.unique(np.searchsorted(at, even[:-1])).tolist()
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


def draw_growth(ax: Axes, course: Course, index: int) -> None:
    """Largest coefficients of one method, and the times at which they should be of order one."""
    method = course.methods[index]
    grown = analysis.largest_coefficients(course.ds)
    if not missing.finished(missing.counts(course.ds, [method])).any():
        missing.hatch_panel(ax, index)
    ax.set(title=f"{captions.display_name(method, course.ds)}: growth", yscale="log")
    if index == 0:
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
    for name, time in _drawn_times(course, method).items():
        ax.axvline(time, **PREDICTED, gid=f"time of {name}")
        ax.plot(
            [time],
            [0.95],
            transform=ax.get_xaxis_transform(),
            color=GREY,
            marker=MARKERS[name][0],
            **SMALL,
        )


def predicted_times(course: Course, method: str) -> dict[str, float]:
    """Updates until γ and ρ̄ are of order one, from the rates of the first phase; inf: never."""
    first, data, net = course.first_phase(method), course.source.data, course.source.net
    if first is None or data is None or net is None:
        return {}
    times = {
        "largest_signal": signal_updates(data, net, first),
        "largest_noise": noise_updates(data, net, first),
    }
    return {name: time for name, time in times.items() if not math.isnan(time)}


def _drawn_times(course: Course, method: str) -> dict[str, float]:
    """Predicted times within the recorded updates."""
    first, last = course.updates[method][[0, -1]]
    times = predicted_times(course, method)
    return {name: time for name, time in times.items() if first < time < last}


def _draw_both(ax: Axes, course: Course, variable: str) -> None:
    for index, method in enumerate(course.methods):
        draw_course(
            ax, course, course.ds[variable], method, index, MARKERS.get(variable, ("", ""))[0]
        )


def draw_losses(ax: Axes, course: Course) -> None:
    """Training loss and test error of both methods."""
    shown = {"train_loss": ("training loss", "loss"), "test_error": ("test error", "error")}
    there = [name for name in shown if name in course.ds]
    for name in there:
        _draw_both(ax, course, name)
    titles, labels = zip(*(shown[name] for name in there), strict=True)
    ax.set(title=", ".join(titles), ylabel=", ".join(labels))
    ax.set_ylim(bottom=0)


def predicted_deactivation(course: Course) -> float | None:
    """erf(τ/(σ_0√(2Bm))) with the probe's radius, or with that of the last method's SAM phase."""
    data, net, radius = course.source.data, course.source.net, course.source.probe_radius
    plan = course.source.phases.get(course.methods[-1], ())
    perturbed = [phase for phase in plan if phase.perturbation > 0]
    if data is None or net is None or not plan or (radius is None and not perturbed):
        return None
    phase = perturbed[0] if perturbed else plan[0]
    law = deactivated_at_start(data, net, phase, phase.perturbation if radius is None else radius)
    return None if math.isnan(law) else law


def draw_deactivation(ax: Axes, course: Course) -> None:
    """Deactivated fraction of both methods, and the law at initialisation."""
    _draw_both(ax, course, "deactivated_fraction")
    law = predicted_deactivation(course)
    if law is not None:
        ax.axhline(law, **PREDICTED, gid="deactivation law")
    ax.set(title="deactivated fraction", ylabel="deactivated fraction", ylim=(-0.03, 1.06))


def _draw_variable(variable: str) -> Callable[[Axes, Course], None]:
    def draw(ax: Axes, course: Course) -> None:
        _draw_both(ax, course, variable)
        ax.set(
            title=course.ds[variable].attrs.get("long_name", variable),
            ylabel=artists.label(course.ds[variable]),
        )
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))

    return draw


# -- the figure ----------------------------------------------------------------------------------


def _panels(course: Course) -> list[Callable[[Axes, Course], None]]:
    """What is shown, in its order."""
    chosen: list[Callable[[Axes, Course], None]] = []
    for panel in course.panels:
        if panel == "growth":
            chosen += [partial(draw_growth, index=index) for index in range(len(course.methods))]
        elif panel == "losses":
            chosen.append(draw_losses)
        elif panel == "deactivated_fraction":
            chosen.append(draw_deactivation)
        else:
            chosen.append(_draw_variable(panel))
    return chosen


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
    times = any(_drawn_times(course, method) for method in course.methods)
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


def _outside(course: Course, method: str) -> str:
    data, net, plan = course.source.data, course.source.net, course.source.phases.get(method)
    if data is None or net is None or not plan:
        return ""
    return ", ".join(regime(data, net, plan).reasons)


def _caption(course: Course) -> list[str]:
    ds, count = course.ds, course.ds.sizes["replicate"]
    runs = missing.runs_in_means(ds, course.methods)
    bands = "" if count < 2 else "; bands: two standard errors"
    sentences = [f"Means over {runs}{bands}; the initial state stands at half an update."]
    drawn = (*course.methods, *course.overlay)
    sentences += [*missing.left_out(ds, drawn), *captions.not_drawn(ds, drawn)]
    predicted = _each(course, lambda name: _times_text(course, name))
    if "growth" in course.panels and any(_drawn_times(course, name) for name in course.methods):
        sentences.append(
            "Vertical lines: updates predicted until a coefficient is of order one, to leading "
            f"order for many small steps of SGD ({predicted})."
        )
    if outside := _each(course, lambda name: _outside(course, name)):
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
    course = _course(ds, figure)
    sheet = page.Sheet.of(figure)
    with artists.style(sheet.letters):
        panels, columns = _panels(course), sheet.columns(COLUMNS)
        rows = -(-len(panels) // columns)
        made = page.Page(
            sheet,
            TOP + rows * (PANEL + BETWEEN) - 0.22,
            _legend(course),
            _caption(course),
            columns=3,
        )
        ends = [ends for at in course.updates.values() for ends in (at[0], at[-1])]
        right = RIGHT if max(ends) < 1e10 else 2 * RIGHT  # for a longer last label
        wide = (sheet.width - LEFT - right - (columns - 1) * GAP) / columns
        for k, draw in enumerate(panels):
            left = LEFT + (k % columns) * (wide + GAP)
            ax = made.add_axes(left, TOP + (k // columns) * (PANEL + BETWEEN), wide, PANEL)
            ax.set(
                xscale="log",
                xlim=(min(ends), max(ends)),
                xlabel=artists.label(course.ds["updates"]),
            )
            draw(ax, course)
            ax.set_title(f"({'abcdef'[k]}) {ax.get_title()}", pad=4)
    return made.figure
