"""The playground in a browser: widgets over `Setting` and `Scene`."""

import html
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from bokeh.layouts import column
from bokeh.models import Div

from simdyn.base.inputs import InputError
from simdyn.explore.browser_link import BrowserLink, arguments, at_once
from simdyn.explore.controls import Control, button, buttons
from simdyn.explore.copied_code import python_code
from simdyn.explore.downloads import FORMS, courses_table, picture
from simdyn.explore.drawings import ConditionBars, CourseDrawings
from simdyn.explore.fields import FIELDS
from simdyn.explore.latest import Latest
from simdyn.explore.look import palette, template
from simdyn.explore.scene import NAMES, Scene, scene_of
from simdyn.explore.setting import Problems, Setting, parsed, starting_texts
from simdyn.study.study_text import as_toml

GLANCE = 250  # milliseconds between looks at whether training is under way
LONG = 0.5  # seconds after which it is said to be
COMPILING = "compiling the kernels, once for this version (under a minute) …"


class PlaygroundPage:
    """One open page; pages share nothing.

    Parameters
    ----------
    document : bokeh.document.Document
        The page, still empty.
    threads : int, optional
        Cores to train on.
    """

    def __init__(self, document: Any, threads: int | None = None) -> None:
        self.document, self.threads = document, threads
        self.work, self.files = Latest(self._deliver), Latest(self._deliver)
        self.texts = starting_texts(arguments(document))
        self.shown: tuple[Setting, Any, Scene] | None = None
        self.began = time.monotonic()
        self.controls = {
            name: Control(name, self.texts["model"], self.texts[name], self._changed)
            for name in FIELDS
        }
        self.drawings, self.bars = CourseDrawings(NAMES), ConditionBars()
        self.sentence = Div(
            name="sentence",
            text="training …",
            sizing_mode="stretch_width",
            styles={"font-size": "16px", "min-height": "3em"},
        )
        self.notes = Div(
            name="notes",
            sizing_mode="stretch_width",
            styles={"font-size": "12px", "color": "var(--soft)", "min-height": "2.8em"},
        )
        self.link = BrowserLink(document, ("python", "study"), self.paint)
        self.stop = button("stop", "stop")
        self.stop.visible = False
        self.stop.on_click(self._stop)
        self.paint(False)
        self._lay_out()
        document.add_periodic_callback(self._glance, GLANCE)
        document.on_session_destroyed(lambda _context: self.end())
        self._changed("model")

    def _lay_out(self) -> None:
        copies = {"python": "copy as Python", "study": "copy as study file"}
        made = []
        for name, label in copies.items():
            made.append(button(label, f"copy_{name}"))
            self.link.copies(made[-1], name)
        for form in FORMS:
            made.append(button(form.upper(), f"save_{form}"))
            made[-1].on_click(partial(self._save, form))
        roots = [
            column(
                *(control.layout for control in self.controls.values()),
                name="controls",
                sizing_mode="stretch_width",
            ),
            column(
                self.sentence,
                self.notes,
                buttons(*made, self.stop),
                name="head",
                sizing_mode="stretch_width",
            ),
            *self.drawings.all,
            self.bars.drawing,
            self.link.root,
        ]
        self.document.template = template("playground")
        self.document.title = "simdyn: playground"
        for root in roots:
            self.document.add_root(root)

    def paint(self, dark: bool) -> None:
        """Draw for a dark or a light browser."""
        for drawing in (self.drawings, self.bars):
            drawing.paint(palette(dark))

    def end(self) -> None:
        """Stop what this page computes."""
        self.work.end()
        self.files.end()

    # -- from the widgets to a training ------------------------------------------------------------

    def _changed(self, name: str) -> None:
        """Train what the fields say, if it is a setting."""
        self.texts = {name: control.text for name, control in self.controls.items()}
        if name == "model":
            for control in self.controls.values():
                control.offer(self.texts["model"])
        problems: dict[str, str] = {}
        try:
            setting = parsed(self.texts)
        except Problems as found:
            problems = found.by_field
        for field, control in self.controls.items():
            control.complain(problems.get(field, ""))
        if problems:
            self.work.stop()
            self._say(problems.get("", "A field holds what is not allowed."))
            return
        self.began = time.monotonic()
        self.work.ask(partial(self._train, setting))

    def _train(self, setting: Setting) -> Callable[[], None]:
        began = time.perf_counter()
        ds = setting.study.run(threads=self.threads)
        scene = scene_of(setting, ds)
        seconds = time.perf_counter() - began
        return partial(self._show, setting, ds, scene, seconds)

    def _deliver(self, outcome: Callable[[], Callable[[], None]]) -> None:
        self.document.add_next_tick_callback(partial(self._finish, outcome))

    def _finish(self, outcome: Callable[[], Callable[[], None]]) -> None:
        """Show what a piece of work has come to; bad input and full memory in one line."""
        try:
            show = outcome()
        except InputError as problem:
            self._say(str(problem))
        except MemoryError:
            self._say("this needs more than this machine's memory holds")
        else:
            with at_once(self.document):
                show()

    def _stop(self) -> None:
        self.work.stop()
        self._say("Stopped. Change a field to train again.")

    # -- what is shown -----------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self.sentence.text = html.escape(text)

    def _show(self, setting: Setting, ds: Any, scene: Scene, seconds: float) -> None:
        self.shown = (setting, ds, scene)
        self.drawings.show(scene.courses, scene.times, scene.law, setting.data.label_flip)
        self.bars.show(scene.conditions)
        self.bars.drawing.visible = bool(scene.conditions)
        self._say(scene.sentence)
        notes = [f"Trained in {1000 * seconds:.0f} ms."]
        if any(scene.times.values()) or scene.law == scene.law:
            notes.append("Dotted: predicted to leading order.")
        if scene.outside:
            notes.append(f"Outside the laws' regime: {scene.outside}.")
        self.notes.text = html.escape(" ".join(notes))
        self.link.tell(
            setting.query, python=python_code(setting), study=as_toml(setting.study, setting.figure)
        )

    def _glance(self) -> None:
        """Say that training takes long, and offer to stop it."""
        late = self.work.busy and time.monotonic() - self.began > LONG
        if late != self.stop.visible:
            self.stop.visible = late
            if late:
                from simdyn.kernels.cache import kernels_kept

                self._say("training …" if kernels_kept() else COMPILING)

    def _save(self, form: str) -> None:
        """Let the browser save what is shown."""
        if self.shown is None:
            return
        setting, ds, scene = self.shown

        def made() -> Callable[[], None]:
            if form == "csv":
                content = courses_table(scene.courses)
            else:
                content = picture(ds, setting.figure, form)
            return partial(self.link.save, "setting", form, content)

        self.files.ask(made)
