"""Formulas over field names: parsed against a whitelist, never run as code.

A text is checked once. `walk` then turns its tree into something else, as `Operations` say; here
into closures that give the value at one point. There are two kinds of formula: a number, and a
truth value, which is a comparison of numbers, or several joined with `and`, `or` and `not`. Numbers
that agree to twelve digits compare as equal.
"""

import ast
import functools
import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from simdyn.base import decimals
from simdyn.base.inputs import InputError, nearest

T = TypeVar("T")
Values = Mapping[str, float]
Relation = Callable[[Any, Any], Any]
Closure = Callable[[Values], Any]

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

BINARY: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": math.pow,
    "negate": operator.neg,
}
# With the tolerance of `simdyn.base.decimals`, for arrays too.
COMPARISONS: dict[type, Relation] = {
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
    """The tree of a formula, which is a truth value if `truth`, and may call `more` functions.

    Raises
    ------
    InputError
        If the text is not such a formula.
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
    """Allow only numbers, names, arithmetic and calls of known functions."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return
        case ast.Name():
            return
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            _check(left, text, known)
            _check(right, text, known)
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
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
    """Allow only comparisons of numbers, and several of them joined."""
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
        If the text is not a formula.
    """
    tree = parsed(text, truth, more)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called}
    return names - CONSTANTS.keys()


def _finite(result: float) -> float:
    if not math.isfinite(result):
        raise OverflowError("a part of it is not finite")
    return float(result)


def _number_only(*parts: Any) -> Any:
    raise AssertionError("the parser lets no truth value through")


class Operations(NamedTuple, Generic[T]):
    """What each part of a formula becomes, from what its own parts became.

    Attributes
    ----------
    constant : callable
        Of a number, which may be an integer beyond the range of a double.
    name : callable
        Of the name of a field or a constant.
    applied : callable
        Of an operation and its parts: one of `ARITHMETIC` or a function, by name.
    compared : callable
        Of k relations and the k + 1 parts that they compare.
    joined : callable
        Of a flag, true for `and` and false for `or`, and the parts.
    negated : callable
        Of one part.
    """

    constant: Callable[[int | float], T]
    name: Callable[[str], T]
    applied: Callable[..., T]
    compared: Callable[[Sequence[Relation], Sequence[T]], T] = _number_only
    joined: Callable[[bool, Sequence[T]], T] = _number_only
    negated: Callable[[T], T] = _number_only


def walk(node: ast.AST, to: Operations[T]) -> T:
    """Turn a tree of `parsed` into something else."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return to.constant(number)
        case ast.Name(id=name):
            return to.name(name)
        case ast.BinOp(left=left, op=op, right=right):
            return to.applied(BINARY[type(op)], walk(left, to), walk(right, to))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return walk(operand, to)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return to.applied("negate", walk(operand, to))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return to.negated(walk(operand, to))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return to.applied(name, *[walk(argument, to) for argument in arguments])
        case ast.Compare(left=left, ops=ops, comparators=others):
            relations = [COMPARISONS[type(op)] for op in ops]
            return to.compared(relations, [walk(part, to) for part in (left, *others)])
        case ast.BoolOp(op=op, values=parts):
            return to.joined(isinstance(op, ast.And), [walk(part, to) for part in parts])
        case _:
            raise AssertionError("the parser lets nothing else through")


def _constant(number: int | float) -> Closure:
    try:
        constant = _finite(float(number))
    except OverflowError:  # raised when it is evaluated, like any other overflow
        return lambda values: _finite(float(number))
    return lambda values: constant


def _name(name: str) -> Closure:
    if name in CONSTANTS:
        return lambda values: _finite(float(values[name] if name in values else CONSTANTS[name]))
    return lambda values: _finite(float(values[name]))


def _applied(operation: str, *parts: Closure) -> Closure:
    act = (ARITHMETIC | FUNCTIONS)[operation]
    match parts:
        case (one,):
            return lambda values: _finite(act(one(values)))
        case (one, other):
            return lambda values: _finite(act(one(values), other(values)))
    return lambda values: _finite(act(*[part(values) for part in parts]))


def _compared(relations: Sequence[Relation], parts: Sequence[Closure]) -> Closure:
    first, *rest = parts
    links = list(zip(relations, rest, strict=True))

    def chain(values: Values) -> bool:
        before = first(values)
        for holds_between, part in links:
            after = part(values)
            if not holds_between(before, after):
                return False
            before = after
        return True

    return chain


def _joined(every: bool, parts: Sequence[Closure]) -> Closure:
    decide = all if every else any
    return lambda values: decide(part(values) for part in parts)


def _negated(part: Closure) -> Closure:
    return lambda values: not part(values)


# As in Python, a truth value is evaluated only until it is decided.
_AT_ONE_POINT = Operations(_constant, _name, _applied, _compared, _joined, _negated)


class _Compiled(NamedTuple):
    names: tuple[str, ...]  # sorted
    value: Closure


@functools.lru_cache(maxsize=1024)
def _compiled(text: str, truth: bool) -> _Compiled:
    tree = parsed(text, truth)
    return _Compiled(tuple(sorted(names_in(text, truth))), walk(tree, _AT_ONE_POINT))


def evaluate(text: str, value_of: Values) -> float:
    """The value of a formula, in double precision.

    Raises
    ------
    InputError
        If the text is not a formula, names something unknown, or has no finite value.
    """
    return float(_value(text, value_of, truth=False))


def holds(text: str, value_of: Values) -> bool:
    """The value of a formula that is true or false.

    Raises
    ------
    InputError
        If the text is not such a formula, names something unknown, or a number it compares has
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
