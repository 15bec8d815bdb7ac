"""Critical values over swept parameters: lines with intervals, and the power of each."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from simdyn.params import CriticalLines
from simdyn.plot import artists, captions, page
from simdyn.plot.band import law_name, scale_of
from simdyn.plot.curves import STYLES
from simdyn.plot.source import checked, point_at, solved_field, space_of
from simdyn.theory.analysis import fit_critical_constant
from simdyn.theory.exponents import exponent
from simdyn.variables.layout import parameter_coordinate
from simdyn.variables.outcomes import OUTCOMES, Outcome

LEFT, GAP, RIGHT, TOP, PANEL, BELOW_PANEL = 0.6, 0.55, 0.12, 0.24, 2.1, 0.48  # inches
ROW_GAP = 0.2
PLACES = 6  # of a power, at most
SHORT = 100.0  # an axis that spans less has its own values as ticks


def _panel_points(ds: xr.Dataset, name: str, names: Sequence[str]) -> xr.Dataset:
    """The points of a panel, in increasing order: all other parameters as at the first point."""
    (dim,) = ds[name].dims
    same = np.ones(ds.sizes[dim], dtype=bool)
    for other in names:
        if other != name:
            same &= (ds[other] == ds[other][0]).values
    chosen = ds.isel({dim: same})
    if name != dim:
        chosen = chosen.swap_dims({dim: name})
    return chosen.sortby(name)


def located(ds: xr.Dataset) -> xr.DataArray:
    """Where there is a critical value that a line may go through."""
    return ds["crossing_status"].isin([o for o in Outcome if o.located])


def _draw_line(ax: Axes, points: xr.Dataset, name: str, style: Any) -> list[Artist]:
    """The critical values of one method, with their intervals."""
    shown = points.where(located(points))
    value = shown["critical_value"].values
    bars = np.stack([value - shown["critical_low"].values, shown["critical_high"].values - value])
    yerr = np.nan_to_num(np.maximum(bars, 0.0))
    return artists.draw_points(ax, points[name].values, value, yerr=yerr, linewidth=0.9, **style)


def _law(ds: xr.Dataset, points: xr.Dataset, name: str, method: str) -> xr.DataArray | None:
    """The law of the critical signal norm along a panel, its constant fitted; None without one."""
    needed = ("dimension", "n_samples", "n_patches", "noise_std")
    if solved_field(ds) != "signal_norm" or not all(field in points for field in needed):
        return None
    space = space_of(ds)
    plan = point_at(space, ds).plans[space.methods.index(method)]
    perturbed = any(phase.perturbation > 0.0 for phase in plan)
    if not (law := law_name(ds)) or (perturbed and law != "relu"):
        return None
    # Of SAM the theorem says: no d, no n, but the scale of the noise.
    scale = (points["n_patches"] - 1) * points["noise_std"] if perturbed else scale_of(points, law)
    scale = scale.broadcast_like(points[name]).astype(np.float64)
    line = (
        points["critical_value"]
        .sel({"method": method})
        .where(located(points).sel({"method": method}))
    )
    return scale * fit_critical_constant(line, scale).constant


def _power(fit: xr.Dataset, name: str) -> str:
    """A power and half the width of its interval, '0.2500 ± 0.0004'; empty if it is not known."""
    value, half = fit[name].item(), fit[f"{name}_high"].item() - fit[name].item()
    if not math.isfinite(value):
        return ""
    if half < 10.0**-PLACES:  # an exact symmetry, up to rounding
        return f"{value:.{PLACES}f}".replace("-", "−")
    places = max(1 - math.floor(math.log10(half)), 0)
    text = f"{value:.{places}f}{captions.NBSP}±{captions.NBSP}{half:.{places}f}"
    return text.replace("-", "−")


def _powers(fits: Mapping[str, xr.Dataset], name: str, names: Mapping[str, str]) -> str:
    """The powers of all panels and methods, by the names of these; empty if none is known."""
    parts = []
    for k, fit in enumerate(fits.values()):
        each = {text: _power(fit.sel({"method": method}), name) for method, text in names.items()}
        known = "; ".join(f"{text} {power}" for text, power in each.items() if power)
        letter = f"({page.letter(k)}) " if len(fits) > 1 else ""
        parts.append(f"{letter}{known}" if known else "")
    return ", ".join(filter(None, parts))


def _plain(tick: float, _: int) -> str:
    """The text of a tick, with three digits and without an exponent."""
    return f"{float(f'{tick:.3g}'):g}"


def _some(tick: float, place: int) -> str:
    """The text of a minor tick that begins with 2, 3 or 5."""
    return _plain(tick, place) if f"{tick:.0e}"[0] in "235" else ""


def _scales(ax: Axes, points: xr.Dataset, name: str) -> None:
    """Logarithmic axes; the values as ticks if they span little."""
    ax.set(xscale="log", yscale="log")
    x = points[name].values.astype(np.float64)
    if x.max() < SHORT * x.min():
        ax.xaxis.set_major_locator(FixedLocator(x[:: -(-x.size // 6)].tolist()))
        ax.xaxis.set_major_formatter(FuncFormatter(_plain))
        ax.xaxis.set_minor_locator(NullLocator())
    low, high = ax.get_ylim()
    if high < SHORT * low:
        ax.yaxis.set_major_formatter(FuncFormatter(_plain))
        ax.yaxis.set_minor_formatter(FuncFormatter(_some))


def not_just_found(ds: xr.Dataset, methods: Sequence[str]) -> Iterator[tuple[str, Outcome, str]]:
    """Methods and outcomes other than 'found', each with how many points and what it means."""
    for outcome, text in OUTCOMES.items():
        for method in methods:
            count = int((ds["crossing_status"].sel({"method": method}) == outcome).sum())
            if count and outcome is not Outcome.FOUND:
                yield method, outcome, f"{captions.plural(count, 'point')}: {text}"


def _caption(ds: xr.Dataset, methods: Sequence[str], fits: dict[str, xr.Dataset]) -> list[str]:
    solve = json.loads(ds.attrs["study"])["solve"]
    level, statistic = solve.get("level", 0.1), solve.get("statistic", "mean")
    variable = str(solve.get("variable", "test_error")).replace("_", " ")
    names = {method: captions.display_name(method, ds) for method in methods}
    powers = {
        "Fitted powers (95 % intervals by resampling whole replicates)": _powers(
            fits, "exponent", names
        ),
        "Extrapolated powers": _powers(fits, "limit", names),
    }
    runs = captions.plural(ds.sizes["replicate"], "replicate")
    return [
        f"Where the {statistic} {variable} over {runs} is {level}; bars: 95 % intervals.",
        *(f"{text}: {found}." for text, found in powers.items() if found),
        *(f"{names[method]}, {points}." for method, _, points in not_just_found(ds, methods)),
        *captions.not_drawn(ds, methods),
        *captions.setting(ds, methods),
        captions.origin(ds),
    ]


def critical_lines(ds: xr.Dataset, figure: CriticalLines) -> matplotlib.figure.Figure:
    """Critical values over swept parameters, a panel for each parameter.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study that solves for a field, complete or as far as it is computed.
    figure : simdyn.params.CriticalLines

    Returns
    -------
    matplotlib.figure.Figure
        As wide as the figure says, with a caption.

    Raises
    ------
    InputError
        If the figure names what the results do not have.
    """
    ds = checked(ds, figure).load()
    methods = list(figure.compare or map(str, ds["method"].values))
    (dim,) = ds[figure.x[0]].dims
    along = [str(name) for name, at in ds.coords.items() if at.dims == (dim,)]
    turned = [name for name in along if name in figure.x]
    panels = {name: _panel_points(ds, name, turned) for name in figure.x}
    fits = {name: exponent(points, name) for name, points in panels.items()}
    laws = {
        (name, method): law
        for name, points in panels.items()
        for method in methods
        if (law := _law(ds, points, name, method)) is not None
    }
    handles: list[Artist] = [
        artists.entry(captions.display_name(method, ds), **style)
        for method, style in zip(methods, STYLES, strict=False)
    ]
    if laws:
        label = "theory, its constant fitted"
        handles.append(Patch(facecolor="white", edgecolor="black", linewidth=0.5, label=label))
    sheet = page.Sheet.of(figure)
    columns = sheet.columns({1: 1, 2: 2, 4: 2}.get(len(panels), 3))
    rows = -(-len(panels) // columns)
    height = PANEL + BELOW_PANEL + ROW_GAP
    solved = space_of(ds)
    owner, field = solved.field_of(solved_field(ds))
    axis = parameter_coordinate(solved_field(ds), (), np.array(0.0), owner, field)
    ylabel = artists.label(xr.DataArray(0.0, attrs={**axis.attrs}, name=solved_field(ds)))
    with artists.style(sheet.letters):
        made = page.Page(
            sheet,
            TOP + rows * height - ROW_GAP,
            handles,
            _caption(ds, methods, fits),
            columns=min(3, len(handles)),
        )
        wide = (sheet.width - LEFT - RIGHT - (columns - 1) * GAP) / columns
        for index, (name, points) in enumerate(panels.items()):
            row, column = divmod(index, columns)
            ax = made.add_axes(LEFT + column * (wide + GAP), TOP + row * height, wide, PANEL)
            for method in methods:
                if (name, method) in laws:
                    artists.draw_law(ax, laws[name, method])
            for method, style in zip(methods, STYLES, strict=False):
                _draw_line(ax, points.sel({"method": method}), name, style)
            ax.margins(y=0.1)
            _scales(ax, points, name)
            ax.set(xlabel=artists.label(points[name]), ylabel=ylabel if column == 0 else "")
            if len(panels) > 1:
                ax.set_title(f"({page.letter(index)})", pad=4, loc="left")
    return made.figure
