"""A study as the text of a study file, and a setting as Python code."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simdyn.params import Parameters, Picture

if TYPE_CHECKING:
    from simdyn.explore.setting import Setting
    from simdyn.study.design import StudyDesign

RECORDED_ALWAYS = ("status", "status_step")


def study_file(study: "StudyDesign", figure: Picture | None = None) -> str:
    """The text of a study file with the physics of a study, seed and record included.

    Parameters
    ----------
    study : StudyDesign
        Of drawn data.
    figure : Picture, optional
        What it draws; what the study draws if absent.
    """
    physics = study.physics
    lines = [f"{name} = {physics[name]}" for name in ("seed", "replicates")]
    record = dict(physics["record"])
    record["variables"] = [name for name in record["variables"] if name not in RECORDED_ALWAYS]
    if study.solve is not None:  # what it records is no choice
        del record["variables"]
    if not record["weights"]:
        del record["weights"]
    figure = figure or study.figure
    tables = {
        "data": physics["data"],
        "network": physics["network"],
        "methods": physics["methods"],
        "space": physics["space"],
        "solve": physics.get("solve", {}),
        "record": record,
        "figure": {} if figure is None else figure.model_dump(),
    }
    for name, table in tables.items():
        if table:
            lines += ["", f"[{name}]", *_lines(table)]
    return "\n".join([*lines, ""])


def _lines(table: Mapping[str, Any]) -> list[str]:
    """The lines of a table; what is none is left out."""
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(_lines(value))} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _text(text: str) -> str:
    """A TOML text: JSON's escapes are TOML's, except that DEL must be one too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def python_code(setting: "Setting") -> str:
    """Python code that computes what the playground shows, to the same bits."""
    methods = "".join(
        f"    {name!r}: [{_call(phase)}],\n" for name, phase in setting.phases.items()
    )
    return (
        "import simdyn\n\n"
        f"data = {_call(setting.data)}\n"
        f"net = {_call(setting.net)}\n"
        f"methods = {{\n{methods}}}\n"
        f"record = {_call(setting.record)}\n"
        f"study = simdyn.Study(\n    data, net, methods, replicates={setting.replicates}, "
        f"seed={setting.seed}, record=record\n)\n"
        "ds = study.run()\n"
        'print(ds.test_error.isel(step=-1).mean("replicate").to_series())\n'
    )


def _call(item: Parameters) -> str:
    """The call that makes a parameter object, without fields at their defaults."""
    fields = item.model_dump(exclude_defaults=True)
    given = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    return f"simdyn.{type(item).__name__}({given})"
