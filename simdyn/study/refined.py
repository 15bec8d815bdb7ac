"""What must hold of a study that interpolates points, and how much of it is simulated."""

import math
from collections.abc import Sequence

import numpy as np

from simdyn.base.inputs import InputError, nearest
from simdyn.params import Crossing
from simdyn.space.points import Space
from simdyn.space.zips import is_label
from simdyn.theory.crossing import is_geometric
from simdyn.variables.registry import VARIABLES

LEAST = 3  # values of an axis that is refined
ALONG_LINE = 3.0  # points that a line through a tile takes, for each point of its edge, measured


def check_refinement(space: Space, variables: Sequence[str], solve: Crossing | None) -> None:
    """Refuse what cannot be refined.

    Raises
    ------
    InputError
        If the study solves for a field, does not record the variable, or has no such axes.
    """
    if (refine := space.refine) is None:
        return
    if solve is not None:
        raise InputError("space.refine: allowed without [solve], which has no points to leave out")
    numbers = [name for name in variables if VARIABLES[name].dims == ("step",)]
    if refine.variable not in numbers:
        raise InputError(
            f"space.refine.variable = {refine.variable!r}: {nearest(refine.variable, numbers)}"
        )
    fit = [dim for dim in space.dims if _fits(space.axes[dim])]
    for name in refine.over or ():
        if name not in fit:
            raise InputError(
                f"space.refine.over: {name!r}: allowed are axes with {LEAST} or more numbers: "
                f"{', '.join(fit) or 'there are none'}"
            )
    if not fit:
        raise InputError(
            f"space.refine: there is no axis with {LEAST} or more numbers; allowed is a study "
            "with one"
        )


def _fits(values: np.ndarray) -> bool:
    monotone = values.dtype.kind in "if" and abs(np.sign(np.diff(values)).sum()) == values.size - 1
    return values.size >= LEAST and monotone


def refined_dims(space: Space) -> tuple[bool, ...]:
    """For each dim of the grid: is it refined?"""
    assert space.refine is not None
    over = space.refine.over
    return tuple(_fits(space.axes[dim]) if over is None else dim in over for dim in space.dims)


def positions(space: Space) -> list[np.ndarray]:
    """Along each dim, where its points lie for interpolation."""
    return [_positions(space.axes[dim]) for dim in space.dims]


def _positions(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "if" or is_label(values):
        return np.arange(values.size, dtype=np.float64)
    numbers = values.astype(np.float64)
    return np.log(numbers) if is_geometric(numbers) else numbers


def tile_shape(space: Space) -> tuple[int, ...]:
    """Points of a tile along each dim: a block of the study."""
    assert space.refine is not None
    size = 2**space.refine.depth
    return tuple(
        min(size, length) if refined else 1
        for length, refined in zip(space.shape, refined_dims(space), strict=True)
    )


def expected_share(space: Space) -> float:
    """About the share of runs that is simulated, if a line crosses each map once.

    These are the corners of all tiles, which each of them computes by itself, and in tiles on the
    line the points near it.
    """
    assert space.refine is not None
    size = 2**space.refine.depth
    tiles = [
        max(1.0, (length - 1) / size)
        for length, refined in zip(space.shape, refined_dims(space), strict=True)
        if refined
    ]
    corners = (2.0 / size) ** len(tiles)
    on_line = min(1.0, sum(tiles) / math.prod(tiles)) * min(1.0, ALONG_LINE / size)
    return float(min(1.0, corners + on_line))
