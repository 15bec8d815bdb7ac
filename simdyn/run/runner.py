"""What is not done of a study computed: on threads, on Dask, or one shard of it."""

import contextlib
import itertools
import threading
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simdyn.base import interrupts
from simdyn.base.inputs import InputError
from simdyn.base.threads import check_threads, side_by_side
from simdyn.run.block import prepare_kernels
from simdyn.run.progress import Progress, Silent
from simdyn.run.worker import BlockReport, Memory, Worker
from simdyn.store import Store, open_results
from simdyn.store.log import failures
from simdyn.store.smaller import smaller_store
from simdyn.store.upkeep import clean_up, prepare_store
from simdyn.study.design import StudyDesign
from simdyn.study.sample_labels import with_labels

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

Reports = Generator[BlockReport, None, None]


def run_study(
    study: StudyDesign,
    out: str | Path | None = None,
    *,
    threads: int | None = None,
    client: "Client | None" = None,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> "xr.Dataset":
    """Compute what is not done of a study.

    Parameters
    ----------
    study : StudyDesign
    out : path, optional
        The store; in memory if absent.
    threads : int, optional
        Cores of this machine to use; every available one if absent.
    client : distributed.Client, optional
        Run on its workers instead; they must see the store under its path.
    shard : (int, int), optional
        Only the I-th of N parts of the blocks, I from 1 to N.
    retry_failed : bool
        Compute points again that failed.
    progress : Progress, optional

    Returns
    -------
    xarray.Dataset
        The results; lazy if they are on disk.
    """
    threads, progress = check_threads(threads), progress or Silent()
    if client is not None:
        from simdyn.run.dask import check_client

        check_client(client)
    if out is None:
        if client is not None or shard is not None:
            raise InputError("out = None: allowed for a cluster or a shard is a path")
        with interrupts.waiting():
            return _in_memory(study, threads, progress)
    with interrupts.waiting(), interrupts.held():
        store, notes = prepare_store(Path(out), study, listed=shard is None)
        for note in notes:
            progress.note(note)
        interrupts.check()
        _on_disk(store, threads, client, shard, retry_failed, progress)
    return open_results(store.path)


def _in_memory(study: StudyDesign, threads: int, progress: Progress) -> "xr.Dataset":
    memory = Memory(study)
    progress.start(study.runs, 0)
    with interrupts.at_once():
        progress.kernels_ready(prepare_kernels(study))
    worker = Worker(study, memory)
    with contextlib.closing(_on_threads(worker, iter(range(len(memory.blocks))), threads)) as found:
        for report in found:
            _show(report, worker, progress)
    return with_labels(study.layout.dataset(memory.arrays), study)


def _on_threads(worker: Worker, numbers: Iterator[int], threads: int) -> Reports:
    """Compute blocks on threads of this process.

    There is one thread more than compute at a time, so that no core waits while a block is written.
    """
    worker.computing = threading.Semaphore(threads)
    for _, report in side_by_side(worker.do, numbers, threads + 1):
        if report is not None:
            yield report


def _runs(report: BlockReport, worker: Worker) -> int:
    """The number of trajectories in a block."""
    return worker.sink.blocks[report.number].cells * len(worker.study.space.methods)


def _show(report: BlockReport, worker: Worker, progress: Progress) -> None:
    """Show that a block is done."""
    progress.advance(_runs(report, worker))
    causes = {}
    if report.failures and not report.computed and isinstance(worker.sink, Store):
        causes = failures(worker.sink.path)
    for point, cause in report.failures:
        progress.failed(point, cause or causes.get(point, "see the log of the store"))


def _on_disk(
    store: Store,
    threads: int,
    client: "Client | None",
    shard: tuple[int, int] | None,
    retry_failed: bool,
    progress: Progress,
) -> None:
    """Compute the blocks that are not done, and check the others against their receipts."""
    study = store.study
    part, parts = shard or (1, 1)
    numbers = range(part - 1, len(store.blocks), parts)
    done = store.receipts()
    missing = [number for number in numbers if not done[number]]
    kept = [number for number in numbers if done[number]]
    per_cell = len(study.space.methods)
    progress.start(*(store.blocks.cells(which) * per_cell for which in (numbers, kept)))
    worker = Worker(study, store, smaller_store(store.path, study), retry_failed)
    about: dict[str, Any] = {"executor": "threads", "threads": threads}
    order = itertools.chain(missing, kept)  # those with a receipt come last: they are only checked
    if client is None:
        if missing:
            with interrupts.at_once():
                progress.kernels_ready(prepare_kernels(study))
        reports = _on_threads(worker, order, threads)
    else:
        from simdyn.run.dask import DaskBlocks, describe

        progress.kernels_ready(0.0)
        about = describe(client)
        reports = DaskBlocks(client, store, progress, retry_failed).run(order)
    if shard:
        about["shard"] = f"{part}/{parts}"
    with contextlib.closing(reports):
        count = _follow(reports, worker, frozenset(kept), about, progress)
    if shard is None and count == len(numbers):
        clean_up(store)


def _follow(
    reports: Reports,
    worker: Worker,
    kept: Collection[int],
    about: dict[str, Any],
    progress: Progress,
) -> int:
    """Show reports as they come, and write the log; returns the number of blocks."""
    store = worker.sink
    assert isinstance(store, Store)
    log, count, computed, seconds = None, 0, 0, 0.0
    failed: set[str] = set()
    try:
        for report in reports:
            count += 1
            if report.computed:
                log = log or store.open_log(**about)
                computed, seconds = computed + 1, seconds + report.seconds
                if report.number in kept:
                    progress.recompute(_runs(report, worker))
                    if report.remasked:
                        progress.note(
                            f"block {report.number}: `where` now masks other points: computed again"
                        )
                    elif not worker.retry:
                        progress.note(f"block {report.number} was damaged: computed again")
                if "scheduler" not in about:  # else the worker has noted its failures
                    for failure in report.failures:
                        log.failed(*failure)
            elif report.number in kept:
                failed.update(point for point, _ in report.failures)
                continue
            # Also a block that another process has kept since this run began.
            _show(report, worker, progress)
    finally:
        if log is not None:
            log.close(computed, seconds)
    if failed:
        progress.failed_before(failed)
        progress.note(
            f"{len(failed):,} point(s) failed before and are not computed again; `simdyn status` "
            "shows why, --retry-failed computes them again"
        )
    return count
