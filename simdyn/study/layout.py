"""The dims, coordinates and variables of a study's results."""

from typing import TYPE_CHECKING

import numpy as np

from simdyn.kernels import NUMERICS_VERSION
from simdyn.params import Data, DrawnData
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


def layout_of(study: "Study") -> Layout:
    """Dims, coordinates and variables of the results."""
    space = study.space
    coords = {
        name: parameter_coordinate(name, (name,), values, *space.kind(name))
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
    coords["update"] = _updates(study)
    for section in (space.data, space.net):
        coords |= _held(study, section)
    attrs = {
        "title": study.name,
        "study": as_json(study.physics),
        "fingerprint": study.fingerprint,
        "seed": study.seed,
        "numerics_version": NUMERICS_VERSION,
    }
    return Layout((*space.axes, "method", "replicate"), coords, study.variables, attrs)


def _vectors(data: Data) -> int:
    assert isinstance(data, DrawnData)  # of others `coef` is not recordable
    return data.dictionary_size


def _held(study: "Study", section: Section) -> dict[str, Coordinate]:
    """Fields that are not swept: a scalar each, or over the grid where a formula varies."""
    dims, found = tuple(study.space.axes), {}
    for name, value in section.fields.items():
        if name in study.space.axes or (value is None and name not in study.space.swept_fields):
            continue
        swept = name in study.space.swept_fields
        if swept or (isinstance(value, str) and section.owner.is_number(name)):
            owner = "data" if section is study.space.data else "net"
            points = map(study.space.point, study.space.indices())
            values = np.array([getattr(getattr(point, owner), name) for point in points])
            values = values.reshape(study.space.shape)
            found[name] = parameter_coordinate(name, dims, values, section.owner, name)
        else:
            found[name] = parameter_coordinate(name, (), np.array(value), section.owner, name)
    return found


def _updates(study: "Study") -> Coordinate:
    """The number of updates behind each recorded state, over the dims it varies along."""
    space = study.space
    deciding = {"epochs", "batch_size", "n_samples", "last_batch"}
    varies = bool(deciding & (space.swept_fields | space.formula_fields))
    indices = list(space.indices()) if varies else [(0,) * len(space.axes)]
    values = np.array(
        [
            [study.record.updates(plan, point.data.n_samples, "last") for plan in point.plans]
            for point in map(space.point, indices)
        ]
    )
    dims: tuple[str, ...] = ("method", "step")
    values = values.reshape(*(space.shape if varies else (1,)), *values.shape[1:])
    if varies:
        dims = (*space.axes, *dims)
    else:
        values = values[0]
    return Coordinate(dims, values, UPDATE_ATTRS)
