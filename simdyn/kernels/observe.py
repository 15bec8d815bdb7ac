"""What is recorded of a state: losses, margins, coefficients, probes, test error."""

import math
from typing import NamedTuple

from simdyn.kernels import codes
from simdyn.kernels.activations import half_error, loss
from simdyn.kernels.compiled import borrowing, inlined, stopped
from simdyn.kernels.gradient import apply_gram, gradient
from simdyn.kernels.linear import all_finite, dot
from simdyn.kernels.structures import Cube, Matrix, Vector


class Traces(NamedTuple):
    """Where one trajectory is written: axis 0 is the state; length 0 switches a trace off."""

    train_loss: Vector
    train_error: Vector
    grad_norm: Vector
    margin: Matrix  # (T, n)
    signal_coef: Matrix  # (T, 2m)
    noise_coef: Cube  # (T, 2m, n)
    coef: Cube  # (T, 2m, q)
    test_error: Vector
    test_error_se: Vector
    test_error_ess: Vector
    clean_test_error: Vector
    sam_gap: Vector
    deactivated_fraction: Vector
    sharpness: Vector
    active_count: Cube  # (T, 2, n)
    initial_share: Vector


@borrowing
def count_active(row, out):
    """Filters of each sign that a patch with these overlaps (2m,) makes active, into out (2,)."""
    for sign in range(2):
        out[sign] = 0.0
    for f in range(row.size):
        if row[f] > 0.0:
            out[0 if 2 * f < row.size else 1] += 1.0


@borrowing
def squared_norm(dictionary, k):
    """Of row k."""
    if dictionary.gram.size > 0:
        return dictionary.gram[k, k]
    return dot(dictionary.rows[k], dictionary.rows[k])


@borrowing
def recordable(problem, fresh, moved, traces):
    """Are the coefficients that are recorded finite? `moved` is."""
    named = traces.signal_coef.shape[0] + traces.noise_coef.shape[0] > 0
    if not named and traces.coef.shape[0] == 0:
        return True
    for k in range(problem.overlaps.shape[0]):
        copies, unit = fresh.noise_copies if k > 0 else 1.0, problem.dictionary.units[k]
        square = copies * squared_norm(problem.dictionary, k)
        for f in range(problem.overlaps.shape[1]):
            value = square * moved[k, f] * unit if named else moved[k, f] / unit
            if not math.isfinite(value):
                return False
    return True


@inlined
def observe(
    problem,
    stream,
    test_set,
    fresh,
    test,
    estimate,
    probe,
    overlaps,
    moved,
    initial,
    work,
    radius,
    batch_size,
    stop,
    state,
    traces,
):
    """Write the state at index `state` of every trace.

    `initial` is the share of W(0) in W; `radius` and `batch_size` are those of the SAM perturbation
    that is probed. Returns DONE, NON_FINITE or STOPPED.
    """
    n, q, banks = problem.labels.size, problem.overlaps.shape[0], problem.overlaps.shape[1]
    first = problem.n_signals  # row of the first noise
    drawn, sharp = traces.deactivated_fraction.shape[0] > 0, traces.sharpness.shape[0] > 0
    probed = drawn or sharp or traces.sam_gap.shape[0] > 0
    gap, off, curvature, scale = 0.0, 0.0, 0.0, 0.0
    passes = 2 if probed else 1  # a probe writes over the gradient
    for k in range(passes):  # one call of the gradient: more make every step slower
        scale, finite = gradient(overlaps, problem, work.every_sample, work.every_patch, work)
        # An overlap of −∞ is inactive and does not show in any output.
        if not finite or not (all_finite(overlaps) and all_finite(moved)):
            return codes.NON_FINITE
        if k + 1 < passes:
            probe(problem, overlaps, work, radius, batch_size, drawn, sharp, stop, work.found)
            gap, off, curvature = work.found[0], work.found[1], work.found[2]
    norm = scale * apply_gram(work) if traces.grad_norm.shape[0] > 0 else 0.0
    total_loss, total_error, count = 0.0, 0.0, 1 if problem.model.summed > 0 else n
    for i in range(n):
        total_loss += loss(problem.model.loss, work.margins[i])
        total_error += half_error(work.margins[i])
    # What is recorded and lies beyond a double ends the run, like a state that does.
    if not (math.isfinite(total_loss) and math.isfinite(norm)):
        return codes.NON_FINITE
    if probed and not (math.isfinite(gap) and (math.isfinite(curvature) or not sharp)):
        return codes.NON_FINITE
    if not recordable(problem, fresh, moved, traces):
        return codes.NON_FINITE
    if traces.train_loss.shape[0] > 0:
        traces.train_loss[state] = total_loss / count
    if traces.train_error.shape[0] > 0:
        traces.train_error[state] = total_error / n
    if traces.margin.shape[0] > 0:
        for i in range(n):
            traces.margin[state, i] = work.margins[i]
    if traces.grad_norm.shape[0] > 0:
        traces.grad_norm[state] = norm
    if traces.sam_gap.shape[0] > 0:
        traces.sam_gap[state] = gap
    if drawn:
        traces.deactivated_fraction[state] = off
    if sharp:
        traces.sharpness[state] = curvature
    if traces.active_count.shape[0] > 0:
        for i in range(n):
            count_active(overlaps[first + i, :banks], traces.active_count[state, :, i])
    if traces.initial_share.shape[0] > 0:
        traces.initial_share[state] = initial
    if traces.coef.shape[0] > 0:
        for k in range(q):
            for f in range(banks):
                traces.coef[state, f, k] = moved[k, f] / problem.dictionary.units[k]
    if traces.signal_coef.shape[0] > 0:
        square, unit = squared_norm(problem.dictionary, 0), problem.dictionary.units[0]
        for f in range(banks):
            sign = 1.0 if f < banks // 2 else -1.0
            traces.signal_coef[state, f] = sign * square * moved[0, f] * unit
    if traces.noise_coef.shape[0] > 0:
        for i in range(n):
            square = fresh.noise_copies * squared_norm(problem.dictionary, first + i)
            unit = problem.dictionary.units[first + i]
            for f in range(banks):
                traces.noise_coef[state, f, i] = square * moved[first + i, f] * unit
    if fresh.method != codes.NO_TEST:
        test(problem, stream, test_set, fresh, estimate, overlaps, moved, initial, work, stop)
        error, deviation, effective = work.found[0], work.found[1], work.found[2]
        traces.test_error[state], traces.test_error_se[state] = error, deviation
        if fresh.method != codes.TEST_SET:  # on true labels
            shrink = 1.0 - 2.0 * fresh.label_flip
            traces.clean_test_error[state] = error
            traces.test_error[state] = fresh.label_flip + shrink * error
            traces.test_error_se[state] = abs(shrink) * deviation
            traces.test_error_ess[state] = effective
    return codes.STOPPED if stopped(stop) else codes.DONE
