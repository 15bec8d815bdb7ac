"""One point of a study: its replicates are drawn once each and trained by every method."""

import numpy as np

from simdyn.kernels import codes
from simdyn.kernels.compiled import kernel, part
from simdyn.kernels.gradient import new_workspace
from simdyn.kernels.observe import Traces
from simdyn.kernels.random import Stream
from simdyn.kernels.sampling import draw_problem
from simdyn.kernels.structures import Schedule
from simdyn.kernels.train import new_state


@part
def traces_of(traces, method, replicate):
    """The traces of one run, as views."""
    return Traces(
        traces.train_loss[method, replicate],
        traces.train_error[method, replicate],
        traces.grad_norm[method, replicate],
        traces.margin[method, replicate],
        traces.signal_coef[method, replicate],
        traces.noise_coef[method, replicate],
        traces.coef[method, replicate],
        traces.test_error[method, replicate],
        traces.test_error_se[method, replicate],
        traces.test_error_ess[method, replicate],
        traces.clean_test_error[method, replicate],
        traces.sam_gap[method, replicate],
        traces.deactivated_fraction[method, replicate],
        traces.sharpness[method, replicate],
        traces.active_count[method, replicate],
        traces.initial_share[method, replicate],
    )


@part
def phases_of(schedules, phase_start, method):
    """The phases of one method, as views."""
    own = slice(phase_start[method], phase_start[method + 1])
    return Schedule(
        schedules.radius[own],
        schedules.normalised[own],
        schedules.group_size[own],
        schedules.learning_rate[own],
        schedules.rate_start[own],
        schedules.rate_stop[own],
        schedules.rate_code,
        schedules.rate_value,
        schedules.epochs[own],
        schedules.batch_size[own],
        schedules.keep_last[own],
        schedules.momentum[own],
        schedules.weight_decay[own],
        schedules.restart[own],
        schedules.label_noise[own],
    )


@kernel
def run_point(
    setting,
    schedules,
    phase_start,
    seed,
    first_replicate,
    test_set,
    fresh,
    train,
    test,
    estimate,
    probe,
    probe_radius,
    record_at,
    stop,
    traces,
    status,
    status_step,
):
    """Fill `traces`, `status` and `status_step`, whose first axes are (method, replicate).

    Parameters
    ----------
    train, test, estimate, probe : compiled functions
        Of the modules `train`, `testing`, `risk` and `probes`, called through their pointers.
    schedules : Schedule
        The phases of all methods, one after the other.
    phase_start : (methods + 1,) int64
        Method k has the phases phase_start[k] … phase_start[k + 1] − 1.
    record_at : (methods, T) int64
        Updates to record after; all methods record the same number of states.

    Returns
    -------
    bool
        False where the stop flag was raised; what is filled so far is then incomplete.
    """
    outcome = np.zeros(2, np.int64)
    for replicate in range(status.shape[1]):
        stream = Stream(np.uint64(seed), np.uint64(first_replicate + replicate))
        problem = draw_problem(setting, stream)
        for method in range(status.shape[0]):
            train(
                problem,
                phases_of(schedules, phase_start, method),
                stream,
                test_set,
                fresh,
                test,
                estimate,
                probe,
                probe_radius,
                record_at[method],
                stop,
                new_state(problem),
                new_workspace(problem),
                traces_of(traces, method, replicate),
                outcome,
            )
            if outcome[0] == codes.STOPPED:
                return False
            status[method, replicate] = outcome[0]
            status_step[method, replicate] = outcome[1]
    return True


@kernel
def run_problem(
    problem,
    schedule,
    seed,
    replicate,
    test_set,
    fresh,
    train,
    test,
    estimate,
    probe,
    probe_radius,
    record_at,
    stop,
    traces,
):
    """Train one explicit problem; returns status and status step."""
    stream = Stream(np.uint64(seed), np.uint64(replicate))
    outcome = np.zeros(2, np.int64)
    train(
        problem,
        schedule,
        stream,
        test_set,
        fresh,
        test,
        estimate,
        probe,
        probe_radius,
        record_at,
        stop,
        new_state(problem),
        new_workspace(problem),
        traces,
        outcome,
    )
    return outcome[0], outcome[1]
