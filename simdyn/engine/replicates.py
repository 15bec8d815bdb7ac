"""Replicates of one setting trained: what studies run, and the public `simulate`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simdyn.engine.arguments import (
    Wanted,
    point_arguments,
    pointers_for,
    read_by_conditions,
    recorded,
)
from simdyn.engine.explicit_runs import run_explicit
from simdyn.engine.image_problems import make_problem
from simdyn.engine.stride_errors import with_stride_error
from simdyn.kernels.compiled import Pointed, entry_for
from simdyn.kernels.point import run_point
from simdyn.params import Data, DrawnData, ImageData, Phase, TwoLayerCNN

# Code of `run_point` by the kernels it calls; its other arguments are always of the same types.
_ENTRIES: dict[tuple[Pointed, ...], Any] = {}


def run_replicates(
    data: Data,
    net: TwoLayerCNN,
    plans: Sequence[Sequence[Phase]],
    seed: int,
    replicates: range,
    wanted: Wanted,
    stop: np.ndarray,
) -> dict[str, np.ndarray] | None:
    """Run every method on every replicate of one point, of data of any kind.

    Returns
    -------
    dict of str to ndarray, or None
        Variables with dims (method, replicate, step, …); None if the stop flag was raised.
    """
    if isinstance(data, DrawnData):
        return with_stride_error(
            lambda plans, wanted: run_drawn(data, net, plans, seed, replicates, wanted, stop),
            plans,
            wanted,
        )
    assert isinstance(data, ImageData)
    updates = [wanted.record.updates(plan, data.n_samples, wanted.default) for plan in plans]
    rows: list[list[dict[str, np.ndarray]]] = [[] for _ in plans]
    for replicate in replicates:
        problem = make_problem(data, net, seed, replicate)
        for row, plan, at in zip(rows, plans, updates, strict=True):
            values = run_explicit(problem, plan, seed, replicate, wanted, at, stop)
            if values is None:
                return None
            row.append(values)
    return {name: np.array([[run[name] for run in row] for row in rows]) for name in wanted.names}


def run_drawn(
    data: DrawnData,
    net: TwoLayerCNN,
    plans: Sequence[Sequence[Phase]],
    seed: int,
    replicates: range,
    wanted: Wanted,
    stop: np.ndarray,
) -> dict[str, np.ndarray] | None:
    """Run every method on every replicate of one point.

    Returns
    -------
    dict of str to ndarray, or None
        Variables with dims (method, replicate, step, …); None if the stop flag was raised.
    """
    goals = read_by_conditions(plans)
    stepping = {phase.stepping for plan in plans for phase in plan}
    kernels = pointers_for(wanted.record, net.activation, wanted.names, stepping, goals)
    pointers = [pointer() for pointer in kernels]
    arguments = point_arguments(data, net, plans, seed, replicates, wanted, stop, pointers)
    if kernels not in _ENTRIES:
        _ENTRIES[kernels] = entry_for(run_point, arguments)
    if not _ENTRIES[kernels](*arguments):
        return None
    *_, recording = arguments
    return recorded(recording, (len(plans), len(replicates)), wanted.names)
