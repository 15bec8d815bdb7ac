"""What is shown of a study before it runs: its size in a line, and its parts as tables of HTML."""

from typing import TYPE_CHECKING

import numpy as np

from simdyn.base.html_tables import FADED, card, table
from simdyn.base.inputs import InputError, shown
from simdyn.params.parameters import FIELD_COLUMNS
from simdyn.space.sections import Section

if TYPE_CHECKING:
    from simdyn.study.design import StudyDesign

FEW = 6  # values of an axis that are all shown


def counted(number: int, what: str) -> str:
    """'1 method', '2 methods'."""
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def size_of(study: "StudyDesign") -> str:
    """Points, methods and replicates, and the runs that they make."""
    space = study.space
    axes = " × ".join(f"{n:,} {dim}" for dim, n in zip(space.dims, space.shape, strict=True))
    parts = [f"{counted(space.size, 'point')}{f' ({axes})' if axes else ''}"]
    parts += [counted(len(space.methods), "method"), counted(study.replicates, "replicate")]
    return f"{' × '.join(parts)} = {counted(study.runs, 'run')}"


def study_card(study: "StudyDesign") -> str:
    """Its parts as notebooks show them. Nothing is run, compiled or timed."""
    lines = [f"{size_of(study)}; seed {study.seed}", _cost(study)]
    held, marks = _held(study)
    return card(
        f"Study: {study.name}",
        lines,
        table(("method", "phase", "optimiser", "fields that are given"), _phases(study)),
        table(("swept", "symbol", "values", "meaning"), axes) if (axes := _axes(study)) else "",
        table(FIELD_COLUMNS, held, marks),
        table((), _rest(study)),
    )


def _cost(study: "StudyDesign") -> str:
    """Blocks, nominal core time and size; or which point of a large study is not allowed."""
    try:
        seconds = study.cost
    except InputError as problem:
        return str(problem)
    time = f"{seconds:,.0f} core-seconds" if seconds >= 10 else f"{seconds:.2g} core-seconds"
    if seconds >= 3600:
        time = f"{seconds / 3600:,.1f} core-hours"
    return (
        f"{counted(len(study.blocks), 'block')}, about {time} by nominal prices, "
        f"{study.bytes / 1e6:.3g} MB"
    )


def _axes(study: "StudyDesign") -> list[list[str]]:
    rows = []
    for name, values in study.space.axes.items():
        owner, field = study.space.field_of(name)
        dim = study.space.dim_of[name]
        with_it = "" if dim == name else f", along {dim}"
        meaning = owner.model_fields[field].description or ""
        rows.append([name, owner.symbol(field), f"{_values(values)}{with_it}", meaning])
    return rows


def _values(values: np.ndarray) -> str:
    """All values of an axis, or how many there are, the smallest and the largest."""
    if values.size <= FEW or values.dtype.kind not in "if":
        return shown(values.tolist())[1:-1]
    return f"{values.size:,} values, {values.min().item()} … {values.max().item()}"


def _phases(study: "StudyDesign") -> list[list[str]]:
    return [
        [method if k == 0 else "", f"{k}", phase.owner.__name__, _given(study, phase)]
        for method, plan in study.space.phases.items()
        for k, phase in enumerate(plan)
    ]


def _given(study: "StudyDesign", section: Section) -> str:
    """Fields of a phase that do not have their defaults, and which of them are swept."""
    texts = []
    for name in section.owner.model_fields:
        if axis := study.space.axis_of(section, name):
            texts.append(f"{name}: {'solved for' if axis == _solved(study) else 'swept'}")
        elif name in section.essential:
            texts.append(f"{name} = {section.fields[name]}")
    return ", ".join(texts)


def _solved(study: "StudyDesign") -> str:
    return "" if study.solve is None else study.solve.field


def _held(study: "StudyDesign") -> tuple[list[list[str]], list[str]]:
    """Fields of data and network that are on no axis, and which of them have their defaults."""
    rows, marks = [], []
    for section in (study.space.data, study.space.net):
        for name, field in section.owner.model_fields.items():
            if name in section.fields and study.space.axis_of(section, name) is None:
                value = shown(section.fields[name])
                symbol = section.owner.symbol(name)
                rows.append([section.label(name), symbol, value, field.description or ""])
                marks.append("" if name in section.essential else FADED)
    return rows, marks


def _rest(study: "StudyDesign") -> list[list[str]]:
    """What else a study may have, a row each."""
    rows = {
        "law of the data": study.space.law.__name__,
        "solved for": study.solve,
        "where": study.space.where,
        "refined": study.space.refine,
        "recorded": ", ".join(study.variables),
        "record": study.record if list(study.record.__repr_args__()) else None,
        "figure": study.figure,
    }
    return [[name, str(value)] for name, value in rows.items() if value]
