"""The drawings of a map: a panel for each method and one for their difference."""

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColorBar, ColumnDataSource, HoverTool, LinearColorMapper, Spacer, TapTool
from bokeh.palettes import Cividis256, RdBu11, interp_palette

from simdyn.explore.drawings import plain_figure
from simdyn.explore.look import Palette, paint
from simdyn.explore.map_choice import Choice
from simdyn.explore.phase_map import Map
from simdyn.theory.crossing import halfway_edges

PANELS = ("first", "second", "difference")
SOLVED = "#00a651"
HEIGHT = 330


def cell_columns(
    x: np.ndarray, y: np.ndarray, logarithmic: tuple[bool, bool]
) -> dict[str, np.ndarray]:
    """Sides and places of the cells about increasing values, in (y, x) order."""
    x_edges = halfway_edges(x, logarithmic=logarithmic[0])
    y_edges = halfway_edges(y, logarithmic=logarithmic[1])
    return {
        "left": np.tile(x_edges[:-1], y.size),
        "right": np.tile(x_edges[1:], y.size),
        "bottom": np.repeat(y_edges[:-1], x.size),
        "top": np.repeat(y_edges[1:], x.size),
        "x": np.tile(x, y.size),
        "y": np.repeat(y, x.size),
    }


def cell_panel(
    labels: tuple[str, str],
    logarithmic: Sequence[bool],
    cells: ColumnDataSource,
    field: str,
    colours: LinearColorMapper,
    **look: Any,
) -> tuple[Any, Any]:
    """A drawing over two axes with these labels, and its cells, coloured by a field."""
    kinds = ["log" if is_log else "linear" for is_log in logarithmic]
    drawing = plain_figure(
        "",
        x_axis_type=kinds[0],
        y_axis_type=kinds[1],
        x_axis_label=labels[0],
        y_axis_label=labels[1],
    )
    drawing.x_range.range_padding = drawing.y_range.range_padding = 0
    drawing.grid.visible = False
    colour = {"field": field, "transform": colours}
    quads = drawing.quad(
        left="left",
        right="right",
        bottom="bottom",
        top="top",
        source=cells,
        fill_color=colour,
        line_color=colour,  # else the edges show
        line_width=0.5,
        **look,
    )
    return drawing, quads


class MapDrawings:
    """Panels over the same cells; a click on a cell of one chooses it in all.

    Parameters
    ----------
    clicked : callable
        Called with the number of the cell, in (y, x) order.
    """

    def __init__(self, clicked: Callable[[int], None]) -> None:
        self.clicked = clicked
        self.cells = ColumnDataSource({}, name="cells")
        self.lines = ColumnDataSource({}, name="contours")
        self.thin = ColumnDataSource({}, name="thin_contours")
        self.solved = {name: ColumnDataSource({}, name=f"solved_{name}") for name in PANELS[:2]}
        self.cells.selected.on_change("indices", self._tapped)
        self.places = {
            name: column(Spacer(), name=f"map_{name}", sizing_mode="stretch_width")
            for name in PANELS
        }
        self.mappers = {
            "first": LinearColorMapper(Cividis256, low=0, high=1),
            "difference": LinearColorMapper(interp_palette(RdBu11[::-1], 255), low=-1, high=1),
        }
        self.mappers["second"] = self.mappers["first"]
        self.bars: list[ColorBar] = []
        self.figures: dict[str, Any] = {}
        self._axes: tuple[Any, ...] = ()
        self.colours: Palette | None = None

    def _tapped(self, _attr: str, _old: Any, indices: list[int]) -> None:
        if indices:
            self.clicked(indices[0])

    def show(self, choice: Choice, found: Map) -> None:
        """Draw a map; panels are made anew if its axes have changed."""
        axes = (choice.x, choice.y, *found.logarithmic)
        count = len(choice.methods)
        empty = np.full(found.y.size * found.x.size, math.nan)
        self.cells.data = {
            **cell_columns(found.x, found.y, found.logarithmic),
            "first": found.means[0].ravel(),
            "second": found.means[1].ravel() if count > 1 else empty,
            "difference": empty if found.difference is None else found.difference.ravel(),
            "runs": found.runs[0].ravel(),
        }
        self.lines.data = {"x": found.x, "first": found.contours[0], "second": found.contours[-1]}
        self.thin.data = {
            "x": [found.x for _ in found.thin],
            "first": [line[0] for line in found.thin],
            "second": [line[-1] for line in found.thin],
        }
        empty_line = (np.empty(0),) * 6
        for name, line in zip_longest(PANELS[:2], found.solved[:2], fillvalue=empty_line):
            columns_of = ("x", "y", "low_x", "low_y", "high_x", "high_y")
            self.solved[str(name)].data = dict(zip(columns_of, line, strict=True))
        self._scale(found)
        if axes != self._axes:
            self._axes = axes
            self._make(choice, axes[2:])
        names = [choice.name(method) for method in choice.methods]
        titles = [*names, " − ".join(names)]
        for name, title in zip(PANELS, titles if count > 1 else [*titles[:1], "", ""], strict=True):
            self.figures[name].title.text = f"{choice.variable}: {title}"
            self.places[name].visible = name == "first" or count > 1

    def _scale(self, found: Map) -> None:
        finite = found.means[np.isfinite(found.means)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        self.mappers["first"].update(low=min(low, 0.0), high=high if high > min(low, 0.0) else 1.0)
        if found.difference is not None:
            known = found.difference[np.isfinite(found.difference)]
            most = float(np.abs(known).max(initial=0.0)) or 1.0
            self.mappers["difference"].update(low=-most, high=most)

    def _make(self, choice: Choice, logarithmic: tuple[Any, ...]) -> None:
        self.bars = []
        for name in PANELS:
            mapper = self.mappers[name]
            drawing, cells = cell_panel(
                (choice.x, choice.y),
                logarithmic,
                self.cells,
                name,
                mapper,
                nonselection_fill_alpha=1.0,
                selection_line_color="#e11d48",
                selection_line_width=2,
                name=name,
            )
            drawing.height = HEIGHT
            tips = [
                (choice.x, "@x"),
                (choice.y, "@y"),
                (choice.variable, f"@{name}"),
                ("runs", "@runs"),
            ]
            drawing.add_tools(
                TapTool(renderers=[cells]), HoverTool(renderers=[cells], tooltips=tips)
            )
            for line, dash in (("first", "solid"), ("second", "dashed")):
                if name in (line, "difference"):
                    look = {
                        "line_color": "black" if name == "difference" else "white",
                        "line_dash": dash,
                    }
                    drawing.line("x", line, source=self.lines, line_width=2, **look)
                    drawing.multi_line("x", line, source=self.thin, line_width=0.75, **look)
                    self._draw_solved(drawing, self.solved[line], dash)
            bar = ColorBar(
                color_mapper=mapper, height=8, padding=4, major_label_text_font_size="10px"
            )
            drawing.add_layout(bar, "below")
            self.bars.append(bar)
            self.figures[name] = drawing
            self.places[name].children = [drawing]
        if self.colours is not None:
            self.paint(self.colours)

    @staticmethod
    def _draw_solved(drawing: Any, points: ColumnDataSource, dash: str) -> None:
        """A solved line with its intervals; nothing where there are no points."""
        drawing.line("x", "y", source=points, line_color=SOLVED, line_dash=dash)
        drawing.segment("low_x", "low_y", "high_x", "high_y", source=points, line_color=SOLVED)
        drawing.scatter(
            "x", "y", source=points, marker="square", size=6, fill_color="white", line_color=SOLVED
        )

    def paint(self, colours: Palette) -> None:
        """Draw in these colours."""
        self.colours = colours
        for mapper in self.mappers.values():
            mapper.nan_color = colours.grid
        for drawing in self.figures.values():
            paint(drawing, colours)
        for bar in self.bars:
            bar.background_fill_color = None
            bar.major_label_text_color = colours.ink
