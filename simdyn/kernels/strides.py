"""Many updates of the whole batch at once, and gradient flow.

Once the loss falls slowly, so do the pulls: the gradient's coefficients C change by a share of 1/t
in an update. A stride of s updates takes

    S ← S − η s C(A − η (s − 1)/2 · U),    U = G C(A)                SGD
    S ← S − η s C(A + τ U/ν),              ν = √(Σ C∘U)              SAM

The sum of C over s updates is s times its value at their middle, up to the second order in s; the
middle lies (s − 1)/2 updates ahead, not s/2, so that the effect of a finite η stays and s = 1 is
the update itself. Gradient flow, dA/dt = −U in the time t of η updates, is the same with the middle
at s/2 and any real s. SAM's stride is of first order.

Activations chatter: where a neuron that is on is pushed off and one that is off pushed on, an
overlap stays near zero for ever, within η s |U|, and is on for the share of the time that balances
both pushes. That share, and with it the drift of everything else, does not depend on s while the
overlap stays bounded. What does is how far SAM sees: an overlap in (0, δ), which the perturbation
puts to zero, rests there, and a stride longer than δ jumps over the rest. So SAM's strides move by
a share of the perturbation at most.

A stride is at most a share `REACH` · tolerance of the updates since the phase began. A stride of
SAM moves the overlaps by at most `PERTURBED` times that share of the perturbation. No pull may
change by more than `CHANGE` times that share in a stride, relative to the largest pull, or the
stride is taken back and the next is half as long.
"""

import math

from simdyn.kernels.compiled import borrowing, inlined
from simdyn.kernels.gradient import apply_gram, gradient, perturb
from simdyn.kernels.linear import copy
from simdyn.kernels.simd import add_scaled, flat_dot
from simdyn.kernels.state import (
    BEFORE,
    CEILING,
    COVERED,
    EPOCH,
    LAST,
    LENGTH,
    PASSED,
    PHASE_EPOCH,
    REJECTED,
    START,
    STRIDES,
    UPDATE,
)

REACH = 3.0
PERTURBED = 10.0
CHANGE = 2.0
GROWTH = 1.5  # of a stride over the last, at most
SHORTEST = 0.01  # stride of gradient flow that may be taken back, over the share


@borrowing
def begin_strides(state):
    """A phase begins."""
    pace = state.pace
    pace[LENGTH], pace[LAST], pace[PASSED], pace[START] = 1.0, 0.0, 0.0, 0.0
    pace[CEILING] = math.inf


@borrowing
def start_of_flow(rate, state, work):
    """Updates that would move the overlaps by as much as they are from zero, at most one.

    Until then activations set in and end one after another.
    """
    size = math.sqrt(flat_dot(state.overlaps, state.overlaps))
    speed = rate * math.sqrt(flat_dot(work.products, work.products))
    return min(1.0, max(1e-9, size / speed)) if speed > 0.0 else 1.0


@borrowing
def change_of_pulls(state, work):
    """Largest change of a pull since the last stride, over the largest pull; keeps the pulls."""
    before, pulls = state.pulls, work.pulls
    change, largest = 0.0, 0.0
    for p in range(pulls.size):
        change = max(change, abs(pulls[p] - before[p]))
        largest = max(largest, abs(before[p]))
        before[p] = pulls[p]
    return change / largest if largest > 0.0 else 0.0


@borrowing
def closes_in(phase, state):
    """A condition is met: is this the update at which it is? Else the stride is taken back."""
    pace = state.pace
    if pace[LAST] <= 1.0:
        return True
    pace[CEILING] = pace[PASSED]
    take_back(phase, state)
    return False


@borrowing
def take_back(phase, state):
    """Undo the last stride, so that the next is half as long."""
    pace, at = state.pace, state.at
    copy(state.kept_overlaps, state.overlaps)
    copy(state.kept_moved, state.moved)
    at[REJECTED] += 1
    at[STRIDES] -= 1
    at[COVERED] -= 0 if phase.flows else int(pace[LAST])
    pace[LENGTH], pace[LAST], pace[PASSED] = 0.5 * pace[LAST], 0.0, pace[BEFORE]


@borrowing
def count_strides(phase, state):
    """Bring the counters to where the last stride has led, or been taken back to."""
    at = state.at
    made = int(state.pace[PASSED]) - at[PHASE_EPOCH]
    at[COVERED] += made if phase.flows else 0
    at[UPDATE] += made
    at[EPOCH] += made
    at[PHASE_EPOCH] += made


@borrowing
def next_length(phase, share, change, reach, state):
    """How long the next stride is to be, in updates; it need not be whole.

    Parameters
    ----------
    reach : float
        SAM's perturbation over the gradient; 0 for SGD.
    """
    pace = state.pace
    growth = GROWTH if change == 0.0 else min(GROWTH, max(0.5, CHANGE * share / change))
    length = min(pace[LENGTH] * growth, share * (pace[PASSED] + pace[START]))
    if reach > 0.0:
        length = min(length, PERTURBED * share * reach / phase.learning_rate)
    return length if phase.flows else max(1.0, length)


@inlined
def stride(problem, phase, end, state, work):
    """One stride, in place, or the last one is taken back.

    Parameters
    ----------
    end : int
        Updates of the phase at which to stop at the latest.

    Returns
    -------
    moves : bool
        False if the gradient is exactly zero.
    finite : bool
        False if an output overflowed.
    """
    pace, at, radius, rate = state.pace, state.at, phase.perturbation, phase.learning_rate
    share = REACH * phase.stride_tolerance
    shortest = SHORTEST * share if phase.flows else 1.0
    overlaps, length, passes, k = state.overlaps, 0.0, 2, 0
    scale, finite = 0.0, True
    while k < passes:  # one call of the gradient, so that it is compiled once
        scale, finite = gradient(overlaps, problem, work.every_sample, work.every_patch, work)
        norm = apply_gram(work) if finite else math.inf
        if k == 0:
            change = change_of_pulls(state, work) if finite else math.inf
            if pace[LAST] > shortest and change > 2.0 * CHANGE * share:
                take_back(phase, state)
                return True, True
            if norm == 0.0 or not math.isfinite(norm):
                pace[PASSED] = float(end)
                return False, math.isfinite(norm)
            reach = radius / (scale * norm) if radius > 0.0 and phase.perturbs_by_norm else radius
            if pace[START] == 0.0:
                start = start_of_flow(rate * scale, state, work)
                pace[START] = start if phase.flows else 1.0
            room = end - pace[PASSED]
            if pace[PASSED] >= pace[CEILING]:
                pace[CEILING] = math.inf
            elif pace[CEILING] < math.inf:
                room = min(room, max(1.0, math.floor(0.5 * (pace[CEILING] - pace[PASSED]))))
            pace[LENGTH] = next_length(phase, share, change, reach, state)
            length = min(pace[LENGTH] if phase.flows else math.floor(pace[LENGTH]), room)
            ahead = 0.5 * length if phase.flows else 0.5 * (length - 1.0)
            if radius > 0.0:
                perturb(state.overlaps, reach * scale * norm, norm, work)
                overlaps = work.perturbed
            elif ahead > 0.0:
                perturb(state.overlaps, -(rate * ahead * scale) * norm, norm, work)
                overlaps = work.perturbed
            else:
                passes = 1
        k += 1
    if not finite:
        return False, False
    copy(state.overlaps, state.kept_overlaps)
    copy(state.moved, state.kept_moved)
    add_scaled(state.overlaps, work.products, -(rate * length * scale))
    add_scaled(state.moved, work.coefficients, -(rate * length * scale))
    pace[LAST], pace[BEFORE] = length, pace[PASSED]
    pace[PASSED] = float(end) if length >= end - pace[PASSED] else pace[PASSED] + length
    if length > 1.0 or phase.flows:
        at[STRIDES] += 1
        at[COVERED] += 0 if phase.flows else int(length)
    return scale > 0.0, True
