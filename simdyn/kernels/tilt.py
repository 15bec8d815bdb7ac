"""The Gaussian that lines under a shift are drawn from, fitted to those that fail.

A line ω + tα, ω ⟂ α, towards the nearest failure (at distance r, of a set S, see `failures`) fails
with a mass of about

    Q(r) exp(−κ Σ_g [σ(z_g + x_g) − σ(z_g) − θ_g x_g]),   x_g = a_g·ω,

over the right filters g: z_g are their values at the nearest failure, θ_g the weights β_g there,
and κ = hazard(r)/‖v‖ tells how fast the mass falls. Under N(0, I) few lines meet the narrow corner
that this may be. The factors are log-concave, so expectation propagation (Minka, 2001) finds a
Gaussian N(mean, root rootᵀ) near their product with N(0, I). It is for drawing only: the
weights keep the estimate unbiased for any Gaussian.
"""

import math
from typing import NamedTuple

import numpy as np

from simdyn.kernels.compiled import borrowing, part
from simdyn.kernels.linear import dot
from simdyn.kernels.structures import Matrix, Vector

SWEEPS = 6
WORK = 100_000_000  # multiply-adds a fit may take; without a sweep lines come from N(0, I)
_ROOT_HALF = math.sqrt(0.5)
_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Tilt(NamedTuple):
    """A Gaussian to draw from."""

    mean: Vector  # (r,)
    root: Matrix  # (r, r), lower triangular
    log_volume: float  # log det root


@borrowing
def mills(x):
    """φ(x)/Φ(x): for a standard normal variable, the mean of −u given u < x."""
    if x > -5.0:
        density = math.exp(-0.5 * x * x - _LOG_ROOT_TWO_PI)
        return density / (0.5 * math.erfc(-x * _ROOT_HALF))
    rest = -x  # continued fraction of Q(−x)
    for k in range(30, 0, -1):
        rest = -x + k / rest
    return rest


@borrowing
def log_cdf(x):
    """Log Φ(x)."""
    if x > -5.0:
        return math.log(0.5 * math.erfc(-x * _ROOT_HALF))
    return -0.5 * x * x - _LOG_ROOT_TWO_PI - math.log(mills(x))


@borrowing
def tilted_moments(mean, variance, kappa, value, weight):
    """Mean and variance of x ~ N(mean, variance) times exp(−κ[σ(value + x) − weight·x])."""
    spread = math.sqrt(variance)
    # Below the kink at x = −value the exponent is left·x, above it right·x − κ·value.
    left, right = kappa * weight, kappa * (weight - 1.0)
    below, above = mean + left * variance, mean + right * variance
    edge_below, edge_above = (-value - below) / spread, (above + value) / spread
    log_below = left * mean + 0.5 * left * left * variance + log_cdf(edge_below)
    log_above = right * mean + 0.5 * right * right * variance + log_cdf(edge_above) - kappa * value
    share = 1.0 / (1.0 + math.exp(min(log_above - log_below, 700.0)))
    low, high = mills(edge_below), mills(edge_above)
    mean_below, mean_above = below - spread * low, above + spread * high
    new_mean = share * mean_below + (1.0 - share) * mean_above
    inner = share * (1.0 - low * (low + edge_below))
    inner += (1.0 - share) * (1.0 - high * (high + edge_above))
    apart = mean_above - mean_below
    return new_mean, variance * inner + share * (1.0 - share) * apart * apart


@part
def fit_tilt(arrows, right, values, weights, kappa, direction):
    """The Gaussian for the lines along `direction`; all arrays but that are by filter.

    Along `direction` itself it is N(0, 1).
    """
    filters, size = arrows.shape
    beside = arrows.copy()  # the part of each a_g across the direction
    for g in range(filters):
        along = dot(arrows[g], direction)
        for c in range(size):
            beside[g, c] -= along * direction[c]
    precision, pull = np.zeros(filters), np.zeros(filters)  # of each factor, in x_g
    mean, covariance, image = np.zeros(size), np.eye(size), np.empty(size)
    for _ in range(min(SWEEPS, WORK // (2 * filters * size * size))):
        for g in range(filters):
            square = dot(beside[g], beside[g])
            if not right[g] or square <= 1e-24 * dot(arrows[g], arrows[g]):
                continue
            for c in range(size):
                image[c] = dot(covariance[c], beside[g])
            variance, at = dot(beside[g], image), dot(beside[g], mean)
            left_over = 1.0 / variance - precision[g]
            if not left_over > 0.0:
                continue
            cavity = 1.0 / left_over
            centre = cavity * (at / variance - pull[g])
            new_mean, new_variance = tilted_moments(centre, cavity, kappa, values[g], weights[g])
            if not new_variance > 1e-12 * cavity:
                continue
            more = max(1.0 / new_variance - left_over, 0.0) - precision[g]
            more_pull = new_mean / new_variance - centre * left_over - pull[g]
            precision[g] += more
            pull[g] += more_pull
            shrink = 1.0 / (1.0 + more * variance)
            for c in range(size):
                mean[c] += (more_pull - more * at) * shrink * image[c]
                for k in range(size):
                    covariance[c, k] -= more * shrink * image[c] * image[k]
    return _rooted(mean, covariance)


@part
def _rooted(mean, covariance):
    """A `Tilt` by Cholesky; N(0, I) if rounding left nothing positive."""
    size = mean.size
    root, log_volume = np.zeros((size, size)), 0.0
    for i in range(size):
        for j in range(i + 1):
            rest = covariance[i, j] - dot(root[i, :j], root[j, :j])
            if j < i:
                root[i, j] = rest / root[j, j]
            elif rest > 1e-14:
                root[i, i] = math.sqrt(rest)
                log_volume += math.log(root[i, i])
            else:
                return Tilt(np.zeros(size), np.eye(size), 0.0)
    return Tilt(mean, root, log_volume)


@borrowing
def place(tilt, unit, sign, out):
    """Out ← mean + sign · root · unit."""
    for c in range(out.size):
        out[c] = tilt.mean[c] + sign * dot(tilt.root[c, : c + 1], unit[: c + 1])


@borrowing
def log_ratio(tilt, point, unit):
    """Log density of a tilt against N(0, I) at a point; `unit` is scratch."""
    total = -tilt.log_volume
    for c in range(point.size):
        rest = point[c] - tilt.mean[c] - dot(tilt.root[c, :c], unit[:c])
        unit[c] = rest / tilt.root[c, c]
        total += 0.5 * (point[c] * point[c] - unit[c] * unit[c])
    return total
