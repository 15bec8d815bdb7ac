"""Crossings of a level by curves on a grid: one definition for analysis, claims and figures.

Of several falls to a level the last is taken, of several rises the first. Between two values of a
grid a curve is a straight line: over the logarithm of the grid if that is spaced by a constant
factor, and over the grid itself otherwise. A field that is solved for has the same definition: see
`simdyn.theory.root_search`.
"""

from typing import NamedTuple

import numpy as np


class Crossed(NamedTuple):
    """Where curves pass a level, as steps of their grid.

    Attributes
    ----------
    step : (…) array of int
        The step from grid value `step` to `step + 1` that passes the level.
    share : (…) array
        The part of that step before the crossing, in (0, 1], on a line; NaN without crossing.
    number : (…) array of int
        Crossings of each curve.
    """

    step: np.ndarray
    share: np.ndarray
    number: np.ndarray

    def at(self, grid: np.ndarray) -> np.ndarray:
        """Values between those of the grid (K,), NaN without crossing."""
        before, after = grid[self.step], grid[self.step + 1]
        if is_geometric(grid):
            return np.asarray(before * (after / before) ** self.share)
        return np.asarray(before + self.share * (after - before))


def is_geometric(values: np.ndarray) -> bool:
    """Are these values better spaced by a constant factor than by a constant step?"""
    values = np.asarray(values, dtype=np.float64)
    if values.size < 3 or values.min() <= 0:
        return False

    def unevenness(at: np.ndarray) -> float:
        steps = np.diff(at)
        return float(np.ptp(steps) / abs(steps.mean()))

    # The tolerance allows for integers that were rounded in a geometric progression.
    return unevenness(np.log(values)) < min(0.2, unevenness(values))


def halfway_edges(values: np.ndarray, *, logarithmic: bool = False) -> np.ndarray:
    """Edges (K + 1,) of cells around increasing values (K,).

    They lie halfway between neighbours, in the logarithm if that is asked for, and as far beyond
    the first and the last. The cell of a single value reaches half of it to either side.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 1:
        half = abs(values[0]) / 2 or 0.5
        return np.array([values[0] - half, values[0] + half])
    if logarithmic:
        return np.asarray(np.exp(halfway_edges(np.log(values))))
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def crossing(curves: np.ndarray, level: float, *, rising: bool = False) -> Crossed:
    """Where curves (…, K) fall to a level, or rise to it.

    A step crosses if it begins above the level and ends at or below it; with `rising`, if it begins
    below and ends at or above. Of several falls the last is taken, of several rises the first. A
    step that begins or ends with NaN does not cross.

    Parameters
    ----------
    curves : (…, K) array
        K ≥ 2 values along a grid.
    level : float
    rising : bool

    Returns
    -------
    Crossed
    """
    before, after = curves[..., :-1], curves[..., 1:]
    if rising:
        steps = (before < level) & (after >= level)
        step = np.argmax(steps, axis=-1)
    else:
        steps = (before > level) & (after <= level)
        step = steps.shape[-1] - 1 - np.argmax(steps[..., ::-1], axis=-1)
    start, end = (np.take_along_axis(part, step[..., None], -1)[..., 0] for part in (before, after))
    number = steps.sum(axis=-1)
    share = (start - level) / np.where(number > 0, start - end, np.nan)
    return Crossed(step, share, number)
