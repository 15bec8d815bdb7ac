"""Which points of a space are wanted: those at which its `where` is true."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simdyn.base.formula import holds, names_in
from simdyn.base.inputs import InputError, nearest
from simdyn.space.columns import evaluate_column
from simdyn.space.product_grid import PointSource
from simdyn.space.scope import Columns, Frame, LocatedError, Scope

AT_ONCE = 2**16  # points whose mask is evaluated together


def location(swept: Mapping[str, Any]) -> str:
    """Values of a point, as the end of a message; empty if nothing is swept."""
    values = ", ".join(f"{name} = {value}" for name, value in swept.items())
    return f" (at {values})" if values else ""


class Mask:
    """A formula that is true at the points which are wanted; without one every point is.

    Parameters
    ----------
    where : str or None
        The formula.
    shared : Frame
        Data and network.
    readable : sequence of str
        Swept names that hold numbers.
    known : collection of str
        Every name the formula may read.

    Raises
    ------
    InputError
        If the formula is none, or reads another name.
    """

    def __init__(
        self, where: str | None, shared: Frame, readable: Sequence[str], known: set[str]
    ) -> None:
        self.where, self._shared = where, shared
        self._frame = Frame([], {}, readable, shared)
        if where is None:
            return
        try:
            used = sorted(names_in(where, truth=True))
        except InputError as problem:
            raise InputError(f"space.where = {problem}") from None
        for name in used:
            if name not in known:
                raise InputError(
                    f"space.where = {where!r}: no field '{name}'; {nearest(name, sorted(known))}"
                )

    def wanted(self, source: PointSource, index: Sequence[int]) -> bool:
        """Is the point not masked?

        Raises
        ------
        InputError
            If the formula has no value; the message says at which point.
        """
        if self.where is None:
            return True
        swept = source.swept(index)
        try:
            return holds(self.where, Scope(self._frame, swept, Scope(self._shared, swept)))
        except LocatedError as problem:
            raise InputError(f"space.where: {problem}{location(swept)}") from None
        except InputError as problem:
            raise InputError(f"space.where = {problem}{location(swept)}") from None

    def first(self, source: PointSource) -> tuple[int, ...]:
        """Index of the first point that is wanted.

        Raises
        ------
        InputError
            If there is none.
        """
        if self.where is None or not source.dims:
            if not self.wanted(source, (0,) * len(source.dims)):
                raise self._nowhere()
            return (0,) * len(source.dims)
        for start in range(0, source.size, AT_ONCE):
            flat = np.arange(start, min(start + AT_ONCE, source.size))
            along = np.unravel_index(flat, source.shape)
            at: Mapping[str, np.ndarray] = dict(zip(source.dims, along, strict=True))
            swept = source.swept_along(at)
            names = Columns(self._frame, swept, Columns(self._shared, swept))
            true, ok = evaluate_column(self.where, names, truth=True)
            for k in np.flatnonzero(np.broadcast_to(true | ~ok, flat.shape)):
                index = tuple(int(values[k]) for values in at.values())
                if self.wanted(source, index):  # raises if the formula has no value
                    return index
        raise self._nowhere()

    def _nowhere(self) -> InputError:
        return InputError(
            f"space.where = {self.where!r}: true at no point; allowed is a formula that is true at "
            "one or more"
        )
