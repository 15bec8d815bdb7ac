"""What is recorded of a state: losses, margins, coefficients, test error."""

import math
from typing import NamedTuple

import numpy as np

from simdyn.kernels import problem as codes
from simdyn.kernels import risk
from simdyn.kernels.compiled import borrowing, inlined, part, stopped
from simdyn.kernels.gradient import (
    activated_sum,
    apply_gram,
    gradient,
    output,
    pad,
    padded_copy,
)
from simdyn.kernels.linear import all_finite, dot, lower_factor
from simdyn.kernels.network import LEAKY_RELU, activate, loss
from simdyn.kernels.problem import Floats
from simdyn.kernels.simd import product


class Traces(NamedTuple):
    """Where a trajectory is written: axis 0 is the recorded state; length 0 switches one off."""

    train_loss: Floats
    train_error: Floats
    grad_norm: Floats
    margin: Floats  # (T, n)
    signal_coef: Floats  # (T, 2m)
    noise_coef: Floats  # (T, 2m, n)
    coef: Floats  # (T, 2m, q)
    test_error: Floats
    test_error_se: Floats
    test_error_ess: Floats
    clean_test_error: Floats
    sam_gap: Floats
    deactivated_fraction: Floats
    sharpness: Floats
    active_count: Floats  # (T, 2, n)
    initial_share: Floats


@part
def weights_now(problem, moved, initial):
    """W(t) = a W(0) + Sᵀ V in the coordinates of V, (2m, D); `initial` is a."""
    weights = initial * problem.weights
    rows = problem.dictionary.rows
    for k in range(rows.shape[0]):
        for f in range(weights.shape[0]):
            for c in range(rows.shape[1]):
                weights[f, c] += moved[k, f] * rows[k, c]
    return weights


@inlined
def clean_error(problem, stream, fresh_noise, estimate, overlaps, moved, initial, stop):
    """Test error on true labels of fresh samples: mean, standard error, effective sample size."""
    banks, model = problem.overlaps.shape[1], problem.model
    weights = weights_now(problem, moved, initial)
    if fresh_noise.first_coordinate > 0:
        for f in range(banks):
            weights[f, 0] = 0.0
    for f in range(banks):
        for c in range(weights.shape[1]):
            weights[f, c] *= fresh_noise.noise_std
    factor = lower_factor(weights)
    slopes = np.empty(banks)
    plus, minus = 0.0, 0.0
    for f in range(banks):
        sign, along = 1.0 if 2 * f < banks else -1.0, overlaps[0, f]
        slopes[f] = sign * fresh_noise.copies / model.divisor
        plus += sign * activate(model.activation, model.shape, along) / model.divisor
        minus -= sign * activate(model.activation, model.shape, -along) / model.divisor
    lines = fresh_noise.method == codes.LINE
    if lines and model.activation == LEAKY_RELU:
        factor, slopes = rectified_pair(factor, slopes, model.shape)
    values = np.zeros((fresh_noise.draws + 1) // 2 if lines else fresh_noise.draws)
    estimate(
        fresh_noise.method,
        model.activation,
        model.shape,
        factor,
        slopes,
        plus,
        minus,
        stream,
        stop,
        values,
    )
    return risk.summarise(values)


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
def error_on(model, test_set, moved, initial, bank):
    """Test error on explicit samples and its binomial standard error."""
    vectors, q = test_set.cross.shape
    height = pad(vectors)
    overlaps = np.empty((height, moved.shape[1]))
    product(padded_copy(test_set.cross, height, q), moved, overlaps)
    for k in range(vectors):
        for f in range(test_set.overlaps.shape[1]):
            overlaps[k, f] += initial * test_set.overlaps[k, f]
    table = test_set.table
    sums = np.empty(table.row.size)
    for p in range(sums.size):
        sums[p] = activated_sum(model, overlaps, table.row[p], table.sign[p], bank)
    n, errors = test_set.labels.size, 0.0
    for i in range(n):
        value = output(table.start, table.patch, table.multiplicity, sums, model.divisor, i)
        errors += half_error(test_set.labels[i] * value)
    error = errors / n
    return error, math.sqrt(error * (1.0 - error) / n)


@borrowing
def half_error(margin):
    """1 for a wrong output, ½ for an output of exactly zero, else 0."""
    return 1.0 if margin < 0.0 else (0.5 if margin == 0.0 else 0.0)


@borrowing
def count_active(row, out):
    """Filters of each sign that a patch with these overlaps (2m,) makes active, into out (2,)."""
    for sign in range(2):
        out[sign] = 0.0
    for f in range(row.size):
        if row[f] > 0.0:
            out[0 if 2 * f < row.size else 1] += 1.0


@borrowing
def squared_norm(dictionary, k):
    """‖v_k‖²."""
    if dictionary.gram.size > 0:
        return dictionary.gram[k, k]
    return dot(dictionary.rows[k], dictionary.rows[k])


@inlined
def observe(
    problem,
    copies,
    probe,
    overlaps,
    moved,
    initial,
    work,
    radius,
    batch_size,
    stop,
    state,
    traces,
):
    """Write the state at index `state` of every trace but the test error's.

    `copies` is P − 1, `initial` the share of W(0) in W; `radius` and `batch_size` are those of the
    SAM perturbation that is probed.
    Returns DONE, NON_FINITE or STOPPED.
    """
    n, q, banks = problem.labels.size, problem.overlaps.shape[0], problem.overlaps.shape[1]
    scale, finite = gradient(overlaps, problem, work.every_sample, work.every_patch, work)
    # An overlap of −∞ is inactive and does not show in any output.
    if not finite or not (all_finite(overlaps) and all_finite(moved)):
        return codes.NON_FINITE
    total_loss, total_error = 0.0, 0.0
    for i in range(n):
        total_loss += loss(problem.model.loss, work.margins[i])
        total_error += half_error(work.margins[i])
    if traces.train_loss.shape[0] > 0:
        traces.train_loss[state] = total_loss / (1 if problem.model.summed > 0 else n)
    if traces.train_error.shape[0] > 0:
        traces.train_error[state] = total_error / n
    if traces.margin.shape[0] > 0:
        for i in range(n):
            traces.margin[state, i] = work.margins[i]
    if traces.grad_norm.shape[0] > 0:
        traces.grad_norm[state] = scale * apply_gram(work)
    probed = traces.sam_gap.shape[0] + traces.sharpness.shape[0]
    if probed + traces.deactivated_fraction.shape[0] > 0:
        drawn, sharp = traces.deactivated_fraction.shape[0] > 0, traces.sharpness.shape[0] > 0
        probe(problem, overlaps, work, radius, batch_size, drawn, sharp, stop, work.found)
        if traces.sam_gap.shape[0] > 0:
            traces.sam_gap[state] = work.found[0]
        if drawn:
            traces.deactivated_fraction[state] = work.found[1]
        if sharp:
            traces.sharpness[state] = work.found[2]
    if traces.active_count.shape[0] > 0:
        for i in range(n):
            count_active(overlaps[1 + i, :banks], traces.active_count[state, :, i])
    if traces.initial_share.shape[0] > 0:
        traces.initial_share[state] = initial
    if traces.coef.shape[0] > 0:
        for k in range(q):
            for f in range(banks):
                traces.coef[state, f, k] = moved[k, f]
    if traces.signal_coef.shape[0] > 0:
        square = squared_norm(problem.dictionary, 0)
        for f in range(banks):
            sign = 1.0 if f < banks // 2 else -1.0
            traces.signal_coef[state, f] = sign * square * moved[0, f]
    if traces.noise_coef.shape[0] > 0:
        for i in range(n):
            square = copies * squared_norm(problem.dictionary, 1 + i)
            for f in range(banks):
                traces.noise_coef[state, f, i] = square * moved[1 + i, f]
    return codes.STOPPED if stopped(stop) else codes.DONE


@part
def observe_test_error(
    problem,
    stream,
    test_set,
    fresh_noise,
    estimate,
    overlaps,
    moved,
    initial,
    work,
    stop,
    state,
    traces,
):
    """Write the test error at index `state` of its traces; returns DONE or STOPPED."""
    if fresh_noise.method == codes.TEST_SET:
        error, deviation = error_on(problem.model, test_set, moved, initial, work.bank)
        traces.test_error[state] = error
        traces.test_error_se[state] = deviation
    elif fresh_noise.method != codes.NO_TEST:
        clean, deviation, effective = clean_error(
            problem, stream, fresh_noise, estimate, overlaps, moved, initial, stop
        )
        shrink = 1.0 - 2.0 * fresh_noise.label_flip
        traces.clean_test_error[state] = clean
        traces.test_error[state] = fresh_noise.label_flip + shrink * clean
        traces.test_error_se[state] = abs(shrink) * deviation
        traces.test_error_ess[state] = effective
    return codes.STOPPED if stopped(stop) else codes.DONE
