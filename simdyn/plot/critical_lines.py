"""Critical values over swept parameters: lines with intervals, and the power of each."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from simdyn.params import CriticalLines
from simdyn.plot import artists, captions, page, scales
from simdyn.plot.band import law_name, scale_of
from simdyn.plot.curves import STYLES
from simdyn.plot.panels import Draw, Grid, Panels, compose
from simdyn.plot.source import checked, point_at, solved_field, space_of
from simdyn.theory.analysis import fit_critical_constant
from simdyn.theory.exponents import exponent
from simdyn.variables.layout import parameter_coordinate
from simdyn.variables.outcomes import OUTCOMES, Outcome

GRID = Grid(left=0.6, gap=0.55, right=0.12, top=0.24, panel=2.1, between=0.68, below=0.48)
PLACES = 6  # of a power, at most
WIDEST = 10.0  # half an interval of a power; beyond, the power is not known
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
    if not math.isfinite(value) or half > WIDEST:
        return ""
    if half < 10.0**-PLACES:  # an exact symmetry, up to rounding
        return f"{value:.{PLACES}f}".replace("-", "−")
    places = max(1 - math.floor(math.log10(half)), 0)
    text = f"{value:.{places}f}{captions.NBSP}±{captions.NBSP}{half:.{places}f}"
    return text.replace("-", "−")


def _powers(fits: Mapping[str, xr.Dataset | None], name: str, names: Mapping[str, str]) -> str:
    """The powers of all panels and methods, by the names of these; empty if none is known."""
    parts = []
    for k, fit in enumerate(fits.values()):
        if fit is None:  # a parameter that is zero somewhere has no power
            continue
        each = {text: _power(fit.sel({"method": method}), name) for method, text in names.items()}
        known = "; ".join(f"{text} {power}" for text, power in each.items() if power)
        letter = f"({page.letter(k)}) " if len(fits) > 1 else ""
        parts.append(f"{letter}{known}" if known else "")
    return ", ".join(filter(None, parts))


def _plain(tick: float, _: int) -> str:
    """The text of a tick, with three digits and without an exponent."""
    return f"{float(f'{tick:.3g}'):g}"


def _scales(ax: Axes, points: xr.Dataset, name: str, figure: CriticalLines) -> None:
    """The scales of the figure; on logarithmic axes that span little, values as ticks."""
    x = points[name].values.astype(np.float64)
    if figure.x_scale == "symlog":
        scales.set_symlog(ax, "x", x)
    else:
        ax.set_xscale(figure.x_scale)
    values = points["critical_value"].where(located(points)).values
    if figure.y_scale == "symlog":
        scales.scale_with_zero(ax, values)
    elif (values > 0).any():  # else there is nothing to draw
        ax.set_yscale(figure.y_scale)
    if figure.x_scale == "log" and x.max() < SHORT * x.min():
        ax.xaxis.set_major_locator(FixedLocator(x[:: -(-x.size // 6)].tolist()))
        ax.xaxis.set_major_formatter(FuncFormatter(_plain))
        ax.xaxis.set_minor_locator(NullLocator())
    low, high = ax.get_ylim()
    if ax.get_yscale() == "log" and high < SHORT * low:
        scales.short_log_ticks(ax)


def not_just_found(ds: xr.Dataset, methods: Sequence[str]) -> Iterator[tuple[str, Outcome, str]]:
    """Methods and outcomes other than 'found', each with how many points and what it means."""
    for outcome, text in OUTCOMES.items():
        for method in methods:
            count = int((ds["crossing_status"].sel({"method": method}) == outcome).sum())
            if count and outcome is not Outcome.FOUND:
                yield method, outcome, f"{captions.plural(count, 'point')}: {text}"


def _caption(
    ds: xr.Dataset, methods: Sequence[str], fits: Mapping[str, xr.Dataset | None]
) -> list[str]:
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


def _draw_panel(
    ax: Axes,
    points: xr.Dataset,
    name: str,
    methods: Sequence[str],
    laws: Mapping[str, xr.DataArray],
    figure: CriticalLines,
    ylabel: str,
) -> None:
    """The critical values of all methods over one parameter, with their laws below."""
    for law in laws.values():
        artists.draw_law(ax, law)
    for method, style in zip(methods, STYLES, strict=False):
        _draw_line(ax, points.sel({"method": method}), name, style)
    ax.margins(y=0.1)
    _scales(ax, points, name, figure)
    ax.set(xlabel=artists.label(points[name]), ylabel=ylabel)


def _solved_label(ds: xr.Dataset) -> str:
    """The label of the field that was solved for."""
    name = solved_field(ds)
    owner, field = space_of(ds).field_of(name)
    axis = parameter_coordinate(name, (), np.array(0.0), owner, field)
    return artists.label(xr.DataArray(0.0, attrs={**axis.attrs}, name=name))


def panels(ds: xr.Dataset, figure: CriticalLines) -> Panels:
    """A panel for each parameter, apart from any sheet; `critical_lines` has the parameters."""
    ds = checked(ds, figure).load()
    methods = list(figure.compare or map(str, ds["method"].values))
    (dim,) = ds[figure.x[0]].dims
    along = [str(name) for name, at in ds.coords.items() if at.dims == (dim,)]
    turned = [name for name in along if name in figure.x]
    over = {name: _panel_points(ds, name, turned) for name in figure.x}
    laws = {
        name: {
            method: law for method in methods if (law := _law(ds, points, name, method)) is not None
        }
        for name, points in over.items()
    }
    handles: list[Artist] = [
        artists.entry(captions.display_name(method, ds), **style)
        for method, style in zip(methods, STYLES, strict=False)
    ]
    if any(laws.values()):
        label = "theory, its constant fitted"
        handles.append(Patch(facecolor="white", edgecolor="black", linewidth=0.5, label=label))
    ylabel = _solved_label(ds)
    draw: dict[str, Draw] = {
        name: partial(
            _draw_panel,
            points=points,
            name=name,
            methods=methods,
            laws=laws[name],
            figure=figure,
            ylabel=ylabel,
        )
        for name, points in over.items()
    }
    fits = {
        name: exponent(points, name) if points[name].size > 1 and (points[name] > 0).all() else None
        for name, points in over.items()
    }
    return Panels(draw, handles, _caption(ds, methods, fits), always_lettered=False)


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
    sheet = page.Sheet.of(figure)
    with artists.style(sheet.letters):
        shown = panels(ds, figure)
        most = {1: 1, 2: 2, 4: 2}.get(len(shown.draw), 3)
        grid = GRID.of(figure, sheet)
        made, axes, columns = compose(sheet, grid, shown, most=most, loc="left")
        for index, ax in enumerate(axes):
            if index % columns:
                ax.set_ylabel("")
    return made
