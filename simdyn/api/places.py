"""Which point of a study a user means, by values of its axes."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from simdyn.base.decimals import same
from simdyn.base.inputs import InputError, nearest, shown
from simdyn.study.design import StudyDesign

MOST = 8  # values of an axis that a message lists


def find_point(study: StudyDesign, at: Mapping[str, Any]) -> tuple[int, ...]:
    """Index of the point with these coordinates.

    Parameters
    ----------
    at : dict of str to number or str
        A value of every axis that has more than one; of axes that go together, one is enough if
        only one point has it. A number means the value that agrees with it to twelve digits, and
        "~5" the one nearest to 5, the first of two.

    Raises
    ------
    InputError
        If an axis is missing or unknown, has no such value, or several points have it.
    """
    space = study.space
    for name in at:
        if name not in space.axes:
            raise InputError(f"{name}: no such axis; {nearest(name, space.axes)}")
    index = []
    for dim, names in space.dims.items():
        given = [name for name in names if name in at]
        length = space.axes[dim].size
        if not given and length > 1:
            raise InputError(f"{dim} is missing; allowed is one of {_some(space.axes[dim])}")
        fits = np.ones(length, dtype=bool)
        for name in sorted(given, key=lambda name: _is_near(at[name])):  # these last
            values = space.axes[name]
            if _is_near(at[name]):
                fits &= _nearest(name, values, fits, at[name])
                continue
            own = _equals(values, at[name])
            if not own.any():
                raise InputError(_no_such_value(name, values, at[name]))
            fits &= own
            if not fits.any():
                raise InputError(f"{', '.join(given)}: no point has these values together")
        if fits.sum() > 1:
            rest = ", ".join(name for name in names if name not in given)
            more = f"; give {rest}, too" if rest else ""
            raise InputError(f"{', '.join(given)}: {fits.sum()} points have this value{more}")
        index.append(int(np.argmax(fits)))
    return tuple(index)


def _is_near(wanted: Any) -> bool:
    """Is the nearest value asked for?"""
    return isinstance(wanted, str) and wanted.startswith("~")


def _number(wanted: Any) -> float | None:
    """A finite number that someone gave, perhaps as text; None if it is something else."""
    try:
        number = float(wanted)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _equals(values: np.ndarray, wanted: Any) -> np.ndarray:
    """Where an axis has a value: as text the way it is printed, as a number within rounding."""
    printed = np.array([str(value) == str(wanted) for value in values.tolist()], dtype=bool)
    number = None if values.dtype.kind == "U" else _number(wanted)
    return printed if printed.any() or number is None else same(values, number)


def _nearest(name: str, values: np.ndarray, among: np.ndarray, wanted: str) -> np.ndarray:
    """Where an axis has the value, `among` some places, that is nearest to '~5'."""
    number = _number(wanted[1:])
    if number is None or values.dtype.kind == "U":
        raise InputError(
            f"{name}{wanted}: allowed after ~ is a finite number, for an axis of numbers; "
            f"{name} has {_some(values)}"
        )
    with np.errstate(over="ignore"):
        gaps = np.where(among, abs(values - number), np.inf)
    return np.asarray(among & (values == values[np.argmin(gaps)]))


def _no_such_value(name: str, values: np.ndarray, wanted: Any) -> str:
    """What to say of a value that an axis has not: all that it has, or those nearby."""
    number = None if values.dtype.kind == "U" else _number(wanted)
    said = f"{name} = {shown(wanted)}"
    if number is None:
        return f"{said}: allowed is one of {_some(values)}"
    ordered = np.unique(values)
    told = f"allowed is one of {_some(ordered)}"
    if ordered.size > MOST:
        place = int(np.searchsorted(ordered, number))
        start = min(max(place - MOST // 4, 0), ordered.size - MOST // 2)
        nearby = ", ".join(map(str, ordered[start : start + MOST // 2].tolist()))
        told = (
            f"not one of the {ordered.size} values from {ordered[0]} to {ordered[-1]}; "
            f"nearby are {nearby}"
        )
    return f"{said}: {told}; {name}~{wanted} takes the nearest"


def _some(values: np.ndarray) -> str:
    plain = [str(value) for value in values.tolist()]
    if len(plain) > MOST:
        plain = [*plain[: MOST - 2], "…", plain[-1]]
    return ", ".join(plain)
