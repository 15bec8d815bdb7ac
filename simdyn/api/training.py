"""The public `train`: one explicit problem."""

from typing import TYPE_CHECKING

import numpy as np

from simdyn.base.inputs import InputError, check_seed
from simdyn.base.threads import side_by_side
from simdyn.engine.arguments import Wanted
from simdyn.engine.explicit_runs import run_explicit
from simdyn.engine.labels import OBSERVED_ATTRS, TRUE_ATTRS
from simdyn.engine.problems import Problem
from simdyn.params import Plan, Record, as_plan
from simdyn.params.parameters import check_kind
from simdyn.variables.layout import UPDATE_ATTRS, Coordinate, Layout, axis_coordinates
from simdyn.variables.provenance import provenance
from simdyn.variables.selection import (
    by_default,
    check_conditions,
    choose_variables,
    offers_of_plan,
)

if TYPE_CHECKING:
    import xarray as xr


def train(
    problem: Problem, plan: Plan, *, seed: int = 0, record: Record | None = None
) -> "xr.Dataset":
    """Train an explicit problem, in the span of its patches.

    Parameters
    ----------
    problem : Problem
    plan : Phase or list of Phase
    seed : int, 0 … 2⁶³ − 1
        Of the partitions into batches and the draws of the test error.
    record : Record, optional
        What to record, and when. If it does not say when: every epoch from 0, or, of more than a
        thousand epochs, fewer states that are log-spaced (`Record(log_spaced=1000)`);
        the attribute `recorded` of the dataset then says so. `Record(every=1)` records each.
        ``weights=True`` adds the weights (step, sign, filter, feature).

    Returns
    -------
    xarray.Dataset
        Dims (step, sign, filter, sample), or `vector` for sample if no signal is named. Coordinates
        over sample: `label`, and with a signal `true_label`.

    Raises
    ------
    InputError
        One line that names the field, the value and what is allowed.

    Examples
    --------
    >>> patches = [[[1.0, 0.0], [0.0, 2.0]], [[-1.0, 0.0], [0.0, 2.0]]]  # (n, P, d)
    >>> weights = simdyn.initial_weights(simdyn.TwoLayerCNN(n_filters=4, init_std=0.1), 2)
    >>> problem = simdyn.Problem.from_patches(patches, [1, -1], weights)
    >>> ds = simdyn.train(problem, simdyn.SGD(learning_rate=0.5, epochs=50))
    >>> ds.train_error.values[[0, -1]]
    array([0.5, 0. ])
    """
    if not isinstance(problem, Problem):
        raise InputError("problem: allowed is a simdyn.Problem; make one with from_patches")
    plan, record, seed = as_plan(plan), record or Record(), check_seed(seed)
    check_kind("record", record, Record)
    n, (q, banks) = problem.arrays.labels.size, problem.arrays.overlaps.shape
    possible = problem.recordable(offers_of_plan(plan))
    check_conditions((phase.until for phase in plan), possible)
    names = choose_variables(record.variables, by_default(possible), possible)
    updates = record.updates(plan, n, "epoch")
    traced = tuple(dict.fromkeys((*names, "coef", "initial_share"))) if record.weights else names

    wanted = Wanted(record, traced, "epoch")

    def work(_: int, stop: np.ndarray) -> dict[str, np.ndarray] | None:
        return run_explicit(problem, plan, seed, 0, wanted, updates, stop)

    # On a thread, so that an interrupt is noticed while the kernel runs.
    ((_, traces),) = side_by_side(work, [0], threads=1)
    assert traces is not None
    arrays = {name: traces[name] for name in names}
    lengths = {"step": updates.size, "sign": 2, "filter": banks // 2, "sample": n}
    coords = axis_coordinates({**lengths, "vector": 0 if problem.named_signal else q})
    for name, values, attrs in (
        ("label", problem.arrays.labels, OBSERVED_ATTRS),
        ("true_label", problem.arrays.true_labels, TRUE_ATTRS),
    ):
        if name == "label" or problem.named_signal:
            coords[name] = Coordinate(("sample",), values.astype(np.int8), attrs)
    coords["updates"] = Coordinate(("step",), updates, UPDATE_ATTRS)
    if record.weights:
        with np.errstate(invalid="ignore", over="ignore"):  # an overflow shows in status
            share = traces["initial_share"][:, None, None, None]
            arrays["weights"] = share * problem.weights + traces["coef"] @ problem.vectors
        features = np.arange(problem.weights.shape[2])
        coords["feature"] = Coordinate(("feature",), features, {"long_name": "feature"})
    call = {"train": {"plan": list(plan), "seed": seed, "record": record}}
    origin = provenance(call) | record.thinning(plan, n, updates)
    return Layout((), coords, tuple(arrays), origin).dataset(arrays)
