"""Formulas over many points at once, with the same bits as point by point.

Plain arithmetic, roots and rounding are exact to the bit in NumPy as in Python. Logarithms,
exponentials and powers are those of `math`, element by element, for NumPy has others.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from simdyn.base.formula import (
    ARITHMETIC,
    CONSTANTS,
    FUNCTIONS,
    Operations,
    Relation,
    names_in,
    parsed,
    walk,
)
from simdyn.base.inputs import InputError


class Column(NamedTuple):
    """Values over some points; those at points without a value mean nothing."""

    values: np.ndarray
    ok: np.ndarray  # where there is a value


def column(values: Any) -> Column:
    """Values that are there everywhere."""
    return Column(np.asarray(values), np.asarray(True))


NOWHERE = Column(np.asarray(math.nan), np.asarray(False))


def _elementwise(function: Callable[..., float]) -> Callable[..., np.ndarray]:
    """A scalar function on arrays; NaN if it has no value."""

    def guarded(*numbers: float) -> float:
        try:
            return function(*numbers)
        except (ArithmeticError, ValueError):
            return math.nan

    def on_arrays(*arrays: np.ndarray) -> np.ndarray:
        called = np.frompyfunc(guarded, len(arrays), 1)(*arrays)
        return np.asarray(called, dtype=np.float64)

    return on_arrays


def _first(better: np.ufunc, first: np.ndarray, *others: np.ndarray) -> np.ndarray:
    for other in others:
        first = np.where(better(other, first), other, first)
    return first


# Python's integers have no −0.0, so 0.0 is added; and its min and max keep the first of equals.
_ON_ARRAYS: dict[str, Callable[..., Any]] = {
    **ARITHMETIC,
    **{name: _elementwise(function) for name, function in FUNCTIONS.items()},
    "**": _elementwise(math.pow),
    "sqrt": np.sqrt,
    "floor": lambda x: np.floor(x) + 0.0,
    "ceil": lambda x: np.ceil(x) + 0.0,
    "round": lambda x: np.rint(x) + 0.0,
    "abs": np.abs,
    "min": functools.partial(_first, np.less),
    "max": functools.partial(_first, np.greater),
}


def evaluate_column(text: str, value_of: Mapping[str, Column], truth: bool = False) -> Column:
    """A formula's value at many points, as `formula.evaluate` and `formula.holds` give it.

    There is none at points where these refuse it.
    """

    def name(name: str) -> Column:
        return _finite(*(value_of[name] if name in value_of else column(CONSTANTS[name])))

    try:
        if any(name not in value_of for name in names_in(text, truth)):
            return NOWHERE
        operations = Operations(_constant, name, _applied, _compared, _joined, _not)
        with np.errstate(all="ignore"):
            return walk(parsed(text, truth), operations)
    except RecursionError:
        raise InputError(f"{text!r} is nested too deeply") from None


def _finite(values: np.ndarray, *oks: np.ndarray) -> Column:
    return Column(values, functools.reduce(np.logical_and, oks, np.isfinite(values)))


def _constant(number: int | float) -> Column:
    try:
        return _finite(np.asarray(float(number)))
    except OverflowError:
        return NOWHERE


def _applied(operation: str, *parts: Column) -> Column:
    values = _ON_ARRAYS[operation](*(part.values for part in parts))
    return _finite(values, *(part.ok for part in parts))


# A truth value needs those of its parts up to the one that decides; the others may lack theirs.
def _compared(relations: Sequence[Relation], parts: Sequence[Column]) -> Column:
    links = [
        Column(relation(one.values, other.values), one.ok & other.ok)
        for relation, one, other in zip(relations, parts, parts[1:], strict=False)
    ]
    return functools.reduce(_both, links)


def _joined(every: bool, parts: Sequence[Column]) -> Column:
    if every:
        return functools.reduce(_both, parts)
    return _not(functools.reduce(_both, map(_not, parts)))  # a or b is not (not a and not b)


def _not(one: Column) -> Column:
    return Column(np.logical_not(one.values), one.ok)


def _both(one: Column, other: Column) -> Column:
    return Column(one.values & other.values, one.ok & (~one.values | other.ok))
