"""The numbers of a map's cells, from the results of a study."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.explore.courses import Course, course_of
from simdyn.explore.map_choice import Choice, sliced_places, sliced_values
from simdyn.explore.map_source import MapSource
from simdyn.explore.narration import Outcome
from simdyn.theory import analysis
from simdyn.theory.crossing import is_geometric
from simdyn.theory.regime import noise_updates, signal_updates

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class Map:
    """The numbers of a map.

    Attributes
    ----------
    x, y : ndarray
        Increasing values of the axes.
    means : (method, y, x) ndarray
        NaN where no run is finished.
    difference : (y, x) ndarray, optional
        The first method minus the second, over pairs of runs.
    contours : (method, x) ndarray
        Values of y where the mean crosses the level; NaN where it does not.
    runs : (method, y, x) ndarray of int
        Runs in the means.
    logarithmic : (bool, bool)
        Are the axes x and y logarithmic?
    thin : sequence of (method, x) ndarrays
        Contours at the figure's further levels.
    solved : sequence of (x, y, low x, low y, high x, high y) ndarrays
        For each method the points of its solved line, with the ends of their intervals.
    remark : str
        Why there are no solved lines, if the figure names some.
    """

    x: np.ndarray
    y: np.ndarray
    means: np.ndarray
    difference: np.ndarray | None
    contours: np.ndarray
    runs: np.ndarray
    logarithmic: tuple[bool, bool]
    thin: Sequence[np.ndarray] = ()
    solved: Sequence[tuple[np.ndarray, ...]] = ()
    remark: str = ""


def sliced(source: MapSource, choice: Choice, ds: "xr.Dataset") -> "xr.Dataset":
    """Results over the two axes of a choice only."""
    at = sliced_places(source, choice)
    rest = {
        dim: 0
        for dim in source.study.space.dims
        if dim not in (choice.x, choice.y) and dim not in at
    }
    return ds.isel({**at, **rest}).sortby([choice.x, choice.y])


def map_of(source: MapSource, choice: Choice, ds: "xr.Dataset") -> Map:
    """The numbers of a map, from results as far as they are computed."""
    ds = sliced(source, choice, ds)[[choice.variable, "status"]].sel(
        {"method": list(choice.methods)}
    )
    ds = ds.isel(step=[-1]).load()
    plane = ("method", choice.y, choice.x)
    mean = analysis.mean_state(ds, choice.variable).transpose(*plane)
    difference = None
    if len(choice.methods) > 1:
        pair = analysis.paired_difference(ds, choice.variable, *choice.methods)
        difference = pair["difference"].transpose(*plane[1:]).values
    ends = mean.isel({choice.y: [0, -1]}).mean(["method", choice.x]).values
    rising = bool(ends[1] > ends[0])

    def contours_at(level: float) -> np.ndarray:
        found = analysis.contour(ds, choice.variable, level, choice.y, rising=rising)
        return found.transpose("method", choice.x).values

    x, y = (ds[axis].values.astype(float) for axis in (choice.x, choice.y))
    figure = choice.figure
    return Map(
        x,
        y,
        mean.values,
        difference,
        contours_at(choice.level),
        mean["runs"].transpose(*plane).values,
        (is_logarithmic(x, figure.x_scale), is_logarithmic(y, figure.y_scale)),
        [contours_at(level) for level in figure.thin_levels or ()],
        *_solved(choice, ds),
    )


def _solved(choice: Choice, ds: "xr.Dataset") -> tuple[list[tuple[np.ndarray, ...]], str]:
    """The solved lines of all methods, or why there are none."""
    if choice.lines is None:
        return [], ""
    from simdyn.plot.overlaid_lines import overlaid_lines

    try:
        lines = overlaid_lines(ds, choice.figure)
    except InputError as problem:
        return [], str(problem)
    assert lines is not None
    return [lines.coordinates(method) for method in choice.methods], ""


def is_logarithmic(values: np.ndarray, scale: str | None = None) -> bool:
    """Is an axis logarithmic: by the scale that a figure says, or as its values are spaced?"""
    return scale == "log" if scale in ("log", "linear") else is_geometric(values)


def point_of(source: MapSource, choice: Choice, ds: "xr.Dataset", cell: int) -> dict[str, Any]:
    """The values of all axes at a cell, by its number in (y, x) order."""
    one = sliced(source, choice, ds)
    row, column = divmod(cell, one.sizes[choice.x])
    one = one.isel({choice.y: row, choice.x: column})
    return {dim: one[dim].item() for dim in source.others}


@dataclasses.dataclass(frozen=True)
class Replayed:
    """The runs of a cell, trained again.

    Attributes
    ----------
    point : dict of str to number or str
    courses, outcomes, times : dict
        Of each method, as in a `Scene`.
    verdicts : dict of str to str
        How the runs of each method compare with the store.
    """

    point: Mapping[str, Any]
    courses: Mapping[str, Course]
    outcomes: Mapping[str, Outcome]
    times: Mapping[str, Mapping[str, float]]
    verdicts: Mapping[str, str]


def replayed(source: MapSource, choice: Choice, point: Mapping[str, Any]) -> Replayed:
    """Train the runs of a point again, by the methods of the choice."""
    from simdyn.api.point_search import find_point
    from simdyn.api.replay import replay

    study = source.study
    parameters = study.space.point(find_point(study, point))
    courses, outcomes, times, verdicts = {}, {}, {}, {}
    for method in choice.methods:
        course = replay(source.path, point, method, threads=source.threads)
        values = {str(name): array.values for name, array in course.data_vars.items()}
        courses[method], outcomes[method] = course_of(
            values, course["updates"].values, parameters.data
        )
        plan = parameters.plans[study.space.methods.index(method)]
        first = next((phase for phase in plan if phase.epochs), None)
        found: dict[str, float] = {}
        if first is not None:
            found = {
                "signal": signal_updates(parameters.data, parameters.net, first),
                "noise": noise_updates(parameters.data, parameters.net, first),
            }
        times[method] = {name: time for name, time in found.items() if time == time}
        verdicts[method] = course.attrs["verdict"]
    return Replayed(point, courses, outcomes, times, verdicts)


def map_code(source: MapSource, choice: Choice, point: Mapping[str, Any] | None) -> str:
    """Python code that reads what the map shows, and trains its cell again."""
    at = sliced_values(source, choice)
    lines = [
        "import simdyn",
        "",
        f"ds = simdyn.open_results({str(source.path)!r})",
        *([f"ds = ds.sel({at!r})"] if at else []),
        f"mean = simdyn.summary(ds)[{choice.variable!r}].isel(step=-1)",
    ]
    for method in choice.methods:
        lines.append(
            f'print(mean.sel({{"method": {method!r}}}).transpose({choice.y!r}, {choice.x!r}))'
        )
    if point is not None:
        for method in choice.methods:
            lines.append(
                f"course = simdyn.replay({str(source.path)!r}, {dict(point)!r}, {method!r})"
            )
            lines.append("print(course)")
    return "\n".join([*lines, ""])


def cells_table(choice: Choice, found: Map) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the map as CSV: a row for each cell; NaN is empty."""
    means = [f"{choice.variable} {method}" for method in choice.methods]
    runs = [f"runs {method}" for method in choice.methods]
    columns = [choice.x, choice.y, *means, *runs]
    if found.difference is not None:
        columns.append(f"{choice.variable} {choice.methods[0]} minus {choice.methods[1]}")
    rows = []
    for row, y in enumerate(found.y.tolist()):
        for column, x in enumerate(found.x.tolist()):
            numbers = [*found.means[:, row, column].tolist()]
            cells = [x, y, *numbers, *found.runs[:, row, column].tolist()]
            if found.difference is not None:
                cells.append(float(found.difference[row, column]))
            rows.append(["" if value != value else value for value in cells])
    return columns, rows
