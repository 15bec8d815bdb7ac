"""Blocks on the workers of any Dask cluster: values go to the store, reports to the client.

If a worker dies, no value is lost, and Dask sends its block to another worker. If workers die of a
block repeatedly, a worker computes it in processes of their own (`simdyn.run.isolated`), to find
the cause. Points that end these processes by themselves, while other points are computed, are
marked as failed, and the rest of the block is computed. If a process is killed from outside (a time
limit, the memory of a node), the block is left undone and the run says so; the next run tries it
again.
"""

import dataclasses
import functools
import queue
import re
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.base import interrupts
from simdyn.base.inputs import InputError, LeftUndone, shown
from simdyn.run.block import point_label, prepare_kernels
from simdyn.run.isolated import Diagnosis, find_deaths
from simdyn.run.progress import Progress
from simdyn.run.worker import BlockReport, Worker
from simdyn.store import Store, open_study
from simdyn.store.log import LogEntry
from simdyn.store.smaller import smaller_store

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2  # of a task that raised an exception; Dask itself counts tasks whose worker died
ROUNDS = 3  # times that a block may lose its workers without a point found to be the cause
LIFETIMES = 3.0  # of a job that may pass without a finished block
PATIENCE = 30.0  # seconds between two checks for workers that do not come back
WINDOW = 2  # tasks in flight for each thread of the cluster
_LOCK = threading.Lock()

# -- on a worker ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def _worker_of(path: str, fingerprint: str, retry_failed: bool) -> tuple[Worker, LogEntry]:
    """What a worker process needs to compute blocks of a store; made once."""
    study = open_study(path)
    if study.fingerprint != fingerprint:
        raise InputError(f"{path}: now holds another study")
    prepare_kernels(study)
    store = Store(path, study)
    log = store.open_log(executor="dask worker")
    return Worker(study, store, smaller_store(store.path, study), retry_failed), log


def do_block(
    path: str, fingerprint: str, retry_failed: bool, number: int, crashing: Mapping[int, str]
) -> BlockReport:
    """Compute a block and keep it, in a worker process."""
    with _LOCK:
        worker, log = _worker_of(path, fingerprint, retry_failed)
    report = worker.do(number, np.zeros(1, np.int64), crashing)
    assert report is not None  # nothing raises this stop flag
    if report.computed:
        with _LOCK:
            for failure in report.failures:
                log.failed(*failure)
    return report


# -- on the client -------------------------------------------------------------------------------


@dataclasses.dataclass
class _Suspect:
    """A block whose workers died."""

    rounds: int = 0
    crashing: dict[int, str] = dataclasses.field(default_factory=dict)


class DaskBlocks:
    """Blocks of a store on a Dask client, a sliding window of them at a time."""

    def __init__(
        self, client: "Client", store: Store, progress: Progress, retry_failed: bool = False
    ) -> None:
        self.client, self.store, self.progress = client, store, progress
        self.call = (str(store.path.resolve()), store.study.fingerprint)
        self.retry_failed = retry_failed
        self.arrived: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self.running: dict[str, tuple[Future, int, bool]] = {}  # its block, and whether to diagnose
        self.suspects: dict[int, _Suspect] = {}
        self.to_diagnose: list[int] = []
        there = np.flatnonzero(store.receipts())
        # A block that can be computed, to tell whether any point lives if none of a block does.
        self.control: int | None = int(there[0]) if there.size else None
        self.undone: dict[int, str] = {}
        self.no_workers, self.replaced = False, time.monotonic()
        self.lifetime, self.fruitless, self.last_look = _lifetime(client), 0.0, time.monotonic()

    def run(self, numbers: Iterator[int]) -> Generator[BlockReport, None, None]:
        """Yield the report of each block when it is kept.

        Raises
        ------
        InputError
            If the scheduler is gone; what is done is kept.
        LeftUndone
            If blocks could not be done; all others are done.
        """
        width, due = 0, 0.0
        try:
            while True:
                if time.monotonic() >= due:  # workers come and go
                    width, due = self._width(), time.monotonic() + 1.0
                while len(self.running) < width and (number := next(numbers, None)) is not None:
                    self._submit(number)
                if self.control is not None or not self.running:
                    while self.to_diagnose:
                        self._submit(self.to_diagnose.pop(), diagnose=True)
                if not self.running or self._too_slow():
                    break
                try:
                    future = self.arrived.get(timeout=0.5)
                except queue.Empty:
                    self._check_client()
                    continue
                if (report := self._handle(future)) is not None:
                    self.fruitless = 0.0
                    if len(report.failures) == 0:
                        self.control = report.number
                    yield report
        finally:
            futures = [future for future, _, _ in self.running.values()]
            if futures and self.client.status == "running":
                self.client.cancel(futures)
        if self.undone:
            number, cause = next(iter(self.undone.items()))
            more = f", and {len(self.undone) - 1} more" if len(self.undone) > 1 else ""
            raise LeftUndone(
                f"block {number} is left undone{more}: {cause}; what is done is kept: run the same "
                "command to go on"
            )

    def _too_slow(self) -> bool:
        """Do all jobs end before a block is finished? If so, leave the blocks undone."""
        if self.lifetime is None or self.fruitless < LIFETIMES * self.lifetime:
            return False
        for _, number, _ in self.running.values():
            self.undone[number] = (
                f"jobs worked for {self.fruitless:.0f} s without finishing a block, and each ends "
                f"after {self.lifetime:.0f} s, so the run stops; a longer --walltime may be enough"
            )
        return True

    def _width(self) -> int:
        """The number of tasks to submit ahead, for the workers there are now."""
        self._check_client()
        now, before = time.monotonic(), self.last_look
        self.last_look = now
        try:
            there = self.client.nthreads()
            threads = int(sum(there.values()))
            if now - self.replaced > PATIENCE:  # not for a worker that is just starting
                self.replaced = now
                _replace_lost(self.client, len(there))
        except Exception:  # the scheduler may answer later
            threads = 0
        if threads:
            self.fruitless += now - before
        if threads == 0 and not self.no_workers:
            self.progress.note("there is no worker; waiting for one")
        self.no_workers = threads == 0
        return max(2, WINDOW * threads)

    def _check_client(self) -> None:
        interrupts.check()
        if self.client.status in ("closed", "closing"):
            raise InputError(
                "the Dask scheduler is gone; what is done is kept: run the same command to go on"
            )

    def _submit(self, number: int, diagnose: bool = False) -> None:
        """Submit a block: to compute it, or to find which of its points end their process."""
        if diagnose:
            control = None if self.control == number else self.control
            future = self.client.submit(find_deaths, self.call[0], number, control, pure=False)
        else:
            crashing = dict(self.suspects[number].crashing) if number in self.suspects else {}
            future = self.client.submit(
                do_block,
                *self.call,
                self.retry_failed,
                number,
                crashing,
                pure=False,
                retries=RETRIES,
            )
        self.running[future.key] = (future, number, diagnose)
        future.add_done_callback(self.arrived.put)

    def _handle(self, future: "Future") -> BlockReport | None:
        """Act on a task that has ended; returns the report of a block that is kept."""
        if future.key not in self.running:
            return None
        _, number, diagnosed = self.running.pop(future.key)
        if future.status == "finished":
            result = self._result(future, number, diagnosed)
            if isinstance(result, Diagnosis):
                self._judge(number, result)
                return None
            return result
        if future.status != "error":  # the scheduler lost the task, or was lost itself
            self._resubmit(number, diagnosed)
            return None
        problem = future.exception()
        if type(problem).__name__ == "KilledWorker":
            self._killed(number, diagnosed)
        elif isinstance(problem, InputError):
            raise problem
        else:
            self.undone[number] = f"{type(problem).__name__}: {problem}"
        return None

    def _result(
        self, future: "Future", number: int, diagnosed: bool
    ) -> BlockReport | Diagnosis | None:
        try:
            result: BlockReport | Diagnosis = future.result(timeout=30)
        except Exception:  # the block is kept, but the worker that has its report may be gone
            self._resubmit(number, diagnosed)
            return None
        return result

    def _resubmit(self, number: int, diagnose: bool) -> None:
        while self.client.status == "connecting":
            time.sleep(0.1)
        self._check_client()
        self._submit(number, diagnose)

    def _killed(self, number: int, diagnosed: bool) -> None:
        """Workers died of a block, or of its diagnosis: diagnose it, but not too often."""
        suspect = self.suspects.setdefault(number, _Suspect())
        suspect.rounds += 2 if diagnosed else 1
        if suspect.rounds > ROUNDS:
            self.undone[number] = (
                "its workers were killed repeatedly, and none of its points was found to end a "
                "process: the cause may be a time limit, the memory of a node, or a person"
            )
            return
        self.progress.note(f"block {number}: its workers died; looking for the cause")
        self.to_diagnose.append(number)

    def _judge(self, number: int, found: Diagnosis) -> None:
        """Mark the points that end their process by themselves, and submit the block again."""
        points = [index for index, _ in self.store.blocks[number].indices()]
        for death in found.deaths:
            point = point_label(self.store.study, points[death.point])
            how = death.how if len(death.ended) == 1 else f"{death.how}, {len(death.ended)} times"
            if not death.by_itself:
                self.undone[number] = (
                    f"{point}: its process was killed from outside ({how}), perhaps because memory "
                    "ran out"
                )
                return
            self.suspects[number].crashing[death.point] = f"it ended its process ({how})"
        if found.deaths and not found.others_live:
            self.undone[number] = (
                f"each of its points ended its process ({found.deaths[0].how}), and no other point "
                "was computed: the machine may be the cause"
            )
            return
        self._submit(number)


def _lifetime(client: "Client") -> float | None:
    """Seconds after which the workers of a cluster of jobs end; None if they do not end."""
    script = getattr(getattr(client, "cluster", None), "job_script", None)
    found = re.search(r" --lifetime (\S+)", script()) if script else None
    if found is None:
        return None
    from dask.utils import parse_timedelta

    return float(parse_timedelta(found[1]))


def _replace_lost(client: "Client", there: int) -> None:
    """Start new workers or jobs for those that were killed or have reached their walltime.

    Only if the client made its cluster: any other cluster is maintained by those who made it.
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
    """Check that a client is running and not asynchronous.

    Raises
    ------
    InputError
        If it is not.
    """
    running = getattr(client, "status", None) == "running" and hasattr(client, "nthreads")
    if not running or getattr(client, "asynchronous", False):
        raise InputError(
            f"client = {shown(client)}: allowed is a distributed.Client that is running and not "
            "asynchronous"
        )


def describe(client: "Client") -> dict[str, Any]:
    """What the log records about a cluster."""
    return {"executor": "dask", "scheduler": str(client.scheduler.address)}
