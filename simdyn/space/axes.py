"""Axes of a space: lists of values, or their ends and a number."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from simdyn.base.decimals import DIGITS, ERROR, as_written, same
from simdyn.base.inputs import InputError, as_float, is_plain_number, shown
from simdyn.params import MAX_DIMENSION, Parameters


def as_integer(value: float) -> float | int:
    """A float with an integral value as an integer, any other as it is."""
    return int(value) if math.isfinite(value) and value == int(value) else value


RULES = ("zip", "where", "refine")  # words of a space that are no axes
AXIS_FORM = "a list, {start = …, stop = …, num = …} or {log = [low, high], num = …}"
MAX_AXIS = 10_000_000
AT_ONCE = 2**16  # values of an axis that are looked at together


def _generated(where: str, given: Mapping[str, Any], integer: bool) -> np.ndarray:
    """Values of an axis given by its ends: integers if `integer`, else decimals as one writes them.

    The ends are what was given. A value between them that lies within rounding of a decimal of
    twelve digits is that decimal, as in 0.1, 0.2, 0.3; others are as NumPy computes them.
    """
    numbers = dict(given)
    num = numbers.pop("num", None)
    if isinstance(num, bool) or not isinstance(num, int) or not 1 <= num <= MAX_AXIS:
        raise InputError(f"{where}.num = {shown(num)}: allowed is an integer from 1 to 10**7")
    log = numbers.get("log")
    if set(numbers) == {"log"} and isinstance(log, list | tuple) and len(log) == 2:
        ends = tuple(log)
    elif set(numbers) == {"start", "stop"}:
        ends = (numbers["start"], numbers["stop"])
    else:
        raise InputError(f"{where} = {shown(given)}: allowed is {AXIS_FORM}")
    for end in ends:
        number = as_float(end) if is_plain_number(end) else math.nan
        if not math.isfinite(number) or ("log" in numbers and number <= 0):
            wanted = "finite numbers > 0" if "log" in numbers else "finite numbers"
            raise InputError(f"{where} = {shown(given)}: allowed as ends are {wanted}")
    if not math.isfinite(float(ends[1]) - float(ends[0])):
        raise InputError(
            f"{where} = {shown(given)}: allowed are ends whose difference is a finite number"
        )
    first, last = map(float, ends)
    log = "log" in numbers
    values = (np.geomspace if log else np.linspace)(first, last, num)
    decades = max(1.0, abs(math.log10(first)), abs(math.log10(last))) if log else 1.0
    scale = max(abs(first), abs(last)) or 1.0
    for part in _pieces(values):
        decimals = as_written(part, part if log else scale, ERROR * decades)
        if integer:
            integers = np.round(decimals)
            decimals = np.where(decimals == integers, integers, np.round(part))
        part[:] = decimals
    if not integer:
        values[-1], values[0] = last, first
    return values


def _pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    """Views of a long axis, each but the first with the last value of the one before.

    What is done to one of them takes little memory, whatever the length of the axis.
    """
    for start in range(0, max(1, values.size - 1), AT_ONCE):
        yield values[start : start + AT_ONCE + 1]


def _bad_value(where: str, value: Any, owner: type[Parameters], field: str) -> InputError:
    allowed = "a number; its formula may read a swept name" if owner.is_schedule(field) else ""
    allowed = allowed or owner.allowed(field)
    return InputError(f"{where}: the value {shown(value)}: allowed is {allowed}")


def _array(items: Any) -> np.ndarray | None:
    """Finite numbers as float64; None if there is anything else among them."""
    if isinstance(items, np.ndarray):
        if items.dtype.kind not in "iuf" or items.dtype.itemsize > 8:
            return None
    elif not set(map(type, items)) <= {int, float}:
        return None
    try:
        values = np.array(items, dtype=np.float64)
    except OverflowError:
        return None
    return values if np.isfinite(values).all() else None


def _listed(where: str, given: Any, owner: type[Parameters], field: str) -> np.ndarray:
    """Values of an axis given one by one."""
    numeric = owner.is_number(field)
    flat = isinstance(given, np.ndarray) and given.ndim == 1
    if not flat and not isinstance(given, list | tuple | range):
        raise InputError(f"{where} = {shown(given)}: allowed is {AXIS_FORM}")
    if len(given) > MAX_AXIS:
        raise InputError(f"{where} has {len(given)} values: allowed are up to 10**7")
    if isinstance(given, range) and max(abs(given.start), abs(given.stop)) <= MAX_DIMENSION:
        given = np.arange(given.start, given.stop, given.step)  # without an object for each value
    values = _array(given) if numeric else None
    if values is None:
        items = [v.item() if isinstance(v, np.generic) else v for v in given]
        for item in items:
            fits = is_plain_number(item) if numeric else isinstance(item, str)
            if not fits or (numeric and not math.isfinite(as_float(item))):
                raise _bad_value(where, item, owner, field)
        values = np.array(items, dtype=np.float64 if numeric else str)
    if owner.is_integer(field) and (bad := values[values != np.round(values)]).size:
        raise _bad_value(where, float(bad[0]), owner, field)
    return values


def _check_distinct(where: str, values: np.ndarray) -> None:
    """Numbers must differ by more than rounding, integers and texts at all."""
    rising = values[1:] > values[:-1]
    in_order = rising.all() or not rising.any()  # as nearly all long axes are: nothing to sort
    ordered = values if in_order else np.sort(values)
    for part in _pieces(ordered):
        one, other = part[:-1], part[1:]
        twice = np.flatnonzero(same(one, other) if values.dtype.kind == "f" else one == other)
        if twice.size:
            first, second = one[twice[0]].item(), other[twice[0]].item()
            what = f"the value {first} occurs twice"
            if first != second:
                what = f"the values {first} and {second} are the same to {DIGITS} digits"
            raise InputError(f"{where}: {what}; allowed are distinct ones")


def axis_values(
    name: str, given: Any, owner: type[Parameters], field: str, distinct: bool = True
) -> np.ndarray:
    """Values of an axis from a list, {start, stop, num} or {log = [low, high], num}.

    Raises
    ------
    InputError
        For any other form, an empty axis, or a value that occurs twice where they are `distinct`.
    """
    where = f"space.{name}"
    if isinstance(given, Mapping):
        values = _generated(where, given, owner.is_integer(field))
    else:
        values = _listed(where, given, owner, field)
    if values.size == 0:
        raise InputError(f"{where} is empty: allowed is {AXIS_FORM}")
    if owner.is_integer(field):
        if values.max() > MAX_DIMENSION or values.min() < -MAX_DIMENSION:
            large = values[abs(values) > MAX_DIMENSION]
            raise _bad_value(where, float(large[0]), owner, field)
        values = values.astype(np.int64)
    elif owner.is_number(field):
        values += 0.0  # −0.0 is 0.0
    if distinct:
        _check_distinct(where, values)
    return values
