"""Many updates of the whole batch at once, and gradient flow.

Once the loss falls slowly, so do the pulls: the gradient's coefficients C change by a share of 1/t
in an update. A stride of s updates takes

    S ← z^s S − D(s) C(A at the middle),                           SGD
    S ← z^s S − D(s) C(A + τ U/ν),    ν = √(Σ C∘U), U = G C(A)     SAM

Without weight decay z = 1 and D(s) = η s/(1 − β), and the middle lies (s − 1)/2 − β/(1 − β) updates
ahead. The sum of C over s updates is s times its value at their middle, up to the second order in
s, and with momentum an update has the gradients of those before, β/(1 − β) updates ago on average.
So the effect of a finite η stays, and s = 1 is the update itself. With weight decay λ, z is the
larger root of z² − (1 + β − ηλ) z + β = 0, by which an undriven weight shrinks in an update, and
D(s) = (1 − z^s)/λ. Gradient flow, dW/dt = −∇L − λ W in the time t of η updates, has z = e^{−ηλ},
its middle at s/2 and any real s. SAM's stride is of first order.

Activations chatter: where a neuron that is on is pushed off and one that is off pushed on, an
overlap stays near zero for ever, within η s |U|, and is on for the share of the time that balances
both pushes. That share, and with it the drift of everything else, does not depend on s while the
overlap stays bounded. What does is how far SAM sees: an overlap in (0, δ), which the perturbation
puts to zero, rests there, and a stride longer than δ jumps over the rest. So SAM's strides move by
a share of the perturbation at most, unless no overlap changes its sign in them, neither at W nor
at W + ε̂: in the theorem's regime nearly all strides are of that kind.

A stride is at most a share `REACH` · tolerance of the updates since the phase began. A stride of
SAM moves the overlaps by at most `PERTURBED` times that share of the perturbation; a longer one is
tried where the ones before it succeeded, and taken again if a sign changed. No pull may
change by more than twice `CHANGE` times that share from the start of a stride to its end, relative
to the largest pull, or it is taken again, a quarter as long. Nor may it to the middle of a stride
of SGD: where an overlap is on at the start and off at the middle, nothing pushes it off, and it
comes to rest half a stride's own push above zero instead of at zero. Between its ends a state is on
the straight line, so that strides do not depend on which states are recorded.
"""

import math

from simdyn.kernels.compiled import borrowing, borrowing_pointed
from simdyn.kernels.gradient import apply_gram, gradient, perturb
from simdyn.kernels.linear import copy, multiply
from simdyn.kernels.simd import add_scaled, flat_dot
from simdyn.kernels.state import (
    AWAY,
    COVERED,
    EPOCH,
    FRESH,
    FROM,
    GOAL,
    LENGTH,
    LINE,
    MOVES,
    NORM,
    PATIENCE,
    PHASE,
    PHASE_EPOCH,
    REJECTED,
    SCALE,
    SHARE_AHEAD,
    SHARE_BEHIND,
    START,
    STRIDES,
    TARGET,
    TO,
    UPDATE,
    WAIT,
    State,
    note_switches,
)
from simdyn.kernels.structures import Problem, Schedule
from simdyn.kernels.updates import move
from simdyn.kernels.workspace import Workspace

REACH = 2.5
PERTURBED = 10.0
CHANGE = 2.0
GROWTH = 1.5  # of a stride over the last, at most
GROWTH_AT_REST = 4.0  # after a stride of SAM that is longer than the perturbation allows
AGAIN = 0.25  # of a stride, if it is taken again
SHORTEST = 0.01  # stride of gradient flow that may be taken again, over the share
MOST_PATIENCE = 64.0  # strides between two tries of a long one
SETTLED = 20.0  # memories of the velocity, of 1/(1 − β) updates, before the first stride


@borrowing
def begin_strides(state):
    """A phase begins."""
    pace = state.pace
    pace[LENGTH], pace[FROM], pace[TO], pace[LINE], pace[START] = 1.0, 0.0, 0.0, 0.0, 0.0
    pace[FRESH], pace[AWAY], pace[GOAL] = 0.0, 0.0, math.inf
    pace[WAIT], pace[PATIENCE] = 0.0, 1.0


@borrowing
def place(state, passed):
    """Bring the weights to where they are after so many updates of the phase.

    That is at the end of the last stride, or on its way: there, weights are on a straight line.
    """
    pace, shares = state.pace, state.shares
    if pace[AWAY] > 0.0:
        copy(state.ahead_overlaps, state.overlaps)
        copy(state.ahead_moved, state.moved)
        shares[0], pace[AWAY] = pace[SHARE_AHEAD], 0.0
    if pace[LINE] > 0.0 and passed < pace[TO]:
        copy(state.overlaps, state.ahead_overlaps)
        copy(state.moved, state.ahead_moved)
        pace[SHARE_AHEAD], pace[AWAY] = shares[0], 1.0
        behind = (pace[TO] - passed) / (pace[TO] - pace[FROM])
        multiply(state.overlaps, 1.0 - behind)
        multiply(state.moved, 1.0 - behind)
        add_scaled(state.overlaps, state.kept_overlaps, behind)
        add_scaled(state.moved, state.kept_moved, behind)
        shares[0] += behind * (pace[SHARE_BEHIND] - shares[0])


@borrowing
def walk(state):
    """Follow the last stride to its end, to the phase's condition or to the update at[TARGET]."""
    pace, at = state.pace, state.at
    made = int(min(pace[TO], pace[GOAL])) - at[PHASE_EPOCH]
    made = min(made, at[TARGET] - at[UPDATE])
    place(state, float(at[PHASE_EPOCH] + made))
    at[COVERED] += made if pace[LINE] > 0.0 else 0
    at[UPDATE] += made
    at[EPOCH] += made
    at[PHASE_EPOCH] += made


@borrowing
def gradient_at(overlaps, problem, work):
    """C and U of the whole batch into the workspace.

    Returns
    -------
    scale : float
        The gradient is this times C.
    norm : float
        ‖Σ_k C_k v_k‖; not finite if an output overflows.
    """
    scale, finite = gradient(overlaps, problem, work.every_sample, work)
    return scale, apply_gram(work) if finite else math.inf


@borrowing
def change_of_pulls(state, work):
    """Largest change of a pull since the last stride, over the largest pull."""
    before, pulls, change, largest = state.pulls, work.pulls, 0.0, 0.0
    for p in range(pulls.size):
        change = max(change, abs(pulls[p] - before[p]))
        largest = max(largest, abs(before[p]))
    return change / largest if largest > 0.0 else 0.0


@borrowing
def arrive(overlaps, problem, state, work):
    """The gradient at the end of a stride; returns the change of pulls, infinite if not finite."""
    pace = state.pace
    pace[SCALE], pace[NORM] = gradient_at(overlaps, problem, work)
    return change_of_pulls(state, work) if math.isfinite(pace[NORM]) else math.inf


@borrowing
def keep_pulls(state, work):
    """The pulls of the gradient at the end of a stride, to compare later ones with."""
    for p in range(work.pulls.size):
        state.pulls[p] = work.pulls[p]


@borrowing
def settle(change, most, share, state, work):
    """A stride is taken: the next one starts with the gradient found at its end."""
    pace = state.pace
    keep_pulls(state, work)
    growth = most if change == 0.0 else min(most, max(0.5, CHANGE * share / change))
    pace[LENGTH] *= growth
    pace[FRESH] = 1.0


@borrowing
def start_of_flow(rate, state, work):
    """Updates that would move the overlaps by as much as they are from zero, at most one.

    Until then activations set in and end one after another.
    """
    every = work.every_block
    size = math.sqrt(flat_dot(state.overlaps, state.overlaps, every))
    speed = rate * math.sqrt(flat_dot(work.products, work.products, every))
    return min(1.0, max(1e-9, size / speed)) if speed > 0.0 else 1.0


@borrowing
def log_shrinking(phase):
    """The logarithm of z; NaN if updates without a gradient would oscillate."""
    loss_of_weight, memory = phase.learning_rate * phase.weight_decay, phase.momentum
    if loss_of_weight == 0.0:
        return 0.0
    if phase.flows:
        return -loss_of_weight
    if loss_of_weight >= (1.0 - math.sqrt(memory)) ** 2:
        return math.nan
    root = math.sqrt((1.0 + memory - loss_of_weight) ** 2 - 4.0 * memory)
    return math.log1p(-2.0 * loss_of_weight / (root + 1.0 - memory + loss_of_weight))


@borrowing
def driven(phase, length, shrinking):
    """D(s), by which a constant gradient moves the weights in a stride."""
    if phase.weight_decay == 0.0:
        return phase.learning_rate / (1.0 - phase.momentum) * length
    return -math.expm1(shrinking * length) / phase.weight_decay


@borrowing
def longest_perturbed(phase, share, state):
    """Updates that move the overlaps by a share of the perturbation, at least one."""
    pace = state.pace
    if phase.perturbation == 0.0 or pace[NORM] == 0.0:
        return math.inf
    reach = phase.perturbation
    if phase.perturbs_by_norm:
        reach /= pace[SCALE] * pace[NORM]
    length = PERTURBED * share * reach * (1.0 - phase.momentum) / phase.learning_rate
    return length if phase.flows else max(length, 1.0)


@borrowing
def signs_rest(phase, state, work):
    """Are the signs of all overlaps, at W and at W + ε̂, those at the start of the stride?"""
    pace, kept, before, products = state.pace, state.kept_overlaps, work.perturbed, work.products
    reach = phase.perturbation / pace[NORM] if pace[NORM] > 0.0 else 0.0
    if not phase.perturbs_by_norm:
        reach *= pace[SCALE] * pace[NORM]
    changes = 0
    for f in range(kept.shape[0]):
        for k in range(kept.shape[1]):
            now = state.overlaps[f, k]
            changes += (now > 0.0) != (kept[f, k] > 0.0)
            changes += (now + reach * products[f, k] > 0.0) != (before[f, k] > 0.0)
    return changes == 0


@borrowing
def next_length(phase, share, shrinking, state):
    """How long the next stride is to be, in updates: a whole number but for gradient flow."""
    pace = state.pace
    length = min(pace[LENGTH], share * (pace[TO] + pace[START]))
    if not phase.flows:
        unsettled = phase.momentum > 0.0 and pace[TO] * (1.0 - phase.momentum) < SETTLED
        length = 1.0 if unsettled or math.isnan(shrinking) else max(1.0, length)
    pace[LENGTH] = length
    return min(length if phase.flows else math.floor(length), phase.epochs - pace[TO])


@borrowing
def look(problem, phase, middle, shrinking, state, work):
    """The gradient that drives a stride, at its middle or at W + ε̂, if it is not zero.

    Returns the factor of C in it, and whether no output overflows.
    """
    scale, norm = state.pace[SCALE], state.pace[NORM]
    if norm == 0.0:
        return 0.0, True
    if phase.perturbation > 0.0:
        reach = phase.perturbation * (1.0 if phase.perturbs_by_norm else scale * norm)
        perturb(state.overlaps, reach, norm, work)
    elif middle != 0.0:
        copy(state.overlaps, work.perturbed)
        if shrinking != 0.0:
            multiply(work.perturbed, math.exp(shrinking * middle))
        add_scaled(work.perturbed, work.products, -scale * driven(phase, middle, shrinking))
    else:
        return scale, True
    scale, norm = gradient_at(work.perturbed, problem, work)
    return scale, math.isfinite(norm)


@borrowing
def leap(phase, scale, length, shrinking, state, work):
    """Go a stride ahead, and keep where it begins."""
    factor, amount = math.exp(shrinking * length), scale * driven(phase, length, shrinking)
    copy(state.overlaps, state.kept_overlaps)
    copy(state.moved, state.kept_moved)
    state.pace[SHARE_BEHIND] = state.shares[0]
    if factor != 1.0:
        multiply(state.overlaps, factor)
        multiply(state.moved, factor)
        state.shares[0] *= factor
    if amount != 0.0:
        add_scaled(state.overlaps, work.products, -amount)
        add_scaled(state.moved, work.coefficients, -amount)


@borrowing
def take_back(state):
    """Return to where the last stride began."""
    copy(state.kept_overlaps, state.overlaps)
    copy(state.kept_moved, state.moved)
    state.shares[0] = state.pace[SHARE_BEHIND]


@borrowing
def keep_velocity(rate, length, state):
    """The velocity after a stride: what moved the weights on average."""
    unit = 1.0 / (rate * length)
    copy(state.kept_overlaps, state.velocity_overlaps)
    add_scaled(state.velocity_overlaps, state.overlaps, -1.0)
    multiply(state.velocity_overlaps, unit)
    copy(state.kept_moved, state.velocity)
    add_scaled(state.velocity, state.moved, -1.0)
    multiply(state.velocity, unit)
    state.shares[1] = (state.pace[SHARE_BEHIND] - state.shares[0]) * unit


@borrowing_pointed
def stride(problem: Problem, schedule: Schedule, state: State, work: Workspace) -> None:
    """One stride or one update from where the last one ended; `walk` follows it.

    Whether anything moves, in `state.pace`, is NaN if an output overflows at its start, or at
    W + ε̂ of an update. The state is then left as it was.
    """
    pace, at = state.pace, state.at
    phase = schedule.phases[at[PHASE]]
    rate, share = phase.learning_rate, REACH * phase.stride_tolerance
    place(state, pace[TO])
    if pace[FRESH] == 0.0:
        arrive(state.overlaps, problem, state, work)
        keep_pulls(state, work)
    pace[MOVES] = math.nan
    if not math.isfinite(pace[NORM]):
        return
    if pace[START] == 0.0:
        pace[START] = start_of_flow(rate * pace[SCALE], state, work) if phase.flows else 1.0
    shrinking = log_shrinking(phase)
    if pace[NORM] == 0.0 and phase.weight_decay == 0.0 and phase.momentum == 0.0:
        leap(phase, 0.0, 1.0, 0.0, state, work)
        pace[FROM], pace[TO], pace[LINE], pace[MOVES] = pace[TO], float(phase.epochs), 1.0, 0.0
        at[STRIDES] += 1
        return
    longest = longest_perturbed(phase, share, state)
    if pace[WAIT] > 0.0:
        pace[LENGTH] = min(pace[LENGTH], longest)
    rested = True
    while True:
        length = next_length(phase, share, shrinking, state)
        single = length == 1.0 and not phase.flows
        middle = 0.5 * length
        if not phase.flows:
            middle = 0.0 if single else middle - 0.5 - phase.momentum / (1.0 - phase.momentum)
        scale, finite = look(problem, phase, middle, shrinking, state, work)
        shortest = length <= (SHORTEST * share if phase.flows else 1.0)
        if shortest and not finite:
            return
        if single:
            move(phase, rate, scale, scale > 0.0, state, work)
            change = arrive(state.overlaps, problem, state, work)
            break
        limit = 2.0 * CHANGE * share
        steady = phase.perturbation > 0.0 or change_of_pulls(state, work) <= limit
        if finite and (steady or shortest):
            leap(phase, scale, length, shrinking, state, work)
            change = arrive(state.overlaps, problem, state, work)
            if length > longest and not signs_rest(phase, state, work):
                rested, change = False, math.inf
            if shortest or change <= limit:
                break
            take_back(state)
        at[REJECTED] += 1
        pace[LENGTH] = AGAIN * length
        if not rested and length > longest:
            pace[LENGTH] = max(pace[LENGTH], longest)
        arrive(state.overlaps, problem, state, work)
    if not rested:
        pace[WAIT] = pace[PATIENCE]
        pace[PATIENCE] = min(2.0 * pace[PATIENCE], MOST_PATIENCE)
    elif length > longest:
        pace[PATIENCE] = 1.0
    else:
        pace[WAIT] -= 1.0
    settle(change, GROWTH_AT_REST if length > longest else GROWTH, share, state, work)
    if not single:
        at[STRIDES] += 1
        if phase.momentum > 0.0:
            keep_velocity(rate, length, state)
    pace[MOVES] = 1.0
    end = pace[TO] + length
    pace[FROM], pace[LINE] = pace[TO], 0.0 if single else 1.0
    pace[TO] = float(phase.epochs) if end >= phase.epochs else end
    if state.switched.size > 0:
        note_switches(state.overlaps, at[UPDATE] + int(pace[TO]) - at[PHASE_EPOCH], state)


@borrowing_pointed
def no_stride(problem: Problem, schedule: Schedule, state: State, work: Workspace) -> None:
    """Used if no phase goes in strides, so that `stride` is not compiled."""
