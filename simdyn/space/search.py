"""Where a study searches for a field at each of its points: the bracket, and the level."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from simdyn.base.formula import evaluate, names_in
from simdyn.base.inputs import InputError, nearest
from simdyn.params import Crossing
from simdyn.space.scope import Frame, LocatedError, Scope


class Search:
    """The bracket and the level of a crossing, at any point.

    Parameters
    ----------
    crossing : Crossing
    shared : Frame
        Data and network.
    readable : sequence of str
        Swept names that hold numbers, and the solved one.
    fixed, moving : collections of str
        Names of numbers that do not depend on the solved field, and those that do.

    Raises
    ------
    InputError
        If a formula reads another name, or the bracket's depends on the solved field.
    """

    def __init__(
        self,
        crossing: Crossing,
        shared: Frame,
        readable: Sequence[str],
        fixed: Collection[str],
        moving: Collection[str],
    ) -> None:
        self.crossing, self._shared = crossing, shared
        self._frame = Frame([], {}, readable, shared)
        for name, formulas, known in (
            ("between", crossing.between, fixed),
            ("level", [crossing.level], {*fixed, *moving}),
        ):
            for text in formulas:
                for used in sorted(names_in(text)) if isinstance(text, str) else ():
                    if used in known:
                        continue
                    hint = nearest(used, sorted(known))
                    if used in moving:
                        hint = (
                            f"it depends on the solved field; allowed: {', '.join(sorted(known))}"
                        )
                    raise InputError(f"solve.{name} = {text!r}: '{used}': {hint}")

    def _number(self, name: str, value: float | str, swept: Mapping[str, Any]) -> float:
        if not isinstance(value, str):
            return value
        try:
            return evaluate(value, Scope(self._frame, swept, Scope(self._shared, swept)))
        except LocatedError:
            raise
        except InputError as problem:
            raise InputError(f"solve.{name} = {problem}") from None

    def ends(self, swept: Mapping[str, Any]) -> tuple[float, float]:
        """The bracket at a point, from its swept values.

        Raises
        ------
        InputError
            If its first end is not the smaller one.
        """
        given = self.crossing.between
        low, high = (self._number("between", end, swept) for end in given)
        if not low < high:
            raise InputError(
                f"solve.between = {list(given)!r}: from {low:.6g} to {high:.6g}; allowed are two "
                "numbers or formulas, the smaller first"
            )
        return low, high

    def level(self, swept: Mapping[str, Any]) -> float:
        """The level, from swept values and the solved one."""
        return self._number("level", self.crossing.level, swept)

    @staticmethod
    def logarithmic(ends: tuple[float, float]) -> bool:
        """Is a bracket searched in the logarithm of the field?"""
        return ends[0] > 0.0

    def middle(self, swept: Mapping[str, Any]) -> float:
        """A value inside the bracket, which stands for all."""
        low, high = ends = self.ends(swept)
        return math.sqrt(low) * math.sqrt(high) if self.logarithmic(ends) else 0.5 * (low + high)
