"""Kernels side by side on a pool of threads, with one stop flag for all."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np

from simdyn.base import interrupts
from simdyn.base.inputs import InputError

LISTEN = 0.1  # seconds between two checks for interrupts
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


def side_by_side(
    work: Callable[[Item, np.ndarray], Result],
    items: Iterable[Item],
    threads: int,
    stop: np.ndarray | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, work(item, stop flag)) as each is done; at most 2·threads are in flight.

    On an exception, an interrupt, or if the generator is left early, the stop flag is raised and
    the kernels are waited for.
    """
    flag = np.zeros(1, dtype=np.int64) if stop is None else stop
    pool = ThreadPoolExecutor(threads)
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        while True:
            while len(running) < 2 * threads and (item := next(waiting, None)) is not None:
                running[pool.submit(work, item, flag)] = item
            if not running:
                return
            for done in wait(running, LISTEN, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()
            interrupts.check()
    finally:
        flag[0] = 1
        pool.shutdown(wait=True, cancel_futures=True)
