"""What a study costs on this machine: nominal prices, corrected by a short calibration."""

import dataclasses
import itertools
import time
from collections.abc import Iterator

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.engine.arguments import Wanted
from simdyn.engine.replicates import run_replicates
from simdyn.run.block import prepare_kernels
from simdyn.space.points import Point
from simdyn.study.blocks import Block, Blocks
from simdyn.study.cost import seconds
from simdyn.study.design import StudyDesign

CALIBRATION_SECONDS = 2.0  # or a little more
LONGEST = 0.25  # nominal seconds of one point in a calibration: longer trainings are cut short
SAMPLED = 200  # blocks whose nominal prices are taken for those of all


@dataclasses.dataclass(frozen=True)
class Price:
    """Core-seconds of a study.

    Attributes
    ----------
    seconds, left : float
        For all of the study, and for what is not done.
    longest : float
        For the longest block that is not done, among those sampled.
    measured : int
        Runs that were timed; 0 if the price is nominal.
    compile_seconds : float
        For compiling the kernels, before the first run.
    """

    seconds: float
    left: float
    longest: float = 0.0
    measured: int = 0
    compile_seconds: float = 0.0


def price(study: StudyDesign, blocks: Blocks, done: np.ndarray, calibrated: bool = True) -> Price:
    """Price a study, and what is left of it.

    Parameters
    ----------
    blocks : Blocks
        The blocks of its store.
    done : ndarray of bool
        Which of the blocks are done.
    calibrated : bool
        Time some runs, for about two seconds; else the price is the nominal one.
    """
    left, longest = _nominal(study, blocks, np.flatnonzero(~done))
    kept, _ = _nominal(study, blocks, np.flatnonzero(done))
    if not calibrated:
        return Price(left + kept, left, longest)
    compile_seconds = prepare_kernels(study)
    ratio, measured = _calibrate(study, blocks)
    return Price(ratio * (left + kept), ratio * left, ratio * longest, measured, compile_seconds)


def _even(numbers: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the numbers, evenly spaced."""
    if numbers.size <= most:
        return numbers
    return numbers[np.linspace(0, numbers.size - 1, most).round().astype(np.int64)]


def _a_point(study: StudyDesign, block: Block, last: bool = False) -> tuple[Point, float] | None:
    """A point of a block and the nominal seconds of one of its replicates; None if all masked.

    The first point that is not masked; with `last`, the last point, unless it is masked.
    """
    end = tuple(part.stop - 1 for part in block.region[:-1])
    for index, _ in [(end, end)] if last else block.indices():
        if study.space.wanted(index):
            try:
                point = study.space.point(index)
            except InputError:  # the point will fail, which costs nothing
                return None
            return point, seconds(point, study.record, study.states)
    return None


def _nominal(study: StudyDesign, blocks: Blocks, numbers: np.ndarray) -> tuple[float, float]:
    """Nominal core-seconds of some blocks, and of the longest of them."""
    sample = _even(numbers, SAMPLED)
    prices = [_price_of(study, blocks[number]) for number in sample.tolist()]
    total = float(np.sum(prices)) * numbers.size / max(sample.size, 1)
    # Costs grow along axes, so the longest block is usually at a corner of the grid.
    ends = itertools.product(*({0, count - 1} for count in blocks.counts))
    corners = [int(np.ravel_multi_index(end, blocks.counts)) for end in itertools.islice(ends, 256)]
    looked_at = set(numbers[np.isin(numbers, corners)].tolist()) | set(sample.tolist())
    longest = max(
        (_price_of(study, blocks[k], last) for k in sorted(looked_at) for last in (False, True)),
        default=0.0,
    )
    # In one block of a refined study all points may be simulated.
    return total, longest / min(study.evaluations, 1.0)


def _price_of(study: StudyDesign, block: Block, last: bool = False) -> float:
    """Nominal core-seconds of a block, if all its points cost what one of them does."""
    found = _a_point(study, block, last)
    return found[1] * block.cells * study.evaluations if found else 0.0


def _cut_short(point: Point, nominal: float) -> Point:
    """The point with fewer epochs, if it would take too long."""
    share = min(1.0, LONGEST / nominal)
    plans = tuple(
        tuple(
            phase.replace(epochs=max(min(phase.epochs, 1), int(phase.epochs * share)))
            for phase in plan
        )
        for plan in point.plans
    )
    return dataclasses.replace(point, plans=plans)


def _samples(study: StudyDesign, blocks: Blocks) -> Iterator[tuple[Point, float]]:
    """Points from the whole study, in passes over it with finer and finer steps."""
    seen: set[int] = set()
    size = 2
    while size <= 1024:
        for number in _even(np.arange(len(blocks)), size).tolist():
            if number not in seen and (found := _a_point(study, blocks[number])):
                yield found
            seen.add(number)
        size *= 2


def _calibrate(study: StudyDesign, blocks: Blocks) -> tuple[float, int]:
    """Seconds on this machine for each nominal second, and the number of runs that were timed."""
    began, nominal, spent, runs = time.perf_counter(), 0.0, 0.0, 0
    stop = np.zeros(1, np.int64)
    for point, price_of_one in _samples(study, blocks):
        try:
            short = _cut_short(point, price_of_one)
            of_one = seconds(short, study.record, study.states)
        except InputError:  # a learning-rate schedule may not be allowed in a shorter phase
            continue
        if of_one > 4 * LONGEST:  # even one epoch takes too long
            continue
        replicates = range(min(study.replicates, max(1, int(0.1 / of_one))))
        start = time.perf_counter()
        wanted = Wanted(study.record, study.variables_of_runs, "last")
        # One by one: shorter plans may record other numbers of states.
        for plan in short.plans:
            run_replicates(short.data, short.net, [plan], study.seed, replicates, wanted, stop)
        now = time.perf_counter()
        nominal, spent = nominal + of_one * len(replicates), spent + now - start
        runs += len(replicates) * len(short.plans)
        if now - began > CALIBRATION_SECONDS:
            break
    return (spent / nominal if nominal else 1.0), runs
