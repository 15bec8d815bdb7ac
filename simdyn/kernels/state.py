"""Where a trajectory stands: overlaps, moved coefficients, velocity and counters."""

from typing import NamedTuple

import numpy as np

from simdyn.kernels import rates
from simdyn.kernels.compiled import borrowing, inlined
from simdyn.kernels.linear import fill
from simdyn.kernels.structures import Counts, Indices, Matrix, Vector
from simdyn.kernels.workspace import pad, padded, zeros

# Entries of State.at. A run is one method on one replicate.
RUN, METHOD, RECORDED, UPDATE, EPOCH, PHASE, PHASE_EPOCH, BATCH, FROZEN_AT, FROZEN = range(10)
STRIDES, COVERED, REJECTED = range(10, 13)  # strides, the updates in them, strides taken back
# The update at which the condition of a phase was last met, or −1, and phases in which it was not.
REACHED, MISSED = range(13, 15)
TARGET, MET = 15, 16  # the update to train to; is the condition of the phase met here?

# Entries of State.pace. The last stride leads from one update of the phase to another; LINE is 1 if
# it was more than a single update.
LENGTH, FROM, TO, LINE, START = range(5)
# At its end: is the gradient there in the workspace, its factor and norm, and did anything move?
# That is NaN if it could not be taken, for an output overflows.
FRESH, SCALE, NORM, MOVES = range(5, 9)
SHARE_BEHIND, SHARE_AHEAD = range(9, 11)  # of W(0), at both ends
AWAY = 11  # 1 if the weights are on its way; those at its end are then kept ahead
GOAL = 12  # updates of the phase at which its condition is met, as far as is known
# Strides to take before a long one of SAM is tried again, and after the next that fails.
WAIT, PATIENCE = range(13, 15)


class State(NamedTuple):
    """The weights W = a W(0) + Sᵀ V of one run, and how far it has come."""

    overlaps: Matrix  # Aᵀ = W Vᵀ, (F, Q), padded as in `Workspace`
    moved: Matrix  # Sᵀ, (F, Q)
    velocity: Matrix  # its coefficients, (F, Q)
    velocity_overlaps: Matrix  # (F, Q)
    shares: Vector  # of W(0) in the weights (a) and in the velocity, (2,)
    order: Indices  # the partition of the current epoch, (n,)
    stack: Vector  # room for the program of a learning rate
    at: Indices  # counters
    pace: Vector  # of strides; this and what follows is empty if no phase has any
    kept_overlaps: Matrix  # A and S at the start of the last stride
    kept_moved: Matrix
    ahead_overlaps: Matrix  # and at its end, while the weights are on its way
    ahead_moved: Matrix
    pulls: Vector  # at the end of the last stride, as in `Workspace`
    switched: Counts  # see `note_switches`; empty if nobody asks


@borrowing
def last_phase(schedule, method):
    """The number of the last phase of a method."""
    first = schedule.first_phase
    return (first[method + 1] if method + 1 < first.size else schedule.phases.size) - 1


@borrowing
def has_strides(schedule, method):
    """Does a phase of a method go in strides?"""
    phases, largest = schedule.phases, 0.0
    for k in range(schedule.first_phase[method], last_phase(schedule, method) + 1):
        largest = max(largest, phases[k].stride_tolerance)
    return largest > 0.0


@inlined
def new_state(problem, schedule, method, run, watched):
    """The state before the first update; `watched`: switching activations are noted."""
    at = np.zeros(17, np.int64)
    at[RUN], at[METHOD], at[PHASE], at[FROZEN_AT] = run, method, schedule.first_phase[method], -1
    at[REACHED] = -1
    q, height = problem.overlaps.shape
    width = pad(q)
    room = padded(problem.overlaps.T, 4 * height, width)  # one for many: each takes a while
    shares = np.zeros(2)
    shares[0] = 1.0
    strided = 1 if has_strides(schedule, method) else 0
    pace = np.zeros(15 * strided)
    if strided > 0:
        pace[LENGTH], pace[GOAL] = 1.0, np.inf
    switched = np.zeros((height if watched else 0, q), np.int64)
    for f in range(switched.shape[0]):
        for k in range(q):
            switched[f, k] = 1 if room[f, k] > 0.0 else 0
    both_ends, steps = zeros(4 * strided * height, width), strided * height
    return State(
        room[:height],
        room[height : 2 * height],
        room[2 * height : 3 * height],
        room[3 * height :],
        shares,
        np.arange(problem.labels.size),
        np.zeros(rates.MOST_NUMBERS),
        at,
        pace,
        both_ends[:steps],
        both_ends[steps : 2 * steps],
        both_ends[2 * steps : 3 * steps],
        both_ends[3 * steps :],
        np.zeros(strided * 2 * width),
        switched,
    )


@borrowing
def stop_moving(state):
    """Velocity v ← 0."""
    fill(state.velocity, 0.0)
    fill(state.velocity_overlaps, 0.0)
    state.shares[1] = 0.0


@borrowing
def note_switches(overlaps, update, state):
    """Remember for each overlap the update of its last change of sign: 2·update, plus 1 if > 0."""
    switched = state.switched
    for f in range(switched.shape[0]):
        for k in range(switched.shape[1]):
            above = 1 if overlaps[f, k] > 0.0 else 0
            if switched[f, k] % 2 != above:
                switched[f, k] = 2 * update + above


@borrowing
def switching_fraction(state):
    """Overlaps whose sign changed in the last tenth of the updates, as a share of all."""
    switched, count = state.switched, 0
    first = state.at[UPDATE] - state.at[UPDATE] // 10
    for f in range(switched.shape[0]):
        for k in range(switched.shape[1]):
            count += 1 if switched[f, k] // 2 > first else 0
    return count / switched.size
