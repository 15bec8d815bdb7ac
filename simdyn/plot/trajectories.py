"""Two methods over the course of training: growth, losses, deactivation, sharpness, SAM gap."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from simdyn import analysis, theory
from simdyn.inputs import InputError, nearest
from simdyn.params import Phase, SignalNoiseData, Trajectories
from simdyn.plot import artists, page, words
from simdyn.space import Space

SOLID, DASHED, DOTTED = "-", (0, (4, 1.6)), (0, (1, 1.2))
LINE_STYLES: tuple[Any, Any] = (SOLID, DASHED)  # of the first and of the second method
GREY = "#8c8c8c"
PREDICTED: dict[str, Any] = {"color": GREY, "linewidth": 1.6, "zorder": 0}
BAND: dict[str, Any] = {"color": "black", "alpha": 0.15, "linewidth": 0}

LEFT, GAP, RIGHT, TOP, PANEL, BETWEEN = 0.5, 0.55, 0.08, 0.26, 1.45, 0.72  # inches
COLUMNS = 3


@dataclasses.dataclass(frozen=True)
class Course:
    """What trajectories show, and where their time axis lies."""

    ds: xr.Dataset
    methods: tuple[str, ...]
    phases: dict[str, tuple[Phase, ...]]
    updates: dict[str, np.ndarray]  # updates made at each state; 0 stands half a step before 1

    def statistics(self, array: xr.DataArray, method: str) -> xr.Dataset:
        """Mean and standard error over replicates of one method, at every state."""
        one, status = (part.sel({"method": method}, drop=True) for part in (array, self.ds.status))
        return analysis.over_replicates(one, status)

    def steps_per_epoch(self, method: str) -> int:
        """Updates in an epoch of the method's first phase."""
        return self.phases[method][0].updates_per_epoch(int(self.ds["n_samples"]))


def _course(ds: xr.Dataset, figure: Trajectories) -> Course:
    for dim in (str(dim) for dim in ds["status"].dims if dim not in ("method", "replicate")):
        if ds.sizes[dim] > 1:
            raise InputError(f"Trajectories: {dim} is swept: choose one value of it")
        ds = ds.isel({dim: 0})
    present = [str(name) for name in ds["method"].values]
    for name in figure.compare or ():
        if name not in present:
            hint = nearest(name, present)
            raise InputError(f"Trajectories.compare: '{name}' is not a method; {hint}")
    methods = figure.compare or tuple(present[:2])
    told = json.loads(ds.attrs["study"])
    space = Space(told["data"], told["network"], told["methods"], told["space"])
    plans = dict(zip(space.methods, space.point(space.first).plans, strict=True))
    at = ds["updates"].sel({"method": list(methods)})
    updates = {m: np.maximum(at.sel({"method": m}).values.astype(float), 0.5) for m in methods}
    return Course(ds, methods, {m: plans[m] for m in methods}, updates)


# -- panels --------------------------------------------------------------------------------------


def draw_course(
    ax: Axes, course: Course, array: xr.DataArray, method: str, **style: Any
) -> list[Artist]:
    """The mean over replicates with a band of two standard errors."""
    found, at = course.statistics(array, method), course.updates[method]
    mean, error = found["mean"].values, 2 * np.nan_to_num(found["standard_error"].values)
    if ax.get_yscale() == "log":
        mean = np.where(mean > 0, mean, np.nan)  # the initial state has no place there
    style = {"color": "black", "linewidth": 1.1, **style}
    return [
        *ax.plot(at, mean, **style),
        ax.fill_between(at, mean - error, mean + error, **BAND),
    ]


def draw_growth(ax: Axes, course: Course, index: int) -> None:
    """Largest coefficients of one method, and the times at which they should be of order one."""
    method = course.methods[index]
    grown = analysis.growth(course.ds)
    ax.set(title=f"{words.spoken(method)}: growth", yscale="log")
    if index == 0:
        ax.set_ylabel("largest coefficients")
    styles = {"largest_signal": SOLID, "largest_noise": DASHED, "largest_fall": DOTTED}
    for name, array in grown.data_vars.items():
        draw_course(ax, course, array, method, linestyle=styles[str(name)])
    top = max(float(array.max()) for array in grown.data_vars.values())
    ax.set_ylim(max(1e-4 * top, 1e-12), 2.5 * top)
    ax.axhline(1.0, color=GREY, linewidth=0.5, zorder=0)
    for name, time in predicted_times(course, method).items():
        if course.updates[method][0] < time < course.updates[method][-1]:
            ax.axvline(time, **PREDICTED, linestyle=styles[name], gid=f"time of {name}")


def _as_derived(course: Course, phase: Phase) -> bool:
    """Are data and network the paper's, and the phase one that the predictions are derived for?"""
    usual = {"activation": "relu", "output": "mean", "loss": "logistic", "reduction": "mean"}
    if words.data_model(course.ds) != SignalNoiseData.model:
        return False
    paper = all(str(course.ds[name].item()) == value for name, value in usual.items())
    plain = phase.momentum == phase.weight_decay == phase.label_noise == 0.0
    whole = phase.perturbs_by_norm and not phase.perturbed_together
    return paper and plain and whole and float(course.ds["init_std"]) > 0.0


def predicted_times(course: Course, method: str) -> dict[str, float]:
    """Updates until γ and ρ̄ are of order one, from the rates of the first phase."""
    ds, first = course.ds, course.phases[method][0]
    if not _as_derived(course, first) or isinstance(first.learning_rate, str):
        return {}
    values = {name: float(ds[name]) for name in ("dimension", "n_samples", "signal_norm",
              "n_patches", "noise_std", "n_filters", "label_flip")}  # fmt: skip
    batch = first.batch_size or int(values["n_samples"])
    with np.errstate(divide="ignore"):
        epochs = {
            "largest_signal": theory.signal_time(
                values["n_samples"], batch, first.learning_rate, np.float64(values["signal_norm"]),
                values["n_filters"], values["label_flip"],
            ),
            "largest_noise": theory.noise_time(
                values["dimension"], batch, first.learning_rate, values["n_patches"],
                np.float64(values["noise_std"]), values["n_filters"],
            ),
        }  # fmt: skip
    return {name: float(time) * course.steps_per_epoch(method) for name, time in epochs.items()}


def _draw_both(ax: Axes, course: Course, variable: str) -> None:
    for method, style in zip(course.methods, LINE_STYLES, strict=False):
        draw_course(ax, course, course.ds[variable], method, linestyle=style)


def draw_losses(ax: Axes, course: Course) -> None:
    """Training loss and test error of both methods."""
    if "train_loss" in course.ds:
        _draw_both(ax, course, "train_loss")
    if "test_error" in course.ds:
        for method, style in zip(course.methods, LINE_STYLES, strict=False):
            draw_course(ax, course, course.ds["test_error"], method, linestyle=style,
                        color=GREY, linewidth=1.6)  # fmt: skip
    shown = {"train_loss": ("training loss", "loss (black)"),
             "test_error": ("test error", "error (grey)")}  # fmt: skip
    titles, labels = zip(*(shown[name] for name in shown if name in course.ds), strict=True)
    ax.set(title=", ".join(titles), ylabel=", ".join(labels))
    ax.set_ylim(bottom=0)


def predicted_deactivation(course: Course) -> float | None:
    """erf(τ/(σ_0√(2Bm))) with the probe's radius, or with that of the last method's SAM phase."""
    radius = json.loads(course.ds.attrs["study"])["record"].get("probe_radius")
    perturbed = [phase for phase in course.phases[course.methods[-1]] if phase.perturbation > 0]
    if radius is None and not perturbed:
        return None
    phase = perturbed[0] if perturbed else course.phases[course.methods[-1]][0]
    if not _as_derived(course, phase):
        return None
    batch = phase.batch_size or int(course.ds["n_samples"])
    return float(theory.deactivation_probability(
        phase.perturbation if radius is None else radius, float(course.ds["init_std"]), batch,
        float(course.ds["n_filters"]),
    ))  # fmt: skip


def draw_deactivation(ax: Axes, course: Course) -> None:
    """Deactivated fraction of both methods, and the law at initialisation."""
    _draw_both(ax, course, "deactivated_fraction")
    law = predicted_deactivation(course)
    if law is not None:
        ax.axhline(law, **PREDICTED, linestyle=SOLID, gid="deactivation law")
    ax.set(title="deactivated fraction", ylabel="deactivated fraction", ylim=(-0.03, 1.06))


def _draw_variable(variable: str) -> Callable[[Axes, Course], None]:
    def draw(ax: Axes, course: Course) -> None:
        _draw_both(ax, course, variable)
        ax.set(title=course.ds[variable].attrs.get("long_name", variable),
               ylabel=artists.label(course.ds[variable]))  # fmt: skip
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))

    return draw


# -- the figure ----------------------------------------------------------------------------------


def _panels(course: Course) -> list[Callable[[Axes, Course], None]]:
    """What is recorded, in the order in which it is shown."""
    chosen: list[Callable[[Axes, Course], None]] = []
    if {"signal_coef", "noise_coef"} & set(course.ds.data_vars):
        for index in range(len(course.methods)):
            chosen.append(lambda ax, course, index=index: draw_growth(ax, course, index))  # type: ignore[misc]
    if {"train_loss", "test_error"} & set(course.ds.data_vars):
        chosen.append(draw_losses)
    if "deactivated_fraction" in course.ds:
        chosen.append(draw_deactivation)
    for variable in ("sharpness", "sam_gap"):
        if variable in course.ds:
            chosen.append(_draw_variable(variable))
    return chosen


def _legend(course: Course, panels: int) -> list[Artist]:
    """What each line means, and in which panels."""
    variables, growing = course.ds.data_vars, 0
    lines: list[tuple[str, Any]] = []
    if "signal_coef" in variables:
        lines += [(r"$\max\,\gamma$", SOLID)]
    if "noise_coef" in variables:
        lines += [(r"$\max\,\bar{\rho}$", DASHED)]
        lines += [(r"$\max\,-\underline{\rho}$", DOTTED)]
    if lines:
        growing = len(course.methods)
        place = f"({', '.join('ab'[:growing])}) "
        lines = [(place + text, style) for text, style in lines]
    if panels > growing:
        place = f"({'abcdef'[growing]}–{'abcdef'[panels - 1]}) " if panels > growing + 1 else ""
        spoken = map(words.spoken, course.methods)
        lines += [(place + name, look) for name, look in zip(spoken, LINE_STYLES, strict=False)]
    entries: list[Artist] = [artists.entry(text, linestyle=style) for text, style in lines]
    growing_times = growing and any(predicted_times(course, method) for method in course.methods)
    if growing_times or ("deactivated_fraction" in variables and predicted_deactivation(course)):
        entries.append(artists.entry("grey upright or level: predicted", **PREDICTED))
    return entries


def _told_times(course: Course, method: str) -> str:
    symbols = {"largest_noise": r"$\bar{\rho}$", "largest_signal": r"$\gamma$"}
    times = predicted_times(course, method)
    return ", ".join(
        f"{symbol} after {times[name]:,.0f}" for name, symbol in symbols.items() if name in times
    )


def _caption(course: Course) -> list[str]:
    ds = course.ds
    runs = words.count(ds.sizes["replicate"], "replicate")
    bands = "" if ds.sizes["replicate"] < 2 else "; bands: two standard errors"
    said = [f"Means over {runs}{bands}; the initial state stands at half an update."]
    told = {method: _told_times(course, method) for method in course.methods}
    if {"signal_coef", "noise_coef"} & set(ds.data_vars) and any(told.values()):
        alike = len(set(told.values())) == 1
        each = [f"{words.spoken(method)}: {text}" for method, text in told.items()]
        times = next(iter(told.values())) if alike else "; ".join(each)
        said.append("Uprights: updates predicted until a coefficient is of order one, to leading "
                    f"order for many small steps of SGD ({times}).")  # fmt: skip
    law = predicted_deactivation(course) if "deactivated_fraction" in ds else None
    if law is not None:
        said.append(r"Level in the deactivated fraction: erf$(\tau/(\sigma_0\sqrt{2Bm}))$ at "
                    f"initialisation ({law:.3g}), leading order.")  # fmt: skip
    lost = int((~ds["status"].sel({"method": list(course.methods)}).isin(analysis.VALID)).sum())
    if lost:
        said.append(f"{words.count(lost, 'run')} without a valid state left out.")
    return [*said, *words.setting(ds, course.methods), words.origin(ds)]


def trajectories(ds: xr.Dataset, figure: Trajectories) -> matplotlib.figure.Figure:
    """Two methods over the course of training: a panel for each thing that is recorded.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study at one setting, with several recorded states.
    figure : simdyn.params.Trajectories

    Returns
    -------
    matplotlib.figure.Figure
        7 inches wide, with a caption.

    Raises
    ------
    InputError
        Where the figure names what the results do not have.
    """
    course = _course(ds, figure)
    with artists.style():
        panels = _panels(course)
        rows = -(-len(panels) // COLUMNS)
        sheet = page.Page(
            TOP + rows * (PANEL + BETWEEN) - 0.22,
            _legend(course, len(panels)),
            _caption(course),
            columns=3,
        )
        wide = (page.WIDTH - LEFT - RIGHT - (COLUMNS - 1) * GAP) / COLUMNS
        ends = [ends for at in course.updates.values() for ends in (at[0], at[-1])]
        for k, draw in enumerate(panels):
            left = LEFT + (k % COLUMNS) * (wide + GAP)
            ax = sheet.add_axes(left, TOP + (k // COLUMNS) * (PANEL + BETWEEN), wide, PANEL)
            ax.set(xscale="log", xlim=(min(ends), max(ends)), xlabel=artists.label(ds["updates"]))
            draw(ax, course)
            ax.set_title(f"({'abcdef'[k]}) {ax.get_title()}", pad=4)
    return sheet.figure
