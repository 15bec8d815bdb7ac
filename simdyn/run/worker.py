"""Blocks computed one by one and kept, in memory or in a store."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from simdyn.base.inputs import InputError
from simdyn.kernels.codes import FAILED, MASKED
from simdyn.run.block import NONE, point_label, prepare_kernels, run_block
from simdyn.store.smaller import SmallerStore
from simdyn.study.blocks import Block, Blocks
from simdyn.study.design import StudyDesign


class Sink(Protocol):
    """Where the values of blocks are kept."""

    blocks: Blocks

    def checked_values(self, block: Block) -> dict[str, np.ndarray] | None:
        """The values of a block; None if it is not done."""

    def write(self, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a block."""


class Memory:
    """Keeps results in memory, as `Store` does on disk."""

    def __init__(self, study: StudyDesign) -> None:
        self.blocks = study.blocks
        self.layout, self.arrays = study.layout, study.layout.arrays()

    def checked_values(self, block: Block) -> dict[str, np.ndarray] | None:
        """Always None: no block is done before this run."""
        return None

    def write(self, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep a block."""
        *grid, replicates = block.region
        for name, values in arrays.items():
            self.arrays[name][self.layout.by_block(name, grid, slice(None), replicates)] = values


@dataclasses.dataclass(frozen=True)
class BlockReport:
    """What a worker reports when it has kept a block; the values are in the sink.

    Attributes
    ----------
    number : int
    computed : bool
        False if it was done already.
    seconds : float
        Spent on computing it.
    failures : tuple of (str, str)
        Every point that failed, and the cause; "" if it was done already: the log has the cause.
    remasked : bool
        Was it done already, but with other points masked than the study masks now?
    """

    number: int
    computed: bool
    seconds: float = 0.0
    failures: tuple[tuple[str, str], ...] = ()
    remasked: bool = False


class Worker:
    """Computes blocks of a study one by one and keeps them, in any thread or process.

    Parameters
    ----------
    study : StudyDesign
    sink : Sink
    smaller : SmallerStore, optional
        Values that are done there are taken over.
    retry_failed : bool
        Compute blocks again in which a point failed.
    """

    def __init__(
        self,
        study: StudyDesign,
        sink: Sink,
        smaller: SmallerStore | None = None,
        retry_failed: bool = False,
    ) -> None:
        self.study, self.sink, self.smaller, self.retry = study, sink, smaller, retry_failed
        # A semaphore, if only so many blocks may be computed at the same time.
        self.computing: AbstractContextManager[Any] = contextlib.nullcontext()

    def do(
        self, number: int, stop: np.ndarray, crashing: Mapping[int, str] = NONE
    ) -> BlockReport | None:
        """Compute a block and keep it, unless it is done; None if the stop flag was raised."""
        block = self.sink.blocks[number]
        kept = self.sink.checked_values(block)
        remasked = kept is not None and self._differs_in_mask(block, kept)
        if kept is not None and not remasked:
            failed = self._failed_in(block, kept)
            if not (self.retry and failed):
                return BlockReport(number, computed=False, failures=failed)
        prepare_kernels(self.study)
        failures: list[tuple[str, str]] = []
        with self.computing:
            began = time.perf_counter()
            arrays = run_block(
                self.study,
                block,
                stop,
                lambda *failure: failures.append(failure),
                smaller=self.smaller,
                crashing=crashing,
            )
        if arrays is None:
            return None
        self.sink.write(block, arrays)
        return BlockReport(number, True, time.perf_counter() - began, tuple(failures), remasked)

    def _differs_in_mask(self, block: Block, values: Mapping[str, np.ndarray]) -> bool:
        """Does a block that is kept mask other points than the study masks now?

        Early versions compared to the last bit: "learning_rate <= 0.3" was false at
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
        """The points that failed when a block that is kept was computed."""
        if not (values["status"] == FAILED).any():
            return ()
        return tuple(
            (point_label(self.study, index), "")
            for index, local in block.indices()
            if (values["status"][local] == FAILED).any()
        )
