"""What is happening, in one sentence, from the trajectories of SGD and SAM."""

import dataclasses
import itertools
import math
from collections.abc import Mapping

HARMFUL = 0.1  # clean test error from which overfitting is called harmful
LONG = 3.0  # one time is long before another if it is shorter by this factor


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one method came to, means over the runs.

    Attributes
    ----------
    updates : int
        Made in all.
    noise_at, signal_at : float
        Updates after which the largest coefficient of the noise, of the signal, reached one; inf if
        it did not, NaN if the data have no such coefficient.
    train_error, test_error : float
        At the end; the test error is on true labels.
    broken_at : float
        Update at which the numbers overflowed; NaN if they did not.
    """

    updates: int
    noise_at: float
    signal_at: float
    train_error: float
    test_error: float
    broken_at: float = math.nan


def reached(updates: list[float], values: list[float], level: float = 1.0) -> float:
    """The update at which a recorded course first reaches a level, linear between states.

    Inf if it does not; NaN if nothing is recorded.
    """
    known = [(at, value) for at, value in zip(updates, values, strict=True) if value == value]
    if not known:
        return math.nan
    for (before, low), (after, high) in itertools.pairwise(known):
        if low < level <= high:
            return before + (after - before) * (level - low) / (high - low)
    return known[0][0] if known[0][1] >= level else math.inf


def sentence(outcomes: Mapping[str, Outcome], names: Mapping[str, str]) -> str:
    """What each method does, and what it comes to."""
    texts = [f"{names[method]} {_told(outcome)}" for method, outcome in outcomes.items()]
    return f"{'; '.join(texts)}."


def _told(outcome: Outcome) -> str:
    if not math.isnan(outcome.broken_at):
        return f"diverges at update {outcome.broken_at:,.0f}: the learning rate is too large"
    noise, signal = outcome.noise_at, outcome.signal_at
    fits, learns = noise < math.inf, signal < math.inf  # false for NaN
    error = f"test error {outcome.test_error:.2g}"
    harmful = outcome.test_error >= HARMFUL
    if fits and learns:
        first = _order(noise, signal)
        kind = "harmful overfitting" if harmful else "benign overfitting"
        return f"{first}: {kind}, {error}"
    if fits:
        start = f"fits the noise after {_count(noise)}"
        if math.isnan(signal):
            return f"{start}: {'harmful' if harmful else 'benign'} overfitting, {error}"
        if harmful:
            late = outcome.updates > LONG * max(noise, 1.0)
            when = "long before the signal" if late else "and not yet the signal"
            return f"{start}, {when}: harmful overfitting, {error}"
        return f"{start}, but has learned enough of the signal: benign overfitting, {error}"
    if learns:
        start = f"learns the signal after {_count(signal)}"
        if math.isnan(noise):
            return f"{start}: {error}"
        return f"{start} and does not fit the noise: {error}"
    if outcome.train_error == 0.0 and not harmful:
        return f"classifies all samples, with all coefficients still below one: {error}"
    return f"has learned neither signal nor noise after {_count(outcome.updates)}: {error}"


def _order(noise: float, signal: float) -> str:
    """Which comes first, and by how much."""
    (first, soon), (last, late) = sorted(
        [("fits the noise", noise), ("learns the signal", signal)], key=lambda pair: pair[1]
    )
    other = "the signal" if last == "learns the signal" else "the noise"
    if late > LONG * max(soon, 1.0):
        return f"{first} after {_count(soon)}, long before {other} ({late:,.0f})"
    return f"{first} after {_count(soon)} and {last} after {_count(late)}"


def _count(updates: float) -> str:
    number = max(round(updates), 1) if updates > 0 else 0
    return f"{number:,} update{'' if number == 1 else 's'}"
