"""Formulas over field names: parsed against a whitelist, never run as code."""

import ast
import functools
import math
import operator
import warnings
from collections.abc import Callable, Mapping

from simdyn.inputs import InputError, nearest

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
ARGUMENTS = {"log": (1, 2), "min": (2, 100), "max": (2, 100)}  # of those that take not just one
CONSTANTS = {"pi": math.pi, "e": math.e}

_BINARY: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_UNARY: dict[type, Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_MAX_LENGTH = 1000


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> ast.expr:
    if len(text) > _MAX_LENGTH:
        raise InputError(f"formula of {len(text)} characters: allowed are at most {_MAX_LENGTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
        _check(tree, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{text!r} is not a formula") from None
    return tree


def _check(node: ast.AST, text: str) -> None:
    """Refuse whatever is not a number, a name, arithmetic or a call of a known function."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return
        case ast.Name():
            return
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, text)
            _check(right, text)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            _check(operand, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            fewest, most = ARGUMENTS.get(name, (1, 1))
            if not fewest <= len(args) <= most:
                counts = f"{fewest}" if fewest == most else f"{fewest} or more"
                raise InputError(f"{text!r}: {name} takes {counts} argument(s), not {len(args)}")
            for argument in args:
                _check(argument, text)
        case ast.Call(func=ast.Name(id=name)):
            raise InputError(f"{text!r}: no function '{name}'; {nearest(name, FUNCTIONS)}")
        case _:
            raise InputError(
                f"{text!r}: allowed are numbers, field names, + - * / **, parentheses and "
                f"{', '.join(FUNCTIONS)}"
            )


def names_in(text: str) -> set[str]:
    """Names of fields that a formula reads.

    Raises
    ------
    InputError
        Where the text is not a formula.
    """
    tree = _parse(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called}
    return names - CONSTANTS.keys()


def evaluate(text: str, value_of: Mapping[str, float]) -> float:
    """The value of a formula, in double precision.

    Raises
    ------
    InputError
        Where the text is not a formula, names something unknown, or has no finite value.
    """

    def value(node: ast.AST) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                result = float(number)
            case ast.Name(id=name):
                result = float(value_of[name] if name in value_of else CONSTANTS[name])
            case ast.BinOp(left=left, op=op, right=right):
                result = _BINARY[type(op)](value(left), value(right))
            case ast.UnaryOp(op=op, operand=operand):
                result = _UNARY[type(op)](value(operand))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                result = FUNCTIONS[name](*map(value, arguments))
            case _:
                raise AssertionError("the parser lets nothing else through")
        if not math.isfinite(result):
            raise OverflowError("a part of it is not finite")
        return float(result)

    tree = _parse(text)
    for name in sorted(names_in(text)):
        if name not in value_of:
            raise InputError(f"{text!r}: no field '{name}'; {nearest(name, value_of)}")
    try:
        return value(tree)
    except RecursionError:
        raise InputError(f"{text!r} is nested too deeply") from None
    except (ArithmeticError, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{text!r} has no value: {problem}") from None
