"""Blocks on the workers of any Dask cluster: values go to the store, receipts to the client.

A worker that dies takes no value with it; Dask sends its block to another. A block that workers
die of again and again is cut in halves until the points are found that end the process, each of
them tried alone at the end; they are marked as failed, and the rest of the block is computed.
"""

import collections
import dataclasses
import functools
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn import interrupts
from simdyn.inputs import InputError, shown
from simdyn.run.block import Receipt, Worker, prepare_kernels
from simdyn.run.progress import Progress
from simdyn.store import Store, open_study
from simdyn.store.growth import grown_from
from simdyn.store.log import LogEntry

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2  # of a task that raised an exception; those whose worker died Dask counts itself
ROUNDS = 10  # in which a block may lose its workers without a point of it being found guilty
BREATHER = 30.0  # seconds between two looks for workers that are gone for good
WINDOW = 2  # tasks in flight for each thread of the cluster
_LOCK = threading.Lock()

# -- on a worker ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def _opened(path: str, fingerprint: str, retry_failed: bool) -> tuple[Worker, LogEntry]:
    """What a worker process needs of a study, from its store; made once."""
    study = open_study(path)
    if study.fingerprint != fingerprint:
        raise InputError(f"{path}: holds another study now")
    prepare_kernels(study)
    store = Store(path, study)
    log = store.open_log(executor="dask worker")
    return Worker(study, store, grown_from(store.path, study), retry_failed), log


def do_block(
    path: str, fingerprint: str, retry_failed: bool, number: int, crashing: tuple[int, ...]
) -> Receipt:
    """Compute a block and keep it, in a worker process."""
    with _LOCK:
        worker, log = _opened(path, fingerprint, retry_failed)
    receipt = worker.do(number, np.zeros(1, np.int64), crashing)
    assert receipt is not None  # nothing raises this stop flag
    if receipt.computed:
        with _LOCK:
            for failure in receipt.failures:
                log.failed(*failure)
    return receipt


def attempt_points(path: str, fingerprint: str, number: int, first: int, stop: int) -> None:
    """Compute some points of a block and keep nothing, in a worker process."""
    with _LOCK:
        worker, _ = _opened(path, fingerprint, False)
    worker.attempt(number, range(first, stop))


# -- on the client -------------------------------------------------------------------------------


@dataclasses.dataclass
class _Suspect:
    """A block that workers died of, on the way to the points that end them."""

    waiting: int = 0  # attempts in flight
    rounds: int = 0
    crashing: set[int] = dataclasses.field(default_factory=set)


class DaskBlocks:
    """Blocks of a store on a Dask client, a sliding window of them at a time."""

    def __init__(
        self, client: "Client", store: Store, progress: Progress, retry_failed: bool = False
    ) -> None:
        self.client, self.store, self.progress = client, store, progress
        self.call = (str(store.path.resolve()), store.study.fingerprint)
        self.retry_failed = retry_failed
        self.arrived: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self.running: dict[str, tuple[Future, int, range | None]] = {}
        self.suspects: dict[int, _Suspect] = {}
        self.verdicts: collections.deque[tuple[int, range]] = collections.deque()
        self.undone: dict[int, str] = {}
        self.alone, self.replaced = False, time.monotonic()

    def run(self, numbers: Iterator[int]) -> Iterator[Receipt]:
        """Yield the receipt of each block as it is kept.

        Raises
        ------
        InputError
            Where the scheduler is gone for good, or blocks could not be kept; what is done is done.
        """
        looked, width = -np.inf, 0
        try:
            while True:
                if time.monotonic() - looked > 1.0:  # workers come and go
                    looked, width = time.monotonic(), self._width()
                if self.verdicts:
                    if not self.running:
                        self._submit(*self.verdicts.popleft())
                else:
                    while len(self.running) < width and (number := next(numbers, None)) is not None:
                        self._submit(number)
                if not self.running:
                    break
                try:
                    future = self.arrived.get(timeout=0.5)
                except queue.Empty:
                    self._check_client()
                    continue
                if (receipt := self._handle(future)) is not None:
                    yield receipt
        finally:
            futures = [future for future, _, _ in self.running.values()]
            if futures and self.client.status == "running":
                self.client.cancel(futures)
        if self.undone:
            number, cause = next(iter(self.undone.items()))
            more = f", and {len(self.undone) - 1} more" if len(self.undone) > 1 else ""
            raise InputError(
                f"block {number} could not be done{more}: {cause}; run the same command to go on"
            )

    def _width(self) -> int:
        """Tasks to have in flight, by the workers there are now."""
        self._check_client()
        try:
            there = self.client.nthreads()
            threads = int(sum(there.values()))
            if time.monotonic() - self.replaced > BREATHER:  # one that is starting comes by itself
                self.replaced = time.monotonic()
                _replace_lost(self.client, len(there))
        except Exception:  # a scheduler that does not answer now may answer later
            threads = 0
        if threads == 0 and not self.alone:
            self.progress.note("no worker is there; waiting for one")
        self.alone = threads == 0
        return max(2, WINDOW * threads)

    def _check_client(self) -> None:
        interrupts.check()
        if self.client.status in ("closed", "closing"):
            raise InputError(
                "the Dask scheduler is gone; what is done is kept: run the same command to go on"
            )

    def _submit(self, number: int, points: range | None = None) -> None:
        """Send a block, or some points of it to be tried."""
        if points is None:
            suspect = self.suspects.get(number)
            crashing = tuple(sorted(suspect.crashing)) if suspect else ()
            future = self.client.submit(
                do_block, *self.call, self.retry_failed, number, crashing, pure=False,
                retries=RETRIES,
            )  # fmt: skip
        else:
            future = self.client.submit(
                attempt_points, *self.call, number, points.start, points.stop, pure=False
            )
        self.running[future.key] = (future, number, points)
        future.add_done_callback(self.arrived.put)

    def _handle(self, future: "Future") -> Receipt | None:
        """What follows from a task that has ended."""
        if future.key not in self.running:
            return None
        _, number, points = self.running.pop(future.key)
        if future.status == "finished":
            if points is None:
                return self._result(future, number)
            self._tried(number)
            return None
        if future.status != "error":  # the scheduler lost it, or was itself lost
            self._again(number, points)
            return None
        problem = future.exception()
        if type(problem).__name__ == "KilledWorker":
            self._killed(number, points)
        elif isinstance(problem, InputError):
            raise problem
        else:
            self.undone[number] = f"{type(problem).__name__}: {problem}"
        return None

    def _result(self, future: "Future", number: int) -> Receipt | None:
        try:
            result: Receipt = future.result(timeout=30)
        except Exception:  # kept it is; who has its receipt may be gone
            self._again(number, None)
            return None
        return result

    def _again(self, number: int, points: range | None) -> None:
        while self.client.status == "connecting":
            time.sleep(0.1)
        self._check_client()
        self._submit(number, points)

    def _killed(self, number: int, points: range | None) -> None:
        """Workers died of a block, or of some points of it: cut it in halves."""
        if points is None:
            suspect = self.suspects.setdefault(number, _Suspect())
            suspect.rounds += 1
            if suspect.rounds > ROUNDS:
                self.undone[number] = "its workers died again and again"
                return
            size = sum(1 for _ in self.store.blocks[number].indices())
            suspect.waiting = 0
            self.progress.note(f"block {number}: its workers died; looking for the points to blame")
            self._try(number, self._halves(range(size)))
            return
        if len(points) > 1:
            self._try(number, self._halves(points))
        elif self.running:  # its neighbours on the worker may have done it: once more, alone
            self.verdicts.append((number, points))
            return
        else:
            self.suspects[number].crashing.add(points.start)
        self._tried(number)

    @staticmethod
    def _halves(points: range) -> Sequence[range]:
        middle = (points.start + points.stop + 1) // 2
        halves = (range(points.start, middle), range(middle, points.stop))
        return [half for half in halves if half]

    def _try(self, number: int, parts: Sequence[range]) -> None:
        self.suspects[number].waiting += len(parts)
        for part in parts:
            self._submit(number, part)

    def _tried(self, number: int) -> None:
        """An attempt has ended; after the last one the block is sent again."""
        suspect = self.suspects[number]
        suspect.waiting -= 1
        if suspect.waiting == 0:
            self._submit(number)


def _replace_lost(client: "Client", there: int) -> None:
    """Start workers or jobs anew that are gone for good: killed, or at the end of their walltime.

    Only where the client made its cluster; one that is somebody else's is theirs to keep up.
    """
    cluster = getattr(client, "cluster", None)
    wanted = getattr(cluster, "worker_spec", None)
    if cluster is None or not wanted or not set(wanted) - set(cluster.workers):
        return
    if there >= len(wanted):
        return
    if hasattr(cluster, "job_script"):
        cluster.scale(jobs=len(wanted))
    else:
        cluster.scale(len(wanted))


def check_client(client: Any) -> None:
    """Only a client that is running, and is not asynchronous, can be given work.

    Raises
    ------
    InputError
        For anything else.
    """
    running = getattr(client, "status", None) == "running" and hasattr(client, "nthreads")
    if not running or getattr(client, "asynchronous", False):
        raise InputError(
            f"client = {shown(client)}: allowed is a distributed.Client that is running, and not "
            "asynchronous"
        )


def describe(client: "Client") -> dict[str, Any]:
    """What the log says of a cluster."""
    return {"executor": "dask", "scheduler": str(client.scheduler.address)}
