"""Curves of a variable over a swept parameter, and over the same rescaled so that they collapse."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, NullFormatter

from simdyn.params import Collapse
from simdyn.plot import artists, captions, missing, page, scales
from simdyn.plot.panels import Draw, Grid, Panels, compose
from simdyn.plot.source import checked
from simdyn.theory import analysis
from simdyn.theory.scaling_collapse import collapse as fitted
from simdyn.theory.scaling_collapse import rescaled

GRID = Grid(left=0.55, gap=0.3, right=0.12, top=0.24, panel=1.9, between=0.68, below=0.48)
LIGHTEST, DARKEST = 0.2, 0.95  # of the colour map, on white paper
MARKERS = ("o", "s", "^", "D", "v", "P")
MOST_ENTRIES = 9  # of the legend, of each parameter
SHORT = 100.0  # an axis that spans less shows plain numbers


def _styles(points: xr.Dataset, names: Sequence[str]) -> list[dict[str, Any]]:
    """A style for each curve: the colour of the first parameter, a marker of all others."""
    first = np.unique(points[names[0]].values)
    place = np.searchsorted(first, points[names[0]].values) / max(first.size - 1, 1)
    colours = colormaps[artists.COLOURS](LIGHTEST + (DARKEST - LIGHTEST) * place)
    rest = [tuple(points[name].values[k] for name in names[1:]) for k in range(place.size)]
    order = sorted({*rest})
    return [
        {"color": tuple(colours[k]), "marker": MARKERS[order.index(rest[k]) % len(MARKERS)]}
        for k in range(place.size)
    ]


def _power_of_ten(value: float) -> str:
    """A value of a legend as mathtext: large and small ones by powers of ten."""
    power = math.floor(math.log10(value) + 1e-9)
    if -3 < power < 4:
        return f"{value:.4g}"
    digits = f"{value / 10.0**power:.3g}"
    return f"10^{{{power}}}" if digits == "1" else rf"{digits}\times 10^{{{power}}}"


def _symbol(array: xr.DataArray) -> str:
    """The symbol of a parameter as mathtext without its dollars, or its name."""
    symbol = artists.math_symbol(array.attrs.get("symbol", "")).strip("$")
    return symbol or rf"\mathrm{{{str(array.name).replace('_', ' ')}}}"


def _entries(
    points: xr.Dataset, names: Sequence[str], styles: Sequence[Mapping[str, Any]]
) -> list[Artist]:
    """The legend: a colour for each value of the first parameter, a marker for each of the rest."""
    handles: list[Artist] = []
    for group, black in ((names[:1], False), (names[1:], True)):
        found: dict[tuple[float, ...], Mapping[str, Any]] = {}
        for k, style in enumerate(styles):
            key = tuple(float(points[name].values[k]) for name in group)
            if key:
                found.setdefault(key, style)
        shown = sorted(found)
        if len(shown) > MOST_ENTRIES:
            shown = [shown[k] for k in np.linspace(0, len(shown) - 1, MOST_ENTRIES).astype(int)]
        for key in shown:
            text = ", ".join(
                f"{_symbol(points[name])} = {_power_of_ten(value)}"
                for name, value in zip(group, key, strict=True)
            )
            look = {"color": "black", "linestyle": "none"} if black else {}
            marker = {} if not black and len(names) > 1 else {"marker": found[key]["marker"]}
            colour = {} if black else {"color": found[key]["color"]}
            handles.append(artists.entry(f"${text}$", **{**look, **marker, **colour}))
    return handles


def _draw_panel(
    ax: Axes,
    at: np.ndarray,
    one: xr.Dataset,
    figure: Collapse,
    styles: Sequence[Mapping[str, Any]],
    texts: Mapping[str, str],
) -> None:
    """Curves (C, X) with two standard errors, each in its style."""
    ax.set(xlabel=texts["xlabel"], ylabel=texts["ylabel"])
    ax.set_title(texts["title"], loc="left")
    if not np.isfinite(at).any():
        ax.text(0.5, 0.5, "no fit", transform=ax.transAxes, ha="center")
        ax.set_xticks([])
        return
    mean, error = one["mean"].values, np.nan_to_num(one["error"].values)
    for k, style in enumerate(styles):
        ax.errorbar(
            at[k], mean[k], 2 * error[k], linewidth=0.8, elinewidth=0.6, markersize=2.2, **style
        )
    for value in figure.between or ():
        ax.axhline(value, color="#808080", linewidth=0.6, linestyle=":", zorder=0)
    _scale(ax, at)
    scales.scale_measured(ax, figure.scale, mean)


def _scale(ax: Axes, at: np.ndarray) -> None:
    """A logarithmic axis, with plain numbers if it spans little."""
    ax.set_xscale("log")
    if at.max() < SHORT * at.min():
        ax.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        ax.xaxis.set_minor_formatter(
            FuncFormatter(lambda tick, _: f"{tick:g}" if f"{tick:.0e}"[0] in "25" else "")
        )
    else:
        ax.xaxis.set_major_formatter(LogFormatterMathtext())
        ax.xaxis.set_minor_formatter(NullFormatter())


def _places(half: float) -> int:
    """Places of a number whose interval is half as wide: two digits of that."""
    return min(max(1 - math.floor(math.log10(half)), 0), 6) if half > 0 else 6


def _number(value: float, places: int) -> str:
    """A number with a minus, and no zero that is negative."""
    return f"{round(value, places) + 0.0:.{places}f}".replace("-", "−")


def _powers(one: xr.Dataset, ds: xr.Dataset) -> str:
    """The fitted powers of a method with their intervals."""
    parts = []
    for k, name in enumerate(map(str, one["parameter"].values)):
        value, low, high = (one[f"exponent{ending}"].values[k] for ending in ("", "_low", "_high"))
        value, low, high = (_number(number, _places(high - value)) for number in (value, low, high))
        of = f"${_symbol(ds[name])}$ " if one.sizes["parameter"] > 1 else ""
        parts.append(f"{of}{value} ({low}{captions.NBSP}…{captions.NBSP}{high})")
    return ", ".join(parts)


def _fit_sentence(one: xr.Dataset, ds: xr.Dataset, method: str) -> str:
    """What was fitted to a method, and how well."""
    name = captions.display_name(method, ds)
    if not one["points"].item():
        return f"{name}: too few points in common."
    quality, before = (_three_digits(one[name].item()) for name in ("quality", "quality_before"))
    numbers = (
        f"S = {quality} (unscaled {before}), p = {one['p_value'].item():.2g}, "
        f"δ = {one['deviation'].item():.2g} at {one['points'].item()} points"
    )
    equals = f"{captions.NBSP}={captions.NBSP}"
    return f"{name} {_powers(one, ds)}, {numbers.replace(' = ', equals)}."


def _three_digits(value: float) -> str:
    """A number ≥ 0 with three digits, and without an exponent unless it is small."""
    return f"{float(f'{value:.3g}'):.0f}" if value >= 100.0 else f"{value:.3g}"


def _symbols(ds: xr.Dataset, figure: Collapse) -> str:
    return " and ".join(f"${_symbol(ds[name])}$" for name in figure.along)


def _caption(
    ds: xr.Dataset, figure: Collapse, methods: Sequence[str], fit: xr.Dataset, mean: xr.DataArray
) -> list[str]:
    long_name = ds[figure.variable].attrs.get("long_name", figure.variable)
    x = ds[figure.x].attrs.get("long_name", figure.x)
    bars = "" if ds.sizes["replicate"] < 2 else "; bars: two standard errors"
    sentences = [
        f"{long_name[0].upper()}{long_name[1:]}, mean over {missing.runs_in_means(ds, methods)}"
        f"{bars}, over {x} and over {x} rescaled."
    ]
    sentences.append(
        f"Powers of {_symbols(ds, figure)} for which curves fall on one, with 95 % intervals by "
        "resampling whole replicates; S: mean square distance in errors; p: probability of such an "
        "S if they do; δ: root mean square distance."
    )
    sentences += [_fit_sentence(fit.sel({"method": method}), ds, method) for method in methods]
    if figure.between is not None:
        sentences.append("Points between the dotted lines are compared.")
    if figure.scale == "log":
        sentences += missing.off_log_axis([mean], methods, ds)
    return [
        *sentences,
        *missing.left_out(ds, methods),
        *captions.not_drawn(ds, methods),
        *captions.setting(ds, methods),
        captions.origin(ds),
    ]


def panels(ds: xr.Dataset, figure: Collapse) -> Panels:
    """Two panels for each method, apart from any sheet; `collapse` has the parameters."""
    ds = checked(ds, figure)
    methods = list(figure.compare or map(str, ds["method"].values))
    kept = ds[[figure.variable, "status"]].sel({"method": methods}).sortby(figure.x).load()
    fit = fitted(kept, figure.along, variable=figure.variable, x=figure.x, between=figure.between)
    points = _flat(kept, figure, fit)
    styles = _styles(points, figure.along)
    draw: dict[str, Draw] = {}
    for method in methods:
        own = fit.sel({"method": method})
        labels = {
            "original": artists.label(ds[figure.x]),
            "rescaled": _rescaled_label(ds, own, figure.x),
        }
        for at, xlabel in labels.items():
            draw[f"{method}, {at}"] = partial(
                _draw_panel,
                at=points.sel({"method": method})[at].values,
                one=points.sel({"method": method}),
                figure=figure,
                styles=styles,
                texts={
                    "xlabel": xlabel,
                    "ylabel": artists.label(ds[figure.variable]),
                    "title": captions.display_name(method, ds),
                },
            )
    handles = _entries(points, figure.along, styles)
    return Panels(draw, handles, _caption(ds, figure, methods, fit, points["mean"]))


def collapse(ds: xr.Dataset, figure: Collapse) -> matplotlib.figure.Figure:
    """Curves over a swept parameter and over the same rescaled, a row for each method.

    Parameters
    ----------
    ds : xarray.Dataset
        Results of a study over the figure's axes, complete or as far as it is computed.
    figure : simdyn.params.Collapse

    Returns
    -------
    matplotlib.figure.Figure
        With a caption that says what was fitted and how well.

    Raises
    ------
    InputError
        If the figure names what the results do not have.
    """
    sheet = page.Sheet.of(figure)
    with artists.style(sheet.letters):
        grid = GRID.of(figure, sheet)
        made, axes, columns = compose(
            sheet, grid, panels(ds, figure), most=2, legend=6, loc="left", pairs=True
        )
        if columns == 2:
            for right in axes[1::2]:
                right.set_ylabel("")
                right.tick_params(labelleft=False)
    return made


def _flat(kept: xr.Dataset, figure: Collapse, fit: xr.Dataset) -> xr.Dataset:
    """Means, their errors and both x, over (method, curve, x)."""
    found = analysis.last_summary(kept, figure.variable)
    scaled = rescaled(kept, fit)
    across = list(dict.fromkeys(str(kept[name].dims[0]) for name in figure.along))
    (level,) = kept[figure.x].dims
    points = xr.Dataset(
        {
            "original": xr.zeros_like(scaled).fillna(0.0) + kept[figure.x],
            "rescaled": scaled,
            "mean": found[figure.variable],
            "error": found[f"{figure.variable}_sem"],
        }
    )
    flat = points.stack(curve=across, create_index=False)
    return flat.transpose("method", "curve", level)


def _rescaled_label(ds: xr.Dataset, one: xr.Dataset, x: str) -> str:
    """The label of the rescaled axis, with the fitted exponents."""
    factors = []
    if not one["points"].item():
        return ""
    for k, name in enumerate(map(str, one["parameter"].values)):
        value, high = one["exponent"].values[k], one["exponent_high"].values[k]
        power = _number(-value, _places(high - value))
        factors.append(f"{_symbol(ds[name])}^{{\\,{power}}}")
    return f"${_symbol(ds[x])}\\;{''.join(factors)}$"
