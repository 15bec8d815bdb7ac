"""Test error for a fresh sample, exact but for a few random draws.

For fresh noise, z = W ξ is Gaussian: z = M u with u standard normal and M Mᵀ = σ_p² W Wᵀ. Given
the true label ŷ, the network errs if

    φ(u) = s_ŷ + ŷ g(M u) < 0,   s_ŷ = ŷ f(ŷμ),   g(z) = ((P−1)/m) Σ_{j,r} j σ(z_{j,r}),

and half-errs if φ = 0. Several independent noise vectors have a block of M each. If signals
are added to the noise, φ(u) = ŷ g(a_ŷ + M u), a_ŷ being the filters' overlaps with them. Three
estimators of the mean over both ŷ:

- line: along lines towards the nearest failures, see `line_estimate`.
- counted: fresh points.
- radial: along each ray the failing set is a half-line, of mass Q(r/2, (s/|g|)²/2).

What is exact is the mass of a line. The mean over lines is an estimate, and its standard error is
of the lines that were drawn: what none of them met is not in it. `unseen_error` adds what n lines
miss on average over settings; if one line in hundreds carries much of the error, it is still too
small. The effective sample size does not show that: it is of the lines that were drawn.
"""

import math
from typing import NamedTuple

import numpy as np

from simdyn.kernels import random
from simdyn.kernels.activations import Model, activate
from simdyn.kernels.compiled import Pointed, borrowing, borrowing_pointed, stopped
from simdyn.kernels.linear import apply_lower, normalise
from simdyn.kernels.structures import Indices, Matrix, Vector

POLL = 256  # draws between two looks at the stop flag
LEAST = 0.1  # of the mean: the least by which a line unseen may differ from it


class Margin(NamedTuple):
    """φ of a network: the true label times the output on a fresh sample, by its noise u."""

    model: Model
    factor: Matrix  # M, lower triangular, (2m, r)
    slopes: Vector  # j (P−1)/m of each filter, (2m,)
    offsets: Vector  # s_ŷ for ŷ = +1 and −1, (2,)
    shifts: Matrix  # a_ŷ for both if signals are added to the noise, (2, 2m); else (2, 0)


@borrowing
def summarise(values):
    """Mean, its standard error and the effective sample size (ΣX)²/ΣX², safe against underflow."""
    n, largest = values.size, 0.0
    for i in range(n):
        largest = max(largest, abs(values[i]))
    if largest == 0.0:
        return 0.0, (0.0 if n > 1 else math.inf), 0.0
    total, squares = 0.0, 0.0
    for i in range(n):
        total += values[i] / largest
        squares += (values[i] / largest) * (values[i] / largest)
    mean, spread = total / n, 0.0
    for i in range(n):
        spread += (values[i] / largest - mean) * (values[i] / largest - mean)
    error = math.sqrt(spread / (n * (n - 1.0))) if n > 1 else math.inf
    return largest * mean, largest * error, total * total / squares


@borrowing
def unseen_error(values, mean, error):
    """The standard error of lines, with an allowance for what n lines cannot show.

    What fewer than one line in n meets is often met by none of them. So the error is that of these
    lines and one more, as far from the mean as the farthest of them and at least `LEAST` of it.
    """
    n, farthest = values.size, LEAST * abs(mean)
    if n == 1 or mean == 0.0:
        return error
    for i in range(n):
        farthest = max(farthest, abs(values[i] - mean))
    return math.hypot(error, farthest / math.sqrt(n * (n - 1.0)))


@Pointed
def counted_estimate(phi: Margin, stream: random.Stream, stop: Indices, values: Vector) -> None:
    """As `line_estimate`, by counting: 0, ½ or 1 for each fresh sample; any activation."""
    model, factor, slopes = phi.model, phi.factor, phi.slopes
    filters, size = factor.shape
    point, image = np.empty(size), np.empty(filters)
    for i in range(values.size):
        if i % POLL == 0 and stopped(stop):
            break
        random.fill_normals(stream, random.TEST_POINT, i, point)
        apply_lower(factor, point, image)
        up = random.uniform(stream, random.TEST_LABEL, i, 0) < 0.5
        shift, swing = phi.shifts[0 if up else 1], 0.0
        for f in range(filters):
            along = image[f] + (shift[f] if shift.size > 0 else 0.0)
            swing += slopes[f] * activate(model.activation, model.shape, along)
        value = phi.offsets[0] + swing if up else phi.offsets[1] - swing
        values[i] = 1.0 if value < 0.0 else (0.5 if value == 0.0 else 0.0)


@borrowing
def upper_gamma(twice_shape, x):
    """Q(a, x), a = twice_shape/2, by Q(a + 1, x) = Q(a, x) + xᵃ e^{−x}/Γ(a + 1)."""
    if x == 0.0:
        return 1.0
    if x == math.inf:
        return 0.0
    a = 0.5 if twice_shape % 2 == 1 else 1.0
    total = math.erfc(math.sqrt(x)) if twice_shape % 2 == 1 else math.exp(-x)
    while 2.0 * a < twice_shape:
        total += math.exp(a * math.log(x) - x - math.lgamma(a + 1.0))
        a += 1.0
    return total


@borrowing
def _radial_value(offset, swing, size, degree):
    """P(offset + R^degree · swing < 0) + ½P(= 0) for R ~ χ_size."""
    if swing == 0.0 or offset == 0.0:
        total = offset + swing
        return 1.0 if total < 0.0 else (0.5 if total == 0.0 else 0.0)
    ratio = offset / swing
    if degree != 1.0:
        ratio = abs(ratio) ** (1.0 / degree)
    beyond = upper_gamma(size, 0.5 * ratio**2)
    if offset > 0.0:
        return beyond if swing < 0.0 else 0.0
    return 1.0 - beyond if swing > 0.0 else 1.0


@Pointed
def radial_estimate(phi: Margin, stream: random.Stream, stop: Indices, values: Vector) -> None:
    """As `line_estimate`, along random rays, both labels averaged; homogeneous activations."""
    model, factor, slopes = phi.model, phi.factor, phi.slopes
    filters, size = factor.shape
    point, image = np.empty(size), np.empty(filters)
    for i in range(values.size):
        if i % POLL == 0 and stopped(stop):
            break
        random.fill_normals(stream, random.TEST_POINT, i, point)
        normalise(point)
        apply_lower(factor, point, image)
        swing = 0.0
        for f in range(filters):
            swing += slopes[f] * activate(model.activation, model.shape, image[f])
        values[i] = 0.5 * (
            _radial_value(phi.offsets[0], swing, size, model.degree)
            + _radial_value(phi.offsets[1], -swing, size, model.degree)
        )


@borrowing_pointed
def no_estimate(phi: Margin, stream: random.Stream, stop: Indices, values: Vector) -> None:
    """Used if no test error is recorded, so that no estimate is compiled."""
