"""Test error for a fresh sample, exact but for a few random draws.

For fresh noise, z = W ξ is Gaussian: z = M u with u standard normal and M Mᵀ = σ_p² W Wᵀ. Given
the true label ŷ, the network errs where

    φ(u) = s_ŷ + ŷ g(M u) < 0,   s_ŷ = ŷ f(ŷμ),   g(z) = ((P−1)/m) Σ_{j,r} j σ(z_{j,r}),

and half-errs where φ = 0. Several independent noise vectors have a block of M each. Where signals
are added to the noise, φ(u) = ŷ g(a_ŷ + M u), a_ŷ being the filters' overlaps with them. Three
estimators of the mean over both ŷ:

- line: along each line ω + tα the set φ < 0 is a few intervals of t, whose Gaussian mass is exact
  (tail-side error functions). α points at the nearest failure; where several failures compete,
  space is cut into the cells of points nearest in angle to each α_k, and each line counts only its
  own cell, which along the line is the half-line t ≥ t_k(ω). Unbiased for any directions. Under a
  shift each value has a second pair of lines, drawn where lines fail (see `tilt`) and weighted.
- counted: fresh points.
- radial: along each ray the failing set is a half-line, of mass Q(r/2, (s/|g|)²/2).

What is exact is the mass of a line. The mean over lines is an estimate, and its standard error is
of the lines that were drawn: what none of them met is not in it. `unseen_error` adds what n lines
leave open on average over settings; where one line in hundreds carries much of the error, it is
still short. The effective sample size does not show that: it is of the lines that were drawn.
"""

import math
from typing import NamedTuple

import numpy as np

from simdyn.kernels import random
from simdyn.kernels.activations import Model, activate
from simdyn.kernels.compiled import Pointed, borrowing, borrowing_pointed, part, stopped
from simdyn.kernels.failures import nearest_failures, no_failures
from simdyn.kernels.linear import apply_lower, dot, inner_products, normalise
from simdyn.kernels.structures import Indices, Matrix, Vector
from simdyn.kernels.tilt import Tilt, fit_tilt, log_ratio, mills, place

POLL = 256  # draws between two looks at the stop flag
LEAST = 0.1  # of the mean: the least by which a line unseen may differ from it
STEPS = 40  # towards the nearest failure of a shifted network
_ROOT_HALF = math.sqrt(0.5)


class Margin(NamedTuple):
    """φ of a network: the true label times the output on a fresh sample, by its noise u."""

    model: Model
    factor: Matrix  # M, lower triangular, (2m, r)
    slopes: Vector  # j (P−1)/m of each filter, (2m,)
    offsets: Vector  # s_ŷ for ŷ = +1 and −1, (2,)
    shifts: Matrix  # a_ŷ for both if signals are added to the noise, (2, 2m); else (2, 0)


@borrowing
def interval_mass(low, high):
    """Φ(high) − Φ(low) for low ≤ high, from the side of the smaller tail."""
    if low >= 0.0:
        return 0.5 * (math.erfc(low * _ROOT_HALF) - math.erfc(high * _ROOT_HALF))
    if high <= 0.0:
        return 0.5 * (math.erfc(-high * _ROOT_HALF) - math.erfc(-low * _ROOT_HALF))
    return 1.0 - 0.5 * (math.erfc(high * _ROOT_HALF) + math.erfc(-low * _ROOT_HALF))


@borrowing
def failing_mass(offset, slopes, base, direction, start, kinks, order):
    """Gaussian mass of {t ≥ start : φ(t) < 0}, plus half that of {φ = 0}.

    φ(t) = offset + Σ_f slopes_f σ(base_f + t direction_f) is piecewise linear with a kink at
    t_f = −base_f/direction_f. `kinks` and `order` are scratch of the filters' number.
    """
    count, active, level, rise = 0, 0, 0.0, 0.0
    for f in range(slopes.size):
        if direction[f] == 0.0:
            if base[f] > 0.0:
                active += 1
                level += slopes[f] * base[f]
            continue
        kink = -base[f] / direction[f]
        rising = direction[f] > 0.0
        if kink > start:
            place = count
            while place > 0 and kinks[place - 1] > kink:
                kinks[place], order[place] = kinks[place - 1], order[place - 1]
                place -= 1
            kinks[place], order[place] = kink, f
            count += 1
        if rising == (kink <= start):  # active just after `start`
            active += 1
            level += slopes[f] * base[f]
            rise += slopes[f] * direction[f]
    total = 0.0
    low = start
    open_at = start
    failing = False
    for index in range(count + 1):
        high = kinks[index] if index < count else math.inf
        if active == 0:
            level, rise = 0.0, 0.0
        value = offset + level
        # Where φ < 0 on [low, high): a left part, a right part, everything or nothing.
        if rise == 0.0:
            if value == 0.0 and high > low:
                total += 0.5 * interval_mass(low, high)
            fails_left, root = value < 0.0, high
        else:
            root = min(max(-value / rise, low), high)
            fails_left = rise > 0.0
        if fails_left:
            if root > low:
                if not failing:
                    open_at, failing = low, True
                if root < high:
                    total += interval_mass(open_at, root)
                    failing = False
            elif failing:
                total += interval_mass(open_at, low)
                failing = False
        else:
            if root > low and failing:
                total += interval_mass(open_at, low)
                failing = False
            if rise != 0.0 and root < high and not failing:
                open_at, failing = root, True
        if index < count:
            f = order[index]
            if direction[f] > 0.0:
                active += 1
                level += slopes[f] * base[f]
                rise += slopes[f] * direction[f]
            else:
                active -= 1
                level -= slopes[f] * base[f]
                rise -= slopes[f] * direction[f]
        low = high
    if failing:
        total += interval_mass(open_at, math.inf)
    return total


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
    """The standard error of lines with what n lines cannot tell of their law.

    What one line in n or fewer meets is often in none of them. So the error is that of n lines and
    one more as far from the mean as the farthest of them, and no less than `LEAST` of the mean.
    """
    n, farthest = values.size, LEAST * abs(mean)
    if n == 1 or mean == 0.0:
        return error
    for i in range(n):
        farthest = max(farthest, abs(values[i] - mean))
    return math.hypot(error, farthest / math.sqrt(n * (n - 1.0)))


@borrowing
def _cell_start(along, cosines, k):
    """From where on a line along α_k lies in its cell, k being the nearest direction there."""
    start = -math.inf
    for other in range(along.size):
        if other != k:
            lead = along[other] - along[k] * cosines[k, other]
            start = max(start, lead / (1.0 - cosines[k, other]))
    return start


@part
def nearest_failure(pull, factor, shift):
    """A direction (1, r) towards the nearest u with φ(u) = Σ_f pull_f σ(shift_f + (M u)_f) ≤ 0.

    By steps to the nearest zero of φ as linearised at hand (Hasofer and Lind, 1974), shorter as
    they go on. Where it ends short of that it costs variance, never bias.
    """
    filters, size = factor.shape
    point, slope, directions = np.zeros(size), np.empty(size), np.zeros((1, size))
    for count in range(STEPS):
        value = 0.0
        for c in range(size):
            slope[c] = 0.0
        for f in range(filters):
            known = min(f + 1, size)
            along = shift[f] + dot(factor[f, :known], point[:known])
            if along > 0.0:
                value += pull[f] * along
                for c in range(known):
                    slope[c] += pull[f] * factor[f, c]
        steepness = dot(slope, slope)
        if steepness == 0.0:
            break
        reach = (dot(slope, point) - value) / steepness
        part_of_step = 1.0 if count < STEPS // 2 else 0.3
        for c in range(size):
            point[c] += part_of_step * (reach * slope[c] - point[c])
            directions[0, c] = -slope[c]
    if dot(point, point) > 0.0:
        for c in range(size):
            directions[0, c] = point[c]
    if normalise(directions[0]) == 0.0:
        directions[0, 0] = 1.0
    return directions


@part
def _tilts(failures, pull, factor, shift):
    """For each direction the Gaussian from which its lines are drawn."""
    filters, size = factor.shape
    arrows, right, values = np.empty((filters, size)), pull > 0.0, np.empty(filters)
    tilts = [Tilt(np.zeros(size), np.eye(size), 0.0) for _ in range(failures.distances.size)]
    for f in range(filters):
        for c in range(size):
            arrows[f, c] = abs(pull[f]) * factor[f, c]
    for k in range(len(tilts)):
        distance = failures.distances[k]
        if distance > 0.0:
            for f in range(filters):
                along = dot(arrows[f], failures.directions[k])
                values[f] = abs(pull[f]) * shift[f] + distance * along
            kappa = failures.lengths[k] * mills(-distance) / distance
            tilts[k] = fit_tilt(
                arrows, right, values, failures.betas[k], kappa, failures.directions[k]
            )
    return tilts


@part
def _add_shifted(pull, factor, shift, stream, stop, values):
    """Add ¼ of what lines find under a shift: for each value a pair of N(0, I), a pair of the tilt.

    Each direction has points of its own. Weights are those of the balance heuristic (Veach and
    Guibas, 1995), so that no line counts more than twice.
    """
    filters, size = factor.shape
    unit, point, scratch = np.empty(size), np.empty(size), np.empty(size)
    base, kinks, order = np.empty(filters), np.empty(filters), np.empty(filters, np.int64)
    at_zero = 0.0
    for f in range(filters):
        at_zero += pull[f] * max(shift[f], 0.0)
    if at_zero > 0.0:
        failures = nearest_failures(1.0, pull, factor, shift)
    else:
        failures = no_failures(filters, nearest_failure(pull, factor, shift))
    directions, tilts = failures.directions, _tilts(failures, pull, factor, shift)
    cosines, images = inner_products(directions, directions), inner_products(directions, factor)
    along = np.empty(directions.shape[0])
    for i in range(2 * values.size):
        if i % POLL == 0 and stopped(stop):
            break
        random.fill_normals(stream, random.TEST_POINT, i, unit)
        for k in range(along.size):
            for sign in (1.0, -1.0):
                if i % 2 == 0:
                    for c in range(size):
                        point[c] = sign * unit[c]
                else:
                    place(tilts[k], unit, sign, point)
                ratio = math.exp(min(log_ratio(tilts[k], point, scratch), 700.0))
                apply_lower(factor, point, base)
                for other in range(along.size):
                    along[other] = dot(directions[other], point)
                for f in range(filters):
                    base[f] += shift[f] - along[k] * images[k, f]
                start = _cell_start(along, cosines, k)
                mass = failing_mass(0.0, pull, base, images[k], start, kinks, order)
                values[i // 2] += 0.25 / (1.0 + ratio) * mass


@Pointed
def line_estimate(phi: Margin, stream: random.Stream, stop: Indices, values: Vector) -> None:
    """Fill `values`, zeros, whose mean estimates the test error on true labels; see `summarise`.

    Each is unbiased, from one pair of antithetic lines; of a network of ReLUs only. `values` has
    ⌈draws/2⌉ entries here and one for each draw in the other estimates.
    """
    factor, slopes = phi.factor, phi.slopes
    filters, size = factor.shape
    point, image, base = np.empty(size), np.empty(filters), np.empty(filters)
    kinks, order, pull = np.empty(filters), np.empty(filters, np.int64), np.empty(filters)
    for label in (1.0, -1.0):
        which = 0 if label > 0.0 else 1
        offset, shift = phi.offsets[which], phi.shifts[which]
        for f in range(filters):
            pull[f] = label * slopes[f]
        if shift.size > 0:
            _add_shifted(pull, factor, shift, stream, stop, values)
            continue
        directions = nearest_failures(offset, pull, factor, shift).directions
        cosines = inner_products(directions, directions)
        images = inner_products(directions, factor)
        along = np.empty(directions.shape[0])
        for i in range(values.size):
            if i % POLL == 0 and stopped(stop):
                break
            random.fill_normals(stream, random.TEST_POINT, i, point)
            apply_lower(factor, point, image)
            for sign in (1.0, -1.0):
                for k in range(along.size):
                    along[k] = sign * dot(directions[k], point)
                for k in range(along.size):
                    start = _cell_start(along, cosines, k)
                    for f in range(filters):  # in a loop of its own: rounded before the difference
                        kinks[f] = along[k] * images[k, f]
                    for f in range(filters):
                        base[f] = sign * image[f] - kinks[f]
                    values[i] += 0.25 * failing_mass(
                        offset, pull, base, images[k], start, kinks, order
                    )


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
    """Stands where no test error is asked for, so that none is compiled."""
