"""From measured replicates to a verdict: intervals, bands, and the sample that would decide.

A quantity has a band of values in which the claim about it is true, declared before it is measured.
The error of the whole table is divided evenly among its quantities (Bonferroni).

The interval of an estimate θ rests on its standard error s and its skewness κ over samples. For a
mean both are those of the replicates, with the factor of small samples in κ; for any other
statistic they are taken from resamples of whole replicates (bootstrap), so that what shares a draw
stays paired. Student's t alone misses too often if replicates are skewed: their mean and standard
error go together. Hall's cubic transformation takes that out (J. R. Statist. Soc. B 54, 1992, 221):
with q the quantile of t with R − 1 degrees of freedom, the ends are

    θ − (3s/κ) [(1 + κ(±q − κ/6))^{1/3} − 1].

κ of a small sample is uncertain itself, by √6/R for a mean of R normals. The interval covers what κ
and κ plus or minus that give.

How often it misses was measured on means of independent replicates (`tests/test_claims.py`,
campaign; 20,000 samples of R = 20 and 100). Nominally 0.05: normal 0.031 and 0.046, exponential
0.032 and 0.045, lognormal (σ = 1) 0.045 and 0.059, while t alone misses 0.13 and 0.08 of the last.
Nominally 0.001: at most 0.0014 of all of these, while t misses up to 0.033. Test errors at three
times SGD's line with label noise, R = 100, nominally 0.05: 0.057, with bounds 0.012 (t 0.20).

A sample says nothing about events it does not contain. If replicates are bounded and a rare one
could dominate the mean, as a network that fails to learn dominates a test error, the interval also
reaches as far as an event could move the mean whose absence from all R replicates is not yet
unlikely: an event of probability u with (1 − u)^R = error/2. Replicates that are all on their
bounds, yes or no, have the exact interval of a share (Clopper and Pearson). Without bounds, an
interval misses at least as often as none of its replicates shows the rare event.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

FAMILY_ERROR = 0.05  # probability that any interval of a table misses its true value
RESAMPLES = 2000

HOLDS, FAILS, UNDECIDED, OUTSIDE = "holds", "fails", "undecided", "outside its regime"


def mean(values: np.ndarray) -> float:
    """Mean over replicates of one value each."""
    return float(values.mean())


@dataclasses.dataclass(frozen=True)
class Law:
    """The points of a fitted quantity, for its figure.

    Attributes
    ----------
    x_name, y_name : str
        Axis labels.
    x : (K,) array
    y, error : (K,) arrays
        Measured, with standard errors.
    predicted : (K,) array
    note : str
        Which part of the prediction is fitted.
    curve : pair of arrays, optional
        A finer line (x, y) of the prediction, for a law that is not a power.
    """

    x_name: str
    y_name: str
    x: np.ndarray
    y: np.ndarray
    error: np.ndarray
    predicted: np.ndarray
    note: str = ""
    curve: tuple[np.ndarray, np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number that a claim is about.

    Attributes
    ----------
    name : str
    values : (R, …) array
        Axis 0 holds replicates, which are resampled.
    low, high : float
        The band in which the claim is true; infinite if one-sided.
    reason : str
        Why the band is as wide as it is.
    predicted : float
        The claim's own number; if it is a bound, the bound.
    statistic : callable
        (R, …) array → number.
    bounds : pair of float, optional
        Least and greatest value a replicate can have, for a mean that a rare one could dominate.
    exact : bool
        No sampling error: the statistic is compared as it is.
    outside : str
        Why the setting is outside the claim's regime; empty if it is inside.
    small : str
        The small parameter of a leading-order law and the deviations as it goes to zero.
    law : Law, optional
    """

    name: str
    values: np.ndarray
    low: float
    high: float
    reason: str
    predicted: float
    statistic: Callable[[np.ndarray], float] = mean
    bounds: tuple[float, float] | None = None
    exact: bool = False
    outside: str = ""
    small: str = ""
    law: Law | None = None


@dataclasses.dataclass(frozen=True)
class Finding:
    """A quantity, measured and judged.

    Attributes
    ----------
    quantity : Quantity
    estimate, low, high : float
        With the interval.
    replicates : int
    verdict : str
        "holds" if the interval lies in the band, "fails" if it lies outside, "outside its regime"
        if the setting does, else "undecided".
    needed : float
        Replicates that would decide, from the interval's width going like 1/√R (with bounds, fewer
        may do); NaN if decided, infinite if the estimate lies on an edge of the band.
    """

    quantity: Quantity
    estimate: float
    low: float
    high: float
    replicates: int
    verdict: str
    needed: float


def skewness(values: np.ndarray) -> float:
    """Third central moment over the standard deviation cubed; 0 if there is no spread."""
    steps = values - values.mean()
    square = float((steps**2).mean())
    return float((steps**3).mean()) / square**1.5 if square > 0.0 else 0.0


def spread(quantity: Quantity) -> tuple[float, float, float]:
    """Standard error of the estimate, skewness of its law, and how uncertain the latter is."""
    values, count = quantity.values, len(quantity.values)
    # Moments of a sample are too small, and those of resamples too.
    lift = math.sqrt(count / (count - 1.0))
    more = math.sqrt(count * (count - 1.0)) / max(count - 2.0, 1.0)
    if quantity.statistic is mean:
        error = float(values.std()) / math.sqrt(count)
        return error * lift, more * skewness(values) / math.sqrt(count), math.sqrt(6.0) / count
    rng = np.random.default_rng(0)
    draws = np.array(
        [quantity.statistic(values[rng.integers(count, size=count)]) for _ in range(RESAMPLES)]
    )
    doubt = math.sqrt(6.0 / count**2 + 6.0 / RESAMPLES)
    with np.errstate(invalid="ignore"):  # a statistic may be infinite for some resamples
        return float(draws.std()) * lift, more * skewness(draws), doubt


def transformed(error: float, skew: float, quantile: float) -> float:
    """How far the end of an interval lies below the estimate, by Hall's transformation."""
    if abs(skew) < 1e-6:
        return error * quantile
    return error * 3.0 / skew * (math.cbrt(1.0 + skew * (quantile - skew / 6.0)) - 1.0)


def share_interval(
    upper: np.ndarray, error: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Clopper and Pearson's interval of a mean of replicates that lie on their bounds, (R,) bool.

    It misses with at most the given probability, whatever R is.
    """
    from scipy.special import betaincinv

    count, hits = upper.size, int(upper.sum())
    low = float(betaincinv(hits, count - hits + 1.0, error / 2.0)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1.0, count - hits, 1.0 - error / 2.0)) if hits < count else 1.0
    length = bounds[1] - bounds[0]
    return bounds[0] + low * length, bounds[0] + high * length


def interval(quantity: Quantity, error: float) -> tuple[float, float, float]:
    """Estimate and interval that misses with probability `error`, as nearly as the module says."""
    from scipy.special import stdtrit

    values = quantity.values
    estimate = quantity.statistic(values)
    if quantity.exact:
        return estimate, estimate, estimate
    count = len(values)
    if count < 2:
        return estimate, -math.inf, math.inf
    if quantity.bounds is not None and np.isin(values, quantity.bounds).all():
        return estimate, *share_interval(values == quantity.bounds[1], error, quantity.bounds)
    deviation, skew, doubt = spread(quantity)
    quantile = float(stdtrit(count - 1.0, 1.0 - error / 2.0))
    skews = (skew - doubt, skew, skew + doubt)
    low = min(estimate - transformed(deviation, one, quantile) for one in skews)
    high = max(estimate - transformed(deviation, one, -quantile) for one in skews)
    if quantity.bounds is not None:
        unseen = 1.0 - (error / 2.0) ** (1.0 / count)
        least, most = (estimate + unseen * (bound - estimate) for bound in quantity.bounds)
        low, high = min(low, least), max(high, most)
    return estimate, low, high


def judge(quantity: Quantity, error: float) -> Finding:
    """Estimate a quantity and compare it with its band."""
    estimate, low, high = interval(quantity, error)
    needed = math.nan
    if quantity.outside:
        verdict = OUTSIDE
    elif quantity.low <= low and high <= quantity.high:
        verdict = HOLDS
    elif high < quantity.low or low > quantity.high:
        verdict = FAILS
    else:
        verdict = UNDECIDED
        room = min(abs(estimate - edge) for edge in (quantity.low, quantity.high))
        width = max(high - estimate, estimate - low)
        known = math.isfinite(room) and math.isfinite(width)
        needed = (
            math.ceil(len(quantity.values) * (width / room) ** 2) if known and room else math.inf
        )
    return Finding(quantity, estimate, low, high, len(quantity.values), verdict, needed)


def overall(findings: Sequence[Finding]) -> str:
    """The verdict of a claim from those of its quantities."""
    verdicts = {finding.verdict for finding in findings}
    for worst in (FAILS, UNDECIDED, HOLDS):
        if worst in verdicts:
            return worst
    return OUTSIDE


def slope(x: np.ndarray) -> Callable[[np.ndarray], float]:
    """The exponent e in y ∝ x^e of the replicates' mean y, values (R, K) at x (K,)."""
    steps = np.log(x) - np.log(x).mean()
    return lambda values: float(steps @ np.log(values.mean(axis=0)) / (steps @ steps))


def with_ladder(steps: Sequence[Quantity], limit: str) -> Quantity:
    """The last of several quantities on the way to a limit, with the estimates of all of them."""
    ladder = ", ".join(f"{step.statistic(step.values):+.3g}" for step in steps)
    return dataclasses.replace(steps[-1], small=f"{limit}: {ladder}")


def line_exponent(
    name: str,
    x: Sequence[float],
    values: np.ndarray,
    line: Callable[[np.ndarray], np.ndarray],
    *,
    exponent: float,
    band: tuple[float, float],
    reason: str,
    labels: tuple[str, str],
    predicted: float | None = None,
    outside: str = "",
) -> Quantity:
    """The exponent of a line that is read off mean curves, resampled along replicates.

    Parameters
    ----------
    name : str
    x : sequence of K float
    values : (R, …) array
        Curves of all replicates.
    line : callable
        (R, …) array → (K,) array: the line's height at each x.
    exponent : float
        That of the power drawn beside the measured line, with its height fitted.
    band : pair of float
        Exponents with which the claim is true.
    reason : str
    labels : pair of str
        What x and the line are called in the figure.
    predicted : float, optional
        The claim's own exponent, if it is another.
    outside : str
    """
    at, power, rng = np.array(x, float), slope(np.array(x, float)), np.random.default_rng(0)
    again = [line(values[rng.integers(len(values), size=len(values))]) for _ in range(200)]
    measured, shape = line(values), at**exponent
    constant = np.exp(np.mean(np.log(measured / shape)))
    error = np.std(again, axis=0)
    return Quantity(
        name,
        values,
        *band,
        reason,
        exponent if predicted is None else predicted,
        lambda sample: power(line(sample)[None]),
        outside=outside,
        law=Law(*labels, at, measured, error, constant * shape, "height fitted"),
    )
