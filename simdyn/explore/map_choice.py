"""What a map shows: the choice of variable, axes, methods, level and values of further axes."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from simdyn.base.inputs import InputError, nearest, shown
from simdyn.explore.map_source import MapSource
from simdyn.params import PhaseDiagram
from simdyn.study.checks import place_of
from simdyn.variables.registry import VARIABLES

NO_METHOD = "—"


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a map shows.

    Attributes
    ----------
    variable, x, y : str
        A recorded number, and the two axes.
    methods : tuple of one or two str
        The second is subtracted from the first.
    level : float
        Of the contour.
    slices : dict of str to str
        The value of each further axis, as text.
    own : simdyn.params.PhaseDiagram
        The study's figure, or one with the usual options.
    lines : str, optional
        The path of a store with solved lines, as in `PhaseDiagram`.
    """

    variable: str
    x: str
    y: str
    methods: tuple[str, ...]
    level: float
    slices: Mapping[str, str]
    own: PhaseDiagram
    lines: str | None = None

    @property
    def figure(self) -> PhaseDiagram:
        """The figure of this map, over its axes only, in the look of the study's own."""
        own = self.own
        scale_of = {own.x: own.x_scale, own.y: own.y_scale}
        slices = {name: str(value) for name, value in (own.at or {}).items()}
        same = (self.x, self.y, self.variable, dict(self.slices)) == (
            *own.axes,
            own.variable,
            slices,
        )
        return own.replace(
            x=self.x,
            y=self.y,
            variable=self.variable,
            compare=self.methods,
            level=self.level,
            lines=self.lines,
            at=None,
            x_scale=scale_of.get(self.x),
            y_scale=scale_of.get(self.y),
            title=own.title if same else None,
            thin_levels=own.thin_levels if self.variable == own.variable else None,
        )

    def name(self, method: str) -> str:
        """The name of a method for a reader: its label in the study's figure, if it has one."""
        from simdyn.plot.text_files import plain  # loads Matplotlib

        label = (self.own.labels or {}).get(method)
        return plain(label).strip() if label else method

    @property
    def query(self) -> str:
        """The part of an address that brings the choice back."""
        second = self.methods[1] if len(self.methods) > 1 else NO_METHOD
        own = {
            "variable": self.variable,
            "x": self.x,
            "y": self.y,
            "first": self.methods[0],
            "second": second,
            "level": f"{self.level}",
        }
        return urlencode({**own, **self.slices})


def variables_of(source: MapSource) -> list[str]:
    """Variables with one number for each run and state."""
    return [name for name in source.study.variables if VARIABLES[name].dims == ("step",)]


def values_of(source: MapSource, dim: str) -> list[str]:
    """The values of an axis as texts."""
    return [str(value) for value in source.study.space.axes[dim].tolist()]


def opening_texts(source: MapSource, given: Mapping[str, str]) -> dict[str, str]:
    """The texts of all choices when a page opens: of the address, of the figure, or the first."""
    figure = source.study.figure
    own = figure if isinstance(figure, PhaseDiagram) else None
    names, axes, methods = variables_of(source), source.axes, list(source.study.space.methods)
    variable = "test_error" if "test_error" in names else names[0]
    compare = list((own.compare if own else None) or methods[:2])
    start = {
        "variable": own.variable if own else variable,
        "x": own.x if own else axes[0],
        "y": own.y if own else axes[1],
        "first": compare[0],
        "second": compare[1] if len(compare) > 1 else NO_METHOD,
        "level": f"{own.level if own else 0.1}",
        **{dim: values_of(source, dim)[_opening_place(source, dim)] for dim in source.others},
    }
    return {name: given.get(name, text) for name, text in start.items()}


def _opening_place(source: MapSource, dim: str) -> int:
    """Of a value of an axis: that in the study's figure, or the first."""
    at = (source.study.figure.at if source.study.figure else None) or {}
    return place_of(dim, at[dim], source.study.space.axes[dim]) if dim in at else 0


def chosen(source: MapSource, texts: Mapping[str, str]) -> Choice:
    """What the texts of all choices mean.

    Raises
    ------
    InputError
        One line with the choice that is wrong.
    """
    methods = list(source.study.space.methods)
    known: dict[str, list[str]] = {
        "variable": variables_of(source),
        "x": source.axes,
        "y": source.axes,
        "first": methods,
        "second": [*methods, NO_METHOD],
    }
    slices = {dim: texts[dim] for dim in source.others if dim not in (texts["x"], texts["y"])}
    known |= {dim: values_of(source, dim) for dim in slices}
    for name, allowed in known.items():
        if texts[name] not in allowed:
            raise InputError(f"{name} = {shown(texts[name])}: {nearest(texts[name], allowed)}")
    if texts["x"] == texts["y"]:
        raise InputError(f"y = {shown(texts['y'])}: allowed is another axis than x")
    try:
        level = float(texts["level"])
    except ValueError:
        level = math.nan
    if not math.isfinite(level):
        raise InputError(f"level = {shown(texts['level'])}: allowed is a finite number")
    compare = [
        texts["first"],
        *([] if texts["second"] in (NO_METHOD, texts["first"]) else [texts["second"]]),
    ]
    return Choice(
        texts["variable"],
        texts["x"],
        texts["y"],
        tuple(compare),
        level,
        slices,
        own if isinstance(own := source.study.figure, PhaseDiagram) else PhaseDiagram(),
        _lines(source, texts),
    )


def _lines(source: MapSource, texts: Mapping[str, str]) -> str | None:
    """The solved lines that the study's figure names, if the map has its axes and its variable."""
    own = source.study.figure
    if not isinstance(own, PhaseDiagram) or texts["variable"] != own.variable:
        return None
    return own.lines if {texts["x"], texts["y"]} == {*own.axes} else None


def sliced_places(source: MapSource, choice: Choice) -> dict[str, int]:
    """The place of the chosen value along each further axis."""
    return {dim: values_of(source, dim).index(text) for dim, text in choice.slices.items()}


def sliced_values(source: MapSource, choice: Choice) -> dict[str, Any]:
    """The chosen value of each further axis."""
    axes = source.study.space.axes
    return {dim: axes[dim][place].item() for dim, place in sliced_places(source, choice).items()}


def study_figure(source: MapSource, choice: Choice) -> PhaseDiagram:
    """The figure of a study of all axes that shows this map."""
    return choice.figure.replace(at=sliced_values(source, choice) or None)
