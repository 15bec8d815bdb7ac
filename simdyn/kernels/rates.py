"""Learning rates that change: programs in postfix order, run in every update without allocation.

`simdyn.params.schedule` makes them; here each operation has the number of its place in OPERATIONS.
"""

import math

import numpy as np

from simdyn.kernels.compiled import borrowing

OPERATIONS = (
    "constant",
    "epoch",
    "update",
    "+",
    "-",
    "*",
    "/",
    "**",
    "min",
    "max",
    "negate",
    "sqrt",
    "log",
    "log2",
    "log10",
    "exp",
    "floor",
    "ceil",
    "round",
    "abs",
    "cos",
)
(
    CONSTANT,
    EPOCH,
    UPDATE,
    PLUS,
    MINUS,
    TIMES,
    OVER,
    POWER,
    LESSER,
    GREATER,
    NEGATE,
    SQRT,
    LOG,
    LOG2,
    LOG10,
    EXP,
    FLOOR,
    CEIL,
    ROUND,
    ABS,
    COS,
) = range(len(OPERATIONS))
MOST_NUMBERS = 64  # on the stack


@borrowing
def of_two(code, one, other):
    """An operation on two numbers; NaN if either is."""
    if code == PLUS:
        return one + other
    if code == MINUS:
        return one - other
    if code == TIMES:
        return one * other
    if code == OVER:
        return one / other
    if code == POWER:
        return one**other
    if math.isnan(one):
        return one
    if code == LESSER:
        return one if one <= other else other
    return one if one >= other else other


@borrowing
def of_one(code, number):
    """An operation on one number."""
    if code == NEGATE:
        return -number
    if code == SQRT:
        return math.sqrt(number)
    if code == LOG:
        return math.log(number)
    if code == LOG2:
        return math.log2(number)
    if code == LOG10:
        return math.log10(number)
    if code == EXP:
        return math.exp(number)
    if code == FLOOR:
        return np.floor(number)
    if code == CEIL:
        return np.ceil(number)
    if code == ROUND:
        return np.rint(number)
    if code == ABS:
        return abs(number)
    return math.cos(number)


@borrowing
def value_at(codes, values, start, stop, epoch, update, stack):
    """The value of the program from `start` to before `stop`; `stack` is written over."""
    top = -1
    for k in range(start, stop):
        code = codes[k]
        if code <= UPDATE:
            top += 1
            stack[top] = values[k] if code == CONSTANT else epoch if code == EPOCH else update
        elif code < NEGATE:
            top -= 1
            stack[top] = of_two(code, stack[top], stack[top + 1])
        else:
            stack[top] = of_one(code, stack[top])
    return stack[0]
