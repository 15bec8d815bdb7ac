"""The value of a field at which the mean over replicates of a variable crosses a level.

All runs of a replicate share its draws, whatever the field is, so that the mean over replicates is
nearly a smooth function of the field. The search has four parts:

1. a scan: `SCANNED` values spread evenly over the bracket, with at most `FEW` replicates each. Of
   several steps that cross the level, `crossing` says which one is taken;
2. Brent's method in that step with the same few replicates, which says about where the crossing
   is;
3. a short bracket around it, verified with all replicates and lengthened if need be, and Brent's
   method in it with all replicates, until the rest divided by the slope is within the tolerance;
4. the slope there, of the parabola through the value found and the ends of that bracket. Other
   values take the place of ends that are too near or too far, or from which replicates have slopes
   that differ so much that their mean says little.

So all replicates run three times, if curves are smooth over the short bracket.

The interval is that of the mean, or median, over replicates at the value found, divided by the
slope: a first-order propagation of errors, exact if curves are straight over the interval.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are loaded when they are used

from simdyn.theory.crossing import crossing
from simdyn.variables.outcomes import Outcome

SCANNED = 9
FEW = 16
COVERAGE = 0.95
# A slope is taken over about twice the interval's half width. Distances are within these limits,
# in tolerances.
NARROWEST, WIDEST = 4.0, 100.0
ROUGH = 25.0  # the same for a few replicates
ONE_SIDED = 4.0  # an end may be this much farther than the other
UNSURE = 0.2  # the standard error of a slope, in slopes, above which it is taken over a longer way
ROUGHLY = 0.2  # how exact the crossing of a few replicates is, in half widths of their interval

Run = Callable[[float, int], np.ndarray]
"""Values (R,) of the variable, less the level, of the first R replicates, at a value of the field.
NaN in a replicate that has no value."""


class Solution(NamedTuple):
    """What a search found.

    Attributes
    ----------
    outcome : Outcome
    value, low, high : float
        Where the mean crosses, and its 95 % interval; NaN if there is none.
    slope : float
        Of the mean, for a unit of the field.
    slopes : (R,) array
        Of each replicate.
    runs : int
        That the search took.
    """

    outcome: Outcome
    value: float
    low: float
    high: float
    slope: float
    slopes: np.ndarray
    runs: int


class Coordinate(NamedTuple):
    """The bracket, and the scale on which it is searched.

    Attributes
    ----------
    low, high : float
        Its ends.
    logarithmic : bool
        Is it searched in the logarithm of the field?
    """

    low: float
    high: float
    logarithmic: bool

    def of_share(self, share: float) -> float:
        """The field's value at a share of the bracket; its ends exactly."""
        if share <= 0.0:
            return self.low
        return self.high if share >= 1.0 else self.beyond(share)

    def beyond(self, share: float) -> float:
        """The field's value at a share, which may lie outside the bracket."""
        if self.logarithmic:
            return self.low * math.exp(share * self.length)
        return self.low + share * self.length

    @property
    def length(self) -> float:
        """Length of the bracket on its scale."""
        return math.log(self.high / self.low) if self.logarithmic else self.high - self.low

    def share(self, tolerance: float) -> float:
        """A tolerance as a share: it is relative, or a share already on a linear scale."""
        return tolerance / self.length if self.logarithmic else tolerance


class _NotFiniteError(Exception):
    """A mean that is not finite."""


class _Curve:
    """The mean or median over the first replicates, at shares of the bracket, worked out once."""

    def __init__(self, run: Run, coordinate: Coordinate, replicates: int, median: bool) -> None:
        self.coordinate, self.replicates, self.median = coordinate, replicates, median
        self._run, self.runs = run, 0
        self._known: dict[float, np.ndarray] = {}

    def values(self, share: float) -> np.ndarray:
        """Of each replicate."""
        share = float(share)
        if share not in self._known:
            self.runs += self.replicates
            value = self.coordinate.of_share(share)
            self._known[share] = self._run(value, self.replicates)
        return self._known[share]

    def __call__(self, share: float) -> float:
        values = self.values(share)
        return float(np.median(values) if self.median else np.mean(values))

    def finite(self, share: float) -> float:
        """The same; raises if it is not finite."""
        value = self(share)
        if not math.isfinite(value):
            raise _NotFiniteError
        return value

    def interval(self, share: float) -> tuple[float, float]:
        """The 95 % interval of the mean, by Student's t, or of the median, by order statistics."""
        values, count = self.values(share), self.replicates
        if self.median:
            k = int(scipy.stats.binom.ppf(0.5 - COVERAGE / 2, count, 0.5))
            ordered = np.sort(values)
            return (ordered[k - 1], ordered[count - k]) if k else (-math.inf, math.inf)
        mean = float(np.mean(values))
        error = float(np.std(values, ddof=1)) / math.sqrt(count)
        reach = float(scipy.special.stdtrit(count - 1, 0.5 + COVERAGE / 2)) * error
        return mean - reach, mean + reach

    def slopes(self, share: float, before: float, after: float) -> tuple[float, np.ndarray]:
        """Of the mean and of each replicate, for a unit of the share.

        By the parabola through values at the share and at two beside it, or by these two if the
        share is one of them.
        """

        def slope(start: Any, middle: Any, end: Any) -> Any:
            if not before < share < after:
                return (end - start) / (after - before)
            first, second = (middle - start) / (share - before), (end - middle) / (after - share)
            return first + (share - before) / (after - before) * (second - first)

        of_mean = slope(self(before), self(share), self(after))
        return of_mean, slope(self.values(before), self.values(share), self.values(after))

    def least_slope(self, share: float, start: float, end: float, local: float) -> float:
        """The least size of slopes about a share: one that is known and those to both ends.

        0 at an end.
        """
        if share in (start, end):
            return 0.0
        slopes = ((self(at) - self(share)) / (at - share) for at in (start, end))
        return min(abs(local), *map(abs, slopes))

    def half_width(self, share: float) -> float:
        """Of the interval."""
        low, high = self.interval(share)
        return 0.5 * (high - low)

    def root(
        self, start: float, end: float, accuracy: float, enough: Callable[[float], float]
    ) -> float:
        """Where it crosses zero, from shares on both sides.

        That is to the accuracy, or to where its size at a share is at most what is `enough` there.
        """

        def rest(share: float) -> float:
            value = self.finite(share)
            return value if abs(value) > enough(share) else 0.0

        return float(scipy.optimize.brentq(rest, start, end, xtol=accuracy, rtol=1e-12))


def find_crossing(
    run: Run, coordinate: Coordinate, replicates: int, tolerance: float, *, median: bool = False
) -> Solution:
    """Find where the mean over replicates of a variable crosses zero.

    Parameters
    ----------
    run : callable
        Values of the variable less the level, of some replicates at a value of the field.
    coordinate : Coordinate
        The bracket.
    replicates : int ≥ 2
    tolerance : float
        Of the value found: relative, or a share of a bracket that is searched on a linear scale.
    median : bool
        Take the median over replicates.
    """
    curve = _Curve(run, coordinate, replicates, median)
    few = curve if replicates <= FEW else _Curve(run, coordinate, FEW, median)
    unit = coordinate.share(tolerance)
    share, local, before, after, falling = math.nan, 0.0, 0.0, 1.0, False
    try:
        outcome, start, end, falling = _scanned(few, curve)
        if outcome.located and few is not curve:
            start, end, local = _narrowed(few, start, end, unit)
            outcome, start, end = _verified(curve, start, end, falling, outcome)
        if outcome.located:
            share = curve.root(
                start,
                end,
                0.5 * unit,
                lambda at: 0.5 * unit * curve.least_slope(at, start, end, local),
            )
            before, after = _beside(curve, share, start, end, unit)
    except _NotFiniteError:
        outcome = Outcome.NOT_FINITE
    if few is not curve:
        curve.runs += few.runs
    if not outcome.located:
        return Solution(outcome, *(math.nan,) * 4, np.full(replicates, math.nan), curve.runs)
    return _around(curve, share, before, after, falling, outcome)


def _scanned(few: _Curve, curve: _Curve) -> tuple[Outcome, float, float, bool]:
    """The step of a scan that crosses zero, as few replicates see it, or all if in doubt.

    The last number: does it fall there?
    """
    shares = np.linspace(0.0, 1.0, SCANNED)
    means = np.array(list(map(few, shares)))
    finite = np.isfinite(means)
    shares, means = shares[finite], means[finite]
    if means.size < 2:
        raise _NotFiniteError
    if _count(means) != 1:  # few replicates may miss a crossing, or see one too many
        means = np.array(list(map(curve.finite, shares)))
    count = _count(means)
    if count == 0:
        return (Outcome.ABOVE if means[0] > 0.0 else Outcome.BELOW), 0.0, 1.0, False
    found = crossing(means, 0.0)
    if not found.number:
        found = crossing(means, 0.0, rising=True)
    step = int(found.step)
    outcome = Outcome.SEVERAL if count > 1 else Outcome.FOUND
    falling = bool(means[step] > means[step + 1])
    return outcome, float(shares[step]), float(shares[step + 1]), falling


def _count(means: np.ndarray) -> int:
    """Steps that cross zero, in either direction."""
    above = means > 0.0
    return int((above[1:] != above[:-1]).sum())


def _narrowed(few: _Curve, start: float, end: float, unit: float) -> tuple[float, float, float]:
    """A short bracket in which the crossing of all replicates probably lies, and the slope there.

    The slope is 0 if it is not known.
    """
    if (few(start) > 0.0) == (few(end) > 0.0):  # only all replicates see a crossing here
        return start, end, 0.0
    share = few.root(start, end, unit, lambda share: ROUGHLY * few.half_width(share))
    half = few.half_width(share)
    slope, _ = few.slopes(share, *_about(share, ROUGH * unit))
    if not math.isfinite(slope) or slope == 0.0 or not math.isfinite(half):
        return start, end, 0.0
    share = min(max(share - few(share) / slope, start), end)
    return *_about(share, max(half / abs(slope), 2.0 * NARROWEST * unit)), slope


def _about(share: float, half: float) -> tuple[float, float]:
    """The ends of a part of the bracket."""
    return max(share - half, 0.0), min(share + half, 1.0)


def _verified(
    curve: _Curve, start: float, end: float, falling: bool, outcome: Outcome
) -> tuple[Outcome, float, float]:
    """A bracket whose ends lie on both sides of the crossing, from one that may be too short."""
    width = end - start
    while True:
        before, after = curve.finite(start), curve.finite(end)
        too_late = before != 0.0 and (before > 0.0) != falling
        too_early = after != 0.0 and (after > 0.0) == falling
        if not too_late and not too_early:
            return outcome, start, end
        if start <= 0.0 if too_late else end >= 1.0:
            return (Outcome.ABOVE if before > 0.0 else Outcome.BELOW), start, end
        width *= 2.0
        if too_late:
            start, end = max(start - width, 0.0), start
        else:
            start, end = end, min(end + width, 1.0)


def _beside(
    curve: _Curve, share: float, start: float, end: float, unit: float
) -> tuple[float, float]:
    """Two shares for the slope at the one found: those of a verified bracket, if they are fit."""
    slope = (curve(end) - curve(start)) / (end - start)
    nearer, farther = sorted((share - start, end - share))
    if NARROWEST * unit <= farther <= WIDEST * unit:
        one_sided = farther > ONE_SIDED * nearer
        before, after = _about(share, farther) if one_sided else (start, end)
    else:
        reach = curve.half_width(share) / abs(slope) if slope else math.inf
        before, after = _about(share, unit * min(max(reach / unit, NARROWEST), WIDEST))
    of_mean, each = curve.slopes(share, before, after)
    error = float(np.std(each, ddof=1)) / math.sqrt(curve.replicates)
    size = max(abs(of_mean), abs(slope))
    longer = 0.5 * (after - before) * error / (UNSURE * size) if size else math.inf
    if error > UNSURE * size:  # curves of replicates are rough: what is apart counts less
        return _about(share, max(min(longer, WIDEST * unit), 0.5 * (after - before)))
    return before, after


def _around(
    curve: _Curve, share: float, before: float, after: float, falling: bool, outcome: Outcome
) -> Solution:
    """The slope at the value found, and the interval that follows from it."""
    low, high = curve.interval(share)
    slope, slopes = curve.slopes(share, before, after)
    low_end = high_end = math.nan
    if (slope < 0.0 if falling else slope > 0.0) and math.isfinite(high - low):
        ends = (curve.coordinate.beyond(share - mean / slope) for mean in (low, high))
        low_end, high_end = sorted(ends)
    else:
        outcome = Outcome.FLAT
    value, length = curve.coordinate.of_share(share), curve.coordinate.length
    unit = length * value if curve.coordinate.logarithmic else length  # of the field, for a share
    return Solution(outcome, value, low_end, high_end, slope / unit, slopes / unit, curve.runs)
