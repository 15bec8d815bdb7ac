"""Bad input: checks, and messages of one line with the field, the value, what is allowed."""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np

MAX_SEED = 2**63 - 1


def check_seed(seed: int) -> int:
    """A seed is an integer from 0 to 2⁶³ − 1."""
    if (
        isinstance(seed, bool)
        or not isinstance(seed, int | np.integer)
        or not 0 <= seed <= MAX_SEED
    ):
        raise InputError(f"seed = {seed!r}: allowed is an integer from 0 to 2**63 - 1")
    return int(seed)


def check_replicates(replicates: int) -> int:
    """The number of replicates is an integer from 1 to 2²⁴."""
    integer = isinstance(replicates, int | np.integer) and not isinstance(replicates, bool)
    if not integer or not 1 <= replicates <= 2**24:
        raise InputError(f"replicates = {replicates!r}: allowed is an integer from 1 to 2**24")
    return int(replicates)


class InputError(ValueError):
    """Bad input: one clear line with the field, its value and what is allowed.

    Examples
    --------
    >>> simdyn.SGD(learning_rate=-1.0, epochs=5)
    Traceback (most recent call last):
    simdyn.base.inputs.InputError: SGD.learning_rate = -1.0: allowed is a finite number > 0, ...
    """

    LONGEST = 2000  # characters of a message

    def __init__(self, message: str) -> None:
        line = " ".join(message.splitlines())
        if len(line) > self.LONGEST:  # cut in the middle: both ends explain the problem
            line = f"{line[: self.LONGEST // 2]} … {line[-self.LONGEST // 2 :]}"
        # Control characters and lone surrogates are shown as escapes.
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))


class LeftUndone(InputError):
    """A run ended with blocks that are not done; the others are in the store."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint for a misspelt name: the nearest valid one, then all of them."""
    valid = list(valid)
    known = {other.lower(): other for other in reversed(valid)}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean '{known[close[0]]}'? " if close else ""
    return f"{hint}Allowed: {', '.join(valid) or 'none'}"


def shown(value: Any, most: int = 80) -> str:
    """A value as messages show it: its repr, cut if it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def is_plain_number(value: Any) -> bool:
    """Is it an int or a float, and not a boolean?"""
    return isinstance(value, int | float) and not isinstance(value, bool)
