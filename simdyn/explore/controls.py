"""Widgets for the fields of the playground: a text, a slider, and what is wrong with the text."""

import html
import math
from collections.abc import Callable
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import Button, Div, InlineStyleSheet, Select, Slider, TextInput

from simdyn.explore.fields import FIELDS, Field, offered, words
from simdyn.explore.look import WIDGETS

STOPS = 200  # of a slider


def styled() -> list[InlineStyleSheet]:
    """The style sheet of every widget."""
    return [InlineStyleSheet(css=WIDGETS)]


def as_text(value: float, field: Field) -> str:
    """A slider's value as a text of three digits, "1500" or "1e12"."""
    short = float(f"{value:.3g}")
    if field.kind == "integer" and abs(short) < 1e6:
        return str(round(short))
    mantissa, _, power = f"{short:.3g}".partition("e")
    return f"{mantissa}e{int(power)}" if power else mantissa


class Control:
    """The widgets of one field.

    Parameters
    ----------
    name : str
    model : str
        The law of data, for its words.
    text : str
    changed : callable
        Called with the name when the user has changed the field.
    """

    def __init__(self, name: str, model: str, text: str, changed: Callable[[str], None]) -> None:
        self.name, self.field, self._changed = name, FIELDS[name], changed
        self._quiet = False
        symbol, meaning = words(name, model)
        title = f"{symbol}  {meaning}" if symbol else meaning
        options: dict[str, Any] = {
            "title": title,
            "sizing_mode": "stretch_width",
            "stylesheets": styled(),
            "name": name,
            "margin": (2, 0, 0, 0),
        }
        self.entry: Any
        if self.field.kind == "choice":
            choices = dict.fromkeys([*self.field.choices, text])  # what an address says may be bad
            self.entry = Select(options=list(choices), value=text, **options)
        else:
            hint = {"batch_size": "full batch", "until": "train_loss < 0.01"}.get(name, "")
            self.entry = TextInput(value=text, placeholder=hint, **options)
        self.slider = None
        if self.field.slides:
            self.slider = Slider(
                start=0,
                end=STOPS,
                step=1,
                value=self._stop_of(text),
                show_value=False,
                title=None,
                sizing_mode="stretch_width",
                stylesheets=styled(),
                name=f"{name}_slider",
                margin=(0, 8, 0, 8),
                height=18,
            )
            self.slider.on_change("value", self._slid)
        self.wrong = Div(
            visible=False,
            styles={"color": "var(--wrong)", "font-size": "12px", "overflow-wrap": "anywhere"},
            sizing_mode="stretch_width",
            margin=0,
            name=f"{name}_wrong",
        )
        self.entry.on_change("value", self._typed)
        parts = [part for part in (self.entry, self.slider, self.wrong) if part is not None]
        self.layout = column(*parts, sizing_mode="stretch_width", margin=(0, 0, 3, 0))

    def _stop_of(self, text: str) -> int:
        """Where the slider stands for a text; at its start if it is no number."""
        try:
            value = float(text)
        except ValueError:
            return 0
        low, high = self.field.low, self.field.high
        if self.field.log:
            if not value > 0.0:
                return 0
            share = math.log(value / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return round(STOPS * min(max(share, 0.0), 1.0)) if share == share else 0

    def _value_at(self, stop: float) -> float:
        low, high, share = self.field.low, self.field.high, stop / STOPS
        return low * (high / low) ** share if self.field.log else low + (high - low) * share

    def _slid(self, _attr: str, _old: Any, stop: Any) -> None:
        if self._quiet:
            return
        self._set(self.entry, as_text(self._value_at(stop), self.field))
        self._changed(self.name)

    def _typed(self, _attr: str, _old: Any, text: Any) -> None:
        if self._quiet:
            return
        if self.slider is not None:
            self._set(self.slider, self._stop_of(text))
        self._changed(self.name)

    def _set(self, widget: Any, value: Any) -> None:
        self._quiet = True
        try:
            widget.value = value
        finally:
            self._quiet = False

    @property
    def text(self) -> str:
        """The field's text."""
        return str(self.entry.value)

    def complain(self, problem: str) -> None:
        """Show what is wrong with the field; nothing if it is empty."""
        self.wrong.text = html.escape(problem)
        self.wrong.visible = bool(problem)

    def offer(self, model: str) -> None:
        """Show the field if the law of data has it."""
        self.layout.visible = offered(self.name, model)


def buttons(*made: Button) -> Any:
    """Buttons in a row that wraps."""
    return row(*made, styles={"flex-wrap": "wrap"}, sizing_mode="stretch_width")


def button(label: str, name: str) -> Button:
    """A button in the style of the page."""
    return Button(label=label, name=name, stylesheets=styled(), margin=(2, 6, 2, 0))
