"""The test error of a state: on fresh samples of the data's law, or on given ones."""

import math
from typing import Annotated, Any

import numpy as np

from simdyn.kernels import problem as codes
from simdyn.kernels import risk
from simdyn.kernels.compiled import Pointed, inlined, part
from simdyn.kernels.gradient import Workspace, activated_sum, output, pad, padded_copy
from simdyn.kernels.linear import lower_factor
from simdyn.kernels.network import LEAKY_RELU, activate, half_error
from simdyn.kernels.problem import FreshNoise, Indices, Matrix, Problem, TestSet
from simdyn.kernels.random import Stream
from simdyn.kernels.simd import product


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


@Pointed
def test(
    problem: Problem,
    stream: Stream,
    test_set: TestSet,
    fresh_noise: FreshNoise,
    estimate: Annotated[Any, risk.line_estimate],
    overlaps: Matrix,
    moved: Matrix,
    initial: float,
    work: Workspace,
    stop: Indices,
) -> None:
    """Test error, its standard error and effective sample size, into work.found.

    On fresh samples it is that on true labels. `initial` is the share of W(0) in W.
    """
    if fresh_noise.method == codes.TEST_SET:
        error, deviation = error_on(problem.model, test_set, moved, initial, work.bank)
        work.found[0], work.found[1], work.found[2] = error, deviation, 0.0
    else:
        clean, deviation, effective = clean_error(
            problem, stream, fresh_noise, estimate, overlaps, moved, initial, stop
        )
        work.found[0], work.found[1], work.found[2] = clean, deviation, effective
