"""Formulas over many points at once, with the same bits as point by point.

Plain arithmetic, roots and rounding are exact to the bit in NumPy as in Python. Logarithms,
exponentials and powers are those of `math`, element by element, for NumPy has others.
"""

import ast
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from simdyn.base.formula import BINARY, COMPARISONS, CONSTANTS, FUNCTIONS, names_in, parsed
from simdyn.base.inputs import InputError


class Column(NamedTuple):
    """Values over some points; what stands where there is none means nothing."""

    values: np.ndarray
    ok: np.ndarray  # where there is a value


def column(values: Any) -> Column:
    """Values that are there everywhere."""
    return Column(np.asarray(values), np.asarray(True))


NOWHERE = Column(np.asarray(math.nan), np.asarray(False))


def _elementwise(function: Callable[..., float]) -> Callable[..., np.ndarray]:
    """A scalar function on arrays; NaN where it has no value."""

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


# Python's integers have no −0.0, hence + 0.0; and its min and max keep the first of equals.
_FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    name: _elementwise(function) for name, function in FUNCTIONS.items()
} | {
    "sqrt": np.sqrt,
    "floor": lambda x: np.floor(x) + 0.0,
    "ceil": lambda x: np.ceil(x) + 0.0,
    "round": lambda x: np.rint(x) + 0.0,
    "abs": np.abs,
    "min": functools.partial(_first, np.less),
    "max": functools.partial(_first, np.greater),
}
_BINARY: dict[type, Callable[..., np.ndarray]] = {
    **BINARY,  # type: ignore[dict-item]
    ast.Pow: _elementwise(math.pow),
}


def evaluate_column(text: str, value_of: Mapping[str, Column], truth: bool = False) -> Column:
    """A formula's value at many points, as `formula.evaluate` and `formula.holds` give it.

    There is none at points where these refuse it.
    """
    try:
        if any(name not in value_of for name in names_in(text, truth)):
            return NOWHERE
        with np.errstate(all="ignore"):
            return (_truth if truth else _number)(parsed(text, truth), value_of)
    except RecursionError:
        raise InputError(f"{text!r} is nested too deeply") from None


def _number(node: ast.AST, value_of: Mapping[str, Column]) -> Column:
    ok = np.asarray(True)
    match node:
        case ast.Constant(value=int() | float() as number):
            try:
                values = np.asarray(float(number))
            except OverflowError:
                values = np.asarray(math.inf)
        case ast.Name(id=name):
            values, ok = value_of[name] if name in value_of else column(CONSTANTS[name])
        case ast.BinOp(left=left, op=op, right=right):
            one, other = _number(left, value_of), _number(right, value_of)
            values, ok = _BINARY[type(op)](one.values, other.values), one.ok & other.ok
        case ast.UnaryOp(op=op, operand=operand):
            values, ok = _number(operand, value_of)
            values = np.negative(values) if isinstance(op, ast.USub) else values
        case ast.Call(func=ast.Name(id=name), args=arguments):
            parts = [_number(argument, value_of) for argument in arguments]
            values = _FUNCTIONS[name](*(part.values for part in parts))
            for part in parts:
                ok = ok & part.ok
        case _:
            raise AssertionError("the parser lets nothing else through")
    return Column(values, ok & np.isfinite(values))


def _truth(node: ast.AST, value_of: Mapping[str, Column]) -> Column:
    """Parts after the one that decides are not looked at, so they may lack a value."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            before = _number(left, value_of)
            so_far: Column | None = None
            for op, other in zip(ops, others, strict=True):
                after = _number(other, value_of)
                link = Column(
                    COMPARISONS[type(op)](before.values, after.values), before.ok & after.ok
                )
                so_far = link if so_far is None else _both(so_far, link)
                before = after
            assert so_far is not None
            return so_far
        case ast.BoolOp(op=op, values=parts):
            found = _truth(parts[0], value_of)
            for part in parts[1:]:
                more = _truth(part, value_of)
                if isinstance(op, ast.And):
                    found = _both(found, more)
                else:  # a or b is not (not a and not b)
                    found = _not(_both(_not(found), _not(more)))
            return found
        case ast.UnaryOp(operand=operand):
            return _not(_truth(operand, value_of))
        case _:
            raise AssertionError("the parser lets nothing else through")


def _not(one: Column) -> Column:
    return Column(np.logical_not(one.values), one.ok)


def _both(one: Column, other: Column) -> Column:
    return Column(one.values & other.values, one.ok & (~one.values | other.ok))
