"""The test error of a state: on fresh samples of the data's law, or on given ones."""

import math
from typing import Annotated, Any

import numpy as np

from simdyn.kernels import codes
from simdyn.kernels import estimates as risk
from simdyn.kernels.activations import activate, half_error
from simdyn.kernels.compiled import Pointed, borrowing, inlined, part
from simdyn.kernels.gradient import activated_sum
from simdyn.kernels.linear import fill, lower_factor, same
from simdyn.kernels.random import Stream
from simdyn.kernels.simd import mark, sparse_product
from simdyn.kernels.state import State
from simdyn.kernels.structures import FreshSamples, Indices, Problem, TestSet
from simdyn.kernels.workspace import Workspace, pad, padded, room_for_marks, zeros

ALL_ZERO = -5000  # for an exponent


@part
def weights_now(problem, moved, initial):
    """W(t) = a W(0) + Sᵀ V in the coordinates of V, (2m, D); `initial` is a."""
    rows, (banks, width) = problem.dictionary.rows, problem.weights.shape
    marked, change = room_for_marks(banks, moved.shape[1]), zeros(banks, pad(width))
    mark(moved, marked)
    sparse_product(moved, marked, padded(rows, moved.shape[1], pad(width)), change)
    weights = initial * problem.weights
    for f in range(banks):
        for c in range(width):
            weights[f, c] += change[f, c]
    return weights


@part
def uncancelled(weights, overlaps, known):
    """The filters of each bank, except those that the same filter of the other bank cancels.

    These have the same weights (2m, D) and the same overlaps with the `known` signals.
    """
    half = weights.shape[0] // 2
    left = np.zeros(2 * half, np.bool_)
    for f in range(half):
        equal = same(weights[f], weights[half + f])
        for k in range(known):
            equal &= overlaps[f, k] == overlaps[half + f, k]
        left[f] = left[half + f] = not equal
    return np.nonzero(left)[0]


@inlined
def clean_error(problem, stream, fresh, estimate, state, stop):
    """Test error on true labels of fresh samples: mean, standard error, effective sample size."""
    model, views, units = problem.model, fresh.views, problem.dictionary.units
    overlaps, weights = state.overlaps, weights_now(problem, state.moved, state.shares[0])
    lines = fresh.method == codes.LINE
    draws = (fresh.draws + 1) // 2 if lines else fresh.draws
    half, filters = weights.shape[0] // 2, uncancelled(weights, overlaps, views.shown.shape[2])
    banks = filters.size
    if banks == 0:  # f = 0 everywhere
        return 0.5, 0.0, float(draws)
    weights = weights[filters]
    for f in range(banks):
        for c in range(fresh.bare):
            weights[f, c] = 0.0
    power = scale_by_noise(problem, fresh, overlaps, filters, weights)
    still = largest_exponent(weights, weights.shape[1]) == ALL_ZERO  # noise moves no output
    factor = lower_factor(weights)
    slopes = np.empty(banks)
    for f in range(banks):
        sign = 1.0 if filters[f] < half else -1.0
        slopes[f] = sign * fresh.noise_copies / model.divisor
    if fresh.noise_vectors > 1:
        factor, slopes = repeated(factor, slopes, fresh.noise_vectors)
    paired = lines and model.active_below > 0
    if paired:
        factor, slopes = rectified_pair(factor, slopes, model.shape)
    values, levels, first, alike = np.zeros(draws), np.zeros(2), np.full(draws, np.nan), True
    shifts = np.zeros((2, slopes.size if fresh.added else 0))
    phi = risk.Margin(model, factor, slopes, levels, shifts)
    for view in range(views.share.size):
        if views.share[view] > 0.0:
            for label in range(2):
                shown = views.shown[view, label]
                if fresh.added:
                    shift_along(overlaps, shown, units, filters, paired, shifts[label])
                    rescale(shifts[label : label + 1], -power)
                    if still and halves_equal(shifts[label], banks):
                        fill(shifts[label : label + 1], 0.0)
                else:
                    level = signal_output(model, overlaps, shown, units, filters, half)
                    levels[label] = math.ldexp(level if label == 0 else -level, -power)
            found = np.zeros(draws)
            estimate(phi, stream, stop, found)
            for k in range(draws):  # the same draws for each view
                values[k] += views.share[view] * found[k]
                first[k] = found[k] if math.isnan(first[k]) else first[k]
                alike &= first[k] == found[k]
    if alike:  # shares need not add up to one exactly
        values = first
    mean, error, effective = risk.summarise(values)
    if lines and not still:
        error = risk.unseen_error(values, mean, error)
    return mean, error, effective


@borrowing
def halves_equal(row, banks):
    """Have the filters of either sign the same entries?"""
    equal = True
    for f in range(banks // 2):
        equal &= row[f] == row[f + banks // 2]
    return equal


@borrowing
def largest_exponent(array, columns):
    """The least e with all entries of the first columns below 2^e; very low if all are zero."""
    largest = 0.0
    for k in range(array.shape[0]):
        for c in range(columns):
            largest = max(largest, abs(array[k, c]))
    return math.frexp(largest)[1] if largest > 0.0 else ALL_ZERO


@borrowing
def signal_exponent(problem, overlaps, filters):
    """The same of the overlaps that filters have with the signals."""
    largest = 0.0
    for k in range(problem.n_signals):
        for f in filters:
            largest = max(largest, abs(problem.dictionary.units[k] * overlaps[f, k]))
    return math.frexp(largest)[1] if largest > 0.0 else ALL_ZERO


@borrowing
def rescale(array, power):
    """Multiply an array of two axes by 2^power."""
    scale = math.ldexp(1.0, power)
    for k in range(array.shape[0]):
        for c in range(array.shape[1]):
            array[k, c] = (
                array[k, c] * scale if abs(power) < 1000 else math.ldexp(array[k, c], power)
            )


@borrowing
def scale_by_noise(problem, fresh, overlaps, filters, weights):
    """Make of weights (F, D) the filters as seen by unit noise, divided by 2^power; returns power.

    The sign of a homogeneous network does not depend on a common factor. If its degree is one, the
    power is such that no square of weights or of the signals' overlaps overflows; else it is 0. If
    the filters of both signs are the same, noise moves no output, and they are set to zero.
    """
    banks, width = weights.shape
    half, same, own, power = banks // 2, True, 0, 0
    noise_std, exponent = fresh.noise_std, 0
    for f in range(half):
        for c in range(width):
            same &= weights[f, c] == weights[half + f, c]
    if problem.model.degree == 1.0:
        noise_std, exponent = math.frexp(fresh.noise_std)
        own = largest_exponent(weights, width)
        power = max(own + exponent, signal_exponent(problem, overlaps, filters))
    rescale(weights, -own)
    for f in range(banks):
        for c in range(width):
            weights[f, c] = 0.0 if same else weights[f, c] * noise_std
    rescale(weights, own + exponent - power)
    return power


@borrowing
def signal_output(model, overlaps, shown, units, filters, half):
    """What the signals a sample shows contribute to its output; each bank is summed by itself."""
    up, down = 0.0, 0.0
    for f in filters:
        for k in range(shown.size):
            if shown[k] != 0.0:
                along = shown[k] * units[k] * overlaps[f, k]
                level = activate(model.activation, model.shape, along) / model.divisor
                if f < half:
                    up += level
                else:
                    down += level
    return up - down


@borrowing
def shift_along(overlaps, shown, units, filters, paired, out):
    """Overlaps of each filter with the signals that are added to a sample's noise."""
    for f in range(filters.size):
        out[f] = 0.0
        for k in range(shown.size):
            out[f] += shown[k] * units[k] * overlaps[filters[f], k]
        if paired:
            out[filters.size + f] = -out[f]


@part
def repeated(factor, slopes, times):
    """M and slopes for several independent noise vectors: blocks along the diagonal."""
    filters, size = factor.shape
    blocks, all_slopes = np.zeros((times * filters, times * size)), np.empty(times * filters)
    for t in range(times):
        for f in range(filters):
            all_slopes[t * filters + f] = slopes[f]
            for c in range(size):
                blocks[t * filters + f, t * size + c] = factor[f, c]
    return blocks, all_slopes


@part
def rectified_pair(factor, slopes, shape):
    """M and slopes of the same function in ReLUs: leaky(z) = σ(z) − shape·σ(−z)."""
    filters, size = factor.shape
    pair, twice = np.empty((2 * filters, size)), np.empty(2 * filters)
    for f in range(filters):
        twice[f], twice[filters + f] = slopes[f], -shape * slopes[f]
        for c in range(size):
            pair[f, c], pair[filters + f, c] = factor[f, c], -factor[f, c]
    return pair, twice


@inlined
def error_on(model, test_set, moved, initial):
    """Test error on explicit samples and its binomial standard error."""
    vectors, banks = test_set.overlaps.shape
    overlaps, marked = zeros(banks, pad(vectors)), room_for_marks(banks, moved.shape[1])
    mark(moved, marked)
    sparse_product(moved, marked, padded(test_set.cross.T, moved.shape[1], pad(vectors)), overlaps)
    for k in range(vectors):
        for f in range(banks):
            overlaps[f, k] += initial * test_set.overlaps[k, f]
    table, filters = test_set.table, test_set.overlaps.shape[1] // 2
    sums = np.empty(table.row.size)
    for p in range(sums.size):
        sums[p] = activated_sum(model, overlaps, table.row[p], table.sign[p], filters)
    n, errors = test_set.labels.size, 0.0
    for i in range(n):
        value = 0.0
        for e in range(table.start[i], table.start[i + 1]):
            value += table.multiplicity[e] * sums[table.patch[e]]
        errors += half_error(test_set.labels[i] * value)
    error = errors / n
    return error, math.sqrt(error * (1.0 - error) / n)


@Pointed
def test(
    problem: Problem,
    stream: Stream,
    fresh: FreshSamples,
    test_set: TestSet,
    estimate: Annotated[Any, risk.no_estimate],
    state: State,
    work: Workspace,
    stop: Indices,
) -> None:
    """Test error, its standard error and effective sample size, into work.found.

    On fresh samples it is that on true labels.
    """
    if fresh.method == codes.TEST_SET:
        error, deviation = error_on(problem.model, test_set, state.moved, state.shares[0])
        work.found[0], work.found[1], work.found[2] = error, deviation, 0.0
    else:
        clean, deviation, effective = clean_error(problem, stream, fresh, estimate, state, stop)
        work.found[0], work.found[1], work.found[2] = clean, deviation, effective
