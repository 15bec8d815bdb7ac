"""Critical lines of a study that solves for a field, on the maps of another study."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from simdyn.base.decimals import same
from simdyn.base.inputs import InputError, is_plain_number, shown
from simdyn.params import PhaseDiagram, SignalNoiseData
from simdyn.plot import artists, captions, scales
from simdyn.plot.critical_lines import located, not_just_found
from simdyn.plot.source import checked, solved_field
from simdyn.space.axes import RULES

# Thin, so that a contour stays visible below; squares tell the line apart in greyscale, too.
LINE: dict[str, Any] = {"color": "#00a651", "linewidth": 0.7}
SQUARE: dict[str, Any] = {
    "marker": "s",
    "markersize": 3.4,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.6,
}
VALUES = ("critical_value", "critical_low", "critical_high")
MOST_NAMED = 8  # fields that differ


@dataclasses.dataclass(frozen=True)
class OverlaidLines:
    """Lines that were solved for, over one axis of a phase diagram.

    Attributes
    ----------
    figure : simdyn.params.PhaseDiagram
    points : (method, along) Dataset
        `critical_value` with `critical_low` and `critical_high`, NaN where none is located; methods
        that both have.
    along : str
        The axis over which the lines go.
    field : str
        The other axis, which was solved for.
    sentences : list of str
        For the caption.
    """

    figure: PhaseDiagram
    points: xr.Dataset
    along: str
    field: str
    sentences: list[str]

    @property
    def methods(self) -> list[str]:
        """Methods that have a line."""
        return list(map(str, self.points["method"].values))

    def coordinates(self, method: str) -> tuple[np.ndarray, ...]:
        """Values of x and y of a method's points, then of the lower and upper ends of intervals.

        All are NaN where no value is located, and empty for a method without a line.
        """
        if method not in self.methods:
            return (np.empty(0),) * 6
        one = self.points.sel({"method": method})
        at = one[self.along].values.astype(np.float64)
        pairs = [(at, one[name].values) for name in VALUES]
        turned = self.along != self.figure.x
        return tuple(part for pair in pairs for part in (reversed(pair) if turned else pair))

    def draw(self, ax: Axes, method: str, style: Any) -> list[Artist]:
        """Draw the line of a method, if it has one, with its intervals as bars."""
        if method not in self.methods:
            return []
        x, y, *ends = self.coordinates(method)
        upright = self.along == self.figure.x
        value, low, high = (y, *ends[1::2]) if upright else (x, *ends[::2])
        bars = np.nan_to_num(np.maximum([value - low, high - value], 0.0))
        along = "yerr" if upright else "xerr"
        look = {**LINE, **SQUARE, "linestyle": style, "gid": "solved line"}
        return artists.draw_points(ax, x, y, **{along: bars}, **look, zorder=3)

    def legend(self, methods: Sequence[str], styles: Sequence[Any]) -> list[Artist]:
        """Entries of the first method and of the others, as far as they have lines."""
        first, *others = methods
        names = {method: captions.display_name(method, self.points) for method in methods}
        words = [names[first], names[others[0]] if len(others) == 1 else "other methods"]
        there = [first in self.methods, not {*self.methods}.isdisjoint(others)]
        return [
            artists.entry(f"{name}: solved, 95 % interval", linestyle=style, **LINE, **SQUARE)
            for name, style, drawn in zip(words, styles, there, strict=False)
            if drawn
        ]

    def table(self) -> Any:
        """A row for each located point: both axes, method, and the value with its interval."""
        found = self.points[list(VALUES)].to_dataframe().reset_index()
        found = found[found["critical_value"].notna()]
        found[self.field] = found["critical_value"]
        return found[[self.figure.x, self.figure.y, "method", *VALUES]]


def opened_lines(path: str) -> xr.Dataset:
    """The results at a path, read whole.

    Raises
    ------
    InputError
        If there are none, or they are damaged.
    """
    from pathlib import Path

    from simdyn.store import Store, explain_damaged_blocks, open_results, open_study

    place = Path(path)
    if not place.exists():
        raise InputError(
            f"figure.lines = {shown(path)}: no such results; `simdyn run` of the study with "
            f"[solve] that makes them, {place.stem}.toml or another, comes first"
        )
    try:
        with explain_damaged_blocks(Store(place, open_study(place, strictly=False))):
            return open_results(place).load()
    except InputError as problem:
        raise InputError(f"figure.lines: {problem}") from None


def check_fit(figure: PhaseDiagram, own: Mapping[str, Any], lines: xr.Dataset) -> None:
    """Refuse lines that do not belong on a phase diagram.

    Parameters
    ----------
    figure : simdyn.params.PhaseDiagram
    own : mapping
        The physics of the diagram's study; empty if it is not known.
    lines : xarray.Dataset

    Raises
    ------
    InputError
        If they are solved for something else, over something else, or of another law of data.
    """
    here, field = _here(figure), solved_field(lines)
    if not field or "crossing_status" not in lines:
        raise InputError(
            f"{here}: these results are not solved for; allowed are those of a study with [solve]"
        )
    if field not in figure.axes:
        raise InputError(
            f"{here}: they are solved for {field}; allowed is an axis of the figure, "
            f"{' or '.join(figure.axes)}"
        )
    along = next(axis for axis in figure.axes if axis != field)
    at = lines.coords.get(along)
    if at is None or at.ndim != 1 or not np.issubdtype(at.dtype, np.number):
        raise InputError(
            f"{here}: {along} is not swept in them; allowed are lines over the figure's other axis"
        )
    theirs = json.loads(lines.attrs["study"])
    variable = theirs["solve"].get("variable", "test_error")
    if variable != figure.variable:
        raise InputError(
            f"{here}: they are where {variable} crosses a level; allowed is figure.variable, "
            f"{figure.variable}"
        )
    law, other = (
        study.get("data", {}).get("model", SignalNoiseData.model) for study in (own, theirs)
    )
    if own and law != other:
        raise InputError(
            f'{here}: their data are of model "{other}"; allowed is that of the diagram, "{law}"'
        )


def _here(figure: PhaseDiagram) -> str:
    """What messages begin with."""
    return f"figure.lines = {shown(figure.lines)}" if figure.lines else "lines"


def overlaid_lines(
    ds: xr.Dataset, figure: PhaseDiagram, lines: xr.Dataset | None = None
) -> OverlaidLines | None:
    """The lines that a phase diagram has on top.

    Parameters
    ----------
    ds : xarray.Dataset
        Results over the figure's two axes.
    figure : simdyn.params.PhaseDiagram
    lines : xarray.Dataset, optional
        Results of a study that solves for one of the axes; opened at `figure.lines` if absent.

    Returns
    -------
    OverlaidLines or None
        None if the figure names no lines, and none are given.

    Raises
    ------
    InputError
        If there are no such results, or they do not belong on this diagram.
    """
    if lines is None and figure.lines is None:
        return None
    if lines is None:
        lines = opened_lines(str(figure.lines))
    ds = checked(ds, figure)
    own = json.loads(ds.attrs.get("study", "{}"))
    check_fit(figure, own, lines)
    field = solved_field(lines)
    along = next(axis for axis in figure.axes if axis != field)
    points = captions.with_labels(_over(lines.load(), along, ds, _here(figure)), figure.labels)
    methods = list(figure.compare or map(str, ds["method"].values))
    there = [method for method in methods if method in points["method"].values]
    points = points.sel({"method": there})
    kept = points[list(VALUES)].where(located(points))
    sentences = [
        *_about(points, ds, figure),
        *_about_points(points, kept, ds, figure),
        *_about_methods(points, methods, there),
        *_about_settings(own, ds, points, there, figure),
    ]
    return OverlaidLines(figure, kept.assign_attrs(points.attrs), along, field, sentences)


def _over(lines: xr.Dataset, along: str, ds: xr.Dataset, here: str) -> xr.Dataset:
    """The points over one axis, increasing: other swept fields have the values of the diagram."""
    (dim,) = lines[along].dims
    swept = [name for name in json.loads(lines.attrs["study"])["space"] if name not in RULES]
    for name in swept:
        at, value = lines.coords.get(name), ds.coords.get(name)
        if name == along or at is None or at.ndim != 1 or value is None or value.ndim:
            continue
        number = np.issubdtype(at.dtype, np.number)
        keep = same(at.values, value.item()) if number else (at == value).values
        if not keep.any():
            raise InputError(
                f"{here}: {name} is swept in them, and not at {value.item()}, which is that of the "
                "diagram"
            )
        lines = lines.isel({at.dims[0]: np.flatnonzero(keep)})
    others = [str(each) for each in lines["crossing_status"].dims if each not in (dim, "method")]
    if many := [name for name in others if lines.sizes[name] > 1]:
        raise InputError(
            f"{here}: {', '.join(many)} is swept in them, too; allowed are lines over {along} alone"
        )
    lines = lines.isel(dict.fromkeys(others, 0))
    return (lines if along == dim else lines.swap_dims({dim: along})).sortby(along)


# -- text ----------------------------------------------------------------------------------------


def _about(points: xr.Dataset, ds: xr.Dataset, figure: PhaseDiagram) -> Iterator[str]:
    """What the lines are, and from where."""
    solve = json.loads(points.attrs["study"])["solve"]
    levels = points["critical_level"].values[np.isfinite(points["critical_level"].values)]
    ends = (
        dict.fromkeys(f"{level:g}" for level in (levels.min(), levels.max())) if levels.size else ()
    )
    level = "…".join(ends) or str(solve.get("level", 0.1))
    statistic = solve.get("statistic", "mean")
    what = str(ds[figure.variable].attrs.get("long_name", figure.variable))
    runs = captions.plural(points.sizes["replicate"], "replicate")
    yield (
        f"Green lines with squares: where the {statistic} {what} over {runs} is {level}, solved "
        f"for {artists.label(ds[solve['field']])} in study {points.attrs.get('title', 'unknown')} "
        f"(fingerprint {str(points.attrs.get('fingerprint', 'unknown'))[:12]}); bars: 95 % "
        "intervals."
    )
    if level != f"{figure.level:g}":
        yield f"Their level is not that of the contours, {figure.level:g}."


def _about_points(
    points: xr.Dataset, kept: xr.Dataset, ds: xr.Dataset, figure: PhaseDiagram
) -> Iterator[str]:
    """Points without a critical value, with several, and lines beside the map."""
    for method, outcome, count in not_just_found(points, list(points["method"].values)):
        name = captions.display_name(method, points)
        yield f"{name}'s line{', ' if outcome.located else ' lacks '}{count}."
    inside = kept["critical_value"].notnull()
    for axis, scale in zip(figure.axes, (figure.x_scale, figure.y_scale), strict=True):
        edges = scales.cell_edges(ds[axis].values, scale)
        at = kept[axis] if axis in kept.coords else kept["critical_value"]
        inside &= (at >= edges[0]) & (at <= edges[-1])
    for method in map(str, points["method"].values):
        if not inside.sel({"method": method}).any():
            yield f"{captions.display_name(method, points)}'s line has no point within the map."


def _about_methods(points: xr.Dataset, methods: list[str], there: list[str]) -> Iterator[str]:
    if rest := [captions.display_name(name, points) for name in methods if name not in there]:
        yield f"Not solved for there: {', '.join(rest)}."


def _about_settings(
    own: Mapping[str, Any],
    ds: xr.Dataset,
    points: xr.Dataset,
    methods: list[str],
    figure: PhaseDiagram,
) -> Iterator[str]:
    """Fields in which the two studies differ, apart from axes, replicates and record."""
    if not own:
        return
    theirs = json.loads(points.attrs["study"])
    plans = [study.get("methods", {}) for study in (own, theirs)]
    shared = {method: min(len(plan.get(method, ())) for plan in plans) for method in methods}
    one, other = _settings(own, shared), _settings(theirs, shared)
    differing = [
        name
        for name in {**one, **other}
        if name.rpartition(".")[2] not in figure.axes
        and name not in figure.axes
        and not _equal(_value(one, ds, name), _value(other, points, name))
    ]
    if differing:
        more = len(differing) - MOST_NAMED
        names = ", ".join(differing[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        yield f"The lines are of a study that differs from this one in {names}."


def _settings(study: Mapping[str, Any], phases: Mapping[str, int]) -> dict[str, Any]:
    """Every field that is not swept: of data, network, and so many phases of methods; and more."""
    plans = {method: study.get("methods", {}).get(method, []) for method in phases}
    fields = {
        **study.get("data", {}),
        **study.get("network", {}),
        **{f"number of phases of {method}": len(plan) for method, plan in plans.items()},
        **{
            f"{method}.{k}.{name}": value
            for method, plan in plans.items()
            for k, phase in enumerate(plan[: phases[method]])
            for name, value in phase.items()
        },
        **{name: study[name] for name in ("seed", "contents", "numerics_version") if name in study},
    }
    swept = study.get("space", {})
    return {
        name: value
        for name, value in fields.items()
        if name not in swept and name.rpartition(".")[2] not in swept
    }


def _value(settings: Mapping[str, Any], ds: xr.Dataset, name: str) -> Any:
    """The value of a field: as the study gives it, or the one of its axis that was chosen."""
    if name in settings:
        return settings[name]
    for axis in (name, name.rpartition(".")[2]):
        if axis in ds.coords and ds[axis].size == 1:
            return ds[axis].values.item()
    return None


def _equal(one: Any, other: Any) -> bool:
    numbers = is_plain_number(one) and is_plain_number(other)
    return bool(same(np.array(one), other) if numbers else one == other)
