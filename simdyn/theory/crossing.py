"""Crossings of a level by curves on a grid: one definition for analysis, claims and figures."""

from typing import NamedTuple

import numpy as np


class Crossing(NamedTuple):
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

    def linear(self, grid: np.ndarray) -> np.ndarray:
        """Values between those of the grid (K,), NaN without crossing."""
        before, after = grid[self.step], grid[self.step + 1]
        return np.asarray(before + self.share * (after - before))

    def geometric(self, grid: np.ndarray) -> np.ndarray:
        """Values between those of a grid of positive numbers, linear in their logarithms."""
        before, after = grid[self.step], grid[self.step + 1]
        return np.asarray(before * (after / before) ** self.share)


def crossing(curves: np.ndarray, level: float, *, rising: bool = False) -> Crossing:
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
    Crossing
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
    return Crossing(step, share, number)
