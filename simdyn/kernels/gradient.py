"""Outputs, loss and gradient of the network, all from the overlaps A = V Wᵀ.

    h_p = F₊ − F₋,  F_j = Σ_r σ(sign_p A[row_p, (j,r)])      each summed by itself, in one order
    f_i = (1/m) Σ_e mult_e h_{patch_e}            entries e of sample i; without 1/m for sums
    ∇_{j,r} L_I = Σ_k C[k, (j,r)] v_k
    C[row_p, (j,r)] += sign_p j σ'(sign_p A[row_p, (j,r)]) · (1/(B m)) Σ_{i∈I, e: patch_e = p}
                                                               ℓ'_i y_i mult_e

Overlaps and all that is shaped like them are held transposed, (filter, row): the rows of the
dictionary lie along the vector lanes, padded with zeros, which are inactive and change nothing.
The product Cᵀ G is summed over the entries of C that are not zero, a third or so of a ReLU's.
"""

import math

import numpy as np

from simdyn.kernels.activations import (
    SMALL,
    activate,
    activation_slope,
    loss_slope,
    small_slope_units,
)
from simdyn.kernels.codes import LOGISTIC
from simdyn.kernels.compiled import borrowing, inlined
from simdyn.kernels.linear import clear, fill
from simdyn.kernels.simd import (
    flat_dot,
    largest_entry,
    mark,
    pull_active,
    rectified_sums,
    shifted,
    sparse_product,
    to_logistic_slopes,
)
from simdyn.kernels.workspace import AT_ONCE, BLOCKS, DOWN, EVEN, list_blocks, reached


@inlined
def take_outputs(work, samples, sums, outputs):
    """Σ mult h of the patches of each sample, by its number into `outputs`."""
    for c in range(samples.size):
        outputs[np.uint64(samples[c])] = 0.0
    for k in range(work.slots.shape[0]):  # patch by patch: samples do not wait for one another
        slot, times = work.slots[k], work.times[k]
        for c in range(samples.size):
            i = np.uint64(samples[c])
            found = sums[slot[i]] if times[i] != 0.0 else 0.0  # 0·∞ of a patch it does not have
            outputs[i] += times[i] * found


@borrowing
def activated_sum(model, overlaps, row, sign, filters):
    """Sum h = F₊ − F₋ of one patch, of `filters` each; each bank is summed by itself."""
    up, down = 0.0, 0.0
    for f in range(filters):
        up += activate(model.activation, model.shape, sign * overlaps[f, row])
        down += activate(model.activation, model.shape, sign * overlaps[filters + f, row])
    return up - down


@borrowing
def sum_shown(problem, overlaps, samples, work):
    """The sums h of all patches that samples have, into work.sums, for any activation."""
    slots, shown = work.slots, work.shown
    known, sums, (banks, width) = work.known, work.sums, overlaps.shape
    for i in samples:
        for k in range(slots.shape[0]):
            s = np.int64(slots[k, i])
            if known[s] == 0:
                known[s] = 1
                sums[s] = activated_sum(problem.model, overlaps, s % width, shown[s], banks // 2)
    for i in samples:
        for k in range(slots.shape[0]):
            known[slots[k, i]] = 0


@inlined
def pull_on_active(model, overlaps, shown, lift, work):
    """C = lift · Σ_s pull_s σ'(sign_s A[row_s, ·]) sign_s j over the slots, into work.coefficients.

    `shown` are their signs, over a common factor or not.
    """
    pulls, bank, coefficients, width = work.pulls, work.bank, work.coefficients, overlaps.shape[1]
    if work.traits[AT_ONCE] > 0:
        blocks = reached(work)
        pull_active(overlaps, work.traits[DOWN], pulls, lift, blocks, coefficients, work.marked)
        return
    fill(coefficients, 0.0)
    for s in range(pulls.size):
        if pulls[s] != 0.0:
            pull = shown[s] * (pulls[s] * lift)
            # If slopes depend on signs alone, use them even if a product with a unit underflows.
            facing = math.copysign(1.0, shown[s]) if model.degree == 1.0 else shown[s]
            for f in range(bank.size):
                along = facing * overlaps[f, s % width]
                slope = activation_slope(model.activation, model.shape, along)
                coefficients[f, s % width] += pull * bank[f] * slope
    mark(coefficients, work.marked)


@borrowing
def clear_gradient(work):
    """C ← 0."""
    work.traits[BLOCKS] = -1
    fill(work.coefficients, 0.0)
    mark(work.coefficients, work.marked)


@inlined
def take_gradient(overlaps, problem, samples, work):
    """Coefficients C of the mean gradient over `samples`, into work.coefficients.

    C is written divided by a power of two near its largest entry: ‖∇L‖² underflows at margins
    beyond 370, or if σ' does, while the gradient is not zero.

    This is set into the loop of updates, where a call that hands over so many arrays takes a
    noticeable part of an update; elsewhere `gradient` calls it.

    Returns
    -------
    scale : float
        The power of two; 0 if the gradient is zero, then C is too, or below a double's range.
    finite : bool
        Whether every output was finite, and C; if not, C is not to be used.
    """
    # Arrays are taken out of their tuples once: inside a loop that costs a reference count.
    labels, model, sums, pulls = work.labels, problem.model, work.sums, work.pulls
    margins, slopes = work.margins, work.slopes
    work.traits[BLOCKS] = -1
    if work.traits[AT_ONCE] > 0:
        if samples.size < labels.size:
            known, some = work.known, work.some_blocks
            work.traits[BLOCKS] = list_blocks(work.slots, samples, known, some)
        rectified_sums(overlaps, work.traits[DOWN], reached(work), sums)
    else:
        sum_shown(problem, overlaps, samples, work)
    take_outputs(work, samples, sums, margins)
    unit, zero = 1.0 / model.divisor, 0.0
    for c in range(samples.size):
        i = np.uint64(samples[c])
        margins[i] = labels[i] * margins[i] * unit
        slopes[c] = margins[i]
        zero += margins[i] - margins[i]  # NaN if it is not finite
    if zero != 0.0:
        return 0.0, False
    if model.loss == LOGISTIC:
        to_logistic_slopes(slopes, samples.size)
    else:
        for c in range(samples.size):
            slopes[c] = loss_slope(model.loss, slopes[c])
    share = 1.0 / ((1 if model.summed > 0 else samples.size) * model.divisor)
    for c in range(samples.size):
        slopes[c] *= share * labels[np.uint64(samples[c])]
    clear(pulls)
    for k in range(work.slots.shape[0]):
        slot, times = work.slots[k], work.times[k]
        for c in range(samples.size):
            i = np.uint64(samples[c])
            pulls[slot[i]] += slopes[c] * times[i]
    largest = largest_entry(pulls)
    if largest == 0.0:
        clear_gradient(work)
        return 0.0, True
    # Subnormal entries are lifted as far as one double goes.
    exponent = max(math.frexp(largest)[1], -1022)
    lift = math.ldexp(1.0, -exponent)
    pull_on_active(model, overlaps, work.shown, lift, work)
    if work.traits[EVEN] > 0:
        return math.ldexp(1.0, exponent), True
    largest = largest_entry(work.coefficients)
    if not math.isfinite(largest):
        return 0.0, False
    if largest < SMALL:
        exponent += add_small_slopes(model, overlaps, lift, work)
    return math.ldexp(1.0, exponent + bring_near_one(work.coefficients)), True


@borrowing
def gradient(overlaps, problem, samples, work):
    """`take_gradient` as a call."""
    return take_gradient(overlaps, problem, samples, work)


@borrowing
def add_small_slopes(model, overlaps, lift, work):
    """C once more, but for a power of two, so that slopes and units cannot underflow in it.

    Overlaps are taken in units near the largest of them, see `small_slope_units`. Returns the
    exponent of the power.
    """
    shown, pulls, bank, width = work.shown, work.pulls, work.bank, overlaps.shape[1]
    fill(work.coefficients, 0.0)
    longest, peak = 0.0, 0.0
    for s in range(pulls.size):
        if pulls[s] != 0.0:
            longest = max(longest, abs(shown[s]))
    for s in range(pulls.size):
        if pulls[s] != 0.0:
            for f in range(bank.size):
                peak = max(peak, shown[s] / longest * overlaps[f, s % width])
    unit = math.frexp(longest)[1] - 1
    if peak == 0.0 and model.active_below == 0:  # no filter is active
        return 0
    stretch, shape, power = small_slope_units(model, unit, peak)
    power = min(max(power, -1e6), 1e6)
    exponent, remainder = unit + math.floor(power), 2.0 ** (power - math.floor(power))
    reach = math.ldexp(1.0, -stretch // 2), math.ldexp(1.0, -stretch - -stretch // 2)
    for s in range(pulls.size):
        pull = shown[s] / longest * (pulls[s] * lift * remainder)
        if pull != 0.0:
            for f in range(bank.size):
                along = shown[s] / longest * overlaps[f, s % width] * reach[0] * reach[1]
                slope = activation_slope(model.activation, shape, along)
                work.coefficients[f, s % width] += pull * bank[f] * slope
    mark(work.coefficients, work.marked)
    return exponent


@borrowing
def bring_near_one(coefficients):
    """Divide by a power of two near the largest entry if that is far from one; its exponent."""
    exponent = math.frexp(largest_entry(coefficients))[1]
    if abs(exponent) <= 64:
        return 0
    half = exponent // 2  # in two steps: 2^−exponent may be beyond a double
    first, second = math.ldexp(1.0, -half), math.ldexp(1.0, half - exponent)
    for k in range(coefficients.shape[0]):
        for f in range(coefficients.shape[1]):
            coefficients[k, f] = coefficients[k, f] * first * second
    return exponent


@inlined
def take_product(work):
    """Uᵀ = Cᵀ G, or (Cᵀ V) Vᵀ if the dictionary is factored.

    Returns ‖Σ_k C_k v_k‖_F = √(Σ C∘U).
    """
    if work.gram.size == 0:
        sparse_product(work.coefficients, work.marked, work.rows, work.inner)
        mark(work.inner, work.marked_inner)
        sparse_product(work.inner, work.marked_inner, work.transposed, work.products)
    else:
        sparse_product(work.coefficients, work.marked, work.gram, work.products)
    square = flat_dot(work.coefficients, work.products, reached(work))
    return 0.0 if square < 0.0 else math.sqrt(square)  # rounding below zero; NaN stays NaN


@borrowing
def apply_gram(work):
    """`take_product` as a call."""
    return take_product(work)


@inlined
def perturb(overlaps, radius, norm, work):
    """A' = A + τ U/‖Σ_k C_k v_k‖_F, the overlaps at W + ε̂, into work.perturbed.

    One norm over all filters; U and `norm` are those that `apply_gram` leaves.
    """
    shifted(overlaps, work.products, radius / norm, work.perturbed)
