"""Conditions that end a phase before its epochs are over, such as "train_loss < 0.01"."""

import math

from simdyn.kernels.codes import (
    CLEAN_TEST_ERROR,
    DEACTIVATED,
    GRAD_NORM,
    LARGEST_NOISE,
    LARGEST_SIGNAL,
    MARGIN,
    SAM_GAP,
    SHARPNESS,
    TEST_ERROR,
    TEST_SET,
    TRAIN_ERROR,
)
from simdyn.kernels.compiled import borrowing, borrowing_pointed
from simdyn.kernels.gradient import apply_gram, gradient
from simdyn.kernels.linear import squared_norm
from simdyn.kernels.observe import Readers, Recording, probe_state, training_scores
from simdyn.kernels.random import Stream
from simdyn.kernels.state import MET, PHASE, State
from simdyn.kernels.structures import Indices, Problem, Schedule
from simdyn.kernels.workspace import Workspace


@borrowing
def largest_coefficient(of_noise, problem, copies, moved):
    """The largest signal or noise coefficient; noise is shown in `copies` patches."""
    dictionary, banks, largest = problem.dictionary, problem.overlaps.shape[1], -math.inf
    if of_noise:
        for i in range(problem.labels.size):
            k = problem.n_signals + i
            square = copies * squared_norm(dictionary, k) * dictionary.units[k]
            for f in range(banks):
                largest = max(largest, square * moved[f, k])
        return largest
    square = squared_norm(dictionary, 0) * dictionary.units[0]
    for f in range(banks):
        largest = max(largest, square * (moved[f, 0] if f < banks // 2 else -moved[f, 0]))
    return largest


@borrowing
def reading(phase, problem, stream, readers, stop, state, work, recording):
    """What a phase's condition reads, at the weights of a state; NaN if an output overflows."""
    quantity, fresh = phase.goal, recording.fresh
    if quantity in (LARGEST_SIGNAL, LARGEST_NOISE):
        of_noise = quantity == LARGEST_NOISE
        return largest_coefficient(of_noise, problem, fresh.noise_copies, state.moved)
    if quantity in (TEST_ERROR, CLEAN_TEST_ERROR):
        readers.test(
            problem, stream, fresh, recording.test_set, readers.estimate, state, work, stop
        )
        error = work.found[0]
        if quantity == TEST_ERROR and fresh.method != TEST_SET:
            error = fresh.label_flip + (1.0 - 2.0 * fresh.label_flip) * error
        return error
    scale, finite = gradient(state.overlaps, problem, work.every_sample, work)
    if not finite:
        return math.nan
    if quantity in (SAM_GAP, DEACTIVATED, SHARPNESS):
        drawn, sharp = quantity == DEACTIVATED, quantity == SHARPNESS
        probe_state(problem, phase, readers, stop, state, work, recording, (drawn, sharp))
        return work.found[0 if quantity == SAM_GAP else 1 if drawn else 2]
    if quantity == GRAD_NORM:
        return scale * apply_gram(work)
    if quantity == MARGIN:
        least = math.inf
        for margin in work.margins:
            least = min(least, margin)
        return least
    train_loss, train_error = training_scores(problem.model, work.margins)
    return train_error if quantity == TRAIN_ERROR else train_loss


@borrowing_pointed
def seek_goal(
    problem: Problem,
    schedule: Schedule,
    stream: Stream,
    readers: Readers,
    stop: Indices,
    state: State,
    work: Workspace,
    recording: Recording,
) -> None:
    """Does the condition of the current phase hold? The answer goes into at[MET]."""
    phase = schedule.phases[state.at[PHASE]]
    value = reading(phase, problem, stream, readers, stop, state, work, recording)
    bound = phase.goal_bound
    state.at[MET] = 1 if (value < bound if phase.goal_below else value > bound) else 0


@borrowing_pointed
def no_goal(
    problem: Problem,
    schedule: Schedule,
    stream: Stream,
    readers: Readers,
    stop: Indices,
    state: State,
    work: Workspace,
    recording: Recording,
) -> None:
    """Used if no phase has a condition, so that `seek_goal` is not compiled."""
