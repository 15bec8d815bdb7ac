"""Blocks on the workers of any Dask cluster: values go to the store, receipts to the client.

A worker that dies takes no value with it; Dask sends its block to another. If workers die of a
block again and again, it is computed on a worker in processes of its own (`simdyn.run.isolated`).
Points that end these processes by themselves, while others live, are marked as failed, and the
rest of the block is computed. If the death comes from outside (a time limit, the memory of a node),
the block is left undone and the run says so; the next run tries it again.
"""

import dataclasses
import functools
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simdyn.base import interrupts
from simdyn.base.inputs import InputError, LeftUndone, shown
from simdyn.run.block import Receipt, Worker, place_of, prepare_kernels
from simdyn.run.isolated import Found, find_deaths
from simdyn.run.progress import Progress
from simdyn.store import Store, open_study
from simdyn.store.growth import grown_from
from simdyn.store.log import LogEntry

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2  # of a task that raised an exception; those whose worker died Dask counts itself
ROUNDS = 3  # in which a block may lose its workers without a point of it being found guilty
LIFETIMES = 3.0  # of jobs that may pass without a block finished
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
    path: str, fingerprint: str, retry_failed: bool, number: int, crashing: Mapping[int, str]
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


# -- on the client -------------------------------------------------------------------------------


@dataclasses.dataclass
class _Suspect:
    """A block that workers died of."""

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
        self.running: dict[str, tuple[Future, int, bool]] = {}  # block, and is it looked into
        self.suspects: dict[int, _Suspect] = {}
        self.to_look_into: list[int] = []
        there = np.flatnonzero(store.receipts())
        self.control: int | None = int(there[0]) if there.size else None  # a block that lived
        self.undone: dict[int, str] = {}
        self.alone, self.replaced = False, time.monotonic()
        self.lifetime, self.barren, self.looked = _lifetime(client), 0.0, time.monotonic()

    def run(self, numbers: Iterator[int]) -> Iterator[Receipt]:
        """Yield the receipt of each block as it is kept.

        Raises
        ------
        InputError
            When the scheduler is gone for good; what is done is kept.
        LeftUndone
            When blocks could not be done; all others are.
        """
        width, due = 0, 0.0
        try:
            while True:
                if time.monotonic() >= due:  # workers come and go
                    width, due = self._width(), time.monotonic() + 1.0
                while len(self.running) < width and (number := next(numbers, None)) is not None:
                    self._submit(number)
                if self.control is not None or not self.running:
                    while self.to_look_into:
                        self._submit(self.to_look_into.pop(), look_into=True)
                if not self.running or self._too_slow():
                    break
                try:
                    future = self.arrived.get(timeout=0.5)
                except queue.Empty:
                    self._check_client()
                    continue
                if (receipt := self._handle(future)) is not None:
                    self.barren = 0.0
                    if len(receipt.failures) == 0:
                        self.control = receipt.number
                    yield receipt
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
        """Do jobs end, one after the other, before a block is finished? Then all are left."""
        if self.lifetime is None or self.barren < LIFETIMES * self.lifetime:
            return False
        for _, number, _ in self.running.values():
            self.undone[number] = (
                f"jobs worked for {self.barren:.0f} s without finishing a block, and end after "
                f"{self.lifetime:.0f} s each, so the run stops; a longer --walltime may do"
            )
        return True

    def _width(self) -> int:
        """Tasks to have in flight, by the workers there are now."""
        self._check_client()
        now, before = time.monotonic(), self.looked
        self.looked = now
        try:
            there = self.client.nthreads()
            threads = int(sum(there.values()))
            if now - self.replaced > BREATHER:  # one that is starting comes by itself
                self.replaced = now
                _replace_lost(self.client, len(there))
        except Exception:  # a scheduler that does not answer now may answer later
            threads = 0
        if threads:
            self.barren += now - before
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

    def _submit(self, number: int, look_into: bool = False) -> None:
        """Send a block to be computed, or to be looked into."""
        if look_into:
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
        self.running[future.key] = (future, number, look_into)
        future.add_done_callback(self.arrived.put)

    def _handle(self, future: "Future") -> Receipt | None:
        """What follows from a task that has ended."""
        if future.key not in self.running:
            return None
        _, number, looked_into = self.running.pop(future.key)
        if future.status == "finished":
            result = self._result(future, number, looked_into)
            if isinstance(result, Found):
                self._judge(number, result)
                return None
            return result
        if future.status != "error":  # the scheduler lost it, or was itself lost
            self._again(number, looked_into)
            return None
        problem = future.exception()
        if type(problem).__name__ == "KilledWorker":
            self._killed(number, looked_into)
        elif isinstance(problem, InputError):
            raise problem
        else:
            self.undone[number] = f"{type(problem).__name__}: {problem}"
        return None

    def _result(self, future: "Future", number: int, looked_into: bool) -> Receipt | Found | None:
        try:
            result: Receipt | Found = future.result(timeout=30)
        except Exception:  # kept it is; who has its receipt may be gone
            self._again(number, looked_into)
            return None
        return result

    def _again(self, number: int, look_into: bool) -> None:
        while self.client.status == "connecting":
            time.sleep(0.1)
        self._check_client()
        self._submit(number, look_into)

    def _killed(self, number: int, looked_into: bool) -> None:
        """Workers died of a block, or of looking into it: look into it, but not again and again."""
        suspect = self.suspects.setdefault(number, _Suspect())
        suspect.rounds += 2 if looked_into else 1
        if suspect.rounds > ROUNDS:
            self.undone[number] = (
                "its workers were killed again and again, and none of its points was seen to end a "
                "process: a time limit, the memory of a node, or someone who ended them"
            )
            return
        self.progress.note(f"block {number}: its workers died; looking for the points to blame")
        self.to_look_into.append(number)

    def _judge(self, number: int, found: Found) -> None:
        """Mark points that end their process by themselves, and have the block computed."""
        points = [index for index, _ in self.store.blocks[number].indices()]
        for death in found.deaths:
            place = place_of(self.store.study, points[death.point])
            how = death.how if len(death.ended) == 1 else f"{death.how}, {len(death.ended)} times"
            if not death.own:
                self.undone[number] = (
                    f"{place}: its process was killed from outside ({how}), perhaps for want of "
                    "memory"
                )
                return
            self.suspects[number].crashing[death.point] = f"it ended its process ({how})"
        if found.deaths and not found.lived:
            self.undone[number] = (
                f"each of its points ended its process ({found.deaths[0].how}), and no other point "
                "is known to live: the machine may be to blame"
            )
            return
        self._submit(number)


def _lifetime(client: "Client") -> float | None:
    """Seconds for which the workers of a cluster of jobs live; None when they have no end."""
    script = getattr(getattr(client, "cluster", None), "job_script", None)
    found = re.search(r" --lifetime (\S+)", script()) if script else None
    if found is None:
        return None
    from dask.utils import parse_timedelta

    return float(parse_timedelta(found[1]))


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
