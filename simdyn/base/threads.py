"""Kernels side by side on a pool of threads, with one stop flag for all."""

import contextlib
import contextvars
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np

from simdyn.base import interrupts
from simdyn.base.inputs import InputError

LISTEN = 0.1  # seconds between two checks for interrupts
_GIVEN: contextvars.ContextVar[np.ndarray | None] = contextvars.ContextVar("stop", default=None)
Item = TypeVar("Item")
Result = TypeVar("Result")


def available_threads() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """The number of threads to use: the given one, or one for every available core."""
    if threads is None:
        return available_threads()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads = {threads!r}: allowed is an integer ≥ 1")
    return threads


@contextlib.contextmanager
def stopped_by(flag: np.ndarray) -> Iterator[None]:
    """Calls in this block, on this thread, end early once another thread raises the flag.

    Parameters
    ----------
    flag : ndarray of one int64
        Raised when it is not 0. What was not computed is then missing from the results, with
        status 0; a store keeps its finished blocks.
    """
    token = _GIVEN.set(flag)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def side_by_side(
    work: Callable[[Item, np.ndarray], Result],
    items: Iterable[Item],
    threads: int,
    stop: np.ndarray | None = None,
) -> Generator[tuple[Item, Result], None, None]:
    """Yield (item, work(item, stop flag)) as each is done; at most 2·threads are in flight.

    On an exception, an interrupt, or if the generator is left early, the stop flag is raised and
    the kernels are waited for. If someone else raises it (`stopped_by`), no further item begins.

    A caller that may leave early closes the generator (`contextlib.closing`). Left to the collector
    of cycles, it is closed in the middle of whatever else runs then, and may wait for a lock that
    is held just there.
    """
    given = _GIVEN.get() if stop is None else stop
    flag = np.zeros(1, dtype=np.int64) if given is None else given
    pool = ThreadPoolExecutor(threads)
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        while True:
            while (
                len(running) < 2 * threads
                and not flag[0]
                and (item := next(waiting, None)) is not None
            ):
                running[pool.submit(work, item, flag)] = item
            if not running:
                return
            for done in wait(running, LISTEN, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()
            interrupts.check()
    finally:
        if running:
            flag[0] = 1
        pool.shutdown(wait=True, cancel_futures=True)
