"""The test error along random lines towards the nearest failures of a network of ReLUs.

Along each line ω + tα the set φ < 0 (see `estimates`) is a few intervals of t, whose Gaussian mass
is exact (tail-side error functions). α points at the nearest failure. If several failures compete,
space is cut into the cells of points nearest in angle to each α_k, and each line counts only its
own cell, which along the line is the half-line t ≥ t_k(ω). Unbiased for any directions. Under a
shift each value has a second pair of lines, drawn near failures (see `tilt`) and weighted.
"""

import math

import numpy as np

from simdyn.kernels import random
from simdyn.kernels.compiled import Pointed, borrowing, part, stopped
from simdyn.kernels.estimates import POLL, Margin
from simdyn.kernels.failures import nearest_failures, no_failures
from simdyn.kernels.line_mass import failing_mass
from simdyn.kernels.linear import apply_lower, dot, inner_products, normalise
from simdyn.kernels.structures import Indices, Vector
from simdyn.kernels.tilt import Tilt, fit_tilt, log_ratio, mills, place

STEPS = 40  # towards the nearest failure of a shifted network


@borrowing
def _cell_start(along, cosines, k):
    """The t from which on a line along α_k is in the cell of points nearest in angle to α_k."""
    start = -math.inf
    for other in range(along.size):
        if other != k:
            lead = along[other] - along[k] * cosines[k, other]
            start = max(start, lead / (1.0 - cosines[k, other]))
    return start


@part
def nearest_failure(pull, factor, shift):
    """A direction (1, r) towards the nearest u with φ(u) = Σ_f pull_f σ(shift_f + (M u)_f) ≤ 0.

    By steps to the nearest zero of the linearised φ (Hasofer and Lind, 1974); later steps are
    shorter. If they end short of it, that costs variance, never bias.
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
    """Add ¼ of what lines find under a shift: for each value a pair of N(0, I) and one of the tilt.

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
