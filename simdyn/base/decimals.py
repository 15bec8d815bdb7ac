"""Decimals of few digits, as people write them, and one tolerance for equal numbers.

Two numbers are the same if they agree to twelve digits, `TOLERANCE` relatively. Rounding errors are
far smaller: some 10⁻¹⁶ in a formula of a few operations, and up to 2·10⁻¹³ on a logarithmic axis
over the whole range of doubles. No parameter is meant to twelve digits. Comparisons in formulas,
the distinct values of an axis, the growth of stores, and `replay` all use this tolerance.
"""

from typing import Any

import numpy as np

DIGITS = 12  # of a decimal, at most
TOLERANCE = 1e-12
# Bound on the errors of np.linspace relative to the larger end, and of np.geomspace for each decade
# of the end farther from 1: 1.4 and 3.7 times 2⁻⁵² were the largest of some 100,000 values.
ERROR = 4 * 2.0**-52
EXACT_TENS = 22  # 10^22 is the largest power of ten that a double holds exactly


def _slack(one: Any, other: Any) -> Any:
    return 0.5 * TOLERANCE * abs(one) + 0.5 * TOLERANCE * abs(other)


def equal(one: Any, other: Any) -> Any:
    """Are two numbers, or arrays of them, the same within the tolerance?"""
    return abs(one - other) <= _slack(one, other)


def differ(one: Any, other: Any) -> Any:
    """Are they not the same?"""
    return abs(one - other) > _slack(one, other)


def less(one: Any, other: Any) -> Any:
    """Is the first less than the second by more than the tolerance?"""
    return other - one > _slack(one, other)


def less_or_equal(one: Any, other: Any) -> Any:
    """Is the first less than the second, or the same within the tolerance?"""
    return one - other <= _slack(one, other)


def same(values: np.ndarray, others: Any) -> np.ndarray:
    """Which numbers of an array are the same as others, or as another, within the tolerance?"""
    with np.errstate(over="ignore"):  # the difference of the largest doubles is infinite, and large
        return np.asarray(equal(values, others))


def same_places(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each value its position among known ones, −1 if it is none of them.

    Numbers match if they agree within the tolerance and each is the nearest to the other. Texts
    match if they are equal.
    """
    found = np.full(values.size, -1, dtype=np.int64)
    if not known.size or not values.size:
        return found
    if "U" in (values.dtype.kind, known.dtype.kind):
        order = {text: k for k, text in reversed([*enumerate(known.tolist())])}
        return np.array([order.get(text, -1) for text in values.tolist()], dtype=np.int64)
    place, back = _nearest(values, known), _nearest(known, values)
    # Axes that vary together may repeat a value; any of the equal values is then the nearest.
    mutual = values[back[place]] == values
    return np.where(mutual & same(values, known[place]), place, found)


def _nearest(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each value the position of the nearest among known ones."""
    order = np.argsort(known, kind="stable")
    ordered = known[order]
    above = np.searchsorted(ordered, values).clip(0, known.size - 1)
    below = (above - 1).clip(0)
    with np.errstate(over="ignore"):
        nearer = abs(values - ordered[below]) < abs(ordered[above] - values)
    return np.asarray(order[np.where(nearer, below, above)])


def as_written(values: np.ndarray, scale: Any, error: float) -> np.ndarray:
    """Values, put back on the decimal of twelve digits from which rounding moved them.

    Parameters
    ----------
    values : ndarray
        Finite numbers.
    scale : float > 0, or ndarray of the shape of `values`
        Rounding errors are relative to it, and its first digit is the first of the twelve.
    error : float
        The largest rounding error of a value, relative to the scale. A value that is farther from
        its decimal is left as it is.
    """
    found = values.copy()
    scales = np.broadcast_to(scale, values.shape)
    with np.errstate(over="ignore"):
        decades = np.floor(np.log10(scales)).astype(np.int64)
        for decade in np.unique(decades).tolist():
            here = decades == decade
            near = _rounded(values[here], DIGITS - 1 - decade)
            close = abs(near - values[here]) <= error * scales[here]
            found[here] = np.where(close, near, values[here])
    return found


def _rounded(values: np.ndarray, places: int) -> np.ndarray:
    """The doubles of the nearest decimals with so many places."""
    if abs(places) <= EXACT_TENS:
        return np.round(values, places)  # an integer times or over an exact power of ten
    return np.array([round(value, places) for value in values.tolist()])
