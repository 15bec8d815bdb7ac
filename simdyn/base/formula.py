"""Formulas over field names: parsed against a whitelist, never run as code.

A text is checked once and becomes a closure for each of its parts. There are two kinds: a number,
which fields take, and a truth value, which is a comparison of numbers, or several joined with
`and`, `or` and `not`. Comparisons take numbers that agree to twelve digits for equal ones.
"""

import ast
import functools
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from simdyn.base import decimals
from simdyn.base.inputs import InputError, nearest

Values = Mapping[str, float]

FUNCTIONS: dict[str, Callable[..., float]] = {
    "sqrt": math.sqrt,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "exp": math.exp,
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "round": lambda x: float(round(x)),
    "abs": abs,
    "min": min,
    "max": max,
}
ARGUMENTS = dict.fromkeys(FUNCTIONS, (1, 1)) | {"log": (1, 2), "min": (2, 100), "max": (2, 100)}
Arities = tuple[tuple[str, int], ...]  # further functions, and how many arguments each takes
CONSTANTS = {"pi": math.pi, "e": math.e}

BINARY: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
UNARY: dict[type, Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
# Numbers that only rounding keeps apart are equal, on arrays too: see `simdyn.base.decimals`.
COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: decimals.less,
    ast.LtE: decimals.less_or_equal,
    ast.Gt: lambda one, other: decimals.less(other, one),
    ast.GtE: lambda one, other: decimals.less_or_equal(other, one),
    ast.Eq: decimals.equal,
    ast.NotEq: decimals.differ,
}
_MAX_LENGTH = 1000


@functools.lru_cache(maxsize=1024)
def parsed(text: str, truth: bool = False, more: Arities = ()) -> ast.expr:
    """The tree of a formula, of a truth value if one is wanted; `more` functions may be called.

    Raises
    ------
    InputError
        Where the text is not such a formula.
    """
    if len(text) > _MAX_LENGTH:
        raise InputError(f"formula of {len(text)} characters: allowed are at most {_MAX_LENGTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
        if truth:
            _check_truth(tree, text)
        else:
            _check(tree, text, ARGUMENTS | {name: (count, count) for name, count in more})
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{text!r} is not a formula") from None
    return tree


def _check(node: ast.AST, text: str, known: Mapping[str, tuple[int, int]] = ARGUMENTS) -> None:
    """Refuse whatever is not a number, a name, arithmetic or a call of a known function."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return
        case ast.Name():
            return
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            _check(left, text, known)
            _check(right, text, known)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
            _check(operand, text, known)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in known:
            fewest, most = known[name]
            if not fewest <= len(args) <= most:
                counts = f"{fewest}" if fewest == most else f"{fewest} or more"
                raise InputError(f"{text!r}: {name} takes {counts} argument(s), not {len(args)}")
            for argument in args:
                _check(argument, text, known)
        case ast.Call(func=ast.Name(id=name)) if name in known:
            raise InputError(f"{text!r}: {name} takes its arguments without names")
        case ast.Call(func=ast.Name(id=name)):
            raise InputError(f"{text!r}: no function '{name}'; {nearest(name, known)}")
        case _:
            raise InputError(
                f"{text!r}: allowed are numbers, field names, + - * / **, parentheses and "
                f"{', '.join(known)}"
            )


def _check_truth(node: ast.AST, text: str) -> None:
    """Refuse whatever is not a comparison of numbers, or several of them joined."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others) if all(
            type(op) in COMPARISONS for op in ops
        ):
            for part in (left, *others):
                _check(part, text)
        case ast.BoolOp(values=parts):
            for part in parts:
                _check_truth(part, text)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check_truth(operand, text)
        case _:
            raise InputError(
                f"{text!r}: allowed are comparisons of formulas, < <= > >= == !=, joined with and, "
                "or, not"
            )


def names_in(text: str, truth: bool = False, more: Arities = ()) -> set[str]:
    """Names of fields that a formula reads.

    Raises
    ------
    InputError
        Where the text is not a formula.
    """
    tree = parsed(text, truth, more)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called}
    return names - CONSTANTS.keys()


def _finite(result: float) -> float:
    if not math.isfinite(result):
        raise OverflowError("a part of it is not finite")
    return float(result)


def _number(node: ast.AST) -> Callable[[Values], float]:
    """A closure for the value of a number's tree."""
    match node:
        case ast.Constant(value=int() | float() as number):
            try:
                constant = _finite(float(number))
            except OverflowError:  # told where it is evaluated, like any other overflow
                return lambda values: _finite(float(number))
            return lambda values: constant
        case ast.Name(id=name) if name in CONSTANTS:
            return lambda values: _finite(
                float(values[name] if name in values else CONSTANTS[name])
            )
        case ast.Name(id=name):
            return lambda values: _finite(float(values[name]))
        case ast.BinOp(left=left, op=op, right=right):
            act, one, other = BINARY[type(op)], _number(left), _number(right)
            return lambda values: _finite(act(one(values), other(values)))
        case ast.UnaryOp(op=op, operand=operand):
            turn, inner = UNARY[type(op)], _number(operand)
            return lambda values: _finite(turn(inner(values)))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            call, inner = FUNCTIONS[name], _number(argument)
            return lambda values: _finite(call(inner(values)))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            call, parts = FUNCTIONS[name], [_number(argument) for argument in arguments]
            return lambda values: _finite(call(*[part(values) for part in parts]))
        case _:
            raise AssertionError("the parser lets nothing else through")


def _truth(node: ast.AST) -> Callable[[Values], bool]:
    """A closure for the value of a truth value's tree; like Python's, it stops when it knows."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            first, rest = _number(left), [_number(other) for other in others]
            links = list(zip([COMPARISONS[type(op)] for op in ops], rest, strict=True))

            def chain(values: Values) -> bool:
                before = first(values)
                for holds_between, part in links:
                    after = part(values)
                    if not holds_between(before, after):
                        return False
                    before = after
                return True

            return chain
        case ast.BoolOp(op=ast.And(), values=parts):
            every = [_truth(part) for part in parts]
            return lambda values: all(part(values) for part in every)
        case ast.BoolOp(values=parts):
            some = [_truth(part) for part in parts]
            return lambda values: any(part(values) for part in some)
        case ast.UnaryOp(operand=operand):
            inner = _truth(operand)
            return lambda values: not inner(values)
        case _:
            raise AssertionError("the parser lets nothing else through")


class _Compiled(NamedTuple):
    names: tuple[str, ...]  # sorted
    value: Callable[[Values], Any]


@functools.lru_cache(maxsize=1024)
def _compiled(text: str, truth: bool) -> _Compiled:
    tree = parsed(text, truth)
    return _Compiled(tuple(sorted(names_in(text, truth))), (_truth if truth else _number)(tree))


def evaluate(text: str, value_of: Values) -> float:
    """The value of a formula, in double precision.

    Raises
    ------
    InputError
        Where the text is not a formula, names something unknown, or has no finite value.
    """
    return float(_value(text, value_of, truth=False))


def holds(text: str, value_of: Values) -> bool:
    """The value of a formula that is true or false.

    Raises
    ------
    InputError
        Where the text is not such a formula, names something unknown, or a number it compares has
        no finite value.
    """
    return bool(_value(text, value_of, truth=True))


def _value(text: str, value_of: Values, truth: bool) -> Any:
    try:
        names, value = _compiled(text, truth)
        for name in names:
            if name not in value_of:
                raise InputError(f"{text!r}: no field '{name}'; {nearest(name, value_of)}")
        return value(value_of)
    except RecursionError:
        raise InputError(f"{text!r} is nested too deeply") from None
    except (ArithmeticError, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{text!r} has no value: {problem}") from None
