"""What must hold of a study before anything runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from simdyn.inputs import InputError
from simdyn.params import ImageData, IndependentNoiseData, Picture
from simdyn.schema import (
    BY_SUMMARY,
    VARIABLES,
    check_estimator,
    check_init,
    check_sharpness,
    choose_variables,
    recordable,
)

if TYPE_CHECKING:
    from simdyn.study.core import Study

CHECKED_POINTS = 50_000  # every point up to this number is checked before anything runs


def recorded_variables(study: "Study") -> tuple[str, ...]:
    """What is recorded: variables whose shape is the same at every point."""
    varying = study.space.swept_fields | study.space.formula_fields
    known = recordable(study.data_law)
    bad = {("n_samples", "sample"), ("n_filters", "filter"), ("n_samples", "vector")}
    if study.data_law is IndependentNoiseData:
        bad.add(("n_patches", "vector"))
    gone = {dim for field, dim in bad if field in varying}
    for name in study.record.variables or ():
        for field, dim in sorted(bad):
            if name in known and field in varying and dim in VARIABLES[name].dims:
                raise InputError(
                    f"record.variables: '{name}' has a value for each {dim}, and {field} "
                    "varies over the space; allowed are variables without that dim"
                )
    check_network(study)
    possible = [name for name in known if not gone & set(VARIABLES[name].dims)]
    usual = [name for name in BY_SUMMARY if name in possible]
    return choose_variables(study.record.variables, usual, possible, "record")


def check_network(study: "Study") -> None:
    """Weights must be drawable, and what is recorded have a meaning for every activation."""
    for init in study.space.axes.get("init", [study.space.net.fields["init"]]):
        check_init(str(init), study.data_law)
    for activation in study.activations:
        check_estimator(study.record, activation, study.data_law)
        if "sharpness" in (study.record.variables or ()):
            check_sharpness(activation)


def check_figure(study: "Study", figure: Picture | None) -> Picture | None:
    """The figure must show what is swept and recorded."""
    if figure is not None:
        depth = {name: len(VARIABLES[name].dims) - 1 for name in study.variables}
        recorded = {name: more for name, more in depth.items() if more >= 0}
        for option in ("x", "y"):
            values = study.space.axes.get(getattr(figure, option, ""))
            if values is not None and not np.issubdtype(values.dtype, np.number):
                raise InputError(
                    f"figure.{option} = {getattr(figure, option)!r}: allowed is a swept "
                    "parameter with numbers"
                )
        figure.check(tuple(study.space.axes), study.space.methods, recorded, study.states)
    return figure


def _checked_indices(study: "Study") -> Iterator[tuple[int, ...]]:
    """Every point, or in a very large space those along its edges."""
    if study.space.size <= CHECKED_POINTS:
        yield from study.space.indices()
        return
    ends = [sorted({0, size - 1}) for size in study.space.shape]
    for axis, size in enumerate(study.space.shape):
        for corner in np.ndindex(*map(len, ends)):
            index = [end[c] for end, c in zip(ends, corner, strict=True)]
            for index[axis] in range(size):
                yield tuple(index)


def check_points(study: "Study") -> int:
    """Every point must be allowed, and all record the same number of states, which it returns."""
    counts: dict[int, str] = {}
    for index in _checked_indices(study):
        point = study.space.point(index)
        if isinstance(point.data, ImageData):
            _check_images(point.data, study.space.place(index))
        for method, plan in zip(study.space.methods, point.plans, strict=True):
            size = study.record.updates(plan, point.data.n_samples, "last").size
            counts.setdefault(size, f"{size} for {method} at point {index}")
    if len(counts) > 1:
        raise InputError(
            f"record: {' but '.join(counts.values())}; allowed is one number of states for all "
            "points and methods (record only the last state, or equal numbers of updates)"
        )
    return next(iter(counts))


def _check_images(data: ImageData, place: str) -> None:
    """What is wrong with a file is told before anything runs."""
    from simdyn.images import sizes

    try:
        sizes(data)
    except InputError as problem:
        raise InputError(f"{problem}{place}") from None
