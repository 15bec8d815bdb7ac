"""What is recorded of a state: losses, margins, coefficients, probes, test error."""

import math
from typing import Annotated, Any, NamedTuple

from simdyn.kernels import codes, probes
from simdyn.kernels import estimates as risk
from simdyn.kernels import test_error as testing
from simdyn.kernels.activations import half_error, loss
from simdyn.kernels.compiled import borrowing, inlined, stopped
from simdyn.kernels.gradient import apply_gram, gradient
from simdyn.kernels.linear import all_finite, squared_norm
from simdyn.kernels.state import (
    COVERED,
    REACHED,
    RECORDED,
    REJECTED,
    RUN,
    STRIDES,
    UPDATE,
    switching_fraction,
)
from simdyn.kernels.structures import Cube, FourAxes, FreshSamples, Indices, Matrix, TestSet


class Traces(NamedTuple):
    """Where states are written: axes (run, state, …). What is not recorded has no states."""

    train_loss: Matrix
    train_error: Matrix
    grad_norm: Matrix
    margin: Cube  # (runs, T, n)
    signal_coef: Cube  # (runs, T, 2m)
    noise_coef: FourAxes  # (runs, T, 2m, n)
    coef: FourAxes  # (runs, T, 2m, q)
    test_error: Matrix
    test_error_se: Matrix
    test_error_ess: Matrix
    clean_test_error: Matrix
    sam_gap: Matrix
    deactivated_fraction: Matrix
    sharpness: Matrix
    active_count: FourAxes  # (runs, T, 2, n)
    initial_share: Matrix
    switching_fraction: Matrix
    exact_updates: Matrix
    strides: Matrix
    rejected_strides: Matrix
    updates_made: Matrix
    goal_update: Matrix


class Recording(NamedTuple):
    """What is recorded of all runs of a point, and where it is written."""

    fresh: FreshSamples
    test_set: TestSet
    probe_radius: float  # τ of probes; below 0 that of the phase
    traces: Traces
    status: Indices  # (runs,)
    status_step: Indices  # (runs,), the update at which the status set in


class Readers(NamedTuple):
    """Kernels that read a state, called through pointers: `test`, an estimate and `probe`.

    What is not needed has a stand-in.
    """

    test: Annotated[Any, testing.test]
    estimate: Annotated[Any, risk.no_estimate]
    probe: Annotated[Any, probes.no_probe]


@borrowing
def coefficients_finite(problem, fresh, moved, named):
    """Are the coefficients finite, if `moved` is? `named`: those of signal and noise, else coef."""
    for k in range(problem.overlaps.shape[0]):
        copies, unit = fresh.noise_copies if k > 0 else 1.0, problem.dictionary.units[k]
        square = copies * squared_norm(problem.dictionary, k)
        for f in range(problem.overlaps.shape[1]):
            value = square * moved[f, k] * unit if named else moved[f, k] / unit
            if not math.isfinite(value):
                return False
    return True


@inlined
def training_scores(model, margins):
    """Loss and error of the training samples."""
    total_loss, total_error = 0.0, 0.0
    for margin in margins:
        total_loss += loss(model.loss, margin)
        total_error += half_error(margin)
    return total_loss / (1 if model.summed > 0 else margins.size), total_error / margins.size


@inlined
def write(trace, run, index, value):
    """Record a number, if it is wanted."""
    if trace.size > 0:
        trace[run, index] = value


@inlined
def write_coefficients(problem, fresh, moved, run, index, traces):
    """How far the filters moved along the dictionary: signal_coef, noise_coef and coef."""
    dictionary, first = problem.dictionary, problem.n_signals  # row of the first noise
    q, banks = problem.overlaps.shape
    if traces.coef.size > 0:
        for k in range(q):
            for f in range(banks):
                traces.coef[run, index, f, k] = moved[f, k] / dictionary.units[k]
    if traces.signal_coef.size > 0:
        square, unit = squared_norm(dictionary, 0), dictionary.units[0]
        for f in range(banks):
            sign = 1.0 if f < banks // 2 else -1.0
            traces.signal_coef[run, index, f] = sign * square * moved[f, 0] * unit
    if traces.noise_coef.size > 0:
        for i in range(problem.labels.size):
            square = fresh.noise_copies * squared_norm(dictionary, first + i)
            unit = dictionary.units[first + i]
            for f in range(banks):
                traces.noise_coef[run, index, f, i] = square * moved[f, first + i] * unit


@inlined
def write_samples(problem, overlaps, margins, run, index, traces):
    """What each sample has: its margin, and the filters of either sign that its noise activates."""
    banks = problem.overlaps.shape[1]
    if traces.margin.size > 0:
        for i in range(margins.size):
            traces.margin[run, index, i] = margins[i]
    if traces.active_count.size > 0:
        for i in range(margins.size):
            for sign in range(2):
                traces.active_count[run, index, sign, i] = 0.0
            for f in range(banks):
                if overlaps[f, problem.n_signals + i] > 0.0:
                    traces.active_count[run, index, 2 * f // banks, i] += 1.0


@inlined
def write_test_error(problem, stream, readers, stop, state, work, recording):
    """Test error on observed and on true labels, by one of the estimates or on given samples."""
    fresh, traces = recording.fresh, recording.traces
    run, index = state.at[RUN], state.at[RECORDED]
    readers.test(problem, stream, fresh, recording.test_set, readers.estimate, state, work, stop)
    error, deviation, effective = work.found[0], work.found[1], work.found[2]
    traces.test_error[run, index], traces.test_error_se[run, index] = error, deviation
    if fresh.method != codes.TEST_SET:  # on true labels
        shrink = 1.0 - 2.0 * fresh.label_flip
        traces.clean_test_error[run, index] = error
        traces.test_error[run, index] = fresh.label_flip + shrink * error
        traces.test_error_se[run, index] = abs(shrink) * deviation
        traces.test_error_ess[run, index] = effective


@inlined
def probe_state(problem, phase, readers, stop, state, work, recording, wanted):
    """SAM gap, deactivated fraction and sharpness, into work.found; `wanted`: the last two?"""
    own = recording.probe_radius < 0.0
    radius = phase.perturbation if own else recording.probe_radius
    drawn, sharp = wanted
    readers.probe(problem, state.overlaps, work, radius, phase.batch_size, drawn, sharp, stop)


@inlined
def observe(problem, phase, stream, readers, stop, state, work, recording):
    """Record a state; `phase` is that of the last update, whose perturbation is probed.

    Returns DONE, STOPPED, or NON_FINITE: if a number is beyond a double, nothing is recorded.
    """
    traces, fresh = recording.traces, recording.fresh
    overlaps, moved, found = state.overlaps, state.moved, work.found
    run, index = state.at[RUN], state.at[RECORDED]
    drawn, sharp = traces.deactivated_fraction.size > 0, traces.sharpness.size > 0
    probed, scale = drawn or sharp or traces.sam_gap.size > 0, 0.0
    passes = 2 if probed else 1  # a probe writes over the gradient
    for k in range(passes):  # one call of the gradient: more make every step slower
        scale, finite = gradient(overlaps, problem, work.every_sample, work)
        # An overlap of −∞ is inactive and does not show in any output.
        if not finite or not (all_finite(overlaps) and all_finite(moved)):
            return codes.NON_FINITE
        if k + 1 < passes:
            probe_state(problem, phase, readers, stop, state, work, recording, (drawn, sharp))
    norm = scale * apply_gram(work) if traces.grad_norm.size > 0 else 0.0
    train_loss, train_error = training_scores(problem.model, work.margins)
    if not (math.isfinite(train_loss) and math.isfinite(norm)):
        return codes.NON_FINITE
    if probed and not (math.isfinite(found[0]) and (math.isfinite(found[2]) or not sharp)):
        return codes.NON_FINITE
    named = traces.signal_coef.size + traces.noise_coef.size > 0
    kept = named or traces.coef.size > 0
    if kept and not coefficients_finite(problem, fresh, moved, named):
        return codes.NON_FINITE
    write(traces.train_loss, run, index, train_loss)
    write(traces.train_error, run, index, train_error)
    write(traces.grad_norm, run, index, norm)
    write(traces.sam_gap, run, index, found[0])
    write(traces.deactivated_fraction, run, index, found[1])
    write(traces.sharpness, run, index, found[2])
    write(traces.initial_share, run, index, state.shares[0])
    if state.switched.size > 0:
        write(traces.switching_fraction, run, index, switching_fraction(state))
    write(traces.exact_updates, run, index, float(state.at[UPDATE] - state.at[COVERED]))
    write(traces.strides, run, index, float(state.at[STRIDES]))
    write(traces.rejected_strides, run, index, float(state.at[REJECTED]))
    write(traces.updates_made, run, index, float(state.at[UPDATE]))
    if state.at[REACHED] >= 0:
        write(traces.goal_update, run, index, float(state.at[REACHED]))
    write_samples(problem, overlaps, work.margins, run, index, traces)
    write_coefficients(problem, fresh, moved, run, index, traces)
    if fresh.method != codes.NO_TEST:
        write_test_error(problem, stream, readers, stop, state, work, recording)
    return codes.STOPPED if stopped(stop) else codes.DONE
