"""What must hold of a study before anything runs."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from simdyn.base.decimals import same
from simdyn.base.inputs import InputError
from simdyn.engine.image_files import sizes
from simdyn.params import PIECEWISE_LINEAR, Contents, ImageData, IndependentNoiseData, Picture
from simdyn.params.record import Record
from simdyn.space.points import Space
from simdyn.space.spread import spread
from simdyn.variables.registry import VARIABLES
from simdyn.variables.selection import (
    by_studies,
    check_activation,
    check_conditions,
    check_estimator,
    check_init,
    choose_variables,
    offers_of,
    offers_of_phases,
    recordable,
)
from simdyn.variables.variable import Offer

CHECKED_POINTS = 50_000  # every point up to this number is checked before anything runs
SPREAD_POINTS = 2000  # of a larger space: spread over it,
EDGE_POINTS = 500  # and along each dim


def recorded_variables(space: Space, record: Record, figure: Picture | None) -> tuple[str, ...]:
    """What is recorded: variables whose shape is the same at every point.

    Unless the record names them: the usual ones, and those that the figure shows.
    """
    varying = space.swept_fields | space.formula_fields
    known = recordable(offers_of(space.law, _of_phases(space)))
    bad = {("n_samples", "sample"), ("n_filters", "filter"), ("n_samples", "vector")}
    if space.law is IndependentNoiseData:
        bad.add(("n_patches", "vector"))
    gone = {dim for field, dim in bad if field in varying}
    for name in record.variables or ():
        for field, dim in sorted(bad):
            if name in known and field in varying and dim in VARIABLES[name].dims:
                raise InputError(
                    f"record.variables: '{name}' has a value for each {dim}, and {field} "
                    "varies over the space; allowed are variables without that dim"
                )
    check_networks(space, record)
    check_conditions(space.phase_values("until"), known)
    possible = [name for name in possible_variables(space) if not gone & set(VARIABLES[name].dims)]
    usual = [*by_studies(possible), *(n for n in possible if figure and n in figure.shown)]
    return choose_variables(record.variables, usual, possible, "record")


def _of_phases(space: Space) -> set[Offer]:
    return offers_of_phases(space.phase_values("stepping"), space.phase_values("until"))


def possible_variables(space: Space) -> tuple[str, ...]:
    """Variables that the law of data and every activation have."""
    offers = offers_of(space.law, _of_phases(space))
    if not set(space.activations) <= set(PIECEWISE_LINEAR):
        offers.discard("piecewise linear")
    return recordable(offers)


def check_networks(space: Space, record: Record) -> None:
    """Weights must be drawable, and what is recorded have a meaning for every activation."""
    for init in space.axes.get("init", [space.net.fields["init"]]):
        check_init(str(init), space.law)
    for activation in space.activations:
        check_estimator(record, activation, space.law)
        check_activation(record.variables or (), activation)


def place_of(name: str, value: float | str, values: np.ndarray) -> int:
    """The place of a value along an axis, from `at` of a figure.

    Raises
    ------
    InputError
        If it is not there; the message names those next to it.
    """
    if isinstance(value, str) or values.dtype.kind not in "if":
        found = np.flatnonzero(values == value) if values.dtype.kind == "U" else np.array([], int)
        near = [str(item) for item in values[:5].tolist()]
    else:
        found = np.flatnonzero(same(values.astype(np.float64), float(value)))
        order = np.argsort(abs(values - value), kind="stable")[:2]
        near = [f"{item:g}" for item in sorted(values[order].tolist())]
    if not found.size:
        raise InputError(f"figure.at.{name} = {value!r}: not on the axis; {' or '.join(near)} is")
    return int(found[0])


def check_figure(
    figure: Picture, space: Space, variables: Sequence[str], states: int, replicates: int
) -> None:
    """The figure must show what is swept and recorded."""
    for option, drawn in zip("xy", figure.axes, strict=False):
        if (dim := space.dim_of.get(drawn, drawn)) != drawn:
            raise InputError(
                f"figure.{option} = {drawn!r}: it goes along with '{dim}' in space.zip; "
                f"allowed is '{dim}'"
            )
    for name, value in (figure.at or {}).items():
        if name in space.dims:
            place_of(name, value, space.axes[name])
    axes = {dim: np.issubdtype(space.axes[dim].dtype, np.number) for dim in space.dims}
    depth = {name: len(VARIABLES[name].dims) - 1 for name in variables}
    recorded = {name: more for name, more in depth.items() if more >= 0}
    numbers = {
        name: dim
        for name, dim in space.dim_of.items()
        if np.issubdtype(space.axes[name].dtype, np.number)
    }
    lowest = {name: float(space.axes[name].min()) for name in numbers}
    solved = space.solved.field if space.solved else ""
    possible = possible_variables(space)
    figure.check(
        Contents(
            axes, space.methods, recorded, states, replicates, possible, numbers, solved, lowest
        )
    )


def _checked_indices(space: Space) -> Iterator[tuple[int, ...]]:
    """Every point, or in a large space some thousands of them.

    These are points spread evenly, and those along the edges from the first and from the last
    corner: values spread evenly along each dim, and the smallest and largest of each axis, for what
    a field may hold is mostly an interval.
    """
    if space.size <= CHECKED_POINTS:
        yield from space.indices()
        return
    yield from spread(space.shape, SPREAD_POINTS)
    for corner in ([0] * len(space.shape), [size - 1 for size in space.shape]):
        for k, (dim, size) in enumerate(zip(space.dims, space.shape, strict=True)):
            ends = {0, size - 1}
            for values in map(space.axes.__getitem__, space.dims[dim]):
                if np.issubdtype(values.dtype, np.number):
                    ends |= {int(values.argmin()), int(values.argmax())}
            for at in sorted({*(at for (at,) in spread((size,), EDGE_POINTS)), *ends}):
                yield (*corner[:k], at, *corner[k + 1 :])


def check_points(space: Space, record: Record) -> int:
    """Every wanted point must be allowed, and all record one number of states, which it returns."""
    counts: dict[int, str] = {}
    # The first wanted point comes first, for it is there whatever the others are.
    for index in dict.fromkeys(itertools.chain([space.first], _checked_indices(space))):
        if not space.wanted(index):
            continue
        if space.solved is not None:
            _check_search(space, index)
            continue
        point = space.point(index)
        if isinstance(point.data, ImageData):
            _check_images(point.data, space.location(index))
        for method, plan in zip(space.methods, point.plans, strict=True):
            size = record.updates(plan, point.data.n_samples, "last").size
            counts.setdefault(size, f"{size} for {method} at point {index}")
    if space.solved is not None:
        return 1
    if len(counts) > 1:
        raise InputError(
            f"record: {' but '.join(counts.values())}; allowed is one number of states for all "
            "points and methods (record only the last state, or equal numbers of updates)"
        )
    return next(iter(counts))


def _check_search(space: Space, index: tuple[int, ...]) -> None:
    """Both ends of a bracket must be allowed, and the level have a value there."""
    for value in space.ends(index):
        point = space.point(index, value)
        space.level(index, value)
        if isinstance(point.data, ImageData):
            _check_images(point.data, space.location(index))


def _check_images(data: ImageData, location: str) -> None:
    """Check the file of images, so that an error comes before anything runs."""
    try:
        sizes(data)
    except InputError as problem:
        raise InputError(f"{problem}{location}") from None
