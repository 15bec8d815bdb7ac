"""The critical value of a field at one point and for one method, from runs of its replicates."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simdyn.engine.arguments import Wanted
from simdyn.engine.replicates import run_replicates
from simdyn.params import Crossing, Data, Phase, Record, TwoLayerCNN
from simdyn.theory.root_search import Coordinate, find_crossing

Setting = tuple[Data, TwoLayerCNN, Sequence[Phase], float]
"""Data, network, plan and level."""


class StoppedError(Exception):
    """The stop flag was raised during a search."""


def solve(
    made: Callable[[float], Setting],
    crossing: Crossing,
    ends: tuple[float, float],
    seed: int,
    replicates: int,
    record: Record,
    stop: np.ndarray,
) -> dict[str, Any] | None:
    """Find a critical value, and what studies that solve record of it.

    Parameters
    ----------
    made : callable
        The setting where the solved field has a value.
    crossing : Crossing
    ends : (float, float)
        The bracket.
    seed, replicates, record
        Of the study.
    stop : ndarray of one int
        The stop flag: raised when it is not 0.

    Returns
    -------
    dict of str to number or (R,) array, or None
        The variables recorded "by solving", with statuses; None if the stop flag was raised.
    """
    wanted = Wanted(record, (crossing.variable, "status", "status_step"), "last")
    known: dict[float, dict[str, np.ndarray]] = {}

    def run(value: float, count: int) -> np.ndarray:
        data, net, plan, level = made(value)
        found = run_replicates(data, net, [plan], seed, range(count), wanted, stop)
        if found is None:
            raise StoppedError
        last = found[crossing.variable][0, :, -1]
        if count == replicates:
            statuses = {name: found[name][0] for name in ("status", "status_step")}
            known[value] = {"value_at_critical": last, **statuses}
        return last - level

    coordinate = Coordinate(*ends, ends[0] > 0.0)
    try:
        solution = find_crossing(
            run, coordinate, replicates, crossing.tolerance, median=crossing.statistic == "median"
        )
    except StoppedError:
        return None
    # Without a critical value, the statuses are those of the bracket's first end.
    at = solution.value if solution.outcome.located else ends[0]
    if at not in known:
        run(at, replicates)
    return {
        **known[at],
        "critical_value": solution.value,
        "critical_low": solution.low,
        "critical_high": solution.high,
        "critical_slope": solution.slope,
        "critical_level": made(at)[-1],
        "crossing_status": int(solution.outcome),
        "evaluations": solution.runs,
        **({} if solution.outcome.located else {"value_at_critical": np.nan}),
        "slope_at_critical": solution.slopes,
    }
