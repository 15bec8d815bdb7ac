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


@inlined
def new_state(problem, schedule, method, run):
    """The state before the first update."""
    at = np.zeros(10, np.int64)
    at[RUN], at[METHOD], at[PHASE], at[FROZEN_AT] = run, method, schedule.first_phase[method], -1
    q, banks = problem.overlaps.shape
    overlaps = padded_copy(problem.overlaps, pad(q), pad(banks))
    shares = np.zeros(2)
    shares[0] = 1.0
    return State(
        overlaps,
        np.zeros(overlaps.shape),
        np.zeros(overlaps.shape),
        np.zeros(overlaps.shape),
        shares,
        np.arange(problem.labels.size),
        np.zeros(rates.MOST_NUMBERS),
        at,
    )


@borrowing
def stop_moving(state):
    """Velocity v ← 0."""
    fill(state.velocity, 0.0)
    fill(state.velocity_overlaps, 0.0)
    state.shares[1] = 0.0
