"""Training on explicit problems: the public `train`, and what studies of them use."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simdyn.bridge import (
    ESTIMATORS,
    check_kind,
    empty_traces,
    kernel_schedules,
    labelled,
    pointers_for,
    provenance,
)
from simdyn.explicit import INTERVAL, Problem
from simdyn.inputs import InputError, check_seed
from simdyn.kernels import problem as codes
from simdyn.kernels.point import run_problem
from simdyn.params import Phase, Plan, Record, as_plan
from simdyn.schema import (
    UPDATE_ATTRS,
    Coordinate,
    Layout,
    axis_coordinates,
    by_default,
    choose_variables,
)
from simdyn.threads import side_by_side

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]


def _binomial_interval(error: Floats, count: int) -> tuple[Floats, Floats]:
    """The 95 % interval of Clopper and Pearson for errors out of `count`; halves are allowed."""
    from scipy.stats import beta

    wrong = error * count
    low = np.where(wrong > 0, beta.ppf(0.025, wrong, count - wrong + 1), 0.0)
    high = np.where(wrong < count, beta.ppf(0.975, wrong + 1, count - wrong), 1.0)
    return np.where(np.isnan(error), np.nan, low), np.where(np.isnan(error), np.nan, high)


def run_explicit(
    problem: Problem, plan: Sequence[Phase], seed: int, replicate: int, record: Record,
    updates: np.ndarray, names: Sequence[str], stop: np.ndarray,
) -> dict[str, np.ndarray] | None:  # fmt: skip
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
        fresh = fresh._replace(method=ESTIMATORS[record.estimator(activation)])
    estimated = fresh.method not in (codes.NO_TEST, codes.TEST_SET)
    needed = [name for name in names if estimated or "test_error" not in name]
    pointers = [pointer() for pointer in pointers_for(record, activation, needed)]
    status, status_step = run_problem(
        problem.arrays, schedule, np.uint64(seed), np.uint64(replicate), problem.test_set, fresh,
        *pointers, record.probed, updates, stop, traces,
    )  # fmt: skip
    if status == codes.STOPPED:
        return None
    arrays = labelled(traces, [name for name in names if name not in INTERVAL], banks // 2)
    if problem.fresh_samples.method == codes.TEST_SET and set(INTERVAL) & set(names):
        ends = _binomial_interval(traces.test_error, problem.test_set.labels.size)
        arrays |= {name: end for name, end in zip(INTERVAL, ends, strict=True) if name in names}
    return {
        **arrays, "status": np.array(status, np.int8), "status_step": np.array(status_step),
    }  # fmt: skip


def train(
    problem: Problem, plan: Plan, *, seed: int = 0, record: Record | None = None
) -> "xr.Dataset":
    """Train an explicit problem, in the span of its patches.

    Parameters
    ----------
    problem : Problem
    plan : Phase or list of Phase
    seed : int, 0 … 2⁶³ − 1
        Decides the partitions into batches and the draws of the test error.
    record : Record, optional
        What to record, and when. If it does not say when: every epoch from 0, or, of more than a
        thousand epochs, fewer states that are log-spaced (`Record(log_spaced=1000)`);
        the attribute `recorded` of the dataset then says so. `Record(every=1)` records each.
        With ``weights=True`` the weights (step, sign, filter, feature) are among it.

    Returns
    -------
    xarray.Dataset
        Dims (step, sign, filter, sample), or `vector` where no signal is named.

    Raises
    ------
    InputError
        One line that names the field, the value and what is allowed.
    """
    if not isinstance(problem, Problem):
        raise InputError("problem: allowed is a simdyn.Problem; make one with from_patches")
    plan, record, seed = as_plan(plan), record or Record(), check_seed(seed)
    check_kind("record", record, Record)
    n, (q, banks) = problem.arrays.labels.size, problem.arrays.overlaps.shape
    names = choose_variables(record.variables, by_default(problem.variables), problem.variables)
    updates = record.updates(plan, n, "epoch")
    traced = tuple(dict.fromkeys((*names, "coef", "initial_share"))) if record.weights else names

    def work(_: int, stop: np.ndarray) -> dict[str, np.ndarray] | None:
        return run_explicit(problem, plan, seed, 0, record, updates, traced, stop)

    # On a thread of its own, so that an interrupt is heard while the kernel runs.
    ((_, traces),) = side_by_side(work, [0], threads=1)
    assert traces is not None
    arrays = {name: traces[name] for name in names}
    coords = axis_coordinates(
        None, 1, updates.size, banks // 2, n, 0 if problem.named_signal else q
    )
    del coords["replicate"]
    coords["update"] = Coordinate(("step",), updates, UPDATE_ATTRS)
    if record.weights:
        with np.errstate(invalid="ignore", over="ignore"):  # status tells of overflow
            share = traces["initial_share"][:, None, None, None]
            arrays["weights"] = share * problem.weights + traces["coef"] @ problem.vectors
        features = np.arange(problem.weights.shape[2])
        coords["feature"] = Coordinate(("feature",), features, {"long_name": "feature"})
    call = {"train": {"plan": list(plan), "seed": seed, "record": record}}
    attrs = provenance(call) | record.told(plan, n, updates)
    return Layout((), coords, tuple(arrays), attrs).dataset(arrays)
