"""Running a study: blocks on threads, each kept as soon as it is done."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from simdyn.blocks import Block
from simdyn.bridge import pointers_for, prepare
from simdyn.params import DrawnData
from simdyn.schema import VARIABLES
from simdyn.simulation import run_replicates
from simdyn.study import Study
from simdyn.threads import check_threads, side_by_side

if TYPE_CHECKING:
    import xarray as xr

FAILED = 4


class Progress(Protocol):
    """What hears of a run as it goes."""

    def start(self, runs: int, done: int) -> None:
        """So many runs in all, so many of them already there."""

    def ready(self, seconds: float) -> None:
        """The kernels are compiled, or loaded, after so many seconds; runs begin."""

    def advance(self, runs: int) -> None:
        """So many runs more."""

    def failed(self, place: str, cause: str) -> None:
        """A point failed; the study goes on."""


class Silent:
    """No progress shown."""

    def start(self, runs: int, done: int) -> None:
        """Say nothing."""

    def ready(self, seconds: float) -> None:
        """Say nothing."""

    def advance(self, runs: int) -> None:
        """Say nothing."""

    def failed(self, place: str, cause: str) -> None:
        """Say nothing."""


class Memory:
    """Results kept in memory; what `Store` is on disk."""

    def __init__(self, study: Study) -> None:
        self.blocks = study.blocks
        self.arrays = study.layout.arrays()

    def write(self, block: Block, arrays: dict[str, np.ndarray], seconds: float) -> None:
        """Keep a block."""
        *grid, replicates = block.region
        for name, values in arrays.items():
            self.arrays[name][(*grid, slice(None), replicates)] = values


def run_block(
    study: Study, block: Block, stop: np.ndarray, failed: Callable[[str, str], None]
) -> dict[str, np.ndarray] | None:
    """All values of a block, or None where the stop flag was raised.

    A point that cannot be computed gets status 4 (failed) and is reported; the rest goes on.
    """
    layout = study.layout
    outer = tuple(part.stop - part.start for part in block.region)
    outer = (*outer[:-1], len(study.space.methods), outer[-1])
    arrays = {}
    for name in study.variables:
        dtype = VARIABLES[name].dtype
        inner = layout.shape(name)[len(layout.outer) :]
        arrays[name] = np.full((*outer, *inner), np.nan if dtype == "float64" else 0, dtype)
    for index, local in block.indices():
        try:
            point = study.space.point(index)
            values = run_replicates(
                point.data, point.net, point.plans, study.seed, block.replicates, study.record,
                "last", study.variables, stop,
            )  # fmt: skip
        except Exception as problem:  # a study is never stopped by a point
            arrays["status"][local] = FAILED
            failed(f"point {index}", str(problem) or type(problem).__name__)
            continue
        if values is None:
            return None
        for name, value in values.items():
            arrays[name][local] = value
    return arrays


def run_study(
    study: Study,
    out: str | Path | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> "xr.Dataset":
    """Run what is not done yet of a study.

    Parameters
    ----------
    study : Study
    out : path, optional
        The store; in memory where absent.
    threads : int, optional
        Cores to use; every available one where absent.
    progress : Progress, optional

    Returns
    -------
    xarray.Dataset
        The results; lazy where they are on disk.
    """
    from simdyn.store import Store, open_results

    threads, progress = check_threads(threads), progress or Silent()
    store = None if out is None else Store(out, study)
    sink = store or Memory(study)
    per_cell = len(study.space.methods)

    done = 0
    waiting = []
    for block in sink.blocks:
        if store is not None and store.is_done(block):
            done += per_cell * block.cells
        else:
            waiting.append(block)
    progress.start(study.runs, done)

    def work(block: Block, stop: np.ndarray) -> tuple[dict[str, np.ndarray] | None, float]:
        began = time.perf_counter()
        arrays = run_block(study, block, stop, progress.failed)
        return arrays, time.perf_counter() - began

    if waiting:
        drawn = issubclass(study.data_law, DrawnData)
        # The error on given test samples is counted, and needs no estimate.
        names = [name for name in study.variables if drawn or "test_error" not in name]
        progress.ready(sum(
            prepare(pointers_for(study.record, activation, names), drawn=drawn)
            for activation in study.activations
        ))  # fmt: skip
    if store is not None and waiting:
        store.open_log(threads)
    for block, (arrays, seconds) in _kept(side_by_side(work, waiting, threads)):
        sink.write(block, arrays, seconds)
        progress.advance(per_cell * block.cells)
    if store is None:
        assert isinstance(sink, Memory)
        return study.layout.dataset(sink.arrays)
    return open_results(store.path)


def _kept(
    results: Iterator[tuple[Block, tuple[dict[str, np.ndarray] | None, float]]],
) -> Iterator[tuple[Block, tuple[dict[str, np.ndarray], float]]]:
    """Those results that were not cut short."""
    for block, (arrays, seconds) in results:
        if arrays is not None:
            yield block, (arrays, seconds)
