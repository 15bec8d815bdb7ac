"""One update of SGD or SAM in Gram space, by the gradient's coefficients.

    SGD:  A ← A − η G C                          C = C(A), the gradient's coefficients on the batch
    SAM:  A' = A + τ U / √(Σ C∘U), U = G C;  A ← A − η G C(A')

SGD is the case τ = 0. The moved coefficients S = −Σ_t η C carry the weights: W(t) = W(0) + Sᵀ V.
Momentum and weight decay stay in the span too: the velocity v ← β v + ∇L + λ W has coefficients,
overlaps and a share of W(0) of its own, and W(t) = a W(0) + Sᵀ V with a share a that decays.
With groups, each group of a batch is perturbed on its own and the gradients are averaged
(m-sharpness).
Cost per update O(m q²), whatever d is.
"""

import math

from simdyn.kernels.compiled import borrowing, inlined
from simdyn.kernels.gradient import apply_gram, perturb, take_gradient, take_product
from simdyn.kernels.linear import copy, fill
from simdyn.kernels.simd import add_scaled, add_scaled_blocks, mark
from simdyn.kernels.workspace import BLOCKS, reached


@inlined
def descent(problem, samples, radius, by_norm, overlaps, work):
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
        scale, finite = take_gradient(at, problem, samples, work)
        if not finite:
            return 0.0, False, False
        norm = take_product(work)
        if k == 0 and (norm == 0.0 or not math.isfinite(norm)):
            return 0.0, False, math.isfinite(norm)
        if k + 1 < passes:  # a gradient below the range of a double still has a direction
            reach = radius if by_norm else radius * scale * norm
            perturb(overlaps, reach, norm, work)
            at = work.perturbed
    return scale, scale > 0.0 or norm == 0.0, True


@borrowing
def change_velocity(momentum, decay, scale, state, work):
    """Velocity v ← β v + ∇L + λ W, as coefficients, as overlaps, and as its share of W(0)."""
    velocity, overlaps = state.velocity, state.velocity_overlaps
    for f in range(velocity.shape[0]):
        for k in range(velocity.shape[1]):
            velocity[f, k] = momentum * velocity[f, k] + decay * state.moved[f, k]
            overlaps[f, k] = momentum * overlaps[f, k] + decay * state.overlaps[f, k]
    state.shares[1] = momentum * state.shares[1] + decay * state.shares[0]
    if scale > 0.0:
        add_scaled_blocks(velocity, work.coefficients, scale, reached(work))
        add_scaled(overlaps, work.products, scale)


@inlined
def move(phase, rate, scale, pulled, state, work):
    """An update by `scale` times C, if it is not zero; does anything change?"""
    if phase.momentum == 0.0 and phase.weight_decay == 0.0:
        if pulled:
            add_scaled(state.overlaps, work.products, -(rate * scale))
            add_scaled_blocks(state.moved, work.coefficients, -(rate * scale), reached(work))
        return pulled
    change_velocity(phase.momentum, phase.weight_decay, scale if pulled else 0.0, state, work)
    add_scaled(state.overlaps, state.velocity_overlaps, -rate)
    add_scaled(state.moved, state.velocity, -rate)
    state.shares[0] -= rate * state.shares[1]
    return True


@inlined
def step(problem, samples, phase, rate, state, work):
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
        scale, pulls, finite = descent(
            problem, part, phase.perturbation, phase.perturbs_by_norm, state.overlaps, work
        )
        if not finite:
            return False, False
        moves |= pulls
        if pulls and not whole:
            share = 1.0 if problem.model.summed > 0 else part.size / size
            add_scaled_blocks(work.total, work.coefficients, scale * share, reached(work))
    if moves and not whole:
        scale = 1.0
        copy(work.total, work.coefficients)
        mark(work.coefficients, work.marked)
        work.traits[BLOCKS] = -1
        apply_gram(work)
    return move(phase, rate, scale, moves, state, work), True
