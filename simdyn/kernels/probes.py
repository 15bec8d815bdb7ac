"""The SAM gap of a state, the neurons that SAM's perturbation switches off, and the sharpness.

With ε̂ = τ ∇L_I/‖∇L_I‖_F on each batch I,

    sam gap               mean over batches of L_I(W + ε̂) − L_I(W)
    deactivated fraction  of the pairs (filter of sign y_k, noise ξ_k) with ⟨w, ξ_k⟩ > 0, k ∈ I,
                          those with ⟨w + ε̂, ξ_k⟩ ≤ 0

The batches of a probe are consecutive samples, so that it draws nothing.

The network is piecewise linear in W, so away from kinks the Hessian of the loss is
(1/n) Σ_i ℓ''_i ∇f_i ∇f_iᵀ. Its largest eigenvalue is that of the (n, n) matrix M with entries
√(ℓ''_i ℓ''_k)/n · ⟨∇f_i, ∇f_k⟩, found by Lanczos' method in n-vectors: one product by G for each of
its steps, whatever d is.
"""

import numpy as np

from simdyn.kernels import LANCZOS_STEPS
from simdyn.kernels.activations import activation_slope, curvature_root, loss
from simdyn.kernels.compiled import Pointed, borrowing, borrowing_pointed, inlined, stopped
from simdyn.kernels.gradient import apply_gram, gradient, perturb, pull_on_active, take_outputs
from simdyn.kernels.linear import clear, dot, normalise
from simdyn.kernels.structures import Indices, Matrix, Problem
from simdyn.kernels.workspace import BLOCKS, Workspace


@inlined
def sam_probe(problem, overlaps, radius, size, drawn, work):
    """SAM gap and deactivated fraction for batches of `size` samples.

    A last batch that is smaller counts like the others. `drawn`: the rows after the signals are
    the noises ξ_k, else there is no deactivated fraction and it is 0.
    """
    n, banks = problem.labels.size, problem.overlaps.shape[1]
    gap, batches, matching, off = 0.0, 0, 0, 0
    before = np.empty(n)
    for start in range(0, n, size):
        samples = work.every_sample[start : min(start + size, n)]
        batches += 1
        _, finite = gradient(overlaps, problem, samples, work)
        for i in samples:
            before[i] = loss(problem.model.loss, work.margins[i])
        norm = apply_gram(work) if finite else 0.0
        moves = norm > 0.0 and radius > 0.0
        if moves:
            perturb(overlaps, radius, norm, work)
            gradient(work.perturbed, problem, samples, work)
            change = 0.0  # NaN if an output at W + ε̂ is
            for i in samples:
                change += loss(problem.model.loss, work.margins[i]) - before[i]
            gap += change / (1 if problem.model.summed > 0 else samples.size)
        if drawn:
            for k in samples:
                row, first = problem.n_signals + k, 0 if problem.labels[k] > 0.0 else banks // 2
                for f in range(first, first + banks // 2):
                    if overlaps[f, row] > 0.0:
                        matching += 1
                        if moves and not work.perturbed[f, row] > 0.0:
                            off += 1
    return gap / batches, off / max(matching, 1)


@inlined
def curve(problem, overlaps, roots, shown, vector, out, work):
    """Out ← M vector; `roots` and `shown` hold √ℓ''_i and the signs of slots up to a factor."""
    slots, times = work.slots, work.times
    bank, pulls, sums, width = work.bank, work.pulls, work.sums, overlaps.shape[1]
    model = problem.model
    work.traits[BLOCKS] = -1
    clear(pulls)
    for i in range(vector.size):
        for k in range(slots.shape[0]):
            pulls[slots[k, i]] += roots[i] * vector[i] * times[k, i]
    pull_on_active(model, overlaps, shown, 1.0, work)
    apply_gram(work)
    for s in range(sums.size):
        sums[s] = 0.0
        if shown[s] != 0.0:
            k = s % width
            for f in range(bank.size):
                slope = activation_slope(model.activation, model.shape, shown[s] * overlaps[f, k])
                sums[s] += slope * (shown[s] * bank[f]) * work.products[f, k]
    count = 1 if model.summed > 0 else vector.size
    take_outputs(work, work.every_sample, sums, out)
    for i in range(vector.size):
        out[i] = roots[i] * out[i] / (count * model.divisor * model.divisor)


@borrowing
def largest_eigenvalue(diagonal, beside):
    """Of a symmetric tridiagonal matrix, by bisection on the signs of its leading minors."""
    low, high = diagonal[0], diagonal[0]
    for k in range(diagonal.size):
        low = max(low, diagonal[k])
        reach = abs(beside[k - 1]) if k > 0 else 0.0
        if k + 1 < diagonal.size:
            reach += abs(beside[k])
        high = max(high, diagonal[k] + reach)
    for _ in range(200):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        # An eigenvalue is above `middle` if a pivot of T − middle is positive.
        pivot, above = diagonal[0] - middle, False
        for k in range(1, diagonal.size + 1):
            if pivot > 0.0:
                above = True
                break
            if k < diagonal.size:
                pivot = min(pivot, -1e-300)
                pivot = diagonal[k] - middle - beside[k - 1] * beside[k - 1] / pivot
        if above:
            low = middle
        else:
            high = middle
    return high


@inlined
def sharpness(problem, overlaps, stop, work):
    """λ_max of the loss Hessian of all samples away from kinks; `work.margins` must be current.

    Exact up to rounding for n ≤ 64; beyond, 64 Lanczos steps with full reorthogonalisation.
    """
    n = problem.labels.size
    roots, largest = np.empty(n), 0.0
    for i in range(n):
        roots[i] = curvature_root(problem.model.loss, work.margins[i])
        largest = max(largest, roots[i])
    if largest == 0.0:
        return 0.0
    for i in range(n):
        roots[i] /= largest
    longest = 0.0  # unit of a row, of those that some patch shows
    for s in range(work.shown.size):
        longest = max(longest, abs(work.shown[s]))
    shown = work.shown / longest
    steps = min(n, LANCZOS_STEPS)
    basis, image = np.zeros((steps, n)), np.empty(n)
    diagonal, beside = np.zeros(steps), np.zeros(steps)
    for i in range(n):  # a start that no symmetry of the problem makes orthogonal to the answer
        basis[0, i] = roots[i] * (0.5 + (0.6180339887498949 * (i + 1)) % 1.0)
    normalise(basis[0])
    used = 0
    for k in range(steps):
        if stopped(stop):
            break
        curve(problem, overlaps, roots, shown, basis[k], image, work)
        diagonal[k] = dot(basis[k], image)
        used = k + 1
        for _ in range(2):
            for earlier in range(k + 1):
                along = dot(basis[earlier], image)
                for i in range(n):
                    image[i] -= along * basis[earlier, i]
        if used == steps:
            break
        rest = normalise(image)
        if not rest > 1e-14 * abs(diagonal[0]):
            break
        beside[k] = rest
        for i in range(n):
            basis[k + 1, i] = image[i]
    if used == 0:
        return 0.0
    found = largest * largest * largest_eigenvalue(diagonal[:used], beside[:used])
    return longest * (longest * found)


@Pointed
def probe(
    problem: Problem,
    overlaps: Matrix,
    work: Workspace,
    radius: float,
    batch_size: int,
    drawn: bool,
    sharp: bool,
    stop: Indices,
) -> None:
    """SAM gap, deactivated fraction and sharpness of the state `overlaps`, into work.found.

    `work.margins` must be those of the state; they are written over. If not `drawn` or not
    `sharp`, the fraction or the sharpness is left as it is.
    """
    if sharp:
        work.found[2] = sharpness(problem, overlaps, stop, work)
    work.found[0], off = sam_probe(problem, overlaps, radius, batch_size, drawn, work)
    if drawn:
        work.found[1] = off


@borrowing_pointed
def no_probe(
    problem: Problem,
    overlaps: Matrix,
    work: Workspace,
    radius: float,
    batch_size: int,
    drawn: bool,
    sharp: bool,
    stop: Indices,
) -> None:
    """Used if nothing is probed, so that no probe is compiled."""
