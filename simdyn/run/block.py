"""One block of work: its values, and where they are kept."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.engine.arguments import pointers_for
from simdyn.engine.preparation import prepare
from simdyn.engine.replicates import run_replicates
from simdyn.params import DrawnData
from simdyn.store.growth import Grown
from simdyn.study.blocks import Block, Blocks
from simdyn.study.design import StudyDesign
from simdyn.variables.registry import VARIABLES

FAILED, MASKED = 4, 5
_COMPILING = threading.Lock()
NONE: Mapping[int, str] = MappingProxyType({})


class Sink(Protocol):
    """Where the values of blocks are kept."""

    blocks: Blocks

    def good(self, block: Block) -> dict[str, np.ndarray] | None:
        """The values of a block that is done."""

    def write(self, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a block."""


class Memory:
    """Results kept in memory; what `Store` is on disk."""

    def __init__(self, study: StudyDesign) -> None:
        self.blocks = study.blocks
        self.arrays = study.layout.arrays()

    def good(self, block: Block) -> dict[str, np.ndarray] | None:
        """Nothing is done before it is computed."""
        return None

    def write(self, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a block."""
        *grid, replicates = block.region
        for name, values in arrays.items():
            self.arrays[name][(*grid, slice(None), replicates)] = values


@dataclasses.dataclass(frozen=True)
class Receipt:
    """What is told of a block that is kept; its values stay where they are.

    Attributes
    ----------
    number : int
    computed : bool
        False where it was done already.
    seconds : float
        That it took.
    failures : tuple of (str, str)
        Place and cause of every point that failed; the log has the cause of those kept before.
    remasked : bool
        True where it was done already, with other points masked than the study masks.
    """

    number: int
    computed: bool
    seconds: float = 0.0
    failures: tuple[tuple[str, str], ...] = ()
    remasked: bool = False


def prepare_kernels(study: StudyDesign) -> float:
    """Compile what a study needs, or load it; returns the seconds it took. Quick when repeated."""
    drawn = issubclass(study.space.law, DrawnData)
    # The error on given test samples is counted, and needs no estimate.
    names = [name for name in study.variables if drawn or not VARIABLES[name].test]
    with _COMPILING:
        return sum(
            prepare(pointers_for(study.record, activation, names), drawn=drawn)
            for activation in study.space.activations
        )


def empty_block(study: StudyDesign, block: Block) -> dict[str, np.ndarray]:
    """Arrays of a block, every value missing."""
    layout = study.layout
    outer = tuple(part.stop - part.start for part in block.region)
    outer = (*outer[:-1], len(study.space.methods), outer[-1])
    arrays = {}
    for name in study.variables:
        dtype = VARIABLES[name].dtype
        inner = layout.shape(name)[len(layout.outer) :]
        arrays[name] = np.full((*outer, *inner), np.nan if dtype == "float64" else 0, dtype)
    return arrays


def place_of(study: StudyDesign, index: tuple[int, ...]) -> str:
    """Where a point lies, 'dimension = 1000, signal_norm = 2.0'."""
    return study.space.location(index).strip(" ()").removeprefix("at ") or "the only point"


def run_block(
    study: StudyDesign,
    block: Block,
    stop: np.ndarray,
    failed: Callable[[str, str], None],
    grown: Grown | None = None,
    crashing: Mapping[int, str] = NONE,
    begun: Callable[[int], None] | None = None,
    only: range | None = None,
) -> dict[str, np.ndarray] | None:
    """All values of a block, or None where the stop flag was raised.

    A point that cannot be computed gets status 4 (failed) and is reported; the rest goes on.

    Parameters
    ----------
    grown : Grown, optional
        Where values may be taken from instead of computing them.
    crashing : mapping of int to str
        Points of the block, by their number in it, that are known to end the process, and how:
        they are marked as failed and not computed.
    begun : callable, optional
        Told the number of each point as it is begun.
    only : range, optional
        Points of the block to compute, by their number in it; the others stay missing.
    """
    arrays = empty_block(study, block)
    for number, (index, local) in enumerate(block.indices()):
        if only is not None and number not in only:
            continue
        place = place_of(study, index)
        if number in crashing:
            arrays["status"][local] = FAILED
            failed(place, crashing[number])
            continue
        try:
            if not study.space.wanted(index):
                arrays["status"][local] = MASKED
                continue
            if begun is not None:
                begun(number)
            if not _run_point(study, index, block.replicates, local, arrays, stop, grown):
                return None
        except Exception as problem:  # a study is never stopped by a point
            for name, values in arrays.items():
                values[local] = np.nan if VARIABLES[name].dtype == "float64" else 0
            arrays["status"][local] = FAILED
            failed(place, str(problem) or type(problem).__name__)
    return arrays


def _run_point(
    study: StudyDesign,
    index: tuple[int, ...],
    replicates: range,
    local: tuple[int, ...],
    arrays: dict[str, np.ndarray],
    stop: np.ndarray,
    grown: Grown | None,
) -> bool:
    """Fill in the values of one point; False where the stop flag was raised."""
    point = study.space.point(index)
    every = tuple(range(len(point.plans)))
    parts = [(every, replicates)]
    if grown is not None and (given := grown.take(index, replicates)) is not None:
        values, old, count = given
        for name, value in values.items():
            arrays[name][local][list(old), :count] = value
        new = tuple(k for k in every if k not in old)
        parts = [(old, replicates[count:]), (new, replicates)]
    for methods, part in parts:
        if not methods or not part:
            continue
        plans = [point.plans[k] for k in methods]
        computed = run_replicates(
            point.data,
            point.net,
            plans,
            study.seed,
            part,
            study.record,
            "last",
            study.variables,
            stop,
        )
        if computed is None:
            return False
        first = part.start - replicates.start
        for name, value in computed.items():
            arrays[name][local][list(methods), first : first + len(part)] = value
    return True


class Worker:
    """Does blocks of a study one by one and keeps them, in whatever thread or process it is.

    Parameters
    ----------
    study : StudyDesign
    sink : Sink
    grown : Grown, optional
        Where values may be taken from.
    retry_failed : bool
        Compute blocks again in which a point failed.
    """

    def __init__(
        self, study: StudyDesign, sink: Sink, grown: Grown | None = None, retry_failed: bool = False
    ) -> None:
        self.study, self.sink, self.grown, self.retry = study, sink, grown, retry_failed
        self.computing: AbstractContextManager[Any] = contextlib.nullcontext()  # or so many at once

    def do(
        self, number: int, stop: np.ndarray, crashing: Mapping[int, str] = NONE
    ) -> Receipt | None:
        """Compute a block and keep it, unless it is done; None where the stop flag was raised."""
        block = self.sink.blocks[number]
        kept = self.sink.good(block)
        remasked = kept is not None and self._masked_otherwise(block, kept)
        if kept is not None and not remasked:
            failed = self._failed_in(block, kept)
            if not (self.retry and failed):
                return Receipt(number, computed=False, failures=failed)
        prepare_kernels(self.study)
        failures: list[tuple[str, str]] = []
        with self.computing:
            began = time.perf_counter()
            arrays = run_block(
                self.study, block, stop, lambda *what: failures.append(what), self.grown, crashing
            )
        if arrays is None:
            return None
        self.sink.write(block, arrays)
        return Receipt(number, True, time.perf_counter() - began, tuple(failures), remasked)

    def _masked_otherwise(self, block: Block, values: Mapping[str, np.ndarray]) -> bool:
        """Are other points of a block that is kept masked than the study masks?

        Earlier versions compared to the last bit, so that "learning_rate <= 0.3" was false at
        0.30000000000000004.
        """
        if self.study.space.where is None:
            return False
        masked = values["status"] == MASKED
        for index, local in block.indices():
            try:
                if masked[local].all() == self.study.space.wanted(index):
                    return True
            except InputError:  # the point has failed for this
                continue
        return False

    def _failed_in(
        self, block: Block, values: Mapping[str, np.ndarray]
    ) -> tuple[tuple[str, str], ...]:
        """Points of a block that is kept which failed when it was computed."""
        if not (values["status"] == FAILED).any():
            return ()
        return tuple(
            (place_of(self.study, index), "")
            for index, local in block.indices()
            if (values["status"][local] == FAILED).any()
        )
