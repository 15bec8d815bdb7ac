"""The driver of a run: phases, batches, strides, conditions, and the states that are recorded.

`updates` has the equations of an update. A phase goes on with the velocity of the last one if β is
the same, and η may change in every update.
"""

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from simdyn.kernels import codes, random, rates
from simdyn.kernels.compiled import borrowing, borrowing_pointed, inlined, stopped
from simdyn.kernels.goals import no_goal
from simdyn.kernels.linear import all_finite
from simdyn.kernels.observe import Readers, Recording, observe
from simdyn.kernels.state import (
    BATCH,
    EPOCH,
    FRESH,
    FROZEN,
    FROZEN_AT,
    GOAL,
    MET,
    METHOD,
    MISSED,
    MOVES,
    PHASE,
    PHASE_EPOCH,
    REACHED,
    RECORDED,
    RUN,
    TARGET,
    TO,
    UPDATE,
    State,
    last_phase,
    note_switches,
    stop_moving,
)
from simdyn.kernels.strides import begin_strides, no_stride, place, walk
from simdyn.kernels.structures import Indices, Problem, Schedule
from simdyn.kernels.updates import step
from simdyn.kernels.workspace import Workspace


class Tools(NamedTuple):
    """Kernels called through pointers, or stand-ins for those that a run does not need."""

    readers: Readers
    stride: Annotated[Any, no_stride]
    goal: Annotated[Any, no_goal]


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


@borrowing
def note_movement(moves, at):
    """Remember since which update every gradient was exactly zero."""
    if moves:
        at[FROZEN_AT], at[FROZEN] = -1, 0
    elif at[FROZEN_AT] < 0:
        at[FROZEN_AT] = at[UPDATE]


@borrowing
def end_phase(phase, at):
    """The condition of a phase is met: it ends here."""
    at[REACHED], at[PHASE_EPOCH] = at[UPDATE], phase.epochs
    at[EPOCH] += 1 if at[BATCH] > 0 else 0
    at[BATCH] = 0


@inlined
def seek_ahead(problem, schedule, stream, tools, stop, state, work, recording):
    """Find the first update on the way of the last stride at which the phase's condition is met.

    It is taken to stay met up to the end of the stride.
    """
    pace, low, high = state.pace, state.at[PHASE_EPOCH], int(state.pace[TO])
    probed = high
    while high > low and probed > low:
        place(state, float(probed))
        tools.goal(problem, schedule, stream, tools.readers, stop, state, work, recording)
        if state.at[MET] > 0:
            high, pace[GOAL] = probed, float(probed)
        else:
            low = probed
        probed = (low + high) // 2
    pace[FRESH] = 0.0


@inlined
def advance(problem, schedule, stream, tools, stop, state, work, recording):
    """Train until the update number at[TARGET]; returns DONE, NON_FINITE or STOPPED.

    If conditions end all phases before, it returns DONE there.
    """
    at, pace, n = state.at, state.pace, problem.labels.size
    watched, until = state.switched.size > 0, at[TARGET]
    if pace.size > 0:
        pace[FRESH] = 0.0
    while at[UPDATE] < until:
        if stopped(stop):
            return codes.STOPPED
        phase = schedule.phases[at[PHASE]]
        if at[PHASE_EPOCH] >= phase.epochs:
            last = last_phase(schedule, at[METHOD])
            coming = at[PHASE] + 1
            while coming <= last and schedule.phases[coming].epochs == 0:
                coming += 1
            if coming > last:
                return codes.DONE
            momentum, at[PHASE], at[PHASE_EPOCH] = phase.momentum, coming, 0
            phase = schedule.phases[at[PHASE]]
            if phase.restart or not 0.0 < phase.momentum == momentum:
                stop_moving(state)
            if pace.size > 0:
                begin_strides(state)
        strides = phase.stride_tolerance > 0.0
        if strides and int(pace[TO]) > at[PHASE_EPOCH]:
            walk(state)
            at[FROZEN] |= 0 <= at[FROZEN_AT] < at[UPDATE]
            if pace[GOAL] == at[PHASE_EPOCH]:
                end_phase(phase, at)
            elif phase.goal > 0 and at[PHASE_EPOCH] >= phase.epochs:
                at[MISSED] += 1
            continue
        if strides:
            tools.stride(problem, schedule, state, work)
            if math.isnan(pace[MOVES]):
                return codes.NON_FINITE
            note_movement(pace[MOVES] > 0.0, at)
            if phase.goal > 0:
                seek_ahead(problem, schedule, stream, tools, stop, state, work, recording)
            continue
        size = phase.batch_size
        batches = batches_per_epoch(n, size, phase.keep_last)
        samples = work.every_sample
        if size < n:
            if at[BATCH] == 0:
                random.fill_permutation(stream, random.PARTITION, at[EPOCH], state.order)
            samples = state.order[at[BATCH] * size : min((at[BATCH] + 1) * size, n)]
        rate, noise = phase.learning_rate, phase.label_noise
        if phase.rate_start < phase.rate_stop:
            rate = changing_rate(schedule, phase, at, batches, state.stack)
            if not 0.0 <= rate < np.inf:
                return codes.NON_FINITE
        if noise > 0.0:
            flip_labels(problem, samples, noise, stream, at[UPDATE], work)
        moves, finite = step(problem, samples, phase, rate, state, work)
        if noise > 0.0:
            for i in samples:
                work.labels[i] = problem.labels[i]
        if not finite:
            return codes.NON_FINITE
        note_movement(moves, at)
        at[UPDATE] += 1
        at[BATCH] += 1
        if at[BATCH] == batches:
            # Frozen means a whole epoch without a gradient: a single batch may have none.
            at[FROZEN] |= 0 <= at[FROZEN_AT] <= at[UPDATE] - batches
            at[BATCH] = 0
            at[EPOCH] += 1
            at[PHASE_EPOCH] += 1
        if watched:
            note_switches(state.overlaps, at[UPDATE], state)
        if phase.goal > 0:
            tools.goal(problem, schedule, stream, tools.readers, stop, state, work, recording)
            if at[MET] > 0:
                end_phase(phase, at)
            elif at[PHASE_EPOCH] >= phase.epochs:
                at[MISSED] += 1
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
        Those of a `new_state`, which names method and run, and a `new_workspace`, which other runs
        of the same problem may have used.
    recording : Recording
        The status is DONE, ZERO_GRADIENT (every gradient from that update on was exactly zero, for
        an epoch or more), NON_FINITE (noticed at that update; what would be recorded from there on
        is left as it was) or STOPPED.
    """
    at, dictionary, code = state.at, problem.dictionary, codes.DONE
    if not (all_finite(dictionary.gram) and all_finite(dictionary.rows)):
        code = codes.NON_FINITE
    while code == codes.DONE and at[RECORDED] < schedule.record_at.shape[1]:
        at[TARGET] = schedule.record_at[at[METHOD], at[RECORDED]]
        code = advance(problem, schedule, stream, tools, stop, state, work, recording)
        if code == codes.DONE:
            # The phase that made the last update: `advance` turns to the next one when it begins.
            phase = schedule.phases[at[PHASE]]
            code = observe(problem, phase, stream, tools.readers, stop, state, work, recording)
            at[RECORDED] += 1
    update = 0 if code == codes.DONE else at[UPDATE]
    if code == codes.DONE and at[FROZEN] > 0:
        code, update = codes.ZERO_GRADIENT, at[FROZEN_AT]
    if code in (codes.DONE, codes.ZERO_GRADIENT) and at[MISSED] > 0:
        code, update = codes.UNREACHED, at[UPDATE]
    recording.status[at[RUN]], recording.status_step[at[RUN]] = code, update
