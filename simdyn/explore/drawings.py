"""The drawings of courses: growth of both methods, losses, test errors, deactivation."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Range1d, Span
from bokeh.plotting import figure

from simdyn.explore.courses import COURSES
from simdyn.explore.look import Palette, paint
from simdyn.explore.scene import FARTHEST, Condition

GROWTH = {"signal": ("max γ", "solid"), "noise": ("max ρ̄", "solid"), "fall": ("max −ρ̲", "dashed")}
SHARED = {  # of both methods: title and label
    "train_loss": "training loss",
    "test_error": "test error",
    "deactivated_fraction": "deactivated fraction",
}
LOOKS = (("dashed", "sgd"), ("solid", "sam"))  # of the first and the second method
HEIGHT = 250


def plain_figure(title: str, **options: Any) -> Any:
    """An empty drawing in the style of the page."""
    made = figure(
        title=title,
        height=HEIGHT,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,reset,save",
        **options,
    )
    made.toolbar.autohide = True
    made.toolbar.logo = None
    made.title.text_font_size = "12px"
    made.title.text_font_style = "normal"
    made.axis.axis_label_text_font_style = "normal"
    made.axis.axis_label_text_font_size = "11px"
    return made


def _legend(drawing: Any, place: str) -> None:
    drawing.legend.location = place
    drawing.legend.label_text_font_size = "11px"
    drawing.legend.spacing = 0
    drawing.legend.padding = 2
    drawing.legend.glyph_width = 22


class CourseDrawings:
    """Drawings of two methods over the course of training.

    Parameters
    ----------
    names : dict of str to str
        Display names of the two methods, by their keys in what is shown.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        empty = {"updates": [1.0, 10.0], **{name: [math.nan] * 2 for name in COURSES}}
        self.sources = {
            name: ColumnDataSource(dict(empty), name=f"course_{name}") for name in names
        }
        self.height, self.extent = Range1d(1e-4, 10), Range1d(0.5, 100)
        self._spans: dict[str, dict[str, Span]] = {}
        self._lines: list[tuple[Any, str]] = []  # with the colour of the palette
        self.growth = {name: self._growth(name) for name in names}
        self.shared = {name: self._shared(name) for name in SHARED}
        self.floor = Span(location=math.nan, dimension="width", line_dash="dotted", visible=False)
        self.law = Span(location=math.nan, dimension="width", line_dash="dotted", visible=False)
        self.shared["test_error"].add_layout(self.floor)
        self.shared["deactivated_fraction"].add_layout(self.law)
        self.shared["deactivated_fraction"].y_range = Range1d(-0.03, 1.06)

    def _growth(self, method: str) -> Any:
        drawing = plain_figure(
            f"{self.names[method]}: largest coefficients",
            x_axis_type="log",
            y_axis_type="log",
            x_range=self.extent,
            y_range=self.height,
            x_axis_label="updates",
            name=f"growth_{method}",
        )
        for quantity, (label, dash) in GROWTH.items():
            line = drawing.line(
                "updates",
                quantity,
                source=self.sources[method],
                line_width=2,
                line_dash=dash,
                legend_label=label,
                name=f"{method} {quantity}",
            )
            self._lines.append((line, "noise" if quantity == "fall" else quantity))
            hover = HoverTool(renderers=[line], tooltips=[("update", "@updates{0}"), *_tip(label)])
            drawing.add_tools(hover)
        one = Span(location=1, dimension="width", line_width=1)
        spans = {
            name: Span(location=1, dimension="height", line_width=2, line_dash=[2, 3])
            for name in ("signal", "noise")
        }
        for span in (one, *spans.values()):
            drawing.add_layout(span)
        self._spans[method] = {"one": one, **spans}
        _legend(drawing, "top_left")
        return drawing

    def _shared(self, quantity: str) -> Any:
        drawing = plain_figure(
            SHARED[quantity],
            x_axis_type="log",
            x_range=self.extent,
            x_axis_label="updates",
            name=quantity,
        )
        looks = zip(self.names.items(), LOOKS, strict=False)
        for (method, name), (dash, colour) in looks:
            line = drawing.line(
                "updates",
                quantity,
                source=self.sources[method],
                line_width=2,
                line_dash=dash,
                legend_label=name,
                name=f"{quantity} of {method}",
            )
            self._lines.append((line, colour))
            tips = [("update", "@updates{0}"), (name, f"@{quantity}{{0.0000}}")]
            drawing.add_tools(HoverTool(renderers=[line], tooltips=tips))
        if quantity != "deactivated_fraction":
            drawing.y_range.start = 0
        _legend(drawing, "top_right" if quantity == "train_loss" else "bottom_left")
        return drawing

    @property
    def all(self) -> list[Any]:
        """The drawings in their order."""
        return [*self.growth.values(), *self.shared.values()]

    def show(
        self,
        courses: Mapping[str, Mapping[str, list[float]]],
        times: Mapping[str, Mapping[str, float]],
        law: float = math.nan,
        floor: float = 0.0,
    ) -> None:
        """Draw courses, predicted times, the law of deactivation, and the floor of test errors."""
        tops = []
        for method, course in courses.items():
            data = {name: np.asarray(values, dtype=float) for name, values in course.items()}
            for name in GROWTH:  # zero, of the initial state, has no logarithm
                data[name] = np.where(data[name] > 0.0, data[name], math.nan)
                tops.append(np.max(data[name], where=np.isfinite(data[name]), initial=0.0))
            self.sources[method].data = data
            for name in ("signal", "noise"):
                time = times.get(method, {}).get(name, math.nan)
                span = self._spans[method][name]
                span.visible = math.isfinite(time) and time > 0.0
                span.location = max(time, 1e-3) if span.visible else 1
        ends = [course["updates"] for course in courses.values()]
        last = max(at[-1] for at in ends)
        self.extent.update(start=min(at[0] for at in ends), end=1.1 * max(last, 1.0))
        top = max(tops) or 1.0
        self.height.update(start=max(1e-4 * top, 1e-12), end=3.0 * top)
        self.law.update(visible=not math.isnan(law), location=0.0 if math.isnan(law) else law)
        self.floor.update(visible=floor > 0.0, location=floor)

    def paint(self, colours: Palette) -> None:
        """Draw in these colours."""
        for drawing in self.all:
            paint(drawing, colours)
        for line, colour in self._lines:
            line.glyph.line_color = getattr(colours, colour)
        for spans in self._spans.values():
            spans["one"].line_color = colours.grid
            spans["signal"].line_color = colours.signal
            spans["noise"].line_color = colours.noise
        self.law.line_color = self.floor.line_color = colours.soft


def _tip(label: str) -> list[tuple[str, str]]:
    return [(label, "$y{0.000}")]


class ConditionBars:
    """Where a setting lies against the conditions of the theory, as signed bars."""

    def __init__(self) -> None:
        self.source = ColumnDataSource({"name": [], "ratio": [], "colour": [], "fill": []})
        self.drawing = plain_figure(
            "conditions, log₁₀ (faint: recalled)",
            y_range=[],
            x_range=(-FARTHEST, FARTHEST),
            name="conditions",
        )
        self.bars = self.drawing.hbar(
            y="name",
            right="ratio",
            left=0,
            height=0.7,
            color="colour",
            fill_alpha="fill",
            source=self.source,
        )
        tips = [("condition", "@name"), ("met by 10^", "@exact")]
        self.drawing.add_tools(HoverTool(renderers=[self.bars], tooltips=tips))
        self.zero = Span(location=0, dimension="height", line_width=1)
        self.drawing.add_layout(self.zero)
        self.drawing.yaxis.major_label_text_font_size = "10px"
        self.conditions: list[Condition] = []
        self.colours: Palette | None = None

    def show(self, conditions: list[Condition]) -> None:
        """Draw these; infinite ones reach to the end."""
        self.conditions = conditions
        ratios = [item.ratio for item in conditions]
        assert self.colours is not None
        met, violated = self.colours.met, self.colours.violated
        names = [item.name for item in conditions]
        if list(self.drawing.y_range.factors) != names[::-1]:
            self.drawing.y_range.factors = names[::-1]
        self.source.data = {
            "name": names,
            "ratio": [min(max(ratio, -FARTHEST), FARTHEST) for ratio in ratios],
            "exact": [f"{ratio:+.2f}" for ratio in ratios],
            "colour": [met if ratio >= 0.0 else violated for ratio in ratios],
            "fill": [0.35 if item.recalled else 1.0 for item in conditions],
        }

    def paint(self, colours: Palette) -> None:
        """Draw in these colours."""
        self.colours = colours
        paint(self.drawing, colours)
        self.zero.line_color = colours.soft
        self.show(self.conditions)
