"""Outputs, loss and gradient of the network, all from the overlaps A = V Wᵀ.

    h_p = F₊ − F₋,  F_j = Σ_r σ(sign_p A[row_p, (j,r)])      each summed by itself, in one order
    f_i = (1/m) Σ_e mult_e h_{patch_e}            entries e of sample i; without 1/m for sums
    ∇_{j,r} L_I = Σ_k C[k, (j,r)] v_k
    C[row_p, (j,r)] += sign_p j σ'(sign_p A[row_p, (j,r)]) · (1/(B m)) Σ_{i∈I, e: patch_e = p}
                                                               ℓ'_i y_i mult_e

Arrays over (row, filter) are padded with zeros to multiples of four both ways. A padded filter is
inactive and in neither bank, so it changes nothing.
"""

import math
from typing import NamedTuple

import numpy as np

from simdyn.kernels.activations import (
    SMALL,
    activate,
    activation_slope,
    loss_slope,
    small_slope_units,
)
from simdyn.kernels.codes import LOGISTIC, RELU
from simdyn.kernels.compiled import borrowing, inlined, part
from simdyn.kernels.linear import copy, fill
from simdyn.kernels.simd import (
    add_scaled,
    add_where_active,
    flat_dot,
    largest_entry,
    product,
    product_over,
    rectified_difference,
    to_logistic_slopes,
)
from simdyn.kernels.structures import Indices, Matrix, Vector

MANY_ROWS = 32  # from which on looking for zero rows of C pays


class Workspace(NamedTuple):
    """A problem's operator laid out for vector lanes, and arrays that a step writes over.

    Extents: Q and F are q and 2m, E is D, each padded to a multiple of four.
    """

    bank: Vector  # j of each filter, (F,)
    gram: Matrix  # G, (Q, q), or (0, 0) if the dictionary is factored
    rows: Matrix  # V, (Q, D), used if the dictionary is factored
    transposed: Matrix  # Vᵀ, (E, q)
    coefficients: Matrix  # C, (Q, F)
    products: Matrix  # U = G C, (Q, F)
    perturbed: Matrix  # A', (Q, F)
    inner: Matrix  # Vᵀ C, (E, F)
    sums: Vector  # h, one for each patch
    pulls: Vector  # Σ ℓ' y mult, one for each patch
    every_sample: Indices  # 0 … n − 1
    every_patch: Indices  # 0 … patches − 1
    touched: Indices  # room for the patches of a batch
    seen: Indices  # 1 while a patch is in `touched`
    margins: Vector  # y f, (n,)
    slopes: Vector  # ℓ' in the order of the batch, (n,) padded to a multiple of four
    found: Vector  # room for what a probe finds, (3,)
    labels: Vector  # y that the gradient is taken with, (n,)
    total: Matrix  # C summed over the groups of a batch, (Q, F)
    terms: Indices  # room for rows of C that are not zero, (q,)
    even: Indices  # (1,): 1 if C is about as large as the pulls for all overlaps


@borrowing
def pad(size):
    """The next multiple of four."""
    return (size + 3) // 4 * 4


@part
def padded_copy(array, height, width):
    """The array in the corner of zeros (height, width)."""
    out = np.zeros((height, width))
    for k in range(array.shape[0]):
        for f in range(array.shape[1]):
            out[k, f] = array[k, f]
    return out


@inlined
def new_workspace(problem):
    """Lay out one problem."""
    q, banks = problem.overlaps.shape
    height, width = pad(q), pad(banks)
    bank = np.zeros(width)
    for f in range(banks):
        bank[f] = 1.0 if f < banks // 2 else -1.0
    gram, rows = problem.dictionary.gram, problem.dictionary.rows
    if gram.size > 0:
        gram, rows = padded_copy(gram, height, q), rows[:0]
    else:
        rows = padded_copy(rows, height, rows.shape[1])
    inner = pad(rows.shape[1])
    transposed = np.zeros((inner, q))
    for k in range(min(q, rows.shape[0])):
        for c in range(rows.shape[1]):
            transposed[c, k] = rows[k, c]
    patches = problem.table.row.size
    even = np.ones(1, np.int64)
    if problem.model.least_slope < 1e-20 or not (np.abs(problem.table.sign) == 1.0).all():
        even[0] = 0
    return Workspace(
        bank,
        gram,
        rows,
        transposed,
        np.zeros((height, width)),
        np.zeros((height, width)),
        np.zeros((height, width)),
        np.zeros((inner, width)),
        np.zeros(patches),
        np.zeros(patches),
        np.arange(problem.labels.size),
        np.arange(patches),
        np.zeros(patches, np.int64),
        np.zeros(patches, np.int64),
        np.zeros(problem.labels.size),
        np.zeros(pad(problem.labels.size)),
        np.zeros(3),
        problem.labels.copy(),
        np.zeros((height, width)),
        np.zeros(q, np.int64),
        even,
    )


@borrowing
def touch(table, samples, work):
    """List the distinct patches of a batch, in order of appearance; returns how many."""
    count = 0
    for i in samples:
        for e in range(table.start[i], table.start[i + 1]):
            p = table.patch[e]
            if work.seen[p] == 0:
                work.seen[p] = 1
                work.touched[count] = p
                count += 1
    for index in range(count):
        work.seen[work.touched[index]] = 0
    return count


@inlined
def output(start, patch, multiplicity, sums, divisor, i):
    """f(x_i) from the sums h of its patches."""
    total = 0.0
    for e in range(start[i], start[i + 1]):
        total += multiplicity[e] * sums[patch[e]]
    return total / divisor


@borrowing
def activated_sum(model, overlaps, row, sign, filters):
    """Sum h = F₊ − F₋ of one patch, of `filters` each; each bank is summed by itself."""
    if model.activation == RELU:
        return rectified_difference(overlaps, row, sign, filters)
    up, down = 0.0, 0.0
    for f in range(filters):
        up += activate(model.activation, model.shape, sign * overlaps[row, f])
        down += activate(model.activation, model.shape, sign * overlaps[row, filters + f])
    return up - down


@borrowing
def add_slopes(model, target, overlaps, row, sign, pull, bank):
    """Target[row, f] += pull · bank_f · σ'(sign · overlaps[row, f]), for any activation."""
    if model.activation == RELU:
        add_where_active(target, overlaps, row, sign, pull, bank)
        return
    for f in range(bank.size):
        if bank[f] != 0.0:
            slope = activation_slope(model.activation, model.shape, sign * overlaps[row, f])
            target[row, f] += pull * bank[f] * slope


@borrowing
def gradient(overlaps, problem, samples, patches, work):
    """Coefficients C of the mean gradient over `samples`, into work.coefficients.

    C is written divided by a power of two near its largest entry: ‖∇L‖² underflows at margins
    beyond 370, or if σ' does, while the gradient is not zero. `patches` must hold all patches
    of the samples.

    Returns
    -------
    scale : float
        The power of two; 0 if the gradient is zero, then C is too, or below a double's range.
    finite : bool
        Whether every output was finite, and C; if not, C is not to be used.
    """
    # Arrays are taken out of their tuples once: inside a loop that costs a reference count.
    start, patch, multiplicity, row, sign = problem.table
    labels, bank, model = work.labels, work.bank, problem.model
    sums, pulls, margins, slopes = work.sums, work.pulls, work.margins, work.slopes
    share = 1.0 / ((1 if model.summed > 0 else samples.size) * model.divisor)
    filters, rectified = problem.overlaps.shape[1] // 2, model.activation == RELU
    for p in patches:
        if rectified:
            sums[p] = rectified_difference(overlaps, row[p], sign[p], filters)
        else:
            sums[p] = activated_sum(model, overlaps, row[p], sign[p], filters)
        pulls[p] = 0.0
    finite = True
    for c in range(samples.size):
        i = samples[c]
        margins[i] = labels[i] * output(start, patch, multiplicity, sums, model.divisor, i)
        slopes[c] = margins[i]
        finite &= math.isfinite(margins[i])
    if not finite:
        return 0.0, False
    if model.loss == LOGISTIC:
        to_logistic_slopes(slopes, samples.size)
    else:
        for c in range(samples.size):
            slopes[c] = loss_slope(model.loss, slopes[c])
    for c in range(samples.size):
        i = samples[c]
        pull = share * labels[i] * slopes[c]
        for e in range(start[i], start[i + 1]):
            pulls[patch[e]] += pull * multiplicity[e]
    coefficients = work.coefficients
    fill(coefficients, 0.0)
    largest = 0.0
    for p in patches:
        largest = max(largest, abs(pulls[p]))
    if largest == 0.0:
        return 0.0, True
    # Subnormal entries are lifted as far as one double goes.
    exponent = max(math.frexp(largest)[1], -1022)
    lift = math.ldexp(1.0, -exponent)
    for p in patches:
        pull = sign[p] * (pulls[p] * lift)
        # If slopes depend on signs alone, use them even if a product with a unit underflows.
        facing = math.copysign(1.0, sign[p]) if model.degree == 1.0 else sign[p]
        if rectified:
            add_where_active(coefficients, overlaps, row[p], facing, pull, bank)
        else:
            add_slopes(model, coefficients, overlaps, row[p], facing, pull, bank)
    if work.even[0] > 0:
        return math.ldexp(1.0, exponent), True
    largest = largest_entry(coefficients)
    if not math.isfinite(largest):
        return 0.0, False
    if largest < SMALL:
        exponent += add_small_slopes(model, overlaps, problem.table, patches, lift, work)
    return math.ldexp(1.0, exponent + bring_near_one(coefficients)), True


@borrowing
def add_small_slopes(model, overlaps, table, patches, lift, work):
    """C once more, but for a power of two, so that slopes and units cannot underflow in it.

    Overlaps are taken in units near the largest of them, see `small_slope_units`. Returns the
    exponent of the power.
    """
    row, sign, pulls, bank = table.row, table.sign, work.pulls, work.bank
    fill(work.coefficients, 0.0)
    longest, peak = 0.0, 0.0
    for p in patches:
        if pulls[p] != 0.0:
            longest = max(longest, abs(sign[p]))
    for p in patches:
        if pulls[p] != 0.0:
            for f in range(bank.size):
                peak = max(peak, sign[p] / longest * overlaps[row[p], f])
    unit = math.frexp(longest)[1] - 1
    if peak == 0.0 and model.active_below == 0:  # no filter is active
        return 0
    stretch, shape, power = small_slope_units(model, unit, peak)
    power = min(max(power, -1e6), 1e6)
    exponent, remainder = unit + math.floor(power), 2.0 ** (power - math.floor(power))
    reach = math.ldexp(1.0, -stretch // 2), math.ldexp(1.0, -stretch - -stretch // 2)
    for p in patches:
        pull = sign[p] / longest * (pulls[p] * lift * remainder)
        for f in range(bank.size):
            if bank[f] != 0.0 and pull != 0.0:
                along = sign[p] / longest * overlaps[row[p], f] * reach[0] * reach[1]
                slope = activation_slope(model.activation, shape, along)
                work.coefficients[row[p], f] += pull * bank[f] * slope
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


@borrowing
def list_rows(array, rows):
    """List the rows of an array that are not zero, of the first rows.size; returns how many."""
    count = 0
    for k in range(rows.size):
        f = 0
        while f < array.shape[1] and array[k, f] == 0.0:
            f += 1
        if f < array.shape[1]:
            rows[count] = k
            count += 1
    return count


@borrowing
def apply_gram(work):
    """U = G C, or V (Vᵀ C) if the dictionary is factored; returns ‖Σ_k C_k v_k‖_F = √(Σ C∘U).

    Rows of C that are zero, those of all samples outside a batch, are left out if they are many.
    """
    q = work.terms.size
    if work.gram.size == 0:
        product(work.transposed, work.coefficients, work.inner)
        product(work.rows, work.inner, work.products)
    else:
        count = list_rows(work.coefficients, work.terms) if q >= MANY_ROWS else q
        if 2 * count <= q:
            product_over(work.gram, work.coefficients, work.products, work.terms, count)
        else:
            product(work.gram, work.coefficients, work.products)
    square = flat_dot(work.coefficients, work.products)
    return 0.0 if square < 0.0 else math.sqrt(square)  # rounding below zero; NaN stays NaN


@inlined
def perturb(overlaps, radius, norm, work):
    """A' = A + τ U/‖Σ_k C_k v_k‖_F, the overlaps at W + ε̂, into work.perturbed.

    One norm over all filters; U and `norm` are those that `apply_gram` leaves.
    """
    copy(overlaps, work.perturbed)
    add_scaled(work.perturbed, work.products, radius / norm)
