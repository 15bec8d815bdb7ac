"""Training on explicit problems: the public `train`, and what studies of them use."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simdyn.engine.arguments import (
    Wanted,
    kernel_recording,
    kernel_schedule,
    pointers_for,
    read_by_conditions,
    recorded,
    tools_of,
)
from simdyn.engine.problems import Problem
from simdyn.engine.stride_errors import with_stride_error
from simdyn.kernels import codes
from simdyn.kernels.point import run_problem
from simdyn.params import Phase
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
    wanted: Wanted,
    updates: np.ndarray,
    stop: np.ndarray,
) -> dict[str, np.ndarray] | None:
    """Train one explicit problem.

    Returns
    -------
    dict of str to ndarray, or None
        Variables with dims (step, …); None if the stop flag was raised.
    """

    def run(plans: Sequence[Sequence[Phase]], wanted: Wanted) -> dict[str, np.ndarray] | None:
        record, names, activation = wanted.record, wanted.names, problem.net.activation
        n, (q, banks) = problem.arrays.labels.size, problem.arrays.overlaps.shape
        fresh = problem.fresh_samples._replace(draws=record.draws(activation))
        goals = read_by_conditions(plans)
        if not any(VARIABLES[name].test for name in (*names, *goals)):
            fresh = fresh._replace(method=codes.NO_TEST)
        elif fresh.method == codes.LINE:
            fresh = fresh._replace(method=codes.ESTIMATORS[record.estimator(activation)].code)
        estimated = fresh.method not in (codes.NO_TEST, codes.TEST_SET)
        needed = [name for name in names if estimated or not VARIABLES[name].test]
        stepping = {phase.stepping for plan in plans for phase in plan}
        kernels = pointers_for(record, activation, needed, stepping, goals)
        train, *others = (pointer() for pointer in kernels)
        schedule = kernel_schedule(plans, n, [updates])
        sizes = {"filter": banks // 2, "sample": n, "vector": q}
        recording = kernel_recording(schedule, 1, wanted, sizes, fresh, problem.test_set)
        seeds = np.uint64(seed), np.uint64(replicate)
        tools = tools_of(others)
        if not run_problem(problem.arrays, schedule, *seeds, train, tools, stop, recording):
            return None
        arrays = recorded(recording, (), names)
        if fresh.method == codes.TEST_SET and set(INTERVAL) & set(names):
            error, count = recording.traces.test_error[0], problem.test_set.labels.size
            ends = _binomial_interval(error, count)
            arrays |= {name: end for name, end in zip(INTERVAL, ends, strict=True) if name in names}
        return arrays

    return with_stride_error(run, [plan], wanted)
