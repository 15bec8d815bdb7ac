"""Runs without a valid last state: how figures mark them, and what legends and captions say.

A mean is over the runs that finished. Figures mark means over fewer than all replicates, hatch
stretches without any run, and count both in their captions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from simdyn.plot import artists, captions
from simdyn.theory import analysis

HATCHES = ("////", "\\\\\\\\", "----", "||||", "....", "xxxx")  # of stretches, by method
GREY = "#a0a0a0"
RING: dict[str, Any] = {
    "marker": "o",
    "markersize": 6.0,
    "markerfacecolor": "none",
    "markeredgewidth": 0.6,
}
MOST_LISTED = 8  # points of a method whose numbers of runs a caption lists


def counts(ds: xr.Dataset, methods: Sequence[str]) -> xr.DataArray:
    """Runs by `status`, over the study's points and these methods."""
    return analysis.count_by_status(ds["status"].sel({"method": list(methods)}))


def finished(count: xr.DataArray) -> xr.DataArray:
    """Runs behind a mean, from `counts`."""
    return count.sel({"status": [analysis.STATUS_WORDS[code] for code in analysis.VALID]}).sum(
        "status"
    )


def expected(count: xr.DataArray) -> xr.DataArray:
    """Runs that the study has: all but those that are masked, from `counts`."""
    return count.sum("status") - count.sel({"status": "masked"}, drop=True)


# -- text ----------------------------------------------------------------------------------------


def runs_in_means(ds: xr.Dataset, methods: Sequence[str]) -> str:
    """What the means are over: '10 replicates', or 'the runs that finished (1–10 of 10)'."""
    count = counts(ds, methods)
    runs, of = finished(count).values, expected(count).values
    total = ds.sizes["replicate"]
    if (runs == of).all():
        return captions.plural(total, "replicate")
    runs = runs[of > 0]
    least, most = int(runs.min()), int(runs.max())
    return f"the runs that finished ({least}{f'–{most}' if most > least else ''} of {total})"


def legend_name(ds: xr.Dataset, method: str) -> str:
    """A method in a legend, with its number of runs if some are missing."""
    count = counts(ds, [method])
    runs, of = int(finished(count).sum()), int(expected(count).sum())
    return captions.display_name(method, ds) + (
        f" ({runs} of {captions.plural(of, 'run')})" if runs < of else ""
    )


def left_out(ds: xr.Dataset, methods: Sequence[str]) -> list[str]:
    """Sentences: how many runs are left out, how they ended, and how many are masked."""
    count = counts(ds, methods)
    total = count.sum([dim for dim in count.dims if dim != "status"])
    of = {str(word): int(total.sel({"status": word})) for word in total["status"].values}
    ends = [
        f"{of['non-finite']} non-finite",
        f"{of['failed']} failed",
        f"{of['missing']} not computed yet",
    ]
    ends = [text for text in ends if not text.startswith("0 ")]
    sentences = []
    if ends:
        left = of["non-finite"] + of["failed"] + of["missing"]
        sentences.append(
            f"Left out: {captions.plural(left, 'run')} of {int(total.sum()) - of['masked']} "
            f"({', '.join(ends)})."
        )
    if of["masked"]:
        sentences.append(
            f"{captions.plural(of['masked'], 'run')} masked by the study, not computed."
        )
    return sentences


def fewer_runs(ds: xr.Dataset, methods: Sequence[str], along: str) -> list[str]:
    """A sentence: values of the swept parameter whose means are over fewer runs, and how many."""
    count = counts(ds, methods)
    runs, of, sentences = finished(count), expected(count), []
    for method in methods:
        one = runs.sel({"method": method})
        one = one[((one > 0) & (one < of.sel({"method": method}))).values]
        values = [int(value) for value in one]
        if 0 < len(values) <= MOST_LISTED:
            at = ", ".join(f"{value:.3g}" for value in one[along].values)
            sentences.append(
                f"{captions.display_name(method, ds)} {', '.join(map(str, values))} at {at}"
            )
        elif values:
            sentences.append(
                f"{captions.display_name(method, ds)} {min(values)}–{max(values)} at "
                f"{len(values)} values"
            )
    symbol = artists.math_symbol(ds[along].attrs.get("symbol", "")) or along
    return (
        [f"Rings: fewer runs in the mean ({'; '.join(sentences)} of {symbol})."]
        if sentences
        else []
    )


def off_log_axis(
    means: Sequence[xr.DataArray], methods: Sequence[str], ds: xr.Dataset
) -> list[str]:
    """A sentence on means that are not positive, which a logarithmic axis has no place for.

    Parameters
    ----------
    means : sequence of (method, …) DataArray
    methods : sequence of str
    ds : xarray.Dataset
        Results, for the names of methods.
    """
    if not any((mean > 0).any() for mean in means):
        return ["No mean is positive, so that no axis is logarithmic."]
    lost = {
        method: sum(int((mean.sel({"method": method}) <= 0).sum()) for mean in means)
        for method in methods
    }
    each = ", ".join(f"{captions.display_name(name, ds)} {n}" for name, n in lost.items() if n)
    size = "zero or less" if any((mean < 0).any() for mean in means) else "zero"
    return [f"Means of {size} have no place on the logarithmic axes ({each})."] if each else []


# -- marks ---------------------------------------------------------------------------------------


def ring_points(ax: Axes, mean: xr.DataArray, runs: xr.DataArray, of: xr.DataArray) -> list[Artist]:
    """A ring around every mean over fewer than all runs; all arrays have the same one dim."""
    fewer = ((runs < of) & np.isfinite(mean)).values
    if not fewer.any():
        return []
    x, y = mean[mean.dims[0]].values[fewer], mean.values[fewer]
    return [*ax.plot(x, y, linestyle="none", color="black", gid="fewer runs", **RING)]


def hatch_stretches(ax: Axes, edges: np.ndarray, none: np.ndarray, method: int) -> list[Artist]:
    """Hatch values at which no run of a method finished.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    edges : (K + 1,) numpy.ndarray
        Halfway between values along the horizontal axis.
    none : (K,) numpy.ndarray of bool
        True if no run finished there.
    method : int
        Index of the method; each has its own hatching.
    """
    steps = np.diff(np.pad(none.astype(np.int8), 1))
    return [
        ax.axvspan(
            edges[first],
            edges[last],
            facecolor="none",
            edgecolor=GREY,
            linewidth=0.0,
            hatch=HATCHES[method % len(HATCHES)],
            zorder=0,
            gid="no run",
        )
        for first, last in zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0), strict=True)
    ]


def hatch_panel(ax: Axes, method: int) -> list[Artist]:
    """Hatch a panel without any finished run, and say so."""
    look = {"boxstyle": "square,pad=0.3", "facecolor": "white", "edgecolor": "none"}
    whole = Rectangle(
        (0, 0),
        1,
        1,
        transform=ax.transAxes,
        facecolor="none",
        edgecolor=GREY,
        linewidth=0.0,
        hatch=HATCHES[method % len(HATCHES)],
        gid="no run",
    )
    why = ax.text(0.5, 0.5, "no run finished", transform=ax.transAxes, ha="center", bbox=look)
    return [ax.add_patch(whole), why]


def ring_entry() -> Artist:
    """Legend entry of a ring."""
    return artists.entry("some runs did not finish", linestyle="none", **RING)


def hatch_entry(name: str, method: int) -> Artist:
    """Legend entry of a method's hatching."""
    return Patch(
        facecolor="white",
        edgecolor=GREY,
        linewidth=0.5,
        label=f"{name}: no run finished",
        hatch=HATCHES[method % len(HATCHES)],
    )
