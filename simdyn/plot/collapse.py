"""Curves of a variable over a swept parameter, and over the same rescaled so that they collapse."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, NullFormatter
from matplotlib import colormaps

from simdyn.params import Collapse
from simdyn.plot import artists, captions, missing, page
from simdyn.plot.source import checked
from simdyn.theory import analysis
from simdyn.theory.scaling_collapse import collapse as fitted
from simdyn.theory.scaling_collapse import rescaled

LEFT, GAP, RIGHT, TOP, PANEL, BELOW_PANEL = 0.55, 0.3, 0.12, 0.24, 1.9, 0.48  # inches
ROW_GAP = 0.2
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
    """A value of a legend as mathtext: a power of ten as such."""
    power = round(math.log10(value))
    if abs(power) > 2 and math.isclose(value, 10.0**power, rel_tol=1e-9):
        return f"10^{{{power}}}"
    return f"{value:.4g}" if value < 1e6 else rf"{value / 10**math.floor(math.log10(value)):.3g}\times 10^{{{math.floor(math.log10(value))}}}"


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
        found = {}
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


def _draw(
    ax: Axes, at: np.ndarray, found: xr.Dataset, name: str, styles: Sequence[Mapping[str, Any]]
) -> list[Artist]:
    """Curves (C, X) with two standard errors, each in its style."""
    drawn: list[Artist] = []
    mean, error = found[name].values, np.nan_to_num(found[f"{name}_sem"].values)
    for k, style in enumerate(styles):
        bars = ax.errorbar(
            at[k],
            mean[k],
            2 * error[k] if error.any() else None,
            linewidth=0.8,
            elinewidth=0.6,
            capsize=0.0,
            markersize=2.2,
            **style,
        )
        drawn += bars.get_children()
    return drawn


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


def _powers(one: xr.Dataset, ds: xr.Dataset) -> str:
    """The fitted powers of a method with their intervals."""
    parts = []
    for k, name in enumerate(map(str, one["parameter"].values)):
        value, low, high = (
            one[f"exponent{ending}"].values[k] for ending in ("", "_low", "_high")
        )
        places = _places(high - value)
        interval = f"{low:.{places}f}{captions.NBSP}…{captions.NBSP}{high:.{places}f}"
        parts.append(
            f"${_symbol(ds[name])}^{{\\,{value:.{places}f}}}$ ({interval})".replace("-", "−")
        )
    return " ".join(parts)


def _fit_sentence(one: xr.Dataset, ds: xr.Dataset, method: str) -> str:
    """What was fitted to a method, and how well."""
    name = captions.display_name(method)
    if not one["points"].item():
        return f"{name}: too few points in common for a fit."
    numbers = (
        f"S = {one['quality'].item():.3g} ({one['quality_before'].item():.3g} unscaled), "
        f"p = {one['p_value'].item():.2g}, deviation {one['deviation'].item():.2g} "
        f"at {one['points'].item()} points"
    )
    return f"{name} ∝ {_powers(one, ds)}: {numbers}.".replace(" = ", f"{captions.NBSP}={captions.NBSP}")


def _caption(
    ds: xr.Dataset, figure: Collapse, methods: Sequence[str], fit: xr.Dataset | None
) -> list[str]:
    long_name = ds[figure.variable].attrs.get("long_name", figure.variable)
    x = ds[figure.x].attrs.get("long_name", figure.x)
    bars = "" if ds.sizes["replicate"] < 2 else "; bars: two standard errors"
    sentences = [
        f"{long_name[0].upper()}{long_name[1:]}, mean over {missing.runs_in_means(ds, methods)}"
        f"{bars}, over {x} and over {x} rescaled."
    ]
    if fit is not None:
        scales = "; ".join(
            f"{captions.display_name(method)} ∝ {_powers(fit.sel({'method': method}), ds)}"
            for method in methods
        )
        del scales
        sentences.append(
            "Fitted so that curves fall on one (95 % intervals by resampling whole replicates; S: "
            "mean square distance in errors; p: probability of such an S if they do):"
        )
        sentences += [_fit_sentence(fit.sel({"method": method}), ds, method) for method in methods]
    if figure.between is not None:
        sentences.append("Points between the dotted lines are compared.")
    return [
        *sentences,
        *missing.left_out(ds, methods),
        *captions.not_drawn(ds, methods),
        *captions.setting(ds, methods),
        captions.origin(ds),
    ]


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
        7 inches wide, with a caption that says what was fitted and how well.

    Raises
    ------
    InputError
        If the figure names what the results do not have.
    """
    ds = checked(ds, figure).load()
    methods = list(figure.compare or map(str, ds["method"].values))
    kept = ds[[figure.variable, "status"]].sel({"method": methods}).sortby(figure.x)
    fit = fitted(kept, figure.along, variable=figure.variable, x=figure.x, between=figure.between)
    found = analysis.last_summary(kept, figure.variable)
    across = list(dict.fromkeys(str(ds[name].dims[0]) for name in figure.along))
    (level,) = ds[figure.x].dims
    scaled = rescaled(kept, fit)
    flat = xr.Dataset(
        {
            "at": xr.zeros_like(scaled) + kept[figure.x],
            "rescaled": scaled,
            figure.variable: found[figure.variable],
            f"{figure.variable}_sem": found[f"{figure.variable}_sem"],
        }
    ).stack(curve=across, create_index=False).transpose("method", "curve", level)  # fmt: skip
    names = list(figure.along)
    styles = _styles(flat, names)
    handles = _entries(flat, names, styles)
    rows, height = len(methods), PANEL + BELOW_PANEL + ROW_GAP
    with artists.style():
        sheet = page.Page(
            TOP + rows * height - ROW_GAP,
            handles,
            _caption(ds, figure, methods, fit),
            columns=min(6, len(handles)),
        )
        wide = (page.WIDTH - LEFT - RIGHT - GAP) / 2
        for row, method in enumerate(methods):
            one = flat.sel({"method": method})
            pair = []
            for column, name in enumerate(("at", "rescaled")):
                at = one[name].values
                ax = sheet.add_axes(LEFT + column * (wide + GAP), TOP + row * height, wide, PANEL)
                if not np.isfinite(at).any():
                    missing.hatch_panel(ax, row)
                    continue
                _draw(ax, at, one, figure.variable, styles)
                for value in figure.between or ():
                    ax.axhline(value, color="#808080", linewidth=0.6, linestyle=":", zorder=0)
                _scale(ax, at)
                letter = page.letter(2 * row + column)
                ax.set_title(f"({letter}) {captions.display_name(method)}", pad=4, loc="left")
                pair.append(ax)
            pair[0].set(
                xlabel=artists.label(ds[figure.x]), ylabel=artists.label(ds[figure.variable])
            )
            if len(pair) > 1:
                pair[1].set(xlabel=_rescaled_label(ds, fit.sel({"method": method}), figure.x))
                pair[1].set(ylim=pair[0].get_ylim())
                pair[1].tick_params(labelleft=False)
    return sheet.figure


def _rescaled_label(ds: xr.Dataset, one: xr.Dataset, x: str) -> str:
    """The label of the rescaled axis, with the fitted exponents."""
    factors = []
    for k, name in enumerate(map(str, one["parameter"].values)):
        value = -one["exponent"].values[k]
        places = _places(one["exponent_high"].values[k] + value)
        text = f"{value:+.{places}f}".replace("+", "")
        factors.append(f"{_symbol(ds[name])}^{{\\,{text}}}")
    return f"rescaled ${_symbol(ds[x])}\\;{' '.join(factors)}$"
