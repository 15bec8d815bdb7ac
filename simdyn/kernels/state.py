"""Where a trajectory stands: overlaps, moved coefficients, velocity and counters."""

from typing import NamedTuple

import numpy as np

from simdyn.kernels import rates
from simdyn.kernels.compiled import borrowing, inlined
from simdyn.kernels.gradient import pad, padded_copy
from simdyn.kernels.linear import fill
from simdyn.kernels.structures import Indices, Matrix, Vector

# Entries of State.at. A run is one method on one replicate.
RUN, METHOD, RECORDED, UPDATE, EPOCH, PHASE, PHASE_EPOCH, BATCH, FROZEN_AT, FROZEN = range(10)
STRIDES, COVERED, REJECTED = range(10, 13)  # strides, the updates in them, strides taken back
# The update at which the condition of a phase was last met, or −1, and phases in which it was not.
REACHED, MISSED = range(13, 15)

# Entries of State.pace: the stride to come, the last one, updates in the phase after and before it,
# those after which training is as far as it was from zero at the start, and those by which a
# condition is met.
LENGTH, LAST, PASSED, BEFORE, START, CEILING = range(6)


class State(NamedTuple):
    """The weights W = a W(0) + Sᵀ V of one run, and how far it has come."""

    overlaps: Matrix  # A = V Wᵀ, (Q, F), padded as in `Workspace`
    moved: Matrix  # S, (Q, F)
    velocity: Matrix  # its coefficients, (Q, F)
    velocity_overlaps: Matrix  # (Q, F)
    shares: Vector  # of W(0) in the weights (a) and in the velocity, (2,)
    order: Indices  # the partition of the current epoch, (n,)
    stack: Vector  # room for the program of a learning rate
    at: Indices  # counters
    pace: Vector  # of strides; this and what follows is empty if no phase has any
    kept_overlaps: Matrix  # A and S before the last stride
    kept_moved: Matrix
    pulls: Vector  # at the last stride, one for each patch


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
def new_state(problem, schedule, method, run):
    """The state before the first update."""
    at = np.zeros(15, np.int64)
    at[RUN], at[METHOD], at[PHASE], at[FROZEN_AT] = run, method, schedule.first_phase[method], -1
    at[REACHED] = -1
    q, banks = problem.overlaps.shape
    overlaps = padded_copy(problem.overlaps, pad(q), pad(banks))
    shares = np.zeros(2)
    shares[0] = 1.0
    strided = 1 if has_strides(schedule, method) else 0
    pace = np.zeros(6 * strided)
    if strided > 0:
        pace[LENGTH] = 1.0
    return State(
        overlaps,
        np.zeros(overlaps.shape),
        np.zeros(overlaps.shape),
        np.zeros(overlaps.shape),
        shares,
        np.arange(problem.labels.size),
        np.zeros(rates.MOST_NUMBERS),
        at,
        pace,
        np.zeros((strided * overlaps.shape[0], overlaps.shape[1])),
        np.zeros((strided * overlaps.shape[0], overlaps.shape[1])),
        np.zeros(strided * problem.table.row.size),
    )


@borrowing
def stop_moving(state):
    """Velocity v ← 0."""
    fill(state.velocity, 0.0)
    fill(state.velocity_overlaps, 0.0)
    state.shares[1] = 0.0
