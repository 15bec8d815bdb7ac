"""The values of one block of a study."""

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from simdyn.engine.arguments import Wanted, pointers_for
from simdyn.engine.preparation import prepare
from simdyn.engine.replicates import run_replicates
from simdyn.engine.solving import Setting, solve
from simdyn.kernels.codes import FAILED, MASKED
from simdyn.params import DrawnData
from simdyn.params.conditions import goal_of
from simdyn.store.smaller import SmallerStore
from simdyn.study.blocks import Block
from simdyn.study.design import StudyDesign
from simdyn.variables.registry import VARIABLES

_COMPILING = threading.Lock()
NONE: Mapping[int, str] = MappingProxyType({})


def prepare_kernels(study: StudyDesign) -> float:
    """Compile or load the kernels of a study; returns the seconds it took. Quick when repeated."""
    drawn = issubclass(study.space.law, DrawnData)
    stepping, until = (study.space.phase_values(name) for name in ("stepping", "until"))
    goals = {goal_of(str(condition)).quantity for condition in until if condition}
    # The error on given test samples is counted, and needs no estimate.
    names = [name for name in study.variables_of_runs if drawn or not VARIABLES[name].test]
    with _COMPILING:
        return sum(
            prepare(pointers_for(study.record, activation, names, stepping, goals), drawn=drawn)
            for activation in study.space.activations
        )


def empty_block(study: StudyDesign, block: Block) -> dict[str, np.ndarray]:
    """Arrays of a block, every value missing."""
    layout = study.layout
    *grid, replicates = (part.stop - part.start for part in block.region)
    arrays = {}
    for name in study.variables:
        dtype = VARIABLES[name].dtype
        outer = layout.by_block(name, grid, len(study.space.methods), replicates)
        shape = (*outer, *layout.inner(name))
        arrays[name] = np.full(shape, np.nan if dtype == "float64" else 0, dtype)
    return arrays


def point_label(study: StudyDesign, index: tuple[int, ...]) -> str:
    """A point as text, 'dimension = 1000, signal_norm = 2.0'."""
    return study.space.location(index).strip(" ()").removeprefix("at ") or "the only point"


def run_block(
    study: StudyDesign,
    block: Block,
    stop: np.ndarray,
    failed: Callable[[str, str], None],
    *,
    smaller: SmallerStore | None = None,
    crashing: Mapping[int, str] = NONE,
    begun: Callable[[int], None] | None = None,
    only: range | None = None,
) -> dict[str, np.ndarray] | None:
    """All values of a block, or None if the stop flag was raised.

    If a point cannot be computed it gets status 4 (failed), and the other points are computed.

    Parameters
    ----------
    stop : ndarray of one int
        The stop flag: raised when it is not 0.
    failed : callable
        Called with each point that fails, as text, and the cause.
    smaller : SmallerStore, optional
        Values that are done there are taken over instead of computed.
    crashing : mapping of int to str
        Points that are known to end their process, by their number in the block, and how they end
        it: these are marked as failed and not computed.
    begun : callable, optional
        Called with the number of each point before it is computed.
    only : range, optional
        Numbers of the points to compute; the others stay missing.
    """
    arrays = empty_block(study, block)
    for number, (index, local) in enumerate(block.indices()):
        if only is not None and number not in only:
            continue
        if number in crashing:
            arrays["status"][local] = FAILED
            failed(point_label(study, index), crashing[number])
            continue
        try:
            if not study.space.wanted(index):
                arrays["status"][local] = MASKED
                continue
            if begun is not None:
                begun(number)
            run_point = _run_point if study.solve is None else _solve_point
            if not run_point(study, index, block.replicates, local, arrays, stop, smaller):
                return None
        except Exception as problem:  # a study is never stopped by a point
            for name, values in arrays.items():
                values[local] = np.nan if VARIABLES[name].dtype == "float64" else 0
            arrays["status"][local] = FAILED
            failed(point_label(study, index), str(problem) or type(problem).__name__)
    return arrays


def _run_point(
    study: StudyDesign,
    index: tuple[int, ...],
    replicates: range,
    local: tuple[int, ...],
    arrays: dict[str, np.ndarray],
    stop: np.ndarray,
    smaller: SmallerStore | None,
) -> bool:
    """Fill in the values of one point; False if the stop flag was raised."""
    point = study.space.point(index)
    every = tuple(range(len(point.plans)))
    parts = [(every, replicates)]
    if smaller is not None and (taken := smaller.take(index, replicates)) is not None:
        values, old, count = taken
        for name, value in values.items():
            arrays[name][local][list(old), :count] = value
        new = tuple(k for k in every if k not in old)
        parts = [(old, replicates[count:]), (new, replicates)]
    for methods, part in parts:
        if not methods or not part:
            continue
        plans = [point.plans[k] for k in methods]
        wanted = Wanted(study.record, study.variables, "last")
        computed = run_replicates(point.data, point.net, plans, study.seed, part, wanted, stop)
        if computed is None:
            return False
        first = part.start - replicates.start
        for name, value in computed.items():
            arrays[name][local][list(methods), first : first + len(part)] = value
    return True


def _solve_point(
    study: StudyDesign,
    index: tuple[int, ...],
    replicates: range,
    local: tuple[int, ...],
    arrays: dict[str, np.ndarray],
    stop: np.ndarray,
    smaller: SmallerStore | None,
) -> bool:
    """Fill in what is solved for at one point; False if the stop flag was raised."""
    space, crossing = study.space, study.solve
    assert crossing is not None
    methods = range(len(space.methods))
    taken = None if smaller is None else smaller.take(index, replicates)
    old = taken[1] if taken and taken[2] == len(replicates) else ()
    if taken and old:
        for name, value in taken[0].items():
            arrays[name][local][list(old)] = value
    for method in (k for k in methods if k not in old):

        def made(value: float, method: int = method) -> Setting:
            point = space.point(index, value)
            return point.data, point.net, point.plans[method], space.level(index, value)

        found = solve(
            made, crossing, space.ends(index), study.seed, len(replicates), study.record, stop
        )
        if found is None:
            return False
        for name, value in found.items():
            arrays[name][local][method] = value
    return True
