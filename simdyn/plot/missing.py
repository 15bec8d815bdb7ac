"""Runs without a valid last state: how figures mark them, and what legends and captions say.

A mean is over the runs that finished. A figure says so at each of its means: in words, at points
and cells that rest on fewer than all replicates, and along stretches without any.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from simdyn.plot import artists, words
from simdyn.theory import analysis

HATCHES = ("////", "\\\\\\\\", "----", "||||", "....", "xxxx")  # of stretches, by method
GREY = "#a0a0a0"
RING: dict[str, Any] = {
    "marker": "o",
    "markersize": 6.0,
    "markerfacecolor": "none",
    "markeredgewidth": 0.6,
}
MOST_TOLD = 8  # points of a method whose numbers of runs a caption lists


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


# -- words ---------------------------------------------------------------------------------------


def behind(ds: xr.Dataset, methods: Sequence[str]) -> str:
    """What the means are over: '10 replicates', or 'the runs that finished (1–10 of 10)'."""
    count = counts(ds, methods)
    runs, of = finished(count).values, expected(count).values
    total = ds.sizes["replicate"]
    if (runs == of).all():
        return words.count(total, "replicate")
    runs = runs[of > 0]
    least, most = int(runs.min()), int(runs.max())
    return f"the runs that finished ({least}{f'–{most}' if most > least else ''} of {total})"


def named(ds: xr.Dataset, method: str) -> str:
    """A method as a legend has it, with its number of runs where one point lacks some."""
    count = counts(ds, [method])
    runs, of = int(finished(count).sum()), int(expected(count).sum())
    return words.spoken(method) + (f" ({runs} of {words.count(of, 'run')})" if runs < of else "")


def told(ds: xr.Dataset, methods: Sequence[str]) -> list[str]:
    """Sentences: how many runs are left out and how they ended, and what is masked."""
    count = counts(ds, methods)
    total = count.sum([dim for dim in count.dims if dim != "status"])
    of = {str(word): int(total.sel({"status": word})) for word in total["status"].values}
    ends = [
        f"{of['non-finite']} non-finite",
        f"{of['failed']} failed",
        f"{of['missing']} not computed yet",
    ]
    ends = [text for text in ends if not text.startswith("0 ")]
    said = []
    if ends:
        left = of["non-finite"] + of["failed"] + of["missing"]
        said.append(
            f"Left out: {words.count(left, 'run')} of {int(total.sum()) - of['masked']} "
            f"({', '.join(ends)})."
        )
    if of["masked"]:
        said.append(f"{words.count(of['masked'], 'run')} masked by the study, not computed.")
    return said


def fewer_told(ds: xr.Dataset, methods: Sequence[str], along: str) -> list[str]:
    """A sentence: at which values of the one swept parameter means are over how many runs."""
    count = counts(ds, methods)
    runs, of, said = finished(count), expected(count), []
    for method in methods:
        one = runs.sel({"method": method})
        one = one[((one > 0) & (one < of.sel({"method": method}))).values]
        values = [int(value) for value in one]
        if 0 < len(values) <= MOST_TOLD:
            at = ", ".join(f"{value:.3g}" for value in one[along].values)
            said.append(f"{words.spoken(method)} {', '.join(map(str, values))} at {at}")
        elif values:
            said.append(
                f"{words.spoken(method)} {min(values)}–{max(values)} at {len(values)} values"
            )
    symbol = artists.math_symbol(ds[along].attrs.get("symbol", "")) or along
    return [f"Rings: fewer runs in the mean ({'; '.join(said)} of {symbol})."] if said else []


# -- marks ---------------------------------------------------------------------------------------


def ring_points(ax: Axes, mean: xr.DataArray, runs: xr.DataArray, of: xr.DataArray) -> list[Artist]:
    """A ring around every mean over fewer than all runs; all arrays over one and the same dim."""
    fewer = ((runs < of) & np.isfinite(mean)).values
    if not fewer.any():
        return []
    x, y = mean[mean.dims[0]].values[fewer], mean.values[fewer]
    return [*ax.plot(x, y, linestyle="none", color="black", gid="fewer runs", **RING)]


def hatch_stretches(ax: Axes, x: np.ndarray, none: np.ndarray, method: int) -> list[Artist]:
    """Hatch where a method has no run that finished.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : numpy.ndarray
        Increasing values along the horizontal axis.
    none : numpy.ndarray of bool
        Where there is none.
    method : int
        Which method; each has a hatching of its own.
    """
    edges = artists.cell_edges(x)
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
    """Hatch a panel that has nothing to show, and say why."""
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
    """What a ring means, as in a legend."""
    return artists.entry("some runs did not finish", linestyle="none", **RING)


def hatch_entry(name: str, method: int) -> Artist:
    """What the hatching of a method means, as in a legend."""
    return Patch(
        facecolor="white",
        edgecolor=GREY,
        linewidth=0.5,
        label=f"{name}: no run finished",
        hatch=HATCHES[method % len(HATCHES)],
    )
