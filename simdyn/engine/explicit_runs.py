"""Training on explicit problems: the public `train`, and what studies of them use."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simdyn.engine.arguments import empty_traces, kernel_schedules, labelled, pointers_for
from simdyn.engine.problems import Problem
from simdyn.kernels import codes
from simdyn.kernels.point import run_problem
from simdyn.params import Phase, Record
from simdyn.variables.registry import VARIABLES

Floats = npt.NDArray[np.float64]
INTERVAL = ("test_error_low", "test_error_high")  # worked out here, after the kernel


def _binomial_interval(error: Floats, count: int) -> tuple[Floats, Floats]:
    """The 95 % interval of Clopper and Pearson for errors out of `count`; halves are allowed."""
    from scipy.stats import beta

    wrong = error * count
    low = np.where(wrong > 0, beta.ppf(0.025, wrong, count - wrong + 1), 0.0)
    high = np.where(wrong < count, beta.ppf(0.975, wrong + 1, count - wrong), 1.0)
    return np.where(np.isnan(error), np.nan, low), np.where(np.isnan(error), np.nan, high)


def run_explicit(
    problem: Problem,
    plan: Sequence[Phase],
    seed: int,
    replicate: int,
    record: Record,
    updates: np.ndarray,
    names: Sequence[str],
    stop: np.ndarray,
) -> dict[str, np.ndarray] | None:
    """Train one explicit problem.

    Returns
    -------
    dict of str to ndarray, or None
        Variables with dims (step, …); None where the stop flag was raised.
    """
    n, (q, banks) = problem.arrays.labels.size, problem.arrays.overlaps.shape
    schedule, _ = kernel_schedules([plan], n)
    traces = empty_traces((), names, updates.size, banks // 2, n, q)
    activation = problem.net.activation
    fresh = problem.fresh_samples._replace(draws=record.draws(activation))
    if not traces.test_error.size:
        fresh = fresh._replace(method=codes.NO_TEST)
    elif fresh.method == codes.LINE:
        fresh = fresh._replace(method=codes.ESTIMATORS[record.estimator(activation)].code)
    estimated = fresh.method not in (codes.NO_TEST, codes.TEST_SET)
    needed = [name for name in names if estimated or not VARIABLES[name].test]
    pointers = [pointer() for pointer in pointers_for(record, activation, needed)]
    status, status_step = run_problem(
        problem.arrays,
        schedule,
        np.uint64(seed),
        np.uint64(replicate),
        problem.test_set,
        fresh,
        *pointers,
        record.probed,
        updates,
        stop,
        traces,
    )
    if status == codes.STOPPED:
        return None
    arrays = labelled(traces, names, banks // 2)
    if problem.fresh_samples.method == codes.TEST_SET and set(INTERVAL) & set(names):
        ends = _binomial_interval(traces.test_error, problem.test_set.labels.size)
        arrays |= {name: end for name, end in zip(INTERVAL, ends, strict=True) if name in names}
    return {**arrays, "status": np.array(status, np.int8), "status_step": np.array(status_step)}
