"""Parts of figures: labels, cells, hatching, lines. What draws takes axes and returns artists."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.style
import numpy as np
import xarray as xr
from matplotlib import font_manager, patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import Colormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from simdyn.base.inputs import InputError, nearest
from simdyn.plot import scales

STYLE = {
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "hatch.linewidth": 0.4,
    "pdf.fonttype": 42,
    "svg.hashsalt": "simdyn",
}
COLOURS = "magma_r"  # lightness is monotone: small values are light, as paper
HALO = [patheffects.Stroke(linewidth=2.4, foreground="white"), patheffects.Normal()]
THIN_HALO = [patheffects.Stroke(linewidth=1.4, foreground="white"), patheffects.Normal()]
HATCH = "////"
DIFFERENCES = "RdBu"  # safe for the colour-blind: red below zero, white, blue above
GHOST = "#cccccc"  # cells without a value


@dataclasses.dataclass(frozen=True)
class Letters:
    """The letters of a figure.

    Attributes
    ----------
    size : float
        Of most text, in points; titles and labels of axes are a little larger.
    family : str
        A font that matplotlib finds.
    """

    size: float = 7
    family: str = "DejaVu Sans"

    @property
    def enlarged(self) -> float:
        """By how much the usual layout is enlarged for them."""
        return self.size / 7

    @property
    def style(self) -> dict[str, Any]:
        """Matplotlib's settings."""
        return {
            "font.family": self.family,
            "font.size": self.size,
            "axes.titlesize": self.size * 8 / 7,
            "axes.labelsize": self.size * 7.5 / 7,
            "legend.fontsize": self.size,
        }

    def check(self) -> None:
        """Refuse a font that is not installed.

        Raises
        ------
        InputError
        """
        generic = ("serif", "sans-serif", "monospace")
        known = sorted({*generic, *font_manager.get_font_names()})
        if self.family not in known:
            raise InputError(f"figure.font = {self.family!r}: {nearest(self.family, known)}")


USUAL = Letters()


@contextmanager
def style(letters: Letters = USUAL) -> Iterator[None]:
    """Matplotlib's settings while a figure is made or written, instead of the reader's own."""
    with matplotlib.style.context(["default", STYLE, letters.style]):
        yield


# -- text ----------------------------------------------------------------------------------------

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")


def math_symbol(symbol: str) -> str:
    """A symbol of the metadata as mathtext."""
    low = re.sub("[₀-₉₊₋]+", lambda run: f"_{{{run[0].translate(_SUBSCRIPTS)}}}", symbol)
    low = re.sub("_([a-z]{2,})", r"_\\mathrm{\1}", low)  # a word, not a product of letters
    return f"${low}$".replace("‖", r"\Vert ") if symbol else ""


def label(array: xr.DataArray) -> str:
    """Long name, symbol, and units if there are any."""
    symbol, units = math_symbol(array.attrs.get("symbol", "")), array.attrs.get("units", "")
    parts = [str(array.attrs.get("long_name", array.name)), symbol]
    return " ".join([*filter(None, parts), *([f"({units})"] if units not in ("", "1") else [])])


def wrap(sentences: Sequence[str], width: float, size: float) -> list[str]:
    """Lines no wider than `width` points; words, mathtext included, are measured as drawn."""

    def measure(text: str) -> float:
        return float(TextPath((0, 0), text, size=size).vertices[:, 0].max())

    space = measure("a a") - 2 * measure("a")
    lines: list[str] = []
    room = 0.0
    # Lines are not broken at a blank inside mathtext.
    for word in re.findall(r"(?:\$[^$]*\$|[^ $])+", " ".join(sentences)):
        wide = measure(word)
        if lines and space + wide <= room:
            lines[-1] += f" {word}"
            room -= space + wide
        else:
            lines.append(word)
            room = width - wide
    return lines


# -- geometry ------------------------------------------------------------------------------------


def polyline(
    x: np.ndarray, y: np.ndarray, scale: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A line that shows all its finite points: one alone becomes a dash as wide as its cell."""
    edges = scales.cell_edges(x, scale)
    finite = np.pad(np.isfinite(y), 1)
    alone = finite[1:-1] & ~finite[:-2] & ~finite[2:]
    xs, ys = [], []
    for i in range(x.size):
        xs += [edges[i], edges[i + 1]] if alone[i] else [x[i]]
        ys += [y[i], y[i]] if alone[i] else [y[i]]
    return np.array(xs, dtype=np.float64), np.array(ys, dtype=np.float64)


# -- artists -------------------------------------------------------------------------------------


def entry(label: str, **style: Any) -> Line2D:
    """A legend entry of a line."""
    look = {"color": "black", "linewidth": 1.1, "markersize": 3.2, "markeredgewidth": 0.7}
    return Line2D([], [], label=label, **{**look, **style})


def edges_on(ax: Axes, cells: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of cells with dims (y, x) along x and along y, on axes whose scales are set."""
    y, x = (cells[dim].values for dim in cells.dims)
    return scales.cell_edges(x, ax.get_xscale()), scales.cell_edges(y, ax.get_yscale())


def draw_cells(
    ax: Axes, cells: xr.DataArray, norm: Normalize, cmap: Colormap | str = COLOURS
) -> QuadMesh:
    """One coloured rectangle for each value, with dims (y, x); grey if it is not finite."""
    x, y = edges_on(ax, cells)
    ax.set_facecolor(GHOST)
    mesh = ax.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(cells.values),
        norm=norm,
        cmap=cmap,
        rasterized=True,  # as vectors, viewers leave hairlines between cells
    )
    ax.set(xlim=x[[0, -1]], ylim=y[[0, -1]])
    return mesh


def mark_cells(ax: Axes, cells: xr.DataArray, *, markersize: float, **style: Any) -> list[Artist]:
    """A marker in the middle of every cell that is true, no larger than the cells."""
    y, x = (cells[dim].values for dim in cells.dims)
    row, column = np.nonzero(cells.values)
    if row.size == 0:
        return []
    cell = 72 / ax.figure.dpi * min(ax.bbox.width / x.size, ax.bbox.height / y.size)  # in points
    size = min(markersize, 0.8 * cell)
    return [*ax.plot(x[column], y[row], linestyle="none", markersize=size, **style)]


def veil_cells(ax: Axes, cells: xr.DataArray) -> QuadMesh:
    """A white veil over the cells that are true."""
    x, y = edges_on(ax, cells)
    shown = np.ma.masked_where(~cells.values, np.ones(cells.shape))
    return ax.pcolormesh(x, y, shown, cmap="Greys_r", vmin=0.0, vmax=1.0, alpha=0.6, gid="veil")


def hatch_cells(ax: Axes, cells: xr.DataArray, mesh: QuadMesh) -> list[Artist]:
    """Hatch the region of the cells that are true, and outline it.

    The hatching is black over light cells of `mesh` and white over dark ones.
    """
    x, y = edges_on(ax, cells)
    inside = cells.values.astype(bool)
    rgb = np.asarray(mesh.to_rgba(np.ma.asarray(mesh.get_array())))[..., :3]
    dark = (rgb @ np.array([0.2126, 0.7152, 0.0722]) < 0.4).reshape(inside.shape)
    artists: list[Artist] = []
    for colour, chosen in (("black", inside & ~dark), ("white", inside & dark)):
        if chosen.any():
            boxes = [
                Path(
                    [
                        (x[j], y[i]),
                        (x[j + 1], y[i]),
                        (x[j + 1], y[i + 1]),
                        (x[j], y[i + 1]),
                        (x[j], y[i]),
                    ],
                    closed=True,
                )
                for i, j in np.argwhere(chosen)
            ]
            region = PathPatch(
                Path.make_compound_path(*boxes),
                facecolor="none",
                edgecolor=colour,
                linewidth=0,
                hatch=HATCH,
                gid="hatch",
            )
            artists.append(ax.add_patch(region))
    padded = np.pad(inside, 1)
    across, along = padded[1:, 1:-1] != padded[:-1, 1:-1], padded[1:-1, 1:] != padded[1:-1, :-1]
    border = [[(x[j], y[i]), (x[j + 1], y[i])] for i, j in np.argwhere(across)]
    border += [[(x[j], y[i]), (x[j], y[i + 1])] for i, j in np.argwhere(along)]
    if border:
        outline = LineCollection(border, colors="black", linewidths=0.5, capstyle="projecting")
        artists.append(ax.add_collection(outline, autolim=False))
    return artists


def draw_contour(ax: Axes, line: xr.DataArray, style: Any = "-") -> list[Artist]:
    """A measured line: black with a white halo, on any colour."""
    x, y = polyline(line[line.dims[0]].values, line.values, ax.get_xscale())
    return [*ax.plot(x, y, color="black", linewidth=1.2, linestyle=style, path_effects=HALO)]


def draw_thin_contour(ax: Axes, line: xr.DataArray, level: float, style: Any) -> list[Artist]:
    """A measured line of a further level, with the level where it ends on the right."""
    at = line[line.dims[0]].values
    x, y = polyline(at, line.values, ax.get_xscale())
    drawn: list[Artist] = [
        *ax.plot(x, y, color="black", linewidth=0.5, linestyle=style, path_effects=THIN_HALO)
    ]
    there = np.flatnonzero(np.isfinite(line.values))
    if there.size:
        last = there[-1]
        look: dict[str, Any] = {"ha": "right", "va": "bottom", "path_effects": THIN_HALO}
        drawn.append(
            ax.text(at[last], line.values[last], f"{level:g} ", gid="level", clip_on=True, **look)
        )
    return drawn


def draw_points(
    ax: Axes, x: np.ndarray, y: np.ndarray, *, xerr: Any = None, yerr: Any = None, **style: Any
) -> list[Artist]:
    """A line through points with error bars, as Matplotlib's `errorbar` takes them."""
    look = {"color": "black", "markersize": 3.2, "markeredgewidth": 0.7}
    bars = {"elinewidth": 0.6, "capsize": 1.5}
    drawn = ax.errorbar(x, y, xerr=xerr, yerr=yerr, **{**look, **bars, **style})
    return [*drawn.get_children()]


def draw_law(ax: Axes, law: xr.DataArray) -> list[Artist]:
    """A predicted line: a pale band, so that a measured line on top of it stays visible."""
    at = law[law.dims[0]].values.astype(np.float64)
    x, y = polyline(at, law.values, ax.get_xscale())
    if at.size > 1 and at.min() > 0 and law.values.min() > 0:  # a power law is straight in logs
        x = np.geomspace(at[0], at[-1], 200)
        y = np.exp(np.interp(np.log(x), np.log(at), np.log(law.values)))
    return [
        *ax.plot(x, y, color="black", linewidth=4.2, solid_capstyle="butt"),
        *ax.plot(x, y, color="white", linewidth=3.2, solid_capstyle="butt"),
    ]
