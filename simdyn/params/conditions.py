"""Conditions that end a phase, such as "train_loss < 0.01"."""

import math
import re
from typing import Any, NamedTuple

from simdyn.base.inputs import InputError, nearest, shown
from simdyn.kernels.codes import GOALS

GOAL_EXAMPLE = "train_loss < 0.01"


class Goal(NamedTuple):
    """A quantity and the bound it has to pass."""

    quantity: str
    below: bool
    bound: float


def goal_of(text: Any) -> Goal:
    """The condition that a text states.

    Raises
    ------
    InputError
        If it states none.
    """
    is_text = isinstance(text, str)
    found = re.fullmatch(r"\s*(\w+)\s*([<>])\s*(\S+)\s*", text) if is_text else None
    try:
        name, sign, number = found.groups() if found else ("", "", "")
        bound = float(number)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise InputError(f"{shown(text)}: allowed is a name, < or >, and a number: {GOAL_EXAMPLE}")
    if name not in GOALS:
        raise InputError(f"{shown(text)}: {nearest(name, GOALS)}")
    return Goal(name, sign == "<", bound)
