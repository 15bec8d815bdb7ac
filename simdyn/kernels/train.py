"""One driver for SGD and SAM, in Gram space.

    SGD:  A ← A − η G C                          C = C(A), the gradient's coefficients on the batch
    SAM:  A' = A + τ U / √(Σ C∘U), U = G C;  A ← A − η G C(A')

SGD is the case τ = 0. The moved coefficients S = −Σ_t η C carry the weights: W(t) = W(0) + Sᵀ V.
Momentum and weight decay stay in the span too: the velocity v ← β v + ∇L + λ W has coefficients,
overlaps and a share of W(0) of its own, and W(t) = a W(0) + Sᵀ V with a share a that decays. A
phase goes on with the velocity of the last one if β is the same, and η may change in every update.
With groups, each group of a batch is perturbed on its own and the gradients are averaged
(m-sharpness).
Cost per step O(m q²), whatever d is.
"""

import math

import numpy as np

from simdyn.kernels import codes, random, rates
from simdyn.kernels.compiled import borrowing, borrowing_pointed, inlined, stopped
from simdyn.kernels.gradient import Workspace, apply_gram, gradient, perturb, touch
from simdyn.kernels.linear import all_finite, copy, fill
from simdyn.kernels.observe import Recording, Tools, observe
from simdyn.kernels.simd import add_scaled
from simdyn.kernels.state import (
    BATCH,
    EPOCH,
    FROZEN,
    FROZEN_AT,
    METHOD,
    PHASE,
    PHASE_EPOCH,
    RECORDED,
    RUN,
    UPDATE,
    State,
    stop_moving,
)
from simdyn.kernels.structures import Indices, Problem, Schedule


@inlined
def descent(problem, samples, patches, radius, by_norm, overlaps, work):
    """C and U = G C of the gradient at W + ε̂ on some samples, into the workspace.

    Returns
    -------
    scale : float
        The gradient is this times C.
    moves : bool
        False if the gradient at W is exactly zero, or that at W + ε̂ below a double's range.
    finite : bool
        False if an output overflowed.
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
            reach = radius if by_norm else radius * scale * norm
            perturb(overlaps, reach, norm, work)
            at = work.perturbed
    return scale, scale > 0.0 or norm == 0.0, True


@inlined
def step(problem, samples, patches, phase, rate, state, work):
    """One update on one batch, in place, at the learning rate `rate`.

    Returns
    -------
    moves : bool
        False if nothing changes: the gradient is exactly zero, and there is no velocity or decay.
    finite : bool
        False if an output overflowed; the state is then left as it was.
    """
    size = samples.size
    whole = not 0 < phase.perturbed_together < size
    group = size if whole else phase.perturbed_together
    if not whole:
        fill(work.total, 0.0)
    scale, moves = 0.0, False
    for first in range(0, size, group):
        part = samples if whole else samples[first : min(first + group, size)]
        shown = patches if whole else work.touched[: touch(problem.table, part, work)]
        scale, pulls, finite = descent(
            problem, part, shown, phase.perturbation, phase.perturbs_by_norm, state.overlaps, work
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
    if phase.momentum == 0.0 and phase.weight_decay == 0.0:
        if moves:
            add_scaled(state.overlaps, work.products, -(rate * scale))
            add_scaled(state.moved, work.coefficients, -(rate * scale))
        return moves, True
    change_velocity(phase.momentum, phase.weight_decay, scale if moves else 0.0, state, work)
    add_scaled(state.overlaps, state.velocity_overlaps, -rate)
    add_scaled(state.moved, state.velocity, -rate)
    state.shares[0] -= rate * state.shares[1]
    return True, True


@borrowing
def change_velocity(momentum, decay, scale, state, work):
    """Velocity v ← β v + ∇L + λ W, as coefficients, as overlaps, and as its share of W(0)."""
    velocity, overlaps = state.velocity, state.velocity_overlaps
    for k in range(velocity.shape[0]):
        for f in range(velocity.shape[1]):
            velocity[k, f] = momentum * velocity[k, f] + decay * state.moved[k, f]
            overlaps[k, f] = momentum * overlaps[k, f] + decay * state.overlaps[k, f]
    state.shares[1] = momentum * state.shares[1] + decay * state.shares[0]
    if scale > 0.0:
        add_scaled(velocity, work.coefficients, scale)
        add_scaled(overlaps, work.products, scale)


@borrowing
def batches_per_epoch(n, batch_size, keep_last):
    """Updates in one pass over n samples."""
    return (n + batch_size - 1) // batch_size if keep_last else n // batch_size


@borrowing
def flip_labels(problem, samples, probability, stream, update, work):
    """Fresh label noise on a batch: each label is turned over with this probability."""
    for i in samples:
        flips = random.uniform(stream, random.LABEL_NOISE, update, i) < probability
        work.labels[i] = -problem.labels[i] if flips else problem.labels[i]


@borrowing
def changing_rate(schedule, phase, at, batches, stack):
    """The learning rate of the next update, if it changes during the phase."""
    epoch = at[PHASE_EPOCH]
    return rates.value_at(
        schedule.rate_code,
        schedule.rate_value,
        phase.rate_start,
        phase.rate_stop,
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
        phase = schedule.phases[at[PHASE]]
        if at[PHASE_EPOCH] >= phase.epochs:
            momentum, at[PHASE_EPOCH] = phase.momentum, 0
            at[PHASE] += 1
            while schedule.phases[at[PHASE]].epochs == 0:
                at[PHASE] += 1
            phase = schedule.phases[at[PHASE]]
            if phase.restart or not 0.0 < phase.momentum == momentum:
                stop_moving(state)
        size = phase.batch_size
        batches = batches_per_epoch(n, size, phase.keep_last)
        samples, patches = work.every_sample, work.every_patch
        if size < n:
            if at[BATCH] == 0:
                random.fill_permutation(stream, random.PARTITION, at[EPOCH], state.order)
            samples = state.order[at[BATCH] * size : min((at[BATCH] + 1) * size, n)]
            patches = work.touched[: touch(problem.table, samples, work)]
        rate, noise = phase.learning_rate, phase.label_noise
        if phase.rate_start < phase.rate_stop:
            rate = changing_rate(schedule, phase, at, batches, state.stack)
            if not 0.0 <= rate < np.inf:
                return codes.NON_FINITE
        if noise > 0.0:
            flip_labels(problem, samples, noise, stream, at[UPDATE], work)
        moves, finite = step(problem, samples, patches, phase, rate, state, work)
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
            # Frozen means a whole epoch without a gradient: a single batch may have none.
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
    tools: Tools,
    stop: Indices,
    state: State,
    work: Workspace,
    recording: Recording,
) -> None:
    """Train by one method of a schedule, and write its states, its status and the update of that.

    Parameters
    ----------
    stop : (1,) int64
        Polled at every step; non-zero ends the run with status STOPPED.
    state, work : State, Workspace
        Those of a `new_state`, which names method and run, and a `new_workspace`.
    recording : Recording
        The status is DONE, ZERO_GRADIENT (every gradient from that update on was exactly zero, for
        an epoch or more), NON_FINITE (noticed at that update; what would be recorded from there on
        is left as it was) or STOPPED.
    """
    at, dictionary, code = state.at, problem.dictionary, codes.DONE
    if not (all_finite(dictionary.gram) and all_finite(dictionary.rows)):
        code = codes.NON_FINITE
    while code == codes.DONE and at[RECORDED] < schedule.record_at.shape[1]:
        until = schedule.record_at[at[METHOD], at[RECORDED]]
        code = advance(problem, schedule, stream, until, stop, state, work)
        if code == codes.DONE:
            # The phase that made the last update: `advance` turns to the next one when it begins.
            phase = schedule.phases[at[PHASE]]
            code = observe(problem, phase, stream, tools, stop, state, work, recording)
            at[RECORDED] += 1
    update = 0 if code == codes.DONE else at[UPDATE]
    if code == codes.DONE and at[FROZEN] > 0:
        code, update = codes.ZERO_GRADIENT, at[FROZEN_AT]
    recording.status[at[RUN]], recording.status_step[at[RUN]] = code, update
