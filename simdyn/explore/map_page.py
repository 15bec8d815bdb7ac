"""The map in a browser: widgets over `MapSource`, `Choice` and `Map`."""

import html
from collections.abc import Callable
from functools import partial
from typing import Any

from bokeh.layouts import column
from bokeh.models import Div, InlineStyleSheet, Select, Spacer, TextInput

from simdyn.base.inputs import InputError
from simdyn.explore.browser_link import BrowserLink, arguments, at_once
from simdyn.explore.controls import button, buttons, styled
from simdyn.explore.downloads import FORMS, picture, table
from simdyn.explore.drawings import CourseDrawings
from simdyn.explore.latest import Latest
from simdyn.explore.look import palette, template
from simdyn.explore.map_choice import (
    NO_METHOD,
    Choice,
    chosen,
    opening_texts,
    study_figure,
    values_of,
    variables_of,
)
from simdyn.explore.map_drawings import MapDrawings
from simdyn.explore.map_source import MapSource
from simdyn.explore.narration import sentence
from simdyn.explore.phase_map import (
    Map,
    Replayed,
    cells_table,
    map_code,
    map_of,
    point_of,
    replayed,
    sliced,
)
from simdyn.params import DrawnData
from simdyn.study.study_text import as_toml

GLANCE = 400  # milliseconds between looks at how far the study is
NO_STORE = (
    "No study is open. <code>simdyn explore STUDY</code> or <code>STORE</code> shows its map."
)
GRID = """:host { display: grid !important; gap: 8px;
  grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); }"""
TITLES = {"first": "method", "second": "compared with", "level": "contour level"}


class MapPage:
    """One open page; pages share the study and its computation, and nothing else.

    Parameters
    ----------
    document : bokeh.document.Document
        The page, still empty.
    source : MapSource, optional
        The study or store that is shown.
    """

    def __init__(self, document: Any, source: MapSource | None) -> None:
        self.document, self.source = document, source
        document.template, document.title = template("map"), "simdyn: map"
        self.link = BrowserLink(document, ("python", "study"), self.paint)
        self.head = Div(text=NO_STORE, sizing_mode="stretch_width", name="sentence")
        self.work, self.files = Latest(self._deliver), Latest(self._deliver)
        self.cell = Latest(self._deliver)
        if source is None:
            for root in (
                column(Spacer(), name="controls"),
                column(self.head, name="head"),
                self.link.root,
            ):
                document.add_root(root)
            return
        self.notes = Div(
            name="notes",
            sizing_mode="stretch_width",
            styles={"font-size": "12px", "color": "var(--soft)", "min-height": "1.4em"},
        )
        self.texts = opening_texts(source, arguments(document))
        self.shown: tuple[Choice, Map] | None = None
        self.point: dict[str, Any] | None = None
        self.courses: CourseDrawings | None = None
        self.dark, self._seen = False, ("", -1)
        self.maps = MapDrawings(self._clicked)
        grid = InlineStyleSheet(css=GRID)
        self.below = column(Spacer(), name="wide", sizing_mode="stretch_width", stylesheets=[grid])
        self._lay_out(source)
        self.paint(False)
        document.add_periodic_callback(self._glance, GLANCE)
        document.on_session_destroyed(lambda _context: self.end())
        self._changed()

    def _lay_out(self, source: MapSource) -> None:
        methods = list(source.study.space.methods)
        options = {
            "variable": variables_of(source),
            "x": source.axes,
            "y": source.axes,
            "first": methods,
            "second": [*methods, NO_METHOD],
            **{dim: values_of(source, dim) for dim in source.others},
        }
        self.entries: dict[str, Any] = {}
        for name, text in self.texts.items():
            shared: dict[str, Any] = {
                "title": TITLES.get(name, name),
                "value": text,
                "name": f"choose_{name}",
                "sizing_mode": "stretch_width",
                "stylesheets": styled(),
                "margin": (2, 0, 4, 0),
            }
            if name in options:
                known = list(dict.fromkeys([*options[name], text]))
                self.entries[name] = Select(options=known, **shared)
            else:
                self.entries[name] = TextInput(**shared)
            self.entries[name].on_change("value", lambda _attr, _old, _new: self._changed())
        self.wrong = Div(
            name="wrong",
            visible=False,
            styles={"color": "var(--wrong)", "font-size": "12px"},
            sizing_mode="stretch_width",
        )
        self.start, self.stop = button("compute", "compute"), button("stop", "stop")
        self.start.on_click(source.compute)
        self.stop.on_click(self._stop)
        made = []
        for name, label in {"python": "copy as Python", "study": "copy as study file"}.items():
            made.append(button(label, f"copy_{name}"))
            self.link.copies(made[-1], name)
        for form in FORMS:
            made.append(button(form.upper(), f"save_{form}"))
            made[-1].on_click(partial(self._save, form))
        head = column(
            self.head,
            self.notes,
            buttons(*made, self.start, self.stop),
            name="head",
            sizing_mode="stretch_width",
        )
        controls = column(
            *self.entries.values(), self.wrong, name="controls", sizing_mode="stretch_width"
        )
        for root in (controls, head, *self.maps.places.values(), self.below, self.link.root):
            self.document.add_root(root)

    def paint(self, dark: bool) -> None:
        """Draw for a dark or a light browser."""
        if self.source is None:
            return
        self.dark = dark
        self.maps.paint(palette(dark))
        if self.courses is not None:
            self.courses.paint(palette(dark))

    def end(self) -> None:
        """Stop what this page computes."""
        for work in (self.work, self.files, self.cell):
            work.end()

    # -- from the widgets to a map -----------------------------------------------------------------

    def _changed(self) -> None:
        """Draw what is chosen."""
        assert self.source is not None
        self.texts = {name: entry.value for name, entry in self.entries.items()}
        on_axes = (self.texts["x"], self.texts["y"])
        for dim in self.source.others:
            self.entries[dim].visible = dim not in on_axes
        try:
            choice = chosen(self.source, self.texts)
        except InputError as problem:
            self.wrong.update(text=html.escape(str(problem)), visible=True)
            return
        self.wrong.visible = False
        self.work.ask(partial(self._read, self.source, choice))

    def _read(self, source: MapSource, choice: Choice) -> Callable[[], None]:
        ds = source.results()
        if ds is None:
            return lambda: None
        return partial(self._show, source, choice, map_of(source, choice, ds))

    def _show(self, source: MapSource, choice: Choice, found: Map) -> None:
        moved = self.shown is not None and self.shown[0] != choice
        self.shown = (choice, found)
        if moved:
            self.maps.cells.selected.indices = []
        self.maps.show(choice, found)
        if found.remark:
            self.wrong.update(text=html.escape(found.remark), visible=True)
        self._tell(source, choice)

    def _tell(self, source: MapSource, choice: Choice) -> None:
        drawn = issubclass(source.study.space.law, DrawnData)
        text = (
            as_toml(source.study, study_figure(source, choice))
            if drawn
            else "# images: see the study's file\n"
        )
        self.link.tell(choice.query, python=map_code(source, choice, self.point), study=text)

    def _deliver(self, outcome: Callable[[], Callable[[], None]]) -> None:
        self.document.add_next_tick_callback(partial(self._finish, outcome))

    def _finish(self, outcome: Callable[[], Callable[[], None]]) -> None:
        """Show what a piece of work has come to; what went wrong in one line."""
        try:
            show = outcome()
        except (InputError, MemoryError, OSError) as problem:
            self.wrong.update(text=html.escape(str(problem) or "out of memory"), visible=True)
        else:
            with at_once(self.document):
                show()

    def _glance(self) -> None:
        """Draw what has been computed since the last look, and say how far it is."""
        source = self.source
        assert source is not None
        state = source.state
        seen = (state, source.counter.done)
        self.start.visible = not source.computing
        self.stop.visible = source.computing or self.cell.busy
        if seen != self._seen:
            self._seen = seen
            self.notes.text = html.escape(state)
            if not self.work.busy:
                self._changed()
        if self.point is None:
            self.head.text = html.escape(f"{source.study.name}. Click a cell to train it again.")

    def _stop(self) -> None:
        assert self.source is not None
        self.source.stop()
        self.cell.stop()

    # -- a cell ------------------------------------------------------------------------------------

    def _clicked(self, cell: int) -> None:
        if self.shown is None or self.source is None:
            return
        self.head.text = "training the cell again …"
        self.cell.ask(partial(self._replay, self.source, self.shown[0], cell))

    def _replay(self, source: MapSource, choice: Choice, cell: int) -> Callable[[], None]:
        ds = source.results()
        assert ds is not None
        point = point_of(source, choice, ds, cell)
        return partial(self._show_cell, source, choice, replayed(source, choice, point))

    def _show_cell(self, source: MapSource, choice: Choice, found: Replayed) -> None:
        self.point = dict(found.point)
        names = {method: choice.name(method) for method in choice.methods}
        if self.courses is None or self.courses.names != names:
            self.courses = CourseDrawings(names)
            self.courses.paint(palette(self.dark))
            self.below.children = self.courses.all
        self.courses.show(found.courses, found.times)
        at = ", ".join(f"{name} = {value}" for name, value in found.point.items())
        told = sentence(found.outcomes, names)
        verdicts = "; ".join(f"{choice.name(key)}: {text}" for key, text in found.verdicts.items())
        self.head.text = html.escape(f"At {at}: {told} Replayed: {verdicts}.")
        self._tell(source, choice)

    def _save(self, form: str) -> None:
        """Let the browser save what is shown."""
        if self.shown is None or self.source is None:
            return
        source, (choice, found) = self.source, self.shown

        def made() -> Callable[[], None]:
            if form == "csv":
                content = table(*cells_table(choice, found))
            else:
                ds = source.results()
                assert ds is not None
                content = picture(sliced(source, choice, ds), choice.figure, form)
            return partial(self.link.save, source.study.name, form, content)

        self.files.ask(made)
