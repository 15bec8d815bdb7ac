"""Learning rates that change during a phase: formulas of the epoch and the update.

A formula becomes a program in postfix order, which the kernel runs in every update: each step puts
a number on a stack, or takes one or two from it and puts back the result. Parts that are constant
in the phase are computed beforehand.
"""

import ast
import copy
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from simdyn.base.formula import CONSTANTS, Operations, names_in, parsed, walk
from simdyn.base.inputs import InputError, is_plain_number, nearest

FUNCTIONS = (("cosine", 0), ("step", 2), ("warmup", 1))  # with their numbers of arguments
CHANGING, TOTALS = ("epoch", "update"), ("epochs", "updates")
NAMES = (*CHANGING, *TOTALS)
ALLOWED = "a finite number > 0, or a formula of epoch and update"
MOST_NUMBERS = 64  # on the stack
MOST_CHECKED = 2**62  # updates of a phase; a plan with more is refused elsewhere
NEAR = 64  # updates at each end of a phase, and first epochs, whose rates are checked
SPREAD = 128  # rates that are checked in between

# The named schedules as formulas; only these may call `cos`.
_DEFINITIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "cosine": ((), "(1 + cos(pi*update/updates))/2"),
    "step": (("every", "factor"), "factor**floor(epoch/every)"),
    "warmup": (("length",), "min(1, (update + 1)/(length*per_epoch))"),
}
OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "min": np.minimum,
    "max": np.maximum,
    "negate": np.negative,
    "sqrt": np.sqrt,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "exp": np.exp,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "abs": np.abs,
    "cos": np.cos,
}
_TAKES_TWO = ("+", "-", "*", "/", "**", "min", "max")

Step = tuple[str, float]  # one of OPERATIONS, CHANGING or "constant", and the constant
Program = tuple[Step, ...]


def read_by(text: str) -> set[str]:
    """Names that a formula reads, those of `NAMES` among them.

    Raises
    ------
    InputError
        If the text is not a formula.
    """
    return names_in(text, more=FUNCTIONS)


def changes(text: str) -> bool:
    """Does a formula depend on the epoch, the update, or the number of updates?"""
    called = {
        node.func.id
        for node in ast.walk(parsed(text, more=FUNCTIONS))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return bool(called & dict(FUNCTIONS).keys() or read_by(text) & {*CHANGING, "updates"})


def substituted(text: str, value_of: Mapping[str, float]) -> str:
    """The formula with numbers for all names except those of `NAMES`."""
    values = {name: float(value_of[name]) for name in sorted(read_by(text) - {*NAMES})}
    if not values:
        return text

    class Put(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.Call:
            node.args = [self.visit(argument) for argument in node.args]
            return node

        def visit_Name(self, node: ast.Name) -> ast.expr:
            if node.id not in values:
                return node
            size = ast.Constant(abs(values[node.id]))
            return ast.UnaryOp(ast.USub(), size) if values[node.id] < 0 else size

    try:
        return ast.unparse(Put().visit(copy.deepcopy(parsed(text, more=FUNCTIONS))))
    except RecursionError:
        raise InputError(f"{text!r} is nested too deeply") from None


# -- formula → program ---------------------------------------------------------------------------


def _constant(value: Any) -> Program:
    try:
        return (("constant", float(value)),)
    except OverflowError:
        return (("constant", np.inf),)


def is_constant(program: Program) -> bool:
    """Is the rate the same in every update?"""
    return len(program) == 1 and program[0][0] == "constant"


def _applied(operation: str, *parts: Program) -> Program:
    """A program that ends with an operation; a constant if all its parts are."""
    if all(map(is_constant, parts)):
        return _constant(OPERATIONS[operation](*(np.float64(part[0][1]) for part in parts)))
    return (*(step for part in parts for step in part), (operation, 0.0))


def _operations(known: Mapping[str, Program]) -> Operations[Program]:
    """The operations that build a program, from the programs of known names."""

    def applied(operation: str, *parts: Program) -> Program:
        if operation in _DEFINITIONS:
            parameters, text = _DEFINITIONS[operation]
            inside = {**known, **dict(zip(parameters, parts, strict=True))}
            return walk(ast.parse(text, mode="eval").body, _operations(inside))
        if operation == "log" and len(parts) == 2:
            return _applied("/", *(_applied("log", part) for part in parts))
        if operation in _TAKES_TWO:
            return functools.reduce(lambda one, other: _applied(operation, one, other), parts)
        return _applied(operation, *parts)

    return Operations(_constant, known.__getitem__, applied)


def _stack_size(program: Program) -> int:
    """The most numbers on the stack at once."""
    most = now = 0
    for operation, _ in program:
        now += 1 if operation not in OPERATIONS else -1 if operation in _TAKES_TWO else 0
        most = max(most, now)
    return most


@functools.lru_cache(maxsize=1024)
def program_of(text: str, epochs: int, per_epoch: int) -> Program:
    """The program of a formula in a phase, given its epochs and the updates in each.

    Raises
    ------
    InputError
        If the text is not a formula, reads a name that is not of `NAMES`, or is nested too deeply.
    """
    for name in sorted(read_by(text) - {*NAMES}):
        raise InputError(f"{text!r}: no name '{name}'; {nearest(name, NAMES)}")
    known = {name: ((name, 0.0),) for name in CHANGING} | {
        name: _constant(value)
        for name, value in {
            "epochs": epochs,
            "updates": epochs * per_epoch,
            "per_epoch": per_epoch,
            **CONSTANTS,
        }.items()
    }
    try:
        with np.errstate(all="ignore"):
            program = walk(parsed(text, more=FUNCTIONS), _operations(known))
    except RecursionError:
        raise InputError(f"{text!r} is nested too deeply") from None
    if _stack_size(program) > MOST_NUMBERS:
        raise InputError(f"{text!r} is nested too deeply")
    return program


def rates(program: Program, epoch: np.ndarray, update: np.ndarray) -> np.ndarray:
    """The rate at some updates of a phase, in NumPy."""
    changing = {"epoch": np.asarray(epoch, float), "update": np.asarray(update, float)}
    stack: list[Any] = []
    with np.errstate(all="ignore"):
        for operation, constant in program:
            if operation not in OPERATIONS:
                stack.append(changing.get(operation, constant))
                continue
            count = 2 if operation in _TAKES_TWO else 1
            stack[-count:] = [OPERATIONS[operation](*stack[-count:])]
    return np.broadcast_to(stack[0], np.shape(update))


# -- allowed rates ---------------------------------------------------------------------------------


def _checked_updates(epochs: int, per_epoch: int) -> np.ndarray:
    """Updates whose rates are checked: all of a short phase, else both ends and some between."""
    last = epochs * per_epoch - 1
    ends = np.arange(min(last + 1, NEAR))
    begins = per_epoch * np.arange(min(epochs, NEAR))
    even = np.linspace(0, last, SPREAD).astype(np.int64)
    log = np.geomspace(1, last + 1, SPREAD).astype(np.int64) - 1
    found = np.unique(np.concatenate([ends, last - ends, begins, even, log]))
    return found[(found >= 0) & (found <= last)]


@functools.lru_cache(maxsize=1024)
def bad_rate(text: str, epochs: int, per_epoch: int) -> str | None:
    """What is wrong with the rates of a phase, as the rest of a message.

    Rates that change must be finite and not negative, a constant one greater than zero. In a long
    phase some hundred updates are checked: both ends, the first epochs, and others evenly and
    log-spaced between.
    """
    if not 0 < epochs * per_epoch <= MOST_CHECKED:
        return None
    program = program_of(text, epochs, per_epoch)
    update = _checked_updates(epochs, per_epoch)
    found = rates(program, update // per_epoch, update)
    if is_constant(program):
        right = 0 < found[0] < np.inf
        return None if right else f"is {found[0]:g}: allowed is a finite number > 0"
    wrong = np.flatnonzero(~((found >= 0) & np.isfinite(found)))
    if not wrong.size:
        return None
    at = wrong[0]
    return f"is {found[at]:g} at update = {update[at]}: allowed are finite rates ≥ 0"


def _rate(value: Any) -> float | str:
    """A number > 0, or a formula whose names and functions are known."""
    if isinstance(value, np.generic):
        value = value.item()
    if is_plain_number(value) and 0 < value < np.inf:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str) and (changes(value) or "epochs" in read_by(value)):
        program_of(value, 1, 1)
        return value
    raise ValueError("neither")


Rate = Annotated[float | str, BeforeValidator(_rate)]
