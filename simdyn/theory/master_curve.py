"""Curves against a master curve: how well they fall on one after a shift, and the best shift.

The objective of Kawashima and Ito, J. Phys. Soc. Jpn. 62, 435 (1993), as in Houdayer and Hartmann,
Phys. Rev. B 70, 014418 (2004), equations 2 to 4. A curve c has means y at u = ln x, and all curves
have the same u. Shifted by s_c = Σ a_k ln z_ck they are

    S(a) = mean over points of (y − Y)² / (dy² + dY²),

where Y and dY are the value and the error of the straight line, weighted by 1/dy², through the two
neighbours of the point on every other curve that has one on each side.
"""

import itertools
from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded when they are used

LEAST_SHARE = 0.5  # of the points of a curve that must lie within another to tie it to that
LEAST_ERROR = 1e-3  # of the range of the means: smaller standard errors count as this
SCANNED = {1: 401, 2: 41, 3: 15}  # values at most of each of so many exponents
STARTS = 5  # best of the scan, from which the search goes on
PRECISION = 0.01  # of a resample's exponents, in steps
FAR = 1e12  # of an objective where too few points can be compared


class Means(NamedTuple):
    """Means over replicates and what a weighted fit needs of them, each (C, X).

    Attributes
    ----------
    mean, weight, product : (C, X) array
        Means, 1/dy², and the product of the two; zero where there is no mean.
    """

    mean: np.ndarray
    weight: np.ndarray
    product: np.ndarray


class Master(NamedTuple):
    """The master curve at every point (N,) that is used, and its variance; NaN for none."""

    value: np.ndarray
    variance: np.ndarray


def means_of(values: np.ndarray, floor: float) -> Means:
    """Means of values (C, X, R), with errors of at least `floor`; none of fewer than two values."""
    finite = np.isfinite(values)
    count = finite.sum(axis=-1)
    known, count = count > 1, np.maximum(count, 2)
    filled = np.where(finite, values, 0.0)
    mean = filled.sum(axis=-1) / count
    squares = np.where(finite, (filled - mean[..., None]) ** 2, 0.0).sum(axis=-1)
    variance = np.maximum(squares / (count - 1) / count, floor**2)
    mean, weight = np.where(known, mean, 0.0), known / variance
    return Means(mean, weight, weight * mean)


class Curves:
    """Curves over the same logarithms of x, and which of their points are compared.

    Parameters
    ----------
    u : (X,) array
        Increasing logarithms of x.
    z : (C, K) array
        Logarithms of what the curves are told apart by, about their mean.
    used : (C, X) array of bool
        Points that are compared; the others are used for the master curve only.
    """

    def __init__(self, u: np.ndarray, z: np.ndarray, used: np.ndarray) -> None:
        self.u, self.z = u, z
        self.curve, self.place = np.nonzero(used)
        self._others = self.curve[:, None] != np.arange(len(z))  # (N, C)
        self._first = u.size * np.arange(len(z))
        self._flat = self.curve * u.size + self.place
        there, self._begin, count = np.unique(self.curve, return_index=True, return_counts=True)
        self._of, self._there = count[:, None], there
        # The usual step of u, and changes of the exponents that move the outer curves by one.
        self.spacing = float(np.median(np.diff(u)))
        self.steps = self.spacing / np.ptp(z, axis=0)
        # Beyond these exponents neighbouring curves have no x in common.
        self.bounds = np.ptp(u) / [np.diff(np.unique(column)).max() for column in z.T]

    def at_used(self, array: np.ndarray) -> np.ndarray:
        """What an array (C, X) holds at the points (N,) that are used."""
        return np.asarray(array.take(self._flat))

    def master(self, exponents: np.ndarray, means: Means) -> Master:
        """The master curve at every point that is used, from the other curves."""
        return self._master(exponents, means)[0]

    def _master(self, exponents: np.ndarray, means: Means) -> tuple[Master, np.ndarray]:
        """The master curve, and whether points lie within each curve (N, C)."""
        shift = self.z @ exponents
        at = (self.u[self.place] - shift[self.curve])[:, None] + shift  # (N, C)
        left = np.searchsorted(self.u, at, side="right") - 1
        last = self.u.size - 2
        left[at == self.u[-1]] = last
        inside = self._others & (left >= 0) & (left <= last)
        left = np.minimum(np.maximum(left, 0), last)
        near = left + self._first  # places in arrays (C, X) that are laid out flat
        w0, w1 = means.weight.take(near), means.weight.take(near + 1)
        inside &= (w0 > 0.0) & (w1 > 0.0)
        w0, w1 = w0 * inside, w1 * inside
        p0, p1 = means.product.take(near) * inside, means.product.take(near + 1) * inside
        t0, t1 = self.u.take(left) - at, self.u.take(left + 1) - at  # places from the point
        k, ky = (w0 + w1).sum(axis=1), (p0 + p1).sum(axis=1)
        kt, kty = (w0 * t0 + w1 * t1).sum(axis=1), (p0 * t0 + p1 * t1).sum(axis=1)
        ktt = (w0 * t0**2 + w1 * t1**2).sum(axis=1)
        determinant = k * ktt - kt**2
        determinant[~inside.any(axis=1)] = np.nan
        return Master((ktt * ky - kt * kty) / determinant, ktt / determinant), inside

    def _overlap(self, inside: np.ndarray) -> float:
        """The share of the curves that are tied together, directly or through others."""
        tied = np.add.reduceat(inside[:, self._there], self._begin, axis=0, dtype=np.float64)
        tied = tied >= LEAST_SHARE * self._of
        tied |= tied.T
        reached = tied[0]
        reached[0] = True
        for _ in range(len(tied) - 2):
            if reached.all():
                return 1.0
            reached = reached | tied[reached].any(axis=0)
        return float(reached.mean())

    def compared(self, master: Master, means: Means) -> np.ndarray:
        """Points (N,) that have a mean and lie between points of another curve."""
        there: np.ndarray = np.isfinite(master.value) & (self.at_used(means.weight) > 0.0)
        return there

    def quality(self, exponents: np.ndarray, means: Means) -> float:
        """S, or a number ≥ FAR where curves share too little."""
        beyond = float((np.abs(exponents) / self.bounds).max())
        if beyond > 1.0:
            return FAR * (1.0 + beyond)
        master, inside = self._master(exponents, means)
        if (overlap := self._overlap(inside)) < 1.0:
            return FAR * (2.0 - overlap)
        compared = self.compared(master, means)
        away = (self.at_used(means.mean) - master.value) ** 2
        squares = away / (1.0 / self.at_used(means.weight) + master.variance)
        return float(squares[compared].mean())

    def refined(self, start: np.ndarray, means: Means, precision: float) -> np.ndarray:
        """The exponents of least S by the simplex of Nelder and Mead, to a share of a step."""
        simplex = np.vstack([start, start + np.diag(0.5 * self.steps)])
        found = scipy.optimize.minimize(
            lambda scaled: self.quality(scaled * self.steps, means),
            start / self.steps,
            method="Nelder-Mead",
            options={"initial_simplex": simplex / self.steps, "xatol": precision, "fatol": np.inf},
        )
        return np.asarray(found.x * self.steps)

    def best(self, means: Means) -> np.ndarray:
        """The exponents (K,) of least S: a scan of all plausible ones, then a search from the best.

        NaN if curves have too little in common anywhere.
        """
        most = SCANNED[self.z.shape[1]]
        axes = []
        for bound, step in zip(self.bounds, self.steps, strict=True):
            half = min(int(np.ceil(bound / step)), most // 2)
            axes.append(bound * np.arange(-half, half + 1) / half)  # zero among them
        scan = np.array(list(itertools.product(*axes)))
        found = np.array([self.quality(point, means) for point in scan])
        if found.min() >= FAR:
            return np.full(self.z.shape[1], np.nan)
        starts = scan[np.argsort(found)[:STARTS]]
        ends = [self.refined(start, means, 1e-4) for start in starts]
        return min(ends, key=lambda end: self.quality(end, means))

    def smooth(self, exponents: np.ndarray, means: Means) -> np.ndarray:
        """One smooth curve through all shifted points, at each of them (C, X).

        Straight lines with a Gaussian weight as wide as the step of u, level at a point alone.
        """
        known = means.weight > 0.0
        at = self.u[None, :] - (self.z @ exponents)[:, None]
        where, y = at[known], means.mean[known]
        away = where[None, :] - at.reshape(-1)[:, None]  # (all, known)
        weight = np.exp(-0.5 * (away / self.spacing) ** 2)
        k, kt, ktt = weight.sum(1), (weight * away).sum(1), (weight * away**2).sum(1)
        ky, kty = weight @ y, (weight * away) @ y
        spread = k * ktt - kt**2
        alone = spread < 1e-6 * (k * self.spacing) ** 2
        spread[alone], k[k == 0.0] = 1.0, 1.0
        line = np.where(alone, ky / k, (ktt * ky - kt * kty) / spread)
        return np.asarray(line.reshape(at.shape))


class Fit(NamedTuple):
    """What a fit of curves gives.

    Attributes
    ----------
    exponents : (1 + B, K) array
        Of all replicates, then of each resample.
    quality, quality_before : float
        S at the exponents, and without any.
    deviation : float
        Root of the mean square distance from the master curve.
    p_value : float
    points : int
        That were compared.
    """

    exponents: np.ndarray
    quality: float
    quality_before: float
    deviation: float
    p_value: float
    points: int


def fit(curves: Curves, values: np.ndarray, chosen: np.ndarray, floor: float) -> Fit:
    """Fit curves, and resamples of their replicates.

    The p-value is from resamples of a world in which the curves do collapse: the smooth curve at
    the fitted exponents, plus the deviations of resampled replicates.

    Parameters
    ----------
    curves : Curves
    values : (C, X, R) array
        NaN for runs that are left out.
    chosen : (B, R) array of int
        Replicates of each resample.
    floor : float > 0
        Least standard error.
    """
    means = means_of(values, floor)
    best = curves.best(means)
    count = len(chosen)
    if np.isnan(best).any():
        lost = np.full((1 + count, best.size), np.nan)
        return Fit(lost, np.nan, np.nan, np.nan, np.nan, 0)
    quality = curves.quality(best, means)
    master = curves.master(best, means)
    compared = curves.compared(master, means)
    away = (curves.at_used(means.mean) - master.value)[compared]
    # Deviations of R replicates from their mean spread as if there were R − 1.
    runs = np.maximum(np.isfinite(values).sum(axis=-1), 2)
    apart = (values - means.mean[..., None]) * np.sqrt(runs / (runs - 1.0))[..., None]
    under = curves.smooth(best, means)[..., None] + apart
    exponents, at_least = [best], 0
    for rows in chosen:
        drawn = means_of(values[..., rows], floor)
        exponents.append(curves.refined(best, drawn, PRECISION))
        null = means_of(under[..., rows], floor)
        at_least += curves.quality(curves.refined(best, null, PRECISION), null) >= quality
    return Fit(
        np.array(exponents),
        quality,
        curves.quality(np.zeros_like(best), means),
        float(np.sqrt(np.mean(away**2))),
        (1.0 + at_least) / (1.0 + count),
        int(compared.sum()),
    )
