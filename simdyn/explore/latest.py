"""Work in the background, of which only the latest counts: what came before is stopped."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from simdyn.base.threads import stopped_by


class Latest:
    """One thread that does the latest piece of work it was given.

    Parameters
    ----------
    deliver : callable
        Called on that thread with the outcome of each piece that was not overtaken or stopped: a
        function without arguments that returns its result or raises its exception.
    """

    def __init__(self, deliver: Callable[[Callable[[], Any]], None]) -> None:
        self._deliver = deliver
        self._changed = threading.Condition()
        self._waiting: Callable[[], Any] | None = None
        self._flag = np.zeros(1, dtype=np.int64)
        self._ended = self._busy = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Is there work under way or waiting?"""
        with self._changed:
            return self._busy or self._waiting is not None

    def ask(self, work: Callable[[], Any]) -> None:
        """Do this next; what is under way is stopped, what waits is dropped."""
        with self._changed:
            if self._ended:
                return
            self._flag[0] = 1
            self._waiting = work
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Stop what is under way, and drop what waits."""
        with self._changed:
            self._flag[0] = 1
            self._waiting = None

    def end(self) -> None:
        """Stop, and take no more work."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self.stop()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.wait_for(lambda: self._waiting is not None or self._ended)
                if self._ended:
                    return
                work, self._waiting = self._waiting, None
                self._flag = flag = np.zeros(1, dtype=np.int64)
                self._busy = True
            assert work is not None
            with stopped_by(flag):
                outcome = _outcome(work)
            if not flag[0]:
                self._deliver(outcome)


def _outcome(work: Callable[[], Any]) -> Callable[[], Any]:
    """The result of a piece of work, or the exception that it ended with."""
    try:
        result = work()
    except Exception as problem:
        caught = problem

        def again() -> Any:
            raise caught

        return again
    return lambda: result
