"""A study written as the TOML of a study file, which loads to the same fingerprint."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from simdyn.params import Picture
from simdyn.space.axes import axis_values
from simdyn.space.zips import is_label
from simdyn.study.design import StudyDesign

SHORT = 3  # an axis of so many values is written as a list


def as_toml(study: StudyDesign, figure: Picture | None = None) -> str:
    """The text of a study file, without fields at their defaults and [smoke].

    Parameters
    ----------
    study : StudyDesign
        The study.
    figure : Picture, optional
        Written as [figure]; none if absent.
    """
    space = study.space
    data = {"model": space.law.model, **space.data.essential}
    record = study.record.model_dump(exclude_defaults=True)
    if study.solve is None:  # else it is no choice
        record |= {"variables": list(study.variables)}
    tables = {"data": data, "network": space.net.essential}
    lines = [f"seed = {study.seed}", f"replicates = {study.replicates}"]
    for name, fields in tables.items():
        lines += ["", f"[{name}]", *_lines(fields)]
    lines += ["", "[methods]"]
    for method, plan in study.plans.items():
        phases = ",\n  ".join(f"{{ {', '.join(_lines(phase))} }}" for phase in plan)
        lines.append(f"{_key(method)} = [\n  {phases},\n]")
    axes = {name: _Axis(study, name) for name in space.axes}
    rules = {key: value for key, value in space.physics.items() if key not in axes}
    if axes or rules:
        lines += ["", "[space]", *_lines(axes), *_lines(rules)]
    if study.solve is not None:
        lines += ["", "[solve]", *_lines(study.solve.model_dump(exclude={"replicates"}))]
    if record:
        lines += ["", "[record]", *_lines(record)]
    if figure is not None:
        drawn = {"kind": figure.kind} | figure.model_dump(exclude_defaults=True)
        lines += ["", "[figure]", *_lines(drawn)]
    return "\n".join(lines) + "\n"


class _Axis:
    """An axis, written by its ends if these give its values to the last bit."""

    def __init__(self, study: StudyDesign, name: str) -> None:
        self.values = study.space.axes[name]
        self.kind = study.space.field_of(name)
        self.name = name

    def __str__(self) -> str:
        values = self.values
        if values.size > SHORT and values.dtype.kind in "if" and not is_label(values):
            first, last, num = values[0].item(), values[-1].item(), int(values.size)
            ends: dict[str, Any] = {"start": first, "stop": last, "num": num}
            forms = [ends]
            if first > 0 and last > 0:
                forms.append({"log": [first, last], "num": num})
            for form in forms:
                made = axis_values(self.name, form, *self.kind, distinct=False)
                if np.array_equal(made, values):
                    return f"{{ {', '.join(_lines(form))} }}"
        return _value(values.tolist())


def _lines(fields: Mapping[str, Any]) -> list[str]:
    """'key = value' for each field that has a value."""
    return [f"{_key(k)} = {_value(value)}" for k, value in fields.items() if value is not None]


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _text(name)


def _text(text: str) -> str:
    """A TOML string: that of JSON, except for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(_lines(value))} }}"
    if isinstance(value, Iterable):
        return f"[{', '.join(map(_value, value))}]"
    return str(value) if isinstance(value, _Axis) else repr(value)
