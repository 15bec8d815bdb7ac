"""One driver for SGD and SAM, in Gram space.

    SGD:  A ← A − η G C                          C = C(A), the gradient's coefficients on the batch
    SAM:  A' = A + τ U / √(Σ C∘U), U = G C;  A ← A − η G C(A')

SGD is the case τ = 0. The moved coefficients S = −Σ_t η C carry the weights:
W(t) = W(0) + Sᵀ V. Cost per step O(m q²), whatever d is.
"""

import math
from typing import NamedTuple

import numpy as np

from simdyn.kernels import problem as codes
from simdyn.kernels import random
from simdyn.kernels.compiled import borrowing, inlined, stopped
from simdyn.kernels.gradient import (
    apply_gram,
    gradient,
    pad,
    padded_copy,
    patches_of,
    perturb,
)
from simdyn.kernels.linear import all_finite
from simdyn.kernels.observe import observe, observe_test_error
from simdyn.kernels.problem import Indices, Matrix
from simdyn.kernels.simd import add_scaled


@inlined
def step(problem, samples, patches, radius, learning_rate, overlaps, moved, work):
    """One update on one batch, in place.

    Returns
    -------
    moves : bool
        False where the gradient is exactly zero.
    finite : bool
        False where an output overflowed; the state is then left as it was.
    """
    passes = 2 if radius > 0.0 else 1
    at, scale = overlaps, 0.0
    for k in range(passes):  # one call of each part, so that it is compiled into the loop
        scale, finite = gradient(at, problem, samples, patches, work)
        if not finite:
            return False, False
        norm = apply_gram(work)
        if k == 0 and (scale == 0.0 or norm == 0.0 or not math.isfinite(norm)):
            return False, math.isfinite(norm)
        if k + 1 < passes:
            perturb(overlaps, radius, norm, work)
            at = work.perturbed
    rate = learning_rate * scale
    add_scaled(overlaps, work.products, -rate)
    add_scaled(moved, work.coefficients, -rate)
    return True, True


@borrowing
def batches_per_epoch(n, batch_size, keep_last):
    """Updates in one pass over n samples."""
    return (n + batch_size - 1) // batch_size if keep_last else n // batch_size


class State(NamedTuple):
    """Where a trajectory stands."""

    overlaps: Matrix  # A(t), (Q, F), padded as in Workspace
    moved: Matrix  # S(t), (Q, F)
    order: Indices  # the partition of the current epoch, (n,)
    at: Indices  # counters, see below


UPDATE, EPOCH, PHASE, PHASE_EPOCH, BATCH, FROZEN_AT, FROZEN = 0, 1, 2, 3, 4, 5, 6


@inlined
def new_state(problem):
    """The state before the first update."""
    at = np.zeros(7, np.int64)
    at[FROZEN_AT] = -1
    q, banks = problem.overlaps.shape
    overlaps = padded_copy(problem.overlaps, pad(q), pad(banks))
    return State(overlaps, np.zeros(overlaps.shape), np.arange(problem.labels.size), at)


@inlined
def advance(problem, schedule, stream, until, stop, state, work):
    """Train until the update number `until`; returns DONE, NON_FINITE or STOPPED."""
    at, n = state.at, problem.labels.size
    while at[UPDATE] < until:
        if stopped(stop):
            return codes.STOPPED
        while at[PHASE_EPOCH] >= schedule.epochs[at[PHASE]]:
            at[PHASE] += 1
            at[PHASE_EPOCH] = 0
        phase = at[PHASE]
        size = schedule.batch_size[phase]
        batches = batches_per_epoch(n, size, schedule.keep_last[phase])
        samples, patches = work.every_sample, work.every_patch
        if size < n:
            if at[BATCH] == 0:
                random.fill_permutation(stream, random.PARTITION, at[EPOCH], state.order)
            samples = state.order[at[BATCH] * size : min((at[BATCH] + 1) * size, n)]
            patches = patches_of(problem.table, samples, work)
        moves, finite = step(
            problem,
            samples,
            patches,
            schedule.radius[phase],
            schedule.learning_rate[phase],
            state.overlaps,
            state.moved,
            work,
        )
        if not finite:
            return codes.NON_FINITE
        if moves:
            at[FROZEN_AT], at[FROZEN] = -1, 0
        elif at[FROZEN_AT] < 0:
            at[FROZEN_AT] = at[UPDATE]
        at[UPDATE] += 1
        at[BATCH] += 1
        if at[BATCH] == batches:
            # Frozen means a whole epoch without a gradient: one batch may have none by itself.
            at[FROZEN] |= 0 <= at[FROZEN_AT] <= at[UPDATE] - batches
            at[BATCH] = 0
            at[EPOCH] += 1
            at[PHASE_EPOCH] += 1
    return codes.DONE


@borrowing
def train(
    problem,
    schedule,
    stream,
    test_set,
    fresh_noise,
    estimate,
    probe,
    probe_radius,
    record_at,
    stop,
    state,
    work,
    traces,
):
    """Run a schedule of phases and write the state at the updates of `record_at` into `traces`.

    Parameters
    ----------
    estimate, probe : compiled functions
        `risk.estimate` and `probes.probe`, called through their pointers.
    probe_radius : float
        τ of the recorded SAM gap and deactivated fraction; below 0 that of the phase at hand.
    record_at : (T,) int64, increasing
        Numbers of updates after which the state is observed; 0 is the initial state.
    stop : (1,) int64
        Polled at every step; non-zero ends the run with status STOPPED.
    state, work : State, Workspace
        Those of a `new_state` and `new_workspace`.

    Returns
    -------
    status, update : int
        DONE, ZERO_GRADIENT (every gradient from `update` on was exactly zero, for an epoch or
        more), NON_FINITE (noticed at `update`; what would be recorded from there on is left as it
        was) or STOPPED.
    """
    dictionary = problem.dictionary
    if not (all_finite(dictionary.gram) and all_finite(dictionary.rows)):
        return codes.NON_FINITE, 0
    for index in range(record_at.size):
        code = advance(problem, schedule, stream, record_at[index], stop, state, work)
        if code == codes.DONE:
            # The phase that made the last update: `advance` turns to the next one when it begins.
            phase = state.at[PHASE]
            radius = schedule.radius[phase] if probe_radius < 0.0 else probe_radius
            code = observe(
                problem,
                fresh_noise.copies,
                probe,
                state.overlaps,
                state.moved,
                work,
                radius,
                schedule.batch_size[phase],
                stop,
                index,
                traces,
            )
        if code == codes.DONE and fresh_noise.method != codes.NO_TEST:
            code = observe_test_error(
                problem,
                stream,
                test_set,
                fresh_noise,
                estimate,
                state.overlaps,
                state.moved,
                work,
                stop,
                index,
                traces,
            )
        if code != codes.DONE:
            return code, state.at[UPDATE]
    if state.at[FROZEN] > 0:
        return codes.ZERO_GRADIENT, state.at[FROZEN_AT]
    return codes.DONE, 0
