"""One driver for SGD and SAM, in Gram space.

    SGD:  A ← A − η G C                          C = C(A), the gradient's coefficients on the batch
    SAM:  A' = A + τ U / √(Σ C∘U), U = G C;  A ← A − η G C(A')

SGD is the case τ = 0. The moved coefficients S = −Σ_t η C carry the weights: W(t) = W(0) + Sᵀ V.
Momentum and weight decay stay in the span too: the velocity v ← β v + ∇L + λ W has coefficients,
overlaps and a share of W(0) of its own, and W(t) = a W(0) + Sᵀ V with a share a that decays. A
phase goes on with the velocity of the last one if β is the same, and η may change in every update.
With groups, each group of a batch is perturbed by itself and the gradients are averaged
(m-sharpness).
Cost per step O(m q²), whatever d is.
"""

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from simdyn.kernels import codes, probes, random, rates
from simdyn.kernels import estimates as risk
from simdyn.kernels import test_error as testing
from simdyn.kernels.compiled import borrowing, borrowing_pointed, inlined, stopped
from simdyn.kernels.gradient import (
    Workspace,
    apply_gram,
    gradient,
    pad,
    padded_copy,
    perturb,
    touch,
)
from simdyn.kernels.linear import all_finite, copy, fill
from simdyn.kernels.observe import Traces, observe
from simdyn.kernels.simd import add_scaled
from simdyn.kernels.structures import (
    FreshSamples,
    Indices,
    Matrix,
    Problem,
    Schedule,
    TestSet,
    Vector,
)


@inlined
def descent(problem, samples, patches, radius, normalised, overlaps, work):
    """C and U = G C of the gradient at W + ε̂ on some samples, into the workspace.

    Returns
    -------
    scale : float
        The gradient is this times C.
    moves : bool
        False where the gradient at W is exactly zero, or that at W + ε̂ below a double's range.
    finite : bool
        False where an output overflowed.
    """
    passes = 2 if radius > 0.0 else 1
    at, scale, norm = overlaps, 0.0, 0.0
    for k in range(passes):  # one call of each part, so that it is compiled into the loop
        scale, finite = gradient(at, problem, samples, patches, work)
        if not finite:
            return 0.0, False, False
        norm = apply_gram(work)
        if k == 0 and (norm == 0.0 or not math.isfinite(norm)):
            return 0.0, False, math.isfinite(norm)
        if k + 1 < passes:  # a gradient below the range of a double still has a direction
            reach = radius if normalised > 0 else radius * scale * norm
            perturb(overlaps, reach, norm, work)
            at = work.perturbed
    return scale, scale > 0.0 or norm == 0.0, True


@inlined
def step(problem, samples, patches, rule, state, work):
    """One update on one batch, in place.

    Returns
    -------
    moves : bool
        False where nothing changes: the gradient is exactly zero, and nothing else pulls.
    finite : bool
        False where an output overflowed; the state is then left as it was.
    """
    size = samples.size
    whole = not 0 < rule.group_size < size
    group = size if whole else rule.group_size
    if not whole:
        fill(work.total, 0.0)
    scale, moves = 0.0, False
    for first in range(0, size, group):
        part = samples if whole else samples[first : min(first + group, size)]
        shown = patches if whole else work.touched[: touch(problem.table, part, work)]
        scale, pulls, finite = descent(
            problem, part, shown, rule.radius, rule.normalised, state.overlaps, work
        )
        if not finite:
            return False, False
        moves |= pulls
        if pulls and not whole:
            share = 1.0 if problem.model.summed > 0 else part.size / size
            add_scaled(work.total, work.coefficients, scale * share)
    if moves and not whole:
        scale = 1.0
        copy(work.total, work.coefficients)
        apply_gram(work)
    if rule.momentum == 0.0 and rule.weight_decay == 0.0:
        if moves:
            rate = rule.learning_rate * scale
            add_scaled(state.overlaps, work.products, -rate)
            add_scaled(state.moved, work.coefficients, -rate)
        return moves, True
    glide(rule.momentum, rule.weight_decay, scale if moves else 0.0, state, work)
    add_scaled(state.overlaps, state.pushed, -rule.learning_rate)
    add_scaled(state.moved, state.velocity, -rule.learning_rate)
    state.shares[0] -= rule.learning_rate * state.shares[1]
    return True, True


@borrowing
def glide(momentum, decay, scale, state, work):
    """Velocity v ← β v + ∇L + λ W, as coefficients, as overlaps, and as its share of W(0)."""
    for k in range(state.moved.shape[0]):
        for f in range(state.moved.shape[1]):
            state.velocity[k, f] = momentum * state.velocity[k, f] + decay * state.moved[k, f]
            state.pushed[k, f] = momentum * state.pushed[k, f] + decay * state.overlaps[k, f]
    state.shares[1] = momentum * state.shares[1] + decay * state.shares[0]
    if scale > 0.0:
        add_scaled(state.velocity, work.coefficients, scale)
        add_scaled(state.pushed, work.products, scale)


class Rule(NamedTuple):
    """How an update is made: what `Schedule` holds of one phase, with the rate of the update."""

    radius: float
    normalised: int
    group_size: int
    learning_rate: float
    momentum: float
    weight_decay: float


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
    velocity: Matrix  # coefficients of the velocity, (Q, F)
    pushed: Matrix  # overlaps of the velocity, (Q, F)
    shares: Vector  # of W(0) in the weights and in the velocity, (2,)
    stack: Vector  # room for the program of a learning rate


UPDATE, EPOCH, PHASE, PHASE_EPOCH, BATCH, FROZEN_AT, FROZEN = 0, 1, 2, 3, 4, 5, 6


@inlined
def new_state(problem):
    """The state before the first update."""
    at = np.zeros(7, np.int64)
    at[FROZEN_AT] = -1
    q, banks = problem.overlaps.shape
    overlaps = padded_copy(problem.overlaps, pad(q), pad(banks))
    shares = np.zeros(2)
    shares[0] = 1.0
    return State(
        overlaps,
        np.zeros(overlaps.shape),
        np.arange(problem.labels.size),
        at,
        np.zeros(overlaps.shape),
        np.zeros(overlaps.shape),
        shares,
        np.zeros(rates.MOST_NUMBERS),
    )


@borrowing
def flip_labels(problem, samples, probability, stream, update, work):
    """Fresh label noise on a batch: each label is turned over with this probability."""
    for i in samples:
        flips = random.uniform(stream, random.LABEL_NOISE, update, i) < probability
        work.labels[i] = -problem.labels[i] if flips else problem.labels[i]


@borrowing
def come_to_rest(state):
    """Velocity v ← 0."""
    fill(state.velocity, 0.0)
    fill(state.pushed, 0.0)
    state.shares[1] = 0.0


@borrowing
def changing_rate(schedule, phase, at, batches, stack):
    """The learning rate of the update at hand, if it changes during the phase."""
    epoch = at[PHASE_EPOCH]
    return rates.value_at(
        schedule.rate_code,
        schedule.rate_value,
        schedule.rate_start[phase],
        schedule.rate_stop[phase],
        float(epoch),
        float(epoch * batches + at[BATCH]),
        stack,
    )


@inlined
def advance(problem, schedule, stream, until, stop, state, work):
    """Train until the update number `until`; returns DONE, NON_FINITE or STOPPED."""
    at, n = state.at, problem.labels.size
    while at[UPDATE] < until:
        if stopped(stop):
            return codes.STOPPED
        phase = at[PHASE]
        if at[PHASE_EPOCH] >= schedule.epochs[phase]:
            last, at[PHASE_EPOCH] = phase, 0
            phase += 1
            while schedule.epochs[phase] == 0:
                phase += 1
            at[PHASE] = phase
            momentum = schedule.momentum[phase]
            goes_on = momentum > 0.0 and momentum == schedule.momentum[last]
            if schedule.restart[phase] > 0 or not goes_on:
                come_to_rest(state)
        size = schedule.batch_size[phase]
        batches = batches_per_epoch(n, size, schedule.keep_last[phase])
        samples, patches = work.every_sample, work.every_patch
        if size < n:
            if at[BATCH] == 0:
                random.fill_permutation(stream, random.PARTITION, at[EPOCH], state.order)
            samples = state.order[at[BATCH] * size : min((at[BATCH] + 1) * size, n)]
            patches = work.touched[: touch(problem.table, samples, work)]
        rate = schedule.learning_rate[phase]
        if schedule.rate_start[phase] < schedule.rate_stop[phase]:
            rate = changing_rate(schedule, phase, at, batches, state.stack)
            if not 0.0 <= rate < np.inf:
                return codes.NON_FINITE
        rule = Rule(
            schedule.radius[phase],
            schedule.normalised[phase],
            schedule.group_size[phase],
            rate,
            schedule.momentum[phase],
            schedule.weight_decay[phase],
        )
        noise = schedule.label_noise[phase]
        if noise > 0.0:
            flip_labels(problem, samples, noise, stream, at[UPDATE], work)
        moves, finite = step(problem, samples, patches, rule, state, work)
        if noise > 0.0:
            for i in samples:
                work.labels[i] = problem.labels[i]
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


@borrowing_pointed
def train(
    problem: Problem,
    schedule: Schedule,
    stream: random.Stream,
    test_set: TestSet,
    fresh: FreshSamples,
    test: Annotated[Any, testing.test],
    estimate: Annotated[Any, risk.line_estimate],
    probe: Annotated[Any, probes.probe],
    probe_radius: float,
    record_at: Indices,
    stop: Indices,
    state: State,
    work: Workspace,
    traces: Traces,
    outcome: Indices,
) -> None:
    """Run a schedule of phases and write the state at the updates of `record_at` into `traces`.

    Parameters
    ----------
    test, estimate, probe : compiled functions
        `testing.test`, an estimate of `risk`, `probes.probe`, called through their pointers.
    probe_radius : float
        τ of the recorded SAM gap and deactivated fraction; below 0 that of the phase at hand.
    record_at : (T,) int64, increasing
        Numbers of updates after which the state is observed; 0 is the initial state.
    stop : (1,) int64
        Polled at every step; non-zero ends the run with status STOPPED.
    state, work : State, Workspace
        Those of a `new_state` and `new_workspace`.
    outcome : (2,) int64
        Filled with the status and its update: DONE, ZERO_GRADIENT (every gradient from that update
        on was exactly zero, for an epoch or more), NON_FINITE (noticed at that update; what would
        be recorded from there on is left as it was) or STOPPED.
    """
    dictionary = problem.dictionary
    outcome[0], outcome[1] = codes.DONE, 0
    if not (all_finite(dictionary.gram) and all_finite(dictionary.rows)):
        outcome[0] = codes.NON_FINITE
        return
    for index in range(record_at.size):
        code = advance(problem, schedule, stream, record_at[index], stop, state, work)
        if code == codes.DONE:
            # The phase that made the last update: `advance` turns to the next one when it begins.
            phase = state.at[PHASE]
            radius = schedule.radius[phase] if probe_radius < 0.0 else probe_radius
            code = observe(
                problem,
                stream,
                test_set,
                fresh,
                test,
                estimate,
                probe,
                state.overlaps,
                state.moved,
                state.shares[0],
                work,
                radius,
                schedule.batch_size[phase],
                stop,
                index,
                traces,
            )
        if code != codes.DONE:
            outcome[0], outcome[1] = code, state.at[UPDATE]
            return
    if state.at[FROZEN] > 0:
        outcome[0], outcome[1] = codes.ZERO_GRADIENT, state.at[FROZEN_AT]
