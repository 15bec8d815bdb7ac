"""The dims, coordinates and variables of a study's results."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.columns import Column
from simdyn.inputs import InputError
from simdyn.params import SGD, Data, DrawnData
from simdyn.schema import (
    UPDATE_ATTRS,
    VARIABLES,
    Coordinate,
    Layout,
    as_json,
    axis_coordinates,
    parameter_coordinate,
)
from simdyn.section import Section

if TYPE_CHECKING:
    from simdyn.study.core import Study

MAX_VALUES = 1_000_000  # of a coordinate that is not an axis; one with more is left out
MAX_SCHEDULES = 50_000  # different sequences of recorded updates; `updates` with more is left out


def layout_of(study: "Study") -> Layout:
    """Dims, coordinates and variables of the results.

    A field that is not swept has a coordinate over the dims along which its formula varies, and no
    others; `updates` likewise. Where a formula has no value, which only masked points may have, the
    coordinate is NaN, or 0 where it holds integers. A coordinate of more than a million values is
    left out: its formula stands in the attribute `study`.
    """
    space = study.space
    coords = {
        name: parameter_coordinate(name, (space.dim_of[name],), values, *space.kind(name))
        for name, values in space.axes.items()
    }
    used = {dim for name in study.variables for dim in VARIABLES[name].dims}
    fixed = study.first_point
    coords |= axis_coordinates(
        space.methods, study.replicates, study.states,
        fixed.net.n_filters if "filter" in used else 0,
        fixed.data.n_samples if "sample" in used else 0,
        _vectors(fixed.data) if "vector" in used else 0, signed="sign" in used,
    )  # fmt: skip
    coords |= _updates(study)
    for section in (space.data, space.net):
        coords |= _held(study, section)
    attrs = {
        "title": study.name,
        "study": as_json(study.physics),
        "fingerprint": study.fingerprint,
        "seed": study.seed,
        "numerics_version": study.numerics_version,
    }
    return Layout(
        (*space.dims, "method", "replicate"), coords, study.variables, attrs, study.data_law
    )


def _vectors(data: Data) -> int:
    assert isinstance(data, DrawnData)  # of others `coef` is not recordable
    return data.dictionary_size


def _held(study: "Study", section: Section) -> dict[str, Coordinate]:
    """Fields that are not swept: a scalar each, or over the dims where a formula varies."""
    space, found = study.space, {}
    for name in section.owner.model_fields:
        field = (section, name)
        if name in space.axes or not space.has(*field):
            continue
        dims = space.dims_behind([field])
        shape = tuple(space.axes[dim].size for dim in dims)
        if math.prod(shape) > MAX_VALUES:
            continue
        (column,) = space.fields([field], dims)
        if column is not None:
            values = _plain(column, name in section.wholes, name in section.numbers, shape)
            found[name] = parameter_coordinate(name, dims, values, section.owner, name)
    return found


def _plain(column: Column, whole: bool, number: bool, shape: Sequence[int]) -> np.ndarray:
    """Values as coordinates hold them: integers or doubles, 0 or NaN where there is no value."""
    if not number:
        return np.array(np.broadcast_to(column.values, shape))
    values, ok = np.broadcast_to(column.values, shape), np.broadcast_to(column.ok, shape)
    if not whole:
        return np.where(ok, values, math.nan)
    fits = ok & (abs(values) < 2.0**63)
    return np.where(fits, values, 0).astype(np.int64)


def _updates(study: "Study") -> dict[str, Coordinate]:
    """The number of updates behind each recorded state, over the dims it varies along.

    0 where it cannot be: at masked points.
    """
    space = study.space
    deciding = [(space.data, "n_samples")] + [
        (section, name)
        for plan in space.phases.values()
        for section in plan
        for name in ("epochs", "batch_size", "last_batch")
    ]
    dims = space.dims_behind(deciding)
    shape = tuple(space.axes[dim].size for dim in dims)
    if math.prod(shape) * len(space.methods) * study.states > MAX_VALUES:
        return {}
    columns = [_listed(column, shape) for column in space.fields(deciding, dims)]
    rows = list(zip(*columns, strict=True))
    distinct = dict.fromkeys(rows)
    if len(distinct) > MAX_SCHEDULES:
        return {}
    known = {row: _schedule(study, row) for row in distinct}
    values = np.array([known[row] for row in rows], dtype=np.int64)
    values = values.reshape(*shape, len(space.methods), study.states)
    return {"updates": Coordinate((*dims, "method", "step"), values, UPDATE_ATTRS)}


def _listed(column: Column | None, shape: Sequence[int]) -> list[Any]:
    """Values as Python has them, in C order; what no field may hold where there is none."""
    if column is None:
        return [None] * math.prod(shape)
    values, ok = (np.broadcast_to(part, shape).ravel().tolist() for part in column)
    return [value if there else "none" for value, there in zip(values, ok, strict=True)]


def _schedule(study: "Study", row: Sequence[Any]) -> list[list[int]]:
    """Recorded updates of every method, from n_samples and what decides in each phase."""
    n_samples, *rest = row
    phases = zip(rest[0::3], rest[1::3], rest[2::3], strict=True)
    schedule = []
    for plan in study.space.phases.values():
        fields = list(itertools.islice(phases, len(plan)))
        try:
            made = [
                SGD(learning_rate=1.0, epochs=epochs, batch_size=batch, last_batch=last)
                for epochs, batch, last in fields
            ]
            updates = study.record.updates(made, Data(n_samples=n_samples).n_samples, "last")
        except InputError:
            updates = np.zeros(0, dtype=np.int64)
        fits = updates.size == study.states
        schedule.append(updates.tolist() if fits else [0] * study.states)
    return schedule
