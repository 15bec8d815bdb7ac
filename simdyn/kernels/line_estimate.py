"""The test error along random lines towards the nearest failures of a network of ReLUs.

Along each line ω + tα the set φ < 0 (see `estimates`) is a few intervals of t, whose Gaussian mass
is exact (tail-side error functions). α points at the nearest failure. If several failures compete,
space is cut into the cells of points nearest in angle to each α_k, and each line counts only its
own cell, which along the line is the half-line t ≥ t_k(ω). Unbiased for any directions. Under a
shift each value has a second pair of lines, drawn near failures (see `tilt`) and weighted.
"""

import math
from typing import NamedTuple

import numpy as np

from simdyn.kernels import random
from simdyn.kernels.compiled import Pointed, borrowing, part, stopped
from simdyn.kernels.estimates import POLL, Margin
from simdyn.kernels.failing_sets import new_search
from simdyn.kernels.failures import nearest_failures, no_failures
from simdyn.kernels.line_block import failing_masses, new_block
from simdyn.kernels.line_mass import failing_mass
from simdyn.kernels.linear import (
    apply_lower,
    apply_lower_to_columns,
    dot,
    inner_products,
    normalise,
)
from simdyn.kernels.structures import Indices, Matrix, Vector
from simdyn.kernels.tilt import Tilt, fit_tilt, log_ratio, mills, place
from simdyn.kernels.workspace import pad

PAIRS = 16  # of lines that are taken side by side
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
def _add_shifted(search, pull, factor, shift, stream, stop, values):
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
        failures = nearest_failures(search, 1.0, pull, shift)
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


class Bundle(NamedTuple):
    """Lines towards the nearest failures of one label, without a shift."""

    offset: float  # s_ŷ
    pull: Vector  # ŷ j (P−1)/m of each filter, (2m,)
    directions: Matrix  # α_k
    cosines: Matrix  # ⟨α_k, α_l⟩
    images: Matrix  # M α_k


@part
def _bundle(search, phi, label):
    """The lines of one of the two labels."""
    which = 0 if label > 0.0 else 1  # as an argument, 0 and 1 would be compiled one by one
    pull = label * phi.slopes
    failures = nearest_failures(search, phi.offsets[which], pull, phi.shifts[which])
    directions = failures.directions
    cosines, images = inner_products(directions, directions), inner_products(directions, phi.factor)
    return Bundle(phi.offsets[which], pull, directions, cosines, images)


class Draws(NamedTuple):
    """Some of the pairs of antithetic points ±u of a test, and what both labels need of them."""

    points: Matrix  # u, (pairs, r)
    columns: Matrix  # the same, (r, pairs)
    images: Matrix  # M u, (F, pairs)
    sums: Matrix  # room for `apply_lower_to_columns`, (4, pairs)
    along: Matrix  # of each line its coordinate along each α_k, (most, 2 pairs)
    masses: Matrix  # what each line finds, (most, 2 pairs)


@part
def _new_draws(most, filters, size, pairs):
    """Room for this many pairs of points, and lines in at most this many directions."""
    return Draws(
        np.zeros((pairs, size)),
        np.zeros((size, pairs)),
        np.zeros((filters, pairs)),
        np.zeros((4, pairs)),
        np.zeros((most, 2 * pairs)),
        np.zeros((most, 2 * pairs)),
    )


@borrowing
def _draw(factor, stream, first, count, draws):
    """Draw the pairs of points from number `first` on."""
    for i in range(count):
        point = draws.points[i]
        random.fill_normals(stream, random.TEST_POINT, first + i, point)
        for c in range(point.size):
            draws.columns[c, i] = point[c]
    apply_lower_to_columns(factor, draws.columns, draws.images, draws.sums)


@borrowing
def _add_lines(bundle, draws, block, values):
    """Add to each value ¼ of what its pair of antithetic lines finds."""
    most, pairs, images = bundle.cosines.shape[0], draws.points.shape[0], bundle.images
    along, masses, base, count = draws.along, draws.masses, block.base, values.size
    for k in range(most):
        for i in range(pairs):
            along[k, i] = dot(bundle.directions[k], draws.points[i])
            along[k, pairs + i] = -along[k, i]
    for k in range(most):
        for j in range(2 * pairs):
            block.start[j] = _cell_start(along[:most, j], bundle.cosines, k)
        for f in range(base.shape[0]):
            for j in range(2 * pairs):  # in a loop of its own: rounded before the difference
                base[f, j] = along[k, j] * images[k, f]
        for f in range(base.shape[0]):
            for i in range(pairs):
                base[f, i] = draws.images[f, i] - base[f, i]
                base[f, pairs + i] = -draws.images[f, i] - base[f, pairs + i]
        failing_masses(bundle.offset, bundle.pull, images[k], block, masses[k])
    for i in range(count):
        for j in (i, pairs + i):
            for k in range(most):
                values[i] += 0.25 * masses[k, j]


@Pointed
def line_estimate(phi: Margin, stream: random.Stream, stop: Indices, values: Vector) -> None:
    """Fill `values`, zeros, whose mean estimates the test error on true labels; see `summarise`.

    Each is unbiased, from one pair of antithetic lines of each label; of a network of ReLUs only.
    `values` has ⌈draws/2⌉ entries here and one for each draw in the other estimates.
    """
    factor, shifts = phi.factor, phi.shifts
    (filters, size), search = factor.shape, new_search(factor, phi.slopes, shifts.size > 0)
    if shifts.size > 0:
        for which in range(2):
            pull = (1.0 - 2.0 * which) * phi.slopes
            _add_shifted(search, pull, factor, shifts[which], stream, stop, values)
        return
    positive, negative = _bundle(search, phi, 1.0), _bundle(search, phi, -1.0)
    most = max(positive.directions.shape[0], negative.directions.shape[0])
    pairs = min(PAIRS, pad(2 * values.size) // 2)  # their lines fill vectors
    draws, block = _new_draws(most, filters, size, pairs), new_block(filters, 2 * pairs)
    for first in range(0, values.size, pairs):
        if stopped(stop):
            break
        some = values[first : first + pairs]
        _draw(factor, stream, first, some.size, draws)
        _add_lines(positive, draws, block, some)
        _add_lines(negative, draws, block, some)
