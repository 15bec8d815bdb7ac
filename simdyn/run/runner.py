"""Running a study: what is not done yet, on threads, on Dask, or one shard of it."""

import itertools
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simdyn.base import interrupts
from simdyn.base.inputs import InputError
from simdyn.base.threads import check_threads, side_by_side
from simdyn.run.block import Memory, Receipt, Worker, prepare_kernels
from simdyn.run.progress import Progress, Silent
from simdyn.store import Store, open_results
from simdyn.store.growth import grown_from, ready, settle
from simdyn.store.log import failures
from simdyn.study.design import StudyDesign

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client


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
    """Run what is not done yet of a study.

    Parameters
    ----------
    study : StudyDesign
    out : path, optional
        The store; in memory where absent.
    threads : int, optional
        Cores of this machine to use; every available one where absent.
    client : distributed.Client, optional
        Run on its workers instead; they must see the store under its path.
    shard : (int, int), optional
        The I-th of N parts of the blocks only, I from 1 to N.
    retry_failed : bool
        Compute points again that failed.
    progress : Progress, optional

    Returns
    -------
    xarray.Dataset
        The results; lazy where they are on disk.
    """
    threads, progress = check_threads(threads), progress or Silent()
    if client is not None:
        from simdyn.run.dask import check_client

        check_client(client)
    if out is None:
        if client is not None or shard is not None:
            raise InputError("out = None: allowed on a cluster or for a shard is a path")
        return _in_memory(study, threads, progress)
    with interrupts.held():
        store, notes = ready(Path(out), study, listed=shard is None)
        for note in notes:
            progress.note(note)
        interrupts.check()
        _on_disk(store, threads, client, shard, retry_failed, progress)
    return open_results(store.path)


def _in_memory(study: StudyDesign, threads: int, progress: Progress) -> "xr.Dataset":
    memory = Memory(study)
    progress.start(study.runs, 0)
    progress.ready(prepare_kernels(study))
    worker = Worker(study, memory)
    for receipt in _on_threads(worker, iter(range(len(memory.blocks))), threads):
        _tell(receipt, worker, progress)
    return study.layout.dataset(memory.arrays)


def _on_threads(worker: Worker, numbers: Iterator[int], threads: int) -> Iterator[Receipt]:
    """Blocks on threads of this process.

    There is one more than computes at a time, so that no core waits while a block is written.
    """
    worker.computing = threading.Semaphore(threads)
    for _, receipt in side_by_side(worker.do, numbers, threads + 1):
        if receipt is not None:
            yield receipt


def _runs(receipt: Receipt, worker: Worker) -> int:
    """Trajectories of a block."""
    return worker.sink.blocks[receipt.number].cells * len(worker.study.space.methods)


def _tell(receipt: Receipt, worker: Worker, progress: Progress) -> None:
    """Report a block that is done now."""
    progress.advance(_runs(receipt, worker))
    causes = {}
    if receipt.failures and not receipt.computed and isinstance(worker.sink, Store):
        causes = failures(worker.sink.path)
    for place, cause in receipt.failures:
        progress.failed(place, cause or causes.get(place, "see the log of the store"))


def _on_disk(
    store: Store,
    threads: int,
    client: "Client | None",
    shard: tuple[int, int] | None,
    retry_failed: bool,
    progress: Progress,
) -> None:
    """Compute what is not done, and hold what is against its receipt."""
    study = store.study
    part, parts = shard or (1, 1)
    numbers = range(part - 1, len(store.blocks), parts)
    there = store.receipts()
    missing = [number for number in numbers if not there[number]]
    left = [number for number in numbers if there[number]]
    per_cell = len(study.space.methods)
    runs, kept = (store.blocks.cells(which) * per_cell for which in (numbers, left))
    progress.start(runs, kept)
    worker = Worker(study, store, grown_from(store.path, study), retry_failed)
    about: dict[str, Any] = {"executor": "threads", "threads": threads}
    order = itertools.chain(missing, left)  # what has a receipt is held against it last
    if client is None:
        if missing:
            with interrupts.at_once():
                progress.ready(prepare_kernels(study))
        receipts = _on_threads(worker, order, threads)
    else:
        from simdyn.run.dask import DaskBlocks, describe

        progress.ready(0.0)
        about = describe(client)
        receipts = DaskBlocks(client, store, progress, retry_failed).run(order)
    if shard:
        about["shard"] = f"{part}/{parts}"
    done = _heard(receipts, worker, frozenset(left), about, progress)
    if shard is None and done == len(numbers):
        settle(store)


def _heard(
    receipts: Iterator[Receipt],
    worker: Worker,
    left: Collection[int],
    about: dict[str, Any],
    progress: Progress,
) -> int:
    """Report receipts as they come, and note in the log who computed; returns their number."""
    store = worker.sink
    assert isinstance(store, Store)
    log, count, computed, seconds = None, 0, 0, 0.0
    failed: set[str] = set()
    try:
        for receipt in receipts:
            count += 1
            if receipt.computed:
                log = log or store.open_log(**about)
                computed, seconds = computed + 1, seconds + receipt.seconds
                if receipt.number in left:
                    progress.again(_runs(receipt, worker))
                    if receipt.remasked:
                        progress.note(
                            f"block {receipt.number}: other points are masked than "
                            "`where` masks now: computed again"
                        )
                    elif not worker.retry:
                        progress.note(f"block {receipt.number} was damaged: computed again")
                if "scheduler" not in about:  # else the worker has noted them
                    for failure in receipt.failures:
                        log.failed(*failure)
            elif receipt.number in left:
                failed.update(place for place, _ in receipt.failures)
                continue
            # A block that someone else has kept meanwhile is news, too.
            _tell(receipt, worker, progress)
    finally:
        if log is not None:
            log.close(computed, seconds)
    if failed:
        progress.failed_before(failed)
        progress.note(
            f"{len(failed):,} point(s) failed before, and are left as they are; "
            "`simdyn status` tells why, --retry-failed computes them again"
        )
    return count
