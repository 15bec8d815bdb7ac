"""The dims, coordinates and variables of a study's results."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.params import SGD, Data, DrawnData, Record
from simdyn.space.columns import Column
from simdyn.space.points import Space
from simdyn.space.sections import Section
from simdyn.variables.layout import (
    UPDATE_ATTRS,
    Coordinate,
    Layout,
    axis_coordinates,
    parameter_coordinate,
)
from simdyn.variables.registry import VARIABLES

MAX_VALUES = 1_000_000  # of a coordinate that is not an axis; one with more is left out
MAX_SCHEDULES = 50_000  # different sequences of recorded updates; `updates` with more is left out


class Results(NamedTuple):
    """What a study records of each point and method."""

    record: Record
    variables: tuple[str, ...]
    replicates: int
    states: int


def layout_of(space: Space, results: Results, attrs: Mapping[str, Any]) -> Layout:
    """Dims, coordinates and variables of the results.

    A field that is not swept has a coordinate over the dims along which its formula varies, and no
    others; `updates` likewise. Where a formula has no value, which only masked points may have, the
    coordinate is NaN, or 0 if it holds integers. A coordinate of more than a million values is
    left out: its formula stands in the attribute `study`.
    """
    coords = {
        name: parameter_coordinate(name, (space.dim_of[name],), values, *space.field_of(name))
        for name, values in space.axes.items()
    }
    used = {dim for name in results.variables for dim in VARIABLES[name].dims}
    first = space.first_point
    lengths = {
        "sign": 2,
        "filter": first.net.n_filters,
        "sample": first.data.n_samples,
        "vector": first.data.dictionary_size if isinstance(first.data, DrawnData) else 0,
    }
    lengths = {dim: length for dim, length in lengths.items() if dim in used}
    lengths |= {"replicate": results.replicates, "step": results.states}
    coords |= axis_coordinates(lengths, space.methods)
    if results.states:
        coords |= _updates(space, results)
    for section in (space.data, space.net):
        coords |= _held(space, section)
    dims = (*space.dims, "method", "replicate")
    return Layout(dims, coords, results.variables, attrs, space.law)


def _held(space: Space, section: Section) -> dict[str, Coordinate]:
    """Fields that are not swept: a scalar each, or over the dims where a formula varies."""
    found = {}
    for name in section.owner.model_fields:
        field = (section, name)
        if name in space.axes or not space.has(*field) or space.are_solved([field]):
            continue
        dims = space.varying_dims([field])
        shape = tuple(space.axes[dim].size for dim in dims)
        if math.prod(shape) > MAX_VALUES:
            continue
        (column,) = space.fields([field], dims)
        if column is not None:
            values = _plain(column, name in section.integers, name in section.numbers, shape)
            found[name] = parameter_coordinate(name, dims, values, section.owner, name)
    return found


def _plain(column: Column, integer: bool, number: bool, shape: Sequence[int]) -> np.ndarray:
    """Values as coordinates hold them: integers or doubles, 0 or NaN if there is no value."""
    if not number:
        return np.array(np.broadcast_to(column.values, shape))
    values, ok = np.broadcast_to(column.values, shape), np.broadcast_to(column.ok, shape)
    if not integer:
        return np.where(ok, values, math.nan)
    fits = ok & (abs(values) < 2.0**63)
    return np.where(fits, values, 0).astype(np.int64)


def _updates(space: Space, results: Results) -> dict[str, Coordinate]:
    """The number of updates before each recorded state, over the dims it varies along.

    0 where it cannot be: at masked points.
    """
    deciding = [(space.data, "n_samples")] + [
        (section, name)
        for plan in space.phases.values()
        for section in plan
        for name in ("epochs", "batch_size", "last_batch")
    ]
    dims = space.varying_dims(deciding)
    shape = tuple(space.axes[dim].size for dim in dims)
    if math.prod(shape) * len(space.methods) * results.states > MAX_VALUES:
        return {}
    columns = [_listed(column, shape) for column in space.fields(deciding, dims)]
    rows = list(zip(*columns, strict=True))
    distinct = dict.fromkeys(rows)
    if len(distinct) > MAX_SCHEDULES:
        return {}
    known = {row: _schedule(space, results, row) for row in distinct}
    values = np.array([known[row] for row in rows], dtype=np.int64)
    values = values.reshape(*shape, len(space.methods), results.states)
    return {"updates": Coordinate((*dims, "method", "step"), values, UPDATE_ATTRS)}


def _listed(column: Column | None, shape: Sequence[int]) -> list[Any]:
    """Values as Python objects, in C order; one that no field may hold if there is none."""
    if column is None:
        return [None] * math.prod(shape)
    values, ok = (np.broadcast_to(part, shape).ravel().tolist() for part in column)
    return [value if there else "none" for value, there in zip(values, ok, strict=True)]


def _schedule(space: Space, results: Results, row: Sequence[Any]) -> list[list[int]]:
    """Recorded updates of every method, from n_samples and what decides in each phase."""
    n_samples, *rest = row
    phases = zip(rest[0::3], rest[1::3], rest[2::3], strict=True)
    schedule = []
    for plan in space.phases.values():
        fields = list(itertools.islice(phases, len(plan)))
        try:
            made = [
                SGD(learning_rate=1.0, epochs=epochs, batch_size=batch, last_batch=last)
                for epochs, batch, last in fields
            ]
            updates = results.record.updates(made, Data(n_samples=n_samples).n_samples, "last")
        except InputError:
            updates = np.zeros(0, dtype=np.int64)
        fits = updates.size == results.states
        schedule.append(updates.tolist() if fits else [0] * results.states)
    return schedule
