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
        A value of every axis that has more than one; of axes that vary together, one is enough if
        only one point has it. A number means the value that agrees with it to twelve digits, and
        "~5" the value nearest to 5, the first of two.

    Raises
    ------
    InputError
        If an axis is missing or unknown, has no such value, or several points have it.
    """
    space = study.space
    if not isinstance(at, Mapping):
        raise InputError(f"at = {shown(at)}: allowed is a value of each axis, {{name: value}}")
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
        for name in sorted(given, key=lambda name: _is_near(at[name])):  # nearest ones last
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
    """A finite number, perhaps given as text; None if it is anything else."""
    try:
        number = float(wanted)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _equals(values: np.ndarray, wanted: Any) -> np.ndarray:
    """Where an axis has a value: the same when printed, or the same number within rounding."""
    printed = np.array([str(value) == str(wanted) for value in values.tolist()], dtype=bool)
    number = None if values.dtype.kind == "U" else _number(wanted)
    return printed if printed.any() or number is None else same(values, number)


def _nearest(name: str, values: np.ndarray, among: np.ndarray, wanted: str) -> np.ndarray:
    """Where an axis has the value that is nearest to '~5', `among` some of its points."""
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
    """The message for a value that an axis does not have: all of its values, or those nearby."""
    number = None if values.dtype.kind == "U" else _number(wanted)
    given = f"{name} = {shown(wanted)}"
    if number is None:
        return f"{given}: allowed is one of {_some(values)}"
    ordered = np.unique(values)
    allowed = f"allowed is one of {_some(ordered)}"
    if ordered.size > MOST:
        above = int(np.searchsorted(ordered, number))
        start = min(max(above - MOST // 4, 0), ordered.size - MOST // 2)
        nearby = ", ".join(map(str, ordered[start : start + MOST // 2].tolist()))
        allowed = (
            f"not one of the {ordered.size} values from {ordered[0]} to {ordered[-1]}; "
            f"nearby are {nearby}"
        )
    return f"{given}: {allowed}; {name}~{wanted} takes the nearest"


def _some(values: np.ndarray) -> str:
    plain = [str(value) for value in values.tolist()]
    if len(plain) > MOST:
        plain = [*plain[: MOST - 2], "…", plain[-1]]
    return ", ".join(plain)
